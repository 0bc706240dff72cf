/*
 * threads.h - what a simulation may do to the system that the product sees (threads.c).
 */
#ifndef SIM_THREADS_H
#define SIM_THREADS_H

#include "base/base.h"

/* Somebody sets the wall clock forward or back. The monotonic clock does not care. */
void threads_jump_wall(int64_t ms);

#endif
