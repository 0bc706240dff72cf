/*
 * attach.c - from a path to a database that is pinned and proven.
 *
 *   1  open it, switch it to WAL mode if need be
 *   2  take the checkpoint lock, for good; somebody else has it: say who, try again
 *   3  capture what the WAL holds: from now on nothing can be missed
 *   4  prove how the database relates to the last closed TXID (prove.c); this may take many steps
 *   5  let the replicas join (ship.c)
 *
 * Before one replica is known nobody can tell what the next TXID is, and a pin that cannot lead to
 * a checkpoint would only let the WAL grow. So the replicas are listed first, and again after 2,
 * since another process may have written to them until then. The first attempt of a process goes
 * ahead all the same, as far as 4, and has them listed after 2, once; if none answers within a
 * second it lets go of everything, and they come first again; but of a WAL of which a recovery
 * finds less than there is only when it is emptied. docs/adr/0027.
 */
#include "engine/primary_replicas.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "engine/follow_state.h"
#include "engine/node.h"
#include "sqlite/holders.h"
#include "sqlite/wal.h"

#define RETRY_NS      ((int64_t)250 * 1000000)
#define RETRY_OWN_NS  ((int64_t)50 * 1000000) /* with the pin: a torn index is ours to mend */
#define RETRY_FAR_NS  ((int64_t)5 * 1000000000)
#define RETRY_MAX_NS  ((int64_t)60 * 1000000000) /* of attempts that read much */
#define SAY_NS        ((int64_t)2 * 1000000000)  /* most transactions are shorter */
#define SAY_LATE_NS   ((int64_t)20 * 1000000000) /* so is a checkpoint of a WAL of gigabytes */
#define FIRST_LOOK_NS ((int64_t)50 * 1000000)    /* patience for the writer lock */
#define AHEAD_NS      ((int64_t)1000000000)      /* attached before a replica is known */
#define OTHERS_NS     ((int64_t)500 * 1000000)   /* longer, once one is: a retry takes a second */
#define AHEAD_LOOK_NS ((int64_t)50 * 1000000)    /* meanwhile: readers wait for a torn index */
#define SEAT_NS       ((int64_t)100 * 1000000)   /* the first in the queue goes ahead then */
#define WHO           64                         /* bytes of a process's name */

/* A copy that follows a replica changes by itself, and would be sent back to where it comes from.
 */
static enum wr_status refuse_copy(struct wr_db *db, struct wr_err *e)
{
    struct wr_file_info info;
    struct wr_buf name;
    char *real = NULL;
    enum wr_status st = db->fs->resolve(db->fs, db->path, &real, e);

    if (st != WR_OK)
        return st == WR_NOTFOUND ? WR_OK : st; /* that is told by whoever opens it */
    wr_buf_init(&name, 8192);
    wr_buf_fmt(&name, "%s" WR_FOLLOW_SUFFIX, real);
    wr_free(real);
    st = wr_buf_status(&name);
    if (st != WR_OK)
        (void)wr_fail(e, st, "%s: path of the database", db->path);
    else if (db->fs->stat(db->fs, (const char *)name.p, &info, NULL) == WR_OK)
        st = wr_fail(e, WR_CONFLICT,
            "%s is a copy that follows a replica, as %s beside it tells: make it the primary with "
            "weir promote, or delete that file if nobody is to follow with it any more",
            db->path, (const char *)name.p);
    wr_buf_release(&name);
    return st;
}

static enum wr_status connect(struct wr_db *db, struct wr_err *e)
{
    struct wr_conn_info info;
    enum wr_status st = refuse_copy(db, e);

