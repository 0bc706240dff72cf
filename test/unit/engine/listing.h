/*
 * listing.h - the files of a replica as a listing has them, made up by a test. LISTING_MAX, how
 * many there may be, is defined by who includes it.
 */
#ifndef WR_TEST_LISTING_H
#define WR_TEST_LISTING_H

#include "engine/layout.h"
#include "harness/t.h"

struct listing {
    struct wr_ltx_file f[LISTING_MAX];
    size_t n;
};

static inline void listing_add(
    struct listing *l, unsigned level, uint64_t min, uint64_t max, int64_t time_ms)
{
    struct wr_ltx_file f = {
        .level = level, .min = min, .max = max, .time_ms = time_ms, .size = 1000};
    size_t i = l->n++;

    assert_true(l->n <= LISTING_MAX);
    for (; i > 0 && wr_ltx_file_cmp(&l->f[i - 1], &f) > 0; i--)
        l->f[i] = l->f[i - 1];
    l->f[i] = f;
}

static inline bool listing_has(const struct listing *l, const struct wr_ltx_file *f)
{
    for (size_t i = 0; i < l->n; i++) {
        if (wr_ltx_file_cmp(&l->f[i], f) == 0)
            return true;
    }
    return false;
}

#endif
