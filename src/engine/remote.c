/*
 * remote.c - see remote.h. Asks the replica; refuses to decide what follows from the answer.
 */
#include "engine/remote.h"

#include "base/bytes.h"
#include "base/mem.h"
#include "engine/layout.h"
#include "engine/plan.h"
#include "engine/route.h"
#include "ltx/ltx.h"
#include "storage/storage.h"

#define RUN_MAX    1000 /* files of a page of a listing, as S3 has them */
#define COVERS_MAX 16   /* files with others within them: a snapshot puts an end to more */

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

static int by_cmp(const void *a, const void *b)
{
    return wr_ltx_file_cmp(a, b);
}

/* Which snapshots there are; in any order. */
static uint64_t sum_of(const struct wr_ltx_file *f)
{
    uint64_t x = f->level == WR_LEVEL_SNAPSHOT ? f->max * UINT64_C(0x9e3779b97f4a7c15) + f->min : 0;

    return x ^ x >> 29;
}

static uint64_t sum_snapshots(const struct wr_ltx_files *files)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < files->n; i++)
        sum += sum_of(&files->p[i]);
    return sum;
}

/* Whether a file is where it was, and up to RUN_MAX that follow it in its level have no hole. */
static enum wr_status still_runs(struct wr_storage *s, struct wr_call *c,
    const struct wr_ltx_file *from, bool *ret, struct wr_err *e)
{
    struct wr_ltx_files run = {0};
    enum wr_status st = wr_layout_list_some(s, c, from->level, from->min, RUN_MAX, &run, e);
    uint64_t end = from->min - 1;
    bool there = false, hole = false;

    for (size_t i = 0; i < run.n; i++) {
        there = there || wr_ltx_file_cmp(&run.p[i], from) == 0;
        hole = hole || run.p[i].min - 1 > end;
        end = wr_max(end, run.p[i].max);
    }
    *ret = there && !hole;
    wr_ltx_files_release(&run);
    return st;
}

/* Whether what was the beginning still is. Of level 9 all was listed. */
static enum wr_status still_begins(struct wr_storage *s, struct wr_call *c,
    const struct wr_remote_seen *seen, const struct wr_ltx_files *files, bool *ret,
    struct wr_err *e)
{
    const struct wr_ltx_file *base = &seen->base, *next = &seen->next;
    enum wr_status st = WR_OK;

    *ret = sum_snapshots(files) == seen->snapshots;
    if (*ret && base->max > 0 && base->level != WR_LEVEL_SNAPSHOT)
        st = still_runs(s, c, base, ret, e);
    if (st == WR_OK && *ret && next->max > 0 && next->min <= seen->since &&
        next->level != base->level)
        st = still_runs(s, c, next, ret, e);
    return st;
}

/* What leads to `since` is taken for one file, as nothing of it was listed. */
static enum wr_status add_past(struct wr_ltx_files *files, uint64_t since, struct wr_err *e)
{
    struct wr_ltx_file past = {.min = 1, .max = since, .level = WR_LEVEL_SNAPSHOT - 1};
    enum wr_status st = wr_ltx_files_add(files, &past, e);

    if (st == WR_OK)
        qsort(files->p, files->n, sizeof(*files->p), by_cmp);
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

/* *ret_damaged: that the file is not what it should be, and not its answer. */
static enum wr_status fetch_header(struct wr_storage *s, struct wr_call *c,
    const struct wr_ltx_file *f, struct wr_ltx_header *ret, bool *ret_damaged, struct wr_err *e)
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

static enum wr_status read_newest(struct wr_storage *s, struct wr_call *c,
    const struct wr_ltx_file *f, struct wr_ltx_header *ret, struct wr_err *e)
{
    struct wr_err why = {0};
    bool damaged;
    enum wr_status st = fetch_header(s, c, f, ret, &damaged, &why);

    if (st == WR_OK)
        return st;
    return wr_fail(e, st, "newest file %s%s", why.text,
        damaged ? ": remove it, to go on from the file before it" : "");
}

/* What the header of a file says, if it is to be had: one in an archive is not. `aside`: it is
 * damaged, and one bad answer is no damage. */
static enum wr_status learn(struct wr_storage *s, struct wr_call *c, const struct wr_ltx_file *f,
    struct wr_fact *ret, struct wr_err *e)
{
    struct wr_ltx_header h;
    struct wr_err why = {0};
    bool damaged;
    enum wr_status st = fetch_header(s, c, f, &h, &damaged, &why);

