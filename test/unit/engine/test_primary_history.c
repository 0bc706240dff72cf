/*
 * test_primary_history.c - levels, snapshots and retention on real threads, a hundred times as fast
 * as in life, while the database is written, checkpointed, let go and attached again.
 */
#include "base/str.h"
#include "harness/engine_world.h"
#include "storage/drivers.h"
#include "unit/engine/world_bucket.h"

#include <fcntl.h>
#include <sys/stat.h>

#define WAIT_S 60

static void start(struct world *w, uint64_t inline_bytes)
{
    struct wr_sched_opts so = {.clock = wr_clock_system()};
    struct wr_err e = {0};

    w->opts.path = w->path;
    w->opts.inline_bytes = inline_bytes;
    w->opts.checkpoint_frames = 30;
    w->opts.cadence =
        (struct wr_cadence){.levels = 2, .level_ms = {20, 60}, .snapshot_ms = 150, .few = 2};
    w->opts.retention = (struct wr_retention){.keep_ms = 400, .l0_ms = 50, .grace_ms = 100};
    T_OK(wr_sched_new(&so, &w->sched, &e));
    T_OK(wr_db_new(w->sched, &w->opts, &w->db, &e));
    for (size_t i = 0; i < w->n_buckets; i++)
        T_OK(wr_db_add_replica(w->db, world_storage(w, i), 1, &e));
    wr_db_start(w->db);
}

static void sync_all(struct world *w)
{
    struct wr_err e = {0};
    uint64_t txid = 0;

    T_OK(wr_db_sync(w->db, WR_DB_SYNC_REMOTE, WAIT_S * 1000, NULL, &txid, &e));
}

/* Somebody writes past SQLite's locks: the database is let go, and attached again. */
static void touch(struct world *w, unsigned i)
{
    const struct timespec times[2] = {{1000000000 + i, 0}, {1000000000 + i, 0}};

    T(utimensat(AT_FDCWD, w->path, times, 0) == 0);
    wr_db_wake(w->db);
}

static void write_rounds(struct world *w, unsigned n, bool let_go)
{
    for (unsigned i = 0; i < n; i++) {
        char sql[200];

        (void)snprintf(sql, sizeof(sql),
            i % 9 == 5 ? "DELETE FROM t WHERE a>150; PRAGMA incremental_vacuum"
                       : "UPDATE t SET b=randomblob(3000) WHERE a%%7=%u; INSERT INTO t(b) "
                         "VALUES(randomblob(9000))",
            i % 7);
        world_sql(w, sql);
        wr_db_wake(w->db);
        if (i % 5 == 0)
            sync_all(w);
        t_sleep_ms(1 + i % 4);
        if (let_go && i % 40 == 39)
            touch(w, i);
    }
    sync_all(w);
}

static void live(uint64_t inline_bytes, bool let_go)
{
    const char *lives = getenv("WEIR_TEST_LIVES");
    uint64_t n = 2;
    struct world w;

    if (lives)
        T(wr_parse_u64(wr_str(lives), &n));
    world_open(&w, 2);
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); WITH RECURSIVE c(x) AS (SELECT 1 "
                  "UNION ALL SELECT x+1 FROM c WHERE x<150) INSERT INTO t SELECT x, "
                  "randomblob(3000) FROM c");
    for (uint64_t life = 0; life < n; life++) {
        start(&w, inline_bytes);
        write_rounds(&w, 250, let_go);
        world_stop(&w); /* in the middle of whatever is under way */
        world_check(&w, 0);
        world_check(&w, 1);
    }
    T(bucket_count_level(&w, 9, NULL) > 0 && bucket_count_level(&w, 1, NULL) > 0);
    world_close(&w);
}

static void test_files_in_memory(void **state)
{
    (void)state;
    live(0, false);
}

static void test_files_read_while_they_are_sent(void **state)
{
    (void)state;
    live(1, false);
}

static void test_let_go_while_they_are_sent(void **state)
{
    (void)state;
    live(1, true);
}

/* Who asks waits, and is woken. */
static void test_work_that_is_waited_for(void **state)
{
    struct world w;
    struct wr_err e = {0};
    uint64_t value = 0, txid = 0;

    (void)state;
    world_open(&w, 2);
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    start(&w, 0);
    sync_all(&w);
    for (unsigned i = 0; i < 20; i++) {
        world_sql(&w, "INSERT INTO t(b) VALUES(randomblob(3000))");
        T_OK(wr_db_work(w.db, WR_WORK_KEEP_UP, WAIT_S * 1000, NULL, &value, &e));
        T_OK(wr_db_work(w.db, WR_WORK_SNAPSHOT, WAIT_S * 1000, NULL, &txid, &e));
        T(txid >= 2 + i);
        T_OK(wr_db_work(w.db, WR_WORK_RETAIN, -1, NULL, &value, &e));
    }
    sync_all(&w);
    world_stop(&w);
    world_check(&w, 0);
    world_check(&w, 1);
    world_close(&w);
}

T_MAIN(T_TEST(test_work_that_is_waited_for), T_TEST(test_files_in_memory),
    T_TEST(test_files_read_while_they_are_sent), T_TEST(test_let_go_while_they_are_sent))
