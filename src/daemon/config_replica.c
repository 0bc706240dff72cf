/*
 * config_replica.c - one replica of the configuration file: its URL and its settings.
 *
 * A replica is given by `url`, or by `type`, `bucket` and `path`, from which a URL is built. Every
 * other key becomes a setting for the backend, from the replica itself or, when it has no such
 * key, from the top of the file. Which values make sense is for the backend to say.
 */
#include "base/buf.h"
#include "base/file.h"
#include "base/url.h"
#include "daemon/config_int.h"
#include "daemon/expand.h"

#include <sys/stat.h>

#define KEY_FILE_MAX 4096 /* bytes; a key has 44 */

/* Backends by the scheme of their URLs, and whether `bucket` and `path` can stand for a URL. */
static const struct {
    const char *type;
    unsigned bit;
    bool has_bucket, has_path;
} backends[] = {
    {"file", WR_KEY_FOR_FILE, false, true},
    {"s3", WR_KEY_FOR_S3, true, true},
    {"gs", WR_KEY_FOR_GS, true, true},
    {"abs", WR_KEY_FOR_ABS, true, true},
    {"oss", WR_KEY_FOR_OSS, true, true},
    {"sftp", WR_KEY_FOR_SFTP, false, false},
    {"webdav", WR_KEY_FOR_WEBDAV, false, false},
    {"webdavs", WR_KEY_FOR_WEBDAV, false, false},
    {"nats", WR_KEY_FOR_NATS, false, false},
};

static size_t find_backend(struct wr_str type)
{
    size_t i = 0;

    while (i < wr_countof(backends) && !wr_str_eq_nocase(type, wr_str(backends[i].type)))
        i++;
    return i;
}

static unsigned backend_bit(const char *type)
{
    size_t i = find_backend(wr_str(type));

    return i < wr_countof(backends) ? backends[i].bit : WR_KEY_FOR_ALL; /* a newer scheme */
}

static enum wr_status keep(struct wr_arena *a, struct wr_str s, const char **ret, struct wr_err *e)
{
    struct wr_str copy = wr_arena_str(a, s);

    if (!copy.p)
        return wr_fail(e, WR_NOMEM, "out of memory");
    *ret = copy.p;
    return WR_OK;
}

static enum wr_status keep_type(
    struct wr_arena *a, const char *url, const char **ret, struct wr_err *e)
{
    struct wr_str scheme, rest;
    size_t i;

    (void)wr_str_cut(wr_str(url), ':', &scheme, &rest); /* a URL has one */
    i = find_backend(scheme);
    if (i == wr_countof(backends))
        return keep(a, scheme, ret, e);
    *ret = backends[i].type;
    return WR_OK;
}

/* The text of a scalar key of `map`, empty when it has none. */
static enum wr_status get_text(struct wr_doc *d, const yaml_node_t *map, const char *key,
    const char *what, struct wr_str *ret, struct wr_err *e)
{
    const yaml_node_t *v = wr_doc_get(d, map, key);
    char name[96];

    *ret = WR_STR("");
    if (!v)
        return WR_OK;
    (void)snprintf(name, sizeof(name), "%s.%s", what, key); /* only for the message */
    *ret = wr_doc_text(v);
    return wr_doc_is(d, v, YAML_SCALAR_NODE, name, e);
}

/* The same for what says where the data goes: with a part missing it would go elsewhere. */
static enum wr_status get_place(struct wr_doc *d, const yaml_node_t *map, const char *key,
    const char *what, struct wr_str *ret, struct wr_err *e)
{
    const yaml_node_t *v = wr_doc_find(d, map, key);

    *ret = WR_STR("");
    if (v && wr_doc_has_gap(d, v))
        return wr_doc_fail(d, v, e, "%s.%s is not complete", what, key);
    return get_text(d, map, key, what, ret, e);
}

/* "." and ".." would be steps of a path, and so would what is between two slashes. */
static bool is_plain_path(struct wr_arena *a, struct wr_str path)
{
    struct wr_str clean = wr_path_clean(a, path);

    return path.n == 0 ||
           (wr_str_eq(clean, path) && !wr_str_eq(path, WR_STR(".")) &&
               !wr_str_eq(path, WR_STR("..")) && !wr_str_starts(path, WR_STR("../")));
}

