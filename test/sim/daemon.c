/*
 * daemon.c - see daemon.h.
 */
#include "sim/daemon.h"
#include "engine/parcel.h"
#include "engine/seats.h"

#include "base/buf.h"
#include "base/mem.h"
#include "engine/primary_replicas.h"
#include "engine/replica_int.h"
#include "run/sched.h"
#include "sim/child.h"
#include "sim/commits.h"
#include "sim/disk.h"

#define QUIET_MAX_NS INT64_C(4000000000)
#define SOON_NS      INT64_C(5000000000) /* in which what is due is done */
#define LAST_WORD_NS INT64_C(2000000000)

uint64_t daemon_forks;

struct daemon {
    struct daemon *before; /* the one that was started before it */
    struct daemon_opts o;
    struct sim_proc *proc;
    struct sim_fiber *fiber;
    struct wr_sched *sched;
    struct wr_db *db; /* NULL before it has begun */
    struct wr_seats seats;
    struct wr_parcel_room parcel_room;
    struct sim_queue orders, events;
    struct wr_cancel cancel; /* of work that was asked for */
    bool complete;           /* no replica is yet to come */
    bool begun, stop, event, syncing, want_sync;
    int64_t timeout_ns;
    size_t commits;
    daemon_synced_fn *synced;
};

static struct daemon *newest;

/* What it finds by itself, and makes good, must not have happened all the same. */
static void check_protocol(const char *text)
{
    static const char *const violations[] = {
        "the checkpoint lock did not hold", "where the wal-index counted"};

    for (size_t i = 0; i < wr_countof(violations); i++) {
        if (strstr(text, violations[i]))
            sim_fail("S2: %s", text);
    }
}

static void log_line(void *arg, enum wr_log_level level, const char *msg,
    const struct wr_log_field *fields, size_t n)
{
    struct wr_buf b;

    (void)arg;
    daemon_forks += strstr(msg, "lost transactions that were already replicated") != NULL;
    if (!sim_tracing && level < WR_ERROR)
        return;
    wr_buf_init(&b, 4096);
    wr_log_text(&b, fields, n);
    wr_buf_byte(&b, '\0');
    if (level == WR_ERROR && wr_buf_status(&b) == WR_OK)
        check_protocol((const char *)b.p);
    sim_trace("log %d %s " WR_FMT, (int)level, msg, WR_ARG(wr_buf_view(&b)));
    wr_buf_release(&b);
}

/* Simulations have all the memory they want: what fails here is a bug of theirs. */
static void must(enum wr_status st, const struct wr_err *e)
{
    if (st != WR_OK)
        sim_fail("%s", e->text);
}

/* Some let the database go whenever it rests, as if there were many: another is in need of its
 * seat all the time. */
static struct wr_seats *seats(struct daemon *d)
{
    bool cools = d->o.seed % 4 == 3;

    wr_seats_init(&d->seats, 1);
    d->seats.taken = cools ? 1 : 0;
    /* It looks four times in that whether it may go: much more often than it scans, these looks
     * would be all that takes time. */
    d->seats.quiet_ns =
        wr_max((int64_t)4000000 << (d->o.seed / 4 % 10), wr_min(d->o.scan_ns / 4, QUIET_MAX_NS));
    return &d->seats;
}

static void add_replica(struct daemon *d, size_t i)
{
    struct wr_storage *s = NULL;
    struct wr_err e = {0};

    must(wr_storage_wrap(
             store_ops(d->o.stores[i]), store_client(d->o.stores[i]), WR_STR(""), &s, &e),
        &e);
    must(d->o.adopt ? wr_db_adopt_replica(d->db, s, d->o.interval_ns, &e)
                    : wr_db_add_replica(d->db, s, d->o.interval_ns, &e),
        &e);
}

/* How many replicas there are from the start. */
static size_t n_early(const struct daemon *d)
{
    return d->o.n_stores - (d->o.late_off && d->o.n_stores > 1 ? 1 : 0);
}

