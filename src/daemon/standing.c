/*
 * standing.c - see standing.h.
 */
#include "daemon/standing.h"

#include "base/clock.h"

void wr_standing(weir_db *db, struct wr_standing *ret)
{
    int64_t now_ms = wr_wall_ms(wr_clock_system());
    weir_replica_info r = {.struct_size = sizeof(r)};
    bool fails = false, first = true;

    *ret = (struct wr_standing){.word = "stopped", .db = {.struct_size = sizeof(ret->db)}};
    if (!db || weir_db_status(db, &ret->db, NULL) != WEIR_OK)
        return;
    for (uint32_t i = 0; weir_replica_status(db, i, &r, NULL) == WEIR_OK; i++) {
        bool has_some = ret->db.txid > 0 && r.txid > 0; /* that it answered is no sync yet */
        bool has_all = has_some && r.txid >= ret->db.txid && r.error_code == WEIR_OK;
        int64_t synced_ms = has_all ? now_ms : has_some ? r.last_ok_ms : 0;

        ret->last_sync_ms = first ? synced_ms : wr_min(ret->last_sync_ms, synced_ms);
        ret->replicated = first ? r.txid : wr_min(ret->replicated, r.txid);
        ret->behind = ret->behind || !has_all;
        fails = fails || r.error_code != WEIR_OK;
        first = false;
    }
    ret->word =
        fails || ret->db.error_code != WEIR_OK || ret->db.txid == 0 ? "open" : "replicating";
}
