/*
 * serve.h - replicate what a configuration lists: once, beside a child, or until told to stop.
 */
#ifndef WR_DAEMON_SERVE_H
#define WR_DAEMON_SERVE_H

#include "base/arena.h"
#include "base/base.h"
#include "daemon/config.h"
#include "daemon/logfmt.h"

struct wr_serve_options {
    const char *program; /* our name, for the log */
    const char *exec;    /* NULL: no child */
    /* Instead: a child that we stand for, as it is. It begins when all is attached (barrier.h), or
     * after ready_timeout_ms, and all signals are for it. NULL-terminated. Not with exec. */
    char *const *argv;
    uint64_t child_descriptors; /* the limit of either child; 0: ours */
    int64_t ready_timeout_ms;
    bool once;           /* one sync of everything, then end; not with exec */
    bool force_snapshot; /* with once, and retention as well; without it nothing is deleted then */
    bool enforce_retention;
    bool restore_if_missing;
    bool adopt; /* every database continues what its replicas hold, whoever wrote it */
    int64_t shutdown_sync_timeout_ms;
    /* SIGHUP from another process reads the configuration again, as wr_config_load does. */
    bool reloads;
    const char *config_path;
    bool expand_env;
    int second_exit; /* exit code when a second signal ends the process at once */
};

/* Which part of the work an error belongs to. */
enum wr_serve_step {
    WR_SERVE_START,     /* nothing was replicated yet */
    WR_SERVE_ONCE,      /* the sync that was asked for */
    WR_SERVE_HISTORY,   /* what is done after it, for levels and snapshots */
    WR_SERVE_LAST_SYNC, /* the one at the end */
};

struct wr_served {
    int code; /* WEIR_*: of the first failure, WEIR_OK if there was none */
    enum wr_serve_step step;
    char message[1536]; /* empty when code is WEIR_OK */
    int child_exit;     /* what a shell would report; 0 without a child */
    enum {
        WR_CHILD_STARTED, /* or there was no reason to */
        WR_CHILD_MISSING, /* there is no such program */
        WR_CHILD_UNUSABLE,
    } child_trouble;
};

/* Blocks until all is over. To be called from the main thread while it is the only one. */
void wr_serve(const struct wr_config *c, const struct wr_serve_options *o, struct wr_logger *log,
    struct wr_arena *a, struct wr_served *ret);

#endif
