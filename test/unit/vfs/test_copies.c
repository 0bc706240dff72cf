/*
 * test_copies.c - replicas as databases, with local copies: what a program sees that reads them
 * with SQLite. The tests that begin with a number are of what Litestream's extension does wrong.
 */
#include "unit/vfs/vfs_world.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define COPY "&hydration_enabled=1&hydration_path="

static char more[1000];

/* The parameters for a copy of that name. */
static const char *at(const char *path)
{
    (void)snprintf(more, sizeof(more), COPY "%s", path);
    return more;
}

/* Until the copy is one of the newest state. */
static void await_copy(struct vw *w, sqlite3 *db)
{
    vw_await(w, db);
    for (int i = 0; i < 1000; i++) {
        if (strcmp(vw_ask(db, "PRAGMA litestream_hydration_progress"), "100.0") == 0)
            return;
        t_sleep_ms(10);
    }
    print_error("%s%%, %s\n", vw_ask(db, "SELECT weir_hydration_progress()"),
        vw_ask(db, "SELECT weir_error()"));
    T(!"the copy does not become whole");
}

/* All files of the replica are gone, at least for now: what is read is in the copy. */
static void hide(struct vw *w, bool hidden)
{
    char away[600];

    (void)snprintf(away, sizeof(away), "%s/ltx.away", w->dir);
    T(rename(hidden ? t_path(w->dir, "ltx") : away, hidden ? away : t_path(w->dir, "ltx")) == 0);
}

static void test_once_it_is_whole_the_replica_is_not_asked(void **state)
{
    static const char *const kinds[] = {"&hydration_enabled=1", "&hydration_enabled=1", NULL, NULL};

    (void)state;
    for (size_t i = 0; i < wr_countof(kinds); i++) {
        struct vw w;
        sqlite3 *db;

        vw_init(&w, 1024, i > 1);
        db = vw_open(&w, kinds[i] ? kinds[i] : at(t_path(t_tmpdir(), "copy")));
        vw_exec(db, "PRAGMA cache_size=1");
        if (i % 2) /* it is mapped, more of it as it grows */
            assert_string_equal(vw_ask(db, "PRAGMA mmap_size=1000000"), "1000000");
        await_copy(&w, db);
        hide(&w, true);
        vw_same(&w, db);
        hide(&w, false);
        for (int k = 0; k < 5; k++) {
            vw_commit(&w, "UPDATE t SET n=n+1; INSERT INTO u VALUES(randomblob(30000))");
            await_copy(&w, db);
            hide(&w, true);
            vw_same(&w, db);
            hide(&w, false);
        }
        assert_string_equal(vw_ask(db, "SELECT weir_error()"), "");
        (void)sqlite3_close(db);
        vw_release(&w);
    }
}

