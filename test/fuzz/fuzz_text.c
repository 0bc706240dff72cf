/*
 * fuzz_text.c - any text as a number, a duration, a size, an instant.
 *
 * Beyond not crashing: unsigned numbers agree with an obvious model; what has a sign agrees with
 * the same text without it; sizes fit an int64_t; an instant that was read is in years 1 to 9999
 * and is read again the same from what it is written as; and every int64_t can be written and read.
 */
#include "fuzz/fuzz.h"

/* Whether `s` is a number of at most `max`, in hex or in decimal: as texts, never as numbers. If
 * so, `plain` is how printf would write it. */
static bool number(struct wr_str s, bool hex, uint64_t max, char plain[32])
{
    char limit[32];
    size_t n = 0;

    (void)snprintf(limit, sizeof(limit), hex ? "%llx" : "%llu", (unsigned long long)max);
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (hex && c >= 'A' && c <= 'F')
            c = (char)(c - 'A' + 'a');
        if (!(c >= '0' && c <= '9') && !(hex && c >= 'a' && c <= 'f'))
            return false;
        if (n > 0 || c != '0') {
            if (n == strlen(limit))
                return false;
            plain[n++] = c;
        }
    }
    if (n == 0)
        plain[n++] = '0';
    plain[n] = '\0';
    return n < strlen(limit) || memcmp(plain, limit, n) <= 0;
}

static bool prints(uint64_t v, bool hex, const char *plain)
{
    char text[32];

    (void)snprintf(text, sizeof(text), hex ? "%llx" : "%llu", (unsigned long long)v);
    return wr_str_eq(wr_str(text), wr_str(plain));
}

static void numbers(struct wr_str s)
{
    bool minus = s.n > 0 && s.p[0] == '-', flag;
    char plain[32];
    uint64_t v = 1;
    int64_t i = 1;

    HOLDS(wr_parse_u64(s, &v) == number(s, false, UINT64_MAX, plain));
    HOLDS(!wr_parse_u64(s, &v) || prints(v, false, plain));
    HOLDS(wr_parse_hex64(s, &v) == (s.n <= 16 && number(s, true, UINT64_MAX, plain)));
    HOLDS(!wr_parse_hex64(s, &v) || prints(v, true, plain));
    HOLDS(wr_parse_i64(s, &i) ==
          number(wr_str_skip(s, minus), false, (uint64_t)INT64_MAX + minus, plain));
    HOLDS(!wr_parse_i64(s, &i) || prints(minus ? 0 - (uint64_t)i : (uint64_t)i, false, plain));
    (void)wr_parse_bool(s, &flag);
}

static void quantities(struct wr_str s)
{
    char text[300] = "-";
    int64_t ns, back;
    uint64_t bytes;

    if (wr_parse_size(s, &bytes))
        HOLDS(bytes <= INT64_MAX);
    if (!wr_parse_duration(s, &ns))
        return;
    HOLDS(s.n > 0);
    if (s.p[0] == '-' || s.p[0] == '+' || s.n >= sizeof(text) - 1)
        return;
    HOLDS(ns >= 0);
    memcpy(text + 1, s.p, s.n);
    HOLDS(wr_parse_duration((struct wr_str){text, s.n + 1}, &back) && back == -ns);
}

static void written(int64_t ms)
{
    char text[WR_TIME_TEXT_MAX];
    int64_t back, seconds;

    wr_format_time(text, ms);
    HOLDS(strlen(text) < sizeof(text) && wr_parse_time(wr_str(text), &back));
    HOLDS(back == ms || ms < INT64_C(-62135596800000) || ms > INT64_C(253402300799999));
    wr_format_time_seconds(text, ms);
    HOLDS(strlen(text) == 20 && wr_parse_time(wr_str(text), &seconds));
    HOLDS(seconds % 1000 == 0 && seconds <= back && back - seconds < 1000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_str s = {(const char *)data, size};
    struct fuzz_in in = {data, size};
    int64_t ms;

    numbers(s);
    quantities(s);
    if (wr_parse_time(s, &ms)) {
        HOLDS(ms >= INT64_C(-62135596800000) && ms <= INT64_C(253402300799999));
        written(ms);
    }
    written((int64_t)fuzz_u64(&in));
    return 0;
}
