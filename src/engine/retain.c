/*
 * retain.c - see retain.h.
 *
 * What is too old is left out, all of it; then the promised points are looked at from the first one
 * on, and where no chain of what is kept leads to one, one of all files is kept, too. So whatever
 * the files are like, no promise is broken; and where levels follow each other without holes,
 * nothing has to be added but the way to the first point.
 */
#include "engine/retain.h"

#include "base/mem.h"
#include "base/mutant.h"
#include "base/sorted.h"
#include "engine/cadence.h"
#include "engine/fence.h"
#include "engine/plan.h"

#define FENCES_MAX  4u                   /* in a row */
#define FENCE_BYTES ((uint64_t)70 << 10) /* a file of one page, at most */

struct end {
    uint64_t txid;
    size_t file;
};

/* A file that ends at a point, and when that was. */
struct moment {
    int64_t time_ms;
    size_t file;
};

struct retaining {
    const struct wr_ltx_file *files;
    size_t n;
    enum wr_kept *kept;
    struct end *ends;  /* of all files, ascending by TXID */
    bool *usable;      /* by file: a chain of all files leads to its beginning */
    bool *possible;    /* by file: one does to the point that it ends at */
    bool *promised;    /* by file: that point is */
    size_t first;      /* a file that ends at the state that keep_ms begin with; SIZE_MAX: none */
    int64_t cut_ms;    /* when they do */
    uint64_t *reached; /* points that what is kept leads to, ascending */
    size_t n_reached;
    uint64_t *chain; /* room for points */
};

static int by_txid(const void *a, const void *b)
{
    const struct end *x = a, *y = b;

    if (x->txid != y->txid)
        return x->txid < y->txid ? -1 : 1;
    return x->file < y->file ? -1 : x->file > y->file;
}

static int by_time(const void *a, const void *b)
{
    const struct moment *x = a, *y = b;

    if (x->time_ms != y->time_ms)
        return x->time_ms < y->time_ms ? -1 : 1;
    return x->file < y->file ? -1 : x->file > y->file;
}

static enum wr_status out_of_memory(const struct retaining *x, struct wr_err *e)
{
    return wr_fail(e, WR_NOMEM, "retention of %zu files: out of memory", x->n);
}

/* Whether a file that is kept can be applied to a point that was reached. */
static bool applies(const struct retaining *x, const struct wr_ltx_file *f)
{
    size_t at;

    if (f->min == 1)
        return true;
    at = wr_sorted_u64(x->reached, x->n_reached, f->min - 1);
    return at < x->n_reached && x->reached[at] < f->max;
}

/* Unless it is kept already. */
static void keep(struct retaining *x, size_t i, enum wr_kept why)
{
    if (x->kept[i] == WR_KEPT_NOT)
        x->kept[i] = why;
}

/* The points of a chain, the last of which is that of ends[..n) and not reached, become reached.
 * Backwards, each time with the file that begins first: it makes the fewest files. No point that
 * was reached before lies between the first one of the chain and the last, so nobody looks at an
 * end twice. */
static void keep_chain(struct retaining *x, size_t n)
{
    uint64_t from = x->ends[n - 1].txid; /* the next file must end there or behind */
    size_t n_chain = 0, best;

    do {
        for (best = SIZE_MAX; n > 0 && x->ends[n - 1].txid >= from; n--) {
            size_t k = x->ends[n - 1].file;

            if (x->usable[k] && (best == SIZE_MAX || x->files[k].min < x->files[best].min))
                best = k;
        }
        assert(best != SIZE_MAX);
        keep(x, best, WR_KEPT_WAY);
        x->chain[n_chain++] = x->files[best].max;
        from = x->files[best].min - 1;
    } while (!applies(x, &x->files[best]));
    while (n_chain > 0)
        x->reached[x->n_reached++] = x->chain[--n_chain];
}

/* Walk the points in order of TXID: whatever leads to one has come before it. Where what is kept
 * does not lead to one that was promised, more is kept. Tell which files were of use. */
