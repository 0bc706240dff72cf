/*
 * vfs_world.h - for the tests of the extension: a database whose every commit is a transaction of a
 * replica in a directory, and connections of the same process that read that.
 */
#ifndef WR_TEST_VFS_WORLD_H
#define WR_TEST_VFS_WORLD_H

#include "unit/engine/restore_world.h"

#include <sqlite3.h>
#include <unistd.h>

#define VW_PAGES 6000u

int sqlite3_weir_init(sqlite3 *db, char **error, const struct sqlite3_api_routines *api);

struct vw {
    struct story s;
    struct wr_rand random;
    const char *dir, *source; /* of the replica; of the database */
    struct wr_storage *storage;
    sqlite3 *app;
};

static const struct sqlite3_api_routines *_Atomic vw_api; /* that SQLite hands out, in any thread */

/* SQLite takes all but 0 for a failure here. */
static inline int vw_entry(sqlite3 *db, char **error, const struct sqlite3_api_routines *api)
{
    int rc = sqlite3_weir_init(db, error, api);

    vw_api = api;
    return rc == SQLITE_OK_LOAD_PERMANENTLY ? SQLITE_OK : rc;
}

/* Once a process: as if each connection had loaded it. */
static inline void vw_load(void)
{
    sqlite3 *db = NULL;

    T(sqlite3_auto_extension((void (*)(void))vw_entry) == SQLITE_OK);
    T(sqlite3_open(":memory:", &db) == SQLITE_OK);
    (void)sqlite3_close(db);
}

static inline void vw_exec(sqlite3 *db, const char *sql)
{
    char *text = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK) {
        print_error("%s: %s\n", sql, text);
        T(!"SQL failed");
    }
}

/* The first column of the first row, valid until the next call. */
static inline const char *vw_ask(sqlite3 *db, const char *sql)
{
    static char answer[1000];
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        (void)snprintf(answer, sizeof(answer), "%s",
            sqlite3_column_type(stmt, 0) == SQLITE_NULL
                ? "NULL"
                : (const char *)sqlite3_column_text(stmt, 0));
    else
        (void)snprintf(answer, sizeof(answer), "error: %s", sqlite3_errmsg(db));
    (void)sqlite3_finalize(stmt);
    return answer;
}

static inline void vw_store(struct vw *w, unsigned level, uint64_t min, uint64_t max)
{
    struct wr_call *c = t_call();
    const struct wr_put_opts o = {.time_ms = (int64_t)max * 1000};
    struct wr_str key = wr_layout_ltx_key(c->scratch, w->storage, level, min, max);
    struct wr_buf b;
    struct wr_err e = {0};

    wr_buf_init(&b, (size_t)1 << 28);
    story_file(&w->s, min, max, &b);
    T_OK(wr_storage_put(w->storage, c, key, wr_buf_bytes(&b), &o, &e));
    wr_buf_release(&b);
}

static inline void vw_delete(struct vw *w, unsigned level, uint64_t min, uint64_t max)
{
    struct wr_str key = wr_layout_ltx_key(t_call()->scratch, w->storage, level, min, max);
    struct wr_err e = {0};

    T_OK(wr_storage_remove(w->storage, t_call(), &key, 1, &e));
}

/* What the database is now becomes the next transaction, as one that is in WAL mode. */
static inline void vw_take(struct vw *w)
{
    struct wr_bytes b = t_slurp(w->source);
    uint32_t page_size = w->s.page_size, commit = (uint32_t)(b.n / page_size);
    const struct image *was = &w->s.image[w->s.n];
    struct image *is = &w->s.image[++w->s.n];

    T(w->s.n <= STORY_MAX && commit > 0 && commit <= VW_PAGES);
    is->commit = commit;
    is->data = wr_alloc(b.n);
    is->changed = wr_alloc((size_t)VW_PAGES + 1);
    T(is->data && is->changed);
    memcpy(is->data, b.p, b.n);
    is->data[18] = is->data[19] = 2;
    for (uint32_t pgno = 1; pgno <= commit; pgno++) {
        size_t off = (size_t)(pgno - 1) * page_size;

        is->changed[pgno] =
            pgno > was->commit || memcmp(is->data + off, was->data + off, page_size) != 0;
    }
    if (w->s.rolling)
        story_sum(&w->s);
}