void wr_config_put_path(struct wr_arena *a, struct wr_buf *out, struct wr_str path)
{
    if (wr_str_starts(path, WR_STR("/"))) {
        wr_buf_z(out, "%2F");
        path = wr_str_skip(path, 1);
    }
    if (wr_str_eq(path, WR_STR(".")) || wr_str_eq(path, WR_STR("..")))
        wr_buf_z(out, path.n == 1 ? "%2E" : "%2E%2E");
    else
        wr_url_encode(out, path, is_plain_path(a, path));
}

/* The original takes such a path for the beginning of keys as it is, and cleans that of a URL. */
static enum wr_status build_bucket_url(struct wr_doc *d, const char *type, struct wr_str bucket,
    struct wr_str path, struct wr_str *ret, struct wr_err *e)
{
    struct wr_buf b;
    enum wr_status st;

    wr_buf_init(&b, WR_CONFIG_URL_MAX);
    /* The final '/' of an empty path matters: without it the original has other object keys. */
    wr_buf_fmt(&b, "%s://" WR_FMT "/", type, WR_ARG(bucket));
    wr_config_put_path(d->arena, &b, path);
    st = wr_buf_status(&b);
    if (st == WR_OK)
        *ret = wr_arena_str(d->arena, wr_buf_view(&b));
    wr_buf_release(&b);
    return st == WR_OK ? st : wr_fail(e, st, "the URL of a replica: %s", wr_status_text(st));
}

static enum wr_status build_url(struct wr_doc *d, const yaml_node_t *node, size_t backend,
    struct wr_str bucket, struct wr_str path, const char **ret, struct wr_err *e)
{
    const char *type = backends[backend].type, *full;
    struct wr_str url = {0};
    enum wr_status st;

    if (!backends[backend].has_path)
        return wr_doc_fail(d, node, e, "url required for %s replica (%s://...)", type, type);
    for (size_t i = 0; i < path.n; i++)
        if ((unsigned char)path.p[i] < 0x20 || path.p[i] == 0x7f)
            return wr_doc_fail(d, node, e, "there is a control character in the replica path");
    if (!backends[backend].has_bucket) {
        if (path.n == 0)
            return wr_doc_fail(d, node, e, "%s replica path required", type);
        if (memchr(path.p, '?', path.n))
            return wr_doc_fail(
                d, node, e, "replica path cannot contain '?': " WR_FMT, WR_ARG(path));
        st = wr_expand_path(d->arena, path, &full, e);
        if (st != WR_OK)
            return st;
        url = wr_arena_fmt(d->arena, "%s://%s", type, full);
    } else {
        if (bucket.n == 0)
            return wr_doc_fail(d, node, e, "bucket required for %s replica", type);
        for (size_t i = 0; i < bucket.n; i++) /* not shown: there may be a password before it */
            if (bucket.p[i] == '?' || bucket.p[i] == '@')
                return wr_doc_fail(d, node, e, "%s bucket cannot contain '%c'", type, bucket.p[i]);
        st = build_bucket_url(d, type, bucket, path, &url, e);
        if (st != WR_OK)
            return st;
    }
    if (!url.p)
        return wr_fail(e, WR_NOMEM, "out of memory");
    *ret = url.p;
    return WR_OK;
}

/* The process's own memory, which is for tests: a replica there would be gone with the process. */
#define MEMORY_TEXT "unsupported replica URL scheme: \"mem\""
static bool is_memory(struct wr_str scheme)
{
    return wr_str_eq_nocase(scheme, WR_STR("mem"));
}

/* A URL that names what has to be named. */
static enum wr_status check_parts(struct wr_doc *d, const yaml_node_t *node, struct wr_str url,
    struct wr_arena *scratch, struct wr_err *e)
{
    struct wr_err why = {0};
    struct wr_url u;
    enum wr_status st = wr_url_parse(scratch, url, &u, &why);
    unsigned bit;

    if (st == WR_MISUSE)
        return wr_doc_fail(d, node, e, "replica url: %s", why.text);
    if (st != WR_OK)
        return wr_fail(e, st, "%s", why.text);
    if (wr_str_eq(u.scheme, WR_STR("gcs")))
        return wr_doc_fail(d, node, e,
            "unsupported replica URL scheme: \"gcs\" (0.5 has gs://, which is not supported yet)");
    if (is_memory(u.scheme))
        return wr_doc_fail(d, node, e, MEMORY_TEXT);
    bit = find_backend(u.scheme) < wr_countof(backends) ? backends[find_backend(u.scheme)].bit : 0;
    if (u.host.n == 0 && bit != 0 && bit != WR_KEY_FOR_FILE)
        return wr_doc_fail(d, node, e, "replica url: there is no %s in it: " WR_FMT "://HERE/...",
            bit & (WR_KEY_FOR_SFTP | WR_KEY_FOR_WEBDAV | WR_KEY_FOR_NATS) ? "host" : "bucket",
            WR_ARG(u.scheme));
    return WR_OK;
}

