/*
 * followed.h - somebody who follows a bucket, beside everything else, on the same machine: a copy
 * of the database that must be a state which was committed whenever a step has ended, whoever died
 * meanwhile.
 *
 * The laws that are judged:
 *
 *   F1  after each step the copy is the state of its TXID, but for what makes it a copy
 *   F2  and not an older one than before, whatever died in between
 *   F3  it gives up only what is no longer its history, and says so
 *   F4  when all faults have healed, it gets to the newest TXID
 */
#ifndef SIM_FOLLOWED_H
#define SIM_FOLLOWED_H

#include "base/base.h"

/* Of the first bucket, from now on, started again whenever it has died. `interval_ns`: how often it
 * looks. */
void followed_begin(int64_t interval_ns);
/* Kill it, if it lives. */
void followed_kill(void);
/* F4, in this time. Then it is ended. */
void followed_end(int64_t patience_ns);

uint64_t followed_steps(void); /* that changed the copy */

#endif
