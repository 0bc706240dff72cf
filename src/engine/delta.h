/*
 * delta.h - make the database as of a transaction from an older one that is here, and fetch only
 * the pages in which they differ.
 *
 * Nobody knows which transaction the older one is of, and nobody has to: files are applied from the
 * newest one back, each page once, until the image has the checksum that the newest file records.
 * From there on back all pages are already here.
 *
 * A page of it may also be damaged: then no file of the last days has it, and the checksum never
 * comes right. Where the ledger of the database is still there (ledger.h), it tells which pages are
 * not what they were. These are fetched first, from the files of the plan that have them. The
 * ledger is of no certain state, and need not be right: what it says only decides what is tried.
 *
 * The other files are not those of a plan, which begins with the newest snapshot, but whatever
 * leads back without one: narrow ones at first, as the difference may be small, and then as wide as
 * all before them together.
 */
#ifndef WR_ENGINE_DELTA_H
#define WR_ENGINE_DELTA_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "engine/layout.h"

struct wr_file;
struct wr_restore_opts;
struct wr_storage;

struct wr_delta_report {
    uint32_t commit, page_size; /* of the database */
    uint64_t rolling;           /* checksum of its image */
    int64_t time_ms;            /* when the last file was made, by its header; 0: not known */
    uint32_t kept;              /* pages that were not fetched */
    uint64_t fetched;           /* bytes of pages, of the replica's objects */
    size_t files;               /* that they are from */
    bool disk_failed;           /* the failure is the local disk's */
};

/* What to go back with when all of TXIDs above `cur` has been applied, of which the last is `end`:
 * of the files that hold `cur`, and nothing behind `end`, the widest of at most `budget` bytes; if
 * there is none, the narrowest. NULL: no file but a snapshot leads there. Pure. */
const struct wr_ltx_file *wr_delta_next(
    const struct wr_ltx_files *all, uint64_t cur, uint64_t end, uint64_t budget);

/* Write the database that `plan`, files of `all`, ends with to `out`, an empty file, with what
 * opts->path has of it; that file is only read. Gives up where more than `limit` bytes would be
 * read of the replica's objects, or a thousand of them, but for a thousand of the plan where the
 * ledger tells of damage. Needs 8 bytes a page, another 8 while the
 * ledger is looked at, and where pages differ from it what wr_inputs_open does.
 *
 * NOTFOUND: that file, or these ones, do not lead there, or more than one database ends there, and
 * the text says why; CORRUPT, BUSY, IO and AUTH without ret->disk_failed: one of the files is
 * damaged, gone, or not to be read. Others may do: in these cases it is worth trying without, when
 * `out` has been emptied. Else as wr_whole_header, wr_input_open and wr_image_write. */
enum wr_status wr_delta_fetch(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, const struct wr_ltx_files *all,
    const struct wr_ltx_files *plan, uint64_t limit, struct wr_file *out,
    struct wr_delta_report *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
