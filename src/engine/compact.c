/*
 * compact.c - files of the levels above 0, and snapshots from time to time.
 *
 * A file of level n covers what several of level n - 1 do, in one: a restore reads fewer files, and
 * those below need not be kept. Litestream merges them from the replica's objects. Here nothing is
 * read back: the journal knows which pages changed since a level's newest file, and the database
 * has what became of them. So a level's file is made as any other, of the last closed TXID, and
 * sent when the replica has that TXID at level 0: nothing rests on the level's files alone.
 *
 * Where the journal does not reach back to a level's end, the level begins anew where the database
 * is. Files of lower levels lie between, as plans allow.
 */
#include "engine/primary_int.h"

#include "engine/frozen.h"
#include "engine/layout.h"

#define RETAIN_NS        ((int64_t)60 * 1000000000) /* between looks for what can be deleted */
#define RETAIN_DOUBLINGS 6u                         /* of that while it fails */
#define RETRY_NS         ((int64_t)30 * 1000000000)
#define RETRY_MAX_NS     ((int64_t)600 * 1000000000)
#define JOURNAL_MAX      ((uint64_t)32 << 20) /* bytes kept for levels; beyond, they begin anew */

static bool is_kept(const struct wr_db *db, unsigned level)
{
    if (level == WR_LEVEL_SNAPSHOT)
        return db->cadence.snapshot_ms > 0;
    return level >= 1 && level <= db->cadence.levels;
}

static int64_t now_ms(const struct wr_db *db)
{
    return wr_wall_ms(wr_sched_clock(db->actor.sched));
}

static void count_below(const struct wr_db *db, struct db_level *lv, unsigned n)
{
    if (lv->below == 0)
        lv->since_ms = now_ms(db);
    lv->below = wr_min(lv->below + n, db->cadence.few);
}

void wr_db_levels_note(struct wr_db *db)
{
    for (size_t i = 0; i < db->n_replicas; i++)
        count_below(db, &db->replicas[i].levels[1], 1);
}

/* From where the database is. */
static void begin(const struct wr_db *db, struct db_level *lv)
{
    *lv = (struct db_level){.state = LEVEL_KNOWN,
        .txid = db->txid,
        .rolling = wr_ledger_state(db->ledger).rolling,
        .made_ms = now_ms(db),
        .retry_ns = lv->retry_ns};
}

/* Whether the level ends where it did when the replica was last looked at: a database that was let
 * go, and called back, looks each time, and would never count a few files. */
static bool goes_on(const struct wr_db *db, const struct db_replica *dr, unsigned level)
{
    const struct db_level *lv = &dr->levels[level];
    uint64_t end = dr->now.newest[level].max;

    return lv->state == LEVEL_KNOWN && !dr->joined_anew && lv->txid <= db->txid &&
           (end == lv->txid || end == 0); /* 0: it has begun, and got no file yet */
}

/* It has joined, and was listed before that. A snapshot that it joined with covers all that was. */
static void look_at_levels(const struct wr_db *db, struct db_replica *dr)
{
    for (unsigned level = 1; level <= WR_LEVEL_MAX; level++) {
        const struct wr_ltx_file *f = &dr->now.newest[level];
        bool lost = f->max == 0 || f->max > db->txid || dr->joined_anew;

        if (goes_on(db, dr, level))
            continue;
        dr->levels[level] = (struct db_level){
            .state = lost ? LEVEL_LOST : LEVEL_UNREAD, .txid = f->max, .made_ms = f->time_ms};
        if (level == WR_LEVEL_SNAPSHOT && !lost) /* each begins at TXID 1: no need to read it */
            dr->levels[level].state = LEVEL_KNOWN;
    }
    dr->levels_found = dr->now.found;
}

/* The keeper has sent the file that it was given. */
static void note_sent(const struct wr_db *db, struct db_replica *dr, unsigned level)
{
    dr->retain_due = true;
    if (level < db->cadence.levels && !dr->history[level + 1]) /* else it goes as far */
        count_below(db, &dr->levels[level + 1], 1);
    if (level == WR_LEVEL_SNAPSHOT)
        dr->levels[level].made_ms = now_ms(db);
}

