/*
 * file_posix.c - the real file system behind struct wr_fs. Knows system calls and errno; refuses to
 * know what is in a file or in what order things must become durable.
 *
 * errno stays in here: every slot answers with a status and a text that names the path.
 */
#ifdef __linux__
/* Open file description locks, sync_file_range and renameat2 are Linux's own. */
#define _GNU_SOURCE 1 /* NOLINT(bugprone-reserved-identifier) */
#endif

#include "base/file_posix.h"

#include "base/mem.h"
#include "base/unforked.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Linux moves at most 2 GiB - 4 KiB a call, and so do we, a round number below it. */
#define IO_MAX ((size_t)1 << 30)

struct posix_file {
    struct wr_file file;
    int fd;
    bool locked;
    bool flocked;                /* a directory: by flock(2) */
    struct wr_unforked unforked; /* if it is */
    char path[];                 /* for messages */
};

static struct posix_file *posix_of(struct wr_file *f)
{
    assert(f->fs == wr_fs_posix());

    return wr_container_of(f, struct posix_file, file);
}

/* A program that has no standard output, as it was started without or has closed it, goes on to
 * write there: what it says must not be in one of our files. */
static int above_standard(int fd)
{
    int other;

    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    other = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (other < 0) {
        int why = errno;

        (void)close(fd);
        errno = why;
        return -1;
    }
    (void)close(fd); /* it has been opened a moment ago, and nothing was written */
    return other;
}

int wr_posix_openat(int dir, const char *path, int flags, mode_t mode)
{
    int fd;

    do
        fd = openat(dir, path, flags | O_CLOEXEC | O_NOCTTY, mode);
    while (fd < 0 && errno == EINTR);
    return above_standard(fd);
}

static int open_fd(const char *path, int flags, mode_t mode)
{
    return wr_posix_openat(AT_FDCWD, path, flags, mode);
}

static int open_flags(unsigned flags)
{
    int how = O_RDONLY;

    if (flags & WR_FILE_WRITE)
        how = flags & WR_FILE_READ ? O_RDWR : O_WRONLY;
    if (flags & WR_FILE_CREATE)
        how |= O_CREAT;
    if (flags & WR_FILE_EXCL)
        how |= O_EXCL | O_NOFOLLOW;
    if (flags & WR_FILE_TRUNC)
        how |= O_TRUNC;
    if (flags & WR_FILE_NOFOLLOW)
        how |= O_NOFOLLOW | O_NONBLOCK; /* nor is a FIFO waited for; to a file it means nothing */
    return how;
}

enum wr_status wr_posix_open(wr_posix_open_fn *fn, const char *path, unsigned flags, uint32_t mode,
    struct wr_file **ret, struct wr_err *e)
{
    size_t size = strlen(path) + 1;

    assert(flags & (WR_FILE_READ | WR_FILE_WRITE));
    assert(!(flags & WR_FILE_EXCL) || flags & WR_FILE_CREATE);

    /* Memory first: after open(2) a failure would leave a file that nobody asked for. */
    struct posix_file *f = wr_alloc(sizeof(*f) + size);
    if (f == NULL)
        return wr_fail(e, WR_NOMEM, "open %s: out of memory", path);
    f->fd = fn(path, open_flags(flags), (mode_t)mode);
    if (f->fd < 0) {
        enum wr_status st = wr_fail_errno(e, errno, "open %s", path);

        wr_free(f);
        return st;
    }
    f->file.fs = wr_fs_posix();
    memcpy(f->path, path, size);
    *ret = &f->file;
    return WR_OK;
}

static enum wr_status posix_open(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    (void)fs;
    return wr_posix_open(open_fd, path, flags, mode, ret, e);
}

/* Closing would do, were it not for a child that was forked between open and lock, or by a call
 * that pthread_atfork does not hear of, and has the same open file description. */
