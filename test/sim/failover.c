/*
 * failover.c - see failover.h. All machines have one disk, as in twins.c: the other one is another
 * directory of it.
 */
#include "sim/failover.h"

#include "engine/primary.h"
#include "engine/promote.h"
#include "sim/commits.h"
#include "sim/disk.h"
#include "sim/epochs.h"
#include "sim/follower.h"
#include "sim/tape.h"
#include "sim/verdict.h"

#define MS             INT64_C(1000000)
#define SECOND         INT64_C(1000000000)
#define MINUTE         (60 * SECOND)
#define COPY           "/copy/app.db"
#define PAUSED_NS      (30 * SECOND)  /* at most: an application waits for a minute */
#define DONE_NS        (60 * MINUTE)  /* in which a promotion comes to its end, once all is well */
#define TOLD_NS        (720 * MINUTE) /* as in twins.c */
#define LIST_NS        (31 * MINUTE)
#define LISTS          3
#define PATIENT_MS     5000
#define SOON_MS        40
#define WORKS          12u       /* of the application, beside one promotion; then it rests */
#define PROMOTION_ASKS 24u       /* requests that one takes, as a rule, ... */
#define LEASE_ASKS     10u       /* ... from the lease on */
#define HURRIED_MAX    1024u     /* files of one that sends without a pause, until it has to know */
#define BEFORE         50u       /* permille of a power cut, with each thing that happens, ... */
#define DURING         40u       /* ... each look at the promotion, ... */
#define BEHIND         250u      /* ... and when it is done */
#define NEAR_NS        (20 * MS) /* from a store to one that can do that */

struct side {
    const char *name, *daemon_name;
    struct app_opts app;
    struct daemon_opts o;
    struct daemon *daemon;
};

/* What becomes of the old primary before the promotion. */
enum attack {
    STOPPED,
    KILLED,
    PAUSED,
    CUT_OFF,
    ALIVE,
    ATTACKS = ALIVE + 3
};

static struct side old, new;
static struct {
    struct follower follower;
    struct sim_proc *promoter;
    void (*cut)(void); /* the power */
    uint64_t done;
    bool has_copy, promoted, is_back;
    bool cuts;           /* of the power */
    uint32_t quiet_asks; /* of the promotion, until something happens to it */
    bool with_lease;     /* counted from when it has that */
    int64_t sleep_ns;    /* 0: it is killed */
    bool hurries;        /* the old primary sends without a pause, ... */
    int64_t far_ns;      /* ... and this is how much further away the other machine is; else 0 */
} y;

static bool lives(const struct sim_proc *p)
{
    return p && sim_proc_alive(p);
}

/* ---- the primaries ---- */

static void look_alive(struct side *t)
{
    if (!daemon_runs(t->daemon))
        t->daemon = daemon_start(t->daemon_name, &t->o);
}

static void wrote(void)
{
    daemon_event(old.daemon);
    daemon_event(new.daemon);
}

static void work(const struct side *t, uint64_t max_ns)
{
    (void)app_start(t->name, &t->app);
    sim_sleep((int64_t)tape_between(10 * (uint64_t)MS, max_ns));
    app_stop_all();
}

static bool has_stopped(struct side *t)
{
    struct wr_replica_status now;

    return daemon_replica(t->daemon, &now) && now.state == WR_REPLICA_STOPPED &&
           now.error == WR_CONFLICT;
}

static void ask_old(void)
{
    if (daemon_runs(old.daemon))
        (void)daemon_sync(old.daemon, 20 * SECOND, epochs_acked);
}

/* With somebody who wants to know whether it is in the replica, now and then. */
static void work_and_ask(uint64_t max_ns)
{
    (void)app_start(old.name, &old.app);
    for (uint32_t i = 1 + tape_below(8); i > 0; i--) {
        sim_sleep((int64_t)tape_between((uint64_t)MS, max_ns));
        ask_old();
    }
    app_stop_all();
    ask_old();
}

/* ---- the copy ---- */

static void has_begun(struct follower *w, const struct wr_follow *f)
{
    (void)w;
    (void)f;
    y.has_copy = true;
}

