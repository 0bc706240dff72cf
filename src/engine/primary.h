/*
 * primary.h - the actor of one database that is being replicated.
 *
 * owned by its actor; the functions below are messages to it and may be called from any thread.
 */
#ifndef WR_ENGINE_PRIMARY_H
#define WR_ENGINE_PRIMARY_H

#include "base/base.h"
#include "base/file.h"
#include "base/status.h"
#include "engine/cadence.h"
#include "engine/replica.h"
#include "engine/retain.h"
#include "run/sched.h"
#include "sqlite/peek.h"

#define WR_REPLICAS_MAX 8

struct wr_buf;
struct wr_db;
struct wr_feed_at;
struct wr_parcel_room;
struct wr_seats;
struct wr_watch;

#define WR_CHECKPOINT_FRAMES 800 /* or up to five times as many, if they come slowly */

struct wr_db_opts {
    const char *path;            /* of the database; it need not exist yet */
    const char *meta_dir;        /* local state; NULL: ".<name>-weir" beside the database */
    const struct wr_fs *fs;      /* for local state; NULL: wr_fs_posix() */
    struct wr_seats *seats;      /* NULL: it is held open all the time; it outlives the database */
    struct wr_parcel_room *room; /* NULL: none for large files; it outlives the database */
    struct wr_watch *watch;      /* NULL: look at the database every scan_ns only */
    int64_t scan_ns;             /* slow look; 0: 60 s with a watch, 1 s without */
    uint32_t checkpoint_frames;  /* checkpoint above that many frames; 0: WR_CHECKPOINT_FRAMES */
    uint64_t scan_bytes;         /* read of the database in one step when it must be; 0: 16 MiB */
    uint64_t inline_bytes;       /* a file of more pages is encoded while it is sent; 0: 8 MiB */
    uint32_t lock_offset;        /* of SQLite's lock page; 0: 0x40000000 */
    struct wr_cadence cadence;   /* of compaction and snapshots */
    struct wr_retention retention; /* where there is a cadence; = {0}: nothing is deleted */
    int64_t verify_ms;             /* each replica is verified so often; 0: never */
    int64_t look_ms; /* and looked at while it is written to (lookout.h); 0: half an hour */
    bool adopt;      /* every replica as by wr_db_adopt_replica */
    uint64_t seed;   /* of all jitter, so that runs repeat; 0: another one each time */
};

/* With what it has to know of the cadence. */
static inline struct wr_retention wr_db_retention(const struct wr_db_opts *o)
{
    struct wr_retention r = o->retention;

    r.level_ms = o->cadence.levels > 0 ? o->cadence.level_ms[0] : 0;
    return r;
}

enum wr_status wr_db_new(struct wr_sched *sched, const struct wr_db_opts *o, struct wr_db **ret,
    struct wr_err *e) WR_MUST_CHECK;

/* At any time; it is listed and joins by itself. `storage` becomes the database's, also on failure.
 * LIMIT over WR_REPLICAS_MAX. */
enum wr_status wr_db_add_replica(struct wr_db *db, struct wr_storage *storage,
    int64_t sync_interval_ns, struct wr_err *e) WR_MUST_CHECK;
/* The same; its newest state is this database's, whoever wrote it. */
enum wr_status wr_db_adopt_replica(struct wr_db *db, struct wr_storage *storage,
    int64_t sync_interval_ns, struct wr_err *e) WR_MUST_CHECK;

void wr_db_start(struct wr_db *db); /* once */

/* Detach, and free everything; what is not sent stays for the next start. NULL-safe. */
void wr_db_free(struct wr_db *db);

/* Ask that everything committed before this call is captured and sent without waiting for the sync
 * interval; *ret_ticket names the request. */
void wr_db_sync_begin(struct wr_db *db, uint64_t *ret_ticket);
/* The same, but nothing is captured or sent for it that would not be anyway. */
void wr_db_sync_await(struct wr_db *db, uint64_t *ret_ticket);
/* Whether it is done: OK with *ret_txid when the TXID is captured (`remote` false), or with one
 * that holds it and is in every replica, though a replica that has joined later than another may
 * have it only within a file that goes further; BUSY (no text) while it is not; else what keeps the
 * database or a replica from ever getting there: what replicas have stopped with for good is told,
 * of all of them, when those that have not are done. NOTFOUND: the database does not exist, or has
 * no replica. */
