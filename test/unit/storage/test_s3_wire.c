/*
 * test_s3_wire.c - the S3 driver against a strict fake server: what is on the wire, what is learnt
 * from answers, and what is made of bad ones. Calls the driver itself, without storage.c's retries.
 */
#include "base/cancel.h"
#include "base/url.h"
#include "fake/s3d.h"
#include "harness/t.h"
#include "storage/drivers.h"
#include "storage/settings.h"
#include "storage/storage.h"

struct bench {
    struct s3d *d;
    struct httpd *h;
    struct wr_call *c;
    void *s;
};

#define OPS wr_storage_s3

static void open_with(struct bench *b, const char *const *more)
{
    const char *pairs[24] = {"access-key-id", S3D_ACCESS, "secret-access-key", S3D_SECRET};
    size_t n = 4;
    struct wr_url url = {0};
    struct wr_settings *set = NULL;
    struct wr_err e = {0};
    for (size_t i = 0; more != NULL && more[i] != NULL; i++)
        pairs[n++] = more[i];
    if (more != NULL && more[0] != NULL && strcmp(more[0], "secret-access-key") == 0) {
        pairs[3] = more[1];
        pairs[4] = NULL;
    }
    if (more != NULL && more[0] != NULL && strcmp(more[0], "profile") == 0) {
        pairs[0] = more[0];
        pairs[1] = more[1];
        pairs[2] = NULL;
    }
    T_OK(wr_url_parse(b->c->scratch, wr_str(s3d_url(b->d, "/p")), &url, &e));
    T_OK(wr_settings_parse(OPS.options, &url, pairs, &set, &e));
    T_OK(OPS.open(set, &b->s, &e));
    wr_settings_free(set); /* the driver keeps nothing of it */
}

static struct bench set_up(const char *const *more)
{
    struct bench b = {.d = s3d_start(), .c = t_call()};
    T(setenv("NO_PROXY", "*", 1) == 0);
    b.h = s3d_httpd(b.d);
    open_with(&b, more);
    return b;
}

static void tear_down(struct bench *b)
{
    OPS.close(b->s);
    s3d_stop(b->d);
}

static struct wr_bytes bytes(const char *z)
{
    return (struct wr_bytes){(const uint8_t *)z, strlen(z)};
}

static enum wr_status put(struct bench *b, const char *key, const char *text, struct wr_err *e)
{
    const struct wr_put_opts o = {.time_ms = 0};
    return OPS.put(b->s, b->c, wr_str(key), bytes(text), &o, NULL, e);
}

static enum wr_status stat(struct bench *b, const char *key, struct wr_err *e)
{
    struct wr_object o;
    return OPS.stat(b->s, b->c, wr_str(key), &o, e);
}

static enum wr_status get(
    struct bench *b, const char *key, uint64_t off, size_t n, struct wr_err *e)
{
    char buf[64];
    size_t got = 0;
    T(n <= sizeof(buf));
    return OPS.get(b->s, b->c, wr_str(key), off, buf, n, &got, e);
}

static bool count_one(void *arg, const struct wr_object *obj)
{
    (void)obj;
    ++*(size_t *)arg;
    return true;
}

static enum wr_status list(struct bench *b, const char *after, size_t *ret_n, struct wr_err *e)
{
    *ret_n = 0;
    return OPS.list(b->s, b->c, WR_STR("p/"), wr_str(after), count_one, ret_n, e);
}

static void reply(struct bench *b, const char *match, const char *raw)
{
    httpd_fault(b->h, &(struct httpd_fault){.kind = HTTPD_REPLY, .match = match, .reply = raw});
}

/* An answer with a body, in the call's scratch. */
static void reply_with(
    struct bench *b, const char *match, const char *status, const char *headers, const char *body)
{
    struct wr_str raw = wr_arena_fmt(b->c->scratch,
        "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n%s", status, headers, strlen(body), body);
    T(raw.p != NULL);
    reply(b, match, raw.p);
}

static struct wr_str error_body(struct bench *b, const char *code)
{
    return wr_arena_fmt(b->c->scratch,
        "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>so it is</Message></Error>", code);
}

/* ---- requests ---- */

static void puts_carry_time_and_class(void **state)
{
    static const char *const more[] = {
        "storage-class", "STANDARD_IA", "sse-kms-key-id", "key/1", NULL};
    struct bench b = set_up(more);
    struct wr_err e = {0};
    const struct wr_put_opts o = {.time_ms = 1795373671420};
    struct wr_object out = {0};
    (void)state;
    T_OK(OPS.put(b.s, b.c, WR_STR("p/a"), bytes("x"), &o, &out, &e));
    T(wr_str_eq(out.key, WR_STR("p/a")) && out.size == 1 && out.time_ms == o.time_ms);
    T(out.version.n == 34);
    T(httpd_count(b.h, "PUT /" S3D_BUCKET "/p/a HTTP/1.1\r\n") == 1);
    T(httpd_count(b.h, "x-amz-meta-litestream-timestamp: 2026-11-22T18:54:31.42Z\r\n") == 1);
    T(httpd_count(b.h, "x-amz-storage-class: STANDARD_IA\r\n") == 1);
    T(httpd_count(b.h, "x-amz-server-side-encryption: aws:kms\r\n") == 1);
    T(httpd_count(b.h, "x-amz-server-side-encryption-aws-kms-key-id: key/1\r\n") == 1);
    T(httpd_count(b.h, "content-type: application/octet-stream\r\n") == 1);
    T(httpd_count(b.h, "if-none-match") == 0);
    tear_down(&b);
}

