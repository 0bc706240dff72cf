/*
 * test_sched_threads.c - the scheduler with its threads: nothing lost, nothing twice, nothing for
 * nothing. For the thread sanitizer as much as for its own checks.
 *
 * Steps run on other threads and must not fail a test there: they count, the test looks.
 */
#include "base/mem.h"
#include "base/sync.h"
#include "harness/t.h"
#include "run/sched.h"

#include <dirent.h>
#include <stdatomic.h>

#define MS      INT64_C(1000000)
#define PATIENT (INT64_C(20000) * MS) /* a wait that ends only when a test fails */

/* Something to wait for: a number that only grows. */
struct tally {
    struct wr_mutex mutex;
    struct wr_cond changed;
    uint64_t n;
};

static void tally_init(struct tally *t)
{
    wr_mutex_init(&t->mutex);
    wr_cond_init(&t->changed);
    t->n = 0;
}

static void tally_release(struct tally *t)
{
    wr_cond_release(&t->changed);
    wr_mutex_release(&t->mutex);
}

static void tally_add(struct tally *t, uint64_t n)
{
    wr_mutex_lock(&t->mutex);
    t->n += n;
    wr_cond_broadcast(&t->changed);
    wr_mutex_unlock(&t->mutex);
}

/* Wait until the number is at least `n`. False: it took too long. */
static bool tally_reach(struct tally *t, uint64_t n)
{
    int64_t until_ns = wr_mono_ns(wr_clock_system()) + PATIENT;
    bool reached;

    wr_mutex_lock(&t->mutex);
    while (t->n < n && wr_cond_wait_until(&t->changed, &t->mutex, until_ns))
        ;
    reached = t->n >= n;
    wr_mutex_unlock(&t->mutex);
    return reached;
}

static struct wr_sched *sched(unsigned local, unsigned net, unsigned bulk)
{
    struct wr_sched *s = NULL;
    struct wr_err e = {0};

    T_OK(wr_sched_new(&(struct wr_sched_opts){.threads_max = {local, net, bulk}}, &s, &e));
    return s;
}

/* The scheduler's threads, and how often they went to sleep or were made to. A sanitizer has
 * threads of its own, which do not count: they are told apart by name. */
static void count_threads(unsigned *ret_threads, uint64_t *ret_switches)
{
    DIR *dir = opendir("/proc/self/task");
    struct dirent *d;

    *ret_threads = 0;
    *ret_switches = 0;
    T(dir);
    while ((d = readdir(dir)) != NULL) {
        char path[300];
        char line[200];
        bool ours = false;
        FILE *f;

        (void)snprintf(path, sizeof(path), "/proc/self/task/%s/status", d->d_name);
        f = fopen(path, "r");
        if (!f)
            continue; /* it has just ended */
        while (fgets(line, sizeof(line), f)) {
            struct wr_str key;
            struct wr_str value;
            uint64_t n = 0;

            (void)wr_str_cut(wr_str(line), ':', &key, &value);
            value = wr_str_trim(value);
            if (wr_str_eq(key, WR_STR("Name")) && wr_str_starts(value, WR_STR("weir-"))) {
                ours = true;
                ++*ret_threads;
            }
            if (ours && wr_str_ends(key, WR_STR("ctxt_switches")) && wr_parse_u64(value, &n))
                *ret_switches += n;
        }
        (void)fclose(f);
    }
    (void)closedir(dir);
}

/* The storm: threads post messages and wake, actors take them out. */

#define POSTERS   3
#define STORMY    12
#define POSTS     100000
#define ALL_POSTS ((uint64_t)POSTERS * POSTS)

struct stormy {
    struct wr_actor actor;
    atomic_uint inbox;
    uint64_t taken; /* only the step touches it: a race here is a broken promise */
    atomic_bool inside;
    atomic_uint broken;
    struct tally *all;
};

