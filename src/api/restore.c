/*
 * restore.c - the public calls that read a replica: restore, plan, listing, points.
 */
#include "api/api_int.h"

#include "base/mem.h"
#include "engine/layout.h"
#include "engine/restore.h"
#include "engine/survey.h"

static enum wr_status open_replica(
    const char *url, const char *const *settings, struct wr_storage **ret, struct wr_err *e)
{
    struct api_replica_settings own = {0};
    enum wr_status st;

    if (!url)
        return wr_fail(e, WR_MISUSE, "no replica URL");
    st = wr_api_replica_settings(settings, &own, e);
    if (st == WR_OK)
        st = wr_storage_open(wr_str(url), own.rest, ret, e);
    wr_free(own.rest);
    return st;
}

struct forward {
    const weir_restore_options *o;
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
    if (f->o->progress)
        f->o->progress(f->o->progress_arg, &out);
}

static weir_restore_options options_of(const weir_restore_options *opt)
{
    weir_restore_options o = {0};

    if (opt)
        memcpy(&o, opt, wr_api_struct(opt->struct_size, sizeof(o)));
    return o;
}

int weir_restore(weir *w, const char *url, const char *path, const weir_restore_options *opt,
    weir_restore_result *ret, weir_error *reterr)
{
    weir_restore_options o = options_of(opt);
    struct forward f = {.o = &o};
    struct wr_restore_opts ro = {.path = path,
        .txid = o.txid,
        .time_ms = o.time_ms,
        .overwrite = o.overwrite != 0,
        .delta = o.delta && o.overwrite,
        .parallel = o.parallel,
        .check = (enum wr_restore_check_kind)o.check,
        .progress = forward_progress,
        .progress_arg = &f};
    struct wr_restore_result r = {0};
    struct wr_storage *s = NULL;
    struct wr_arena a;
    struct wr_err e = {0};
    struct wr_call call;
    enum wr_status st;

    if (!w || !path || (ret && ret->struct_size < sizeof(size_t)))
        return wr_api_return(reterr, wr_fail(&e, WR_MISUSE, "weir_restore: bad argument"), &e);
    call = wr_api_call(w, &a, o.cancel);
    st = open_replica(url, o.settings, &s, &e);
    if (st == WR_OK)
        st = wr_restore(s, &call, &ro, &r, &e);
    wr_storage_close(s);
    wr_arena_release(&a);
    if (st == WR_OK && ret) {
        weir_restore_result out = {.struct_size = ret->struct_size,
            .txid = r.txid,
            .time_ms = r.time_ms,
            .bytes = r.bytes,
            .bytes_read = r.bytes_read,
            .bytes_resumed = r.bytes_resumed,
            .bytes_kept = r.bytes_kept,
            .files = (uint32_t)f.files,
            .format = r.format == WR_RESTORE_V03 ? WEIR_FORMAT_LEGACY : WEIR_FORMAT_LTX,
            .verified = o.check};

        memcpy(ret, &out, wr_api_struct(ret->struct_size, sizeof(out)));
    }
    return wr_api_return(reterr, st, &e);
}

static void tell(weir_file_fn *fn, void *arg, const struct wr_ltx_files *files)
{
    char name[WR_LAYOUT_NAME_MAX];

    for (size_t i = 0; i < files->n; i++) {
        const struct wr_ltx_file *f = &files->p[i];
        weir_file out = {.level = (int32_t)f->level,
            .min_txid = f->min,
            .max_txid = f->max,
            .size = f->size,
            .time_ms = f->time_ms,
            .name = name};

        wr_layout_name(name, f);
        if (fn(arg, &out) != 0)
            return;
    }
}

int weir_plan(weir *w, const char *url, const weir_restore_options *opt, weir_file_fn *fn,
    void *arg, weir_error *reterr)
{
    weir_restore_options o = options_of(opt);
    struct wr_restore_opts ro = {.txid = o.txid, .time_ms = o.time_ms, .parallel = o.parallel};
    struct wr_ltx_files files = {0};
    struct wr_storage *s = NULL;
    struct wr_arena a;
    struct wr_err e = {0};
    struct wr_call call;
    enum wr_status st;

    if (!w || !fn)
        return wr_api_return(reterr, wr_fail(&e, WR_MISUSE, "weir_plan: bad argument"), &e);
    call = wr_api_call(w, &a, o.cancel);
    st = open_replica(url, o.settings, &s, &e);
    if (st == WR_OK)
        st = wr_restore_plan(s, &call, &ro, &files, &e);
    if (st == WR_OK)
        tell(fn, arg, &files);
    wr_ltx_files_release(&files);
    wr_storage_close(s);
    wr_arena_release(&a);
    return wr_api_return(reterr, st, &e);
}

