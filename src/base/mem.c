/*
 * mem.c - the heap: zeroed, counted, made to fail on demand.
 *
 * The one file that may name the C library's allocator. Its state is process-wide because the heap
 * is; it never aborts and never logs.
 */
#include <features.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#define WR_MEM_IMPLEMENTATION
#include "base/mem.h"

#include <stdatomic.h>

/* Frozen once memory is in use; an empty slot stands for the C library. */
static struct wr_mem_hooks host;

static atomic_size_t live;
static _Atomic int64_t fail_after = -1; /* allocations still to succeed; negative: never fail */
static atomic_bool fault_fired;

/* Whether this allocation is the one to fail. The common case is one load; two threads that race
 * past it only push the counter further below zero, which still means "off". */
static bool is_fault(void)
{
    if (atomic_load_explicit(&fail_after, memory_order_relaxed) < 0)
        return false;
    if (atomic_fetch_sub(&fail_after, 1) != 0)
        return false;
    atomic_store(&fault_fired, true);
    return true;
}

void *wr_alloc(size_t size)
{
    void *p;

    if (is_fault())
        return NULL;
    if (size == 0)
        size = 1;
    if (host.alloc) {
        p = host.alloc(size);
        if (p)
            memset(p, 0, size);
    } else {
        p = calloc(1, size); /* fresh pages from the kernel are zero already: not touched twice */
    }
    if (p)
        atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    return p;
}

void wr_mem_trim(void)
{
#ifdef __GLIBC__
    if (!host.alloc)
        (void)malloc_trim(0); /* whether there was any */
#endif
}

void *wr_array(size_t n, size_t size)
{
    if (size && n > SIZE_MAX / size)
        return NULL;
    return wr_alloc(n * size);
}

void *wr_resize(void *p, size_t n, size_t size)
{
    size_t bytes;
    void *q;

    if (size && n > SIZE_MAX / size)
        return NULL;
    bytes = wr_max(n * size, (size_t)1);
    if (!p)
        return wr_alloc(bytes);
    if (is_fault())
        return NULL;
    q = host.resize ? host.resize(p, bytes) : realloc(p, bytes);
    return q;
}

void *wr_room(void *p, size_t n, size_t *cap, size_t first, size_t size)
{
    size_t more = *cap ? 2 * *cap : first;

    assert(n <= *cap);
    if (n < *cap)
        return p;
    p = *cap <= SIZE_MAX / 2 ? wr_resize(p, more, size) : NULL;
    if (p)
        *cap = more;
    return p;
}

void wr_free(void *p)
{
    if (!p)
        return;
    atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
    if (host.release)
        host.release(p);
    else
        free(p);
}

char *wr_strndup(const char *p, size_t n)
{
    char *copy = n < SIZE_MAX ? wr_alloc(n + 1) : NULL;

    if (copy && n)
        memcpy(copy, p, n);
    return copy;
}

void wr_wipe(void *p, size_t n)
{
    /* Which function this is a compiler cannot know, and so not that nobody reads what it wrote. */
    static void *(*const volatile set)(void *, int, size_t) = memset;

    if (n > 0)
        (void)set(p, 0, n);
}

void wr_mem_set_hooks(const struct wr_mem_hooks *hooks)
{
    assert(wr_mem_live() == 0);
    assert(!hooks || (hooks->alloc && hooks->resize && hooks->release));
    host = hooks ? *hooks : (struct wr_mem_hooks){0};
}

size_t wr_mem_live(void)
{
    return atomic_load(&live);
}

void wr_mem_fail_after(int64_t n)
{
    assert(n >= -1);
    atomic_store(&fault_fired, false);
    atomic_store(&fail_after, n);
}

bool wr_mem_fault_fired(void)
{
    return atomic_load(&fault_fired);
}
