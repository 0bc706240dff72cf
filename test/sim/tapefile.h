/*
 * tapefile.h - tapes in files: decisions as numbers, for people in lines that begin with '#'.
 *
 * Many decisions of a shrunk tape are 0; "0*57" are so many of them. A tape that cannot be made
 * short is "seed 817", all that is drawn from it.
 */
#ifndef SIM_TAPEFILE_H
#define SIM_TAPEFILE_H

#include "base/base.h"

/* Zeros at the end are left out: they come by themselves. `remark` is one line. False: it cannot be
 * written. */
bool tape_save(const char *path, const uint32_t *p, size_t n, const char *remark);

bool tape_save_seed(const char *path, uint64_t seed, const char *remark);

/* NULL: it cannot be read, or is no tape. Free with wr_free. *ret_seeded: the tape is the one that
 * is drawn from *ret_seed, and there are no decisions. */
uint32_t *tape_load(const char *path, size_t *ret_n, bool *ret_seeded, uint64_t *ret_seed);

#endif
