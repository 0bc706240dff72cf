/*
 * test_times.c - plans for a time with few times known, against those with all of them.
 */
#include "engine/times.h"

#include "base/mem.h"
#include "base/rand.h"
#include "engine/plan.h"
#include "harness/t.h"

#define LISTING_MAX 3000
#include "unit/engine/listing.h"

/* A replica, and what its listing says of it. */
struct model {
    struct listing is;     /* with the times that count */
    struct listing listed; /* with those of arrival */
    bool asked[LISTING_MAX];
    size_t n_asked, rounds;
};

/* When each TXID was made. */
struct history {
    int64_t time_ms[LISTING_MAX + 1];
    uint64_t n; /* TXIDs */
};

enum kind {
    TIME_OF_END,   /* as weir writes it */
    TIME_OF_BEGIN, /* as Litestream does; that of a snapshot is when it was made */
    TIME_OF_NOTHING,
    KINDS,
};

static void random_history(struct wr_rand *r, struct history *h, uint64_t n)
{
    int64_t ms = 1000;

    h->n = n;
    for (uint64_t i = 1; i <= n; i++) {
        ms += (int64_t)wr_rand_below(r, 4) * 10; /* some have the same time */
        h->time_ms[i] = ms;
    }
}

static void add(struct wr_rand *r, struct model *m, const struct history *h, enum kind kind,
    unsigned level, uint64_t min, uint64_t max)
{
    const struct wr_ltx_file f = {.level = level, .min = min, .max = max};
    int64_t ms = h->time_ms[max];

    if (kind == TIME_OF_BEGIN && level < WR_LEVEL_SNAPSHOT)
        ms = h->time_ms[min];
    else if (kind == TIME_OF_BEGIN)
        ms += (int64_t)wr_rand_below(r, 25);
    else if (kind == TIME_OF_NOTHING)
        ms = 1000 + (int64_t)wr_rand_below(r, (uint64_t)h->time_ms[h->n]);
    if (!listing_has(&m->is, &f))
        listing_add(&m->is, level, min, max, ms);
}

/* Levels of 1, 3 and 9 TXIDs and snapshots, each with an end of its own, and in most without all
 * that is old; rarely, some files are gone. */
static void random_replica(struct wr_rand *r, struct model *m, const struct history *h, enum kind k)
{
    uint64_t old = wr_rand_below(r, 3) ? wr_rand_below(r, h->n + 1) : 0;

    m->is.n = 0;
    for (unsigned level = 0; level < 3; level++) {
        const uint64_t span = level == 0 ? 1 : level == 1 ? 3 : 9;
        uint64_t from = level == 2 ? 1 : old * (2 - level) / 2;

        for (uint64_t min = from / span * span + 1; min + span - 1 <= h->n; min += span)
            if (old == 0 || wr_rand_below(r, 100))
                add(r, m, h, k, level, min, min + span - 1);
    }
    for (uint64_t i = wr_rand_below(r, 4); i-- > 0;)
        add(r, m, h, k, WR_LEVEL_SNAPSHOT, 1, wr_rand_below(r, h->n) + 1);
}

/* Uploads take a while; or all files were copied later; or the clock was ahead. */
static void list(struct wr_rand *r, struct model *m)
{
    uint64_t how = wr_rand_below(r, 4);

    m->listed = m->is;
    for (size_t i = 0; i < m->is.n; i++) {
        struct wr_ltx_file *f = &m->listed.f[i];

        if (how == 0)
            f->time_ms = 1000000;
        else if (how == 1)
            f->time_ms = wr_max(f->time_ms - 300, 1);
        else
            f->time_ms += (int64_t)wr_rand_below(r, 30);
    }
}

static void find(struct model *m, int64_t time_ms)
{
    const size_t *which = NULL;
    struct wr_times *x = NULL;
    struct wr_err e = {0};
    size_t n;

    memset(m->asked, 0, sizeof(m->asked));
    m->n_asked = m->rounds = 0;
    T_OK(wr_times_new(m->listed.f, m->listed.n, time_ms, &x, &e));
    while ((n = wr_times_next(x, &which)) > 0) {
        m->rounds++;
        for (size_t i = 0; i < n; i++) {
            T(!m->asked[which[i]]);
            m->asked[which[i]] = true;
            m->listed.f[which[i]].time_ms = m->is.f[which[i]].time_ms;
            m->n_asked++;
        }
    }
    T(wr_times_next(x, &which) == 0);
    wr_times_free(x);
}

