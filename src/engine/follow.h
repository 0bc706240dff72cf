/*
 * follow.h - a copy of a database that advances with its replica, while others read it with any
 * SQLite.
 *
 * The copy is an ordinary database in rollback-journal mode. Each step brings it to a newer state
 * of the replica, under SQLite's locks (follow_apply.h), so that every reader sees one state,
 * whole; what is known of it is kept beside it (follow_state.h), and a killed follower goes on from
 * there.
 *
 * What comes next is looked for where it should be: under the name of the next transaction. Now and
 * then, and where that leads nowhere, the replica is listed. Is the next transaction gone, as when
 * a copy was away for longer than files are kept, the newest state is fetched whole, and what
 * differs is applied.
 *
 * owned.
 */
#ifndef WR_ENGINE_FOLLOW_H
#define WR_ENGINE_FOLLOW_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "engine/restore.h"

struct wr_follow;
struct wr_stream;

enum wr_follow_phase {
    WR_FOLLOW_CURRENT, /* at the newest transaction that the replica was seen to have */
    WR_FOLLOW_BEHIND,  /* there is more, and it is being applied */
    WR_FOLLOW_WAITING, /* another connection to the copy is in the way */
    WR_FOLLOW_FAILING, /* the replica, or the disk, gives errors; it is tried again */
};

struct wr_follow_report {
    enum wr_follow_phase phase;
    uint64_t txid;   /* of the copy */
    int64_t time_ms; /* when that state was captured, Unix ms */
    uint64_t newest; /* transaction that the replica was seen to have; a primary may have told that
                        there is more, which is BEHIND, too */
    int64_t lag_ms;  /* since when the copy is not the newest state, as far as is known; 0: it is */
    int64_t unseen_ms; /* since the replica was last looked at with success */
    uint64_t applied;  /* steps that changed the copy */
    uint32_t errors;   /* in a row */
    const char *text;  /* WAITING, FAILING: why; dies with the call */
};

/* When wr_follow_run begins, and after each step; on the thread that steps. */
typedef void wr_follow_fn(void *arg, const struct wr_follow_report *r);

struct wr_follow_opts {
    struct wr_restore_opts
        restore;         /* `overwrite`: begin anew, whatever is there; no txid, no time */
    int64_t interval_ms; /* between steps; 0: 1000 */
    int64_t patience_ms; /* for readers of the copy, with new ones kept out meanwhile; up to four
                            times that while they do not end (sqlite/patch.h); 0: 1000 */
    struct wr_stream *primary; /* asked before the bucket (follow_source.h); it outlives the
                                  follower; NULL: the bucket alone */
    wr_follow_fn *tell;        /* NULL: nobody asks */
    void *tell_arg;
};

/* Restore to opts->restore.path, or go on with the copy that is there. *ret_restored is written if
 * it was restored. `opts` is copied; its strings and `s` outlive the follower.
 *
 * NOTFOUND: the replica has nothing to restore. BUSY: another process follows into this copy, or
 * writes to it. CONFLICT: what is there is no followed copy, or something else has written to it;
 * nothing was changed, and the text says what can be done. Else as wr_restore. */
enum wr_status wr_follow_open(struct wr_storage *s, struct wr_call *c,
    const struct wr_follow_opts *opts, struct wr_follow **ret,
    struct wr_restore_result *ret_restored, struct wr_err *e) WR_MUST_CHECK;
void wr_follow_close(
    struct wr_follow *f); /* NULL-safe; the copy stays as it is, and its locks go */

/* Look for something new, and apply it. *ret_wait_ms: until the next step. OK also if something
 * failed that may pass; the log says so when it begins, when it changes, and when it is over. What
 * will not pass by itself:
 * CONFLICT: something else has written to the copy; or the replica has another history than it, or
 *   ends before it. CORRUPT: the pages of the copy are not what was written to it, or that cannot
 *   be told from another history. The text says what can be done. CANCELED, as `c` says. */
enum wr_status wr_follow_step(
    struct wr_follow *f, struct wr_call *c, int64_t *ret_wait_ms, struct wr_err *e) WR_MUST_CHECK;

void wr_follow_look(const struct wr_follow *f, struct wr_follow_report *ret);

/* Step until `c` is canceled, which is OK, or a step fails. */
enum wr_status wr_follow_run(
    struct wr_follow *f, struct wr_call *c, struct wr_err *e) WR_MUST_CHECK;

#endif
