/*
 * said.h - whether what a bucket says of itself is so: each file that must have a way to its end
 * (engine/extent.h) has one, and the newest one is there.
 *
 * By names alone, and with nothing of the product's.
 */
#ifndef SIM_SAID_H
#define SIM_SAID_H

#include "sim/store.h"

#define SAID_TEXT 200

/* True where nothing is said, or not under the sign that is there. False: `why` tells. */
bool said_is_so(struct store *s, char why[SAID_TEXT]);

#endif