    if (st == WR_OK)
        st = wr_conn_open(db->path, &db->conn, &info, e);
    if (st != WR_OK)
        return st;
    wr_db_watch_wal(db, wr_conn_path(db->conn));
    if (info.switched_to_wal)
        wr_log(DB_LOG(db), WR_INFO, "switched the database to WAL mode", DB_NAME(db));
    wr_view_init(&db->view, db->conn, info.page_size,
        wr_ltx_lock_pgno(
            info.page_size, WR_MUTANT(LOCK_PAGE_CONST) ? WR_LTX_LOCK_OFFSET : db->lock_offset));
    db->status.page_size = info.page_size;
    if (WR_MUTANT(CLOSE_DB)) {
        struct wr_file *f = NULL;

        if (wr_file_open(db->fs, db->path, WR_FILE_READ, 0, &f, NULL) == WR_OK)
            wr_file_close(f);
    }
    wr_peek_open(&db->peek, db->conn);
    db->started = false;
    db->skipped.frame = 0;
    db->torn_ns = 0;
    return WR_OK;
}

/* What is waited for since *since_ns (0: from now on) is not to be had. Whether it is time to say
 * so; then ret_who names the process that locks `slot`. */
static bool waits_long(struct wr_db *db, int64_t *since_ns, int slot, char ret_who[WHO])
{
    int64_t now = wr_db_now_ns(db);

    if (*since_ns == 0)
        *since_ns = now;
    if (now - *since_ns < SAY_NS)
        return false;
    wr_holder_of_slot(wr_conn_path(db->conn), slot, ret_who, WHO);
    if (!ret_who[0])
        (void)snprintf(ret_who, WHO, "process unknown");
    return true;
}

/* Whether `who`, that has the checkpoint lock, has what a checkpoint has beside it: the first slot
 * of the readers while it copies, or the writer lock, with which all kinds but PASSIVE wait. */
static bool checkpoints(const struct wr_db *db, const char *who)
{
    static const int slots[] = {WR_SHM_SLOT_READ0, WR_SHM_SLOT_WRITE};
    char other[WHO];

    for (size_t i = 0; i < wr_countof(slots); i++) {
        wr_holder_of_slot(wr_conn_path(db->conn), slots[i], other, sizeof(other));
        if (strcmp(who, other) == 0)
            return true;
    }
    return false;
}

static enum wr_status take_pin(struct wr_db *db, struct wr_err *e)
{
    char who[WHO];
    enum wr_status st = wr_conn_pin(db->conn, e);

    if (st != WR_BUSY) {
        db->pin_since_ns = 0;
        db->status.rival = false;
        return st;
    }
    if (!waits_long(db, &db->pin_since_ns, WR_SHM_SLOT_CKPT, who))
        return WR_BUSY;
    if (!db->status.rival && wr_db_now_ns(db) - db->pin_since_ns < SAY_LATE_NS &&
        checkpoints(db, who))
        return WR_BUSY; /* a rival makes some, too, but not at each attempt */
    db->status.rival = true;
    return wr_fail(e, WR_BUSY,
        "another process holds the checkpoint lock of %s: %s; is a second weir, or Litestream, "
        "replicating it? Waiting until it lets go",
        db->path, who);
}

/* A transaction is open. It is waited for, with the pin in hand; if it is a long one, say so. */
static enum wr_status writer_in_the_way(struct wr_db *db, struct wr_err *e)
{
    char who[WHO];

    if (!waits_long(db, &db->write_since_ns, WR_SHM_SLOT_WRITE, who))
        return WR_BUSY;
    return wr_fail(e, WR_BUSY,
        "a write transaction on %s has been open for seconds: %s. Waiting until it ends", db->path,
        who);
}

/* Where the WAL stands, and how much of it is in the database: read together, with nobody writing.
 */
static enum wr_status first_look(struct wr_db *db, struct wr_err *e)
{
    enum wr_status st = wr_db_seal(db, FIRST_LOOK_NS, e);

