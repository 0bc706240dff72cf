/*
 * tape.c - see tape.h. One tape for the whole run: decisions have no names, only an order.
 */
#if defined(__linux__)
/* For MAP_ANONYMOUS. */
#define _DEFAULT_SOURCE 1 /* NOLINT(bugprone-reserved-identifier) */
#endif

#include "sim/tape.h"

#include "base/rand.h"

#include <sys/mman.h>

#define APART ((uint64_t)2 << 56) /* from the seeds that anybody tries */

struct record {
    size_t n;
    uint32_t decided[TAPE_MAX];
};

static struct {
    struct wr_rand random[2]; /* the second is for what is drawn apart */
    bool apart;
    const uint32_t *played; /* NULL: drawn from `random` */
    size_t n_played;
    struct record *record;
} tape;

void tape_share(void)
{
    void *p = mmap(
        NULL, sizeof(struct record), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert(!tape.record);
    if (p == MAP_FAILED)
        abort();
    tape.record = p;
}

static void start(const uint32_t *p, size_t n)
{
    if (!tape.record)
        tape_share();
    tape.record->n = 0;
    tape.played = p;
    tape.n_played = n;
    tape.apart = false;
}

void tape_seed(uint64_t seed)
{
    start(NULL, 0);
    wr_rand_init(&tape.random[0], seed);
    wr_rand_init(&tape.random[1], seed ^ APART);
}

void tape_apart(bool on)
{
    tape.apart = on;
}

void tape_play(const uint32_t *p, size_t n)
{
    static const uint32_t nothing;

    start(p ? p : &nothing, n);
}

const uint32_t *tape_recorded(size_t *ret_n)
{
    *ret_n = tape.record->n;
    return tape.record->decided;
}

uint32_t tape_below(uint32_t n)
{
    struct record *r = tape.record;
    uint32_t x = 0;

    assert(n >= 1 && r);
    if (n == 1) /* nothing to decide: not worth a place on the tape */
        return 0;
    if (!tape.played)
        x = (uint32_t)wr_rand_below(&tape.random[tape.apart], n);
    else if (r->n < tape.n_played)
        x = tape.played[r->n] % n; /* a shrunk tape is played to other questions */
    if (r->n < TAPE_MAX)
        r->decided[r->n++] = x;
    return x;
}

bool tape_chance(uint32_t permille)
{
    /* The dull end, 0, is "no". */
    return permille > 0 && tape_below(1000) >= 1000 - (permille > 1000 ? 1000 : permille);
}

uint64_t tape_between(uint64_t lo, uint64_t hi)
{
    uint64_t span = hi - lo, distance;
    unsigned bits = 0;

    assert(lo <= hi);
    if (span == 0)
        return lo;
    /* First how many bits the distance has, then the distance: each order of magnitude alike. */
    while (bits < 31 && span >> bits)
        bits++;
    bits = tape_below(bits + 1);
    if (bits <= 1)
        return lo + bits;
    distance = (1u << (bits - 1)) + (uint64_t)tape_below(1u << (bits - 1));
    return lo + wr_min(distance, span);
}
