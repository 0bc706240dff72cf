/*
 * awsassume.c - a role for who has keys of an account that the role trusts:
 *
 *     POST / of STS, signed by those keys, a form:
 *         Action=AssumeRole&Version=2011-06-15&RoleArn=&RoleSessionName=[&DurationSeconds=]
 *         [&ExternalId=]
 *
 * STS refuses what was signed more than some minutes ago, or ahead: where our clock is wrong, the
 * Date of its answer says by how much, and it is asked once more. Source: "AssumeRole" in the AWS
 * STS API Reference.
 */
#include "net/awsrole.h"

#include "base/url.h"
#include "net/awsrole_int.h"
#include "net/sigv4.h"

#define HEADERS 6
#define SKEW_MS ((int64_t)4 * 60 * 1000) /* less than this nobody refuses */

/* What is the same for both tries. */
struct request {
    const struct wr_aws_sts *sts;
    const char *url;
    struct wr_str host, region;
    struct wr_sigv4 sign;
    struct wr_buf form;
    char hash[2 * WR_SHA256_SIZE + 1];
};

/* The path as it is sent, and the host as libcurl would name it. */
static enum wr_status take_apart(struct wr_call *c, struct request *r, struct wr_err *e)
{
    struct wr_url u;

    if (wr_url_parse(c->scratch, wr_str(r->url), &u, NULL) != WR_OK || u.host.n == 0 ||
        u.user.n > 0 || u.query.n > 0)
        return wr_fail(e, WR_AUTH, "%s: AWS_ENDPOINT_URL_STS is no URL of a service", r->sts->who);
    r->sign.path = u.path.n > 0 ? u.path : WR_STR("/");
    r->host = wr_arena_fmt(
        c->scratch, WR_FMT "%s" WR_FMT, WR_ARG(u.host), u.port.n > 0 ? ":" : "", WR_ARG(u.port));
    return r->host.p ? WR_OK : wr_fail(e, WR_NOMEM, "%s: out of memory", r->sts->who);
}

static enum wr_status sign_and_send(struct wr_call *c, struct request *r, struct wr_aws_ask *a,
    int64_t time_ms, struct wr_aws_role *io, struct wr_err *e)
{
    struct wr_http_header headers[HEADERS];
    char date[WR_SIGV4_DATE_MAX];
    struct wr_str authorization;
    size_t n = 0;
    enum wr_status st;

    wr_sigv4_date(date, time_ms);
    headers[n++] = (struct wr_http_header){
        WR_STR("content-type"), WR_STR("application/x-www-form-urlencoded")};
    headers[n++] = (struct wr_http_header){WR_STR("host"), r->host};
    headers[n++] = (struct wr_http_header){WR_STR("x-amz-content-sha256"), wr_str(r->hash)};
    headers[n++] = (struct wr_http_header){WR_STR("x-amz-date"), wr_str(date)};
    if (io->creds.token.n > 0)
        headers[n++] = (struct wr_http_header){WR_STR("x-amz-security-token"), io->creds.token};
    r->sign.headers = headers;
    r->sign.n_headers = n;
    r->sign.time_ms = time_ms;
    st = wr_sigv4_sign(c->scratch, &r->sign, &authorization, e);
    if (st != WR_OK)
        return st;
    headers[n++] = (struct wr_http_header){WR_STR("authorization"), authorization};
    return wr_aws_sts_trade(c, r->sts, a, r->url, headers, n, &r->form, io, e);
}

static enum wr_status send_twice(
    struct wr_call *c, struct request *r, struct wr_aws_role *io, struct wr_err *e)
{
    struct wr_aws_ask a = {.ms = 0};
    int64_t now_ms = wr_wall_ms(c->clock), off_ms;
    struct wr_err why = {.code = WR_OK};
    enum wr_status st = sign_and_send(c, r, &a, now_ms, io, &why);

    off_ms = a.date_ms - now_ms;
    if (st == WR_AUTH && a.date_ms != 0 && (off_ms > SKEW_MS || off_ms < -SKEW_MS)) {
        why = (struct wr_err){.code = WR_OK};
        st = sign_and_send(c, r, &a, wr_wall_ms(c->clock) + off_ms, io, &why);
    }
    wr_aws_ask_end(&a);
    if (st != WR_OK && e)
        *e = why;
    return st;
}

enum wr_status wr_aws_sts_assume(
    struct wr_call *c, const struct wr_aws_sts *s, struct wr_aws_role *io, struct wr_err *e)
{
    struct request r = {.sts = s};
    enum wr_status st = wr_aws_sts_place(c, s, &r.url, &r.region, e);

    if (st == WR_OK)
        st = take_apart(c, &r, e);
    if (st == WR_OK)
        st = wr_aws_sts_begin(s, &r.form, e);
    if (st == WR_OK && (st = wr_buf_status(&r.form)) != WR_OK)
        st = wr_fail(e, st, "%s: what is asked is too long", s->who);
    if (st == WR_OK)
        st = wr_sigv4_hash(wr_buf_bytes(&r.form), r.hash, e);
    r.sign.method = "POST";
    r.sign.service = WR_STR("sts");
    r.sign.region = r.region;
    r.sign.payload_hash = wr_str(r.hash);
    r.sign.access_key = io->creds.access_key;
    r.sign.secret_key = io->creds.secret_key;
    if (st == WR_OK)
        st = send_twice(c, &r, io, e);
    wr_aws_sts_end(&r.form);
    return st;
}
