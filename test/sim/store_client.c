/*
 * store_client.c - the driver that the product gets: each slot is a request to the store, or some.
 *
 * As in s3.c, a list is fetched page by page, keys are removed a thousand at a time, and an upload
 * that could not be committed is aborted, in time of its own.
 */
#include "sim/store_int.h"

#include "base/buf.h"
#include "base/mem.h"

#define PART_MIN ((size_t)16 << 10)
#define BATCH    1000
#define ABORT_MS 3000
#define KEY_MAX  ((size_t)4096)

struct client {
    struct store *s;
};

struct wr_upload {
    struct store *s;
    uint64_t id;
    struct wr_arena mem;
    struct wr_str key; /* in `mem`, as the options' strings */
    struct wr_put_opts opts;
    size_t n; /* parts that arrived */
};

static struct store *store_of(void *self)
{
    return ((struct client *)self)->s;
}

static enum wr_status client_open(const struct wr_settings *set, void **self, struct wr_err *e)
{
    (void)set;
    (void)self;
    return wr_fail(e, WR_MISUSE, "a client of a simulated store is made by store_client");
}

static void client_close(void *self)
{
    wr_free(self);
}

void *store_client(struct store *s)
{
    struct client *c = wr_alloc(sizeof(*c));

    if (!c)
        abort();
    c->s = s;
    return c;
}

static struct store_request *request(struct store *s, enum store_verb verb, struct wr_str key)
{
    struct store_request *r = store_request_new(s, verb);

    r->key = store_keep_str(r, key);
    return r;
}

/* An answer's description in the caller's memory. */
static enum wr_status hand_over(
    struct wr_call *c, const struct wr_object *about, struct wr_object *out, struct wr_err *e)
{
    if (!out)
        return WR_OK;
    *out = *about;
    out->key = wr_arena_str(c->scratch, about->key);
    out->version = wr_arena_str(c->scratch, about->version);
    return out->key.p && out->version.p ? WR_OK : wr_fail(e, WR_NOMEM, "out of memory");
}

/* ---- list, stat, get ---- */

/* One page, and the last key of it to `after`. *ret_more: another one follows. */
static enum wr_status list_page(struct store *s, struct wr_call *c, struct wr_str prefix,
    struct wr_buf *after, wr_list_fn *fn, void *arg, bool *ret_more, struct wr_err *e)
{
    struct store_request *r = request(s, STORE_LIST, prefix);
    bool on = true;
    enum wr_status st;

    r->after = store_keep_str(r, wr_buf_view(after));
    st = store_ask(c, &r, e);
    if (st != WR_OK)
        goto out;
    for (size_t i = 0; on && i < r->n_objects; i++)
        on = fn(arg, &r->objects[i]);
    if (on && r->cut)
        st = wr_fail(e, WR_TIMEOUT, "the listing broke off");
    *ret_more = on && r->more && !r->cut;
    if (*ret_more) {
        wr_buf_clear(after);
        wr_buf_str(after, r->objects[r->n_objects - 1].key);
    }
out:
    store_request_free(r);
    return st;
}

static enum wr_status client_list(void *self, struct wr_call *c, struct wr_str prefix,
    struct wr_str after, wr_list_fn *fn, void *arg, struct wr_err *e)
{
    struct wr_buf at;
    bool more = true;
    enum wr_status st = WR_OK;

    wr_buf_init(&at, KEY_MAX);
    wr_buf_str(&at, after);
    while (st == WR_OK && more) {
        st = wr_buf_status(&at);
        if (st != WR_OK)
            (void)wr_fail(e, st, "list: %s", wr_status_text(st)); /* st is returned below */
        if (st == WR_OK)
            st = wr_call_check(c, "list", e);
        if (st == WR_OK)
            st = list_page(store_of(self), c, prefix, &at, fn, arg, &more, e);
    }
    wr_buf_release(&at);
    return st;
}

static enum wr_status client_stat(
    void *self, struct wr_call *c, struct wr_str key, struct wr_object *out, struct wr_err *e)
{
    struct store_request *r;
    enum wr_status st = wr_call_check(c, "stat", e);

    if (st != WR_OK)
        return st;
    r = request(store_of(self), STORE_STAT, key);
    st = store_ask(c, &r, e);
    if (st == WR_OK)
        st = hand_over(c, &r->about, out, e);
    store_request_free(r);
    return st;
}

static enum wr_status client_get(void *self, struct wr_call *c, struct wr_str key, uint64_t off,
    void *buf, size_t n, size_t *got, struct wr_str *version, struct wr_err *e)
{
    struct store_request *r;
    enum wr_status st = wr_call_check(c, "get", e);

    if (st != WR_OK)
        return st;
    r = request(store_of(self), STORE_GET, key);
    r->off = off;
    r->n = n;
    st = store_ask(c, &r, e);
    if (version)
        *version = wr_str("");
    if (st == WR_OK) {
        *got = r->data.n;
        if (*got > 0)
            memcpy(buf, r->data.p, *got);
    }
    store_request_free(r);
    return st;
}

/* ---- put, remove ---- */

static void keep_opts(struct store_request *r, const struct wr_put_opts *o)
{
    r->opts = *o;
    r->opts.if_match = store_keep_str(r, o->if_match);
}

