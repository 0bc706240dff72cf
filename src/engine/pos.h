/*
 * pos.h - where in a write-ahead log we are.
 */
#ifndef WR_ENGINE_POS_H
#define WR_ENGINE_POS_H

#include "base/base.h"
#include "base/bytes.h"

/* Everything up to and including `frame` of the generation `salt` was captured. The checksum runs
 * over all frames before, so that salt, frame and checksum together name one history. */
struct wr_pos {
    uint8_t salt[8];   /* as in the WAL header */
    uint32_t frame;    /* 0: none of this generation */
    uint32_t cksum[2]; /* running checksum after `frame` */
};

/* In the 20 bytes that the ledger and its journal have for it, little-endian. */
static inline void wr_pos_put(uint8_t *p, const struct wr_pos *pos)
{
    memcpy(p, pos->salt, 8);
    wr_put_le32(p + 8, pos->frame);
    wr_put_le32(p + 12, pos->cksum[0]);
    wr_put_le32(p + 16, pos->cksum[1]);
}

static inline void wr_pos_get(const uint8_t *p, struct wr_pos *ret)
{
    memcpy(ret->salt, p, 8);
    ret->frame = wr_le32(p + 8);
    ret->cksum[0] = wr_le32(p + 12);
    ret->cksum[1] = wr_le32(p + 16);
}

#endif
