/*
 * barrier.h - the moment from which a program may use databases: when they are replicated.
 */
#ifndef WR_DAEMON_BARRIER_H
#define WR_DAEMON_BARRIER_H

#include "daemon/fleet.h"
#include "daemon/logfmt.h"
#include "daemon/signals.h"

#include <weir.h>

/* Wait until each database of the fleet that exists is attached, so that nothing that is committed
 * from then on can be missed, and it is known of each of its replicas where it stands. After
 * `timeout_ms` what is not so is logged, and it is OK all the same: a store that is out of reach
 * must not keep an application down. OK as well when asked to stop.
 *
 * What will never be so is told at once: CONFLICT, a replica is another database's, or written to
 * by another process; UNSUPPORTED; BUSY, another process has the database, which is waited for
 * first. */
int wr_barrier_wait(struct wr_fleet *f, struct wr_signals *s, struct wr_logger *log,
    int64_t timeout_ms, weir_error *reterr);

#endif
