/*
 * ship.c - from changed pages to LTX files on their way.
 *
 * Closing a TXID: the changed pages are listed, their checksums computed, the ledger moved on, and
 * one LTX file made that every replica which has the TXID before gets. A TXID is a batch: all
 * transactions since the last one, at most one file a sync interval, at least one transaction.
 */
#include "engine/primary_replicas.h"

#include "base/mem.h"
#include "base/mutant.h"
#include "engine/layout.h"
#include "sqlite/wal.h"

/* So much at once does not wait for the interval: files then stay small enough for one request and
 * a small buffer each, and at that rate requests are the least of the bill. */
#define EARLY_BYTES      ((uint64_t)4 << 20)
#define QUEUE_MAX        256u /* files that may wait for a failing replica */
#define QUEUE_STASH      1u   /* with that many waiting, the next goes to the outbox at once */
#define FAILING_CLOSE_NS ((int64_t)1000000000) /* shortest interval while nothing can be sent */
#define CLOCK_SLACK_MS   ((int64_t)600 * 1000) /* by which a clock is set back without a trace */
#define ROOM_MIN_NS      ((int64_t)1000000000) /* until a full disk is tried again; doubles ... */
#define ROOM_MAX_NS      ((int64_t)30 * 1000000000) /* ... up to this */

uint64_t wr_db_acked(const struct wr_db *db, bool *ret_any)
{
    uint64_t least = UINT64_MAX;

    *ret_any = false;
    for (size_t i = 0; i < db->n_replicas; i++) {
        const struct db_replica *dr = &db->replicas[i];

        if (dr->now->state == WR_REPLICA_STOPPED)
            continue;
        *ret_any = true;
        /* A number without the beginning it rests on is nothing that could be restored. */
        least = wr_min(least, dr->joined && dr->now->pos.whole ? dr->now->pos.txid : 0);
    }
    return *ret_any ? least : 0;
}

static bool may_join(const struct db_replica *dr)
{
    return !dr->joined && !dr->doubted && dr->now->state == WR_REPLICA_READY && !dr->stream;
}

/* The local disk was full a moment ago: nothing can be closed, and what is dirty keeps replicas
 * from joining. */
static bool waits_for_room(struct wr_db *db)
{
    if (wr_db_now_ns(db) >= db->room_ns)
        return false;
    wr_db_want(db, db->room_ns);
    return true;
}

bool wr_db_join_due(struct wr_db *db)
{
    if (waits_for_room(db))
        return false;
    if (wr_db_heal_least(db) > db->txid)
        return true;
    for (size_t i = 0; i < db->n_replicas; i++) {
        if (may_join(&db->replicas[i]))
            return true;
    }
    return false;
}

static bool any_joined(const struct wr_db *db)
{
    for (size_t i = 0; i < db->n_replicas; i++) {
        if (db->replicas[i].joined)
            return true;
    }
    return false;
}

/* When the replica can be given the next file. WR_NEVER: its answer to the last one comes first,
 * and wakes us; what is captured meanwhile goes along next time. */
static int64_t ship_ns(const struct wr_db *db, const struct db_replica *dr)
{
    uint64_t dirty_bytes = (uint64_t)db->dirty.map.n * db->view.page_size;

    if (!dr->joined || dr->stream || (dr->now->queued > 0 && !dr->now->failing))
        return WR_NEVER;
    if (dirty_bytes >= EARLY_BYTES || db->closed_ns == INT64_MIN)
        return INT64_MIN;
    return db->closed_ns +
           (dr->now->failing ? wr_max(dr->interval_ns, FAILING_CLOSE_NS) : dr->interval_ns);
}

int64_t wr_db_ship_ns(const struct wr_db *db)
{
    int64_t least = WR_NEVER;

    for (size_t i = 0; i < db->n_replicas; i++)
        least = wr_min(least, ship_ns(db, &db->replicas[i]));
    return least;
}