static void note_end(const struct wr_db *db, struct db_level *lv, const struct wr_keeper_report *r)
{
    lv->state = r->has_rolling || r->file.level == WR_LEVEL_SNAPSHOT ? LEVEL_KNOWN : LEVEL_LOST;
    lv->tried = (struct wr_ltx_file){0};
    lv->txid = r->txid;
    lv->rolling = r->rolling;
    lv->failures = 0;
    if (!r->sent && !r->was_read) /* another one is there: how many came since is not known */
        count_below(db, lv, db->cadence.few);
}

/* Whether a file that was sent has arrived is not known before it was looked for. */
static void note_failure(const struct wr_db *db, const struct db_replica *dr, struct db_level *lv,
    const struct wr_keeper_report *r)
{
    bool gone = r->was_read && (r->st == WR_NOTFOUND || r->st == WR_CORRUPT);

    if (lv->state == LEVEL_ASKED)
        lv->state = gone ? LEVEL_LOST : LEVEL_UNREAD;
    if (gone)
        lv->tried = (struct wr_ltx_file){0};
    else if (!r->was_read)
        lv->tried = r->file;
    count_below(db, lv, db->cadence.few);
    if (gone)
        return;
    lv->retry_ns = wr_db_now_ns(db) + wr_min(RETRY_NS << wr_min(lv->failures, 10u), RETRY_MAX_NS);
    if (lv->failures++ == 0 && r->st != WR_CANCELED)
        wr_log(DB_LOG(db), WR_WARN, "cannot compact, trying again later", DB_NAME(db),
            WR_F_STR("replica", wr_storage_name(wr_replica_storage(dr->r))),
            WR_F_U64("level", r->file.level), WR_F_Z("error", r->text));
}

