/*
 * primary.c - the database actor: its states and its one step.
 *
 * A step looks at the wal-index (a memory compare) and does what is due: capture and ship, let a
 * replica join, checkpoint. It then names the time of its next wish, or none: that of the next
 * look is looks.c's business.
 */
#include "engine/primary.h"

#include "base/mem.h"
#include "engine/parcel.h"
#include "engine/primary_replicas.h"
#include "run/watch.h"

#define REST_NS      ((int64_t)200 * 1000000) /* of silence, until memory is given back */
#define IDLE_CKPT_NS ((int64_t)60 * 1000000000)
#define LONG_CKPT_NS ((int64_t)1000000000)   /* the same when the WAL is worth cutting */
#define MARK_NS      ((int64_t)10 * 1000000) /* the clock of files has moved by then ... */
#define TOUCH_NS     ((int64_t)1000000000)   /* the seats are told once in a while */
#define MARK_TRIES   9u                      /* ... or does so in seconds: five in all */

#define TO(s) (1u << DB_##s)
static const unsigned db_may_go[DB_STATE_MAX] = {
    [DB_CLOSED] = TO(OPENING),
    [DB_WAITING] = TO(OPENING) | TO(CLOSED),
    [DB_OPENING] = TO(PROVING) | TO(WAITING) | TO(CLOSED),
    [DB_PROVING] = TO(SYNCING) | TO(CHECKPOINT) | TO(OPENING) | TO(BROKEN) | TO(CLOSED),
    [DB_SYNCING] = TO(CHECKPOINT) | TO(COLD) | TO(BROKEN) | TO(CLOSED),
    [DB_CHECKPOINT] = TO(PROVING) | TO(SYNCING) | TO(OPENING) | TO(BROKEN) | TO(CLOSED),
    [DB_COLD] = TO(OPENING) | TO(CLOSED),
    [DB_BROKEN] = TO(OPENING) | TO(CLOSED),
};
#undef TO

void wr_db_go(struct wr_db *db, enum db_state next)
{
    assert(db_may_go[db->state] & (1u << next));
    db->state = next;
    assert((next != DB_PROVING && next != DB_SYNCING) || wr_conn_pinned(db->conn));
}

int64_t wr_db_now_ns(const struct wr_db *db)
{
    return wr_mono_ns(wr_sched_clock(db->actor.sched));
}

void wr_db_want(struct wr_db *db, int64_t at_ns)
{
    db->next_ns = wr_min(db->next_ns, at_ns);
}

void wr_db_worked(struct wr_db *db, struct wr_db_effort *work, int64_t began_ns, enum wr_status st)
{
    work->n++;
    work->errors += st != WR_OK && st != WR_BUSY;
    work->ns += wr_db_now_ns(db) - began_ns;
}

void wr_db_wake(struct wr_db *db)
{
    wr_mutex_lock(&db->mutex);
    db->looked = db->named = true;
    wr_mutex_unlock(&db->mutex);
    wr_sched_wake(&db->actor);
}

void wr_db_wake_wal(struct wr_db *db)
{
    wr_mutex_lock(&db->mutex);
    db->looked = true;
    wr_mutex_unlock(&db->mutex);
    wr_sched_wake(&db->actor);
}

/* As = {0}, of which only this much is read: a step runs often, and hardly ever fails. */
static void no_error(struct wr_err *e)
{
    e->code = WR_OK;
    e->text[0] = '\0';
}

/* A replica has the file that it joined with: what was read for it is what it should be. */
static void believe(struct wr_db *db, struct db_replica *dr)
{
    struct wr_err none;
    bool said;

    if (dr->join_txid == 0 || !dr->now->pos.whole || dr->now->pos.txid < dr->join_txid)
        return;
    no_error(&none);
    said = wr_db_doubtful(db);
    wr_db_toll_settle(dr);
    dr->join_txid = 0;
    dr->doubts = 0;
    if (said && !wr_db_doubtful(db))
        wr_db_trouble(db, WR_OK, &none, "");
}

