/*
 * hydrate.c - see hydrate.h.
 *
 * A step does one of these, the first that is due: take over what an earlier process left; look at
 * some of its pages; go on to a newer state, by dropping what changed; fetch some pages that are
 * missing. So all that is missing is missing for one reason, and is fetched in one way: in the
 * order of pages, which is that of their frames in the oldest file and, for a transaction that
 * changed many, in the few files that have them.
 */
#include "vfs/hydrate.h"

#include "base/file.h"
#include "base/mem.h"
#include "engine/layout.h"
#include "engine/onward.h"
#include "storage/storage.h"
#include "vfs/haul.h"
#include "vfs/load.h"
#include "vfs/local.h"
#include "vfs/pagemap.h"

#define SETTLE_BYTES ((uint64_t)64 << 20) /* that a power cut may cost */
#define SETTLE_MS    30000                /* at least, between times that a whole copy is settled */
#define LOOKS        3 /* for a way on, until it is believed that there is none */

struct wr_hydrate {
    struct wr_hydrate_opts o;
    struct wr_local *local;
    struct wr_haul *haul;
    struct wr_pagemap *map; /* held: of the base, once there is one */
    bool looked;            /* for what an earlier process left */
    bool checking;          /* that */
    bool over;
    bool maps;      /* where it is whole */
    unsigned looks; /* for a way on, in a row, that found none or one that vanished */
    uint32_t from;  /* no page before it is missing, but for those that cannot be had */
    int64_t settled_ms;
    uint64_t damaged;
};

enum wr_status wr_hydrate_new(
    const struct wr_hydrate_opts *o, struct wr_hydrate **ret, struct wr_err *e)
{
    struct wr_hydrate *h = wr_alloc(sizeof(*h));
    enum wr_status st;

    if (!h)
        return wr_fail(e, WR_NOMEM, "hydration: out of memory");
    h->o = *o;
    st = wr_local_open(o->fs, o->path, wr_storage_name(o->storage), &h->local, e);
    if (st == WR_OK)
        st = wr_haul_new(o->storage, h->local, &h->haul, e);
    if (st == WR_OK)
        *ret = h;
    else
        wr_hydrate_free(h);
    return st;
}

void wr_hydrate_free(struct wr_hydrate *h)
{
    if (!h)
        return;
    wr_pagemap_drop(h->map);
    wr_haul_free(h->haul);
    wr_local_close(h->local);
    wr_free(h);
}

struct wr_local *wr_hydrate_local(struct wr_hydrate *h)
{
    return h->local;
}

bool wr_hydrate_is_over(const struct wr_hydrate *h)
{
    return h->over;
}

/* What the disk says. Only a lack of memory may pass, and that there is no time now. */
static enum wr_status disk(struct wr_hydrate *h, enum wr_status st)
{
    if (st != WR_OK && st != WR_NOMEM && st != WR_CANCELED && st != WR_TIMEOUT)
        h->over = true;
    return st;
}

static void set_map(struct wr_hydrate *h, struct wr_pagemap *m)
{
    wr_pagemap_drop(h->map);
    h->map = wr_pagemap_hold(m);
    h->from = 1;
    h->damaged = 0;
}

static enum wr_status begin(struct wr_hydrate *h, struct wr_pagemap *m, struct wr_err *e)
{
    enum wr_status st = disk(h, wr_local_begin(h->local, m, e));

    h->checking = false;
    if (st == WR_OK)
        set_map(h, m);
    return st;
}

/* Nothing of it can be gone on from. */
static void tell(const struct wr_hydrate *h, const struct wr_call *c, const char *why)
{
    wr_log(c->log, WR_WARN, "what the local copy has does not serve, and it begins anew",
        WR_F_STR("replica", wr_storage_name(h->o.storage)), WR_F_Z("file", wr_local_path(h->local)),
        WR_F_Z("reason", why));
}

/* ---- what an earlier process left ---- */

static enum wr_status look_back(
    struct wr_hydrate *h, struct wr_call *c, struct wr_pagemap *m, struct wr_err *e)
{
    struct wr_ltx_files all = {0};
    struct wr_err why = {0};
    enum wr_status st = WR_OK;

