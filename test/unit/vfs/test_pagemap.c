/*
 * test_pagemap.c - the map of a database's pages, against a table that is filled page by page.
 */
#include "vfs/pagemap.h"

#include "base/mem.h"
#include "base/rand.h"
#include "engine/inputs.h"
#include "harness/t.h"

#define PAGES 40 /* of the databases of most tests */
#define FILES 30
#define LOCK  3072 /* bytes: a page among the first, with pages of 512 and 1024 bytes */

/* A history: files, and where each page is after each of them. */
struct history {
    uint32_t page_size;
    bool again; /* pages that were cut off may come back as they were, in no file */
    size_t n;
    struct wr_input in[FILES];
    const struct wr_input *ptr[FILES];
    struct wr_pagemap_file file[FILES];
    struct {
        uint32_t id; /* 0: nowhere */
        uint32_t length;
        uint64_t off;
    } at[FILES + 1][PAGES + 1];
};

static void history_release(struct history *h)
{
    for (size_t i = 0; i < h->n; i++)
        wr_input_release(&h->in[i]);
}

/* One more file: the database has `commit` pages after it, and each of them is in it with a chance
 * of one in `rare`, or because the database grew by it. */
static void grow(struct history *h, struct wr_rand *r, uint32_t commit, uint32_t rare)
{
    size_t i = h->n++;
    struct wr_input *in = &h->in[i];
    uint32_t was = i ? h->in[i - 1].header.commit : 0;
    uint64_t off = 100;

    h->file[i] = (struct wr_pagemap_file){
        .file = {.min = i + 1, .max = i + 1, .level = i ? 0 : 9}, .id = (uint32_t)(1000 + i)};
    *in = (struct wr_input){.file = &h->file[i].file,
        .header = {.page_size = h->page_size, .commit = commit, .time_ms = (int64_t)i * 1000},
        .whole = true};
    h->ptr[i] = in;
    in->refs = wr_array(PAGES, sizeof(*in->refs));
    T(in->refs != NULL);
    memcpy(h->at[i + 1], h->at[i], sizeof(h->at[i]));
    for (uint32_t pgno = 1; pgno <= commit; pgno++) {
        uint32_t length = 7 + (uint32_t)wr_rand_below(r, 500);

        if (pgno == wr_ltx_lock_pgno(h->page_size, LOCK) ||
            (wr_rand_below(r, rare) != 0 && (pgno <= was || h->again)))
            continue;
        in->refs[in->n++] = (struct wr_ref){.off = off, .pgno = pgno, .length = length};
        h->at[i + 1][pgno].id = h->file[i].id;
        h->at[i + 1][pgno].off = off;
        h->at[i + 1][pgno].length = length;
        off += length;
    }
}

/* What may have changed since transaction `after` is all that a file since then has, and no more.
 */
static void check_walk(const struct history *h, size_t n, const struct wr_pagemap *m, size_t after)
{
    struct wr_pagemap_walk walk;
    uint32_t got = 0;
    uint64_t max = 0;

    wr_pagemap_walk(m, after, &walk);
    for (uint32_t pgno = 1; pgno <= PAGES; pgno++) {
        uint32_t id = h->at[n][pgno].id;

        if (id >= 1000 + after)
            T(wr_pagemap_walk_next(&walk, &got, &max) && got == pgno && max == id - 1000 + 1);
    }
    T(!wr_pagemap_walk_next(&walk, &got, &max));
}

static void check(const struct history *h, size_t n, const struct wr_pagemap *m)
{
    const struct wr_pagemap_about *about = wr_pagemap_about(m);

    T(about->txid == n && about->page_size == h->page_size);
    T(about->commit == h->in[n - 1].header.commit);
    T(about->time_ms == h->in[n - 1].header.time_ms);
    T(about->lock_pgno == wr_ltx_lock_pgno(h->page_size, LOCK));
    for (uint32_t pgno = 0; pgno <= PAGES; pgno++) {
        struct wr_spot s = {0};

        bool is = pgno <= about->commit && h->at[n][pgno].id != 0;

        T(wr_pagemap_find(m, pgno, &s) == is);
        if (s.in)
            T(s.in->id == h->at[n][pgno].id && s.off == h->at[n][pgno].off &&
                s.length == h->at[n][pgno].length);
    }
    for (size_t after = 0; after <= n; after += 1 + n / 4)
        check_walk(h, n, m, after);
}

