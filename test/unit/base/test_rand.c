/*
 * test_rand.c - the published sequences, and what a simulation leans on.
 */
#include "base/rand.h"

#include "harness/t.h"

/* SplitMix64 from 1234567, as its author's program prints it, is the state after seeding. */
static void test_seeding(void **state)
{
    static const uint64_t want[] = {UINT64_C(6457827717110365317), UINT64_C(3203168211198807973),
        UINT64_C(9817491932198370423), UINT64_C(4593380528125082431)};
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, 1234567);
    for (size_t i = 0; i < wr_countof(want); i++)
        T(r.s[i] == want[i]);
}

/* xoshiro256** from the state 1, 2, 3, 4, as its author's program prints it. */
static void test_sequence(void **state)
{
    static const uint64_t want[] = {11520, 0, 1509978240, UINT64_C(1215971899390074240),
        UINT64_C(1216172134540287360), UINT64_C(607988272756665600), UINT64_C(16172922978634559625),
        UINT64_C(8476171486693032832), UINT64_C(10595114339597558777),
        UINT64_C(2904607092377533576)};
    struct wr_rand r = {{1, 2, 3, 4}};

    (void)state;
    for (size_t i = 0; i < wr_countof(want); i++)
        T(wr_rand_u64(&r) == want[i]);
}

static void test_below(void **state)
{
    struct wr_rand r;
    unsigned seen[7] = {0};

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 70000; i++)
        seen[wr_rand_below(&r, 7)]++;
    for (size_t i = 0; i < wr_countof(seen); i++)
        T(seen[i] > 9000 && seen[i] < 11000);

    for (int i = 0; i < 1000; i++) {
        T(wr_rand_below(&r, 1) == 0);
        T(wr_rand_below(&r, UINT64_MAX) < UINT64_MAX);
    }
    /* Three quarters of 2^64: a plain remainder would give the lower third twice as often. */
    seen[0] = 0;
    for (int i = 0; i < 30000; i++)
        seen[0] += wr_rand_below(&r, UINT64_C(3) << 62) < UINT64_C(1) << 62;
    T(seen[0] > 9000 && seen[0] < 11000);
}

static void test_fill(void **state)
{
    uint8_t whole[64];
    struct wr_rand known = {{1, 2, 3, 4}};

    (void)state;
    wr_rand_fill(&known, whole, 2); /* 11520 is 0x2d00: the low byte first */
    T(whole[0] == 0x00 && whole[1] == 0x2d);
    for (size_t n = 0; n < sizeof(whole); n++) {
        uint8_t part[64];
        struct wr_rand r;

        wr_rand_init(&r, 5);
        wr_rand_fill(&r, whole, sizeof(whole));
        memset(part, 0xee, sizeof(part));
        wr_rand_init(&r, 5);
        wr_rand_fill(&r, part, n);
        if (n) /* a shorter request is a prefix of a longer one */
            assert_memory_equal(part, whole, n);
        T(part[n] == 0xee);
    }
}

T_MAIN(T_TEST(test_seeding), T_TEST(test_sequence), T_TEST(test_below), T_TEST(test_fill))
