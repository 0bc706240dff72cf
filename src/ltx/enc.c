/*
 * enc.c - the writer of LTX files.
 *
 * Order of the file: header, one frame a page (frame.c), 6 zero bytes, index (index.c), trailer.
 * The file checksum covers, in this order: the header; of every page its header and length and then
 * its contents, not the compressed form; the 6 zero bytes; the index with its length; the 8 bytes
 * of the post-apply checksum.
 *
 * The index comes last, so its entries are kept until then, as differences: page number from the
 * one before, and frame length. Offsets follow from the lengths. Two varints, about 3 bytes a page,
 * in chained chunks, because one growing array would be copied and for a moment held twice.
 *
 * It refuses to know what the pages mean and where the bytes go.
 */
#include "ltx/enc.h"

#include "base/bytes.h"
#include "base/crc64.h"
#include "base/mem.h"
#include "ltx/frame.h"
#include "ltx/pack.h"

enum {
    NOTE_MAX = 2 * WR_VARINT_MAX,  /* bytes of an entry in memory */
    ENTRY_MAX = 3 * WR_VARINT_MAX, /* bytes of an entry in the file */
    NOTES_SIZE = 16384,            /* of a chunk of entries */
};

struct notes {
    struct notes *next;
    size_t n;
    uint8_t p[NOTES_SIZE];
};

enum state {
    WRITING,
    FINISHED,
    BROKEN, /* something was refused or lost: whatever comes now cannot make a file */
};

struct wr_ltx_enc {
    struct wr_ltx_header header;
    uint32_t lock_pgno;
    wr_ltx_sink_fn *sink;
    void *arg;
    enum state state;
    uint32_t pgno; /* of the last page, 0: none */
    uint64_t crc;
    uint64_t rolling; /* of the pages so far; kept for a snapshot that claims one */
    uint64_t sent;    /* bytes the sink took */
    uint8_t *buf;
    size_t n, cap;
    void *scratch; /* of the compressor; NULL before the first page */
    struct notes *first, *last;
    size_t notes_size; /* bytes of all chunks */
};

static bool proves_rolling(const struct wr_ltx_header *h)
{
    return h->min_txid == 1 && h->has_rolling;
}

enum wr_status wr_ltx_enc_new(const struct wr_ltx_header *h, uint32_t lock_offset,
    wr_ltx_sink_fn *sink, void *arg, struct wr_ltx_enc **ret, struct wr_err *e)
{
    uint8_t head[WR_LTX_HEADER_SIZE];
    struct wr_ltx_enc *enc;
    enum wr_status st = wr_ltx_header_put(head, h, e);

    if (st != WR_OK)
        return st;
    enc = wr_alloc(sizeof(*enc));
    if (!enc)
        return wr_fail(e, WR_NOMEM, "ltx encoder: out of memory");
    enc->header = *h;
    enc->lock_pgno = wr_ltx_lock_pgno(h->page_size, lock_offset);
    enc->sink = sink;
    enc->arg = arg;
    enc->rolling = WR_LTX_CHECKSUM_EMPTY;
    /* wr_ltx_enc_copy is given blocks of a decoder's, which may be larger than ours. */
    enc->cap = WR_LTX_ENC_CHUNK + WR_LTX_FRAME_HEAD_MAX + wr_ltx_payload_max(h->page_size);
    enc->buf = wr_alloc(enc->cap);
    if (!enc->buf) {
        wr_ltx_enc_free(enc);
        return wr_fail(e, WR_NOMEM, "ltx encoder: out of memory");
    }
    memcpy(enc->buf, head, sizeof(head));
    enc->n = sizeof(head);
    enc->crc = wr_crc64(0, head, sizeof(head));
    *ret = enc;
    return WR_OK;
}

void wr_ltx_enc_free(struct wr_ltx_enc *enc)
{
    if (!enc)
        return;
    for (struct notes *c = enc->first, *next; c; c = next) {
        next = c->next;
        wr_free(c);
    }
    wr_free(enc->scratch);
    wr_free(enc->buf);
    wr_free(enc);
}

static enum wr_status flush(struct wr_ltx_enc *enc, struct wr_err *e)
{
    enum wr_status st = enc->sink(enc->arg, (struct wr_bytes){enc->buf, enc->n}, e);

