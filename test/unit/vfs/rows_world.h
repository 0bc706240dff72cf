/*
 * rows_world.h - a database as the only snapshot of a replica in memory, which the SQLite of this
 * process reads by wr_pages_read: what its queries cost in requests is what is counted. Each page
 * is compared with the database's own.
 */
#ifndef WR_TEST_ROWS_WORLD_H
#define WR_TEST_ROWS_WORLD_H

#include "unit/engine/restore_world.h"
#include "vfs/head.h"
#include "vfs/pagecache.h"
#include "vfs/pagemap.h"
#include "vfs/pages.h"

#include <sqlite3.h>

struct rows_world {
    struct world w;
    struct wr_rand r;
    struct story s;
    const char *path;
    struct wr_pagecache *cache;
    struct wr_pages *pages;
    struct wr_pagemap *map;
    struct wr_pages_reader reader;
    sqlite3_vfs vfs;
    sqlite3 *db;
    uint64_t reads;       /* pages that SQLite read */
    uint32_t trace[1000]; /* whole ones, the first since rows_world_open */
    size_t n_trace;
};

struct rows_file {
    sqlite3_file base;
    struct rows_world *x;
};

static int rw_close(sqlite3_file *f)
{
    f->pMethods = NULL;
    return SQLITE_OK;
}

static int rw_read(sqlite3_file *f, void *buf, int n, sqlite3_int64 off)
{
    struct rows_world *x = ((struct rows_file *)f)->x;
    uint32_t size = x->s.page_size, pgno = (uint32_t)(off / size) + 1;
    struct wr_err e = {0};

    T_OK(wr_pages_read(
        x->pages, t_call(), x->map, &x->reader, pgno, (size_t)(off % size), buf, (size_t)n, &e));
    T(memcmp(buf, story_page(&x->s, 1, pgno) + off % size, (size_t)n) == 0);
    x->reads++;
    if (n == (int)size && x->n_trace < wr_countof(x->trace))
        x->trace[x->n_trace++] = pgno;
    return SQLITE_OK;
}

static int rw_write(sqlite3_file *f, const void *buf, int n, sqlite3_int64 off)
{
    (void)f, (void)buf, (void)n, (void)off;
    return SQLITE_READONLY;
}

static int rw_truncate(sqlite3_file *f, sqlite3_int64 n)
{
    (void)f, (void)n;
    return SQLITE_READONLY;
}

static int rw_nothing(sqlite3_file *f, int n)
{
    (void)f, (void)n;
    return SQLITE_OK;
}

static int rw_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    struct rows_world *x = ((struct rows_file *)f)->x;

    *ret = (sqlite3_int64)x->s.page_size * x->s.image[1].commit;
    return SQLITE_OK;
}

static int rw_reserved(sqlite3_file *f, int *ret)
{
    (void)f;
    *ret = 0;
    return SQLITE_OK;
}

static int rw_control(sqlite3_file *f, int op, void *arg)
{
    (void)f, (void)op, (void)arg;
    return SQLITE_NOTFOUND;
}

static int rw_zero(sqlite3_file *f)
{
    (void)f;
    return 0;
}

static int rw_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
    static const sqlite3_io_methods methods = {.iVersion = 1,
        .xClose = rw_close,
        .xRead = rw_read,
        .xWrite = rw_write,
        .xTruncate = rw_truncate,
        .xSync = rw_nothing,
        .xFileSize = rw_size,
        .xLock = rw_nothing,
        .xUnlock = rw_nothing,
        .xCheckReservedLock = rw_reserved,
        .xFileControl = rw_control,
        .xSectorSize = rw_zero,
        .xDeviceCharacteristics = rw_zero};
    struct rows_file *file = (struct rows_file *)f;

    (void)name;
    if (!(flags & SQLITE_OPEN_MAIN_DB))
        return SQLITE_CANTOPEN;
    *file = (struct rows_file){.base.pMethods = &methods, .x = vfs->pAppData};
    if (ret_flags)
        *ret_flags = SQLITE_OPEN_READONLY;
    return SQLITE_OK;
}

static int rw_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
    (void)vfs, (void)name, (void)flags;
    *ret = 0;
    return SQLITE_OK;
}

/* The replica has the database as it is in memory now. */
static inline void rows_world_load(struct rows_world *x)
{
    struct wr_err e = {0};

    story_sum(&x->s);
    story_put(&x->s, &x->w, 9, 1, 1);
    wr_pagemap_drop(x->map);
    T_OK(wr_head_at(x->w.storage, x->cache, WR_LTX_LOCK_OFFSET, t_call(), NULL, 1, 0, &x->map, &e));
}

