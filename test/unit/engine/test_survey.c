/*
 * test_survey.c - what a replica is said to hold: that it can be restored so, and what it costs to
 * find out.
 */
#include "engine/survey.h"

#include "engine/restore.h"
#include "unit/engine/legacy_sample.h"

#define LATE_MS 700 /* an upload takes this long */

static uint64_t stats(struct world *w)
{
    struct wr_storage_counts n = {0};

    wr_storage_counts(w->storage, &n);
    return n.stat;
}

/* A file of no contents, made at a time; as long as one must be. */
static void touch(struct world *w, unsigned level, uint64_t min, uint64_t max, int64_t ms)
{
    static const uint8_t nothing[100];
    const struct wr_bytes body = {nothing, sizeof(nothing)};

    world_store(w, wr_layout_ltx_key(t_call()->scratch, w->storage, level, min, max), body, ms);
}

static struct wr_survey look(struct world *w, const struct wr_survey_opts *o)
{
    struct wr_survey x = {0};
    struct wr_err e = {0};

    T_OK(wr_survey(w->storage, t_call(), o, &x, &e));
    return x;
}

/* Every point, by its TXID, and by its time where it says so: the right state, from the files that
 * were announced. */
static void check_points(const struct story *s, struct world *w)
{
    const struct wr_survey_opts all = {.exact = true};
    struct wr_survey x = look(w, &all);
    char path[512];

    (void)snprintf(path, sizeof(path), "%s/db", t_tmpdir());
    T(x.points.n > 0 && x.newest.txid == s->n && x.gap == 0 && x.legacy_to_ms == 0);
    for (size_t i = 0; i < x.points.n; i++) {
        const struct wr_point *p = &x.points.p[i];
        const struct wr_restore_opts by_txid = {.txid = p->txid};
        struct wr_restore_opts by_time = {.path = path,
            .overwrite = true,
            .lock_offset = s->lock_offset,
            .time_ms = p->time_ms + 1};
        struct wr_restore_result r = {0};
        struct wr_ltx_files plan = {0};
        uint64_t bytes = 0;
        struct wr_err e = {0};

        T(p->exact);
        T_OK(wr_restore_plan(w->storage, t_call(), &by_txid, &plan, &e));
        for (size_t k = 0; k < plan.n; k++)
            bytes += plan.p[k].size;
        T(plan.n == p->files && bytes == p->bytes);
        wr_ltx_files_release(&plan);
        T_OK(wr_restore(w->storage, t_call(), &by_time, &r, &e));
        T(r.txid == p->by_time && r.txid == p->txid && r.time_ms == p->time_ms);
    }
    wr_survey_release(&x);
    T(!x.points.p);
}

/* A directory has the times in its listing; S3 has others there, and is asked. */
static void test_a_restore_of_what_is_printed(void **state)
{
    struct wr_rand random;

    (void)state;
    wr_rand_init(&random, t_seed());
    for (int s3 = 0; s3 < 2; s3++) {
        struct story s;
        struct world w;

        story_init(&s, &random, 512, 65536, 40, true);
        world_init(&w, s3 ? WR_STORAGE_HEX_LEVELS : WR_STORAGE_LIST_TIME, "a/");
        w.listed_late_ms = s3 ? LATE_MS : 0;
        for (int i = 0; i < 20; i++)
            story_commit(&s, (uint32_t)wr_rand_below(&random, 40) + 1, 3);
        for (uint64_t i = 1; i <= s.n; i++) {
            if (i == 1 || i > 8)
                story_put(&s, &w, i == 1 ? 9 : 0, i, i);
            if (i % 4 == 0)
                story_put(&s, &w, 1, i == 4 ? 2 : i - 3, i);
        }
        check_points(&s, &w);
        T(s3 ? stats(&w) > 0 : stats(&w) == 0);
        world_release(&w);
        story_release(&s);
    }
}

