/*
 * What other connections do with the WAL at the worst moment: a reader that keeps a TRUNCATE from
 * doing anything, a writer that is between its frames and its commit, a read without an end.
 */
#include "engine/primary_int.h"
#include "harness/engine_world.h"

#define SECOND ((int64_t)1000000000)

static sqlite3 *reader_begin(struct world *w)
{
    sqlite3 *r = NULL;

    T(sqlite3_open(w->path, &r) == SQLITE_OK);
    T(sqlite3_exec(r, "BEGIN; SELECT count(*) FROM t", NULL, NULL, NULL) == SQLITE_OK);
    return r;
}

static void fill(struct world *w, unsigned rows)
{
    char sql[200];

    (void)snprintf(sql, sizeof(sql),
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<%u) "
        "INSERT INTO t SELECT x, randomblob(3000) FROM c",
        rows);
    world_sql(w, "PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a INTEGER PRIMARY KEY, b);"
                 "CREATE TABLE u(a INTEGER PRIMARY KEY, b)");
    world_sql(w, sql);
}

/* Everything is in the database, so the reader reads from there and holds slot 0, under which no
 * frame is copied. The WAL then grows out of all proportion, so that TRUNCATE is tried, which does
 * nothing, and leaves the count of copied frames at 0, as one that got through does. */
static void blocked_truncate(struct world *w, sqlite3 **ret_reader)
{
    struct wr_db_status s;
    uint64_t before;

    world_open(w, 1);
    w->opts.checkpoint_frames = 8;
    w->interval_ns = SECOND;
    world_app(w);
    fill(w, 100);
    world_start(w);
    (void)world_sync(w);
    world_run(w, 100 * SECOND);
    wr_db_status(w->db, &s);
    before = s.checkpoints;
    T(before > 0);
    *ret_reader = reader_begin(w);
    world_sql(w, "UPDATE t SET b=randomblob(3000) WHERE a=1");
    world_run(w, SECOND / 1000); /* sent: the interval begins */
    for (int i = 0; i < 6; i++)
        world_sql(w, "UPDATE t SET b=randomblob(3000)");
    world_run(w, SECOND / 2);
    wr_db_status(w->db, &s);
    T(s.wal_frames > 600);
    assert_int_equal(s.checkpoints, before);
}

static void test_a_blocked_truncate_is_not_a_checkpoint(void **state)
{
    struct world w;
    sqlite3 *reader;

    (void)state;
    blocked_truncate(&w, &reader);
    (void)world_sync(&w); /* while it reads: the pages are in the WAL only */
    world_check(&w, 0);
    T(sqlite3_close(reader) == SQLITE_OK);
    world_close(&w);
}

static void test_a_blocked_truncate_is_made_up_for(void **state)
{
    struct world w;
    struct wr_db_status s;
    sqlite3 *reader;

    (void)state;
    blocked_truncate(&w, &reader);
    (void)world_sync(&w);
    T(sqlite3_close(reader) == SQLITE_OK);
    for (int i = 0; i < 60; i++) {
        world_sql(&w, "INSERT INTO u VALUES(NULL, randomblob(2000))");
        world_run(&w, SECOND);
    }
    wr_db_status(w.db, &s);
    T(s.checkpoints > 10);
    T(s.resets > 10);
    T(s.wal_frames < 100);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_stop(&w);
    world_start(&w);
    (void)world_sync(&w);
    world_check(&w, 0);
    wr_db_status(w.db, &s);
    assert_int_equal(s.ledger_scans, 0);
    world_close(&w);
}

/* ---- an application between its frames and its commit ---- */

static sqlite3_io_methods slow_methods;
static const sqlite3_io_methods *slow_base;
static struct world *slow_world; /* whose daemon runs while the application syncs the WAL */

static int slow_sync(sqlite3_file *f, int flags)
{
    if (slow_world)
        world_run(slow_world, 0);
    return slow_base->xSync(f, flags);
}

static int slow_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
    int rc = sqlite3_vfs_find("unix")->xOpen(vfs, name, f, flags, ret_flags);

    if (rc == SQLITE_OK && (flags & SQLITE_OPEN_WAL)) {
        slow_base = f->pMethods;
        slow_methods = *slow_base;
        slow_methods.xSync = slow_sync;
        f->pMethods = &slow_methods;
    }
    return rc;
}

/* An application that syncs each commit, and whose every sync lasts for a step of the daemon. */
static void slow_app(struct world *w)
{
    static sqlite3_vfs vfs;

    vfs = *sqlite3_vfs_find("unix");
    vfs.zName = "slow";
    vfs.xOpen = slow_open;
    T(sqlite3_vfs_register(&vfs, 0) == SQLITE_OK);
    T(sqlite3_open_v2(w->path, &w->app, SQLITE_OPEN_READWRITE, "slow") == SQLITE_OK);
    world_sql(w, "PRAGMA synchronous=FULL");
    slow_world = w;
}

