/*
 * test_primary_vfs.c - what SQLite's files do to us: the database's disk is full, or its user has
 * no more of it; and what others do at the moment that we take a lock.
 */
#include "engine/primary_int.h"
#include "harness/engine_world.h"
#include "sqlite/pin.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define SECOND ((int64_t)1000000000)

/* ---- the files that our connections open, and no others ---- */

static const sqlite3_io_methods *base, *wal_base; /* a WAL has no locks */
static sqlite3_io_methods db_methods, wal_methods;

static struct {
    int write_rc, sync_rc;      /* of the database; 0: as it is */
    int last_errno;             /* behind them */
    void (*on_lock)(void *arg); /* the writer lock is about to be taken; once */
    void *arg;
    void (*on_read)(void *arg);  /* of the WAL, while it is held; `arg` as above */
    void (*on_pass)(void *arg);  /* frames are being captured, and nobody is kept out; once */
    void (*on_flush)(void *arg); /* the WAL is being synced, and nobody is kept out; each time */
    void (*on_sync)(void *arg);  /* the database is, likewise; once */
    bool sealed;                 /* it is held */
    uint64_t sealed_bytes;       /* of the WAL that were read meanwhile */
    uint64_t sealed_written;     /* of the database that were written, or synced, meanwhile */
    uint64_t unsynced;           /* of it that were written since the last sync */
    uint64_t db_bytes;           /* of the database that were read */
    int64_t bad_page;            /* of it, cannot be read; 0: all can */
} vfs;

#define PAGES 4096

static struct {
    bool unsynced[PAGES]; /* written, and no sync came yet */
    bool lost[PAGES];     /* one came and failed: the kernel has dropped them */
} disk_has;

static int vfs_db_read(sqlite3_file *f, void *p, int n, sqlite3_int64 off)
{
    vfs.db_bytes += (uint64_t)n;
    if (vfs.bad_page > 0 && off <= (vfs.bad_page - 1) * 4096 && off + n > (vfs.bad_page - 1) * 4096)
        return SQLITE_IOERR_READ;
    return base->xRead(f, p, n, off);
}

static int vfs_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 off)
{
    if (vfs.write_rc)
        return vfs.write_rc;
    vfs.sealed_written += vfs.sealed ? (uint64_t)n : 0;
    vfs.unsynced += (uint64_t)n;
    if (off / 4096 < PAGES) {
        disk_has.unsynced[off / 4096] = true;
        disk_has.lost[off / 4096] = false;
    }
    return base->xWrite(f, p, n, off);
}

static int vfs_wal_sync(sqlite3_file *f, int flags)
{
    if (vfs.on_flush && !vfs.sealed)
        vfs.on_flush(vfs.arg);
    return wal_base->xSync(f, flags);
}

static int vfs_sync(sqlite3_file *f, int flags)
{
    void (*call)(void *arg) = vfs.on_sync;

    if (call && !vfs.sealed) {
        vfs.on_sync = NULL;
        call(vfs.arg);
    }
    for (size_t i = 0; i < PAGES && vfs.sync_rc; i++)
        disk_has.lost[i] = disk_has.lost[i] || disk_has.unsynced[i];
    memset(disk_has.unsynced, 0, sizeof(disk_has.unsynced));
    vfs.sealed_written += vfs.sealed ? vfs.unsynced : 0;
    vfs.unsynced = 0;
    return vfs.sync_rc ? vfs.sync_rc : base->xSync(f, flags);
}

static int vfs_control(sqlite3_file *f, int op, void *arg)
{
    if (op != SQLITE_FCNTL_LAST_ERRNO)
        return base->xFileControl(f, op, arg);
    *(int *)arg = vfs.last_errno;
    return SQLITE_OK;
}

static int vfs_shm_lock(sqlite3_file *f, int first, int n, int flags)
{
    void (*call)(void *arg) = vfs.on_lock;
    bool writer = first == WR_SLOT_WRITE && n == 1, lock = flags & SQLITE_SHM_LOCK;
    int rc;

    if (writer && lock && call) {
        vfs.on_lock = NULL;
        call(vfs.arg);
    }
    rc = base->xShmLock(f, first, n, flags);
    if (writer && rc == SQLITE_OK)
        vfs.sealed = lock;
    return rc;
}