static void unlock(const struct posix_file *f)
{
#ifdef F_OFD_SETLK
    struct flock range = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

    (void)fcntl(f->fd, F_OFD_SETLK, &range);
#endif
    if (f->flocked)
        (void)flock(f->fd, LOCK_UN);
}

static void posix_close(struct wr_file *file)
{
    struct posix_file *f = posix_of(file);

    /* Whoever cares about the data has called sync; after EINTR the descriptor is gone on Linux. */
    if (f->locked) {
        unlock(f);
        wr_unforked_close(&f->unforked);
    } else {
        (void)close(f->fd);
    }
    wr_free(f);
}

static bool offset_fits(uint64_t off, uint64_t n)
{
    return off <= INT64_MAX && n <= INT64_MAX - off;
}

static enum wr_status posix_pread(
    struct wr_file *file, void *buf, size_t n, uint64_t off, size_t *got, struct wr_err *e)
{
    struct posix_file *f = posix_of(file);
    size_t done = 0;

    if (!offset_fits(off, n))
        return wr_fail(e, WR_LIMIT, "read %s: offset out of range", f->path);
    while (done < n) {
        ssize_t r = pread(f->fd, (char *)buf + done, wr_min(n - done, IO_MAX), (off_t)(off + done));

        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return wr_fail_errno(e, errno, "read %s at %" PRIu64, f->path, off);
        if (r == 0)
            break;
        done += (size_t)r;
    }
    *got = done;
    return WR_OK;
}

static enum wr_status posix_pwrite(
    struct wr_file *file, const void *buf, size_t n, uint64_t off, struct wr_err *e)
{
    struct posix_file *f = posix_of(file);
    size_t done = 0;

    if (!offset_fits(off, n))
        return wr_fail(e, WR_LIMIT, "write %s: offset out of range", f->path);
    while (done < n) {
        ssize_t r =
            pwrite(f->fd, (const char *)buf + done, wr_min(n - done, IO_MAX), (off_t)(off + done));

        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return wr_fail_errno(e, errno, "write %s at %" PRIu64, f->path, off);
        if (r == 0) /* not promised to be impossible, and would be a loop without an end */
            return wr_fail(e, WR_IO, "write %s: no progress", f->path);
        done += (size_t)r;
    }
    return WR_OK;
}

/* `how` is fsync, or fdatasync. A failed one is never tried again: the kernel may have dropped the
 * dirty pages, and the next one would then succeed over lost data. */
static int sync_fd(int fd, int (*how)(int fd))
{
    int r;

    do
        r = how(fd);
    while (r < 0 && errno == EINTR);
    return r;
}

static enum wr_status posix_sync(struct wr_file *file, struct wr_err *e)
{
    struct posix_file *f = posix_of(file);

    if (sync_fd(f->fd, fsync) < 0)
        return wr_fail_errno(e, errno, "sync %s", f->path);
    return WR_OK;
}

static enum wr_status posix_sync_data(struct wr_file *file, struct wr_err *e)
{
    struct posix_file *f = posix_of(file);

    if (sync_fd(f->fd, fdatasync) < 0)
        return wr_fail_errno(e, errno, "sync %s", f->path);
    return WR_OK;
}

static enum wr_status posix_truncate(struct wr_file *file, uint64_t size, struct wr_err *e)
{
    struct posix_file *f = posix_of(file);
    int r;

    if (!offset_fits(size, 0))
        return wr_fail(e, WR_LIMIT, "truncate %s: size out of range", f->path);
    do
        r = ftruncate(f->fd, (off_t)size);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return wr_fail_errno(e, errno, "truncate %s", f->path);
    return WR_OK;
}

