/*
 * lane.c - threads that come when there is work and go when there is none.
 *
 * A thread is in a step, searching, or idle:
 *
 *        start                  +------ step ends ------+
 *          |                    v                       |
 *          +------------> SEARCHING ----- found ----> STEP
 *                          |     ^
 *                  nothing |     | roused, or its time has come
 *                          v     |
 *                           IDLE --- idle_max and no timer to mind ---> ends
 *
 * Two invariants hold whenever the mutex is free. They are why no wake-up is lost, and why none is
 * made for nothing:
 *
 *   work    as many threads of a lane search as it has work queued, or all that it may have are in
 *           a step; those look again when the step ends.
 *   timers  some thread searches, or some idle thread sleeps no longer than until the earliest
 *           timer, or every thread that may exist is in a step.
 *
 * So one idle thread minds the earliest timer with a timed wait and the others wait for their end.
 * Before it runs a step itself, a thread makes sure that another minds the timer (cover). No thread
 * is there for timers only: the one whose time has come runs the step too, without a hop.
 *
 * When a thread cannot be started, the work stays queued, and each later step or wake tries again.
 */
#include "run/lane.h"

#include "base/mem.h"

struct wr_worker {
    struct wr_lanes *lanes; /* frozen */
    enum wr_lane lane;      /* frozen */

    struct wr_arena scratch; /* owned by the thread */

    struct wr_thread thread; /* valid while started */
    struct wr_cond roused;
    bool started;     /* there is a thread to join */
    bool ended;       /* ... and it will not take the mutex again */
    bool idle;        /* cleared by whoever rouses */
    int64_t until_ns; /* while idle: the timer it minds, of lanes->clock; WR_NEVER: none */
};

static const char *const names[WR_LANE_MAX] = {
    [WR_LANE_LOCAL] = "weir-local",
    [WR_LANE_NET] = "weir-net",
    [WR_LANE_BULK] = "weir-bulk",
    [WR_LANE_LONG] = "weir-long",
    [WR_LANE_CHECK] = "weir-check",
};

/* Tell it, when nothing is left to do under the mutex. */
static void tell_roused(struct wr_lanes *l, struct wr_worker *w)
{
    if (l->n_roused < wr_countof(l->roused))
        l->roused[l->n_roused++] = &w->roused;
    else
        wr_cond_signal(&w->roused);
}

void wr_lanes_unlock(struct wr_lanes *l)
{
    struct wr_cond *roused[WR_ROUSED_MAX];
    size_t n = l->n_roused;

    memcpy(roused, l->roused, n * sizeof(*roused));
    l->n_roused = 0;
    wr_mutex_unlock(&l->mutex);
    for (size_t i = 0; i < n; i++) /* their memory goes after all threads have ended */
        wr_cond_signal(roused[i]);
}

/* The same before a wait, which unlocks by itself. */
static void tell_all(struct wr_lanes *l)
{
    while (l->n_roused > 0)
        wr_cond_signal(l->roused[--l->n_roused]);
}

/* Join a thread whose last act is behind it: it holds no lock and takes none, so this may be done
 * under the mutex and waits for microseconds. */
static void worker_join(struct wr_worker *w)
{
    assert(w->started && w->ended);
    wr_thread_join(&w->thread);
    w->started = false;
}

/* From idle to searching. */
static void worker_leave_idle(struct wr_worker *w)
{
    assert(w->idle);
    w->idle = false;
    w->lanes->idle[w->lane]--;
    w->lanes->searching[w->lane]++;
}

/* Rouse one idle thread of the lane, rather one that minds no timer: somebody else would have to
 * take that over. */
static bool lane_rouse(struct wr_lanes *l, enum wr_lane lane)
{
    struct wr_worker *pick = NULL;

    if (!l->idle[lane])
        return false;
    for (unsigned i = l->first[lane]; i < l->first[lane + 1]; i++) {
        struct wr_worker *w = &l->workers[i];

        if (w->idle && (!pick || w->until_ns > pick->until_ns))
            pick = w;
    }
    assert(pick);
    worker_leave_idle(pick);
    tell_roused(l, pick);
    return true;
}

/* Whether an idle thread minds a timer at `at_ns`. */
static bool timer_slept_on(const struct wr_lanes *l, int64_t at_ns)
{
    for (unsigned i = 0; i < l->first[WR_LANE_MAX]; i++) {
        if (l->workers[i].idle && l->workers[i].until_ns <= at_ns)
            return true;
    }
    return false;
}

