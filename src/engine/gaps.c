/*
 * gaps.c - see gaps.h: a walk by names alone, then each level by itself.
 */
#include "engine/gaps.h"

#include "base/mem.h"
#include "base/sorted.h"
#include "engine/extent.h"
#include "engine/plan.h"
#include "engine/retain.h"
#include "engine/walk.h"

#define HOLES_MAX 16u /* of a level, for each of which retention is asked thrice */

struct gaps {
    struct wr_ltx_file *files;
    size_t n;
    const struct wr_gaps_opts *o;
    enum wr_gap *gap;
    bool *use;          /* by file: a chain leads to where it begins */
    enum wr_kept *kept; /* by file: room for retention's verdict */
    uint64_t *points;   /* ascending */
    size_t n_points;
    int64_t newest_ms;
};

/* By their names all files are as they should be: find every point, and what is of use. */
static enum wr_status find_points(struct gaps *x, struct wr_err *e)
{
    struct wr_walk w;
    enum wr_status st = wr_walk_init(&w, x->files, x->n, 0, e);

    while (st == WR_OK) {
        st = wr_walk_open(&w, e);
        for (size_t k = w.from; k < w.to; k++) {
            if (w.order[k]->max > w.cur)
                x->use[w.order[k] - x->files] = true;
        }
        if (st != WR_OK || !wr_walk_next(&w))
            break;
        wr_walk_take(&w);
        x->points[x->n_points++] = w.cur;
        while (wr_walk_pass(&w))
            ;
    }
    wr_walk_release(&w);
    return st;
}

static bool is_point(const struct gaps *x, uint64_t txid)
{
    size_t at = wr_sorted_u64(x->points, x->n_points, txid);

    return at < x->n_points && x->points[at] == txid;
}

/* Whether retention with that cut would leave all of x->files[from..to). Points that are kept by
 * number need no other question: what else stays because of them is the way to the last of them,
 * which that cut leaves, too, or is of no use. */
static enum wr_status leaves(const struct gaps *x, size_t from, size_t to, int64_t cut_ms,
    bool only_level_0, bool *ret, struct wr_err *e)
{
    int64_t age_ms = x->newest_ms > cut_ms ? x->newest_ms - cut_ms : 0;
    const struct wr_retention r = {
        .keep_ms = only_level_0 ? 0 : age_ms, .l0_ms = only_level_0 ? age_ms : 0};
    enum wr_status st;

    *ret = false;
    if (age_ms == 0) /* nothing is too old */
        return WR_OK;
    st = wr_retain(x->files, x->n, &r, x->kept, e);
    *ret = true;
    for (size_t i = from; i < to && *ret; i++)
        *ret = x->kept[i] != WR_KEPT_NOT;
    return st;
}

/* Whether retention may be why nothing leads to x->files[i], which follows a file of use of the
 * same level, all from x->files[level] on. What is gone was too old at a time, and this one is by
 * now. The files before the hole are there because they are needed; or because they were until a
 * short while ago, and wait for their grace to be over: as the way to the state that the time that
 * is kept begins with, when they were the last ones before it. */
static enum wr_status explain(
    const struct gaps *x, size_t level, size_t i, bool *ret, struct wr_err *e)
{
    const struct wr_ltx_file *f = x->files;
    size_t from = i - 1;
    enum wr_status st;

    while (from > level && x->use[from - 1] && f[from - 1].max + 1 == f[from].min)
        from--;
    st = leaves(x, from, i, f[i].time_ms + 1, false, ret, e);
    if (st == WR_OK && !*ret && f[i].level == 0)
        st = leaves(x, from, i, f[i].time_ms + 1, true, ret, e);
    if (st == WR_OK && !*ret)
        st = leaves(x, from, i, f[i - 1].time_ms + 1, false, ret, e);
    return st;
}

/* Judge the files [from, to), which are those of one level. */
static enum wr_status judge_level(struct gaps *x, size_t from, size_t to, struct wr_err *e)
{
    uint64_t newest = x->n_points > 0 ? x->points[x->n_points - 1] : 0;
    unsigned holes = 0;
    size_t end = to; /* of the hole that is looked at, going back */
    enum wr_status st = WR_OK;

    for (size_t i = from; i < to; i++) {
        const struct wr_ltx_file *f = &x->files[i];

        if (is_point(x, f->max))
            x->gap[i] = WR_GAP_NONE;
        else
            x->gap[i] = f->max > newest || wr_ltx_file_odd(f) || wr_extent_covers(x->o->said, f)
                            ? WR_GAP_LOST
                            : WR_GAP_OLD;
    }
    for (size_t i = to; st == WR_OK && i-- > from && holes < HOLES_MAX;) {
        bool explained = true;

        if (x->use[i])
            end = i;
        if (x->use[i] || i == from || !x->use[i - 1] || x->files[i - 1].max <= x->o->set_back)
            continue;
        holes++;
        st = explain(x, from, i, &explained, e);
        for (size_t k = i; !explained && k < end; k++) {
            if (x->gap[k] == WR_GAP_OLD)
                x->gap[k] = WR_GAP_LOST;
        }
    }
    return st;
}

static enum wr_status judge(struct gaps *x, struct wr_err *e)
{
    enum wr_status st = WR_OK;
    int64_t oldest;

    (void)wr_plan_times(x->files, x->n, &oldest, &x->newest_ms);
    for (size_t from = 0, to; from < x->n && st == WR_OK; from = to) {
        for (to = from; to < x->n && x->files[to].level == x->files[from].level; to++)
            ;
        st = judge_level(x, from, to, e);
    }
    return st;
}

enum wr_status wr_gaps(struct wr_ltx_file *files, size_t n, const struct wr_gaps_opts *o,
    enum wr_gap *gap, struct wr_err *e)
{
    struct gaps x = {.files = files, .n = n, .o = o, .gap = gap};
    enum wr_status st;

    x.use = wr_array(n, sizeof(*x.use));
    x.kept = wr_array(n, sizeof(*x.kept));
    x.points = wr_array(n, sizeof(*x.points));
    if (x.use && x.kept && x.points)
        st = find_points(&x, e);
    else
        st = wr_fail(e, WR_NOMEM, "gaps between %zu files: out of memory", n);
    if (st == WR_OK)
        st = judge(&x, e);
    wr_free(x.use);
    wr_free(x.kept);
    wr_free(x.points);
    return st;
}
