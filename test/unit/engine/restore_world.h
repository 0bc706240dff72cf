/*
 * restore_world.h - for the tests of restore and its parts: a bucket in memory whose requests can
 * be made to fail, and a database that is known page by page at every transaction.
 */
#ifndef WR_TEST_RESTORE_WORLD_H
#define WR_TEST_RESTORE_WORLD_H

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/sync.h"
#include "engine/layout.h"
#include "harness/t.h"
#include "ltx/enc.h"
#include "storage/drivers.h"
#include "storage/storage.h"

/* A bucket and what is to go wrong with it. */
struct world {
    struct wr_storage_ops ops; /* of the driver below, in front of the mem driver */
    void *bucket;
    struct wr_storage *storage;
    struct wr_mutex mutex; /* guards what follows */
    uint64_t requests;     /* list, stat and get, since world_fail */
    uint64_t fail_from,
        fail_n; /* the requests that fail: the first, 1 for the very next; how many */
    enum wr_status fail_with;
    struct wr_cancel *cancel; /* instead of a failure, if not NULL */
    bool short_reads;         /* gets that touch an object's end miss its last byte */
    uint64_t pieces;          /* gets of more than WORLD_PIECE bytes, since world_fail */
    uint64_t piece_bytes;     /* in them */
    void (*in_piece)(struct world *w, uint64_t nth); /* NULL, or called before the nth of them */
    void (*in_get)(struct world *w);                 /* NULL, or called before each get */
    /* NULL, or what a get says instead of the object's version; called with `mutex` held. */
    struct wr_str (*in_version)(struct world *w, struct wr_arena *a, struct wr_str is);
    void *arg;                        /* for these */
    const char *unlisted;             /* listings lack keys with this; NULL: none */
    unsigned unlisted_n;              /* so many of them; 0: all */
    void (*at_list)(struct world *w); /* before each; NULL: nothing */
    int64_t listed_late_ms; /* listings have times that are so much later, as those of S3 */
};
#define WORLD_PIECE ((size_t)60 << 10) /* larger than headers, indexes and small files of tests */

static inline enum wr_status world_request(struct world *w, struct wr_err *e)
{
    bool fail;
    enum wr_status st = WR_OK;

    wr_mutex_lock(&w->mutex);
    w->requests++;
    fail = w->requests >= w->fail_from && w->requests - w->fail_from < w->fail_n;
    wr_mutex_unlock(&w->mutex);
    if (fail && w->cancel)
        wr_cancel_now(w->cancel);
    else if (fail)
        st = wr_fail(e, w->fail_with, "made to fail");
    return st;
}

static inline void world_fail(struct world *w, uint64_t from, uint64_t n, enum wr_status with)
{
    w->requests = 0;
    w->fail_from = from;
    w->fail_n = n;
    w->fail_with = with;
    w->pieces = w->piece_bytes = 0;
}

static inline void world_piece(struct world *w, size_t n)
{
    uint64_t nth;

    if (n <= WORLD_PIECE)
        return;
    wr_mutex_lock(&w->mutex);
    nth = ++w->pieces;
    w->piece_bytes += n;
    wr_mutex_unlock(&w->mutex);
    if (w->in_piece)
        w->in_piece(w, nth);
}

struct world_listing {
    struct world *w;
    wr_list_fn *fn;
    void *arg;
};

static inline bool world_list_one(void *arg, const struct wr_object *obj)
{
    const struct world_listing *l = arg;
    struct wr_object late = *obj;

    if (l->w->unlisted && strstr(obj->key.p, l->w->unlisted))
        return true;
    late.time_ms += l->w->listed_late_ms;
    return l->fn(l->arg, &late);
}

static inline enum wr_status world_list(void *self, struct wr_call *c, struct wr_str prefix,
    struct wr_str after, wr_list_fn *fn, void *arg, struct wr_err *e)
{
    struct world *w = self;
    struct world_listing l = {.w = w, .fn = fn, .arg = arg};
    enum wr_status st = world_request(w, e);

    if (st == WR_OK && w->at_list)
        w->at_list(w);
    if (st == WR_OK)
        st = wr_storage_mem.list(w->bucket, c, prefix, after, world_list_one, &l, e);
    if (w->unlisted_n > 0 && --w->unlisted_n == 0)
        w->unlisted = NULL;
    return st;
}

static inline enum wr_status world_stat(
    void *self, struct wr_call *c, struct wr_str key, struct wr_object *out, struct wr_err *e)
{
    struct world *w = self;
    enum wr_status st = world_request(w, e);

    return st == WR_OK ? wr_storage_mem.stat(w->bucket, c, key, out, e) : st;
}

