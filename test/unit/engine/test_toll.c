/*
 * test_toll.c - what a restore reads, kept as an account, against what a plan says at each moment.
 */
#include "engine/toll.h"

#include "base/mem.h"
#include "base/rand.h"
#include "engine/plan.h"

#define LISTING_MAX 4000
#include "unit/engine/listing.h"

#define FLOOR ((uint64_t)1000)
#define FILES ((uint64_t)100)

static void put(struct listing *l, unsigned level, uint64_t min, uint64_t max, uint64_t size)
{
    listing_add(l, level, min, max, 1);
    for (size_t i = 0; i < l->n; i++) {
        if (l->f[i].level == level && l->f[i].min == min && l->f[i].max == max)
            l->f[i].size = size;
    }
}

static struct wr_toll_sum planned(const struct listing *l, uint64_t *ret_snapshot)
{
    const struct wr_plan_target newest = {0};
    struct wr_toll_sum sum = {0};
    static size_t chain[LISTING_MAX];
    struct wr_err e = {0};
    size_t n = 0;

    *ret_snapshot = 0;
    T_OK(wr_plan(l->f, l->n, &newest, chain, &n, &e));
    for (size_t i = 0; i < n; i++) {
        const struct wr_ltx_file *f = &l->f[chain[i]];

        if (f->level == WR_LEVEL_SNAPSHOT) {
            *ret_snapshot = f->max;
            continue;
        }
        sum.bytes += f->size;
        sum.files++;
    }
    return sum;
}

static void expect_planned(const struct wr_toll *t, const struct listing *l)
{
    uint64_t snapshot;
    struct wr_toll_sum want = planned(l, &snapshot), is = wr_toll_sum(t);

    assert_int_equal(is.bytes, want.bytes);
    assert_int_equal(is.files, want.files);
    assert_int_equal(t->snapshot, snapshot);
}

/* A database that is written to, and whose levels come now and then, each with those below it: as
 * long as none of them has a hole the account is the plan, whether it was kept or begun anew. */
static void test_the_account_is_the_plan(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        static struct listing l;
        uint64_t ends[WR_LEVEL_MAX + 1], txid = 1;
        struct wr_toll t = {0}, anew;
        struct wr_rand r;
        struct wr_err e = {0};

        wr_rand_init(&r, seed);
        l.n = 0;
        put(&l, WR_LEVEL_SNAPSHOT, 1, 1, 500);
        T_OK(wr_toll_of(l.f, l.n, &t, &e));
        for (unsigned level = 0; level <= WR_LEVEL_MAX; level++)
            ends[level] = 1;
        for (unsigned i = 0; i < 300; i++) {
            unsigned top = (unsigned)wr_rand_below(&r, 40);
            uint64_t at, late;

            txid++;
            put(&l, 0, txid, txid, 10 + txid % 7);
            wr_toll_add(&t, 10 + txid % 7);
            if (top == 0 || top > WR_LEVEL_MAX)
                continue;
            at = txid;
            wr_toll_mark(&t);
            late = wr_rand_below(&r, 3); /* files that come while they are under way */
            for (uint64_t k = 0; k < late; k++) {
                txid++;
                put(&l, 0, txid, txid, 5);
                wr_toll_add(&t, 5);
            }
            for (unsigned level = 1; level <= top; level++) {
                if (ends[level] >= at)
                    continue;
                put(&l, level, level == WR_LEVEL_SNAPSHOT ? 1 : ends[level] + 1, at, 40 + level);
                wr_toll_cover(&t, level, at, 40 + level, 0);
                ends[level] = at;
                if (level == WR_LEVEL_SNAPSHOT)
                    T(t.snapshot_size == 40 + level);
            }
            T_OK(wr_toll_of(l.f, l.n, &anew, &e));
            expect_planned(&anew, &l);
            if (top != WR_LEVEL_SNAPSHOT)
                expect_planned(&t, &l);
            else
                T(wr_toll_sum(&t).files == late);
            if (top == WR_LEVEL_SNAPSHOT) /* the levels go on in the middle of it */
                t = anew;
        }
    }
}

