/*
 * test_primary_full.c - the disk of the local state is full, as it is when the database's own disk
 * is: nothing is lost, nothing is sent twice, and it goes on by itself when there is room again.
 */
#include "harness/engine_world.h"
#include "storage/drivers.h"
#include "unit/engine/ledger_model.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND ((int64_t)1000000000)

static struct wr_db_status status(struct world *w)
{
    struct wr_db_status s;

    wr_db_status(w->db, &s);
    return s;
}

/* A replicated database of some 400 pages whose local disk has just become full. */
static void fill(struct world *w, const struct wr_fs *fs, size_t buckets)
{
    disk.full = false;
    world_open(w, buckets);
    w->opts.fs = fs;
    w->opts.checkpoint_frames = 40;
    w->interval_ns = SECOND;
    world_app(w);
    world_sql(w, "PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a INTEGER PRIMARY KEY, b);"
                 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<400)"
                 "INSERT INTO t SELECT i, randomblob(3500) FROM n");
    world_start(w);
    assert_int_equal(world_sync(w), 1);
    disk.full = true;
}

/* A minute of writes, 240 pages in all. */
static void write_on(struct world *w)
{
    for (int i = 0; i < 60; i++) {
        world_sql(w, "UPDATE t SET b=randomblob(3500) WHERE a BETWEEN abs(random()) % 90 AND 93");
        world_run(w, SECOND);
    }
}

static uint64_t bytes_up(struct world *w, size_t i)
{
    struct wr_call *c = t_call();
    struct wr_storage *s = world_storage(w, i);
    struct wr_object o = {0};
    struct wr_err e = {0};

    T_OK(wr_storage_stat(s, c, WR_STR("ltx/0/0000000000000002-0000000000000002.ltx"), &o, &e));
    wr_storage_close(s);
    return o.size;
}

static int64_t lag_ms(struct world *w)
{
    struct wr_replica_status s;
    struct wr_str name;

    wr_db_replica_status(w->db, 0, &s, &name);
    return s.lag_ms;
}

/* It was taken for "too many pages for the journal": every page was sent, each time. And `weir
 * list` said that the replica lacks nothing. */
static void test_a_full_disk_is_waited_out(void **state)
{
    struct wr_fs fs = spied_fs();
    struct world w;
    struct wr_db_status s;

    (void)state;
    fill(&w, &fs, 1);
    write_on(&w);
    s = status(&w);
    T(strcmp(s.state, "syncing") == 0 && s.txid == 1);
    T(s.error == WR_LIMIT && strstr(world_error(w.db), "local disk full: "));
    T(strstr(world_error(w.db), ".app.db-weir") && strstr(world_error(w.db), "replication waits"));
    assert_int_equal(w.errors, 1); /* said once */
    T(strstr(w.error, "local disk full: ") != NULL);
    T(strstr(w.error, "disk full while staging ltx file, replication paused until space is freed"));
    T(s.checkpoints > 10 && s.wal_frames < 400); /* which do not need that disk */
    T(lag_ms(&w) > 58000 && lag_ms(&w) < 62000);

    disk.full = false;
    world_run(&w, 40 * SECOND);
    s = status(&w);
    assert_int_equal(lag_ms(&w), 0);
    assert_int_equal(s.txid, 2);
    T(s.error == WR_OK && world_error(w.db)[0] == '\0');
    assert_int_equal(s.full_sends, 0);
    assert_int_equal(s.ledger_scans, 1); /* the first */
    T(bytes_up(&w, 0) < (uint64_t)110 * 4096);
    world_check(&w, 0);
    world_sql(&w, "UPDATE t SET b=randomblob(3500) WHERE a=1");
    assert_int_equal(world_sync(&w), 3);
    world_check(&w, 0);
    assert_int_equal(w.errors, 1);
    world_close(&w);
}

