/*
 * restore.c - the public calls that restore: to a file, to one that goes on, or only the plan.
 */
#include "api/api_int.h"

#include "base/mem.h"
#include "engine/follow.h"
#include "storage/stream.h"

struct forward {
    weir_progress_fn *progress; /* NULL: none */
    void *arg;
    size_t files;
};

static void forward_progress(void *arg, const struct wr_restore_progress *p)
{
    struct forward *f = arg;
    static const int32_t phases[] = {
        [WR_RESTORE_PLANNING] = WEIR_PHASE_PLAN,
        [WR_RESTORE_INDEXING] = WEIR_PHASE_PLAN,
        [WR_RESTORE_FETCHING] = WEIR_PHASE_FETCH,
        [WR_RESTORE_CHECKING] = WEIR_PHASE_CHECK,
        [WR_RESTORE_PLACING] = WEIR_PHASE_SYNC,
    };
    weir_progress out = {.phase = phases[p->phase],
        .files_done = (uint32_t)p->files,
        .files_total = (uint32_t)p->files_total,
        .bytes_done = p->bytes_done,
        .bytes_total = p->bytes_total,
        .bytes_resumed = p->bytes_resumed};

    if (p->files_total) /* of the last plan, should there be more than one */
        f->files = p->files_total;
    if (f->progress)
        f->progress(f->arg, &out);
}

static weir_restore_options options_of(const weir_restore_options *opt)
{
    weir_restore_options o = {0};

    if (opt)
        memcpy(&o, opt, wr_api_struct(opt->struct_size, sizeof(o)));
    return o;
}

/* `ret` may be NULL. */
static void tell_result(
    const struct wr_restore_result *r, size_t files, int32_t check, weir_restore_result *ret)
{
    weir_restore_result out = {.txid = r->txid,
        .time_ms = r->time_ms,
        .bytes = r->bytes,
        .bytes_read = r->bytes_read,
        .bytes_resumed = r->bytes_resumed,
        .bytes_kept = r->bytes_kept,
        .files = (uint32_t)files,
        .format = r->format == WR_RESTORE_V03 ? WEIR_FORMAT_LEGACY : WEIR_FORMAT_LTX,
        .verified = check};

    if (!ret)
        return;
    out.struct_size = ret->struct_size;
    memcpy(ret, &out, wr_api_struct(ret->struct_size, sizeof(out)));
}

int weir_restore(weir *w, const char *url, const char *path, const weir_restore_options *opt,
    weir_restore_result *ret, weir_error *reterr)
{
    weir_restore_options o = options_of(opt);
    struct forward f = {.progress = o.progress, .arg = o.progress_arg};
    struct wr_restore_opts ro = {.path = path,
        .txid = o.txid,
        .time_ms = o.time_ms,
        .overwrite = o.overwrite != 0,
        .delta = o.delta && o.overwrite,
        .meta_dir = o.meta_dir,
        .parallel = o.parallel,
        .check = (enum wr_restore_check_kind)o.check,
        .progress = forward_progress,
        .progress_arg = &f};
    struct wr_restore_result r = {0};
    struct api_visit v;
    struct wr_err e = {0};
    enum wr_status st;

    if (!w || !path || (ret && ret->struct_size < sizeof(size_t)))
        return wr_api_return(reterr, wr_fail(&e, WR_MISUSE, "weir_restore: bad argument"), &e);
    st = wr_api_visit(w, url, o.settings, o.cancel, &v, &e);
    if (st == WR_OK)
        st = wr_restore(v.s, &v.call, &ro, &r, &e);
    wr_api_leave(&v);
    if (st == WR_OK)
        tell_result(&r, f.files, o.check, ret);
    return wr_api_return(reterr, st, &e);
}

/* The stream to follow, and where the replica is: *ret_url, in the arena unless it was given. */
static enum wr_status open_primary(const weir_follow_options *o, struct wr_call *c,
    const char **ret_url, struct wr_stream **ret, struct wr_err *e)
{
    const struct wr_stream_opts so = {
        .url = o->primary, .token = o->token, .ca_file = o->primary_ca_file};
    struct wr_str url = {0};
    enum wr_status st;

    if (!o->primary)
        return WR_OK;
    st = wr_stream_open(&so, ret, e);
    if (st == WR_OK && !*ret_url) {
        st = wr_stream_replica(*ret, c, &url, e);
        *ret_url = url.p;
        if (wr_status_transient(st))
            st =
                wr_wrap(e, st, "the primary cannot be asked where its replica is (-replica tells)");
    }
    return st;
}

