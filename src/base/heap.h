/*
 * heap.h - an intrusive binary min-heap over pointers, for timers and merges.
 *
 * owned. Grows by doubling; never shrinks before release.
 */
#ifndef WR_BASE_HEAP_H
#define WR_BASE_HEAP_H

#include "base/base.h"
#include "base/status.h"

struct wr_heap {
    void **items;
    size_t n, cap;
    bool (*less)(const void *a, const void *b);
    size_t *(*slot)(void *item); /* where an item keeps its index; NULL: items are never removed */
};

#define WR_HEAP_NONE SIZE_MAX /* value of a slot whose item is in no heap */

void wr_heap_init(
    struct wr_heap *h, bool (*less)(const void *a, const void *b), size_t *(*slot)(void *item));
void wr_heap_release(struct wr_heap *h);
enum wr_status wr_heap_push(struct wr_heap *h, void *item) WR_MUST_CHECK; /* NOMEM */
void *wr_heap_top(const struct wr_heap *h);                               /* NULL when empty */
void *wr_heap_pop(struct wr_heap *h);                                     /* NULL when empty */
void wr_heap_remove(struct wr_heap *h, void *item);                       /* needs slot */
void wr_heap_fix(struct wr_heap *h, size_t index); /* after the item at index changed its key */

#endif
