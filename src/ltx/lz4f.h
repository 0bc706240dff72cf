/*
 * lz4f.h - pages as LZ4 frames, the encoding of Litestream up to 0.5.15. Only read, never written.
 */
#ifndef WR_LTX_LZ4F_H
#define WR_LTX_LZ4F_H

#include "ltx/dec.h"

/* Bytes that the framing may add to a compressed page: header, one block's size, end, checksums. */
#define WR_LTX_LZ4F_SLACK 64

/* Read one frame, whose length only it knows, into `buf` of `cap` bytes. CORRUPT: no frame, one
 * without content checksum, a longer one; also what `read` returns. */
enum wr_status wr_ltx_lz4f_read(wr_ltx_read_fn *read, void *arg, uint8_t *buf, size_t cap,
    size_t *ret_n, struct wr_err *e) WR_MUST_CHECK;

/* Expand a whole frame to exactly page_size bytes. CORRUPT: it is malformed, fails a checksum, has
 * no content checksum, or is followed by anything. NOMEM. */
enum wr_status wr_ltx_lz4f_decode(
    struct wr_bytes frame, uint32_t page_size, uint8_t *page, struct wr_err *e) WR_MUST_CHECK;

#endif
