/*
 * test_sched.c - the scheduler in manual mode: order, timers, removal, and a model of all of it.
 */
#include "base/mem.h"
#include "harness/t.h"
#include "run/sched.h"

#define MS INT64_C(1000000)

/* An actor that does as told and notes when it ran. */
struct puppet {
    struct wr_actor actor;
    /* What to do, beside returning `next`. */
    struct puppet *wakes;
    int64_t wake_self_at_ns; /* 0: not */
    size_t scratch_size;
    struct wr_next next;
    unsigned wakes_self;
    /* What it found. */
    unsigned runs;
    struct wr_call call;
    size_t scratch_used;
    bool was_current, other_was_current, was_canceled;
};

/* The puppets in the order in which they ran. */
static struct {
    const struct puppet *who[64];
    size_t n;
} ran;

static struct wr_next puppet_step(struct wr_actor *a, struct wr_call *c)
{
    struct puppet *p = wr_container_of(a, struct puppet, actor);

    T(ran.n < wr_countof(ran.who));
    ran.who[ran.n++] = p;
    p->runs++;
    p->call = *c;
    p->was_current = wr_actor_is_current(a);
    p->other_was_current = p->wakes && wr_actor_is_current(&p->wakes->actor);
    p->was_canceled = wr_cancel_is(c->cancel);
    p->scratch_used = c->scratch->used;
    if (p->scratch_size) {
        unsigned char *bytes = wr_arena_alloc(c->scratch, p->scratch_size);

        T(bytes);
        memset(bytes, 1, p->scratch_size);
    }
    for (; p->wakes_self; p->wakes_self--)
        wr_sched_wake(a);
    if (p->wake_self_at_ns)
        wr_sched_wake_at(a, p->wake_self_at_ns);
    p->wake_self_at_ns = 0;
    if (p->wakes)
        wr_sched_wake(&p->wakes->actor);
    return p->next;
}

static struct puppet puppet(struct wr_sched *s, enum wr_lane lane)
{
    ran.n = 0;
    return (struct puppet){.actor = {.step = puppet_step, .lane = lane, .sched = s}};
}

static struct wr_sched *manual_sched(struct wr_clock_manual *clock)
{
    struct wr_sched *s = NULL;
    struct wr_err e = {0};

    wr_clock_manual_init(clock, 0);
    T_OK(wr_sched_new(&(struct wr_sched_opts){.clock = &clock->clock, .manual = true}, &s, &e));
    return s;
}

static void test_wakes_run_in_order_across_lanes(void **state)
{
    struct wr_clock_manual clock;
    struct wr_sched *s = manual_sched(&clock);
    struct puppet a = puppet(s, WR_LANE_BULK);
    struct puppet b = puppet(s, WR_LANE_LOCAL);
    struct puppet c = puppet(s, WR_LANE_NET);
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_sched_add(&b.actor, &e));
    T_OK(wr_sched_add(&a.actor, &e));
    T_OK(wr_sched_add(&c.actor, &e));
    T(wr_sched_pump(s, 10) == WR_NEVER); /* added, not woken */
    T(ran.n == 0);
    wr_sched_wake(&c.actor);
    wr_sched_wake(&a.actor);
    wr_sched_wake(&c.actor); /* coalesces, keeps its place */
    wr_sched_wake(&b.actor);
    T(wr_sched_pump(s, 10) == WR_NEVER);
    T(ran.n == 3);
    T(ran.who[0] == &c && ran.who[1] == &a && ran.who[2] == &b);
    wr_sched_free(s); /* with idle actors */
}

static void test_pump_stops_at_steps_max(void **state)
{
    struct wr_clock_manual clock;
    struct wr_sched *s = manual_sched(&clock);
    struct puppet a = puppet(s, WR_LANE_LOCAL);
    struct puppet b = puppet(s, WR_LANE_LOCAL);
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_sched_add(&a.actor, &e));
    T_OK(wr_sched_add(&b.actor, &e));
    a.next.when = WR_NEXT_NOW;
    wr_sched_wake(&a.actor);
    wr_sched_wake(&b.actor);
    T(wr_sched_pump(s, 0) == 0);
    T(ran.n == 0);
    T(wr_sched_pump(s, 3) == 0);
    /* Again, but after the others had their turn. */
    T(ran.n == 3 && ran.who[0] == &a && ran.who[1] == &b && ran.who[2] == &a);
    a.next.when = WR_NEXT_IDLE;
    T(wr_sched_pump(s, 1) == WR_NEVER);
    wr_sched_wake_at(&b.actor, 5);
    T(wr_sched_pump(s, 0) == 5);
    wr_clock_manual_advance(&clock, 5);
    T(wr_sched_pump(s, 0) == 0); /* a due timer is a step that is left */
    T(b.runs == 1);
    T(wr_sched_pump(s, 1) == WR_NEVER);
    T(b.runs == 2);
    wr_sched_free(s);
}

