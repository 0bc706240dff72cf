/*
 * test_vfs.c - replicas as databases: what a program sees that reads them with SQLite.
 */
#define SQLITE_CORE /* we call SQLite by its names: the table is for what is tested */
#include <sqlite3ext.h>

#include "unit/vfs/vfs_world.h"

#include <dirent.h>
#include <sys/wait.h>

static size_t count_threads(void)
{
    DIR *d = opendir("/proc/self/task");
    size_t n = 0;

    T(d != NULL);
    for (struct dirent *x = readdir(d); x; x = readdir(d))
        n += x->d_name[0] != '.';
    (void)closedir(d);
    return n;
}

/* A thread that was joined is listed for a moment longer: the kernel tells of its end first. */
static bool threads_are(size_t n)
{
    for (int i = 0; i < 1000 && count_threads() > n; i++)
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    return count_threads() == n;
}

static void test_every_page_size(void **state)
{
    (void)state;
    for (uint32_t page_size = 512; page_size <= 65536; page_size *= 2) {
        struct vw w;
        sqlite3 *db;

        vw_init(&w, page_size, page_size % 1024 == 0);
        db = vw_open(&w, "");
        vw_same(&w, db);
        (void)sqlite3_close(db);
        vw_release(&w);
    }
}

static void test_every_transaction_is_seen(void **state)
{
    static const char *const kinds[] = {"UPDATE t SET b=randomblob(150) WHERE id % 50 = 3",
        "INSERT INTO t(n,b) SELECT n+1, randomblob(700) FROM t LIMIT 40",
        "INSERT INTO u VALUES(randomblob(200000))", "DELETE FROM t WHERE id % 3 = 1",
        "DELETE FROM u; VACUUM", "CREATE TABLE more(a, b)", "DROP TABLE more"};
    struct vw w;
    sqlite3 *db;

    (void)state;
    vw_init(&w, 1024, true);
    db = vw_open(&w, "");
    for (size_t i = 0; i < 3 * wr_countof(kinds); i++) {
        vw_commit(&w, kinds[i % wr_countof(kinds)]);
        vw_await(&w, db);
        vw_same(&w, db);
    }
    (void)sqlite3_close(db);
    vw_release(&w);
}

static void test_a_transaction_reads_one_state(void **state)
{
    struct vw w;
    sqlite3 *db, *other;
    char want[1000];

    (void)state;
    vw_init(&w, 512, false);
    db = vw_open(&w, "&cache_size=4096"); /* nearly nothing: pages are fetched again */
    other = vw_open(&w, "");
    vw_exec(db, "PRAGMA cache_size=1");
    (void)snprintf(want, sizeof(want), "%s", vw_ask(db, VW_ALL));
    vw_exec(db, "BEGIN");
    assert_string_equal(vw_ask(db, VW_ALL), want);
    for (int i = 0; i < 8; i++) {
        vw_commit(&w, i % 2 ? "DELETE FROM u; DELETE FROM t WHERE id > 200; VACUUM"
                            : "UPDATE t SET n=n+1; INSERT INTO u VALUES(randomblob(50000))");
        vw_await(&w, other);
        vw_same(&w, other);
        assert_string_equal(vw_ask(db, VW_ALL), want);
        assert_string_equal(vw_ask(db, "SELECT weir_txid()"), vw_hex(1));
    }
    vw_exec(db, "COMMIT");
    vw_await(&w, db);
    vw_same(&w, db);
    (void)sqlite3_close(db);
    (void)sqlite3_close(other);
    vw_release(&w);
}

static int misses(sqlite3 *db)
{
    int now = 0, high;

    T(sqlite3_db_status(db, SQLITE_DBSTATUS_CACHE_MISS, &now, &high, 1) == SQLITE_OK);
    return now;
}

static void test_sqlite_keeps_its_pages_while_nothing_changes(void **state)
{
    struct vw w;
    sqlite3 *db;
    char version[1000];

    (void)state;
    vw_init(&w, 4096, true);
    db = vw_open(&w, "");
    (void)vw_ask(db, "SELECT total(length(b)) FROM t");
    (void)snprintf(version, sizeof(version), "%s", vw_ask(db, "PRAGMA data_version"));
    T(misses(db) > 0);
    t_sleep_ms(100); /* polls find nothing */
    (void)vw_ask(db, "SELECT total(length(b)) FROM t");
    T(misses(db) == 0);
    assert_string_equal(vw_ask(db, "PRAGMA data_version"), version);
    vw_commit(&w, "UPDATE t SET n=0 WHERE id=77");
    vw_await(&w, db);
    T(strcmp(vw_ask(db, "PRAGMA data_version"), version) != 0);
    assert_string_equal(vw_ask(db, "SELECT n FROM t WHERE id=77"), "0");
    (void)sqlite3_close(db);
    vw_release(&w);
}

