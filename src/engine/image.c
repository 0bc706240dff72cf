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
 *
 * Of a piece, what an earlier run has written is read from the draft instead: page and frame
 * header, which is all that checksums cover, are known then. So nothing is taken on trust: a page
 * that is not what it should be is noticed by its entry in the map, and if not there, by the same
 * proofs.
 */
#include "engine/image.h"

#include "base/bytes.h"
#include "base/crc64.h"
#include "base/mem.h"
#include "base/sync.h"
#include "engine/crew.h"
#include "engine/draft.h"
#include "engine/input_read.h"
#include "engine/inputs.h"
#include "engine/restore.h"
#include "ltx/frame.h"
#include "storage/storage.h"

/* One request. Larger ones gain nothing from 100 MB/s at 20 ms on; they cost memory a thread. */
#define WINDOW ((uint64_t)7 << 18)
/* Bytes that are read rather than skipped: at 50 MB/s they take less than a request's latency. */
#define GAP ((uint64_t)64 << 10)
/* Pages written at once. More would not write faster, and adds up over the threads. */
#define RUN ((size_t)256 << 10)

#define PROGRESS_MS 200

struct piece {
    size_t input;
    size_t first, n; /* refs of that input */
    uint64_t crc;    /* of what the file's checksum covers of the frames, once done */
    uint64_t hashed; /* bytes in it */
};

/* owned by one worker */
struct hand {
    uint8_t *window;  /* for a piece that is fetched */
    uint8_t *run;     /* m->run bytes and a page more, for a frame that only needs to be hashed */
    uint8_t *entries; /* for the draft's map, of the pages in `run` */
    size_t filled;    /* bytes in `run` */
    uint32_t pgno;    /* of the first page in it */
    uint64_t rolling; /* of the pages this worker wrote, without the bit all checksums have */
    uint64_t pages;
    uint64_t identity; /* of the file whose piece it is at */
    uint64_t fetched;  /* bytes of that piece */
};

struct image {
    struct wr_storage *storage;
    struct wr_inputs *x;
    const struct wr_restore_opts *opts;
    struct wr_draft *out;
    struct piece *pieces;
    size_t n;
    struct hand *hands; /* one a worker */
    size_t window;      /* bytes of the largest piece that is fetched, WINDOW at most */
    size_t run;         /* bytes of pages that are written at once, RUN at most */
    uint64_t bytes_total;
    uint64_t bytes_claimed; /* that the draft is said to have */
    struct wr_mutex mutex;
    struct wr_image_report report; /* guarded by mutex */
    struct wr_err corrupt;         /* guarded by mutex; of the first file seen to be damaged */
    uint64_t pages;                /* guarded by mutex */
    int64_t told_ms;               /* owned by the caller's thread; when progress was last told */
};

static uint64_t ref_end(const struct wr_ref *r)
{
    return r->off + wr_ref_length(r);
}

