/*
 * sched.c - actors, their queues and their timers. Threads are lane.c's business.
 *
 *                    wake, timer                taken
 *           IDLE ------------------> QUEUED -----------> RUNNING --- wake ---> WOKEN
 *            ^                        ^                  |     |                 |
 *            +------- IDLE, AT -------|------------------+     |                 |
 *                                     +----------- NOW --------+--- step ends ---+
 *
 *           From every state to REMOVED, by wr_sched_remove; a running step ends first.
 *
 * An actor has two times. `own_ns` is what its step asked for: it is forgotten as soon as the actor
 * is queued, and asked for anew. `wake_ns` is what wr_sched_wake_at asked for: the earliest wins,
 * it survives any step and is forgotten when it has come. A time that comes is a wake, nothing
 * more.
 *
 * Each actor is in the timer heap from add to remove, without a time as WR_NEVER: setting one needs
 * no memory, so a wake cannot fail.
 *
 * In manual mode there is one queue for all lanes: wakes run in the order in which they were made.
 */
#include "run/sched.h"

#include "base/arena.h"
#include "base/cancel.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/sync.h"
#include "run/lane.h"

#include <stdatomic.h>

#define IDLE_MAX_NS (INT64_C(10) * 1000 * 1000 * 1000)

enum slot_state {
    SLOT_IDLE,
    SLOT_QUEUED,
    SLOT_RUNNING,
    SLOT_WOKEN, /* running, and to run once more */
    SLOT_REMOVED
};

/* What the scheduler knows of an actor. Guarded by the scheduler's mutex, but for the last two. */
struct wr_sched_slot {
    struct wr_actor *actor; /* frozen */
    uint64_t seq;           /* frozen: order of wr_sched_add, breaks ties of timers */
    struct wr_link ready;   /* in its lane's queue while QUEUED */
    int64_t own_ns, wake_ns;
    size_t timer_index; /* owned by the heap */
    enum slot_state state;
    /* Written around a step by its thread. A thread that finds `running` set and itself in `runner`
     * wrote both, so wr_actor_is_current needs no lock. */
    atomic_bool running;
    _Atomic pthread_t runner;
};

struct wr_sched {
    const struct wr_clock *clock; /* frozen */
    struct wr_log log;            /* frozen */
    bool manual;                  /* frozen */
    unsigned processors;          /* frozen */
    struct wr_cancel cancel;
    struct wr_arena scratch; /* manual mode: owned by whoever pumps */

    struct wr_lanes lanes; /* with the mutex that guards what follows */
    struct wr_list ready[WR_LANE_MAX];
    size_t ready_count[WR_LANE_MAX];
    struct wr_heap timers;
    uint64_t seq_next;
    struct wr_cond step_ended; /* broadcast when the step of a removed actor has ended */
    bool pumping;
};

static struct wr_sched_slot *slot_of(struct wr_link *link)
{
    return wr_container_of(link, struct wr_sched_slot, ready);
}

static int64_t timer_ns(const struct wr_sched_slot *slot)
{
    return wr_min(slot->own_ns, slot->wake_ns);
}

static bool timer_less(const void *a, const void *b)
{
    const struct wr_sched_slot *x = a;
    const struct wr_sched_slot *y = b;

    if (timer_ns(x) != timer_ns(y))
        return timer_ns(x) < timer_ns(y);
    return x->seq < y->seq;
}

static size_t *timer_index(void *item)
{
    struct wr_sched_slot *slot = item;

    return &slot->timer_index;
}

static unsigned queue_of(const struct wr_sched *s, enum wr_lane lane)
{
    return s->manual ? 0 : (unsigned)lane;
}

static void slot_set_times(
    struct wr_sched *s, struct wr_sched_slot *slot, int64_t own_ns, int64_t wake_ns)
{
    if (slot->own_ns == own_ns && slot->wake_ns == wake_ns)
        return;
    slot->own_ns = own_ns;
    slot->wake_ns = wake_ns;
    wr_heap_fix(&s->timers, slot->timer_index);
}

static void slot_enqueue(struct wr_sched *s, struct wr_sched_slot *slot)
{
    unsigned q = queue_of(s, slot->actor->lane);

    slot->state = SLOT_QUEUED;
    slot_set_times(s, slot, WR_NEVER, slot->wake_ns);
    wr_list_push(&s->ready[q], &slot->ready);
    s->ready_count[q]++;
}

static void slot_dequeue(struct wr_sched *s, struct wr_sched_slot *slot)
{
    wr_list_remove(&slot->ready);
    s->ready_count[queue_of(s, slot->actor->lane)]--;
}

static void slot_wake(struct wr_sched *s, struct wr_sched_slot *slot)
{
    if (slot->state == SLOT_IDLE)
        slot_enqueue(s, slot);
    else if (slot->state == SLOT_RUNNING)
        slot->state = SLOT_WOKEN;
}

int64_t wr_sched_next(const struct wr_sched *s, enum wr_lane *ret_lane)
{
    const struct wr_sched_slot *slot = wr_heap_top(&s->timers);

    if (!slot || timer_ns(slot) == WR_NEVER)
        return WR_NEVER;
    *ret_lane = slot->actor->lane;
    return timer_ns(slot);
}

