/*
 * follow_fetch.c - see follow_fetch.h.
 *
 * Pages wait in memory, or, if they are many, in a file beside the copy that has no name; each
 * where it will be in the copy, and what is not fetched is a hole.
 */
#include "engine/follow_fetch.h"

#include "base/crypto.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/chain.h"
#include "engine/draft.h"
#include "engine/follow_pages.h"
#include "engine/follow_state.h"
#include "engine/image.h"
#include "engine/inputs.h"
#include "engine/leftovers.h"
#include "engine/plan.h"
#include "engine/restore.h"
#include "engine/whole.h"
#include "sqlite/patch.h"

#define FEW_BYTES  ((uint64_t)1 << 20) /* for which threads, or a disk, are not worth it */
#define COMPARED   ((size_t)1 << 16)   /* bytes at once; a page at least */
#define PGNO_FIRST 64                  /* room */

/* A file for pages, beside the copy, without a name: it is gone with us. */
static enum wr_status open_spool(
    struct wr_call *c, const struct wr_restore_opts *opts, struct wr_file **ret, struct wr_err *e)
{
    const unsigned how = WR_FILE_READ | WR_FILE_WRITE | WR_FILE_CREATE | WR_FILE_EXCL;
    uint8_t random[8];
    char tag[2 * sizeof(random) + 1];
    struct wr_arena *a = c->scratch;
    const char *name;
    enum wr_status st = wr_random(random, sizeof(random), e);

    if (st != WR_OK)
        return st;
    wr_hex(random, sizeof(random), tag);
    /* Should we be killed before it loses its name, the next restore there removes it. */
    name = wr_leftover_path(a, opts->path, WR_LEFTOVER_TMP, tag);
    name = name ? wr_arena_fmt(a, "%s" WR_LEFTOVER_SPOOL, name).p : NULL;
    if (!name)
        return wr_fail(e, WR_NOMEM, "%s: out of memory", opts->path);
    st = wr_file_open(opts->fs, name, how, 0600, ret, e);
    if (st != WR_OK)
        return st;
    (void)opts->fs->lock(*ret, NULL); /* against that restore; without it there is a race */
    st = opts->fs->remove(opts->fs, name, e);
    if (st != WR_OK) {
        wr_file_close(*ret);
        *ret = NULL;
    }
    return st;
}

/* For those that `x` lists. */
static enum wr_status open_pages(struct wr_call *c, const struct wr_restore_opts *opts,
    uint32_t page_size, struct wr_follow_change *x, struct wr_err *e)
{
    if (x->n <= FEW_BYTES / page_size)
        return wr_follow_pages_new(x->pgno, x->n, page_size, &x->pages, e);
    return open_spool(c, opts, &x->pages, e);
}

static enum wr_status add_pgno(
    struct wr_follow_change *x, size_t *cap, uint32_t pgno, struct wr_err *e)
{
    if (x->n == *cap) {
        size_t more = *cap ? 2 * *cap : PGNO_FIRST;
        uint32_t *p = wr_resize(x->pgno, more, sizeof(*p));

        if (!p)
            return wr_fail(e, WR_NOMEM, "list of %zu pages: out of memory", more);
        x->pgno = p;
        *cap = more;
    }
    x->pgno[x->n++] = pgno;
    return WR_OK;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

/* The pages of which a file has the newest frame. */
static enum wr_status list_pages(
    const struct wr_inputs *in, struct wr_follow_change *x, struct wr_err *e)
{
    size_t cap = 0;
    enum wr_status st = WR_OK;

    for (size_t i = 0; i < in->n; i++) {
        for (size_t k = 0; st == WR_OK && k < in->in[i].n; k++) {
            if (in->in[i].refs[k].length & WR_REF_WINS)
                st = add_pgno(x, &cap, in->in[i].refs[k].pgno, e);
        }
    }
    if (st == WR_OK && x->n > 1)
        qsort(x->pgno, x->n, sizeof(*x->pgno), by_number);
    return st;
}

static size_t index_of_bad(const struct wr_inputs *in)
{
    for (size_t i = 0; i < in->n; i++) {
        if (in->in[i].bad || in->in[i].misnamed)
            return i;
    }
    return SIZE_MAX;
}

static bool other_pages(const struct wr_inputs *in, const struct wr_follow_pos *pos)
{
    return in->in[in->n - 1].header.page_size != pos->page_size;
}

/* Whether these files may be applied to a copy at *pos, by what their headers say. */
static enum wr_status fits(
    const struct wr_inputs *in, const struct wr_follow_pos *pos, struct wr_err *e)
{
    const struct wr_ltx_header *first = &in->in[0].header;
    char name[WR_LAYOUT_NAME_MAX];

    for (size_t i = 0; i < in->n; i++) {
        if (in->in[i].misnamed) {
            wr_layout_name(name, in->in[i].file);
            return wr_fail(e, WR_CORRUPT, "level %u file %s has another one's name",
                in->in[i].file->level, name);
        }
    }
    if (other_pages(in, pos))
        return wr_fail(e, WR_UNSUPPORTED, "the page size is another one by now");
    if (first->min_txid == pos->txid + 1 && first->has_rolling && wr_follow_base(pos) &&
        first->rolling_pre != wr_follow_base(pos))
        return wr_fail(e, WR_CONFLICT,
            "transaction %016llx of the replica goes on from another database than this copy, "
            "which is at the transaction before",
            (unsigned long long)first->min_txid);
    return WR_OK;
}

static uint64_t bytes_of(const struct wr_ltx_files *files)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < files->n; i++)
        bytes += files->p[i].size;
    return bytes;
}

