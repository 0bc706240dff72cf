/*
 * test_rows.c - queries of SQLite through an index, and what they cost in requests.
 */
#include "vfs/rows.h"

#include "unit/vfs/rows_world.h"
#include "vfs/local.h"
#include "vfs/nearby.h"

#define CACHE ((uint64_t)64 << 20)

/* 20,000 rows, by an index with keys at random: each on a page of the table that any other may be
 * on. */
#define FILL(table)                                                                       \
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20000) INSERT " \
    "INTO " table " SELECT i, i*7919 % 20011, randomblob(160) FROM n;"
#define SCATTERED "CREATE TABLE t(id INTEGER PRIMARY KEY, k, b); CREATE INDEX i ON t(k);" FILL("t")

static struct rows_cost ask_rows(struct rows_world *x, const char *more, int n)
{
    char sql[300];

    (void)snprintf(sql, sizeof(sql),
        "SELECT sum(length(b)) FROM (SELECT b FROM t WHERE k > 5000 ORDER BY k%s LIMIT %d)", more,
        n);
    return rows_world_ask(x, sql);
}

static void test_rows_by_an_index_take_few_round_trips(void **state)
{
    static const uint32_t sizes[] = {512, 1024, 4096, 32768, 65536};

    (void)state;
    for (size_t i = 0; i < 2 * wr_countof(sizes); i++) {
        struct rows_world x;
        struct rows_cost c;

        rows_world_init(&x, sizes[i / 2], CACHE, SCATTERED);
        rows_world_open(&x, CACHE);
        c = ask_rows(&x, i % 2 ? " DESC" : "", 400);
        T(c.answer == 400 * 160);
        /* What is foreseen doubles, ends with a leaf of the index, of which there are 12 with
         * pages of 512 bytes, and is not much where several of the next rows are on pages that
         * were read, as with large ones. */
        T(c.flights <= 40);
        T(c.pages <= 2 * c.reads + 10 && c.fetches <= c.pages);
        rows_world_release(&x);
    }
}

/* A local copy has all but the leaves of tables, as when it is not whole yet: the index was read
 * from there, and looked for in the cache alone. */
static void test_rows_are_foreseen_beside_a_copy_that_is_not_whole(void **state)
{
    const uint64_t since = 1;
    struct wr_pagemap *newest = NULL;
    struct wr_local *l = NULL;
    struct wr_err e = {0};
    struct rows_world x;
    struct rows_cost c;
    uint32_t left_out = 0;

    (void)state;
    rows_world_init(&x, 1024, CACHE, SCATTERED);
    T_OK(wr_head_at(x.w.storage, x.cache, WR_LTX_LOCK_OFFSET, t_call(), x.map, 1, 0, &newest, &e));
    wr_pagemap_drop(x.map);
    x.map = newest; /* of the same replica, as it has files of the one before */
    T(!wr_pagemap_about(x.map)->apart);
    T_OK(wr_local_open(wr_fs_posix(), NULL, WR_STR("replica"), &l, &e));
    T_OK(wr_local_begin(l, x.map, &e));
    for (uint32_t pgno = 1; pgno <= x.s.image[1].commit; pgno++) {
        const uint8_t *page = story_page(&x.s, 1, pgno);

        if (page[0] == 13) /* a leaf of a table */
            left_out++;
        else
            T_OK(wr_local_put(l, pgno, 1, &since, page, &e));
    }
    T(left_out > 1000);
    wr_pages_use(x.pages, l);
    rows_world_open(&x, CACHE);
    c = ask_rows(&x, "", 400);
    T(c.answer == 400 * 160);
    T(c.flights <= 40);
    T(c.pages <= 2 * c.reads + 10);
    rows_world_release(&x); /* whose readers may ask it */
    wr_local_close(l);
}