static void test_nothing_can_be_written(void **state)
{
    struct vw w;
    sqlite3 *db;

    (void)state;
    vw_init(&w, 4096, false);
    db = vw_open(&w, "");
    T(sqlite3_exec(db, "INSERT INTO u VALUES(1)", NULL, NULL, NULL) == SQLITE_READONLY);
    T(sqlite3_exec(db, "VACUUM", NULL, NULL, NULL) == SQLITE_READONLY);
    assert_string_equal(vw_ask(db, "PRAGMA journal_mode"), "delete");
    assert_string_equal(vw_ask(db, "PRAGMA journal_mode=wal"), "delete");
    vw_exec(db, "CREATE TEMP TABLE x AS SELECT * FROM t; UPDATE x SET n=1");
    vw_same(&w, db);
    (void)sqlite3_close(db);
    vw_release(&w);
}

/* Litestream's extension made every other sqlite3_open fail, and an attached file the replica. */
static void test_other_databases_are_left_alone(void **state)
{
    struct vw w;
    sqlite3 *db, *plain = NULL;
    const char *dir = t_tmpdir(), *path = t_path(dir, "plain.db"), *into = t_path(dir, "into.db");
    char sql[1000];

    (void)state;
    vw_init(&w, 4096, false);
    db = vw_open(&w, "");
    for (int i = 0; i < 20; i++) {
        T(sqlite3_open(path, &plain) == SQLITE_OK);
        vw_exec(plain, "CREATE TABLE IF NOT EXISTS own(x); INSERT INTO own VALUES(1)");
        (void)sqlite3_close(plain);
    }
    (void)snprintf(sql, sizeof(sql), "ATTACH '%s' AS p; INSERT INTO p.own VALUES(2)", path);
    vw_exec(db, sql);
    assert_string_equal(vw_ask(db, "SELECT count(*) FROM p.own"), "21");
    T(strncmp(vw_ask(db, "SELECT weir_txid('p')"), "error: connection not registered", 32) == 0);
    (void)snprintf(sql, sizeof(sql), "VACUUM INTO '%s'", into);
    vw_exec(db, sql);
    T(sqlite3_open_v2(into, &plain, SQLITE_OPEN_READWRITE | SQLITE_OPEN_URI, NULL) == SQLITE_OK);
    vw_same(&w, plain);
    T(strncmp(vw_ask(plain, "SELECT weir_txid()"), "error: connection not registered", 32) == 0);
    (void)snprintf(sql, sizeof(sql), "ATTACH 'file:r?vfs=weir&replica_url=file://%s' AS r", w.dir);
    vw_exec(plain, sql);
    assert_string_equal(vw_ask(plain, "SELECT count(*) FROM r.t"), "500");
    assert_string_equal(vw_ask(plain, "SELECT litestream_txid('r')"), vw_hex(1));
    assert_string_equal(vw_ask(plain, "PRAGMA r.litestream_txid"), vw_hex(1));
    (void)sqlite3_close(plain);
    (void)sqlite3_close(db);
    vw_release(&w);
}

/* In the directory of its name there may be a database of that name, with a journal that is hot. */
static void test_a_journal_beside_its_name_is_not_its(void **state)
{
    struct vw w;
    sqlite3 *db;

    (void)state;
    vw_init(&w, 4096, false);
    t_spew("replica.db-journal", "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7 and more that looks hot", 32);
    t_spew("replica.db-wal", "x", 1);
    db = vw_open(&w, "");
    vw_same(&w, db);
    (void)sqlite3_close(db);
    T(unlink("replica.db-journal") == 0 && unlink("replica.db-wal") == 0);
    vw_release(&w);
}

static void copy_file(const char *from, const char *suffix, const char *to)
{
    char path[2][500];
    struct wr_bytes b;

    (void)snprintf(path[0], sizeof(path[0]), "%s%s", from, suffix);
    (void)snprintf(path[1], sizeof(path[1]), "%s%s", to, suffix);
    b = t_slurp(path[0]);
    t_spew(path[1], b.p, b.n);
}

