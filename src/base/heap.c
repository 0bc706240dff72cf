/*
 * heap.c - a binary heap in an array: the children of i are 2i+1 and 2i+2, and neither is less.
 *
 * Holds pointers only; knows nothing of the items but their order and where they keep their index.
 */
#include "base/heap.h"

#include "base/mem.h"

#define CAP_MIN ((size_t)16)

void wr_heap_init(
    struct wr_heap *h, bool (*less)(const void *a, const void *b), size_t *(*slot)(void *item))
{
    *h = (struct wr_heap){.less = less, .slot = slot};
}

void wr_heap_release(struct wr_heap *h)
{
    wr_free(h->items);
    h->items = NULL;
    h->n = h->cap = 0;
}

static void place(struct wr_heap *h, size_t at, void *item)
{
    h->items[at] = item;
    if (h->slot)
        *h->slot(item) = at;
}

static void sift_up(struct wr_heap *h, size_t at)
{
    void *item = h->items[at];

    while (at > 0) {
        size_t parent = (at - 1) / 2;

        if (!h->less(item, h->items[parent]))
            break;
        place(h, at, h->items[parent]);
        at = parent;
    }
    place(h, at, item);
}

static void sift_down(struct wr_heap *h, size_t at)
{
    void *item = h->items[at];

    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= h->n)
            break;
        if (child + 1 < h->n && h->less(h->items[child + 1], h->items[child]))
            child++;
        if (!h->less(h->items[child], item))
            break;
        place(h, at, h->items[child]);
        at = child;
    }
    place(h, at, item);
}

enum wr_status wr_heap_push(struct wr_heap *h, void *item)
{
    assert(item);
    if (h->n == h->cap) {
        size_t cap = wr_max(h->cap * 2, CAP_MIN); /* wr_resize refuses a size that overflows */
        void *p = wr_resize(h->items, cap, sizeof(*h->items));

        if (!p)
            return WR_NOMEM;
        h->items = p;
        h->cap = cap;
    }
    h->items[h->n++] = item;
    sift_up(h, h->n - 1);
    return WR_OK;
}

void *wr_heap_top(const struct wr_heap *h)
{
    return h->n ? h->items[0] : NULL;
}

/* Fill the hole with the last item, which may belong above or below it. */
static void *take(struct wr_heap *h, size_t at)
{
    void *item = h->items[at];

    h->n--;
    if (at < h->n) {
        h->items[at] = h->items[h->n];
        wr_heap_fix(h, at);
    }
    if (h->slot)
        *h->slot(item) = WR_HEAP_NONE;
    return item;
}

void *wr_heap_pop(struct wr_heap *h)
{
    return h->n ? take(h, 0) : NULL;
}

void wr_heap_remove(struct wr_heap *h, void *item)
{
    size_t at;

    assert(h->slot);
    at = *h->slot(item);
    assert(at < h->n && h->items[at] == item);
    (void)take(h, at);
}

void wr_heap_fix(struct wr_heap *h, size_t index)
{
    assert(index < h->n);
    if (index > 0 && h->less(h->items[index], h->items[(index - 1) / 2]))
        sift_up(h, index);
    else
        sift_down(h, index);
}
