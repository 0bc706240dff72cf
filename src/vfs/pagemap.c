/*
 * pagemap.c - see pagemap.h.
 *
 * A page is where the newest file says that has it, if the database is that large: the rule of a
 * restore (engine/inputs.h). A page that is cut off is kept in mind, as Litestream does not store
 * again what a database gets back when it grows.
 */
#include "vfs/pagemap.h"

#include "base/mem.h"
#include "engine/inputs.h"

#include <stdatomic.h>
#include <stdlib.h>

#define STRIDE     64   /* pages between two offsets that are kept */
#define RECENT_MAX 4096 /* entries of the small table */
#define SPARSE     4    /* pages an entry: with more, an array of all pages would be a waste */

/* All frames of one file: counted, shared by maps. */
struct base {
    atomic_uint refs;
    uint32_t n; /* pages 1..n; 0 bytes: it has none */
    bool wide;
    union {
        uint16_t *narrow;
        uint32_t *wide;
    } length;
    uint64_t *off; /* of the frame of page 1, 1 + STRIDE, ... or where it would be */
};

struct entry {
    uint32_t pgno; /* ascending in a table */
    uint32_t file;
    uint64_t off : 40; /* of more bytes than any storage has for an object */
    uint64_t length : 24;
};
#define OFF_MAX (((uint64_t)1 << 40) - 1)

struct table {
    atomic_uint refs;
    size_t n;
    struct entry e[];
};

struct wr_pagemap {
    atomic_uint refs;
    struct wr_pagemap_about about;
    struct base *base;       /* of file 0 */
    struct table *tables[2]; /* the small, newer one, and the large one */
    size_t n_files;
    struct wr_pagemap_file files[];
};

/* ---- counted parts ---- */

static void drop_base(struct base *b)
{
    if (!b || atomic_fetch_sub(&b->refs, 1) != 1)
        return;
    wr_free(b->length.narrow);
    wr_free(b->off);
    wr_free(b);
}

static void drop_table(struct table *t)
{
    if (t && atomic_fetch_sub(&t->refs, 1) == 1)
        wr_free(t);
}

static struct table *new_table(size_t n, struct wr_err *e)
{
    struct table *t = n < SIZE_MAX / sizeof(struct entry) - 1
                          ? wr_alloc(sizeof(*t) + n * sizeof(struct entry))
                          : NULL;

    if (!t)
        (void)wr_fail(e, WR_NOMEM, "map of %zu pages: out of memory", n);
    else
        t->refs = 1;
    return t;
}

struct wr_pagemap *wr_pagemap_hold(struct wr_pagemap *m)
{
    if (m)
        atomic_fetch_add(&m->refs, 1);
    return m;
}

void wr_pagemap_drop(struct wr_pagemap *m)
{
    if (!m || atomic_fetch_sub(&m->refs, 1) != 1)
        return;
    drop_base(m->base);
    drop_table(m->tables[0]);
    drop_table(m->tables[1]);
    wr_free(m);
}

/* ---- making one ---- */

static bool is_dense(const struct wr_input *in)
{
    return in->n > 0 && in->refs[in->n - 1].pgno / SPARSE <= in->n;
}

static enum wr_status fill_base(struct base *b, const struct wr_input *in, struct wr_err *e)
{
    uint32_t pgno = 1;
    uint64_t off = in->refs[0].off;

    b->n = in->refs[in->n - 1].pgno;
    b->wide = in->header.page_size == WR_LTX_PAGE_SIZE_MAX;
    b->off = wr_array((size_t)b->n / STRIDE + 1, sizeof(*b->off));
    b->length.narrow = wr_array(b->n, b->wide ? sizeof(uint32_t) : sizeof(uint16_t));
    if (!b->off || !b->length.narrow)
        return wr_fail(e, WR_NOMEM, "map of %u pages: out of memory", b->n);
    for (size_t k = 0; k < in->n; k++) {
        const struct wr_ref *r = &in->refs[k];

        for (; pgno <= r->pgno; pgno++) {
            if ((pgno - 1) % STRIDE == 0)
                b->off[(pgno - 1) / STRIDE] = off;
        }
        assert(r->off == off && (b->wide || wr_ref_length(r) <= UINT16_MAX));
        if (b->wide)
            b->length.wide[r->pgno - 1] = wr_ref_length(r);
        else
            b->length.narrow[r->pgno - 1] = (uint16_t)wr_ref_length(r);
        off += wr_ref_length(r);
    }
    return WR_OK;
}

