/*
 * test_heap.c - the heap against "look at all of them".
 */
#include "base/heap.h"

#include "base/mem.h"
#include "base/rand.h"
#include "harness/t.h"

#define ITEMS 300

struct item {
    uint64_t key;
    size_t slot;
    bool in;
};

static bool less(const void *a, const void *b)
{
    return ((const struct item *)a)->key < ((const struct item *)b)->key;
}

static size_t *slot(void *item)
{
    return &((struct item *)item)->slot;
}

/* The smallest key of the items that are in; *ret_n of them. */
static uint64_t smallest(const struct item *items, size_t *ret_n)
{
    uint64_t key = UINT64_MAX;

    *ret_n = 0;
    for (size_t i = 0; i < ITEMS; i++) {
        if (items[i].in) {
            key = wr_min(key, items[i].key);
            ++*ret_n;
        }
    }
    return key;
}

static void check(const struct wr_heap *h, const struct item *items, bool slots)
{
    size_t n;
    uint64_t key = smallest(items, &n);
    struct item *top = wr_heap_top(h);

    T(h->n == n);
    T((top == NULL) == (n == 0));
    T(!top || (top->in && top->key == key));
    for (size_t i = 0; slots && i < ITEMS; i++) {
        T((items[i].slot == WR_HEAP_NONE) == !items[i].in);
        T(!items[i].in || h->items[items[i].slot] == &items[i]);
    }
}

/* One random operation on both. */
static void operate(struct wr_heap *h, struct item *items, struct wr_rand *r, bool slots)
{
    struct item *x = &items[wr_rand_below(r, ITEMS)];
    struct item *popped;

    if (!x->in) {
        x->key = wr_rand_below(r, 100); /* many equal keys */
        T(wr_heap_push(h, x) == WR_OK);
        x->in = true;
    } else if (!slots || wr_rand_below(r, 3) == 0) {
        popped = wr_heap_pop(h);
        T(popped && popped->in);
        popped->in = false;
        for (size_t i = 0; i < ITEMS; i++)
            T(!items[i].in || items[i].key >= popped->key);
    } else if (wr_rand_below(r, 2)) {
        wr_heap_remove(h, x);
        x->in = false;
    } else {
        x->key = wr_rand_below(r, 100);
        wr_heap_fix(h, x->slot);
    }
}

static void run(bool slots)
{
    struct item items[ITEMS];
    struct wr_heap h;
    struct wr_rand r;

    wr_rand_init(&r, t_seed());
    for (size_t i = 0; i < ITEMS; i++)
        items[i] = (struct item){.slot = WR_HEAP_NONE};
    wr_heap_init(&h, less, slots ? slot : NULL);
    T(wr_heap_pop(&h) == NULL);
    for (int op = 0; op < 8000; op++) {
        operate(&h, items, &r, slots);
        check(&h, items, slots);
    }
    wr_heap_release(&h);
    T(wr_heap_top(&h) == NULL);
}

static void test_with_slots(void **state)
{
    (void)state;
    run(true);
}

static void test_without_slots(void **state)
{
    (void)state;
    run(false);
}

static void test_sorts(void **state)
{
    static struct item items[5000];
    struct wr_heap h;
    struct wr_rand r;
    uint64_t last = 0;

    (void)state;
    wr_rand_init(&r, t_seed());
    wr_heap_init(&h, less, slot);
    for (size_t i = 0; i < wr_countof(items); i++) {
        items[i].key = wr_rand_u64(&r);
        T(wr_heap_push(&h, &items[i]) == WR_OK);
    }
    for (size_t i = 0; i < wr_countof(items); i++) {
        const struct item *x = wr_heap_pop(&h);

        T(x && x->key >= last);
        last = x->key;
    }
    T(wr_heap_pop(&h) == NULL);
    wr_heap_release(&h);
}

static enum wr_status fill(void *arg)
{
    struct item *items = arg;
    struct wr_heap h;
    enum wr_status st = WR_OK;

    wr_heap_init(&h, less, slot);
    for (size_t i = 0; i < ITEMS && st == WR_OK; i++) {
        st = wr_heap_push(&h, &items[i]);
        T(h.n == i + (st == WR_OK)); /* a push that failed changed nothing */
    }
    wr_heap_release(&h);
    return st;
}

static void test_out_of_memory(void **state)
{
    struct item items[ITEMS] = {0};

    (void)state;
    t_sweep_nomem(fill, items);
}

T_MAIN(T_TEST(test_with_slots), T_TEST(test_without_slots), T_TEST(test_sorts),
    T_TEST(test_out_of_memory))
