/*
 * load.c - see load.h.
 */
#include "vfs/load.h"

#include "base/mem.h"
#include "base/sync.h"
#include "engine/crew.h"
#include "engine/input_read.h"
#include "engine/inputs.h"
#include "ltx/frame.h"
#include "ltx/ltx.h"
#include "storage/storage.h"
#include "vfs/pagecache.h"
#include "vfs/pagemap.h"

#include <stdatomic.h>

#define THREADS  32                 /* files that are read at once */
#define WARM_MAX ((size_t)64 << 10) /* bytes of a file whose pages are worth keeping unasked */

/* Files get numbers that no other file has had in this process: the cache goes by them. */
static atomic_uint last_id;

/* The ends of a large file, which are read at the same time; whoever comes last opens it. */
struct ends {
    uint8_t *head, *tail;
    size_t head_n, tail_n;
    uint64_t head_tag, tail_tag; /* of the objects that they are from; 0: unknown */
    atomic_uint read;
};

/* One request, or with a file that is small all that it takes. */
struct piece {
    size_t file;
    enum {
        WHOLE,
        HEAD,
        TAIL
    } what;
};

struct loading {
    const struct wr_load *l;
    struct wr_input *in;
    struct wr_pagemap_file *files;
    struct ends *ends;
    struct piece *pieces; /* at most two of each file */
    size_t n;
    atomic_bool shares;  /* a file with l->known */
    atomic_bool differs; /* one has the name of another in it */
    struct wr_mutex mutex;
    size_t bad; /* guarded by mutex; the first that was seen to be damaged */
};

/* The number of a file that has been read. What has the name of one that is known is the same one,
 * unless the replica has another history by now and nobody has seen it yet. */
static void number(struct loading *x, struct wr_pagemap_file *f)
{
    size_t n = 0;
    const struct wr_pagemap_file *known = x->l->known ? wr_pagemap_files(x->l->known, &n) : NULL;

    for (size_t i = 0; i < n && !f->id; i++) {
        const struct wr_pagemap_file *is = &known[i];

        if (wr_ltx_file_cmp(&is->file, &f->file) != 0)
            continue;
        if (is->file.size != f->file.size || is->checksum != f->checksum)
            atomic_store(&x->differs, true);
        else if (is->file.time_ms == f->file.time_ms)
            f->id = is->id;
    }
    if (f->id)
        atomic_store(&x->shares, true);
    else
        f->id = atomic_fetch_add(&last_id, 1) + 1;
}

/* Whether what was loaded may be of another history than what is known: by where each of them
 * ends, in the files of the other. A file that both have shows that it is the same replica. */
static bool is_apart(const struct loading *x)
{
    const struct wr_pagemap_about *was = wr_pagemap_about(x->l->known);
    const struct wr_pagemap_file *last = &x->files[x->l->n - 1];
    size_t n;
    const struct wr_pagemap_file *known = wr_pagemap_files(x->l->known, &n);
    enum wr_fit there =
        wr_pagemap_files_fit(known, n, last->file.max, last->has_rolling, last->rolling_post);
    enum wr_fit here =
        wr_pagemap_files_fit(x->files, x->l->n, was->txid, was->has_rolling, was->rolling);

    if (atomic_load(&x->differs) || there == WR_FIT_NO || here == WR_FIT_NO)
        return true;
    return !x->l->same && !atomic_load(&x->shares) && there != WR_FIT_YES && here != WR_FIT_YES;
}

/* Keep the pages whose frames are among the first `n` bytes of the file. A page that cannot be
 * decoded is left: it is an error when it is asked for. */
static void warm(const struct loading *x, const struct wr_input *in, uint32_t id,
    const uint8_t *bytes, uint64_t n)
{
    uint32_t page_size = in->header.page_size;
    uint8_t *page = wr_alloc(page_size);

    for (size_t k = 0; page && k < in->n; k++) {
        const struct wr_ref *r = &in->refs[k];
        uint32_t length = wr_ref_length(r);

        if (r->off + length > n)
            break;
        if (wr_ltx_frame_decode(
                (struct wr_bytes){bytes + r->off, length}, page_size, r->pgno, page, NULL) == WR_OK)
            wr_pagecache_put(x->l->cache, id, r->pgno, page, page_size);
    }
    wr_free(page);
}