static struct wr_next stormy_step(struct wr_actor *a, struct wr_call *c)
{
    struct stormy *y = wr_container_of(a, struct stormy, actor);
    unsigned n = 0;
    struct wr_next next = {.when = WR_NEXT_IDLE};

    if (atomic_exchange(&y->inside, true) || !wr_actor_is_current(a) || c->scratch->used)
        atomic_fetch_add(&y->broken, 1);
    if (!wr_arena_alloc(c->scratch, 100))
        atomic_fetch_add(&y->broken, 1);
    n = atomic_exchange(&y->inbox, 0);
    y->taken += n;
    if (n)
        tally_add(y->all, n);
    if (y->taken % 7 == 0)
        next.when = WR_NEXT_NOW;
    if (n && y->taken % 3 == 0)
        next = (struct wr_next){.when = WR_NEXT_AT, .at_ns = wr_mono_ns(c->clock) + MS / 10};
    if (!n)
        next.when = WR_NEXT_IDLE;
    atomic_store(&y->inside, false);
    return next;
}

struct poster {
    struct wr_thread thread;
    struct stormy *actors;
    unsigned salt;
};

static void poster_main(void *arg)
{
    struct poster *p = arg;

    for (unsigned i = 0; i < POSTS; i++) {
        struct stormy *y = &p->actors[(i * 5 + p->salt) % STORMY];

        atomic_fetch_add(&y->inbox, 1);
        if (i % 4)
            wr_sched_wake(&y->actor);
        else
            wr_sched_wake_at(&y->actor, wr_mono_ns(wr_clock_system()) + i % 3 * MS / 10);
    }
}

static void test_no_wake_is_lost_in_a_storm(void **state)
{
    struct wr_sched *s = sched(2, 3, 1);
    struct stormy actors[STORMY] = {0};
    struct poster posters[POSTERS] = {0};
    struct wr_err e = {0};
    struct tally all;
    uint64_t taken = 0;

    (void)state;
    tally_init(&all);
    for (unsigned i = 0; i < STORMY; i++) {
        actors[i].actor = (struct wr_actor){
            .step = stormy_step, .lane = (enum wr_lane)(i % WR_LANE_MAX), .sched = s};
        actors[i].all = &all;
        T_OK(wr_sched_add(&actors[i].actor, &e));
    }
    for (unsigned i = 0; i < POSTERS; i++) {
        posters[i].actors = actors;
        posters[i].salt = i;
        T_OK(wr_thread_start(&posters[i].thread, "poster", 0, poster_main, &posters[i], &e));
    }
    for (unsigned i = 0; i < POSTERS; i++)
        wr_thread_join(&posters[i].thread);
    T(tally_reach(&all, ALL_POSTS));
    for (unsigned i = 0; i < STORMY; i++) {
        wr_sched_remove(&actors[i].actor);
        taken += actors[i].taken;
        T(!atomic_load(&actors[i].broken));
    }
    T(taken == ALL_POSTS);
    wr_sched_free(s);
    tally_release(&all);
}

/* An actor that counts its steps and can be told to stay in one. */

struct counter {
    struct wr_actor actor;
    struct tally *entered;
    struct tally *gate; /* NULL: go on at once */
    uint64_t gate_at;
    int64_t period_ns;      /* 0: idle after the step */
    struct counter *shared; /* whose crowd it belongs to; NULL: none */
    atomic_uint crowd;      /* how many of them are in their steps */
    atomic_uint crowd_max;
    bool until_cancel; /* stay until canceled */
    atomic_bool left;
};

static struct wr_next counter_step(struct wr_actor *a, struct wr_call *c)
{
    struct counter *n = wr_container_of(a, struct counter, actor);

