/*
 * kept.h - a file of pages that are about to be overwritten where they were.
 *
 * "<outbox>/kept.<n>": for each page of the image a slot number, u32 in machine order, then the
 * pages, one behind the other as they came. Pages that change are scattered; were each where it is
 * in the database, the file would have an extent for every one of them, and removing it could take
 * longer than all that was written (10 s for 100,000 pages, on a disk that is told what is free).
 *
 * Never synced, and removed with its struct or at the next start (wr_outbox_clean). Memory: a bit
 * for each page of the image, from the first page that is kept on.
 *
 * owned.
 */
#ifndef WR_ENGINE_KEPT_H
#define WR_ENGINE_KEPT_H

#include "base/base.h"
#include "base/file.h"
#include "base/status.h"

#define WR_KEPT_STEM "kept" /* a file is called so, a dot and a number */

struct wr_kept {
    const struct wr_fs *fs;
    const char *outbox;
    uint32_t page_size, pages; /* of the image */
    uint32_t n;                /* pages that are kept */
    uint8_t *bits;             /* one a page: it is kept; NULL: none is */
    struct wr_file *file;
    char *path;
};

/* `fs` and `outbox` outlive it. No I/O until a page is put. */
void wr_kept_init(struct wr_kept *k, const struct wr_fs *fs, const char *outbox, uint32_t page_size,
    uint32_t pages);
void wr_kept_release(struct wr_kept *k);

bool wr_kept_has(const struct wr_kept *k, uint32_t pgno);

/* Keep pages first .. first+n-1, none of which is kept yet. LIMIT: the disk is full; IO, NOMEM.
 * After a failure none of them is. */
enum wr_status wr_kept_put(struct wr_kept *k, uint32_t first, uint32_t n, const uint8_t *pages,
    struct wr_err *e) WR_MUST_CHECK;

/* Of pages first .. first+n-1, put those that are kept where they belong in `buf`. */
enum wr_status wr_kept_get(const struct wr_kept *k, uint32_t first, uint32_t n, uint8_t *buf,
    struct wr_err *e) WR_MUST_CHECK;

#endif
