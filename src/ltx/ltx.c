/*
 * ltx.c - header, trailer, file name and checksums of an LTX file. Knows nothing of pages'
 * encoding.
 *
 * All integers are big-endian. Header (100 bytes):
 *
 *    0   4  magic "LTX1"
 *    4   4  flags: 2, "no database checksum"; Litestream restores nothing else
 *    8   4  page size in bytes
 *   12   4  commit: pages in the database after the file is applied
 *   16   8  first TXID
 *   24   8  last TXID
 *   32   8  time, signed, Unix milliseconds
 *   40   8  pre-apply checksum: 0
 *   48   8  WAL offset, signed
 *   56   8  WAL size, signed
 *   64   8  WAL salts
 *   72   8  node id
 *   80  20  reserved: readers hash them and look no further. Ours:
 *              80  4  "WRC2", of which the digit is the version
 *              84  8  rolling checksum before the file
 *              92  8  rolling checksum after it
 *
 * Trailer (16 bytes): 8 post-apply checksum, 0; 8 file checksum, whose bit 63 is set.
 *
 * Source: the layout in the superfly/ltx library, v0.5.2, checked on files that litestream-vfs
 * 0.5.17 wrote or refused. The use of the reserved bytes is our own.
 */
#include "ltx/ltx.h"

#include "base/bytes.h"
#include "base/crc64.h"
#include "base/crypto.h"

static const uint8_t MAGIC[4] = {'L', 'T', 'X', '1'};
static const uint8_t TAG[4] = {'W', 'R', 'C', '2'};

enum {
    NO_CHECKSUM = 2,
    AT_FLAGS = 4,
    AT_PAGE_SIZE = 8,
    AT_COMMIT = 12,
    AT_MIN = 16,
    AT_MAX = 24,
    AT_TIME = 32,
    AT_PRE = 40,
    AT_WAL_OFF = 48,
    AT_WAL_SIZE = 56,
    AT_SALT = 64,
    AT_NODE = 72,
    AT_TAG = 80,
    AT_ROLLING_PRE = 84,
    AT_ROLLING_POST = 92,
};

bool wr_ltx_page_size_ok(uint32_t page_size)
{
    return page_size >= 512 && page_size <= WR_LTX_PAGE_SIZE_MAX &&
           (page_size & (page_size - 1)) == 0;
}

uint32_t wr_ltx_lock_pgno(uint32_t page_size, uint32_t lock_offset)
{
    assert(wr_ltx_page_size_ok(page_size));
    return lock_offset / page_size + 1;
}

static bool checksum_ok(uint64_t v)
{
    return (v & WR_LTX_CHECKSUM_EMPTY) != 0;
}

static enum wr_status check_rolling(const struct wr_ltx_header *h, struct wr_err *e)
{
    if (!h->has_rolling)
        return WR_OK;
    if (!checksum_ok(h->rolling_pre) || !checksum_ok(h->rolling_post))
        return wr_fail(e, WR_CORRUPT, "ltx header: rolling checksum without bit 63");
    if (h->min_txid == 1 && h->rolling_pre != WR_LTX_CHECKSUM_EMPTY)
        return wr_fail(e, WR_CORRUPT, "ltx header: a snapshot starts from a non-empty database");
    return WR_OK;
}

static enum wr_status check_wal(const struct wr_ltx_header *h, struct wr_err *e)
{
    static const uint8_t NO_SALT[8] = {0};

    if (h->wal_off > INT64_MAX || h->wal_size > INT64_MAX)
        return wr_fail(e, WR_CORRUPT, "ltx header: negative WAL offset or size");
    if (h->wal_off == 0 && h->wal_size != 0)
        return wr_fail(e, WR_CORRUPT, "ltx header: WAL size without WAL offset");
    if (h->wal_off == 0 && memcmp(h->salt, NO_SALT, sizeof(NO_SALT)) != 0)
        return wr_fail(e, WR_CORRUPT, "ltx header: WAL salt without WAL offset");
    return WR_OK;
}

static enum wr_status check_header(const struct wr_ltx_header *h, struct wr_err *e)
{
    enum wr_status st;

