/*
 * weir.h - stream SQLite databases to object storage, and get them back, from inside your program.
 *
 *     weir *w;
 *     weir_db *db;
 *     weir_error err;
 *
 *     if (weir_open(NULL, &w, &err) || weir_db_add(w, "/var/lib/app.db", NULL, &db, &err) ||
 *         weir_db_add_replica(db, "s3://bucket/app", NULL, &err))
 *         fail(err.message);
 *     ...
 *     weir_close(w, 30000, &err);
 *
 * Handles are opaque. Every function is safe to call from any thread unless it says otherwise,
 * except that a handle must not be used after it was closed. No function writes to stdout or
 * stderr, installs a signal handler, changes the locale or the working directory, or exits. Not
 * fork-safe: open after fork.
 *
 * This library must share the process's SQLite: link both to the same libsqlite3. Two copies of
 * SQLite in one process break each other's POSIX locks.
 *
 * Promises: handles stay opaque; structs grow only at their end; codes may be added, never
 * renumbered; functions are never removed before a major version.
 */
#ifndef WEIR_H
#define WEIR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_VERSION        "0.1.0"
#define WEIR_VERSION_NUMBER 100 /* major * 10000 + minor * 100 + patch */

#ifndef WEIR_API
#if defined(__GNUC__) && __GNUC__ >= 4
#define WEIR_API __attribute__((visibility("default")))
#else
#define WEIR_API
#endif
#endif

/* Of the library that is running, not of this header. */
WEIR_API const char *weir_version(void);
WEIR_API int weir_version_number(void);

typedef struct weir weir;               /* a runtime: workers, connections, log, databases */
typedef struct weir_db weir_db;         /* one database being replicated */
typedef struct weir_cancel weir_cancel; /* a way to stop calls that wait */
typedef uint64_t weir_txid;             /* 1-based; 0 means none */

/* Result codes. New codes may be added: treat an unknown one as WEIR_IO. */
enum {
    WEIR_OK = 0,
    WEIR_NOTFOUND = 1,     /* no such file, database or backup */
    WEIR_CONFLICT = 2,     /* somebody else wrote there: see the message, decide anew */
    WEIR_BUSY = 3,         /* held by another process, or overloaded: try again later */
    WEIR_TIMEOUT = 4,      /* the time given ran out */
    WEIR_CANCELED = 5,     /* weir_cancel_now was called */
    WEIR_AUTH = 6,         /* credentials missing or refused: an operator must act */
    WEIR_LIMIT = 7,        /* full disk, quota, or input beyond a stated bound */
    WEIR_CORRUPT = 8,      /* a checksum or a format does not hold */
    WEIR_IO = 9,           /* everything else that a disk or a network does */
    WEIR_NOMEM = 10,       /* out of memory */
    WEIR_MISUSE = 11,      /* a bad argument, setting or URL; the message says which */
    WEIR_UNSUPPORTED = 12, /* not possible with this backend, SQLite or build */
    WEIR_INTERNAL = 13     /* a bug of ours */
};

WEIR_API const char *weir_strerror(int code); /* static text, never NULL */

/* Optional last argument of every fallible call; pass NULL if you only want the code. Written only
 * when the call fails. */
typedef struct weir_error {
    int code;
    char message[512]; /* NUL-terminated, outermost context first; secrets are never included */
} weir_error;

/* Settings are a NULL-terminated list of key, value, key, value, ... strings with the keys and the
 * value formats of the configuration file ("region", "eu-west-1", "sync-interval", "1s", NULL);
 * NULL is the empty list. They are copied. What the query of a URL says wins over them. An unknown
 * key or a bad value is WEIR_MISUSE. */

/* Structs that a caller fills start with their own size, so that fields can be appended without
 * breaking old binaries. Zero the struct, set struct_size; zero means "default" elsewhere. */

/* ---- Stopping what waits ---- */

/* NULL when out of memory. */
WEIR_API weir_cancel *weir_cancel_new(void);
/* Make every call that was given `c`, now or later, return WEIR_CANCELED soon. Sticky. From any
 * thread, not from a signal handler. NULL-safe. */
WEIR_API void weir_cancel_now(weir_cancel *c);
/* No call may still be using it. NULL-safe. */
WEIR_API void weir_cancel_free(weir_cancel *c);

/* ---- A runtime ---- */

enum {
    WEIR_LOG_DEBUG = 1, /* everything else */
    WEIR_LOG_INFO = 2,  /* changes of state, and what was asked for */
    WEIR_LOG_WARN = 3,  /* degraded and healing by itself */
    WEIR_LOG_ERROR = 4  /* replication of something has stopped */
};

/* One log record. The same fields come twice: as one JSON object ({"db":"/a b.db","txid":"..."})
 * and as text (db="/a b.db" txid=...). Secrets read ***. All strings die with the call. Runs on
 * any thread, possibly on several at once; must not call back into the library. */
typedef void weir_log_fn(
    void *arg, int level, const char *message, const char *json_fields, const char *text_fields);

typedef struct weir_options {
    size_t struct_size;
    uint32_t local_threads_max; /* default 2: work that waits for local disks */
    uint32_t net_threads_max;   /* default 16: work that waits for storage */
    uint32_t bulk_threads_max;  /* default 1: snapshots and compaction */
    int32_t log_level;          /* WEIR_LOG_*, default INFO: records below it are not made */
    weir_log_fn *log;           /* NULL: silent */
    void *log_arg;
    /* Databases that are held open at once, where there are more; 0: all of them. Those that were
     * not written to for seconds are let go for others, and their files watched; a write opens them
     * again within milliseconds. Young: not for the only copy of anything yet. */
    uint32_t open_max;
} weir_options;

/* `opt` may be NULL. */
WEIR_API int weir_open(const weir_options *opt, weir **ret, weir_error *reterr);

