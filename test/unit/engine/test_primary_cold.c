/*
 * test_primary_cold.c - a quiet database that is let go for others: nothing is lost by it, and
 * nothing is read twice.
 */
#include "engine/feed.h"
#include "engine/seats.h"
#include "harness/engine_world.h"
#include "run/watch.h"
#include "storage/drivers.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND ((int64_t)1000000000)

static struct wr_seats seats;
static struct wr_cadence cadence; /* of the next world */

static struct wr_db_status status(struct world *w)
{
    struct wr_db_status s;

    wr_db_status(w->db, &s);
    return s;
}

static bool is(struct world *w, const char *state)
{
    return strcmp(status(w).state, state) == 0;
}

/* Time for the file system's clock, which is real, then `ns` with what the watch has told. */
static void pass(struct world *w, int64_t ns)
{
    t_sleep_ms(30);
    wr_watch_poll(w->opts.watch);
    (void)world_pass(w, ns, 10000);
}

/* Somebody wants its seat, all the time. */
static void begin(struct world *w)
{
    struct wr_err e = {0};

    world_open(w, 1);
    wr_seats_init(&seats, 1);
    seats.taken = 1;
    atomic_store(&seats.wanted, true);
    w->opts.seats = &seats;
    w->opts.cadence = cadence;
    T_OK(wr_watch_new(true, &w->opts.watch, &e));
    world_app(w);
    world_sql(w, "PRAGMA wal_autocheckpoint=20; CREATE TABLE t(a INTEGER PRIMARY KEY, b);"
                 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<50)"
                 "INSERT INTO t SELECT i, randomblob(3500) FROM n");
    world_start(w);
    T(world_sync(w) == 1);
}

static void begin_cold(struct world *w)
{
    begin(w);
    for (int i = 0; i < 20 && !is(w, "cold"); i++)
        pass(w, 10 * SECOND);
    T(is(w, "cold"));
    T(status(w).txid == 1 && seats.taken == 1);
}

static void end(struct world *w)
{
    struct wr_watch *watch = w->opts.watch;

    world_check(w, 0);
    T(w->errors == 0 && w->warnings == 0);
    world_close(w);
    wr_watch_free(watch);
    seats.taken = 0;
    wr_seats_release(&seats);
}

/* A shell with another SQLite: opens, runs SQL, closes. */
static void other_process(struct world *w, const char *sql)
{
    char *argv[] = {
        (char *)(uintptr_t) "sqlite3", (char *)(uintptr_t)w->path, (char *)(uintptr_t)sql, NULL};
    char *envp[] = {(char *)(uintptr_t) "PATH=/bin:/usr/bin", NULL};
    int code = 0;
    pid_t pid;

    T(posix_spawnp(&pid, "sqlite3", NULL, NULL, argv, envp) == 0);
    T(waitpid(pid, &code, 0) == pid && WIFEXITED(code) && WEXITSTATUS(code) == 0);
}

static void test_it_stays_cold(void **state)
{
    struct world w;

    (void)state;
    begin_cold(&w);
    for (int i = 0; i < 10; i++) {
        pass(&w, 100 * SECOND);
        T(is(&w, "cold"));
    }
    end(&w);
}

/* Its connections were closed: SQLite removes the WAL when the application closes, too. */
static void test_a_write_calls_it_back(void **state)
{
    struct world w;

    (void)state;
    begin_cold(&w);
    for (int i = 0; i < 5; i++) {
        uint64_t scans = status(&w).ledger_scans;

        world_sql(&w, "UPDATE t SET b=randomblob(100) WHERE a=2");
        pass(&w, SECOND);
        T(!is(&w, "cold") && seats.taken == 2);
        T(world_sync(&w) == (uint64_t)i + 2);
        T(status(&w).ledger_scans == scans); /* by the WAL alone */
        for (int k = 0; k < 20 && !is(&w, "cold"); k++)
            pass(&w, 100 * SECOND);
        T(is(&w, "cold") && seats.taken == 1);
    }
    end(&w);
}

/* Without a watch the scan finds it. */
static void test_a_write_that_nobody_told(void **state)
{
    struct world w;

    (void)state;
    begin_cold(&w);
    world_sql(&w, "UPDATE t SET b=randomblob(100) WHERE a=2");
    (void)world_pass(&w, 61 * SECOND, 10000);
    T(!is(&w, "cold"));
    T(world_sync(&w) == 2);
    end(&w);
}

