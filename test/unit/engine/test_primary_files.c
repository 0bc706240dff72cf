/*
 * The files of the database are changed by others than SQLite: put back from a backup by copying or
 * by renaming, side files deleted, everything deleted and made anew.
 */
#include "harness/engine_world.h"

#include "unit/sqlite/other_process.h"

#include <unistd.h>

#define SECOND ((int64_t)1000000000)

static const char *side(struct world *w, const char *tail)
{
    char name[32];

    (void)snprintf(name, sizeof(name), "app.db%s", tail);
    return t_path(w->dir, name);
}

static void remove_side_files(struct world *w)
{
    (void)unlink(side(w, "-wal"));
    (void)unlink(side(w, "-shm"));
}

/* The application is another process: one that has the old -shm open shares it with all later
 * connections of the same process, as long as the database is the same file. */
struct scene {
    struct world w;
    struct other app;
    const char *backup; /* the database after its first transaction */
};

static void app_sql(struct scene *s, const char *sql)
{
    const char *answer = other_ask(&s->app, 's', sql);

    if (strncmp(answer, "0 ", 2) != 0)
        fail_msg("%s: %s", sql, answer);
}

static void app_open(struct scene *s)
{
    assert_string_equal(other_ask(&s->app, 'o', s->w.path), "0");
    app_sql(s, "PRAGMA busy_timeout=5000; PRAGMA journal_mode=wal");
}

static void app_close(struct scene *s)
{
    assert_string_equal(other_ask(&s->app, 'c', ""), "0");
}

/* Three replicated transactions, and the application has closed its connection. */
static void replicated(struct scene *s)
{
    s->app = other_start();
    world_open(&s->w, 1);
    s->w.opts.scan_ns = 3600 * SECOND;
    s->backup = t_path(s->w.dir, "backup.db");
    app_open(s);
    app_sql(s, "CREATE TABLE t(a INTEGER PRIMARY KEY, b);"
               "INSERT INTO t VALUES(1, randomblob(20000)); PRAGMA wal_checkpoint(TRUNCATE)");
    world_copy(s->w.path, s->backup);
    world_start(&s->w);
    assert_int_equal(world_sync(&s->w), 1);
    app_sql(s, "INSERT INTO t VALUES(2, 'two')");
    assert_int_equal(world_sync(&s->w), 2);
    app_sql(s, "INSERT INTO t VALUES(3, 'three')");
    assert_int_equal(world_sync(&s->w), 3);
    app_close(s);
}

/* What comes next is another TXID, and the replica is the database again; its past stays. */
static void goes_on(struct scene *s)
{
    struct world *w = &s->w;
    struct wr_db_status now;
    struct wr_bytes before = world_restore(w, 0, 3), then;

    app_open(s);
    for (int i = 0; i < 10; i++) {
        app_sql(s, "INSERT INTO t VALUES(NULL, randomblob(5000))");
        world_run(w, SECOND);
    }
    T(world_sync(w) > 3);
    world_check(w, 0);
    wr_db_status(w->db, &now);
    T(now.error == WR_OK && strcmp(now.state, "syncing") == 0);
    assert_int_equal(now.full_sends, 0);
    then = world_restore(w, 0, 3);
    assert_int_equal(then.n, before.n);
    assert_memory_equal(then.p, before.p, then.n);
    /* It keeps up, and it is the pin on these files that lets a checkpoint run. */
    app_sql(s, "UPDATE t SET b = randomblob(3000)");
    world_run(w, 130 * SECOND);
    (void)world_sync(w);
    world_check(w, 0);
    wr_db_status(w->db, &now);
    T(now.checkpoints > 0);
}

static void scene_close(struct scene *s)
{
    world_close(&s->w);
    other_end(&s->app);
}

/* The same file, other contents: its own inode says nothing. What the application does next goes to
 * a -wal and -shm that we do not have open. */
static void test_a_database_put_back_by_copying_over_it(void **state)
{
    struct scene s;

    (void)state;
    replicated(&s);
    remove_side_files(&s.w);
    world_copy(s.backup, s.w.path);
    goes_on(&s);
    scene_close(&s);
}

/* As above, but we look while there is no -wal at all. Nobody opens it after that: the old state
 * alone must get to the replica. */
