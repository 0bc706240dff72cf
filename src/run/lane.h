/*
 * lane.h - the worker threads of a scheduler, for sched.c and lane.c only.
 *
 * Knows threads, idleness and deadlines; what a piece of work is, only sched.c knows.
 *
 * locked: `mutex` is the scheduler's one lock and guards everything here that is not frozen. Every
 * function below but init, close and stop is called with it held.
 */
#ifndef WR_RUN_LANE_H
#define WR_RUN_LANE_H

#include "base/arena.h"
#include "base/base.h"
#include "base/clock.h"
#include "base/status.h"
#include "base/sync.h"
#include "run/sched.h"

#define WR_ROUSED_MAX 8 /* any more are told at once */

struct wr_worker;

struct wr_lanes {
    struct wr_mutex mutex;
    struct wr_sched *sched;          /* frozen */
    const struct wr_clock *clock;    /* frozen; the one timers are set by */
    int64_t idle_max_ns;             /* frozen; real time after which an idle thread ends */
    unsigned first[WR_LANE_MAX + 1]; /* frozen; lane i has workers first[i] .. first[i + 1] - 1 */
    struct wr_worker *workers;

    /* How many threads of a lane are awake and between steps: each will look at the queues and the
     * timers before it sleeps or runs a step, so nobody else has to be roused for those. */
    unsigned searching[WR_LANE_MAX];
    unsigned idle[WR_LANE_MAX];
    unsigned alive[WR_LANE_MAX];
    bool closing;

    /* Who was roused, and is told so as soon as the mutex is free: it would wait for that first. */
    struct wr_cond *roused[WR_ROUSED_MAX];
    size_t n_roused;
};

/* No thread is started yet. NOMEM. */
enum wr_status wr_lanes_init(struct wr_lanes *l, struct wr_sched *sched,
    const struct wr_clock *clock, const unsigned threads_max[WR_LANE_MAX], int64_t idle_max_ns,
    struct wr_err *e) WR_MUST_CHECK;
/* From now on no step starts. */
void wr_lanes_close(struct wr_lanes *l);
/* After close: waits for running steps, joins all threads, frees. */
void wr_lanes_stop(struct wr_lanes *l);

/* Unlock the mutex after anything that may have roused threads. */
void wr_lanes_unlock(struct wr_lanes *l);

/* `n` pieces of work are queued for `lane`: rouse idle threads or start new ones until as many look
 * for work, or the lane is full. A thread that cannot be started is tried again at the next call.
 */
void wr_lanes_need(struct wr_lanes *l, enum wr_lane lane, size_t n);

/* The earliest timer is at `at_ns` (WR_NEVER: none), for `lane`: see that a thread wakes by then.
 */
void wr_lanes_cover(struct wr_lanes *l, enum wr_lane lane, int64_t at_ns);

/* What the threads call, in sched.c, with the mutex held. */

struct wr_sched_slot;

/* Queue what timers are due; then the next work of `lane`, or NULL. */
struct wr_sched_slot *wr_sched_take(struct wr_sched *s, enum wr_lane lane);
/* Run it. The mutex is released meanwhile and held again after. */
void wr_sched_run(struct wr_sched *s, struct wr_sched_slot *slot, struct wr_arena *scratch);
/* The earliest timer and, if there is one, its lane. */
int64_t wr_sched_next(const struct wr_sched *s, enum wr_lane *ret_lane);

#endif