static void customer_keys_go_with_every_object_request(void **state)
{
    static const char *const more[] = {
        "sse-customer-key", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", NULL};
    struct bench b = set_up(more);
    struct wr_err e = {0};
    size_t n;
    (void)state;
    T_OK(put(&b, "p/a", "x", &e));
    T_OK(get(&b, "p/a", 0, 1, &e));
    T_OK(stat(&b, "p/a", &e));
    T(httpd_count(b.h, "x-amz-server-side-encryption-customer-algorithm: AES256\r\n") == 3);
    T(httpd_count(b.h, "customer-key-md5: KYvwGXoFFJ42a2u2GDWhwQ==\r\n") == 3);
    T_OK(list(&b, "", &n, &e));
    T(httpd_count(b.h, "customer-key") == 3);
    tear_down(&b);
}

static void unsigned_payloads(void **state)
{
    static const char *const more[] = {"sign-payload", "false", NULL};
    struct bench b = set_up(more);
    struct wr_err e = {0};
    (void)state;
    T_OK(put(&b, "p/a", "x", &e));
    T(httpd_count(b.h, "x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n") == 1);
    tear_down(&b);
}

static void session_tokens(void **state)
{
    static const char *const more[] = {"session-token", "tok/EN+with=specials==", NULL};
    struct bench b = set_up(more);
    struct wr_err e = {0};
    (void)state;
    s3d_opts(b.d)->token = "tok/EN+with=specials==";
    T_OK(put(&b, "p/a", "x", &e));
    s3d_opts(b.d)->token = "another";
    T_IS(WR_AUTH, put(&b, "p/a", "x", &e));
    T(strstr(e.text, "renew") != NULL && strstr(e.text, "specials") == NULL);
    tear_down(&b);
}

static void gets_have_a_range(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    T_OK(put(&b, "p/a", "0123456789", &e));
    T_OK(get(&b, "p/a", 3, 4, &e));
    T(httpd_count(b.h, "range: bytes=3-6\r\n") == 1);
    T_OK(get(&b, "p/a", 10, 4, &e)); /* 416 */
    T_OK(get(&b, "p/a", 0, 0, &e));
    T_IS(WR_NOTFOUND, get(&b, "p/b", 0, 0, &e));
    T(httpd_count(b.h, "GET ") == httpd_count(b.h, "range: bytes="));
    tear_down(&b);
}

static void removes_are_batched(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    enum {
        N = 2001
    };
    struct wr_str *keys = wr_arena_array(b.c->scratch, N, sizeof(*keys));
    (void)state;
    for (size_t i = 0; i < N; i++)
        keys[i] = wr_arena_fmt(b.c->scratch, "p/&<%zu>\r\n", i);
    T_OK(put(&b, keys[0].p, "x", &e));
    T_OK(put(&b, keys[N - 1].p, "x", &e));
    T_OK(OPS.remove(b.s, b.c, keys, N, &e));
    T(s3d_objects(b.d) == 0);
    T(httpd_count(b.h, "?delete= HTTP/1.1\r\n") == 3);
    T(httpd_count(b.h, "content-md5: ") == 3);
    T(httpd_count(b.h, "DELETE ") == 0);
    OPS.close(b.s);
    static const char *const more[] = {"require-content-md5", "false", NULL};
    open_with(&b, more);
    T_OK(OPS.remove(b.s, b.c, keys, 1, &e));
    T(httpd_count(b.h, "content-md5: ") == 3);
    tear_down(&b);
}

static void a_key_that_stays_is_named(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    const struct wr_str keys[] = {WR_STR("p/a"), WR_STR("p/b"), WR_STR("p/c")};
    (void)state;
    for (size_t i = 0; i < 3; i++)
        T_OK(put(&b, keys[i].p, "x", &e));
    s3d_opts(b.d)->stuck = "p/b";
    T_IS(WR_AUTH, OPS.remove(b.s, b.c, keys, 3, &e));
    T(strstr(e.text, "p/b") != NULL && strstr(e.text, "AccessDenied") != NULL);
    T(s3d_objects(b.d) == 1);
    tear_down(&b);
}

static void stores_without_batches(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    const struct wr_str keys[] = {WR_STR("p/a"), WR_STR("p/none"), WR_STR("p/c")};
    (void)state;
    s3d_opts(b.d)->no_batch = true;
    T_OK(put(&b, "p/a", "x", &e));
    T_OK(put(&b, "p/c", "x", &e));
    T_OK(OPS.remove(b.s, b.c, keys, 3, &e));
    T_OK(OPS.remove(b.s, b.c, keys, 3, &e));
    T(s3d_objects(b.d) == 0);
    T(httpd_count(b.h, "POST ") == 1); /* asked once, remembered */
    T(httpd_count(b.h, "DELETE ") == 6);
    tear_down(&b);
}

static void pages_follow_tokens(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    size_t n = 0;
    (void)state;
    for (int i = 0; i < 10; i++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "p/&%d", i);
        T_OK(put(&b, key, "x", &e));
    }
    s3d_opts(b.d)->page_max = 3;
    T_OK(list(&b, "", &n, &e));
    T(n == 10);
    T(httpd_count(b.h, "?list-type=2&prefix=p%2F HTTP/1.1\r\n") == 1);
    T(httpd_count(b.h, "continuation-token=t%3Ap%2F%26") == 3);
    T_OK(list(&b, "p/&4", &n, &e));
    T(n == 5);
    T(httpd_count(b.h, "start-after=p%2F%264") == 2);
    s3d_opts(b.d)->ignore_start = true;
    T_OK(list(&b, "p/&4", &n, &e));
    T(n == 5);
    tear_down(&b);
}

