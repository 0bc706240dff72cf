/*
 * takeover.h - something befalls a primary, or nothing, and whoever has a copy of its database
 * promotes it: tried with the faults that the store has, disturbed, and again and again, until
 * whoever has the lease has come to its end.
 */
#ifndef SIM_TAKEOVER_H
#define SIM_TAKEOVER_H

#include "sim/standby.h"

struct takeover {
    struct side *old;
    struct side *older; /* whom that one took over from; NULL: nobody */
    struct standby *copies[2];
    size_t n;
    bool hurries; /* the old primary sends without a pause, once all has healed */
    bool images; /* machines with a copy may be made from images of others, and have their number */
    bool again;  /* another one follows: the faults stay, unless this one comes to nothing */
};

/* Who is promoted in the end. One that was promoted before, and lost the lease, is a primary. */
struct standby *takeover_live(const struct takeover *t);

#endif
