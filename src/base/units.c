/*
 * units.c - quantities as people write them: durations and sizes.
 *
 *   duration  = [sign] ( "0" | 1*( decimal unit ) )       unit: ns us ms s m h, and d w
 *   size      = decimal *space [ (K M G T P E) [i] ] [B]  any case; commas may group the digits
 *   decimal   = digits [ "." [digits] ] | "." digits
 *
 * Durations follow Go's time.ParseDuration to the bit, including its floating-point fractions, so
 * that a configuration means what it meant; days and weeks are ours. Knows no default unit: a bare
 * number is a size in bytes, and no duration at all.
 */
#include "base/str.h"

struct decimal {
    uint64_t whole;
    uint64_t fraction; /* digits after the point, as many as fit ... */
    double scale;      /* ... and ten to the power of their count */
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits into *ret up to INT64_MAX + 1, skipping commas if allowed; false when over. */
static bool take_whole(struct wr_str *s, bool commas, uint64_t *ret, size_t *digits)
{
    const uint64_t max = (uint64_t)INT64_MAX + 1;

    for (; s->n; *s = wr_str_skip(*s, 1)) {
        uint64_t digit;

        if (commas && s->p[0] == ',' && *digits)
            continue;
        if (!is_digit(s->p[0]))
            break;
        digit = (uint64_t)(s->p[0] - '0');
        if (*ret > (max - digit) / 10)
            return false;
        *ret = *ret * 10 + digit;
        ++*digits;
    }
    return true;
}

/* Read a decimal off the front of *s; false when there is none or it is too large. */
static bool take_decimal(struct wr_str *s, bool commas, struct decimal *ret)
{
    size_t digits = 0;
    bool full = false;

    *ret = (struct decimal){.scale = 1};
    if (!take_whole(s, commas, &ret->whole, &digits))
        return false;
    if (s->n && s->p[0] == '.') {
        *s = wr_str_skip(*s, 1);
        for (; s->n && is_digit(s->p[0]); *s = wr_str_skip(*s, 1)) {
            uint64_t digit = (uint64_t)(s->p[0] - '0');

            digits++;
            full = full || ret->fraction > ((uint64_t)INT64_MAX - digit) / 10;
            if (full)
                continue; /* beyond any precision a unit has */
            ret->fraction = ret->fraction * 10 + digit;
            ret->scale *= 10;
        }
    }
    return digits > 0;
}

/* The decimal times the unit, cut to a whole number; false above `max`. */
static bool multiply(const struct decimal *d, uint64_t unit, uint64_t max, uint64_t *ret)
{
    uint64_t fraction = (uint64_t)((double)d->fraction * ((double)unit / d->scale));

    if (d->whole > max / unit || fraction > max - d->whole * unit)
        return false;
    *ret = d->whole * unit + fraction;
    return true;
}

/* Read a duration's unit, which extends to the next number, in nanoseconds; 0 when it is none. */
static uint64_t take_time_unit(struct wr_str *s)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {
        {"ns", 1},
        {"us", 1000},
        {"\xc2\xb5s", 1000}, /* U+00B5 micro sign */
        {"\xce\xbcs", 1000}, /* U+03BC Greek mu */
        {"ms", 1000000},
        {"s", 1000000000},
        {"m", UINT64_C(60) * 1000000000},
        {"h", UINT64_C(3600) * 1000000000},
        {"d", UINT64_C(24) * 3600 * 1000000000},
        {"w", UINT64_C(7) * 24 * 3600 * 1000000000},
    };
    struct wr_str unit = {s->p, 0};

    while (unit.n < s->n && s->p[unit.n] != '.' && !is_digit(s->p[unit.n]))
        unit.n++;
    *s = wr_str_skip(*s, unit.n);
    for (size_t i = 0; i < wr_countof(units); i++) {
        if (wr_str_eq(unit, wr_str(units[i].name)))
            return units[i].ns;
    }
    return 0;
}

bool wr_parse_duration(struct wr_str s, int64_t *ret_ns)
{
    const uint64_t max = (uint64_t)INT64_MAX + 1; /* the magnitude of INT64_MIN */
    uint64_t sum = 0;
    bool negative = false;

    if (s.n && (s.p[0] == '-' || s.p[0] == '+')) {
        negative = s.p[0] == '-';
        s = wr_str_skip(s, 1);
    }
    if (s.n == 0)
        return false;
    if (wr_str_eq(s, WR_STR("0"))) {
        *ret_ns = 0;
        return true;
    }
    while (s.n) {
        struct decimal d;
        uint64_t unit;
        uint64_t part;

        if (!take_decimal(&s, false, &d))
            return false;
        unit = take_time_unit(&s);
        if (unit == 0 || !multiply(&d, unit, max, &part) || part > max - sum)
            return false;
        sum += part;
    }
    if (sum == max && !negative)
        return false;
    if (!negative)
        *ret_ns = (int64_t)sum;
    else
        *ret_ns = sum ? -1 - (int64_t)(sum - 1) : 0;
    return true;
}

/* The bytes in a size's unit; 0 when it is none. */
static uint64_t size_unit(struct wr_str s)
{
    static const char letters[] = "kmgtpe";
    uint64_t unit = 1;
    uint64_t base = 1000;
    const char *at;

    if (s.n && (s.p[s.n - 1] == 'b' || s.p[s.n - 1] == 'B'))
        s.n--;
    if (s.n == 0)
        return 1;
    if (s.n == 2 && (s.p[1] == 'i' || s.p[1] == 'I')) {
        base = 1024;
        s.n--;
    }
    if (s.n != 1)
        return 0;
    at = memchr(letters, s.p[0] | 0x20, sizeof(letters) - 1); /* bit 5 makes capitals small */
    if (!at)
        return 0;
    for (const char *l = letters; l <= at; l++)
        unit *= base;
    return unit;
}

bool wr_parse_size(struct wr_str s, uint64_t *ret_bytes)
{
    struct decimal d;
    uint64_t unit;

    s = wr_str_trim(s);
    if (!take_decimal(&s, true, &d))
        return false;
    unit = size_unit(wr_str_trim(s));
    return unit != 0 && multiply(&d, unit, INT64_MAX, ret_bytes);
}
