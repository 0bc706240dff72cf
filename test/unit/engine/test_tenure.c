/*
 * test_tenure.c - whether a file that was sent counts, by the lease; above all the first one of a
 * replica that was emptied, and has kept the lease of its past.
 */
#include "engine/tenure.h"

#include "engine/layout.h"
#include "unit/engine/spy_store.h"

#define OURS   5
#define OTHERS 9

static const struct wr_ltx_file snapshot = {
    .level = WR_LEVEL_SNAPSHOT, .min = 1, .max = 1, .size = 1};

struct bucket {
    struct spy spy;
    struct wr_storage_ops ops;
    struct wr_storage *s;
    struct wr_tenure t;
};

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
    b->t = (struct wr_tenure){.storage = b->s, .log = t_call()->log, .label = "app.db"};
    put(b, snapshot.level, 1, 1);
    if (holder)
        take(b, holder);
    b->spy.reads = 0;
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
        wr_storage_close(b.s);
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
        wr_storage_close(b.s);
    }
}

static void test_who_has_a_file_there_keeps_the_lease(void **state)
{
    struct bucket b;

    (void)state;
    begin(&b, OTHERS);
    put(&b, 0, 2, 2);
    T(lost_to(&b, &snapshot, true) == 1 && holder(&b) == OTHERS);
    wr_storage_close(b.s);
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
    wr_storage_close(b.s);
}

T_MAIN(T_TEST(test_a_file_counts_as_long_as_nobody_else_has_the_lease),
    T_TEST(test_the_lease_of_an_emptied_replica_was_read_twice),
    T_TEST(test_who_has_a_file_there_keeps_the_lease), T_TEST(test_a_file_that_is_not_listed_yet))
