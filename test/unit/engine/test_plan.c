/*
 * test_plan.c - the planner against an exhaustive search and a literal reading of its rule.
 */
#include "engine/plan.h"

#include "base/rand.h"
#include "harness/t.h"

#define LISTING_MAX 24
#include "unit/engine/listing.h"

#define TXID_MAX 12

static bool within(const struct wr_ltx_file *f, const struct wr_plan_target *t)
{
    if (t->txid)
        return f->max <= t->txid;
    return !t->time_ms || f->time_ms < t->time_ms;
}

static bool snapshot(const struct wr_ltx_file *f)
{
    return f->level == WR_LEVEL_SNAPSHOT;
}

/* Which TXIDs any chain at all ends at. */
static void reach(const struct listing *l, const struct wr_plan_target *t, bool ends[TXID_MAX + 1])
{
    bool grown = true;

    for (size_t i = 0; i <= TXID_MAX; i++)
        ends[i] = i == 0;
    while (grown) {
        grown = false;
        for (size_t i = 0; i < l->n; i++) {
            const struct wr_ltx_file *f = &l->f[i];

            if (!within(f, t) || ends[f->max] || (snapshot(f) && f->min != 1))
                continue;
            for (uint64_t cur = f->min - 1; cur < f->max; cur++) {
                if (ends[cur])
                    ends[f->max] = grown = true;
            }
        }
    }
}

/* The rule, word for word, with a full scan for each choice. */
static size_t literal(const struct listing *l, const struct wr_plan_target *t, size_t *out)
{
    size_t n = 0;
    uint64_t cur = 0;

    for (size_t i = 0; i < l->n; i++) {
        if (snapshot(&l->f[i]) && l->f[i].min == 1 && within(&l->f[i], t)) {
            out[0] = i;
            n = 1;
            cur = l->f[i].max;
        }
    }
    for (;;) {
        size_t best = SIZE_MAX;

        for (size_t i = 0; i < l->n; i++) {
            const struct wr_ltx_file *f = &l->f[i];
            const struct wr_ltx_file *b = best == SIZE_MAX ? NULL : &l->f[best];

            if (snapshot(f) || !within(f, t) || f->min > cur + 1 || f->max <= cur)
                continue;
            if (!b || f->max > b->max ||
                (f->max == b->max &&
                    (f->min < b->min || (f->min == b->min && f->level > b->level))))
                best = i;
        }
        if (best == SIZE_MAX)
            return n;
        out[n++] = best;
        cur = l->f[best].max;
    }
}

static void random_listing(struct wr_rand *r, struct listing *l)
{
    size_t n = wr_rand_below(r, LISTING_MAX);

    l->n = 0;
    for (size_t i = 0; i < n; i++) {
        struct wr_ltx_file f = {.level = (unsigned)wr_rand_below(r, WR_LEVEL_MAX + 1)};

        f.min = snapshot(&f) && wr_rand_below(r, 8) ? 1 : wr_rand_below(r, TXID_MAX) + 1;
        f.max = f.min + wr_rand_below(r, TXID_MAX + 1 - f.min);
        if (!listing_has(l, &f))
            listing_add(l, f.level, f.min, f.max, (int64_t)wr_rand_below(r, 20) + 1);
    }
}

/* What there is to say about any answer. */
static void check_case(const struct listing *l, const struct wr_plan_target *t)
{
    bool ends[TXID_MAX + 1];
    size_t out[LISTING_MAX], want[LISTING_MAX];
    size_t n = 0;
    size_t n_want = literal(l, t, want);
    uint64_t far = 0;
    uint64_t cur = 0;
    bool beyond = false;
    struct wr_err e = {0};
    enum wr_status st = wr_plan(l->f, l->n, t, out, &n, &e);

    reach(l, t, ends);
    for (uint64_t i = 1; i <= TXID_MAX; i++)
        far = ends[i] ? i : far;
    for (size_t i = 0; i < l->n; i++)
        beyond = beyond || (!snapshot(&l->f[i]) && l->f[i].max > far);
    if (t->txid)
        T_IS(ends[t->txid] ? WR_OK : WR_NOTFOUND, st);
    else if (!t->time_ms && beyond)
        T_IS(WR_CORRUPT, st);
    else
        T_IS(far ? WR_OK : WR_NOTFOUND, st);
    if (st != WR_OK)
        return;
    T(n == n_want && memcmp(out, want, n * sizeof(*out)) == 0);
    for (size_t i = 0; i < n; i++) {
        T(l->f[out[i]].min <= cur + 1 && l->f[out[i]].max > cur && within(&l->f[out[i]], t));
        cur = l->f[out[i]].max;
    }
    T(cur == (t->txid ? t->txid : far));
}

