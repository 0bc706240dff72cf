/*
 * test_retain.c - what retention keeps: against the planner, over random histories, and the plain
 * cases by hand.
 */
#include "engine/retain.h"

#include "engine/cadence.h"
#include "engine/fence.h"

#include "base/mem.h"
#include "base/rand.h"
#include "engine/plan.h"
#include "harness/t.h"

#include <time.h>

#define LISTING_MAX 600
#include "unit/engine/listing.h"

#define LIFE_MAX 64
#define HOUR_MS  INT64_C(3600000)
#define DAY_MS   (24 * HOUR_MS)
#define NEW_YEAR INT64_C(1704067200000) /* 2024-01-01T00:00:00Z, a Monday */

/* Unless it is there. */
static void add(struct listing *l, unsigned level, uint64_t min, uint64_t max, int64_t time_ms)
{
    if (!listing_has(l, &(struct wr_ltx_file){.level = level, .min = min, .max = max}))
        listing_add(l, level, min, max, time_ms);
}

static bool restores(const struct listing *l, uint64_t txid)
{
    struct wr_plan_target t = {.txid = txid};
    size_t chain[LISTING_MAX], n = 0;
    struct wr_err e = {0};

    return wr_plan(l->f, l->n, &t, chain, &n, &e) == WR_OK;
}

static struct listing kept(const struct listing *l, const struct wr_retention *r)
{
    struct listing out = {0};
    enum wr_kept why[LISTING_MAX] = {0};
    struct wr_err e = {0};

    T_OK(wr_retain(l->f, l->n, r, why, &e));
    for (size_t i = 0; i < l->n; i++) {
        if (why[i] != WR_KEPT_NOT)
            out.f[out.n++] = l->f[i];
    }
    return out;
}

static size_t count(const struct listing *l, unsigned level)
{
    size_t n = 0;

    for (size_t i = 0; i < l->n; i++)
        n += l->f[i].level == level;
    return n;
}

static bool is_point(const struct listing *all, const bool *possible, size_t i)
{
    return possible[i] && (all->f[i].level != WR_LEVEL_SNAPSHOT || all->f[i].min == 1);
}

/* The file of `all` that has the point of a period; NULL: there is none. */
static const struct wr_ltx_file *point_of(
    const struct listing *all, const bool *possible, enum wr_period kind, int64_t period)
{
    const struct wr_ltx_file *best = NULL;

    for (size_t i = 0; i < all->n; i++) {
        const struct wr_ltx_file *f = &all->f[i];
        bool single = f->level == WR_LEVEL_SNAPSHOT, is = best && best->level == WR_LEVEL_SNAPSHOT;

        if (!is_point(all, possible, i) || wr_time_period(kind, f->time_ms) != period)
            continue;
        if (!best || (single && !is) || (single == is && f->max > best->max))
            best = f;
    }
    return best;
}

/* The last period before `end` that has a point; `end` itself: there is none. */
static int64_t period_before(
    const struct listing *all, const bool *possible, enum wr_period kind, int64_t end)
{
    int64_t last = INT64_MIN;

    for (size_t i = 0; i < all->n; i++) {
        int64_t is = wr_time_period(kind, all->f[i].time_ms);

        if (is < end && is_point(all, possible, i))
            last = wr_max(last, is);
    }
    return last == INT64_MIN ? end : last;
}

/* Of the period the point restores, and a file says that it is of that time; a snapshot is there.
 */
static void expect_point(
    const struct listing *is, const struct wr_ltx_file *p, enum wr_period kind, int64_t period)
{
    bool told = false;

    T(restores(is, p->max));
    for (size_t i = 0; i < is->n; i++)
        told =
            told || (is->f[i].max == p->max && wr_time_period(kind, is->f[i].time_ms) == period &&
                        (is->f[i].level == WR_LEVEL_SNAPSHOT) == (p->level == WR_LEVEL_SNAPSHOT));
    T(told);
}

