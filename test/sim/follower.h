/*
 * follower.h - a process that follows the first bucket: the loop that all who follow here have in
 * common. What its copy must be is its owner's business.
 */
#ifndef SIM_FOLLOWER_H
#define SIM_FOLLOWER_H

#include "base/base.h"
#include "base/status.h"
#include "sim/fiber.h"

struct wr_follow;

struct follower {
    const char *path;    /* of the copy */
    int64_t interval_ns; /* how often it looks */
    int64_t least_ns;    /* between two steps, at least */
    bool anew;           /* what is there is overwritten when it begins next; false once it has */
    bool over;           /* it ends behind the step that it is in */
    /* When it has begun, and behind each step; NULL: nobody is told. In its own process, as is: */
    void (*stands)(struct follower *w, const struct wr_follow *f);
    /* It could not begin, or go on; it begins again soon. */
    void (*failed)(struct follower *w, enum wr_status st, const char *text);

    struct sim_proc *proc; /* NULL: none yet */
};

bool follower_lives(const struct follower *w);
/* Unless it lives. `w` stays until it has ended. */
void follower_start(struct follower *w);
void follower_kill(struct follower *w); /* if it lives */
/* It is over; wait until it has ended. */
void follower_end(struct follower *w);

#endif