static void test_what_can_be_asked(void **state)
{
    const char *path = t_path(t_tmpdir(), "copy");
    struct stat st;
    struct vw w;
    sqlite3 *db;

    (void)state;
    vw_init(&w, 4096, false);
    db = vw_open(&w, "&hydration_enabled=false&hydration_path=/nonexistent/x");
    assert_string_equal(vw_ask(db, "PRAGMA litestream_hydration_progress"), "0");
    assert_string_equal(vw_ask(db, "PRAGMA litestream_hydration_file"), "");
    (void)sqlite3_close(db);
    db = vw_open(&w, at(path));
    await_copy(&w, db);
    assert_string_equal(vw_ask(db, "SELECT litestream_hydration_file()"), path);
    assert_string_equal(vw_ask(db, "PRAGMA weir_hydration_file"), path);
    T(strstr(vw_ask(db, "PRAGMA litestream_hydration_file='x'"), "read-only") != NULL);
    T(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    (void)sqlite3_close(db);
    vw_release(&w);
}

static void test_the_environment_says_so(void **state)
{
    const char *path = t_path(t_tmpdir(), "copy");
    struct vw w;
    sqlite3 *db;

    (void)state;
    vw_init(&w, 4096, false);
    T(setenv("LITESTREAM_HYDRATION_ENABLED", "true", 1) == 0);
    T(setenv("LITESTREAM_HYDRATION_PATH", path, 1) == 0);
    db = vw_open(&w, "");
    await_copy(&w, db);
    assert_string_equal(vw_ask(db, "PRAGMA litestream_hydration_file"), path);
    (void)sqlite3_close(db);
    db = vw_open(&w, "&hydration_enabled=0");
    assert_string_equal(vw_ask(db, "PRAGMA litestream_hydration_progress"), "0");
    (void)sqlite3_close(db);
    T(setenv("LITESTREAM_HYDRATION_ENABLED", "perhaps", 1) == 0);
    T(vw_try(&w, "", &db) == SQLITE_CANTOPEN);
    (void)sqlite3_close(db);
    T(unsetenv("LITESTREAM_HYDRATION_ENABLED") == 0 && unsetenv("LITESTREAM_HYDRATION_PATH") == 0);
    vw_release(&w);
}

/* V-10: inside one BEGIN, the sum went from 4000 to 4,004,000. */
static void test_10_a_transaction_reads_one_state(void **state)
{
    struct vw w;
    sqlite3 *db, *other;
    char want[1000];

    (void)state;
    vw_init(&w, 512, false);
    db = vw_open(&w, "&cache_size=4096&hydration_enabled=1");
    other = vw_open(&w, "");
    vw_exec(db, "PRAGMA cache_size=1");
    vw_exec(other, "PRAGMA cache_size=1");
    for (int i = 0; i < 8; i++) {
        vw_exec(db, "BEGIN");
        (void)snprintf(want, sizeof(want), "%s", vw_ask(db, VW_ALL));
        vw_commit(&w, i % 2 ? "DELETE FROM u; DELETE FROM t WHERE id > 200; VACUUM"
                            : "UPDATE t SET n=n+1; INSERT INTO u VALUES(randomblob(50000))");
        await_copy(&w, other); /* which has it by now */
        vw_same(&w, other);
        assert_string_equal(vw_ask(db, VW_ALL), want);
        assert_string_equal(vw_ask(db, "SELECT weir_txid()"), vw_hex(w.s.n - 1));
        vw_exec(db, "COMMIT");
        vw_same(&w, db);
    }
    (void)sqlite3_close(db);
    (void)sqlite3_close(other);
    vw_release(&w);
}

/* V-11: a commit during the copying was lost, and the copy said to be current. */
static void test_11_what_is_committed_while_it_is_copied_is_there(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct vw w;
        sqlite3 *db;

        vw_init(&w, 512, i % 2);
        db = vw_open(&w, "&cache_size=4096&hydration_enabled=1");
        vw_exec(db, "PRAGMA cache_size=1");
        t_sleep_ms(i % 5);
        vw_commit(&w, "UPDATE t SET n=n+1; INSERT INTO u VALUES(randomblob(30000))");
        (void)vw_ask(db, VW_ALL);
        vw_commit(&w, "DELETE FROM u; UPDATE t SET b=randomblob(90) WHERE id % 3 = 0");
        await_copy(&w, db);
        hide(&w, true);
        vw_same(&w, db);
        hide(&w, false);
        (void)sqlite3_close(db);
        vw_release(&w);
    }
}

/* V-12: resumed when level 0 was gone, it had the old rows, and then a certificate for them. */
static void test_12_a_copy_is_gone_on_from_when_files_are_gone(void **state)
{
    const char *path = t_path(t_tmpdir(), "copy");

    (void)state;
    for (int kept = 0; kept < 3; kept++) {
        struct vw w;
        sqlite3 *db;

        vw_init(&w, 512, kept % 2);
        vw_commit(&w, "INSERT INTO u VALUES(randomblob(30000))");
        db = vw_open(&w, at(path));
        await_copy(&w, db);
        (void)sqlite3_close(db);
        for (int i = 0; i < 4; i++)
            vw_commit(&w, "UPDATE t SET n=n+1 WHERE id % 2 = 0; INSERT INTO u VALUES(1)");
        if (kept == 1) /* a merge, of what begins before and ends after */
            vw_store(&w, 1, 2, 5);
        if (kept == 2) {
            vw_store(&w, 9, 1, 6);
            vw_store(&w, 1, 3, 6);
        } else {
            vw_store(&w, 9, 1, 4 + (uint64_t)kept);
        }
        for (uint64_t i = 2; i <= 4; i++)
            vw_delete(&w, 0, i, i);
        db = vw_open(&w, at(path));
        vw_exec(db, "PRAGMA cache_size=1");
        await_copy(&w, db);
        vw_same(&w, db);
        hide(&w, true);
        vw_same(&w, db);
        hide(&w, false);
        (void)sqlite3_close(db);
        vw_release(&w);
        T(unlink(path) == 0);
    }
}

