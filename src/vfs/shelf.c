/*
 * shelf.c - see shelf.h.
 *
 *     file   head, slot, slot, ...
 *     head   16  "weir pages 1" and zeros
 *             8  slots, big-endian
 *             8  0
 *     slot   HEAD_SIZE bytes of what it is of, and their checksum with the page; then the page
 *
 * A page may be in one of two slots, by its name. Neither reading nor writing takes a lock: two
 * that write a slot at the same time leave what is not whole, or one of both.
 */
#include "vfs/shelf.h"

#include "base/bytes.h"
#include "base/crc64.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sync.h"
#include "vfs/pagemap.h"

#include <stdatomic.h>

#define MODE      0600
#define HEAD_SIZE 64 /* of the file, and of a slot */
#define NAME_SIZE 48 /* what a slot is of */
#define SIZES     8  /* of pages, from 512 to 65536 */
#define WAYS      2  /* slots that a page may be in */
#define MAGIC     "weir pages 1\0\0\0"

/* The file of one size of pages. */
struct rack {
    struct wr_file *f; /* NULL: it cannot be had */
    uint64_t slots;
    atomic_bool open, full;
};

struct wr_shelf {
    const struct wr_fs *fs;
    const struct wr_log *log;
    char *dir;
    uint64_t bytes, replica; /* a checksum of its name */
    struct wr_mutex mutex;   /* guards opening */
    struct rack rack[SIZES];
};

enum wr_status wr_shelf_new(const struct wr_fs *fs, const char *dir, uint64_t bytes,
    struct wr_str replica, const struct wr_log *log, struct wr_shelf **ret, struct wr_err *e)
{
    struct wr_file_info is = {0};
    enum wr_status st = fs->stat(fs, dir, &is, NULL);
    struct wr_shelf *s;

    if (st != WR_OK || !is.is_dir)
        return wr_fail(e, WR_MISUSE, "cache_dir: %s is not a directory", dir);
    s = wr_alloc(sizeof(*s));
    if (s)
        s->dir = wr_strndup(dir, strlen(dir));
    if (!s || !s->dir) {
        wr_free(s);
        return wr_fail(e, WR_NOMEM, "cache_dir: out of memory");
    }
    s->fs = fs;
    s->log = log;
    s->bytes = bytes;
    s->replica = wr_crc64(0, replica.p, replica.n);
    wr_mutex_init(&s->mutex);
    *ret = s;
    return WR_OK;
}

void wr_shelf_free(struct wr_shelf *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < SIZES; i++)
        wr_file_close(s->rack[i].f);
    wr_mutex_release(&s->mutex);
    wr_free(s->dir);
    wr_free(s);
}

/* ---- its files ---- */

static enum wr_status fits(uint64_t slots, uint32_t page_size, struct wr_err *e)
{
    uint64_t most = wr_file_size_max();

    if (most >= HEAD_SIZE && slots <= (most - HEAD_SIZE) / (HEAD_SIZE + (uint64_t)page_size))
        return WR_OK;
    return wr_fail(e, WR_MISUSE,
        "this process may write files of %llu bytes (ulimit -f), and it has more room than that: "
        "set a smaller cache_dir_size",
        (unsigned long long)most);
}

/* Whoever makes the file says how many slots it has. Of two that make it at the same time one may
 * go by its own number: then they find less of each other's. */
static enum wr_status read_head(
    struct wr_file *f, uint64_t slots, uint32_t page_size, uint64_t *ret_slots, struct wr_err *e)
{
    uint8_t head[HEAD_SIZE] = {0};
    size_t got = 0;
    enum wr_status st = wr_file_pread(f, head, sizeof(head), 0, &got, e);

    *ret_slots = slots;
    if (st != WR_OK)
        return st;
    if (got == 0 && slots == 0)
        return WR_LIMIT; /* not a page fits */
    if (got == 0) {
        memcpy(head, MAGIC, 16);
        wr_put_be64(head + 16, slots);
        st = fits(slots, page_size, e);
        return st == WR_OK ? wr_file_pwrite(f, head, sizeof(head), 0, e) : st;
    }
    if (got < sizeof(head) || memcmp(head, MAGIC, 16) != 0 || wr_be64(head + 16) == 0)
        return wr_fail(e, WR_CONFLICT, "it was not made by weir");
    *ret_slots = wr_be64(head + 16);
    return fits(*ret_slots, page_size, e);
}

static void open_rack(struct wr_shelf *s, struct rack *r, uint32_t page_size)
{
    uint64_t room = s->bytes > HEAD_SIZE ? s->bytes - HEAD_SIZE : 0;
    uint64_t slots = room / (HEAD_SIZE + (uint64_t)page_size);
    size_t n = strlen(s->dir) + sizeof("/weir-pages-65536");
    char *path = wr_alloc(n);
    struct wr_file *f = NULL;
    struct wr_err why = {0};
    enum wr_status st = path ? WR_OK : WR_NOMEM;

    if (st == WR_OK) {
        (void)snprintf(path, n, "%s/weir-pages-%u", s->dir, page_size);
        st = wr_file_open(s->fs, path,
            WR_FILE_READ | WR_FILE_WRITE | WR_FILE_CREATE | WR_FILE_NOFOLLOW, MODE, &f, &why);
    }
    if (st == WR_OK)
        st = read_head(f, slots, page_size, &r->slots, &why);
    if (st == WR_OK)
        r->f = f;
    else
        wr_file_close(f);
    if (st != WR_OK && st != WR_LIMIT && st != WR_NOMEM)
        wr_log(s->log, WR_WARN, "pages are not kept in the cache directory", WR_F_Z("file", path),
            WR_F_Z("reason", why.text));
    wr_free(path);
}

