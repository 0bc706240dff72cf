/*
 * head.c - see head.h.
 */
#include "vfs/head.h"

#include "base/mem.h"
#include "engine/layout.h"
#include "engine/onward.h"
#include "engine/plan.h"
#include "engine/restore.h"
#include "engine/source.h"
#include "ltx/ltx.h"
#include "storage/storage.h"
#include "vfs/load.h"
#include "vfs/pagemap.h"

#define LIST_MS 15000 /* between listings of level 0 */
#define WIDE_MS                                                                                  \
    120000                /* and of all levels: well below the five minutes for which Litestream \
                             keeps files of level 0 that others have taken the place of */
#define PROBES_MAX 8      /* names that are tried in a step */
#define BAD_MAX    16     /* damaged files that are done without */
#define FILES_MAX  2000   /* of a map; with more it is made anew, where that makes them fewer */
#define AGAIN_MS   300000 /* until a damaged file is read again: the answer may have been */
#define THREADS    8

struct wr_head {
    struct wr_storage *storage;
    struct wr_pagecache *cache;
    uint32_t lock_offset;
    struct wr_pagemap *map;
    uint64_t epoch, newest;
    int64_t seen_ms, list_ms, wide_ms; /* when it was looked at; when it is to be listed next */
    bool doubt;                        /* the last listing ended before the map */
    bool replaced;                     /* a file of the map was seen to be another one */
    bool other;                        /* a file was seen that goes on from another database */
    struct wr_ltx_files aside;         /* damaged; sorted */
    int64_t again_ms;                  /* when they are forgotten */
};

enum wr_status wr_head_new(struct wr_storage *s, struct wr_pagecache *cache, uint32_t lock_offset,
    struct wr_head **ret, struct wr_err *e)
{
    struct wr_head *h = wr_alloc(sizeof(*h));

    if (!h)
        return wr_fail(e, WR_NOMEM, "head of a replica: out of memory");
    h->storage = s;
    h->cache = cache;
    h->lock_offset = lock_offset;
    h->epoch = 1;
    *ret = h;
    return WR_OK;
}

void wr_head_free(struct wr_head *h)
{
    if (!h)
        return;
    wr_pagemap_drop(h->map);
    wr_ltx_files_release(&h->aside);
    wr_free(h);
}

struct wr_pagemap *wr_head_map(const struct wr_head *h)
{
    return h->map;
}

void wr_head_doubt(struct wr_head *h, bool replaced)
{
    h->wide_ms = 0;
    h->replaced = h->replaced || replaced;
}

void wr_head_look(const struct wr_head *h, struct wr_head_look *ret)
{
    *ret = (struct wr_head_look){.newest = h->newest, .seen_ms = h->seen_ms};
}

static uint64_t position(const struct wr_head *h)
{
    return h->map ? wr_pagemap_about(h->map)->txid : 0;
}

/* ---- finding files ---- */

/* Look under the names of the next transactions. */
static enum wr_status probe(
    struct wr_head *h, struct wr_call *c, struct wr_ltx_files *chain, struct wr_err *e)
{
    enum wr_status st = wr_onward_probe(h->storage, c, 0, position(h), PROBES_MAX, chain, e);

    if (chain->n > 0)
        h->newest = wr_max(h->newest, chain->p[chain->n - 1].max);
    if (st == WR_OK && chain->n == PROBES_MAX)
        h->list_ms = 0; /* there may be many more */
    return st;
}

/* List all levels, or level 0 beyond the map. */
static enum wr_status list(
    struct wr_head *h, struct wr_call *c, bool wide, struct wr_ltx_files *files, struct wr_err *e)
{
    enum wr_status st = wide ? wr_layout_list_all(h->storage, c, files, e)
                             : wr_layout_list(h->storage, c, 0, position(h) + 1, files, e);

    if (st != WR_OK)
        return wr_wrap(e, st, "list the replica");
    h->list_ms = wr_mono_ms(c->clock) + LIST_MS;
    if (wide) {
        h->wide_ms = wr_mono_ms(c->clock) + WIDE_MS;
        h->newest = 0; /* what was seen before may have been deleted */
    }
    h->newest = wr_max(h->newest, wr_ltx_files_newest(files));
    wr_ltx_files_drop(files, &h->aside);
    return WR_OK;
}

