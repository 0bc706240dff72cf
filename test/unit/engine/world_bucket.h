/*
 * world_bucket.h - what is in the first replica of an engine world, taken out and put back: what a
 * store has received and not yet put in place, and what others do there.
 */
#ifndef WR_TEST_WORLD_BUCKET_H
#define WR_TEST_WORLD_BUCKET_H

#include "harness/engine_world.h"

#include "base/mem.h"
#include "engine/layout.h"

static inline struct wr_ltx_files bucket_list(struct world *w)
{
    struct wr_storage *s = world_storage(w, 0);
    struct wr_ltx_files files = {0};
    struct wr_err e = {0};

    T_OK(wr_layout_list_all(s, t_call(), &files, &e));
    wr_storage_close(s);
    return files;
}

static inline size_t bucket_count(struct world *w)
{
    struct wr_ltx_files files = bucket_list(w);
    size_t n = files.n;

    wr_ltx_files_release(&files);
    return n;
}

/* How many files of a level there are, and the last of them, which stays what it was if there is
 * none; NULL: whichever. */
static inline size_t bucket_count_level(
    struct world *w, unsigned level, struct wr_ltx_file *ret_last)
{
    struct wr_ltx_files files = bucket_list(w);
    size_t n = 0;

    for (size_t i = 0; i < files.n; i++) {
        if (files.p[i].level != level)
            continue;
        n++;
        if (ret_last)
            *ret_last = files.p[i];
    }
    wr_ltx_files_release(&files);
    return n;
}

struct object {
    struct wr_ltx_file is;
    uint8_t *body;
};

static inline struct object bucket_get(struct world *w, const struct wr_ltx_file *f)
{
    struct wr_storage *s = world_storage(w, 0);
    struct wr_call *c = t_call();
    struct object o = {.is = *f, .body = wr_alloc((size_t)f->size)};
    struct wr_err e = {0};
    size_t got = 0;

    T(o.body != NULL);
    T_OK(wr_storage_get(s, c, wr_layout_ltx_key(c->scratch, s, f->level, f->min, f->max), 0, o.body,
        (size_t)f->size, &got, &e));
    T(got == f->size);
    wr_storage_close(s);
    return o;
}

static inline void bucket_put(struct world *w, struct object *o)
{
    struct wr_storage *s = world_storage(w, 0);
    struct wr_call *c = t_call();
    struct wr_err e = {0};

    T_OK(wr_storage_put(s, c, wr_layout_ltx_key(c->scratch, s, o->is.level, o->is.min, o->is.max),
        (struct wr_bytes){o->body, (size_t)o->is.size}, NULL, &e));
    wr_storage_close(s);
    wr_free(o->body);
}

static inline void bucket_remove(struct world *w, const struct wr_ltx_file *f)
{
    struct wr_storage *s = world_storage(w, 0);
    struct wr_call *c = t_call();
    struct wr_str key = wr_layout_ltx_key(c->scratch, s, f->level, f->min, f->max);
    struct wr_err e = {0};

    T_OK(wr_storage_remove(s, c, &key, 1, &e));
    wr_storage_close(s);
}

/* Take the file of level 0 that ends at `max` out of the bucket: the store has it, and has not yet
 * put it in place. */
static inline struct object bucket_under_way(struct world *w, uint64_t max)
{
    struct wr_ltx_files files = bucket_list(w);
    struct object o = {0};

    for (size_t i = 0; i < files.n; i++) {
        if (files.p[i].level == 0 && files.p[i].max == max)
            o = bucket_get(w, &files.p[i]);
    }
    wr_ltx_files_release(&files);
    T(o.body != NULL);
    bucket_remove(w, &o.is);
    return o;
}

static inline void bucket_remove_all(struct world *w)
{
    struct wr_ltx_files files = bucket_list(w);

    for (size_t i = 0; i < files.n; i++)
        bucket_remove(w, &files.p[i]);
    wr_ltx_files_release(&files);
}

#endif
