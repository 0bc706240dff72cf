/*
 * promoter.h - a process that promotes a followed copy (engine/promote.h), and what happens to it
 * on its way: nothing, death, or a sleep of its machine.
 */
#ifndef SIM_PROMOTER_H
#define SIM_PROMOTER_H

#include "base/base.h"
#include "sim/fiber.h"

struct promoter {
    const char *path; /* of the copy */
    int64_t far_ns;   /* how much further away than the others its machine is */
    bool promoted;    /* it came to its end */
    uint64_t node;    /* that it is known by then */

    struct sim_proc *proc; /* NULL: none yet */
    uint32_t quiet_asks;   /* requests, until something happens to it */
    bool with_lease;       /* counted from when it has that */
    int64_t sleep_ns;      /* 0: it is killed */
};

/* What happens to the next one that is started: drawn, or nothing. */
void promoter_draw_disturbance(struct promoter *w);
void promoter_leave_alone(struct promoter *w);
/* `w` stays until it has ended. */
void promoter_start(struct promoter *w);
bool promoter_lives(const struct promoter *w);
void promoter_kill(struct promoter *w); /* if it lives */

#endif
