/*
 * parcel.c - see parcel.h. Makes and hands out bytes; refuses to know where they go.
 */
#include "engine/parcel.h"

#include "base/crc64.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "engine/frozen.h"
#include "engine/kept.h"
#include "engine/packers.h"
#include "ltx/enc.h"
#include "ltx/frame.h"

#define READ_BYTES      ((size_t)256 << 10) /* one read of the outbox */
#define INDEX_ENTRY_MAX 16u                 /* bytes */
#define NAMES_MAX       64u /* files of one range of TXIDs in the outbox at a time */
#define SHARED_MIN \
    ((uint64_t)4 << 20) /* bytes of pages; what is less one thread has done at once */

void wr_parcel_room_init(
    struct wr_parcel_room *room, size_t small_max, size_t file_max, size_t size)
{
    assert(small_max <= file_max && small_max <= WR_PARCEL_MEMORY_MAX);
    assert(file_max <= WR_PARCEL_ROOM_MAX);
    room->small_max = small_max;
    room->file_max = file_max;
    atomic_init(&room->left, size);
    atomic_init(&room->missed, 0);
    atomic_init(&room->spare, NULL);
}

void wr_parcel_room_rest(struct wr_parcel_room *room)
{
    wr_free(atomic_exchange(&room->spare, NULL));
}

/* Memory that is taken anew from the system each second is cleared, page by page, on first use:
 * for a file that costs a third of what it takes to compress its pages. */
static void take_spare(struct wr_parcel *p)
{
    uint8_t *spare = atomic_exchange(&p->room->spare, NULL);

    assert(!p->bytes.p);
    if (!spare)
        return;
    memcpy(&p->bytes.cap, spare, sizeof(p->bytes.cap));
    p->bytes.p = spare;
}

static void give_spare(struct wr_parcel *p)
{
    uint8_t *none = NULL;

    memcpy(p->bytes.p, &p->bytes.cap, sizeof(p->bytes.cap));
    if (!atomic_compare_exchange_strong(&p->room->spare, &none, p->bytes.p))
        wr_free(p->bytes.p);
    p->bytes.p = NULL;
}

enum wr_status wr_parcel_new(const struct wr_fs *fs, const struct wr_ltx_header *header,
    unsigned level, uint32_t lock_offset, struct wr_parcel **ret, struct wr_err *e)
{
    struct wr_parcel *p = wr_alloc(sizeof(*p));

    if (!p)
        return wr_fail(e, WR_NOMEM, "make an LTX file");
    p->fs = fs;
    p->header = *header;
    p->level = level;
    p->lock_offset = lock_offset;
    atomic_init(&p->refs_, 1);
    wr_buf_init(&p->bytes, WR_PARCEL_ROOM_MAX);
    *ret = p;
    return WR_OK;
}

struct wr_parcel *wr_parcel_ref(struct wr_parcel *p)
{
    (void)atomic_fetch_add(&p->refs_, 1);
    return p;
}

void wr_parcel_use(struct wr_parcel *p, struct wr_parcel_room *room)
{
    assert(p->held == 0 && p->bytes.n == 0);
    p->room = room;
    if (room)
        wr_buf_init(&p->bytes, room->file_max);
}

/* All that it may need, as it is not known before. */
static bool take_room(struct wr_parcel *p)
{
    const size_t all = p->room->file_max;
    size_t left = atomic_load(&p->room->left);

    while (left >= all && !atomic_compare_exchange_weak(&p->room->left, &left, left - all)) {
    }
    if (left < all)
        return false;
    p->held = all;
    return true;
}

/* All but what it needs. */
static void give_room(struct wr_parcel *p, size_t needs)
{
    if (p->held > needs && (needs > 0 || !WR_MUTANT(ROOM_KEPT)))
        (void)atomic_fetch_add(&p->room->left, p->held - needs);
    p->held = wr_min(p->held, needs);
}

static size_t small_max(const struct wr_parcel *p)
{
    return p->room ? p->room->small_max : WR_PARCEL_MEMORY_MAX;
}

static bool may_be_in_memory(struct wr_parcel *p, size_t n)
{
    return n <= small_max(p) ||
           (p->room && n <= p->room->file_max && (p->held > 0 || take_room(p)));
}

static bool fits_memory(struct wr_parcel *p, size_t n)
{
    bool fits = may_be_in_memory(p, n);

    if (p->room && !fits)
        (void)atomic_fetch_add(&p->room->missed, 1);
    return fits;
}

/* Its contents are elsewhere, or nobody needs them. */
static void drop_memory(struct wr_parcel *p)
{
    if (p->held > 0 && p->bytes.p)
        give_spare(p);
    wr_buf_release(&p->bytes);
    give_room(p, 0);
}

