/*
 * live.h - whether a database as it was read is one that a replica leads to.
 *
 * The database was read between two transactions, which need not be the last of a file: a file that
 * spans several ends where the engine looked. So it is met at a TXID where all pages are the same;
 * or between two of them, where all pages are the same but for some that the file between them has,
 * as these were being written.
 *
 * Pure.
 */
#ifndef WR_ENGINE_LIVE_H
#define WR_ENGINE_LIVE_H

#include "engine/sums.h"

struct wr_live {
    struct wr_sums sums; /* what was read; owned */
    bool met;
    uint64_t txid;     /* met: where, or right before; else the last one compared */
    uint32_t same;     /* met: pages that are the same there */
    uint32_t changing; /* met: the others, which were being written, and tell nothing */
    uint32_t differ;   /* not met: pages that are others there, ... */
    uint32_t page;     /* ... and the first of them */
};
void wr_live_release(struct wr_live *x);

/* Compare it with the replica's database at `txid`, to which `ch` led from the one before; NULL: of
 * that nothing is known, and only the same database is met. Does nothing once it was met. */
void wr_live_compare(
    struct wr_live *x, const struct wr_sums *at, const struct wr_change *ch, uint64_t txid);

#endif