    if (damaged)
        st = fetch_header(s, c, f, &h, &damaged, &why);
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
    const struct wr_ltx_files *files;
    const struct wr_ltx_file *best; /* the newest file */
    struct wr_fact best_fact;
    const size_t *chain; /* the plan of the newest state */
    size_t n;
};

static enum wr_status fact_of(
    struct judging *j, const struct wr_ltx_file *f, struct wr_fact *ret, struct wr_err *e)
{
    if (f == j->best) {
        *ret = j->best_fact;
        return WR_OK;
    }
    return learn(j->s, j->c, f, ret, e);
}

static bool tells(const struct wr_fact *f)
{
    return f->read && f->has_rolling;
}

/* Whether the plan goes on from its first file as that ends. A snapshot of somebody else, or of a
 * past of ours, takes the place of the one before it whatever its TXID is. */
static enum wr_status check_base(struct judging *j, struct wr_remote_pos *ret, struct wr_err *e)
{
    const struct wr_ltx_file *base = &j->files->p[j->chain[0]];
    const struct wr_ltx_file *next = j->n > 1 ? &j->files->p[j->chain[1]] : j->best;
    struct wr_fact was = {0}, is = {0};
    enum wr_status st = fact_of(j, base, &was, e);

    if (st == WR_OK && tells(&was) && next != base)
        st = fact_of(j, next, &is, e);
    if (st != WR_OK)
        return st;
    if (was.aside || is.aside)
        ret->whole = false;
    else if (tells(&is) && (j->n > 1 ? wr_fit(base, &was, next, &is) != WR_FIT_YES
                                     : was.rolling_post != is.rolling_post))
        ret->mixed = true;
    return WR_OK;
}

/* A file within a greater one is in nobody's way: whatever leads to the end of that one or beyond
 * takes that one. Such is what comes late of a process that was killed. But it may as well be ours,
 * and the greater one somebody else's: then ours do not go on from it. */
static enum wr_status check_covers(struct judging *j, struct wr_remote_pos *ret, struct wr_err *e)
{
    size_t n = 0;

    for (size_t k = 0; k + 1 < j->n && !ret->mixed; k++) {
        const struct wr_ltx_file *f = &j->files->p[j->chain[k]];
        const struct wr_ltx_file *next = &j->files->p[j->chain[k + 1]];
        struct wr_fact was = {0}, is = {0};
        enum wr_status st;

        if (!covers(j->files, j->chain[k]))
            continue;
        st = ++n <= COVERS_MAX ? fact_of(j, f, &was, e) : WR_OK;
        if (st == WR_OK && tells(&was))
            st = fact_of(j, next, &is, e);
        if (st != WR_OK)
            return st;
        ret->mixed = !tells(&was) || !tells(&is) || wr_fit(f, &was, next, &is) != WR_FIT_YES;
    }
    return WR_OK;
}

/* Whether a restore of the newest state has one way to go. */
static enum wr_status judge(
    struct judging *j, struct wr_remote_seen *seen, struct wr_remote_pos *ret, struct wr_err *e)
{
    const struct wr_ltx_files *files = j->files;
    const struct wr_plan_target newest = {0};
    struct wr_err why = {0};
    size_t *chain = wr_array(files->n, sizeof(*chain));
    enum wr_status st = WR_OK;