/* A file is there: what of its pages was read with it is kept, if everybody reads that first, as
 * it would else be several requests, one after the other. */
static enum wr_status opened(
    struct loading *x, size_t i, enum wr_status st, struct wr_bytes head, struct wr_err *e)
{
    struct wr_input *in = &x->in[i];
    struct wr_pagemap_file *f = &x->files[i];

    if (st == WR_OK && in->misnamed)
        st = wr_fail(e, WR_CORRUPT, "level %u file %016llx-%016llx has other transactions in it",
            in->file->level, (unsigned long long)in->file->min, (unsigned long long)in->file->max);
    if (st != WR_OK)
        return st;
    f->checksum = in->file_checksum;
    f->tag = in->tag;
    f->has_rolling = in->header.has_rolling;
    f->rolling_pre = in->header.rolling_pre;
    f->rolling_post = in->header.rolling_post;
    number(x, f);
    if (i == 0 || in->file->size <= WARM_MAX)
        warm(x, in, x->files[i].id, head.p, wr_min(head.n, WARM_MAX));
    return st;
}

static enum wr_status load_small(struct loading *x, size_t i, struct wr_call *c, struct wr_err *e)
{
    struct wr_input *in = &x->in[i];
    enum wr_status st = wr_input_open(x->l->storage, c, x->l->lock_offset, in, e);

    st = opened(x, i, st, (struct wr_bytes){in->bytes, (size_t)in->file->size}, e);
    wr_free(in->bytes);
    in->bytes = NULL;
    return st;
}

static enum wr_status load_ends(struct loading *x, size_t i, struct wr_call *c, struct wr_err *e)
{
    struct ends *ends = &x->ends[i];
    const struct wr_ltx_file *file = &x->l->files[i];
    const struct wr_bytes head = {ends->head, ends->head_n}, tail = {ends->tail, ends->tail_n};
    struct wr_input_id id;
    enum wr_status st = WR_OK;

    x->in[i].tag = ends->tail_tag;
    if (ends->tail_tag && ends->head_tag != ends->tail_tag &&
        wr_input_identify(tail, ends->tail_tag, &id, NULL) == WR_OK)
        st = wr_input_read_object(x->l->storage, c, file, &id, 0, ends->head, head.n, e);
    if (st == WR_OK)
        st = wr_input_open_ends(x->l->storage, c, x->l->lock_offset, &x->in[i], head, tail, e);
    st = opened(x, i, st, head, e);
    wr_free(ends->head);
    wr_free(ends->tail);
    ends->head = ends->tail = NULL;
    return st;
}

static enum wr_status load_end(
    struct loading *x, const struct piece *p, struct wr_call *c, struct wr_err *e)
{
    const struct wr_ltx_file *file = &x->l->files[p->file];
    struct ends *ends = &x->ends[p->file];
    size_t n = p->what == HEAD ? ends->head_n : ends->tail_n;
    uint64_t off = p->what == HEAD ? 0 : file->size - n;
    uint64_t *tag = p->what == HEAD ? &ends->head_tag : &ends->tail_tag;
    uint8_t *bytes = wr_alloc(n);
    enum wr_status st;

    if (!bytes)
        return wr_fail(e, WR_NOMEM, "end of an ltx file: out of memory");
    *(p->what == HEAD ? &ends->head : &ends->tail) = bytes;
    st = wr_input_read_tag(x->l->storage, c, file, off, bytes, n, tag, e);
    if (st == WR_OK && atomic_fetch_add(&ends->read, 1) == 1)
        st = load_ends(x, p->file, c, e);
    return st;
}

