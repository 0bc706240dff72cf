/*
 * test_map.c - the page map against an array indexed by page number.
 */
#include "base/map.h"

#include "base/mem.h"
#include "base/rand.h"
#include "harness/t.h"

#define PAGES 3000

/* Page numbers as they come: dense, or far apart in ways that a weak hash folds together. */
static uint32_t page_of(uint32_t i, uint64_t kind)
{
    switch (kind) {
    case 0:
        return i + 1;
    case 1:
        return (i + 1) << 16;
    case 2:
        return UINT32_MAX - i;
    default:
        return (i + 1) * 1000003u;
    }
}

static void check_sorted(const struct wr_pgmap *m, const uint32_t *model, uint64_t kind)
{
    struct wr_pgmap_entry *out = wr_array(m->n, sizeof(*out));
    size_t n = 0;

    T(out != NULL);
    wr_pgmap_sorted(m, out);
    for (size_t i = 1; i < m->n; i++)
        T(out[i - 1].pgno < out[i].pgno);
    for (uint32_t i = 0; i < PAGES; i++)
        n += model[i] != 0;
    T(n == m->n);
    for (size_t i = 0; i < n; i++) {
        uint32_t value = 0;

        T(wr_pgmap_get(m, out[i].pgno, &value) && value == out[i].value);
    }
    for (uint32_t i = 0; i < PAGES; i++) {
        uint32_t value = 0;

        T(wr_pgmap_get(m, page_of(i, kind), &value) == (model[i] != 0));
        T(value == model[i]);
    }
    wr_free(out);
}

static void test_against_model(void **state)
{
    struct wr_pgmap m;
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    wr_pgmap_init(&m, PAGES);
    for (uint64_t round = 0; round < 12; round++) {
        uint32_t model[PAGES] = {0};
        uint64_t kind = round % 4;
        uint64_t ops = wr_rand_below(&r, UINT64_C(3) * PAGES);

        for (uint64_t op = 0; op < ops; op++) {
            uint32_t i = (uint32_t)wr_rand_below(&r, PAGES);
            uint32_t value = 1 + (uint32_t)wr_rand_below(&r, UINT32_MAX);

            T(wr_pgmap_set(&m, page_of(i, kind), value) == WR_OK);
            model[i] = value;
        }
        check_sorted(&m, model, kind);
        if (round % 3 == 2)
            wr_pgmap_release(&m);
        else
            wr_pgmap_clear(&m);
        T(m.n == 0);
    }
    wr_pgmap_release(&m);
    wr_pgmap_release(&m);
}

static void test_empty(void **state)
{
    struct wr_pgmap m;
    struct wr_pgmap_entry none;
    uint32_t value = 9;

    (void)state;
    wr_pgmap_init(&m, 10);
    T(!wr_pgmap_get(&m, 1, &value) && value == 9);
    wr_pgmap_sorted(&m, &none);
    wr_pgmap_clear(&m);
    T(wr_pgmap_set(&m, 7, 0) == WR_OK); /* zero is a value */
    T(wr_pgmap_get(&m, 7, &value) && value == 0);
    wr_pgmap_release(&m);
}

static void test_limit(void **state)
{
    struct wr_pgmap m;
    uint32_t value;

    (void)state;
    wr_pgmap_init(&m, 100);
    for (uint32_t i = 1; i <= 100; i++)
        T(wr_pgmap_set(&m, i, i) == WR_OK);
    T(wr_pgmap_set(&m, 101, 1) == WR_LIMIT);
    T(m.n == 100 && !wr_pgmap_get(&m, 101, &value));
    T(wr_pgmap_set(&m, 50, 7) == WR_OK); /* a known page needs no room */
    T(wr_pgmap_get(&m, 50, &value) && value == 7);
    wr_pgmap_clear(&m);
    T(wr_pgmap_set(&m, 101, 1) == WR_OK);
    wr_pgmap_release(&m);

    wr_pgmap_init(&m, 0);
    T(wr_pgmap_set(&m, 1, 1) == WR_LIMIT);
    wr_pgmap_release(&m);
}

static enum wr_status fill(void *arg)
{
    struct wr_pgmap m;
    enum wr_status st = WR_OK;
    uint32_t value;
    uint32_t i = 0;

    (void)arg;
    wr_pgmap_init(&m, 1000);
    while (i < 1000 && st == WR_OK) {
        st = wr_pgmap_set(&m, i + 1, i);
        i += st == WR_OK;
    }
    T(m.n == i); /* what was there before a failure is still there */
    for (uint32_t j = 0; j < i; j++)
        T(wr_pgmap_get(&m, j + 1, &value) && value == j);
    wr_pgmap_release(&m);
    return st;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    t_sweep_nomem(fill, NULL);
}

T_MAIN(
    T_TEST(test_against_model), T_TEST(test_empty), T_TEST(test_limit), T_TEST(test_out_of_memory))
