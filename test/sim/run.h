/*
 * run.h - one simulation in a child process, and what its end means.
 */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include "sim/world.h"

#define RUN_TEXT 400

enum run_end {
    RUN_WELL,
    RUN_FOUND,   /* sim_fail: a law was broken */
    RUN_CRASHED, /* by a signal: an assertion, a sanitizer, SIGSEGV */
    RUN_HUNG     /* it took more real time than any run should */
};

struct run {
    const uint32_t *tape; /* to be played; NULL: drawn from `seed` */
    size_t n_tape;
    uint64_t seed;
    bool trace; /* to stderr, which else is read for `text` only */
};

struct run_result {
    enum run_end end;
    char text[RUN_TEXT];        /* the last line on stderr: what was found */
    struct world_report report; /* of a run that was well */
    uint64_t hash;              /* of all decisions */
    uint64_t cpu_us;            /* what it took of a processor */
};

/* The tape that it made can be had with tape_recorded until the next run. */
void run_one(const struct run *r, struct run_result *ret);

/* What two failures have in common if they are the same one: the text without its numbers. */
bool run_alike(const struct run_result *a, const struct run_result *b);

#endif
