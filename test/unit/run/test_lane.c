/*
 * test_lane.c - the threads of the lanes, with a scheduler that only counts: how they end.
 *
 * This file stands in for sched.c, so that an idle time of milliseconds can be asked for.
 */
#include "base/mem.h"
#include "harness/t.h"
#include "run/lane.h"

#include <stdatomic.h>

#define MS      INT64_C(1000000)
#define PATIENT 20000 /* looks, a millisecond apart, before a test fails */

struct wr_sched {
    struct wr_lanes lanes;
    /* Guarded by lanes.mutex. */
    size_t queued[WR_LANE_MAX];
    size_t ran[WR_LANE_MAX];
    size_t holding; /* steps that wait for `release` */
    bool hold;
    struct wr_cond release;
    int64_t timer_ns;
    enum wr_lane timer_lane;
    size_t fired;
};

/* Work is all alike: any pointer but NULL will do. */
static int work;

struct wr_sched_slot *wr_sched_take(struct wr_sched *s, enum wr_lane lane)
{
    if (s->timer_ns <= wr_mono_ns(s->lanes.clock)) {
        s->timer_ns = WR_NEVER;
        s->fired++;
        s->queued[s->timer_lane]++;
    }
    for (unsigned i = 0; i < WR_LANE_MAX; i++)
        wr_lanes_need(&s->lanes, (enum wr_lane)i, s->queued[i]);
    if (!s->queued[lane])
        return NULL;
    s->queued[lane]--;
    s->ran[lane]++;
    return (struct wr_sched_slot *)(void *)&work;
}

void wr_sched_run(struct wr_sched *s, struct wr_sched_slot *slot, struct wr_arena *scratch)
{
    void *p;

    (void)slot;
    wr_lanes_unlock(&s->lanes);
    p = wr_arena_alloc(scratch, 1000);
    assert(p);
    (void)p;
    wr_arena_reset(scratch);
    wr_mutex_lock(&s->lanes.mutex);
    s->holding++;
    while (s->hold)
        wr_cond_wait(&s->release, &s->lanes.mutex);
    s->holding--;
}

int64_t wr_sched_next(const struct wr_sched *s, enum wr_lane *ret_lane)
{
    *ret_lane = s->timer_lane;
    return s->timer_ns;
}

static void setup(struct wr_sched *s, int64_t idle_max_ns, const struct wr_clock *clock)
{
    static const unsigned threads_max[WR_LANE_MAX] = {3, 2, 1, 1};
    struct wr_err e = {0};

    *s = (struct wr_sched){.timer_ns = WR_NEVER};
    wr_cond_init(&s->release);
    T_OK(wr_lanes_init(&s->lanes, s, clock, threads_max, idle_max_ns, &e));
}

static void teardown(struct wr_sched *s)
{
    wr_lanes_close(&s->lanes);
    wr_lanes_stop(&s->lanes);
    wr_cond_release(&s->release);
}

static void queue(struct wr_sched *s, enum wr_lane lane, size_t n)
{
    wr_mutex_lock(&s->lanes.mutex);
    s->queued[lane] += n;
    wr_lanes_need(&s->lanes, lane, s->queued[lane]);
    wr_lanes_unlock(&s->lanes);
}

static void set_timer(struct wr_sched *s, enum wr_lane lane, int64_t at_ns)
{
    wr_mutex_lock(&s->lanes.mutex);
    s->timer_ns = at_ns;
    s->timer_lane = lane;
    wr_lanes_cover(&s->lanes, lane, at_ns);
    wr_lanes_unlock(&s->lanes);
}

static void hold(struct wr_sched *s, bool on)
{
    wr_mutex_lock(&s->lanes.mutex);
    s->hold = on;
    wr_cond_broadcast(&s->release);
    wr_lanes_unlock(&s->lanes);
}

static unsigned sum(const unsigned n[WR_LANE_MAX])
{
    return n[WR_LANE_LOCAL] + n[WR_LANE_NET] + n[WR_LANE_BULK] + n[WR_LANE_CHECK];
}

typedef bool condition(const struct wr_sched *s, unsigned n);

static bool is_alive(const struct wr_sched *s, unsigned n)
{
    return sum(s->lanes.alive) == n;
}

static bool is_all_idle(const struct wr_sched *s, unsigned n)
{
    return sum(s->lanes.idle) == n && sum(s->lanes.alive) == n && !sum(s->lanes.searching);
}

static bool is_holding(const struct wr_sched *s, unsigned n)
{
    return s->holding == n;
}

static bool is_fired(const struct wr_sched *s, unsigned n)
{
    return s->fired == n;
}