static struct wr_file_info info_of(const struct stat *s)
{
    return (struct wr_file_info){
        .size = (uint64_t)s->st_size,
        .allocated = (uint64_t)s->st_blocks * 512, /* stat(2) counts them so */
        .mtime_ms = (int64_t)s->st_mtim.tv_sec * 1000 + s->st_mtim.tv_nsec / 1000000,
        .changed_ms = (int64_t)s->st_ctim.tv_sec * 1000 + s->st_ctim.tv_nsec / 1000000,
        .dev = (uint64_t)s->st_dev,
        .ino = (uint64_t)s->st_ino,
        .mode = (uint32_t)s->st_mode,
        .uid = (uint32_t)s->st_uid,
        .gid = (uint32_t)s->st_gid,
        .links = (uint64_t)s->st_nlink,
        .is_dir = S_ISDIR(s->st_mode),
    };
}

static enum wr_status posix_info(struct wr_file *file, struct wr_file_info *ret, struct wr_err *e)
{
    struct posix_file *f = posix_of(file);
    struct stat s;

    if (fstat(f->fd, &s) < 0)
        return wr_fail_errno(e, errno, "stat %s", f->path);
    *ret = info_of(&s);
    return WR_OK;
}

static enum wr_status posix_map(struct wr_file *file, size_t size, void **ret, struct wr_err *e)
{
    struct posix_file *f = posix_of(file);

    assert(size > 0);

    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
    if (p == MAP_FAILED)
        return wr_fail_errno(e, errno, "map %s", f->path);
    *ret = p;
    return WR_OK;
}

static void posix_unmap(struct wr_file *file, void *p, size_t size)
{
    (void)file;
    (void)munmap(p, size); /* fails for arguments only, and these came from posix_map */
}

#ifdef __linux__
static void posix_map_idle(struct wr_file *file, void *p, size_t size)
{
    (void)file;
    (void)madvise(p, size, MADV_DONTNEED); /* a hint; the file keeps what a shared mapping loses */
}
#endif

static void posix_flush_hint(struct wr_file *file, uint64_t off, uint64_t n)
{
    struct posix_file *f = posix_of(file);

#ifdef __linux__
    /* A hint: what fails later is told by the sync that follows, and what fails at once is what the
     * kernel's own flusher would have met, which tells nobody either. */
    if (offset_fits(off, n))
        (void)sync_file_range(f->fd, (off_t)off, (off_t)n, SYNC_FILE_RANGE_WRITE);
#else
    (void)f;
    (void)off;
    (void)n;
#endif
}

static enum wr_status posix_lock(struct wr_file *file, struct wr_err *e)
{
    struct posix_file *f = posix_of(file);
    bool unknown = true;
    int r = -1;

    /* A lock of the open file description survives when other descriptors of this file are closed,
     * and so does one by flock(2), for systems without those, which say EINVAL, and for a
     * directory, which cannot be opened for writing: EBADF. One of the process would not. */
#ifdef F_OFD_SETLK
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET}; /* length 0: all of it */

    r = fcntl(f->fd, F_OFD_SETLK, &range);
    unknown = r < 0 && (errno == EINVAL || errno == EBADF);
#endif
    if (unknown) {
        r = flock(f->fd, LOCK_EX | LOCK_NB);
        f->flocked = f->flocked || r == 0;
    }
    if (r == 0 && !f->locked)
        wr_unforked_add(&f->unforked, &f->fd);
    f->locked = f->locked || r == 0;
    if (r == 0)
        return WR_OK;
    if (errno == EAGAIN || errno == EACCES)
        return wr_fail(e, WR_BUSY, "lock %s: held by another process", f->path);
    return wr_fail_errno(e, errno, "lock %s", f->path);
}

static enum wr_status posix_set_mtime(struct wr_file *file, int64_t mtime_ms, struct wr_err *e)
{
    struct posix_file *f = posix_of(file);
    int64_t rest_ms = mtime_ms % 1000;

    if (rest_ms < 0) /* before 1970: nanoseconds count forward all the same */
        rest_ms += 1000;
    const struct timespec times[2] = {
        {.tv_nsec = UTIME_OMIT},
        {.tv_sec = (time_t)((mtime_ms - rest_ms) / 1000), .tv_nsec = (long)rest_ms * 1000000},
    };
    if (futimens(f->fd, times) < 0)
        return wr_fail_errno(e, errno, "set time of %s", f->path);
    return WR_OK;
}