    if (n->shared) {
        unsigned crowd = atomic_fetch_add(&n->shared->crowd, 1) + 1;
        unsigned seen = atomic_load(&n->shared->crowd_max);

        while (crowd > seen && !atomic_compare_exchange_weak(&n->shared->crowd_max, &seen, crowd))
            ;
    }
    atomic_store(&n->left, false);
    tally_add(n->entered, 1);
    if (n->gate)
        (void)tally_reach(n->gate, n->gate_at);
    if (n->until_cancel)
        (void)wr_cancel_wait(c->cancel, PATIENT / MS);
    atomic_store(&n->left, true);
    if (n->shared)
        atomic_fetch_sub(&n->shared->crowd, 1);
    if (n->period_ns)
        return (struct wr_next){.when = WR_NEXT_AT, .at_ns = wr_mono_ns(c->clock) + n->period_ns};
    return (struct wr_next){.when = WR_NEXT_IDLE};
}

static void counter_add(struct counter *n, struct wr_sched *s, enum wr_lane lane, struct tally *t)
{
    struct wr_err e = {0};

    n->actor = (struct wr_actor){.step = counter_step, .lane = lane, .sched = s};
    n->entered = t;
    T_OK(wr_sched_add(&n->actor, &e));
}

static void test_no_thread_before_the_first_wake(void **state)
{
    struct wr_sched *s = sched(0, 0, 0);
    struct counter a = {0};
    struct tally t;
    unsigned threads;
    uint64_t switches;

    (void)state;
    tally_init(&t);
    counter_add(&a, s, WR_LANE_NET, &t);
    count_threads(&threads, &switches);
    T(threads == 0);
    wr_sched_wake(&a.actor);
    T(tally_reach(&t, 1));
    count_threads(&threads, &switches);
    T(threads == 1);
    wr_sched_free(s); /* `a` is idle and was not removed */
    tally_release(&t);
}

static void test_idle_makes_no_switch(void **state)
{
    struct wr_sched *s = sched(2, 2, 1);
    struct counter a[6] = {0};
    struct tally t;
    unsigned threads;
    unsigned threads_after;
    uint64_t switches;
    uint64_t switches_after;
    bool still = false;

    (void)state;
    tally_init(&t);
    for (unsigned i = 0; i < wr_countof(a); i++) {
        counter_add(&a[i], s, (enum wr_lane)(i % WR_LANE_MAX), &t);
        wr_sched_wake(&a[i].actor);
    }
    /* A timer far away is minded by one thread, without a look in between. */
    wr_sched_wake_at(&a[0].actor, wr_mono_ns(wr_clock_system()) + PATIENT);
    T(tally_reach(&t, wr_countof(a)));
    /* On a busy machine they may take a while to lie down; what wakes now and then never stops. */
    for (unsigned i = 0; i < 10 && !still; i++) {
        count_threads(&threads, &switches);
        t_sleep_ms(300);
        count_threads(&threads_after, &switches_after);
        still = threads_after == threads && switches_after == switches;
    }
    T(still);
    T(threads >= 3);
    wr_sched_free(s);
    tally_release(&t);
}

static void test_lanes_do_not_wait_for_each_other(void **state)
{
    struct wr_sched *s = sched(2, 4, 2);
    struct counter bulk[5] = {0};
    struct counter net = {0};
    struct counter local = {0};
    struct tally in_bulk;
    struct tally in_net;
    struct tally in_local;
    struct tally gate;

    (void)state;
    tally_init(&in_bulk);
    tally_init(&in_net);
    tally_init(&in_local);
    tally_init(&gate);
    for (unsigned i = 0; i < wr_countof(bulk); i++) {
        counter_add(&bulk[i], s, WR_LANE_BULK, &in_bulk);
        bulk[i].gate = &gate;
        bulk[i].gate_at = 1;
        bulk[i].shared = &bulk[0];
    }
    counter_add(&net, s, WR_LANE_NET, &in_net);
    counter_add(&local, s, WR_LANE_LOCAL, &in_local);
    for (unsigned i = 0; i < wr_countof(bulk); i++)
        wr_sched_wake(&bulk[i].actor);
    T(tally_reach(&in_bulk, 2));
    /* All of the bulk lane is held and its queue is long: the others run, timers too. */
    wr_sched_wake(&net.actor);
    T(tally_reach(&in_net, 1));
    local.period_ns = MS;
    wr_sched_wake_at(&local.actor, wr_mono_ns(wr_clock_system()) + MS);
    T(tally_reach(&in_local, 5));
    /* Even those that come after one for the full lane. */
    wr_sched_wake_at(&bulk[0].actor, wr_mono_ns(wr_clock_system()) + MS);
    wr_sched_wake_at(&net.actor, wr_mono_ns(wr_clock_system()) + 2 * MS);
    T(tally_reach(&in_net, 2));
    T(atomic_load(&bulk[0].crowd_max) == 2); /* both threads, and no more than allowed */
    tally_add(&gate, 1);
    T(tally_reach(&in_bulk, wr_countof(bulk) + 1));
    T(atomic_load(&bulk[0].crowd_max) == 2);
    wr_sched_free(s);
    tally_release(&in_bulk);
    tally_release(&in_net);
    tally_release(&in_local);
    tally_release(&gate);
}

