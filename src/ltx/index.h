/*
 * index.h - where the pages are, learnt from the end of a file without reading the rest.
 *
 * The index is not covered by anything that a reader of the end could check, so every number in it
 * is checked against the others. frame.h decodes what the entries point to.
 */
#ifndef WR_LTX_INDEX_H
#define WR_LTX_INDEX_H

#include "ltx/ltx.h"

#define WR_LTX_TAIL_MIN  24    /* bytes at the end that are enough to locate the index */
#define WR_LTX_TAIL_SIZE 32768 /* bytes to fetch: most indexes are inside */

/* From the last bytes of a file of `file_size` bytes, at least WR_LTX_TAIL_MIN of them: the index
 * takes *ret_size bytes at *ret_off. It is in `tail` if *ret_off >= file_size - tail.n. CORRUPT. */
enum wr_status wr_ltx_index_locate(struct wr_bytes tail, uint64_t file_size, uint64_t *ret_off,
    uint64_t *ret_size, struct wr_err *e) WR_MUST_CHECK;

struct wr_ltx_entry {
    uint32_t pgno;
    uint32_t length; /* bytes of the frame, page header included */
    uint64_t offset; /* of the frame in the file */
};

/* A walk over the entries. owned; the members are index.c's. */
struct wr_ltx_index {
    struct wr_bytes rest; /* not yet read; the caller's memory */
    uint64_t next_off;    /* where the next frame must start */
    uint64_t end_off;     /* where the last one must end */
    uint32_t pgno;        /* of the last entry */
    uint32_t commit, lock_pgno, length_max;
};

/* Start over `index`, the *ret_size bytes at `index_off`, which stay the caller's. `h` may be NULL
 * for a reader that has not fetched the header; it then finds less. */
void wr_ltx_index_init(struct wr_ltx_index *x, struct wr_bytes index, uint64_t index_off,
    const struct wr_ltx_header *h, uint32_t lock_offset);
/* The next entry: ascending page numbers other than the lock page, frames that follow each other
 * without a gap. WR_NOTFOUND without a text after the last, which must end where the index says the
 * pages end. CORRUPT: anything else; do not go on then. */
enum wr_status wr_ltx_index_next(
    struct wr_ltx_index *x, struct wr_ltx_entry *ret_entry, struct wr_err *e) WR_MUST_CHECK;

#endif
