/*
 * frame.h - one page as it is stored: page header and compressed payload.
 *
 * Both encodings are read: the LZ4 block that we write, and the LZ4 frame of Litestream up to
 * 0.5.15. Nothing here knows where in a file the bytes are.
 */
#ifndef WR_LTX_FRAME_H
#define WR_LTX_FRAME_H

#include "base/base.h"
#include "base/status.h"
#include "base/str.h"

#define WR_LTX_FRAME_HEAD     6  /* bytes: page number and flags */
#define WR_LTX_FRAME_HEAD_MAX 10 /* with the payload's length, which a block has */
#define WR_LTX_FRAME_BLOCK    1  /* the page flag: length and LZ4 block, not an LZ4 frame */

/* The largest payload that a page of this size can have in either encoding. */
size_t wr_ltx_payload_max(uint32_t page_size);

/* The largest frame that wr_ltx_frame_put makes of a page of this size. */
size_t wr_ltx_frame_max(uint32_t page_size);

/* Bytes of memory that wr_ltx_frame_put compresses with; its contents do not matter. */
size_t wr_ltx_frame_scratch(void);

/* Write a page as a frame; returns its bytes, at most wr_ltx_frame_max, which `out` has room for.
 * The same page is always the same bytes. */
size_t wr_ltx_frame_put(
    uint8_t *out, uint32_t pgno, const uint8_t *page, uint32_t page_size, void *scratch);
/* The header alone, WR_LTX_FRAME_HEAD_MAX bytes, of a block of `payload` bytes. */
void wr_ltx_frame_head_put(uint8_t *out, uint32_t pgno, size_t payload);

/* Expand an LZ4 block of at most wr_ltx_payload_max bytes to exactly page_size bytes. CORRUPT. */
enum wr_status wr_ltx_block_decode(
    struct wr_bytes block, uint32_t page_size, uint8_t *page, struct wr_err *e) WR_MUST_CHECK;

/* Decode the frame `f`, as fetched by an index entry for page `pgno`, into page_size bytes.
 * CORRUPT: another page's frame, a length that disagrees, or a payload that is not exactly one
 * page. It cannot tell whether the page is right: only the file's checksum covers its contents.
 * NOMEM. */
enum wr_status wr_ltx_frame_decode(struct wr_bytes f, uint32_t page_size, uint32_t pgno,
    uint8_t *page, struct wr_err *e) WR_MUST_CHECK;

#endif