void wr_parcel_unref(struct wr_parcel *p)
{
    if (!p || atomic_fetch_sub(&p->refs_, 1) != 1)
        return;
    if (p->path)
        (void)p->fs->remove(p->fs, p->path, NULL); /* a leftover is cleaned at the next start */
    drop_memory(p);
    wr_frozen_free(p->frozen);
    wr_free(p->path);
    wr_free(p->pages);
    wr_free(p);
}

struct wr_ltx_file wr_parcel_listed(const struct wr_parcel *p)
{
    return (struct wr_ltx_file){.level = p->level,
        .min = p->header.min_txid,
        .max = p->header.max_txid,
        .time_ms = p->header.time_ms,
        .size = p->size};
}

bool wr_parcel_streamed(const struct wr_parcel *p)
{
    return p->frozen != NULL;
}

bool wr_parcel_large(const struct wr_parcel *p)
{
    return p->size > small_max(p);
}

bool wr_parcel_alone(const struct wr_parcel *p)
{
    return atomic_load(&p->refs_) == 1;
}

/* Where encoded bytes go: memory first, then a file. */
struct filling {
    struct wr_parcel *p;
    const char *outbox;
    struct wr_file *file;
    uint64_t off;
};

/* Create the parcel's file under the `nth` name that it may have; CONFLICT when that is taken. */
static enum wr_status create_nth(struct filling *f, unsigned nth, struct wr_err *e)
{
    char name[WR_LTX_NAME_MAX];
    struct wr_buf path;
    char *copy = NULL;
    enum wr_status st;

    wr_ltx_name_format(name, f->p->header.min_txid, f->p->header.max_txid);
    wr_buf_init(&path, 8192);
    wr_buf_fmt(&path, nth ? "%s/%s.%u" : "%s/%s", f->outbox, name, nth);
    st = wr_buf_status(&path);
    if (st == WR_OK && !(copy = wr_strndup((const char *)path.p, path.n)))
        st = WR_NOMEM;
    wr_buf_release(&path);
    if (st != WR_OK)
        return wr_fail(e, st, "outbox path");
    st = wr_file_open(f->p->fs, copy, WR_FILE_READ | WR_FILE_WRITE | WR_FILE_CREATE | WR_FILE_EXCL,
        0600, &f->file, e);
    if (st == WR_OK)
        f->p->path = copy;
    else
        wr_free(copy);
    return st;
}

static enum wr_status spill(struct filling *f, struct wr_err *e)
{
    enum wr_status st = wr_mkdirs(f->p->fs, f->outbox, 0700, e);

    /* Two replicas that join at one place have two files of one name, each with its own life. */
    for (unsigned nth = 0; st == WR_OK && !f->file; nth++) {
        st = create_nth(f, nth, e);
        if (st == WR_CONFLICT && nth < NAMES_MAX)
            st = WR_OK;
    }
    if (st == WR_OK)
        st = wr_file_pwrite(f->file, f->p->bytes.p, f->p->bytes.n, 0, e);
    f->p->crc = wr_crc64(0, f->p->bytes.p, f->p->bytes.n);
    if (st != WR_OK) { /* the contents stay in memory */
        if (f->p->path)
            (void)f->p->fs->remove(f->p->fs, f->p->path, NULL);
        wr_free(f->p->path);
        f->p->path = NULL;
        return st;
    }
    f->off = f->p->bytes.n;
    drop_memory(f->p);
    return WR_OK;
}

/* False: there is no room for it, or no memory. What came before is whole. */
static bool keep(struct wr_parcel *p, struct wr_bytes piece)
{
    if (!fits_memory(p, p->bytes.n + piece.n))
        return false;
    wr_buf_put(&p->bytes, piece.p, piece.n);
    return wr_buf_status(&p->bytes) == WR_OK;
}

static enum wr_status fill_sink(void *arg, struct wr_bytes piece, struct wr_err *e)
{
    struct filling *f = arg;
    enum wr_status st = WR_OK;

    if (!f->file && keep(f->p, piece))
        return WR_OK;
    if (!f->file)
        st = spill(f, e);
    if (st != WR_OK)
        return st;
    f->p->crc = wr_crc64(f->p->crc, piece.p, piece.n);
    st = wr_file_pwrite(f->file, piece.p, piece.n, f->off, e);
    f->off += piece.n;
    return st;
}

