/*
 * points.c - all points at once, by what plan.c does for one of them.
 *
 * A plan for N begins with the last snapshot S that is not behind N, and then takes whatever
 * reaches furthest without passing N. So:
 *
 *   1. Its last file is, of all that end at N, the one that begins first: any other one of them
 *      would have been a candidate no earlier, and is not preferred then. Let it begin at B.
 *   2. The plan without it is the plan for the point P where that ends: whatever reached furthest
 *      short of N is what reaches furthest short of P.
 *   3. No chain from S reaches B - 1 or more with fewer files than the greedy one. So P is, of the
 *      points from B - 1 to N - 1, one with the shortest chain, and of these the last.
 *
 * Points are made ascending. Those that can still be a P, each with a longer chain than the one
 * before it, form a stack: a new point takes the place of all that have no shorter one. A snapshot
 * takes the place of all.
 */
#include "engine/points.h"

#include "base/heap.h"
#include "base/mem.h"
#include "engine/plan.h"

/* A point that a file can go on from; the first one is TXID 0, before which nothing is needed. */
struct base {
    uint64_t txid, bytes;
    size_t files;
};

struct finding {
    const struct wr_ltx_file *files;
    const struct wr_ltx_file **ends; /* the files that can be used, by their ends */
    size_t n_ends;
    struct base *stack; /* ascending by txid and by files */
    size_t n_stack;
    struct wr_points points;
};

static bool is_snapshot(const struct wr_ltx_file *f)
{
    return f->level == WR_LEVEL_SNAPSHOT;
}

/* Ascending by end; of those that end together a snapshot first, then as a plan prefers them. */
static int by_end(const void *pa, const void *pb)
{
    const struct wr_ltx_file *a = *(const struct wr_ltx_file *const *)pa;
    const struct wr_ltx_file *b = *(const struct wr_ltx_file *const *)pb;

    if (a->max != b->max)
        return a->max < b->max ? -1 : 1;
    if (is_snapshot(a) != is_snapshot(b))
        return is_snapshot(a) ? -1 : 1;
    return wr_plan_better(a, b) ? -1 : wr_plan_better(b, a);
}

/* The one of the stack that comes before `f` in a plan, or NULL. */
static const struct base *before(const struct finding *x, const struct wr_ltx_file *f)
{
    size_t lo = 0, hi = x->n_stack;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (x->stack[mid].txid < f->min - 1)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < x->n_stack ? &x->stack[lo] : NULL;
}

static void add(struct finding *x, const struct wr_ltx_file *f, unsigned finest)
{
    static const struct base empty = {0};
    const struct base *from = is_snapshot(f) ? &empty : before(x, f);
    struct base is;

    if (!from)
        return;
    is = (struct base){.txid = f->max,
        .files = from->files + 1,
        .bytes = f->size > UINT64_MAX - from->bytes ? UINT64_MAX : f->size + from->bytes};
    x->points.p[x->points.n++] = (struct wr_point){.txid = is.txid,
        .time_ms = f->time_ms,
        .bytes = is.bytes,
        .files = is.files,
        .last = (size_t)(f - x->files),
        .level = f->level,
        .finest = finest};
    if (is_snapshot(f))
        x->n_stack = 0;
    while (x->n_stack > 0 && x->stack[x->n_stack - 1].files >= is.files)
        x->n_stack--;
    x->stack[x->n_stack++] = is;
}

static void find(struct finding *x)
{
    size_t end;

    x->stack[x->n_stack++] = (struct base){0};
    for (size_t i = 0; i < x->n_ends; i = end) {
        unsigned finest = WR_LEVEL_MAX;

        for (end = i; end < x->n_ends && x->ends[end]->max == x->ends[i]->max; end++)
            finest = wr_min(finest, x->ends[end]->level);
        add(x, x->ends[i], finest);
    }
}

enum wr_status wr_points_find(
    const struct wr_ltx_file *files, size_t n, struct wr_points *ret, struct wr_err *e)
{
    struct finding x = {.files = files,
        .ends = wr_array(n, sizeof(*x.ends)),
        .stack = wr_array(n + 1, sizeof(*x.stack)),
        .points.p = wr_array(n, sizeof(*x.points.p))};

    assert(!ret->p);
    if (!x.ends || !x.stack || !x.points.p) {
        wr_points_release(&x.points);
        wr_free(x.stack);
        wr_free(x.ends);
        return wr_fail(e, WR_NOMEM, "points of %zu files: out of memory", n);
    }
    for (size_t i = 0; i < n; i++) {
        if (!wr_ltx_file_odd(&files[i]))
            x.ends[x.n_ends++] = &files[i];
    }
    if (x.n_ends > 0)
        qsort(x.ends, x.n_ends, sizeof(*x.ends), by_end);
    find(&x);
    wr_free(x.stack);
    wr_free(x.ends);
    *ret = x.points;
    return WR_OK;
}

void wr_points_release(struct wr_points *a)
{
    if (!a)
        return;
    wr_free(a->p);
    *a = (struct wr_points){0};
}

/* The level that a point counts as: its own, but no coarser than the coarser one beside it. */
static unsigned grain(const struct wr_points *a, size_t i)
{
    unsigned left = i > 0 ? a->p[i - 1].finest : 0;
    unsigned right = i + 1 < a->n ? a->p[i + 1].finest : 0;

    if (a->n == 1)
        return a->p[i].finest;
    return wr_min(a->p[i].finest, wr_max(left, right));
}

