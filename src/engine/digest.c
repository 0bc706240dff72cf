/*
 * digest.c - see digest.h.
 */
#include "engine/digest.h"

#include "base/mem.h"
#include "engine/crew.h"
#include "ltx/dec.h"
#include "storage/reader.h"
#include "storage/storage.h"

#define WINDOW     ((size_t)1 << 20) /* bytes of a request */
#define AHEAD      4u                /* files for each thread */
#define AHEAD_SIZE ((uint64_t)16 << 20)

struct source {
    struct wr_reader *reader;
    struct wr_call *call;
    bool gone; /* the decoder makes IO of NOTFOUND */
};

static enum wr_status pull(void *arg, void *buf, size_t n, struct wr_err *e)
{
    struct source *x = arg;
    enum wr_status st = wr_reader_read(x->reader, x->call, buf, n, e);

    x->gone = x->gone || st == WR_NOTFOUND;
    return st;
}

static enum wr_status decode(struct wr_ltx_dec *dec, const struct wr_ltx_file *f, bool pages,
    struct wr_change *ret, struct wr_err *e)
{
    struct wr_ltx_header *h = &ret->header;
    uint8_t *page = NULL;
    enum wr_status st = wr_ltx_dec_header(dec, h, e);

    if (st == WR_OK && (h->min_txid != f->min || h->max_txid != f->max))
        st = wr_fail(e, WR_CORRUPT, "it holds %016llx-%016llx, so the name is wrong",
            (unsigned long long)h->min_txid, (unsigned long long)h->max_txid);
    if (st == WR_OK && !(page = wr_alloc(h->page_size)))
        st = wr_fail(e, WR_NOMEM, "page: out of memory");
    while (st == WR_OK) {
        uint32_t pgno = 0;

        st = wr_ltx_dec_page(dec, &pgno, page, e);
        if (st == WR_OK && pages)
            st = wr_change_add(ret, pgno, wr_ltx_page_checksum(pgno, page, h->page_size), e);
    }
    wr_free(page);
    return st == WR_NOTFOUND ? WR_OK : st;
}

static enum wr_status read_once(struct wr_storage *s, struct wr_call *c,
    const struct wr_ltx_file *f, uint32_t lock_offset, bool pages, struct wr_change *ret,
    struct wr_err *e)
{
    struct wr_str key = wr_layout_ltx_key(c->scratch, s, f->level, f->min, f->max);
    struct source x = {.call = c};
    struct wr_ltx_dec *dec = NULL;
    enum wr_status st;

    if (!key.p)
        return wr_fail(e, WR_NOMEM, "key of an ltx file: out of memory");
    /* Less is no file, and the reader wants a size. */
    if (f->size < WR_LTX_FILE_MIN)
        return wr_fail(
            e, WR_CORRUPT, "its %llu bytes are too few for LTX", (unsigned long long)f->size);
    st = wr_reader_open(s, key, f->size, WINDOW, &x.reader, e);
    if (st == WR_OK)
        st = wr_ltx_dec_new(pull, &x, f->size, lock_offset, &dec, e);
    if (st == WR_OK)
        st = decode(dec, f, pages, ret, e);
    wr_ltx_dec_free(dec);
    wr_reader_close(x.reader);
    return st != WR_OK && x.gone ? WR_NOTFOUND : st;
}

/* One bad answer is no damage. */
static enum wr_status read_file(struct wr_storage *s, struct wr_call *c,
    const struct wr_ltx_file *f, uint32_t lock_offset, bool pages, struct wr_change *ret,
    struct wr_err *e)
{
    enum wr_status st = read_once(s, c, f, lock_offset, pages, ret, e);

    if (st == WR_CORRUPT) {
        wr_change_release(ret);
        if (e)
            *e = (struct wr_err){0};
        st = read_once(s, c, f, lock_offset, pages, ret, e);
    }
    return st;
}

