/*
 * test_tenure.c - whether a file that was sent counts, by the lease; above all the first one of a
 * replica that was emptied, and has kept the lease of its past; and when it is asked for before
 * that which no name keeps out.
 */
#include "engine/tenure.h"

#include "engine/layout.h"
#include "unit/engine/spy_store.h"

#define WALL   INT64_C(1795373351761)
#define OURS   5
#define OTHERS 9

static const struct wr_ltx_file snapshot = {
    .level = WR_LEVEL_SNAPSHOT, .min = 1, .max = 1, .size = 1};

struct bucket {
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_storage *s;
    struct wr_tenure t;
    struct wr_clock_manual clock;
};

#define LASTS_MS ((int64_t)1000)

static void put(struct bucket *b, unsigned level, uint64_t min, uint64_t max)
{
    struct wr_call *c = t_call();
    struct wr_err e = {0};

    T_OK(wr_storage_put(b->s, c, wr_layout_ltx_key(c->scratch, b->s, level, min, max),
        (struct wr_bytes){(const uint8_t *)"x", 1}, NULL, &e));
}

static void take(struct bucket *b, uint64_t node)
{
    struct wr_lease_seen seen;
    struct wr_lease l;
    struct wr_err e = {0};

    T_OK(wr_lease_look(b->s, t_call(), &seen, &e));
    T_OK(wr_lease_take(b->s, t_call(), &seen, node, "host:/a", &l, &e));
}

/* Our snapshot is there. `holder` 0: nobody. */
static void begin(struct bucket *b, uint64_t holder)
{
    b->s = spy_open(&b->spy, &b->ops);
    wr_tenure_init(&b->t, b->s, t_call()->log, "app.db", LASTS_MS);
    wr_clock_manual_init(&b->clock, WALL);
    put(b, snapshot.level, 1, 1);
    if (holder)
        take(b, holder);
    b->spy.reads = 0;
}

static void end(struct bucket *b)
{
    wr_tenure_release(&b->t);
    wr_storage_close(b->s);
}

/* The epoch of who was promoted; 0: it counts. */
static uint64_t lost_to(struct bucket *b, const struct wr_ltx_file *f, bool first)
{
    struct wr_lease l;
    struct wr_err e = {0};

    T_OK(wr_tenure_confirm(&b->t, t_call(), f, OURS, first, &l, &e));
    return l.epoch;
}

static uint64_t holder(struct bucket *b)
{
    struct wr_lease_seen seen;
    struct wr_err e = {0};

    T_OK(wr_lease_look(b->s, t_call(), &seen, &e));
    return seen.lease.epoch ? seen.lease.node : 0;
}

static void test_a_file_counts_as_long_as_nobody_else_has_the_lease(void **state)
{
    const struct wr_ltx_file next = {.level = 0, .min = 2, .max = 2, .size = 1};
    const uint64_t holders[] = {0, OURS, OTHERS};

    (void)state;
    for (size_t i = 0; i < wr_countof(holders); i++) {
        struct bucket b;

        begin(&b, holders[i]);
        T(lost_to(&b, &snapshot, false) == (holders[i] == OTHERS));
        T(lost_to(&b, &next, false) == 0); /* its name tells */
        T(holder(&b) == holders[i]);
        end(&b);
    }
}

/* It was read twice where it is another one's. */
static void test_the_lease_of_an_emptied_replica_was_read_twice(void **state)
{
    const uint64_t holders[] = {0, OURS, OTHERS};

    (void)state;
    for (size_t i = 0; i < wr_countof(holders); i++) {
        struct bucket b;

        begin(&b, holders[i]);
        T(lost_to(&b, &snapshot, true) == 0);
        assert_int_equal(b.spy.reads, holders[i] ? 1 : 0);
        T(holder(&b) == (holders[i] ? OURS : 0));
        end(&b);
    }
}

static void test_who_has_a_file_there_keeps_the_lease(void **state)
{
    struct bucket b;

    (void)state;
    begin(&b, OTHERS);
    put(&b, 0, 2, 2);
    T(lost_to(&b, &snapshot, true) == 1 && holder(&b) == OTHERS);
    end(&b);
}

static void test_a_file_that_is_not_listed_yet(void **state)
{
    struct bucket b;
    struct wr_lease l;
    struct wr_err e = {0};

    (void)state;
    begin(&b, OTHERS);
    b.spy.hidden = "0000000000000001-";
    T_IS(WR_BUSY, wr_tenure_confirm(&b.t, t_call(), &snapshot, OURS, true, &l, &e));
    T(holder(&b) == OTHERS);
    end(&b);
}

/* As the first of two attempts, whose answer gets lost. */
static void take_first(void *arg, struct wr_call *c, struct wr_str key)
{
    struct bucket *b = arg;

    (void)c;
    if (!strstr(key.p, "lease.json"))
        return;
    b->spy.in_put = NULL;
    take(b, OURS);
}

/* Then it was ours at the next look, as if it had always been, and nobody looked behind it. */
static void test_who_had_no_answer_did_not_know_that_it_took_the_lease(void **state)
{
    struct bucket b;
    struct wr_lease l;
    struct wr_err e = {0};

    (void)state;
    begin(&b, 0);
    T(lost_to(&b, &snapshot, true) == 0 && !b.t.took);
    end(&b);
    begin(&b, OTHERS);
    b.spy.in_put = take_first;
    b.spy.arg = &b;
    T_IS(WR_BUSY, wr_tenure_confirm(&b.t, t_call(), &snapshot, OURS, true, &l, &e));
    T(holder(&b) == OURS);
    T(lost_to(&b, &snapshot, true) == 0 && b.t.took);
    end(&b);
}