static void test_a_database_put_back_and_left_alone(void **state)
{
    struct scene s;

    (void)state;
    replicated(&s);
    remove_side_files(&s.w);
    world_copy(s.backup, s.w.path);
    world_run(&s.w, SECOND);
    assert_int_equal(world_sync(&s.w), 4);
    world_check(&s.w, 0);
    goes_on(&s);
    scene_close(&s);
}

/* No file event tells of it, as on some network file systems; a sync asks for the truth. */
static void test_a_sync_notices_a_database_put_back(void **state)
{
    struct scene s;
    struct wr_err e = {0};
    uint64_t ticket, txid = 0;

    (void)state;
    replicated(&s);
    (void)world_pass(&s.w, SECOND, 1000);
    remove_side_files(&s.w);
    world_copy(s.backup, s.w.path);
    wr_db_sync_begin(s.w.db, &ticket);
    (void)world_pass(&s.w, 60 * SECOND, 10000);
    T_OK(wr_db_sync_poll(s.w.db, ticket, true, &txid, &e));
    assert_int_equal(txid, 4);
    world_check(&s.w, 0);
    scene_close(&s);
}

static void test_a_database_put_back_by_renaming(void **state)
{
    struct scene s;

    (void)state;
    replicated(&s);
    remove_side_files(&s.w);
    T(rename(s.backup, s.w.path) == 0);
    goes_on(&s);
    scene_close(&s);
}

/* Its frames were all replicated, but not in the database: without them it is an older one. */
static void test_the_wal_is_deleted(void **state)
{
    struct scene s;

    (void)state;
    replicated(&s);
    remove_side_files(&s.w);
    goes_on(&s);
    scene_close(&s);
}

/* The application stays connected to files that have no name any more. Nobody can see what it does;
 * when it connects again, that is what counts. */
static void test_the_wal_is_deleted_while_the_application_has_it(void **state)
{
    struct scene s;

    (void)state;
    replicated(&s);
    app_open(&s);
    app_sql(&s, "INSERT INTO t VALUES(4, 'four')");
    remove_side_files(&s.w);
    world_run(&s.w, SECOND);
    app_sql(&s, "INSERT INTO t VALUES(5, 'lost')");
    world_run(&s.w, SECOND);
    app_close(&s);
    world_run(&s.w, 10 * SECOND);
    goes_on(&s);
    other_expect(&s.app, "SELECT count(*) FROM t WHERE b IN ('four', 'lost')", "0 0");
    scene_close(&s);
}

/* The application goes on with the index that it has open; we made a new one, and saw nothing of
 * it, without a word. */
static void test_the_index_is_deleted_while_the_application_has_it(void **state)
{
    struct scene s;

    (void)state;
    replicated(&s);
    app_open(&s);
    app_sql(&s, "INSERT INTO t VALUES(4, 'four')");
    T(unlink(side(&s.w, "-shm")) == 0);
    world_run(&s.w, SECOND);
    for (int i = 0; i < 3; i++) {
        app_sql(&s, "INSERT INTO t VALUES(NULL, 'more')");
        world_run(&s.w, 10 * SECOND);
        (void)world_sync(&s.w);
    }
    T(world_sync(&s.w) >= 7);
    world_check(&s.w, 0);
    T(s.w.warnings == 1 && strstr(s.w.warning, "(shm)"));
    app_close(&s);
    scene_close(&s);
}

static void test_the_database_is_deleted_and_made_anew(void **state)
{
    struct scene s;
    struct wr_err e = {0};
    uint64_t ticket, txid = 0;

    (void)state;
    replicated(&s);
    remove_side_files(&s.w);
    T(unlink(s.w.path) == 0);
    world_run(&s.w, SECOND);
    wr_db_sync_begin(s.w.db, &ticket);
    world_run(&s.w, 10 * SECOND);
    T_IS(WR_NOTFOUND, wr_db_sync_poll(s.w.db, ticket, true, &txid, &e));
    app_open(&s);
    app_sql(&s, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 'other')");
    goes_on(&s);
    scene_close(&s);
}

