/*
 * verify.c - see verify.h: what is said, what is listed, and what is to be made of the end. The
 * walk itself is in verify_walk.c.
 */
#include "engine/verify_int.h"

#include "base/mem.h"
#include "engine/crew.h"
#include "engine/gaps.h"
#include "engine/legacy.h"
#include "engine/lost.h"
#include "engine/plan.h"
#include "storage/storage.h"

#define PARALLEL     4
#define LISTINGS_MAX 20

const char *wr_verify_key(struct wr_verify_run *v, const struct wr_ltx_file *f)
{
    struct wr_str key = wr_layout_ltx_key(v->call.scratch, v->storage, f->level, f->min, f->max);

    return key.p ? key.p : "?";
}

void wr_verify_tell(struct wr_verify_run *v, const struct wr_finding *f)
{
    if (v->r->findings++ == 0)
        (void)wr_fail(
            &v->first, WR_CORRUPT, "%s%s%s", f->key ? f->key : "", f->key ? ": " : "", f->text);
    if (v->opts->finding)
        v->opts->finding(v->opts->finding_arg, f);
}

void wr_verify_tell_fork(struct wr_verify_run *v, const struct wr_ltx_file *f, const char *text)
{
    wr_verify_tell(v, &(struct wr_finding){.kind = WR_FINDING_FILE,
                          .key = wr_verify_key(v, f),
                          .level = f->level,
                          .min = f->min,
                          .max = f->max,
                          .text = text});
}

void wr_verify_tell_file(struct wr_verify_run *v, const struct wr_ltx_file *f, const char *text)
{
    wr_verify_mark_of(v, f)->state = WR_VERIFY_BAD;
    wr_verify_tell_fork(v, f, text);
}

/* What the walk will read if all is as it should be. */
static enum wr_status make_plan(struct wr_verify_run *v, struct wr_err *e)
{
    struct wr_walk w = {0};
    size_t n = 0;
    enum wr_status st = wr_walk_init(&w, v->files.p, v->files.n, v->walk.cur, e);

    wr_free(v->plan);
    v->plan = wr_array(v->files.n * 2, sizeof(*v->plan));
    if (st == WR_OK && !v->plan)
        st = wr_fail(e, WR_NOMEM, "plan of %zu files: out of memory", v->files.n);
    while (st == WR_OK) {
        const struct wr_ltx_file *top, *f;

        st = wr_walk_open(&w, e);
        top = wr_walk_next(&w);
        if (st != WR_OK || !top)
            break;
        for (size_t k = w.from; k < w.to; k++) {
            f = w.order[k];
            if (f->max > w.cur && f->min > 1 && f != top &&
                wr_verify_mark_of(v, f)->state == WR_VERIFY_UNREAD)
                v->plan[n++] = f;
        }
        v->plan[n++] = top;
        wr_walk_take(&w);
        while ((f = wr_walk_pass(&w)) != NULL) {
            if (f->min == 1 && f != top && wr_verify_mark_of(v, f)->state == WR_VERIFY_UNREAD)
                v->plan[n++] = f;
        }
    }
    wr_walk_release(&w);
    if (st != WR_OK)
        return st;
    wr_ahead_plan(&v->ahead, v->plan, n);
    v->progress.files_total = v->progress.files + n;
    v->progress.bytes_total = v->progress.bytes_done;
    for (size_t k = 0; k < n; k++)
        v->progress.bytes_total += v->plan[k]->size;
    return WR_OK;
}

/* What is known of the files that are still there. One that is listed again, and was not there, is
 * not retention's. */
static void carry_over(
    struct wr_verify_run *v, const struct wr_ltx_files *was, const struct wr_verify_mark *marks)
{
    for (size_t i = 0; i < was->n; i++) {
        const struct wr_ltx_file *f = wr_ltx_files_find(&v->files, &was->p[i]);

        if (!f && marks[i].state != WR_VERIFY_BAD && was->p[i].max > v->walk.cur)
            v->r->files_gone++;
        if (f)
            *wr_verify_mark_of(v, f) = marks[i];
        if (f && marks[i].state == WR_VERIFY_VANISHED)
            wr_verify_tell_file(v, f, "it is listed, but is not there");
    }
}

/* Levels are listed one after the other, and what came meanwhile may be in the listing of one and
 * not of another: the walk may have gone over TXIDs of which it knew no file. Those files are for
 * the next time. */
static void leave_out_late(struct wr_verify_run *v, const struct wr_ltx_files *was, uint64_t cur)
{
    size_t n = 0;

    for (size_t i = 0; i < v->files.n; i++) {
        const struct wr_ltx_file *f = &v->files.p[i];

        if (f->max > cur || wr_ltx_files_find(was, f))
            v->files.p[n++] = *f;
    }
    v->files.n = n;
}

