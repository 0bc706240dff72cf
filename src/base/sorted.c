/*
 * sorted.c - see sorted.h.
 */
#include "base/sorted.h"

bool wr_sorted_find(
    const void *items, size_t n, wr_sorted_fn *order, const void *key, size_t *ret_at)
{
    size_t low = 0, high = n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (order(items, mid, key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *ret_at = low;
    return low < n && order(items, low, key) == 0;
}

size_t wr_sorted_u64(const uint64_t *items, size_t n, uint64_t least)
{
    size_t low = 0;

    while (low < n) {
        size_t mid = low + (n - low) / 2;

        if (items[mid] < least)
            low = mid + 1;
        else
            n = mid;
    }
    return low;
}
