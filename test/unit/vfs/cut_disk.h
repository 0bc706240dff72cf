/*
 * cut_disk.h - a disk in memory, for the tests of local copies: the power is cut, and what was not
 * synced is there or not, sector by sector; or it is full.
 */
#ifndef WR_TEST_CUT_DISK_H
#define WR_TEST_CUT_DISK_H

#include "base/file.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/sync.h"
#include "harness/t.h"

#define CUT_FILES   2
#define CUT_MAX     ((size_t)128 << 10)
#define CUT_SECTOR  512u
#define CUT_REGULAR 0100000u /* S_IFREG, which POSIX alone does not name */

struct cut_disk {
    struct wr_fs fs;
    struct wr_mutex mutex; /* of writes, which come from several threads */
    struct cut_name {
        char name[64];
        bool is, kept; /* there is such a file; its name is on the disk */
        bool locked;
        size_t size, safe_size;
        uint8_t now[CUT_MAX], safe[CUT_MAX];
    } names[CUT_FILES];
    uint64_t writes, syncs;
    uint64_t fail_write, fail_sync; /* the first that fails, and all after it; 0: none */
};

struct cut_file {
    struct wr_file file;
    struct cut_disk *disk;
    struct cut_name *name;
    bool locks;
};

static inline struct cut_disk *cut_of(const struct wr_fs *fs)
{
    return wr_container_of((struct wr_fs *)(uintptr_t)fs, struct cut_disk, fs);
}

static inline struct cut_file *cut_file_of(struct wr_file *f)
{
    return wr_container_of(f, struct cut_file, file);
}

static inline struct cut_name *cut_find(struct cut_disk *d, const char *path)
{
    for (size_t i = 0; i < CUT_FILES; i++) {
        if (d->names[i].is && strcmp(d->names[i].name, path) == 0)
            return &d->names[i];
    }
    return NULL;
}

static inline enum wr_status cut_open(const struct wr_fs *fs, const char *path, unsigned flags,
    uint32_t mode, struct wr_file **ret, struct wr_err *e)
{
    struct cut_disk *d = cut_of(fs);
    struct cut_name *n = cut_find(d, path);
    struct cut_file *f = wr_alloc(sizeof(*f));

    T(mode == 0600 && !(flags & WR_FILE_TRUNC));
    if (!f)
        return wr_fail(e, WR_NOMEM, "open %s: out of memory", path);
    for (size_t i = 0; i < CUT_FILES && !n; i++) {
        if (d->names[i].is)
            continue;
        n = &d->names[i];
        memset(n, 0, sizeof(*n));
        (void)snprintf(n->name, sizeof(n->name), "%s", path);
        n->is = true;
    }
    T(n != NULL);
    *f = (struct cut_file){.file.fs = fs, .disk = d, .name = n};
    *ret = &f->file;
    return WR_OK;
}

static inline void cut_close(struct wr_file *file)
{
    struct cut_file *f = cut_file_of(file);

    if (f->locks)
        f->name->locked = false;
    wr_free(f);
}

static inline enum wr_status cut_pread(
    struct wr_file *file, void *buf, size_t n, uint64_t off, size_t *got, struct wr_err *e)
{
    const struct cut_name *name = cut_file_of(file)->name;

    (void)e;
    *got = off >= name->size ? 0 : wr_min(n, name->size - (size_t)off);
    memcpy(buf, name->now + wr_min(off, CUT_MAX), *got);
    return WR_OK;
}

static inline enum wr_status cut_pwrite(
    struct wr_file *file, const void *buf, size_t n, uint64_t off, struct wr_err *e)
{
    struct cut_file *f = cut_file_of(file);
    struct cut_disk *d = f->disk;
    bool fits = off + n <= CUT_MAX, full;

    wr_mutex_lock(&d->mutex);
    full = ++d->writes >= d->fail_write && d->fail_write;
    if (fits && !full) {
        memcpy(f->name->now + off, buf, n);
        f->name->size = wr_max(f->name->size, (size_t)off + n);
    }
    wr_mutex_unlock(&d->mutex);
    return fits && !full ? WR_OK
                         : wr_fail(e, WR_LIMIT, "write %s: No space left on device", f->name->name);
}

