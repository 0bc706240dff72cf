/*
 * config_replica.c - one replica of the configuration file: its URL and its settings.
 *
 * A replica is given by `url`, or by `type`, `bucket` and `path`, from which a URL is built. Every
 * other key becomes a setting for the backend, from the replica itself or, when it has no such
 * key, from the top of the file. Which values make sense is for the backend to say.
 */
#include "base/url.h"
#include "daemon/config_int.h"
#include "daemon/expand.h"

#define S3     WR_KEY_FOR_S3
#define OSS    WR_KEY_FOR_OSS
#define ABS    WR_KEY_FOR_ABS
#define SFTP   WR_KEY_FOR_SFTP
#define NATS   WR_KEY_FOR_NATS
#define WEBDAV WR_KEY_FOR_WEBDAV

const struct wr_key wr_config_replica_keys[] = {
    {"type", WR_KEY_READ},
    {"url", WR_KEY_READ},
    {"bucket", WR_KEY_READ},
    {"path", WR_KEY_READ},
    {"sync-interval", WR_KEY_READ},
    {"age", WR_KEY_READ},
    {"sse-customer-key-path", WR_KEY_READ},
    {"name", WR_KEY_LATER},
    {"validation-interval", WR_KEY_READ},
    {"retention", WR_KEY_READ},
    {"retention-check-interval", WR_KEY_LATER},
    {"snapshot-interval", WR_KEY_READ},
    {"max-sync-ltx-files", WR_KEY_LATER},
    {"auto-recover", WR_KEY_LATER},
    {"access-key-id", S3 | OSS},
    {"secret-access-key", S3 | OSS},
    {"session-token", S3 | OSS},
    {"profile", S3},
    {"region", S3 | OSS},
    {"endpoint", S3 | OSS | ABS},
    {"force-path-style", S3},
    {"sign-payload", S3},
    {"sign-accept-encoding", WR_KEY_LATER},
    {"require-content-md5", S3},
    {"skip-verify", S3},
    {"ca-file", S3},
    {"storage-class", S3},
    {"part-size", S3 | OSS},
    {"concurrency", S3 | OSS},
    {"sse-customer-algorithm", S3},
    {"sse-customer-key", S3},
    {"sse-customer-key-md5", S3},
    {"sse-kms-key-id", S3},
    {"account-name", ABS},
    {"account-key", ABS},
    {"sas-token", ABS},
    {"host", SFTP},
    {"user", SFTP},
    {"password", SFTP | NATS},
    {"key-path", SFTP},
    {"concurrent-writes", SFTP},
    {"host-key", SFTP},
    {"webdav-url", WEBDAV},
    {"webdav-username", WEBDAV},
    {"webdav-password", WEBDAV},
    {"jwt", NATS},
    {"seed", NATS},
    {"creds", NATS},
    {"nkey", NATS},
    {"username", NATS},
    {"token", NATS},
    {"tls", NATS},
    {"root-cas", WR_KEY_LATER},
    {"client-cert", NATS},
    {"client-key", NATS},
    {"max-reconnects", NATS},
    {"reconnect-wait", NATS},
    {"timeout", NATS},
    {NULL, 0},
};