/* List the replica, and walk on from where the walk is. */
enum wr_status wr_verify_list(struct wr_verify_run *v, struct wr_err *e)
{
    struct wr_ltx_files was = v->files;
    struct wr_verify_mark *marks = v->marks;
    uint64_t cur = v->walk.cur;
    enum wr_status st = WR_OK;

    if (v->listings++ == LISTINGS_MAX)
        return wr_fail(e, WR_BUSY,
            "files of the replica vanish faster than they can be read: try again when less is "
            "deleted");
    v->files = (struct wr_ltx_files){0};
    v->marks = NULL;
    v->stale = false;
    wr_walk_release(&v->walk);
    st = wr_layout_list_all(v->storage, &v->call, &v->files, e);
    if (st == WR_OK && v->listings > 1)
        leave_out_late(v, &was, cur);
    if (st == WR_OK && !(v->marks = wr_array(v->files.n, sizeof(*v->marks))))
        st = wr_fail(e, WR_NOMEM, "list of %zu files: out of memory", v->files.n);
    if (st == WR_OK)
        st = wr_walk_init(&v->walk, v->files.p, v->files.n, cur, e);
    if (st == WR_OK) {
        carry_over(v, &was, marks);
        st = make_plan(v, e);
    }
    wr_ltx_files_release(&was);
    wr_free(marks);
    return st;
}

static void tell_lost(struct wr_verify_run *v, const struct wr_lost *x)
{
    char text[400], before[100] = "nothing before them can be restored", missing[120] = "";

    if (x->before)
        (void)snprintf(before, sizeof(before), "the last one before them is %016llx",
            (unsigned long long)x->before);
    if (x->missing && x->from > x->before + 1)
        (void)snprintf(missing, sizeof(missing),
            ": of txid %016llx to %016llx, before one of level %u",
            (unsigned long long)(x->before + 1), (unsigned long long)(x->from - 1), x->level);
    (void)snprintf(text, sizeof(text), "cannot be restored: %s%s; %s",
        x->missing ? "files that lead there are missing" : "files that lead there are no good",
        missing, before); /* they fit */
    v->r->lost += x->points;
    wr_verify_tell(v, &(struct wr_finding){.kind = WR_FINDING_LOST,
                          .min = x->first,
                          .max = x->last,
                          .points = x->points,
                          .text = text});
}

/* What the names promise, or who writes here has said, and the walk did not come by. What was
 * deleted since the replica was listed is not promised any more, so look before that is said. */
static enum wr_status judge(struct wr_verify_run *v, struct wr_err *e)
{
    struct wr_lost *lost = NULL;
    size_t n = 0, old = 0;
    bool sure = false;
    enum wr_status st = WR_OK;

    for (;;) {
        const struct wr_gaps_opts o = {.said = wr_verify_said(v), .set_back = v->set_back};

        st = wr_lost_find(v->files.p, v->files.n, &o, v->points, v->n_points, &lost, &n, &old, e);
        if (st != WR_OK || sure ||
            (n == 0 && !v->said_badly && !v->signed_badly && !wr_verify_is_less(v)))
            break;
        wr_free(lost);
        lost = NULL;
        sure = true;
        st = wr_verify_let_settle(v, e);
        if (st == WR_OK)
            st = wr_verify_list(v, e);
        if (st == WR_OK)
            st = wr_verify_walk(v, e);
        if (st == WR_OK)
            st = wr_verify_hear_again(v, e);
        if (st != WR_OK)
            break;
    }
    for (size_t i = 0; st == WR_OK && i < n; i++)
        tell_lost(v, &lost[i]);
    if (st == WR_OK)
        st = wr_verify_tell_said(v, e);
    wr_free(lost);
    v->r->files_old = old;
    v->r->files = v->files.n;
    return st;
}

/* Whether a file that a restore of the newest state would read, by names, is no good. */
static enum wr_status look_at_way(struct wr_verify_run *v, struct wr_err *e)
{
    const struct wr_plan_target newest = {0};
    size_t *chain = wr_array(v->files.n, sizeof(*chain)), n = 0;
    struct wr_verify_result *r = v->r;
    struct wr_err why = {0};
    enum wr_status st = WR_OK;

