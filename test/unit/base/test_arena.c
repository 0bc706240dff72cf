/*
 * test_arena.c - blocks of an arena are zeroed, aligned, apart from each other, bounded and gone at
 * once.
 */
#include "base/arena.h"

#include "base/mem.h"
#include "base/rand.h"
#include "harness/t.h"

#include <stdalign.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(HAVE_ASAN)
#include <sanitizer/asan_interface.h>
#define is_poisoned(p) __asan_address_is_poisoned(p)
#else
#define is_poisoned(p) ((void)(p), true)
#endif

struct piece {
    unsigned char *p;
    size_t n;
    unsigned char fill;
};

static bool all_are(const struct piece *s, unsigned char want)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->p[i] != want)
            return false;
    }
    return true;
}

/* Sizes of every magnitude: mostly small, some larger than any block. */
static size_t random_size(struct wr_rand *r)
{
    return (size_t)wr_rand_below(r, (uint64_t)1 << wr_rand_below(r, 17));
}

static void test_pieces_are_apart_zeroed_and_aligned(void **state)
{
    struct wr_arena a;
    struct wr_rand r;
    size_t live = wr_mem_live();

    (void)state;
    wr_rand_init(&r, t_seed());
    wr_arena_init(&a, WR_ARENA_MAX);
    for (int round = 0; round < 60; round++) {
        struct piece pieces[200];
        size_t n = wr_rand_below(&r, wr_countof(pieces));

        for (size_t i = 0; i < n; i++) {
            struct piece *s = &pieces[i];

            s->n = random_size(&r);
            s->p = wr_arena_alloc(&a, s->n);
            s->fill = (unsigned char)(i + 1);
            T(s->p != NULL);
            T((uintptr_t)s->p % alignof(max_align_t) == 0);
            T(all_are(s, 0));
            memset(s->p, s->fill, s->n);
        }
        for (size_t i = 0; i < n; i++) {
            T(all_are(&pieces[i], pieces[i].fill));
            for (size_t j = 0; j < i; j++)
                T(pieces[i].p != pieces[j].p); /* also those of size 0 */
        }
        if (wr_rand_below(&r, 5) == 0) {
            wr_arena_release(&a);
            T(wr_mem_live() == live);
            wr_arena_init(&a, WR_ARENA_MAX);
        } else {
            wr_arena_reset(&a);
            T(wr_mem_live() <= live + 1);
        }
        T(a.used == 0);
    }
    wr_arena_release(&a);
    T(wr_mem_live() == live);
}

static void test_limit(void **state)
{
    struct wr_arena a;
    char *p;

    (void)state;
    wr_arena_init(&a, 1024);
    T(wr_arena_alloc(&a, 1025) == NULL);
    T(wr_arena_alloc(&a, SIZE_MAX) == NULL);
    T(wr_arena_alloc(&a, SIZE_MAX - 5) == NULL);
    T(wr_arena_array(&a, SIZE_MAX / 2, 3) == NULL);
    T(wr_arena_array(&a, 3, SIZE_MAX / 2) == NULL);
    T(wr_arena_array(&a, SIZE_MAX / 8 + 2, 8) == NULL); /* whose product wraps to 8 */
    T(a.used == 0);
    p = wr_arena_alloc(&a, 1024);
    T(p != NULL);
    p[1023] = 'x';
    T(a.used == 1024);
    T(wr_arena_alloc(&a, 1) == NULL);
    T(wr_arena_alloc(&a, 0) == NULL);
    T(wr_arena_str(&a, WR_STR("")).p == NULL);
    T(wr_arena_fmt(&a, "%d", 1).p == NULL);
    wr_arena_reset(&a);
    T(wr_arena_array(&a, 128, 8) != NULL);
    wr_arena_release(&a);

    wr_arena_init(&a, 0);
    T(wr_arena_alloc(&a, 0) == NULL);
    wr_arena_release(&a);
}

static void test_few_blocks(void **state)
{
    struct wr_arena a;
    size_t live = wr_mem_live();
    char *first;
    char *after;

    (void)state;
    wr_arena_init(&a, WR_ARENA_MAX);
    T(wr_mem_live() == live);
    first = wr_arena_alloc(&a, 16);
    T(wr_arena_alloc(&a, 100000) != NULL); /* in a block of its own ... */
    after = wr_arena_alloc(&a, 16);        /* ... while the first goes on being filled */
    T(after == first + 16);
    T(wr_mem_live() == live + 2);
    for (int i = 0; i < 10000; i++)
        T(wr_arena_alloc(&a, 100) != NULL);
    /* Doubling: a megabyte in small pieces takes 4K + 8K + ... + 1M, not 250 blocks of 4K. */
    T(wr_mem_live() <= live + 2 + 9);
    wr_arena_reset(&a);
    T(wr_mem_live() == live + 1);
    wr_arena_release(&a);

    /* A huge piece is not kept. */
    wr_arena_init(&a, WR_ARENA_MAX);
    T(wr_arena_alloc(&a, (size_t)2 << 20) != NULL);
    wr_arena_reset(&a);
    T(wr_mem_live() == live);
    T(wr_arena_alloc(&a, 1) != NULL);
    wr_arena_release(&a);
    T(wr_mem_live() == live);
    wr_arena_release(&a);
}

