/*
 * sums.c - see sums.h.
 *
 * Page numbers of a change ascend and are within its commit, as the decoder has checked.
 */
#include "engine/sums.h"

#include "base/mem.h"

#define CAP_MIN ((size_t)64)

enum wr_status wr_change_add(struct wr_change *ch, uint32_t pgno, uint64_t sum, struct wr_err *e)
{
    if (ch->n == ch->cap) {
        size_t cap = ch->cap ? ch->cap * 2 : CAP_MIN;
        uint32_t *pgnos = wr_resize(ch->pgno, cap, sizeof(*pgnos));
        uint64_t *sums;

        if (pgnos)
            ch->pgno = pgnos;
        sums = pgnos ? wr_resize(ch->sum, cap, sizeof(*sums)) : NULL;
        if (!sums)
            return wr_fail(e, WR_NOMEM, "checksums of %zu pages: out of memory", cap);
        ch->sum = sums;
        ch->cap = cap;
    }
    ch->pgno[ch->n] = pgno;
    ch->sum[ch->n++] = sum;
    return WR_OK;
}

void wr_change_release(struct wr_change *ch)
{
    wr_free(ch->pgno);
    wr_free(ch->sum);
    *ch = (struct wr_change){0};
}

void wr_sums_release(struct wr_sums *s)
{
    wr_free(s->sum);
    *s = (struct wr_sums){.lock_offset = s->lock_offset};
}

void wr_sums_cut(struct wr_sums *s)
{
    s->extent = s->commit;
}

static bool is_snapshot(const struct wr_change *ch)
{
    return ch->header.min_txid == 1;
}

/* Take in the pages by which the database grows and that are not in the file, as they were when
 * they were cut off. Or the first one that never was; 0: none. It ends there, whatever the header
 * says. */
static uint32_t grow(const struct wr_sums *s, const struct wr_change *ch, uint32_t base,
    uint32_t extent, uint64_t *rolling, bool *ret_regrown)
{
    uint32_t lock = wr_ltx_lock_pgno(ch->header.page_size, s->lock_offset);
    size_t k = ch->n;

    while (k > 0 && ch->pgno[k - 1] > base)
        k--;
    for (uint64_t pgno = (uint64_t)base + 1; pgno <= ch->header.commit; pgno++) {
        if (k < ch->n && ch->pgno[k] == pgno)
            k++;
        else if (pgno != lock && (pgno > extent || s->sum[pgno - 1] == 0))
            return (uint32_t)pgno;
        else if (pgno != lock) {
            *rolling = wr_ltx_rolling(*rolling, 0, s->sum[pgno - 1]);
            *ret_regrown = true;
        }
    }
    return 0;
}

/* A file that follows others and has every page: what it says of the database before it may be that
 * nothing is known of that. */
static bool stands_alone(const struct wr_sums *s, const struct wr_change *ch)
{
    uint32_t lock = wr_ltx_lock_pgno(ch->header.page_size, s->lock_offset);

    return ch->header.rolling_pre == WR_LTX_CHECKSUM_EMPTY &&
           ch->n == ch->header.commit - (lock <= ch->header.commit);
}

enum wr_status wr_sums_try(const struct wr_sums *s, const struct wr_change *ch, bool exact,
    uint64_t *ret_rolling, bool *ret_regrown, struct wr_err *e)
{
    const struct wr_ltx_header *h = &ch->header;
    bool fresh = is_snapshot(ch), regrown = false;
    uint32_t base = fresh ? 0 : s->commit;
    uint64_t rolling = fresh ? WR_LTX_CHECKSUM_EMPTY : s->rolling;
    uint32_t page;

    if (!fresh && h->page_size != s->page_size)
        return wr_fail(e, WR_CORRUPT, "it has pages of %u bytes, and the database before it of %u",
            h->page_size, s->page_size);
    if (exact && h->has_rolling && h->rolling_pre != rolling && !stands_alone(s, ch))
        return wr_fail(e, WR_CORRUPT,
            "it does not continue the file before it: that ends with checksum %016llx, and it "
            "begins with %016llx",
            (unsigned long long)rolling, (unsigned long long)h->rolling_pre);
    page = grow(s, ch, base, fresh ? 0 : s->extent, &rolling, &regrown);
    if (page)
        return wr_fail(e, WR_CORRUPT, "page %u missing: no file before it has it (of %u pages)",
            page, h->commit);
    for (size_t k = 0; k < ch->n; k++)
        rolling =
            wr_ltx_rolling(rolling, ch->pgno[k] <= base ? s->sum[ch->pgno[k] - 1] : 0, ch->sum[k]);
    for (uint32_t i = h->commit; i < base; i++)
        rolling = wr_ltx_rolling(rolling, s->sum[i], 0);
    if (h->has_rolling && rolling != h->rolling_post)
        return wr_fail(e, WR_CORRUPT,
            "the database is not the one that it records: checksum %016llx, not %016llx",
            (unsigned long long)rolling, (unsigned long long)h->rolling_post);
    *ret_rolling = rolling;
    if (ret_regrown)
        *ret_regrown = regrown;
    return WR_OK;
}

enum wr_status wr_sums_apply(
    struct wr_sums *s, const struct wr_change *ch, uint64_t rolling, struct wr_err *e)
{
    const struct wr_ltx_header *h = &ch->header;
    bool fresh = is_snapshot(ch);
    uint32_t was = fresh ? 0 : s->extent;
    uint64_t *sum = s->sum;

    /* All pages above `was` are in the file: what is promised is there. */
    if (fresh || h->commit > was) {
        sum = wr_resize(fresh ? NULL : sum, h->commit, sizeof(*sum));
        if (!sum)
            return wr_fail(e, WR_NOMEM, "checksums of %u pages: out of memory", h->commit);
        memset(sum + was, 0, (h->commit - was) * sizeof(*sum));
    }
    if (fresh)
        wr_free(s->sum);
    for (size_t k = 0; k < ch->n; k++)
        sum[ch->pgno[k] - 1] = ch->sum[k];
    s->sum = sum;
    s->page_size = h->page_size;
    s->commit = h->commit;
    s->extent = wr_max(was, h->commit);
    s->rolling = rolling;
    return WR_OK;
}
