/*
 * source.c - see source.h. It reads names and times, and of files nothing.
 */
#include "engine/source.h"

#include "base/mem.h"
#include "engine/legacy.h"
#include "engine/plan.h"
#include "engine/points.h"
#include "engine/restore.h"
#include "engine/times.h"
#include "storage/storage.h"

#define APART_MS     ((int64_t)60000) /* that clocks may be */
#define LISTINGS_MAX 4u               /* until a gap is believed, while files come */

void wr_source_release(struct wr_source *x)
{
    wr_ltx_files_release(&x->all);
    wr_ltx_files_release(&x->plan);
    wr_legacy_free(x->legacy);
}

/* Learn of the files' times what a plan for opts->time_ms depends on. */
static enum wr_status find_times(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct wr_ltx_files *all, struct wr_err *e)
{
    struct wr_times *x = NULL;
    const size_t *which = NULL;
    size_t n = 0;
    enum wr_status st;

    if (wr_storage_caps(s) & WR_STORAGE_LIST_TIME)
        return WR_OK;
    if (opts->time_in_range) /* the oldest and the newest count, too */
        return wr_layout_times(s, c, all->p, NULL, all->n, opts->parallel, e);
    st = wr_times_new(all->p, all->n, opts->time_ms, &x, e);
    while (st == WR_OK && (n = wr_times_next(x, &which)) > 0)
        st = wr_layout_times(s, c, all->p, which, n, opts->parallel, e);
    wr_times_free(x);
    return st;
}

void wr_source_compare_clocks(struct wr_storage *s, const struct wr_call *c)
{
    struct wr_storage_learnt learnt = {0};

    wr_storage_learnt(s, &learnt);
    if (!learnt.dated || (learnt.skew_ms <= APART_MS && learnt.skew_ms >= -APART_MS))
        return;
    wr_log(c->log, WR_WARN,
        learnt.skew_ms > 0
            ? "this machine's clock is behind the store's, and an age as -2h counts back from it"
            : "this machine's clock is ahead of the store's, and an age as -2h counts back from it",
        WR_F_STR("replica", wr_storage_name(s)),
        WR_F_I64("seconds", (learnt.skew_ms > 0 ? learnt.skew_ms : -learnt.skew_ms) / 1000));
}

/* All files, with times that can be compared with opts->time_ms if it is set. */
static enum wr_status list_files(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct wr_ltx_files *out, struct wr_err *e)
{
    enum wr_status st = wr_layout_list_all(s, c, out, e);

    if (st == WR_OK && opts->time_ms)
        st = find_times(s, c, opts, out, e);
    if (st == WR_OK && opts->time_ms)
        wr_source_compare_clocks(s, c);
    return st;
}

/* *ret_gap: a TXID that files from before opts->time_ms go on at behind the end of *out, or 0. */
static enum wr_status plan_files(const struct wr_ltx_files *all, const struct wr_restore_opts *opts,
    struct wr_ltx_files *out, uint64_t *ret_gap, struct wr_err *e)
{
    const struct wr_plan_target target = {.txid = opts->txid, .time_ms = opts->time_ms};
    enum wr_status st = opts->time_ms ? wr_points_plan(all, opts->time_ms, out, e)
                                      : wr_plan_files(all, &target, out, e);

    if (st == WR_CORRUPT)
        wr_wrap(e, st, "cannot calc restore plan");
    *ret_gap = st == WR_OK && opts->time_ms
                   ? wr_plan_gap(all->p, all->n, &target, out->p[out->n - 1].max)
                   : 0;
    return st;
}

/* With a time, the newest state before it that has a chain is what Litestream restores, too, also
 * if there are files behind a gap: a compaction that came after that time may have taken the place
 * of those between. But that it is not all must be known. */
static void warn_of_gap(struct wr_storage *s, struct wr_call *c, uint64_t end, uint64_t next)
{
    wr_log(c->log, WR_WARN,
        "files from before that time lie behind a gap; the state that is restored is older",
        WR_F_STR("replica", wr_storage_name(s)), WR_F_TXID("txid", end), WR_F_TXID("next", next));
}

