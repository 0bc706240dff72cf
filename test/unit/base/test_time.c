/*
 * test_time.c - instants against a calendar that counts one day at a time.
 */
#include "base/rand.h"
#include "base/str.h"
#include "harness/t.h"

#include <inttypes.h>

struct day {
    int year, month, day;
};

/* The day after, by the rules as one learns them in school. */
static void next_day(struct day *d)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int length = lengths[d->month - 1];

    if (d->month == 2 && (d->year % 400 == 0 || (d->year % 4 == 0 && d->year % 100 != 0)))
        length = 29;
    if (++d->day > length) {
        d->day = 1;
        if (++d->month > 12) {
            d->month = 1;
            d->year++;
        }
    }
}

static void check_day(const struct day *d, int64_t days, struct wr_rand *r)
{
    int of_day = (int)wr_rand_below(r, 86400);
    int fraction = (int)wr_rand_below(r, 1000);
    int64_t ms = (days * 86400 + of_day) * 1000 + fraction;
    char want[WR_TIME_TEXT_MAX];
    char got[WR_TIME_TEXT_MAX];
    int64_t back = 0;
    int n = snprintf(want, sizeof(want), "%04d-%02d-%02dT%02d:%02d:%02dZ", d->year, d->month,
        d->day, of_day / 3600, of_day / 60 % 60, of_day % 60);

    wr_format_time_seconds(got, ms);
    assert_string_equal(got, want);
    T(wr_parse_time(wr_str(got), &back) && back == ms - fraction);

    if (fraction) {
        n = n - 1 + snprintf(want + n - 1, sizeof(want) - (size_t)n, ".%03d", fraction);
        while (want[n - 1] == '0')
            n--;
        memcpy(want + n, "Z", 2);
    }
    wr_format_time(got, ms);
    assert_string_equal(got, want);
    T(wr_parse_time(wr_str(got), &back) && back == ms);
}

/* All 3,652,059 days are counted; those that matter and every 11th of the others are checked. */
static void test_every_day(void **state)
{
    struct day d = {1, 1, 1};
    int64_t days = -719162;
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (; d.year <= 9999; next_day(&d), days++) {
        bool edge = d.month <= 3 || d.month == 12;

        if ((edge && d.year % 100 <= 1) || (d.year > 1950 && d.year < 2050) || days % 11 == 0)
            check_day(&d, days, &r);
        if (d.year == 1970 && d.month == 1 && d.day == 1)
            T(days == 0); /* the model and the epoch agree */
    }
    T(days == 2932897);
}

static void test_known(void **state)
{
    static const struct {
        const char *text;
        int64_t want;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1969-12-31T23:59:59.999Z", -1},
        {"2006-01-02T15:04:05-07:00", INT64_C(1136239445000)},
        {"2026-11-22T18:54:31.42Z", INT64_C(1795373671420)},
        {"2026-11-22T20:24:31.420+01:30", INT64_C(1795373671420)},
        {"2000-02-29T23:59:59.9999999999999999999999Z", INT64_C(951868799999)},
        {"1900-02-28T00:00:00.0009Z", -INT64_C(2203977600000)},
        {"0001-01-01T00:00:00Z", -INT64_C(62135596800000)},
        {"9999-12-31T23:59:59.999Z", INT64_C(253402300799999)},
        {"9999-12-31T23:59:59-00:00", INT64_C(253402300799000)},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        int64_t got = 1;

        if (!wr_parse_time(wr_str(cases[i].text), &got) || got != cases[i].want)
            fail_msg("%s gave %" PRId64, cases[i].text, got);
    }
}

static void test_bad(void **state)
{
    static const char *const bad[] = {"", "2026", "2026-11-22", "2026-11-22T18:54:31",
        "2026-11-22 18:54:31Z", "2026-11-22t18:54:31Z", "2026-11-22T18:54:31z",
        "2026-11-22T18:54:31.Z", "2026-11-22T18:54:31,5Z", "2026-11-22T18:54Z",
        "2026-11-22T18:54:31+0100", "2026-11-22T18:54:31+01",
        "2026-11-22T18:54:31+01:", "2026-11-22T18:54:31+24:00", "2026-11-22T18:54:31+00:60",
        "2026-11-22T18:54:31ZZ", "2026-11-22T18:54:31Z ", " 2026-11-22T18:54:31Z",
        "2026-13-22T18:54:31Z", "2026-00-22T18:54:31Z", "2026-11-00T18:54:31Z",
        "2026-11-31T18:54:31Z", "2026-02-29T18:54:31Z", "1900-02-29T18:54:31Z",
        "2026-11-22T24:00:00Z", "2026-11-22T18:60:00Z", "2026-11-22T18:59:60Z",
        "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "0000-12-31T23:59:59-05:00",
        "26-11-22T18:54:31Z", "2026-1-22T18:54:31Z", "2026-11-22T1:54:31Z", "+026-11-22T18:54:31Z",
        "2026-11-22T18:54:-1Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01",
        "2026-11-22T18:54:31+", "2026-11-22T18:54:31\xe2\x88\x92\x30\x31:00"};

    (void)state;
    for (size_t i = 0; i < wr_countof(bad); i++) {
        int64_t got = 77;

        if (wr_parse_time(wr_str(bad[i]), &got) || got != 77)
            fail_msg("\"%s\" was taken for %" PRId64, bad[i], got);
    }
}