/* Somebody waits for a sync: the answer is why it does not come. */
static void test_a_sync_on_a_full_disk(void **state)
{
    struct wr_fs fs = spied_fs();
    struct world w;
    struct wr_err e = {0};
    uint64_t ticket, txid = 0;

    (void)state;
    fill(&w, &fs, 1);
    world_sql(&w, "UPDATE t SET b=1 WHERE a=1");
    wr_db_sync_begin(w.db, &ticket);
    T(world_pass(&w, 20 * SECOND, 20000) < 5000); /* it does not spin */
    T_IS(WR_BUSY, wr_db_sync_poll(w.db, ticket, true, &txid, &e));
    T(status(&w).error == WR_LIMIT);
    disk.full = false;
    world_run(&w, 40 * SECOND);
    T_OK(wr_db_sync_poll(w.db, ticket, true, &txid, &e));
    assert_int_equal(txid, 2);
    world_check(&w, 0);
    world_close(&w);
}

/* Killed meanwhile. What was captured is in no note, so all pages are compared, and few are sent.
 */
static void test_killed_on_a_full_disk(void **state)
{
    struct wr_fs fs = spied_fs();
    struct world w;
    struct wr_db_status s;

    (void)state;
    fill(&w, &fs, 1);
    write_on(&w);
    world_stop(&w);
    world_start(&w);
    world_run(&w, 60 * SECOND);
    T(status(&w).txid <= 1);
    disk.full = false;
    world_run(&w, 60 * SECOND);
    s = status(&w);
    assert_int_equal(s.txid, 2);
    assert_int_equal(s.full_sends, 0);
    T(bytes_up(&w, 0) < (uint64_t)110 * 4096);
    world_check(&w, 0);
    world_close(&w);
}

/* Stopped when there was room again, and before it was tried. Pages that no note could hold were
 * forgotten: a note after them was there, and the position that goes with it. The replica became a
 * database that never was. */
static void test_pages_were_forgotten_of_which_the_note_was_missing(void **state)
{
    struct wr_fs fs = spied_fs();
    struct world w;

    (void)state;
    fill(&w, &fs, 1);
    write_on(&w);
    disk.full = false;
    for (int i = 200; i < 260; i++) {
        char sql[80];

        (void)snprintf(sql, sizeof(sql), "UPDATE t SET b=randomblob(3500) WHERE a=%d", i);
        world_sql(&w, sql);
    }
    world_run(&w, 0);
    assert_int_equal(status(&w).txid, 1);
    world_stop(&w);
    world_start(&w);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

/* That the file was written past SQLite could not be noted on a full disk. So it was not attached,
 * and the application was left to checkpoint by itself. */
static void test_compared_on_a_full_disk(void **state)
{
    struct wr_fs fs = spied_fs();
    struct world w;
    struct wr_db_status s;

    (void)state;
    for (int killed = 0; killed < 2; killed++) {
        fill(&w, &fs, 1);
        T(utimensat(AT_FDCWD, w.path, NULL, 0) == 0); /* as if somebody had written to it */
        write_on(&w);
        s = status(&w);
        T(strcmp(s.state, "syncing") == 0 && s.ledger_scans == 2);
        T(s.checkpoints > 10 && s.wal_frames < 400);
        T(s.error == WR_LIMIT && s.txid == 1);
        if (killed) { /* the next one must know */
            world_stop(&w);
            disk.full = false;
            world_start(&w);
        }
        disk.full = false;
        world_run(&w, 60 * SECOND);
        (void)world_sync(&w);
        s = status(&w);
        T(s.error == WR_OK && s.ledger_scans == (killed ? 1 : 2) && s.full_sends == 0);
        world_check(&w, 0);
        world_close(&w);
    }
}

/* One replica lags when the disk becomes full, another one comes back in the middle of it: both
 * get what changed, no more. */
static void no_faults_yet(struct world *w, struct faultstore *f)
{
    (void)w;
    (void)f;
}

static void test_replicas_come_back_on_a_full_disk(void **state)
{
    struct wr_fs fs = spied_fs();
    struct world w;
    struct wr_db_status s;

    (void)state;
    world_open(&w, 2);
    w.opts.fs = &fs;
    w.opts.checkpoint_frames = 40;
    w.interval_ns = SECOND;
    w.arm = no_faults_yet;
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b);"
                  "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<400)"
                  "INSERT INTO t SELECT i, randomblob(3500) FROM n");
    world_start(&w);
    assert_int_equal(world_sync(&w), 1);
    faultstore_arm(w.fault[1], FAULT_BROKEN, FAULT_ON_ALL, 1000, UINT64_MAX);
    write_on(&w);
    disk.full = true;
    write_on(&w);
    faultstore_calm(w.fault[1]);
    write_on(&w);
    disk.full = false;
    world_run(&w, 40 * SECOND);
    (void)world_sync(&w);
    s = status(&w);
    T(s.error == WR_OK);
    assert_int_equal(s.full_sends, 0);
    assert_int_equal(s.ledger_scans, 1);
    world_check(&w, 0);
    world_check(&w, 1);
    world_close(&w);
}

