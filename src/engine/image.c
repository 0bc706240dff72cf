/*
 * image.c - pieces: runs of frames that lie close together in one file.
 *
 * The frames of a file are ascending by page and by offset, so the ones wanted next are mostly
 * neighbours. A piece is one request: frames whose bytes fit a window, over gaps that are cheaper
 * to read than to skip. Its pages are decoded into a run of consecutive pages and written at once.
 *
 * Each frame is hashed as it passes. A file that is read whole is proven by joining the checksums
 * of its header, its pieces and its end: CRCs of parts combine, so the order in which threads
 * finish does not matter. The image is proven by XOR of its pages' checksums, for which the order
 * does not matter either.
 */
#include "engine/image.h"

#include "base/bytes.h"
#include "base/crc64.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/sync.h"
#include "engine/crew.h"
#include "engine/inputs.h"
#include "engine/restore.h"
#include "ltx/frame.h"
#include "storage/storage.h"

/* One request. Larger ones gain nothing from 100 MB/s at 20 ms on; they cost memory a thread. */
#define WINDOW ((uint64_t)2 << 20)
/* Bytes that are read rather than skipped: at 50 MB/s they take less than a request's latency. */
#define GAP ((uint64_t)64 << 10)
/* Pages written at once. */
#define RUN ((size_t)512 << 10)

#define PROGRESS_MS 200

struct piece {
    size_t input;
    size_t first, n; /* refs of that input */
    uint64_t crc;    /* of what the file's checksum covers of the frames, once done */
    uint64_t hashed; /* bytes in it */
};

/* owned by one worker */
struct hand {
    uint8_t *window;  /* WINDOW bytes */
    uint8_t *run;     /* RUN bytes and one page more, for a frame that only needs to be hashed */
    size_t filled;    /* bytes in `run` */
    uint32_t pgno;    /* of the first page in it */
    uint64_t rolling; /* of the pages this worker wrote, without the bit all checksums have */
    uint64_t pages;
};

struct image {
    struct wr_storage *storage;
    const struct wr_inputs *x;
    const struct wr_restore_opts *opts;
    struct wr_file *out;
    struct piece *pieces;
    size_t n;
    struct hand *hands; /* one a worker */
    uint64_t bytes_total;
    struct wr_mutex mutex;
    uint64_t bytes_done, pages; /* guarded by mutex */
    int64_t told_ms;            /* owned by the caller's thread; when progress was last told */
};

static uint64_t ref_end(const struct wr_ref *r)
{
    return r->off + wr_ref_length(r);
}

/* How many refs of `in` from `first` on make one piece. */
static size_t piece_length(const struct wr_input *in, size_t first)
{
    uint64_t start = in->refs[first].off;
    size_t n = 1;

    assert(wr_ref_length(&in->refs[first]) <= WINDOW);
    while (first + n < in->n && ref_end(&in->refs[first + n]) - start <= WINDOW &&
           in->refs[first + n].off - ref_end(&in->refs[first + n - 1]) <= GAP)
        n++;
    return n;
}

/* Fill `out`, if not NULL, with the pieces; their number. */
static size_t cut(const struct wr_inputs *x, struct piece *out, uint64_t *ret_bytes)
{
    size_t n = 0;
    uint64_t bytes = 0;

    for (size_t i = 0; i < x->n; i++) {
        const struct wr_input *in = &x->in[i];

        for (size_t k = 0; k < in->n;) {
            size_t len = piece_length(in, k);

            if (out)
                out[n] = (struct piece){.input = i, .first = k, .n = len};
            bytes += ref_end(&in->refs[k + len - 1]) - in->refs[k].off;
            n++;
            k += len;
        }
    }
    *ret_bytes = bytes;
    return n;
}

static enum wr_status flush(struct image *m, struct hand *h, struct wr_err *e)
{
    uint64_t off = (uint64_t)(h->pgno - 1) * m->x->page_size;
    enum wr_status st;

    if (h->filled == 0)
        return WR_OK;
    st = wr_file_pwrite(m->out, h->run, h->filled, off, e);
    if (st != WR_OK)
        return wr_wrap(e, st, "write page %u", h->pgno);
    /* Let the disk begin, so that the sync at the end does not have it all to do. */
    m->out->fs->flush_hint(m->out, off, h->filled);
    h->pages += h->filled / m->x->page_size;
    h->filled = 0;
    return WR_OK;
}

