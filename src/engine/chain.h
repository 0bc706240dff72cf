/*
 * chain.h - fetch the database that a chain of LTX files makes; if one of them is damaged, or they
 * do not fit, by another chain that leads to the same transaction.
 */
#ifndef WR_ENGINE_CHAIN_H
#define WR_ENGINE_CHAIN_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "engine/layout.h"

struct wr_file;
struct wr_restore_opts;
struct wr_storage;

/* What came of it; the numbers of bytes also after a failure. */
struct wr_chain_report {
    uint32_t commit, page_size;
    bool verified;             /* by a checksum of the whole image */
    uint64_t rolling;          /* that one, or 0 */
    int64_t time_ms;           /* when the last file was made, by its header; 0: not known */
    uint64_t fetched, resumed; /* bytes of pages, as in image.h */
    bool unmapped;             /* the map is of no use */
    bool disk_failed;          /* the failure is the local disk's */
};

/* `plan`, not empty and chosen from `all`, is what goes by the names. It is tried first, and
 * replaced by what was used. `file` and `map` are for draft.h. *r is = {0}.
 *
 * Another chain is taken only if it ends at the same TXID as `plan`; a warning in the log says so.
 * One bad answer is no damage: what seems to be is read once more, and what the draft has of it is
 * fetched again. A file that cannot be read is done without just as well, thrice at most: then it
 * is the storage.
 *
 * Neither is one taken whose header tells other TXIDs than its name; unless nothing else leads
 * there, it records no checksum of the database, and it is not the last one with another end.
 *
 * Headers are read for that only once something is wrong, and each at most once. Each chain that is
 * tried shows files to be damaged, or is one of 20.
 *
 * CORRUPT: no chain gives the database; the text is of the first that was tried, and says what
 * transaction can still be restored. Else as wr_inputs_open, wr_draft_open, wr_image_write. */
enum wr_status wr_chain_fetch(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, const struct wr_ltx_files *all, struct wr_ltx_files *plan,
    struct wr_file *file, struct wr_file *map, struct wr_chain_report *r,
    struct wr_err *e) WR_MUST_CHECK;

#endif
