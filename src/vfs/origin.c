/*
 * origin.c - see origin.h.
 */
#include "vfs/origin.h"

#include "base/call.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/sync.h"
#include "ltx/ltx.h"
#include "storage/storage.h"
#include "vfs/head.h"
#include "vfs/pagecache.h"
#include "vfs/pagemap.h"

#include <stdatomic.h>
#include <unistd.h>

#define POLL_MS     1000
#define FETCH_MS    10000
#define OPEN_MS     30000
#define CACHE_BYTES ((uint64_t)32 << 20)
#define AWAKE_MS    30000 /* after the last read, in which it is looked for more */
#define STEP_MS     60000 /* that one look may take */
#define PATIENCE_MS 1000  /* of a reader for a look, when there was none for long */
#define BACKOFF_MS  30000 /* between looks that fail */
#define STACK       ((size_t)256 << 10)

/* What this process has, as opposed to the one that it was forked from. */
struct process {
    pid_t pid;
    struct wr_mutex mutex;
    struct wr_list origins; /* guarded by mutex */
    struct wr_list readers; /* guarded by mutex */
    struct wr_pagecache *cache;
    struct process *before; /* that of the parent, left as it is */
};
static struct process *_Atomic ours;

struct wr_origin {
    struct wr_link link; /* guarded by the process's mutex, with refs */
    unsigned refs;
    struct process *process;
    char *url;
    struct wr_storage *storage;
    struct wr_pages *pages;
    const struct wr_log *log;
    struct wr_cancel cancel;
    struct wr_thread thread;
    struct wr_mutex mutex; /* guards what follows */
    struct wr_cond cond;   /* something of it has changed */
    struct wr_head *head;  /* of whoever has set `stepping` */
    bool stepping, running, ending, doubt, wanted;
    struct wr_pagemap *map;                      /* held */
    uint64_t newest, steps;                      /* looks that came to an end */
    int64_t poll_ms, seen_ms, ended_ms, used_ms; /* monotonic: of the last good look, ... */
    int64_t asked_ms;  /* since when readers wait for the next one to end; 0: none does */
    unsigned failures; /* in a row */
    struct wr_err why;
};

static int64_t now_ms(void)
{
    return wr_mono_ms(wr_clock_system());
}

/* ---- the process ---- */

static enum wr_status new_process(struct process **ret, struct wr_err *e)
{
    struct process *p = wr_alloc(sizeof(*p));
    enum wr_status st;

    if (!p)
        return wr_fail(e, WR_NOMEM, "replicas of a process: out of memory");
    st = wr_pagecache_new(0, &p->cache, e);
    if (st != WR_OK) {
        wr_free(p);
        return st;
    }
    p->pid = getpid();
    wr_mutex_init(&p->mutex);
    wr_list_init(&p->origins);
    wr_list_init(&p->readers);
    *ret = p;
    return WR_OK;
}

static void free_process(struct process *p)
{
    wr_pagecache_free(p->cache);
    wr_mutex_release(&p->mutex);
    wr_free(p);
}

/* The locks of a parent's may be held by threads that are not here. */
static enum wr_status find_process(struct process **ret, struct wr_err *e)
{
    struct process *was = atomic_load(&ours), *fresh = NULL;
    enum wr_status st;

    if (was && was->pid == getpid()) {
        *ret = was;
        return WR_OK;
    }
    st = new_process(&fresh, e);
    if (st != WR_OK)
        return st;
    fresh->before = was;
    if (!atomic_compare_exchange_strong(&ours, &was, fresh)) {
        free_process(fresh);
        fresh = was;
    }
    *ret = fresh;
    return WR_OK;
}

bool wr_origin_mine(const struct wr_origin *o)
{
    return o->process->pid == getpid();
}

struct wr_str wr_origin_name(const struct wr_origin *o)
{
    return wr_storage_name(o->storage);
}

void wr_origin_reader_begin(
    struct wr_origin *o, struct wr_origin_reader *r, const char *name, int64_t fetch_ms)
{
    *r = (struct wr_origin_reader){.name = name, .fetch_ms = fetch_ms ? fetch_ms : FETCH_MS};
    wr_arena_init(&r->scratch, WR_ARENA_MAX);
    wr_mutex_lock(&o->process->mutex);
    wr_list_push(&o->process->readers, &r->link);
    wr_mutex_unlock(&o->process->mutex);
}

