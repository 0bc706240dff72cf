/*
 * promote.c - the public call that makes a followed copy the primary.
 */
#include "api/api_int.h"

#include "engine/promote.h"

_Static_assert(WEIR_OWNER_MAX >= WR_LEASE_OWNER, "an owner fits");

static void tell_promoted(const struct wr_promoted *p, weir_promote_result *ret)
{
    weir_promote_result out = {.epoch = p->lease.epoch,
        .txid = p->txid,
        .next = p->next,
        .time_ms = p->time_ms,
        .since_ms = p->lease.since_ms,
        .before = p->before};

    if (!ret)
        return;
    memcpy(out.owner, p->lease.owner, WR_LEASE_OWNER);
    out.struct_size = ret->struct_size;
    memcpy(ret, &out, wr_api_struct(ret->struct_size, sizeof(out)));
}

int weir_promote(weir *w, const char *url, const char *path, const weir_promote_options *opt,
    weir_promote_result *ret, weir_error *reterr)
{
    weir_promote_options o = {0};
    struct wr_db_opts db = {0};
    struct wr_promote_opts po;
    struct wr_promoted done = {0};
    struct api_visit v = {0};
    struct wr_err e = {0};
    enum wr_status st;

    if (!w || !path || (ret && ret->struct_size < sizeof(size_t)))
        return wr_api_return(reterr, wr_fail(&e, WR_MISUSE, "weir_promote: bad argument"), &e);
    if (opt)
        memcpy(&o, opt, wr_api_struct(opt->struct_size, sizeof(o)));
    st = wr_api_db_settings(o.db_settings, &db, &e);
    if (st == WR_OK)
        st = wr_api_visit(w, url, o.settings, o.cancel, &v, &e);
    po = (struct wr_promote_opts){.path = path,
        .meta_dir = db.meta_dir,
        .parallel = o.parallel,
        .patience_ms = o.patience_ms,
        .force = o.force != 0};
    if (st == WR_OK)
        st = wr_promote(v.s, &v.call, &po, &done, &e);
    wr_api_leave(&v);
    if (st == WR_OK)
        tell_promoted(&done, ret);
    return wr_api_return(reterr, st, &e);
}
