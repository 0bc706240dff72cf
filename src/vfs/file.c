/*
 * file.c - see file.h.
 */
#include "vfs/file.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "vfs/asked.h"
#include "vfs/pagemap.h"

#define SECTOR 4096

/* Where in page 1 the header has what is shown otherwise (https://sqlite.org/fileformat.html). */
#define AT_VERSIONS 18 /* of the format: 2 2 in WAL mode, else 1 1 */
#define AT_COUNTER  24 /* of changes; the size in pages follows */
#define AT_VALID    92 /* the counter for which that size holds */

/* Distinct for up to 2^32 transactions of one epoch. */
static uint32_t counter_of(const struct wr_pagemap_about *about)
{
    return (uint32_t)about->txid * UINT32_C(2654435761) + (uint32_t)about->epoch * UINT32_C(40503) +
           about->apart;
}

/* Replace, of the `n` bytes that were read at `off`, those that belong to [at, at + size). */
static void overlay(
    uint8_t *buf, uint64_t off, size_t n, uint64_t at, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (at + i >= off && at + i < off + n)
            buf[at + i - off] = bytes[i];
    }
}

static void show_header(uint8_t *buf, uint64_t off, size_t n, const struct wr_pagemap_about *about)
{
    static const uint8_t versions[2] = {1, 1};
    uint8_t counter[4], commit[4];

    wr_put_be32(counter, counter_of(about));
    wr_put_be32(commit, about->commit);
    overlay(buf, off, n, AT_VERSIONS, versions, sizeof(versions));
    overlay(buf, off, n, AT_COUNTER, counter, sizeof(counter));
    overlay(buf, off, n, AT_COUNTER + 4, commit, sizeof(commit));
    overlay(buf, off, n, AT_VALID, counter, sizeof(counter));
}

static struct wr_vfs_file *mine(sqlite3_file *f)
{
    return wr_container_of(f, struct wr_vfs_file, base);
}

struct wr_pagemap *wr_vfs_file_state(struct wr_vfs_file *f)
{
    if (!wr_origin_mine(f->origin))
        return NULL;
    if (f->reader.map)
        return wr_pagemap_hold(f->reader.map);
    return f->past ? wr_pagemap_hold(f->past) : wr_origin_newest(f->origin);
}

static int refuse(struct wr_vfs_file *f, enum wr_status st, const struct wr_err *why)
{
    f->why = *why;
    wr_log(f->log, WR_ERROR, "a page of the replica cannot be read",
        WR_F_STR("replica", wr_origin_name(f->origin)), WR_F_Z("reason", why->text));
    return st == WR_NOMEM     ? SQLITE_IOERR_NOMEM
           : st == WR_CORRUPT ? SQLITE_IOERR_CORRUPTFS
                              : SQLITE_IOERR_READ;
}

static int refuse_child(struct wr_vfs_file *f)
{
    static const struct wr_err why = {.code = WR_MISUSE,
        .text = "the database was opened before fork(): open it again in this process"};

    return refuse(f, WR_MISUSE, &why);
}

/* ---- sqlite3_io_methods ---- */

static int file_close(sqlite3_file *file)
{
    struct wr_vfs_file *f = mine(file);

    if (wr_origin_mine(f->origin)) {
        wr_origin_reader_end(f->origin, &f->reader);
        wr_pagemap_drop(f->past);
        wr_origin_close(f->origin);
    }
    f->base.pMethods = NULL;
    return SQLITE_OK;
}

static int read_pages(struct wr_vfs_file *f, const struct wr_pagemap_about *about, uint8_t *buf,
    size_t n, uint64_t off)
{
    size_t done = 0;

    while (done < n) {
        uint64_t at = off + done;
        size_t in = (size_t)(at % about->page_size);
        size_t take = wr_min(n - done, (size_t)about->page_size - in);
        struct wr_err e = {0};
        enum wr_status st = wr_origin_read(
            f->origin, &f->reader, (uint32_t)(at / about->page_size) + 1, in, buf + done, take, &e);

        if (st != WR_OK)
            return refuse(f, st, &e);
        done += take;
    }
    show_header(buf, off, n, about);
    return SQLITE_OK;
}

static int file_read(sqlite3_file *file, void *buf, int amount, sqlite3_int64 offset)
{
    struct wr_vfs_file *f = mine(file);
    uint64_t off = (uint64_t)offset, size, n = (uint64_t)amount;
    bool held = f->reader.map != NULL;
    struct wr_pagemap_about about;
    int rc;

    if (!wr_origin_mine(f->origin))
        return refuse_child(f);
    if (!held) /* SQLite looks at the header before it takes a lock */
        f->reader.map = wr_vfs_file_state(f);
    about = *wr_pagemap_about(f->reader.map);
    size = (uint64_t)about.commit * about.page_size;
    n = off >= size ? 0 : wr_min(n, size - off);
    rc = read_pages(f, &about, buf, (size_t)n, off);
    if (rc == SQLITE_OK && n < (uint64_t)amount) {
        memset((uint8_t *)buf + n, 0, (size_t)((uint64_t)amount - n));
        rc = SQLITE_IOERR_SHORT_READ;
    }
    if (!held) {
        wr_pagemap_drop(f->reader.map);
        f->reader.map = NULL;
    }
    return rc;
}

static int file_write(sqlite3_file *f, const void *buf, int n, sqlite3_int64 off)
{
    (void)f, (void)buf, (void)n, (void)off;
    return SQLITE_READONLY;
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    (void)f, (void)size;
    return SQLITE_READONLY;
}