/* What became of the map's files: whether any is there as it was, is another one by now, or is not
 * there any more, or not the same object. */
struct fate {
    bool same, gone;
    const struct wr_ltx_file *another; /* NULL: none */
};

static struct fate fate_of(const struct wr_pagemap *m, const struct wr_ltx_files *all)
{
    size_t n = 0;
    const struct wr_pagemap_file *files = m ? wr_pagemap_files(m, &n) : NULL;
    struct fate fate = {0};

    for (size_t i = 0; i < n; i++) {
        const struct wr_ltx_file *was = &files[i].file, *is = wr_ltx_files_find(all, was);

        fate.gone = fate.gone || !is || (is->tag && was->tag && is->tag != was->tag);
        if (is && is->size != was->size)
            fate.another = is;
        fate.same = fate.same || (is && is->size == was->size && is->time_ms == was->time_ms);
    }
    return fate;
}

/* ---- maps ---- */

static void set_map(struct wr_head *h, struct wr_pagemap *m)
{
    wr_pagemap_drop(h->map);
    h->map = m;
    h->newest = wr_max(h->newest, wr_pagemap_about(m)->txid);
}

static enum wr_status set_aside(
    struct wr_head *h, const struct wr_call *c, const struct wr_ltx_file *file, struct wr_err *e)
{
    enum wr_status st;

    h->again_ms = wr_mono_ms(c->clock) + AGAIN_MS;
    if (h->aside.n >= BAD_MAX)
        return wr_fail(e, WR_CORRUPT, "more than %d damaged files in the replica", BAD_MAX);
    st = wr_ltx_files_add(&h->aside, file, e);
    wr_ltx_files_sort(&h->aside);
    return st;
}

/* It is another replica: nothing that was known of the old one holds. */
static void begin_epoch(struct wr_head *h)
{
    h->doubt = h->other = false;
    h->epoch++;
    h->aside.n = 0;
    wr_pagemap_drop(h->map);
    h->map = NULL;
}

/* *ret_bad: the file of `way` that is damaged, with CORRUPT. */
static enum wr_status take_way(struct wr_head *h, struct wr_call *c, const struct wr_ltx_files *way,
    bool same, size_t *ret_bad, struct wr_err *e)
{
    struct wr_pagemap *m = NULL;
    struct wr_load l = {.storage = h->storage,
        .cache = h->cache,
        .known = h->map,
        .same = same,
        .files = way->p,
        .n = way->n,
        .epoch = h->epoch,
        .lock_offset = h->lock_offset};
    enum wr_status st = wr_load(&l, c, &m, ret_bad, e);

    if (st == WR_OK && wr_pagemap_about(m)->apart) {
        wr_pagemap_drop(m);
        m = NULL;
        l.known = NULL;
        l.epoch++;
        st = wr_load(&l, c, &m, ret_bad, e);
        if (st == WR_OK)
            begin_epoch(h);
    }
    if (st == WR_OK) {
        set_map(h, m);
        h->replaced = false;
    }
    return st;
}

/* The newest state, from nothing; without a file that turns out to be damaged, if that leads as
 * far. */
static enum wr_status make_anew(
    struct wr_head *h, struct wr_call *c, struct wr_ltx_files *all, struct wr_err *e)
{
    struct wr_plan_target target = {0};
    /* Of a reader who slept for longer than other files are kept the first snapshot is left. */
    bool same = fate_of(h->map, all).same;
    enum wr_status st;
    bool again;

    do {
        struct wr_ltx_files way = {0};
        struct wr_err other = {0};
        size_t bad = SIZE_MAX;

        st = wr_plan_files(all, &target, &way, target.txid ? &other : e);
        if (st == WR_OK) {
            target.txid = way.p[way.n - 1].max;
            st = take_way(h, c, &way, same, &bad, e);
        } else if (target.txid) { /* no other way: the damage is what is to be told */
            st = WR_CORRUPT;
        }
        again = st == WR_CORRUPT && bad < way.n && set_aside(h, c, &way.p[bad], e) == WR_OK;
        wr_ltx_files_release(&way);
        wr_ltx_files_drop(all, &h->aside);
    } while (again);
    return st;
}

/* Go on by files that follow the map. UNSUPPORTED: not by these; what else there is must be seen.
 */
