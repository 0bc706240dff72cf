/*
 * failover.c - see failover.h. All machines have one disk, as in twins.c: another one is another
 * directory of it.
 */
#include "sim/failover.h"

#include "sim/commits.h"
#include "sim/epochs.h"
#include "sim/hurry.h"
#include "sim/power.h"
#include "sim/takeover.h"
#include "sim/tape.h"
#include "sim/verdict.h"

#define MS          INT64_C(1000000)
#define SECOND      INT64_C(1000000000)
#define MINUTE      (60 * SECOND)
#define COPY_NS     (60 * MINUTE)  /* in which there is something to follow */
#define TOLD_NS     (720 * MINUTE) /* as in twins.c */
#define LIST_NS     (31 * MINUTE)
#define LISTS       3
#define SOON_MS     40
#define RIVALS_OF   7u   /* of so many seeds ... */
#define RIVALS_FROM 5u   /* ... these have two machines with a copy */
#define IMAGES_OF   3u   /* of so many seeds one has machines that are made from images of others */
#define BEFORE      50u  /* permille of a power cut, with each thing that happens, ... */
#define BEHIND      250u /* ... and when a promotion is done */

static struct side old; /* the first primary */
static struct {
    struct standby copies[2];
    uint32_t n;
    struct standby *winner; /* who goes on in the end; NULL: nobody is promoted */
    uint64_t done;
    bool hurries; /* the old primary sends without a pause */
    bool images;
} y;

static void wrote(void)
{
    daemon_event(old.daemon);
    for (uint32_t i = 0; i < y.n; i++)
        daemon_event(y.copies[i].side.daemon);
}

static void kill_all(void)
{
    if (daemon_runs(old.daemon))
        sim_kill(daemon_proc(old.daemon));
    for (uint32_t i = 0; i < y.n; i++)
        standby_kill(&y.copies[i]);
}

/* ---- before ---- */

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
        follower_start(&y.copies[tape_below(y.n)].follower);
        break;
    case 4:
        standby_end_follower(&y.copies[tape_below(y.n)]);
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

static void have_copy(struct standby *s)
{
    const int64_t until = sim_now_ns() + COPY_NS, heals = sim_now_ns() + MINUTE;

    while (!s->has_copy) {
        if (sim_now_ns() > heals)
            store_heal(old.o.stores[0]);
        if (sim_now_ns() > until)
            sim_fail("P4: there is nothing to follow");
        side_look_alive(&old);
        follower_start(&s->follower);
        side_work(&old, SECOND / 10);
        sim_sleep(SECOND);
    }
    standby_end_follower(s);
}

/* ---- promotions ---- */

/* The winner of the first one is the old primary of the next. */
static void promote_again(struct standby *first, struct standby *second)
{
    const struct takeover t = {
        .old = &first->side, .older = &old, .copies = {second}, .n = 1, .images = y.images};

    side_look_alive(&first->side);
    for (uint32_t i = 1 + tape_below(3); i > 0; i--) {
        if (tape_below(2))
            follower_start(&second->follower);
        side_look_alive(&first->side);
        side_work_and_ask(&first->side, SECOND / 4);
    }
    standby_end_follower(second);
    y.winner = takeover_live(&t);
    standby_take_over(y.winner);
    y.done++;
}

static void promote(void)
{
    struct standby *a = &y.copies[0], *b = &y.copies[1];
    const struct takeover t = {.old = &old,
        .copies = {a, b},
        .n = y.n,
        .hurries = y.hurries,
        .images = y.images,
        .again = y.n > 1 && tape_below(3) > 0};

    y.winner = takeover_live(&t);
    if (!y.winner->runs)
        standby_take_over(y.winner);
    y.done++;
    if (t.again && !(a->promoter.promoted && b->promoter.promoted))
        promote_again(y.winner, y.winner == a ? b : a);
    else if (t.again)
        store_heal(old.o.stores[0]);
}

/* ---- after ---- */

static bool is_synced;

static void synced(uint64_t txid, size_t commits)
{
    (void)txid;
    (void)commits;
    is_synced = true;
}

/* P4, P6. */
static void expect_word(struct side *loser)
{
    const int64_t until = sim_now_ns() + TOLD_NS;

    side_come_back(loser);
    while (!side_has_stopped(loser)) {
        if (sim_now_ns() > until)
            sim_fail("P4: the old primary does not notice");
        side_work(loser, SECOND / 10);
        side_work(&y.winner->side, SECOND / 10);
        sim_sleep((int64_t)tape_between(1, 600) * SECOND);
    }
}

static void expect_sync(struct side *t)
{
    const int64_t until = sim_now_ns() + TOLD_NS;

    is_synced = false;
    while (!is_synced) {
        if (sim_now_ns() > until || side_has_stopped(t))
            sim_fail("P6: the new primary does not go on");
        (void)daemon_sync(t->daemon, MINUTE, synced);
        sim_sleep(SECOND);
    }
}

static void expect_to_go_on(struct side *t)
{
    for (int i = epochs_strays() > 0 ? LISTS : 1; i > 0; i--) {
        if (epochs_strays() > 0)
            sim_sleep(LIST_NS);
        side_work(t, SECOND / 10);
        expect_sync(t);
    }
}

/* P5. */
static void expect_unharmed(struct side *loser)
{
    side_work(loser, 20 * (uint64_t)MS); /* the last to close it */
    verdict_is_newest(loser->o.path);
}

/* ---- all of it ---- */

static void begin(const struct app_opts *app, const struct daemon_opts *o)
{
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

    /* Nothing is drawn for it, so that the others live as they did before. */
    y.n = !y.hurries && o->seed % RIVALS_OF >= RIVALS_FROM ? 2 : 1;
    y.images = o->seed % IMAGES_OF == 0;
    app_wrote = wrote;
    for (uint32_t i = 0; i < y.n; i++) {
        standby_init(&y.copies[i], &old, i);
        y.copies[i].follower.interval_ns = o->interval_ns;
    }
    epochs_begin(o->lock_offset);
}

void failover_live(const struct app_opts *app, const struct daemon_opts *o, void (*cut)(void))
{
    struct standby *a = &y.copies[0], *b = &y.copies[1], *loser;
    struct side *new;

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
    for (uint32_t i = 0; i < y.n; i++)
        have_copy(&y.copies[i]);
    promote();

    new = &y.winner->side;
    loser = y.winner == a ? b : a;
    power_maybe_cut(BEHIND);
    side_look_alive(new);
    side_work(new, SECOND);
    power_maybe_cut(BEHIND);
    side_look_alive(new);
    expect_word(&old);
    if (loser->runs)
        expect_word(&loser->side);
    expect_to_go_on(new);
    daemon_stop(old.daemon);
    if (loser->runs)
        daemon_stop(loser->side.daemon);
    daemon_stop(new->daemon);
    expect_unharmed(&old);
    if (loser->runs)
        expect_unharmed(&loser->side);
    verdict_no_mixture(new->o.path, NULL, epochs_belongs);
    verdict_integrity(old.o.path);
    if (loser->runs)
        verdict_integrity(loser->side.o.path);
    verdict_integrity(new->o.path);
}

uint64_t failover_done(void)
{
    return y.done;
}
