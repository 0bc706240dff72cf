/*
 * ahead.h - what of the WAL the kernel is asked to begin to write.
 */
#ifndef WR_ENGINE_AHEAD_H
#define WR_ENGINE_AHEAD_H

#include "base/base.h"

/* `*n` bytes at `*off` of a WAL of `frames` frames, of which `begun` bytes were begun before; *n is
 * 0 where it is not worth a word yet. Whole pages of any disk and kernel: what the next frame goes
 * on in is left out. Pure. */
void wr_ahead_range(
    uint32_t frames, uint32_t page_size, uint64_t begun, uint64_t *off, uint64_t *n);

#endif
