/*
 * Memory runs out once, at each allocation in turn, while a database is attached, captured, sent,
 * checkpointed and restarted. Nothing may crash, nothing leak (the sanitizer
 * looks at the end), and as soon as there is memory again the
 * replica must catch up and hold exactly the database.
 */
#include "harness/engine_world.h"

#include "base/mem.h"
#include "storage/drivers.h"

#define SECOND ((int64_t)1000000000)

/* A short life that needs each kind of allocation; `nth` fails. Whether that many were made. */
static bool live_with_failure(int64_t nth)
{
    struct world w;
    bool fired;

    world_open(&w, 2);
    w.interval_ns = SECOND;
    w.opts.checkpoint_frames = 10;
    w.opts.cadence = (struct wr_cadence){.levels = 1, .level_ms = {1000}, .snapshot_ms = 2000};
    world_app(&w);
    world_sql(&w, "PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a INTEGER PRIMARY KEY, b);"
                  "INSERT INTO t VALUES(1, randomblob(20000))");
    world_start(&w);
    wr_mem_fail_after(nth);
    world_run(&w, 3 * SECOND);
    world_sql(&w, "INSERT INTO t VALUES(2, randomblob(60000))");
    world_run(&w, 3 * SECOND);
    world_sql(&w, "DELETE FROM t WHERE a = 1; VACUUM");
    world_run(&w, 3 * SECOND);
    fired = wr_mem_fault_fired();
    wr_mem_fail_after(-1);
    world_sql(&w, "INSERT INTO t VALUES(3, 'three')");
    (void)world_sync(&w);
    world_check(&w, 0);
    world_check(&w, 1);
    world_close(&w);
    return fired;
}

static void test_memory_runs_out_once(void **state)
{
    int64_t n = 0;

    (void)state;
    while (live_with_failure(n))
        n++;
    T(n > 50);
}

/* A scheduler, a database, a replica, and their end. */
static enum wr_status make(void *arg)
{
    struct wr_clock_manual clock;
    struct wr_sched_opts so = {.clock = &clock.clock, .manual = true};
    const struct wr_db_opts *o = arg;
    struct wr_sched *sched = NULL;
    struct wr_db *db = NULL;
    struct wr_storage *s = NULL;
    void *bucket = NULL;
    struct wr_err e = {0};
    enum wr_status st;

    wr_clock_manual_init(&clock, 0);
    st = wr_sched_new(&so, &sched, &e);
    if (st == WR_OK)
        st = wr_db_new(sched, o, &db, &e);
    if (st == WR_OK)
        st = wr_storage_mem.open(NULL, &bucket, &e);
    if (st == WR_OK)
        st = wr_storage_wrap(&wr_storage_mem, bucket, WR_STR(""), &s, &e);
    if (st == WR_OK)
        st = wr_db_add_replica(db, s, SECOND, &e);
    else if (bucket)
        wr_storage_mem.close(bucket);
    wr_db_free(db);
    wr_sched_free(sched);
    return st;
}

static void test_no_memory_to_make_one(void **state)
{
    struct wr_db_opts o = {.path = "/nowhere/at/all.db"};

    (void)state;
    t_sweep_nomem(make, &o);
    o.meta_dir = "/nowhere/else";
    o.cadence.levels = 1;
    t_sweep_nomem(make, &o);
}

static void test_one_replica_too_many(void **state)
{
    struct world w;
    struct wr_err e = {0};

    (void)state;
    world_open(&w, 1);
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a)");
    world_start(&w);
    for (int i = 1; i < WR_REPLICAS_MAX; i++)
        T_OK(wr_db_add_replica(w.db, world_storage(&w, 0), SECOND, &e));
    T_IS(WR_LIMIT, wr_db_add_replica(w.db, world_storage(&w, 0), SECOND, &e));
    T(strstr(e.text, "at most 8 replicas") != NULL);
    world_close(&w); /* the one that was refused is not waited for */
}

T_MAIN(T_TEST(test_memory_runs_out_once), T_TEST(test_no_memory_to_make_one),
    T_TEST(test_one_replica_too_many))
