/*
 * broken.c - what goes wrong with a database: how that is told, and how it is let go, to prove
 * everything again.
 */
#include "engine/primary_replicas.h"

#define BROKEN_MIN_NS  ((int64_t)200 * 1000000)  /* before attaching again; doubles each time */
#define LEAVE_RETRY_NS ((int64_t)100 * 1000000)  /* until it is tried again to let go */
#define LEAVE_SAY_NS   ((int64_t)2 * 1000000000) /* before a word about what it waits for */

/* What goes on to be so, whatever else has ended. */
static enum wr_status lasting(const struct wr_db *db, const char **ret_text)
{
    if (wr_db_doubtful(db)) { /* until a file was read as it should be */
        *ret_text = WR_DB_DOUBT_TEXT;
        return WR_CORRUPT;
    }
    if (db->warned & DB_WARNED_FULL) { /* until a checkpoint gets on */
        *ret_text = WR_DB_FULL_TEXT;
        return WR_LIMIT;
    }
    *ret_text = "";
    return WR_OK;
}

void wr_db_trouble(struct wr_db *db, enum wr_status st, const struct wr_err *e, const char *what)
{
    const char *text = e->text;
    bool failure = st != WR_OK, news;

    if (!failure)
        st = lasting(db, &text);
    db->status.counts.captures.errors += failure && st != WR_NOTFOUND;
    news = st != db->last_error || strcmp(wr_text(&db->why), text) != 0;
    db->status.error = st;
    wr_text_set(&db->why, text);
    db->last_error = st;
    if (failure && news) {
        wr_log(DB_LOG(db), st == WR_NOTFOUND ? WR_INFO : WR_ERROR, what, DB_NAME(db),
            WR_F_Z("error", text));
    }
}

bool wr_db_detach(struct wr_db *db, bool for_good)
{
    bool whole = false;

    assert(!wr_db_streaming(db));
    for (size_t i = 0; i < db->n_replicas; i++) {
        db->replicas[i].joined = false;
        db->replicas[i].contests = 0;
        wr_db_levels_drop(db, &db->replicas[i]);
    }
    db->armed = 0;
    db->looks = 0;
    db->coming = false;
    wr_db_prove_drop(db);
    if (db->conn)
        whole = wr_db_leave(db, for_good);
    wr_view_release(&db->view);
    wr_peek_close(&db->peek);
    wr_conn_close(db->conn);
    db->conn = NULL;
    wr_db_list_no_more(db);
    db->started = false;
    db->wal_begun = 0;
    db->shm_gone = false;
    db->outbox_cleaned = false;
    wr_ledger_close(db->ledger);
    db->ledger = NULL;
    wr_pageset_clear(&db->dirty);
    wr_pageset_clear(&db->unnoted);
    wr_db_air_end(db);
    wr_db_works_renumber(db);
    db->txid = 0;
    db->ahead_ns = 0;
    db->closed_ms = 0;
    db->no_rooms = 0;
    db->room_ns = 0;
    db->warned = 0;
    if (db->seats)
        wr_seats_give(db->seats, &db->seat);
    return whole;
}

/* A replica reads a page of the database just now, and does not get it. */
static void wait_for_read(struct wr_db *db)
{
    int64_t now = wr_db_now_ns(db);

    if (db->leave_ns == 0)
        db->leave_ns = now;
    if (db->leave_ns != WR_NEVER && now - db->leave_ns >= LEAVE_SAY_NS) {
        db->leave_ns = WR_NEVER;
        wr_log(DB_LOG(db), WR_WARN,
            "waiting for a read of the database to end, without which it cannot be attached again; "
            "is its disk hanging?",
            DB_NAME(db), WR_F_Z("path", db->path));
    }
    wr_db_want(db, now + LEAVE_RETRY_NS);
}

/* Leave BROKEN as soon as nobody reads through the connection any more, which no network can hold
 * up. What a replica was being sent is forgotten: it lists again, and joins again, when its request
 * has ended. */
void wr_db_let_go(struct wr_db *db)
{
    bool left = wr_db_streams_leave(db);

    for (size_t i = 0; i < db->n_replicas; i++) {
        struct db_replica *dr = &db->replicas[i];

        if (dr->joined) {
            dr->joined = false;
            wr_replica_rejoin(dr->r, "the database was detached");
        }
    }
    if (!left) {
        wait_for_read(db);
        return;
    }
    db->leave_ns = 0;
    wr_db_detach(db, false);
    wr_db_go(db, DB_OPENING);
}

void wr_db_broken(struct wr_db *db, enum wr_status st, const struct wr_err *e)
{
    wr_db_trouble(db, st, e, "replication is interrupted, proving the database's state again");
    wr_db_go(db, DB_BROKEN);
    wr_db_streams_stop(db); /* what they read from may be what is broken */
    db->open_ns =
        wr_db_now_ns(db) + wr_min(BROKEN_MIN_NS << wr_min(db->breaks, 10u), WR_DB_BROKEN_MAX_NS);
    db->breaks++;
    wr_db_want(db, db->open_ns);
}

/* Index and locks that have no name any more are still those of the applications that had them
 * open. With new ones we would see nothing of what they commit. */
static void say_shm_gone(struct wr_db *db)
{
    if (db->shm_gone)
        return;
    db->shm_gone = true;
    wr_log(DB_LOG(db), WR_WARN,
        "the wal-index (shm) file of the database was deleted or replaced; what uses the old one "
        "is still replicated, and nothing else: stop the application and weir, then start both, "
        "before anything else opens the database",
        DB_NAME(db), WR_F_Z("path", db->path));
}

/* The path names another file, or none: what we hold open is no longer the user's database. */
bool wr_db_check_in_place(struct wr_db *db)
{
    unsigned changes = wr_conn_changes(db->conn);
    bool in_place = (changes & ~(unsigned)WR_CONN_TOUCHED) == 0;

    if (changes == 0)
        return true;
    if (changes == WR_CONN_SHM_GONE) {
        say_shm_gone(db);
        return true;
    }
    db->distrust = true; /* the WAL may well go on where it was, over other pages */
    if (db->ledger)      /* before it is let go, which may take its time, or be the end */
        wr_ledger_distrust(db->ledger);
    wr_log(DB_LOG(db), WR_WARN,
        in_place ? "somebody wrote to the database file past SQLite's locks, comparing every page"
        : changes & WR_CONN_DB_GONE ? "the database file was replaced or deleted, attaching again"
                                    : "the WAL of the database was replaced or deleted, "
                                      "attaching again",
        DB_NAME(db), WR_F_TXID("txid", db->txid));
    wr_db_go(db, DB_BROKEN);
    wr_db_want(db, wr_db_now_ns(db));
    return false;
}

/* What was read for a replica is not what the ledger says. Everything is closed: whatever differs
 * from now on, and is not in the WAL, was not written by SQLite. */
void wr_db_compare_again(struct wr_db *db)
{
    db->distrust = true;
    wr_ledger_distrust(db->ledger);
    wr_log(DB_LOG(db), WR_WARN,
        "pages read for a replica are not those of the ledger, comparing every page", DB_NAME(db),
        WR_F_TXID("txid", db->txid));
    wr_db_go(db, DB_BROKEN);
    wr_db_want(db, wr_db_now_ns(db));
}
