/*
 * follow_pages.c - see follow_pages.h.
 */
#include "engine/follow_pages.h"

#include "base/mem.h"

struct few {
    struct wr_file file;
    const uint32_t *pgno;
    size_t n;
    uint32_t page_size;
    uint8_t pages[]; /* in the order of `pgno` */
};

static struct few *few_of(struct wr_file *f)
{
    return wr_container_of(f, struct few, file);
}

static int by_number(const void *key, const void *entry)
{
    uint64_t want = *(const uint64_t *)key;
    uint32_t is = *(const uint32_t *)entry;

    return want < is ? -1 : want > is;
}

/* From `off` on up to `n` bytes of one page: *ret_n; NULL: there is no such page. */
static uint8_t *at(struct few *f, uint64_t off, size_t n, size_t *ret_n)
{
    uint64_t pgno = off / f->page_size + 1;
    size_t within = (size_t)(off % f->page_size);
    const uint32_t *found = bsearch(&pgno, f->pgno, f->n, sizeof(*f->pgno), by_number);

    if (!found)
        return NULL;
    *ret_n = wr_min(n, f->page_size - within);
    return f->pages + (size_t)(found - f->pgno) * f->page_size + within;
}

static enum wr_status few_pread(
    struct wr_file *file, void *buf, size_t n, uint64_t off, size_t *got, struct wr_err *e)
{
    struct few *f = few_of(file);
    size_t done = 0, some = 0;
    const uint8_t *p;

    (void)e;
    while (done < n && (p = at(f, off + done, n - done, &some)) != NULL) {
        memcpy((uint8_t *)buf + done, p, some);
        done += some;
    }
    *got = done;
    return WR_OK;
}

static enum wr_status few_pwrite(
    struct wr_file *file, const void *buf, size_t n, uint64_t off, struct wr_err *e)
{
    struct few *f = few_of(file);
    size_t done = 0, some = 0;
    uint8_t *p;

    while (done < n) {
        p = at(f, off + done, n - done, &some);
        if (!p)
            return wr_fail(e, WR_LIMIT, "new pages: there is no room for one at %llu",
                (unsigned long long)(off + done));
        memcpy(p, (const uint8_t *)buf + done, some);
        done += some;
    }
    return WR_OK;
}

static void few_flush_hint(struct wr_file *file, uint64_t off, uint64_t n)
{
    (void)file;
    (void)off;
    (void)n;
}

static void few_close(struct wr_file *file)
{
    wr_free(few_of(file));
}

enum wr_status wr_follow_pages_new(
    const uint32_t *pgno, size_t n, uint32_t page_size, struct wr_file **ret, struct wr_err *e)
{
    static const struct wr_fs fs = {
        .pread = few_pread, .pwrite = few_pwrite, .flush_hint = few_flush_hint, .close = few_close};
    struct few *f = wr_alloc(sizeof(*f) + n * page_size);

    if (!f)
        return wr_fail(e, WR_NOMEM, "%zu new pages: out of memory", n);
    f->file.fs = &fs;
    f->pgno = pgno;
    f->n = n;
    f->page_size = page_size;
    *ret = &f->file;
    return WR_OK;
}