    if (st == WR_OK) {
        enc->sent += enc->n;
        enc->n = 0;
    }
    return st;
}

/* Send what is there once it makes a chunk; afterwards a frame, or an entry, has room. */
static enum wr_status flush_full(struct wr_ltx_enc *enc, struct wr_err *e)
{
    return enc->n >= WR_LTX_ENC_CHUNK ? flush(enc, e) : WR_OK;
}

static enum wr_status note(
    struct wr_ltx_enc *enc, uint32_t pgno, size_t frame_size, struct wr_err *e)
{
    struct notes *c = enc->last;

    if (!c || NOTES_SIZE - c->n < NOTE_MAX) {
        if (enc->notes_size + sizeof(*c) > WR_LTX_ENC_INDEX_MAX)
            return wr_fail(e, WR_LIMIT, "ltx encoder: index over %zu bytes", WR_LTX_ENC_INDEX_MAX);
        c = wr_alloc(sizeof(*c));
        if (!c)
            return wr_fail(e, WR_NOMEM, "ltx encoder: out of memory");
        if (enc->last)
            enc->last->next = c;
        else
            enc->first = c;
        enc->last = c;
        enc->notes_size += sizeof(*c);
    }
    c->n += wr_put_varint(c->p + c->n, pgno - enc->pgno);
    c->n += wr_put_varint(c->p + c->n, frame_size);
    enc->pgno = pgno;
    return WR_OK;
}

static enum wr_status check_page(const struct wr_ltx_enc *enc, uint32_t pgno, struct wr_err *e)
{
    uint32_t after = enc->pgno + 1;

    if (pgno > enc->header.commit)
        return wr_fail(e, WR_CORRUPT, "ltx encoder: page %u is over the database's %u",
            (unsigned)pgno, (unsigned)enc->header.commit);
    if (pgno == enc->lock_pgno)
        return wr_fail(e, WR_CORRUPT, "ltx encoder: page %u is the lock page", (unsigned)pgno);
    if (pgno <= enc->pgno)
        return wr_fail(e, WR_CORRUPT, "ltx encoder: page %u after page %u", (unsigned)pgno,
            (unsigned)enc->pgno);
    if (after == enc->lock_pgno)
        after++;
    if (enc->header.min_txid == 1 && pgno != after)
        return wr_fail(e, WR_CORRUPT, "ltx encoder: snapshot lacks page %u, before page %u",
            (unsigned)after, (unsigned)pgno);
    return WR_OK;
}

/* Note the frame that stands at enc->n, and the page that is in it. */
static enum wr_status add_frame(
    struct wr_ltx_enc *enc, uint32_t pgno, size_t size, const uint8_t *data, struct wr_err *e)
{
    enum wr_status st = note(enc, pgno, size, e);

    if (st != WR_OK)
        return st;
    enc->crc = wr_crc64(enc->crc, enc->buf + enc->n, WR_LTX_FRAME_HEAD_MAX);
    enc->crc = wr_crc64(enc->crc, data, enc->header.page_size);
    enc->n += size;
    if (proves_rolling(&enc->header))
        enc->rolling = wr_ltx_rolling(
            enc->rolling, 0, wr_ltx_page_checksum(pgno, data, enc->header.page_size));
    return flush_full(enc, e);
}

static enum wr_status begin(struct wr_ltx_enc *enc, struct wr_err *e)
{
    if (enc->state != WRITING)
        return wr_fail(e, WR_MISUSE, "ltx encoder: used after its end");
    return WR_OK;
}

static enum wr_status end(struct wr_ltx_enc *enc, enum wr_status st)
{
    if (st != WR_OK)
        enc->state = BROKEN;
    return st;
}

enum wr_status wr_ltx_enc_page(
    struct wr_ltx_enc *enc, uint32_t pgno, const uint8_t *data, struct wr_err *e)
{
    uint32_t page_size = enc->header.page_size;
    enum wr_status st = begin(enc, e);
    size_t n;