/* Without `exact` the ends of runs are asked for, however many points are in them. */
static void test_few_requests(void **state)
{
    const struct wr_survey_opts plain = {0};
    struct wr_survey x;
    struct world w;

    (void)state;
    world_init(&w, 0, "");
    w.listed_late_ms = LATE_MS;
    touch(&w, 9, 1, 1, 1000);
    for (uint64_t i = 2; i <= 400; i++)
        touch(&w, i <= 200 ? 1 : 0, i, i, (int64_t)i * 1000);
    x = look(&w, &plain);
    T(stats(&w) == 4);          /* two runs, and the newest ends one */
    T(w.requests == 1 + 1 + 4); /* levels, and 0.3 */
    T(x.points.n == 400 && x.points.p[199].run == 0 && x.points.p[399].run == 1);
    T(x.newest.txid == 400 && x.newest.time_ms == 400000 && x.newest.exact);
    for (size_t i = 0; i < x.points.n; i++) {
        const struct wr_point *p = &x.points.p[i];
        bool end = i == 0 || i == 199 || i == 200 || i == 399;

        T(p->exact == end && p->by_time == 0);
        T(p->time_ms == (int64_t)p->txid * 1000 + (end ? 0 : LATE_MS));
    }
    wr_survey_release(&x);
    world_release(&w);
}

static void test_too_many_runs_to_ask_for(void **state)
{
    const struct wr_survey_opts plain = {0};
    struct wr_survey x;
    struct world w;

    (void)state;
    world_init(&w, 0, "");
    w.listed_late_ms = LATE_MS;
    for (uint64_t i = 1; i <= 410; i++) /* two of each kind */
        touch(&w, (unsigned)(i / 2 % 2), i, i, (int64_t)i * 1000);
    x = look(&w, &plain);
    T(stats(&w) == 1 && x.newest.exact && x.newest.time_ms == 410000);
    T(x.points.p[409].run > WR_SURVEY_RUNS_MAX && !x.points.p[409].exact);
    wr_survey_release(&x);
    world_release(&w);
}

static void test_between_two_times(void **state)
{
    const struct wr_survey_opts o = {.since_ms = 5000, .until_ms = 8000};
    struct wr_survey x;
    struct world w;

    (void)state;
    world_init(&w, WR_STORAGE_LIST_TIME, "");
    for (uint64_t i = 1; i <= 10; i++)
        touch(&w, 0, i, i, (int64_t)i * 1000);
    x = look(&w, &o);
    T(x.points.n == 3 && x.points.p[0].txid == 5 && x.points.p[2].txid == 7);
    T(x.points.p[0].files == 5 && x.newest.txid == 10);
    wr_survey_release(&x);
    world_release(&w);
}

/* A clock was ahead and then set back: what came after that goes on from files of later times. A
 * restore by time found no way there until the next snapshot, and said that there is no backup. */
static void test_a_clock_that_was_set_back(void **state)
{
    const struct wr_survey_opts all = {.exact = true};
    static const struct {
        unsigned level;
        uint64_t min, max, by_time;
        int64_t ms;
    } files[] = {{9, 1, 1, 5, 7200000}, {0, 2, 2, 5, 7201000}, {0, 3, 3, 3, 1000},
        {0, 4, 4, 4, 1500}, {9, 1, 5, 5, 2000}};

    (void)state;
    for (unsigned listed = 0; listed < 2; listed++) {
        struct wr_restore_opts o = {.time_ms = 1000};
        struct wr_ltx_files plan = {0};
        struct wr_err e = {0};
        struct wr_survey x;
        struct world w;

        world_init(&w, listed ? WR_STORAGE_LIST_TIME : 0, "");
        for (size_t i = 0; i < wr_countof(files); i++)
            touch(&w, files[i].level, files[i].min, files[i].max, files[i].ms);
        x = look(&w, &all);
        T(x.points.n == wr_countof(files));
        T_IS(WR_NOTFOUND, wr_restore_plan(w.storage, t_call(), &o, &plan, &e));
        for (size_t i = 0; i < x.points.n; i++) {
            const struct wr_point *p = &x.points.p[i];

            T(p->txid == files[i].max && p->by_time == files[i].by_time);
            o.time_ms = p->time_ms + 1;
            T_OK(wr_restore_plan(w.storage, t_call(), &o, &plan, &e));
            T(plan.p[plan.n - 1].max == p->by_time);
            wr_ltx_files_release(&plan);
        }
        wr_survey_release(&x);
        world_release(&w);
    }
}

