/*
 * recall.h - the databases of a directory by what its replicas hold: those that come back when it
 * is lost.
 */
#ifndef WR_DAEMON_RECALL_H
#define WR_DAEMON_RECALL_H

#include "base/arena.h"
#include "base/base.h"
#include "daemon/config.h"
#include "daemon/dirs.h"

#include <weir.h>

struct wr_recalled {
    struct wr_config_db *dbs; /* by ascending path; whether the files are there does not matter */
    size_t n;
    struct wr_dirs_refused *refused; /* what has a replica and cannot be brought back */
    size_t nrefused;
    const struct wr_config_replica *unseen; /* one that could not be listed, though another was */
    weir_error unseen_err;
};

/*
 * List every replica of `dir`, and make an entry of each database that is in one of them and that
 * the directory would take by its name: not those that `own` has by their path, or whose replica is
 * another one's. `own` is the configuration, of which only entries of their own count; or NULL.
 *
 * Names come from the store. Refused are those that would not stay below the directory, as they
 * have ".." or a link on their way there, or with `overwrite` are links themselves. All is in the
 * arena. A failure is that of a replica when none could be listed, or NOMEM, CANCELED.
 */
int wr_recall(weir *w, struct wr_arena *a, const struct wr_config_dir *dir,
    const struct wr_config *own, bool overwrite, weir_cancel *cancel, struct wr_recalled *ret,
    weir_error *reterr);

#endif
