/*
 * s3.c - the S3 driver: Amazon S3 and the many stores that speak its protocol.
 *
 *   list    GET ?list-type=2&prefix=&start-after=      1000 keys a page
 *   stat    HEAD
 *   get     GET with Range, always                     416 is "past the end"
 *   put     PUT                                        If-None-Match: * or If-Match on condition
 *   remove  POST ?delete                               1000 keys a request
 *
 * An object's time travels as x-amz-meta-litestream-timestamp, which only HEAD shows; listings have
 * the time of upload.
 *
 * Source: Amazon S3 API Reference. Knows no LTX; retries are the caller's.
 */
#include "base/crypto.h"
#include "base/mem.h"
#include "base/url.h"
#include "storage/drivers.h"
#include "storage/s3_int.h"

#define PAGE_MAX   ((size_t)8 << 20) /* bytes of a listing page: 1000 keys of 1024 bytes, escaped */
#define DELETE_MAX ((size_t)8 << 20)
#define AMAZONS    ".amazonaws.com"

static const struct wr_option s3_options[] = {
    {"bucket", WR_OPT_STR, NULL, NULL, "bucket or access point ARN, instead of the URL's"},
    {"region", WR_OPT_STR, NULL, NULL, "signing region; else from the URL, AWS_REGION, us-east-1"},
    {"endpoint", WR_OPT_STR, NULL, NULL,
        "[http[s]://]host[:port] of a compatible store; else LITESTREAM_S3_ENDPOINT, "
        "AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS"},
    {"access-key-id", WR_OPT_STR, NULL, NULL,
        "else as all AWS tools: the environment, ~/.aws, a role of where it runs"},
    {"secret-access-key", WR_OPT_SECRET, NULL, NULL, "goes with access-key-id"},
    {"session-token", WR_OPT_SECRET, NULL, NULL, "of temporary credentials"},
    {"profile", WR_OPT_STR, NULL, NULL,
        "section of ~/.aws/credentials or config, and no other keys; else AWS_PROFILE"},
    {"force-path-style", WR_OPT_BOOL, NULL, NULL, "bucket in the path instead of the host name"},
    {"skip-verify", WR_OPT_BOOL, NULL, "false", "accept any TLS certificate"},
    {"ca-file", WR_OPT_STR, "AWS_CA_BUNDLE", NULL, "PEM certificates to trust"},
    {"sign-payload", WR_OPT_BOOL, NULL, "true", "sign the SHA-256 of bodies"},
    {"require-content-md5", WR_OPT_BOOL, NULL, NULL, "send Content-MD5 with deletes"},
    {"part-size", WR_OPT_SIZE, NULL, "5MiB", "of multi-part uploads, 5MiB to 5GiB"},
    {"concurrency", WR_OPT_U64, NULL, NULL,
        "parts sent at once, 1 to 64; costs that many parts of memory; 4, R2: 2"},
    {"storage-class", WR_OPT_STR, NULL, NULL, "of new objects"},
    {"sse-kms-key-id", WR_OPT_STR, NULL, NULL, "encrypt new objects with this KMS key"},
    {"sse-customer-algorithm", WR_OPT_STR, NULL, NULL, "AES256"},
    {"sse-customer-key", WR_OPT_SECRET, NULL, NULL, "encrypt with these 32 bytes, in base64"},
    {"sse-customer-key-md5", WR_OPT_STR, NULL, NULL, "checked when given"},
    {NULL, WR_OPT_STR, NULL, NULL, NULL},
};

/* Where a bucket is, and nothing by which one gets in. */
static const char *const s3_place[] = {"bucket", "region", "endpoint", "force-path-style", NULL};

/* ---- open and close ---- */

static void s3_close(void *self)
{
    struct wr_s3 *s = self;
    if (s == NULL)
        return;
    if (!s->http_shared)
        wr_http_free(s->http);
    wr_awscreds_free(s->creds);
    wr_mutex_release(&s->mutex);
    wr_free(s->strings);
    wr_free(s);
}