/* V-07: deleted, and begun anew under the same URL, with fewer transactions, or more. */
static void test_a_replica_that_begins_anew_is_copied_anew(void **state)
{
    (void)state;
    for (int more_of_them = 0; more_of_them < 2; more_of_them++) {
        const char *path = t_path(t_tmpdir(), "copy");
        struct vw w;
        sqlite3 *db;

        vw_init(&w, 512, more_of_them);
        for (int i = 0; i < 3; i++)
            vw_commit(&w, "INSERT INTO u VALUES(randomblob(2000))");
        db = vw_open(&w, at(path));
        vw_exec(db, "PRAGMA cache_size=1; PRAGMA mmap_size=1000000");
        await_copy(&w, db);
        vw_delete(&w, 9, 1, 1);
        for (uint64_t i = 2; i <= 4; i++)
            vw_delete(&w, 0, i, i);
        vw_end(&w);
        vw_begin(&w, more_of_them ? 4096 : 512, more_of_them);
        for (int i = 0; i < (more_of_them ? 8 : 1); i++)
            vw_commit(&w, "DELETE FROM t WHERE id % 2 = 1");
        for (int i = 0; i < 1000 && strcmp(vw_ask(db, "SELECT weir_epoch()"), "2") != 0; i++) {
            (void)vw_ask(db, "SELECT count(*) FROM t");
            t_sleep_ms(30);
        }
        vw_await(&w, db);
        (void)sqlite3_close(db);
        db = vw_open(&w, at(path));
        await_copy(&w, db);
        vw_same(&w, db);
        hide(&w, true);
        vw_same(&w, db);
        hide(&w, false);
        (void)sqlite3_close(db);
        vw_release(&w);
    }
}

struct reading {
    struct vw *w;
    const char *more;
    struct wr_thread thread;
    atomic_bool *stop;
    bool mapped;
    unsigned reads, bad;
};

static void read_on(void *arg)
{
    struct reading *r = arg;

    while (!r->bad && !atomic_load(r->stop)) {
        sqlite3_stmt *sum = NULL;
        sqlite3 *db = NULL;

        if (vw_try(r->w, r->more, &db) != SQLITE_OK ||
            sqlite3_exec(db,
                r->mapped ? "PRAGMA cache_size=5; PRAGMA mmap_size=1000000" : "PRAGMA cache_size=5",
                NULL, NULL, NULL) != SQLITE_OK ||
            sqlite3_prepare_v2(db, "SELECT total(n), count(*) FROM t", -1, &sum, NULL) != SQLITE_OK)
            r->bad++;
        for (int i = 0; i < 20 && !r->bad && !atomic_load(r->stop); i++) {
            if (sqlite3_step(sum) != SQLITE_ROW || sqlite3_column_int(sum, 0) != 124750 ||
                sqlite3_column_int(sum, 1) != 500)
                r->bad++;
            (void)sqlite3_reset(sum);
            r->reads++;
        }
        (void)sqlite3_finalize(sum);
        (void)sqlite3_close(db);
    }
}

