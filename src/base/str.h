/*
 * str.h - views of text and bytes. A view owns nothing; a header that keeps one past the call says
 * where it is copied.
 */
#ifndef WR_BASE_STR_H
#define WR_BASE_STR_H

#include "base/base.h"

struct wr_str {
    const char *p;
    size_t n;
};

struct wr_bytes {
    const uint8_t *p;
    size_t n;
};

#define WR_STR(lit) ((struct wr_str){"" lit, sizeof(lit) - 1}) /* of a string literal */
#define WR_FMT      "%.*s" /* printf of a view: WR_FMT, WR_ARG(s) */
#define WR_ARG(s)   (int)(s).n, (s).p

struct wr_str wr_str(const char *z); /* of a NUL-terminated string; NULL is the empty view */
bool wr_str_eq(struct wr_str a, struct wr_str b);
bool wr_str_eq_nocase(struct wr_str a, struct wr_str b); /* ASCII */
int wr_str_cmp(struct wr_str a, struct wr_str b);        /* bytewise, as strcmp orders */
bool wr_str_starts(struct wr_str s, struct wr_str prefix);
bool wr_str_ends(struct wr_str s, struct wr_str suffix);
struct wr_str wr_str_skip(struct wr_str s, size_t n); /* without its first n bytes; n <= s.n */
struct wr_str wr_str_trim(struct wr_str s);           /* without white space around it */

/* The length of the UTF-8 sequence that starts at `p`, by the table of RFC 3629; 0 when it is none:
 * truncated, overlong, a surrogate or beyond U+10FFFF. `n` > 0. */
size_t wr_utf8_length(const unsigned char *p, size_t n);

/* Split at the first `sep`: *head is what precedes it, *tail what follows. Without a `sep`, *head
 * is all of `s`, *tail empty, and false comes back. */
bool wr_str_cut(struct wr_str s, char sep, struct wr_str *head, struct wr_str *tail);
/* The same at the last `sep`. */
bool wr_str_cut_last(struct wr_str s, char sep, struct wr_str *head, struct wr_str *tail);

/* The whole view must be the number, in range, nothing else; else false and *ret untouched. */
bool wr_parse_u64(struct wr_str s, uint64_t *ret);
bool wr_parse_i64(struct wr_str s, int64_t *ret);
bool wr_parse_hex64(struct wr_str s, uint64_t *ret); /* 1 to 16 hex digits, either case */
bool wr_parse_bool(struct wr_str s, bool *ret); /* true 1 t yes on / false 0 f no off, any case */

/* Go durations: "1.5h", "300ms", "1m30s", "1us", "1ns", "0"; a leading '-' or '+'; ours too: "d"
 * and "w". A bare number other than 0 is refused. In nanoseconds. */
bool wr_parse_duration(struct wr_str s, int64_t *ret_ns);

/* "5MiB", "5 MB", "1.5g", "1,024", any case: K M G T P E are powers of 1000, Ki Mi ... of 1024. In
 * bytes, INT64_MAX at most. */
bool wr_parse_size(struct wr_str s, uint64_t *ret_bytes);

/* RFC 3339: 2006-01-02T15:04:05[.fraction](Z|+hh:mm), in UTC a year from 1 to 9999. In Unix
 * milliseconds, fraction truncated. */
bool wr_parse_time(struct wr_str s, int64_t *ret_ms);

/* Unix milliseconds as RFC 3339 UTC. Exact: ".428" with trailing zeros dropped, nothing for .000,
 * as Litestream stores it in object metadata. Outside years 1 to 9999: the nearest end of them. */
#define WR_TIME_TEXT_MAX 40
void wr_format_time(char out[WR_TIME_TEXT_MAX], int64_t ms);         /* 2026-11-22T18:54:31.42Z */
void wr_format_time_seconds(char out[WR_TIME_TEXT_MAX], int64_t ms); /* 2026-11-22T18:54:31Z */

/* Periods of the calendar, in UTC; a week begins on Monday, as ISO 8601 has it. */
enum wr_period {
    WR_PERIOD_HOUR,
    WR_PERIOD_DAY,
    WR_PERIOD_WEEK,
    WR_PERIOD_MONTH,
    WR_PERIOD_YEAR,
    WR_PERIODS
};
/* The number of the period in which a Unix time in ms lies: the next one's is greater by one. Times
 * outside of the years 1 to 9999 are taken for the first or the last instant of these. */
int64_t wr_time_period(enum wr_period period, int64_t ms);

#endif