static int file_sync(sqlite3_file *f, int flags)
{
    (void)f, (void)flags;
    return SQLITE_OK;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    struct wr_vfs_file *f = mine(file);
    struct wr_pagemap *m = wr_vfs_file_state(f);
    const struct wr_pagemap_about *about;

    if (!m)
        return refuse_child(f);
    about = wr_pagemap_about(m);
    *ret = (sqlite3_int64)about->commit * about->page_size;
    wr_pagemap_drop(m);
    return SQLITE_OK;
}

static int file_lock(sqlite3_file *file, int lock)
{
    struct wr_vfs_file *f = mine(file);

    if (lock > SQLITE_LOCK_SHARED)
        return SQLITE_READONLY;
    if (!wr_origin_mine(f->origin))
        return refuse_child(f);
    if (!f->reader.map) {
        f->reader.map = wr_vfs_file_state(f);
        f->why.code = WR_OK;
    }
    f->lock = wr_max(f->lock, lock);
    return SQLITE_OK;
}

static int file_unlock(sqlite3_file *file, int lock)
{
    struct wr_vfs_file *f = mine(file);

    if (lock == SQLITE_LOCK_NONE && !f->fixed && wr_origin_mine(f->origin)) {
        wr_pagemap_drop(f->reader.map);
        f->reader.map = NULL;
    }
    f->lock = lock;
    return SQLITE_OK;
}

static int file_check_reserved(sqlite3_file *f, int *ret)
{
    (void)f;
    *ret = 0;
    return SQLITE_OK;
}

/* As of SQLite's own files, a size below 0 only asks. */
static void file_map(struct wr_vfs_file *f, sqlite3_int64 *size)
{
    sqlite3_int64 was = f->mmap_size;

    if (*size >= 0)
        f->mmap_size = *size;
    *size = was;
    if (f->mmap_size > 0 && wr_origin_mine(f->origin))
        wr_origin_map(f->origin);
}

static int file_control(sqlite3_file *file, int op, void *arg)
{
    struct wr_vfs_file *f = mine(file);

    switch (op) {
    case SQLITE_FCNTL_PRAGMA:
        return wr_asked_pragma(f, arg);
    case SQLITE_FCNTL_VFSNAME:
        *(char **)arg = sqlite3_mprintf("weir");
        return SQLITE_OK;
    case SQLITE_FCNTL_MMAP_SIZE:
        file_map(f, arg);
        return SQLITE_OK;
    case SQLITE_FCNTL_HAS_MOVED:
        *(int *)arg = 0;
        return SQLITE_OK;
    default:
        return SQLITE_NOTFOUND;
    }
}

static int file_sector(sqlite3_file *f)
{
    (void)f;
    return SECTOR;
}

static int file_device(sqlite3_file *f)
{
    (void)f;
    return 0;
}

/* A pointer to a page would have to stay what it is while a local copy goes on to newer states. */
static int file_fetch(sqlite3_file *f, sqlite3_int64 off, int n, void **ret)
{
    (void)f, (void)off, (void)n;
    *ret = NULL; /* then it is read */
    return SQLITE_OK;
}

static int file_unfetch(sqlite3_file *f, sqlite3_int64 off, void *page)
{
    (void)f, (void)off, (void)page;
    return SQLITE_OK;
}

const sqlite3_io_methods wr_vfs_file_methods = {
    .iVersion = 3, /* to be told of mmap_size. No wal-index: a replica is never in WAL mode */
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_device,
    .xFetch = file_fetch,
    .xUnfetch = file_unfetch,
};

/* ---- opening, and travelling ---- */

enum wr_status wr_vfs_file_open(
    struct wr_vfs_file *f, const char *name, const struct wr_uri *u, struct wr_err *e)
{
    enum wr_status st;

    *f =
        (struct wr_vfs_file){.fixed = u->fixed, .open_ms = u->origin.open_ms, .log = u->origin.log};
    st = wr_origin_open(u->replica_url, &u->origin, &f->origin, e);
    if (st != WR_OK)
        return st;
    if (u->txid || u->time_ms)
        st = wr_origin_at(f->origin, u->txid, u->time_ms, f->open_ms, &f->past, e);
    if (st != WR_OK) {
        wr_origin_close(f->origin);
        return st;
    }
    wr_origin_reader_begin(f->origin, &f->reader, sqlite3_filename_journal(name),
        sqlite3_filename_wal(name), u->fetch_ms);
    if (f->fixed)
        f->reader.map = wr_vfs_file_state(f);
    f->base.pMethods = &wr_vfs_file_methods;
    return WR_OK;
}

enum wr_status wr_vfs_file_go(
    struct wr_vfs_file *f, uint64_t txid, int64_t time_ms, struct wr_err *e)
{
    struct wr_pagemap *m = NULL;
    enum wr_status st = WR_OK;

    if (!wr_origin_mine(f->origin))
        return wr_fail(e, WR_MISUSE, "the database was opened before fork()");
    if (f->lock != SQLITE_LOCK_NONE || f->fixed)
        return wr_fail(e, WR_BUSY, "cannot change time inside a transaction");
    if (txid || time_ms)
        st = wr_origin_at(f->origin, txid, time_ms, f->open_ms, &m, e);
    if (st != WR_OK)
        return st;
    wr_pagemap_drop(f->past);
    f->past = m;
    return WR_OK;
}
