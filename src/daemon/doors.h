/*
 * doors.h - all through which others look at a daemon and command it: the watcher, the control
 * socket, the listener for monitoring, the heartbeat, the word to the service manager.
 *
 * None of them is a reason to leave data unprotected: what cannot be had is logged, and replication
 * goes on without.
 */
#ifndef WR_DAEMON_DOORS_H
#define WR_DAEMON_DOORS_H

#include "daemon/config.h"
#include "daemon/control.h"
#include "daemon/door.h"
#include "daemon/feeds.h"
#include "daemon/fleet.h"
#include "daemon/health.h"
#include "daemon/heartbeat.h"
#include "daemon/logfmt.h"
#include "daemon/metrics.h"
#include "daemon/outcome.h"
#include "daemon/sentinel.h"
#include "daemon/service.h"

#include <weir.h>

struct wr_doors {
    struct wr_sentinel *sentinel; /* NULL, as all below: it is not there */
    struct wr_metrics *metrics;
    struct wr_health health;
    struct wr_door *door;
    struct wr_feeds *feeds;
    struct wr_control *control;
    struct wr_heartbeat *heartbeat;
};

/* What they show and change; all of it outlives them. */
struct wr_doors_for {
    weir *w;
    struct wr_fleet *fleet;
    struct wr_registry *registry; /* NULL: none is kept */
    struct wr_reloading *reloading;
    struct wr_service *service;
    struct wr_logger *log;
};
void wr_doors_open(struct wr_doors *d, const struct wr_config *c, const struct wr_doors_for *what);
/* `c` counts from here on, as far as it can without a new start: who may follow, and where. What
 * fails is logged, and put into `o`, which may be NULL. */
void wr_doors_reload(
    struct wr_doors *d, const struct wr_config *c, struct wr_logger *log, struct wr_outcome *o);
/* Waits for requests in progress, so wr_fleet_cancel comes first. One that was never opened is all
 * zero. */
void wr_doors_close(struct wr_doors *d);

#endif
