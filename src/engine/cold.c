/*
 * cold.c - a quiet database gives its connections back, where others have more need of them.
 *
 *   SYNCING --others want the seat, nothing is left to do--> COLD --a write, a request--> OPENING
 *
 * It is let go as at a stop (leave.c): all is captured, sent and in the database file, and the
 * ledger knows that file, so that the next attachment can tell from it alone that nothing was
 * written, or else reads what the WAL holds. Without the pin an application may checkpoint what we
 * have not seen. What tells us is the watch, which was armed before the last look, within
 * milliseconds; an application that closes the database sooner costs a comparison of all pages, and
 * no transaction. Where there is no watch, a look at the files each scan tells, as it does
 * otherwise. So what is known of the files is compared, not trusted: it must be what it was before
 * we let go, when their times were old enough for any later write to show.
 */
#include "engine/primary_replicas.h"

#include "engine/seats.h"

#define QUIETS_MAX \
    120 /* times quiet_ns: the longest that it stays, if it was called back soon ... */
#define QUIETS_SOON 12 /* ... which is within that */

/* Nobody waits for anything, the keeper's last word was heard, and nothing new is damaged. */
static bool works_rest(const struct wr_db *db, const struct db_replica *dr)
{
    for (size_t k = 0; k < WR_WORKS; k++)
        if (db->works_seen[k] > dr->works[k].done)
            return false;
    return (!dr->keeper || !wr_keeper_busy(dr->keeper)) && dr->now->unsound == dr->healed;
}

/* A replica came, or was found damaged, or is not where it was when we let go. */
static bool replicas_rest(const struct wr_db *db)
{
    for (size_t i = 0; i < db->n_replicas; i++) {
        const struct db_replica *dr = &db->replicas[i];

        if (dr->now->state == WR_REPLICA_STOPPED)
            continue;
        if (dr->now->found != dr->found_seen || !dr->now->pos.whole || !works_rest(db, dr))
            return false;
    }
    return true;
}

static bool replica_rests(const struct wr_db *db, const struct db_replica *dr)
{
    if (dr->now->state == WR_REPLICA_STOPPED)
        return true;
    for (size_t i = 0; i <= WR_LEVEL_MAX; i++)
        if (dr->history[i])
            return false;
    return dr->joined && dr->now->pos.whole && !dr->stream && dr->join_txid == 0 &&
           dr->now->queued == 0 && dr->now->pos.txid >= db->txid && works_rest(db, dr);
}

/* Whether nothing is left to do, and has not been for a while, and nobody waits for more. */
static bool rests(struct wr_db *db)
{
    int64_t now = wr_db_now_ns(db);

    if (!wr_db_armed(db) || db->recheck || db->txid == 0 || db->distrust ||
        db->doubt_ns != WR_NEVER || db->warned || db->levels_ns <= now || wr_db_proving(db) ||
        wr_db_streaming(db) || wr_db_behind(db) || !wr_pageset_empty(&db->dirty) ||
        !wr_pageset_empty(&db->unnoted) || db->seen.mx_frame > db->view.backfilled ||
        wr_db_air_wanted(db))
        return false;
    for (size_t i = 0; i < db->n_replicas; i++)
        if (!replica_rests(db, &db->replicas[i]))
            return false;
    return db->busy_ns == INT64_MIN || now - db->busy_ns >= db->quiet_ns;
}

/* What the paths name now. */
static struct db_files look(const struct wr_db *db)
{
    struct db_files f = {0};

    (void)wr_file_mark_of(db->path, &f.db);
    f.wal_there = db->wal_path && wr_file_mark_of(db->wal_path, &f.wal);
    return f;
}

static bool same(const struct db_files *a, const struct db_files *b)
{
    return wr_file_mark_equal(&a->db, &b->db) && a->wal_there == b->wal_there &&
           (!a->wal_there || wr_file_mark_equal(&a->wal, &b->wal));
}

/* False: it cannot be told from its times whether anybody writes to it meanwhile. */
static bool note_files(struct wr_db *db)
{
    struct wr_file_mark file;

    db->left = look(db);
    return wr_conn_mark_now(db->conn, 0, &file) && wr_file_mark_equal(&file, &db->left.db) &&
           (!db->left.wal_there || wr_file_time_is_old(&db->left.wal));
}

/* One that is called back again and again stays longer. No look will see it busy: what was written
 * may have come and gone. */
static void note_write(struct wr_db *db)
{
    int64_t now = wr_db_now_ns(db), quiet_ns = db->seats->quiet_ns;
    bool soon = now - db->cooled_ns < QUIETS_SOON * quiet_ns;

    db->quiet_ns = soon ? wr_min(2 * db->quiet_ns, QUIETS_MAX * quiet_ns) : quiet_ns;
    db->busy_ns = now;
}

static void warm(struct wr_db *db, bool written)
{
    if (written)
        note_write(db);
    db->undisturbed = !written;
    wr_peek_close(&db->peek);
    db->open_ns = wr_db_now_ns(db);
    wr_db_go(db, DB_OPENING);
}

bool wr_db_cool(struct wr_db *db)
{
    struct db_files after;
    uint64_t txid = db->txid;
    bool whole;

    if (!db->seats || !wr_seats_wanted(db->seats))
        return false;
    if (!rests(db) || !note_files(db)) {
        wr_db_want(db, wr_db_now_ns(db) + db->seats->quiet_ns / 4);
        return false;
    }
    db->cooled_ns = wr_db_now_ns(db);
    whole = wr_db_detach(db, true);
    wr_db_go(db, DB_COLD);
    db->cold_txid = txid;
    after = look(db);
    if (!after.wal_there) /* SQLite has removed it, as we were the last; or whoever was after us */
        db->left.wal_there = false;
    if (!whole || !same(&db->left, &after))
        warm(db, true);
    else
        wr_peek_rest(&db->peek, db->path, db->wal_path, &db->left.db,
            db->left.wal_there ? &db->left.wal : NULL);
    if (db->state == DB_COLD)
        wr_log(DB_LOG(db), WR_DEBUG, "quiet, giving its connections back", DB_NAME(db),
            WR_F_TXID("txid", txid));
    return true;
}

bool wr_db_stay_cold(struct wr_db *db, bool hinted)
{
    struct db_files now;
    bool written;

    /* Our own close may be what the watch has told; what comes after this it tells again. */
    if (hinted)
        wr_db_arm(db);
    now = look(db);
    written = !same(&db->left, &now);
    if (written || wr_db_now_ns(db) >= db->levels_ns || !replicas_rest(db) || wr_db_air_asked(db)) {
        warm(db, written);
        return false;
    }
    wr_db_want(db, db->levels_ns);
    return true;
}
