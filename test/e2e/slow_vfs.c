/*
 * slow_vfs.c - LD_PRELOADed into an application: the moment in which a checkpoint can meet a reset
 * of the WAL becomes milliseconds instead of nanoseconds.
 *
 * SQLite calls xUnfetch(0, NULL) when a checkpoint has read the header of a changed wal-index and
 * not yet looked at how much is done. SQLite before 3.51.3 never notices what other connections do
 * in between.
 */
#include <stddef.h>

#include <sqlite3.h>

#define SLOW_MS_MAX 6

static sqlite3_vfs slow, *base;
static sqlite3_io_methods methods; /* the base's, with our xUnfetch */
static int (*base_unfetch)(sqlite3_file *, sqlite3_int64, void *);

static int slow_unfetch(sqlite3_file *f, sqlite3_int64 off, void *p)
{
    unsigned n;

    if (!p) {
        sqlite3_randomness((int)sizeof(n), &n);
        (void)sqlite3_sleep((int)(n % (SLOW_MS_MAX + 1)));
    }
    return base_unfetch(f, off, p);
}

static int slow_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
    int rc = base->xOpen(base, name, f, flags, out);

    (void)vfs;
    if (rc == SQLITE_OK && (flags & SQLITE_OPEN_MAIN_DB) && f->pMethods->iVersion >= 3) {
        if (!base_unfetch) {
            base_unfetch = f->pMethods->xUnfetch;
            methods = *f->pMethods;
            methods.xUnfetch = slow_unfetch;
        }
        f->pMethods = &methods;
    }
    return rc;
}

__attribute__((constructor)) static void slow_register(void)
{
    if (sqlite3_initialize() != SQLITE_OK)
        return;
    base = sqlite3_vfs_find(NULL);
    slow = *base;
    slow.zName = "slow";
    slow.pNext = NULL;
    slow.xOpen = slow_open;
    (void)sqlite3_vfs_register(&slow, 1);
}
