/*
 * test_conn.c - the two connections: what opening says about every kind of file, and what is read,
 * locked and checkpointed through them while another process works on the database.
 */
#include "sqlite/conn.h"

#include "base/mem.h"
#include "base/rand.h"
#include "sqlite/check.h"
#include "sqlite/wal.h"
#include "unit/sqlite/other_process.h"

#include <errno.h>
#include <sys/resource.h>

#define MS ((int64_t)1000000)

static void make_db(const char *path, const char *script)
{
    sqlite3 *db = NULL;
    char *msg = NULL;

    T(sqlite3_open(path, &db) == SQLITE_OK);
    if (sqlite3_exec(db, script, NULL, NULL, &msg) != SQLITE_OK)
        fail_msg("%s: %s", script, msg);
    T(sqlite3_close(db) == SQLITE_OK);
}

static struct wr_conn *open_conn(const char *path)
{
    struct wr_conn *c = NULL;
    struct wr_conn_info info;
    struct wr_err e = {0};

    T_OK(wr_conn_open(path, &c, &info, &e));
    return c;
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* ---- opening ---- */

static void expect_refused(const char *path, enum wr_status want, const char *text)
{
    struct wr_conn *c = NULL;
    struct wr_conn_info info;
    struct wr_err e = {0};

    T_IS(want, wr_conn_open(path, &c, &info, &e));
    T(c == NULL);
    if (!strstr(e.text, text) || !strstr(e.text, path))
        fail_msg("\"%s\" and the path are not in: %s", text, e.text);
}

static void test_what_is_no_database(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "a");
    uint8_t noise[4096];
    struct wr_rand r;

    (void)state;
    expect_refused(path, WR_NOTFOUND, "No such file");
    T(!exists(path)); /* and none is made */
    t_spew(path, "", 0);
    expect_refused(path, WR_NOTFOUND, "the file is empty, nothing was written yet");
    expect_refused(dir, WR_UNSUPPORTED, "it is a directory");
    wr_rand_init(&r, t_seed());
    t_spew(path, "S", 1); /* what SQLite takes for an empty one */
    expect_refused(path, WR_NOTFOUND, "the file is empty");
    for (size_t n = 2; n <= sizeof(noise); n *= 2) {
        wr_rand_fill(&r, noise, sizeof(noise));
        t_spew(path, noise, n);
        expect_refused(path, WR_UNSUPPORTED, "it is not an SQLite database, or it is encrypted");
        T(t_slurp(path).n == n);
    }
}

static void test_damaged_schema(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    struct wr_bytes was;
    uint8_t *p;

    (void)state;
    make_db(path, "CREATE TABLE t(a)");
    was = t_slurp(path);
    p = wr_alloc(was.n);
    T(p && was.n > 100);
    memcpy(p, was.p, was.n);
    p[100] = 0x55; /* no kind of page */
    t_spew(path, p, was.n);
    wr_free(p);
    expect_refused(path, WR_CORRUPT, "malformed");
}

static void test_switch_to_wal(void **state)
{
    static const uint32_t sizes[] = {512, 4096, 65536};
    const char *dir = t_tmpdir();

    (void)state;
    for (size_t i = 0; i < wr_countof(sizes); i++) {
        char name[16], script[128];
        struct wr_conn *c = NULL;
        struct wr_conn_info info;
        struct wr_walidx h;
        struct wr_err e = {0};
        struct stat st;
        const char *path;

        (void)snprintf(name, sizeof(name), "%u", sizes[i]);
        path = t_path(dir, name);
        (void)snprintf(script, sizeof(script), "PRAGMA page_size=%u; CREATE TABLE t(a)", sizes[i]);
        make_db(path, script);
        T(stat(path, &st) == 0);
        T_OK(wr_conn_open(path, &c, &info, &e));
        T(info.switched_to_wal && info.page_size == sizes[i]);

        T_OK(wr_conn_header(c, &h, &e));
        T(h.init);
        T(!wr_conn_pinned(c) && !wr_conn_in_barrier(c));
        wr_conn_close(c);

        T_OK(wr_conn_open(path, &c, &info, &e));
        T(!info.switched_to_wal && info.page_size == sizes[i]);
        wr_conn_close(c);
    }
    wr_conn_close(NULL);
}

