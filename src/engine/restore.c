/*
 * restore.c - from a replica to a database: choose, fetch into a file beside the target, put it in
 * place. What to choose is source.h, how files are read inputs.h, image.h and legacy.h, how names
 * change hands place.h.
 */
#include "engine/restore.h"

#include "engine/chain.h"
#include "engine/crew.h"
#include "engine/delta.h"
#include "engine/input_read.h"
#include "engine/legacy.h"
#include "engine/place.h"
#include "engine/resume.h"
#include "engine/source.h"
#include "ltx/ltx.h"
#include "sqlite/check.h"
#include "storage/storage.h"

#define PARALLEL   8
#define OPENING    32u
#define PLANS_MAX  4                    /* a file has vanished under the others */
#define RESUME_MIN ((uint64_t)64 << 20) /* some seconds of a slow line */

struct wr_restore_opts wr_restore_defaults(const struct wr_restore_opts *opts)
{
    struct wr_restore_opts o = *opts;

    if (!o.fs)
        o.fs = wr_fs_posix();
    if (o.opening == 0)
        o.opening = o.parallel ? o.parallel : OPENING;
    o.opening = wr_min(o.opening, (unsigned)WR_CREW_MAX);
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
    if (opts->time_ms < 0)
        return wr_fail(e, WR_MISUSE, "there are no backups from before 1970");
    return WR_OK;
}

enum wr_status wr_restore_plan(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct wr_ltx_files *ret, struct wr_err *e)
{
    struct wr_restore_opts o = wr_restore_defaults(opts);
    enum wr_status st = check_target(&o, e);

    if (st == WR_OK)
        st = wr_source_plan(s, c, &o, ret, e);
    for (size_t i = 0; st == WR_OK && i < ret->n; i++)
        st = wr_input_check(&ret->p[i], e);
    return st;
}

enum wr_status wr_restore_check(const struct wr_restore_opts *opts, struct wr_err *e)
{
    struct wr_restore_opts o = wr_restore_defaults(opts);
    enum wr_status st = check_target(&o, e);

    if (st == WR_OK)
        st = wr_place_check(o.fs, o.path, o.overwrite, e);
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

/* What the plans so far have come to. */
struct past {
    const char *kept; /* where what was fetched by the last one is, or NULL */
    uint64_t fetched; /* bytes of pages */
    bool any;         /* there was one */
};

/* A restore that has come to nothing for now: let another one go on from here, if that can help and
 * is worth the disk space. A damaged replica or a full disk will not get better by it. */
static enum wr_status keep(struct wr_place *place, struct wr_call *c,
    const struct wr_restore_opts *opts, struct past *past, enum wr_status st, uint64_t bytes,
    struct wr_err *e)
{
    bool may_pass = st == WR_CANCELED || st == WR_TIMEOUT || st == WR_BUSY || st == WR_AUTH ||
                    st == WR_IO || st == WR_NOMEM;