/* Its parts are not kept: there may be ten thousand. */
static enum wr_status check_url(
    struct wr_doc *d, const yaml_node_t *node, struct wr_str url, struct wr_err *e)
{
    struct wr_arena scratch;
    enum wr_status st;

    wr_arena_init(&scratch, WR_ARENA_MAX);
    st = check_parts(d, node, url, &scratch, e);
    wr_arena_release(&scratch);
    return st;
}

/* The address of a replica, from `url` or from its parts. */
static enum wr_status read_url(struct wr_doc *d, const yaml_node_t *node,
    const yaml_node_t *defaults, const char *what, struct wr_config_replica *r, struct wr_err *e)
{
    struct wr_str url, type, bucket, path;
    enum wr_status st;
    size_t backend;

    st = get_place(d, node, "url", what, &url, e);
    if (st == WR_OK)
        st = get_text(d, node, "type", what, &type, e);
    if (st == WR_OK)
        st = get_place(d, node, "bucket", what, &bucket, e);
    if (st == WR_OK)
        st = get_place(d, node, "path", what, &path, e);
    if (st != WR_OK)
        return st;

    if (url.n) {
        if (!wr_url_is(url)) {
            url = wr_url_redact(d->arena, url);
            if (!url.p)
                return wr_fail(e, WR_NOMEM, "out of memory");
            return wr_doc_fail(d, node, e, "replica url scheme required: " WR_FMT, WR_ARG(url));
        }
        st = check_url(d, node, url, e);
        if (st == WR_OK)
            st = keep(d->arena, url, &r->url, e);
        if (st == WR_OK)
            st = keep_type(d->arena, r->url, &r->type, e);
        if (st == WR_OK && path.n)
            return wr_doc_fail(d, node, e, "cannot specify url & path for %s replica", r->type);
        if (st == WR_OK && bucket.n)
            return wr_doc_fail(d, node, e, "cannot specify url & bucket for %s replica", r->type);
        return st;
    }
    if (wr_url_is(path))
        return wr_doc_fail(
            d, node, e, "replica path cannot be a url, please use the 'url' field instead");
    if (type.n == 0 && bucket.n > 0) /* it would go to a directory of that name here */
        return wr_doc_fail(d, node, e, "there is a bucket, and no type: write type: s3");
    if (type.n == 0)
        type = WR_STR("file");
    backend = find_backend(type);
    if (backend == wr_countof(backends))
        return wr_doc_fail(d, node, e, "unknown replica type in config: \"" WR_FMT "\"%s",
            WR_ARG(type),
            wr_str_eq(type, WR_STR("gcs")) ? " (0.5 has gs, which is not supported yet)" : "");
    if (bucket.n > 0 && !backends[backend].has_bucket)
        wr_doc_warn(d, wr_doc_get(d, node, "bucket"),
            "\"bucket\" has no meaning for a %s replica and is ignored", backends[backend].type);
    if (bucket.n == 0 && backends[backend].has_bucket)
        st = get_place(d, defaults, "bucket", "the top", &bucket, e);
    r->type = backends[backend].type;
    if (st == WR_OK)
        st = build_url(d, node, backend, bucket, path, &r->url, e);
    if (st == WR_OK && backends[backend].has_bucket) /* "/name" is none */
        st = check_url(d, node, wr_str(r->url), e);
    return st;
}

/* Where it is said what `key` of a replica is; NULL: nowhere. */
static const yaml_node_t *find_said(struct wr_doc *d, const yaml_node_t *node,
    const yaml_node_t *defaults, const char *key, bool *ret_at_top)
{
    const yaml_node_t *v = wr_doc_get(d, node, key);

    *ret_at_top = !v;
    return v ? v : wr_doc_get(d, defaults, key);
}

static enum wr_status read_sync_interval(struct wr_doc *d, const yaml_node_t *node,
    const yaml_node_t *defaults, const char *what, const char **ret, struct wr_err *e)
{
    bool at_top;
    const yaml_node_t *v = find_said(d, node, defaults, "sync-interval", &at_top);
    char name[96];
    int64_t ns = 0;
    enum wr_status st;

    if (!v)
        return keep(d->arena, WR_STR(WR_SYNC_INTERVAL_DEFAULT), ret, e);
    (void)snprintf(name, sizeof(name), "%s.sync-interval", what); /* only for the message */
    st = wr_config_duration(d, v, name, "1s", &ns, e);
    if (st == WR_OK && ns < 0)
        return wr_doc_fail(d, v, e, "%s: sync interval must not be negative (got " WR_FMT ")", name,
            WR_ARG(wr_doc_text(v)));
    return st == WR_OK ? keep(d->arena, wr_doc_text(v), ret, e) : st;
}

