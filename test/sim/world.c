/*
 * world.c - see world.h. How a run goes, and what must hold at its end.
 */
#include "sim/world_int.h"

#include "engine/primary.h"
#include "sim/commits.h"
#include "sim/disk.h"
#include "sim/failover.h"
#include "sim/followed.h"
#include "sim/tape.h"
#include "sim/threads.h"
#include "sim/twins.h"
#include "sim/verdict.h"
#include "sim/vfs.h"
#include "sim/waits.h"

#define LONG_PAUSE_NS   (150 * MS)     /* between events, for a disk to fill up and be found full */
#define HEALED_NS       (600 * SECOND) /* in which everything must be well again */
#define LATE_NS         (5 * SECOND)   /* for which there is no daemon at first, at most */
#define QUIET_NS        (30 * SECOND)  /* in which nothing must be asked of a store */
#define ROTTEN_NS       (120 * SECOND)
#define LEVELS_QUIET_NS (15 * 60 * SECOND)
#define LONG_QUIETS     16u /* one run of so many is that quiet, whatever the daemon says */
#define HOLD_MAX_NS     WAITS_MAX_NS /* of the writer lock, if the process is not stopped meanwhile */
#define FAILOVERS       17u /* one run of so many is about a promotion, if the store can do it */
#define LONG_WAL        8u  /* times the checkpoint's threshold */
#define HOUR            (3600 * SECOND)
#define DAY             (24 * HOUR)
#define DAYS_MAX        3
#define HOLIDAY_SCAN_NS (20 * SECOND)
#define AHEAD_NS        (2 * SECOND) /* a start waits no longer for what it knows nothing of */

bool world_promotions;

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
    if (!the_world->opts.watched)
        return;
    daemon_event(the_world->daemon);
    daemon_event(the_world->rival); /* which inherits it, when the other one is killed */
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
    w->unhealed = false;
    disk_slow_syncs(NULL, 0, 0);
    for (int f = 0; f < DISK_FAULTS; f++)
        disk_arm((enum disk_fault)f, NULL, 0);
    disk_fill_small(false);
    disk_rot(OUTBOX, 0);
    for (size_t i = 0; i < w->opts.n_stores; i++)
        store_heal(w->stores[i]);
    if (daemon_runs(w->rival))
        daemon_stop(w->rival);
    world_start_app(w, 0);
    world_start_daemon(w);
}

/* L1, S2: everything gets well by itself. */
static void expect_sync(struct world *w)
{
    const int64_t until = sim_now_ns() + HEALED_NS;
    struct wr_db_status now = {0};
    struct wr_err said = {0};
    uint32_t counted;

    while (!is_synced && sim_now_ns() < until) {
        (void)daemon_sync(w->daemon, 60 * SECOND, synced);
        sim_sleep(SECOND / 10);
    }
    daemon_status(w->daemon, &now);
    daemon_error(w->daemon, &said);
    if (!is_synced)
        sim_fail("L1: no sync in %d s after everything has healed: %s: %s",
            (int)(HEALED_NS / SECOND), now.state, said.text);
    if (now.commits < now.changes)
        sim_fail("S2: captured %llu commits, SQLite counted %llu", (unsigned long long)now.commits,
            (unsigned long long)now.changes);
    /* Else it is about to attach again, as it had let the database go. */
    if (strcmp(now.state, "syncing") == 0 && commits_counted(DB, &counted) &&
        counted != now.closed_count)
        sim_fail("S2: TXID %llu is said to hold commits up to number %u, SQLite counted %u",
            (unsigned long long)now.txid, now.closed_count, counted);
}

/* Those that somebody has sent: not what the network doubled. */
static uint64_t requests(void)
{
    return store_counts.requests - store_counts.doubled;
}

/* A moment for what follows a sync: checkpoints, the journal, another look; for a file of a higher
 * level that could not be sent, which is tried again minutes later; and where pages that were kept
 * had rotted, for the comparison of all, up to an hour later. How many is what the
 * daemon says: a machine at rest for a quarter of an hour takes longer to simulate than all that
 * happened on it before. */