    if (!may_pass || !wr_place_map(place) || (!wr_place_adopted(place) && bytes < opts->resume_min))
        return wr_wrap(e, st, "restore %s", opts->path);
    wr_place_keep(place);
    past->kept = wr_arena_str(c->scratch, wr_str(wr_place_name(place))).p;
    return wr_wrap(e, st,
        "restore %s (what was fetched is kept in %s, and the same command goes on from there)",
        opts->path, wr_place_name(place));
}

/* `time_ms` as the last file has it, or 0. In a listing there may be that of its arrival in the
 * bucket, or of a copy of all that. */
static struct wr_restore_result result_of(
    const struct wr_ltx_file *last, int64_t time_ms, uint32_t commit, uint32_t page_size)
{
    return (struct wr_restore_result){.format = WR_RESTORE_LTX,
        .txid = last->max,
        .time_ms = time_ms > 0 ? time_ms : last->time_ms,
        .bytes = (uint64_t)commit * page_size,
        .commit = commit,
        .page_size = page_size};
}

/* A restore by the plan may succeed where this came of going beyond it. */
static bool may_do_without(enum wr_status st)
{
    return st == WR_NOTFOUND || st == WR_CORRUPT || st == WR_BUSY || st == WR_IO || st == WR_AUTH;
}

/* With what the database that is there has of the new one. *ret_done is false where that leads
 * nowhere, and all has to be fetched. */
static enum wr_status write_delta(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct wr_source *x, struct wr_place *place,
    const struct past *past, struct wr_restore_result *r, bool *ret_done, struct wr_err *e)
{
    const struct wr_ltx_file *last = &x->plan.p[x->plan.n - 1];
    struct wr_file *file = wr_place_file(place);
    struct wr_delta_report is = {0};
    struct wr_err why = {0};
    enum wr_status st;

    *ret_done = false;
    if (!opts->delta || (past->any && wr_place_adopted(place))) /* which is this run's own */
        return WR_OK;
    if (wr_place_adopted(place)) {
        wr_log(c->log, WR_WARN,
            "going on with what a killed restore has left; the database that is there is not used",
            WR_F_STR("replica", wr_storage_name(s)));
        return WR_OK;
    }
    st = wr_delta_fetch(s, c, opts, &x->all, &x->plan, bytes_of(&x->plan), file, &is, &why);
    if (!is.disk_failed && may_do_without(st)) {
        wr_log(c->log, WR_WARN, "nothing of what is there can be used; fetching all pages",
            WR_F_STR("replica", wr_storage_name(s)), WR_F_Z("reason", why.text));
        return wr_file_truncate(file, 0, e);
    }
    if (st != WR_OK)
        return wr_fail(e, st, "restore %s: %s", opts->path, why.text);
    *ret_done = true;
    *r = result_of(last, is.time_ms, is.commit, is.page_size);
    r->bytes_read = is.fetched;
    r->bytes_kept = (uint64_t)is.kept * is.page_size;
    r->verified = true;
    r->rolling = is.rolling;
    return WR_OK;
}

static enum wr_status write_chain(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct wr_source *x, struct past *past,
    struct wr_place *place, struct wr_restore_result *r, struct wr_err *e)
{
    struct wr_chain_report is = {0};
    const struct wr_ltx_file *last;
    enum wr_status st = WR_OK;
    uint64_t resumed;

    if (wr_place_adopted(place) && !past->any)
        st = wr_resume_plan(s, c, opts, &x->all, wr_place_map(place), &x->plan, e);
    if (st == WR_OK)
        st = wr_chain_fetch(
            s, c, opts, &x->all, &x->plan, wr_place_file(place), wr_place_map(place), &is, e);
    last = &x->plan.p[x->plan.n - 1];
    /* What this run has fetched for a plan before was not left by an earlier one. */
    resumed = is.resumed - wr_min(is.resumed, past->fetched);
    past->fetched += is.fetched;
    past->any = true;
    if (st == WR_OK) {
        *r = result_of(last, is.time_ms, is.commit, is.page_size);
        r->bytes_read = past->fetched;
        r->bytes_resumed = resumed;
        r->verified = is.verified;
        r->rolling = is.rolling;
    } else if (is.disk_failed) { /* going on with this disk is no good idea */
        wr_wrap(e, st, "restore %s", opts->path);
    } else {
        st = keep(place, c, opts, past, st, is.unmapped ? 0 : is.fetched + is.resumed, e);
    }
    return st;
}

static enum wr_status write_ltx(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct wr_source *x, struct past *past,
    struct wr_place *place, struct wr_restore_result *r, struct wr_err *e)
{
    bool done;
    enum wr_status st = write_delta(s, c, opts, x, place, past, r, &done, e);

    return st != WR_OK || done ? st : write_chain(s, c, opts, x, past, place, r, e);
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
static enum wr_status check_file(const struct wr_restore_opts *opts, const struct wr_call *c,
    struct wr_place *place, struct wr_err *e)
{
    bool quick = opts->check == WR_RESTORE_CHECK_QUICK;
    enum wr_status st;

