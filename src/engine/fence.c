/*
 * fence.c - see fence.h.
 */
#include "engine/fence.h"

#include "base/buf.h"
#include "base/mem.h"
#include "engine/layout.h"
#include "ltx/dec.h"
#include "ltx/enc.h"
#include "storage/storage.h"

#define FILE_MAX  ((size_t)256 << 10) /* bytes; a page of 64 KiB that does not compress */
#define OTHER_MAX ((size_t)1 << 20)   /* bytes of a file that is read to see what is behind it */

bool wr_fence_is_behind(const struct wr_ltx_file *f)
{
    return f->level == 0 && f->max - f->min == WR_PROMOTE_AWAY - 1;
}

static enum wr_status to_buf(void *arg, struct wr_bytes p, struct wr_err *e)
{
    struct wr_buf *b = arg;

    wr_buf_put(b, p.p, p.n);
    return wr_buf_status(b) == WR_OK ? WR_OK : wr_fail(e, wr_buf_status(b), "encode a fence");
}

static enum wr_status encode(
    const struct wr_fence *f, uint64_t min, uint64_t max, struct wr_buf *out, struct wr_err *e)
{
    const struct wr_ltx_header h = {.page_size = f->page_size,
        .commit = f->commit,
        .min_txid = min,
        .max_txid = max,
        .time_ms = f->time_ms,
        .node_id = f->node,
        .has_rolling = true,
        .rolling_pre = f->rolling,
        .rolling_post = f->rolling};
    struct wr_ltx_trailer trailer;
    struct wr_ltx_enc *enc = NULL;
    uint64_t size;
    enum wr_status st = wr_ltx_enc_new(&h, f->lock_offset, to_buf, out, &enc, e);

    if (st == WR_OK)
        st = wr_ltx_enc_page(enc, f->pgno, f->page, e);
    if (st == WR_OK)
        st = wr_ltx_enc_finish(enc, &trailer, &size, e);
    wr_ltx_enc_free(enc);
    return st;
}

enum wr_status wr_fence_put(struct wr_storage *s, struct wr_call *c, const struct wr_fence *f,
    uint64_t min, uint64_t max, struct wr_err *e)
{
    const struct wr_put_opts o = {
        .time_ms = f->time_ms, .if_absent = (wr_storage_caps(s) & WR_STORAGE_COND_PUT) != 0};
    struct wr_str key = wr_layout_ltx_key(c->scratch, s, 0, min, max);
    struct wr_buf file;
    enum wr_status st;

    assert(min > 1);
    if (!key.p)
        return wr_fail(e, WR_NOMEM, "name of a fence: out of memory");
    wr_buf_init(&file, FILE_MAX);
    st = encode(f, min, max, &file, e);
    if (st == WR_OK)
        st = wr_storage_put(s, c, key, wr_buf_bytes(&file), &o, e);
    wr_buf_release(&file);
    return st;
}

/* ---- somebody was faster ---- */

/* To its end, which proves it: *f as behind it, but for the node, which has put it, and how many
 * pages it has. `spare` has room for a page. */
static enum wr_status decode(struct wr_ltx_dec *dec, struct wr_fence *f, uint8_t *spare,
    uint32_t *ret_pages, struct wr_err *e)
{
    struct wr_ltx_header h;
    uint32_t pgno = 0, first = 0;
    enum wr_status st = wr_ltx_dec_header(dec, &h, e);

    if (st != WR_OK)
        return st;
    if (!h.has_rolling || h.rolling_pre != f->rolling || h.page_size != f->page_size)
        return wr_fail(e, WR_UNSUPPORTED, "it does not go on from what is known");
    st = wr_ltx_dec_page(dec, &first, f->page, e);
    if (st == WR_NOTFOUND)
        return wr_fail(e, WR_UNSUPPORTED, "it has no page");
    *ret_pages = 0;
    for (; st == WR_OK; ++*ret_pages)
        st = wr_ltx_dec_page(dec, &pgno, spare, e);
    if (st != WR_NOTFOUND)
        return st;
    f->node = h.node_id;
    f->rolling = h.rolling_post;
    f->commit = h.commit;
    f->pgno = first;
    f->time_ms = wr_max(f->time_ms, h.time_ms);
    return WR_OK;
}

static enum wr_status read_file(struct wr_storage *s, struct wr_call *c, uint64_t txid,
    struct wr_fence *f, uint32_t *ret_pages, struct wr_err *e)
{
    struct wr_str key = wr_layout_ltx_key(c->scratch, s, 0, txid, txid);
    uint8_t *file = wr_alloc(OTHER_MAX + 1), *spare = wr_alloc(f->page_size);
    struct wr_ltx_dec *dec = NULL;
    struct wr_bytes rest = {.p = file};
    enum wr_status st = WR_OK;

    if (!key.p || !file || !spare)
        st = wr_fail(e, WR_NOMEM, "read what is in the way: out of memory");
    if (st == WR_OK)
        st = wr_storage_get(s, c, key, 0, file, OTHER_MAX + 1, &rest.n, e);
    if (st == WR_OK && rest.n > OTHER_MAX)
        st = wr_fail(e, WR_UNSUPPORTED, "it is large");
    if (st == WR_OK)
        st = wr_ltx_dec_new(wr_ltx_read_memory, &rest, rest.n, f->lock_offset, &dec, e);
    if (st == WR_OK)
        st = decode(dec, f, spare, ret_pages, e);
    wr_ltx_dec_free(dec);
    wr_free(spare);
    wr_free(file);
    return st == WR_CORRUPT ? wr_fail(e, WR_UNSUPPORTED, "it is damaged") : st;
}

enum wr_status wr_fence_behind(
    struct wr_storage *s, struct wr_call *c, uint64_t txid, struct wr_fence *f, struct wr_err *e)
{
    const uint64_t node = f->node;
    uint32_t pages;
    enum wr_status st = read_file(s, c, txid, f, &pages, e);

    f->node = node;
    return st;
}

enum wr_status wr_fence_stands(struct wr_storage *s, struct wr_call *c, uint64_t txid,
    const struct wr_fence *f, bool *ret, struct wr_err *e)
{
    struct wr_fence is = *f;
    uint32_t pages = 0;
    enum wr_status st;

    is.page = wr_alloc(f->page_size);
    st = is.page ? read_file(s, c, txid, &is, &pages, e)
                 : wr_fail(e, WR_NOMEM, "page buffer: out of memory");
    wr_free(is.page);
    *ret = st == WR_OK && is.node == f->node && is.rolling == f->rolling &&
           is.commit == f->commit && pages == 1;
    return st == WR_NOTFOUND || st == WR_UNSUPPORTED ? WR_OK : st;
}