static void test_few_rows_take_few_pages(void **state)
{
    static const int limits[] = {1, 2, 3, 4, 5, 8, 13, 21, 34, 55, 100, 200};
    struct rows_world x;

    (void)state;
    rows_world_init(&x, 4096, CACHE, SCATTERED);
    for (size_t i = 0; i < wr_countof(limits); i++) {
        struct rows_cost c;

        rows_world_open(&x, CACHE);
        c = ask_rows(&x, "", limits[i]);
        T(c.answer == limits[i] * 160);
        T(c.pages <= 2 * c.reads);
        if (limits[i] == 1)
            T(c.pages <= c.reads);
    }
    rows_world_release(&x);
}

/* The rows of most entries are not looked at: the index has what tells that. */
static void test_rows_that_are_left_out_are_not_foreseen_for_long(void **state)
{
    static const struct {
        int one_of, more; /* pages that may be fetched for 10 that are read */
    } cases[] = {{2, 20}, {4, 20}, {20, 16}};
    struct rows_world x;

    (void)state;
    rows_world_init(&x, 4096, CACHE,
        "CREATE TABLE t(id INTEGER PRIMARY KEY, k, m, b); CREATE INDEX i ON t(k, m);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20000) INSERT INTO t"
        " SELECT i, i*7919 % 20011, (i*2654435761 >> 7) % 1000, randomblob(600) FROM n");
    for (size_t i = 0; i < wr_countof(cases); i++) {
        char sql[300];
        struct rows_cost c;

        rows_world_open(&x, CACHE);
        (void)snprintf(sql, sizeof(sql),
            "SELECT sum(length(b)) FROM t INDEXED BY i WHERE k BETWEEN 5000 AND 8000 AND m < %d",
            1000 / cases[i].one_of);
        c = rows_world_ask(&x, sql);
        T(c.pages * 10 <= c.reads * (uint64_t)cases[i].more);
    }
    rows_world_release(&x);
}

/* One row each, by keys that have nothing to do with each other. */
static void test_single_rows_take_no_other_pages(void **state)
{
    struct rows_world x;
    uint64_t reads = 0, pages = 0;

    (void)state;
    rows_world_init(&x, 4096, CACHE, SCATTERED);
    rows_world_open(&x, CACHE);
    for (int i = 0; i < 300; i++) {
        char sql[100];
        struct rows_cost c;

        (void)snprintf(sql, sizeof(sql), "SELECT sum(length(b)) FROM t WHERE k=%d",
            (int)(1 + wr_rand_below(&x.r, 20000)));
        c = rows_world_ask(&x, sql);
        reads += c.reads;
        pages += c.pages;
    }
    T(pages <= reads);
    rows_world_release(&x);
}

/* The table is in the order of the index: what is foreseen lies together. */
static void test_rows_that_lie_together_take_few_requests(void **state)
{
    struct rows_world x;
    struct rows_cost c;

    (void)state;
    rows_world_init(&x, 4096, CACHE,
        "CREATE TABLE t(id INTEGER PRIMARY KEY, k, b); CREATE INDEX i ON t(k);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<20000) INSERT INTO t"
        " SELECT i, i, randomblob(160) FROM n");
    rows_world_open(&x, CACHE);
    c = ask_rows(&x, "", 8000);
    T(c.answer == 8000 * 160 && c.reads > 350);
    /* Those of the index lie between them, one here and one there. */
    T(c.flights <= 30 && c.fetches <= 75 && c.pages <= c.reads * 3 / 2);
    rows_world_release(&x);
}

/* For each row of one table, by its index, those of another one, by its. */
static void test_a_join_foresees_the_outer_rows(void **state)
{
    struct rows_world x;
    struct rows_cost c;

    (void)state;
    rows_world_init(&x, 4096, CACHE,
        SCATTERED
        "CREATE TABLE s(id INTEGER PRIMARY KEY, k, b); CREATE INDEX si ON s(k);" FILL("s"));
    rows_world_open(&x, CACHE);
    c = rows_world_ask(&x, "SELECT sum(length(t.b)+length(s.b)) FROM t INDEXED BY i CROSS JOIN s"
                           " INDEXED BY si ON s.k=t.id WHERE t.k BETWEEN 5000 AND 5300");
    T(c.answer > 290 * 320);
    /* The inner ones are found one by one. */
    T(c.flights <= c.reads * 3 / 4);
    rows_world_release(&x);
}