static enum wr_status open_creds(struct wr_s3 *s, const struct wr_settings *set, struct wr_err *e)
{
    const struct wr_url *url = wr_settings_url(set);
    struct wr_awscreds_opts o = {
        .explicit = {wr_settings_str(set, "access-key-id"),
            wr_settings_str(set, "secret-access-key"), wr_settings_str(set, "session-token")},
        .profile = wr_settings_str(set, "profile"),
        .ca_file = s->cfg.ca_file};
    if (s->cfg.region_set && s->cfg.authority.n == 0) /* of another's region AWS knows nothing */
        o.region = s->cfg.region;
    if (o.explicit.access_key.n == 0 && o.explicit.secret_key.n == 0 && url->password.n > 0) {
        o.explicit.access_key = url->user;
        o.explicit.secret_key = url->password;
    }
    return wr_awscreds_new(&o, &s->creds, e);
}

/* The configuration with strings of its own, and no more than these take: there may be thousands of
 * us. The settings may go once open returns. */
static enum wr_status keep_config(
    struct wr_s3 *s, const struct wr_s3_config *from, struct wr_err *e)
{
    s->cfg = *from;
    struct wr_str *const strings[] = {&s->cfg.bucket, &s->cfg.region, &s->cfg.scheme,
        &s->cfg.authority, &s->cfg.base_path, &s->cfg.storage_class, &s->cfg.kms_key_id,
        &s->cfg.ca_file, &s->cfg.ssec_key, &s->cfg.ssec_md5, &s->cfg.endpoint};
    size_t size = 0, at = 0;
    for (size_t i = 0; i < wr_countof(strings); i++)
        size += strings[i]->n + 1;
    s->strings = wr_alloc(size);
    if (s->strings == NULL)
        return wr_fail(e, WR_NOMEM, "out of memory for s3 settings");
    for (size_t i = 0; i < wr_countof(strings); i++) {
        char *to = s->strings + at;
        if (strings[i]->n > 0)
            memcpy(to, strings[i]->p, strings[i]->n);
        to[strings[i]->n] = '\0';
        strings[i]->p = to;
        at += strings[i]->n + 1;
    }
    assert(s->cfg.region.n < sizeof(s->region));
    memcpy(s->region, s->cfg.region.p, s->cfg.region.n + 1);
    return WR_OK;
}

static struct wr_http_opts http_opts(const struct wr_s3 *s)
{
    return (struct wr_http_opts){.ca_file = s->cfg.ca_file.n > 0 ? s->cfg.ca_file.p : NULL,
        .skip_verify = s->cfg.skip_verify};
}

enum wr_status wr_s3_http(struct wr_s3 *s, struct wr_http **ret, struct wr_err *e)
{
    enum wr_status st = WR_OK;
    wr_mutex_lock(&s->mutex);
    if (s->http == NULL) {
        const struct wr_http_opts opts = http_opts(s);
        st = wr_http_new(&opts, &s->http, e);
    }
    *ret = s->http;
    wr_mutex_unlock(&s->mutex);
    return st;
}

static enum wr_status s3_share(void *self, struct wr_http_share *x, struct wr_err *e)
{
    struct wr_s3 *s = self;
    const struct wr_http_opts opts = http_opts(s);
    struct wr_http *http = NULL;
    enum wr_status st = wr_http_share_get(x, &opts, &http, e);
    if (st != WR_OK)
        return st;
    assert(s->http == NULL || s->http_shared); /* before the first request */
    s->http = http;
    s->http_shared = true;
    return WR_OK;
}

