/*
 * again.c - see again.h.
 */
#include "daemon/again.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/sync.h"

#define FIRST_MS ((int64_t)10 * 1000)
#define MOST_MS  ((int64_t)300 * 1000)

struct wr_again {
    struct wr_again_opts o;
    weir_cancel *cancel;
    struct wr_thread thread;

    struct wr_mutex mutex;
    struct wr_cond cond;
    bool stopping, now; /* guarded */
};

static bool any_absent(const struct wr_again_opts *o)
{
    struct wr_absent *absent = wr_fleet_absent(o->reload.fleet);

    return wr_absent_count_by(absent, WR_ABSENT_RELOAD) > 0 ||
           wr_absent_count_by(absent, WR_ABSENT_REGISTRY) > 0;
}

/* False: to stop. */
static bool wait(struct wr_again *a, int64_t *pause_ms)
{
    int64_t end = wr_mono_ns(wr_clock_system()) + *pause_ms * 1000000;
    bool stopping;

    wr_mutex_lock(&a->mutex);
    while (!a->stopping && !a->now && wr_cond_wait_until(&a->cond, &a->mutex, end))
        ;
    *pause_ms = a->now ? a->o.first_ms : wr_min(2 * *pause_ms, a->o.most_ms);
    a->now = false;
    stopping = a->stopping;
    wr_mutex_unlock(&a->mutex);
    return !stopping;
}

static void run(void *arg)
{
    struct wr_again *a = arg;
    int64_t pause_ms = a->o.first_ms;

    while (any_absent(&a->o) && wait(a, &pause_ms)) {
        wr_reload_again(&a->o.reload, a->o.config);
        if (a->o.registry)
            wr_registry_begin(a->o.registry, a->o.reload.fleet);
    }
}

enum wr_status wr_again_new(const struct wr_again_opts *o, struct wr_again **ret, struct wr_err *e)
{
    struct wr_again *a;
    enum wr_status st;

    *ret = NULL;
    if (!any_absent(o))
        return WR_OK;
    a = wr_alloc(sizeof(*a));
    if (!a || !(a->cancel = weir_cancel_new())) {
        wr_free(a);
        return wr_fail(e, WR_NOMEM, "out of memory");
    }
    a->o = *o;
    a->o.reload.cancel = a->cancel;
    a->o.first_ms = o->first_ms ? o->first_ms : FIRST_MS;
    a->o.most_ms = o->most_ms ? o->most_ms : MOST_MS;
    wr_mutex_init(&a->mutex);
    wr_cond_init(&a->cond);
    st = wr_thread_start(&a->thread, "again", 0, run, a, e);
    if (st == WR_OK) {
        *ret = a;
        return WR_OK;
    }
    wr_cond_release(&a->cond);
    wr_mutex_release(&a->mutex);
    weir_cancel_free(a->cancel);
    wr_free(a);
    return st;
}

void wr_again_now(struct wr_again *a)
{
    if (!a)
        return;
    wr_mutex_lock(&a->mutex);
    a->now = true;
    wr_cond_signal(&a->cond);
    wr_mutex_unlock(&a->mutex);
}

void wr_again_free(struct wr_again *a)
{
    if (!a)
        return;
    wr_mutex_lock(&a->mutex);
    a->stopping = true;
    wr_cond_signal(&a->cond);
    wr_mutex_unlock(&a->mutex);
    weir_cancel_now(a->cancel);
    wr_thread_join(&a->thread);
    wr_cond_release(&a->cond);
    wr_mutex_release(&a->mutex);
    weir_cancel_free(a->cancel);
    wr_free(a);
}
