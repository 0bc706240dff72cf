/*
 * test_cancel.c - a token wakes what waits, once, and never after it was told to forget it.
 */
#include "base/cancel.h"

#include "base/clock.h"
#include "base/rand.h"
#include "harness/t.h"

#include <sched.h>

struct counted {
    struct wr_waker waker;
    int woken;
};

static void count(struct wr_waker *w)
{
    wr_container_of(w, struct counted, waker)->woken++;
}

static void test_flag(void **state)
{
    struct wr_cancel c;

    (void)state;
    wr_cancel_init(&c);
    T(!wr_cancel_is(&c));
    wr_cancel_now(&c);
    T(wr_cancel_is(&c));
    wr_cancel_now(&c);
    T(wr_cancel_is(&c));
    wr_cancel_release(&c);
    T(!wr_cancel_is(NULL));
}

static void test_wakers(void **state)
{
    struct counted a = {.waker.wake = count};
    struct counted b = {.waker.wake = count};
    struct counted gone = {.waker.wake = count};
    struct counted late = {.waker.wake = count};
    struct wr_cancel c;

    (void)state;
    wr_cancel_init(&c);
    wr_cancel_add(&c, &a.waker);
    wr_cancel_add(&c, &gone.waker);
    wr_cancel_add(&c, &b.waker);
    wr_cancel_remove(&c, &gone.waker);
    T(a.woken == 0 && b.woken == 0);
    wr_cancel_now(&c);
    wr_cancel_now(&c);
    T(a.woken == 1 && b.woken == 1 && gone.woken == 0);
    wr_cancel_add(&c, &late.waker); /* too late to wait: woken at once */
    T(late.woken == 1);
    wr_cancel_remove(&c, &a.waker);
    wr_cancel_remove(&c, &b.waker);
    wr_cancel_remove(&c, &late.waker);
    wr_cancel_release(&c);

    wr_cancel_add(NULL, &a.waker); /* a call that cannot be canceled */
    wr_cancel_remove(NULL, &a.waker);
    T(a.woken == 1);
}

static void test_wakers_in_any_order(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 500; round++) {
        struct counted w[8];
        bool in[8] = {0};
        struct wr_cancel c;

        wr_cancel_init(&c);
        for (size_t i = 0; i < wr_countof(w); i++)
            w[i] = (struct counted){.waker.wake = count};
        for (int op = 0; op < 20; op++) {
            size_t i = wr_rand_below(&r, wr_countof(w));

            if (in[i])
                wr_cancel_remove(&c, &w[i].waker);
            else
                wr_cancel_add(&c, &w[i].waker);
            in[i] = !in[i];
        }
        wr_cancel_now(&c);
        for (size_t i = 0; i < wr_countof(w); i++) {
            T(w[i].woken == in[i]);
            if (in[i])
                wr_cancel_remove(&c, &w[i].waker);
        }
        wr_cancel_release(&c);
    }
}

static void test_wait_ends_in_time(void **state)
{
    const struct wr_clock *clock = wr_clock_system();
    int64_t before_ns = wr_mono_ns(clock);
    struct wr_cancel c;

    (void)state;
    wr_cancel_init(&c);
    T(!wr_cancel_wait(&c, 0));
    T(!wr_cancel_wait(&c, -5));
    T(!wr_cancel_wait(&c, INT64_MIN));
    T(!wr_cancel_wait(&c, 2));
    T(wr_mono_ns(clock) - before_ns >= 2000000);
    wr_cancel_now(&c);
    T(wr_cancel_wait(&c, 0));
    T(wr_cancel_wait(&c, INT64_MAX)); /* at once */
    wr_cancel_release(&c);
}

struct sleeper {
    struct wr_cancel *c;
    atomic_int *arrived;
    bool canceled;
};

static void sleep_long(void *arg)
{
    struct sleeper *s = arg;

    atomic_fetch_add(s->arrived, 1);
    s->canceled = wr_cancel_wait(s->c, INT64_MAX);
}