enum wr_status wr_db_sync_poll(struct wr_db *db, uint64_t ticket, bool remote, uint64_t *ret_txid,
    struct wr_err *e) WR_MUST_CHECK;
/* Behind the last sync of all: each replica says how far it reaches, so that what is deleted of it
 * is missed (extent.h). Then wait for that: nothing depends on it. */
void wr_db_leave_replicas(struct wr_db *db);
void wr_db_leave_await(struct wr_db *db, int64_t end_ns);

enum wr_db_sync_how {
    WR_DB_SYNC_LOCAL,
    WR_DB_SYNC_REMOTE,
    WR_DB_SYNC_AWAIT, /* remote, by wr_db_sync_await */
};
/* Both, waiting at most `timeout_ms` (negative: for ever); TIMEOUT names what it waited for; BUSY:
 * another process replicates the database. `cancel` may be NULL. Not in manual mode. */
enum wr_status wr_db_sync(struct wr_db *db, enum wr_db_sync_how how, int64_t timeout_ms,
    struct wr_cancel *cancel, uint64_t *ret_txid, struct wr_err *e) WR_MUST_CHECK;

/* Work on the replicas that waits for its time, or for nothing, and that somebody wants now. Before
 * each of them all is synced, as by wr_db_sync. */
enum wr_work {
    /* A snapshot of the newest state is in every replica, if it was not before: the value is its
     * TXID, the least one of all. */
    WR_WORK_SNAPSHOT,
    /* Files of levels above 0, and a snapshot, which by their cadence are due by now. */
    WR_WORK_KEEP_UP,
    /* What retention does not keep, and did not grace_ms ago, as far as that can be told from here,
     * is deleted: the value is how many files went since the last time, of all replicas. */
    WR_WORK_RETAIN,
    WR_WORKS,
};
struct wr_work_ticket {
    enum wr_work kind;
    uint64_t sync, own;
};
void wr_db_work_begin(struct wr_db *db, enum wr_work kind, struct wr_work_ticket *ret);
/* Whether it is done in all replicas: OK with *ret_value; BUSY (no text) while it is not; else what
 * failed, of the first replica for which it did, when all others are done. A failure is not
 * waited out: it may pass, and what was begun goes on behind it. A replica that is out of reach for
 * a minute has failed. NOTFOUND, UNSUPPORTED: as wr_db_sync_poll. */
enum wr_status wr_db_work_poll(struct wr_db *db, const struct wr_work_ticket *t,
    uint64_t *ret_value, struct wr_err *e) WR_MUST_CHECK;
/* Both, as wr_db_sync, and BUSY as there. What keeps the database itself from being captured is
 * waited out for a minute. */
enum wr_status wr_db_work(struct wr_db *db, enum wr_work kind, int64_t timeout_ms,
    struct wr_cancel *cancel, uint64_t *ret_value, struct wr_err *e) WR_MUST_CHECK;

/* Work of one kind, since wr_db_new. */
struct wr_db_effort {
    uint64_t n, errors;
    int64_t ns; /* spent, on those that failed as well */
};

#define WR_DB_HOLDS 10

struct wr_db_counts {
    uint64_t wal_bytes;           /* of frames that were read from the WAL, heads included */
    struct wr_db_effort captures; /* that found something new; errors: any that held it up */
    struct wr_db_effort passive,
        truncate; /* checkpoints; one that readers kept short is no error */
    /* Times that we had the writer lock for at most 0.1, 0.3, 1, 3, 10, 30, 100, 300 and 1000 ms,
     * and for longer; and what they add up to. */
    uint64_t holds[WR_DB_HOLDS];
    int64_t holds_ns;
};

