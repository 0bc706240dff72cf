/*
 * once.h - what `replicate -once` does for a database, while somebody waits for the result.
 */
#ifndef WR_DAEMON_ONCE_H
#define WR_DAEMON_ONCE_H

#include "base/base.h"
#include "daemon/logfmt.h"

#include <weir.h>

/*
 * Sync one database to all its replicas. It may take hours for a first snapshot, so there is no
 * deadline; but a database that another process holds, or a replica that does nothing but fail for
 * a minute, or is damaged each time, will not get better while somebody waits for the exit code.
 * What the others get meanwhile of an application that writes does not make it better either.
 * One bad answer is no damage: a proxy may have sent it.
 *
 * OK, or what keeps it from being synced: WEIR_* with a text.
 */
int wr_sync_once(weir_db *db, weir_cancel *cancel, weir_error *reterr);

/*
 * Of a database that was synced: a snapshot and retention if they are asked for, and in any case
 * what a process that goes on would have done for its levels by now. It may take as long as a
 * snapshot does. OK, or the first failure, with a text that begins with what it was.
 */
struct wr_once_options {
    bool force_snapshot, enforce_retention;
};
int wr_history_once(weir_db *db, const char *path, const struct wr_once_options *o,
    struct wr_logger *log, weir_cancel *cancel, weir_error *reterr);

#endif
