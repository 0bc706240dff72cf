/*
 * checkpoint.c - the WAL back into the database: never a lost frame, never a long stall.
 *
 * Invariant I1: whenever a writer could reset the WAL, everything checkpointed has been captured.
 *
 * Bulk: take a read mark on the second connection, capture, which reaches at least that mark, then
 * run a PASSIVE checkpoint, which stops at it; then let go. Writers never wait. Repeat while much
 * is left and it helps. Capturing before the checkpoint keeps I1 even if capturing fails.
 *
 * Barrier: take the writer lock, so that nobody can commit; capture the tail; checkpoint it; let
 * go. The next writer may then reset the WAL and overwrite a short, warm file. When the file has
 * become much longer than it need be, and it is quiet, TRUNCATE in place of PASSIVE gives the space
 * back.
 *
 * A file that is being sent from the live database (frozen.h) does not keep either from running:
 * the pages that it has yet to read, and that would be overwritten, are copied aside first. That
 * costs a write each, so meanwhile checkpoints come at a longer WAL.
 *
 * Both hold a read mark or the writer lock while they checkpoint, which is what makes them immune
 * to SQLite's WAL-reset bug (3.7.0 to 3.51.2). A reader that pins an old mark keeps the checkpoint
 * from finishing: never wait for it under the barrier, come back later, or at once when it has
 * left.
 */
#include "engine/primary_int.h"

#include "base/mutant.h"
#include "sqlite/holders.h"
#include "sqlite/wal.h"

#define BULK_LEFT       64u /* frames that are not worth a pass */
#define BULK_ROUNDS     8
#define BARRIER_LEFT    2048u /* more than that is not copied while writers wait ... */
#define CHASED_LEFT     8192u /* ... nor that, of a long WAL that passes do not shorten ... */
#define PUT_OFFS_MAX    2u    /* ... unless a writer is so fast that it never gets less */
#define UNSYNCED_LEFT   512u  /* frames that passes copied: no more are synced while they wait */
#define SYNCS           3u    /* for that, in one checkpoint */
#define PACE_NS         ((int64_t)30 * 1000000) /* between two, ... */
#define PACE_FACTOR     5u /* ... unless the WAL is that many times the threshold */
#define HURRY_FACTOR    8u /* from there on writers rather wait longer than that it grows */
#define BARRIER_NS      ((int64_t)50 * 1000000) /* patience for the writer lock; nobody waits */
#define BUSY_NS         ((int64_t)2 * 1000000)  /* until the next try for the writer lock */
#define STUCK_SAY       6u                      /* fruitless checkpoints before a word about it */
#define STUCK_MIN_NS    ((int64_t)50 * 1000000)
#define STUCK_MAX_NS    ((int64_t)10 * 1000000000)
#define STUCK_GROWS_NS  ((int64_t)1 * 1000000000) /* the longest, when the WAL has grown since */
#define STUCK_MOVES_NS  ((int64_t)100 * 1000000)  /* ... and readers have let go of much */
#define PROBE_NS        ((int64_t)5 * 1000000) /* until it is seen again whether one has left ... */
#define PROBE_LONG_NS   ((int64_t)50 * 1000000) /* ... and where the same one stays */
#define MOMENT_MIN      ((uint64_t)4 << 20)     /* bytes that are copied at once when it has: ... */
#define MOMENT_MAX      ((uint64_t)8 << 20)
#define MOMENT_SHARE    16u /* ... such a part of the WAL, as writers wait for it */
#define CALM_FACTOR     5u  /* a WAL that grows slowly may become so much longer ... */
#define CALM_NS         ((int64_t)2 * 1000000000)  /* ... until so long after the last time ... */
#define CALM_BUSY_NS    ((int64_t)10 * 1000000000) /* ... if nothing was in the way for so long */
#define STREAM_FACTOR   4u /* the threshold is so much higher while a file is read from here */
#define KEEP_STEP       ((uint64_t)64 << 20) /* bytes that one step copies aside for it, ... */
#define KEEP_SEALED     ((uint64_t)8 << 20)  /* ... and that it does while writers wait */
#define CUT_NS          ((int64_t)60 * 1000000000) /* until a silent WAL is tried to be cut again */
#define TRUNCATE_FACTOR 8u  /* a WAL that many times the threshold is cut when it is quiet ... */
#define TRUNCATE_FORCED 64u /* ... and that many times, when it is not */

