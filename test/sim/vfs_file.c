/*
 * vfs_file.c - the methods of a file of the simulated VFS: bytes, and the locks of a database file.
 *
 * Nothing is memory-mapped but the wal-index.
 */
#include "sim/vfs_int.h"

#include "sim/tape.h"

#include <errno.h>

#define UNFETCH_MAX_NS 5000000

static struct vfs_file *file_of(sqlite3_file *file)
{
    return (struct vfs_file *)(void *)file;
}

static int file_close(sqlite3_file *file)
{
    sim_yield(DISK_CALL_NS);
    vfs_release(file_of(file));
    file->pMethods = NULL;
    return SQLITE_OK;
}

/* ---- bytes ---- */

static int file_read(sqlite3_file *file, void *p, int n, sqlite3_int64 off)
{
    size_t got = 0;

    sim_yield(DISK_IO_NS);
    if (disk_read(file_of(file)->inode, p, (size_t)n, (uint64_t)off, &got) != 0)
        return SQLITE_IOERR_READ;
    if (got == (size_t)n)
        return SQLITE_OK;
    memset((uint8_t *)p + got, 0, (size_t)n - got); /* SQLite relies on it */
    return SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *file, const void *p, int n, sqlite3_int64 off)
{
    int err;

    sim_yield(DISK_IO_NS);
    err = disk_write(file_of(file)->inode, p, (size_t)n, (uint64_t)off);
    if (err == 0)
        return SQLITE_OK;
    return err == EIO ? SQLITE_IOERR_WRITE : SQLITE_FULL;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    sim_yield(DISK_IO_NS);
    return disk_truncate(file_of(file)->inode, (uint64_t)size) == 0 ? SQLITE_OK
                                                                    : SQLITE_IOERR_TRUNCATE;
}

static int file_sync(sqlite3_file *file, int flags)
{
    struct vfs_file *f = file_of(file);

    (void)flags;
    sim_yield(DISK_CALL_NS);
    if (disk_fsync(f->inode) != 0)
        return SQLITE_IOERR_FSYNC;
    if (f->sync_dir) {
        f->sync_dir = false;
        (void)disk_fsync_parent(f->path); /* os_unix.c does not look at the outcome either */
    }
    return SQLITE_OK;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    sim_yield(DISK_CALL_NS);
    *ret = (sqlite3_int64)file_of(file)->inode->size;
    return SQLITE_OK;
}

/* ---- locks ---- */

static int level_of(const struct vfs_file *f)
{
    if (f->locks & LOCK_EXCLUSIVE)
        return SQLITE_LOCK_EXCLUSIVE;
    if (f->locks & LOCK_PENDING)
        return SQLITE_LOCK_PENDING;
    if (f->locks & LOCK_RESERVED)
        return SQLITE_LOCK_RESERVED;
    return f->locks & LOCK_SHARED ? SQLITE_LOCK_SHARED : SQLITE_LOCK_NONE;
}

static unsigned locks_of_others(const struct vfs_file *f)
{
    unsigned locks = 0;

    for (const struct vfs_file *o = vfs_files; o; o = o->next) {
        if (o != f && o->inode == f->inode)
            locks |= o->locks;
    }
    return locks;
}

/* One of the others has one of `locks`. */
static int refuse(const struct vfs_file *f, unsigned locks)
{
    const struct vfs_file *o = vfs_files;

    while (o == f || o->inode != f->inode || !(o->locks & locks))
        o = o->next;
    vfs_wait_refused(f->inode, o->proc);
    return SQLITE_BUSY;
}

/* Whoever cannot have EXCLUSIVE yet keeps PENDING, so that no new reader gets in its way. */
static int lock_exclusive(struct vfs_file *f, unsigned others)
{
    if (others & LOCK_PENDING)
        return refuse(f, LOCK_PENDING);
    f->locks |= LOCK_PENDING;
    if (others & LOCK_SHARED)
        return refuse(f, LOCK_SHARED);
    f->locks |= LOCK_EXCLUSIVE;
    return SQLITE_OK;
}

static int file_lock(sqlite3_file *file, int level)
{
    struct vfs_file *f = file_of(file);
    unsigned others, against;

    assert(level != SQLITE_LOCK_PENDING);

    sim_yield(DISK_CALL_NS);
    if (level_of(f) >= level)
        return SQLITE_OK;
    others = locks_of_others(f);
    if (level == SQLITE_LOCK_EXCLUSIVE)
        return lock_exclusive(f, others);
    against = level == SQLITE_LOCK_SHARED ? LOCK_PENDING : LOCK_RESERVED;
    if (others & against)
        return refuse(f, against);
    f->locks |= level == SQLITE_LOCK_SHARED ? LOCK_SHARED : LOCK_RESERVED;
    return SQLITE_OK;
}

