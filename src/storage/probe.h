/*
 * probe.h - try a bucket: does it do what replication needs of it?
 *
 * Writes small objects next to where a replica would be, under names that are nobody's: no LTX
 * file, of weir or Litestream, is called so, and nothing of theirs lists them.
 */
#ifndef WR_STORAGE_PROBE_H
#define WR_STORAGE_PROBE_H

#include "storage/storage.h"

/* In this order. One that cannot be made because of an earlier one is not told of. */
enum wr_probe_step {
    WR_PROBE_PUT,
    WR_PROBE_GET,    /* of a range */
    WR_PROBE_LIST,   /* and whether it has the object */
    WR_PROBE_CREATE, /* and whether a second one is refused */
    WR_PROBE_UPLOAD, /* in parts; where the storage has such */
    WR_PROBE_REMOVE, /* of all that was written, and whether it is gone */
    WR_PROBE_STEPS
};

/* Of a step: OK, or what went wrong, with its text. UNSUPPORTED: the store does something else than
 * it was asked for. BUSY, TIMEOUT: nothing can be said. */
typedef void wr_probe_fn(
    void *arg, enum wr_probe_step step, enum wr_status st, int64_t ns, const char *text);

#define WR_PROBE_NAME "weir-probe-" /* and 32 hex digits, for each of the objects */

/* Each step has `step_ms`. What was written, or may have been, is removed even after the call was
 * canceled. *ret_left: how many objects may be left behind; the text of the last step names the
 * first. OK when every step was well, else the code of the first that was not, and its text. */
enum wr_status wr_storage_probe(struct wr_storage *s, const struct wr_call *c, int64_t step_ms,
    wr_probe_fn *fn, void *arg, unsigned *ret_left, struct wr_err *e) WR_MUST_CHECK;

#endif
