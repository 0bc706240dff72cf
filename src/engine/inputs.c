/*
 * inputs.c - read the ends of files, then let the newest frame of each page win.
 *
 * The rule is the one by which files are merged: of the frames of a page, that of the newest file
 * counts; pages beyond the newest file's commit do not. A writer that grows a database stores all
 * the pages it grows by, so that no page cut off long ago can come back.
 */
#include "engine/inputs.h"

#include "base/bytes.h"
#include "base/crc64.h"
#include "base/mem.h"
#include "base/sync.h"
#include "engine/crew.h"
#include "engine/input_read.h"
#include "engine/restore.h"
#include "ltx/index.h"
#include "storage/storage.h"

/* A file this small is read in one request and kept until its pages are written. */
#define SMALL_MAX ((uint64_t)256 << 10)
#define KEPT_MAX                                                                    \
    ((uint64_t)64 << 20) /* of all small files; over it they are read as large ones \
                          */

/* Of a large file its last part, in which the index of pages of 4096 bytes is that do not compress
 * to less than half of it: 8 bytes a page, of 2100 or more. Another request costs more than this.
 */
#define TAIL_PART 256
#define TAIL_MAX  ((uint64_t)16 << 20)

#define END_MARKER 6  /* zero bytes between the frames and the index */
#define ENTRY_MAX  20 /* bytes of an index entry: page number 5, offset 10, length 5 */

struct opening {
    struct wr_storage *storage;
    const struct wr_restore_opts *opts;
    struct wr_inputs *x; /* NULL: one file alone, of which more will be read by its tag */
    struct wr_mutex mutex;
    uint64_t kept;         /* guarded by mutex; bytes promised to small files */
    size_t done;           /* guarded by mutex; files read */
    struct wr_err corrupt; /* guarded by mutex; of the first that was seen to be damaged */
};

static bool keep(struct opening *o, uint64_t size)
{
    bool yes;

    if (size > SMALL_MAX)
        return false;
    wr_mutex_lock(&o->mutex);
    yes = o->kept + size <= KEPT_MAX;
    if (yes)
        o->kept += size;
    wr_mutex_unlock(&o->mutex);
    return yes;
}

/* Collect the entries of the index. */
static enum wr_status read_index(struct wr_input *in, struct wr_bytes index, uint64_t index_off,
    uint32_t lock_offset, struct wr_err *e)
{
    struct wr_ltx_index walk;
    struct wr_ltx_entry entry;
    size_t cap = 0;

    wr_ltx_index_init(&walk, index, index_off, &in->header, lock_offset);
    for (;;) {
        enum wr_status st = wr_ltx_index_next(&walk, &entry, e);

        if (st == WR_NOTFOUND)
            return WR_OK;
        if (st != WR_OK)
            return st;
        if (in->n == cap) {
            /* 8 bytes an entry is usual; 3 are the least, so that growth ends soon. */
            size_t more = cap ? cap * 2 : index.n / 8 + 1;
            struct wr_ref *p = wr_resize(in->refs, more, sizeof(*p));

            if (!p)
                return wr_fail(e, WR_NOMEM, "index of %zu pages: out of memory", more);
            in->refs = p;
            cap = more;
        }
        assert(entry.length < WR_REF_WINS);
        in->refs[in->n++] =
            (struct wr_ref){.off = entry.offset, .pgno = entry.pgno, .length = entry.length};
    }
}

/* `end` is what follows the frames of the file: end marker, index, its length, trailer. */
static enum wr_status read_end(
    struct wr_input *in, struct wr_bytes end, uint32_t lock_offset, struct wr_err *e)
{
    static const uint8_t marker[END_MARKER];
    struct wr_bytes index;
    struct wr_ltx_trailer trailer;
    enum wr_status st;

    assert(end.p && end.n >= END_MARKER + WR_LTX_TAIL_MIN);
    index = (struct wr_bytes){end.p + END_MARKER, end.n - END_MARKER - WR_LTX_TAIL_MIN};
    if (memcmp(end.p, marker, END_MARKER) != 0)
        return wr_fail(e, WR_CORRUPT, "no end marker before the page index");
    st = wr_ltx_trailer_get(end.p + end.n - WR_LTX_TRAILER_SIZE, &trailer, e);
    if (st != WR_OK)
        return st;
    in->file_checksum = trailer.file_checksum;
    in->tail_size = end.n - 8;
    in->tail_crc = wr_crc64(0, end.p, end.n - 8);
    return read_index(in, index, in->file->size - index.n - WR_LTX_TAIL_MIN, lock_offset, e);
}

/* Where the end as read_end wants it begins, from the last bytes of the file. Its header was read,
 * and says how much an index can be: what is damaged must not cost gigabytes to find that out. */