static int vfs_read(sqlite3_file *f, void *p, int n, sqlite3_int64 off)
{
    void (*call)(void *arg) = vfs.on_pass;

    if (call && n > 4096 && !vfs.sealed) {
        vfs.on_pass = NULL;
        call(vfs.arg);
    }
    if (vfs.sealed) {
        vfs.sealed_bytes += (uint64_t)n;
        if (vfs.on_read)
            vfs.on_read(vfs.arg);
    }
    return wal_base->xRead(f, p, n, off);
}

static int vfs_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
    int rc = sqlite3_vfs_find("unix")->xOpen(v, name, f, flags, ret_flags);

    if (rc == SQLITE_OK && flags & SQLITE_OPEN_WAL) {
        wal_base = f->pMethods;
        wal_methods = *wal_base;
        wal_methods.xRead = vfs_read;
        wal_methods.xSync = vfs_wal_sync;
        f->pMethods = &wal_methods;
    } else if (rc == SQLITE_OK && flags & SQLITE_OPEN_MAIN_DB) {
        base = f->pMethods;
        db_methods = *base;
        db_methods.xRead = vfs_db_read;
        db_methods.xWrite = vfs_write;
        db_methods.xSync = vfs_sync;
        db_methods.xFileControl = vfs_control;
        db_methods.xShmLock = vfs_shm_lock;
        f->pMethods = &db_methods;
    }
    return rc;
}

/* The pin is put over whatever is the default when it is first asked for. */
static int setup(void **state)
{
    static sqlite3_vfs under;
    struct wr_err e = {0};

    (void)state;
    memset(&vfs, 0, sizeof(vfs));
    memset(&disk_has, 0, sizeof(disk_has));
    if (under.zName)
        return 0;
    under = *sqlite3_vfs_find("unix");
    under.zName = "under";
    under.xOpen = vfs_open;
    T(sqlite3_vfs_register(&under, 1) == SQLITE_OK);
    T_OK(wr_pin_register(&e));
    T(sqlite3_vfs_register(sqlite3_vfs_find("unix"), 1) == SQLITE_OK);
    return 0;
}

static struct wr_db_status status(struct world *w)
{
    struct wr_db_status s;

    wr_db_status(w->db, &s);
    return s;
}

static void replicated(struct world *w)
{
    world_open(w, 1);
    w->opts.checkpoint_frames = 40;
    world_app(w);
    world_sql(w, "PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=OFF;"
                 "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 'first')");
    world_start(w);
    assert_int_equal(world_sync(w), 1);
}

static void write_pages(struct world *w, unsigned n)
{
    char sql[200];

    (void)snprintf(sql, sizeof(sql),
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<%u)"
        "INSERT INTO t(b) SELECT randomblob(3500) FROM n",
        n);
    world_sql(w, sql);
}

/* ---- the disk of the database is full ---- */

struct refusal {
    int write_rc, sync_rc, last_errno;
};

/* Only one of these was taken for a full disk, which was said once and shown nowhere; the others
 * interrupted replication, again and again. */
