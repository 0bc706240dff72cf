/*
 * standing.h - where a database stands, as one judgement over it and all its replicas.
 */
#ifndef WR_DAEMON_STANDING_H
#define WR_DAEMON_STANDING_H

#include "base/base.h"

#include <weir.h>

struct wr_standing {
    const char *word; /* "replicating", "open" (it fails, or is not there yet) or "stopped" */
    weir_db_info db;  /* = {0} when stopped */
    /* Unix ms: when the replica that is worst off was last known to hold all that was captured: now
     * for one that does and answers; 0: never, or the database is not there. */
    int64_t last_sync_ms;
    weir_txid replicated; /* every replica has that */
    bool behind;          /* some replica lacks what was captured */
};

/* `db` is NULL: it is stopped. */
void wr_standing(weir_db *db, struct wr_standing *ret);

#endif
