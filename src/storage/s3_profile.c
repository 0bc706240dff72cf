/*
 * s3_profile.c - from URL and settings to where a bucket is, and the quirks of its provider.
 *
 * What a host in the URL says, when no endpoint is set:
 *
 *     arn:aws:s3:R:ACCOUNT:accesspoint    access point, its name is the first part of the path
 *     B.s3[.R].amazonaws.com              AWS
 *     [B.]R.digitaloceanspaces.com        and so on for the rows of `providers`
 *     B.host:port                         http://host:port, path style
 *     anything else                       a bucket of AWS
 *
 * An endpoint without a scheme is http on this machine and in private networks, https elsewhere.
 * Pure but for AWS_REGION, AWS_DEFAULT_REGION, LITESTREAM_S3_ENDPOINT, AWS_ENDPOINT_URL_S3 and
 * AWS_ENDPOINT_URL, which are asked last.
 */
#include "storage/s3_int.h"

#include "base/crypto.h"
#include "base/url.h"

#define PART_MAX       ((uint64_t)5 << 30) /* bytes */
#define CONCURRENCY    4
#define SSEC_KEY_SIZE  32
#define DEFAULT_REGION "us-east-1"

enum shape {
    SHAPE_NONE,      /* never part of a replica's URL */
    SHAPE_FIXED,     /* [B.]suffix */
    SHAPE_REGION,    /* [B.]R.suffix */
    SHAPE_S3_REGION, /* [B.]s3.R.suffix */
};

struct provider {
    const char *suffix; /* of the host; a whole number of labels */
    enum shape shape;
    bool path_style, consistent, no_md5;
    unsigned concurrency; /* 0: as usual */
};

static const struct provider providers[] = {
    {.suffix = "digitaloceanspaces.com", .shape = SHAPE_REGION},
    {.suffix = "backblazeb2.com", .shape = SHAPE_S3_REGION, .path_style = true},
    {.suffix = "s3.filebase.com", .shape = SHAPE_FIXED, .path_style = true},
    {.suffix = "scw.cloud", .shape = SHAPE_S3_REGION},
    {.suffix = "supabase.co", .path_style = true},
    {.suffix = "fly.storage.tigris.dev", .consistent = true, .no_md5 = true},
    {.suffix = "t3.storage.dev", .consistent = true, .no_md5 = true},
    /* More parts at once and R2 resets connections. */
    {.suffix = "r2.cloudflarestorage.com", .concurrency = 2},
};

/* Whether `host` is `suffix`, or ends with it after a dot; *ret_front is what precedes the dot. */
static bool has_labels(struct wr_str host, const char *suffix, struct wr_str *ret_front)
{
    struct wr_str s = wr_str(suffix);
    *ret_front = (struct wr_str){host.p, 0};
    if (host.n == s.n)
        return wr_str_eq_nocase(host, s);
    if (host.n < s.n + 1 || host.p[host.n - s.n - 1] != '.' ||
        !wr_str_eq_nocase(wr_str_skip(host, host.n - s.n), s))
        return false;
    ret_front->n = host.n - s.n - 1;
    return true;
}

static const struct provider *find_provider(struct wr_str authority)
{
    struct wr_str host, port, front;
    if (!wr_str_cut_last(authority, ':', &host, &port))
        host = authority;
    for (size_t i = 0; i < wr_countof(providers); i++)
        if (has_labels(host, providers[i].suffix, &front))
            return &providers[i];
    return NULL;
}

/* The last label of *s, which loses it. */
static struct wr_str pop_label(struct wr_str *s)
{
    struct wr_str head, tail;
    if (!wr_str_cut_last(*s, '.', &head, &tail)) {
        tail = *s;
        head = (struct wr_str){s->p, 0};
    }
    *s = head;
    return tail;
}

/* What follows the bucket and its dot in `host`. */
static struct wr_str without(struct wr_str host, struct wr_str bucket)
{
    return bucket.n > 0 ? wr_str_skip(host, bucket.n + 1) : host;
}

