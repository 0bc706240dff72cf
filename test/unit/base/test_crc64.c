/*
 * test_crc64.c - both paths of CRC-64 against one bit at a time.
 */
#include "base/crc64.h"

#include "harness/t.h"

#define LEN_MAX 600

/* xorshift64: small, and the same sequence everywhere. */
static uint64_t next(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

/* The definition, one bit at a time. */
static uint64_t model(uint64_t crc, const uint8_t *p, size_t n)
{
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xD800000000000000u : crc >> 1;
    }
    return ~crc;
}

static void fill(uint8_t *p, size_t n, uint64_t *seed)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(next(seed) >> 32);
}

static void test_known_values(void **state)
{
    (void)state;
    T(wr_crc64(0, "123456789", 9) == 0xB90956C775A41001u);
    T(wr_crc64_plain(0, "123456789", 9) == 0xB90956C775A41001u);
    T(wr_crc64(0, "", 0) == 0);
    T(wr_crc64(0, NULL, 0) == 0);
    T(wr_crc64_plain(42, NULL, 0) == 42);
    T(wr_crc64(42, NULL, 0) == 42);
}

/* Every length up to some blocks, at every alignment, from several starting values. */
static void test_lengths_and_alignments(void **state)
{
    uint8_t area[LEN_MAX + 16];
    uint64_t seed = t_seed();

    (void)state;
    fill(area, sizeof(area), &seed);
    for (size_t n = 0; n <= LEN_MAX; n++) {
        for (size_t at = 0; at < 16; at++) {
            uint64_t start = at % 3 == 0 ? 0 : next(&seed);
            uint64_t want = model(start, area + at, n);

            T(wr_crc64(start, area + at, n) == want);
            T(wr_crc64_plain(start, area + at, n) == want);
        }
    }
}

/* Exactly the bytes asked for: the sanitizer watches a heap block of the very size. */
static void test_reads_nothing_beyond(void **state)
{
    uint64_t seed = t_seed();

    (void)state;
    for (size_t n = 1; n <= 200; n++) {
        uint8_t *p = test_malloc(n);

        fill(p, n, &seed);
        T(wr_crc64(0, p, n) == model(0, p, n));
        T(wr_crc64_plain(0, p, n) == model(0, p, n));
        test_free(p);
    }
}

/* A text checked in pieces is the text checked at once. */
static void test_random_splits(void **state)
{
    static uint8_t area[8192];
    uint64_t seed = t_seed();

    (void)state;
    fill(area, sizeof(area), &seed);
    uint64_t want = model(0, area, sizeof(area));
    for (int round = 0; round < 500; round++) {
        uint64_t fast = 0;
        uint64_t mixed = 0;
        size_t at = 0;

        while (at < sizeof(area)) {
            size_t n = (size_t)(next(&seed) % 700);

            n = wr_min(n, sizeof(area) - at);
            fast = wr_crc64(fast, area + at, n);
            mixed = next(&seed) & 1 ? wr_crc64_plain(mixed, area + at, n)
                                    : wr_crc64(mixed, area + at, n);
            at += n;
        }
        T(fast == want);
        T(mixed == want);
    }
}

static void test_large(void **state)
{
    static uint8_t area[(1 << 20) + 5];
    uint64_t seed = t_seed();

    (void)state;
    fill(area, sizeof(area), &seed);
    T(wr_crc64(7, area, sizeof(area)) == model(7, area, sizeof(area)));
    T(wr_crc64_plain(7, area, sizeof(area)) == model(7, area, sizeof(area)));
}

static void test_combine_is_concatenation(void **state)
{
    uint8_t area[2000];
    uint64_t seed = t_seed();

    (void)state;
    fill(area, sizeof(area), &seed);
    for (int round = 0; round < 3000; round++) {
        size_t a = (size_t)(next(&seed) % 1000);
        size_t b = (size_t)(next(&seed) % 1000);
        uint64_t both = wr_crc64(0, area, a + b);

        T(wr_crc64_combine(wr_crc64(0, area, a), wr_crc64(0, area + a, b), b) == both);
    }
    T(wr_crc64_combine(5, 0, 0) == 5);
    T(wr_crc64_combine(0, 9, 1234) == 9);
}

/* Lengths nobody can hold in memory: combining must not care how the pieces were grouped. */
static void test_combine_is_associative(void **state)
{
    uint64_t seed = t_seed();

    (void)state;
    for (int round = 0; round < 2000; round++) {
        uint64_t a = next(&seed);
        uint64_t b = next(&seed);
        uint64_t c = next(&seed);
        uint64_t len_b = next(&seed) >> (next(&seed) % 63 + 1);
        uint64_t len_c = next(&seed) >> (next(&seed) % 63 + 1);
        uint64_t left = wr_crc64_combine(wr_crc64_combine(a, b, len_b), c, len_c);
        uint64_t right = wr_crc64_combine(a, wr_crc64_combine(b, c, len_c), len_b + len_c);

        T(left == right);
    }
}

/* What the machine says it can do, the fast path does; elsewhere the flag must be down. */
static void test_dispatch(void **state)
{
    (void)state;
#if defined(__x86_64__)
    T(wr_crc64_accelerated() ==
        (__builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1")));
#else
    T(!wr_crc64_accelerated());
#endif
}

T_MAIN(T_TEST(test_known_values), T_TEST(test_lengths_and_alignments),
    T_TEST(test_reads_nothing_beyond), T_TEST(test_random_splits), T_TEST(test_large),
    T_TEST(test_combine_is_concatenation), T_TEST(test_combine_is_associative),
    T_TEST(test_dispatch))
