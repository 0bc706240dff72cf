/*
 * disk_fs.c - struct wr_fs over the simulated disk: the product's own system calls on open files.
 *
 * Statuses and texts are those of file_posix.c. Every slot lets others run first, so that a kill
 * strikes between any two of them; what follows happens at one moment.
 */
#include "sim/disk_int.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

struct open_file {
    struct wr_file file;
    struct disk_inode *inode;
    struct sim_proc *proc;
    struct open_file *next;
    unsigned flags;
    char *path; /* for messages */
};

static struct open_file *open_files; /* newest first */

static struct open_file *open_of(struct wr_file *f)
{
    assert(f->fs == disk_fs());

    return wr_container_of(f, struct open_file, file);
}

static struct {
    const char *path;
    uint32_t every, n;
} rot;

void disk_rot(const char *path, uint32_t every)
{
    rot.path = path;
    rot.every = every;
}

/* Nothing is drawn for it: a run that knows no rot lives as it did before. */
static void let_rot(const struct open_file *f, uint8_t *p, size_t n)
{
    const size_t len = rot.every > 0 ? strlen(rot.path) : 0;

    if (len == 0 || n == 0 || strncmp(f->path, rot.path, len) != 0 || f->path[len] != '/')
        return;
    if (++rot.n % rot.every != 0)
        return;
    p[(size_t)rot.n * 7919 % n] ^= (uint8_t)(1u << rot.n % 8);
    disk_counts.rotten++;
    sim_trace("%s rots", f->path);
}

/* ---- open files ---- */

static enum wr_status fs_open(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    int how = flags & WR_FILE_CREATE ? O_CREAT : 0;
    struct disk_inode *inode;
    int err;

    assert(flags & (WR_FILE_READ | WR_FILE_WRITE));
    assert(!(flags & WR_FILE_EXCL) || flags & WR_FILE_CREATE);

    sim_yield(DISK_IO_NS);
    how |= flags & WR_FILE_EXCL ? O_EXCL : 0;
    how |= flags & WR_FILE_TRUNC ? O_TRUNC : 0;
    err = disk_open(path, how, mode, &inode);
    if (err != 0)
        return wr_fail_errno(e, err, "open %s", path);

    struct open_file *f = disk_resize_mem(NULL, sizeof(*f));
    *f = (struct open_file){.file.fs = fs,
        .inode = inode,
        .proc = sim_proc_current(),
        .next = open_files,
        .flags = flags,
        .path = disk_copy_name(path, strlen(path))};
    open_files = f;
    *ret = &f->file;
    return WR_OK;
}

static void forget(struct open_file *f)
{
    struct open_file **at = &open_files;

    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    if (f->inode->lock_by == f)
        f->inode->lock_by = NULL;
    disk_unref(f->inode);
    disk_free_mem(f->path);
    disk_free_mem(f);
}

static void fs_close(struct wr_file *file)
{
    struct open_file *f = open_of(file);

    sim_yield(DISK_CALL_NS);
    if (disk_posix_locked && disk_posix_locked(f->proc, f->inode))
        sim_fail("T-LOCK: closing %s drops the locks that SQLite has on it", f->path);
    forget(f);
}

static void close_all(struct sim_proc *p)
{
    struct open_file *f = open_files, *next;

    for (; f; f = next) {
        next = f->next;
        if (f->proc == p)
            forget(f);
    }
}

void disk_fs_init(void)
{
    sim_at_exit(close_all);
}

bool disk_fs_any_open(void)
{
    return open_files != NULL;
}

/* ---- bytes ---- */

static bool offset_fits(uint64_t off, uint64_t n)
{
    return off <= INT64_MAX && n <= INT64_MAX - off;
}

static enum wr_status fs_pread(
    struct wr_file *file, void *buf, size_t n, uint64_t off, size_t *got, struct wr_err *e)
{
    struct open_file *f = open_of(file);
    int err;

    sim_yield(DISK_IO_NS);
    if (!offset_fits(off, n))
        return wr_fail(e, WR_LIMIT, "read %s: offset out of range", f->path);
    err = f->flags & WR_FILE_READ ? disk_read(f->inode, buf, n, off, got) : EBADF;
    if (err != 0)
        return wr_fail_errno(e, err, "read %s at %" PRIu64, f->path, off);
    let_rot(f, buf, *got);
    return WR_OK;
}

static enum wr_status fs_pwrite(
    struct wr_file *file, const void *buf, size_t n, uint64_t off, struct wr_err *e)
{
    struct open_file *f = open_of(file);
    int err;