static void test_wake_during_step_runs_once_more(void **state)
{
    struct wr_clock_manual clock;
    struct wr_sched *s = manual_sched(&clock);
    struct puppet a = puppet(s, WR_LANE_LOCAL);
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_sched_add(&a.actor, &e));
    a.wakes_self = 3;
    wr_sched_wake(&a.actor);
    T(wr_sched_pump(s, 10) == WR_NEVER);
    T(a.runs == 2);

    /* Woken beats a time: the step says anew, and what it said first is forgotten. */
    a.wakes_self = 1;
    a.next = (struct wr_next){.when = WR_NEXT_AT, .at_ns = 7 * MS};
    wr_sched_wake(&a.actor);
    T(wr_sched_pump(s, 1) == 0);
    a.next = (struct wr_next){.when = WR_NEXT_IDLE};
    T(wr_sched_pump(s, 10) == WR_NEVER);
    T(a.runs == 4);
    wr_sched_free(s);
}

static void test_own_time_ends_with_a_wake(void **state)
{
    struct wr_clock_manual clock;
    struct wr_sched *s = manual_sched(&clock);
    struct puppet a = puppet(s, WR_LANE_LOCAL);
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_sched_add(&a.actor, &e));
    a.next = (struct wr_next){.when = WR_NEXT_AT, .at_ns = 10 * MS};
    wr_sched_wake(&a.actor);
    T(wr_sched_pump(s, 10) == 10 * MS);
    /* A later time replaces the step's own: it has just said what it wants. */
    a.next.at_ns = 20 * MS;
    wr_sched_wake(&a.actor);
    T(wr_sched_pump(s, 10) == 20 * MS);
    wr_clock_manual_advance(&clock, 20 * MS - 1);
    T(wr_sched_pump(s, 10) == 20 * MS);
    T(a.runs == 2);
    wr_clock_manual_advance(&clock, 1);
    a.next.when = WR_NEXT_IDLE;
    T(wr_sched_pump(s, 10) == WR_NEVER);
    T(a.runs == 3);
    wr_sched_free(s);
}

static void test_wake_at_keeps_the_earliest_and_survives_steps(void **state)
{
    struct wr_clock_manual clock;
    struct wr_sched *s = manual_sched(&clock);
    struct puppet a = puppet(s, WR_LANE_LOCAL);
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_sched_add(&a.actor, &e));
    wr_sched_wake_at(&a.actor, WR_NEVER);
    T(wr_sched_pump(s, 10) == WR_NEVER);
    wr_sched_wake_at(&a.actor, 30 * MS);
    wr_sched_wake_at(&a.actor, 20 * MS);
    wr_sched_wake_at(&a.actor, 40 * MS);
    T(wr_sched_pump(s, 10) == 20 * MS);
    wr_sched_wake(&a.actor);
    T(wr_sched_pump(s, 10) == 20 * MS); /* IDLE: a wake_at already set stays */
    T(a.runs == 1);
    a.next = (struct wr_next){.when = WR_NEXT_AT, .at_ns = 50 * MS};
    wr_sched_wake(&a.actor);
    T(wr_sched_pump(s, 10) == 20 * MS); /* ... and does beside a later time of the step's */
    wr_clock_manual_advance(&clock, 20 * MS);
    a.next = (struct wr_next){.when = WR_NEXT_IDLE};
    a.wake_self_at_ns = 60 * MS; /* from within */
    T(wr_sched_pump(s, 10) == 60 * MS);
    T(a.runs == 3);
    wr_sched_wake_at(&a.actor, 1); /* past */
    T(wr_sched_pump(s, 10) == WR_NEVER);
    T(a.runs == 4);
    wr_sched_free(s);
}

