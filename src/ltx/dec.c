/*
 * dec.c - the reader of LTX files, from front to back.
 *
 * The format is described in ltx.c, frame.c and enc.c. Each page is checked for itself as it comes;
 * the index, whose bytes are determined by the pages before it, is compared by length and checksum
 * with the one that these pages should have, so that nothing need be kept; last, the file checksum.
 *
 * It refuses to know where the bytes come from, and what a set of files means.
 */
#include "ltx/dec.h"

#include "base/bytes.h"
#include "base/crc64.h"
#include "base/mem.h"
#include "ltx/frame.h"
#include "ltx/lz4f.h"

enum state {
    START,
    PAGES,
    DONE,
    BROKEN
};

struct wr_ltx_dec {
    wr_ltx_read_fn *read;
    void *arg;
    uint64_t size; /* 0: unknown */
    uint32_t lock_offset, lock_pgno;
    enum state state;
    struct wr_ltx_header header;
    struct wr_ltx_trailer trailer;
    uint64_t off; /* bytes read so far */
    uint64_t crc;
    uint64_t rolling;    /* of the pages so far; kept for a snapshot that claims one */
    uint64_t index_crc;  /* of the entries that the pages so far should have */
    uint64_t index_size; /* bytes of these entries */
    uint32_t pgno;       /* of the last page, 0: none */
    uint8_t *payload;
    size_t block_n; /* bytes of `payload` that are an LZ4 block */
};

enum {
    END_SIZE = 1 + 8 + WR_LTX_TRAILER_SIZE
}; /* bytes after the entries */

enum wr_status wr_ltx_read_memory(void *arg, void *buf, size_t n, struct wr_err *e)
{
    struct wr_bytes *rest = arg;

    if (n > rest->n)
        return wr_fail(e, WR_CORRUPT, "the file ends too soon");
    memcpy(buf, rest->p, n);
    rest->p += n;
    rest->n -= n;
    return WR_OK;
}

enum wr_status wr_ltx_dec_new(wr_ltx_read_fn *read, void *arg, uint64_t size, uint32_t lock_offset,
    struct wr_ltx_dec **ret, struct wr_err *e)
{
    struct wr_ltx_dec *dec = wr_alloc(sizeof(*dec));

    if (!dec)
        return wr_fail(e, WR_NOMEM, "ltx decoder: out of memory");
    *dec = (struct wr_ltx_dec){.read = read, .arg = arg, .size = size, .lock_offset = lock_offset};
    dec->rolling = WR_LTX_CHECKSUM_EMPTY;
    *ret = dec;
    return WR_OK;
}

void wr_ltx_dec_free(struct wr_ltx_dec *dec)
{
    if (!dec)
        return;
    wr_free(dec->payload);
    wr_free(dec);
}

/* The next `n` bytes, counted. Has the shape of a wr_ltx_read_fn for lz4f.c. */
static enum wr_status pull(void *arg, void *buf, size_t n, struct wr_err *e)
{
    struct wr_ltx_dec *dec = arg;
    enum wr_status st;

    if (dec->size != 0 && n > dec->size - dec->off)
        return wr_fail(e, WR_CORRUPT, "file ends at byte %llu, %zu more were to come at %llu",
            (unsigned long long)dec->size, n, (unsigned long long)dec->off);
    st = dec->read(dec->arg, buf, n, e);
    if (st == WR_OK)
        dec->off += n;
    return st == WR_NOTFOUND ? WR_IO : st;
}

static enum wr_status read_header(struct wr_ltx_dec *dec, struct wr_err *e)
{
    uint8_t head[WR_LTX_HEADER_SIZE] = {0};
    enum wr_status st;

    if (dec->size != 0 && dec->size < WR_LTX_FILE_MIN)
        return wr_fail(e, WR_CORRUPT, "file of %llu bytes is too short for LTX",
            (unsigned long long)dec->size);
    st = pull(dec, head, sizeof(head), e);
    if (st == WR_OK)
        st = wr_ltx_header_get(head, &dec->header, e);
    if (st != WR_OK)
        return st;
    dec->payload = wr_alloc(wr_ltx_payload_max(dec->header.page_size));
    if (!dec->payload)
        return wr_fail(e, WR_NOMEM, "ltx decoder: out of memory");
    dec->lock_pgno = wr_ltx_lock_pgno(dec->header.page_size, dec->lock_offset);
    dec->crc = wr_crc64(0, head, sizeof(head));
    dec->state = PAGES;
    return WR_OK;
}

/* Note a failure with context. */
static enum wr_status broken(struct wr_ltx_dec *dec, enum wr_status st, struct wr_err *e)
{
    dec->state = BROKEN;
    return wr_wrap(e, st, "ltx %016llx-%016llx", (unsigned long long)dec->header.min_txid,
        (unsigned long long)dec->header.max_txid);
}

