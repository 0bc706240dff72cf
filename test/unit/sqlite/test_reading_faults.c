/*
 * test_reading_faults.c - reading a database on a system that fails, and beside an application that
 * does something at the worst moment: it is read whole, or the call says why not.
 */
#include "sqlite/reading.h"

#include "base/mem.h"
#include "fake/bad_vfs.h"
#include "sqlite/check.h"
#include "unit/sqlite/other_process.h"

#define ANY(st) ((uint64_t)1 << (st))

static const char *dir, *path;
static struct other app;
static bool unchecked; /* memory is short: what was read is not looked at */

static void begin(const char *mode)
{
    char sql[160];

    bad_install();
    dir = t_tmpdir();
    path = t_path(dir, "a");
    app = other_start();
    (void)snprintf(sql, sizeof(sql),
        "PRAGMA journal_mode=%s; CREATE TABLE t(a); INSERT INTO t VALUES(randomblob(20000));"
        "INSERT INTO t VALUES(1)",
        mode);
    assert_string_equal(other_ask(&app, 'o', path), "0");
    other_expect(&app, sql, "0 ");
}

static void expect_whole(const char *copy)
{
    struct wr_err e = {0};

    T_OK(wr_sqlite_check(copy, false, t_call(), &e));
}

static void (*begun)(void); /* a read has, or NULL */

/* All of it, to the end. What was read must be a database, whole. */
static enum wr_status read_all(struct wr_err *e)
{
    const char *copy = t_path(dir, "copy");
    struct wr_reading_info info = {0};
    struct wr_reading *r = NULL;
    static uint8_t pages[100 * 65536];
    enum wr_status st = wr_reading_begin(path, &r, &info, e);

    if (st != WR_OK)
        return st;
    T((size_t)info.commit * info.page_size <= sizeof(pages));
    if (begun)
        begun();
    for (uint32_t first = 1, n; first <= info.commit && st == WR_OK; first += n) {
        n = wr_min(info.commit - first + 1, 4u);
        st = wr_reading_pages(r, first, n, pages + (size_t)(first - 1) * info.page_size, e);
    }
    wr_reading_end(r);
    if (st == WR_OK && !unchecked) {
        pages[18] = pages[19] = 1; /* without a WAL */
        bad.nth = 0;
        t_spew(copy, pages, (size_t)info.commit * info.page_size);
        expect_whole(copy);
    }
    return st;
}

/* Each call fails in turn. Returns how many there were. */
static int sweep(unsigned calls, int rc, uint64_t any)
{
    for (int n = 1;; n++) {
        struct wr_err e = {0};
        size_t live = wr_mem_live();
        enum wr_status st;

        bad_set(calls, n, rc);
        st = read_all(&e);
        bad.nth = 0;
        T(wr_mem_live() == live);
        if (st != WR_OK && !(any >> st & 1))
            fail_msg("call %d: status %d: %s", n, (int)st, e.text);
        other_expect(&app, "PRAGMA wal_checkpoint(PASSIVE); INSERT INTO t VALUES(1)", "0 ");
        if (!bad.fired)
            return n - 1;
    }
}

static void test_bad_blocks(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        begin(i ? "delete" : "wal");
        T(sweep(BAD_READ | BAD_SIZE, SQLITE_IOERR_READ, ANY(WR_IO)) > 3);
        T(sweep(BAD_READ, SQLITE_CORRUPT, ANY(WR_CORRUPT)) > 3);
        other_end(&app);
    }
}

static void test_no_locks(void **state)
{
    (void)state;
    begin("wal");
    T(sweep(BAD_LOCK, SQLITE_BUSY, ANY(WR_BUSY)) > 0);
    T(sweep(BAD_LOCK, SQLITE_IOERR_LOCK, ANY(WR_IO)) > 0);
    T(sweep(BAD_SHM_LOCK, SQLITE_BUSY, ANY(WR_BUSY)) > 0);
    T(sweep(BAD_SHM_LOCK, SQLITE_IOERR_SHMLOCK, ANY(WR_IO)) > 0);
    other_end(&app);
}

static void test_no_index(void **state)
{
    (void)state;
    begin("wal");
    T(sweep(BAD_SHM_MAP, SQLITE_IOERR_SHMMAP, ANY(WR_IO)) > 1);
    T(sweep(BAD_SHM_MAP, SQLITE_READONLY_CANTINIT, ANY(WR_UNSUPPORTED) | ANY(WR_IO)) > 1);
    T(sweep(BAD_OPEN, SQLITE_CANTOPEN, ANY(WR_NOTFOUND) | ANY(WR_UNSUPPORTED)) > 1);
    other_end(&app);
}

