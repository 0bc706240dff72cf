/*
 * missing.h - a database that is not there: brought back before it is replicated, or waited for.
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

/* With the databases of those directories that have none here, as far as their replicas hold any:
 * who lost the disk has lost the list of them, too. A directory that has one is left alone: what it
 * lacks may have been deleted. *ret is `c` with entries behind its own, in the arena, or `c`. A
 * failure is that of the replicas of a directory. */
int wr_missing_dirs(weir *w, const struct wr_config *c, struct wr_logger *log, struct wr_arena *a,
    weir_cancel *cancel, const struct wr_config **ret, weir_error *reterr);

/* Warn if it does not exist, and does not seem to be one that an application is yet to make: its
 * directory is not there either, or it was replicated from here before. */
void wr_missing_warn(const struct wr_config_db *db, struct wr_logger *log);

#endif
