/*
 * walidx.h - the wal-index header: what is committed, without a system call.
 *
 * The first 136 bytes of -shm, in the byte order of the machine (sqlite3 src/wal.c, struct
 * WalIndexHdr and WalCkptInfo; https://sqlite.org/walformat.html section 2):
 *
 *   offset  0  iVersion u32 = 3007000     24  aFrameCksum 2 x u32, of frame mxFrame
 *           8  iChange u32, +1 a commit   32  aSalt 8 bytes, as they stand in the WAL header
 *          12  isInit u8                  40  aCksum 2 x u32, of bytes 0..39
 *          13  bigEndCksum u8             48  the same 48 bytes again
 *          14  szPage u16, 1 = 65536      96  nBackfill u32
 *          16  mxFrame u32               100  aReadMark 5 x u32
 *          20  nPage u32                 128  nBackfillAttempted u32
 *
 * A writer updates the second copy, then the first, without a lock that a reader could see. A pair
 * that differs is normal for milliseconds: the writer was descheduled in between. A pair that stays
 * torn while nobody holds the writer lock means that a writer died there.
 */
#ifndef WR_SQLITE_WALIDX_H
#define WR_SQLITE_WALIDX_H

#include "base/base.h"
#include "base/status.h"

#define WR_WALIDX_SIZE 136 /* bytes of the mapping that are read */
#define WR_READ_MARKS  5

struct wr_walidx {
    bool init;               /* false: nobody has built the index yet */
    bool big_endian_cksum;   /* byte order of the frame checksums */
    uint32_t page_size;      /* bytes; 0 while the WAL is empty */
    uint32_t change;         /* iChange: counts commits until an index recovery restarts it */
    uint32_t mx_frame;       /* last committed frame, 1-based; 0: none */
    uint32_t n_page;         /* database size in pages after mx_frame */
    uint32_t frame_cksum[2]; /* running checksum after mx_frame, as numbers */
    uint8_t salt[8];
    uint32_t n_backfill; /* frames copied into the database */
    uint32_t read_mark[WR_READ_MARKS];
};

/* Decode a stable copy. `barrier` (with `arg`) is a memory barrier between the two reads. BUSY
 * without text when the pair is torn, or its checksum wrong: look again later. UNSUPPORTED when
 * both agree on another version. */
enum wr_status wr_walidx_read(const volatile uint8_t *map, void (*barrier)(void *arg), void *arg,
    struct wr_walidx *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
