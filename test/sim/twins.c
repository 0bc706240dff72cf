/*
 * twins.c - see twins.h.
 */
#include "sim/twins.h"

#include "sim/commits.h"
#include "sim/disk.h"
#include "sim/side.h"
#include "sim/tape.h"
#include "sim/verdict.h"

#define MS        INT64_C(1000000)
#define SECOND    INT64_C(1000000000)
#define MINUTE    (60 * SECOND)
#define COPY      "/copy/app.db"
#define COPY_META "/copy/.app.db-weir"
#define LIST_NS   (31 * MINUTE) /* from one list of the replica to the next */
#define LISTS     3
#define TOLD_NS   (720 * MINUTE) /* in which somebody must have noticed */

static struct side twins[2];

/* Whoever it was: one look too many changes nothing. */
static void wrote(void)
{
    daemon_event(twins[0].daemon);
    daemon_event(twins[1].daemon);
}

/* ---- the copy ---- */

static void copy_file(const char *from, const char *to)
{
    size_t n = 0;
    const uint8_t *p = disk_peek(from, &n);

    if (p)
        disk_plant(to, p, n);
}

/* As it is now, to another machine: at another path, as here all machines have one disk. By its
 * path the copy knows that it is elsewhere, and takes another node id; but a machine that was
 * copied whole does not know, so some keep theirs. */
static void copy_machine(const char *path, const char *meta)
{
    static const char *const state[] = {"ledger", "journal.0", "journal.1", "node"};
    const bool same_node = tape_below(2);
    char from[80], to[80];
    struct wr_err e = {0};

    if (wr_mkdirs(disk_fs(), COPY_META, 0700, &e) != WR_OK)
        sim_fail("%s", e.text);
    copy_file(path, COPY);
    (void)snprintf(from, sizeof(from), "%s-wal", path);
    copy_file(from, COPY "-wal");
    for (size_t i = 0; i < wr_countof(state); i++) {
        (void)snprintf(from, sizeof(from), "%s/%s", meta, state[i]);
        (void)snprintf(to, sizeof(to), COPY_META "/%s", state[i]);
        copy_file(from, to);
    }
    if (same_node)
        side_copy_number(path, COPY);
    sim_trace("copied%s", same_node ? ", the node too" : "");
}

/* ---- what happens ---- */

static void happen(struct side *t, struct store *s)
{
    switch (tape_below(8)) {
    case 1:
        if (daemon_runs(t->daemon))
            sim_kill(daemon_proc(t->daemon));
        break;
    case 2:
        if (daemon_runs(t->daemon))
            daemon_stop(t->daemon);
        break;
    case 3:
        store_outage(s, sim_now_ns() + (int64_t)tape_between(1, 60) * SECOND);
        break;
    case 4:
        sim_sleep((int64_t)tape_between(1, 40) * MINUTE);
        break;
    case 5: /* both at once */
        (void)app_start("app2", &twins[t == twins].app);
        side_work(t, 2 * (uint64_t)SECOND);
        break;
    default:
        side_work(t, 2 * (uint64_t)SECOND);
        break;
    }
}

/* T1. Both write, the network is well: it comes out. */
static void expect_word(void)
{
    const int64_t until = sim_now_ns() + TOLD_NS;

    for (int i = 0; i < 2; i++)
        side_look_alive(&twins[i]);
    while (!side_has_stopped(&twins[0]) && !side_has_stopped(&twins[1])) {
        if (sim_now_ns() > until)
            sim_fail("T1: two write to the same replica, and neither says so");
        for (int i = 0; i < 2; i++)
            side_work(&twins[i], SECOND / 10);
        sim_sleep((int64_t)tape_between(1, 10) * MINUTE);
    }
}

static bool is_synced;

static void synced(uint64_t txid, size_t commits)
{
    (void)txid;
    (void)commits;
    is_synced = true;
}

/* Whether what it has committed arrives; else it has stopped. */
static bool arrives(struct side *t)
{
    const int64_t until = sim_now_ns() + TOLD_NS;

    is_synced = false;
    while (!is_synced && !side_has_stopped(t)) {
        if (sim_now_ns() > until)
            sim_fail("L1: no sync of the one that goes on");
        (void)daemon_sync(t->daemon, MINUTE, synced);
        sim_sleep(SECOND);
    }
    return is_synced;
}

/* L1, of the one that goes on. What the other had sent last may have come behind it, and is found
 * when it lists again, which it does twice an hour while it has something to send. False: it stops
 * as well. */
static bool goes_on(struct side *t)
{
    bool well = true;

    for (int i = 0; i < LISTS && well; i++) {
        sim_sleep(LIST_NS);
        side_work(t, SECOND / 10);
        well = arrives(t);
    }
    return well;
}

void twins_live(const struct app_opts *app, const struct daemon_opts *o)
{
    struct side *a = &twins[0], *b = &twins[1];
    struct side *left;
    struct store *s = o->stores[0];

    *a = (struct side){.name = "app0", .daemon_name = "weir", .app = *app, .o = *o};
    a->app.checkpoints = true;
    a->app.savepoints = false; /* daemons are killed, that may be the last to have the index */
    a->o.n_stores = 1;
    a->o.watched = true;
    a->o.scan_ns = MINUTE;
    a->o.interval_ns = wr_max(o->interval_ns, SECOND);
    *b = *a;
    b->name = "app1";
    b->daemon_name = "weir2";
    b->app.path = b->o.path = COPY;
    b->o.seed++;
    app_wrote = wrote;

    side_look_alive(a);
    for (uint32_t i = 1 + tape_below(3); i > 0; i--)
        side_work(a, 3 * (uint64_t)SECOND);
    /* It is copied when it was shut down, or as if while it ran. */
    if (tape_below(2))
        daemon_stop(a->daemon);
    else
        sim_kill(daemon_proc(a->daemon));
    verdict_shared(true);
    copy_machine(a->o.path, "/db/.app.db-weir");
    (void)commits_init(COPY, o->lock_offset);
    for (uint32_t i = 2 + tape_below(8); i > 0; i--) {
        struct side *t = tape_below(2) ? b : a;

        if (tape_below(3) != 2)
            side_look_alive(t);
        happen(t, s);
    }
    store_heal(s);
    expect_word();
    left = !side_has_stopped(a) ? a : !side_has_stopped(b) ? b : NULL;
    if (left && !goes_on(left))
        left = NULL;
    sim_trace("%s goes on", left ? left->daemon_name : "nobody");
    for (int i = 0; i < 2; i++)
        daemon_stop(twins[i].daemon);
    verdict_no_mixture(left ? left->o.path : NULL, left ? left->daemon_name : NULL, NULL);
    verdict_integrity(a->o.path);
    verdict_integrity(COPY);
}
