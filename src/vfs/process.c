/*
 * process.c - what a process has of replicas, as opposed to the one that it was forked from: found
 * through a global, as nobody opens a runtime for an extension (docs/concurrency.md).
 */
#include "vfs/origin_int.h"

#include "base/mem.h"
#include "storage/storage.h"
#include "vfs/pagecache.h"
#include "vfs/pagemap.h"

#include <stdatomic.h>

#define FETCH_MS 10000

static struct wr_process *_Atomic ours;

static enum wr_status new_process(struct wr_process **ret, struct wr_err *e)
{
    struct wr_process *p = wr_alloc(sizeof(*p));
    enum wr_status st;

    if (!p)
        return wr_fail(e, WR_NOMEM, "replicas of a process: out of memory");
    st = wr_pagecache_new(0, &p->cache, e);
    if (st != WR_OK) {
        wr_free(p);
        return st;
    }
    wr_mark_init(&p->mark);
    wr_mutex_init(&p->mutex);
    wr_list_init(&p->origins);
    wr_list_init(&p->readers);
    *ret = p;
    return WR_OK;
}

static void free_process(struct wr_process *p)
{
    wr_pagecache_free(p->cache);
    wr_mark_release(&p->mark);
    wr_mutex_release(&p->mutex);
    wr_free(p);
}

struct wr_process *wr_process_have(void)
{
    struct wr_process *p = atomic_load(&ours);

    return p && wr_mark_mine(&p->mark) ? p : NULL;
}

/* That of a parent is left as it is: its locks may be held by threads that are not here. */
enum wr_status wr_process_find(struct wr_process **ret, struct wr_err *e)
{
    struct wr_process *was = atomic_load(&ours), *fresh = NULL;
    enum wr_status st;

    *ret = wr_process_have();
    if (*ret)
        return WR_OK;
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
    return wr_mark_mine(&o->process->mark);
}

struct wr_str wr_origin_name(const struct wr_origin *o)
{
    return wr_storage_name(o->storage);
}

void wr_origin_reader_begin(struct wr_origin *o, struct wr_origin_reader *r, const char *journal,
    const char *wal, int64_t fetch_ms)
{
    *r = (struct wr_origin_reader){
        .journal = journal, .wal = wal, .fetch_ms = fetch_ms ? fetch_ms : FETCH_MS};
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
    struct wr_process *p = wr_process_have();
    bool yes = false;

    if (!p)
        return false;
    wr_mutex_lock(&p->mutex);
    for (struct wr_link *l = wr_list_first(&p->readers); l && !yes;
         l = wr_list_next(&p->readers, l)) {
        const struct wr_origin_reader *r = wr_container_of(l, struct wr_origin_reader, link);

        yes = path == r->journal || path == r->wal;
    }
    wr_mutex_unlock(&p->mutex);
    return yes;
}
