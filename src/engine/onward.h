/*
 * onward.h - which files lead on from a transaction, for who has the database as of it already.
 *
 * Pure, but for the one that says so: no I/O, no clock. plan.h is for who has nothing yet.
 */
#ifndef WR_ENGINE_ONWARD_H
#define WR_ENGINE_ONWARD_H

#include "base/base.h"
#include "base/status.h"
#include "engine/layout.h"

#define WR_ONWARD_FILES_MAX ((size_t)256)        /* in one step */
#define WR_ONWARD_BYTES_MAX ((uint64_t)32 << 20) /* of them, unless one alone has more */

/* What to apply next to the database as of TXID `cur`: of the files that hold the transaction after
 * it, the one that leads furthest with at most `budget` bytes; if there is none, the smallest.
 * NULL: none does, but for snapshots. */
const struct wr_ltx_file *wr_onward_next(
    const struct wr_ltx_files *all, uint64_t cur, uint64_t budget);
/* A chain of these, as long as one step may be, appended to *out. NOMEM. */
enum wr_status wr_onward_chain(const struct wr_ltx_files *all, uint64_t cur,
    struct wr_ltx_files *out, struct wr_err *e) WR_MUST_CHECK;

struct wr_storage;

/* Look under the names of the next transactions, one request each, which has `request_ms` (0: what
 * the call has): those behind `cur` that are there, one after the other and at most `max`, appended
 * to *out, also before a failure. As wr_layout_find, but for NOTFOUND; NOMEM. */
enum wr_status wr_onward_probe(struct wr_storage *s, struct wr_call *c, int64_t request_ms,
    uint64_t cur, size_t max, struct wr_ltx_files *out, struct wr_err *e) WR_MUST_CHECK;

#endif
