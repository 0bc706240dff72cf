/*
 * sums.h - a database as the checksums of its pages, and what a file does to them.
 *
 * 8 bytes a page in place of the page: enough to tell whether the database that a file makes is the
 * one that its header records. Pure but for memory.
 */
#ifndef WR_ENGINE_SUMS_H
#define WR_ENGINE_SUMS_H

#include "base/base.h"
#include "base/status.h"
#include "ltx/ltx.h"

/* What one file, read in full, changes. owned. = {0} is empty. 12 bytes a page that it has, and as
 * much again while it grows: what its header promises takes no memory. */
struct wr_change {
    struct wr_ltx_header header;
    uint32_t *pgno; /* ascending */
    uint64_t *sum;  /* wr_ltx_page_checksum */
    size_t n, cap;
};
enum wr_status wr_change_add(
    struct wr_change *ch, uint32_t pgno, uint64_t sum, struct wr_err *e) WR_MUST_CHECK; /* NOMEM */
void wr_change_release(struct wr_change *ch);

/* owned. = {0}, but for lock_offset, is no database yet. 8 bytes a page.
 *
 * Of a page that was cut off the checksum stays: Litestream does not store again what a database
 * that grows gets back, and a restore takes it from where it was (inputs.h). */
struct wr_sums {
    uint32_t lock_offset; /* WR_LTX_LOCK_OFFSET outside tests */
    uint32_t page_size;   /* 0: no database */
    uint32_t commit;      /* pages */
    uint32_t extent;      /* pages that there were, at least commit */
    uint64_t *sum;        /* of page i + 1; of the lock page 0 */
    uint64_t rolling;     /* of the first `commit` ones */
};
void wr_sums_release(struct wr_sums *s);
void wr_sums_cut(struct wr_sums *s); /* forget what was cut off: a restore begins with a snapshot */

/* The rolling checksum that the database will have, which stays as it is. A file that begins at
 * TXID 1 starts from no pages. `exact`: the database is the one before the file, not a later one.
 *
 * CORRUPT: it has another page size, lacks a page, does not continue this database, or does not
 * make the one that it records. *ret_regrown, unless NULL: pages of it are those that were cut off
 * before. */
enum wr_status wr_sums_try(const struct wr_sums *s, const struct wr_change *ch, bool exact,
    uint64_t *ret_rolling, bool *ret_regrown, struct wr_err *e) WR_MUST_CHECK;

/* Do what wr_sums_try, just before, has found good; `rolling` is what it told. NOMEM: nothing was
 * done. */
enum wr_status wr_sums_apply(struct wr_sums *s, const struct wr_change *ch, uint64_t rolling,
    struct wr_err *e) WR_MUST_CHECK;

#endif
