/*
 * test_loose.c - what is said of a deletion before it begins holds at each moment of it.
 */
#include "engine/loose.h"

#include "base/rand.h"
#include "engine/retain.h"
#include "harness/t.h"

#define FILES 24
#define TXIDS 20

/* By definition, of those that are there. */
static void reach(const struct wr_ltx_file *f, size_t n, const bool *gone, bool *point)
{
    memset(point, 0, (TXIDS + 1) * sizeof(*point));
    point[0] = true;
    for (uint64_t from = 0; from < TXIDS; from++) {
        for (size_t i = 0; i < n && point[from]; i++) {
            if (!gone[i] && !wr_ltx_file_odd(&f[i]) && f[i].min - 1 <= from && from < f[i].max)
                point[f[i].max] = true;
        }
    }
}

static size_t make(struct wr_rand *r, struct wr_ltx_files *all)
{
    struct wr_err e = {0};
    size_t out = 0;

    for (unsigned i = 0; i < FILES; i++) {
        struct wr_ltx_file f = {.level = (unsigned)wr_rand_below(r, 4), .size = 1};

        f.level = f.level == 3 ? WR_LEVEL_SNAPSHOT : f.level;
        f.max = 1 + wr_rand_below(r, TXIDS);
        f.min = f.max - wr_rand_below(r, wr_min(f.max, (uint64_t)4));
        if (f.level == WR_LEVEL_SNAPSHOT)
            f.min = 1;
        f.time_ms = (int64_t)f.max * 1000;
        T_OK(wr_ltx_files_add(all, &f, &e));
    }
    wr_ltx_files_sort(all);
    for (size_t i = 0; i < all->n; i++) {
        if (out == 0 || wr_ltx_file_cmp(&all->p[out - 1], &all->p[i]) != 0)
            all->p[out++] = all->p[i];
    }
    all->n = out;
    return out;
}

/* Whatever of it is done: no file behind what was said has lost its way. And it is no more than has
 * to be said. */
static void test_each_part_of_a_deletion_is_within_what_was_said(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (unsigned round = 0; round < 3000; round++) {
        struct wr_ltx_files all = {0};
        bool gone[FILES] = {0}, none[FILES] = {0}, was[TXIDS + 1];
        uint64_t said[WR_LEVEL_MAX + 1], most[WR_LEVEL_MAX + 1] = {0};
        size_t n = make(&r, &all);
        struct wr_err e = {0};

        for (size_t i = 0; i < n; i++)
            gone[i] = wr_rand_below(&r, 3) == 0;
        T_OK(wr_loose(all.p, n, gone, said, &e));
        reach(all.p, n, none, was);
        for (unsigned part = 0; part < 8; part++) {
            bool some[FILES], is[TXIDS + 1];

            for (size_t i = 0; i < n; i++)
                some[i] = gone[i] && (part == 0 || wr_rand_below(&r, 2));
            reach(all.p, n, some, is);
            for (size_t i = 0; i < n; i++) {
                const struct wr_ltx_file *f = &all.p[i];

                if (!some[i] && was[f->max] && !is[f->max])
                    most[f->level] = wr_max(most[f->level], f->max);
            }
        }
        for (size_t i = 0; i < n; i++) { /* the worst moment for one that goes last */
            bool some[FILES], is[TXIDS + 1];

            memcpy(some, gone, sizeof(some));
            some[i] = false;
            reach(all.p, n, some, is);
            if (was[all.p[i].max] && !is[all.p[i].max])
                most[all.p[i].level] = wr_max(most[all.p[i].level], all.p[i].max);
        }
        for (unsigned level = 0; level <= WR_LEVEL_MAX; level++)
            T(said[level] == most[level]);
        wr_ltx_files_release(&all);
    }
}

static void test_what_is_gone_in_half_an_hour_is_said_with_it(void **state)
{
    const struct wr_retention r = {.keep_ms = 100 * 60000, .now_ms = 198 * 60000};
    struct wr_ltx_file f[200];
    bool gone[200] = {0};
    uint64_t said[WR_LEVEL_MAX + 1];
    struct wr_err e = {0};

    (void)state;
    for (uint64_t i = 0; i < 200; i++) { /* one a minute, and two snapshots */
        f[i] = (struct wr_ltx_file){.level = i < 198 ? 1 : WR_LEVEL_SNAPSHOT,
            .min = i < 198 ? i + 1 : 1,
            .max = i < 198    ? i + 1
                   : i == 198 ? 99
                              : 125,
            .size = 1};
        f[i].time_ms = (int64_t)f[i].max * 60000;
        gone[i] = i < 3;
    }
    T_OK(wr_loose(f, 200, gone, said, &e));
    T(said[1] == 98 && said[0] == 0 && said[9] == 0); /* nothing begins any more before 99 */
    T_OK(wr_loose_ahead(f, 200, &r, gone, &e));
    T(gone[97] && gone[110] && gone[123] && !gone[126]);
    T_OK(wr_loose(f, 200, gone, said, &e));
    T(said[1] == 124);
}

static void test_levels_that_last(void **state)
{
    struct wr_retention r = {.keep_ms = 24 * 3600000, .l0_ms = 300000};

    (void)state;
    T(!wr_loose_lasts(&r, 0) && wr_loose_lasts(&r, 1) && wr_loose_lasts(&r, 9));
    r.l0_ms = 0;
    T(wr_loose_lasts(&r, 0));
    r.keep_ms = 3599999;
    T(!wr_loose_lasts(&r, 0) && !wr_loose_lasts(&r, 1));
    r.grace_ms = 60000;
    T(wr_loose_lasts(&r, 0) && wr_loose_lasts(&r, 1));
    r.keep_ms = 0;
    T(wr_loose_lasts(&r, 9));
}

static enum wr_status once(void *arg)
{
    struct wr_ltx_files *all = arg;
    const struct wr_retention r = {.keep_ms = 3000};
    bool gone[FILES] = {[3] = true};
    uint64_t said[WR_LEVEL_MAX + 1];
    struct wr_err e = {0};
    enum wr_status st = wr_loose(all->p, all->n, gone, said, &e);

    return st == WR_OK ? wr_loose_ahead(all->p, all->n, &r, gone, &e) : st;
}

static void test_nomem(void **state)
{
    struct wr_ltx_files all = {0};
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    (void)make(&r, &all);
    t_sweep_nomem(once, &all);
    wr_ltx_files_release(&all);
}

T_MAIN(T_TEST(test_each_part_of_a_deletion_is_within_what_was_said),
    T_TEST(test_what_is_gone_in_half_an_hour_is_said_with_it), T_TEST(test_levels_that_last),
    T_TEST(test_nomem))
