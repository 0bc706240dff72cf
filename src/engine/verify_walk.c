/*
 * verify_walk.c - from point to point, with the database as checksums.
 *
 * The happy path, from the database at TXID `cur`:
 *
 *   1. Files that apply there for the first time are read and tried. What they would make of the
 *      database is noted beside their names. Snapshots wait: they need no database to be tried.
 *   2. The one that ends first is read, tried and applied: that is the next point.
 *   3. All that end there must have come to the same checksum.
 *
 * Ways it fails: a file is no good, and is done without from then on; it has vanished, and then the
 * replica is listed again, and the walk goes on from where it is over what there is now.
 */
#include "engine/verify_int.h"

#include "base/mem.h"

static void tell_progress(struct wr_verify_run *v, const struct wr_ltx_file *f)
{
    v->progress.files++;
    v->progress.bytes_done += f->size;
    v->progress.files_total = wr_max(v->progress.files_total, v->progress.files);
    v->progress.bytes_total = wr_max(v->progress.bytes_total, v->progress.bytes_done);
    if (v->opts->progress)
        v->opts->progress(v->opts->progress_arg, &v->progress);
}

/* Read a file and try it on the database at walk.cur. *ret_why has a code if it is no good. */
static enum wr_status try_file(struct wr_verify_run *v, const struct wr_ltx_file *f,
    struct wr_change *ch, struct wr_err *ret_why, struct wr_err *e)
{
    struct wr_verify_mark *m = wr_verify_mark_of(v, f);
    uint64_t rolling = 0;
    bool regrown = false;
    enum wr_status st = wr_ahead_get(&v->ahead, &v->call, f, ch, ret_why);

    if (st == WR_NOTFOUND) {
        m->state = WR_VERIFY_VANISHED;
        v->stale = true;
        return WR_OK;
    }
    if (st != WR_OK && st != WR_CORRUPT)
        return wr_fail(e, st, "read %s: %s", wr_verify_key(v, f), ret_why->text);
    tell_progress(v, f);
    v->r->files_read += m->state == WR_VERIFY_UNREAD;
    if (st == WR_OK)
        st = wr_sums_try(
            &v->sums, ch, wr_verify_follows(f, v->walk.cur), &rolling, &regrown, ret_why);
    if (st == WR_OK && regrown) { /* the walk may have had pages that no restore has */
        enum wr_status made = wr_verify_grown(v, f, ch, ret_why, e);

        if (made != WR_OK)
            return made;
        st = ret_why->code;
    }
    if (st == WR_OK && m->state == WR_VERIFY_GOOD && m->rolling != rolling)
        st = wr_fail(ret_why, WR_CORRUPT,
            "two processes have written: it makes another database where it begins than later on");
    if (st == WR_OK) {
        m->base = m->state == WR_VERIFY_UNREAD ? v->walk.cur : m->base;
        m->rolling = rolling;
        m->time_ms = ch->header.time_ms;
        m->recorded = ch->header.has_rolling;
        m->state = WR_VERIFY_GOOD;
    }
    return WR_OK;
}

static enum wr_status look_at(
    struct wr_verify_run *v, const struct wr_ltx_file *f, struct wr_err *e)
{
    struct wr_change ch = {0};
    struct wr_err why = {0};
    enum wr_status st = try_file(v, f, &ch, &why, e);

    /* Of another line, to which the walk may cross over: it is tried again then. */
    if (why.code == WR_CORRUPT && !wr_verify_is_crossing(v, f, &ch))
        wr_verify_tell_file(v, f, why.text);
    wr_change_release(&ch);
    return st;
}

/* 1. */
static enum wr_status look_at_new(struct wr_verify_run *v, struct wr_err *e)
{
    const struct wr_walk *w = &v->walk;
    enum wr_status st = WR_OK;

    for (size_t k = w->from; k < w->to && st == WR_OK; k++) {
        const struct wr_ltx_file *f = w->order[k];

        if (f->max > w->cur && f->min > 1 && f != wr_walk_next(w) &&
            wr_verify_mark_of(v, f)->state == WR_VERIFY_UNREAD)
            st = look_at(v, f, e);
    }
    return st;
}

/* Apply a file, unless it is no good or has vanished. One that was good where it begins, and is not
 * any more, may hold another past than files within it do that came late: what a killed process had
 * sent. A restore goes from there to its end, and so do we. */
static enum wr_status apply(
    struct wr_verify_run *v, const struct wr_ltx_file *f, bool *ret_done, struct wr_err *e)
{
    struct wr_verify_mark *m = wr_verify_mark_of(v, f);
    bool was_good = m->state == WR_VERIFY_GOOD;
    struct wr_change ch = {0};
    struct wr_err why = {0};
    enum wr_status st = try_file(v, f, &ch, &why, e);

