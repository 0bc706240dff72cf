/*
 * fuzz_ltx.c - any bytes as an LTX file: decoded from the front, and from the end by its index; and
 * repaired first, so that no checksum stops a mutator: as far as its pages expand they are kept,
 * and index, rolling checksum and file checksum are made to fit them.
 *
 * Beyond not crashing: of a file that decodes, the index leads to as many pages; and its pages can
 * be encoded again, unless it is a snapshot with holes or one cut short. A repaired file decodes,
 * unless its page numbers break a rule. A merge of one file is as long as it says.
 *
 * The seeds are test/data/ltx.
 */
#include "base/bytes.h"
#include "base/crc64.h"
#include "base/mem.h"
#include "fuzz/fuzz.h"
#include "harness/ltx_util.h"
#include "ltx/frame.h"
#include "ltx/index.h"
#include "ltx/lz4f.h"
#include "ltx/merge.h"

enum {
    LOCK_OFFSET = 65536
};

static enum wr_status swallow(void *arg, struct wr_bytes p, struct wr_err *e)
{
    (void)e;
    *(uint64_t *)arg += p.n;
    return WR_OK;
}

/* Pages by index; their count, or SIZE_MAX for a bad index. `h` NULL: without knowing the header.
 */
static size_t by_index(struct wr_bytes file, const struct wr_ltx_header *h)
{
    size_t tail = wr_min(file.n, (size_t)WR_LTX_TAIL_MIN), n = 0;
    static uint8_t page[WR_LTX_PAGE_SIZE_MAX];
    struct wr_ltx_entry entry;
    struct wr_ltx_index x;
    uint64_t off, size;
    enum wr_status st;

    if (wr_ltx_index_locate(
            (struct wr_bytes){file.p + file.n - tail, tail}, file.n, &off, &size, NULL) != WR_OK)
        return SIZE_MAX;
    wr_ltx_index_init(&x, (struct wr_bytes){file.p + off, (size_t)size}, off, h, LOCK_OFFSET);
    while ((st = wr_ltx_index_next(&x, &entry, NULL)) == WR_OK) {
        struct wr_bytes f = {file.p + entry.offset, entry.length};

        if (wr_ltx_frame_decode(f, h ? h->page_size : 4096, entry.pgno, page, NULL) == WR_OK)
            n++;
    }
    return st == WR_NOTFOUND ? n : SIZE_MAX;
}

/* Decode the file, encoding its pages again as they come. */
static size_t by_stream(
    struct wr_bytes file, bool sized, struct wr_ltx_header *h, enum wr_status *ret)
{
    struct t_ltx_in in = {.file = file};
    struct wr_ltx_trailer trailer;
    struct wr_ltx_dec *dec = NULL;
    struct wr_ltx_enc *enc = NULL;
    uint64_t sent = 0, size = 0;
    uint8_t *page = NULL;
    uint32_t pgno;
    size_t n = 0;
    bool whole = false;
    enum wr_status st =
        wr_ltx_dec_new(t_ltx_source, &in, sized ? file.n : 0, LOCK_OFFSET, &dec, NULL);

    if (st == WR_OK)
        st = wr_ltx_dec_header(dec, h, NULL);
    if (st == WR_OK) {
        page = wr_alloc(h->page_size);
        whole = wr_ltx_enc_new(h, LOCK_OFFSET, swallow, &sent, &enc, NULL) == WR_OK;
        HOLDS(page && whole);
    }
    while (st == WR_OK) {
        st = wr_ltx_dec_page(dec, &pgno, page, NULL);
        n += st == WR_OK;
        if (st == WR_OK && whole && wr_ltx_enc_page(enc, pgno, page, NULL) != WR_OK)
            whole = false; /* a snapshot with holes, which only the encoder refuses */
    }
    HOLDS(st == WR_NOTFOUND || st == WR_CORRUPT);
    if (st == WR_NOTFOUND && whole) {
        whole = wr_ltx_enc_finish(enc, &trailer, &size, NULL) == WR_OK;
        HOLDS(!whole || size == sent);
        HOLDS(whole || h->min_txid == 1);
    }
    wr_free(page);
    wr_ltx_enc_free(enc);
    wr_ltx_dec_free(dec);
    *ret = st;
    return n;
}

