/*
 * test_s3_uploads.c - uploads in parts by the S3 driver, against a strict fake server: parts that
 * get lost, commits that fail, conditions, and what an end before the end leaves behind.
 */
#include "base/cancel.h"
#include "unit/storage/s3_bench.h"

static const struct wr_put_opts plain;

static void expect_uploaded(struct bench *b, unsigned parts)
{
    struct wr_err e = {0};
    size_t got = 0, n = (size_t)parts * 10;
    char *p = wr_arena_alloc(b->c->scratch, n + 1);
    T(p != NULL);
    T_OK(OPS.get(b->s, b->c, WR_STR("p/up"), 0, p, n + 1, &got, NULL, &e));
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

/* Parts in a buffer, as a writer has them; how many of the buffers the driver kept. */
static unsigned give_parts(struct bench *b, unsigned parts)
{
    struct wr_err e = {0};
    struct wr_upload *u = NULL;
    struct wr_buf part;
    unsigned kept = 0;

    wr_buf_init(&part, 24);
    T_OK(OPS.upload_begin(b->s, b->c, WR_STR("p/up"), &plain, &u, &e));
    for (unsigned i = 0; i < parts; i++) {
        const uint8_t *was;

        wr_buf_clear(&part);
        wr_buf_fmt(&part, "part-%04u,", i);
        was = part.p;
        T_OK(OPS.upload_give(u, b->c, &part, &e));
        T(part.max == 24);
        kept += part.p != was;
        if (part.p)
            memset(part.p, '#', part.cap); /* it is ours again */
    }
    T_OK(OPS.upload_commit(u, b->c, NULL, &e));
    wr_buf_release(&part);
    return kept;
}

/* Each part was copied to be sent by another thread: a file in two parts took three of them. */
static void a_part_that_is_given_is_not_copied(void **state)
{
    static const char *const one[] = {"concurrency", "1", NULL};
    static const char *const many[] = {"concurrency", "7", NULL};

    (void)state;
    for (int k = 0; k < 2; k++) {
        struct bench b = set_up(k == 0 ? one : many);
        unsigned kept;

        s3d_opts(b.d)->part_min = 1;
        T(give_parts(&b, 2) == (k == 0 ? 0 : 2));
        expect_uploaded(&b, 2);
        kept = give_parts(&b, 150);
        expect_uploaded(&b, 150);
        T(k == 0 ? kept == 0 : kept >= 6);
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

T_MAIN(T_TEST(parts_arrive_in_order), T_TEST(a_part_that_is_given_is_not_copied),
    T_TEST(an_upload_without_parts_is_an_empty_object), T_TEST(small_parts_are_explained),
    T_TEST(lost_parts_are_sent_again), T_TEST(a_part_that_fails_ends_the_upload),
    T_TEST(errors_inside_a_200_are_errors), T_TEST(a_lost_commit_is_busy),
    T_TEST(conditional_commits), T_TEST(abort_stops_parts_and_cleans_up),
    T_TEST(cancel_stops_a_commit), T_TEST(a_race_lost_at_commit_is_a_conflict))
