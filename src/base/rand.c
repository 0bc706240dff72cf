/*
 * rand.c - xoshiro256** 1.0, seeded through SplitMix64 (both by Vigna, prng.di.unimi.it).
 *
 * Simulations replay by seed, so neither algorithm may ever change.
 */
#include "base/rand.h"

#include "base/bytes.h"

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void wr_rand_init(struct wr_rand *r, uint64_t seed)
{
    for (size_t i = 0; i < wr_countof(r->s); i++)
        r->s[i] = splitmix(&seed);
}

static uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

uint64_t wr_rand_u64(struct wr_rand *r)
{
    uint64_t *s = r->s;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t wr_rand_below(struct wr_rand *r, uint64_t n)
{
    uint64_t excess;
    uint64_t x;

    assert(n > 0);
    /* 2^64 mod n of all values would favour the small remainders: drop that many, and draw again.
     */
    excess = (UINT64_MAX - n + 1) % n;
    do {
        x = wr_rand_u64(r);
    } while (x < excess);
    return x % n;
}

void wr_rand_fill(struct wr_rand *r, void *p, size_t n)
{
    uint8_t *to = p;

    while (n) {
        uint8_t word[8];
        size_t part = wr_min(n, sizeof(word));

        wr_put_le64(word, wr_rand_u64(r)); /* the same bytes on every machine */
        memcpy(to, word, part);
        to += part;
        n -= part;
    }
}
