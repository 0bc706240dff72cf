/*
 * str.c - views: compare, split, and read plain numbers. Bytes only: no locale, no Unicode.
 *
 * Quantities with units are units.c, instants are time.c.
 */
#include "base/str.h"

struct wr_str wr_str(const char *z)
{
    return z ? (struct wr_str){z, strlen(z)} : WR_STR("");
}

bool wr_str_eq(struct wr_str a, struct wr_str b)
{
    /* memcmp wants an address even for nothing, and an empty view may have none. */
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

bool wr_str_eq_nocase(struct wr_str a, struct wr_str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    }
    return true;
}

int wr_str_cmp(struct wr_str a, struct wr_str b)
{
    size_t n = wr_min(a.n, b.n);
    int order = n ? memcmp(a.p, b.p, n) : 0;

    if (order != 0)
        return order;
    return (a.n > b.n) - (a.n < b.n);
}

bool wr_str_starts(struct wr_str s, struct wr_str prefix)
{
    return s.n >= prefix.n && wr_str_eq((struct wr_str){s.p, prefix.n}, prefix);
}

bool wr_str_ends(struct wr_str s, struct wr_str suffix)
{
    return s.n >= suffix.n && wr_str_eq(wr_str_skip(s, s.n - suffix.n), suffix);
}

struct wr_str wr_str_skip(struct wr_str s, size_t n)
{
    assert(n <= s.n);
    return n ? (struct wr_str){s.p + n, s.n - n} : s;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct wr_str wr_str_trim(struct wr_str s)
{
    while (s.n && is_space(s.p[0]))
        s = wr_str_skip(s, 1);
    while (s.n && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

/* Split at index `at`, dropping the separator there; at s.n there is none. */
static bool cut_at(struct wr_str s, size_t at, struct wr_str *head, struct wr_str *tail)
{
    bool found = at < s.n;

    *head = (struct wr_str){s.p, at};
    *tail = wr_str_skip(s, found ? at + 1 : s.n);
    return found;
}

bool wr_str_cut(struct wr_str s, char sep, struct wr_str *head, struct wr_str *tail)
{
    size_t at = 0;

    while (at < s.n && s.p[at] != sep)
        at++;
    return cut_at(s, at, head, tail);
}

bool wr_str_cut_last(struct wr_str s, char sep, struct wr_str *head, struct wr_str *tail)
{
    for (size_t at = s.n; at-- > 0;) {
        if (s.p[at] == sep)
            return cut_at(s, at, head, tail);
    }
    return cut_at(s, s.n, head, tail);
}

bool wr_parse_u64(struct wr_str s, uint64_t *ret)
{
    uint64_t v = 0;

    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        uint64_t digit = (uint64_t)(unsigned char)s.p[i] - '0';

        if (digit > 9 || v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *ret = v;
    return true;
}

bool wr_parse_i64(struct wr_str s, int64_t *ret)
{
    bool negative = s.n > 0 && s.p[0] == '-';
    uint64_t magnitude;

    if (!wr_parse_u64(negative ? wr_str_skip(s, 1) : s, &magnitude))
        return false;
    if (magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return false;
    if (!negative)
        *ret = (int64_t)magnitude;
    else /* by way of -1: the magnitude of the smallest number is not an int64_t */
        *ret = magnitude ? -1 - (int64_t)(magnitude - 1) : 0;
    return true;
}

bool wr_parse_hex64(struct wr_str s, uint64_t *ret)
{
    uint64_t v = 0;

    if (s.n == 0 || s.n > 16)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = lower(s.p[i]);

        if (c >= '0' && c <= '9')
            v = v << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *ret = v;
    return true;
}

bool wr_parse_bool(struct wr_str s, bool *ret)
{
    static const char *const yes[] = {"true", "1", "t", "yes", "on"};
    static const char *const no[] = {"false", "0", "f", "no", "off"};

    static_assert(wr_countof(yes) == wr_countof(no), "words come in pairs");
    for (size_t i = 0; i < wr_countof(yes); i++) {
        bool is_yes = wr_str_eq_nocase(s, wr_str(yes[i]));

        if (is_yes || wr_str_eq_nocase(s, wr_str(no[i]))) {
            *ret = is_yes;
            return true;
        }
    }
    return false;
}

size_t wr_utf8_length(const unsigned char *p, size_t n)
{
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    size_t length;

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    length = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (n < length)
        return 0;
    /* Only the first continuation byte has a range of its own. */
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    for (size_t i = 1; i < length; i++) {
        if (p[i] < low || p[i] > high)
            return 0;
        low = 0x80;
        high = 0xbf;
    }
    return length;
}
