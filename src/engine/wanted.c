/*
 * wanted.c - what is done for a replica because it is wanted, not because its time has come: what
 * callers ask for (work.c), and a snapshot where the newest state was found to be damaged, or a
 * restore would read too much.
 *
 * A request is begun for each replica in the step in which all that was committed before it is
 * captured and closed, and is of the TXID that was the last one then. It ends when that is reached,
 * or with the first failure on the way.
 */
#include "engine/primary_replicas.h"

#define PATIENCE_NS ((int64_t)60 * 1000000000) /* with a replica that is out of reach */

#define NUMBERED_ANEW UINT64_MAX /* a goal that is not known yet */

static void rebase(struct db_work works[WR_WORKS], uint64_t txid)
{
    for (size_t k = 0; k < WR_WORKS; k++)
        works[k].goal = works[k].goal == NUMBERED_ANEW ? txid : works[k].goal;
}

void wr_db_works_catch(struct wr_db *db)
{
    for (size_t k = 0; k < WR_WORKS; k++) {
        if (db->works_seen[k] > db->works[k].begun)
            db->works[k] = (struct db_work){.begun = db->works_seen[k], .goal = db->txid};
    }
    rebase(db->works, db->txid);
    for (size_t i = 0; i < db->n_replicas; i++)
        rebase(db->replicas[i].works, db->txid);
}

bool wr_db_works_wait(const struct wr_db *db)
{
    bool any = false;

    for (size_t k = 0; k < WR_WORKS; k++)
        any = any || db->works_seen[k] > db->works[k].begun;
    return any;
}

void wr_db_works_renumber(struct wr_db *db)
{
    for (size_t k = 0; k < WR_WORKS; k++)
        db->works[k].goal = NUMBERED_ANEW;
    for (size_t i = 0; i < db->n_replicas; i++) {
        for (size_t k = 0; k < WR_WORKS; k++)
            db->replicas[i].works[k].goal = NUMBERED_ANEW;
    }
}

bool wr_db_work_pending(const struct db_replica *dr, enum wr_work kind)
{
    return dr->works[kind].begun > dr->works[kind].done;
}

static bool any_pending(const struct db_replica *dr)
{
    bool any = false;

    for (enum wr_work k = 0; k < WR_WORKS; k++)
        any = any || wr_db_work_pending(dr, k);
    return any;
}

void wr_db_work_end(struct wr_db *db, struct db_replica *dr, enum wr_work kind, enum wr_status st,
    uint64_t value, const char *text)
{
    if (!wr_db_work_pending(dr, kind))
        return;
    dr->works[kind].done = dr->works[kind].begun;
    wr_mutex_lock(&db->mutex);
    dr->known->ends[kind] =
        (struct db_work_end){.done = dr->works[kind].done, .st = st, .value = value};
    if (st != WR_OK)
        wr_text_set(&dr->known->why, text);
    wr_mutex_unlock(&db->mutex);
    if (db->works[kind].begun > dr->works[kind].begun)
        wr_db_want(db, wr_db_now_ns(db)); /* who asked meanwhile is the next one */
}

void wr_db_work_reported(struct wr_db *db, struct db_replica *dr, enum wr_work kind,
    const struct wr_keeper_report *r, uint64_t value)
{
    struct wr_replica_status now = {0};
    struct wr_replica_account is;

    if (r->st == WR_CANCELED)
        wr_replica_status(dr->r, &now);
    if (now.state != WR_REPLICA_STOPPED) {
        wr_db_work_end(db, dr, kind, r->st, value, wr_text(&r->text));
        return;
    }
    wr_replica_account(dr->r, &is);
    wr_db_work_end(db, dr, kind, is.error.code, value, is.error.text);
}

void wr_db_work_failed(
    struct wr_db *db, struct db_replica *dr, unsigned level, enum wr_status st, const char *text)
{
    wr_db_work_end(db, dr, WR_WORK_KEEP_UP, st, 0, text);
    if (level == WR_LEVEL_SNAPSHOT)
        wr_db_work_end(db, dr, WR_WORK_SNAPSHOT, st, 0, text);
}

void wr_db_work_kept_up(struct wr_db *db, struct db_replica *dr)
{
    wr_db_work_end(db, dr, WR_WORK_KEEP_UP, WR_OK, 0, "");
}

static void fail_all(struct wr_db *db, struct db_replica *dr, enum wr_status st, const char *text)
{
    for (enum wr_work k = 0; k < WR_WORKS; k++) {
        if (k != WR_WORK_RETAIN || !dr->retaining) /* it ends by itself */
            wr_db_work_end(db, dr, k, st, 0, text);
    }
}

