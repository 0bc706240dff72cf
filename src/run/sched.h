/*
 * sched.h - runs actors on lanes of worker threads; one actor is never in two places at once.
 *
 * An actor's fields need no lock: only its own step touches them. Anything from outside is a
 * message behind the actor's own mutex, followed by wr_sched_wake. Wakes coalesce and are never
 * lost: a wake during a step makes the step run once more.
 *
 * locked: every function may be called from any thread unless it says otherwise.
 */
#ifndef WR_RUN_SCHED_H
#define WR_RUN_SCHED_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"

enum wr_lane {
    WR_LANE_LOCAL, /* milliseconds: SQLite, local files */
    WR_LANE_NET,   /* one request or two: uploads, listings */
    WR_LANE_BULK,  /* minutes: compactions, what retention deletes */
    WR_LANE_LONG,  /* hours: a database is sent, or a replica read, whole */
    WR_LANE_CHECK, /* hours, and nobody waits: verification */
    WR_LANE_MAX
};

/* What a step wants next. A step never sleeps and never waits for another actor: it returns. */
struct wr_next {
    enum {
        WR_NEXT_IDLE, /* until woken (a wake_at already set stays) */
        WR_NEXT_NOW,  /* again, after others had their turn */
        WR_NEXT_MOVE, /* the same, in lane `to` from now on */
        WR_NEXT_AT    /* at at_ns, or when woken before: then the next step says anew */
    } when;
    int64_t at_ns; /* monotonic nanoseconds */
    enum wr_lane to;
};

struct wr_actor;
struct wr_sched;

/* One bounded piece of work. Runs alone for its actor. `c` has scratch memory that is reset after
 * the step, the scheduler's clock, log and cancel token, and no deadline. */
typedef struct wr_next wr_step_fn(struct wr_actor *a, struct wr_call *c);

struct wr_actor {
    wr_step_fn *step;
    enum wr_lane lane; /* to begin with; its own step may read which it is in */
    struct wr_sched *sched;
    struct wr_sched_slot *slot_; /* owned by sched.c: state, timer, queue link */
};

struct wr_sched_opts {
    const struct wr_clock *clock;      /* NULL: the system's */
    const struct wr_log *log;          /* copied; NULL: silent */
    unsigned threads_max[WR_LANE_MAX]; /* 0: 2, 16, 1, 4, 1 */
    bool manual;                       /* start no thread: the host calls wr_sched_pump */
};

/* Threads start on demand and exit after 10 idle seconds; an idle scheduler has no thread running
 * and wakes for nothing. */
enum wr_status wr_sched_new(
    const struct wr_sched_opts *o, struct wr_sched **ret, struct wr_err *e) WR_MUST_CHECK;
/* Cancels running calls, waits for running steps, joins all threads. All actors must have been
 * removed or be idle; none runs afterwards. NULL-safe. */
void wr_sched_free(struct wr_sched *s);

const struct wr_clock *wr_sched_clock(const struct wr_sched *s);
const struct wr_log *wr_sched_log(const struct wr_sched *s);
bool wr_sched_manual(const struct wr_sched *s); /* then a step starts no thread either */

/* How many threads a step may compute on at once, its own included; 1 in manual mode. */
unsigned wr_sched_processors(const struct wr_sched *s);

/* Register an actor whose step, lane and sched are set. It runs when first woken. NOMEM. */
enum wr_status wr_sched_add(struct wr_actor *a, struct wr_err *e) WR_MUST_CHECK;
/* Unregister: its step is not running when this returns and never runs again. Not from its own
 * step. Its memory may then be freed. */
void wr_sched_remove(struct wr_actor *a);

/* Both do nothing for an actor that is not added, but its memory and scheduler must be there. */
void wr_sched_wake(struct wr_actor *a); /* coalesces */
/* Wake at a monotonic time; the earliest asked for wins and stays until it has come. */
void wr_sched_wake_at(struct wr_actor *a, int64_t at_ns);
bool wr_actor_is_current(const struct wr_actor *a); /* its step runs on this thread */

/* Cancel the calls of steps that are running now, and of all later ones. For shutdown. */
void wr_sched_cancel(struct wr_sched *s);

/* Manual mode, one thread at a time: run every step that is due, in wake order, at most `steps_max`
 * of them. Timers that are due wake in order of time, then of wr_sched_add. Returns the monotonic
 * time of the next timer (WR_NEVER: none), or 0 when steps are left. */
int64_t wr_sched_pump(struct wr_sched *s, unsigned steps_max);

#endif
