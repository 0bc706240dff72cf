/*
 * life.c - how a database actor comes to be, gets its replicas, and ends.
 */
#include "engine/primary.h"

#include "base/crypto.h"
#include "base/mem.h"
#include "engine/primary_replicas.h"
#include "run/watch.h"

#define SCAN_WATCHED_NS ((int64_t)60 * 1000000000)
#define SCAN_BYTES      ((uint64_t)16 << 20)
#define INLINE_BYTES    ((uint64_t)8 << 20)
#define FEW_FILES       4

static void on_file_event(void *arg, bool only_written)
{
    (void)only_written;
    wr_db_wake(arg);
}

static void on_wal_event(void *arg, bool only_written)
{
    if (only_written)
        wr_db_wake_wal(arg);
    else
        wr_db_wake(arg);
}

static void on_replica(void *arg)
{
    struct wr_db *db = arg;

    wr_sched_wake(&db->actor);
}

static char *join(const char *a, const char *sep, const char *b, const char *tail)
{
    struct wr_buf out;
    char *z = NULL;

    wr_buf_init(&out, 8192);
    wr_buf_fmt(&out, "%s%s%s%s", a, sep, b, tail);
    if (wr_buf_status(&out) == WR_OK)
        z = wr_strndup((const char *)out.p, out.n);
    wr_buf_release(&out);
    return z;
}

static bool name_parts(struct wr_db *db, const struct wr_db_opts *o)
{
    struct wr_str dir = wr_path_dir(o->path), base = wr_path_base(o->path);

    db->path = wr_strndup(o->path, strlen(o->path));
    db->dir = wr_strndup(dir.p, dir.n);
    db->name = wr_strndup(base.p, base.n);
    if (!db->path || !db->dir || !db->name)
        return false;
    db->meta_dir = o->meta_dir ? wr_strndup(o->meta_dir, strlen(o->meta_dir))
                               : join(db->dir, "/.", db->name, "-weir");
    if (!db->meta_dir)
        return false;
    db->outbox = join(db->meta_dir, "/", "outbox", "");
    return db->outbox != NULL;
}

static void free_parts(struct wr_db *db)
{
    wr_free(db->path);
    wr_free(db->dir);
    wr_free(db->name);
    wr_free(db->meta_dir);
    wr_free(db->wal_path);
    wr_free(db->outbox);
    for (size_t i = 0; i < db->n_known; i++) {
        wr_text_release(&db->known[i]->why);
        wr_free(db->known[i]);
    }
    wr_text_release(&db->why);
    wr_text_release(&db->shared_why);
    wr_free(db->replicas);
    wr_free(db->room);
    wr_free(db);
}

enum wr_status wr_db_new(
    struct wr_sched *sched, const struct wr_db_opts *o, struct wr_db **ret, struct wr_err *e)
{
    struct wr_db *db = wr_alloc(sizeof(*db));
    enum wr_status st;

    if (!db)
        return wr_fail(e, WR_NOMEM, "add a database");
    db->actor = (struct wr_actor){.step = wr_db_step, .lane = WR_LANE_LOCAL, .sched = sched};
    db->fs = o->fs ? o->fs : wr_fs_posix();
    db->watch = o->watch;
    db->seats = o->seats;
    db->parcel_room = o->room;
    db->seat.actor = &db->actor;
    db->busy_ns = db->cooled_ns = INT64_MIN;
    db->levels_ns = WR_NEVER;
    db->quiet_ns = o->seats ? o->seats->quiet_ns : 0;
    db->lock_offset = o->lock_offset ? o->lock_offset : WR_LTX_LOCK_OFFSET;
    db->cadence = o->cadence;
    db->retention = wr_db_retention(o);
    db->verify_ms = o->verify_ms;
    db->look_ms = o->look_ms;
    if (db->cadence.few == 0)
        db->cadence.few = FEW_FILES;
    if (db->cadence.toll_floor == 0)
        db->cadence.toll_floor = WR_TOLL_FLOOR;
    if (db->cadence.toll_files == 0)
        db->cadence.toll_files = WR_TOLL_FILES;
    db->patient = o->checkpoint_frames == 0;
    db->checkpoint_frames = o->checkpoint_frames ? o->checkpoint_frames : WR_CHECKPOINT_FRAMES;
    db->seed = o->seed;
    db->adopt = o->adopt;
    db->scan_bytes = o->scan_bytes ? o->scan_bytes : SCAN_BYTES;
    db->inline_bytes = o->inline_bytes ? o->inline_bytes : INLINE_BYTES;
    db->scan_ns = o->scan_ns;
    if (db->scan_ns == 0)
        db->scan_ns = o->watch ? SCAN_WATCHED_NS : DB_SCAN_UNWATCHED_NS;
    db->closed_ns = INT64_MIN;
    db->idle_ckpt_ns = WR_NEVER;
    db->checkpoint_ns = INT64_MIN / 2;
    atomic_init(&db->sealed_since_ns, WR_NEVER);
    db->next_ns = WR_NEVER;
    db->doubt_ns = WR_NEVER;
    db->status.state = db->shared.state = "closed";
    wr_pageset_init(&db->dirty);
    wr_pageset_init(&db->unnoted);
    st = name_parts(db, o) ? wr_sched_add(&db->actor, e) : wr_fail(e, WR_NOMEM, "add a database");
    if (st != WR_OK) {
        free_parts(db);
        return st;
    }
    wr_peek_init(&db->peek);
    wr_mutex_init(&db->mutex);
    wr_cond_init(&db->cond);
    *ret = db;
    return WR_OK;
}

