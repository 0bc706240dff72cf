/*
 * test_conn_faults.c - the connections on a system that fails: a disk with bad blocks or no room,
 * locks that are not to be had, no memory, and others who change things at the worst moment.
 *
 * Whatever fails, and when, the call says so, and nothing is left behind: the application goes on,
 * and so does the next call.
 */
#include "sqlite/conn.h"

#include "base/mem.h"
#include "fake/bad_vfs.h"
#include "sqlite/check.h"
#include "sqlite/wal.h"
#include "unit/sqlite/other_process.h"

#include <errno.h>

struct place {
    const char *dir, *path;
    struct other app;
};

/* A database that another process has open in that mode. */
static struct place place_new(const char *mode)
{
    struct place p = {.dir = t_tmpdir()};
    char sql[128];

    bad_install();
    p.path = t_path(p.dir, "a");
    p.app = other_start();
    (void)snprintf(sql, sizeof(sql),
        "PRAGMA journal_mode=%s; CREATE TABLE t(a); INSERT INTO t VALUES(randomblob(20000))", mode);
    assert_string_equal(other_ask(&p.app, 'o', p.path), "0");
    other_expect(&p.app, sql, "0 ");
    return p;
}

/* The application writes and checkpoints, which needs all the locks. */
static void check_free(struct place *p)
{
    other_expect(&p->app, "PRAGMA journal_mode=wal", "0 wal");
    other_expect(&p->app, "INSERT INTO t VALUES(1)", "0 ");
    other_expect(&p->app, "PRAGMA wal_checkpoint(TRUNCATE)", "0 0");
    other_expect(&p->app, "PRAGMA integrity_check", "0 ok");
}

static struct wr_conn *open_conn(const char *path)
{
    struct wr_conn *c = NULL;
    struct wr_conn_info info;
    struct wr_err e = {0};

    T_OK(wr_conn_open(path, &c, &info, &e));
    return c;
}

/* ---- opening ---- */

/* Opening with each call failing in turn. `any`: the codes that it may give. Returns how many of
 * them there were. */
static int sweep_open(struct place *p, unsigned calls, int rc, uint64_t any)
{
    for (int n = 1;; n++) {
        struct wr_conn *c = NULL;
        struct wr_conn_info info;
        struct wr_err e = {0};
        size_t live = wr_mem_live();
        enum wr_status st;

        bad_set(calls, n, rc);
        st = wr_conn_open(p->path, &c, &info, &e);
        bad.nth = 0;
        if (st == WR_OK) {
            T(c != NULL && info.page_size == 4096);
        } else {
            T(c == NULL && bad.fired && wr_mem_live() == live);
            T(strstr(e.text, p->path) != NULL);
            if (!(any >> st & 1))
                fail_msg("call %d: status %d: %s", n, (int)st, e.text);
        }
        wr_conn_close(c);
        check_free(p);
        if (!bad.fired)
            return n - 1;
    }
}

#define ANY(st) ((uint64_t)1 << (st))

static void test_open_with_bad_blocks(void **state)
{
    struct place p = place_new("wal");

    (void)state;
    T(sweep_open(&p, BAD_READ | BAD_SIZE, SQLITE_IOERR_READ, ANY(WR_IO)) > 3);
    other_end(&p.app);
}

static void test_open_without_locks(void **state)
{
    struct place p = place_new("wal");

    (void)state;
    T(sweep_open(&p, BAD_LOCK, SQLITE_BUSY, ANY(WR_BUSY)) > 1);
    T(sweep_open(&p, BAD_LOCK, SQLITE_IOERR_LOCK, ANY(WR_IO)) > 1);
    T(sweep_open(&p, BAD_SHM_LOCK, SQLITE_BUSY, ANY(WR_BUSY)) > 1);
    T(sweep_open(&p, BAD_SHM_LOCK, SQLITE_IOERR_SHMLOCK, ANY(WR_IO)) > 1);
    other_end(&p.app);
}

