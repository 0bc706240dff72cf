/*
 * delta.c - see delta.h.
 *
 * Why a file may be applied before those older than it: a page counts as it is in the first file
 * that has it, on the way back. Files that overlap do no harm. Say one ends at b, and all above cur
 * have been applied, cur < b: a page of it that none of those has did not change after cur, so that
 * as of b it is what it is in the end.
 *
 * Proof is the XOR of the checksums of all pages, kept and fetched. While pages are still missing
 * that agrees with the right one by an accident of 1 in 2^63, as it does for a restore.
 */
#include "engine/delta.h"

#include "base/buf.h"
#include "base/mem.h"
#include "engine/draft.h"
#include "engine/image.h"
#include "engine/inputs.h"
#include "engine/ledger.h"
#include "engine/restore.h"
#include "engine/whole.h"
#include "ltx/ltx.h"
#include "sqlite/dbfile.h"

#define CHUNK      ((size_t)1 << 20) /* bytes of the older database read at once */
#define BUDGET     ((uint64_t)256 << 10)
#define FRAME_MIN  12   /* bytes: what a page takes in a file at least */
#define FILES_MAX  1000 /* one after the other */
#define PROGRESS_N 64   /* chunks */

/* In place of the checksum of a page, which has bit 63 set. */
enum {
    LACKING = 0, /* the older database ends before it */
    FETCHED = 1,
};

struct delta {
    struct wr_storage *storage;
    const struct wr_restore_opts *opts;
    const struct wr_ltx_files *all, *plan;
    struct wr_draft draft;
    struct wr_ltx_header end; /* of the newest file */
    uint32_t lock_pgno;
    uint64_t *sums;   /* of page 1, 2, ... */
    uint64_t *known;  /* the same as the ledger has them, and 0 where it agrees; or NULL */
    uint32_t doubted; /* pages that it does not agree on */
    uint64_t rolling; /* of all pages, without bit 63 */
    uint32_t lacking; /* pages */
    uint64_t read;    /* bytes of objects, on the way back */
    uint64_t mended;  /* and of those of the plan, for pages that are damaged */
    uint64_t limit;   /* of both */
    struct wr_delta_report *r;
};

static bool holds(const struct wr_ltx_file *f, uint64_t cur, uint64_t end)
{
    return f->level < WR_LEVEL_SNAPSHOT && f->min <= cur && f->max >= cur && f->max <= end;
}

const struct wr_ltx_file *wr_delta_next(
    const struct wr_ltx_files *all, uint64_t cur, uint64_t end, uint64_t budget)
{
    const struct wr_ltx_file *wide = NULL, *narrow = NULL;

    for (size_t i = 0; i < all->n; i++) {
        const struct wr_ltx_file *f = &all->p[i];

        if (!holds(f, cur, end))
            continue;
        if (f->size <= budget && (!wide || f->min < wide->min))
            wide = f;
        if (!narrow || f->min > narrow->min)
            narrow = f;
    }
    return wide ? wide : narrow;
}

static uint64_t bare(uint64_t checksum)
{
    return checksum & ~WR_LTX_CHECKSUM_EMPTY;
}

static bool is_there(const struct delta *d)
{
    return d->lacking == 0 && (d->rolling | WR_LTX_CHECKSUM_EMPTY) == d->end.rolling_post;
}

/* The older database is being copied. */
static void tell(const struct delta *d)
{
    if (d->opts->progress)
        d->opts->progress(
            d->opts->progress_arg, &(struct wr_restore_progress){.phase = WR_RESTORE_INDEXING});
}

/* Of the file that is being applied; those before it are done, and what comes is not known yet. */
static void tell_apply(void *arg, const struct wr_restore_progress *p)
{
    const struct delta *d = arg;
    struct wr_restore_progress out = *p;

    out.bytes_done += d->r->fetched;
    out.bytes_total += d->r->fetched;
    out.pages = 0; /* of all, that is not counted */
    out.files = out.files_total = d->r->files;
    d->opts->progress(d->opts->progress_arg, &out);
}