static void test_no_room_for_the_database(void **state)
{
    static const struct refusal all[] = {{SQLITE_FULL, 0, 0}, {SQLITE_IOERR_WRITE, 0, EDQUOT},
        {SQLITE_IOERR_WRITE, 0, EFBIG}, {0, SQLITE_IOERR_FSYNC, ENOSPC},
        {0, SQLITE_IOERR_FSYNC, EDQUOT}};

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct world w;

        replicated(&w);
        for (unsigned times = 1; times <= 2; times++) {
            uint64_t before;

            vfs.write_rc = all[i].write_rc;
            vfs.sync_rc = all[i].sync_rc;
            vfs.last_errno = all[i].last_errno;
            write_pages(&w, 100);
            T(world_pass(&w, 10 * SECOND, 10000) < 500);
            (void)world_sync(&w); /* replication goes on */
            world_check(&w, 0);
            assert_string_equal(status(&w).state, "syncing");
            assert_int_equal(status(&w).error, WR_LIMIT);
            T(strstr(world_error(w.db), "no room to checkpoint the WAL"));
            assert_int_equal(w.errors, times); /* told once each time */
            T(status(&w).wal_frames >= 100);

            before = status(&w).checkpoints;
            vfs.write_rc = vfs.sync_rc = 0;
            world_run(&w, 11 * SECOND);
            T(status(&w).checkpoints > before);
            assert_int_equal(status(&w).error, WR_OK);
            T(strstr(w.info, "has room again"));
            w.info[0] = '\0';
            world_sql(&w, "UPDATE t SET b=b||'next' WHERE a=1");
            world_run(&w, SECOND);
            T(status(&w).wal_frames < 10);
        }
        world_check(&w, 0);
        world_close(&w);
    }
}

