/*
 * test_pages.c - what reading pages costs in requests and bytes, and what is an error.
 */
#include "vfs/pages.h"

#include "unit/engine/restore_world.h"
#include "vfs/head.h"
#include "vfs/pagecache.h"
#include "vfs/pagemap.h"

#define COMMIT 2000u

/* A replica with one snapshot, and a map of it. */
struct pond {
    struct world w;
    struct wr_rand r;
    struct story s;
    struct wr_pagecache *cache;
    struct wr_pages *pages;
    struct wr_pagemap *map;
};

static void pond_init(struct pond *x, uint64_t cache_bytes)
{
    struct wr_err e = {0};

    memset(x, 0, sizeof(*x));
    wr_rand_init(&x->r, t_seed());
    world_init(&x->w, 0, "");
    wr_storage_set_retry(x->w.storage, 1, 1);
    story_init(&x->s, &x->r, 512, WR_LTX_LOCK_OFFSET, COMMIT, true);
    story_commit(&x->s, COMMIT, 0);
    story_put(&x->s, &x->w, 9, 1, 1);
    T_OK(wr_pagecache_new(cache_bytes, &x->cache, &e));
    T_OK(wr_pages_new(x->w.storage, x->cache, &x->pages, &e));
    T_OK(wr_head_at(x->w.storage, x->cache, WR_LTX_LOCK_OFFSET, t_call(), NULL, 1, 0, &x->map, &e));
    wr_pagecache_clear(x->cache); /* the pages that came with the map are not what is counted */
    wr_pagecache_grow(x->cache, cache_bytes);
}

static void pond_release(struct pond *x)
{
    wr_pagemap_drop(x->map);
    wr_pages_free(x->pages);
    wr_pagecache_free(x->cache);
    story_release(&x->s);
    world_release(&x->w);
}

static enum wr_status read_page(
    struct pond *x, struct wr_pages_reader *r, uint32_t pgno, struct wr_err *e)
{
    uint8_t page[512];
    enum wr_status st = wr_pages_read(x->pages, t_call(), x->map, r, pgno, 0, page, 512, e);

    if (st == WR_OK)
        T(memcmp(page, story_page(&x->s, 1, pgno), 512) == 0);
    return st;
}

static void test_pages_one_after_the_other_take_few_requests(void **state)
{
    struct pond x;
    struct wr_pages_reader r = {.clock = 0};
    struct wr_pages_counts n;
    struct wr_err e = {0};

    (void)state;
    pond_init(&x, 4 << 20);
    for (uint32_t pgno = 1; pgno <= COMMIT; pgno++)
        T_OK(read_page(&x, &r, pgno, &e));
    wr_pages_counts(x.pages, &n);
    /* 1, 2, 4 ... 256 pages, then 256 each. */
    T(n.fetches == 9 + (COMMIT - 511 + 255) / 256 && n.pages == COMMIT);
    T(n.bytes < (uint64_t)COMMIT * 540);
    for (uint32_t pgno = 1; pgno <= COMMIT; pgno++)
        T_OK(read_page(&x, &r, pgno, &e));
    T(n.pages == COMMIT);
    pond_release(&x);
}

static void test_two_ways_by_turns_are_both_seen(void **state)
{
    struct pond x;
    struct wr_pages_reader r = {.clock = 0};
    struct wr_pages_counts n;
    struct wr_err e = {0};

    (void)state;
    pond_init(&x, 4 << 20);
    for (uint32_t i = 0; i < 500; i++) {
        T_OK(read_page(&x, &r, 100 + i, &e));
        T_OK(read_page(&x, &r, 1200 + i + i / 50, &e)); /* leaves one out now and then */
    }
    wr_pages_counts(x.pages, &n);
    T(n.fetches < 30);
    pond_release(&x);
}

static void test_a_page_here_and_there_costs_no_other(void **state)
{
    struct pond x;
    struct wr_pages_reader r = {.clock = 0};
    struct wr_pages_counts n;
    struct wr_err e = {0};

    (void)state;
    pond_init(&x, 4 << 20);
    for (uint32_t i = 0; i < 40; i++)
        T_OK(read_page(&x, &r, 1 + i * 97 % COMMIT * 13 % COMMIT, &e));
    wr_pages_counts(x.pages, &n);
    T(n.fetches == 40 && n.pages == 40 && n.bytes < 40 * 540);
    pond_release(&x);
}

static void test_without_a_cache_each_page_is_still_right(void **state)
{
    struct pond x;
    struct wr_pages_reader r = {.clock = 0};
    struct wr_err e = {0};

    (void)state;
    pond_init(&x, 0);
    for (uint32_t pgno = 1; pgno <= 300; pgno++)
        T_OK(read_page(&x, &r, pgno, &e));
    pond_release(&x);
}