/* The file event of a commit comes with its frames, and nothing comes when they are announced in
 * the index. In an empty WAL they bear salts that the index does not know. */
static void test_the_first_commit_into_an_empty_wal_is_seen(void **state)
{
    struct world w;
    struct wr_db_status s;

    (void)state;
    world_open(&w, 1);
    w.opts.scan_ns = 3600 * SECOND;
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    world_app_close(&w);
    world_start(&w);
    assert_int_equal(world_sync(&w), 1);
    slow_app(&w);
    world_sql(&w, "INSERT INTO t VALUES(1, 'one')");
    slow_world = NULL;
    wr_db_status(w.db, &s);
    assert_int_equal(s.txid, 1); /* the event was too early */
    (void)world_pass(&w, SECOND, 1000);
    wr_db_status(w.db, &s);
    assert_int_equal(s.txid, 2);
    world_check(&w, 0);

    slow_world = &w; /* the next one goes into a WAL that is known */
    world_sql(&w, "INSERT INTO t VALUES(2, 'two')");
    slow_world = NULL;
    wr_db_status(w.db, &s);
    assert_int_equal(s.txid, 2);
    (void)world_pass(&w, SECOND, 1000);
    wr_db_status(w.db, &s);
    assert_int_equal(s.txid, 3);
    world_check(&w, 0);
    world_close(&w);
}

/* A silent database is checkpointed after a minute. A reader keeps that from finishing, for hours:
 * the time for it stays in the past, and must not be asked for again and again. */
static void test_a_reader_of_a_silent_database_costs_few_steps(void **state)
{
    struct world w;
    struct wr_db_status s;
    sqlite3 *reader;
    uint64_t steps;

    (void)state;
    world_open(&w, 1);
    w.opts.scan_ns = 60 * SECOND;
    world_app(&w);
    fill(&w, 1);
    world_start(&w);
    (void)world_sync(&w);
    reader = reader_begin(&w);
    world_sql(&w, "INSERT INTO t VALUES(2, 'two')");
    world_run(&w, SECOND);
    (void)world_pass(&w, 55 * SECOND, 1000);
    steps = world_pass(&w, 3600 * SECOND, 100000);
    T(steps < 1000); /* a try in ten seconds, and the looks */
    wr_db_status(w.db, &s);
    assert_int_equal(s.checkpoints, 0);
    T(sqlite3_close(reader) == SQLITE_OK);
    (void)world_pass(&w, 20 * SECOND, 1000);
    wr_db_status(w.db, &s);
    assert_int_equal(s.checkpoints, 1);
    world_check(&w, 0);
    world_close(&w);
}

/* Nothing is captured before the interval ends, an hour from now. The checkpoint is due all the
 * same when no commit came for a minute. */
