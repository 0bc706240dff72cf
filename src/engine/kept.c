/*
 * kept.c - see kept.h. Knows its file; refuses to know whose pages these are.
 */
#include "engine/kept.h"

#include "base/buf.h"
#include "base/mem.h"

#define NAMES_MAX 64u  /* files in one outbox at a time */
#define SLOTS     256u /* looked up at once */

void wr_kept_init(struct wr_kept *k, const struct wr_fs *fs, const char *outbox, uint32_t page_size,
    uint32_t pages)
{
    *k = (struct wr_kept){.fs = fs, .outbox = outbox, .page_size = page_size, .pages = pages};
}

void wr_kept_release(struct wr_kept *k)
{
    wr_file_close(k->file);
    if (k->path)
        (void)k->fs->remove(k->fs, k->path, NULL); /* a leftover is cleaned at the next start */
    wr_free(k->path);
    wr_free(k->bits);
    *k = (struct wr_kept){0};
}

bool wr_kept_has(const struct wr_kept *k, uint32_t pgno)
{
    return k->bits && (k->bits[(pgno - 1) / 8] & (1u << (pgno - 1) % 8));
}

static uint64_t slot_at(uint32_t pgno)
{
    return (uint64_t)(pgno - 1) * sizeof(uint32_t);
}

static uint64_t page_at(const struct wr_kept *k, uint32_t slot)
{
    uint64_t slots = (slot_at(k->pages + 1) + k->page_size - 1) / k->page_size;

    return (slots + slot) * k->page_size;
}

/* The file and the bits, at the first page that is kept. */
static enum wr_status begin(struct wr_kept *k, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    if (!k->bits && !(k->bits = wr_alloc(((size_t)k->pages + 7) / 8)))
        return wr_fail(e, WR_NOMEM, "keep old pages");
    if (!k->file)
        st = wr_mkdirs(k->fs, k->outbox, 0700, e);
    for (unsigned nth = 0; st == WR_OK && !k->file; nth++) {
        struct wr_buf path;
        char *copy = NULL;

        wr_buf_init(&path, 8192);
        wr_buf_fmt(&path, "%s/" WR_KEPT_STEM ".%u", k->outbox, nth);
        st = wr_buf_status(&path);
        if (st == WR_OK && !(copy = wr_strndup((const char *)path.p, path.n)))
            st = WR_NOMEM;
        wr_buf_release(&path);
        if (st != WR_OK)
            return wr_fail(e, st, "keep old pages");
        st = wr_file_open(k->fs, copy, WR_FILE_READ | WR_FILE_WRITE | WR_FILE_CREATE | WR_FILE_EXCL,
            0600, &k->file, e);
        if (st == WR_OK)
            k->path = copy;
        else
            wr_free(copy);
        if (st == WR_CONFLICT && nth < NAMES_MAX)
            st = WR_OK;
    }
    return st;
}

/* Which slots pages first .. first+n-1 have, from k->n on. */
static enum wr_status put_slots(struct wr_kept *k, uint32_t first, uint32_t n, struct wr_err *e)
{
    uint32_t slots[SLOTS];
    enum wr_status st = WR_OK;

    for (uint32_t done = 0, part; done < n && st == WR_OK; done += part) {
        part = wr_min(n - done, SLOTS);
        for (uint32_t i = 0; i < part; i++)
            slots[i] = k->n + done + i;
        st = wr_file_pwrite(k->file, slots, part * sizeof(slots[0]), slot_at(first + done), e);
    }
    return st;
}

enum wr_status wr_kept_put(
    struct wr_kept *k, uint32_t first, uint32_t n, const uint8_t *pages, struct wr_err *e)
{
    enum wr_status st = begin(k, e);

    if (st == WR_OK)
        st = wr_file_pwrite(k->file, pages, (size_t)n * k->page_size, page_at(k, k->n), e);
    if (st == WR_OK)
        st = put_slots(k, first, n, e);
    if (st != WR_OK)
        return st;
    for (uint32_t p = first; p < first + n; p++)
        k->bits[(p - 1) / 8] |= (uint8_t)(1u << (p - 1) % 8);
    k->n += n;
    return WR_OK;
}

/* How many of the next pages are kept in slots that follow each other. */
static uint32_t run_of(const struct wr_kept *k, uint32_t pgno, const uint32_t *slots, uint32_t n)
{
    uint32_t i = 0;

    while (i < n && wr_kept_has(k, pgno + i) && slots[i] == slots[0] + i)
        i++;
    return i;
}

static enum wr_status get_part(
    const struct wr_kept *k, uint32_t first, uint32_t n, uint8_t *buf, struct wr_err *e)
{
    uint32_t slots[SLOTS];
    enum wr_status st = WR_OK;
    uint32_t i = 0, run;

    while (i < n && !wr_kept_has(k, first + i))
        i++;
    if (i == n)
        return WR_OK;
    first += i;
    buf += (size_t)i * k->page_size;
    n -= i;
    /* Up to the last page that is kept: behind it there may be no file. */
    while (!wr_kept_has(k, first + n - 1))
        n--;
    st = wr_file_pread_all(k->file, slots, n * sizeof(slots[0]), slot_at(first), k->path, e);
    for (i = 0; i < n && st == WR_OK; i += wr_max(run, 1u)) {
        run = run_of(k, first + i, slots + i, n - i);
        if (run > 0)
            st = wr_file_pread_all(k->file, buf + (size_t)i * k->page_size,
                (size_t)run * k->page_size, page_at(k, slots[i]), k->path, e);
    }
    return st;
}

enum wr_status wr_kept_get(
    const struct wr_kept *k, uint32_t first, uint32_t n, uint8_t *buf, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    for (uint32_t done = 0, part; k->bits && done < n && st == WR_OK; done += part) {
        part = wr_min(n - done, SLOTS);
        st = get_part(k, first + done, part, buf + (size_t)done * k->page_size, e);
    }
    return st;
}
