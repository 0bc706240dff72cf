/*
 * pages.c - see pages.h.
 */
#include "vfs/pages.h"

#include "base/list.h"
#include "base/mem.h"
#include "base/sync.h"
#include "engine/crew.h"
#include "engine/input_read.h"
#include "ltx/frame.h"
#include "storage/storage.h"
#include "vfs/nearby.h"
#include "vfs/pagecache.h"
#include "vfs/pagemap.h"
#include "vfs/ranges.h"
#include "vfs/shelf.h"

#include <stdatomic.h>

#define WINDOW_MAX WR_TREE_WINDOW    /* pages that are fetched at once */
#define AHEAD_MAX  ((size_t)4 << 20) /* bytes of them */
#define SKIP_MAX   8                 /* pages that a reader leaves out and is still on its way */
#define REQUESTS   16                /* at a time */
#define PACE_MS    INT64_C(60000)    /* the most that it goes by how long a page may take */
#define WAIT_NS    50000000          /* between looks whether to give up waiting for another */

static const struct wr_ranges_limits limits = {.gap = (size_t)16 << 10, .most = (size_t)1 << 20};

/* What one reader fetches: some pages, in the order of files and of bytes in them. */
struct flight {
    struct wr_link link;
    struct wr_want want[WINDOW_MAX];
    size_t n, bytes;
};

struct wr_pages {
    struct wr_storage *storage;
    struct wr_pagecache *cache;
    struct wr_local *_Atomic local; /* or NULL */
    struct wr_shelf *shelf;         /* or NULL */
    struct wr_mutex mutex;
    struct wr_cond landed;
    struct wr_list flights; /* guarded by mutex */
    _Atomic uint64_t flights_made, fetches, bytes, decoded;
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

void wr_pages_use(struct wr_pages *p, struct wr_local *l)
{
    atomic_store(&p->local, l);
}

void wr_pages_share(struct wr_pages *p, struct wr_shelf *s)
{
    p->shelf = s;
}

void wr_pages_reader_release(struct wr_pages_reader *r)
{
    wr_tree_release(&r->tree);
    wr_rows_release(&r->rows);
}

static struct wr_nearby nearby(const struct wr_pages *p, const struct wr_pagemap *m)
{
    return (struct wr_nearby){
        .cache = p->cache, .local = atomic_load(&p->local), .shelf = p->shelf, .m = m};
}

/* ---- what to fetch ---- */

static void add(struct flight *f, const struct wr_pagemap *m, uint32_t pgno)
{
    struct wr_want *w = &f->want[f->n];

    if (f->n < WINDOW_MAX && wr_pagemap_find(m, pgno, &w->s)) {
        w->pgno = pgno;
        f->n++;
    }
}

/* The page, and as many of those that follow it by their numbers as the reader's way suggests:
 * twice as many as last time where it went on from there. */
static void add_run(
    struct flight *f, const struct wr_pagemap *m, struct wr_pages_reader *r, uint32_t pgno)
{
    size_t at = 0;
    uint32_t window = 1;

    r->clock++;
    for (size_t i = 0; i < WR_PAGES_HEADS; i++) {
        if (r->head[i].next && pgno >= r->head[i].next && pgno - r->head[i].next <= SKIP_MAX) {
            at = i;
            window = wr_min(r->head[i].window * 2, (uint32_t)WINDOW_MAX);
            break;
        }
        if (r->head[i].used < r->head[at].used)
            at = i;
    }
    for (uint32_t i = 0; i < window && pgno + i >= pgno; i++)
        add(f, m, pgno + i);
    r->head[at].next = pgno + window;
    r->head[at].window = window;
    r->head[at].used = r->clock;
}

static int by_place(const void *a, const void *b)
{
    const struct wr_want *x = a, *y = b;

    if (x->s.in->id != y->s.in->id)
        return x->s.in->id < y->s.in->id ? -1 : 1;
    return x->s.off < y->s.off ? -1 : x->s.off > y->s.off;
}

/* `pgno` first of all, then what is foreseen and not here yet, within bounds; in order at last. */
static void foresee(struct wr_pages *p, struct flight *f, const struct wr_pagemap *m,
    struct wr_pages_reader *r, uint32_t pgno)
{
    uint32_t rows[WR_ROWS_WINDOW];
    const struct wr_nearby near = nearby(p, m);
    size_t n = wr_rows_want(&r->rows, &near, pgno, rows), kept = 1, bytes;
    const uint32_t *next = n > 1 ? rows : wr_tree_want(&r->tree, pgno, &n);
    size_t most = r->ahead ? r->ahead : AHEAD_MAX;

