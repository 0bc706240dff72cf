/*
 * arena.c - a chain of blocks, filled from the front, dropped at once.
 *
 *   head -> [header | used ... | free (zero) ] -> older blocks -> ...
 *
 * Blocks double from 4 KiB to 1 MiB, so that a small step costs a small block. A request that would
 * waste much of a block gets one of its own, behind the head, and the head goes on being filled.
 * Unused bytes of a block are always zero: new blocks come zeroed, reset clears what it keeps.
 * Under AddressSanitizer they are poisoned too, so that a pointer kept past a reset is caught.
 */
#include "base/arena.h"

#include "base/mem.h"

#include <stdalign.h>
#include <stdarg.h>

#define BLOCK_MIN ((size_t)4 << 10)
#define BLOCK_MAX ((size_t)1 << 20)

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(HAVE_ASAN)
#include <sanitizer/asan_interface.h>
#define forbid(p, n) ASAN_POISON_MEMORY_REGION((p), (n))
#define permit(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#else
#define forbid(p, n) ((void)(p), (void)(n))
#define permit(p, n) ((void)(p), (void)(n))
#endif

struct wr_arena_block {
    struct wr_arena_block *next;
    size_t size; /* bytes of data */
    size_t used; /* multiple of the alignment */
    alignas(max_align_t) unsigned char data[];
};

static void block_free(struct wr_arena_block *b)
{
    permit(b->data, b->size);
    wr_free(b);
}

void wr_arena_init(struct wr_arena *a, size_t max)
{
    *a = (struct wr_arena){.max = max};
}

void wr_arena_release(struct wr_arena *a)
{
    struct wr_arena_block *b = a->head;

    while (b) {
        struct wr_arena_block *next = b->next;

        block_free(b);
        b = next;
    }
    a->head = NULL;
    a->used = 0;
}

void wr_arena_wipe(struct wr_arena *a)
{
    for (struct wr_arena_block *b = a->head; b; b = b->next) {
        permit(b->data, b->used);
        wr_wipe(b->data, b->used);
    }
    wr_arena_release(a);
}

void wr_arena_reset(struct wr_arena *a)
{
    struct wr_arena_block *keep = a->head;

    /* One huge answer must not pin its memory for the life of an idle owner. */
    if (keep && keep->size <= BLOCK_MAX) {
        a->head = keep->next;
        wr_arena_release(a);
        permit(keep->data, keep->used);
        memset(keep->data, 0, keep->used);
        forbid(keep->data, keep->used);
        keep->used = 0;
        keep->next = NULL;
        a->head = keep;
    } else {
        wr_arena_release(a);
    }
}

/* A block with room for `size` bytes, linked in; NULL when the heap is empty. */
static struct wr_arena_block *block_add(struct wr_arena *a, size_t size)
{
    size_t next_size = a->head ? wr_min(a->head->size * 2, BLOCK_MAX) : BLOCK_MIN;
    bool own;
    struct wr_arena_block *b;

    next_size = wr_max(next_size, BLOCK_MIN);
    own = size > next_size / 2;
    if (own)
        next_size = size;
    if (next_size > SIZE_MAX - sizeof(*b))
        return NULL;
    b = wr_alloc(sizeof(*b) + next_size);
    if (!b)
        return NULL;
    b->size = next_size;
    forbid(b->data, b->size);
    if (own && a->head) {
        b->next = a->head->next;
        a->head->next = b;
    } else {
        b->next = a->head;
        a->head = b;
    }
    return b;
}

void *wr_arena_alloc(struct wr_arena *a, size_t size)
{
    const size_t align = alignof(max_align_t);
    struct wr_arena_block *b = a->head;
    size_t whole;
    unsigned char *p;

    if (size > SIZE_MAX - align)
        return NULL;
    /* Zero bytes still get an address of their own. */
    whole = (wr_max(size, (size_t)1) + align - 1) & ~(align - 1);
    assert(a->used <= a->max);
    if (whole > a->max - a->used)
        return NULL;
    if (!b || whole > b->size - b->used) {
        b = block_add(a, whole);
        if (!b)
            return NULL;
    }
    assert(whole <= b->size - b->used);
    p = b->data + b->used;
    b->used += whole;
    a->used += whole;
    permit(p, size); /* the padding stays poisoned */
    return p;
}

void *wr_arena_array(struct wr_arena *a, size_t n, size_t size)
{
    if (size && n > SIZE_MAX / size)
        return NULL;
    return wr_arena_alloc(a, n * size);
}

struct wr_str wr_arena_str(struct wr_arena *a, struct wr_str s)
{
    char *copy = s.n < SIZE_MAX ? wr_arena_alloc(a, s.n + 1) : NULL;

    if (!copy)
        return (struct wr_str){NULL, 0};
    if (s.n)
        memcpy(copy, s.p, s.n);
    return (struct wr_str){copy, s.n};
}

struct wr_str wr_arena_fmt(struct wr_arena *a, const char *fmt, ...)
{
    va_list ap;
    va_list again;
    char *p = NULL;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    if (n >= 0)
        p = wr_arena_alloc(a, (size_t)n + 1);
    if (p)
        n = vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    va_end(ap);
    return p ? (struct wr_str){p, (size_t)n} : (struct wr_str){NULL, 0};
}
