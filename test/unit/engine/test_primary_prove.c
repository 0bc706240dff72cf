/*
 * test_primary_prove.c - a database that takes many steps to be compared with its ledger, or to get
 * one, and what happens to it meanwhile. Slices are a few pages here.
 */
#include "base/mem.h"
#include "base/rand.h"
#include "harness/engine_world.h"

#include <unistd.h>

#define SECOND ((int64_t)1000000000)
#define SLICE  ((uint64_t)4 * 4096)

static bool proving(struct world *w)
{
    struct wr_db_status s;

    wr_db_status(w->db, &s);
    return strcmp(s.state, "proving") == 0;
}

/* A few steps, until the reading has begun. */
static void until_proving(struct world *w)
{
    for (int i = 0; i < 20 && !proving(w); i++)
        (void)world_pass(w, SECOND, 1);
    T(proving(w));
}

/* A replicated database of some 200 pages that is not attached. */
static void replicated(struct world *w)
{
    world_open(w, 1);
    w->opts.scan_bytes = SLICE;
    w->opts.checkpoint_frames = 10;
    world_app(w);
    world_sql(w, "PRAGMA synchronous=OFF; CREATE TABLE t(a INTEGER PRIMARY KEY, b);"
                 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<200)"
                 "INSERT INTO t SELECT i, randomblob(3500) FROM n");
    world_start(w);
    assert_int_equal(world_sync(w), 1);
    world_stop(w);
}

/* What the ledger alone can repair: the application checkpointed and went on without us. */
static void lose_the_wal(struct world *w)
{
    world_sql(w, "UPDATE t SET b=randomblob(3500) WHERE a % 9 = 0; PRAGMA wal_checkpoint(TRUNCATE);"
                 "UPDATE t SET b=randomblob(3500) WHERE a % 13 = 0");
}

static void catches_up(struct world *w)
{
    struct wr_db_status s;

    T(world_sync(w) >= 2);
    world_check(w, 0);
    wr_db_status(w->db, &s);
    T(s.error == WR_OK && strcmp(s.state, "syncing") == 0);
    assert_int_equal(s.ledger_scans, 1);
    assert_int_equal(s.commits, s.changes);
}

/* It is made once, even if nothing is written after that. */
static void test_a_new_ledger_serves_the_next_start(void **state)
{
    struct world w;
    struct wr_db_status s;

    (void)state;
    replicated(&w);
    world_sql(&w, "UPDATE t SET b=1 WHERE a=1");
    world_start(&w);
    assert_int_equal(world_sync(&w), 2);
    world_stop(&w);
    world_lose_state(&w);
    world_start(&w);
    assert_int_equal(world_sync(&w), 2);
    world_stop(&w);
    world_start(&w);
    assert_int_equal(world_sync(&w), 2);
    wr_db_status(w.db, &s);
    assert_int_equal(s.ledger_scans, 0);
    world_close(&w);
}

static void test_others_get_their_turn_meanwhile(void **state)
{
    struct world w;
    struct wr_bytes first;
    int steps = 0;

    (void)state;
    replicated(&w);
    first = world_restore(&w, 0, 1);
    lose_the_wal(&w);
    world_start(&w);
    until_proving(&w);
    for (; proving(&w); steps++)
        (void)world_pass(&w, 0, 1);
    T(steps >= 40); /* of four pages each */
    catches_up(&w);
    T(first.n == world_restore(&w, 0, 1).n);
    world_close(&w);
}

/* Writers do not stop, pages change before and after they were compared, and the WAL is
 * checkpointed under the reading. */
static void written_meanwhile(bool lose_ledger)
{
    struct wr_rand rng;
    struct world w;
    struct wr_db_status s;

    wr_rand_init(&rng, t_seed());
    for (int life = 0; life < 5; life++) {
        replicated(&w);
        lose_the_wal(&w);
        if (lose_ledger)
            world_lose_state(&w);
        world_start(&w);
        until_proving(&w);
        while (proving(&w)) {
            char text[200];

            /* Only the lower half: what the WAL had of the other one at first is overwritten. */
            (void)snprintf(text, sizeof(text),
                life < 3 || wr_rand_below(&rng, 30)
                    ? "UPDATE t SET b=randomblob(3000) WHERE a BETWEEN %u AND 100 AND a & 1"
                    : "DELETE FROM t WHERE a > %u AND a & 1; VACUUM;"
                      "INSERT INTO t VALUES(NULL, randomblob(30000))",
                (unsigned)wr_rand_below(&rng, 60) + 40);
            world_sql(&w, text);
            (void)world_pass(&w, 0, 1 + wr_rand_below(&rng, 3));
        }
        wr_db_status(w.db, &s);
        T(s.checkpoints > 0 && s.wal_frames < 400);
        catches_up(&w);
        world_close(&w);
    }
}

static void test_compared_while_it_is_written(void **state)
{
    (void)state;
    written_meanwhile(false);
}

static void test_a_ledger_is_made_while_it_is_written(void **state)
{
    (void)state;
    written_meanwhile(true);
}

/* Killed in the middle of it, after a checkpoint that took frames away: the next start must not
 * take what is noted for the truth. */
static void test_killed_while_it_is_compared(void **state)
{
    struct world w;
    struct wr_db_status s;

    (void)state;
    for (int life = 0; life < 8; life++) {
        replicated(&w);
        lose_the_wal(&w);
        if (life & 1)
            world_lose_state(&w);
        world_start(&w);
        until_proving(&w);
        for (int i = 0; i < 8 + life / 2; i++) {
            world_sql(&w, "UPDATE t SET b=randomblob(3500) WHERE a % 7 = 0");
            (void)world_pass(&w, 0, 1);
        }
        wr_db_status(w.db, &s);
        T(proving(&w) && s.checkpoints > 0);
        world_stop(&w);
        world_start(&w);
        catches_up(&w);
        world_close(&w);
    }
}