/* Wake every actor whose time has come. */
static void timers_fire(struct wr_sched *s)
{
    struct wr_sched_slot *slot = wr_heap_top(&s->timers);
    int64_t now_ns;

    if (!slot || timer_ns(slot) == WR_NEVER)
        return;
    now_ns = wr_mono_ns(s->clock);
    while (timer_ns(slot) <= now_ns) {
        slot_set_times(s, slot, slot->own_ns <= now_ns ? WR_NEVER : slot->own_ns,
            slot->wake_ns <= now_ns ? WR_NEVER : slot->wake_ns);
        slot_wake(s, slot);
        slot = wr_heap_top(&s->timers);
    }
}

struct wr_sched_slot *wr_sched_take(struct wr_sched *s, enum wr_lane lane)
{
    unsigned q = queue_of(s, lane);
    struct wr_link *link;

    assert(wr_mutex_mine(&s->lanes.mutex));
    timers_fire(s);
    /* For all lanes, not only those that a timer touched: a thread that the system refused for one
     * of them is tried again here. */
    for (unsigned i = 0; i < WR_LANE_MAX; i++)
        wr_lanes_need(&s->lanes, (enum wr_lane)i, s->ready_count[i]);
    link = wr_list_first(&s->ready[q]);
    if (!link)
        return NULL;
    slot_dequeue(s, slot_of(link));
    return slot_of(link);
}

void wr_sched_run(struct wr_sched *s, struct wr_sched_slot *slot, struct wr_arena *scratch)
{
    struct wr_call call = {
        .scratch = scratch,
        .clock = s->clock,
        .deadline_ms = WR_NEVER,
        .cancel = &s->cancel,
        .log = &s->log,
    };
    struct wr_next next;

    assert(slot->state == SLOT_QUEUED);
    slot->state = SLOT_RUNNING;
    atomic_store_explicit(&slot->runner, pthread_self(), memory_order_relaxed);
    atomic_store_explicit(&slot->running, true, memory_order_release);
    wr_lanes_unlock(&s->lanes);

    next = slot->actor->step(slot->actor, &call);
    wr_arena_reset(scratch);

    wr_mutex_lock(&s->lanes.mutex);
    atomic_store_explicit(&slot->running, false, memory_order_relaxed);
    if (slot->state == SLOT_REMOVED) {
        wr_cond_broadcast(&s->step_ended);
    } else if (next.when == WR_NEXT_MOVE) {
        slot->actor->lane = next.to;
        slot_enqueue(s, slot);
        wr_lanes_need(&s->lanes, next.to, s->ready_count[queue_of(s, next.to)]);
    } else if ((slot->state == SLOT_WOKEN && !WR_MUTANT(DEAF)) || next.when == WR_NEXT_NOW) {
        /* Nobody is roused for it: this thread looks at the queue next. */
        slot_enqueue(s, slot);
    } else {
        slot->state = SLOT_IDLE;
        if (next.when == WR_NEXT_AT)
            slot_set_times(s, slot, next.at_ns, slot->wake_ns);
    }
}

enum wr_status wr_sched_new(const struct wr_sched_opts *o, struct wr_sched **ret, struct wr_err *e)
{
    static const unsigned threads_default[WR_LANE_MAX] = {
        [WR_LANE_LOCAL] = 2,
        [WR_LANE_NET] = 16, /* each waits for a store all the time; started as there is work */
        [WR_LANE_BULK] = 1,
        [WR_LANE_LONG] = 4,
        [WR_LANE_CHECK] = 1,
    };
    unsigned threads_max[WR_LANE_MAX] = {0};
    struct wr_sched *s = wr_alloc(sizeof(*s));
    enum wr_status st;

    if (!s)
        return wr_fail(e, WR_NOMEM, "scheduler");
    s->clock = o->clock ? o->clock : wr_clock_system();
    if (o->log)
        s->log = *o->log;
    s->manual = o->manual;
    s->processors = o->manual ? 1 : wr_processors();
    for (unsigned i = 0; i < WR_LANE_MAX && !s->manual; i++)
        threads_max[i] = o->threads_max[i] ? o->threads_max[i] : threads_default[i];
    st = wr_lanes_init(&s->lanes, s, s->clock, threads_max, IDLE_MAX_NS, e);
    if (st != WR_OK) {
        wr_free(s);
        return wr_wrap(e, st, "scheduler");
    }
    wr_cancel_init(&s->cancel);
    wr_cond_init(&s->step_ended);
    wr_arena_init(&s->scratch, WR_ARENA_MAX);
    wr_heap_init(&s->timers, timer_less, timer_index);
    for (unsigned i = 0; i < WR_LANE_MAX; i++)
        wr_list_init(&s->ready[i]);
    *ret = s;
    return WR_OK;
}