/* Make a last sync of every database, all within timeout_ms, have each replica that was written to
 * say what it has (for up to two seconds of that), then stop replicating and free everything,
 * weir_db handles included; NULL is WEIR_OK. `w` is freed in every case. Fails with the code of the
 * first last sync that failed, WEIR_TIMEOUT when one was cut short. A timeout of 0 makes no last
 * sync and returns WEIR_OK: what is committed stays in the local database, and is sent when
 * replication starts again. */
WEIR_API int weir_close(weir *w, int64_t timeout_ms, weir_error *reterr);

/* ---- Replicating ---- */

/* Take charge of the database at `path`, which need not exist yet. `settings` are those of an entry
 * under `dbs:`, and for what is kept of its past "levels" ("30s,5m,1h"; "": none),
 * "snapshot.interval" ("0s": only the first; else also when a restore would read more than twice a
 * snapshot), "snapshot.retention", "l0-retention",
 * "retention.enabled" and "retention.grace"; without them Litestream's defaults. With
 * "validation.interval" every replica is verified (weir_verify) so often, and one whose newest
 * state is damaged gets a snapshot. Beyond these times "snapshot.keep" ("3") keeps so many of the
 * newest snapshots, and "snapshot.keep-hourly",
 * "-daily", "-weekly", "-monthly" and "-yearly" a point of each of the last so many periods, in
 * UTC: its newest snapshot, or its newest point if it has none; 100000 at most, 0: none. Nothing
 * leaves the machine before weir_db_add_replica. The handle stays valid until weir_db_remove or
 * weir_close.
 *
 * WEIR_CONFLICT: this runtime has it already. WEIR_BUSY: another process replicates it (also seen
 * later, by weir_db_sync and weir_db_status, when the file appears after the call). */
WEIR_API int weir_db_add(
    weir *w, const char *path, const char *const *settings, weir_db **ret, weir_error *reterr);

/* Start replicating `db` to `url` as well ("s3://bucket/prefix?region=eu-west-1"). `settings` are
 * those of an entry under `replicas:`, and "adopt-replica" "true" where the caller knows that the
 * database continues that replica, as after weir_restore from it: else one that has little in
 * common with it is refused. Only the URL and the settings are checked here; an
 * unreachable replica shows in weir_replica_status, and is tried again for ever.
 *
 * WEIR_CONFLICT: another database of this runtime, or this one, has the same URL. */
WEIR_API int weir_db_add_replica(
    weir_db *db, const char *url, const char *const *settings, weir_error *reterr);

/* Make a last sync within timeout_ms (0: none), stop replicating, free `db`, whatever the result.
 */
WEIR_API int weir_db_remove(weir_db *db, int64_t timeout_ms, weir_error *reterr);

/* Block until everything committed before this call is in a local LTX file (LOCAL) or in every
 * replica (REMOTE), without waiting for the sync interval. AWAIT: until it is in every replica with
 * the uploads that are made anyway, so that the call costs no request. *ret_txid (may be NULL) is
 * the transaction that is now safe: each replica restores it, or a later state that holds it.
 * `cancel` may be NULL. A negative timeout waits for ever. A failure that an operator must clear is
 * returned at once, others are retried until the timeout, and then WEIR_TIMEOUT comes with the last
 * one's text.
 *
 * WEIR_NOTFOUND: the database does not exist yet. WEIR_BUSY: another process replicates it.
 * WEIR_CONFLICT: a replica belongs to another database, or is ahead of this one. Its text names all
 * that do; the others have everything. */
enum {
    WEIR_SYNC_LOCAL = 0,
    WEIR_SYNC_REMOTE = 1,
    WEIR_SYNC_AWAIT = 2
};
WEIR_API int weir_db_sync(weir_db *db, int how, int64_t timeout_ms, weir_cancel *cancel,
    weir_txid *ret_txid, weir_error *reterr);

/* What replication does for the history of a database in its time, done now, in every replica. Each
 * call begins with a sync as of weir_db_sync, waits at most timeout_ms (negative: for ever) until
 * all is durable, and has the codes of weir_db_sync. A failure is the first one of a replica, with
 * its URL in the message, and is told when the others are done; what was begun goes on all the
 * same, and fails or succeeds by itself. A replica that is out of reach for a minute has failed.
 * `cancel` may be NULL.
 *
 * A snapshot of the newest state, unless the newest one that is there is of that state already;
 * *ret_txid (may be NULL) is its transaction, or the least of all replicas'. It may be as large as
 * the database. That the one that is there still is, and ends as it should, is looked up: else
 * there is a new one, of a transaction with nothing in it if nothing has changed. */
WEIR_API int weir_db_snapshot(
    weir_db *db, int64_t timeout_ms, weir_cancel *cancel, weir_txid *ret_txid, weir_error *reterr);
/* The files of "levels", and a snapshot by "snapshot.interval", that are due by now: for programs
 * that replicate for a moment from time to time. Who goes on replicating needs no call. */
WEIR_API int weir_db_keep_up(
    weir_db *db, int64_t timeout_ms, weir_cancel *cancel, weir_error *reterr);
/* Delete what is too old ("snapshot.retention" and the like) and was so "retention.grace" ago
 * already, by the times at which files arrived in the store: so a restore that runs is left its
 * files, though nothing is remembered from one process to the next. *ret_files (may be NULL): how
 * many went since the last call, by it or by themselves. WEIR_CONFLICT: others have written to a
 * replica, or files are missing from it, and nothing is deleted there. */
WEIR_API int weir_db_retain(
    weir_db *db, int64_t timeout_ms, weir_cancel *cancel, uint64_t *ret_files, weir_error *reterr);

