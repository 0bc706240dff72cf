/*
 * test_asked.c - times as people write them.
 */
#include "vfs/asked.h"

#include "harness/t.h"

#define NOW INT64_C(1700000000000)

static void test_times_that_are_understood(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } table[] = {{"latest", 0}, {" LATEST ", 0}, {"2023-11-14T22:13:20Z", NOW},
        {"2023-11-15T00:13:20.5+02:00", NOW + 500}, {"2023-11-14 22:13:20", NOW},
        {"2023-11-14 22:13:20.25", NOW + 250}, {"5 minutes ago", NOW - 300000},
        {"1 second ago", NOW - 1000}, {"2 Hours ago", NOW - 7200000},
        {"3 days ago", NOW - 259200000}, {"1 weeks ago", NOW - 604800000}};

    (void)state;
    for (size_t i = 0; i < wr_countof(table); i++) {
        struct wr_err e = {0};
        int64_t ms = -1;

        T_OK(wr_asked_time(table[i].text, NOW, &ms, &e));
        assert_int_equal(ms, table[i].ms);
    }
}

static void test_times_that_are_not(void **state)
{
    static const char *const table[] = {"", " ", "x", "hier", "12345", "10m", "-10m", "10 minutes",
        "tomorrow", "minutes ago", "5 fortnights ago", "99999999999999 days ago", "-1 days ago",
        "2023-11-14", "2023-11-14 22:13", "1960-01-01T00:00:00Z", "2023-11-14_22:13:20",
        "2023-11-14 22:13:20.123456789012345678901234567890", "5 minutes before"};

    (void)state;
    for (size_t i = 0; i < wr_countof(table); i++) {
        struct wr_err e = {0};
        int64_t ms = 0;

        if (wr_asked_time(table[i], NOW, &ms, &e) == WR_OK)
            print_error("%s\n", table[i]);
        T_IS(WR_MISUSE, wr_asked_time(table[i], NOW, &ms, &e));
        T(strstr(e.text, "timestamp") != NULL);
    }
}

T_MAIN(T_TEST(test_times_that_are_understood), T_TEST(test_times_that_are_not))
