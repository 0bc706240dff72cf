/*
 * test_sched_model.c - the manual scheduler against a slow obvious model, in random lives.
 *
 * The real steps act at random and write down what they did. The model then runs the same pump by
 * itself: it says who must be next and at what time, compares, and repeats what was written down.
 */
#include "base/rand.h"
#include "harness/t.h"
#include "run/sched.h"

#define CASES      10000
#define OPS        40
#define ACTORS     6
#define ACTIONS    3
#define LOG_MAX    64
#define TIME_RANGE 20 /* small, so that times collide */

enum action_kind {
    ACT_WAKE,
    ACT_WAKE_AT,
    ACT_ADVANCE,
    ACT_REMOVE,
    ACT_ADD,
    ACT_MAX
};

struct action {
    enum action_kind kind;
    size_t whom;
    int64_t at_ns;
};

struct entry {
    size_t who;
    int64_t now_ns;
    struct action actions[ACTIONS];
    size_t count;
    struct wr_next next;
};

struct real_actor {
    struct wr_actor actor;
    size_t index;
    bool added;
};

struct model_actor {
    bool added, running, woken, queued;
    int64_t own_ns, wake_ns;
    unsigned seq;
};

static struct {
    struct wr_rand dice;
    struct wr_clock_manual clock;
    struct wr_sched *s;
    struct real_actor real[ACTORS];
    struct entry log[LOG_MAX];
    size_t log_count;

    struct model_actor model[ACTORS];
    int64_t model_now_ns;
    size_t queue[ACTORS];
    size_t queue_count;
    unsigned seq_next;
} w;

static struct action random_action(void)
{
    int64_t range = TIME_RANGE;
    int64_t at_ns = (int64_t)wr_rand_below(&w.dice, TIME_RANGE);
    struct action a = {
        .kind = (enum action_kind)wr_rand_below(&w.dice, ACT_MAX),
        .whom = (size_t)wr_rand_below(&w.dice, ACTORS),
    };

    if (a.kind == ACT_ADVANCE)
        a.at_ns = at_ns / 4; /* by how much */
    else
        a.at_ns = w.clock.mono_now_ns + at_ns - range / 4;
    return a;
}

/* False, and nothing done, where the contract forbids it. */
static bool real_act(const struct action *a)
{
    struct real_actor *r = &w.real[a->whom];
    struct wr_err e = {0};

    switch (a->kind) {
    case ACT_WAKE:
        wr_sched_wake(&r->actor);
        return true;
    case ACT_WAKE_AT:
        wr_sched_wake_at(&r->actor, a->at_ns);
        return true;
    case ACT_ADVANCE:
        wr_clock_manual_advance(&w.clock, a->at_ns);
        return true;
    case ACT_REMOVE:
        if (!r->added || wr_actor_is_current(&r->actor))
            return false;
        wr_sched_remove(&r->actor);
        r->added = false;
        return true;
    case ACT_ADD:
        if (r->added)
            return false;
        T_OK(wr_sched_add(&r->actor, &e));
        r->added = true;
        return true;
    case ACT_MAX:
        break;
    }
    return false;
}

static struct wr_next real_step(struct wr_actor *a, struct wr_call *c)
{
    struct real_actor *r = wr_container_of(a, struct real_actor, actor);
    struct entry *log = &w.log[w.log_count];
    size_t n = (size_t)wr_rand_below(&w.dice, ACTIONS + 1);

    T(w.log_count++ < LOG_MAX);
    *log = (struct entry){.who = r->index, .now_ns = wr_mono_ns(c->clock)};
    for (size_t i = 0; i < n; i++) {
        struct action act = random_action();

        if (real_act(&act))
            log->actions[log->count++] = act;
    }
    switch (wr_rand_below(&w.dice, 4)) {
    case 0:
        log->next.when = WR_NEXT_NOW;
        break;
    case 1:
        log->next.when = WR_NEXT_AT;
        log->next.at_ns = random_action().at_ns;
        break;
    default:
        log->next.when = WR_NEXT_IDLE;
        break;
    }
    return log->next;
}

static void model_queue(size_t i)
{
    w.model[i].queued = true;
    w.model[i].own_ns = WR_NEVER;
    w.queue[w.queue_count++] = i;
}

static void model_wake(size_t i)
{
    if (!w.model[i].added)
        return;
    if (w.model[i].running)
        w.model[i].woken = true;
    else if (!w.model[i].queued)
        model_queue(i);
}

