/*
 * corpus_main.c - run a fuzz target without a fuzzer: over every file below the given paths, and
 * over each with seeded damage. So the corpora are plain tests, under any compiler. Memory is
 * capped: by test/fuzz/meson.build under AddressSanitizer, whose shadow no limit would fit, else
 * here.
 *
 *     fuzz_x [FILE or DIRECTORY]...     WEIR_TEST_SEED and WEIR_FUZZ_ROUNDS as in the other tests
 */
/* For nftw, which is XSI and not plain POSIX. */
#define _XOPEN_SOURCE 700 /* NOLINT(bugprone-reserved-identifier): it is reserved for this */

#include "base/mem.h"
#include "base/rand.h"
#include "base/str.h"
#include "fuzz/fuzz.h"
#include "harness/t.h"

#include <ftw.h>
#include <sys/resource.h>
#include <sys/stat.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define HAVE_ASAN 1
#endif

enum {
    OPEN_MAX_DIRS = 16
};
#define MEMORY_MAX ((rlim_t)1 << 30) /* bytes of address space */

static struct {
    const char *paths[64]; /* nftw knows no argument: what it is to visit */
    size_t n;
    uint64_t rounds;
    size_t files;
} run;

/* The target gets a copy of exactly the size, so that a read past the end is seen. */
static void one(const uint8_t *p, size_t n)
{
    uint8_t *exact = wr_alloc(n);

    assert(exact);
    memcpy(exact, p, n);
    (void)LLVMFuzzerTestOneInput(exact, n);
    wr_free(exact);
}

static void damaged(struct wr_rand *r, const uint8_t *p, size_t n)
{
    uint8_t *copy = wr_alloc(n);

    assert(copy);
    memcpy(copy, p, n);
    for (uint64_t k = 1 + wr_rand_below(r, 4); k > 0; k--) {
        size_t at = (size_t)wr_rand_below(r, n);
        static const uint8_t EDGES[] = {0, 1, 0x7f, 0x80, 0xff};

        if (wr_rand_below(r, 2) == 0)
            copy[at] ^= (uint8_t)(1 << wr_rand_below(r, 8));
        else
            copy[at] = EDGES[wr_rand_below(r, sizeof(EDGES))];
    }
    one(copy, wr_rand_below(r, 4) ? n : (size_t)wr_rand_below(r, n + 1));
    wr_free(copy);
}

static int visit(const char *path, const struct stat *info, int type, struct FTW *where)
{
    struct wr_bytes file;
    struct wr_rand r;

    (void)where;
    if (type != FTW_F || !S_ISREG(info->st_mode))
        return 0;
    file = t_slurp(path);
    run.files++;
    one(file.p, file.n);
    wr_rand_init(&r, t_seed() ^ run.files);
    for (uint64_t i = 0; i < run.rounds && file.n > 0; i++)
        damaged(&r, file.p, file.n);
    return 0;
}

static void cap_memory(void)
{
#ifndef HAVE_ASAN
    struct rlimit limit = {.rlim_cur = MEMORY_MAX, .rlim_max = MEMORY_MAX};

    T(setrlimit(RLIMIT_AS, &limit) == 0);
#endif
}

static void test_corpus(void **state)
{
    (void)state;
    cap_memory();
    one((const uint8_t *)"", 0);
    for (size_t i = 0; i < run.n; i++)
        assert_int_equal(nftw(run.paths[i], visit, OPEN_MAX_DIRS, FTW_PHYS), 0);
    T(run.files > 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {T_TEST(test_corpus)};
    const char *rounds = getenv("WEIR_FUZZ_ROUNDS");

    run.rounds = 20;
    if (rounds && !wr_parse_u64(wr_str(rounds), &run.rounds))
        return 2;
    for (int i = 1; i < argc && run.n < wr_countof(run.paths); i++)
        run.paths[run.n++] = argv[i];
    return t_main(1, argv, tests, wr_countof(tests));
}