/* Files [from, to) applied to `m`. */
static struct wr_pagemap *make(
    const struct history *h, const struct wr_pagemap *m, size_t from, size_t to)
{
    struct wr_pagemap *ret = NULL;
    struct wr_err e = {0};

    T_OK(wr_pagemap_make(m,
        &(struct wr_pagemap_step){
            .in = h->ptr + from, .files = h->file + from, .n = to - from, .lock_offset = LOCK},
        &ret, &e));
    return ret;
}

static void test_each_page_of_random_histories_is_found(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 3000; round++) {
        struct history h = {.page_size = round % 3 ? 512 : 65536, .again = round % 2};
        struct wr_pagemap *maps[FILES] = {NULL};
        size_t ends[FILES] = {0};
        size_t n = 0;
        uint32_t rare = 1 + (uint32_t)wr_rand_below(&r, 12);

        for (size_t i = 0; i < FILES; i++)
            grow(&h, &r, 1 + (uint32_t)wr_rand_below(&r, PAGES), rare);
        for (size_t at = 0; at < FILES; n++) {
            size_t to = at + 1 + (size_t)wr_rand_below(&r, FILES - at);

            if (wr_rand_below(&r, 2))
                to = at + 1;
            maps[n] = make(&h, n ? maps[n - 1] : NULL, at, to);
            ends[n] = at = to;
        }
        /* Later ones have changed nothing in them. */
        for (size_t i = 0; i < n; i++)
            check(&h, ends[i], maps[i]);
        for (size_t i = 0; i < n; i++)
            wr_pagemap_drop(maps[i]);
        history_release(&h);
    }
}

static void test_a_map_that_is_held_outlives_those_it_was_made_of(void **state)
{
    struct history h = {.page_size = 512};
    struct wr_pagemap *a, *b;
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (size_t i = 0; i < 3; i++)
        grow(&h, &r, PAGES, 3);
    a = make(&h, NULL, 0, 2);
    b = wr_pagemap_hold(make(&h, a, 2, 3));
    wr_pagemap_drop(a);
    wr_pagemap_drop(b);
    check(&h, 3, b);
    wr_pagemap_drop(b);
    T(!wr_pagemap_hold(NULL));
    wr_pagemap_drop(NULL);
    history_release(&h);
}

/* An input of `n` frames of pages `first`, `first` + `step`, ... */
static struct wr_input many(uint32_t page_size, uint32_t n, uint32_t first, uint32_t step)
{
    struct wr_input in = {.header = {.page_size = page_size, .commit = 1 << 20}, .whole = true};

    in.refs = wr_array(n, sizeof(*in.refs));
    T(in.refs != NULL);
    for (uint32_t i = 0; i < n; i++)
        in.refs[i] =
            (struct wr_ref){.off = 100 + UINT64_C(50) * i, .pgno = first + step * i, .length = 50};
    in.n = n;
    return in;
}

static struct wr_pagemap *of_one(
    const struct wr_pagemap *from, const struct wr_input *in, uint32_t id)
{
    const struct wr_pagemap_file file = {.file = {.min = 1, .max = id}, .id = id};
    struct wr_pagemap *m = NULL;
    struct wr_err e = {0};

    T_OK(wr_pagemap_make(from,
        &(struct wr_pagemap_step){
            .in = &in, .files = &file, .n = 1, .lock_offset = WR_LTX_LOCK_OFFSET},
        &m, &e));
    return m;
}

static uint32_t id_of(const struct wr_pagemap *m, uint32_t pgno)
{
    struct wr_spot s = {0};

    return wr_pagemap_find(m, pgno, &s) ? s.in->id : 0;
}

static void test_a_snapshot_takes_little_more_than_two_bytes_a_page(void **state)
{
    struct wr_pagemap_size size;

    (void)state;
    for (uint32_t page_size = 4096; page_size <= 65536; page_size *= 16) {
        struct wr_input in = many(page_size, 1 << 20, 1, 1);
        struct wr_pagemap *m = of_one(NULL, &in, 1);
        struct wr_spot s;

        wr_pagemap_size(m, &size);
        T(size.based == 1 << 20 && size.tabled == 0);
        T(size.bytes * 1000 / size.based <= (page_size == 65536 ? 4200 : 2200));
        T(wr_pagemap_find(m, 1 << 20, &s) && s.off == 100 + UINT64_C(50) * ((1 << 20) - 1));
        wr_pagemap_drop(m);
        wr_input_release(&in);
    }
}

