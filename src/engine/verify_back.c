/*
 * verify_back.c - the database at an earlier point, made once more, to go on from there.
 *
 * Needed where files were written by two processes, and seldom there: the files of a plan that
 * leads to that point, all of which are known to be good, are read again.
 */
#include "engine/verify_int.h"

#include "base/mem.h"
#include "engine/plan.h"

/* The good files of the replica, in their order; to be freed. */
static enum wr_status good_files(
    const struct wr_verify_run *v, struct wr_ltx_file **ret, size_t *ret_n, struct wr_err *e)
{
    size_t n = 0;

    *ret = wr_array(v->files.n, sizeof(**ret));
    if (!*ret)
        return wr_fail(e, WR_NOMEM, "list of %zu files: out of memory", v->files.n);
    for (size_t i = 0; i < v->files.n; i++) {
        if (v->marks[i].state == WR_VERIFY_GOOD)
            (*ret)[n++] = v->files.p[i];
    }
    *ret_n = n;
    return WR_OK;
}

/* Read a file of the listing and apply it to `s`, which is the database at `cur`. NOTFOUND: it has
 * vanished. */
static enum wr_status apply(struct wr_verify_run *v, struct wr_sums *s, uint64_t cur,
    const struct wr_ltx_file *f, struct wr_err *e)
{
    struct wr_change ch = {0};
    uint64_t rolling = 0;
    enum wr_status st = wr_ahead_get(&v->ahead, &v->call, f, &ch, e);

    if (st == WR_NOTFOUND) {
        wr_verify_mark_of(v, f)->state = WR_VERIFY_VANISHED;
        v->stale = true;
    }
    if (st == WR_OK)
        st = wr_sums_try(s, &ch, wr_verify_follows(f, cur), &rolling, e);
    if (st == WR_OK)
        st = wr_sums_apply(s, &ch, rolling, e);
    wr_change_release(&ch);
    return st;
}

/* The database at `txid`. NOTFOUND, CORRUPT: it is not to be had any more. */
static enum wr_status make(
    struct wr_verify_run *v, uint64_t txid, struct wr_sums *s, struct wr_err *e)
{
    const struct wr_plan_target target = {.txid = txid};
    struct wr_ltx_file *good = NULL;
    size_t *plan = wr_array(v->files.n, sizeof(*plan));
    size_t n = 0, n_good = 0;
    uint64_t cur = 0;
    enum wr_status st = plan ? good_files(v, &good, &n_good, e)
                             : wr_fail(e, WR_NOMEM, "plan over %zu files", v->files.n);

    if (st == WR_OK)
        st = wr_plan(good, n_good, &target, plan, &n, e);
    for (size_t i = 0; st == WR_OK && i < n; i++) {
        const struct wr_ltx_file *f = wr_ltx_files_find(&v->files, &good[plan[i]]);

        st = apply(v, s, cur, f, e);
        cur = f->max;
    }
    wr_free(plan);
    wr_free(good);
    return st;
}

enum wr_status wr_verify_go_back(struct wr_verify_run *v, const struct wr_ltx_file *f,
    const struct wr_change *ch, bool *ret_done, struct wr_err *e)
{
    struct wr_sums s = {.lock_offset = v->sums.lock_offset};
    struct wr_verify_mark *m = wr_verify_mark_of(v, f);
    struct wr_err why = {0};
    uint64_t rolling = 0;
    enum wr_status st = make(v, m->base, &s, &why);

    if (st == WR_OK)
        st = wr_sums_try(&s, ch, wr_verify_follows(f, m->base), &rolling, &why);
    if (st == WR_OK)
        st = wr_sums_apply(&s, ch, rolling, &why);
    if (st == WR_OK) {
        m->rolling = rolling;
        wr_sums_release(&v->sums);
        v->sums = s;
        *ret_done = true;
        return WR_OK;
    }
    wr_sums_release(&s);
    if (st == WR_NOTFOUND || st == WR_CORRUPT || st == WR_MISUSE)
        return WR_OK;
    return wr_fail(e, st, "%s", why.text);
}
