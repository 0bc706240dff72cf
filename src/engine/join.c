/*
 * join.c - how a replica that stands elsewhere gets to where the database is.
 *
 * It gets one file that leads from there to here:
 *   empty                         a snapshot of everything, level 9, from TXID 1
 *   a state in our history        the pages that changed since
 *   anything else                 all pages, as the next TXID after its newest: its past stays
 * A file of many pages is read from the live database while it is sent, as of the moment of joining
 * (frozen.h).
 */
#include "engine/primary_int.h"

#include "base/mem.h"
#include "engine/frozen.h"
#include "engine/layout.h"

#define SAME_QUARTERS 4u /* a quarter of the sampled pages must be equal */

/* How the replica gets from where it stands to db->txid. */
struct join {
    unsigned level;
    uint64_t min;
    uint64_t rolling_pre;
    struct wr_pageset pages;
    bool nothing; /* it is there already */
};

/*
 * Whether the replica's newest state, which is not in our history, is of another database. It is
 * ours if this path on this machine wrote it. Else two states of one database have most pages in
 * common, and databases that one program made for two tenants may share a few.
 */
static bool foreign(const struct wr_db *db, const struct wr_replica_status *r)
{
    size_t same = 0;

    if (r->pos.node_id == db->node_id && db->node_id != 0)
        return false;
    for (size_t i = 0; i < r->sample.n; i++)
        same += wr_ledger_page(db->ledger, r->sample.pgno[i]) == r->sample.checksum[i];
    /* Without a page to compare there is no sign that it is. */
    return same * SAME_QUARTERS < r->sample.n;
}

static void join_by_snapshot(struct join *j)
{
    j->level = WR_LEVEL_SNAPSHOT;
    j->min = 1;
    j->rolling_pre = WR_LTX_CHECKSUM_EMPTY;
    wr_pageset_set_all(&j->pages);
}

/* In the replica the TXID that a sync was to be told may be of another state; the one that is meant
 * is in what it gets now. */
static void renumber_syncs(struct wr_db *db)
{
    wr_mutex_lock(&db->mutex);
    db->sync_txid = wr_max(db->sync_txid, db->txid);
    wr_mutex_unlock(&db->mutex);
}

/* BUSY: it cannot join now, or ever. */
static enum wr_status plan_join(
    struct wr_db *db, const struct db_replica *dr, struct join *j, struct wr_err *e)
{
    const struct wr_remote_pos *at = &dr->now.pos;
    struct wr_ledger_state now = wr_ledger_state(db->ledger);
    bool known = false, snapshot;
    enum wr_status st = WR_OK;

    *j = (struct join){.level = 0, .min = at->txid + 1, .rolling_pre = at->rolling};
    wr_pageset_init(&j->pages);
    if (at->txid == 0) {
        join_by_snapshot(j);
        return WR_OK;
    }
    if (at->has_rolling && at->page_size == db->view.page_size)
        st = wr_ledger_since(db->ledger, at->txid, at->rolling, &j->pages, &known, e);
    if (st != WR_OK)
        return st;
    if (known && at->has_base) {
        j->nothing = at->txid == now.txid;
        return WR_OK;
    }
    if (known) {
        wr_log(DB_LOG(db), WR_WARN,
            "the replica has lost its beginning, nothing can be restored from it; sending a "
            "snapshot",
            DB_NAME(db), WR_F_STR("replica", wr_storage_name(wr_replica_storage(dr->r))),
            WR_F_TXID("replica_txid", at->txid));
        join_by_snapshot(j);
        return WR_OK;
    }
    if (!dr->now.sampled) {
        wr_replica_want_sample(dr->r);
        return WR_BUSY;
    }
    if (foreign(db, &dr->now)) {
        wr_replica_stop(dr->r, WR_CONFLICT,
            "the replica holds another database: none of the pages sampled from its newest state "
            "is in this one. Nothing was overwritten. Use another URL for this database");
        return WR_BUSY;
    }
    if (dr->now.contested) {
        wr_replica_stop(dr->r, WR_CONFLICT,
            "another process writes to this replica: stop it, or give each its own URL; nothing "
            "was overwritten");
        return WR_BUSY;
    }
    renumber_syncs(db);
    db->status.full_sends++;
    snapshot = at->page_size != db->view.page_size || !at->has_base; /* nothing to apply it to */
    wr_log(DB_LOG(db), WR_WARN,
        snapshot
            ? "the replica's newest state is not in this database's known history, and changes "
              "cannot be applied to it; sending a snapshot"
            : "the replica's newest state is not in this database's known history; sending all "
              "pages as its next transaction, its past stays restorable",
        DB_NAME(db), WR_F_STR("replica", wr_storage_name(wr_replica_storage(dr->r))),
        WR_F_TXID("replica_txid", at->txid), WR_F_TXID("txid", now.txid));
    if (snapshot)
        join_by_snapshot(j);
    else if (!at->has_rolling)
        j->rolling_pre = WR_LTX_CHECKSUM_EMPTY;
    wr_pageset_set_all(&j->pages);
    return WR_OK;
}