    if (wr_local_has_past(h->local)) {
        st = wr_layout_list_all(h->o.storage, c, &all, e);
        if (st == WR_OK)
            why.code = wr_local_resume(h->local, m, &all, &why);
        h->checking = st == WR_OK && why.code == WR_OK;
    }
    wr_ltx_files_release(&all);
    if (st != WR_OK)
        return st;
    if (why.code == WR_NOTFOUND)
        tell(h, c, why.text);
    else if (why.code != WR_OK)
        return disk(h, wr_fail(e, why.code, "%s", why.text));
    h->looked = true;
    return h->checking ? WR_OK : begin(h, m, e);
}

/* ---- going on to a newer state ---- */

/* That nothing leads on from the base: NOTFOUND, or BUSY where a file was there no more when it was
 * to be read; either may be so because files move while they are listed. CORRUPT: what does is
 * damaged, or of another history. */
static enum wr_status load_way(struct wr_hydrate *h, struct wr_call *c, struct wr_load *l,
    uint64_t base, const struct wr_pagemap *m, struct wr_pagemap **ret, struct wr_err *e)
{
    const struct wr_pagemap_about *end;
    size_t bad;
    enum wr_status st;

    if (l->n == 0)
        return wr_fail(
            e, WR_NOTFOUND, "no file leads on from transaction %016llx", (unsigned long long)base);
    st = wr_load(l, c, ret, &bad, e);
    if (st != WR_OK)
        return st;
    end = wr_pagemap_about(*ret);
    if (wr_local_fit(h->local, *ret) != WR_FIT_NO &&
        wr_pagemap_fit(m, end->txid, end->has_rolling, end->rolling) != WR_FIT_NO)
        return WR_OK;
    wr_pagemap_drop(*ret);
    *ret = NULL;
    return wr_fail(e, WR_CORRUPT,
        "what leads on from transaction %016llx is of another database, by its checksum",
        (unsigned long long)base);
}

/* *ret: the map of the files that lead from the base to that of `m` or towards it; NULL: none do,
 * and *why says why. BUSY: none do for now. */
static enum wr_status find_way(struct wr_hydrate *h, struct wr_call *c, uint64_t base,
    const struct wr_pagemap *m, struct wr_pagemap **ret, struct wr_err *why, struct wr_err *e)
{
    struct wr_ltx_files all = {0}, way = {0};
    struct wr_load l = {.storage = h->o.storage,
        .cache = h->o.cache,
        .known = m,
        .epoch = wr_pagemap_about(m)->epoch,
        .lock_offset = h->o.lock_offset};
    enum wr_status st = wr_layout_list_all(h->o.storage, c, &all, e);

    if (st == WR_OK)
        st = wr_onward_chain(&all, base, &way, e);
    while (way.n > 0 && way.p[way.n - 1].max > wr_pagemap_about(m)->txid)
        way.n--;
    l.files = way.p;
    l.n = way.n;
    if (st == WR_OK) {
        st = load_way(h, c, &l, base, m, ret, why);
        h->looks = st == WR_NOTFOUND || st == WR_BUSY ? h->looks + 1 : 0;
        if (h->looks > 0 && h->looks < LOOKS)
            st = wr_fail(e, WR_BUSY, "%s", why->text);
        else if (st == WR_NOTFOUND || st == WR_BUSY || st == WR_CORRUPT)
            st = WR_OK;
        else if (st != WR_OK && e)
            *e = *why;
    }
    wr_ltx_files_release(&way);
    wr_ltx_files_release(&all);
    return st;
}

/* A map that begins with a snapshot which is newer than the base does not tell what has changed
 * between the two: every page may have. The files before it do, as long as they are kept, and are
 * of the same history. */
static enum wr_status go_on(
    struct wr_hydrate *h, struct wr_call *c, struct wr_pagemap *m, struct wr_err *e)
{
    enum wr_status st = WR_OK;
    bool found = true;