/* Work of one kind: how often, how often in vain, and for how long. */
typedef struct weir_work {
    uint64_t count, errors;
    int64_t ns;
} weir_work;

#define WEIR_HOLDS 10

/* Where a database stands. Set struct_size before the call; pointers live as long as `db`. */
typedef struct weir_db_info {
    size_t struct_size;
    const char *path;
    const char
        *state; /* one static word: waiting, opening, syncing, checkpoint, cold, broken, closed */
    weir_txid txid; /* newest captured in a local LTX file */
    uint32_t replica_count;
    int32_t error_code; /* of the failure that now holds it up, WEIR_OK if none */
    char error[512];
    /* Sizes in bytes, as of the last look; 0: not known, or not held open. */
    uint64_t db_bytes;       /* the database, with what is committed in its WAL */
    uint64_t wal_bytes;      /* the WAL, up to the last commit */
    uint64_t wal_file_bytes; /* its file, which is overwritten from its beginning again and again */
    /* Totals since weir_db_add; times in ns. */
    uint64_t captured_bytes;     /* read from the WAL */
    weir_work syncs;             /* captures of new commits; errors: whatever has held it up */
    weir_work passive, truncate; /* checkpoints; one that readers kept short is no error */
    uint64_t wal_resets;
    uint64_t put_off;    /* checkpoints, since writers were too busy */
    uint64_t forks;      /* the database went another way than what was replicated */
    uint64_t scans;      /* of all pages, to find what has changed */
    uint64_t full_sends; /* of all pages, since nothing less would do */
    /* Times that applications' writer lock was ours for at most 0.1, 0.3, 1, 3, 10, 30, 100, 300
     * and 1000 ms, and for longer; what these times add up to, and the longest. */
    uint64_t holds[WEIR_HOLDS];
    int64_t holds_ns, hold_max_ns;
    int32_t disk_full; /* nonzero: it waits for room, of the database's disk or its local state's */
    int32_t rival;     /* nonzero: another process has the checkpoint lock; nothing is captured */
} weir_db_info;
WEIR_API int weir_db_status(weir_db *db, weir_db_info *ret, weir_error *reterr);

/* The newest TXID of a database by its local state, the directory `state_dir`, whoever has that in
 * use; it is read, and nothing else. 0: there is none, or it cannot be read. */
WEIR_API weir_txid weir_state_txid(const char *state_dir);

/* Where its i-th replica stands, in the order of weir_db_add_replica. WEIR_NOTFOUND past the end.
 */
typedef struct weir_replica_info {
    size_t struct_size;
    const char *url;    /* without secrets and settings, but for an endpoint that is not Amazon's */
    weir_txid txid;     /* everything up to it is in the replica */
    int64_t lag_ms;     /* age of the oldest captured transaction that is not; 0 when in sync */
    int32_t error_code; /* of the last attempt, WEIR_OK if it succeeded or none was made */
    char error[512];
    /* Requests since weir_db_add_replica, as a bill has them, repeated ones included. A part of a
     * large object is a put, and so are the beginning and the end of one; a listing is one, however
     * many pages it has, and so is a deletion of up to 1000 objects. */
    uint64_t put_requests, list_requests, get_requests, head_requests, delete_requests;
    uint64_t bytes_up, bytes_down; /* of objects */
    /* By "validation.interval", as of verified_ms, Unix ms (0: never yet): the newest state that
     * was proven to be restorable, what was found wrong (weir_verify), and how many states that
     * files are there for cannot be restored. */
    weir_txid verified_txid;
    int64_t verified_ms;
    uint64_t findings, points_lost;
    int64_t last_ok_ms; /* Unix ms: when the replica last answered as hoped; 0: never */
    const char *state;  /* one static word: listing, ready, sending, stopped */
    /* It can be restored to, and holds all that `txid` of weir_db_status does when it is as high:
     * unlike `txid`, which may be another history's, or lack its beginning. 0: none. */
    weir_txid safe_txid;
    uint64_t lag_files, lag_bytes; /* that wait; what is made while it is sent has no size yet */
    uint64_t errors;               /* attempts that failed, ever */
    int64_t sync_interval_ms;
    /* Files of level 0 in the replica, at the last deletion of what nobody needs: those that go, as
     * nobody does; those that reach further than all other levels; and others, which are kept. */
    uint64_t l0_eligible, l0_not_compacted, l0_too_recent;
} weir_replica_info;
WEIR_API int weir_replica_status(
    weir_db *db, uint32_t i, weir_replica_info *ret, weir_error *reterr);

/* A URL by which another machine, with credentials of its own, finds the replica: with region,
 * endpoint and the like, wherever they were set, and without secrets. WEIR_LIMIT: it is longer than
 * `size`. */
WEIR_API int weir_replica_address(
    weir_db *db, uint32_t i, char *ret, size_t size, weir_error *reterr);

/* How its requests went since weir_db_add_replica, each attempt by itself, as far as they have
 * ended. The classes are those of a bill, in the order of weir_replica_info. */
enum {
    WEIR_REQUEST_PUT = 0,
    WEIR_REQUEST_LIST = 1,
    WEIR_REQUEST_GET = 2,
    WEIR_REQUEST_HEAD = 3,
    WEIR_REQUEST_DELETE = 4
};
#define WEIR_REQUESTS     5
#define WEIR_REQUEST_TOOK 10
#define WEIR_CODES        32 /* more than there are, as codes may be added */
typedef struct weir_request_times {
    /* How many took up to 10 ms; of the others, how many up to 50, 100 and 500 ms, 1, 5, 10, 30 and
     * 60 s; and longer. */
    uint64_t took[WEIR_REQUEST_TOOK];
    int64_t ns; /* all together */
    /* How many failed, by WEIR_* code. WEIR_NOTFOUND is an answer and WEIR_CANCELED our doing: of
     * these there are none. */
    uint64_t failed[WEIR_CODES];
} weir_request_times;
typedef struct weir_replica_traffic_info {
    size_t struct_size;
    weir_request_times requests[WEIR_REQUESTS];
} weir_replica_traffic_info;
WEIR_API int weir_replica_traffic(
    weir_db *db, uint32_t i, weir_replica_traffic_info *ret, weir_error *reterr);