static enum wr_status s3_open(const struct wr_settings *set, void **self, struct wr_err *e)
{
    struct wr_s3_config cfg;
    struct wr_s3 *s = wr_alloc(sizeof(*s));
    if (s == NULL)
        return wr_fail(e, WR_NOMEM, "out of memory");
    struct wr_arena a;
    wr_arena_init(&a, (size_t)64 << 10);
    wr_mutex_init(&s->mutex);
    enum wr_status st = wr_s3_profile(set, &a, &cfg, e);
    if (st == WR_OK)
        st = keep_config(s, &cfg, e);
    wr_arena_release(&a);
    if (st == WR_OK)
        st = open_creds(s, set, e);
    if (st != WR_OK) {
        s3_close(s);
        return st;
    }
    *self = s;
    return WR_OK;
}

/* ---- list ---- */

/* Pass a page on. False when the caller has enough. */
static bool emit(const struct wr_s3_page *page, struct wr_str after, wr_list_fn *fn, void *arg)
{
    for (size_t i = 0; i < page->n; i++) {
        /* Some stores take start-after for "from", some ignore it. */
        if (wr_str_cmp(page->objects[i].key, after) <= 0)
            continue;
        if (!fn(arg, &page->objects[i]))
            return false;
    }
    return true;
}

static enum wr_status list_page(struct wr_s3 *s, struct wr_s3_talk *t, struct wr_str prefix,
    struct wr_str after, struct wr_str token, struct wr_s3_page *ret, struct wr_err *e)
{
    struct wr_s3_request r = {.method = "GET"};
    wr_s3_param(&r, WR_STR("list-type"), WR_STR("2"));
    wr_s3_param(&r, WR_STR("prefix"), prefix);
    if (after.n > 0)
        wr_s3_param(&r, WR_STR("start-after"), after);
    if (token.n > 0)
        wr_s3_param(&r, WR_STR("continuation-token"), token);
    enum wr_status st = wr_s3_do(s, t, &r, e);
    if (st == WR_OK)
        st = wr_s3_parse_page(&t->arena, wr_buf_bytes(&t->text), ret, e);
    return st;
}

static enum wr_status s3_list(void *self, struct wr_call *c, struct wr_str prefix,
    struct wr_str after, wr_list_fn *fn, void *arg, struct wr_err *e)
{
    struct wr_s3_talk t;
    struct wr_s3_page page;
    struct wr_buf token; /* outlives the page it came from */
    enum wr_status st;

    wr_s3_talk_init(&t, c, PAGE_MAX);
    wr_buf_init(&token, 4096);
    for (;;) {
        t.call.deadline_ms = c->deadline_ms; /* which `fn` may have moved */
        st = list_page(self, &t, prefix, after, wr_buf_view(&token), &page, e);
        if (st != WR_OK || !emit(&page, after, fn, arg) || !page.truncated)
            break;
        if (wr_str_eq(page.token, wr_buf_view(&token))) {
            st = wr_fail(e, WR_CORRUPT, "listing does not move on");
            break;
        }
        wr_buf_clear(&token);
        wr_buf_str(&token, page.token);
        st = wr_buf_status(&token);
        if (st != WR_OK) {
            st = wr_fail(e, st, "continuation token: %s", wr_status_text(st));
            break;
        }
        wr_arena_reset(&t.arena);
    }
    wr_buf_release(&token);
    wr_s3_talk_release(&t);
    return st;
}

/* ---- stat ---- */

enum wr_status wr_s3_describe(const struct wr_call *c, struct wr_str key, struct wr_str tag,
    struct wr_object *out, struct wr_err *e)
{
    out->key = wr_arena_str(c->scratch, key);
    out->version = wr_arena_str(c->scratch, tag);
    if (out->key.p == NULL || out->version.p == NULL)
        return wr_fail(e, WR_NOMEM, "out of memory for an object");
    return WR_OK;
}