static void judge_failure(struct follower *w, enum wr_status st, const char *text)
{
    (void)w;
    if (st == WR_CONFLICT || st == WR_CORRUPT)
        sim_fail("P4: the copy is given up: %s", text);
}

static void end_follower(void)
{
    if (tape_below(2))
        follower_kill(&y.follower);
    follower_end(&y.follower);
}

/* Of both machines, now and then; while no application runs. A database that is not synced may
 * become anything by it. */
static void maybe_cut_power(uint32_t permille)
{
    bool now;

    tape_apart(true);
    now = tape_chance(permille) && y.cuts;
    tape_apart(false);
    if (!now)
        return;
    if (daemon_runs(old.daemon))
        sim_kill(daemon_proc(old.daemon));
    if (daemon_runs(new.daemon))
        sim_kill(daemon_proc(new.daemon));
    if (lives(y.promoter))
        sim_kill(y.promoter);
    follower_kill(&y.follower);
    y.cut();
}

/* ---- the promotion ---- */

static void promote(void *arg)
{
    const struct wr_promote_opts o = {.path = COPY,
        .fs = disk_fs(),
        .lock_offset = verdict_lock_offset(),
        .parallel = 1 + tape_below(3),
        .patience_ms = PATIENT_MS};
    struct wr_arena scratch;
    struct wr_call c = {.scratch = &scratch, .clock = wr_clock_system(), .deadline_ms = WR_NEVER};
    struct wr_storage *s = verdict_storage(0);
    struct wr_promoted done = {0};
    struct wr_err e = {0};
    enum wr_status st;

    (void)arg;
    wr_arena_init(&scratch, (size_t)1 << 30);
    st = wr_promote(s, &c, &o, &done, &e);
    sim_trace(
        "promote: %s, txid %llu", st == WR_OK ? "done" : e.text, (unsigned long long)done.next);
    /* The lease may have come late, from a run that was killed: it is ours when this is run again.
     */
    if (st == WR_CORRUPT || (st == WR_CONFLICT && !strstr(e.text, "taken meanwhile by sim:" COPY)))
        sim_fail("P4: the promotion is given up: %s", e.text);
    if (st == WR_OK && !epochs_over())
        sim_fail("P2: promoted, and nothing shuts the old primary out");
    y.promoted = st == WR_OK;
    wr_storage_close(s);
    wr_arena_release(&scratch);
    sim_kill(sim_proc_current());
}

/* What happens to it on its way: nothing, death, or a sleep of its machine. */
static void disturb(void)
{
    if (sim_proc_current() != y.promoter)
        return;
    if (y.far_ns > 0)
        sim_sleep(y.far_ns);
    if ((y.with_lease && !epochs_begun()) || y.quiet_asks-- > 0)
        return;
    y.quiet_asks = UINT32_MAX;
    sim_trace("the promotion %s", y.sleep_ns > 0 ? "sleeps" : "dies");
    if (y.sleep_ns > 0)
        sim_sleep(y.sleep_ns);
    else
        sim_kill(y.promoter);
}

static void draw_disturbance(void)
{
    const uint32_t kind = tape_below(6);

    y.with_lease = kind % 2 == 1; /* where it matters most */
    y.quiet_asks = kind > 0 ? tape_below(y.with_lease ? LEASE_ASKS : PROMOTION_ASKS) : UINT32_MAX;
    y.sleep_ns = kind > 2 ? (int64_t)tape_between(100 * (uint64_t)MS, 10 * (uint64_t)SECOND) : 0;
}

static void start_promotion(void)
{
    epochs_repeat();
    y.promoter = sim_proc_new("promote");
    (void)sim_spawn(y.promoter, "promote", promote, NULL);
}

static enum attack draw_attack(void)
{
    const uint32_t how = tape_below(ATTACKS);

    if (y.hurries)
        return ALIVE;
    return how < ALIVE ? (enum attack)how : ALIVE;
}

