/*
 * The database actor end to end on the manual scheduler and memory buckets.
 */
#include "harness/engine_world.h"

#include "storage/drivers.h"

#include <unistd.h>

#define SECOND ((int64_t)1000000000)

static void test_first_snapshot_then_changes(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 1);
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 'one')");
    world_start(&w);
    assert_int_equal(world_sync(&w), 1);
    world_check(&w, 0);
    world_sql(&w, "INSERT INTO t VALUES(2, 'two')");
    assert_int_equal(world_sync(&w), 2);
    world_check(&w, 0);
    world_sql(&w, "INSERT INTO t VALUES(3, randomblob(100000)); DELETE FROM t WHERE a=1");
    assert_int_equal(world_sync(&w), 3);
    world_check(&w, 0);
    assert_int_equal(world_sync(&w), 3); /* nothing new: no new TXID */
    world_close(&w);
}

static void test_restart_continues_without_a_scan(void **state)
{
    struct world w;
    struct wr_db_status s;

    (void)state;
    world_open(&w, 1);
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 'one')");
    world_start(&w);
    assert_int_equal(world_sync(&w), 1);
    world_stop(&w);
    world_sql(&w, "INSERT INTO t VALUES(2, 'two')");
    world_start(&w);
    assert_int_equal(world_sync(&w), 2);
    world_check(&w, 0);
    wr_db_status(w.db, &s);
    assert_int_equal(s.ledger_scans, 0);
    assert_int_equal(s.full_sends, 0);
    world_close(&w);
}

static void test_reset_while_away_is_repaired_by_the_ledger(void **state)
{
    struct world w;
    struct wr_db_status s;

    (void)state;
    world_open(&w, 1);
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b);"
                  "INSERT INTO t VALUES(1, randomblob(500000))");
    world_start(&w);
    assert_int_equal(world_sync(&w), 1);
    world_stop(&w);
    for (int i = 0; i < 3; i++)
        world_sql(
            &w, "INSERT INTO t VALUES(NULL, randomblob(1000)); PRAGMA wal_checkpoint(TRUNCATE)");
    world_start(&w);
    assert_int_equal(world_sync(&w), 2);
    world_check(&w, 0);
    wr_db_status(w.db, &s);
    assert_int_equal(s.ledger_scans, 1);
    assert_int_equal(s.full_sends, 0);
    world_close(&w);
}

