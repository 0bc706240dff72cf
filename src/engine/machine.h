/*
 * machine.h - which run of the machine this is: from one start of its kernel to the next.
 */
#ifndef WR_ENGINE_MACHINE_H
#define WR_ENGINE_MACHINE_H

#include "base/base.h"
#include "base/file.h"

/* A number of it: the kernel's own, random(4), hashed. What was written and not synced in another
 * one may be lost. 0: not to be had. */
uint64_t wr_machine_run(const struct wr_fs *fs);

#endif
