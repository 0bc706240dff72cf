/*
 * latest.c - see latest.h.
 */
#include "engine/latest.h"

#define SLACK_MS ((int64_t)10 * 60 * 1000) /* clocks are set, and nobody minds */
#define PACE     2                         /* times as fast as time passes */

void wr_latest_begin(struct wr_latest *l, int64_t newest_ms, int64_t mono_ms)
{
    if (!l->begun)
        *l = (struct wr_latest){.begun = true, .limit_ms = newest_ms, .mono_ms = mono_ms};
}

void wr_latest_told(struct wr_latest *l, int64_t time_ms, int64_t wall_ms)
{
    if (l->begun)
        l->limit_ms = wr_max(l->limit_ms, wr_min(time_ms, wall_ms));
}

int64_t wr_latest_now(struct wr_latest *l, int64_t wall_ms, int64_t mono_ms)
{
    int64_t passed = wr_max(mono_ms - l->mono_ms, (int64_t)0);

    if (!l->begun) {
        wr_latest_begin(l, wall_ms, mono_ms);
        return wall_ms;
    }
    /* A clock that is behind for a moment takes nothing back. */
    l->limit_ms = wr_max(l->limit_ms, wr_min(l->limit_ms + PACE * passed, wall_ms));
    l->mono_ms = mono_ms;
    return wr_min(wall_ms, l->limit_ms + SLACK_MS);
}