/* Where in the run page `pgno` is to be decoded to, after making it the next one. */
static enum wr_status next_slot(
    struct image *m, struct hand *h, uint32_t pgno, uint8_t **ret, struct wr_err *e)
{
    uint32_t page_size = m->x->page_size;

    if (h->filled && (h->filled + page_size > RUN || pgno != h->pgno + h->filled / page_size)) {
        enum wr_status st = flush(m, h, e);

        if (st != WR_OK)
            return st;
    }
    if (h->filled == 0)
        h->pgno = pgno;
    *ret = h->run + h->filled;
    return WR_OK;
}

static enum wr_status do_frame(struct image *m, struct hand *h, struct piece *p,
    const struct wr_ref *r, const uint8_t *frame, struct wr_err *e)
{
    const struct wr_input *in = &m->x->in[p->input];
    uint32_t page_size = m->x->page_size;
    bool wins = r->length & WR_REF_WINS;
    uint8_t *page = h->run + RUN;
    enum wr_status st;

    if (wins) {
        st = next_slot(m, h, r->pgno, &page, e);
        if (st != WR_OK)
            return st;
    }
    st = wr_ltx_frame_decode(
        (struct wr_bytes){frame, wr_ref_length(r)}, page_size, r->pgno, page, e);
    if (st != WR_OK)
        return wr_wrap(e, st, "page %u at byte %llu", r->pgno, (unsigned long long)r->off);
    if (in->whole) {
        bool block = wr_be16(frame + 4) & WR_LTX_FRAME_BLOCK;
        size_t head = block ? WR_LTX_FRAME_HEAD_MAX : WR_LTX_FRAME_HEAD;

        p->crc = wr_crc64(wr_crc64(p->crc, frame, head), page, page_size);
        p->hashed += head + page_size;
    }
    if (!wins)
        return WR_OK;
    if (m->x->has_rolling)
        h->rolling ^= wr_ltx_page_checksum(r->pgno, page, page_size) & ~WR_LTX_CHECKSUM_EMPTY;
    h->filled += page_size;
    return WR_OK;
}

static enum wr_status hand_init(struct image *m, struct hand *h, struct wr_err *e)
{
    if (!h->window)
        h->window = wr_alloc((size_t)WINDOW);
    if (!h->run)
        h->run = wr_alloc(RUN + m->x->page_size);
    if (!h->window || !h->run)
        return wr_fail(e, WR_NOMEM, "restore buffers: out of memory");
    return WR_OK;
}

static void tell(struct image *m, const struct wr_call *c, bool last)
{
    struct wr_restore_progress p = {.phase = WR_RESTORE_FETCHING,
        .bytes_total = m->bytes_total,
        .files = m->x->n,
        .files_total = m->x->n};
    int64_t now = wr_mono_ms(c->clock);

    if (!m->opts->progress || (!last && now - m->told_ms < PROGRESS_MS))
        return;
    m->told_ms = now;
    wr_mutex_lock(&m->mutex);
    p.bytes_done = m->bytes_done;
    p.pages = m->pages;
    wr_mutex_unlock(&m->mutex);
    m->opts->progress(m->opts->progress_arg, &p);
}

static enum wr_status do_piece(void *arg, unsigned w, size_t i, struct wr_call *c, struct wr_err *e)
{
    struct image *m = arg;
    struct hand *h = &m->hands[w];
    struct piece *p = &m->pieces[i];
    const struct wr_input *in = &m->x->in[p->input];
    const struct wr_ref *refs = &in->refs[p->first];
    uint64_t start = refs[0].off;
    size_t size = (size_t)(ref_end(&refs[p->n - 1]) - start);
    const uint8_t *bytes = in->bytes ? in->bytes + start : NULL;
    uint64_t before = h->pages;
    enum wr_status st = hand_init(m, h, e);

