/*
 * fence.h - files that change nothing, and take names: what a promoted database puts in the way of
 * the one before it.
 *
 * Each is an LTX file of level 0 with one page as it is, so that every reader goes on through it.
 */
#ifndef WR_ENGINE_FENCE_H
#define WR_ENGINE_FENCE_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"

struct wr_ltx_file;
struct wr_storage;

/* TXIDs that a promotion leaves out; far more than a primary takes for one file, or leaves out
 * itself. One file behind the fence has them all, and no other file of level 0 so many. */
#define WR_PROMOTE_AWAY ((uint64_t)1 << 22)

/* Whether it is the one behind a fence, by its name. */
bool wr_fence_is_behind(const struct wr_ltx_file *f);

/* A state, and who puts the file. */
struct wr_fence {
    uint64_t node;
    uint64_t rolling; /* of the state */
    uint32_t page_size, commit;
    uint32_t pgno; /* of the page: any that is known */
    uint32_t lock_offset;
    int64_t time_ms;
    uint8_t *page; /* as it is in that state, page_size bytes */
};

/* Create the file of the TXIDs `min` to `max`, which leads from that state to the same. CONFLICT:
 * there is another one of this name. Else as wr_storage_put and wr_ltx_enc_new. */
enum wr_status wr_fence_put(struct wr_storage *s, struct wr_call *c, const struct wr_fence *f,
    uint64_t min, uint64_t max, struct wr_err *e) WR_MUST_CHECK;

/* The file of level 0 that has the TXID `txid` alone was in the way: *f becomes the state behind
 * it. UNSUPPORTED: it does not tell that, is large, or does not go on from *f; *f is of no use
 * then. Else as wr_storage_get. */
enum wr_status wr_fence_behind(struct wr_storage *s, struct wr_call *c, uint64_t txid,
    struct wr_fence *f, struct wr_err *e) WR_MUST_CHECK;

/* Whether that file is a fence which f->node has put into the state *f; not, if it is not there. */
enum wr_status wr_fence_stands(struct wr_storage *s, struct wr_call *c, uint64_t txid,
    const struct wr_fence *f, bool *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
