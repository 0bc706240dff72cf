/*
 * crew.h - the same work on numbered pieces, done by several threads at once.
 *
 * For reads whose cost is waiting: listings' times, page indexes, ranges of pages. What has an
 * order and costs computing is packers.h's.
 */
#ifndef WR_ENGINE_CREW_H
#define WR_ENGINE_CREW_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"

#define WR_CREW_MAX 64 /* threads, the caller's included */

/* Do piece `i` as worker `w`. Worker 0 is the thread that called wr_crew_run; one worker does one
 * piece at a time. `c` is the worker's own: its scratch is reset after each piece. */
typedef enum wr_status wr_crew_fn(
    void *arg, unsigned w, size_t i, struct wr_call *c, struct wr_err *e);

/* Run `fn` for every i below `n`, handed out in ascending order to at most `threads` workers (1 to
 * WR_CREW_MAX; fewer if threads cannot be had). Returns when all have come to rest: with the first
 * failure, after which nothing more is handed out, or CANCELED or TIMEOUT with `what` in the text
 * when the call says so between pieces. */
enum wr_status wr_crew_run(struct wr_call *c, unsigned threads, size_t n, const char *what,
    wr_crew_fn *fn, void *arg, struct wr_err *e) WR_MUST_CHECK;

#endif