/* There is nobody to tell us that a thread has ended: look again and again. */
static bool comes_true(struct wr_sched *s, condition *c, unsigned n)
{
    const struct timespec pause = {.tv_nsec = MS};
    bool is = false;

    for (unsigned i = 0; !is && i < PATIENT; i++) {
        wr_mutex_lock(&s->lanes.mutex);
        is = c(s, n);
        wr_lanes_unlock(&s->lanes);
        if (!is)
            (void)nanosleep(&pause, NULL);
    }
    return is;
}

static void test_threads_start_on_demand_up_to_the_maximum(void **state)
{
    struct wr_sched s;
    size_t live;

    (void)state;
    setup(&s, 20000 * MS, wr_clock_system());
    live = wr_mem_live();
    T(is_alive(&s, 0));
    hold(&s, true);
    queue(&s, WR_LANE_LOCAL, 1);
    T(comes_true(&s, is_holding, 1));
    T(comes_true(&s, is_alive, 1));
    queue(&s, WR_LANE_LOCAL, 10);
    T(comes_true(&s, is_holding, 3));
    queue(&s, WR_LANE_NET, 10);
    T(comes_true(&s, is_holding, 5));
    T(comes_true(&s, is_alive, 5));
    hold(&s, false);
    T(comes_true(&s, is_all_idle, 5));
    T(wr_mem_live() == live); /* they sleep without scratch memory */
    T(s.ran[WR_LANE_LOCAL] == 11 && s.ran[WR_LANE_NET] == 10);
    queue(&s, WR_LANE_LOCAL, 1); /* an idle one takes it */
    T(comes_true(&s, is_all_idle, 5));
    T(s.ran[WR_LANE_LOCAL] == 12);
    teardown(&s);
}

static void test_idle_threads_end_and_come_back(void **state)
{
    struct wr_sched s;
    size_t live;

    (void)state;
    setup(&s, 5 * MS, wr_clock_system());
    live = wr_mem_live();
    for (size_t round = 1; round <= 3; round++) {
        hold(&s, true);
        queue(&s, WR_LANE_LOCAL, 3);
        queue(&s, WR_LANE_NET, 2);
        T(comes_true(&s, is_holding, 5));
        hold(&s, false);
        T(comes_true(&s, is_alive, 0));
        T(s.ran[WR_LANE_LOCAL] == 3 * round);
        T(wr_mem_live() == live); /* nothing is kept by those that ended */
    }
    teardown(&s);
}

static void test_one_thread_stays_for_a_timer(void **state)
{
    struct wr_sched s;

    (void)state;
    setup(&s, 5 * MS, wr_clock_system());
    hold(&s, true);
    queue(&s, WR_LANE_LOCAL, 3);
    queue(&s, WR_LANE_NET, 2);
    T(comes_true(&s, is_holding, 5));
    set_timer(&s, WR_LANE_LOCAL, wr_mono_ns(wr_clock_system()) + 100 * MS);
    hold(&s, false);
    T(comes_true(&s, is_alive, 1));
    T(s.fired == 0);
    T(comes_true(&s, is_fired, 1));
    T(comes_true(&s, is_alive, 0)); /* then it may end, too */
    T(s.ran[WR_LANE_LOCAL] == 4);
    /* With no thread there, a timer starts one. */
    set_timer(&s, WR_LANE_BULK, wr_mono_ns(wr_clock_system()) + 10 * MS);
    T(comes_true(&s, is_alive, 1));
    T(comes_true(&s, is_fired, 2));
    T(comes_true(&s, is_alive, 0));
    T(s.ran[WR_LANE_BULK] == 1);
    teardown(&s);
}

static void test_an_earlier_timer_is_noticed_by_the_sleeper(void **state)
{
    struct wr_sched s;

    (void)state;
    setup(&s, 60000 * MS, wr_clock_system()); /* it must not wake to see whether it may end */
    set_timer(&s, WR_LANE_NET, wr_mono_ns(wr_clock_system()) + 60000 * MS);
    T(comes_true(&s, is_all_idle, 1));
    set_timer(&s, WR_LANE_NET, wr_mono_ns(wr_clock_system()) + MS);
    T(comes_true(&s, is_fired, 1));
    T(comes_true(&s, is_all_idle, 1));
    T(s.ran[WR_LANE_NET] == 1);
    teardown(&s);
}