/* Whether one that was listed is not any more. */
static bool vanished(const struct wr_ltx_files *was, const struct wr_ltx_files *is)
{
    for (size_t i = 0; i < was->n; i++) {
        if (!wr_ltx_files_find(is, &was->p[i]))
            return true;
    }
    return false;
}

/* A listing of many pages is not of one moment: what came while it was made may be on a later page,
 * and what that goes on from was too late for an earlier one. So a gap is one if the next listing
 * has nothing new. */
static enum wr_status plan_listed(struct wr_storage *s, struct wr_call *c, struct wr_ltx_files *all,
    const struct wr_restore_opts *opts, struct wr_ltx_files *out, struct wr_err *e)
{
    uint64_t gap;
    enum wr_status st = plan_files(all, opts, out, &gap, e);
    bool news = true;

    for (unsigned i = 1; (st == WR_CORRUPT || gap > 0) && news && i < LISTINGS_MAX; i++) {
        struct wr_ltx_files fresh = {0};
        struct wr_err why = {0};
        enum wr_status listed = list_files(s, c, opts, &fresh, &why);

        news = listed == WR_OK && vanished(&fresh, all);
        if (listed != WR_OK) {
            st = wr_fail(e, listed, "%s", why.text);
            wr_ltx_files_release(out);
            gap = 0;
        } else if (news) {
            const struct wr_ltx_files old = *all;

            *all = fresh;
            fresh = old;
            wr_ltx_files_release(out);
            st = plan_files(all, opts, out, &gap, e);
        }
        wr_ltx_files_release(&fresh);
    }
    if (gap > 0)
        warn_of_gap(s, c, out->p[out->n - 1].max, gap);
    return st;
}

enum wr_status wr_source_plan(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct wr_ltx_files *ret, struct wr_err *e)
{
    struct wr_ltx_files all = {0};
    enum wr_status st = list_files(s, c, opts, &all, e);

    if (st == WR_OK)
        st = plan_listed(s, c, &all, opts, ret, e);
    wr_ltx_files_release(&all);
    return st;
}

/* Refuse a time that is outside of all that was kept: asking for it is most likely a mistake. */
static enum wr_status check_range(
    const struct wr_source *x, const struct wr_restore_opts *opts, struct wr_err *e)
{
    int64_t oldest = INT64_MAX;
    int64_t newest = INT64_MIN;

    if (!opts->time_in_range || !opts->time_ms)
        return WR_OK;
    (void)wr_plan_times(x->all.p, x->all.n, &oldest, &newest); /* without files: nothing in range */
    if (x->legacy) {
        oldest = wr_min(oldest, wr_legacy_snapshot_ms(x->legacy));
        newest = wr_max(newest, wr_legacy_newest_ms(x->legacy));
    } else if (x->all.n == 0) {
        return wr_fail(e, WR_NOTFOUND, "no backups found");
    }
    if (opts->time_ms < oldest || opts->time_ms > newest)
        return wr_fail(e, WR_NOTFOUND, "timestamp does not exist");
    return WR_OK;
}

/* Whether the 0.3 format has the better claim: by a snapshot nearer to the time asked for, or by
 * the newest object of all. */
static bool prefer_legacy(const struct wr_source *x, const struct wr_restore_opts *opts)
{
    int64_t newest = INT64_MIN;

    if (!x->legacy)
        return false;
    for (size_t i = 0; i < x->all.n; i++) {
        const struct wr_ltx_file *f = &x->all.p[i];

        /* A file that begins at 1 is a snapshot, whatever its level. */
        if (!opts->time_ms || (f->min == 1 && f->time_ms < opts->time_ms))
            newest = wr_max(newest, f->time_ms);
    }
    if (opts->time_ms)
        return wr_legacy_snapshot_ms(x->legacy) > newest;
    return wr_legacy_newest_ms(x->legacy) > newest;
}