static void walk(struct retaining *x, bool *ret_use)
{
    x->n_reached = 0;
    for (size_t i = 0; i < x->n;) {
        uint64_t txid = x->ends[i].txid;
        bool there = false, promised = false;

        for (; i < x->n && x->ends[i].txid == txid; i++) {
            size_t k = x->ends[i].file;
            bool use = x->kept[k] != WR_KEPT_NOT && !wr_ltx_file_odd(&x->files[k]) &&
                       applies(x, &x->files[k]);

            promised = promised || x->promised[k];
            there = there || use;
            if (ret_use)
                ret_use[k] = use;
        }
        if (there)
            x->reached[x->n_reached++] = txid;
        else if (promised)
            keep_chain(x, i);
    }
}

/* The newest point, of those that can be reached at all, from before a time. SIZE_MAX: none. */
static size_t last_before(const struct retaining *x, int64_t time_ms)
{
    size_t best = SIZE_MAX;

    for (size_t i = 0; i < x->n; i++) {
        if (x->files[i].time_ms < time_ms && x->possible[i] && !wr_ltx_file_odd(&x->files[i]) &&
            (best == SIZE_MAX || x->files[i].max > x->files[best].max))
            best = i;
    }
    return best;
}

static void keep_newest_of_levels(struct retaining *x)
{
    for (size_t i = 0, best = 0; i < x->n; i++) {
        if (i == 0 || x->files[i].level != x->files[i - 1].level ||
            x->files[i].max > x->files[best].max)
            best = i;
        if (i + 1 == x->n || x->files[i + 1].level != x->files[i].level)
            keep(x, best, WR_KEPT_NEWEST);
    }
}

/* The file behind a fence, and the names right before it, each of which may be one: where a
 * promotion did not come to its end, and another copy was promoted instead, there are two. They
 * come first, and are few where any are. */
static void keep_fences(struct retaining *x)
{
    for (size_t i = 0; i < x->n && x->files[i].level == 0; i++) {
        uint64_t from = x->files[i].min;

        if (!wr_fence_is_behind(&x->files[i]))
            continue;
        keep(x, i, WR_KEPT_FENCE);
        for (size_t k = i; k > 0 && x->files[k - 1].min + 1 >= from; k--) {
            const struct wr_ltx_file *f = &x->files[k - 1];

            if (x->files[i].min - from < FENCES_MAX && f->min == f->max && f->max + 1 == from &&
                f->size <= FENCE_BYTES) {
                keep(x, k - 1, WR_KEPT_FENCE);
                from--;
            }
        }
    }
}

/* They are the last files, and those of them that reach furthest the very last. */
static void keep_snapshots(struct retaining *x, uint32_t count)
{
    for (size_t i = x->n; i > 0 && count > 0 && x->files[i - 1].level == WR_LEVEL_SNAPSHOT; i--) {
        if (wr_ltx_file_odd(&x->files[i - 1]))
            continue;
        keep(x, i - 1, WR_KEPT_SNAPSHOT);
        x->promised[i - 1] = true;
        count--;
    }
}

/* Whether `a` is to be the point of a period rather than `b`. */
static bool stands_for_more(const struct wr_ltx_file *a, const struct wr_ltx_file *b)
{
    bool single = a->level == WR_LEVEL_SNAPSHOT;

    if (single != (b->level == WR_LEVEL_SNAPSHOT))
        return single;
    return wr_plan_better(a, b);
}

/* One point each for the last `count` periods of a kind; `m` is ascending by time. */
static void keep_periods(
    struct retaining *x, const struct moment *m, size_t n, enum wr_period kind, uint32_t count)
{
    for (; n > 0 && count > 0; count--) {
        int64_t period = wr_time_period(kind, m[n - 1].time_ms);
        size_t best = m[n - 1].file;

        for (; n > 0 && wr_time_period(kind, m[n - 1].time_ms) == period; n--) {
            if (stands_for_more(&x->files[m[n - 1].file], &x->files[best]))
                best = m[n - 1].file;
        }
        keep(x, best, WR_KEPT_PERIOD + kind);
        x->promised[best] = true;
    }
}