/* ---- what is learnt from answers ---- */

static void the_region_is_learnt(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    s3d_opts(b.d)->region = "eu-central-1";
    T_OK(put(&b, "p/a", "x", &e));
    T(e.text[0] == '\0');
    T(httpd_count(b.h, "") == 2);
    T_OK(put(&b, "p/a", "x", &e));
    T(httpd_count(b.h, "") == 3);
    /* An answer to HEAD has no document; the region is in a header. */
    s3d_opts(b.d)->region = NULL;
    reply(&b, "HEAD",
        "HTTP/1.1 301 Moved\r\nx-amz-bucket-region: us-east-1\r\nContent-Length: 0\r\n\r\n");
    T_OK(stat(&b, "p/a", &e));
    /* A redirect to where we are already is the user's to solve. */
    reply(&b, "HEAD",
        "HTTP/1.1 301 Moved\r\nx-amz-bucket-region: us-east-1\r\nContent-Length: 0\r\n\r\n");
    T_IS(WR_MISUSE, stat(&b, "p/a", &e));
    T(strstr(e.text, "set region and endpoint") != NULL);
    tear_down(&b);
}

static void the_clock_is_learnt(void **state)
{
    static const long offs[] = {7200, -7200, 40000000};
    (void)state;
    for (size_t i = 0; i < wr_countof(offs); i++) {
        struct bench b = set_up(NULL);
        struct wr_err e = {0};
        s3d_opts(b.d)->clock_ahead_s = offs[i];
        T_OK(put(&b, "p/a", "x", &e));
        T(httpd_count(b.h, "") == 2);
        T_OK(put(&b, "p/a", "x", &e));
        T(httpd_count(b.h, "") == 3);
        tear_down(&b);
    }
}

static void a_clock_that_cannot_be_learnt(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    reply_with(&b, NULL, "403 No", "", error_body(&b, "RequestTimeTooSkewed").p);
    T_IS(WR_AUTH, put(&b, "p/a", "x", &e));
    T(strstr(e.text, "clock") != NULL);
    T(httpd_count(b.h, "") == 1);
    tear_down(&b);
}

static void renewed_credentials_are_found(void **state)
{
    static const char *const more[] = {"profile", "app", NULL};
    const char *path = t_path(t_tmpdir(), "credentials");
    static const char stale[] =
        "[app]\naws_access_key_id=" S3D_ACCESS "\naws_secret_access_key=old\n";
    static const char fresh[] =
        "[app]\naws_access_key_id=" S3D_ACCESS "\naws_secret_access_key=" S3D_SECRET "\n";
    struct wr_err e = {0};
    (void)state;
    T(setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1) == 0);
    T(unsetenv("AWS_ACCESS_KEY_ID") == 0 && unsetenv("LITESTREAM_ACCESS_KEY_ID") == 0);
    t_spew(path, stale, sizeof(stale) - 1);
    struct bench b = set_up(more);
    T_IS(WR_AUTH, put(&b, "p/a", "x", &e));
    t_spew(path, fresh, sizeof(fresh) - 1);
    T_OK(put(&b, "p/a", "x", &e));
    /* And when they are changed while in use, no call fails. */
    s3d_opts(b.d)->secret = "rotated";
    static const char rotated[] =
        "[app]\naws_access_key_id=" S3D_ACCESS "\naws_secret_access_key=rotated\n";
    t_spew(path, rotated, sizeof(rotated) - 1);
    T_OK(put(&b, "p/a", "x", &e));
    tear_down(&b);
}

