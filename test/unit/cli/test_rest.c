/*
 * test_rest.c - daemon/rest.h: when the watcher may rest, against a model that keeps all looks.
 */
#include "daemon/rest.h"

#include "base/rand.h"
#include "harness/t.h"

#define INTERVAL 5000
#define REST     (WR_REST_LOOKS * INTERVAL)
#define NS       INT64_C(1000000)

static struct wr_rest rest;
static int64_t now_ns;
static uint64_t told;
static bool deaf;

static void begin(bool hears)
{
    rest = (struct wr_rest){.interval_ms = INTERVAL, .hears = hears};
    now_ns = NS;
    told = 0;
}

/* One look, after the wait that the one before it said. */
static int64_t look(bool hint, bool moved, bool news, bool well)
{
    int64_t ms;

    told += hint;
    wr_rest_begin(&rest, told);
    wr_rest_saw(&rest, false, false);
    wr_rest_saw(&rest, moved, news);
    wr_rest_saw(&rest, false, false);
    ms = wr_rest_end(&rest, now_ns, well, &deaf);
    T(rest.rests == (ms != INTERVAL) && (ms == INTERVAL || ms == REST));
    now_ns += ms * NS;
    return ms;
}

static void until_it_rests(void)
{
    for (int i = 0; i < WR_REST_STILL; i++)
        T(look(false, false, false, true) == INTERVAL);
    T(look(false, false, false, true) == REST);
}

static void test_rests_after_some_looks_at_silence(void **state)
{
    (void)state;
    begin(true);
    until_it_rests();
    T(look(false, false, false, true) == REST);
    T(look(true, false, false, true) == INTERVAL); /* a hint ends it */
    until_it_rests();
    T(look(true, true, true, true) == INTERVAL);
    until_it_rests();
    T(look(false, true, false, true) == INTERVAL);
    until_it_rests();
    T(look(false, false, false, false) == INTERVAL);
    until_it_rests();
    T(!deaf && rest.deaf == 0);
    T(wr_rest_more_ms(INTERVAL) == REST - INTERVAL);
}

static void test_never_where_nobody_tells(void **state)
{
    (void)state;
    begin(false);
    for (int i = 0; i < 100; i++)
        T(look(false, false, false, true) == INTERVAL);
}

/* A hint may come a look later: it is not deaf then. */
static void test_a_late_hint(void **state)
{
    (void)state;
    begin(true);
    for (int i = 0; i < 10; i++) {
        until_it_rests();
        T(look(false, true, true, true) == INTERVAL);
        T(look(true, false, false, true) == INTERVAL);
        T(rest.deaf == 0);
    }
}

static void test_deaf_for_good(void **state)
{
    (void)state;
    begin(true);
    for (unsigned i = 1; i <= WR_REST_DEAF_MAX; i++) {
        until_it_rests();
        T(look(false, true, true, true) == INTERVAL && !deaf);
        T(look(false, false, false, true) == INTERVAL);
        T(rest.deaf == i && deaf == (i == WR_REST_DEAF_MAX)); /* told once */
        T(look(true, false, false, true) == INTERVAL);
    }
    for (int i = 0; i < 100; i++)
        T(look(false, false, false, true) == INTERVAL && !deaf);
}

/* It rests where the looks of the last seconds, and this one, saw nothing, and is not deaf. */
static void test_any_looks(void **state)
{
    enum {
        LOOKS = 400
    };
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 200; round++) {
        int64_t still_ns = 0;
        bool untold = false, rests = false;
        unsigned times = 0;

        begin(true);
        for (int i = 0; i < LOOKS; i++) {
            bool hint = wr_rand_below(&r, 20) == 0, news = wr_rand_below(&r, 30) == 0,
                 moved = news || wr_rand_below(&r, 60) == 0, well = wr_rand_below(&r, 90) != 0;
            bool was_untold = untold;
            int64_t at_ns = now_ns, ms = look(hint, moved, news, well);

            times += was_untold && !hint;
            untold = rests && news && !hint;
            if (hint || moved || untold || !well)
                still_ns = 0;
            else
                still_ns = still_ns ? still_ns : at_ns;
            rests = times < WR_REST_DEAF_MAX && still_ns &&
                    at_ns - still_ns >= WR_REST_STILL * INTERVAL * NS;
            T(ms == (rests ? REST : INTERVAL));
        }
    }
}

T_MAIN(T_TEST(test_rests_after_some_looks_at_silence), T_TEST(test_never_where_nobody_tells),
    T_TEST(test_a_late_hint), T_TEST(test_deaf_for_good), T_TEST(test_any_looks))