static bool from_provider(const struct provider *p, struct wr_str host, struct wr_s3_config *cfg)
{
    struct wr_str front;
    if (p->shape == SHAPE_NONE || !has_labels(host, p->suffix, &front))
        return false;
    if (p->shape != SHAPE_FIXED) {
        cfg->region = pop_label(&front);
        if (cfg->region.n == 0)
            return false;
    }
    if (p->shape == SHAPE_S3_REGION && !wr_str_eq_nocase(pop_label(&front), WR_STR("s3")))
        return false;
    cfg->bucket = front;
    cfg->authority = without(host, front);
    cfg->path_style = p->path_style;
    cfg->scheme = WR_STR("https");
    return true;
}

/* B.s3.amazonaws.com or B.s3.R.amazonaws.com */
static bool from_aws(struct wr_str host, struct wr_s3_config *cfg)
{
    struct wr_str front, region = {NULL, 0};
    if (!has_labels(host, "amazonaws.com", &front) && !has_labels(host, "amazonaws.com.cn", &front))
        return false;
    struct wr_str last = pop_label(&front);
    if (!wr_str_eq_nocase(last, WR_STR("s3"))) {
        region = last;
        if (!wr_str_eq_nocase(pop_label(&front), WR_STR("s3")))
            return false;
    }
    cfg->bucket = front;
    cfg->region = region;
    return front.n > 0;
}

static bool is_dns(struct wr_str s, const char *also)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '.' || (c != '\0' && strchr(also, c) != NULL);
        if (!ok)
            return false;
    }
    return s.n > 0;
}

/* arn:PARTITION:s3:REGION:ACCOUNT:accesspoint/NAME is the host NAME-ACCOUNT.s3-accesspoint... */
static enum wr_status from_arn(
    struct wr_arena *a, struct wr_str arn, struct wr_s3_config *cfg, struct wr_err *e)
{
    struct wr_str part[6], rest = arn, kind, name;
    for (size_t i = 0; i < wr_countof(part); i++)
        (void)wr_str_cut(rest, ':', &part[i], &rest);
    bool cut = wr_str_cut(part[5], '/', &kind, &name);
    if (!cut || rest.n > 0 || !wr_str_eq(part[2], WR_STR("s3")) || !is_dns(part[3], "") ||
        !is_dns(part[4], "") || !wr_str_eq(kind, WR_STR("accesspoint")) || !is_dns(name, ""))
        return wr_fail(e, WR_MISUSE, "invalid s3 access point arn: " WR_FMT, WR_ARG(arn));
    const char *cn = wr_str_eq(part[1], WR_STR("aws-cn")) ? ".cn" : "";
    cfg->region = part[3];
    cfg->bucket = wr_arena_fmt(a, WR_FMT "-" WR_FMT, WR_ARG(name), WR_ARG(part[4]));
    cfg->authority =
        wr_arena_fmt(a, "s3-accesspoint." WR_FMT ".amazonaws.com%s", WR_ARG(part[3]), cn);
    cfg->scheme = WR_STR("https");
    cfg->path_style = false;
    return cfg->bucket.p != NULL && cfg->authority.p != NULL
               ? WR_OK
               : wr_fail(e, WR_NOMEM, "out of memory for s3 settings");
}

static enum wr_status from_host(
    struct wr_arena *a, const struct wr_url *u, struct wr_s3_config *cfg, struct wr_err *e)
{
    struct wr_str rest;
    if (wr_str_starts(u->host, WR_STR("arn:"))) {
        struct wr_str name;
        (void)wr_str_cut(wr_str_skip(u->path, u->path.n > 0), '/', &name, &rest);
        struct wr_str arn = wr_arena_fmt(a, WR_FMT "/" WR_FMT, WR_ARG(u->host), WR_ARG(name));
        return arn.p != NULL ? from_arn(a, arn, cfg, e)
                             : wr_fail(e, WR_NOMEM, "out of memory for s3 settings");
    }
    if (from_aws(u->host, cfg))
        return WR_OK;
    for (size_t i = 0; i < wr_countof(providers); i++)
        if (from_provider(&providers[i], u->host, cfg))
            return WR_OK;
    cfg->bucket = u->host;
    if (u->port.n == 0)
        return WR_OK;
    if (!wr_str_cut(u->host, '.', &cfg->bucket, &rest) || rest.n == 0)
        return wr_fail(
            e, WR_MISUSE, "a host with a port is bucket.host:port; else set the option endpoint");
    cfg->authority = wr_arena_fmt(a, WR_FMT ":" WR_FMT, WR_ARG(rest), WR_ARG(u->port));
    cfg->scheme = WR_STR("http");
    cfg->path_style = true;
    return cfg->authority.p != NULL ? WR_OK : wr_fail(e, WR_NOMEM, "out of memory for s3 settings");
}

