/*
 * local_open.c - the files of a local copy: whose they are, and where one without a name is.
 */
#include "vfs/local.h"

#include "base/crc64.h"
#include "base/crypto.h"
#include "base/file.h"
#include "base/mem.h"
#include "vfs/local_int.h"

#include <inttypes.h>
#include <sys/stat.h>

#define MODE 0600

static bool is_regular(const struct wr_file_info *i)
{
    return S_ISREG(i->mode);
}

/* What has the path is a file of ours, as far as its neighbour tells, or nothing. It is not opened
 * before that is known: closing a database that is in use here would drop its locks. */
static enum wr_status look_first(
    const struct wr_fs *fs, const char *path, const char *meta, struct wr_err *e)
{
    struct wr_file_info data, side;
    enum wr_status st = fs->stat(fs, path, &data, e);
    enum wr_status is = fs->stat(fs, meta, &side, NULL);

    if (st == WR_NOTFOUND)
        return WR_OK;
    if (st != WR_OK)
        return st;
    if (is_regular(&data) && (data.size == 0 || (is == WR_OK && is_regular(&side))))
        return WR_OK;
    return wr_fail(e, WR_CONFLICT,
        "%s exists and was not made by weir (%s is missing): name another file, or remove it", path,
        meta);
}

static enum wr_status open_meta(
    struct wr_local *l, const struct wr_fs *fs, const char *meta, struct wr_err *e)
{
    struct wr_str dir = wr_path_dir(meta);
    char *name = wr_strndup(dir.p, dir.n);
    enum wr_status st = WR_NOMEM;

    if (name)
        st = wr_file_open(
            fs, meta, WR_FILE_READ | WR_FILE_WRITE | WR_FILE_CREATE, MODE, &l->meta, e);
    else
        (void)wr_fail(e, st, "%s: out of memory", meta);
    if (st == WR_OK)
        st = fs->lock(l->meta, e);
    if (st == WR_OK)
        st = wr_local_head_read(l->meta, &l->head, e);
    if (st == WR_CONFLICT)
        st = wr_wrap(e, st, "%s", meta);
    if (st == WR_OK) /* before there is anything that it tells of */
        st = fs->sync_dir(fs, name, e);
    wr_free(name);
    return st;
}

static enum wr_status open_named(
    struct wr_local *l, const struct wr_fs *fs, const char *path, struct wr_err *e)
{
    size_t n = strlen(path);
    char *meta = wr_alloc(n + sizeof(".meta"));
    enum wr_status st;

    l->path = wr_strndup(path, n);
    if (!meta || !l->path) {
        wr_free(meta);
        return wr_fail(e, WR_NOMEM, "%s: out of memory", path);
    }
    (void)snprintf(meta, n + sizeof(".meta"), "%s.meta", path);
    st = look_first(fs, path, meta, e);
    if (st == WR_OK)
        st = open_meta(l, fs, meta, e);
    if (st == WR_OK)
        st = wr_file_open(
            fs, path, WR_FILE_READ | WR_FILE_WRITE | WR_FILE_CREATE, MODE, &l->file, e);
    wr_free(meta);
    return st;
}

/* Where SQLite puts its own, but for /tmp, which may be memory, if there is another place. */
static enum wr_status open_nameless(struct wr_local *l, const struct wr_fs *fs, struct wr_err *e)
{
    const char *const dirs[] = {getenv("SQLITE_TMPDIR"), getenv("TMPDIR"), "/var/tmp", "/tmp"};
    enum wr_status st = WR_NOTFOUND;

    for (size_t i = 0; i < wr_countof(dirs) && st != WR_OK; i++) {
        char path[4096];
        uint64_t random = 0;
        int n;

        if (!dirs[i] || !*dirs[i])
            continue;
        st = wr_random(&random, sizeof(random), e);
        if (st != WR_OK)
            return st;
        n = snprintf(path, sizeof(path), "%s/weir-%016" PRIx64, dirs[i], random);
        if (n < 0 || (size_t)n >= sizeof(path))
            continue;
        st = wr_file_open(fs, path, WR_FILE_READ | WR_FILE_WRITE | WR_FILE_CREATE | WR_FILE_EXCL,
            MODE, &l->file, e);
        if (st == WR_OK)
            st = fs->remove(fs, path, e);
    }
    return st;
}

enum wr_status wr_local_open(const struct wr_fs *fs, const char *path, struct wr_str replica,
    struct wr_local **ret, struct wr_err *e)
{
    struct wr_local *l = wr_alloc(sizeof(*l));
    enum wr_status st;

    if (!l)
        return wr_fail(e, WR_NOMEM, "local copy: out of memory");
    l->replica = wr_crc64(0, replica.p, replica.n);
    st = path ? open_named(l, fs, path, e) : open_nameless(l, fs, e);
    if (st == WR_OK)
        *ret = l;
    else
        wr_local_close(l);
    return st;
}

void wr_local_close(struct wr_local *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->n_mappings; i++)
        l->file->fs->unmap(l->file, l->mappings[i].p, l->mappings[i].size);
    wr_file_close(l->file);
    wr_file_close(l->meta);
    for (size_t i = 0; i < WR_LOCAL_FAN; i++) {
        struct wr_local_fan *f = atomic_load(&l->fan[i]);

        for (size_t k = 0; f && k < WR_LOCAL_FAN; k++)
            wr_free(atomic_load(&f->block[k]));
        wr_free(f);
    }
    wr_free(l->path);
    wr_free(l);
}

const char *wr_local_path(const struct wr_local *l)
{
    return l->path ? l->path : "";
}