static enum wr_status new_base(const struct wr_input *in, struct base **ret, struct wr_err *e)
{
    struct base *b = wr_alloc(sizeof(*b));
    enum wr_status st;

    if (!b)
        return wr_fail(e, WR_NOMEM, "map of a database: out of memory");
    b->refs = 1;
    st = fill_base(b, in, e);
    if (st == WR_OK)
        *ret = b;
    else
        drop_base(b);
    return st;
}

/* By page; of one page the newest file first. */
static int by_page(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->pgno != y->pgno)
        return x->pgno < y->pgno ? -1 : 1;
    return x->file > y->file ? -1 : x->file < y->file;
}

/* Drop all but the first entry of each page. */
static void only_newest(struct table *t)
{
    size_t n = 0;

    for (size_t i = 0; i < t->n; i++) {
        if (n == 0 || t->e[n - 1].pgno != t->e[i].pgno)
            t->e[n++] = t->e[i];
    }
    t->n = n;
}

/* What the new files say, those from `first` on, in a table. */
static enum wr_status gather(const struct wr_pagemap_step *step, size_t first, uint32_t file_0,
    struct table **ret, struct wr_err *e)
{
    size_t frames = 0;
    struct table *t;

    for (size_t i = first; i < step->n; i++)
        frames += step->in[i]->n;
    t = new_table(frames, e);
    if (!t)
        return WR_NOMEM;
    *ret = t;
    for (size_t i = first; i < step->n; i++) {
        for (size_t k = 0; k < step->in[i]->n; k++) {
            const struct wr_ref *r = &step->in[i]->refs[k];

            if (r->off > OFF_MAX)
                return wr_fail(
                    e, WR_CORRUPT, "a file of more than %llu bytes", (unsigned long long)OFF_MAX);
            t->e[t->n++] = (struct entry){.pgno = r->pgno,
                .file = file_0 + (uint32_t)i,
                .off = r->off & OFF_MAX,
                .length = wr_ref_length(r) & 0xffffff};
        }
    }
    if (step->n - first > 1) {
        qsort(t->e, t->n, sizeof(t->e[0]), by_page);
        only_newest(t);
    }
    return WR_OK;
}

/* `newer`, and what it does not have of `older`, which may be NULL. */
static struct table *merge(const struct table *newer, const struct table *older, struct wr_err *e)
{
    size_t n_older = older ? older->n : 0;
    struct table *t = new_table(newer->n + n_older, e);
    size_t i = 0, k = 0;

    if (!t)
        return NULL;
    while (i < newer->n || k < n_older) {
        if (k == n_older || (i < newer->n && newer->e[i].pgno <= older->e[k].pgno)) {
            if (k < n_older && newer->e[i].pgno == older->e[k].pgno)
                k++;
            t->e[t->n++] = newer->e[i++];
        } else {
            t->e[t->n++] = older->e[k++];
        }
    }
    return t;
}

/* m->tables: those of `from` under what is new, which becomes m's. */
static enum wr_status layer(
    struct wr_pagemap *m, const struct wr_pagemap *from, struct table *fresh, struct wr_err *e)
{
    m->tables[0] = fresh;
    if (!from)
        return WR_OK;
    m->tables[1] = from->tables[1];
    if (m->tables[1])
        atomic_fetch_add(&m->tables[1]->refs, 1);
    m->tables[0] = merge(fresh, from->tables[0], e);
    drop_table(fresh);
    if (!m->tables[0])
        return WR_NOMEM;
    if (m->tables[0]->n > RECENT_MAX) {
        struct table *t = merge(m->tables[0], m->tables[1], e);

        if (!t)
            return WR_NOMEM;
        drop_table(m->tables[0]);
        drop_table(m->tables[1]);
        m->tables[0] = NULL;
        m->tables[1] = t;
    }
    return WR_OK;
}

/* Whether `b` begins with the database that there is after `a`. A file that begins within the
 * transactions before it cannot be judged by that. */
static bool follows(uint64_t a_max, bool a_has, uint64_t a_rolling,
    const struct wr_ltx_file *b_file, const struct wr_ltx_header *b)
{
    return b_file->min != a_max + 1 || !a_has || !b->has_rolling || b->rolling_pre == a_rolling;
}