/* Which pages are encoded, and from where. */
struct source {
    const struct wr_view *view; /* or NULL: frozen */
    struct wr_frozen *frozen;
    const uint32_t *pages; /* ascending; NULL: 1 .. n, all of the database */
    uint32_t n;
    uint64_t *sums; /* or NULL: not wanted */
    unsigned threads;
};

static enum wr_status read_run(
    void *arg, uint32_t first, uint32_t n, uint8_t *buf, struct wr_err *e)
{
    const struct source *s = arg;

    if (!s->view)
        return wr_frozen_read(s->frozen, first, n, buf, e);
    return n == 1 ? wr_view_page(s->view, first, buf, e) : wr_view_run(s->view, first, n, buf, e);
}

/* The source's pages as an LTX file into `sink`. */
static enum wr_status encode(const struct wr_parcel *p, struct source *s, wr_ltx_sink_fn *sink,
    void *arg, struct wr_ltx_trailer *trailer, uint64_t *size, struct wr_err *e)
{
    struct wr_ltx_enc *enc = NULL;
    struct wr_packers packers = {.page_size = p->header.page_size,
        .lock_pgno = wr_ltx_lock_pgno(p->header.page_size, p->lock_offset),
        .pages = s->pages,
        .n = s->n,
        .read = read_run,
        .arg = s,
        .sums = s->sums,
        .threads = s->threads};
    uint64_t sum = 0;
    enum wr_status st = wr_ltx_enc_new(&p->header, p->lock_offset, sink, arg, &enc, e);

    if (st == WR_OK)
        st = wr_packers_run(&packers, enc, &sum, e);
    /* Disks rot, and a streamed file is read over minutes, beside writers and checkpoints: do not
     * take it on trust. */
    if (st == WR_OK && p->has_sum && !WR_MUTANT(KEEP_NOTHING) &&
        (sum | WR_LTX_CHECKSUM_EMPTY) != (p->sum | WR_LTX_CHECKSUM_EMPTY)) {
        st = wr_fail(e, WR_INTERNAL, "the pages read are not those of txid %016llx",
            (unsigned long long)p->header.max_txid);
        if (s->frozen)
            wr_frozen_doubt(s->frozen);
    }
    if (st == WR_OK)
        st = wr_ltx_enc_finish(enc, trailer, size, e);
    wr_ltx_enc_free(enc);
    return st;
}

void wr_parcel_expect(struct wr_parcel *p, uint64_t sum)
{
    p->has_sum = true;
    p->sum = sum;
}

enum wr_status wr_parcel_fill(struct wr_parcel *p, const struct wr_view *view,
    const uint32_t *pages, size_t n, const char *outbox, struct wr_err *e)
{
    struct filling f = {.p = p, .outbox = outbox};
    struct wr_ltx_trailer trailer = {0};
    struct source s = {.view = view, .pages = pages, .n = (uint32_t)n, .threads = 1};
    enum wr_status st = encode(p, &s, fill_sink, &f, &trailer, &p->size, e);

    wr_file_close(f.file);
    give_room(p, p->bytes.n);
    p->checksum = trailer.file_checksum;
    return st;
}

/* At most, with the index. */
static size_t size_max(const struct wr_parcel *p, size_t n)
{
    return WR_LTX_FILE_MIN + n * (wr_ltx_frame_max(p->header.page_size) + INDEX_ENTRY_MAX) + 8;
}

static enum wr_status keep_sink(void *arg, struct wr_bytes piece, struct wr_err *e)
{
    struct wr_parcel *p = arg;

    return keep(p, piece) ? WR_OK : wr_fail(e, WR_NOMEM, "make an LTX file");
}

enum wr_status wr_parcel_begin(struct wr_parcel *p, const struct wr_view *view,
    const uint32_t *pages, size_t n, uint64_t *sums, struct wr_err *e)
{
    struct wr_ltx_trailer trailer = {0};
    struct source s = {.view = view, .pages = pages, .n = (uint32_t)n, .sums = sums, .threads = 1};
    size_t spare;
    enum wr_status st;

    assert(p->header.min_txid > 1 && !p->has_sum);
    if (n > WR_PARCEL_ROOM_MAX / p->header.page_size || !may_be_in_memory(p, size_max(p, n)))
        return wr_fail(e, WR_LIMIT, "no memory for an LTX file");
    if (p->held > 0)
        take_spare(p);
    spare = p->bytes.cap;
    st = encode(p, &s, keep_sink, p, &trailer, &p->size, e);
    give_room(p, wr_max(p->bytes.n, spare));
    p->n_pages = n;
    return st;
}