static void test_an_interval_does_not_keep_a_silent_database_from_its_checkpoint(void **state)
{
    struct world w;
    struct wr_db_status s;

    (void)state;
    world_open(&w, 1);
    w.interval_ns = 3600 * SECOND;
    w.opts.scan_ns = SECOND; /* or what is not told is seen a minute later, unless by chance */
    world_app(&w);
    fill(&w, 10);
    world_start(&w);
    (void)world_sync(&w);
    world_sql(&w, "INSERT INTO u VALUES(1, 'one')");
    world_run(&w, SECOND);
    world_sql(&w, "INSERT INTO u VALUES(2, 'two')");
    (void)world_pass(&w, 63 * SECOND, 10000);
    wr_db_status(w.db, &s);
    assert_int_equal(s.checkpoints, 1);
    assert_int_equal(s.txid, 2);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

/* One that was there before, of a database that nobody writes, stayed for good. */
static void test_a_long_wal_found_at_attach_is_cut(void **state)
{
    struct wr_file_info info;
    struct wr_err e = {0};
    struct world w;

    (void)state;
    for (int copied = 0; copied < 3; copied++) {
        world_open(&w, 1);
        w.opts.checkpoint_frames = 8;
        w.opts.scan_ns = 3600 * SECOND;
        world_app(&w);
        fill(&w, 100);
        if (copied)
            world_sql(&w, "PRAGMA wal_checkpoint");
        if (copied == 2) /* the index says one frame or two, the file is as long as before */
            world_sql(&w, "CREATE TABLE small(a)");
        world_start(&w);
        (void)world_sync(&w);
        (void)world_pass(&w, 63 * SECOND, 10000);
        T_OK(wr_fs_posix()->stat(wr_fs_posix(), t_path(w.dir, "app.db-wal"), &info, &e));
        assert_int_equal(info.size, 0);
        world_check(&w, 0);
        world_close(&w);
    }
}

/* What it wrote is in the file, and in no index. */
static void test_what_was_rolled_back_makes_no_long_wal(void **state)
{
    struct wr_file_info info;
    struct wr_err e = {0};
    struct world w;

    (void)state;
    world_open(&w, 1);
    w.opts.checkpoint_frames = 8;
    w.opts.scan_ns = 60 * SECOND;
    world_app(&w);
    fill(&w, 1);
    world_start(&w);
    (void)world_sync(&w);
    (void)world_pass(&w, 63 * SECOND, 10000);
    world_sql(&w, "PRAGMA cache_size = 5; BEGIN; CREATE TABLE big(a); "
                  "INSERT INTO big VALUES(zeroblob(1000000)); ROLLBACK");
    T_OK(wr_fs_posix()->stat(wr_fs_posix(), t_path(w.dir, "app.db-wal"), &info, &e));
    T(info.size > 500000);
    (void)world_pass(&w, 63 * SECOND, 10000);
    T_OK(wr_fs_posix()->stat(wr_fs_posix(), t_path(w.dir, "app.db-wal"), &info, &e));
    assert_int_equal(info.size, 0);
    world_check(&w, 0);
    world_close(&w);
}

/* A reader was in the way when the database fell silent, and left an hour later. */
static void test_a_long_wal_is_cut_when_the_reader_has_left(void **state)
{
    struct wr_file_info info;
    struct wr_err e = {0};
    sqlite3 *reader;
    struct world w;

    (void)state;
    world_open(&w, 1);
    w.opts.checkpoint_frames = 8;
    w.opts.scan_ns = 3600 * SECOND;
    world_app(&w);
    fill(&w, 100);
    reader = reader_begin(&w);
    world_start(&w);
    (void)world_sync(&w);
    T(world_pass(&w, 3600 * SECOND, 10000) < 1000);
    T_OK(wr_fs_posix()->stat(wr_fs_posix(), t_path(w.dir, "app.db-wal"), &info, &e));
    T(info.size > 0);
    T(sqlite3_close(reader) == SQLITE_OK);
    (void)world_pass(&w, 61 * SECOND, 1000);
    T_OK(wr_fs_posix()->stat(wr_fs_posix(), t_path(w.dir, "app.db-wal"), &info, &e));
    assert_int_equal(info.size, 0);
    world_check(&w, 0);
    world_close(&w);
}

/* Once a minute has passed and nothing is left to do, an idle database is left alone but for the
 * slow look. */
static void test_a_silent_database_costs_nothing(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 1);
    w.opts.scan_ns = 60 * SECOND;
    world_app(&w);
    fill(&w, 10);
    world_start(&w);
    (void)world_sync(&w);
    (void)world_pass(&w, 70 * SECOND, 1000);
    T(world_pass(&w, 3600 * SECOND, 100000) <= 122);
    world_close(&w);
}

