/*
 * seats.c - see seats.h.
 */
#include "engine/seats.h"

#include "run/sched.h"

#define QUIET_NS ((int64_t)5 * 1000000000)
#define ASKED_MAX                                                                   \
    8u /* that are woken to leave each time: those that have been quiet for longest \
        */

void wr_seats_init(struct wr_seats *s, unsigned max)
{
    assert(max > 0);
    *s = (struct wr_seats){.max = max, .quiet_ns = QUIET_NS};
    wr_mutex_init(&s->mutex);
    wr_list_init(&s->sitting);
    wr_list_init(&s->waiting);
    atomic_init(&s->wanted, false);
}

void wr_seats_release(struct wr_seats *s)
{
    assert(s->taken == 0 && wr_list_empty(&s->waiting));
    wr_mutex_release(&s->mutex);
}

static struct wr_seat *first(const struct wr_list *l)
{
    struct wr_link *x = wr_list_first(l);

    return x ? wr_container_of(x, struct wr_seat, link) : NULL;
}

static void sit(struct wr_seats *s, struct wr_seat *seat)
{
    seat->has = true;
    seat->waits = false;
    s->taken++;
    wr_list_push(&s->sitting, &seat->link);
}

/* Who is the first then has to ask, for nobody else does. */
static void stop_waiting(struct wr_seats *s, struct wr_seat *seat)
{
    bool was_first = first(&s->waiting) == seat;

    seat->waits = false;
    wr_list_remove(&seat->link);
    if (was_first && first(&s->waiting))
        wr_sched_wake(first(&s->waiting)->actor);
}

/* Under the lock, after each change. */
static void see_who_waits(struct wr_seats *s)
{
    atomic_store(&s->wanted, s->taken > s->max || !wr_list_empty(&s->waiting));
}

/* Under the lock, under which alone they are sure to live. They look whether they may leave, and if
 * not, do so again when they have next something to do. */
static void ask_to_leave(struct wr_seats *s)
{
    unsigned n = 0;

    for (struct wr_link *x = wr_list_first(&s->sitting); x && n < ASKED_MAX;
         x = wr_list_next(&s->sitting, x), n++)
        wr_sched_wake(wr_container_of(x, struct wr_seat, link)->actor);
}

bool wr_seats_take(struct wr_seats *s, struct wr_seat *seat, bool waits)
{
    bool has;

    wr_mutex_lock(&s->mutex);
    if (!seat->has) {
        bool stuck = seat->waits && first(&s->waiting) == seat && s->moves == seat->moves_seen;

        seat->moves_seen = s->moves;
        if (!waits || stuck || (s->taken < s->max && wr_list_empty(&s->waiting))) {
            s->moves += stuck;
            if (seat->waits)
                stop_waiting(s, seat);
            sit(s, seat);
        } else if (!seat->waits) {
            seat->waits = true;
            wr_list_push(&s->waiting, &seat->link);
        }
        see_who_waits(s);
        if (wr_seats_wanted(s))
            ask_to_leave(s);
    }
    has = seat->has;
    wr_mutex_unlock(&s->mutex);
    return has;
}

bool wr_seats_is_first(struct wr_seats *s, const struct wr_seat *seat)
{
    bool is;

    wr_mutex_lock(&s->mutex);
    is = first(&s->waiting) == seat;
    wr_mutex_unlock(&s->mutex);
    return is;
}

void wr_seats_give(struct wr_seats *s, struct wr_seat *seat)
{
    struct wr_seat *next = NULL;

    wr_mutex_lock(&s->mutex);
    if (seat->waits)
        stop_waiting(s, seat);
    if (seat->has) {
        seat->has = false;
        wr_list_remove(&seat->link);
        s->taken--;
        s->moves++;
        next = s->taken < s->max ? first(&s->waiting) : NULL;
    }
    if (next) {
        stop_waiting(s, next);
        sit(s, next);
        wr_sched_wake(next->actor);
    }
    see_who_waits(s);
    wr_mutex_unlock(&s->mutex);
}

void wr_seats_touch(struct wr_seats *s, struct wr_seat *seat)
{
    wr_mutex_lock(&s->mutex);
    if (seat->has) {
        wr_list_remove(&seat->link);
        wr_list_push(&s->sitting, &seat->link);
    }
    wr_mutex_unlock(&s->mutex);
}

bool wr_seats_wanted(const struct wr_seats *s)
{
    return atomic_load(&s->wanted);
}