    if (!chain)
        return wr_fail(e, WR_NOMEM, "list the replica");
    j->chain = chain;
    ret->mixed = overlap(files);
    ret->whole = wr_plan(files->p, files->n, &newest, chain, &j->n, &why) == WR_OK &&
                 files->p[chain[j->n - 1]].max == j->best->max;
    if (seen->since == 0 && ret->whole && !ret->mixed)
        st = check_base(j, ret, e);
    if (st == WR_OK && ret->whole && !ret->mixed)
        st = check_covers(j, ret, e);
    ret->whole = ret->whole && !ret->mixed;
    if (seen->since == 0) {
        seen->base = ret->whole ? files->p[chain[0]] : (struct wr_ltx_file){0};
        seen->next = ret->whole && j->n > 1 ? files->p[chain[1]] : (struct wr_ltx_file){0};
    }
    wr_free(chain);
    return st;
}

/* List from seen->since on, or all where that is not enough: then it is 0. */
static enum wr_status list_enough(struct wr_storage *s, struct wr_call *c,
    struct wr_remote_seen *seen, struct wr_ltx_files *ret, struct wr_err *e)
{
    enum wr_status st = list_since(s, c, seen->since, ret, e);
    bool enough = st == WR_OK && ret->n > 0 && furthest(ret)->max >= seen->since;

    if (st != WR_OK || seen->since == 0)
        return st;
    if (enough)
        st = still_begins(s, c, seen, ret, &enough, e);
    if (st != WR_OK || enough)
        return st;
    seen->since = 0;
    return list_since(s, c, 0, ret, e);
}

static struct wr_remote_pos pos_of(const struct wr_ltx_header *h)
{
    return (struct wr_remote_pos){.txid = h->max_txid,
        .has_rolling = h->has_rolling,
        .rolling = h->rolling_post,
        .from = h->min_txid,
        .rolling_pre = h->rolling_pre,
        .node_id = h->node_id,
        .page_size = h->page_size,
        .commit = h->commit,
        .time_ms = h->time_ms};
}

/* Of files that were listed; there is one. */
static enum wr_status find_among(struct wr_storage *s, struct wr_call *c,
    struct wr_ltx_files *files, struct wr_remote_seen *seen, struct wr_remote_pos *ret,
    struct wr_err *e)
{
    struct judging j = {.s = s, .c = c, .files = files};
    const struct wr_ltx_file *best = furthest(files);
    struct wr_ltx_header h;
    enum wr_status st;

    if (best->max >= WR_TXID_SANE) {
        return wr_fail(e, WR_CORRUPT,
            "an object of level %u claims txid %016llx: it is not of this replica, remove it",
            best->level, (unsigned long long)best->max);
    }
    st = read_newest(s, c, best, &h, e);
    if (st == WR_OK && seen->since > 0)
        st = add_past(files, seen->since, e);
    if (st != WR_OK)
        return st;
    j.best = furthest(files);
    j.best_fact = wr_fact_of(&h);
    *ret = pos_of(&h);
    return judge(&j, seen, ret, e);
}

enum wr_status wr_remote_find(struct wr_storage *s, struct wr_call *c, struct wr_remote_seen *seen,
    struct wr_remote_pos *ret, struct wr_err *e)
{
    struct wr_remote_seen now = *seen;
    struct wr_remote_pos pos = {0};
    struct wr_ltx_files files = {0};
    enum wr_status st = list_enough(s, c, &now, &files, e);

    if (st == WR_OK) {
        now.snapshots = sum_snapshots(&files);
        if (files.n > 0)
            st = find_among(s, c, &files, &now, &pos, e);
        else
            now.base = now.next = (struct wr_ltx_file){0};
    }
    if (st == WR_OK) {
        *ret = pos;
        now.since = seen->since;
        *seen = now;
    }
    wr_ltx_files_release(&files);
    return st;
}

void wr_remote_sent(struct wr_remote_seen *seen, const struct wr_ltx_file *f)
{
    seen->snapshots += sum_of(f);
    if (f->level == WR_LEVEL_SNAPSHOT) {
        seen->base = *f;
        seen->next = (struct wr_ltx_file){0};
    } else if (seen->next.max == 0 && seen->base.max > 0) {
        seen->next = *f;
    }
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