static void test_locked_exclusively(void **state)
{
    const char *dir = t_tmpdir(), *wal = t_path(dir, "wal"), *rollback = t_path(dir, "rollback");
    struct other app = other_start();

    (void)state;
    assert_string_equal(other_ask(&app, 'o', wal), "0");
    other_expect(&app,
        "PRAGMA journal_mode=wal; CREATE TABLE t(a); PRAGMA locking_mode=EXCLUSIVE;"
        "INSERT INTO t VALUES(1)",
        "0 ");
    expect_refused(wal, WR_BUSY, "another process holds it exclusively");
    assert_string_equal(other_ask(&app, 'c', ""), "0");
    wr_conn_close(open_conn(wal));

    assert_string_equal(other_ask(&app, 'o', rollback), "0");
    other_expect(&app, "CREATE TABLE t(a); BEGIN EXCLUSIVE", "0 ");
    expect_refused(rollback, WR_BUSY, "database is locked");
    other_expect(&app, "COMMIT", "0 ");
    /* A reader of a rollback database is enough to keep the mode from being switched. */
    other_expect(&app, "INSERT INTO t VALUES(1); BEGIN; SELECT a FROM t", "0 1");
    expect_refused(rollback, WR_BUSY, "locked");
    other_expect(&app, "COMMIT", "0 ");
    wr_conn_close(open_conn(rollback));
    other_end(&app);
}

static void test_read_only_directory(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "a");
    char parent[512];
    struct other poor = other_start();
    const char *got;

    (void)state;
    make_db(path, "CREATE TABLE t(a); INSERT INTO t VALUES(1)");
    (void)snprintf(parent, sizeof(parent), "%s/..", dir);
    T(chmod(parent, 0755) == 0 && chmod(path, 0444) == 0 && chmod(dir, 0555) == 0);
    if (getuid() == 0) /* whom no mode stops */
        assert_string_equal(other_ask(&poor, 'u', "65534"), "1");
    got = other_ask(&poor, 'w', path);
    if (strncmp(got, "12 ", 3) != 0 || !strstr(got, "read-only"))
        fail_msg("opening said: %s", got);
    /* In WAL mode already: the index cannot be made. */
    T(chmod(path, 0644) == 0 && chmod(dir, 0755) == 0);
    make_db(path, "PRAGMA journal_mode=wal");
    T(!exists(t_path(dir, "a-shm")));
    T(chmod(path, 0444) == 0 && chmod(dir, 0555) == 0);
    got = other_ask(&poor, 'w', path);
    if (strncmp(got, "12 ", 3) != 0 || !strstr(got, "read-only"))
        fail_msg("opening said: %s", got);
    T(chmod(dir, 0755) == 0);
    other_end(&poor);
}

/* It said that the directory is read-only. */
static void test_too_many_open_files_are_called_that(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    struct rlimit was, few;
    int last;

    (void)state;
    make_db(path, "PRAGMA journal_mode=wal; CREATE TABLE t(v)");
    T(getrlimit(RLIMIT_NOFILE, &was) == 0);
    last = open("/dev/null", O_RDONLY);
    T(last >= 0);
    for (rlim_t spare = 1; spare < 12; spare++) { /* from none for the file to enough for all */
        struct wr_conn *c = NULL;
        struct wr_conn_info info;
        struct wr_err e = {0};
        enum wr_status st;

        few = (struct rlimit){.rlim_cur = (rlim_t)last + spare, .rlim_max = was.rlim_max};
        T(setrlimit(RLIMIT_NOFILE, &few) == 0);
        st = wr_conn_open(path, &c, &info, &e);
        T(setrlimit(RLIMIT_NOFILE, &was) == 0);
        wr_conn_close(c);
        if (st == WR_OK) {
            T(spare > 3);
            break;
        }
        if (strstr(e.text, "read-only"))
            fail_msg("with %d descriptors: %s", (int)spare - 1, e.text);
    }
    T(close(last) == 0);
}

static void test_in_place(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "a"), *other = t_path(dir, "b");
    struct wr_conn *c;

    (void)state;
    make_db(path, "CREATE TABLE t(a)");
    make_db(other, "CREATE TABLE t(a)");
    c = open_conn(path);
    T(wr_conn_in_place(c));
    T(rename(other, path) == 0);
    T(!wr_conn_in_place(c));
    wr_conn_close(c);
    T(unlink(t_path(dir, "a-wal")) == 0 && unlink(t_path(dir, "a-shm")) == 0);
    c = open_conn(path);
    T(wr_conn_in_place(c));
    T(unlink(path) == 0);
    T(!wr_conn_in_place(c));
    wr_conn_close(c);
}

