/*
 * fence.c - see fence.h.
 */
#include "engine/fence.h"

#include "base/buf.h"
#include "engine/layout.h"
#include "ltx/enc.h"
#include "storage/storage.h"

#define FILE_MAX ((size_t)256 << 10) /* bytes; a page of 64 KiB that does not compress */

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
        st = wr_ltx_enc_page(enc, 1, f->page, e);
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
