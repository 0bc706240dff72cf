/*
 * test_gaps.c - what is missing, and what may be: retention is never blamed, by long random lives
 * that are looked at in the middle of a deletion; plain cases by hand.
 */
#include "engine/gaps.h"

#include "base/mem.h"
#include "base/rand.h"
#include "engine/extent.h"
#include "engine/lost.h"
#include "engine/retain.h"
#include "harness/t.h"

#define LISTING_MAX 256
#include "unit/engine/listing.h"

static const struct wr_gaps_opts names = {.said = NULL}; /* nothing else is known */

static void add(struct listing *l, unsigned level, uint64_t min, uint64_t max, int64_t time_ms)
{
    if (!listing_has(l, &(struct wr_ltx_file){.level = level, .min = min, .max = max}))
        listing_add(l, level, min, max, time_ms);
}

static void cut(struct listing *l, size_t i)
{
    memmove(&l->f[i], &l->f[i + 1], (l->n - i - 1) * sizeof(l->f[0]));
    l->n--;
}

static void cut_file(struct listing *l, unsigned level, uint64_t min, uint64_t max)
{
    size_t n = l->n;

    for (size_t i = 0; i < l->n; i++) {
        if (l->f[i].level == level && l->f[i].min == min && l->f[i].max == max)
            cut(l, i--);
    }
    T(l->n + 1 == n);
}

static size_t count_up_to(struct listing *l, enum wr_gap kind, unsigned level)
{
    enum wr_gap gap[LISTING_MAX] = {0};
    size_t n = 0;
    struct wr_err e = {0};

    T_OK(wr_gaps(l->f, l->n, &names, gap, &e));
    for (size_t i = 0; i < l->n; i++)
        n += gap[i] == kind && l->f[i].level <= level;
    return n;
}

static size_t count(struct listing *l, enum wr_gap kind)
{
    return count_up_to(l, kind, WR_LEVEL_MAX);
}

/* ---- a daemon's life ---- */

struct life {
    struct listing l;
    struct listing doomed; /* since their time */
    struct wr_retention keep;
    int64_t grace_ms;
    uint64_t txid, ends[4];
    int64_t now, scale;
};

/* With a file of a level those below it get theirs, and with a snapshot all. */
static void live(struct wr_rand *r, struct life *x)
{
    uint64_t next = x->txid + 1 + (wr_rand_below(r, 8) ? 0 : wr_rand_below(r, 5));
    unsigned top = 0;

    x->now += x->scale * (1 + (int64_t)wr_rand_below(r, 30));
    add(&x->l, 0, x->txid + 1, next, x->now);
    x->txid = next;
    while (top < 4 && wr_rand_below(r, 4) == 0)
        top++;
    for (unsigned level = 1; level <= wr_min(top, 3u); level++) {
        if (x->ends[level] < x->txid && wr_rand_below(r, 15) > 0) /* else it begins anew */
            add(&x->l, level, x->ends[level] + 1, x->txid, x->now);
        x->ends[level] = x->txid;
    }
    if (top == 4 || wr_rand_below(r, 40) == 0)
        add(&x->l, WR_LEVEL_SNAPSHOT, 1, x->txid, x->now);
}

/* As the keeper does: doomed, and deleted in the order of the listing when the grace is over.
 * `upto`: no more than so many are deleted. */
static void retain(struct life *x, size_t upto)
{
    enum wr_kept keep[LISTING_MAX] = {WR_KEPT_NOT};
    struct listing doomed = {0};
    struct wr_err e = {0};

    T_OK(wr_retain(x->l.f, x->l.n, &x->keep, keep, &e));
    for (size_t i = 0; i < x->l.n; i++) {
        struct wr_ltx_file f = x->l.f[i];

        if (keep[i] != WR_KEPT_NOT)
            continue;
        f.time_ms = x->now;
        for (size_t k = 0; k < x->doomed.n; k++) {
            if (wr_ltx_file_cmp(&x->doomed.f[k], &f) == 0)
                f.time_ms = x->doomed.f[k].time_ms;
        }
        doomed.f[doomed.n++] = f;
    }
    x->doomed = doomed;
    for (size_t k = 0; k < doomed.n && upto > 0; k++) {
        if (doomed.f[k].time_ms > x->now - x->grace_ms)
            continue;
        for (size_t i = 0; i < x->l.n; i++) {
            if (wr_ltx_file_cmp(&x->l.f[i], &doomed.f[k]) == 0)
                cut(&x->l, i--);
        }
        upto--;
    }
}

