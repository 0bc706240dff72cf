/*
 * failover.h - a copy of the database on another machine is promoted (engine/promote.h), whatever
 * the old primary does meanwhile: two machines, one replica. In some runs there are two with a
 * copy: both promote, beside each other, or one in the middle of the other, or one when the other
 * has been the primary for a while; the last one that has taken the lease, and comes to its end,
 * goes on.
 *
 * The laws are those of epochs.h, S3 as for all, and
 *
 *   P4  when all faults have healed, a promotion that is repeated comes to its end, and the old
 *       primary stops and says why; one that has lost the lease says who has it
 *   P5  the old primary's database is unharmed, and at its own newest commit
 *   P6  the new primary goes on: the newest state of the replica is its database
 */
#ifndef SIM_FAILOVER_H
#define SIM_FAILOVER_H

#include "sim/app.h"
#include "sim/daemon.h"

/* One life of this kind, on an empty disk, with one store that has conditional writes and shows
 * what is there. `cut` lets the power go when no process has files open. */
void failover_live(const struct app_opts *app, const struct daemon_opts *o, void (*cut)(void));

uint64_t failover_done(void); /* promotions that came to their end */

#endif
