/*
 * awssts.c - see awsrole.h: a token of somebody whom an account trusts, for keys of a role of it.
 *
 *     POST / of the service, a form:
 *         Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=&RoleSessionName=
 *         &WebIdentityToken=
 *
 * Nothing is signed: the token is what proves who asks. It is read anew each time, as whoever puts
 * it there renews it.
 */
#include "net/awsrole.h"

#include "base/mem.h"
#include "base/url.h"
#include "net/awsrole_int.h"

#define CONNECT_MS 5000
#define ASK_MS     15000
#define FORM_MAX   ((size_t)64 << 10)
#define SESSION    "weir" /* in the account's log, unless AWS_ROLE_SESSION_NAME says otherwise */

/* Where the account's region has one, it is asked there, as one in another may be out of reach. */
static const char *service_url(struct wr_call *c)
{
    const char *url = wr_aws_env("AWS_ENDPOINT_URL_STS"), *region = wr_aws_env("AWS_REGION");

    if (!url)
        url = wr_aws_env("AWS_ENDPOINT_URL");
    if (!region)
        region = wr_aws_env("AWS_DEFAULT_REGION");
    if (url)
        return wr_arena_str(c->scratch, wr_str(url)).p;
    if (!region)
        return "https://sts.amazonaws.com/";
    return wr_arena_fmt(c->scratch, "https://sts.%s.amazonaws.com%s/", region,
        wr_str_starts(wr_str(region), WR_STR("cn-")) ? ".cn" : "")
        .p;
}

static void put_field(struct wr_buf *form, const char *name, struct wr_str value)
{
    wr_buf_fmt(form, "%s%s=", form->n ? "&" : "", name);
    wr_url_encode(form, value, false);
}

static enum wr_status trade(struct wr_call *c, struct wr_aws_ask *a, struct wr_buf *form,
    struct wr_aws_role *ret, struct wr_err *e)
{
    const struct wr_http_header type = {
        WR_STR("content-type"), WR_STR("application/x-www-form-urlencoded")};
    enum wr_status st;

    a->req = (struct wr_http_req){.method = "POST",
        .url = service_url(c),
        .headers = &type,
        .n_headers = 1,
        .body = wr_buf_bytes(form),
        .has_body = true};
    if (!a->req.url)
        return wr_fail(e, WR_NOMEM, "web identity: out of memory");
    st = wr_aws_ask(c, a, e);
    if (st != WR_OK)
        return wr_wrap(e, st, "web identity");
    st = wr_aws_take_xml(c, wr_aws_answer(a), a->status, ret, e);
    if (a->status == 200 && st != WR_OK) /* whoever that is */
        return wr_wrap(e, st, "web identity: %s", a->req.url);
    return st == WR_OK ? WR_OK : wr_wrap(e, st, "web identity");
}

enum wr_status wr_aws_role_web(struct wr_call *c, struct wr_aws_role *ret, struct wr_err *e)
{
    const char *path = wr_aws_env("AWS_WEB_IDENTITY_TOKEN_FILE"),
               *role = wr_aws_env("AWS_ROLE_ARN"), *session = wr_aws_env("AWS_ROLE_SESSION_NAME");
    struct wr_aws_ask a = {.opts = {.connect_ms = CONNECT_MS}, .ms = ASK_MS};
    struct wr_str token;
    struct wr_buf form;
    enum wr_status st;

    if (!path)
        return wr_fail(e, WR_NOTFOUND, "no AWS_WEB_IDENTITY_TOKEN_FILE");
    if (!role)
        return wr_fail(e, WR_AUTH, "AWS_WEB_IDENTITY_TOKEN_FILE is set, and AWS_ROLE_ARN is not");
    wr_buf_init(&form, FORM_MAX);
    if (!wr_buf_grow(&form, FORM_MAX)) /* at once, as growing leaves behind what it has held */
        return wr_fail(e, WR_NOMEM, "web identity: out of memory");
    wr_buf_clear(&form);
    put_field(&form, "Action", WR_STR("AssumeRoleWithWebIdentity"));
    put_field(&form, "Version", WR_STR("2011-06-15"));
    put_field(&form, "RoleArn", wr_str(role));
    put_field(&form, "RoleSessionName", wr_str(session ? session : SESSION));
    st = wr_aws_read(c, path, &token, e);
    if (st != WR_OK) {
        wr_buf_release(&form);
        return wr_wrap(e, st == WR_NOMEM ? st : WR_AUTH, "AWS_WEB_IDENTITY_TOKEN_FILE");
    }
    put_field(&form, "WebIdentityToken", token);
    st = wr_buf_status(&form);
    st = st == WR_OK ? trade(c, &a, &form, ret, e) : wr_fail(e, st, "web identity: its token");
    if (form.n > 0)
        wr_wipe(form.p, form.n);
    wr_buf_release(&form);
    wr_aws_ask_end(&a);
    return st;
}