/* V-13: two connections, with one path or with none, aborted the process. */
static void test_13_many_connections_share_a_copy(void **state)
{
    char named[1000];

    (void)state;
    (void)snprintf(named, sizeof(named), "&cache_size=65536" COPY "%s", t_path(t_tmpdir(), "copy"));
    for (int k = 0; k < 2; k++) {
        struct vw w;
        struct reading r[6];
        atomic_bool stop = false;
        struct wr_err e = {0};
        sqlite3 *db;

        vw_init(&w, 512, true);
        for (size_t i = 0; i < wr_countof(r); i++) {
            r[i] = (struct reading){.w = &w,
                .stop = &stop,
                .mapped = i == 5,
                .more = k ? "&cache_size=65536&hydration_enabled=1" : named};
            T_OK(wr_thread_start(&r[i].thread, "reader", (size_t)1 << 20, read_on, &r[i], &e));
        }
        db = vw_open(&w, "");
        for (int i = 0; i < 20; i++) {
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
}

/* V-14: a copy that was cut short aborted the process; and what else may happen to files. */
static void test_14_a_copy_that_was_changed_by_others_is_not_believed(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "copy"), *meta = t_path(dir, "copy.meta");
    struct vw w;
    sqlite3 *db;
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    vw_init(&w, 512, true);
    for (int i = 0; i < 40; i++) {
        struct wr_bytes b;

        db = vw_open(&w, at(path));
        vw_exec(db, "PRAGMA cache_size=1");
        vw_same(&w, db);
        await_copy(&w, db);
        vw_same(&w, db);
        if (i % 8 == 3) /* from now on */
            vw_exec(db, "PRAGMA mmap_size=1000000");
        if (i % 8 == 7) { /* while it is in use */
            T(truncate(path, 5000) == 0);
            vw_same(&w, db);
        }
        (void)sqlite3_close(db);
        b = t_slurp(i % 2 ? path : meta);
        T(b.n > 4096);
        switch (i / 2 % 4) {
        case 0:
            T(truncate(i % 2 ? path : meta, (off_t)wr_rand_below(&r, b.n)) == 0);
            break;
        case 1:
            for (int k = 0; k < 10; k++)
                ((uint8_t *)(uintptr_t)b.p)[wr_rand_below(&r, b.n)] ^= 1;
            t_spew(i % 2 ? path : meta, b.p, b.n);
            break;
        case 2:
            ((uint8_t *)(uintptr_t)b.p)[64 + wr_rand_below(&r, 4000)] ^= 1;
            t_spew(i % 2 ? path : meta, b.p, b.n);
            break;
        default:
            vw_commit(&w, "UPDATE t SET n=n+1; INSERT INTO u VALUES(randomblob(300))");
        }
        if (t_slurp(meta).n == 0) /* then it is not known whose the copy is */
            T(unlink(path) == 0);
    }
    vw_release(&w);
}

/* V-15: it became whole during time travel, and the rows were the latest. */
static void test_15_travel_in_time_is_not_led_astray(void **state)
{
    struct vw w;
    sqlite3 *db, *now;

    (void)state;
    vw_init(&w, 512, true);
    for (int i = 2; i <= 9; i++)
        vw_commit(&w, "INSERT INTO u VALUES(1); UPDATE t SET n=n+1");
    db = vw_open(&w, "&hydration_enabled=1&cache_size=4096&txid=4");
    vw_exec(db, "PRAGMA cache_size=1");
    now = vw_open(&w, "");
    assert_string_equal(vw_ask(db, "SELECT count(*) FROM u"), "3");
    await_copy(&w, now);
    for (int i = 2; i <= 9; i++) {
        char sql[100], want[20], first[20];

        (void)snprintf(sql, sizeof(sql), "SELECT weir_set_txid('%d')", i);
        (void)snprintf(want, sizeof(want), "%d", i - 1);
        (void)snprintf(first, sizeof(first), "%d", 500 * 499 / 2 + 500 * (i - 1));
        assert_string_equal(vw_ask(db, sql), "NULL");
        assert_string_equal(vw_ask(db, "SELECT count(*) FROM u"), want);
        assert_string_equal(vw_ask(db, "SELECT sum(n) FROM t"), first);
        assert_string_equal(vw_ask(db, "PRAGMA integrity_check"), "ok");
    }
    assert_string_equal(vw_ask(db, "PRAGMA litestream_hydration_progress"), "100.0");
    (void)vw_ask(db, "SELECT weir_set_txid('latest')");
    hide(&w, true);
    vw_same(&w, db); /* of the copy again */
    hide(&w, false);
    (void)sqlite3_close(now);
    (void)sqlite3_close(db);
    vw_release(&w);
}

/* The replica has begun anew, and nobody has looked yet: the past is that of the new one. */
static void test_the_past_of_another_replica_was_mixed_with_the_copy(void **state)
{
    struct vw w;
    sqlite3 *db;

    (void)state;
    vw_init(&w, 512, true);
    for (int i = 0; i < 8; i++)
        vw_commit(&w, "INSERT INTO u VALUES(randomblob(5000)); UPDATE t SET n=n+1000");
    db = vw_open(&w, "&hydration_enabled=1&cache_size=4096&poll_interval=1h");
    vw_exec(db, "PRAGMA cache_size=1");
    await_copy(&w, db);
    vw_delete(&w, 9, 1, 1);
    for (uint64_t i = 2; i <= 9; i++)
        vw_delete(&w, 0, i, i);
    vw_end(&w);
    vw_begin(&w, 512, true);
    for (int i = 0; i < 4; i++)
        vw_commit(&w, "UPDATE t SET n=n+1");
    assert_string_equal(vw_ask(db, "SELECT weir_set_txid('3')"), "NULL");
    assert_string_equal(vw_ask(db, "SELECT count(*) FROM u"), "0");
    assert_string_equal(vw_ask(db, "SELECT sum(n) - 500*499/2 FROM t"), "1000");
    assert_string_equal(vw_ask(db, "PRAGMA integrity_check"), "ok");
    (void)sqlite3_close(db);
    vw_release(&w);
}

/* Some transactions were taken back, and others came in their place; what is older is in both. */
static void test_the_past_of_another_history_was_mixed_with_the_copy(void **state)
{
    (void)state;
    for (int rolling = 0; rolling < 2; rolling++) {
        struct vw w;
        sqlite3 *db;
        struct image *is;

        vw_init(&w, 512, rolling);
        for (int i = 0; i < 4; i++)
            vw_commit(&w, "UPDATE t SET n=n+1 WHERE id % 2 = 0");
        for (int i = 0; i < 4; i++)
            vw_commit(&w, "UPDATE t SET n=n+1000 WHERE id > 250");
        db = vw_open(&w, "&hydration_enabled=1&cache_size=4096&poll_interval=1h");
        vw_exec(db, "PRAGMA cache_size=1");
        await_copy(&w, db);
        (void)sqlite3_close(w.app);
        for (; w.s.n > 5; w.s.n--) {
            vw_delete(&w, 0, w.s.n, w.s.n);
            wr_free(w.s.image[w.s.n].data);
            wr_free(w.s.image[w.s.n].changed);
        }
        is = &w.s.image[5];
        is->data[18] = is->data[19] = 1; /* as it was before vw_take */
        t_spew(w.source, is->data, (size_t)is->commit * 512);
        is->data[18] = is->data[19] = 2;
        T(sqlite3_open(w.source, &w.app) == SQLITE_OK);
        for (int i = 0; i < 5; i++)
            vw_commit(&w, "UPDATE t SET n=n+1 WHERE id < 50; INSERT INTO u VALUES(1)");
        assert_string_equal(vw_ask(db, "SELECT weir_set_txid('9')"), "NULL");
        assert_string_equal(vw_ask(db, "SELECT sum(n) - 500*499/2 FROM t"), "1196");
        assert_string_equal(vw_ask(db, "SELECT count(*) FROM u"), "4");
        assert_string_equal(vw_ask(db, "PRAGMA integrity_check"), "ok");
        (void)sqlite3_close(db);
        vw_release(&w);
    }
}

/* What failed was not tried again before there was another transaction, which may never come. */
static void test_a_failed_fetch_stopped_a_copy_for_ever(void **state)
{
    char name[600], away[700];
    sqlite3 *db, *other;
    struct vw w;

    (void)state;
    vw_init(&w, 1024, false);
    (void)snprintf(name, sizeof(name), "%s/ltx/9/0000000000000001-0000000000000001.ltx", w.dir);
    (void)snprintf(away, sizeof(away), "%s.away", name);
    db = vw_open(&w, "&poll_interval=1h");
    T(rename(name, away) == 0);
    T(symlink(name, name) == 0); /* it may be there, and cannot be read */
    other = vw_open(&w, "&poll_interval=1h&hydration_enabled=1");
    for (int i = 0; i < 1000 && !*vw_ask(db, "SELECT weir_error()"); i++)
        t_sleep_ms(10);
    T(strstr(vw_ask(db, "SELECT weir_error()"), "ltx") != NULL);
    assert_string_equal(vw_ask(db, "SELECT weir_hydration_progress()"), "0.0");
    T(rename(away, name) == 0);
    await_copy(&w, db);
    assert_string_equal(vw_ask(db, "SELECT weir_error()"), "");
    hide(&w, true);
    vw_same(&w, db);
    hide(&w, false);
    (void)sqlite3_close(other);
    (void)sqlite3_close(db);
    vw_release(&w);
}

/* ---- whose the files are ---- */

static void refuses(struct vw *w, const char *path, const char *why)
{
    sqlite3 *db = vw_open(w, at(path));

    vw_same(w, db);
    if (!strstr(vw_ask(db, "SELECT weir_error()"), why))
        print_error("%s\n", vw_ask(db, "SELECT weir_error()"));
    T(strstr(vw_ask(db, "SELECT weir_error()"), why) != NULL);
    assert_string_equal(vw_ask(db, "PRAGMA litestream_hydration_progress"), "0");
    (void)sqlite3_close(db);
}

static void test_a_file_that_is_not_ours_is_left_alone(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "precious.db"),
               *meta = t_path(dir, "precious.db.meta");
    struct vw w;

    (void)state;
    vw_init(&w, 1024, false);
    t_spew(path, "precious", 8);
    refuses(&w, path, "was not made by weir");
    t_spew(meta, "17\n", 3); /* Litestream's */
    refuses(&w, path, "not a file that weir made");
    T(t_slurp(path).n == 8 && t_slurp(meta).n == 3);
    refuses(&w, dir, "was not made by weir");
    refuses(&w, t_path(dir, "none/copy"), "No such file or directory");
    T(mkfifo(t_path(dir, "fifo"), 0600) == 0);
    refuses(&w, t_path(dir, "fifo"), "was not made by weir");
    vw_release(&w);
}

