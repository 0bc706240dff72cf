/*
 * refused.h - what became of the last attempt to read the configuration again.
 *
 * One that is refused changes nothing, so that all goes on as it was, and nothing but an old line
 * in the log knows that it is not what the file says.
 *
 * locked, but for init and release.
 */
#ifndef WR_DAEMON_REFUSED_H
#define WR_DAEMON_REFUSED_H

#include "base/base.h"
#include "base/sync.h"

#define WR_REFUSED_WHY_MAX 640

struct wr_refusal {
    char why[WR_REFUSED_WHY_MAX]; /* in a line; empty: none was tried, or the last one was taken */
    int64_t refused_ms;           /* Unix ms: when that was; 0 with an empty `why` */
    int64_t taken_ms;             /* Unix ms: since when what counts counts */
};

struct wr_refused {
    struct wr_mutex mutex;
    struct wr_refusal last; /* guarded */
};

void wr_refused_init(struct wr_refused *r, int64_t now_ms);
void wr_refused_release(struct wr_refused *r);

/* `why` is copied, as far as it fits. */
void wr_refused_put(struct wr_refused *r, const char *why, int64_t now_ms);
/* One was taken. */
void wr_refused_clear(struct wr_refused *r, int64_t now_ms);
void wr_refused_look(struct wr_refused *r, struct wr_refusal *ret);

#endif
