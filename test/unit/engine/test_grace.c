/*
 * test_grace.c - what may go at once, as who has no memory of the replica can tell.
 */
#include "engine/grace.h"

#include "base/rand.h"
#include "engine/plan.h"
#include "storage/storage.h"

#define LISTING_MAX 200
#include "unit/engine/listing.h"

#define MIN  ((int64_t)60000)
#define T0   INT64_C(1790000000000)
#define KEEP ((struct wr_retention){.keep_ms = 10 * MIN, .now_ms = T0 + 1000 * MIN})

static void put(
    struct listing *l, unsigned level, uint64_t min, uint64_t max, int64_t made, int64_t stored)
{
    listing_add(l, level, min, max, T0 + made * MIN);
    for (size_t i = 0; i < l->n; i++) {
        if (l->f[i].level == level && l->f[i].min == min && l->f[i].max == max)
            l->f[i].stored_ms = stored < 0 ? 0 : T0 + stored * MIN;
    }
}

static const bool *judge(const struct listing *l, struct wr_retention r)
{
    static bool over[LISTING_MAX];
    struct wr_err e = {0};

    T_OK(wr_grace_over(l->f, l->n, &r, over, &e));
    return over;
}

static size_t count(const struct listing *l, const struct wr_retention *r)
{
    const bool *over = judge(l, *r);
    size_t n = 0;

    for (size_t i = 0; i < l->n; i++)
        n += over[i];
    return n;
}

/* Two old snapshots; the newest of three makes the first one too old as soon as it arrives, and for
 * a restore that was begun before no sooner than the grace period later. */
static void test_not_before_its_time(void **state)
{
    struct listing l = {0};
    struct wr_retention r = KEEP;

    (void)state;
    put(&l, 9, 1, 1, 0, 0);
    put(&l, 9, 1, 5, 20, 20);
    put(&l, 9, 1, 9, 40, 40);
    T(count(&l, &r) == 0);
    put(&l, 0, 10, 10, 44, 44); /* so much has passed */
    T(count(&l, &r) == 0);
    put(&l, 0, 11, 11, 45, 45);
    T(count(&l, &r) == 0); /* to the second */
    put(&l, 0, 12, 12, 46, 46);
    T(count(&l, &r) == 1 && judge(&l, r)[l.n - 3]);
    r.grace_ms = 7 * MIN;
    T(count(&l, &r) == 0);
    r.grace_ms = 5 * MIN;
    T(count(&l, &r) == 1);
}

/* The snapshot that makes another one old took its time to arrive. */
static void test_when_it_arrived_counts(void **state)
{
    struct listing l = {0};
    struct wr_retention r = KEEP;

    (void)state;
    put(&l, 9, 1, 1, 0, 0);
    put(&l, 9, 1, 5, 20, 20);
    put(&l, 9, 1, 9, 40, 55);
    put(&l, 0, 10, 10, 58, 58);
    T(count(&l, &r) == 0);
    put(&l, 0, 11, 11, 61, 61);
    T(count(&l, &r) == 1);
    l.n = 0;
    put(&l, 9, 1, 1, 0, 0);
    put(&l, 9, 1, 5, 20, 20);
    put(&l, 9, 1, 9, 40, -1); /* or it is not known: not at all */
    put(&l, 0, 10, 10, 61, 61);
    T(count(&l, &r) == 0);
}

/* Our clock or the store's is wrong. */
static void test_wrong_clocks(void **state)
{
    struct listing l = {0};
    struct wr_retention r = KEEP;
    bool over[1];

    (void)state;
    put(&l, 9, 1, 1, 0, 0);
    put(&l, 9, 1, 5, 20, 20);
    put(&l, 9, 1, 9, 40, 40);
    r.now_ms = T0 + 41 * MIN; /* a file from the store's future does not make time pass */
    put(&l, 0, 10, 10, 41, 10000);
    T(count(&l, &r) == 0);
    r.now_ms = 1;
    T(count(&l, &r) == 0);
    r.now_ms = INT64_MAX;
    T(count(&l, &r) == 1);
    T(wr_grace_over(NULL, 0, &r, over, NULL) == WR_OK);
}

/* An object that came in parts counts as there a day after it was begun: so now was what our clock
 * said, and one six minutes ahead took all the time that readers have. */
