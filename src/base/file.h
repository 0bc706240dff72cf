/*
 * file.h - files and directories behind a vtable, so that tests can crash the disk.
 *
 * Never used on a database or its -shm (closing any descriptor of those drops every POSIX lock that
 * this process holds on them); src/sqlite reads them through SQLite's own handles.
 *
 * frozen: struct wr_fs. owned: struct wr_file, one thread at a time except wr_file_pread and
 * wr_file_pwrite, which may run concurrently.
 */
#ifndef WR_BASE_FILE_H
#define WR_BASE_FILE_H

#include "base/base.h"
#include "base/status.h"
#include "base/str.h"

enum wr_file_flags {
    WR_FILE_READ = 1,
    WR_FILE_WRITE = 2,
    WR_FILE_CREATE = 4, /* create if absent */
    WR_FILE_EXCL = 8,   /* with CREATE: CONFLICT when it exists; never follows a symbolic link */
    WR_FILE_TRUNC = 16,
    WR_FILE_NOFOLLOW = 32, /* IO when the path itself is a symbolic link; waits for no FIFO */
};

struct wr_file_info {
    uint64_t size;
    uint64_t allocated; /* bytes of the disk that it has; less than `size`: it has holes */
    int64_t mtime_ms;   /* Unix ms */
    int64_t changed_ms; /* bytes, times or names, by the file system's clock; cannot be set */
    uint64_t dev, ino;
    uint32_t mode; /* permission bits and type, as st_mode */
    uint32_t uid, gid;
    uint64_t links; /* names of the file */
    bool is_dir;
};

struct wr_fs;
struct wr_file {
    const struct wr_fs *fs;
};

/* Called once per entry other than "." and "..", in no order. Return false to stop early. */
typedef bool wr_dir_fn(void *arg, const char *name);

/* Slots fail with WR_NOTFOUND for absence, WR_CONFLICT for EXCL, WR_LIMIT for a full disk. */
struct wr_fs {
    enum wr_status (*open)(const struct wr_fs *fs, const char *path, unsigned flags, uint32_t mode,
        struct wr_file **ret, struct wr_err *e);
    void (*close)(struct wr_file *f);
    /* Reads until `n` bytes or the end of file; *got < n only at the end. */
    enum wr_status (*pread)(
        struct wr_file *f, void *buf, size_t n, uint64_t off, size_t *got, struct wr_err *e);
    /* Writes all of it. */
    enum wr_status (*pwrite)(
        struct wr_file *f, const void *buf, size_t n, uint64_t off, struct wr_err *e);
    enum wr_status (*sync)(struct wr_file *f, struct wr_err *e);
    /* Without the file's times, which takes less where only bytes have changed that it had. NULL:
     * there is only the one above. */
    enum wr_status (*sync_data)(struct wr_file *f, struct wr_err *e);
    enum wr_status (*truncate)(struct wr_file *f, uint64_t size, struct wr_err *e);
    enum wr_status (*info)(struct wr_file *f, struct wr_file_info *ret, struct wr_err *e);
    /* Shared read-write mapping of bytes [0, size); the file is at least that long. */
    enum wr_status (*map)(struct wr_file *f, size_t size, void **ret, struct wr_err *e);
    void (*unmap)(struct wr_file *f, void *p, size_t size);
    /* A mapping is not used for a while: it may leave this process's memory, and comes back with
     * what was stored when it is. NULL: it stays. */
    void (*map_idle)(struct wr_file *f, void *p, size_t size);
    /* Start writing a range to disk without waiting (a hint). */
    void (*flush_hint)(struct wr_file *f, uint64_t off, uint64_t n);
    /* Take an advisory whole-file lock without waiting: BUSY when another process has it. The file
     * was opened for writing, or is a directory. A child of fork() has neither the lock nor a use
     * of the file: it is this process's, and free when that has ended. */
    enum wr_status (*lock)(struct wr_file *f, struct wr_err *e);
    enum wr_status (*set_mtime)(struct wr_file *f, int64_t mtime_ms, struct wr_err *e);
    /* IO when this process may not set both; it has then set what it may. */
    enum wr_status (*set_owner)(struct wr_file *f, uint32_t uid, uint32_t gid, struct wr_err *e);
    enum wr_status (*set_mode)(struct wr_file *f, uint32_t mode, struct wr_err *e);

    enum wr_status (*stat)(
        const struct wr_fs *fs, const char *path, struct wr_file_info *ret, struct wr_err *e);
    /* As stat, but of a symbolic link itself. */
    enum wr_status (*lstat)(
        const struct wr_fs *fs, const char *path, struct wr_file_info *ret, struct wr_err *e);
    /* The path of what is there without symbolic links and dots, absolute; the caller frees it. */
    enum wr_status (*resolve)(
        const struct wr_fs *fs, const char *path, char **ret, struct wr_err *e);
    enum wr_status (*rename)(
        const struct wr_fs *fs, const char *from, const char *to, struct wr_err *e);
    /* As rename, but CONFLICT when `to` exists. */
    enum wr_status (*rename_new)(
        const struct wr_fs *fs, const char *from, const char *to, struct wr_err *e);
    enum wr_status (*remove)(const struct wr_fs *fs, const char *path, struct wr_err *e);
    enum wr_status (*mkdir)(
        const struct wr_fs *fs, const char *path, uint32_t mode, struct wr_err *e);
    enum wr_status (*sync_dir)(const struct wr_fs *fs, const char *path, struct wr_err *e);
    enum wr_status (*list)(
        const struct wr_fs *fs, const char *path, wr_dir_fn *fn, void *arg, struct wr_err *e);
};

