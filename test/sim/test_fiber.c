/*
 * test_fiber.c - the simulated machine: fibers take turns by the tape, time is virtual, killed
 * processes do nothing more, and the same tape gives the same run.
 */
#include "harness/t.h"
#include "sim/child.h"
#include "sim/tape.h"

#include "base/clock.h"
#include "base/sync.h"

#include <unistd.h>

#define WORKERS 4
#define TURNS   20

static char order[WORKERS * TURNS + 1];
static size_t order_n;

static void worker(void *arg)
{
    for (int i = 0; i < TURNS; i++) {
        order[order_n++] = *(const char *)arg;
        sim_yield(1000);
    }
}

static void take_turns(void *arg)
{
    static const char names[] = "abcd";
    struct sim_fiber *f[WORKERS];
    struct sim_proc *p = sim_proc_new("p");

    for (size_t i = 0; i < WORKERS; i++)
        f[i] = sim_spawn(p, "worker", worker, (void *)(uintptr_t)&names[i]);
    for (size_t i = 0; i < WORKERS; i++)
        sim_join(f[i]);
    if (order_n != WORKERS * TURNS)
        sim_fail("somebody did not finish");
    if (arg && write(*(int *)arg, order, order_n) != (ssize_t)order_n)
        sim_fail("write");
}

static void run_order(uint64_t seed, char *ret)
{
    int fd[2];

    T(pipe(fd) == 0);
    child_run(seed, take_turns, &fd[1]);
    T(close(fd[1]) == 0);
    T(read(fd[0], ret, WORKERS * TURNS) == WORKERS * TURNS);
    T(close(fd[0]) == 0);
}

static void the_same_tape_gives_the_same_run(void **state)
{
    char first[WORKERS * TURNS], second[WORKERS * TURNS];
    int differ = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        char was[WORKERS * TURNS];

        memcpy(was, first, sizeof(was));
        run_order(seed, first);
        run_order(seed, second);
        T(memcmp(first, second, sizeof(first)) == 0);
        differ += seed > 1 && memcmp(was, first, sizeof(first)) != 0;
    }
    T(differ >= 20);
}

static void sleeper(void *arg)
{
    int64_t *at = arg;

    sim_sleep(*at);
    *at = sim_now_ns();
}

static void time_body(void *arg)
{
    struct sim_proc *p = sim_proc_new("p");
    int64_t a = 3000000000, b = 1000000000;
    struct sim_fiber *fa = sim_spawn(p, "a", sleeper, &a), *fb = sim_spawn(p, "b", sleeper, &b);

    (void)arg;
    sim_join(fb);
    if (b < 1000000000 || b > 1001000000 || a != 3000000000)
        sim_fail("b woke at the wrong time");
    sim_join(fa);
    if (a < 3000000000 || a > 3001000000 || wr_mono_ns(wr_clock_system()) != sim_now_ns())
        sim_fail("a woke at the wrong time");
}

static void time_passes_when_all_wait(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++)
        child_run(seed, time_body, NULL);
}

static struct sim_proc *exited;

static void note_exit(struct sim_proc *p)
{
    exited = p;
}

static void forever(void *arg)
{
    for (;;) {
        ++*(int *)arg;
        sim_sleep(1000000);
    }
}

static void kill_self(void *arg)
{
    (void)arg;
    sim_kill(sim_proc_current());
    sim_fail("the dead go on");
}

static void kill_body(void *arg)
{
    int turns = 0, then;
    struct sim_proc *p = sim_proc_new("p"), *q = sim_proc_new("q");
    struct sim_fiber *f = sim_spawn(p, "forever", forever, &turns);

    (void)arg;
    sim_at_exit(note_exit);
    sim_sleep(10000000);
    if (turns < 9)
        sim_fail("it did not run");
    sim_proc_cont(p); /* nothing to continue */
    if (sim_proc_stopped_until(p) != 0)
        sim_fail("it was not stopped");
    sim_proc_stop(p);
    then = turns;
    sim_sleep(10000000);
    if (turns != then || sim_proc_stopped_until(p) != SIM_NEVER)
        sim_fail("it was stopped and ran");
    sim_proc_cont(p);
    if (sim_proc_stopped_until(p) != sim_now_ns())
        sim_fail("it was continued now");
    sim_sleep(10000000);
    if (turns == then)
        sim_fail("it does not go on");
    sim_kill(p);
    then = turns;
    sim_sleep(10000000);
    if (turns != then || exited != p || sim_proc_alive(p))
        sim_fail("it was killed and ran");
    sim_join(f);
    f = sim_spawn(q, "self", kill_self, NULL);
    sim_join(f);
    if (exited != q)
        sim_fail("nobody heard of it");
}