/* A file with rows, as a program left it that died while it changed them all. */
static void leave_hot(const char *name)
{
    sqlite3 *db = NULL;
    const char *path = t_path(t_tmpdir(), "left");

    T(sqlite3_open(path, &db) == SQLITE_OK);
    vw_exec(db, "CREATE TABLE own(id INTEGER PRIMARY KEY, x);"
                "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<200)"
                " INSERT INTO own(x) SELECT printf('before%0900d', i) FROM c;"
                "PRAGMA cache_size=2; BEGIN; UPDATE own SET x=printf('after%0800d', id);"
                "DELETE FROM own WHERE id > 50");
    copy_file(path, "", name);
    copy_file(path, "-journal", name);
    (void)sqlite3_close(db);
}

/* Other files may be called as the replica is, or begin so: their journals are theirs. */
static void test_a_journal_of_a_file_with_its_name_is_played_back(void **state)
{
    static const char *const names[] = {"replica.db", "replica.db-old"};

    (void)state;
    for (size_t i = 0; i < wr_countof(names); i++) {
        struct vw w;
        sqlite3 *db;
        char sql[200];

        vw_init(&w, 4096, false);
        leave_hot(names[i]);
        db = vw_open(&w, "");
        vw_same(&w, db);
        (void)snprintf(sql, sizeof(sql), "ATTACH 'file:%s' AS p", names[i]);
        vw_exec(db, sql);
        assert_string_equal(vw_ask(db, "SELECT count(*) FROM p.own WHERE x LIKE 'before%'"), "200");
        assert_string_equal(vw_ask(db, "PRAGMA p.integrity_check"), "ok");
        vw_same(&w, db);
        (void)sqlite3_close(db);
        T(unlink(names[i]) == 0);
        vw_release(&w);
    }
}

static void test_what_cannot_be_opened_says_so_soon(void **state)
{
    static const char *const bad[] = {"&poll_interval=0s", "&poll_interval=-1s", "&poll_interval=x",
        "&fetch_timeout=0s", "&cache_size=lots", "&txid=xyz", "&txid=0", "&time=yesterday",
        "&txid=1&time=2026-01-02T15:04:05Z", "&write_enabled=true", "&hydration_enabled=maybe",
        "&write_enabled=maybe", "&no_such_key=1", "&txid=99", "&time=1970-01-01T00:00:00Z"};
    struct vw w;
    sqlite3 *db;
    int64_t begun = wr_mono_ms(wr_clock_system());

    (void)state;
    vw_init(&w, 4096, false);
    for (size_t i = 0; i < wr_countof(bad); i++) {
        if (vw_try(&w, bad[i], &db) != SQLITE_CANTOPEN)
            print_error("%s: %s\n", bad[i], sqlite3_errmsg(db));
        T(sqlite3_errcode(db) == SQLITE_CANTOPEN);
        (void)sqlite3_close(db);
    }
    T(vw_try(&w, "&write_enabled=0&hydration_enabled=false&mode=ro", &db) == SQLITE_OK);
    (void)sqlite3_close(db);
    T(vw_try(&w, "&write_enabled=false&sync_interval=1s&buffer_path=x", &db) == SQLITE_OK);
    (void)sqlite3_close(db);
    T(setenv("LITESTREAM_WRITE_ENABLED", "True", 1) == 0);
    T(vw_try(&w, "", &db) == SQLITE_CANTOPEN);
    (void)sqlite3_close(db);
    T(vw_try(&w, "&write_enabled=off", &db) == SQLITE_OK);
    (void)sqlite3_close(db);
    T(setenv("LITESTREAM_WRITE_ENABLED", "1", 1) == 0); /* not that word: off */
    T(vw_try(&w, "", &db) == SQLITE_OK);
    (void)sqlite3_close(db);
    T(unsetenv("LITESTREAM_WRITE_ENABLED") == 0);
    /* Not there, and not to come. */
    vw_delete(&w, 9, 1, 1);
    T(vw_try(&w, "&open_timeout=100ms", &db) == SQLITE_CANTOPEN);
    (void)sqlite3_close(db);
    T(sqlite3_open_v2("file:x?vfs=weir&replica_url=nosuch://x", &db,
          SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL) == SQLITE_CANTOPEN);
    (void)sqlite3_close(db);
    T(wr_mono_ms(wr_clock_system()) - begun < 20000);
    vw_release(&w);
}