struct gang {
    struct pond *x;
    struct wr_thread t;
    unsigned bad;
};

static void read_the_same(void *arg)
{
    struct gang *g = arg;
    struct wr_pages_reader r = {.clock = 0};
    struct wr_arena scratch;
    struct wr_call c = {.scratch = &scratch, .clock = wr_clock_system(), .deadline_ms = WR_NEVER};
    uint8_t page[512];

    wr_arena_init(&scratch, WR_ARENA_MAX);
    for (uint32_t pgno = 1; pgno <= COMMIT; pgno++) {
        if (wr_pages_read(g->x->pages, &c, g->x->map, &r, pgno, 0, page, 512, NULL) != WR_OK ||
            memcmp(page, story_page(&g->x->s, 1, pgno), 512) != 0)
            g->bad++;
    }
    wr_arena_release(&scratch);
}

static void slow(struct world *w, uint64_t nth)
{
    (void)w, (void)nth;
    t_sleep_ms(20);
}

static void test_readers_of_the_same_pages_wait_for_one_request(void **state)
{
    struct pond x;
    struct gang g[6];
    struct wr_pages_counts n;
    struct wr_err e = {0};

    (void)state;
    pond_init(&x, 4 << 20);
    x.w.in_piece = slow;
    for (size_t i = 0; i < wr_countof(g); i++) {
        g[i] = (struct gang){.x = &x};
        T_OK(wr_thread_start(&g[i].t, "reader", (size_t)1 << 20, read_the_same, &g[i], &e));
    }
    for (size_t i = 0; i < wr_countof(g); i++) {
        wr_thread_join(&g[i].t);
        T(g[i].bad == 0);
    }
    wr_pages_counts(x.pages, &n);
    T(n.pages < 2 * COMMIT);
    pond_release(&x);
}

static void test_errors_are_told_apart(void **state)
{
    struct pond x;
    struct wr_pages_reader r = {.clock = 0};
    struct wr_call *c = t_call();
    struct wr_err e = {0};

    (void)state;
    pond_init(&x, 4 << 20);
    world_fail(&x.w, 1, 100, WR_AUTH);
    T_IS(WR_AUTH, read_page(&x, &r, 5, &e));
    world_fail(&x.w, 1, 100, WR_IO);
    T_IS(WR_IO, read_page(&x, &r, 5, &e));
    T(strstr(e.text, "page 5") != NULL);
    world_fail(&x.w, 0, 0, WR_OK);
    T_OK(read_page(&x, &r, 5, &e));
    world_remove_key(&x.w, wr_layout_ltx_key(c->scratch, x.w.storage, 9, 1, 1));
    T_IS(WR_BUSY, read_page(&x, &r, 700, &e));
    T(strstr(e.text, "vanished") != NULL);
    T_OK(read_page(&x, &r, 5, &e)); /* of the cache */
    pond_release(&x);
}

/* The snapshot is replaced by one that has another byte at `at` in the frame of a page, and so
 * another checksum. */
static void change_frame(struct pond *x, uint32_t pgno, size_t at)
{
    struct wr_spot s;
    struct wr_buf b;

    T(wr_pagemap_find(x->map, pgno, &s) && at < s.length);
    wr_buf_init(&b, (size_t)1 << 28);
    story_file_changed(&x->s, s.off + at, &b);
    world_store(
        &x->w, wr_layout_ltx_key(t_call()->scratch, x->w.storage, 9, 1, 1), wr_buf_bytes(&b), 1000);
    wr_buf_release(&b);
}

static void look_anew(struct pond *x)
{
    struct wr_err e = {0};

    wr_pagemap_drop(x->map);
    T_OK(wr_head_at(x->w.storage, x->cache, WR_LTX_LOCK_OFFSET, t_call(), NULL, 1, 0, &x->map, &e));
    wr_pagecache_clear(x->cache);
    wr_pagecache_grow(x->cache, 4 << 20);
}

/* As long as the other one, of the same time, and its frames where those of the first one are: a
 * page of it was shown among pages of the first one. */
static void test_an_object_that_was_replaced_under_its_name(void **state)
{
    struct pond x;
    struct wr_pages_reader r = {.clock = 0};
    struct wr_spot s;
    struct wr_err e = {0};

    (void)state;
    pond_init(&x, 4 << 20);
    T_OK(read_page(&x, &r, 5, &e));
    T(wr_pagemap_find(x.map, 700, &s));
    change_frame(&x, 700, s.length - 1); /* still a frame, of other bytes */
    T_IS(WR_CONFLICT, read_page(&x, &r, 700, &e));
    T(strstr(e.text, "another one") != NULL);
    T_IS(WR_CONFLICT, read_page(&x, &r, 900, &e));
    T_OK(read_page(&x, &r, 5, &e)); /* of the cache */
    look_anew(&x);
    T_OK(read_page(&x, &r, 900, &e));
    pond_release(&x);
}