int weir_ltx_list(weir *w, const char *url, const char *const *settings, int level,
    weir_cancel *cancel, weir_file_fn *fn, void *arg, weir_error *reterr)
{
    struct wr_ltx_files files = {0};
    struct wr_storage *s = NULL;
    struct wr_arena a;
    struct wr_err e = {0};
    struct wr_call call;
    enum wr_status st;

    if (!w || !fn || level < WEIR_LEVEL_ALL || level > WEIR_LEVEL_SNAPSHOT)
        return wr_api_return(reterr, wr_fail(&e, WR_MISUSE, "weir_ltx_list: bad argument"), &e);
    call = wr_api_call(w, &a, cancel);
    st = open_replica(url, settings, &s, &e);
    if (st == WR_OK && level == WEIR_LEVEL_ALL)
        st = wr_layout_list_all(s, &call, &files, &e);
    else if (st == WR_OK)
        st = wr_layout_list(s, &call, (unsigned)level, 0, &files, &e);
    if (st == WR_OK)
        tell(fn, arg, &files);
    wr_ltx_files_release(&files);
    wr_storage_close(s);
    wr_arena_release(&a);
    return wr_api_return(reterr, st, &e);
}

static void tell_points(weir_point_fn *fn, void *arg, const struct wr_points *a)
{
    for (size_t i = 0; i < a->n; i++) {
        const struct wr_point *p = &a->p[i];
        const weir_point out = {.txid = p->txid,
            .time_ms = p->time_ms,
            .files = (uint32_t)p->files,
            .bytes = p->bytes,
            .level = (int32_t)p->level,
            .finest = (int32_t)p->finest,
            .run = (uint32_t)p->run,
            .exact = p->exact,
            .by_time = p->by_time};

        if (fn(arg, &out) != 0)
            return;
    }
}

static void tell_result(weir_points_result *ret, const struct wr_survey *x)
{
    const weir_points_result out = {.struct_size = ret->struct_size,
        .newest = x->newest.txid,
        .newest_ms = x->newest.time_ms,
        .gap = x->gap,
        .legacy_from_ms = x->legacy_from_ms,
        .legacy_to_ms = x->legacy_to_ms};

    memcpy(ret, &out, wr_api_struct(ret->struct_size, sizeof(out)));
}

int weir_points(weir *w, const char *url, const weir_points_options *opt, weir_point_fn *fn,
    void *arg, weir_points_result *ret, weir_error *reterr)
{
    weir_points_options o = {0};
    struct wr_survey_opts so;
    struct wr_survey x = {0};
    struct wr_storage *s = NULL;
    struct wr_arena a;
    struct wr_err e = {0};
    struct wr_call call;
    enum wr_status st;

    if (!w || !fn || (ret && ret->struct_size < sizeof(size_t)))
        return wr_api_return(reterr, wr_fail(&e, WR_MISUSE, "weir_points: bad argument"), &e);
    if (opt)
        memcpy(&o, opt, wr_api_struct(opt->struct_size, sizeof(o)));
    so = (struct wr_survey_opts){.since_ms = o.since_ms,
        .until_ms = o.until_ms,
        .exact = o.exact != 0,
        .parallel = o.parallel};
    call = wr_api_call(w, &a, o.cancel);
    st = open_replica(url, o.settings, &s, &e);
    if (st == WR_OK)
        st = wr_survey(s, &call, &so, &x, &e);
    if (st == WR_OK) {
        tell_points(fn, arg, &x.points);
        if (ret)
            tell_result(ret, &x);
    }
    wr_survey_release(&x);
    wr_storage_close(s);
    wr_arena_release(&a);
    return wr_api_return(reterr, st, &e);
}
