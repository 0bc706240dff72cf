/*
 * plan.c - the chain of files for a target. The rule, in Litestream's order of preference:
 *
 *   1. Start from the snapshot (level 9) that reaches furthest without passing the target.
 *   2. Then, among the files of levels 8 to 0 that begin at most one past the end of the chain and
 *      end beyond it but not beyond the target, append the one that reaches furthest. Of equals:
 *      the one that begins first, then the one of the higher level, then the older.
 *   3. Until there is none.
 *
 * That greed loses nothing: were there another chain that ends further, take its first file that
 * ends past ours. It begins at most one past the one before it, which ours covers, so it would have
 * been a candidate in step 2. The tests compare with an exhaustive search.
 *
 * Each level is walked once. Its files are sorted by (min, max), so those that begin early enough
 * are a prefix that only grows as the chain does; the best of them that is seen is remembered.
 */
#include "engine/plan.h"

#include "base/mem.h"

/* One level's files[i..n), of which those before i have been looked at; best: the one of them
 * to prefer, or NONE. */
struct cursor {
    size_t i, n, best;
};
#define NONE SIZE_MAX

static bool within(const struct wr_ltx_file *f, const struct wr_plan_target *t)
{
    if (t->txid)
        return f->max <= t->txid;
    return !t->time_ms || f->time_ms < t->time_ms;
}

bool wr_plan_better(const struct wr_ltx_file *a, const struct wr_ltx_file *b)
{
    if (a->max != b->max)
        return a->max > b->max;
    if (a->min != b->min)
        return a->min < b->min;
    if (a->level != b->level)
        return a->level > b->level;
    return a->time_ms < b->time_ms;
}

/* The candidate of one level for a chain that ends at `cur`, or NONE. One that was the best for a
 * shorter chain still is, unless the chain has passed it. */
static size_t advance(
    const struct wr_ltx_file *files, struct cursor *k, uint64_t cur, const struct wr_plan_target *t)
{
    /* min <= cur + 1, written so that it cannot wrap */
    for (; k->i < k->n && files[k->i].min - 1 <= cur; k->i++) {
        if (!within(&files[k->i], t))
            continue;
        if (k->best == NONE || wr_plan_better(&files[k->i], &files[k->best]))
            k->best = k->i;
    }
    if (k->best != NONE && files[k->best].max <= cur)
        k->best = NONE;
    return k->best;
}

/* The best candidate of all levels, or NONE. */
static size_t choose(const struct wr_ltx_file *files, struct cursor levels[WR_LEVEL_SNAPSHOT],
    uint64_t cur, const struct wr_plan_target *t)
{
    size_t next = NONE;

    for (unsigned level = 0; level < WR_LEVEL_SNAPSHOT; level++) {
        size_t i = advance(files, &levels[level], cur, t);

        if (i != NONE && (next == NONE || wr_plan_better(&files[i], &files[next])))
            next = i;
    }
    return next;
}

/* The files that a walk over levels 0 to 8 starts from; the snapshot to begin with or NONE. */
static size_t split(const struct wr_ltx_file *files, size_t n, const struct wr_plan_target *t,
    struct cursor levels[WR_LEVEL_SNAPSHOT])
{
    size_t snapshot = NONE;
    size_t i = 0;

    for (unsigned level = 0; level < WR_LEVEL_SNAPSHOT; level++) {
        levels[level] = (struct cursor){.i = i, .best = NONE};
        while (i < n && files[i].level == level)
            i++;
        levels[level].n = i;
    }
    for (; i < n; i++) {
        /* A file that does not begin at 1 is no snapshot, wherever it is kept. */
        if (files[i].min == 1 && within(&files[i], t))
            snapshot = i;
    }
    return snapshot;
}

/* The first file of any level that begins behind a gap after `cur`, or NONE. */
static size_t behind_gap(
    const struct wr_ltx_file *files, const struct cursor levels[WR_LEVEL_SNAPSHOT])
{
    size_t first = NONE;

    for (unsigned level = 0; level < WR_LEVEL_SNAPSHOT; level++) {
        size_t i = levels[level].i;

        if (i < levels[level].n && (first == NONE || files[i].min < files[first].min))
            first = i;
    }
    return first;
}