static void test_the_wal_is_told_from_other_files(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "a");
    struct wr_conn *c;
    struct stat wal, db;

    (void)state;
    make_db(path, "CREATE TABLE t(a)");
    c = open_conn(path);
    T(stat(t_path(dir, "a-wal"), &wal) == 0 && stat(path, &db) == 0);
    T(wr_conn_is_wal(c, (uint64_t)wal.st_dev, (uint64_t)wal.st_ino));
    T(!wr_conn_is_wal(c, (uint64_t)wal.st_dev + 1, (uint64_t)wal.st_ino));
    T(!wr_conn_is_wal(c, (uint64_t)db.st_dev, (uint64_t)db.st_ino));
    wr_conn_close(c);
}

static const char *link_path, *link_to[2];
static int links;

static void point(const char *target)
{
    T(unlink(link_path) == 0 || errno == ENOENT);
    T(symlink(target, link_path) == 0);
}

/* Called when a connection was opened: the first, and the second. */
static int switch_link(sqlite3 *db, const char **error, const struct sqlite3_api_routines *api)
{
    (void)db;
    (void)error;
    (void)api;
    if (links < 2)
        point(link_to[links++]);
    return SQLITE_OK;
}

/* The mark was held on the database that the link led to just then. */
static void test_both_connections_are_to_one_file(void **state)
{
    const char *dir = t_tmpdir(), *a = t_path(dir, "a"), *b = t_path(dir, "b");
    struct other app = other_start();
    struct wr_conn *c;
    struct wr_err e = {0};

    (void)state;
    make_db(a, "PRAGMA journal_mode=wal; CREATE TABLE t(a)");
    make_db(b, "PRAGMA journal_mode=wal; CREATE TABLE t(a)");
    assert_string_equal(other_ask(&app, 'o', a), "0");
    other_expect(&app, "INSERT INTO t VALUES(42)", "0 ");
    link_path = t_path(dir, "link");
    link_to[0] = b;
    link_to[1] = a;
    point(a);
    T(sqlite3_auto_extension((void (*)(void))switch_link) == SQLITE_OK);
    c = open_conn(link_path);
    T(sqlite3_cancel_auto_extension((void (*)(void))switch_link) == 1);
    assert_int_equal(links, 2);
    T_OK(wr_conn_mark_begin(c, &e));
    other_expect(&app, "PRAGMA busy_timeout=0; PRAGMA wal_checkpoint(TRUNCATE)", "0 1"); /* busy */
    wr_conn_mark_end(c);
    wr_conn_close(c);
    other_end(&app);
}

/* ---- reading ---- */

static void test_reads_are_the_files(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "a");
    struct other app = other_start();
    struct wr_bytes db, wal;
    struct wr_conn *c;
    struct wr_err e = {0};
    struct wr_rand r;
    uint64_t bytes = 0;
    uint8_t *buf;

    (void)state;
    make_db(path,
        "PRAGMA journal_mode=wal; CREATE TABLE t(a); INSERT INTO t VALUES(randomblob(90000))");
    db = t_slurp(path); /* before it is open here */
    buf = wr_alloc(db.n + 20000);
    T(buf != NULL);
    c = open_conn(path);
    T_OK(wr_conn_pin(c, &e));
    T(wr_conn_pinned(c));
    assert_string_equal(other_ask(&app, 'o', path), "0");
    other_expect(&app, "INSERT INTO t VALUES(randomblob(50000))", "0 ");
    T_OK(wr_conn_db_bytes(c, &bytes, &e));
    T(bytes == db.n); /* frozen */
    wal = t_slurp(t_path(dir, "a-wal"));
    T_OK(wr_conn_wal_bytes(c, &bytes, &e));
    T(bytes == wal.n && wal.n > 50000);

    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 3000; i++) {
        size_t off = (size_t)wr_rand_below(&r, db.n + 10000), n = (size_t)wr_rand_below(&r, 9000);
        size_t got = 0, have;

        memset(buf, 0xee, n + 1);
        T_OK(wr_conn_read_db(c, off, buf, n, &e));
        have = off < db.n ? wr_min(n, db.n - off) : 0;
        T(have == 0 || memcmp(buf, db.p + off, have) == 0);
        for (size_t k = have; k < n; k++)
            T(buf[k] == 0);
        T(buf[n] == 0xee);

        T_OK(wr_conn_read_wal(c, off, buf, n, &got, &e));
        have = off < wal.n ? wr_min(n, wal.n - off) : 0;
        T(got == have && (have == 0 || memcmp(buf, wal.p + off, have) == 0));
        T(buf[n] == 0xee);
    }
    wr_free(buf);
    wr_conn_close(c);
    other_end(&app);
}