/* The second process goes on without, and says so. */
static void test_two_processes_do_not_share_a_copy(void **state)
{
    const char *path = t_path(t_tmpdir(), "copy");
    int pipes[2][2], status = 0;
    char byte = 0;
    struct vw w;
    pid_t pid;

    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* which gives up on a child that starts threads */
#endif
    vw_init(&w, 1024, false);
    T(pipe(pipes[0]) == 0 && pipe(pipes[1]) == 0);
    pid = fork();
    if (pid == 0) {
        sqlite3 *db = vw_open(&w, at(path));

        (void)alarm(100);
        await_copy(&w, db);
        _exit(write(pipes[0][1], "x", 1) == 1 && read(pipes[1][0], &byte, 1) == 1 ? 7 : 8);
    }
    T(read(pipes[0][0], &byte, 1) == 1);
    refuses(&w, path, "held by another process");
    T(write(pipes[1][1], "x", 1) == 1);
    T(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7);
    for (int i = 0; i < 4; i++)
        (void)close(pipes[i / 2][i % 2]);
    /* It ended without a word, and left its copy. */
    {
        sqlite3 *db = vw_open(&w, at(path));

        await_copy(&w, db);
        vw_same(&w, db);
        (void)sqlite3_close(db);
    }
    vw_release(&w);
}

