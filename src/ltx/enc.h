/*
 * enc.h - write an LTX file from beginning to end, page by page.
 *
 * owned. Refuses to write what a reader would refuse: pages out of order, the lock page, a snapshot
 * with a hole. After a failure only free is allowed; what reached the sink until then is no file.
 *
 * Memory: 16 KiB for the compressor, if any page comes one by one, 130 KiB for output, about 3
 * bytes a page for the index, which comes last in the file: at most WR_LTX_ENC_INDEX_MAX.
 */
#ifndef WR_LTX_ENC_H
#define WR_LTX_ENC_H

#include "ltx/ltx.h"

/* Bytes of index kept in memory, over which adding a page is LIMIT: some 350 million pages. */
#define WR_LTX_ENC_INDEX_MAX ((size_t)1 << 30)

#define WR_LTX_ENC_CHUNK                                                    \
    ((size_t)65536) /* bytes; every chunk but the last has at least as many \
                     */

struct wr_ltx_enc;
struct wr_ltx_pack;

/* Takes the file in order, in chunks; `p` is valid during the call only. A failure is handed to the
 * encoder's caller as it is. */
typedef enum wr_status wr_ltx_sink_fn(void *arg, struct wr_bytes p, struct wr_err *e);

/* CORRUPT for a header that breaks its rules; NOMEM. `h` is copied. Nothing is sent yet. */
enum wr_status wr_ltx_enc_new(const struct wr_ltx_header *h, uint32_t lock_offset,
    wr_ltx_sink_fn *sink, void *arg, struct wr_ltx_enc **ret, struct wr_err *e) WR_MUST_CHECK;
void wr_ltx_enc_free(struct wr_ltx_enc *enc); /* NULL-safe */

/* Add a page of page_size bytes. CORRUPT: not after the page before it, over the header's commit,
 * the lock page, or not the very next one in a snapshot. LIMIT, NOMEM, and what the sink returned.
 */
enum wr_status wr_ltx_enc_page(
    struct wr_ltx_enc *enc, uint32_t pgno, const uint8_t *data, struct wr_err *e) WR_MUST_CHECK;
/* The same for a page that is compressed already: `block` is an LZ4 block that expands to `data`,
 * as wr_ltx_dec_block returns it. That it does so is the caller's word. */
enum wr_status wr_ltx_enc_copy(struct wr_ltx_enc *enc, uint32_t pgno, struct wr_bytes block,
    const uint8_t *data, struct wr_err *e) WR_MUST_CHECK;

/* The same for all pages of a pack that was made, of this page size. It is not kept. */
enum wr_status wr_ltx_enc_pack(
    struct wr_ltx_enc *enc, const struct wr_ltx_pack *p, struct wr_err *e) WR_MUST_CHECK;

/* Write index and trailer and send the rest. *ret_size is the file's size in bytes. CORRUPT: a
 * snapshot that stops short of commit, or whose pages do not add up to its rolling_post. A file
 * without pages is fine unless it is a snapshot. */
enum wr_status wr_ltx_enc_finish(struct wr_ltx_enc *enc, struct wr_ltx_trailer *ret_trailer,
    uint64_t *ret_size, struct wr_err *e) WR_MUST_CHECK;

/* Give a whole file of `pages` pages, which is no snapshot, another rolling_post than it was made
 * with, and the checksum that follows. Who knows that only when the pages were read needs to read
 * them once. */
void wr_ltx_enc_amend(uint8_t *file, size_t size, uint64_t pages, uint64_t rolling_post,
    struct wr_ltx_trailer *ret_trailer);

#endif
