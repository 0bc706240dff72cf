/*
 * wal.h - frames of a write-ahead log (https://sqlite.org/fileformat2.html section 4).
 *
 *   header, 32 bytes: magic 377f0682 (little-endian checksums) or 377f0683, version 3007000, page
 *     size, checkpoint number, salt 8 bytes, checksum 8 bytes (of the 24 bytes before it)
 *   frame: page number, database size in pages after a commit or 0, salt 8 bytes, checksum 8
 *     bytes, page. The checksum runs on from the header's over each frame's first 8 bytes and page.
 *
 * All integers are big-endian; the checksum reads its input in the byte order the magic names.
 */
#ifndef WR_SQLITE_WAL_H
#define WR_SQLITE_WAL_H

#include "base/base.h"

#define WR_WAL_HEADER   32
#define WR_FRAME_HEADER 24

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define WR_HOST_BIG_ENDIAN 1
#else
#define WR_HOST_BIG_ENDIAN 0
#endif

struct wr_frame {
    uint32_t pgno;
    uint32_t commit; /* database size in pages; 0: not the last frame of a transaction */
    uint8_t salt[8];
    uint32_t cksum[2];
};

/* Byte offset of frame `n` (1-based) in the WAL; of frame n+1: the end of frame n. */
static inline uint64_t wr_frame_offset(uint32_t n, uint32_t page_size)
{
    return WR_WAL_HEADER + (uint64_t)(n - 1) * (WR_FRAME_HEADER + (uint64_t)page_size);
}

void wr_frame_get(const uint8_t p[WR_FRAME_HEADER], struct wr_frame *ret);

/* Run the checksum s on over `n` bytes (a multiple of 8). `little`: input words are little-endian.
 */
void wr_wal_checksum(bool little, const uint8_t *p, size_t n, uint32_t s[2]);

/* Run s on over one frame: the first 8 bytes of its header and its page. */
void wr_frame_checksum(bool little, const uint8_t *frame, uint32_t page_size, uint32_t s[2]);

/* A valid 32-byte header: its page size, salts and checksum, which the frames run on from. */
struct wr_wal_header {
    bool little; /* byte order of checksum input */
    uint32_t page_size;
    uint8_t salt[8];
    uint32_t cksum[2];
};
bool wr_wal_header_get(const uint8_t p[WR_WAL_HEADER], struct wr_wal_header *ret);

#endif
