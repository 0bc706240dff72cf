/*
 * bad_vfs.h - the default VFS of this process, over the system's own, with faults: the nth call
 * from now on fails, or something happens before it.
 */
#ifndef WR_TEST_BAD_VFS_H
#define WR_TEST_BAD_VFS_H

#include "base/base.h"
#include "harness/t.h"

#include <sqlite3.h>

/* What counts as a call. */
enum {
    BAD_OPEN = 1,
    BAD_READ = 2,
    BAD_WRITE = 4, /* truncate is one */
    BAD_SYNC = 8,
    BAD_SIZE = 16,
    BAD_LOCK = 32,
    BAD_SHM_MAP = 64,
    BAD_SHM_LOCK = 128, /* unlocking is none */
    BAD_MALLOC = 256,   /* of SQLite's; it gives nothing, whatever `rc` */
    BAD_ALL = 511,
    BAD_DELETE = 512 /* not among ALL */
};

static struct {
    sqlite3_vfs vfs, *below;
    unsigned calls; /* which ones count */
    int nth;        /* of them, from 1; 0: none */
    int rc;         /* what it gives; SQLITE_OK: it goes on */
    bool fired;
    void (*before)(void *arg); /* it, or NULL */
    void *arg;
    void (*at_barrier)(volatile void *index); /* a memory barrier, or NULL; the wal-index */
    bool no_shm;                              /* files that are opened now have no shared memory */
    sqlite3_mem_methods mem;
} bad;

struct bad_file {
    sqlite3_file base;
    sqlite3_file below[];
};

static inline sqlite3_file *bad_below(sqlite3_file *f)
{
    return ((struct bad_file *)(void *)f)->below;
}

static inline int bad_now(unsigned call)
{
    if (!(call & bad.calls) || bad.nth == 0 || --bad.nth > 0)
        return SQLITE_OK;
    bad.fired = true;
    if (bad.before)
        bad.before(bad.arg);
    return bad.rc;
}

#define BAD_CALL(call, method, ...)                                                 \
    {                                                                               \
        int rc = bad_now(call);                                                     \
        return rc ? rc : bad_below(f)->pMethods->method(bad_below(f), __VA_ARGS__); \
    }

static inline int bad_close(sqlite3_file *f)
{
    return bad_below(f)->pMethods->xClose(bad_below(f));
}
static inline int bad_read(sqlite3_file *f, void *p, int n, sqlite3_int64 off)
    BAD_CALL(BAD_READ, xRead, p, n, off) static inline int bad_write(
        sqlite3_file *f, const void *p, int n, sqlite3_int64 off) BAD_CALL(BAD_WRITE, xWrite, p, n,
        off) static inline int bad_truncate(sqlite3_file *f, sqlite3_int64 n)
        BAD_CALL(BAD_WRITE, xTruncate, n) static inline int bad_sync(sqlite3_file *f, int flags)
{
    (void)f; /* no power is cut here */
    (void)flags;
    return bad_now(BAD_SYNC);
}
static inline int bad_size(sqlite3_file *f, sqlite3_int64 *n)
    BAD_CALL(BAD_SIZE, xFileSize, n) static inline int bad_lock(sqlite3_file *f, int level)
        BAD_CALL(BAD_LOCK, xLock, level) static inline int bad_unlock(sqlite3_file *f, int level)
            BAD_CALL(0, xUnlock, level) static inline int bad_reserved(sqlite3_file *f, int *out)
                BAD_CALL(BAD_LOCK, xCheckReservedLock, out) static inline int bad_control(
                    sqlite3_file *f, int op, void *arg)
                    BAD_CALL(0, xFileControl, op, arg) static inline int bad_sector(sqlite3_file *f)
{
    return bad_below(f)->pMethods->xSectorSize(bad_below(f));
}
static inline int bad_device(sqlite3_file *f)
{
    return bad_below(f)->pMethods->xDeviceCharacteristics(bad_below(f));
}
static inline int bad_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **pp)
    BAD_CALL(BAD_SHM_MAP, xShmMap, page, size, extend, pp) static inline int bad_shm_lock(
        sqlite3_file *f, int first, int n, int flags)
        BAD_CALL(flags &SQLITE_SHM_LOCK ? BAD_SHM_LOCK : 0, xShmLock, first, n, flags)

            static inline void bad_shm_barrier(sqlite3_file *f)
{
    volatile void *index = NULL;

    bad_below(f)->pMethods->xShmBarrier(bad_below(f));
    if (bad.at_barrier &&
        bad_below(f)->pMethods->xShmMap(bad_below(f), 0, 32768, 0, &index) == SQLITE_OK && index)
        bad.at_barrier(index);
}
static inline int bad_shm_unmap(sqlite3_file *f, int remove) BAD_CALL(0, xShmUnmap, remove)