/* Grown by so much that the ledger must grow, too. */
static void test_the_ledger_cannot_grow(void **state)
{
    struct wr_fs fs = spied_fs();
    struct world w;
    struct wr_db_status s;

    (void)state;
    fill(&w, &fs, 1);
    world_sql(&w, "PRAGMA synchronous=OFF;"
                  "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<9000)"
                  "INSERT INTO t(b) SELECT randomblob(3500) FROM n");
    world_run(&w, 20 * SECOND);
    s = status(&w);
    T(s.error == WR_LIMIT && strstr(world_error(w.db), "grow the ledger"));
    T(s.txid == 1 && s.checkpoints > 0);
    disk.full = false;
    world_run(&w, 40 * SECOND);
    (void)world_sync(&w);
    s = status(&w);
    T(s.error == WR_OK);
    assert_int_equal(s.full_sends, 0);
    assert_int_equal(s.ledger_scans, 1);
    world_check(&w, 0);
    world_close(&w);
}

/* ---- it cannot be attached ---- */

static unsigned lists;

static enum wr_status counted_list(void *self, struct wr_call *c, struct wr_str prefix,
    struct wr_str after, wr_list_fn *fn, void *arg, struct wr_err *e)
{
    lists++;
    return wr_storage_mem.list(self, c, prefix, after, fn, arg, e);
}

static void add_counted(struct world *w, const struct wr_storage_ops *ops)
{
    struct wr_storage *s = NULL;
    struct wr_err e = {0};

    T_OK(wr_storage_wrap(ops, wr_storage_mem_ref(w->bucket[0]), WR_STR(""), &s, &e));
    T_OK(wr_db_add_replica(w->db, s, SECOND, &e));
}

static void remove_local_state(struct world *w)
{
    const char *dir = t_path(w->dir, ".app.db-weir");

    for (size_t i = 0; i < FILES; i++)
        T(unlink(t_path(dir, file_names[i])) == 0);
}

/* It listed all that the replica holds every five seconds, at some cents an hour. */
static void test_attempts_to_attach_list_nothing(void **state)
{
    struct wr_fs fs = spied_fs();
    struct wr_storage_ops ops = wr_storage_mem;
    struct world w;
    unsigned once;

    (void)state;
    ops.list = counted_list;
    disk.full = false;
    world_open(&w, 1);
    w.opts.fs = &fs;
    w.interval_ns = SECOND;
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 1)");
    world_start(&w);
    assert_int_equal(world_sync(&w), 1);
    world_stop(&w);
    remove_local_state(&w);
    disk.full = true;
    w.n_buckets = 0;
    lists = 0;
    world_start(&w);
    add_counted(&w, &ops);
    world_run(&w, SECOND / 100);
    once = lists;
    world_run(&w, 3600 * SECOND);
    T(status(&w).error == WR_LIMIT);
    T(once > 0 && lists <= 2 * once);
    world_sql(&w, "INSERT INTO t VALUES(2, 2)");
    disk.full = false;
    world_run(&w, 60 * SECOND);
    T(status(&w).error == WR_OK && strcmp(status(&w).state, "syncing") == 0);
    T(lists <= 4 * once); /* but what it goes by is not an hour old */
    T(lists > once);
    w.n_buckets = 1;
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

T_MAIN(T_TEST(test_a_full_disk_is_waited_out), T_TEST(test_a_sync_on_a_full_disk),
    T_TEST(test_killed_on_a_full_disk),
    T_TEST(test_pages_were_forgotten_of_which_the_note_was_missing),
    T_TEST(test_compared_on_a_full_disk), T_TEST(test_replicas_come_back_on_a_full_disk),
    T_TEST(test_the_ledger_cannot_grow), T_TEST(test_attempts_to_attach_list_nothing))
