/*
 * compact.c - files of the levels above 0, and snapshots from time to time.
 *
 * A file of level n covers what several of level n - 1 do, in one: a restore reads fewer files, and
 * those below need not be kept. Litestream merges them from the replica's objects. Here nothing is
 * read back: the journal knows which pages changed since a level's newest file, and the database
 * has what became of them. So a level's file is made as any other, of the last closed TXID, and
 * sent when the replica has that TXID at level 0: nothing rests on the level's files alone.
 *
 * Where the journal does not reach back to a level's end, or files that are not of our history lie
 * between, the level begins anew where the database is. Files of lower levels lie between, as plans
 * allow.
 */
#include "engine/primary_replicas.h"

#include "engine/frozen.h"
#include "engine/layout.h"

#define RETAIN_NS        ((int64_t)60 * 1000000000) /* between looks for what can be deleted */
#define RETAIN_DOUBLINGS 6u                         /* of that while it fails */
#define RETRY_NS         ((int64_t)30 * 1000000000)
#define RETRY_MAX_NS     ((int64_t)600 * 1000000000)
#define SPOILED_MAX_NS   ((int64_t)24 * 3600 * 1000000000) /* where what was sent arrives damaged */

static int64_t now_ms(const struct wr_db *db)
{
    return wr_wall_ms(wr_sched_clock(db->actor.sched));
}

/* From where the database is. */
static void begin(const struct wr_db *db, struct db_level *lv)
{
    *lv = (struct db_level){.state = LEVEL_KNOWN,
        .txid = db->txid,
        .rolling = wr_ledger_state(db->ledger).rolling,
        .made_ms = now_ms(db),
        .retry_ns = lv->retry_ns,
        .failures = lv->failures,
        .spoiled = lv->spoiled};
}

/* Whether the level ends where it did when the replica was last looked at, or began anew since: a
 * database that was let go, and called back, looks each time, and would never count a few files. */
static bool goes_on(
    const struct wr_db *db, const struct db_replica *dr, unsigned level, uint64_t end)
{
    const struct db_level *lv = wr_db_level(dr, level);
    uint64_t strays = wr_ledger_strays(db->ledger).txid;
    bool is_end = end == lv->txid || end == 0; /* 0: it has got no file yet */

    return lv->state == LEVEL_KNOWN && dr->joined_by != JOINED_BY_SNAPSHOT &&
           lv->txid <= db->txid && (is_end || (end < strays && strays <= lv->txid));
}

/* Of one below 9 the file at its end tells from where it goes on; with strays between, that is
 * behind these. */
static void go_on_behind(
    const struct wr_db *db, struct db_level *lv, const struct wr_level_tally *l)
{
    const struct wr_ledger_point strays = wr_ledger_strays(db->ledger);

    lv->state = LEVEL_UNREAD;
    if (lv->txid < strays.txid) {
        lv->state = LEVEL_KNOWN;
        lv->txid = strays.txid;
        lv->rolling = strays.rolling;
    }
    lv->since_ms = l->since_ms;
    lv->below = wr_min(l->below, db->cadence.few);
}

/* It has joined, and was listed before that. A snapshot that it joined with covers all that was.
 * False: it was listed again meanwhile, and has to join once more. */
static bool look_at_levels(const struct wr_db *db, struct db_replica *dr)
{
    bool counted = false; /* the file that it joined with */
    struct wr_tally t;

    if (!wr_replica_tally(dr->r, dr->now->found, &t))
        return false;
    for (unsigned level = wr_db_level_after(db, 0); level <= WR_LEVEL_MAX;
         level = wr_db_level_after(db, level)) {
        const struct wr_level_tally *l = &t.level[level % WR_LEVEL_SNAPSHOT];
        bool snapshot = level == WR_LEVEL_SNAPSHOT;
        const struct wr_ltx_file *f = snapshot ? &t.snapshot : &l->end;
        struct db_level *lv = wr_db_level(dr, level);

        if (goes_on(db, dr, level, f->max)) {
            counted = counted || level == 1;
            continue;
        }
        *lv = (struct db_level){.state = LEVEL_LOST,
            .spoiled = lv->spoiled,
            .retry_ns = lv->spoiled ? lv->retry_ns : 0};
        if (f->max == 0 || f->max > db->txid || dr->joined_by == JOINED_BY_SNAPSHOT)
            continue;
        lv->state = LEVEL_KNOWN; /* snapshots all begin at TXID 1: what is in it does not matter */
        lv->end = *f;
        lv->txid = f->max;
        lv->made_ms = f->time_ms;
        if (!snapshot)
            go_on_behind(db, lv, l);
    }
    if (dr->joined_by == JOINED_BY_CHANGES && !counted && wr_db_level_kept(db, 1))
        wr_db_level_count(db, wr_db_level(dr, 1), 1);
    dr->levels_found = dr->now->found;
    wr_replica_tally_done(dr->r, dr->now->found);
    return true;
}

