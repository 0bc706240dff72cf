/*
 * follow_world.h - for the tests of followers: a real database whose every commit is a transaction
 * of a replica in memory, a copy that follows it, and every call to the disk in one count, so that
 * any of them can be made to fail, or to be the last of a process.
 */
#ifndef WR_TEST_FOLLOW_WORLD_H
#define WR_TEST_FOLLOW_WORLD_H

#include "base/bytes.h"
#include "engine/follow.h"
#include "engine/follow_state.h"
#include "fake/bad_vfs.h"
#include "unit/engine/restore_world.h"

#include <sys/wait.h>
#include <unistd.h>

#define FW_LOCK  0x10000u /* where SQLite's lock page is here */
#define FW_PAGE  512u
#define FW_PAGES 4000u
#define FW_DIED  9 /* exit code of a process that was to die */

/* ---- files that count as calls of bad_vfs.h: BAD_WRITE, BAD_SYNC, BAD_OPEN ---- */

struct fw_file {
    struct wr_file file;
    struct wr_file *below;
};

static inline struct wr_file *fw_below(struct wr_file *f)
{
    return ((struct fw_file *)(void *)f)->below;
}

static inline enum wr_status fw_fault(unsigned call, struct wr_err *e)
{
    int rc = bad_now(call);

    if (rc == SQLITE_OK)
        return WR_OK;
    return wr_fail(e, rc == SQLITE_FULL ? WR_LIMIT : WR_IO, "made to fail");
}

static inline void fw_close_file(struct wr_file *f)
{
    wr_file_close(fw_below(f));
    wr_free(f);
}

static inline enum wr_status fw_pread(
    struct wr_file *f, void *buf, size_t n, uint64_t off, size_t *got, struct wr_err *e)
{
    enum wr_status st = fw_fault(BAD_READ, e);

    return st == WR_OK ? wr_file_pread(fw_below(f), buf, n, off, got, e) : st;
}

static inline enum wr_status fw_pwrite(
    struct wr_file *f, const void *buf, size_t n, uint64_t off, struct wr_err *e)
{
    enum wr_status st = fw_fault(BAD_WRITE, e);

    return st == WR_OK ? wr_file_pwrite(fw_below(f), buf, n, off, e) : st;
}

static inline enum wr_status fw_sync(struct wr_file *f, struct wr_err *e)
{
    (void)f; /* no power is cut here */
    return fw_fault(BAD_SYNC, e);
}

static inline enum wr_status fw_truncate(struct wr_file *f, uint64_t size, struct wr_err *e)
{
    enum wr_status st = fw_fault(BAD_WRITE, e);

    return st == WR_OK ? wr_file_truncate(fw_below(f), size, e) : st;
}

static inline enum wr_status fw_info(struct wr_file *f, struct wr_file_info *ret, struct wr_err *e)
{
    return wr_file_info(fw_below(f), ret, e);
}

static inline void fw_hint(struct wr_file *f, uint64_t off, uint64_t n)
{
    (void)f;
    (void)off;
    (void)n;
}

static inline enum wr_status fw_lock_file(struct wr_file *f, struct wr_err *e)
{
    return wr_fs_posix()->lock(fw_below(f), e);
}

static inline enum wr_status fw_owner(
    struct wr_file *f, uint32_t uid, uint32_t gid, struct wr_err *e)
{
    return wr_fs_posix()->set_owner(fw_below(f), uid, gid, e);
}

static inline enum wr_status fw_mode(struct wr_file *f, uint32_t mode, struct wr_err *e)
{
    return wr_fs_posix()->set_mode(fw_below(f), mode, e);
}

static inline enum wr_status fw_open_file(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    struct fw_file *f;
    enum wr_status st = fw_fault(BAD_OPEN, e);

    if (st != WR_OK)
        return st;
    f = wr_alloc(sizeof(*f));
    if (!f)
        return wr_fail(e, WR_NOMEM, "open %s: out of memory", path);
    f->file.fs = fs;
    st = wr_file_open(wr_fs_posix(), path, flags, mode, &f->below, e);
    if (st == WR_OK)
        *ret = &f->file;
    else
        wr_free(f);
    return st;
}

