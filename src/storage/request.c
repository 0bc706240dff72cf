/*
 * request.c - puts around every driver what all of them need: checked arguments, counters, retries,
 * context in errors, listings that are proven to ascend.
 *
 * Knows no remote. A request ends well, or is repeated while its failure is transient
 * (net/retry.h). Repeating is harmless for all requests but one: a conditional put whose first
 * attempt took effect and whose answer was lost is refused because of its own work. The second
 * answer, CONFLICT, is then checked against what the bucket holds:
 *
 *     put if_absent A      -> stored, but the answer is lost: TIMEOUT
 *     put if_absent A      -> CONFLICT
 *     get A                -> our bytes: the first attempt won, OK; other bytes: CONFLICT it is
 */
#include "storage/storage_int.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/retry.h"

#define KEY_MAX        ((size_t)1024) /* bytes; what S3 and most others allow */
#define COMPARE_WINDOW ((size_t)64 << 10)

/* One request with all its attempts. Failures collect here, so that the caller's text stays
 * untouched when a later attempt succeeds. */
struct request {
    struct wr_storage *s;
    struct wr_call *c;
    const char *verb;
    enum wr_storage_class class;
    struct wr_str key; /* or prefix */
    int64_t since_ns;  /* of the attempt */
    struct wr_retry retry;
    struct wr_err err;
};

