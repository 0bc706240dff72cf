/*
 * test_retry.c - net/retry.h: attempts, bounds of waits, deadline, cancel.
 */
#include "base/cancel.h"
#include "harness/t.h"
#include "net/retry.h"

static void only_transient_failures_are_repeated(void **state)
{
    (void)state;
    for (int st = WR_OK; st <= WR_INTERNAL; st++) {
        struct wr_retry r;
        wr_retry_init(&r, t_seed());
        r.base_ms = 0;
        bool again = wr_retry_again(&r, t_call(), (enum wr_status)st);
        T(again == (st == WR_BUSY || st == WR_TIMEOUT));
    }
}

static void attempts_run_out(void **state)
{
    struct wr_retry r;
    (void)state;
    for (unsigned max = 1; max <= 7; max++) {
        unsigned n = 1;
        wr_retry_init(&r, t_seed());
        r.attempts_max = max;
        r.base_ms = 0;
        while (wr_retry_again(&r, t_call(), WR_BUSY))
            n++;
        T(n == max);
        T(r.n == max);
        T(!wr_retry_again(&r, t_call(), WR_BUSY)); /* and stay so */
    }
}

static void defaults(void **state)
{
    struct wr_retry r;
    (void)state;
    wr_retry_init(&r, 1);
    T(r.attempts_max == 5 && r.base_ms == 100 && r.cap_ms == 10000 && r.n == 0);
}

/* A clock at which the deadline is `left_ms` away when it is first read, and past ever after: so a
 * wait is either refused (one reading) or begun and cut short (more), and never slept. */
struct probe {
    struct wr_clock clock;
    int64_t left_ms;
    int *readings;
};

#define PROBE_DEADLINE_MS 1000000

static int64_t probe_mono_ns(const struct wr_clock *clock)
{
    const struct probe *p = (const struct probe *)(const void *)clock;
    return (PROBE_DEADLINE_MS - (++*p->readings == 1 ? p->left_ms : 0)) * 1000000;
}

static bool is_refused(struct wr_retry r, int64_t left_ms)
{
    int readings = 0;
    struct probe p = {{.mono_ns = probe_mono_ns}, left_ms, &readings};
    struct wr_call *c = t_call();
    c->clock = &p.clock;
    c->deadline_ms = PROBE_DEADLINE_MS;
    T(!wr_retry_again(&r, c, WR_BUSY));
    T(readings > 0);
    return readings == 1;
}

/* How long the next wait of `r` would be: the longest time left that is refused. */
static int64_t wait_of(struct wr_retry r)
{
    int64_t low = 0, high = 2 * r.cap_ms;
    T(is_refused(r, low) && !is_refused(r, high));
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (is_refused(r, middle))
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Full jitter: every wait is below its bound, and the whole of the interval is used. */
static void waits_grow_and_are_capped(void **state)
{
    int64_t most[10] = {0}, least[10];
    (void)state;
    for (unsigned i = 0; i < 10; i++)
        least[i] = INT64_MAX;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct wr_retry r;
        wr_retry_init(&r, t_seed() + seed);
        r.attempts_max = 20;
        for (r.n = 0; r.n < 10; r.n++) {
            int64_t w = wait_of(r);
            T(w <= wr_min((int64_t)100 << r.n, (int64_t)10000));
            most[r.n] = wr_max(most[r.n], w);
            least[r.n] = wr_min(least[r.n], w);
        }
    }
    for (unsigned i = 0; i < 10; i++) {
        int64_t bound = wr_min((int64_t)100 << i, (int64_t)10000);
        T(most[i] > bound * 8 / 10 && least[i] < bound * 2 / 10);
    }
}

/* A bound near the end of its type must not overflow on the way to the cap. */
static void huge_bounds(void **state)
{
    struct wr_retry r;
    (void)state;
    wr_retry_init(&r, t_seed());
    r.attempts_max = 200;
    r.base_ms = INT64_MAX / 2 + 1;
    r.cap_ms = 50;
    for (r.n = 0; r.n < 150; r.n++)
        T(wait_of(r) <= 50);
}

static void seeds_differ(void **state)
{
    struct wr_retry a, b, same;
    (void)state;
    wr_retry_init(&a, 1);
    wr_retry_init(&same, 1);
    wr_retry_init(&b, 2);
    a.n = b.n = same.n = 3;
    T(wait_of(a) == wait_of(same));
    T(wait_of(a) != wait_of(b));
}

static void a_canceled_call_is_not_repeated(void **state)
{
    struct wr_retry r;
    struct wr_cancel canceled;
    struct wr_call *c = t_call();
    (void)state;
    wr_cancel_init(&canceled);
    wr_cancel_now(&canceled);
    c->cancel = &canceled;
    wr_retry_init(&r, t_seed());
    T(!wr_retry_again(&r, c, WR_BUSY));
    wr_cancel_release(&canceled);
}

T_MAIN(T_TEST(only_transient_failures_are_repeated), T_TEST(attempts_run_out), T_TEST(defaults),
    T_TEST(waits_grow_and_are_capped), T_TEST(huge_bounds), T_TEST(seeds_differ),
    T_TEST(a_canceled_call_is_not_repeated))