/* Opened, written, checkpointed and closed before we look: each page is compared. */
static void test_a_checkpoint_that_nobody_saw(void **state)
{
    struct world w;
    uint64_t scans;

    (void)state;
    begin_cold(&w);
    T(sqlite3_close(w.app) == SQLITE_OK);
    w.app = NULL;
    pass(&w, SECOND);
    for (int i = 0; i < 20 && !is(&w, "cold"); i++)
        pass(&w, 100 * SECOND);
    T(is(&w, "cold"));
    scans = status(&w).ledger_scans;
    other_process(&w, "UPDATE t SET b=randomblob(200) WHERE a%7=0");
    pass(&w, SECOND);
    T(!is(&w, "cold"));
    world_app(&w);
    T(world_sync(&w) == 2);
    T(status(&w).ledger_scans == scans + 1);
    end(&w);
}

/* A sync of one that nobody has written to is done without its connections. */
static void test_a_sync_leaves_it_cold(void **state)
{
    struct world w;
    struct wr_err e = {0};
    uint64_t ticket, txid = 0;

    (void)state;
    begin_cold(&w);
    wr_db_sync_begin(w.db, &ticket);
    world_run(&w, 0);
    T_OK(wr_db_sync_poll(w.db, ticket, true, &txid, &e));
    T(txid == 1 && is(&w, "cold"));
    world_sql(&w, "UPDATE t SET b=randomblob(100) WHERE a=2");
    T(world_sync(&w) == 2);
    end(&w);
}

static void test_the_next_start_knows_it(void **state)
{
    struct world w;

    (void)state;
    begin_cold(&w);
    world_stop(&w);
    world_start(&w);
    T(world_sync(&w) == 1);
    T(status(&w).ledger_scans == 0);
    end(&w);
}

static void test_another_file_in_its_place(void **state)
{
    struct world w;
    const char *other;

    (void)state;
    begin_cold(&w);
    T(sqlite3_close(w.app) == SQLITE_OK);
    w.app = NULL;
    for (int i = 0; i < 20 && !is(&w, "cold"); i++)
        pass(&w, 100 * SECOND);
    other = t_path(w.dir, "other.db");
    world_copy(w.path, other);
    T(rename(other, w.path) == 0);
    other_process(&w, "DELETE FROM t WHERE a>40");
    pass(&w, SECOND);
    T(!is(&w, "cold"));
    world_app(&w);
    T(world_sync(&w) > 1);
    world_check(&w, 0);
    w.warnings = 0; /* that it was another one */
    end(&w);
}

static struct wr_storage_counts requests(struct world *w)
{
    struct wr_replica_account is;

    wr_db_replica_account(w->db, 0, &is);
    return is.requests;
}

/* For a file of a level it comes back, without a look at the replica, and leaves again. Once it
 * came back without end: each time it listed the replica, and began to wait for the next time. */
static void test_a_level_is_made_from_the_cold(void **state)
{
    struct world w = {0};
    struct wr_storage_counts before, after;

    (void)state;
    cadence = (struct wr_cadence){.levels = 1, .level_ms = {3600 * 1000}, .few = 1};
    begin(&w);
    cadence = (struct wr_cadence){0};
    world_sql(&w, "UPDATE t SET b=randomblob(100) WHERE a=2");
    T(world_sync(&w) == 2);
    for (int i = 0; i < 40 && !is(&w, "cold"); i++)
        pass(&w, 10 * SECOND);
    T(is(&w, "cold")); /* ten minutes before the hour */
    before = requests(&w);
    for (int i = 0; i < 5; i++)
        pass(&w, 600 * SECOND);
    after = requests(&w);
    T(is(&w, "cold"));
    T(after.put == before.put + 2);   /* the file of the level, and what there is now, ... */
    T(after.list <= before.list + 1); /* ... for which it is looked at, if it was not before */
    end(&w);
}

/* Another process may have had it meanwhile, and have written to the replica. That was asked only
 * where a write had called it back; what it sent after it had come back by itself could have been
 * put beside what the other one had sent. */