static enum wr_status go_on(
    struct wr_head *h, struct wr_call *c, const struct wr_ltx_files *chain, struct wr_err *e)
{
    const struct wr_load l = {.storage = h->storage,
        .cache = h->cache,
        .from = h->map,
        .files = chain->p,
        .n = chain->n,
        .epoch = h->epoch,
        .lock_offset = h->lock_offset};
    struct wr_pagemap *m = NULL;
    size_t bad = SIZE_MAX;
    enum wr_status st = wr_load(&l, c, &m, &bad, e);

    if (st == WR_OK)
        set_map(h, m);
    if (st == WR_CONFLICT || st == WR_UNSUPPORTED) {
        h->other = true;
        return WR_UNSUPPORTED;
    }
    if (st == WR_CORRUPT && bad < chain->n && set_aside(h, c, &chain->p[bad], e) == WR_OK)
        return WR_UNSUPPORTED;
    return st;
}

/* ---- a step ---- */

/* A listing of all files has come. Whether what is known is still so, and will be. */
static enum wr_status compare(
    struct wr_head *h, const struct wr_ltx_files *all, bool *ret_anew, struct wr_err *e)
{
    const struct fate fate = fate_of(h->map, all);
    struct wr_pagemap_size size;
    size_t n;

    wr_pagemap_size(h->map, &size);
    (void)wr_pagemap_files(h->map, &n);
    *ret_anew = fate.gone || h->replaced || size.tabled > size.based / 4 + 4096 || n > FILES_MAX;
    if (!fate.another && wr_ltx_files_newest(all) >= position(h)) {
        h->doubt = false;
        return WR_OK;
    }
    h->wide_ms = 0;
    if (!h->doubt) {
        h->doubt = true;
        if (fate.another)
            return wr_fail(e, WR_CONFLICT,
                "level %u file %016llx-%016llx of the replica is another one than it was: it may "
                "have been reset",
                fate.another->level, (unsigned long long)fate.another->min,
                (unsigned long long)fate.another->max);
        return wr_fail(e, WR_CONFLICT,
            "the replica ends with transaction %016llx, and was seen to have %016llx: it may have "
            "been reset",
            (unsigned long long)wr_ltx_files_newest(all), (unsigned long long)position(h));
    }
    begin_epoch(h);
    *ret_anew = true;
    return WR_OK;
}

/* What leads on from the map may be damaged, and nothing else there: that is not the end. */
static enum wr_status is_end(const struct wr_head *h, struct wr_err *e)
{
    if (h->aside.n == 0 || h->newest <= position(h))
        return WR_OK;
    return wr_fail(e, WR_CORRUPT,
        "%zu damaged files in the replica, and no others that lead on to transaction %016llx",
        h->aside.n, (unsigned long long)h->newest);
}

/* On from the map by what was listed, if that can be; *ret_anew: it cannot. */
static enum wr_status advance(struct wr_head *h, struct wr_call *c, const struct wr_ltx_files *all,
    bool *ret_anew, struct wr_err *e)
{
    struct wr_ltx_files chain = {0};
    enum wr_status st = compare(h, all, ret_anew, e);

    if (st == WR_OK && !*ret_anew)
        st = wr_onward_chain(all, position(h), &chain, e);
    if (st == WR_OK && chain.n > 0)
        st = go_on(h, c, &chain, e);
    else if (st == WR_OK && wr_ltx_files_newest(all) > position(h))
        *ret_anew = true;
    if (st == WR_UNSUPPORTED) {
        *ret_anew = true;
        st = WR_OK;
    }
    wr_ltx_files_release(&chain);
    return st;
}

/* With a listing of all files: on from the map, or anew. */
static enum wr_status step_wide(struct wr_head *h, struct wr_call *c, struct wr_err *e)
{
    struct wr_ltx_files all = {0};
    bool anew = true;
    enum wr_status st;

    if (wr_mono_ms(c->clock) >= h->again_ms)
        h->aside.n = 0;
    st = list(h, c, true, &all, e);
    if (st == WR_OK && h->other)
        begin_epoch(h);
    if (st == WR_OK && h->map)
        st = advance(h, c, &all, &anew, e);
    if (st == WR_OK && h->other)
        begin_epoch(h);
    wr_ltx_files_drop(&all, &h->aside);
    if (st == WR_OK && anew && all.n == 0)
        st = wr_fail(e, WR_NOTFOUND, "the replica is empty");
    if (st == WR_OK && anew)
        st = make_anew(h, c, &all, e);
    if (st == WR_OK)
        st = is_end(h, e);
    if (st != WR_OK)
        h->wide_ms = 0;
    wr_ltx_files_release(&all);
    return st;
}

