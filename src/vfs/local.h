/*
 * local.h - pages of a replica in a file of this machine, which is an image of the database with
 * holes, and for each page since which transaction it is what is there.
 *
 * It is the file of one transaction, its base: what is in it was the page's content then. A page
 * that changed later is dropped before the base moves on, and one that has been there since
 * transaction s was the same in every state from s to the base. A map says the same of its frames:
 * from the end of the file that has it to the map's own transaction. Where the two overlap the
 * contents are the same, in whatever file they lie; else it is not known, and the file is not
 * asked. So no reader, of the newest state or of an old one, can be given what its state does not
 * have.
 *
 * With a path, a second file beside it ("<path>.meta", local_meta.h) says the same to the next
 * process; without, the file has no name, and goes with this process.
 *
 * Any thread may read. What changes it, marked *, is called by one thread at a time, but for
 * wr_local_put, of which several may run for different pages.
 */
#ifndef WR_VFS_LOCAL_H
#define WR_VFS_LOCAL_H

#include "base/base.h"
#include "base/status.h"
#include "base/str.h"
#include "engine/route.h"

struct wr_call;
struct wr_fs;
struct wr_local;
struct wr_ltx_files;
struct wr_pagemap;
struct wr_pagemap_about;

/* `path` NULL: a file without a name, where such files go. `replica` is the name of what it is a
 * copy of. Nothing is read of it before wr_local_begin.
 *
 * BUSY: another process, or another replica of this one, uses the file. CONFLICT: there is
 * something under that name that weir did not make; it was not touched. NOMEM; else as the file
 * system says. */
enum wr_status wr_local_open(const struct wr_fs *fs, const char *path, struct wr_str replica,
    struct wr_local **ret, struct wr_err *e) WR_MUST_CHECK;
void wr_local_close(struct wr_local *l);             /* NULL-safe; nobody reads any more */
const char *wr_local_path(const struct wr_local *l); /* "": it has no name */

/* ---- reading ---- */

/* `n` bytes at `off` of page `pgno`, whose newest frame as of the map that `about` is of is in a
 * file that ends with transaction `max`; false if they are not here. */
bool wr_local_read(struct wr_local *l, const struct wr_pagemap_about *about, uint32_t pgno,
    uint64_t max, size_t off, void *buf, size_t n);
bool wr_local_has(
    const struct wr_local *l, const struct wr_pagemap_about *about, uint32_t pgno, uint64_t max);

/* ---- changing it ---- */

bool wr_local_has_past(const struct wr_local *l); /* an earlier process left something */
/* * Where an earlier process left off, if it can be seen that its state was one of this replica:
 * `files` is what there is now, and `m` the newest map. Its pages are not here before they have
 * been looked at (wr_local_check). NOTFOUND, and why: it cannot: begin. */
enum wr_status wr_local_resume(struct wr_local *l, const struct wr_pagemap *m,
    const struct wr_ltx_files *files, struct wr_err *e) WR_MUST_CHECK;
/* * Look at some more of the pages that an earlier process left, and take those that are intact.
 * *ret_more: there are others. */
enum wr_status wr_local_check(
    struct wr_local *l, const struct wr_call *c, bool *ret_more, struct wr_err *e) WR_MUST_CHECK;

/* * Empty, with the state of `m` as its base. Where it was begun before in the epoch of `m`, it
 * serves no map of an earlier transaction any more. */
enum wr_status wr_local_begin(
    struct wr_local *l, const struct wr_pagemap *m, struct wr_err *e) WR_MUST_CHECK;
/* * Whether the base is a state that the files of `m` lead through (wr_pagemap_fit). */
enum wr_fit wr_local_fit(const struct wr_local *l, const struct wr_pagemap *m);
/* * Drop the pages that may have changed between the base and the state of `m`, which is a later
 * one, and let that be the base. `m` may be of the files from the base on alone. CANCELED, TIMEOUT:
 * some are dropped, and the base is what it was. */
enum wr_status wr_local_move(struct wr_local *l, const struct wr_call *c,
    const struct wr_pagemap *m, struct wr_err *e) WR_MUST_CHECK;
/* * Keep `n` pages, from `pgno` on, that are not here; since[i] is the last transaction of the file
 * that page i's frame is in, in a map of the base. */
enum wr_status wr_local_put(struct wr_local *l, uint32_t pgno, size_t n, const uint64_t *since,
    const uint8_t *pages, struct wr_err *e) WR_MUST_CHECK;
/* * Let the next process find it so, after a power cut, too: `m` is of the base. Nothing, if the
 * file has no name. After a failure no page is here any more, before another wr_local_begin. */
enum wr_status wr_local_settle(
    struct wr_local *l, const struct wr_pagemap *m, struct wr_err *e) WR_MUST_CHECK;

/* * From now on pages are read through a mapping of at least the first `bytes` bytes, which they
 * all are in. Without it they are read as before: what fails is no failure. */
void wr_local_map(struct wr_local *l, uint64_t bytes);

/* The first page from `from` to `to` that is not here; 0: all are. */
uint32_t wr_local_lacks(const struct wr_local *l, uint32_t from, uint32_t to);
/* Pages up to that which are here; any thread. */
uint64_t wr_local_count(const struct wr_local *l, uint32_t to);

struct wr_local_look {
    bool begun;
    uint64_t epoch, txid; /* of the base */
    uint32_t page_size;
    uint64_t unsettled; /* bytes that were put since it was settled */
};
void wr_local_look(const struct wr_local *l, struct wr_local_look *ret); /* any thread */

#endif