/* The value of a key that is handed on, of the replica or of all; empty where neither has one. */
static enum wr_status get_setting(struct wr_doc *d, const yaml_node_t *node,
    const yaml_node_t *defaults, const char *what, const struct wr_key *k, struct wr_str *ret,
    struct wr_err *e)
{
    const yaml_node_t *v = wr_doc_get(d, node, k->name);
    char name[96];
    enum wr_status st;

    *ret = WR_STR("");
    if (!v) {
        v = wr_doc_get(d, defaults, k->name);
        what = NULL;
    }
    if (!v)
        return WR_OK;
    (void)snprintf(/* only for the message */
        name, sizeof(name), "%s%s%s", what ? what : "", what ? "." : "", k->name);
    st = wr_config_check_value(d, v, k->kind, name, e);
    *ret = wr_doc_text(v);
    return st;
}

/* The text of a small file, without white space around it. */
static enum wr_status read_small(
    struct wr_arena *a, const char *path, struct wr_str *ret, struct wr_err *e)
{
    const struct wr_fs *fs = wr_fs_posix();
    char *text = wr_arena_alloc(a, KEY_FILE_MAX + 1);
    struct wr_file_info info;
    size_t n = 0;
    enum wr_status st;

    if (!text)
        return wr_fail(e, WR_NOMEM, "out of memory");
    st = fs->stat(fs, path, &info, e);
    if (st == WR_OK && !S_ISREG((mode_t)info.mode)) /* some wait for ever to be opened */
        return wr_fail(e, WR_MISUSE, "it is no regular file");
    if (st == WR_OK)
        st = wr_file_head(fs, path, text, KEY_FILE_MAX + 1, &n, e);
    if (st == WR_OK && n > KEY_FILE_MAX)
        return wr_fail(e, WR_MISUSE, "too long for a key");
    *ret = wr_str_trim((struct wr_str){text, n});
    return st;
}

/* `sse-customer-key-path`, which wins over the key itself. *ret_path: where it is; NULL: nowhere.
 */
static enum wr_status read_key_file(struct wr_doc *d, const yaml_node_t *node,
    const yaml_node_t *defaults, const char **ret_path, struct wr_str *ret, struct wr_err *e)
{
    static const char key[] = "sse-customer-key-path";
    const yaml_node_t *v = wr_doc_get(d, node, key);
    struct wr_err why = {0};
    enum wr_status st;

    if (!v)
        v = wr_doc_get(d, defaults, key);
    if (!v)
        return WR_OK;
    st = wr_doc_is(d, v, YAML_SCALAR_NODE, key, e);
    if (st == WR_OK)
        st = wr_expand_path(d->arena, wr_doc_text(v), ret_path, e);
    if (st != WR_OK)
        return st;
    st = read_small(d->arena, *ret_path, ret, &why);
    if (st == WR_OK && (ret->n == 0 || memchr(ret->p, 0, ret->n)))
        st = wr_fail(&why, WR_MISUSE, "there is no key in it");
    if (st == WR_NOMEM)
        return wr_fail(e, st, "out of memory");
    if (st != WR_OK)
        return wr_doc_fail(d, v, e, "cannot read %s \"%s\": %s", key, *ret_path, why.text);
    return WR_OK;
}