/* Those that lead to points and are of a time, ascending by that. */
static enum wr_status find_moments(const struct retaining *x, int64_t from_ms, int64_t to_ms,
    struct moment **ret, size_t *ret_n, struct wr_err *e)
{
    struct moment *m = wr_array(x->n, sizeof(*m));
    size_t n = 0;

    if (!m)
        return out_of_memory(x, e);
    for (size_t i = 0; i < x->n; i++) {
        int64_t is = x->files[i].time_ms;

        if (x->possible[i] && !wr_ltx_file_odd(&x->files[i]) && is >= from_ms && is <= to_ms)
            m[n++] = (struct moment){.time_ms = is, .file = i};
    }
    qsort(m, n, sizeof(*m), by_time);
    *ret = m;
    *ret_n = n;
    return WR_OK;
}

/* Of what is not from the future, that is not younger than `newest_ms`. */
static enum wr_status keep_all_periods(
    struct retaining *x, const struct wr_retention *r, int64_t newest_ms, struct wr_err *e)
{
    struct moment *m;
    size_t n;
    enum wr_status st;

    if (!wr_retention_has_periods(r))
        return WR_OK;
    st = find_moments(x, INT64_MIN, newest_ms, &m, &n, e);
    if (st != WR_OK)
        return st;
    for (enum wr_period kind = WR_PERIOD_HOUR; kind < WR_PERIODS; kind++)
        keep_periods(x, m, n, kind, r->periods[kind]);
    wr_free(m);
    return WR_OK;
}

/* Of m[from..to), which are of one interval, the newest of level 0. SIZE_MAX: none is. */
static size_t newest_of_level_0(
    const struct retaining *x, const struct moment *m, size_t from, size_t to)
{
    size_t best = SIZE_MAX;

    for (size_t i = from; i < to; i++) {
        const struct wr_ltx_file *f = &x->files[m[i].file];

        if (f->level == 0 && (best == SIZE_MAX || f->max > x->files[best].max))
            best = m[i].file;
    }
    return best;
}

/* One point of each interval; `m` is ascending by time. */
static void keep_intervals(
    struct retaining *x, const struct moment *m, size_t n, int64_t interval_ms)
{
    for (size_t i = 0, next; i < n; i = next) {
        int64_t end = wr_cadence_end(m[i].time_ms, interval_ms);
        bool has_level = false;
        size_t best;

        for (next = i; next < n && m[next].time_ms < end;)
            next++;
        best = newest_of_level_0(x, m, i, next);
        for (size_t k = i;
             best != SIZE_MAX && !has_level && k < n && m[k].time_ms < end + interval_ms / 2; k++) {
            const struct wr_ltx_file *f = &x->files[m[k].file];

            has_level = f->level > 0 && f->max >= x->files[best].max;
        }
        if (best == SIZE_MAX || has_level)
            continue;
        keep(x, best, WR_KEPT_TIME);
        x->promised[best] = true;
    }
}

static enum wr_status keep_all_intervals(struct retaining *x, const struct wr_retention *r,
    int64_t cut, int64_t newest_ms, struct wr_err *e)
{
    struct moment *m;
    size_t n;
    enum wr_status st;

    if (r->level_ms <= 0)
        return WR_OK;
    st = find_moments(x, wr_max(cut, (int64_t)0), wr_min(newest_ms, INT64_MAX / 2), &m, &n, e);
    if (st != WR_OK)
        return st;
    keep_intervals(x, m, n, r->level_ms);
    wr_free(m);
    return WR_OK;
}

static int64_t newest_ms(const struct retaining *x)
{
    int64_t newest = x->files[0].time_ms;

    for (size_t i = 1; i < x->n; i++)
        newest = wr_max(newest, x->files[i].time_ms);
    return newest;
}

static int64_t back(int64_t from, int64_t ms)
{
    return ms > 0 && from > INT64_MIN + ms ? from - ms : INT64_MIN;
}

/* That the time begins with that state one must tell who is of before it: what leads there may be
 * younger. */
