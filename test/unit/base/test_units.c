/*
 * test_units.c - durations and sizes: the corners by hand, the rest against sums.
 */
#include "base/rand.h"
#include "base/str.h"
#include "harness/t.h"

#include <inttypes.h>

#define NS   INT64_C(1)
#define US   (1000 * NS)
#define MS   (1000 * US)
#define SEC  (1000 * MS)
#define MIN  (60 * SEC)
#define HOUR (60 * MIN)
#define DAY  (24 * HOUR)
#define WEEK (7 * DAY)

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        int64_t want;
    } cases[] = {
        {"0", 0},
        {"-0", 0},
        {"+0", 0},
        {"0s", 0},
        {"5s", 5 * SEC},
        {"+5s", 5 * SEC},
        {"-5s", -5 * SEC},
        {"1478s", 1478 * SEC},
        {"5.0s", 5 * SEC},
        {"5.6s", 5 * SEC + 600 * MS},
        {"5.s", 5 * SEC},
        {".5s", 500 * MS},
        {"1.004s", 1 * SEC + 4 * MS},
        {"1.0040s", 1 * SEC + 4 * MS},
        {"100.00100s", 100 * SEC + 1 * MS},
        {"10ns", 10},
        {"11us", 11 * US},
        {"12\xc2\xb5s", 12 * US},
        {"12\xce\xbcs", 12 * US},
        {"13ms", 13 * MS},
        {"15m", 15 * MIN},
        {"16h", 16 * HOUR},
        {"2d", 2 * DAY},
        {"1.5d", 36 * HOUR},
        {"1w", WEEK},
        {"1w2d3h", WEEK + 2 * DAY + 3 * HOUR},
        {"3h30m", 3 * HOUR + 30 * MIN},
        {"30m3h", 3 * HOUR + 30 * MIN},
        {"1m1m", 2 * MIN},
        {"10.5s4m", 4 * MIN + 10 * SEC + 500 * MS},
        {"-2m3.4s", -(2 * MIN + 3 * SEC + 400 * MS)},
        {"1h2m3s4ms5us6ns", 1 * HOUR + 2 * MIN + 3 * SEC + 4 * MS + 5 * US + 6},
        {"39h9m14.425s", 39 * HOUR + 9 * MIN + 14 * SEC + 425 * MS},
        {"52763797000ns", 52763797000},
        {"0.3333333333333333333h", 20 * MIN}, /* digits beyond precision do not overflow */
        {"9007199254740993ns", INT64_C(9007199254740993)}, /* 2^53 + 1: no double in between */
        {"9223372036854775807ns", INT64_MAX},
        {"9223372036854775.807us", INT64_MAX},
        {"9223372036s854ms775us807ns", INT64_MAX},
        {"-9223372036854775808ns", INT64_MIN},
        {"-9223372036854775.808us", INT64_MIN},
        {"-9223372036s854ms775us808ns", INT64_MIN},
        {"0.9ns", 0},
        {"0.100000000000000000000h", 6 * MIN},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        int64_t got = 1;

        if (!wr_parse_duration(wr_str(cases[i].text), &got) || got != cases[i].want)
            fail_msg("%s gave %" PRId64, cases[i].text, got);
    }
}

static void test_bad_durations(void **state)
{
    static const char *const bad[] = {"", "-", "+", "s", ".", "-.", ".s", "+.s", "3", "00", "1.5",
        "1 s", " 1s", "1s ", "1S", "1M", "1H", "1D", "--1s", "1s-1s", "1e3s", "1hour", "1x",
        "1.2.3s", "3000000h", "9223372036854775808ns", "9223372036854775.808us",
        "9223372036854ms775us808ns", "-9223372036854775809ns", "99999999999999999999s", "0x1s",
        "1\xc2s", "1,000s", "20000w", "9223372036854775807ns9ns", "-9223372036854775808ns1ns",
        "100000d100000d", "9223372036854775.9us"};

    (void)state;
    for (size_t i = 0; i < wr_countof(bad); i++) {
        int64_t got = 77;

        if (wr_parse_duration(wr_str(bad[i]), &got) || got != 77)
            fail_msg("\"%s\" was taken for %" PRId64, bad[i], got);
    }
}