/* Whether a timer at `at_ns` will be noticed without further ado. */
static bool timer_minded(const struct wr_lanes *l, int64_t at_ns)
{
    for (unsigned i = 0; i < WR_LANE_MAX; i++) {
        if (l->searching[i])
            return true;
    }
    return timer_slept_on(l, at_ns);
}

/* The system's monotonic time at which the clock of the timers will show `at_ns`. */
static int64_t real_ns(const struct wr_lanes *l, int64_t at_ns)
{
    int64_t now_ns;
    int64_t left_ns;

    if (l->clock == wr_clock_system() || at_ns == WR_NEVER)
        return at_ns;
    now_ns = wr_mono_ns(wr_clock_system());
    left_ns = at_ns - wr_mono_ns(l->clock);
    return left_ns < WR_NEVER - now_ns ? now_ns + left_ns : WR_NEVER;
}

/* Sleep until roused or until a time has come; from searching to searching. False: idle since
 * `since_ns` (real time) for too long, the thread is to end and searches no more. */
static bool worker_doze(struct wr_worker *w, int64_t since_ns)
{
    struct wr_lanes *l = w->lanes;
    int64_t end_ns = since_ns + l->idle_max_ns;
    bool expired = wr_mono_ns(wr_clock_system()) >= end_ns;
    enum wr_lane lane;
    int64_t timer_ns = wr_sched_next(l->sched, &lane);

    l->searching[w->lane]--;
    /* Whoever searches may be about to run a step, and would rouse us to mind it. */
    w->until_ns = timer_slept_on(l, timer_ns) ? WR_NEVER : timer_ns;
    if (expired && w->until_ns == WR_NEVER)
        return false;
    w->idle = true;
    l->idle[w->lane]++;
    tell_all(l);
    while (w->idle) {
        int64_t wake_ns = real_ns(l, w->until_ns); /* anew each time: cover may have changed it */

        if (!expired || w->until_ns == WR_NEVER)
            wake_ns = wr_min(wake_ns, end_ns);
        if (!wr_cond_wait_until(&w->roused, &l->mutex, wake_ns))
            break;
    }
    if (w->idle)
        worker_leave_idle(w);
    return true;
}

/* Give scratch memory back before sleeping, outside the lock: the heap belongs to the host. */
static void worker_shrink(struct wr_worker *w)
{
    wr_lanes_unlock(w->lanes);
    wr_arena_release(&w->scratch);
    wr_mutex_lock(&w->lanes->mutex);
}

/* Find work and do it until there is nothing for too long, or the lanes close. */
static void worker_work(struct wr_worker *w)
{
    struct wr_lanes *l = w->lanes;
    int64_t since_ns = 0; /* when it became idle; 0: it is not */

    while (!l->closing) {
        struct wr_sched_slot *slot = wr_sched_take(l->sched, w->lane);

        if (slot) {
            enum wr_lane lane;
            int64_t timer_ns = wr_sched_next(l->sched, &lane);

            l->searching[w->lane]--;
            if (timer_ns != WR_NEVER)
                wr_lanes_cover(l, lane, timer_ns);
            wr_sched_run(l->sched, slot, &w->scratch);
            l->searching[w->lane]++;
            since_ns = 0;
        } else if (w->scratch.head) {
            worker_shrink(w); /* and look again: work may have come meanwhile */
        } else {
            if (!since_ns)
                since_ns = wr_mono_ns(wr_clock_system());
            if (!worker_doze(w, since_ns))
                return;
        }
    }
    l->searching[w->lane]--;
}

static void worker_main(void *arg)
{
    struct wr_worker *w = arg;
    struct wr_lanes *l = w->lanes;

    wr_mutex_lock(&l->mutex);
    worker_work(w);
    if (!l->closing) {
        l->alive[w->lane]--;
        /* Join those that ended before, so that at most one dead thread keeps its stack. */
        for (unsigned i = 0; i < l->first[WR_LANE_MAX]; i++) {
            if (l->workers[i].started && l->workers[i].ended)
                worker_join(&l->workers[i]);
        }
        w->ended = true;
    }
    wr_lanes_unlock(l);
    wr_arena_release(&w->scratch);
}

/* One more thread for the lane, searching from the start. False: the lane is full, or the system
 * has no thread to give. */