static void test_checkpoints_keep_the_wal_short(void **state)
{
    struct world w;
    struct wr_db_status s;

    (void)state;
    world_open(&w, 1);
    w.opts.checkpoint_frames = 50;
    world_app(&w);
    world_sql(&w, "PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    world_start(&w);
    (void)world_sync(&w);
    for (int i = 0; i < 300; i++) {
        world_sql(&w, "INSERT INTO t VALUES(NULL, randomblob(3000))");
        world_run(&w, SECOND / 100);
    }
    wr_db_status(w.db, &s);
    T(s.checkpoints > 3);
    T(s.resets > 3);
    T(s.wal_frames < 200);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

static void rows(struct world *w, unsigned n)
{
    char sql[200];

    (void)snprintf(sql, sizeof(sql),
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%u)"
        "INSERT INTO t SELECT NULL, randomblob(3500) FROM n",
        n);
    world_sql(w, sql);
}

static uint64_t checkpoints_after(struct world *w, int64_t ns)
{
    struct wr_db_status s;

    world_run(w, ns);
    wr_db_status(w->db, &s);
    return s.checkpoints;
}

/* Each time the WAL can start over a writer waits for three flushes of the disk. One that fills it
 * to the threshold in a few milliseconds did so for a good part of its time. */
static void test_a_fast_writer_waited_at_each_short_wal(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 1);
    w.opts.checkpoint_frames = 50;
    world_app(&w);
    world_sql(&w, "PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    world_start(&w);
    (void)world_sync(&w);
    rows(&w, 60);
    assert_int_equal(checkpoints_after(&w, SECOND / 100), 1);
    rows(&w, 60);
    assert_int_equal(checkpoints_after(&w, SECOND / 100), 1);
    assert_int_equal(checkpoints_after(&w, SECOND / 20), 2);
    rows(&w, 260); /* but a WAL that has become five times as long does not wait */
    assert_int_equal(checkpoints_after(&w, SECOND / 100), 3);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

static void test_each_txid_restores_to_its_image(void **state)
{
    struct world w;
    struct wr_bytes image[60];
    uint64_t txid[60];
    size_t n = 0;

    (void)state;
    world_open(&w, 1);
    w.opts.checkpoint_frames = 40;
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); CREATE INDEX i ON t(b)");
    world_start(&w);
    for (size_t i = 0; i < 60; i++) {
        char sql[200];

        (void)snprintf(sql, sizeof(sql),
            "INSERT INTO t VALUES(NULL, randomblob(%zu)); DELETE FROM t WHERE a %% 7 = %zu",
            200 + i * 97, i % 7);
        world_sql(&w, i % 17 == 16 ? "VACUUM" : sql);
        if (i % 23 == 22) {
            world_stop(&w);
            world_start(&w);
        }
        txid[n] = world_sync(&w);
        image[n] = world_image(&w);
        n++;
    }
    for (size_t i = 0; i < n; i++) {
        struct wr_bytes got = world_restore(&w, 0, txid[i]);

        assert_int_equal(got.n, image[i].n);
        assert_memory_equal(got.p, image[i].p, got.n);
    }
    world_close(&w);
}

static void test_two_replicas_one_added_later(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 2);
    w.n_buckets = 1;
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 'one')");
    world_start(&w);
    (void)world_sync(&w);
    world_sql(&w, "INSERT INTO t VALUES(2, 'two')");
    (void)world_sync(&w);
    world_stop(&w);
    w.n_buckets = 2;
    world_start(&w);
    world_sql(&w, "INSERT INTO t VALUES(3, 'three')");
    (void)world_sync(&w);
    world_check(&w, 0);
    world_check(&w, 1);
    world_close(&w);
}

static void test_lost_local_state_sends_nothing_when_the_replica_is_equal(void **state)
{
    struct world w;
    struct wr_db_status s;
    struct wr_err e = {0};

    (void)state;
    world_open(&w, 1);
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 'one')");
    world_start(&w);
    assert_int_equal(world_sync(&w), 1);
    world_stop(&w);
    T_OK(wr_fs_posix()->remove(wr_fs_posix(), t_path(w.dir, ".app.db-weir/ledger"), &e));
    world_start(&w);
    assert_int_equal(world_sync(&w), 1);
    wr_db_status(w.db, &s);
    assert_int_equal(s.full_sends, 0);
    world_close(&w);
}

/* The checkpoint let the application reset the WAL while nothing was closed yet: after a kill only
 * the journal knew which pages those were. */
