/*
 * cancel.h - one bit that stops work in progress, and wakes whatever it waits in.
 *
 * locked: any thread may cancel or ask.
 */
#ifndef WR_BASE_CANCEL_H
#define WR_BASE_CANCEL_H

#include "base/base.h"
#include "base/sync.h"

/* Something that can be roused out of a wait: a condition variable, a curl handle, a pipe. */
struct wr_waker {
    void (*wake)(struct wr_waker *w); /* called with the token's lock held: must not call back */
    struct wr_waker *next;            /* owned by cancel.c while added */
};

struct wr_cancel {
    struct wr_mutex mutex;
    struct wr_cond cond;
    atomic_bool canceled;    /* set under mutex; read through wr_cancel_is, which takes no lock */
    struct wr_waker *wakers; /* guarded by mutex */
};

void wr_cancel_init(struct wr_cancel *c);
void wr_cancel_release(struct wr_cancel *c);
void wr_cancel_now(struct wr_cancel *c); /* sticky; idempotent; wakes all wakers and sleepers */
bool wr_cancel_is(struct wr_cancel *c);  /* NULL-safe: false */

/* While added, `w->wake` runs on cancel (at once if canceled already). Remove before it dies: once
 * remove has returned, wake does not run. A NULL token never cancels. */
void wr_cancel_add(struct wr_cancel *c, struct wr_waker *w);
void wr_cancel_remove(struct wr_cancel *c, struct wr_waker *w);

/* Wait at most `ms` milliseconds of real time; true when canceled. */
bool wr_cancel_wait(struct wr_cancel *c, int64_t ms);

#endif