static enum wr_status find_end(
    const struct wr_input *in, struct wr_bytes tail, uint64_t *ret_off, struct wr_err *e)
{
    const struct wr_ltx_file *f = in->file;
    uint64_t off = 0;
    uint64_t size = 0;
    enum wr_status st = wr_ltx_index_locate(tail, f->size, &off, &size, e);

    if (st != WR_OK)
        return st;
    if (size > (uint64_t)in->header.commit * ENTRY_MAX + 1)
        return wr_fail(e, WR_CORRUPT, "page index of %llu bytes for a database of %u pages",
            (unsigned long long)size, in->header.commit);
    if (off < WR_LTX_HEADER_SIZE + END_MARKER)
        return wr_fail(e, WR_CORRUPT, "no room for an end marker before the page index");
    if (off + size + WR_LTX_TAIL_MIN != f->size || f->size - off > SIZE_MAX / 2)
        return wr_fail(e, WR_CORRUPT, "page index of %llu bytes", (unsigned long long)size);
    *ret_off = off - END_MARKER;
    return WR_OK;
}

static enum wr_status read_head(struct wr_input *in, const uint8_t *head, struct wr_err *e)
{
    enum wr_status st = wr_ltx_header_get(head, &in->header, e);

    in->head_crc = wr_crc64(0, head, WR_LTX_HEADER_SIZE);
    in->misnamed = st == WR_OK &&
                   (in->header.min_txid != in->file->min || in->header.max_txid != in->file->max);
    return st;
}

static enum wr_status open_small(
    struct opening *o, struct wr_call *c, struct wr_input *in, struct wr_err *e)
{
    size_t size = (size_t)in->file->size;
    uint64_t end = 0;
    enum wr_status st;

    in->whole = true;
    in->bytes = wr_alloc(size);
    if (!in->bytes)
        return wr_fail(e, WR_NOMEM, "ltx file of %zu bytes: out of memory", size);
    st = wr_input_read_tag(o->storage, c, in->file, 0, in->bytes, size, o->x ? NULL : &in->tag, e);
    if (st == WR_OK)
        st = read_head(in, in->bytes, e);
    if (st == WR_OK)
        st = find_end(in, (struct wr_bytes){in->bytes, size}, &end, e);
    if (st == WR_OK)
        st = read_end(
            in, (struct wr_bytes){in->bytes + end, size - (size_t)end}, o->opts->lock_offset, e);
    return st;
}

static size_t tail_size(const struct wr_ltx_file *f)
{
    uint64_t guess = wr_max(wr_min(f->size / TAIL_PART, TAIL_MAX), (uint64_t)WR_LTX_TAIL_SIZE);

    return (size_t)wr_min(f->size, guess);
}

/* From its first and its last bytes, and with another request where its index is longer. */
static enum wr_status open_ends(struct opening *o, struct wr_call *c, struct wr_input *in,
    struct wr_bytes head, struct wr_bytes tail, struct wr_err *e)
{
    const struct wr_ltx_file *f = in->file;
    uint64_t off = f->size - tail.n, end = 0;
    uint8_t *more = NULL;
    enum wr_status st;

    assert(head.n >= WR_LTX_HEADER_SIZE && tail.n <= f->size);
    st = read_head(in, head.p, e);
    if (st == WR_OK)
        st = find_end(in, tail, &end, e);
    if (st == WR_OK && end < off) {
        struct wr_input_id id;

        st = wr_input_identify(tail, in->tag, &id, e);
        if (st != WR_OK)
            return st;
        off = end;
        tail.n = (size_t)(f->size - off);
        tail.p = more = wr_alloc(tail.n);
        if (!more)
            return wr_fail(e, WR_NOMEM, "page index of %zu bytes: out of memory", tail.n);
        st = wr_input_read_object(o->storage, c, f, &id, off, more, tail.n, e);
    }
    if (st == WR_OK) {
        size_t skip = (size_t)(end - off);

        st = read_end(in, (struct wr_bytes){tail.p + skip, tail.n - skip}, o->opts->lock_offset, e);
    }
    wr_free(more);
    return st;
}

static enum wr_status open_large(
    struct opening *o, struct wr_call *c, struct wr_input *in, struct wr_err *e)
{
    const struct wr_ltx_file *f = in->file;
    uint8_t head[WR_LTX_HEADER_SIZE];
    size_t n = tail_size(f);
    uint8_t *tail = wr_alloc(n);
    enum wr_status st;

