/*
 * times.h - which files are from before a time, where each file must be asked for its own.
 *
 * Listings of S3 have when a file arrived, and the time that counts takes a request (layout.h,
 * wr_layout_times): for a restore by time that would be as many requests as there are files. Most
 * need not be asked: what matters is where the plan ends, and that is seen from few of them.
 *
 *   1. Of all points (points.h), the last one whose file is from before the time is searched by
 *      halves, from where the times of arrival say that it is: two or three requests, 2 log n at
 *      most. What ends there or earlier is taken to be from before the time, the rest not to be.
 *   2. Then the plan that follows from it is checked. No file that goes on from its end may be from
 *      before the time: all are asked, one or two on each level, but of later snapshots the 1st,
 *      2nd, 3rd, 5th, 9th ... only, unless there would be no plan. Of its own files the last
 *      one, and the 1st, 2nd, 4th, 8th ... before it are asked. If that shows something else,
 *      there is another plan; if a file of the plan is not from before the time, all files of
 *      plans are asked from then on; and all files, if it does not come to an end.
 *
 * So a plan ends no earlier than it would with all times known, whatever these are, unless a later
 * snapshot has an earlier time than one that was asked. It ends later only if a file in its midst
 * is from after the time, others behind it are from before it, and none of those that were asked
 * shows it: the clock of who wrote them was ahead and then set back, and wr_points_plan takes the
 * later one, too; but by times that were asked, so that it may miss one of the moments after which
 * that was sent. What Litestream gives a compacted file, the time of its beginning, does no harm.
 *
 * Pure: no I/O; the caller asks.
 */
#ifndef WR_ENGINE_TIMES_H
#define WR_ENGINE_TIMES_H

#include "base/base.h"
#include "base/status.h"
#include "engine/layout.h"

struct wr_times; /* owned */

/* Begin with `n` files, sorted by wr_ltx_file_cmp and with the times of the listing, for a plan for
 * `time_ms`. They are borrowed until wr_times_free. NOMEM. */
enum wr_status wr_times_new(struct wr_ltx_file *files, size_t n, int64_t time_ms,
    struct wr_times **ret, struct wr_err *e) WR_MUST_CHECK;
void wr_times_free(struct wr_times *x); /* NULL-safe */

/* The files, by index, whose time_ms the caller is to set to their own before the next call; valid
 * until then. Each at most once. Their number; 0: it is known enough, and wr_plan may be asked.
 * Those that were not asked for have a time on the right side of time_ms by then, which is that of
 * the listing unless that was not. */
size_t wr_times_next(struct wr_times *x, const size_t **ret_which);

#endif