static void a_wrong_secret_is_auth(void **state)
{
    static const char *const more[] = {"secret-access-key", "hush-hush", NULL};
    struct bench b = set_up(more);
    struct wr_err e = {0};
    size_t n;
    (void)state;
    T_IS(WR_AUTH, put(&b, "p/a", "x", &e));
    T(strstr(e.text, "SignatureDoesNotMatch") != NULL);
    T(strstr(e.text, "check secret-access-key") != NULL && strstr(e.text, "hush") == NULL);
    T_IS(WR_AUTH, stat(&b, "p/a", &e));
    T_IS(WR_AUTH, get(&b, "p/a", 0, 1, &e));
    T_IS(WR_AUTH, list(&b, "", &n, &e));
    T(httpd_count(b.h, "") == 4); /* explicit keys do not change: no second try */
    tear_down(&b);
}

/* A missing bucket must never pass for an empty one. */
static void a_missing_bucket_is_misuse(void **state)
{
    static const char *const more[] = {"bucket", "other-bucket", NULL};
    struct bench b = set_up(more);
    struct wr_err e = {0};
    struct wr_upload *u = NULL;
    const struct wr_put_opts o = {.if_absent = true};
    const struct wr_str key = WR_STR("p/a");
    size_t n;
    (void)state;
    T_IS(WR_MISUSE, stat(&b, "p/a", &e));
    T(strstr(e.text, "bucket other-bucket does not exist") != NULL);
    T_IS(WR_MISUSE, get(&b, "p/a", 0, 1, &e));
    T_IS(WR_MISUSE, get(&b, "p/a", 0, 0, &e));
    T_IS(WR_MISUSE, list(&b, "", &n, &e));
    T_IS(WR_MISUSE, put(&b, "p/a", "x", &e));
    T_IS(WR_MISUSE, OPS.put(b.s, b.c, key, bytes("x"), &o, NULL, &e));
    T_IS(WR_MISUSE, OPS.remove(b.s, b.c, &key, 1, &e));
    T_IS(WR_MISUSE, OPS.upload_begin(b.s, b.c, key, &o, &u, &e));
    tear_down(&b);
}

/* The bucket is asked for once: a HEAD of a missing key costs one request from then on. */
static void a_seen_bucket_is_not_asked_for(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    T_IS(WR_NOTFOUND, stat(&b, "p/a", &e));
    T(httpd_count(b.h, "") == 2);
    T_IS(WR_NOTFOUND, stat(&b, "p/a", &e));
    T(httpd_count(b.h, "") == 3);
    tear_down(&b);
}

/* ---- conditions ---- */

static void conditions(struct bench *b)
{
    struct wr_err e = {0};
    struct wr_object first = {0}, second = {0};
    const struct wr_put_opts absent = {.if_absent = true};
    T_OK(OPS.put(b->s, b->c, WR_STR("p/a"), bytes("1"), &absent, &first, &e));
    T_IS(WR_CONFLICT, OPS.put(b->s, b->c, WR_STR("p/a"), bytes("2"), &absent, NULL, &e));
    const struct wr_put_opts match = {.if_match = first.version};
    T_OK(OPS.put(b->s, b->c, WR_STR("p/a"), bytes("2"), &match, &second, &e));
    T(!wr_str_eq(first.version, second.version));
    T_IS(WR_CONFLICT, OPS.put(b->s, b->c, WR_STR("p/a"), bytes("3"), &match, NULL, &e));
    T_IS(WR_CONFLICT, OPS.put(b->s, b->c, WR_STR("p/gone"), bytes("3"), &match, NULL, &e));
    T(s3d_objects(b->d) == 1);
}

static void conditions_by_header(void **state)
{
    struct bench b = set_up(NULL);
    (void)state;
    conditions(&b);
    T(httpd_count(b.h, "if-none-match: *\r\n") == 2);
    T(httpd_count(b.h, "HEAD ") == 0);
    tear_down(&b);
}

static void conditions_with_bare_tags(void **state)
{
    struct bench b = set_up(NULL);
    (void)state;
    s3d_opts(b.d)->bare_tags = true;
    conditions(&b);
    tear_down(&b);
}

static void conditions_by_head(void **state)
{
    struct bench b = set_up(NULL);
    (void)state;
    s3d_opts(b.d)->no_condition = true;
    conditions(&b);
    T(httpd_count(b.h, "if-none-match: *\r\n") == 1); /* asked once, remembered */
    T(httpd_count(b.h, "if-match") == 0);
    tear_down(&b);
}

/* ---- bad answers ---- */

