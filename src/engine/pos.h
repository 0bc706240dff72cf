/*
 * pos.h - where in a write-ahead log we are.
 */
#ifndef WR_ENGINE_POS_H
#define WR_ENGINE_POS_H

#include "base/base.h"

/* Everything up to and including `frame` of the generation `salt` was captured. The checksum runs
 * over all frames before, so that salt, frame and checksum together name one history. */
struct wr_pos {
    uint8_t salt[8];   /* as in the WAL header */
    uint32_t frame;    /* 0: none of this generation */
    uint32_t cksum[2]; /* running checksum after `frame` */
};

#endif
