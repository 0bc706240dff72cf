/*
 * cancel.c - the token behind every stop: a flag, those to rouse, and a condition to sleep on.
 *
 *   waiter: add(waker)   ... waits in its own way ...   remove(waker)
 *   anyone: now()        sets the flag, then runs every waker, under the lock
 *
 * Because wakers run under the lock, none runs once remove has returned, so its memory may go. The
 * flag itself is atomic: a waiter may ask under its own lock, which its waker takes too.
 */
#include "base/cancel.h"

#include "base/clock.h"

#define NS_PER_MS INT64_C(1000000)

void wr_cancel_init(struct wr_cancel *c)
{
    wr_mutex_init(&c->mutex);
    wr_cond_init(&c->cond);
    atomic_init(&c->canceled, false);
    c->wakers = NULL;
}

void wr_cancel_release(struct wr_cancel *c)
{
    assert(!c->wakers);
    wr_cond_release(&c->cond);
    wr_mutex_release(&c->mutex);
}

void wr_cancel_now(struct wr_cancel *c)
{
    wr_mutex_lock(&c->mutex);
    if (!atomic_exchange(&c->canceled, true)) {
        for (struct wr_waker *w = c->wakers; w; w = w->next)
            w->wake(w);
        wr_cond_broadcast(&c->cond);
    }
    wr_mutex_unlock(&c->mutex);
}

bool wr_cancel_is(struct wr_cancel *c)
{
    return c && atomic_load(&c->canceled);
}

void wr_cancel_add(struct wr_cancel *c, struct wr_waker *w)
{
    if (!c)
        return;
    wr_mutex_lock(&c->mutex);
    w->next = c->wakers;
    c->wakers = w;
    if (atomic_load(&c->canceled))
        w->wake(w);
    wr_mutex_unlock(&c->mutex);
}

void wr_cancel_remove(struct wr_cancel *c, struct wr_waker *w)
{
    struct wr_waker **at;

    if (!c)
        return;
    wr_mutex_lock(&c->mutex);
    at = &c->wakers;
    while (*at && *at != w)
        at = &(*at)->next;
    assert(*at == w); /* removed twice, or from the wrong token */
    if (*at == w)
        *at = w->next;
    wr_mutex_unlock(&c->mutex);
    w->next = NULL;
}

bool wr_cancel_wait(struct wr_cancel *c, int64_t ms)
{
    int64_t now_ns = wr_mono_ns(wr_clock_system());
    int64_t until_ns;
    bool canceled;

    ms = wr_max(ms, INT64_C(0));
    until_ns = ms > (INT64_MAX - now_ns) / NS_PER_MS ? INT64_MAX : now_ns + ms * NS_PER_MS;

    wr_mutex_lock(&c->mutex);
    while (!atomic_load(&c->canceled)) {
        if (!wr_cond_wait_until(&c->cond, &c->mutex, until_ns))
            break;
    }
    canceled = atomic_load(&c->canceled);
    wr_mutex_unlock(&c->mutex);
    return canceled;
}
