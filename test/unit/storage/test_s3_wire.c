/*
 * test_s3_wire.c - the S3 driver against a strict fake server: what is on the wire, what is learnt
 * from answers, and what is made of bad ones. Uploads have a file of their own.
 */
#include "base/mem.h"
#include "net/http_share.h"
#include "unit/storage/s3_bench.h"

#include <unistd.h>

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

static void write_token(const char *path, const char *token)
{
    char text[300];
    (void)snprintf(text, sizeof(text),
        "[app]\naws_access_key_id=%s\naws_secret_access_key=%s\naws_session_token=%s\n", S3D_ACCESS,
        S3D_SECRET, token);
    t_spew(path, text, strlen(text));
}

/* A HEAD's answer has no body: S3 says 400 of a token that has expired, and nothing else. */
static void an_expired_token_was_a_bad_request(void **state)
{
    static const char *const more[] = {"profile", "app", NULL};
    const char *path = t_path(t_tmpdir(), "credentials");
    struct wr_err e = {0};
    (void)state;
    T(setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1) == 0);
    T(unsetenv("AWS_ACCESS_KEY_ID") == 0 && unsetenv("LITESTREAM_ACCESS_KEY_ID") == 0);
    write_token(path, "first");
    struct bench b = set_up(more);
    s3d_opts(b.d)->token = "first";
    T_OK(put(&b, "p/a", "x", &e));
    s3d_opts(b.d)->token = "second";
    write_token(path, "second");
    httpd_forget(b.h);
    T_OK(stat(&b, "p/a", &e));
    T(httpd_count(b.h, "HEAD ") == 2);

    /* It may mean anything else: it is asked once more, and the keys stay if there are no others.
     */
    httpd_forget(b.h);
    T(unlink(path) == 0);
    httpd_fault(b.h, &(struct httpd_fault){.kind = HTTPD_REPLY,
                         .match = "HEAD",
                         .times = 2,
                         .reply = "HTTP/1.1 400 Bad Request\r\nContent-Length: 99\r\n\r\n"});
    T(stat(&b, "p/a", &e) != WR_OK && strstr(e.text, "400"));
    T_OK(stat(&b, "p/a", &e));
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
    struct wr_storage_learnt learnt = {0};
    struct bench b = set_up(NULL);
    (void)state;
    s3d_opts(b.d)->no_condition = true;
    conditions(&b);
    T(httpd_count(b.h, "if-none-match: *\r\n") == 1); /* asked once, remembered */
    T(httpd_count(b.h, "if-match") == 0);
    OPS.learnt(b.s, &learnt);
    T(learnt.no_condition);
    tear_down(&b);
}

/* One that was not understood took the other one with it, for as long as the process lived: what
 * keeps names from being written twice was a look before. */
