/*
 * origin_fill.c - an origin is copied to a file of this machine, on a thread of its own: fetching
 * MiB after MiB would keep the other one from looking for what is new.
 */
#include "vfs/origin_int.h"

#include "base/call.h"
#include "base/file.h"
#include "base/mem.h"
#include "ltx/ltx.h"
#include "storage/storage.h"
#include "vfs/hydrate.h"
#include "vfs/local.h"
#include "vfs/pagemap.h"
#include "vfs/pages.h"

#define STEP_MS    300000 /* that some MiB may take */
#define BACKOFF_MS 1000   /* after a step that failed; twice as long after each in a row, up to */
#define BACKOFFS   5
#define STACK      ((size_t)256 << 10)

static void tell(struct wr_origin *o, enum wr_log_level level, const char *what, const char *why)
{
    wr_log(o->log, level, what, WR_F_STR("replica", wr_storage_name(o->storage)),
        WR_F_Z("file", wr_origin_fill_path(o)), WR_F_Z("reason", why));
}

static void tell_whole(struct wr_origin *o, const struct wr_hydrate_look *is)
{
    wr_log(o->log, WR_INFO, "the replica is copied; pages are read from the file",
        WR_F_STR("replica", wr_storage_name(o->storage)), WR_F_Z("file", wr_origin_fill_path(o)),
        WR_F_TXID("txid", is->txid), WR_F_U64("pages", is->here),
        WR_F_U64("requests", is->requests), WR_F_U64("bytes", is->bytes));
}

/* With the mutex held: what came of a step. */
static void note(struct wr_origin *o, enum wr_status st, const struct wr_err *why)
{
    struct wr_fill *f = &o->fill;
    const struct wr_hydrate_look *is = &f->look;

    f->failures = st == WR_OK ? 0 : wr_min(f->failures + 1, (unsigned)BACKOFFS);
    f->due_ms = st == WR_OK ? 0 : wr_origin_now_ms() + (BACKOFF_MS << (f->failures - 1));
    f->why = *why;
    if (st == WR_OK && is->damaged > 0)
        (void)wr_fail(&f->why, WR_CORRUPT,
            "%llu pages of the replica are damaged, and are not in the local copy",
            (unsigned long long)is->damaged);
    if ((st == WR_BUSY || st == WR_CONFLICT) && f->h) {
        o->doubt = true;
        o->replaced = o->replaced || st == WR_CONFLICT;
        wr_cond_broadcast(&o->cond);
    }
}

/* Called, and returns, with the mutex held. */
static void step(struct wr_origin *o)
{
    struct wr_fill *f = &o->fill;
    struct wr_pagemap *m = wr_pagemap_hold(o->map);
    bool first = f->failures == 0, more = true, over, maps = f->maps;
    struct wr_hydrate_look look;
    struct wr_arena scratch;
    struct wr_call c = {.scratch = &scratch,
        .clock = wr_clock_system(),
        .deadline_ms = wr_origin_now_ms() + STEP_MS,
        .cancel = &o->cancel,
        .log = o->log};
    struct wr_err why = {0};
    enum wr_status st;

    wr_mutex_unlock(&o->mutex);
    wr_arena_init(&scratch, WR_ARENA_MAX);
    if (maps)
        wr_hydrate_map(f->h);
    st = wr_hydrate_step(f->h, &c, m, &more, &why);
    wr_arena_release(&scratch);
    over = wr_hydrate_is_over(f->h);
    wr_hydrate_look(f->h, &look);
    if (over)
        tell(o, WR_ERROR, "the local copy is given up; pages are read from the replica", why.text);
    else if (st != WR_OK && st != WR_CANCELED && st != WR_BUSY && st != WR_CONFLICT && first)
        tell(o, WR_WARN, "the local copy has to wait", why.text);
    if (!more && !f->told && look.here == look.total) {
        f->told = true;
        tell_whole(o, &look);
    }
    wr_mutex_lock(&o->mutex);
    f->look = look;
    f->over = over;
    f->of = st != WR_OK || more || maps != f->maps ? NULL : m; /* a failure is tried again */
    note(o, st, &why);
    wr_pagemap_drop(m);
}

/* ---- its file ---- */

static enum wr_status open_file(struct wr_origin *o, struct wr_hydrate **ret, struct wr_err *e)
{
    const struct wr_hydrate_opts opts = {.storage = o->storage,
        .cache = o->process->cache,
        .fs = wr_fs_posix(),
        .path = o->fill.path,
        .lock_offset = WR_LTX_LOCK_OFFSET};

    return wr_hydrate_new(&opts, ret, e);
}

static void tell_none(struct wr_origin *o, const char *what, const char *why)
{
    wr_log(o->log, WR_WARN, what, WR_F_STR("replica", wr_storage_name(o->storage)),
        WR_F_Z("reason", why));
}

static const char no_copy[] = "no local copy is made; pages are read from the replica";

