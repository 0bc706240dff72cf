/*
 * origin_read.c - reading an origin: its newest state, those of the past, and their pages.
 */
#include "vfs/origin_int.h"

#include "base/call.h"
#include "ltx/ltx.h"
#include "storage/storage.h"
#include "vfs/head.h"
#include "vfs/pagemap.h"

#define PATIENCE_MS 1000 /* of a reader for a look, when there was none for long */

/* Whether nobody has looked for so long that a reader had better wait for a look. */
static bool is_old(const struct wr_origin *o, int64_t now_ms)
{
    return now_ms - o->ended_ms > 3 * o->poll_ms && o->failures == 0;
}

/* At most PATIENCE_MS for all together, not for each, while a store does not answer. */
static void await_look(struct wr_origin *o)
{
    uint64_t steps = o->steps;
    int64_t until;

    if (!o->asked_ms)
        o->asked_ms = o->used_ms;
    until = o->asked_ms + PATIENCE_MS;
    while (o->steps == steps && wr_origin_now_ms() < until)
        wr_origin_wait(o, until);
}

struct wr_pagemap *wr_origin_newest(struct wr_origin *o)
{
    int64_t now_ms = wr_origin_now_ms();
    struct wr_pagemap *m;
    bool old;

    wr_mutex_lock(&o->mutex);
    old = is_old(o, now_ms);
    if (old || now_ms - o->used_ms > WR_ORIGIN_AWAKE_MS) {
        o->wanted = true;
        wr_cond_broadcast(&o->cond);
    }
    o->used_ms = now_ms;
    if (old)
        await_look(o);
    m = wr_pagemap_hold(o->map);
    wr_mutex_unlock(&o->mutex);
    return m;
}

static struct wr_call call_for(struct wr_origin *o, struct wr_arena *scratch, int64_t ms)
{
    return (struct wr_call){.scratch = scratch,
        .clock = wr_clock_system(),
        .deadline_ms = wr_origin_now_ms() + ms,
        .log = o->log};
}

enum wr_status wr_origin_at(struct wr_origin *o, uint64_t txid, int64_t time_ms, int64_t open_ms,
    struct wr_pagemap **ret, struct wr_err *e)
{
    struct wr_arena scratch;
    struct wr_call c = call_for(o, &scratch, open_ms ? open_ms : WR_ORIGIN_OPEN_MS);
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

/* Whether `a`, which was made with `b` known, is the same state, and not that of a replica which
 * was there after it: by its checksum where that is recorded, else they have a file in common. */
static bool is_same(const struct wr_pagemap *a, const struct wr_pagemap *b)
{
    const struct wr_pagemap_about *x = wr_pagemap_about(a), *y = wr_pagemap_about(b);
    size_t n_a = 0, n_b = 0;
    const struct wr_pagemap_file *fa = wr_pagemap_files(a, &n_a), *fb = wr_pagemap_files(b, &n_b);

    if (x->txid != y->txid || x->commit != y->commit || x->page_size != y->page_size)
        return false;
    if (x->has_rolling && y->has_rolling)
        return x->rolling == y->rolling;
    if (x->apart)
        return false;
    for (size_t i = 0; i < n_a; i++) {
        for (size_t k = 0; k < n_b; k++) {
            if (fa[i].id == fb[k].id)
                return true;
        }
    }
    return false;
}

/* The files of r->map have gone, at least one, or others have their names. */
static enum wr_status find_others(struct wr_origin *o, struct wr_call *c,
    struct wr_origin_reader *r, bool replaced, struct wr_err *e)
{
    uint64_t txid = wr_pagemap_about(r->map)->txid;
    struct wr_pagemap *m = NULL;
    enum wr_status st;

    wr_mutex_lock(&o->mutex);
    o->doubt = true;
    o->replaced = o->replaced || (replaced && r->map == o->map);
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

    if (st == WR_BUSY || st == WR_CONFLICT) {
        st = find_others(o, &c, r, st == WR_CONFLICT, e);
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
        .lag_ms = wr_origin_now_ms() - o->seen_ms,
        .poll_ms = o->poll_ms,
        .copies = o->fill.h != NULL,
        .copied = wr_origin_fill_permille(o),
        .copy_path = wr_origin_fill_path(o)};
    memcpy(ret->error, o->failures ? o->why.text : o->fill.why.text, sizeof(ret->error));
    wr_mutex_unlock(&o->mutex);
}