void wr_parcel_end(struct wr_parcel *p, uint64_t rolling_post)
{
    struct wr_ltx_trailer trailer;

    assert(p->size == p->bytes.n);
    wr_ltx_enc_amend(p->bytes.p, p->bytes.n, p->n_pages, rolling_post, &trailer);
    p->header.rolling_post = rolling_post;
    p->checksum = trailer.file_checksum;
}

void wr_parcel_stream(
    struct wr_parcel *p, struct wr_frozen *frozen, uint32_t *pages, size_t n, uint64_t sum)
{
    assert(!p->frozen && !p->pages);
    if (p->path)
        (void)p->fs->remove(p->fs, p->path, NULL);
    wr_free(p->path);
    p->path = NULL;
    drop_memory(p);
    p->size = 0;
    p->checksum = 0;
    p->crc = 0;
    p->frozen = frozen;
    p->pages = pages;
    p->n_pages = n;
    wr_parcel_expect(p, sum);
}

enum wr_status wr_parcel_stash(struct wr_parcel *p, const char *outbox, struct wr_err *e)
{
    struct filling f = {.p = p, .outbox = outbox};
    enum wr_status st;

    if (p->path || wr_parcel_streamed(p))
        return WR_OK;
    st = spill(&f, e);
    wr_file_close(f.file);
    return st;
}

/* Whoever waits there for days may find that the disk gives back something else. The replica would
 * keep that under a name that is never written again, and say that it has the TXID. So the last
 * piece is held back until all bytes are known to be those that were encoded: without it there is
 * no object. */
static enum wr_status send_file(const struct wr_parcel *p,
    enum wr_status (*sink)(void *, struct wr_bytes, struct wr_err *), void *arg, struct wr_err *e)
{
    uint8_t *buf = wr_alloc(READ_BYTES);
    struct wr_file *f = NULL;
    uint64_t crc = 0;
    enum wr_status st;

    if (!buf)
        return wr_fail(e, WR_NOMEM, "read the outbox");
    st = wr_file_open(p->fs, p->path, WR_FILE_READ, 0, &f, e);
    for (uint64_t off = 0; off < p->size && st == WR_OK;) {
        size_t n = (size_t)wr_min(p->size - off, (uint64_t)READ_BYTES);

        st = wr_file_pread_all(f, buf, n, off, p->path, e);
        if (st == WR_OK) {
            crc = wr_crc64(crc, buf, n);
            if (off + n == p->size && crc != p->crc && !WR_MUTANT(OUTBOX_TRUSTED))
                st = wr_fail(e, WR_CORRUPT,
                    "%s is not what was written there; is this disk failing?", p->path);
        }
        if (st == WR_OK)
            st = sink(arg, (struct wr_bytes){buf, n}, e);
        off += n;
    }
    wr_file_close(f);
    wr_free(buf);
    return st;
}

enum wr_status wr_parcel_send(const struct wr_parcel *p, unsigned threads,
    enum wr_status (*sink)(void *, struct wr_bytes, struct wr_err *), void *arg, struct wr_err *e)
{
    struct wr_ltx_trailer trailer;
    uint64_t size;

    if (wr_parcel_streamed(p)) {
        struct source s = {.frozen = p->frozen, .pages = p->pages};

        s.n = p->pages ? (uint32_t)p->n_pages : p->header.commit;
        s.threads =
            (uint64_t)s.n * p->header.page_size < SHARED_MIN ? 1 : wr_min(threads, WR_PACKERS_MAX);
        return encode(p, &s, sink, arg, &trailer, &size, e);
    }
    if (p->path)
        return send_file(p, sink, arg, e);
    return sink(arg, wr_buf_bytes(&p->bytes), e);
}

struct cleaning {
    const struct wr_fs *fs;
    const char *dir;
};

static bool clean_one(void *arg, const char *name)
{
    struct cleaning *c = arg;
    uint64_t min, max, nth;
    struct wr_str stem = wr_str(name), head, tail;
    struct wr_buf path;

    if (wr_str_cut_last(stem, '.', &head, &tail) && wr_parse_u64(tail, &nth))
        stem = head;
    if (!wr_str_eq(stem, WR_STR(WR_KEPT_STEM)) && !wr_ltx_name_parse(stem, &min, &max))
        return true;
    wr_buf_init(&path, 8192);
    wr_buf_fmt(&path, "%s/%s", c->dir, name);
    if (wr_buf_status(&path) == WR_OK)
        (void)c->fs->remove(c->fs, (const char *)path.p, NULL);
    wr_buf_release(&path);
    return true;
}

void wr_outbox_clean(const struct wr_fs *fs, const char *outbox)
{
    struct cleaning c = {fs, outbox};

    (void)fs->list(fs, outbox, clean_one, &c, NULL);
}
