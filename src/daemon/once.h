/*
 * once.h - a sync that somebody waits for the result of: `replicate -once`.
 */
#ifndef WR_DAEMON_ONCE_H
#define WR_DAEMON_ONCE_H

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

#endif