static void test_cancel_wakes_sleepers(void **state)
{
    struct wr_cancel c;
    struct sleeper s[3];
    atomic_int arrived = 0;
    struct wr_thread threads[3];
    struct wr_err e = {0};

    (void)state;
    wr_cancel_init(&c);
    for (int i = 0; i < 3; i++) {
        s[i] = (struct sleeper){.c = &c, .arrived = &arrived};
        T_OK(wr_thread_start(&threads[i], "sleeper", 0, sleep_long, &s[i], &e));
    }
    /* Give them the time to fall asleep, without which a broadcast is not needed; the test holds
     * either way. */
    while (atomic_load(&arrived) < 3)
        (void)sched_yield();
    for (int i = 0; i < 1000; i++)
        (void)sched_yield();
    wr_cancel_now(&c);
    for (int i = 0; i < 3; i++) {
        wr_thread_join(&threads[i]);
        T(s[i].canceled);
    }
    wr_cancel_release(&c);
}

/* A waiter asks wr_cancel_is under its own lock, which its waker takes: were the question to take
 * the token's lock, the two threads would each hold what the other wants. */
struct waiter {
    struct wr_waker waker;
    struct wr_mutex m;
    struct wr_cond c;
    struct wr_cancel *cancel;
};

static void rouse(struct wr_waker *w)
{
    struct waiter *x = wr_container_of(w, struct waiter, waker);

    wr_mutex_lock(&x->m);
    wr_cond_broadcast(&x->c);
    wr_mutex_unlock(&x->m);
}

static void wait_for_cancel(void *arg)
{
    struct waiter *x = arg;

    wr_cancel_add(x->cancel, &x->waker);
    wr_mutex_lock(&x->m);
    while (!wr_cancel_is(x->cancel))
        wr_cond_wait(&x->c, &x->m);
    wr_mutex_unlock(&x->m);
    wr_cancel_remove(x->cancel, &x->waker);
}

static void test_waiters_may_ask_under_their_lock(void **state)
{
    struct wr_err e = {0};

    (void)state;
    for (int round = 0; round < 200; round++) {
        struct wr_cancel c;
        struct wr_thread t;
        struct waiter x = {.waker.wake = rouse, .cancel = &c};

        wr_cancel_init(&c);
        wr_mutex_init(&x.m);
        wr_cond_init(&x.c);
        T_OK(wr_thread_start(&t, "waiter", 0, wait_for_cancel, &x, &e));
        wr_cancel_now(&c);
        wr_thread_join(&t);
        wr_cond_release(&x.c);
        wr_mutex_release(&x.m);
        wr_cancel_release(&c);
    }
}

/* Wakers live on the stack of a thread that adds and removes while another cancels: after remove
 * nothing touches them, which the sanitizers watch. */
static void add_and_remove(void *arg)
{
    for (int i = 0; i < 300; i++) {
        struct counted w = {.waker.wake = count};

        wr_cancel_add(arg, &w.waker);
        wr_cancel_remove(arg, &w.waker);
        w.woken = -1;
    }
}

static void test_remove_is_final(void **state)
{
    struct wr_cancel c;
    struct wr_thread threads[3];
    struct wr_err e = {0};

    (void)state;
    wr_cancel_init(&c);
    for (int i = 0; i < 3; i++)
        T_OK(wr_thread_start(&threads[i], "adder", 0, add_and_remove, &c, &e));
    wr_cancel_now(&c);
    for (int i = 0; i < 3; i++)
        wr_thread_join(&threads[i]);
    T(c.wakers == NULL);
    wr_cancel_release(&c);
}

T_MAIN(T_TEST(test_flag), T_TEST(test_wakers), T_TEST(test_wakers_in_any_order),
    T_TEST(test_wait_ends_in_time), T_TEST(test_cancel_wakes_sleepers),
    T_TEST(test_waiters_may_ask_under_their_lock), T_TEST(test_remove_is_final))
