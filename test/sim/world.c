/*
 * world.c - see world.h. What happens, and when, is decided by the tape.
 */
#include "sim/world.h"

#include "base/mem.h"
#include "engine/primary.h"
#include "sim/app.h"
#include "sim/commits.h"
#include "sim/daemon.h"
#include "sim/disk.h"
#include "sim/store.h"
#include "sim/tape.h"
#include "sim/threads.h"
#include "sim/twins.h"
#include "sim/verdict.h"
#include "sim/vfs.h"
#include "sim/waits.h"

#define MS              INT64_C(1000000)
#define SECOND          INT64_C(1000000000)
#define DB              "/db/app.db"
#define META            "/db/.app.db-weir"
#define LOCK_OFFSET     0x10000u /* SQLite's lock page, where small databases have it */
#define RUNS            "/proc/sys/kernel/random" /* where the system says which run it is */
#define APPS            3
#define HEALED_NS       (600 * SECOND) /* in which everything must be well again */
#define LATE_NS         (5 * SECOND)   /* for which there is no daemon at first, at most */
#define QUIET_NS        (30 * SECOND)  /* in which nothing must be asked of a store */
#define LEVELS_QUIET_NS (15 * 60 * SECOND)
#define HOLD_MAX_NS     WAITS_MAX_NS /* of the writer lock, if the process is not stopped meanwhile */
#define LONG_WAL        8u           /* times the checkpoint's threshold */

/* What kinds of things go wrong in this run; each is there in some runs and not in others. */
struct habits {
    bool kills, cuts, stops, rivals, losses, outages, jumps, disk, travel, late;
    bool vast;  /* files that take long to be read from a database that is written */
    bool twins; /* nothing of all this, but a copied machine (twins.h) */
    bool sick;  /* the applications' disk fails them now and then */
    bool hasty; /* short lives, of processes whose writes take effect when they are gone */
    uint32_t events;
    int64_t pause_ns;
};

struct world {
    struct habits may;
    struct app_opts app;
    struct sim_proc *apps[APPS];
    struct daemon_opts opts;
    struct daemon *daemon, *rival;
    struct sim_proc *restore; /* one that runs, or has ended; NULL: none */
    struct store *stores[DAEMON_REPLICAS];
    bool healed;
    uint8_t *old; /* the database at an earlier time, or NULL */
    size_t old_n;
    struct world_report *r;
};

static struct world *the_world; /* for what is called without an argument */

static void note_exit(struct sim_proc *p)
{
    int64_t held = vfs_longest_write_hold(p);

    if (strncmp(sim_proc_name(p), "weir", 4) == 0)
        the_world->r->longest_hold_ns = wr_max(the_world->r->longest_hold_ns, held);
}

static void wrote(void)
{
    /* inotify may be late, and it may be that nobody listens */
    if (the_world->opts.watched)
        daemon_event(the_world->daemon);
}

/* ---- how this run is ---- */

static void draw_habits(struct world *w)
{
    struct habits *h = &w->may;

    h->kills = tape_chance(600);
    h->cuts = tape_chance(300);
    h->stops = tape_chance(250);
    h->rivals = tape_chance(200);
    h->losses = tape_chance(200);
    h->outages = tape_chance(250);
    h->jumps = tape_chance(200);
    h->disk = tape_chance(200);
    h->travel = tape_chance(150);
    h->late = tape_chance(300);
    h->vast = tape_chance(100);
    h->late = h->late || h->vast;
    h->hasty = tape_chance(100);
    h->events = (uint32_t)tape_between(1, 24);
    h->pause_ns = (int64_t)tape_between(1, 200) * MS;
    tape_apart(true);
    h->sick = tape_chance(150);
    h->twins = tape_chance(50);
    tape_apart(false);
    if (h->hasty) { /* who has lost all state and finds nothing cannot know what is under way */
        h->kills = h->cuts = true;
        h->losses = h->travel = false;
        h->pause_ns = 2 * SECOND;
    }
}

