/*
 * reload.h - a configuration that has changed while its databases are replicated.
 */
#ifndef WR_DAEMON_RELOAD_H
#define WR_DAEMON_RELOAD_H

#include "base/base.h"
#include "daemon/config.h"
#include "daemon/fleet.h"
#include "daemon/logfmt.h"
#include "daemon/outcome.h"

#include <weir.h>

struct wr_reload {
    weir *w;
    struct wr_fleet *fleet;
    struct wr_logger *log;
    weir_cancel *cancel;
    int64_t last_sync_ms;       /* for a database that goes, or begins anew */
    struct wr_outcome *outcome; /* of wr_reload_apply; NULL: nobody asks */
};

/* Make the fleet, which is as `old` says but for what was asked for at run time, as `now` says, and
 * log each difference: databases that are gone end with a last sync, changed ones do and begin
 * anew, new ones begin, and so do those that are missing for whatever reason. The others are not
 * disturbed, nor those that `old` did not have. What else has changed is logged as needing a
 * restart. A failure of one keeps none of the others; what could not be added is noted as absent.
 */
void wr_reload_apply(
    const struct wr_reload *r, const struct wr_config *old, const struct wr_config *now);

/* Begin once more with those of `now` that are noted as absent. What fails for the same reason as
 * before is not logged, nor is what was canceled. Not while another thread is in wr_reload_apply.
 */
void wr_reload_again(const struct wr_reload *r, const struct wr_config *now);

#endif
