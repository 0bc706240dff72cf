/*
 * sample.c - see sample.h.
 *
 *   1  list, and plan the newest state
 *   2  read header and page index of its files, the newest first: the first that has a page has its
 *      newest frame. Where those of the wanted pages are is kept, of all others that they are there
 *   3  fetch wanted pages until enough of them say something
 */
#include "engine/sample.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "engine/crew.h"
#include "engine/input_read.h"
#include "engine/inputs.h"
#include "engine/restore.h"
#include "ltx/frame.h"
#include "storage/storage.h"

#define AT_ONCE    8u
#define WANTED_MAX 128u /* pages that are fetched at most, beside page 1: many say nothing */
#define ROUNDS     4u   /* in each, every fourth of them */
#define TREE_ABOVE 5u   /* first byte of a page above the leaves of a table */
#define FILE_HEAD  100u /* bytes of page 1: the header of a database file */
#define FRAME_MIN  8u   /* bytes; no frame with its entry in the index is smaller */

struct wanted {
    uint32_t pgno;
    uint32_t length;                /* of its frame */
    uint64_t off;                   /* in the file */
    const struct wr_ltx_file *file; /* NULL: not found yet */
    bool says;                      /* it was fetched, and is none of those left out */
    uint64_t checksum;
};

struct taking {
    struct wr_storage *storage;
    uint32_t lock_offset; /* of SQLite's lock page */
    unsigned parallel;
    int64_t each_ms;
    uint32_t page_size;
    uint64_t pages, missing; /* of the database; those that no file read so far has */
    uint8_t *seen;           /* a bit each */
    struct wr_input in[AT_ONCE];
    struct wanted *batch[AT_ONCE];
    size_t n;
    struct wanted wanted[1 + WANTED_MAX]; /* ascending; page 1 is the first */
};

static bool has_text(const uint8_t *p, size_t n, const char *text)
{
    size_t len = strlen(text);

    for (size_t i = 0; i + len <= n; i++) {
        if (memcmp(p + i, text, len) == 0)
            return true;
    }
    return false;
}

/* Pages that say nothing about whose they are. Of the pages of a tree (file format, 1.6) those
 * without cells, those with a row of the schema, and those above the leaves of a table: row numbers
 * and page numbers come out the same in databases that were filled alike. */
static bool says_nothing(const uint8_t *page, uint32_t page_size)
{
    bool tree = page[0] == 2 || page[0] == 10 || page[0] == 13;

    return memcmp(page, page + 1, page_size - 1) == 0 || page[0] == TREE_ABOVE ||
           (tree && wr_be16(page + 3) == 0) || has_text(page, page_size, "CREATE ");
}

static void set_deadline(const struct taking *t, struct wr_call *c)
{
    c->deadline_ms = wr_mono_ms(c->clock) + t->each_ms;
}

static enum wr_status run(
    struct taking *t, struct wr_call *c, size_t n, wr_crew_fn *fn, struct wr_err *e)
{
    set_deadline(t, c);
    return wr_crew_run(c, t->parallel, n, "sample", fn, t, e);
}

/* ---- where the newest frames are ---- */

/* What the newest file says of the database. So few bytes leave a hole among so many pages: there
 * is no need to have memory for all that a damaged header promises. */
static enum wr_status begin(struct taking *t, const struct wr_ltx_header *newest,
    const struct wr_ltx_files *plan, struct wr_err *e)
{
    uint32_t lock = wr_ltx_lock_pgno(newest->page_size, t->lock_offset);
    uint64_t bytes = 0, step;

    for (size_t i = 0; i < plan->n; i++)
        bytes += plan->p[i].size;
    t->page_size = newest->page_size;
    t->pages = wr_min((uint64_t)newest->commit, bytes / FRAME_MIN + 2);
    t->missing = t->pages - (lock <= t->pages);
    t->seen = wr_alloc((size_t)(t->pages / 8 + 1));
    if (!t->seen)
        return wr_fail(e, WR_NOMEM, "table of %llu pages", (unsigned long long)t->pages);
    t->wanted[t->n++].pgno = 1;
    step = t->pages / WANTED_MAX + 1;
    for (uint64_t pgno = 2; pgno <= t->pages; pgno += step) {
        if (pgno != lock)
            t->wanted[t->n++].pgno = (uint32_t)pgno;
    }
    return WR_OK;
}

/* The files behind it have been taken in. */
static enum wr_status take_in(struct taking *t, const struct wr_input *in, struct wr_err *e)
{
    struct wanted *want = t->wanted, *end = t->wanted + t->n;

    if (in->header.page_size != t->page_size)
        return wr_fail(e, WR_CORRUPT, "mismatched page sizes: %u, and %u in the newest file",
            in->header.page_size, t->page_size);
    for (size_t i = 0; i < in->n && in->refs[i].pgno <= t->pages; i++) {
        const struct wr_ref *ref = &in->refs[i];

        while (want < end && want->pgno < ref->pgno)
            want++;
        if (t->seen[ref->pgno / 8] & 1u << ref->pgno % 8)
            continue;
        t->seen[ref->pgno / 8] = (uint8_t)(t->seen[ref->pgno / 8] | 1u << ref->pgno % 8);
        t->missing--;
        if (want < end && want->pgno == ref->pgno) {
            want->file = in->file;
            want->off = ref->off;
            want->length = wr_ref_length(ref);
        }
    }
    return WR_OK;
}