void wr_points_runs(struct wr_points *a)
{
    for (size_t i = 0; i < a->n; i++) {
        a->p[i].run = i > 0 ? a->p[i - 1].run : 0;
        if (i > 0 && grain(a, i) != grain(a, i - 1))
            a->p[i].run++;
    }
}

/* Files whose times have come, and how far they reach. */
struct coming {
    struct wr_ltx_file *files; /* those that can be used, by their times */
    size_t n, came;            /* came: the first of those whose time has not come */
    struct wr_heap early;      /* those that begin behind a gap as yet; on top the first one */
    uint64_t reached;          /* the newest state */
};

static int by_time(const void *pa, const void *pb)
{
    const struct wr_ltx_file *a = pa, *b = pb;

    return a->time_ms < b->time_ms ? -1 : a->time_ms > b->time_ms;
}

static int points_by_time(const void *pa, const void *pb)
{
    const struct wr_point *a = *(struct wr_point *const *)pa;
    const struct wr_point *b = *(struct wr_point *const *)pb;

    return a->time_ms < b->time_ms ? -1 : a->time_ms > b->time_ms;
}

static bool begins_before(const void *a, const void *b)
{
    return ((const struct wr_ltx_file *)a)->min < ((const struct wr_ltx_file *)b)->min;
}

/* Let all files come that are not from after `time_ms`. */
static enum wr_status come(struct coming *x, int64_t time_ms)
{
    const struct wr_ltx_file *f;

    for (; x->came < x->n && x->files[x->came].time_ms <= time_ms; x->came++) {
        enum wr_status st = wr_heap_push(&x->early, &x->files[x->came]);

        if (st != WR_OK)
            return st;
    }
    for (f = wr_heap_top(&x->early); f && f->min - 1 <= x->reached; f = wr_heap_top(&x->early)) {
        x->reached = wr_max(x->reached, f->max);
        (void)wr_heap_pop(&x->early); /* it is f */
    }
    return WR_OK;
}

enum wr_status wr_points_by_time(
    const struct wr_ltx_file *files, size_t n, struct wr_points *a, struct wr_err *e)
{
    struct coming x = {.files = wr_array(n, sizeof(*x.files))};
    struct wr_point **order = wr_array(a->n, sizeof(*order));
    uint64_t top = 0; /* the last of the points whose times have come */
    enum wr_status st = x.files && order ? WR_OK : WR_NOMEM;

    wr_heap_init(&x.early, begins_before, NULL);
    for (size_t i = 0; st == WR_OK && i < n; i++) {
        if (!wr_ltx_file_odd(&files[i]))
            x.files[x.n++] = files[i];
    }
    for (size_t i = 0; st == WR_OK && i < a->n; i++)
        order[i] = &a->p[i];
    if (st == WR_OK && a->n > 0) { /* and so there are files */
        qsort(x.files, x.n, sizeof(*x.files), by_time);
        qsort(order, a->n, sizeof(*order), points_by_time);
    }
    for (size_t i = 0, next; st == WR_OK && i < a->n; i = next) {
        for (next = i; next < a->n && order[next]->time_ms == order[i]->time_ms; next++)
            top = wr_max(top, order[next]->txid);
        st = come(&x, order[i]->time_ms);
        for (size_t k = i; k < next; k++)
            order[k]->by_time = wr_max(x.reached, top);
    }
    wr_heap_release(&x.early);
    wr_free(order);
    wr_free(x.files);
    if (st != WR_OK)
        return wr_fail(e, st, "points by time of %zu files: out of memory", n);
    return WR_OK;
}

/* The last point from before a time; 0: none is. */
static enum wr_status last_before(
    const struct wr_ltx_files *all, int64_t time_ms, uint64_t *ret, struct wr_err *e)
{
    struct wr_points a = {0};
    enum wr_status st = wr_points_find(all->p, all->n, &a, e);

    *ret = 0;
    for (size_t i = 0; i < a.n; i++) {
        if (a.p[i].time_ms < time_ms)
            *ret = wr_max(*ret, a.p[i].txid);
    }
    wr_points_release(&a);
    return st;
}

enum wr_status wr_points_plan(
    const struct wr_ltx_files *all, int64_t time_ms, struct wr_ltx_files *out, struct wr_err *e)
{
    struct wr_plan_target target = {.time_ms = time_ms};
    size_t before = out->n;
    struct wr_err why = {0};
    enum wr_status st = wr_plan_files(all, &target, out, &why);
    uint64_t end = st == WR_OK ? out->p[out->n - 1].max : 0, txid = 0;

    if (st != WR_OK && st != WR_NOTFOUND)
        return wr_fail(e, st, "%s", why.text);
    if (wr_plan_gap(all->p, all->n, &target, end) > 0) {
        enum wr_status found = last_before(all, time_ms, &txid, e);

        if (found != WR_OK)
            return found;
    }
    if (txid <= end)
        return st == WR_OK ? WR_OK : wr_fail(e, st, "%s", why.text);
    out->n = before;
    target = (struct wr_plan_target){.txid = txid};
    return wr_plan_files(all, &target, out, e);
}
