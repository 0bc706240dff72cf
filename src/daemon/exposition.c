/*
 * exposition.c - see exposition.h.
 */
#include "daemon/exposition.h"

#include <inttypes.h>

static void escape(struct wr_buf *out, struct wr_str s, bool quotes)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t length;

    for (size_t i = 0; i < s.n; i += length) {
        length = wr_utf8_length(p + i, s.n - i);
        if (length == 0) {
            wr_buf_fmt(out, "\\\\x%02x", p[i]);
            length = 1;
        } else if (p[i] == '\n') {
            wr_buf_z(out, "\\n");
        } else if (p[i] == '\\' || (quotes && p[i] == '"')) {
            wr_buf_byte(out, '\\');
            wr_buf_byte(out, p[i]);
        } else {
            wr_buf_put(out, p + i, length);
        }
    }
}

void wr_expo_label(struct wr_buf *labels, const char *name, const char *value)
{
    wr_buf_fmt(labels, "%s%s=\"", labels->n > 0 ? "," : "", name);
    escape(labels, wr_str(value), true);
    wr_buf_byte(labels, '"');
}

void wr_expo_head(struct wr_buf *out, const char *name, const char *type, const char *help)
{
    wr_buf_fmt(out, "# HELP %s ", name);
    escape(out, wr_str(help), false);
    wr_buf_fmt(out, "\n# TYPE %s %s\n", name, type);
}

void wr_expo_line(
    struct wr_buf *out, const char *name, struct wr_str labels, uint64_t n, uint64_t parts)
{
    uint64_t rest = n % parts;

    wr_buf_z(out, name);
    if (labels.n > 0) {
        wr_buf_byte(out, '{');
        wr_buf_str(out, labels);
        wr_buf_byte(out, '}');
    }
    wr_buf_fmt(out, " %" PRIu64, n / parts);
    if (rest > 0)
        wr_buf_byte(out, '.');
    for (uint64_t unit = parts / 10; rest > 0; unit /= 10) {
        wr_buf_byte(out, (uint8_t)('0' + rest / unit));
        rest %= unit;
    }
    wr_buf_byte(out, '\n');
}

void wr_expo_gauge(struct wr_buf *out, const char *name, const char *help, const char *labels,
    uint64_t n, uint64_t parts)
{
    wr_expo_head(out, name, "gauge", help);
    wr_expo_line(out, name, wr_str(labels), n, parts);
}

void wr_expo_counter(struct wr_buf *out, const char *name, const char *help, uint64_t n)
{
    wr_expo_head(out, name, "counter", help);
    wr_expo_line(out, name, WR_STR(""), n, 1);
}
