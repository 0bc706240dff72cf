/*
 * rand.h - seeded random numbers (xoshiro256**), the same for the same seed everywhere.
 *
 * owned. Not for keys: secrets come from crypto.h.
 */
#ifndef WR_BASE_RAND_H
#define WR_BASE_RAND_H

#include "base/base.h"

struct wr_rand {
    uint64_t s[4];
};

void wr_rand_init(struct wr_rand *r, uint64_t seed);
uint64_t wr_rand_u64(struct wr_rand *r);
uint64_t wr_rand_below(struct wr_rand *r, uint64_t n); /* 0 .. n-1, unbiased; n > 0 */
void wr_rand_fill(struct wr_rand *r, void *p, size_t n);

#endif
