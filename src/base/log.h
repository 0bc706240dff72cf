/*
 * log.h - records with typed fields, one sink. Nothing is formatted unless the sink wants the
 * level.
 *
 * frozen after wr_log_init; the sink itself must be safe from any thread.
 *
 * Levels: error = replication of something has stopped; warn = degraded and self-healing; info =
 * state changes and what an operator asked for; debug = everything else. Below engine/, functions
 * return errors and log at debug only.
 */
#ifndef WR_BASE_LOG_H
#define WR_BASE_LOG_H

#include "base/base.h"
#include "base/str.h"

enum wr_log_level {
    WR_DEBUG,
    WR_INFO,
    WR_WARN,
    WR_ERROR,
};

enum wr_log_kind {
    WR_LOG_U64,
    WR_LOG_I64,
    WR_LOG_STR,
    WR_LOG_MS,   /* a duration in milliseconds */
    WR_LOG_TXID, /* 16 hex digits */
    WR_LOG_SECRET,
};

struct wr_log_field {
    const char *key;
    enum wr_log_kind kind;
    union {
        uint64_t u;
        int64_t i;
        struct wr_str s;
    } v;
};

#define WR_F_U64(k, x)  ((struct wr_log_field){.key = (k), .kind = WR_LOG_U64, .v.u = (x)})
#define WR_F_I64(k, x)  ((struct wr_log_field){.key = (k), .kind = WR_LOG_I64, .v.i = (x)})
#define WR_F_STR(k, x)  ((struct wr_log_field){.key = (k), .kind = WR_LOG_STR, .v.s = (x)})
#define WR_F_Z(k, x)    ((struct wr_log_field){.key = (k), .kind = WR_LOG_STR, .v.s = wr_str(x)})
#define WR_F_MS(k, x)   ((struct wr_log_field){.key = (k), .kind = WR_LOG_MS, .v.i = (x)})
#define WR_F_TXID(k, x) ((struct wr_log_field){.key = (k), .kind = WR_LOG_TXID, .v.u = (x)})

typedef void wr_log_sink(void *arg, enum wr_log_level level, const char *msg,
    const struct wr_log_field *fields, size_t n);

struct wr_log {
    wr_log_sink *sink; /* NULL: silent */
    void *arg;
    enum wr_log_level min_level;
};

void wr_log_emit(const struct wr_log *l, enum wr_log_level level, const char *msg,
    const struct wr_log_field *fields, size_t n);

/* A record without a field does not compile: every line says which database it is about. `l` may be
 * NULL, which is silent. */
#define wr_log(l, level, msg, ...)                                               \
    wr_log_emit((l), (level), (msg), (const struct wr_log_field[]){__VA_ARGS__}, \
        sizeof((const struct wr_log_field[]){__VA_ARGS__}) / sizeof(struct wr_log_field))

struct wr_buf;
/* The fields as one JSON object, strings escaped, durations in milliseconds, secrets as "***". */
void wr_log_json(struct wr_buf *out, const struct wr_log_field *fields, size_t n);
/* The fields as `key=value key="two words"`, durations as "1m1.5s", as Litestream's text format. */
void wr_log_text(struct wr_buf *out, const struct wr_log_field *fields, size_t n);

#endif