/* Where a plan ends, and whether there is a gap; the last file is one that was asked. */
static uint64_t end_of(
    const struct model *m, const struct listing *l, int64_t time_ms, uint64_t *gap)
{
    const struct wr_plan_target t = {.time_ms = time_ms};
    size_t *chain = wr_array(l->n, sizeof(*chain));
    size_t n = 0;
    uint64_t end = 0;

    T(chain);
    if (wr_plan(l->f, l->n, &t, chain, &n, NULL) == WR_OK) {
        end = l->f[chain[n - 1]].max;
        T(l == &m->is || m->asked[chain[n - 1]]);
    }
    *gap = wr_plan_gap(l->f, l->n, &t, end);
    wr_free(chain);
    return end;
}

static void check(struct model *m, int64_t time_ms, enum kind kind)
{
    uint64_t end, gap, want, want_gap;

    find(m, time_ms);
    end = end_of(m, &m->listed, time_ms, &gap);
    want = end_of(m, &m->is, time_ms, &want_gap);
    if (kind == TIME_OF_NOTHING)
        T(end >= want); /* never short of it */
    else
        T(end == want && gap == want_gap);
}

static void test_few_times_end_where_all_do(void **state)
{
    static struct model m;
    static struct history h;
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 12000; i++) {
        enum kind kind = (enum kind)(i % KINDS);

        random_history(&r, &h, wr_rand_below(&r, i % 10 ? 40 : 120) + 1);
        random_replica(&r, &m, &h, kind);
        list(&r, &m);
        check(&m, 990 + (int64_t)wr_rand_below(&r, (uint64_t)h.time_ms[h.n] - 900), kind);
    }
}

static void test_two_thousand_files(void **state)
{
    static struct model m;
    static struct history h;
    struct wr_rand r;
    size_t most = 0, total = 0, rounds = 0;
    const int cases = 60;

    (void)state;
    wr_rand_init(&r, t_seed() + 1);
    h.n = 2000;
    for (uint64_t i = 1; i <= h.n; i++)
        h.time_ms[i] = (int64_t)i * 1000;
    add(&r, &m, &h, TIME_OF_END, WR_LEVEL_SNAPSHOT, 1, 1);
    for (uint64_t i = 2; i <= h.n; i++)
        add(&r, &m, &h, TIME_OF_END, 0, i, i);
    for (int i = 0; i < cases; i++) {
        m.listed = m.is;
        for (size_t k = 0; k < m.is.n; k++) /* one in three was copied */
            m.listed.f[k].time_ms += i % 3 ? 800 : 99999999;
        check(&m, 1000 + (int64_t)wr_rand_below(&r, 2001000), TIME_OF_END);
        most = wr_max(most, m.n_asked);
        rounds = wr_max(rounds, m.rounds);
        total += m.n_asked;
        if (i % 3)
            T(m.n_asked <= 3 + 13); /* the search; the plan's 1st, 2nd, 4th ... and what follows */
    }
    T(most <= 22 + 13 && rounds <= 24);
    T(total <= (size_t)cases * 22);
}

/* A snapshot an hour, for months. */
static void test_a_thousand_snapshots(void **state)
{
    static struct model m;
    static struct history h;
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    h.n = 1000;
    for (uint64_t i = 1; i <= h.n; i++)
        h.time_ms[i] = (int64_t)i * 1000;
    for (uint64_t i = 1; i <= h.n; i++) {
        add(&r, &m, &h, TIME_OF_END, WR_LEVEL_SNAPSHOT, 1, i);
        add(&r, &m, &h, TIME_OF_END, 0, i, i);
    }
    for (int64_t s = 0; s <= 1001; s += 91) {
        m.listed = m.is;
        check(&m, s * 1000 + 1, TIME_OF_END);
        T(m.n_asked <= (s == 0 ? h.n + 13 : 22 + 13)); /* all where nothing is found */
    }
}

/* One of them alone was made before the time, by a clock that had been set back, and arrived behind
 * it: there was nothing to restore. (Seed 1,033,145 of the simulator.) */
static void test_one_of_many_snapshots_was_not_asked(void **state)
{
    static struct model m;
    static struct history h;
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    h.n = 8;
    for (uint64_t one = 1; one <= h.n; one++) {
        m.is.n = 0;
        for (uint64_t i = 1; i <= h.n; i++) {
            h.time_ms[i] = i == one ? 500 : (int64_t)i * 1000;
            add(&r, &m, &h, TIME_OF_END, WR_LEVEL_SNAPSHOT, 1, i);
        }
        m.listed = m.is;
        m.listed.f[one - 1].time_ms = (int64_t)one * 1000;
        check(&m, 600, TIME_OF_END);
    }
}

