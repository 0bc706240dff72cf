/*
 * dec.h - read an LTX file from beginning to end, page by page, believing nothing.
 *
 * owned. Memory: one compressed page; it does not grow with the file. While it expands an LZ4 frame
 * liblz4 takes up to 8 MiB of its own, which the hooks of mem.h do not see. Pages come out before
 * the file's checksum, which is at its end, could be checked: do not publish what was made of them
 * until wr_ltx_dec_page has said WR_NOTFOUND. After a failure only free is allowed.
 */
#ifndef WR_LTX_DEC_H
#define WR_LTX_DEC_H

#include "ltx/ltx.h"

struct wr_ltx_dec;

/* Reads exactly `n` bytes, the next ones of the file, or fails; the end of the file is a failure
 * (CORRUPT). Its failures are handed to the decoder's caller with context, except that NOTFOUND, an
 * object that vanished, becomes IO, for here NOTFOUND means that all is well. */
typedef enum wr_status wr_ltx_read_fn(void *arg, void *buf, size_t n, struct wr_err *e);

/* That of a file in memory: `arg` is a struct wr_bytes, the rest of it. */
enum wr_status wr_ltx_read_memory(void *arg, void *buf, size_t n, struct wr_err *e) WR_MUST_CHECK;

/* `size` of the file in bytes lets it find bytes after the end and lengths that are too long; 0:
 * unknown. Reads nothing yet. NOMEM. */
enum wr_status wr_ltx_dec_new(wr_ltx_read_fn *read, void *arg, uint64_t size, uint32_t lock_offset,
    struct wr_ltx_dec **ret, struct wr_err *e) WR_MUST_CHECK;
void wr_ltx_dec_free(struct wr_ltx_dec *dec); /* NULL-safe */

/* The header, read from the file the first time. CORRUPT, NOMEM, and what read returned. */
enum wr_status wr_ltx_dec_header(
    struct wr_ltx_dec *dec, struct wr_ltx_header *ret_header, struct wr_err *e) WR_MUST_CHECK;

/* The next page into `data` (page_size bytes), in ascending order. WR_NOTFOUND without a text after
 * the last one, once index, length and file checksum have been found right; if the file is a
 * snapshot with rolling checksums, these too. CORRUPT, NOMEM, and what read returned. A snapshot
 * may have holes, since the files after it may fill them: the encoder and whoever restores check.
 */
enum wr_status wr_ltx_dec_page(
    struct wr_ltx_dec *dec, uint32_t *ret_pgno, uint8_t *data, struct wr_err *e) WR_MUST_CHECK;

/* The LZ4 block of the page that was just returned, until the next call; empty when the page was
 * stored as an LZ4 frame, which wr_ltx_enc_copy does not take. */
struct wr_bytes wr_ltx_dec_block(const struct wr_ltx_dec *dec);

/* Only after WR_NOTFOUND. */
struct wr_ltx_trailer wr_ltx_dec_trailer(const struct wr_ltx_dec *dec);

#endif
