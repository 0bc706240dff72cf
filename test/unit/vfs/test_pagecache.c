/*
 * test_pagecache.c - pages within a bound of bytes.
 */
#include "vfs/pagecache.h"

#include "base/mem.h"
#include "base/rand.h"
#include "harness/t.h"

static void fill(uint8_t *page, uint32_t size, uint32_t file, uint32_t pgno)
{
    for (uint32_t i = 0; i < size; i++)
        page[i] = (uint8_t)(file * 31 + pgno * 7 + i);
}

static bool is(struct wr_pagecache *c, uint32_t file, uint32_t pgno, uint32_t size)
{
    uint8_t want[65536], got[65536];

    if (!wr_pagecache_get(c, file, pgno, 0, got, size))
        return false;
    fill(want, size, file, pgno);
    T(memcmp(want, got, size) == 0);
    T(wr_pagecache_get(c, file, pgno, 24, got, 16) && memcmp(want + 24, got, 16) == 0);
    return true;
}

static void put(struct wr_pagecache *c, uint32_t file, uint32_t pgno, uint32_t size)
{
    uint8_t page[65536];

    fill(page, size, file, pgno);
    wr_pagecache_put(c, file, pgno, page, size);
}

static struct wr_pagecache *new_cache(uint64_t bytes)
{
    struct wr_pagecache *c = NULL;
    struct wr_err e = {0};

    T_OK(wr_pagecache_new(bytes, &c, &e));
    return c;
}

static void test_it_never_takes_more_than_its_bytes(void **state)
{
    static const uint32_t sizes[] = {512, 4096, 65536};
    struct wr_pagecache *c = new_cache(200000);
    struct wr_pagecache_counts n;
    struct wr_rand r;
    unsigned kept = 0;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 20000; i++) {
        uint32_t file = (uint32_t)wr_rand_below(&r, 3), pgno = (uint32_t)wr_rand_below(&r, 200);

        put(c, file, pgno, sizes[file]);
        wr_pagecache_counts(c, &n);
        T(n.bytes <= n.bytes_max && n.bytes_max == 200000);
        kept += is(c, file, pgno, sizes[file]);
    }
    T(kept == 20000 && n.pages > 1);
    wr_pagecache_free(c);
}

static void test_what_is_asked_for_stays(void **state)
{
    struct wr_pagecache *c = new_cache(100 * 5000);

    (void)state;
    put(c, 1, 1, 4096);
    for (uint32_t pgno = 2; pgno < 5000; pgno++) {
        put(c, 1, pgno, 4096);
        if (pgno % 20 == 0)
            T(is(c, 1, 1, 4096));
    }
    T(!is(c, 1, 2, 4096) && is(c, 1, 4999, 4096));
    wr_pagecache_free(c);
}

static void test_a_cache_without_room_keeps_nothing(void **state)
{
    struct wr_pagecache *c = new_cache(0);
    struct wr_pagecache_counts n;

    (void)state;
    put(c, 1, 1, 512);
    T(!is(c, 1, 1, 512));
    wr_pagecache_grow(c, 1000);
    wr_pagecache_grow(c, 10);
    put(c, 1, 1, 512);
    put(c, 1, 1, 512);
    put(c, 1, 2, 4096);
    T(is(c, 1, 1, 512) && !is(c, 1, 2, 4096));
    wr_pagecache_counts(c, &n);
    T(n.pages == 1 && n.bytes_max == 1000 && n.hits == 2 && n.misses == 2);
    wr_pagecache_clear(c);
    T(!is(c, 1, 1, 512));
    put(c, 1, 1, 512);
    T(!is(c, 1, 1, 512));
    wr_pagecache_free(c);
    wr_pagecache_free(NULL);
}

static void test_many_pages_are_found(void **state)
{
    struct wr_pagecache *c = new_cache((uint64_t)64 << 20);

    (void)state;
    for (uint32_t pgno = 1; pgno <= 20000; pgno++)
        put(c, pgno % 7, pgno, 512);
    for (uint32_t pgno = 1; pgno <= 20000; pgno++)
        T(is(c, pgno % 7, pgno, 512));
    wr_pagecache_free(c);
}

static enum wr_status use(void *arg)
{
    struct wr_pagecache *c = NULL;
    enum wr_status st = wr_pagecache_new(1 << 20, &c, NULL);

    (void)arg;
    if (st != WR_OK)
        return st;
    for (uint32_t pgno = 1; pgno <= 600; pgno++)
        put(c, 1, pgno, 512);
    /* A page that there was no memory for is not there, and none is damaged. */
    for (uint32_t pgno = 1; pgno <= 600; pgno++)
        (void)is(c, 1, pgno, 512);
    wr_pagecache_free(c);
    return wr_mem_fault_fired() ? WR_NOMEM : WR_OK;
}

static void test_nomem(void **state)
{
    (void)state;
    t_sweep_nomem(use, NULL);
}

T_MAIN(T_TEST(test_it_never_takes_more_than_its_bytes), T_TEST(test_what_is_asked_for_stays),
    T_TEST(test_a_cache_without_room_keeps_nothing), T_TEST(test_many_pages_are_found),
    T_TEST(test_nomem))
