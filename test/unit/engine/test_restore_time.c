/*
 * test_restore_time.c - restores by time where listings have the times of arrival: to which state,
 * and with how many requests.
 */
#include "engine/restore.h"

#include "unit/engine/legacy_sample.h"

#define LATE_MS 700 /* an upload takes this long */

static uint64_t stats(struct world *w)
{
    struct wr_storage_counts n = {0};

    wr_storage_counts(w->storage, &n);
    return n.stat;
}

/* Files that can be planned with, one a second from 1 to `n`. */
static void init_many(struct world *w, unsigned caps, uint64_t n)
{
    static const uint8_t zeros[200];
    const struct wr_bytes body = {zeros, sizeof(zeros)};

    world_init(w, caps, "");
    for (uint64_t i = 1; i <= n; i++)
        world_store(w, wr_layout_ltx_key(t_call()->scratch, w->storage, i == 1 ? 9 : 0, i, i), body,
            (int64_t)i * 1000);
}

static uint64_t plan_end(struct world *w, int64_t time_ms)
{
    const struct wr_restore_opts o = {.time_ms = time_ms};
    struct wr_ltx_files plan = {0};
    struct wr_err e = {0};
    uint64_t end;

    T_OK(wr_restore_plan(w->storage, t_call(), &o, &plan, &e));
    end = plan.p[plan.n - 1].max;
    T(plan.p[plan.n - 1].time_ms == (int64_t)end * 1000); /* of the last one it is known */
    wr_ltx_files_release(&plan);
    return end;
}

/* Each of the 2000 files was asked for its time. */
static void test_a_time_is_found_with_few_requests(void **state)
{
    struct world w;

    (void)state;
    init_many(&w, WR_STORAGE_HEX_LEVELS, 2000);
    for (int copied = 0; copied < 2; copied++) {
        w.listed_late_ms = copied ? 99999999 : LATE_MS;
        for (int64_t s = 1; s <= 2000; s += 333) {
            uint64_t before = stats(&w);

            T(plan_end(&w, s * 1000 + 1) == (uint64_t)s);
            T(stats(&w) - before <= (copied ? 35 : 16));
        }
    }
    world_release(&w);
    init_many(&w, WR_STORAGE_LIST_TIME, 20);
    T(plan_end(&w, 7001) == 7 && stats(&w) == 0);
    world_release(&w);
}

/* A directory and a bucket with the same files, and every time. */
static void test_the_same_state_from_s3(void **state)
{
    const unsigned caps[] = {WR_STORAGE_LIST_TIME, WR_STORAGE_HEX_LEVELS};
    struct wr_rand random;
    struct story s;
    struct world w[2];

    (void)state;
    wr_rand_init(&random, t_seed());
    for (int round = 0; round < 4; round++) {
        story_init(&s, &random, 512, 65536, 20, true);
        for (int i = 0; i < 12; i++)
            story_commit(&s, 20, 2);
        for (size_t k = 0; k < 2; k++) {
            world_init(&w[k], caps[k], "p/");
            w[k].listed_late_ms = k == 1 ? LATE_MS : 0;
        }
        for (uint64_t i = 1; i <= s.n; i++) {
            unsigned level = (unsigned)wr_rand_below(&random, 3);
            uint64_t min = wr_rand_below(&random, i) + 1;

            for (size_t k = 0; k < 2; k++) {
                story_put(&s, &w[k], 0, i, i);
                if (level > 0)
                    story_put(&s, &w[k], level == 2 ? 9 : 1, level == 2 ? 1 : min, i);
            }
        }
        for (int64_t ms = 500; ms <= 12500; ms += 500) {
            const struct wr_restore_opts o = {.path = t_path(t_tmpdir(), "db"),
                .overwrite = true,
                .lock_offset = 65536,
                .time_ms = ms};
            struct wr_restore_result r[2] = {{0}, {0}};
            enum wr_status st[2];
            struct wr_err e = {0};

            for (size_t k = 0; k < 2; k++)
                st[k] = wr_restore(w[k].storage, t_call(), &o, &r[k], &e);
            T(st[0] == st[1] && r[0].txid == r[1].txid && r[0].time_ms == r[1].time_ms);
            T(st[0] == (ms > 1000 ? WR_OK : WR_NOTFOUND) && r[0].txid == (uint64_t)(ms - 1) / 1000);
        }
        world_release(&w[0]);
        world_release(&w[1]);
        story_release(&s);
    }
}