/* Of `all` that ever was, what the rules by number promise is in `is`. */
static void expect_numbers(
    const struct listing *all, const struct listing *is, const struct wr_retention *r)
{
    bool possible[LISTING_MAX] = {0};
    uint32_t left = r->snapshots;

    for (size_t i = 0; i < all->n; i++)
        possible[i] = restores(all, all->f[i].max);
    for (enum wr_period kind = WR_PERIOD_HOUR; kind < WR_PERIODS; kind++) {
        int64_t end = INT64_MAX;

        for (uint32_t n = r->periods[kind]; n > 0; n--) {
            int64_t period = period_before(all, possible, kind, end);

            if (period == end)
                break;
            expect_point(is, point_of(all, possible, kind, period), kind, period);
            end = period;
        }
    }
    for (size_t i = all->n; i > 0 && left > 0; i--) {
        if (all->f[i - 1].level == WR_LEVEL_SNAPSHOT && all->f[i - 1].min == 1) {
            T(listing_has(is, &all->f[i - 1]));
            left--;
        }
    }
}

/* Mostly none, or few. */
static void random_numbers(struct wr_rand *r, struct wr_retention *ret)
{
    if (wr_rand_below(r, 2) == 0)
        ret->snapshots = (uint32_t)wr_rand_below(r, 5);
    for (enum wr_period kind = WR_PERIOD_HOUR; kind < WR_PERIODS; kind++) {
        if (wr_rand_below(r, 3) == 0)
            ret->periods[kind] = (uint32_t)wr_rand_below(r, 9);
    }
}

/* Whether level 0 has a newer point in the interval that file `i` is of. */
static bool is_outdone(
    const struct listing *all, const bool *possible, size_t i, const struct wr_retention *r)
{
    int64_t end = wr_cadence_end(all->f[i].time_ms, r->level_ms);

    for (size_t k = 0; k < all->n; k++) {
        const struct wr_ltx_file *f = &all->f[k];

        if (f->level == 0 && possible[k] && f->max > all->f[i].max &&
            wr_cadence_end(f->time_ms, r->level_ms) == end)
            return true;
    }
    return false;
}

/* A file of a level that has it, or what came soon after it. */
static bool has_later(
    const struct listing *is, const struct wr_ltx_file *f, const struct wr_retention *r)
{
    int64_t end = wr_cadence_end(f->time_ms, r->level_ms);

    for (size_t k = 0; k < is->n; k++) {
        const struct wr_ltx_file *g = &is->f[k];

        if (g->level > 0 && !wr_ltx_file_odd(g) && g->max >= f->max &&
            g->time_ms >= end - r->level_ms && g->time_ms < end + r->level_ms / 2 &&
            restores(is, g->max))
            return true;
    }
    return false;
}

/* Of each interval of level 1 one point restores. */
static void expect_intervals(
    const struct listing *all, const struct listing *is, const struct wr_retention *r, int64_t cut)
{
    bool possible[LISTING_MAX] = {0};

    for (size_t i = 0; i < all->n; i++)
        possible[i] = restores(all, all->f[i].max);
    for (size_t i = 0; i < all->n && all->f[i].level == 0; i++) {
        const struct wr_ltx_file *f = &all->f[i];

        if (f->time_ms >= cut && possible[i] && !is_outdone(all, possible, i, r))
            T(restores(is, f->max) || has_later(is, f, r));
    }
}

/* The state that the last keep_ms begin with is there, and a file says that it is so old. */
static void expect_first(const struct listing *all, const struct listing *is, int64_t cut)
{
    uint64_t first = 0;
    bool told = false;

    for (size_t i = 0; i < all->n; i++) {
        const struct wr_ltx_file *f = &all->f[i];

        if (!wr_ltx_file_odd(f) && f->time_ms < cut && restores(all, f->max))
            first = wr_max(first, f->max);
    }
    for (size_t i = 0; i < is->n; i++)
        told = told || (is->f[i].max == first && is->f[i].time_ms < cut);
    T(first == 0 || (restores(is, first) && told));
}

/* The promises of retain.h, word for word. */
static void expect_promises(
    const struct listing *all, const struct listing *is, const struct wr_retention *r)
{
    int64_t newest = INT64_MIN, cut, l0_cut;
    uint64_t last = 0;

    if (all->n == 0)
        return;
    for (size_t i = 0; i < all->n; i++) {
        newest = wr_max(newest, all->f[i].time_ms);
        if (restores(all, all->f[i].max))
            last = wr_max(last, all->f[i].max);
    }
    cut = r->keep_ms ? newest - r->keep_ms : INT64_MIN;
    l0_cut = r->l0_ms ? newest - r->l0_ms : cut;
    T(last == 0 || restores(is, last));
    for (size_t i = 0; i < all->n; i++) {
        const struct wr_ltx_file *f = &all->f[i];

        if (f->level == WR_LEVEL_SNAPSHOT && f->min != 1)
            continue;
        if (f->time_ms >= (f->level ? cut : l0_cut) && restores(all, f->max))
            T(restores(is, f->max));
    }
    expect_first(all, is, cut);
    if (r->level_ms > 0)
        expect_intervals(all, is, r, cut);
    expect_numbers(all, is, r);
}