static void error_answers(void **state)
{
    static const struct {
        const char *status, *code;
        enum wr_status st;
    } table[] = {{"503 Slow", "SlowDown", WR_BUSY}, {"500 E", "InternalError", WR_BUSY},
        {"503 X", "", WR_BUSY}, {"429 X", "", WR_BUSY}, {"400 X", "RequestTimeout", WR_BUSY},
        {"403 X", "AccessDenied", WR_AUTH}, {"403 X", "", WR_AUTH},
        {"403 X", "InvalidAccessKeyId", WR_AUTH}, {"400 X", "ExpiredToken", WR_AUTH},
        {"404 X", "NoSuchKey", WR_NOTFOUND}, {"404 X", "NoSuchBucket", WR_MISUSE},
        {"409 X", "ConditionalRequestConflict", WR_CONFLICT},
        {"409 X", "OperationAborted", WR_BUSY}, {"412 X", "PreconditionFailed", WR_CONFLICT},
        {"413 X", "EntityTooLarge", WR_LIMIT}, {"418 X", "", WR_IO},
        {"400 X", "XAmzContentSHA256Mismatch", WR_BUSY}, {"502 X", "", WR_BUSY},
        {"301 X", "PermanentRedirect", WR_MISUSE}};
    struct bench b = set_up(NULL);
    (void)state;
    for (size_t i = 0; i < wr_countof(table); i++) {
        struct wr_err e = {0};
        httpd_forget(b.h);
        reply_with(&b, "PUT", table[i].status, "",
            table[i].code[0] != '\0' ? error_body(&b, table[i].code).p : "<html>a proxy</html>");
        T_IS(table[i].st, put(&b, "p/a", "x", &e));
        T(strstr(e.text, table[i].code) != NULL || strcmp(table[i].code, "NoSuchBucket") == 0);
        T(httpd_count(b.h, "") == 1);
    }
    tear_down(&b);
}

static void a_put_without_tag_is_no_success(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    reply_with(&b, "PUT", "200 OK", "", "");
    T_IS(WR_IO, put(&b, "p/a", "x", &e));
    T(strstr(e.text, "no ETag") != NULL);
    tear_down(&b);
}

static void ranges_are_checked(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    reply_with(&b, "GET", "200 OK", "", "0123");
    T_OK(get(&b, "p/a", 0, 10, &e)); /* the whole object is what was asked for */
    reply_with(&b, "GET", "200 OK", "", "0123");
    T_IS(WR_UNSUPPORTED, get(&b, "p/a", 1, 10, &e));
    reply_with(&b, "GET", "200 OK", "", "0123456789");
    T_IS(WR_LIMIT, get(&b, "p/a", 0, 9, &e));
    reply_with(&b, "GET", "206 Part", "", "0123");
    T_IS(WR_IO, get(&b, "p/a", 0, 4, &e));
    reply_with(&b, "GET", "206 Part", "Content-Range: bytes 0-3/*\r\n", "0123");
    T_IS(WR_IO, get(&b, "p/a", 0, 4, &e));
    reply_with(&b, "GET", "206 Part", "Content-Range: bytes 1-4/10\r\n", "1234");
    T_IS(WR_BUSY, get(&b, "p/a", 0, 4, &e));
    reply_with(&b, "GET", "206 Part", "Content-Range: bytes 0-3/10\r\n", "0123");
    T_IS(WR_BUSY, get(&b, "p/a", 0, 5, &e)); /* fewer bytes than there are */
    reply_with(&b, "GET", "206 Part", "Content-Range: bytes 0-3/4\r\n", "0123");
    T_OK(get(&b, "p/a", 0, 5, &e));
    tear_down(&b);
}

static void heads_are_checked(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    struct wr_object o = {0};
    (void)state;
    reply(&b, "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n");
    T_IS(WR_IO, stat(&b, "p/a", &e));
    reply(&b, "HEAD",
        "HTTP/1.1 200 OK\r\nETag: \"x\"\r\nTransfer-Encoding: chunked\r\n"
        "Last-Modified: Sun, 22 Nov 2026 18:54:31 GMT\r\n\r\n");
    T_IS(WR_IO, stat(&b, "p/a", &e));
    /* The user's time is worth more than the store's; one that cannot be read is worth nothing. */
    reply(&b, "HEAD",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"x\"\r\n"
        "x-amz-meta-litestream-timestamp: 2026-11-20T00:00:00.5Z\r\n"
        "Last-Modified: Sun, 22 Nov 2026 18:54:31 GMT\r\n\r\n");
    T_OK(OPS.stat(b.s, b.c, WR_STR("p/a"), &o, &e));
    T(o.size == 5 && o.time_ms == 1795132800500 && wr_str_eq(o.version, WR_STR("\"x\"")));
    reply(&b, "HEAD",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"x\"\r\n"
        "x-amz-meta-litestream-timestamp: once\r\n"
        "Last-Modified: Sun, 22 Nov 2026 18:54:31 GMT\r\n\r\n");
    T_OK(OPS.stat(b.s, b.c, WR_STR("p/a"), &o, &e));
    T(o.time_ms == 1795373671000);
    tear_down(&b);
}

#define ENTRY(key)                                                                                \
    "<Contents><Key>" key "</Key><Size>1</Size><LastModified>2026-11-22T18:54:31Z</LastModified>" \
    "</Contents>"
#define LISTING(body) "<ListBucketResult>" body "</ListBucketResult>"