enum wr_status wr_s3_stat(
    void *self, struct wr_call *c, struct wr_str key, struct wr_object *out, struct wr_err *e)
{
    struct wr_s3_talk t;
    struct wr_s3_request r = {.method = "HEAD", .key = key};
    struct wr_object o = {.size = 0};

    wr_s3_header_ssec(self, &r);
    wr_s3_talk_init(&t, c, WR_S3_TEXT_MAX);
    enum wr_status st = wr_s3_do(self, &t, &r, e);
    if (st != WR_OK)
        goto out;
    struct wr_str stored = wr_http_header(&t.resp, WR_S3_TIME_HEADER);
    if (!wr_parse_u64(wr_http_header(&t.resp, "content-length"), &o.size))
        st = wr_fail(e, WR_IO, "s3 HEAD: the answer has no length");
    else if (!wr_parse_time(stored, &o.time_ms) &&
             !wr_http_date(wr_http_header(&t.resp, "last-modified"), &o.time_ms))
        st = wr_fail(e, WR_IO, "s3 HEAD: the answer has no time");
    if (st == WR_OK)
        st = wr_s3_describe(c, key, wr_http_header(&t.resp, "etag"), &o, e);
    if (st == WR_OK)
        *out = o;
out:
    wr_s3_talk_release(&t);
    return st;
}

/* ---- get ---- */

/* "bytes 0-99/1234" */
static bool parse_content_range(struct wr_str s, uint64_t *ret_off, uint64_t *ret_total)
{
    struct wr_str unit, range, total, first, last;
    return wr_str_cut(s, ' ', &unit, &range) && wr_str_cut(range, '/', &range, &total) &&
           wr_str_cut(range, '-', &first, &last) && wr_parse_u64(first, ret_off) &&
           wr_parse_u64(total, ret_total);
}

/* Whether an answer to a ranged GET has all the bytes that it should. */
static enum wr_status check_range(
    const struct wr_http_resp *resp, uint64_t off, size_t n, struct wr_err *e)
{
    uint64_t start = 0, total = 0;
    if (resp->status == 200) {
        if (off > 0)
            return wr_fail(e, WR_UNSUPPORTED, "s3 GET: the store ignores Range");
        return WR_OK; /* the whole object, and it fitted */
    }
    if (!parse_content_range(wr_http_header(resp, "content-range"), &start, &total))
        return wr_fail(e, WR_IO, "s3 GET: the answer has no usable Content-Range");
    if (start != off || total < off || resp->into_n != wr_min((uint64_t)n, total - off))
        return wr_fail(e, WR_BUSY, "s3 GET: the answer is not the range asked for");
    return WR_OK;
}

static enum wr_status s3_get(void *self, struct wr_call *c, struct wr_str key, uint64_t off,
    void *buf, size_t n, size_t *got, struct wr_str *version, struct wr_err *e)
{
    struct wr_s3_talk t;
    struct wr_s3_request r = {.method = "GET", .key = key, .into = buf, .into_size = n};
    struct wr_object o;

    if (n == 0) {
        enum wr_status exists = wr_s3_stat(self, c, key, &o, e);
        *got = exists == WR_OK ? 0 : *got;
        if (exists == WR_OK && version)
            *version = o.version;
        return exists;
    }
    wr_s3_talk_init(&t, c, WR_S3_TEXT_MAX);
    struct wr_str range = wr_arena_fmt(
        &t.arena, "bytes=%llu-%llu", (unsigned long long)off, (unsigned long long)(off + n - 1));
    enum wr_status st;
    if (range.p == NULL) {
        st = wr_fail(e, WR_NOMEM, "out of memory for a request");
        goto out;
    }
    wr_s3_header(&r, WR_STR("range"), range);
    wr_s3_header_ssec(self, &r);
    st = wr_s3_do(self, &t, &r, e);
    if (st == WR_OK)
        st = check_range(&t.resp, off, n, e);
    else if (t.resp.status == 416)
        st = WR_OK; /* nothing was written to buf: into_n is 0 */
    if (st == WR_OK && version) {
        *version = wr_arena_str(c->scratch, wr_http_header(&t.resp, "etag"));
        if (!version->p)
            st = wr_fail(e, WR_NOMEM, "out of memory for an answer");
    }
    if (st == WR_OK)
        *got = t.resp.into_n;
out:
    wr_s3_talk_release(&t);
    return st;
}

