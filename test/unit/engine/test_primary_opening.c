/*
 * test_primary_opening.c - what stands between a database and its replication: a lock, damage, a
 * path that leads elsewhere.
 */
#include "base/mem.h"
#include "base/str.h"
#include "harness/engine_world.h"
#include "unit/engine/world_bucket.h"
#include "unit/sqlite/other_process.h"

#include <unistd.h>

#define SECOND ((int64_t)1000000000)

static int opened; /* connections, by anybody in this process */

static int count_open(sqlite3 *db, const char **error, const struct sqlite3_api_routines *api)
{
    (void)db;
    (void)error;
    (void)api;
    opened++;
    return SQLITE_OK;
}

static void begin(struct world *w)
{
    world_open(w, 1);
    world_app(w);
    world_sql(w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t(b) VALUES('first')");
}

static struct wr_db_status status(struct world *w)
{
    struct wr_db_status s;

    wr_db_status(w->db, &s);
    return s;
}

/* It was sent to where its pages come from, as somebody else's history. */
static void test_a_copy_that_follows_is_not_replicated(void **state)
{
    char mark[600], *real = NULL;
    struct wr_err e = {0};
    struct world w;
    FILE *f;

    (void)state;
    begin(&w);
    T_OK(wr_fs_posix()->resolve(wr_fs_posix(), w.path, &real, &e));
    (void)snprintf(mark, sizeof(mark), "%s-follow", real);
    wr_free(real);
    f = fopen(mark, "w");
    T(f && fclose(f) == 0);
    world_start(&w);
    for (int i = 0; i < 8; i++)
        world_run(&w, SECOND);
    T_IS(WR_CONFLICT, status(&w).error);
    T(strstr(world_error(w.db), "weir promote") && strstr(world_error(w.db), mark));
    T(bucket_count(&w) == 0);
    T(remove(mark) == 0); /* it was promoted */
    for (int i = 0; i < 20; i++)
        world_run(&w, SECOND);
    (void)world_sync(&w);
    T_IS(WR_OK, status(&w).error);
    world_check(&w, 0);
    world_close(&w);
}

/* Nothing was logged, the pin was dropped and taken again, and a sync ended without a reason. */
static void test_a_long_transaction_is_waited_for_and_told(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    world_sql(&w, "BEGIN IMMEDIATE; INSERT INTO t(b) VALUES('second')");
    world_start(&w);
    for (int i = 0; i < 8; i++)
        world_run(&w, SECOND / 2);
    assert_int_equal(status(&w).error, WR_BUSY);
    T(strstr(world_error(w.db), "write transaction"));
    opened = 0;
    for (int i = 0; i < 8; i++)
        world_run(&w, SECOND / 2);
    assert_int_equal(opened, 0); /* one connection waits, and keeps the pin */
    world_sql(&w, "COMMIT");
    (void)world_sync(&w);
    assert_int_equal(status(&w).error, WR_OK);
    world_check(&w, 0);
    world_close(&w);
}

/* As a recovery of the index leaves it, too: nBackfillAttempted is the whole WAL. */
static void leave_attempted(struct world *w)
{
    uint8_t *shm = world_index(w);

    memcpy(shm + 128, shm + 16, 4);
    T(memcmp(shm + 128, shm + 96, 4) != 0);
}

/* A second replicator was suspected after two seconds, an error was logged, and `replicate` ended,
 * when all that was in the way was the application's checkpoint of a large WAL. */
static void test_a_long_checkpoint_was_taken_for_a_second_weir(void **state)
{
    struct other app = other_start();
    struct world w;

    (void)state;
    if (access("/proc/locks", R_OK) != 0)
        skip(); /* this system does not tell who has a lock */
    begin(&w);
    world_sql(&w, "PRAGMA wal_checkpoint");
    assert_string_equal(other_ask(&app, 'o', w.path), "0");
    assert_string_equal(other_ask(&app, 'w', w.path), "0 ");
    assert_string_equal(other_ask(&app, 'p', ""), "0 ");
    other_expect(&app, "BEGIN; SELECT b FROM t", "0 first"); /* slot 0, as while it copies */
    world_start(&w);
    for (int i = 0; i < 8; i++)
        world_run(&w, SECOND);
    T(w.errors == 0 && !status(&w).rival && status(&w).error == WR_OK);
    other_expect(&app, "COMMIT; BEGIN IMMEDIATE", "0 "); /* and waits for readers */
    for (int i = 0; i < 8; i++)
        world_run(&w, SECOND);
    T(w.errors == 0 && !status(&w).rival);
    other_expect(&app, "ROLLBACK", "0 "); /* it is none */
    world_run(&w, SECOND);
    T(w.errors == 1 && status(&w).rival && status(&w).error == WR_BUSY);
    T(strstr(world_error(w.db), "another process holds the checkpoint lock"));
    other_expect(&app, "BEGIN IMMEDIATE", "0 "); /* one that makes a checkpoint stays known */
    world_run(&w, SECOND);
    T(w.errors == 1 && status(&w).rival);
    other_kill(&app);
    (void)world_sync(&w);
    T(status(&w).error == WR_OK && !status(&w).rival);
    world_check(&w, 0);
    world_close(&w);
}

/* After a kill the index says that frames are to be copied, with nobody there who does: a second
 * weir was waited for as if it made a checkpoint. */
static void test_a_second_weir_after_a_kill_was_taken_for_a_checkpoint(void **state)
{
    struct other rival = other_start();
    struct world w;

    (void)state;
    begin(&w);
    T(sqlite3_exec(w.app, "UPDATE t SET b='x'", NULL, NULL, NULL) == SQLITE_OK);
    assert_string_equal(other_ask(&rival, 'w', w.path), "0 ");
    assert_string_equal(other_ask(&rival, 'p', ""), "0 ");
    leave_attempted(&w);
    world_start(&w);
    for (int i = 0; i < 4; i++)
        world_run(&w, SECOND);
    T(status(&w).rival && status(&w).error == WR_BUSY);
    other_kill(&rival);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

/* Whoever holds the pin is the only one to make good what a writer left that died in its update:
 * readers waited a quarter of a second for the next attempt. */
static void test_a_writer_that_was_waited_for_dies_in_its_update(void **state)
{
    struct world w;
    uint8_t *shm;

    (void)state;
    begin(&w);
    world_sql(&w, "BEGIN IMMEDIATE; INSERT INTO t(b) VALUES('second')");
    world_start(&w);
    for (int i = 0; i < 8; i++)
        world_run(&w, SECOND / 2);
    assert_int_equal(status(&w).error, WR_BUSY);
    shm = world_index(&w);
    world_sql(&w, "ROLLBACK");
    shm[48 + 8] ^= 1;
    world_run(&w, 60 * SECOND / 1000);
    T(memcmp(shm, shm + 48, 48) == 0);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

static void move(struct world *w, const char *tail)
{
    char from[512], to[512];

    (void)snprintf(from, sizeof(from), "%s%s", w->path, tail);
    (void)snprintf(to, sizeof(to), "%s/gone%s", w->dir, tail);
    T(rename(from, to) == 0);
}

/* Nothing was replicated before the transaction on the old file ended, and then that file was. */
static void test_a_database_replaced_while_its_lock_is_waited_for(void **state)
{
    sqlite3 *new = NULL;
    struct world w;

    (void)state;
    begin(&w);
    world_sql(&w, "BEGIN IMMEDIATE");
    world_start(&w);
    world_run(&w, 4 * SECOND);
    assert_int_equal(status(&w).error, WR_BUSY);
    move(&w, "");
    move(&w, "-wal");
    move(&w, "-shm");
    T(sqlite3_open(w.path, &new) == SQLITE_OK);
    T(sqlite3_exec(new, "PRAGMA journal_mode=wal; CREATE TABLE other(x)", NULL, NULL, NULL) ==
        SQLITE_OK);
    world_run(&w, SECOND);
    assert_int_equal(world_sync(&w), 1); /* and the transaction is still open */
    assert_int_equal(status(&w).error, WR_OK);
    world_check(&w, 0);
    T(sqlite3_close(new) == SQLITE_OK);
    world_close(&w);
}

/* An application that wrote without a pause made one attempt after the other, a whole core of them.
 */
static void test_a_failed_attempt_is_not_made_again_at_each_write(void **state)
{
    struct world w;
    sqlite3_file *wal = NULL;
    uint8_t byte = 0;

    (void)state;
    begin(&w);
    T(sqlite3_file_control(w.app, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal) == SQLITE_OK);
    T(wal->pMethods->xRead(wal, &byte, 1, 100) == SQLITE_OK);
    byte ^= 1;
    T(wal->pMethods->xWrite(wal, &byte, 1, 100) == SQLITE_OK);
    world_start(&w);
    world_run(&w, SECOND);
    assert_int_equal(status(&w).error, WR_CORRUPT);
    opened = 0;
    for (int i = 0; i < 1000; i++) {
        world_sql(&w, "INSERT INTO t(b) VALUES('more')");
        world_run(&w, SECOND / 100);
    }
    T(opened >= 1 && opened <= 8); /* two each time */
    world_close(&w);
}

/* SQLite puts -wal and -shm beside the file, not beside the link. */
static void test_a_database_behind_a_symbolic_link(void **state)
{
    const char *elsewhere = t_path(t_tmpdir(), "elsewhere");
    struct wr_file_info info;
    struct wr_err e = {0};
    struct world w;

    (void)state;
    T_OK(wr_mkdirs(wr_fs_posix(), elsewhere, 0700, &e));
    world_open(&w, 1);
    t_spew(t_path(elsewhere, "real.db"), "", 0);
    T(symlink(t_path(elsewhere, "real.db"), w.path) == 0);
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t(b) VALUES('first')");
    world_start(&w);
    (void)world_sync(&w);
    world_sql(&w, "INSERT INTO t(b) VALUES('second')");
    (void)world_sync(&w);
    assert_int_equal(status(&w).error, WR_OK);
    T(wr_fs_posix()->stat(wr_fs_posix(), t_path(elsewhere, "real.db-wal"), &info, &e) == WR_OK);
    w.path = t_path(elsewhere, "real.db"); /* what the check is to look at */
    world_check(&w, 0);
    world_close(&w);
}

struct range {
    uint64_t min, max;
};

static bool note_range(void *arg, const struct wr_object *obj)
{
    struct range **next = arg;
    struct wr_str dir, name, min, max;

    T(wr_str_cut_last(obj->key, '/', &dir, &name) && wr_str_cut(name, '-', &min, &max));
    max.n -= strlen(".ltx");
    T(wr_parse_hex64(min, &(*next)->min) && wr_parse_hex64(max, &(*next)->max));
    (*next)++;
    return true;
}

/* Two hold the same database and the same replica, and the first one leaves. What the second had
 * found before was no longer so: it sent files that overlapped those of the first. */
static void test_positions_are_found_again_after_a_rival(void **state)
{
    struct range found[64] = {{0, 0}}, *end = found;
    struct world w, second;
    struct wr_storage *s;
    struct wr_err e = {0};

    (void)state;
    begin(&w);
    world_start(&w);
    (void)world_sync(&w);
    second = w;
    second.opts.meta_dir = t_path(w.dir, "second-state");
    world_start(&second);
    for (int i = 0; i < 5; i++) {
        world_sql(&w, "INSERT INTO t(b) VALUES('of the first')");
        world_run(&second, SECOND / 10);
        (void)world_sync(&w);
    }
    world_stop(&w);
    world_sql(&second, "INSERT INTO t(b) VALUES('of the second')");
    world_run(&second, 10 * SECOND);
    (void)world_sync(&second);
    world_check(&second, 0);
    s = world_storage(&second, 0);
    T_OK(wr_storage_list(s, t_call(), WR_STR("ltx/0/"), (struct wr_str){0}, note_range, &end, &e));
    wr_storage_close(s);
    T(end - found >= 5); /* the second one joins with a snapshot */
    for (struct range *r = found + 1; r < end; r++)
        T(r->min == r[-1].max + 1);
    world_close(&second);
}

static uint64_t listings(struct world *w)
{
    struct wr_replica_account a;

    wr_db_replica_account(w->db, 0, &a);
    return a.requests.list;
}

/* As an application does now and then. */
static int checkpoint(struct world *w)
{
    return sqlite3_wal_checkpoint_v2(w->app, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

/* It was listed before the database was opened, and again when it was ours: a round trip more
 * before the first file. */
static void test_a_start_lists_its_replica_once(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    world_start(&w);
    (void)world_sync(&w);
    assert_int_equal(listings(&w), 1);
    world_stop(&w);
    world_sql(&w, "INSERT INTO t(b) VALUES('meanwhile')");
    world_start(&w);
    (void)world_sync(&w);
    assert_int_equal(listings(&w), 1);
    world_check(&w, 0);
    world_close(&w);
}

/* With nothing known of any replica nothing can be closed, and the WAL would only grow. */
static void test_a_start_with_no_replica_in_reach_lets_go(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    w.arm = world_out_of_reach;
    world_start(&w);
    world_run(&w, 0);
    T(checkpoint(&w) == SQLITE_BUSY); /* it is tried */
    world_run(&w, 2 * SECOND);
    T(checkpoint(&w) == SQLITE_OK);
    world_sql(&w, "INSERT INTO t(b) VALUES('second')");
    world_run(&w, 100 * SECOND);
    T(checkpoint(&w) == SQLITE_OK);
    faultstore_calm(w.fault[0]);
    world_run(&w, 100 * SECOND);
    (void)world_sync(&w);
    T(checkpoint(&w) == SQLITE_BUSY);
    assert_int_equal(status(&w).error, WR_OK);
    world_check(&w, 0);
    world_close(&w);
}

/* The application has left, and its WAL stayed for whatever is put under it. */
static void test_a_wal_stayed_behind_where_no_replica_was_in_reach(void **state)
{
    struct wr_file_info info;
    struct world w;
    struct wr_err e = {0};

    (void)state;
    begin(&w);
    w.arm = world_out_of_reach;
    world_start(&w);
    world_run(&w, 0);
    T(checkpoint(&w) == SQLITE_BUSY); /* ours */
    world_sql(&w, "INSERT INTO t(b) VALUES('second')");
    T(sqlite3_close(w.app) == SQLITE_OK);
    w.app = NULL;
    world_run(&w, 2 * SECOND);
    T_IS(WR_NOTFOUND, wr_fs_posix()->stat(wr_fs_posix(), t_path(w.dir, "app.db-wal"), &info, &e));
    faultstore_calm(w.fault[0]);
    world_run(&w, 100 * SECOND);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

static void test_no_journal_mode_is_changed_before_a_replica_is_known(void **state)
{
    struct world w;
    struct wr_bytes file;

    (void)state;
    begin(&w);
    world_sql(&w, "PRAGMA journal_mode=delete");
    w.arm = world_out_of_reach;
    world_start(&w);
    world_run(&w, 2 * SECOND);
    file = t_slurp(w.path);
    T(file.n > 19 && file.p[18] == 1 && file.p[19] == 1); /* of a rollback journal */
    faultstore_calm(w.fault[0]);
    world_run(&w, 100 * SECOND);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

static void second_is_slow(struct world *w, struct faultstore *f)
{
    if (w->fault[0]) /* the first one has its own already */
        faultstore_arm(f, FAULT_BROKEN, FAULT_ON_LIST, 1000, 1);
}

/* It took the state that the second one had for a new one, which was sent to both. */
static void test_an_empty_replica_that_answered_first_said_what_the_state_is(void **state)
{
    struct wr_db_status s;
    struct wr_err e = {0};
    struct world w;

    (void)state;
    world_open(&w, 2);
    world_app(&w);
    world_sql(&w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 'one')");
    world_start(&w);
    (void)world_sync(&w);
    world_sql(&w, "INSERT INTO t VALUES(2, 'two')");
    assert_int_equal(world_sync(&w), 2);
    world_stop(&w);
    bucket_remove_all(&w);
    T_OK(wr_fs_posix()->remove(wr_fs_posix(), t_path(w.dir, ".app.db-weir/ledger"), &e));
    w.arm = second_is_slow;
    world_start(&w);
    world_run(&w, 10 * SECOND);
    assert_int_equal(world_sync(&w), 2);
    s = status(&w);
    assert_int_equal(s.full_sends, 0);
    world_check(&w, 0);
    world_check(&w, 1);
    world_close(&w);
}

static int count_opens(void **state)
{
    (void)state;
    return sqlite3_auto_extension((void (*)(void))count_open) == SQLITE_OK ? 0 : 1;
}

#define O_TEST(f) cmocka_unit_test_setup(f, count_opens)
T_MAIN(O_TEST(test_a_long_transaction_is_waited_for_and_told),
    T_TEST(test_a_long_checkpoint_was_taken_for_a_second_weir),
    T_TEST(test_a_second_weir_after_a_kill_was_taken_for_a_checkpoint),
    T_TEST(test_a_writer_that_was_waited_for_dies_in_its_update),
    T_TEST(test_a_copy_that_follows_is_not_replicated),
    T_TEST(test_a_database_replaced_while_its_lock_is_waited_for),
    O_TEST(test_a_failed_attempt_is_not_made_again_at_each_write),
    T_TEST(test_a_database_behind_a_symbolic_link),
    T_TEST(test_positions_are_found_again_after_a_rival),
    T_TEST(test_a_start_lists_its_replica_once),
    T_TEST(test_a_start_with_no_replica_in_reach_lets_go),
    T_TEST(test_a_wal_stayed_behind_where_no_replica_was_in_reach),
    T_TEST(test_no_journal_mode_is_changed_before_a_replica_is_known),
    T_TEST(test_an_empty_replica_that_answered_first_said_what_the_state_is))