static void bad_listings_are_corrupt(void **state)
{
    static const char *const bodies[] = {"", "<html>hello</html>", "<ListBucketResult>",
        LISTING("<IsTruncated>true</IsTruncated>"), LISTING("<IsTruncated>maybe</IsTruncated>"),
        "<!DOCTYPE x [<!ENTITY a \"b\">]>" LISTING(""),
        LISTING("<Contents><Key>p/a</Key><Size>1</Size></Contents>"),
        LISTING("<Contents><Size>1</Size></Contents>"),
        LISTING("<Contents><Key>p/a</Key><Size>-1</Size></Contents>"),
        "<Error><Code>SlowDown</Code></Error>"};
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    size_t n;
    (void)state;
    for (size_t i = 0; i < wr_countof(bodies); i++) {
        reply_with(&b, "GET", "200 OK", "", bodies[i]);
        T_IS(WR_CORRUPT, list(&b, "", &n, &e));
        T(n == 0);
    }
    reply_with(&b, "GET", "200 OK", "", LISTING(ENTRY("p/a")));
    T_OK(list(&b, "", &n, &e));
    T(n == 1);
    /* A token that leads to itself. */
    for (int i = 0; i < 2; i++)
        reply_with(&b, "GET", "200 OK", "",
            LISTING("<IsTruncated>true</IsTruncated>"
                    "<NextContinuationToken>same</NextContinuationToken>"));
    T_IS(WR_CORRUPT, list(&b, "", &n, &e));
    T(strstr(e.text, "does not move on") != NULL);
    tear_down(&b);
}

/* ---- uploads ---- */

static enum wr_status upload(
    struct bench *b, const struct wr_put_opts *o, unsigned parts, struct wr_err *e)
{
    struct wr_upload *u = NULL;
    enum wr_status st = OPS.upload_begin(b->s, b->c, WR_STR("p/up"), o, &u, e);
    for (unsigned i = 0; i < parts && st == WR_OK; i++) {
        char text[24];
        (void)snprintf(text, sizeof(text), "part-%04u,", i);
        st = OPS.upload_part(u, b->c, bytes(text), e);
        memset(text, '#', sizeof(text)); /* the part was the driver's only until now */
    }
    if (st == WR_OK)
        return OPS.upload_commit(u, b->c, NULL, e);
    if (u != NULL)
        OPS.upload_abort(u, b->c);
    return st;
}

static const struct wr_put_opts plain;

static void expect_uploaded(struct bench *b, unsigned parts)
{
    struct wr_err e = {0};
    size_t got = 0, n = (size_t)parts * 10;
    char *p = wr_arena_alloc(b->c->scratch, n + 1);
    T(p != NULL);
    T_OK(OPS.get(b->s, b->c, WR_STR("p/up"), 0, p, n + 1, &got, &e));
    T(got == n);
    for (unsigned i = 0; i < parts; i++) {
        char text[24];
        (void)snprintf(text, sizeof(text), "part-%04u,", i);
        T(memcmp(p + (size_t)i * 10, text, 10) == 0);
    }
    T(s3d_uploads(b->d) == 0);
}

static void parts_arrive_in_order(void **state)
{
    static const char *const few[] = {"concurrency", "1", NULL};
    static const char *const many[] = {"concurrency", "7", NULL};
    static const unsigned counts[] = {1, 2, 3, 7, 8, 40, 150};
    struct wr_err e = {0};
    (void)state;
    for (int k = 0; k < 3; k++) {
        struct bench b = set_up(k == 0 ? few : k == 1 ? many : NULL);
        s3d_opts(b.d)->part_min = 1;
        for (size_t i = 0; i < wr_countof(counts); i++) {
            T_OK(upload(&b, &plain, counts[i], &e));
            expect_uploaded(&b, counts[i]);
        }
        tear_down(&b);
    }
}

static void an_upload_without_parts_is_an_empty_object(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    T_OK(upload(&b, &plain, 0, &e));
    expect_uploaded(&b, 0);
    tear_down(&b);
}

static void small_parts_are_explained(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    T_IS(WR_MISUSE, upload(&b, &plain, 2, &e));
    T(strstr(e.text, "part-size") != NULL);
    T(s3d_uploads(b.d) == 0 && s3d_objects(b.d) == 0);
    tear_down(&b);
}

static void lost_parts_are_sent_again(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    s3d_opts(b.d)->part_min = 1;
    httpd_fault(b.h, &(struct httpd_fault){.kind = HTTPD_LOST, .match = "partNumber=1&"});
    struct wr_str slow =
        wr_arena_fmt(b.c->scratch, "HTTP/1.1 503 Slow\r\nContent-Length: %zu\r\n\r\n%s",
            error_body(&b, "SlowDown").n, error_body(&b, "SlowDown").p);
    reply(&b, "partNumber=2&", slow.p);
    T_OK(upload(&b, &plain, 3, &e));
    expect_uploaded(&b, 3);
    T(httpd_count(b.h, "partNumber=1&") == 2 && httpd_count(b.h, "partNumber=2&") == 2);
    tear_down(&b);
}