/* Exact times of what is wanted, and of nothing that is older. */
static void test_exact_since(void **state)
{
    const struct wr_survey_opts recent = {.since_ms = 9000000, .until_ms = 9100000, .exact = true};
    const struct wr_survey_opts none = {.since_ms = 90000000, .exact = true};
    struct wr_survey x;
    struct world w;

    (void)state;
    world_init(&w, 0, "");
    w.listed_late_ms = LATE_MS;
    for (uint64_t i = 1; i <= 100; i++)
        touch(&w, 0, i, i, (int64_t)i * 100000);
    x = look(&w, &recent);
    T(stats(&w) == 100 - 53); /* from 54, which is 3,600 seconds before 90 */
    T(x.points.n == 1 && x.points.p[0].txid == 90 && x.points.p[0].time_ms == 9000000);
    T(x.points.p[0].exact && x.points.p[0].by_time == 90);
    T(x.newest.txid == 100 && x.newest.time_ms == 10000000 && x.newest.exact);
    wr_survey_release(&x);
    x = look(&w, &none);
    T(stats(&w) == 47 + 2); /* the newest, for its clock, and as it is told though it is too old */
    T(x.points.n == 0 && x.newest.time_ms == 10000000 && x.newest.exact);
    wr_survey_release(&x);
    world_release(&w);
}

/* The writer's clock was three hours ahead: its files arrived that much before their times, and
 * what was asked for was the last hour of these. */
static void test_the_last_points_of_a_clock_that_is_ahead_were_left_out(void **state)
{
    const struct wr_survey_opts recent = {.since_ms = 90000000, .exact = true};
    const struct wr_survey_opts none = {.since_ms = 900000000, .exact = true};
    struct wr_survey x;
    struct world w;

    (void)state;
    world_init(&w, 0, "");
    w.listed_late_ms = -3 * 3600000;
    for (uint64_t i = 1; i <= 100; i++)
        touch(&w, 0, i, i, (int64_t)i * 1000000);
    x = look(&w, &recent);
    T(x.points.n == 11 && x.points.p[0].txid == 90 && x.points.p[10].txid == 100);
    T(x.newest.txid == 100 && x.newest.time_ms == 100000000 && x.newest.exact);
    T(stats(&w) < 30);
    wr_survey_release(&x);
    x = look(&w, &none);
    T(x.points.n == 0 && x.newest.time_ms == 100000000 && x.newest.exact);
    wr_survey_release(&x);
    world_release(&w);
}

static void test_behind_a_gap(void **state)
{
    const struct wr_survey_opts plain = {0};
    struct wr_survey x;
    struct world w;

    (void)state;
    world_init(&w, WR_STORAGE_LIST_TIME, "");
    touch(&w, 9, 1, 3, 1000);
    touch(&w, 0, 6, 6, 2000);
    x = look(&w, &plain);
    T(x.points.n == 1 && x.newest.txid == 3 && x.gap == 6);
    wr_survey_release(&x);
    touch(&w, 9, 1, 7, 3000);
    x = look(&w, &plain);
    T(x.points.n == 2 && x.newest.txid == 7 && x.gap == 0);
    wr_survey_release(&x);
    world_release(&w);
    world_init(&w, WR_STORAGE_LIST_TIME, "");
    touch(&w, 0, 6, 6, 2000); /* the snapshot was deleted */
    x = look(&w, &plain);
    T(x.points.n == 0 && x.newest.txid == 0 && x.gap == 6);
    wr_survey_release(&x);
    world_release(&w);
}