static void count(_Atomic uint64_t *counter, uint64_t n)
{
    (void)atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static enum wr_status check_key(const char *verb, struct wr_str key, struct wr_err *e)
{
    if (key.n == 0 || key.n > KEY_MAX)
        return wr_fail(e, WR_MISUSE, "%s: a key has 1 to %zu bytes, not %zu", verb, KEY_MAX, key.n);
    if (memchr(key.p, '\0', key.n))
        return wr_fail(e, WR_MISUSE, "%s: NUL in key", verb);
    return WR_OK;
}

static void begin(struct request *r, struct wr_storage *s, struct wr_call *c,
    enum wr_storage_class class, const char *verb, struct wr_str key)
{
    uint64_t nth = atomic_fetch_add_explicit(&s->calls, 1, memory_order_relaxed);

    *r = (struct request){.s = s, .c = c, .verb = verb, .class = class, .key = key};
    wr_retry_init(&r->retry, (uint64_t)wr_mono_ns(c->clock) + nth);
    r->retry.attempts_max = s->attempts_max;
    r->retry.base_ms = s->base_ms;
}

static void attempt(struct request *r)
{
    count(&r->s->meters[r->class].begun, 1);
    r->since_ns = wr_mono_ns(r->c->clock);
}

/* An attempt has ended with `st`, which is returned. */
static enum wr_status ended(struct request *r, enum wr_status st)
{
    static const int64_t bounds_ms[] = {10, 50, 100, 500, 1000, 5000, 10000, 30000, 60000};
    struct wr_storage_meter *m = &r->s->meters[r->class];
    int64_t ns = wr_max(wr_mono_ns(r->c->clock) - r->since_ns, (int64_t)0);
    size_t i = 0;

    _Static_assert(wr_countof(bounds_ms) == WR_STORAGE_TOOK - 1, "a bound for each but the last");
    while (i < wr_countof(bounds_ms) && ns > bounds_ms[i] * 1000000)
        i++;
    (void)atomic_fetch_add_explicit(&m->took[i], 1, memory_order_relaxed);
    count(&m->ns, (uint64_t)ns);
    if (st != WR_OK && st != WR_NOTFOUND && st != WR_CANCELED)
        (void)atomic_fetch_add_explicit(&m->failed[st], 1, memory_order_relaxed);
    wr_log(r->c->log, WR_DEBUG, "storage request", WR_F_Z("storage", r->s->name),
        WR_F_Z("request", r->verb), WR_F_STR("key", r->key), WR_F_MS("took", ns / 1000000),
        WR_F_Z("result", wr_status_text(st)),
        WR_F_Z("error", st == WR_OK || st == WR_NOTFOUND ? "" : r->err.text));
    return st;
}

/* Whether to make another attempt after one that ended with `st`. */
static bool again(struct request *r, enum wr_status st)
{
    if (!wr_retry_again(&r->retry, r->c, st))
        return false;
    r->err = (struct wr_err){0};
    return true;
}

static enum wr_status finish(struct request *r, enum wr_status st, struct wr_err *e)
{
    if (st == WR_OK)
        return WR_OK;
    (void)wr_wrap(&r->err, st, "%s " WR_FMT, r->verb, WR_ARG(r->key)); /* st is returned below */
    if (e)
        *e = r->err;
    return st;
}

/* ---- list ---- */

struct listing {
    struct wr_str prefix;
    wr_list_fn *fn;
    void *arg;
    struct wr_buf last; /* the greatest key passed on, or `after` */
    bool stopped;       /* by the caller */
    enum wr_status st;  /* of our own checks */
    struct wr_err *err;
};

/* Replication proves continuity by key order: a listing that does not ascend must not be used. */
static bool pass_on(void *arg, const struct wr_object *obj)
{
    struct listing *l = arg;

    assert(!l->stopped && l->st == WR_OK);
    if (!wr_str_starts(obj->key, l->prefix) || wr_str_cmp(obj->key, wr_buf_view(&l->last)) <= 0) {
        l->st = wr_fail(l->err, WR_CORRUPT,
            "listing is out of order: \"" WR_FMT "\" came after \"" WR_FMT "\"", WR_ARG(obj->key),
            WR_ARG(wr_buf_view(&l->last)));
        return false;
    }
    wr_buf_clear(&l->last);
    wr_buf_str(&l->last, obj->key);
    if (wr_buf_status(&l->last) != WR_OK) {
        l->st = wr_fail(l->err, wr_buf_status(&l->last), "listed key of %zu bytes", obj->key.n);
        return false;
    }
    l->stopped = !l->fn(l->arg, obj);
    return !l->stopped;
}

/* A repeated attempt goes on after the last key that was passed on. */
enum wr_status wr_storage_list(struct wr_storage *s, struct wr_call *c, struct wr_str prefix,
    struct wr_str after, wr_list_fn *fn, void *arg, struct wr_err *e)
{
    struct request r;
    struct listing l = {.prefix = prefix, .fn = fn, .arg = arg, .err = &r.err};
    enum wr_status st;

    if (prefix.n > KEY_MAX || after.n > KEY_MAX)
        return wr_fail(e, WR_MISUSE, "list: prefix or start of more than %zu bytes", KEY_MAX);
    st = wr_call_check(c, "list", e);
    if (st != WR_OK)
        return st;
    begin(&r, s, c, WR_STORAGE_LIST, "list", prefix);
    wr_buf_init(&l.last, 4 * KEY_MAX);
    wr_buf_str(&l.last, after);
    st = wr_buf_status(&l.last);
    if (st != WR_OK) {
        (void)wr_fail(&r.err, st, "out of memory");
        goto out;
    }
    do {
        attempt(&r);
        /* A copy, as pass_on overwrites the buffer while the driver may still look at it. */
        char from[4 * KEY_MAX];
        struct wr_str view = {from, l.last.n};
        if (view.n)
            memcpy(from, l.last.p, view.n);
        st = s->ops->list(s->self, c, prefix, view, pass_on, &l, &r.err);
        if (l.st != WR_OK)
            st = l.st;
        (void)ended(&r, l.stopped && l.st == WR_OK ? WR_OK : st);
    } while (!l.stopped && again(&r, st));
    if (l.stopped && l.st == WR_OK)
        st = WR_OK;
out:
    wr_buf_release(&l.last);
    return finish(&r, st, e);
}

/* ---- stat, get, remove ---- */

enum wr_status wr_storage_stat(struct wr_storage *s, struct wr_call *c, struct wr_str key,
    struct wr_object *out, struct wr_err *e)
{
    struct request r;
    enum wr_status st = check_key("stat", key, e);

    if (st == WR_OK)
        st = wr_call_check(c, "stat", e);
    if (st != WR_OK)
        return st;
    begin(&r, s, c, WR_STORAGE_STAT, "stat", key);
    do {
        attempt(&r);
        st = ended(&r, s->ops->stat(s->self, c, key, out, &r.err));
    } while (again(&r, st));
    return finish(&r, st, e);
}

enum wr_status wr_storage_get(struct wr_storage *s, struct wr_call *c, struct wr_str key,
    uint64_t off, void *buf, size_t n, size_t *got, struct wr_err *e)
{
    return wr_storage_get_version(s, c, key, off, buf, n, got, NULL, e);
}

enum wr_status wr_storage_get_version(struct wr_storage *s, struct wr_call *c, struct wr_str key,
    uint64_t off, void *buf, size_t n, size_t *got, struct wr_str *version, struct wr_err *e)
{
    struct request r;
    size_t size = 0;
    enum wr_status st = check_key("get", key, e);

    if (st == WR_OK && (n > INT64_MAX || off > INT64_MAX - (uint64_t)n))
        st = wr_fail(e, WR_MISUSE, "get: range ends beyond 2^63");
    if (st == WR_OK)
        st = wr_call_check(c, "get", e);
    if (st != WR_OK)
        return st;
    begin(&r, s, c, WR_STORAGE_GET, "get", key);
    do {
        attempt(&r);
        st = ended(&r, s->ops->get(s->self, c, key, off, buf, n, &size, version, &r.err));
    } while (again(&r, st));
    if (st == WR_OK) {
        assert(size <= n);
        count(&s->bytes_down, size);
        *got = size;
    }
    return finish(&r, st, e);
}

enum wr_status wr_storage_remove(
    struct wr_storage *s, struct wr_call *c, const struct wr_str *keys, size_t n, struct wr_err *e)
{
    struct request r;
    enum wr_status st = WR_OK;

    for (size_t i = 0; i < n && st == WR_OK; i++)
        st = check_key("remove", keys[i], e);
    if (st == WR_OK)
        st = wr_call_check(c, "remove", e);
    if (st != WR_OK || n == 0)
        return st;
    begin(&r, s, c, WR_STORAGE_REMOVE, "remove", n == 1 ? keys[0] : WR_STR("objects"));
    do {
        attempt(&r);
        st = ended(&r, s->ops->remove(s->self, c, keys, n, &r.err));
    } while (again(&r, st));
    return finish(&r, st, e);
}

/* ---- put ---- */

enum wr_status wr_storage_check_put(
    const struct wr_storage *s, struct wr_str key, const struct wr_put_opts *o, struct wr_err *e)
{
    enum wr_status st = check_key("put", key, e);

    if (st != WR_OK)
        return st;
    if (o->if_match.n > KEY_MAX)
        return wr_fail(e, WR_MISUSE, "put: if_match of more than %zu bytes", KEY_MAX);
    if (o->if_absent && o->if_match.n)
        return wr_fail(e, WR_MISUSE, "put: if_absent and if_match exclude each other");
    if ((o->if_absent || o->if_match.n) && !(s->ops->caps & WR_STORAGE_COND_PUT))
        return wr_fail(e, WR_UNSUPPORTED, "put: %s has no conditional writes", s->ops->scheme);
    return WR_OK;
}

/* OK when the object at `key` has exactly the bytes of `body`, CONFLICT when not. */
static enum wr_status compare(struct wr_storage *s, struct wr_call *c, struct wr_str key,
    struct wr_bytes body, struct wr_object *out, struct wr_err *e)
{
    struct wr_object now = {0};
    size_t got = 0;
    enum wr_status st = wr_storage_stat(s, c, key, &now, e);

    if (st == WR_NOTFOUND || (st == WR_OK && now.size != body.n))
        return wr_fail(e, WR_CONFLICT, "another writer's object is there");
    if (st != WR_OK)
        return st;
    uint8_t *window = wr_alloc(COMPARE_WINDOW);
    if (!window)
        return wr_fail(e, WR_NOMEM, "compare with %zu bytes: out of memory", body.n);
    for (size_t off = 0; st == WR_OK && off < body.n; off += got) {
        st = wr_storage_get(s, c, key, off, window, wr_min(COMPARE_WINDOW, body.n - off), &got, e);
        if (st == WR_NOTFOUND || (st == WR_OK && got == 0) ||
            (st == WR_OK && memcmp(window, body.p + off, got) != 0))
            st = wr_fail(e, WR_CONFLICT, "another writer's object is there");
    }
    wr_free(window);
    if (st == WR_OK && out)
        *out = now;
    return st;
}

enum wr_status wr_storage_put_object(struct wr_storage *s, struct wr_call *c, struct wr_str key,
    struct wr_bytes body, const struct wr_put_opts *o, struct wr_object *out, struct wr_err *e)
{
    static const struct wr_put_opts plain = {0};
    struct request r;

    if (!o)
        o = &plain;
    enum wr_status st = wr_storage_check_put(s, key, o, e);
    if (st == WR_OK)
        st = wr_call_check(c, "put", e);
    if (st != WR_OK)
        return st;
    begin(&r, s, c, WR_STORAGE_PUT, "put", key);
    do {
        attempt(&r);
        count(&s->bytes_up, body.n);
        st = ended(&r, s->ops->put(s->self, c, key, body, o, out, &r.err));
    } while (again(&r, st));
    /* `n` counts failed attempts before this answer. */
    if (st == WR_CONFLICT && r.retry.n > 0)
        st = compare(s, c, key, body, out, &r.err);
    return finish(&r, st, e);
}

enum wr_status wr_storage_put(struct wr_storage *s, struct wr_call *c, struct wr_str key,
    struct wr_bytes body, const struct wr_put_opts *o, struct wr_err *e)
{
    return wr_storage_put_object(s, c, key, body, o, NULL, e);
}

/* ---- uploads ---- */

enum wr_status wr_storage_upload_begin(struct wr_storage *s, struct wr_call *c, struct wr_str key,
    const struct wr_put_opts *o, struct wr_storage_upload *ret, struct wr_err *e)
{
    struct request r;
    struct wr_upload *up = NULL;
    enum wr_status st = wr_call_check(c, "upload", e);

    assert(s->ops->part_min > 0);
    if (st != WR_OK)
        return st;
    begin(&r, s, c, WR_STORAGE_PUT, "begin upload of", key);
    do {
        attempt(&r);
        st = ended(&r, s->ops->upload_begin(s->self, c, key, o, &up, &r.err));
    } while (again(&r, st));
    if (st == WR_OK)
        *ret = (struct wr_storage_upload){.s = s, .key = key, .up = up};
    return finish(&r, st, e);
}

/* `part`, or, if that is not NULL, what is in `give`. */
static enum wr_status upload_part(struct wr_storage_upload *u, struct wr_call *c,
    struct wr_bytes part, struct wr_buf *give, struct wr_err *e)
{
    struct wr_storage *s = u->s;
    struct request r;
    enum wr_status st = wr_call_check(c, "upload", e);

    assert(u->up);
    if (st != WR_OK)
        return st;
    begin(&r, s, c, WR_STORAGE_PUT, "upload part of", u->key);
    do {
        attempt(&r);
        count(&s->bytes_up, part.n);
        st = give && s->ops->upload_give ? s->ops->upload_give(u->up, c, give, &r.err)
                                         : s->ops->upload_part(u->up, c, part, &r.err);
        st = ended(&r, st);
    } while (again(&r, st));
    return finish(&r, st, e);
}

enum wr_status wr_storage_upload_part(
    struct wr_storage_upload *u, struct wr_call *c, struct wr_bytes part, struct wr_err *e)
{
    return upload_part(u, c, part, NULL, e);
}

enum wr_status wr_storage_upload_give(
    struct wr_storage_upload *u, struct wr_call *c, struct wr_buf *part, struct wr_err *e)
{
    enum wr_status st = upload_part(u, c, wr_buf_bytes(part), part, e);

    if (st == WR_OK)
        wr_buf_clear(part);
    return st;
}

enum wr_status wr_storage_upload_commit(
    struct wr_storage_upload *u, struct wr_call *c, struct wr_err *e)
{
    struct request r;

    assert(u->up);
    begin(&r, u->s, c, WR_STORAGE_PUT, "commit upload of", u->key);
    attempt(&r);
    enum wr_status st = ended(&r, u->s->ops->upload_commit(u->up, c, NULL, &r.err));
    u->up = NULL;
    return finish(&r, st, e);
}

void wr_storage_upload_abort(struct wr_storage_upload *u, struct wr_call *c)
{
    if (u->up)
        u->s->ops->upload_abort(u->up, c);
    u->up = NULL;
}

/* ---- counters ---- */

static uint64_t counted(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void wr_storage_counts(const struct wr_storage *s, struct wr_storage_counts *ret)
{
    *ret = (struct wr_storage_counts){
        .list = counted(&s->meters[WR_STORAGE_LIST].begun),
        .get = counted(&s->meters[WR_STORAGE_GET].begun),
        .put = counted(&s->meters[WR_STORAGE_PUT].begun),
        .remove = counted(&s->meters[WR_STORAGE_REMOVE].begun),
        .stat = counted(&s->meters[WR_STORAGE_STAT].begun),
        .bytes_up = counted(&s->bytes_up),
        .bytes_down = counted(&s->bytes_down),
    };
}

void wr_storage_times(
    const struct wr_storage *s, enum wr_storage_class class, struct wr_storage_times *ret)
{
    const struct wr_storage_meter *m = &s->meters[class];

    *ret = (struct wr_storage_times){.ns = counted(&m->ns)};
    for (size_t i = 0; i < WR_STORAGE_TOOK; i++)
        ret->took[i] = atomic_load_explicit(&m->took[i], memory_order_relaxed);
    for (size_t i = 0; i < WR_STORAGE_STATUSES; i++)
        ret->failed[i] = atomic_load_explicit(&m->failed[i], memory_order_relaxed);
}