    while (st == WR_OK && found) {
        struct wr_pagemap *way = NULL;
        struct wr_local_look is;
        struct wr_err why = {0};
        size_t n;

        wr_local_look(h->local, &is);
        if (wr_pagemap_files(m, &n)[0].file.max <= is.txid)
            break;
        st = find_way(h, c, is.txid, m, &way, &why, e);
        found = way != NULL;
        if (found)
            st = disk(h, wr_local_move(h->local, c, way, e));
        else if (st == WR_OK)
            tell(h, c, why.text);
        if (st == WR_OK && found)
            set_map(h, way); /* the map is always that of the base, wherever this ends */
        wr_pagemap_drop(way);
    }
    if (st == WR_OK && wr_local_fit(h->local, m) == WR_FIT_NO) {
        tell(h, c, "the replica's database had another checksum when the copy was of it");
        return begin(h, m, e);
    }
    if (st == WR_OK)
        st = disk(h, wr_local_move(h->local, c, m, e));
    if (st == WR_OK)
        set_map(h, m);
    return st;
}

/* ---- a step ---- */

static enum wr_status settle(
    struct wr_hydrate *h, const struct wr_call *c, bool whole, struct wr_err *e)
{
    int64_t now_ms = wr_mono_ms(c->clock);
    struct wr_local_look is;

    wr_local_look(h->local, &is);
    if (is.unsettled < SETTLE_BYTES && !(whole && now_ms - h->settled_ms >= SETTLE_MS))
        return WR_OK;
    h->settled_ms = now_ms;
    return disk(h, wr_local_settle(h->local, h->map, e));
}

static enum wr_status fill(
    struct wr_hydrate *h, struct wr_call *c, bool *ret_more, struct wr_err *e)
{
    const struct wr_pagemap_about *about = wr_pagemap_about(h->map);
    struct wr_haul_look was, is;
    uint32_t next = h->from;
    bool disk_failed = false;
    enum wr_status st;

    wr_haul_look(h->haul, &was);
    st = wr_haul_some(h->haul, c, h->map, &next, &disk_failed, e);
    wr_haul_look(h->haul, &is);
    h->damaged += is.damaged - was.damaged;
    if (disk_failed)
        return disk(h, st);
    if (st != WR_OK)
        return st;
    *ret_more = next != 0;
    h->from = next ? next : wr_min(about->commit, UINT32_MAX - 1) + 1;
    if (next == 0 && h->maps)
        wr_local_map(h->local, (uint64_t)about->commit * about->page_size);
    return settle(h, c, next == 0, e);
}

enum wr_status wr_hydrate_step(
    struct wr_hydrate *h, struct wr_call *c, struct wr_pagemap *m, bool *ret_more, struct wr_err *e)
{
    const struct wr_pagemap_about *about = wr_pagemap_about(m);
    struct wr_local_look is;

    *ret_more = true;
    if (h->over)
        return wr_fail(e, WR_MISUSE, "the local copy was given up");
    if (!h->looked)
        return look_back(h, c, m, e);
    wr_local_look(h->local, &is);
    if (!is.begun || is.epoch != about->epoch || is.page_size != about->page_size)
        return begin(h, m, e);
    if (h->checking)
        return disk(h, wr_local_check(h->local, c, &h->checking, e));
    if (about->txid > is.txid || (about->txid == is.txid && h->map != m))
        return go_on(h, c, m, e);
    *ret_more = false;
    return about->txid < is.txid ? WR_OK : fill(h, c, ret_more, e);
}

void wr_hydrate_map(struct wr_hydrate *h)
{
    h->maps = true;
}

enum wr_status wr_hydrate_end(struct wr_hydrate *h, struct wr_err *e)
{
    return h->map && !h->over ? disk(h, wr_local_settle(h->local, h->map, e)) : WR_OK;
}

void wr_hydrate_look(const struct wr_hydrate *h, struct wr_hydrate_look *ret)
{
    const struct wr_pagemap_about *about = h->map ? wr_pagemap_about(h->map) : NULL;
    struct wr_haul_look haul;

    wr_haul_look(h->haul, &haul);
    *ret = (struct wr_hydrate_look){.txid = about ? about->txid : 0,
        .requests = haul.requests,
        .bytes = haul.bytes,
        .fetched = haul.pages,
        .damaged = h->damaged};
    if (!about)
        return;
    ret->here = wr_local_count(h->local, about->commit);
    ret->total = about->commit - (about->lock_pgno <= about->commit);
}
