/*
 * test_tree.c - walks through b-trees whose pages lie anywhere, and what they cost in requests.
 */
#include "vfs/tree.h"

#include "base/bytes.h"
#include "unit/engine/restore_world.h"
#include "vfs/head.h"
#include "vfs/pagecache.h"
#include "vfs/pagemap.h"
#include "vfs/pages.h"

#include <sqlite3.h>

#define PAGE 512u

/* A database of a table and an index, filled in random order, as the replica's only snapshot. */
struct wood {
    struct world w;
    struct wr_rand r;
    struct story s;
    struct wr_pagecache *cache;
    struct wr_pages *pages;
    struct wr_pagemap *map;
    struct wr_pages_reader reader;
    uint32_t table, index; /* root pages */
    uint32_t leaves, pages_read;
};

static int number(void *arg, int n, char **value, char **name)
{
    uint64_t u = 0;

    (void)name;
    T(n == 1 && wr_parse_u64(wr_str(value[0]), &u));
    *(uint32_t *)arg = (uint32_t)u;
    return 0;
}

static void ask(sqlite3 *db, const char *sql, uint32_t *ret)
{
    T(sqlite3_exec(db, sql, number, ret, NULL) == SQLITE_OK);
}

static void plant(struct wood *x)
{
    const char *path = t_path(t_tmpdir(), "db");
    struct image *is = &x->s.image[1];
    struct wr_bytes b;
    sqlite3 *db = NULL;

    T(sqlite3_open(path, &db) == SQLITE_OK);
    T(sqlite3_exec(db,
          "PRAGMA page_size=512; CREATE TABLE t(id INTEGER PRIMARY KEY, k, b); CREATE INDEX i ON "
          "t(k); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20000) "
          "INSERT "
          "INTO t SELECT i*7919 % 20011, hex(randomblob(8)), randomblob(60) FROM n",
          NULL, NULL, NULL) == SQLITE_OK);
    ask(db, "SELECT rootpage FROM sqlite_master WHERE name='t'", &x->table);
    ask(db, "SELECT rootpage FROM sqlite_master WHERE name='i'", &x->index);
    (void)sqlite3_close(db);
    b = t_slurp(path);
    x->s.n = 1;
    is->commit = (uint32_t)(b.n / PAGE);
    is->data = wr_alloc(b.n);
    is->changed = wr_alloc((size_t)is->commit + 1);
    T(is->data && is->changed);
    memcpy(is->data, b.p, b.n);
    memset(is->changed, 1, (size_t)is->commit + 1);
    story_sum(&x->s);
    story_put(&x->s, &x->w, 9, 1, 1);
}

static void wood_init(struct wood *x)
{
    struct wr_err e = {0};

    memset(x, 0, sizeof(*x));
    wr_rand_init(&x->r, t_seed());
    world_init(&x->w, 0, "");
    story_init(&x->s, &x->r, PAGE, WR_LTX_LOCK_OFFSET, 1 << 20, true);
    plant(x);
    T_OK(wr_pagecache_new(64 << 20, &x->cache, &e));
    T_OK(wr_pages_new(x->w.storage, x->cache, &x->pages, &e));
    T_OK(wr_head_at(x->w.storage, x->cache, WR_LTX_LOCK_OFFSET, t_call(), NULL, 1, 0, &x->map, &e));
}

static void wood_release(struct wood *x)
{
    wr_pages_reader_release(&x->reader);
    wr_pagemap_drop(x->map);
    wr_pages_free(x->pages);
    wr_pagecache_free(x->cache);
    story_release(&x->s);
    world_release(&x->w);
}

static const uint8_t *read_page(struct wood *x, uint32_t pgno, uint8_t *page)
{
    struct wr_err e = {0};

    T_OK(wr_pages_read(x->pages, t_call(), x->map, &x->reader, pgno, 0, page, PAGE, &e));
    T(memcmp(page, story_page(&x->s, 1, pgno), PAGE) == 0);
    x->pages_read++;
    return page;
}