static void test_the_first_send_after_a_rest_looks_at_the_replica(void **state)
{
    struct world w = {0};
    struct wr_storage_counts before;

    (void)state;
    cadence = (struct wr_cadence){.levels = 1, .level_ms = {3600 * 1000}, .few = 1};
    begin(&w);
    cadence = (struct wr_cadence){0};
    world_sql(&w, "UPDATE t SET b=randomblob(100) WHERE a=2");
    T(world_sync(&w) == 2);
    for (int i = 0; i < 40 && !is(&w, "cold"); i++)
        pass(&w, 10 * SECOND);
    T(is(&w, "cold"));
    seats.max = 10; /* there are seats for all again */
    before = requests(&w);
    for (int i = 0; i < 10 && is(&w, "cold"); i++)
        pass(&w, 600 * SECOND);
    T(!is(&w, "cold") && requests(&w).list == before.list);
    world_sql(&w, "UPDATE t SET b=randomblob(100) WHERE a=3");
    T(world_sync(&w) == 3);
    T(requests(&w).list > before.list);
    before = requests(&w);
    world_sql(&w, "UPDATE t SET b=randomblob(100) WHERE a=4");
    T(world_sync(&w) == 4);
    T(requests(&w).list == before.list); /* once is enough */
    end(&w);
}

/* What it had sent since it was listed was forgotten with its seat: a snapshot that was asked for
 * was sent again, under the same name and with other bytes. */
static void test_the_snapshot_that_is_there_was_sent_again(void **state)
{
    struct world w;
    struct wr_err e = {0};
    uint64_t txid = 0, puts;

    (void)state;
    begin_cold(&w); /* the first file was one */
    puts = requests(&w).put;
    T_OK(world_work(&w, WR_WORK_SNAPSHOT, 60 * SECOND, &txid, &e));
    T(txid == 1 && requests(&w).put == puts);
    world_sql(&w, "UPDATE t SET b=randomblob(100) WHERE a=2");
    T_OK(world_work(&w, WR_WORK_SNAPSHOT, 60 * SECOND, &txid, &e));
    T(txid == 2 && requests(&w).put == puts + 2);
    for (int i = 0; i < 20 && !is(&w, "cold"); i++)
        pass(&w, 10 * SECOND);
    T(is(&w, "cold"));
    T_OK(world_work(&w, WR_WORK_SNAPSHOT, 60 * SECOND, &txid, &e));
    T(txid == 2 && requests(&w).put == puts + 2);
    end(&w);
}

/* One that is written to all the time keeps its seat. */
static void test_a_busy_one_stays(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    for (int i = 0; i < 10; i++) {
        world_sql(&w, "UPDATE t SET b=randomblob(100) WHERE a=2");
        pass(&w, 4 * SECOND);
        T(!is(&w, "cold"));
    }
    end(&w);
}

static void broken(struct world *w, struct faultstore *f)
{
    (void)w;
    (void)f;
}

/* Nothing is let go that was not sent. */
static void test_what_waits_for_a_replica_stays(void **state)
{
    struct world w;

    (void)state;
    begin_cold(&w);
    world_stop(&w);
    w.arm = broken;
    world_start(&w);
    T(world_sync(&w) == 1);
    faultstore_arm(w.fault[0], FAULT_BROKEN, FAULT_ON_ALL, 1000, UINT64_MAX);
    world_sql(&w, "UPDATE t SET b=randomblob(100) WHERE a=2");
    for (int i = 0; i < 10; i++) {
        pass(&w, 10 * SECOND);
        T(!is(&w, "cold"));
    }
    faultstore_calm(w.fault[0]);
    for (int i = 0; i < 50 && !is(&w, "cold"); i++)
        pass(&w, 100 * SECOND);
    T(is(&w, "cold") && status(&w).txid > 1);
    w.errors = w.warnings = 0; /* of the replica */
    end(&w);
}

/* ---- an application whose disk is slow ---- */

static struct {
    struct world *w; /* NULL: it is not slow now */
    sqlite3_io_methods wal;
    int (*sync)(sqlite3_file *f, int flags);
} slow;

/* The frames of a commit are in the WAL, and nobody can see them before this ends: time for whoever
 * wants to let the database go. */
static int slow_sync(sqlite3_file *f, int flags)
{
    struct world *w = slow.w;
    sqlite3_int64 size = 0;

    if (w && slow.wal.xFileSize(f, &size) == SQLITE_OK && size > 32) { /* not that of the header */
        slow.w = NULL;
        t_sleep_ms(30);
        (void)world_pass(w, 61 * SECOND, 10000);
    }
    return slow.sync(f, flags);
}

static int slow_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
    sqlite3_vfs *real = v->pAppData;
    int rc = real->xOpen(real, name, f, flags, out);

    if (rc == SQLITE_OK && (flags & SQLITE_OPEN_WAL)) {
        slow.wal = *f->pMethods;
        slow.sync = slow.wal.xSync;
        slow.wal.xSync = slow_sync;
        f->pMethods = &slow.wal;
    }
    return rc;
}

