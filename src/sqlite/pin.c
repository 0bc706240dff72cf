/*
 * pin.c - see pin.h. Knows the slots of xShmLock; refuses to know what they protect.
 */
#include "sqlite/pin.h"

#include "base/mutant.h"

#include <pthread.h>

struct pin_file {
    sqlite3_file base;   /* must be first: SQLite casts */
    unsigned pinned;     /* bit per slot kept */
    sqlite3_file real[]; /* the wrapped VFS's own file, szOsFile bytes of it */
};

static sqlite3_vfs pin_vfs, mark_vfs;
static sqlite3_vfs *pin_base; /* the VFS below; set once, before pin_vfs is registered */
static pthread_once_t pin_once = PTHREAD_ONCE_INIT;
static int pin_rc;

static sqlite3_file *below(sqlite3_file *f)
{
    return ((struct pin_file *)(void *)f)->real;
}

static int pin_close(sqlite3_file *f)
{
    return below(f)->pMethods->xClose(below(f));
}

static int pin_read(sqlite3_file *f, void *p, int n, sqlite3_int64 off)
{
    return below(f)->pMethods->xRead(below(f), p, n, off);
}

static int pin_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 off)
{
    return below(f)->pMethods->xWrite(below(f), p, n, off);
}

static int pin_truncate(sqlite3_file *f, sqlite3_int64 n)
{
    return below(f)->pMethods->xTruncate(below(f), n);
}

static int pin_sync(sqlite3_file *f, int flags)
{
    return below(f)->pMethods->xSync(below(f), flags);
}

static int pin_size(sqlite3_file *f, sqlite3_int64 *n)
{
    return below(f)->pMethods->xFileSize(below(f), n);
}

static int pin_lock(sqlite3_file *f, int level)
{
    return below(f)->pMethods->xLock(below(f), level);
}

static int pin_unlock(sqlite3_file *f, int level)
{
    return below(f)->pMethods->xUnlock(below(f), level);
}

static int pin_reserved(sqlite3_file *f, int *out)
{
    return below(f)->pMethods->xCheckReservedLock(below(f), out);
}

static int pin_control(sqlite3_file *f, int op, void *arg)
{
    return below(f)->pMethods->xFileControl(below(f), op, arg);
}

static int pin_sector(sqlite3_file *f)
{
    return below(f)->pMethods->xSectorSize(below(f));
}

static int pin_device(sqlite3_file *f)
{
    return below(f)->pMethods->xDeviceCharacteristics(below(f));
}

static int pin_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **pp)
{
    return below(f)->pMethods->xShmMap(below(f), page, size, extend, pp);
}

/* Forward each run of slots in [first, first+n) that is not pinned. Index recovery locks slots 1..2
 * in one call (walIndexRecover), hence runs and not a comparison for equality. */
static int pin_shm_lock(sqlite3_file *f, int first, int n, int flags)
{
    struct pin_file *p = (struct pin_file *)(void *)f;
    sqlite3_file *r = below(f);
    int done = first; /* slots before it are locked as asked */

    if (!p->pinned || !(flags & SQLITE_SHM_EXCLUSIVE))
        return r->pMethods->xShmLock(r, first, n, flags);

    for (int i = first; i < first + n;) {
        int run = 0;

        while (i + run < first + n && !(p->pinned & 1u << (i + run)))
            run++;
        if (run > 0) {
            int rc = r->pMethods->xShmLock(r, i, run, flags);

            if (rc != SQLITE_OK) {
                /* A failed lock of a range holds nothing of it: undo the earlier runs. */
                if (flags & SQLITE_SHM_LOCK) {
                    for (int j = done; j < i; j++) {
                        if (!(p->pinned & 1u << j))
                            (void)r->pMethods->xShmLock(
                                r, j, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
                    }
                }
                return rc;
            }
        }
        i += run > 0 ? run : 1;
    }
    return SQLITE_OK;
}

static void pin_shm_barrier(sqlite3_file *f)
{
    below(f)->pMethods->xShmBarrier(below(f));
}

static int pin_shm_unmap(sqlite3_file *f, int remove)
{
    return below(f)->pMethods->xShmUnmap(below(f), remove);
}

#define PIN_METHODS                                                                             \
    .xClose = pin_close, .xRead = pin_read, .xWrite = pin_write, .xTruncate = pin_truncate,     \
    .xSync = pin_sync, .xFileSize = pin_size, .xLock = pin_lock, .xUnlock = pin_unlock,         \
    .xCheckReservedLock = pin_reserved, .xFileControl = pin_control, .xSectorSize = pin_sector, \
    .xDeviceCharacteristics = pin_device

/* Version 2: without xFetch nothing of the database is ever mapped through the shim. */
static const sqlite3_io_methods pin_methods = {.iVersion = 2,
    PIN_METHODS,
    .xShmMap = pin_shm_map,
    .xShmLock = pin_shm_lock,
    .xShmBarrier = pin_shm_barrier,
    .xShmUnmap = pin_shm_unmap};

/* Over a VFS without shared memory: SQLite must see that WAL mode is impossible. */
static const sqlite3_io_methods plain_methods = {.iVersion = 1, PIN_METHODS};

static int pin_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
    struct pin_file *p = (struct pin_file *)(void *)f;
    int rc;

    (void)vfs;
    p->base.pMethods = NULL;
    p->pinned = 0;
    rc = pin_base->xOpen(pin_base, name, p->real, flags, out);
    if (p->real->pMethods) {
        bool shm = p->real->pMethods->iVersion >= 2 && p->real->pMethods->xShmMap;

        p->base.pMethods = shm ? &pin_methods : &plain_methods;
    }
    return rc;
}