/* What applications have committed, beside what the library believes to have: for a watchdog that
 * believes nobody. The first is read on the caller's thread, from the index of the WAL that
 * applications share, or the files, whatever the library does meanwhile, or hangs in. Everything is
 * captured if `seen` is WEIR_SEEN_INDEX and `commits` equals `txid_commits`, or WEIR_SEEN_AT_REST;
 * and `proven` is set. It is safe once safe_txid of each replica is at least `txid`. */
enum {
    WEIR_SEEN_NOTHING = 0, /* there is no database yet */
    WEIR_SEEN_CLOSED = 1,  /* it is not held open, as it should be: nothing can be told */
    WEIR_SEEN_INDEX = 2,
    WEIR_SEEN_TORN = 3,    /* a writer changes the index just now; if it stays so, one has died */
    WEIR_SEEN_LOST = 4,    /* applications have another index: none of their commits is seen */
    WEIR_SEEN_AT_REST = 5, /* not held open, for want of writes, and there were none since */
    WEIR_SEEN_WRITTEN = 6  /* the same, but there was one */
};
typedef struct weir_db_sight {
    size_t struct_size;
    int32_t seen;          /* WEIR_SEEN_* */
    uint32_t commits;      /* with WEIR_SEEN_INDEX: a count that wraps, or begins anew at some other
                              number when an application recovers the index */
    int32_t proven;        /* nonzero: `txid` is known to be a state of this database */
    uint32_t txid_commits; /* `txid` holds all of them up to that count */
    weir_txid txid;        /* newest captured */
    uint64_t scanned;      /* pages read, ever, to compare them with what was replicated: with a
                              large database that takes minutes, and moves while this grows */
} weir_db_sight;
WEIR_API int weir_db_look(weir_db *db, weir_db_sight *ret, weir_error *reterr);

/* Call `changed` whenever the system tells that files of some database were written, came, or went:
 * the next write after each silence is told, not every one. For who looks (weir_db_look) and need
 * not look often while nothing is told. NULL: nobody, and it does not run after this returned. On a
 * thread of the library's; it must only note it, and call nothing here. One for each `w`.
 *
 * WEIR_UNSUPPORTED: the system tells nothing. */
WEIR_API int weir_on_change(weir *w, void (*changed)(void *arg), void *arg, weir_error *reterr);

/* For how many milliseconds the replication of some database has now been holding its writer lock:
 * the longest of all; 0 when it holds none. It takes the lock for milliseconds, to checkpoint; a
 * large number means that a disk hangs and that applications wait, and that only the end of this
 * process helps them. For a watchdog. Never blocks for long. */
WEIR_API int64_t weir_held_ms(weir *w);

/* ---- Serving what was just captured ---- */

/* Whoever follows a database (weir_follow_options.primary) asks for what comes behind a state that
 * it has, and waits for it; this is what a server in between calls for each request. What comes
 * back is for weir_follow; it is copied from memory, and no reader holds up replication, however
 * slow.
 *
 * The first call makes the database keep the last transactions in memory, 8 MiB at most, until ten
 * minutes after the last one. For 30 s after a call each commit is captured at once, and handed to
 * readers before it is in a replica. */
typedef struct weir_feed_position {
    size_t struct_size;
    weir_txid txid; /* as the request says, and so are these three; 0 at first */
    uint64_t life;
    uint32_t part;
    uint32_t more; /* != 0: an answer behind this state has said that there is more */
} weir_feed_position;
/* The answer, once; `bytes` die with the call. On the calling thread. */
typedef void weir_feed_fn(void *arg, const void *bytes, size_t n);
/* Wait at most `wait_ms` for what comes behind `*at`, which becomes the state that the answer leads
 * to: one answer may have what several calls in a row give. WEIR_TIMEOUT: there is nothing yet.
 * WEIR_NOTFOUND: what follows is not in memory, and is in a replica, or will be. WEIR_CANCELED.
 * `cancel` may be NULL. */
WEIR_API int weir_feed_read(weir_db *db, weir_feed_position *at, int64_t wait_ms,
    weir_cancel *cancel, weir_feed_fn *fn, void *arg, weir_error *reterr);

/* ---- Restoring ---- */

enum {
    WEIR_CHECK_NONE = 0,  /* checksums of pages and files only; these are always verified */
    WEIR_CHECK_QUICK = 1, /* PRAGMA quick_check before the database appears */
    WEIR_CHECK_FULL = 2   /* PRAGMA integrity_check before the database appears */
};

enum {
    WEIR_FORMAT_LTX = 1,
    WEIR_FORMAT_LEGACY = 2 /* snapshots and WAL segments as Litestream 0.3 wrote them */
};

enum {
    WEIR_PHASE_PLAN = 0,  /* listing the replica; totals are not known yet */
    WEIR_PHASE_FETCH = 1, /* bytes count what has been read of the replica, or was here already */
    WEIR_PHASE_SYNC = 2,  /* writing to disk, renaming */
    WEIR_PHASE_CHECK = 3, /* the integrity check runs */
    WEIR_PHASE_VERIFY = 4 /* bytes count what has been read; the totals may still grow */
};

typedef struct weir_progress {
    int32_t phase;
    uint32_t files_done, files_total;
    uint64_t bytes_done, bytes_total;
    uint64_t bytes_resumed; /* of bytes_total: what an interrupted restore has left here already */
} weir_progress;