/* A life as a daemon leads it, with holes, leaps and files that were deleted. */
static void random_life(struct wr_rand *r, int64_t unit_ms, struct listing *l)
{
    uint64_t txid = 1, ends[4] = {0, 1, 1, 1};
    int64_t now = NEW_YEAR - (int64_t)wr_rand_below(r, 1000) * unit_ms;

    add(l, WR_LEVEL_SNAPSHOT, 1, 1, now);
    while (l->n < LIFE_MAX - 6) {
        uint64_t next = txid + 1 + (wr_rand_below(r, 8) ? 0 : wr_rand_below(r, 5));

        now += (int64_t)wr_rand_below(r, 30) * unit_ms;
        add(l, 0, txid + 1, next, now);
        txid = next;
        for (unsigned level = 1; level <= 3; level++) {
            if (ends[level] < txid && wr_rand_below(r, 3 * level) == 0) {
                if (wr_rand_below(r, 10) > 0)
                    add(l, level, ends[level] + 1, txid, now);
                ends[level] = txid;
            }
        }
        if (wr_rand_below(r, 20) == 0)
            add(l, WR_LEVEL_SNAPSHOT, 1, txid, now);
        if (wr_rand_below(r, 30) == 0)
            txid += 100;
    }
    for (size_t gone = wr_rand_below(r, 4); gone > 0 && l->n > 1; gone--) {
        size_t i = (size_t)wr_rand_below(r, l->n);

        memmove(&l->f[i], &l->f[i + 1], (l->n - i - 1) * sizeof(l->f[0]));
        l->n--;
    }
}

static void random_files(struct wr_rand *r, int64_t unit_ms, struct listing *l)
{
    for (size_t n = (size_t)wr_rand_below(r, 24); n > 0; n--) {
        unsigned level = (unsigned)wr_rand_below(r, WR_LEVEL_MAX + 1);
        uint64_t min =
            level == WR_LEVEL_SNAPSHOT && wr_rand_below(r, 8) ? 1 : wr_rand_below(r, 12) + 1;

        add(l, level, min, min + wr_rand_below(r, 13 - min),
            NEW_YEAR + (int64_t)wr_rand_below(r, 40) * unit_ms);
    }
}

static void test_no_promise_is_ever_broken(void **state)
{
    const char *lives = getenv("WEIR_TEST_LIVES");
    uint64_t n = 20000;
    struct wr_rand r;

    (void)state;
    if (lives)
        T(wr_parse_u64(wr_str(lives), &n));
    wr_rand_init(&r, t_seed());
    for (uint64_t i = 0; i < n; i++) {
        static const int64_t units_ms[] = {1, 60000, HOUR_MS, DAY_MS};
        int64_t unit_ms = units_ms[wr_rand_below(&r, wr_countof(units_ms))];
        struct wr_retention keep = {.keep_ms = (int64_t)wr_rand_below(&r, 400) * unit_ms,
            .l0_ms = (int64_t)wr_rand_below(&r, wr_rand_below(&r, 3) ? 100 : 800) * unit_ms,
            .level_ms = (int64_t)wr_rand_below(&r, 2) * (int64_t)wr_rand_below(&r, 60) * unit_ms};
        struct listing all = {0}, is, again;

        random_numbers(&r, &keep);
        if (i % 2)
            random_life(&r, unit_ms, &all);
        else
            random_files(&r, unit_ms, &all);
        is = kept(&all, &keep);
        expect_promises(&all, &is, &keep);
        again = kept(&is, &keep); /* what is left is left in peace */
        T(again.n == is.n);
    }
}

/* What the files of a replica were, all of them, and what is left of them. */
struct walk {
    struct listing all, is;
    struct wr_ltx_file late; /* is still being sent; max 0: none is */
};

static void arrive(struct walk *w, const struct wr_ltx_file *f)
{
    add(&w->all, f->level, f->min, f->max, f->time_ms);
    add(&w->is, f->level, f->min, f->max, f->time_ms);
}