static void test_open_without_index(void **state)
{
    struct place p = place_new("wal");

    (void)state;
    T(sweep_open(&p, BAD_SHM_MAP, SQLITE_IOERR_SHMMAP, ANY(WR_IO)) > 1);
    T(sweep_open(&p, BAD_OPEN, SQLITE_CANTOPEN, ANY(WR_UNSUPPORTED)) > 1);
    T(sweep_open(&p, BAD_OPEN, SQLITE_NOMEM, ANY(WR_NOMEM)) > 1);
    other_end(&p.app);
}

static void test_open_without_memory(void **state)
{
    struct place p = place_new("wal");

    (void)state;
    T(sweep_open(&p, BAD_MALLOC, SQLITE_NOMEM, ANY(WR_NOMEM)) > 50);
    other_end(&p.app);
}

/* What the application does while we open. */
struct meanwhile {
    struct place *p;
    const char *sql;
    const char *from; /* renamed to the database's path; NULL: it is not */
    const char *gone; /* is removed */
};

static void do_meanwhile(void *arg)
{
    struct meanwhile *m = arg;

    if (m->sql)
        (void)other_ask(&m->p->app, 's', m->sql);
    if (m->from)
        T(rename(m->from, m->p->path) == 0);
    if (m->gone)
        T(unlink(m->gone) == 0 || errno == ENOENT);
}

/* At each of our calls the application leaves WAL mode: then we say so, or have it back. */
static void test_open_while_it_leaves_wal_mode(void **state)
{
    struct place p = place_new("wal");
    struct meanwhile m = {.p = &p, .sql = "PRAGMA journal_mode=delete"};
    int opened = 0;

    (void)state;
    for (int n = 1;; n++) {
        struct wr_conn *c = NULL;
        struct wr_conn_info info;
        struct wr_walidx h;
        struct wr_err e = {0};

        bad.before = do_meanwhile;
        bad.arg = &m;
        bad_set(BAD_ALL & ~(unsigned)BAD_MALLOC, n, SQLITE_OK);
        if (wr_conn_open(p.path, &c, &info, &e) == WR_OK) {
            T_OK(wr_conn_header(c, &h, &e));
            T(h.init && wr_conn_in_place(c));
            other_expect(&p.app, "SELECT count(*) FROM t; PRAGMA journal_mode", "0 wal");
            opened++;
        }
        wr_conn_close(c);
        bad.nth = 0;
        check_free(&p);
        if (!bad.fired)
            break;
    }
    T(opened > 1);
    other_end(&p.app);
}

/* Somebody puts another database in place, or cleans up what he takes for rubbish. */
static void test_open_while_files_are_replaced(void **state)
{
    struct place p = place_new("wal");
    const char *shm = t_path(p.dir, "a-shm"), *next = t_path(p.dir, "next");
    struct meanwhile m = {.p = &p};
    struct wr_bytes image;

    (void)state;
    assert_string_equal(other_ask(&p.app, 'c', ""), "0");
    image = t_slurp(p.path);
    for (int what = 0; what < 2; what++) {
        int refused = 0, n = 0;

        do {
            struct wr_conn *c = NULL;
            struct wr_conn_info info;
            struct wr_err e = {0};
            enum wr_status st;

            t_spew(next, image.p, image.n);
            m.from = what == 0 ? next : NULL;
            m.gone = what == 1 ? shm : NULL;
            bad.before = do_meanwhile;
            bad.arg = &m;
            bad_set(BAD_ALL & ~(unsigned)BAD_MALLOC, ++n, SQLITE_OK);
            st = wr_conn_open(p.path, &c, &info, &e);
            bad.nth = 0;
            refused += st == WR_BUSY;
            /* Refused now, or it shows whenever one looks. */
            if (st == WR_OK && bad.fired && what == 0)
                T(!wr_conn_in_place(c) || n == 1);
            wr_conn_close(c);
            (void)unlink(shm);
            (void)unlink(t_path(p.dir, "a-wal"));
        } while (bad.fired);
        T(refused > 0);
    }
    other_end(&p.app);
}

