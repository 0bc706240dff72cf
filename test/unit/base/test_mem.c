/*
 * test_mem.c - the heap's promises: zeroed, counted, failing when told, also from many threads.
 */
#include "base/mem.h"

#include "base/rand.h"
#include "base/sync.h"
#include "harness/t.h"

#include <stdalign.h>

static bool is_zero(const void *p, size_t n)
{
    const unsigned char *c = p;

    for (size_t i = 0; i < n; i++) {
        if (c[i])
            return false;
    }
    return true;
}

static void test_alloc_is_zeroed_and_counted(void **state)
{
    size_t live = wr_mem_live();

    (void)state;
    for (size_t n = 1; n < 5000; n = n * 3 / 2 + 1) {
        char *p = wr_alloc(n);

        T(p != NULL);
        T(is_zero(p, n));
        T(wr_mem_live() == live + 1);
        memset(p, 0xee, n); /* the next one may get the same memory back */
        wr_free(p);
        T(wr_mem_live() == live);
    }
}

static void test_size_zero_is_unique(void **state)
{
    void *a = wr_alloc(0);
    void *b = wr_array(0, 8);
    void *c = wr_resize(NULL, 0, 8);

    (void)state;
    T(a && b && c && a != b && b != c && a != c);
    a = wr_resize(a, 0, 1);
    T(a != NULL);
    wr_free(a);
    wr_free(b);
    wr_free(c);
    wr_free(NULL);
}

static void test_overflow(void **state)
{
    char *p = wr_alloc(4);
    size_t live = wr_mem_live();

    (void)state;
    T(p != NULL);
    T(wr_array(SIZE_MAX / 2, 3) == NULL);
    T(wr_array(3, SIZE_MAX / 2) == NULL);
    T(wr_array(SIZE_MAX / 8 + 2, 8) == NULL); /* whose product wraps to 8 */
    T(wr_resize(p, SIZE_MAX / 8 + 2, 8) == NULL);
    T(wr_resize(NULL, SIZE_MAX / 8 + 2, 8) == NULL);
    T(wr_resize(p, SIZE_MAX / 2, 3) == NULL);
    T(wr_strndup("", SIZE_MAX) == NULL);
    T(wr_mem_live() == live);
    memset(p, 'k', 4); /* a failed resize leaves the block alone */
    wr_free(p);
}

static void test_room(void **state)
{
    size_t live = wr_mem_live(), cap = 0, n = 0;
    uint32_t *p = NULL, *q;

    (void)state;
    for (; n < 12; n++) {
        q = wr_room(p, n, &cap, 3, sizeof(*p));
        T(q != NULL);
        T(cap == (n < 3 ? 3 : n < 6 ? 6 : 12));
        p = q;
        p[n] = (uint32_t)n + 1;
    }
    for (uint32_t i = 0; i < n; i++)
        T(p[i] == i + 1);
    wr_mem_fail_after(0);
    T(wr_room(p, n, &cap, 3, sizeof(*p)) == NULL);
    T(wr_mem_fault_fired());
    T(cap == 12 && p[11] == 12);
    wr_mem_fail_after(-1);
    wr_free(p);
    cap = n = SIZE_MAX - 1; /* twice as many is more than there is */
    T(wr_room(NULL, n, &cap, 3, 1) == NULL && cap == SIZE_MAX - 1);
    T(wr_mem_live() == live);
}

static void test_resize(void **state)
{
    size_t live = wr_mem_live();
    uint32_t *p = wr_resize(NULL, 3, sizeof(*p));
    uint32_t *q;

    (void)state;
    T(p != NULL);
    for (uint32_t i = 0; i < 3; i++)
        p[i] = i + 7;
    q = wr_resize(p, 1000, sizeof(*p));
    T(q != NULL);
    for (uint32_t i = 0; i < 3; i++)
        T(q[i] == i + 7);
    T(wr_mem_live() == live + 1);

    wr_mem_fail_after(0);
    T(wr_resize(q, 2000, sizeof(*q)) == NULL);
    T(wr_mem_fault_fired());
    T(q[2] == 9);
    T(wr_mem_live() == live + 1);
    wr_mem_fail_after(-1);
    wr_free(q);
    T(wr_mem_live() == live);
}

static void test_strndup(void **state)
{
    char *p = wr_strndup("weird", 4);
    char *empty = wr_strndup(NULL, 0);

    (void)state;
    T(p && empty);
    assert_string_equal(p, "weir");
    assert_string_equal(empty, "");
    wr_free(p);
    wr_free(empty);
}

static void test_wipe(void **state)
{
    char secret[33];

    (void)state;
    memset(secret, 's', sizeof(secret));
    wr_wipe(secret, 32);
    T(is_zero(secret, 32));
    T(secret[32] == 's');
    wr_wipe(NULL, 0);
}

