/*
 * failover.c - see failover.h. All machines have one disk, as in twins.c: the other one is another
 * directory of it.
 */
#include "sim/failover.h"

#include "sim/commits.h"
#include "sim/disk.h"
#include "sim/epochs.h"
#include "sim/follower.h"
#include "sim/hurry.h"
#include "sim/power.h"
#include "sim/promoter.h"
#include "sim/side.h"
#include "sim/tape.h"
#include "sim/verdict.h"

#define MS        INT64_C(1000000)
#define SECOND    INT64_C(1000000000)
#define MINUTE    (60 * SECOND)
#define COPY      "/copy/app.db"
#define PAUSED_NS (30 * SECOND)  /* at most: an application waits for a minute */
#define DONE_NS   (60 * MINUTE)  /* in which a promotion comes to its end, once all is well */
#define TOLD_NS   (720 * MINUTE) /* as in twins.c */
#define LIST_NS   (31 * MINUTE)
#define LISTS     3
#define SOON_MS   40
#define WORKS     12u  /* of the application, beside one promotion; then it rests */
#define BEFORE    50u  /* permille of a power cut, with each thing that happens, ... */
#define DURING    40u  /* ... each look at the promotion, ... */
#define BEHIND    250u /* ... and when it is done */

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
    struct promoter promoter;
    uint64_t done;
    bool has_copy, is_back;
    bool hurries; /* the old primary sends without a pause */
} y;

static void wrote(void)
{
    daemon_event(old.daemon);
    daemon_event(new.daemon);
}

static void kill_all(void)
{
    if (daemon_runs(old.daemon))
        sim_kill(daemon_proc(old.daemon));
    if (daemon_runs(new.daemon))
        sim_kill(daemon_proc(new.daemon));
    promoter_kill(&y.promoter);
    follower_kill(&y.follower);
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

/* ---- the promotion ---- */

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
    side_look_alive(&old);
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
    side_look_alive(&old);
}

/* Until it has ended; the old primary's application goes on meanwhile, and it may come back. */
static void attend(enum attack how, int64_t paused_until)
{
    uint64_t rest = 50 * (uint64_t)MS;

    for (uint32_t i = 0; promoter_lives(&y.promoter); i++) {
        const bool paused = how == PAUSED && sim_now_ns() < paused_until;

        if (!y.is_back && !paused && (how == PAUSED || tape_below(8) == 7))
            come_back();
        if (y.promoter.far_ns > 0)
            hurry_look(&old);
        else if (!paused && i < WORKS)
            side_work_and_ask(&old, SECOND / 4);
        if (y.promoter.far_ns == 0)
            power_maybe_cut(DURING);
        sim_sleep((int64_t)(rest + tape_between(0, rest)));
        rest = wr_min(2 * rest, 10 * (uint64_t)SECOND);
    }
}

static void promote_at_last(enum attack how)
{
    const int64_t paused_until = sim_now_ns() + (int64_t)tape_between(0, (uint64_t)PAUSED_NS);
    int64_t until;

    for (uint32_t i = y.hurries ? 0 : tape_below(6); i > 0 && !y.promoter.promoted; i--) {
        promoter_draw_disturbance(&y.promoter);
        promoter_start(&y.promoter);
        attend(how, paused_until);
    }
    store_heal(old.o.stores[0]);
    sim_trace("healed");
    (void)epochs_sent(true);
    if (y.hurries) {
        sim_trace("the old primary hurries");
        come_back();
        y.promoter.far_ns = hurry_begin(&old);
    }
    if (how == CUT_OFF && daemon_runs(old.daemon))
        store_cut_off(old.o.stores[0], daemon_proc(old.daemon));
    until = sim_now_ns() + DONE_NS;
    promoter_leave_alone(&y.promoter);
    while (!y.promoter.promoted) {
        if (sim_now_ns() > until)
            sim_fail("P4: no promotion comes to its end");
        promoter_start(&y.promoter);
        attend(how, paused_until);
        sim_sleep(SECOND);
    }
    y.done++;
    y.promoter.far_ns = 0;
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
        side_look_alive(&old);
        side_ask(&old);
        break;
    default:
        side_look_alive(&old);
        side_work_and_ask(&old, SECOND / 4);
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
        side_look_alive(&old);
        follower_start(&y.follower);
        side_work(&old, SECOND / 10);
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

    while (!side_has_stopped(&old)) {
        if (sim_now_ns() > until)
            sim_fail("P4: the old primary does not notice");
        side_work(&old, SECOND / 10);
        side_work(&new, SECOND / 10);
        sim_sleep((int64_t)tape_between(1, 600) * SECOND);
    }
}

static void expect_sync(void)
{
    const int64_t until = sim_now_ns() + TOLD_NS;

    is_synced = false;
    while (!is_synced) {
        if (sim_now_ns() > until || side_has_stopped(&new))
            sim_fail("P6: the new primary does not go on");
        (void)daemon_sync(new.daemon, MINUTE, synced);
        sim_sleep(SECOND);
    }
}

static void begin(const struct app_opts *app, const struct daemon_opts *o)
{
    struct wr_err e = {0};

    old = (struct side){
        .name = "app0", .daemon_name = "weir", .app = *app, .o = *o, .acked = epochs_acked};
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
    y.hurries = tape_below(8) == 7 && hurry_can(o->stores[0]);
    if (y.hurries)
        hurry_daemon(&old);
    new = old;
    new.name = "app1";
    new.daemon_name = "weir2";
    new.app.path = new.o.path = COPY;
    new.o.seed++;
    app_wrote = wrote;
    y.promoter = (struct promoter){.path = COPY};
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
    tape_apart(true);
    power_begin(kill_all, cut, tape_chance(400) && app->synchronous > 0);
    tape_apart(false);
    side_look_alive(&old);
    side_work(&old, 2 * (uint64_t)SECOND);
    for (uint32_t i = tape_below(10); i > 0; i--) {
        happen();
        power_maybe_cut(BEFORE);
    }
    have_copy();
    how = draw_attack();
    attack(how);
    promote_at_last(how);

    commits_init(COPY, o->lock_offset);
    commits_look();
    power_maybe_cut(BEHIND);
    side_look_alive(&new);
    side_work(&new, SECOND);
    power_maybe_cut(BEHIND);
    side_look_alive(&new);
    come_back();
    expect_word();
    for (int i = epochs_strays() > 0 ? LISTS : 1; i > 0; i--) {
        if (epochs_strays() > 0)
            sim_sleep(LIST_NS);
        side_work(&new, SECOND / 10);
        expect_sync();
    }
    daemon_stop(old.daemon);
    daemon_stop(new.daemon);
    side_work(&old, 20 * (uint64_t)MS); /* the last to close it */
    verdict_is_newest(old.o.path);
    verdict_no_mixture(COPY, epochs_belongs);
    verdict_integrity(old.o.path);
    verdict_integrity(COPY);
}

uint64_t failover_done(void)
{
    return y.done;
}