    if (st == WR_OK && !bytes) {
        st = wr_input_read(m->storage, c, in->file, start, h->window, size, e);
        bytes = h->window;
    }
    for (size_t k = 0; st == WR_OK && k < p->n; k++)
        st = do_frame(m, h, p, &refs[k], bytes + (refs[k].off - start), e);
    if (st == WR_OK)
        st = flush(m, h, e);
    if (st != WR_OK) {
        char name[WR_LTX_NAME_MAX];

        wr_ltx_name_format(name, in->file->min, in->file->max);
        return wr_wrap(e, st, "level %u file %s", in->file->level, name);
    }
    wr_mutex_lock(&m->mutex);
    m->bytes_done += size;
    m->pages += h->pages - before;
    wr_mutex_unlock(&m->mutex);
    if (w == 0)
        tell(m, c, false);
    return WR_OK;
}

/* The checksums of the files that were read whole. */
static enum wr_status prove_files(const struct image *m, struct wr_err *e)
{
    size_t k = 0;

    for (size_t i = 0; i < m->x->n; i++) {
        const struct wr_input *in = &m->x->in[i];
        uint64_t crc = in->head_crc;

        for (; k < m->n && m->pieces[k].input == i; k++)
            crc = wr_crc64_combine(crc, m->pieces[k].crc, m->pieces[k].hashed);
        crc = wr_crc64_combine(crc, in->tail_crc, in->tail_size);
        if (in->whole && (crc | WR_LTX_CHECKSUM_EMPTY) != in->file_checksum) {
            char name[WR_LTX_NAME_MAX];

            wr_ltx_name_format(name, in->file->min, in->file->max);
            return wr_fail(
                e, WR_CORRUPT, "level %u file %s: file checksum mismatch", in->file->level, name);
        }
    }
    return WR_OK;
}

/* The checksum of the whole image. */
static enum wr_status prove_image(const struct image *m, struct wr_err *e)
{
    const struct wr_ltx_file *last = m->x->in[m->x->n - 1].file;
    uint64_t rolling = WR_LTX_CHECKSUM_EMPTY;
    char name[WR_LTX_NAME_MAX];

    if (!m->x->has_rolling)
        return WR_OK;
    for (unsigned w = 0; w < m->opts->parallel; w++)
        rolling ^= m->hands[w].rolling;
    if (rolling == m->x->rolling_post)
        return WR_OK;
    wr_ltx_name_format(name, last->min, last->max);
    return wr_fail(e, WR_CORRUPT,
        "database checksum %016llx is not the %016llx that level %u file %s records",
        (unsigned long long)rolling, (unsigned long long)m->x->rolling_post, last->level, name);
}

static enum wr_status image_init(struct image *m, struct wr_err *e)
{
    m->n = cut(m->x, NULL, &m->bytes_total);
    m->pieces = wr_array(m->n, sizeof(*m->pieces));
    m->hands = wr_array(m->opts->parallel, sizeof(*m->hands));
    if (!m->pieces || !m->hands)
        return wr_fail(e, WR_NOMEM, "restore in %zu pieces: out of memory", m->n);
    (void)cut(m->x, m->pieces, &m->bytes_total); /* as many as counted above */
    return WR_OK;
}

static void image_release(struct image *m)
{
    for (unsigned w = 0; m->hands && w < m->opts->parallel; w++) {
        wr_free(m->hands[w].window);
        wr_free(m->hands[w].run);
    }
    wr_free(m->hands);
    wr_free(m->pieces);
}

enum wr_status wr_image_write(struct wr_storage *s, struct wr_call *c, const struct wr_inputs *x,
    const struct wr_restore_opts *opts, struct wr_file *out, uint64_t *ret_bytes, struct wr_err *e)
{
    struct image m = {.storage = s, .x = x, .opts = opts, .out = out};
    enum wr_status st;

    assert(opts->parallel >= 1 && x->n > 0);
    wr_mutex_init(&m.mutex);
    st = image_init(&m, e);
    /* The lock page, which no file has, is the hole that this leaves. */
    if (st == WR_OK)
        st = wr_file_truncate(out, (uint64_t)x->commit * x->page_size, e);
    if (st == WR_OK)
        st = wr_crew_run(c, opts->parallel, m.n, "restore", do_piece, &m, e);
    if (st == WR_OK)
        st = prove_files(&m, e);
    if (st == WR_OK)
        st = prove_image(&m, e);
    if (st == WR_OK) {
        tell(&m, c, true);
        *ret_bytes = m.bytes_done;
    }
    image_release(&m);
    wr_mutex_release(&m.mutex);
    return st;
}