static void calm_down(const struct world *w)
{
    const int64_t until = sim_now_ns() + LEVELS_QUIET_NS;
    int64_t due;

    sim_sleep(QUIET_NS);
    if (w->opts.cadence.levels > 0 && w->opts.seed % LONG_QUIETS == 0)
        sim_sleep_until(until);
    while ((due = daemon_due_ns(w->daemon)) < until + QUIET_NS && sim_now_ns() < until)
        sim_sleep(wr_max(due - sim_now_ns(), INT64_C(0)) + QUIET_NS);
}

/* L2. Longer where pages that were kept had rotted: to compare all is put off for a minute when it
 * did not help. */
static void expect_silence(const struct world *w)
{
    const int64_t lasts = disk_counts.rotten > 0 ? ROTTEN_NS : QUIET_NS;
    uint64_t before;

    calm_down(w);
    before = requests();
    sim_sleep(lasts);
    if (requests() != before)
        sim_fail("L2: %llu requests while nothing was written",
            (unsigned long long)(requests() - before));
}

static bool wal_is_long(const struct world *w, size_t *ret_n)
{
    const uint64_t frame = w->app.page_size + 24u;

    *ret_n = 0;
    return disk_peek(DB "-wal", ret_n) &&
           *ret_n > 32 + frame * w->opts.checkpoint_frames * LONG_WAL;
}

/* L3. Nobody reads, nobody writes: nothing is in the way of cutting it. */
static void expect_short_wal(const struct world *w)
{
    const int64_t until = sim_now_ns() + 2 * QUIET_NS;
    size_t n;

    while (wal_is_long(w, &n)) { /* a reader may have been in the way at first */
        if (sim_now_ns() >= until)
            sim_fail("L3: the WAL of a silent database has %zu bytes", n);
        sim_sleep(QUIET_NS / 10);
    }
}

/* L3. What waited for a store has gone there, and nothing is left of it. */
static void expect_empty_outbox(void)
{
    const char *one = NULL;
    const size_t n = disk_peek_names(OUTBOX, &one);

    if (n > 0)
        sim_fail("L3: %zu files are left in the outbox, one is %s", n, one);
}

/* In some runs, of those where nothing else goes on, there is no store for days, as over a holiday.
 * Nothing is drawn for whether it is one. */
static bool has_holiday(const struct world *w)
{
    return w->may.outages && w->opts.seed % 10 == 3 && !w->may.sick && !w->may.full &&
           !w->may.heirs && w->follows_ns == 0 && !w->opts.asks && !w->opts.late_off;
}

/* An application comes and writes a few times a day, and our program, which may die, has nobody to
 * send it to. It looks less often: days of that take longer to simulate than all the rest.
 *
 * A4: the WAL does not wait for a store. But what is written, by one that closes it, too, while a
 * start waits for replicas is left as it is: then nobody has the database open. */
static void holiday(struct world *w)
{
    const struct daemon_opts opts = w->opts;
    int64_t began, until;

    world_stop_all(w);
    w->opts.scan_ns = wr_max(w->opts.scan_ns, HOLIDAY_SCAN_NS);
    world_start_daemon(w);
    began = sim_now_ns();
    if (tape_below(2)) /* or it never gets to know its replicas */
        sim_sleep(HOLIDAY_SCAN_NS);
    until = sim_now_ns() + (int64_t)tape_between(1, DAYS_MAX) * DAY;
    sim_trace("no store for %lld hours", (long long)((until - sim_now_ns()) / HOUR));
    for (size_t i = 0; i < w->opts.n_stores; i++)
        store_outage(w->stores[i], until);
    while (sim_now_ns() < until) {
        sim_sleep((int64_t)tape_between(0, 8) * HOUR);
        if (w->may.kills && tape_below(4) == 1)
            world_kill_daemon(w);
        if (!daemon_runs(w->daemon))
            began = sim_now_ns();
        world_start_daemon(w);
        world_start_app(w, 0);
        sim_sleep((int64_t)tape_between(0, 2 * SECOND));
        app_stop_all();
        w->apps[0] = w->apps[RUDE] = NULL;
        if (sim_now_ns() - began > AHEAD_NS)
            expect_short_wal(w);
    }
    world_stop_all(w);
    w->opts = opts;
}

