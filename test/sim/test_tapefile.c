/*
 * test_tapefile.c - tapes come back from their files as they were, and nothing else is one.
 */
#include "sim/tapefile.h"

#include "harness/t.h"

#include "base/mem.h"
#include "base/rand.h"

#define N 3000

static void comes_back(const uint32_t *p, size_t n)
{
    const char *path = t_path(t_tmpdir(), "tape");
    uint64_t seed = 0;
    bool seeded = true;
    uint32_t *q;
    size_t m = 0;

    T(tape_save(path, p, n, "NAME: 3 things, 0*4"));
    q = tape_load(path, &m, &seeded, &seed);
    T(q && !seeded);
    while (n > 0 && p[n - 1] == 0)
        n--;
    T(m == n && (n == 0 || memcmp(p, q, n * sizeof(*p)) == 0));
    wr_free(q);
}

static void what_was_saved_comes_back(void **state)
{
    static uint32_t p[N];
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 200; round++) {
        size_t n = (size_t)wr_rand_below(&r, N + 1);
        uint64_t dull = wr_rand_below(&r, 100);

        for (size_t i = 0; i < n; i++)
            p[i] = wr_rand_below(&r, 100) < dull
                       ? 0
                       : (uint32_t)(wr_rand_u64(&r) >> wr_rand_below(&r, 64));
        comes_back(p, n);
    }
}

static void ends(void **state)
{
    const uint32_t p[] = {0, 0, 0, 0, UINT32_MAX, 0, 0, 7, 0, 0, 0, 0};

    (void)state;
    for (size_t n = 0; n <= wr_countof(p); n++)
        comes_back(p, n);
}

static bool is_tape(const char *text)
{
    const char *path = t_path(t_tmpdir(), "tape");
    uint64_t seed = 0;
    bool seeded;
    uint32_t *p;
    size_t n;

    t_spew(path, text, strlen(text));
    p = tape_load(path, &n, &seeded, &seed);
    wr_free(p);
    return p != NULL;
}

static void a_seed_is_a_tape(void **state)
{
    const char *path = t_path(t_tmpdir(), "tape");
    uint64_t seed = 0;
    bool seeded = false;
    size_t n = 1;
    uint32_t *p;

    (void)state;
    T(tape_save_seed(path, 12345678901, "NAME, seed 7"));
    p = tape_load(path, &n, &seeded, &seed);
    T(p && n == 0 && seeded && seed == 12345678901);
    wr_free(p);
    T(!is_tape("seed"));
    T(!is_tape("seed x"));
    T(!is_tape("seed 1 2"));
    T(!is_tape("1 seed 2"));
}

static void nothing_else_is_a_tape(void **state)
{
    uint64_t seed;
    bool seeded;
    size_t n;

    (void)state;
    T(is_tape("# a remark\n1 2\n# 0*x\n0*3 4"));
    T(!is_tape("1 2 x"));
    T(!is_tape("1 -2"));
    T(!is_tape("4294967296"));
    T(!is_tape("0*"));
    T(!is_tape("0*0"));
    T(!is_tape("0*99999999999"));
    T(!is_tape("1 99999999999999999999999999999999999999999999"));
    T(!tape_load(t_path(t_tmpdir(), "none"), &n, &seeded, &seed));
    T(!tape_save(t_tmpdir(), NULL, 0, "a directory"));
    T(!tape_save_seed(t_tmpdir(), 1, "a directory"));
}

T_MAIN(T_TEST(what_was_saved_comes_back), T_TEST(ends), T_TEST(a_seed_is_a_tape),
    T_TEST(nothing_else_is_a_tape))
