/*
 * lz4f.c - LZ4 frames: find the end, expand. liblz4 does the expanding and checks the checksums.
 *
 *   magic 04 22 4D 18, FLG, BD [, content size 8] [, dictionary 4], header checksum 1
 *   then blocks: size 4 (little-endian, top bit: stored), data [, block checksum 4]
 *   then size 0, content checksum 4
 *
 * Source: the LZ4 frame format description, version 1.6.
 */
#include "ltx/lz4f.h"

#include "base/bytes.h"

#include <lz4frame.h>

#define MAGIC 0x184D2204u

enum {
    FLG_DICTIONARY = 0x01,
    FLG_CONTENT_SUM = 0x04,
    FLG_CONTENT_SIZE = 0x08,
    FLG_BLOCK_SUM = 0x10,
    HEAD_MIN = 7,
    STORED = 31, /* the bit of a block's size */
};

struct intake {
    wr_ltx_read_fn *read;
    void *arg;
    uint8_t *buf;
    size_t n, cap;
};

static enum wr_status take(struct intake *t, size_t n, struct wr_err *e)
{
    enum wr_status st;

    if (n > t->cap - t->n)
        return wr_fail(e, WR_CORRUPT, "LZ4 frame: too long for a page");
    st = t->read(t->arg, t->buf + t->n, n, e);
    if (st == WR_OK)
        t->n += n;
    return st;
}

static enum wr_status check_head(const uint8_t *p, struct wr_err *e)
{
    if (wr_le32(p) != MAGIC)
        return wr_fail(e, WR_CORRUPT, "page is no LZ4 frame");
    /* Without it the original stops as well. */
    if ((p[4] & FLG_CONTENT_SUM) == 0)
        return wr_fail(e, WR_CORRUPT, "LZ4 frame: no content checksum");
    if ((p[4] & FLG_DICTIONARY) != 0)
        return wr_fail(e, WR_CORRUPT, "LZ4 frame: needs a dictionary");
    return WR_OK;
}

enum wr_status wr_ltx_lz4f_read(
    wr_ltx_read_fn *read, void *arg, uint8_t *buf, size_t cap, size_t *ret_n, struct wr_err *e)
{
    struct intake t = {.read = read, .arg = arg, .buf = buf, .cap = cap};
    size_t block_sum, block = SIZE_MAX;
    enum wr_status st = take(&t, HEAD_MIN, e);

    if (st == WR_OK)
        st = check_head(buf, e);
    if (st != WR_OK)
        return st;
    block_sum = (buf[4] & FLG_BLOCK_SUM) != 0 ? 4 : 0;
    if ((buf[4] & FLG_CONTENT_SIZE) != 0)
        st = take(&t, 8, e);
    while (st == WR_OK && block != 0) {
        st = take(&t, 4, e);
        if (st != WR_OK)
            break;
        block = wr_le32(buf + t.n - 4);
        /* The end mark is a size of 0; a stored block of no bytes is not one. */
        st = take(&t, block == 0 ? 4 : (block & ~((size_t)1 << STORED)) + block_sum, e);
    }
    if (st == WR_OK)
        *ret_n = t.n;
    return st;
}

static enum wr_status run(
    LZ4F_dctx *ctx, struct wr_bytes frame, uint32_t page_size, uint8_t *page, struct wr_err *e)
{
    size_t in = 0, out = 0, left = 1;

    while (left != 0) {
        size_t in_n = frame.n - in, out_n = page_size - out;

        left = LZ4F_decompress(ctx, page + out, &out_n, frame.p + in, &in_n, NULL);
        if (LZ4F_isError(left))
            return wr_fail(e, WR_CORRUPT, "LZ4 frame: %s", LZ4F_getErrorName(left));
        if (left != 0 && in_n == 0 && out_n == 0)
            return wr_fail(e, WR_CORRUPT, "LZ4 frame: cut short, or longer than a page");
        in += in_n;
        out += out_n;
    }
    if (in != frame.n)
        return wr_fail(e, WR_CORRUPT, "LZ4 frame: bytes after its end");
    if (out != page_size)
        return wr_fail(e, WR_CORRUPT, "LZ4 frame: %zu bytes in place of a page's %u", out,
            (unsigned)page_size);
    return WR_OK;
}

enum wr_status wr_ltx_lz4f_decode(
    struct wr_bytes frame, uint32_t page_size, uint8_t *page, struct wr_err *e)
{
    LZ4F_dctx *ctx = NULL;
    enum wr_status st;

    if (frame.n < HEAD_MIN)
        return wr_fail(e, WR_CORRUPT, "LZ4 frame: %zu bytes", frame.n);
    st = check_head(frame.p, e);
    if (st != WR_OK)
        return st;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&ctx, LZ4F_VERSION)))
        return wr_fail(e, WR_NOMEM, "LZ4 frame: out of memory");
    st = run(ctx, frame, page_size, page, e);
    (void)LZ4F_freeDecompressionContext(ctx); /* its result is only how far decoding had come */
    return st;
}