/* Whoever has the file may have ended. Called, and returns, with the mutex held. */
static void open_again(struct wr_origin *o)
{
    struct wr_fill *f = &o->fill;
    struct wr_hydrate *h = NULL;
    struct wr_err why = {0};
    enum wr_status st;

    wr_mutex_unlock(&o->mutex);
    st = open_file(o, &h, &why);
    if (st == WR_OK)
        wr_log(o->log, WR_INFO, "the file of the local copy is free; it is used now",
            WR_F_STR("replica", wr_storage_name(o->storage)), WR_F_Z("file", f->path));
    else if (st != WR_BUSY && st != WR_NOMEM)
        tell_none(o, no_copy, why.text);
    wr_mutex_lock(&o->mutex);
    f->h = h;
    f->over = st != WR_OK && st != WR_BUSY && st != WR_NOMEM;
    note(o, st, &why);
    if (st == WR_OK)
        wr_pages_use(o->pages, wr_hydrate_local(h));
}

/* ---- its thread ---- */

static void fill_thread(void *arg)
{
    struct wr_origin *o = arg;
    struct wr_fill *f = &o->fill;
    struct wr_err why = {0};

    wr_mutex_lock(&o->mutex);
    while (!o->ending) {
        if (f->over || (f->h && f->of == o->map))
            wr_origin_wait(o, WR_NEVER);
        else if (f->due_ms > wr_origin_now_ms())
            wr_origin_wait(o, f->due_ms);
        else if (!f->h)
            open_again(o);
        else
            step(o);
    }
    wr_mutex_unlock(&o->mutex);
    if (f->h && wr_hydrate_end(f->h, &why) != WR_OK)
        tell(o, WR_WARN, "the local copy may have to begin anew", why.text);
}

/* ---- beginning, and ending ---- */

static enum wr_status begin(struct wr_origin *o, struct wr_err *e)
{
    struct wr_fill *f = &o->fill;
    struct wr_hydrate *h = NULL;
    struct wr_err why = {0};
    enum wr_status st = open_file(o, &h, &why), is = WR_OK;

    if (st == WR_BUSY)
        tell_none(o, "the local copy is in use; pages are read from the replica until it is free",
            why.text);
    else if (st != WR_OK)
        return wr_fail(e, st, "%s", why.text);
    wr_mutex_lock(&o->mutex);
    f->h = h;
    note(o, st, &why);
    if (!o->ending)
        is = wr_thread_start(&f->thread, "weir-copy", STACK, fill_thread, o, e);
    f->running = is == WR_OK && !o->ending;
    if (is == WR_OK && h)
        wr_pages_use(o->pages, wr_hydrate_local(h));
    else if (is != WR_OK)
        f->h = NULL;
    wr_mutex_unlock(&o->mutex);
    if (is != WR_OK)
        wr_hydrate_free(h);
    return is;
}

void wr_origin_fill_begin(struct wr_origin *o, const char *path)
{
    struct wr_err why = {0};
    char *own = path ? wr_strndup(path, strlen(path)) : NULL;
    enum wr_status st = path && !own ? wr_fail(&why, WR_NOMEM, "local copy: out of memory") : WR_OK;
    bool mine;

    wr_mutex_lock(&o->mutex);
    mine = !o->fill.begun;
    o->fill.begun = true;
    if (mine) {
        wr_free(o->fill.path); /* of one that failed */
        o->fill.path = own;
    }
    wr_mutex_unlock(&o->mutex);
    if (!mine) {
        wr_free(own);
        return;
    }
    if (st == WR_OK)
        st = begin(o, &why);
    if (st == WR_OK)
        return;
    tell_none(o, no_copy, why.text);
    wr_mutex_lock(&o->mutex);
    o->fill.why = why;
    o->fill.begun = false; /* the next one to open it may try again */
    wr_mutex_unlock(&o->mutex);
}

void wr_origin_fill_end(struct wr_origin *o)
{
    bool running;

    wr_mutex_lock(&o->mutex);
    assert(o->ending);
    running = o->fill.running;
    o->fill.running = false;
    wr_mutex_unlock(&o->mutex);
    if (running)
        wr_thread_join(&o->fill.thread);
}

void wr_origin_map(struct wr_origin *o)
{
    wr_mutex_lock(&o->mutex);
    if (!o->fill.maps) {
        o->fill.maps = true;
        o->fill.of = NULL;
        wr_cond_broadcast(&o->cond);
    }
    wr_mutex_unlock(&o->mutex);
}

const char *wr_origin_fill_path(const struct wr_origin *o)
{
    return o->fill.h ? wr_local_path(wr_hydrate_local(o->fill.h)) : "";
}

unsigned wr_origin_fill_permille(const struct wr_origin *o)
{
    const struct wr_pagemap_about *about = wr_pagemap_about(o->map);
    const struct wr_hydrate_look *last = &o->fill.look;
    uint64_t total = about->commit - (about->lock_pgno <= about->commit);
    struct wr_local_look is;

    assert(wr_mutex_mine(&o->mutex));
    if (!o->fill.h)
        return 0;
    wr_local_look(wr_hydrate_local(o->fill.h), &is);
    if (is.epoch != about->epoch)
        return 0;
    if (last->txid == about->txid && last->here == last->total)
        return 1000;
    /* What changed last may be there as it was before: it is not all. */
    return total == 0
               ? 0
               : (unsigned)wr_min(
                     wr_local_count(wr_hydrate_local(o->fill.h), about->commit) * 1000 / total,
                     999U);
}
