/*
 * fence.h - files that change nothing, and take names: what a promoted database puts in the way of
 * the one before it.
 *
 * Each is an LTX file of level 0 with page 1 as it is, so that every reader goes on through it.
 */
#ifndef WR_ENGINE_FENCE_H
#define WR_ENGINE_FENCE_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"

struct wr_storage;

/* The newest state, and who puts the file. */
struct wr_fence {
    uint64_t node;
    uint64_t rolling; /* of that state */
    uint32_t page_size, commit;
    uint32_t lock_offset;
    int64_t time_ms;
    const uint8_t *page; /* page 1 of it, page_size bytes */
};

/* Create the file of the TXIDs `min` to `max`, which leads from that state to the same. CONFLICT:
 * there is another one of this name. Else as wr_storage_put and wr_ltx_enc_new. */
enum wr_status wr_fence_put(struct wr_storage *s, struct wr_call *c, const struct wr_fence *f,
    uint64_t min, uint64_t max, struct wr_err *e) WR_MUST_CHECK;

#endif