enum wr_status wr_ltx_dec_header(
    struct wr_ltx_dec *dec, struct wr_ltx_header *ret_header, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    if (dec->state == START)
        st = read_header(dec, e);
    else if (dec->state == BROKEN)
        return wr_fail(e, WR_MISUSE, "ltx decoder: used after a failure");
    if (st == WR_OK)
        *ret_header = dec->header;
    else
        dec->state = BROKEN;
    return st;
}

static enum wr_status check_pgno(const struct wr_ltx_dec *dec, uint32_t pgno, struct wr_err *e)
{
    if (pgno <= dec->pgno)
        return wr_fail(e, WR_CORRUPT, "page %u after page %u", (unsigned)pgno, (unsigned)dec->pgno);
    if (pgno > dec->header.commit)
        return wr_fail(e, WR_CORRUPT, "page %u is over the database's %u", (unsigned)pgno,
            (unsigned)dec->header.commit);
    if (pgno == dec->lock_pgno)
        return wr_fail(e, WR_CORRUPT, "page %u is the lock page", (unsigned)pgno);
    return WR_OK;
}

/* Add up the bytes that make a length longer, the last of which is not 255. */
static const uint8_t *lz4_length(const uint8_t *p, const uint8_t *end, size_t *length)
{
    uint8_t more = 255;

    for (; more == 255 && p < end; *length += more)
        more = *p++;
    return p;
}

/* Whether a match in an LZ4 block is at a distance of 0, with itself. That is malformed, and who
 * restores with Litestream is told so; but liblz4 takes it, and makes zeros of it, which they may
 * have been. A restore that proves its pages need not ask. */
static bool has_void_match(struct wr_bytes b)
{
    const uint8_t *p = b.p, *end = b.p + b.n;

    while (p < end) {
        unsigned token = *p++;
        size_t literals = token >> 4;

        if (literals == 15)
            p = lz4_length(p, end, &literals);
        if ((size_t)(end - p) < literals + 2)
            return false; /* the last one has none */
        p += literals + 2;
        if ((p[-2] | p[-1]) == 0)
            return true;
        if ((token & 15) == 15)
            p = lz4_length(p, end, &literals);
    }
    return false;
}

/* Read and expand the payload of the page whose header is `head`. */
static enum wr_status read_payload(
    struct wr_ltx_dec *dec, uint8_t head[WR_LTX_FRAME_HEAD_MAX], uint8_t *data, struct wr_err *e)
{
    size_t max = wr_ltx_payload_max(dec->header.page_size);
    struct wr_bytes p = {.p = dec->payload};
    unsigned flags = wr_be16(head + 4);
    enum wr_status st;

    dec->block_n = 0;
    if (flags == 0) {
        st = wr_ltx_lz4f_read(pull, dec, dec->payload, max, &p.n, e);
        return st == WR_OK ? wr_ltx_lz4f_decode(p, dec->header.page_size, data, e) : st;
    }
    if (flags != WR_LTX_FRAME_BLOCK)
        return wr_fail(e, WR_CORRUPT, "unknown page flags %04x", flags);
    st = pull(dec, head + WR_LTX_FRAME_HEAD, 4, e);
    if (st != WR_OK)
        return st;
    p.n = wr_be32(head + WR_LTX_FRAME_HEAD);
    if (p.n > max)
        return wr_fail(e, WR_CORRUPT, "compressed to %zu bytes", p.n);
    dec->crc = wr_crc64(dec->crc, head + WR_LTX_FRAME_HEAD, 4);
    st = pull(dec, dec->payload, p.n, e);
    if (st == WR_OK)
        st = wr_ltx_block_decode(p, dec->header.page_size, data, e);
    if (st == WR_OK && has_void_match(p))
        st = wr_fail(e, WR_CORRUPT, "malformed LZ4 block: a match with itself");
    if (st == WR_OK)
        dec->block_n = p.n;
    return st;
}

/* Count the index entry that the page just read should have. */
static void expect_entry(struct wr_ltx_dec *dec, uint32_t pgno, uint64_t off, uint64_t frame_size)
{
    uint8_t entry[3 * WR_VARINT_MAX];
    size_t n = wr_put_varint(entry, pgno);

    n += wr_put_varint(entry + n, off);
    n += wr_put_varint(entry + n, frame_size);
    dec->index_crc = wr_crc64(dec->index_crc, entry, n);
    dec->index_size += n;
}

static enum wr_status read_page(
    struct wr_ltx_dec *dec, uint8_t head[WR_LTX_FRAME_HEAD_MAX], uint8_t *data, struct wr_err *e)
{
    uint64_t off = dec->off - WR_LTX_FRAME_HEAD;
    uint32_t pgno = wr_be32(head);
    enum wr_status st = check_pgno(dec, pgno, e);

