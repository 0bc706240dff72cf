/*
 * census.c - see census.h.
 */
#include "engine/census.h"

#include "engine/digest.h"
#include "engine/restore.h"

struct census {
    struct wr_sums sums;
    uint32_t low; /* the fewest pages that there were */
    bool regrown; /* pages above it have come back as they were */
};

/* Add what the next file of the plan does. */
static enum wr_status add(struct wr_ahead *ahead, struct wr_call *c, const struct wr_ltx_file *f,
    struct census *x, struct wr_err *e)
{
    struct wr_change ch = {0};
    uint64_t rolling = 0;
    bool regrown = false;
    enum wr_status st = wr_ahead_get(ahead, c, f, &ch, e);

    if (st == WR_NOTFOUND)
        st = wr_fail(e, WR_BUSY, "it has vanished");
    if (st == WR_OK)
        st = wr_sums_try(&x->sums, &ch, false, &rolling, &regrown, e);
    if (st == WR_OK)
        st = wr_sums_apply(&x->sums, &ch, rolling, e);
    wr_change_release(&ch);
    x->low = wr_min(x->low, x->sums.commit);
    x->regrown = x->regrown || regrown;
    return st == WR_OK ? st
                       : wr_wrap(e, st, "level %u, %016llx-%016llx", f->level,
                             (unsigned long long)f->min, (unsigned long long)f->max);
}

static enum wr_status read_all(struct wr_ahead *ahead, struct wr_call *c,
    const struct wr_ltx_files *plan, struct census *x, struct wr_err *e)
{
    const struct wr_ltx_file **list = wr_arena_array(c->scratch, plan->n, sizeof(*list));
    enum wr_status st = list ? wr_ahead_init(ahead, e) : wr_fail(e, WR_NOMEM, "list of files");

    for (size_t i = 0; i < plan->n && st == WR_OK; i++)
        list[i] = &plan->p[i];
    if (st == WR_OK)
        wr_ahead_plan(ahead, list, plan->n);
    for (size_t i = 0; i < plan->n && st == WR_OK; i++)
        st = add(ahead, c, &plan->p[i], x, e);
    wr_ahead_release(ahead);
    return st;
}

enum wr_status wr_census_take(struct wr_storage *s, struct wr_call *c, uint32_t lock_offset,
    uint64_t txid, uint64_t bytes_max, struct wr_sums *ret, struct wr_err *e)
{
    const struct wr_restore_opts o = {.parallel = 1, .lock_offset = lock_offset};
    struct wr_ahead ahead = {.storage = s, .lock_offset = lock_offset, .threads = 1};
    struct census x = {.sums.lock_offset = lock_offset, .low = UINT32_MAX};
    struct wr_ltx_files plan = {0};
    uint64_t bytes = 0;
    enum wr_status st;

    st = wr_restore_plan(s, c, &o, &plan, e);
    for (size_t i = 0; i < plan.n && st == WR_OK; i++)
        bytes += plan.p[i].size;
    if (st == WR_OK && plan.p[plan.n - 1].max != txid)
        st = wr_fail(e, WR_BUSY, "its newest state is another one by now");
    if (st == WR_OK && bytes > bytes_max)
        st = wr_fail(e, WR_LIMIT, "its files have %llu bytes", (unsigned long long)bytes);
    if (st == WR_OK)
        st = read_all(&ahead, c, &plan, &x, e);
    wr_ltx_files_release(&plan);
    if (st == WR_OK && x.regrown)
        memset(x.sums.sum + x.low, 0, (x.sums.commit - x.low) * sizeof(*x.sums.sum));
    if (st == WR_OK)
        *ret = x.sums;
    else
        wr_sums_release(&x.sums);
    return st == WR_OK ? st : wr_wrap(e, st, "read the replica's newest state");
}
