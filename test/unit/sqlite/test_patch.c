/*
 * test_patch.c - pages that change below SQLite's pager: other connections see the old database or
 * the new one, whoever fails or dies in between.
 */
#include "sqlite/patch.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "fake/bad_vfs.h"
#include "unit/sqlite/other_process.h"

#include <sys/stat.h>
#include <sys/wait.h>

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

/* From the first to the second, until the moment when that counts, or something fails. */
static enum wr_status change_all(struct two *w, struct wr_patch *p, struct wr_err *e)
{
    uint8_t page[PAGE];
    uint64_t bytes = 0;
    enum wr_status st = wr_patch_begin(p, &bytes, e);

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
    return st;
}

static enum wr_status change(struct two *w, struct wr_patch *p, bool *ret_written, struct wr_err *e)
{
    enum wr_status st = change_all(w, p, e);

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

static struct two back(const struct two *w)
{
    return (struct two){
        .path = w->path, .a = w->b, .b = w->a, .pages_a = w->pages_b, .pages_b = w->pages_a};
}

static const char *journal_of(const struct two *w)
{
    return wr_arena_fmt(t_call()->scratch, "%s-journal", w->path).p;
}

/* To make and remove a file for each commit that is pushed, and to sync its name, took most of the
 * time that a copy was behind. To others an empty one is none, and it goes with us. */
static void test_the_journal_stays_from_step_to_step(void **state)
{
    struct two w = make_two(false), v = back(&w);
    const char *journal = journal_of(&w);
    struct wr_patch *p = NULL;
    struct wr_err e = {0};
    struct stat first, is;
    bool written;

    (void)state;
    T_OK(wr_patch_open(w.path, &p, &e));
    T_OK(change(&w, p, &written, &e));
    T(stat(journal, &first) == 0 && first.st_size == 0);
    for (int i = 0; i < 3; i++) {
        T(which(&w) == 'b');
        T_OK(change(&v, p, &written, &e));
        T(which(&w) == 'a');
        T_OK(change(&w, p, &written, &e));
        T(stat(journal, &is) == 0 && is.st_size == 0 && is.st_ino == first.st_ino);
    }
    wr_patch_close(p);
    T(access(journal, F_OK) != 0);
    T(which(&w) == 'b');
    free_two(&w);
}

/* Somebody deletes it between two steps, or has left one of another mode: what rolls back is always
 * the file that has the name. */
static void test_another_journal_between_two_steps(void **state)
{
    struct two w = make_two(false), v = back(&w);
    const char *journal = journal_of(&w);

    (void)state;
    for (int other = 0; other < 2; other++) {
        struct wr_patch *p = NULL;
        struct wr_err e = {0};
        bool written;

        T_OK(wr_patch_open(w.path, &p, &e));
        T_OK(change(&w, p, &written, &e));
        T(unlink(journal) == 0);
        if (other)
            t_spew(journal, "\0\0\0\0\0\0\0\0, of journal_mode=PERSIST", 32);
        T_OK(change_all(&v, p, &e));
        bad_set(BAD_SYNC, 1, SQLITE_IOERR); /* of the database */
        T_IS(WR_IO, wr_patch_commit(p, (uint64_t)v.pages_b * PAGE, &e));
        bad_set(0, 0, SQLITE_OK);
        wr_patch_end(p);
        T(which(&w) == 'b');
        T_OK(change(&v, p, &written, &e));
        T(which(&w) == 'a');
        wr_patch_close(p);
        T(access(journal, F_OK) != 0);
    }
    free_two(&w);
}

/* That the journal is empty is not on disk when a process dies, and the next one records that the
 * database has moved on: then a power cut must not bring the journal's contents back. */
static void test_killed_before_the_empty_journal_is_on_disk(void **state)
{
    struct two w = make_two(false);
    const char *journal = journal_of(&w);
    struct wr_patch *p = NULL;
    struct wr_err e = {0};
    struct stat is;
    uint64_t bytes;
    int status;
    pid_t pid;

    (void)state;
    pid = fork();
    T(pid >= 0);
    if (pid == 0)
        _exit(wr_patch_open(w.path, &p, NULL) == WR_OK && change_all(&w, p, NULL) == WR_OK &&
                      wr_patch_commit(p, (uint64_t)w.pages_b * PAGE, NULL) == WR_OK
                  ? 0
                  : 1);
    T(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    T(stat(journal, &is) == 0 && is.st_size == 0);
    T(which(&w) == 'b');
    T_OK(wr_patch_open(w.path, &p, &e));
    T_OK(wr_patch_begin(p, &bytes, &e)); /* with the lock that keeps others from using it */
    T(access(journal, F_OK) != 0);
    wr_patch_end(p);
    wr_patch_close(p);
    T(which(&w) == 'b');
    free_two(&w);
}

/* The same by a failing sync: the step is made, and the next one has another file. */
static void test_the_empty_journal_cannot_be_synced(void **state)
{
    struct two w = make_two(false), v = back(&w);
    const char *journal = journal_of(&w);
    struct wr_patch *p = NULL;
    struct wr_err e = {0};
    uint64_t bytes;
    bool written;

    (void)state;
    T_OK(wr_patch_open(w.path, &p, &e));
    T_OK(change_all(&w, p, &e));
    T_OK(wr_patch_commit(p, (uint64_t)w.pages_b * PAGE, &e));
    bad_set(BAD_SYNC, 1, SQLITE_IOERR);
    wr_patch_end(p);
    T(bad.fired);
    bad_set(BAD_DELETE, 1, SQLITE_IOERR);
    T_IS(WR_IO, wr_patch_begin(p, &bytes, &e));
    T(strstr(e.text, "journal"));
    bad_set(0, 0, SQLITE_OK);
    T_OK(wr_patch_begin(p, &bytes, &e));
    T(access(journal, F_OK) != 0);
    wr_patch_end(p);
    T(which(&w) == 'b');
    T_OK(change(&v, p, &written, &e));
    wr_patch_close(p);
    T(which(&w) == 'a');
    free_two(&w);
}

/* At the end of all, another connection may be using the file. */
static void test_a_writer_has_the_journal_when_we_go(void **state)
{
    struct two w = make_two(false);
    const char *journal = journal_of(&w);
    struct wr_patch *p = NULL;
    struct wr_err e = {0};
    struct stat is;
    sqlite3 *other = NULL;
    bool written;

    (void)state;
    T_OK(wr_patch_open(w.path, &p, &e));
    T_OK(change(&w, p, &written, &e));
    T(sqlite3_open(w.path, &other) == SQLITE_OK);
    T(sqlite3_exec(other, "BEGIN; INSERT INTO t VALUES(3)", NULL, NULL, NULL) == SQLITE_OK);
    T(stat(journal, &is) == 0 && is.st_size > 0);
    wr_patch_close(p);
    T(access(journal, F_OK) == 0);
    T(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL) == SQLITE_OK);
    T(sqlite3_close(other) == SQLITE_OK);
    T(which(&w) == 'b');
    free_two(&w);
}

/* A process dies in a later step, with all pages written: the step before it stays. */
static void test_a_kill_in_a_later_step(void **state)
{
    struct two w = make_two(true), v = back(&w); /* large to small, and back */
    const char *journal = journal_of(&w);
    struct wr_patch *p = NULL;
    bool written;
    int status;
    pid_t pid;

    (void)state;
    pid = fork();
    T(pid >= 0);
    if (pid == 0)
        _exit(wr_patch_open(w.path, &p, NULL) == WR_OK && change(&w, p, &written, NULL) == WR_OK &&
                      change_all(&v, p, NULL) == WR_OK
                  ? 0
                  : 1);
    T(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    T(t_slurp(journal).n == 4096 + (PAGE + 8) * (size_t)v.pages_a); /* nothing of the first */
    T(which(&w) == 'b');
    T(access(journal, F_OK) != 0); /* SQLite has rolled it back, and deleted it */
    free_two(&w);
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

/* By this clock each look at it takes 10 ms. */
static int64_t ticks_ns;

static int64_t ticking(const struct wr_clock *c)
{
    (void)c;
    return ticks_ns += 10000000;
}

/* Readers that overlap, each for longer than the patience, kept a follower from a copy for as long
 * as they came. */
static void test_readers_that_do_not_end_are_waited_for_longer(void **state)
{
    static const int64_t least_ms[] = {100, 200, 400, 400};
    struct two w = make_two(false);
    const struct wr_clock clock = {.mono_ns = ticking};
    struct wr_call c = *t_call();
    struct wr_patch *p = NULL;
    struct wr_err e = {0};
    sqlite3 *other = NULL;
    uint64_t bytes = 0;

    (void)state;
    c.clock = &clock;
    T_OK(wr_patch_open(w.path, &p, &e));
    T(sqlite3_open(w.path, &other) == SQLITE_OK);
    for (int turn = 0; turn < 2; turn++) {
        T(sqlite3_exec(other, "BEGIN; SELECT * FROM t", NULL, NULL, NULL) == SQLITE_OK);
        for (size_t i = 0; i < wr_countof(least_ms); i++) {
            int64_t began_ns = ticks_ns, took_ms;

            T_OK(wr_patch_begin(p, &bytes, &e));
            T_IS(WR_BUSY, wr_patch_lock(p, &c, 100, &e));
            took_ms = (ticks_ns - began_ns) / 1000000;
            wr_patch_end(p);
            T(took_ms >= least_ms[i] && took_ms < least_ms[i] + 50);
        }
        T(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
        T_OK(wr_patch_begin(p, &bytes, &e));
        T_OK(wr_patch_lock(p, &c, 100, &e));
        wr_patch_end(p);
    }
    T(sqlite3_close(other) == SQLITE_OK);
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

T_MAIN(T_TEST(test_both_ways), T_TEST(test_the_journal_stays_from_step_to_step),
    T_TEST(test_another_journal_between_two_steps),
    T_TEST(test_killed_before_the_empty_journal_is_on_disk),
    T_TEST(test_the_empty_journal_cannot_be_synced),
    T_TEST(test_a_writer_has_the_journal_when_we_go), T_TEST(test_a_kill_in_a_later_step),
    T_TEST(test_readers_and_writers), T_TEST(test_readers_that_do_not_end_are_waited_for_longer),
    T_TEST(test_refused), T_TEST(test_failing_calls), T_TEST(test_exchanged_meanwhile),
    T_TEST(test_nomem))