static void test_duration_sums(void **state)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {{"ns", NS}, {"us", US}, {"ms", MS}, {"s", SEC}, {"m", MIN}, {"h", HOUR},
        {"d", DAY}, {"w", WEEK}};
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 10000; i++) {
        char text[200];
        size_t n = 0;
        int64_t want = 0;
        int64_t got = 0;
        bool negative = wr_rand_below(&r, 2);

        if (negative)
            text[n++] = '-';
        for (uint64_t parts = 1 + wr_rand_below(&r, 5); parts; parts--) {
            size_t u = wr_rand_below(&r, wr_countof(units));
            int64_t whole = (int64_t)wr_rand_below(&r, 1000);
            int64_t thousandths = units[u].ns % 1000 ? 0 : (int64_t)wr_rand_below(&r, 1000);

            want += whole * units[u].ns + thousandths * (units[u].ns / 1000);
            if (units[u].ns % 1000 == 0 && wr_rand_below(&r, 4))
                n += (size_t)snprintf(text + n, sizeof(text) - n, "%" PRId64 ".%03" PRId64 "%s",
                    whole, thousandths, units[u].name);
            else {
                want -= thousandths * (units[u].ns / 1000);
                n += (size_t)snprintf(
                    text + n, sizeof(text) - n, "%" PRId64 "%s", whole, units[u].name);
            }
        }
        T(wr_parse_duration((struct wr_str){text, n}, &got));
        /* Fractions go through double, as in Go, and may lose a nanosecond each. */
        got = negative ? -got : got;
        T(got <= want && got >= want - 5);
    }
}

static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t want;
    } cases[] = {
        {"0", 0},
        {"1024", 1024},
        {"1,024", 1024},
        {"12 B", 12},
        {"12b", 12},
        {"5MiB", 5 << 20},
        {"5 MB", 5000000},
        {"5m", 5000000},
        {"5mi", 5 << 20},
        {"5MIB", 5 << 20},
        {" 7 KiB ", 7 << 10},
        {"1.5k", 1500},
        {"1.5 KiB", 1536},
        {".5Ki", 512},
        {"2.", 2},
        {"1G", UINT64_C(1000000000)},
        {"1GiB", UINT64_C(1) << 30},
        {"1T", UINT64_C(1000000000000)},
        {"1TiB", UINT64_C(1) << 40},
        {"1P", UINT64_C(1000000000000000)},
        {"1PiB", UINT64_C(1) << 50},
        {"7E", UINT64_C(7000000000000000000)},
        {"7EiB", UINT64_C(7) << 60},
        {"9223372036854775807", INT64_MAX},
        {"1.9", 1},
    };
    static const char *const bad[] = {"", " ", "MiB", "-1", "+1", "1x", "1 M B", "1MiBs", "1KK",
        "1iB", "1bi", "1ib", "1 i", ",1", ".", "1.2.3", "0x10", "8EiB", "10E", "9.3E",
        "9223372036854775808", "18446744073709551616", "1\x0b\x01", "1+", "1-B"};

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        uint64_t got = 77;

        if (!wr_parse_size(wr_str(cases[i].text), &got) || got != cases[i].want)
            fail_msg("%s gave %" PRIu64, cases[i].text, got);
    }
    for (size_t i = 0; i < wr_countof(bad); i++) {
        uint64_t got = 77;

        if (wr_parse_size(wr_str(bad[i]), &got) || got != 77)
            fail_msg("\"%s\" was taken for %" PRIu64, bad[i], got);
    }
}

/* Every byte as a unit: only the letters are. */
static void test_size_unit_letters(void **state)
{
    (void)state;
    for (int c = 1; c < 256; c++) {
        char text[3] = {'1', (char)c, '\0'};
        uint64_t got;
        bool blank = c == ' ' || (c >= '\t' && c <= '\r');
        bool digit = c >= '0' && c <= '9';
        bool want = blank || digit || c == '.' || c == ',' || strchr("kmgtpebKMGTPEB", c);

        T(wr_parse_size(wr_str(text), &got) == want);
    }
}

static void test_size_products(void **state)
{
    static const char letters[] = "KMGTPE";
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 10000; i++) {
        size_t power = wr_rand_below(&r, 6);
        bool binary = wr_rand_below(&r, 2);
        uint64_t unit = 1;
        uint64_t n;
        uint64_t got = 0;
        char text[64];

        for (size_t p = 0; p <= power; p++)
            unit *= binary ? 1024 : 1000;
        n = wr_rand_below(&r, (uint64_t)INT64_MAX / unit + 1);
        (void)snprintf(text, sizeof(text), "%" PRIu64 "%s%c%s%s", n, i % 2 ? " " : "",
            letters[power], binary ? "i" : "", i % 3 ? "B" : "");
        T(wr_parse_size(wr_str(text), &got) && got == n * unit);
    }
}

T_MAIN(T_TEST(test_durations), T_TEST(test_bad_durations), T_TEST(test_duration_sums),
    T_TEST(test_sizes), T_TEST(test_size_unit_letters), T_TEST(test_size_products))