static uint32_t left(const struct wr_db *db)
{
    return db->seen.mx_frame - wr_min(db->view.backfilled, db->seen.mx_frame);
}

bool wr_db_wal_is_long(const struct wr_db *db)
{
    return db->wal_high > db->checkpoint_frames * TRUNCATE_FACTOR;
}

void wr_db_measure_wal(struct wr_db *db)
{
    const uint64_t frame = WR_FRAME_HEADER + db->view.page_size;
    uint64_t bytes = 0;

    if (wr_conn_wal_bytes(db->conn, &bytes, NULL) != WR_OK)
        return; /* it is not known to be long, and is looked at again */
    db->wal_high = wr_max(db->wal_high, (uint32_t)wr_min(bytes / frame, (uint64_t)UINT32_MAX));
    if (wr_db_wal_is_long(db) && db->idle_ckpt_ns == WR_NEVER)
        wr_db_was_busy(db);
}

/* The WAL is so long that it is to start over at the next chance. */
static bool hurries(const struct wr_db *db)
{
    return db->seen.mx_frame > db->checkpoint_frames * HURRY_FACTOR;
}

/* Each barrier makes a writer wait for at least three flushes, one of its own: a fast one would
 * wait for the greater part of its time. */
static bool too_soon(struct wr_db *db, int64_t now, uint32_t frames)
{
    int64_t pace_ns = db->checkpoint_ns + PACE_NS;

    if (now >= pace_ns || db->seen.mx_frame >= frames * PACE_FACTOR)
        return false;
    wr_db_want(db, pace_ns);
    return true;
}

static bool has_grown(const struct wr_db *db)
{
    return db->seen.mx_frame != db->stuck_frame;
}

/* The longer the WAL, the more it is worth. */
static uint32_t moment_frames(const struct wr_db *db)
{
    uint32_t least = (uint32_t)(MOMENT_MIN / db->view.page_size);
    uint32_t most = (uint32_t)(MOMENT_MAX / db->view.page_size);

    return wr_min(wr_max(db->seen.mx_frame / MOMENT_SHARE, least), most);
}

/* Whether readers that come and go have let go of enough to be copied. */
static bool may_copy(const struct wr_db *db)
{
    uint32_t enough = wr_min(db->checkpoint_frames, moment_frames(db) / 2);

    return db->probe_every_ns == PROBE_NS && left(db) > db->stuck_left + enough;
}

/* When to try again. While nothing is written, a reader in the way does no harm. Where the WAL
 * grows, it may be one of many that come and go, and each try saves what their marks let go of. */
static int64_t next_try_ns(const struct wr_db *db)
{
    int64_t grown_ns = db->stuck_ns + (may_copy(db) ? STUCK_MOVES_NS : STUCK_GROWS_NS);

    return has_grown(db) ? wr_min(db->stuck_until_ns, grown_ns) : db->stuck_until_ns;
}

/* Reads that overlap leave moments without one, and only then a checkpoint gets through: such a
 * moment is looked for while the WAL grows. */
static bool readers_left(struct wr_db *db, int64_t now)
{
    if (!has_grown(db) || db->probe_every_ns == 0)
        return false;
    if (now >= db->probe_ns) {
        db->probe_ns = now + db->probe_every_ns;
        db->moment = !wr_conn_reader_in_way(db->conn, &db->seen);
    }
    wr_db_want(db, db->probe_ns);
    return db->moment;
}

/* Whether to let it grow: a page that is changed again meanwhile is copied and synced once. Not
 * where it would become far too long before the time is over, nor where somebody chose its length.
 * Four thousand frames are one table of the index: readers find them as fast as eight hundred. */
static bool may_grow(struct wr_db *db, int64_t now)
{
    const int64_t since_ns = now - db->checkpoint_ns;
    const uint64_t frames = db->seen.mx_frame, most = (uint64_t)db->checkpoint_frames * CALM_FACTOR;

    if (!db->patient || frames >= most || since_ns >= CALM_NS || db->unchecked ||
        frames * (uint64_t)CALM_NS > 2 * most * (uint64_t)since_ns)
        return false;
    if (db->stuck_ns != 0 && now - db->stuck_ns < CALM_BUSY_NS)
        return false;
    wr_db_want(db, db->checkpoint_ns + CALM_NS);
    return true;
}

