/*
 * crew.c - hand out numbers to threads until they run out or one of them fails.
 */
#include "engine/crew.h"

#include "base/arena.h"
#include "base/sync.h"

struct crew {
    struct wr_call *call; /* frozen, except that nobody here touches its scratch */
    size_t n;
    const char *what;
    wr_crew_fn *fn;
    void *arg;
    struct wr_mutex mutex;
    size_t next;       /* guarded by mutex */
    enum wr_status st; /* guarded by mutex; the first failure */
    struct wr_err err; /* guarded by mutex */
};

struct worker {
    struct crew *crew;
    unsigned number;
    struct wr_thread thread;
};

static bool take(struct crew *x, size_t *ret)
{
    bool more;

    wr_mutex_lock(&x->mutex);
    more = x->st == WR_OK && x->next < x->n;
    if (more)
        *ret = x->next++;
    wr_mutex_unlock(&x->mutex);
    return more;
}

static void failed(struct crew *x, enum wr_status st, const struct wr_err *err)
{
    wr_mutex_lock(&x->mutex);
    if (x->st == WR_OK) {
        x->st = st;
        x->err = *err;
    }
    wr_mutex_unlock(&x->mutex);
}

static void work(void *arg)
{
    struct worker *w = arg;
    struct crew *x = w->crew;
    struct wr_call call = *x->call;
    struct wr_arena scratch;
    size_t i;

    wr_arena_init(&scratch, WR_ARENA_MAX);
    call.scratch = &scratch;
    while (take(x, &i)) {
        struct wr_err err = {0};
        enum wr_status st = wr_call_check(&call, x->what, &err);

        if (st == WR_OK)
            st = x->fn(x->arg, w->number, i, &call, &err);
        if (st != WR_OK)
            failed(x, st, &err);
        wr_arena_reset(&scratch);
    }
    wr_arena_release(&scratch);
}

enum wr_status wr_crew_run(struct wr_call *c, unsigned threads, size_t n, const char *what,
    wr_crew_fn *fn, void *arg, struct wr_err *e)
{
    struct crew x = {.call = c, .n = n, .what = what, .fn = fn, .arg = arg, .st = WR_OK};
    struct worker workers[WR_CREW_MAX];
    unsigned started = 1;

    assert(threads >= 1 && threads <= WR_CREW_MAX);
    wr_mutex_init(&x.mutex);
    workers[0] = (struct worker){.crew = &x};
    for (; started < threads && started < n; started++) {
        struct worker *w = &workers[started];

        *w = (struct worker){.crew = &x, .number = started};
        /* Whoever was started can do it all; fewer only take longer. */
        if (wr_thread_start(&w->thread, "weir-crew", 0, work, w, NULL) != WR_OK)
            break;
    }
    work(&workers[0]);
    for (unsigned i = 1; i < started; i++)
        wr_thread_join(&workers[i].thread);
    wr_mutex_release(&x.mutex);
    if (x.st != WR_OK && e)
        *e = x.err;
    return x.st;
}