/* ---- remove ---- */

static enum wr_status remove_one(
    struct wr_s3 *s, const struct wr_call *c, struct wr_str key, struct wr_err *e)
{
    struct wr_s3_talk t;
    const struct wr_s3_request r = {.method = "DELETE", .key = key};
    wr_s3_talk_init(&t, c, WR_S3_TEXT_MAX);
    enum wr_status st = wr_s3_do(s, &t, &r, e);
    wr_s3_talk_release(&t);
    if (st == WR_NOTFOUND)
        return WR_OK;
    return st == WR_OK ? st : wr_wrap(e, st, "delete " WR_FMT, WR_ARG(key));
}

static enum wr_status add_md5(struct wr_s3_talk *t, struct wr_s3_request *r, struct wr_err *e)
{
    uint8_t md5[WR_MD5_SIZE];
    char text[4 * ((WR_MD5_SIZE + 2) / 3) + 1];
    enum wr_status st = wr_md5(r->body, md5, e);
    if (st != WR_OK)
        return st;
    wr_base64(md5, sizeof(md5), text);
    struct wr_str kept = wr_arena_str(&t->arena, wr_str(text));
    if (kept.p == NULL)
        return wr_fail(e, WR_NOMEM, "out of memory for a request");
    wr_s3_header(r, WR_STR("content-md5"), kept);
    return WR_OK;
}

/* Up to WR_S3_BATCH keys in one request; failures of single keys come in a 200 answer. */
static enum wr_status remove_batch(
    struct wr_s3 *s, const struct wr_call *c, const struct wr_str *keys, size_t n, struct wr_err *e)
{
    struct wr_s3_talk t;
    struct wr_buf body;
    struct wr_s3_request r = {.method = "POST", .has_body = true};
    struct wr_s3_error failed;

    wr_s3_talk_init(&t, c, DELETE_MAX);
    wr_buf_init(&body, DELETE_MAX);
    wr_s3_put_delete(&body, keys, n);
    enum wr_status st = wr_buf_status(&body);
    if (st != WR_OK) {
        st = wr_fail(e, st, "delete request: %s", wr_status_text(st));
        goto out;
    }
    r.body = wr_buf_bytes(&body);
    wr_s3_param(&r, WR_STR("delete"), WR_STR(""));
    wr_s3_header(&r, WR_STR("content-type"), WR_STR("application/xml"));
    if (s->cfg.content_md5)
        st = add_md5(&t, &r, e);
    if (st == WR_OK)
        st = wr_s3_do(s, &t, &r, e);
    if (st == WR_OK)
        st = wr_s3_parse_deleted(&t.arena, wr_buf_bytes(&t.text), &failed, e);
    if (st == WR_OK && failed.code.n > 0) {
        st = wr_s3_fail(s, "delete", &t.resp, &failed, e);
        st = wr_wrap(e, st, "delete " WR_FMT, WR_ARG(failed.key));
    }
out:
    wr_buf_release(&body);
    wr_s3_talk_release(&t);
    return st;
}

static enum wr_status s3_remove(
    void *self, struct wr_call *c, const struct wr_str *keys, size_t n, struct wr_err *e)
{
    struct wr_s3 *s = self;
    enum wr_status st = WR_OK;
    for (size_t i = 0; i < n && st == WR_OK;) {
        size_t batch = wr_min(n - i, (size_t)WR_S3_BATCH);
        struct wr_err err = {.code = WR_OK};
        if (!atomic_load(&s->no_batch)) {
            st = remove_batch(s, c, keys + i, batch, &err);
            if (st == WR_UNSUPPORTED) {
                atomic_store(&s->no_batch, true);
                st = WR_OK;
                continue;
            }
        } else {
            batch = 1;
            st = remove_one(s, c, keys[i], &err);
        }
        if (st != WR_OK && e != NULL)
            *e = err;
        i += batch;
    }
    return st;
}

