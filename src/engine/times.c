/*
 * times.c - see times.h.
 */
#include "engine/times.h"

#include "base/mem.h"
#include "engine/plan.h"
#include "engine/points.h"

#define ROUNDS_MAX 64 /* checks of a plan; times that make more of them are asked for, all */

enum phase {
    SEARCHING,
    CHECKING,
    ASKING_ALL,
    DONE,
};

struct wr_times {
    struct wr_ltx_file *files; /* the caller's */
    size_t n;
    int64_t time_ms;
    enum phase phase;
    bool *known;   /* by file: it was asked */
    size_t *which; /* asked last */
    size_t n_which;

    struct wr_points points;
    size_t lo, hi; /* points[..lo) are from before the time, points[hi..) are not */
    size_t probe;  /* the point that is looked at */
    size_t step;   /* of the search while it has one bound only; 0: it begins */
    uint64_t cut;  /* files that were not asked: those that end here or earlier are from before */

    struct wr_ltx_file *assumed; /* the files with times as they are taken to be */
    size_t *chain;               /* the plan */
    size_t n_chain;
    unsigned rounds;
    bool strict; /* ask all files of plans */
};

enum wr_status wr_times_new(
    struct wr_ltx_file *files, size_t n, int64_t time_ms, struct wr_times **ret, struct wr_err *e)
{
    struct wr_times *x = wr_alloc(sizeof(*x));
    enum wr_status st;

    assert(time_ms > 0);
    if (!x)
        return wr_fail(e, WR_NOMEM, "times of %zu files: out of memory", n);
    *x = (struct wr_times){.files = files,
        .n = n,
        .time_ms = time_ms,
        .known = wr_array(n, sizeof(*x->known)),
        .which = wr_array(n, sizeof(*x->which)),
        .assumed = wr_array(n, sizeof(*x->assumed)),
        .chain = wr_array(n, sizeof(*x->chain))};
    st = x->known && x->which && x->assumed && x->chain
             ? wr_points_find(files, n, &x->points, e)
             : wr_fail(e, WR_NOMEM, "times of %zu files: out of memory", n);
    if (st != WR_OK) {
        wr_times_free(x);
        return st;
    }
    x->hi = x->points.n;
    *ret = x;
    return WR_OK;
}

void wr_times_free(struct wr_times *x)
{
    if (!x)
        return;
    wr_points_release(&x->points);
    wr_free(x->chain);
    wr_free(x->assumed);
    wr_free(x->which);
    wr_free(x->known);
    wr_free(x);
}

static bool is_before(const struct wr_times *x, size_t i)
{
    return x->known[i] ? x->files[i].time_ms < x->time_ms : x->files[i].max <= x->cut;
}

static void want(struct wr_times *x, size_t i)
{
    if (x->known[i])
        return;
    x->known[i] = true;
    x->which[x->n_which++] = i;
}

static void want_all(struct wr_times *x)
{
    for (size_t i = 0; i < x->n; i++)
        want(x, i);
    x->phase = ASKING_ALL;
}

/* How many points arrived before the time; later ones with an earlier time do not count. */
static size_t arrived(const struct wr_times *x)
{
    size_t n = x->points.n;

    while (n > 0 && x->points.p[n - 1].time_ms >= x->time_ms)
        n--;
    return n;
}

/* The next point to look at. While one bound is missing, away from the other one in steps that
 * double; then in the middle. */
static size_t next_probe(struct wr_times *x)
{
    size_t i;

    if (x->step == 0)
        i = wr_max(arrived(x), (size_t)1) - 1;
    else if (x->hi == x->points.n)
        i = wr_min(x->lo + x->step, x->hi) - 1;
    else if (x->lo == 0)
        i = x->hi - wr_min(x->step, x->hi);
    else
        return x->lo + (x->hi - x->lo) / 2;
    x->step = x->step == 0 ? 1 : x->step * 2;
    return i;
}

