/*
 * reloading.c - see reloading.h.
 */
#include "daemon/reloading.h"

#include "base/clock.h"

#include <weir.h>

void wr_reloading_init(struct wr_reloading *r, void (*ask)(void *arg), void *arg)
{
    *r = (struct wr_reloading){.ask = ask, .arg = arg};
    wr_mutex_init(&r->mutex);
    wr_cond_init(&r->cond);
}

static void let_go(struct wr_outcome *o)
{
    if (o && --o->holders == 0)
        wr_outcome_free(o);
}

void wr_reloading_release(struct wr_reloading *r)
{
    assert(!r->last || r->last->holders == 1);
    let_go(r->last);
    wr_cond_release(&r->cond);
    wr_mutex_release(&r->mutex);
}

int wr_reloading_ask(struct wr_reloading *r, int64_t timeout_ms, struct wr_outcome **ret)
{
    int64_t end_ns = wr_mono_ns(wr_clock_system()) + timeout_ms * 1000000;
    int rc = WEIR_CANCELED;
    uint64_t ticket;

    if (!r->ask)
        return WEIR_UNSUPPORTED;
    wr_mutex_lock(&r->mutex);
    ticket = ++r->asked;
    wr_mutex_unlock(&r->mutex);
    r->ask(r->arg);
    wr_mutex_lock(&r->mutex);
    while (r->done < ticket && !r->over && wr_mono_ns(wr_clock_system()) < end_ns)
        (void)wr_cond_wait_until(&r->cond, &r->mutex, end_ns);
    if (r->done >= ticket) {
        rc = r->last ? WEIR_OK : WEIR_NOMEM;
        if (r->last)
            r->last->holders++;
        *ret = r->last;
    } else if (!r->over) {
        rc = WEIR_TIMEOUT;
    }
    wr_mutex_unlock(&r->mutex);
    return rc;
}

void wr_reloading_put(struct wr_reloading *r, struct wr_outcome *o)
{
    wr_mutex_lock(&r->mutex);
    let_go(o);
    wr_mutex_unlock(&r->mutex);
}

void wr_reloading_begin(struct wr_reloading *r)
{
    wr_mutex_lock(&r->mutex);
    r->begun = r->asked;
    wr_mutex_unlock(&r->mutex);
}

void wr_reloading_end(struct wr_reloading *r, struct wr_outcome *o)
{
    wr_mutex_lock(&r->mutex);
    if (o)
        o->holders = 1;
    let_go(r->last);
    r->last = o;
    r->done = r->begun;
    wr_cond_broadcast(&r->cond);
    wr_mutex_unlock(&r->mutex);
}

void wr_reloading_over(struct wr_reloading *r)
{
    wr_mutex_lock(&r->mutex);
    r->over = true;
    wr_cond_broadcast(&r->cond);
    wr_mutex_unlock(&r->mutex);
}
