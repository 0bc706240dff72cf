/*
 * entry.c - see entry.h.
 */
#include "vfs/entry.h"

#include "vfs/asked.h"
#include "vfs/file.h"
#include "vfs/say.h"

#include <pthread.h>
#include <stdatomic.h>

#define EXPORT     __attribute__((visibility("default")))
#define SQLITE_MIN 3031000

const sqlite3_api_routines *wr_host_sqlite3;

static sqlite3_vfs *files; /* the default one */

/* ---- sqlite3_vfs ---- */

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
    struct wr_uri u = {.replica_url = NULL};
    struct wr_err e = {0};
    enum wr_status st = WR_OK;

    (void)vfs;
    if (flags & SQLITE_OPEN_MAIN_DB && name)
        st = wr_uri_read(files, name, &u, &e);
    if (st == WR_OK && !u.replica_url)
        return files->xOpen(files, name, f, flags, ret_flags);
    f->pMethods = NULL;
    u.origin.log = wr_say_log();
    if (st == WR_OK)
        st = wr_vfs_file_open(wr_container_of(f, struct wr_vfs_file, base), name, &u, &e);
    if (st != WR_OK) {
        wr_log(u.origin.log, WR_ERROR, "the replica cannot be opened", WR_F_Z("name", name),
            WR_F_Z("reason", e.text));
        return st == WR_NOMEM ? SQLITE_NOMEM : SQLITE_CANTOPEN;
    }
    if (ret_flags)
        *ret_flags = (flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) | SQLITE_OPEN_READONLY;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
    (void)vfs;
    return files->xDelete(files, name, sync_dir);
}

/* A replica has no journal and no WAL, whatever is called so in the directory of its name. SQLite
 * asks with the strings that belong to the name it opened. */
static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
    (void)vfs;
    if (wr_origin_is_sidecar(name)) {
        *ret = 0;
        return SQLITE_OK;
    }
    return files->xAccess(files, name, flags, ret);
}

static int vfs_full(sqlite3_vfs *vfs, const char *name, int n, char *ret)
{
    (void)vfs;
    return files->xFullPathname(files, name, n, ret);
}

static void *vfs_dlopen(sqlite3_vfs *vfs, const char *name)
{
    (void)vfs;
    return files->xDlOpen(files, name);
}

static void vfs_dlerror(sqlite3_vfs *vfs, int n, char *ret)
{
    (void)vfs;
    files->xDlError(files, n, ret);
}

static void (*vfs_dlsym(sqlite3_vfs *vfs, void *handle, const char *name))(void)
{
    (void)vfs;
    return files->xDlSym(files, handle, name);
}

static void vfs_dlclose(sqlite3_vfs *vfs, void *handle)
{
    (void)vfs;
    files->xDlClose(files, handle);
}

static int vfs_random(sqlite3_vfs *vfs, int n, char *ret)
{
    (void)vfs;
    return files->xRandomness(files, n, ret);
}

static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
    (void)vfs;
    return files->xSleep(files, us);
}

static int vfs_time(sqlite3_vfs *vfs, double *ret)
{
    (void)vfs;
    return files->xCurrentTime(files, ret);
}

static int vfs_error(sqlite3_vfs *vfs, int n, char *ret)
{
    (void)vfs;
    return files->xGetLastError(files, n, ret);
}

static int vfs_time64(sqlite3_vfs *vfs, sqlite3_int64 *ret)
{
    (void)vfs;
    return files->xCurrentTimeInt64(files, ret);
}

static sqlite3_vfs ours[] = {{.zName = "weir"}, {.zName = "litestream"}};

static int register_vfs(void)
{
    int rc = SQLITE_OK;

    files = sqlite3_vfs_find(NULL);
    if (!files)
        return SQLITE_ERROR;
    for (size_t i = 0; rc == SQLITE_OK && i < wr_countof(ours); i++) {
        const char *name = ours[i].zName;

        ours[i] = (sqlite3_vfs){.iVersion = wr_min(files->iVersion, 2),
            .szOsFile = wr_max(files->szOsFile, (int)sizeof(struct wr_vfs_file)),
            .mxPathname = files->mxPathname,
            .zName = name,
            .xOpen = vfs_open,
            .xDelete = vfs_delete,
            .xAccess = vfs_access,
            .xFullPathname = vfs_full,
            .xDlOpen = vfs_dlopen,
            .xDlError = vfs_dlerror,
            .xDlSym = vfs_dlsym,
            .xDlClose = vfs_dlclose,
            .xRandomness = vfs_random,
            .xSleep = vfs_sleep,
            .xCurrentTime = vfs_time,
            .xGetLastError = vfs_error,
            .xCurrentTimeInt64 = vfs_time64};
        rc = sqlite3_vfs_register(&ours[i], 0);
    }
    return rc;
}

/* ---- the way in ---- */

/* Of each new connection. It says how it went, or SQLite would take what is in a register for that.
 */
static int on_connection(sqlite3 *db, char **error, const sqlite3_api_routines *api)
{
    (void)error, (void)api;
    return wr_asked_register(db);
}

static const sqlite3_api_routines *_Atomic handed; /* by each SQLite of a process another one */
static int begun;

static void begin(void)
{
    wr_host_sqlite3 = atomic_load(&handed);
    begun = sqlite3_libversion_number() < SQLITE_MIN ? SQLITE_MISUSE : register_vfs();
}

static int enter(sqlite3 *db, char **error, const sqlite3_api_routines *api)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const sqlite3_api_routines *first = NULL;
    int rc;

    if (!atomic_compare_exchange_strong(&handed, &first, api) && first != api) {
        *error =
            api->mprintf("weir: another SQLite of this process has loaded it: one of them can");
        return SQLITE_ERROR;
    }
    (void)pthread_once(&once, begin);
    rc = begun;
    if (rc == SQLITE_OK) /* not only once: a program may have reset those that there were */
        rc = sqlite3_auto_extension((void (*)(void))on_connection);
    if (rc == SQLITE_OK)
        rc = wr_asked_register(db);
    /* BUSY: it has the functions, and they stay while a statement runs, such as the one that calls
     * load_extension(). */
    if (rc == SQLITE_OK || (rc == SQLITE_BUSY && begun == SQLITE_OK))
        return SQLITE_OK_LOAD_PERMANENTLY;
    *error = begun == SQLITE_MISUSE
                 ? sqlite3_mprintf("litestream VFS requires SQLite 3.31.0 or later (found %s)",
                       sqlite3_libversion())
                 : sqlite3_mprintf("weir: the VFS cannot be registered");
    return SQLITE_ERROR;
}

EXPORT int sqlite3_weir_init(sqlite3 *db, char **error, const sqlite3_api_routines *api)
{
    return enter(db, error, api);
}

EXPORT int sqlite3_litestream_init(sqlite3 *db, char **error, const sqlite3_api_routines *api)
{
    return enter(db, error, api);
}

EXPORT int sqlite3_litestreamvfs_init(sqlite3 *db, char **error, const sqlite3_api_routines *api)
{
    return enter(db, error, api);
}
