/*
 * awssts.c - see awsrole.h: a token of somebody whom an account trusts, for keys of a role of it.
 *
 *     POST / of the service, a form:
 *         Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=&RoleSessionName=
 *         &WebIdentityToken=
 *
 *     <AssumeRoleWithWebIdentityResponse> <AssumeRoleWithWebIdentityResult> <Credentials>
 *         <AccessKeyId> <SecretAccessKey> <SessionToken> <Expiration>
 *     <ErrorResponse> <Error> <Code> <Message>
 *
 * Nothing is signed: the token is what proves who asks. It is read anew each time, as whoever puts
 * it there renews it.
 */
#include "net/awsrole.h"

#include "base/mem.h"
#include "base/url.h"
#include "base/xml.h"
#include "net/awsrole_int.h"

#define CONNECT_MS 5000
#define ASK_MS     15000
#define FORM_MAX   ((size_t)64 << 10)
#define SESSION    "weir" /* in the account's log, unless AWS_ROLE_SESSION_NAME says otherwise */

struct reply {
    struct wr_call *c;
    struct wr_aws_creds creds;
    struct wr_str expiration, code, message;
};

static enum wr_status on_element(
    void *arg, struct wr_str path, struct wr_str text, struct wr_err *e)
{
    static const char credentials[] =
        "AssumeRoleWithWebIdentityResponse/AssumeRoleWithWebIdentityResult/Credentials/";
    struct reply *r = arg;
    const struct {
        struct wr_str name;
        struct wr_str *to;
    } known[] = {
        {WR_STR("AccessKeyId"), &r->creds.access_key},
        {WR_STR("SecretAccessKey"), &r->creds.secret_key},
        {WR_STR("SessionToken"), &r->creds.token},
        {WR_STR("Expiration"), &r->expiration},
        {WR_STR("ErrorResponse/Error/Code"), &r->code},
        {WR_STR("ErrorResponse/Error/Message"), &r->message},
    };

    if (wr_str_starts(path, wr_str(credentials)))
        path = wr_str_skip(path, strlen(credentials));
    for (size_t i = 0; i < wr_countof(known); i++) {
        if (!wr_str_eq(path, known[i].name))
            continue;
        *known[i].to = wr_arena_str(r->c->scratch, wr_str_trim(text));
        return known[i].to->p ? WR_OK : wr_fail(e, WR_NOMEM, "out of memory");
    }
    return WR_OK;
}

/* Where the account's region has one, it is asked there, as one in another may be out of reach. */
static const char *service_url(struct wr_call *c)
{
    const char *url = wr_aws_env("AWS_ENDPOINT_URL_STS"), *region = wr_aws_env("AWS_REGION");

    if (!url)
        url = wr_aws_env("AWS_ENDPOINT_URL");
    if (url)
        return url;
    if (!region)
        region = wr_aws_env("AWS_DEFAULT_REGION");
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

static enum wr_status refused(const struct wr_aws_ask *a, const struct reply *r, struct wr_err *e)
{
    static const char *const passing[] = {"IDPCommunicationError", "Throttling",
        "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"};
    bool later = a->status >= 500 || a->status == 429; /* it throttles with 400, too */

    for (size_t i = 0; i < wr_countof(passing); i++)
        later = later || wr_str_eq(r->code, wr_str(passing[i]));
    return wr_fail(e, later ? WR_BUSY : WR_AUTH, "web identity: status %d %.*s %.*s", a->status,
        (int)wr_min(r->code.n, (size_t)60), r->code.n ? r->code.p : "",
        (int)wr_min(r->message.n, (size_t)250), r->message.n ? r->message.p : "");
}

static enum wr_status trade(struct wr_call *c, struct wr_aws_ask *a, struct wr_buf *form,
    struct wr_aws_role *ret, struct wr_err *e)
{
    const struct wr_http_header type = {
        WR_STR("content-type"), WR_STR("application/x-www-form-urlencoded")};
    struct reply r = {.c = c};
    struct wr_str text;
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
    text = wr_aws_answer(a);
    st = wr_xml_parse(
        c->scratch, (struct wr_bytes){(const uint8_t *)text.p, text.n}, on_element, &r, e);
    if (a->status != 200)
        return refused(a, &r, e);
    if (st == WR_OK)
        st = wr_aws_role_set(ret, &r.creds, r.expiration, e);
    return st == WR_OK ? WR_OK : wr_wrap(e, st, "web identity: %s", a->req.url);
}

enum wr_status wr_aws_role_web(struct wr_call *c, struct wr_aws_role *ret, struct wr_err *e)
{
    const char *path = wr_aws_env("AWS_WEB_IDENTITY_TOKEN_FILE"),
               *role = wr_aws_env("AWS_ROLE_ARN"), *session = wr_aws_env("AWS_ROLE_SESSION_NAME");
    struct wr_aws_ask a = {.connect_ms = CONNECT_MS, .ms = ASK_MS};
    struct wr_str token;
    struct wr_buf form;
    enum wr_status st;

    if (!path)
        return wr_fail(e, WR_NOTFOUND, "no AWS_WEB_IDENTITY_TOKEN_FILE");
    if (!role)
        return wr_fail(e, WR_AUTH, "AWS_WEB_IDENTITY_TOKEN_FILE is set, and AWS_ROLE_ARN is not");
    st = wr_aws_read(c, path, &token, e);
    if (st != WR_OK)
        return wr_wrap(e, WR_AUTH, "AWS_WEB_IDENTITY_TOKEN_FILE");
    wr_buf_init(&form, FORM_MAX);
    put_field(&form, "Action", WR_STR("AssumeRoleWithWebIdentity"));
    put_field(&form, "Version", WR_STR("2011-06-15"));
    put_field(&form, "RoleArn", wr_str(role));
    put_field(&form, "RoleSessionName", wr_str(session ? session : SESSION));
    put_field(&form, "WebIdentityToken", token);
    st = wr_buf_status(&form);
    st = st == WR_OK ? trade(c, &a, &form, ret, e) : wr_fail(e, st, "web identity: its token");
    wr_buf_release(&form);
    wr_aws_ask_end(&a);
    return st;
}