/* A file of a level, or a snapshot: now, or after some others. It has the time of its point. */
static void send(struct wr_rand *r, struct walk *w, struct wr_ltx_file f)
{
    if (w->late.max == 0 && wr_rand_below(r, 6) == 0)
        w->late = f;
    else
        arrive(w, &f);
}

/* A daemon writes for years, with pauses; what is too old is really deleted, now and then. After
 * each time the rules by number hold of all that ever was. How many files were deleted: none, where
 * all of it took no longer than everything is kept. */
static size_t walk_forward(struct wr_rand *r, const struct wr_retention *rules)
{
    static const int64_t pauses_ms[] = {
        60000, HOUR_MS, 5 * HOUR_MS, DAY_MS, 9 * DAY_MS, 40 * DAY_MS};
    static struct walk w;
    int64_t now = NEW_YEAR + (int64_t)wr_rand_below(r, (uint64_t)(400 * DAY_MS));
    uint64_t txid = 1, ends[4] = {0, 1, 1, 1};
    size_t most = 1 + (size_t)wr_rand_below(r, wr_countof(pauses_ms));

    w = (struct walk){0};
    arrive(&w, &(struct wr_ltx_file){.level = 9, .min = 1, .max = 1, .time_ms = now});
    while (w.all.n < 400) {
        now += 1 + (int64_t)wr_rand_below(r, (uint64_t)pauses_ms[wr_rand_below(r, most)]);
        arrive(&w, &(struct wr_ltx_file){.min = txid + 1, .max = txid + 1, .time_ms = now});
        txid++;
        if (w.late.max > 0 && wr_rand_below(r, 6) == 0) {
            arrive(&w, &w.late);
            w.late.max = 0;
        }
        for (unsigned level = 1; level <= 3; level++) {
            if (wr_rand_below(r, 3 * level) == 0) {
                send(r, &w,
                    (struct wr_ltx_file){
                        .level = level, .min = ends[level] + 1, .max = txid, .time_ms = now});
                ends[level] = txid;
            }
        }
        if (wr_rand_below(r, 8) == 0)
            send(r, &w, (struct wr_ltx_file){.level = 9, .min = 1, .max = txid, .time_ms = now});
        if (wr_rand_below(r, 3) == 0) {
            w.is = kept(&w.is, rules);
            expect_numbers(&w.all, &w.is, rules);
            T(restores(&w.is, txid));
        }
    }
    return w.all.n - w.is.n;
}

static void test_what_was_promised_of_a_day_is_there_years_later(void **state)
{
    const char *lives = getenv("WEIR_TEST_LIVES");
    uint64_t n = 20000;
    size_t gone = 0;
    struct wr_rand r;

    (void)state;
    if (lives)
        T(wr_parse_u64(wr_str(lives), &n));
    wr_rand_init(&r, t_seed());
    for (uint64_t i = 0; i < n / 200; i++) {
        struct wr_retention rules = {.keep_ms = 1 + (int64_t)wr_rand_below(&r, 3 * DAY_MS),
            .l0_ms = (int64_t)wr_rand_below(&r, 2 * HOUR_MS),
            .level_ms = (int64_t)wr_rand_below(&r, 2) * 30000};

        random_numbers(&r, &rules);
        gone += walk_forward(&r, &rules);
    }
    T(gone > n / 2); /* of 400 files each */
}

/* Two years with a snapshot at the end of each day: the day, week and month have one file each. */
static void test_a_year_costs_a_file_a_month(void **state)
{
    const struct wr_retention r = {.keep_ms = 2 * DAY_MS,
        .l0_ms = HOUR_MS,
        .periods = {[WR_PERIOD_DAY] = 7,
            [WR_PERIOD_WEEK] = 4,
            [WR_PERIOD_MONTH] = 12,
            [WR_PERIOD_YEAR] = 10}};
    struct listing is = {0};
    uint64_t txid = 1;

    (void)state;
    add(&is, 9, 1, 1, NEW_YEAR);
    for (int64_t day = 0; day < 731; day++) { /* the last one is 2025-12-31 */
        for (int i = 0; i < 4; i++) {
            int64_t now = NEW_YEAR + day * DAY_MS + (i + 1) * (6 * HOUR_MS - 1);

            add(&is, 0, txid + 1, txid + 1, now);
            add(&is, 1, txid + 1, txid + 1, now);
            txid++;
        }
        add(&is, 9, 1, txid, NEW_YEAR + (day + 1) * DAY_MS - 4);
        is = kept(&is, &r);
    }
    /* seven days; the Sundays 14, 21 and 28 are weeks, of which the last is a day, too, and the day
     * that is the end of the month and the year; eleven months more, and a year */
    T(count(&is, 9) == 7 + 2 + 11 + 1);
    T(count(&is, 0) == 1);
    T(count(&is, 1) == 9 + 3);     /* of two days, and the way to the point before them */
    T(restores(&is, 1 + 4 * 366)); /* the end of 2024 */
    T(restores(&is, 1 + 4 * (366 + 31)) && !restores(&is, 1 + 4 * (366 + 30)));
}