static void test_close_leaves_the_wal(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "a"), *wal = t_path(dir, "a-wal");
    struct other app = other_start();
    struct wr_conn *c;
    struct wr_bytes before, after;
    struct wr_err e = {0};

    (void)state;
    make_db(path, "CREATE TABLE t(a)");
    c = open_conn(path);
    T_OK(wr_conn_pin(c, &e));
    assert_string_equal(other_ask(&app, 'o', path), "0");
    other_expect(&app, "INSERT INTO t VALUES(42)", "0 ");
    assert_string_equal(other_ask(&app, 'c', ""), "0"); /* the last but one does not checkpoint */
    before = t_slurp(wal);
    T(before.n > WR_WAL_HEADER);
    wr_conn_leave_wal(c);
    wr_conn_close(c);
    after = t_slurp(wal);
    T(after.n == before.n && memcmp(after.p, before.p, after.n) == 0);

    /* The pin is gone, and nothing is lost. */
    assert_string_equal(other_ask(&app, 'o', path), "0");
    other_expect(&app, "SELECT a FROM t", "0 42");
    other_expect(&app, "PRAGMA wal_checkpoint(TRUNCATE)", "0 0");

    /* Unless asked to leave it, the last to close is as any other. */
    c = open_conn(path);
    other_expect(&app, "INSERT INTO t VALUES(43)", "0 ");
    assert_string_equal(other_ask(&app, 'c', ""), "0");
    wr_conn_close(c);
    T(access(wal, F_OK) != 0);
    other_end(&app);
}

/* ---- locks and checkpoints ---- */

static void test_mark_caps_the_backfill(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    struct other app = other_start();
    struct wr_conn *c;
    struct wr_walidx at_mark, h;
    struct wr_err e = {0};

    (void)state;
    make_db(path, "CREATE TABLE t(a)");
    c = open_conn(path);
    T_OK(wr_conn_pin(c, &e));
    assert_string_equal(other_ask(&app, 'o', path), "0");
    other_expect(&app, "INSERT INTO t VALUES(1)", "0 ");
    T_OK(wr_conn_mark_begin(c, &e));
    T_OK(wr_conn_header(c, &at_mark, &e));
    for (int i = 0; i < 10; i++)
        other_expect(&app, "INSERT INTO t VALUES(randomblob(5000))", "0 ");
    T_OK(wr_conn_checkpoint(c, false, &e));
    T(wr_conn_backfill(c) == at_mark.mx_frame);
    other_expect(&app, "INSERT INTO t VALUES(2)", "0 "); /* nothing is reset meanwhile */
    T_OK(wr_conn_header(c, &h, &e));
    T(h.mx_frame > at_mark.mx_frame && memcmp(h.salt, at_mark.salt, 8) == 0);
    T(h.n_backfill == wr_conn_backfill(c));
    wr_conn_mark_end(c);
    wr_conn_mark_end(c);
    T_OK(wr_conn_checkpoint(c, false, &e));
    T(wr_conn_backfill(c) == h.mx_frame);

    /* A foreign reader in the way: a PASSIVE does what it can, a TRUNCATE says so. */
    other_expect(&app, "INSERT INTO t VALUES(3); BEGIN; SELECT count(*) FROM t", "0 13");
    make_db(path, "PRAGMA busy_timeout=5000; INSERT INTO t VALUES(4)");
    T_OK(wr_conn_checkpoint(c, false, &e));
    T_OK(wr_conn_header(c, &h, &e));
    T(h.n_backfill < h.mx_frame);
    T_OK(wr_conn_barrier_begin(c, 0, &e));
    T_IS(WR_BUSY, wr_conn_checkpoint(c, true, &e));
    T(wr_conn_backfill(c) < h.mx_frame);
    wr_conn_barrier_end(c);
    other_expect(&app, "COMMIT", "0 ");
    wr_conn_close(c);
    other_end(&app);
}

