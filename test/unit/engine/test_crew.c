/*
 * test_crew.c - every piece once, by workers that keep out of each other's way; the first failure.
 */
#include "engine/crew.h"

#include "base/sync.h"
#include "harness/t.h"

#define PIECES 1000

struct job {
    struct wr_mutex mutex; /* guards what follows */
    unsigned done[PIECES];
    size_t handed_out, last; /* pieces begun; the greatest */
    bool busy[WR_CREW_MAX];
    size_t fail_at; /* this piece fails; PIECES: none */
    struct wr_cancel *cancel;
};

static enum wr_status piece(void *arg, unsigned w, size_t i, struct wr_call *c, struct wr_err *e)
{
    struct job *j = arg;
    void *p = wr_arena_alloc(c->scratch, (size_t)1 << 20); /* the arena is ours, and emptied */
    bool bad;

    wr_mutex_lock(&j->mutex);
    bad = w >= WR_CREW_MAX || j->busy[w];
    j->busy[w] = true;
    j->done[i]++;
    j->handed_out++;
    j->last = wr_max(j->last, i);
    wr_mutex_unlock(&j->mutex);

    if (j->cancel && i == j->fail_at)
        wr_cancel_now(j->cancel);

    wr_mutex_lock(&j->mutex);
    j->busy[w] = false;
    wr_mutex_unlock(&j->mutex);
    if (!p)
        return wr_fail(e, WR_NOMEM, "piece %zu: out of memory", i);
    if (bad)
        return wr_fail(e, WR_INTERNAL, "worker %u was called twice at once", w);
    if (!j->cancel && i == j->fail_at)
        return wr_fail(e, WR_IO, "piece %zu failed", i);
    return WR_OK;
}

static enum wr_status run(struct job *j, struct wr_call *c, unsigned threads, struct wr_err *e)
{
    enum wr_status st;

    *j = (struct job){.fail_at = j->fail_at, .cancel = j->cancel};
    wr_mutex_init(&j->mutex);
    st = wr_crew_run(c, threads, PIECES, "counting", piece, j, e);
    wr_mutex_release(&j->mutex);
    return st;
}

static void test_every_piece_once(void **state)
{
    static const unsigned threads[] = {1, 2, 7, WR_CREW_MAX};
    struct job j;
    struct wr_err e = {0};

    (void)state;
    for (size_t k = 0; k < wr_countof(threads); k++) {
        j = (struct job){.fail_at = PIECES};
        T_OK(run(&j, t_call(), threads[k], &e));
        for (size_t i = 0; i < PIECES; i++)
            T(j.done[i] == 1);
    }
}

/* In ascending order, so that all before the one that failed were begun; and no more than those
 * that others had in hand. */
static void test_first_failure_ends_it(void **state)
{
    struct job j;
    struct wr_err e = {0};

    (void)state;
    for (unsigned threads = 1; threads <= 8; threads *= 2) {
        j = (struct job){.fail_at = 100};
        T_IS(WR_IO, run(&j, t_call(), threads, &e));
        assert_string_equal(e.text, "piece 100 failed");
        T(j.handed_out == j.last + 1 && j.last >= 100);
        if (threads == 1)
            T(j.last == 100);
        T(run(&j, t_call(), threads, NULL) == WR_IO);
    }
}

static void test_cancel_and_deadline(void **state)
{
    struct wr_call *c = t_call();
    struct wr_cancel cancel;
    struct job j = {.fail_at = 10, .cancel = &cancel};
    struct wr_err e = {0};

    (void)state;
    wr_cancel_init(&cancel);
    c->cancel = &cancel;
    T_IS(WR_CANCELED, run(&j, c, 1, &e));
    T(strstr(e.text, "counting") && j.last == 10);
    T_IS(WR_CANCELED, run(&j, c, 3, &e));
    T(j.handed_out == 0);
    c->cancel = NULL;
    wr_cancel_release(&cancel);

    c->deadline_ms = wr_mono_ms(c->clock) - 1;
    j = (struct job){.fail_at = PIECES};
    T_IS(WR_TIMEOUT, run(&j, c, 3, &e));
    T(j.handed_out == 0);
}

static void test_nothing_to_do(void **state)
{
    struct wr_err e = {0};

    (void)state;
    T_OK(wr_crew_run(t_call(), 8, 0, "nothing", piece, NULL, &e));
}

static enum wr_status body(void *arg)
{
    struct job *j = arg;
    struct wr_err e = {0};

    return wr_crew_run(t_call(), 3, PIECES, "counting", piece, j, &e);
}

/* Threads that cannot be had are done without, and nothing is lost with them. */
static void test_nomem(void **state)
{
    struct job j = {.fail_at = PIECES};

    (void)state;
    wr_mutex_init(&j.mutex);
    t_sweep_nomem(body, &j);
    wr_mutex_release(&j.mutex);
}

T_MAIN(T_TEST(test_every_piece_once), T_TEST(test_first_failure_ends_it),
    T_TEST(test_cancel_and_deadline), T_TEST(test_nothing_to_do), T_TEST(test_nomem))