static void killed_and_stopped_processes_do_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++)
        child_run(seed, kill_body, NULL);
}

static void deadlock_body(void *arg)
{
    struct sim_queue q = {0};

    (void)arg;
    (void)sim_wait(&q, SIM_NEVER);
}

static void a_deadlock_is_a_failure(void **state)
{
    (void)state;
    child_fails(1, deadlock_body, NULL, "waits for what never comes");
}

struct shared {
    struct wr_mutex mutex;
    struct wr_cond cond;
    int inside, sum;
};

static void adder(void *arg)
{
    struct shared *s = arg;

    for (int i = 0; i < 10; i++) {
        wr_mutex_lock(&s->mutex);
        if (s->inside++)
            sim_fail("two inside");
        sim_yield(1000);
        s->sum++;
        s->inside--;
        wr_cond_signal(&s->cond);
        wr_mutex_unlock(&s->mutex);
    }
}

static void threads_body(void *arg)
{
    struct shared s = {0};
    struct wr_thread t[3];
    struct wr_err e = {0};
    int64_t start;

    (void)arg;
    wr_mutex_init(&s.mutex);
    wr_cond_init(&s.cond);
    for (size_t i = 0; i < wr_countof(t); i++)
        if (wr_thread_start(&t[i], "adder", 0, adder, &s, &e) != WR_OK)
            sim_fail("%s", e.text);
    wr_mutex_lock(&s.mutex);
    while (s.sum < 30)
        wr_cond_wait(&s.cond, &s.mutex);
    start = sim_now_ns();
    if (wr_cond_wait_until(&s.cond, &s.mutex, start + 5000000) || sim_now_ns() < start + 5000000)
        sim_fail("the deadline came too early");
    wr_mutex_unlock(&s.mutex);
    for (size_t i = 0; i < wr_countof(t); i++)
        wr_thread_join(&t[i]);
    wr_cond_release(&s.cond);
    wr_mutex_release(&s.mutex);
}

static void the_products_threads_are_fibers(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++)
        child_run(seed, threads_body, NULL);
}

static void what_is_drawn_apart_changes_nothing_else(void **state)
{
    uint32_t alone[100], other = 0, same = 0;
    const uint32_t *all;
    size_t n;

    (void)state;
    tape_seed(7);
    for (size_t i = 0; i < wr_countof(alone); i++)
        alone[i] = tape_below(1000);
    tape_seed(7);
    for (size_t i = 0; i < wr_countof(alone); i++) {
        tape_apart(true);
        same += tape_below(1000) == alone[i];
        tape_apart(false);
        other += tape_below(1000) != alone[i];
    }
    all = tape_recorded(&n);
    T(other == 0 && same < 10 && n == 2 * wr_countof(alone) && all[1] == alone[0]);
}

static void a_cut_tape_ends_in_dull_choices(void **state)
{
    uint32_t played[3] = {5, 7, 1000003};
    const uint32_t *got;
    size_t n;

    (void)state;
    tape_play(played, 3);
    T(tape_below(10) == 5 && tape_below(1) == 0 && tape_below(10) == 7 && tape_below(10) == 3);
    T(tape_below(10) == 0 && !tape_chance(999) && tape_between(4, 900) == 4);
    got = tape_recorded(&n);
    T(n == 6 && got[0] == 5 && got[2] == 3);
    tape_seed(7);
    for (int i = 0; i < 10000; i++) {
        uint64_t x = tape_between(3, 20);

        T(x >= 3 && x <= 20 && tape_below(6) < 6);
    }
    T(tape_chance(1000) && !tape_chance(0));
}

T_MAIN(T_TEST(the_same_tape_gives_the_same_run), T_TEST(time_passes_when_all_wait),
    T_TEST(killed_and_stopped_processes_do_nothing), T_TEST(a_deadlock_is_a_failure),
    T_TEST(the_products_threads_are_fibers), T_TEST(a_cut_tape_ends_in_dull_choices),
    T_TEST(what_is_drawn_apart_changes_nothing_else))
