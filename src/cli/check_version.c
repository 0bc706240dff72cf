/*
 * check_version.c - see check_version.h.
 *
 *     \0 3.40.1 \0                                   sqlite3_version[]
 *     2022-12-28 14:03:47 df5c253c0b3dd249...        SQLITE_SOURCE_ID, 64 digits, or 60 and a mark
 *                                                    of who has changed it
 */
#include "cli/check_version.h"

#include <string.h>

#define TIME_SIZE 20 /* "2022-12-28 14:03:47 " */
#define HASH_MIN  40 /* digits that make it one */

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_source(const uint8_t *p, size_t n)
{
    static const char shape[] = "2ddd-dd-dd dd:dd:dd ";

    if (n < TIME_SIZE + HASH_MIN)
        return false;
    for (size_t i = 0; i < TIME_SIZE; i++)
        if (shape[i] == 'd' ? !is_digit(p[i]) : p[i] != (uint8_t)shape[i])
            return false;
    for (size_t i = TIME_SIZE; i < TIME_SIZE + HASH_MIN; i++)
        if (!is_digit(p[i]) && !(p[i] >= 'a' && p[i] <= 'f'))
            return false;
    return true;
}

/* One or two digits; how many. */
static size_t number(const uint8_t *p, size_t n, int *ret)
{
    size_t i = 0;

    *ret = 0;
    while (i < n && i < 2 && is_digit(p[i]))
        *ret = *ret * 10 + (p[i++] - '0');
    return i;
}

/* "\0" "3.40.1" "\0": its number, or 0. */
static int version_at(const uint8_t *p, size_t n)
{
    size_t at = 3, digits;
    int minor, patch;

    if (n < 8 || memcmp(p,
                     "\0"
                     "3.",
                     3) != 0)
        return 0;
    digits = number(p + at, n - at, &minor);
    at += digits;
    if (digits == 0 || at >= n || p[at] != '.')
        return 0;
    at++;
    digits = number(p + at, n - at, &patch);
    at += digits;
    return digits > 0 && at < n && p[at] == '\0' ? WR_SQLITE_VERSION(3, minor, patch) : 0;
}

void wr_version_scan(struct wr_version_scan *s, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int version;

        if (p[i] == '2' && !s->has_source)
            s->has_source = is_source(p + i, n - i);
        version = p[i] == '\0' ? version_at(p + i, n - i) : 0;
        if (!version)
            continue;
        s->several = s->several || (s->version && s->version != version);
        s->version = version;
    }
}

int wr_version_found(const struct wr_version_scan *s)
{
    return s->has_source && !s->several ? s->version : 0;
}

bool wr_version_has_reset_bug(int version)
{
    if (version < WR_SQLITE_VERSION(3, 7, 0))
        return false; /* or it is not known */
    if (version / 1000 == 3044)
        return version < WR_SQLITE_VERSION(3, 44, 6);
    if (version / 1000 == 3050)
        return version < WR_SQLITE_VERSION(3, 50, 7);
    return version < WR_SQLITE_VERSION(3, 51, 3) || version / 1000 == 3052; /* withdrawn */
}