/* A writer that holds its lock while a checkpoint is due: tries, no storm. */
static void test_a_long_transaction_puts_the_checkpoint_off(void **state)
{
    struct world w;
    struct wr_db_status s;

    (void)state;
    world_open(&w, 1);
    w.opts.checkpoint_frames = 20;
    world_app(&w);
    fill(&w, 1);
    world_start(&w);
    (void)world_sync(&w);
    world_sql(&w, "INSERT INTO t SELECT NULL, randomblob(3000) FROM t; INSERT INTO u VALUES(1, "
                  "randomblob(100000)); BEGIN IMMEDIATE");
    wr_db_wake(w.db);
    T(world_pass(&w, SECOND / 10, 10000) < 200);
    wr_db_status(w.db, &s);
    assert_int_equal(s.checkpoints, 0);
    T(s.barriers_failed > 2);
    world_sql(&w, "COMMIT");
    (void)world_pass(&w, SECOND / 10, 1000);
    wr_db_status(w.db, &s);
    assert_int_equal(s.checkpoints, 1);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

/* Ten rows, a checkpoint after eight frames, and all of it sent. */
static void replicated(struct world *w)
{
    world_open(w, 1);
    w->opts.checkpoint_frames = 8;
    world_app(w);
    fill(w, 10);
    world_start(w);
    (void)world_sync(w);
}

/* Two readers take turns: there is always one in the way, and their marks go on all the time. As
 * long as the WAL grows, what they let go of is copied within a second or two; it is not ever later
 * that this is tried. */
static void test_readers_that_take_turns_hold_up_no_copying(void **state)
{
    struct world w;
    sqlite3 *reader[2];

    (void)state;
    replicated(&w);
    reader[0] = reader_begin(&w);
    reader[1] = reader_begin(&w);
    for (unsigned i = 0; i < 60; i++) {
        if (i % 2 == 0) {
            T(sqlite3_close(reader[i / 2 % 2]) == SQLITE_OK);
            reader[i / 2 % 2] = reader_begin(&w);
        }
        world_sql(&w, "UPDATE t SET b=randomblob(3000)");
        wr_db_wake(w.db);
        (void)world_pass(&w, SECOND, 1000);
        /* Some twelve frames a second, and the older reader is four seconds old. */
        if (i > 5)
            T(w.db->seen.mx_frame - w.db->view.backfilled <= 12 * 6);
    }
    for (int i = 0; i < 2; i++)
        T(sqlite3_close(reader[i]) == SQLITE_OK);
    world_check(&w, 0);
    world_close(&w);
}

/* Reads that overlap left none of the moments at which a checkpoint was tried, once a second: the
 * WAL grew for as long as they went on. SQLite alone tries at each commit. */
static void test_a_moment_without_a_reader_is_used(void **state)
{
    struct world w;
    sqlite3 *reader[2];

    (void)state;
    replicated(&w);
    for (unsigned i = 0; i < 10; i++) {
        uint64_t before = w.db->status.checkpoints;

        reader[0] = reader_begin(&w);
        reader[1] = reader_begin(&w);
        for (unsigned k = 0; k < 40; k++) {
            T(sqlite3_close(reader[k % 2]) == SQLITE_OK);
            reader[k % 2] = reader_begin(&w);
            world_sql(&w, "UPDATE t SET b=randomblob(3000)");
            wr_db_wake(w.db);
            (void)world_pass(&w, SECOND / 20, 1000);
        }
        assert_int_equal(w.db->status.checkpoints, before);
        T(strstr(w.warning, "reads that overlap"));
        T(sqlite3_close(reader[0]) == SQLITE_OK && sqlite3_close(reader[1]) == SQLITE_OK);
        world_sql(&w, "UPDATE t SET b=randomblob(3000)");
        wr_db_wake(w.db);
        (void)world_pass(&w, SECOND / 100, 1000);
        T(w.db->status.checkpoints > before);
    }
    world_check(&w, 0);
    world_close(&w);
}

/* Of a thousand databases each woke up the process once a minute. */
static void test_silent_databases_woke_up_one_by_one(void **state)
{
    int64_t last_ns = 0;
    unsigned wakes = 0;

    (void)state;
    for (int64_t i = 0; i < 1000; i++) { /* they begin within four seconds */
        int64_t now_ns = 1000 * SECOND + 123457 + i * SECOND / 250;
        int64_t at_ns = wr_db_next_scan_ns(now_ns, 60 * SECOND);

        T(at_ns > now_ns + 58 * SECOND && at_ns <= now_ns + 60 * SECOND);
        T(wr_db_next_scan_ns(at_ns + SECOND / 100, 60 * SECOND) == at_ns + 60 * SECOND);
        wakes += at_ns != last_ns;
        last_ns = at_ns;
    }
    T(wakes <= 5);
    for (int64_t scan_ns = 1; scan_ns < 1000; scan_ns++)
        T(wr_db_next_scan_ns(scan_ns * 7, scan_ns) > scan_ns * 7 &&
            wr_db_next_scan_ns(scan_ns * 7, scan_ns) <= scan_ns * 8);
}

T_MAIN(T_TEST(test_a_blocked_truncate_is_not_a_checkpoint),
    T_TEST(test_a_moment_without_a_reader_is_used),
    T_TEST(test_readers_that_take_turns_hold_up_no_copying),
    T_TEST(test_a_blocked_truncate_is_made_up_for),
    T_TEST(test_the_first_commit_into_an_empty_wal_is_seen),
    T_TEST(test_a_reader_of_a_silent_database_costs_few_steps),
    T_TEST(test_an_interval_does_not_keep_a_silent_database_from_its_checkpoint),
    T_TEST(test_a_long_wal_found_at_attach_is_cut),
    T_TEST(test_what_was_rolled_back_makes_no_long_wal),
    T_TEST(test_a_long_wal_is_cut_when_the_reader_has_left),
    T_TEST(test_a_silent_database_costs_nothing), T_TEST(test_silent_databases_woke_up_one_by_one),
    T_TEST(test_a_long_transaction_puts_the_checkpoint_off))
