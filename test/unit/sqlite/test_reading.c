/*
 * test_reading.c - a database as another program reads it, in every state that its WAL can be in.
 */
#include "sqlite/reading.h"

#include "base/mem.h"
#include "sqlite/check.h"
#include "sqlite/wal.h"
#include "unit/sqlite/other_process.h"

#define PAGE 512u

static void sql(sqlite3 *db, const char *text)
{
    char *msg = NULL;

    if (sqlite3_exec(db, text, NULL, NULL, &msg) != SQLITE_OK)
        fail_msg("%s: %s", text, msg);
}

/* All pages, read in runs of `run`. */
static uint8_t *pages_of(struct wr_reading *r, const struct wr_reading_info *info, uint32_t run)
{
    uint8_t *all = wr_array(info->commit, info->page_size);
    struct wr_err e = {0};

    T(all);
    for (uint32_t first = 1, n; first <= info->commit; first += n) {
        n = wr_min(run, info->commit - first + 1);
        T_OK(wr_reading_pages(r, first, n, all + (size_t)(first - 1) * info->page_size, &e));
    }
    return all;
}

/* What SQLite itself makes of it: a backup, as bytes. */
static void expect(const uint8_t *pages, const struct wr_reading_info *info, const char *backup)
{
    struct wr_bytes want = t_slurp(backup);

    T(want.n == (size_t)info->commit * info->page_size);
    /* The format's version, and the count of changes, are a backup's own. */
    for (size_t i = 0; i < want.n; i++) {
        if (i == 18 || i == 19 || (i >= 24 && i < 28) || (i >= 92 && i < 100))
            continue;
        if (pages[i] != want.p[i])
            fail_msg("byte %zu differs", i);
    }
}

static void back_up(sqlite3 *db, const char *path)
{
    sqlite3 *to = NULL;
    sqlite3_backup *b;

    (void)remove(path);
    T(sqlite3_open(path, &to) == SQLITE_OK);
    b = sqlite3_backup_init(to, "main", db, "main");
    T(b && sqlite3_backup_step(b, -1) == SQLITE_DONE && sqlite3_backup_finish(b) == SQLITE_OK);
    T(sqlite3_close(to) == SQLITE_OK);
}

/* In WAL mode or not, the WAL copied to no, some or full extent; and whatever comes meanwhile. */
static void test_states(void **state)
{
    static const char *const modes[] = {"wal", "wal", "wal", "wal", "delete", "truncate"};
    static const char *const before[] = {"", "PRAGMA wal_checkpoint(PASSIVE)",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA wal_checkpoint(RESTART); INSERT INTO t VALUES(9, randomblob(3000))", "", ""};

    (void)state;
    for (size_t i = 0; i < wr_countof(modes); i++) {
        const char *dir = t_tmpdir(), *path = t_path(dir, "a?b#c %20"),
                   *backup = t_path(dir, "back");
        struct wr_reading_info info = {0};
        struct wr_reading *r = NULL;
        struct wr_err e = {0};
        sqlite3 *db = NULL;
        uint8_t *pages;
        char mode[64];

        T(sqlite3_open(path, &db) == SQLITE_OK);
        (void)snprintf(
            mode, sizeof(mode), "PRAGMA page_size=%u; PRAGMA journal_mode=%s", PAGE, modes[i]);
        sql(db, mode);
        sql(db, "PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a, b);"
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)"
                "INSERT INTO t SELECT i, randomblob(100) FROM n; UPDATE t SET b=randomblob(90) "
                "WHERE a%7=0");
        sql(db, before[i]);
        back_up(db, backup);
        T_OK(wr_reading_begin(path, &r, &info, &e));
        T(info.page_size == PAGE && info.commit > 40);
        if (i < 4) { /* a writer goes on, and checkpoints what it can */
            sql(db, "DELETE FROM t WHERE a<50; INSERT INTO t VALUES(1000, randomblob(20000));"
                    "PRAGMA wal_checkpoint(PASSIVE); UPDATE t SET b=1 WHERE a=1000");
            (void)sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL); /* busy */
            sql(db, "UPDATE t SET b=2 WHERE a>200");
        } else {
            T(sqlite3_exec(db, "DELETE FROM t", NULL, NULL, NULL) == SQLITE_BUSY);
        }
        for (uint32_t run = 1; run < 100; run += 33) {
            pages = pages_of(r, &info, run);
            expect(pages, &info, backup);
            wr_free(pages);
        }
        wr_reading_end(r);
        sql(db, "DELETE FROM t; PRAGMA wal_checkpoint(TRUNCATE)");
        T(sqlite3_close(db) == SQLITE_OK);
    }
}