/* The keeper has sent the file that it was given. */
static void note_sent(const struct wr_db *db, struct db_replica *dr, unsigned level)
{
    dr->retain_due = true;
    if (level < db->cadence.levels && !dr->history[level + 1]) /* else it goes as far */
        wr_db_level_count(db, wr_db_level(dr, level + 1), 1);
    if (level == WR_LEVEL_SNAPSHOT) {
        wr_db_level(dr, level)->made_ms = now_ms(db);
        dr->seen = dr->toll.snapshot;
    }
}

static void note_end(const struct wr_db *db, struct db_level *lv, const struct wr_keeper_report *r)
{
    lv->state = r->has_rolling || r->level == WR_LEVEL_SNAPSHOT ? LEVEL_KNOWN : LEVEL_LOST;
    lv->tried = (struct wr_ltx_file){0};
    lv->txid = r->txid;
    lv->rolling = r->rolling;
    lv->failures = lv->spoiled = 0;
    if (!r->sent && !r->was_read) /* another one is there: how many came since is not known */
        wr_db_level_count(db, lv, db->cadence.few);
}

static void retry_later(const struct wr_db *db, struct db_level *lv, unsigned *n, int64_t max_ns)
{
    lv->retry_ns = wr_db_now_ns(db) + wr_min(RETRY_NS << wr_min(*n, 12u), max_ns);
    (*n)++;
}

/* The replica has a file that is no good. The level begins anew, with another name, and what the
 * file covers stays. A snapshot comes at once, as others would not for a day; where each of them is
 * spoiled on its way, ever more rarely, as each costs as much as the database is large. */
static void note_damage(
    struct wr_db *db, struct db_replica *dr, struct db_level *lv, const struct wr_keeper_report *r)
{
    lv->state = LEVEL_LOST;
    dr->retain_due = true;
    wr_db_work_failed(db, dr, r->level, r->st, wr_text(&r->text));
    retry_later(db, lv, &lv->spoiled, SPOILED_MAX_NS);
    if (r->level == WR_LEVEL_SNAPSHOT)
        wr_db_heal_behind(db, dr, r->file.max);
    wr_log(DB_LOG(db), WR_ERROR,
        "a file in a replica is damaged, its level begins anew: restores do without it, and all "
        "that it covers is kept; if that happens again look at the store, and at what is between",
        DB_NAME(db), WR_F_STR("replica", wr_storage_name(wr_replica_storage(dr->r))),
        WR_F_Z("error", wr_text(&r->text)));
}

/* What ends as its replica does is told with that. */
static bool is_news(const struct db_replica *dr, enum wr_status st)
{
    return st != WR_CANCELED && dr->now->state != WR_REPLICA_STOPPED;
}

/* Whether a file that was sent has arrived is not known before it was looked for. */
static void note_failure(
    struct wr_db *db, struct db_replica *dr, struct db_level *lv, const struct wr_keeper_report *r)
{
    bool gone = r->damaged || (r->was_read && (r->st == WR_NOTFOUND || r->st == WR_CORRUPT));