static int file_unlock(sqlite3_file *file, int level)
{
    struct vfs_file *f = file_of(file);

    assert(level <= SQLITE_LOCK_SHARED);

    sim_yield(DISK_CALL_NS);
    if (level_of(f) <= level)
        return SQLITE_OK;

    bool was_exclusive = f->locks & LOCK_EXCLUSIVE;
    f->locks = level == SQLITE_LOCK_SHARED ? LOCK_SHARED : 0;
    vfs_wait_let_go(f->inode);
    if (was_exclusive)
        vfs_tell_writer_gone(f);
    return SQLITE_OK;
}

static int file_check_reserved(sqlite3_file *file, int *ret)
{
    struct vfs_file *f = file_of(file);

    sim_yield(DISK_CALL_NS);
    *ret = (f->locks | locks_of_others(f)) & LOCK_RESERVED || level_of(f) > SQLITE_LOCK_SHARED;
    return SQLITE_OK;
}

/* ---- the rest ---- */

static bool has_moved(const struct vfs_file *f)
{
    struct disk_inode *now;

    return disk_walk(f->path, &now) != 0 || now != f->inode;
}

/* Negative asks; otherwise it is set. */
static void flag(bool *flag, int *arg)
{
    if (*arg < 0)
        *arg = *flag;
    else
        *flag = *arg != 0;
}

static int file_control(sqlite3_file *file, int op, void *arg)
{
    struct vfs_file *f = file_of(file);

    sim_yield(DISK_CALL_NS);
    switch (op) {
    case SQLITE_FCNTL_LOCKSTATE:
        *(int *)arg = level_of(f);
        return SQLITE_OK;
    case SQLITE_FCNTL_LAST_ERRNO:
        *(int *)arg = 0;
        return SQLITE_OK;
    case SQLITE_FCNTL_SIZE_HINT: /* as os_unix.c without a chunk size */
    case SQLITE_FCNTL_CHUNK_SIZE:
        return SQLITE_OK;
    case SQLITE_FCNTL_PERSIST_WAL:
        flag(&f->persist_wal, arg);
        return SQLITE_OK;
    case SQLITE_FCNTL_POWERSAFE_OVERWRITE:
        flag(&f->powersafe, arg);
        return SQLITE_OK;
    case SQLITE_FCNTL_VFSNAME:
        *(char **)arg = sqlite3_mprintf("%s", "sim");
        return SQLITE_OK;
    case SQLITE_FCNTL_HAS_MOVED:
        *(int *)arg = f->path && has_moved(f);
        return SQLITE_OK;
    default:
        return SQLITE_NOTFOUND;
    }
}

static int file_sector_size(sqlite3_file *file)
{
    (void)file;
    sim_yield(DISK_CALL_NS);
    return (int)disk.sector;
}

static int file_device(sqlite3_file *file)
{
    sim_yield(DISK_CALL_NS);
    return file_of(file)->powersafe ? SQLITE_IOCAP_POWERSAFE_OVERWRITE : 0;
}

static int file_fetch(sqlite3_file *file, sqlite3_int64 off, int n, void **ret)
{
    (void)file;
    (void)off;
    (void)n;
    *ret = NULL; /* SQLite reads instead */
    return SQLITE_OK;
}

static int file_unfetch(sqlite3_file *file, sqlite3_int64 off, void *p)
{
    (void)file;
    (void)off;
    (void)p;
    sim_sleep((int64_t)tape_between(1, UNFETCH_MAX_NS));
    return SQLITE_OK;
}

#define METHODS(version)                                                                         \
    {                                                                                            \
        .iVersion = (version), .xClose = file_close, .xRead = file_read, .xWrite = file_write,   \
        .xTruncate = file_truncate, .xSync = file_sync, .xFileSize = file_size,                  \
        .xLock = file_lock, .xUnlock = file_unlock, .xCheckReservedLock = file_check_reserved,   \
        .xFileControl = file_control, .xSectorSize = file_sector_size,                           \
        .xDeviceCharacteristics = file_device, .xShmMap = vfs_shm_map, .xShmLock = vfs_shm_lock, \
        .xShmBarrier = vfs_shm_barrier, .xShmUnmap = vfs_shm_unmap, .xFetch = file_fetch,        \
        .xUnfetch = file_unfetch                                                                 \
    }

/* SQLite does not look at the last two in version 2. */
const sqlite3_io_methods vfs_methods = METHODS(2), vfs_methods_unfetch = METHODS(3);