    if (st != WR_OK)
        return st;
    dec->crc = wr_crc64(dec->crc, head, WR_LTX_FRAME_HEAD);
    st = read_payload(dec, head, data, e);
    if (st != WR_OK)
        return wr_wrap(e, st, "page %u", (unsigned)pgno);
    dec->crc = wr_crc64(dec->crc, data, dec->header.page_size);
    if (dec->header.has_rolling && dec->header.min_txid == 1)
        dec->rolling = wr_ltx_rolling(
            dec->rolling, 0, wr_ltx_page_checksum(pgno, data, dec->header.page_size));
    expect_entry(dec, pgno, off, dec->off - off);
    dec->pgno = pgno;
    return WR_OK;
}

/* The index: entries as expected, a zero byte, the length of both. */
static enum wr_status read_index(struct wr_ltx_dec *dec, struct wr_err *e)
{
    uint8_t buf[4096], end[1 + 8] = {0};
    uint64_t crc = 0, left = dec->index_size;
    enum wr_status st;

    if (dec->size != 0 && dec->size - dec->off != dec->index_size + END_SIZE)
        return wr_fail(e, WR_CORRUPT, "%llu bytes after the pages, %llu expected",
            (unsigned long long)(dec->size - dec->off),
            (unsigned long long)(dec->index_size + END_SIZE));
    while (left > 0) {
        size_t n = left < sizeof(buf) ? (size_t)left : sizeof(buf);

        st = pull(dec, buf, n, e);
        if (st != WR_OK)
            return st;
        crc = wr_crc64(crc, buf, n);
        dec->crc = wr_crc64(dec->crc, buf, n);
        left -= n;
    }
    st = pull(dec, end, sizeof(end), e);
    if (st != WR_OK)
        return st;
    dec->crc = wr_crc64(dec->crc, end, sizeof(end));
    if (crc != dec->index_crc || end[0] != 0 || wr_be64(end + 1) != dec->index_size + 1)
        return wr_fail(e, WR_CORRUPT, "page index does not fit the pages");
    return WR_OK;
}

static enum wr_status read_end(struct wr_ltx_dec *dec, const uint8_t *mark, struct wr_err *e)
{
    uint8_t last[WR_LTX_TRAILER_SIZE] = {0};
    enum wr_status st;
    uint64_t sum;

    if (wr_be16(mark + 4) != 0)
        return wr_fail(e, WR_CORRUPT, "page 0");
    dec->crc = wr_crc64(dec->crc, mark, WR_LTX_FRAME_HEAD);
    st = read_index(dec, e);
    if (st == WR_OK)
        st = pull(dec, last, sizeof(last), e);
    if (st == WR_OK)
        st = wr_ltx_trailer_get(last, &dec->trailer, e);
    if (st != WR_OK)
        return st;
    sum = WR_LTX_CHECKSUM_EMPTY | wr_crc64(dec->crc, last, 8);
    if (sum != dec->trailer.file_checksum)
        return wr_fail(e, WR_CORRUPT, "file checksum is %016llx, the file says %016llx",
            (unsigned long long)sum, (unsigned long long)dec->trailer.file_checksum);
    if (dec->header.has_rolling && dec->header.min_txid == 1 &&
        dec->rolling != dec->header.rolling_post)
        return wr_fail(e, WR_CORRUPT, "the pages make checksum %016llx, the header says %016llx",
            (unsigned long long)dec->rolling, (unsigned long long)dec->header.rolling_post);
    return WR_OK;
}

enum wr_status wr_ltx_dec_page(
    struct wr_ltx_dec *dec, uint32_t *ret_pgno, uint8_t *data, struct wr_err *e)
{
    uint8_t head[WR_LTX_FRAME_HEAD_MAX] = {0};
    struct wr_ltx_header ignored;
    enum wr_status st;

    if (dec->state == DONE)
        return WR_NOTFOUND;
    st = wr_ltx_dec_header(dec, &ignored, e);
    if (st != WR_OK)
        return st;
    dec->block_n = 0;
    st = pull(dec, head, WR_LTX_FRAME_HEAD, e);
    if (st != WR_OK)
        return broken(dec, st, e);
    if (wr_be32(head) == 0) {
        st = read_end(dec, head, e);
        if (st != WR_OK)
            return broken(dec, st, e);
        dec->state = DONE;
        return WR_NOTFOUND;
    }
    st = read_page(dec, head, data, e);
    if (st != WR_OK)
        return broken(dec, st, e);
    *ret_pgno = dec->pgno;
    return WR_OK;
}

struct wr_bytes wr_ltx_dec_block(const struct wr_ltx_dec *dec)
{
    return (struct wr_bytes){dec->block_n ? dec->payload : NULL, dec->block_n};
}

struct wr_ltx_trailer wr_ltx_dec_trailer(const struct wr_ltx_dec *dec)
{
    assert(dec->state == DONE);
    return dec->trailer;
}