bool wr_db_ship_due(struct wr_db *db, bool forced)
{
    int64_t at = wr_db_ship_ns(db);

    if (waits_for_room(db))
        return false;
    if (wr_db_now_ns(db) >= at)
        return true;
    if (wr_db_behind(db) || !wr_pageset_empty(&db->dirty))
        wr_db_want(db, at);
    return forced && any_joined(db);
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

enum wr_status wr_db_list_pages(const struct wr_db *db, const struct wr_pageset *set,
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

    if (!changes || !page) {
        wr_free(changes);
        wr_free(page);
        return wr_fail(e, WR_NOMEM, "checksum changed pages");
    }
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

struct wr_ltx_header wr_db_header(const struct wr_db *db, uint64_t min, uint64_t pre)
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
        if (dr->now->queued >= QUEUE_MAX) {
            /* Enough: from here on the journal remembers which pages it lacks, at no cost a file.
             */
            dr->joined = false;
            wr_replica_rejoin(dr->r, "too many files wait for it");
            continue;
        }
        if (!wr_replica_push(dr->r, p, dr->now->found)) {
            dr->joined = false;
            wr_replica_rejoin(dr->r, "its position changed");
        } else {
            wr_toll_add(&dr->toll, p->size);
        }
    }
}

/* Those that are not given a file lack the TXID that was closed. */
static void note_lacking(struct wr_db *db)
{
    for (size_t i = 0; i < db->n_replicas; i++) {
        if (!db->replicas[i].joined)
            wr_replica_lacks(db->replicas[i].r, db->time_ms);
    }
}

/* And all of them lack one that cannot be closed. */
static void note_all_lacking(struct wr_db *db)
{
    if (db->no_rooms == 0)
        db->roomless_ms = db->time_ms;
    for (size_t i = 0; i < db->n_replicas; i++)
        wr_replica_lacks(db->replicas[i].r, db->roomless_ms);
}

uint64_t wr_db_ledger_sum(const struct wr_db *db, const uint32_t *pages, size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum ^= wr_ledger_page(db->ledger, pages[i]);
    return sum;
}