static void test_an_empty_replica_and_one_with_a_gap(void **state)
{
    struct listing l = {0};
    struct wr_toll t;
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_toll_of(NULL, 0, &t, &e));
    T(t.snapshot == 0 && wr_toll_sum(&t).files == 0);
    put(&l, WR_LEVEL_SNAPSHOT, 1, 4, 70);
    put(&l, WR_LEVEL_SNAPSHOT, 2, 9, 70); /* none */
    put(&l, 0, 8, 8, 10);
    T_OK(wr_toll_of(l.f, l.n, &t, &e));
    T(t.snapshot == 4 && t.snapshot_size == 70 && wr_toll_sum(&t).files == 0);
}

/* What was covered is never more than what there was. */
static void test_it_never_says_too_much(void **state)
{
    struct wr_toll t = {0};

    (void)state;
    wr_toll_add(&t, 10);
    wr_toll_mark(&t);
    t.level[0] = (struct wr_toll_sum){.bytes = 3, .files = 1};
    wr_toll_cover(&t, 1, 5, 8, 0);
    T(t.level[0].bytes == 0 && t.level[0].files == 0 && t.level[1].bytes == 8);
    wr_toll_mark(&t);
    wr_toll_cover(&t, WR_LEVEL_SNAPSHOT, 9, 0, 0); /* of unknown size: that of the last one */
    T(t.snapshot == 9 && t.snapshot_size == 0 && wr_toll_sum(&t).files == 0);
}

static struct wr_toll with(uint64_t snapshot, uint64_t bytes, uint64_t files)
{
    struct wr_toll t = {.snapshot = 1, .snapshot_size = snapshot};

    t.level[2] = (struct wr_toll_sum){.bytes = bytes, .files = files};
    return t;
}

static bool high(uint64_t snapshot, uint64_t bytes, uint64_t files)
{
    struct wr_toll t = with(snapshot, bytes, files);

    return wr_toll_is_high(&t, FLOOR, FILES);
}

static void test_when_a_snapshot_is_worth_it(void **state)
{
    (void)state;
    T(high(5000, 5001, 3) && !high(5000, 5000, 3));
    T(!high(10, 999, 3) && high(10, 1000, 3));              /* the floor */
    T(!high(0, 1 << 30, 1 << 20));                          /* its size is not known */
    T(high(600, 200, 101) && !high(600, 200, 100));         /* files */
    T(!high(600, 199, 1000) && high(600, 200, UINT64_MAX)); /* which must be paid for */
}

/* Whatever is written: snapshots that come of it have no more bytes than WR_TOLL_SHARE + 1 for one
 * that was sent. Each is at most as large as the one before and what came since, as a page of it is
 * in one or the other. */
static void test_every_snapshot_is_paid_for(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct wr_toll t = with(1 + seed * seed, 0, 0);
        uint64_t changed = 0, sent = 0, snapshots = 0;
        struct wr_rand r;

        wr_rand_init(&r, seed);
        for (unsigned i = 0; i < 3000; i++) {
            uint64_t size = 1 + wr_rand_below(&r, seed % 3 ? 300 : 3);

            changed += size;
            wr_toll_add(&t, size);
            if (!wr_toll_is_high(&t, FLOOR, FILES))
                continue;
            wr_toll_mark(&t);
            wr_toll_cover(&t, WR_LEVEL_SNAPSHOT, i + 2,
                t.snapshot_size / (1 + wr_rand_below(&r, 2)) + wr_toll_sum(&t).bytes, 0);
            sent += t.snapshot_size;
            snapshots++;
        }
        T(sent <= (WR_TOLL_SHARE + 1) * changed);
        T(snapshots > 0 || seed > 100);
    }
}

static enum wr_status sweep(void *arg)
{
    struct listing *l = arg;
    struct wr_toll t;

    return wr_toll_of(l->f, l->n, &t, NULL);
}

static void test_no_memory(void **state)
{
    static struct listing l;

    (void)state;
    put(&l, 0, 1, 1, 7);
    t_sweep_nomem(sweep, &l);
}

T_MAIN(T_TEST(test_the_account_is_the_plan), T_TEST(test_an_empty_replica_and_one_with_a_gap),
    T_TEST(test_it_never_says_too_much), T_TEST(test_when_a_snapshot_is_worth_it),
    T_TEST(test_every_snapshot_is_paid_for), T_TEST(test_no_memory))