static void test_an_object_in_parts_made_our_clock_count(void **state)
{
    struct listing l = {0};
    struct wr_retention r = KEEP;

    (void)state;
    put(&l, 9, 1, 1, 0, 0);
    put(&l, 9, 1, 5, 20, 20);
    put(&l, 9, 1, 9, 40, 40);
    put(&l, 9, 1, 10, 41, 41 + 24 * 60);
    T(l.f[l.n - 1].max == 10);
    l.f[l.n - 1].in_parts = true;
    r.now_ms = T0 + 47 * MIN;
    T(count(&l, &r) == 0);
    put(&l, 0, 11, 11, 47, 47);
    T(count(&l, &r) == 1);
}

static size_t pick(
    const struct listing *l, const bool *gone, int64_t before, struct wr_ltx_file *out)
{
    size_t n = 0;

    for (size_t i = 0; i < l->n; i++) {
        if (l->f[i].stored_ms < before && !(gone && gone[i]))
            out[n++] = l->f[i];
    }
    return n;
}

/* Any replica: who has planned any of the promised points by the files that were there a grace
 * period ago finds the same ones, or others that lead there. */
static void test_a_restore_that_runs_is_left_alone(void **state)
{
    size_t deleted = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct listing l = {0};
        struct wr_retention r = {.keep_ms = 30 * MIN, .l0_ms = 10 * MIN, .grace_ms = 8 * MIN};
        struct wr_ltx_file was[LISTING_MAX], left[LISTING_MAX];
        enum wr_kept kept[LISTING_MAX], then[LISTING_MAX];
        uint64_t ends[10] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, txid = 1;
        bool gone[LISTING_MAX] = {0};
        int64_t now = 0, cut;
        const bool *over;
        size_t n, m, chain[LISTING_MAX], k;
        struct wr_rand dice;
        struct wr_err e = {0};

        wr_rand_init(&dice, seed);
        put(&l, 9, 1, 1, 0, 0);
        while (l.n < 100) {
            unsigned top = (unsigned)wr_rand_below(&dice, 20);

            now += (int64_t)wr_rand_below(&dice, 2);
            txid++;
            put(&l, 0, txid, txid, now, now);
            for (unsigned level = 1; level <= top && top <= 9; level += level == 3 ? 6 : 1) {
                uint64_t min = level == 9 ? 1 : ends[level] + 1;
                int64_t took = (int64_t)wr_rand_below(&dice, 3);

                put(&l, level, min, txid, now, now + took);
                ends[level] = txid;
            }
        }
        r.now_ms = T0 + now * MIN;
        T_OK(wr_retain(l.f, l.n, &r, kept, &e));
        over = judge(&l, r);
        for (size_t i = 0; i < l.n; i++) {
            gone[i] = over[i] && kept[i] == WR_KEPT_NOT;
            deleted += gone[i];
        }
        cut = T0 + now * MIN - r.grace_ms - 1000;
        n = pick(&l, NULL, cut, was);
        m = pick(&l, gone, cut, left);
        if (n == 0)
            continue;
        r.now_ms = cut;
        T_OK(wr_retain(was, n, &r, then, &e));
        for (size_t i = 0; i < n; i++) {
            const struct wr_plan_target at = {.txid = was[i].max};

            if (then[i] == WR_KEPT_TIME && wr_plan(was, n, &at, chain, &k, &e) == WR_OK)
                T_OK(wr_plan(left, m, &at, chain, &k, &e));
        }
    }
    T(deleted > 1000);
}

static enum wr_status sweep(void *arg)
{
    struct listing *l = arg;
    struct wr_retention r = KEEP;
    bool over[LISTING_MAX];

    return wr_grace_over(l->f, l->n, &r, over, NULL);
}

static void test_no_memory(void **state)
{
    static struct listing l;

    (void)state;
    put(&l, 9, 1, 1, 0, 0);
    put(&l, 9, 1, 5, 20, 20);
    t_sweep_nomem(sweep, &l);
}

T_MAIN(T_TEST(test_not_before_its_time), T_TEST(test_when_it_arrived_counts),
    T_TEST(test_wrong_clocks), T_TEST(test_an_object_in_parts_made_our_clock_count),
    T_TEST(test_a_restore_that_runs_is_left_alone), T_TEST(test_no_memory))