/* However old they are. */
static void test_so_many_snapshots_stay(void **state)
{
    const struct wr_retention r = {.keep_ms = 1000, .l0_ms = 10, .snapshots = 3};
    struct listing all = {0}, is;

    (void)state;
    for (uint64_t t = 1; t <= 10; t++) {
        add(&all, 9, 1, t, (int64_t)t * DAY_MS);
        add(&all, 0, t + 1, t + 1, (int64_t)t * DAY_MS + 10);
    }
    is = kept(&all, &r);
    T(count(&is, 9) == 3);
    T(count(&is, 0) == 2); /* the newest; and 10 is a day older than its snapshot */
    T(restores(&is, 8) && restores(&is, 9) && restores(&is, 10) && restores(&is, 11));
}

/* The newest transaction of an hour is a file of level 0, and level 1 has it by the next hour. What
 * tells that it is of that hour stays. */
static void test_the_newest_of_an_hour_keeps_its_hour(void **state)
{
    const struct wr_retention r = {
        .keep_ms = 2 * HOUR_MS, .l0_ms = 60000, .periods = {[WR_PERIOD_HOUR] = 48}};
    struct listing all = {0}, is;

    (void)state;
    add(&all, 9, 1, 1, NEW_YEAR);
    for (uint64_t t = 2; t <= 13; t++) { /* one each ten minutes, the last at five to */
        add(&all, 0, t, t, NEW_YEAR + (int64_t)(t - 1) * 600000 - 300000);
        if (t % 3 == 0) /* later */
            add(&all, 1, t - 2 < 2 ? 2 : t - 1, t, NEW_YEAR + (int64_t)(t - 1) * 600000 + 300000);
    }
    for (uint64_t t = 14; t <= 60; t++)
        add(&all, 0, t, t, NEW_YEAR + DAY_MS + (int64_t)t * 1000);
    is = kept(&all, &r);
    T(listing_has(&is, &(struct wr_ltx_file){.level = 9, .min = 1, .max = 1})); /* its hour's */
    T(listing_has(&is, &(struct wr_ltx_file){.level = 0, .min = 13, .max = 13}));
    T(restores(&is, 13) && restores(&is, 60));
    is = kept(&is, &r);
    T(restores(&is, 13));
}

/* Of what comes from the future nobody knows the day; it stays, and does not take a day's place. */
static void test_a_file_from_the_future_is_of_no_day(void **state)
{
    struct wr_retention r = {.keep_ms = 1000,
        .l0_ms = 10,
        .now_ms = NEW_YEAR + 4 * DAY_MS,
        .periods = {[WR_PERIOD_DAY] = 2}};
    struct listing all = {0}, is;

    (void)state;
    for (uint64_t t = 1; t <= 4; t++)
        add(&all, 9, 1, t, NEW_YEAR + (int64_t)t * DAY_MS);
    add(&all, 0, 5, 5, NEW_YEAR + 365 * DAY_MS);
    add(&all, 9, 1, 5, NEW_YEAR + 365 * DAY_MS);
    is = kept(&all, &r);
    T(restores(&is, 3) && restores(&is, 4) && restores(&is, 5) && !restores(&is, 2));
    r.now_ms = 0;
    is = kept(&all, &r);
    T(!restores(&is, 3) && restores(&is, 4) && restores(&is, 5));
}

