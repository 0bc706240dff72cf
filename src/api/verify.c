/*
 * verify.c - the public call that verifies a replica.
 */
#include "api/api_int.h"

#include "engine/verify.h"

static_assert((int)WR_FINDING_FILE == WEIR_FINDING_FILE &&
                  (int)WR_FINDING_LOST == WEIR_FINDING_LOST &&
                  (int)WR_FINDING_LIVE == WEIR_FINDING_LIVE,
    "one numbering");

struct forward {
    const weir_verify_options *o;
    weir_finding_fn *finding;
    void *arg;
};

static void forward_finding(void *arg, const struct wr_finding *f)
{
    struct forward *x = arg;
    bool file = f->kind == WR_FINDING_FILE;
    weir_finding out = {.kind = (int32_t)f->kind, /* the numbers are the same */
        .level = file ? (int32_t)f->level : -1,
        .key = f->key,
        .min_txid = f->min,
        .max_txid = f->max,
        .points = f->points,
        .text = f->text};

    if (x->finding)
        x->finding(x->arg, &out);
}

static void forward_progress(void *arg, const struct wr_verify_progress *p)
{
    struct forward *x = arg;
    weir_progress out = {.phase = WEIR_PHASE_VERIFY,
        .files_done = (uint32_t)p->files,
        .files_total = (uint32_t)p->files_total,
        .bytes_done = p->bytes_done,
        .bytes_total = p->bytes_total};

    if (x->o->progress)
        x->o->progress(x->o->progress_arg, &out);
}

static void tell(const struct wr_verify_result *r, weir_verify_result *ret)
{
    weir_verify_result out = {.struct_size = ret->struct_size,
        .points = r->points,
        .points_proven = r->proven,
        .points_structure = r->plain,
        .points_lost = r->lost,
        .findings = r->findings,
        .files = r->files,
        .files_read = r->files_read,
        .files_old = r->files_old,
        .files_gone = r->files_gone,
        .bytes_read = r->bytes_read,
        .first_txid = r->first_txid,
        .last_txid = r->last_txid,
        .proven_txid = r->proven_txid,
        .first_ms = r->first_ms,
        .last_ms = r->last_ms,
        .proven_ms = r->proven_ms,
        .structure_first = r->plain_first,
        .structure_last = r->plain_last,
        .live_txid = r->live_txid,
        .live_pages = r->live_pages,
        .live_changing = r->live_changing};

    memcpy(ret, &out, wr_api_struct(ret->struct_size, sizeof(out)));
}

int weir_verify(weir *w, const char *url, const weir_verify_options *opt, weir_finding_fn *fn,
    void *arg, weir_verify_result *ret, weir_error *reterr)
{
    weir_verify_options o = {0};
    struct forward f = {.o = &o, .finding = fn, .arg = arg};
    struct wr_verify_opts vo = {.finding = forward_finding,
        .finding_arg = &f,
        .progress = forward_progress,
        .progress_arg = &f};
    struct wr_verify_result r = {0};
    struct api_visit v;
    struct wr_err e = {0};
    enum wr_status st;

    if (!w || (ret && ret->struct_size < sizeof(size_t)))
        return wr_api_return(reterr, wr_fail(&e, WR_MISUSE, "weir_verify: bad argument"), &e);
    if (opt)
        memcpy(&o, opt, wr_api_struct(opt->struct_size, sizeof(o)));
    vo.parallel = o.parallel;
    vo.db_path = o.db_path;
    vo.db_wait_ms = o.db_wait_ms;
    st = wr_api_visit(w, url, o.settings, o.cancel, &v, &e);
    if (st == WR_OK)
        st = wr_verify(v.s, &v.call, &vo, &r, &e);
    wr_api_leave(&v);
    if (ret)
        tell(&r, ret);
    return wr_api_return(reterr, st, &e);
}
