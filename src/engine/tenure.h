/*
 * tenure.h - whether what a primary sends still counts: nobody else was promoted meanwhile.
 *
 * The name of a file decides where it is the next one (learn.h, wr_learn_name_tells); of any other
 * file the lease does, which is read when it is there. docs/adr/0023.
 */
#ifndef WR_ENGINE_TENURE_H
#define WR_ENGINE_TENURE_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "engine/lease.h"

struct wr_log;
struct wr_ltx_file;
struct wr_storage;

/* = {.storage, .log, .label}. Of one replica, for who sends to it. */
struct wr_tenure {
    struct wr_storage *storage;
    const struct wr_log *log;
    const char *label; /* of the database, for logs, and for people who find its lease */
    unsigned unasked;  /* files sent since it was last looked at */
};

/* A file of `node` is there; a size of UINT64_MAX is not known. `first`: there was nothing before.
 * ret->epoch is 0: it counts. Else *ret is who was promoted, and it does not. BUSY: it is not
 * listed yet; else as wr_lease_read, wr_lease_take and wr_layout_list_all. */
enum wr_status wr_tenure_confirm(struct wr_tenure *t, struct wr_call *c,
    const struct wr_ltx_file *f, uint64_t node, bool first, struct wr_lease *ret,
    struct wr_err *e) WR_MUST_CHECK;

/* A file has been sent, and counts. False: *ret is who was promoted. Nobody has to ask, as the name
 * decides; but a promotion cannot win a name of one that sends without a pause, so such a one asks
 * now and then. That it gets no answer is no trouble. */
bool wr_tenure_lasts(
    struct wr_tenure *t, struct wr_call *c, uint64_t node, struct wr_lease *ret) WR_MUST_CHECK;

#endif