static void test_a_table_among_many_is_found(void **state)
{
    struct wr_buf sql;
    struct rows_world x;
    struct rows_cost c;

    (void)state;
    wr_buf_init(&sql, 1 << 20);
    for (int i = 0; i < 200; i++)
        wr_buf_fmt(&sql, "CREATE TABLE a%d(x, y); CREATE INDEX ai%d ON a%d(x);", i, i, i);
    wr_buf_fmt(&sql, "%s%c", SCATTERED, 0);
    rows_world_init(&x, 1024, CACHE, (const char *)wr_buf_bytes(&sql).p);
    rows_world_open(&x, CACHE);
    c = ask_rows(&x, "", 400);
    T(c.answer == 400 * 160 && c.flights < c.reads / 6);
    wr_buf_release(&sql);
    rows_world_release(&x);
}

/* There are no rowids in its indexes, or what looks like some. */
static void test_a_table_without_rowids_is_left_alone(void **state)
{
    struct rows_world x;
    struct rows_cost c;

    (void)state;
    rows_world_init(&x, 4096, CACHE,
        "CREATE TABLE t(id INTEGER PRIMARY KEY, k, b) WITHOUT ROWID; CREATE INDEX i ON t(k);" FILL(
            "t") "CREATE TABLE s(id INTEGER PRIMARY KEY, k, b); CREATE INDEX si ON s(k);" FILL("s"));
    rows_world_open(&x, CACHE);
    T(rows_world_ask(&x, "SELECT sum(length(b)) FROM s WHERE k BETWEEN 100 AND 150").answer > 0);
    c = ask_rows(&x, "", 400);
    T(c.answer == 400 * 160 && c.pages <= c.reads + c.reads / 8);
    rows_world_release(&x);
}

/* Keys that go on on other pages, where the rowid is then. */
static void test_keys_of_more_than_a_page(void **state)
{
    struct rows_world x;

    (void)state;
    rows_world_init(&x, 512, CACHE,
        "CREATE TABLE t(id INTEGER PRIMARY KEY, k, b); CREATE INDEX i ON t(k);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000) INSERT INTO t"
        " SELECT i*7919 % 2011, printf('%06d%.*c', 10000+i, i % 400, 'x'), randomblob(i % 900)"
        " FROM n");
    rows_world_open(&x, CACHE);
    T(rows_world_ask(&x, "SELECT sum(length(b)) FROM t INDEXED BY i WHERE k > '0'").answer > 0);
    rows_world_release(&x);
}

/* What was foreseen has gone before it is read. */
static void test_a_cache_for_a_few_pages_is_not_made_worse(void **state)
{
    struct rows_world x;
    struct rows_cost c;

    (void)state;
    rows_world_init(&x, 4096, CACHE, SCATTERED);
    rows_world_open(&x, 20 * 4096);
    c = ask_rows(&x, "", 1000);
    T(c.answer == 1000 * 160 && c.pages <= 3 * c.reads);
    rows_world_release(&x);
}

/* Pages of which bytes are others, or that are others' pages: SQLite may find out or not, and what
 * it reads is what there is. */