static enum wr_status read_settings(struct wr_doc *d, const yaml_node_t *node,
    const yaml_node_t *defaults, const char *what, struct wr_config_replica *r, struct wr_err *e)
{
    struct wr_pairs pairs = {0};
    unsigned bit = backend_bit(r->type);
    const char *key_path = NULL;
    struct wr_str key_text = {0};
    const yaml_node_t *said;
    bool at_top;
    enum wr_status st =
        wr_pairs_add(&pairs, d->arena, "sync-interval", wr_str(r->sync_interval), e);

    if (st == WR_OK) {
        said = find_said(d, node, defaults, "sync-interval", &at_top);
        wr_pairs_said(&pairs, said, at_top);
    }

    if (st == WR_OK && (bit & WR_KEY_FOR_S3))
        st = read_key_file(d, node, defaults, &key_path, &key_text, e);
    for (const struct wr_key *k = wr_config_replica_keys; st == WR_OK && k->name; k++) {
        struct wr_str value;

        if (k->use & (WR_KEY_READ | WR_KEY_IDLE))
            continue;
        if (!(k->use & bit)) {
            const yaml_node_t *v = wr_doc_get(d, node, k->name);

            if (v)
                wr_doc_warn(d, v, "\"%s\" has no meaning for a %s replica and is ignored", k->name,
                    r->type);
            continue;
        }
        st = get_setting(d, node, defaults, what, k, &value, e);
        if (key_path && strcmp(k->name, "sse-customer-key") == 0)
            value = key_text;
        if (st == WR_OK && value.n)
            st = wr_pairs_add_value(&pairs, d->arena, k, value, e);
        if (st == WR_OK && value.n) {
            bool of_file = key_path && strcmp(k->name, "sse-customer-key") == 0;

            said =
                find_said(d, node, defaults, of_file ? "sse-customer-key-path" : k->name, &at_top);
            wr_pairs_said(&pairs, said, at_top);
        }
    }
    return st != WR_OK ? st : wr_pairs_copy(&pairs, d->arena, &r->settings, &r->from, e);
}

/* What must not be ignored: what was meant to be encrypted would be stored in clear. */
static enum wr_status refuse_age(
    struct wr_doc *d, const yaml_node_t *node, const yaml_node_t *defaults, struct wr_err *e)
{
    const yaml_node_t *v = wr_doc_get(d, node, "age");

    if (!v)
        v = wr_doc_get(d, defaults, "age");
    if (v)
        return wr_doc_fail(d, v, e,
            "age encryption is not supported, and without it data would be stored in clear: "
            "remove it, and encrypt in the store, as with sse-kms-key-id or sse-customer-key");
    return WR_OK;
}

enum wr_status wr_config_replica(struct wr_doc *d, const yaml_node_t *node,
    const yaml_node_t *defaults, const char *what, struct wr_config_replica *ret, struct wr_err *e)
{
    struct wr_config_replica r = {.line = wr_config_line(node)};
    enum wr_status st;

    st = wr_doc_is(d, node, YAML_MAPPING_NODE, what, e);
    if (st != WR_OK)
        return st;
    st = wr_config_check_keys(d, node, wr_config_replica_keys, NULL, e);
    if (st == WR_OK)
        st = refuse_age(d, node, defaults, e);
    if (st == WR_OK)
        st = read_url(d, node, defaults, what, &r, e);
    if (st == WR_OK)
        st = read_sync_interval(d, node, defaults, what, &r.sync_interval, e);
    if (st == WR_OK)
        st = read_settings(d, node, defaults, what, &r, e);
    if (st == WR_OK)
        st = wr_config_query(d, wr_doc_get(d, node, "url"), &r, e);
    if (st == WR_OK)
        *ret = r;
    return st;
}

enum wr_status wr_config_replica_url(struct wr_arena *a, const char *url, const char *sync_interval,
    struct wr_config_replica *ret, struct wr_err *e)
{
    struct wr_config_replica r = {.url = url, .sync_interval = sync_interval};
    struct wr_pairs pairs = {0};
    struct wr_str scheme, rest;
    enum wr_status st;

    if (!wr_url_is(wr_str(url))) {
        struct wr_str shown = wr_url_redact(a, wr_str(url));

        if (!shown.p)
            return wr_fail(e, WR_NOMEM, "out of memory");
        if (url[0] == '/')
            return wr_fail(e, WR_MISUSE, "not a replica URL: " WR_FMT " (write file://" WR_FMT ")",
                WR_ARG(shown), WR_ARG(shown));
        return wr_fail(e, WR_MISUSE, "not a replica URL: " WR_FMT, WR_ARG(shown));
    }
    (void)wr_str_cut(wr_str(url), ':', &scheme, &rest);
    if (is_memory(scheme))
        return wr_fail(e, WR_MISUSE, MEMORY_TEXT);
    if (!sync_interval)
        r.sync_interval = WR_SYNC_INTERVAL_DEFAULT;
    st = keep_type(a, url, &r.type, e);
    if (st == WR_OK)
        st = wr_pairs_add(&pairs, a, "sync-interval", wr_str(r.sync_interval), e);
    if (st == WR_OK)
        st = wr_pairs_copy(&pairs, a, &r.settings, NULL, e);
    if (st == WR_OK)
        *ret = r;
    return st;
}
