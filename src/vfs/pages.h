/*
 * pages.h - the contents of pages: from the cache, from a local copy, or from a replica with as few
 * requests as the way of reading allows.
 *
 * What one reader fetches, others that want it at the same time wait for. A reader that goes
 * through a b-tree in the order of its keys, through the rows of a table in the order of an index,
 * or through the pages in theirs, gets ever more of those that follow at once: with one request
 * where they lie together, else with several at a time.
 *
 * locked.
 */
#ifndef WR_VFS_PAGES_H
#define WR_VFS_PAGES_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "vfs/rows.h"
#include "vfs/tree.h"

struct wr_local;
struct wr_pagecache;
struct wr_pagemap;
struct wr_pages;
struct wr_shelf;
struct wr_storage;

/* Where a reader has been, and may go. Owned by it. = {0}: nowhere. */
#define WR_PAGES_HEADS 4 /* ways through the pages that it takes by turns */
struct wr_pages_reader {
    struct wr_tree tree;
    struct wr_rows rows;
    struct {
        uint32_t next;   /* page after those that were fetched last; 0: none */
        uint32_t window; /* pages that were */
        uint64_t used;
    } head[WR_PAGES_HEADS];
    uint64_t clock;
    size_t ahead; /* bytes to fetch at once, by how fast they came; 0: it is not known */
};
void wr_pages_reader_release(struct wr_pages_reader *r);

/* Of the replica in `s`; both outlive it. NOMEM. */
enum wr_status wr_pages_new(struct wr_storage *s, struct wr_pagecache *cache, struct wr_pages **ret,
    struct wr_err *e) WR_MUST_CHECK;
void wr_pages_free(struct wr_pages *p); /* NULL-safe; nobody reads any more */

/* What a local copy has of a map that is read comes from there. It outlives `p`; set once. */
void wr_pages_use(struct wr_pages *p, struct wr_local *l);

/* What is fetched is kept there, too, and what is there is not fetched. It outlives `p`; set before
 * anybody reads. */
void wr_pages_share(struct wr_pages *p, struct wr_shelf *s);

/* `n` bytes at `off` of page `pgno` as `m` has it; within the page, and the page within the
 * database. The lock page reads as zeros.
 *
 * BUSY: the file that has it has vanished; CONFLICT: another one has its name by now; the texts
 * name it. CORRUPT: no file has it, as when a
 * replica's files do not add up to a database, or its frame is damaged. Whether an intact frame is
 * the right one is not known: the format has a checksum of files, none of pages. Else as
 * wr_storage_get. */
enum wr_status wr_pages_read(struct wr_pages *p, struct wr_call *c, const struct wr_pagemap *m,
    struct wr_pages_reader *r, uint32_t pgno, size_t off, void *buf, size_t n,
    struct wr_err *e) WR_MUST_CHECK;

struct wr_pages_counts {
    uint64_t flights; /* times that a reader had to wait for some */
    uint64_t fetches; /* requests */
    uint64_t bytes;   /* in them */
    uint64_t pages;   /* decoded */
};
void wr_pages_counts(const struct wr_pages *p, struct wr_pages_counts *ret);

#endif
