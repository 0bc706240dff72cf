/*
 * follow_pages.h - a few pages in memory, as a file in which each is where it is in a database.
 *
 * A commit that a primary pushes is a few pages, which see no disk before they are in the copy.
 */
#ifndef WR_ENGINE_FOLLOW_PAGES_H
#define WR_ENGINE_FOLLOW_PAGES_H

#include "base/base.h"
#include "base/file.h"
#include "base/status.h"

/* Room for the `n` pages of `pgno`, which ascend, none twice; page p is at (p - 1) * page_size, and
 * there is nothing else: a read of it is short, a write LIMIT. Only to be read, written and closed,
 * each page by one thread. The list is the caller's and outlives the file. */
enum wr_status wr_follow_pages_new(const uint32_t *pgno, size_t n, uint32_t page_size,
    struct wr_file **ret, struct wr_err *e) WR_MUST_CHECK;

#endif