    if (opts->check == WR_RESTORE_CHECK_NONE)
        return WR_OK;
    tell(opts, &(struct wr_restore_progress){.phase = WR_RESTORE_CHECKING});
    st = wr_place_seal(place, e);
    if (st == WR_OK)
        st = wr_sqlite_check(wr_place_name(place), quick, c, e);
    if (st != WR_OK)
        return wr_wrap(e, st, "%s check of %s", quick ? "quick" : "integrity", opts->path);
    return WR_OK;
}

/* What remains when all is there: it may be checked, and the call may have ended meanwhile. */
static enum wr_status conclude(struct wr_call *c, const struct wr_restore_opts *opts,
    struct past *past, struct wr_place *place, const struct wr_restore_result *r, struct wr_err *e)
{
    enum wr_status st = check_file(opts, c, place, e);

    if (st == WR_OK) {
        tell(opts, &(struct wr_restore_progress){.phase = WR_RESTORE_PLACING});
        st = wr_call_check(c, "restore", e);
    }
    if ((st == WR_CANCELED || st == WR_TIMEOUT) && r->bytes_kept == 0) /* else there is no map */
        st = keep(place, c, opts, past, st, r->bytes_read + r->bytes_resumed, e);
    return st;
}

static enum wr_status open_place(const struct wr_restore_opts *opts, const struct wr_source *x,
    struct wr_place **ret, struct wr_err *e)
{
    unsigned flags = opts->overwrite ? WR_PLACE_OVERWRITE : 0;

    if (!x->legacy && resumable(opts, &x->plan))
        flags |= WR_PLACE_RESUMABLE;
    return wr_place_open(opts->fs, opts->path, flags, ret, e);
}

/* Fetch what was found, and put it in its place. */
static enum wr_status restore_from(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct wr_source *source, struct past *past,
    struct wr_restore_result *ret, struct wr_err *e)
{
    struct wr_place *place = NULL;
    struct wr_restore_result r = {0};
    enum wr_status st = open_place(opts, source, &place, e);

    past->kept = NULL;
    if (st == WR_OK)
        st = source->legacy ? write_legacy(c, opts, source->legacy, place, &r, e)
                            : write_ltx(s, c, opts, source, past, place, &r, e);
    if (st == WR_OK && opts->finish)
        st = opts->finish(opts->finish_arg, wr_place_file(place), &r, e);
    if (st == WR_OK)
        st = conclude(c, opts, past, place, &r, e);
    if (st == WR_OK)
        st = wr_place_commit(place, c->log, e);
    if (st == WR_OK)
        *ret = r;
    wr_place_close(place);
    return st;
}

enum wr_status wr_restore(struct wr_storage *s, struct wr_call *c,
    const struct wr_restore_opts *opts, struct wr_restore_result *ret, struct wr_err *e)
{
    struct wr_restore_opts o = wr_restore_defaults(opts);
    struct wr_source source = {0};
    enum wr_status st = wr_restore_check(&o, e);

    if (st == WR_OK) {
        tell(&o, &(struct wr_restore_progress){.phase = WR_RESTORE_PLANNING});
        st = wr_source_find(s, c, &o, &source, e);
    }
    if (st == WR_OK) {
        struct past past = {0};
        int plans = 0;
        bool again;

        do {
            st = restore_from(s, c, &o, &source, &past, ret, e);
            again = st == WR_BUSY && ++plans < PLANS_MAX;
            if (again)
                st = wr_source_find_again(s, c, &o, &source, e);
        } while (again && st == WR_OK);
        if (st == WR_NOTFOUND && again && past.kept)
            wr_wrap(e, st, "restore %s (what was fetched of it is kept in %s, for the next one)",
                o.path, past.kept);
        /* To the caller NOTFOUND means that there is no backup, and that it may begin without one.
         * There is one; whatever is missing by now is a file or a directory of this machine. */
        if (st == WR_NOTFOUND && !again)
            st = wr_wrap(e, WR_IO, "restore %s", o.path);
    }
    wr_source_release(&source);
    return st;
}
