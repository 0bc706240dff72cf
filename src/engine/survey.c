/*
 * survey.c - see survey.h. List, find the points, ask for the times that are wanted.
 */
#include "engine/survey.h"

#include "base/mem.h"
#include "engine/crew.h"
#include "engine/legacy.h"
#include "engine/plan.h"
#include "engine/source.h"
#include "storage/storage.h"

#define PARALLEL 8u
#define SKEW_MS  ((int64_t)3600 * 1000) /* a clock may be ahead of the store's by so much more */

struct looking {
    struct wr_storage *storage;
    struct wr_call *call;
    const struct wr_survey_opts *opts;
    unsigned threads;
    bool exact; /* the time of every point that is wanted is its own */
    struct wr_ltx_files files;
    struct wr_survey *ret;
};

/* Files that arrived at `from_ms` or later and before `to_ms`, by the listing; all but `newest`. */
static size_t choose_arrived(const struct looking *x, const int64_t *arrived_ms, size_t newest,
    int64_t from_ms, int64_t to_ms, size_t *out)
{
    size_t n = 0;

    for (size_t i = 0; i < x->files.n; i++) {
        if (arrived_ms[i] >= from_ms && arrived_ms[i] < to_ms && i != newest)
            out[n++] = i;
    }
    return n;
}

/* No clock is further ahead, and no sum of two of these overflows. */
static int64_t sane(int64_t ms)
{
    return wr_min(wr_max(ms, -(INT64_MAX / 8)), INT64_MAX / 8);
}

static size_t newest_arrival(const struct looking *x, const int64_t *arrived_ms)
{
    size_t newest = 0;

    for (size_t i = 1; i < x->files.n; i++)
        newest = arrived_ms[i] > arrived_ms[newest] ? i : newest;
    return newest;
}

/* Of all files that are not older than what is wanted. None arrives before it is made; but its
 * writer's clock may be ahead of the store's, which those that were asked tell: by so much must the
 * rest be asked as well. At first the one that came last is, for that alone. */
static enum wr_status ask_for_times_since(
    struct looking *x, int64_t *arrived_ms, size_t *which, struct wr_err *e)
{
    struct wr_ltx_file *p = x->files.p;
    int64_t ahead_ms = 0, from_ms, to_ms = INT64_MAX;
    size_t n = 1, newest;
    enum wr_status st;

    for (size_t i = 0; i < x->files.n; i++)
        arrived_ms[i] = p[i].time_ms;
    newest = newest_arrival(x, arrived_ms);
    which[0] = newest;
    do {
        st = wr_layout_times(x->storage, x->call, p, which, n, x->threads, e);
        for (size_t i = 0; st == WR_OK && i < n; i++)
            ahead_ms = wr_max(ahead_ms, sane(p[which[i]].time_ms) - sane(arrived_ms[which[i]]));
        from_ms = sane(x->opts->since_ms) - SKEW_MS - ahead_ms;
        n = choose_arrived(x, arrived_ms, newest, from_ms, to_ms, which);
        to_ms = from_ms;
    } while (st == WR_OK && n > 0);
    return st;
}

static enum wr_status ask_for_times(struct looking *x, struct wr_err *e)
{
    size_t n = x->files.n;
    int64_t *arrived_ms;
    size_t *which;
    enum wr_status st;

    if (n == 0 || !x->opts->since_ms)
        return wr_layout_times(x->storage, x->call, x->files.p, NULL, n, x->threads, e);
    arrived_ms = wr_array(n, sizeof(*arrived_ms));
    which = wr_array(n, sizeof(*which));
    st = arrived_ms && which ? ask_for_times_since(x, arrived_ms, which, e)
                             : wr_fail(e, WR_NOMEM, "times of %zu files: out of memory", n);
    wr_free(arrived_ms);
    wr_free(which);
    return st;
}

static enum wr_status list_files(struct looking *x, struct wr_err *e)
{
    enum wr_status st = wr_layout_list_all(x->storage, x->call, &x->files, e);

    if (st == WR_OK && x->opts->exact && !(wr_storage_caps(x->storage) & WR_STORAGE_LIST_TIME))
        st = ask_for_times(x, e);
    if (st == WR_OK && (x->opts->since_ms || x->opts->until_ms))
        wr_source_compare_clocks(x->storage, x->call);
    return st;
}

static enum wr_status find_points(struct looking *x, struct wr_err *e)
{
    static const struct wr_plan_target newest = {0};
    struct wr_points *a = &x->ret->points;
    enum wr_status st = wr_points_find(x->files.p, x->files.n, a, e);

    if (st == WR_OK && x->exact)
        st = wr_points_by_time(x->files.p, x->files.n, a, e);
    if (st != WR_OK)
        return st;
    for (size_t i = 0; i < a->n; i++)
        a->p[i].exact = x->exact;
    if (a->n > 0)
        x->ret->newest = a->p[a->n - 1];
    x->ret->gap = wr_plan_gap(x->files.p, x->files.n, &newest, x->ret->newest.txid);
    return WR_OK;
}