/* The database that `sql` makes of an empty one. */
static inline void rows_world_init(
    struct rows_world *x, uint32_t page_size, uint64_t cache_bytes, const char *sql)
{
    struct image *is;
    struct wr_bytes b;
    struct wr_err e = {0};
    sqlite3 *db = NULL;
    char pragma[100], *text = NULL;

    memset(x, 0, sizeof(*x));
    wr_rand_init(&x->r, t_seed());
    world_init(&x->w, 0, "");
    story_init(&x->s, &x->r, page_size, WR_LTX_LOCK_OFFSET, 1 << 20, true);
    x->path = t_path(t_tmpdir(), "db");
    (void)snprintf(
        pragma, sizeof(pragma), "PRAGMA page_size=%u; PRAGMA synchronous=off", page_size);
    T(sqlite3_open(x->path, &db) == SQLITE_OK);
    T(sqlite3_exec(db, pragma, NULL, NULL, NULL) == SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &text) != SQLITE_OK)
        print_error("%s\n", text);
    T(!text);
    (void)sqlite3_close(db);
    b = t_slurp(x->path);
    x->s.n = 1;
    is = &x->s.image[1];
    is->commit = (uint32_t)(b.n / page_size);
    is->data = wr_alloc(b.n);
    is->changed = wr_alloc((size_t)is->commit + 1);
    T(is->data && is->changed);
    memcpy(is->data, b.p, b.n);
    memset(is->changed, 1, (size_t)is->commit + 1);
    T_OK(wr_pagecache_new(cache_bytes, &x->cache, &e));
    T_OK(wr_pages_new(x->w.storage, x->cache, &x->pages, &e));
    rows_world_load(x);
    x->vfs = *sqlite3_vfs_find(NULL);
    x->vfs.iVersion = 1;
    x->vfs.szOsFile = sizeof(struct rows_file);
    x->vfs.zName = "rows";
    x->vfs.pAppData = x;
    x->vfs.xOpen = rw_open;
    x->vfs.xAccess = rw_access;
    T(sqlite3_vfs_register(&x->vfs, 0) == SQLITE_OK);
}

static inline void rows_world_close(struct rows_world *x)
{
    (void)sqlite3_close(x->db);
    x->db = NULL;
    wr_pages_reader_release(&x->reader);
}

/* As one that has just opened it: with nothing in any cache but its schema. */
static inline void rows_world_open(struct rows_world *x, uint64_t cache_bytes)
{
    rows_world_close(x);
    x->n_trace = 0;
    wr_pagecache_clear(x->cache);
    wr_pagecache_grow(x->cache, cache_bytes);
    T(sqlite3_open_v2(x->path, &x->db, SQLITE_OPEN_READONLY, "rows") == SQLITE_OK);
    T(sqlite3_exec(x->db, "SELECT count(*) FROM sqlite_master", NULL, NULL, NULL) == SQLITE_OK);
}

/* The same after the database has changed. */
static inline void rows_world_again(struct rows_world *x, uint64_t cache_bytes)
{
    rows_world_close(x);
    rows_world_load(x);
    rows_world_open(x, cache_bytes);
}

static inline void rows_world_release(struct rows_world *x)
{
    rows_world_close(x);
    T(sqlite3_vfs_unregister(&x->vfs) == SQLITE_OK);
    wr_pagemap_drop(x->map);
    wr_pages_free(x->pages);
    wr_pagecache_free(x->cache);
    story_release(&x->s);
    world_release(&x->w);
}

/* What a query costs: pages that were read by it, times that it waited, requests, pages in them. */
struct rows_cost {
    uint64_t reads, flights, fetches, pages;
    sqlite3_int64 answer;
};

static inline struct rows_cost rows_world_ask(struct rows_world *x, const char *sql)
{
    struct wr_pages_counts was, is;
    struct rows_cost c = {.reads = x->reads};
    sqlite3_stmt *stmt = NULL;

    wr_pages_counts(x->pages, &was);
    T(sqlite3_prepare_v2(x->db, sql, -1, &stmt, NULL) == SQLITE_OK);
    T(sqlite3_step(stmt) == SQLITE_ROW);
    c.answer = sqlite3_column_int64(stmt, 0);
    T(sqlite3_finalize(stmt) == SQLITE_OK);
    wr_pages_counts(x->pages, &is);
    c.reads = x->reads - c.reads;
    c.flights = is.flights - was.flights;
    c.fetches = is.fetches - was.fetches;
    c.pages = is.pages - was.pages;
    return c;
}

/* Whatever comes of it. */
static inline void rows_world_try(struct rows_world *x, const char *sql)
{
    (void)sqlite3_exec(x->db, sql, NULL, NULL, NULL);
}

#endif
