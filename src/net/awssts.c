/*
 * awssts.c - see awsrole.h: how STS is asked for keys of a role; and by a token of somebody whom an
 * account trusts.
 *
 *     POST / of the service, a form:
 *         Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=&RoleSessionName=
 *         &WebIdentityToken=
 *
 * Nothing is signed then: the token is what proves who asks. It is read anew each time, as whoever
 * puts it there renews it.
 */
#include "net/awsrole.h"

#include "base/mem.h"
#include "base/url.h"
#include "net/awsrole_int.h"

#define CONNECT_MS 5000
#define ASK_MS     15000
#define FORM_MAX   ((size_t)64 << 10)
#define SESSION    WR_STR("weir") /* in the account's log, unless somebody says otherwise */
#define GLOBAL     WR_STR("us-east-1")
#define HOST_CHARS "abcdefghijklmnopqrstuvwxyz0123456789-"

/* Where the account's region has one, it is asked there, as one in another may be out of reach. */
enum wr_status wr_aws_sts_place(struct wr_call *c, const struct wr_aws_sts *s, const char **ret_url,
    struct wr_str *ret_region, struct wr_err *e)
{
    const char *url = wr_aws_env("AWS_ENDPOINT_URL_STS"), *region = s->region;
    struct wr_arena *a = c->scratch;

    if (!url)
        url = wr_aws_env("AWS_ENDPOINT_URL");
    if (region && region[strspn(region, HOST_CHARS)])
        return wr_fail(e, WR_AUTH, "%s: %.60s is no region", s->who, region);
    *ret_region = wr_arena_str(a, region ? wr_str(region) : GLOBAL);
    if (url)
        *ret_url = wr_arena_str(a, wr_str(url)).p;
    else if (!region)
        *ret_url = "https://sts.amazonaws.com/";
    else
        *ret_url = wr_arena_fmt(a, "https://sts.%s.amazonaws.com%s/", region,
            wr_str_starts(wr_str(region), WR_STR("cn-")) ? ".cn" : "")
                       .p;
    return *ret_url && ret_region->p ? WR_OK : wr_fail(e, WR_NOMEM, "%s: out of memory", s->who);
}

static void put_field(struct wr_buf *form, const char *name, struct wr_str value)
{
    wr_buf_fmt(form, "%s%s=", form->n ? "&" : "", name);
    wr_url_encode(form, value, false);
}

enum wr_status wr_aws_sts_begin(const struct wr_aws_sts *s, struct wr_buf *form, struct wr_err *e)
{
    uint64_t seconds = 0;

    if (s->duration.n > 0 &&
        (!wr_parse_u64(s->duration, &seconds) || seconds < 900 || seconds > 43200))
        return wr_fail(
            e, WR_AUTH, "%s: duration_seconds is not a number from 900 to 43200", s->who);
    wr_buf_init(form, FORM_MAX);
    if (!wr_buf_grow(form, FORM_MAX)) /* at once, as growing leaves behind what it has held */
        return wr_fail(e, WR_NOMEM, "%s: out of memory", s->who);
    wr_buf_clear(form);
    put_field(form, "Action", wr_str(s->action));
    put_field(form, "Version", WR_STR("2011-06-15"));
    put_field(form, "RoleArn", s->role_arn);
    put_field(form, "RoleSessionName", s->session.n > 0 ? s->session : SESSION);
    if (s->duration.n > 0)
        put_field(form, "DurationSeconds", s->duration);
    if (s->external_id.n > 0)
        put_field(form, "ExternalId", s->external_id);
    return WR_OK;
}

void wr_aws_sts_end(struct wr_buf *form)
{
    if (form->n > 0)
        wr_wipe(form->p, form->n);
    wr_buf_release(form);
}

enum wr_status wr_aws_sts_trade(struct wr_call *c, const struct wr_aws_sts *s, struct wr_aws_ask *a,
    const char *url, const struct wr_http_header *headers, size_t n_headers,
    const struct wr_buf *form, struct wr_aws_role *ret, struct wr_err *e)
{
    enum wr_status st;

    a->opts.connect_ms = CONNECT_MS;
    a->opts.ca_file = s->ca_file;
    a->ms = ASK_MS;
    a->req = (struct wr_http_req){.method = "POST",
        .url = url,
        .headers = headers,
        .n_headers = n_headers,
        .body = wr_buf_bytes(form),
        .has_body = true};
    st = wr_aws_ask(c, a, e);
    if (st != WR_OK)
        return wr_wrap(e, st, "%s", s->who);
    st = wr_aws_take_xml(c, wr_aws_answer(a), s->action, a->status, ret, e);
    if (a->status == 200 && st != WR_OK) /* whoever that is */
        return wr_wrap(e, st, "%s: %s", s->who, url);
    return st == WR_OK ? WR_OK : wr_wrap(e, st, "%s", s->who);
}

static enum wr_status trade_token(struct wr_call *c, const struct wr_aws_sts *s,
    struct wr_buf *form, const char *path, const char *name, struct wr_aws_role *ret,
    struct wr_err *e)
{
    const struct wr_http_header type = {
        WR_STR("content-type"), WR_STR("application/x-www-form-urlencoded")};
    struct wr_aws_ask a = {.ms = ASK_MS};
    const char *url = NULL;
    struct wr_str token, region;
    enum wr_status st = wr_aws_read(c, path, &token, e);

    if (st != WR_OK)
        return wr_wrap(e, st == WR_NOMEM ? st : WR_AUTH, "%s", name);
    put_field(form, "WebIdentityToken", token);
    st = wr_buf_status(form);
    if (st != WR_OK)
        return wr_fail(e, st, "%s: its token", s->who);
    st = wr_aws_sts_place(c, s, &url, &region, e);
    if (st == WR_OK)
        st = wr_aws_sts_trade(c, s, &a, url, &type, 1, form, ret, e);
    wr_aws_ask_end(&a);
    return st;
}

enum wr_status wr_aws_sts_web(struct wr_call *c, const struct wr_aws_sts *s, const char *path,
    const char *name, struct wr_aws_role *ret, struct wr_err *e)
{
    struct wr_buf form = {.p = NULL};
    enum wr_status st = wr_aws_sts_begin(s, &form, e);

    if (st == WR_OK)
        st = trade_token(c, s, &form, path, name, ret, e);
    wr_aws_sts_end(&form);
    return st;
}

enum wr_status wr_aws_role_web(
    struct wr_call *c, const struct wr_aws_asker *who, struct wr_aws_role *ret, struct wr_err *e)
{
    static const char file[] = "AWS_WEB_IDENTITY_TOKEN_FILE";
    const char *path = wr_aws_env(file), *role = wr_aws_env("AWS_ROLE_ARN");
    const struct wr_aws_sts s = {.who = "web identity",
        .action = "AssumeRoleWithWebIdentity",
        .region = wr_aws_region(who),
        .ca_file = who->ca_file,
        .role_arn = wr_str(role),
        .session = wr_str(wr_aws_env("AWS_ROLE_SESSION_NAME"))};

    if (!path)
        return wr_fail(e, WR_NOTFOUND, "no %s", file);
    if (!role)
        return wr_fail(e, WR_AUTH, "%s is set, and AWS_ROLE_ARN is not", file);
    return wr_aws_sts_web(c, &s, path, file, ret, e);
}
