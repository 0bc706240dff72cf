/*
 * draft.c - pages and what the map says of them: written in this order, read back with suspicion.
 */
#include "engine/draft.h"

#include "base/bytes.h"
#include "base/crc64.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/inputs.h"
#include "ltx/ltx.h"

static const uint8_t MAGIC[8] = {'W', 'E', 'I', 'R', 'M', 'A', 'P', '2'};

enum {
    ENTRY = WR_DRAFT_ENTRY,
    AT_PAGE_SIZE = 8, /* in the header */
    AT_CHECK = 4,     /* in an entry */
    BLOCK = 1,        /* bit of the origin */
};

static uint64_t entry_off(uint32_t pgno)
{
    return (uint64_t)pgno * ENTRY;
}

uint64_t wr_draft_identity(const struct wr_input *in)
{
    uint8_t b[40];

    wr_put_le64(b, in->file->min);
    wr_put_le64(b + 8, in->file->max);
    wr_put_le64(b + 16, in->file->size);
    wr_put_le64(b + 24, in->head_crc);
    wr_put_le64(b + 32, in->file_checksum);
    return wr_crc64(0, b, sizeof(b));
}

void wr_draft_entry(uint8_t *out, uint64_t identity, const struct wr_draft_page *page)
{
    uint8_t b[17];

    wr_put_le64(b, page->checksum);
    wr_put_le64(b + 8, identity);
    b[16] = page->block;
    wr_put_le32(out, ((uint32_t)identity & ~(uint32_t)BLOCK) | (page->block ? BLOCK : 0));
    wr_put_le64(out + AT_CHECK, wr_crc64(0, b, sizeof(b)) | WR_LTX_CHECKSUM_EMPTY);
}

static const uint8_t *claim_of(const struct wr_draft *d, uint32_t pgno)
{
    return d->claims + (size_t)(pgno - 1) * ENTRY;
}

static bool is_of(const uint8_t *claim, uint64_t identity)
{
    return wr_le64(claim + AT_CHECK) != 0 && (wr_le32(claim) ^ (uint32_t)identity) <= BLOCK;
}

bool wr_draft_claims(const struct wr_draft *d, uint64_t identity, uint32_t pgno)
{
    return pgno <= d->n_claims && is_of(claim_of(d, pgno), identity);
}

bool wr_draft_get(
    struct wr_draft *d, uint64_t identity, uint32_t pgno, uint8_t *page, struct wr_draft_page *ret)
{
    const uint8_t *claim = claim_of(d, pgno);
    struct wr_draft_page is = {.block = wr_le32(claim) & BLOCK};
    uint8_t entry[ENTRY];
    size_t got = 0;

    assert(pgno <= d->n_claims);
    /* A page that cannot be read can perhaps be written. */
    if (wr_file_pread(d->file, page, d->page_size, (uint64_t)(pgno - 1) * d->page_size, &got,
            NULL) != WR_OK ||
        got != d->page_size)
        return false;
    is.checksum = wr_ltx_page_checksum(pgno, page, d->page_size);
    wr_draft_entry(entry, identity, &is);
    if (memcmp(entry, claim, ENTRY) != 0)
        return false;
    *ret = is;
    return true;
}

static enum wr_status forget(struct wr_draft *d, uint64_t size, uint64_t identity)
{
    uint8_t some[340 * ENTRY];
    enum wr_status st = WR_OK;

    for (uint64_t off = ENTRY; st == WR_OK && off + ENTRY <= size; off += sizeof(some)) {
        size_t n = (size_t)wr_min((uint64_t)sizeof(some), size - off) / ENTRY * ENTRY;
        bool changed = false;

        st = wr_file_pread_all(d->map, some, n, off, "map", NULL);
        for (size_t at = 0; st == WR_OK && at < n; at += ENTRY) {
            if (!is_of(some + at, identity))
                continue;
            memset(some + at, 0, ENTRY);
            changed = true;
        }
        if (st == WR_OK && changed)
            st = wr_file_pwrite(d->map, some, n, off, NULL);
    }
    return st;
}

void wr_draft_forget(struct wr_draft *d, uint64_t identity)
{
    struct wr_file_info info;
    enum wr_status st;

    if (!d->map)
        return;
    st = wr_file_info(d->map, &info, NULL);
    if (st == WR_OK)
        st = forget(d, info.size, identity);
    if (st != WR_OK && wr_file_truncate(d->map, 0, NULL) != WR_OK) /* better none than that */
        atomic_store(&d->unmapped, true);
}

static void record(struct wr_draft *d, uint32_t pgno, const uint8_t *entries, size_t n)
{
    if (!d->map || atomic_load_explicit(&d->unmapped, memory_order_relaxed))
        return;
    if (wr_file_pwrite(d->map, entries, n * ENTRY, entry_off(pgno), NULL) != WR_OK)
        atomic_store_explicit(&d->unmapped, true, memory_order_relaxed);
}

