/*
 * standby.h - a machine that has a copy of the database: it follows the replica, its copy is
 * promoted, and then it is a primary as any.
 */
#ifndef SIM_STANDBY_H
#define SIM_STANDBY_H

#include "sim/follower.h"
#include "sim/promoter.h"
#include "sim/side.h"

struct standby {
    struct side side; /* once it is promoted */
    struct follower follower;
    struct promoter promoter;
    bool has_copy;
    bool runs; /* as a primary */
    uint32_t db;
};

/* It is as `like`, with another path and another name; the directory is made. `s` stays. */
void standby_init(struct standby *s, const struct side *like, unsigned which);
/* Its follower ends, one way or the other. */
void standby_end_follower(struct standby *s);
/* Its copy was promoted: it is a primary from now on, whose daemon may be started. Not twice. */
void standby_take_over(struct standby *s);
/* All of it that may have files open, but for an application. */
void standby_kill(struct standby *s);

#endif
