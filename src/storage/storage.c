/*
 * storage.c - opens buckets: URL to driver, settings and key prefix; and what can be asked of an
 * open one. The requests themselves are in request.c.
 *
 * Knows no remote and no format of keys, but for the one rule that S3 addresses have for prefixes.
 */
#include "storage/storage_int.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/url.h"
#include "net/http_share.h"
#include "net/retry.h"
#include "storage/drivers.h"

#define URL_MAX 8192 /* bytes */

static const struct wr_storage_ops *const registry[] = {
    &wr_storage_file,
    &wr_storage_mem,
    &wr_storage_s3,
};

static const struct wr_storage_ops *find_driver(struct wr_str scheme)
{
    for (size_t i = 0; i < wr_countof(registry); i++) {
        if (wr_str_eq_nocase(scheme, wr_str(registry[i]->scheme)))
            return registry[i];
    }
    return NULL;
}

static enum wr_status fail_scheme(struct wr_str scheme, struct wr_err *e)
{
    struct wr_buf known;
    int shown = (int)wr_min(scheme.n, (size_t)32);

    wr_buf_init(&known, URL_MAX);
    for (size_t i = 0; i < wr_countof(registry); i++)
        if (registry[i] != &wr_storage_mem) /* of tests, and of what needs a bucket for a moment */
            wr_buf_fmt(&known, "%s%s://", known.n ? " and " : "", registry[i]->scheme);
    /* Without memory for the list the fact itself still fits into the text. */
    enum wr_status st =
        wr_fail(e, WR_MISUSE, "unsupported replica URL scheme \"%.*s\": there are " WR_FMT, shown,
            scheme.p, WR_ARG(wr_buf_view(&known)));
    wr_buf_release(&known);
    return st;
}

/* What every key starts with. In S3 layouts it is the cleaned path and a slash, after the access
 * point's name if the host is one. Litestream cleans an absent path to "." and a bare slash to "",
 * and existing replicas have their keys below "./" and "/" because of that. Escapes are no steps of
 * the path: where its configuration says "path: /app", keys begin with "/app/", which is "%2Fapp".
 */
static struct wr_str derive_prefix(
    struct wr_arena *a, const struct wr_storage_ops *ops, const struct wr_url *u)
{
    struct wr_str path = u->path;

    if (!(ops->caps & WR_STORAGE_HEX_LEVELS))
        return WR_STR("");
    if (wr_str_starts(u->host, WR_STR("arn:"))) {
        struct wr_str point;
        path = wr_str_skip(path, path.n > 0);
        if (wr_str_cut(path, '/', &point, &path) && path.n == 0)
            path = WR_STR("/");
    }
    path = wr_path_clean(a, path);
    if (path.p && wr_str_starts(path, WR_STR("/")))
        path = wr_str_skip(path, 1);
    if (path.p)
        path = wr_url_decode(a, path);
    if (!path.p)
        return path;
    return wr_arena_fmt(a, WR_FMT "/", WR_ARG(path));
}

/* A handle that owns nothing yet but copies of `prefix` and `name`. */
static enum wr_status new_storage(const struct wr_storage_ops *ops, struct wr_str prefix,
    struct wr_str name, struct wr_storage **ret, struct wr_err *e)
{
    struct wr_storage *s = wr_alloc(sizeof(*s));
    struct wr_retry defaults;

    if (!s)
        return wr_fail(e, WR_NOMEM, "storage: out of memory");
    wr_retry_init(&defaults, 0);
    s->attempts_max = defaults.attempts_max;
    s->base_ms = defaults.base_ms;
    s->prefix = wr_strndup(prefix.n ? prefix.p : "", prefix.n);
    s->name = wr_strndup(name.n ? name.p : "", name.n);
    if (!s->prefix || !s->name) {
        wr_storage_close(s);
        return wr_fail(e, WR_NOMEM, "storage: out of memory");
    }
    s->ops = ops;
    *ret = s;
    return WR_OK;
}

/* Two providers may have buckets of one name. */
static enum wr_status name_place(struct wr_storage *s, struct wr_err *e)
{
    struct wr_buf b;
    char *name;

    if (!s->ops->where)
        return WR_OK;
    wr_buf_init(&b, (size_t)2 * URL_MAX);
    wr_buf_z(&b, s->name);
    s->ops->where(s->self, &b);
    name = wr_buf_status(&b) == WR_OK ? wr_strndup((const char *)b.p, b.n) : NULL;
    wr_buf_release(&b);
    if (!name)
        return wr_fail(e, WR_NOMEM, "storage: out of memory");
    wr_free(s->name);
    s->name = name;
    return WR_OK;
}

static enum wr_status open_url(struct wr_arena *a, struct wr_str url, const char *const *settings,
    struct wr_storage **ret, struct wr_err *e)
{
    struct wr_url u = {0};
    struct wr_storage *s = NULL;
    struct wr_str name, query;

    if (url.n > URL_MAX)
        return wr_fail(e, WR_MISUSE, "replica URL is longer than %d bytes", URL_MAX);
    enum wr_status st = wr_url_parse(a, url, &u, e);
    if (st != WR_OK)
        return st;
    const struct wr_storage_ops *ops = find_driver(u.scheme);
    if (!ops)
        return fail_scheme(u.scheme, e);

