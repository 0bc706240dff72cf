/*
 * mem.h - the heap, with hooks for hosts and for fault sweeps.
 *
 * locked: the counters are atomic; any thread may call. Nothing here aborts: NULL is WR_NOMEM.
 */
#ifndef WR_BASE_MEM_H
#define WR_BASE_MEM_H

#include "base/base.h"

/* Heap memory, zeroed. `size` 0 yields a unique pointer. Freed by wr_free. */
void *wr_alloc(size_t size) WR_MUST_CHECK;

/* `n` elements of `size` bytes, zeroed; NULL when the product overflows. */
void *wr_array(size_t n, size_t size) WR_MUST_CHECK;

/* Grow or shrink to `n` elements of `size` bytes, contents kept, new bytes undefined. On NULL the
 * old block is untouched and still the caller's. `p` may be NULL. */
void *wr_resize(void *p, size_t n, size_t size) WR_MUST_CHECK;

/* Room for one more in an array of `n` elements of `size` bytes with room for *cap: where it is
 * from here on. It gets room for twice as many when it is full, for `first` when it had none. NULL:
 * out of memory, and all is as it was. `p` may be NULL. */
void *wr_room(void *p, size_t n, size_t *cap, size_t first, size_t size) WR_MUST_CHECK;

/* NULL-safe. */
void wr_free(void *p);

/* A NUL-terminated heap copy of `n` bytes. */
char *wr_strndup(const char *p, size_t n) WR_MUST_CHECK;

/* Zero `n` bytes in a way no optimiser removes, for secrets. */
void wr_wipe(void *p, size_t n);

/* Replace the allocator. Before the first allocation, from one thread. All three slots are set;
 * they are copied. NULL goes back to the C library's. */
struct wr_mem_hooks {
    void *(*alloc)(size_t size);
    void *(*resize)(void *p, size_t size);
    void (*release)(void *p);
};
void wr_mem_set_hooks(const struct wr_mem_hooks *hooks);

/* Give memory that was freed back to the system, where the C library keeps it: for who had much at
 * first and is long-lived. Milliseconds. Does nothing while hooks are set. */
void wr_mem_trim(void);

/* Blocks allocated and not yet freed. For leak checks in tests. */
size_t wr_mem_live(void);

/* Make the allocation after the next `n` ones fail once (0: the very next); -1 turns it off. */
void wr_mem_fail_after(int64_t n);

/* Whether the failure armed by wr_mem_fail_after has happened. */
bool wr_mem_fault_fired(void);

#endif