/* Each transaction of two days, of a database whose other states stay for an hour. */
static void test_single_transactions_may_stay_longer_than_the_rest(void **state)
{
    const struct wr_retention r = {.keep_ms = HOUR_MS, .l0_ms = 2 * DAY_MS};
    struct listing all = {0}, is;

    (void)state;
    add(&all, WR_LEVEL_SNAPSHOT, 1, 1, NEW_YEAR);
    for (uint64_t txid = 2; txid <= 10; txid++)
        add(&all, 0, txid, txid, NEW_YEAR + (int64_t)(txid - 2) * DAY_MS / 2);
    add(&all, 1, 2, 10, NEW_YEAR + 4 * DAY_MS);
    add(&all, WR_LEVEL_SNAPSHOT, 1, 3, NEW_YEAR + DAY_MS / 2);
    add(&all, WR_LEVEL_SNAPSHOT, 1, 9, NEW_YEAR + 7 * DAY_MS / 2);
    is = kept(&all, &r);
    for (uint64_t txid = 2; txid <= 10; txid++)
        T(restores(&is, txid) == (txid >= 3)); /* the way begins with a snapshot */
}

/* Something that is kept as a snapshot, and is none, is the state that no time begins with. */
static void test_a_time_begins_with_a_point(void **state)
{
    const struct wr_retention r = {.keep_ms = HOUR_MS};
    struct listing all = {0}, is;

    (void)state;
    add(&all, WR_LEVEL_SNAPSHOT, 1, 1, NEW_YEAR);
    add(&all, 0, 2, 2, NEW_YEAR + 1);
    add(&all, WR_LEVEL_SNAPSHOT, 2, 9, NEW_YEAR + 2);
    add(&all, 0, 2, 9, NEW_YEAR + DAY_MS);
    is = kept(&all, &r);
    T(restores(&is, 2) && restores(&is, 9));
}

/* What a file is kept for. */
static void test_reasons(void **state)
{
    const struct wr_retention r = {.keep_ms = 1000,
        .l0_ms = 1000,
        .snapshots = 1,
        .periods = {[WR_PERIOD_DAY] = 2, [WR_PERIOD_MONTH] = 2}};
    struct listing all = {0};
    enum wr_kept why[LISTING_MAX];
    struct wr_err e = {0};

    (void)state;
    add(&all, 0, 2, 2, NEW_YEAR + 39 * DAY_MS); /* the way */
    add(&all, 0, 3, 3, NEW_YEAR + 39 * DAY_MS); /* the day's */
    add(&all, 0, 4, 4, NEW_YEAR + 40 * DAY_MS); /* young */
    add(&all, 1, 2, 2, NEW_YEAR - DAY_MS);      /* the level's newest */
    add(&all, 9, 1, 1, NEW_YEAR + DAY_MS);      /* a month's, and the newest of its level */
    T_OK(wr_retain(all.f, all.n, &r, why, &e));
    T(why[0] == WR_KEPT_NOT && why[1] == WR_KEPT_PERIOD + WR_PERIOD_DAY);
    T(why[2] == WR_KEPT_TIME && why[3] == WR_KEPT_NEWEST && why[4] == WR_KEPT_NEWEST);
    all.f[3].max = 1; /* of no use */
    all.f[3].min = 1;
    T_OK(wr_retain(all.f, all.n, &r, why, &e));
    T(why[0] == WR_KEPT_WAY);
}

/* An old primary that slept for two days found its next name free. */
static void test_the_names_of_a_promotion_stay(void **state)
{
    const struct wr_retention r = {.keep_ms = 1000, .l0_ms = 1000};
    struct listing all = {0};
    enum wr_kept why[LISTING_MAX];
    struct wr_err e = {0};
    uint64_t next = 5 + WR_PROMOTE_AWAY;

    (void)state;
    add(&all, 0, 1, 1, NEW_YEAR);
    add(&all, 0, 2, 2, NEW_YEAR); /* no fence is as large as this one will be */
    add(&all, 0, 2, 3, NEW_YEAR);
    add(&all, 0, 3, 3, NEW_YEAR); /* may be one, too, of a promotion that was killed */
    add(&all, 0, 4, 4, NEW_YEAR); /* the fence */
    add(&all, 0, 5, next - 1, NEW_YEAR);
    add(&all, 0, next, next, NEW_YEAR);
    add(&all, 0, next + 1, next + 1, NEW_YEAR + 40 * DAY_MS);
    add(&all, 9, 1, next, NEW_YEAR + 40 * DAY_MS);
    all.f[1].size = 1 << 20;
    T_OK(wr_retain(all.f, all.n, &r, why, &e));
    for (size_t i = 0; i < all.n; i++)
        T((why[i] == WR_KEPT_FENCE) == (i >= 3 && i <= 5));
    T(why[1] == WR_KEPT_NOT && why[2] == WR_KEPT_NOT);
    T(why[6] == WR_KEPT_TIME); /* the snapshot does not tell that it is so old */
}