/* The clock was ahead for a while: that the plan's last file is from before the time says nothing
 * of these. One of them is asked, and then all of the plan. */
static void test_a_clock_that_was_ahead(void **state)
{
    static struct model m;
    static struct history h;
    struct wr_rand r;
    uint64_t gap;

    (void)state;
    wr_rand_init(&r, t_seed());
    h.n = 200;
    for (uint64_t i = 1; i <= h.n; i++)
        h.time_ms[i] = (int64_t)i * 1000 + (i >= 100 && i < 140 ? 99999999 : 0);
    for (uint64_t i = 1; i <= h.n; i++)
        add(&r, &m, &h, TIME_OF_END, 0, i, i);
    for (uint64_t i = 1; i <= h.n; i++) {
        m.listed = m.is;
        for (size_t k = 0; k < m.is.n; k++)
            m.listed.f[k].time_ms = (int64_t)m.is.f[k].max * 1000 + 800;
        check(&m, (int64_t)i * 1000 + 1, TIME_OF_NOTHING);
        if (i >= 100)
            T(m.n_asked < 200);
    }
    m.listed = m.is;
    find(&m, 150001);
    T(end_of(&m, &m.listed, 150001, &gap) == 99); /* as all of the files say */
}

/* One that is found is not taken for the only one: 134 is among those that are asked, 124 is not.
 */
static void test_no_plan_is_trusted_any_more(void **state)
{
    static struct model m;
    uint64_t gap;

    (void)state;
    for (uint64_t i = 1; i <= 200; i++)
        listing_add(&m.is, 0, i, i, (int64_t)i * 1000 + (i == 134 || i == 124 ? 99999999 : 0));
    m.listed = m.is;
    for (size_t i = 0; i < m.is.n; i++)
        m.listed.f[i].time_ms = (int64_t)m.is.f[i].max * 1000 + 800;
    find(&m, 150001);
    T(m.asked[133] && m.rounds < 10);
    T(end_of(&m, &m.listed, 150001, &gap) == 123);
}

/* Two files lead to each TXID, and it is the one that no plan would take that is from before. */
static void test_times_that_lead_on_step_by_step(void **state)
{
    static struct model m;
    uint64_t gap;

    (void)state;
    for (uint64_t i = 1; i <= 200; i++) {
        listing_add(&m.is, 0, i, i, 1000);
        if (i > 1)
            listing_add(&m.is, 1, i - 1, i, 9000);
    }
    m.listed = m.is;
    find(&m, 5000);
    T(end_of(&m, &m.listed, 5000, &gap) == 200);
    T(m.rounds < 80 && m.n_asked == m.is.n);
}

/* What ends first behind a gap was made first, what begins first may not have been. */
static void test_a_gap_is_warned_of(void **state)
{
    static struct model m;

    (void)state;
    listing_add(&m.is, 0, 1, 1, 1000);
    listing_add(&m.is, 0, 4, 4, 4000);
    listing_add(&m.is, 0, 5, 5, 5000);
    listing_add(&m.is, 1, 3, 5, 5000);
    m.listed = m.is;
    check(&m, 4001, TIME_OF_END);
    check(&m, 5001, TIME_OF_END);
    check(&m, 3001, TIME_OF_END);
}

static void test_nothing_to_ask(void **state)
{
    static struct model m;

    (void)state;
    find(&m, 5);
    T(m.n_asked == 0);
    listing_add(&m.is, 0, 7, 7, 3); /* behind a gap: asked, as that is worth a warning */
    m.listed = m.is;
    check(&m, 5, TIME_OF_END);
    T(m.n_asked == 1);
    wr_times_free(NULL);
}

static enum wr_status new_body(void *arg)
{
    struct model *m = arg;
    struct wr_times *x = NULL;
    struct wr_err e = {0};
    enum wr_status st = wr_times_new(m->listed.f, m->listed.n, 5, &x, &e);

    wr_times_free(x);
    return st;
}

static void test_nomem(void **state)
{
    static struct model m;

    (void)state;
    listing_add(&m.listed, 0, 1, 1, 3);
    t_sweep_nomem(new_body, &m);
}

T_MAIN(T_TEST(test_few_times_end_where_all_do), T_TEST(test_two_thousand_files),
    T_TEST(test_a_thousand_snapshots), T_TEST(test_one_of_many_snapshots_was_not_asked),
    T_TEST(test_a_clock_that_was_ahead), T_TEST(test_no_plan_is_trusted_any_more),
    T_TEST(test_times_that_lead_on_step_by_step), T_TEST(test_a_gap_is_warned_of),
    T_TEST(test_nothing_to_ask), T_TEST(test_nomem))