    if (!wr_ltx_page_size_ok(h->page_size))
        return wr_fail(e, WR_CORRUPT, "ltx header: page size %u", (unsigned)h->page_size);
    /* Litestream can neither write nor apply a file that leaves no page at all. */
    if (h->commit == 0)
        return wr_fail(e, WR_CORRUPT, "ltx header: database of 0 pages");
    if (h->min_txid == 0)
        return wr_fail(e, WR_CORRUPT, "ltx header: first TXID 0");
    if (h->max_txid < h->min_txid)
        return wr_fail(e, WR_CORRUPT, "ltx header: last TXID %016llx before the first, %016llx",
            (unsigned long long)h->max_txid, (unsigned long long)h->min_txid);
    st = check_wal(h, e);
    if (st != WR_OK)
        return st;
    return check_rolling(h, e);
}

enum wr_status wr_ltx_header_put(
    uint8_t out[WR_LTX_HEADER_SIZE], const struct wr_ltx_header *h, struct wr_err *e)
{
    enum wr_status st = check_header(h, e);

    if (st != WR_OK)
        return st;
    memset(out, 0, WR_LTX_HEADER_SIZE);
    memcpy(out, MAGIC, sizeof(MAGIC));
    wr_put_be32(out + AT_FLAGS, NO_CHECKSUM);
    wr_put_be32(out + AT_PAGE_SIZE, h->page_size);
    wr_put_be32(out + AT_COMMIT, h->commit);
    wr_put_be64(out + AT_MIN, h->min_txid);
    wr_put_be64(out + AT_MAX, h->max_txid);
    wr_put_be64(out + AT_TIME, (uint64_t)h->time_ms);
    wr_put_be64(out + AT_WAL_OFF, h->wal_off);
    wr_put_be64(out + AT_WAL_SIZE, h->wal_size);
    memcpy(out + AT_SALT, h->salt, sizeof(h->salt));
    wr_put_be64(out + AT_NODE, h->node_id);
    if (h->has_rolling) {
        memcpy(out + AT_TAG, TAG, sizeof(TAG));
        wr_put_be64(out + AT_ROLLING_PRE, h->rolling_pre);
        wr_put_be64(out + AT_ROLLING_POST, h->rolling_post);
    }
    return WR_OK;
}

static enum wr_status check_flags(uint32_t flags, uint64_t pre, struct wr_err *e)
{
    if (flags == 0)
        return wr_fail(e, WR_CORRUPT,
            "ltx header: file tracks a database checksum, which a replica's must not");
    if (flags != NO_CHECKSUM)
        return wr_fail(e, WR_CORRUPT, "ltx header: unknown flags %08x", (unsigned)flags);
    if (pre != 0)
        return wr_fail(e, WR_CORRUPT, "ltx header: pre-apply checksum, though flagged as absent");
    return WR_OK;
}

enum wr_status wr_ltx_header_get(
    const uint8_t in[WR_LTX_HEADER_SIZE], struct wr_ltx_header *ret_header, struct wr_err *e)
{
    struct wr_ltx_header h = {0};
    enum wr_status st;

    if (memcmp(in, MAGIC, sizeof(MAGIC)) != 0)
        return wr_fail(e, WR_CORRUPT, "ltx header: not an LTX file");
    st = check_flags(wr_be32(in + AT_FLAGS), wr_be64(in + AT_PRE), e);
    if (st != WR_OK)
        return st;
    h.page_size = wr_be32(in + AT_PAGE_SIZE);
    h.commit = wr_be32(in + AT_COMMIT);
    h.min_txid = wr_be64(in + AT_MIN);
    h.max_txid = wr_be64(in + AT_MAX);
    h.time_ms = (int64_t)wr_be64(in + AT_TIME);
    h.wal_off = wr_be64(in + AT_WAL_OFF);
    h.wal_size = wr_be64(in + AT_WAL_SIZE);
    memcpy(h.salt, in + AT_SALT, sizeof(h.salt));
    h.node_id = wr_be64(in + AT_NODE);
    h.has_rolling = memcmp(in + AT_TAG, TAG, sizeof(TAG)) == 0;
    if (h.has_rolling) {
        h.rolling_pre = wr_be64(in + AT_ROLLING_PRE);
        h.rolling_post = wr_be64(in + AT_ROLLING_POST);
    }
    st = check_header(&h, e);
    if (st == WR_OK)
        *ret_header = h;
    return st;
}

