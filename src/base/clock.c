/*
 * clock.c - the system's two clocks, and one that only a test moves.
 */
#include "base/clock.h"

#define NS_PER_MS INT64_C(1000000)

static int64_t system_mono_ns(const struct wr_clock *c)
{
    struct timespec t = {0};
    int rc = clock_gettime(CLOCK_MONOTONIC, &t);

    (void)c;
    assert(rc == 0);
    (void)rc;
    return (int64_t)t.tv_sec * 1000 * NS_PER_MS + (int64_t)t.tv_nsec;
}

static int64_t system_wall_ms(const struct wr_clock *c)
{
    struct timespec t = {0};
    int rc = clock_gettime(CLOCK_REALTIME, &t);

    (void)c;
    assert(rc == 0);
    (void)rc;
    return (int64_t)t.tv_sec * 1000 + (int64_t)t.tv_nsec / NS_PER_MS;
}

const struct wr_clock *wr_clock_system(void)
{
    static const struct wr_clock clock = {.mono_ns = system_mono_ns, .wall_ms = system_wall_ms};

    return &clock;
}

int64_t wr_mono_ns(const struct wr_clock *c)
{
    return c->mono_ns(c);
}

int64_t wr_mono_ms(const struct wr_clock *c)
{
    return c->mono_ns(c) / NS_PER_MS;
}

int64_t wr_wall_ms(const struct wr_clock *c)
{
    return c->wall_ms(c);
}

/* The clock is the first member, so the cast needs no arithmetic and keeps its const. */
static const struct wr_clock_manual *manual_of(const struct wr_clock *c)
{
    static_assert(offsetof(struct wr_clock_manual, clock) == 0, "clock comes first");
    return (const struct wr_clock_manual *)(const void *)c;
}

static int64_t manual_mono_ns(const struct wr_clock *c)
{
    return manual_of(c)->mono_now_ns;
}

static int64_t manual_wall_ms(const struct wr_clock *c)
{
    return manual_of(c)->wall_now_ms;
}

void wr_clock_manual_init(struct wr_clock_manual *m, int64_t wall_ms)
{
    *m = (struct wr_clock_manual){
        .clock = {.mono_ns = manual_mono_ns, .wall_ms = manual_wall_ms},
        .wall_now_ms = wall_ms,
    };
}

void wr_clock_manual_advance(struct wr_clock_manual *m, int64_t ns)
{
    int64_t before_ms = m->mono_now_ns / NS_PER_MS;

    assert(ns >= 0);
    m->mono_now_ns += ns;
    /* By whole milliseconds of the monotonic clock, so that many small steps do not get lost. */
    m->wall_now_ms += m->mono_now_ns / NS_PER_MS - before_ms;
}