/* This machine and private networks, where nobody has certificates. */
static bool is_local(struct wr_str authority)
{
    struct wr_str host = wr_url_host(authority);
    uint8_t n[4];
    if (wr_url_ipv4(host, n))
        return n[0] == 127 || n[0] == 10 || (n[0] == 192 && n[1] == 168) ||
               (n[0] == 172 && n[1] >= 16 && n[1] <= 31);
    return wr_url_host_is_here(host) || wr_str_ends(host, WR_STR(".localhost")) ||
           wr_str_ends(host, WR_STR(".local"));
}

/* Whether it is an IP address, before which no name of a bucket can stand. */
static bool is_ip(struct wr_str authority)
{
    struct wr_str host, port, label;
    uint64_t number = 0;
    if (wr_str_starts(authority, WR_STR("[")))
        return true;
    (void)wr_str_cut(authority, ':', &host, &port);
    return wr_str_cut_last(host, '.', &host, &label) && wr_parse_u64(label, &number);
}

static bool is_path(struct wr_str s)
{
    return s.n == 0 || (is_dns(s, "/_~") && s.p[0] == '/');
}

/* host or host:port, where a host may be [an IPv6 address] */
static bool is_authority(struct wr_str s)
{
    struct wr_str host, port;
    uint64_t number = 0;
    if (!is_dns(s, ":[]_"))
        return false;
    if (wr_str_ends(s, WR_STR("]")) || !wr_str_cut_last(s, ':', &host, &port))
        return true;
    return host.n > 0 && wr_parse_u64(port, &number) && number <= UINT16_MAX;
}

/* [http[s]://]host[:port][/path] */
static enum wr_status set_endpoint(struct wr_str text, struct wr_s3_config *cfg, struct wr_err *e)
{
    struct wr_str rest = text;
    cfg->scheme = (struct wr_str){NULL, 0};
    if (wr_str_starts(text, WR_STR("http://")))
        cfg->scheme = WR_STR("http");
    else if (wr_str_starts(text, WR_STR("https://")))
        cfg->scheme = WR_STR("https");
    if (cfg->scheme.n > 0)
        rest = wr_str_skip(text, cfg->scheme.n + 3);
    while (wr_str_ends(rest, WR_STR("/")))
        rest.n--;
    const char *slash = rest.n > 0 ? memchr(rest.p, '/', rest.n) : NULL;
    size_t n = slash != NULL ? (size_t)(slash - rest.p) : rest.n;
    cfg->authority = (struct wr_str){rest.p, n};
    cfg->base_path = wr_str_skip(rest, n);
    if (!is_authority(cfg->authority) || !is_path(cfg->base_path))
        return wr_fail(e, WR_MISUSE, "endpoint is not [http[s]://]host[:port][/path]");
    if (cfg->scheme.n == 0)
        cfg->scheme = is_local(cfg->authority) ? WR_STR("http") : WR_STR("https");
    return WR_OK;
}

static int base64_digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