/* Where there is a backup of 0.3, prefer_legacy goes by when snapshots were made: ask for these. */
static enum wr_status find_snapshot_times(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct wr_source *x, struct wr_err *e)
{
    size_t *which;
    size_t n = 0;
    enum wr_status st;

    if (!x->legacy || !opts->time_ms)
        return WR_OK;
    which = wr_array(x->all.n, sizeof(*which));
    if (!which)
        return wr_fail(e, WR_NOMEM, "times of %zu files: out of memory", x->all.n);
    for (size_t i = 0; i < x->all.n; i++) {
        if (x->all.p[i].min == 1)
            which[n++] = i;
    }
    st = wr_layout_times(s, c, x->all.p, which, n, opts->parallel, e);
    wr_free(which);
    return st;
}

/* Times of files are those of copies where a replica was copied, and may say that an old backup of
 * 0.3 is the newer one. */
static void warn_of_legacy(struct wr_storage *s, struct wr_call *c, const struct wr_source *x)
{
    uint64_t txid = wr_ltx_files_newest(&x->all);

    if (txid)
        wr_log(c->log, WR_WARN,
            "by the times of the files a backup of Litestream 0.3 is newer than those in the newer "
            "format, and is restored; if they were copied, that may be wrong: -txid restores the "
            "latter",
            WR_F_STR("replica", wr_storage_name(s)), WR_F_TXID("txid", txid));
}

enum wr_status wr_source_find(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct wr_source *x, struct wr_err *e)
{
    enum wr_status st = list_files(s, c, opts, &x->all, e);
    enum wr_status legacy = WR_NOTFOUND;
    struct wr_err why = {0};

    if (st == WR_OK && !opts->txid && !opts->ltx_only) {
        legacy = wr_legacy_find(s, c, opts->time_ms, &x->legacy, &why);
        if (legacy == WR_CANCELED || legacy == WR_NOMEM || (legacy != WR_OK && x->all.n == 0))
            st = legacy == WR_NOTFOUND ? WR_OK : wr_fail(e, legacy, "%s", why.text);
    }
    if (st == WR_OK)
        st = find_snapshot_times(s, c, opts, x, e);
    if (st == WR_OK)
        st = check_range(x, opts, e);
    if (st != WR_OK)
        return st;
    if (prefer_legacy(x, opts)) {
        warn_of_legacy(s, c, x);
        return WR_OK;
    }
    wr_legacy_free(x->legacy);
    x->legacy = NULL;
    st = plan_listed(s, c, &x->all, opts, &x->plan, e);
    if (st == WR_OK && legacy != WR_OK && legacy != WR_NOTFOUND)
        wr_log(c->log, WR_WARN,
            "backups of Litestream 0.3 cannot be listed; restoring from the newer format",
            WR_F_STR("replica", wr_storage_name(s)), WR_F_Z("reason", why.text));
    return st;
}

/* The TXID that its plan leads to. */
static uint64_t last(const struct wr_source *x)
{
    return x->plan.p[x->plan.n - 1].max;
}

enum wr_status wr_source_find_again(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct wr_source *x, struct wr_err *e)
{
    struct wr_source fresh = {0};
    struct wr_err why = {0};
    bool newest = !opts->txid && !opts->time_ms;
    enum wr_status st = x->legacy ? WR_BUSY : wr_source_find(s, c, opts, &fresh, &why);

    if (st == WR_NOTFOUND && !newest) {
        *e = why;
    } else if (st != WR_OK || fresh.legacy || !vanished(&x->all, &fresh.all) ||
               (newest && last(&fresh) < last(x))) {
        st = WR_BUSY;
    } else {
        struct wr_source old = *x;

        wr_log(c->log, WR_INFO,
            "files of the replica have vanished since they were listed; planning again",
            WR_F_STR("replica", wr_storage_name(s)));
        *x = fresh;
        fresh = old;
    }
    wr_source_release(&fresh);
    return st;
}