/* NULL: there is none of that size. */
static struct rack *rack_of(struct wr_shelf *s, uint32_t page_size)
{
    struct rack *r = s->rack;

    for (uint32_t size = 512; size < page_size; size *= 2)
        r++;
    if (!atomic_load(&r->open)) {
        wr_mutex_lock(&s->mutex);
        if (!atomic_load(&r->open))
            open_rack(s, r, page_size);
        atomic_store(&r->open, true);
        wr_mutex_unlock(&s->mutex);
    }
    return r->f ? r : NULL;
}

/* ---- slots ---- */

struct slot {
    uint8_t name[NAME_SIZE];
    uint64_t off[WAYS];
};

static void find(const struct wr_shelf *s, const struct rack *r, const struct wr_pagemap_file *f,
    uint32_t pgno, uint32_t page_size, struct slot *ret)
{
    uint64_t hash;

    wr_put_be64(ret->name, s->replica);
    wr_put_be64(ret->name + 8, f->checksum);
    wr_put_be64(ret->name + 16, f->file.min);
    wr_put_be64(ret->name + 24, f->file.max);
    wr_put_be64(ret->name + 32, f->file.size);
    wr_put_be32(ret->name + 40, f->file.level);
    wr_put_be32(ret->name + 44, pgno);
    hash = wr_crc64(0, ret->name, sizeof(ret->name));
    for (size_t i = 0; i < WAYS; i++) {
        ret->off[i] = HEAD_SIZE + hash % r->slots * (HEAD_SIZE + (uint64_t)page_size);
        hash = hash * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        hash ^= hash >> 29;
    }
}

/* Where the page seems to be; 0: nowhere. */
static uint64_t seek(const struct rack *r, const struct slot *x)
{
    uint8_t head[HEAD_SIZE];
    size_t got = 0;

    for (size_t i = 0; i < WAYS; i++) {
        if (wr_file_pread(r->f, head, sizeof(head), x->off[i], &got, NULL) == WR_OK &&
            got == sizeof(head) && memcmp(head, x->name, NAME_SIZE) == 0)
            return x->off[i];
    }
    return 0;
}

static uint64_t sum_of(const struct slot *x, const void *page, uint32_t page_size)
{
    return wr_crc64(wr_crc64(0, x->name, NAME_SIZE), page, page_size);
}

bool wr_shelf_has(
    struct wr_shelf *s, const struct wr_pagemap_file *f, uint32_t pgno, uint32_t page_size)
{
    const struct rack *r = rack_of(s, page_size);
    struct slot x;

    if (!r)
        return false;
    find(s, r, f, pgno, page_size, &x);
    return seek(r, &x) != 0;
}

/* What it is of is read again with the page: another one may have taken its place meanwhile. */
bool wr_shelf_get(struct wr_shelf *s, const struct wr_pagemap_file *f, uint32_t pgno, void *page,
    uint32_t page_size)
{
    const struct rack *r = rack_of(s, page_size);
    uint8_t head[HEAD_SIZE];
    struct slot x;
    uint64_t at;
    size_t got_head = 0, got = 0;

    if (!r)
        return false;
    find(s, r, f, pgno, page_size, &x);
    at = seek(r, &x);
    return at && wr_file_pread(r->f, page, page_size, at + HEAD_SIZE, &got, NULL) == WR_OK &&
           wr_file_pread(r->f, head, sizeof(head), at, &got_head, NULL) == WR_OK &&
           got == page_size && got_head == sizeof(head) && memcmp(head, x.name, NAME_SIZE) == 0 &&
           wr_be64(head + NAME_SIZE) == sum_of(&x, page, page_size);
}

/* The first place that is free, else any. */
static uint64_t choose(const struct rack *r, const struct slot *x, uint64_t sum)
{
    uint8_t head[HEAD_SIZE];
    static const uint8_t none[HEAD_SIZE];
    size_t got = 0;

    for (size_t i = 0; i < WAYS; i++) {
        if (wr_file_pread(r->f, head, sizeof(head), x->off[i], &got, NULL) == WR_OK &&
            (got < sizeof(head) || memcmp(head, none, sizeof(head)) == 0 ||
                memcmp(head, x->name, NAME_SIZE) == 0))
            return x->off[i];
    }
    return x->off[sum % WAYS];
}

void wr_shelf_put(struct wr_shelf *s, const struct wr_pagemap_file *f, uint32_t pgno,
    const void *page, uint32_t page_size)
{
    struct rack *r = rack_of(s, page_size);
    struct slot x;
    struct wr_err why = {0};
    uint8_t *bytes;
    uint64_t sum;

    if (!r || atomic_load(&r->full))
        return;
    bytes = wr_alloc(HEAD_SIZE + (size_t)page_size);
    if (!bytes)
        return;
    find(s, r, f, pgno, page_size, &x);
    sum = sum_of(&x, page, page_size);
    memset(bytes, 0, HEAD_SIZE);
    memcpy(bytes, x.name, NAME_SIZE);
    wr_put_be64(bytes + NAME_SIZE, sum);
    memcpy(bytes + HEAD_SIZE, page, page_size);
    if (wr_file_pwrite(r->f, bytes, HEAD_SIZE + (size_t)page_size, choose(r, &x, sum), &why) !=
            WR_OK &&
        !atomic_exchange(&r->full, true))
        wr_log(s->log, WR_WARN, "no more pages are kept in the cache directory",
            WR_F_Z("directory", s->dir), WR_F_Z("reason", why.text));
    wr_free(bytes);
}
