/*
 * test_census.c - every page of a replica's newest state, against a model of the database.
 */
#include "engine/census.h"

#include "base/rand.h"
#include "engine/layout.h"
#include "harness/ltx_util.h"
#include "unit/engine/spy_store.h"

#define PAGE 512u

/* A replica of the `n` files that a database left, as Litestream writes them, but for the one that
 * is `left_out` (0: none); its pages, as they are at last, are in `ret`. */
static void put_history(
    struct wr_storage *s, struct wr_rand *r, size_t n, size_t left_out, struct t_ltx_world *ret)
{
    struct wr_call *c = t_call();
    struct wr_err e = {0};

    *ret = (struct t_ltx_world){.r = r,
        .page_size = PAGE,
        .lock = wr_ltx_lock_pgno(PAGE, WR_LTX_LOCK_OFFSET),
        .db = {.page_size = PAGE}};
    for (size_t i = 0; i < n; i++) {
        struct t_ltx m = t_ltx_world_next(ret);
        struct t_ltx_out o;

        t_ltx_out_init(&o);
        T_OK(t_ltx_write(&m, WR_LTX_LOCK_OFFSET, &o, &e));
        if (left_out == 0 || i + 1 != left_out)
            T_OK(wr_storage_put(s, c, wr_layout_ltx_key(c->scratch, s, 0, m.min, m.max),
                wr_buf_bytes(&o.buf), NULL, &e));
        wr_buf_release(&o.buf);
        t_ltx_release(&m);
    }
}

static enum wr_status take(
    struct wr_storage *s, uint64_t txid, uint64_t max, struct wr_sums *ret, struct wr_err *e)
{
    return wr_census_take(s, t_call(), WR_LTX_LOCK_OFFSET, txid, max, ret, e);
}

struct take_once {
    struct wr_storage *s;
    uint64_t txid;
};

static enum wr_status take_once(void *arg)
{
    struct take_once *t = arg;
    struct wr_sums sums = {0};
    struct wr_err e = {0};
    enum wr_status st = take(t->s, t->txid, UINT64_MAX, &sums, &e);

    wr_sums_release(&sums);
    return st;
}

static void test_pages_are_of_the_newest_state(void **state)
{
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_rand r;
    struct wr_err e = {0};
    size_t known = 0;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 20; round++) {
        struct wr_storage *s = spy_open(&spy, &ops);
        struct wr_sums sums = {0};
        struct t_ltx_world w;
        uint64_t rolling = WR_LTX_CHECKSUM_EMPTY;

        put_history(s, &r, 12, 0, &w);
        T_OK(take(s, w.txid, UINT64_MAX, &sums, &e));
        assert_int_equal(sums.commit, w.commit);
        assert_int_equal(sums.page_size, PAGE);
        for (uint32_t i = 1; i <= w.commit; i++) {
            uint64_t is = wr_ltx_page_checksum(i, w.db.pages[i], PAGE);

            T(sums.sum[i - 1] == is || sums.sum[i - 1] == 0);
            known += sums.sum[i - 1] == is;
            rolling = wr_ltx_rolling(rolling, 0, is);
        }
        T(sums.rolling == rolling);
        wr_sums_release(&sums);
        if (round == 0) {
            struct take_once t = {s, w.txid};

            t_sweep_nomem(take_once, &t);
            T_IS(WR_BUSY, take(s, w.txid + 1, UINT64_MAX, &sums, &e));
            T_IS(WR_LIMIT, take(s, w.txid, 100, &sums, &e));
            T(strstr(e.text, "read the replica's newest state: its files have "));
            spy.fail_get = WR_AUTH;
            T_IS(WR_AUTH, take(s, w.txid, UINT64_MAX, &sums, &e));
            spy.fail_get = WR_NOTFOUND;
            T_IS(WR_BUSY, take(s, w.txid, UINT64_MAX, &sums, &e));
            T(sums.sum == NULL);
        }
        t_ltx_release(&w.db);
        wr_storage_close(s);
    }
    T(known > 20);
}

/* It shrank, and grew without its pages being there again. */
static void test_what_was_cut_off_and_came_back_is_not_known(void **state)
{
    static const uint32_t commits[] = {6, 2, 6};
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_storage *s = spy_open(&spy, &ops);
    struct wr_call *c = t_call();
    struct wr_rand r;
    struct wr_err e = {0};
    struct wr_sums sums = {0};

    (void)state;
    wr_rand_init(&r, t_seed());
    for (size_t i = 0; i < wr_countof(commits); i++) {
        struct t_ltx m = {0};
        struct t_ltx_out o;

        t_ltx_random(&r, &m, PAGE, i == 0 ? 6 : 2, i + 1, WR_LTX_LOCK_OFFSET);
        m.min = m.max = i + 1;
        m.commit = commits[i];
        m.rolling = false;
        m.pre = m.post = 0;
        t_ltx_out_init(&o);
        T_OK(t_ltx_write(&m, WR_LTX_LOCK_OFFSET, &o, &e));
        T_OK(wr_storage_put(s, c, wr_layout_ltx_key(c->scratch, s, 0, m.min, m.max),
            wr_buf_bytes(&o.buf), NULL, &e));
        wr_buf_release(&o.buf);
        t_ltx_release(&m);
    }
    T_OK(take(s, 3, UINT64_MAX, &sums, &e));
    T(sums.commit == 6 && sums.sum[0] && sums.sum[1]);
    for (size_t i = 2; i < 6; i++)
        T(sums.sum[i] == 0);
    wr_sums_release(&sums);
    wr_storage_close(s);
}

static void test_damage_and_nothing(void **state)
{
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_storage *s = spy_open(&spy, &ops);
    struct wr_rand r;
    struct wr_err e = {0};
    struct wr_sums sums = {0};
    struct t_ltx_world w;

    (void)state;
    T_IS(WR_NOTFOUND, take(s, 1, UINT64_MAX, &sums, &e));
    wr_rand_init(&r, t_seed());
    put_history(s, &r, 6, 1, &w); /* without its beginning */
    T(take(s, w.txid, UINT64_MAX, &sums, &e) != WR_OK && sums.sum == NULL);
    t_ltx_release(&w.db);
    wr_storage_close(s);
}

T_MAIN(T_TEST(test_pages_are_of_the_newest_state),
    T_TEST(test_what_was_cut_off_and_came_back_is_not_known), T_TEST(test_damage_and_nothing))