/* Called a few times a second, from one thread at a time, not always the caller's. */
typedef void weir_progress_fn(void *arg, const weir_progress *p);

typedef struct weir_restore_options {
    size_t struct_size;
    weir_txid txid;    /* 0: latest */
    int64_t time_ms;   /* Unix ms: the last state strictly before it; 0: no bound. Not with txid. */
    uint32_t parallel; /* objects read at once; default 32, of large ones 8 */
    int32_t check;     /* WEIR_CHECK_*; a database that fails does not appear: WEIR_CORRUPT */
    int32_t overwrite; /* nonzero: replace what is at `path`, once the new database is complete */
    const char *const *settings; /* as for weir_db_add_replica; what does not matter is ignored */
    weir_cancel *cancel;
    weir_progress_fn *progress; /* NULL: none */
    void *progress_arg;
    int32_t delta; /* nonzero, with overwrite: what is at `path` is an older copy of the database.
                      Its pages are taken over, and only those that differ are fetched. */
    const char *meta_dir; /* with delta: the database's "meta-path", of which the checksums there
                             tell which of its pages are damaged; NULL: as for weir_db_add */
} weir_restore_options;

/* Set struct_size before the call. */
typedef struct weir_restore_result {
    size_t struct_size;
    weir_txid txid;         /* of the restored state; 0 with WEIR_FORMAT_LEGACY */
    int64_t time_ms;        /* when that state was captured, Unix ms; 0 when unknown */
    uint64_t bytes;         /* size of the database */
    uint64_t bytes_read;    /* from the replica */
    uint32_t files;         /* read from the replica */
    int32_t format;         /* WEIR_FORMAT_* */
    int32_t verified;       /* the WEIR_CHECK_* that passed */
    uint64_t bytes_resumed; /* not read from the replica: an interrupted restore had done so */
    uint64_t bytes_kept;    /* of the database: taken over from the older copy */
} weir_restore_result;

/* Rebuild a database at `path`; it appears complete, synced to disk, or not at all. Missing parent
 * directories are made. `opt` and `ret` may be NULL.
 *
 * Where a file of the replica is damaged, or does not continue the one before it because two
 * processes have written, others are used if they lead to the same transaction, and the log has a
 * warning; the progress begins again. The newest state is never replaced by an older one.
 *
 * WEIR_NOTFOUND: the replica holds nothing to restore, or nothing at that transaction or time.
 * WEIR_CONFLICT: `path`, or a -wal, -shm or -journal beside it, exists and overwrite is not set (an
 * empty file with none of these beside it is replaced). WEIR_CORRUPT: the backup is damaged or has
 * a gap, and the message says which transaction is still there, or the check failed.
 *
 * A restore that was killed, canceled or cut off from the replica is gone on with by the next one
 * to the same path, if there was much to fetch. Its file, "<path>.tmp-<16 hex>", waits there. */
WEIR_API int weir_restore(weir *w, const char *url, const char *path,
    const weir_restore_options *opt, weir_restore_result *ret, weir_error *reterr);

/* ---- Following ---- */

enum {
    WEIR_FOLLOW_CURRENT = 0, /* at the newest transaction that the replica was seen to have */
    WEIR_FOLLOW_BEHIND = 1,  /* there is more, and it is being applied */
    WEIR_FOLLOW_WAITING = 2, /* another connection to the copy is in the way: see `text` */
    WEIR_FOLLOW_FAILING = 3  /* something fails, and is tried again: see `text` */
};

typedef struct weir_follow_status {
    int32_t phase;     /* WEIR_FOLLOW_* */
    uint32_t errors;   /* steps in a row that failed */
    weir_txid txid;    /* what the copy is; it never decreases */
    weir_txid newest;  /* what the replica was seen to have; as `txid` while BEHIND: the primary has
                          more, and a transaction of it is not closed yet */
    int64_t time_ms;   /* when `txid` was captured, Unix ms */
    int64_t lag_ms;    /* the age of the copy while there is something newer; 0: it is the newest */
    int64_t unseen_ms; /* since the replica was last looked at with success */
    uint64_t applied;  /* times that the copy has changed */
    const char *text;  /* NULL, or why, in a sentence; dies with the call */
} weir_follow_status;

/* When the copy is there, and after each step; on the thread that called weir_follow. */
typedef void weir_follow_fn(void *arg, const weir_follow_status *status);

typedef struct weir_follow_options {
    size_t struct_size;
    int64_t interval_ms; /* between looks at the replica; default 1000 */
    int64_t patience_ms; /* how long a try waits for readers of the copy, while new ones are kept
                            out; default 1000 */
    uint32_t parallel;   /* as for weir_restore, as are these three */
    int32_t check;
    int32_t overwrite; /* begin anew, whatever is there */
    int32_t delta;
    const char *const *settings;
    weir_cancel *cancel;
    weir_progress_fn *progress; /* of the restore that it may begin with */
    void *progress_arg;
    weir_follow_fn *fn; /* NULL: nobody asks */
    void *arg;
    /* The URL of a primary's stream, as `weir replicate` serves it ("http://primary:9999/app.db"):
     * each commit comes from there, within milliseconds, and from the replica while it is away.
     * NULL: the replica alone. With it, the URL of the replica may be NULL: the primary tells. */
    const char *primary;
    const char *token; /* that it wants; NULL: none */
    /* A PEM file: whose certificates a primary with https:// may have, and nobody else's. NULL:
     * those in SSL_CERT_FILE, else the system's. */
    const char *primary_ca_file;
} weir_follow_options;

