/*
 * verify_back.c - the database at an earlier point, made once more, to go on from there.
 *
 * Needed where files were written by two processes, and seldom there: the files of a plan that
 * leads to that point, all of which are known to be good, are read again.
 */
#include "engine/verify_int.h"

#include "base/mem.h"
#include "engine/plan.h"

#define BACKS_MAX 100 /* each of which reads a plan */

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
        st = wr_sums_try(s, &ch, wr_verify_follows(f, cur), &rolling, NULL, e);
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

    if (st == WR_OK && v->backs++ == BACKS_MAX)
        st = wr_fail(e, WR_LIMIT,
            "more than %d states had to be made once more, as two processes have written, or the "
            "database shrank and grew: that many are not proven",
            BACKS_MAX);
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

/* That database, with `f` on top, in place of the one at hand. */
static enum wr_status put(struct wr_verify_run *v, struct wr_sums *s, const struct wr_ltx_file *f,
    uint64_t at, const struct wr_change *ch, struct wr_err *e)
{
    uint64_t rolling = 0;
    enum wr_status st = wr_sums_try(s, ch, wr_verify_follows(f, at), &rolling, NULL, e);

    if (st == WR_OK)
        st = wr_sums_apply(s, ch, rolling, e);
    if (st != WR_OK)
        return st;
    *wr_verify_mark_of(v, f) = (struct wr_verify_mark){.rolling = rolling,
        .base = at,
        .time_ms = ch->header.time_ms,
        .state = WR_VERIFY_GOOD,
        .recorded = ch->header.has_rolling};
    wr_sums_release(&v->sums);
    v->sums = *s;
    *s = (struct wr_sums){0};
    return WR_OK;
}

/* That it is not to be had any more is no failure. */
static enum wr_status settle(enum wr_status st, const struct wr_err *why, struct wr_err *e)
{
    if (st == WR_OK || st == WR_NOTFOUND || st == WR_CORRUPT || st == WR_MISUSE)
        return WR_OK;
    return wr_fail(e, st, "%s", why->text);
}

enum wr_status wr_verify_go_back(struct wr_verify_run *v, const struct wr_ltx_file *f,
    const struct wr_change *ch, bool *ret_done, struct wr_err *e)
{
    struct wr_sums s = {.lock_offset = v->sums.lock_offset};
    uint64_t base = wr_verify_mark_of(v, f)->base;
    struct wr_err why = {0};
    enum wr_status st = make(v, base, &s, &why);

    if (st == WR_OK)
        st = put(v, &s, f, base, ch, &why);
    *ret_done = st == WR_OK;
    wr_sums_release(&s);
    return settle(st, &why, e);
}

/* A file that ends at walk.cur with the database that `ch` goes on from; NULL: none is known. */
static const struct wr_ltx_file *other_end(
    const struct wr_verify_run *v, const struct wr_change *ch)
{
    if (!ch->header.has_rolling || ch->header.rolling_pre == v->sums.rolling)
        return NULL;
    for (size_t i = 0; i < v->files.n; i++) {
        const struct wr_verify_mark *m = &v->marks[i];

        if (v->files.p[i].max == v->walk.cur && m->state == WR_VERIFY_GOOD &&
            m->rolling == ch->header.rolling_pre)
            return &v->files.p[i];
    }
    return NULL;
}

bool wr_verify_is_crossing(
    const struct wr_verify_run *v, const struct wr_ltx_file *f, const struct wr_change *ch)
{
    return wr_verify_follows(f, v->walk.cur) && other_end(v, ch) != NULL;
}

enum wr_status wr_verify_cross_over(struct wr_verify_run *v, const struct wr_ltx_file *f,
    const struct wr_change *ch, bool *ret_done, struct wr_err *e)
{
    struct wr_sums s = {.lock_offset = v->sums.lock_offset};
    const struct wr_ltx_file *by = other_end(v, ch);
    struct wr_err why = {0};
    enum wr_status st;

    if (!by || !wr_verify_follows(f, v->walk.cur))
        return WR_OK;
    st = make(v, wr_verify_mark_of(v, by)->base, &s, &why);
    if (st == WR_OK)
        st = apply(v, &s, wr_verify_mark_of(v, by)->base, by, &why);
    if (st == WR_OK)
        st = put(v, &s, f, v->walk.cur, ch, &why);
    *ret_done = st == WR_OK;
    wr_sums_release(&s);
    return settle(st, &why, e);
}

enum wr_status wr_verify_grown(struct wr_verify_run *v, const struct wr_ltx_file *f,
    const struct wr_change *ch, struct wr_err *ret_why, struct wr_err *e)
{
    struct wr_sums s = {.lock_offset = v->sums.lock_offset};
    struct wr_err why = {0};
    uint64_t rolling = 0;
    enum wr_status st = make(v, v->walk.cur, &s, &why);

    if (st == WR_OK)
        st = wr_sums_try(&s, ch, wr_verify_follows(f, v->walk.cur), &rolling, NULL, ret_why);
    else if (settle(st, &why, NULL) == WR_OK)
        (void)wr_fail(ret_why, WR_CORRUPT, "what it goes on from cannot be restored: %s", why.text);
    wr_sums_release(&s);
    return settle(st, &why, e);
}
