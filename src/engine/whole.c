/*
 * whole.c - see whole.h. Reads headers; refuses to decide what follows from the verdict.
 */
#include "engine/whole.h"

#include "base/mem.h"
#include "engine/plan.h"
#include "storage/storage.h"

#define COVERS_MAX 16 /* files with others within them: a snapshot puts an end to more */

/* Two files of level 0 that share TXIDs behind the newest snapshot, neither of them within the
 * other: a plan takes both. */
static bool overlap(const struct wr_ltx_files *files)
{
    const struct wr_ltx_file *last = NULL; /* the first of those that reach furthest so far */
    uint64_t snapshot = 0;

    for (size_t i = 0; i < files->n; i++) {
        if (files->p[i].min == 1 && files->p[i].level == WR_LEVEL_SNAPSHOT)
            snapshot = files->p[i].max;
    }
    for (size_t i = 0; i < files->n && files->p[i].level == 0; i++) {
        const struct wr_ltx_file *f = &files->p[i];

        if (last && f->max <= last->max)
            continue;
        if (last && f->max > snapshot && f->min > last->min && f->min <= last->max)
            return true;
        last = f;
    }
    return false;
}

/* Whether another file of level 0 lies within this one, where no two overlap otherwise. */
static bool covers(const struct wr_ltx_files *files, size_t i)
{
    const struct wr_ltx_file *f = &files->p[i];

    if (f->level != 0)
        return false;
    return (i > 0 && f[-1].min == f->min) ||
           (i + 1 < files->n && f[1].level == 0 && f[1].min <= f->max);
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

/* What the header of a file says, if it is to be had: one in an archive is not. `aside`: it is
 * damaged, and one bad answer is no damage. */
static enum wr_status learn(struct wr_storage *s, struct wr_call *c, struct wr_heads *heads,
    const struct wr_ltx_file *f, struct wr_fact *ret, struct wr_err *e)
{
    struct wr_ltx_header h;
    struct wr_err why = {0};
    bool damaged;
    enum wr_status st = wr_heads_read(heads, s, c, f, &h, &damaged, &why);

    if (damaged)
        st = wr_heads_read(heads, s, c, f, &h, &damaged, &why);
    *ret = st == WR_OK ? wr_fact_of(&h) : (struct wr_fact){.aside = damaged};
    if (st == WR_NOTFOUND)
        return wr_fail(e, WR_BUSY, "%s: vanished since it was listed", why.text);
    if (st == WR_AUTH || st == WR_IO || damaged)
        st = WR_OK;
    return st == WR_OK ? st : wr_fail(e, st, "%s", why.text);
}

struct judging {
    struct wr_storage *s;
    struct wr_call *c;
    struct wr_whole *w;
    const size_t *chain; /* the plan of the newest state */
    size_t n;
};

static const struct wr_ltx_file *nth(const struct judging *j, size_t k)
{
    return &j->w->files->p[j->chain[k]];
}

static enum wr_status fact_of(
    struct judging *j, const struct wr_ltx_file *f, struct wr_fact *ret, struct wr_err *e)
{
    if (f == j->w->best) {
        *ret = j->w->best_fact;
        return WR_OK;
    }
    return learn(j->s, j->c, j->w->heads, f, ret, e);
}

static bool tells(const struct wr_fact *f)
{
    return f->read && f->has_rolling;
}

/* A file that ends with `base`, or else begins behind it. NULL: there is none. */
static const struct wr_ltx_file *witness_of(
    const struct wr_ltx_files *files, const struct wr_ltx_file *base)
{
    const struct wr_ltx_file *found = NULL;

    for (size_t i = 0; i < files->n; i++) {
        const struct wr_ltx_file *f = &files->p[i];

        if (f->max == base->max && f != base)
            return f;
        if (f->min == base->max + 1 && !found)
            found = f;
    }
    return found;
}

/* What goes on from `base` begins within it: a file of a higher level does, which ends where the
 * database was when its time came. Only a third file tells whether they are of one history, and
 * where that was deleted for its age nothing speaks against it. */
static enum wr_status check_overlap(
    struct judging *j, const struct wr_ltx_file *base, const struct wr_fact *was, struct wr_err *e)
{
    const struct wr_ltx_file *f = witness_of(j->w->files, base);
    struct wr_fact is = {0};
    enum wr_status st = f ? fact_of(j, f, &is, e) : WR_OK;

    if (st == WR_OK && tells(&is))
        j->w->mixed = was->rolling_post != (f->max == base->max ? is.rolling_post : is.rolling_pre);
    return st;
}

/* Whether the plan goes on from its first file as that ends. A snapshot of somebody else, or of a
 * past of ours, takes the place of the one before it whatever its TXID is. */
static enum wr_status check_base(struct judging *j, struct wr_err *e)
{
    const struct wr_ltx_file *base = nth(j, 0);
    const struct wr_ltx_file *next = j->n > 1 ? nth(j, 1) : j->w->best;
    struct wr_fact was = {0}, is = {0};
    enum wr_status st = fact_of(j, base, &was, e);

    if (st == WR_OK && tells(&was) && j->n > 1 && next->level > 0 && next->min > 1 &&
        next->min <= base->max)
        return check_overlap(j, base, &was, e);
    if (st == WR_OK && tells(&was) && next != base)
        st = fact_of(j, next, &is, e);
    if (st != WR_OK)
        return st;
    if (was.aside || is.aside)
        j->w->whole = false;
    else if (tells(&is) && (j->n > 1 ? wr_fit(base, &was, next, &is) != WR_FIT_YES
                                     : was.rolling_post != is.rolling_post))
        j->w->mixed = true;
    return WR_OK;
}

/* Neither read nor found damaged: it is in an archive, say, or not for us to read. */
static bool no_verdict(const struct wr_fact *f)
{
    return !f->read && !f->aside;
}

/* Whether the plan goes on from its file `k`, which covers others. */
static enum wr_status check_cover(struct judging *j, size_t k, struct wr_err *e)
{
    const struct wr_ltx_file *f = nth(j, k), *next = nth(j, k + 1);
    struct wr_fact was = {0}, is = {0};
    enum wr_status st = fact_of(j, f, &was, e);

    if (st != WR_OK || no_verdict(&was))
        return st;
    if (tells(&was)) {
        st = fact_of(j, next, &is, e);
        if (st != WR_OK || no_verdict(&is))
            return st;
    }
    j->w->mixed = !tells(&was) || !tells(&is) || wr_fit(f, &was, next, &is) != WR_FIT_YES;
    return WR_OK;
}

/* A file within a greater one is in nobody's way: whatever leads to the end of that one or beyond
 * takes that one. Such is what comes late of a process that was killed. But it may as well be ours,
 * and the greater one somebody else's: then ours do not go on from it. */
static enum wr_status check_covers(struct judging *j, struct wr_err *e)
{
    size_t n = 0;
    enum wr_status st = WR_OK;

    for (size_t k = 0; k + 1 < j->n && st == WR_OK && !j->w->mixed; k++) {
        if (!covers(j->w->files, j->chain[k]))
            continue;
        if (++n > COVERS_MAX)
            j->w->mixed = true;
        else
            st = check_cover(j, k, e);
    }
    return st;
}

enum wr_status wr_whole_header(struct wr_storage *s, struct wr_call *c, const struct wr_ltx_file *f,
    struct wr_ltx_header *ret, bool *ret_damaged, struct wr_err *e)
{
    struct wr_str key = wr_layout_ltx_key(c->scratch, s, f->level, f->min, f->max);
    uint8_t head[WR_LTX_HEADER_SIZE];
    struct wr_err why = {0};
    size_t got = 0;
    enum wr_status st;

    *ret_damaged = false;
    if (!key.p)
        return wr_fail(e, WR_NOMEM, "read an LTX header");
    st = wr_storage_get(s, c, key, 0, head, sizeof(head), &got, e);
    if (st != WR_OK)
        return wr_wrap(e, st, "header of " WR_FMT, WR_ARG(key));
    st = take_header(f, head, got, ret, &why);
    *ret_damaged = st == WR_CORRUPT;
    return st == WR_OK ? st : wr_fail(e, st, WR_FMT ": %s", WR_ARG(key), why.text);
}

/* Times alone do not tell: S3 has whole seconds. */
static bool same_file(const struct wr_ltx_file *a, const struct wr_ltx_file *b)
{
    return wr_ltx_file_cmp(a, b) == 0 && a->size == b->size && a->time_ms == b->time_ms &&
           a->tag == b->tag && a->tag != 0;
}

enum wr_status wr_heads_read(struct wr_heads *heads, struct wr_storage *s, struct wr_call *c,
    const struct wr_ltx_file *f, struct wr_ltx_header *ret, bool *ret_damaged, struct wr_err *e)
{
    enum wr_status st;

    for (size_t i = 0; heads && i < heads->n; i++) {
        if (!same_file(&heads->at[i].file, f))
            continue;
        *ret = heads->at[i].header;
        *ret_damaged = false;
        return WR_OK;
    }
    st = wr_whole_header(s, c, f, ret, ret_damaged, e);
    if (st == WR_OK && heads && heads->n < wr_countof(heads->at)) {
        heads->at[heads->n].file = *f;
        heads->at[heads->n++].header = *ret;
    }
    return st;
}

enum wr_status wr_whole_judge(
    struct wr_storage *s, struct wr_call *c, struct wr_whole *w, struct wr_err *e)
{
    const struct wr_ltx_files *files = w->files;
    const struct wr_plan_target newest = {0};
    struct judging j = {.s = s, .c = c, .w = w};
    struct wr_err why = {0};
    size_t *chain = wr_array(files->n, sizeof(*chain));
    enum wr_status st = WR_OK;

    if (!chain)
        return wr_fail(e, WR_NOMEM, "list the replica");
    j.chain = chain;
    w->mixed = overlap(files);
    w->whole = wr_plan(files->p, files->n, &newest, chain, &j.n, &why) == WR_OK &&
               nth(&j, j.n - 1)->max == w->best->max;
    if (w->all && w->whole && !w->mixed)
        st = check_base(&j, e);
    if (st == WR_OK && w->whole && !w->mixed)
        st = check_covers(&j, e);
    w->whole = w->whole && !w->mixed;
    w->base = w->whole ? *nth(&j, 0) : (struct wr_ltx_file){0};
    w->next = w->whole && j.n > 1 ? *nth(&j, 1) : (struct wr_ltx_file){0};
    wr_free(chain);
    return st;
}
