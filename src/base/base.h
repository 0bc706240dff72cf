/*
 * base.h - attributes, small macros, and the functions nobody may call.
 *
 * Every header of the project includes this one first, directly or through another.
 */
#ifndef WR_BASE_BASE_H
#define WR_BASE_BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WR_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define WR_MUST_CHECK   __attribute__((warn_unused_result))

#define wr_countof(a) (sizeof(a) / sizeof((a)[0]))

/* The one that is returned is evaluated twice: no count that goes up in it, no call that acts. */
#define wr_min(a, b) ((a) < (b) ? (a) : (b))
#define wr_max(a, b) ((a) > (b) ? (a) : (b))

/* The struct of type `type` whose member `member` is at `ptr`. */
#define wr_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Unbounded, locale-bound or hidden-state functions. Use buf.h, str.h, clock.h, rand.h; the heap
 * belongs to mem.c, which defines WR_MEM_IMPLEMENTATION before it includes this header. */
#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf strtok gets
#pragma GCC poison atoi atol strtol sscanf gmtime localtime asctime ctime mktemp rand srand system
#ifndef WR_MEM_IMPLEMENTATION
#pragma GCC poison malloc calloc realloc free strdup
#endif

#endif
