/*
 * test_roll.c - what a writer knows to be there, beside a list of all that is.
 */
#include "engine/roll.h"

#include "base/rand.h"
#include "harness/t.h"

#define FILES_MAX 400
#define TXID_MAX  200

struct replica {
    struct wr_ltx_files files; /* sorted */
    uint64_t end[WR_LEVEL_MAX + 1];
};

static struct wr_ltx_file next_of(struct replica *x, struct wr_rand *r, unsigned level)
{
    uint64_t hole = wr_rand_below(r, 20) ? 0 : 7;
    uint64_t min = level == WR_LEVEL_SNAPSHOT ? 1 : x->end[level] + 1 + hole;

    x->end[level] = wr_max(min, x->end[level] + 1) + wr_rand_below(r, level + 1);
    return (struct wr_ltx_file){.level = level, .min = min, .max = x->end[level]};
}

static void put(struct replica *x, struct wr_roll *roll, const struct wr_ltx_file *f)
{
    struct wr_err e = {0};

    T_OK(wr_ltx_files_add(&x->files, f, &e));
    wr_ltx_files_sort(&x->files);
    wr_roll_add(roll, f);
}

static void cut(struct replica *x, size_t i)
{
    memmove(&x->files.p[i], &x->files.p[i + 1], (x->files.n - i - 1) * sizeof(x->files.p[0]));
    x->files.n--;
}

/* Whether a file of a level has that TXID. */
static bool has(const struct replica *x, unsigned level, uint64_t txid)
{
    bool any = false;

    for (size_t i = 0; i < x->files.n; i++)
        any = any || (x->files.p[i].level == level && x->files.p[i].min <= txid &&
                         txid <= x->files.p[i].max);
    return any;
}

/* How many TXIDs of a level's run are in no file; and that the holes are just these. */
static size_t holes(const struct replica *x, const struct wr_roll *roll, unsigned level)
{
    struct wr_roll_at at = {0};
    uint64_t from = 0, to = 0;
    size_t missing = 0, told = 0;

    for (uint64_t t = roll->run[level].from; roll->run[level].to && t <= roll->run[level].to; t++)
        missing += !has(x, level, t);
    while (wr_roll_hole(roll, level, x->files.p, x->files.n, &at, &from, &to)) {
        T(from <= to);
        for (uint64_t t = from; t <= to; t++)
            T(!has(x, level, t));
        told += to - from + 1;
    }
    T(told == missing);
    return missing;
}

static void test_what_it_speaks_of_is_there(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (unsigned round = 0; round < 200; round++) {
        struct replica x = {0};
        struct wr_roll roll = {.counted = true}, later = {0};
        uint64_t max;
        bool handed = false;

        while (x.files.n < FILES_MAX / 4) {
            struct wr_roll *is = handed ? &later : &roll;
            unsigned level = wr_rand_below(&r, 2) ? 0 : (unsigned)wr_rand_below(&r, 10);
            struct wr_ltx_file f = next_of(&x, &r, level);

            put(&x, is, &f);
            if (wr_rand_below(&r, 4) == 0)
                wr_roll_add(is, &f); /* it is told twice */
            if (wr_rand_below(&r, 3) == 0 && !handed) {
                size_t i = (size_t)wr_rand_below(&r, x.files.n);

                f = x.files.p[i];
                cut(&x, i);
                wr_roll_remove(&roll, &f);
            }
            handed = handed || wr_rand_below(&r, 100) == 0; /* another process goes on */
        }
        if (handed)
            wr_roll_join(&later, &roll);
        else
            later = roll;
        T(later.counted && wr_roll_missing(&later, x.files.p, x.files.n, &max) == 0);
        for (unsigned level = 0; level < WR_LEVEL_SNAPSHOT; level++)
            T(holes(&x, &later, level) == 0);
        wr_ltx_files_release(&x.files);
    }
}

static void test_each_file_that_goes_is_missed(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (unsigned round = 0; round < 200; round++) {
        struct replica x = {0};
        struct wr_roll roll = {.counted = true};
        struct wr_ltx_file f;
        size_t i, missed = 0;
        uint64_t max = 0;

        while (x.files.n < 60) {
            f = next_of(&x, &r, wr_rand_below(&r, 2) ? 0 : (unsigned)wr_rand_below(&r, 10));
            put(&x, &roll, &f);
        }
        i = (size_t)wr_rand_below(&r, x.files.n);
        f = x.files.p[i];
        cut(&x, i);
        for (unsigned level = 0; level < WR_LEVEL_SNAPSHOT; level++)
            missed += holes(&x, &roll, level);
        if (f.level == WR_LEVEL_SNAPSHOT)
            T(wr_roll_missing(&roll, x.files.p, x.files.n, &max) == 1 && max == f.max);
        else if (wr_roll_speaks(&roll, &f))
            T(missed == f.max - f.min + 1 || f.min < roll.run[f.level].from);
        else
            T(missed == 0);
        wr_ltx_files_release(&x.files);
    }
}