static void draw_app(struct world *w)
{
    static const uint32_t sizes[] = {4096, 512, 1024, 65536};

    w->app = (struct app_opts){
        .path = DB,
        .page_size = sizes[tape_below(8) % 5 % wr_countof(sizes)],
        /* A power cut may do anything to a database that is not synced. */
        .synchronous = w->may.hasty ? 1 : 2 - tape_below(w->may.cuts ? 2 : 3),
        .savepoints = !w->may.kills && !w->may.cuts,
        .auto_frames = tape_below(3) * 10,
        .cache_pages = 2 + tape_below(30),
        .big = w->may.vast || tape_chance(200),
        .think_ns = (int64_t)tape_between(w->may.hasty ? 20 : 1, 50) * MS,
    };
}

/* A day of levels, snapshots and retention in the seconds that a run has. Nothing is drawn for it,
 * so that the others live as they did before. */
static void draw_history(struct world *w)
{
    uint32_t kind = (uint32_t)(w->opts.seed % 12);
    int64_t ms = 40 << kind % 4;

    if (kind >= 6)
        return;
    w->opts.cadence = (struct wr_cadence){.levels = 1 + kind % 3,
        .level_ms = {ms, 3 * ms, 9 * ms},
        .snapshot_ms = kind % 2 ? 8 * ms : 0,
        .few = 1 + kind % 3};
    if (kind % 3 > 0)
        w->opts.retention =
            (struct wr_retention){.keep_ms = 12 * ms, .l0_ms = ms, .grace_ms = 1 + ms * (kind / 3)};
}

static void draw_daemon(struct world *w)
{
    w->opts = (struct daemon_opts){
        .path = DB,
        .n_stores = 1 + tape_chance(300),
        .lock_offset = LOCK_OFFSET,
        .checkpoint_frames = (uint32_t)tape_between(10, 200),
        .scan_ns = (int64_t)tape_between(10, 1000) * MS,
        .interval_ns = (int64_t)tape_between(1, 1000) * MS,
        .scan_bytes = 16384 << tape_below(8),
        .inline_bytes = tape_chance(500) ? 4096 << tape_below(6) : 0,
        .seed = 1 + tape_below(1000),
        .watched = tape_chance(700),
    };
    if (w->may.vast) {
        w->opts.checkpoint_frames = 10;
        w->opts.inline_bytes = 4096;
    }
    draw_history(w);
    for (size_t i = 0; i < w->opts.n_stores; i++)
        w->opts.stores[i] = w->stores[i] = store_new(i ? "mirror" : "bucket");
    for (size_t i = 0; i < w->opts.n_stores && w->may.hasty; i++)
        store_ponder(w->stores[i]);
}

/* ---- processes ---- */

static bool app_lives(const struct world *w, size_t i)
{
    return w->apps[i] && sim_proc_alive(w->apps[i]);
}

static void start_app(struct world *w, size_t i)
{
    static const char *const names[APPS] = {"app0", "app1", "app2"};

    if (app_lives(w, i))
        return;
    w->app.checkpoints = i == 0;
    w->apps[i] = app_start(names[i], &w->app);
}

static void start_daemon(struct world *w)
{
    if (daemon_runs(w->daemon))
        return;
    w->daemon = daemon_start("weir", &w->opts);
}

static void kill_one(struct world *w, struct sim_proc *p)
{
    w->r->crashes++;
    sim_kill(p);
}

static void kill_daemon(struct world *w)
{
    if (daemon_runs(w->daemon))
        kill_one(w, daemon_proc(w->daemon));
}

static void kill_all(struct world *w)
{
    kill_daemon(w);
    if (daemon_runs(w->rival))
        kill_one(w, daemon_proc(w->rival));
    for (size_t i = 0; i < APPS; i++) {
        if (app_lives(w, i))
            kill_one(w, w->apps[i]);
    }
    if (w->restore && sim_proc_alive(w->restore))
        kill_one(w, w->restore);
}

/* ---- what happens ---- */

static void machine_starts(const struct world *w)
{
    char text[32];
    int n = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)w->r->cuts);

    disk_plant(RUNS "/boot_id", text, (size_t)n);
}