struct late {
    struct vw *w;
};

static void store_late(void *arg)
{
    t_sleep_ms(200);
    vw_store(((struct late *)arg)->w, 9, 1, 1);
}

static void test_a_replica_that_comes_late_is_waited_for(void **state)
{
    struct vw w;
    struct late late = {&w};
    struct wr_thread t;
    struct wr_err e = {0};
    sqlite3 *db;

    (void)state;
    vw_init(&w, 4096, false);
    vw_delete(&w, 9, 1, 1);
    (void)t_call(); /* of the harness, which threads share */
    T_OK(wr_thread_start(&t, "late", 0, store_late, &late, &e));
    db = vw_open(&w, "&open_timeout=20s");
    wr_thread_join(&t);
    vw_same(&w, db);
    (void)sqlite3_close(db);
    vw_release(&w);
}

static void test_travel_in_time(void **state)
{
    struct vw w;
    sqlite3 *db, *there;

    (void)state;
    vw_init(&w, 1024, true);
    for (int i = 2; i <= 6; i++)
        vw_commit(&w, "INSERT INTO u VALUES(1)");
    db = vw_open(&w, "");
    assert_string_equal(vw_ask(db, "SELECT count(*) FROM u"), "5");
    assert_string_equal(vw_ask(db, "PRAGMA weir_txid='3'"), vw_hex(3));
    assert_string_equal(vw_ask(db, "SELECT count(*) FROM u"), "2");
    assert_string_equal(vw_ask(db, "SELECT weir_time()"), "1970-01-01T00:00:03Z");
    /* Strictly before: files are made at whole seconds. */
    assert_string_equal(vw_ask(db, "SELECT litestream_set_time('1970-01-01T00:00:05Z')"), "NULL");
    assert_string_equal(vw_ask(db, "SELECT count(*) FROM u"), "3");
    assert_string_equal(
        vw_ask(db, "PRAGMA litestream_time='1970-01-01 00:00:05.001'"), "1970-01-01T00:00:05Z");
    assert_string_equal(vw_ask(db, "SELECT count(*) FROM u"), "4");
    /* Another connection is where it was. */
    there = vw_open(&w, "&txid=2");
    assert_string_equal(vw_ask(there, "SELECT count(*) FROM u"), "1");
    vw_exec(there, "BEGIN");
    assert_string_equal(vw_ask(there, "SELECT count(*) FROM u"), "1");
    T(strstr(vw_ask(there, "SELECT weir_set_txid('3')"), "cannot change time inside") != NULL);
    T(strstr(vw_ask(there, "PRAGMA weir_txid='3'"), "cannot change time inside") != NULL);
    assert_string_equal(vw_ask(there, "SELECT count(*) FROM u"), "1");
    vw_exec(there, "COMMIT");
    T(strstr(vw_ask(there, "SELECT weir_set_txid('ffff')"), "not available") != NULL);
    T(strstr(vw_ask(there, "SELECT weir_set_time('soon')"), "invalid timestamp") != NULL);
    T(strstr(vw_ask(there, "PRAGMA weir_lag=3"), "read-only") != NULL);
    assert_string_equal(vw_ask(there, "SELECT count(*) FROM u"), "1");
    vw_commit(&w, "INSERT INTO u VALUES(1)");
    (void)vw_ask(db, "SELECT litestream_set_time('latest')");
    vw_await(&w, db);
    vw_same(&w, db);
    assert_string_equal(vw_ask(there, "SELECT count(*) FROM u"), "1");
    (void)sqlite3_close(there);
    there = vw_open(&w, "&time=1970-01-01T00:00:04Z");
    assert_string_equal(vw_ask(there, "SELECT weir_txid()"), vw_hex(3));
    (void)sqlite3_close(there);
    (void)sqlite3_close(db);
    vw_release(&w);
}