static void test_a_timer_is_minded_when_its_minder_runs_a_step(void **state)
{
    struct wr_sched *s = sched(2, 1, 1);
    struct counter held = {0};
    struct counter timed = {0};
    struct tally in_held;
    struct tally in_timed;
    struct tally gate;
    int64_t now_ns = wr_mono_ns(wr_clock_system());

    (void)state;
    tally_init(&in_held);
    tally_init(&in_timed);
    tally_init(&gate);
    counter_add(&held, s, WR_LANE_LOCAL, &in_held);
    counter_add(&timed, s, WR_LANE_LOCAL, &in_timed);
    held.gate = &gate;
    held.gate_at = 1;
    /* One thread waits for both; the first keeps it. */
    wr_sched_wake_at(&timed.actor, now_ns + 4 * MS);
    wr_sched_wake_at(&held.actor, now_ns + 2 * MS);
    T(tally_reach(&in_held, 1));
    T(tally_reach(&in_timed, 1));
    tally_add(&gate, 1);
    wr_sched_free(s);
    tally_release(&in_held);
    tally_release(&in_timed);
    tally_release(&gate);
}

/* Opens the gate after a while, if the other thread has done its worst by then or not. */
static void open_later(void *arg)
{
    t_sleep_ms(20);
    tally_add(arg, 1);
}

static void test_remove_waits_for_the_running_step(void **state)
{
    struct wr_sched *s = sched(0, 0, 0);
    struct counter a = {0};
    struct wr_thread opener;
    struct wr_err e = {0};
    struct tally t;
    struct tally gate;

    (void)state;
    tally_init(&t);
    tally_init(&gate);
    counter_add(&a, s, WR_LANE_LOCAL, &t);
    a.gate = &gate;
    a.gate_at = 1;
    a.period_ns = 1;
    wr_sched_wake(&a.actor);
    T(tally_reach(&t, 1));
    wr_sched_wake(&a.actor); /* it is to run once more, and must not */
    T(!wr_actor_is_current(&a.actor));
    T_OK(wr_thread_start(&opener, "opener", 0, open_later, &gate, &e));
    wr_sched_remove(&a.actor);
    T(atomic_load(&a.left));
    wr_thread_join(&opener);
    memset(&a, 0xee, sizeof(a)); /* its memory is ours again */
    wr_sched_free(s);
    T(t.n == 1);
    tally_release(&t);
    tally_release(&gate);
}