/* Keep a copy of the database at `path`, which advances with the replica until `cancel` is
 * canceled: that is WEIR_OK. With a primary it may be ahead of the replica, by what was not
 * uploaded yet; if that never is, since the primary is lost, it is undone when the replica goes on
 * from where the two were last seen to be the same.
 * First it is restored, or gone on with if an earlier call has left it there.
 *
 * The copy is an ordinary database, not in WAL mode, that any program may read meanwhile with any
 * SQLite; whoever reads sees one state, whole. It changes in one moment, through a rollback
 * journal: a process that is killed leaves either state. A transaction that is being read is waited
 * for. Two files lie beside it: "<path>-txid" has the transaction, 16 hex digits and a newline, and
 * "<path>-follow" what is needed to go on. Whatever may pass is tried again for ever, and told by
 * `fn` and the log. `opt` and `ret` may be NULL; `ret` is of the restore, but has the last txid.
 *
 * WEIR_NOTFOUND: there is nothing to restore; backups of Litestream 0.3 cannot be followed.
 * WEIR_BUSY: another process follows into the same copy. WEIR_CONFLICT: there is something else at
 * `path`; or something else has written to the copy, so that it is none any more; or the replica
 * goes on from another database, or ends before it. WEIR_CORRUPT: the copy has pages that were not
 * written to it, or as weir_restore. The message says what can be done; the copy is left as it is.
 * Else as weir_restore. */
WEIR_API int weir_follow(weir *w, const char *url, const char *path, const weir_follow_options *opt,
    weir_restore_result *ret, weir_error *reterr);

/* ---- Promoting ---- */

#define WEIR_OWNER_MAX 160

typedef struct weir_promote_options {
    size_t struct_size;
    int64_t patience_ms; /* for a replica, or a copy, that gives errors or is read; default 30 s */
    uint32_t parallel;   /* objects read at once; default 8 */
    int32_t force; /* also where the store has no conditional writes, so that nothing but you keeps
                      the old primary from going on; and over a damaged lease */
    const char *const *settings;    /* of the replica, as for weir_db_add_replica */
    const char *const *db_settings; /* as for weir_db_add: where local state will be */
    weir_cancel *cancel;
} weir_promote_options;

/* Set struct_size before the call. */
typedef struct weir_promote_result {
    size_t struct_size;
    uint64_t epoch;             /* how many times somebody was promoted here, this one included */
    weir_txid txid;             /* the newest transaction that the database has; 0: see `before` */
    weir_txid next;             /* behind this one come those of its own */
    int64_t time_ms;            /* when `txid` was captured, Unix ms */
    int64_t since_ms;           /* when the lease was taken */
    int32_t before;             /* nonzero: an earlier call had done it all, and this one nothing */
    char owner[WEIR_OWNER_MAX]; /* as the lease has it: host:path */
} weir_promote_result;

/* Make the copy at `path`, which weir_follow has kept and nobody follows any more, the database
 * that writes to the replica: it is brought to the newest state and proven, takes the lease there
 * (the object "lease.json" beside the files), and shuts out whoever had replicated before, which
 * stops when it next sends something, and says why. No transaction that was acknowledged is lost.
 * Then it is an ordinary database, and weir_db_add goes on where the old one ended, without sending
 * all of it. A call that was killed or has failed is made once more, and finishes. `opt` and `ret`
 * may be NULL.
 *
 * WEIR_NOTFOUND: there is no copy, or nothing in the replica. WEIR_CONFLICT: what is at `path` is
 * no followed copy, or something else has written to it; or another promotion was faster.
 * WEIR_BUSY: a process follows, reads or writes it; or the old primary lives, and sends faster than
 * can be followed. WEIR_UNSUPPORTED: see `force`. WEIR_CORRUPT: the copy, the replica or the lease
 * is damaged. Unless the message says otherwise nothing has changed. */
WEIR_API int weir_promote(weir *w, const char *url, const char *path,
    const weir_promote_options *opt, weir_promote_result *ret, weir_error *reterr);

/* ---- Looking into a replica ---- */

#define WEIR_LEVEL_SNAPSHOT 9
#define WEIR_LEVEL_ALL      (-1)

typedef struct weir_file {
    int32_t level;
    weir_txid min_txid, max_txid;
    uint64_t size;    /* bytes */
    int64_t time_ms;  /* Unix ms */
    const char *name; /* without directories; dies with the call */
    const char *kept; /* of weir_retention alone; static */
} weir_file;

/* One file; nonzero stops the listing, which then returns WEIR_OK. On the calling thread. */
typedef int weir_file_fn(void *arg, const weir_file *file);

/* The files that weir_restore would read with the same options, in the order of their transactions,
 * unless it finds that one of them is no good: this goes by their names, and reads none of them.
 * Touches no local file. WEIR_NOTFOUND and WEIR_CORRUPT as weir_restore. */
WEIR_API int weir_plan(weir *w, const char *url, const weir_restore_options *opt, weir_file_fn *fn,
    void *arg, weir_error *reterr);

/* The LTX files of one level (0 to WEIR_LEVEL_SNAPSHOT), or of all by ascending level, each in the
 * order of their transactions. None at all is WEIR_OK. `settings` as for weir_restore; `cancel` may
 * be NULL. */
WEIR_API int weir_ltx_list(weir *w, const char *url, const char *const *settings, int level,
    weir_cancel *cancel, weir_file_fn *fn, void *arg, weir_error *reterr);

/* One database, of which a replica is at URL/name ("acme/app.db"); nonzero stops. On the calling
 * thread; `name` dies with the call. Whoever can write to the store chooses the name. `tame` is
 * nonzero if it is without control characters and no part of it between slashes is empty, "." or
 * "..": appended to a directory it leads out of that through links only. Make no path of others. It
 * need not be UTF-8. */
typedef int weir_stored_fn(void *arg, const char *name, int tame);

