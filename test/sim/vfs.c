/*
 * vfs.c - the simulated VFS itself: opening, names, time; and what becomes of a dead process.
 */
#include "sim/vfs_int.h"

#include "base/rand.h"
#include "sim/tape.h"

#include <errno.h>
#include <fcntl.h>

#define PATH_LEN_MAX    1024
#define JULIAN_EPOCH_MS INT64_C(210866760000000) /* 1970-01-01 in SQLite's count */
#define DAY_MS          86400000.0

struct vfs_file *vfs_files;
bool vfs_unfetch;
void (*vfs_on_writer_gone)(const char *db_path);

/* ---- open files ---- */

static void list_file(struct vfs_file *f)
{
    struct vfs_file **at = &vfs_files;

    while (*at)
        at = &(*at)->next;
    *at = f;
}

void vfs_tell_writer_gone(const struct vfs_file *f)
{
    if (vfs_on_writer_gone && f->path)
        vfs_on_writer_gone(f->path);
}

void vfs_release(struct vfs_file *f)
{
    struct vfs_file **at = &vfs_files;
    bool was_exclusive = f->locks & LOCK_EXCLUSIVE;

    vfs_shm_detach(f);
    f->locks = 0;
    vfs_wait_let_go(f->inode);
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    disk_unref(f->inode);
    if (was_exclusive)
        vfs_tell_writer_gone(f);
}

/* SQLite's own objects of a dead process stay behind; nobody ever calls them again. */
static void release_all(struct sim_proc *p)
{
    struct vfs_file *f = vfs_files, *next;

    for (; f; f = next) {
        next = f->next;
        if (f->proc == p)
            vfs_release(f);
    }
}

static bool posix_locked(const struct sim_proc *p, const struct disk_inode *inode)
{
    for (const struct vfs_file *f = vfs_files; f; f = f->next) {
        if (f->proc == p && ((f->inode == inode && f->locks) || vfs_shm_is(f, inode)))
            return true;
    }
    return false;
}

bool vfs_has_locks(const struct sim_proc *p, const char *path)
{
    struct disk_inode *inode;

    return disk_walk(path, &inode) == 0 && posix_locked(p, inode);
}

/* A WAL or journal gets the permissions of its database, "<database>-wal". */
static uint32_t mode_for(const char *path, int flags)
{
    struct disk_inode *db = NULL;

    if (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) {
        const char *dash = strrchr(path, '-');
        char *db_path = disk_copy_name(path, dash ? (size_t)(dash - path) : 0);
        int err = disk_walk(db_path, &db);

        disk_free_mem(db_path);
        if (err == 0)
            return db->mode & 0777;
    }
    return flags & SQLITE_OPEN_DELETEONCLOSE ? 0600 : 0644;
}

static int open_inode(const char *path, int flags, struct disk_inode **ret)
{
    int how = flags & SQLITE_OPEN_CREATE ? O_CREAT : 0;
    int err;

    if (!path) { /* a temporary file, which nobody else can find */
        *ret = disk_inode_new(S_IFREG | 0600);
        disk_ref(*ret);
        return SQLITE_OK;
    }
    how |= flags & SQLITE_OPEN_EXCLUSIVE ? O_EXCL : 0;
    err = disk_open(path, how, mode_for(path, flags), ret);
    if (err == EISDIR)
        return SQLITE_CANTOPEN_ISDIR;
    if (err != 0)
        return SQLITE_CANTOPEN;
    if (flags & SQLITE_OPEN_DELETEONCLOSE)
        (void)disk_unlink(path); /* it was there a moment ago */
    return SQLITE_OK;
}

static int sim_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *out)
{
    const int journals = SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL;
    struct vfs_file *f = (struct vfs_file *)(void *)file;
    struct disk_inode *inode;
    int rc;

    (void)vfs;
    file->pMethods = NULL;
    sim_yield(DISK_IO_NS);
    rc = open_inode(path, flags, &inode);
    if (rc != SQLITE_OK)
        return rc;
    *f = (struct vfs_file){
        .base.pMethods = vfs_unfetch ? &vfs_methods_unfetch : &vfs_methods,
        .inode = inode,
        .proc = sim_proc_current(),
        .path = path,
        .sync_dir = path && flags & SQLITE_OPEN_CREATE && flags & journals,
        .powersafe = disk.powersafe,
    };
    list_file(f);
    if (out)
        *out = flags;
    return SQLITE_OK;
}

