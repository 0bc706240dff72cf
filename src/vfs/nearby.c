/*
 * nearby.c - see nearby.h.
 */
#include "vfs/nearby.h"

#include "base/mem.h"
#include "vfs/local.h"
#include "vfs/pagecache.h"
#include "vfs/pagemap.h"
#include "vfs/shelf.h"

bool wr_nearby_has(const struct wr_nearby *n, uint32_t pgno, const struct wr_spot *s)
{
    return wr_pagecache_has(n->cache, s->in->id, pgno) ||
           (n->local && wr_local_has(n->local, wr_pagemap_about(n->m), pgno, s->in->file.max)) ||
           (n->shelf && wr_shelf_has(n->shelf, s->in, pgno, wr_pagemap_about(n->m)->page_size));
}

/* It is read as a whole, and then is in the cache. */
static bool get_shelved(const struct wr_nearby *n, uint32_t pgno, const struct wr_spot *s,
    size_t off, void *buf, size_t size)
{
    uint32_t page_size = wr_pagemap_about(n->m)->page_size;
    uint8_t *page = wr_alloc(page_size);
    bool is = page && wr_shelf_get(n->shelf, s->in, pgno, page, page_size);

    if (is) {
        wr_pagecache_put(n->cache, s->in->id, pgno, page, page_size);
        memcpy(buf, page + off, size);
    }
    wr_free(page);
    return is;
}

bool wr_nearby_get(const struct wr_nearby *n, uint32_t pgno, const struct wr_spot *s, size_t off,
    void *buf, size_t size)
{
    return wr_pagecache_get(n->cache, s->in->id, pgno, off, buf, size) ||
           (n->local && wr_local_read(n->local, wr_pagemap_about(n->m), pgno, s->in->file.max, off,
                            buf, size)) ||
           (n->shelf && get_shelved(n, pgno, s, off, buf, size));
}

bool wr_nearby_page(const struct wr_nearby *n, uint32_t pgno, uint8_t *page)
{
    struct wr_spot s;

    return wr_pagemap_find(n->m, pgno, &s) &&
           wr_nearby_get(n, pgno, &s, 0, page, wr_pagemap_about(n->m)->page_size);
}