static enum wr_status client_put(void *self, struct wr_call *c, struct wr_str key,
    struct wr_bytes body, const struct wr_put_opts *o, struct wr_object *out, struct wr_err *e)
{
    struct store_request *r;
    enum wr_status st = wr_call_check(c, "put", e);

    if (st != WR_OK)
        return st;
    r = request(store_of(self), STORE_PUT, key);
    r->body = store_keep_bytes(r, body.p, body.n);
    keep_opts(r, o);
    st = store_ask(c, &r, e);
    if (st == WR_OK)
        st = hand_over(c, &r->about, out, e);
    store_request_free(r);
    return st;
}

static enum wr_status remove_batch(
    struct store *s, struct wr_call *c, const struct wr_str *keys, size_t n, struct wr_err *e)
{
    struct store_request *r = request(s, STORE_REMOVE, keys[0]);
    enum wr_status st;

    r->keys = wr_arena_array(&r->mem, n, sizeof(*r->keys));
    if (!r->keys)
        abort();
    for (size_t i = 0; i < n; i++)
        r->keys[i] = store_keep_str(r, keys[i]);
    r->n = n;
    st = store_ask(c, &r, e);
    store_request_free(r);
    return st == WR_OK ? WR_OK : wr_wrap(e, st, "from " WR_FMT " on", WR_ARG(keys[0]));
}

static enum wr_status client_remove(
    void *self, struct wr_call *c, const struct wr_str *keys, size_t n, struct wr_err *e)
{
    enum wr_status st = wr_call_check(c, "remove", e);

    for (size_t i = 0; i < n && st == WR_OK; i += BATCH)
        st = remove_batch(store_of(self), c, keys + i, wr_min(n - i, (size_t)BATCH), e);
    return st;
}

/* ---- uploads ---- */

static void upload_free(struct wr_upload *u)
{
    wr_arena_release(&u->mem);
    wr_free(u);
}

static struct store_request *upload_request(const struct wr_upload *u, enum store_verb verb)
{
    struct store_request *r = request(u->s, verb, u->key);

    r->upload = u->id;
    return r;
}

static enum wr_status client_upload_begin(void *self, struct wr_call *c, struct wr_str key,
    const struct wr_put_opts *o, struct wr_upload **out, struct wr_err *e)
{
    struct store_request *r;
    struct wr_upload *u;
    enum wr_status st = wr_call_check(c, "upload", e);

    if (st != WR_OK)
        return st;
    u = wr_alloc(sizeof(*u));
    if (!u)
        return wr_fail(e, WR_NOMEM, "out of memory for an upload");
    u->s = store_of(self);
    u->opts = *o;
    wr_arena_init(&u->mem, 2 * KEY_MAX);
    u->key = wr_arena_str(&u->mem, key);
    u->opts.if_match = wr_arena_str(&u->mem, o->if_match);
    if (!u->key.p || !u->opts.if_match.p) {
        upload_free(u);
        return wr_fail(e, WR_NOMEM, "out of memory for an upload");
    }
    r = upload_request(u, STORE_UPLOAD_BEGIN);
    st = store_ask(c, &r, e);
    if (st == WR_OK) {
        u->id = r->made_id;
        *out = u;
    } else {
        upload_free(u);
    }
    store_request_free(r);
    return st;
}

static enum wr_status client_upload_part(
    struct wr_upload *u, struct wr_call *c, struct wr_bytes part, struct wr_err *e)
{
    struct store_request *r;
    enum wr_status st = wr_call_check(c, "upload", e);

    if (st != WR_OK)
        return st;
    r = upload_request(u, STORE_UPLOAD_PART);
    r->body = store_keep_bytes(r, part.p, part.n);
    r->n = u->n;
    st = store_ask(c, &r, e);
    u->n += st == WR_OK;
    store_request_free(r);
    return st;
}

static void client_upload_abort(struct wr_upload *u, struct wr_call *c)
{
    struct store_request *r = upload_request(u, STORE_UPLOAD_ABORT);
    struct wr_call own = *c;
    enum wr_status gone;

    own.cancel = NULL;
    own.deadline_ms = wr_mono_ms(c->clock) + ABORT_MS;
    gone = store_ask(&own, &r, NULL);
    (void)gone; /* what is left is counted by store_open_uploads */
    store_request_free(r);
    upload_free(u);
}

static enum wr_status client_upload_commit(
    struct wr_upload *u, struct wr_call *c, struct wr_object *out, struct wr_err *e)
{
    struct store_request *r;
    enum wr_status st = wr_call_check(c, "upload", e);

    if (st != WR_OK) {
        client_upload_abort(u, c);
        return st;
    }
    r = upload_request(u, STORE_UPLOAD_COMMIT);
    r->n = u->n;
    keep_opts(r, &u->opts);
    st = store_ask(c, &r, e);
    if (st == WR_OK)
        st = hand_over(c, &r->about, out, e);
    store_request_free(r);
    if (st == WR_OK)
        upload_free(u);
    else
        client_upload_abort(u, c);
    return st;
}

const struct wr_storage_ops store_driver = {
    .scheme = "sim",
    .part_min = PART_MIN,
    .open = client_open,
    .close = client_close,
    .list = client_list,
    .stat = client_stat,
    .get = client_get,
    .put = client_put,
    .remove = client_remove,
    .upload_begin = client_upload_begin,
    .upload_part = client_upload_part,
    .upload_commit = client_upload_commit,
    .upload_abort = client_upload_abort,
};
