/*
 * changing.h - which databases a daemon has, once it runs: what a SIGHUP, a watched directory and
 * the time make of it.
 *
 * owned: one thread, from begin to end; the threads that it starts are behind it.
 */
#ifndef WR_DAEMON_CHANGING_H
#define WR_DAEMON_CHANGING_H

#include "daemon/again.h"
#include "daemon/config.h"
#include "daemon/fleet.h"
#include "daemon/logfmt.h"
#include "daemon/outcome.h"
#include "daemon/registry.h"
#include "daemon/serve.h"
#include "daemon/watchdir.h"

#include <weir.h>

/* The first group is the caller's, and outlives it. */
struct wr_changing {
    weir *w;
    struct wr_fleet *fleet;
    struct wr_registry *registry; /* NULL: none is kept */
    struct wr_logger *log;
    weir_cancel *cancel;
    const struct wr_serve_options *options;

    const struct wr_config *config; /* that counts: the caller's, then those that were read again */
    struct wr_arena *reloaded;      /* holds `config`; NULL: that is the caller's */
    struct wr_again *again;         /* NULL: nothing is tried again */
    struct wr_watchdir *watchdir;   /* NULL: no directory is watched */
    struct wr_outcome *outcome;     /* of the reload that is under way; NULL: nobody asks */
};

/* The fleet is as `config` says: watch directories, and try again what could not be begun with. */
void wr_changing_begin(struct wr_changing *x);
/* Read the configuration again, and make the fleet what it says; one that is refused is told
 * (refused.h), and changes nothing. What came of it is put into `outcome`; NULL: nobody asks. */
void wr_changing_reload(struct wr_changing *x, struct wr_outcome *outcome);
/* Waits for what is going on, so wr_fleet_cancel comes first. One that was not begun, too. */
void wr_changing_end(struct wr_changing *x);
void wr_changing_release(struct wr_changing *x); /* after it; nobody needs `config` any more */

#endif