/* Whether a checkpoint would get through, as SQLite decides that. */
static bool gets_through(struct wr_conn *c)
{
    struct wr_walidx h;
    struct wr_err e = {0};
    bool in_way;

    T_OK(wr_conn_header(c, &h, &e));
    in_way = wr_conn_reader_in_way(c, &h);
    T_OK(wr_conn_checkpoint(c, false, &e));
    T(in_way == (wr_conn_backfill(c) < h.mx_frame));
    return !in_way;
}

static void test_a_reader_in_the_way_is_seen(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    struct other app = other_start(), reader = other_start();
    struct wr_conn *c;
    struct wr_err e = {0};

    (void)state;
    make_db(path, "CREATE TABLE t(a)");
    c = open_conn(path);
    T_OK(wr_conn_pin(c, &e));
    assert_string_equal(other_ask(&app, 'o', path), "0");
    assert_string_equal(other_ask(&reader, 'o', path), "0");
    other_expect(&app, "INSERT INTO t VALUES(1)", "0 ");
    other_expect(&reader, "BEGIN; SELECT count(*) FROM t", "0 1");
    T(gets_through(c)); /* it reads up to the newest frame */
    other_expect(&app, "INSERT INTO t VALUES(2)", "0 ");
    T(!gets_through(c));
    other_expect(&reader, "COMMIT", "0 ");
    T(gets_through(c));
    other_expect(&reader, "BEGIN; SELECT count(*) FROM t", "0 2"); /* from the database alone */
    other_expect(&app, "INSERT INTO t VALUES(3)", "0 ");
    T(!gets_through(c));
    other_expect(&reader, "COMMIT; BEGIN; SELECT count(*) FROM t", "0 3");
    T(gets_through(c)); /* that did not get in its way */
    other_expect(&reader, "COMMIT", "0 ");
    wr_conn_close(c);
    other_end(&reader);
    other_end(&app);
}

static void test_barrier_seals_the_wal(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    struct other app = other_start();
    struct wr_conn *c;
    struct wr_walidx h;
    struct wr_err e = {0};
    uint64_t bytes = 1;

    (void)state;
    make_db(path, "CREATE TABLE t(a)");
    c = open_conn(path);
    T_OK(wr_conn_pin(c, &e));
    assert_string_equal(other_ask(&app, 'o', path), "0");
    other_expect(&app, "INSERT INTO t VALUES(1); BEGIN IMMEDIATE", "0 ");
    T_IS(WR_BUSY, wr_conn_barrier_begin(c, 2 * MS, &e));
    T(e.text[0] == '\0' && !wr_conn_in_barrier(c));
    other_expect(&app, "COMMIT", "0 ");
    T_OK(wr_conn_barrier_begin(c, 2 * MS, &e));
    T(wr_conn_in_barrier(c) && wr_conn_pinned(c));
    other_expect(&app, "INSERT INTO t VALUES(2)", "5 ");
    T_OK(wr_conn_header(c, &h, &e));
    T_OK(wr_conn_checkpoint(c, false, &e));
    T(wr_conn_backfill(c) == h.mx_frame);
    T_OK(wr_conn_checkpoint(c, true, &e));
    T_OK(wr_conn_wal_bytes(c, &bytes, &e));
    T(bytes == 0 && wr_conn_backfill(c) == 0);
    wr_conn_barrier_end(c);
    T(!wr_conn_in_barrier(c));
    other_expect(&app, "INSERT INTO t VALUES(2); SELECT count(*) FROM t", "0 2");
    wr_conn_close(c);
    other_end(&app);
}

static unsigned yields;

/* In place of the C library's. */
int sched_yield(void)
{
    yields++;
    return 0;
}

/* Where others compute, Linux gives a thread that yields no time for milliseconds, and again when
 * it has the lock. One that sleeps is not punished, and gives way as well. */
static void test_waiting_for_a_writer_gave_whole_time_slices_away(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    struct other app = other_start();
    struct rusage before, after;
    struct wr_conn *c;
    struct wr_err e = {0};

    (void)state;
    make_db(path, "CREATE TABLE t(a)");
    c = open_conn(path);
    T_OK(wr_conn_pin(c, &e));
    assert_string_equal(other_ask(&app, 'o', path), "0");
    other_expect(&app, "INSERT INTO t VALUES(1); BEGIN IMMEDIATE", "0 ");
    yields = 0;
    T(getrusage(RUSAGE_SELF, &before) == 0);
    T_IS(WR_BUSY, wr_conn_barrier_begin(c, 2 * MS, &e));
    T(getrusage(RUSAGE_SELF, &after) == 0);
    assert_int_equal(yields, 0);
    T(after.ru_nvcsw > before.ru_nvcsw);
    other_expect(&app, "COMMIT", "0 ");
    wr_conn_close(c);
    other_end(&app);
}