/* What the ledger says of the pages, where it is still there. */
static void open_ledger(struct delta *d)
{
    const struct wr_restore_opts *o = d->opts;
    struct wr_str dir = wr_path_dir(o->path), name = wr_path_base(o->path);
    struct wr_buf path;

    wr_buf_init(&path, 4096);
    if (o->meta_dir)
        wr_buf_z(&path, o->meta_dir);
    else
        wr_buf_fmt(&path, WR_FMT "/." WR_FMT "-weir", WR_ARG(dir), WR_ARG(name));
    if (wr_buf_status(&path) == WR_OK)
        d->known = wr_ledger_peek(
            o->fs, (const char *)path.p, d->end.page_size, d->lock_pgno, d->end.commit);
    wr_buf_release(&path);
}

static void compare(struct delta *d, uint32_t pgno)
{
    uint64_t *known = &d->known[pgno - 1];

    if (*known == d->sums[pgno - 1])
        *known = 0;
    d->doubted += *known != 0;
}

/* Take over `n` pages from `pgno` on. */
static enum wr_status keep_pages(
    struct delta *d, uint32_t pgno, uint8_t *pages, size_t n, struct wr_err *e)
{
    uint32_t page_size = d->end.page_size;

    for (size_t i = 0; i < n; i++, pgno++) {
        uint8_t *page = pages + i * page_size;

        if (pgno == d->lock_pgno) { /* no file has it, and nothing is ever in it */
            memset(page, 0, page_size);
            continue;
        }
        d->sums[pgno - 1] = wr_ltx_page_checksum(pgno, page, page_size);
        d->rolling ^= bare(d->sums[pgno - 1]);
        d->lacking--;
        d->r->kept++;
        if (d->known)
            compare(d, pgno);
    }
    return wr_draft_put(
        &d->draft, pgno - (uint32_t)n, (struct wr_bytes){pages, n * page_size}, NULL, e);
}

/* What is wrong with the older database is a reason to do without it. */
static enum wr_status no_help(enum wr_status st, const struct wr_err *why, struct wr_err *e)
{
    return wr_fail(e, st == WR_IO ? WR_NOTFOUND : st, "%s", why->text);
}

static enum wr_status read_old(
    struct delta *d, struct wr_dbfile *old, uint32_t at, size_t n, uint8_t *out, struct wr_err *e)
{
    uint32_t page_size = d->end.page_size;
    struct wr_err own = {0};
    enum wr_status st = wr_dbfile_read(old, out, n * page_size, (uint64_t)at * page_size, &own);

    return st == WR_OK ? WR_OK : no_help(st, &own, e);
}

/* Copy the older database, as far as the new one goes. */
static enum wr_status keep_all(
    struct delta *d, struct wr_call *c, struct wr_dbfile *old, uint32_t pages, struct wr_err *e)
{
    size_t a_chunk = CHUNK / d->end.page_size;
    uint8_t *chunk = wr_alloc(CHUNK);
    enum wr_status st = WR_OK;

    if (!chunk)
        return wr_fail(e, WR_NOMEM, "restore buffers: out of memory");
    for (uint32_t at = 0; st == WR_OK && at < pages;) {
        size_t n = wr_min(a_chunk, (size_t)(pages - at));

        st = wr_call_check(c, "restore", e);
        if (st == WR_OK)
            st = read_old(d, old, at, n, chunk, e);
        if (st == WR_OK)
            st = keep_pages(d, at + 1, chunk, n, e);
        at += (uint32_t)n;
        if (at / a_chunk % PROGRESS_N == 0)
            tell(d);
    }
    wr_free(chunk);
    return st;
}

/* Room for the new database, with all that is here of it. */
static enum wr_status begin(struct delta *d, struct wr_call *c, struct wr_err *e)
{
    struct wr_dbfile *old = NULL;
    struct wr_err own = {0};
    uint64_t size = 0, pages;
    enum wr_status st = wr_dbfile_open(d->opts->path, &old, &size, &own);

