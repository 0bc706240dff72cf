/*
 * latest.h - what time it is at the latest, for who deletes by it. Pure: no clock.
 *
 * A wall clock that is wrong by a week would make all files old, and those that are made meanwhile
 * have its time, too, so they do not tell. So a process that deletes believes it only so far: from
 * what the newest file had for its time when we came, or what a store with a clock of its own says,
 * at most twice as fast as time really passes. Where the clock is right that never matters while a
 * process runs. After a pause, of the database, of the process or of a machine that slept, it is
 * behind for as long again as that took, and files stay longer; a clock that is ahead for some
 * minutes takes no more than as many off what is kept. Files that a process before us has made
 * while the clock was ahead are believed, if it still is.
 */
#ifndef WR_ENGINE_LATEST_H
#define WR_ENGINE_LATEST_H

#include "base/base.h"

/* = {0}: nothing is known. All in ms; times are Unix, `mono_ms` is the monotonic clock. */
struct wr_latest {
    bool begun;
    int64_t limit_ms; /* it was so late at `mono_ms` */
    int64_t mono_ms;
};

/* The newest file that others, or a process before us, have made is of that time. Once. */
void wr_latest_begin(struct wr_latest *l, int64_t newest_ms, int64_t mono_ms);

/* The time of somebody who has a clock of his own: it is so late, if the wall clock says so, too.
 */
void wr_latest_told(struct wr_latest *l, int64_t time_ms, int64_t wall_ms);

/* What may be taken for now, at most `wall_ms`. The first time without a beginning it is that. */
int64_t wr_latest_now(struct wr_latest *l, int64_t wall_ms, int64_t mono_ms);

#endif