bool wr_db_checkpoint_due(struct wr_db *db)
{
    int64_t now = wr_db_now_ns(db);
    bool silent = now >= db->idle_ckpt_ns;
    bool cut = (wr_db_wal_is_long(db) && silent) || db->unchecked;
    bool read_from = wr_db_streaming(db) || wr_db_proving(db);
    uint32_t frames = db->checkpoint_frames * (read_from ? STREAM_FACTOR : 1);

    if (left(db) == 0 && !cut) {
        if (!wr_db_wal_is_long(db))
            db->idle_ckpt_ns = WR_NEVER;
        return false;
    }
    if (!silent && !db->unchecked && (db->seen.mx_frame < frames || too_soon(db, now, frames)))
        return false;
    if (!silent && !read_from && may_grow(db, now))
        return false;
    if (now < next_try_ns(db) && !readers_left(db, now)) {
        wr_db_want(db, next_try_ns(db));
        return false;
    }
    return true;
}

/* How one attempt at a checkpoint went. */
struct attempt {
    bool moment;  /* no reader is in the way just now, as was waited for */
    bool held;    /* the barrier was had */
    bool more;    /* there was more to copy aside than it had time for */
    bool blocked; /* it cannot be copied aside */
    bool late;    /* so much was written before the barrier was had that it was let go */
    bool chased;  /* a writer is as fast as the passes: another would leave as much */
};

/* Whether a warning is news. */
static bool first_word(struct wr_db *db, enum db_warned what)
{
    bool first = !(db->warned & what);

    db->warned |= what;
    return first;
}

/* Whether a checkpoint of what was captured takes nothing from files that are being sent. */
static bool keep(struct wr_db *db, uint64_t bytes, struct attempt *a)
{
    struct wr_err e = {0};
    bool all = false;

    if (WR_MUTANT(KEEP_NOTHING))
        return true;
    if (wr_db_streams_keep(db, bytes, &all, &e) != WR_OK) {
        a->blocked = true;
        if (first_word(db, DB_WARNED_KEEP)) {
            wr_log(DB_LOG(db), WR_WARN,
                "cannot copy aside old pages that are yet to be read from the database; the WAL "
                "grows until they were",
                DB_NAME(db), WR_F_Z("error", e.text));
        }
    }
    a->more = !all && !a->blocked;
    return all;
}

/* What the kernel could not write it tells once, and then takes for clean: the next sync succeeds
 * without it. But SQLite counts what a pass has copied before that is synced. */
void wr_db_copy_again(struct wr_db *db)
{
    if (db->view.backfilled <= db->durable)
        return;
    db->view.backfilled = db->durable;
    db->copy_again = true;
    wr_db_settle_backfill(db);
}

/* The database's disk is full, and nothing can be done but wait. The local disk, which may be the
 * same, keeps its word in status. */
static void no_room(struct wr_db *db, struct attempt *a, struct wr_err *e)
{
    a->blocked = true;
    if (!first_word(db, DB_WARNED_FULL))
        return;
    wr_wrap(e, WR_LIMIT, "%s", WR_DB_FULL_TEXT);
    if (db->no_rooms > 0) {
        wr_log(DB_LOG(db), WR_WARN, "cannot checkpoint", DB_NAME(db), WR_F_Z("error", e->text));
    } else {
        wr_db_trouble(db, WR_LIMIT, e, "cannot checkpoint");
    }
}

static void room_again(struct wr_db *db)
{
    struct wr_err none = {0};

    if (!(db->warned & DB_WARNED_FULL))
        return;
    db->warned &= ~(unsigned)DB_WARNED_FULL;
    wr_log(DB_LOG(db), WR_INFO, "the database's disk has room again, the WAL is being checkpointed",
        DB_NAME(db), WR_F_U64("wal_frames", db->seen.mx_frame));
    if (db->no_rooms == 0)
        wr_db_trouble(db, WR_OK, &none, "");
}

