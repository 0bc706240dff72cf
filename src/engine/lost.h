/*
 * lost.h - which points the names of a replica's files promise, and a walk did not come by. Pure.
 */
#ifndef WR_ENGINE_LOST_H
#define WR_ENGINE_LOST_H

#include "base/base.h"
#include "base/status.h"
#include "engine/layout.h"

struct wr_gaps_opts;

/* Points that are lost, and between which there is none that is not. */
struct wr_lost {
    uint64_t first, last, points; /* TXIDs; how many */
    uint64_t before; /* the last point before them that can be restored; 0: there is none */
    bool missing;    /* by their names nothing leads to the first one; else files on the way are no
                        good */
    unsigned level;  /* missing: the file that ends at the first one is of this level, ... */
    uint64_t from;   /* ... and begins with this TXID */
};

/* The runs of points that are lost, in ascending order, in new heap memory of *ret_n elements.
 * `points` are those that the walk came by, ascending; `o` as for wr_gaps; *ret_old is the number
 * of files that retention may have left (gaps.h). Needs 150 bytes a file. NOMEM. */
enum wr_status wr_lost_find(struct wr_ltx_file *files, size_t n, const struct wr_gaps_opts *o,
    const uint64_t *points, size_t n_points, struct wr_lost **ret, size_t *ret_n, size_t *ret_old,
    struct wr_err *e) WR_MUST_CHECK;

#endif
