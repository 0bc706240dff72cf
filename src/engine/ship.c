/*
 * ship.c - from changed pages to LTX files on their way.
 *
 * Closing a TXID: the changed pages are listed, their checksums computed, the ledger moved on, and
 * one LTX file made that every replica which has the TXID before gets. A TXID is a batch: all
 * transactions since the last one, at most one file a sync interval, at least one transaction.
 *
 * Joining: a replica that stands elsewhere gets one file that leads from there to here.
 *   empty                         a snapshot of everything, level 9, from TXID 1
 *   a state in our history        the pages that changed since
 *   anything else                 all pages, as the next TXID after its newest: its past stays
 * A file of many pages is read from the live database while it is sent; no checkpoint of ours runs
 * until then, so that the image stands still.
 */
#include "engine/primary_int.h"

#include "base/mem.h"
#include "engine/layout.h"
#include "sqlite/wal.h"

#define INLINE_PAGES_BYTES ((uint64_t)8 << 20) /* pages up to that size are encoded at once */
/* So much at once does not wait for the interval: files then stay small enough for one request and
 * a small buffer each, and at that rate requests are the least of the bill. */
#define EARLY_BYTES      ((uint64_t)4 << 20)
#define QUEUE_MAX        256u /* files that may wait for a failing replica */
#define QUEUE_STASH      1u   /* with that many waiting, the next goes to the outbox at once */
#define SAME_QUARTERS    4u   /* a quarter of the sampled pages must be equal */
#define FAILING_CLOSE_NS ((int64_t)1000000000) /* shortest interval while nothing can be sent */

uint64_t wr_db_acked(const struct wr_db *db, bool *ret_any)
{
    uint64_t least = UINT64_MAX;

    *ret_any = false;
    for (size_t i = 0; i < db->n_replicas; i++) {
        const struct db_replica *dr = &db->replicas[i];

        if (dr->now.state == WR_REPLICA_STOPPED)
            continue;
        *ret_any = true;
        least = wr_min(least, dr->joined ? dr->now.pos.txid : 0);
    }
    return *ret_any ? least : 0;
}

bool wr_db_streaming(struct wr_db *db)
{
    bool any = false;

    for (size_t i = 0; i < db->n_replicas; i++) {
        struct db_replica *dr = &db->replicas[i];

        if (dr->stream && wr_parcel_alone(dr->stream)) {
            wr_parcel_unref(dr->stream);
            dr->stream = NULL;
        }
        any = any || dr->stream;
    }
    return any;
}

static bool may_join(const struct db_replica *dr)
{
    return !dr->joined && dr->now.state == WR_REPLICA_READY && !dr->stream;
}

bool wr_db_join_due(const struct wr_db *db)
{
    for (size_t i = 0; i < db->n_replicas; i++) {
        if (may_join(&db->replicas[i]))
            return true;
    }
    return false;
}

bool wr_db_ship_due(struct wr_db *db, bool forced)
{
    int64_t now = wr_db_now_ns(db);
    uint64_t dirty_bytes = (uint64_t)db->dirty.map.n * db->view.page_size;
    bool joined = false;

    for (size_t i = 0; i < db->n_replicas; i++) {
        const struct db_replica *dr = &db->replicas[i];
        int64_t at = dirty_bytes >= EARLY_BYTES ? INT64_MIN : db->closed_ns;

        if (!dr->joined)
            continue;
        joined = true;
        if (dr->stream || (dr->now.queued > 0 && !dr->now.failing))
            continue; /* busy: what is captured meanwhile goes along next time */
        if (at != INT64_MIN)
            at += dr->now.failing ? wr_max(dr->interval_ns, FAILING_CLOSE_NS) : dr->interval_ns;
        if (now >= at)
            return true;
        wr_db_want(db, at);
    }
    return joined && forced;
}

/* Changed pages, and those that the database grew by without writing them, which SQLite does not do
 * but the format demands. */
static void add_growth(struct wr_db *db)
{
    uint32_t mark;

    for (uint32_t p = db->commit_closed + 1; p <= db->view.commit && !db->dirty.all; p++) {
        if (p != db->view.lock_pgno && !wr_pgmap_get(&db->dirty.map, p, &mark))
            wr_pageset_add(&db->dirty, p);
    }
}