/* The file was written by others while its WAL goes on: that is known only to the process that saw
 * it, and must outlive it. */
static void test_killed_before_foreign_writes_are_found(void **state)
{
    struct world w;
    const char *other;
    struct wr_bytes was;
    uint8_t *bytes;

    (void)state;
    replicated(&w);
    world_sql(&w, "PRAGMA wal_checkpoint(TRUNCATE); UPDATE t SET b='x' WHERE a=1");
    other = t_path(w.dir, "other.db");
    world_start(&w);
    (void)world_sync(&w);
    /* The same database, but for a page in its middle. */
    world_copy(w.path, other);
    was = t_slurp(other);
    bytes = wr_alloc(was.n);
    T(bytes != NULL);
    memcpy(bytes, was.p, was.n);
    bytes[(size_t)150 * 4096 + 2000] ^= 1;
    t_spew(other, bytes, was.n);
    wr_free(bytes);
    world_copy(other, w.path);
    wr_db_wake(w.db);
    for (int i = 0; i < 200 && !proving(&w); i++)
        (void)world_pass(&w, SECOND, 1);
    T(proving(&w));
    world_stop(&w);
    world_start(&w);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

static void test_replaced_while_it_is_compared(void **state)
{
    struct world w;
    const char *copy;

    (void)state;
    replicated(&w);
    lose_the_wal(&w);
    copy = t_path(w.dir, "copy.db");
    world_start(&w);
    until_proving(&w);
    world_app_close(&w);
    world_copy(w.path, copy);
    (void)unlink(t_path(w.dir, "app.db-wal"));
    (void)unlink(t_path(w.dir, "app.db-shm"));
    T(rename(copy, w.path) == 0);
    world_app(&w);
    world_sql(&w, "UPDATE t SET b='new' WHERE a=3");
    world_run(&w, 10 * SECOND);
    T(world_sync(&w) >= 2);
    world_check(&w, 0);
    world_close(&w);
}

/* The file was cut off, so that SQLite refuses to checkpoint. The attempt was made again every five
 * seconds: to read the database, and to list the replicas. */
static void test_attempts_come_less_and_less_often(void **state)
{
    struct world w;
    struct wr_db_status s;
    const char *good;

    (void)state;
    replicated(&w);
    lose_the_wal(&w);
    world_sql(&w, "UPDATE t SET b=randomblob(3500) WHERE a % 6 = 0");
    good = t_path(w.dir, "good.db");
    world_copy(w.path, good);
    T(truncate(w.path, 100 * 4096) == 0);
    world_start(&w);
    world_run(&w, 3600 * SECOND);
    wr_db_status(w.db, &s);
    T(s.error != WR_OK && s.ledger_scans >= 50 && s.ledger_scans <= 70);
    world_copy(good, w.path);
    world_run(&w, 70 * SECOND);
    T(world_sync(&w) >= 2);
    world_check(&w, 0);
    wr_db_status(w.db, &s);
    T(s.error == WR_OK && strcmp(s.state, "syncing") == 0);
    world_close(&w);
}

/* ---- the same change to an even number of rows ---- */

/* Rows of equal length with a flag, a page each. */
static void with_flags(struct world *w)
{
    world_open(w, 1);
    world_app(w);
    world_sql(w, "CREATE TABLE t(a INTEGER PRIMARY KEY, flag, b);"
                 "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i+1 FROM n WHERE i<1060)"
                 "INSERT INTO t SELECT i, 'todo', randomblob(3072) FROM n");
    world_start(w);
    assert_int_equal(world_sync(w), 1);
}

static void test_equal_changes_while_the_ledger_is_lost(void **state)
{
    struct world w;

    (void)state;
    with_flags(&w);
    world_stop(&w);
    world_sql(&w, "UPDATE t SET flag='done' WHERE a IN (1010, 1020)");
    world_lose_state(&w);
    world_start(&w);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

static void entries(struct world *w, uint8_t *p, bool put)
{
    FILE *f = fopen(t_path(w->dir, ".app.db-weir/ledger"), "r+b");

    T(f && fseek(f, 4096, SEEK_SET) == 0);
    T(put ? fwrite(p, 1, 4096, f) == 4096 : fread(p, 1, 4096, f) == 4096);
    T(fclose(f) == 0);
}

/* A power cut: the ledger's header had been written back, and its entries had not. */
static void test_equal_changes_and_a_torn_ledger(void **state)
{
    static uint8_t old[4096];
    struct world w;

    (void)state;
    with_flags(&w);
    entries(&w, old, false);
    world_sql(&w, "UPDATE t SET flag='done' WHERE a IN (1010, 1020)");
    assert_int_equal(world_sync(&w), 2);
    world_stop(&w);
    entries(&w, old, true);
    world_start(&w);
    world_sql(&w, "UPDATE t SET flag='more' WHERE a = 1010");
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

T_MAIN(T_TEST(test_attempts_come_less_and_less_often), T_TEST(test_others_get_their_turn_meanwhile),
    T_TEST(test_compared_while_it_is_written), T_TEST(test_a_ledger_is_made_while_it_is_written),
    T_TEST(test_a_new_ledger_serves_the_next_start), T_TEST(test_killed_while_it_is_compared),
    T_TEST(test_killed_before_foreign_writes_are_found), T_TEST(test_replaced_while_it_is_compared),
    T_TEST(test_equal_changes_while_the_ledger_is_lost),
    T_TEST(test_equal_changes_and_a_torn_ledger))