static void test_timers_wake_by_time_then_by_add(void **state)
{
    struct wr_clock_manual clock;
    struct wr_sched *s = manual_sched(&clock);
    struct puppet p[4];
    struct wr_err e = {0};

    (void)state;
    for (size_t i = 0; i < wr_countof(p); i++) {
        p[i] = puppet(s, WR_LANE_LOCAL);
        T_OK(wr_sched_add(&p[i].actor, &e));
    }
    wr_sched_wake_at(&p[3].actor, 5);
    wr_sched_wake_at(&p[2].actor, 4);
    wr_sched_wake_at(&p[1].actor, 5);
    wr_clock_manual_advance(&clock, 6);
    wr_sched_wake(&p[0].actor); /* made before the pump sees the time: it goes first */
    T(wr_sched_pump(s, 10) == WR_NEVER);
    T(ran.n == 4);
    T(ran.who[0] == &p[0] && ran.who[1] == &p[2] && ran.who[2] == &p[1] && ran.who[3] == &p[3]);
    wr_sched_free(s);
}

static void count_record(void *arg, enum wr_log_level level, const char *msg,
    const struct wr_log_field *fields, size_t n)
{
    (void)level;
    (void)msg;
    (void)fields;
    (void)n;
    ++*(unsigned *)arg;
}

static void test_a_step_is_given_what_it_needs(void **state)
{
    struct wr_clock_manual clock;
    unsigned records = 0;
    struct wr_log log = {.sink = count_record, .arg = &records};
    struct wr_sched *s = NULL;
    struct wr_err e = {0};
    struct puppet a;
    struct puppet b;
    size_t live;

    (void)state;
    wr_clock_manual_init(&clock, 0);
    T_OK(wr_sched_new(
        &(struct wr_sched_opts){.clock = &clock.clock, .log = &log, .manual = true}, &s, &e));
    log.sink = NULL; /* it was copied */
    T(wr_sched_clock(s) == &clock.clock);
    wr_log(wr_sched_log(s), WR_ERROR, "test", WR_F_U64("n", 1));
    T(records == 1);

    a = puppet(s, WR_LANE_LOCAL);
    b = puppet(s, WR_LANE_LOCAL);
    T(!wr_actor_is_current(&a.actor)); /* not even added */
    T_OK(wr_sched_add(&a.actor, &e));
    T_OK(wr_sched_add(&b.actor, &e));
    live = wr_mem_live();
    a.scratch_size = 100000;
    a.wakes = &b;
    b.scratch_size = 10;
    wr_sched_wake(&a.actor);
    T(wr_sched_pump(s, 10) == WR_NEVER);
    T(a.was_current && !a.other_was_current && b.was_current);
    T(!wr_actor_is_current(&a.actor));
    T(a.call.clock == &clock.clock && a.call.log == wr_sched_log(s));
    T(a.call.deadline_ms == WR_NEVER && a.call.cancel && !a.was_canceled);
    T(b.runs == 1 && b.scratch_used == 0); /* reset after each step */
    T(wr_mem_live() == live);              /* and given back when there is nothing to do */

    wr_sched_cancel(s);
    wr_sched_cancel(s);
    wr_sched_wake(&b.actor);
    T(wr_sched_pump(s, 10) == WR_NEVER);
    T(b.runs == 2 && b.was_canceled); /* later ones too */
    wr_sched_free(s);
}

static struct wr_next moving_step(struct wr_actor *a, struct wr_call *c)
{
    struct wr_next next = puppet_step(a, c);

    if (a->lane == WR_LANE_NET)
        next = (struct wr_next){.when = WR_NEXT_MOVE, .to = WR_LANE_LONG};
    return next;
}

static void test_a_step_goes_on_in_another_lane(void **state)
{
    struct wr_clock_manual clock;
    struct wr_sched *s = manual_sched(&clock);
    struct puppet a = puppet(s, WR_LANE_NET);
    struct wr_err e = {0};

    (void)state;
    a.actor.step = moving_step;
    T_OK(wr_sched_add(&a.actor, &e));
    wr_sched_wake(&a.actor);
    T(wr_sched_pump(s, 1) == 0 && a.runs == 1);
    T(wr_sched_pump(s, 10) == WR_NEVER && a.runs == 2 && a.actor.lane == WR_LANE_LONG);
    wr_sched_wake(&a.actor); /* it stays there */
    T(wr_sched_pump(s, 10) == WR_NEVER && a.runs == 3);
    wr_sched_free(s);
}

