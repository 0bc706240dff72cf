/*
 * hurry.h - a primary that sends without a pause, to a store that is near for it, while whoever
 * promotes is further away: no name can be won against it, so it has to ask who has the lease.
 */
#ifndef SIM_HURRY_H
#define SIM_HURRY_H

#include "sim/side.h"

/* A store that is near enough, and has lists that one who is far gets to the end of. */
bool hurry_can(const struct store *s);
void hurry_daemon(struct side *t);
/* Its application goes on and on, with a file for each of its transactions. How much further away
 * the other machine has to be. */
int64_t hurry_begin(const struct side *t);
/* P4: it has asked before it had sent too much. */
void hurry_look(struct side *t);

#endif