static void leave_out(struct wr_points *a, int64_t since_ms, int64_t until_ms)
{
    size_t n = 0;

    for (size_t i = 0; i < a->n; i++) {
        if ((!since_ms || a->p[i].time_ms >= since_ms) && (!until_ms || a->p[i].time_ms < until_ms))
            a->p[n++] = a->p[i];
    }
    a->n = n;
}

/* Then its time is asked for once. */
static bool newest_is_last(const struct looking *x)
{
    const struct wr_points *a = &x->ret->points;

    return a->n > 0 && a->p[a->n - 1].txid == x->ret->newest.txid;
}

/* The first and the last point of each run, unless all are exact or there are too many; and the
 * newest. Room for the bound is at `out`. */
static size_t choose_ends(const struct looking *x, struct wr_point **out)
{
    const struct wr_points *a = &x->ret->points;
    bool few = !x->exact && a->n > 0 && a->p[a->n - 1].run < WR_SURVEY_RUNS_MAX;
    size_t n = 0;

    for (size_t i = 0; few && i < a->n; i++) {
        bool first = i == 0 || a->p[i - 1].run != a->p[i].run;
        bool last = i + 1 == a->n || a->p[i + 1].run != a->p[i].run;

        if (first || last)
            out[n++] = &a->p[i];
    }
    if (x->ret->newest.txid && !(few && newest_is_last(x)))
        out[n++] = &x->ret->newest;
    return n;
}

static enum wr_status ask_for_ends(struct looking *x, struct wr_err *e)
{
    struct wr_point *ends[2 * WR_SURVEY_RUNS_MAX + 1];
    size_t which[wr_countof(ends)] = {0};
    size_t n = choose_ends(x, ends);
    enum wr_status st;

    for (size_t i = 0; i < n; i++)
        which[i] = ends[i]->last;
    st = wr_layout_times(x->storage, x->call, x->files.p, which, n, x->threads, e);
    for (size_t i = 0; st == WR_OK && i < n; i++) {
        ends[i]->time_ms = x->files.p[which[i]].time_ms;
        ends[i]->exact = true;
    }
    if (st == WR_OK && newest_is_last(x) && !x->ret->newest.exact)
        x->ret->newest = x->ret->points.p[x->ret->points.n - 1];
    return st;
}

static enum wr_status look_for_legacy(struct looking *x, struct wr_err *e)
{
    struct wr_legacy *legacy = NULL;
    struct wr_err why = {0};
    enum wr_status st = wr_legacy_find(x->storage, x->call, 0, &legacy, &why);

    if (st == WR_OK) {
        x->ret->legacy_from_ms = wr_legacy_oldest_ms(legacy);
        x->ret->legacy_to_ms = wr_legacy_newest_ms(legacy);
        wr_legacy_free(legacy);
        return WR_OK;
    }
    if (st == WR_NOTFOUND)
        return x->files.n > 0 ? WR_OK
                              : wr_fail(e, WR_NOTFOUND, "no matching backup files available");
    if (st == WR_CANCELED || st == WR_NOMEM || x->files.n == 0)
        return wr_fail(e, st, "%s", why.text);
    wr_log(x->call->log, WR_WARN, "backups of Litestream 0.3 cannot be listed",
        WR_F_STR("replica", wr_storage_name(x->storage)), WR_F_Z("reason", why.text));
    return WR_OK;
}

enum wr_status wr_survey(struct wr_storage *s, struct wr_call *c, const struct wr_survey_opts *opts,
    struct wr_survey *ret, struct wr_err *e)
{
    struct looking x = {.storage = s,
        .call = c,
        .opts = opts,
        .threads = wr_min(opts->parallel ? opts->parallel : PARALLEL, (unsigned)WR_CREW_MAX),
        .exact = opts->exact || wr_storage_caps(s) & WR_STORAGE_LIST_TIME,
        .ret = ret};
    enum wr_status st = list_files(&x, e);

    assert(!ret->points.p);
    if (st == WR_OK)
        st = look_for_legacy(&x, e);
    if (st == WR_OK)
        st = find_points(&x, e);
    if (st == WR_OK) {
        leave_out(&ret->points, opts->since_ms, opts->until_ms);
        wr_points_runs(&ret->points);
        /* Of all exact ones the newest may be too old to have been asked. */
        if (!x.exact || (opts->since_ms && ret->newest.time_ms < opts->since_ms))
            st = ask_for_ends(&x, e);
    }
    if (st == WR_OK && !ret->newest.txid && !ret->gap && !ret->legacy_to_ms)
        st = wr_fail(e, WR_NOTFOUND, "no matching backup files available");
    wr_ltx_files_release(&x.files);
    return st;
}

void wr_survey_release(struct wr_survey *x)
{
    if (!x)
        return;
    wr_points_release(&x->points);
    *x = (struct wr_survey){0};
}