static void test_removal_while_wakes_arrive(void **state)
{
    struct wr_sched *s = sched(2, 2, 1);
    struct counter steady = {0};
    struct tally t;

    (void)state;
    tally_init(&t);
    counter_add(&steady, s, WR_LANE_LOCAL, &t);
    steady.period_ns = 1;
    wr_sched_wake(&steady.actor);
    for (unsigned i = 0; i < 3000; i++) {
        struct counter brief = {0};

        counter_add(&brief, s, (enum wr_lane)(i % WR_LANE_MAX), &t);
        brief.period_ns = i % 2;
        if (i % 3)
            wr_sched_wake(&brief.actor);
        else
            wr_sched_wake_at(&brief.actor, 1);
        wr_sched_remove(&brief.actor);
        memset(&brief, 0xee, sizeof(brief));
    }
    wr_sched_remove(&steady.actor);
    wr_sched_free(s);
    tally_release(&t);
}

static void test_free_cancels_and_waits_for_running_steps(void **state)
{
    struct wr_sched *s = sched(1, 1, 1);
    struct counter a[5] = {0};
    struct counter queued = {0};
    struct tally t;

    (void)state;
    tally_init(&t);
    for (unsigned i = 0; i < wr_countof(a); i++) {
        counter_add(&a[i], s, (enum wr_lane)(i % WR_LANE_MAX), &t);
        a[i].until_cancel = true;
        a[i].period_ns = 1; /* would like to run for ever */
        wr_sched_wake(&a[i].actor);
    }
    T(tally_reach(&t, wr_countof(a)));
    counter_add(&queued, s, WR_LANE_LOCAL, &t);
    wr_sched_wake(&queued.actor); /* behind the held ones: never runs */
    wr_sched_free(s);
    for (unsigned i = 0; i < wr_countof(a); i++)
        T(atomic_load(&a[i].left));
    T(t.n == wr_countof(a));
    tally_release(&t);
}

static void test_cancel_reaches_running_and_later_steps(void **state)
{
    struct wr_sched *s = sched(0, 0, 0);
    struct counter a = {0};
    struct tally t;

    (void)state;
    tally_init(&t);
    counter_add(&a, s, WR_LANE_NET, &t);
    a.until_cancel = true;
    wr_sched_wake(&a.actor);
    T(tally_reach(&t, 1));
    wr_sched_cancel(s);
    wr_sched_wake(&a.actor);
    T(tally_reach(&t, 2)); /* the first has ended, the second ends at once */
    wr_sched_remove(&a.actor);
    wr_sched_free(s);
    tally_release(&t);
}

static void test_a_refused_thread_is_tried_again(void **state)
{
    struct wr_sched *s = sched(0, 0, 0);
    struct counter a = {0};
    struct tally t;

    (void)state;
    tally_init(&t);
    counter_add(&a, s, WR_LANE_LOCAL, &t);
    wr_mem_fail_after(0);
    wr_sched_wake(&a.actor);
    T(wr_mem_fault_fired());
    wr_mem_fail_after(-1);
    T(t.n == 0);
    wr_sched_wake(&a.actor); /* it is queued already, and yet: */
    T(tally_reach(&t, 1));
    wr_sched_free(s);
    tally_release(&t);
}

static enum wr_status sweep_body(void *arg)
{
    struct wr_sched *s = NULL;
    struct wr_err e = {0};
    enum wr_status st = wr_sched_new(&(struct wr_sched_opts){.threads_max = {1, 1, 1}}, &s, &e);

    (void)arg;
    if (st != WR_OK)
        return st;
    wr_sched_free(s);
    return WR_OK;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    t_sweep_nomem(sweep_body, NULL);
}

T_MAIN(T_TEST(test_no_wake_is_lost_in_a_storm), T_TEST(test_no_thread_before_the_first_wake),
    T_TEST(test_idle_makes_no_switch), T_TEST(test_lanes_do_not_wait_for_each_other),
    T_TEST(test_a_timer_is_minded_when_its_minder_runs_a_step),
    T_TEST(test_remove_waits_for_the_running_step), T_TEST(test_removal_while_wakes_arrive),
    T_TEST(test_free_cancels_and_waits_for_running_steps),
    T_TEST(test_cancel_reaches_running_and_later_steps),
    T_TEST(test_a_refused_thread_is_tried_again), T_TEST(test_out_of_memory))