static void test_a_thread_on_its_way_is_enough(void **state)
{
    struct wr_sched s;

    (void)state;
    setup(&s, 5 * MS, wr_clock_system());
    wr_mutex_lock(&s.lanes.mutex);
    s.timer_ns = wr_mono_ns(wr_clock_system());
    for (unsigned i = 0; i < 3; i++) {
        wr_lanes_cover(&s.lanes, WR_LANE_LOCAL, s.timer_ns - i);
        wr_lanes_need(&s.lanes, WR_LANE_LOCAL, 1);
    }
    T(sum(s.lanes.alive) == 1 && sum(s.lanes.searching) == 1);
    wr_lanes_unlock(&s.lanes);
    T(comes_true(&s, is_fired, 1));
    T(comes_true(&s, is_alive, 0));
    teardown(&s);
}

static void test_a_timer_of_a_full_lane_does_not_hide_the_next(void **state)
{
    struct wr_sched s;

    (void)state;
    setup(&s, 5 * MS, wr_clock_system());
    hold(&s, true);
    queue(&s, WR_LANE_BULK, 1);
    T(comes_true(&s, is_holding, 1));
    /* The lane's only thread is held: one of another lane minds its timer. */
    set_timer(&s, WR_LANE_BULK, wr_mono_ns(wr_clock_system()) + MS);
    T(comes_true(&s, is_fired, 1));
    T(s.holding == 1);
    hold(&s, false);
    T(comes_true(&s, is_alive, 0));
    T(s.ran[WR_LANE_BULK] == 2);
    teardown(&s);
}

/* A clock of its own pace, which other threads may read while it is set. */
struct stepped_clock {
    struct wr_clock clock;
    _Atomic int64_t now_ns;
};

static int64_t stepped_mono_ns(const struct wr_clock *c)
{
    const struct stepped_clock *k = (const struct stepped_clock *)(const void *)c;

    return atomic_load(&k->now_ns);
}

static int64_t stepped_wall_ms(const struct wr_clock *c)
{
    return stepped_mono_ns(c) / MS;
}

static void test_timers_are_of_the_given_clock(void **state)
{
    struct stepped_clock k = {.clock = {.mono_ns = stepped_mono_ns, .wall_ms = stepped_wall_ms}};
    struct wr_sched s;

    (void)state;
    atomic_init(&k.now_ns, 5);
    setup(&s, 5 * MS, &k.clock);
    set_timer(&s, WR_LANE_LOCAL, 5 + 10 * MS); /* 10 ms by a clock that stands */
    T(comes_true(&s, is_all_idle, 1));
    T(s.fired == 0);
    atomic_store(&k.now_ns, 5 + 10 * MS); /* seen after those 10 ms of real time */
    T(comes_true(&s, is_fired, 1));
    set_timer(&s, WR_LANE_LOCAL, INT64_MAX - 1); /* no overflow */
    T(comes_true(&s, is_all_idle, 1));
    teardown(&s);
}

static enum wr_status sweep_body(void *arg)
{
    static const unsigned threads_max[WR_LANE_MAX] = {1, 1, 1, 1};
    struct wr_sched s = {.timer_ns = WR_NEVER};
    struct wr_err e = {0};
    enum wr_status st = wr_lanes_init(&s.lanes, &s, wr_clock_system(), threads_max, 20000 * MS, &e);

    (void)arg;
    if (st != WR_OK) {
        T(e.code == st);
        return st;
    }
    wr_lanes_close(&s.lanes);
    queue(&s, WR_LANE_LOCAL, 1); /* closed: nothing starts */
    T(is_alive(&s, 0));
    wr_lanes_stop(&s.lanes);
    return WR_OK;
}

static void test_out_of_memory(void **state)
{
    struct wr_sched s;

    (void)state;
    t_sweep_nomem(sweep_body, NULL);

    /* A thread that cannot start leaves no trace, and the next call tries again. */
    setup(&s, 5 * MS, wr_clock_system());
    wr_mem_fail_after(0);
    queue(&s, WR_LANE_LOCAL, 1);
    wr_mem_fail_after(-1);
    T(is_alive(&s, 0) && sum(s.lanes.searching) == 0);
    queue(&s, WR_LANE_LOCAL, 0);
    T(comes_true(&s, is_alive, 0));
    T(s.ran[WR_LANE_LOCAL] == 1);
    teardown(&s);
}

T_MAIN(T_TEST(test_threads_start_on_demand_up_to_the_maximum),
    T_TEST(test_idle_threads_end_and_come_back), T_TEST(test_one_thread_stays_for_a_timer),
    T_TEST(test_an_earlier_timer_is_noticed_by_the_sleeper),
    T_TEST(test_a_thread_on_its_way_is_enough),
    T_TEST(test_a_timer_of_a_full_lane_does_not_hide_the_next),
    T_TEST(test_timers_are_of_the_given_clock), T_TEST(test_out_of_memory))