    if (st != WR_OK)
        return no_help(st, &own, e);
    pages = wr_min(size / d->end.page_size, (uint64_t)d->end.commit);
    if (d->end.commit - pages > d->limit / FRAME_MIN) {
        st = wr_fail(
            e, WR_NOTFOUND, "it has %llu of %u pages", (unsigned long long)pages, d->end.commit);
        goto out;
    }
    d->lacking = d->end.commit - (d->lock_pgno <= d->end.commit);
    d->sums = wr_array(d->end.commit, sizeof(*d->sums));
    if (!d->sums) /* for a size that nothing has proven yet */
        st = wr_fail(e, WR_NOTFOUND, "table of %u pages: out of memory", d->end.commit);
    else
        open_ledger(d);
    if (st == WR_OK) {
        st = wr_file_truncate(d->draft.file, (uint64_t)d->end.commit * d->end.page_size, e);
        d->draft.failed = st != WR_OK;
    }
    if (st == WR_OK)
        st = keep_all(d, c, old, (uint32_t)pages, e);
out:
    wr_dbfile_close(old);
    return st;
}

/* Whether a page is still to be had, from a file that has it; `doubted`: only if it lacks, or the
 * ledger tells that it is not what it was. */
static bool is_wanted(const struct delta *d, uint32_t pgno, bool doubted)
{
    if (pgno > d->end.commit || d->sums[pgno - 1] == FETCHED)
        return false;
    return !doubted || d->sums[pgno - 1] == LACKING || d->known[pgno - 1] != 0;
}

/* What was taken over of it counts no more. */
static void want(struct delta *d, uint32_t pgno)
{
    uint64_t *sum = &d->sums[pgno - 1];

    if (*sum == LACKING) {
        d->lacking--;
    } else {
        d->rolling ^= bare(*sum);
        d->r->kept--;
    }
    *sum = FETCHED;
}

/* Mark the frames that are to be read for their pages, of those of a plan only the newest ones.
 * Others are left to a file that is proven by all of its frames. */
static size_t choose(struct delta *d, struct wr_input *in, bool of_plan)
{
    size_t left = 0, wins = 0;

    for (size_t i = 0; i < in->n; i++) {
        struct wr_ref r = in->refs[i];
        bool is = (!of_plan || r.length & WR_REF_WINS) && is_wanted(d, r.pgno, of_plan);

        if (!is && !in->whole)
            continue;
        r.length = wr_ref_length(&r) | (is ? WR_REF_WINS : 0);
        if (is)
            want(d, r.pgno);
        wins += is;
        in->refs[left++] = r;
    }
    in->n = left;
    return wins;
}

/* Write the pages that were chosen. */
static enum wr_status write_pages(
    struct delta *d, struct wr_call *c, struct wr_inputs *x, struct wr_err *e)
{
    struct wr_restore_opts opts = *d->opts;
    struct wr_image_report report = {0};
    enum wr_status st;

    if (opts.progress) {
        opts.progress = tell_apply;
        opts.progress_arg = d;
    }
    st = wr_image_write(d->storage, c, x, &opts, &d->draft, &report, e);
    d->rolling ^= report.rolling;
    d->r->fetched += report.fetched;
    return st;
}

/* The files of the plan, for the pages that the ledger tells of, if both are so few that it may be
 * right and is worth it. False: it is done without them; others may lead to the same. */
static bool open_plan(struct delta *d, struct wr_call *c, struct wr_inputs *x)
{
    struct wr_restore_opts opts = *d->opts;

    if (d->doubted == 0 || d->doubted > d->end.commit / 2 || d->plan->n > FILES_MAX || is_there(d))
        return false;
    opts.progress = NULL; /* nothing is known of a total yet */
    return wr_inputs_open(d->storage, c, d->plan->p, d->plan->n, &opts, x, NULL) == WR_OK &&
           x->has_rolling && x->commit == d->end.commit && x->page_size == d->end.page_size;
}

/* Fetch these pages as they are in the end. */
static enum wr_status mend(struct delta *d, struct wr_call *c, struct wr_err *e)
{
    struct wr_inputs x = {0};
    size_t wins = 0;
    enum wr_status st = WR_OK;

    if (open_plan(d, c, &x)) {
        x.part = true;
        for (size_t i = 0; i < x.n; i++)
            wins += choose(d, &x.in[i], true);
        d->r->files += x.n;
        d->mended = wr_image_bytes(&x);
        if (d->mended > d->limit)
            st = wr_fail(e, WR_NOTFOUND, "too much of it is damaged");
        else if (wins > 0)
            st = write_pages(d, c, &x, e);
    }
    wr_inputs_release(&x);
    wr_free(d->known);
    d->known = NULL;
    return st;
}