/* What came since is no reason to say that something is missing, nor that nothing is. */
static void test_snapshots_that_came_later(void **state)
{
    struct replica x = {0};
    struct wr_roll roll = {.counted = true}, other = {0};
    struct wr_ltx_file f = {.level = WR_LEVEL_SNAPSHOT, .min = 1};
    uint64_t max;

    (void)state;
    for (f.max = 1; f.max <= 3; f.max++)
        put(&x, &roll, &f);
    f.max = 9;
    put(&x, &other, &f);
    T(wr_roll_missing(&roll, x.files.p, x.files.n, &max) == 0);
    cut(&x, 1);
    T(wr_roll_missing(&roll, x.files.p, x.files.n, &max) == 1 && max == 2);
    cut(&x, 0);
    T(wr_roll_missing(&roll, x.files.p, x.files.n, &max) == 2 && max == 0);
    T(wr_roll_missing(&other, x.files.p, x.files.n, &max) == 0); /* it does not know all */
    wr_ltx_files_release(&x.files);
}

/* Who does not know what was counted before cannot say what is left when one of these goes; nor
 * whether one that is told late was among them. */
static void test_what_may_be_counted_twice_is_not_counted(void **state)
{
    const struct wr_ltx_file old = {.level = WR_LEVEL_SNAPSHOT, .min = 1, .max = 5},
                             new = {.level = WR_LEVEL_SNAPSHOT, .min = 1, .max = 7};
    struct wr_roll before = {.counted = true}, now;

    (void)state;
    wr_roll_add(&before, &old);
    now = (struct wr_roll){0};
    wr_roll_add(&now, &new);
    wr_roll_join(&now, &before);
    T(now.counted && now.snapshots == 2 && now.sum == 12 && now.newest == 7);
    now = (struct wr_roll){0};
    wr_roll_add(&now, &old);
    wr_roll_join(&now, &before);
    T(!now.counted);
    now = (struct wr_roll){0};
    wr_roll_remove(&now, &old);
    wr_roll_join(&now, &before);
    T(!now.counted);
}

static void test_both_say_what_is_left(void **state)
{
    struct wr_roll a = {.counted = true, .snapshots = 2, .sum = 3, .newest = 2}, b = a;

    (void)state;
    a.run[0] = (struct wr_roll_run){3, 9};
    b.run[0] = (struct wr_roll_run){5, 12};
    a.run[1] = (struct wr_roll_run){1, 2};
    wr_roll_meet(&a, &b);
    T(a.counted && a.run[0].from == 5 && a.run[0].to == 9 && a.run[1].to == 0);
    b.snapshots++;
    wr_roll_meet(&a, &b);
    T(!a.counted);
}

/* A file with the last of all names led back to the first one, and nothing ended. */
static void test_a_file_that_has_the_last_txid_of_all(void **state)
{
    struct wr_roll roll = {.run[0] = {1, 9}};
    struct wr_ltx_file all[] = {{.min = 2, .max = UINT64_MAX}, {.min = 5, .max = 7}};
    struct wr_roll_at at = {0};
    uint64_t from = 0, to = 0;

    (void)state;
    T(wr_roll_hole(&roll, 0, all, 2, &at, &from, &to) && from == 1 && to == 1);
    T(!wr_roll_hole(&roll, 0, all, 2, &at, &from, &to));
}

/* Which took hours, as each hole was looked for from the first file on. */
static void test_a_run_with_very_many_holes(void **state)
{
    struct wr_roll roll = {.run[0] = {1, UINT64_MAX - 1}};
    struct wr_ltx_files all = {0};
    struct wr_roll_at at = {0};
    uint64_t from = 0, to = 0, n = 0;
    struct wr_err e = {0};

    (void)state;
    for (uint64_t i = 1; i <= 500000; i++)
        T_OK(wr_ltx_files_add(&all, &(struct wr_ltx_file){.min = 2 * i, .max = 2 * i}, &e));
    while (wr_roll_hole(&roll, 0, all.p, all.n, &at, &from, &to)) {
        n++;
        T(from == 2 * n - 1);
    }
    T(n == 500001 && to == UINT64_MAX - 1);
    wr_ltx_files_release(&all);
}

T_MAIN(T_TEST(test_what_it_speaks_of_is_there), T_TEST(test_each_file_that_goes_is_missed),
    T_TEST(test_snapshots_that_came_later), T_TEST(test_what_may_be_counted_twice_is_not_counted),
    T_TEST(test_both_say_what_is_left), T_TEST(test_a_file_that_has_the_last_txid_of_all),
    T_TEST(test_a_run_with_very_many_holes))
