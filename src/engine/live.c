/*
 * live.c - see live.h.
 */
#include "engine/live.h"

void wr_live_release(struct wr_live *x)
{
    wr_sums_release(&x->sums);
    *x = (struct wr_live){0};
}

static bool has(const struct wr_change *ch, uint32_t pgno)
{
    size_t lo = 0, hi = ch ? ch->n : 0;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (ch->pgno[mid] < pgno)
            lo = mid + 1;
        else
            hi = mid;
    }
    return ch && lo < ch->n && ch->pgno[lo] == pgno;
}

static void differs(struct wr_live *x, const struct wr_change *ch, uint32_t pgno)
{
    if (has(ch, pgno)) {
        x->changing++;
    } else if (x->differ++ == 0) {
        x->page = pgno;
    }
}

/* What the file cut off was there before it, and what it added was not: where the numbers of pages
 * differ, and a file lies between, those beyond the smaller one were being written. */
void wr_live_compare(
    struct wr_live *x, const struct wr_sums *at, const struct wr_change *ch, uint64_t txid)
{
    const struct wr_sums *is = &x->sums;
    uint32_t both = wr_min(is->commit, at->commit);

    if (x->met)
        return;
    x->txid = txid;
    x->same = x->changing = x->differ = x->page = 0;
    if (is->page_size != at->page_size) {
        x->differ = wr_max(is->commit, 1u);
        x->page = 1;
        return;
    }
    for (uint32_t i = 0; i < both; i++) {
        if (is->sum[i] == at->sum[i])
            x->same++;
        else
            differs(x, ch, i + 1);
    }
    for (uint32_t i = both; i < is->commit; i++) { /* cut off since, if it was there before */
        if (ch && i < at->extent && is->sum[i] == at->sum[i])
            x->changing++;
        else
            differs(x, ch, i + 1);
    }
    for (uint32_t i = both; i < at->commit; i++)
        differs(x, ch, i + 1);
    x->met = x->differ == 0;
}