/* One after the other: the group can often be had where the owner cannot. */
static enum wr_status posix_set_owner(
    struct wr_file *file, uint32_t uid, uint32_t gid, struct wr_err *e)
{
    struct posix_file *f = posix_of(file);
    int group = fchown(f->fd, (uid_t)-1, (gid_t)gid);
    int group_errno = errno;

    if (fchown(f->fd, (uid_t)uid, (gid_t)-1) < 0)
        return wr_fail_errno(e, errno, "set owner of %s", f->path);
    if (group < 0)
        return wr_fail_errno(e, group_errno, "set group of %s", f->path);
    return WR_OK;
}

static enum wr_status posix_set_mode(struct wr_file *file, uint32_t mode, struct wr_err *e)
{
    struct posix_file *f = posix_of(file);

    if (fchmod(f->fd, (mode_t)mode) < 0)
        return wr_fail_errno(e, errno, "set mode of %s", f->path);
    return WR_OK;
}

static enum wr_status look(
    const char *path, int at_flags, struct wr_file_info *ret, struct wr_err *e)
{
    struct stat s;

    if (fstatat(AT_FDCWD, path, &s, at_flags) < 0)
        return wr_fail_errno(e, errno, "stat %s", path);
    *ret = info_of(&s);
    return WR_OK;
}

static enum wr_status posix_stat(
    const struct wr_fs *fs, const char *path, struct wr_file_info *ret, struct wr_err *e)
{
    (void)fs;
    return look(path, 0, ret, e);
}

static enum wr_status posix_lstat(
    const struct wr_fs *fs, const char *path, struct wr_file_info *ret, struct wr_err *e)
{
    (void)fs;
    return look(path, AT_SYMLINK_NOFOLLOW, ret, e);
}

static enum wr_status posix_resolve(
    const struct wr_fs *fs, const char *path, char **ret, struct wr_err *e)
{
    char real[PATH_MAX];

    (void)fs;
    if (realpath(path, real) == NULL)
        return wr_fail_errno(e, errno, "resolve %s", path);
    *ret = wr_strndup(real, strlen(real));
    return *ret ? WR_OK : wr_fail(e, WR_NOMEM, "resolve %s: out of memory", path);
}

static enum wr_status posix_rename(
    const struct wr_fs *fs, const char *from, const char *to, struct wr_err *e)
{
    (void)fs;
    if (rename(from, to) < 0)
        return wr_fail_errno(e, errno, "rename %s to %s", from, to);
    return WR_OK;
}

/* In one step, where the system and the file system can. */
static int rename_noreplace(const char *from, const char *to)
{
#ifdef RENAME_NOREPLACE
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
#else
    (void)from;
    (void)to;
    errno = ENOTSUP;
    return -1;
#endif
}

/*
 * Where there is no such step, as on NFS:
 *
 * 1. link gives the file its new name, or says that the name is taken.
 * 2. unlink takes the old name away. A crash in between leaves both names on the same, complete
 *    file; nobody opens the old one then (wr_file_open_temp).
 */
static enum wr_status posix_rename_new(
    const struct wr_fs *fs, const char *from, const char *to, struct wr_err *e)
{
    (void)fs;
    if (rename_noreplace(from, to) == 0)
        return WR_OK;
    if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP)
        return wr_fail_errno(e, errno, "rename %s to %s", from, to);
    if (link(from, to) < 0)
        return wr_fail_errno(e, errno, "rename %s to %s", from, to);
    if (unlink(from) == 0 || errno == ENOENT)
        return WR_OK;

    enum wr_status st = wr_fail_errno(e, errno, "rename %s to %s", from, to);
    (void)unlink(to); /* nothing happened, as far as that can be arranged */
    return st;
}