static inline enum wr_status world_get(void *self, struct wr_call *c, struct wr_str key,
    uint64_t off, void *buf, size_t n, size_t *got, struct wr_str *version, struct wr_err *e)
{
    struct world *w = self;
    enum wr_status st;

    world_piece(w, n);
    if (w->in_get)
        w->in_get(w);
    st = world_request(w, e);
    if (st == WR_OK)
        st = wr_storage_mem.get(w->bucket, c, key, off, buf, n, got, version, e);
    if (st == WR_OK && version && w->in_version) {
        wr_mutex_lock(&w->mutex);
        *version = w->in_version(w, c->scratch, *version);
        wr_mutex_unlock(&w->mutex);
    }
    if (st == WR_OK && w->short_reads && *got == n && n > 0 && off > 0)
        --*got;
    return st;
}

static inline enum wr_status world_put(void *self, struct wr_call *c, struct wr_str key,
    struct wr_bytes body, const struct wr_put_opts *o, struct wr_object *out, struct wr_err *e)
{
    return wr_storage_mem.put(((struct world *)self)->bucket, c, key, body, o, out, e);
}

static inline enum wr_status world_remove(
    void *self, struct wr_call *c, const struct wr_str *keys, size_t n, struct wr_err *e)
{
    return wr_storage_mem.remove(((struct world *)self)->bucket, c, keys, n, e);
}

static inline void world_close_driver(void *self)
{
    (void)self;
}

/* `caps` is what the driver says of itself beside WR_STORAGE_COND_PUT. */
static inline void world_init(struct world *w, unsigned caps, const char *prefix)
{
    struct wr_err e = {0};

    *w = (struct world){.ops = {.scheme = "world",
                            .caps = WR_STORAGE_COND_PUT | caps,
                            .list = world_list,
                            .stat = world_stat,
                            .get = world_get,
                            .put = world_put,
                            .remove = world_remove,
                            .close = world_close_driver}};
    wr_mutex_init(&w->mutex);
    T_OK(wr_storage_mem.open(NULL, &w->bucket, &e));
    T_OK(wr_storage_wrap(&w->ops, w, wr_str(prefix), &w->storage, &e));
}

static inline void world_release(struct world *w)
{
    wr_storage_close(w->storage);
    wr_storage_mem.close(w->bucket);
    wr_mutex_release(&w->mutex);
}

static inline void world_store(struct world *w, struct wr_str key, struct wr_bytes body, int64_t ms)
{
    const struct wr_put_opts o = {.time_ms = ms};
    struct wr_err e = {0};

    T_OK(wr_storage_put(w->storage, t_call(), key, body, &o, &e));
}

static inline void world_remove_key(struct world *w, struct wr_str key)
{
    struct wr_err e = {0};

    T_OK(wr_storage_remove(w->storage, t_call(), &key, 1, &e));
}

/* A database with a history. Transaction i, from 1, leaves image[i]; image[0] is empty. */
#define STORY_MAX  40 /* transactions of one that is drawn */
#define STORY_ROOM 300
struct story {
    struct wr_rand *random;
    uint32_t page_size, lock_offset;
    uint32_t pages_max;  /* bound of `commit` */
    bool rolling;        /* files record the image's checksum */
    size_t n;            /* transactions, one a second */
    uint64_t set_back;   /* from that one on by a clock that was set back; 0: none ... */
    int64_t set_back_ms; /* ... by so much */
    struct image {
        uint8_t *data;
        uint32_t commit;
        uint8_t *changed; /* by this transaction: one byte a page, from page 1 at index 1 */
        uint64_t rolling; /* checksum */
    } image[STORY_ROOM + 1];
};

static inline void story_init(struct story *s, struct wr_rand *r, uint32_t page_size,
    uint32_t lock_offset, uint32_t pages_max, bool rolling)
{
    *s = (struct story){.random = r,
        .page_size = page_size,
        .lock_offset = lock_offset,
        .pages_max = pages_max,
        .rolling = rolling};
    s->image[0].rolling = WR_LTX_CHECKSUM_EMPTY;
}

static inline void story_release(struct story *s)
{
    for (size_t i = 0; i <= s->n; i++) {
        wr_free(s->image[i].data);
        wr_free(s->image[i].changed);
    }
}

static inline int64_t story_ms(const struct story *s, uint64_t txid)
{
    return (int64_t)txid * 1000 + (txid < s->set_back ? s->set_back_ms : 0);
}

static inline uint32_t story_lock(const struct story *s)
{
    return wr_ltx_lock_pgno(s->page_size, s->lock_offset);
}

static inline uint8_t *story_page(const struct story *s, size_t txid, uint32_t pgno)
{
    return s->image[txid].data + (size_t)(pgno - 1) * s->page_size;
}

static inline void story_set(struct story *s, uint32_t pgno)
{
    uint8_t *page = story_page(s, s->n, pgno);

    if (pgno == story_lock(s))
        return;
    s->image[s->n].changed[pgno] = 1;
    memset(page, 0, s->page_size);
    /* Compressible or not. */
    wr_rand_fill(s->random, page, wr_rand_below(s->random, 3) ? s->page_size : 20);
}