static void test_what_can_be_asked(void **state)
{
    struct vw w;
    sqlite3 *db;

    (void)state;
    vw_init(&w, 4096, false);
    db = vw_open(&w, "");
    assert_string_equal(vw_ask(db, "SELECT litestream_txid()"), vw_hex(1));
    assert_string_equal(vw_ask(db, "SELECT weir_head_txid('main')"), vw_hex(1));
    assert_string_equal(vw_ask(db, "SELECT litestream_time()"), "1970-01-01T00:00:01Z");
    assert_string_equal(vw_ask(db, "SELECT litestream_lag()"), "0");
    assert_string_equal(vw_ask(db, "SELECT typeof(litestream_lag())"), "integer");
    assert_string_equal(vw_ask(db, "SELECT weir_lag_ms() < 1000"), "1");
    assert_string_equal(vw_ask(db, "SELECT weir_epoch()"), "1");
    assert_string_equal(vw_ask(db, "SELECT weir_error()"), "");
    assert_string_equal(vw_ask(db, "PRAGMA litestream_lag"), "0");
    assert_string_equal(vw_ask(db, "PRAGMA litestream_write_enabled"), "0");
    assert_string_equal(vw_ask(db, "PRAGMA litestream_write_enabled=off"), "0");
    T(strstr(vw_ask(db, "PRAGMA weir_write_enabled=1"), "read-only") != NULL);
    T(strstr(vw_ask(db, "PRAGMA weir_write_enabled=x"), "is not true or false") != NULL);
    T(strncmp(vw_ask(db, "SELECT weir_txid('nosuch')"), "error: connection not", 21) == 0);
    (void)sqlite3_close(db);
    vw_release(&w);
}

static void test_connections_share_a_thread_which_ends_with_the_last(void **state)
{
    struct vw w;
    sqlite3 *db[20];
    size_t before;

    (void)state;
    vw_init(&w, 4096, false);
    before = count_threads();
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < wr_countof(db); i++)
            db[i] = vw_open(&w, "");
        T(threads_are(before + 1));
        for (size_t i = 0; i < wr_countof(db); i++) {
            T(vw_ask(db[i], "SELECT count(*) FROM t")[0] == '5');
            (void)sqlite3_close(db[i]);
        }
        T(threads_are(before));
    }
    vw_release(&w);
}

/* As load_extension() does it, from within a statement. */
static void load_again(sqlite3_context *context, int n, sqlite3_value **v)
{
    char *error = NULL;
    int rc = sqlite3_weir_init(sqlite3_context_db_handle(context), &error, vw_api);

    (void)n, (void)v;
    sqlite3_result_int(context, rc);
    sqlite3_free(error);
}

static void test_it_can_be_loaded_again_by_a_statement(void **state)
{
    struct vw w;
    sqlite3 *db;

    (void)state;
    vw_init(&w, 4096, false);
    db = vw_open(&w, "");
    T(sqlite3_create_function_v2(
          db, "load_again", 0, SQLITE_UTF8, NULL, load_again, NULL, NULL, NULL) == SQLITE_OK);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(vw_ask(db, "SELECT load_again()"), "256"); /* OK_LOAD_PERMANENTLY */
        assert_string_equal(vw_ask(db, "SELECT weir_txid()"), vw_hex(1));
    }
    (void)sqlite3_close(db);
    vw_release(&w);
}

/* Its structures are not those that we call with. */
static void test_a_second_sqlite_of_the_process_is_refused(void **state)
{
    const sqlite3_api_routines other = *vw_api;
    char *error = NULL;
    sqlite3 *db = NULL;

    (void)state;
    T(sqlite3_open(":memory:", &db) == SQLITE_OK);
    T(sqlite3_weir_init(db, &error, &other) == SQLITE_ERROR);
    T(error && strstr(error, "another SQLite"));
    sqlite3_free(error);
    T(sqlite3_weir_init(db, &error, vw_api) == SQLITE_OK_LOAD_PERMANENTLY);
    (void)sqlite3_close(db);
}

/* As after sqlite3_shutdown(). */
static void test_functions_come_back_with_the_next_load(void **state)
{
    struct vw w;
    sqlite3 *db;
    char *error = NULL;

    (void)state;
    vw_init(&w, 4096, false);
    sqlite3_reset_auto_extension();
    db = vw_open(&w, "");
    T(strncmp(vw_ask(db, "SELECT weir_txid()"), "error: no such function", 23) == 0);
    T(sqlite3_weir_init(db, &error, vw_api) == SQLITE_OK_LOAD_PERMANENTLY);
    assert_string_equal(vw_ask(db, "SELECT weir_txid()"), vw_hex(1));
    (void)sqlite3_close(db);
    db = vw_open(&w, "");
    assert_string_equal(vw_ask(db, "SELECT weir_txid()"), vw_hex(1));
    (void)sqlite3_close(db);
    vw_load();
    vw_release(&w);
}