static void test_brute_force(void **state)
{
    struct wr_rand r;
    struct listing l;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 20000; i++) {
        random_listing(&r, &l);
        check_case(&l, &(struct wr_plan_target){0});
        check_case(&l, &(struct wr_plan_target){.txid = wr_rand_below(&r, TXID_MAX) + 1});
        check_case(&l, &(struct wr_plan_target){.time_ms = (int64_t)wr_rand_below(&r, 22) + 1});
    }
}

/* Losing what a plan does not use changes nothing; losing what it uses may be survived. */
static void test_losing_files(void **state)
{
    struct wr_rand r;
    struct listing l;

    (void)state;
    wr_rand_init(&r, t_seed() + 1);
    for (int i = 0; i < 5000; i++) {
        const struct wr_plan_target t = {.txid = wr_rand_below(&r, TXID_MAX) + 1};
        size_t out[LISTING_MAX], again[LISTING_MAX];
        size_t n, n_again, lost;
        struct wr_ltx_file kept[LISTING_MAX];
        bool used = false;

        random_listing(&r, &l);
        if (l.n == 0 || wr_plan(l.f, l.n, &t, out, &n, NULL) != WR_OK)
            continue;
        for (size_t k = 0; k < n; k++)
            kept[k] = l.f[out[k]];
        lost = wr_rand_below(&r, l.n);
        for (size_t k = 0; k < n; k++)
            used = used || out[k] == lost;
        memmove(l.f + lost, l.f + lost + 1, (l.n - lost - 1) * sizeof(*l.f));
        l.n--;
        check_case(&l, &t);
        if (used)
            continue;
        T(wr_plan(l.f, l.n, &t, again, &n_again, NULL) == WR_OK);
        T(n == n_again);
        for (size_t k = 0; k < n; k++)
            T(wr_ltx_file_cmp(&l.f[again[k]], &kept[k]) == 0);
    }
}

static void test_ties(void **state)
{
    struct listing l = {0};
    size_t out[LISTING_MAX];
    size_t n;
    struct wr_err e = {0};

    (void)state;
    listing_add(&l, 9, 1, 3, 1);
    listing_add(&l, 0, 4, 6, 1);
    listing_add(&l, 1, 4, 6, 1);
    listing_add(&l, 2, 3, 6, 1);
    listing_add(&l, 3, 3, 6, 1);
    listing_add(&l, 1, 2, 5, 1);
    T_OK(wr_plan(l.f, l.n, &(struct wr_plan_target){0}, out, &n, &e));
    T(n == 2 && l.f[out[0]].level == 9);
    T(l.f[out[1]].level == 3 && l.f[out[1]].min == 3); /* begins first, then the higher level */
}

static void test_snapshot_at_target_is_all(void **state)
{
    struct listing l = {0};
    size_t out[LISTING_MAX];
    size_t n;
    struct wr_err e = {0};

    (void)state;
    listing_add(&l, 9, 1, 3, 1);
    listing_add(&l, 9, 1, 5, 2);
    listing_add(&l, 0, 4, 4, 1);
    T_OK(wr_plan(l.f, l.n, &(struct wr_plan_target){.txid = 5}, out, &n, &e));
    T(n == 1 && l.f[out[0]].max == 5);
    T_OK(wr_plan(l.f, l.n, &(struct wr_plan_target){.txid = 4}, out, &n, &e));
    T(n == 2 && l.f[out[0]].max == 3 && l.f[out[1]].max == 4);
}