    if (st == WR_OK)
        st = check_page(enc, pgno, e);
    if (st == WR_OK && !enc->scratch && !(enc->scratch = wr_alloc(wr_ltx_frame_scratch())))
        st = wr_fail(e, WR_NOMEM, "ltx encoder: out of memory");
    if (st != WR_OK)
        return end(enc, st);
    assert(enc->cap - enc->n >= wr_ltx_frame_max(page_size));
    n = wr_ltx_frame_put(enc->buf + enc->n, pgno, data, page_size, enc->scratch);
    return end(enc, add_frame(enc, pgno, n, data, e));
}

enum wr_status wr_ltx_enc_copy(struct wr_ltx_enc *enc, uint32_t pgno, struct wr_bytes block,
    const uint8_t *data, struct wr_err *e)
{
    enum wr_status st = begin(enc, e);

    assert(block.n > 0 && block.n <= wr_ltx_payload_max(enc->header.page_size));
    if (st == WR_OK)
        st = check_page(enc, pgno, e);
    if (st != WR_OK)
        return end(enc, st);
    wr_ltx_frame_head_put(enc->buf + enc->n, pgno, block.n);
    memcpy(enc->buf + enc->n + WR_LTX_FRAME_HEAD_MAX, block.p, block.n);
    return end(enc, add_frame(enc, pgno, WR_LTX_FRAME_HEAD_MAX + block.n, data, e));
}

/* What makes a chunk by itself is not copied. */
static enum wr_status put(struct wr_ltx_enc *enc, struct wr_bytes b, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    while (b.n > 0 && st == WR_OK) {
        bool whole = enc->n == 0 && b.n >= WR_LTX_ENC_CHUNK;
        size_t n = whole ? b.n : wr_min(b.n, WR_LTX_ENC_CHUNK - enc->n);

        if (whole) {
            st = enc->sink(enc->arg, b, e);
            enc->sent += st == WR_OK ? n : 0;
        } else {
            memcpy(enc->buf + enc->n, b.p, n);
            enc->n += n;
            st = flush_full(enc, e);
        }
        b = (struct wr_bytes){b.p + n, b.n - n};
    }
    return st;
}

enum wr_status wr_ltx_enc_pack(
    struct wr_ltx_enc *enc, const struct wr_ltx_pack *p, struct wr_err *e)
{
    enum wr_status st = begin(enc, e);

    assert(p->page_size == enc->header.page_size);
    for (uint32_t i = 0; i < p->n && st == WR_OK; i++) {
        if (p->pgno[i] == 0)
            continue;
        st = check_page(enc, p->pgno[i], e);
        if (st == WR_OK)
            st = note(enc, p->pgno[i], p->sizes[i], e);
    }
    if (st != WR_OK)
        return end(enc, st);
    enc->crc = wr_crc64_combine(enc->crc, p->crc, p->covered);
    enc->rolling = wr_ltx_rolling(enc->rolling, 0, p->sum);
    return end(enc, put(enc, p->bytes, e));
}

/* Append bytes of the end of the file; they count for the checksum and for `*size`. */
static enum wr_status append(
    struct wr_ltx_enc *enc, const void *p, size_t n, uint64_t *size, struct wr_err *e)
{
    assert(n <= enc->cap - enc->n);
    memcpy(enc->buf + enc->n, p, n);
    enc->n += n;
    enc->crc = wr_crc64(enc->crc, p, n);
    *size += n;
    return flush_full(enc, e);
}

static enum wr_status append_entries(struct wr_ltx_enc *enc, uint64_t *size, struct wr_err *e)
{
    uint64_t pgno = 0, off = WR_LTX_HEADER_SIZE;

    for (const struct notes *c = enc->first; c; c = c->next) {
        for (size_t at = 0; at < c->n;) {
            uint8_t entry[ENTRY_MAX];
            uint64_t step = 0, frame_size = 0;
            enum wr_status st;
            size_t n;

            at += wr_get_varint(c->p + at, c->n - at, &step);
            at += wr_get_varint(c->p + at, c->n - at, &frame_size);
            assert(step > 0 && frame_size > WR_LTX_FRAME_HEAD_MAX);
            pgno += step;
            n = wr_put_varint(entry, pgno);
            n += wr_put_varint(entry + n, off);
            n += wr_put_varint(entry + n, frame_size);
            off += frame_size;
            st = append(enc, entry, n, size, e);
            if (st != WR_OK)
                return st;
        }
    }
    return WR_OK;
}