static enum wr_status agree(
    const struct wr_pagemap *from, const struct wr_pagemap_step *step, struct wr_err *e)
{
    const struct wr_ltx_header *own = &step->in[0]->header;

    for (size_t i = 1; i < step->n; i++) {
        const struct wr_ltx_header *a = &step->in[i - 1]->header, *b = &step->in[i]->header;

        if (b->page_size != own->page_size)
            return wr_fail(
                e, WR_CORRUPT, "mismatched page sizes: %u and %u", own->page_size, b->page_size);
        if (!follows(step->files[i - 1].file.max, a->has_rolling, a->rolling_post,
                &step->files[i].file, b))
            return wr_fail(e, WR_CORRUPT,
                "the file with transaction %016llx does not go on from the one before it",
                (unsigned long long)step->files[i].file.min);
    }
    if (from && own->page_size != from->about.page_size)
        return wr_fail(e, WR_UNSUPPORTED, "page size of %u bytes was %u before", own->page_size,
            from->about.page_size);
    if (from && !follows(from->about.txid, from->about.has_rolling, from->about.rolling,
                    &step->files[0].file, own))
        return wr_fail(e, WR_CONFLICT,
            "the file with transaction %016llx goes on from another database",
            (unsigned long long)step->files[0].file.min);
    return WR_OK;
}

static enum wr_status fill(struct wr_pagemap *m, const struct wr_pagemap *from,
    const struct wr_pagemap_step *step, struct wr_err *e)
{
    const struct wr_ltx_header *last = &step->in[step->n - 1]->header;
    size_t first = 0; /* of those for the tables */
    struct table *fresh = NULL;
    enum wr_status st = WR_OK;

    m->about = (struct wr_pagemap_about){.epoch = step->epoch,
        .apart = step->apart,
        .txid = m->files[m->n_files - 1].file.max,
        .time_ms = last->time_ms,
        .page_size = last->page_size,
        .commit = last->commit,
        .lock_pgno = wr_ltx_lock_pgno(last->page_size, step->lock_offset),
        .has_rolling = last->has_rolling,
        .rolling = last->rolling_post};
    if (from && from->base) {
        m->base = from->base;
        atomic_fetch_add(&m->base->refs, 1);
    } else if (!from && is_dense(step->in[0])) {
        st = new_base(step->in[0], &m->base, e);
        first = 1;
    }
    if (st == WR_OK)
        st = gather(step, first, (uint32_t)(m->n_files - step->n), &fresh, e);
    if (st != WR_OK) {
        drop_table(fresh);
        return st;
    }
    return layer(m, from, fresh, e);
}

enum wr_status wr_pagemap_make(const struct wr_pagemap *from, const struct wr_pagemap_step *step,
    struct wr_pagemap **ret, struct wr_err *e)
{
    size_t had = from ? from->n_files : 0;
    size_t n = had + step->n;
    struct wr_pagemap *m;
    enum wr_status st;

    assert(step->n > 0 && n <= UINT32_MAX && (!from || from->about.epoch == step->epoch));
    st = agree(from, step, e);
    if (st != WR_OK)
        return st;
    m = wr_alloc(sizeof(*m) + n * sizeof(m->files[0]));
    if (!m)
        return wr_fail(e, WR_NOMEM, "map of %zu files: out of memory", n);
    m->refs = 1;
    m->n_files = n;
    if (had)
        memcpy(m->files, from->files, had * sizeof(m->files[0]));
    memcpy(m->files + had, step->files, step->n * sizeof(m->files[0]));
    st = fill(m, from, step, e);
    if (st == WR_OK)
        *ret = m;
    else
        wr_pagemap_drop(m);
    return st;
}

/* ---- asking it ---- */

const struct wr_pagemap_about *wr_pagemap_about(const struct wr_pagemap *m)
{
    return &m->about;
}

const struct wr_pagemap_file *wr_pagemap_files(const struct wr_pagemap *m, size_t *ret_n)
{
    *ret_n = m->n_files;
    return m->files;
}

enum wr_fit wr_pagemap_files_fit(const struct wr_pagemap_file *files, size_t n, uint64_t txid,
    bool has_rolling, uint64_t rolling)
{
    enum wr_fit fit = WR_FIT_UNPROVEN;

    for (size_t i = 0; has_rolling && i < n && fit != WR_FIT_NO; i++) {
        const struct wr_pagemap_file *f = &files[i];

        if (f->has_rolling && f->file.max == txid)
            fit = f->rolling_post == rolling ? WR_FIT_YES : WR_FIT_NO;
        else if (f->has_rolling && f->file.min == txid + 1)
            fit = f->rolling_pre == rolling ? WR_FIT_YES : WR_FIT_NO;
    }
    return fit;
}

