/*
 * call.h - what every call that may wait is given: scratch memory, a deadline, a way to stop it.
 *
 * owned by whoever started the work, for its duration.
 */
#ifndef WR_BASE_CALL_H
#define WR_BASE_CALL_H

#include "base/arena.h"
#include "base/base.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"

struct wr_call {
    struct wr_arena *scratch;     /* results that outlive the call are never put here */
    const struct wr_clock *clock; /* not NULL */
    int64_t deadline_ms;          /* monotonic; WR_NEVER: none */
    struct wr_cancel *cancel;     /* NULL: cannot be canceled */
    const struct wr_log *log;     /* NULL: silent */
};

/* OK, or CANCELED, or TIMEOUT, with `what` in the text ("upload of <key>"). */
enum wr_status wr_call_check(
    const struct wr_call *c, const char *what, struct wr_err *e) WR_MUST_CHECK;

/* Milliseconds until the deadline, 0 when past it, at most `cap`. */
int64_t wr_call_left_ms(const struct wr_call *c, int64_t cap);

/* Sleep on the call's cancel token: OK after `ms`, else CANCELED or TIMEOUT at the deadline. Only
 * net/retry.c, engine/verify_live.c and command-line loops wait this way. */
enum wr_status wr_call_sleep(const struct wr_call *c, int64_t ms, struct wr_err *e) WR_MUST_CHECK;

#endif