    if (!next)
        add_run(f, m, r, pgno);
    for (size_t i = 0; next && i < n; i++)
        add(f, m, next[i]);
    bytes = f->want[0].s.length;
    for (size_t i = 1; i < f->n; i++) {
        const struct wr_want *w = &f->want[i];

        if (bytes + w->s.length > most)
            break;
        if (wr_nearby_has(&near, w->pgno, &w->s))
            continue;
        bytes += w->s.length;
        f->want[kept++] = *w;
    }
    f->n = kept;
    f->bytes = bytes;
    qsort(f->want, f->n, sizeof(f->want[0]), by_place);
}

/* ---- fetching ---- */

struct landing {
    struct wr_pages *p;
    const struct wr_pagemap *m;
    const struct flight *f;
    struct wr_range range[WINDOW_MAX];
    size_t n;
    uint32_t pgno; /* the page that is wanted now: */
    uint8_t *page;
    enum wr_status st; /* written by the worker that fetches it, with why */
    struct wr_err why;
};

/* Take what was read apart. The page that is wanted goes to x->page as well, whatever the cache
 * does with it; any other that is damaged is not kept, and will be an error when it is wanted. */
static enum wr_status unpack(struct landing *x, const struct wr_range *r, const uint8_t *bytes,
    uint8_t *spare, struct wr_err *e)
{
    uint32_t page_size = wr_pagemap_about(x->m)->page_size;
    enum wr_status st = WR_OK;

    for (size_t i = r->from; i < r->to; i++) {
        const struct wr_want *w = &x->f->want[i];
        const struct wr_bytes frame = {bytes + (w->s.off - r->off), w->s.length};
        bool wanted = w->pgno == x->pgno;
        uint8_t *to = wanted ? x->page : spare;
        enum wr_status is = wr_ltx_frame_decode(frame, page_size, w->pgno, to, wanted ? e : NULL);

        if (is == WR_OK)
            wr_pagecache_put(x->p->cache, w->s.in->id, w->pgno, to, page_size);
        if (is == WR_OK && x->p->shelf)
            wr_shelf_put(x->p->shelf, w->s.in, w->pgno, to, page_size);
        if (wanted)
            st = is;
        atomic_fetch_add(&x->p->decoded, 1);
    }
    return st;
}

static enum wr_status fetch(
    struct landing *x, const struct wr_range *r, struct wr_call *c, struct wr_err *e)
{
    uint32_t page_size = wr_pagemap_about(x->m)->page_size;
    uint8_t *bytes = wr_alloc(r->n + page_size);
    const struct wr_pagemap_file *in = x->f->want[r->from].s.in;
    const struct wr_input_id id = {.tag = in->tag, .checksum = in->checksum};
    enum wr_status st;