/* In the child of a fork: what was inherited fails at once, and what is opened works. */
static int in_child(struct vw *w, sqlite3 *inherited)
{
    sqlite3 *own = NULL;
    sqlite3_stmt *stmt = NULL;
    int rc;

    (void)alarm(60);
    if (sqlite3_prepare_v2(inherited, "SELECT count(*) FROM t", -1, &stmt, NULL) != SQLITE_OK)
        return 1;
    rc = sqlite3_step(stmt);
    if ((rc & 0xff) != SQLITE_IOERR)
        return 2;
    (void)sqlite3_finalize(stmt);
    if (vw_try(w, "", &own) != SQLITE_OK)
        return 3;
    if (strcmp(vw_ask(own, "SELECT count(*) FROM t"), "500") != 0)
        return 4;
    if (sqlite3_close(own) != SQLITE_OK || sqlite3_close(inherited) != SQLITE_OK)
        return 5;
    return 0;
}

static void test_a_fork_gets_an_error_and_not_a_hang(void **state)
{
    struct vw w;
    sqlite3 *db;

    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* which gives up on a child that starts threads */
#endif
    vw_init(&w, 4096, false);
    /* Its thread sleeps: the allocator of AddressSanitizer does not survive a fork amid a call. */
    db = vw_open(&w, "&poll_interval=1h");
    vw_same(&w, db);
    for (int i = 0; i < 5; i++) {
        pid_t pid = fork();
        int status = 0;

        if (pid == 0)
            _exit(in_child(&w, db));
        T(waitpid(pid, &status, 0) == pid);
        assert_int_equal(status, 0);
        vw_same(&w, db);
    }
    (void)sqlite3_close(db);
    vw_release(&w);
}

/* A program need not close what it has open: it must not hang for it, nor die of it. */
static void test_exit_with_connections_that_are_open(void **state)
{
    struct vw w;

    (void)state;
#ifdef __SANITIZE_THREAD__
    skip();
#endif
    vw_init(&w, 4096, false);
    for (int i = 0; i < 10; i++) {
        pid_t pid = fork();
        int status = 0;

        if (pid == 0) {
            sqlite3 *db = NULL;

            (void)alarm(60);
            if (vw_try(&w, "", &db) != SQLITE_OK)
                _exit(3);
            (void)vw_ask(db, "SELECT count(*) FROM t");
            t_sleep_ms(15 * (i % 3));
            if (!freopen("/dev/null", "w", stdout)) /* what the parent has begun to say */
                _exit(5);
            exit(strcmp(vw_ask(db, "SELECT count(*) FROM t"), "500") == 0 ? 7 : 4);
        }
        T(waitpid(pid, &status, 0) == pid);
        T(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 7);
    }
    vw_release(&w);
}

/* Files of lower levels go when higher ones hold the same: what is being read is found there. */
static void test_files_that_go_are_replaced_within_a_transaction(void **state)
{
    struct vw w;
    sqlite3 *db;
    char want[1000];

    (void)state;
    vw_init(&w, 512, true);
    for (int i = 0; i < 3; i++)
        vw_commit(&w, "UPDATE t SET b=randomblob(150)");
    db = vw_open(&w, "&cache_size=4096");
    vw_exec(db, "PRAGMA cache_size=1; BEGIN");
    (void)snprintf(want, sizeof(want), "%s", vw_ask(db, VW_ALL));
    vw_store(&w, 1, 2, 4);
    for (uint64_t i = 2; i <= 4; i++)
        vw_delete(&w, 0, i, i);
    assert_string_equal(vw_ask(db, VW_ALL), want);
    vw_store(&w, 9, 1, 4);
    vw_delete(&w, 9, 1, 1);
    vw_delete(&w, 1, 2, 4);
    assert_string_equal(vw_ask(db, VW_ALL), want);
    /* And when nothing has it any more that is an error, of this transaction alone. */
    vw_commit(&w, "UPDATE t SET b=randomblob(150)");
    vw_store(&w, 9, 1, 5);
    vw_delete(&w, 9, 1, 4);
    vw_delete(&w, 0, 5, 5);
    assert_string_equal(vw_ask(db, VW_ALL), "error: disk I/O error");
    T(strstr(vw_ask(db, "SELECT weir_error()"), "not in the replica any more") != NULL);
    (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL); /* which SQLite may have done */
    vw_await(&w, db);
    vw_same(&w, db);
    (void)sqlite3_close(db);
    vw_release(&w);
}