    if (!tail)
        return wr_fail(e, WR_NOMEM, "end of an ltx file: out of memory");
    st = wr_input_read(o->storage, c, f, 0, head, sizeof(head), e);
    if (st == WR_OK)
        st = wr_input_read(o->storage, c, f, f->size - n, tail, n, e);
    if (st == WR_OK)
        st = open_ends(
            o, c, in, (struct wr_bytes){head, sizeof(head)}, (struct wr_bytes){tail, n}, e);
    wr_free(tail);
    return st;
}

static enum wr_status name_it(const struct wr_input *in, enum wr_status st, struct wr_err *e)
{
    char name[WR_LTX_NAME_MAX];

    if (st == WR_OK)
        return WR_OK;
    wr_ltx_name_format(name, in->file->min, in->file->max);
    return wr_wrap(e, st, "level %u file %s", in->file->level, name);
}

static enum wr_status open_input(
    struct opening *o, struct wr_call *c, struct wr_input *in, struct wr_err *e)
{
    enum wr_status st = wr_input_check(in->file, e);
    bool small;

    if (st != WR_OK)
        return st;
    small = keep(o, in->file->size);
    st = small ? open_small(o, c, in, e) : open_large(o, c, in, e);
    if (st == WR_CORRUPT) { /* one bad answer is no damage */
        wr_input_release(in);
        *in = (struct wr_input){.file = in->file};
        st = small ? open_small(o, c, in, e) : open_large(o, c, in, e);
    }
    return name_it(in, st, e);
}

/* It is damaged, and may not be the only one: whoever does without it wants to know all. */
static void spoil(struct opening *o, struct wr_input *in, const struct wr_err *e)
{
    in->bad = in->sure = true;
    wr_mutex_lock(&o->mutex);
    if (o->corrupt.code == WR_OK)
        o->corrupt = *e;
    wr_mutex_unlock(&o->mutex);
}

static enum wr_status open_one(void *arg, unsigned w, size_t i, struct wr_call *c, struct wr_err *e)
{
    struct opening *o = arg;
    struct wr_restore_progress p = {.phase = WR_RESTORE_INDEXING, .files_total = o->x->n};
    enum wr_status st = open_input(o, c, &o->x->in[i], e);

    if (st == WR_CORRUPT) {
        spoil(o, &o->x->in[i], e);
        return WR_OK;
    }
    o->x->in[i].bad = st == WR_IO;
    if (st != WR_OK)
        return st;
    wr_mutex_lock(&o->mutex);
    p.files = ++o->done;
    wr_mutex_unlock(&o->mutex);
    if (w == 0 && o->opts->progress)
        o->opts->progress(o->opts->progress_arg, &p);
    return WR_OK;
}

static enum wr_status open_all(struct opening *o, struct wr_call *c, struct wr_err *e)
{
    struct wr_inputs *x = o->x;
    enum wr_status st = WR_OK;

    for (size_t i = 0; i < x->n; i++) {
        struct wr_err own = {0};

        if (wr_input_check(x->in[i].file, &own) == WR_CORRUPT)
            spoil(o, &x->in[i], &own);
    }
    if (o->corrupt.code == WR_OK)
        st = wr_crew_run(
            c, wr_max(o->opts->opening, o->opts->parallel), x->n, "restore", open_one, o, e);
    if (st == WR_OK && o->corrupt.code != WR_OK)
        st = wr_fail(e, WR_CORRUPT, "%s", o->corrupt.text);
    return st;
}

/* What the newest file says about the database, and that the others agree. */
static enum wr_status agree(struct wr_inputs *x, uint32_t lock_offset, struct wr_err *e)
{
    const struct wr_ltx_header *last = &x->in[x->n - 1].header;

    for (size_t i = 0; i < x->n; i++) {
        if (x->in[i].header.page_size != last->page_size)
            return wr_fail(e, WR_CORRUPT,
                "mismatched page sizes: %u in file %zu of the plan, %u in the last",
                x->in[i].header.page_size, i + 1, last->page_size);
    }
    x->page_size = last->page_size;
    x->commit = last->commit;
    x->lock_pgno = wr_ltx_lock_pgno(last->page_size, lock_offset);
    x->has_rolling = last->has_rolling;
    x->rolling_post = last->rolling_post;
    return WR_OK;
}

/* The file that should have page `pgno`: the last by which the database grew to have it. */
static const struct wr_ltx_file *who_lacks(const struct wr_inputs *x, uint64_t pgno)
{
    size_t i = x->n - 1;

    while (i > 0 && x->in[i - 1].header.commit >= pgno)
        i--;
    return x->in[i].file;
}

/* Mark the newest frame of each page, or find a page without any. */
static enum wr_status elect(struct wr_inputs *x, struct wr_err *e)
{
    uint64_t frames = 0;
    uint64_t pages;                                       /* that are looked at */
    uint64_t first = x->part ? (uint64_t)x->have + 1 : 1; /* that must be there */
    uint8_t *seen;

