/*
 * restore.c - from a replica to a database: choose, fetch into a file beside the target, put it in
 * place. How files are read is inputs.h, image.h and legacy.h, how names change hands place.h.
 */
#include "engine/restore.h"

#include "base/mem.h"
#include "engine/chain.h"
#include "engine/crew.h"
#include "engine/delta.h"
#include "engine/inputs.h"
#include "engine/legacy.h"
#include "engine/place.h"
#include "engine/plan.h"
#include "engine/times.h"
#include "ltx/ltx.h"
#include "sqlite/conn.h"
#include "storage/storage.h"

#define PARALLEL   8
#define PLANS_MAX  4                    /* a file has vanished under the others */
#define RESUME_MIN ((uint64_t)64 << 20) /* some seconds of a slow line */

/* What there is to restore from, and which of it will be. */
struct source {
    struct wr_ltx_files all;  /* every LTX file */
    struct wr_ltx_files plan; /* those to apply */
    struct wr_legacy *legacy; /* NULL: none that qualifies */
};

static void source_release(struct source *x)
{
    wr_ltx_files_release(&x->all);
    wr_ltx_files_release(&x->plan);
    wr_legacy_free(x->legacy);
}

static struct wr_restore_opts with_defaults(const struct wr_restore_opts *opts)
{
    struct wr_restore_opts o = *opts;

    if (!o.fs)
        o.fs = wr_fs_posix();
    if (o.parallel == 0)
        o.parallel = PARALLEL;
    o.parallel = wr_min(o.parallel, (unsigned)WR_CREW_MAX);
    if (o.lock_offset == 0)
        o.lock_offset = WR_LTX_LOCK_OFFSET;
    if (o.resume_min == 0)
        o.resume_min = RESUME_MIN;
    return o;
}

static void tell(const struct wr_restore_opts *opts, const struct wr_restore_progress *p)
{
    if (opts->progress)
        opts->progress(opts->progress_arg, p);
}

static enum wr_status check_target(const struct wr_restore_opts *opts, struct wr_err *e)
{
    if (opts->txid && opts->time_ms)
        return wr_fail(e, WR_MISUSE, "cannot specify both TXID & timestamp to restore");
    return WR_OK;
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

/* All files, with times that can be compared with opts->time_ms if it is set. */
static enum wr_status list_files(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct wr_ltx_files *out, struct wr_err *e)
{
    enum wr_status st = wr_layout_list_all(s, c, out, e);

    if (st == WR_OK && opts->time_ms)
        st = find_times(s, c, opts, out, e);
    return st;
}

/* With a time, the newest state before it that has a chain is what Litestream restores, too, also
 * if there are files behind a gap: a compaction that came after that time may have taken the place
 * of those between. But that it is not all must be known. */
static void warn_of_gap(struct wr_storage *s, struct wr_call *c, const struct wr_ltx_files *all,
    const struct wr_plan_target *target, uint64_t end)
{
    uint64_t next = target->time_ms ? wr_plan_gap(all->p, all->n, target, end) : 0;

    if (next)
        wr_log(c->log, WR_WARN,
            "files from before that time lie behind a gap; the state that is restored is older",
            WR_F_STR("replica", wr_storage_name(s)), WR_F_TXID("txid", end),
            WR_F_TXID("next", next));
}

static enum wr_status plan_files(struct wr_storage *s, struct wr_call *c,
    const struct wr_ltx_files *all, const struct wr_restore_opts *opts, struct wr_ltx_files *out,
    struct wr_err *e)
{
    const struct wr_plan_target target = {.txid = opts->txid, .time_ms = opts->time_ms};
    size_t *chosen = wr_array(all->n, sizeof(*chosen));
    size_t n = 0;
    enum wr_status st;

    if (!chosen)
        return wr_fail(e, WR_NOMEM, "plan over %zu files: out of memory", all->n);
    st = wr_plan(all->p, all->n, &target, chosen, &n, e);
    if (st == WR_CORRUPT)
        wr_wrap(e, st, "cannot calc restore plan");
    for (size_t i = 0; st == WR_OK && i < n; i++)
        st = wr_ltx_files_add(out, &all->p[chosen[i]], e);
    if (st == WR_OK)
        warn_of_gap(s, c, all, &target, all->p[chosen[n - 1]].max);
    wr_free(chosen);
    return st;
}

enum wr_status wr_restore_plan(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct wr_ltx_files *ret, struct wr_err *e)
{
    struct wr_restore_opts o = with_defaults(opts);
    struct wr_ltx_files all = {0};
    enum wr_status st = check_target(&o, e);

