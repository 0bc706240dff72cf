/*
 * log.c - hands records to the sink, and renders fields for sinks that write text.
 *
 * JSON:  {"db":"/a b","txid":"000000000000002a","took":1500}     a duration in milliseconds
 * text:  db="/a b" txid=000000000000002a took=1.5s               a duration as Go prints it
 *
 * What a string may not show raw is escaped as in JSON in both: quotes, backslashes, control
 * characters (a terminal obeys them), and what is no UTF-8, which becomes U+FFFD. Knows nothing of
 * levels' names, time stamps, files or line ends: those are the sink's.
 */
#include "base/log.h"

#include "base/buf.h"

#include <inttypes.h>

#define SECRET_TEXT "***"

void wr_log_emit(const struct wr_log *l, enum wr_log_level level, const char *msg,
    const struct wr_log_field *fields, size_t n)
{
    if (!l || !l->sink || level < l->min_level)
        return;
    l->sink(l->arg, level, msg, fields, n);
}

/* Whether the character at `p` is one that a terminal may obey: C0, DEL, or C1 (U+0080 to U+009F).
 */
static bool is_control(const unsigned char *p)
{
    return p[0] < 0x20 || p[0] == 0x7f || (p[0] == 0xc2 && p[1] < 0xa0);
}

static void put_escaped(struct wr_buf *out, const unsigned char *p)
{
    static const char named[] = "\"\"\\\\\nn\rr\tt";

    for (size_t i = 0; i + 1 < sizeof(named); i += 2) {
        if (*p == (unsigned char)named[i]) {
            wr_buf_byte(out, '\\');
            wr_buf_byte(out, (uint8_t)named[i + 1]);
            return;
        }
    }
    wr_buf_fmt(out, "\\u%04x", (unsigned)(p[0] == 0xc2 ? p[1] : p[0]));
}

static void put_quoted(struct wr_buf *out, struct wr_str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    const unsigned char *end = p + s.n;

    wr_buf_byte(out, '"');
    while (p < end) {
        size_t length = wr_utf8_length(p, (size_t)(end - p));

        if (length == 0) {
            wr_buf_z(out, "\\ufffd");
            length = 1;
        } else if (is_control(p) || *p == '"' || *p == '\\') {
            put_escaped(out, p);
        } else {
            wr_buf_put(out, p, length);
        }
        p += length;
    }
    wr_buf_byte(out, '"');
}

/* Whether `key=value` would be misread, or would harm, without quotes. */
static bool needs_quotes(struct wr_str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t length;

    for (size_t i = 0; i < s.n; i += length) {
        length = wr_utf8_length(p + i, s.n - i);
        if (length == 0 || is_control(p + i) || p[i] == ' ' || p[i] == '=' || p[i] == '"')
            return true;
    }
    return s.n == 0;
}

static void put_text(struct wr_buf *out, struct wr_str s)
{
    if (needs_quotes(s))
        put_quoted(out, s);
    else
        wr_buf_str(out, s);
}

/* "1h2m3.5s", "850ms", "0s", as Go's Duration.String. */
static void put_duration(struct wr_buf *out, int64_t ms)
{
    uint64_t left = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
    uint64_t minutes = left / 60000;
    uint64_t fraction = left % 1000;
    int digits = 3;

    if (ms < 0)
        wr_buf_byte(out, '-');
    if (left < 1000) {
        wr_buf_fmt(out, left ? "%" PRIu64 "ms" : "%" PRIu64 "s", left);
        return;
    }
    if (minutes >= 60)
        wr_buf_fmt(out, "%" PRIu64 "h", minutes / 60);
    if (minutes)
        wr_buf_fmt(out, "%" PRIu64 "m", minutes % 60);
    wr_buf_fmt(out, "%" PRIu64, left / 1000 % 60);
    if (fraction) {
        for (; fraction % 10 == 0; digits--)
            fraction /= 10;
        wr_buf_fmt(out, ".%0*" PRIu64, digits, fraction);
    }
    wr_buf_byte(out, 's');
}

static void put_json_value(struct wr_buf *out, const struct wr_log_field *f)
{
    switch (f->kind) {
    case WR_LOG_U64:
        wr_buf_fmt(out, "%" PRIu64, f->v.u);
        break;
    case WR_LOG_I64:
    case WR_LOG_MS:
        wr_buf_fmt(out, "%" PRId64, f->v.i);
        break;
    case WR_LOG_STR:
        put_quoted(out, f->v.s);
        break;
    case WR_LOG_TXID:
        wr_buf_fmt(out, "\"%016" PRIx64 "\"", f->v.u);
        break;
    case WR_LOG_SECRET:
        wr_buf_z(out, "\"" SECRET_TEXT "\"");
        break;
    }
}

void wr_log_json(struct wr_buf *out, const struct wr_log_field *fields, size_t n)
{
    wr_buf_byte(out, '{');
    for (size_t i = 0; i < n; i++) {
        if (i)
            wr_buf_byte(out, ',');
        put_quoted(out, wr_str(fields[i].key));
        wr_buf_byte(out, ':');
        put_json_value(out, &fields[i]);
    }
    wr_buf_byte(out, '}');
}

static void put_text_value(struct wr_buf *out, const struct wr_log_field *f)
{
    switch (f->kind) {
    case WR_LOG_U64:
        wr_buf_fmt(out, "%" PRIu64, f->v.u);
        break;
    case WR_LOG_I64:
        wr_buf_fmt(out, "%" PRId64, f->v.i);
        break;
    case WR_LOG_STR:
        put_text(out, f->v.s);
        break;
    case WR_LOG_MS:
        put_duration(out, f->v.i);
        break;
    case WR_LOG_TXID:
        wr_buf_fmt(out, "%016" PRIx64, f->v.u);
        break;
    case WR_LOG_SECRET:
        wr_buf_z(out, SECRET_TEXT);
        break;
    }
}

void wr_log_text(struct wr_buf *out, const struct wr_log_field *fields, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i)
            wr_buf_byte(out, ' ');
        put_text(out, wr_str(fields[i].key));
        wr_buf_byte(out, '=');
        put_text_value(out, &fields[i]);
    }
}
