/*
 * attach.c - from a path to a database that is pinned and proven.
 *
 *   1  open it, switch it to WAL mode if need be
 *   2  take the checkpoint lock, for good; somebody else has it: say who, try again
 *   3  capture what the WAL holds: from now on nothing can be missed
 *   4  prove how the database relates to the last closed TXID. The WAL goes on from the noted
 *      position: the changed pages are those noted plus those captured after it. It does not, for
 *      it was reset or lost while we were away: compare every page with the ledger. There is no
 *      ledger: build one.
 *   5  let the replicas join (ship.c)
 *
 * Nothing is guessed: in doubt a page is compared, or sent.
 */
#include "engine/primary_int.h"

#include "base/mem.h"
#include "engine/node.h"
#include "sqlite/holders.h"
#include "sqlite/wal.h"

#define RETRY_NS      ((int64_t)250 * 1000000)
#define RETRY_FAR_NS  ((int64_t)5 * 1000000000)
#define PIN_SAY_NS    ((int64_t)2 * 1000000000) /* a checkpoint of the application is shorter */
#define FIRST_LOOK_NS ((int64_t)20 * 1000000)   /* patience for the writer lock */
#define SCAN_BYTES    ((size_t)1 << 20)

static enum wr_status connect(struct wr_db *db, struct wr_err *e)
{
    struct wr_conn_info info;
    enum wr_status st = wr_conn_open(db->path, &db->conn, &info, e);

    if (st != WR_OK)
        return st;
    if (info.switched_to_wal)
        wr_log(DB_LOG(db), WR_INFO, "switched the database to WAL mode", DB_NAME(db));
    wr_view_init(
        &db->view, db->conn, info.page_size, wr_ltx_lock_pgno(info.page_size, db->lock_offset));
    db->status.page_size = info.page_size;
    db->started = false;
    db->skipped.frame = 0;
    db->torn_ns = 0;
    return WR_OK;
}

static enum wr_status take_pin(struct wr_db *db, struct wr_err *e)
{
    int64_t now = wr_db_now_ns(db);
    char who[64];
    enum wr_status st = wr_conn_pin(db->conn, e);

    if (st != WR_BUSY) {
        db->pin_since_ns = 0;
        db->status.rival = false;
        return st;
    }
    if (db->pin_since_ns == 0)
        db->pin_since_ns = now;
    if (now - db->pin_since_ns < PIN_SAY_NS)
        return WR_BUSY;
    db->status.rival = true;
    wr_holder_of_slot(db->path, WR_SHM_SLOT_CKPT, who, sizeof(who));
    return wr_fail(e, WR_BUSY,
        "another process holds the checkpoint lock of %s: %s; is a second weir, or Litestream, "
        "replicating it? Waiting until it lets go",
        db->path, who[0] ? who : "process unknown");
}

/* Where the WAL stands, and how much of it is in the database: read together, with nobody writing.
 */
static enum wr_status first_look(struct wr_db *db, struct wr_err *e)
{
    enum wr_status st = wr_conn_barrier_begin(db->conn, FIRST_LOOK_NS, e);

    if (st != WR_OK)
        return st;
    st = wr_db_look(db, e);
    wr_conn_barrier_end(db->conn);
    if (st == WR_OK && db->view.backfilled == db->seen.mx_frame && db->seen.mx_frame > 0) {
        /* All of it is in the database: a writer may overwrite it at any moment, and nothing of it
         * is needed. */
        db->pos.frame = db->seen.mx_frame;
        db->pos.cksum[0] = db->seen.frame_cksum[0];
        db->pos.cksum[1] = db->seen.frame_cksum[1];
        db->view.commit = db->seen.n_page;
        db->skipped = db->pos;
    }
    return st;
}

/* Database size at the captured position. */
static enum wr_status size_at_position(struct wr_db *db, struct wr_err *e)
{
    uint64_t bytes = 0;
    enum wr_status st;

    if (db->pos.frame > 0 || db->view.commit > 0)
        return WR_OK; /* from the commit frame, or the index */
    if (db->seen.n_page > 0) {
        db->view.commit = db->seen.n_page;
        return WR_OK;
    }
    st = wr_conn_db_bytes(db->conn, &bytes, e);
    if (st != WR_OK)
        return st;
    if (bytes / db->view.page_size == 0 || bytes / db->view.page_size > UINT32_MAX - 1)
        return wr_fail(e, WR_UNSUPPORTED, "the database has %llu bytes", (unsigned long long)bytes);
    db->view.commit = (uint32_t)(bytes / db->view.page_size);
    return WR_OK;
}

/* What the WAL has where `was` says it was. False: no frame of that generation. */
static bool frame_at(struct wr_db *db, const struct wr_pos *was, struct wr_frame *ret)
{
    uint8_t head[WR_FRAME_HEADER];
    size_t got = 0;

    if (was->frame == 0 ||
        wr_conn_read_wal(db->conn, wr_frame_offset(was->frame, db->view.page_size), head,
            sizeof(head), &got, NULL) != WR_OK ||
        got < sizeof(head))
        return false;
    wr_frame_get(head, ret);
    return memcmp(ret->salt, was->salt, sizeof(was->salt)) == 0;
}

