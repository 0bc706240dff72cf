/*
 * reloading.h - a reload that somebody asks for, and waits for: the word between the threads that
 * ask and the one that does it.
 *
 * Whoever asks is served by a reload that begins after that, and all who ask before it begins by
 * one: so the file counts as it was when they asked, or later.
 *
 * locked, but for init and release.
 */
#ifndef WR_DAEMON_RELOADING_H
#define WR_DAEMON_RELOADING_H

#include "base/base.h"
#include "base/sync.h"
#include "daemon/outcome.h"

struct wr_reloading {
    void (*ask)(void *arg); /* frozen: have the thread that does it begin; NULL: there is none */
    void *arg;

    struct wr_mutex mutex; /* guards the rest */
    struct wr_cond cond;
    uint64_t asked, begun, done; /* numbers of requests */
    struct wr_outcome *last;     /* of the last one that is done; NULL: none, or no memory */
    bool over;
};

/* `ask` (NULL: nothing can be reloaded here) is called on threads that ask. */
void wr_reloading_init(struct wr_reloading *r, void (*ask)(void *arg), void *arg);
void wr_reloading_release(struct wr_reloading *r); /* nobody waits, and nobody has an outcome */

/* Have it done, and wait for that. WEIR_OK with *ret, not to be changed, and given back by
 * wr_reloading_put; WEIR_TIMEOUT: it goes on; WEIR_CANCELED: it will not come to that; WEIR_NOMEM:
 * what came of it could not be told; WEIR_UNSUPPORTED: nothing can be reloaded here. */
int wr_reloading_ask(
    struct wr_reloading *r, int64_t timeout_ms, struct wr_outcome **ret) WR_MUST_CHECK;
void wr_reloading_put(struct wr_reloading *r, struct wr_outcome *o);

/* The thread that does it: from here on, and done. `o` is taken; NULL: there was no memory. */
void wr_reloading_begin(struct wr_reloading *r);
void wr_reloading_end(struct wr_reloading *r, struct wr_outcome *o);
/* None will be done any more: nobody waits. */
void wr_reloading_over(struct wr_reloading *r);

#endif