static void make_directory(const char *path)
{
    struct wr_err e = {0};

    if (wr_mkdirs(disk_fs(), path, 0700, &e) != WR_OK)
        sim_fail("%s", e.text);
}

/* Nothing is drawn for it, so that the others live as they did before. */
static bool fails_over(const struct world *w)
{
    return (world_promotions || w->opts.seed % FAILOVERS == FAILOVERS - 1) &&
           !store_is_weak(w->stores[0]) && store_ops(w->stores[0])->caps & WR_STORAGE_COND_PUT;
}

static void cut_power(void)
{
    world_power_cut(the_world);
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
    world_draw_habits(w);
    world_draw_app(w);
    world_draw_daemon(w);
    if (fails_over(w))
        w->opts.n_stores = 1;
    else if (world_promotions)
        return;
    (void)commits_init(DB, LOCK_OFFSET);
    verdict_init(LOCK_OFFSET, w->stores, w->opts.n_stores);
    make_directory("/db");
    make_directory(RUNS);
    make_directory("/etc");
    if (w->may.full) {
        make_directory(META);
        disk_mount_small(META);
    }
    world_machine_starts(w);

    if (w->may.twins && !world_promotions && store_ops(w->stores[0])->caps & WR_STORAGE_COND_PUT) {
        w->opts.asks = w->opts.late_off = NULL;
        disk_slow_syncs(NULL, 0, 0);
        disk_rot(OUTBOX, 0);
        twins_live(&w->app, &w->opts);
        return;
    }
    if (fails_over(w)) {
        w->opts.asks = w->opts.late_off = NULL;
        disk_slow_syncs(NULL, 0, 0);
        disk_rot(OUTBOX, 0);
        failover_live(&w->app, &w->opts, cut_power);
        return;
    }
    if (w->may.sick)
        (void)sim_spawn(sim_proc_current(), "sick", world_be_sick, w);
    if (w->may.full)
        (void)sim_spawn(sim_proc_current(), "full", world_be_full, w);
    if (w->may.heirs)
        (void)sim_spawn(sim_proc_current(), "heirs", world_be_inherited, w);
    world_start_app(w, 0);
    if (w->may.late)
        sim_sleep((int64_t)tape_between(0, (uint64_t)LATE_NS));
    world_start_daemon(w);
    if (w->follows_ns > 0)
        followed_begin(w->follows_ns);
    for (uint32_t i = 0; i < w->may.events; i++) {
        sim_sleep((int64_t)tape_between(0, (uint64_t)w->may.pause_ns));
        if (w->may.full || w->may.heirs)
            sim_sleep(LONG_PAUSE_NS);
        world_event(w);
    }
    if (has_holiday(w))
        holiday(w);
    sim_trace("heal");
    heal(w);
    sim_sleep(SECOND / 10);
    app_stop_all();
    expect_sync(w);
    verdict_newest(w->opts.n_stores);
    if (w->restore)
        sim_kill(w->restore);
    if (w->follows_ns > 0)
        followed_end(HEALED_NS);
    expect_silence(w);
    expect_short_wal(w);
    expect_empty_outbox();
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
    ret->followed = followed_steps();
    ret->promoted = failover_done();
    ret->disk_errors = app_disk_errors;
    ret->outboxed = daemon_outboxed();
    ret->virtual_ms = (uint64_t)(sim_now_ns() / MS);
    ret->calls = waits_calls();
    ret->rare_waits = waits_rare();
    ret->store = store_counts;
    ret->disk = disk_counts;
}