static bool sorted(const struct wr_ltx_file *files, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (wr_ltx_file_cmp(&files[i - 1], &files[i]) > 0)
            return false;
    }
    return true;
}

/* The verdict on a chain of `n` files that ends at `cur`. */
static enum wr_status judge(const struct wr_ltx_file *files,
    const struct cursor levels[WR_LEVEL_SNAPSHOT], const struct wr_plan_target *t, size_t n,
    uint64_t cur, struct wr_err *e)
{
    if (!t->txid && !t->time_ms) {
        size_t gap = behind_gap(files, levels);

        if (gap != NONE)
            return wr_fail(e, WR_CORRUPT,
                "non-contiguous ltx files: have up to %016llx but next file starts at %016llx",
                (unsigned long long)cur, (unsigned long long)files[gap].min);
    }
    if (n == 0)
        return wr_fail(e, WR_NOTFOUND, "no matching backup files available");
    if (t->txid && cur != t->txid)
        return wr_fail(e, WR_NOTFOUND,
            "transaction not available: %016llx (the nearest one before it is %016llx)",
            (unsigned long long)t->txid, (unsigned long long)cur);
    return WR_OK;
}

enum wr_status wr_plan(const struct wr_ltx_file *files, size_t n,
    const struct wr_plan_target *target, size_t *out, size_t *ret_n, struct wr_err *e)
{
    struct cursor levels[WR_LEVEL_SNAPSHOT];
    uint64_t cur = 0;
    size_t used = 0;
    size_t next;
    enum wr_status st;

    assert(sorted(files, n));
    if (target->txid && target->time_ms)
        return wr_fail(e, WR_MISUSE, "cannot specify both TXID & timestamp to restore");

    next = split(files, n, target, levels);
    if (next == NONE)
        next = choose(files, levels, cur, target);
    while (next != NONE) {
        assert(used < n && files[next].max > cur);
        cur = files[next].max;
        out[used++] = next;
        next = choose(files, levels, cur, target);
    }
    st = judge(files, levels, target, used, cur, e);
    if (st == WR_OK)
        *ret_n = used;
    return st;
}

enum wr_status wr_plan_files(const struct wr_ltx_files *all, const struct wr_plan_target *target,
    struct wr_ltx_files *out, struct wr_err *e)
{
    size_t *chosen = wr_array(all->n, sizeof(*chosen));
    size_t n = 0;
    enum wr_status st;

    if (!chosen)
        return wr_fail(e, WR_NOMEM, "plan over %zu files: out of memory", all->n);
    st = wr_plan(all->p, all->n, target, chosen, &n, e);
    for (size_t i = 0; st == WR_OK && i < n; i++)
        st = wr_ltx_files_add(out, &all->p[chosen[i]], e);
    wr_free(chosen);
    return st;
}

uint64_t wr_plan_gap(
    const struct wr_ltx_file *files, size_t n, const struct wr_plan_target *target, uint64_t end)
{
    uint64_t first = 0;

    for (size_t i = 0; i < n; i++) {
        if (files[i].level < WR_LEVEL_SNAPSHOT && files[i].min - 1 > end &&
            within(&files[i], target) && (first == 0 || files[i].min < first))
            first = files[i].min;
    }
    return first;
}

bool wr_plan_times(
    const struct wr_ltx_file *files, size_t n, int64_t *ret_oldest_ms, int64_t *ret_newest_ms)
{
    int64_t oldest = INT64_MAX, newest = INT64_MIN;

    for (size_t i = 0; i < n; i++) {
        oldest = wr_min(oldest, files[i].time_ms);
        newest = wr_max(newest, files[i].time_ms);
    }
    if (n == 0)
        return false;
    *ret_oldest_ms = oldest;
    *ret_newest_ms = newest;
    return true;
}