enum wr_fit wr_pagemap_fit(
    const struct wr_pagemap *m, uint64_t txid, bool has_rolling, uint64_t rolling)
{
    return wr_pagemap_files_fit(m->files, m->n_files, txid, has_rolling, rolling);
}

static const struct entry *find_entry(const struct table *t, uint32_t pgno)
{
    size_t lo = 0, hi = t ? t->n : 0;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (t->e[mid].pgno < pgno)
            lo = mid + 1;
        else
            hi = mid;
    }
    return t && lo < t->n && t->e[lo].pgno == pgno ? &t->e[lo] : NULL;
}

static uint32_t base_length(const struct base *b, uint32_t index)
{
    return b->wide ? b->length.wide[index] : b->length.narrow[index];
}

static bool find_base(const struct wr_pagemap *m, uint32_t pgno, struct wr_spot *ret)
{
    const struct base *b = m->base;
    uint32_t at = pgno - 1;
    uint64_t off;

    if (!b || pgno > b->n || base_length(b, at) == 0)
        return false;
    off = b->off[at / STRIDE];
    for (uint32_t i = at - at % STRIDE; i < at; i++)
        off += base_length(b, i);
    *ret = (struct wr_spot){.in = &m->files[0], .off = off, .length = base_length(b, at)};
    return true;
}

bool wr_pagemap_find(const struct wr_pagemap *m, uint32_t pgno, struct wr_spot *ret)
{
    if (pgno == 0 || pgno > m->about.commit)
        return false;
    for (size_t i = 0; i < wr_countof(m->tables); i++) {
        const struct entry *x = find_entry(m->tables[i], pgno);

        if (x) {
            *ret = (struct wr_spot){.in = &m->files[x->file], .off = x->off, .length = x->length};
            return true;
        }
    }
    return find_base(m, pgno, ret);
}

void wr_pagemap_walk(const struct wr_pagemap *m, uint64_t after, struct wr_pagemap_walk *ret)
{
    *ret = (struct wr_pagemap_walk){.m = m, .after = after, .base = 1};
}

/* The first page from `from` on of a table, or of the base; UINT64_MAX: none. */
static uint64_t walk_table(struct wr_pagemap_walk *w, size_t i, uint64_t from, uint64_t *ret_max)
{
    const struct table *t = w->m->tables[i];

    for (; t && w->at[i] < t->n; w->at[i]++) {
        const struct entry *x = &t->e[w->at[i]];

        *ret_max = w->m->files[x->file].file.max;
        if (x->pgno >= from && *ret_max > w->after)
            return x->pgno;
    }
    return UINT64_MAX;
}

static uint64_t walk_base(const struct wr_pagemap_walk *w, uint64_t from, uint64_t *ret_max)
{
    const struct base *b = w->m->base;

    *ret_max = w->m->files[0].file.max;
    if (!b || *ret_max <= w->after)
        return UINT64_MAX;
    while (from <= b->n && base_length(b, (uint32_t)from - 1) == 0)
        from++;
    return from <= b->n ? from : UINT64_MAX;
}

/* Files are in the order in which they apply, and what is newer ends no earlier: a page is one of
 * these if any of its frames is, and the newest of those is the newest of all. */
bool wr_pagemap_walk_next(struct wr_pagemap_walk *w, uint32_t *ret_pgno, uint64_t *ret_max)
{
    uint64_t pgno = walk_base(w, w->base, ret_max);

    for (size_t i = wr_countof(w->at); i-- > 0;) {
        uint64_t max = 0, is = walk_table(w, i, w->base, &max);

        if (is <= pgno && is != UINT64_MAX) {
            pgno = is;
            *ret_max = max;
        }
    }
    if (pgno == UINT64_MAX)
        return false;
    w->base = pgno + 1;
    *ret_pgno = (uint32_t)pgno;
    return true;
}

void wr_pagemap_size(const struct wr_pagemap *m, struct wr_pagemap_size *ret)
{
    *ret = (struct wr_pagemap_size){
        .bytes = sizeof(*m) + m->n_files * sizeof(m->files[0]),
    };
    if (m->base) {
        ret->based = m->base->n;
        ret->bytes += sizeof(*m->base) + (m->base->n / STRIDE + 1) * sizeof(uint64_t) +
                      (uint64_t)m->base->n * (m->base->wide ? 4 : 2);
    }
    for (size_t i = 0; i < wr_countof(m->tables); i++) {
        if (m->tables[i]) {
            ret->tabled += m->tables[i]->n;
            ret->bytes += sizeof(*m->tables[i]) + m->tables[i]->n * sizeof(struct entry);
        }
    }
}