static enum wr_status posix_remove(const struct wr_fs *fs, const char *path, struct wr_err *e)
{
    (void)fs;
    if (remove(path) < 0)
        return wr_fail_errno(e, errno, "remove %s", path);
    return WR_OK;
}

static enum wr_status posix_mkdir(
    const struct wr_fs *fs, const char *path, uint32_t mode, struct wr_err *e)
{
    (void)fs;
    if (mkdir(path, (mode_t)mode) < 0)
        return wr_fail_errno(e, errno, "create directory %s", path);
    return WR_OK;
}

static enum wr_status posix_sync_dir(const struct wr_fs *fs, const char *path, struct wr_err *e)
{
    enum wr_status st = WR_OK;
    int fd = open_fd(path, O_RDONLY | O_DIRECTORY, 0);

    (void)fs;
    if (fd < 0)
        return wr_fail_errno(e, errno, "open directory %s", path);
    /* EINVAL: a file system that cannot, such as some network ones. It keeps its names its way. */
    if (sync_fd(fd, fsync) < 0 && errno != EINVAL)
        st = wr_fail_errno(e, errno, "sync directory %s", path);
    (void)close(fd); /* opened for reading: nothing to lose */
    return st;
}

static enum wr_status posix_list(
    const struct wr_fs *fs, const char *path, wr_dir_fn *fn, void *arg, struct wr_err *e)
{
    enum wr_status st = WR_OK;
    DIR *dir = NULL;
    int fd = open_fd(path, O_RDONLY | O_DIRECTORY, 0);

    (void)fs;
    if (fd >= 0)
        dir = fdopendir(fd);
    if (dir == NULL) {
        st = wr_fail_errno(e, errno, "open directory %s", path);
        if (fd >= 0)
            (void)close(fd);
        return st;
    }
    for (;;) {
        errno = 0; /* the end and a failure both come back as NULL */
        const struct dirent *entry = readdir(dir);

        if (entry == NULL) {
            if (errno != 0)
                st = wr_fail_errno(e, errno, "read directory %s", path);
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (!fn(arg, entry->d_name))
            break;
    }
    (void)closedir(dir);
    return st;
}

#ifdef __linux__ /* elsewhere such advice may lose what was stored */
#define MAP_IDLE posix_map_idle
#else
#define MAP_IDLE NULL
#endif

/* All slots; three of them are given. */
#define SLOTS(open_slot, mkdir_slot, list_slot)                                                 \
    {                                                                                           \
        .open = (open_slot), .mkdir = (mkdir_slot), .close = posix_close, .pread = posix_pread, \
        .pwrite = posix_pwrite, .sync = posix_sync, .sync_data = posix_sync_data,               \
        .truncate = posix_truncate, .info = posix_info, .map = posix_map, .unmap = posix_unmap, \
        .map_idle = MAP_IDLE, .flush_hint = posix_flush_hint, .lock = posix_lock,               \
        .set_mtime = posix_set_mtime, .set_owner = posix_set_owner, .set_mode = posix_set_mode, \
        .stat = posix_stat, .lstat = posix_lstat, .resolve = posix_resolve,                     \
        .rename = posix_rename, .rename_new = posix_rename_new, .remove = posix_remove,         \
        .sync_dir = posix_sync_dir, .list = (list_slot),                                        \
    }

const struct wr_fs *wr_fs_posix(void)
{
    static const struct wr_fs fs = SLOTS(posix_open, posix_mkdir, posix_list);

    return &fs;
}

const struct wr_fs *wr_fs_giving(void)
{
    static const struct wr_fs fs = SLOTS(wr_giving_open, wr_giving_mkdir, wr_giving_list);

    return geteuid() == 0 ? &fs : wr_fs_posix();
}

uint64_t wr_file_size_max(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    return (uint64_t)limit.rlim_cur;
}