static void model_act(const struct action *a)
{
    struct model_actor *m = &w.model[a->whom];
    size_t kept = 0;

    switch (a->kind) {
    case ACT_WAKE:
        model_wake(a->whom);
        break;
    case ACT_WAKE_AT:
        if (m->added)
            m->wake_ns = wr_min(m->wake_ns, a->at_ns);
        break;
    case ACT_ADVANCE:
        w.model_now_ns += a->at_ns;
        break;
    case ACT_REMOVE:
        *m = (struct model_actor){0};
        for (size_t i = 0; i < w.queue_count; i++) {
            if (w.queue[i] != a->whom)
                w.queue[kept++] = w.queue[i];
        }
        w.queue_count = kept;
        break;
    case ACT_ADD:
        *m = (struct model_actor){
            .added = true, .own_ns = WR_NEVER, .wake_ns = WR_NEVER, .seq = w.seq_next++};
        break;
    case ACT_MAX:
        break;
    }
}

/* The actor with the earliest time, ACTORS when none has one. */
static size_t model_next(int64_t *ret_ns)
{
    size_t best = ACTORS;

    *ret_ns = WR_NEVER;
    for (size_t i = 0; i < ACTORS; i++) {
        const struct model_actor *m = &w.model[i];
        int64_t at_ns = wr_min(m->own_ns, m->wake_ns);

        if (!m->added || at_ns == WR_NEVER)
            continue;
        if (at_ns < *ret_ns || (at_ns == *ret_ns && m->seq < w.model[best].seq)) {
            best = i;
            *ret_ns = at_ns;
        }
    }
    return best;
}

static void model_fire(void)
{
    int64_t at_ns;

    for (size_t i = model_next(&at_ns); at_ns <= w.model_now_ns; i = model_next(&at_ns)) {
        if (w.model[i].own_ns <= w.model_now_ns)
            w.model[i].own_ns = WR_NEVER;
        if (w.model[i].wake_ns <= w.model_now_ns)
            w.model[i].wake_ns = WR_NEVER;
        model_wake(i);
    }
}

static void model_step(const struct entry *log)
{
    size_t i = w.queue[0];
    struct model_actor *m = &w.model[i];

    w.queue_count--;
    memmove(w.queue, w.queue + 1, w.queue_count * sizeof(w.queue[0]));
    T(log->who == i);
    T(log->now_ns == w.model_now_ns);
    m->queued = false;
    m->running = true;
    for (size_t k = 0; k < log->count; k++)
        model_act(&log->actions[k]);
    m->running = false;
    if (m->woken || log->next.when == WR_NEXT_NOW)
        model_queue(i);
    else if (log->next.when == WR_NEXT_AT)
        m->own_ns = log->next.at_ns;
    m->woken = false;
}

static int64_t model_pump(unsigned steps_max)
{
    size_t done = 0;
    int64_t at_ns;

    for (; done < steps_max; done++) {
        model_fire();
        if (!w.queue_count)
            break;
        T(done < w.log_count);
        model_step(&w.log[done]);
    }
    T(done == w.log_count);
    model_fire();
    (void)model_next(&at_ns);
    return w.queue_count ? 0 : at_ns;
}

static void one_life(uint64_t seed)
{
    struct wr_err e = {0};

    memset(&w, 0, sizeof(w));
    wr_rand_init(&w.dice, seed);
    wr_clock_manual_init(&w.clock, 0);
    wr_clock_manual_advance(&w.clock, 1000); /* so that times in the past are positive */
    w.model_now_ns = 1000;
    T_OK(wr_sched_new(&(struct wr_sched_opts){.clock = &w.clock.clock, .manual = true}, &w.s, &e));
    for (size_t i = 0; i < ACTORS; i++)
        w.real[i] = (struct real_actor){
            .actor = {.step = real_step, .lane = (enum wr_lane)(i % WR_LANE_MAX), .sched = w.s},
            .index = i,
        };
    for (size_t op = 0; op < OPS; op++) {
        if (wr_rand_below(&w.dice, 4) == 0) {
            unsigned steps_max = (unsigned)wr_rand_below(&w.dice, 12);
            int64_t real_ns;

            w.log_count = 0;
            real_ns = wr_sched_pump(w.s, steps_max);
            T(model_pump(steps_max) == real_ns);
            T(w.model_now_ns == w.clock.mono_now_ns);
        } else {
            struct action a = random_action();

            if (real_act(&a))
                model_act(&a);
        }
    }
    wr_sched_free(w.s);
}

static void test_scheduler_is_what_the_model_says(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < CASES; i++)
        one_life(t_seed() + i);
}

T_MAIN(T_TEST(test_scheduler_is_what_the_model_says))
