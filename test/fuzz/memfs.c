/*
 * memfs.c - see memfs.h. What no target needs of a disk is not there, and its slot is NULL.
 */
#include "fuzz/memfs.h"

#include "base/mem.h"
#include "fuzz/fuzz.h"

static struct memfs_file *of(struct wr_file *f)
{
    return wr_container_of(f, struct memfs_file, file);
}

static enum wr_status set_size(struct memfs_file *f, uint64_t size, struct wr_err *e)
{
    uint8_t *p;

    if (size > f->owner->size_max)
        return wr_fail(e, WR_LIMIT, "disk full");
    if (size == f->n)
        return WR_OK;
    p = wr_resize(f->p, (size_t)size + !size, 1);
    HOLDS(p);
    if (size > f->n)
        memset(p + f->n, 0, (size_t)size - f->n);
    f->p = p;
    f->n = (size_t)size;
    return WR_OK;
}

static enum wr_status open_file(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    const struct memfs *m = (const struct memfs *)(const void *)fs; /* its first member */

    (void)mode;
    (void)e;
    HOLDS((flags & WR_FILE_CREATE) && !(flags & (WR_FILE_EXCL | WR_FILE_TRUNC)));
    *ret = &memfs_add(m->self, path, (struct wr_bytes){0})->file;
    return WR_OK;
}

static void close_file(struct wr_file *f)
{
    (void)f; /* what is in it stays */
}

static enum wr_status pread_file(
    struct wr_file *file, void *buf, size_t n, uint64_t off, size_t *got, struct wr_err *e)
{
    struct memfs_file *f = of(file);

    (void)e;
    *got = off < f->n ? wr_min(n, f->n - (size_t)off) : 0;
    if (*got > 0)
        memcpy(buf, f->p + off, *got);
    return WR_OK;
}

static enum wr_status pwrite_file(
    struct wr_file *file, const void *buf, size_t n, uint64_t off, struct wr_err *e)
{
    struct memfs_file *f = of(file);
    enum wr_status st = WR_OK;

    if (n == 0)
        return WR_OK;
    if (off > UINT64_MAX - n || off + n > f->n)
        st = off > UINT64_MAX - n ? wr_fail(e, WR_LIMIT, "disk full") : set_size(f, off + n, e);
    if (st == WR_OK)
        memcpy(f->p + off, buf, n);
    return st;
}

static enum wr_status sync_file(struct wr_file *f, struct wr_err *e)
{
    (void)f;
    (void)e;
    return WR_OK;
}

static enum wr_status sync_names(const struct wr_fs *fs, const char *path, struct wr_err *e)
{
    (void)fs;
    (void)path;
    (void)e;
    return WR_OK;
}

static enum wr_status truncate_file(struct wr_file *f, uint64_t size, struct wr_err *e)
{
    return set_size(of(f), size, e);
}

static enum wr_status info_file(struct wr_file *f, struct wr_file_info *ret, struct wr_err *e)
{
    (void)e;
    *ret = (struct wr_file_info){.size = of(f)->n, .allocated = of(f)->n, .links = 1};
    return WR_OK;
}

static enum wr_status map_file(struct wr_file *f, size_t size, void **ret, struct wr_err *e)
{
    (void)e;
    HOLDS(size <= of(f)->n);
    *ret = of(f)->p;
    return WR_OK;
}

static void unmap_file(struct wr_file *f, void *p, size_t size)
{
    (void)f;
    (void)p;
    (void)size;
}

static void flush_hint(struct wr_file *f, uint64_t off, uint64_t n)
{
    (void)f;
    (void)off;
    (void)n;
}

void memfs_init(struct memfs *m, size_t size_max)
{
    *m = (struct memfs){
        .self = m,
        .size_max = size_max,
        .fs =
            {
                .open = open_file,
                .close = close_file,
                .pread = pread_file,
                .pwrite = pwrite_file,
                .sync = sync_file,
                .truncate = truncate_file,
                .info = info_file,
                .map = map_file,
                .unmap = unmap_file,
                .flush_hint = flush_hint,
                .lock = sync_file,
                .sync_dir = sync_names,
            },
    };
}

void memfs_release(struct memfs *m)
{
    for (size_t i = 0; i < MEMFS_FILES; i++)
        wr_free(m->files[i].p);
}

struct memfs_file *memfs_add(struct memfs *m, const char *name, struct wr_bytes contents)
{
    size_t i = 0;

    while (i < MEMFS_FILES && m->files[i].used) {
        if (wr_str_eq(wr_str(m->files[i].name), wr_str(name)))
            return &m->files[i];
        i++;
    }
    HOLDS(i < MEMFS_FILES && strlen(name) < sizeof(m->files[i].name));

    struct memfs_file *f = &m->files[i];
    *f = (struct memfs_file){.file = {&m->fs}, .owner = m, .used = true};
    memcpy(f->name, name, strlen(name));
    HOLDS(pwrite_file(&f->file, contents.p, contents.n, 0, NULL) == WR_OK);
    return f;
}