/* Whether the database went another way after `was`: its WAL, not reset since, ends before it or
 * has another frame there. A power cut does that to commits that were not synced. */
static bool forked(struct wr_db *db, const struct wr_pos *was)
{
    struct wr_frame f;

    if (was->frame == 0 || memcmp(was->salt, db->pos.salt, sizeof(was->salt)) != 0)
        return false;
    if (was->frame > db->pos.frame)
        return true;
    return frame_at(db, was, &f) && (f.cksum[0] != was->cksum[0] || f.cksum[1] != was->cksum[1]);
}

/* Whether the WAL goes on from `was`, and all that came after it was read. */
static bool continues(struct wr_db *db, const struct wr_pos *was)
{
    const struct wr_pos *skipped = &db->skipped;
    struct wr_frame f;

    /* What lies before `skipped` was not read: `was` must be that very place. */
    if (skipped->frame > 0)
        return memcmp(was->salt, skipped->salt, sizeof(was->salt)) == 0 &&
               was->frame == skipped->frame && was->cksum[0] == skipped->cksum[0] &&
               was->cksum[1] == skipped->cksum[1];
    if (memcmp(was->salt, db->pos.salt, sizeof(was->salt)) != 0 || was->frame > db->pos.frame)
        return false;
    if (was->frame == 0)
        return db->pos.frame > 0; /* an empty WAL proves nothing: a new one has salts 0, too */
    return frame_at(db, was, &f) && f.cksum[0] == was->cksum[0] && f.cksum[1] == was->cksum[1];
}

/* The frames up to `was` were captured by an earlier process: only the rest is dirty. */
static enum wr_status dirty_since(struct wr_db *db, const struct wr_pos *was, struct wr_err *e)
{
    uint32_t from = db->skipped.frame > 0 ? 0 : was->frame; /* all that was read is newer */
    struct wr_pgmap_entry *all = wr_array(db->view.frames.n ? db->view.frames.n : 1, sizeof(*all));

    if (!all)
        return wr_fail(e, WR_NOMEM, "list the pages of the WAL");
    wr_pgmap_sorted(&db->view.frames, all);
    wr_pageset_clear(&db->dirty);
    for (size_t i = 0; i < db->view.frames.n; i++) {
        if (all[i].value > from)
            wr_pageset_add(&db->dirty, all[i].pgno);
    }
    wr_free(all);
    wr_pageset_add_set(&db->dirty, wr_ledger_pending(db->ledger));
    return WR_OK;
}

/* Call `fn` with each page of the view but the lock page. */
static enum wr_status each_page(struct wr_db *db,
    void (*fn)(struct wr_db *db, uint32_t pgno, uint64_t checksum), struct wr_err *e)
{
    uint32_t per_run = (uint32_t)(SCAN_BYTES / db->view.page_size);
    uint8_t *run = wr_alloc(SCAN_BYTES);
    enum wr_status st = WR_OK;

    if (!run)
        return wr_fail(e, WR_NOMEM, "read the database");
    db->status.ledger_scans++;
    for (uint64_t first = 1; first <= db->view.commit && st == WR_OK; first += per_run) {
        uint32_t n = (uint32_t)wr_min((uint64_t)per_run, db->view.commit - first + 1);

        if (atomic_load(&db->closing)) {
            st = wr_fail(e, WR_CANCELED, "canceled while reading the database");
            break;
        }
        st = wr_view_run(&db->view, (uint32_t)first, n, run, e);
        for (uint32_t i = 0; i < n && st == WR_OK; i++) {
            uint32_t pgno = (uint32_t)first + i;

            if (pgno != db->view.lock_pgno) {
                fn(db, pgno,
                    wr_ltx_page_checksum(
                        pgno, run + (size_t)i * db->view.page_size, db->view.page_size));
            }
        }
    }
    wr_free(run);
    return st;
}

static void fill_one(struct wr_db *db, uint32_t pgno, uint64_t checksum)
{
    wr_ledger_fill(db->ledger, pgno, checksum);
}

static void compare_one(struct wr_db *db, uint32_t pgno, uint64_t checksum)
{
    if (wr_ledger_page(db->ledger, pgno) != checksum)
        wr_pageset_add(&db->dirty, pgno);
}

/* Which TXID the database as it is now shall have, when we do not know what we did before. */
static uint64_t first_txid(const struct wr_db *db, uint64_t rolling)
{
    uint64_t newest = 0;

    for (size_t i = 0; i < db->n_replicas; i++) {
        const struct wr_remote_pos *at = &db->replicas[i].now.pos;

        if (at->has_rolling && at->rolling == rolling && at->commit == db->view.commit &&
            at->page_size == db->view.page_size)
            return at->txid; /* the replica holds exactly this state */
        newest = wr_max(newest, at->txid);
    }
    return newest + 1;
}

static enum wr_status new_ledger(struct wr_db *db, struct wr_err *e)
{
    enum wr_status st = wr_ledger_fill_begin(db->ledger, db->view.commit, e);

