/*
 * leave.c - letting go of a database: what becomes of its WAL, and what the next start can know.
 *
 * A WAL that stays behind, all of it in the database file already, is ignored as long as somebody
 * has the wal-index. Who opens the database after that recovers the index, and puts those frames
 * over the file, whatever it is by then: a backup that was copied over it, or renamed to its name,
 * would be destroyed. So:
 *
 *   at a stop    everything is captured and checkpointed, the ledger notes the file, and SQLite
 *                removes the WAL if we are the last to close it. The next start knows from the file
 *                alone that nothing was written.
 *   replaced     if the WAL ends where we have read it to, the rest of it is copied to the file
 *                that we have open, whatever its name is now, and it is emptied. If not, whoever
 *                opened the other file has begun to use it, and it is theirs.
 *   touched      somebody wrote to the file past SQLite's locks. If all of the WAL was in it by
 *                then, it is emptied, which writes nothing to the file. If not, SQLite does what
 *                it does without us; but a WAL that was deleted is not copied over the file.
 *   -shm gone    the WAL stays: those that open the database now make an index of their own.
 *   alone        no replica is in reach, maybe for days: as at a stop.
 *   else         an attempt has failed, and another follows: the WAL stays, and proves that.
 */
#include "engine/primary_int.h"

#include "engine/machine.h"

#define SEAL_NS   ((int64_t)50 * 1000000) /* patience for the writer lock, as for a barrier */
#define SETTLE_NS ((int64_t)20 * 1000000) /* for the clock of files to move: 10 ms at the most */
#define LEFT_MAX  2048u /* more frames than that are not copied before the ledger is told */

/* Whether the WAL may stay as it is even if we are the last to close it. */
static bool may_leave_wal(const struct wr_db *db)
{
    struct wr_walidx now;

    return wr_conn_header(db->conn, &now, NULL) == WR_OK &&
           wr_db_all_checked(db->started, db->unchecked, &db->pos, &now);
}

/* Under the writer lock: whether the header is that of the position, or of an empty WAL after it.
 */
static bool read_header(struct wr_db *db, struct wr_walidx *ret)
{
    return wr_conn_header(db->conn, ret, NULL) == WR_OK && ret->init && !wr_db_stale_backfill(db) &&
           memcmp(ret->salt, db->pos.salt, sizeof(ret->salt)) == 0;
}

/* What TRUNCATE copies before it empties the WAL goes to the file that we have open: not over what
 * somebody else has put there, and nothing that we have not read from the WAL that we have open.
 * Readers may be in the way: they have the index, and so the frames stay ignored. */
static void empty_wal(struct wr_db *db, bool overwritten)
{
    struct wr_err e = {0};
    struct wr_walidx now;

    if (wr_db_seal(db, SEAL_NS, &e) != WR_OK)
        return;
    if (read_header(db, &now) &&
        now.mx_frame == (overwritten ? db->view.backfilled : db->pos.frame)) {
        if (wr_conn_checkpoint(db->conn, true, &e) != WR_OK)
            wr_log(
                DB_LOG(db), WR_DEBUG, "cannot empty the WAL", DB_NAME(db), WR_F_Z("error", e.text));
    }
    wr_db_unseal(db);
}

/* Under a read mark, or the writer lock: the file becomes the database at the last closed TXID,
 * without any WAL. */
static bool settle(struct wr_db *db)
{
    struct wr_err e = {0};
    struct wr_walidx now;

    if (!read_header(db, &now) || now.mx_frame != db->pos.frame ||
        now.mx_frame - db->view.backfilled > LEFT_MAX)
        return false;
    if (now.mx_frame > db->view.backfilled) {
        enum wr_status st = wr_conn_checkpoint(db->conn, false, &e);

        db->view.backfilled = wr_max(db->view.backfilled, wr_conn_backfill(db->conn));
        if (st != WR_OK && st != WR_BUSY)
            wr_db_copy_again(db);
        if (st != WR_OK)
            return false;
    }
    return db->view.backfilled == now.mx_frame;
}

/* The same while writers go on, for it is synced, too. If one has added to it meanwhile, the WAL
 * stays as it is. */
static void settle_ahead(struct wr_db *db)
{
    struct wr_err e = {0};

    if (wr_conn_mark_begin(db->conn, &e) != WR_OK)
        return;
    (void)settle(db);
    wr_conn_mark_end(db->conn);
}

/* A writer was killed while it reset the WAL, and left the count of the one before: only we
 * checkpoint, and have not yet. Or what we have copied was lost in a sync. */
static bool counts_too_much(const struct wr_db *db, uint32_t *ret_right)
{
    struct wr_walidx now;

    if (wr_conn_header(db->conn, &now, NULL) != WR_OK || !now.init)
        return false; /* who recovers it begins to count anew */
    *ret_right = memcmp(now.salt, db->pos.salt, sizeof(now.salt)) == 0 ? db->view.backfilled : 0;
    return wr_conn_backfill(db->conn) > *ret_right;
}

/* False: a busy writer, who may be resetting it just now. */
static bool mend_count(struct wr_db *db)
{
    struct wr_err e = {0};
    uint32_t right = 0;

    if (!counts_too_much(db, &right))
        return true;
    if (wr_db_seal(db, SEAL_NS, &e) != WR_OK)
        return false;
    if (counts_too_much(db, &right))
        wr_conn_set_backfill(db->conn, right);
    wr_db_unseal(db);
    return true;
}

/* Whoever writes between that and the close of our connections writes to the WAL, or the file is
 * another one after it. */
static bool stop(struct wr_db *db)
{
    struct wr_file_mark file;
    struct wr_err e = {0};
    bool whole = false;

    if (!db->ledger || db->txid == 0)
        return false;
    if (wr_pageset_empty(&db->dirty))
        settle_ahead(db);
    if (wr_pageset_empty(&db->dirty) && wr_db_seal(db, SEAL_NS, &e) == WR_OK) {
        whole = settle(db);
        wr_db_unseal(db);
    }
    if (!wr_conn_mark_now(db->conn, SETTLE_NS, &file))
        return false;
    if (whole)
        wr_ledger_rest(db->ledger, &file, &db->pos, wr_machine_run(db->fs));
    else
        wr_ledger_mark(db->ledger, &file);
    return whole;
}

bool wr_db_leave(struct wr_db *db, bool for_good)
{
    bool whole = false;
    unsigned changes = wr_conn_changes(db->conn);

    if (!wr_conn_pinned(db->conn) || !db->started)
        return false;
    wr_db_settle_backfill(db);
    if (changes == 0) {
        if (for_good && !db->distrust)
            whole = stop(db);
        /* By a count that is not put right the close would skip frames, and drop them. */
        if (!mend_count(db) || (!for_good && may_leave_wal(db)))
            wr_conn_leave_wal(db->conn);
        return whole;
    }
    db->distrust = true;
    if (db->ledger)
        wr_ledger_distrust(db->ledger);
    /* Under another index nobody sees our locks, nor we what it says. */
    if (!(changes & WR_CONN_SHM_GONE) || changes & WR_CONN_DB_GONE)
        empty_wal(db, changes & WR_CONN_TOUCHED);
    /* SQLite shall copy nothing on its own, nor remove by its name a WAL that is not this one. */
    if (changes != WR_CONN_TOUCHED)
        wr_conn_leave_wal(db->conn);
    return false;
}
