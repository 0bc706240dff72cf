/*
 * watchdir.h - directories of the configuration with `watch: true`: databases that appear in them
 * are replicated, and those that are deleted are not any more.
 *
 * A thread of its own, woken by inotify, and once a minute because hints get lost.
 */
#ifndef WR_DAEMON_WATCHDIR_H
#define WR_DAEMON_WATCHDIR_H

#include "base/arena.h"
#include "base/base.h"
#include "base/status.h"
#include "daemon/config.h"
#include "daemon/fleet.h"
#include "daemon/logfmt.h"

struct wr_watchdir; /* locked */

/* `c` is what the fleet was begun with; it, `fleet` and `log` outlive it. A database that is
 * deleted has `last_sync_ms` for its last sync. *ret is NULL, and all is well, where no directory
 * is watched. */
enum wr_status wr_watchdir_new(const struct wr_config *c, struct wr_fleet *fleet,
    struct wr_logger *log, int64_t last_sync_ms, struct wr_watchdir **ret,
    struct wr_err *e) WR_MUST_CHECK;
/* Waits for what it does, so wr_fleet_cancel comes first where that matters. NULL-safe. */
void wr_watchdir_stop(struct wr_watchdir *w);
/* After stop: `c` as it is by now, without what was removed and with what was added. The list is in
 * the arena, what it points to lives as long as `w` and `c`. NOMEM. */
enum wr_status wr_watchdir_config(
    const struct wr_watchdir *w, struct wr_arena *a, struct wr_config *ret) WR_MUST_CHECK;
void wr_watchdir_free(struct wr_watchdir *w); /* after stop; NULL-safe */

#endif