static inline enum wr_status fw_rename(
    const struct wr_fs *fs, const char *from, const char *to, struct wr_err *e)
{
    enum wr_status st = fw_fault(BAD_WRITE, e);

    (void)fs;
    return st == WR_OK ? wr_fs_posix()->rename(wr_fs_posix(), from, to, e) : st;
}

static inline enum wr_status fw_sync_dir(const struct wr_fs *fs, const char *path, struct wr_err *e)
{
    (void)fs;
    (void)path;
    return fw_fault(BAD_SYNC, e);
}

static inline const struct wr_fs *fw_fs(void)
{
    static struct wr_fs fs; /* the test's own */

    fs = *wr_fs_posix();
    fs.open = fw_open_file;
    fs.close = fw_close_file;
    fs.pread = fw_pread;
    fs.pwrite = fw_pwrite;
    fs.sync = fs.sync_data = fw_sync;
    fs.truncate = fw_truncate;
    fs.info = fw_info;
    fs.flush_hint = fw_hint;
    fs.lock = fw_lock_file;
    fs.set_owner = fw_owner;
    fs.set_mode = fw_mode;
    fs.rename = fw_rename;
    fs.sync_dir = fw_sync_dir;
    return &fs;
}

/* ---- the primary and its replica ---- */

struct fw {
    struct story s;
    struct world w;
    struct wr_rand random;
    const char *dir, *copy, *source;
    sqlite3 *app;
    uint64_t stored; /* transactions up to here are in files of level 0, unless deleted */
    struct wr_call call;
    struct wr_clock_manual clock;
    struct wr_cancel cancel;
    struct wr_follow_report told;
    sqlite3 *in_the_way;       /* that ends its transaction when a warning says so */
    unsigned errors, warnings; /* lines in the log */
    char line[1024];           /* the last of them */
};

static inline void fw_log(void *arg, enum wr_log_level level, const char *msg,
    const struct wr_log_field *fields, size_t n)
{
    struct fw *w = arg;
    struct wr_buf text;

    w->errors += level == WR_ERROR;
    w->warnings += level == WR_WARN;
    if (level < WR_WARN)
        return;
    wr_buf_init(&text, sizeof(w->line) - 1);
    wr_buf_z(&text, msg);
    wr_buf_z(&text, " ");
    wr_log_text(&text, fields, n);
    (void)snprintf(w->line, sizeof(w->line), WR_FMT, (int)text.n, (const char *)text.p);
    wr_buf_release(&text);
    if (w->in_the_way)
        (void)sqlite3_exec(w->in_the_way, "COMMIT", NULL, NULL, NULL);
    w->in_the_way = NULL;
}

static inline void fw_sql_at(sqlite3 *db, const char *sql)
{
    char *text = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK) {
        print_error("%s: %s\n", sql, text);
        T(!"SQL failed");
    }
}

/* What the database is now becomes the next transaction, as one that is in WAL mode. */
static inline void fw_take(struct fw *w)
{
    struct wr_bytes b = t_slurp(w->source);
    uint32_t commit = (uint32_t)(b.n / w->s.page_size);
    const struct image *was = &w->s.image[w->s.n];
    struct image *is = &w->s.image[++w->s.n];

    T(w->s.n <= STORY_ROOM && commit > 0 && commit <= FW_PAGES);
    is->commit = commit;
    is->data = wr_alloc(b.n);
    is->changed = wr_alloc((size_t)FW_PAGES + 1);
    T(is->data && is->changed);
    memcpy(is->data, b.p, b.n);
    is->data[18] = is->data[19] = 2;
    for (uint32_t pgno = 1; pgno <= commit; pgno++) {
        size_t off = (size_t)(pgno - 1) * w->s.page_size;

        is->changed[pgno] =
            pgno != story_lock(&w->s) &&
            (pgno > was->commit || memcmp(is->data + off, was->data + off, w->s.page_size) != 0);
    }
    story_sum(&w->s);
}

static inline void fw_sql(struct fw *w, const char *sql)
{
    fw_sql_at(w->app, sql);
    fw_take(w);
}

