/*
 * again.h - a thread that tries again what could not be begun with (absent.h): databases of a
 * configuration that was read again, and registered ones.
 *
 * Ten seconds after the attempt that failed, then less and less often, every five minutes in the
 * end; for what stands in the way goes away by itself: a store is out of reach, another database
 * has the URL. It ends when there is nothing left to try. What is in a watched directory is tried
 * there.
 */
#ifndef WR_DAEMON_AGAIN_H
#define WR_DAEMON_AGAIN_H

#include "base/base.h"
#include "base/status.h"
#include "daemon/registry.h"
#include "daemon/reload.h"

struct wr_again; /* locked */

struct wr_again_opts {
    struct wr_reload reload;        /* but for `cancel`, which is ours */
    const struct wr_config *config; /* that counts */
    struct wr_registry *registry;   /* NULL: there is none */
    int64_t first_ms, most_ms;      /* until the first attempt, and between two; 0: as above */
};

/* *ret is NULL, and all is well, where nothing is absent. All that `o` names outlives it; nobody
 * else changes the fleet by a configuration while it is there. */
enum wr_status wr_again_new(
    const struct wr_again_opts *o, struct wr_again **ret, struct wr_err *e) WR_MUST_CHECK;
/* An attempt at once, and the times from their beginning. NULL-safe. */
void wr_again_now(struct wr_again *a);
/* Cancels a restore that goes on, and waits for the rest. NULL-safe. */
void wr_again_free(struct wr_again *a);

#endif