static void merge_alone(struct wr_bytes file)
{
    struct t_ltx_in in = {.file = file};
    struct wr_ltx_trailer trailer;
    struct wr_ltx_merge *m = NULL;
    struct wr_ltx_dec *dec = NULL;
    uint64_t sent = 0, size = 0;

    if (wr_ltx_dec_new(t_ltx_source, &in, file.n, LOCK_OFFSET, &dec, NULL) != WR_OK)
        return;
    if (wr_ltx_merge_new(&dec, 1, LOCK_OFFSET, &m, NULL) == WR_OK &&
        wr_ltx_merge_write(m, swallow, &sent, &trailer, &size, NULL) == WR_OK)
        HOLDS(size == sent);
    wr_ltx_merge_free(m);
    wr_ltx_dec_free(dec);
}

/* A file under repair. */
struct repair {
    struct wr_ltx_header h;
    struct wr_buf out, index;
    uint64_t crc, rolling;
    uint32_t pgno; /* of the last page */
    bool rules;    /* page numbers and matches are as they should be */
};

/* Whether an LZ4 block, which expands, has a match at a distance of 0: liblz4 makes zeros of it,
 * and the decoder of whole files refuses it. */
static bool has_void_match(struct wr_bytes block)
{
    size_t at = 0;

    while (at < block.n) {
        unsigned token = block.p[at++];
        size_t literals = token >> 4;
        uint8_t more = literals == 15 ? 255 : 0;

        for (; more == 255; literals += more)
            more = block.p[at++];
        at += literals;
        if (at == block.n)
            return false; /* it ends with literals */
        if (block.p[at] == 0 && block.p[at + 1] == 0)
            return true;
        at += 2;
        if ((token & 15) == 15) {
            while (block.p[at++] == 255)
                continue;
        }
    }
    return false;
}

/* Keep the frame at the front of *in, if its page expands. */
static bool repair_page(struct repair *r, struct t_ltx_in *in)
{
    static uint8_t page[WR_LTX_PAGE_SIZE_MAX], frame[2 * WR_LTX_PAGE_SIZE_MAX];
    struct wr_bytes rest = {in->file.p + in->at, in->file.n - in->at};
    size_t head = WR_LTX_FRAME_HEAD, n = 0;
    uint8_t entry[3 * WR_VARINT_MAX];
    uint32_t pgno;
    bool ok;

    if (rest.n < WR_LTX_FRAME_HEAD_MAX || wr_be32(rest.p) == 0)
        return false;
    pgno = wr_be32(rest.p);
    if (wr_be16(rest.p + 4) == WR_LTX_FRAME_BLOCK) {
        head = WR_LTX_FRAME_HEAD_MAX;
        n = wr_be32(rest.p + WR_LTX_FRAME_HEAD);
        ok = n <= rest.n - head && n <= wr_ltx_payload_max(r->h.page_size) &&
             wr_ltx_block_decode((struct wr_bytes){rest.p + head, n}, r->h.page_size, page, NULL) ==
                 WR_OK;
        r->rules = r->rules && !(ok && has_void_match((struct wr_bytes){rest.p + head, n}));
    } else {
        struct t_ltx_in payload = {.file = {rest.p + head, rest.n - head}};

        ok = wr_be16(rest.p + 4) == 0 &&
             wr_ltx_lz4f_read(t_ltx_source, &payload, frame, wr_ltx_payload_max(r->h.page_size), &n,
                 NULL) == WR_OK &&
             wr_ltx_lz4f_decode((struct wr_bytes){frame, n}, r->h.page_size, page, NULL) == WR_OK;
    }
    if (!ok)
        return false;
    r->rules = r->rules && pgno > r->pgno && pgno <= r->h.commit &&
               pgno != wr_ltx_lock_pgno(r->h.page_size, LOCK_OFFSET);
    r->pgno = pgno;
    r->crc = wr_crc64(wr_crc64(r->crc, rest.p, head), page, r->h.page_size);
    r->rolling = wr_ltx_rolling(r->rolling, 0, wr_ltx_page_checksum(pgno, page, r->h.page_size));
    wr_buf_put(&r->index, entry, wr_put_varint(entry, pgno));
    wr_buf_put(&r->index, entry, wr_put_varint(entry, r->out.n));
    wr_buf_put(&r->index, entry, wr_put_varint(entry, head + n));
    wr_buf_put(&r->out, rest.p, head + n);
    in->at += head + n;
    return true;
}