static int mark_sleep(sqlite3_vfs *vfs, int microseconds)
{
    (void)vfs;
    return microseconds;
}

static void pin_register_once(void)
{
    pin_base = sqlite3_vfs_find(NULL);
    if (!pin_base) {
        pin_rc = SQLITE_ERROR;
        return;
    }
    /* The other methods are called with our sqlite3_vfs; its copy of pAppData and mxPathname is
     * all that the unix VFS looks at. */
    pin_vfs = *pin_base;
    pin_vfs.zName = WR_PIN_VFS;
    pin_vfs.pNext = NULL;
    pin_vfs.szOsFile = pin_base->szOsFile + (int)sizeof(struct pin_file);
    pin_vfs.xOpen = pin_open;
    (void)sqlite3_vfs_register(&pin_vfs, 0); /* fails only where SQLite was not initialized */
    mark_vfs = *pin_base;
    mark_vfs.zName = WR_MARK_VFS;
    mark_vfs.pNext = NULL;
    mark_vfs.xSleep = mark_sleep;
    (void)sqlite3_vfs_register(&mark_vfs, 0);
}

enum wr_status wr_pin_register(struct wr_err *e)
{
    int rc = sqlite3_initialize();

    if (rc == SQLITE_OK) {
        (void)pthread_once(&pin_once, pin_register_once);
        rc = pin_rc;
    }
    if (rc != SQLITE_OK)
        return wr_fail(e, WR_INTERNAL, "SQLite has no usable VFS: %s", sqlite3_errstr(rc));
    return WR_OK;
}

enum wr_status wr_pin_take(sqlite3_file *f, enum wr_pin_slot slot, struct wr_err *e)
{
    struct pin_file *p = (struct pin_file *)(void *)f;
    sqlite3_file *r = below(f);
    int rc;

    assert(p->base.pMethods == &pin_methods);
    assert(!(p->pinned & 1u << slot));
    rc = r->pMethods->xShmLock(r, (int)slot, 1, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE);
    if (rc == SQLITE_BUSY)
        return WR_BUSY;
    if (rc != SQLITE_OK)
        return wr_fail(e, WR_IO, "lock the wal-index: %s", sqlite3_errstr(rc));
    p->pinned |= 1u << slot;
    if (WR_MUTANT(NO_PIN) && slot == WR_SLOT_CKPT)
        (void)r->pMethods->xShmLock(r, (int)slot, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
    return WR_OK;
}

void wr_pin_give(sqlite3_file *f, enum wr_pin_slot slot)
{
    struct pin_file *p = (struct pin_file *)(void *)f;
    sqlite3_file *r = below(f);

    if (!(p->pinned & 1u << slot))
        return;
    p->pinned &= ~(1u << slot);
    (void)r->pMethods->xShmLock(r, (int)slot, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
}

bool wr_pin_has(sqlite3_file *f, enum wr_pin_slot slot)
{
    return ((struct pin_file *)(void *)f)->pinned & 1u << slot;
}

bool wr_pin_in_use(sqlite3_file *f, int slot)
{
    sqlite3_file *r = below(f);

    if (r->pMethods->xShmLock(r, slot, 1, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE) != SQLITE_OK)
        return true;
    (void)r->pMethods->xShmLock(r, slot, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
    return false;
}
