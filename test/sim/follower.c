/*
 * follower.c - see follower.h.
 */
#include "sim/follower.h"

#include "engine/follow.h"
#include "sim/disk.h"
#include "sim/tape.h"
#include "sim/verdict.h"

#define MS       INT64_C(1000000)
#define RETRY_NS (200 * MS) /* until whoever starts it again does */
#define LOOK_NS  (10 * MS)

static bool go_on(struct follower *w, struct wr_storage *s, struct wr_call *c)
{
    const struct wr_follow_opts o = {.restore = {.fs = disk_fs(),
                                         .path = w->path,
                                         .overwrite = w->anew,
                                         .parallel = 1 + tape_below(3),
                                         .lock_offset = verdict_lock_offset()},
        .interval_ms = wr_max(w->interval_ns / MS, INT64_C(1)),
        .patience_ms = 50};
    struct wr_follow *f = NULL;
    struct wr_restore_result restored;
    struct wr_err e = {0};
    int64_t wait_ms = 0;
    enum wr_status st = wr_follow_open(s, c, &o, &f, &restored, &e);

    while (st == WR_OK && !w->over) {
        if (w->stands)
            w->stands(w, f);
        w->anew = false;
        sim_sleep(wr_max(wait_ms * MS, w->least_ns));
        st = wr_follow_step(f, c, &wait_ms, &e);
        wr_arena_reset(c->scratch);
    }
    if (st != WR_OK) {
        sim_trace("follow: %s", e.text);
        w->failed(w, st, e.text);
    }
    wr_follow_close(f);
    return !w->over;
}

static void follow(void *arg)
{
    struct follower *w = arg;
    struct wr_arena scratch;
    struct wr_call c = {.scratch = &scratch, .clock = wr_clock_system(), .deadline_ms = WR_NEVER};
    struct wr_storage *s = verdict_storage(0);

    wr_arena_init(&scratch, (size_t)1 << 30);
    while (go_on(w, s, &c)) {
        wr_arena_reset(&scratch);
        sim_sleep(RETRY_NS);
    }
    wr_storage_close(s);
    wr_arena_release(&scratch);
    sim_kill(sim_proc_current());
}

bool follower_lives(const struct follower *w)
{
    return w->proc && sim_proc_alive(w->proc);
}

void follower_start(struct follower *w)
{
    if (follower_lives(w))
        return;
    w->over = false;
    w->proc = sim_proc_new("follow");
    (void)sim_spawn(w->proc, "follow", follow, w);
}

void follower_kill(struct follower *w)
{
    if (follower_lives(w))
        sim_kill(w->proc);
}

void follower_end(struct follower *w)
{
    w->over = true;
    while (follower_lives(w))
        sim_sleep(LOOK_NS);
}