struct wr_db_status;
/* Count the writer lock as held for so long. */
void wr_db_count_hold(struct wr_db_status *s, int64_t held_ns);

struct wr_db_status {
    const char *state; /* one word, static */
    uint64_t txid;     /* last closed */
    uint32_t page_size, commit;
    uint64_t wal_frames;      /* in the WAL now */
    uint64_t wal_bytes;       /* of it, up to the last commit */
    uint64_t wal_file_bytes;  /* of its file, as far as is known */
    uint64_t commits, frames; /* captured since it was attached */
    uint64_t changes;         /* commits that the wal-index counted meanwhile: the same number */
    uint64_t checkpoints, resets, barriers_failed, forks, ledger_scans, full_sends;
    uint64_t scanned;       /* pages, by those scans */
    uint64_t kept_pages;    /* copied aside for files that were being sent from the live database */
    int64_t barrier_max_ns; /* longest hold of the writer lock */
    struct wr_db_counts counts;
    bool rival;            /* another process has held the checkpoint lock for seconds */
    bool proven;           /* txid, and what is captured beyond it, are this database's */
    uint32_t closed_count; /* iChange of the wal-index, up to which txid holds all commits */
    bool disk_full;        /* of the database, or of local state */
    uint8_t safe;          /* bit i: what replica i says it has is of this history, and whole */
    enum wr_status error;  /* of the last failure to attach or capture; LIMIT: a disk is full */
    size_t n_replicas;
};
void wr_db_status(struct wr_db *db, struct wr_db_status *ret);
void wr_db_error(struct wr_db *db, struct wr_err *ret); /* that of the status, in words */
/* `i` < n_replicas. *ret_name lives as long as the database. */
void wr_db_replica_status(
    struct wr_db *db, size_t i, struct wr_replica_status *ret, struct wr_str *ret_name);

/* As wr_storage_address. */
enum wr_status wr_db_replica_address(
    struct wr_db *db, size_t i, struct wr_buf *out, struct wr_err *e) WR_MUST_CHECK;

/* The same of what is not looked at all the time. */
void wr_db_replica_account(struct wr_db *db, size_t i, struct wr_replica_account *ret);

/* How its requests went, by class. */
void wr_db_replica_times(
    struct wr_db *db, size_t i, struct wr_storage_times ret[WR_STORAGE_CLASSES]);

/* What applications have committed, beside what the engine has got. For a watcher that does not
 * believe the engine: `seen` and `count` come from the wal-index, or the files, as they are now,
 * and are there for whoever asks, whatever the database's steps do, or hang in. */
struct wr_db_glance {
    enum wr_peek_state seen;
    uint32_t count; /* iChange, with WR_PEEK_OPEN */
    bool exists;    /* with WR_PEEK_CLOSED: there is a file that is not empty */
    bool proven;    /* from here on as in wr_db_status, as the last step left it */
    uint32_t closed_count;
    uint64_t txid;
    uint64_t scanned;
};
void wr_db_glance(struct wr_db *db, struct wr_db_glance *ret);

/* For how many nanoseconds writers have been kept out by us; 0: they are not. Milliseconds, unless
 * this process was stopped or a disk hangs. Waits for nothing. */
int64_t wr_db_sealed_ns(const struct wr_db *db);

/* The monotonic end, in ns, of a wait of so many milliseconds; negative: WR_NEVER. */
int64_t wr_db_wait_end(int64_t timeout_ms);
/* What follows a state that somebody has (feed.h), of the newest commits. The first call, and each
 * one within ten minutes of the one before, keeps the last transactions in memory; for 30 s each
 * commit is captured at once. As wr_feed_read. */
enum wr_status wr_db_feed_read(struct wr_db *db, struct wr_feed_at *at, int64_t end_ns,
    struct wr_cancel *cancel, struct wr_buf *out, struct wr_err *e) WR_MUST_CHECK;

/* For tests and hosts without a watch: look at the database now. */
void wr_db_wake(struct wr_db *db);
/* The same, where nothing has happened but a write to its WAL. */
void wr_db_wake_wal(struct wr_db *db);

#endif