    if (st == WR_OK && why.code == WR_CORRUPT && was_good) {
        st = wr_verify_go_back(v, f, &ch, ret_done, e);
        if (*ret_done && !ch.header.has_rolling) /* nothing else proves which of them counts */
            wr_verify_tell_fork(v, f, why.text);
    } else if (st == WR_OK && why.code == WR_CORRUPT)
        st = wr_verify_cross_over(v, f, &ch, ret_done, e);
    else if (st == WR_OK && m->state == WR_VERIFY_GOOD) {
        st = wr_sums_apply(&v->sums, &ch, m->rolling, e);
        *ret_done = st == WR_OK;
        if (v->live && st == WR_OK)
            wr_live_compare(v->live, &v->sums, f->min > 1 ? &ch : NULL, f->max);
    }
    if (st == WR_OK && why.code == WR_CORRUPT && !*ret_done && !v->stale)
        wr_verify_tell_file(v, f, why.text);
    wr_change_release(&ch);
    return st;
}

/* 2. *ret_on: there is a next point. */
static enum wr_status advance(struct wr_verify_run *v, bool *ret_on, struct wr_err *e)
{
    const struct wr_ltx_file *f;
    enum wr_status st = WR_OK;

    *ret_on = false;
    while (st == WR_OK && !*ret_on && !v->stale && (f = wr_walk_next(&v->walk)) != NULL) {
        unsigned state = wr_verify_mark_of(v, f)->state;

        if (state == WR_VERIFY_UNREAD || state == WR_VERIFY_GOOD)
            st = apply(v, f, ret_on, e);
        if (st == WR_OK && !*ret_on && !v->stale)
            wr_walk_drop(&v->walk);
    }
    if (*ret_on)
        wr_walk_take(&v->walk);
    return st;
}

static enum wr_status add_point(struct wr_verify_run *v, struct wr_err *e)
{
    uint64_t *all = wr_room(v->points, v->n_points, &v->cap_points, 64, sizeof(*all));

    if (!all)
        return wr_fail(e, WR_NOMEM, "list of %zu points: out of memory", v->n_points + 1);
    v->points = all;
    v->points[v->n_points++] = v->walk.cur;
    return WR_OK;
}

static void count_point(struct wr_verify_run *v, int64_t time_ms, bool proven)
{
    struct wr_verify_result *r = v->r;
    uint64_t txid = v->walk.cur;

    if (r->points++ == 0) {
        r->first_txid = txid;
        r->first_ms = time_ms;
    }
    r->last_txid = txid;
    r->last_ms = time_ms;
    if (proven) {
        if (time_ms < v->latest_ms)
            v->set_back = txid;
        else
            v->latest_ms = time_ms;
        r->proven++;
        r->proven_txid = txid;
        r->proven_ms = time_ms;
        return;
    }
    if (r->plain++ == 0)
        r->plain_first = txid;
    r->plain_last = txid;
}

/* 3. The first one that the walk passes is the one that was applied. */
static enum wr_status arrive(struct wr_verify_run *v, struct wr_err *e)
{
    const struct wr_ltx_file *by = NULL, *f;
    bool proven = false;
    enum wr_status st = WR_OK;

    while (st == WR_OK && (f = wr_walk_pass(&v->walk)) != NULL) {
        const struct wr_verify_mark *m = wr_verify_mark_of(v, f);
        char text[200];

        by = by ? by : f;
        if (m->state == WR_VERIFY_UNREAD)
            st = look_at(v, f, e);
        if (st != WR_OK || m->state != WR_VERIFY_GOOD)
            continue;
        if (m->rolling == v->sums.rolling) {
            proven = proven || m->recorded;
            if (f->min == 1) /* a restore of what follows begins with it */
                wr_sums_cut(&v->sums);
            continue;
        }
        (void)snprintf(text, sizeof(text),
            "two processes have written: it ends with another database than %s does",
            wr_verify_key(v, by)); /* cut short, it still says what */
        wr_verify_tell_fork(v, f, text);
    }
    if (st == WR_OK)
        st = add_point(v, e);
    if (st == WR_OK)
        count_point(v, wr_verify_mark_of(v, by)->time_ms, proven);
    return st;
}

enum wr_status wr_verify_walk(struct wr_verify_run *v, struct wr_err *e)
{
    bool on = true;
    enum wr_status st = WR_OK;

    while (st == WR_OK && on) {
        st = wr_call_check(&v->call, "verify", e);
        if (st == WR_OK && v->stale)
            st = wr_verify_list(v, e);
        if (st == WR_OK)
            st = wr_walk_open(&v->walk, e);
        if (st == WR_OK)
            st = look_at_new(v, e);
        if (st == WR_OK)
            st = advance(v, &on, e);
        if (st == WR_OK && on)
            st = arrive(v, e);
        on = on || v->stale;
        wr_arena_reset(v->call.scratch);
    }
    return st;
}
