/*
 * plan.h - which files, in which order, make the database as of a transaction, a time, or now.
 *
 * Pure: no I/O, no clock, and no memory but that of wr_plan_files. Restore asks it. Retention
 * (retain.h) and verification (walk.h) follow the same rule of what leads on from what, and the
 * tests of retention ask this function whether every promised point still has a plan.
 */
#ifndef WR_ENGINE_PLAN_H
#define WR_ENGINE_PLAN_H

#include "base/base.h"
#include "base/status.h"
#include "engine/layout.h"

/* Where to stop. At most one of the two is set; neither is the newest state there is. */
struct wr_plan_target {
    uint64_t txid;   /* exactly this TXID; 0: not by transaction */
    int64_t time_ms; /* only files made strictly before this Unix time; 0: not by time */
};

/* Choose from `files`, sorted by wr_ltx_file_cmp, the chain to apply in order: indexes into `files`
 * go to `out` (room for `n`), their number to *ret_n. The newest usable snapshot comes first, then
 * whatever reaches furthest; each file begins at most one past what precedes it and ends beyond it.
 *
 * NOTFOUND "no matching backup files available": nothing qualifies.
 * NOTFOUND "transaction not available: ...": no chain ends at target->txid.
 * CORRUPT "non-contiguous ltx files: ...": for the newest state, files exist behind a gap. Stopping
 *   before it silently would pass an old state off as the newest.
 * MISUSE: both targets are set. */
enum wr_status wr_plan(const struct wr_ltx_file *files, size_t n,
    const struct wr_plan_target *target, size_t *out, size_t *ret_n,
    struct wr_err *e) WR_MUST_CHECK;

/* The same as files, appended to *out, which stays as it was on failure but for NOMEM. */
enum wr_status wr_plan_files(const struct wr_ltx_files *all, const struct wr_plan_target *target,
    struct wr_ltx_files *out, struct wr_err *e) WR_MUST_CHECK;

/* The first TXID of the first file that qualifies for `target` and that no chain reaches, of those
 * that such a plan, which ends at `end`, leaves out behind a gap; 0: there is none. */
uint64_t wr_plan_gap(
    const struct wr_ltx_file *files, size_t n, const struct wr_plan_target *target, uint64_t end);

/* Whether `a` is to be preferred to `b` where both could come next. */
bool wr_plan_better(const struct wr_ltx_file *a, const struct wr_ltx_file *b);

/* The oldest and newest time among `files`, in any order; false when there is none. */
bool wr_plan_times(
    const struct wr_ltx_file *files, size_t n, int64_t *ret_oldest_ms, int64_t *ret_newest_ms);

#endif
