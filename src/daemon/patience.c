/*
 * patience.c - see patience.h. A deadline that moves away wakes nobody: the thread finds out when
 * the old one has come.
 */
#include "daemon/patience.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/sync.h"

#include <poll.h>
#include <sys/socket.h>

#define MIND_NS ((int64_t)1000000000) /* between looks at who waits */

struct wr_patient {
    int fd; /* -1: the place is free */
    int64_t until_ns;
    weir_cancel *cancel; /* NULL: nobody minds */
};

struct wr_patience {
    struct wr_thread thread;
    bool started;

    struct wr_mutex mutex; /* guards the rest */
    struct wr_cond cond;
    bool stopping;
    int64_t wakes_ns; /* when the thread looks next */
    size_t max;
    struct wr_patient *all;
};

static int64_t deadline(int64_t ms)
{
    return ms == WR_PATIENCE_ENDLESS ? INT64_MAX : wr_mono_ns(wr_clock_system()) + ms * 1000000;
}

/* Who is blocked on it sees its end, and closes it. */
static void cut(int fd)
{
    (void)shutdown(fd, SHUT_RDWR); /* it may have ended by itself */
}

/* Both directions are closed: by a client that has ended, or will not read what it is told. One
 * that has only said all that it had to say raises no such event. */
static bool is_gone(int fd)
{
    struct pollfd p = {.fd = fd};

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

/* Tell who answers, if there is nobody to tell it to; when to look again. */
static int64_t mind(struct wr_patient *c, int64_t now_ns)
{
    if (!c->cancel || !is_gone(c->fd))
        return c->cancel ? now_ns + MIND_NS : INT64_MAX;
    weir_cancel_now(c->cancel);
    c->cancel = NULL;
    return INT64_MAX;
}

/* Cut those whose time has come; when it will have come for the next one. */
static int64_t look(struct wr_patience *p)
{
    int64_t now_ns = wr_mono_ns(wr_clock_system()), next_ns = INT64_MAX;

    for (size_t i = 0; i < p->max; i++) {
        struct wr_patient *c = &p->all[i];

        if (c->fd >= 0 && c->until_ns <= now_ns) {
            cut(c->fd);
            c->until_ns = INT64_MAX; /* once will do */
        }
        if (c->fd >= 0)
            next_ns = wr_min(next_ns, wr_min(c->until_ns, mind(c, now_ns)));
    }
    return next_ns;
}

static void run(void *arg)
{
    struct wr_patience *p = arg;

    wr_mutex_lock(&p->mutex);
    while (!p->stopping) {
        p->wakes_ns = look(p);
        (void)wr_cond_wait_until(&p->cond, &p->mutex, p->wakes_ns);
    }
    wr_mutex_unlock(&p->mutex);
}

enum wr_status wr_patience_new(size_t max, struct wr_patience **ret, struct wr_err *e)
{
    struct wr_patience *p = wr_alloc(sizeof(*p));
    enum wr_status st;

    if (!p || !(p->all = wr_array(max, sizeof(*p->all)))) {
        wr_free(p);
        return wr_fail(e, WR_NOMEM, "out of memory");
    }
    p->max = max;
    for (size_t i = 0; i < max; i++)
        p->all[i].fd = -1;
    wr_mutex_init(&p->mutex);
    wr_cond_init(&p->cond);
    st = wr_thread_start(&p->thread, "patience", 0, run, p, e);
    p->started = st == WR_OK;
    if (st == WR_OK)
        *ret = p;
    else
        wr_patience_free(p);
    return st;
}

void wr_patience_free(struct wr_patience *p)
{
    if (!p)
        return;
    wr_mutex_lock(&p->mutex);
    p->stopping = true;
    wr_cond_signal(&p->cond);
    wr_mutex_unlock(&p->mutex);
    if (p->started)
        wr_thread_join(&p->thread);
    wr_cond_release(&p->cond);
    wr_mutex_release(&p->mutex);
    wr_free(p->all);
    wr_free(p);
}

/* The thread must not sleep past it. */
static void wake_by(struct wr_patience *p, int64_t at_ns)
{
    assert(wr_mutex_mine(&p->mutex));
    if (at_ns < p->wakes_ns)
        wr_cond_signal(&p->cond);
}

static void set(struct wr_patience *p, struct wr_patient *c, int64_t until_ns)
{
    c->until_ns = until_ns;
    wake_by(p, until_ns);
}

struct wr_patient *wr_patience_begin(struct wr_patience *p, int fd, int64_t ms)
{
    struct wr_patient *c = NULL;

    assert(fd >= 0);
    wr_mutex_lock(&p->mutex);
    for (size_t i = 0; i < p->max && !c; i++)
        if (p->all[i].fd < 0)
            c = &p->all[i];
    if (c) {
        c->fd = fd;
        c->cancel = NULL;
        set(p, c, deadline(ms));
    } else {
        cut(fd);
    }
    wr_mutex_unlock(&p->mutex);
    return c;
}

void wr_patience_until(struct wr_patience *p, struct wr_patient *c, int64_t ms)
{
    if (!c)
        return;
    wr_mutex_lock(&p->mutex);
    set(p, c, deadline(ms));
    wr_mutex_unlock(&p->mutex);
}

void wr_patience_mind(struct wr_patience *p, struct wr_patient *c, weir_cancel *cancel)
{
    if (!c)
        return;
    wr_mutex_lock(&p->mutex);
    c->cancel = cancel;
    if (cancel)
        wake_by(p, wr_mono_ns(wr_clock_system()) + MIND_NS);
    wr_mutex_unlock(&p->mutex);
}

void wr_patience_end(struct wr_patience *p, struct wr_patient *c)
{
    if (!c)
        return;
    wr_mutex_lock(&p->mutex);
    c->fd = -1;
    wr_mutex_unlock(&p->mutex);
}