void wr_origin_reader_end(struct wr_origin *o, struct wr_origin_reader *r)
{
    wr_mutex_lock(&o->process->mutex);
    wr_list_remove(&r->link);
    wr_mutex_unlock(&o->process->mutex);
    wr_pagemap_drop(r->map);
    wr_pages_reader_release(&r->pages);
    wr_arena_release(&r->scratch);
}

bool wr_origin_is_sidecar(const char *path)
{
    struct process *p = atomic_load(&ours);
    bool yes = false;

    if (!p || p->pid != getpid())
        return false;
    wr_mutex_lock(&p->mutex);
    for (struct wr_link *l = wr_list_first(&p->readers); l && !yes;
         l = wr_list_next(&p->readers, l)) {
        const char *name = wr_container_of(l, struct wr_origin_reader, link)->name;
        size_t n = strlen(name);

        yes = strncmp(path, name, n) == 0 && path[n] == '-';
    }
    wr_mutex_unlock(&p->mutex);
    return yes;
}

/* ---- looking ---- */

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
        .deadline_ms = wr_min(deadline_ms, now_ms() + STEP_MS),
        .cancel = &o->cancel,
        .log = o->log};
    struct wr_err why = {0};
    bool is_new = false, had = o->map != NULL, changes;
    struct wr_head_look look;
    enum wr_status st;

    assert(!o->stepping);
    o->stepping = true;
    if (o->doubt)
        wr_head_doubt(o->head);
    o->doubt = o->wanted = false;
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
    o->ended_ms = now_ms();
    o->asked_ms = 0;
    o->steps++;
    o->failures = st == WR_OK ? 0 : o->failures + 1;
    o->why = why;
    if (st != WR_OK && e)
        *e = why;
    wr_cond_broadcast(&o->cond);
    return st;
}

static void wait_until(struct wr_origin *o, int64_t ms)
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
    if (now_ms() - o->used_ms > AWAKE_MS)
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

        if (o->stepping || due > now_ms())
            wait_until(o, o->stepping ? WR_NEVER : due);
        else
            (void)step(o, WR_NEVER, NULL);
    }
    wr_mutex_unlock(&o->mutex);
}

static void stop_thread(struct wr_origin *o)
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
}

static struct wr_origin *find_running(struct process *p)
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
    struct process *p = atomic_load(&ours);

    if (!p || p->pid != getpid())
        return;
    for (struct wr_origin *o = find_running(p); o; o = find_running(p))
        stop_thread(o);
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
static enum wr_status find_first(struct wr_origin *o, int64_t deadline_ms, struct wr_err *e)
{
    static pthread_once_t exits = PTHREAD_ONCE_INIT;
    enum wr_status st = WR_OK;

    wr_mutex_lock(&o->mutex);
    while (!o->map) {
        if (o->stepping) {
            wait_until(o, deadline_ms);
        } else if (st == WR_OK || now_ms() >= o->ended_ms + o->poll_ms) {
            st = step(o, deadline_ms, e);
            if (st != WR_OK && !may_pass(st))
                break;
        } else {
            wait_until(o, wr_min(deadline_ms, o->ended_ms + o->poll_ms));
        }
        if (!o->map && now_ms() >= deadline_ms) {
            if (st == WR_OK)
                st = wr_fail(e, WR_TIMEOUT, "no state of the replica was found in time");
            break;
        }
    }
    if (o->map)
        st = WR_OK;
    o->used_ms = now_ms();
    if (st == WR_OK && !o->running) {
        (void)pthread_once(&exits, at_exit);
        st = wr_thread_start(&o->thread, "weir-vfs", STACK, poll_thread, o, e);
        o->running = st == WR_OK;
    }
    wr_mutex_unlock(&o->mutex);
    return st;
}

/* ---- opening ---- */

static void free_origin(struct wr_origin *o)
{
    if (!o)
        return;
    wr_pagemap_drop(o->map);
    wr_head_free(o->head);
    wr_pages_free(o->pages);
    wr_storage_close(o->storage);
    wr_cond_release(&o->cond);
    wr_mutex_release(&o->mutex);
    wr_cancel_release(&o->cancel);
    wr_free(o->url);
    wr_free(o);
}

