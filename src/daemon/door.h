/*
 * door.h - the HTTP listener on `addr`: what monitoring asks a running daemon, or follower.
 *
 *     GET /metrics   figures for Prometheus
 *     GET /healthz   200 while the process does its work, else 503
 *     GET /readyz    200 while all is well, else 503
 *
 * Whoever can reach the port can read: no secrets are told, but paths and replica URLs are.
 */
#ifndef WR_DAEMON_DOOR_H
#define WR_DAEMON_DOOR_H

#include "base/base.h"
#include "base/buf.h"
#include "base/status.h"
#include "daemon/logfmt.h"

/* Each appends its answer to an empty buffer, and returns the HTTP status. One call at a time. */
struct wr_door_pages {
    int (*metrics)(void *arg, struct wr_buf *out); /* of type WR_METRICS_TYPE, if it is 200 */
    int (*healthz)(void *arg, struct wr_buf *out); /* lines of plain text */
    int (*readyz)(void *arg, struct wr_buf *out);
    void *arg; /* outlives the door */
};

struct wr_door; /* locked */

/* `addr` as wr_listen_tcp has it. */
enum wr_status wr_door_new(const char *addr, const struct wr_door_pages *pages,
    struct wr_logger *log, struct wr_door **ret, struct wr_err *e) WR_MUST_CHECK;
void wr_door_free(struct wr_door *d); /* NULL-safe */

#endif