/* The databases that have a backup below `url`, as those of a directory have that is replicated
 * there, by ascending name; 100000 at most, else WEIR_LIMIT. None is WEIR_OK. A replica at `url`
 * itself is none of them. One listing of all that is there. `settings` and `cancel` as for
 * weir_ltx_list. */
WEIR_API int weir_stored(weir *w, const char *url, const char *const *settings, weir_cancel *cancel,
    weir_stored_fn *fn, void *arg, weir_error *reterr);

/* A TXID that weir_restore can be asked for, and what it would read. */
typedef struct weir_point {
    weir_txid txid;
    int64_t time_ms; /* Unix ms: a restore compares this with the time that it is asked for */
    uint32_t files;  /* that would be read */
    uint64_t bytes;  /* in them */
    int32_t level;   /* of the last of them */
    int32_t finest;  /* the lowest level that has a file that ends here */
    uint32_t run;  /* the same number: points that follow each other, made by files of one level */
    int32_t exact; /* 0: time_ms is when the file arrived in the store, which is later */
    /* What a restore with time_ms + 1 ends at: `txid`, unless the times of files do not ascend;
     * then it may be a later one, and this one can be had by its TXID only. 0: not known, since
     * times are not exact. */
    weir_txid by_time;
} weir_point;

/* One point; nonzero stops the listing, which then returns WEIR_OK. On the calling thread. */
typedef int weir_point_fn(void *arg, const weir_point *point);

typedef struct weir_points_options {
    size_t struct_size;
    int64_t since_ms; /* leave out points from before this Unix time; 0: none */
    int64_t until_ms; /* and those that are not from before this one; 0: none */
    /* Nonzero: all times exact. On S3 listings do not have them, and this is one request for each
     * file that arrived after since_ms or in the hour before it; without it only the first and the
     * last point of each run are asked for, if there are not more than 100 runs, and the newest. */
    int32_t exact;
    uint32_t parallel;           /* requests at once; default 8 */
    const char *const *settings; /* as for weir_restore */
    weir_cancel *cancel;
} weir_points_options;

/* Of the whole replica, whatever the options leave out. Set struct_size before the call. */
typedef struct weir_points_result {
    size_t struct_size;
    weir_txid newest; /* what weir_restore would take, unless there is a gap; 0: no point */
    int64_t newest_ms;
    /* TXIDs from this one on are in files that nothing leads to, behind the newest point; 0: none.
     * weir_restore then takes a point by its TXID or time only, and else returns WEIR_CORRUPT. */
    weir_txid gap;
    /* The oldest snapshot and the newest object of Litestream 0.3, Unix ms; 0: none. A restore by
     * time, or of the newest state, may take these instead; they have no TXIDs. */
    int64_t legacy_from_ms, legacy_to_ms;
} weir_points_result;

/* All points of a replica, ascending by TXID. This goes by names: that a file is damaged shows when
 * it is read. Touches no local file. `opt` and `ret` may be NULL.
 *
 * WEIR_NOTFOUND: there is no backup at all. A replica with nothing but a gap, or backups of 0.3, or
 * nothing between the times, has no points, and is WEIR_OK. */
WEIR_API int weir_points(weir *w, const char *url, const weir_points_options *opt,
    weir_point_fn *fn, void *arg, weir_points_result *ret, weir_error *reterr);

/* What retention would do to a replica now, by `db_settings` as for weir_db_add, of which the ones
 * about other things are checked and ignored: all its files, in the order of weir_ltx_list. `kept`
 * is NULL for those that a runtime which replicates there would find too old, and delete
 * "retention.grace" later; else the reason in a word: "time" (of snapshot.retention or
 * l0-retention), "newest" (of its level), "count" (snapshot.keep), "hour", "day", "week", "month",
 * "year" (it is that one's point), "chain" (another point that is kept needs it), or "promotion"
 * (its name keeps an old primary out). Deletes nothing. `settings` as for weir_restore; `cancel`
 * may be NULL. */
WEIR_API int weir_retention(weir *w, const char *url, const char *const *db_settings,
    const char *const *settings, weir_cancel *cancel, weir_file_fn *fn, void *arg,
    weir_error *reterr);

/* ---- Verifying a replica ---- */

enum {
    WEIR_FINDING_FILE = 1, /* this object is damaged, or does not fit the others */
    WEIR_FINDING_LOST = 2, /* transactions that objects are named after, and nothing restores */
    WEIR_FINDING_LIVE =
        3 /* the database is not what the replica has: weir_verify_options.db_path */
};

/* Something that is wrong with a replica. All pointers die with the call. */
typedef struct weir_finding {
    int32_t kind;                 /* WEIR_FINDING_* */
    int32_t level;                /* FILE: of the object; else -1 */
    const char *key;              /* FILE: of the object, in its bucket or directory; else NULL */
    weir_txid min_txid, max_txid; /* FILE: those of its name; LOST: the first and last one lost;
                                   * LIVE: the last one compared */
    uint64_t points;              /* LOST: how many of them could be restored, were all well */
    const char *text;             /* what is wrong, one sentence or two */
} weir_finding;

/* On the calling thread. */
typedef void weir_finding_fn(void *arg, const weir_finding *finding);

typedef struct weir_verify_options {
    size_t struct_size;
    uint32_t parallel;           /* objects read at once; default 4 */
    const char *const *settings; /* as for weir_restore */
    weir_cancel *cancel;
    weir_progress_fn *progress; /* NULL: none */
    void *progress_arg;
    /* Compare the newest state with this database, too. What it has and the replica has not is
     * waited for: a minute if db_wait_ms is 0. NULL: none. */
    const char *db_path;
    int64_t db_wait_ms;
} weir_verify_options;