/* With what the replica has failed with. */
static void fail_as_replica(struct wr_db *db, struct db_replica *dr)
{
    struct wr_replica_account is;

    if (!any_pending(dr))
        return;
    wr_replica_account(dr->r, &is);
    fail_all(db, dr, dr->now->error, is.error.text);
}

/* None of what is asked for gets on while the replica is out of reach. */
static void mind_stall(struct wr_db *db, struct db_replica *dr)
{
    int64_t now = wr_db_now_ns(db);

    if (!any_pending(dr) || (dr->joined && !dr->now->failing)) {
        dr->stall_ns = 0;
        return;
    }
    if (dr->stall_ns == 0)
        dr->stall_ns = now;
    if (now - dr->stall_ns < PATIENCE_NS)
        wr_db_want(db, dr->stall_ns + PATIENCE_NS);
    else if (dr->now->error != WR_OK)
        fail_as_replica(db, dr);
    else
        fail_all(db, dr, WR_TIMEOUT, "the replica cannot be brought up to date");
}

/* Whoever asks does not wait until a failure of before is tried again by itself. */
static void begin(struct db_replica *dr, enum wr_work kind, const struct db_work *caught)
{
    dr->works[kind].begun = caught->begun;
    dr->works[kind].goal = caught->goal;
    dr->seen = kind == WR_WORK_SNAPSHOT ? 0 : dr->seen;
    for (size_t i = 0; i < dr->known->n_levels; i++)
        dr->known->levels[i].retry_ns = 0;
}

/* The replica has what was asked for, as far as we know. */
static bool is_believed(const struct db_replica *dr)
{
    uint64_t goal = dr->works[WR_WORK_SNAPSHOT].goal;

    return wr_db_work_pending(dr, WR_WORK_SNAPSHOT) && dr->joined && dr->now->pos.whole &&
           dr->now->pos.txid >= goal && dr->toll.snapshot >= goal;
}

bool wr_db_snapshot_look(struct db_replica *dr)
{
    const struct wr_ltx_file f = {.level = WR_LEVEL_SNAPSHOT,
        .min = 1,
        .max = dr->toll.snapshot,
        .size = dr->toll.snapshot_size};

    if (!is_believed(dr))
        return false;
    dr->looking = true;
    wr_keeper_look(dr->keeper, &f, dr->toll.snapshot_checksum);
    return true;
}

/* What is there under its name, if anything is, counts for nothing any more. */
static void note_loss(struct wr_db *db, struct db_replica *dr, const struct wr_keeper_report *r)
{
    struct db_work *work = &dr->works[WR_WORK_SNAPSHOT];

    wr_db_level(dr, WR_LEVEL_SNAPSHOT)->retry_ns = 0;
    wr_db_heal_behind(db, dr, r->file.max);
    if (wr_db_work_pending(dr, WR_WORK_SNAPSHOT) && work->goal != NUMBERED_ANEW)
        work->goal = dr->heal_txid;
    wr_log(DB_LOG(db), WR_WARN,
        "the newest snapshot of a replica is not there any more, or not as it was, sending another",
        DB_NAME(db), WR_F_STR("replica", wr_storage_name(wr_replica_storage(dr->r))),
        WR_F_TXID("snapshot_txid", dr->heal_txid), WR_F_Z("reason", wr_text(&r->text)));
}

void wr_db_snapshot_looked(
    struct wr_db *db, struct db_replica *dr, const struct wr_keeper_report *r)
{
    dr->looking = false;
    if (r->file.max != dr->toll.snapshot) /* it was listed anew meanwhile */
        return;
    if (r->st == WR_OK)
        dr->seen = r->file.max;
    else if (r->damaged || r->st == WR_NOTFOUND)
        note_loss(db, dr, r);
    else
        wr_db_work_reported(db, dr, WR_WORK_SNAPSHOT, r, 0);
}

void wr_db_works_on(struct wr_db *db, struct db_replica *dr)
{
    for (enum wr_work k = 0; k < WR_WORKS; k++) {
        if (!wr_db_work_pending(dr, k) && db->works[k].begun > dr->works[k].begun)
            begin(dr, k, &db->works[k]);
    }
    if (dr->now->state == WR_REPLICA_STOPPED)
        fail_as_replica(db, dr);
    if (is_believed(dr) && dr->seen == dr->toll.snapshot)
        wr_db_work_end(db, dr, WR_WORK_SNAPSHOT, WR_OK, dr->toll.snapshot, "");
    mind_stall(db, dr);
}