static void test_barrier_starves_nobody(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    struct other app = other_start();
    struct wr_conn *c;
    struct wr_err e = {0};
    int won = 0;

    (void)state;
    make_db(path, "CREATE TABLE t(a)");
    c = open_conn(path);
    T_OK(wr_conn_pin(c, &e));
    assert_string_equal(other_ask(&app, 'o', path), "0");
    other_expect(&app, "PRAGMA synchronous=OFF", "0 ");
    other_tell(&app, 'l', "1500");
    for (int i = 0; i < 300; i++) {
        enum wr_status st = wr_conn_barrier_begin(c, 20 * MS, &e);

        if (st == WR_OK) {
            T_OK(wr_conn_checkpoint(c, false, &e));
            wr_conn_barrier_end(c);
            won++;
        } else {
            T(st == WR_BUSY);
        }
    }
    assert_string_equal(other_hear(&app), "0"); /* no commit of the application failed */
    T(won > 0);
    other_expect(&app, "SELECT count(*) FROM t", "0 1500");
    wr_conn_close(c);
    other_end(&app);
}

static void test_recover_a_torn_index(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "a");
    struct other app = other_start(), victim = other_start();
    struct wr_conn *c;
    struct wr_walidx before, after;
    struct wr_err e = {0};

    (void)state;
    make_db(path, "CREATE TABLE t(a)");
    c = open_conn(path);
    T_OK(wr_conn_pin(c, &e));
    assert_string_equal(other_ask(&app, 'o', path), "0");
    other_expect(&app, "INSERT INTO t VALUES(1)", "0 ");
    T_OK(wr_conn_header(c, &before, &e));
    T_OK(wr_conn_recover(c, &e)); /* of a whole one does nothing */

    other_expect(&app, "BEGIN IMMEDIATE", "0 ");
    assert_string_equal(other_ask(&victim, 't', t_path(dir, "a-shm")), "1");
    T_IS(WR_BUSY, wr_conn_header(c, &after, &e));
    T(e.text[0] == '\0');
    T_IS(WR_BUSY, wr_conn_recover(c, &e)); /* the live writer is about to settle it */
    other_kill(&app);
    T_IS(WR_BUSY, wr_conn_mark_begin(c, &e)); /* which is for the pinned connection to mend */
    T_OK(wr_conn_recover(c, &e));
    T_OK(wr_conn_header(c, &after, &e));
    T(after.mx_frame == before.mx_frame && after.n_page == before.n_page);
    T(memcmp(after.salt, before.salt, 8) == 0);
    T(wr_conn_pinned(c));

    /* Under the writer lock as well, and it stays ours. */
    assert_string_equal(other_ask(&victim, 't', t_path(dir, "a-shm")), "1");
    T_OK(wr_conn_barrier_begin(c, 0, &e));
    T_OK(wr_conn_recover(c, &e));
    T_OK(wr_conn_header(c, &after, &e));
    T(after.mx_frame == before.mx_frame && wr_conn_in_barrier(c));
    T_OK(wr_conn_mark_begin(c, &e));
    wr_conn_close(c);
    other_kill(&victim);
}

/* ---- checks of restored files ---- */

static void test_sqlite_check(void **state)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "a");
    struct wr_bytes good;
    struct wr_err e = {0};
    uint8_t *bad;

    (void)state;
    make_db(path, "CREATE TABLE t(a, b UNIQUE); WITH RECURSIVE n(i) AS"
                  "(SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<500)"
                  "INSERT INTO t SELECT i, hex(i) FROM n");
    T_OK(wr_sqlite_check(path, true, t_call(), &e));
    T_OK(wr_sqlite_check(path, false, t_call(), &e));
    good = t_slurp(path);
    bad = wr_alloc(good.n);
    T(bad && good.n > (size_t)3 * 4096);

    memcpy(bad, good.p, good.n);
    memset(bad + 4096, 0x55, 4096);
    t_spew(path, bad, good.n);
    T_IS(WR_CORRUPT, wr_sqlite_check(path, true, t_call(), &e));
    T(strstr(e.text, "integrity check") != NULL);
    T_IS(WR_CORRUPT, wr_sqlite_check(path, false, t_call(), &e));

    /* An index without its row: only the full check looks. */
    memcpy(bad, good.p, good.n);
    for (size_t i = 4096; i + 6 < good.n; i++) {
        if (memcmp(bad + i, "343939", 6) == 0) { /* hex(499) */
            bad[i] = '9';
            break;
        }
    }
    t_spew(path, bad, good.n);
    T_OK(wr_sqlite_check(path, true, t_call(), &e));
    T_IS(WR_CORRUPT, wr_sqlite_check(path, false, t_call(), &e));

    memset(bad, 0x55, good.n);
    t_spew(path, bad, good.n);
    T_IS(WR_CORRUPT, wr_sqlite_check(path, true, t_call(), &e));
    wr_free(bad);
    T_IS(WR_IO, wr_sqlite_check(t_path(dir, "absent"), true, t_call(), &e));
    T(!exists(t_path(dir, "absent")));
}