static void test_no_memory(void **state)
{
    (void)state;
    begin("wal");
    T(sweep(BAD_MALLOC, SQLITE_NOMEM, ANY(WR_NOMEM)) > 50);
    other_end(&app);
}

static enum wr_status read_once(void *arg)
{
    struct wr_err e = {0};

    (void)arg;
    return read_all(&e);
}

static void test_no_memory_of_ours(void **state)
{
    (void)state;
    begin("wal");
    unchecked = true;
    t_sweep_nomem(read_once, NULL);
    unchecked = false;
    other_end(&app);
}

static const char *meanwhile;

static void do_meanwhile(void *arg)
{
    (void)arg;
    (void)other_ask(&app, 's', meanwhile);
}

/* At each of our calls the application writes, checkpoints, or leaves WAL mode. */
static void test_meanwhile(void **state)
{
    static const char *const what[] = {"INSERT INTO t VALUES(randomblob(5000))",
        "PRAGMA wal_checkpoint(TRUNCATE); UPDATE t SET a=randomblob(4000)",
        "DELETE FROM t WHERE rowid>2; PRAGMA wal_checkpoint(RESTART); INSERT INTO t VALUES(2)",
        "PRAGMA journal_mode=delete"};

    (void)state;
    for (size_t i = 0; i < wr_countof(what); i++) {
        int read = 0;

        begin("wal");
        meanwhile = what[i];
        for (int n = 1;; n++) {
            struct wr_err e = {0};
            enum wr_status st;

            bad.before = do_meanwhile;
            bad_set(BAD_ALL & ~(unsigned)BAD_MALLOC, n, SQLITE_OK);
            st = read_all(&e);
            bad.nth = 0;
            bad.before = NULL;
            if (st != WR_OK && st != WR_BUSY)
                fail_msg("%s at call %d: status %d: %s", what[i], n, (int)st, e.text);
            read += st == WR_OK;
            other_expect(&app, "PRAGMA journal_mode=wal", "0 wal");
            other_expect(&app, "DELETE FROM t WHERE rowid>3", "0 ");
            if (!bad.fired || n == 60)
                break;
        }
        T(read > 3);
        other_end(&app);
    }
}

/* A writer that begins the WAL anew changes the header of the index, and then how much of the WAL
 * is copied. So that is seen as 0 behind a header that is still the old one: at the nth barrier;
 * and the rest comes at the next, or when the read has begun. */
static struct {
    volatile uint32_t *copied;
    uint32_t was;
    int nth;
    bool done;
} anew;

static void finish_anew(void)
{
    if (!anew.copied || anew.done)
        return;
    anew.done = true;
    *anew.copied = anew.was;
    do_meanwhile(NULL);
}

static void begin_anew(volatile void *index)
{
    anew.nth--;
    if (anew.nth == 0) {
        anew.copied = (volatile uint32_t *)index + 96 / sizeof(uint32_t);
        anew.was = *anew.copied;
        *anew.copied = 0;
    } else if (anew.nth < 0) {
        finish_anew();
    }
}

static void test_a_wal_that_is_begun_anew(void **state)
{
    int n = 0;

    (void)state;
    begin("wal");
    meanwhile = "UPDATE t SET a=randomblob(30000); UPDATE t SET a=randomblob(40000);"
                "DELETE FROM t WHERE rowid=2; UPDATE t SET a=randomblob(20000)";
    do {
        struct wr_err e = {0};

        (void)other_ask(&app, 's', "PRAGMA wal_checkpoint(TRUNCATE)"); /* to be short */
        other_expect(&app,
            "DELETE FROM t; INSERT INTO t VALUES(randomblob(20000)),(randomblob(9000))", "0 ");
        (void)other_ask(&app, 's', "PRAGMA wal_checkpoint(PASSIVE)");
        memset(&anew, 0, sizeof(anew));
        anew.nth = ++n;
        bad.at_barrier = begin_anew;
        begun = finish_anew;
        T_OK(read_all(&e));
        bad.at_barrier = NULL;
        begun = NULL;
    } while (anew.copied);
    T(n > 4);
    other_end(&app);
}

T_MAIN(T_TEST(test_bad_blocks), T_TEST(test_no_locks), T_TEST(test_no_index),
    T_TEST(test_no_memory), T_TEST(test_no_memory_of_ours), T_TEST(test_meanwhile),
    T_TEST(test_a_wal_that_is_begun_anew))