    if (st == WR_BUSY)
        return writer_in_the_way(db, e);
    if (st != WR_OK)
        return st;
    db->write_since_ns = 0;
    st = wr_db_look(db, e);
    wr_db_unseal(db);
    if (st == WR_OK && db->seen.mx_frame == 0) {
        st = wr_db_check_empty(db, e);
    } else if (st == WR_OK && db->view.backfilled == db->seen.mx_frame) {
        /* All of it is in the database: a writer may overwrite it at any moment, and nothing of it
         * is needed. */
        db->pos.frame = db->seen.mx_frame;
        db->pos.cksum[0] = db->seen.frame_cksum[0];
        db->pos.cksum[1] = db->seen.frame_cksum[1];
        db->view.commit = db->seen.n_page;
        db->little = !db->seen.big_endian_cksum;
        db->skipped = db->pos;
        st = wr_db_check_skipped(db, e);
        /* They belong to another file: whoever recovered the index would put them over this one. */
        db->unchecked = db->unchecked || db->distrust;
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

/* How long to wait after an attempt that failed. One that came as far as proving had the replicas
 * listed, and all of the database read, perhaps. */
static int64_t patience(struct wr_db *db, enum wr_status st)
{
    unsigned before = wr_min(db->breaks, 4u);

    if (st == WR_BUSY)
        return db->conn && !db->started && wr_conn_pinned(db->conn) ? RETRY_OWN_NS : RETRY_NS;
    if (db->state == DB_OPENING)
        return RETRY_FAR_NS;
    db->breaks++;
    return wr_min(RETRY_FAR_NS << before, RETRY_MAX_NS);
}

/* An attempt failed: tell, and try again when it makes sense. */
static void again(struct wr_db *db, enum wr_status st, const struct wr_err *e)
{
    /* Waiting for the pin, or with it for the writer lock: nothing was looked at yet. */
    bool keep = st == WR_BUSY && db->conn && !db->started;
    int64_t at = wr_db_now_ns(db) + patience(db, st);

    db->undisturbed = false;
    if (!keep)
        wr_db_detach(db, false);
    if (db->state != DB_OPENING)
        wr_db_go(db, DB_OPENING);
    if (st == WR_NOTFOUND)
        wr_db_go(db, DB_WAITING);
    if (st != WR_NOTFOUND) /* each write of the application would be another attempt */
        db->open_ns = at;
    wr_db_want(db, at);
    if (st != WR_BUSY || e->text[0])
        wr_db_trouble(db, st, e, st == WR_NOTFOUND ? "waiting for the database" : "cannot attach");
}

static bool any_found(const struct wr_db *db)
{
    for (size_t i = 0; i < db->n_replicas; i++) {
        if (db->replicas[i].now->found > 0)
            return true;
    }
    return false;
}

/* Whether files there may be ours. A replica that was asked to list again may be at the end of a
 * send from there until it has. */
static bool uses_outbox(const struct db_replica *dr)
{
    bool sends = dr->now->state == WR_REPLICA_SENDING ||
                 (dr->now->state == WR_REPLICA_UNKNOWN && dr->now->found > 0);

    return dr->stream || dr->now->queued > 0 || sends;
}

void wr_db_tidy_outbox(struct wr_db *db)
{
    assert(wr_conn_pinned(db->conn) && !wr_db_proving(db));
    for (size_t i = 0; i < db->n_replicas && !db->outbox_cleaned; i++) {
        if (uses_outbox(&db->replicas[i]))
            return;
    }
    if (!db->outbox_cleaned)
        wr_outbox_clean(db->fs, db->outbox);
    db->outbox_cleaned = true;
}

/* The database is ours, and will be: until it was, another process may have replicated it, so where
 * a replica stands is to be found out again. Not for each attempt that comes to nothing: a listing
 * has its price. */
void wr_db_take_over(struct wr_db *db)
{
    db->unlisted = false;
    for (size_t i = 0; i < db->n_replicas && !WR_MUTANT(STALE_LIST); i++) {
        struct db_replica *dr = &db->replicas[i];

        dr->joined = false;
        if (wr_db_was_listed(db, dr->known))
            continue;
        wr_replica_set_node(dr->r, db->node_id);
        wr_replica_rejoin(dr->r, "another process may have written to it");
        if (dr->now->state != WR_REPLICA_STOPPED)
            dr->now->state = WR_REPLICA_UNKNOWN;
    }
    wr_db_list_no_more(db);
}

/* What was waited for is a lock on a file that is no longer there. */
static void leave_replaced(struct wr_db *db)
{
    if (!db->conn || wr_conn_in_place(db->conn))
        return;
    wr_log(DB_LOG(db), WR_WARN,
        "the database file was replaced or deleted while its locks were waited for, opening it "
        "again",
        DB_NAME(db));
    wr_db_detach(db, false);
    db->pin_since_ns = db->write_since_ns = 0;
    db->status.rival = false;
}

/* A database that was attached before has been written to, or is wanted for something. */
static bool has_seat(struct wr_db *db)
{
    bool first = db->synced_ns == 0;

    if (!db->seats || wr_seats_take(db->seats, &db->seat, first))
        return true;
    if (wr_seats_is_first(db->seats, &db->seat))
        wr_db_want(db, wr_db_now_ns(db) + SEAT_NS);
    return false;
}

/* Whether this is the first attempt, of a database that somebody uses in WAL mode: nothing of it is
 * changed by that. */
static bool goes_ahead(struct wr_db *db)
{
    struct wr_file_mark wal;
    bool first;

    wr_mutex_lock(&db->mutex);
    first = db->listing == DB_LISTING_WAITS;
    wr_mutex_unlock(&db->mutex);
    return first && db->wal_path && wr_file_mark_of(db->wal_path, &wal);
}

/* The database is ours: have the replicas listed while it is compared. Who writes to them, as they
 * were told; 0: they were not. */
static uint64_t list_ahead(struct wr_db *db)
{
    struct wr_node node = {0};

    if (wr_node_find(db->fs, db->meta_dir, wr_conn_path(db->conn), &node, NULL) != WR_OK)
        node.number = 0;
    wr_db_list(db, node.number != 0, node.number);
    return node.number;
}

/* That came to nothing. It is tried again when a replica is known, and told then. `for_good`: that
 * may be never. */
static void stay_behind(struct wr_db *db, bool for_good)
{
    (void)wr_db_detach(db, for_good);
    db->pin_since_ns = db->write_since_ns = 0;
    db->status.rival = false;
    wr_db_list(db, false, 0);
}

/* Until when it is waited for replicas. */
static int64_t ahead_until_ns(const struct wr_db *db)
{
    return db->ahead_ns + (any_found(db) ? OTHERS_NS : 0);
}

/* Whether a database that was attached ahead can go on. Without a ledger it is for all replicas to
 * say what its state is, and which TXIDs are taken: by one that is empty it would be a new one. */
static bool knows_enough(const struct wr_db *db)
{
    size_t n = 0;

    for (size_t i = 0; i < db->n_replicas; i++)
        n += db->replicas[i].now->found > 0;
    return n == db->n_replicas || (n > 0 && (wr_ledger_state(db->ledger).txid > 0 ||
                                                wr_db_now_ns(db) >= ahead_until_ns(db)));
}

/* Attached ahead, with too little known yet. The watch tells of one write only, and an index that a
 * writer leaves torn nobody but us can make good, by a recovery. So a WAL of which that would lose
 * frames is emptied before anything else, and not let go of half-way, when frames that it does find
 * would be put over newer pages. If we let go, the next attempt finds another file than the
 * ledger knows, and compares all of it. */
static void await_replica(struct wr_db *db)
{
    const int64_t now = wr_db_now_ns(db), until_ns = ahead_until_ns(db);
    struct wr_err e = {0};
    enum wr_status st = WR_OK;

    if (now < until_ns || db->unchecked) {
        st = wr_db_capture(db, &e);
        if (st == WR_OK && db->unchecked && wr_db_checkpoint_due(db))
            st = wr_db_checkpoint(db, &e);
        if (now < until_ns)
            wr_db_want(db, until_ns);
        wr_db_want(db, now + AHEAD_LOOK_NS);
        if (st == WR_OK || st == WR_BUSY)
            return; /* or it is BROKEN: the file is no longer ours */
    }
    stay_behind(db, true);
    wr_db_go(db, DB_OPENING);
}

void wr_db_attach(struct wr_db *db)
{
    struct wr_err e = {0};
    bool known = any_found(db), ahead;
    uint64_t node = 0;
    enum wr_status st = WR_OK;

    assert(db->state == DB_OPENING);
    if (!known && db->n_replicas == 0)
        return;
    ahead = goes_ahead(db);
    if (!known && (!ahead || (db->seats && !has_seat(db)))) {
        wr_db_list(db, false, 0);
        return;
    }
    leave_replaced(db);
    if (!db->conn && !has_seat(db))
        return;
    if (!db->conn) {
        wr_db_arm(db); /* an empty file that is written is told by nothing else */
        st = connect(db, &e);
    }
    if (st == WR_OK && !wr_conn_pinned(db->conn))
        st = take_pin(db, &e);
    if (st == WR_OK && ahead)
        node = list_ahead(db);
    if (st == WR_OK)
        wr_db_tidy_outbox(db);
    if (st == WR_OK)
        st = first_look(db, &e);
    if (st == WR_OK)
        st = wr_db_capture(db, &e);
    if (st == WR_OK && !wr_conn_in_place(db->conn))
        st = WR_BUSY; /* replaced just now: nothing of it is sent */
    if (st == WR_OK)
        st = size_at_position(db, &e);
    if (st == WR_OK)
        st = wr_db_prove_begin(db, &e);
    if (st != WR_OK && ahead) {
        stay_behind(db, false);
        return;
    }
    if (st != WR_OK) {
        again(db, st, &e);
        return;
    }
    if (ahead && node != db->node_id) { /* as on a machine without a number */
        wr_db_list_no_more(db);
        wr_db_list(db, false, 0);
    }
    if (!db->undisturbed)
        wr_db_take_over(db);
    db->ahead_ns = ahead ? wr_db_now_ns(db) + AHEAD_NS : 0;
    db->status.commits = db->status.changes = db->status.frames = 0; /* those were there before */
    wr_db_trouble(db, WR_OK, &e, "attached");
    wr_db_go(db, DB_PROVING);
}

/* Syncs wait for a TXID above the last closed one: the ledger that counted so far was lost. */
static bool syncs_are_ahead(struct wr_db *db)
{
    bool ahead;

    wr_mutex_lock(&db->mutex);
    ahead = db->sync_txid > db->txid;
    wr_mutex_unlock(&db->mutex);
    return ahead;
}

static void attached(struct wr_db *db)
{
    for (size_t i = 0; i < db->n_replicas; i++)
        db->time_ms = wr_max(db->time_ms, db->replicas[i].now->pos.time_ms);
    if (syncs_are_ahead(db))
        wr_db_renumber_syncs(db);
    db->unlisted = db->undisturbed;
    db->undisturbed = false;
    if (db->unlisted && db->txid != db->cold_txid)
        wr_db_take_over(db);
    wr_db_go(db, DB_SYNCING);
    db->synced_ns = wr_db_now_ns(db);
    wr_db_measure_wal(db);
    wr_db_was_busy(db);
    wr_log(DB_LOG(db), db->cooled_ns == INT64_MIN ? WR_INFO : WR_DEBUG, "attached", DB_NAME(db),
        WR_F_TXID("txid", db->txid), WR_F_U64("page_size", db->view.page_size),
        WR_F_U64("pages", db->view.commit), WR_F_U64("changed_pages", db->dirty.map.n));
}

void wr_db_attach_on(struct wr_db *db)
{
    struct wr_err e = {0};
    bool done = false;
    enum wr_status st = WR_OK;

    assert(db->state == DB_PROVING);
    if (db->ahead_ns != 0 && !knows_enough(db)) {
        await_replica(db);
        return;
    }
    db->ahead_ns = 0;
    if (wr_db_proving(db)) { /* the WAL must not grow for as long as that takes */
        st = wr_db_look(db, &e);
        if (st == WR_BUSY)
            return; /* another look is scheduled */
        if (st == WR_OK && wr_db_checkpoint_due(db))
            st = wr_db_checkpoint(db, &e);
        if (st == WR_OK && db->state != DB_PROVING)
            return; /* the file is no longer ours */
    }
    if (st == WR_OK)
        st = wr_db_prove(db, &done, &e);
    if (st != WR_OK)
        again(db, st, &e);
    else if (done)
        attached(db);
    else
        wr_db_want(db, wr_db_now_ns(db));
}
