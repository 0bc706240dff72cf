/*
 * test_kept.c - a file of kept pages against a table of them.
 */
#include "engine/kept.h"

#include "base/mem.h"
#include "base/rand.h"
#include "harness/t.h"

#include <sys/stat.h>

#define PAGES 3000u

/* What page `pgno` was when it was kept. */
static void paint(uint8_t *page, uint32_t size, uint32_t pgno)
{
    for (uint32_t i = 0; i < size; i += 4)
        memcpy(page + i, &(uint32_t){pgno * 2654435761u + i}, 4);
}

static void compare(const struct wr_kept *k, const bool *model, uint32_t first, uint32_t n)
{
    uint8_t *buf = wr_array(n, k->page_size), *want = wr_alloc(k->page_size);
    struct wr_err e = {0};

    T(buf && want);
    memset(buf, 0xee, (size_t)n * k->page_size);
    T_OK(wr_kept_get(k, first, n, buf, &e));
    for (uint32_t i = 0; i < n; i++) {
        T(wr_kept_has(k, first + i) == model[first + i]);
        memset(want, 0xee, k->page_size);
        if (model[first + i])
            paint(want, k->page_size, first + i);
        if (memcmp(buf + (size_t)i * k->page_size, want, k->page_size) != 0)
            fail_msg("page %u of %u and more", first + i, first);
    }
    wr_free(want);
    wr_free(buf);
}

/* Runs in any order, some of them beside each other, until all are kept. */
static void test_what_was_kept_comes_back(void **state)
{
    (void)state;
    for (uint32_t size = 512; size <= 65536; size *= 8) {
        bool model[PAGES + 1] = {false};
        const char *dir = t_path(t_tmpdir(), "outbox");
        struct wr_rand r;
        struct wr_kept k;
        struct wr_err e = {0};
        uint8_t *pages = wr_array(300, size);
        uint32_t kept = 0;

        T(pages != NULL);
        wr_rand_init(&r, size);
        wr_kept_init(&k, wr_fs_posix(), dir, size, PAGES);
        compare(&k, model, 1, PAGES); /* no file yet */
        for (int round = 0; round < 400; round++) {
            uint32_t first = 1 + (uint32_t)wr_rand_below(&r, PAGES), n = 0;
            uint32_t most = 1 + (uint32_t)wr_rand_below(&r, round % 10 == 0 ? 299 : 5);

            while (n < most && first + n <= PAGES && !model[first + n]) {
                paint(pages + (size_t)n * size, size, first + n);
                model[first + n] = true;
                n++;
            }
            if (n > 0)
                T_OK(wr_kept_put(&k, first, n, pages, &e));
            kept += n;
            T(k.n == kept);
            first = 1 + (uint32_t)wr_rand_below(&r, PAGES);
            compare(
                &k, model, first, 1 + (uint32_t)wr_rand_below(&r, wr_min(PAGES - first + 1, 700u)));
        }
        compare(&k, model, 1, PAGES);
        wr_kept_release(&k);
        wr_free(pages);
    }
}

/* 100,000 pages that were scattered over a database were as many pieces of a file: 10 s to remove.
 */
static void test_scattered_pages_are_one_piece_of_the_file(void **state)
{
    const char *dir = t_path(t_tmpdir(), "outbox");
    struct wr_kept k;
    struct wr_err e = {0};
    struct stat st;
    uint8_t page[4096];

    (void)state;
    wr_kept_init(&k, wr_fs_posix(), dir, sizeof(page), PAGES * 100);
    for (uint32_t i = 0; i < PAGES; i++) {
        paint(page, sizeof(page), i * 100 + 1);
        T_OK(wr_kept_put(&k, i * 100 + 1, 1, page, &e));
    }
    T(stat(k.path, &st) == 0);
    T((uint64_t)st.st_size <= PAGES * (4096ull + 400) + 4096); /* slots, and pages without gaps */
    wr_kept_release(&k);
    T(stat(t_path(dir, "kept.0"), &st) != 0);
}

T_MAIN(
    T_TEST(test_what_was_kept_comes_back), T_TEST(test_scattered_pages_are_one_piece_of_the_file))