static void test_many_changes_go_from_the_small_table_to_the_large_one(void **state)
{
    struct wr_input base = many(4096, 100000, 1, 1);
    struct wr_input change[8];
    struct wr_pagemap *m = of_one(NULL, &base, 100), *next;
    struct wr_pagemap_size size;

    (void)state;
    for (uint32_t i = 0; i < 8; i++) {
        change[i] = many(4096, 1500, 1 + 10 * i, 7);
        next = of_one(m, &change[i], i + 1);
        wr_pagemap_drop(m);
        m = next;
    }
    for (uint32_t pgno = 1; pgno <= 100000; pgno++) {
        uint32_t want = 100;

        for (uint32_t i = 0; i < 8; i++) {
            uint32_t first = 1 + 10 * i;

            if (pgno >= first && (pgno - first) % 7 == 0 && (pgno - first) / 7 < 1500)
                want = i + 1;
        }
        T(id_of(m, pgno) == want);
    }
    wr_pagemap_size(m, &size);
    T(size.based == 100000 && size.tabled > 8 * 1000 && size.tabled < 8 * 1500 + 4096);
    wr_pagemap_drop(m);
    wr_input_release(&base);
    for (uint32_t i = 0; i < 8; i++)
        wr_input_release(&change[i]);
}

static void test_a_file_of_few_far_pages_takes_no_memory_for_those_between(void **state)
{
    struct wr_input in = many(4096, 100, 1, 10000);
    struct wr_pagemap *m = of_one(NULL, &in, 1);
    struct wr_pagemap_size size;

    (void)state;
    wr_pagemap_size(m, &size);
    T(size.based == 0 && size.tabled == 100 && size.bytes < 10000);
    T(id_of(m, 990001) == 1 && id_of(m, 990000) == 0);
    wr_pagemap_drop(m);
    wr_input_release(&in);
}

static void test_another_page_size_is_refused(void **state)
{
    struct wr_input a = many(4096, 10, 1, 1), b = many(512, 10, 1, 1);
    const struct wr_input *both[] = {&a, &b};
    const struct wr_pagemap_file files[2] = {{.id = 1}, {.id = 2}};
    struct wr_pagemap *m = of_one(NULL, &a, 1), *other = NULL;
    struct wr_pagemap_step step;
    struct wr_err e = {0};

    (void)state;
    step = (struct wr_pagemap_step){both + 1, files + 1, 1, LOCK, 0, false};
    T_IS(WR_UNSUPPORTED, wr_pagemap_make(m, &step, &other, &e));
    step = (struct wr_pagemap_step){both, files, 2, LOCK, 0, false};
    T_IS(WR_CORRUPT, wr_pagemap_make(NULL, &step, &other, &e));
    a.refs[9].off = (uint64_t)1 << 40;
    step.n = 1;
    T_IS(WR_CORRUPT, wr_pagemap_make(m, &step, &other, &e));
    T(!other);
    wr_pagemap_drop(m);
    wr_input_release(&a);
    wr_input_release(&b);
}

struct sweep {
    const struct wr_input *base, *change;
};

static enum wr_status make_two(void *arg)
{
    const struct sweep *x = arg;
    const struct wr_pagemap_file file = {.id = 1};
    struct wr_pagemap *a = NULL, *b = NULL;
    struct wr_pagemap_step step = {&x->base, &file, 1, LOCK, 0, false};
    enum wr_status st = wr_pagemap_make(NULL, &step, &a, NULL);

    step.in = &x->change;
    if (st == WR_OK)
        st = wr_pagemap_make(a, &step, &b, NULL);
    wr_pagemap_drop(a);
    wr_pagemap_drop(b);
    return st;
}

static void test_nomem(void **state)
{
    struct wr_input base = many(4096, 20000, 1, 1), change = many(4096, 5000, 7, 3);
    struct sweep x = {.base = &base, .change = &change};

    (void)state;
    t_sweep_nomem(make_two, &x);
    wr_input_release(&base);
    wr_input_release(&change);
}

T_MAIN(T_TEST(test_each_page_of_random_histories_is_found),
    T_TEST(test_a_map_that_is_held_outlives_those_it_was_made_of),
    T_TEST(test_a_snapshot_takes_little_more_than_two_bytes_a_page),
    T_TEST(test_many_changes_go_from_the_small_table_to_the_large_one),
    T_TEST(test_a_file_of_few_far_pages_takes_no_memory_for_those_between),
    T_TEST(test_another_page_size_is_refused), T_TEST(test_nomem))
