/*
 * image.h - fetch the frames that make a database, in parallel, and write each page where it
 * belongs. It knows nothing of plans and names; the file it writes to is not the database yet.
 */
#ifndef WR_ENGINE_IMAGE_H
#define WR_ENGINE_IMAGE_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"

struct wr_file;
struct wr_inputs;
struct wr_restore_opts;
struct wr_storage;

/* Write the image to the empty file `out`, on opts->parallel threads with about 2.6 MiB each, and
 * tell opts->progress. The file is not synced. OK means that it is proven: by the image's checksum
 * if x->has_rolling, and by the checksum of each file that was read whole, which is every file when
 * not x->has_rolling. CORRUPT, with the file's key, otherwise. *ret_bytes is what was read. */
enum wr_status wr_image_write(struct wr_storage *s, struct wr_call *c, const struct wr_inputs *x,
    const struct wr_restore_opts *opts, struct wr_file *out, uint64_t *ret_bytes,
    struct wr_err *e) WR_MUST_CHECK;

#endif