/* ---- what the tags of answers look like, behind other things than one server ---- */

struct tags {
    unsigned n; /* answers */
    struct wr_rand r;
};

static struct wr_str weak_now_and_then(struct world *w, struct wr_arena *a, struct wr_str is)
{
    return ((struct tags *)w->arg)->n++ % 2 ? is : wr_arena_fmt(a, "W/" WR_FMT, WR_ARG(is));
}

static struct wr_str two_by_turns(struct world *w, struct wr_arena *a, struct wr_str is)
{
    return ((struct tags *)w->arg)->n++ % 2 ? is : wr_arena_fmt(a, "other" WR_FMT, WR_ARG(is));
}

static struct wr_str two_by_chance(struct world *w, struct wr_arena *a, struct wr_str is)
{
    return wr_rand_below(&((struct tags *)w->arg)->r, 2)
               ? is
               : wr_arena_fmt(a, "other" WR_FMT, WR_ARG(is));
}

static struct wr_str another_after_ten(struct world *w, struct wr_arena *a, struct wr_str is)
{
    return ((struct tags *)w->arg)->n++ < 10 ? is : wr_arena_fmt(a, "other" WR_FMT, WR_ARG(is));
}

static struct wr_str one_each_time(struct world *w, struct wr_arena *a, struct wr_str is)
{
    (void)is;
    return wr_arena_fmt(a, "%u", ((struct tags *)w->arg)->n++);
}

static struct wr_str none(struct world *w, struct wr_arena *a, struct wr_str is)
{
    (void)w, (void)a, (void)is;
    return WR_STR("");
}

static struct wr_str none_by_turns(struct world *w, struct wr_arena *a, struct wr_str is)
{
    (void)a;
    return ((struct tags *)w->arg)->n++ % 2 ? is : WR_STR("");
}

/* Two servers by turns were told as two objects, when a request of another thread came between. */
static void test_tags_that_are_not_the_same_in_each_answer(void **state)
{
    static struct wr_str (*const all[])(struct world *, struct wr_arena *, struct wr_str) = {
        weak_now_and_then, two_by_turns, two_by_chance, another_after_ten, one_each_time, none,
        none_by_turns};

    (void)state;
    for (size_t i = 0; i < wr_countof(all); i++) {
        for (unsigned from = 0; from < 2; from++) {
            struct pond x;
            struct tags tags = {.n = from};
            struct wr_pages_reader r = {.clock = 0};
            struct wr_err e = {0};

            pond_init(&x, 4 << 20);
            wr_rand_init(&tags.r, t_seed());
            x.w.arg = &tags;
            x.w.in_version = all[i];
            for (uint32_t round = 0; round < 4; round++) {
                look_anew(&x);
                for (uint32_t pgno = 7; pgno <= COMMIT; pgno += 70)
                    T_OK(read_page(&x, &r, pgno, &e));
            }
            pond_release(&x);
        }
    }
}

/* That it is another object shows nevertheless. */
static void test_an_object_that_was_replaced_behind_two_servers(void **state)
{
    struct pond x;
    struct tags tags = {0};
    struct wr_pages_reader r = {.clock = 0};
    struct wr_spot s;
    struct wr_err e = {0};

    (void)state;
    pond_init(&x, 4 << 20);
    wr_rand_init(&tags.r, t_seed());
    x.w.arg = &tags;
    x.w.in_version = two_by_chance;
    look_anew(&x);
    T(wr_pagemap_find(x.map, 700, &s));
    change_frame(&x, 700, s.length - 1);
    for (uint32_t pgno = 7; pgno <= COMMIT; pgno += 7)
        T_IS(WR_CONFLICT, read_page(&x, &r, pgno, &e));
    look_anew(&x);
    T_OK(read_page(&x, &r, 7, &e));
    pond_release(&x);
}

/* ---- two servers, of which one has the object that came later ---- */

struct twins {
    struct wr_rand r;
    uint64_t often; /* of 100 answers: those of the second */
    bool second;    /* this one is */
    struct wr_str key;
    struct wr_buf of[2];
};

