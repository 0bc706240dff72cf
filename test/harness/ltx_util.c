#include "harness/ltx_util.h"

#include "base/mem.h"
#include "harness/t.h"

void t_ltx_out_init(struct t_ltx_out *o)
{
    *o = (struct t_ltx_out){0};
    wr_buf_init(&o->buf, (size_t)1 << 28);
}

enum wr_status t_ltx_sink(void *arg, struct wr_bytes p, struct wr_err *e)
{
    struct t_ltx_out *o = arg;

    T(p.n > 0 && !o->short_seen);
    o->short_seen = p.n < WR_LTX_ENC_CHUNK;
    o->chunks++;
    wr_buf_put(&o->buf, p.p, p.n);
    if (wr_buf_status(&o->buf) != WR_OK)
        return wr_fail(e, wr_buf_status(&o->buf), "sink");
    return WR_OK;
}

enum wr_status t_ltx_source(void *arg, void *buf, size_t n, struct wr_err *e)
{
    struct t_ltx_in *s = arg;

    if (n > s->file.n - s->at)
        return wr_fail(e, WR_CORRUPT, "ends at byte %zu", s->file.n);
    memcpy(buf, s->file.p + s->at, n);
    s->at += n;
    return WR_OK;
}

struct wr_ltx_header t_ltx_header(const struct t_ltx *m)
{
    struct wr_ltx_header h = {.page_size = m->page_size,
        .commit = m->commit,
        .min_txid = m->min,
        .max_txid = m->max,
        .time_ms = m->time_ms,
        .wal_off = m->wal_off,
        .wal_size = m->wal_size,
        .node_id = m->node,
        .has_rolling = m->rolling,
        .rolling_pre = m->pre,
        .rolling_post = m->post};

    memcpy(h.salt, m->salt, sizeof(h.salt));
    return h;
}

enum wr_status t_ltx_write(
    const struct t_ltx *m, uint32_t lock_offset, struct t_ltx_out *o, struct wr_err *e)
{
    struct wr_ltx_header h = t_ltx_header(m);
    struct wr_ltx_trailer trailer = {0};
    struct wr_ltx_enc *enc = NULL;
    uint64_t size = 0;
    enum wr_status st;

    t_ltx_out_init(o);
    st = wr_ltx_enc_new(&h, lock_offset, t_ltx_sink, o, &enc, e);
    for (uint32_t p = 1; p < m->end && st == WR_OK; p++) {
        if (m->pages[p])
            st = wr_ltx_enc_page(enc, p, m->pages[p], e);
    }
    if (st == WR_OK)
        st = wr_ltx_enc_finish(enc, &trailer, &size, e);
    wr_ltx_enc_free(enc);
    if (st == WR_OK)
        T(size == o->buf.n && (trailer.file_checksum & WR_LTX_CHECKSUM_EMPTY) != 0);
    return st;
}

static void take_header(struct t_ltx *m, const struct wr_ltx_header *h)
{
    m->page_size = h->page_size;
    m->commit = h->commit;
    m->min = h->min_txid;
    m->max = h->max_txid;
    m->time_ms = h->time_ms;
    m->wal_off = h->wal_off;
    m->wal_size = h->wal_size;
    memcpy(m->salt, h->salt, sizeof(m->salt));
    m->node = h->node_id;
    m->rolling = h->has_rolling;
    m->pre = h->rolling_pre;
    m->post = h->rolling_post;
}

enum wr_status t_ltx_read(
    struct wr_bytes file, bool sized, uint32_t lock_offset, struct t_ltx *ret, struct wr_err *e)
{
    struct t_ltx_in in = {.file = file};
    struct wr_ltx_header h;
    struct wr_ltx_dec *dec = NULL;
    uint8_t *page = NULL;
    uint32_t pgno;
    enum wr_status st;

    memset(ret, 0, sizeof(*ret));
    st = wr_ltx_dec_new(t_ltx_source, &in, sized ? file.n : 0, lock_offset, &dec, e);
    if (st == WR_OK)
        st = wr_ltx_dec_header(dec, &h, e);
    if (st == WR_OK) {
        take_header(ret, &h);
        page = wr_alloc(h.page_size);
        if (!page)
            st = wr_fail(e, WR_NOMEM, "page");
    }
    while (st == WR_OK) {
        st = wr_ltx_dec_page(dec, &pgno, page, e);
        if (st == WR_OK &&
            pgno < T_LTX_PAGES) /* the model has none beyond, and a file is damaged */
            t_ltx_set(ret, pgno, page);
    }
    wr_free(page);
    wr_ltx_dec_free(dec);
    return st == WR_NOTFOUND ? WR_OK : st;
}

