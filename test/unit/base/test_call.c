/*
 * test_call.c - deadlines and cancellation as a call sees them, on a clock that the test moves.
 */
#include "base/call.h"

#include "harness/t.h"

#define MS INT64_C(1000000)

struct fixture {
    struct wr_clock_manual clock;
    struct wr_cancel cancel;
    struct wr_call call;
};

/* At monotonic second 100, with a deadline a second ahead. */
static void begin(struct fixture *f)
{
    wr_clock_manual_init(&f->clock, 0);
    wr_clock_manual_advance(&f->clock, 100000 * MS);
    wr_cancel_init(&f->cancel);
    f->call = (struct wr_call){
        .clock = &f->clock.clock,
        .deadline_ms = 101000,
        .cancel = &f->cancel,
    };
}

static void test_check(void **state)
{
    struct fixture f;
    struct wr_err e = {0};

    (void)state;
    begin(&f);
    T_OK(wr_call_check(&f.call, "upload", &e));
    wr_clock_manual_advance(&f.clock, 999 * MS);
    T_OK(wr_call_check(&f.call, "upload", &e));
    T(e.text[0] == '\0');
    wr_clock_manual_advance(&f.clock, 1 * MS);
    T_IS(WR_TIMEOUT, wr_call_check(&f.call, "upload of k", &e));
    assert_string_equal(e.text, "upload of k: deadline exceeded");
    T_IS(WR_TIMEOUT, wr_call_check(&f.call, "upload", NULL));
    f.call.deadline_ms = WR_NEVER;
    T_OK(wr_call_check(&f.call, "upload", &e));

    /* To be told to stop outranks being late: nobody retries what was canceled. */
    f.call.deadline_ms = 1;
    wr_cancel_now(&f.cancel);
    T_IS(WR_CANCELED, wr_call_check(&f.call, "upload of k", &e));
    assert_string_equal(e.text, "upload of k: canceled");
    f.call.cancel = NULL;
    T_IS(WR_TIMEOUT, wr_call_check(&f.call, "upload", &e));
    wr_cancel_release(&f.cancel);
}

static void test_left(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    T(wr_call_left_ms(&f.call, 5000) == 1000);
    T(wr_call_left_ms(&f.call, 300) == 300);
    T(wr_call_left_ms(&f.call, 0) == 0);
    wr_clock_manual_advance(&f.clock, 999 * MS);
    T(wr_call_left_ms(&f.call, 5000) == 1);
    wr_clock_manual_advance(&f.clock, 1 * MS);
    T(wr_call_left_ms(&f.call, 5000) == 0);
    wr_clock_manual_advance(&f.clock, 100 * MS);
    T(wr_call_left_ms(&f.call, 5000) == 0);
    f.call.deadline_ms = WR_NEVER;
    T(wr_call_left_ms(&f.call, 5000) == 5000);
    T(wr_call_left_ms(&f.call, INT64_MAX) == INT64_MAX);
    f.call.deadline_ms = WR_NEVER - 1;
    T(wr_call_left_ms(&f.call, INT64_MAX) == WR_NEVER - 1 - 101100);
    f.call.deadline_ms = INT64_MIN;
    T(wr_call_left_ms(&f.call, 5000) == 0);
    wr_cancel_release(&f.cancel);
}

static void test_sleep(void **state)
{
    const struct wr_clock *real = wr_clock_system();
    int64_t before_ns = wr_mono_ns(real);
    struct fixture f;
    struct wr_err e = {0};

    (void)state;
    begin(&f);
    T_OK(wr_call_sleep(&f.call, 2, &e));
    T(wr_mono_ns(real) - before_ns >= 2 * MS);
    T_OK(wr_call_sleep(&f.call, 0, &e));
    T_OK(wr_call_sleep(&f.call, -1, &e));

    /* Only up to the deadline. */
    wr_clock_manual_advance(&f.clock, 998 * MS);
    T_IS(WR_TIMEOUT, wr_call_sleep(&f.call, 100000, &e));
    assert_string_equal(e.text, "wait: deadline exceeded");
    T_OK(wr_call_sleep(&f.call, 2, &e));
    wr_clock_manual_advance(&f.clock, 2 * MS);
    T_IS(WR_TIMEOUT, wr_call_sleep(&f.call, 0, &e));

    f.call.deadline_ms = WR_NEVER;
    wr_cancel_now(&f.cancel);
    T_IS(WR_CANCELED, wr_call_sleep(&f.call, INT64_MAX, &e));
    assert_string_equal(e.text, "wait: canceled");

    f.call.cancel = NULL;
    T_OK(wr_call_sleep(&f.call, 1, &e));
    wr_cancel_release(&f.cancel);
}

static void cancel_it(void *arg)
{
    wr_cancel_now(arg);
}

static void test_sleep_is_canceled(void **state)
{
    struct fixture f;
    struct wr_err e = {0};
    struct wr_thread t;

    (void)state;
    begin(&f);
    f.call.deadline_ms = WR_NEVER;
    T_OK(wr_thread_start(&t, "cancel", 0, cancel_it, &f.cancel, &e));
    T_IS(WR_CANCELED, wr_call_sleep(&f.call, INT64_MAX, &e));
    wr_thread_join(&t);
    wr_cancel_release(&f.cancel);
}

T_MAIN(T_TEST(test_check), T_TEST(test_left), T_TEST(test_sleep), T_TEST(test_sleep_is_canceled))
