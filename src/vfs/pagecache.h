/*
 * pagecache.h - decoded pages of all replicas that a process reads, within a bound of bytes.
 *
 * A page is known by the file that its frame is in and its number: what a file says of a page never
 * changes, so nothing here ever goes out of date. When there is no room, what was not asked for
 * since the hand went by last goes first (CLOCK).
 *
 * locked.
 */
#ifndef WR_VFS_PAGECACHE_H
#define WR_VFS_PAGECACHE_H

#include "base/base.h"
#include "base/status.h"

struct wr_pagecache;

/* `bytes`: of pages and of what is needed to find them. NOMEM. */
enum wr_status wr_pagecache_new(
    uint64_t bytes, struct wr_pagecache **ret, struct wr_err *e) WR_MUST_CHECK;
void wr_pagecache_free(struct wr_pagecache *c); /* NULL-safe */

void wr_pagecache_grow(struct wr_pagecache *c, uint64_t bytes); /* to at least so much */
void wr_pagecache_clear(struct wr_pagecache *c);                /* no pages, and no room */

/* Copy `n` bytes at `off` of the page; false if it is not here. */
bool wr_pagecache_get(
    struct wr_pagecache *c, uint32_t file, uint32_t pgno, size_t off, void *buf, size_t n);

bool wr_pagecache_has(struct wr_pagecache *c, uint32_t file, uint32_t pgno);

/* Keep a copy of the page. Without memory, or in a cache that is too small for any, it is not kept,
 * which is no failure. */
void wr_pagecache_put(
    struct wr_pagecache *c, uint32_t file, uint32_t pgno, const void *page, uint32_t page_size);

struct wr_pagecache_counts {
    uint64_t bytes, bytes_max;
    uint64_t pages;
    uint64_t hits, misses;
};
void wr_pagecache_counts(struct wr_pagecache *c, struct wr_pagecache_counts *ret);

#endif
