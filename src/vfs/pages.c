/*
 * pages.c - see pages.h.
 */
#include "vfs/pages.h"

#include "base/list.h"
#include "base/mem.h"
#include "base/sync.h"
#include "engine/inputs.h"
#include "ltx/frame.h"
#include "storage/storage.h"
#include "vfs/pagecache.h"
#include "vfs/pagemap.h"

#include <stdatomic.h>

#define WINDOW_MAX 256                /* pages with one request */
#define RANGE_MAX  ((size_t)1 << 20)  /* bytes with one request, unless one page has more */
#define GAP_MAX    ((size_t)16 << 10) /* bytes of no use that cost less than another request */
#define SKIP_MAX   8                  /* pages that a reader leaves out and is still on its way */
#define WAIT_NS    50000000           /* between looks whether to give up waiting for another */

/* A request on its way. */
struct flight {
    struct wr_link link;
    uint32_t file, from, to; /* pages, both included */
};

struct wr_pages {
    struct wr_storage *storage;
    struct wr_pagecache *cache;
    struct wr_mutex mutex;
    struct wr_cond landed;
    struct wr_list flights; /* guarded by mutex */
    _Atomic uint64_t fetches, bytes, decoded;
};

enum wr_status wr_pages_new(
    struct wr_storage *s, struct wr_pagecache *cache, struct wr_pages **ret, struct wr_err *e)
{
    struct wr_pages *p = wr_alloc(sizeof(*p));

    if (!p)
        return wr_fail(e, WR_NOMEM, "pages of a replica: out of memory");
    p->storage = s;
    p->cache = cache;
    wr_list_init(&p->flights);
    wr_mutex_init(&p->mutex);
    wr_cond_init(&p->landed);
    *ret = p;
    return WR_OK;
}

void wr_pages_free(struct wr_pages *p)
{
    if (!p)
        return;
    assert(wr_list_empty(&p->flights));
    wr_cond_release(&p->landed);
    wr_mutex_release(&p->mutex);
    wr_free(p);
}

/* ---- how much to fetch ---- */

/* The window for a miss at `pgno`: twice the last one where the reader went on from it. */
static uint32_t steer(struct wr_pages_reader *r, uint32_t pgno, size_t *ret_head)
{
    size_t oldest = 0;

    r->clock++;
    for (size_t i = 0; i < WR_PAGES_HEADS; i++) {
        if (r->head[i].next && pgno >= r->head[i].next && pgno - r->head[i].next <= SKIP_MAX) {
            *ret_head = i;
            return wr_min(r->head[i].window * 2, (uint32_t)WINDOW_MAX);
        }
        if (r->head[i].used < r->head[oldest].used)
            oldest = i;
    }
    *ret_head = oldest;
    return 1;
}

/* What is fetched with one request: frames of one file, with gaps between them. */
struct range {
    uint32_t file_id;
    struct wr_ltx_file file;
    uint64_t off;
    size_t n;
    uint32_t from, to; /* pages, both included */
};

static struct range range_of(
    const struct wr_pagemap *m, uint32_t pgno, const struct wr_spot *first, uint32_t window)
{
    struct range x = {.file_id = first->in->id,
        .file = first->in->file,
        .off = first->off,
        .n = first->length,
        .from = pgno,
        .to = pgno};

    for (uint32_t i = 1; i < window; i++) {
        uint64_t end = x.off + x.n;
        struct wr_spot s;

        if (pgno + i < pgno || !wr_pagemap_find(m, pgno + i, &s) || s.in != first->in)
            continue;
        if (s.off < end || s.off - end > GAP_MAX || s.off + s.length - x.off > RANGE_MAX)
            break;
        x.n = (size_t)(s.off + s.length - x.off);
        x.to = pgno + i;
    }
    return x;
}

/* ---- fetching ---- */

/* Take what was read apart. The page that is wanted goes to `page` as well, whatever the cache does
 * with it; any other that is damaged is not kept, and will be an error when it is wanted. */
static enum wr_status unpack(struct wr_pages *p, const struct wr_pagemap *m, const struct range *x,
    const uint8_t *bytes, uint32_t pgno, uint8_t *page, uint8_t *spare, struct wr_err *e)
{
    uint32_t page_size = wr_pagemap_about(m)->page_size;
    enum wr_status st = WR_INTERNAL;

    for (uint32_t i = x->from; i <= x->to; i++) {
        uint8_t *to = i == pgno ? page : spare;
        struct wr_spot s;
        struct wr_bytes frame;
        enum wr_status is;

        if (!wr_pagemap_find(m, i, &s) || s.in->id != x->file_id || s.off < x->off ||
            s.off + s.length > x->off + x->n)
            continue;
        frame = (struct wr_bytes){bytes + (s.off - x->off), s.length};
        is = wr_ltx_frame_decode(frame, page_size, i, to, i == pgno ? e : NULL);
        if (is == WR_OK)
            wr_pagecache_put(p->cache, x->file_id, i, to, page_size);
        if (i == pgno)
            st = is;
        atomic_fetch_add(&p->decoded, 1);
    }
    return st;
}