static uint64_t piece_bytes(const struct wr_input *in, const struct piece *p)
{
    return ref_end(&in->refs[p->first + p->n - 1]) - in->refs[p->first].off;
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

/* Fill `out`, if not NULL, with the pieces; their number. Those of the newest file come first: it
 * is of level 0, which is compacted and deleted in minutes, and would be gone by the end of a long
 * restore. The snapshot, with which a plan begins, stays for days. */
static size_t cut(const struct wr_inputs *x, struct piece *out, uint64_t *ret_bytes)
{
    size_t n = 0;
    uint64_t bytes = 0;

    for (size_t i = x->n; i-- > 0;) {
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

uint64_t wr_image_bytes(const struct wr_inputs *x)
{
    uint64_t bytes;

    (void)cut(x, NULL, &bytes);
    return bytes;
}

static enum wr_status flush(struct image *m, struct hand *h, struct wr_err *e)
{
    enum wr_status st;

    if (h->filled == 0)
        return WR_OK;
    st = wr_draft_put(m->out, h->pgno, (struct wr_bytes){h->run, h->filled}, h->entries, e);
    if (st != WR_OK)
        return st;
    h->pages += h->filled / m->x->page_size;
    h->filled = 0;
    return WR_OK;
}

/* Where in the run page `pgno` is to be decoded to, after making it the next one. */
static enum wr_status next_slot(
    struct image *m, struct hand *h, uint32_t pgno, uint8_t **ret, struct wr_err *e)
{
    uint32_t page_size = m->x->page_size;

    if (h->filled && (h->filled + page_size > m->run || pgno != h->pgno + h->filled / page_size)) {
        enum wr_status st = flush(m, h, e);

        if (st != WR_OK)
            return st;
    }
    if (h->filled == 0)
        h->pgno = pgno;
    *ret = h->run + h->filled;
    return WR_OK;
}

/* What a frame adds to the checksum of its file. */
static void hash_frame(
    struct piece *p, const uint8_t *head, size_t head_size, const uint8_t *page, uint32_t page_size)
{
    p->crc = wr_crc64(wr_crc64(p->crc, head, head_size), page, page_size);
    p->hashed += head_size + page_size;
}

/* What a page adds to the checksum of the image. */
static void sum_page(const struct image *m, struct hand *h, const struct wr_draft_page *is)
{
    if (m->x->has_rolling)
        h->rolling ^= is->checksum & ~WR_LTX_CHECKSUM_EMPTY;
}

static enum wr_status do_frame(struct image *m, struct hand *h, struct piece *p,
    const struct wr_ref *r, const uint8_t *frame, struct wr_err *e)
{
    uint32_t page_size = m->x->page_size;
    bool wins = r->length & WR_REF_WINS;
    uint8_t *page = h->run + m->run;
    struct wr_draft_page is = {0};
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
    is.block = wr_be16(frame + 4) & WR_LTX_FRAME_BLOCK;
    if (m->x->in[p->input].whole)
        hash_frame(p, frame, is.block ? WR_LTX_FRAME_HEAD_MAX : WR_LTX_FRAME_HEAD, page, page_size);
    if (!wins)
        return WR_OK;
    if (m->x->has_rolling || h->entries)
        is.checksum = wr_ltx_page_checksum(r->pgno, page, page_size);
    sum_page(m, h, &is);
    if (h->entries)
        wr_draft_entry(h->entries + h->filled / page_size * WR_DRAFT_ENTRY, h->identity, &is);
    h->filled += page_size;
    return WR_OK;
}

/* The same from the draft, if it has the page. */
static bool do_page(struct image *m, struct hand *h, struct piece *p, const struct wr_ref *r)
{
    uint8_t *page = h->run + m->run;
    uint8_t head[WR_LTX_FRAME_HEAD_MAX];
    struct wr_draft_page is;

    if (!wr_draft_get(m->out, h->identity, r->pgno, page, &is))
        return false;
    if (m->x->in[p->input].whole) {
        wr_put_be32(head, r->pgno);
        wr_put_be16(head + 4, is.block ? WR_LTX_FRAME_BLOCK : 0);
        wr_put_be32(head + WR_LTX_FRAME_HEAD, wr_ref_length(r) - WR_LTX_FRAME_HEAD_MAX);
        hash_frame(
            p, head, is.block ? WR_LTX_FRAME_HEAD_MAX : WR_LTX_FRAME_HEAD, page, m->x->page_size);
    }
    sum_page(m, h, &is);
    h->pages++;
    return true;
}

static enum wr_status hand_init(struct image *m, struct hand *h, bool fetches, struct wr_err *e)
{
    if (!h->window && fetches)
        h->window = wr_alloc(m->window);
    if (!h->run)
        h->run = wr_alloc(m->run + m->x->page_size);
    if (!h->entries && m->out->map)
        h->entries = wr_array(m->run / m->x->page_size, WR_DRAFT_ENTRY);
    if ((!h->window && fetches) || !h->run || (!h->entries && m->out->map))
        return wr_fail(e, WR_NOMEM, "restore buffers: out of memory");
    return WR_OK;
}

static void tell(struct image *m, const struct wr_call *c, bool last)
{
    struct wr_restore_progress p = {.phase = WR_RESTORE_FETCHING,
        .bytes_total = m->bytes_total,
        .bytes_resumed = m->bytes_claimed,
        .files = m->x->n,
        .files_total = m->x->n};
    int64_t now = wr_mono_ms(c->clock);

    if (!m->opts->progress || (!last && now - m->told_ms < PROGRESS_MS))
        return;
    m->told_ms = now;
    wr_mutex_lock(&m->mutex);
    p.bytes_done = m->report.fetched + m->report.resumed;
    p.pages = m->pages;
    wr_mutex_unlock(&m->mutex);
    m->opts->progress(m->opts->progress_arg, &p);
}

static bool claimed(const struct image *m, uint64_t identity, const struct wr_ref *r)
{
    return r->length & WR_REF_WINS && wr_draft_claims(m->out, identity, r->pgno);
}

/* How many of the `n` refs to fetch in one request, the first at least: up to where so much is
 * claimed to be here that skipping it is worth another request. */
static size_t reach(
    const struct image *m, const struct hand *h, const struct wr_ref *refs, size_t n)
{
    size_t end = 1;

    for (size_t i = 1; i < n && refs[i].off - ref_end(&refs[end - 1]) <= GAP; i++) {
        if (!claimed(m, h->identity, &refs[i]))
            end = i + 1;
    }
    return end;
}

/* The frames from `refs` on, `size` bytes. */
static enum wr_status read_frames(struct image *m, struct hand *h, struct wr_call *c,
    const struct wr_input *in, const struct wr_ref *refs, size_t size, struct wr_err *e)
{
    return wr_input_read(m->storage, c, in->file, refs[0].off, h->window, size, e);
}

static enum wr_status do_frames(struct image *m, struct hand *h, struct wr_call *c, struct piece *p,
    const struct wr_ref *refs, size_t n, struct wr_err *e)
{
    const struct wr_input *in = &m->x->in[p->input];
    uint64_t start = refs[0].off;
    size_t size = (size_t)(ref_end(&refs[n - 1]) - start);
    const uint8_t *bytes = in->bytes ? in->bytes + start : h->window;
    bool again = !in->bytes; /* one bad answer is no damage */
    enum wr_status st = WR_OK;

    if (!in->bytes)
        st = read_frames(m, h, c, in, refs, size, e);
    for (size_t k = 0; k < n && (st == WR_OK || (st == WR_CORRUPT && again));) {
        if (st == WR_CORRUPT) {
            again = false;
            st = read_frames(m, h, c, in, refs, size, e);
        }
        if (st == WR_OK)
            st = do_frame(m, h, p, &refs[k], bytes + (refs[k].off - start), e);
        k += st == WR_OK;
    }
    h->fetched += size;
    return st;
}

/* Take what is here, fetch what is not. */
static enum wr_status do_refs(
    struct image *m, struct hand *h, struct wr_call *c, struct piece *p, struct wr_err *e)
{
    const struct wr_input *in = &m->x->in[p->input];
    const struct wr_ref *refs = &in->refs[p->first];
    bool believe = !in->bytes; /* which needs no request anyway */

    h->identity = wr_draft_identity(in);
    h->fetched = 0;
    for (size_t k = 0; k < p->n;) {
        enum wr_status st;
        size_t n;

        if (believe && claimed(m, h->identity, &refs[k])) {
            if (do_page(m, h, p, &refs[k])) {
                k++;
                continue;
            }
            believe = false; /* one false claim rarely comes alone: no request for each of them */
        }
        n = believe ? reach(m, h, refs + k, p->n - k) : p->n - k;
        st = do_frames(m, h, c, p, refs + k, n, e);
        if (st != WR_OK)
            return st;
        k += n;
    }
    return flush(m, h, e);
}

static void set_bad(struct image *m, struct wr_input *in, bool sure)
{
    wr_mutex_lock(&m->mutex);
    in->bad = true;
    in->sure = in->sure || sure;
    wr_mutex_unlock(&m->mutex);
}

static void spoil(struct image *m, struct wr_input *in, bool sure, const struct wr_err *e)
{
    set_bad(m, in, sure);
    wr_mutex_lock(&m->mutex);
    if (m->corrupt.code == WR_OK)
        m->corrupt = *e;
    wr_mutex_unlock(&m->mutex);
}

static bool spoilt(struct image *m)
{
    bool yes;

    wr_mutex_lock(&m->mutex);
    yes = m->corrupt.code != WR_OK;
    wr_mutex_unlock(&m->mutex);
    return yes;
}

static enum wr_status do_piece(void *arg, unsigned w, size_t i, struct wr_call *c, struct wr_err *e)
{
    struct image *m = arg;
    struct hand *h = &m->hands[w];
    struct piece *p = &m->pieces[i];
    struct wr_input *in = &m->x->in[p->input];
    uint64_t size = piece_bytes(in, p);
    uint64_t before = h->pages;
    enum wr_status st;

    /* This image is lost; but of what is at hand, know all that is damaged, for the next one. */
    if (!in->bytes && spoilt(m))
        return WR_OK;
    st = hand_init(m, h, !in->bytes, e);
    if (st == WR_OK)
        st = do_refs(m, h, c, p, e);
    if (st != WR_OK) {
        char name[WR_LTX_NAME_MAX];

        wr_ltx_name_format(name, in->file->min, in->file->max);
        wr_wrap(e, st, "level %u file %s", in->file->level, name);
        if (st == WR_IO)
            set_bad(m, in, false);
        if (st != WR_CORRUPT)
            return st;
        spoil(m, in, !in->bytes, e);
        h->filled = 0;
        return WR_OK;
    }
    assert(h->fetched <= size);
    wr_mutex_lock(&m->mutex);
    m->report.fetched += h->fetched;
    m->report.resumed += size - h->fetched;
    m->pages += h->pages - before;
    wr_mutex_unlock(&m->mutex);
    if (w == 0)
        tell(m, c, false);
    return WR_OK;
}

/* The checksums of the files that were read whole; of all of them, for as above. */
static enum wr_status prove_files(struct image *m, struct wr_err *e)
{
    bool lost = spoilt(m);
    size_t k = 0;

    for (size_t i = m->x->n; i-- > 0;) { /* as they were cut */
        struct wr_input *in = &m->x->in[i];
        uint64_t crc = in->head_crc;

        for (; k < m->n && m->pieces[k].input == i; k++)
            crc = wr_crc64_combine(crc, m->pieces[k].crc, m->pieces[k].hashed);
        crc = wr_crc64_combine(crc, in->tail_crc, in->tail_size);
        if (in->whole && (!lost || in->bytes) &&
            (crc | WR_LTX_CHECKSUM_EMPTY) != in->file_checksum) {
            char name[WR_LTX_NAME_MAX];
            struct wr_err own = {0};

            wr_ltx_name_format(name, in->file->min, in->file->max);
            (void)wr_fail(&own, WR_CORRUPT, "level %u file %s: file checksum mismatch",
                in->file->level, name);
            spoil(m, in, false, &own);
        }
    }
    return m->corrupt.code == WR_OK ? WR_OK : wr_fail(e, WR_CORRUPT, "%s", m->corrupt.text);
}

/* The checksum of the whole image. */
static enum wr_status prove_image(struct image *m, struct wr_err *e)
{
    const struct wr_ltx_file *last = m->x->in[m->x->n - 1].file;
    uint64_t rolling = WR_LTX_CHECKSUM_EMPTY;
    char name[WR_LTX_NAME_MAX];

    if (!m->x->has_rolling)
        return WR_OK;
    for (unsigned w = 0; w < m->opts->parallel; w++)
        m->report.rolling ^= m->hands[w].rolling;
    rolling |= m->report.rolling;
    if (m->x->part || rolling == m->x->rolling_post)
        return WR_OK;
    wr_ltx_name_format(name, last->min, last->max);
    return wr_fail(e, WR_CORRUPT,
        "database checksum %016llx is not the %016llx that level %u file %s records",
        (unsigned long long)rolling, (unsigned long long)m->x->rolling_post, last->level, name);
}

/* What the draft is said to have of the bytes that would have to be fetched. */
static uint64_t count_claimed(const struct image *m)
{
    uint64_t bytes = 0;

    for (size_t i = 0; m->out->n_claims && i < m->x->n; i++) {
        const struct wr_input *in = &m->x->in[i];
        uint64_t identity = wr_draft_identity(in);

        for (size_t k = 0; !in->bytes && k < in->n; k++)
            bytes += claimed(m, identity, &in->refs[k]) ? wr_ref_length(&in->refs[k]) : 0;
    }
    return bytes;
}

/* Pages that can be in a row: those of a piece at most. */
static uint64_t most_pages(const struct image *m)
{
    size_t most = 0;

    for (size_t i = 0; i < m->n; i++)
        most = wr_max(most, m->pieces[i].n);
    return wr_min((uint64_t)most, (uint64_t)m->x->commit);
}

static enum wr_status image_init(struct image *m, struct wr_err *e)
{
    m->n = cut(m->x, NULL, &m->bytes_total);
    m->pieces = wr_array(m->n, sizeof(*m->pieces));
    m->hands = wr_array(m->opts->parallel, sizeof(*m->hands));
    if (!m->pieces || !m->hands)
        return wr_fail(e, WR_NOMEM, "restore in %zu pieces: out of memory", m->n);
    (void)cut(m->x, m->pieces, &m->bytes_total); /* as many as counted above */
    for (size_t i = 0; i < m->n; i++) {
        const struct wr_input *in = &m->x->in[m->pieces[i].input];

        if (!in->bytes)
            m->window = wr_max(m->window, (size_t)piece_bytes(in, &m->pieces[i]));
    }
    m->run = (size_t)wr_min((uint64_t)RUN, most_pages(m) * m->x->page_size);
    m->bytes_claimed = count_claimed(m);
    return WR_OK;
}

static void image_release(struct image *m)
{
    for (unsigned w = 0; m->hands && w < m->opts->parallel; w++) {
        wr_free(m->hands[w].window);
        wr_free(m->hands[w].run);
        wr_free(m->hands[w].entries);
    }
    wr_free(m->hands);
    wr_free(m->pieces);
}

enum wr_status wr_image_write(struct wr_storage *s, struct wr_call *c, struct wr_inputs *x,
    const struct wr_restore_opts *opts, struct wr_draft *out, struct wr_image_report *report,
    struct wr_err *e)
{
    struct image m = {.storage = s, .x = x, .opts = opts, .out = out};
    enum wr_status st;

    assert(opts->parallel >= 1 && x->n > 0);
    wr_mutex_init(&m.mutex);
    st = image_init(&m, e);
    if (st == WR_OK && m.bytes_claimed > 0)
        tell(&m, c, true);
    if (st == WR_OK)
        st = wr_crew_run(c, opts->parallel, m.n, "restore", do_piece, &m, e);
    if (st == WR_OK)
        st = prove_files(&m, e);
    if (st == WR_OK)
        st = prove_image(&m, e);
    if (st == WR_OK)
        tell(&m, c, true);
    *report = m.report;
    image_release(&m);
    wr_mutex_release(&m.mutex);
    return st;
}
