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

#include "base/file_posix.h"
#include "base/url.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weir.h>

#define LINE_MAX_BYTES ((size_t)64 << 10)
#define PATIENCE_MS    1000
#define TRIES_MAX      10

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

/* That there is room for some bytes does not say for how many, and a terminal holds a writer until
 * it has them all. So it gets an end of our own, which does not: O_NONBLOCK on the one that we were
 * given would be for all who have it. -1: there is none, as for what is no pipe and no terminal. */
static int own_end(int fd)
{
    char path[32];
    struct stat s;

    if (fstat(fd, &s) != 0 || !(S_ISFIFO(s.st_mode) || isatty(fd)))
        return -1;
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return wr_posix_openat(AT_FDCWD, path, O_WRONLY | O_NONBLOCK, 0);
}

void wr_logger_init(struct wr_logger *l, int fd, enum wr_log_format format, int level)
{
    int own = own_end(fd);

    *l = (struct wr_logger){.clock = wr_clock_system(),
        .fd = own >= 0 ? own : fd,
        .owns = own >= 0,
        .format = format,
        .level = level,
        .patience_ms = PATIENCE_MS};
    wr_mutex_init(&l->mutex);
}

void wr_logger_release(struct wr_logger *l)
{
    if (l->owns)
        (void)close(l->fd); /* nothing is buffered */
    wr_mutex_release(&l->mutex);
}

/* Whether a pipe, or a socket, takes some bytes without waiting; anything else always does. */
static bool has_room(struct wr_logger *l)
{
    struct pollfd fd = {.fd = l->fd, .events = POLLOUT};
    int n;

    do
        n = poll(&fd, 1, l->lost ? 0 : l->patience_ms);
    while (n < 0 && errno == EINTR);
    return n != 0;
}

/* In pieces that a pipe takes as a whole where it takes anything. A terminal may have room for half
 * a newline, or somebody else, as a command that we run, may have taken the room since. */
static void write_line(struct wr_logger *l, struct wr_bytes line)
{
    size_t n = line.n;

    for (unsigned tries = 0; n > 0 && tries < TRIES_MAX && has_room(l); tries++) {
        ssize_t done = write(l->fd, line.p + (line.n - n), wr_min(n, (size_t)PIPE_BUF));

        if (done == 0 || (done < 0 && errno != EINTR && errno != EAGAIN))
            return;
        if (done > 0) {
            n -= (size_t)done;
            tries = 0;
        }
    }
    if (n > 0) {
        l->lost++;
        l->cut = l->cut || n < line.n;
    }
}

/* Somebody takes lines again: tell him, first of all. */
static void tell_of_lost(struct wr_logger *l)
{
    char json[64], text[64];
    struct wr_log_line line = {.wall_ms = wr_wall_ms(l->clock),
        .level = WEIR_LOG_WARN,
        .message = "log records were lost, as nobody took them",
        .json_fields = json,
        .text_fields = text};
    struct wr_buf buf;
    uint64_t lost = l->lost;

    (void)snprintf(json, sizeof(json), "{\"records\":%llu}", (unsigned long long)lost);
    (void)snprintf(text, sizeof(text), "records=%llu", (unsigned long long)lost);
    wr_buf_init(&buf, LINE_MAX_BYTES);
    if (l->cut)
        wr_buf_byte(&buf, '\n');
    wr_logfmt(&buf, l->format, &line);
    if (wr_buf_status(&buf) == WR_OK) {
        l->lost = 0;
        l->cut = false;
        write_line(l, wr_buf_bytes(&buf));
        l->lost = l->lost > 0 ? lost : 0; /* he did not even take that one, of which nobody knows */
    }
    wr_buf_release(&buf);
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
        if (l->lost > 0 && has_room(l))
            tell_of_lost(l);
        write_line(l, wr_buf_bytes(&buf));
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
