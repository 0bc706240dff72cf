/*
 * logfmt.c - log lines, as the original writes them, so that scrapers keep working.
 *
 *     text    time=2026-11-22T18:43:13.065Z level=INFO msg="initialized db" path=/p/app.db
 *     json    {"time":"2026-11-22T18:43:13.065Z","level":"INFO","msg":"...","path":"/p/app.db"}
 *     pretty  18:43:13 INF initialized db path=/p/app.db
 *
 * The fields come formatted from the library; this file puts a time, a level and a message before
 * them and knows nothing of what they say.
 */
#include "daemon/logfmt.h"

#include "base/url.h"

#include <errno.h>
#include <unistd.h>

#include <weir.h>

#define LINE_MAX_BYTES ((size_t)64 << 10)

static const char *level_text(int level)
{
    switch (level) {
    case WEIR_LOG_DEBUG:
        return "DEBUG";
    case WEIR_LOG_WARN:
        return "WARN";
    case WEIR_LOG_ERROR:
        return "ERROR";
    default:
        return "INFO";
    }
}

/* RFC 3339 in local time with milliseconds: "2026-11-22T19:43:13.065+01:00", "Z" for UTC. */
static void put_time(struct wr_buf *out, int64_t wall_ms)
{
    int64_t seconds = wall_ms / 1000, ms = wall_ms % 1000;
    struct tm tm = {0};
    char date[40], zone[16];
    time_t t;

    if (ms < 0) {
        ms += 1000;
        seconds--;
    }
    t = (time_t)seconds;
    if (!localtime_r(&t, &tm) || !strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm) ||
        strftime(zone, sizeof(zone), "%z", &tm) != 5) {
        wr_buf_fmt(out, "%lld", (long long)wall_ms);
        return;
    }
    wr_buf_fmt(out, "%s.%03d", date, (int)ms);
    if (memcmp(zone + 1, "0000", 4) == 0)
        wr_buf_byte(out, 'Z');
    else
        wr_buf_fmt(out, "%.3s:%s", zone, zone + 3);
}

static void put_text(struct wr_buf *out, const struct wr_log_line *line)
{
    const struct wr_log_field msg = WR_F_Z("msg", line->message);

    wr_buf_z(out, "time=");
    put_time(out, line->wall_ms);
    wr_buf_fmt(out, " level=%s ", level_text(line->level));
    wr_log_text(out, &msg, 1);
    if (line->text_fields && line->text_fields[0]) {
        wr_buf_byte(out, ' ');
        wr_buf_z(out, line->text_fields);
    }
}

static void put_json(struct wr_buf *out, const struct wr_log_line *line)
{
    const struct wr_log_field msg = WR_F_Z("msg", line->message);
    struct wr_str fields = wr_str(line->json_fields);
    size_t at;

    wr_buf_z(out, "{\"time\":\"");
    put_time(out, line->wall_ms);
    wr_buf_fmt(out, "\",\"level\":\"%s\",", level_text(line->level));
    at = out->n;
    wr_log_json(out, &msg, 1);
    if (wr_buf_status(out) != WR_OK)
        return;
    /* Two objects become one: without the inner braces, and with a comma if both have members. */
    memmove(out->p + at, out->p + at + 1, out->n - at - 1);
    out->n -= 2;
    if (fields.n > 2 && fields.p[0] == '{') {
        wr_buf_byte(out, ',');
        wr_buf_str(out, wr_str_skip(fields, 1));
    } else {
        wr_buf_byte(out, '}');
    }
}

static void put_pretty(struct wr_buf *out, const struct wr_log_line *line)
{
    time_t t = (time_t)(line->wall_ms / 1000);
    struct tm tm = {0};
    char clock[16];

    if (localtime_r(&t, &tm) && strftime(clock, sizeof(clock), "%H:%M:%S ", &tm))
        wr_buf_z(out, clock);
    wr_buf_fmt(out, "%.3s %s", line->level == WEIR_LOG_WARN ? "WRN" : level_text(line->level),
        line->message);
    if (line->text_fields && line->text_fields[0]) {
        wr_buf_byte(out, ' ');
        wr_buf_z(out, line->text_fields);
    }
}

void wr_logfmt(struct wr_buf *out, enum wr_log_format format, const struct wr_log_line *line)
{
    switch (format) {
    case WR_LOG_FORMAT_TEXT:
        put_text(out, line);
        break;
    case WR_LOG_FORMAT_JSON:
        put_json(out, line);
        break;
    case WR_LOG_FORMAT_PRETTY:
        put_pretty(out, line);
        break;
    }
    wr_buf_byte(out, '\n');
}

void wr_logger_init(struct wr_logger *l, int fd, enum wr_log_format format, int level)
{
    *l = (struct wr_logger){.clock = wr_clock_system(), .fd = fd, .format = format, .level = level};
    wr_mutex_init(&l->mutex);
}

void wr_logger_release(struct wr_logger *l)
{
    wr_mutex_release(&l->mutex);
}

static void write_all(int fd, const uint8_t *p, size_t n)
{
    while (n) {
        ssize_t done = write(fd, p, n);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return;
        p += done;
        n -= (size_t)done;
    }
}

void wr_logger_write(
    void *arg, int level, const char *message, const char *json_fields, const char *text_fields)
{
    struct wr_logger *l = arg;
    struct wr_log_line line = {
        .level = level,
        .message = message,
        .json_fields = json_fields,
        .text_fields = text_fields,
    };
    struct wr_buf buf;

    if (level < l->level)
        return;
    wr_buf_init(&buf, LINE_MAX_BYTES);
    line.wall_ms = wr_wall_ms(l->clock);
    wr_logfmt(&buf, l->format, &line);
    if (wr_buf_status(&buf) == WR_OK) {
        wr_mutex_lock(&l->mutex); /* a line longer than a pipe's buffer is written in parts */
        write_all(l->fd, buf.p, buf.n);
        wr_mutex_unlock(&l->mutex);
    }
    wr_buf_release(&buf);
}

void wr_logger_log(struct wr_logger *l, int level, const char *message,
    const struct wr_log_field *fields, size_t n)
{
    struct wr_buf json, text;

    if (level < l->level)
        return;
    wr_buf_init(&json, LINE_MAX_BYTES);
    wr_buf_init(&text, LINE_MAX_BYTES);
    wr_log_json(&json, fields, n);
    wr_log_text(&text, fields, n);
    wr_buf_byte(&json, 0);
    wr_buf_byte(&text, 0);
    if (wr_buf_status(&json) == WR_OK && wr_buf_status(&text) == WR_OK)
        wr_logger_write(l, level, message, (const char *)json.p, (const char *)text.p);
    wr_buf_release(&json);
    wr_buf_release(&text);
}

struct wr_str wr_safe_url(struct wr_arena *a, const char *url)
{
    struct wr_str r = wr_url_redact(a, wr_str(url));

    return r.p ? r : WR_STR("?");
}
