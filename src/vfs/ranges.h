/*
 * ranges.h - frames that are wanted, as requests: what lies close together in a file is read at
 * once.
 *
 * Pure.
 */
#ifndef WR_VFS_RANGES_H
#define WR_VFS_RANGES_H

#include "base/base.h"
#include "vfs/pagemap.h"

/* A page that is to be fetched, and where it is. */
struct wr_want {
    uint32_t pgno;
    struct wr_spot s;
};

/* One request: want[from..to), all of one file. */
struct wr_range {
    size_t from, to;
    uint64_t off;
    size_t n; /* bytes */
};

/* `gap`: bytes of no use that cost less than another request; `most`: bytes of one, unless one page
 * has more. */
struct wr_ranges_limits {
    size_t gap, most;
};

/* `n` pages, those of a file one after the other and by ascending offset, into `out`, which has
 * room for n; how many ranges that are. */
size_t wr_ranges_divide(const struct wr_want *want, size_t n, const struct wr_ranges_limits *limits,
    struct wr_range *out);

#endif