enum wr_status wr_draft_put(struct wr_draft *d, uint32_t pgno, struct wr_bytes pages,
    const uint8_t *entries, struct wr_err *e)
{
    uint64_t off = (uint64_t)(pgno - 1) * d->page_size;
    enum wr_status st = wr_file_pwrite(d->file, pages.p, pages.n, off, e);

    assert(pages.n % d->page_size == 0);
    if (st != WR_OK) {
        atomic_store_explicit(&d->failed, true, memory_order_relaxed);
        return wr_wrap(e, st, "write page %u", pgno);
    }
    /* Let the disk begin, so that the sync at the end does not have it all to do. */
    d->file->fs->flush_hint(d->file, off, pages.n);
    record(d, pgno, entries, pages.n / d->page_size);
    return WR_OK;
}

static void put_header(uint8_t out[ENTRY], uint32_t page_size)
{
    memcpy(out, MAGIC, sizeof(MAGIC));
    wr_put_le32(out + AT_PAGE_SIZE, page_size);
}

uint32_t wr_draft_count(struct wr_file *map, uint32_t page_size, uint64_t identity)
{
    uint8_t some[340 * ENTRY], header[ENTRY];
    uint32_t count = 0;
    size_t got = 0;

    put_header(header, page_size);
    if (wr_file_pread(map, some, ENTRY, 0, &got, NULL) != WR_OK || got < ENTRY ||
        memcmp(header, some, ENTRY) != 0)
        return 0;
    for (uint64_t off = ENTRY;; off += sizeof(some)) {
        if (wr_file_pread(map, some, sizeof(some), off, &got, NULL) != WR_OK || got < ENTRY)
            return count;
        for (size_t at = 0; at + ENTRY <= got; at += ENTRY)
            count += is_of(some + at, identity);
    }
}

/* Take over the map of an earlier run, as far as it is about pages up to `commit`. None is OK. */
static enum wr_status load(struct wr_draft *d, uint32_t commit, struct wr_err *e)
{
    struct wr_file_info info;
    uint8_t header[ENTRY], want[ENTRY];
    uint64_t n;

    put_header(want, d->page_size);
    if (!d->map || wr_file_info(d->map, &info, NULL) != WR_OK || info.size < 2 * ENTRY)
        return WR_OK;
    if (wr_file_pread_all(d->map, header, ENTRY, 0, "map", NULL) != WR_OK ||
        memcmp(header, want, ENTRY) != 0)
        return WR_OK;
    n = wr_min(info.size / ENTRY - 1, (uint64_t)commit);
    d->claims = wr_array((size_t)n, ENTRY);
    if (!d->claims)
        return wr_fail(e, WR_NOMEM, "map of %llu pages: out of memory", (unsigned long long)n);
    if (wr_file_pread_all(d->map, d->claims, (size_t)n * ENTRY, ENTRY, "map", NULL) == WR_OK) {
        d->n_claims = (uint32_t)n;
        return WR_OK;
    }
    wr_free(d->claims);
    d->claims = NULL;
    return WR_OK;
}

/* Begin a map, or cut one to what it still can be of use for. */
static void start_map(struct wr_draft *d)
{
    uint8_t header[ENTRY];
    enum wr_status st;

    if (!d->map)
        return;
    put_header(header, d->page_size);
    st = wr_file_truncate(d->map, d->n_claims ? entry_off(d->n_claims + 1) : 0, NULL);
    if (st == WR_OK)
        st = wr_file_pwrite(d->map, header, ENTRY, 0, NULL);
    atomic_store(&d->unmapped, st != WR_OK);
}

/* Of a file that is gone on with, every page but the lock page will be read again or written. */
static enum wr_status clear_lock_page(
    struct wr_draft *d, const struct wr_inputs *x, struct wr_err *e)
{
    static const uint8_t zeros[512]; /* no page is smaller */
    uint64_t off = (uint64_t)(x->lock_pgno - 1) * d->page_size;
    enum wr_status st = WR_OK;

    if (d->n_claims == 0 || x->lock_pgno > x->commit)
        return WR_OK;
    for (uint32_t at = 0; st == WR_OK && at < d->page_size; at += (uint32_t)sizeof(zeros))
        st = wr_file_pwrite(d->file, zeros, sizeof(zeros), off + at, e);
    return st;
}

enum wr_status wr_draft_open(struct wr_draft *d, struct wr_file *file, struct wr_file *map,
    const struct wr_inputs *x, struct wr_err *e)
{
    enum wr_status st;

    *d = (struct wr_draft){.file = file, .map = map, .page_size = x->page_size};
    st = load(d, x->commit, e);
    if (st != WR_OK)
        return st;
    start_map(d);
    if (d->n_claims == 0)
        st = wr_file_truncate(file, 0, e);
    /* The lock page, which no file has, is the hole that this leaves. */
    if (st == WR_OK)
        st = wr_file_truncate(file, (uint64_t)x->commit * x->page_size, e);
    if (st == WR_OK)
        st = clear_lock_page(d, x, e);
    if (st != WR_OK) {
        atomic_store(&d->failed, true);
        wr_draft_release(d);
    }
    return st;
}

void wr_draft_release(struct wr_draft *d)
{
    if (!d)
        return;
    wr_free(d->claims);
    d->claims = NULL;
    d->n_claims = 0;
}
