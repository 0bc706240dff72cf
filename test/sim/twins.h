/*
 * twins.h - a machine is copied, with its database and our local state, and both go on: two daemons
 * that do not know of each other write to the same place.
 *
 * The laws (world.h): S3, as for all; S1, in that whatever restores was committed by one of the
 * two; T1, that a daemon stops and says so; and L1, in that the other goes on, if it
 * does not stop as well.
 */
#ifndef SIM_TWINS_H
#define SIM_TWINS_H

#include "sim/app.h"
#include "sim/daemon.h"

/* One life of this kind, on an empty disk, with one store that has conditional writes. */
void twins_live(const struct app_opts *app, const struct daemon_opts *o);

#endif
