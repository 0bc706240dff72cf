/*
 * merge.h - many LTX files into one: of every page the newest version.
 *
 * No program here merges: files of levels are made from the database (engine/compact.c). This is
 * what they are held against, page by page, by tests of the engine.
 *
 * owned. Memory: a page for each input. As with a decoder, nothing that comes out is proven until
 * the end was reached; inputs that were read to their end have then been verified in full.
 */
#ifndef WR_LTX_MERGE_H
#define WR_LTX_MERGE_H

#include "ltx/dec.h"
#include "ltx/enc.h"

#define WR_LTX_MERGE_MAX 4096 /* inputs of one merge; merge in rounds above that */

struct wr_ltx_merge;

struct wr_ltx_page {
    uint32_t pgno;
    const uint8_t *data;   /* page_size bytes */
    struct wr_bytes block; /* compressed, see wr_ltx_dec_block; may be empty */
};

/* Merge `n` inputs, oldest first, from which no page has been read. They stay the caller's, to be
 * freed after the merge. Reads their headers: CORRUPT unless the page sizes are equal, each input
 * starts at most one TXID after the end of the one before it and ends after it, and the rolling
 * checksums of two that follow without overlap agree if both have them. MISUSE for n 0, LIMIT over
 * WR_LTX_MERGE_MAX, NOMEM, and whatever a decoder returns. */
enum wr_status wr_ltx_merge_new(struct wr_ltx_dec *const *in, size_t n, uint32_t lock_offset,
    struct wr_ltx_merge **ret, struct wr_err *e) WR_MUST_CHECK;
void wr_ltx_merge_free(struct wr_ltx_merge *m); /* NULL-safe; frees no decoder */

/* Of the result: first TXID of the first, all else of the last; WAL fields and node 0; rolling
 * checksums if all inputs have them. Lives as long as the merge. */
const struct wr_ltx_header *wr_ltx_merge_header(const struct wr_ltx_merge *m);

/* The next page, ascending, none above the result's commit; what ret_page points to lives until the
 * next call. WR_NOTFOUND without a text after the last, when all inputs are verified. */
enum wr_status wr_ltx_merge_page(
    struct wr_ltx_merge *m, struct wr_ltx_page *ret_page, struct wr_err *e) WR_MUST_CHECK;

/* All pages into a new file, compressed ones verbatim. As wr_ltx_enc_finish. */
enum wr_status wr_ltx_merge_write(struct wr_ltx_merge *m, wr_ltx_sink_fn *sink, void *arg,
    struct wr_ltx_trailer *ret_trailer, uint64_t *ret_size, struct wr_err *e) WR_MUST_CHECK;

#endif