static bool is_asked_for(const struct db_replica *dr)
{
    return wr_db_work_pending(dr, WR_WORK_SNAPSHOT) &&
           dr->toll.snapshot < dr->works[WR_WORK_SNAPSHOT].goal;
}

/* It must have a name that is not taken: so it is of a TXID with nothing new in it, if there is a
 * snapshot of the last one, which may be what is damaged. */
void wr_db_heal(struct wr_db *db, struct db_replica *dr)
{
    const struct wr_verifier_report *v;
    struct wr_replica_account is;

    if (dr->now->unsound == dr->healed)
        return;
    wr_replica_account(dr->r, &is);
    v = &is.verified;
    dr->healed = v->unsound;
    if (dr->toll.snapshot > v->unsound_txid) /* one was sent meanwhile */
        return;
    dr->heal_txid = dr->toll.snapshot >= db->txid ? dr->toll.snapshot + 1 : db->txid;
    wr_db_level(dr, WR_LEVEL_SNAPSHOT)->retry_ns = 0;
    wr_log(DB_LOG(db), WR_WARN,
        "the newest state of a replica is damaged, sending a snapshot: from there on it is whole",
        DB_NAME(db), WR_F_STR("replica", wr_storage_name(wr_replica_storage(dr->r))),
        WR_F_TXID("damaged_txid", v->unsound_txid), WR_F_TXID("snapshot_txid", dr->heal_txid),
        WR_F_Z("reason", v->unsound_why));
    wr_db_want(db, wr_db_now_ns(db)); /* there may be a TXID to close */
}

void wr_db_heal_behind(struct wr_db *db, struct db_replica *dr, uint64_t txid)
{
    dr->heal_txid = wr_max(dr->heal_txid, wr_max(db->txid, txid + 1));
    wr_db_want(db, wr_db_level(dr, WR_LEVEL_SNAPSHOT)->retry_ns); /* there may be a TXID to close */
}

static bool heals(const struct db_replica *dr)
{
    return dr->joined && dr->toll.snapshot < dr->heal_txid;
}

uint64_t wr_db_heal_least(const struct wr_db *db)
{
    uint64_t least = 0;

    for (size_t i = 0; i < db->n_replicas; i++) {
        if (heals(&db->replicas[i]))
            least = wr_max(least, db->replicas[i].heal_txid);
    }
    return least;
}

static bool toll_is_high(const struct wr_db *db, const struct db_replica *dr)
{
    const struct wr_cadence *k = &db->cadence;

    return k->snapshot_ms > 0 && wr_toll_is_high(&dr->toll, k->toll_floor, k->toll_files);
}

bool wr_db_snapshot_wanted(const struct wr_db *db, const struct db_replica *dr)
{
    bool heal = heals(dr) && db->txid >= dr->heal_txid;

    return dr->toll.snapshot < db->txid && (heal || is_asked_for(dr) || toll_is_high(db, dr));
}

void wr_db_snapshot_say(const struct wr_db *db, const struct db_replica *dr)
{
    struct wr_toll_sum beyond = wr_toll_sum(&dr->toll);

    if (heals(dr) || is_asked_for(dr) || !toll_is_high(db, dr))
        return;
    wr_log(DB_LOG(db), WR_INFO,
        "so much has changed since the last snapshot that a restore takes long, sending another",
        DB_NAME(db), WR_F_STR("replica", wr_storage_name(wr_replica_storage(dr->r))),
        WR_F_U64("snapshot_size", dr->toll.snapshot_size), WR_F_U64("since_bytes", beyond.bytes),
        WR_F_U64("since_files", beyond.files));
}

void wr_db_toll_begin(struct db_replica *dr, const struct wr_parcel *p)
{
    bool listed = dr->toll_found != dr->now->found;
    struct wr_tally tally;

    dr->toll_found = dr->now->found;
    dr->toll_open = p && wr_parcel_streamed(p);
    if (dr->joined_by == JOINED_BY_SNAPSHOT) {
        dr->toll = (struct wr_toll){.snapshot = p->header.max_txid, .snapshot_size = p->size};
        return;
    }
    if (listed) /* else it goes on, and knows what was sent since */
        dr->toll =
            wr_replica_tally(dr->r, dr->now->found, &tally) ? tally.toll : (struct wr_toll){0};
    if (p && !dr->toll_open)
        wr_toll_add(&dr->toll, p->size);
}

void wr_db_toll_settle(struct db_replica *dr)
{
    if (!dr->toll_open)
        return;
    dr->toll_open = false;
    if (dr->joined_by == JOINED_BY_SNAPSHOT)
        dr->toll.snapshot_size = dr->now->streamed_size;
    else
        wr_toll_add(&dr->toll, dr->now->streamed_size);
}
