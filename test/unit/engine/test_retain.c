/*
 * test_retain.c - what retention keeps: against the planner, over random histories, and the plain
 * cases by hand.
 */
#include "engine/retain.h"

#include "base/mem.h"
#include "base/rand.h"
#include "engine/plan.h"
#include "harness/t.h"

#include <time.h>

#define LISTING_MAX 64
#include "unit/engine/listing.h"

/* Unless it is there. */
static void add(struct listing *l, unsigned level, uint64_t min, uint64_t max, int64_t time_ms)
{
    if (!listing_has(l, &(struct wr_ltx_file){.level = level, .min = min, .max = max}))
        listing_add(l, level, min, max, time_ms);
}

static bool restores(const struct listing *l, uint64_t txid)
{
    struct wr_plan_target t = {.txid = txid};
    size_t chain[LISTING_MAX], n = 0;
    struct wr_err e = {0};

    return wr_plan(l->f, l->n, &t, chain, &n, &e) == WR_OK;
}

static struct listing kept(const struct listing *l, const struct wr_retention *r)
{
    struct listing out = {0};
    bool keep[LISTING_MAX] = {0};
    struct wr_err e = {0};

    T_OK(wr_retain(l->f, l->n, r, keep, &e));
    for (size_t i = 0; i < l->n; i++) {
        if (keep[i])
            out.f[out.n++] = l->f[i];
    }
    return out;
}

static size_t count(const struct listing *l, unsigned level)
{
    size_t n = 0;

    for (size_t i = 0; i < l->n; i++)
        n += l->f[i].level == level;
    return n;
}

/* The promises of retain.h, word for word. */
static void expect_promises(
    const struct listing *all, const struct listing *is, const struct wr_retention *r)
{
    int64_t newest = INT64_MIN, cut, l0_cut;
    uint64_t first = 0, last = 0;

    if (all->n == 0)
        return;
    for (size_t i = 0; i < all->n; i++) {
        newest = wr_max(newest, all->f[i].time_ms);
        if (restores(all, all->f[i].max))
            last = wr_max(last, all->f[i].max);
    }
    cut = r->keep_ms ? newest - r->keep_ms : INT64_MIN;
    l0_cut = r->l0_ms ? wr_max(cut, newest - r->l0_ms) : cut;
    T(last == 0 || restores(is, last));
    for (size_t i = 0; i < all->n; i++) {
        const struct wr_ltx_file *f = &all->f[i];

        if (f->level == WR_LEVEL_SNAPSHOT && f->min != 1)
            continue;
        if (f->time_ms >= (f->level ? cut : l0_cut) && restores(all, f->max))
            T(restores(is, f->max));
        if (f->time_ms < cut && restores(all, f->max))
            first = wr_max(first, f->max);
    }
    if (first)
        T(restores(is, first));
}

/* A life as a daemon leads it, with holes, leaps and files that were deleted. */
static void random_life(struct wr_rand *r, struct listing *l)
{
    uint64_t txid = 1, ends[4] = {0, 1, 1, 1};
    int64_t now = 1000;

    add(l, WR_LEVEL_SNAPSHOT, 1, 1, now);
    while (l->n < LISTING_MAX - 6) {
        uint64_t next = txid + 1 + (wr_rand_below(r, 8) ? 0 : wr_rand_below(r, 5));

        now += (int64_t)wr_rand_below(r, 30);
        add(l, 0, txid + 1, next, now);
        txid = next;
        for (unsigned level = 1; level <= 3; level++) {
            if (ends[level] < txid && wr_rand_below(r, 3 * level) == 0) {
                if (wr_rand_below(r, 10) > 0)
                    add(l, level, ends[level] + 1, txid, now);
                ends[level] = txid;
            }
        }
        if (wr_rand_below(r, 20) == 0)
            add(l, WR_LEVEL_SNAPSHOT, 1, txid, now);
        if (wr_rand_below(r, 30) == 0)
            txid += 100;
    }
    for (size_t gone = wr_rand_below(r, 4); gone > 0 && l->n > 1; gone--) {
        size_t i = (size_t)wr_rand_below(r, l->n);

        memmove(&l->f[i], &l->f[i + 1], (l->n - i - 1) * sizeof(l->f[0]));
        l->n--;
    }
}

static void random_files(struct wr_rand *r, struct listing *l)
{
    for (size_t n = (size_t)wr_rand_below(r, 24); n > 0; n--) {
        unsigned level = (unsigned)wr_rand_below(r, WR_LEVEL_MAX + 1);
        uint64_t min =
            level == WR_LEVEL_SNAPSHOT && wr_rand_below(r, 8) ? 1 : wr_rand_below(r, 12) + 1;

        add(l, level, min, min + wr_rand_below(r, 13 - min), (int64_t)wr_rand_below(r, 40));
    }
}

static void test_no_promise_is_ever_broken(void **state)
{
    const char *lives = getenv("WEIR_TEST_LIVES");
    uint64_t n = 20000;
    struct wr_rand r;

    (void)state;
    if (lives)
        T(wr_parse_u64(wr_str(lives), &n));
    wr_rand_init(&r, t_seed());
    for (uint64_t i = 0; i < n; i++) {
        struct wr_retention keep = {
            .keep_ms = (int64_t)wr_rand_below(&r, 400), .l0_ms = (int64_t)wr_rand_below(&r, 100)};
        struct listing all = {0}, is, again;

        if (i % 2)
            random_life(&r, &all);
        else
            random_files(&r, &all);
        is = kept(&all, &keep);
        expect_promises(&all, &is, &keep);
        again = kept(&is, &keep); /* what is left is left in peace */
        T(again.n == is.n);
    }
}