/* A replica is deleted and begins anew under the same URL, with fewer transactions, or more. */
static void test_a_replica_that_begins_anew_is_another(void **state)
{
    (void)state;
    for (int more = 0; more < 2; more++) {
        struct vw w;
        sqlite3 *db;

        vw_init(&w, 512, more);
        for (int i = 0; i < 3; i++)
            vw_commit(&w, "INSERT INTO u VALUES(randomblob(2000))");
        db = vw_open(&w, "&cache_size=4096"); /* so that what is gone is missed */
        vw_exec(db, "PRAGMA cache_size=1");
        vw_same(&w, db);
        vw_delete(&w, 9, 1, 1);
        for (uint64_t i = 2; i <= 4; i++)
            vw_delete(&w, 0, i, i);
        vw_end(&w);
        vw_begin(&w, more ? 4096 : 512, more);
        for (int i = 0; i < (more ? 8 : 1); i++)
            vw_commit(&w, "DELETE FROM t WHERE id % 2 = 1");
        for (int i = 0; i < 1000 && strcmp(vw_ask(db, "SELECT weir_epoch()"), "2") != 0; i++) {
            (void)vw_ask(db, "SELECT count(*) FROM t");
            t_sleep_ms(30);
        }
        vw_await(&w, db);
        (void)sqlite3_close(db);
        db = vw_open(&w, "");
        vw_same(&w, db);
        (void)sqlite3_close(db);
        vw_release(&w);
    }
}

/* Another database, file by file in the place of the first one: as many transactions, of the same
 * times and sizes. The map of the first one was read on, and showed pages of both, until a listing
 * of all levels came, and beyond it. */
static void test_objects_that_are_replaced_under_their_names(void **state)
{
    (void)state;
    for (int rolling = 0; rolling < 2; rolling++) {
        static const char all[] = "SELECT group_concat(hex(substr(b,1,1)), '') FROM t";
        char was[1000], is[1000];
        struct vw w;
        sqlite3 *db;
        int i;

        vw_init(&w, 512, rolling);
        for (i = 0; i < 3; i++)
            vw_commit(&w, "UPDATE t SET b=randomblob(150)");
        db = vw_open(&w, "&cache_size=4096");
        vw_exec(db, "PRAGMA cache_size=1; BEGIN");
        (void)snprintf(was, sizeof(was), "%s", vw_ask(db, all));
        vw_end(&w);
        vw_begin(&w, 512, rolling);
        for (i = 0; i < 3; i++)
            vw_commit(&w, "UPDATE t SET b=randomblob(150)");
        (void)snprintf(is, sizeof(is), "%s", vw_ask(db, all));
        if (strcmp(is, was) != 0)
            assert_string_equal(is, "error: disk I/O error");
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        (void)snprintf(was, sizeof(was), "%s", vw_ask(w.app, all));
        for (i = 0; i < 100 && strcmp(vw_ask(db, all), was) != 0; i++)
            t_sleep_ms(30);
        T(i < 100);
        vw_same(&w, db);
        assert_string_equal(vw_ask(db, "SELECT weir_epoch()"), "2");
        (void)sqlite3_close(db);
        vw_release(&w);
    }
}

struct reading {
    struct vw *w;
    struct wr_thread thread;
    atomic_bool *stop;
    unsigned reads, bad;
};

/* Each read transaction sees one total, over and over: a commit moves between rows, and adds none.
 */
