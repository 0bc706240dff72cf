/*
 * origin.c - see origin.h. Joining those who read a replica, and leaving them.
 */
#include "vfs/origin.h"

#include "base/file.h"
#include "base/mem.h"
#include "ltx/ltx.h"
#include "storage/storage.h"
#include "vfs/head.h"
#include "vfs/origin_int.h"
#include "vfs/pagecache.h"
#include "vfs/pagemap.h"
#include "vfs/shelf.h"

#define POLL_MS     1000
#define CACHE_BYTES ((uint64_t)32 << 20)
#define SHELF_BYTES ((uint64_t)1 << 30)

static void free_origin(struct wr_origin *o)
{
    if (!o)
        return;
    wr_pagemap_drop(o->map);
    wr_head_free(o->head);
    wr_pages_free(o->pages);
    wr_hydrate_free(o->fill.h);
    wr_shelf_free(o->shelf);
    wr_storage_close(o->storage);
    wr_cond_release(&o->cond);
    wr_mutex_release(&o->mutex);
    wr_cancel_release(&o->cancel);
    wr_free(o->fill.path);
    wr_free(o->url);
    wr_free(o);
}

static enum wr_status new_origin(struct wr_process *p, const char *url,
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
    if (st == WR_OK && opts->shelf_dir) {
        st = wr_shelf_new(wr_fs_posix(), opts->shelf_dir,
            opts->shelf_bytes ? opts->shelf_bytes : SHELF_BYTES, wr_storage_name(o->storage),
            o->log, &o->shelf, e);
        wr_pages_share(o->pages, o->shelf);
    }
    if (st == WR_OK)
        *ret = o;
    else
        free_origin(o);
    return st;
}

static struct wr_origin *join(
    struct wr_process *p, const char *url, const struct wr_origin_opts *opts)
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
    int64_t deadline_ms = wr_origin_now_ms() + (opts->open_ms ? opts->open_ms : WR_ORIGIN_OPEN_MS);
    struct wr_origin *fresh = NULL, *o = NULL;
    struct wr_process *p = NULL;
    enum wr_status st = wr_process_find(&p, e);

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
    st = wr_origin_first(o, deadline_ms, e);
    if (st == WR_OK && opts->copy)
        wr_origin_fill_begin(o, opts->copy_path);
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
    wr_origin_stop(o);
    free_origin(o);
}
