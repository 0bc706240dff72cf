/*
 * test_sample.c - pages of a replica's newest state, against a model of the database.
 */
#include "engine/sample.h"

#include "base/rand.h"
#include "engine/layout.h"
#include "fake/faultstore.h"
#include "harness/ltx_util.h"
#include "storage/drivers.h"
#include "unit/engine/spy_store.h"

#define EACH_MS 2000

/* A replica of the `n` files that a database left; its pages, as they are at last, are in `ret`. */
static void put_history(struct wr_storage *s, struct wr_rand *r, size_t n, struct t_ltx_world *ret)
{
    struct wr_call *c = t_call();
    struct wr_err e = {0};

    *ret = (struct t_ltx_world){.r = r,
        .page_size = 512,
        .lock = wr_ltx_lock_pgno(512, WR_LTX_LOCK_OFFSET),
        .db = {.page_size = 512}};
    for (size_t i = 0; i < n; i++) {
        struct t_ltx m = t_ltx_world_next(ret);
        struct t_ltx_out o;

        t_ltx_out_init(&o);
        T_OK(t_ltx_write(&m, WR_LTX_LOCK_OFFSET, &o, &e));
        T_OK(wr_storage_put(s, c, wr_layout_ltx_key(c->scratch, s, 0, m.min, m.max),
            wr_buf_bytes(&o.buf), NULL, &e));
        wr_buf_release(&o.buf);
        t_ltx_release(&m);
    }
}

static enum wr_status take_once(void *arg)
{
    struct wr_sample sample;
    struct wr_err e = {0};

    return wr_sample_take(arg, t_call(), WR_LTX_LOCK_OFFSET, 1, EACH_MS, &sample, &e);
}

static void test_pages_are_of_the_newest_state(void **state)
{
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_rand r;
    struct wr_err e = {0};
    size_t all = 0;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 20; round++) {
        struct wr_storage *s = spy_open(&spy, &ops);
        struct wr_sample sample = {0}, at_once = {0};
        struct t_ltx_world w;

        put_history(s, &r, 12, &w);
        T_OK(wr_sample_take(s, t_call(), WR_LTX_LOCK_OFFSET, 1, EACH_MS, &sample, &e));
        T_OK(wr_sample_take(s, t_call(), WR_LTX_LOCK_OFFSET, 8, EACH_MS, &at_once, &e));
        T(memcmp(&sample, &at_once, sizeof(sample)) == 0);
        all += sample.n;
        for (size_t i = 0; i < sample.n; i++) {
            const uint8_t *page = w.db.pages[sample.pgno[i]];

            T(page && sample.pgno[i] > 1 && sample.pgno[i] <= w.commit);
            T(sample.checksum[i] == wr_ltx_page_checksum(sample.pgno[i], page, 512));
            T(memcmp(page, page + 1, 511) != 0);
            for (size_t k = 0; k < i; k++)
                T(sample.pgno[k] != sample.pgno[i]);
        }
        if (round == 0) {
            t_sweep_nomem(take_once, s);
            spy.fail_get = WR_AUTH;
            T_IS(
                WR_AUTH, wr_sample_take(s, t_call(), WR_LTX_LOCK_OFFSET, 1, EACH_MS, &at_once, &e));
            T(strstr(e.text, "sample the replica"));
        }
        t_ltx_release(&w.db);
        wr_storage_close(s);
    }
    T(all > 20);
}

/* All files had two minutes together: a replica of some thousand was never sampled. */
static void test_each_of_many_files_has_its_time(void **state)
{
    struct wr_call c = *t_call();
    struct wr_clock_manual clock;
    struct wr_rand r;
    struct wr_err e = {0};
    struct wr_sample sample = {0};
    struct faultstore *f;
    struct wr_storage *s;
    struct t_ltx_world w;
    void *mem = NULL;

    (void)state;
    wr_rand_init(&r, t_seed());
    wr_clock_manual_init(&clock, 1);
    c.clock = &clock.clock;
    T_OK(wr_storage_mem.open(NULL, &mem, &e));
    f = faultstore_new(&wr_storage_mem, mem, t_seed(), &clock);
    T(f != NULL);
    T_OK(wr_storage_wrap(faultstore_ops(f), f, WR_STR(""), &s, &e));
    put_history(s, &r, 60, &w);
    faultstore_arm(f, FAULT_DELAY, FAULT_ON_GET, 1000, UINT64_MAX);
    T_OK(wr_sample_take(s, &c, WR_LTX_LOCK_OFFSET, 1, EACH_MS, &sample, &e));
    T(faultstore_fired(f, FAULT_DELAY) >= 60 && clock.mono_now_ns > 10 * EACH_MS * 1000000LL);
    t_ltx_release(&w.db);
    wr_storage_close(s);
}

static void test_it_can_be_canceled(void **state)
{
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_storage *s = spy_open(&spy, &ops);
    struct wr_call c = *t_call();
    struct wr_cancel cancel;
    struct wr_rand r;
    struct wr_err e = {0};
    struct wr_sample sample = {.n = 7};
    struct t_ltx_world w;

    (void)state;
    wr_rand_init(&r, t_seed());
    put_history(s, &r, 3, &w);
    wr_cancel_init(&cancel);
    c.cancel = &cancel;
    wr_cancel_now(&cancel);
    T_IS(WR_CANCELED, wr_sample_take(s, &c, WR_LTX_LOCK_OFFSET, 8, EACH_MS, &sample, &e));
    T(sample.n == 7);
    wr_cancel_release(&cancel);
    t_ltx_release(&w.db);
    wr_storage_close(s);
}

/* A hole in the middle is no newest state. */
static void test_files_that_are_gone(void **state)
{
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_storage *s = spy_open(&spy, &ops);
    struct wr_call *c = t_call();
    struct wr_rand r;
    struct wr_err e = {0};
    struct wr_sample sample = {0};
    struct wr_ltx_files files = {0};
    struct t_ltx_world w;
    struct wr_str key;

    (void)state;
    wr_rand_init(&r, t_seed());
    put_history(s, &r, 5, &w);
    T_OK(wr_layout_list(s, c, 0, 0, &files, &e));
    key = wr_layout_ltx_key(c->scratch, s, 0, files.p[0].min, files.p[0].max);
    T_OK(wr_storage_remove(s, c, &key, 1, &e));
    T_IS(WR_CORRUPT, wr_sample_take(s, c, WR_LTX_LOCK_OFFSET, 1, EACH_MS, &sample, &e));
    wr_ltx_files_release(&files);
    t_ltx_release(&w.db);
    wr_storage_close(s);
}

T_MAIN(T_TEST(test_pages_are_of_the_newest_state), T_TEST(test_each_of_many_files_has_its_time),
    T_TEST(test_it_can_be_canceled), T_TEST(test_files_that_are_gone))