static bool lane_start(struct wr_lanes *l, enum wr_lane lane)
{
    struct wr_worker *w = NULL;

    if (l->alive[lane] == l->first[lane + 1] - l->first[lane])
        return false;
    for (unsigned i = l->first[lane]; !w; i++) {
        assert(i < l->first[lane + 1]);
        if (!l->workers[i].started || l->workers[i].ended)
            w = &l->workers[i];
    }
    if (w->started)
        worker_join(w);
    wr_arena_init(&w->scratch, WR_ARENA_MAX);
    w->ended = false;
    /* Under the mutex, so that a thread which ends at once is not joined before it is known. */
    if (wr_thread_start(&w->thread, names[lane], 0, worker_main, w, NULL) != WR_OK)
        return false;
    w->started = true;
    l->alive[lane]++;
    l->searching[lane]++;
    return true;
}

enum wr_status wr_lanes_init(struct wr_lanes *l, struct wr_sched *sched,
    const struct wr_clock *clock, const unsigned threads_max[WR_LANE_MAX], int64_t idle_max_ns,
    struct wr_err *e)
{
    unsigned n = 0;

    *l = (struct wr_lanes){.sched = sched, .clock = clock, .idle_max_ns = idle_max_ns};
    for (unsigned lane = 0; lane < WR_LANE_MAX; lane++) {
        l->first[lane] = n;
        n += threads_max[lane];
    }
    l->first[WR_LANE_MAX] = n;
    l->workers = wr_array(n, sizeof(*l->workers));
    if (!l->workers)
        return wr_fail(e, WR_NOMEM, "room for %u threads", n);
    wr_mutex_init(&l->mutex);
    for (unsigned lane = 0; lane < WR_LANE_MAX; lane++) {
        for (unsigned i = l->first[lane]; i < l->first[lane + 1]; i++) {
            l->workers[i].lanes = l;
            l->workers[i].lane = (enum wr_lane)lane;
            wr_cond_init(&l->workers[i].roused);
        }
    }
    return WR_OK;
}

void wr_lanes_close(struct wr_lanes *l)
{
    wr_mutex_lock(&l->mutex);
    l->closing = true;
    for (unsigned lane = 0; lane < WR_LANE_MAX; lane++) {
        while (lane_rouse(l, (enum wr_lane)lane))
            ;
    }
    wr_lanes_unlock(l);
}

void wr_lanes_stop(struct wr_lanes *l)
{
    assert(l->closing);
    /* `started` changes no more: nothing starts or reaps a thread once closing is set. */
    for (unsigned i = 0; i < l->first[WR_LANE_MAX]; i++) {
        if (l->workers[i].started)
            wr_thread_join(&l->workers[i].thread);
    }
    for (unsigned i = 0; i < l->first[WR_LANE_MAX]; i++) /* any of them may have signalled it */
        wr_cond_release(&l->workers[i].roused);
    wr_free(l->workers);
    wr_mutex_release(&l->mutex);
}

void wr_lanes_need(struct wr_lanes *l, enum wr_lane lane, size_t n)
{
    assert(wr_mutex_mine(&l->mutex));
    if (l->closing)
        return;
    while (l->searching[lane] < n) {
        if (!lane_rouse(l, lane) && !lane_start(l, lane))
            return;
    }
}

void wr_lanes_cover(struct wr_lanes *l, enum wr_lane lane, int64_t at_ns)
{
    struct wr_worker *pick = NULL;

    assert(wr_mutex_mine(&l->mutex));
    if (l->closing || at_ns == WR_NEVER || timer_minded(l, at_ns))
        return;
    /* Best one that minds a later timer already: then the others may end. Else one of the lane,
     * which can run the step itself. */
    for (unsigned i = 0; i < l->first[WR_LANE_MAX]; i++) {
        struct wr_worker *w = &l->workers[i];

        if (!w->idle)
            continue;
        if (!pick || w->until_ns < pick->until_ns ||
            (w->until_ns == pick->until_ns && w->lane == lane && pick->lane != lane))
            pick = w;
    }
    if (pick) {
        pick->until_ns = at_ns;
        tell_roused(l, pick);
        return;
    }
    /* Where the lane of this timer is full, a thread of another still minds the timers after it. */
    if (lane_start(l, lane))
        return;
    for (unsigned i = 0; i < WR_LANE_MAX; i++) {
        if (lane_start(l, (enum wr_lane)i))
            return;
    }
}