    if (lv->state == LEVEL_ASKED)
        lv->state = gone ? LEVEL_LOST : LEVEL_UNREAD;
    if (gone || !r->was_read) {
        lv->tried = gone ? (struct wr_ltx_file){0} : r->file;
        lv->tried_checksum = r->checksum;
    }
    wr_db_level_count(db, lv, db->cadence.few);
    if (r->damaged)
        note_damage(db, dr, lv, r);
    if (gone)
        return;
    if (r->st != WR_CANCELED)
        wr_db_work_failed(db, dr, r->level, r->st, wr_text(&r->text));
    retry_later(db, lv, &lv->failures, RETRY_MAX_NS);
    if (lv->failures == 1 && is_news(dr, r->st))
        wr_log(DB_LOG(db), WR_WARN, "compaction failed, trying again later", DB_NAME(db),
            WR_F_STR("replica", wr_storage_name(wr_replica_storage(dr->r))),
            WR_F_U64("level", r->level), WR_F_Z("error", wr_text(&r->text)));
}

void wr_db_levels_drop(struct wr_db *db, struct db_replica *dr)
{
    for (unsigned level = 1; level <= WR_LEVEL_MAX; level++) {
        if (dr->history[level]) /* it is still to be made */
            wr_db_level_count(db, wr_db_level(dr, level), db->cadence.few);
        wr_db_stream_drop(db, &dr->history[level]);
    }
}

/* The lowest level of which a file waits, or is being sent; 0: none. */
static unsigned next_level(const struct db_replica *dr)
{
    for (unsigned level = 1; level <= WR_LEVEL_MAX; level++) {
        if (dr->history[level])
            return level;
    }
    return 0;
}

/* What is found too old is deleted when it has been so for as long as its readers may need. */
static int64_t retain_wait_ns(const struct wr_db *db)
{
    int64_t grace_ms = db->retention.grace_ms;

    return grace_ms > 0 ? wr_min(RETAIN_NS, grace_ms * 1000000) : RETAIN_NS;
}

static void note_retention(
    struct wr_db *db, struct db_replica *dr, const struct wr_keeper_report *r)
{
    dr->removed += r->removed;
    if (dr->retaining) {
        wr_db_work_reported(db, dr, WR_WORK_RETAIN, r, dr->removed);
        dr->removed = 0;
    }
    dr->retaining = false;
    dr->retain_failures = r->st == WR_OK ? 0 : dr->retain_failures + 1;
    dr->retain_ns =
        wr_db_now_ns(db) + (retain_wait_ns(db) << wr_min(dr->retain_failures, RETAIN_DOUBLINGS));
    if (r->st == WR_OK)
        return;
    dr->retain_due = true;
    if (dr->retain_failures == 1 && is_news(dr, r->st))
        wr_log(DB_LOG(db), WR_WARN,
            "retention enforcement failed, trying again later; without the permission to delete "
            "set retention.enabled to false",
            DB_NAME(db), WR_F_STR("replica", wr_storage_name(wr_replica_storage(dr->r))),
            WR_F_Z("error", wr_text(&r->text)));
}

static void note_report(struct wr_db *db, struct db_replica *dr, const struct wr_keeper_report *r)
{
    struct db_level *lv;
    bool arrived;

    if (dr->looking) {
        wr_db_snapshot_looked(db, dr, r);
        return;
    }
    if (r->level == 0) {
        note_retention(db, dr, r);
        return;
    }
    lv = wr_db_level(dr, r->level);
    if (dr->history[r->level] && wr_parcel_streamed(dr->history[r->level]) &&
        wr_frozen_doubted(dr->history[r->level]->frozen))
        wr_db_doubt(db, dr);
    wr_db_stream_drop(db, &dr->history[r->level]);
    if (lv->state == LEVEL_UNREAD && !r->damaged) /* it was listed again meanwhile */
        return;
    arrived = !r->was_read || lv->tried.max > 0;
    if (r->st != WR_OK) {
        note_failure(db, dr, lv, r);
        return;
    }
    note_end(db, lv, r);
    if (arrived)
        wr_toll_cover(&dr->toll, r->level, r->txid, r->file.size, r->sent ? r->checksum : 0);
    if (r->sent)
        note_sent(db, dr, r->level);
}

/* What the keeper has done. */
static void take_report(struct wr_db *db, struct db_replica *dr)
{
    struct wr_keeper_report r;

    if (!wr_keeper_take(dr->keeper, &r))
        return;
    note_report(db, dr, &r);
    wr_text_release(&r.text);
}

