/*
 * test_seats.c - who sits, who waits, and who is asked to leave.
 */
#include "engine/seats.h"
#include "harness/t.h"
#include "run/sched.h"

struct one {
    struct wr_actor actor;
    struct wr_seat seat;
    unsigned woken;
};

static struct wr_clock_manual clock_of_test;
static struct wr_sched *sched;
static struct wr_seats seats;
static struct one all[20];

static struct wr_next step(struct wr_actor *a, struct wr_call *c)
{
    struct one *o = wr_container_of(a, struct one, actor);

    (void)c;
    o->woken++;
    return (struct wr_next){.when = WR_NEXT_IDLE};
}

static void begin(unsigned max)
{
    struct wr_sched_opts so = {.clock = &clock_of_test.clock, .manual = true};
    struct wr_err e = {0};

    wr_clock_manual_init(&clock_of_test, 0);
    T_OK(wr_sched_new(&so, &sched, &e));
    wr_seats_init(&seats, max);
    for (size_t i = 0; i < wr_countof(all); i++) {
        all[i] = (struct one){.actor = {.step = step, .lane = WR_LANE_LOCAL, .sched = sched}};
        all[i].seat.actor = &all[i].actor;
        T_OK(wr_sched_add(&all[i].actor, &e));
    }
}

/* Who was woken since the last time, as a string of letters. */
static const char *woken(void)
{
    static char text[wr_countof(all) + 1];
    size_t n = 0;

    (void)wr_sched_pump(sched, 1000);
    for (size_t i = 0; i < wr_countof(all); i++) {
        if (all[i].woken)
            text[n++] = (char)('a' + (int)i);
        all[i].woken = 0;
    }
    text[n] = '\0';
    return text;
}

static bool take(char who, bool waits)
{
    return wr_seats_take(&seats, &all[who - 'a'].seat, waits);
}

static void give(char who)
{
    wr_seats_give(&seats, &all[who - 'a'].seat);
}

static void end(void)
{
    for (size_t i = 0; i < wr_countof(all); i++) {
        wr_seats_give(&seats, &all[i].seat);
        wr_sched_remove(&all[i].actor);
    }
    wr_seats_release(&seats);
    wr_sched_free(sched);
}

static void test_seats_for_all(void **state)
{
    (void)state;
    begin(3);
    T(take('a', true) && take('b', false) && take('c', true));
    T(take('a', true)); /* it has one */
    T(seats.taken == 3 && !wr_seats_wanted(&seats));
    assert_string_equal(woken(), "");
    end();
}

static void test_the_queue_moves_up(void **state)
{
    (void)state;
    begin(2);
    T(take('a', true) && take('b', true));
    T(!take('c', true) && !take('d', true));
    T(wr_seats_wanted(&seats));
    assert_string_equal(woken(), "ab"); /* asked to leave */
    give('b');
    assert_string_equal(woken(), "cd"); /* it has a seat, and it is the first now */
    T(take('c', true) && !take('d', true) && wr_seats_wanted(&seats));
    (void)woken();
    give('d'); /* it needs none any more */
    T(!wr_seats_wanted(&seats));
    give('c');
    T(seats.taken == 1);
    assert_string_equal(woken(), "");
    end();
}

/* Nobody leaves: the first of the queue goes ahead when it asks again, and no other. */
static void test_nobody_waits_for_ever(void **state)
{
    (void)state;
    begin(1);
    T(take('a', true));
    T(!take('b', true) && !take('c', true));
    T(!take('c', true));
    (void)woken();
    T(take('b', true));
    T(seats.taken == 2);
    assert_string_equal(woken(), "abc"); /* two are asked to leave, and one is the first now */
    end();
}

/* They did, all of them at once: each was the first when it asked, and had asked before. */
static void test_one_at_a_time_goes_ahead(void **state)
{
    (void)state;
    begin(1);
    T(take('a', true));
    T(!take('b', true) && !take('c', true) && !take('d', true));
    T(wr_seats_is_first(&seats, &all[1].seat) && !wr_seats_is_first(&seats, &all[2].seat));
    T(take('b', true));
    T(wr_seats_is_first(&seats, &all[2].seat));
    T(!take('c', true));
    T(take('c', true));
    T(!take('d', true));
    T(seats.taken == 3);
    give('d'); /* it needs none any more */
    T(!wr_seats_is_first(&seats, &all[3].seat));
    end();
}

/* Only the first has to ask again; the next one is told when it is that. */
static void test_who_comes_to_be_the_first_is_told(void **state)
{
    (void)state;
    begin(1);
    T(take('a', true));
    T(!take('b', true) && !take('c', true));
    (void)woken();
    give('b');
    assert_string_equal(woken(), "c");
    give('c');
    assert_string_equal(woken(), "");
    end();
}

/* Somebody has left since it asked: the queue moves, so it waits on. */
static void test_a_queue_that_moves_is_waited_for(void **state)
{
    (void)state;
    begin(1);
    T(take('a', true));
    T(!take('b', true) && !take('c', true));
    give('a');
    T(take('b', true));
    T(!take('c', true));
    T(take('c', true));
    end();
}

static void test_who_cannot_wait_gets_one_more(void **state)
{
    (void)state;
    begin(1);
    T(take('a', true));
    T(take('b', false));
    T(seats.taken == 2 && wr_seats_wanted(&seats));
    assert_string_equal(woken(), "ab");
    give('a');
    T(!wr_seats_wanted(&seats));
    /* Even out of the queue. */
    T(!take('c', true));
    T(take('c', false));
    give('b');
    T(seats.taken == 1 && !wr_seats_wanted(&seats));
    end();
}

/* Those that have been quiet for longest are asked, and not all at once. */
static void test_who_is_asked_to_leave(void **state)
{
    (void)state;
    begin(12);
    for (char c = 'a'; c < 'a' + 12; c++)
        T(take(c, true));
    wr_seats_touch(&seats, &all[0].seat);
    wr_seats_touch(&seats, &all[15].seat); /* has none */
    T(!take('p', true));
    assert_string_equal(woken(), "bcdefghi");
    end();
}

T_MAIN(T_TEST(test_seats_for_all), T_TEST(test_the_queue_moves_up),
    T_TEST(test_nobody_waits_for_ever), T_TEST(test_one_at_a_time_goes_ahead),
    T_TEST(test_who_comes_to_be_the_first_is_told), T_TEST(test_a_queue_that_moves_is_waited_for),
    T_TEST(test_who_cannot_wait_gets_one_more), T_TEST(test_who_is_asked_to_leave))