static void begin(struct daemon *d)
{
    const struct wr_log log = {.sink = log_line, .min_level = WR_DEBUG};
    const struct wr_sched_opts so = {.log = &log};
    const struct wr_db_opts o = {
        .path = d->o.path,
        .meta_dir = d->o.meta_dir,
        .fs = disk_fs(),
        .seats = seats(d),
        .room = &d->parcel_room,
        .scan_ns = d->o.scan_ns,
        .checkpoint_frames = d->o.checkpoint_frames,
        .scan_bytes = d->o.scan_bytes,
        .inline_bytes = d->o.inline_bytes,
        .lock_offset = d->o.lock_offset,
        .cadence = d->o.cadence,
        .retention = d->o.retention,
        .look_ms = d->o.look_ms,
        .seed = d->o.seed ^ (uint64_t)sim_now_ns() << 16, /* no other process has it */
    };
    struct wr_err e = {0};

    sim_trace("memory for files: %zu, %zu of %zu", d->o.small_max, d->o.file_max, d->o.room);
    must(wr_sched_new(&so, &d->sched, &e), &e);
    must(wr_db_new(d->sched, &o, &d->db, &e), &e);
    /* As if nobody had chosen the number of frames: a WAL that grows slowly becomes longer. */
    d->db->patient = d->o.seed % 3 == 0;
    for (size_t i = 0; i < n_early(d); i++)
        add_replica(d, i);
    wr_db_start(d->db);
    d->begun = true;
}

/* Of this TXID or a later one, by its name. */
static bool is_snapshot(void *arg, const char *key, const uint8_t *p, size_t n)
{
    static const char stem[] = "ltx/9/0000000000000001-";
    uint64_t *txid = arg, max;

    (void)p;
    (void)n;
    if (strncmp(key, stem, strlen(stem)) == 0 && strlen(key) > strlen(stem) + 16 &&
        wr_parse_hex64((struct wr_str){key + strlen(stem), 16}, &max) && max >= *txid)
        *txid = 0;
    return *txid > 0;
}

static void expect_snapshot(struct store *s, uint64_t txid)
{
    uint64_t wanted = txid;

    store_each(s, is_snapshot, &wanted);
    if (wanted > 0)
        sim_fail(
            "S8: a snapshot of txid %llu was promised and is not there", (unsigned long long)txid);
}

static void watch(void *arg)
{
    struct daemon *d = arg;

    while (!d->stop) {
        if (!d->event)
            (void)sim_wait(&d->events, SIM_NEVER);
        d->event = false;
        if (!d->stop)
            wr_db_wake_wal(d->db); /* which is where applications write */
    }
}

/* Whether it is still wanted after such a nap; short steps, so that an end is not slept through. */
static bool nap(const struct daemon *d, int64_t ns, const bool *going, bool while_it_is)
{
    const int64_t until = sim_now_ns() + ns;

    while (!d->stop && *going == while_it_is && sim_now_ns() < until)
        sim_sleep(wr_min(until - sim_now_ns(), (int64_t)20000000));
    return !d->stop && *going == while_it_is;
}

static void come_late(void *arg)
{
    struct daemon *d = arg;

    (void)nap(d, d->o.late_ns, d->o.late_off, false);
    if (d->stop)
        return;
    add_replica(d, d->o.n_stores - 1);
    d->complete = true;
}

/* What was asked for, in turn. That a snapshot is there is looked at when it is said. */
static void ask(void *arg)
{
    struct daemon *d = arg;

    for (unsigned i = 0; nap(d, d->o.ask_ns, d->o.asks, true); i++) {
        enum wr_work kind = (enum wr_work)(i % WR_WORKS);
        struct wr_err e = {0};
        uint64_t value = 0;
        enum wr_status st = wr_db_work(d->db, kind, 20000, &d->cancel, &value, &e);

        sim_trace(
            "work %d: %s, %llu", (int)kind, st == WR_OK ? "ok" : e.text, (unsigned long long)value);
        if (st == WR_OK && kind == WR_WORK_SNAPSHOT)
            for (size_t k = 0; k < n_early(d); k++)
                expect_snapshot(d->o.stores[k], value);
    }
}

static void sync_now(struct daemon *d)
{
    struct wr_err e = {0};
    uint64_t txid = 0;
    bool complete = d->complete; /* else it says nothing of one that comes */
    enum wr_status st =
        wr_db_sync(d->db, WR_DB_SYNC_REMOTE, d->timeout_ns / 1000000, NULL, &txid, &e);

    sim_trace("sync: %s, txid %llu", st == WR_OK ? "ok" : e.text, (unsigned long long)txid);
    d->syncing = false;
    if (st == WR_OK && complete)
        d->synced(txid, d->commits);
}

