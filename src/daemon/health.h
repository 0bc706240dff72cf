/*
 * health.h - what a load balancer, an orchestrator or a person asks: is it alive, is all well?
 *
 * Alive is who looks after replication and keeps no application waiting; if it is not, restart it.
 * Ready is who has everything that is committed in every replica, or on its way within the time
 * allowed (sentinel.h); if it is not, restarting will not help: read the reasons. Databases that
 * were stopped do not count, nor do those that are not there yet. One that is to be replicated and
 * could not be begun with does (absent.h). A configuration that was refused when it was read again
 * is told, and does not: all that was replicated still is.
 *
 * Answers are lines of plain text. frozen; any thread.
 */
#ifndef WR_DAEMON_HEALTH_H
#define WR_DAEMON_HEALTH_H

#include "base/base.h"
#include "base/buf.h"
#include "daemon/fleet.h"
#include "daemon/sentinel.h"

#define WR_HEALTH_TYPE "text/plain; charset=utf-8"

/* All outlive it. */
struct wr_health {
    weir *w;
    struct wr_fleet *fleet;
    struct wr_sentinel *sentinel;
};

/* Each appends its answer and returns 200 or 503. */
int wr_healthz(const struct wr_health *h, struct wr_buf *out);
/* With a line for each of up to 20 databases that are not ready, and of up to 20 absent ones, and
 * with one about a configuration that was refused. */
int wr_readyz(const struct wr_health *h, struct wr_buf *out);

/* Whether at least one database is there, and all of them are ready. For a heartbeat. */
bool wr_all_well(struct wr_sentinel *s);

#endif
