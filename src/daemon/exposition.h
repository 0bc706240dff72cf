/*
 * exposition.h - Prometheus' text format 0.0.4, line by line:
 *
 *     # HELP name What it is, in a line.
 *     # TYPE name counter
 *     name{label="value",other="value"} 12.5
 *
 * Lines of one name follow each other. In HELP backslash and line feed are escaped, in values of
 * labels the double quote as well. A path may hold bytes that are no UTF-8, which a scraper would
 * refuse with all the rest: they read \xff, with a backslash that is escaped.
 */
#ifndef WR_DAEMON_EXPOSITION_H
#define WR_DAEMON_EXPOSITION_H

#include "base/base.h"
#include "base/buf.h"

#define WR_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

void wr_expo_head(struct wr_buf *out, const char *name, const char *type, const char *help);
/* name="value", escaped, with a comma before it if there is something in `labels` already. */
void wr_expo_label(struct wr_buf *labels, const char *name, const char *value);
/* `labels`: as they stand between the braces; empty: none. The value is `n` / `parts`, `parts` a
 * power of ten, exactly. */
void wr_expo_line(
    struct wr_buf *out, const char *name, struct wr_str labels, uint64_t n, uint64_t parts);

/* All of a name that has one line. */
void wr_expo_gauge(struct wr_buf *out, const char *name, const char *help, const char *labels,
    uint64_t n, uint64_t parts);
void wr_expo_counter(struct wr_buf *out, const char *name, const char *help, uint64_t n);

#endif
