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

int wr_reach_rank(weir *w, const struct wr_config_replica *replicas, size_t n, weir_cancel *cancel,
    struct wr_reach *ret)
{
    for (size_t i = 0; i < n; i++) {
        struct wr_reach is = {.replica = &replicas[i]};
        size_t k = i;
        int rc = n == 1 ? WEIR_OK
                        : weir_ltx_list(w, is.replica->url, is.replica->settings, WEIR_LEVEL_ALL,
                              cancel, look_at_file, &is, &is.err);

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