static enum wr_status load_one(void *arg, unsigned w, size_t i, struct wr_call *c, struct wr_err *e)
{
    struct loading *x = arg;
    const struct piece *p = &x->pieces[i];
    enum wr_status st = p->what == WHOLE ? load_small(x, p->file, c, e) : load_end(x, p, c, e);

    (void)w;
    if (st == WR_CONFLICT) /* of two objects: what was listed is not there any more */
        return wr_wrap(e, WR_BUSY, "level %u file %016llx-%016llx", x->l->files[p->file].level,
            (unsigned long long)x->l->files[p->file].min,
            (unsigned long long)x->l->files[p->file].max);
    if (st == WR_CORRUPT) {
        wr_mutex_lock(&x->mutex);
        x->bad = wr_min(x->bad, p->file);
        wr_mutex_unlock(&x->mutex);
    }
    return st;
}

static void add_pieces(struct loading *x, size_t i)
{
    const struct wr_load *l = x->l;
    size_t tail_n = wr_input_tail(&l->files[i]);

    if (tail_n == 0) {
        x->pieces[x->n++] = (struct piece){.file = i, .what = WHOLE};
        return;
    }
    x->ends[i].head_n = i == 0 && !l->from ? WARM_MAX : WR_LTX_HEADER_SIZE;
    x->ends[i].tail_n = tail_n;
    x->pieces[x->n++] = (struct piece){.file = i, .what = HEAD};
    x->pieces[x->n++] = (struct piece){.file = i, .what = TAIL};
}

static enum wr_status load(struct loading *x, struct wr_call *c, struct wr_pagemap **ret,
    const struct wr_input **ptrs, struct wr_err *e)
{
    const struct wr_load *l = x->l;
    struct wr_pagemap_step step = {
        .in = ptrs, .files = x->files, .n = l->n, .lock_offset = l->lock_offset, .epoch = l->epoch};
    enum wr_status st;

    for (size_t i = 0; i < l->n; i++) {
        x->files[i].file = l->files[i];
        x->in[i].file = &l->files[i];
        ptrs[i] = &x->in[i];
        add_pieces(x, i);
    }
    st = wr_crew_run(
        c, (unsigned)wr_min(x->n, (size_t)THREADS), x->n, "open a replica", load_one, x, e);
    if (st == WR_OK)
        step.apart = l->known && is_apart(x);
    return st == WR_OK ? wr_pagemap_make(l->from, &step, ret, e) : st;
}

static void release(struct loading *x)
{
    for (size_t i = 0; x->in && i < x->l->n; i++)
        wr_input_release(&x->in[i]);
    for (size_t i = 0; x->ends && i < x->l->n; i++) {
        wr_free(x->ends[i].head);
        wr_free(x->ends[i].tail);
    }
    wr_mutex_release(&x->mutex);
    wr_free(x->in);
    wr_free(x->files);
    wr_free(x->ends);
    wr_free(x->pieces);
}

enum wr_status wr_load(const struct wr_load *l, struct wr_call *c, struct wr_pagemap **ret,
    size_t *ret_bad, struct wr_err *e)
{
    struct loading x = {.l = l, .bad = SIZE_MAX};
    const struct wr_input **ptrs = wr_array(l->n, sizeof(*ptrs));
    enum wr_status st = WR_NOMEM;

    x.in = wr_array(l->n, sizeof(*x.in));
    x.files = wr_array(l->n, sizeof(*x.files));
    x.ends = wr_array(l->n, sizeof(*x.ends));
    x.pieces = wr_array(l->n, 2 * sizeof(*x.pieces));
    wr_mutex_init(&x.mutex);
    if (ptrs && x.in && x.files && x.ends && x.pieces)
        st = load(&x, c, ret, ptrs, e);
    else
        (void)wr_fail(e, st, "%zu files of a replica: out of memory", l->n);
    release(&x);
    wr_free(ptrs);
    *ret_bad = x.bad;
    return st;
}
