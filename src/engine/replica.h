/*
 * replica.h - one replica of one database: an actor that finds out where the replica stands, then
 * sends it one LTX file after the other.
 *
 *   UNKNOWN --listed--> READY <--> SENDING
 *      ^                            |
 *      +--a streamed file failed----+--another writer's object is in the way--> STOPPED
 *
 * Whether another database was promoted to write here is not asked for each file: whoever was has
 * created the next name, which is in our way then. For positions that do not come from a next name
 * the lease is read (lease.h, docs/adr/0023).
 *
 * A file is sent only when the one before it is durable, so what is acknowledged is a prefix. Names
 * are created, never overwritten, where the store can tell. A failure that may pass is retried with
 * backoff for ever; the database goes on and keeps what waits in its outbox.
 *
 * locked: `mutex` guards what the database's actor and callers of status look at.
 */
#ifndef WR_ENGINE_REPLICA_H
#define WR_ENGINE_REPLICA_H

#include "base/base.h"
#include "base/status.h"
#include "engine/catalogue.h"
#include "engine/lease.h"
#include "engine/parcel.h"
#include "engine/remote.h"
#include "engine/sample.h"
#include "engine/sums.h"
#include "engine/verifier.h"
#include "run/sched.h"
#include "storage/storage.h"

struct wr_replica;
struct wr_keeper;

enum wr_replica_state {
    WR_REPLICA_UNKNOWN, /* not yet listed, or to be listed again */
    WR_REPLICA_READY,   /* its position is known; nothing to send, or waiting to retry */
    WR_REPLICA_SENDING,
    WR_REPLICA_STOPPED, /* for good: an operator must act; see the error text */
};

/* Small: each step of the database looks at it. */
struct wr_replica_status {
    enum wr_replica_state state;
    struct wr_remote_pos pos; /* newest durable TXID and its checksum; pos.txid is the position */
    bool sampled;             /* there is a sample of pos */
    bool unknowable;          /* instead of that: pos is damaged, and does not tell whose it is */
    bool counted;             /* a census of pos was tried; if there is one it can be had, once */
    unsigned found;           /* how often the position was found by listing */
    size_t queued;            /* files that wait, the one being sent included */
    uint64_t queued_bytes;    /* of those that have a size yet */
    uint64_t errors;          /* attempts that failed, ever */
    uint64_t streamed_size; /* of the last file that was read from the database while it was sent */
    int64_t lag_ms;      /* age of the oldest transaction that it lacks; 0: of none that is known */
    bool failing;        /* the last attempt failed */
    bool contested;      /* the last listing found what we did not send, or it was in our way */
    uint64_t cleared;    /* times that a look at all of it found nothing that we did not send */
    bool continues;      /* contested by one file, which continues what we had sent */
    int64_t last_ok_ms;  /* wall time of the last acknowledgement or listing; 0: never */
    int64_t interval_ns; /* least time between two files; of wr_db_replica_status alone */
    enum wr_status error; /* of the last failure, OK when none since the last success */
    unsigned unsound;     /* of the account's `verified` */
};

/* What is told on request. */
struct wr_replica_account {
    struct wr_err error;                /* that of the status, in words */
    struct wr_storage_counts requests;  /* the keeper's included, from the beginning on */
    struct wr_l0_files l0;              /* its files, at the last retention */
    struct wr_verifier_report verified; /* = {0} where there is no verifier */
};

/* `storage` becomes the replica's. `notify(arg)` runs after every change of status, on the thread
 * that made it; it must only wake an actor. `label` names the database in logs. */
struct wr_replica_opts {
    struct wr_sched *sched;
    const char *label;
    void (*notify)(void *arg);
    void *arg;
    int64_t verify_ns;    /* it has a verifier, which works so often; 0: none */
    uint32_t lock_offset; /* byte offset of SQLite's lock page, for that */
    int64_t look_ms;      /* between two looks at what it has (lookout.h); 0: half an hour */
    bool keeps_all;       /* the keeper is never asked to delete what nobody misses */
    uint64_t seed;        /* of the backoff's jitter, and of its sign: no other process has it */
};
enum wr_status wr_replica_new(struct wr_storage *storage, const struct wr_replica_opts *o,
    struct wr_replica **ret, struct wr_err *e) WR_MUST_CHECK;

