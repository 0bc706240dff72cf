/*
 * child.h - for tests of the simulator's parts: each simulation in a real process of its own.
 */
#ifndef SIM_CHILD_H
#define SIM_CHILD_H

#include "sim/fiber.h"

/* Fails the test, naming the seed, unless a simulation of `run` gets to its end. */
void child_run(uint64_t seed, void (*run)(void *arg), void *arg);
/* Fails the test unless the simulation fails by sim_fail with `why` in what it says. */
void child_fails(uint64_t seed, void (*run)(void *arg), void *arg, const char *why);
/* Zeroed memory that children share with the test, until it ends. */
void *child_shared(size_t size);

/* For code in the simulation. */
#define CHECK(cond) ((cond) ? (void)0 : sim_fail("%s:%d: %s", __FILE__, __LINE__, #cond))

#endif
