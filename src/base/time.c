/*
 * time.c - instants as text: RFC 3339 on one side, Unix milliseconds on the other.
 *
 *   2006-01-02 T 15:04:05 [ .fraction ] ( Z | (+|-)hh:mm )      without the blanks, T and Z capital
 *
 * The proleptic Gregorian calendar, years 1 to 9999, without leap seconds, by arithmetic alone: no
 * time zone files, no locale, nothing shared between threads. Knows no other time than UTC.
 */
#include "base/str.h"

#define DAYS_PER_YEAR    365
#define DAYS_PER_4_YEARS (4 * DAYS_PER_YEAR + 1)
#define DAYS_PER_CENTURY (25 * DAYS_PER_4_YEARS - 1)
#define DAYS_PER_400     (4 * DAYS_PER_CENTURY + 1)
#define DAYS_TO_UNIX     INT64_C(719162) /* from 0001-01-01 to 1970-01-01 */
#define SECONDS_PER_DAY  INT64_C(86400)
#define UNIX_SECONDS_MIN (-DAYS_TO_UNIX * SECONDS_PER_DAY)
#define UNIX_SECONDS_MAX INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

struct civil {
    int year, month, day; /* from 1 */
    int hour, minute, second;
};

static bool is_leap(int year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days of the year before the month; month 13 gives the length of the year. */
static int days_before_month(int year, int month)
{
    static const short before[] = {0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};

    return before[month] + (month > 2 && is_leap(year));
}

static int days_in_month(int year, int month)
{
    return days_before_month(year, month + 1) - days_before_month(year, month);
}

static int64_t unix_seconds(const struct civil *c)
{
    int64_t years = c->year - 1;
    int64_t days = years * DAYS_PER_YEAR + years / 4 - years / 100 + years / 400 +
                   days_before_month(c->year, c->month) + c->day - 1 - DAYS_TO_UNIX;

    return days * SECONDS_PER_DAY + c->hour * INT64_C(3600) + c->minute * INT64_C(60) + c->second;
}

/* The inverse, for seconds within the calendar's range. */
static struct civil civil_of(int64_t seconds)
{
    int64_t from_start = seconds - UNIX_SECONDS_MIN;
    int of_day = (int)(from_start % SECONDS_PER_DAY);
    int days = (int)(from_start / SECONDS_PER_DAY);
    struct civil c = {.month = 1};
    int cycles = days / DAYS_PER_400;
    int centuries;
    int fours;
    int years;

    /* A cycle, like every fourth year, ends in a day that plain division would give to a fifth
     * century, or year: hence the two limits of 3. */
    days %= DAYS_PER_400;
    centuries = wr_min(days / DAYS_PER_CENTURY, 3);
    days -= centuries * DAYS_PER_CENTURY;
    fours = days / DAYS_PER_4_YEARS;
    days %= DAYS_PER_4_YEARS;
    years = wr_min(days / DAYS_PER_YEAR, 3);
    days -= years * DAYS_PER_YEAR;

    c.year = 1 + cycles * 400 + centuries * 100 + fours * 4 + years;
    while (days >= days_before_month(c.year, c.month + 1))
        c.month++;
    c.day = 1 + days - days_before_month(c.year, c.month);
    c.hour = of_day / 3600;
    c.minute = of_day / 60 % 60;
    c.second = of_day % 60;
    return c;
}

/* Read exactly `n` digits, then `end` unless it is NUL. */
static bool take_number(struct wr_str *s, size_t n, char end, int *ret)
{
    size_t whole = n + (end ? 1 : 0);
    uint64_t v;

    if (s->n < whole || !wr_parse_u64((struct wr_str){s->p, n}, &v))
        return false;
    if (end && s->p[n] != end)
        return false;
    *s = wr_str_skip(*s, whole);
    *ret = (int)v;
    return true;
}

static bool take_civil(struct wr_str *s, struct civil *c)
{
    return take_number(s, 4, '-', &c->year) && take_number(s, 2, '-', &c->month) &&
           take_number(s, 2, 'T', &c->day) && take_number(s, 2, ':', &c->hour) &&
           take_number(s, 2, ':', &c->minute) && take_number(s, 2, '\0', &c->second) &&
           c->year >= 1 && c->month >= 1 && c->month <= 12 && c->day >= 1 &&
           c->day <= days_in_month(c->year, c->month) && c->hour < 24 && c->minute < 60 &&
           c->second < 60;
}

/* Optional ".digits", of which three count. */
static bool take_fraction(struct wr_str *s, int *ret_ms)
{
    int unit = 100;
    size_t n = 0;

    *ret_ms = 0;
    if (s->n == 0 || s->p[0] != '.')
        return true;
    *s = wr_str_skip(*s, 1);
    for (; n < s->n && s->p[n] >= '0' && s->p[n] <= '9'; n++) {
        *ret_ms += (s->p[n] - '0') * unit;
        unit /= 10;
    }
    *s = wr_str_skip(*s, n);
    return n > 0;
}

/* "Z" or an offset, in seconds east of UTC. */
static bool take_zone(struct wr_str *s, int *ret_seconds)
{
    int hours;
    int minutes;
    char sign;

    *ret_seconds = 0;
    if (s->n == 0)
        return false;
    sign = s->p[0];
    *s = wr_str_skip(*s, 1);
    if (sign == 'Z')
        return true;
    if ((sign != '+' && sign != '-') || !take_number(s, 2, ':', &hours) ||
        !take_number(s, 2, '\0', &minutes) || hours > 23 || minutes > 59)
        return false;
    *ret_seconds = (hours * 3600 + minutes * 60) * (sign == '-' ? -1 : 1);
    return true;
}

bool wr_parse_time(struct wr_str s, int64_t *ret_ms)
{
    struct civil c;
    int64_t seconds;
    int fraction_ms;
    int east;

    if (!take_civil(&s, &c) || !take_fraction(&s, &fraction_ms) || !take_zone(&s, &east) || s.n)
        return false;
    seconds = unix_seconds(&c) - east;
    if (seconds < UNIX_SECONDS_MIN || seconds > UNIX_SECONDS_MAX)
        return false; /* nobody could write it back in UTC */
    *ret_ms = seconds * 1000 + fraction_ms;
    return true;
}

/* Rounded down, also before 1970. */
static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t within_calendar(int64_t ms)
{
    return wr_min(wr_max(ms, UNIX_SECONDS_MIN * 1000), UNIX_SECONDS_MAX * 1000 + 999);
}

/* Print without zone; the milliseconds that remain. */
static int format(char out[WR_TIME_TEXT_MAX], int64_t ms, int *ret_n)
{
    int64_t clamped = within_calendar(ms);
    int64_t seconds = floor_div(clamped, 1000);
    struct civil c = civil_of(seconds);

    *ret_n = snprintf(out, WR_TIME_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d", c.year, c.month,
        c.day, c.hour, c.minute, c.second);
    return (int)(clamped - seconds * 1000);
}

void wr_format_time(char out[WR_TIME_TEXT_MAX], int64_t ms)
{
    int n;
    int fraction = format(out, ms, &n);

    if (fraction) {
        n += snprintf(out + n, WR_TIME_TEXT_MAX - (size_t)n, ".%03d", fraction);
        while (out[n - 1] == '0')
            n--;
    }
    out[n] = 'Z';
    out[n + 1] = '\0';
}

void wr_format_time_seconds(char out[WR_TIME_TEXT_MAX], int64_t ms)
{
    int n;

    (void)format(out, ms, &n); /* the milliseconds are what is to be left out */
    out[n] = 'Z';
    out[n + 1] = '\0';
}

int64_t wr_time_period(enum wr_period period, int64_t ms)
{
    int64_t seconds = floor_div(within_calendar(ms), 1000);
    struct civil c;

    switch (period) {
    case WR_PERIOD_HOUR:
        return floor_div(seconds, 3600);
    case WR_PERIOD_DAY:
        return floor_div(seconds, SECONDS_PER_DAY);
    case WR_PERIOD_WEEK: /* the first of January 1970 was a Thursday */
        return floor_div(floor_div(seconds, SECONDS_PER_DAY) + 3, 7);
    case WR_PERIOD_MONTH:
        c = civil_of(seconds);
        return c.year * INT64_C(12) + c.month - 1;
    case WR_PERIOD_YEAR:
    case WR_PERIODS:
        break;
    }
    c = civil_of(seconds);
    return c.year;
}
