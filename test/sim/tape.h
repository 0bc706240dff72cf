/*
 * tape.h - where every decision of a simulation comes from.
 *
 * A run is a function of its tape: which fiber goes on, what the application does, what fails, how
 * long things take. A fresh tape is drawn from a seed and recorded; a recorded one can be played
 * again, and cut: where it is exhausted every decision is 0. So 0 must always be the dull choice
 * (go on, do nothing, no fault, shortest time), or shrinking makes runs longer.
 */
#ifndef SIM_TAPE_H
#define SIM_TAPE_H

#include "base/base.h"

/* Draw from `seed` from now on, and record. */
void tape_seed(uint64_t seed);
/* Play `n` recorded decisions, then zeros. The array is the caller's and stays. */
void tape_play(const uint32_t *p, size_t n);
/* What was decided so far, in order. After tape_share also what a child process has decided. */
const uint32_t *tape_recorded(size_t *ret_n);
/* Record into memory that is shared with child processes that are forked from now on. Once. */
void tape_share(void);
/* Decisions. Later ones are drawn and not recorded: a run that has more can be had by its seed
 * only. They were all 0 once, and what never rests then fills the disk. */
#define TAPE_MAX ((size_t)1 << 21)

/* A decision in [0, n), n >= 1. */
uint32_t tape_below(uint32_t n);
/* True with a probability of `permille`. */
bool tape_chance(uint32_t permille);
/* Draw from a second stream of the same seed, or again from the first. What a simulation learned to
 * decide later is drawn apart: seeds that do not meet it live as they did before. On the tape is
 * all of it, in order. Nothing may let others run in between. */
void tape_apart(bool on);
/* In [lo, hi], lo being the dull end; small distances from it are likelier than large ones. */
uint64_t tape_between(uint64_t lo, uint64_t hi);

#endif
