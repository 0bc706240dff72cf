/*
 * test_vfs.c - SQLite on the simulated disk: locks between processes, the wal-index, faults, time.
 */
#include "sim/vfs.h"

#include "harness/t.h"
#include "sim/disk_kit.h"

#define MS INT64_C(1000000)

static struct wr_file *stray; /* that a test opens and should not */

/* ---- locks ---- */

static bool holding;
static int gone; /* calls of vfs_on_writer_gone */

static void note_gone(const char *path)
{
    CHECK(strcmp(path, KIT_DB) == 0);
    gone++;
}

static void hold(void *arg)
{
    sqlite3 *db = kit_db("PRAGMA cache_size=5");

    CHECK(kit_sql(db, arg) == SQLITE_OK);
    holding = true;
    sim_sleep(1000 * MS);
    CHECK(!"a killed process goes on");
}

static struct sim_proc *start_holder(const char *sql)
{
    static char text[64];
    struct sim_proc *p = sim_proc_new("holder");

    (void)snprintf(text, sizeof(text), "%s", sql);
    holding = false;
    (void)sim_spawn(p, "holder", hold, text);
    while (!holding)
        sim_sleep(MS);
    return p;
}

static void lock_levels(void *arg)
{
    struct sim_proc *p;
    sqlite3 *db;

    (void)arg;
    kit_sqlite();
    kit_tables("PRAGMA journal_mode=delete");
    db = kit_db("PRAGMA busy_timeout=0");

    p = start_holder("BEGIN IMMEDIATE"); /* RESERVED: others read, and do not write */
    CHECK(kit_sql(db, "SELECT * FROM t") == SQLITE_OK);
    CHECK(kit_sql(db, "INSERT INTO t VALUES(1, 1)") == SQLITE_BUSY);
    CHECK(vfs_has_locks(p, KIT_DB) && !vfs_has_locks(sim_proc_current(), KIT_DB));
    sim_kill(p);
    CHECK(!vfs_has_locks(p, KIT_DB) && kit_sql(db, "INSERT INTO t VALUES(1, 1)") == SQLITE_OK);

    p = start_holder("BEGIN EXCLUSIVE");
    CHECK(kit_sql(db, "SELECT * FROM t") == SQLITE_BUSY);
    vfs_on_writer_gone = note_gone;
    sim_kill(p);
    CHECK(gone == 1 && kit_sql(db, "SELECT * FROM t") == SQLITE_OK);

    p = start_holder("BEGIN; SELECT * FROM t"); /* SHARED: a writer gets to PENDING */
    CHECK(kit_sql(db, "BEGIN; INSERT INTO t VALUES(2, 2); COMMIT") == SQLITE_BUSY);
    sim_kill(p);
    CHECK(kit_sql(db, "COMMIT") == SQLITE_OK && kit_ask(db, "SELECT count(*) FROM t") == 2);
    CHECK(sqlite3_close(db) == SQLITE_OK);
}

static void levels_exclude_each_other_and_die_with_their_process(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 20; i++)
        child_run(t_seed() + i, lock_levels, NULL);
}

static void wal_locks(void *arg)
{
    const struct sim_proc *world = sim_proc_current();
    struct sim_proc *p;
    int64_t since;
    sqlite3 *db;

    (void)arg;
    kit_sqlite();
    kit_tables("PRAGMA journal_mode=wal");
    db = kit_db("PRAGMA busy_timeout=0");
    p = start_holder("BEGIN IMMEDIATE; INSERT INTO t VALUES(7, 7)");
    CHECK(kit_sql(db, "SELECT * FROM t") == SQLITE_OK);
    CHECK(kit_sql(db, "INSERT INTO t VALUES(1, 1)") == SQLITE_BUSY);
    CHECK(vfs_holder(KIT_DB, 0, &since) == p && since < sim_now_ns());
    vfs_on_writer_gone = note_gone;
    sim_kill(p);
    CHECK(gone == 1 && vfs_holder(KIT_DB, 0, &since) == NULL);
    CHECK(vfs_longest_write_hold(p) > 0);
    CHECK(kit_sql(db, "INSERT INTO t VALUES(1, 1)") == SQLITE_OK);
    CHECK(gone > 1 && vfs_longest_write_hold(world) > 0);
    CHECK(kit_ask(db, "SELECT sum(n) FROM t") == 1);
    CHECK(vfs_has_locks(world, KIT_DB) && vfs_has_locks(world, KIT_DB "-shm"));
    CHECK(sqlite3_close(db) == SQLITE_OK);
    CHECK(!vfs_has_locks(world, KIT_DB));
}

static void the_writer_lock_dies_with_its_process(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 20; i++)
        child_run(t_seed() + i, wal_locks, NULL);
}

/* ---- waits ---- */

static struct vfs_wait waited; /* the last one */
static int64_t waited_ns;      /* all of them */

static void note_wait(const struct vfs_wait *w)
{
    waited = *w;
    waited_ns += w->to_ns - w->from_ns;
}

static void kill_soon(void *arg)
{
    sim_sleep(45 * MS);
    sim_kill(arg);
}