/* End mark, index, trailer. */
static void repair_end(struct repair *r)
{
    struct wr_ltx_trailer trailer;
    uint8_t last[WR_LTX_TRAILER_SIZE], end[9] = {0};
    size_t at = r->out.n;

    wr_put_be64(end + 1, r->index.n + 1);
    wr_buf_put(&r->out, "\0\0\0\0\0\0", WR_LTX_FRAME_HEAD);
    wr_buf_put(&r->out, r->index.p, r->index.n);
    wr_buf_put(&r->out, end, sizeof(end));
    wr_buf_put(&r->out, "\0\0\0\0\0\0\0\0", 8);
    HOLDS(wr_buf_status(&r->out) == WR_OK);
    trailer.file_checksum = wr_crc64(r->crc, r->out.p + at, r->out.n - at) | WR_LTX_CHECKSUM_EMPTY;
    wr_ltx_trailer_put(last, &trailer);
    wr_buf_put(&r->out, last + 8, 8);
    HOLDS(wr_buf_status(&r->out) == WR_OK && wr_buf_status(&r->index) == WR_OK);
}

/* Two passes: the header, which comes first, has the checksum of all pages. False: no header. */
static bool repair(struct repair *r, struct wr_bytes file)
{
    uint8_t head[WR_LTX_HEADER_SIZE];

    wr_buf_init(&r->out, (size_t)1 << 20);
    wr_buf_init(&r->index, (size_t)1 << 20);
    if (file.n < sizeof(head) || wr_ltx_header_get(file.p, &r->h, NULL) != WR_OK)
        return false;
    for (int pass = 0; pass < 2; pass++) {
        struct t_ltx_in in = {.file = file, .at = sizeof(head)};

        HOLDS(wr_ltx_header_put(head, &r->h, NULL) == WR_OK);
        r->rules = true;
        r->pgno = 0;
        r->rolling = WR_LTX_CHECKSUM_EMPTY;
        r->crc = wr_crc64(0, head, sizeof(head));
        wr_buf_clear(&r->out);
        wr_buf_clear(&r->index);
        wr_buf_put(&r->out, head, sizeof(head));
        while (repair_page(r, &in))
            continue;
        if (r->h.min_txid == 1)
            r->h.rolling_post = r->rolling;
    }
    repair_end(r);
    return true;
}

static enum wr_status whole(struct wr_bytes file)
{
    struct wr_ltx_header h = {0};
    enum wr_status st, unsized;
    size_t n = by_stream(file, file.n > 0, &h, &st);

    if (st == WR_NOTFOUND)
        HOLDS(by_index(file, &h) == n);
    (void)by_stream(file, false, &h, &unsized);
    HOLDS(st != WR_NOTFOUND || unsized == WR_NOTFOUND);
    (void)by_index(file, NULL);
    merge_alone(file);
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wr_bytes file = {data, size};
    struct repair r = {.pgno = 0};
    enum wr_status st = whole(file);

    if (repair(&r, file)) {
        st = whole(wr_buf_bytes(&r.out));
        HOLDS(st == (r.rules ? WR_NOTFOUND : WR_CORRUPT));
    }
    wr_buf_release(&r.out);
    wr_buf_release(&r.index);
    return 0;
}