/* One checkpoint; BUSY of a reader in the way is decided by what is left. */
static enum wr_status checkpoint(
    struct wr_db *db, bool truncate, struct attempt *a, struct wr_err *e)
{
    struct wr_db_effort *work = truncate ? &db->status.counts.truncate : &db->status.counts.passive;
    int64_t began_ns = wr_db_now_ns(db);
    enum wr_status st = wr_conn_checkpoint(db->conn, truncate, e);
    /* A TRUNCATE that got through has reset the index after copying everything. */
    uint32_t filled = truncate && st == WR_OK ? db->pos.frame : wr_conn_backfill(db->conn);

    wr_db_worked(db, work, began_ns, st);
    if (filled != db->view.backfilled || (st != WR_OK && st != WR_BUSY)) /* a part was written */
        wr_db_mark_later(db);
    db->view.backfilled = wr_max(db->view.backfilled, filled);
    if (truncate && st == WR_OK)
        db->unchecked = false; /* there is nothing in the file */
    if (st == WR_OK && wr_conn_in_barrier(db->conn) && filled == db->pos.frame)
        db->durable = filled; /* all of it: SQLite has synced it */
    if (st != WR_OK && st != WR_BUSY)
        wr_db_copy_again(db);
    if (st == WR_LIMIT) {
        no_room(db, a, e);
        return WR_OK;
    }
    return st == WR_BUSY ? WR_OK : st;
}

/* Of what the passes copied. */
static enum wr_status sync_database(struct wr_db *db, struct attempt *a, struct wr_err *e)
{
    enum wr_status st = wr_conn_sync_db(db->conn, e);

    if (st == WR_OK)
        db->durable = db->view.backfilled;
    else
        wr_db_copy_again(db);
    if (st != WR_LIMIT)
        return st;
    no_room(db, a, e);
    return WR_OK;
}

/* Passes until little is left, or they do not help. */
static enum wr_status bulk(struct wr_db *db, struct attempt *a, struct wr_err *e)
{
    a->chased = false;
    for (int i = 0; i < BULK_ROUNDS && left(db) > BULK_LEFT; i++) {
        uint32_t before = db->view.backfilled, was_left = left(db);
        enum wr_status st = WR_MUTANT(NO_CAP) ? WR_OK : wr_conn_mark_begin(db->conn, e);
        bool may = false;

        if (st != WR_OK)
            return st == WR_BUSY ? WR_OK : st;
        st = wr_db_capture(db, e);
        /* From here on the mark keeps the WAL from being reset. By a count that is too large SQLite
         * would skip as many frames. */
        if (st == WR_OK && !wr_db_stale_backfill(db))
            may = keep(db, KEEP_STEP, a);
        if (st == WR_OK && may)
            st = checkpoint(db, false, a, e);
        wr_conn_mark_end(db->conn);
        if (st == WR_OK && may)
            st = wr_db_look(db, e);
        /* What came meanwhile is written while the database is synced, or the next pass begins. */
        if (st == WR_OK && may)
            wr_db_write_ahead(db);
        if (st != WR_OK || !may || a->blocked)
            return st;
        a->chased = db->view.backfilled > before && left(db) > was_left / 4 * 3;
        if (db->view.backfilled <= before || a->chased) /* a reader, or a writer */
            break;
    }
    return WR_OK;
}

/* What is about to leave the WAL goes to the journal first. A journal that cannot be written costs
 * a full comparison after a crash, nothing else. */
static void note_captured(struct wr_db *db)
{
    struct wr_err e = {0};

    if (wr_pageset_empty(&db->unnoted) || wr_db_proving(db)) /* the ledger is not ours yet */
        return;
    if (wr_ledger_note(db->ledger, &db->unnoted, &db->pos, &e) != WR_OK)
        wr_log(DB_LOG(db), WR_DEBUG, "cannot note captured pages", DB_NAME(db),
            WR_F_Z("error", e.text));
    wr_pageset_clear(&db->unnoted);
}

/* To be copied while writers wait. If they would add as much again, more passes only make the WAL
 * longer. */