#define BAD_METHODS                                                                             \
    .xClose = bad_close, .xRead = bad_read, .xWrite = bad_write, .xTruncate = bad_truncate,     \
    .xSync = bad_sync, .xFileSize = bad_size, .xLock = bad_lock, .xUnlock = bad_unlock,         \
    .xCheckReservedLock = bad_reserved, .xFileControl = bad_control, .xSectorSize = bad_sector, \
    .xDeviceCharacteristics = bad_device

    static inline int bad_open(
        sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
    static const sqlite3_io_methods with_shm = {.iVersion = 2,
        BAD_METHODS,
        .xShmMap = bad_shm_map,
        .xShmLock = bad_shm_lock,
        .xShmBarrier = bad_shm_barrier,
        .xShmUnmap = bad_shm_unmap};
    static const sqlite3_io_methods without = {.iVersion = 1, BAD_METHODS};
    int rc = bad_now(BAD_OPEN);

    (void)vfs;
    f->pMethods = NULL;
    if (rc != SQLITE_OK)
        return rc;
    rc = bad.below->xOpen(bad.below, name, bad_below(f), flags, out);
    if (bad_below(f)->pMethods)
        f->pMethods = bad.no_shm ? &without : &with_shm;
    return rc;
}

static inline int bad_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
    int rc = bad_now(BAD_DELETE);

    (void)vfs;
    return rc ? rc : bad.below->xDelete(bad.below, name, sync_dir);
}

static inline void *bad_malloc(int n)
{
    return bad_now(BAD_MALLOC) ? NULL : bad.mem.xMalloc(n);
}

static inline void *bad_realloc(void *p, int n)
{
    return bad_now(BAD_MALLOC) ? NULL : bad.mem.xRealloc(p, n);
}

/* To be called by each test, before anything else. */
static inline void bad_install(void)
{
    if (!bad.below) {
        sqlite3_mem_methods mem;

        T(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &bad.mem) == SQLITE_OK);
        mem = bad.mem;
        mem.xMalloc = bad_malloc;
        mem.xRealloc = bad_realloc;
        T(sqlite3_config(SQLITE_CONFIG_MALLOC, &mem) == SQLITE_OK);
        bad.below = sqlite3_vfs_find(NULL);
        bad.vfs = *bad.below;
        bad.vfs.zName = "bad";
        bad.vfs.pNext = NULL;
        bad.vfs.szOsFile += (int)sizeof(struct bad_file);
        bad.vfs.xOpen = bad_open;
        bad.vfs.xDelete = bad_delete;
        T(sqlite3_vfs_register(&bad.vfs, 1) == SQLITE_OK);
    }
    bad.nth = 0;
    bad.before = NULL;
    bad.at_barrier = NULL;
    bad.no_shm = false;
}

/* The nth of these calls gives `rc`. */
static inline void bad_set(unsigned calls, int nth, int rc)
{
    bad.calls = calls;
    bad.nth = nth;
    bad.rc = rc;
    bad.fired = false;
}

#endif