static void power_cut(struct world *w)
{
    sim_trace("power cut");
    w->r->cuts++;
    kill_all(w);
    disk_power_cut();
    machine_starts(w);
    commits_forget();
    start_app(w, 0);
    if (w->may.hasty || tape_below(2) == 0)
        start_daemon(w);
}

static void stop_for_a_while(struct world *w)
{
    struct sim_proc *p = tape_below(2)            ? w->apps[tape_below(APPS)]
                         : daemon_runs(w->daemon) ? daemon_proc(w->daemon)
                                                  : NULL;

    if (!p || !sim_proc_alive(p))
        return;
    sim_trace("stop %s", sim_proc_name(p));
    sim_proc_stop(p);
    sim_sleep((int64_t)tape_between(0, 3 * (uint64_t)SECOND));
    sim_proc_cont(p);
}

static void second_daemon(struct world *w)
{
    if (daemon_runs(w->rival)) {
        if (tape_below(2))
            kill_one(w, daemon_proc(w->rival));
        else
            daemon_stop(w->rival);
        return;
    }
    w->rival = daemon_start("weir2", &w->opts);
}

/* Local state is a cache: some of it is gone, or all. */
static void lose_state(struct world *w)
{
    static const char *const names[] = {
        META "/ledger", META "/journal.0", META "/journal.1", META "/node"};
    uint32_t which = tape_below(16);

    kill_daemon(w);
    if (daemon_runs(w->rival))
        kill_one(w, daemon_proc(w->rival));
    for (size_t i = 0; i < wr_countof(names); i++) {
        if (which == 0 || which & 1u << i)
            disk_remove(names[i]);
    }
}

static void stop_all(struct world *w)
{
    app_stop_all();
    for (size_t i = 0; i < APPS; i++)
        w->apps[i] = NULL;
    if (daemon_runs(w->rival))
        daemon_stop(w->rival);
    if (daemon_runs(w->daemon))
        daemon_stop(w->daemon);
}

/* Somebody puts an older copy of the database in place while nobody uses it. */
static void travel_back(struct world *w)
{
    const uint8_t *now;
    size_t n = 0;
    bool wal;

    stop_all(w);
    start_daemon(w); /* whose end is the last one */
    start_app(w, 0);
    sim_sleep(SECOND);
    stop_all(w);
    wal = disk_peek(DB "-wal", &n) && n > 0;
    if (wal && !w->may.sick) /* else the last to close it may have failed to */
        sim_fail("A3: a WAL of %zu bytes stays behind, for whatever is put under it", n);
    now = disk_peek(DB, &n);
    if (wal) {
        sim_trace("a WAL stays behind, the copy too");
    } else if (w->old) {
        sim_trace("an older copy");
        disk_plant(DB, w->old, w->old_n);
        commits_forget();
        wr_free(w->old);
        w->old = NULL;
    } else if (now && n > 0) {
        w->old = wr_alloc(n);
        if (!w->old)
            sim_fail("no memory");
        memcpy(w->old, now, n);
        w->old_n = n;
    }
    start_app(w, 0);
    start_daemon(w);
}

static void disk_trouble(struct world *w)
{
    static const enum disk_fault kinds[] = {
        DISK_FULL, DISK_EIO_READ, DISK_EIO_WRITE, DISK_EIO_SYNC};
    enum disk_fault what = kinds[tape_below(wr_countof(kinds))];

    const struct sim_proc *p;

    if (!daemon_runs(w->daemon))
        return;
    p = daemon_proc(w->daemon);
    disk_arm(what, p, (uint32_t)tape_between(1, 500));
    sim_sleep((int64_t)tape_between(0, (uint64_t)SECOND));
    disk_arm(what, p, 0);
}

struct sickness {
    enum disk_fault what;
    uint32_t who, permille;
    int64_t after_ns, lasts_ns;
};

static struct sickness draw_sickness(const struct world *w)
{
    /* The last one only where no power cut finds what SQLite knows to be synced: a database that
     * could lose a part of a checkpoint is corrupt without us. */
    static const enum disk_fault kinds[] = {
        DISK_FULL, DISK_EIO_WRITE, DISK_EIO_READ, DISK_EIO_SYNC};
    const bool all = w->app.synchronous == 2 || !w->may.cuts;
    struct sickness s;

