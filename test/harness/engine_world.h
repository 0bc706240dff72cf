/*
 * engine_world.h - the engine on the manual scheduler: one database, replicas in memory, and the
 * time that the test gives it. The application is a second SQLite connection in this process.
 */
#ifndef WR_TEST_ENGINE_WORLD_H
#define WR_TEST_ENGINE_WORLD_H

#include "engine/primary.h"
#include "fake/faultstore.h"
#include "harness/t.h"
#include "run/sched.h"

#include <sqlite3.h>

struct world {
    const char *dir, *path;
    struct wr_clock_manual clock;
    struct wr_sched *sched;
    struct wr_db *db;
    void *bucket[4]; /* mem driver states; the test's own references */
    size_t n_buckets;
    sqlite3 *app;
    int64_t interval_ns;
    struct wr_db_opts opts;
    /* NULL, or what arms the faults of a replica's store when the daemon starts. */
    void (*arm)(struct world *w, struct faultstore *f);
    uint64_t arm_seed;
    struct faultstore *fault[4]; /* while started with `arm` */
    /* Lines of these levels in the log since the daemon was started, and the last ones; of the
     * lowest the last but one as well. */
    unsigned errors, warnings;
    char error[1024], warning[1024], info[1024], info_before[1024];
};

/* Who says nothing else of `opts.scan_ns` has the slow look of a database that is watched:
 * world_run tells of writes, and hours would be looks for the most part. */
#define WORLD_SCAN ((int64_t)60000000000)

/* A fresh directory and `buckets` empty replicas; no database file yet, nothing started. */
void world_open(struct world *w, size_t buckets);
void world_close(struct world *w);

void world_out_of_reach(
    struct world *w, struct faultstore *f); /* for world.arm: nothing succeeds */
void world_start(struct world *w);          /* the daemon: scheduler, database actor, replicas */
void world_stop(struct world *w); /* frees them; as abrupt as a kill for what is not yet stored */

/* What it keeps beside the database is gone, but for its number. */
void world_lose_state(struct world *w);

/* The application opens its connection (WAL mode, page size 4096 unless it exists), runs SQL. */
void world_app(struct world *w);
void world_app_close(struct world *w);
void world_sql(struct world *w, const char *sql);

/* The first page of the application's wal-index, to be changed behind its back, for as long as the
 * process lives: to close the file would drop SQLite's locks on it. */
uint8_t *world_index(struct world *w);

/* Run every step that is due; let time pass for timers up to `ns` from now. */
void world_run(struct world *w, int64_t ns);

/* As world_run, but without an event: timers only. Gives up after `steps_max` steps; how many it
 * ran. */
uint64_t world_pass(struct world *w, int64_t ns, uint64_t steps_max);

/* Sync to all replicas within 60 s of virtual time; the TXID. */
uint64_t world_sync(struct world *w);

/* As wr_db_work, within `ns` of virtual time; BUSY: it is not done by then. */
enum wr_status world_work(
    struct world *w, enum wr_work kind, int64_t ns, uint64_t *ret_value, struct wr_err *e);

/* Restore `txid` (0: newest) of bucket `i` and return the file's bytes (owned by the harness). */
struct wr_bytes world_restore(struct world *w, size_t i, uint64_t txid);
/* Copy a file in another process: closing a descriptor here would drop SQLite's locks on it. */
void world_copy(const char *from, const char *to);
/* What a checkpointed copy of the database looks like now. */
struct wr_bytes world_image(struct world *w);
/* Let SQLite and every world put the lock page where small databases have it. Once, at first. */
#define WORLD_LOW_LOCK 0x10000u
void world_low_lock_page(void);
/* world_restore(newest) equals world_image, byte for byte. */
void world_check(struct world *w, size_t i);

/* What it has failed with, in words; until the next call of either. */
const char *world_error(struct wr_db *db);
const char *world_replica_error(struct wr_db *db, size_t i);

struct wr_storage *world_storage(struct world *w, size_t i); /* a new handle; close it */

#endif
