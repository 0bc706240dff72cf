/*
 * power.h - the power of all machines goes now and then, in some runs.
 */
#ifndef SIM_POWER_H
#define SIM_POWER_H

#include "base/base.h"

/* `kill_all` ends who may have files open, `cut` lets the power go then. In runs where it `may`. */
void power_begin(void (*kill_all)(void), void (*cut)(void), bool may);
/* With this probability; while no application runs. A database that is not synced may become
 * anything by it. */
void power_maybe_cut(uint32_t permille);

#endif
