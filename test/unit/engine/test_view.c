/*
 * test_view.c - a database's pages at a position of its WAL, against what SQLite's own checkpoint
 * makes of the same files.
 */
#include "engine/view.h"

#include "base/mem.h"
#include "unit/engine/live_db.h"

static void check_view(const struct wr_view *v, struct wr_bytes want)
{
    uint8_t *page = wr_alloc(v->page_size);
    struct wr_err e = {0};

    T(page && want.n == (size_t)v->commit * v->page_size);
    for (uint32_t p = 1; p <= v->commit; p++) {
        if (p == v->lock_pgno)
            continue;
        T_OK(wr_view_page(v, p, page, &e));
        T(memcmp(page, want.p + (size_t)(p - 1) * v->page_size, v->page_size) == 0);
    }
    wr_free(page);
}

static void check_runs(struct live *l, struct wr_bytes want)
{
    const struct wr_view *v = &l->view;
    uint32_t size = v->page_size;
    uint8_t *run = wr_alloc((size_t)(v->commit + 3) * size);
    struct wr_err e = {0};

    T(run != NULL);
    for (int i = 0; i < 10; i++) {
        uint32_t first = 1 + (uint32_t)wr_rand_below(&l->rng, v->commit);
        uint32_t n = 1 + (uint32_t)wr_rand_below(&l->rng, v->commit - first + 1);

        T_OK(wr_view_run(v, first, n, run, &e));
        for (uint32_t p = first; p < first + n; p++) {
            if (p != v->lock_pgno)
                T(memcmp(run + (size_t)(p - first) * size, want.p + (size_t)(p - 1) * size, size) ==
                    0);
        }
    }
    wr_free(run);
}

static void test_pages_are_those_of_a_checkpoint(void **state)
{
    static const uint32_t sizes[] = {512, 4096, 65536};

    (void)state;
    for (size_t i = 0; i < wr_countof(sizes); i++) {
        struct live l;
        struct wr_err e = {0};

        live_open(&l, sizes[i]);
        for (int round = 0; round < 12; round++) {
            live_write(&l, 60000);
            if (round % 4 == 3)
                T_OK(wr_conn_checkpoint(l.conn, false, &e));
            if (round % 6 == 5)
                live_sql(&l, "VACUUM");
            live_look(&l);
            struct wr_bytes image = live_image(&l);
            check_view(&l.view, image);
            check_runs(&l, image);
        }
        live_close(&l);
    }
}

/* A copy keeps its position while the application goes on. */
static void test_copy_stands_still(void **state)
{
    struct live l;
    struct wr_view copy = {0}, empty = {0};
    struct wr_bytes then;
    struct wr_err e = {0};

    (void)state;
    live_open(&l, 4096);
    live_write(&l, 50000);
    live_look(&l);
    T_OK(wr_view_copy(&copy, &l.view, &e));
    then = live_image(&l);
    check_view(&copy, then);
    live_write(&l, 50000);
    live_look(&l);
    T(copy.frames.n <= l.view.frames.n);
    check_view(&copy, then);
    check_view(&l.view, live_image(&l));
    wr_view_release(&copy);
    T(copy.conn == NULL);

    wr_pgmap_clear(&l.view.frames);
    T_OK(wr_view_copy(&empty, &l.view, &e));
    T(empty.frames.n == 0 && empty.conn == l.conn && empty.commit == l.view.commit);
    T(empty.backfilled == l.view.backfilled);
    wr_view_release(&empty);
    live_close(&l);
}

static void test_wal_that_is_shorter_than_the_view(void **state)
{
    struct live l;
    struct wr_err e = {0};
    uint8_t page[4096];

    (void)state;
    live_open(&l, 4096);
    T(wr_pgmap_set(&l.view.frames, 1, 100000) == WR_OK);
    T_IS(WR_CORRUPT, wr_view_page(&l.view, 1, page, &e));
    assert_string_equal(e.text, "the WAL ends inside frame 100000");
    T_IS(WR_CORRUPT, wr_view_run(&l.view, 1, 1, page, &e));
    /* Beyond the end of the database there are zeros. */
    T_OK(wr_view_page(&l.view, 5000, page, &e));
    T(page[0] == 0 && memcmp(page, page + 1, sizeof(page) - 1) == 0);
    live_close(&l);
}

static enum wr_status copy_once(void *arg)
{
    struct wr_view copy = {0};
    struct wr_err e = {0};
    enum wr_status st = wr_view_copy(&copy, arg, &e);

    wr_view_release(&copy);
    return st;
}

static void test_no_memory(void **state)
{
    struct live l;

    (void)state;
    live_open(&l, 512);
    live_write(&l, 60000);
    live_look(&l);
    T(l.view.frames.n > 64);
    t_sweep_nomem(copy_once, &l.view);
    live_close(&l);
}

T_MAIN(T_TEST(test_pages_are_those_of_a_checkpoint), T_TEST(test_copy_stands_still),
    T_TEST(test_wal_that_is_shorter_than_the_view), T_TEST(test_no_memory))