/* The list that steps work with is of the size that is needed: most databases have one replica, and
 * there may be ten thousand of these. */
static enum wr_status make_known(
    struct wr_db *db, struct wr_replica *r, int64_t sync_interval_ns, bool adopt, struct wr_err *e)
{
    size_t n = 0, n_levels = (size_t)db->cadence.levels + 1;
    struct db_known *known = wr_alloc(sizeof(*known) + n_levels * sizeof(known->levels[0]));
    struct db_replica *room = NULL, *unused;

    if (!known)
        return wr_fail(e, WR_NOMEM, "add a replica");
    known->r = r;
    known->interval_ns = sync_interval_ns;
    known->adopted = adopt;
    known->n_levels = n_levels;
    for (;;) {
        wr_mutex_lock(&db->mutex);
        if (n == db->n_known + 1)
            break;
        n = db->n_known + 1;
        wr_mutex_unlock(&db->mutex);
        wr_free(room); /* somebody added another one meanwhile */
        room = n <= WR_REPLICAS_MAX ? wr_array(n, sizeof(*room)) : NULL;
        if (room)
            continue;
        wr_free(known);
        return n <= WR_REPLICAS_MAX
                   ? wr_fail(e, WR_NOMEM, "add a replica")
                   : wr_fail(
                         e, WR_LIMIT, "a database can have at most %d replicas", WR_REPLICAS_MAX);
    }
    db->known[db->n_known++] = known;
    unused = db->room;
    db->room = room;
    wr_mutex_unlock(&db->mutex);
    wr_free(unused);
    return WR_OK;
}

/* Begin with those that were not begun with. */
static void list_new(struct wr_db *db)
{
    struct wr_replica *new[WR_REPLICAS_MAX];
    uint64_t node = 0;
    size_t n = 0;

    wr_mutex_lock(&db->mutex);
    for (size_t i = 0; i < db->n_known && db->listing != DB_LISTING_WAITS; i++) {
        if (db->known[i]->listed != DB_LISTING_WAITS)
            continue;
        db->known[i]->listed = db->listing;
        node = db->listing_node;
        new[n++] = db->known[i]->r;
    }
    wr_mutex_unlock(&db->mutex);
    for (size_t i = 0; i < n; i++) {
        if (node != 0)
            wr_replica_set_node(new[i], node);
        wr_replica_start(new[i]);
    }
}

void wr_db_list(struct wr_db *db, bool pinned, uint64_t node)
{
    wr_mutex_lock(&db->mutex);
    db->listing = pinned ? DB_LISTING_PINNED : DB_LISTING_GOES;
    db->listing_node = node;
    wr_mutex_unlock(&db->mutex);
    list_new(db);
}

void wr_db_list_no_more(struct wr_db *db)
{
    wr_mutex_lock(&db->mutex);
    if (db->listing == DB_LISTING_PINNED)
        db->listing = DB_LISTING_GOES;
    for (size_t i = 0; i < db->n_known; i++) {
        if (db->known[i]->listed == DB_LISTING_PINNED)
            db->known[i]->listed = DB_LISTING_GOES;
    }
    wr_mutex_unlock(&db->mutex);
}

bool wr_db_was_listed(struct wr_db *db, const struct db_known *known)
{
    bool was;

    wr_mutex_lock(&db->mutex);
    was = known->listed == DB_LISTING_PINNED;
    wr_mutex_unlock(&db->mutex);
    return was;
}

static enum wr_status add_replica(struct wr_db *db, struct wr_storage *storage,
    int64_t sync_interval_ns, bool adopt, struct wr_err *e)
{
    struct wr_replica_opts o = {
        .sched = db->actor.sched, .label = db->name, .notify = on_replica, .arg = db};
    struct wr_replica *r = NULL;
    enum wr_status st = WR_OK;

    o.verify_ns = db->verify_ms * 1000000;
    o.look_ms = db->look_ms;
    o.keeps_all = db->retention.keep_ms == 0 && db->retention.l0_ms == 0;
    o.lock_offset = db->lock_offset;
    o.seed = db->seed;
    if (o.seed == 0)
        st = wr_random(&o.seed, sizeof(o.seed), e);
    if (st == WR_OK)
        st = wr_replica_new(storage, &o, &r, e);
    if (st != WR_OK) {
        wr_storage_close(storage);
        return st;
    }
    st = make_known(db, r, sync_interval_ns, adopt, e);
    if (st != WR_OK) {
        wr_replica_free(r);
        return st;
    }
    list_new(db);
    wr_sched_wake(&db->actor); /* it may be what the first attempt waits for */
    return WR_OK;
}

