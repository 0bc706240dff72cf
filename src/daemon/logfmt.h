/*
 * logfmt.h - log records as lines of text or JSON, and the descriptor they go to.
 */
#ifndef WR_DAEMON_LOGFMT_H
#define WR_DAEMON_LOGFMT_H

#include "base/arena.h"
#include "base/base.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/sync.h"
#include "daemon/config.h"

struct wr_log_line {
    int64_t wall_ms;
    int level; /* WEIR_LOG_* */
    const char *message;
    const char *json_fields; /* one JSON object, or NULL */
    const char *text_fields; /* key=value ..., or NULL */
};

/* Append one line with its newline. Times are local, with their offset. */
void wr_logfmt(struct wr_buf *out, enum wr_log_format format, const struct wr_log_line *line);

/* Where records go. locked: any thread may log; the rest is frozen. */
struct wr_logger {
    struct wr_mutex mutex; /* one line at a time */
    const struct wr_clock *clock;
    int fd;
    bool owns; /* the descriptor: it is closed here */
    enum wr_log_format format;
    int level;       /* WEIR_LOG_*: what is below it is dropped */
    int patience_ms; /* for a reader that takes nothing */
    uint64_t lost;   /* lines that he did not take; locked */
    bool cut;        /* the last line lacks its end; locked */
};
/* `fd` has to stay open as long as the logger. */
void wr_logger_init(struct wr_logger *l, int fd, enum wr_log_format format, int level);
void wr_logger_release(struct wr_logger *l);

/* A weir_log_fn; `arg` is a struct wr_logger. A line that cannot be written is lost: there is
 * nobody left to tell. So is one that nobody takes for a second, and those after it, until somebody
 * does: then a line says how many were. */
void wr_logger_write(
    void *arg, int level, const char *message, const char *json_fields, const char *text_fields);

/* The program's own records. */
void wr_logger_log(struct wr_logger *l, int level, const char *message,
    const struct wr_log_field *fields, size_t n);

/* `url` as it may be shown, secrets as "***", in the arena; "?" when that runs out. */
struct wr_str wr_safe_url(struct wr_arena *a, const char *url);

/* As wr_log of base/log.h, with WEIR_LOG_* levels. */
#define wr_say(l, level, msg, ...)                                                 \
    wr_logger_log((l), (level), (msg), (const struct wr_log_field[]){__VA_ARGS__}, \
        sizeof((const struct wr_log_field[]){__VA_ARGS__}) / sizeof(struct wr_log_field))

#endif
