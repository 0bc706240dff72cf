/*
 * test_digest.c - files read ahead: in the order of the plan each once, and whatever else is asked.
 */
#include "engine/digest.h"

#include "unit/engine/verify_world.h"

#define FILES 20

struct shelf {
    struct wr_rand r;
    struct story s;
    struct world w;
    struct wr_ltx_file files[FILES];
    const struct wr_ltx_file *plan[FILES];
    struct wr_ahead a;
};

static void shelf_init(struct shelf *x, unsigned threads)
{
    struct wr_err e = {0};

    wr_rand_init(&x->r, t_seed());
    world_init(&x->w, WR_STORAGE_LIST_TIME, "");
    replica_story(&x->s, &x->r, 512, FILES, true);
    for (uint64_t t = 1; t <= FILES; t++)
        story_put(&x->s, &x->w, 0, t, t);
    for (size_t i = 0; i < FILES; i++) {
        struct wr_buf b;

        wr_buf_init(&b, (size_t)1 << 24);
        story_file(&x->s, i + 1, i + 1, &b);
        x->files[i] = (struct wr_ltx_file){.min = i + 1, .max = i + 1, .size = b.n};
        x->plan[i] = &x->files[i];
        wr_buf_release(&b);
    }
    x->a =
        (struct wr_ahead){.storage = x->w.storage, .lock_offset = LOCK_OFFSET, .threads = threads};
    T_OK(wr_ahead_init(&x->a, &e));
    wr_ahead_plan(&x->a, x->plan, FILES);
    world_fail(&x->w, 0, 0, WR_OK);
}

static void shelf_release(struct shelf *x)
{
    wr_ahead_release(&x->a);
    story_release(&x->s);
    world_release(&x->w);
}

/* It is what the history has. */
static void ask(struct shelf *x, size_t i)
{
    const struct image *is = &x->s.image[i + 1];
    struct wr_change ch = {0};
    size_t pages = 0;
    struct wr_err e = {0};

    T_OK(wr_ahead_get(&x->a, t_call(), &x->files[i], &ch, &e));
    T(ch.header.max_txid == i + 1 && ch.header.commit == is->commit);
    for (uint32_t pgno = 1; pgno <= is->commit; pgno++) {
        if (!is->changed[pgno])
            continue;
        T(pages < ch.n && ch.pgno[pages] == pgno);
        T(ch.sum[pages] == wr_ltx_page_checksum(pgno, story_page(&x->s, i + 1, pgno), 512));
        pages++;
    }
    T(ch.n == pages);
    wr_change_release(&ch);
}

static void test_in_order_each_is_read_once(void **state)
{
    uint64_t bytes = 0;

    (void)state;
    for (unsigned threads = 1; threads <= 3; threads++) {
        struct shelf x;

        shelf_init(&x, threads);
        for (size_t i = 0; i < FILES; i++)
            ask(&x, i);
        T(x.w.requests == FILES);
        T(bytes == 0 || bytes == x.a.bytes);
        bytes = x.a.bytes;
        shelf_release(&x);
    }
}

static void test_out_of_order(void **state)
{
    struct shelf x;

    (void)state;
    shelf_init(&x, 1);
    ask(&x, 0);
    T(x.w.requests == 4);
    ask(&x, 0); /* it was handed over */
    T(x.w.requests == 5);
    ask(&x, 2);
    T(x.w.requests == 5);
    ask(&x, 9); /* what lies between is passed over */
    T(x.w.requests == 9);
    ask(&x, 12);
    ask(&x, 5); /* not foreseen any more */
    T(x.w.requests == 10);
    wr_ahead_plan(&x.a, x.plan, 3);
    ask(&x, 1);
    T(x.w.requests == 12);
    shelf_release(&x);
    for (int round = 0; round < 20; round++) {
        shelf_init(&x, 2);
        for (int i = 0; i < 40; i++)
            ask(&x, (size_t)wr_rand_below(&x.r, FILES));
        shelf_release(&x);
    }
}

/* What is wrong with a file that was read ahead is for whoever asks for it. */
static void test_failures(void **state)
{
    struct shelf x;
    struct wr_change ch = {0};
    struct wr_err e = {0};

    (void)state;
    shelf_init(&x, 1);
    x.files[1].size--;
    x.files[2].max++;
    world_remove_key(&x.w, wr_layout_ltx_key(t_call()->scratch, x.w.storage, 0, 4, 4));
    ask(&x, 0);
    T_IS(WR_CORRUPT, wr_ahead_get(&x.a, t_call(), &x.files[1], &ch, &e));
    wr_change_release(&ch);
    T_IS(WR_NOTFOUND, wr_ahead_get(&x.a, t_call(), &x.files[2], &ch, &e));
    wr_change_release(&ch);
    T_IS(WR_NOTFOUND, wr_ahead_get(&x.a, t_call(), &x.files[3], &ch, &e));
    wr_change_release(&ch);
    x.files[4].size = 100;
    T_IS(WR_CORRUPT, wr_ahead_get(&x.a, t_call(), &x.files[4], &ch, &e));
    wr_change_release(&ch);
    shelf_release(&x);
}

T_MAIN(T_TEST(test_in_order_each_is_read_once), T_TEST(test_out_of_order), T_TEST(test_failures))