static bool too_much(const struct wr_db *db, const struct attempt *a)
{
    uint32_t most = a->chased && hurries(db) ? CHASED_LEFT : BARRIER_LEFT;

    return left(db) > most && db->put_offs < PUT_OFFS_MAX;
}

static enum wr_status sealed(struct wr_db *db, bool truncate, struct attempt *a, struct wr_err *e)
{
    enum wr_status st = wr_db_look(db, e);

    if (st != WR_OK)
        return st;
    /* What came while we waited for the lock is read and copied while writers go on. */
    a->late = too_much(db, a);
    if (a->late)
        return WR_OK;
    if (!WR_MUTANT(NO_SEAL))
        st = wr_db_capture(db, e);
    if (st != WR_OK || !keep(db, KEEP_SEALED, a))
        return st;
    assert(db->pos.frame == db->seen.mx_frame);
    note_captured(db);
    st = checkpoint(db, truncate, a, e);
    return st == WR_OK ? wr_db_look(db, e) : st;
}

static enum wr_status barrier(struct wr_db *db, struct attempt *a, struct wr_err *e)
{
    /* Cutting a long file takes tens of milliseconds under the writer lock: for quiet moments,
     * unless it has grown out of all proportion. */
    bool truncate =
        db->unchecked ||
        (wr_db_wal_is_long(db) && (wr_db_now_ns(db) >= db->idle_ckpt_ns ||
                                      db->wal_high > db->checkpoint_frames * TRUNCATE_FORCED));
    enum wr_status st = wr_db_seal(db, BARRIER_NS, e);

    if (WR_MUTANT(NO_BARRIER) && st == WR_OK && !truncate)
        wr_db_unseal(db);
    if (st == WR_BUSY)
        return WR_OK;
    if (st != WR_OK)
        return st;
    a->held = true;
    st = sealed(db, truncate, a, e);
    wr_db_unseal(db);
    if (truncate && st == WR_OK && db->seen.mx_frame == 0)
        db->wal_high = 0;
    return st;
}

static void try_again(struct wr_db *db, int64_t wait_ns)
{
    db->stuck_ns = wr_db_now_ns(db);
    db->stuck_frame = db->seen.mx_frame;
    db->stuck_left = left(db);
    db->stuck_until_ns = db->stuck_ns + wait_ns;
    db->probe_every_ns = 0;
    wr_db_want(db, db->stuck_until_ns);
}

/* A busy writer kept its lock, or was too fast: it will not always be. Soon again. */
static void put_off(struct wr_db *db)
{
    db->status.barriers_failed++;
    db->put_offs++;
    try_again(db, BUSY_NS << wr_min(db->put_offs, 4u));
}

/* Nothing helps for now: come back, ever later. */
static void stuck(struct wr_db *db)
{
    int64_t wait = STUCK_MIN_NS << wr_min(db->stuck, 8u);

    db->stuck++;
    try_again(db, wr_min(wait, STUCK_MAX_NS));
}

/* A word about what is in the way. Short reads that overlap are nothing to tell of, until the WAL
 * is out of proportion. */
static void say_stuck(struct wr_db *db, bool moved)
{
    char who[64] = "";

    if (moved && db->seen.mx_frame < db->checkpoint_frames * TRUNCATE_FACTOR)
        return;
    if (db->stuck < STUCK_SAY || !first_word(db, DB_WARNED_READER))
        return;
    for (int slot = WR_SHM_SLOT_READ0; slot < WR_SHM_SLOT_READ0 + WR_READ_MARKS && !who[0]; slot++)
        wr_holder_of_slot(wr_conn_path(db->conn), slot, who, sizeof(who));
    wr_log(DB_LOG(db), WR_WARN,
        moved ? "reads that overlap keep the WAL from starting over; it grows until there is a "
                "moment without one"
              : "a long read keeps the WAL from being checkpointed; it grows until that read ends",
        DB_NAME(db), WR_F_Z("reader", who[0] ? who : "unknown"),
        WR_F_U64("wal_frames", db->seen.mx_frame));
}

/* A reader pins an old part of the WAL. `moved`: less of it than the last time. */
static void stuck_on_reader(struct wr_db *db, bool moved)
{
    stuck(db);
    db->probe_every_ns = moved ? PROBE_NS : PROBE_LONG_NS;
    db->probe_ns = db->stuck_ns + db->probe_every_ns;
    say_stuck(db, moved);
}