/* Nothing else is waited out like that. */
static void test_a_broken_disk_is_no_full_one(void **state)
{
    struct world w;

    (void)state;
    replicated(&w);
    vfs.write_rc = SQLITE_IOERR_WRITE;
    vfs.last_errno = EIO;
    write_pages(&w, 100);
    world_run(&w, SECOND);
    assert_int_equal(status(&w).error, WR_IO);
    T(w.errors > 0 && strstr(w.error, "interrupted"));
    vfs.write_rc = 0;
    world_run(&w, 100 * SECOND);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

static void write_a_little(void *arg)
{
    write_pages(arg, 3);
}

static size_t count_lost(void)
{
    size_t n = 0;

    for (size_t i = 0; i < PAGES; i++)
        n += disk_has.lost[i];
    return n;
}

/* The kernel tells once that it could not write pages, and then takes them for clean. They were
 * counted as copied, so nothing copied them again, and the next writer overwrote their frames. */
static void lose_pages(int last_errno)
{
    struct wr_db_status now;
    struct world w;

    world_open(&w, 1);
    w.opts.checkpoint_frames = 40;
    w.interval_ns = 3600 * SECOND; /* so that only checkpoints capture */
    world_app(&w);
    world_sql(&w, "PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    world_start(&w);
    (void)world_sync(&w);
    world_sql(&w, "INSERT INTO t(b) VALUES('the interval begins')");
    (void)world_sync(&w);
    write_pages(&w, 120);
    vfs.arg = &w;
    vfs.on_pass = write_a_little; /* the pass stops before the end, and is not synced by SQLite */
    vfs.sync_rc = SQLITE_IOERR_FSYNC;
    vfs.last_errno = last_errno;
    world_run(&w, SECOND / 100);
    T(!vfs.on_pass && count_lost() > 0);
    vfs.sync_rc = 0;
    for (int i = 0; i < 10; i++) {
        world_run(&w, 70 * SECOND);
        world_sql(&w, "INSERT INTO t(b) VALUES('one more')");
    }
    now = status(&w);
    T(now.resets > 0);
    assert_int_equal(count_lost(), 0);
    assert_int_equal(now.error, WR_OK);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

static void test_what_a_failed_sync_has_lost_is_copied_again(void **state)
{
    (void)state;
    lose_pages(EIO);
}

static void test_what_a_full_disk_has_lost_is_copied_again(void **state)
{
    (void)state;
    lose_pages(ENOSPC);
}

/* ---- others, just before a lock is taken ---- */

static void write_much(void *arg)
{
    write_pages(arg, 3000);
}

/* The writer who waited for the lock had them read, and their checksums taken, before that was left
 * for later. */
static void test_what_came_before_a_barrier_is_not_read_in_it(void **state)
{
    struct world w;

    (void)state;
    replicated(&w);
    w.opts.scan_ns = 3600 * SECOND;
    vfs.on_lock = write_much;
    vfs.arg = &w;
    write_pages(&w, 100);
    world_run(&w, 10 * SECOND);
    T(!vfs.on_lock);
    T(vfs.sealed_bytes < (uint64_t)100 * 4096);
    (void)world_sync(&w);
    world_check(&w, 0);
    T(status(&w).checkpoints > 0);
    world_close(&w);
}

static void write_many(void *arg)
{
    write_pages(arg, 1000);
}

/* What was written while the database was synced was copied by another pass, and synced under the
 * barrier: on a disk that is slow to sync as many pages as before. But a WAL that has become long
 * is not let grow for that. */
static void test_writers_waited_for_what_a_slow_sync_had_left(void **state)
{
    static const uint32_t frames[] = {400, 40};

    (void)state;
    for (size_t i = 0; i < wr_countof(frames); i++) {
        struct world w;

        replicated(&w);
        w.db->checkpoint_frames = frames[i];
        vfs.arg = &w;
        vfs.on_flush = write_a_little; /* so that passes stop before the end */
        vfs.on_sync = write_many;
        write_pages(&w, 450);
        world_run(&w, SECOND / 100);
        vfs.on_flush = NULL;
        T(!vfs.on_sync);
        T(status(&w).checkpoints > 0);
        if (i == 0)
            T(vfs.sealed_written < (uint64_t)100 * 4096);
        else
            T(vfs.sealed_written > (uint64_t)1000 * 4096);
        (void)world_sync(&w);
        world_check(&w, 0);
        world_close(&w);
        vfs.sealed_written = 0;
    }
}

static void write_as_fast(void *arg)
{
    write_pages(arg, 2500);
}

/* A writer that was as fast as the passes had 8192 frames copied while it waited, however short the
 * WAL was: a moment later it may be slower. */
static void test_a_fast_writer_waited_for_all_that_it_had_written(void **state)
{
    struct world w;

    (void)state;
    replicated(&w);
    w.db->checkpoint_frames = 2000;
    vfs.arg = &w;
    vfs.on_flush = write_as_fast;
    write_pages(&w, 2100);
    wr_db_wake(w.db);
    world_run(&w, SECOND / 1000);
    T(status(&w).barriers_failed > 0);
    T(vfs.sealed_written == 0 && status(&w).checkpoints == 0);
    vfs.on_flush = NULL;
    world_run(&w, SECOND);
    T(status(&w).checkpoints > 0);
    T(vfs.sealed_written < (uint64_t)100 * 4096);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

/* A disk that hangs for a minute: who asks meanwhile is told for how long. */
static void hang(void *arg)
{
    struct world *w = arg;

    T(wr_db_sealed_ns(w->db) > 0);
    wr_clock_manual_advance(&w->clock, 60 * SECOND);
    T(wr_db_sealed_ns(w->db) >= 60 * SECOND);
    vfs.on_read = NULL;
}

static void test_how_long_writers_have_been_kept_waiting(void **state)
{
    struct world w;

    (void)state;
    replicated(&w);
    assert_int_equal(wr_db_sealed_ns(w.db), 0);
    vfs.on_lock = write_a_little;
    vfs.on_read = hang;
    vfs.arg = &w;
    write_pages(&w, 100);
    world_run(&w, 10 * SECOND);
    T(!vfs.on_read);
    assert_int_equal(wr_db_sealed_ns(w.db), 0);
    T(status(&w).barrier_max_ns >= 60 * SECOND);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

static void mend_index(void *arg)
{
    ((uint8_t *)arg)[48 + 8] ^= 1;
}

/* A writer that had lost its processor for 5 ms in the middle of its update, and ended it just
 * then, was told to have died, and the count of commits began anew. */
static void test_a_writer_that_ended_its_update_late_was_told_to_have_died(void **state)
{
    struct world w;
    uint8_t *shm;
    uint64_t commits;

    (void)state;
    replicated(&w);
    shm = world_index(&w);
    world_run(&w, 10 * SECOND);
    commits = status(&w).commits;
    write_pages(&w, 1);
    shm[48 + 8] ^= 1;
    vfs.on_lock = mend_index;
    vfs.arg = shm;
    world_run(&w, SECOND);
    T(!vfs.on_lock && w.warnings == 0 && status(&w).commits == commits + 1);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

static void move(struct world *w, const char *from, const char *to, const char *tail)
{
    char a[512], b[512];

    (void)snprintf(a, sizeof(a), "%s/%s%s", w->dir, from, tail);
    (void)snprintf(b, sizeof(b), "%s/%s%s", w->dir, to, tail);
    T(rename(a, b) == 0);
}

static void replace(void *arg)
{
    struct world *w = arg;

    for (int i = 0; i < 3; i++)
        move(w, "app.db", "gone", ((const char *[]){"", "-wal", "-shm"})[i]);
    move(w, "new", "app.db", "");
}

/* It was sent, though it was no longer there when its locks were had. */
static void test_a_database_replaced_while_it_is_attached(void **state)
{
    sqlite3 *new = NULL;
    struct world w;

    (void)state;
    world_open(&w, 1);
    world_app(&w);
    world_sql(&w, "CREATE TABLE old(a)");
    T(sqlite3_open(t_path(w.dir, "new"), &new) == SQLITE_OK);
    T(sqlite3_exec(new, "CREATE TABLE new(a); CREATE TABLE newer(a)", NULL, NULL, NULL) ==
        SQLITE_OK);
    T(sqlite3_close(new) == SQLITE_OK);
    vfs.on_lock = replace;
    vfs.arg = &w;
    world_start(&w);
    world_run(&w, SECOND);
    T(!vfs.on_lock);
    assert_int_equal(world_sync(&w), 1);
    world_check(&w, 0);
    assert_int_equal(w.errors, 0);
    world_close(&w);
}

/* ---- a read that keeps the WAL from being checkpointed ---- */

static void test_each_long_read_is_told_once(void **state)
{
    struct world w;

    (void)state;
    replicated(&w);
    for (unsigned times = 1; times <= 2; times++) {
        sqlite3 *reader = NULL;
        uint64_t before = status(&w).checkpoints;

        T(sqlite3_open(w.path, &reader) == SQLITE_OK);
        write_pages(&w, 1); /* so that it does not read from the database alone */
        T(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM t", NULL, NULL, NULL) == SQLITE_OK);
        for (int i = 0; i < 30; i++) {
            write_pages(&w, 10);
            world_run(&w, SECOND);
        }
        assert_int_equal(w.warnings, times);
        T(strstr(w.warning, "a long read"));
        T(sqlite3_close(reader) == SQLITE_OK);
        world_run(&w, 20 * SECOND);
        T(status(&w).checkpoints > before);
    }
    world_close(&w);
}

/* ---- started again ---- */

/* The WAL is gone, which is no reason to read all of a database that nobody has written to; nor is
 * a WAL that the application has begun since. */
static void test_all_was_read_after_an_orderly_stop(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 1);
    world_app(&w);
    world_sql(&w, "PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    write_pages(&w, 500);
    world_start(&w);
    (void)world_sync(&w);
    world_app_close(&w);
    for (int written = 0; written < 2; written++) {
        world_stop(&w);
        T(access(t_path(w.dir, "app.db-wal"), F_OK) != 0);
        if (written) {
            world_app(&w);
            world_sql(&w, "PRAGMA wal_autocheckpoint=0; UPDATE t SET b='x' WHERE a=7");
        }
        vfs.db_bytes = 0;
        world_start(&w);
        assert_int_equal(world_sync(&w), 1 + written);
        world_run(&w, SECOND);
        T(vfs.db_bytes < (uint64_t)(written ? 20 : 10) * 4096);
        T(status(&w).ledger_scans == 0 && status(&w).full_sends == 0);
    }
    world_check(&w, 0);
    world_close(&w);
}

/* ---- what fails each time ---- */

/* Nobody waits for the copying and the sync at a stop, as in any other checkpoint. */
static void test_writers_waited_for_the_whole_wal_at_a_stop(void **state)
{
    struct world w;

    (void)state;
    replicated(&w);
    write_pages(&w, 30);
    (void)world_sync(&w);
    assert_int_equal(status(&w).checkpoints, 0);
    vfs.sealed_written = vfs.unsynced = 0;
    world_stop(&w);
    assert_int_equal(vfs.sealed_written, 0);
    assert_int_equal(vfs.unsynced, 0);
    world_sql(&w, "UPDATE t SET b=1 WHERE a=1");
    world_start(&w);
    (void)world_sync(&w);
    assert_int_equal(status(&w).ledger_scans, 0); /* all of it was there */
    world_check(&w, 0);
    world_close(&w);
}

/* One page that could not be read, once, while the database was compared: the pause after that was
 * counted several times over, and replication stood still for eighty seconds instead of ten. */
static void test_one_bad_read_while_proving_was_a_pause_of_a_minute(void **state)
{
    struct world w;

    (void)state;
    replicated(&w);
    write_pages(&w, 200);
    (void)world_sync(&w);
    world_stop(&w);
    world_sql(&w, "UPDATE t SET b=2; PRAGMA wal_checkpoint(TRUNCATE); UPDATE t SET b=3 WHERE a=1");
    vfs.bad_page = 100;
    world_start(&w);
    world_run(&w, SECOND);
    assert_int_equal(status(&w).error, WR_IO);
    vfs.bad_page = 0;
    world_run(&w, 6 * SECOND);
    T(strcmp(status(&w).state, "syncing") == 0 && status(&w).error == WR_OK);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

/* A replica that is to join needs a page that cannot be read. It was tried five times a second, for
 * ever: until it listed, all was well, and so the pauses never grew. */
static void test_a_join_that_always_fails_was_a_storm(void **state)
{
    struct world w;
    unsigned before;

    (void)state;
    world_open(&w, 2);
    w.n_buckets = 1;
    world_app(&w);
    world_sql(&w, "PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    write_pages(&w, 200);
    world_sql(&w, "PRAGMA wal_checkpoint(TRUNCATE); UPDATE t SET b='x' WHERE a=1");
    world_start(&w);
    (void)world_sync(&w);
    world_stop(&w);
    w.n_buckets = 2; /* another replica is added, and the first has everything */
    vfs.bad_page = 100;
    world_start(&w);
    world_run(&w, 10 * SECOND);
    before = w.errors;
    (void)world_pass(&w, 600 * SECOND, 100000);
    T(w.errors > before && w.errors - before < 30);
    vfs.bad_page = 0;
    (void)world_pass(&w, 130 * SECOND, 100000);
    T(status(&w).error == WR_OK);
    world_sql(&w, "UPDATE t SET b='y' WHERE a=1");
    (void)world_sync(&w);
    world_check(&w, 0);
    world_check(&w, 1);
    world_close(&w);
}

T_MAIN(cmocka_unit_test_setup(test_no_room_for_the_database, setup),
    cmocka_unit_test_setup(test_a_broken_disk_is_no_full_one, setup),
    cmocka_unit_test_setup(test_what_a_failed_sync_has_lost_is_copied_again, setup),
    cmocka_unit_test_setup(test_what_a_full_disk_has_lost_is_copied_again, setup),
    cmocka_unit_test_setup(test_what_came_before_a_barrier_is_not_read_in_it, setup),
    cmocka_unit_test_setup(test_writers_waited_for_what_a_slow_sync_had_left, setup),
    cmocka_unit_test_setup(test_a_fast_writer_waited_for_all_that_it_had_written, setup),
    cmocka_unit_test_setup(test_how_long_writers_have_been_kept_waiting, setup),
    cmocka_unit_test_setup(test_a_writer_that_ended_its_update_late_was_told_to_have_died, setup),
    cmocka_unit_test_setup(test_a_database_replaced_while_it_is_attached, setup),
    cmocka_unit_test_setup(test_each_long_read_is_told_once, setup),
    cmocka_unit_test_setup(test_all_was_read_after_an_orderly_stop, setup),
    cmocka_unit_test_setup(test_one_bad_read_while_proving_was_a_pause_of_a_minute, setup),
    cmocka_unit_test_setup(test_a_join_that_always_fails_was_a_storm, setup),
    cmocka_unit_test_setup(test_writers_waited_for_the_whole_wal_at_a_stop, setup))