/* Every transaction so far goes to level 0. */
static inline void fw_store(struct fw *w)
{
    while (w->stored < w->s.n) {
        w->stored++;
        story_put(&w->s, &w->w, 0, w->stored, w->stored);
    }
}

static inline void fw_delete(struct fw *w, unsigned level, uint64_t min, uint64_t max)
{
    world_remove_key(&w->w, wr_layout_ltx_key(t_call()->scratch, w->w.storage, level, min, max));
}

/* A replica with a snapshot of one transaction, and no copy yet. */
static inline void fw_init_as(struct fw *w, bool rolling, uint32_t page_size)
{
    static char pragma[100];

    *w = (struct fw){.dir = t_tmpdir(), .stored = 1};
    w->copy = t_path(w->dir, "copy");
    w->source = t_path(t_tmpdir(), "source");
    bad_install();
    T(sqlite3_test_control(SQLITE_TESTCTRL_PENDING_BYTE, FW_LOCK) > 0);
    wr_rand_init(&w->random, t_seed());
    story_init(&w->s, &w->random, page_size, FW_LOCK, FW_PAGES, rolling);
    world_init(&w->w, WR_STORAGE_LIST_TIME, "");
    wr_storage_set_retry(w->w.storage, 1, 1);
    (void)unlink(w->source);
    T(sqlite3_open(w->source, &w->app) == SQLITE_OK);
    (void)snprintf(pragma, sizeof(pragma),
        "PRAGMA page_size=%u; PRAGMA synchronous=off; PRAGMA journal_mode=memory", page_size);
    fw_sql_at(w->app, pragma);
    fw_sql(w, "CREATE TABLE t(id INTEGER PRIMARY KEY, b); CREATE TABLE u(a);"
              "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<300)"
              " INSERT INTO t SELECT i, randomblob(150) FROM n");
    story_put(&w->s, &w->w, 9, 1, 1);
    wr_clock_manual_init(&w->clock, 1000000);
    wr_cancel_init(&w->cancel);
}

static inline void fw_init(struct fw *w, bool rolling)
{
    fw_init_as(w, rolling, FW_PAGE);
}

static inline void fw_release(struct fw *w)
{
    (void)sqlite3_close(w->app);
    wr_cancel_release(&w->cancel);
    world_release(&w->w);
    story_release(&w->s);
}

/* A commit of any kind. */
static inline void fw_random_commit(struct fw *w)
{
    static const char *const kinds[] = {
        "UPDATE t SET b=randomblob(150) WHERE id % 50 = abs(random()) % 50",
        "INSERT INTO t(b) SELECT randomblob(700) FROM t LIMIT 40",
        "DELETE FROM t WHERE id % 3 = abs(random()) % 3",
        "DELETE FROM t WHERE id > 300; VACUUM",
        "INSERT INTO u VALUES(randomblob(60000))",
        "DELETE FROM u; VACUUM",
        "CREATE TABLE IF NOT EXISTS more(a, b)",
        "DROP TABLE IF EXISTS more",
        "UPDATE t SET b=zeroblob(10) WHERE id=1",
    };

    fw_sql(w, kinds[wr_rand_below(&w->random, wr_countof(kinds))]);
}

/* ---- the follower ---- */

static inline void fw_tell(void *arg, const struct wr_follow_report *r)
{
    ((struct fw *)arg)->told = *r;
}

static inline struct wr_follow_opts fw_opts(struct fw *w)
{
    return (struct wr_follow_opts){
        .restore = {.fs = fw_fs(), .path = w->copy, .parallel = 2, .lock_offset = FW_LOCK},
        .interval_ms = 1000,
        .patience_ms = 20,
        .tell = fw_tell,
        .tell_arg = w};
}

static inline struct wr_call *fw_call(struct fw *w)
{
    static struct wr_log log; /* outlives the call */

    log = (struct wr_log){.sink = fw_log, .arg = w, .min_level = WR_DEBUG};
    w->call = *t_call();
    w->call.cancel = &w->cancel;
    w->call.log = &log;
    return &w->call;
}

/* The same by the clock of the test. */
static inline struct wr_call fw_clocked(struct fw *w)
{
    struct wr_call c = *fw_call(w);

    c.clock = &w->clock.clock;
    return c;
}