/* It was told once that the file is in use, and went on without a copy for good. */
static void test_a_copy_is_taken_over_when_the_other_process_ends(void **state)
{
    const char *path = t_path(t_tmpdir(), "copy");
    int pipes[2][2], status = 0;
    char byte = 0;
    struct vw w;
    sqlite3 *db;
    pid_t pid;

    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* which gives up on a child that starts threads */
#endif
    vw_init(&w, 1024, false);
    T(pipe(pipes[0]) == 0 && pipe(pipes[1]) == 0);
    pid = fork();
    if (pid == 0) {
        sqlite3 *own = vw_open(&w, at(path));

        (void)alarm(100);
        await_copy(&w, own);
        _exit(write(pipes[0][1], "x", 1) == 1 && read(pipes[1][0], &byte, 1) == 1 ? 7 : 8);
    }
    T(read(pipes[0][0], &byte, 1) == 1);
    db = vw_open(&w, at(path));
    T(strstr(vw_ask(db, "SELECT weir_error()"), "held by another process") != NULL);
    vw_same(&w, db);
    assert_string_equal(vw_ask(db, "SELECT weir_hydration_file()"), "");
    T(write(pipes[1][1], "x", 1) == 1);
    T(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7);
    for (int i = 0; i < 4; i++)
        (void)close(pipes[i / 2][i % 2]);
    vw_exec(db, "PRAGMA cache_size=1");
    await_copy(&w, db);
    assert_string_equal(vw_ask(db, "SELECT weir_error()"), "");
    assert_string_equal(vw_ask(db, "SELECT weir_hydration_file()"), path);
    hide(&w, true);
    vw_same(&w, db);
    hide(&w, false);
    (void)sqlite3_close(db);
    vw_release(&w);
}