static enum wr_status list_pages(const struct wr_db *db, const struct wr_pageset *set,
    uint32_t **ret, size_t *ret_n, struct wr_err *e)
{
    enum wr_status st;
    size_t n = 0;

    if (!set->all) {
        st = wr_pageset_list(set, db->view.commit, ret, ret_n, e);
    } else {
        uint32_t *all = wr_array(db->view.commit, sizeof(*all));

        if (!all)
            return wr_fail(e, WR_NOMEM, "list all pages");
        for (uint32_t p = 1; p <= db->view.commit; p++)
            all[n++] = p;
        *ret = all;
        *ret_n = n;
        st = WR_OK;
    }
    if (st != WR_OK)
        return st;
    /* The lock page is written when a database grows past it, and never stored. */
    n = 0;
    for (size_t i = 0; i < *ret_n; i++) {
        if ((*ret)[i] != db->view.lock_pgno)
            (*ret)[n++] = (*ret)[i];
    }
    *ret_n = n;
    return WR_OK;
}

static enum wr_status checksum_pages(struct wr_db *db, const uint32_t *pages, size_t n,
    struct wr_ledger_change **ret, struct wr_err *e)
{
    struct wr_ledger_change *changes = wr_array(n ? n : 1, sizeof(*changes));
    uint8_t *page = wr_alloc(db->view.page_size);
    enum wr_status st = WR_OK;

    if (!changes || !page)
        st = wr_fail(e, WR_NOMEM, "checksum changed pages");
    for (size_t i = 0; i < n && st == WR_OK; i++) {
        st = wr_view_page(&db->view, pages[i], page, e);
        if (st == WR_OK) {
            changes[i] = (struct wr_ledger_change){
                pages[i], wr_ltx_page_checksum(pages[i], page, db->view.page_size)};
        }
    }
    wr_free(page);
    if (st != WR_OK) {
        wr_free(changes);
        return st;
    }
    *ret = changes;
    return WR_OK;
}

static struct wr_ltx_header header_of(const struct wr_db *db, uint64_t min, uint64_t pre)
{
    struct wr_ledger_state now = wr_ledger_state(db->ledger);
    struct wr_ltx_header h = {.page_size = db->view.page_size,
        .commit = now.commit,
        .min_txid = min,
        .max_txid = now.txid,
        .time_ms = db->time_ms,
        .node_id = db->node_id,
        .has_rolling = true,
        .rolling_pre = pre,
        .rolling_post = now.rolling};

    if (db->pos.frame > 0) {
        h.wal_off = WR_WAL_HEADER;
        h.wal_size = wr_frame_offset(db->pos.frame + 1, db->view.page_size) - WR_WAL_HEADER;
        memcpy(h.salt, db->pos.salt, sizeof(h.salt));
    }
    return h;
}

/* Give the file to all replicas that stand where it starts. */
static void push_to_joined(struct wr_db *db, struct wr_parcel *p)
{
    for (size_t i = 0; i < db->n_replicas; i++) {
        struct db_replica *dr = &db->replicas[i];

        if (!dr->joined)
            continue;
        if (dr->now.queued >= QUEUE_MAX) {
            /* Enough: from here on the journal remembers which pages it lacks, at no cost a file.
             */
            dr->joined = false;
            wr_replica_rejoin(dr->r, "too many files wait for it");
            continue;
        }
        if (!wr_replica_push(dr->r, p, dr->now.found)) {
            dr->joined = false;
            wr_replica_rejoin(dr->r, "its position changed");
        }
    }
}

static bool any_waiting(const struct wr_db *db)
{
    for (size_t i = 0; i < db->n_replicas; i++) {
        if (db->replicas[i].joined && db->replicas[i].now.queued >= QUEUE_STASH)
            return true;
    }
    return false;
}

/* A full disk or lost memory between ledger and file: the ledger has moved on, so the replicas that
 * miss the file find their way by its history. */
static void unjoin_all(struct wr_db *db, const char *why)
{
    for (size_t i = 0; i < db->n_replicas; i++) {
        if (db->replicas[i].joined) {
            db->replicas[i].joined = false;
            wr_replica_rejoin(db->replicas[i].r, why);
        }
    }
}