/* Backends by the scheme of their URLs, and whether `bucket` and `path` can stand for a URL. */
static const struct {
    const char *type;
    unsigned bit;
    bool has_bucket, has_path;
} backends[] = {
    {"file", WR_KEY_FOR_FILE, false, true},
    {"s3", S3, true, true},
    {"gs", WR_KEY_FOR_GS, true, true},
    {"abs", ABS, true, true},
    {"oss", OSS, true, true},
    {"sftp", SFTP, false, false},
    {"webdav", WEBDAV, false, false},
    {"webdavs", WEBDAV, false, false},
    {"nats", NATS, false, false},
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

static enum wr_status build_url(struct wr_doc *d, const yaml_node_t *node, size_t backend,
    struct wr_str bucket, struct wr_str path, const char **ret, struct wr_err *e)
{
    const char *type = backends[backend].type, *full;
    struct wr_str url;
    enum wr_status st;

    if (!backends[backend].has_path)
        return wr_doc_fail(d, node, e, "url required for %s replica (%s://...)", type, type);
    if (memchr(path.p, '?', path.n) || memchr(path.p, '#', path.n))
        return wr_doc_fail(
            d, node, e, "replica path cannot contain '?' or '#': " WR_FMT, WR_ARG(path));
    if (!backends[backend].has_bucket) {
        if (path.n == 0)
            return wr_doc_fail(d, node, e, "%s replica path required", type);
        st = wr_expand_path(d->arena, path, &full, e);
        if (st != WR_OK)
            return st;
        url = wr_arena_fmt(d->arena, "%s://%s", type, full);
    } else {
        if (bucket.n == 0)
            return wr_doc_fail(d, node, e, "bucket required for %s replica", type);
        while (path.n && path.p[0] == '/')
            path = wr_str_skip(path, 1);
        /* The final '/' of an empty path matters: without it the original has other object keys. */
        url = wr_arena_fmt(d->arena, "%s://" WR_FMT "/" WR_FMT, type, WR_ARG(bucket), WR_ARG(path));
    }
    if (!url.p)
        return wr_fail(e, WR_NOMEM, "out of memory");
    *ret = url.p;
    return WR_OK;
}

/* The address of a replica, from `url` or from its parts. */
static enum wr_status read_url(struct wr_doc *d, const yaml_node_t *node,
    const yaml_node_t *defaults, const char *what, struct wr_config_replica *r, struct wr_err *e)
{
    struct wr_str url, type, bucket, path;
    enum wr_status st;
    size_t backend;

    st = get_text(d, node, "url", what, &url, e);
    if (st == WR_OK)
        st = get_text(d, node, "type", what, &type, e);
    if (st == WR_OK)
        st = get_text(d, node, "bucket", what, &bucket, e);
    if (st == WR_OK)
        st = get_text(d, node, "path", what, &path, e);
    if (st != WR_OK)
        return st;

    if (url.n) {
        if (!wr_url_is(url)) {
            url = wr_url_redact(d->arena, url);
            if (!url.p)
                return wr_fail(e, WR_NOMEM, "out of memory");
            return wr_doc_fail(d, node, e, "replica url scheme required: " WR_FMT, WR_ARG(url));
        }
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
    if (type.n == 0)
        type = WR_STR("file");
    backend = find_backend(type);
    if (backend == wr_countof(backends))
        return wr_doc_fail(
            d, node, e, "unknown replica type in config: \"" WR_FMT "\"", WR_ARG(type));
    if (bucket.n == 0 && backends[backend].has_bucket)
        st = get_text(d, defaults, "bucket", "the top", &bucket, e);
    r->type = backends[backend].type;
    return st != WR_OK ? st : build_url(d, node, backend, bucket, path, &r->url, e);
}

static enum wr_status read_sync_interval(struct wr_doc *d, const yaml_node_t *node,
    const yaml_node_t *defaults, const char *what, const char **ret, struct wr_err *e)
{
    const yaml_node_t *v = wr_doc_get(d, node, "sync-interval");
    struct wr_str s;
    int64_t ns;

    if (!v)
        v = wr_doc_get(d, defaults, "sync-interval");
    if (!v)
        return keep(d->arena, WR_STR(WR_SYNC_INTERVAL_DEFAULT), ret, e);
    s = wr_doc_text(v);
    /* A bare number is refused: it would be nanoseconds to the original and seconds to a reader. */
    if (!wr_parse_duration(s, &ns))
        return wr_doc_fail(d, v, e, "%s.sync-interval: \"" WR_FMT "\" is not a duration such as 1s",
            what, WR_ARG(s));
    if (ns < 0)
        return wr_doc_fail(d, v, e,
            "%s.sync-interval: sync interval must not be negative (got " WR_FMT ")", what,
            WR_ARG(s));
    return keep(d->arena, s, ret, e);
}

static enum wr_status read_settings(struct wr_doc *d, const yaml_node_t *node,
    const yaml_node_t *defaults, const char *what, struct wr_config_replica *r, struct wr_err *e)
{
    struct wr_pairs pairs = {0};
    unsigned bit = backend_bit(r->type);
    enum wr_status st =
        wr_pairs_add(&pairs, d->arena, "sync-interval", wr_str(r->sync_interval), e);

    for (const struct wr_key *k = wr_config_replica_keys; st == WR_OK && k->name; k++) {
        struct wr_str value;

        if (k->use & (WR_KEY_READ | WR_KEY_LATER))
            continue;
        st = get_text(d, node, k->name, what, &value, e);
        if (st == WR_OK && value.n && !(k->use & bit)) {
            wr_doc_warn(d, wr_doc_get(d, node, k->name),
                "\"%s\" has no meaning for a %s replica and is ignored", k->name, r->type);
            continue;
        }
        if (st == WR_OK && value.n == 0 && (k->use & bit))
            st = get_text(d, defaults, k->name, "the top", &value, e);
        if (st == WR_OK && value.n)
            st = wr_pairs_add(&pairs, d->arena, k->name, value, e);
    }
    return st != WR_OK ? st : wr_pairs_copy(&pairs, d->arena, &r->settings, e);
}

/* Keys that must not be ignored: what was meant to be encrypted would be stored in clear. */
static enum wr_status check_encryption(
    struct wr_doc *d, const yaml_node_t *node, const yaml_node_t *defaults, struct wr_err *e)
{
    static const struct {
        const char *key, *text;
    } refused[] = {
        {"age", "age encryption is not supported"},
        {"sse-customer-key-path",
            "sse-customer-key-path is not supported, use sse-customer-key with a $VARIABLE"},
    };

    for (size_t i = 0; i < wr_countof(refused); i++) {
        const yaml_node_t *v = wr_doc_get(d, node, refused[i].key);

        if (!v)
            v = wr_doc_get(d, defaults, refused[i].key);
        if (v)
            return wr_doc_fail(d, v, e, "%s", refused[i].text);
    }
    return WR_OK;
}

enum wr_status wr_config_replica(struct wr_doc *d, const yaml_node_t *node,
    const yaml_node_t *defaults, const char *what, struct wr_config_replica *ret, struct wr_err *e)
{
    struct wr_config_replica r = {0};
    enum wr_status st;

    st = wr_doc_is(d, node, YAML_MAPPING_NODE, what, e);
    if (st != WR_OK)
        return st;
    wr_config_check_keys(d, node, wr_config_replica_keys, NULL);
    st = check_encryption(d, node, defaults, e);
    if (st == WR_OK)
        st = read_url(d, node, defaults, what, &r, e);
    if (st == WR_OK)
        st = read_sync_interval(d, node, defaults, what, &r.sync_interval, e);
    if (st == WR_OK)
        st = read_settings(d, node, defaults, what, &r, e);
    if (st == WR_OK)
        *ret = r;
    return st;
}

enum wr_status wr_config_replica_url(struct wr_arena *a, const char *url, const char *sync_interval,
    struct wr_config_replica *ret, struct wr_err *e)
{
    struct wr_config_replica r = {.url = url, .sync_interval = sync_interval};
    struct wr_pairs pairs = {0};
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
    if (!sync_interval)
        r.sync_interval = WR_SYNC_INTERVAL_DEFAULT;
    st = keep_type(a, url, &r.type, e);
    if (st == WR_OK)
        st = wr_pairs_add(&pairs, a, "sync-interval", wr_str(r.sync_interval), e);
    if (st == WR_OK)
        st = wr_pairs_copy(&pairs, a, &r.settings, e);
    if (st == WR_OK)
        *ret = r;
    return st;
}
