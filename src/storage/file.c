/*
 * file.c - a bucket that is a directory: the object `a/b/c` is the file <root>/a/b/c.
 *
 * Knows nothing of what the files hold. Layout and times are Litestream's, so that either program
 * reads what the other wrote: the object's time is the file's modification time, and names that end
 * in ".tmp" are nobody's objects. file_put.c writes, file_walk.c lists,
 * file_sweep.c cleans up.
 */
#include "storage/file_int.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/url.h"
#include "storage/drivers.h"
#include "storage/settings.h"

#include <sys/stat.h>

#define ROOT_MAX      ((size_t)4096)
#define PATH_MAX_ROOM (ROOT_MAX + 4096)

static const struct wr_option file_options[] = {
    {"part-size", WR_OPT_SIZE, NULL, "1MiB", "bytes written at a time, 64KiB or more"},
    {NULL, WR_OPT_STR, NULL, NULL, NULL},
};

/* ---- names ---- */

bool wr_disk_hidden(struct wr_str name)
{
    return wr_str_ends(name, WR_STR(".tmp")) || wr_str_eq(name, WR_STR(WR_FILE_LOCK_NAME));
}

/* Whether every segment between slashes is a plain name. */
static bool plain(struct wr_str key)
{
    struct wr_str segment;
    bool more = true;

    if (key.n && memchr(key.p, '\0', key.n))
        return false;
    while (more) {
        more = wr_str_cut(key, '/', &segment, &key);
        if (segment.n == 0 || wr_str_eq(segment, WR_STR(".")) || wr_str_eq(segment, WR_STR("..")))
            return false;
    }
    return true;
}

enum wr_status wr_disk_check(struct wr_str key, struct wr_err *e)
{
    struct wr_str dir, name;

    if (!plain(key))
        return wr_fail(e, WR_MISUSE, "file: not a plain relative path");
    if (!wr_str_cut_last(key, '/', &dir, &name))
        name = key;
    if (wr_disk_hidden(name))
        return wr_fail(e, WR_MISUSE, "file: the name is reserved");
    return WR_OK;
}

void wr_disk_version(const struct wr_file_info *info, char out[WR_FILE_VERSION_MAX])
{
    (void)snprintf(out, WR_FILE_VERSION_MAX, "%llx-%llx-%llx", (unsigned long long)info->ino,
        (unsigned long long)info->size, (unsigned long long)info->mtime_ms);
}

size_t wr_disk_blocked(const struct wr_fs *fs, char *path)
{
    for (size_t i = strlen(path); i-- > 1;) {
        struct wr_file_info info = {0};
        if (path[i] != '/')
            continue;
        path[i] = '\0';
        bool found = fs->stat(fs, path, &info, NULL) == WR_OK;
        path[i] = '/';
        if (found)
            return info.is_dir ? 0 : i;
    }
    return 0;
}

/* The path of `key`, to be released in every case. */
static enum wr_status make_path(
    const struct wr_disk *d, struct wr_str key, struct wr_buf *path, struct wr_err *e)
{
    wr_buf_init(path, PATH_MAX_ROOM);
    enum wr_status st = wr_disk_check(key, e);
    if (st != WR_OK)
        return st;
    wr_buf_str(path, d->root);
    wr_buf_byte(path, '/');
    wr_buf_str(path, key);
    st = wr_buf_status(path);
    return st == WR_OK ? WR_OK : wr_fail(e, st, "file: path too long or out of memory");
}

/* ---- open, close ---- */

enum wr_status wr_storage_file_new(
    const struct wr_fs *fs, struct wr_str root, void **ret_self, struct wr_err *e)
{
    if (!wr_str_starts(root, WR_STR("/")) || root.n > ROOT_MAX || memchr(root.p, '\0', root.n))
        return wr_fail(e, WR_MISUSE, "file: the directory must be an absolute path");
    if (wr_str_ends(root, WR_STR("/")))
        root.n--;
    struct wr_disk *d = wr_alloc(sizeof(*d) + root.n + 1);
    if (!d)
        return wr_fail(e, WR_NOMEM, "file: out of memory");
    char *copy = (char *)(d + 1);
    memcpy(copy, root.p, root.n);
    d->fs = fs;
    d->root = (struct wr_str){copy, root.n};
    wr_mutex_init(&d->mutex);
    *ret_self = d;
    return WR_OK;
}