void wr_db_levels_drop(struct wr_db *db, struct db_replica *dr)
{
    for (unsigned level = 1; level <= WR_LEVEL_MAX; level++) {
        if (dr->history[level]) /* it is still to be made */
            count_below(db, &dr->levels[level], db->cadence.few);
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
    const struct wr_db *db, struct db_replica *dr, const struct wr_keeper_report *r)
{
    dr->retain_failures = r->st == WR_OK ? 0 : dr->retain_failures + 1;
    dr->retain_ns =
        wr_db_now_ns(db) + (retain_wait_ns(db) << wr_min(dr->retain_failures, RETAIN_DOUBLINGS));
    if (r->st == WR_OK)
        return;
    dr->retain_due = true;
    if (dr->retain_failures == 1 && r->st != WR_CANCELED)
        wr_log(DB_LOG(db), WR_WARN,
            "cannot delete old files of the replica, trying again later; without the permission to "
            "delete set retention.enabled to false",
            DB_NAME(db), WR_F_STR("replica", wr_storage_name(wr_replica_storage(dr->r))),
            WR_F_Z("error", r->text));
}

/* What the keeper has done. */
static void take_report(struct wr_db *db, struct db_replica *dr)
{
    struct wr_keeper_report r;
    struct db_level *lv;

    if (!wr_keeper_take(dr->keeper, &r))
        return;
    if (r.file.level == 0) {
        note_retention(db, dr, &r);
        return;
    }
    lv = &dr->levels[r.file.level];
    if (dr->history[r.file.level] && wr_parcel_streamed(dr->history[r.file.level]) &&
        wr_frozen_doubted(dr->history[r.file.level]->frozen))
        wr_db_doubt(db, dr);
    wr_db_stream_drop(db, &dr->history[r.file.level]);
    if (lv->state == LEVEL_UNREAD) /* it was listed again meanwhile */
        return;
    if (r.st == WR_OK) {
        note_end(db, lv, &r);
        if (r.sent)
            note_sent(db, dr, r.file.level);
    } else {
        note_failure(db, dr, lv, &r);
    }
}

static bool may_retry(struct wr_db *db, const struct db_level *lv)
{
    if (wr_db_now_ns(db) >= lv->retry_ns)
        return true;
    wr_db_want(db, lv->retry_ns);
    return false;
}

/* A level that goes on from nowhere does so from here. */
static void begin_lost(const struct wr_db *db, struct db_replica *dr)
{
    for (unsigned level = 1; level <= WR_LEVEL_MAX; level++) {
        if (is_kept(db, level) && dr->levels[level].state == LEVEL_LOST)
            begin(db, &dr->levels[level]);
    }
}

/* Where it ends, a file in the replica tells. */
static bool is_unread(const struct db_level *lv)
{
    return lv->state == LEVEL_UNREAD || lv->tried.max > 0;
}

/* When the level, one that is kept, is to get its next file. Times from the future are of a clock
 * that was set back since: nobody waits for them. */
static int64_t due_ms(const struct wr_db *db, struct db_level *lv, unsigned level)
{
    lv->made_ms = wr_min(lv->made_ms, now_ms(db));
    lv->since_ms = wr_min(lv->since_ms, now_ms(db));
    if (level == WR_LEVEL_SNAPSHOT)
        return wr_cadence_end(lv->made_ms, db->cadence.snapshot_ms);
    return wr_cadence_end(lv->since_ms, db->cadence.level_ms[level - 1]);
}

static bool is_due(struct wr_db *db, struct db_level *lv, unsigned level)
{
    bool enough = level == WR_LEVEL_SNAPSHOT || lv->below >= db->cadence.few;
    bool more = db->txid > lv->txid || lv->tried.max > 0;
    int64_t wait_ms;

    if (!is_kept(db, level) || !enough || !more || !may_retry(db, lv))
        return false;
    wait_ms = due_ms(db, lv, level) - now_ms(db);
    if (wait_ms > 0)
        wr_db_want(db, wr_db_now_ns(db) + wait_ms * 1000000);
    return wait_ms <= 0;
}

/* Up to which level files are due; 0: none is. */
static unsigned find_top(struct wr_db *db, struct db_replica *dr)
{
    unsigned top = 0;

    for (unsigned level = 1; level <= WR_LEVEL_MAX; level++)
        top = is_due(db, &dr->levels[level], level) ? level : top;
    return top;
}

/* Read where a level ends, of those up to `top`. False: there is no need to. */
static bool ask(struct wr_db *db, struct db_replica *dr, unsigned top)
{
    for (unsigned level = 1; level <= top; level++) {
        struct db_level *lv = &dr->levels[level];

        if (!is_kept(db, level) || !is_unread(lv))
            continue;
        if (lv->state == LEVEL_UNREAD)
            lv->state = LEVEL_ASKED;
        wr_keeper_read(dr->keeper, lv->tried.max > 0 ? &lv->tried : &dr->now.newest[level]);
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
    return wr_ledger_since(db->ledger, lv->txid, lv->rolling, pages, ret_known, e);
}

/* As a file that was merged has it: of no WAL, and nobody's. */
static struct wr_ltx_header header_of(
    const struct wr_db *db, const struct db_replica *dr, const struct db_level *lv, unsigned level)
{
    bool snapshot = level == WR_LEVEL_SNAPSHOT;
    struct wr_ltx_header h = wr_db_header(
        db, snapshot ? 1 : lv->txid + 1, snapshot ? WR_LTX_CHECKSUM_EMPTY : lv->rolling);

    h.time_ms = db->closed_ms ? db->closed_ms : dr->now.pos.time_ms;
    h.wal_off = h.wal_size = h.node_id = 0;
    memset(h.salt, 0, sizeof(h.salt));
    return h;
}

static enum wr_status make(
    struct wr_db *db, struct db_replica *dr, unsigned level, struct wr_err *e)
{
    struct db_level *lv = &dr->levels[level];
    struct wr_ltx_header h = header_of(db, dr, lv, level);
    struct wr_pageset pages;
    bool known = false;
    enum wr_status st;

    wr_pageset_init(&pages);
    st = find_pages(db, lv, level, &pages, &known, e);
    if (st == WR_OK && known)
        st = wr_db_make(db, &h, level, &pages, &dr->history[level], e);
    else if (st == WR_OK)
        lv->state = LEVEL_LOST;
    wr_pageset_release(&pages);
    lv->below = 0;
    if (st == WR_INTERNAL)
        wr_db_doubt(db, dr);
    if (st == WR_INTERNAL || st == WR_NOMEM || st == WR_LIMIT) { /* it can wait */
        lv->retry_ns = wr_db_now_ns(db) + RETRY_NS;
        count_below(db, lv, db->cadence.few);
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

    for (unsigned level = 1; level <= top && st == WR_OK; level++) {
        const struct db_level *lv = &dr->levels[level];

        if (is_kept(db, level) && lv->state == LEVEL_KNOWN && lv->txid < db->txid)
            st = make(db, dr, level, e);
    }
    return st;
}

/* Only of a replica that is as it should be. */
static bool retention_is_due(const struct wr_db *db, const struct db_replica *dr)
{
    return dr->retain_due && wr_db_now_ns(db) >= dr->retain_ns && dr->now.pos.whole &&
           !dr->now.contested && (db->retention.keep_ms > 0 || db->retention.l0_ms > 0);
}

static bool may_send(const struct db_replica *dr, const struct wr_parcel *p)
{
    return dr->now.pos.whole && dr->now.pos.txid >= p->header.max_txid;
}

/* What the keeper is to do next, which is idle. */
static enum wr_status give_work(struct wr_db *db, struct db_replica *dr, struct wr_err *e)
{
    unsigned level = next_level(dr), top;
    enum wr_status st = WR_OK;

    if (level == 0 && retention_is_due(db, dr)) {
        dr->retain_due = false;
        wr_keeper_retain(dr->keeper, &db->retention);
        return WR_OK;
    }
    if (level == 0) {
        begin_lost(db, dr);
        top = find_top(db, dr);
        if (ask(db, dr, top))
            return WR_OK;
        if (wr_pageset_empty(&db->dirty))
            st = make_up_to(db, dr, top, e);
        level = next_level(dr);
    }
    if (level > 0 && may_send(dr, dr->history[level]))
        wr_keeper_send(dr->keeper, dr->history[level]);
    return st;
}

static enum wr_status go_on(struct wr_db *db, struct db_replica *dr, struct wr_err *e)
{
    take_report(db, dr);
    if (wr_keeper_busy(dr->keeper))
        return WR_OK;
    if (!dr->joined || dr->now.failing) { /* who knows for how long; what it reads would be kept */
        wr_db_levels_drop(db, dr);
        return WR_OK;
    }
    if (dr->levels_found != dr->now.found) {
        wr_db_levels_drop(db, dr);
        look_at_levels(db, dr);
    }
    return give_work(db, dr, e);
}

enum wr_status wr_db_compact(struct wr_db *db, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    for (size_t i = 0; i < db->n_replicas && st == WR_OK; i++) {
        if (db->replicas[i].keeper)
            st = go_on(db, &db->replicas[i], e);
    }
    return st;
}

/* The level that goes on from furthest back, below `floor`; NULL: none does. */
static struct db_level *furthest_back(struct wr_db *db, uint64_t floor)
{
    struct db_level *least = NULL;

    for (size_t i = 0; i < db->n_replicas; i++) {
        struct db_replica *dr = &db->replicas[i];
        bool counts = dr->levels_found > 0 && dr->now.state != WR_REPLICA_STOPPED;

        for (unsigned level = 1; counts && level <= db->cadence.levels; level++) {
            struct db_level *lv = &dr->levels[level];

            if (lv->state != LEVEL_LOST && lv->txid < (least ? least->txid : floor))
                least = lv;
        }
    }
    return least;
}

uint64_t wr_db_levels_floor(struct wr_db *db, uint64_t floor)
{
    bool full = wr_ledger_history(db->ledger) > JOURNAL_MAX;
    struct db_level *lv;

    while ((lv = furthest_back(db, floor)) != NULL && full)
        lv->state = LEVEL_LOST;
    return lv ? lv->txid : floor;
}