/* Learn from the point that was looked at, and look at the next one. */
static void search(struct wr_times *x)
{
    if (x->step > 0 && is_before(x, x->points.p[x->probe].last))
        x->lo = x->probe + 1;
    else if (x->step > 0)
        x->hi = x->probe;
    x->n_which = 0;
    if (x->lo < x->hi) {
        x->probe = next_probe(x);
        assert(x->probe >= x->lo && x->probe < x->hi);
        want(x, x->points.p[x->probe].last);
        return;
    }
    x->cut = x->lo > 0 ? x->points.p[x->lo - 1].txid : 0;
    x->phase = CHECKING;
}

/* The plan, as far as is known. Returns where it ends. */
static uint64_t plan(struct wr_times *x)
{
    const struct wr_plan_target target = {.time_ms = x->time_ms};

    for (size_t i = 0; i < x->n; i++) {
        x->assumed[i] = x->files[i];
        x->assumed[i].time_ms = is_before(x, i) ? x->time_ms - 1 : x->time_ms;
    }
    x->n_chain = 0;
    if (wr_plan(x->assumed, x->n, &target, x->chain, &x->n_chain, NULL) != WR_OK)
        return 0; /* it can only be that nothing is from before the time */
    return x->files[x->chain[x->n_chain - 1]].max;
}

static void want_of_chain(struct wr_times *x)
{
    for (size_t back = 0; back < x->n_chain; back = back == 0 || x->strict ? back + 1 : back * 2)
        want(x, x->chain[x->n_chain - 1 - back]);
    if (x->n_chain > 0)
        want(x, x->chain[0]);
}

static bool is_power_of_2(size_t n) /* or 0 */
{
    return (n & (n - 1)) == 0;
}

/* The files that a plan that ends at `end` could go on with, and of those behind a gap the one that
 * begins first and the one that ends first: that one is from before the time is worth a warning. Of
 * snapshots, which come by their ends, there may be hundreds: all are asked only where there would
 * be no plan. */
static void want_what_follows(struct wr_times *x, uint64_t end)
{
    size_t begins = SIZE_MAX, ends = SIZE_MAX, snapshots = 0;

    for (size_t i = 0; i < x->n; i++) {
        const struct wr_ltx_file *f = &x->files[i];

        if (f->max <= end || wr_ltx_file_odd(f))
            continue;
        if (f->min - 1 <= end) {
            if (f->level < WR_LEVEL_SNAPSHOT || end == 0 || is_power_of_2(snapshots++))
                want(x, i);
            continue;
        }
        if (begins == SIZE_MAX || f->min < x->files[begins].min)
            begins = i;
        if (ends == SIZE_MAX || f->max < x->files[ends].max)
            ends = i;
    }
    if (begins != SIZE_MAX) {
        want(x, begins);
        want(x, ends);
    }
}

/* Whether a file of the plan turned out not to be from before the time. */
static bool refuted(const struct wr_times *x)
{
    for (size_t i = 0; i < x->n_chain; i++) {
        if (!is_before(x, x->chain[i]))
            return true;
    }
    return false;
}

static void check(struct wr_times *x)
{
    uint64_t end;

    x->n_which = 0;
    x->strict = x->strict || refuted(x);
    if (x->rounds++ == ROUNDS_MAX) {
        want_all(x);
        return;
    }
    end = plan(x);
    want_of_chain(x);
    want_what_follows(x, end);
}

/* Make the times say what was found. */
static void settle(struct wr_times *x)
{
    for (size_t i = 0; i < x->n; i++) {
        struct wr_ltx_file *f = &x->files[i];

        if (x->known[i])
            continue;
        f->time_ms =
            is_before(x, i) ? wr_min(f->time_ms, x->time_ms - 1) : wr_max(f->time_ms, x->time_ms);
    }
    x->n_which = 0;
    x->phase = DONE;
}

size_t wr_times_next(struct wr_times *x, const size_t **ret_which)
{
    if (x->phase == SEARCHING)
        search(x);
    if (x->phase == ASKING_ALL)
        x->n_which = 0;
    if (x->phase == CHECKING)
        check(x);
    if (x->n_which == 0)
        settle(x);
    *ret_which = x->which;
    return x->n_which;
}