    sim_yield(DISK_IO_NS);
    if (!offset_fits(off, n))
        return wr_fail(e, WR_LIMIT, "write %s: offset out of range", f->path);
    err = f->flags & WR_FILE_WRITE ? disk_write(f->inode, buf, n, off) : EBADF;
    if (err != 0)
        return wr_fail_errno(e, err, "write %s at %" PRIu64, f->path, off);
    return WR_OK;
}

static enum wr_status fs_sync(struct wr_file *file, struct wr_err *e)
{
    struct open_file *f = open_of(file);
    int err;

    sim_yield(DISK_CALL_NS);
    err = disk_fsync(f->inode);
    return err == 0 ? WR_OK : wr_fail_errno(e, err, "sync %s", f->path);
}

static enum wr_status fs_truncate(struct wr_file *file, uint64_t size, struct wr_err *e)
{
    struct open_file *f = open_of(file);
    int err;

    sim_yield(DISK_IO_NS);
    if (!offset_fits(size, 0))
        return wr_fail(e, WR_LIMIT, "truncate %s: size out of range", f->path);
    err = f->flags & WR_FILE_WRITE ? disk_truncate(f->inode, size) : EINVAL;
    return err == 0 ? WR_OK : wr_fail_errno(e, err, "truncate %s", f->path);
}

static enum wr_status fs_map(struct wr_file *file, size_t size, void **ret, struct wr_err *e)
{
    struct open_file *f = open_of(file);
    int err;

    sim_yield(DISK_CALL_NS);
    err = disk_map(f->inode, size, ret);
    return err == 0 ? WR_OK : wr_fail_errno(e, err, "map %s", f->path);
}

static void fs_unmap(struct wr_file *file, void *p, size_t size)
{
    (void)file;
    (void)p;
    (void)size;
    sim_yield(DISK_CALL_NS); /* the bytes stay where they are as long as there is the file */
}

static void fs_flush_hint(struct wr_file *file, uint64_t off, uint64_t n)
{
    (void)file;
    (void)off;
    (void)n;
    sim_yield(DISK_CALL_NS); /* write-back is the disk's own affair */
}

static enum wr_status fs_lock(struct wr_file *file, struct wr_err *e)
{
    struct open_file *f = open_of(file);

    sim_yield(DISK_CALL_NS);
    if (f->inode->lock_by && f->inode->lock_by != f)
        return wr_fail(e, WR_BUSY, "lock %s: held by another process", f->path);
    f->inode->lock_by = f;
    return WR_OK;
}

/* ---- what is known about a file ---- */

static enum wr_status fs_info(struct wr_file *file, struct wr_file_info *ret, struct wr_err *e)
{
    struct open_file *f = open_of(file);

    (void)e;
    sim_yield(DISK_CALL_NS);
    *ret = disk_info(f->inode);
    return WR_OK;
}

static enum wr_status fs_set_mtime(struct wr_file *file, int64_t mtime_ms, struct wr_err *e)
{
    struct open_file *f = open_of(file);

    (void)e;
    sim_yield(DISK_CALL_NS);
    f->inode->mtime_ns = mtime_ms * 1000000;
    disk_note_change(f->inode);
    return WR_OK;
}

static enum wr_status fs_set_owner(
    struct wr_file *file, uint32_t uid, uint32_t gid, struct wr_err *e)
{
    struct open_file *f = open_of(file);

    (void)e;
    sim_yield(DISK_CALL_NS);
    f->inode->uid = uid;
    f->inode->gid = gid;
    disk_note_change(f->inode);
    return WR_OK;
}

static enum wr_status fs_set_mode(struct wr_file *file, uint32_t mode, struct wr_err *e)
{
    struct open_file *f = open_of(file);

    (void)e;
    sim_yield(DISK_CALL_NS);
    f->inode->mode = (f->inode->mode & S_IFMT) | (mode & 07777);
    disk_note_change(f->inode);
    return WR_OK;
}

const struct wr_fs *disk_fs(void)
{
    static const struct wr_fs fs = {
        .open = fs_open,
        .close = fs_close,
        .pread = fs_pread,
        .pwrite = fs_pwrite,
        .sync = fs_sync,
        .truncate = fs_truncate,
        .info = fs_info,
        .map = fs_map,
        .unmap = fs_unmap,
        .flush_hint = fs_flush_hint,
        .lock = fs_lock,
        .set_mtime = fs_set_mtime,
        .set_owner = fs_set_owner,
        .set_mode = fs_set_mode,
        .stat = disk_path_stat,
        .lstat = disk_path_stat, /* no symbolic links */
        .resolve = disk_path_resolve,
        .rename = disk_path_rename,
        .rename_new = disk_path_rename_new,
        .remove = disk_path_remove,
        .mkdir = disk_path_mkdir,
        .sync_dir = disk_path_sync_dir,
        .list = disk_path_list,
    };

    return &fs;
}