static enum wr_status fetch(struct wr_pages *p, struct wr_call *c, const struct wr_pagemap *m,
    const struct range *x, uint32_t pgno, uint8_t *page, struct wr_err *e)
{
    uint32_t page_size = wr_pagemap_about(m)->page_size;
    uint8_t *bytes = wr_alloc(x->n + page_size);
    enum wr_status st;

    if (!bytes)
        return wr_fail(e, WR_NOMEM, "%zu bytes of pages: out of memory", x->n);
    atomic_fetch_add(&p->fetches, 1);
    atomic_fetch_add(&p->bytes, x->n);
    st = wr_input_read(p->storage, c, &x->file, x->off, bytes, x->n, e);
    if (st == WR_OK)
        st = unpack(p, m, x, bytes, pgno, page, bytes + x->n, e);
    wr_free(bytes);
    return st == WR_OK ? st : wr_wrap(e, st, "page %u", pgno);
}

/* Whether another reader is fetching this very page: then wait until it is there, or is not. */
static enum wr_status await_others(struct wr_pages *p, struct wr_call *c, uint32_t file,
    uint32_t pgno, bool *ret, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    *ret = false;
    wr_mutex_lock(&p->mutex);
    for (struct wr_link *l = wr_list_first(&p->flights); l && st == WR_OK;) {
        const struct flight *f = wr_container_of(l, struct flight, link);

        if (f->file != file || pgno < f->from || pgno > f->to) {
            l = wr_list_next(&p->flights, l);
            continue;
        }
        *ret = true;
        (void)wr_cond_wait_until(&p->landed, &p->mutex, wr_mono_ns(wr_clock_system()) + WAIT_NS);
        st = wr_call_check(c, "a page that another reader fetches", e);
        l = wr_list_first(&p->flights);
    }
    wr_mutex_unlock(&p->mutex);
    return st;
}

static enum wr_status fly(struct wr_pages *p, struct wr_call *c, const struct wr_pagemap *m,
    const struct range *x, uint32_t pgno, uint8_t *page, struct wr_err *e)
{
    struct flight f = {.file = x->file_id, .from = x->from, .to = x->to};
    enum wr_status st;

    wr_mutex_lock(&p->mutex);
    wr_list_push(&p->flights, &f.link);
    wr_mutex_unlock(&p->mutex);
    st = fetch(p, c, m, x, pgno, page, e);
    wr_mutex_lock(&p->mutex);
    wr_list_remove(&f.link);
    wr_cond_broadcast(&p->landed);
    wr_mutex_unlock(&p->mutex);
    return st;
}

static enum wr_status miss(struct wr_pages *p, struct wr_call *c, const struct wr_pagemap *m,
    struct wr_pages_reader *r, uint32_t pgno, const struct wr_spot *s, uint8_t *page,
    struct wr_err *e)
{
    uint32_t page_size = wr_pagemap_about(m)->page_size;
    bool waited;
    size_t head;
    uint32_t window;
    struct range x;
    enum wr_status st = await_others(p, c, s->in->id, pgno, &waited, e);

    if (st != WR_OK)
        return st;
    if (waited && wr_pagecache_get(p->cache, s->in->id, pgno, 0, page, page_size))
        return WR_OK;
    window = steer(r, pgno, &head);
    x = range_of(m, pgno, s, window);
    st = fly(p, c, m, &x, pgno, page, e);
    if (st == WR_OK) {
        r->head[head].next = x.to + 1;
        r->head[head].window = window;
        r->head[head].used = r->clock;
    }
    return st;
}

enum wr_status wr_pages_read(struct wr_pages *p, struct wr_call *c, const struct wr_pagemap *m,
    struct wr_pages_reader *r, uint32_t pgno, size_t off, void *buf, size_t n, struct wr_err *e)
{
    const struct wr_pagemap_about *about = wr_pagemap_about(m);
    struct wr_spot s;
    uint8_t *page;
    enum wr_status st;

    assert(pgno > 0 && pgno <= about->commit && off + n <= about->page_size);
    if (pgno == about->lock_pgno) {
        memset(buf, 0, n);
        return WR_OK;
    }
    if (!wr_pagemap_find(m, pgno, &s))
        return wr_fail(e, WR_CORRUPT,
            "page %u missing: no file of the replica has it (of %u pages)", pgno, about->commit);
    if (wr_pagecache_get(p->cache, s.in->id, pgno, off, buf, n))
        return WR_OK;
    page = wr_alloc(about->page_size);
    if (!page)
        return wr_fail(e, WR_NOMEM, "page %u: out of memory", pgno);
    st = miss(p, c, m, r, pgno, &s, page, e);
    if (st == WR_OK)
        memcpy(buf, page + off, n);
    wr_free(page);
    return st;
}

void wr_pages_counts(const struct wr_pages *p, struct wr_pages_counts *ret)
{
    *ret = (struct wr_pages_counts){.fetches = atomic_load(&p->fetches),
        .bytes = atomic_load(&p->bytes),
        .pages = atomic_load(&p->decoded)};
}