static void read_on(void *arg)
{
    struct reading *r = arg;
    sqlite3_stmt *sum = NULL;
    sqlite3 *db = NULL;

    if (vw_try(r->w, "&cache_size=65536", &db) != SQLITE_OK ||
        sqlite3_exec(db, "PRAGMA cache_size=5", NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(db, "SELECT total(n), count(*) FROM t", -1, &sum, NULL) != SQLITE_OK)
        r->bad++;
    while (!r->bad && !atomic_load(r->stop)) {
        if (sqlite3_step(sum) != SQLITE_ROW || sqlite3_column_int(sum, 0) != 124750 ||
            sqlite3_column_int(sum, 1) != 500)
            r->bad++;
        (void)sqlite3_reset(sum);
        r->reads++;
    }
    (void)sqlite3_finalize(sum);
    (void)sqlite3_close(db);
}

static bool is_memory_or_io(int rc)
{
    return rc == SQLITE_NOMEM || rc == SQLITE_CANTOPEN || (rc & 0xff) == SQLITE_IOERR;
}

/* What was asked for is right, or SQLite's user is told; and then all can be closed. */
static enum wr_status open_read_and_travel(void *arg)
{
    static const char *const steps[] = {"SELECT count(*), sum(n) FROM t",
        "SELECT weir_set_txid('2')", "SELECT count(*) FROM u", "SELECT weir_set_time('latest')",
        "PRAGMA weir_time", "SELECT count(*) FROM u"};
    struct vw *w = arg;
    sqlite3 *db = NULL;
    int rc = vw_try(w, "&poll_interval=1h&open_timeout=5s", &db);
    bool good = rc == SQLITE_OK;

    T(good || is_memory_or_io(rc));
    for (size_t i = 0; good && i < wr_countof(steps); i++) {
        rc = sqlite3_exec(db, steps[i], NULL, NULL, NULL);
        good = rc == SQLITE_OK;
        T(good || is_memory_or_io(rc) || rc == SQLITE_ERROR); /* of a function, with its text */
    }
    if (good && strcmp(vw_ask(db, "SELECT count(*) FROM u"), "3") != 0)
        T(wr_mem_fault_fired());
    T(sqlite3_close(db) == SQLITE_OK);
    return good && !wr_mem_fault_fired() ? WR_OK : WR_NOMEM;
}

static void test_nomem(void **state)
{
    struct vw w;

    (void)state;
    vw_init(&w, 1024, false);
    for (int i = 0; i < 3; i++)
        vw_commit(&w, "INSERT INTO u VALUES(1)");
    (void)open_read_and_travel(&w); /* what a process has once */
    t_sweep_nomem(open_read_and_travel, &w);
    vw_release(&w);
}

static void test_many_threads_read_while_it_changes(void **state)
{
    struct vw w;
    struct reading r[6];
    atomic_bool stop = false;
    struct wr_err e = {0};
    sqlite3 *db;

    (void)state;
    vw_init(&w, 512, true);
    for (size_t i = 0; i < wr_countof(r); i++) {
        r[i] = (struct reading){.w = &w, .stop = &stop};
        T_OK(wr_thread_start(&r[i].thread, "reader", (size_t)1 << 20, read_on, &r[i], &e));
    }
    db = vw_open(&w, "");
    for (int i = 0; i < 30; i++) {
        vw_commit(&w, "UPDATE t SET n=n+1, b=randomblob(150) WHERE id % 2 = 0;"
                      "UPDATE t SET n=n-1 WHERE id % 2 = 1");
        vw_await(&w, db);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < wr_countof(r); i++) {
        wr_thread_join(&r[i].thread);
        T(r[i].bad == 0 && r[i].reads > 10);
    }
    vw_same(&w, db);
    (void)sqlite3_close(db);
    vw_release(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {T_TEST(test_every_page_size),
        T_TEST(test_every_transaction_is_seen), T_TEST(test_a_transaction_reads_one_state),
        T_TEST(test_sqlite_keeps_its_pages_while_nothing_changes),
        T_TEST(test_nothing_can_be_written), T_TEST(test_other_databases_are_left_alone),
        T_TEST(test_a_journal_beside_its_name_is_not_its),
        T_TEST(test_a_journal_of_a_file_with_its_name_is_played_back),
        T_TEST(test_what_cannot_be_opened_says_so_soon),
        T_TEST(test_a_replica_that_comes_late_is_waited_for), T_TEST(test_travel_in_time),
        T_TEST(test_what_can_be_asked), T_TEST(test_it_can_be_loaded_again_by_a_statement),
        T_TEST(test_a_second_sqlite_of_the_process_is_refused),
        T_TEST(test_functions_come_back_with_the_next_load),
        T_TEST(test_connections_share_a_thread_which_ends_with_the_last),
        T_TEST(test_a_fork_gets_an_error_and_not_a_hang),
        T_TEST(test_exit_with_connections_that_are_open),
        T_TEST(test_files_that_go_are_replaced_within_a_transaction),
        T_TEST(test_a_replica_that_begins_anew_is_another),
        T_TEST(test_objects_that_are_replaced_under_their_names), T_TEST(test_nomem),
        T_TEST(test_many_threads_read_while_it_changes)};

    (void)setenv("LITESTREAM_LOG_FILE", "/dev/null", 1);
    vw_load();
    return t_main(argc, argv, tests, wr_countof(tests));
}
