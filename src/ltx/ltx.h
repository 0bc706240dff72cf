/*
 * ltx.h - an LTX file's fixed parts (header, trailer, name) and its checksums.
 *
 * An LTX file holds the pages that a range of transactions left behind. A file whose first TXID is
 * 1 is a snapshot: it starts from nothing. The layout is in docs/ltx.md.
 */
#ifndef WR_LTX_LTX_H
#define WR_LTX_LTX_H

#include "base/base.h"
#include "base/status.h"
#include "base/str.h"

#define WR_LTX_HEADER_SIZE   100 /* bytes */
#define WR_LTX_TRAILER_SIZE  16
#define WR_LTX_FILE_MIN      131 /* bytes of a file without pages; none is smaller */
#define WR_LTX_NAME_MAX      38  /* with the NUL */
#define WR_LTX_PAGE_SIZE_MAX 65536

/* Where SQLite puts its lock bytes. Their page is never stored. Whoever needs the offset is handed
 * it, so that a test can move the lock page into a small database. */
#define WR_LTX_LOCK_OFFSET 0x40000000u

/* The rolling checksum of a database without pages; also the bit that every checksum has set. */
#define WR_LTX_CHECKSUM_EMPTY ((uint64_t)1 << 63)

/* The header as we write it: flags NoChecksum, pre-apply and post-apply checksum 0, because the
 * original refuses everything else. Our rolling checksums travel in its 20 reserved bytes. */
struct wr_ltx_header {
    uint32_t page_size;         /* a power of two, 512 to 65536 */
    uint32_t commit;            /* pages of the database after this file, at least 1 */
    uint64_t min_txid;          /* at least 1; 1 makes the file a snapshot */
    uint64_t max_txid;          /* at least min_txid */
    int64_t time_ms;            /* Unix ms */
    uint64_t wal_off, wal_size; /* bytes of the WAL that were read; at most INT64_MAX; 0, 0: none */
    uint8_t salt[8];            /* of that WAL; zero unless wal_off is set */
    uint64_t node_id;           /* free; we write 0 */
    bool has_rolling;           /* the two below are known */
    uint64_t rolling_pre;       /* rolling checksum before; of a snapshot WR_LTX_CHECKSUM_EMPTY */
    uint64_t rolling_post;      /* rolling checksum after */
};

struct wr_ltx_trailer {
    uint64_t file_checksum; /* bit 63 is set */
};

/* A power of two from 512 to 65536. */
bool wr_ltx_page_size_ok(uint32_t page_size);

/* The page that holds the lock bytes. `lock_offset` is WR_LTX_LOCK_OFFSET outside tests. */
uint32_t wr_ltx_lock_pgno(uint32_t page_size, uint32_t lock_offset);

/* Write or read the header. A field that breaks its rule above is CORRUPT, either way; on reading
 * also a wrong magic, flags or a checksum field in use. Reserved bytes without our tag are ignored.
 */
enum wr_status wr_ltx_header_put(
    uint8_t out[WR_LTX_HEADER_SIZE], const struct wr_ltx_header *h, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_ltx_header_get(const uint8_t in[WR_LTX_HEADER_SIZE],
    struct wr_ltx_header *ret_header, struct wr_err *e) WR_MUST_CHECK;

/* Write or read the trailer. CORRUPT: a post-apply checksum, or bit 63 missing in the file's. */
void wr_ltx_trailer_put(uint8_t out[WR_LTX_TRAILER_SIZE], const struct wr_ltx_trailer *t);
enum wr_status wr_ltx_trailer_get(const uint8_t in[WR_LTX_TRAILER_SIZE],
    struct wr_ltx_trailer *ret_trailer, struct wr_err *e) WR_MUST_CHECK;

/* "0000000000000001-000000000000002a.ltx" */
void wr_ltx_name_format(char out[WR_LTX_NAME_MAX], uint64_t min_txid, uint64_t max_txid);
/* Exactly such a name: lower-case digits, 1 <= min <= max. Else false and nothing written. */
bool wr_ltx_name_parse(struct wr_str name, uint64_t *ret_min_txid, uint64_t *ret_max_txid);

/* Checksum of one page of a database, with bit 63 set. It depends on the page's number. Sums of
 * these tell databases apart, so it is mixed after the CRC; the original's is the bare CRC. */
uint64_t wr_ltx_page_checksum(uint32_t pgno, const uint8_t *data, uint32_t page_size);
/* The rolling checksum after a page whose checksum was `was` became one with `is`. 0 stands for a
 * page that did not exist before, or does not any more. The lock page never takes part. */
uint64_t wr_ltx_rolling(uint64_t rolling, uint64_t was, uint64_t is);

#endif