enum wr_status wr_db_add_replica(
    struct wr_db *db, struct wr_storage *storage, int64_t sync_interval_ns, struct wr_err *e)
{
    return add_replica(db, storage, sync_interval_ns, db->adopt, e);
}

enum wr_status wr_db_adopt_replica(
    struct wr_db *db, struct wr_storage *storage, int64_t sync_interval_ns, struct wr_err *e)
{
    return add_replica(db, storage, sync_interval_ns, true, e);
}

static void unwatch(struct wr_db *db, enum db_watched which)
{
    if (db->watching[which])
        wr_watch_remove(db->watch, db->watch_ids[which]);
    db->watching[which] = false;
}

/* Without memory for its name, or a watch, the file is looked at by time. */
static void watch_file(struct wr_db *db, enum db_watched which, const char *path)
{
    struct wr_str dir_view = wr_path_dir(path), base_view = wr_path_base(path);
    char *dir = wr_strndup(dir_view.p, dir_view.n), *base = wr_strndup(base_view.p, base_view.n);
    struct wr_err e = {0};

    if (db->watch) {
        unwatch(db, which);
        db->watching[which] = dir && base &&
                              wr_watch_add(db->watch, dir, base,
                                  which == DB_WATCHED_WAL ? on_wal_event : on_file_event, db,
                                  &db->watch_ids[which], &e) == WR_OK;
        if (!db->watching[which])
            db->scan_ns = wr_min(db->scan_ns, DB_SCAN_UNWATCHED_NS);
    }
    wr_free(dir);
    wr_free(base);
}

void wr_db_watch_wal(struct wr_db *db, const char *path)
{
    char *wal = join(path, "-", "wal", "");

    if (wal && (!db->wal_path || strcmp(wal, db->wal_path) != 0)) {
        watch_file(db, DB_WATCHED_WAL, wal);
        wr_free(db->wal_path);
        db->wal_path = wal;
        wal = NULL;
    }
    wr_free(wal);
}

void wr_db_first_step(struct wr_db *db)
{
    watch_file(db, DB_WATCHED_FILE, db->path);
    wr_db_watch_wal(db, db->path);
    wr_db_go(db, DB_OPENING);
}

void wr_db_start(struct wr_db *db)
{
    wr_mutex_lock(&db->mutex);
    db->begun = true;
    wr_mutex_unlock(&db->mutex);
    wr_sched_wake(&db->actor);
}

/* The totals of a life, for the log: what a support case starts with. */
static void log_totals(const struct wr_db *db)
{
    const struct wr_db_status *s = &db->status;

    wr_log(DB_LOG(db), WR_INFO, "closed db", DB_NAME(db), WR_F_TXID("txid", s->txid),
        WR_F_U64("commits", s->commits), WR_F_U64("wal_index_commits", s->changes),
        WR_F_U64("frames", s->frames), WR_F_U64("checkpoints", s->checkpoints),
        WR_F_U64("wal_resets", s->resets), WR_F_U64("checkpoints_put_off", s->barriers_failed),
        WR_F_U64("ledger_scans", s->ledger_scans), WR_F_U64("full_sends", s->full_sends),
        WR_F_U64("kept_pages", s->kept_pages),
        WR_F_I64("longest_barrier_us", s->barrier_max_ns / 1000));
}

void wr_db_free(struct wr_db *db)
{
    if (!db)
        return;
    for (size_t i = 0; i < db->n_known; i++)
        wr_replica_cancel(db->known[i]->r);
    wr_sched_remove(&db->actor);
    unwatch(db, DB_WATCHED_FILE); /* after the steps that arm them */
    unwatch(db, DB_WATCHED_WAL);
    for (size_t i = 0; i < db->n_known; i++)
        wr_replica_free(db->known[i]->r);
    for (size_t i = 0; i < db->n_replicas; i++) {
        wr_parcel_unref(db->replicas[i].stream);
        db->replicas[i].stream = NULL;
        wr_db_levels_drop(db, &db->replicas[i]);
    }
    db->n_replicas = 0;
    log_totals(db);
    wr_db_detach(db, true);
    wr_pageset_release(&db->dirty);
    wr_pageset_release(&db->unnoted);
    wr_db_air_free(db);
    wr_peek_release(&db->peek);
    wr_mutex_release(&db->mutex);
    wr_cond_release(&db->cond);
    free_parts(db);
}
