/*
 * nearby.h - pages that need no request: those in the cache, in a local copy, and in a directory
 * that processes share.
 *
 * owned; what it names is shared.
 */
#ifndef WR_VFS_NEARBY_H
#define WR_VFS_NEARBY_H

#include "base/base.h"

struct wr_local;
struct wr_pagecache;
struct wr_pagemap;
struct wr_shelf;
struct wr_spot;

struct wr_nearby {
    struct wr_pagecache *cache;
    struct wr_local *local; /* NULL: there is none */
    struct wr_shelf *shelf; /* NULL: there is none */
    const struct wr_pagemap *m;
};

/* A page whose newest frame in the map is at `s`. */
bool wr_nearby_has(const struct wr_nearby *n, uint32_t pgno, const struct wr_spot *s);
/* `size` bytes at `off` of it; false if they are not here. */
bool wr_nearby_get(const struct wr_nearby *n, uint32_t pgno, const struct wr_spot *s, size_t off,
    void *buf, size_t size);
/* All of a page, wherever it is; `page` has room for it. False if it is not here, or nowhere. */
bool wr_nearby_page(const struct wr_nearby *n, uint32_t pgno, uint8_t *page);

#endif