/* A system without shared memory: no WAL mode, and it is not tried. */
static void test_open_without_shared_memory(void **state)
{
    struct place p = place_new("delete");
    struct wr_conn *c = NULL;
    struct wr_conn_info info;
    struct wr_err e = {0};

    (void)state;
    bad.no_shm = true;
    T_IS(WR_UNSUPPORTED, wr_conn_open(p.path, &c, &info, &e));
    T(strstr(e.text, "it must be in WAL mode and cannot be switched") != NULL);
    other_expect(&p.app, "PRAGMA journal_mode", "0 delete");
    other_expect(&p.app, "PRAGMA journal_mode=wal", "0 wal");
    T_IS(WR_UNSUPPORTED, wr_conn_open(p.path, &c, &info, &e));
    bad.no_shm = false;
    check_free(&p);
    other_end(&p.app);
}

/* The application died in a transaction, in a rollback mode: opening undoes it. */
static void test_open_rolls_back(void **state)
{
    struct place p = place_new("delete");
    struct other next = other_start();

    (void)state;
    other_expect(&p.app,
        "PRAGMA cache_size=1; BEGIN; UPDATE t SET a=1; INSERT INTO t VALUES(randomblob(100000))",
        "0 ");
    other_kill(&p.app);
    T(access(t_path(p.dir, "a-journal"), F_OK) == 0);
    wr_conn_close(open_conn(p.path));
    T(access(t_path(p.dir, "a-journal"), F_OK) != 0);
    assert_string_equal(other_ask(&next, 'o', p.path), "0");
    other_expect(&next, "SELECT count(*)||'/'||length(a) FROM t", "0 1/20000");
    other_end(&next);
}

/* ---- an open connection ---- */

static void test_calls_that_fail_can_be_made_again(void **state)
{
    struct place p = place_new("wal");
    struct wr_conn *c = open_conn(p.path);
    struct wr_err e = {0};
    uint8_t buf[100];
    uint64_t bytes = 7;
    size_t got;

    (void)state;
    bad_set(BAD_SHM_LOCK, 1, SQLITE_IOERR_SHMLOCK);
    T_IS(WR_IO, wr_conn_pin(c, &e));
    T(!wr_conn_pinned(c) && strstr(e.text, "lock the wal-index"));
    T_OK(wr_conn_pin(c, &e));

    bad_set(BAD_READ, 1, SQLITE_IOERR_READ);
    T_IS(WR_IO, wr_conn_read_db(c, 50, buf, sizeof(buf), &e));
    T(strstr(e.text, "read the database at byte 50") != NULL);
    T_OK(wr_conn_read_db(c, 0, buf, sizeof(buf), &e));
    T(memcmp(buf, "SQLite format 3", 16) == 0);

    bad_set(BAD_READ, 1, SQLITE_IOERR_READ);
    T_IS(WR_IO, wr_conn_read_wal(c, 0, buf, WR_WAL_HEADER, &got, &e));
    bad_set(BAD_SIZE, 1, SQLITE_IOERR_FSTAT); /* how much is there, where it ends? */
    T_IS(WR_IO, wr_conn_read_wal(c, (uint64_t)1 << 30, buf, sizeof(buf), &got, &e));
    T(strstr(e.text, "read the WAL at byte 1073741824") != NULL);
    T_OK(wr_conn_read_wal(c, 0, buf, WR_WAL_HEADER, &got, &e));
    T(got == WR_WAL_HEADER);

    bad_set(BAD_SIZE, 1, SQLITE_IOERR_FSTAT);
    T_IS(WR_IO, wr_conn_db_bytes(c, &bytes, &e));
    T(strstr(e.text, "size of the database") != NULL);
    bad_set(BAD_SIZE, 1, SQLITE_IOERR_FSTAT);
    T_IS(WR_IO, wr_conn_wal_bytes(c, &bytes, &e));
    T(bytes == 7);
    T_OK(wr_conn_db_bytes(c, &bytes, &e));

    bad_set(BAD_SYNC, 1, SQLITE_IOERR_FSYNC);
    T_IS(WR_IO, wr_conn_sync_db(c, &e));
    T_OK(wr_conn_sync_db(c, &e));
    wr_conn_close(c);
    check_free(&p);
    other_end(&p.app);
}

