/*
 * test_pageset.c - a set of pages against an array of flags, and what becomes of it when it is too
 * large or memory runs out.
 */
#include "engine/pageset.h"

#include "base/mem.h"
#include "base/rand.h"
#include "harness/t.h"

#define PAGES 3000

struct model {
    struct wr_pageset set;
    bool has[PAGES + 1];
    size_t n;
};

static void model_add(struct model *m, uint32_t pgno)
{
    m->n += !m->has[pgno];
    m->has[pgno] = true;
}

static void check(const struct model *m, uint32_t commit)
{
    struct wr_err e = {0};
    uint32_t *list = NULL;
    size_t n = 0, i = 0;

    if (m->set.all)
        return;
    T(wr_pageset_empty(&m->set) == (m->n == 0));
    T(m->set.map.n == m->n);
    T_OK(wr_pageset_list(&m->set, commit, &list, &n, &e));
    for (uint32_t p = 1; p <= PAGES && p <= commit; p++) {
        if (m->has[p])
            T(i < n && list[i++] == p);
    }
    T(i == n);
    wr_free(list);
}

static void test_random_sets(void **state)
{
    struct wr_rand r;
    struct model *m = wr_array(3, sizeof(*m));

    (void)state;
    T(m != NULL);
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 3; i++)
        wr_pageset_init(&m[i].set);
    for (int i = 0; i < 20000; i++) {
        struct model *a = &m[wr_rand_below(&r, 3)], *b = &m[wr_rand_below(&r, 3)];
        uint32_t p = 1 + (uint32_t)wr_rand_below(&r, PAGES);

        switch (wr_rand_below(&r, 40)) {
        case 0:
            wr_pageset_clear(&a->set);
            memset(a->has, 0, sizeof(a->has));
            a->n = 0;
            T(wr_pageset_empty(&a->set));
            break;
        case 1:
            if (a == b)
                break;
            wr_pageset_add_set(&a->set, &b->set);
            for (uint32_t k = 1; k <= PAGES; k++) {
                if (b->has[k])
                    model_add(a, k);
            }
            break;
        case 2:
            check(a, (uint32_t)wr_rand_below(&r, PAGES + 100));
            break;
        default:
            wr_pageset_add(&a->set, p);
            model_add(a, p);
            break;
        }
    }
    for (int i = 0; i < 3; i++) {
        check(&m[i], UINT32_MAX);
        wr_pageset_release(&m[i].set);
    }
    wr_free(m);
}

static void test_all_swallows_everything(void **state)
{
    struct wr_pageset a, b;

    (void)state;
    wr_pageset_init(&a);
    wr_pageset_init(&b);
    wr_pageset_add(&a, 7);
    wr_pageset_set_all(&b);
    T(!wr_pageset_empty(&b) && b.map.n == 0);
    wr_pageset_add(&b, 9);
    wr_pageset_add_set(&b, &a);
    T(b.all && b.map.n == 0);
    wr_pageset_add_set(&a, &b);
    T(a.all && a.map.n == 0);
    wr_pageset_clear(&a);
    T(wr_pageset_empty(&a));
    wr_pageset_add(&a, 7);
    T(!a.all && a.map.n == 1);
    wr_pageset_release(&a);
    wr_pageset_release(&b);
    T(wr_pageset_empty(&a) && wr_pageset_empty(&b));
}

static void test_too_many_become_all(void **state)
{
    struct wr_pageset s;

    (void)state;
    wr_pageset_init(&s);
    for (uint32_t p = 1; p <= WR_PAGESET_MAX; p++)
        wr_pageset_add(&s, p);
    T(!s.all && s.map.n == WR_PAGESET_MAX);
    wr_pageset_add(&s, 1); /* is there */
    T(!s.all);
    wr_pageset_add(&s, WR_PAGESET_MAX + 1);
    T(s.all && s.map.n == 0);
    wr_pageset_clear(&s);
    T(wr_pageset_empty(&s));
    wr_pageset_release(&s);
}

static void test_clear_gives_much_memory_back(void **state)
{
    struct wr_pageset s;
    size_t live = wr_mem_live();

    (void)state;
    wr_pageset_init(&s);
    for (uint32_t p = 1; p <= 10; p++)
        wr_pageset_add(&s, p);
    wr_pageset_clear(&s);
    T(wr_mem_live() > live); /* a little is kept for the next batch */
    for (uint32_t p = 1; p <= 100000; p++)
        wr_pageset_add(&s, p);
    wr_pageset_clear(&s);
    T(wr_mem_live() == live);
    wr_pageset_release(&s);
}

/* Without memory the set is larger than it should be, never smaller; a list fails. */
static enum wr_status sweep(void *arg)
{
    struct wr_pageset a, b;
    struct wr_err e = {0};
    uint32_t *list = NULL;
    size_t n = 0;
    enum wr_status st = WR_OK;

    (void)arg;
    wr_pageset_init(&a);
    wr_pageset_init(&b);
    for (uint32_t p = 1; p <= 300; p++) {
        uint32_t mark;

        wr_pageset_add(&a, p);
        T(a.all || wr_pgmap_get(&a.map, p, &mark));
    }
    wr_pageset_add_set(&b, &a);
    T(b.all || b.map.n == 300);
    if (!b.all)
        st = wr_pageset_list(&b, 200, &list, &n, &e);
    T(st != WR_OK || b.all || n == 200);
    wr_free(list);
    wr_pageset_release(&a);
    wr_pageset_release(&b);
    return st;
}

static void test_no_memory(void **state)
{
    (void)state;
    t_sweep_nomem(sweep, NULL);
}

T_MAIN(T_TEST(test_random_sets), T_TEST(test_all_swallows_everything),
    T_TEST(test_too_many_become_all), T_TEST(test_clear_gives_much_memory_back),
    T_TEST(test_no_memory))