/* Whether the newest file of the map is still there. That of a replica which was emptied is not,
 * and nothing else tells for long: what it has since then ends before the map. */
static enum wr_status look_back(
    const struct wr_head *h, struct wr_call *c, bool *ret, struct wr_err *e)
{
    size_t n = 0;
    const struct wr_pagemap_file *files = wr_pagemap_files(h->map, &n);
    const struct wr_ltx_file *last = &files[n - 1].file;
    struct wr_ltx_file is;
    enum wr_status st = wr_layout_find(h->storage, c, last->level, last->min, last->max, &is, e);

    if (st != WR_OK && st != WR_NOTFOUND)
        return wr_wrap(e, st, "look for transaction %016llx", (unsigned long long)last->max);
    *ret = st == WR_OK && is.size == last->size;
    return WR_OK;
}

/* By names, or by a listing of level 0. *ret_wide: that is not enough. */
static enum wr_status step_near(
    struct wr_head *h, struct wr_call *c, bool *ret_wide, struct wr_err *e)
{
    struct wr_ltx_files near = {0}, chain = {0};
    bool listed = wr_mono_ms(c->clock) >= h->list_ms, there = true;
    enum wr_status st;

    if (!listed) {
        st = probe(h, c, &chain, e);
    } else {
        st = list(h, c, false, &near, e);
        if (st == WR_OK)
            st = wr_onward_chain(&near, position(h), &chain, e);
        *ret_wide = chain.n == 0 && h->newest > position(h); /* a gap */
    }
    /* A file without the database's checksum might be another replica's. */
    if (st == WR_OK && (listed || (chain.n > 0 && !wr_pagemap_about(h->map)->has_rolling)))
        st = look_back(h, c, &there, e);
    if (st == WR_OK && !there)
        *ret_wide = true;
    else if (st == WR_OK && chain.n > 0)
        st = go_on(h, c, &chain, e);
    if (st == WR_UNSUPPORTED || st == WR_BUSY) {
        *ret_wide = true;
        st = WR_OK;
    }
    wr_ltx_files_release(&near);
    wr_ltx_files_release(&chain);
    return st;
}

enum wr_status wr_head_step(struct wr_head *h, struct wr_call *c, bool *ret_new, struct wr_err *e)
{
    const struct wr_pagemap *was = h->map;
    bool wide = !h->map || h->aside.n > 0 || wr_mono_ms(c->clock) >= h->wide_ms;
    enum wr_status st = wide ? WR_OK : step_near(h, c, &wide, e);

    if (st == WR_OK && wide)
        st = step_wide(h, c, e);
    if (st == WR_BUSY) /* a file went while it was read */
        st = step_wide(h, c, e);
    if (st == WR_OK)
        h->seen_ms = wr_mono_ms(c->clock);
    *ret_new = h->map != was;
    return st;
}

enum wr_status wr_head_at(struct wr_storage *s, struct wr_pagecache *cache, uint32_t lock_offset,
    struct wr_call *c, const struct wr_pagemap *like, uint64_t txid, int64_t time_ms,
    struct wr_pagemap **ret, struct wr_err *e)
{
    const struct wr_restore_opts opts = {
        .txid = txid, .time_ms = time_ms, .parallel = THREADS, .ltx_only = true};
    struct wr_ltx_files way = {0};
    struct wr_load l = {.storage = s,
        .cache = cache,
        .known = like,
        .epoch = like ? wr_pagemap_about(like)->epoch : 1,
        .lock_offset = lock_offset};
    size_t bad;
    enum wr_status st = wr_source_plan(s, c, &opts, &way, e);

    if (st == WR_OK && way.n == 0)
        st = wr_fail(e, WR_NOTFOUND, "no matching backup files available");
    l.files = way.p;
    l.n = way.n;
    if (st == WR_OK)
        st = wr_load(&l, c, ret, &bad, e);
    wr_ltx_files_release(&way);
    return st;
}
