/*
 * publish.c - what callers may see of a database, as its last step has left it.
 */
#include "engine/primary_replicas.h"

#include "sqlite/wal.h"

static const char *const state_names[DB_STATE_MAX] = {
    [DB_CLOSED] = "closed",
    [DB_WAITING] = "waiting",
    [DB_OPENING] = "opening",
    [DB_COLD] = "cold",
    [DB_PROVING] = "proving",
    [DB_SYNCING] = "syncing",
    [DB_CHECKPOINT] = "checkpoint",
    [DB_BROKEN] = "broken",
};

void wr_db_renumber_syncs(struct wr_db *db)
{
    wr_mutex_lock(&db->mutex);
    db->sync_txid = db->txid + !wr_pageset_empty(&db->dirty);
    db->acked = 0; /* counted in other numbers; the end of the step tells anew */
    wr_mutex_unlock(&db->mutex);
    wr_db_works_renumber(db);
}

static uint64_t wal_bytes(const struct wr_db *db, uint32_t frames)
{
    return db->conn && frames > 0 ? wr_frame_offset(frames + 1, db->view.page_size) : 0;
}

/* Whether the TXID that the replica says it has counts in this history. COLD it is at rest, and all
 * that have not stopped have all of it. */
static bool is_safe(const struct wr_db *db, const struct db_replica *dr)
{
    return db->state == DB_COLD ? dr->now->state != WR_REPLICA_STOPPED
                                : dr->joined && dr->now->pos.whole;
}

void wr_db_publish(struct wr_db *db, uint64_t taken, bool captured)
{
    bool any;
    uint64_t acked = db->state == DB_COLD ? db->cold_txid : wr_db_acked(db, &any);

    db->status.state = state_names[db->state];
    db->status.txid = db->state == DB_COLD ? db->cold_txid : db->txid;
    if (db->state != DB_COLD) /* of which the size is still known */
        db->status.commit = db->view.commit;
    db->status.wal_frames = db->conn ? db->seen.mx_frame : 0;
    db->status.wal_bytes = wal_bytes(db, db->seen.mx_frame);
    db->status.wal_file_bytes = wal_bytes(db, db->wal_high);
    db->status.disk_full = db->no_rooms > 0 || (db->warned & DB_WARNED_FULL) != 0;
    db->status.safe = 0;
    for (size_t i = 0; i < db->n_replicas; i++)
        db->status.safe |= (uint8_t)(is_safe(db, &db->replicas[i]) << i);
    db->status.proven = db->state == DB_SYNCING || db->state == DB_COLD;
    if (db->state == DB_SYNCING && wr_pageset_empty(&db->dirty))
        db->closed_count = db->pos_count;
    db->status.closed_count = db->closed_count;
    wr_mutex_lock(&db->mutex);
    db->shared = db->status;
    wr_text_set(&db->shared_why, wr_text(&db->why));
    db->acked = acked;
    if (db->state == DB_WAITING) /* this step has looked: no other leaves it so */
        db->tickets_void = taken;
    if (captured) {
        db->tickets_done = taken;
        db->sync_txid = db->status.txid;
    }
    wr_cond_broadcast(&db->cond);
    wr_mutex_unlock(&db->mutex);
}