enum wr_status wr_follow_fetch(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, const struct wr_follow_pos *pos,
    const struct wr_ltx_files *chain, struct wr_follow_change *ret, size_t *ret_bad,
    struct wr_err *e)
{
    struct wr_restore_opts quiet = *opts;
    struct wr_inputs in = {.all_whole = true, .part = true, .have = pos->pages};
    struct wr_image_report report = {0};
    struct wr_draft draft = {0};
    const struct wr_ltx_file *last = &chain->p[chain->n - 1];
    enum wr_status st;

    quiet.progress = NULL;
    if (bytes_of(chain) <= FEW_BYTES)
        quiet.parallel = 1;
    *ret_bad = SIZE_MAX;
    st = wr_inputs_open(s, c, chain->p, chain->n, &quiet, &in, e);
    if (st == WR_CORRUPT && index_of_bad(&in) == SIZE_MAX && other_pages(&in, pos))
        st = WR_OK; /* no wonder that some are missing */
    if (st == WR_OK)
        st = fits(&in, pos, e);
    if (st == WR_OK)
        st = list_pages(&in, ret, e);
    if (st == WR_OK)
        st = open_pages(c, opts, in.page_size, ret, e);
    if (st == WR_OK) {
        draft = (struct wr_draft){.file = ret->pages, .page_size = in.page_size};
        st = wr_image_write(s, c, &in, &quiet, &draft, &report, e);
    }
    if (st == WR_CORRUPT)
        *ret_bad = index_of_bad(&in);
    if (st == WR_OK) {
        ret->page_size = in.page_size;
        ret->commit = in.commit;
        ret->txid = last->max;
        ret->time_ms = in.in[in.n - 1].header.time_ms;
        ret->sum = report.rolling;
        ret->rolling = in.has_rolling ? in.rolling_post : 0;
    }
    wr_inputs_release(&in);
    return st;
}

/* All pages of the new image that the copy does not have. */
struct comparing {
    struct wr_patch *copy;
    const struct wr_follow_pos *pos;
    struct wr_follow_change *x;
    uint32_t lock_pgno;
    uint8_t *is, *was; /* COMPARED bytes each */
    size_t cap;        /* of x->pgno */
};

static enum wr_status compare_some(struct comparing *m, uint32_t at, size_t n, struct wr_err *e)
{
    uint32_t size = m->x->page_size;
    bool same = size == m->pos->page_size;
    uint32_t there = same && m->pos->pages > at ? m->pos->pages - at : 0;
    size_t old = wr_min(n, (size_t)there);
    uint64_t off = (uint64_t)at * size;
    enum wr_status st = wr_file_pread_all(m->x->pages, m->is, n * size, off, "new pages", e);

    if (st == WR_OK && old > 0)
        st = wr_patch_read(m->copy, m->was, old * size, off, e);
    if (st == WR_OK && at == 0 && old > 0) /* the same page, in the copy's dress */
        memcpy(m->was, m->pos->header, WR_DB_HEADER);
    for (size_t i = 0; st == WR_OK && i < n; i++) {
        uint32_t pgno = at + 1 + (uint32_t)i;

        if (pgno != m->lock_pgno &&
            (i >= old || memcmp(m->is + i * size, m->was + i * size, size) != 0))
            st = add_pgno(m->x, &m->cap, pgno, e);
    }
    return st;
}

static enum wr_status compare(struct wr_call *c, struct comparing *m, struct wr_err *e)
{
    size_t a_chunk = COMPARED / m->x->page_size;
    enum wr_status st = WR_OK;

    m->is = wr_alloc(COMPARED);
    m->was = wr_alloc(COMPARED);
    if (!m->is || !m->was)
        st = wr_fail(e, WR_NOMEM, "buffers: out of memory");
    for (uint32_t at = 0; st == WR_OK && at < m->x->commit;) {
        size_t n = wr_min(a_chunk, (size_t)(m->x->commit - at));

        st = wr_call_check(c, "follow", e);
        if (st == WR_OK)
            st = compare_some(m, at, n, e);
        at += (uint32_t)n;
    }
    wr_free(m->is);
    wr_free(m->was);
    return st;
}

static enum wr_status plan_newest(
    const struct wr_ltx_files *all, uint64_t cur, struct wr_ltx_files *ret, struct wr_err *e)
{
    const struct wr_plan_target newest = {0};
    enum wr_status st = wr_plan_files(all, &newest, ret, e);

    return st == WR_OK && ret->p[ret->n - 1].max <= cur ? WR_NOTFOUND : st;
}

enum wr_status wr_follow_fetch_anew(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, const struct wr_ltx_files *all, struct wr_patch *copy,
    const struct wr_follow_pos *pos, uint64_t cur, struct wr_follow_change *ret, struct wr_err *e)
{
    struct wr_restore_opts quiet = *opts;
    struct wr_chain_report is = {0};
    struct wr_ltx_files plan = {0};
    struct comparing m = {.copy = copy, .pos = pos, .x = ret};
    enum wr_status st = plan_newest(all, cur, &plan, e);

    quiet.progress = NULL;
    if (st == WR_OK)
        st = open_spool(c, opts, &ret->pages, e);
    if (st == WR_OK)
        st = wr_chain_fetch(s, c, &quiet, all, &plan, ret->pages, NULL, &is, e);
    if (st == WR_OK) {
        ret->anew = true;
        ret->page_size = is.page_size;
        ret->commit = is.commit;
        ret->rolling = is.rolling;
        ret->txid = plan.p[plan.n - 1].max;
        ret->time_ms = is.time_ms > 0 ? is.time_ms : plan.p[plan.n - 1].time_ms;
        m.lock_pgno = wr_ltx_lock_pgno(is.page_size, opts->lock_offset);
        st = compare(c, &m, e);
    }
    wr_ltx_files_release(&plan);
    return st;
}