/* End mark, index, trailer. */
static enum wr_status append_end(
    struct wr_ltx_enc *enc, struct wr_ltx_trailer *trailer, struct wr_err *e)
{
    static const uint8_t ZERO[8] = {0};
    uint8_t size_be[8], last[WR_LTX_TRAILER_SIZE];
    uint64_t other = 0, size = 0;
    enum wr_status st = append(enc, ZERO, WR_LTX_FRAME_HEAD, &other, e);

    if (st == WR_OK)
        st = append_entries(enc, &size, e);
    if (st == WR_OK)
        st = append(enc, ZERO, 1, &size, e);
    if (st != WR_OK)
        return st;
    wr_put_be64(size_be, size);
    st = append(enc, size_be, sizeof(size_be), &other, e);
    if (st != WR_OK)
        return st;
    enc->crc = wr_crc64(enc->crc, ZERO, sizeof(ZERO)); /* the post-apply checksum */
    trailer->file_checksum = WR_LTX_CHECKSUM_EMPTY | enc->crc;
    wr_ltx_trailer_put(last, trailer);
    memcpy(enc->buf + enc->n, last, sizeof(last));
    enc->n += sizeof(last);
    return flush(enc, e);
}

static enum wr_status check_complete(const struct wr_ltx_enc *enc, struct wr_err *e)
{
    uint32_t last = enc->header.commit;

    if (enc->header.min_txid != 1)
        return WR_OK;
    if (last == enc->lock_pgno)
        last--;
    if (enc->pgno != last)
        return wr_fail(e, WR_CORRUPT, "ltx encoder: snapshot ends at page %u of %u",
            (unsigned)enc->pgno, (unsigned)enc->header.commit);
    if (proves_rolling(&enc->header) && enc->rolling != enc->header.rolling_post)
        return wr_fail(e, WR_CORRUPT,
            "ltx encoder: the pages make checksum %016llx, the header says %016llx",
            (unsigned long long)enc->rolling, (unsigned long long)enc->header.rolling_post);
    return WR_OK;
}

enum wr_status wr_ltx_enc_finish(struct wr_ltx_enc *enc, struct wr_ltx_trailer *ret_trailer,
    uint64_t *ret_size, struct wr_err *e)
{
    struct wr_ltx_trailer trailer = {0};
    enum wr_status st = begin(enc, e);

    if (st == WR_OK)
        st = check_complete(enc, e);
    if (st == WR_OK)
        st = append_end(enc, &trailer, e);
    if (st != WR_OK)
        return end(enc, st);
    enc->state = FINISHED;
    *ret_trailer = trailer;
    *ret_size = enc->sent;
    return WR_OK;
}

/* CRCs are linear: what the header changes is moved over all that is covered behind it. */
void wr_ltx_enc_amend(uint8_t *file, size_t size, uint64_t pages, uint64_t rolling_post,
    struct wr_ltx_trailer *ret_trailer)
{
    uint8_t *last = file + size - WR_LTX_TRAILER_SIZE;
    uint64_t was = wr_crc64(0, file, WR_LTX_HEADER_SIZE), covered;
    struct wr_ltx_header h = {0};
    struct wr_ltx_trailer t = {0};
    bool good =
        wr_ltx_header_get(file, &h, NULL) == WR_OK && wr_ltx_trailer_get(last, &t, NULL) == WR_OK;

    assert(good && h.has_rolling && h.min_txid > 1);
    h.rolling_post = rolling_post;
    good = good && wr_ltx_header_put(file, &h, NULL) == WR_OK;
    assert(good);
    covered = pages * (WR_LTX_FRAME_HEAD_MAX + (uint64_t)h.page_size) + WR_LTX_FRAME_HEAD +
              wr_be64(last - sizeof(uint64_t)) + 2 * sizeof(uint64_t);
    t.file_checksum ^= wr_crc64_combine(was ^ wr_crc64(0, file, WR_LTX_HEADER_SIZE), 0, covered);
    t.file_checksum |= WR_LTX_CHECKSUM_EMPTY;
    wr_ltx_trailer_put(last, &t);
    *ret_trailer = t;
}