bool t_ltx_same(const struct t_ltx *a, const struct t_ltx *b)
{
    if (a->page_size != b->page_size || a->commit != b->commit || a->min != b->min ||
        a->max != b->max || a->time_ms != b->time_ms || a->wal_off != b->wal_off ||
        a->wal_size != b->wal_size || memcmp(a->salt, b->salt, 8) != 0 || a->node != b->node ||
        a->rolling != b->rolling || a->pre != b->pre || a->post != b->post)
        return false;
    for (uint32_t p = 0; p < wr_max(a->end, b->end); p++) {
        if (!a->pages[p] != !b->pages[p])
            return false;
        if (a->pages[p] && memcmp(a->pages[p], b->pages[p], a->page_size) != 0)
            return false;
    }
    return true;
}

void t_ltx_random_page(struct wr_rand *r, uint8_t *p, uint32_t page_size)
{
    uint64_t kind = wr_rand_below(r, 4);
    size_t noise = (size_t)wr_rand_below(r, page_size);

    memset(p, 0, page_size);
    if (kind == 1)
        wr_rand_fill(r, p, page_size);
    for (uint32_t i = 0; kind >= 2 && i < page_size; i++)
        p[i] = (uint8_t)('a' + ((size_t)i * i + noise) % 23);
    if (kind == 3)
        wr_rand_fill(r, p, noise);
}

void t_ltx_random(struct wr_rand *r, struct t_ltx *m, uint32_t page_size, uint32_t commit,
    uint64_t min, uint32_t lock_offset)
{
    uint32_t lock = wr_ltx_lock_pgno(page_size, lock_offset);
    uint64_t share = wr_rand_below(r, 4);
    uint8_t *page = wr_alloc(page_size);

    assert(page && commit < T_LTX_PAGES);
    *m = (struct t_ltx){.page_size = page_size,
        .commit = commit,
        .min = min,
        .max = min + wr_rand_below(r, 3),
        .time_ms = (int64_t)wr_rand_u64(r)};
    if (wr_rand_below(r, 2) == 0) {
        m->wal_off = 1 + wr_rand_below(r, INT64_MAX);
        m->wal_size = wr_rand_below(r, INT64_MAX);
        wr_rand_fill(r, m->salt, sizeof(m->salt));
        m->node = wr_rand_u64(r);
    }
    for (uint32_t p = 1; p <= commit; p++) {
        if (p == lock || (min != 1 && wr_rand_below(r, 4) > share))
            continue;
        t_ltx_random_page(r, page, page_size);
        t_ltx_set(m, p, page);
    }
    m->rolling = wr_rand_below(r, 2) == 0;
    if (m->rolling) {
        m->pre = min == 1 ? WR_LTX_CHECKSUM_EMPTY : WR_LTX_CHECKSUM_EMPTY | wr_rand_u64(r);
        m->post = min == 1 ? t_ltx_sum(m) : WR_LTX_CHECKSUM_EMPTY | wr_rand_u64(r);
    }
    wr_free(page);
}

static void touch(struct t_ltx_world *w, struct t_ltx *file, uint32_t pgno)
{
    uint8_t page[4096];

    if (pgno == w->lock)
        return;
    assert(w->page_size <= sizeof(page));
    t_ltx_random_page(w->r, page, w->page_size);
    t_ltx_set(&w->db, pgno, page);
    t_ltx_set(file, pgno, page);
}

struct t_ltx t_ltx_world_next(struct t_ltx_world *w)
{
    struct t_ltx file = {.page_size = w->page_size, .min = w->txid + 1, .rolling = w->rolling};
    uint32_t was = w->commit;

    file.pre = w->rolling ? t_ltx_sum(&w->db) : 0;
    w->commit = 1 + (uint32_t)wr_rand_below(w->r, 16);
    w->txid += 1 + wr_rand_below(w->r, 2);
    for (uint32_t p = w->commit + 1; p <= was; p++) {
        wr_free(w->db.pages[p]);
        w->db.pages[p] = NULL;
    }
    for (uint32_t p = was + 1; p <= w->commit; p++)
        touch(w, &file, p);
    for (uint64_t n = wr_rand_below(w->r, 6); n > 0; n--)
        touch(w, &file, 1 + (uint32_t)wr_rand_below(w->r, w->commit));
    file.commit = w->db.commit = w->commit;
    file.max = w->txid;
    file.time_ms = (int64_t)wr_rand_u64(w->r);
    file.node = w->txid % 3;
    file.post = w->rolling ? t_ltx_sum(&w->db) : 0;
    return file;
}