    if (st == WR_OK)
        st = list_files(s, c, &o, &all, e);
    if (st == WR_OK)
        st = plan_files(s, c, &all, &o, ret, e);
    for (size_t i = 0; st == WR_OK && i < ret->n; i++)
        st = wr_input_check(&ret->p[i], e);
    wr_ltx_files_release(&all);
    return st;
}

enum wr_status wr_restore_check(const struct wr_restore_opts *opts, struct wr_err *e)
{
    struct wr_restore_opts o = with_defaults(opts);
    enum wr_status st = check_target(&o, e);

    if (st == WR_OK)
        st = wr_place_check(o.fs, o.path, o.overwrite, e);
    return st;
}

/* Refuse a time that is outside of all that was kept: asking for it is most likely a mistake. */
static enum wr_status check_range(
    const struct source *x, const struct wr_restore_opts *opts, struct wr_err *e)
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
static bool prefer_legacy(const struct source *x, const struct wr_restore_opts *opts)
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
    const struct wr_restore_opts *opts, struct source *x, struct wr_err *e)
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
static void warn_of_legacy(struct wr_storage *s, struct wr_call *c, const struct source *x)
{
    uint64_t txid = 0;

    for (size_t i = 0; i < x->all.n; i++)
        txid = wr_max(txid, x->all.p[i].max);
    if (txid)
        wr_log(c->log, WR_WARN,
            "by the times of the files a backup of Litestream 0.3 is newer than those in the newer "
            "format, and is restored; if they were copied, that may be wrong: -txid restores the "
            "latter",
            WR_F_STR("replica", wr_storage_name(s)), WR_F_TXID("txid", txid));
}

/* List, choose the format, plan. Afterwards either x->legacy is set or x->plan has files. */
static enum wr_status find_source(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct source *x, struct wr_err *e)
{
    enum wr_status st = list_files(s, c, opts, &x->all, e);
    enum wr_status legacy = WR_NOTFOUND;
    struct wr_err why = {0};

    if (st == WR_OK && !opts->txid) {
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
    st = plan_files(s, c, &x->all, opts, &x->plan, e);
    if (st == WR_OK && legacy != WR_OK && legacy != WR_NOTFOUND)
        wr_log(c->log, WR_WARN,
            "backups of Litestream 0.3 cannot be listed; restoring from the newer format",
            WR_F_STR("replica", wr_storage_name(s)), WR_F_Z("reason", why.text));
    return st;
}

static uint64_t bytes_of(const struct wr_ltx_files *files)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < files->n; i++)
        bytes += wr_min(files->p[i].size, UINT64_MAX - bytes);
    return bytes;
}

/* Whether to keep, and go on with, what there is of these files. */
static bool resumable(const struct wr_restore_opts *opts, const struct wr_ltx_files *plan)
{
    return bytes_of(plan) >= opts->resume_min;
}

/* A restore that has come to nothing for now: let another one go on from here, if that can help and
 * is worth the disk space. A damaged replica or a full disk will not get better by it. */
static enum wr_status keep(struct wr_place *place, const struct wr_restore_opts *opts,
    enum wr_status st, uint64_t bytes, struct wr_err *e)
{
    bool may_pass = st == WR_CANCELED || st == WR_TIMEOUT || st == WR_BUSY || st == WR_AUTH ||
                    st == WR_IO || st == WR_NOMEM;

    if (!may_pass || !wr_place_map(place) || (!wr_place_adopted(place) && bytes < opts->resume_min))
        return wr_wrap(e, st, "restore %s", opts->path);
    wr_place_keep(place);
    return wr_wrap(e, st,
        "restore %s (what was fetched is kept in %s, and the same command goes on from there)",
        opts->path, wr_place_name(place));
}

/* With what the database that is there has of the new one. *ret_done is false where that leads
 * nowhere, and all has to be fetched. */
static enum wr_status write_delta(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct source *x, struct wr_place *place,
    struct wr_restore_result *r, bool *ret_done, struct wr_err *e)
{
    const struct wr_ltx_file *last = &x->plan.p[x->plan.n - 1];
    struct wr_file *file = wr_place_file(place);
    struct wr_delta_report is = {0};
    struct wr_err why = {0};
    enum wr_status st;

