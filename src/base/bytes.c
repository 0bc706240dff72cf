/*
 * bytes.c - unsigned LEB128: seven bits a byte, least significant first, the high bit meaning "more
 * follows" (the DWARF standard, section 7.6; Go's binary.Uvarint).
 *
 * A reader accepts needless zero groups, as Go's does; a writer never produces them.
 */
#include "base/bytes.h"

size_t wr_put_varint(uint8_t out[WR_VARINT_MAX], uint64_t v)
{
    size_t n = 0;

    while (v >= 0x80) {
        out[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (uint8_t)v;
    assert(n <= WR_VARINT_MAX);
    return n;
}

size_t wr_get_varint(const uint8_t *p, size_t n, uint64_t *ret)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n && i < WR_VARINT_MAX; i++) {
        uint64_t bits = p[i] & 0x7f;

        if (i == WR_VARINT_MAX - 1 && bits > 1)
            return 0; /* nine groups are 63 bits: the tenth has one */
        v |= bits << (7 * i);
        if (!(p[i] & 0x80)) {
            *ret = v;
            return i + 1;
        }
    }
    return 0;
}
