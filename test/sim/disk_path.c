/*
 * disk_path.c - the slots of disk_fs() that take paths.
 */
#include "sim/disk_int.h"

#include "base/mem.h"

#include <errno.h>

struct wr_file_info disk_info(const struct disk_inode *f)
{
    struct stat s;

    disk_fill_stat(f, &s);
    return (struct wr_file_info){
        .size = (uint64_t)s.st_size,
        .allocated = (uint64_t)s.st_size,
        .mtime_ms = f->mtime_ns / 1000000,
        .changed_ms = f->changed_ns / 1000000,
        .dev = (uint64_t)s.st_dev,
        .ino = (uint64_t)s.st_ino,
        .mode = (uint32_t)s.st_mode,
        .uid = (uint32_t)s.st_uid,
        .gid = (uint32_t)s.st_gid,
        .links = (uint64_t)s.st_nlink,
        .is_dir = disk_is_dir(f),
    };
}

enum wr_status disk_path_stat(
    const struct wr_fs *fs, const char *path, struct wr_file_info *ret, struct wr_err *e)
{
    struct disk_inode *f;
    int err;

    (void)fs;
    sim_yield(DISK_CALL_NS);
    err = disk_walk(path, &f);
    if (err != 0)
        return wr_fail_errno(e, err, "stat %s", path);
    *ret = disk_info(f);
    return WR_OK;
}

enum wr_status disk_path_resolve(
    const struct wr_fs *fs, const char *path, char **ret, struct wr_err *e)
{
    struct wr_file_info info;
    enum wr_status st = disk_path_stat(fs, path, &info, e);

    if (st != WR_OK)
        return st;
    *ret = wr_strndup(path, strlen(path));
    return *ret ? WR_OK : wr_fail(e, WR_NOMEM, "%s: out of memory", path);
}

int disk_stat(const char *path, struct stat *ret)
{
    struct disk_inode *f;
    int err;

    sim_yield(DISK_CALL_NS);
    err = disk_walk(path, &f);
    if (err != 0) {
        errno = err;
        return -1;
    }
    disk_fill_stat(f, ret);
    return 0;
}

enum wr_status disk_path_rename(
    const struct wr_fs *fs, const char *from, const char *to, struct wr_err *e)
{
    int err;

    (void)fs;
    sim_yield(DISK_IO_NS);
    err = disk_rename(from, to, true);
    return err == 0 ? WR_OK : wr_fail_errno(e, err, "rename %s to %s", from, to);
}

enum wr_status disk_path_rename_new(
    const struct wr_fs *fs, const char *from, const char *to, struct wr_err *e)
{
    int err;

    (void)fs;
    sim_yield(DISK_IO_NS);
    err = disk_rename(from, to, false);
    return err == 0 ? WR_OK : wr_fail_errno(e, err, "rename %s to %s", from, to);
}

enum wr_status disk_path_remove(const struct wr_fs *fs, const char *path, struct wr_err *e)
{
    int err;

    (void)fs;
    sim_yield(DISK_IO_NS);
    err = disk_unlink(path);
    return err == 0 ? WR_OK : wr_fail_errno(e, err, "remove %s", path);
}

enum wr_status disk_path_mkdir(
    const struct wr_fs *fs, const char *path, uint32_t mode, struct wr_err *e)
{
    int err;

    (void)fs;
    sim_yield(DISK_IO_NS);
    err = disk_mkdir(path, mode);
    return err == 0 ? WR_OK : wr_fail_errno(e, err, "create directory %s", path);
}

static int walk_to_dir(const char *path, struct disk_inode **ret)
{
    int err = disk_walk(path, ret);

    return err == 0 && !disk_is_dir(*ret) ? ENOTDIR : err;
}

enum wr_status disk_path_sync_dir(const struct wr_fs *fs, const char *path, struct wr_err *e)
{
    struct disk_inode *dir;
    int err;

    (void)fs;
    sim_yield(DISK_CALL_NS);
    err = walk_to_dir(path, &dir);
    if (err != 0)
        return wr_fail_errno(e, err, "open directory %s", path);
    err = disk_fsync(dir);
    return err == 0 ? WR_OK : wr_fail_errno(e, err, "sync directory %s", path);
}

/* Of the names as they are now: `fn` may change them, and let others run. */
enum wr_status disk_path_list(
    const struct wr_fs *fs, const char *path, wr_dir_fn *fn, void *arg, struct wr_err *e)
{
    struct disk_names copy = {0};
    struct disk_inode *dir;
    bool more = true;
    int err;

    (void)fs;
    sim_yield(DISK_IO_NS);
    err = walk_to_dir(path, &dir);
    if (err != 0)
        return wr_fail_errno(e, err, "open directory %s", path);
    for (size_t i = 0; i < dir->names.n; i++)
        disk_names_set(&copy, dir->names.p[i].name, dir->names.p[i].inode);
    for (size_t i = 0; i < copy.n && more; i++)
        more = fn(arg, copy.p[i].name);
    disk_names_clear(&copy);
    return WR_OK;
}
