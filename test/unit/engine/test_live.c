/*
 * test_live.c - a database that was read between two transactions, against the states of a replica.
 */
#include "engine/live.h"

#include "base/mem.h"
#include "base/rand.h"
#include "harness/t.h"

#define PAGES 12u

static uint64_t next_sum = 1;

/* A database of our own: the pages that were cut off stay, as in sums.h. */
static void grow_to(struct wr_sums *s, uint32_t commit)
{
    if (commit > s->extent) {
        s->sum = wr_resize(s->sum, commit, sizeof(*s->sum));
        T(s->sum);
        s->extent = commit;
    }
    s->commit = commit;
}

static struct wr_sums copy_of(const struct wr_sums *s)
{
    struct wr_sums c = *s;

    c.sum = wr_array(s->extent, sizeof(*c.sum));
    T(c.sum);
    memcpy(c.sum, s->sum, s->extent * sizeof(*c.sum));
    return c;
}

/* One transaction; `touched` has a bit for each page that it wrote. */
static void commit(struct wr_sums *s, struct wr_rand *r, uint64_t *touched)
{
    bool keeps = s->commit > 0 && wr_rand_below(r, 3);
    uint32_t was = s->commit, to = keeps ? was : 1 + (uint32_t)wr_rand_below(r, PAGES);

    grow_to(s, to);
    for (uint32_t i = 0; i < to; i++) {
        if (i >= was || wr_rand_below(r, 4) == 0) {
            s->sum[i] = next_sum++;
            *touched |= UINT64_C(1) << i;
        }
    }
}

/* What a replica has after the file that made `s` of `before`. */
static struct wr_sums after(const struct wr_sums *before, const struct wr_sums *s, uint64_t touched)
{
    struct wr_sums at = copy_of(before);

    grow_to(&at, s->commit);
    for (uint32_t i = 0; i < s->commit; i++) {
        if (touched >> i & 1)
            at.sum[i] = s->sum[i];
    }
    return at;
}

static struct wr_change change_of(const struct wr_sums *at, uint64_t touched)
{
    struct wr_change ch = {.header = {.page_size = at->page_size, .commit = at->commit}};
    struct wr_err e = {0};

    for (uint32_t i = 0; i < at->commit; i++) {
        if (touched >> i & 1)
            T_OK(wr_change_add(&ch, i + 1, at->sum[i], &e));
    }
    return ch;
}

/* A file of some transactions; the database is read after any of them, or right before all, and is
 * met. With a page that nobody wrote to it is not. */
static void test_random(void **state)
{
    struct wr_rand r;
    unsigned straddled = 0, told = 0;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 20000; round++) {
        struct wr_sums s = {.page_size = 512}, before, at;
        struct wr_live x = {0};
        struct wr_change ch;
        uint64_t touched = 0;
        unsigned n = 1 + (unsigned)wr_rand_below(&r, 4), when = (unsigned)wr_rand_below(&r, n + 1);
        uint32_t low;

        commit(&s, &r, &touched);
        touched = 0;
        before = copy_of(&s);
        low = s.commit;
        for (unsigned i = 0; i <= n; i++) {
            if (i == when)
                x.sums = copy_of(&s);
            low = wr_min(low, s.commit);
            if (i < n)
                commit(&s, &r, &touched);
        }
        ch = change_of(&s, touched);
        at = after(&before, &s, touched);
        wr_live_compare(&x, &at, when == n ? NULL : &ch, 7);
        /* What came and went within the file is in none: it is read again. */
        if (x.sums.commit <= s.commit || when == 0 || when == n) {
            T(x.met && x.txid == 7 && x.differ == 0);
            T(when < n || x.changing == 0);
            T(x.same <= x.sums.commit && (when < n || x.same == x.sums.commit));
            straddled += x.changing > 0;
        }
        for (uint32_t i = 0; i < wr_min(low, s.commit); i++) {
            if (touched >> i & 1)
                continue;
            x.met = false;
            x.sums.sum[i] ^= 1;
            wr_live_compare(&x, &at, &ch, 8);
            T(!x.met && x.differ >= 1 && x.page <= i + 1 && x.txid == 8);
            x.sums.sum[i] ^= 1;
            told++;
        }
        wr_change_release(&ch);
        wr_sums_release(&s);
        wr_sums_release(&before);
        wr_sums_release(&at);
        wr_live_release(&x);
    }
    T(straddled > 1000 && told > 1000);
}

static void test_it_stays_met(void **state)
{
    uint64_t a[] = {1, 2}, b[] = {1, 3};
    struct wr_sums at = {.page_size = 512, .commit = 2, .extent = 2, .sum = a};
    struct wr_live x = {.sums = at};

    (void)state;
    wr_live_compare(&x, &at, NULL, 1);
    T(x.met && x.txid == 1);
    at.sum = b;
    wr_live_compare(&x, &at, NULL, 2);
    T(x.met && x.txid == 1);
}

static void test_another_page_size(void **state)
{
    uint64_t a[] = {1, 2};
    struct wr_sums at = {.page_size = 512, .commit = 2, .extent = 2, .sum = a};
    struct wr_live x = {.sums = at};

    (void)state;
    at.page_size = 1024;
    wr_live_compare(&x, &at, NULL, 1);
    T(!x.met && x.differ == 2 && x.page == 1);
}

/* It was counted as what is not changing, which pages that came since made less than nothing. */
static void test_it_grew_by_more_than_it_had(void **state)
{
    uint64_t was[] = {1}, is[] = {2, 3, 4};
    struct wr_sums at = {.page_size = 512, .commit = 3, .extent = 3, .sum = is};
    struct wr_live x = {.sums = {.page_size = 512, .commit = 1, .extent = 1, .sum = was}};
    struct wr_change ch = change_of(&at, 7);

    (void)state;
    wr_live_compare(&x, &at, &ch, 1);
    T(x.met && x.same == 0 && x.changing == 3);
    wr_change_release(&ch);
}

T_MAIN(T_TEST(test_random), T_TEST(test_it_stays_met), T_TEST(test_it_grew_by_more_than_it_had),
    T_TEST(test_another_page_size))