/* Apply a file whose index was read. */
static enum wr_status apply(
    struct delta *d, struct wr_call *c, struct wr_input *in, struct wr_err *e)
{
    struct wr_inputs x = {.in = in,
        .n = 1,
        .page_size = d->end.page_size,
        .commit = d->end.commit,
        .lock_pgno = d->lock_pgno,
        .has_rolling = true,
        .part = true};

    if (in->header.page_size != d->end.page_size)
        return wr_fail(e, WR_NOTFOUND, "the page size was another one then");
    d->r->files++;
    return choose(d, in, false) == 0 ? WR_OK : write_pages(d, c, &x, e);
}

/* Back from the last TXID, which is `end`, to where all adds up. */
static enum wr_status go_back(struct delta *d, struct wr_call *c, uint64_t end, struct wr_err *e)
{
    enum wr_status st = WR_OK;
    size_t n = 0;

    for (uint64_t cur = end; st == WR_OK && !is_there(d);) {
        struct wr_input in = {0};

        in.file = cur > 0 ? wr_delta_next(d->all, cur, end, wr_max(d->read, BUDGET)) : NULL;
        if (!in.file)
            return wr_fail(e, WR_NOTFOUND, "no files lead from it to that transaction");
        d->read += in.file->size;
        if (d->mended + d->read > d->limit || n++ == FILES_MAX)
            return wr_fail(e, WR_NOTFOUND, "too much has changed since");
        st = wr_input_open(d->storage, c, d->opts->lock_offset, &in, e);
        if (st == WR_OK)
            st = apply(d, c, &in, e);
        wr_input_release(&in);
        cur = in.file->min - 1;
    }
    return st;
}

/* Where two processes have written, files may end there with different databases, and which of them
 * is the one to restore takes more than a name to tell (chain.h). */
static enum wr_status agree(
    struct delta *d, struct wr_call *c, const struct wr_ltx_file *end, struct wr_err *e)
{
    for (size_t i = 0; i < d->all->n; i++) {
        const struct wr_ltx_file *f = &d->all->p[i];
        struct wr_ltx_header h;
        bool damaged;

        if (f->max != end->max || wr_ltx_file_cmp(f, end) == 0)
            continue;
        if (wr_whole_header(d->storage, c, f, &h, &damaged, NULL) == WR_OK &&
            (!h.has_rolling || h.rolling_post != d->end.rolling_post))
            return wr_fail(e, WR_NOTFOUND, "files that end there end with different databases");
    }
    return wr_call_check(c, "restore", e);
}

enum wr_status wr_delta_fetch(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, const struct wr_ltx_files *all,
    const struct wr_ltx_files *plan, uint64_t limit, struct wr_file *out,
    struct wr_delta_report *ret, struct wr_err *e)
{
    struct delta d = {
        .storage = s, .opts = opts, .all = all, .plan = plan, .limit = limit, .r = ret};
    const struct wr_ltx_file *end = &plan->p[plan->n - 1];
    bool damaged;
    enum wr_status st = wr_whole_header(s, c, end, &d.end, &damaged, e);

    *ret = (struct wr_delta_report){0};
    if (st == WR_OK && (!d.end.has_rolling || d.end.max_txid != end->max))
        st = wr_fail(e, WR_NOTFOUND, "the newest file does not record the database's checksum");
    if (st == WR_OK)
        st = agree(&d, c, end, e);
    if (st != WR_OK)
        return st;
    d.lock_pgno = wr_ltx_lock_pgno(d.end.page_size, opts->lock_offset);
    d.draft = (struct wr_draft){.file = out, .page_size = d.end.page_size};
    ret->commit = d.end.commit;
    ret->page_size = d.end.page_size;
    ret->rolling = d.end.rolling_post;
    ret->time_ms = d.end.time_ms;
    st = begin(&d, c, e);
    if (st == WR_OK)
        st = mend(&d, c, e);
    if (st == WR_OK)
        st = go_back(&d, c, end->max, e);
    ret->disk_failed = d.draft.failed;
    wr_free(d.known);
    wr_free(d.sums);
    return st;
}