static inline enum wr_status cut_sync(struct wr_file *file, struct wr_err *e)
{
    struct cut_file *f = cut_file_of(file);

    if (++f->disk->syncs >= f->disk->fail_sync && f->disk->fail_sync)
        return wr_fail(e, WR_IO, "sync %s: Input/output error", f->name->name);
    memcpy(f->name->safe, f->name->now, CUT_MAX);
    f->name->safe_size = f->name->size;
    return WR_OK;
}

static inline enum wr_status cut_truncate(struct wr_file *file, uint64_t size, struct wr_err *e)
{
    struct cut_name *name = cut_file_of(file)->name;

    (void)e;
    T(size <= CUT_MAX);
    memset(name->now + size, 0, CUT_MAX - (size_t)size);
    name->size = (size_t)size;
    return WR_OK;
}

static inline enum wr_status cut_stat(
    const struct wr_fs *fs, const char *path, struct wr_file_info *ret, struct wr_err *e)
{
    const struct cut_name *n = cut_find(cut_of(fs), path);

    if (!n)
        return wr_fail(e, WR_NOTFOUND, "stat %s: not there", path);
    *ret = (struct wr_file_info){.size = n->size, .mode = CUT_REGULAR | 0600};
    return WR_OK;
}

static inline enum wr_status cut_info(
    struct wr_file *file, struct wr_file_info *ret, struct wr_err *e)
{
    return cut_stat(file->fs, cut_file_of(file)->name->name, ret, e);
}

static inline enum wr_status cut_map(
    struct wr_file *file, size_t size, void **ret, struct wr_err *e)
{
    struct cut_name *name = cut_file_of(file)->name;

    (void)e;
    T(size <= name->size);
    *ret = name->now;
    return WR_OK;
}

static inline void cut_unmap(struct wr_file *file, void *p, size_t size)
{
    (void)size;
    T(p == cut_file_of(file)->name->now);
}

static inline enum wr_status cut_lock(struct wr_file *file, struct wr_err *e)
{
    struct cut_file *f = cut_file_of(file);

    if (f->name->locked)
        return wr_fail(e, WR_BUSY, "lock %s: held by another process", f->name->name);
    f->name->locked = f->locks = true;
    return WR_OK;
}

static inline enum wr_status cut_sync_dir(
    const struct wr_fs *fs, const char *path, struct wr_err *e)
{
    (void)path, (void)e;
    for (size_t i = 0; i < CUT_FILES; i++)
        cut_of(fs)->names[i].kept = cut_of(fs)->names[i].is;
    return WR_OK;
}

static inline void cut_init(struct cut_disk *d)
{
    memset(d, 0, sizeof(*d));
    wr_mutex_init(&d->mutex);
    d->fs = (struct wr_fs){.open = cut_open,
        .close = cut_close,
        .pread = cut_pread,
        .pwrite = cut_pwrite,
        .sync = cut_sync,
        .truncate = cut_truncate,
        .info = cut_info,
        .lock = cut_lock,
        .map = cut_map,
        .unmap = cut_unmap,
        .stat = cut_stat,
        .sync_dir = cut_sync_dir};
}

/* Nobody has a file open. Each sector that was written since the last sync is there, or as it was,
 * or, one in many, torn; and so is the size, and the name. */
static inline void cut_power(struct cut_disk *d, struct wr_rand *r)
{
    for (size_t i = 0; i < CUT_FILES; i++) {
        struct cut_name *n = &d->names[i];

        if (!n->is)
            continue;
        for (size_t off = 0; off < CUT_MAX; off += CUT_SECTOR) {
            size_t keep = wr_rand_below(r, 2)    ? 0
                          : wr_rand_below(r, 20) ? CUT_SECTOR
                                                 : (size_t)wr_rand_below(r, CUT_SECTOR);

            memcpy(n->now + off, n->safe + off, keep);
        }
        if (wr_rand_below(r, 2))
            n->size = n->safe_size;
        memset(n->now + n->size, 0, CUT_MAX - n->size);
        memcpy(n->safe, n->now, CUT_MAX);
        n->safe_size = n->size;
        if (!n->kept && wr_rand_below(r, 2))
            n->is = false;
    }
}

#endif
