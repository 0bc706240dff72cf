/*
 * mutants.h - the bugs of base/mutant.h: choosing one, and proof that each is found.
 */
#ifndef SIM_MUTANTS_H
#define SIM_MUTANTS_H

#include "sim/run.h"

/* Of the one that is in it. */
const char *mutant_name(void);
const char *mutant_text(void);

struct hunt {
    uint64_t seed;
    uint64_t seeds, cpu_us; /* that it took */
    struct run_result found;
};
/* The first of the seeds behind `after` that finds the mutant, and nothing without it; that is what
 * tape_recorded has then. False: none of `max_seeds` does. */
bool mutant_hunt(uint64_t after, uint64_t max_seeds, struct hunt *ret);
/* Run `r` without the mutant. */
void mutant_leave_out(const struct run *r, struct run_result *ret);

/* What was found, without the time and the process. */
const char *mutant_found(const struct run_result *r);

/* `fn` with each mutant in turn, or only with the chosen one, in `jobs` processes. 0: true for
 * all. */
typedef bool mutant_fn(const void *arg);
int mutants_each(unsigned jobs, mutant_fn *fn, const void *arg);

/* Hunts for each, `rounds` times from other seeds; a line each with the medians. 0: each was found,
 * within `max_seeds` each time. */
#define MUTANT_ROUNDS_MAX 21
int mutants_run(uint64_t max_seeds, unsigned rounds, unsigned jobs);

#endif