static bool any_joined(const struct wr_db *db)
{
    for (size_t i = 0; i < db->n_replicas; i++) {
        if (db->replicas[i].joined)
            return true;
    }
    return false;
}

static enum wr_status make_and_push(struct wr_db *db, uint64_t before, uint64_t rolling_before,
    const uint32_t *pages, size_t n, struct wr_err *e)
{
    struct wr_ltx_header h = header_of(db, before + 1, rolling_before);
    struct wr_parcel *p = NULL;
    struct wr_err why = {0};
    enum wr_status st = wr_parcel_new(db->fs, &h, 0, db->lock_offset, &p, e);

    if (st == WR_OK)
        st = wr_parcel_fill(p, &db->view, pages, n, db->outbox, e);
    if (st == WR_OK && any_waiting(db) && wr_parcel_stash(p, db->outbox, &why) != WR_OK) {
        wr_log(DB_LOG(db), WR_DEBUG, "cannot use the outbox, keeping a file in memory", DB_NAME(db),
            WR_F_Z("error", why.text));
    }
    if (st == WR_OK)
        push_to_joined(db, p);
    wr_parcel_unref(p);
    return st;
}

/* Move the ledger to TXID `txid` and send what changed to those who follow. */
static enum wr_status close_txid(struct wr_db *db, uint64_t txid, struct wr_err *e)
{
    struct wr_ledger_state before = wr_ledger_state(db->ledger);
    struct wr_ledger_change *changes = NULL;
    uint32_t *pages = NULL;
    size_t n = 0;
    enum wr_status st;

    assert(txid > db->txid);
    add_growth(db);
    st = list_pages(db, &db->dirty, &pages, &n, e);
    if (st == WR_OK)
        st = checksum_pages(db, pages, n, &changes, e);
    if (st == WR_OK)
        st = wr_ledger_close_txid(db->ledger, txid, changes, n, db->view.commit, &db->pos, e);
    if (st == WR_LIMIT) { /* too much for the journal: attach anew with a fresh ledger */
        wr_wrap(e, st, "starting the ledger over");
        if (wr_ledger_reset(db->ledger, NULL) != WR_OK)
            wr_log(DB_LOG(db), WR_DEBUG, "cannot clear the journal", DB_NAME(db));
    }
    if (st == WR_OK) {
        db->txid = txid;
        db->closed_ns = wr_db_now_ns(db);
        db->commit_closed = db->view.commit;
        wr_pageset_clear(&db->dirty);
        wr_pageset_clear(&db->unnoted);
        if (any_joined(db)) {
            st = make_and_push(db, before.txid, before.rolling, pages, n, e);
            if (st != WR_OK && st != WR_CORRUPT && st != WR_IO) {
                /* No memory, or no room in the outbox. The ledger has moved on and knows the way
                 * from where the replicas are: they join again, with a file read while it is sent.
                 */
                unjoin_all(db, e->text);
                st = WR_OK;
            }
        }
    }
    wr_free(changes);
    wr_free(pages);
    return st;
}

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

/* BUSY: it cannot join now, or ever. */
static enum wr_status plan_join(
    struct wr_db *db, const struct db_replica *dr, struct join *j, struct wr_err *e)
{
    const struct wr_remote_pos *at = &dr->now.pos;
    struct wr_ledger_state now = wr_ledger_state(db->ledger);
    bool known = false;
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
    if (known) {
        j->nothing = at->txid == now.txid;
        return WR_OK;
    }
    if (!dr->now.sampled) {
        wr_replica_want_sample(dr->r);
        j->nothing = true;
        return WR_BUSY;
    }
    if (foreign(db, &dr->now)) {
        wr_replica_stop(dr->r, WR_CONFLICT,
            "the replica holds another database: none of the pages sampled from its newest state "
            "is "
            "in this one. Nothing was overwritten. Use another URL for this database");
        j->nothing = true;
        return WR_BUSY;
    }
    if (dr->now.contested) {
        wr_replica_stop(dr->r, WR_CONFLICT,
            "another process writes to this replica: stop it, or give each its own URL; nothing "
            "was "
            "overwritten");
        j->nothing = true;
        return WR_BUSY;
    }
    db->status.full_sends++;
    wr_log(DB_LOG(db), WR_WARN,
        "the replica's newest state is not in this database's known history; sending all pages as "
        "its next transaction, its past stays restorable",
        DB_NAME(db), WR_F_STR("replica", wr_storage_name(wr_replica_storage(dr->r))),
        WR_F_TXID("replica_txid", at->txid), WR_F_TXID("txid", now.txid));
    if (at->page_size != db->view.page_size)
        join_by_snapshot(j); /* nothing can be applied across a change of page size */
    else if (!at->has_rolling)
        j->rolling_pre = WR_LTX_CHECKSUM_EMPTY;
    wr_pageset_set_all(&j->pages);
    return WR_OK;
}