    tape_apart(true);
    s = (struct sickness){
        .what = kinds[tape_below(all ? wr_countof(kinds) : wr_countof(kinds) - 1)],
        .who = tape_below(APPS),
        .permille = (uint32_t)tape_between(1, 500),
        .after_ns = (int64_t)tape_between(1000, (uint64_t)SECOND),
        .lasts_ns = (int64_t)tape_between(1000, (uint64_t)SECOND / 2),
    };
    tape_apart(false);
    return s;
}

/* The disk fails one application after the other, beside all that happens. */
static void be_sick(void *arg)
{
    struct world *w = arg;

    while (!w->healed) {
        const struct sickness s = draw_sickness(w);
        const struct sim_proc *p;

        sim_sleep(s.after_ns);
        if (w->healed || !app_lives(w, s.who))
            continue;
        p = w->apps[s.who];
        sim_trace("%s has a sick disk", sim_proc_name(p));
        disk_arm(s.what, p, s.permille);
        sim_sleep(s.lasts_ns);
        disk_arm(s.what, p, 0);
    }
}

/* Somebody restores beside everything else, and is killed as anybody. */
static void restore_beside(struct world *w)
{
    if (w->may.kills && w->restore && sim_proc_alive(w->restore) && tape_below(2))
        kill_one(w, w->restore);
    if (!w->restore || !sim_proc_alive(w->restore))
        w->restore = verdict_restore_now();
}

static void happen(struct world *w)
{
    switch (tape_below(17)) {
    case 1:
    case 2:
        start_app(w, tape_below(APPS));
        break;
    case 3:
        if (w->may.kills && w->apps[0] && sim_proc_alive(w->apps[0]))
            kill_one(w, w->apps[0]);
        start_app(w, 0);
        break;
    case 4:
        if (w->may.kills)
            kill_daemon(w);
        break;
    case 5:
        start_daemon(w);
        break;
    case 6:
        if (w->may.cuts)
            power_cut(w);
        break;
    case 7:
        if (w->may.stops)
            stop_for_a_while(w);
        break;
    case 8:
        if (w->may.rivals)
            second_daemon(w);
        break;
    case 9:
        if (w->may.losses)
            lose_state(w);
        break;
    case 10:
        if (w->may.outages)
            store_outage(w->stores[tape_below((uint32_t)w->opts.n_stores)],
                sim_now_ns() + (int64_t)tape_between(1, 20) * SECOND);
        break;
    case 11:
        if (w->may.jumps)
            threads_jump_wall((int64_t)tape_between(0, 100000) * 1000 - 50000000);
        break;
    case 12:
        if (w->may.disk)
            disk_trouble(w);
        break;
    case 13:
        if (w->may.travel)
            travel_back(w);
        break;
    case 14:
        if (w->may.kills && daemon_runs(w->daemon))
            daemon_stop(w->daemon);
        break;
    case 15:
        restore_beside(w);
        break;
    default:
        if (daemon_runs(w->daemon))
            (void)daemon_sync(w->daemon, 20 * SECOND, verdict_acked);
        break;
    }
}

/* ---- the end ---- */

static bool is_synced;

static void synced(uint64_t txid, size_t commits)
{
    verdict_acked(txid, commits);
    is_synced = true;
}

static void heal(struct world *w)
{
    w->healed = true;
    for (int f = 0; f < DISK_FAULTS; f++)
        disk_arm((enum disk_fault)f, NULL, 0);
    for (size_t i = 0; i < w->opts.n_stores; i++)
        store_heal(w->stores[i]);
    if (daemon_runs(w->rival))
        daemon_stop(w->rival);
    start_app(w, 0);
    start_daemon(w);
}

/* L1, S2: everything gets well by itself. */
static void expect_sync(struct world *w)
{
    const int64_t until = sim_now_ns() + HEALED_NS;
    struct wr_db_status now = {0};

    while (!is_synced && sim_now_ns() < until) {
        (void)daemon_sync(w->daemon, 60 * SECOND, synced);
        sim_sleep(SECOND / 10);
    }
    daemon_status(w->daemon, &now);
    if (!is_synced)
        sim_fail("L1: no sync in %d s after everything has healed: %s: %s",
            (int)(HEALED_NS / SECOND), now.state, now.error_text);
    if (now.commits < now.changes)
        sim_fail("S2: captured %llu commits, SQLite counted %llu", (unsigned long long)now.commits,
            (unsigned long long)now.changes);
}

