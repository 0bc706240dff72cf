/*
 * verifier.h - an actor beside a replica's (replica.h), which proves from time to time that what is
 * there can be restored (verify.h), and says so if it cannot.
 *
 * It reads the whole replica each time, one request after the other, on a lane of its own: nothing
 * waits for it. The first time is an interval after the beginning; then it is an interval after the
 * last one's end. When the replica could not be read it is tried again sooner.
 *
 * locked: every function may be called from any thread, but free.
 */
#ifndef WR_ENGINE_VERIFIER_H
#define WR_ENGINE_VERIFIER_H

#include "base/base.h"
#include "base/status.h"

struct wr_sched;
struct wr_storage;
struct wr_verifier; /* owned */

struct wr_verifier_opts {
    struct wr_sched *sched;
    struct wr_storage *storage; /* the replica's; it outlives the verifier */
    const char *label;          /* of the database, in logs */
    void (*notify)(void *arg);  /* the newest state is unsound; it must only wake an actor */
    void *arg;
    uint64_t (*acked)(void *arg); /* the newest TXID that the replica is known to have; 0: not
                                     known; with a lock of its own, of the last rank */
    void *acked_arg;
    int64_t interval_ns;  /* > 0 */
    uint32_t lock_offset; /* byte offset of SQLite's lock page */
};
enum wr_status wr_verifier_new(
    const struct wr_verifier_opts *o, struct wr_verifier **ret, struct wr_err *e) WR_MUST_CHECK;
/* Cancels what it is at, and waits for that. NULL-safe. */
void wr_verifier_free(struct wr_verifier *v);
void wr_verifier_start(struct wr_verifier *v);
/* Nothing is begun any more, and what is under way ends soon. */
void wr_verifier_cancel(struct wr_verifier *v);

/* What is known of the replica. = {0}: nothing, yet. */
struct wr_verifier_report {
    int64_t ended_ms;      /* Unix; when it was last read to its end; 0: never */
    uint64_t proven_txid;  /* by then: the newest point that was proven; 0: none */
    uint64_t findings;     /* and what was wrong (verify.h) */
    uint64_t lost;         /* points that cannot be restored */
    unsigned unsound;      /* times that the newest state was so (verify.h) */
    uint64_t unsound_txid; /* the last time: which that was */
    char unsound_why[128]; /* and what is wrong */
    enum wr_status error;  /* CORRUPT: there were findings; else why it could not be read since */
    char error_text[WR_ERR_MAX];
};
void wr_verifier_report(struct wr_verifier *v, struct wr_verifier_report *ret);
unsigned wr_verifier_unsound(struct wr_verifier *v); /* of the report */

#endif