/* It was let go between the frames and the header of a commit; its files were noted with them, and
 * the commit was missed until the next one, while syncs were told that all is well. */
static void test_a_commit_in_flight(void **state)
{
    static sqlite3_vfs vfs;
    struct world w;

    (void)state;
    vfs = *sqlite3_vfs_find(NULL);
    vfs.pAppData = sqlite3_vfs_find(NULL);
    vfs.zName = "slow";
    vfs.xOpen = slow_open;
    T(sqlite3_vfs_register(&vfs, 0) == SQLITE_OK);
    begin(&w);
    T(sqlite3_close(w.app) == SQLITE_OK);
    world_stop(&w);
    seats.max = 2;
    atomic_store(&seats.wanted, false);
    world_start(&w);
    T(world_sync(&w) == 1);
    T(sqlite3_open_v2(w.path, &w.app, SQLITE_OPEN_READWRITE, "slow") == SQLITE_OK);
    world_sql(&w, "PRAGMA synchronous=FULL; SELECT count(*) FROM t");
    for (int i = 0; i < 30; i++)
        pass(&w, 10 * SECOND);
    T(is(&w, "syncing"));
    atomic_store(&seats.wanted, true);
    slow.w = &w;
    world_sql(&w, "UPDATE t SET b=randomblob(100) WHERE a=2");
    T(!slow.w);
    T(world_sync(&w) == 2);
    end(&w);
    T(sqlite3_vfs_unregister(&vfs) == SQLITE_OK);
}

/* It was told that it has everything, and had nothing. */
static void test_a_replica_that_comes_while_it_is_cold(void **state)
{
    struct world w;
    struct wr_err e = {0};

    (void)state;
    begin_cold(&w);
    T_OK(wr_storage_mem.open(NULL, &w.bucket[1], &e));
    w.n_buckets = 2;
    T_OK(wr_db_add_replica(w.db, world_storage(&w, 1), SECOND, &e));
    for (int i = 0; i < 10; i++)
        pass(&w, 10 * SECOND);
    T(world_sync(&w) == 1);
    world_check(&w, 1);
    end(&w);
}

/* Whoever follows it waits for the next commit, and has nothing from files that are watched. */
static void test_one_that_is_followed_stays(void **state)
{
    struct wr_feed_at at = {.txid = 1};
    struct wr_err e = {0};
    struct world w;
    struct wr_buf out;

    (void)state;
    wr_buf_init(&out, 1 << 20);
    begin(&w);
    T(wr_db_feed_read(w.db, &at, 0, NULL, &out, &e) == WR_NOTFOUND); /* nobody has asked before */
    world_sql(&w, "UPDATE t SET b=1 WHERE a=1");
    at.txid = world_sync(&w);
    for (int i = 0; i < 6; i++) {
        T(wr_db_feed_read(w.db, &at, 0, NULL, &out, &e) == WR_TIMEOUT);
        pass(&w, 20 * SECOND);
        T(!is(&w, "cold"));
    }
    pass(&w, 400 * SECOND); /* it has gone */
    T(is(&w, "cold"));
    /* One that came then was sent to the bucket for ever. */
    T(wr_db_feed_read(w.db, &at, 0, NULL, &out, &e) == WR_NOTFOUND);
    pass(&w, 5 * SECOND);
    T(!is(&w, "cold"));
    T(wr_db_feed_read(w.db, &at, 0, NULL, &out, &e) == WR_TIMEOUT);
    wr_buf_release(&out);
    end(&w);
}

T_MAIN(cmocka_unit_test(test_one_that_is_followed_stays), T_TEST(test_it_stays_cold),
    T_TEST(test_a_write_calls_it_back), T_TEST(test_a_write_that_nobody_told),
    T_TEST(test_a_checkpoint_that_nobody_saw), T_TEST(test_a_sync_leaves_it_cold),
    T_TEST(test_the_next_start_knows_it), T_TEST(test_another_file_in_its_place),
    T_TEST(test_a_level_is_made_from_the_cold),
    T_TEST(test_the_first_send_after_a_rest_looks_at_the_replica),
    T_TEST(test_the_snapshot_that_is_there_was_sent_again), T_TEST(test_a_busy_one_stays),
    T_TEST(test_what_waits_for_a_replica_stays), T_TEST(test_a_commit_in_flight),
    T_TEST(test_a_replica_that_comes_while_it_is_cold))