/* ---- names ---- */

static int sim_delete(sqlite3_vfs *vfs, const char *path, int sync_dir)
{
    int err;

    (void)vfs;
    sim_yield(DISK_IO_NS);
    err = disk_unlink(path);
    if (err == ENOENT)
        return SQLITE_IOERR_DELETE_NOENT;
    if (err != 0)
        return SQLITE_IOERR_DELETE;
    if (sync_dir && disk_fsync_parent(path) != 0)
        return SQLITE_IOERR_DIR_FSYNC;
    return SQLITE_OK;
}

/* As in os_unix.c, an empty file does not exist: it is no hot journal. */
static int sim_access(sqlite3_vfs *vfs, const char *path, int flags, int *ret)
{
    struct disk_inode *f;

    (void)vfs;
    sim_yield(DISK_CALL_NS);
    *ret = disk_walk(path, &f) == 0 &&
           (flags != SQLITE_ACCESS_EXISTS || disk_is_dir(f) || f->size > 0);
    return SQLITE_OK;
}

static int sim_full_pathname(sqlite3_vfs *vfs, const char *path, int n, char *out)
{
    int len;

    (void)vfs;
    sim_yield(DISK_CALL_NS);
    len = snprintf(out, (size_t)n, "%s%s", path[0] == '/' ? "" : "/", path);
    return len >= 0 && len < n ? SQLITE_OK : SQLITE_CANTOPEN;
}

/* ---- chance and time ---- */

/* No system call worth a switch: SQLite asks once in a run. An exhausted tape still gives every
 * call something else. */
static int sim_randomness(sqlite3_vfs *vfs, int n, char *out)
{
    static uint64_t calls;
    struct wr_rand r;

    (void)vfs;
    wr_rand_init(&r, calls++ << 32 | tape_below(UINT32_MAX));
    wr_rand_fill(&r, out, (size_t)n);
    return n;
}

static int sim_sleep_us(sqlite3_vfs *vfs, int us)
{
    int64_t since = sim_now_ns();

    (void)vfs;
    sim_sleep((int64_t)us * 1000);
    vfs_wait_slept(since);
    return us;
}

static int sim_time_ms(sqlite3_vfs *vfs, sqlite3_int64 *ret)
{
    (void)vfs;
    *ret = JULIAN_EPOCH_MS + SIM_EPOCH_MS + sim_now_ns() / 1000000;
    return SQLITE_OK;
}

static int sim_time_days(sqlite3_vfs *vfs, double *ret)
{
    sqlite3_int64 ms;
    int rc = sim_time_ms(vfs, &ms);

    *ret = (double)ms / DAY_MS;
    return rc;
}

static int sim_last_error(sqlite3_vfs *vfs, int n, char *out)
{
    (void)vfs;
    (void)n;
    (void)out;
    return 0;
}

void vfs_register(void)
{
    static sqlite3_vfs vfs = {
        .iVersion = 2,
        .szOsFile = sizeof(struct vfs_file),
        .mxPathname = PATH_LEN_MAX,
        .zName = "sim",
        .xOpen = sim_open,
        .xDelete = sim_delete,
        .xAccess = sim_access,
        .xFullPathname = sim_full_pathname,
        .xRandomness = sim_randomness,
        .xSleep = sim_sleep_us,
        .xCurrentTime = sim_time_days,
        .xGetLastError = sim_last_error,
        .xCurrentTimeInt64 = sim_time_ms,
    };

    if (sqlite3_vfs_register(&vfs, 1) != SQLITE_OK)
        sim_fail("SQLite does not take the simulated VFS");
    disk_posix_locked = posix_locked;
    sim_at_exit(release_all);
}