/* In the order of keys; from child `from` of each page of the level above the leaves, `n` of them.
 */
static void walk(struct wood *x, uint32_t pgno, uint32_t from, uint32_t n)
{
    uint8_t page[PAGE];
    const uint8_t *p = read_page(x, pgno, page);
    uint32_t cells = wr_be16(p + 3);
    uint8_t below[PAGE];

    if (p[0] != 2 && p[0] != 5) {
        x->leaves++;
        return;
    }
    memcpy(below, story_page(&x->s, 1, wr_be32(p + 8)), PAGE);
    for (uint32_t i = 0; i <= cells; i++) {
        uint32_t child = i < cells ? wr_be32(p + wr_be16(p + 12 + 2 * i)) : wr_be32(p + 8);
        bool leaf = below[0] != 2 && below[0] != 5;

        if (!leaf || (i >= from && i - from < n))
            walk(x, child, from, n);
    }
}

static void test_a_scan_of_a_tree_takes_few_round_trips(void **state)
{
    (void)state;
    for (int index = 0; index < 2; index++) {
        struct wood x;
        struct wr_pages_counts c;

        wood_init(&x);
        x.w.requests = 0;
        walk(&x, index ? x.index : x.table, 0, UINT32_MAX);
        wr_pages_counts(x.pages, &c);
        T(x.leaves > 800);
        /* All that an interior page has at once, which is some 55 for the table, 17 for the index.
         */
        T(c.flights * (index ? 8 : 25) < x.leaves);
        T(c.pages < x.pages_read + x.pages_read / 10 + 10);
        wood_release(&x);
    }
}

/* As after a part of them has changed: each of the others was a request of its own. */
static void test_pages_that_are_here_ended_the_walk(void **state)
{
    struct wood x;
    struct wr_pages_counts c;
    uint32_t missing = 0;

    (void)state;
    wood_init(&x);
    for (uint32_t pgno = 1; pgno <= wr_pagemap_about(x.map)->commit; pgno++) {
        struct wr_spot s;

        if (wr_rand_below(&x.r, 12) == 0)
            missing++;
        else if (wr_pagemap_find(x.map, pgno, &s))
            wr_pagecache_put(x.cache, s.in->id, pgno, story_page(&x.s, 1, pgno), PAGE);
    }
    walk(&x, x.table, 0, UINT32_MAX);
    walk(&x, x.index, 0, UINT32_MAX);
    wr_pages_counts(x.pages, &c);
    T(missing > 300 && c.pages < missing + 10);
    T(c.flights * 10 < missing * 6);
    wood_release(&x);
}

static void test_a_single_page_of_each_costs_no_more(void **state)
{
    struct wood x;
    struct wr_pages_counts c;

    (void)state;
    wood_init(&x);
    walk(&x, x.table, 3, 1);
    wr_pages_counts(x.pages, &c);
    T(x.leaves > 5 && c.pages < 2 * x.pages_read);
    wood_release(&x);
}

static void test_pages_that_only_look_like_such(void **state)
{
    struct wr_tree t = {.clock = 0};
    struct wr_rand r;
    size_t n;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 20000; i++) {
        uint8_t page[PAGE];
        uint32_t pgno = 1 + (uint32_t)wr_rand_below(&r, 20);

        wr_rand_fill(&r, page, sizeof(page));
        page[pgno == 1 ? 100 : 0] = wr_rand_below(&r, 2) ? 2 : 5;
        if (wr_rand_below(&r, 2))
            page[pgno == 1 ? 103 : 3] = 0;
        wr_tree_see(&t, pgno, page, PAGE);
        (void)wr_tree_want(&t, 1 + (uint32_t)wr_rand_below(&r, 20), &n);
    }
    wr_tree_release(&t);
}

T_MAIN(T_TEST(test_a_scan_of_a_tree_takes_few_round_trips),
    T_TEST(test_pages_that_are_here_ended_the_walk),
    T_TEST(test_a_single_page_of_each_costs_no_more), T_TEST(test_pages_that_only_look_like_such))