    if (st == WR_OK)
        st = each_page(db, fill_one, e);
    if (st == WR_OK) {
        st = wr_ledger_fill_end(
            db->ledger, first_txid(db, wr_ledger_fill_rolling(db->ledger)), &db->pos, e);
    }
    wr_pageset_clear(&db->dirty);
    wr_pageset_clear(&db->unnoted);
    return st;
}

static enum wr_status compare_with_ledger(struct wr_db *db, struct wr_err *e)
{
    struct wr_ledger_state was = wr_ledger_state(db->ledger);
    bool fork = forked(db, &was.pos);
    enum wr_status st;

    wr_pageset_clear(&db->dirty);
    st = each_page(db, compare_one, e);
    if (st != WR_OK)
        return st;
    if (was.commit != db->view.commit)
        wr_pageset_add(&db->dirty, 1);
    wr_log(DB_LOG(db), fork ? WR_WARN : WR_INFO,
        fork
            ? "the database lost transactions that were already replicated (power cut?); its state "
              "now becomes the next transaction, the lost ones stay restorable"
            : "the WAL was reset while we were away: compared every page with the ledger",
        DB_NAME(db), WR_F_TXID("txid", was.txid), WR_F_U64("changed_pages", db->dirty.map.n),
        WR_F_U64("pages", db->view.commit));
    db->status.forks += fork;
    return WR_OK;
}

/* Step 4. */
static enum wr_status prove(struct wr_db *db, struct wr_err *e)
{
    struct wr_ledger_state was;
    enum wr_status st;

    if (!db->ledger) {
        st = wr_mkdirs(db->fs, db->meta_dir, 0700, e);
        if (st == WR_OK && db->node_id == 0)
            st = wr_node_id(db->fs, db->meta_dir, db->path, &db->node_id, e);
        if (st == WR_OK) {
            st = wr_ledger_open(
                db->fs, db->meta_dir, db->view.page_size, db->view.lock_pgno, &db->ledger, e);
        }
        if (st != WR_OK)
            return st;
    }
    was = wr_ledger_state(db->ledger);
    if (was.txid == 0)
        st = new_ledger(db, e);
    else if (!db->distrust && continues(db, &was.pos))
        st = dirty_since(db, &was.pos, e);
    else
        st = compare_with_ledger(db, e);
    if (st != WR_OK)
        return st;
    db->distrust = false;
    was = wr_ledger_state(db->ledger);
    db->txid = was.txid;
    db->commit_closed = was.commit;
    /* What is dirty now is in no note yet; the next note's position will claim that it is. */
    wr_pageset_clear(&db->unnoted);
    wr_pageset_add_set(&db->unnoted, &db->dirty);
    return WR_OK;
}

/* An attempt failed: tell, and try again when it makes sense. */
static void again(struct wr_db *db, enum wr_status st, const struct wr_err *e)
{
    bool keep = st == WR_BUSY && db->conn && !wr_conn_pinned(db->conn);

    if (!keep)
        wr_db_detach(db);
    if (st == WR_NOTFOUND)
        wr_db_go(db, DB_WAITING);
    wr_db_want(db, wr_db_now_ns(db) + (st == WR_BUSY ? RETRY_NS : RETRY_FAR_NS));
    if (st != WR_BUSY || e->text[0])
        wr_db_trouble(db, st, e, st == WR_NOTFOUND ? "waiting for the database" : "cannot attach");
}

static bool any_found(const struct wr_db *db)
{
    for (size_t i = 0; i < db->n_replicas; i++) {
        if (db->replicas[i].now.found > 0)
            return true;
    }
    return false;
}

void wr_db_attach(struct wr_db *db)
{
    struct wr_err e = {0};
    enum wr_status st = WR_OK;

    assert(db->state == DB_OPENING);
    /* Not before one replica is known: without it nobody can tell what the next TXID is, and a pin
     * that cannot lead to a checkpoint would only let the WAL grow. */
    if (!any_found(db))
        return;
    if (!db->conn)
        st = connect(db, &e);
    if (st == WR_OK)
        st = take_pin(db, &e);
    if (st == WR_OK)
        st = first_look(db, &e);
    if (st == WR_OK)
        st = wr_db_capture(db, &e);
    if (st == WR_OK)
        st = size_at_position(db, &e);
    if (st == WR_OK)
        st = prove(db, &e);
    if (st != WR_OK) {
        again(db, st, &e);
        return;
    }
    for (size_t i = 0; i < db->n_replicas; i++)
        db->time_ms = wr_max(db->time_ms, db->replicas[i].now.pos.time_ms);
    wr_db_go(db, DB_SYNCING);
    db->status.commits = db->status.changes = db->status.frames = 0; /* those were there before */
    wr_db_trouble(db, WR_OK, &e, "attached");
    wr_log(DB_LOG(db), WR_INFO, "attached", DB_NAME(db), WR_F_TXID("txid", db->txid),
        WR_F_U64("page_size", db->view.page_size), WR_F_U64("pages", db->view.commit),
        WR_F_U64("changed_pages", db->dirty.map.n));
}