/* Which format is restored goes by when snapshots were made, and not by when they arrived. */
static void test_choice_of_format(void **state)
{
    const struct wr_restore_opts at_4 = {
        .path = t_path(t_tmpdir(), "db"), .overwrite = true, .lock_offset = 65536, .time_ms = 4001};
    struct wr_restore_result r = {0};
    struct wr_err e = {0};
    struct wr_rand random;
    struct story s;
    struct world w;

    (void)state;
    wr_rand_init(&random, t_seed());
    story_init(&s, &random, 512, 65536, 8, true);
    for (int i = 0; i < 8; i++)
        story_commit(&s, 8, 1);
    world_init(&w, WR_STORAGE_HEX_LEVELS, "p/");
    world_store(&w, gen_key(GENERATION, sample[0]), sample_bytes(0), 3000 - LATE_MS);
    w.listed_late_ms = LATE_MS; /* its only time is that of arrival: 3000 */
    story_put(&s, &w, 9, 1, 2);
    for (uint64_t i = 3; i <= s.n; i++)
        story_put(&s, &w, 0, i, i);
    T_OK(wr_restore(w.storage, t_call(), &at_4, &r, &e));
    T(r.format == WR_RESTORE_V03); /* its snapshot is the nearer one */
    story_put(&s, &w, 9, 1, 4);
    T_OK(wr_restore(w.storage, t_call(), &at_4, &r, &e));
    T(r.format == WR_RESTORE_LTX && r.txid == 4);
    world_release(&w);
    story_release(&s);
}

/* Of the newest state the time in the listing was told, which was days off where a bucket had been
 * copied. */
static void test_the_time_told_was_that_of_arrival(void **state)
{
    struct wr_rand random;
    struct story s;
    struct world w;

    (void)state;
    wr_rand_init(&random, t_seed());
    story_init(&s, &random, 512, 65536, 8, true);
    for (int i = 0; i < 4; i++)
        story_commit(&s, 8, 1);
    world_init(&w, WR_STORAGE_HEX_LEVELS, "p/");
    w.listed_late_ms = 99999999;
    for (uint64_t i = 1; i <= s.n; i++)
        story_put(&s, &w, 0, i, i);
    for (int delta = 0; delta < 2; delta++) {
        struct wr_restore_opts o = {.path = t_path(t_tmpdir(), "db"),
            .overwrite = true,
            .delta = delta,
            .lock_offset = 65536};
        struct wr_restore_result r = {0};
        struct wr_err e = {0};

        if (delta)
            t_spew(o.path, s.image[3].data, (size_t)s.image[3].commit * 512);
        T_OK(wr_restore(w.storage, t_call(), &o, &r, &e));
        T(r.txid == 4 && r.time_ms == 4000 && (r.bytes_kept > 0) == (delta == 1));
    }
    world_release(&w);
    story_release(&s);
}

static void test_every_request_failing(void **state)
{
    const struct wr_restore_opts o = {.time_ms = 20001};
    struct world w;
    uint64_t n;

    (void)state;
    init_many(&w, WR_STORAGE_HEX_LEVELS, 40);
    w.listed_late_ms = LATE_MS;
    wr_storage_set_retry(w.storage, 1, 1);
    world_fail(&w, 0, 0, WR_OK);
    T(plan_end(&w, o.time_ms) == 20);
    n = w.requests;
    T(n > 3);
    for (uint64_t i = 1; i <= n; i++) {
        struct wr_ltx_files plan = {0};
        struct wr_err e = {0};

        world_fail(&w, i, 1, WR_IO);
        T_IS(WR_IO, wr_restore_plan(w.storage, t_call(), &o, &plan, &e));
        T(i == 1 || strstr(e.text, "time of 000"));
        T(plan.n == 0);
    }
    world_release(&w);
}

static enum wr_status plan_body(void *arg)
{
    const struct wr_restore_opts o = {.time_ms = 3001, .parallel = 1};
    struct wr_ltx_files plan = {0};
    struct wr_err e = {0};
    enum wr_status st = wr_restore_plan(((struct world *)arg)->storage, t_call(), &o, &plan, &e);

    wr_ltx_files_release(&plan);
    return st;
}

static void test_nomem(void **state)
{
    struct world w;

    (void)state;
    init_many(&w, WR_STORAGE_HEX_LEVELS, 5);
    t_sweep_nomem(plan_body, &w);
    world_release(&w);
}

T_MAIN(T_TEST(test_a_time_is_found_with_few_requests), T_TEST(test_the_same_state_from_s3),
    T_TEST(test_choice_of_format), T_TEST(test_the_time_told_was_that_of_arrival),
    T_TEST(test_every_request_failing), T_TEST(test_nomem))