/* Stops sending, waits for the step in progress, frees everything. NULL-safe. */
void wr_replica_free(struct wr_replica *r);

void wr_replica_start(struct wr_replica *r); /* begin by listing */

/* Append a file; the replica takes a reference. `found` is the status' value that the caller's
 * knowledge of the position rests on. False, and nothing queued, when the replica has been listed
 * again meanwhile, is not READY or SENDING, or the file does not begin where the queue, or else the
 * position, ends: what the caller believed is out of date, let it join again. */
bool wr_replica_push(struct wr_replica *r, struct wr_parcel *p, unsigned found);

/* It lacks a transaction of that time, Unix ms, that is not pushed. That is its lag until a file
 * was sent, which leads to all that it lacks, ... */
void wr_replica_lacks(struct wr_replica *r, int64_t time_ms);
/* ... or where it stands turns out to be where the database is. */
void wr_replica_lacks_nothing(struct wr_replica *r);

/* Forget everything queued and list again; `why` goes to the log. */
void wr_replica_rejoin(struct wr_replica *r, const char *why);
/* The same, but not before `ms` have passed, and with BUSY as what is wrong until then. */
void wr_replica_wait(struct wr_replica *r, int64_t ms, const char *text);
/* Files of this node are ours: where the newest one is not, or was not created under the name that
 * came next, it is told who holds the lease. Until it is set that is not looked at. It holds for
 * the listings that begin from now on: wr_learn_must_ask. */
void wr_replica_set_node(struct wr_replica *r, uint64_t node);
/* Fetch a sample of the newest state: the replica goes UNKNOWN, and is READY with `sampled` set. */
void wr_replica_want_sample(struct wr_replica *r, uint32_t lock_offset);
/* The same, with a census, too: it is READY with `counted` set. At most `bytes_max` are read. */
void wr_replica_want_census(struct wr_replica *r, uint32_t lock_offset, uint64_t bytes_max);
/* Ask for the sign: the replica goes UNKNOWN, and is READY with wr_replica_taken. */
void wr_replica_want_sign(struct wr_replica *r);
/* The census that was taken when the status had this `found`, which becomes the caller's; or false,
 * as there is none. */
bool wr_replica_take_census(struct wr_replica *r, unsigned found, struct wr_sums *ret);
/* Stop for good with this error, keeper and verifier, too: what is under way is canceled, as far as
 * it can be. Whoever has stopped keeps the first error. */
void wr_replica_stop(struct wr_replica *r, enum wr_status st, const char *text);

void wr_replica_status(struct wr_replica *r, struct wr_replica_status *ret);
void wr_replica_account(struct wr_replica *r, struct wr_replica_account *ret);

/* What was learnt when the status had this `found`, which does not change until it has another one.
 * False: it has. */
bool wr_replica_sample(struct wr_replica *r, unsigned found, struct wr_sample *ret);
bool wr_replica_tally(struct wr_replica *r, unsigned found, struct wr_tally *ret);
/* Who holds the lease, as it was read after the position was found; epoch 0: nobody was ever
 * promoted. False: it was not read. */
bool wr_replica_lease(struct wr_replica *r, unsigned found, struct wr_lease *ret);
/* Up to which TXID the sign of another one tells of; 0: of none, or there is no such sign, as in a
 * directory. False: it was not asked for, as it is by wr_replica_want_sign; of a replica that is
 * found empty it is what was read last. */
bool wr_replica_taken(struct wr_replica *r, unsigned found, uint64_t *ret);
/* The tally is not needed any more. */
void wr_replica_tally_done(struct wr_replica *r, unsigned found);
struct wr_storage *wr_replica_storage(struct wr_replica *r);
struct wr_keeper *wr_replica_keeper(struct wr_replica *r);

/* Cancel what is being sent if it is `p`, whose image was stopped (frozen.h): the replica lists
 * again, and goes on. */
void wr_replica_interrupt(struct wr_replica *r, const struct wr_parcel *p);

/* Nothing will be pushed any more: say in the replica how far it reaches (extent.h), if all has
 * arrived. */
void wr_replica_leave(struct wr_replica *r);
bool wr_replica_has_left(struct wr_replica *r); /* that was tried, or there is nothing to say */

/* Cancel the request in progress, for shutdown; nothing is sent afterwards. */
void wr_replica_cancel(struct wr_replica *r);

#endif