    struct wr_str prefix = derive_prefix(a, ops, &u);
    (void)wr_str_cut(wr_url_redact(a, url), '?', &name, &query);
    if (!prefix.p || !name.p)
        return wr_fail(e, WR_NOMEM, "storage: out of memory");
    st = new_storage(ops, prefix, name, &s, e);
    if (st != WR_OK)
        return st;
    assert(s);
    st = wr_settings_parse(ops->options, &u, settings, &s->set, e);
    if (st == WR_OK)
        st = ops->open(s->set, &s->self, e);
    if (st == WR_OK)
        st = name_place(s, e);
    if (st != WR_OK) {
        (void)wr_wrap(e, st, "%s", s->name); /* st itself is returned below */
        wr_storage_close(s);
        return st;
    }
    *ret = s;
    return WR_OK;
}

enum wr_status wr_storage_open(
    struct wr_str url, const char *const *settings, struct wr_storage **ret, struct wr_err *e)
{
    struct wr_arena a;

    wr_arena_init(&a, (size_t)8 * URL_MAX);
    enum wr_status st = open_url(&a, url, settings, ret, e);
    wr_arena_release(&a);
    return st;
}

enum wr_status wr_storage_wrap(const struct wr_storage_ops *ops, void *self, struct wr_str prefix,
    struct wr_storage **ret, struct wr_err *e)
{
    struct wr_arena a;

    wr_arena_init(&a, (size_t)8 * URL_MAX);
    struct wr_str name = wr_arena_fmt(&a, "%s://" WR_FMT, ops->scheme, WR_ARG(prefix));
    enum wr_status st = name.p ? new_storage(ops, prefix, name, ret, e)
                               : wr_fail(e, WR_NOMEM, "storage: out of memory");
    if (st == WR_OK)
        (*ret)->self = self;
    wr_arena_release(&a);
    return st;
}

void wr_storage_close(struct wr_storage *s)
{
    if (!s)
        return;
    if (s->ops)
        s->ops->close(s->self);
    wr_settings_free(s->set);
    wr_free(s->prefix);
    wr_free(s->name);
    wr_free(s);
}

struct wr_http_share *wr_storage_share_new(void)
{
    return wr_http_share_new();
}

void wr_storage_share_free(struct wr_http_share *x)
{
    wr_http_share_free(x);
}

enum wr_status wr_storage_share(struct wr_storage *s, struct wr_http_share *x, struct wr_err *e)
{
    return s->ops->share ? s->ops->share(s->self, x, e) : WR_OK;
}

const char *wr_storage_scheme(const struct wr_storage *s)
{
    return s->ops->scheme;
}

unsigned wr_storage_caps(const struct wr_storage *s)
{
    return s->ops->caps;
}

struct wr_str wr_storage_prefix(const struct wr_storage *s)
{
    return wr_str(s->prefix);
}

struct wr_str wr_storage_name(const struct wr_storage *s)
{
    return wr_str(s->name);
}

struct addressing {
    const char *const *place; /* names */
    struct wr_buf *out;
    enum wr_setting_source last; /* weaker ones are not added */
    char before;                 /* the next one */
};

static void add_place(void *arg, const struct wr_setting *x)
{
    struct addressing *a = arg;

    for (size_t i = 0; a->place && a->place[i]; i++) {
        if (x->source > a->last || !x->value.p || strcmp(a->place[i], x->name) != 0)
            continue;
        wr_buf_fmt(a->out, "%c%s=", a->before, x->name);
        wr_url_encode(a->out, x->value, false);
        a->before = '&';
    }
}

/* What the driver adds is of the host, which is there, or of the environment. */
static void add_place_of_env(void *arg, const struct wr_setting *x)
{
    if (x->source == WR_SET_BY_ENV)
        add_place(arg, x);
}

enum wr_status wr_storage_address(const struct wr_storage *s, struct wr_buf *out, struct wr_err *e)
{
    struct addressing a = {
        .place = s->ops->place, .out = out, .last = WR_SET_BY_ENV, .before = '?'};
    const struct wr_url *u = s->set ? wr_settings_url(s->set) : NULL;
    enum wr_status st;

    if (u) {
        wr_buf_fmt(out, WR_FMT "://" WR_FMT "%s" WR_FMT WR_FMT, WR_ARG(u->scheme), WR_ARG(u->host),
            u->port.n ? ":" : "", WR_ARG(u->port), WR_ARG(u->path));
        wr_settings_each(s->set, add_place, &a);
        if (s->ops->tell)
            s->ops->tell(s->self, add_place_of_env, &a);
    } else {
        wr_buf_z(out, s->name);
    }
    st = wr_buf_status(out);
    return st == WR_OK ? WR_OK : wr_fail(e, st, "the URL of a replica");
}

void wr_storage_tell(
    const struct wr_storage *s, void (*fn)(void *arg, const struct wr_setting *setting), void *arg)
{
    const struct wr_setting prefix = {
        .name = "prefix", .value = wr_str(s->prefix), .source = WR_SET_BY_URL};

    if (s->set)
        wr_settings_each(s->set, fn, arg);
    if (s->ops->tell)
        s->ops->tell(s->self, fn, arg);
    if (s->set && prefix.value.n > 0)
        fn(arg, &prefix);
}

void wr_storage_learnt(const struct wr_storage *s, struct wr_storage_learnt *ret)
{
    *ret = (struct wr_storage_learnt){0};
    if (s->ops->learnt)
        s->ops->learnt(s->self, ret);
}

void wr_storage_set_retry(struct wr_storage *s, unsigned attempts_max, int64_t base_ms)
{
    assert(attempts_max > 0 && base_ms >= 0);
    s->attempts_max = attempts_max;
    s->base_ms = base_ms;
}