/* The same within one process, for tools that do not follow forks: whoever has it lets it go while
 * readers read; or the last reader leaves while it is waited for. */
static void test_a_copy_is_waited_for_while_it_is_read(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "copy");

    (void)state;
    for (int freed = 0; freed < 2; freed++) {
        struct wr_file *f = NULL;
        struct wr_err e = {0};
        struct vw w;
        sqlite3 *db;

        vw_init(&w, 1024, true);
        T_OK(wr_file_open(wr_fs_posix(), t_path(dir, "copy.meta"),
            WR_FILE_READ | WR_FILE_WRITE | WR_FILE_CREATE, 0600, &f, &e));
        T_OK(f->fs->lock(f, &e));
        db = vw_open(&w, at(path));
        T(strstr(vw_ask(db, "SELECT weir_error()"), "held by another process") != NULL);
        vw_same(&w, db);
        if (freed) {
            wr_file_close(f);
            await_copy(&w, db);
            vw_same(&w, db);
        }
        (void)sqlite3_close(db);
        if (!freed)
            wr_file_close(f);
        vw_release(&w);
    }
}

/* In the child of a fork: the copy is its parent's, and so is what it inherited. */
static int in_child(struct vw *w, sqlite3 *inherited, const char *path)
{
    sqlite3 *own = NULL;

    (void)alarm(60);
    if (strncmp(vw_ask(inherited, "SELECT max(id) FROM t"), "error: ", 7) != 0)
        return 1;
    if (vw_try(w, at(path), &own) != SQLITE_OK)
        return 2;
    if (strcmp(vw_ask(own, "SELECT count(*) FROM t"), "500") != 0)
        return 3;
    if (!strstr(vw_ask(own, "SELECT weir_error()"), "held by another process"))
        return 4;
    if (sqlite3_close(own) != SQLITE_OK || sqlite3_close(inherited) != SQLITE_OK)
        return 5;
    return 0;
}

static void test_a_child_of_a_fork_has_no_copy(void **state)
{
    const char *path = t_path(t_tmpdir(), "copy");
    struct vw w;
    sqlite3 *db;

    (void)state;
#ifdef __SANITIZE_THREAD__
    skip(); /* which gives up on a child that starts threads */
#endif
    vw_init(&w, 4096, false);
    db = vw_open(&w, "&poll_interval=1h");
    (void)sqlite3_close(db);
    (void)snprintf(more, sizeof(more), "&poll_interval=1h" COPY "%s", path);
    db = vw_open(&w, more);
    await_copy(&w, db); /* its threads sleep */
    for (int i = 0; i < 5; i++) {
        pid_t pid = fork();
        int status = 0;

        if (pid == 0)
            _exit(in_child(&w, db, path));
        T(waitpid(pid, &status, 0) == pid);
        assert_int_equal(status, 0);
    }
    vw_same(&w, db);
    (void)sqlite3_close(db);
    db = vw_open(&w, at(path)); /* nobody holds it any more */
    await_copy(&w, db);
    (void)sqlite3_close(db);
    vw_release(&w);
}

/* It held the lock of what its parent had closed: nobody else got the file while it lived, as
 * workers do that a program has forked. */
static void test_a_child_of_a_fork_does_not_keep_the_copy(void **state)
{
    const char *path = t_path(t_tmpdir(), "copy");
    int pipes[2], status = 0;
    char byte;
    struct vw w;
    sqlite3 *db;
    pid_t pid;

    (void)state;
    vw_init(&w, 4096, false);
    db = vw_open(&w, at(path));
    await_copy(&w, db);
    T(pipe(pipes) == 0);
    pid = fork();
    if (pid == 0) {
        (void)alarm(60);
        (void)close(pipes[1]);
        _exit(read(pipes[0], &byte, 1) == 0 ? 0 : 1); /* and does nothing */
    }
    (void)sqlite3_close(db);
    db = vw_open(&w, at(path));
    assert_string_equal(vw_ask(db, "SELECT weir_error()"), "");
    assert_string_equal(vw_ask(db, "SELECT weir_hydration_file()"), path);
    await_copy(&w, db);
    vw_same(&w, db);
    (void)sqlite3_close(db);
    (void)close(pipes[1]);
    T(waitpid(pid, &status, 0) == pid && status == 0);
    (void)close(pipes[0]);
    vw_release(&w);
}

