/*
 * points.h - every TXID and time that a replica can be restored to. Pure: no I/O, no clock.
 *
 * A point is a TXID at which a file ends and to which a chain of files leads, the one that wr_plan
 * takes for that TXID. To ask wr_plan for each would cost the square of the files; here it is
 * n log n, and the tests compare the two.
 */
#ifndef WR_ENGINE_POINTS_H
#define WR_ENGINE_POINTS_H

#include "base/base.h"
#include "base/status.h"
#include "engine/layout.h"

struct wr_point {
    uint64_t txid;
    int64_t time_ms;  /* of the last file of the chain: what a restore by time compares with */
    uint64_t bytes;   /* of the chain, UINT64_MAX when more */
    size_t files;     /* in the chain, 1 at least */
    size_t last;      /* index of the chain's last file */
    unsigned level;   /* of that file */
    unsigned finest;  /* the lowest level that has a file that ends here, 0 to WR_LEVEL_MAX */
    size_t run;       /* by wr_points_runs */
    uint64_t by_time; /* by wr_points_by_time; 0: not asked for */
    bool exact;       /* by wr_survey: time_ms is the file's own and not that of its arrival */
};

/* owned. = {0} is empty. */
struct wr_points {
    struct wr_point *p;
    size_t n;
};

/* The points of `n` files, which are sorted by wr_ltx_file_cmp, ascending by TXID, into *ret, which
 * is empty. At most one a file; none is OK. NOMEM. */
enum wr_status wr_points_find(const struct wr_ltx_file *files, size_t n, struct wr_points *ret,
    struct wr_err *e) WR_MUST_CHECK;
void wr_points_release(struct wr_points *a); /* NULL-safe; empty again */

/* Number the runs of points, from 0: neighbours that files of one level made. A point alone between
 * finer ones, as where a level's file was deleted because one of the next level ends there, too, is
 * no run of its own. */
void wr_points_runs(struct wr_points *a);

/* The plan for a time, appended to *out as by wr_plan_files: that of wr_plan, which takes files
 * from before the time only, or that for the last point which is from before it, if that is a later
 * one. So it is where the clock was ahead when files were made, and then set back: those that came
 * after that go on from files that are of later times. Results as of wr_plan; NOMEM. */
enum wr_status wr_points_plan(const struct wr_ltx_files *all, int64_t time_ms,
    struct wr_ltx_files *out, struct wr_err *e) WR_MUST_CHECK;

/* Set each point's by_time: the TXID that such a plan for one millisecond after its time ends at.
 * It is the point's own where times ascend with TXIDs. A file that was compacted has an early time
 * with some writers, and times go back with a clock: then it may be a later one, and the point can
 * be had by its TXID only. `files` as for wr_points_find. NOMEM. */
enum wr_status wr_points_by_time(
    const struct wr_ltx_file *files, size_t n, struct wr_points *a, struct wr_err *e) WR_MUST_CHECK;

#endif