/* ---- tell and learnt ---- */

/* What is not, or not only, in the table of options. */
static void s3_tell(void *self, wr_setting_fn *fn, void *arg)
{
    struct wr_s3 *s = self;
    struct wr_setting region = {
        .name = "region", .source = s->cfg.region_source, .env = s->cfg.region_env};
    struct wr_setting creds = {.name = "credentials"}; /* its value stays here */
    char now[sizeof(s->region)];

    wr_mutex_lock(&s->mutex);
    memcpy(now, s->region, sizeof(now));
    wr_mutex_unlock(&s->mutex);
    region.value = wr_str(now);
    if (!s->cfg.region_set)
        fn(arg, &region);
    if (s->cfg.authority.n > 0 && !s->cfg.endpoint_set) {
        const struct wr_setting endpoint = {.name = "endpoint",
            .value = s->cfg.endpoint_env ? s->cfg.endpoint : s->cfg.authority,
            .source = s->cfg.endpoint_env ? WR_SET_BY_ENV : WR_SET_BY_URL,
            .env = s->cfg.endpoint_env};
        fn(arg, &endpoint);
    }
    if (!s->cfg.bucket_set) {
        const struct wr_setting bucket = {
            .name = "bucket", .value = s->cfg.bucket, .source = WR_SET_BY_URL};
        fn(arg, &bucket);
    }
    if (wr_awscreds_found(s->creds, &creds.env)) {
        creds.source = creds.env ? WR_SET_BY_ENV : WR_SET_BY_FILE;
        fn(arg, &creds);
    }
}

/* Amazon's buckets have names of their own everywhere, but for China's. */
static void s3_where(const void *self, struct wr_buf *out)
{
    const struct wr_s3_config *cfg = &((const struct wr_s3 *)self)->cfg;
    struct wr_str tail = cfg->authority;

    if (!cfg->endpoint_set && !cfg->endpoint_env)
        return; /* of the URL's host, or Amazon's */
    if (tail.n > strlen(AMAZONS))
        tail = wr_str_skip(tail, tail.n - strlen(AMAZONS));
    if (!wr_str_eq_nocase(tail, WR_STR(AMAZONS)))
        wr_buf_fmt(out, "?endpoint=" WR_FMT WR_FMT, WR_ARG(cfg->authority), WR_ARG(cfg->base_path));
}

static void s3_learnt(void *self, struct wr_storage_learnt *ret)
{
    struct wr_s3 *s = self;

    ret->dated = atomic_load(&s->dated);
    ret->skew_ms = atomic_load(&s->seen_ms);
    ret->no_condition = atomic_load(&s->no_condition);
    ret->no_match = atomic_load(&s->no_match);
}

const struct wr_storage_ops wr_storage_s3 = {
    .scheme = "s3",
    .caps = WR_STORAGE_COND_PUT | WR_STORAGE_HEX_LEVELS,
    .part_min = WR_S3_PART_MIN,
    .options = s3_options,
    .place = s3_place,
    .open = s3_open,
    .close = s3_close,
    .list = s3_list,
    .stat = wr_s3_stat,
    .get = s3_get,
    .put = wr_s3_put,
    .remove = s3_remove,
    .upload_begin = wr_s3_upload_begin,
    .upload_part = wr_s3_upload_part,
    .upload_give = wr_s3_upload_give,
    .upload_commit = wr_s3_upload_commit,
    .upload_abort = wr_s3_upload_abort,
    .tell = s3_tell,
    .learnt = s3_learnt,
    .where = s3_where,
    .share = s3_share,
};