static void attack(enum attack how)
{
    static const char *const names[] = {"stopped", "killed", "paused", "cut off", "alive"};

    sim_trace("the old primary is %s", names[how]);
    look_alive(&old);
    if (how == STOPPED)
        daemon_stop(old.daemon);
    if (how == KILLED)
        sim_kill(daemon_proc(old.daemon));
    if (how == PAUSED)
        sim_proc_stop(daemon_proc(old.daemon));
    if (how == CUT_OFF)
        store_cut_off(old.o.stores[0], daemon_proc(old.daemon));
}

static void come_back(void)
{
    sim_trace("the old primary comes back");
    y.is_back = true;
    store_cut_off(old.o.stores[0], NULL);
    if (daemon_runs(old.daemon))
        sim_proc_cont(daemon_proc(old.daemon));
    look_alive(&old);
}

/* P4. No name can be won against it; so it has to ask now and then who has the lease. */
static void expect_to_know(void)
{
    if (epochs_sent(false) > HURRIED_MAX)
        sim_fail("P4: the old primary sends without a pause, and does not ask who was promoted");
    ask_old();
}

/* Its application goes on and on, with a file for each of its transactions. */
static void hurry(void)
{
    struct app_opts app = old.app;

    sim_trace("the old primary hurries");
    come_back();
    y.far_ns = 4 * store_latency_ns(old.o.stores[0]);
    app.steady = true;
    app.think_ns = store_latency_ns(old.o.stores[0]);
    (void)app_start(old.name, &app);
}

/* Until it has ended; the old primary's application goes on meanwhile, and it may come back. */
static void attend(enum attack how, int64_t paused_until)
{
    uint64_t rest = 50 * (uint64_t)MS;

    for (uint32_t i = 0; lives(y.promoter); i++) {
        const bool paused = how == PAUSED && sim_now_ns() < paused_until;

        if (!y.is_back && !paused && (how == PAUSED || tape_below(8) == 7))
            come_back();
        if (y.far_ns > 0)
            expect_to_know();
        else if (!paused && i < WORKS)
            work_and_ask(SECOND / 4);
        if (y.far_ns == 0)
            maybe_cut_power(DURING);
        sim_sleep((int64_t)(rest + tape_between(0, rest)));
        rest = wr_min(2 * rest, 10 * (uint64_t)SECOND);
    }
}

static void promote_at_last(enum attack how)
{
    const int64_t paused_until = sim_now_ns() + (int64_t)tape_between(0, (uint64_t)PAUSED_NS);
    int64_t until;

    for (uint32_t i = y.hurries ? 0 : tape_below(6); i > 0 && !y.promoted; i--) {
        draw_disturbance();
        start_promotion();
        attend(how, paused_until);
    }
    store_heal(old.o.stores[0]);
    sim_trace("healed");
    (void)epochs_sent(true);
    if (y.hurries)
        hurry();
    if (how == CUT_OFF && daemon_runs(old.daemon))
        store_cut_off(old.o.stores[0], daemon_proc(old.daemon));
    until = sim_now_ns() + DONE_NS;
    y.quiet_asks = UINT32_MAX;
    while (!y.promoted) {
        if (sim_now_ns() > until)
            sim_fail("P4: no promotion comes to its end");
        start_promotion();
        attend(how, paused_until);
        sim_sleep(SECOND);
    }
    y.done++;
    y.far_ns = 0;
    app_stop_all();
}

/* ---- before, and after ---- */

static void happen(void)
{
    switch (tape_below(8)) {
    case 1:
        if (daemon_runs(old.daemon))
            sim_kill(daemon_proc(old.daemon));
        break;
    case 2:
        store_outage(old.o.stores[0], sim_now_ns() + (int64_t)tape_between(1, 20) * SECOND);
        break;
    case 3:
        follower_start(&y.follower);
        break;
    case 4:
        end_follower();
        break;
    case 5:
    case 6:
        look_alive(&old);
        ask_old();
        break;
    default:
        look_alive(&old);
        work_and_ask(SECOND / 4);
        break;
    }
}

static void have_copy(void)
{
    const int64_t until = sim_now_ns() + DONE_NS, heals = sim_now_ns() + MINUTE;

    while (!y.has_copy) {
        if (sim_now_ns() > heals)
            store_heal(old.o.stores[0]);
        if (sim_now_ns() > until)
            sim_fail("P4: there is nothing to follow");
        look_alive(&old);
        follower_start(&y.follower);
        work(&old, SECOND / 10);
        sim_sleep(SECOND);
    }
    end_follower();
}