static void one_of_two(struct world *w)
{
    struct twins *t = w->arg;
    const struct wr_put_opts o = {.time_ms = 1000};
    struct wr_object about;
    struct wr_err e = {0};

    t->second = wr_rand_below(&t->r, 100) < t->often;
    T_OK(wr_storage_mem.put(
        w->bucket, t_call(), t->key, wr_buf_bytes(&t->of[t->second]), &o, &about, &e));
}

static struct wr_str its_name(struct world *w, struct wr_arena *a, struct wr_str is)
{
    (void)a, (void)is;
    return ((struct twins *)w->arg)->second ? WR_STR("\"second\"") : WR_STR("\"first\"");
}

/* Where the one that was asked for the trailer was not the one that had sent the page, each time, a
 * page of the other object was shown. */
static void test_a_page_of_a_server_that_is_ahead_was_shown(void **state)
{
    static const uint64_t often[] = {5, 20, 50, 80};

    (void)state;
    for (size_t i = 0; i < wr_countof(often); i++) {
        struct pond x;
        struct twins t = {.often = often[i]};
        struct wr_pages_reader r = {.clock = 0};
        struct wr_spot s;
        struct wr_err e = {0};
        unsigned ok = 0;

        pond_init(&x, 4 << 20);
        wr_rand_init(&t.r, t_seed());
        t.key = wr_layout_ltx_key(t_call()->scratch, x.w.storage, 9, 1, 1);
        T(wr_pagemap_find(x.map, 700, &s));
        for (size_t k = 0; k < 2; k++)
            wr_buf_init(&t.of[k], (size_t)1 << 28);
        story_file(&x.s, 1, 1, &t.of[0]);
        story_file_changed(&x.s, s.off + s.length - 1, &t.of[1]); /* still a frame */
        x.w.arg = &t;
        x.w.in_version = its_name;
        look_anew(&x); /* of the first */
        x.w.in_get = one_of_two;
        for (unsigned n = 0; n < 200; n++) {
            enum wr_status st = read_page(&x, &r, 700, &e);

            T(st == WR_OK || st == WR_CONFLICT);
            ok += st == WR_OK;
            wr_pagecache_clear(x.cache);
            wr_pagecache_grow(x.cache, 4 << 20);
        }
        T(ok > 0);
        wr_buf_release(&t.of[0]);
        wr_buf_release(&t.of[1]);
        pond_release(&x);
    }
}

static void test_a_frame_that_is_damaged(void **state)
{
    struct pond x;
    struct wr_pages_reader r = {.clock = 0};
    struct wr_err e = {0};

    (void)state;
    pond_init(&x, 4 << 20);
    change_frame(&x, 3, 3); /* another page's number */
    look_anew(&x);
    for (uint32_t pgno = 1; pgno <= 20; pgno++) {
        if (pgno == 3)
            T_IS(WR_CORRUPT, read_page(&x, &r, pgno, &e));
        else
            T_OK(read_page(&x, &r, pgno, &e));
    }
    pond_release(&x);
}

static enum wr_status read_some(void *arg)
{
    struct pond *x = arg;
    struct wr_pages *pages = NULL;
    struct wr_pages_reader r = {.clock = 0};
    uint8_t page[512];
    enum wr_status st;

    wr_pagecache_clear(x->cache);
    wr_pagecache_grow(x->cache, 1 << 20);
    st = wr_pages_new(x->w.storage, x->cache, &pages, NULL);
    for (uint32_t pgno = 10; st == WR_OK && pgno < 14; pgno++)
        st = wr_pages_read(pages, t_call(), x->map, &r, pgno, 0, page, 512, NULL);
    wr_pages_free(pages);
    wr_pagecache_clear(x->cache);
    return st == WR_OK && wr_mem_fault_fired() ? WR_NOMEM : st; /* a page was not kept */
}

static void test_nomem(void **state)
{
    struct pond x;

    (void)state;
    pond_init(&x, 0);
    t_sweep_nomem(read_some, &x);
    pond_release(&x);
}

T_MAIN(T_TEST(test_pages_one_after_the_other_take_few_requests),
    T_TEST(test_two_ways_by_turns_are_both_seen), T_TEST(test_a_page_here_and_there_costs_no_other),
    T_TEST(test_without_a_cache_each_page_is_still_right),
    T_TEST(test_readers_of_the_same_pages_wait_for_one_request), T_TEST(test_errors_are_told_apart),
    T_TEST(test_an_object_that_was_replaced_under_its_name),
    T_TEST(test_tags_that_are_not_the_same_in_each_answer),
    T_TEST(test_an_object_that_was_replaced_behind_two_servers),
    T_TEST(test_a_page_of_a_server_that_is_ahead_was_shown), T_TEST(test_a_frame_that_is_damaged),
    T_TEST(test_nomem))
