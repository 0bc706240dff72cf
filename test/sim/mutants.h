/*
 * mutants.h - the bugs of base/mutant.h: choosing one, and proof that each is found.
 */
#ifndef SIM_MUTANTS_H
#define SIM_MUTANTS_H

#include "base/base.h"

/* Put the bug called `name` into the product. False: there is none. */
bool mutant_choose(const char *name);

/* For each mutant (or the chosen one), seeds from 1 on until one finds it, `rounds` times from
 * other seeds; a line each with the median. `known` is tried first, and enough; 0: none. Returns 0
 * if each was found, within `max_seeds` each time. */
#define MUTANT_ROUNDS_MAX 21
int mutants_run(uint64_t known, uint64_t max_seeds, unsigned rounds, unsigned jobs);

#endif