static void a_part_that_fails_ends_the_upload(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    s3d_opts(b.d)->part_min = 1;
    struct wr_str body = error_body(&b, "AccessDenied");
    struct wr_str no = wr_arena_fmt(
        b.c->scratch, "HTTP/1.1 403 No\r\nContent-Length: %zu\r\n\r\n%s", body.n, body.p);
    httpd_fault(
        b.h, &(struct httpd_fault){
                 .kind = HTTPD_REPLY, .match = "partNumber=2&", .times = 100, .reply = no.p});
    T_IS(WR_AUTH, upload(&b, &plain, 20, &e));
    T(strstr(e.text, "part 2") != NULL && strstr(e.text, "AccessDenied") != NULL);
    T(s3d_uploads(b.d) == 0 && s3d_objects(b.d) == 0);
    tear_down(&b);
}

static void errors_inside_a_200_are_errors(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    s3d_opts(b.d)->part_min = 1;
    reply_with(
        &b, "POST /" S3D_BUCKET "/p/up?uploadId", "200 OK", "", error_body(&b, "InternalError").p);
    T_OK(upload(&b, &plain, 2, &e)); /* which is transient, and sent again */
    expect_uploaded(&b, 2);
    reply_with(
        &b, "POST /" S3D_BUCKET "/p/up?uploadId", "200 OK", "", error_body(&b, "AccessDenied").p);
    T_IS(WR_AUTH, upload(&b, &plain, 3, &e));
    expect_uploaded(&b, 2);
    reply_with(&b, "POST /" S3D_BUCKET "/p/up?uploadId", "200 OK", "", "<nothing/>");
    T_IS(WR_CORRUPT, upload(&b, &plain, 3, &e));
    expect_uploaded(&b, 2);
    tear_down(&b);
}

/* The first commit took effect; its repetition finds no upload. Only the caller can see from the
 * object that this was success. */
static void a_lost_commit_is_busy(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    s3d_opts(b.d)->part_min = 1;
    httpd_fault(b.h, &(struct httpd_fault){.kind = HTTPD_LOST, .match = "/p/up?uploadId="});
    T_IS(WR_BUSY, upload(&b, &plain, 2, &e));
    T(strstr(e.text, "answer was lost") != NULL);
    expect_uploaded(&b, 2);
    tear_down(&b);
}

static void conditional_commits(void **state)
{
    const struct wr_put_opts absent = {.if_absent = true};
    (void)state;
    for (int k = 0; k < 3; k++) {
        struct bench b = set_up(NULL);
        struct wr_err e = {0};
        struct wr_object o = {0};
        s3d_opts(b.d)->part_min = 1;
        s3d_opts(b.d)->commit_ignores = k == 1;
        s3d_opts(b.d)->no_condition = k == 2;
        T_OK(upload(&b, &absent, 2, &e));
        expect_uploaded(&b, 2);
        T_IS(WR_CONFLICT, upload(&b, &absent, 3, &e));
        expect_uploaded(&b, 2);
        T_OK(OPS.stat(b.s, b.c, WR_STR("p/up"), &o, &e));
        const struct wr_put_opts match = {.if_match = o.version};
        T_OK(upload(&b, &match, 4, &e));
        expect_uploaded(&b, 4);
        T_IS(WR_CONFLICT, upload(&b, &match, 5, &e));
        expect_uploaded(&b, 4);
        tear_down(&b);
    }
}

/* Parts in flight are given up at once, and the server is told even if the caller was canceled. */
static void abort_stops_parts_and_cleans_up(void **state)
{
    (void)state;
    for (int canceled = 0; canceled < 2; canceled++) {
        struct bench b = set_up(NULL);
        struct wr_err e = {0};
        struct wr_upload *u = NULL;
        struct wr_cancel token;
        wr_cancel_init(&token);
        b.c->cancel = &token;
        httpd_fault(
            b.h, &(struct httpd_fault){.kind = HTTPD_STALL, .match = "partNumber", .times = 9});
        T_OK(OPS.upload_begin(b.s, b.c, WR_STR("p/up"), &plain, &u, &e));
        T_OK(OPS.upload_part(u, b.c, bytes("one"), &e));
        T_OK(OPS.upload_part(u, b.c, bytes("two"), &e));
        httpd_await(b.h, "partNumber=1&");
        httpd_await(b.h, "partNumber=2&");
        T(s3d_uploads(b.d) == 1);
        if (canceled)
            wr_cancel_now(&token);
        int64_t start = wr_mono_ms(b.c->clock);
        OPS.upload_abort(u, b.c);
        T(wr_mono_ms(b.c->clock) - start < 30000); /* far below the stall limit */
        T(s3d_uploads(b.d) == 0);
        b.c->cancel = NULL;
        wr_cancel_release(&token);
        tear_down(&b);
    }
}