/* Another process writes as fast as it can: what is read is whole each time. */
static void test_beside_a_busy_writer(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "a"), *copy = t_path(dir, "copy");
    struct other app = other_start();

    (void)state;
    assert_string_equal(other_ask(&app, 'o', path), "0");
    other_expect(&app, "PRAGMA page_size=512; PRAGMA journal_mode=wal; CREATE TABLE t(a)", "0 ");
    other_tell(&app, 'l', "3000");
    for (int i = 0; i < 20; i++) {
        struct wr_reading_info info = {0};
        struct wr_reading *r = NULL;
        struct wr_err e = {0};
        uint8_t *pages;

        T_OK(wr_reading_begin(path, &r, &info, &e));
        pages = pages_of(r, &info, 16);
        wr_reading_end(r);
        pages[18] = pages[19] = 1; /* without a WAL */
        t_spew(copy, pages, (size_t)info.commit * info.page_size);
        wr_free(pages);
        T_OK(wr_sqlite_check(copy, false, t_call(), &e));
    }
    assert_string_equal(other_hear(&app), "0");
    other_end(&app);
}

/* Nobody else has it open: it stays as it is, and no file appears beside it, nor does one go. */
static void test_nothing_is_written(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "a"), *wal = t_path(dir, "a-wal");
    struct other app = other_start();
    struct wr_reading_info info = {0};
    struct wr_reading *r = NULL;
    struct wr_err e = {0};
    struct stat was, is;

    (void)state;
    assert_string_equal(other_ask(&app, 'o', path), "0");
    other_expect(&app, "PRAGMA journal_mode=wal; CREATE TABLE t(a)", "0 ");
    other_kill(&app); /* its WAL stays behind */
    T(stat(path, &was) == 0 && stat(wal, &is) == 0 && is.st_size > 0);
    T_OK(wr_reading_begin(path, &r, &info, &e));
    T(info.commit == 2);
    wr_reading_end(r);
    T(stat(path, &is) == 0 && is.st_size == was.st_size &&
        is.st_mtim.tv_nsec == was.st_mtim.tv_nsec);
    T(stat(wal, &is) == 0 && is.st_size > 0);
    app = other_start();
    assert_string_equal(other_ask(&app, 'o', path), "0");
    other_expect(&app, "SELECT count(*) FROM t", "0 0");
    assert_string_equal(other_ask(&app, 'c', ""), "0"); /* and with it the WAL goes */
    other_end(&app);
    T(stat(wal, &is) != 0);
    T_OK(wr_reading_begin(path, &r, &info, &e));
    wr_reading_end(r);
    T(stat(wal, &is) != 0);
}

static enum wr_status begin(const char *path, struct wr_err *e)
{
    struct wr_reading_info info;
    struct wr_reading *r = NULL;
    enum wr_status st;

    *e = (struct wr_err){0};
    st = wr_reading_begin(path, &r, &info, e);
    wr_reading_end(r);
    T(st == WR_OK || strstr(e->text, path));
    return st;
}

static void test_refusals(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "a"), *wal = t_path(dir, "a-wal");
    struct wr_err e;
    struct wr_bytes was;
    uint8_t other[64];
    sqlite3 *db = NULL;

    (void)state;
    T_IS(WR_NOTFOUND, begin(path, &e));
    T(access(path, F_OK) != 0);
    t_spew(path, "", 0);
    T_IS(WR_NOTFOUND, begin(path, &e));
    t_spew(path,
        "this is not a database, for all that it is long enough to be taken for one by its size",
        80);
    T_IS(WR_UNSUPPORTED, begin(path, &e));
    T(remove(path) == 0);

    T(sqlite3_open(path, &db) == SQLITE_OK);
    sql(db, "PRAGMA journal_mode=wal; CREATE TABLE t(a); PRAGMA wal_checkpoint(TRUNCATE);"
            "INSERT INTO t VALUES(1)");
    /* Frames that are not those of the index. */
    was = t_slurp(wal);
    memcpy(other, was.p, sizeof(other));
    other[WR_WAL_HEADER + 8] ^= 1; /* the first frame's salt */
    t_spew(wal, other, sizeof(other));
    T_IS(WR_CORRUPT, begin(path, &e));
    T(strstr(e.text, "frame 1 of its WAL"));
    T(truncate(wal, 40) == 0);
    T_IS(WR_CORRUPT, begin(path, &e));
    T(strstr(e.text, "ends before"));
    t_spew(wal, was.p, was.n);
    T_OK(begin(path, &e));
    T(sqlite3_close(db) == SQLITE_OK);
}

/* Locked by one that lets nobody in; torn by one that died. */
static void test_busy(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "a");
    struct other app = other_start();
    struct wr_err e;

    (void)state;
    assert_string_equal(other_ask(&app, 'o', path), "0");
    other_expect(&app, "CREATE TABLE t(a); BEGIN EXCLUSIVE", "0 ");
    T_IS(WR_BUSY, begin(path, &e));
    other_expect(&app, "COMMIT; PRAGMA journal_mode=wal", "0 wal");
    T_OK(begin(path, &e));
    other_end(&app);
}

T_MAIN(T_TEST(test_states), T_TEST(test_beside_a_busy_writer), T_TEST(test_nothing_is_written),
    T_TEST(test_refusals), T_TEST(test_busy))