/* Between two looks, so that nobody saw that it was gone. */
static void test_the_database_is_deleted_and_made_anew_at_once(void **state)
{
    struct scene s;

    (void)state;
    replicated(&s);
    remove_side_files(&s.w);
    T(unlink(s.w.path) == 0);
    app_open(&s);
    app_sql(&s, "CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES(1, 'other')");
    goes_on(&s);
    scene_close(&s);
}

/* ---- with the side files left where they are ---- */

/* Nobody has it open but us, and all of the WAL is in the file: SQLite ignores it then. */
static void all_copied(struct scene *s)
{
    struct wr_db_status now;

    replicated(s);
    world_run(&s->w, 130 * SECOND);
    wr_db_status(s->w.db, &now);
    T(now.checkpoints > 0 && now.wal_frames > 0);
    T(t_slurp(side(&s->w, "-wal")).n > 0);
}

/* The application finds the backup, whole, and the replica holds what it finds. */
static void is_the_backup(struct scene *s)
{
    struct wr_bytes want = t_slurp(s->backup), is;

    app_open(s);
    other_expect(&s->app, "PRAGMA integrity_check", "0 ok");
    other_expect(&s->app, "SELECT count(*) FROM t", "0 1");
    app_close(s);
    is = t_slurp(s->w.path);
    T(is.n == want.n && memcmp(is.p, want.p, is.n) == 0);
    (void)world_sync(&s->w);
    world_check(&s->w, 0);
}

/* It is in the place of the database, which keeps its side files. */
static void rename_backup(struct scene *s)
{
    const char *copy = t_path(s->w.dir, "copy.db");

    world_copy(s->backup, copy);
    T(rename(copy, s->w.path) == 0);
}

/* We left the WAL, and were the only one to open the file again: its frames lay over the backup. */
static void test_a_backup_was_overwritten_by_the_wal_of_what_it_replaced(void **state)
{
    struct scene s;

    (void)state;
    all_copied(&s);
    world_copy(s.backup, s.w.path);
    world_run(&s.w, 10 * SECOND);
    is_the_backup(&s);
    goes_on(&s);
    scene_close(&s);
}

static void test_a_renamed_backup_was_overwritten_by_that_wal(void **state)
{
    struct scene s;

    (void)state;
    all_copied(&s);
    rename_backup(&s);
    world_run(&s.w, 10 * SECOND);
    is_the_backup(&s);
    goes_on(&s);
    scene_close(&s);
}

/* What the application has committed since stays, and makes no sense of the file. */
static void still_has_it(struct scene *s)
{
    world_run(&s->w, 10 * SECOND);
    other_expect(&s->app, "SELECT count(*) FROM t WHERE b = 'since'", "0 1");
    app_close(s);
    (void)world_sync(&s->w);
    app_open(s);
    other_expect(&s->app, "SELECT count(*) FROM t WHERE b = 'since'", "0 1");
    other_expect(&s->app, "PRAGMA integrity_check", "0 ok");
    world_check(&s->w, 0);
    app_close(s);
    scene_close(s);
}

/* It shares the WAL with us, and had begun it anew: we emptied it. */
static void test_a_commit_to_a_renamed_backup_was_taken_away(void **state)
{
    struct scene s;

    (void)state;
    all_copied(&s);
    rename_backup(&s);
    app_open(&s);
    app_sql(&s, "INSERT INTO t VALUES(NULL, 'since')");
    still_has_it(&s);
}

/* It shares the index with us, but not the WAL: we copied old frames by the new index. */
static void test_a_deleted_wal_was_copied_by_the_index_of_another(void **state)
{
    struct scene s;

    (void)state;
    all_copied(&s);
    T(unlink(side(&s.w, "-wal")) == 0);
    app_open(&s);
    app_sql(&s, "INSERT INTO t VALUES(NULL, 'since')");
    still_has_it(&s);
}

/* It shares nothing with us: we copied the rest of a WAL that is gone under it. */
static void test_a_deleted_wal_was_copied_under_an_application(void **state)
{
    struct scene s;

    (void)state;
    replicated(&s);
    remove_side_files(&s.w);
    app_open(&s);
    app_sql(&s, "INSERT INTO t VALUES(NULL, 'since')");
    app_sql(&s, "INSERT INTO t VALUES(NULL, randomblob(20000))");
    still_has_it(&s);
}