static void test_fails_once_where_told(void **state)
{
    (void)state;
    for (int64_t nth = 0; nth < 10; nth++) {
        wr_mem_fail_after(nth);
        T(!wr_mem_fault_fired());
        for (int64_t i = 0; i < 20; i++) {
            /* All four ways to allocate count alike. */
            void *p = i % 4 == 0   ? wr_alloc(8)
                      : i % 4 == 1 ? wr_array(2, 4)
                      : i % 4 == 2 ? wr_resize(NULL, 2, 4)
                                   : (void *)wr_strndup("abc", 3);

            T((p == NULL) == (i == nth));
            T(wr_mem_fault_fired() == (i >= nth));
            wr_free(p);
        }
    }
    wr_mem_fail_after(3);
    wr_mem_fail_after(-1);
    for (int i = 0; i < 10; i++) {
        void *p = wr_alloc(1);

        T(p != NULL);
        wr_free(p);
    }
    T(!wr_mem_fault_fired());
}

/* A host's allocator that hands out memory full of rubbish, from a static pool. */
static struct {
    alignas(max_align_t) unsigned char pool[4096];
    size_t used;
    int allocs, resizes, releases;
    bool empty;
} host;

static void *host_alloc(size_t size)
{
    unsigned char *p = host.pool + host.used;

    host.allocs++;
    T(size > 0);
    if (host.empty)
        return NULL;
    host.used += (size + 15) / 16 * 16;
    memset(p, 0xaa, size);
    return p;
}

static void *host_resize(void *p, size_t size)
{
    void *q = host_alloc(size);

    host.resizes++;
    if (q)
        memcpy(q, p, 4); /* what the test keeps there */
    return q;
}

static void host_release(void *p)
{
    (void)p;
    host.releases++;
}

static void test_hooks(void **state)
{
    static const struct wr_mem_hooks hooks = {host_alloc, host_resize, host_release};
    char *p;
    char *q;

    (void)state;
    T(wr_mem_live() == 0);
    wr_mem_set_hooks(&hooks);
    p = wr_alloc(100);
    T(p == (char *)host.pool);
    T(is_zero(p, 100));
    memset(p, 'h', 4);
    q = wr_resize(p, 50, 4);
    T(q && q[0] == 'h' && q[3] == 'h');
    host.empty = true;
    T(wr_alloc(1) == NULL);
    T(wr_resize(q, 1, 400) == NULL);
    T(wr_mem_live() == 1);
    wr_free(NULL);
    T(host.releases == 0);
    wr_free(q);
    host.empty = false;
    q = wr_alloc(0);
    T(q != NULL);
    wr_free(q);
    T(host.allocs == 5 && host.resizes == 2 && host.releases == 2);
    T(wr_mem_live() == 0);

    wr_mem_set_hooks(NULL);
    p = wr_alloc(100);
    T(p != NULL);
    wr_free(p);
    T(host.allocs == 5);
}

#define THREADS 4
#define BLOCKS  2000

struct worker {
    struct wr_thread thread;
    uint64_t seed;
    int failed;
};

static void churn(void *arg)
{
    struct worker *w = arg;
    struct wr_rand r;
    void *held[16] = {0};

    wr_rand_init(&r, w->seed);
    for (int i = 0; i < BLOCKS; i++) {
        size_t at = wr_rand_below(&r, wr_countof(held));

        wr_free(held[at]);
        held[at] = wr_alloc(wr_rand_below(&r, 200));
        w->failed += held[at] == NULL;
    }
    for (size_t i = 0; i < wr_countof(held); i++)
        wr_free(held[i]);
}

static void test_threads_count_and_fail_once(void **state)
{
    struct worker workers[THREADS] = {0};
    size_t live = wr_mem_live();
    struct wr_err e = {0};
    int failed = 0;

    (void)state;
    wr_mem_fail_after(THREADS * BLOCKS / 2);
    for (size_t i = 0; i < THREADS; i++) {
        workers[i].seed = t_seed() + i;
        T_OK(wr_thread_start(&workers[i].thread, "churn", 0, churn, &workers[i], &e));
    }
    for (size_t i = 0; i < THREADS; i++) {
        wr_thread_join(&workers[i].thread);
        failed += workers[i].failed;
    }
    T(failed == 1);
    T(wr_mem_fault_fired());
    wr_mem_fail_after(-1);
    T(wr_mem_live() == live);
}

T_MAIN(T_TEST(test_alloc_is_zeroed_and_counted), T_TEST(test_size_zero_is_unique),
    T_TEST(test_overflow), T_TEST(test_resize), T_TEST(test_room), T_TEST(test_strndup),
    T_TEST(test_wipe), T_TEST(test_fails_once_where_told), T_TEST(test_hooks),
    T_TEST(test_threads_count_and_fail_once))