    if (!chain)
        return wr_fail(e, WR_NOMEM, "plan of %zu files: out of memory", v->files.n);
    if (wr_plan(v->files.p, v->files.n, &newest, chain, &n, &why) != WR_OK) {
        r->newest_unsound = true;
        (void)snprintf(r->newest_why, sizeof(r->newest_why), "files that lead there are missing");
    }
    for (size_t i = 0; i < n && !r->newest_unsound; i++) {
        const struct wr_ltx_file *f = &v->files.p[chain[i]];
        char name[WR_LAYOUT_NAME_MAX];

        if (wr_verify_mark_of(v, f)->state != WR_VERIFY_BAD)
            continue;
        wr_layout_name(name, f);
        r->newest_unsound = true;
        (void)snprintf(
            r->newest_why, sizeof(r->newest_why), "level %u %s is no good", f->level, name);
    }
    wr_free(chain);
    return st;
}

/* The newest state is what most restores are of. */
static enum wr_status judge_newest(struct wr_verify_run *v, struct wr_err *e)
{
    struct wr_verify_result *r = v->r;

    for (size_t i = 0; i < v->files.n; i++)
        r->newest_txid = wr_max(r->newest_txid, v->files.p[i].max);
    if (v->cut > 0) {
        r->newest_txid = v->cut;
        r->newest_unsound = true;
        (void)snprintf(r->newest_why, sizeof(r->newest_why), "the newest files are gone");
        return WR_OK;
    }
    if (v->files.n == 0 || r->findings == 0)
        return WR_OK;
    if (v->n_points > 0 && v->points[v->n_points - 1] == r->newest_txid)
        return look_at_way(v, e);
    r->newest_unsound = true;
    (void)snprintf(r->newest_why, sizeof(r->newest_why), "nothing leads there that is good");
    return WR_OK;
}

static enum wr_status nothing_there(struct wr_verify_run *v, struct wr_err *e)
{
    struct wr_legacy *legacy = NULL;
    enum wr_status st = wr_legacy_find(v->storage, &v->call, 0, &legacy, e);

    wr_legacy_free(legacy);
    if (st == WR_OK)
        return wr_fail(e, WR_NOTFOUND,
            "there are only backups of Litestream 0.3, which are not verified: restore the newest, "
            "with an integrity check");
    return st == WR_NOTFOUND ? wr_fail(e, st, "no matching backup files available") : st;
}

/* The verdict on the replica, which comes before what is in the way of more. */
static enum wr_status conclude(struct wr_verify_run *v, struct wr_err *e)
{
    if (v->r->findings == 0)
        return v->blind.code == WR_OK ? WR_OK : wr_fail(e, v->blind.code, "%s", v->blind.text);
    if (v->blind.code != WR_OK)
        wr_log(v->call.log, WR_WARN, "the replica was not compared with the database",
            WR_F_STR("replica", wr_storage_name(v->storage)), WR_F_Z("reason", v->blind.text));
    return wr_fail(e, WR_CORRUPT, "%s", v->first.text);
}

static enum wr_status verify(struct wr_verify_run *v, struct wr_err *e)
{
    enum wr_status st = wr_ahead_init(&v->ahead, e);

    if (st == WR_OK)
        st = wr_verify_hear(v, e);
    if (st == WR_OK)
        st = wr_verify_list(v, e);
    if (st == WR_OK && v->files.n == 0)
        st = nothing_there(v, e);
    if (st == WR_OK)
        st = wr_verify_walk(v, e);
    if (st == WR_OK && v->opts->db_path && v->n_points > 0)
        st = wr_verify_live(v, e);
    if (st == WR_OK)
        st = judge(v, e);
    if (st == WR_OK)
        st = judge_newest(v, e);
    if (st == WR_OK && v->files.n == 0) /* by now */
        st = nothing_there(v, e);
    return st == WR_OK ? conclude(v, e) : st;
}

enum wr_status wr_verify(struct wr_storage *s, struct wr_call *c, const struct wr_verify_opts *opts,
    struct wr_verify_result *ret, struct wr_err *e)
{
    struct wr_arena scratch;
    struct wr_verify_run v = {.storage = s, .opts = opts, .r = ret, .call = *c};
    enum wr_status st;

    *ret = (struct wr_verify_result){0};
    wr_arena_init(&scratch, WR_ARENA_MAX);
    v.call.scratch = &scratch;
    v.sums.lock_offset = opts->lock_offset ? opts->lock_offset : WR_LTX_LOCK_OFFSET;
    v.ahead = (struct wr_ahead){.storage = s,
        .lock_offset = v.sums.lock_offset,
        .threads = opts->parallel ? wr_min(opts->parallel, (unsigned)WR_CREW_MAX) : PARALLEL};
    st = verify(&v, e);
    ret->bytes_read = v.ahead.bytes;
    wr_ahead_release(&v.ahead);
    wr_walk_release(&v.walk);
    wr_sums_release(&v.sums);
    wr_ltx_files_release(&v.files);
    wr_free(v.marks);
    wr_free(v.plan);
    wr_free(v.points);
    wr_arena_release(&scratch);
    return st;
}
