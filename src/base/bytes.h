/*
 * bytes.h - integers on disk and wire: big-endian, little-endian and LEB128, never by casting.
 */
#ifndef WR_BASE_BYTES_H
#define WR_BASE_BYTES_H

#include "base/base.h"

static inline uint16_t wr_be16(const uint8_t *p)
{
    return (uint16_t)((uint16_t)p[0] << 8 | p[1]);
}

static inline uint32_t wr_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t wr_be64(const uint8_t *p)
{
    return (uint64_t)wr_be32(p) << 32 | wr_be32(p + 4);
}

static inline uint32_t wr_le32(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static inline uint64_t wr_le64(const uint8_t *p)
{
    return (uint64_t)wr_le32(p + 4) << 32 | wr_le32(p);
}

static inline void wr_put_be16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void wr_put_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static inline void wr_put_be64(uint8_t *p, uint64_t v)
{
    wr_put_be32(p, (uint32_t)(v >> 32));
    wr_put_be32(p + 4, (uint32_t)v);
}

static inline void wr_put_le32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}

static inline void wr_put_le64(uint8_t *p, uint64_t v)
{
    wr_put_le32(p, (uint32_t)v);
    wr_put_le32(p + 4, (uint32_t)(v >> 32));
}

#define WR_VARINT_MAX 10 /* bytes of the longest LEB128 uint64 */

/* Unsigned LEB128. Returns the bytes written, 1 to 10. */
size_t wr_put_varint(uint8_t out[WR_VARINT_MAX], uint64_t v);

/* Returns the bytes read from at most `n`; 0 when truncated or over 64 bits. */
size_t wr_get_varint(const uint8_t *p, size_t n, uint64_t *ret);

#endif