static enum wr_status open_one(void *arg, unsigned w, size_t i, struct wr_call *c, struct wr_err *e)
{
    struct taking *t = arg;
    struct wr_input *in = &t->in[i];
    enum wr_status st;

    (void)w;
    set_deadline(t, c);
    st = wr_input_open(t->storage, c, t->lock_offset, in, e);
    wr_free(in->bytes);
    in->bytes = NULL;
    return st;
}

static enum wr_status find_frames(
    struct taking *t, struct wr_call *c, const struct wr_ltx_files *plan, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    for (size_t end = plan->n; end > 0 && st == WR_OK;) {
        size_t n = wr_min(end, (size_t)t->parallel);

        for (size_t i = 0; i < n; i++)
            t->in[i] = (struct wr_input){.file = &plan->p[end - 1 - i]};
        st = run(t, c, n, open_one, e);
        if (st == WR_OK && end == plan->n)
            st = begin(t, &t->in[0].header, plan, e);
        for (size_t i = 0; i < n; i++) {
            if (st == WR_OK)
                st = take_in(t, &t->in[i], e);
            wr_input_release(&t->in[i]);
        }
        end -= n;
    }
    if (st == WR_OK && t->missing > 0)
        return wr_fail(e, WR_CORRUPT, "%llu pages are missing: no file of the plan has them",
            (unsigned long long)t->missing);
    return st;
}

/* ---- the pages ---- */

static enum wr_status fetch(struct taking *t, struct wr_call *c, struct wanted *want,
    uint8_t *frame, uint8_t *page, struct wr_err *e)
{
    enum wr_status st = wr_input_read(t->storage, c, want->file, want->off, frame, want->length, e);

    if (st == WR_OK) {
        st = wr_ltx_frame_decode(
            (struct wr_bytes){frame, want->length}, t->page_size, want->pgno, page, e);
    }
    if (st == WR_OK && want->pgno == 1) {
        want->checksum = wr_sample_schema(page, t->page_size);
    } else if (st == WR_OK) {
        want->says = !says_nothing(page, t->page_size);
        want->checksum = wr_ltx_page_checksum(want->pgno, page, t->page_size);
    }
    return st;
}

static enum wr_status fetch_one(
    void *arg, unsigned w, size_t i, struct wr_call *c, struct wr_err *e)
{
    struct taking *t = arg;
    uint8_t *frame = wr_alloc(t->batch[i]->length), *page = wr_alloc(t->page_size);
    enum wr_status st;

    (void)w;
    set_deadline(t, c);
    st = frame && page ? fetch(t, c, t->batch[i], frame, page, e)
                       : wr_fail(e, WR_NOMEM, "page %u", t->batch[i]->pgno);
    wr_free(frame);
    wr_free(page);
    return st;
}

static void keep(const struct wanted *want, struct wr_sample *ret)
{
    if (want->pgno == 1)
        ret->schema = want->checksum;
    if (!want->says || ret->n == WR_SAMPLE_MAX)
        return;
    ret->pgno[ret->n] = want->pgno;
    ret->checksum[ret->n] = want->checksum;
    ret->n++;
}

static enum wr_status fetch_round(
    struct taking *t, struct wr_call *c, size_t round, struct wr_sample *ret, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    for (size_t next = round; next < t->n && ret->n < WR_SAMPLE_MAX && st == WR_OK;) {
        size_t n = 0;

        for (; next < t->n && n < t->parallel; next += ROUNDS)
            t->batch[n++] = &t->wanted[next];
        st = run(t, c, n, fetch_one, e);
        for (size_t i = 0; i < n && st == WR_OK; i++)
            keep(t->batch[i], ret);
    }
    return st;
}

uint64_t wr_sample_schema(const uint8_t *page, uint32_t page_size)
{
    assert(page_size > FILE_HEAD);
    return wr_ltx_page_checksum(1, page + FILE_HEAD, page_size - FILE_HEAD);
}

enum wr_status wr_sample_take(struct wr_storage *s, struct wr_call *c, uint32_t lock_offset,
    unsigned parallel, int64_t each_ms, struct wr_sample *ret, struct wr_err *e)
{
    const struct wr_restore_opts o = {.parallel = 1, .lock_offset = lock_offset};
    struct taking *t = wr_alloc(sizeof(*t));
    struct wr_sample sample = {0};
    struct wr_ltx_files plan = {0};
    enum wr_status st;

    assert(parallel >= 1 && parallel <= AT_ONCE);
    if (!t)
        return wr_fail(e, WR_NOMEM, "sample the replica");
    *t = (struct taking){
        .storage = s, .lock_offset = lock_offset, .parallel = parallel, .each_ms = each_ms};
    set_deadline(t, c);
    st = wr_restore_plan(s, c, &o, &plan, e);
    if (st == WR_OK)
        st = find_frames(t, c, &plan, e);
    for (size_t i = 0; i < ROUNDS && st == WR_OK; i++)
        st = fetch_round(t, c, i, &sample, e);
    wr_ltx_files_release(&plan);
    wr_free(t->seen);
    wr_free(t);
    if (st != WR_OK)
        return wr_wrap(e, st, "sample the replica's newest state");
    *ret = sample;
    return WR_OK;
}