static bool any_waiting(const struct wr_db *db)
{
    for (size_t i = 0; i < db->n_replicas; i++) {
        if (db->replicas[i].joined && db->replicas[i].now->queued >= QUEUE_STASH)
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

/* `early` is that of make_early, or NULL. */
static enum wr_status make_and_push(struct wr_db *db, const struct wr_ledger_state *before,
    struct wr_parcel *early, const uint32_t *pages, size_t n, struct wr_err *e)
{
    struct wr_ltx_header h = wr_db_header(db, before->txid + 1, before->rolling);
    struct wr_parcel *p = early ? wr_parcel_ref(early) : NULL;
    struct wr_err why = {0};
    enum wr_status st = early ? WR_OK : wr_parcel_new(db->fs, &h, 0, db->lock_offset, &p, e);

    if (early) {
        wr_parcel_end(p, h.rolling_post);
    } else if (st == WR_OK) { /* they are read again, and may be others: a disk that rots */
        wr_parcel_use(p, db->parcel_room);
        wr_parcel_expect(p, wr_db_ledger_sum(db, pages, n));
        st = wr_parcel_fill(p, &db->view, pages, n, db->outbox, e);
    }
    if (st == WR_OK)
        wr_db_air_file(db, p);
    if (st == WR_OK && any_waiting(db) && wr_parcel_stash(p, db->outbox, &why) != WR_OK) {
        wr_log(DB_LOG(db), WR_DEBUG, "cannot use the outbox, keeping a file in memory", DB_NAME(db),
            WR_F_Z("error", why.text));
    }
    if (st == WR_OK)
        push_to_joined(db, p);
    wr_parcel_unref(p);
    return st;
}

/* More pages than a record of the journal may have: attach anew with a fresh ledger. */
static enum wr_status start_over(struct wr_db *db, size_t n, struct wr_err *e)
{
    if (wr_ledger_reset(db->ledger, NULL) != WR_OK)
        wr_log(DB_LOG(db), WR_DEBUG, "cannot clear the journal", DB_NAME(db));
    return wr_fail(e, WR_LIMIT, "%zu pages changed at once, starting the ledger over", n);
}

/* The local disk is full. The ledger is as it was, and what is dirty stays dirty: with room again
 * the next TXID takes all of it. The WAL is captured and checkpointed meanwhile. */
static void no_room(struct wr_db *db, struct wr_err *e)
{
    int64_t wait = wr_min(ROOM_MIN_NS << wr_min(db->no_rooms, 6u), ROOM_MAX_NS);

    wr_wrap(
        e, WR_LIMIT, "local disk full: %s, replication waits until there is room", db->meta_dir);
    note_all_lacking(db);
    if (db->no_rooms++ == 0)
        wr_db_trouble(db, WR_LIMIT, e,
            "disk full while staging ltx file, replication paused until space is freed");
    db->room_ns = wr_db_now_ns(db) + wait;
    wr_db_want(db, db->room_ns);
}

static void room_again(struct wr_db *db)
{
    struct wr_err none = {0};

    wr_log(DB_LOG(db), WR_INFO, "the local disk has room again, replication goes on", DB_NAME(db),
        WR_F_TXID("txid", db->txid), WR_F_U64("attempts", db->no_rooms));
    wr_db_trouble(db, WR_OK, &none, "");
    db->no_rooms = 0;
}

/* What was closed just now. */
static enum wr_status send_to_joined(struct wr_db *db, const struct wr_ledger_state *before,
    struct wr_parcel *early, const uint32_t *pages, size_t n, struct wr_err *e)
{
    /* A file of several TXIDs may arrive after a power cut that takes back what we know: they have
     * to be known as taken; and of all others, that there are some. That which fails here fails
     * those who join, too. */
    bool spans = db->txid > before->txid + 1 && !WR_MUTANT(NO_LEDGER_SYNC);
    enum wr_status st =
        spans || !wr_ledger_given(db->ledger) ? wr_ledger_sync(db->ledger, e) : WR_OK;

    if (st != WR_OK) {
        unjoin_all(db, e->text);
        return WR_OK;
    }
    st = make_and_push(db, before, early, pages, n, e);
    if (st == WR_OK || st == WR_CORRUPT || st == WR_IO)
        return st;
    /* No memory, no room in the outbox, or pages that are not those of the ledger. It has moved on
     * and knows the way from where the replicas are: they join again, with a file read while it is
     * sent, or when all pages were compared. */
    unjoin_all(db, e->text);
    return WR_OK;
}

/* TXID `txid` as a file, encoded before it is closed, and what it changes: so pages are read once.
 * NULL: it might not stay in memory, or something failed, which the other way meets again. */
static struct wr_parcel *make_early(
    struct wr_db *db, uint64_t txid, const uint32_t *pages, size_t n, struct wr_ledger_change **ret)
{
    struct wr_ledger_state before = wr_ledger_state(db->ledger);
    struct wr_ltx_header h = wr_db_header(db, before.txid + 1, before.rolling);
    struct wr_ledger_change *changes = wr_array(n ? n : 1, sizeof(*changes));
    uint64_t *sums = wr_array(n ? n : 1, sizeof(*sums));
    struct wr_parcel *p = NULL;
    enum wr_status st = changes && sums ? WR_OK : WR_NOMEM;

    h.commit = db->view.commit;
    h.max_txid = txid;
    if (st == WR_OK)
        st = wr_parcel_new(db->fs, &h, 0, db->lock_offset, &p, NULL);
    if (st == WR_OK) {
        wr_parcel_use(p, db->parcel_room);
        st = wr_parcel_begin(p, &db->view, pages, n, sums, NULL);
    }
    for (size_t i = 0; i < n && st == WR_OK; i++)
        changes[i] = (struct wr_ledger_change){pages[i], sums[i]};
    wr_free(sums);
    if (st == WR_OK) {
        *ret = changes;
        return p;
    }
    wr_free(changes);
    wr_parcel_unref(p);
    return NULL;
}

/* Move the ledger to TXID `txid` and send what changed to those who follow. OK, with nothing
 * changed, while it waits for room. */
static enum wr_status close_txid(struct wr_db *db, uint64_t txid, struct wr_err *e)
{
    struct wr_ledger_state before = wr_ledger_state(db->ledger);
    struct wr_ledger_change *changes = NULL;
    struct wr_parcel *early = NULL;
    uint32_t *pages = NULL;
    size_t n = 0;
    enum wr_status st, closing = WR_OK;

    assert(txid > db->txid);
    add_growth(db);
    st = wr_db_list_pages(db, &db->dirty, &pages, &n, e);
    if (st == WR_OK && any_joined(db))
        early = make_early(db, txid, pages, n, &changes);
    if (st == WR_OK && !early)
        st = checksum_pages(db, pages, n, &changes, e);
    if (st == WR_OK && !wr_ledger_can_close(db->ledger, n, db->view.commit))
        st = start_over(db, n, e);
    else if (st == WR_OK)
        closing = st =
            wr_ledger_close_txid(db->ledger, txid, changes, n, db->view.commit, &db->pos, e);
    if (closing == WR_LIMIT) {
        no_room(db, e);
        st = WR_OK;
    } else if (st == WR_OK) {
        db->txid = txid;
        db->closed_count = db->pos_count;
        if (db->no_rooms > 0)
            room_again(db);
        db->closed_ns = wr_db_now_ns(db);
        db->closed_ms = db->time_ms;
        wr_db_levels_note(db);
        db->commit_closed = db->view.commit;
        wr_pageset_clear(&db->dirty);
        wr_pageset_clear(&db->unnoted);
        if (any_joined(db))
            st = send_to_joined(db, &before, early, pages, n, e);
        note_lacking(db);
        wr_db_air_closed(db);
    }
    wr_parcel_unref(early);
    wr_free(changes);
    wr_free(pages);
    return st;
}

/* The least TXID that lets all replicas join that are to, and get the snapshot that they want. */
static enum wr_status least_txid(const struct wr_db *db, uint64_t *ret, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    *ret = 0;
    for (size_t i = 0; i < db->n_replicas && st == WR_OK; i++) {
        uint64_t least = 0;

        if (may_join(&db->replicas[i]))
            st = wr_db_join_least(db, &db->replicas[i], &least, e);
        *ret = wr_max(*ret, least);
    }
    *ret = wr_max(*ret, wr_db_heal_least(db));
    return st;
}

/* TXIDs that were taken by a history which a power cut took back may still arrive, as one file or
 * as several: none of them must reach as far as the next one of ours, or have its name. */
static uint64_t next_txid(const struct wr_db *db)
{
    uint64_t taken = wr_ledger_floor(db->ledger);

    return taken > db->txid && !WR_MUTANT(NO_LEAP) ? taken + WR_TXID_LEAP : db->txid + 1;
}

/* Times of files ascend over a clock that is corrected by minutes. One that was ahead by years for
 * a moment must not date all that comes after it: nothing would get old, and no restore by time
 * would find anything. */
static void note_time(struct wr_db *db, int64_t now_ms)
{
    if (db->time_ms > now_ms + CLOCK_SLACK_MS) {
        wr_log(DB_LOG(db), WR_WARN,
            "the clock was ahead, or is behind: new files get earlier times than those before them",
            DB_NAME(db), WR_F_I64("seconds", (db->time_ms - now_ms) / 1000));
        db->time_ms = now_ms;
    }
    db->time_ms = wr_max(db->time_ms, now_ms);
}

enum wr_status wr_db_ship(struct wr_db *db, struct wr_err *e)
{
    int64_t now_ms = wr_wall_ms(wr_sched_clock(db->actor.sched));
    uint64_t least = 0;
    enum wr_status st;

    assert(db->ledger && wr_ledger_state(db->ledger).txid > 0);
    if (waits_for_room(db))
        return WR_OK;
    note_time(db, now_ms);
    if (db->unlisted && !wr_pageset_empty(&db->dirty))
        wr_db_take_over(db);
    st = least_txid(db, &least, e);
    if (st == WR_OK && (!wr_pageset_empty(&db->dirty) || least > db->txid))
        st = close_txid(db, wr_max(next_txid(db), least), e);
    if (st == WR_OK && waits_for_room(db))
        return WR_OK;
    for (size_t i = 0; i < db->n_replicas && st == WR_OK; i++) {
        if (may_join(&db->replicas[i]))
            st = wr_db_join(db, &db->replicas[i], e);
    }
    return st;
}