    *ret_done = false;
    if (!opts->delta || wr_place_adopted(place))
        return WR_OK;
    st = wr_delta_fetch(s, c, opts, &x->all, last, bytes_of(&x->plan), file, &is, &why);
    if (st == WR_NOTFOUND || st == WR_CORRUPT || st == WR_BUSY) {
        wr_log(c->log, WR_INFO, "the database that is there is of no help; fetching all pages",
            WR_F_STR("replica", wr_storage_name(s)), WR_F_Z("reason", why.text));
        return wr_file_truncate(file, 0, e);
    }
    if (st != WR_OK)
        return wr_fail(e, st, "restore %s: %s", opts->path, why.text);
    *ret_done = true;
    *r = (struct wr_restore_result){.format = WR_RESTORE_LTX,
        .txid = last->max,
        .time_ms = last->time_ms,
        .bytes = (uint64_t)is.commit * is.page_size,
        .commit = is.commit,
        .page_size = is.page_size,
        .bytes_read = is.fetched,
        .bytes_kept = (uint64_t)is.kept * is.page_size,
        .verified = true};
    return WR_OK;
}

static enum wr_status write_chain(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct source *x, struct wr_place *place,
    struct wr_restore_result *r, struct wr_err *e)
{
    struct wr_chain_report is = {0};
    enum wr_status st = wr_chain_fetch(
        s, c, opts, &x->all, &x->plan, wr_place_file(place), wr_place_map(place), &is, e);
    const struct wr_ltx_file *last = &x->plan.p[x->plan.n - 1];

    if (st == WR_OK)
        *r = (struct wr_restore_result){.format = WR_RESTORE_LTX,
            .txid = last->max,
            .time_ms = last->time_ms,
            .bytes = (uint64_t)is.commit * is.page_size,
            .commit = is.commit,
            .page_size = is.page_size,
            .bytes_read = is.fetched,
            .bytes_resumed = is.resumed,
            .verified = is.verified};
    else if (is.disk_failed) /* going on with this disk is no good idea */
        wr_wrap(e, st, "restore %s", opts->path);
    else
        st = keep(place, opts, st, is.unmapped ? 0 : is.fetched + is.resumed, e);
    return st;
}

static enum wr_status write_ltx(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct source *x, struct wr_place *place,
    struct wr_restore_result *r, struct wr_err *e)
{
    bool done;
    enum wr_status st = write_delta(s, c, opts, x, place, r, &done, e);

    return st != WR_OK || done ? st : write_chain(s, c, opts, x, place, r, e);
}

struct legacy_progress {
    const struct wr_restore_opts *opts;
    struct wr_restore_progress p;
};

static void tell_legacy(void *arg, uint64_t bytes_done)
{
    struct legacy_progress *x = arg;

    x->p.bytes_done = bytes_done;
    tell(x->opts, &x->p);
}

static enum wr_status write_legacy(struct wr_call *c, const struct wr_restore_opts *opts,
    struct wr_legacy *legacy, struct wr_place *place, struct wr_restore_result *r, struct wr_err *e)
{
    struct legacy_progress x = {.opts = opts, .p = {.phase = WR_RESTORE_FETCHING}};
    struct wr_file *spool = NULL;
    uint32_t page_size = 0;
    uint32_t commit = 0;
    enum wr_status st = wr_place_spool(place, &spool, e);

    x.p.bytes_total = wr_legacy_bytes(legacy);
    if (st == WR_OK)
        st = wr_legacy_write(
            legacy, c, wr_place_file(place), spool, tell_legacy, &x, &page_size, &commit, e);
    if (st != WR_OK)
        return wr_wrap(e, st, "restore %s", opts->path);
    *r = (struct wr_restore_result){.format = WR_RESTORE_V03,
        .time_ms = wr_legacy_end_ms(legacy),
        .bytes = (uint64_t)commit * page_size,
        .commit = commit,
        .page_size = page_size,
        .bytes_read = wr_legacy_bytes(legacy)};
    return WR_OK;
}