    if (!bytes)
        return wr_fail(e, WR_NOMEM, "%zu bytes of pages: out of memory", r->n);
    atomic_fetch_add(&x->p->fetches, 1);
    atomic_fetch_add(&x->p->bytes, r->n);
    st = wr_input_read_object(x->p->storage, c, &in->file, &id, r->off, bytes, r->n, e);
    if (st == WR_OK)
        st = unpack(x, r, bytes, bytes + r->n, e);
    wr_free(bytes);
    return st == WR_OK ? st : wr_wrap(e, st, "page %u", x->pgno);
}

/* Only what is wanted now can fail. */
static enum wr_status fetch_one(
    void *arg, unsigned w, size_t i, struct wr_call *c, struct wr_err *e)
{
    struct landing *x = arg;
    const struct wr_range *r = &x->range[i];
    bool wanted = false;
    struct wr_err why = {0};
    enum wr_status st = fetch(x, r, c, &why);

    (void)w, (void)e;
    for (size_t k = r->from; k < r->to; k++)
        wanted = wanted || x->f->want[k].pgno == x->pgno;
    if (wanted) {
        x->st = st;
        x->why = why;
    }
    return WR_OK;
}

/* Whether another reader is fetching this very page: then wait until it is there, or is not. */
static bool is_in(const struct flight *f, uint32_t file, uint32_t pgno)
{
    for (size_t i = 0; i < f->n; i++) {
        if (f->want[i].pgno == pgno && f->want[i].s.in->id == file)
            return true;
    }
    return false;
}

static enum wr_status await_others(struct wr_pages *p, struct wr_call *c, uint32_t file,
    uint32_t pgno, bool *ret, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    *ret = false;
    wr_mutex_lock(&p->mutex);
    for (struct wr_link *l = wr_list_first(&p->flights); l && st == WR_OK;) {
        if (!is_in(wr_container_of(l, struct flight, link), file, pgno)) {
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

static enum wr_status land(struct landing *x, struct wr_call *c, struct wr_err *e)
{
    enum wr_status st;

    x->n = wr_ranges_divide(x->f->want, x->f->n, &limits, x->range);
    st = wr_crew_run(
        c, (unsigned)wr_min(x->n, (size_t)REQUESTS), x->n, "read pages", fetch_one, x, e);
    if (st != WR_OK)
        return st;
    return x->st == WR_OK ? WR_OK : wr_fail(e, x->st, "%s", x->why.text);
}

static enum wr_status fly(struct wr_pages *p, struct wr_call *c, const struct wr_pagemap *m,
    struct flight *f, uint32_t pgno, uint8_t *page, struct wr_err *e)
{
    struct landing *x = wr_alloc(sizeof(*x));
    enum wr_status st;

    if (!x)
        return wr_fail(e, WR_NOMEM, "page %u: out of memory", pgno);
    *x = (struct landing){.p = p, .m = m, .f = f, .pgno = pgno, .page = page, .st = WR_INTERNAL};
    atomic_fetch_add(&p->flights_made, 1);
    wr_mutex_lock(&p->mutex);
    wr_list_push(&p->flights, &f->link);
    wr_mutex_unlock(&p->mutex);
    st = land(x, c, e);
    wr_mutex_lock(&p->mutex);
    wr_list_remove(&f->link);
    wr_cond_broadcast(&p->landed);
    wr_mutex_unlock(&p->mutex);
    wr_free(x);
    return st;
}

/* How much is fetched at once from now on: what takes half of the time that a page may take, by how
 * long it took last. */
static size_t pace(size_t bytes, int64_t took_ms, int64_t most_ms)
{
    uint64_t n = (uint64_t)bytes * (uint64_t)(most_ms / 2) / (uint64_t)wr_max(took_ms, (int64_t)1);

    return (size_t)wr_max(wr_min(n, (uint64_t)AHEAD_MAX), UINT64_C(1));
}

/* Nothing that is foreseen may be why the page comes too late: it has half of the time, and then
 * the page is fetched alone. */
static enum wr_status fly_in_time(struct wr_pages *p, struct wr_call *c, const struct wr_pagemap *m,
    struct wr_pages_reader *r, struct flight *f, uint32_t pgno, uint8_t *page, struct wr_err *e)
{
    int64_t began_ms = wr_mono_ms(c->clock);
    int64_t most_ms = wr_max(wr_min(c->deadline_ms - began_ms, PACE_MS), (int64_t)1);
    struct wr_call half = *c;
    enum wr_status st;

    if (f->n > 1)
        half.deadline_ms = wr_min(c->deadline_ms, began_ms + most_ms / 2);
    st = fly(p, &half, m, f, pgno, page, e);
    if (st == WR_TIMEOUT && f->n > 1) {
        r->ahead = wr_max(f->bytes / 8, (size_t)1);
        f->n = f->bytes = 0;
        add(f, m, pgno);
        f->bytes = f->want[0].s.length;
        began_ms = wr_mono_ms(c->clock);
        st = fly(p, c, m, f, pgno, page, e);
    }
    if (st == WR_OK)
        r->ahead = pace(f->bytes, wr_mono_ms(c->clock) - began_ms, most_ms);
    return st;
}

static enum wr_status miss(struct wr_pages *p, struct wr_call *c, const struct wr_pagemap *m,
    struct wr_pages_reader *r, uint32_t pgno, uint32_t file, uint8_t *page, struct wr_err *e)
{
    struct flight *f;
    bool waited;
    enum wr_status st = await_others(p, c, file, pgno, &waited, e);

    if (st != WR_OK)
        return st;
    if (waited && wr_pagecache_get(p->cache, file, pgno, 0, page, wr_pagemap_about(m)->page_size))
        return WR_OK;
    f = wr_alloc(sizeof(*f));
    if (!f)
        return wr_fail(e, WR_NOMEM, "page %u: out of memory", pgno);
    foresee(p, f, m, r, pgno);
    st = fly_in_time(p, c, m, r, f, pgno, page, e);
    wr_free(f);
    return st;
}

/* A page as SQLite reads it, whole: it may tell what comes next. */
static void see(const struct wr_pagemap_about *about, struct wr_pages_reader *r, uint32_t pgno,
    size_t off, const void *buf, size_t n)
{
    if (off == 0 && n == about->page_size) {
        wr_tree_see(&r->tree, pgno, buf, about->page_size);
        wr_rows_see(&r->rows, pgno, buf);
    }
}

enum wr_status wr_pages_read(struct wr_pages *p, struct wr_call *c, const struct wr_pagemap *m,
    struct wr_pages_reader *r, uint32_t pgno, size_t off, void *buf, size_t n, struct wr_err *e)
{
    const struct wr_pagemap_about *about = wr_pagemap_about(m);
    const struct wr_nearby near = nearby(p, m);
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
    if (wr_nearby_get(&near, pgno, &s, off, buf, n)) {
        wr_tree_pass(&r->tree, pgno);
        see(about, r, pgno, off, buf, n);
        return WR_OK;
    }
    page = wr_alloc(about->page_size);
    if (!page)
        return wr_fail(e, WR_NOMEM, "page %u: out of memory", pgno);
    st = miss(p, c, m, r, pgno, s.in->id, page, e);
    if (st == WR_OK) {
        memcpy(buf, page + off, n);
        see(about, r, pgno, off, buf, n);
    }
    wr_free(page);
    return st;
}

void wr_pages_counts(const struct wr_pages *p, struct wr_pages_counts *ret)
{
    *ret = (struct wr_pages_counts){.flights = atomic_load(&p->flights_made),
        .fetches = atomic_load(&p->fetches),
        .bytes = atomic_load(&p->bytes),
        .pages = atomic_load(&p->decoded)};
}