void wr_sched_free(struct wr_sched *s)
{
    if (!s)
        return;
    assert(!s->pumping);
    /* Closed first: a step that cancellation ends is followed by no other. */
    wr_lanes_close(&s->lanes);
    wr_cancel_now(&s->cancel);
    wr_lanes_stop(&s->lanes);
    /* Actors that were not removed may be gone: only their slots are touched. */
    for (size_t i = 0; i < s->timers.n; i++)
        wr_free(s->timers.items[i]);
    wr_heap_release(&s->timers);
    wr_arena_release(&s->scratch);
    wr_cond_release(&s->step_ended);
    wr_cancel_release(&s->cancel);
    wr_free(s);
}

const struct wr_clock *wr_sched_clock(const struct wr_sched *s)
{
    return s->clock;
}

const struct wr_log *wr_sched_log(const struct wr_sched *s)
{
    return &s->log;
}

bool wr_sched_manual(const struct wr_sched *s)
{
    return s->manual;
}

unsigned wr_sched_processors(const struct wr_sched *s)
{
    return s->processors;
}

enum wr_status wr_sched_add(struct wr_actor *a, struct wr_err *e)
{
    struct wr_sched *s = a->sched;
    struct wr_sched_slot *slot = wr_alloc(sizeof(*slot));
    enum wr_status st;

    assert(a->step && (unsigned)a->lane < WR_LANE_MAX);
    if (!slot)
        return wr_fail(e, WR_NOMEM, "actor");
    slot->actor = a;
    slot->own_ns = WR_NEVER;
    slot->wake_ns = WR_NEVER;
    atomic_init(&slot->running, false);
    atomic_init(&slot->runner, pthread_self());

    wr_mutex_lock(&s->lanes.mutex);
    slot->seq = s->seq_next++;
    st = wr_heap_push(&s->timers, slot);
    if (st == WR_OK)
        a->slot_ = slot;
    wr_lanes_unlock(&s->lanes);
    if (st != WR_OK) {
        wr_free(slot);
        return wr_fail(e, st, "actor");
    }
    return WR_OK;
}

void wr_sched_remove(struct wr_actor *a)
{
    struct wr_sched *s = a->sched;
    struct wr_sched_slot *slot;

    assert(!wr_actor_is_current(a)); /* it would wait for itself */
    wr_mutex_lock(&s->lanes.mutex);
    slot = a->slot_;
    assert(slot && slot->state != SLOT_REMOVED);
    if (slot->state == SLOT_QUEUED)
        slot_dequeue(s, slot);
    slot->state = SLOT_REMOVED;
    wr_heap_remove(&s->timers, slot);
    while (atomic_load_explicit(&slot->running, memory_order_relaxed))
        wr_cond_wait(&s->step_ended, &s->lanes.mutex);
    a->slot_ = NULL;
    wr_lanes_unlock(&s->lanes);
    wr_free(slot);
}

void wr_sched_wake(struct wr_actor *a)
{
    struct wr_sched *s = a->sched;

    wr_mutex_lock(&s->lanes.mutex);
    if (a->slot_)
        slot_wake(s, a->slot_);
    /* Even if it was queued before: perhaps no thread could be started then. */
    wr_lanes_need(&s->lanes, a->lane, s->ready_count[queue_of(s, a->lane)]);
    wr_lanes_unlock(&s->lanes);
}

void wr_sched_wake_at(struct wr_actor *a, int64_t at_ns)
{
    struct wr_sched *s = a->sched;
    struct wr_sched_slot *slot;
    enum wr_lane lane;
    int64_t next_ns;

    wr_mutex_lock(&s->lanes.mutex);
    slot = a->slot_;
    if (slot && slot->state != SLOT_REMOVED && at_ns < slot->wake_ns)
        slot_set_times(s, slot, slot->own_ns, at_ns);
    next_ns = wr_sched_next(s, &lane);
    if (next_ns != WR_NEVER)
        wr_lanes_cover(&s->lanes, lane, next_ns);
    wr_lanes_unlock(&s->lanes);
}

bool wr_actor_is_current(const struct wr_actor *a)
{
    const struct wr_sched_slot *slot = a->slot_;

    return slot && atomic_load_explicit(&slot->running, memory_order_acquire) &&
           pthread_equal(atomic_load_explicit(&slot->runner, memory_order_relaxed), pthread_self());
}

void wr_sched_cancel(struct wr_sched *s)
{
    wr_cancel_now(&s->cancel);
}

int64_t wr_sched_pump(struct wr_sched *s, unsigned steps_max)
{
    struct wr_sched_slot *slot = NULL;
    enum wr_lane lane;
    int64_t next_ns;

    assert(s->manual);
    wr_mutex_lock(&s->lanes.mutex);
    assert(!s->pumping);
    s->pumping = true;
    for (unsigned i = 0; i < steps_max; i++) {
        slot = wr_sched_take(s, WR_LANE_LOCAL);
        if (!slot)
            break;
        wr_sched_run(s, slot, &s->scratch);
    }
    timers_fire(s); /* so that "none left" and "next timer" are of one moment */
    next_ns = s->ready_count[0] ? 0 : wr_sched_next(s, &lane);
    s->pumping = false;
    wr_lanes_unlock(&s->lanes);
    if (next_ns)
        wr_arena_release(&s->scratch);
    return next_ns;
}