/* A level that goes on from nowhere does so from here. */
static void begin_lost(const struct wr_db *db, struct db_replica *dr)
{
    for (unsigned level = wr_db_level_after(db, 0); level <= WR_LEVEL_MAX;
         level = wr_db_level_after(db, level)) {
        if (wr_db_level(dr, level)->state == LEVEL_LOST)
            begin(db, wr_db_level(dr, level));
    }
}

/* Where it ends, a file in the replica tells. */
static bool is_unread(const struct db_level *lv)
{
    return lv->state == LEVEL_UNREAD || lv->tried.max > 0;
}

/* Whether a level gets a file when `top` does: a snapshot also where they are made only on demand.
 */
static bool is_made(const struct wr_db *db, unsigned level, unsigned top)
{
    return wr_db_level_kept(db, level) || (level == WR_LEVEL_SNAPSHOT && level == top);
}

/* Read where a level ends, of those up to `top`. False: there is no need to. */
static bool ask(struct wr_db *db, struct db_replica *dr, unsigned top)
{
    for (unsigned level = wr_db_level_after(db, 0); level <= top;
         level = wr_db_level_after(db, level)) {
        struct db_level *lv = wr_db_level(dr, level);

        if (!is_made(db, level, top) || !is_unread(lv))
            continue;
        if (lv->state == LEVEL_UNREAD)
            lv->state = LEVEL_ASKED;
        if (lv->tried.max > 0)
            wr_keeper_confirm(dr->keeper, &lv->tried, lv->tried_checksum);
        else
            wr_keeper_read(dr->keeper, level, &lv->end);
        return true;
    }
    return false;
}

/* Which pages, and after what. False: the way from there is not known. */
static enum wr_status find_pages(struct wr_db *db, const struct db_level *lv, unsigned level,
    struct wr_pageset *pages, bool *ret_known, struct wr_err *e)
{
    if (level == WR_LEVEL_SNAPSHOT) {
        wr_pageset_set_all(pages);
        *ret_known = true;
        return WR_OK;
    }
    if (lv->txid < wr_ledger_strays(db->ledger).txid) {
        *ret_known = false;
        return WR_OK;
    }
    return wr_ledger_since(db->ledger, lv->txid, lv->rolling, pages, ret_known, e);
}

/* As a file that was merged has it: of no WAL, and nobody's. */
static struct wr_ltx_header header_of(
    const struct wr_db *db, const struct db_replica *dr, const struct db_level *lv, unsigned level)
{
    bool snapshot = level == WR_LEVEL_SNAPSHOT;
    struct wr_ltx_header h = wr_db_header(
        db, snapshot ? 1 : lv->txid + 1, snapshot ? WR_LTX_CHECKSUM_EMPTY : lv->rolling);

    h.time_ms = db->closed_ms ? db->closed_ms : dr->now->pos.time_ms;
    h.wal_off = h.wal_size = h.node_id = 0;
    memset(h.salt, 0, sizeof(h.salt));
    return h;
}

static enum wr_status make(
    struct wr_db *db, struct db_replica *dr, unsigned level, struct wr_err *e)
{
    struct db_level *lv = wr_db_level(dr, level);
    struct wr_ltx_header h = header_of(db, dr, lv, level);
    struct wr_pageset pages;
    bool known = false;
    enum wr_status st;

    wr_pageset_init(&pages);
    st = find_pages(db, lv, level, &pages, &known, e);
    if (st == WR_OK && known)
        st = wr_db_make(db, &h, level, &pages, &dr->history[level], e);
    else if (st == WR_OK) {
        lv->state = LEVEL_LOST;
        wr_db_want(db, wr_db_now_ns(db)); /* it begins anew, and who waits for it is told */
    }
    wr_pageset_release(&pages);
    lv->below = 0;
    if (st == WR_INTERNAL)
        wr_db_doubt(db, dr);
    if (st == WR_INTERNAL || st == WR_NOMEM || st == WR_LIMIT) { /* it can wait */
        wr_db_work_failed(db, dr, level, st, e->text);
        lv->retry_ns = wr_db_now_ns(db) + RETRY_NS;
        wr_db_level_count(db, lv, db->cadence.few);
        st = WR_OK;
    }
    return st;
}

/* With a file of a level those below it get theirs, up to the same TXID, so that no file straddles
 * the end of one of a level above, or of a snapshot. */
