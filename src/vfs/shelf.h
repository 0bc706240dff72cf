/*
 * shelf.h - decoded pages in a directory that processes share: what one of them has fetched, others
 * need not fetch, nor those that come later.
 *
 * A page is known by the replica, the file of it that its frame is in, with the checksum of that
 * file's bytes, and its number. What a file says of a page never changes, so nothing here ever goes
 * out of date, and no process has to tell another one anything. Each slot has a checksum over what
 * it is of and the page: one that was torn, by another process, a kill or a power cut, is empty.
 * Where there is no room something else makes way, by chance.
 *
 * The directory has a file "weir-pages-N" for each size of pages, which is never larger than
 * whoever made it has said, for its owner alone. It may be removed at any time.
 *
 * locked.
 */
#ifndef WR_VFS_SHELF_H
#define WR_VFS_SHELF_H

#include "base/base.h"
#include "base/status.h"
#include "base/str.h"

struct wr_fs;
struct wr_log;
struct wr_pagemap_file;
struct wr_shelf;

/* Of one replica, whose name is `replica`. `bytes` is of each file that is made. MISUSE: `dir` is
 * no directory. NOMEM. What fails later is logged once, and pages are not kept there. */
enum wr_status wr_shelf_new(const struct wr_fs *fs, const char *dir, uint64_t bytes,
    struct wr_str replica, const struct wr_log *log, struct wr_shelf **ret,
    struct wr_err *e) WR_MUST_CHECK;
void wr_shelf_free(struct wr_shelf *s); /* NULL-safe */

/* The whole page; false if it is not here. */
bool wr_shelf_get(struct wr_shelf *s, const struct wr_pagemap_file *f, uint32_t pgno, void *page,
    uint32_t page_size);
/* Whether it seems to be here: a torn one does, too. */
bool wr_shelf_has(
    struct wr_shelf *s, const struct wr_pagemap_file *f, uint32_t pgno, uint32_t page_size);
void wr_shelf_put(struct wr_shelf *s, const struct wr_pagemap_file *f, uint32_t pgno,
    const void *page, uint32_t page_size);

#endif