/* Of these pages; NULL: of all. */
static uint64_t ledger_sum(const struct wr_db *db, const uint32_t *pages, size_t n)
{
    uint64_t sum = 0;

    if (!pages)
        return wr_ledger_state(db->ledger).rolling;
    for (size_t i = 0; i < n; i++)
        sum ^= wr_ledger_page(db->ledger, pages[i]);
    return sum;
}

/* The pages will be read from the live database while they are sent. Takes *pages over. */
static enum wr_status make_streamed(struct wr_db *db, struct db_replica *dr, struct wr_parcel *p,
    uint32_t **pages, size_t n, struct wr_err *e)
{
    struct wr_frozen *frozen = NULL;
    enum wr_status st = wr_frozen_new(db->fs, db->outbox, &db->view, &frozen, e);

    if (st != WR_OK)
        return st;
    wr_parcel_stream(p, frozen, *pages, n, ledger_sum(db, *pages, n));
    *pages = NULL;
    dr->stream = wr_parcel_ref(p);
    return WR_OK;
}

enum wr_status wr_db_join(struct wr_db *db, struct db_replica *dr, struct wr_err *e)
{
    struct wr_parcel *p = NULL;
    struct join j;
    uint32_t *pages = NULL;
    size_t n = 0;
    bool large;
    enum wr_status st = plan_join(db, dr, &j, e);

    if (st == WR_OK && !j.nothing) {
        struct wr_ltx_header h = wr_db_header(db, j.min, j.rolling_pre);

        st = wr_parcel_new(db->fs, &h, j.level, db->lock_offset, &p, e);
    }
    large = j.pages.all ? (uint64_t)db->view.commit * db->view.page_size > db->inline_bytes
                        : (uint64_t)j.pages.map.n * db->view.page_size > db->inline_bytes;
    if (st == WR_OK && !j.nothing && !(large && j.pages.all))
        st = wr_db_list_pages(db, &j.pages, &pages, &n, e);
    if (st == WR_OK && !j.nothing && large) {
        st = make_streamed(db, dr, p, &pages, n, e);
    } else if (st == WR_OK && !j.nothing) {
        wr_parcel_expect(p, ledger_sum(db, pages, n));
        st = wr_parcel_fill(p, &db->view, pages, n, db->outbox, e);
        if (st == WR_INTERNAL) {
            wr_db_doubt(db, dr);
            st = WR_BUSY;
        } else if (st == WR_LIMIT) { /* the outbox is full: read the pages while they are sent */
            st = make_streamed(db, dr, p, &pages, n, e);
        }
    }
    if (st == WR_OK) {
        dr->join_txid = p ? p->header.max_txid : 0;
        dr->joined = !p || wr_replica_push(dr->r, p, dr->now.found);
        dr->found_seen = dr->now.found;
        dr->now.queued += p != NULL;
        wr_log(DB_LOG(db), WR_INFO, "replica joined", DB_NAME(db),
            WR_F_STR("replica", wr_storage_name(wr_replica_storage(dr->r))),
            WR_F_TXID("replica_txid", dr->now.pos.txid), WR_F_TXID("txid", db->txid),
            WR_F_Z("by", j.nothing ? "nothing to send"
                         : j.level ? "snapshot"
                                   : "changed pages"));
    }
    wr_parcel_unref(p);
    wr_free(pages);
    wr_pageset_release(&j.pages);
    return st == WR_BUSY ? WR_OK : st;
}