static void live(void *arg)
{
    struct daemon *d = arg;
    struct sim_fiber *watcher = NULL, *asker = NULL, *late = NULL;

    wr_cancel_init(&d->cancel);
    begin(d);
    if (d->o.watched)
        watcher = sim_spawn(d->proc, "watch", watch, d);
    if (d->o.asks)
        asker = sim_spawn(d->proc, "ask", ask, d);
    d->complete = n_early(d) == d->o.n_stores;
    if (!d->complete)
        late = sim_spawn(d->proc, "late", come_late, d);
    while (!d->stop) {
        if (!d->want_sync)
            (void)sim_wait(&d->orders, SIM_NEVER);
        if (d->want_sync) {
            d->want_sync = false;
            sync_now(d);
        }
    }
    wr_cancel_now(&d->cancel);
    if (watcher) {
        sim_rouse(&d->events, true);
        sim_join(watcher);
    }
    if (asker)
        sim_join(asker);
    if (late)
        sim_join(late);
    wr_db_leave_replicas(d->db);
    wr_db_leave_await(d->db, sim_now_ns() + LAST_WORD_NS);
    wr_db_free(d->db);
    wr_sched_free(d->sched);
    wr_cancel_release(&d->cancel);
    CHECK(atomic_load(&d->parcel_room.left) == d->o.room);
    wr_parcel_room_rest(&d->parcel_room);
}

struct daemon *daemon_start(const char *name, const struct daemon_opts *o)
{
    struct daemon *d = wr_alloc(sizeof(*d));

    if (!d)
        sim_fail("no memory");
    d->o = *o;
    d->before = newest;
    newest = d;
    wr_parcel_room_init(&d->parcel_room, o->small_max, o->file_max, o->room);
    d->proc = sim_proc_new(name);
    d->fiber = sim_spawn(d->proc, "main", live, d);
    return d;
}

struct sim_proc *daemon_proc(struct daemon *d)
{
    return d->proc;
}

bool daemon_runs(const struct daemon *d)
{
    return d && sim_proc_alive(d->proc) && !d->stop;
}

void daemon_stop(struct daemon *d)
{
    d->stop = true;
    sim_proc_cont(d->proc);
    sim_rouse(&d->orders, true);
    sim_join(d->fiber);
    sim_kill(
        d->proc); /* all its threads have ended; what a process leaves open, the kernel closes */
}

void daemon_event(struct daemon *d)
{
    if (!daemon_runs(d))
        return;
    d->event = true;
    sim_rouse(&d->events, true);
}

bool daemon_sync(struct daemon *d, int64_t timeout_ns, daemon_synced_fn *done)
{
    if (!daemon_runs(d) || d->syncing)
        return false;
    d->syncing = d->want_sync = true;
    d->timeout_ns = timeout_ns;
    d->synced = done;
    d->commits = commits_n_of(d->o.path);
    sim_rouse(&d->orders, true);
    return true;
}

void daemon_status(struct daemon *d, struct wr_db_status *ret)
{
    wr_db_status(d->db, ret);
}

void daemon_error(struct daemon *d, struct wr_err *ret)
{
    wr_db_error(d->db, ret);
}

uint64_t daemon_outboxed(void)
{
    uint64_t n = 0;

    for (const struct daemon *d = newest; d; d = d->before)
        n += atomic_load(&d->parcel_room.missed);
    return n;
}

/* When it says in its bucket what it has sent. */
static int64_t says_ns(struct wr_replica *r)
{
    int64_t ms = wr_herald_due(&r->herald);

    return ms == INT64_MAX ? SIM_NEVER : ms * 1000000;
}

int64_t daemon_due_ns(const struct daemon *d)
{
    const struct wr_db *db = d->db;
    const bool deletes = db->retention.keep_ms > 0 || db->retention.l0_ms > 0;
    int64_t due = wr_min(db->levels_ns, db->doubt_ns); /* each may be WR_NEVER, as SIM_NEVER */

    static_assert(WR_NEVER == SIM_NEVER, "times of both are compared");

    for (size_t i = 0; i < db->n_replicas; i++) {
        const struct db_replica *dr = &db->replicas[i];
        bool busy = wr_keeper_busy(dr->keeper);

        for (size_t level = 0; level <= WR_LEVEL_MAX; level++)
            busy = busy || dr->history[level];
        if (busy)
            due = sim_now_ns();
        due = wr_min(due, says_ns(dr->r));
        if (dr->retain_due && deletes && dr->retain_ns > sim_now_ns() - SOON_NS)
            due = wr_min(due, dr->retain_ns); /* else others write there, and nothing is deleted */
    }
    return due;
}

bool daemon_replica(struct daemon *d, struct wr_replica_status *ret)
{
    struct wr_str name;

    if (d->begun)
        wr_db_replica_status(d->db, 0, ret, &name);
    return d->begun;
}
