/*
 * spy_store.h - the memory driver with hooks in front of puts and gets and behind listings, and a
 * count of calls: what a replica does, seen from its bucket.
 */
#ifndef WR_TEST_SPY_STORE_H
#define WR_TEST_SPY_STORE_H

#include "base/base.h"
#include "harness/t.h"
#include "storage/drivers.h"
#include "storage/storage.h"

struct spy {
    void *inner; /* of the memory driver */
    unsigned puts, lists, removes, reads;
    /* Not OK: nothing happens, and this is said. */
    enum wr_status fail_put, fail_list, fail_get, fail_stat, fail_remove;
    unsigned fail_lists;      /* fail_list is for so many; 0: for all */
    enum wr_status after_put; /* it happens, and this is said */
    const char *fail_in;      /* fail_get is for keys with this; NULL: all */
    const char *hidden;       /* keys with this are not listed; NULL: all are */
    void (*in_put)(void *arg, struct wr_call *c, struct wr_str key);
    void (*in_get)(void *arg);
    void (*after_list)(void *arg); /* before what was listed is looked at */
    void *arg;
};

static inline enum wr_status spy_say(enum wr_status st, struct wr_err *e)
{
    return st == WR_OK ? WR_OK : wr_fail(e, st, "spy: %s", wr_status_text(st));
}

static inline void spy_close(void *self)
{
    struct spy *s = self;

    wr_storage_mem.close(s->inner);
}

struct spy_listing {
    const char *hidden;
    wr_list_fn *fn;
    void *arg;
};

static inline bool spy_show(void *arg, const struct wr_object *obj)
{
    struct spy_listing *l = arg;

    return strstr(obj->key.p, l->hidden) || l->fn(l->arg, obj);
}

static inline enum wr_status spy_list(void *self, struct wr_call *c, struct wr_str prefix,
    struct wr_str after, wr_list_fn *fn, void *arg, struct wr_err *e)
{
    struct spy *s = self;
    struct spy_listing some = {.hidden = s->hidden, .fn = fn, .arg = arg};
    enum wr_status st = s->fail_list;

    s->lists++;
    if (st != WR_OK && s->fail_lists > 0 && --s->fail_lists == 0)
        s->fail_list = WR_OK;
    if (st != WR_OK)
        return spy_say(st, e);
    if (s->hidden)
        st = wr_storage_mem.list(s->inner, c, prefix, after, spy_show, &some, e);
    else
        st = wr_storage_mem.list(s->inner, c, prefix, after, fn, arg, e);
    if (s->after_list)
        s->after_list(s->arg);
    return st;
}

static inline enum wr_status spy_stat(
    void *self, struct wr_call *c, struct wr_str key, struct wr_object *out, struct wr_err *e)
{
    struct spy *s = self;

    if (s->fail_stat != WR_OK)
        return spy_say(s->fail_stat, e);
    return wr_storage_mem.stat(s->inner, c, key, out, e);
}

static inline enum wr_status spy_get(void *self, struct wr_call *c, struct wr_str key, uint64_t off,
    void *buf, size_t n, size_t *got, struct wr_str *version, struct wr_err *e)
{
    struct spy *s = self;

    s->reads++;
    if (s->in_get)
        s->in_get(s->arg);
    if (s->fail_get != WR_OK && (!s->fail_in || strstr(key.p, s->fail_in)))
        return spy_say(s->fail_get, e);
    return wr_storage_mem.get(s->inner, c, key, off, buf, n, got, version, e);
}

static inline enum wr_status spy_put(void *self, struct wr_call *c, struct wr_str key,
    struct wr_bytes body, const struct wr_put_opts *o, struct wr_object *out, struct wr_err *e)
{
    struct spy *s = self;
    enum wr_status st;

    s->puts++;
    if (s->in_put)
        s->in_put(s->arg, c, key);
    if (s->fail_put != WR_OK)
        return spy_say(s->fail_put, e);
    st = wr_storage_mem.put(s->inner, c, key, body, o, out, e);
    return st == WR_OK ? spy_say(s->after_put, e) : st;
}

static inline enum wr_status spy_remove(
    void *self, struct wr_call *c, const struct wr_str *keys, size_t n, struct wr_err *e)
{
    struct spy *s = self;

    s->removes++;
    if (s->fail_remove != WR_OK)
        return spy_say(s->fail_remove, e);
    return wr_storage_mem.remove(s->inner, c, keys, n, e);
}

/* As the memory driver, but all in one put. */
static const struct wr_storage_ops spy_ops_proto = {
    .scheme = "spy",
    .close = spy_close,
    .list = spy_list,
    .stat = spy_stat,
    .get = spy_get,
    .put = spy_put,
    .remove = spy_remove,
};

/* A handle on the spy's bucket that tries everything once; `ops` must outlive it. */
static inline struct wr_storage *spy_open(struct spy *s, struct wr_storage_ops *ops)
{
    struct wr_storage *h = NULL;
    struct wr_err e = {0};

    *s = (struct spy){0};
    *ops = spy_ops_proto;
    ops->caps = wr_storage_mem.caps;
    T_OK(wr_storage_mem.open(NULL, &s->inner, &e));
    T_OK(wr_storage_wrap(ops, s, WR_STR(""), &h, &e));
    wr_storage_set_retry(h, 1, 0);
    return h;
}

/* The same bucket without the spy; close it. */
static inline struct wr_storage *spy_bucket(struct spy *s)
{
    struct wr_storage *h = NULL;
    struct wr_err e = {0};

    T_OK(wr_storage_wrap(&wr_storage_mem, wr_storage_mem_ref(s->inner), WR_STR(""), &h, &e));
    return h;
}

#endif