/* A checkpoint with each call failing in turn says `want`, and the next one does all of it. */
static int sweep_checkpoint(struct place *p, bool truncate, unsigned calls, int rc, uint64_t any)
{
    struct wr_conn *c = open_conn(p->path);
    struct wr_err e = {0};
    int n = 0;

    T_OK(wr_conn_pin(c, &e));
    do {
        struct wr_walidx h;
        enum wr_status st;

        other_expect(&p->app, "UPDATE t SET a=randomblob(9000)", "0 ");
        T_OK(wr_conn_barrier_begin(c, 0, &e));
        bad_set(calls, ++n, rc);
        st = wr_conn_checkpoint(c, truncate, &e);
        bad.nth = 0;
        if (!bad.fired)
            T(st == WR_OK);
        else if (st != WR_OK && !(any >> st & 1))
            fail_msg("call %d: status %d: %s", n, (int)st, e.text);
        T(wr_conn_pinned(c) && wr_conn_in_barrier(c));
        T_OK(wr_conn_header(c, &h, &e));
        T_OK(wr_conn_checkpoint(c, truncate, &e));
        T(wr_conn_backfill(c) == (truncate ? 0 : h.mx_frame));
        wr_conn_barrier_end(c);
    } while (bad.fired);
    wr_conn_close(c);
    check_free(p);
    return n - 1;
}

static void test_checkpoint_on_a_bad_disk(void **state)
{
    struct place p = place_new("wal");

    (void)state;
    for (int truncate = 0; truncate < 2; truncate++) {
        T(sweep_checkpoint(&p, truncate, BAD_READ | BAD_SYNC, SQLITE_IOERR, ANY(WR_IO)) > 1);
        T(sweep_checkpoint(&p, truncate, BAD_WRITE, SQLITE_FULL, ANY(WR_LIMIT)) > 1);
        T(sweep_checkpoint(&p, truncate, BAD_SHM_LOCK, SQLITE_BUSY, ANY(WR_BUSY)) >= truncate);
        T(sweep_checkpoint(&p, truncate, BAD_MALLOC, SQLITE_NOMEM, ANY(WR_NOMEM)) > 0);
    }
    other_end(&p.app);
}

/* No mark is left by one that failed: the application can reset the WAL. */
static void test_mark_that_fails(void **state)
{
    struct place p = place_new("wal");
    struct wr_conn *c = open_conn(p.path);
    struct wr_err e = {0};
    int n = 0;

    (void)state;
    do {
        enum wr_status st;

        bad_set(BAD_ALL, ++n, SQLITE_IOERR);
        st = wr_conn_mark_begin(c, &e);
        bad.nth = 0;
        if (st == WR_OK)
            wr_conn_mark_end(c);
        else
            T(bad.fired && (st == WR_IO || st == WR_NOMEM) && strstr(e.text, "take a read mark"));
        check_free(&p);
    } while (bad.fired);
    T(n > 10);
    wr_conn_close(c);
    other_end(&p.app);
}