/* No text that differs from a good one in one byte crashes, or comes back as something else. */
static void test_mutations(void **state)
{
    static const char good[] = "2026-11-22T18:54:31.42+01:30";
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 20000; i++) {
        char text[sizeof(good)];
        char again[WR_TIME_TEXT_MAX];
        size_t n = wr_rand_below(&r, sizeof(good));
        int64_t ms;
        int64_t back;

        memcpy(text, good, sizeof(good));
        text[wr_rand_below(&r, sizeof(good) - 1)] =
            (char)(wr_rand_below(&r, 2) ? wr_rand_below(&r, 256) : '0' + wr_rand_below(&r, 10));
        if (!wr_parse_time((struct wr_str){text, i % 2 ? n : sizeof(good) - 1}, &ms))
            continue;
        wr_format_time(again, ms);
        T(wr_parse_time(wr_str(again), &back) && back == ms);
    }
}

static void test_offsets(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 5000; i++) {
        int64_t utc_ms = (int64_t)wr_rand_below(&r, INT64_C(4000000000)) * 1000;
        int minutes = (int)wr_rand_below(&r, 1440);
        bool west = wr_rand_below(&r, 2);
        int64_t got = 0;
        char text[WR_TIME_TEXT_MAX];
        size_t n;

        /* The local time there, written as if it were UTC, with the offset in place of the Z. */
        wr_format_time_seconds(text, utc_ms + (west ? -minutes : minutes) * INT64_C(60000));
        n = strlen(text) - 1;
        (void)snprintf(text + n, sizeof(text) - n, "%c%02d:%02d", west ? '-' : '+', minutes / 60,
            minutes % 60);
        T(wr_parse_time(wr_str(text), &got) && got == utc_ms);
    }
}

static void test_out_of_range(void **state)
{
    char text[WR_TIME_TEXT_MAX];

    (void)state;
    wr_format_time(text, INT64_MIN);
    assert_string_equal(text, "0001-01-01T00:00:00Z");
    wr_format_time(text, -INT64_C(62135596800001));
    assert_string_equal(text, "0001-01-01T00:00:00Z");
    wr_format_time(text, INT64_MAX);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
    wr_format_time_seconds(text, INT64_C(253402300800000));
    assert_string_equal(text, "9999-12-31T23:59:59Z");
}

static int64_t period(enum wr_period p, const char *text)
{
    int64_t ms = 0;

    T(wr_parse_time(wr_str(text), &ms));
    return wr_time_period(p, ms);
}

/* Each day from 1890 to 2150: the week is told by the days, all else by how the day is written. */
static void test_periods(void **state)
{
    const int64_t day_ms = INT64_C(86400000);
    char is[WR_TIME_TEXT_MAX], next[WR_TIME_TEXT_MAX];

    (void)state;
    for (int64_t day = -29220; day < 65745; day++) {
        int64_t ms = day * day_ms;
        int64_t week =
            wr_time_period(WR_PERIOD_WEEK, ms + day_ms) - wr_time_period(WR_PERIOD_WEEK, ms);

        wr_format_time(is, ms);
        wr_format_time(next, ms + day_ms);
        T(wr_time_period(WR_PERIOD_DAY, ms) == day);
        T(wr_time_period(WR_PERIOD_DAY, ms - 1) == day - 1);
        T(wr_time_period(WR_PERIOD_HOUR, ms + day_ms - 1) == 24 * day + 23);
        T(week == ((day + 70000 * 7 + 4) % 7 == 0)); /* it is a Sunday */
        T(wr_time_period(WR_PERIOD_MONTH, ms + day_ms) - wr_time_period(WR_PERIOD_MONTH, ms) ==
            (memcmp(is, next, 7) != 0));
        T(wr_time_period(WR_PERIOD_YEAR, ms + day_ms) - wr_time_period(WR_PERIOD_YEAR, ms) ==
            (memcmp(is, next, 4) != 0));
    }
    T(period(WR_PERIOD_YEAR, "2026-11-26T12:00:00Z") == 2026);
    T(period(WR_PERIOD_WEEK, "2026-11-23T00:00:00Z") ==
        period(WR_PERIOD_WEEK, "2026-11-29T23:59:59.999Z"));
    T(wr_time_period(WR_PERIOD_YEAR, INT64_MIN) == 1 &&
        wr_time_period(WR_PERIOD_YEAR, INT64_MAX) == 9999);
}

T_MAIN(T_TEST(test_periods), T_TEST(test_every_day), T_TEST(test_known), T_TEST(test_bad),
    T_TEST(test_mutations), T_TEST(test_offsets), T_TEST(test_out_of_range))
