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

#define THREADS  32                 /* files that are read at once */
#define WARM_MAX ((size_t)64 << 10) /* bytes of a file whose pages are worth keeping unasked */

/* Files get numbers that no other file has had in this process: the cache goes by them. */
static atomic_uint last_id;

struct loading {
    const struct wr_load *l;
    struct wr_input *in;
    struct wr_pagemap_file *files;
    struct wr_mutex mutex;
    size_t bad; /* guarded by mutex; the first that was seen to be damaged */
};

/* By name and size: what has one name has the same bytes for as long as the epoch lasts. */
static uint32_t known_id(const struct wr_pagemap *m, const struct wr_ltx_file *f)
{
    size_t n = 0;
    const struct wr_pagemap_file *files = m ? wr_pagemap_files(m, &n) : NULL;

    for (size_t i = 0; i < n; i++) {
        const struct wr_ltx_file *x = &files[i].file;

        if (x->level == f->level && x->min == f->min && x->max == f->max && x->size == f->size)
            return files[i].id;
    }
    return 0;
}

/* A file that was read whole has its pages at hand. A page that cannot be decoded is left: it is an
 * error when it is asked for. */
static void warm(const struct loading *x, const struct wr_input *in, uint32_t id)
{
    uint32_t page_size = in->header.page_size;
    uint8_t *page = in->file->size <= WARM_MAX ? wr_alloc(page_size) : NULL;

    for (size_t k = 0; page && k < in->n; k++) {
        const struct wr_ref *r = &in->refs[k];
        struct wr_bytes frame = {in->bytes + r->off, wr_ref_length(r)};

        if (wr_ltx_frame_decode(frame, page_size, r->pgno, page, NULL) == WR_OK)
            wr_pagecache_put(x->l->cache, id, r->pgno, page, page_size);
    }
    wr_free(page);
}

static enum wr_status load_one(void *arg, unsigned w, size_t i, struct wr_call *c, struct wr_err *e)
{
    struct loading *x = arg;
    struct wr_input *in = &x->in[i];
    enum wr_status st = wr_input_open(x->l->storage, c, x->l->lock_offset, in, e);

    (void)w;
    if (st == WR_OK && in->misnamed)
        st = wr_fail(e, WR_CORRUPT, "level %u file %016llx-%016llx has other transactions in it",
            in->file->level, (unsigned long long)in->file->min, (unsigned long long)in->file->max);
    if (st == WR_CORRUPT) {
        wr_mutex_lock(&x->mutex);
        x->bad = wr_min(x->bad, i);
        wr_mutex_unlock(&x->mutex);
    }
    if (st == WR_OK && in->bytes) {
        warm(x, in, x->files[i].id);
        wr_free(in->bytes);
        in->bytes = NULL;
    }
    return st;
}

static enum wr_status load(struct loading *x, struct wr_call *c, struct wr_pagemap **ret,
    const struct wr_input **ptrs, struct wr_err *e)
{
    const struct wr_load *l = x->l;
    const struct wr_pagemap_step step = {
        .in = ptrs, .files = x->files, .n = l->n, .lock_offset = l->lock_offset, .epoch = l->epoch};
    enum wr_status st;

    for (size_t i = 0; i < l->n; i++) {
        uint32_t id = known_id(l->known, &l->files[i]);

        x->files[i] = (struct wr_pagemap_file){
            .file = l->files[i], .id = id ? id : atomic_fetch_add(&last_id, 1) + 1};
        x->in[i].file = &l->files[i];
        ptrs[i] = &x->in[i];
    }
    st = wr_crew_run(
        c, (unsigned)wr_min(l->n, (size_t)THREADS), l->n, "open a replica", load_one, x, e);
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
    wr_free(x.in);
    wr_free(x.files);
    wr_free(ptrs);
    *ret_bad = x.bad;
    return st;
}