/* SQLite's opinion. It opens the file by its temporary name, under which nobody else has it. */
static enum wr_status check_file(
    const struct wr_restore_opts *opts, struct wr_place *place, struct wr_err *e)
{
    bool quick = opts->check == WR_RESTORE_CHECK_QUICK;
    enum wr_status st;

    if (opts->check == WR_RESTORE_CHECK_NONE)
        return WR_OK;
    tell(opts, &(struct wr_restore_progress){.phase = WR_RESTORE_CHECKING});
    st = wr_place_seal(place, e);
    if (st == WR_OK)
        st = wr_sqlite_check(wr_place_name(place), quick, e);
    if (st != WR_OK)
        return wr_wrap(e, st, "%s check of %s", quick ? "quick" : "integrity", opts->path);
    return WR_OK;
}

static enum wr_status open_place(const struct wr_restore_opts *opts, const struct source *x,
    struct wr_place **ret, struct wr_err *e)
{
    unsigned flags = opts->overwrite ? WR_PLACE_OVERWRITE : 0;

    if (!x->legacy && resumable(opts, &x->plan))
        flags |= WR_PLACE_RESUMABLE;
    return wr_place_open(opts->fs, opts->path, flags, ret, e);
}

/* Fetch what was found, and put it in its place. */
static enum wr_status restore_from(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct source *source, struct wr_restore_result *ret,
    struct wr_err *e)
{
    struct wr_place *place = NULL;
    struct wr_restore_result r = {0};
    enum wr_status st = open_place(opts, source, &place, e);

    if (st == WR_OK)
        st = source->legacy ? write_legacy(c, opts, source->legacy, place, &r, e)
                            : write_ltx(s, c, opts, source, place, &r, e);
    if (st == WR_OK)
        st = check_file(opts, place, e);
    if (st == WR_OK) {
        tell(opts, &(struct wr_restore_progress){.phase = WR_RESTORE_PLACING});
        st = wr_call_check(c, "restore", e);
        if (st != WR_OK)
            st = keep(place, opts, st, r.bytes_read + r.bytes_resumed, e);
    }
    if (st == WR_OK)
        st = wr_place_commit(place, c->log, e);
    if (st == WR_OK)
        *ret = r;
    wr_place_close(place);
    return st;
}

/* Whether a file that was listed is not any more. */
static bool vanished(const struct wr_ltx_files *was, const struct wr_ltx_files *is)
{
    for (size_t i = 0; i < was->n; i++) {
        if (!wr_ltx_files_find(is, &was->p[i]))
            return true;
    }
    return false;
}

/* After BUSY: whether there is another way by now, which is *x then. It leads as far: that the
 * newest files are gone is no reason to restore an older state. */
static bool plan_again(
    struct wr_storage *s, struct wr_call *c, const struct wr_restore_opts *opts, struct source *x)
{
    struct source fresh = {0};
    const struct wr_ltx_file *end, *was;
    bool newest = !opts->txid && !opts->time_ms;
    bool yes = !x->legacy && find_source(s, c, opts, &fresh, NULL) == WR_OK && !fresh.legacy &&
               vanished(&x->all, &fresh.all);

    if (yes) {
        was = &x->plan.p[x->plan.n - 1];
        end = &fresh.plan.p[fresh.plan.n - 1];
        yes = !newest || end->max >= was->max;
    }
    if (yes) {
        struct source old = *x;

        wr_log(c->log, WR_INFO,
            "files of the replica have vanished since they were listed; planning again",
            WR_F_STR("replica", wr_storage_name(s)));
        *x = fresh;
        fresh = old;
    }
    source_release(&fresh);
    return yes;
}

enum wr_status wr_restore(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct wr_restore_result *ret, struct wr_err *e)
{
    struct wr_restore_opts o = with_defaults(opts);
    struct source source = {0};
    enum wr_status st = wr_restore_check(&o, e);

    if (st == WR_OK) {
        tell(&o, &(struct wr_restore_progress){.phase = WR_RESTORE_PLANNING});
        st = find_source(s, c, &o, &source, e);
    }
    if (st == WR_OK) {
        for (int i = 0; i < PLANS_MAX; i++) {
            st = restore_from(s, c, &o, &source, ret, e);
            if (st != WR_BUSY || i + 1 == PLANS_MAX || !plan_again(s, c, &o, &source))
                break;
        }
        /* To the caller NOTFOUND means that there is no backup, and that it may begin without one.
         * There is one; whatever is missing by now is a file or a directory of this machine. */
        if (st == WR_NOTFOUND)
            st = wr_wrap(e, WR_IO, "restore %s", o.path);
    }
    source_release(&source);
    return st;
}
