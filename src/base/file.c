/*
 * file.c - what can be said about files in terms of struct wr_fs alone, so that it holds on the
 * real disk and on a simulated one that crashes. Makes no system call.
 *
 * Replacing a file: write a new one beside it, fsync it, rename it over the old one, fsync the
 * directory. Whenever the machine stops, the path names the old contents or the new, complete ones.
 * A temporary file may stay behind; it is called <stem>.tmp-<random>, so that it can be recognised.
 */
#include "base/file.h"

#include "base/bytes.h"
#include "base/crc64.h"
#include "base/crypto.h"
#include "base/mem.h"

#include <inttypes.h>
#include <sys/stat.h>

enum wr_status wr_file_open(const struct wr_fs *fs, const char *path, unsigned flags, uint32_t mode,
    struct wr_file **ret, struct wr_err *e)
{
    return fs->open(fs, path, flags, mode, ret, e);
}

enum wr_status wr_file_open_temp(const struct wr_fs *fs, const char *path, unsigned flags,
    struct wr_file **ret, struct wr_err *e)
{
    struct wr_file_info info = {0};
    enum wr_status st = fs->lstat(fs, path, &info, e);

    if (st != WR_OK)
        return st;
    if (!S_ISREG((mode_t)info.mode) || info.links != 1)
        return wr_fail(e, WR_CONFLICT, "open %s: not a file of its own", path);
    return wr_file_open(fs, path, flags | WR_FILE_NOFOLLOW, 0, ret, e);
}

bool wr_file_has_another_name(const struct wr_fs *fs, const char *path)
{
    struct wr_file_info info = {0};

    return fs->lstat(fs, path, &info, NULL) == WR_OK && S_ISREG((mode_t)info.mode) &&
           info.links > 1;
}

void wr_file_close(struct wr_file *f)
{
    if (f != NULL)
        f->fs->close(f);
}

enum wr_status wr_file_pread(
    struct wr_file *f, void *buf, size_t n, uint64_t off, size_t *got, struct wr_err *e)
{
    return f->fs->pread(f, buf, n, off, got, e);
}

enum wr_status wr_file_pwrite(
    struct wr_file *f, const void *buf, size_t n, uint64_t off, struct wr_err *e)
{
    return f->fs->pwrite(f, buf, n, off, e);
}

enum wr_status wr_file_sync(struct wr_file *f, struct wr_err *e)
{
    return f->fs->sync(f, e);
}

enum wr_status wr_file_sync_data(struct wr_file *f, struct wr_err *e)
{
    return f->fs->sync_data ? f->fs->sync_data(f, e) : f->fs->sync(f, e);
}

enum wr_status wr_file_truncate(struct wr_file *f, uint64_t size, struct wr_err *e)
{
    return f->fs->truncate(f, size, e);
}

enum wr_status wr_file_info(struct wr_file *f, struct wr_file_info *ret, struct wr_err *e)
{
    return f->fs->info(f, ret, e);
}

enum wr_status wr_file_pread_all(
    struct wr_file *f, void *buf, size_t n, uint64_t off, const char *what, struct wr_err *e)
{
    size_t got = 0;
    enum wr_status st = wr_file_pread(f, buf, n, off, &got, e);

    if (st != WR_OK)
        return wr_wrap(e, st, "%s", what);
    if (got < n)
        return wr_fail(e, WR_CORRUPT, "%s: ends at byte %" PRIu64, what, off + got);
    return WR_OK;
}

enum wr_status wr_file_head(const struct wr_fs *fs, const char *path, void *to, size_t size,
    size_t *ret_n, struct wr_err *e)
{
    struct wr_file *f = NULL;
    size_t n = 0;
    enum wr_status st = wr_file_open(fs, path, WR_FILE_READ, 0, &f, e);

    if (st == WR_OK)
        st = wr_file_pread(f, to, size, 0, &n, e);
    wr_file_close(f);
    if (st == WR_OK)
        *ret_n = n;
    return st;
}

struct wr_str wr_path_dir(const char *path)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/') /* slashes at the end */
        n--;
    while (n > 0 && path[n - 1] != '/') /* the last name */
        n--;
    while (n > 1 && path[n - 1] == '/') /* the slashes before it */
        n--;
    return n == 0 ? WR_STR(".") : (struct wr_str){path, n};
}