/* A torn index, with each call of its recovery failing in turn. */
static void test_recovery_that_fails(void **state)
{
    struct place p = place_new("wal");
    struct other victim = other_start();
    struct wr_conn *c = open_conn(p.path);
    struct wr_walidx before, h;
    struct wr_err e = {0};
    int n = 0;

    (void)state;
    T_OK(wr_conn_pin(c, &e));
    T_OK(wr_conn_header(c, &before, &e));
    do {
        enum wr_status st;

        assert_string_equal(other_ask(&victim, 't', t_path(p.dir, "a-shm")), "1");
        bad_set(BAD_READ | BAD_SIZE | BAD_SHM_LOCK, ++n, SQLITE_IOERR);
        st = wr_conn_recover(c, &e);
        bad.nth = 0;
        T(st == (bad.fired ? WR_IO : WR_OK) && !wr_conn_in_barrier(c) && wr_conn_pinned(c));
        T_OK(wr_conn_recover(c, &e));
        T_OK(wr_conn_header(c, &h, &e));
        T(h.mx_frame == before.mx_frame && memcmp(h.salt, before.salt, sizeof(h.salt)) == 0);
    } while (bad.fired);
    T(n > 5);
    wr_conn_close(c);
    check_free(&p);
    other_end(&victim);
    other_end(&p.app);
}

/* SQLite lists a page that it could not read among its complaints: that is no clean bill either. */
static void test_check_of_what_cannot_be_read(void **state)
{
    struct place p = place_new("delete");
    struct wr_err e = {0};
    enum wr_status st;
    int n = 0;

    (void)state;
    assert_string_equal(other_ask(&p.app, 'c', ""), "0");
    do {
        bad_set(BAD_READ, ++n, SQLITE_IOERR_READ);
        st = wr_sqlite_check(p.path, false, t_call(), &e);
        bad.nth = 0;
        T(bad.fired ? st == WR_IO || st == WR_CORRUPT : st == WR_OK);
        T(st == WR_OK || strstr(e.text, "integrity check") != NULL);
    } while (bad.fired);
    T(n > 5);
    for (n = 1, bad.fired = true; bad.fired; n++) {
        bad_set(BAD_MALLOC, n, SQLITE_NOMEM);
        st = wr_sqlite_check(p.path, false, t_call(), &e);
        bad.nth = 0;
        if (st != WR_OK && st != WR_NOMEM)
            fail_msg("allocation %d: status %d: %s", n, (int)st, e.text);
    }
    other_end(&p.app);
}

/* All b-trees are read in one step of SQLite's, which asks nobody. */
static void test_an_ended_check_reads_no_more(void **state)
{
    struct place p = place_new("delete");
    struct wr_call c = *t_call();
    struct wr_err e = {0};

    (void)state;
    other_expect(&p.app,
        "CREATE TABLE big AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1"
        " FROM n WHERE i<3000) SELECT hex(randomblob(400)) FROM n",
        "0 ");
    assert_string_equal(other_ask(&p.app, 'c', ""), "0");
    bad_set(BAD_READ, 500, SQLITE_IOERR_READ);
    T(wr_sqlite_check(p.path, true, &c, &e) != WR_OK);
    T(bad.fired); /* so many there are */
    c.deadline_ms = 1;
    bad_set(BAD_READ, 12, SQLITE_IOERR_READ);
    T_IS(WR_TIMEOUT, wr_sqlite_check(p.path, true, &c, &e));
    T(!bad.fired);
    bad.nth = 0;
    other_end(&p.app);
}

T_MAIN(T_TEST(test_open_with_bad_blocks), T_TEST(test_open_without_locks),
    T_TEST(test_open_without_index), T_TEST(test_open_without_memory),
    T_TEST(test_open_while_it_leaves_wal_mode), T_TEST(test_open_while_files_are_replaced),
    T_TEST(test_open_without_shared_memory), T_TEST(test_open_rolls_back),
    T_TEST(test_calls_that_fail_can_be_made_again), T_TEST(test_checkpoint_on_a_bad_disk),
    T_TEST(test_mark_that_fails), T_TEST(test_recovery_that_fails),
    T_TEST(test_check_of_what_cannot_be_read), T_TEST(test_an_ended_check_reads_no_more))
