/*
 * test_sorted.c - where things are, or would be, beside a search from the front.
 */
#include "base/sorted.h"

#include "base/rand.h"
#include "harness/t.h"

static int by_number(const void *items, size_t i, const void *key)
{
    uint64_t x = ((const uint64_t *)items)[i], y = *(const uint64_t *)key;

    return x < y ? -1 : x > y;
}

static void places_are_those_of_a_search_from_the_front(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 1000; round++) {
        uint64_t items[20], last = wr_rand_below(&r, 3);
        size_t n = (size_t)wr_rand_below(&r, wr_countof(items) + 1), at = 99;

        for (size_t i = 0; i < n; i++) {
            items[i] = last;
            last += wr_rand_below(&r, 3); /* some twice */
        }
        for (uint64_t key = 0; key <= last + 1; key++) {
            size_t want = 0;

            while (want < n && items[want] < key)
                want++;
            T(wr_sorted_u64(items, n, key) == want);
            T(wr_sorted_find(items, n, by_number, &key, &at) == (want < n && items[want] == key));
            T(at == want);
        }
    }
}

T_MAIN(T_TEST(places_are_those_of_a_search_from_the_front))