/* Every third life is weeks long, and something of it is kept by number, too. */
static struct life *born(struct wr_rand *r)
{
    struct life *x = test_calloc(1, sizeof(*x));
    bool by_number = wr_rand_below(r, 3) == 0;
    int64_t scale = by_number ? INT64_C(1) << (12 + wr_rand_below(r, 12)) : 1;

    *x = (struct life){
        .keep = {.level_ms = (int64_t)wr_rand_below(r, 2) * scale * 20,
            .keep_ms = scale * (100 + (int64_t)wr_rand_below(r, 600)),
            .l0_ms = scale * (int64_t)wr_rand_below(r, wr_rand_below(r, 3) ? 200 : 1500)},
        .grace_ms = scale * (int64_t)wr_rand_below(r, 100),
        .scale = scale,
        .txid = 1,
        .ends = {0, 1, 1, 1},
        .now = 1000};
    for (size_t i = 0; by_number && i < WR_PERIODS; i++)
        x->keep.periods[i] = (uint32_t)(wr_rand_below(r, 2) * wr_rand_below(r, 60));
    x->keep.snapshots = by_number ? (uint32_t)wr_rand_below(r, 4) : 0;
    add(&x->l, WR_LEVEL_SNAPSHOT, 1, 1, x->now);
    return x;
}

/* In every second life a deletion is often cut short: nothing of level 0 is taken for lost then. Of
 * the levels above it may be, until the next one. */
static void test_retention_is_no_loss(void **state)
{
    size_t old = 0;
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 1500; round++) {
        struct life *x = born(&r);
        bool cut_short = round % 2;

        for (int step = 0; step < 120 && x->l.n < LISTING_MAX - 8; step++) {
            bool some = cut_short && wr_rand_below(&r, 3) == 0;

            live(&r, x);
            if (wr_rand_below(&r, 4) == 0)
                retain(x, some ? (size_t)wr_rand_below(&r, 6) : SIZE_MAX);
            assert_int_equal(count_up_to(&x->l, WR_GAP_LOST, cut_short ? 0 : WR_LEVEL_MAX), 0);
            old += count(&x->l, WR_GAP_OLD);
        }
        test_free(x);
    }
    T(old > 0);
}

/* ---- by hand ---- */

/* Snapshots at 1 and 60, level 0 from 2 to 80, level 1 by tens, level 2 by thirties. */
static struct listing replica(void)
{
    struct listing l = {0};

    add(&l, 9, 1, 1, 1000);
    add(&l, 9, 1, 60, 7000);
    for (uint64_t t = 2; t <= 80; t++)
        add(&l, 0, t, t, (int64_t)(1000 + 100 * t));
    for (uint64_t t = 1; t < 80; t += 10)
        add(&l, 1, t + 1, wr_min(t + 10, (uint64_t)80), (int64_t)(2000 + 100 * t));
    add(&l, 2, 2, 31, 4100);
    add(&l, 2, 32, 61, 7100);
    return l;
}

static void test_nothing_is_missing(void **state)
{
    struct listing l = replica(), none = {0};

    (void)state;
    T(count(&l, WR_GAP_NONE) == l.n);
    T(count(&none, WR_GAP_LOST) == 0);
}

/* The files behind it are there, up to where a level takes over. */
static void test_hole_in_level_0(void **state)
{
    struct listing l = replica();

    (void)state;
    cut_file(&l, 0, 34, 34);
    T(count(&l, WR_GAP_LOST) == 41 - 35); /* the point 41 is level 1's */
    cut_file(&l, 1, 32, 41);
    T(count(&l, WR_GAP_LOST) == 60 - 35 + 1); /* to the snapshot, and of level 1 to 51 */
    T(count(&l, WR_GAP_OLD) == 0);
}

/* Where times tell nothing only the newest point is promised, and what was said. */
static void test_hole_before_a_clock_was_set_back(void **state)
{
    struct wr_extent said = {.newest = 80};
    struct wr_gaps_opts o = {.set_back = 33};
    enum wr_gap gap[LISTING_MAX] = {0};
    struct listing l = replica();
    struct wr_err e = {0};

    (void)state;
    cut_file(&l, 0, 34, 34);
    T_OK(wr_gaps(l.f, l.n, &o, gap, &e));
    for (size_t i = 0; i < l.n; i++)
        T(gap[i] ==
            (l.f[i].level == 0 && l.f[i].max >= 35 && l.f[i].max < 41 ? WR_GAP_OLD : WR_GAP_NONE));
    o.set_back = 32; /* the file before the hole is from when the clock had caught up */
    T_OK(wr_gaps(l.f, l.n, &o, gap, &e));
    for (size_t i = 0; i < l.n; i++)
        T(gap[i] != WR_GAP_OLD);
    o.set_back = 33;
    o.said = &said;
    T_OK(wr_gaps(l.f, l.n, &o, gap, &e));
    for (size_t i = 0; i < l.n; i++)
        T(gap[i] != WR_GAP_OLD);
}

