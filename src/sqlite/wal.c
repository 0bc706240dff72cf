/*
 * wal.c - see wal.h for the format. Pure: bytes in, numbers out.
 */
#include "sqlite/wal.h"

#include "base/bytes.h"

#define WAL_MAGIC   0x377f0682u
#define WAL_VERSION 3007000u

void wr_frame_get(const uint8_t p[WR_FRAME_HEADER], struct wr_frame *ret)
{
    ret->pgno = wr_be32(p);
    ret->commit = wr_be32(p + 4);
    memcpy(ret->salt, p + 8, 8);
    ret->cksum[0] = wr_be32(p + 16);
    ret->cksum[1] = wr_be32(p + 20);
}

void wr_wal_checksum(bool little, const uint8_t *p, size_t n, uint32_t s[2])
{
    uint32_t a = s[0], b = s[1];

    assert(n % 8 == 0);
    if (little) {
        for (size_t i = 0; i < n; i += 8) {
            a += wr_le32(p + i) + b;
            b += wr_le32(p + i + 4) + a;
        }
    } else {
        for (size_t i = 0; i < n; i += 8) {
            a += wr_be32(p + i) + b;
            b += wr_be32(p + i + 4) + a;
        }
    }
    s[0] = a;
    s[1] = b;
}

void wr_frame_checksum(bool little, const uint8_t *frame, uint32_t page_size, uint32_t s[2])
{
    wr_wal_checksum(little, frame, 8, s);
    wr_wal_checksum(little, frame + WR_FRAME_HEADER, page_size, s);
}

bool wr_wal_header_get(const uint8_t p[WR_WAL_HEADER], struct wr_wal_header *ret)
{
    uint32_t magic = wr_be32(p), page_size = wr_be32(p + 8);
    uint32_t s[2] = {0, 0};

    if ((magic & ~1u) != WAL_MAGIC || wr_be32(p + 4) != WAL_VERSION)
        return false;
    if (page_size < 512 || page_size > 65536 || (page_size & (page_size - 1)))
        return false;
    wr_wal_checksum(!(magic & 1), p, 24, s);
    if (s[0] != wr_be32(p + 24) || s[1] != wr_be32(p + 28))
        return false;
    ret->little = !(magic & 1);
    ret->page_size = page_size;
    memcpy(ret->salt, p + 16, 8);
    ret->cksum[0] = s[0];
    ret->cksum[1] = s[1];
    return true;
}
