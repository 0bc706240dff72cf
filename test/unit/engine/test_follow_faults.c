/*
 * test_follow_faults.c - a follower whose disk fails, or is full, at any call: what others see is
 * one state, whole, and it goes on by itself when the disk is well again.
 */
#include "unit/engine/follow_world.h"

/* Every call fails once, or from then on; whoever asks then sees a whole state, and when the disk
 * is well again the same follower, or the next, goes on. */
static void sweep_faults(int rc)
{
    bool fired = true;

    for (int nth = 1; fired; nth++) {
        struct fw w;
        struct wr_follow *f = NULL;
        struct wr_err e = {0};
        enum wr_status st;

        fw_prepare(&w, true);
        bad_set(FW_CALLS, nth, rc);
        st = fw_open(&w, &f, &e);
        if (st == WR_OK)
            st = fw_steps(&w, f, &e);
        fw_store(&w);
        if (st == WR_OK)
            st = fw_steps(&w, f, &e);
        fired = bad.fired;
        bad_set(0, 0, SQLITE_OK);
        /* A failure is no reason to give up, nor to call the copy damaged. */
        if (f && st != WR_OK)
            print_error("call %d: %s\n", nth, e.text);
        T(!f || st == WR_OK);
        fw_check_sqlite(&w);
        for (int i = 0; f && i < 3; i++)
            T_OK(fw_steps(&w, f, &e));
        T(!f || w.told.txid == w.s.n);
        wr_follow_close(f);
        fw_check_after(&w);
        fw_release(&w);
    }
}

static void test_failing_at_any_call(void **state)
{
    (void)state;
    sweep_faults(SQLITE_IOERR);
}

static void test_full_at_any_call(void **state)
{
    (void)state;
    sweep_faults(SQLITE_FULL);
}

T_MAIN(T_TEST(test_failing_at_any_call), T_TEST(test_full_at_any_call))