static void test_hole_at_the_end(void **state)
{
    struct listing l = replica();

    (void)state;
    cut_file(&l, 0, 80, 80); /* 80 is level 1's */
    T(count(&l, WR_GAP_LOST) == 0);
    cut_file(&l, 1, 72, 80); /* an older state */
    T(count(&l, WR_GAP_LOST) == 0);
    cut_file(&l, 0, 78, 78); /* 79 is the newest that is named */
    T(count(&l, WR_GAP_LOST) == 1);
}

static void test_no_base(void **state)
{
    struct listing l = replica();

    (void)state;
    cut_file(&l, 9, 1, 60);
    T(count(&l, WR_GAP_LOST) == 0);
    cut_file(&l, 9, 1, 1);
    T(count(&l, WR_GAP_LOST) == l.n);
}

/* As retention would have it in the middle of its work: the beginning is gone. */
static void test_beginning_of_a_level(void **state)
{
    struct listing l = replica();

    (void)state;
    for (uint64_t t = 2; t <= 25; t++)
        cut_file(&l, 0, t, t);
    T(count(&l, WR_GAP_LOST) == 0);
    T(count(&l, WR_GAP_OLD) == 31 - 26); /* the point 31 is level 1's */
    cut_file(&l, 9, 1, 1);
    T(count(&l, WR_GAP_LOST) == 0);
}

/* Of level 0 stays what an hour is known by, though a level leads there, and the way to the next
 * hour's point: by age alone retention would not have left that. */
static void test_points_of_hours(void **state)
{
    const int64_t hour = 3600000;
    struct listing l = {0};

    (void)state;
    add(&l, 9, 1, 1, 0);
    add(&l, 1, 2, 10, hour - 1);
    add(&l, 0, 10, 10, hour - 1);
    add(&l, 0, 11, 20, 2 * hour - 1);
    add(&l, 9, 1, 60, 24 * hour);
    for (uint64_t t = 96; t <= 120; t++)
        add(&l, 0, t, t, 48 * hour + (int64_t)t);
    add(&l, 9, 1, 100, 48 * hour + 100);
    T(count(&l, WR_GAP_LOST) == 0);
    T(count(&l, WR_GAP_OLD) == 4);
}

/* Kept as a snapshot, and none. */
static void test_odd(void **state)
{
    struct listing l = replica();

    (void)state;
    add(&l, 9, 2, 80, 9000);
    T(count(&l, WR_GAP_LOST) == 0);
    add(&l, 9, 2, 90, 9000);
    T(count(&l, WR_GAP_LOST) == 1);
}

/* ---- runs ---- */

static void test_runs(void **state)
{
    struct listing l = replica();
    const uint64_t points[] = {1, 2, 3, 50};
    struct wr_lost *runs = NULL;
    size_t n = 0, old = 0;
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_lost_find(l.f, l.n, &names, points, 4, &runs, &n, &old, &e));
    T(n == 2 && old == 0);
    T(runs[0].first == 4 && runs[0].last == 49 && runs[0].points == 46 && runs[0].before == 3);
    T(runs[1].first == 51 && runs[1].last == 80 && runs[1].points == 30 && runs[1].before == 50);
    T(!runs[0].missing && !runs[1].missing);
    wr_free(runs);
    cut_file(&l, 0, 34, 34);
    T_OK(wr_lost_find(l.f, l.n, &names, points, 0, &runs, &n, &old, &e));
    T(n == 1 && runs[0].first == 1 && runs[0].points == 79 && runs[0].before == 0);
    wr_free(runs);
}

static enum wr_status find_once(void *arg)
{
    struct listing *l = arg;
    struct wr_lost *runs = NULL;
    size_t n = 0, old = 0;
    struct wr_err e = {0};
    enum wr_status st = wr_lost_find(l->f, l->n, &names, NULL, 0, &runs, &n, &old, &e);

    wr_free(runs);
    return st;
}

static void test_nomem(void **state)
{
    struct listing l = replica();

    (void)state;
    cut_file(&l, 0, 34, 34);
    t_sweep_nomem(find_once, &l);
}

T_MAIN(T_TEST(test_retention_is_no_loss), T_TEST(test_nothing_is_missing),
    T_TEST(test_hole_in_level_0), T_TEST(test_hole_before_a_clock_was_set_back),
    T_TEST(test_hole_at_the_end), T_TEST(test_no_base), T_TEST(test_beginning_of_a_level),
    T_TEST(test_points_of_hours), T_TEST(test_odd), T_TEST(test_runs), T_TEST(test_nomem))