void wr_ltx_trailer_put(uint8_t out[WR_LTX_TRAILER_SIZE], const struct wr_ltx_trailer *t)
{
    assert(checksum_ok(t->file_checksum));
    wr_put_be64(out, 0);
    wr_put_be64(out + 8, t->file_checksum);
}

enum wr_status wr_ltx_trailer_get(
    const uint8_t in[WR_LTX_TRAILER_SIZE], struct wr_ltx_trailer *ret_trailer, struct wr_err *e)
{
    uint64_t sum = wr_be64(in + 8);

    if (wr_be64(in) != 0)
        return wr_fail(e, WR_CORRUPT, "ltx trailer: post-apply checksum, though flagged as absent");
    if (!checksum_ok(sum))
        return wr_fail(e, WR_CORRUPT, "ltx trailer: file checksum without bit 63");
    ret_trailer->file_checksum = sum;
    return WR_OK;
}

/* ---- names: <16 hex digits>-<16 hex digits>.ltx ---- */

enum {
    HEX = 16,
    DOT = 2 * HEX + 1,
    NAME_LEN = WR_LTX_NAME_MAX - 1,
};

/* And a NUL. */
static void put_txid(char *out, uint64_t txid)
{
    uint8_t bytes[HEX / 2];

    wr_put_be64(bytes, txid);
    wr_hex(bytes, sizeof(bytes), out);
}

/* Not by printf: a follower makes several names for each commit that it is told of. */
void wr_ltx_name_format(char out[WR_LTX_NAME_MAX], uint64_t min_txid, uint64_t max_txid)
{
    put_txid(out, min_txid);
    out[HEX] = '-';
    put_txid(out + HEX + 1, max_txid);
    memcpy(out + DOT, ".ltx", NAME_LEN - DOT + 1);
}

/* wr_parse_hex64 would take capitals, which no writer of these names uses. */
static bool parse_txid(const char *p, uint64_t *ret)
{
    uint64_t v = 0;

    for (int i = 0; i < HEX; i++) {
        if (p[i] >= '0' && p[i] <= '9')
            v = v << 4 | (uint64_t)(p[i] - '0');
        else if (p[i] >= 'a' && p[i] <= 'f')
            v = v << 4 | (uint64_t)(p[i] - 'a' + 10);
        else
            return false;
    }
    *ret = v;
    return true;
}

bool wr_ltx_name_parse(struct wr_str name, uint64_t *ret_min_txid, uint64_t *ret_max_txid)
{
    uint64_t min, max;

    if (name.n != NAME_LEN || name.p[HEX] != '-' || memcmp(name.p + DOT, ".ltx", 4) != 0)
        return false;
    if (!parse_txid(name.p, &min) || !parse_txid(name.p + HEX + 1, &max))
        return false;
    if (min == 0 || max < min)
        return false;
    *ret_min_txid = min;
    *ret_max_txid = max;
    return true;
}

/* ---- checksums ---- */

/* The last steps of SplitMix64: each bit of the result depends on each bit of `x`, and not in a
 * linear way. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

/* A CRC alone is linear: bytes that change in the same way at the same place of two pages change
 * both CRCs by the same amount, whatever else is in the pages, and in a sum by exclusive or that
 * cancels out. An UPDATE of a flag in rows of equal length does just that. */
uint64_t wr_ltx_page_checksum(uint32_t pgno, const uint8_t *data, uint32_t page_size)
{
    uint8_t no[4];

    assert(pgno != 0);
    wr_put_be32(no, pgno);
    return WR_LTX_CHECKSUM_EMPTY | mix(wr_crc64(wr_crc64(0, no, sizeof(no)), data, page_size));
}

uint64_t wr_ltx_rolling(uint64_t rolling, uint64_t was, uint64_t is)
{
    return WR_LTX_CHECKSUM_EMPTY | (rolling ^ was ^ is);
}
