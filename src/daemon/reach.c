/*
 * reach.c - see reach.h.
 */
#include "daemon/reach.h"

static int look_at_file(void *arg, const weir_file *f)
{
    struct wr_reach *x = arg;

    x->txid = wr_max(x->txid, f->max_txid);
    return 0;
}

static int ask(weir *w, int64_t time_ms, weir_cancel *cancel, struct wr_reach *x)
{
    const weir_restore_options opt = {.struct_size = sizeof(opt),
        .settings = x->replica->settings,
        .time_ms = time_ms,
        .cancel = cancel};

    if (time_ms)
        return weir_plan(w, x->replica->url, &opt, look_at_file, x, &x->err);
    return weir_ltx_list(
        w, x->replica->url, x->replica->settings, WEIR_LEVEL_ALL, cancel, look_at_file, x, &x->err);
}

int wr_reach_rank(weir *w, const struct wr_config_replica *replicas, size_t n, int64_t time_ms,
    weir_cancel *cancel, struct wr_reach *ret)
{
    for (size_t i = 0; i < n; i++) {
        struct wr_reach is = {.replica = &replicas[i]};
        size_t k = i;
        int rc = n == 1 ? WEIR_OK : ask(w, time_ms, cancel, &is);

        if (rc == WEIR_CANCELED)
            return rc;
        is.unreachable = rc != WEIR_OK && rc != WEIR_NOTFOUND;
        if (is.unreachable)
            is.txid = 0;
        for (; k > 0 && ret[k - 1].txid < is.txid; k--)
            ret[k] = ret[k - 1];
        ret[k] = is;
    }
    return WEIR_OK;
}
