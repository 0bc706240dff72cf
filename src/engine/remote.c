/*
 * remote.c - see remote.h. Asks the replica; refuses to decide what follows from the answer.
 */
#include "engine/remote.h"

#include "base/mem.h"
#include "engine/inputs.h"
#include "engine/layout.h"
#include "engine/restore.h"
#include "ltx/frame.h"
#include "ltx/ltx.h"
#include "storage/storage.h"

/* No replica gets there; what claims to would leave no room for the next one. */
#define TXID_SANE (UINT64_MAX / 2)

struct found {
    struct wr_ltx_file best; /* reaches furthest; of several the lowest level, which we wrote */
    bool base;               /* a file begins at TXID 1 */
};

static void take_in(const struct wr_ltx_files *files, struct found *found)
{
    struct wr_ltx_file *best = &found->best;

    for (size_t i = 0; i < files->n; i++) {
        const struct wr_ltx_file *f = &files->p[i];

        if (f->max > best->max || (f->max == best->max && f->level < best->level))
            *best = *f;
        found->base = found->base || f->min == 1;
    }
}

static enum wr_status list_from(
    struct wr_storage *s, struct wr_call *c, uint64_t from, struct found *found, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    for (unsigned level = 0; level <= WR_LEVEL_MAX && st == WR_OK; level++) {
        struct wr_ltx_files files = {0};
        /* Snapshots all start at TXID 1: a hint cannot narrow them. */
        uint64_t min = level == WR_LEVEL_SNAPSHOT ? 0 : from;

        st = wr_layout_list(s, c, level, min, &files, e);
        if (st == WR_OK)
            take_in(&files, found);
        wr_ltx_files_release(&files);
    }
    return st;
}

struct first {
    const struct wr_storage *storage;
    bool base;
};

/* Names sort by their first TXID: if any file of a level begins at 1, its first does. */
static bool look_at_first(void *arg, const struct wr_object *obj)
{
    struct first *f = arg;
    struct wr_ltx_file file;

    if (!wr_layout_ltx_parse(f->storage, obj->key, &file))
        return true;
    f->base = file.min == 1;
    return false;
}

/* A replica whose beginning was deleted goes on as if nothing were wrong, and restores nothing.
 * Nearly always a snapshot has shown it; else the first file of a level may, which a hint hides. */
static enum wr_status find_base(
    struct wr_storage *s, struct wr_call *c, bool *ret_base, struct wr_err *e)
{
    struct first f = {.storage = s};
    enum wr_status st = WR_OK;

    for (unsigned level = 0; level < WR_LEVEL_SNAPSHOT && st == WR_OK && !f.base; level++) {
        struct wr_str dir = wr_layout_ltx_dir(c->scratch, s, level);

        if (!dir.p)
            return wr_fail(e, WR_NOMEM, "list the replica");
        st = wr_storage_list(s, c, dir, (struct wr_str){0}, look_at_first, &f, e);
        if (st == WR_NOTFOUND)
            st = WR_OK;
    }
    *ret_base = f.base;
    return st;
}

/* Take a header in; a copy under another name would lead us away from the chain, to where no
 * restore follows. */
static enum wr_status take_header(const struct wr_ltx_file *f, const uint8_t *head, size_t n,
    struct wr_ltx_header *ret, struct wr_err *e)
{
    enum wr_status st;

    if (n < WR_LTX_HEADER_SIZE)
        return wr_fail(e, WR_CORRUPT, "the object has only %zu bytes", n);
    st = wr_ltx_header_get(head, ret, e);
    if (st == WR_OK && (ret->min_txid != f->min || ret->max_txid != f->max)) {
        st = wr_fail(e, WR_CORRUPT, "it holds %016llx-%016llx, so the name is wrong",
            (unsigned long long)ret->min_txid, (unsigned long long)ret->max_txid);
    }
    return st;
}

static enum wr_status read_header(struct wr_storage *s, struct wr_call *c,
    const struct wr_ltx_file *f, struct wr_remote_pos *ret, struct wr_err *e)
{
    struct wr_str key = wr_layout_ltx_key(c->scratch, s, f->level, f->min, f->max);
    uint8_t head[WR_LTX_HEADER_SIZE];
    struct wr_ltx_header h;
    struct wr_err why = {0};
    size_t got = 0;
    enum wr_status st;

    if (!key.p)
        return wr_fail(e, WR_NOMEM, "read an LTX header");
    st = wr_storage_get(s, c, key, 0, head, sizeof(head), &got, e);
    if (st != WR_OK)
        return wr_wrap(e, st, "newest file " WR_FMT, WR_ARG(key));
    st = take_header(f, head, got, &h, &why);
    if (st != WR_OK) {
        return wr_fail(e, st, "newest file " WR_FMT ": %s%s", WR_ARG(key), why.text,
            st == WR_CORRUPT ? ": remove it, to go on from the file before it" : "");
    }
    *ret = (struct wr_remote_pos){.txid = f->max,
        .has_rolling = h.has_rolling,
        .rolling = h.rolling_post,
        .node_id = h.node_id,
        .page_size = h.page_size,
        .commit = h.commit,
        .time_ms = h.time_ms};
    return WR_OK;
}

enum wr_status wr_remote_find(struct wr_storage *s, struct wr_call *c, uint64_t hint,
    struct wr_remote_pos *ret, struct wr_err *e)
{
    struct found found = {0};
    const struct wr_ltx_file *best = &found.best;
    bool whole = hint == 0;
    enum wr_status st = list_from(s, c, hint, &found, e);