/* Nothing was to be copied, and so nothing is. */
static void test_a_backup_was_overwritten_at_a_stop_right_after_it(void **state)
{
    struct scene s;

    (void)state;
    all_copied(&s);
    world_copy(s.backup, s.w.path);
    world_stop(&s.w);
    T(access(side(&s.w, "-wal"), F_OK) != 0 || t_slurp(side(&s.w, "-wal")).n == 0);
    world_start(&s.w);
    is_the_backup(&s);
    scene_close(&s);
}

/* Half of it in the file, half of it not: who is stopped in order and is the last leaves none. */
static void test_a_wal_was_left_behind_at_a_stop(void **state)
{
    struct wr_db_status now;
    struct scene s;

    (void)state;
    for (int copied = 0; copied < 2; copied++) {
        replicated(&s);
        if (copied)
            world_run(&s.w, 130 * SECOND);
        world_stop(&s.w);
        T(access(side(&s.w, "-wal"), F_OK) != 0 && access(side(&s.w, "-shm"), F_OK) != 0);
        world_copy(s.backup, s.w.path);
        world_start(&s.w);
        is_the_backup(&s);
        wr_db_status(s.w.db, &now);
        assert_int_equal(now.ledger_scans, 1);
        scene_close(&s);
    }
}

/* The WAL went on, or there was none, and nothing told which file it was about. */
static void test_a_file_put_in_place_while_stopped_was_taken_for_the_old_one(void **state)
{
    struct scene s;
    const char *wal;

    (void)state;
    for (int how = 0; how < 4; how++) {
        replicated(&s);
        wal = t_path(s.w.dir, "wal");
        world_copy(side(&s.w, "-wal"), wal);
        world_stop(&s.w);
        if (how & 1)
            T(rename(s.backup, s.w.path) == 0);
        else
            world_copy(s.backup, s.w.path);
        if (how & 2) /* as a kill leaves it */
            world_copy(wal, side(&s.w, "-wal"));
        world_start(&s.w);
        (void)world_sync(&s.w);
        world_check(&s.w, 0);
        scene_close(&s);
    }
}

/* ---- replaced in an outage, then killed ---- */

static void no_faults_yet(struct world *w, struct faultstore *f)
{
    (void)w;
    (void)f;
}

