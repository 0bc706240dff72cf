/*
 * missing.h - a database that is not there, brought back before it is replicated.
 */
#ifndef WR_DAEMON_MISSING_H
#define WR_DAEMON_MISSING_H

#include "base/arena.h"
#include "daemon/config.h"
#include "daemon/logfmt.h"

#include <weir.h>

/* Unless it exists, restore it from the replica that reaches furthest, or the next one where that
 * has no backup after all; the one is *ret then, and stays as it was otherwise. OK as well where
 * no replica has a backup. */
int wr_restore_missing(weir *w, const struct wr_config_db *db, struct wr_logger *log,
    struct wr_arena *a, weir_cancel *cancel, const struct wr_config_replica **ret,
    weir_error *reterr);

#endif