static void test_backups_of_0_3(void **state)
{
    const struct wr_survey_opts plain = {0};
    struct wr_survey x = {0};
    struct wr_err e = {0};
    struct world w;

    (void)state;
    world_init(&w, WR_STORAGE_LIST_TIME, "p/");
    T_IS(WR_NOTFOUND, wr_survey(w.storage, t_call(), &plain, &x, &e));
    assert_string_equal(e.text, "no matching backup files available");
    wr_survey_release(&x);
    put_sample(&w); /* made at seconds 1 to 11 */
    x = look(&w, &plain);
    T(x.points.n == 0 && x.legacy_from_ms == 1000 && x.legacy_to_ms == 11000);
    wr_survey_release(&x);
    world_store(&w, gen_key("0000000000000001", sample[0]), sample_bytes(0), 500);
    touch(&w, 9, 1, 3, 9000);
    x = look(&w, &plain);
    T(x.points.n == 1 && x.legacy_from_ms == 500 && x.legacy_to_ms == 11000);
    wr_survey_release(&x);
    world_release(&w);
}

/* No time was asked for, and points from before 1970 were left out; the lowest one overflowed. */
static void test_times_at_the_edge(void **state)
{
    const struct wr_survey_opts plain = {0}, lowest = {.since_ms = INT64_MIN, .exact = true};
    struct wr_survey x;
    struct world w;

    (void)state;
    for (unsigned caps = 0; caps <= WR_STORAGE_LIST_TIME; caps += WR_STORAGE_LIST_TIME) {
        world_init(&w, caps, "");
        touch(&w, 9, 1, 3, -1000);
        x = look(&w, &plain);
        T(x.points.n == 1 && x.points.p[0].time_ms == -1000 && x.newest.time_ms == -1000);
        wr_survey_release(&x);
        x = look(&w, &lowest);
        T(x.points.n == 1 && x.points.p[0].time_ms == -1000);
        wr_survey_release(&x);
        world_release(&w);
    }
}

static void test_every_request_failing(void **state)
{
    const struct wr_survey_opts plain = {0};
    struct world w;

    (void)state;
    world_init(&w, 0, "");
    wr_storage_set_retry(w.storage, 1, 1);
    touch(&w, 9, 1, 3, 1000);
    for (uint64_t i = 1; i <= 3; i++) {
        struct wr_survey x = {0};
        struct wr_err e = {0};

        world_fail(&w, i, 1, WR_IO);
        T_IS(i == 2 ? WR_OK : WR_IO, wr_survey(w.storage, t_call(), &plain, &x, &e));
        wr_survey_release(&x); /* the 2nd was for backups of 0.3, and there are others */
    }
    world_release(&w);
}

struct sweep {
    struct world w;
    struct wr_survey_opts o;
};

static enum wr_status survey_body(void *arg)
{
    struct sweep *v = arg;
    struct wr_survey x = {0};
    struct wr_err e = {0};
    enum wr_status st = wr_survey(v->w.storage, t_call(), &v->o, &x, &e);

    wr_survey_release(&x);
    return st;
}

static void test_nomem(void **state)
{
    (void)state;
    for (int k = 0; k < 3; k++) {
        struct sweep v = {.o = {.parallel = 1, .exact = k == 1}};

        world_init(&v.w, k == 2 ? WR_STORAGE_LIST_TIME : 0, "p/");
        put_sample(&v.w);
        for (uint64_t i = 1; i <= 3; i++)
            touch(&v.w, 0, i, i, (int64_t)i);
        t_sweep_nomem(survey_body, &v);
        world_release(&v.w);
    }
}

T_MAIN(T_TEST(test_a_restore_of_what_is_printed), T_TEST(test_few_requests),
    T_TEST(test_too_many_runs_to_ask_for), T_TEST(test_between_two_times),
    T_TEST(test_a_clock_that_was_set_back), T_TEST(test_exact_since),
    T_TEST(test_the_last_points_of_a_clock_that_is_ahead_were_left_out), T_TEST(test_behind_a_gap),
    T_TEST(test_backups_of_0_3), T_TEST(test_times_at_the_edge), T_TEST(test_every_request_failing),
    T_TEST(test_nomem))
