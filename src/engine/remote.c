/*
 * remote.c - see remote.h. Asks the replica; refuses to decide what follows from the answer.
 */
#include "engine/remote.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "engine/inputs.h"
#include "engine/layout.h"
#include "engine/plan.h"
#include "engine/restore.h"
#include "ltx/frame.h"
#include "ltx/ltx.h"
#include "storage/storage.h"

/* All files from `since` on, by wr_ltx_file_cmp. Snapshots all begin at TXID 1: these are listed
 * from there. */
static enum wr_status list_since(struct wr_storage *s, struct wr_call *c, uint64_t since,
    struct wr_ltx_files *ret, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    wr_ltx_files_release(ret);
    for (unsigned level = 0; level <= WR_LEVEL_MAX && st == WR_OK; level++)
        st = wr_layout_list(s, c, level, level == WR_LEVEL_SNAPSHOT ? 0 : since, ret, e);
    return st;
}

/* The one that reaches furthest; of several that of the lowest level, which we wrote. NULL: none.
 */
static const struct wr_ltx_file *furthest(const struct wr_ltx_files *files)
{
    const struct wr_ltx_file *best = NULL;

    for (size_t i = 0; i < files->n; i++) {
        if (!best || files->p[i].max > best->max)
            best = &files->p[i];
    }
    return best;
}

/* Two files of level 0 that share a TXID behind the newest snapshot. */
static bool compete(const struct wr_ltx_files *files)
{
    uint64_t snapshot = 0, end = 0;

    for (size_t i = 0; i < files->n; i++) {
        if (files->p[i].min == 1 && files->p[i].level == WR_LEVEL_SNAPSHOT)
            snapshot = files->p[i].max;
    }
    for (size_t i = 0; i < files->n && files->p[i].level == 0; i++) {
        const struct wr_ltx_file *f = &files->p[i];

        if (f->max > snapshot && f->min <= end)
            return true;
        end = wr_max(end, f->max);
    }
    return false;
}

static int by_cmp(const void *a, const void *b)
{
    return wr_ltx_file_cmp(a, b);
}

/* Whether a restore of the newest state has one way to go. What leads to `since` is taken for one
 * file, as nothing of it was listed. */
static enum wr_status is_whole(
    struct wr_ltx_files *files, uint64_t since, bool *ret, struct wr_err *e)
{
    const struct wr_plan_target newest = {0};
    struct wr_ltx_file past = {.min = 1, .max = since, .level = WR_LEVEL_SNAPSHOT - 1};
    struct wr_err why = {0};
    size_t *chain = NULL, n = 0;
    uint64_t end;
    enum wr_status st = since > 0 ? wr_ltx_files_add(files, &past, e) : WR_OK;

    *ret = false;
    if (st != WR_OK)
        return st;
    end = furthest(files)->max;
    if (since > 0)
        qsort(files->p, files->n, sizeof(*files->p), by_cmp);
    chain = wr_array(files->n, sizeof(*chain));
    if (!chain)
        return wr_fail(e, WR_NOMEM, "list the replica");
    *ret = !compete(files) && wr_plan(files->p, files->n, &newest, chain, &n, &why) == WR_OK &&
           files->p[chain[n - 1]].max == end;
    wr_free(chain);
    return WR_OK;
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

enum wr_status wr_remote_find(struct wr_storage *s, struct wr_call *c, uint64_t since,
    struct wr_remote_pos *ret, struct wr_err *e)
{
    struct wr_ltx_files files = {0};
    struct wr_ltx_file best = {0};
    bool whole = false;
    enum wr_status st = list_since(s, c, since, &files, e);

    if (st == WR_OK && files.n > 0)
        best = *furthest(&files);
    if (st == WR_OK && since > 0 && best.max < since) {
        since = 0;
        st = list_since(s, c, since, &files, e);
        best = files.n > 0 ? *furthest(&files) : (struct wr_ltx_file){0};
    }
    if (st == WR_OK && best.max >= WR_TXID_SANE) {
        st = wr_fail(e, WR_CORRUPT,
            "an object of level %u claims txid %016llx: it is not of this replica, remove it",
            best.level, (unsigned long long)best.max);
    }
    if (st == WR_OK && best.max > 0)
        st = is_whole(&files, since, &whole, e);
    if (st == WR_OK && best.max > 0)
        st = read_header(s, c, &best, ret, e);
    else if (st == WR_OK)
        *ret = (struct wr_remote_pos){0};
    if (st == WR_OK)
        ret->whole = whole;
    wr_ltx_files_release(&files);
    return st;
}

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
 * without cells, and those with a row of the schema. */
static bool says_nothing(uint32_t pgno, const uint8_t *page, uint32_t page_size)
{
    bool tree = page[0] == 2 || page[0] == 5 || page[0] == 10 || page[0] == 13;

    return pgno == 1 || memcmp(page, page + 1, page_size - 1) == 0 ||
           (tree && wr_be16(page + 3) == 0) || has_text(page, page_size, "CREATE ");
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
    if (st == WR_OK && !says_nothing(ref->pgno, page, page_size)) {
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
