/*
 * test_patch.c - pages that change below SQLite's pager: other connections see the old database or
 * the new one, whoever fails or dies in between.
 */
#include "sqlite/patch.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "fake/bad_vfs.h"
#include "unit/sqlite/other_process.h"

#define PAGE 1024u

/* Two databases of one schema, as bytes; the first is at `path`. */
struct two {
    const char *path;
    uint8_t *a, *b;
    uint32_t pages_a, pages_b;
};

static uint8_t *make(const char *path, const char *sql, uint32_t *ret_pages)
{
    sqlite3 *db = NULL;
    struct wr_bytes is;
    uint8_t *p;

    (void)unlink(path);
    T(sqlite3_open(path, &db) == SQLITE_OK);
    T(sqlite3_exec(db, "PRAGMA page_size=1024; CREATE TABLE t(a)", NULL, NULL, NULL) == SQLITE_OK);
    T(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
    T(sqlite3_close(db) == SQLITE_OK);
    is = t_slurp(path);
    p = wr_alloc(is.n);
    T(p);
    memcpy(p, is.p, is.n);
    *ret_pages = (uint32_t)(is.n / PAGE);
    return p;
}

static struct two make_two(bool shrink)
{
    const char *dir = t_tmpdir();
    struct two w = {.path = t_path(dir, "db")};
    const char *large = "INSERT INTO t VALUES(zeroblob(30000)), (2)";
    const char *small = "INSERT INTO t VALUES(1)";

    bad_install();
    w.b = make(t_path(dir, "other"), shrink ? small : large, &w.pages_b);
    w.a = make(w.path, shrink ? large : small, &w.pages_a);
    wr_put_be32(w.b + 24, 77);
    wr_put_be32(w.b + 92, 77);
    return w;
}

static void free_two(struct two *w)
{
    wr_free(w->a);
    wr_free(w->b);
}

/* From the first to the second, or until something fails. */
static enum wr_status change(struct two *w, struct wr_patch *p, bool *ret_written, struct wr_err *e)
{
    uint8_t page[PAGE];
    uint64_t bytes = 0;
    enum wr_status st = wr_patch_begin(p, &bytes, e);

    *ret_written = false;
    if (st == WR_OK && bytes != (uint64_t)w->pages_a * PAGE)
        st = wr_fail(e, WR_CONFLICT, "another size");
    if (st == WR_OK)
        st = wr_patch_journal(p, PAGE, w->pages_a, e);
    for (uint32_t i = 0; st == WR_OK && i < w->pages_a; i++) {
        st = wr_patch_read(p, page, PAGE, (uint64_t)i * PAGE, e);
        if (st == WR_OK)
            st = wr_patch_keep(p, i + 1, page, e);
    }
    if (st == WR_OK)
        st = wr_patch_sync(p, e);
    if (st == WR_OK)
        st = wr_patch_arm(p, e);
    if (st == WR_OK)
        st = wr_patch_lock(p, t_call(), 0, e);
    for (uint32_t i = 0; st == WR_OK && i < w->pages_b; i++)
        st = wr_patch_write(p, w->b + (size_t)i * PAGE, PAGE, (uint64_t)i * PAGE, e);
    if (st == WR_OK)
        st = wr_patch_commit(p, (uint64_t)w->pages_b * PAGE, e);
    *ret_written = st == WR_OK;
    wr_patch_end(p);
    return st;
}

/* Which of the two it is, once SQLite has looked. */
static char which(const struct two *w)
{
    sqlite3 *db = NULL;
    struct wr_bytes is;

    T(sqlite3_open(w->path, &db) == SQLITE_OK);
    T(sqlite3_exec(db, "SELECT * FROM t", NULL, NULL, NULL) == SQLITE_OK);
    T(sqlite3_close(db) == SQLITE_OK);
    is = t_slurp(w->path);
    if (is.n == (size_t)w->pages_b * PAGE && memcmp(is.p, w->b, is.n) == 0)
        return 'b';
    T(is.n == (size_t)w->pages_a * PAGE && memcmp(is.p, w->a, is.n) == 0);
    return 'a';
}

static void test_both_ways(void **state)
{
    (void)state;
    for (int shrink = 0; shrink < 2; shrink++) {
        struct two w = make_two(shrink);
        struct wr_patch *p = NULL;
        struct wr_err e = {0};
        bool written;

        T_OK(wr_patch_open(w.path, &p, &e));
        T_OK(change(&w, p, &written, &e));
        T(which(&w) == 'b');
        wr_patch_close(p);
        free_two(&w);
    }
}

static void test_readers_and_writers(void **state)
{
    struct two w = make_two(false);
    struct wr_patch *p = NULL;
    struct wr_err e = {0};
    sqlite3 *other = NULL;
    struct wr_cancel cancel;
    struct wr_call c = *t_call();
    uint64_t bytes = 0;
    bool written;

    (void)state;
    T_OK(wr_patch_open(w.path, &p, &e));
    T(sqlite3_open(w.path, &other) == SQLITE_OK);
    T(sqlite3_exec(other, "BEGIN; SELECT * FROM t", NULL, NULL, NULL) == SQLITE_OK);
    T_IS(WR_BUSY, change(&w, p, &written, &e)); /* while it reads */
    T(sqlite3_exec(other, "COMMIT; BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);
    T_IS(WR_BUSY, change(&w, p, &written, &e)); /* while it writes */
    T(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
    T(which(&w) == 'a');

    T(sqlite3_exec(other, "BEGIN; SELECT * FROM t", NULL, NULL, NULL) == SQLITE_OK);
    wr_cancel_init(&cancel);
    wr_cancel_now(&cancel);
    c.cancel = &cancel;
    T_OK(wr_patch_begin(p, &bytes, &e));
    T_IS(WR_CANCELED, wr_patch_lock(p, &c, 60000, &e));
    wr_patch_end(p);
    wr_cancel_release(&cancel);
    T(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);

    T_OK(change(&w, p, &written, &e));
    T(sqlite3_exec(other, "SELECT * FROM t WHERE a=2", NULL, NULL, NULL) == SQLITE_OK);
    T(sqlite3_close(other) == SQLITE_OK);
    T(which(&w) == 'b');
    wr_patch_close(p);
    free_two(&w);
}

static void test_refused(void **state)
{
    struct two w = make_two(false);
    struct wr_patch *p = NULL;
    struct wr_err e = {0};
    sqlite3 *db = NULL;
    uint64_t bytes = 0;

    (void)state;
    T_IS(WR_NOTFOUND, wr_patch_open(t_path(t_tmpdir(), "none"), &p, &e));
    T_IS(WR_NOTFOUND, wr_patch_open(t_tmpdir(), &p, &e));
    T_OK(wr_patch_open(w.path, &p, &e));
    T(rename(w.path, t_path(t_tmpdir(), "elsewhere")) == 0);
    T_IS(WR_CONFLICT, wr_patch_begin(p, &bytes, &e));
    wr_patch_close(p);

    p = NULL;
    t_spew(w.path, w.a, (size_t)w.pages_a * PAGE);
    T(sqlite3_open(w.path, &db) == SQLITE_OK);
    T(sqlite3_exec(db, "PRAGMA journal_mode=wal", NULL, NULL, NULL) == SQLITE_OK);
    T(sqlite3_close(db) == SQLITE_OK);
    T_OK(wr_patch_open(w.path, &p, &e));
    T_IS(WR_CONFLICT, wr_patch_begin(p, &bytes, &e));
    T(strstr(e.text, "WAL"));
    wr_patch_close(p);

    p = NULL;
    memset(w.a, 'x', 100);
    t_spew(w.path, w.a, (size_t)w.pages_a * PAGE);
    T_OK(wr_patch_open(w.path, &p, &e));
    T_IS(WR_CORRUPT, wr_patch_begin(p, &bytes, &e));
    wr_patch_close(p);
    free_two(&w);
}

/* Every call fails once: it is the old database then, or the new one if that was said. */
static void sweep(int rc, bool shrink)
{
    const unsigned calls =
        BAD_OPEN | BAD_READ | BAD_WRITE | BAD_SYNC | BAD_SIZE | BAD_LOCK | BAD_DELETE | BAD_MALLOC;
    bool fired = true;

    for (int nth = 1; fired; nth++) {
        struct two w = make_two(shrink);
        struct wr_patch *p = NULL;
        struct wr_err e = {0};
        bool written = false;
        enum wr_status st;

        bad_set(calls, nth, rc);
        st = wr_patch_open(w.path, &p, &e);
        if (st == WR_OK)
            st = change(&w, p, &written, &e);
        fired = bad.fired;
        bad_set(0, 0, SQLITE_OK);
        T(written == (st == WR_OK));
        T(which(&w) == 'b' || !written);
        if (p && which(&w) == 'a')
            T_OK(change(&w, p, &written, &e));
        T(!p || which(&w) == 'b');
        wr_patch_close(p);
        free_two(&w);
    }
}

static void test_failing_calls(void **state)
{
    static const int codes[] = {SQLITE_IOERR, SQLITE_FULL, SQLITE_READONLY, SQLITE_NOMEM};

    (void)state;
    for (size_t i = 0; i < wr_countof(codes); i++)
        sweep(codes[i], i % 2);
}

static enum wr_status open_and_change(void *arg)
{
    struct two *w = arg;
    struct wr_patch *p = NULL;
    struct wr_err e = {0};
    bool written;
    enum wr_status st = wr_patch_open(w->path, &p, &e);

    if (st == WR_OK && which(w) == 'a')
        st = change(w, p, &written, &e);
    wr_patch_close(p);
    return st;
}

static void test_nomem(void **state)
{
    struct two w = make_two(false);

    (void)state;
    t_sweep_nomem(open_and_change, &w);
    T(which(&w) == 'b');
    free_two(&w);
}

/* Another database takes the name while pages are kept: it is none of ours to roll back. */
static void test_exchanged_meanwhile(void **state)
{
    struct two w = make_two(true);
    const char *other = t_path(t_tmpdir(), "third"), *journal;
    struct wr_patch *p = NULL;
    struct wr_err e = {0};
    uint8_t page[PAGE];
    uint64_t bytes = 0;

    (void)state;
    journal = wr_arena_fmt(t_call()->scratch, "%s-journal", w.path).p;
    T_OK(wr_patch_open(w.path, &p, &e));
    T_OK(wr_patch_begin(p, &bytes, &e));
    T_OK(wr_patch_journal(p, PAGE, w.pages_a, &e));
    T_OK(wr_patch_read(p, page, PAGE, 0, &e));
    T_OK(wr_patch_keep(p, 1, page, &e));
    t_spew(other, w.b, (size_t)w.pages_b * PAGE);
    T(rename(other, w.path) == 0);
    T_OK(wr_patch_sync(p, &e));
    T_IS(WR_CONFLICT, wr_patch_arm(p, &e));
    T(strstr(e.text, "another file"));
    wr_patch_end(p);
    T(access(journal, F_OK) != 0);
    T(which(&w) == 'b');
    wr_patch_close(p);
    free_two(&w);
}

T_MAIN(T_TEST(test_both_ways), T_TEST(test_readers_and_writers), T_TEST(test_refused),
    T_TEST(test_failing_calls), T_TEST(test_exchanged_meanwhile), T_TEST(test_nomem))
