/*
 * cadence.h - when the levels above 0 get their next file. Pure.
 *
 * Time is cut into intervals as Litestream cuts it: from the first of January of year 1, UTC, on,
 * so that intervals which divide a day begin at midnight.
 */
#ifndef WR_ENGINE_CADENCE_H
#define WR_ENGINE_CADENCE_H

#include "base/base.h"

#define WR_LEVELS_MAX 8 /* between 0 and the snapshots */

/* How often, in ms. = {0}: never. */
struct wr_cadence {
    unsigned levels; /* 1 to that, at most WR_LEVELS_MAX */
    int64_t level_ms[WR_LEVELS_MAX];
    int64_t snapshot_ms; /* 0: only when a replica needs one to begin with */
    /* How many files of the level below make one of a level worth while; 0: 4. A restore reads a
     * few files more; but a database with little to tell does not pay for each of its files once a
     * level. */
    unsigned few;
    /* And how much a restore may read beyond a snapshot until another one is worth it, in bytes and
     * files (toll.h); 0: WR_TOLL_FLOOR, WR_TOLL_FILES. Only where snapshot_ms is not 0. */
    uint64_t toll_floor, toll_files;
};

/* The end of the interval in which `ms` (Unix) lies; `interval_ms` > 0. */
int64_t wr_cadence_end(int64_t ms, int64_t interval_ms);

#endif
