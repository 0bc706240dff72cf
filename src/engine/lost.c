/*
 * lost.c - see lost.h. By the ends of files, and which point comes before each.
 */
#include "engine/lost.h"

#include "base/mem.h"
#include "engine/gaps.h"

struct end {
    uint64_t txid, from;
    unsigned level;
    bool missing;
};

static int by_txid(const void *pa, const void *pb)
{
    const struct end *a = pa, *b = pb;

    if (a->txid != b->txid)
        return a->txid < b->txid ? -1 : 1;
    return (int)a->missing - (int)b->missing;
}

/* Add the end that comes next. `before` is the last point before it. */
static void add(struct wr_lost *runs, size_t *n, const struct end *end, uint64_t before)
{
    struct wr_lost *r = *n > 0 ? &runs[*n - 1] : NULL;

    if (!r || r->before != before) {
        runs[(*n)++] = (struct wr_lost){.first = end->txid,
            .last = end->txid,
            .points = 1,
            .before = before,
            .missing = end->missing,
            .level = end->level,
            .from = end->from};
    } else if (r->last != end->txid) {
        r->last = end->txid;
        r->points++;
    }
}

enum wr_status wr_lost_find(struct wr_ltx_file *files, size_t n, const struct wr_gaps_opts *o,
    const uint64_t *points, size_t n_points, struct wr_lost **ret, size_t *ret_n, size_t *ret_old,
    struct wr_err *e)
{
    enum wr_gap *gap = wr_array(n, sizeof(*gap));
    struct end *ends = wr_array(n, sizeof(*ends));
    struct wr_lost *runs = NULL;
    size_t k = 0, n_ends = 0;
    enum wr_status st = gap && ends ? wr_gaps(files, n, o, gap, e)
                                    : wr_fail(e, WR_NOMEM, "ends of %zu files: out of memory", n);

    *ret_n = *ret_old = 0;
    for (size_t i = 0; st == WR_OK && i < n; i++) {
        *ret_old += gap[i] == WR_GAP_OLD;
        if (gap[i] != WR_GAP_OLD)
            ends[n_ends++] = (struct end){.txid = files[i].max,
                .from = files[i].min,
                .level = files[i].level,
                .missing = gap[i] == WR_GAP_LOST};
    }
    if (st == WR_OK && n_ends > 0)
        qsort(ends, n_ends, sizeof(*ends), by_txid);
    if (st == WR_OK && !(runs = wr_array(n_ends, sizeof(*runs))))
        st = wr_fail(e, WR_NOMEM, "ends of %zu files: out of memory", n);
    for (size_t i = 0; st == WR_OK && i < n_ends; i++) {
        while (k < n_points && points[k] < ends[i].txid)
            k++;
        if (k == n_points || points[k] != ends[i].txid)
            add(runs, ret_n, &ends[i], k > 0 ? points[k - 1] : 0);
    }
    if (st == WR_OK)
        *ret = runs;
    wr_free(gap);
    wr_free(ends);
    return st;
}