/* Those that somebody has sent: not what the network doubled. */
static uint64_t requests(void)
{
    return store_counts.requests - store_counts.doubled;
}

/* L2. A moment for what follows a sync: checkpoints, the journal, another look; and for a file of a
 * higher level that could not be sent, which is tried again minutes later. */
static void expect_silence(const struct world *w)
{
    uint64_t before;

    sim_sleep(w->opts.cadence.levels > 0 ? LEVELS_QUIET_NS : QUIET_NS);
    before = requests();
    sim_sleep(QUIET_NS);
    if (requests() != before)
        sim_fail("L2: %llu requests while nothing was written",
            (unsigned long long)(requests() - before));
}

/* L3. Nobody reads, nobody writes: nothing is in the way of cutting it. */
static void expect_short_wal(const struct world *w)
{
    const uint64_t frame = w->app.page_size + 24u;
    size_t n = 0;

    sim_sleep(2 * QUIET_NS); /* a reader may have been in the way at first */
    if (disk_peek(DB "-wal", &n) && n > 32 + frame * w->opts.checkpoint_frames * LONG_WAL)
        sim_fail("L3: the WAL of a silent database has %zu bytes", n);
}

static void make_directories(void)
{
    struct wr_err e = {0};

    if (wr_mkdirs(disk_fs(), "/db", 0700, &e) != WR_OK ||
        wr_mkdirs(disk_fs(), RUNS, 0700, &e) != WR_OK)
        sim_fail("%s", e.text);
}

static void life(void *arg)
{
    struct world *w = arg;

    (void)sqlite3_test_control(SQLITE_TESTCTRL_PENDING_BYTE, LOCK_OFFSET);
    disk_init();
    vfs_register();
    waits_init();
    sim_at_exit(note_exit);
    app_wrote = wrote;
    draw_habits(w);
    draw_app(w);
    draw_daemon(w);
    commits_init(DB, LOCK_OFFSET);
    verdict_init(LOCK_OFFSET, w->stores, w->opts.n_stores);
    make_directories();
    machine_starts(w);

    if (w->may.twins && store_ops(w->stores[0])->caps & WR_STORAGE_COND_PUT) {
        twins_live(&w->app, &w->opts);
        return;
    }
    if (w->may.sick)
        (void)sim_spawn(sim_proc_current(), "sick", be_sick, w);
    start_app(w, 0);
    if (w->may.late)
        sim_sleep((int64_t)tape_between(0, (uint64_t)LATE_NS));
    start_daemon(w);
    for (uint32_t i = 0; i < w->may.events; i++) {
        sim_sleep((int64_t)tape_between(0, (uint64_t)w->may.pause_ns));
        happen(w);
    }
    sim_trace("heal");
    heal(w);
    sim_sleep(SECOND / 10);
    app_stop_all();
    expect_sync(w);
    verdict_newest(w->opts.n_stores);
    if (w->restore)
        sim_kill(w->restore);
    expect_silence(w);
    expect_short_wal(w);
    if (w->r->longest_hold_ns > HOLD_MAX_NS)
        sim_fail(
            "A2: the writer lock was held for %lld ms", (long long)(w->r->longest_hold_ns / MS));
    daemon_stop(w->daemon);
    verdict_restores();
    verdict_integrity(DB);
    verdict_rot();
}

void world_live(struct world_report *ret)
{
    struct world w = {.r = ret};

    the_world = &w;
    *ret = (struct world_report){0};
    sim_run(life, &w);
    verdict_report(ret);
    ret->longest_wait_ns = waits_longest_ns();
    ret->commits = commits_n();
    ret->forks = daemon_forks;
    ret->disk_errors = app_disk_errors;
    ret->virtual_ms = (uint64_t)(sim_now_ns() / MS);
}
