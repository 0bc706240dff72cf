/*
 * store.c - the public calls about a store itself: what it would be spoken to with, and whether it
 * does what is needed.
 */
#include "api/api_int.h"

#include "base/mem.h"
#include "storage/probe.h"
#include "storage/settings.h"

#define STEP_MS ((int64_t)10000)

struct forward {
    weir_setting_fn *setting;
    weir_probe_fn *step;
    void *arg;
};

static void forward_setting(void *arg, const struct wr_setting *s)
{
    static const int32_t from[] = {
        [WR_SET_BY_URL] = WEIR_FROM_URL,
        [WR_SET_BY_PAIRS] = WEIR_FROM_SETTINGS,
        [WR_SET_BY_ENV] = WEIR_FROM_ENV,
        [WR_SET_BY_FILE] = WEIR_FROM_FILE,
        [WR_SET_BY_INIT] = WEIR_FROM_DEFAULT,
    };
    const struct forward *f = arg;
    const weir_setting out = {
        .key = s->name, .value = s->value.p, .from = from[s->source], .env = s->env};

    f->setting(f->arg, &out);
}

int weir_store_settings(const char *url, const char *const *settings, weir_setting_fn *fn,
    void *arg, weir_error *reterr)
{
    struct forward f = {.setting = fn, .arg = arg};
    struct wr_storage *s = NULL;
    struct wr_err e = {0};
    enum wr_status st;

    if (!fn)
        return wr_api_return(
            reterr, wr_fail(&e, WR_MISUSE, "weir_store_settings: bad argument"), &e);
    st = wr_api_open_replica(NULL, url, settings, &s, &e);
    if (st == WR_OK)
        wr_storage_tell(s, forward_setting, &f);
    wr_storage_close(s);
    return wr_api_return(reterr, st, &e);
}

static void forward_step(
    void *arg, enum wr_probe_step step, enum wr_status st, int64_t ns, const char *text)
{
    const struct forward *f = arg;
    const weir_probe_step out = {
        .step = (int32_t)step + WEIR_PROBE_PUT, .code = (int32_t)st, .ns = ns, .text = text};

    f->step(f->arg, &out);
}

int weir_store_probe(weir *w, const char *url, const weir_probe_options *opt, weir_probe_fn *fn,
    void *arg, weir_probe_result *ret, weir_error *reterr)
{
    weir_probe_options o = {0};
    weir_probe_result r = {0};
    struct forward f = {.step = fn, .arg = arg};
    struct wr_storage_learnt learnt = {0};
    unsigned left = 0;
    struct api_visit v;
    struct wr_err e = {0};
    enum wr_status st;

    if (!w || !fn || (ret && ret->struct_size < sizeof(size_t)))
        return wr_api_return(reterr, wr_fail(&e, WR_MISUSE, "weir_store_probe: bad argument"), &e);
    if (opt)
        memcpy(&o, opt, wr_api_struct(opt->struct_size, sizeof(o)));
    st = wr_api_visit(w, url, o.settings, o.cancel, &v, &e);
    if (st == WR_OK) {
        st = wr_storage_probe(
            v.s, &v.call, o.step_ms > 0 ? o.step_ms : STEP_MS, forward_step, &f, &left, &e);
        wr_storage_learnt(v.s, &learnt);
    }
    wr_api_leave(&v);
    if (ret) {
        r = (weir_probe_result){.struct_size = ret->struct_size,
            .left = left,
            .dated = learnt.dated,
            .skew_ms = learnt.skew_ms};
        memcpy(ret, &r, wr_api_struct(ret->struct_size, sizeof(r)));
    }
    return wr_api_return(reterr, st, &e);
}
