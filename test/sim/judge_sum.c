/*
 * judge_sum.c - the judge's checksums and hashes.
 *
 * CRC-64/GO-ISO goes eight bytes at a time: the tables say what a byte does to the sum seven, six,
 * ... bytes later. Simulations spend most of the judge's time here.
 */
#include "sim/judge_int.h"

#define POLYNOMIAL UINT64_C(0xD800000000000000)
#define SLICES     8

static struct {
    bool ready;
    uint64_t by[SLICES][256];
} tables; /* filled once; the simulation has one thread */

static void tables_fill(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint64_t c = i;

        for (int bit = 0; bit < 8; bit++)
            c = c >> 1 ^ (POLYNOMIAL & (0 - (c & 1)));
        tables.by[0][i] = c;
    }
    for (unsigned k = 1; k < SLICES; k++) {
        for (unsigned i = 0; i < 256; i++) {
            uint64_t c = tables.by[k - 1][i];

            tables.by[k][i] = c >> 8 ^ tables.by[0][c & 255];
        }
    }
    tables.ready = true;
}

/* Eight bytes as a number, the first one lowest. Written out, which compilers make one load of; so
 * are the eight look-ups below. Together that is more than twice as fast as loops. */
static uint64_t word(const uint8_t *p)
{
    return p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 |
           (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 |
           (uint64_t)p[7] << 56;
}

uint64_t judge_crc(uint64_t crc, const uint8_t *p, size_t n)
{
    uint64_t c = ~crc;

    if (!tables.ready)
        tables_fill();
    for (; n >= 8; n -= 8, p += 8) {
        const uint64_t x = c ^ word(p);

        c = tables.by[7][x & 255] ^ tables.by[6][x >> 8 & 255] ^ tables.by[5][x >> 16 & 255] ^
            tables.by[4][x >> 24 & 255] ^ tables.by[3][x >> 32 & 255] ^
            tables.by[2][x >> 40 & 255] ^ tables.by[1][x >> 48 & 255] ^ tables.by[0][x >> 56];
    }
    for (; n > 0; n--, p++)
        c = c >> 8 ^ tables.by[0][(c ^ *p) & 255];
    return ~c;
}

/* Every bit of the result depends on every bit of `x`. */
static uint64_t scatter(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

uint64_t judge_page_sum(uint32_t pgno, const uint8_t *p, size_t n)
{
    const uint8_t number[4] = {
        (uint8_t)(pgno >> 24), (uint8_t)(pgno >> 16), (uint8_t)(pgno >> 8), (uint8_t)pgno};

    return JUDGE_SUM_TOP | scatter(judge_crc(judge_crc(0, number, sizeof(number)), p, n));
}

uint32_t judge_lock_page(uint32_t page_size, uint32_t lock_offset)
{
    return lock_offset / page_size + 1;
}

/* The next eight bytes, in the machine's order: the hash leaves it never. */
static uint64_t mix(uint64_t h, const uint8_t *p)
{
    uint64_t x;

    memcpy(&x, p, sizeof(x));
    h = (h ^ x) * UINT64_C(0x9FB21C651E98DF25);
    return h ^ h >> 32;
}

/* Four at once: each step of one waits for the one before. Not in an array, for compilers would
 * make vectors of them, and most machines multiply none. */
uint64_t judge_hash_page(uint32_t pgno, const uint8_t *p, size_t n)
{
    uint64_t a = pgno, b = 1, c = 2, d = 3;

    assert(n % 32 == 0);
    for (; n > 0; n -= 32, p += 32) {
        a = mix(a, p);
        b = mix(b, p + 8);
        c = mix(c, p + 16);
        d = mix(d, p + 24);
    }
    a = scatter(scatter(scatter(scatter(a) ^ b) ^ c) ^ d);
    return a ? a : 1;
}

uint64_t judge_hash_database(const uint8_t *p, size_t n, uint32_t page_size, uint32_t lock_offset)
{
    const uint32_t lock = judge_lock_page(page_size, lock_offset);
    uint64_t h = 0;

    assert(n % page_size == 0);
    for (uint32_t pgno = 1; n > 0; pgno++, p += page_size, n -= page_size) {
        if (pgno != lock)
            h ^= judge_hash_page(pgno, p, page_size);
    }
    return h;
}