void wr_db_mark_later(struct wr_db *db)
{
    db->mark_due = true;
    db->mark_late = 0;
}

/* Let the ledger know the file as our last checkpoint left it, as soon as a later write must leave
 * other times. Where times are whole seconds that takes two of them. */
static void mark_file(struct wr_db *db)
{
    struct wr_file_mark file;

    if (!db->mark_due)
        return;
    if (wr_conn_mark_now(db->conn, 0, &file)) {
        wr_ledger_mark(db->ledger, &file);
        db->mark_due = false;
    } else if (db->mark_late < MARK_TRIES) {
        wr_db_want(db, wr_db_now_ns(db) + (MARK_NS << db->mark_late++));
    }
}

void wr_db_was_busy(struct wr_db *db)
{
    db->idle_ckpt_ns = wr_db_now_ns(db) + (wr_db_wal_is_long(db) ? LONG_CKPT_NS : IDLE_CKPT_NS);
}

static void note_busy(struct wr_db *db)
{
    int64_t now = wr_db_now_ns(db);

    db->gap_ns = db->busy_ns == INT64_MIN ? WR_NEVER : now - db->busy_ns;
    if (db->seats && db->gap_ns >= TOUCH_NS)
        wr_seats_touch(db->seats, &db->seat);
    db->busy_ns = now;
}

/* It is quiet, maybe for long: an idle database should cost little. One that is written to ten
 * times a second would only have to take its memory again. */
static void rest(struct wr_db *db)
{
    int64_t quiet_ns = db->busy_ns == INT64_MIN ? WR_NEVER : wr_db_now_ns(db) - db->busy_ns;

    if (db->gap_ns < REST_NS && quiet_ns < REST_NS) {
        wr_db_want(db, db->busy_ns + REST_NS);
        return;
    }
    for (size_t i = 0; i < db->n_replicas; i++) {
        if (db->replicas[i].now->queued > 0 && quiet_ns < REST_NS)
            return; /* its answer wakes us */
    }
    wr_conn_rest(db->conn);
    wr_ledger_idle(db->ledger);
    if (db->parcel_room)
        wr_parcel_room_rest(db->parcel_room);
}

/* The levels, and when they want to go on. */
static enum wr_status compact(struct wr_db *db, struct wr_err *e)
{
    int64_t others_ns = db->next_ns;
    enum wr_status st;

    db->next_ns = WR_NEVER;
    st = wr_db_compact(db, e);
    db->levels_ns = db->next_ns;
    wr_db_want(db, others_ns);
    return st;
}

/* One step of a database that is attached. `forced`: somebody waits for a sync; `again`: the step
 * before armed the watch. */
static enum wr_status sync_step(struct wr_db *db, bool again, bool forced, struct wr_err *e)
{
    struct wr_walidx before = db->seen;
    struct db_sight sight;
    bool due, followed;
    enum wr_status st = wr_db_look(db, e);

    if (st != WR_OK)
        return st;
    wr_db_tidy_outbox(db);
    sight = wr_db_sight(db, &before, again);
    if (sight.news) {
        wr_db_was_busy(db);
        note_busy(db);
    }
    due = wr_db_ship_due(db, forced);
    followed = wr_db_air_wanted(db);
    if (wr_db_behind(db) && (due || forced || followed || wr_db_join_due(db)))
        st = wr_db_capture(db, e);
    if (st != WR_OK)
        return st;
    if (followed)
        wr_db_air_part(db);
    if (wr_db_join_due(db) || ((due || forced) && !wr_pageset_empty(&db->dirty)))
        st = wr_db_ship(db, e);
    if (st == WR_OK && !wr_db_behind(db) && wr_pageset_empty(&db->dirty))
        wr_db_works_catch(db);
    if (st == WR_OK)
        st = compact(db, e);
    if (st == WR_OK)
        wr_db_write_ahead(db); /* what is not due to be read, too */
    if (st == WR_OK && wr_db_checkpoint_due(db)) {
        st = wr_db_checkpoint(db, e);
        (void)wr_db_ship_due(db, false); /* what it captured has its time, too */
    }
    if (st != WR_OK || db->state != DB_SYNCING)
        return st;
    mark_file(db);
    wr_db_plan_looks(db, &sight, followed);
    if (db->idle_ckpt_ns != WR_NEVER &&
        (db->seen.mx_frame > db->view.backfilled || wr_db_wal_is_long(db)))
        wr_db_want(db, wr_max(db->idle_ckpt_ns, db->stuck_until_ns));
    return WR_OK;
}

