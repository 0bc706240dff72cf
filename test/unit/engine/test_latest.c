/*
 * test_latest.c - clocks that are wrong, machines that sleep, and who may be believed.
 */
#include "engine/latest.h"

#include "harness/t.h"

#define MINUTE INT64_C(60000)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define WEEK   (7 * DAY)
#define NOON   INT64_C(1795953600000)

static void test_a_clock_that_is_right_is_believed(void **state)
{
    struct wr_latest l = {0};

    (void)state;
    T(wr_latest_now(&l, NOON, 500) == NOON);
    for (int64_t t = 0; t < 2 * DAY; t += MINUTE)
        T(wr_latest_now(&l, NOON + t, 500 + t) == NOON + t);
    l = (struct wr_latest){0};
    wr_latest_begin(&l, NOON - MINUTE, 500);
    wr_latest_begin(&l, NOON + WEEK, 500); /* once */
    for (int64_t t = 0; t < 2 * DAY; t += MINUTE)
        T(wr_latest_now(&l, NOON + t, 500 + t) == NOON + t);
}

/* It used to be believed after five minutes, and all that was kept of the last day went. */
static void test_a_clock_ahead_for_minutes_was_believed(void **state)
{
    struct wr_latest l = {0};

    (void)state;
    wr_latest_begin(&l, NOON, 0);
    T(wr_latest_now(&l, NOON, 0) == NOON);
    for (int64_t t = MINUTE; t <= 12 * MINUTE; t += MINUTE)
        T(wr_latest_now(&l, NOON + t + WEEK, t) == NOON + 2 * t + 10 * MINUTE);
    T(wr_latest_now(&l, NOON + 13 * MINUTE, 13 * MINUTE) == NOON + 13 * MINUTE);
    /* it is not behind because of one that is behind for a moment */
    T(wr_latest_now(&l, NOON - WEEK, 14 * MINUTE) == NOON - WEEK);
    T(wr_latest_now(&l, NOON + 15 * MINUTE, 15 * MINUTE) == NOON + 15 * MINUTE);
}

/* The same of a start: the machine has no battery, and its clock is set later. */
static void test_a_start_with_a_wrong_clock(void **state)
{
    struct wr_latest l = {0};

    (void)state;
    wr_latest_begin(&l, NOON, 0);
    T(wr_latest_now(&l, NOON + WEEK, MINUTE) == NOON + 12 * MINUTE);
    T(wr_latest_now(&l, NOON + 2 * MINUTE, 2 * MINUTE) == NOON + 2 * MINUTE);
    l = (struct wr_latest){0};
    wr_latest_begin(&l, NOON, 0);
    T(wr_latest_now(&l, 0, MINUTE) == 0);
    T(wr_latest_now(&l, NOON + 2 * MINUTE, 2 * MINUTE) == NOON + 2 * MINUTE);
    T(wr_latest_now(&l, NOON + HOUR, 2 * MINUTE) == NOON + 12 * MINUTE);
}

/* A machine that slept, or a database of which nobody wrote for a week while we were away. */
static void test_after_a_pause_it_is_behind_for_as_long_again(void **state)
{
    struct wr_latest l = {0};
    int64_t t = 0;

    (void)state;
    wr_latest_begin(&l, NOON, 0);
    for (; wr_latest_now(&l, NOON + WEEK + t, t) < NOON + WEEK + t; t += MINUTE)
        T(t < WEEK);
    T(t > WEEK - HOUR);
}

/* A store that dates what it is given. */
static void test_a_store_with_a_clock_of_its_own(void **state)
{
    struct wr_latest l = {0};

    (void)state;
    wr_latest_told(&l, NOON, NOON); /* it has not begun */
    T(!l.begun);
    wr_latest_begin(&l, NOON, 0);
    wr_latest_told(&l, NOON + WEEK, NOON + WEEK + HOUR); /* a pause */
    T(wr_latest_now(&l, NOON + WEEK + 2 * MINUTE, MINUTE) == NOON + WEEK + 2 * MINUTE);
    wr_latest_told(&l, NOON, NOON + WEEK);                         /* nothing new */
    wr_latest_told(&l, NOON + 2 * WEEK, NOON + WEEK + 2 * MINUTE); /* it is wrong, or we are */
    T(wr_latest_now(&l, NOON + 2 * WEEK, 2 * MINUTE) <= NOON + WEEK + 20 * MINUTE);
}

T_MAIN(T_TEST(test_a_clock_that_is_right_is_believed),
    T_TEST(test_a_clock_ahead_for_minutes_was_believed), T_TEST(test_a_start_with_a_wrong_clock),
    T_TEST(test_after_a_pause_it_is_behind_for_as_long_again),
    T_TEST(test_a_store_with_a_clock_of_its_own))
