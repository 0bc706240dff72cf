/*
 * door.h - the HTTP listener on `addr`: what monitoring asks a running daemon.
 *
 *     GET /metrics   figures for Prometheus (metrics.h)
 *     GET /healthz   200 while the process does its work, else 503 (health.h)
 *     GET /readyz    200 while every database is in its replicas, else 503
 *
 * Whoever can reach the port can read: no secrets are told, but paths and replica URLs are.
 */
#ifndef WR_DAEMON_DOOR_H
#define WR_DAEMON_DOOR_H

#include "base/base.h"
#include "base/status.h"
#include "daemon/health.h"
#include "daemon/logfmt.h"
#include "daemon/metrics.h"

struct wr_door; /* locked */

/* `addr` as wr_listen_tcp has it. `metrics` and `health` outlive it. */
enum wr_status wr_door_new(const char *addr, struct wr_metrics *metrics,
    const struct wr_health *health, struct wr_logger *log, struct wr_door **ret,
    struct wr_err *e) WR_MUST_CHECK;
void wr_door_free(struct wr_door *d); /* NULL-safe */

#endif