/* Under the lock: what was set aside for replicas that came takes the place of what is too small.
 */
static void move_replicas(struct wr_db *db)
{
    if (!db->room)
        return;
    if (db->n_replicas > 0)
        memcpy(db->room, db->replicas, db->n_replicas * sizeof(*db->replicas));
    wr_free(db->replicas);
    db->replicas = db->room;
    db->room = NULL;
}

/* They are a few KiB each, which a database between its steps does without: `now` has room for
 * WR_REPLICAS_MAX. */
static void read_replicas(struct wr_db *db, struct wr_replica_status *now)
{
    wr_db_streams_reap(db);
    wr_mutex_lock(&db->mutex);
    move_replicas(db);
    while (db->n_replicas < db->n_known) {
        struct db_known *known = db->known[db->n_replicas];

        db->replicas[db->n_replicas++] = (struct db_replica){.known = known,
            .r = known->r,
            .interval_ns = known->interval_ns,
            .adopted = known->adopted,
            .keeper = wr_replica_keeper(known->r)};
    }
    wr_mutex_unlock(&db->mutex);
    for (size_t i = 0; i < db->n_replicas; i++) {
        struct db_replica *dr = &db->replicas[i];

        dr->now = &now[i];
        wr_replica_status(dr->r, dr->now);
        dr->stopped = dr->now->state == WR_REPLICA_STOPPED;
        believe(db, dr);
        if (dr->joined &&
            (dr->now->state == WR_REPLICA_UNKNOWN || dr->now->state == WR_REPLICA_STOPPED ||
                dr->now->found != dr->found_seen))
            dr->joined = false;
    }
}

static void forget_replicas(struct wr_db *db)
{
    for (size_t i = 0; i < db->n_replicas; i++)
        db->replicas[i].now = NULL;
}

/* Whether nothing is left to do that might break off as it did before. A replica that has yet to
 * join may be what fails, and lists anew before that; one that is out of reach for long is not. */
static bool is_calm(const struct wr_db *db)
{
    if (wr_db_now_ns(db) - db->synced_ns >= WR_DB_BROKEN_MAX_NS)
        return true;
    for (size_t i = 0; i < db->n_replicas; i++) {
        const struct db_replica *dr = &db->replicas[i];

        if (dr->stream || (!dr->joined && dr->now->state != WR_REPLICA_STOPPED))
            return false;
    }
    return true;
}

/* The lowest TXID that a replica may want to go on from; 0: not known of one of them. */
static uint64_t history_floor(const struct wr_db *db)
{
    uint64_t least = UINT64_MAX;

    for (size_t i = 0; i < db->n_replicas; i++) {
        const struct wr_replica_status *now = db->replicas[i].now;

        if (now->state != WR_REPLICA_STOPPED)
            least = wr_min(least, now->found > 0 ? now->pos.txid : 0);
    }
    return least == UINT64_MAX ? 0 : least;
}

/* The replicas, and the ends of their levels, if all of them are known. */
static void tell_stands(const struct wr_db *db)
{
    struct wr_stands x = {0};
    bool known = true;

    if (!wr_ledger_wants_stands(db->ledger))
        return;
    for (size_t i = 0; i < db->n_replicas && known; i++) {
        if (db->replicas[i].now->state != WR_REPLICA_STOPPED)
            known = wr_db_replica_stands(db, &db->replicas[i], &x);
    }
    wr_ledger_stands(db->ledger, known ? &x : &(struct wr_stands){0});
}

