/*
 * control.h - the control socket: what a running daemon can be asked and told.
 *
 * HTTP/1.1 with JSON over a socket in the file system, whose permissions are the only lock. Paths,
 * fields and status codes are Litestream's; `wait` and the fields about replicas are ours.
 *
 *     GET  /info            the process
 *     GET  /list            its databases, and how far their replicas are
 *     GET  /txid?path=P     the newest transaction that was captured
 *     POST /sync            capture what is committed, and upload it: {"path", "wait"?, "timeout"?}
 *     POST /wait            wait until a transaction is in every replica, without an upload of its
 *                           own: {"path", "txid"?, "timeout"?}
 *     POST /start, /stop    {"path", "timeout"?}
 *     POST /register        {"path", "replica_url", "persist"?}: also after a restart (registry.h)
 *     POST /unregister      {"path", "timeout"?}
 *     GET  /debug/sync-status[?path=P]
 *
 * An answer is one line. /info, /list and /debug/sync-status have "reload_refused": {"at", "error"}
 * while the configuration was refused when it was last read (refused.h). A failure is {"error":
 * "...", "details": ...?}. Timeouts are in seconds.
 */
#ifndef WR_DAEMON_CONTROL_H
#define WR_DAEMON_CONTROL_H

#include "base/base.h"
#include "base/status.h"
#include "daemon/config.h"
#include "daemon/fleet.h"
#include "daemon/logfmt.h"
#include "daemon/registry.h"

struct wr_control; /* locked */

/* Listen on c->path. `fleet`, `log` and `registry`, which may be NULL, outlive it. As
 * wr_listen_unix. */
enum wr_status wr_control_new(const struct wr_config_socket *c, struct wr_fleet *fleet,
    struct wr_registry *registry, struct wr_logger *log, struct wr_control **ret,
    struct wr_err *e) WR_MUST_CHECK;
/* Waits for requests in progress, so wr_fleet_cancel comes first. NULL-safe. */
void wr_control_free(struct wr_control *c);

#endif