/* Time that goes on with each look at it. */
struct looks {
    struct wr_clock clock;
    int64_t n;
};

static int64_t count_look(const struct wr_clock *c)
{
    return ++((struct looks *)(uintptr_t)c)->n * MS;
}

/* It went on to its end, which is hours in a database of a terabyte, whatever was asked. */
static void test_a_check_ends_when_the_call_does(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    int64_t n;

    (void)state;
    make_db(path, "CREATE TABLE t(a, b UNIQUE); WITH RECURSIVE n(i) AS"
                  "(SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<9000)"
                  "INSERT INTO t SELECT hex(randomblob(50)), i FROM n");
    for (int quick = 0; quick < 2; quick++) {
        enum wr_status st = WR_TIMEOUT;

        for (n = 1; st != WR_OK; n += 1 + n / 8) {
            struct looks looks = {.clock = {count_look, count_look}};
            struct wr_call c = *t_call();
            struct wr_err e = {0};

            c.clock = &looks.clock;
            c.deadline_ms = n;
            st = wr_sqlite_check(path, quick, &c, &e);
            if (st == WR_OK)
                break;
            T_IS(WR_TIMEOUT, st);
            T(strstr(e.text, "integrity check"));
            T(looks.n <= n + 1); /* it was not asked again, nor did anything go on that asks */
        }
        T(n > 200); /* pages of its b-trees */
    }
}

static enum wr_status open_and_close(void *arg)
{
    struct wr_conn *c = NULL;
    struct wr_conn_info info;
    struct wr_err e = {0};
    enum wr_status st = wr_conn_open(arg, &c, &info, &e);

    wr_conn_close(c);
    return st;
}

static enum wr_status check_it(void *arg)
{
    struct wr_err e = {0};

    return wr_sqlite_check(arg, true, t_call(), &e);
}

static void test_no_memory(void **state)
{
    char path[512];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s", t_path(t_tmpdir(), "a"));
    make_db(path, "CREATE TABLE t(a)");
    t_sweep_nomem(open_and_close, path);
    t_sweep_nomem(check_it, path);
}

/* ---- what it costs ---- */

/* A thousand databases are a thousand times this: 25 KB with SQLite 3.40 on a 64-bit machine, of
 * which the pages that a connection needs for its work are 8. */
#define IDLE_BYTES ((int64_t)36 << 10)

static int64_t cost_of(const char *script)
{
    const char *dir = t_tmpdir(), *path = t_path(dir, "a"), *shm = t_path(dir, "a-shm");
    int64_t before = sqlite3_memory_used(), used;
    struct wr_walidx h;
    struct wr_conn *c;
    struct wr_err e = {0};

    make_db(path, script);
    c = open_conn(path);
    T_OK(wr_conn_pin(c, &e));
    T_OK(wr_conn_mark_begin(c, &e));
    T_OK(wr_conn_checkpoint(c, false, &e));
    wr_conn_mark_end(c);
    wr_conn_rest(c);
    T_OK(wr_conn_header(c, &h, &e)); /* what is read of an idle one */
    assert_int_equal(t_resident_kib(shm), sysconf(_SC_PAGESIZE) / 1024);
    used = sqlite3_memory_used() - before;
    T_OK(wr_conn_mark_begin(c, &e)); /* it all comes back */
    T_OK(wr_conn_checkpoint(c, false, &e));
    wr_conn_mark_end(c);
    wr_conn_close(c);
    assert_int_equal(t_resident_kib(shm), 0);
    assert_int_equal(sqlite3_memory_used(), before);
    return used;
}