static void test_noted_pages_survive_a_kill(void **state)
{
    struct world w;
    struct wr_db_status s;

    (void)state;
    world_open(&w, 1);
    w.interval_ns = 100 * SECOND;
    w.opts.checkpoint_frames = 10;
    world_app(&w);
    world_sql(&w, "PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    world_start(&w);
    (void)world_sync(&w);
    world_sql(&w, "INSERT INTO t VALUES(9, 'nine')");
    assert_int_equal(world_sync(&w), 2); /* from here on the interval holds the next one back */
    world_sql(&w, "INSERT INTO t VALUES(1, randomblob(100000))");
    world_run(&w, SECOND / 10);
    wr_db_status(w.db, &s);
    assert_int_equal(s.checkpoints, 1);
    assert_int_equal(s.txid, 2);
    world_stop(&w);
    world_start(&w);
    assert_int_equal(world_sync(&w), 3);
    wr_db_status(w.db, &s);
    assert_int_equal(s.ledger_scans, 0);
    world_check(&w, 0);
    world_close(&w);
}

/* Put the files of an application that died back as they were, as a power cut does with commits
 * that were not synced. */
static void lose_the_last_commits(struct world *w, const char *db, const char *wal)
{
    struct wr_bytes b;
    const char *path_wal = t_path(w->dir, "app.db-wal");

    T(sqlite3_db_config(w->app, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL) == SQLITE_OK);
    world_app_close(w);
    (void)unlink(t_path(w->dir, "app.db-shm"));
    b = t_slurp(db);
    t_spew(w->path, b.p, b.n);
    b = t_slurp(wal);
    t_spew(path_wal, b.p, b.n);
    world_app(w);
}

static void test_a_fork_becomes_the_next_transaction(void **state)
{
    struct world w;
    struct wr_bytes lost;
    struct wr_db_status s;
    const char *db, *wal;

    (void)state;
    world_open(&w, 1);
    db = t_path(w.dir, "then.db");
    wal = t_path(w.dir, "then.db-wal");
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    world_start(&w);
    (void)world_sync(&w);
    world_copy(w.path, db);
    world_copy(t_path(w.dir, "app.db-wal"), wal);
    world_sql(&w, "INSERT INTO t VALUES(1, 'lost')");
    assert_int_equal(world_sync(&w), 2);
    lost = world_image(&w);
    world_stop(&w);
    lose_the_last_commits(&w, db, wal);
    world_sql(&w, "INSERT INTO t VALUES(1, 'kept')"); /* the same frame, other bytes */
    world_start(&w);
    assert_int_equal(world_sync(&w), 3);
    world_check(&w, 0);
    wr_db_status(w.db, &s);
    assert_int_equal(s.forks, 1);
    assert_int_equal(s.full_sends, 0);
    {
        struct wr_bytes then = world_restore(&w, 0, 2);

        assert_int_equal(then.n, lost.n);
        assert_memory_equal(then.p, lost.p, lost.n);
    }
    world_close(&w);
}

static void test_another_database_at_the_replica_stops_it(void **state)
{
    struct world w, other;
    struct wr_err e = {0};
    uint64_t ticket, txid;

    (void)state;
    world_open(&w, 1);
    world_app(&w);
    world_sql(
        &w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, randomblob(9000))");
    world_start(&w);
    (void)world_sync(&w);
    world_open(&other, 0);
    other.n_buckets = 1;
    other.bucket[0] = wr_storage_mem_ref(w.bucket[0]);
    world_app(&other);
    world_sql(&other,
        "CREATE TABLE t(a INTEGER PRIMARY KEY, c); INSERT INTO t VALUES(1, randomblob(9000))");
    world_start(&other);
    wr_db_sync_begin(other.db, &ticket);
    world_run(&other, 5 * SECOND);
    T_IS(WR_CONFLICT, wr_db_sync_poll(other.db, ticket, true, &txid, &e));
    T(strstr(e.text, "holds another database") != NULL);
    world_check(&w, 0); /* nothing was added */
    world_close(&other);
    world_close(&w);
}

static void test_the_database_is_replaced_under_us(void **state)
{
    struct world w;
    sqlite3 *fresh = NULL;
    const char *path2;

    (void)state;
    world_open(&w, 1);
    path2 = t_path(w.dir, "fresh.db");
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 'old')");
    world_start(&w);
    (void)world_sync(&w);
    T(sqlite3_open(path2, &fresh) == SQLITE_OK);
    T(sqlite3_exec(fresh,
          "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 'new')", NULL, NULL,
          NULL) == SQLITE_OK);
    T(sqlite3_close(fresh) == SQLITE_OK);
    world_app_close(&w);
    (void)unlink(t_path(w.dir, "app.db-wal"));
    (void)unlink(t_path(w.dir, "app.db-shm"));
    T(rename(path2, w.path) == 0);
    world_run(&w, SECOND);
    world_app(&w);
    world_sql(&w, "INSERT INTO t VALUES(2, 'newer')");
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

static void test_the_page_size_changes(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 1);
    world_app(&w);
    world_sql(
        &w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, randomblob(9000))");
    world_start(&w);
    (void)world_sync(&w);
    world_stop(&w);
    world_sql(
        &w, "PRAGMA journal_mode=delete; PRAGMA page_size=1024; VACUUM; PRAGMA journal_mode=wal");
    world_start(&w);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_sql(&w, "INSERT INTO t VALUES(2, 'more')");
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

static void test_a_database_that_appears_later(void **state)
{
    struct world w;
    struct wr_err e = {0};
    uint64_t ticket, txid;

    (void)state;
    world_open(&w, 1);
    world_start(&w);
    wr_db_sync_begin(w.db, &ticket);
    world_run(&w, SECOND);
    T_IS(WR_NOTFOUND, wr_db_sync_poll(w.db, ticket, true, &txid, &e));
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a); INSERT INTO t VALUES(1)");
    assert_int_equal(world_sync(&w), 1);
    world_check(&w, 0);
    world_close(&w);
}

