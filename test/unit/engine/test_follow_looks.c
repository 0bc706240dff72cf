/*
 * test_follow_looks.c - how often a follower looks at the replica, and by which requests.
 */
#include "unit/engine/follow_world.h"

/* Let that many seconds pass, with a step in each. */
static enum wr_status pass(
    struct fw *w, struct wr_follow *f, struct wr_call *c, unsigned seconds, struct wr_err *e)
{
    int64_t wait_ms = 0;
    enum wr_status st = WR_OK;

    for (unsigned i = 0; st == WR_OK && i < seconds; i++) {
        wr_clock_manual_advance(&w->clock, 1000000000);
        st = wr_follow_step(f, c, &wait_ms, e);
    }
    return st;
}

/* The copy was called up to date for five minutes, though the replica was another one by then. */
static void test_begun_anew_below_the_copy(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_err e = {0};
    struct story other;
    struct wr_call c;
    int64_t wait_ms = 0;

    (void)state;
    fw_init(&w, true);
    fw_sql(&w, "UPDATE t SET b=1");
    fw_sql(&w, "UPDATE t SET b=2");
    fw_store(&w);
    T_OK(fw_open(&w, &f, &e));
    c = fw_clocked(&w);
    T_OK(pass(&w, f, &c, 20, &e));
    T(w.told.phase == WR_FOLLOW_CURRENT && w.told.txid == 3);

    /* Only a snapshot tells that the primary was put back. */
    story_fork(&other, &w.s, 2);
    story_commit(&other, other.image[2].commit, 3);
    story_commit(&other, other.image[2].commit, 3);
    story_put(&other, &w.w, 9, 1, 4);
    T_OK(pass(&w, f, &c, 15, &e));
    T(w.told.phase == WR_FOLLOW_CURRENT && w.told.txid == 4);

    fw_delete(&w, 9, 1, 1);
    fw_delete(&w, 0, 2, 2);
    fw_delete(&w, 0, 3, 3);
    fw_delete(&w, 9, 1, 4);
    story_put(&other, &w.w, 9, 1, 1);
    story_put(&other, &w.w, 0, 2, 2);
    for (int i = 0; i < 15 && w.told.phase == WR_FOLLOW_CURRENT; i++)
        T_OK(pass(&w, f, &c, 1, &e));
    T(w.told.phase == WR_FOLLOW_FAILING && strstr(w.line, "it has been reset"));
    T_IS(WR_CONFLICT, wr_follow_step(f, &c, &wait_ms, &e));
    wr_follow_close(f);
    story_release(&other);
    fw_release(&w);
}

/* A list that was a few seconds old ended the follower: it had found the newest by its name. */
static void test_an_old_list(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_err e = {0};
    struct wr_call c;
    int64_t wait_ms = 0;

    (void)state;
    fw_init(&w, true);
    fw_sql(&w, "UPDATE t SET b=1");
    fw_store(&w);
    T_OK(fw_open(&w, &f, &e));
    c = fw_clocked(&w);
    T_OK(pass(&w, f, &c, 15, &e));
    fw_delete(&w, 0, 2, 2); /* as a list shows it that is old */
    wr_clock_manual_advance(&w.clock, 1000000000);
    T_OK(wr_follow_step(f, &c, &wait_ms, &e));
    T(w.told.phase == WR_FOLLOW_FAILING && wait_ms >= 10000);
    story_put(&w.s, &w.w, 0, 2, 2);
    T_OK(wr_follow_step(f, &c, &wait_ms, &e));
    T(w.told.phase == WR_FOLLOW_CURRENT && wait_ms == 1000);
    wr_follow_close(f);
    fw_release(&w);
}

/* All levels are listed more rarely where that takes several requests: three of them here. */
static void test_a_list_of_many_files(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_err e = {0};
    struct wr_call c;

    (void)state;
    fw_init(&w, true);
    for (int i = 0; i < 40; i++)
        fw_sql(&w, "UPDATE t SET b=1 WHERE id=1");
    fw_store(&w);
    T_OK(fw_open(&w, &f, &e));
    for (unsigned level = 1; level <= 3; level++)
        for (uint64_t max = 2; max < 41; max++)
            for (uint64_t min = 1; min <= max; min++)
                world_store(&w.w,
                    wr_layout_ltx_key(t_call()->scratch, w.w.storage, level, min, max),
                    (struct wr_bytes){0}, 1000);
    c = fw_clocked(&w);
    T_OK(pass(&w, f, &c, 1, &e));
    T(w.told.phase == WR_FOLLOW_CURRENT && w.told.txid == 41);
    fw_sql(&w, "UPDATE t SET b=2");
    fw_sql(&w, "UPDATE t SET b=3");
    story_put(&w.s, &w.w, 9, 1, 43);
    T_OK(pass(&w, f, &c, 44, &e));
    assert_int_equal(w.told.txid, 41);
    T_OK(pass(&w, f, &c, 1, &e));
    assert_int_equal(w.told.txid, 43);
    wr_follow_close(f);
    fw_release(&w);
}

/* Nothing new costs one request for one name; a list comes each 15 seconds. */
static void test_requests(void **state)
{
    struct fw w;
    struct wr_follow *f = NULL;
    struct wr_err e = {0};
    struct wr_call c;
    int64_t wait_ms = 0;
    uint64_t before;

    (void)state;
    fw_init(&w, true);
    T_OK(fw_open(&w, &f, &e));
    c = fw_clocked(&w);
    T_OK(wr_follow_step(f, &c, &wait_ms, &e));
    before = w.w.requests;
    T_OK(pass(&w, f, &c, 600, &e));
    assert_int_equal(w.w.requests - before, 600); /* where a list comes, no name is tried */

    /* Two transactions in one file, which nobody finds by its name. */
    fw_sql(&w, "UPDATE t SET b=1");
    fw_sql(&w, "UPDATE t SET b=2");
    story_put(&w.s, &w.w, 0, 2, 3);
    T_OK(pass(&w, f, &c, 15, &e));
    T(w.told.txid == 3);
    wr_follow_close(f);
    fw_release(&w);
}

T_MAIN(T_TEST(test_requests), T_TEST(test_begun_anew_below_the_copy), T_TEST(test_an_old_list),
    T_TEST(test_a_list_of_many_files))
