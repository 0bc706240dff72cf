/*
 * Memory runs out once, at each allocation in turn, while a database is attached, captured, sent,
 * checkpointed and restarted. Nothing may crash, nothing leak (the sanitizer
 * looks at the end), and as soon as there is memory again the
 * replica must catch up and hold exactly the database.
 */
#include "harness/engine_world.h"

#include "base/mem.h"

#define SECOND ((int64_t)1000000000)

/* A short life that needs each kind of allocation; `nth` fails. Whether that many were made. */
static bool live_with_failure(int64_t nth)
{
    struct world w;
    bool fired;

    world_open(&w, 2);
    w.interval_ns = SECOND;
    w.opts.checkpoint_frames = 10;
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

T_MAIN(T_TEST(test_memory_runs_out_once))