/* ---- what no name keeps out ---- */

/* The epoch of who was promoted, as far as is known; 0: nobody. */
static uint64_t asks(struct bucket *b, bool now, enum wr_status expected)
{
    struct wr_call c = *t_call();
    struct wr_lease l;
    struct wr_err e = {0};

    c.clock = &b->clock.clock;
    b->spy.reads = 0;
    T_IS(expected, wr_tenure_holds(&b->t, &c, OURS, now, &l, &e));
    return l.epoch;
}

static uint64_t holds(struct bucket *b, enum wr_status expected)
{
    return asks(b, false, expected);
}

static void shown_now(struct bucket *b)
{
    wr_tenure_shown(&b->t, wr_tenure_moment(&b->clock.clock));
}

static void pass(struct bucket *b, int64_t ms)
{
    wr_clock_manual_advance(&b->clock, ms * 1000000);
}

/* Who sends without a pause asks nothing, and who has asked does not for as long again. */
static void test_the_lease_is_asked_for_when_it_was_not_shown_for_a_while(void **state)
{
    struct bucket b;

    (void)state;
    begin(&b, 0);
    T(holds(&b, WR_OK) == 0 && b.spy.reads == 1); /* it never was */
    for (int i = 0; i < 100; i++) {
        shown_now(&b);
        pass(&b, LASTS_MS - 1);
        T(holds(&b, WR_OK) == 0 && b.spy.reads == 0);
    }
    pass(&b, 1);
    T(holds(&b, WR_OK) == 0 && b.spy.reads == 1);
    pass(&b, LASTS_MS - 1);
    T(holds(&b, WR_OK) == 0 && b.spy.reads == 0);
    take(&b, OURS);
    pass(&b, 1);
    T(holds(&b, WR_OK) == 0 && b.spy.reads == 1);
    take(&b, OTHERS);
    T(holds(&b, WR_OK) == 0 && b.spy.reads == 0);
    pass(&b, LASTS_MS);
    T(holds(&b, WR_OK) == 2 && holds(&b, WR_OK) == 2 && b.spy.reads == 1);
    end(&b);
}

/* What was shown a moment ago may be from before a listing. */
static void test_whoever_has_listed_asks_again(void **state)
{
    struct bucket b;

    (void)state;
    begin(&b, 0);
    shown_now(&b);
    T(asks(&b, true, WR_OK) == 0 && b.spy.reads == 1);
    take(&b, OTHERS);
    T(holds(&b, WR_OK) == 0 && asks(&b, true, WR_OK) == 1);
    end(&b);
}

/* While a machine sleeps one of its clocks stands still: which, depends on how. */
static void test_either_clock_tells_that_time_has_passed(void **state)
{
    (void)state;
    for (int wall = 0; wall < 2; wall++) {
        struct bucket b;

        begin(&b, OTHERS);
        shown_now(&b);
        T(holds(&b, WR_OK) == 0);
        if (wall) {
            b.clock.wall_now_ms += LASTS_MS;
        } else {
            pass(&b, LASTS_MS);
            b.clock.wall_now_ms -= 3600000; /* it was set */
        }
        T(holds(&b, WR_OK) == 1);
        end(&b);
    }
}

/* An answer that is late tells of when it was asked for. */
static void test_what_was_shown_before_does_not_go_over_what_is_newer(void **state)
{
    struct wr_tenure_moment was;
    struct bucket b;

    (void)state;
    begin(&b, OTHERS);
    was = wr_tenure_moment(&b.clock.clock);
    pass(&b, LASTS_MS);
    shown_now(&b);
    wr_tenure_shown(&b.t, was);
    T(holds(&b, WR_OK) == 0 && b.spy.reads == 0);
    end(&b);
}

/* Out of reach, nothing is to be sent; but who may not read it, or finds it damaged, goes on as
 * ever. That was taken for an answer: a machine whose credentials had expired while it slept asked
 * for nothing in the half hour after it had got new ones. */
static void test_the_lease_is_not_to_be_had(void **state)
{
    const enum wr_status st[] = {WR_TIMEOUT, WR_BUSY, WR_CANCELED, WR_NOMEM, WR_AUTH, WR_CORRUPT};

    (void)state;
    for (size_t i = 0; i < wr_countof(st); i++) {
        bool passes = i < 4;
        struct bucket b;

        begin(&b, OTHERS);
        b.spy.fail_get = st[i];
        T(holds(&b, passes ? st[i] : WR_OK) == 0);
        b.spy.fail_get = WR_OK;
        T(holds(&b, WR_OK) == 1);
        end(&b);
    }
}

T_MAIN(T_TEST(test_a_file_counts_as_long_as_nobody_else_has_the_lease),
    T_TEST(test_the_lease_of_an_emptied_replica_was_read_twice),
    T_TEST(test_who_has_a_file_there_keeps_the_lease), T_TEST(test_a_file_that_is_not_listed_yet),
    T_TEST(test_who_had_no_answer_did_not_know_that_it_took_the_lease),
    T_TEST(test_the_lease_is_asked_for_when_it_was_not_shown_for_a_while),
    T_TEST(test_whoever_has_listed_asks_again),
    T_TEST(test_either_clock_tells_that_time_has_passed),
    T_TEST(test_what_was_shown_before_does_not_go_over_what_is_newer),
    T_TEST(test_the_lease_is_not_to_be_had))