static void test_defaults(void **state)
{
    struct wr_sched *s = NULL;
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_sched_new(&(struct wr_sched_opts){.manual = true}, &s, &e));
    T(wr_sched_clock(s) == wr_clock_system());
    wr_log(wr_sched_log(s), WR_ERROR, "silent", WR_F_U64("n", 1));
    T(wr_sched_pump(s, 1) == WR_NEVER);
    T(wr_sched_manual(s) && wr_sched_processors(s) == 1); /* whatever the machine has */
    wr_sched_free(s);
    T_OK(wr_sched_new(&(struct wr_sched_opts){0}, &s, &e));
    T(!wr_sched_manual(s) && wr_sched_processors(s) == wr_processors());
    T(wr_processors() >= 1);
    wr_sched_free(s);
    wr_sched_free(NULL);
}

static void test_removed_never_runs(void **state)
{
    struct wr_clock_manual clock;
    struct wr_sched *s = manual_sched(&clock);
    struct puppet a = puppet(s, WR_LANE_LOCAL);
    struct puppet b = puppet(s, WR_LANE_LOCAL);
    struct puppet c = puppet(s, WR_LANE_LOCAL);
    struct wr_err e = {0};
    size_t live = wr_mem_live();

    (void)state;
    T_OK(wr_sched_add(&a.actor, &e));
    T_OK(wr_sched_add(&b.actor, &e));
    T_OK(wr_sched_add(&c.actor, &e));
    wr_sched_wake(&a.actor);
    wr_sched_wake(&b.actor);
    wr_sched_wake_at(&c.actor, 5);
    wr_sched_remove(&a.actor); /* queued */
    wr_sched_remove(&c.actor); /* with a time */
    wr_sched_wake(&a.actor);   /* too late */
    wr_sched_wake_at(&a.actor, 1);
    wr_clock_manual_advance(&clock, 10);
    T(wr_sched_pump(s, 10) == WR_NEVER);
    T(ran.n == 1 && ran.who[0] == &b);

    T_OK(wr_sched_add(&a.actor, &e)); /* a new life, without the old wakes */
    T(wr_sched_pump(s, 10) == WR_NEVER);
    T(ran.n == 1);
    wr_sched_wake(&a.actor);
    T(wr_sched_pump(s, 10) == WR_NEVER);
    T(ran.n == 2);
    wr_sched_remove(&a.actor);
    wr_sched_remove(&b.actor);
    /* The timer heap keeps its room, one block; each actor's own is gone. */
    T(wr_mem_live() <= live + 1);
    wr_sched_free(s);
}

static enum wr_status sweep_body(void *arg)
{
    struct wr_clock_manual clock;
    struct wr_sched *s = NULL;
    struct puppet p[20];
    struct wr_err e = {0};
    size_t added = 0;
    enum wr_status st;

    (void)arg;
    wr_clock_manual_init(&clock, 0);
    st = wr_sched_new(&(struct wr_sched_opts){.clock = &clock.clock, .manual = true}, &s, &e);
    if (st != WR_OK) {
        T(e.code == st && e.text[0]);
        return st;
    }
    for (; added < wr_countof(p); added++) {
        p[added] = puppet(s, WR_LANE_LOCAL);
        st = wr_sched_add(&p[added].actor, &e);
        if (st != WR_OK)
            break;
        wr_sched_wake(&p[added].actor);
    }
    T(wr_sched_pump(s, 100) == WR_NEVER);
    T(ran.n <= added);
    for (size_t i = 0; i < added; i++) {
        T(p[i].runs == 1); /* one that failed to be added disturbs no other */
        wr_sched_remove(&p[i].actor);
    }
    wr_sched_free(s);
    return st;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    t_sweep_nomem(sweep_body, NULL);
}

T_MAIN(T_TEST(test_wakes_run_in_order_across_lanes), T_TEST(test_pump_stops_at_steps_max),
    T_TEST(test_wake_during_step_runs_once_more), T_TEST(test_own_time_ends_with_a_wake),
    T_TEST(test_wake_at_keeps_the_earliest_and_survives_steps),
    T_TEST(test_timers_wake_by_time_then_by_add), T_TEST(test_a_step_is_given_what_it_needs),
    T_TEST(test_a_step_goes_on_in_another_lane), T_TEST(test_defaults),
    T_TEST(test_removed_never_runs), T_TEST(test_out_of_memory))