static enum wr_status new_origin(struct process *p, const char *url,
    const struct wr_origin_opts *opts, struct wr_origin **ret, struct wr_err *e)
{
    struct wr_origin *o = wr_alloc(sizeof(*o));
    enum wr_status st;

    if (!o)
        return wr_fail(e, WR_NOMEM, "replica: out of memory");
    o->refs = 1;
    o->process = p;
    o->log = opts->log;
    o->poll_ms = opts->poll_ms ? opts->poll_ms : POLL_MS;
    wr_cancel_init(&o->cancel);
    wr_mutex_init(&o->mutex);
    wr_cond_init(&o->cond);
    o->url = wr_strndup(url, strlen(url));
    st = o->url ? wr_storage_open(wr_str(url), NULL, &o->storage, e)
                : wr_fail(e, WR_NOMEM, "replica: out of memory");
    if (st == WR_OK)
        st = wr_pages_new(o->storage, p->cache, &o->pages, e);
    if (st == WR_OK)
        st = wr_head_new(o->storage, p->cache, WR_LTX_LOCK_OFFSET, &o->head, e);
    if (st == WR_OK)
        *ret = o;
    else
        free_origin(o);
    return st;
}

static struct wr_origin *join(struct process *p, const char *url, const struct wr_origin_opts *opts)
{
    for (struct wr_link *l = wr_list_first(&p->origins); l; l = wr_list_next(&p->origins, l)) {
        struct wr_origin *o = wr_container_of(l, struct wr_origin, link);

        if (strcmp(o->url, url) != 0)
            continue;
        o->refs++;
        wr_mutex_lock(&o->mutex);
        o->poll_ms = wr_min(o->poll_ms, opts->poll_ms ? opts->poll_ms : POLL_MS);
        wr_mutex_unlock(&o->mutex);
        return o;
    }
    return NULL;
}

enum wr_status wr_origin_open(
    const char *url, const struct wr_origin_opts *opts, struct wr_origin **ret, struct wr_err *e)
{
    int64_t deadline_ms = now_ms() + (opts->open_ms ? opts->open_ms : OPEN_MS);
    struct wr_origin *fresh = NULL, *o = NULL;
    struct process *p = NULL;
    enum wr_status st = find_process(&p, e);

    if (st == WR_OK)
        st = new_origin(p, url, opts, &fresh, e);
    if (st != WR_OK)
        return st;
    wr_mutex_lock(&p->mutex);
    wr_pagecache_grow(p->cache, opts->cache_bytes ? opts->cache_bytes : CACHE_BYTES);
    o = join(p, url, opts);
    if (!o) {
        o = fresh;
        fresh = NULL;
        wr_list_push(&p->origins, &o->link);
    }
    wr_mutex_unlock(&p->mutex);
    free_origin(fresh);
    st = find_first(o, deadline_ms, e);
    if (st == WR_OK)
        *ret = o;
    else
        wr_origin_close(o);
    return st;
}

void wr_origin_close(struct wr_origin *o)
{
    bool last;

    if (!o || !wr_origin_mine(o))
        return;
    wr_mutex_lock(&o->process->mutex);
    last = --o->refs == 0;
    if (last)
        wr_list_remove(&o->link);
    if (wr_list_empty(&o->process->origins))
        wr_pagecache_clear(o->process->cache);
    wr_mutex_unlock(&o->process->mutex);
    if (!last)
        return;
    stop_thread(o);
    free_origin(o);
}

/* ---- reading ---- */

/* Whether nobody has looked for so long that a reader had better wait for a look. */
static bool is_old(const struct wr_origin *o)
{
    return now_ms() - o->ended_ms > 3 * o->poll_ms && o->failures == 0;
}

struct wr_pagemap *wr_origin_newest(struct wr_origin *o)
{
    struct wr_pagemap *m;
    int64_t until;
    uint64_t steps;

    wr_mutex_lock(&o->mutex);
    steps = o->steps;
    if (now_ms() - o->used_ms > AWAKE_MS || is_old(o)) {
        o->wanted = true;
        wr_cond_broadcast(&o->cond);
    }
    o->used_ms = now_ms();
    if (is_old(o) && !o->asked_ms)
        o->asked_ms = o->used_ms;
    until = o->asked_ms + PATIENCE_MS; /* all together, not each, while a store does not answer */
    while (is_old(o) && o->steps == steps && now_ms() < until)
        wait_until(o, until);
    m = wr_pagemap_hold(o->map);
    wr_mutex_unlock(&o->mutex);
    return m;
}

