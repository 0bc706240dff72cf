/*
 * reach.h - which of a database's replicas goes furthest: what is restored is the newest state, or
 * the newest before a time, and a replica may have been out of reach for long.
 */
#ifndef WR_DAEMON_REACH_H
#define WR_DAEMON_REACH_H

#include "base/base.h"
#include "daemon/config.h"

#include <weir.h>

/* A replica, and how far its files go by their names, up to the time that was asked for. */
struct wr_reach {
    const struct wr_config_replica *replica;
    weir_txid txid;   /* 0: not known */
    bool unreachable; /* it could not be asked */
    weir_error err;   /* why */
};

/* Ask `n` replicas, and put the one that reaches furthest first; equals stay as they were. With
 * `time_ms`, by what they would restore for that time. A single one is not asked. WEIR_OK or
 * WEIR_CANCELED. */
int wr_reach_rank(weir *w, const struct wr_config_replica *replicas, size_t n, int64_t time_ms,
    weir_cancel *cancel, struct wr_reach *ret);

#endif