static void wait_for_writer(void *arg)
{
    struct sim_proc *p;
    int64_t start;
    sqlite3 *db;

    (void)arg;
    kit_sqlite();
    kit_tables("PRAGMA journal_mode=wal");
    db = kit_db("SELECT * FROM t");
    vfs_on_wait = note_wait;
    p = start_holder("BEGIN IMMEDIATE");
    CHECK(kit_sql(db, "SELECT * FROM t") == SQLITE_OK && waited_ns == 0);

    start = sim_now_ns();
    (void)sim_spawn(sim_proc_new("killer"), "killer", kill_soon, p);
    CHECK(kit_sql(db, "INSERT INTO t VALUES(1, 1)") == SQLITE_OK);
    CHECK(waited.holder == p && waited_ns > 30 * MS && waited_ns <= sim_now_ns() - start);
    /* The last sleep goes on when the lock is free. */
    CHECK(waited.held_ns > 0 && waited.from_ns + waited.held_ns < waited.to_ns);

    waited_ns = 0; /* nobody has the lock */
    CHECK(kit_sql(db, "INSERT INTO t VALUES(2, 2)") == SQLITE_OK && waited_ns == 0);
    CHECK(sqlite3_close(db) == SQLITE_OK);
}

static void who_waits_for_whom_is_told(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 10; i++)
        child_run(t_seed() + i, wait_for_writer, NULL);
}

/* ---- POSIX drops the locks ---- */

static void close_stray(void *arg)
{
    const struct wr_fs *fs = disk_fs();
    sqlite3 *db;

    kit_sqlite();
    kit_tables("PRAGMA journal_mode=wal");
    CHECK(wr_file_open(fs, KIT_DB, WR_FILE_READ, 0, &stray, &kit_err) == WR_OK);
    wr_file_close(stray); /* nobody has it open */
    db = kit_db("SELECT * FROM t");
    CHECK(wr_file_open(fs, KIT_DB "-wal", WR_FILE_READ, 0, &stray, &kit_err) == WR_OK);
    wr_file_close(stray); /* SQLite does not lock it */
    CHECK(wr_file_open(fs, arg, WR_FILE_READ, 0, &stray, &kit_err) == WR_OK);
    wr_file_close(stray);
    CHECK(sqlite3_close(db) == SQLITE_OK); /* not reached */
}

static void close_in_other_process(void *arg)
{
    CHECK(wr_file_open(disk_fs(), KIT_DB, WR_FILE_READ, 0, &stray, &kit_err) == WR_OK);
    wr_file_close(stray);
    *(bool *)arg = true;
}

static void close_elsewhere(void *arg)
{
    struct sim_proc *other = sim_proc_new("other");
    bool done = false;
    sqlite3 *db;

    (void)arg;
    kit_sqlite();
    kit_tables("PRAGMA journal_mode=wal");
    db = kit_db("SELECT * FROM t");
    sim_join(sim_spawn(other, "closer", close_in_other_process, &done));
    CHECK(done && sqlite3_close(db) == SQLITE_OK);
}

static void closing_a_database_that_sqlite_has_locked_fails_the_run(void **state)
{
    static char db[] = KIT_DB, shm[] = KIT_DB "-shm";

    (void)state;
    child_fails(t_seed(), close_stray, db, "T-LOCK");
    child_fails(t_seed(), close_stray, shm, "T-LOCK");
    child_run(t_seed(), close_elsewhere, NULL);
}

/* ---- the wal-index ---- */

static void map_index(void *arg)
{
    struct stat first, second, third;
    struct sim_proc *p;
    sqlite3 *db;

    (void)arg;
    kit_sqlite();
    kit_tables("PRAGMA journal_mode=wal");
    CHECK(disk_stat(KIT_DB "-shm", &first) < 0); /* the last one removed it */
    CHECK(vfs_peek_shm(KIT_DB) == NULL);
    p = start_holder("INSERT INTO t VALUES(1, 1)");
    CHECK(disk_stat(KIT_DB "-shm", &first) == 0 && first.st_size == 32768);
    CHECK(vfs_peek_shm(KIT_DB) && vfs_peek_shm(KIT_DB)[12] == 1); /* isInit */
    db = kit_db("INSERT INTO t VALUES(2, 2)");
    CHECK(disk_stat(KIT_DB "-shm", &second) == 0 && second.st_ino == first.st_ino);
    sim_kill(p);
    CHECK(kit_ask(db, "SELECT count(*) FROM t") == 2);
    CHECK(sqlite3_close(db) == SQLITE_OK);

    /* All die: the name stays, the bytes do not count any more. */
    p = start_holder("INSERT INTO t VALUES(3, 3)");
    CHECK(disk_stat(KIT_DB "-shm", &second) == 0);
    sim_kill(p);
    CHECK(vfs_peek_shm(KIT_DB) == NULL && disk_stat(KIT_DB "-shm", &third) == 0);
    CHECK(third.st_ino == second.st_ino && disk_stat(KIT_DB "-wal", &first) == 0);
    db = kit_db("");
    CHECK(kit_ask(db, "SELECT count(*) FROM t") == 3); /* recovered from the WAL */
    CHECK(disk_stat(KIT_DB "-shm", &third) == 0 && third.st_ino == second.st_ino);
    CHECK(sqlite3_close(db) == SQLITE_OK);
}