/* A host is taken for the first directory: file://backup/db is /backup/db, as Litestream has it.
 * The path is not percent-decoded, also as there: a directory may well be named "sp%20ace". */
static enum wr_status file_open(const struct wr_settings *set, void **self, struct wr_err *e)
{
    const struct wr_url *u = wr_settings_url(set);
    struct wr_arena a;
    struct wr_str root;

    if (u->user.n || u->password.n || u->port.n)
        return wr_fail(e, WR_MISUSE, "a file URL has no user, password or port");
    if (u->host.n == 0 && u->path.n == 0)
        return wr_fail(e, WR_MISUSE, "a file URL needs an absolute path: file:///directory");
    if (wr_settings_u64(set, "part-size") < WR_FILE_PART_MIN)
        return wr_fail(e, WR_MISUSE, "part-size must be at least %zu bytes", WR_FILE_PART_MIN);
    wr_arena_init(&a, 8 * ROOT_MAX);
    root = wr_arena_fmt(
        &a, "%s" WR_FMT WR_FMT, u->host.n ? "/" : "", WR_ARG(u->host), WR_ARG(u->path));
    if (root.p)
        root = wr_path_clean(&a, root);
    enum wr_status st = root.p ? wr_storage_file_new(wr_fs_giving(), root, self, e)
                               : wr_fail(e, WR_NOMEM, "file: out of memory");
    wr_arena_release(&a);
    return st;
}

static void file_close(void *self)
{
    struct wr_disk *d = self;

    if (!d)
        return;
    for (size_t i = 0; i < WR_FILE_DIRS_MAX; i++)
        wr_free(d->dirs[i].path);
    wr_mutex_release(&d->mutex);
    wr_free(d);
}

/* ---- list, stat, get ---- */

static enum wr_status file_list(void *self, struct wr_call *c, struct wr_str prefix,
    struct wr_str after, wr_list_fn *fn, void *arg, struct wr_err *e)
{
    struct wr_disk *d = self;
    struct wr_str dir, rest;

    if ((wr_str_cut_last(prefix, '/', &dir, &rest) && !plain(dir)) ||
        (prefix.n && memchr(prefix.p, '\0', prefix.n)))
        return wr_fail(e, WR_MISUSE, "file: prefix is not a plain relative path");
    return wr_disk_walk(d->fs, c, d->root, prefix, after, fn, arg, e);
}

/* NOTFOUND for what is no regular file: directories are not objects, and opening a pipe would wait
 * for its other end. */
static enum wr_status look(
    const struct wr_disk *d, char *path, struct wr_file_info *ret, struct wr_err *e)
{
    enum wr_status st = d->fs->stat(d->fs, path, ret, e);

    if (st == WR_IO && wr_disk_blocked(d->fs, path) > 0)
        st = WR_NOTFOUND;
    if (st == WR_NOTFOUND || (st == WR_OK && !S_ISREG(ret->mode)))
        return wr_fail(e, WR_NOTFOUND, "no such object");
    return st;
}

static enum wr_status file_stat(
    void *self, struct wr_call *c, struct wr_str key, struct wr_object *out, struct wr_err *e)
{
    struct wr_disk *d = self;
    struct wr_buf path;
    struct wr_file_info info = {0};
    char version[WR_FILE_VERSION_MAX];
    enum wr_status st = make_path(d, key, &path, e);

    if (st == WR_OK)
        st = wr_call_check(c, "stat", e);
    if (st == WR_OK)
        st = look(d, (char *)path.p, &info, e);
    wr_buf_release(&path);
    if (st != WR_OK)
        return st;
    wr_disk_version(&info, version);
    *out = (struct wr_object){
        .key = wr_arena_str(c->scratch, key),
        .size = info.size,
        .time_ms = info.mtime_ms,
        .version = wr_arena_str(c->scratch, wr_str(version)),
    };
    if (!out->key.p || !out->version.p)
        return wr_fail(e, WR_NOMEM, "file: out of memory");
    return WR_OK;
}

/* Of what is open: a name may be that of another file by now. */
static enum wr_status tell_version(
    struct wr_file *f, struct wr_call *c, struct wr_str *ret, struct wr_err *e)
{
    char version[WR_FILE_VERSION_MAX];
    struct wr_file_info info;
    enum wr_status st = wr_file_info(f, &info, e);