static void test_damaged_pages_lead_nowhere(void **state)
{
    static const uint32_t sizes[] = {512, 4096, 65536};

    (void)state;
    for (size_t i = 0; i < wr_countof(sizes); i++) {
        struct rows_world x;

        rows_world_init(&x, sizes[i], CACHE, SCATTERED);
        for (int round = 0; round < 40; round++) {
            uint32_t commit = x.s.image[1].commit;

            /* What was read is of the maps and caches as they were: all but page 1 changes now. */
            for (int k = 0; k < 200; k++) {
                uint32_t pgno = 2 + (uint32_t)wr_rand_below(&x.r, commit - 1);
                uint8_t *page = x.s.image[1].data + (size_t)(pgno - 1) * sizes[i];
                size_t at = (size_t)wr_rand_below(&x.r, wr_rand_below(&x.r, 2) ? 30 : sizes[i]);

                page[at] = (uint8_t)wr_rand_below(&x.r, 256);
            }
            rows_world_again(&x, CACHE);
            rows_world_try(&x, "SELECT sum(length(b)) FROM t INDEXED BY i WHERE k > 9000");
            rows_world_try(&x, "SELECT sum(length(b)) FROM t INDEXED BY i WHERE k < 9000 ORDER BY"
                               " k DESC");
        }
        rows_world_release(&x);
    }
}

/* The pages of a query once more, straight to what is tested: with what it foresees in the cache,
 * as far as there is memory for it. */
static enum wr_status replay(void *arg)
{
    struct rows_world *x = arg;
    struct wr_rows rows = {.clock = 0};
    const struct wr_nearby near = {.cache = x->cache, .m = x->map};
    uint32_t out[WR_ROWS_WINDOW], foreseen = 0;

    wr_pagecache_clear(x->cache);
    wr_pagecache_grow(x->cache, CACHE);
    for (size_t i = 0; i < x->n_trace; i++) {
        uint32_t pgno = x->trace[i];
        struct wr_spot s;
        size_t n = 1;

        T(wr_pagemap_find(x->map, pgno, &s));
        out[0] = pgno;
        if (!wr_pagecache_has(x->cache, s.in->id, pgno))
            n = wr_rows_want(&rows, &near, pgno, out);
        T(n <= WR_ROWS_WINDOW && (n == 0 || out[0] == pgno));
        out[0] = pgno;
        for (size_t k = 0; k < wr_max(n, (size_t)1); k++) {
            T(wr_pagemap_find(x->map, out[k], &s));
            wr_pagecache_put(
                x->cache, s.in->id, out[k], story_page(&x->s, 1, out[k]), x->s.page_size);
            foreseen += k > 0;
        }
        wr_rows_see(&rows, pgno, story_page(&x->s, 1, pgno));
    }
    wr_rows_release(&rows);
    wr_pagecache_clear(x->cache);
    if (wr_mem_fault_fired())
        return WR_NOMEM;
    return foreseen > 20 ? WR_OK : WR_INTERNAL;
}

static void test_nomem(void **state)
{
    struct rows_world x;

    (void)state;
    rows_world_init(&x, 512, CACHE, SCATTERED);
    rows_world_open(&x, CACHE);
    T(ask_rows(&x, "", 60).answer == 60 * 160);
    rows_world_close(&x);
    wr_pagecache_clear(x.cache);
    t_sweep_nomem(replay, &x);
    rows_world_release(&x);
}

T_MAIN(T_TEST(test_nomem), T_TEST(test_damaged_pages_lead_nowhere),
    T_TEST(test_rows_by_an_index_take_few_round_trips), T_TEST(test_few_rows_take_few_pages),
    T_TEST(test_rows_are_foreseen_beside_a_copy_that_is_not_whole),
    T_TEST(test_rows_that_are_left_out_are_not_foreseen_for_long),
    T_TEST(test_single_rows_take_no_other_pages),
    T_TEST(test_rows_that_lie_together_take_few_requests),
    T_TEST(test_a_join_foresees_the_outer_rows), T_TEST(test_a_table_among_many_is_found),
    T_TEST(test_a_table_without_rowids_is_left_alone), T_TEST(test_keys_of_more_than_a_page),
    T_TEST(test_a_cache_for_a_few_pages_is_not_made_worse))