/* The 32 bytes of a base64 key: 43 digits and one '='. */
static bool decode_key(struct wr_str s, uint8_t out[SSEC_KEY_SIZE])
{
    uint32_t bits = 0;
    size_t n = 0;
    if (s.n != 44 || s.p[43] != '=')
        return false;
    for (size_t i = 0; i < 43; i++) {
        int digit = base64_digit(s.p[i]);
        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 != 0 && n < SSEC_KEY_SIZE)
            out[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    return n == SSEC_KEY_SIZE;
}

static enum wr_status set_encryption(
    const struct wr_settings *set, struct wr_arena *a, struct wr_s3_config *cfg, struct wr_err *e)
{
    uint8_t key[SSEC_KEY_SIZE], md5[WR_MD5_SIZE];
    char text[4 * ((WR_MD5_SIZE + 2) / 3) + 1];
    cfg->kms_key_id = wr_settings_str(set, "sse-kms-key-id");
    cfg->ssec_key = wr_settings_str(set, "sse-customer-key");
    struct wr_str algorithm = wr_settings_str(set, "sse-customer-algorithm");
    if (cfg->ssec_key.n == 0)
        return WR_OK;
    if (cfg->kms_key_id.n > 0)
        return wr_fail(e, WR_MISUSE, "sse-customer-key and sse-kms-key-id exclude each other");
    if (algorithm.n > 0 && !wr_str_eq(algorithm, WR_STR("AES256")))
        return wr_fail(e, WR_MISUSE, "sse-customer-algorithm must be AES256");
    if (!decode_key(cfg->ssec_key, key))
        return wr_fail(e, WR_MISUSE, "sse-customer-key must be 32 bytes in base64");
    if (wr_str_eq(cfg->scheme, WR_STR("http")) && !is_local(cfg->authority))
        return wr_fail(e, WR_MISUSE, "sse-customer-key needs an https endpoint");
    enum wr_status st = wr_md5((struct wr_bytes){key, sizeof(key)}, md5, e);
    if (st != WR_OK)
        return st;
    wr_base64(md5, sizeof(md5), text);
    cfg->ssec_md5 = wr_arena_str(a, wr_str(text));
    struct wr_str given = wr_settings_str(set, "sse-customer-key-md5");
    if (given.n > 0 && !wr_str_eq(given, wr_str(text)))
        return wr_fail(e, WR_MISUSE, "sse-customer-key-md5 is not that of sse-customer-key");
    return cfg->ssec_md5.p != NULL ? WR_OK : wr_fail(e, WR_NOMEM, "out of memory for s3 settings");
}

static enum wr_status set_limits(const struct wr_settings *set, const struct provider *p,
    struct wr_s3_config *cfg, struct wr_err *e)
{
    uint64_t parts = CONCURRENCY;
    if (wr_settings_has(set, "concurrency"))
        parts = wr_settings_u64(set, "concurrency");
    else if (p != NULL && p->concurrency > 0)
        parts = p->concurrency;
    if (parts < 1 || parts > 64)
        return wr_fail(e, WR_MISUSE, "concurrency must be 1 to 64");
    cfg->concurrency = (unsigned)parts;
    uint64_t part = wr_settings_u64(set, "part-size");
    if (part < WR_S3_PART_MIN || part > PART_MAX)
        return wr_fail(e, WR_MISUSE,
            "part size must be at least %zu bytes (5MiB; 5MB is less) and at most 5GiB",
            WR_S3_PART_MIN);
    return WR_OK;
}

static enum wr_status set_region(
    const struct wr_settings *set, struct wr_s3_config *cfg, struct wr_err *e)
{
    static const char *const variables[] = {"AWS_REGION", "AWS_DEFAULT_REGION"};
    struct wr_str given = wr_settings_str(set, "region");
    cfg->region_source = WR_SET_BY_URL;
    cfg->region_set = given.n > 0;
    if (given.n > 0)
        cfg->region = given;
    for (size_t i = 0; i < wr_countof(variables) && cfg->region.n == 0; i++) {
        cfg->region = wr_str(getenv(variables[i]));
        cfg->region_source = WR_SET_BY_ENV;
        cfg->region_env = variables[i];
    }
    if (cfg->region.n == 0) {
        cfg->region = WR_STR(DEFAULT_REGION);
        cfg->region_source = WR_SET_BY_INIT;
    }
    if (!is_dns(cfg->region, "_") || cfg->region.n >= sizeof(((struct wr_s3 *)0)->region))
        return wr_fail(e, WR_MISUSE, "region is not a name such as us-east-1");
    return WR_OK;
}

/* The endpoint that the environment names for all who name none; *ret_aws: as for all AWS tools,
 * which have the bucket in the host. */
static struct wr_str endpoint_of_env(struct wr_s3_config *cfg, bool *ret_aws)
{
    static const char *const names[] = {
        "LITESTREAM_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"};
    const char *ignore = getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    size_t n = ignore && wr_str_eq_nocase(wr_str(ignore), WR_STR("true")) ? 1 : wr_countof(names);
    for (size_t i = 0; i < n; i++) {
        struct wr_str text = wr_str(getenv(names[i]));
        if (text.n == 0)
            continue;
        *ret_aws = i > 0;
        cfg->endpoint_env = names[i];
        cfg->endpoint = text;
        break;
    }
    return cfg->endpoint;
}

static enum wr_status set_place(
    const struct wr_settings *set, struct wr_arena *a, struct wr_s3_config *cfg, struct wr_err *e)
{
    enum wr_status st = from_host(a, wr_settings_url(set), cfg, e);
    struct wr_str bucket = wr_settings_str(set, "bucket");
    if (st == WR_OK && wr_str_starts(bucket, WR_STR("arn:")))
        st = from_arn(a, bucket, cfg, e);
    else if (bucket.n > 0)
        cfg->bucket = bucket;
    struct wr_str endpoint = wr_settings_str(set, "endpoint");
    cfg->endpoint_set = endpoint.n > 0;
    cfg->bucket_set = bucket.n > 0;
    bool aws = false;
    if (endpoint.n == 0 && cfg->authority.n == 0)
        endpoint = endpoint_of_env(cfg, &aws);
    if (st == WR_OK && endpoint.n > 0) {
        cfg->path_style = true;
        st = set_endpoint(endpoint, cfg, e);
    }
    if (st != WR_OK)
        return st;
    if (!is_dns(cfg->bucket, "_"))
        return wr_fail(e, WR_MISUSE, "the URL names no bucket: s3://bucket/path");
    /* The certificate's wildcard covers one label: a bucket with dots does not fit in front. */
    struct wr_str label, more;
    if (cfg->authority.n == 0 || aws)
        cfg->path_style = wr_str_cut(cfg->bucket, '.', &label, &more);
    if (wr_settings_has(set, "force-path-style"))
        cfg->path_style = wr_settings_bool(set, "force-path-style");
    cfg->path_style = cfg->path_style || is_ip(cfg->authority);
    return WR_OK;
}

enum wr_status wr_s3_profile(
    const struct wr_settings *set, struct wr_arena *a, struct wr_s3_config *ret, struct wr_err *e)
{
    struct wr_s3_config cfg = {.scheme = WR_STR("https")};
    enum wr_status st = set_place(set, a, &cfg, e);
    if (st != WR_OK)
        return st;
    const struct provider *p = find_provider(cfg.authority);
    cfg.consistent = p != NULL && p->consistent;
    cfg.content_md5 = p == NULL || !p->no_md5;
    if (wr_settings_has(set, "require-content-md5"))
        cfg.content_md5 = wr_settings_bool(set, "require-content-md5");
    cfg.sign_payload = wr_settings_bool(set, "sign-payload");
    cfg.skip_verify = wr_settings_bool(set, "skip-verify");
    cfg.storage_class = wr_settings_str(set, "storage-class");
    cfg.ca_file = wr_settings_str(set, "ca-file");
    st = set_region(set, &cfg, e);
    if (st == WR_OK)
        st = set_limits(set, p, &cfg, e);
    if (st == WR_OK)
        st = set_encryption(set, a, &cfg, e);
    if (st == WR_OK)
        *ret = cfg;
    return st;
}

enum wr_status wr_s3_address(struct wr_arena *a, const struct wr_s3_config *cfg,
    struct wr_str region, struct wr_str key, struct wr_str *ret_host, struct wr_str *ret_path,
    struct wr_err *e)
{
    struct wr_buf path;
    struct wr_str authority = cfg->authority;
    if (authority.n == 0)
        authority = wr_arena_fmt(a, "s3." WR_FMT ".amazonaws.com%s", WR_ARG(region),
            wr_str_starts(region, WR_STR("cn-")) ? ".cn" : "");
    *ret_host = cfg->path_style
                    ? authority
                    : wr_arena_fmt(a, WR_FMT "." WR_FMT, WR_ARG(cfg->bucket), WR_ARG(authority));
    wr_buf_init(&path, (size_t)16 * 1024);
    wr_buf_str(&path, cfg->base_path);
    if (cfg->path_style)
        wr_buf_fmt(&path, "/" WR_FMT, WR_ARG(cfg->bucket));
    if (key.n > 0 || !cfg->path_style)
        wr_buf_byte(&path, '/');
    wr_url_encode(&path, key, true);
    *ret_path = wr_buf_status(&path) == WR_OK ? wr_arena_str(a, wr_buf_view(&path))
                                              : (struct wr_str){NULL, 0};
    wr_buf_release(&path);
    return authority.p != NULL && ret_host->p != NULL && ret_path->p != NULL
               ? WR_OK
               : wr_fail(e, WR_NOMEM, "out of memory for an address");
}