/* All that can be done while writers go on. */
static enum wr_status first_phase(struct wr_db *db, struct attempt *a, struct wr_err *e)
{
    enum wr_status st = bulk(db, a, e);

    if (st == WR_OK)
        note_captured(db);
    /* The passes stopped short of the end and so did not sync the database: do it while writers go
     * on. What they add meanwhile is less than before, and would be copied and synced under the
     * barrier: once more. After a slow sync that is as much as before, and is synced, too. */
    for (unsigned i = 0; i < SYNCS && st == WR_OK; i++) {
        if (i > 0 && (db->view.backfilled - db->durable <= UNSYNCED_LEFT || hurries(db)))
            break;
        st = sync_database(db, a, e);
        if (a->more || a->blocked)
            break;
        if (st == WR_OK)
            st = wr_db_look(db, e);
        if (st == WR_OK)
            st = bulk(db, a, e);
    }
    return st;
}

static enum wr_status both_phases(struct wr_db *db, struct attempt *a, struct wr_err *e)
{
    /* When the copies are synced the moment is over. */
    bool at_once = a->moment && left(db) <= wr_min(moment_frames(db), BARRIER_LEFT);
    enum wr_status st = at_once ? WR_OK : first_phase(db, a, e);

    if (st != WR_OK || a->more || a->blocked)
        return st;
    if (too_much(db, a)) /* as when a large transaction came just now */
        return WR_OK;
    /* What a few frames cut off may be much: that is not left for the barrier. */
    if (wr_db_streaming(db) || wr_db_proving(db)) {
        st = wr_db_capture(db, e);
        if (st != WR_OK || !keep(db, KEEP_STEP, a))
            return st;
    }
    return barrier(db, a, e);
}

enum wr_status wr_db_checkpoint(struct wr_db *db, struct wr_err *e)
{
    bool was_silent = wr_db_now_ns(db) >= db->idle_ckpt_ns;
    struct attempt a = {.moment = db->moment};
    uint32_t before = db->view.backfilled;
    enum db_state from = db->state;
    enum wr_status st = WR_OK;

    db->moment = false;
    /* A busy database raises no file events, and our own writes would hide a foreign one. */
    if (!wr_db_check_in_place(db))
        return WR_OK;
    if (!wr_db_streams_hold(db)) {
        stuck(db);
        if (db->stuck >= STUCK_SAY && first_word(db, DB_WARNED_HOLD)) {
            wr_log(DB_LOG(db), WR_WARN,
                "a read of the database takes long: its disk is slow, or hangs; the WAL grows "
                "meanwhile",
                DB_NAME(db), WR_F_U64("wal_frames", db->seen.mx_frame));
        }
        return WR_OK;
    }
    wr_db_go(db, DB_CHECKPOINT);
    st = both_phases(db, &a, e);
    wr_db_streams_let(db);
    /* A torn header: somebody else's update; nothing was lost, try again soon. */
    if (st != WR_OK && st != WR_BUSY)
        return st;
    wr_db_go(db, from);
    if (a.held && !a.blocked && (left(db) == 0 || db->view.backfilled > before))
        room_again(db);
    if (a.blocked) {
        stuck(db);
    } else if (a.more) { /* the stream reads on meanwhile */
        wr_db_want(db, wr_db_now_ns(db));
    } else if (a.held && !a.late && left(db) == 0 && !db->unchecked) {
        db->stuck = 0;
        db->warned = 0;
        db->put_offs = 0;
        db->stuck_until_ns = 0;
        db->checkpoint_ns = wr_db_now_ns(db);
        db->status.checkpoints++;
        /* A reader that kept the WAL from being cut may stay for long: seldom again. */
        if (!wr_db_wal_is_long(db))
            db->idle_ckpt_ns = WR_NEVER;
        else if (was_silent)
            db->idle_ckpt_ns = wr_db_now_ns(db) + CUT_NS;
    } else if (a.held && !a.late) {
        stuck_on_reader(db, db->view.backfilled > before);
    } else {
        put_off(db);
    }
    return WR_OK;
}