static void the_index_lives_as_long_as_somebody_maps_it(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 20; i++)
        child_run(t_seed() + i, map_index, NULL);
}

/* ---- the rest ---- */

static void fail_calls(void *arg)
{
    sqlite3 *db;
    int full = 0;

    (void)arg;
    kit_sqlite();
    kit_tables("PRAGMA journal_mode=wal");
    db = kit_db("PRAGMA synchronous=FULL");
    disk_arm(DISK_FULL, sim_proc_current(), 200);
    for (int i = 0; i < 50; i++) {
        int rc = kit_sql(db, "INSERT INTO t(x) VALUES(randomblob(9000))");

        CHECK(rc == SQLITE_OK || rc == SQLITE_FULL);
        full += rc == SQLITE_FULL;
    }
    CHECK(full > 0);
    disk_arm(DISK_FULL, NULL, 0);
    disk_arm(DISK_EIO_SYNC, sim_proc_current(), 1000);
    CHECK(kit_sql(db, "INSERT INTO t(x) VALUES(1)") == SQLITE_IOERR);
    CHECK(sqlite3_extended_errcode(db) == SQLITE_IOERR_FSYNC);
    disk_arm(DISK_EIO_SYNC, NULL, 0);
    CHECK(kit_ask(db, "PRAGMA integrity_check") == -1);
    CHECK(kit_ask(db, "SELECT count(*) FROM t") == 50 - full);
    /* The clock is ours: 2026. */
    CHECK(kit_ask(db, "SELECT strftime('%s') + 0") / 1000 == SIM_EPOCH_MS / 1000000);
    CHECK(kit_sql(db, "CREATE TEMP TABLE x AS SELECT randomblob(9000) FROM t") == SQLITE_OK);
    CHECK(kit_sql(db, "VACUUM") == SQLITE_OK);
    CHECK(sqlite3_close(db) == SQLITE_OK);
}

static void insert_and_fail(void *arg)
{
    sqlite3 *db = kit_db("PRAGMA synchronous=FULL");

    disk_arm(DISK_EIO_SYNC, sim_proc_current(), 1000);
    *(int *)arg = kit_sql(db, "INSERT INTO t(x) VALUES(1)");
    sim_sleep(100 * MS);
    *(int *)arg += kit_sql(db, "INSERT INTO t(x) VALUES(2)");
    CHECK(sqlite3_close(db) == SQLITE_OK);
}

/* Two disks fail at a time; who is well does not see it, and what has failed did not happen. */
static void fail_two(void *arg)
{
    struct sim_proc *p[2] = {sim_proc_new("a"), sim_proc_new("b")};
    struct sim_fiber *f[2];
    int rc[2] = {0, 0};
    sqlite3 *db;

    (void)arg;
    kit_sqlite();
    kit_tables("PRAGMA journal_mode=wal");
    db = kit_db("PRAGMA synchronous=FULL");
    for (int i = 0; i < 2; i++)
        f[i] = sim_spawn(p[i], "f", insert_and_fail, &rc[i]);
    sim_sleep(50 * MS);
    CHECK(rc[0] == SQLITE_IOERR && rc[1] == SQLITE_IOERR);
    CHECK(disk_struck(p[0]) == 1 && disk_struck(p[1]) == 1);
    disk_arm(DISK_EIO_SYNC, p[0], 0);
    CHECK(kit_sql(db, "INSERT INTO t(x) VALUES(3)") == SQLITE_OK);
    CHECK(disk_struck(sim_proc_current()) == 0);
    for (int i = 0; i < 2; i++)
        sim_join(f[i]);
    CHECK(rc[0] == SQLITE_IOERR && rc[1] == 2 * SQLITE_IOERR);
    disk_arm(DISK_EIO_SYNC, NULL, 0);
    CHECK(kit_ask(db, "SELECT count(*) FROM t WHERE x = 2 OR x = 3") == 2);
    CHECK(
        kit_ask(db, "SELECT count(*) FROM t") == 2 && kit_ask(db, "PRAGMA integrity_check") == -1);
    CHECK(sqlite3_close(db) == SQLITE_OK);
}

static void a_disk_fails_some_processes_and_not_others(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 10; i++)
        child_run(t_seed() + i, fail_two, NULL);
}

static void sqlite_sees_faults_and_virtual_time(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 10; i++)
        child_run(t_seed() + i, fail_calls, NULL);
}

T_MAIN(T_TEST(levels_exclude_each_other_and_die_with_their_process),
    T_TEST(the_writer_lock_dies_with_its_process), T_TEST(who_waits_for_whom_is_told),
    T_TEST(closing_a_database_that_sqlite_has_locked_fails_the_run),
    T_TEST(the_index_lives_as_long_as_somebody_maps_it),
    T_TEST(a_disk_fails_some_processes_and_not_others), T_TEST(sqlite_sees_faults_and_virtual_time))