const struct wr_fs *wr_fs_posix(void);
/* The same, but what root makes belongs to the owner and the group of the directory in which it is
 * made, so that they can go on with it; where it cannot be given away it is root's. So it is where
 * others than the owner may have made that directory, or a symbolic link to it, and where root,
 * without his powers, could not go on with it. Nor does root write through a symbolic link that
 * somebody else has put into his directory, or list what is behind it, but by a path that ends in a
 * slash: IO. */
const struct wr_fs *wr_fs_giving(void);
/* Bytes that a file may have by what this process is allowed. Writing beyond that fails, and ends
 * the process first unless it has something else for SIGXFSZ, which in a library is not ours. */
uint64_t wr_file_size_max(void);

/* One-line forwards to the slots, so that callers read plainly. */
enum wr_status wr_file_open(const struct wr_fs *fs, const char *path, unsigned flags, uint32_t mode,
    struct wr_file **ret, struct wr_err *e) WR_MUST_CHECK;
void wr_file_close(struct wr_file *f); /* NULL-safe */
/* Open a temporary file that another process has made. CONFLICT, without opening it: it is no
 * regular file, or has more names than this one. Opening such a thing could wait for ever, and
 * closing it could drop the POSIX locks of a database that is in use here. */
enum wr_status wr_file_open_temp(const struct wr_fs *fs, const char *path, unsigned flags,
    struct wr_file **ret, struct wr_err *e) WR_MUST_CHECK;
/* Whether a temporary file has another name too, as a kill between link and unlink leaves it. That
 * may be a database that is in use by now, which loses nothing with this name. False for what is no
 * regular file. */
bool wr_file_has_another_name(const struct wr_fs *fs, const char *path);
enum wr_status wr_file_pread(struct wr_file *f, void *buf, size_t n, uint64_t off, size_t *got,
    struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_file_pwrite(
    struct wr_file *f, const void *buf, size_t n, uint64_t off, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_file_sync(struct wr_file *f, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_file_sync_data(struct wr_file *f, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_file_truncate(struct wr_file *f, uint64_t size, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_file_info(
    struct wr_file *f, struct wr_file_info *ret, struct wr_err *e) WR_MUST_CHECK;

/* As pread, but a short read is CORRUPT: "<what>: ends at byte N". */
enum wr_status wr_file_pread_all(struct wr_file *f, void *buf, size_t n, uint64_t off,
    const char *what, struct wr_err *e) WR_MUST_CHECK;

/* The beginning of a file: up to `size` bytes, and *ret_n of them; where they are fewer, that is
 * all. NOTFOUND: there is no file. A directory is IO. */
enum wr_status wr_file_head(const struct wr_fs *fs, const char *path, void *to, size_t size,
    size_t *ret_n, struct wr_err *e) WR_MUST_CHECK;

/* Make the name of a directory durable that somebody has made, and may have died before he did so.
 * Nothing, if this process may not read the directory above it: then it did not make it. */
enum wr_status wr_dir_settle(
    const struct wr_fs *fs, const char *path, struct wr_err *e) WR_MUST_CHECK;

/* Create `path` and its missing parents, each durable in its own parent; existing ones are fine,
 * and the last of them is settled: a process that died may have made it. One fsync for a `path`
 * that is there. CONFLICT when something else has one of the names. */
enum wr_status wr_mkdirs(
    const struct wr_fs *fs, const char *path, uint32_t mode, struct wr_err *e) WR_MUST_CHECK;

/* Replace `path` by `n` bytes: temporary file beside it ("<stem>.tmp-<random>", gone when this
 * fails), fsync, rename, fsync of the directory. When only the last step fails, the new contents
 * may already be in place. */
enum wr_status wr_file_put(const struct wr_fs *fs, const char *path, uint32_t mode, const void *p,
    size_t n, struct wr_err *e) WR_MUST_CHECK;
/* The same, with the owner and group of another file, as far as this process may give it away. */
enum wr_status wr_file_put_for(const struct wr_fs *fs, const char *path, uint32_t mode,
    const struct wr_file_info *owner, const void *p, size_t n, struct wr_err *e) WR_MUST_CHECK;

/* The directory part of `path` ("." when it has none) as a view of it, or of a literal; slashes at
 * the end do not count. */
struct wr_str wr_path_dir(const char *path);
/* The last name of `path`: "b" of "a/b/"; empty for "/" and "". A view of it. */
struct wr_str wr_path_base(const char *path);
/* What names of files beside `path` begin with: its last name, or if that is so long that they
 * might find no room, the beginning of it, "~", and 16 hex digits of its CRC-64. A view of `out`.
 */
#define WR_STEM_MAX 114 /* bytes; some file systems have no more than 143 for a name */
struct wr_str wr_path_stem(const char *path, char out[WR_STEM_MAX + 1]);
/* Whether `path` is the directory `dir`, or below it; by their texts, in which no "." or ".." is.
 */
bool wr_path_within(const char *path, const char *dir);

#endif
