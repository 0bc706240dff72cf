/*
 * origin_poll.c - an origin looks for what is new in its replica, on a thread of its own.
 */
#include "vfs/origin_int.h"

#include "base/call.h"
#include "storage/storage.h"
#include "vfs/head.h"
#include "vfs/pagemap.h"

#define AWAKE_MS   WR_ORIGIN_AWAKE_MS
#define STEP_MS    60000 /* that one look may take */
#define BACKOFF_MS 30000 /* between looks that fail */
#define STACK      ((size_t)256 << 10)

static void tell(struct wr_origin *o, const struct wr_err *why, const struct wr_pagemap *m)
{
    const struct wr_log_field name = WR_F_STR("replica", wr_storage_name(o->storage));

    if (why)
        wr_log(o->log, WR_WARN, "the replica cannot be looked at; what was found before is read",
            name, WR_F_Z("reason", why->text));
    else
        wr_log(o->log, WR_INFO, "the replica is seen again", name,
            WR_F_TXID("txid", wr_pagemap_about(m)->txid));
}

/* Look once. Called, and returns, with the mutex held and without `stepping`. */
static enum wr_status step(struct wr_origin *o, int64_t deadline_ms, struct wr_err *e)
{
    struct wr_arena scratch;
    struct wr_call c = {.scratch = &scratch,
        .clock = wr_clock_system(),
        .deadline_ms = wr_min(deadline_ms, wr_origin_now_ms() + STEP_MS),
        .cancel = &o->cancel,
        .log = o->log};
    struct wr_err why = {0};
    bool is_new = false, had = o->map != NULL, changes;
    struct wr_head_look look;
    enum wr_status st;

    assert(!o->stepping);
    o->stepping = true;
    if (o->doubt)
        wr_head_doubt(o->head, o->replaced);
    o->doubt = o->replaced = o->wanted = false;
    wr_mutex_unlock(&o->mutex);
    wr_arena_init(&scratch, WR_ARENA_MAX);
    st = wr_head_step(o->head, &c, &is_new, &why);
    wr_arena_release(&scratch);
    wr_head_look(o->head, &look);
    changes = st == WR_OK ? o->failures > 0 : o->failures == 0;
    if (had && changes && st != WR_CANCELED)
        tell(o, st == WR_OK ? NULL : &why, wr_head_map(o->head));
    wr_mutex_lock(&o->mutex);
    if (is_new && wr_head_map(o->head)) {
        wr_pagemap_drop(o->map);
        o->map = wr_pagemap_hold(wr_head_map(o->head));
    }
    o->stepping = false;
    o->newest = look.newest;
    o->seen_ms = look.seen_ms;
    o->ended_ms = wr_origin_now_ms();
    o->asked_ms = 0;
    o->steps++;
    o->failures = st == WR_OK ? 0 : o->failures + 1;
    o->why = why;
    if (st != WR_OK && e)
        *e = why;
    wr_cond_broadcast(&o->cond);
    return st;
}

void wr_origin_wait(struct wr_origin *o, int64_t ms)
{
    (void)wr_cond_wait_until(
        &o->cond, &o->mutex, ms > INT64_MAX / 1000000 ? INT64_MAX : ms * 1000000);
}

/* When the next look is due; never while nobody reads. */
static int64_t due_ms(const struct wr_origin *o)
{
    int64_t wait = o->poll_ms;

    if (o->wanted || o->doubt)
        return 0;
    if (wr_origin_now_ms() - o->used_ms > AWAKE_MS)
        return WR_NEVER;
    for (unsigned i = 1; i < o->failures && wait < BACKOFF_MS; i++)
        wait *= 2;
    return o->ended_ms + wait;
}

static void poll_thread(void *arg)
{
    struct wr_origin *o = arg;

    wr_mutex_lock(&o->mutex);
    while (!o->ending) {
        int64_t due = due_ms(o);

        if (o->stepping || due > wr_origin_now_ms())
            wr_origin_wait(o, o->stepping ? WR_NEVER : due);
        else
            (void)step(o, WR_NEVER, NULL);
    }
    wr_mutex_unlock(&o->mutex);
}

void wr_origin_stop(struct wr_origin *o)
{
    bool running;

    wr_cancel_now(&o->cancel);
    wr_mutex_lock(&o->mutex);
    o->ending = true;
    running = o->running;
    o->running = false;
    wr_cond_broadcast(&o->cond);
    wr_mutex_unlock(&o->mutex);
    if (running)
        wr_thread_join(&o->thread);
    wr_origin_fill_end(o);
}

static struct wr_origin *find_running(struct wr_process *p)
{
    struct wr_origin *found = NULL;

    wr_mutex_lock(&p->mutex);
    for (struct wr_link *l = wr_list_first(&p->origins); l && !found;
         l = wr_list_next(&p->origins, l)) {
        struct wr_origin *o = wr_container_of(l, struct wr_origin, link);

        wr_mutex_lock(&o->mutex);
        if (o->running)
            found = o;
        wr_mutex_unlock(&o->mutex);
    }
    wr_mutex_unlock(&p->mutex);
    return found;
}

/* At exit. No thread may be within a library whose own exit handlers run next: those that were
 * registered before ours, which is registered when requests have been made. */
static void stop_all(void)
{
    struct wr_process *p = wr_process_have();

    if (!p)
        return;
    for (struct wr_origin *o = find_running(p); o; o = find_running(p))
        wr_origin_stop(o);
}

static void at_exit(void)
{
    (void)atexit(stop_all);
}

/* Whether waiting may help: there may yet be a replica, or a way to it. */
static bool may_pass(enum wr_status st)
{
    return st == WR_NOTFOUND || st == WR_CONFLICT || st == WR_IO || wr_status_transient(st);
}

/* Wait for a first state, and look for it if nobody else does. */
enum wr_status wr_origin_first(struct wr_origin *o, int64_t deadline_ms, struct wr_err *e)
{
    static pthread_once_t exits = PTHREAD_ONCE_INIT;
    enum wr_status st = WR_OK;

    wr_mutex_lock(&o->mutex);
    while (!o->map) {
        if (o->stepping) {
            wr_origin_wait(o, deadline_ms);
        } else if (st == WR_OK || wr_origin_now_ms() >= o->ended_ms + o->poll_ms) {
            st = step(o, deadline_ms, e);
            if (st != WR_OK && !may_pass(st))
                break;
        } else {
            wr_origin_wait(o, wr_min(deadline_ms, o->ended_ms + o->poll_ms));
        }
        if (!o->map && wr_origin_now_ms() >= deadline_ms) {
            if (st == WR_OK)
                st = wr_fail(e, WR_TIMEOUT, "no state of the replica was found in time");
            break;
        }
    }
    if (o->map)
        st = WR_OK;
    o->used_ms = wr_origin_now_ms();
    if (st == WR_OK && !o->running) {
        (void)pthread_once(&exits, at_exit);
        st = wr_thread_start(&o->thread, "weir-vfs", STACK, poll_thread, o, e);
        o->running = st == WR_OK;
    }
    wr_mutex_unlock(&o->mutex);
    return st;
}