/* A last sync, asked for right after the first commit, was told that there is no database: by a
 * look before that. It passed for done, and nothing was sent. */
static void test_a_database_that_appeared_since_the_last_look_was_missed(void **state)
{
    struct world w;
    struct wr_err e = {0};
    uint64_t ticket, txid = 0;

    (void)state;
    world_open(&w, 1);
    world_start(&w);
    world_run(&w, SECOND);
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a); INSERT INTO t VALUES(1)");
    wr_db_sync_begin(w.db, &ticket);
    T_IS(WR_BUSY, wr_db_sync_poll(w.db, ticket, true, &txid, &e));
    world_run(&w, SECOND);
    T_OK(wr_db_sync_poll(w.db, ticket, true, &txid, &e));
    T(txid == 1);
    world_check(&w, 0);
    world_close(&w);
}

/* Files that wait too long are dropped; what they had is sent as one when the store is back. */
static void outage(struct world *w, struct faultstore *f)
{
    (void)w;
    faultstore_arm(f, FAULT_BROKEN, FAULT_ON_PUT | FAULT_ON_BEGIN, 1000, UINT64_MAX);
}

static void test_a_long_outage_is_caught_up_with_one_file(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 1);
    w.opts.checkpoint_frames = 20;
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 'one')");
    world_start(&w);
    (void)world_sync(&w);
    world_stop(&w);
    w.arm = outage;
    world_start(&w);
    for (int i = 0; i < 400; i++) {
        world_sql(&w, "INSERT INTO t(b) VALUES(randomblob(2000)); DELETE FROM t WHERE a % 3 = 0");
        world_run(&w, 2 * SECOND);
    }
    faultstore_calm(w.fault[0]);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

/* Of an idle database nothing is in memory but the page that tells the next write. */
static void test_an_idle_database_is_on_the_disk(void **state)
{
    char shm[512];
    struct world w;

    (void)state;
    world_open(&w, 1);
    (void)snprintf(shm, sizeof(shm), "%s-shm", w.path);
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 'one')");
    world_start(&w);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(world_sync(&w), i);
        world_run(&w, SECOND / 2);
        assert_int_equal(t_resident_kib(shm), sysconf(_SC_PAGESIZE) / 1024);
        assert_int_equal(t_resident_kib("/ledger"), 0);
        world_sql(&w, "INSERT INTO t(b) VALUES(randomblob(10000))");
        T(t_resident_kib(shm) > (size_t)sysconf(_SC_PAGESIZE) / 1024);
    }
    world_close(&w);
}

T_MAIN(T_TEST(test_first_snapshot_then_changes), T_TEST(test_restart_continues_without_a_scan),
    T_TEST(test_reset_while_away_is_repaired_by_the_ledger),
    T_TEST(test_checkpoints_keep_the_wal_short),
    T_TEST(test_a_fast_writer_waited_at_each_short_wal),
    T_TEST(test_each_txid_restores_to_its_image), T_TEST(test_two_replicas_one_added_later),
    T_TEST(test_lost_local_state_sends_nothing_when_the_replica_is_equal),
    T_TEST(test_noted_pages_survive_a_kill), T_TEST(test_a_fork_becomes_the_next_transaction),
    T_TEST(test_another_database_at_the_replica_stops_it),
    T_TEST(test_the_database_is_replaced_under_us), T_TEST(test_the_page_size_changes),
    T_TEST(test_a_database_that_appears_later),
    T_TEST(test_a_database_that_appeared_since_the_last_look_was_missed),
    T_TEST(test_a_long_outage_is_caught_up_with_one_file),
    T_TEST(test_an_idle_database_is_on_the_disk))
