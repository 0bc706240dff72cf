/*
 * standby.h - what can be asked of a process that follows: by monitoring, by a service manager.
 *
 * It is told of each step, and answers from the last one; time that has passed since then counts,
 * so that a follower which hangs does not look well. Alive is who answers: a copy that is behind
 * gets no better by a restart. Ready is whose copy was the replica's newest state, and saw the
 * replica, within half a minute or five intervals, whichever is longer.
 *
 * What cannot be had, a port or the service manager, is logged, and following goes on without.
 *
 * locked
 */
#ifndef WR_DAEMON_STANDBY_H
#define WR_DAEMON_STANDBY_H

#include "base/base.h"
#include "base/buf.h"
#include "base/clock.h"
#include "daemon/logfmt.h"

#include <weir.h>

struct wr_standby;

struct wr_standby_opts {
    const char *path; /* of the copy; the label db of its figures */
    const char *addr; /* where to listen, as wr_door_new; NULL: nowhere */
    int64_t interval_ms;
    const struct wr_clock *clock; /* NULL: the system's */
    struct wr_logger *log;
};
/* The copy is being made until the first wr_standby_note. All that `o` names outlives it. NULL: out
 * of memory. */
struct wr_standby *wr_standby_new(const struct wr_standby_opts *o);
/* A weir_follow_fn. With the first one the service manager learns that it is ready. */
void wr_standby_note(void *standby, const weir_follow_status *status);
/* Waits for the answer in progress. NULL-safe. */
void wr_standby_free(struct wr_standby *s);

/* Pages of a wr_door_pages. */
int wr_standby_metrics(void *standby, struct wr_buf *out);
int wr_standby_healthz(void *standby, struct wr_buf *out);
int wr_standby_readyz(void *standby, struct wr_buf *out);

#endif
