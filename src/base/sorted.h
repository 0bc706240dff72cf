/*
 * sorted.h - places in ascending arrays.
 */
#ifndef WR_BASE_SORTED_H
#define WR_BASE_SORTED_H

#include "base/base.h"

/* Below 0, 0, or above 0: item `i` comes before `key`, is what it names, or comes behind it. */
typedef int wr_sorted_fn(const void *items, size_t i, const void *key);

/* Whether it is there; *ret_at: where it is, or would be. */
bool wr_sorted_find(
    const void *items, size_t n, wr_sorted_fn *order, const void *key, size_t *ret_at);

/* The first number that is at least `least`; `n`: all are less. */
size_t wr_sorted_u64(const uint64_t *items, size_t n, uint64_t least);

#endif
