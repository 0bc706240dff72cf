/*
 * test_walk.c - the walk comes by every point there is, by random listings and a search that tries
 * everything.
 */
#include "engine/walk.h"

#include "base/rand.h"
#include "harness/t.h"

#define LISTING_MAX 24
#define TXID_MAX    14
#include "unit/engine/listing.h"

static void random_files(struct wr_rand *r, struct listing *l)
{
    for (size_t n = (size_t)wr_rand_below(r, LISTING_MAX); n > 0; n--) {
        unsigned level = (unsigned)wr_rand_below(r, WR_LEVEL_MAX + 1);
        uint64_t min = wr_rand_below(r, 6) ? wr_rand_below(r, TXID_MAX) + 1 : 1;
        uint64_t wide = wr_rand_below(r, 3) ? wr_rand_below(r, 2) : wr_rand_below(r, TXID_MAX);
        struct wr_ltx_file f = {
            .level = level, .min = min, .max = wr_min(min + wide, (uint64_t)TXID_MAX)};

        if (!listing_has(l, &f))
            listing_add(l, f.level, f.min, f.max, 0);
    }
}

/* Which TXIDs a chain of files that are not bad leads to; 0 is where all begin. */
static void reach(const struct listing *l, const bool *bad, bool point[TXID_MAX + 1])
{
    point[0] = true;
    for (uint64_t from = 0; from <= TXID_MAX; from++) {
        for (size_t i = 0; i < l->n && point[from]; i++) {
            const struct wr_ltx_file *f = &l->f[i];

            if (!bad[i] && !wr_ltx_file_odd(f) && f->min - 1 <= from && from < f->max)
                point[f->max] = true;
        }
    }
}

/* What was found at w->cur is what applies there and at no point before it. */
static void check_found(const struct listing *l, const struct wr_walk *w, const bool *point)
{
    for (size_t i = 0; i < l->n; i++) {
        const struct wr_ltx_file *f = &l->f[i];
        uint64_t first = f->min - 1;
        bool found = false;

        while (first < f->max && !point[first])
            first++;
        for (size_t k = w->from; k < w->to; k++)
            found = found || (w->order[k] == f && f->max > w->cur);
        T(found == (!wr_ltx_file_odd(f) && first == w->cur && first < f->max));
    }
}

static void walk_all(struct listing *l, const bool *bad)
{
    bool point[TXID_MAX + 1] = {0};
    const struct wr_ltx_file *f, *taken;
    struct wr_walk w;
    uint64_t last = 0;
    struct wr_err e = {0};

    reach(l, bad, point);
    T_OK(wr_walk_init(&w, l->f, l->n, 0, &e));
    for (;;) {
        T_OK(wr_walk_open(&w, &e));
        check_found(l, &w, point);
        while ((f = wr_walk_next(&w)) != NULL && bad[f - l->f])
            wr_walk_drop(&w);
        if (!f)
            break;
        taken = f;
        T(taken->min - 1 <= w.cur && taken->max > w.cur);
        wr_walk_take(&w);
        T(w.cur == taken->max && point[w.cur]);
        for (uint64_t t = last + 1; t < w.cur; t++)
            T(!point[t]);
        last = w.cur;
        T(wr_walk_pass(&w) == taken);
        while ((f = wr_walk_pass(&w)) != NULL)
            T(f->max == w.cur);
    }
    for (uint64_t t = last + 1; t <= TXID_MAX; t++)
        T(!point[t]);
    wr_walk_release(&w);
}

static void test_every_point_in_order(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 30000; round++) {
        struct listing l = {0};
        bool bad[LISTING_MAX] = {0};

        random_files(&r, &l);
        for (size_t i = 0; i < l.n && round % 2; i++)
            bad[i] = wr_rand_below(&r, 4) == 0;
        walk_all(&l, bad);
    }
}

/* Two ends are the same: the lowest level comes first. And a walk goes on from where another was.
 */
static void test_order_and_going_on(void **state)
{
    struct listing l = {0};
    struct wr_walk w;
    struct wr_err e = {0};

    (void)state;
    listing_add(&l, 9, 1, 4, 0);
    listing_add(&l, 0, 4, 4, 0);
    listing_add(&l, 1, 3, 4, 0);
    listing_add(&l, 0, 2, 3, 0);
    listing_add(&l, 0, 5, UINT64_MAX, 0);
    T_OK(wr_walk_init(&w, l.f, l.n, 3, &e));
    T_OK(wr_walk_open(&w, &e));
    T(wr_walk_next(&w)->level == 0 && wr_walk_next(&w)->min == 4);
    wr_walk_take(&w);
    T(wr_walk_pass(&w)->level == 0);
    T(wr_walk_pass(&w)->level == 1);
    T(wr_walk_pass(&w)->level == 9);
    T(!wr_walk_pass(&w));
    T_OK(wr_walk_open(&w, &e));
    T(w.to - w.from == 1);
    wr_walk_take(&w);
    T(w.cur == UINT64_MAX && wr_walk_pass(&w) && !wr_walk_pass(&w));
    T_OK(wr_walk_open(&w, &e));
    T(!wr_walk_next(&w));
    wr_walk_release(&w);
}

static enum wr_status walk_once(void *arg)
{
    struct listing *l = arg;
    struct wr_walk w = {0};
    struct wr_err e = {0};
    enum wr_status st = wr_walk_init(&w, l->f, l->n, 0, &e);

    if (st == WR_OK)
        st = wr_walk_open(&w, &e);
    wr_walk_release(&w);
    return st;
}

static void test_nomem(void **state)
{
    struct listing l = {0};

    (void)state;
    for (uint64_t t = 1; t <= 20; t++)
        listing_add(&l, 0, 1, t, 0);
    t_sweep_nomem(walk_once, &l);
}

T_MAIN(T_TEST(test_every_point_in_order), T_TEST(test_order_and_going_on), T_TEST(test_nomem))
