/*
 * world_events.c - what happens in a run: processes come and go, machines and disks fail.
 */
#include "sim/world_int.h"

#include "base/mem.h"
#include "sim/commits.h"
#include "sim/disk.h"
#include "sim/followed.h"
#include "sim/tape.h"
#include "sim/threads.h"
#include "sim/verdict.h"
#include "sim/waits.h"

/* ---- processes ---- */

static bool app_lives(const struct world *w, size_t i)
{
    return w->apps[i] && sim_proc_alive(w->apps[i]);
}

void world_start_app(struct world *w, size_t i)
{
    static const char *const names[APPS + 1] = {"app0", "app1", "app2", "app-rude"};

    if (i == 0 && w->may.rude)
        world_start_app(w, RUDE);
    if (app_lives(w, i))
        return;
    w->app.rude = i == RUDE;
    w->app.checkpoints = i == (w->may.rude ? RUDE : 0);
    w->apps[i] = app_start(names[i], &w->app);
}

void world_start_daemon(struct world *w)
{
    if (daemon_runs(w->daemon))
        return;
    w->daemon = daemon_start("weir", &w->opts);
}

static void kill_one(struct world *w, struct sim_proc *p)
{
    w->r->crashes++;
    sim_kill(p);
    if (app_wrote) /* the system tells of what is written, not whoever has survived that */
        app_wrote();
}

/* If nobody tells, a torn wal-index is found when our program looks by itself. */
static void kill_app(struct world *w, struct sim_proc *p)
{
    kill_one(w, p);
    if (!w->opts.watched)
        waits_excuse(sim_now_ns() + w->opts.scan_ns);
}

void world_kill_daemon(struct world *w)
{
    if (daemon_runs(w->daemon))
        kill_one(w, daemon_proc(w->daemon));
}

static void kill_all(struct world *w)
{
    world_kill_daemon(w);
    if (daemon_runs(w->rival))
        kill_one(w, daemon_proc(w->rival));
    for (size_t i = 0; i < wr_countof(w->apps); i++) {
        if (app_lives(w, i))
            kill_one(w, w->apps[i]);
    }
    if (w->restore && sim_proc_alive(w->restore))
        kill_one(w, w->restore);
    followed_kill();
}

/* ---- what happens ---- */

void world_machine_starts(const struct world *w)
{
    char text[32];
    int n = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)w->r->cuts);

    disk_plant(RUNS "/boot_id", text, (size_t)n);
    if (!w->may.nameless)
        disk_plant("/etc/machine-id", MACHINE_ID, sizeof(MACHINE_ID) - 1);
}

void world_power_cut(struct world *w)
{
    sim_trace("power cut");
    w->r->cuts++;
    kill_all(w);
    disk_power_cut();
    world_machine_starts(w);
    commits_forget();
}

static void power_cut(struct world *w)
{
    world_power_cut(w);
    world_start_app(w, 0);
    if (w->may.hasty || tape_below(2) == 0)
        world_start_daemon(w);
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

    world_kill_daemon(w);
    if (daemon_runs(w->rival))
        kill_one(w, daemon_proc(w->rival));
    for (size_t i = 0; i < wr_countof(names); i++) {
        if (which == 0 || which & 1u << i)
            disk_remove(names[i]);
    }
    /* Without an id it makes a new number, and by its pages the replica may be another one's: then
     * it says what to start it with. */
    w->opts.adopt = w->opts.adopt || (w->may.nameless && (which == 0 || which & 8));
}

void world_stop_all(struct world *w)
{
    app_stop_all();
    memset(w->apps, 0, sizeof(w->apps));
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

    world_stop_all(w);
    world_start_daemon(w); /* whose end is the last one */
    world_start_app(w, 0);
    sim_sleep(SECOND);
    world_stop_all(w);
    wal = disk_peek(DB "-wal", &n) && n > 0;
    /* Else the last to close it may have failed to; or our program has, without room for its state,
     * never had it, and closed it as any other that is not the last to write. */
    if (wal && !w->may.sick && !w->may.full)
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
    world_start_app(w, 0);
    world_start_daemon(w);
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
void world_be_sick(void *arg)
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

struct fullness {
    int64_t after_ns, lasts_ns, then_ns;
    bool kill; /* then, with room again, and what was put off not done yet */
};

static struct fullness draw_fullness(const struct world *w)
{
    struct fullness f;

    tape_apart(true);
    f = (struct fullness){
        .after_ns = (1 + tape_below(20)) * 50 * MS,
        .lasts_ns = (1 + tape_below(20)) * 50 * MS,
        .then_ns = tape_below(20) * 20 * MS,
        .kill = tape_chance(500) && w->may.kills && !w->may.travel,
    };
    tape_apart(false);
    return f;
}

/* There is no room for our state, for as long as it takes to be stopped, killed and started on that
 * disk. */
void world_be_full(void *arg)
{
    struct world *w = arg;

    while (!w->healed) {
        const struct fullness f = draw_fullness(w);

        sim_sleep(f.after_ns);
        if (w->healed)
            return;
        sim_trace("the disk with our state is full");
        disk_fill_small(true);
        sim_sleep(f.lasts_ns);
        sim_trace("the disk with our state has room");
        disk_fill_small(false);
        sim_sleep(f.then_ns);
        if (!f.kill || w->healed)
            continue;
        world_kill_daemon(w); /* and at once another one, which finds the database as it was left */
        world_start_daemon(w);
    }
}

struct inheritance {
    int64_t after_ns, waits_ns;
};

static struct inheritance draw_inheritance(void)
{
    struct inheritance h;

    tape_apart(true);
    h = (struct inheritance){
        .after_ns = tape_below(10) * 20 * MS,
        .waits_ns = (1 + tape_below(20)) * 40 * MS,
    };
    tape_apart(false);
    return h;
}

/* The one that is killed was there first; the other has looked at the replicas when it came, and
 * what became of them while it waited it does not know. */
void world_be_inherited(void *arg)
{
    struct world *w = arg;

    while (!w->healed) {
        const struct inheritance h = draw_inheritance();

        sim_sleep(h.after_ns);
        if (w->healed)
            return;
        if (!daemon_runs(w->rival))
            w->rival = daemon_start("weir2", &w->opts);
        sim_sleep(h.waits_ns);
        if (w->healed || !daemon_runs(w->daemon) || !daemon_runs(w->rival))
            continue;
        world_kill_daemon(w);
        w->daemon = w->rival;
        w->rival = NULL;
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

/* What a dead process has under way takes effect late, and over what its successor has sent: all
 * depends on names that a power cut must not give away again (docs/adr/0008). */
static bool overwrites(const struct world *w)
{
    return w->may.hasty && !(store_ops(w->stores[0])->caps & WR_STORAGE_COND_PUT);
}

void world_event(struct world *w)
{
    switch (tape_below(17)) {
    case 1:
    case 2:
        world_start_app(w, tape_below(APPS));
        break;
    case 3:
        if (w->may.kills && app_lives(w, 0))
            kill_app(w, w->apps[0]);
        if (w->may.kills && app_lives(w, RUDE) && tape_below(2))
            kill_app(w, w->apps[RUDE]);
        world_start_app(w, 0);
        break;
    case 4:
        if (w->may.kills)
            world_kill_daemon(w);
        if (w->may.kills)
            followed_kill();
        break;
    case 5:
        world_start_daemon(w);
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
        if (overwrites(w))
            power_cut(w);
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
        if (overwrites(w))
            power_cut(w);
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