/* Two days of a daemon with a snapshot each day: what a user pays for. */
static void test_what_is_covered_goes(void **state)
{
    const struct wr_retention r = {.keep_ms = 1999, .l0_ms = 100};
    struct listing all = {0}, is;
    uint64_t txid = 1;
    int64_t now = 10000;

    (void)state;
    add(&all, 9, 1, 1, now);
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < 4; k++)
            add(&all, 0, txid + 1 + (uint64_t)k, txid + 1 + (uint64_t)k, now + 250 * (k + 1));
        add(&all, 1, txid + 1, txid + 2, now + 500);
        add(&all, 1, txid + 3, txid + 4, now + 1000);
        add(&all, 2, txid + 1, txid + 4, now + 1000);
        txid += 4;
        now += 1000;
        if (i == 1)
            add(&all, 9, 1, txid, now);
    }
    is = kept(&all, &r);
    T(count(&is, 0) == 1); /* the newest */
    T(count(&is, 9) == 1); /* the first day's is over */
    T(count(&is, 1) >= 4 && count(&is, 1) <= 5);
    T(restores(&is, 9) && restores(&is, 11) && restores(&is, 17) && !restores(&is, 16));
    T(!restores(&is, 5));
}

/* Level 1 has a hole: the files of level 0 in it stay. */
static void test_files_in_a_hole_stay(void **state)
{
    const struct wr_retention r = {.keep_ms = 100000, .l0_ms = 10};
    struct listing all = {0}, is;

    (void)state;
    add(&all, 9, 1, 1, 1000);
    for (uint64_t t = 2; t <= 20; t++)
        add(&all, 0, t, t, (int64_t)(1000 + 100 * t));
    add(&all, 1, 2, 6, 1600);
    add(&all, 1, 10, 20, 3000);
    is = kept(&all, &r);
    T(count(&is, 0) == 4); /* 7, 8, 9, and the newest */
    T(restores(&is, 6) && restores(&is, 20));
}

/* The clock was a year ahead for a moment. What was made then does not make all else old. */
static void test_a_file_from_the_future_makes_nothing_old(void **state)
{
    const struct wr_retention r = {.keep_ms = 1000, .l0_ms = 200, .now_ms = 3100};
    struct listing all = {0}, is;

    (void)state;
    add(&all, 9, 1, 1, 1000);
    for (uint64_t t = 2; t <= 20; t++)
        add(&all, 0, t, t, (int64_t)(1000 + 100 * t));
    add(&all, 1, 2, 11, 2100);
    add(&all, 1, 12, 19, 2900);
    add(&all, 0, 21, 21, INT64_C(31536000000));
    is = kept(&all, &r);
    T(restores(&is, 11) && restores(&is, 19) && restores(&is, 20) && restores(&is, 21));
    T(count(&is, 0) == 9 + 3); /* to the state that the time begins with, and the last ones */
    T(count(&is, 1) == 2);
}

static void test_nothing_is_deleted_for_ever(void **state)
{
    const struct wr_retention r = {0};
    struct listing all = {0}, is;

    (void)state;
    add(&all, 9, 1, 1, 1000);
    add(&all, 9, 1, 5, 100000);
    add(&all, 0, 2, 5, 9000);
    add(&all, 9, 3, 5, 100000); /* no snapshot */
    is = kept(&all, &r);
    T(is.n == all.n);
    all.n = 0;
    is = kept(&all, &r);
    T(is.n == 0);
}

/* A level that was given up and begun anew again and again: each hole is filled, and none of them
 * costs a look at all files. */
static void test_many_holes_take_no_time(void **state)
{
    enum {
        N = 50000
    };
    const struct wr_retention r = {.keep_ms = 2 * N, .l0_ms = 10};
    struct wr_ltx_file *f = wr_array(2 * N, sizeof(*f));
    bool *keep = wr_array(2 * N, sizeof(*keep));
    struct wr_err e = {0};
    clock_t began;
    size_t n = 0, l0 = 0;

    (void)state;
    T(f && keep);
    for (uint64_t t = 1; t <= N; t++)
        f[n++] = (struct wr_ltx_file){.min = t, .max = t, .time_ms = (int64_t)t};
    for (uint64_t t = 1; t + 4 <= N; t += 4)
        f[n++] =
            (struct wr_ltx_file){.level = 1, .min = t, .max = t + 1, .time_ms = (int64_t)t + 1};
    began = clock();
    T_OK(wr_retain(f, n, &r, keep, &e));
    T((clock() - began) / CLOCKS_PER_SEC < 5);
    for (size_t i = 0; i < N; i++)
        l0 += keep[i];
    T(l0 >= N / 2 - 8 && l0 <= N / 2 + 16);
    wr_free(f);
    wr_free(keep);
}

static enum wr_status sweep(void *arg)
{
    const struct wr_retention r = {.keep_ms = 1};
    const struct listing *l = arg;
    bool keep[LISTING_MAX];

    return wr_retain(l->f, l->n, &r, keep, NULL);
}

static void test_no_memory(void **state)
{
    struct listing l = {0};

    (void)state;
    add(&l, 9, 1, 1, 1);
    t_sweep_nomem(sweep, &l);
}

T_MAIN(T_TEST(test_no_promise_is_ever_broken), T_TEST(test_what_is_covered_goes),
    T_TEST(test_files_in_a_hole_stay), T_TEST(test_many_holes_take_no_time),
    T_TEST(test_a_file_from_the_future_makes_nothing_old), T_TEST(test_nothing_is_deleted_for_ever),
    T_TEST(test_no_memory))
