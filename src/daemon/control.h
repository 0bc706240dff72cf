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
 *     POST /reload          read the configuration again: {"timeout"?}
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
#include "daemon/reloading.h"

struct wr_control; /* locked */

/* What it shows and changes; all of it outlives the socket. */
struct wr_control_for {
    struct wr_fleet *fleet;
    struct wr_registry *registry;   /* NULL: the configuration has none */
    struct wr_reloading *reloading; /* NULL: nothing can be reloaded */
};
/* Listen on c->path. As wr_listen_unix. `log` outlives it. */
enum wr_status wr_control_new(const struct wr_config_socket *c, const struct wr_control_for *what,
    struct wr_logger *log, struct wr_control **ret, struct wr_err *e) WR_MUST_CHECK;
/* Waits for requests in progress, so wr_fleet_cancel and wr_reloading_over come first. NULL-safe.
 */
void wr_control_free(struct wr_control *c);

#endif