static struct wr_call call_for(struct wr_origin *o, struct wr_arena *scratch, int64_t ms)
{
    return (struct wr_call){.scratch = scratch,
        .clock = wr_clock_system(),
        .deadline_ms = now_ms() + ms,
        .log = o->log};
}

enum wr_status wr_origin_at(
    struct wr_origin *o, uint64_t txid, int64_t time_ms, struct wr_pagemap **ret, struct wr_err *e)
{
    struct wr_arena scratch;
    struct wr_call c = call_for(o, &scratch, STEP_MS);
    struct wr_pagemap *like;
    enum wr_status st;

    wr_mutex_lock(&o->mutex);
    like = wr_pagemap_hold(o->map);
    wr_mutex_unlock(&o->mutex);
    wr_arena_init(&scratch, WR_ARENA_MAX);
    st = wr_head_at(
        o->storage, o->process->cache, WR_LTX_LOCK_OFFSET, &c, like, txid, time_ms, ret, e);
    wr_arena_release(&scratch);
    wr_pagemap_drop(like);
    return st;
}

/* Whether they are the same state, and not of two replicas that were there one after the other:
 * by its checksum where that is recorded, else they have a file in common. */
static bool is_same(const struct wr_pagemap *a, const struct wr_pagemap *b)
{
    const struct wr_pagemap_about *x = wr_pagemap_about(a), *y = wr_pagemap_about(b);
    size_t n_a = 0, n_b = 0;
    const struct wr_pagemap_file *fa = wr_pagemap_files(a, &n_a), *fb = wr_pagemap_files(b, &n_b);

    if (x->txid != y->txid || x->commit != y->commit || x->page_size != y->page_size)
        return false;
    if (x->has_rolling && y->has_rolling)
        return x->rolling == y->rolling;
    for (size_t i = 0; i < n_a; i++) {
        for (size_t k = 0; k < n_b; k++) {
            if (fa[i].id == fb[k].id)
                return true;
        }
    }
    return false;
}

/* The files of r->map have gone, at least one. */
static enum wr_status find_others(
    struct wr_origin *o, struct wr_call *c, struct wr_origin_reader *r, struct wr_err *e)
{
    uint64_t txid = wr_pagemap_about(r->map)->txid;
    struct wr_pagemap *m = NULL;
    enum wr_status st;

    wr_mutex_lock(&o->mutex);
    o->doubt = true;
    wr_cond_broadcast(&o->cond);
    wr_mutex_unlock(&o->mutex);
    st = wr_head_at(o->storage, o->process->cache, WR_LTX_LOCK_OFFSET, c, r->map, txid, 0, &m, e);
    if (st == WR_OK && !is_same(m, r->map)) {
        wr_pagemap_drop(m);
        st = WR_NOTFOUND;
    }
    if (st == WR_NOTFOUND)
        return wr_fail(e, st,
            "transaction %016llx, which is being read, is not in the replica any more; what begins "
            "now reads a newer one",
            (unsigned long long)txid);
    if (st != WR_OK)
        return st;
    wr_pagemap_drop(r->map);
    r->map = m;
    return WR_OK;
}

enum wr_status wr_origin_read(struct wr_origin *o, struct wr_origin_reader *r, uint32_t pgno,
    size_t off, void *buf, size_t n, struct wr_err *e)
{
    struct wr_call c = call_for(o, &r->scratch, r->fetch_ms);
    enum wr_status st = wr_pages_read(o->pages, &c, r->map, &r->pages, pgno, off, buf, n, e);

    if (st == WR_BUSY) {
        st = find_others(o, &c, r, e);
        if (st == WR_OK)
            st = wr_pages_read(o->pages, &c, r->map, &r->pages, pgno, off, buf, n, e);
    }
    wr_arena_reset(&r->scratch);
    return st;
}

void wr_origin_look(struct wr_origin *o, struct wr_origin_look *ret)
{
    const struct wr_pagemap_about *about;

    wr_mutex_lock(&o->mutex);
    about = wr_pagemap_about(o->map);
    *ret = (struct wr_origin_look){.txid = about->txid,
        .newest = wr_max(o->newest, about->txid),
        .epoch = about->epoch,
        .time_ms = about->time_ms,
        .lag_ms = now_ms() - o->seen_ms,
        .poll_ms = o->poll_ms};
    if (o->failures)
        memcpy(ret->error, o->why.text, sizeof(ret->error));
    wr_mutex_unlock(&o->mutex);
}