enum wr_status wr_digest_check(struct wr_storage *s, struct wr_call *c, const struct wr_ltx_file *f,
    uint32_t lock_offset, struct wr_ltx_header *ret, struct wr_err *e)
{
    struct wr_change x = {0};
    enum wr_status st = read_file(s, c, f, lock_offset, false, &x, e);

    if (st == WR_OK)
        *ret = x.header;
    wr_change_release(&x);
    return st;
}

enum wr_status wr_ahead_init(struct wr_ahead *a, struct wr_err *e)
{
    assert(a->threads >= 1 && a->threads <= WR_CREW_MAX);
    a->got_max = (size_t)a->threads * AHEAD;
    a->got = wr_array(a->got_max, sizeof(*a->got));
    return a->got ? WR_OK : wr_fail(e, WR_NOMEM, "read ahead: out of memory");
}

static void forget(struct wr_ahead *a)
{
    for (size_t i = 0; i < a->got_n; i++)
        wr_change_release(&a->got[i].change);
    a->got_n = 0;
}

void wr_ahead_release(struct wr_ahead *a)
{
    forget(a);
    wr_free(a->got);
    *a = (struct wr_ahead){0};
}

void wr_ahead_plan(struct wr_ahead *a, const struct wr_ltx_file *const *plan, size_t n)
{
    forget(a);
    a->plan = plan;
    a->n = n;
    a->next = 0;
}

/* A failure is one of this file; what others find is for whoever asks for them. */
static enum wr_status read_one(void *arg, unsigned w, size_t i, struct wr_call *c, struct wr_err *e)
{
    struct wr_ahead *a = arg;
    struct wr_digest *d = &a->got[i];

    (void)w; /* no state of its own */
    (void)e;
    d->st = read_file(a->storage, c, d->file, a->lock_offset, true, &d->change, &d->err);
    return WR_OK;
}

/* The files from plan[next] on, which is `f`. */
static enum wr_status read_ahead(struct wr_ahead *a, struct wr_call *c, struct wr_err *e)
{
    uint64_t size = 0;

    forget(a);
    while (a->next < a->n && a->got_n < a->got_max) {
        const struct wr_ltx_file *f = a->plan[a->next];

        if (a->got_n > 0 && size + f->size > AHEAD_SIZE)
            break;
        size += f->size;
        a->got[a->got_n++] = (struct wr_digest){.file = f};
        a->next++;
    }
    a->bytes += size;
    return wr_crew_run(c, a->threads, a->got_n, "verify", read_one, a, e);
}

static enum wr_status hand_over(struct wr_digest *d, struct wr_change *ret, struct wr_err *e)
{
    enum wr_status st = d->st;

    *ret = d->change;
    if (st != WR_OK && e)
        *e = d->err;
    *d = (struct wr_digest){0};
    return st;
}

static struct wr_digest *find(struct wr_ahead *a, const struct wr_ltx_file *f)
{
    for (size_t i = 0; i < a->got_n; i++) {
        if (a->got[i].file == f)
            return &a->got[i];
    }
    return NULL;
}

/* Whether `f` is still to come in the plan; then it is next. What was not asked for is passed over:
 * it could not be used. */
static bool is_planned(struct wr_ahead *a, const struct wr_ltx_file *f)
{
    for (size_t k = a->next; k < a->n; k++) {
        if (a->plan[k] == f) {
            a->next = k;
            return true;
        }
    }
    return false;
}

enum wr_status wr_ahead_get(struct wr_ahead *a, struct wr_call *c, const struct wr_ltx_file *f,
    struct wr_change *ret, struct wr_err *e)
{
    struct wr_digest *d = find(a, f);
    enum wr_status st;

    if (!d && is_planned(a, f)) {
        st = read_ahead(a, c, e);
        if (st != WR_OK)
            return st;
        d = find(a, f);
    }
    if (d)
        return hand_over(d, ret, e);
    a->bytes += f->size;
    return read_file(a->storage, c, f, a->lock_offset, true, ret, e);
}