/* Half of the rows are other ones. */
static void replace(struct world *w, const char *with)
{
    char sql[600];
    sqlite3 *db = NULL;

    T(sqlite3_open(w->path, &db) == SQLITE_OK);
    (void)snprintf(sql, sizeof(sql), "VACUUM INTO '%s'", with);
    T(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
    T(sqlite3_close(db) == SQLITE_OK);
    T(sqlite3_open(with, &db) == SQLITE_OK);
    T(sqlite3_exec(db, "PRAGMA journal_mode=wal; UPDATE t SET b=randomblob(3000) WHERE a<50", NULL,
          NULL, NULL) == SQLITE_OK);
    T(sqlite3_close(db) == SQLITE_OK);
    remove_side_files(w);
    T(unlink(w->path) == 0);
    world_run(w, SECOND);
    T(rename(with, w->path) == 0);
    world_run(w, 10 * SECOND);
}

/* Attaching compared every page and found those that differ. They could not be sent. Then pages
 * were noted that were captured later, with a position after them: what attaching had found must be
 * in a note before that, or a kill forgets it. */
static void test_what_attaching_found_survives_a_kill(void **state)
{
    struct world w;

    (void)state;
    world_open(&w, 1);
    w.opts.checkpoint_frames = 50;
    w.arm = no_faults_yet;
    world_app(&w);
    world_sql(&w, "PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a INTEGER PRIMARY KEY, b);"
                  "CREATE TABLE u(a INTEGER PRIMARY KEY, b);"
                  "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<100) "
                  "INSERT INTO t SELECT x, randomblob(3000) FROM c");
    world_start(&w);
    (void)world_sync(&w);
    world_check(&w, 0);
    faultstore_arm(w.fault[0], FAULT_BROKEN, FAULT_ON_ALL, 1000, UINT64_MAX);
    world_sql(&w, "PRAGMA wal_checkpoint(PASSIVE)");
    world_app_close(&w);
    replace(&w, t_path(w.dir, "new.db"));
    world_app(&w);
    world_sql(&w, "PRAGMA wal_autocheckpoint=0");
    for (int i = 0; i < 60; i++) {
        world_sql(&w, "INSERT INTO u VALUES(NULL, randomblob(3000))");
        world_run(&w, SECOND / 10);
    }
    world_sql(&w, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<60) "
                  "INSERT INTO u SELECT NULL, randomblob(3000) FROM c");
    world_run(&w, SECOND);
    world_stop(&w);
    w.arm = NULL;
    world_start(&w);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

static void break_store(struct world *w, struct faultstore *f)
{
    (void)w;
    faultstore_arm(f, FAULT_BEFORE, FAULT_ON_PUT | FAULT_ON_BEGIN, 1000, UINT64_MAX);
}

/* Files wait for a replica that is out of reach, in the directory that is returned. */
static const char *files_wait(struct world *w)
{
    world_open(w, 1);
    w->arm = break_store;
    world_app(w);
    world_sql(w, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)");
    world_start(w);
    faultstore_calm(w->fault[0]);
    (void)world_sync(w);
    break_store(w, w->fault[0]);
    for (int i = 0; i < 6; i++) {
        world_sql(w, "INSERT INTO t(b) VALUES(randomblob(2000))");
        world_run(w, 2 * SECOND);
    }
    return t_path(w->dir, ".app.db-weir/outbox");
}

static bool remove_file(void *arg, const char *name)
{
    return unlink(t_path(arg, name)) == 0;
}

/* It was tried again for ever: another weir that was started beside it had cleaned its outbox. */
static void test_files_that_wait_are_lost(void **state)
{
    struct world w;
    const char *outbox;
    struct wr_err e = {0};

    (void)state;
    outbox = files_wait(&w);
    T_OK(wr_fs_posix()->list(wr_fs_posix(), outbox, remove_file, (void *)(uintptr_t)outbox, &e));
    faultstore_calm(w.fault[0]);
    (void)world_sync(&w);
    world_check(&w, 0);
    world_close(&w);
}

/* A second one beside it waits, and takes nothing that is not its own. */
static void test_a_second_process_leaves_the_outbox_alone(void **state)
{
    struct world w, second;
    const char *outbox;
    size_t before = 0, after = 0;

    (void)state;
    outbox = files_wait(&w);
    before = t_names_in(outbox);
    second = w;
    world_start(&second);
    world_run(&second, 2 * SECOND);
    after = t_names_in(outbox);
    T(before > 0 && after == before);
    world_stop(&second);
    world_close(&w);
}

T_MAIN(T_TEST(test_files_that_wait_are_lost), T_TEST(test_a_second_process_leaves_the_outbox_alone),
    T_TEST(test_a_database_put_back_by_copying_over_it),
    T_TEST(test_a_database_put_back_and_left_alone),
    T_TEST(test_a_sync_notices_a_database_put_back), T_TEST(test_a_database_put_back_by_renaming),
    T_TEST(test_the_wal_is_deleted), T_TEST(test_the_wal_is_deleted_while_the_application_has_it),
    T_TEST(test_the_database_is_deleted_and_made_anew),
    T_TEST(test_the_database_is_deleted_and_made_anew_at_once),
    T_TEST(test_what_attaching_found_survives_a_kill),
    T_TEST(test_a_backup_was_overwritten_by_the_wal_of_what_it_replaced),
    T_TEST(test_a_renamed_backup_was_overwritten_by_that_wal),
    T_TEST(test_a_commit_to_a_renamed_backup_was_taken_away),
    T_TEST(test_a_deleted_wal_was_copied_by_the_index_of_another),
    T_TEST(test_a_deleted_wal_was_copied_under_an_application),
    T_TEST(test_a_backup_was_overwritten_at_a_stop_right_after_it),
    T_TEST(test_a_wal_was_left_behind_at_a_stop),
    T_TEST(test_a_file_put_in_place_while_stopped_was_taken_for_the_old_one),
    T_TEST(test_the_index_is_deleted_while_the_application_has_it))