struct wr_str wr_path_base(const char *path)
{
    size_t end = strlen(path);

    while (end > 1 && path[end - 1] == '/')
        end--;

    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    return (struct wr_str){path + start, end - start};
}

struct wr_str wr_path_stem(const char *path, char out[WR_STEM_MAX + 1])
{
    const size_t digits = 16;
    struct wr_str base = wr_path_base(path);
    uint8_t crc[8];
    size_t n = WR_STEM_MAX - digits - 1;

    if (base.n <= WR_STEM_MAX) {
        memcpy(out, base.p, base.n);
        out[base.n] = '\0';
        return (struct wr_str){out, base.n};
    }
    while (n > 0 && ((unsigned char)base.p[n] & 0xc0) == 0x80) /* not within a character */
        n--;
    wr_put_be64(crc, wr_crc64(0, base.p, base.n));
    memcpy(out, base.p, n);
    out[n] = '~';
    wr_hex(crc, sizeof(crc), out + n + 1);
    return (struct wr_str){out, n + 1 + digits};
}

bool wr_path_within(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    if (strncmp(path, dir, n) != 0)
        return false;
    return path[n] == '\0' || path[n] == '/' || (n > 0 && dir[n - 1] == '/');
}

/* The directory that `path` lies in; the caller frees it. NULL: out of memory. */
static char *parent_of(const char *path)
{
    struct wr_str dir = wr_path_dir(path);

    return wr_strndup(dir.p, dir.n);
}

/* fsync the directory that `path` lies in. */
static enum wr_status sync_parent(const struct wr_fs *fs, const char *path, struct wr_err *e)
{
    char *dir = parent_of(path);

    if (dir == NULL)
        return wr_fail(e, WR_NOMEM, "sync directory of %s: out of memory", path);

    enum wr_status st = fs->sync_dir(fs, dir, e);
    wr_free(dir);
    return st;
}

static bool no_more(void *arg, const char *name)
{
    (void)arg;
    (void)name;
    return false;
}

/* Whether the directory that `path` lies in can be opened. */
static bool has_readable_parent(const struct wr_fs *fs, const char *path)
{
    char *dir = parent_of(path);
    bool readable = dir == NULL || fs->list(fs, dir, no_more, NULL, NULL) == WR_OK;

    wr_free(dir);
    return readable;
}

enum wr_status wr_dir_settle(const struct wr_fs *fs, const char *path, struct wr_err *e)
{
    struct wr_str base = wr_path_base(path);

    if (base.n == 0 || wr_str_eq(base, WR_STR(".")) || wr_str_eq(base, WR_STR("..")))
        return WR_OK;

    enum wr_status st = sync_parent(fs, path, e);
    return st == WR_IO && !has_readable_parent(fs, path) ? WR_OK : st;
}

/* The same of the directory that `path` lies in. */
static enum wr_status settle_parent(const struct wr_fs *fs, const char *path, struct wr_err *e)
{
    char *dir = parent_of(path);

    if (dir == NULL)
        return wr_fail(e, WR_NOMEM, "create directory %s: out of memory", path);

    enum wr_status st = wr_dir_settle(fs, dir, e);
    wr_free(dir);
    return st;
}

/* Create one directory whose parent exists; also durably, if it was not there. `made`: whether it
 * was not, and before the call the same of its parent. */
static enum wr_status ensure_dir(
    const struct wr_fs *fs, const char *path, uint32_t mode, bool *made, struct wr_err *e)
{
    struct wr_file_info info;
    enum wr_status st = fs->stat(fs, path, &info, e);

    if (st == WR_NOTFOUND) {
        st = *made ? WR_OK : settle_parent(fs, path, e);
        if (st == WR_OK)
            st = fs->mkdir(fs, path, mode, e);
        *made = true;
        if (st == WR_OK)
            return sync_parent(fs, path, e);
        if (st != WR_CONFLICT)
            return st;
        st = fs->stat(fs, path, &info, e); /* someone was quicker: what did they make? */
        if (st == WR_NOTFOUND) /* as a link to a volume that is not mounted; no absence to go by */
            return wr_fail(e, WR_CONFLICT,
                "create directory %s: exists, but is a link that leads nowhere", path);
        if (st == WR_OK && info.is_dir)
            return sync_parent(fs, path, e); /* they may not have come to it */
    }
    if (st == WR_OK && !info.is_dir)
        return wr_fail(e, WR_CONFLICT, "create directory %s: exists and is not a directory", path);
    return st;
}

