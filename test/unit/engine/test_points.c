/*
 * test_points.c - all points at once against wr_plan, asked for each TXID and for each time.
 */
#include "engine/points.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "engine/plan.h"
#include "harness/t.h"

#define LISTING_MAX 40
#include "unit/engine/listing.h"

/* Files of any kind, or levels as they are made: with holes, and without what is deleted. */
static void random_listing(struct wr_rand *r, struct listing *l, uint64_t txid_max)
{
    size_t n = wr_rand_below(r, LISTING_MAX);
    bool tidy = wr_rand_below(r, 2) == 0;

    l->n = 0;
    for (size_t i = 0; i < n; i++) {
        struct wr_ltx_file f = {.level = (unsigned)wr_rand_below(r, WR_LEVEL_MAX + 1)};

        f.level = tidy && f.level < WR_LEVEL_MAX ? f.level % 3 : f.level;
        f.min = wr_rand_below(r, txid_max) + 1;
        if (f.level == WR_LEVEL_SNAPSHOT && wr_rand_below(r, 8))
            f.min = 1;
        f.max = f.min + wr_rand_below(r, txid_max + 1 - f.min);
        if (tidy && f.level < WR_LEVEL_MAX) { /* 1, 3 or 9 TXIDs, side by side */
            const uint64_t span = f.level == 0 ? 1 : f.level == 1 ? 3 : 9;

            f.min = (f.min - 1) / span * span + 1;
            f.max = f.min + span - 1;
        }
        if (!listing_has(l, &f))
            listing_add(l, f.level, f.min, f.max,
                tidy && wr_rand_below(r, 4) ? (int64_t)f.max : (int64_t)wr_rand_below(r, 20) + 1);
    }
    for (size_t i = 0; i < l->n; i++)
        l->f[i].size = wr_rand_below(r, 50) ? wr_rand_below(r, 1000) : UINT64_MAX - 10;
}

static uint64_t sum(const struct listing *l, const size_t *chain, size_t n)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < n; i++)
        bytes = l->f[chain[i]].size > UINT64_MAX - bytes ? UINT64_MAX : bytes + l->f[chain[i]].size;
    return bytes;
}

static unsigned finest(const struct listing *l, uint64_t txid)
{
    unsigned level = WR_LEVEL_MAX;

    for (size_t i = 0; i < l->n; i++) {
        if (l->f[i].max == txid)
            level = wr_min(level, l->f[i].level);
    }
    return level;
}

/* The plan for a time ends where files from before it lead, or at the last point that is from
 * before it. */
static void check_time(const struct listing *l, const struct wr_points *a, const struct wr_point *p)
{
    const struct wr_plan_target time = {.time_ms = p->time_ms + 1};
    struct wr_ltx_files all = {0}, plan = {0};
    size_t chain[LISTING_MAX], n = 0;
    struct wr_err e = {0};
    uint64_t end = 0;

    if (wr_plan(l->f, l->n, &time, chain, &n, &e) == WR_OK)
        end = l->f[chain[n - 1]].max;
    for (size_t i = 0; i < a->n; i++) {
        if (a->p[i].time_ms <= p->time_ms)
            end = wr_max(end, a->p[i].txid);
    }
    T(p->by_time == end && end >= p->txid);
    for (size_t i = 0; i < l->n; i++)
        T_OK(wr_ltx_files_add(&all, &l->f[i], &e));
    T_OK(wr_points_plan(&all, p->time_ms + 1, &plan, &e));
    T(plan.p[plan.n - 1].max == end);
    wr_ltx_files_release(&plan);
    wr_ltx_files_release(&all);
}

static void check_point(const struct listing *l, const struct wr_point *p)
{
    const struct wr_plan_target txid = {.txid = p->txid};
    size_t chain[LISTING_MAX], n = 0;
    struct wr_err e = {0};

    T_OK(wr_plan(l->f, l->n, &txid, chain, &n, &e));
    T(p->files == n && p->last == chain[n - 1] && p->bytes == sum(l, chain, n));
    T(p->time_ms == l->f[p->last].time_ms && p->level == l->f[p->last].level);
    T(p->finest == finest(l, p->txid));
}

static void check_listing(const struct listing *l, uint64_t txid_max)
{
    struct wr_points a = {0};
    struct wr_err e = {0};
    size_t k = 0;

    T_OK(wr_points_find(l->f, l->n, &a, &e));
    T_OK(wr_points_by_time(l->f, l->n, &a, &e));
    for (uint64_t txid = 1; txid <= txid_max + 9; txid++) {
        const struct wr_plan_target t = {.txid = txid};
        size_t chain[LISTING_MAX], n;

        if (k < a.n && a.p[k].txid == txid) {
            check_point(l, &a.p[k]);
            if (txid % 3 == 0)
                check_time(l, &a, &a.p[k]);
            k++;
        } else
            T_IS(WR_NOTFOUND, wr_plan(l->f, l->n, &t, chain, &n, &e));
    }
    T(k == a.n);
    wr_points_release(&a);
    T(!a.p && a.n == 0);
}

static void test_every_point_is_what_a_plan_says(void **state)
{
    struct wr_rand r;
    struct listing l;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 20000; i++) {
        uint64_t txid_max = i % 2 ? 12 : 40;

        random_listing(&r, &l, txid_max);
        check_listing(&l, txid_max);
    }
}

static void test_none(void **state)
{
    struct listing l = {0};
    struct wr_points a = {0};
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_points_find(NULL, 0, &a, &e));
    T_OK(wr_points_by_time(NULL, 0, &a, &e));
    wr_points_runs(&a);
    T(a.n == 0);
    wr_points_release(&a);
    listing_add(&l, 0, 5, 5, 1);
    listing_add(&l, 9, 2, 5, 1); /* no snapshot */
    T_OK(wr_points_find(l.f, l.n, &a, &e));
    T_OK(wr_points_by_time(l.f, l.n, &a, &e));
    T(a.n == 0);
    wr_points_release(&a);
    wr_points_release(NULL);
}

