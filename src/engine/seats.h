/*
 * seats.h - how many databases are held open at once, where there are more than that.
 *
 * An open database costs a hundred kilobytes and eight descriptors, and one that nobody writes to
 * gains nothing by it. So many have a seat; who comes first and finds none free waits for it, in
 * order, while those that are quiet see that they are asked to leave. Who cannot wait, because it
 * is being written to, gets one more. As long as there are seats for all nobody is asked.
 *
 * locked: any thread.
 */
#ifndef WR_ENGINE_SEATS_H
#define WR_ENGINE_SEATS_H

#include "base/base.h"
#include "base/list.h"
#include "base/sync.h"

struct wr_actor;

struct wr_seats {
    struct wr_mutex mutex; /* guards the rest but `wanted` */
    unsigned max, taken;
    int64_t quiet_ns;       /* who was busy keeps its seat so long; frozen: at first five seconds */
    struct wr_list sitting; /* by the last time that each was busy */
    struct wr_list waiting;
    uint64_t moves; /* of the queue: times that a seat was given back, or its first went ahead */
    atomic_bool wanted;
};

/* One for each database, zero at first. Its actor is woken for what happens to it. */
struct wr_seat {
    struct wr_actor *actor;
    struct wr_link link; /* in `sitting` or `waiting` */
    bool has, waits;     /* guarded */
    uint64_t moves_seen; /* guarded: of wr_seats, when it last asked */
};

void wr_seats_init(struct wr_seats *s, unsigned max); /* at least 1 */
void wr_seats_release(struct wr_seats *s);            /* nobody sits or waits any more */

/* Whether it has one now. `waits`: it can, and is woken when it has, and when it is the first in
 * the queue. Asking again is how that one goes ahead though none is free, if the queue has not
 * moved meanwhile: one at a time. */
bool wr_seats_take(struct wr_seats *s, struct wr_seat *seat, bool waits);
bool wr_seats_is_first(struct wr_seats *s, const struct wr_seat *seat); /* in the queue */
/* No more need of it, or of waiting. It may have none. */
void wr_seats_give(struct wr_seats *s, struct wr_seat *seat);
/* It is in use: others leave before it. */
void wr_seats_touch(struct wr_seats *s, struct wr_seat *seat);
/* Whether those that are quiet should leave. */
bool wr_seats_wanted(const struct wr_seats *s);

#endif