static size_t count_in(const char *dir)
{
    DIR *d = opendir(dir);
    size_t n = 0;

    T(d != NULL);
    for (struct dirent *x = readdir(d); x; x = readdir(d))
        n += x->d_name[0] != '.';
    (void)closedir(d);
    return n;
}

static bool are(const char *dir, size_t n)
{
    for (int i = 0; i < 1000 && count_in(dir) > n; i++)
        t_sleep_ms(10);
    return count_in(dir) == n;
}

static void test_the_last_close_leaves_no_thread_and_no_descriptor(void **state)
{
    const char *dir = t_tmpdir();
    struct vw w;
    sqlite3 *db[3];
    size_t threads, descriptors, files;

    (void)state;
    vw_init(&w, 4096, false);
    T(setenv("SQLITE_TMPDIR", dir, 1) == 0);
    threads = count_in("/proc/self/task");
    descriptors = count_in("/proc/self/fd");
    files = count_in(dir);
    for (int round = 0; round < 30; round++) {
        for (size_t i = 0; i < wr_countof(db); i++)
            db[i] = vw_open(&w, i == 1 ? "&hydration_enabled=1" : "");
        T(count_in(dir) == files); /* it has no name */
        T(are("/proc/self/task", threads + 2) || round % 3 == 0);
        if (round % 3 == 0)
            await_copy(&w, db[2]);
        for (size_t i = 0; i < wr_countof(db); i++)
            (void)sqlite3_close(db[i]);
        T(are("/proc/self/task", threads) && are("/proc/self/fd", descriptors));
    }
    T(unsetenv("SQLITE_TMPDIR") == 0);
    vw_release(&w);
}

static void test_exit_while_it_is_copied(void **state)
{
    const char *path = t_path(t_tmpdir(), "copy");
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
            if (vw_try(&w, at(path), &db) != SQLITE_OK)
                _exit(3);
            t_sleep_ms(3 * (i % 5));
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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {T_TEST(test_once_it_is_whole_the_replica_is_not_asked),
        T_TEST(test_what_can_be_asked), T_TEST(test_the_environment_says_so),
        T_TEST(test_10_a_transaction_reads_one_state),
        T_TEST(test_11_what_is_committed_while_it_is_copied_is_there),
        T_TEST(test_12_a_copy_is_gone_on_from_when_files_are_gone),
        T_TEST(test_a_replica_that_begins_anew_is_copied_anew),
        T_TEST(test_13_many_connections_share_a_copy),
        T_TEST(test_14_a_copy_that_was_changed_by_others_is_not_believed),
        T_TEST(test_15_travel_in_time_is_not_led_astray),
        T_TEST(test_the_past_of_another_replica_was_mixed_with_the_copy),
        T_TEST(test_the_past_of_another_history_was_mixed_with_the_copy),
        T_TEST(test_a_failed_fetch_stopped_a_copy_for_ever),
        T_TEST(test_a_file_that_is_not_ours_is_left_alone),
        T_TEST(test_two_processes_do_not_share_a_copy),
        T_TEST(test_a_copy_is_taken_over_when_the_other_process_ends),
        T_TEST(test_a_copy_is_waited_for_while_it_is_read),
        T_TEST(test_a_child_of_a_fork_has_no_copy),
        T_TEST(test_a_child_of_a_fork_does_not_keep_the_copy),
        T_TEST(test_the_last_close_leaves_no_thread_and_no_descriptor),
        T_TEST(test_exit_while_it_is_copied)};

    (void)setenv("LITESTREAM_LOG_FILE", "/dev/null", 1);
    vw_load();
    return t_main(argc, argv, tests, wr_countof(tests));
}
