/*
 * s3_bench.h - the S3 driver itself, without storage.c's retries, on a strict fake server.
 */
#ifndef WR_TEST_S3_BENCH_H
#define WR_TEST_S3_BENCH_H

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

static inline void open_with(struct bench *b, const char *const *more)
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

static inline struct bench set_up(const char *const *more)
{
    struct bench b = {.d = s3d_start(), .c = t_call()};
    T(setenv("NO_PROXY", "*", 1) == 0);
    b.h = s3d_httpd(b.d);
    open_with(&b, more);
    return b;
}

static inline void tear_down(struct bench *b)
{
    OPS.close(b->s);
    s3d_stop(b->d);
}

static inline struct wr_bytes bytes(const char *z)
{
    return (struct wr_bytes){(const uint8_t *)z, strlen(z)};
}

static inline enum wr_status put(
    struct bench *b, const char *key, const char *text, struct wr_err *e)
{
    const struct wr_put_opts o = {.time_ms = 0};
    return OPS.put(b->s, b->c, wr_str(key), bytes(text), &o, NULL, e);
}

static inline enum wr_status stat(struct bench *b, const char *key, struct wr_err *e)
{
    struct wr_object o;
    return OPS.stat(b->s, b->c, wr_str(key), &o, e);
}

static inline enum wr_status get(
    struct bench *b, const char *key, uint64_t off, size_t n, struct wr_err *e)
{
    char buf[64];
    size_t got = 0;
    T(n <= sizeof(buf));
    return OPS.get(b->s, b->c, wr_str(key), off, buf, n, &got, NULL, e);
}

static inline bool count_one(void *arg, const struct wr_object *obj)
{
    (void)obj;
    ++*(size_t *)arg;
    return true;
}

static inline enum wr_status list(
    struct bench *b, const char *after, size_t *ret_n, struct wr_err *e)
{
    *ret_n = 0;
    return OPS.list(b->s, b->c, WR_STR("p/"), wr_str(after), count_one, ret_n, e);
}

static inline void reply(struct bench *b, const char *match, const char *raw)
{
    httpd_fault(b->h, &(struct httpd_fault){.kind = HTTPD_REPLY, .match = match, .reply = raw});
}

/* An answer with a body, in the call's scratch. */
static inline void reply_with(
    struct bench *b, const char *match, const char *status, const char *headers, const char *body)
{
    struct wr_str raw = wr_arena_fmt(b->c->scratch,
        "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n%s", status, headers, strlen(body), body);
    T(raw.p != NULL);
    reply(b, match, raw.p);
}

static inline struct wr_str error_body(struct bench *b, const char *code)
{
    return wr_arena_fmt(b->c->scratch,
        "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>so it is</Message></Error>", code);
}

/* Upload "part-0000,", "part-0001," ... to p/up. */
static inline enum wr_status upload(
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

#endif