/* One more transaction, in a file of level 0. */
static inline void vw_commit(struct vw *w, const char *sql)
{
    vw_exec(w->app, sql);
    vw_take(w);
    vw_store(w, 0, w->s.n, w->s.n);
}

/* Another database under the same name, that begins anew. */
static inline void vw_begin(struct vw *w, uint32_t page_size, bool rolling)
{
    char pragma[100];

    (void)unlink(w->source);
    story_init(&w->s, &w->random, page_size, WR_LTX_LOCK_OFFSET, VW_PAGES, rolling);
    T(sqlite3_open(w->source, &w->app) == SQLITE_OK);
    (void)snprintf(pragma, sizeof(pragma),
        "PRAGMA page_size=%u; PRAGMA synchronous=off; PRAGMA journal_mode=memory", page_size);
    vw_exec(w->app, pragma);
    vw_exec(w->app, "CREATE TABLE t(id INTEGER PRIMARY KEY, n, b); CREATE INDEX tn ON t(n);"
                    "CREATE TABLE u(a);"
                    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<500)"
                    " INSERT INTO t SELECT i, i*7919 % 500, randomblob(150) FROM c");
    vw_take(w);
    vw_store(w, 9, 1, 1);
}

static inline void vw_end(struct vw *w)
{
    (void)sqlite3_close(w->app);
    story_release(&w->s);
}

static inline void vw_init(struct vw *w, uint32_t page_size, bool rolling)
{
    char url[500];
    struct wr_err e = {0};

    *w = (struct vw){.dir = t_tmpdir(), .source = t_path(t_tmpdir(), "source")};
    wr_rand_init(&w->random, t_seed());
    (void)snprintf(url, sizeof(url), "file://%s", w->dir);
    T_OK(wr_storage_open(wr_str(url), NULL, &w->storage, &e));
    vw_begin(w, page_size, rolling);
}

static inline void vw_release(struct vw *w)
{
    vw_end(w);
    wr_storage_close(w->storage);
}

/* SQLITE_OK, or what sqlite3_open_v2 says. `more`: "&key=value...". */
static inline int vw_try(struct vw *w, const char *more, sqlite3 **ret)
{
    char name[2500];

    (void)snprintf(name, sizeof(name), "file:replica.db?vfs=weir&replica_url=file://%s%s%s", w->dir,
        more, strstr(more, "poll_interval") ? "" : "&poll_interval=10ms");
    return sqlite3_open_v2(name, ret, SQLITE_OPEN_READWRITE | SQLITE_OPEN_URI, NULL);
}

static inline sqlite3 *vw_open(struct vw *w, const char *more)
{
    sqlite3 *db = NULL;
    int rc = vw_try(w, more, &db);

    if (rc != SQLITE_OK)
        print_error("%s\n", sqlite3_errmsg(db));
    T(rc == SQLITE_OK);
    return db;
}

static inline const char *vw_hex(uint64_t txid)
{
    static char text[20];

    (void)snprintf(text, sizeof(text), "%016llx", (unsigned long long)txid);
    return text;
}

/* Until the replica's newest transaction is what a new read sees. */
static inline void vw_await(struct vw *w, sqlite3 *db)
{
    for (int i = 0; i < 500; i++) {
        (void)vw_ask(db, "SELECT count(*) FROM sqlite_master");
        if (strcmp(vw_ask(db, "SELECT weir_txid()"), vw_hex(w->s.n)) == 0)
            return;
        t_sleep_ms(10);
    }
    T(!"the newest transaction was not seen");
}

#define VW_ALL                                                                                   \
    "SELECT (SELECT group_concat(id||':'||n||':'||hex(substr(b,1,4)),',') FROM"                  \
    " (SELECT * FROM t ORDER BY n,id LIMIT 20)) || (SELECT count(*)||' '||total(length(b)) FROM" \
    " t) || (SELECT count(*)||' '||coalesce(max(length(a)),0) FROM u)"

/* The connection reads what the database has, and finds nothing wrong with it. */
static inline void vw_same(struct vw *w, sqlite3 *db)
{
    char want[1000];

    (void)snprintf(want, sizeof(want), "%s", vw_ask(w->app, VW_ALL));
    assert_string_equal(vw_ask(db, VW_ALL), want);
    assert_string_equal(vw_ask(db, "PRAGMA integrity_check"), "ok");
}

#endif
