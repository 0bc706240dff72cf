/*
 * suspect.h - whether one replica has what applications have committed to a database, as somebody
 * judges who looks now and then and believes only what he sees.
 *
 * A busy database is never seen with everything in its replica, and all is well with it. So the
 * question is how old the oldest commit is that is missing. With the first sight that shows one
 * missing, what is committed by then is noted. Once the replica has that, the time begins anew.
 *
 * Pure; times are given.
 */
#ifndef WR_DAEMON_SUSPECT_H
#define WR_DAEMON_SUSPECT_H

#include "base/base.h"

#include <weir.h>

/* Zero at first, which says that nothing is missing. */
struct wr_suspect {
    int64_t since_ns; /* something has been missing at least since then; 0: nothing is */
    bool counted;     /* `want` is known */
    uint32_t want;    /* commits by then, as the WAL's index counts them */
    weir_txid before; /* the newest transaction that was seen and does not hold them all */
    weir_txid txid;   /* the first that may do; 0: they are not captured */
};

/* A look at `now_ns` > 0. `safe`: safe_txid of the replica, asked for before the sight. */
void wr_suspect_look(
    struct wr_suspect *s, const weir_db_sight *seen, weir_txid safe, int64_t now_ns);

#endif
