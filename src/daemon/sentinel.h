/*
 * sentinel.h - a thread that finds out when replication has stopped and nothing says so.
 *
 * Every few seconds, or every minute where nothing was seen or told to change, it compares
 * what applications have committed (weir_db_look: the WAL's index itself, not what the engine
 * thinks of it) with what each replica has acknowledged. Whatever the reason, a hung disk, a dead
 * thread, a file event that got lost, an upload without an end: a commit that is missing from a
 * replica for five of its sync intervals, and for half a minute, is an error. It is logged once
 * when that begins and once when it ends. Of a database at rest, of which everything was in every
 * replica, replicas are asked once a minute: that one of them was emptied is seen that much later.
 *
 * It never waits for the engine, opens no file, and an idle database costs it one stat.
 *
 * locked, but for wr_sentinel_pass: one thread at a time.
 */
#ifndef WR_DAEMON_SENTINEL_H
#define WR_DAEMON_SENTINEL_H

#include "base/base.h"
#include "base/clock.h"
#include "base/status.h"
#include "daemon/fleet.h"
#include "daemon/logfmt.h"

struct wr_sentinel;

struct wr_sentinel_opts {
    struct wr_fleet *fleet;
    weir *w; /* that tells when files change; NULL: nobody does, and it never rests */
    struct wr_logger *log;
    const struct wr_clock *clock; /* NULL: the system's */
    int64_t interval_ms;          /* between two looks; 0: 5 s */
    int64_t limit_ms;             /* the least time that a commit may be missing; 0: 30 s */
    /* Called when the state of the whole has changed, with a line for a service manager; on the
     * thread of the passes. NULL: nobody wants it. */
    void (*tell)(void *arg, const char *text);
    void *arg;
};
/* All that `o` names outlives it. */
enum wr_status wr_sentinel_new(
    const struct wr_sentinel_opts *o, struct wr_sentinel **ret, struct wr_err *e) WR_MUST_CHECK;
/* Ends its thread: before the fleet is freed. NULL-safe. */
void wr_sentinel_free(struct wr_sentinel *s);

/* Look from a thread of its own from now on, once. */
enum wr_status wr_sentinel_start(struct wr_sentinel *s, struct wr_err *e) WR_MUST_CHECK;
/* Or let the caller look, now; in how many milliseconds to look again, if no file changes before.
 */
int64_t wr_sentinel_pass(struct wr_sentinel *s);

enum wr_verdict_word {
    WR_VERDICT_NEW,     /* not yet seen with everything in every replica, and within the limit */
    WR_VERDICT_WAITING, /* there is no database yet */
    WR_VERDICT_FINE,    /* nothing is missing for longer than it may be */
    WR_VERDICT_BEHIND,
};
#define WR_VERDICT_REPLICAS 8
/* Of one database, as of the last look. */
struct wr_verdict {
    enum wr_verdict_word word;
    int64_t missing_ms; /* at least so old is the oldest commit that some replica lacks; 0: none */
    int64_t limit_ms;   /* so old it may be */
    size_t nreplicas;
    int64_t replica_ms[WR_VERDICT_REPLICAS]; /* the same of each */
};
/* False: it was not looked at yet, or is stopped. */
bool wr_sentinel_verdict(struct wr_sentinel *s, const char *path, struct wr_verdict *ret);

/* Of all. */
struct wr_summary {
    size_t stopped, waiting, fresh, fine, behind; /* databases; fresh: WR_VERDICT_NEW */
    size_t newcomers; /* as of now: begun with since the last look began, which may not have them */
    size_t absent;    /* as of now: databases that are to be replicated and are not (absent.h) */
    bool refused;     /* as of now: the configuration was, when it was read again (refused.h) */
    int64_t worst_ms; /* the greatest missing_ms */
    int64_t age_ms;   /* since the last look ended; INT64_MAX: none has */
    bool silent;      /* none has for so long that whoever looks must hang */
};
void wr_sentinel_summary(struct wr_sentinel *s, struct wr_summary *ret);

/* Running databases that are not fine, by ascending path: the first `max` of them, in `a`, and how
 * many there are. */
struct wr_unready {
    const char *path; /* NULL: out of memory */
    struct wr_verdict verdict;
};
size_t wr_sentinel_unready(
    struct wr_sentinel *s, struct wr_arena *a, struct wr_unready *ret, size_t max);

/* Why a database is not fine, in a line, from what its status says now. */
#define WR_REASON_MAX 640
void wr_reason(weir_db *db, const struct wr_verdict *v, char ret[WR_REASON_MAX]);

#endif
