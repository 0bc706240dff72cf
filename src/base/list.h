/*
 * list.h - an intrusive doubly linked list. An element is in at most one list through each link.
 */
#ifndef WR_BASE_LIST_H
#define WR_BASE_LIST_H

#include "base/base.h"

struct wr_link {
    struct wr_link *next, *prev; /* both NULL: in no list */
};

struct wr_list {
    struct wr_link head; /* points to itself when empty */
};

static inline void wr_list_init(struct wr_list *l)
{
    l->head.next = l->head.prev = &l->head;
}

static inline bool wr_list_empty(const struct wr_list *l)
{
    return l->head.next == &l->head;
}

static inline void wr_list_push(struct wr_list *l, struct wr_link *x) /* at the end */
{
    assert(!x->next);
    x->prev = l->head.prev;
    x->next = &l->head;
    l->head.prev->next = x;
    l->head.prev = x;
}

static inline void wr_list_remove(struct wr_link *x)
{
    assert(x->next);
    x->prev->next = x->next;
    x->next->prev = x->prev;
    x->next = x->prev = NULL;
}

static inline struct wr_link *wr_list_first(const struct wr_list *l) /* NULL when empty */
{
    return wr_list_empty(l) ? NULL : l->head.next;
}

static inline struct wr_link *wr_list_next(const struct wr_list *l, const struct wr_link *x)
{
    return x->next == &l->head ? NULL : x->next;
}

#endif