/* Set struct_size before the call. A point is a transaction that can be restored. */
typedef struct weir_verify_result {
    size_t struct_size;
    uint64_t points;
    uint64_t points_proven; /* an object records the checksum of that database, and it is right */
    uint64_t points_structure; /* all others: Litestream's objects record none, and are whole */
    uint64_t points_lost;      /* cannot be restored, and should be */
    uint64_t findings;
    uint64_t files;      /* in the replica */
    uint64_t files_read; /* some are of no use any more, and are not */
    uint64_t files_old;  /* that no restore can use, as retention leaves them for a while */
    uint64_t files_gone; /* deleted while this ran: no finding */
    uint64_t bytes_read;
    weir_txid first_txid, last_txid, proven_txid; /* of the points; the last proven one; 0: none */
    int64_t first_ms, last_ms, proven_ms;         /* when these objects were made, Unix ms */
    weir_txid structure_first, structure_last;    /* the range of points_structure; 0: none */
    weir_txid live_txid;    /* at which, or right after which, the database was read; 0: none */
    uint32_t live_pages;    /* of it, that are the same there */
    uint32_t live_changing; /* the others, which were being written: these tell nothing */
} weir_verify_result;

/* Prove from the objects of a replica alone that every point in it can be restored: each object
 * that a restore may use is read in full, once as a rule, must be whole, continue what comes before
 * it, and give the database that it records. Nothing is written, here or there. `opt`, `fn` and
 * `ret` may be NULL; `ret` is also written, as far as it went, when the call fails. The replica may
 * be written to meanwhile.
 *
 * WEIR_CORRUPT: there were findings; the message is the first one. WEIR_NOTFOUND: there is no
 * backup, or only one of Litestream 0.3, which this does not read. WEIR_UNSUPPORTED: nothing is
 * wrong with the replica, but the database of `db_path` cannot be read, and the message tells why.
 * Any other failure is no verdict: the replica could not be read to its end. What cannot be told:
 * objects newer than all others that were deleted. */
WEIR_API int weir_verify(weir *w, const char *url, const weir_verify_options *opt,
    weir_finding_fn *fn, void *arg, weir_verify_result *ret, weir_error *reterr);

/* ---- Trying a store ---- */

enum {
    WEIR_FROM_URL = 1,      /* the URL itself */
    WEIR_FROM_SETTINGS = 2, /* what the caller gave */
    WEIR_FROM_ENV = 3,      /* a variable of the environment */
    WEIR_FROM_FILE = 4,     /* the shared credentials file */
    WEIR_FROM_DEFAULT = 5   /* nobody: it is built in */
};

/* A value that counts. All pointers die with the call. */
typedef struct weir_setting {
    const char *key;
    const char *value; /* NULL: a secret, which is there */
    int32_t from;      /* WEIR_FROM_* */
    const char *env;   /* FROM_ENV: the variable */
} weir_setting;
typedef void weir_setting_fn(void *arg, const weir_setting *setting);

/* What weir_db_add would go by: every setting that has an effect, given or not, in a fixed order
 * and spelling ("24h", "30s,5m,1h"). Without "retention.enabled" there is no word of retention.
 * Codes as weir_db_add. */
WEIR_API int weir_db_settings(
    const char *const *settings, weir_setting_fn *fn, void *arg, weir_error *reterr);

/* What a store would be spoken to with, after the URL, the settings and the environment have been
 * looked at; "sync-interval" and the like, which are no settings of stores, are left out. Nothing
 * is sent anywhere. Codes as weir_db_add_replica. */
WEIR_API int weir_store_settings(const char *url, const char *const *settings, weir_setting_fn *fn,
    void *arg, weir_error *reterr);

/* What weir_store_probe does, in this order. */
enum {
    WEIR_PROBE_PUT = 1,    /* write an object of a kilobyte */
    WEIR_PROBE_GET = 2,    /* read a range of it */
    WEIR_PROBE_LIST = 3,   /* find it in a listing */
    WEIR_PROBE_CREATE = 4, /* write another on condition that it is not there, twice: once too often
                            */
    WEIR_PROBE_UPLOAD = 5, /* write a third one as an upload in parts */
    WEIR_PROBE_DELETE = 6  /* delete them, and see that they are gone */
};

/* `code` is WEIR_OK, or says what went wrong, and `text` tells it; WEIR_UNSUPPORTED: the store does
 * something else than it was asked for. `text` dies with the call. */
typedef struct weir_probe_step {
    int32_t step; /* WEIR_PROBE_* */
    int32_t code;
    int64_t ns; /* that it took */
    const char *text;
} weir_probe_step;
/* On the calling thread. */
typedef void weir_probe_fn(void *arg, const weir_probe_step *step);

typedef struct weir_probe_options {
    size_t struct_size;
    int64_t step_ms;             /* for each step; default 10000 */
    const char *const *settings; /* as for weir_restore */
    weir_cancel *cancel;
} weir_probe_options;

/* Set struct_size before the call. */
typedef struct weir_probe_result {
    size_t struct_size;
    uint32_t left;   /* objects that could not be deleted, and may be there */
    int32_t dated;   /* nonzero: the store has told its time */
    int64_t skew_ms; /* its clock minus ours, to a second or two */
} weir_probe_result;

/* Try whether a store does what replication needs of it. What is written, at most three objects of
 * a kilobyte beside the replica's, is called "weir-probe-<32 hex>", which nobody takes for a part
 * of a backup, and deleted again, also after a failure or a cancel. A step that needs one that
 * failed is left out: after a refused WEIR_PROBE_PUT only the listing is tried. `opt` and `ret` may
 * be NULL. Fails with the code and the text of the first step that failed. */
WEIR_API int weir_store_probe(weir *w, const char *url, const weir_probe_options *opt,
    weir_probe_fn *fn, void *arg, weir_probe_result *ret, weir_error *reterr);

#ifdef __cplusplus
}
#endif
#endif