static void test_str(void **state)
{
    struct wr_arena a;
    char source[] = "replica";
    struct wr_str s;

    (void)state;
    wr_arena_init(&a, WR_ARENA_MAX);
    s = wr_arena_str(&a, (struct wr_str){source, 4});
    source[0] = 'X';
    T(s.n == 4);
    assert_string_equal(s.p, "repl");
    s = wr_arena_str(&a, (struct wr_str){NULL, 0});
    T(s.n == 0 && s.p && s.p[0] == '\0');
    T(wr_arena_str(&a, (struct wr_str){"x", SIZE_MAX}).p == NULL);
    wr_arena_release(&a);
}

static void test_fmt(void **state)
{
    struct wr_arena a;
    struct wr_str s;
    char long_text[9000];

    (void)state;
    wr_arena_init(&a, WR_ARENA_MAX);
    s = wr_arena_fmt(&a, "%s/%04x", "ltx", 42u);
    T(s.n == 8);
    assert_string_equal(s.p, "ltx/002a");
    s = wr_arena_fmt(&a, "%s", "");
    T(s.n == 0 && s.p && s.p[0] == '\0');
    memset(long_text, 'y', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    s = wr_arena_fmt(&a, "<%s>", long_text);
    T(s.n == sizeof(long_text) + 1);
    T(s.p[0] == '<' && s.p[s.n - 1] == '>' && s.p[s.n] == '\0');
    wr_arena_release(&a);
}

static void test_stale_pointers_are_caught(void **state)
{
    struct wr_arena a;
    char *p;

    (void)state;
    wr_arena_init(&a, WR_ARENA_MAX);
    p = wr_arena_alloc(&a, 20);
    T(p != NULL);
    T(is_poisoned(p + 20)); /* one past the end is no one's */
    wr_arena_reset(&a);
    T(is_poisoned(p));
    T(wr_arena_alloc(&a, 20) == p);
    p[19] = 1;
    wr_arena_release(&a);
}

static enum wr_status fill(void *arg)
{
    struct wr_arena a;
    enum wr_status st = WR_NOMEM;

    (void)arg;
    wr_arena_init(&a, WR_ARENA_MAX);
    if (!wr_arena_alloc(&a, 10) || !wr_arena_array(&a, 1000, 8))
        goto out;
    for (int i = 0; i < 2000; i++) {
        struct wr_str copy = wr_arena_str(&a, WR_STR("some text"));
        struct wr_str number = wr_arena_fmt(&a, "%d", i);

        /* Without a block there is a failure and nothing else. */
        T((copy.p != NULL) == (copy.n == 9));
        T((number.p != NULL) == (number.n > 0));
        if (!copy.p || !number.p)
            goto out;
    }
    st = WR_OK;
out:
    wr_arena_release(&a);
    return st;
}

static void test_out_of_memory(void **state)
{
    (void)state;
    t_sweep_nomem(fill, NULL);
}

static unsigned marks; /* bytes 0xa5 in memory that was freed */

static alignas(max_align_t) unsigned char heap[12 << 20]; /* is handed out once */
static size_t heap_used;

static void *hook_alloc(size_t size)
{
    unsigned char *p = heap + heap_used;

    T(size < sizeof(heap) - heap_used - 64);
    memcpy(p, &size, sizeof(size));
    heap_used += (32 + size + 15) / 16 * 16;
    return p + 32;
}

static void hook_release(void *p)
{
    const unsigned char *bytes = p;
    size_t size;

    memcpy(&size, bytes - 32, sizeof(size));
    for (size_t i = 0; i < size; i++)
        marks += bytes[i] == 0xa5;
}

static void *hook_resize(void *p, size_t size)
{
    (void)p;
    (void)size;
    return NULL;
}

static void test_secrets_are_wiped(void **state)
{
    const struct wr_mem_hooks hooks = {hook_alloc, hook_resize, hook_release};
    struct wr_arena a;

    (void)state;
    wr_mem_set_hooks(&hooks);
    for (int wipe = 0; wipe < 2; wipe++) {
        marks = 0;
        wr_arena_init(&a, WR_ARENA_MAX);
        for (size_t i = 0; i < 40; i++) { /* of several blocks, one of its own */
            size_t n = i == 20 ? (size_t)3 << 20 : 777;
            void *p = wr_arena_alloc(&a, n);

            T(p);
            memset(p, 0xa5, n);
        }
        if (wipe)
            wr_arena_wipe(&a);
        else
            wr_arena_release(&a);
        /* The address of a block, which is in another one, may have such bytes. */
        T(wipe ? marks < 100 : marks >= ((unsigned)3 << 20) + 39 * 777);
    }
    wr_mem_set_hooks(NULL);
}

T_MAIN(T_TEST(test_secrets_are_wiped), T_TEST(test_pieces_are_apart_zeroed_and_aligned),
    T_TEST(test_limit), T_TEST(test_few_blocks), T_TEST(test_str), T_TEST(test_fmt),
    T_TEST(test_stale_pointers_are_caught), T_TEST(test_out_of_memory))