/* Two days of a daemon with a snapshot each day: what a user pays for. */
static void test_what_is_covered_goes(void **state)
{
    const struct wr_retention r = {.keep_ms = 1999, .l0_ms = 100};
    struct listing all = {0}, is;
    uint64_t txid = 1;
    int64_t now = 10000;

    (void)state;
    add(&all, 9, 1, 1, now);
    for (int i = 0; i < 4; i++) {
        for (int k = 0; k < 4; k++)
            add(&all, 0, txid + 1 + (uint64_t)k, txid + 1 + (uint64_t)k, now + 250 * (k + 1));
        add(&all, 1, txid + 1, txid + 2, now + 500);
        add(&all, 1, txid + 3, txid + 4, now + 1000);
        add(&all, 2, txid + 1, txid + 4, now + 1000);
        txid += 4;
        now += 1000;
        if (i == 1)
            add(&all, 9, 1, txid, now);
    }
    is = kept(&all, &r);
    T(count(&is, 0) == 1); /* the newest */
    T(count(&is, 9) == 1); /* the first day's is over */
    T(count(&is, 1) >= 4 && count(&is, 1) <= 5);
    T(restores(&is, 9) && restores(&is, 11) && restores(&is, 17) && !restores(&is, 16));
    T(!restores(&is, 5));
}

/* A write an hour: four files of level 0 became one of level 1, and three points of each four were
 * gone after five minutes. A write a second: of an interval level 1 has what it takes. */
static void test_a_point_an_hour(void **state)
{
    struct wr_retention r = {.keep_ms = DAY_MS, .l0_ms = 300000, .level_ms = 30000};
    struct listing all = {0}, is;

    (void)state;
    add(&all, 9, 1, 1, NEW_YEAR);
    for (uint64_t t = 2; t <= 21; t++) {
        add(&all, 0, t, t, NEW_YEAR + (int64_t)t * HOUR_MS);
        if (t % 4 == 1)
            add(&all, 1, t - 3, t, NEW_YEAR + (int64_t)t * HOUR_MS);
    }
    is = kept(&all, &r);
    for (uint64_t t = 1; t <= 21; t++)
        T(restores(&is, t));
    T(count(&is, 0) == 3 * 5 + 1);
    all = (struct listing){0};
    add(&all, 9, 1, 1, NEW_YEAR);
    for (uint64_t t = 2; t <= 401; t++) {
        add(&all, 0, t, t, NEW_YEAR + (int64_t)t * 1000);
        if (t % 30 == 1)
            add(&all, 1, t < 31 ? 2 : t - 29, t, NEW_YEAR + (int64_t)t * 1000);
    }
    r.l0_ms = 5000;
    is = kept(&all, &r);
    T(count(&is, 0) == 10 && count(&is, 1) == 13); /* from 392 on */
    r.level_ms = 0;
    T(kept(&all, &r).n == is.n);
}

/* Level 1 has a hole: the files of level 0 in it stay. */
static void test_files_in_a_hole_stay(void **state)
{
    const struct wr_retention r = {.keep_ms = 100000, .l0_ms = 10};
    struct listing all = {0}, is;

    (void)state;
    add(&all, 9, 1, 1, 1000);
    for (uint64_t t = 2; t <= 20; t++)
        add(&all, 0, t, t, (int64_t)(1000 + 100 * t));
    add(&all, 1, 2, 6, 1600);
    add(&all, 1, 10, 20, 3000);
    is = kept(&all, &r);
    T(count(&is, 0) == 4); /* 7, 8, 9, and the newest */
    T(restores(&is, 6) && restores(&is, 20));
}

/* The clock was a year ahead for a moment. What was made then does not make all else old. */
static void test_a_file_from_the_future_makes_nothing_old(void **state)
{
    const struct wr_retention r = {.keep_ms = 1000, .l0_ms = 200, .now_ms = 3100};
    struct listing all = {0}, is;

    (void)state;
    add(&all, 9, 1, 1, 1000);
    for (uint64_t t = 2; t <= 20; t++)
        add(&all, 0, t, t, (int64_t)(1000 + 100 * t));
    add(&all, 1, 2, 11, 2100);
    add(&all, 1, 12, 19, 2900);
    add(&all, 0, 21, 21, INT64_C(31536000000));
    is = kept(&all, &r);
    T(restores(&is, 11) && restores(&is, 19) && restores(&is, 20) && restores(&is, 21));
    T(count(&is, 0) == 9 + 3); /* to the state that the time begins with, and the last ones */
    T(count(&is, 1) == 2);
}

