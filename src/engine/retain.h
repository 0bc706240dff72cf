/*
 * retain.h - which files of a replica nobody will miss. Pure: no I/O, no clock.
 *
 * A point is a TXID at which a file ends and to which a chain of files leads (plan.h). What is
 * promised are points; a file is kept because a promised point needs it, and for nothing else:
 *
 *   - the newest point, and of each level the file that reaches furthest;
 *   - of the last keep_ms, every point at which a file of level 1 or above ends, and the newest
 *     one before that, which is the state that the time begins with;
 *   - of the last l0_ms, every point.
 *
 * Time is that of the files, and counted back from the newest of them: while nothing is written
 * nothing gets old. A file from the future was made while a clock was wrong, and makes nothing old.
 */
#ifndef WR_ENGINE_RETAIN_H
#define WR_ENGINE_RETAIN_H

#include "base/base.h"
#include "base/status.h"
#include "engine/layout.h"

struct wr_retention {
    int64_t keep_ms; /* 0: for ever */
    int64_t l0_ms;   /* of files of level 0, as long as the first one is not over; 0: like others */
    /* Who reads a file has so much time after another one took its place; 0: 5 minutes. Not for
     * wr_retain. */
    int64_t grace_ms;
    int64_t now_ms; /* files from after that are from the future; 0: none is */
};

/* Set keep[i] for each of the `n` files, sorted by wr_ltx_file_cmp. Every promised point can be
 * restored from those that are kept. NOMEM. */
enum wr_status wr_retain(const struct wr_ltx_file *files, size_t n, const struct wr_retention *r,
    bool *keep, struct wr_err *e) WR_MUST_CHECK;

#endif
