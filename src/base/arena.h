/*
 * arena.h - bump allocation for memory that lives exactly as long as one step, request or command.
 *
 * owned: one thread at a time. Nothing in an arena is freed singly; reset frees all.
 */
#ifndef WR_BASE_ARENA_H
#define WR_BASE_ARENA_H

#include "base/base.h"
#include "base/str.h"

#define WR_ARENA_MAX ((size_t)64 << 20) /* bytes; the usual limit of a step's scratch */

struct wr_arena_block;
struct wr_arena {
    struct wr_arena_block *head;
    size_t used; /* bytes handed out since the last reset */
    size_t max;  /* bytes; at it, allocation yields NULL */
};

void wr_arena_init(struct wr_arena *a, size_t max);
void wr_arena_release(struct wr_arena *a); /* frees all blocks; `a` may be reused after init */
void wr_arena_reset(struct wr_arena *a);   /* keeps one block of at most 1 MiB */
void wr_arena_wipe(struct wr_arena *a);    /* as release, when secrets were in it */

/* Zeroed bytes aligned for any type; NULL at the limit, on overflow or when the heap is empty. */
void *wr_arena_alloc(struct wr_arena *a, size_t size) WR_MUST_CHECK;
void *wr_arena_array(struct wr_arena *a, size_t n, size_t size) WR_MUST_CHECK;

/* A NUL-terminated copy; {NULL, 0} when out of memory. */
struct wr_str wr_arena_str(struct wr_arena *a, struct wr_str s);

/* printf into the arena; {NULL, 0} when out of memory. */
struct wr_str wr_arena_fmt(struct wr_arena *a, const char *fmt, ...) WR_PRINTF(2, 3);

#endif
