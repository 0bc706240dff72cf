/*
 * look.c - the public calls that look into a replica: its files, the points that it can be restored
 * to, what retention would delete, and which replicas there are.
 */
#include "api/api_int.h"

#include "base/mem.h"
#include "engine/catalogue.h"
#include "engine/layout.h"
#include "engine/stored.h"
#include "engine/survey.h"

#define TIMES_THREADS 8 /* that ask for the times of files */

static const char *word_of(enum wr_kept kept)
{
    static const char *const words[] = {
        [WR_KEPT_TIME] = "time",
        [WR_KEPT_NEWEST] = "newest",
        [WR_KEPT_SNAPSHOT] = "count",
        [WR_KEPT_PERIOD + WR_PERIOD_HOUR] = "hour",
        [WR_KEPT_PERIOD + WR_PERIOD_DAY] = "day",
        [WR_KEPT_PERIOD + WR_PERIOD_WEEK] = "week",
        [WR_KEPT_PERIOD + WR_PERIOD_MONTH] = "month",
        [WR_KEPT_PERIOD + WR_PERIOD_YEAR] = "year",
        [WR_KEPT_WAY] = "chain",
        [WR_KEPT_FENCE] = "promotion",
    };

    return words[kept];
}

void wr_api_tell_files(
    weir_file_fn *fn, void *arg, const struct wr_ltx_files *files, const enum wr_kept *kept)
{
    char name[WR_LAYOUT_NAME_MAX];

    for (size_t i = 0; i < files->n; i++) {
        const struct wr_ltx_file *f = &files->p[i];
        weir_file out = {.level = (int32_t)f->level,
            .min_txid = f->min,
            .max_txid = f->max,
            .size = f->size,
            .time_ms = f->time_ms,
            .name = name,
            .kept = kept ? word_of(kept[i]) : NULL};

        wr_layout_name(name, f);
        if (fn(arg, &out) != 0)
            return;
    }
}

int weir_ltx_list(weir *w, const char *url, const char *const *settings, int level,
    weir_cancel *cancel, weir_file_fn *fn, void *arg, weir_error *reterr)
{
    struct wr_ltx_files files = {0};
    struct api_visit v;
    struct wr_err e = {0};
    enum wr_status st;

    if (!w || !fn || level < WEIR_LEVEL_ALL || level > WEIR_LEVEL_SNAPSHOT)
        return wr_api_return(reterr, wr_fail(&e, WR_MISUSE, "weir_ltx_list: bad argument"), &e);
    st = wr_api_visit(w, url, settings, cancel, &v, &e);
    if (st == WR_OK && level == WEIR_LEVEL_ALL)
        st = wr_layout_list_all(v.s, &v.call, &files, &e);
    else if (st == WR_OK)
        st = wr_layout_list(v.s, &v.call, (unsigned)level, 0, &files, &e);
    if (st == WR_OK)
        wr_api_tell_files(fn, arg, &files, NULL);
    wr_ltx_files_release(&files);
    wr_api_leave(&v);
    return wr_api_return(reterr, st, &e);
}

struct stored_caller {
    weir_stored_fn *fn;
    void *arg;
};

static bool tell_stored(void *arg, const char *name, bool tame)
{
    const struct stored_caller *x = arg;

    return x->fn(x->arg, name, tame) == 0;
}

int weir_stored(weir *w, const char *url, const char *const *settings, weir_cancel *cancel,
    weir_stored_fn *fn, void *arg, weir_error *reterr)
{
    struct stored_caller caller = {.fn = fn, .arg = arg};
    struct api_visit v;
    struct wr_err e = {0};
    enum wr_status st;

    if (!w || !fn)
        return wr_api_return(reterr, wr_fail(&e, WR_MISUSE, "weir_stored: bad argument"), &e);
    st = wr_api_visit(w, url, settings, cancel, &v, &e);
    if (st == WR_OK)
        st = wr_stored_find(v.s, &v.call, tell_stored, &caller, &e);
    wr_api_leave(&v);
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
    struct api_visit v;
    struct wr_err e = {0};
    enum wr_status st;

    if (!w || !fn || (ret && ret->struct_size < sizeof(size_t)))
        return wr_api_return(reterr, wr_fail(&e, WR_MISUSE, "weir_points: bad argument"), &e);
    if (opt)
        memcpy(&o, opt, wr_api_struct(opt->struct_size, sizeof(o)));
    so = (struct wr_survey_opts){.since_ms = o.since_ms,
        .until_ms = o.until_ms,
        .exact = o.exact != 0,
        .parallel = o.parallel};
    st = wr_api_visit(w, url, o.settings, o.cancel, &v, &e);
    if (st == WR_OK)
        st = wr_survey(v.s, &v.call, &so, &x, &e);
    if (st == WR_OK) {
        tell_points(fn, arg, &x.points);
        if (ret)
            tell_result(ret, &x);
    }
    wr_survey_release(&x);
    wr_api_leave(&v);
    return wr_api_return(reterr, st, &e);
}

static enum wr_status retention(struct wr_storage *s, struct wr_call *c, struct wr_retention *r,
    weir_file_fn *fn, void *arg, struct wr_err *e)
{
    struct wr_catalogue k = {0};
    enum wr_kept *kept = NULL;
    enum wr_status st = wr_catalogue_fill(&k, s, c, e);

    if (st == WR_OK && wr_retention_has_periods(r))
        st = wr_catalogue_times(&k, s, c, TIMES_THREADS, e);
    if (st == WR_OK && !(kept = wr_array(k.files.n + 1, sizeof(*kept))))
        st = wr_fail(e, WR_NOMEM, "retention of %zu files: out of memory", k.files.n);
    r->now_ms = wr_wall_ms(c->clock);
    if (st == WR_OK)
        st = wr_retain(k.files.p, k.files.n, r, kept, e);
    if (st == WR_OK)
        wr_api_tell_files(fn, arg, &k.files, kept);
    wr_free(kept);
    wr_catalogue_release(&k);
    return st;
}

int weir_retention(weir *w, const char *url, const char *const *db_settings,
    const char *const *settings, weir_cancel *cancel, weir_file_fn *fn, void *arg,
    weir_error *reterr)
{
    struct wr_db_opts o = {0};
    struct wr_retention r;
    struct api_visit v = {0};
    struct wr_err e = {0};
    enum wr_status st;

    if (!w || !fn)
        return wr_api_return(reterr, wr_fail(&e, WR_MISUSE, "weir_retention: bad argument"), &e);
    st = wr_api_db_settings(db_settings, &o, &e);
    if (st == WR_OK)
        st = wr_api_visit(w, url, settings, cancel, &v, &e);
    r = wr_db_retention(&o);
    if (st == WR_OK)
        st = retention(v.s, &v.call, &r, fn, arg, &e);
    wr_api_leave(&v);
    return wr_api_return(reterr, st, &e);
}