static void keep_first(struct retaining *x)
{
    if (x->first == SIZE_MAX)
        return;
    for (size_t i = 0; i < x->n; i++) {
        if (x->kept[i] != WR_KEPT_NOT && x->files[i].max == x->files[x->first].max &&
            x->files[i].time_ms < x->cut_ms && !wr_ltx_file_odd(&x->files[i]))
            return;
    }
    keep(x, x->first, WR_KEPT_TIME);
}

/* Keep what the rules name, and say which points are promised. */
static enum wr_status choose(struct retaining *x, const struct wr_retention *r, struct wr_err *e)
{
    int64_t newest = r->now_ms > 0 ? wr_min(newest_ms(x), r->now_ms) : newest_ms(x);
    int64_t cut = back(newest, r->keep_ms);
    int64_t l0_cut = r->l0_ms > 0 ? back(newest, r->l0_ms) : cut;
    size_t last = last_before(x, INT64_MAX);
    enum wr_status st;

    x->first = last_before(x, cut);
    x->cut_ms = cut;
    for (size_t i = 0; i < x->n; i++) {
        bool young = x->files[i].time_ms >= (x->files[i].level == 0 ? l0_cut : cut);

        x->kept[i] = young ? WR_KEPT_TIME : WR_KEPT_NOT;
        x->promised[i] = young && x->possible[i];
    }
    keep_newest_of_levels(x);
    if (x->first != SIZE_MAX)
        x->promised[x->first] = true;
    if (last != SIZE_MAX)
        x->promised[last] = true;
    keep_snapshots(x, r->snapshots);
    st = keep_all_intervals(x, r, cut, newest, e);
    return st == WR_OK ? keep_all_periods(x, r, newest, e) : st;
}

/* Which points there are at all. */
static void find_possible(struct retaining *x)
{
    size_t k = 0;

    for (size_t i = 0; i < x->n; i++)
        x->kept[i] = WR_KEPT_WAY;
    walk(x, x->usable); /* nothing is promised yet */
    for (size_t i = 0; i < x->n; i++) {
        while (k < x->n_reached && x->reached[k] < x->ends[i].txid)
            k++;
        x->possible[x->ends[i].file] = k < x->n_reached && x->reached[k] == x->ends[i].txid;
    }
}

static enum wr_status retaining_init(struct retaining *x, struct wr_err *e)
{
    x->ends = wr_array(x->n, sizeof(*x->ends));
    x->usable = wr_array(x->n, sizeof(*x->usable));
    x->possible = wr_array(x->n, sizeof(*x->possible));
    x->promised = wr_array(x->n, sizeof(*x->promised));
    x->reached = wr_array(x->n, sizeof(*x->reached));
    x->chain = wr_array(x->n, sizeof(*x->chain));
    if (!x->ends || !x->usable || !x->possible || !x->promised || !x->reached || !x->chain)
        return out_of_memory(x, e);
    for (size_t i = 0; i < x->n; i++)
        x->ends[i] = (struct end){.txid = x->files[i].max, .file = i};
    qsort(x->ends, x->n, sizeof(*x->ends), by_txid);
    return WR_OK;
}

static void retaining_release(struct retaining *x)
{
    wr_free(x->ends);
    wr_free(x->usable);
    wr_free(x->possible);
    wr_free(x->promised);
    wr_free(x->reached);
    wr_free(x->chain);
}

bool wr_retention_has_periods(const struct wr_retention *r)
{
    bool any = false;

    for (size_t i = 0; i < WR_PERIODS; i++)
        any = any || r->periods[i] > 0;
    return any;
}

enum wr_status wr_retain(const struct wr_ltx_file *files, size_t n, const struct wr_retention *r,
    enum wr_kept *kept, struct wr_err *e)
{
    struct retaining x = {.files = files, .n = n, .kept = kept};
    enum wr_status st = n > 0 ? retaining_init(&x, e) : WR_OK;

    if (st == WR_OK && n > 0) {
        find_possible(&x);
        st = choose(&x, r, e);
        if (st == WR_OK && !WR_MUTANT(KEEP_NO_WAY))
            walk(&x, NULL);
        if (st == WR_OK) {
            keep_first(&x);
            keep_fences(&x);
        }
    }
    retaining_release(&x);
    return st;
}