static void test_a_refused_if_match_ended_create_only(void **state)
{
    const struct wr_put_opts absent = {.if_absent = true};
    struct wr_storage_learnt learnt = {0};
    struct bench b = set_up(NULL);
    struct wr_err e = {0};

    (void)state;
    s3d_opts(b.d)->no_match = true;
    conditions(&b);
    OPS.learnt(b.s, &learnt);
    T(learnt.no_match && !learnt.no_condition);
    T(httpd_count(b.h, "if-match") == 1);
    httpd_forget(b.h);
    T_OK(OPS.put(b.s, b.c, WR_STR("p/b"), bytes("1"), &absent, NULL, &e));
    T(httpd_count(b.h, "if-none-match: *\r\n") == 1 && httpd_count(b.h, "HEAD ") == 0);
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
        {"409 X", "ConditionalRequestConflict", WR_BUSY}, {"409 X", "", WR_BUSY},
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

/* Without it no provider can say what has happened. */
static void an_error_did_not_name_its_request(void **state)
{
    static const char doc[] = "<Error><Code>AccessDenied</Code><Message>no</Message>"
                              "<RequestId>tx00-1</RequestId></Error>";
    static const char *const bad[] = {"a b", "a]b", "\x7f",
        "123456789012345678901234567890123456789012345678901234567890123456789012345678901"};
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    struct wr_object o;
    (void)state;
    reply_with(&b, "PUT", "403 X", "x-amz-request-id: 4442587FB7D0A2F9\r\n", doc);
    T_IS(WR_AUTH, put(&b, "p/a", "x", &e));
    T(strstr(e.text, "s3 PUT: 403 AccessDenied [request 4442587FB7D0A2F9]: no; ") != NULL);
    reply_with(&b, "PUT", "403 X", "", doc);
    T_IS(WR_AUTH, put(&b, "p/a", "x", &e));
    T(strstr(e.text, "s3 PUT: 403 AccessDenied [request tx00-1]: no; ") != NULL);
    reply_with(&b, "HEAD", "403 X", "x-amz-request-id: 7\r\n", "");
    T_IS(WR_AUTH, OPS.stat(b.s, b.c, WR_STR("p/a"), &o, &e));
    T(strstr(e.text, "s3 HEAD: 403 [request 7]; ") != NULL);
    for (size_t i = 0; i < wr_countof(bad); i++) { /* it goes into logs, as it is */
        struct wr_str line = wr_arena_fmt(b.c->scratch, "x-amz-request-id: %s\r\n", bad[i]);

        reply_with(&b, "HEAD", "403 X", line.p, "");
        T_IS(WR_AUTH, OPS.stat(b.s, b.c, WR_STR("p/a"), &o, &e));
        T(strstr(e.text, "s3 HEAD: 403; ") != NULL);
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

/* ---- memory ---- */

/* Ten thousand databases of one bucket made as many handshakes, and held three descriptors each for
 * a connection that nobody used any more. */
static void each_database_had_a_connection_of_its_own(void **state)
{
    struct bench a = set_up(NULL);
    struct bench b = {.d = a.d, .h = a.h, .c = a.c};
    struct wr_http_share *x = wr_http_share_new();
    struct wr_err e = {0};
    size_t n;

    (void)state;
    T(x != NULL);
    open_with(&b, NULL);
    T_OK(OPS.share(a.s, x, &e));
    T_OK(OPS.share(b.s, x, &e));
    T_OK(OPS.share(b.s, x, &e)); /* what is shared is nobody's to free */
    T_OK(put(&a, "p/a", "x", &e));
    T_OK(list(&b, "p/", &n, &e));
    T(n == 1);
    T(httpd_connections(a.h) == 1);
    OPS.close(b.s);
    T_OK(get(&a, "p/a", 0, 1, &e));
    T(httpd_connections(a.h) == 1);
    tear_down(&a);
    wr_http_share_free(x);
}

/* It was freed as soon as there was one to share. */
static void test_an_open_bucket_had_a_client_that_nobody_used(void **state)
{
    struct bench a = set_up(NULL);
    struct bench b = {.d = a.d, .h = a.h, .c = a.c};
    struct wr_http_share *x = wr_http_share_new();
    struct wr_err e = {0};
    size_t live;

    (void)state;
    T(x != NULL);
    T_OK(OPS.share(a.s, x, &e));
    open_with(&b, NULL);
    live = wr_mem_live();
    T_OK(OPS.share(b.s, x, &e));
    T(wr_mem_live() == live);
    OPS.close(b.s);
    tear_down(&a);
    wr_http_share_free(x);
}

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
        st = upload(&b, &(const struct wr_put_opts){0}, 3, NULL);
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
    T_TEST(an_expired_token_was_a_bad_request), T_TEST(a_wrong_secret_is_auth),
    T_TEST(a_missing_bucket_is_misuse), T_TEST(a_seen_bucket_is_not_asked_for),
    T_TEST(conditions_by_header), T_TEST(conditions_with_bare_tags), T_TEST(conditions_by_head),
    T_TEST(test_a_refused_if_match_ended_create_only), T_TEST(error_answers),
    T_TEST(an_error_did_not_name_its_request), T_TEST(a_put_without_tag_is_no_success),
    T_TEST(ranges_are_checked), T_TEST(heads_are_checked), T_TEST(bad_listings_are_corrupt),
    T_TEST(each_database_had_a_connection_of_its_own),
    T_TEST(test_an_open_bucket_had_a_client_that_nobody_used), T_TEST(out_of_memory))
