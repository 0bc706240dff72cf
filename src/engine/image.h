/*
 * image.h - fetch the frames that make a database, in parallel, and write each page where it
 * belongs. It knows nothing of plans and names; the file it writes to is not the database yet.
 */
#ifndef WR_ENGINE_IMAGE_H
#define WR_ENGINE_IMAGE_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"

struct wr_draft;
struct wr_ltx_file;
struct wr_inputs;
struct wr_restore_opts;
struct wr_storage;

/* What came of it; also after a failure. */
struct wr_image_report {
    uint64_t fetched; /* bytes of the plan's pages, as they are in the replica's objects, read */
    uint64_t resumed; /* the same, not read: the draft had these pages */
    uint64_t
        rolling; /* XOR of the checksums of the image's pages, without bit 63; x->has_rolling */
};

/* Bytes that wr_image_write fetches, where the draft has no page: what lies between two of them is
 * read rather than skipped, if that is less than a request is worth. */
uint64_t wr_image_bytes(const struct wr_inputs *x);

/* Write the image to `out`, on opts->parallel threads with about 2.3 MiB each, and tell
 * opts->progress. Pages that the draft turns out to have are not fetched. The file is not synced.
 * OK means that it is proven: by the image's checksum if x->has_rolling, unless only `part` of
 * it is there, and by the checksum of each file that was read whole, which is every file when not
 * x->has_rolling. A frame that seems to be damaged is read twice, if a request was made for it.
 * CORRUPT, with the file's name, otherwise; the files of `x` that were seen to be
 * damaged are marked, which are all such among the small ones. IO: of the storage, with a mark too,
 * or of the draft. *report, zero before, is written in any case. */
enum wr_status wr_image_write(struct wr_storage *s, struct wr_call *c, struct wr_inputs *x,
    const struct wr_restore_opts *opts, struct wr_draft *out, struct wr_image_report *report,
    struct wr_err *e) WR_MUST_CHECK;

#endif