/* A file of more transactions ends at the state that the time begins with, but is younger. It took
 * the place of the one that ends there, so the time began with a state that is years older. */
static void test_the_state_that_a_time_begins_with_was_of_another_time(void **state)
{
    const struct wr_retention r = {.keep_ms = 1000};
    struct listing all = {0}, is;

    (void)state;
    add(&all, 9, 1, 1, 1000);
    add(&all, 0, 2, 9, 1100);
    add(&all, 0, 10, 10, 1900);
    add(&all, 0, 11, 11, 3000);
    add(&all, 1, 5, 10, 2500);
    add(&all, 9, 1, 11, 3000);
    is = kept(&all, &r);
    T(listing_has(&is, &all.f[1])); /* 10 is of 1900 */
    expect_promises(&all, &is, &r);
    T(kept(&is, &r).n == is.n);
}

static void test_nothing_is_deleted_for_ever(void **state)
{
    const struct wr_retention r = {0};
    struct listing all = {0}, is;

    (void)state;
    add(&all, 9, 1, 1, 1000);
    add(&all, 9, 1, 5, 100000);
    add(&all, 0, 2, 5, 9000);
    add(&all, 9, 3, 5, 100000); /* no snapshot */
    is = kept(&all, &r);
    T(is.n == all.n);
    all.n = 0;
    is = kept(&all, &r);
    T(is.n == 0);
}

/* A level that was given up and begun anew again and again: each hole is filled, and none of them
 * costs a look at all files. */
static void test_many_holes_take_no_time(void **state)
{
    enum {
        N = 50000
    };
    const struct wr_retention r = {.keep_ms = 2 * N, .l0_ms = 10};
    struct wr_ltx_file *f = wr_array(2 * N, sizeof(*f));
    enum wr_kept *why = wr_array(2 * N, sizeof(*why));
    struct wr_err e = {0};
    clock_t began;
    size_t n = 0, l0 = 0;

    (void)state;
    T(f && why);
    for (uint64_t t = 1; t <= N; t++)
        f[n++] = (struct wr_ltx_file){.min = t, .max = t, .time_ms = (int64_t)t};
    for (uint64_t t = 1; t + 4 <= N; t += 4)
        f[n++] =
            (struct wr_ltx_file){.level = 1, .min = t, .max = t + 1, .time_ms = (int64_t)t + 1};
    began = clock();
    T_OK(wr_retain(f, n, &r, why, &e));
    T((clock() - began) / CLOCKS_PER_SEC < 5);
    for (size_t i = 0; i < N; i++)
        l0 += why[i] != WR_KEPT_NOT;
    T(l0 >= N / 2 - 8 && l0 <= N / 2 + 16);
    wr_free(f);
    wr_free(why);
}

static enum wr_status sweep(void *arg)
{
    const struct wr_retention r = {.keep_ms = 1, .periods = {1}};
    const struct listing *l = arg;
    enum wr_kept why[LISTING_MAX];

    return wr_retain(l->f, l->n, &r, why, NULL);
}

static void test_no_memory(void **state)
{
    struct listing l = {0};

    (void)state;
    add(&l, 9, 1, 1, 1);
    t_sweep_nomem(sweep, &l);
}

T_MAIN(T_TEST(test_no_promise_is_ever_broken), T_TEST(test_what_is_covered_goes),
    T_TEST(test_the_state_that_a_time_begins_with_was_of_another_time),
    T_TEST(test_files_in_a_hole_stay), T_TEST(test_a_point_an_hour),
    T_TEST(test_many_holes_take_no_time), T_TEST(test_a_file_from_the_future_makes_nothing_old),
    T_TEST(test_nothing_is_deleted_for_ever),
    T_TEST(test_what_was_promised_of_a_day_is_there_years_later),
    T_TEST(test_a_year_costs_a_file_a_month), T_TEST(test_so_many_snapshots_stay),
    T_TEST(test_the_newest_of_an_hour_keeps_its_hour),
    T_TEST(test_a_file_from_the_future_is_of_no_day), T_TEST(test_a_time_begins_with_a_point),
    T_TEST(test_single_transactions_may_stay_longer_than_the_rest), T_TEST(test_reasons),
    T_TEST(test_the_names_of_a_promotion_stay), T_TEST(test_no_memory))
