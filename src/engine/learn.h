/*
 * learn.h - where a replica stands, and what else is to be known of it before it is written to.
 */
#ifndef WR_ENGINE_LEARN_H
#define WR_ENGINE_LEARN_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "engine/lease.h"
#include "engine/remote.h"
#include "engine/sample.h"
#include "engine/sums.h"
#include "engine/tally.h"

struct wr_heads;
struct wr_log;
struct wr_storage;

/* Who looks at a replica, from one look to the next. */
struct wr_learner {
    struct wr_storage *storage;
    const char *label; /* of the database, for logs */
    const struct wr_log *log;
    unsigned parallel; /* requests at once, at most */
    unsigned damaged;  /* samples in a row; 0 at first */

    /* What the last look read, for one that follows it: at a start there are two, as another
     * process may have written before the database was ours. NULL at first, and after those. */
    struct wr_heads *heads;
};
void wr_learner_release(struct wr_learner *l);

/* What is to be found beside the position. */
struct wr_wish {
    bool sample, census;  /* a census only beside a sample */
    uint32_t lock_offset; /* byte offset of SQLite's lock page, for these */
    uint64_t census_max;  /* bytes that it may read */
    uint64_t node;        /* files of this node are ours; 0: the lease is not looked at */
    bool sign;            /* what the sign of another one tells; replica_step.c reads it */
};

/* owned. = {0}: nothing. */
struct wr_learnt {
    struct wr_remote_pos pos;
    struct wr_tally *tally;
    struct wr_sample *sample; /* NULL: not wished, or unknowable; of an empty replica it is empty */
    bool unknowable;          /* the newest state is damaged, and does not tell whose it is */
    struct wr_sums census;    /* page_size is 0: there is none */
    struct wr_lease *lease;   /* NULL: it was not read, as nobody can have taken it unseen */
};
void wr_learnt_release(struct wr_learnt *l); /* = {0} again */

/* List the replica, and find what is wished. `seen` as for wr_remote_find. On failure *ret is {0};
 * NOMEM, else as wr_remote_find, wr_lease_read and wr_sample_take. That a census cannot be had is
 * in the log, and no failure. */
enum wr_status wr_learn(struct wr_learner *l, struct wr_call *c, const struct wr_wish *wish,
    struct wr_remote_seen *seen, struct wr_learnt *ret, struct wr_err *e) WR_MUST_CHECK;

/* Who holds the lease; epoch 0: nobody. Else as wr_lease_read. */
enum wr_status wr_learn_lease(
    struct wr_storage *s, struct wr_call *c, struct wr_lease *ret, struct wr_err *e) WR_MUST_CHECK;

/* Whether a file of ours of this name and size (UINT64_MAX: not known), behind a position that
 * holds, shows that nobody was promoted before it: docs/adr/0023. Pure, as is the next one. */
bool wr_learn_name_tells(unsigned level, uint64_t min, uint64_t max, uint64_t size);
/* Whether who holds the lease is to be asked, as this position, which was found by listing, does
 * not show it. Node 0: it is not. */
bool wr_learn_must_ask(const struct wr_remote_pos *pos, uint64_t node);

#endif
