/*
 * frame.c - one stored page.
 *
 *   0  4  page number
 *   4  2  flags: 1 or 0
 *   flags 1, written by us and by Litestream since 0.5.16:
 *     6  4  N
 *    10  N  LZ4 block that expands to exactly one page. An incompressible page is a block, too, of
 *           literals alone, and so a little larger than the page.
 *   flags 0, written by Litestream up to 0.5.15:
 *     6  -  LZ4 frame with a content checksum; where it ends, only the frame itself tells
 *
 * Source: superfly/ltx v0.5.2 and files of litestream-vfs 0.5.17, which refuses LZ4 frames without
 * content checksum.
 */
#include "ltx/frame.h"

#include "base/bytes.h"
#include "ltx/ltx.h"
#include "ltx/lz4f.h"

#include <lz4.h>

size_t wr_ltx_payload_max(uint32_t page_size)
{
    /* LZ4_compressBound exceeds the page size, so it covers stored blocks of a frame as well. */
    return (size_t)LZ4_compressBound((int)page_size) + WR_LTX_LZ4F_SLACK;
}

size_t wr_ltx_frame_max(uint32_t page_size)
{
    return WR_LTX_FRAME_HEAD_MAX + (size_t)LZ4_compressBound((int)page_size);
}

size_t wr_ltx_frame_scratch(void)
{
    return (size_t)LZ4_sizeofState();
}

void wr_ltx_frame_head_put(uint8_t *out, uint32_t pgno, size_t payload)
{
    wr_put_be32(out, pgno);
    wr_put_be16(out + 4, WR_LTX_FRAME_BLOCK);
    wr_put_be32(out + WR_LTX_FRAME_HEAD, (uint32_t)payload);
}

size_t wr_ltx_frame_put(
    uint8_t *out, uint32_t pgno, const uint8_t *page, uint32_t page_size, void *scratch)
{
    int n = LZ4_compress_fast_extState(scratch, (const char *)page,
        (char *)out + WR_LTX_FRAME_HEAD_MAX, (int)page_size, LZ4_compressBound((int)page_size), 1);

    assert(n > 0); /* the room is the bound, so it always fits */
    wr_ltx_frame_head_put(out, pgno, (size_t)n);
    return WR_LTX_FRAME_HEAD_MAX + (size_t)n;
}

enum wr_status wr_ltx_block_decode(
    struct wr_bytes block, uint32_t page_size, uint8_t *page, struct wr_err *e)
{
    int n;

    assert(wr_ltx_page_size_ok(page_size));
    assert(block.n <= wr_ltx_payload_max(page_size));
    n = LZ4_decompress_safe((const char *)block.p, (char *)page, (int)block.n, (int)page_size);
    if (n < 0)
        return wr_fail(e, WR_CORRUPT, "malformed LZ4 block, or more than one page in it");
    if ((uint32_t)n != page_size)
        return wr_fail(
            e, WR_CORRUPT, "LZ4 block of %d bytes in place of a page's %u", n, (unsigned)page_size);
    return WR_OK;
}

enum wr_status wr_ltx_frame_decode(
    struct wr_bytes f, uint32_t page_size, uint32_t pgno, uint8_t *page, struct wr_err *e)
{
    struct wr_bytes payload;
    enum wr_status st;

    if (f.n < WR_LTX_FRAME_HEAD_MAX)
        return wr_fail(e, WR_CORRUPT, "page %u: frame of %zu bytes", (unsigned)pgno, f.n);
    if (wr_be32(f.p) != pgno)
        return wr_fail(e, WR_CORRUPT, "page %u: found page %u in its place", (unsigned)pgno,
            (unsigned)wr_be32(f.p));
    if (f.n > WR_LTX_FRAME_HEAD + wr_ltx_payload_max(page_size))
        return wr_fail(e, WR_CORRUPT, "page %u: frame of %zu bytes", (unsigned)pgno, f.n);
    if (wr_be16(f.p + 4) == 0) {
        payload = (struct wr_bytes){f.p + WR_LTX_FRAME_HEAD, f.n - WR_LTX_FRAME_HEAD};
        st = wr_ltx_lz4f_decode(payload, page_size, page, e);
    } else if (wr_be16(f.p + 4) != WR_LTX_FRAME_BLOCK) {
        st = wr_fail(e, WR_CORRUPT, "unknown page flags %04x", (unsigned)wr_be16(f.p + 4));
    } else if (wr_be32(f.p + WR_LTX_FRAME_HEAD) != f.n - WR_LTX_FRAME_HEAD_MAX) {
        st = wr_fail(e, WR_CORRUPT, "length in the page differs from the index");
    } else {
        payload = (struct wr_bytes){f.p + WR_LTX_FRAME_HEAD_MAX, f.n - WR_LTX_FRAME_HEAD_MAX};
        st = wr_ltx_block_decode(payload, page_size, page, e);
    }
    return st == WR_OK ? WR_OK : wr_wrap(e, st, "page %u", (unsigned)pgno);
}
