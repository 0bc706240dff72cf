/*
 * test_clock.c - the system's clocks go forward; the manual one goes where it is told.
 */
#include "base/clock.h"

#include "harness/t.h"

static void test_system(void **state)
{
    const struct wr_clock *c = wr_clock_system();
    int64_t before_ns = wr_mono_ns(c);
    struct timespec t;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        int64_t now_ns = wr_mono_ns(c);

        T(now_ns >= before_ns);
        T(wr_mono_ms(c) >= now_ns / 1000000);
        before_ns = now_ns;
    }
    T(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    T(wr_mono_ms(c) / 1000 - (int64_t)t.tv_sec <= 1);
    T(wr_mono_ms(c) / 1000 >= (int64_t)t.tv_sec);
    T(wr_wall_ms(c) > INT64_C(1700000000000)); /* later than 2023, in milliseconds */
    T(wr_wall_ms(c) / 1000 - (int64_t)time(NULL) <= 1);
    T(c == wr_clock_system());
}

static void test_manual(void **state)
{
    struct wr_clock_manual m;

    (void)state;
    wr_clock_manual_init(&m, 1000);
    T(wr_mono_ns(&m.clock) == 0);
    T(wr_wall_ms(&m.clock) == 1000);
    wr_clock_manual_advance(&m, 2500000);
    T(wr_mono_ns(&m.clock) == 2500000);
    T(wr_mono_ms(&m.clock) == 2);
    T(wr_wall_ms(&m.clock) == 1002);

    /* The wall may jump back by itself; the other does not notice. */
    m.wall_now_ms = 5;
    T(wr_wall_ms(&m.clock) == 5);
    T(wr_mono_ms(&m.clock) == 2);
}

static void test_small_steps_add_up(void **state)
{
    struct wr_clock_manual m;

    (void)state;
    wr_clock_manual_init(&m, 0);
    for (int i = 0; i < 1000; i++)
        wr_clock_manual_advance(&m, 999999);
    T(wr_mono_ns(&m.clock) == INT64_C(999999000));
    T(wr_wall_ms(&m.clock) == 999);
}

T_MAIN(T_TEST(test_system), T_TEST(test_manual), T_TEST(test_small_steps_add_up))