static void test_an_idle_one_is_small(void **state)
{
    char many[16384] = "PRAGMA journal_mode=wal;";
    size_t n = strlen(many);
    int64_t few;

    (void)state;
    for (int i = 0; i < 200; i++) /* as the schema of an application has it */
        n += (size_t)snprintf(many + n, sizeof(many) - n,
            "CREATE TABLE t%d(a,b,c);CREATE INDEX i%d ON t%d(a,b);", i, i, i);
    few = cost_of("PRAGMA journal_mode=wal; CREATE TABLE t(a)");
    T(few <= IDLE_BYTES);
    T(cost_of(many) <= few);
}

/* ---- whether a file was written ---- */

static void test_a_write_gives_another_mark(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    struct wr_file_mark first, second;
    struct wr_conn *c;
    struct wr_err e = {0};

    (void)state;
    make_db(path, "PRAGMA journal_mode=wal; CREATE TABLE t(a)");
    c = open_conn(path);
    T_OK(wr_conn_pin(c, &e));
    T(wr_conn_mark_now(c, 100000000, &first));
    second = wr_conn_mark(c);
    T(wr_file_mark_equal(&first, &second));
    T(wr_conn_mark_now(c, 100000000, &second) && wr_file_mark_equal(&first, &second));
    T(utimensat(AT_FDCWD, path, NULL, 0) == 0); /* as if somebody had written to it */
    T(wr_conn_changes(c) == WR_CONN_TOUCHED && wr_conn_in_place(c));
    T(!wr_conn_mark_now(c, 100000000, &second));
    wr_conn_close(c);
    c = open_conn(path);
    T_OK(wr_conn_pin(c, &e));
    second = wr_conn_mark(c);
    T(!wr_file_mark_equal(&first, &second) && first.ino == second.ino);
    wr_conn_close(c);
}

/* An application was killed amid the transaction that makes its database. Opening that rolled it
 * back, and made another one, of our page size, in its place. */
static void test_a_database_that_was_never_made_was_made_by_us(void **state)
{
    const char *path = t_path(t_tmpdir(), "a");
    sqlite3 *db;
    struct stat st;
    pid_t pid = fork();
    int status;

    (void)state;
    if (pid == 0) {
        bool ok = sqlite3_open(path, &db) == SQLITE_OK &&
                  sqlite3_exec(db,
                      "PRAGMA page_size=512; PRAGMA cache_size=1; BEGIN; CREATE TABLE t(v);"
                      "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)"
                      "INSERT INTO t SELECT randomblob(400) FROM n",
                      NULL, NULL, NULL) == SQLITE_OK;

        _exit(!ok);
    }
    T(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    T(stat(path, &st) == 0 && st.st_size > 512);
    expect_refused(path, WR_NOTFOUND, "the file is empty, nothing was written yet");
    T(stat(path, &st) == 0 && st.st_size == 0);
    T(sqlite3_open(path, &db) == SQLITE_OK);
    T(sqlite3_exec(db, "PRAGMA page_size=512; CREATE TABLE t(v)", NULL, NULL, NULL) == SQLITE_OK);
    (void)sqlite3_close(db);
    T(stat(path, &st) == 0 && st.st_size == 1024);
}

T_MAIN(T_TEST(test_what_is_no_database), T_TEST(test_a_database_that_was_never_made_was_made_by_us),
    T_TEST(test_damaged_schema), T_TEST(test_switch_to_wal), T_TEST(test_locked_exclusively),
    T_TEST(test_read_only_directory), T_TEST(test_too_many_open_files_are_called_that),
    T_TEST(test_in_place), T_TEST(test_the_wal_is_told_from_other_files),
    T_TEST(test_both_connections_are_to_one_file), T_TEST(test_reads_are_the_files),
    T_TEST(test_close_leaves_the_wal), T_TEST(test_mark_caps_the_backfill),
    T_TEST(test_a_reader_in_the_way_is_seen), T_TEST(test_barrier_seals_the_wal),
    T_TEST(test_waiting_for_a_writer_gave_whole_time_slices_away),
    T_TEST(test_barrier_starves_nobody), T_TEST(test_recover_a_torn_index),
    T_TEST(test_sqlite_check), T_TEST(test_a_check_ends_when_the_call_does), T_TEST(test_no_memory),
    T_TEST(test_an_idle_one_is_small), T_TEST(test_a_write_gives_another_mark))