static void test_time_is_strict(void **state)
{
    struct listing l = {0};
    size_t out[LISTING_MAX];
    size_t n;
    struct wr_err e = {0};

    (void)state;
    listing_add(&l, 9, 1, 3, 1000);
    listing_add(&l, 0, 4, 4, 2000);
    T_IS(WR_NOTFOUND, wr_plan(l.f, l.n, &(struct wr_plan_target){.time_ms = 1000}, out, &n, &e));
    T_OK(wr_plan(l.f, l.n, &(struct wr_plan_target){.time_ms = 2000}, out, &n, &e));
    T(n == 1);
    T_OK(wr_plan(l.f, l.n, &(struct wr_plan_target){.time_ms = 2001}, out, &n, &e));
    T(n == 2);
}

static void test_extreme_txids(void **state)
{
    struct listing l = {0};
    size_t out[LISTING_MAX];
    size_t n;
    struct wr_err e = {0};

    (void)state;
    listing_add(&l, 9, 1, UINT64_MAX - 1, 1);
    listing_add(&l, 0, UINT64_MAX, UINT64_MAX, 1);
    T_OK(wr_plan(l.f, l.n, &(struct wr_plan_target){0}, out, &n, &e));
    T(n == 2);
    T_OK(wr_plan(l.f, l.n, &(struct wr_plan_target){.txid = UINT64_MAX}, out, &n, &e));
    T(n == 2);
}

static void test_texts(void **state)
{
    struct listing l = {0};
    size_t out[LISTING_MAX];
    size_t n;
    struct wr_err e = {0};

    (void)state;
    T_IS(WR_NOTFOUND, wr_plan(NULL, 0, &(struct wr_plan_target){0}, out, &n, &e));
    assert_string_equal(e.text, "no matching backup files available");
    T_IS(WR_NOTFOUND, wr_plan(NULL, 0, &(struct wr_plan_target){.txid = 1}, out, &n, &e));
    T_IS(WR_MISUSE,
        wr_plan(NULL, 0, &(struct wr_plan_target){.txid = 1, .time_ms = 1}, out, &n, &e));
    assert_string_equal(e.text, "cannot specify both TXID & timestamp to restore");
    listing_add(&l, 9, 1, 3, 1);
    listing_add(&l, 0, 5, 5, 1);
    listing_add(&l, 1, 6, 7, 1);
    T_IS(WR_CORRUPT, wr_plan(l.f, l.n, &(struct wr_plan_target){0}, out, &n, &e));
    assert_string_equal(e.text, "non-contiguous ltx files: have up to 0000000000000003 but next "
                                "file starts at 0000000000000005");
    T_IS(WR_NOTFOUND, wr_plan(l.f, l.n, &(struct wr_plan_target){.txid = 5}, out, &n, &e));
    assert_string_equal(e.text, "transaction not available: 0000000000000005 (the nearest one "
                                "before it is 0000000000000003)");
    /* Only a restore to the newest state minds the gap. */
    T_OK(wr_plan(l.f, l.n, &(struct wr_plan_target){.time_ms = 10}, out, &n, &e));
}

static void test_times(void **state)
{
    struct listing l = {0};
    int64_t oldest = 7;
    int64_t newest = 8;

    (void)state;
    T(!wr_plan_times(NULL, 0, &oldest, &newest) && oldest == 7 && newest == 8);
    listing_add(&l, 0, 1, 1, 30);
    listing_add(&l, 0, 2, 2, 10);
    listing_add(&l, 9, 1, 1, 20);
    T(wr_plan_times(l.f, l.n, &oldest, &newest) && oldest == 10 && newest == 30);
}

T_MAIN(T_TEST(test_brute_force), T_TEST(test_losing_files), T_TEST(test_ties),
    T_TEST(test_snapshot_at_target_is_all), T_TEST(test_time_is_strict), T_TEST(test_extreme_txids),
    T_TEST(test_texts), T_TEST(test_times))