static enum wr_status make_up_to(
    struct wr_db *db, struct db_replica *dr, unsigned top, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    if (top > 0)
        wr_toll_mark(&dr->toll);
    if (top == WR_LEVEL_SNAPSHOT)
        wr_db_snapshot_say(db, dr);
    for (unsigned level = wr_db_level_after(db, 0); level <= top && st == WR_OK;
         level = wr_db_level_after(db, level)) {
        const struct db_level *lv = wr_db_level(dr, level);
        bool further =
            lv->txid < db->txid || (level == WR_LEVEL_SNAPSHOT && dr->toll.snapshot < db->txid);

        if (is_made(db, level, top) && lv->state == LEVEL_KNOWN && further)
            st = make(db, dr, level, e);
    }
    return st;
}

/* Only of a replica that is as it should be. */
static bool may_delete(const struct db_replica *dr)
{
    return dr->now->pos.whole && !dr->now->contested;
}

static bool retention_is_due(const struct wr_db *db, const struct db_replica *dr)
{
    return dr->retain_due && wr_db_now_ns(db) >= dr->retain_ns && may_delete(dr) &&
           (db->retention.keep_ms > 0 || db->retention.l0_ms > 0);
}

/* Because somebody asked for it. False: nobody did, or it is answered, or it cannot be done yet. */
static bool retain_now(struct wr_db *db, struct db_replica *dr)
{
    if (!wr_db_work_pending(dr, WR_WORK_RETAIN))
        return false;
    if (db->retention.keep_ms <= 0 && db->retention.l0_ms <= 0) {
        wr_db_work_end(db, dr, WR_WORK_RETAIN, WR_OK, 0, "");
        return false;
    }
    if (may_delete(dr)) {
        dr->retain_due = false;
        dr->retaining = true;
        wr_keeper_retain(dr->keeper, &db->retention, true);
    } else if (dr->now->queued == 0) {
        wr_db_work_end(db, dr, WR_WORK_RETAIN, WR_CONFLICT, 0,
            "nothing is deleted from a replica that others have written to, or that lacks files");
    }
    return dr->retaining;
}

static bool may_send(const struct db_replica *dr, const struct wr_parcel *p)
{
    return dr->now->pos.whole && dr->now->pos.txid >= p->header.max_txid;
}

/* What the keeper is to do next, which is idle. */
static enum wr_status give_work(struct wr_db *db, struct db_replica *dr, struct wr_err *e)
{
    unsigned level = next_level(dr), top;
    enum wr_status st = WR_OK;

    if (level == 0 && retention_is_due(db, dr)) {
        dr->retain_due = false;
        wr_keeper_retain(dr->keeper, &db->retention, false);
        return WR_OK;
    }
    if (level == 0) {
        begin_lost(db, dr);
        top = wr_db_level_top(db, dr);
        if (top == 0 && retain_now(db, dr))
            return WR_OK;
        if (ask(db, dr, top))
            return WR_OK;
        if (wr_pageset_empty(&db->dirty))
            st = make_up_to(db, dr, top, e);
        level = next_level(dr);
        if (top == 0)
            wr_db_work_kept_up(db, dr);
    }
    if (level > 0 && may_send(dr, dr->history[level]))
        wr_keeper_send(dr->keeper, dr->history[level]);
    return st;
}

static enum wr_status go_on(struct wr_db *db, struct db_replica *dr, struct wr_err *e)
{
    take_report(db, dr);
    wr_db_works_on(db, dr);
    if (wr_keeper_busy(dr->keeper) || wr_db_snapshot_look(dr))
        return WR_OK;
    if (!dr->joined || dr->now->failing) { /* who knows for how long; what it reads would be kept */
        wr_db_levels_drop(db, dr);
        return WR_OK;
    }
    if (dr->levels_found != dr->now->found) {
        wr_db_levels_drop(db, dr);
        if (!look_at_levels(db, dr))
            return WR_OK;
    }
    wr_db_heal(db, dr);
    return give_work(db, dr, e);
}

enum wr_status wr_db_compact(struct wr_db *db, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    for (size_t i = 0; i < db->n_replicas && st == WR_OK; i++)
        st = go_on(db, &db->replicas[i], e);
    return st;
}