enum wr_status wr_mkdirs(const struct wr_fs *fs, const char *path, uint32_t mode, struct wr_err *e)
{
    enum wr_status st = WR_OK;
    size_t n = strlen(path);
    bool made = false;
    char *part = wr_strndup(path, n);

    if (part == NULL)
        return wr_fail(e, WR_NOMEM, "create directory %s: out of memory", path);
    for (size_t i = 1; i <= n && st == WR_OK; i++) {
        if (part[i - 1] == '/' || (part[i] != '/' && part[i] != '\0'))
            continue; /* not the end of a name */

        char sep = part[i];
        part[i] = '\0';
        st = ensure_dir(fs, part, mode, &made, e);
        part[i] = sep;
    }
    if (st == WR_OK && !made)
        st = wr_dir_settle(fs, part, e);
    wr_free(part);
    return st;
}

#define TMP_RANDOM 8 /* bytes */

/* "<stem>.tmp-<random>", in the same directory because rename needs that; the caller frees it. */
static enum wr_status temporary_name(const char *path, char **ret, struct wr_err *e)
{
    static const char infix[] = ".tmp-";
    char stem[WR_STEM_MAX + 1];
    struct wr_str base = wr_path_stem(path, stem);
    size_t dir = (size_t)(wr_path_base(path).p - path);
    size_t n = dir + base.n;
    size_t at = n + sizeof(infix) - 1;
    uint8_t noise[TMP_RANDOM];
    enum wr_status st = wr_random(noise, sizeof(noise), e);

    if (st != WR_OK)
        return st;

    char *name = wr_alloc(at + 2 * sizeof(noise) + 1);
    if (name == NULL)
        return wr_fail(e, WR_NOMEM, "out of memory");
    memcpy(name, path, dir);
    memcpy(name + dir, base.p, base.n);
    memcpy(name + n, infix, sizeof(infix) - 1);
    wr_hex(noise, sizeof(noise), name + at);
    *ret = name;
    return WR_OK;
}

/* Write and fsync a new file, of this `owner` unless NULL. When it fails, no file is left. */
static enum wr_status write_new(const struct wr_fs *fs, const char *path, uint32_t mode,
    const struct wr_file_info *owner, const void *p, size_t n, struct wr_err *e)
{
    struct wr_file *f = NULL;
    enum wr_status st =
        wr_file_open(fs, path, WR_FILE_WRITE | WR_FILE_CREATE | WR_FILE_EXCL, mode, &f, e);

    if (st != WR_OK)
        return st;
    if (owner) /* else it is ours, as any new file */
        (void)fs->set_owner(f, owner->uid, owner->gid, NULL);
    st = wr_file_pwrite(f, p, n, 0, e);
    if (st == WR_OK)
        st = wr_file_sync(f, e);
    wr_file_close(f);
    if (st != WR_OK)
        (void)fs->remove(fs, path, NULL); /* the first failure is the one to report */
    return st;
}

enum wr_status wr_file_put(const struct wr_fs *fs, const char *path, uint32_t mode, const void *p,
    size_t n, struct wr_err *e)
{
    return wr_file_put_for(fs, path, mode, NULL, p, n, e);
}

enum wr_status wr_file_put_for(const struct wr_fs *fs, const char *path, uint32_t mode,
    const struct wr_file_info *owner, const void *p, size_t n, struct wr_err *e)
{
    char *tmp = NULL;
    enum wr_status st = temporary_name(path, &tmp, e);

    if (st != WR_OK)
        goto out;
    st = write_new(fs, tmp, mode, owner, p, n, e);
    if (st != WR_OK)
        goto out;
    st = fs->rename(fs, tmp, path, e);
    if (st != WR_OK) {
        (void)fs->remove(fs, tmp, NULL);
        goto out;
    }
    st = sync_parent(fs, path, e);
out:
    wr_free(tmp);
    return st == WR_OK ? st : wr_wrap(e, st, "replace %s", path);
}
