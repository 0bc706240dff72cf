/*
 * progress.h - how far a restore or a verification is, for a terminal, a log file or a program.
 *
 * owned by the thread that renders. Pure: the time comes in, text goes out.
 */
#ifndef WR_CLI_PROGRESS_H
#define WR_CLI_PROGRESS_H

#include "base/base.h"
#include "base/buf.h"

#include <weir.h>

enum wr_progress_mode {
    WR_PROGRESS_SILENT,
    WR_PROGRESS_BAR,   /* one line redrawn in place, at most ten times a second */
    WR_PROGRESS_LINES, /* a line every few seconds */
    WR_PROGRESS_JSON,  /* an object a line, once a second */
};

struct wr_progress {
    enum wr_progress_mode mode;
    int64_t start_ms, last_ms; /* monotonic */
    int32_t phase;             /* of the last look; -1: there was none */
    bool said;                 /* something was printed */
    bool drawn;                /* a bar stands on the current line */
    bool resuming;             /* that was said */
};
void wr_progress_init(struct wr_progress *p, enum wr_progress_mode mode, int64_t now_ms);

/* Append what is to be printed now, often nothing. Another phase than before is at once, if
 * anything was: of some there is nothing to tell but that they have begun, and they may take hours.
 * So is SQLite's check, always. That much is here already is said at once, to people; programs find
 * it in each object. */
void wr_progress_put(
    struct wr_progress *p, const weir_progress *x, int64_t now_ms, struct wr_buf *out);

/* Append what takes the bar off the line, so that other text can follow. */
void wr_progress_end(struct wr_progress *p, struct wr_buf *out);

/* "512 B", "1.5 kB", "12 MB": powers of 1000, two significant digits below ten. */
#define WR_SIZE_TEXT_MAX 32
void wr_size_text(char out[WR_SIZE_TEXT_MAX], uint64_t bytes);

#endif
