/*
 * load.c - see load.h.
 */
#include "vfs/load.h"

#include "base/mem.h"
#include "base/sync.h"
#include "engine/crew.h"
#include "engine/inputs.h"
#include "ltx/frame.h"
#include "storage/storage.h"
#include "vfs/pagecache.h"
#include "vfs/pagemap.h"

#include <stdatomic.h>

#define THREADS   32                    /* files that are read at once */
#define WARM_MAX  ((size_t)64 << 10)    /* bytes of a file whose pages are worth keeping unasked */
#define WHOLE_MAX ((uint64_t)256 << 10) /* larger files do not come whole from wr_input_open */

/* Files get numbers that no other file has had in this process: the cache goes by them. */
static atomic_uint last_id;

struct loading {
    const struct wr_load *l;
    struct wr_input *in;
    struct wr_pagemap_file *files;
    uint8_t *head; /* the first bytes of the oldest file, or NULL */
    size_t head_n; /* 0: they could not be read */
    struct wr_mutex mutex;
    size_t bad; /* guarded by mutex; the first that was seen to be damaged */
};

/* By name, size and time: what has one name has the same bytes, unless the replica has begun anew
 * and nobody has seen it yet. */
static uint32_t known_id(const struct wr_pagemap *m, const struct wr_ltx_file *f)
{
    size_t n = 0;
    const struct wr_pagemap_file *files = m ? wr_pagemap_files(m, &n) : NULL;

    for (size_t i = 0; i < n; i++) {
        const struct wr_ltx_file *x = &files[i].file;

        if (x->level == f->level && x->min == f->min && x->max == f->max && x->size == f->size &&
            x->time_ms == f->time_ms)
            return files[i].id;
    }
    return 0;
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

/* While others wait for its index, as it costs no time then: what everybody reads first would else
 * be several requests, one after the other. Without it they are made. */
static void read_head(struct loading *x, struct wr_call *c)
{
    struct wr_err e = {0};

    if (wr_input_read(x->l->storage, c, &x->l->files[0], 0, x->head, WARM_MAX, &e) == WR_OK)
        x->head_n = WARM_MAX;
}

static enum wr_status load_file(struct loading *x, size_t i, struct wr_call *c, struct wr_err *e)
{
    struct wr_input *in = &x->in[i];
    enum wr_status st = wr_input_open(x->l->storage, c, x->l->lock_offset, in, e);

    if (st == WR_OK && in->misnamed)
        st = wr_fail(e, WR_CORRUPT, "level %u file %016llx-%016llx has other transactions in it",
            in->file->level, (unsigned long long)in->file->min, (unsigned long long)in->file->max);
    if (st == WR_CORRUPT) {
        wr_mutex_lock(&x->mutex);
        x->bad = wr_min(x->bad, i);
        wr_mutex_unlock(&x->mutex);
    }
    if (st == WR_OK && in->bytes) {
        if (i == 0 || in->file->size <= WARM_MAX)
            warm(x, in, x->files[i].id, in->bytes, wr_min(in->file->size, (uint64_t)WARM_MAX));
        wr_free(in->bytes);
        in->bytes = NULL;
    }
    return st;
}

static enum wr_status load_one(void *arg, unsigned w, size_t i, struct wr_call *c, struct wr_err *e)
{
    struct loading *x = arg;

    (void)w;
    if (x->head && i == 0) {
        read_head(x, c);
        return WR_OK;
    }
    return load_file(x, x->head ? i - 1 : i, c, e);
}

static enum wr_status load(struct loading *x, struct wr_call *c, struct wr_pagemap **ret,
    const struct wr_input **ptrs, struct wr_err *e)
{
    const struct wr_load *l = x->l;
    const struct wr_pagemap_step step = {
        .in = ptrs, .files = x->files, .n = l->n, .lock_offset = l->lock_offset, .epoch = l->epoch};
    size_t pieces = l->n;
    enum wr_status st;

    if (!l->from && l->files[0].size > WHOLE_MAX)
        x->head = wr_alloc(WARM_MAX);
    if (x->head)
        pieces++;
    for (size_t i = 0; i < l->n; i++) {
        uint32_t id = known_id(l->known, &l->files[i]);

        x->files[i] = (struct wr_pagemap_file){
            .file = l->files[i], .id = id ? id : atomic_fetch_add(&last_id, 1) + 1};
        x->in[i].file = &l->files[i];
        ptrs[i] = &x->in[i];
    }
    st = wr_crew_run(
        c, (unsigned)wr_min(pieces, (size_t)THREADS), pieces, "open a replica", load_one, x, e);
    if (st == WR_OK && x->head_n)
        warm(x, &x->in[0], x->files[0].id, x->head, x->head_n);
    return st == WR_OK ? wr_pagemap_make(l->from, &step, ret, e) : st;
}

enum wr_status wr_load(const struct wr_load *l, struct wr_call *c, struct wr_pagemap **ret,
    size_t *ret_bad, struct wr_err *e)
{
    struct loading x = {.l = l, .bad = SIZE_MAX};
    const struct wr_input **ptrs = wr_array(l->n, sizeof(*ptrs));
    enum wr_status st = WR_NOMEM;

    x.in = wr_array(l->n, sizeof(*x.in));
    x.files = wr_array(l->n, sizeof(*x.files));
    wr_mutex_init(&x.mutex);
    if (ptrs && x.in && x.files)
        st = load(&x, c, ret, ptrs, e);
    else
        (void)wr_fail(e, st, "%zu files of a replica: out of memory", l->n);
    wr_mutex_release(&x.mutex);
    for (size_t i = 0; x.in && i < l->n; i++)
        wr_input_release(&x.in[i]);
    wr_free(x.head);
    wr_free(x.in);
    wr_free(x.files);
    wr_free(ptrs);
    *ret_bad = x.bad;
    return st;
}