static bool is_synced;

static void synced(uint64_t txid, size_t commits)
{
    (void)txid;
    (void)commits;
    is_synced = true;
}

/* P4, P6. */
static void expect_word(void)
{
    const int64_t until = sim_now_ns() + TOLD_NS;

    while (!has_stopped(&old)) {
        if (sim_now_ns() > until)
            sim_fail("P4: the old primary does not notice");
        work(&old, SECOND / 10);
        work(&new, SECOND / 10);
        sim_sleep((int64_t)tape_between(1, 600) * SECOND);
    }
}

static void expect_sync(void)
{
    const int64_t until = sim_now_ns() + TOLD_NS;

    is_synced = false;
    while (!is_synced) {
        if (sim_now_ns() > until || has_stopped(&new))
            sim_fail("P6: the new primary does not go on");
        (void)daemon_sync(new.daemon, MINUTE, synced);
        sim_sleep(SECOND);
    }
}

static void begin(const struct app_opts *app, const struct daemon_opts *o)
{
    struct wr_err e = {0};

    old = (struct side){.name = "app0", .daemon_name = "weir", .app = *app, .o = *o};
    old.app.checkpoints = true;
    old.app.savepoints = false; /* as in twins.c */
    old.o.n_stores = 1;
    old.o.watched = true;
    old.o.scan_ns = MINUTE;
    if (tape_below(2)) { /* names of level 0 are free again soon */
        old.o.cadence = (struct wr_cadence){.levels = 1, .level_ms = {SOON_MS}};
        old.o.retention =
            (struct wr_retention){.keep_ms = 100 * SOON_MS, .l0_ms = SOON_MS, .grace_ms = 1};
    }
    y.hurries = tape_below(8) == 7 && store_latency_ns(o->stores[0]) <= NEAR_NS &&
                !store_lists_little(o->stores[0]);
    if (y.hurries)
        old.o.interval_ns = MS;
    new = old;
    new.name = "app1";
    new.daemon_name = "weir2";
    new.app.path = new.o.path = COPY;
    new.o.seed++;
    app_wrote = wrote;
    store_on_ask = disturb;
    y.follower = (struct follower){.path = COPY,
        .interval_ns = o->interval_ns,
        .least_ns = MS,
        .stands = has_begun,
        .failed = judge_failure};
    if (wr_mkdirs(disk_fs(), "/copy", 0700, &e) != WR_OK)
        sim_fail("%s", e.text);
    epochs_begin();
}

void failover_live(const struct app_opts *app, const struct daemon_opts *o, void (*cut)(void))
{
    enum attack how;

    begin(app, o);
    y.cut = cut;
    tape_apart(true);
    y.cuts = tape_chance(400) && app->synchronous > 0;
    tape_apart(false);
    look_alive(&old);
    work(&old, 2 * (uint64_t)SECOND);
    for (uint32_t i = tape_below(10); i > 0; i--) {
        happen();
        maybe_cut_power(BEFORE);
    }
    have_copy();
    how = draw_attack();
    attack(how);
    promote_at_last(how);

    commits_init(COPY, o->lock_offset);
    commits_look();
    maybe_cut_power(BEHIND);
    look_alive(&new);
    work(&new, SECOND);
    maybe_cut_power(BEHIND);
    look_alive(&new);
    come_back();
    expect_word();
    for (int i = epochs_strays() > 0 ? LISTS : 1; i > 0; i--) {
        if (epochs_strays() > 0)
            sim_sleep(LIST_NS);
        work(&new, SECOND / 10);
        expect_sync();
    }
    daemon_stop(old.daemon);
    daemon_stop(new.daemon);
    work(&old, 20 * (uint64_t)MS); /* the last to close it */
    verdict_is_newest(old.o.path);
    verdict_no_mixture(COPY, epochs_belongs);
    verdict_integrity(old.o.path);
    verdict_integrity(COPY);
}

uint64_t failover_done(void)
{
    return y.done;
}