struct wr_next wr_db_step(struct wr_actor *a, struct wr_call *c)
{
    struct wr_db *db = wr_container_of(a, struct wr_db, actor);
    struct wr_replica_status replicas[WR_REPLICAS_MAX];
    struct wr_err e;
    uint64_t taken;
    bool begun, asked, forced, hinted, named, again, check, captured = false;
    int64_t now = wr_db_now_ns(db);
    uint64_t floor;

    (void)c;
    no_error(&e);
    wr_mutex_lock(&db->mutex);
    begun = db->begun;
    taken = db->tickets;
    asked = taken > db->tickets_done;
    memcpy(db->works_seen, db->works_asked, sizeof(db->works_seen));
    forced = db->urgent_ticket > db->tickets_done || wr_db_works_wait(db);
    hinted = db->looked;
    named = db->named;
    db->looked = db->named = false;
    wr_mutex_unlock(&db->mutex);
    if (!begun)
        return (struct wr_next){.when = WR_NEXT_IDLE};
    if (db->state == DB_CLOSED)
        wr_db_first_step(db);
    if (hinted) { /* whatever this step is for: the watch tells a write only once */
        db->looks = 0;
        db->armed &= named ? 0 : ~(unsigned)DB_ARMED_WAL;
    }
    db->next_ns = WR_NEVER;
    read_replicas(db, replicas);
    again = db->recheck;
    check = named || asked || db->check_files || now >= db->scan_due_ns;
    db->recheck = db->check_files = false;
    if (check && (db->state == DB_PROVING || db->state == DB_SYNCING))
        (void)wr_db_check_in_place(db);
    if (now >= db->scan_due_ns && db->state == DB_SYNCING)
        wr_db_measure_wal(db);
    if (now >= db->scan_due_ns)
        db->scan_due_ns = wr_db_next_scan_ns(now, db->scan_ns);
    if (db->state == DB_BROKEN)
        wr_db_let_go(db);
    if (db->state == DB_COLD)
        captured = wr_db_stay_cold(db, hinted);
    if (db->state == DB_WAITING)
        wr_db_go(db, DB_OPENING);
    if (db->state == DB_OPENING && now >= db->open_ns)
        wr_db_attach(db);
    else if (db->state == DB_OPENING)
        wr_db_want(db, db->open_ns);
    if (db->state == DB_PROVING)
        wr_db_attach_on(db);
    if (db->state == DB_SYNCING) {
        bool doubt = now >= db->doubt_ns;
        enum wr_status st = sync_step(db, again, forced || doubt, &e);

        if (st == WR_OK && db->state == DB_SYNCING)
            captured = !wr_db_behind(db) && wr_pageset_empty(&db->dirty);
        else if (st != WR_OK && st != WR_BUSY)
            wr_db_broken(db, st, &e);
        if (captured && is_calm(db))
            db->breaks = 0;
        if (db->state == DB_SYNCING && doubt && captured)
            wr_db_compare_again(db);
        else if (db->state == DB_SYNCING &&
                 !doubt) /* one that is due waits for what was captured */
            wr_db_want(db, db->doubt_ns);
    }
    if (db->ledger) {
        tell_stands(db);
        floor = wr_db_levels_floor(db, history_floor(db));
        if (floor > 0 && wr_ledger_ack(db->ledger, floor, &e) != WR_OK)
            wr_log(DB_LOG(db), WR_DEBUG, "cannot trim the journal", DB_NAME(db),
                WR_F_Z("error", e.text));
    }
    if (db->state == DB_SYNCING && captured && wr_db_armed(db) && !db->recheck)
        rest(db);
    if (db->state == DB_SYNCING && captured && !hinted && !asked)
        (void)wr_db_cool(db);
    wr_db_publish(db, taken, captured && asked);
    forget_replicas(db);
    wr_db_want(db, db->scan_due_ns);
    return (struct wr_next){.when = WR_NEXT_AT, .at_ns = db->next_ns};
}
