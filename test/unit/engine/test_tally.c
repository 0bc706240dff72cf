/*
 * test_tally.c - from which file a level goes on, and how many came below it since.
 */
#include "engine/tally.h"

#define LISTING_MAX 200
#include "unit/engine/listing.h"

static struct wr_tally tally(const struct listing *l)
{
    struct wr_tally t;
    struct wr_err e = {0};

    T_OK(wr_tally(l->f, l->n, &t, &e));
    return t;
}

static void test_nothing(void **state)
{
    struct listing l = {0};
    struct wr_tally t = tally(&l);

    (void)state;
    T(t.snapshot.max == 0 && t.toll.snapshot == 0);
    for (unsigned level = 1; level < WR_LEVEL_SNAPSHOT; level++)
        T(t.level[level].end.max == 0 && t.level[level].below == 0);
}

/* Without a file of its own a level goes on from where the snapshot ends. */
static void test_levels_that_have_none(void **state)
{
    struct listing l = {0};
    struct wr_tally t;

    (void)state;
    listing_add(&l, 9, 1, 3, 100);
    for (uint64_t txid = 2; txid <= 8; txid++)
        listing_add(&l, 0, txid, txid, 1000 - (int64_t)txid);
    t = tally(&l);
    T(t.snapshot.max == 3 && t.snapshot.level == 9 && t.toll.snapshot == 3);
    T(t.level[1].end.level == 9 && t.level[1].end.max == 3);
    T(t.level[1].below == 5 && t.level[1].since_ms == 992); /* the first by time */
    T(t.level[2].end.level == 9 && t.level[2].below == 0);
    T(wr_toll_sum(&t.toll).files == 5);
}

static void test_levels_that_have_some(void **state)
{
    struct listing l = {0};
    struct wr_tally t;

    (void)state;
    listing_add(&l, 9, 1, 3, 100);
    listing_add(&l, 9, 2, 50, 100); /* none */
    for (uint64_t txid = 4; txid <= 30; txid++)
        listing_add(&l, 0, txid, txid, (int64_t)txid);
    for (uint64_t txid = 4; txid < 24; txid += 4)
        listing_add(&l, 1, txid, txid + 3, (int64_t)txid + 3);
    listing_add(&l, 2, 4, 11, 11);
    t = tally(&l);
    T(t.level[1].end.max == 23 && t.level[1].end.level == 1);
    T(t.level[1].below == 7 && t.level[1].since_ms == 24);
    T(t.level[2].end.max == 11 && t.level[2].end.level == 2);
    T(t.level[2].below == 3 && t.level[2].since_ms == 15);
    T(t.level[3].end.max == 3 && t.level[3].below == 1); /* behind the snapshot */
    T(wr_toll_sum(&t.toll).files == 1 + 3 + 7);
}

static enum wr_status sweep(void *arg)
{
    struct listing *l = arg;
    struct wr_tally t;

    return wr_tally(l->f, l->n, &t, NULL);
}

static void test_no_memory(void **state)
{
    static struct listing l;

    (void)state;
    listing_add(&l, 0, 1, 1, 1);
    t_sweep_nomem(sweep, &l);
}

T_MAIN(T_TEST(test_nothing), T_TEST(test_levels_that_have_none), T_TEST(test_levels_that_have_some),
    T_TEST(test_no_memory))