    if (st != WR_OK)
        return st;
    wr_disk_version(&info, version);
    *ret = wr_arena_str(c->scratch, wr_str(version));
    return ret->p ? WR_OK : wr_fail(e, WR_NOMEM, "file: out of memory");
}

static enum wr_status file_get(void *self, struct wr_call *c, struct wr_str key, uint64_t off,
    void *buf, size_t n, size_t *got, struct wr_str *version, struct wr_err *e)
{
    struct wr_disk *d = self;
    struct wr_buf path;
    struct wr_file_info info;
    struct wr_file *f = NULL;
    enum wr_status st = make_path(d, key, &path, e);

    if (st == WR_OK)
        st = wr_call_check(c, "get", e);
    if (st == WR_OK)
        st = look(d, (char *)path.p, &info, e);
    if (st == WR_OK)
        st = wr_file_open(d->fs, (const char *)path.p, WR_FILE_READ, 0, &f, e);
    if (st == WR_OK && version)
        st = tell_version(f, c, version, e);
    if (st == WR_OK)
        st = wr_file_pread(f, buf, n, off, got, e);
    wr_file_close(f);
    wr_buf_release(&path);
    return st;
}

/* ---- remove ---- */

/* A directory of that name is no object, and stays. */
static enum wr_status remove_one(
    const struct wr_disk *d, char *path, bool *ret_removed, struct wr_err *e)
{
    struct wr_file_info info;
    enum wr_status st = look(d, path, &info, e);

    if (st == WR_OK)
        st = d->fs->remove(d->fs, path, e);
    *ret_removed = st == WR_OK;
    return st == WR_NOTFOUND ? WR_OK : st;
}

/* Make removals in `dir` durable: without it, objects may come back after a power cut. The
 * directory may have been removed with its last file by somebody else. */
static enum wr_status settle_removals(
    const struct wr_disk *d, const struct wr_buf *dir, struct wr_err *e)
{
    enum wr_status st = wr_buf_status(dir);

    if (st != WR_OK)
        return wr_fail(e, st, "file: out of memory");
    if (dir->n > 0)
        st = d->fs->sync_dir(d->fs, (const char *)dir->p, e);
    return st == WR_NOTFOUND ? WR_OK : st;
}

/* One fsync for each run of keys in the same directory. */
static enum wr_status remove_in(const struct wr_disk *d, struct wr_call *c, struct wr_str key,
    struct wr_buf *dir, struct wr_err *e)
{
    struct wr_buf path;
    bool removed = false;
    enum wr_status st = make_path(d, key, &path, e);

    if (st == WR_OK)
        st = wr_call_check(c, "remove", e);
    if (st == WR_OK)
        st = remove_one(d, (char *)path.p, &removed, e);
    if (st == WR_OK && removed) {
        struct wr_str now = wr_path_dir((const char *)path.p);
        if (!wr_str_eq(now, wr_buf_view(dir))) {
            st = settle_removals(d, dir, e);
            wr_buf_clear(dir);
            wr_buf_str(dir, now);
        }
    }
    wr_buf_release(&path);
    return st == WR_OK ? WR_OK : wr_wrap(e, st, WR_FMT, WR_ARG(key));
}

static enum wr_status file_remove(
    void *self, struct wr_call *c, const struct wr_str *keys, size_t n, struct wr_err *e)
{
    struct wr_disk *d = self;
    struct wr_buf dir; /* where something was removed since the last fsync */
    enum wr_status st = WR_OK;

    wr_buf_init(&dir, PATH_MAX_ROOM);
    for (size_t i = 0; i < n && st == WR_OK; i++)
        st = remove_in(d, c, keys[i], &dir, e);
    enum wr_status settled = settle_removals(d, &dir, st == WR_OK ? e : NULL);
    wr_buf_release(&dir);
    return st == WR_OK ? settled : st;
}

const struct wr_storage_ops wr_storage_file = {
    .scheme = "file",
    .caps = WR_STORAGE_COND_PUT | WR_STORAGE_LIST_TIME | WR_STORAGE_LIST_NOW,
    .part_min = WR_FILE_PART_MIN,
    .options = file_options,
    .open = file_open,
    .close = file_close,
    .list = file_list,
    .stat = file_stat,
    .get = file_get,
    .put = wr_disk_put,
    .remove = file_remove,
    .upload_begin = wr_disk_upload_begin,
    .upload_part = wr_disk_upload_part,
    .upload_commit = wr_disk_upload_commit,
    .upload_abort = wr_disk_upload_abort,
};