static void test_extreme_txids(void **state)
{
    struct listing l = {0};
    struct wr_points a = {0};
    struct wr_err e = {0};

    (void)state;
    listing_add(&l, 9, 1, UINT64_MAX - 1, 1);
    listing_add(&l, 0, UINT64_MAX, UINT64_MAX, INT64_MAX);
    T_OK(wr_points_find(l.f, l.n, &a, &e));
    T_OK(wr_points_by_time(l.f, l.n, &a, &e));
    T(a.n == 2 && a.p[1].txid == UINT64_MAX && a.p[1].files == 2 && a.p[1].bytes == 2000);
    T(a.p[0].by_time == UINT64_MAX - 1 && a.p[1].by_time == UINT64_MAX);
    wr_points_release(&a);
}

/* Litestream gives a file of level 1 the time of the first one in it. */
static void test_a_compacted_file_with_an_early_time(void **state)
{
    struct listing l = {0};
    struct wr_points a = {0};
    struct wr_err e = {0};

    (void)state;
    listing_add(&l, 9, 1, 1, 10);
    for (uint64_t i = 2; i <= 4; i++)
        listing_add(&l, 0, i, i, (int64_t)i * 10);
    listing_add(&l, 1, 2, 4, 20);
    T_OK(wr_points_find(l.f, l.n, &a, &e));
    T_OK(wr_points_by_time(l.f, l.n, &a, &e));
    T(a.n == 4 && a.p[0].by_time == 1);
    T(a.p[1].by_time == 4 && a.p[2].by_time == 4); /* 2 and 3: by TXID only */
    T(a.p[3].time_ms == 20 && a.p[3].by_time == 4 && a.p[3].level == 1 && a.p[3].finest == 0);
    wr_points_release(&a);
}

/* The runs of a string of levels, as a string of numbers. */
static void check_runs(const char *levels, const char *want)
{
    struct wr_point p[32] = {0};
    struct wr_points a = {.p = p, .n = strlen(levels)};

    for (size_t i = 0; i < a.n; i++)
        p[i].finest = (unsigned)(levels[i] - '0');
    wr_points_runs(&a);
    for (size_t i = 0; i < a.n; i++)
        T(p[i].run == (size_t)(want[i] - '0'));
}

static void test_runs(void **state)
{
    (void)state;
    check_runs("", "");
    check_runs("9", "0");
    check_runs("999111000", "000111222");
    check_runs("9911121112191100", "0011111111111122"); /* one alone is no run */
    check_runs("1000", "0000");
    check_runs("0001", "0000");
    check_runs("00011", "00011");
    check_runs("121212", "000000");
    check_runs("91", "00");
}

/* A year of levels, of which nothing was deleted. */
static void test_many_files_take_no_time(void **state)
{
    const size_t n = 100000;
    struct wr_ltx_files files = {0};
    struct wr_points a = {0};
    struct wr_err e = {0};
    int64_t start_ms = wr_mono_ms(wr_clock_system()), took_ms;

    (void)state;
    for (uint64_t span = 1, level = 0; level <= 3; level++, span *= 10) {
        for (uint64_t min = 1; min + span - 1 <= n; min += span)
            T_OK(wr_ltx_files_add(&files,
                &(struct wr_ltx_file){.level = (unsigned)level,
                    .min = min,
                    .max = min + span - 1,
                    .time_ms = (int64_t)(min + span),
                    .size = 1},
                &e));
    }
    wr_ltx_files_sort(&files);
    T_OK(wr_points_find(files.p, files.n, &a, &e));
    T_OK(wr_points_by_time(files.p, files.n, &a, &e));
    wr_points_runs(&a);
    took_ms = wr_mono_ms(wr_clock_system()) - start_ms;
    T(a.n == n && a.p[n - 1].files == 100 && a.p[n - 2].files == 99 + 9 + 9 + 9);
    T(took_ms < 5000); /* a tenth of a second, without sanitizers and with a processor to itself */
    wr_points_release(&a);
    wr_ltx_files_release(&files);
}

static enum wr_status all_of_it(void *arg)
{
    const struct listing *l = arg;
    struct wr_ltx_files all = {0}, plan = {0};
    struct wr_points a = {0};
    struct wr_err e = {0};
    enum wr_status st = wr_points_find(l->f, l->n, &a, &e);

    if (st == WR_OK)
        st = wr_points_by_time(l->f, l->n, &a, &e);
    for (size_t i = 0; st == WR_OK && i < l->n; i++)
        st = wr_ltx_files_add(&all, &l->f[i], &e);
    if (st == WR_OK)
        st = wr_points_plan(&all, 80, &plan, &e); /* the first file is of a later time */
    T(st == WR_OK ? plan.n == 30 : strstr(e.text, "out of memory") != NULL);
    wr_ltx_files_release(&plan);
    wr_ltx_files_release(&all);
    wr_points_release(&a);
    return st;
}

static void test_nomem(void **state)
{
    struct listing l = {0};

    (void)state;
    for (uint64_t i = 1; i <= 30; i++) /* the heap grows: the first one comes last */
        listing_add(&l, 0, i, i, 100 - (int64_t)i);
    t_sweep_nomem(all_of_it, &l);
}

T_MAIN(T_TEST(test_every_point_is_what_a_plan_says), T_TEST(test_none), T_TEST(test_extreme_txids),
    T_TEST(test_a_compacted_file_with_an_early_time), T_TEST(test_runs),
    T_TEST(test_many_files_take_no_time), T_TEST(test_nomem))