    if (st == WR_OK && best->max < hint) {
        st = list_from(s, c, 0, &found, e);
        whole = true;
    }
    if (st != WR_OK)
        return st;
    if (best->max >= TXID_SANE) {
        return wr_fail(e, WR_CORRUPT,
            "an object of level %u claims txid %016llx: it is not of this replica, remove it",
            best->level, (unsigned long long)best->max);
    }
    if (best->max == 0) {
        *ret = (struct wr_remote_pos){0};
        return WR_OK;
    }
    st = read_header(s, c, best, ret, e);
    if (st == WR_OK && !found.base && !whole)
        st = find_base(s, c, &found.base, e);
    if (st == WR_OK)
        ret->has_base = found.base;
    return st;
}

static bool repeats_one_byte(const uint8_t *page, uint32_t page_size)
{
    return memcmp(page, page + 1, page_size - 1) == 0;
}

static enum wr_status sample_page(struct wr_storage *s, struct wr_call *c,
    const struct wr_input *in, const struct wr_ref *ref, uint8_t *page, struct wr_sample *ret,
    struct wr_err *e)
{
    struct wr_str key =
        wr_layout_ltx_key(c->scratch, s, in->file->level, in->file->min, in->file->max);
    uint32_t page_size = in->header.page_size, length = wr_ref_length(ref);
    uint8_t *frame = wr_alloc(length);
    size_t got = 0;
    enum wr_status st = WR_OK;

    if (!key.p || !frame)
        st = wr_fail(e, WR_NOMEM, "sample the replica");
    if (st == WR_OK)
        st = wr_storage_get(s, c, key, ref->off, frame, length, &got, e);
    if (st == WR_OK && got < length)
        st = wr_fail(e, WR_CORRUPT, WR_FMT ": ends inside page %u", WR_ARG(key), ref->pgno);
    if (st == WR_OK) {
        st = wr_ltx_frame_decode((struct wr_bytes){frame, length}, page_size, ref->pgno, page, e);
    }
    if (st == WR_OK && ref->pgno != 1 && !repeats_one_byte(page, page_size)) {
        ret->pgno[ret->n] = ref->pgno;
        ret->checksum[ret->n] = wr_ltx_page_checksum(ref->pgno, page, page_size);
        ret->n++;
    }
    wr_free(frame);
    return st;
}

/* Every k-th of the winning frames, so that they spread over files and pages. */
static enum wr_status sample_inputs(struct wr_storage *s, struct wr_call *c,
    const struct wr_inputs *x, struct wr_sample *ret, struct wr_err *e)
{
    uint8_t *page = wr_alloc(x->page_size);
    size_t total = 0, seen = 0, step;
    enum wr_status st = WR_OK;

    if (!page)
        return wr_fail(e, WR_NOMEM, "sample the replica");
    for (size_t i = 0; i < x->n; i++) {
        for (size_t k = 0; k < x->in[i].n; k++)
            total += (x->in[i].refs[k].length & WR_REF_WINS) != 0;
    }
    step = total / WR_SAMPLE_MAX + 1;
    for (size_t i = 0; i < x->n && st == WR_OK; i++) {
        for (size_t k = 0; k < x->in[i].n && st == WR_OK; k++) {
            if ((x->in[i].refs[k].length & WR_REF_WINS) && seen++ % step == 0)
                st = sample_page(s, c, &x->in[i], &x->in[i].refs[k], page, ret, e);
        }
    }
    wr_free(page);
    return st;
}

enum wr_status wr_remote_sample(
    struct wr_storage *s, struct wr_call *c, struct wr_sample *ret, struct wr_err *e)
{
    struct wr_restore_opts o = {.parallel = 1, .lock_offset = WR_LTX_LOCK_OFFSET};
    struct wr_ltx_files plan = {0};
    struct wr_inputs x = {0};
    enum wr_status st = wr_restore_plan(s, c, &o, &plan, e);

    *ret = (struct wr_sample){0};
    if (st == WR_OK)
        st = wr_inputs_open(s, c, plan.p, plan.n, &o, &x, e);
    if (st == WR_OK)
        st = sample_inputs(s, c, &x, ret, e);
    wr_inputs_release(&x);
    wr_ltx_files_release(&plan);
    return st == WR_OK ? WR_OK : wr_wrap(e, st, "sample the replica's newest state");
}

enum wr_status wr_remote_same(struct wr_storage *s, struct wr_call *c, unsigned level, uint64_t min,
    uint64_t max, uint64_t size, uint64_t checksum, bool *ret_same, struct wr_err *e)
{
    struct wr_str key = wr_layout_ltx_key(c->scratch, s, level, min, max);
    uint8_t tail[WR_LTX_TRAILER_SIZE + 1];
    struct wr_ltx_trailer t;
    size_t got = 0;
    enum wr_status st;

    if (!key.p)
        return wr_fail(e, WR_NOMEM, "compare an object");
    /* One byte more than the trailer: an object that is longer shows. */
    st = wr_storage_get(s, c, key, size - WR_LTX_TRAILER_SIZE, tail, sizeof(tail), &got, e);
    if (st != WR_OK)
        return st;
    *ret_same = got == WR_LTX_TRAILER_SIZE && wr_ltx_trailer_get(tail, &t, NULL) == WR_OK &&
                t.file_checksum == checksum;
    return WR_OK;
}