    for (size_t i = 0; i < x->n; i++)
        frames += x->in[i].n;
    /* So few frames leave a hole among so many pages (one of which may be the lock page): there is
     * no need to look at, or to have memory for, all that a damaged header promises. */
    pages = wr_min((uint64_t)x->commit, first + frames + 1);
    seen = wr_alloc((size_t)(pages / 8 + 1));
    if (!seen)
        return wr_fail(
            e, WR_NOMEM, "table of %llu pages: out of memory", (unsigned long long)pages);
    for (size_t i = x->n; i-- > 0;) {
        struct wr_input *in = &x->in[i];

        for (size_t k = 0; k < in->n && in->refs[k].pgno <= pages; k++) {
            uint32_t bit = in->refs[k].pgno;

            if (seen[bit / 8] & 1u << bit % 8)
                continue;
            seen[bit / 8] = (uint8_t)(seen[bit / 8] | 1u << bit % 8);
            in->refs[k].length |= WR_REF_WINS;
        }
    }
    for (uint64_t pgno = first; pgno <= pages; pgno++) {
        if (pgno == x->lock_pgno || seen[pgno / 8] & 1u << pgno % 8)
            continue;
        wr_free(seen);
        x->suspect = who_lacks(x, pgno);
        return wr_fail(e, WR_CORRUPT, "page %llu missing: no file of the plan has it (of %u pages)",
            (unsigned long long)pgno, x->commit);
    }
    wr_free(seen);
    return WR_OK;
}

/* Forget the frames that need not be read. */
static void drop_losers(struct wr_input *in)
{
    size_t n = 0;
    struct wr_ref *p;

    for (size_t k = 0; k < in->n; k++) {
        if (in->refs[k].length & WR_REF_WINS)
            in->refs[n++] = in->refs[k];
    }
    in->n = n;
    p = n ? wr_resize(in->refs, n, sizeof(*p)) : NULL;
    if (p)
        in->refs = p;
}

enum wr_status wr_inputs_open(struct wr_storage *s, struct wr_call *c,
    const struct wr_ltx_file *files, size_t n, const struct wr_restore_opts *opts,
    struct wr_inputs *x, struct wr_err *e)
{
    struct opening o = {.storage = s, .opts = opts, .x = x};
    enum wr_status st;

    assert(n > 0 && !x->in);
    x->in = wr_array(n, sizeof(*x->in));
    if (!x->in)
        return wr_fail(e, WR_NOMEM, "plan of %zu files: out of memory", n);
    x->n = n;
    for (size_t i = 0; i < n; i++)
        x->in[i].file = &files[i];
    wr_mutex_init(&o.mutex);
    st = open_all(&o, c, e);
    wr_mutex_release(&o.mutex);
    if (st == WR_OK)
        st = agree(x, opts->lock_offset, e);
    if (st == WR_OK)
        st = elect(x, e);
    for (size_t i = 0; st == WR_OK && i < n; i++) {
        /* Nothing but its file's checksum proves a page, unless the image has one of its own. */
        if (!x->has_rolling || x->all_whole)
            x->in[i].whole = true;
        if (!x->in[i].whole)
            drop_losers(&x->in[i]);
    }
    return st;
}

enum wr_status wr_input_open(struct wr_storage *s, struct wr_call *c, uint32_t lock_offset,
    struct wr_input *in, struct wr_err *e)
{
    const struct wr_restore_opts opts = {.lock_offset = lock_offset};
    struct opening o = {.storage = s, .opts = &opts};
    enum wr_status st;

    wr_mutex_init(&o.mutex);
    st = open_input(&o, c, in, e);
    wr_mutex_release(&o.mutex);
    return st;
}

size_t wr_input_tail(const struct wr_ltx_file *f)
{
    return f->size > SMALL_MAX ? tail_size(f) : 0;
}

enum wr_status wr_input_open_ends(struct wr_storage *s, struct wr_call *c, uint32_t lock_offset,
    struct wr_input *in, struct wr_bytes head, struct wr_bytes tail, struct wr_err *e)
{
    const struct wr_restore_opts opts = {.lock_offset = lock_offset};
    struct opening o = {.storage = s, .opts = &opts};

    return name_it(in, open_ends(&o, c, in, head, tail, e), e);
}

void wr_input_release(struct wr_input *in)
{
    wr_free(in->refs);
    wr_free(in->bytes);
    in->refs = NULL;
    in->bytes = NULL;
}

void wr_inputs_release(struct wr_inputs *x)
{
    if (!x)
        return;
    for (size_t i = 0; x->in && i < x->n; i++)
        wr_input_release(&x->in[i]);
    wr_free(x->in);
    *x = (struct wr_inputs){0};
}