/* A canceled commit ends while its parts stall. */
static void cancel_stops_a_commit(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    struct wr_upload *u = NULL;
    struct wr_cancel token;
    (void)state;
    wr_cancel_init(&token);
    b.c->cancel = &token;
    httpd_fault(b.h, &(struct httpd_fault){.kind = HTTPD_STALL, .match = "partNumber", .times = 9});
    T_OK(OPS.upload_begin(b.s, b.c, WR_STR("p/up"), &plain, &u, &e));
    T_OK(OPS.upload_part(u, b.c, bytes("one"), &e));
    httpd_await(b.h, "partNumber=1&");
    wr_cancel_now(&token);
    T_IS(WR_CANCELED, OPS.upload_commit(u, b.c, NULL, &e));
    T(s3d_uploads(b.d) == 0 && s3d_objects(b.d) == 0);
    b.c->cancel = NULL;
    wr_cancel_release(&token);
    tear_down(&b);
}

/* Somebody creates the object between our look and our commit. */
static void a_race_lost_at_commit_is_a_conflict(void **state)
{
    const struct wr_put_opts absent = {.if_absent = true};
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    s3d_opts(b.d)->part_min = 1;
    T_OK(upload(&b, &plain, 2, &e));
    reply(&b, "HEAD", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    T_IS(WR_CONFLICT, upload(&b, &absent, 3, &e));
    expect_uploaded(&b, 2);
    tear_down(&b);
}

/* ---- memory ---- */

static enum wr_status sweep_body(void *arg)
{
    struct bench *outer = arg, b = {.d = outer->d, .h = outer->h, .c = t_call()};
    const struct wr_put_opts o = {.time_ms = 1, .if_absent = true};
    const struct wr_str key = WR_STR("p/a");
    struct wr_settings *set = NULL;
    struct wr_url url = {0};
    struct wr_object out;
    size_t n;
    char endpoint[64];
    (void)snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%u", httpd_port(b.h));
    const char *const pairs[] = {"access-key-id", S3D_ACCESS, "secret-access-key", S3D_SECRET,
        "concurrency", "2", "endpoint", endpoint, NULL};
    enum wr_status st = wr_url_parse(b.c->scratch, WR_STR("s3://" S3D_BUCKET "/p"), &url, NULL);
    if (st == WR_OK)
        st = wr_settings_parse(OPS.options, &url, pairs, &set, NULL);
    if (st == WR_OK)
        st = OPS.open(set, &b.s, NULL);
    wr_settings_free(set);
    if (st != WR_OK)
        return st;
    st = OPS.remove(b.s, b.c, &key, 1, NULL);
    if (st == WR_OK)
        st = OPS.put(b.s, b.c, key, bytes("x"), &o, &out, NULL);
    if (st == WR_OK)
        st = OPS.stat(b.s, b.c, key, &out, NULL);
    if (st == WR_OK)
        st = get(&b, "p/a", 0, 1, NULL);
    if (st == WR_OK)
        st = list(&b, "", &n, NULL);
    if (st == WR_OK)
        st = upload(&b, &plain, 3, NULL);
    OPS.close(b.s);
    return st;
}

static void out_of_memory(void **state)
{
    struct bench b = set_up(NULL);
    (void)state;
    s3d_opts(b.d)->part_min = 1;
    t_sweep_nomem(sweep_body, &b);
    tear_down(&b);
}

T_MAIN(T_TEST(puts_carry_time_and_class), T_TEST(customer_keys_go_with_every_object_request),
    T_TEST(unsigned_payloads), T_TEST(session_tokens), T_TEST(gets_have_a_range),
    T_TEST(removes_are_batched), T_TEST(a_key_that_stays_is_named), T_TEST(stores_without_batches),
    T_TEST(pages_follow_tokens), T_TEST(the_region_is_learnt), T_TEST(the_clock_is_learnt),
    T_TEST(a_clock_that_cannot_be_learnt), T_TEST(renewed_credentials_are_found),
    T_TEST(a_wrong_secret_is_auth), T_TEST(a_missing_bucket_is_misuse),
    T_TEST(a_seen_bucket_is_not_asked_for), T_TEST(conditions_by_header),
    T_TEST(conditions_with_bare_tags), T_TEST(conditions_by_head), T_TEST(error_answers),
    T_TEST(a_put_without_tag_is_no_success), T_TEST(ranges_are_checked), T_TEST(heads_are_checked),
    T_TEST(bad_listings_are_corrupt), T_TEST(parts_arrive_in_order),
    T_TEST(an_upload_without_parts_is_an_empty_object), T_TEST(small_parts_are_explained),
    T_TEST(lost_parts_are_sent_again), T_TEST(a_part_that_fails_ends_the_upload),
    T_TEST(errors_inside_a_200_are_errors), T_TEST(a_lost_commit_is_busy),
    T_TEST(conditional_commits), T_TEST(abort_stops_parts_and_cleans_up),
    T_TEST(cancel_stops_a_commit), T_TEST(a_race_lost_at_commit_is_a_conflict),
    T_TEST(out_of_memory))