struct telling {
    weir_follow_fn *fn; /* NULL: nobody asks */
    void *arg;
};

static void forward_report(void *arg, const struct wr_follow_report *r)
{
    struct telling *t = arg;
    static const int32_t phases[] = {
        [WR_FOLLOW_CURRENT] = WEIR_FOLLOW_CURRENT,
        [WR_FOLLOW_BEHIND] = WEIR_FOLLOW_BEHIND,
        [WR_FOLLOW_WAITING] = WEIR_FOLLOW_WAITING,
        [WR_FOLLOW_FAILING] = WEIR_FOLLOW_FAILING,
    };
    weir_follow_status out = {.phase = phases[r->phase],
        .errors = r->errors,
        .txid = r->txid,
        .newest = r->newest,
        .time_ms = r->time_ms,
        .lag_ms = r->lag_ms,
        .unseen_ms = r->unseen_ms,
        .applied = r->applied,
        .text = r->text};

    if (t->fn)
        t->fn(t->arg, &out);
}

int weir_follow(weir *w, const char *url, const char *path, const weir_follow_options *opt,
    weir_restore_result *ret, weir_error *reterr)
{
    weir_follow_options o = {0};
    struct forward f = {0};
    struct telling t = {0};
    struct wr_follow_opts fo;
    struct wr_follow_report end = {0};
    struct wr_restore_result r = {0};
    struct wr_follow *follow = NULL;
    struct wr_stream *primary = NULL;
    struct wr_storage *s = NULL;
    struct wr_arena a;
    struct wr_err e = {0};
    struct wr_call call;
    enum wr_status st;

    if (!w || !path || (ret && ret->struct_size < sizeof(size_t)))
        return wr_api_return(reterr, wr_fail(&e, WR_MISUSE, "weir_follow: bad argument"), &e);
    if (opt)
        memcpy(&o, opt, wr_api_struct(opt->struct_size, sizeof(o)));
    f = (struct forward){.progress = o.progress, .arg = o.progress_arg};
    t = (struct telling){.fn = o.fn, .arg = o.arg};
    fo = (struct wr_follow_opts){.restore = {.path = path,
                                     .overwrite = o.overwrite != 0,
                                     .delta = o.delta && o.overwrite,
                                     .parallel = o.parallel,
                                     .check = (enum wr_restore_check_kind)o.check,
                                     .progress = forward_progress,
                                     .progress_arg = &f},
        .interval_ms = o.interval_ms,
        .patience_ms = o.patience_ms,
        .tell = forward_report,
        .tell_arg = &t};
    call = wr_api_call(w, &a, o.cancel);
    st = open_primary(&o, &call, &url, &primary, &e);
    fo.primary = primary;
    if (st == WR_OK)
        st = wr_api_open_replica(w, url, o.settings, &s, &e);
    if (st == WR_OK)
        st = wr_follow_open(s, &call, &fo, &follow, &r, &e);
    if (st == WR_OK)
        st = wr_follow_run(follow, &call, &e);
    if (follow) {
        wr_follow_look(follow, &end);
        r.txid = end.txid;
        r.time_ms = end.time_ms;
    }
    if (st == WR_OK)
        tell_result(&r, f.files, o.check, ret);
    wr_follow_close(follow);
    wr_stream_close(primary);
    wr_storage_close(s);
    wr_arena_release(&a);
    return wr_api_return(reterr, st, &e);
}

int weir_plan(weir *w, const char *url, const weir_restore_options *opt, weir_file_fn *fn,
    void *arg, weir_error *reterr)
{
    weir_restore_options o = options_of(opt);
    struct wr_restore_opts ro = {.txid = o.txid, .time_ms = o.time_ms, .parallel = o.parallel};
    struct wr_ltx_files files = {0};
    struct api_visit v;
    struct wr_err e = {0};
    enum wr_status st;

    if (!w || !fn)
        return wr_api_return(reterr, wr_fail(&e, WR_MISUSE, "weir_plan: bad argument"), &e);
    st = wr_api_visit(w, url, o.settings, o.cancel, &v, &e);
    if (st == WR_OK)
        st = wr_restore_plan(v.s, &v.call, &ro, &files, &e);
    if (st == WR_OK)
        wr_api_tell_files(fn, arg, &files, NULL);
    wr_ltx_files_release(&files);
    wr_api_leave(&v);
    return wr_api_return(reterr, st, &e);
}