/* The pages will be read from the live database while they are sent. Takes *pages over. */
static enum wr_status make_streamed(struct wr_db *db, struct db_replica *dr, struct wr_parcel *p,
    uint32_t **pages, size_t n, struct wr_err *e)
{
    enum wr_status st = wr_view_copy(&p->view, &db->view, e);

    wr_parcel_forget(p);
    p->pages = *pages;
    p->n_pages = n;
    *pages = NULL;
    if (st == WR_OK)
        dr->stream = wr_parcel_ref(p);
    return st;
}

static enum wr_status join_one(struct wr_db *db, struct db_replica *dr, struct wr_err *e)
{
    struct wr_parcel *p = NULL;
    struct join j;
    uint32_t *pages = NULL;
    size_t n = 0;
    bool large;
    enum wr_status st = plan_join(db, dr, &j, e);

    if (st == WR_OK && !j.nothing) {
        struct wr_ltx_header h = header_of(db, j.min, j.rolling_pre);

        st = wr_parcel_new(db->fs, &h, j.level, db->lock_offset, &p, e);
    }
    large = j.pages.all ? (uint64_t)db->view.commit * db->view.page_size > INLINE_PAGES_BYTES
                        : (uint64_t)j.pages.map.n * db->view.page_size > INLINE_PAGES_BYTES;
    if (st == WR_OK && !j.nothing && !(large && j.pages.all))
        st = list_pages(db, &j.pages, &pages, &n, e);
    if (st == WR_OK && !j.nothing && large) {
        st = make_streamed(db, dr, p, &pages, n, e);
    } else if (st == WR_OK && !j.nothing) {
        st = wr_parcel_fill(p, &db->view, pages, n, db->outbox, e);
        if (st == WR_LIMIT) /* the outbox is full: read the pages while they are sent */
            st = make_streamed(db, dr, p, &pages, n, e);
    }
    if (st == WR_OK) {
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

/* The TXID that the next close must get: above ours and above every replica's that is to join. */
static uint64_t next_txid(const struct wr_db *db, bool *ret_above)
{
    uint64_t next = db->txid + 1;

    *ret_above = false;
    for (size_t i = 0; i < db->n_replicas; i++) {
        const struct db_replica *dr = &db->replicas[i];

        if (may_join(dr) && dr->now.pos.txid >= next) {
            next = dr->now.pos.txid + 1;
            *ret_above = true;
        } else if (may_join(dr) && dr->now.pos.txid == db->txid && db->txid > 0 &&
                   (!dr->now.pos.has_rolling ||
                       dr->now.pos.rolling != wr_ledger_state(db->ledger).rolling)) {
            *ret_above = true; /* the same number, another state: take the next one */
        }
    }
    return next;
}

enum wr_status wr_db_ship(struct wr_db *db, struct wr_err *e)
{
    bool above;
    uint64_t next = next_txid(db, &above);
    int64_t now_ms = wr_wall_ms(wr_sched_clock(db->actor.sched));
    enum wr_status st = WR_OK;

    assert(db->ledger && wr_ledger_state(db->ledger).txid > 0);
    db->time_ms = wr_max(db->time_ms, now_ms);
    if (!wr_pageset_empty(&db->dirty) || above)
        st = close_txid(db, next, e);
    for (size_t i = 0; i < db->n_replicas && st == WR_OK; i++) {
        if (may_join(&db->replicas[i]))
            st = join_one(db, &db->replicas[i], e);
    }
    return st;
}