/* The checksum of the last image. */
static inline void story_sum(struct story *s)
{
    struct image *is = &s->image[s->n];

    is->rolling = WR_LTX_CHECKSUM_EMPTY;
    for (uint32_t pgno = 1; pgno <= is->commit; pgno++) {
        if (pgno != story_lock(s))
            is->rolling ^= wr_ltx_page_checksum(pgno, story_page(s, s->n, pgno), s->page_size) &
                           ~WR_LTX_CHECKSUM_EMPTY;
    }
}

/* One more transaction: the size becomes `commit`, some `edits` pages change, growth is filled. */
static inline void story_commit(struct story *s, uint32_t commit, uint32_t edits)
{
    const struct image *was = &s->image[s->n];
    struct image *is = &s->image[++s->n];
    size_t keep = (size_t)wr_min(was->commit, commit) * s->page_size;

    assert_true(s->n <= STORY_ROOM && commit <= s->pages_max && commit > 0);
    is->commit = commit;
    is->data = wr_alloc((size_t)commit * s->page_size);
    is->changed = wr_alloc((size_t)s->pages_max + 1);
    T(is->data && is->changed);
    if (keep)
        memcpy(is->data, was->data, keep);
    for (uint32_t pgno = was->commit + 1; pgno <= commit; pgno++)
        story_set(s, pgno);
    for (uint32_t i = 0; i < edits; i++)
        story_set(s, (uint32_t)wr_rand_below(s->random, commit) + 1);
    story_sum(s);
}

/* Let the last transaction also write pages `from` to `to`. */
static inline void story_rewrite(struct story *s, uint32_t from, uint32_t to)
{
    for (uint32_t pgno = from; pgno <= to; pgno++)
        story_set(s, pgno);
    story_sum(s);
}

/* Another one that is the same up to transaction `n`. */
static inline void story_fork(struct story *to, const struct story *from, size_t n)
{
    story_init(to, from->random, from->page_size, from->lock_offset, from->pages_max, true);
    for (size_t i = 1; i <= n; i++) {
        const struct image *is = &from->image[i];
        size_t size = (size_t)is->commit * from->page_size;

        to->image[i] = *is;
        to->image[i].data = wr_alloc(size);
        to->image[i].changed = wr_alloc((size_t)from->pages_max + 1);
        T(to->image[i].data && to->image[i].changed);
        memcpy(to->image[i].data, is->data, size);
        memcpy(to->image[i].changed, is->changed, (size_t)from->pages_max + 1);
    }
    to->n = n;
}

static inline enum wr_status story_sink(void *arg, struct wr_bytes p, struct wr_err *e)
{
    struct wr_buf *b = arg;

    (void)e;
    wr_buf_put(b, p.p, p.n);
    return wr_buf_status(b);
}

/* The file of transactions min to max, as a merge of theirs would be; `out` is initialised. */
static inline void story_file(const struct story *s, uint64_t min, uint64_t max, struct wr_buf *out)
{
    const struct image *last = &s->image[max];
    const struct wr_ltx_header h = {.page_size = s->page_size,
        .commit = last->commit,
        .min_txid = min,
        .max_txid = max,
        .time_ms = story_ms(s, max),
        .has_rolling = s->rolling,
        .rolling_pre = s->rolling ? s->image[min - 1].rolling : 0,
        .rolling_post = s->rolling ? last->rolling : 0};
    struct wr_ltx_enc *enc = NULL;
    struct wr_ltx_trailer trailer;
    uint64_t size;
    struct wr_err e = {0};

    T_OK(wr_ltx_enc_new(&h, s->lock_offset, story_sink, out, &enc, &e));
    for (uint32_t pgno = 1; pgno <= last->commit; pgno++) {
        bool changed = false;

        for (uint64_t i = min; i <= max; i++)
            changed = changed || s->image[i].changed[pgno];
        if (changed)
            T_OK(wr_ltx_enc_page(enc, pgno, story_page(s, max, pgno), &e));
    }
    T_OK(wr_ltx_enc_finish(enc, &trailer, &size, &e));
    wr_ltx_enc_free(enc);
    T(size == out->n);
}

/* The snapshot of TXID 1, with another byte at `at`, and so with another checksum. */
static inline void story_file_changed(const struct story *s, size_t at, struct wr_buf *out)
{
    story_file(s, 1, 1, out);
    out->p[at] ^= 0x40;
    out->p[out->n - 1] ^= 0x40;
}

/* Put that file into the bucket, listed with the time that it was made at. */
static inline void story_put(
    const struct story *s, struct world *w, unsigned level, uint64_t min, uint64_t max)
{
    struct wr_call *c = t_call();
    struct wr_buf b;

    wr_buf_init(&b, (size_t)1 << 28);
    story_file(s, min, max, &b);
    world_store(w, wr_layout_ltx_key(c->scratch, w->storage, level, min, max), wr_buf_bytes(&b),
        story_ms(s, max));
    wr_buf_release(&b);
}

static inline bool file_exists(const char *path)
{
    FILE *f = fopen(path, "rb");

    if (f)
        (void)fclose(f);
    return f != NULL;
}

#endif
