/*
 * haul.c - see haul.h.
 */
#include "vfs/haul.h"

#include "base/mem.h"
#include "engine/crew.h"
#include "engine/input_read.h"
#include "ltx/frame.h"
#include "vfs/local.h"
#include "vfs/pagemap.h"
#include "vfs/ranges.h"

#include <stdatomic.h>
#include <stdlib.h>

#define PAGES_MAX 32768               /* of one haul */
#define BYTES_MAX ((size_t)32 << 20)  /* of it */
#define RUN_MAX   ((size_t)256 << 10) /* bytes of pages that are written at once */
#define REQUESTS  4                   /* at a time: so much memory as that many ranges */

static const struct wr_ranges_limits limits = {.gap = (size_t)64 << 10, .most = (size_t)4 << 20};

struct wr_haul {
    struct wr_storage *storage;
    struct wr_local *local;
    struct wr_want *want;
    struct wr_range *range;
    size_t n, ranges;
    uint32_t page_size;
    atomic_bool disk;
    _Atomic uint64_t requests, bytes, pages, damaged;
};

enum wr_status wr_haul_new(
    struct wr_storage *s, struct wr_local *l, struct wr_haul **ret, struct wr_err *e)
{
    struct wr_haul *h = wr_alloc(sizeof(*h));

    if (h) {
        h->storage = s;
        h->local = l;
        h->want = wr_array(PAGES_MAX, sizeof(*h->want));
        h->range = wr_array(PAGES_MAX, sizeof(*h->range));
    }
    if (!h || !h->want || !h->range) {
        wr_haul_free(h);
        return wr_fail(e, WR_NOMEM, "hydration: out of memory");
    }
    *ret = h;
    return WR_OK;
}

void wr_haul_free(struct wr_haul *h)
{
    if (!h)
        return;
    wr_free(h->want);
    wr_free(h->range);
    wr_free(h);
}

/* ---- what to fetch ---- */

/* In the order of files as they apply, and of frames in them. */
static int by_place(const void *a, const void *b)
{
    const struct wr_want *x = a, *y = b;

    if (x->s.in != y->s.in)
        return x->s.in < y->s.in ? -1 : 1;
    return x->s.off < y->s.off ? -1 : x->s.off > y->s.off;
}

/* The page to go on from; 0: there is none. */
static uint32_t gather(struct wr_haul *h, const struct wr_pagemap *m, uint32_t from)
{
    const struct wr_pagemap_about *about = wr_pagemap_about(m);
    uint64_t pgno = from;
    size_t bytes = 0, without = 0; /* pages that a header tells of, and no file has */

    h->n = 0;
    while (pgno <= about->commit && h->n < PAGES_MAX && bytes < BYTES_MAX && without < PAGES_MAX) {
        struct wr_want *w = &h->want[h->n];

        w->pgno = wr_local_lacks(h->local, (uint32_t)pgno, about->commit);
        if (w->pgno == 0)
            return 0;
        pgno = (uint64_t)w->pgno + 1;
        if (w->pgno == about->lock_pgno)
            continue;
        if (!wr_pagemap_find(m, w->pgno, &w->s)) {
            atomic_fetch_add(&h->damaged, 1);
            without++;
            continue;
        }
        bytes += w->s.length;
        h->n++;
    }
    return pgno <= about->commit ? (uint32_t)pgno : 0;
}

/* ---- fetching ---- */

/* Pages that follow one another, to be written at once. */
struct run {
    uint32_t pgno;
    size_t n, max;
    uint64_t *since;
    uint8_t *pages;
};

static enum wr_status flush(struct wr_haul *h, struct run *run, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    if (run->n > 0)
        st = wr_local_put(h->local, run->pgno, run->n, run->since, run->pages, e);
    if (st != WR_OK && st != WR_NOMEM)
        atomic_store(&h->disk, true);
    run->n = 0;
    return st;
}

static enum wr_status unpack(struct wr_haul *h, const struct wr_range *r, const uint8_t *bytes,
    struct run *run, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    for (size_t i = r->from; i < r->to && st == WR_OK; i++) {
        const struct wr_want *w = &h->want[i];
        const struct wr_bytes frame = {bytes + (w->s.off - r->off), w->s.length};

        if (run->n == run->max || (run->n > 0 && w->pgno != run->pgno + run->n))
            st = flush(h, run, e);
        if (st != WR_OK)
            break;
        if (run->n == 0)
            run->pgno = w->pgno;
        st = wr_ltx_frame_decode(
            frame, h->page_size, w->pgno, run->pages + run->n * h->page_size, NULL);
        if (st == WR_OK) {
            run->since[run->n++] = w->s.in->file.max;
            atomic_fetch_add(&h->pages, 1);
        }
        if (st == WR_CORRUPT) {
            atomic_fetch_add(&h->damaged, 1);
            st = WR_OK;
        } else if (st != WR_OK) {
            (void)wr_fail(e, st, "page %u: out of memory", w->pgno);
        }
    }
    return st == WR_OK ? flush(h, run, e) : st;
}

static enum wr_status fetch(void *arg, unsigned w, size_t i, struct wr_call *c, struct wr_err *e)
{
    struct wr_haul *h = arg;
    const struct wr_range *r = &h->range[i];
    const struct wr_pagemap_file *in = h->want[r->from].s.in;
    const struct wr_input_id id = {.tag = in->tag, .checksum = in->checksum};
    struct run run = {.max = wr_max(RUN_MAX / h->page_size, (size_t)1)};
    uint8_t *bytes = wr_alloc(r->n);
    enum wr_status st = WR_NOMEM;

    (void)w;
    run.pages = wr_array(run.max, h->page_size);
    run.since = wr_array(run.max, sizeof(*run.since));
    if (bytes && run.pages && run.since)
        st = wr_input_read_object(h->storage, c, &in->file, &id, r->off, bytes, r->n, e);
    else
        (void)wr_fail(e, st, "%zu bytes of pages: out of memory", r->n);
    atomic_fetch_add(&h->requests, 1);
    atomic_fetch_add(&h->bytes, r->n);
    if (st == WR_OK)
        st = unpack(h, r, bytes, &run, e);
    wr_free(bytes);
    wr_free(run.pages);
    wr_free(run.since);
    return st;
}

enum wr_status wr_haul_some(struct wr_haul *h, struct wr_call *c, const struct wr_pagemap *m,
    uint32_t *next, bool *ret_disk, struct wr_err *e)
{
    uint32_t then = gather(h, m, *next);
    enum wr_status st = WR_OK;

    h->page_size = wr_pagemap_about(m)->page_size;
    atomic_store(&h->disk, false);
    qsort(h->want, h->n, sizeof(h->want[0]), by_place);
    h->ranges = wr_ranges_divide(h->want, h->n, &limits, h->range);
    if (h->ranges > 0)
        st = wr_crew_run(c, (unsigned)wr_min(h->ranges, (size_t)REQUESTS), h->ranges,
            "copy a replica", fetch, h, e);
    *ret_disk = atomic_load(&h->disk);
    if (st == WR_OK)
        *next = then;
    return st;
}

void wr_haul_look(const struct wr_haul *h, struct wr_haul_look *ret)
{
    *ret = (struct wr_haul_look){.requests = atomic_load(&h->requests),
        .bytes = atomic_load(&h->bytes),
        .pages = atomic_load(&h->pages),
        .damaged = atomic_load(&h->damaged)};
}