static inline enum wr_status fw_open(struct fw *w, struct wr_follow **ret, struct wr_err *e)
{
    struct wr_follow_opts o = fw_opts(w);
    struct wr_restore_result r = {0};

    return wr_follow_open(w->w.storage, fw_call(w), &o, ret, &r, e);
}

/* Step until the copy is current, or something is in the way. */
static inline enum wr_status fw_steps(struct fw *w, struct wr_follow *f, struct wr_err *e)
{
    enum wr_status st;
    int64_t wait_ms = 0;

    for (int i = 0; i < 200; i++) {
        st = wr_follow_step(f, fw_call(w), &wait_ms, e);
        if (st != WR_OK || (wait_ms > 0 && w->told.phase != WR_FOLLOW_BEHIND))
            return st;
    }
    T(!"it does not come to an end");
    return WR_OK;
}

/* Every page of the copy is that of a transaction, but for what makes it a copy. */
static inline void fw_check_is(struct fw *w, uint64_t txid)
{
    const struct image *want = &w->s.image[txid];
    struct wr_bytes got = t_slurp(w->copy);
    uint32_t lock = story_lock(&w->s);

    assert_int_equal(got.n, (size_t)want->commit * w->s.page_size);
    T(got.p[18] == 1 && got.p[19] == 1);
    T(wr_be32(got.p + 28) == want->commit && memcmp(got.p + 24, got.p + 92, 4) == 0);
    for (size_t i = 0; i < got.n; i++) {
        bool ours = (i >= 18 && i < 20) || (i >= 24 && i < 32) || (i >= 40 && i < 44) ||
                    (i >= 92 && i < 96) || i / w->s.page_size + 1 == lock;

        if (!ours && got.p[i] != want->data[i]) {
            print_error("byte %zu of page %zu\n", i % w->s.page_size, i / w->s.page_size + 1);
            T(!"the copy is not that transaction");
        }
    }
}

/* As SQLite sees it: whole. */
static inline void fw_check_sqlite(struct fw *w)
{
    sqlite3_stmt *stmt = NULL;
    sqlite3 *db = NULL;

    T(sqlite3_open(w->copy, &db) == SQLITE_OK);
    T(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &stmt, NULL) == SQLITE_OK);
    T(sqlite3_step(stmt) == SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(stmt, 0), "ok");
    (void)sqlite3_finalize(stmt);
    (void)sqlite3_close(db);
}

/* ---- what may happen at any call ---- */

#define FW_CALLS (BAD_OPEN | BAD_READ | BAD_WRITE | BAD_SYNC | BAD_SIZE | BAD_LOCK | BAD_DELETE)

/* A copy at transaction 1, and three more in the replica: pages change, it grows, and shrinks. */
static inline void fw_prepare(struct fw *w, bool start)
{
    struct wr_follow *f = NULL;
    struct wr_err e = {0};

    fw_init(w, true);
    if (start) {
        T_OK(fw_open(w, &f, &e));
        wr_follow_close(f);
    }
    fw_sql(w, "UPDATE t SET b=randomblob(150) WHERE id % 7 = 3");
    fw_store(w);
    fw_sql(w, "INSERT INTO u VALUES(randomblob(30000))");
    fw_sql(w, "DELETE FROM u; DELETE FROM t WHERE id > 200; VACUUM");
}

/* What is there is a transaction, as SQLite sees it, and from there on it goes to the end. */
static inline void fw_check_after(struct fw *w)
{
    struct wr_follow *f = NULL;
    struct wr_err e = {0};
    uint64_t txid;

    if (file_exists(w->copy))
        fw_check_sqlite(w); /* which rolls back, as any reader may be first */
    T_OK(fw_open(w, &f, &e));
    T_OK(wr_follow_txid_get(wr_fs_posix(), w->copy, &txid, &e));
    T(txid >= 1 && txid <= w->s.n);
    fw_check_is(w, txid);
    fw_store(w);
    T_OK(fw_steps(w, f, &e));
    T(w->told.phase == WR_FOLLOW_CURRENT && w->told.txid == w->s.n);
    fw_check_is(w, w->s.n);
    wr_follow_close(f);
    assert_int_equal(t_names_in(w->dir), 3);
}

#endif
