/*
 * awsrole.c - see awsrole.h: what all of them need, the container's agent, the instance.
 *
 *   agent      GET URI                                                 authorization: TOKEN
 *   instance   PUT /latest/api/token                                   a token for what follows
 *              GET /latest/meta-data/iam/security-credentials/         the name of the role
 *              GET /latest/meta-data/iam/security-credentials/NAME
 *
 *     {"Code": "Success", "AccessKeyId": "ASIA...", "SecretAccessKey": "...", "Token": "...",
 *      "Expiration": "2026-05-01T16:00:00Z"}                                (Code: instances only)
 */
#include "net/awsrole.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/url.h"
#include "net/awsrole_int.h"

#include <jansson.h>

#define AGENT         "http://169.254.170.2"
#define METADATA      "http://169.254.169.254"
#define METADATA_IPV6 "http://[fd00:ec2::254]"
#define NEAR_MS       1000 /* to connect to what is a hop away */
#define AGENT_MS      5000
#define METADATA_MS   2000               /* each of three requests */
#define READ_MAX      ((size_t)32 << 10) /* of a web identity's token AWS takes 20,000 */
#define TOKEN_MAX     1024u
#define ROLES         "/latest/meta-data/iam/security-credentials/"

/* ---- for all ---- */

const char *wr_aws_env(const char *name)
{
    const char *value = getenv(name);

    return value && value[0] ? value : NULL;
}

static bool is_true(const char *name)
{
    const char *value = wr_aws_env(name);

    return value && wr_str_eq_nocase(wr_str(value), WR_STR("true"));
}

enum wr_status wr_aws_ask(struct wr_call *c, struct wr_aws_ask *a, struct wr_err *e)
{
    const struct wr_http_opts o = {
        .ca_file = wr_aws_env("AWS_CA_BUNDLE"), .connect_ms = a->connect_ms, .direct = a->direct};
    int64_t until_ms = wr_mono_ms(c->clock) + a->ms;
    struct wr_call own = *c;
    struct wr_http_resp resp;
    struct wr_http *http = NULL;
    struct wr_buf refusal;
    enum wr_status st = wr_http_new(&o, &http, e);

    if (st != WR_OK)
        return st;
    wr_buf_init(&refusal, sizeof(a->answer));
    own.deadline_ms = wr_min(c->deadline_ms, until_ms);
    a->req.into = a->answer;
    a->req.into_size = sizeof(a->answer);
    a->req.text = &refusal;
    st = wr_http_do(http, &own, &a->req, &resp, e);
    a->status = resp.status;
    a->answers += resp.status != 0;
    a->n = resp.into_n;
    if (st == WR_OK && refusal.n > 0) {
        a->n = wr_min(refusal.n, sizeof(a->answer));
        memcpy(a->answer, refusal.p, a->n);
    }
    wr_buf_release(&refusal);
    wr_http_free(http);
    return st;
}

void wr_aws_ask_end(struct wr_aws_ask *a)
{
    wr_wipe(a->answer, sizeof(a->answer));
}

struct wr_str wr_aws_answer(const struct wr_aws_ask *a)
{
    return wr_str_trim((struct wr_str){(const char *)a->answer, a->n});
}

static struct wr_str append(struct wr_aws_role *r, size_t *at, struct wr_str s)
{
    struct wr_str ret = {r->text + *at, s.n};

    if (s.n > 0)
        memcpy(r->text + *at, s.p, s.n);
    *at += s.n;
    return ret;
}

enum wr_status wr_aws_role_set(struct wr_aws_role *ret, const struct wr_aws_creds *from,
    struct wr_str expiration, struct wr_err *e)
{
    size_t at = 0;

    if (from->access_key.n == 0 || from->secret_key.n == 0)
        return wr_fail(e, WR_CORRUPT, "the answer has no access key, or no secret key");
    if (from->access_key.n + from->secret_key.n + from->token.n > sizeof(ret->text))
        return wr_fail(e, WR_LIMIT, "the credentials are longer than %zu bytes", sizeof(ret->text));
    ret->creds.access_key = append(ret, &at, from->access_key);
    ret->creds.secret_key = append(ret, &at, from->secret_key);
    ret->creds.token = append(ret, &at, from->token);
    if (!wr_parse_time(expiration, &ret->expires_ms))
        ret->expires_ms = INT64_MAX;
    return WR_OK;
}

enum wr_status wr_aws_read(
    struct wr_call *c, const char *path, struct wr_str *ret, struct wr_err *e)
{
    char *room = wr_arena_alloc(c->scratch, READ_MAX);
    struct wr_file *f = NULL;
    size_t n = 0;
    enum wr_status st;

    if (!room)
        return wr_fail(e, WR_NOMEM, "%s: out of memory", path);
    st = wr_file_open(wr_fs_posix(), path, WR_FILE_READ, 0, &f, e);
    if (st == WR_OK)
        st = wr_file_pread(f, room, READ_MAX, 0, &n, e);
    wr_file_close(f);
    if (st == WR_OK && n == READ_MAX)
        st = wr_fail(e, WR_LIMIT, "%s: longer than a token", path);
    *ret = wr_str_trim((struct wr_str){room, n});
    return st;
}

static struct wr_str member(const json_t *o, const char *name)
{
    const json_t *value = json_object_get(o, name);

    return json_is_string(value)
               ? (struct wr_str){json_string_value(value), json_string_length(value)}
               : (struct wr_str){NULL, 0};
}

/* What the library copied of it is freed and not wiped: such keys end within hours. */
static enum wr_status take_json(
    const struct wr_aws_ask *a, const char *who, struct wr_aws_role *ret, struct wr_err *e)
{
    struct wr_str text = wr_aws_answer(a);
    json_t *o = json_loadb(text.p, text.n, 0, NULL);
    struct wr_str code = member(o, "Code"), message = member(o, "Message");
    const struct wr_aws_creds creds = {
        member(o, "AccessKeyId"), member(o, "SecretAccessKey"), member(o, "Token")};
    enum wr_status st;

    if (!json_is_object(o))
        st = wr_fail(e, WR_CORRUPT, "%s: the answer is no JSON object", who);
    else if (code.n > 0 && !wr_str_eq(code, WR_STR("Success")))
        st = wr_fail(e, WR_AUTH, "%s: %.*s %.*s", who, (int)wr_min(code.n, (size_t)60), code.p,
            (int)wr_min(message.n, (size_t)200), message.n ? message.p : "");
    else if ((st = wr_aws_role_set(ret, &creds, member(o, "Expiration"), e)) != WR_OK)
        st = wr_wrap(e, st, "%s", who);
    json_decref(o);
    return st;
}

/* ---- the agent of a container ---- */

/* In plain text, a token goes to nobody who is further away than the host. */
static bool is_near(const struct wr_url *url)
{
    static const char *const near[] = {
        "localhost", "127.0.0.1", "[::1]", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};

    if (url->user.n > 0 || url->password.n > 0)
        return false;
    if (wr_str_eq(url->scheme, WR_STR("https")))
        return true;
    for (size_t i = 0; i < wr_countof(near); i++)
        if (wr_str_eq(url->host, wr_str(near[i])))
            return wr_str_eq(url->scheme, WR_STR("http"));
    return false;
}

static enum wr_status agent_token(struct wr_call *c, struct wr_str *ret, struct wr_err *e)
{
    const char *path = wr_aws_env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
               *token = wr_aws_env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    enum wr_status st;

    *ret = wr_str_trim(wr_str(token));
    if (!path)
        return WR_OK;
    st = wr_aws_read(c, path, ret, e);
    return st == WR_OK ? WR_OK : wr_wrap(e, WR_AUTH, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
}

static enum wr_status ask_agent(
    struct wr_call *c, const char *url, struct wr_aws_role *ret, struct wr_err *e)
{
    struct wr_http_header authorization = {.name = WR_STR("authorization")};
    struct wr_aws_ask a = {.req = {.method = "GET", .url = url, .headers = &authorization},
        .connect_ms = NEAR_MS,
        .ms = AGENT_MS,
        .direct = true};
    enum wr_status st = agent_token(c, &authorization.value, e);

    a.req.n_headers = authorization.value.n > 0;
    if (st == WR_OK && (st = wr_aws_ask(c, &a, e)) != WR_OK)
        st = wr_wrap(e, st, "role of the container");
    else if (st == WR_OK && a.status != 200)
        st = wr_fail(e, a.status >= 500 || a.status == 429 ? WR_BUSY : WR_AUTH,
            "role of the container: its agent answers with status %d", a.status);
    else if (st == WR_OK)
        st = take_json(&a, "role of the container", ret, e);
    wr_aws_ask_end(&a);
    return st;
}

/* Its path may be all that guards the role, and is not told. */
static enum wr_status check_agent(struct wr_call *c, const char *url, struct wr_err *e)
{
    struct wr_url parts;

    if (wr_url_parse(c->scratch, wr_str(url), &parts, NULL) == WR_OK && is_near(&parts))
        return WR_OK;
    return wr_fail(e, WR_MISUSE,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor the address of an agent on this "
        "host");
}

enum wr_status wr_aws_role_container(struct wr_call *c, struct wr_aws_role *ret, struct wr_err *e)
{
    const char *full = wr_aws_env("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
               *path = wr_aws_env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *url;
    enum wr_status st;

    if (!full && !path)
        return wr_fail(e, WR_NOTFOUND, "no AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI");
    if (!full && path[0] != '/')
        return wr_fail(
            e, WR_MISUSE, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with a slash");
    url = wr_arena_fmt(c->scratch, "%s%s", full ? "" : AGENT, full ? full : path).p;
    if (!url)
        return wr_fail(e, WR_NOMEM, "role of the container: out of memory");
    st = check_agent(c, url, e);
    return st == WR_OK ? ask_agent(c, url, ret, e) : st;
}

/* ---- the instance ---- */

static const char *metadata_url(void)
{
    const char *url = wr_aws_env("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
               *mode = wr_aws_env("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");

    if (url)
        return url;
    return mode && wr_str_eq_nocase(wr_str(mode), WR_STR("IPv6")) ? METADATA_IPV6 : METADATA;
}

static enum wr_status ask_metadata(struct wr_call *c, struct wr_aws_ask *a, const char *method,
    const char *path, const struct wr_http_header *header, struct wr_err *e)
{
    struct wr_str base = wr_str(metadata_url());

    while (base.n > 0 && base.p[base.n - 1] == '/')
        base.n--;
    *a = (struct wr_aws_ask){
        .connect_ms = NEAR_MS, .ms = METADATA_MS, .direct = true, .answers = a->answers};
    a->req = (struct wr_http_req){.method = method,
        .url = wr_arena_fmt(c->scratch, WR_FMT "%s", WR_ARG(base), path).p,
        .headers = header,
        .n_headers = header->value.n > 0,
        .has_body = strcmp(method, "PUT") == 0}; /* an empty one, with its length */
    if (!a->req.url)
        return wr_fail(e, WR_NOMEM, "role of the instance: out of memory");
    return wr_aws_ask(c, a, e);
}

/* What answers at that address may be a captive portal, or the service of another cloud. */
static bool is_token(struct wr_str s)
{
    bool ok = s.n > 0 && s.n <= TOKEN_MAX;

    for (size_t i = 0; ok && i < s.n; i++)
        ok = s.p[i] > ' ' && s.p[i] < 127;
    return ok;
}

/* Its answer goes no further than one hop, so that in a container it may not arrive; nor does a
 * service of before 2019 know it. What follows is then asked without one, as all AWS tools do. */
static enum wr_status metadata_token(
    struct wr_call *c, struct wr_aws_ask *a, struct wr_str *ret, struct wr_err *e)
{
    const struct wr_http_header ttl = {
        WR_STR("x-aws-ec2-metadata-token-ttl-seconds"), WR_STR("60")};
    int64_t began_ms = wr_mono_ms(wr_clock_system());
    enum wr_status st = ask_metadata(c, a, "PUT", "/latest/api/token", &ttl, e);
    int64_t took_ms = wr_mono_ms(wr_clock_system()) - began_ms; /* NEAR_MS: not even connected */
    bool silent = st == WR_TIMEOUT && took_ms > (NEAR_MS + METADATA_MS) / 2;
    bool unknown = st == WR_OK && a->status >= 400 && a->status < 500;

    *ret = (struct wr_str){NULL, 0};
    if (st == WR_OK && a->status == 200 && is_token(wr_aws_answer(a))) {
        *ret = wr_arena_str(c->scratch, wr_aws_answer(a));
        return ret->p ? WR_OK : wr_fail(e, WR_NOMEM, "role of the instance: out of memory");
    }
    if ((silent || unknown) && !is_true("AWS_EC2_METADATA_V1_DISABLED"))
        return WR_OK;
    if (st != WR_OK)
        return st;
    return wr_fail(e, a->status >= 500 ? WR_BUSY : WR_NOTFOUND,
        "the metadata service answers with status %d and no token", a->status);
}

/* The first line of the list: there is never more than one. */
static enum wr_status role_name(struct wr_call *c, struct wr_aws_ask *a,
    const struct wr_http_header *token, const char **ret, struct wr_err *e)
{
    enum wr_status st = ask_metadata(c, a, "GET", ROLES, token, e);
    struct wr_str name, rest;

    if (st != WR_OK)
        return st;
    (void)wr_str_cut(wr_aws_answer(a), '\n', &name, &rest);
    name = wr_str_trim(name);
    if (a->status == 404 || (a->status == 200 && name.n == 0))
        return wr_fail(e, WR_NOTFOUND, "the instance has no role");
    if (a->status == 401 && token->value.n == 0)
        return wr_fail(e, WR_NOTFOUND,
            "its metadata service wants a token, which does not arrive here: set the instance's "
            "HttpPutResponseHopLimit to 2");
    if (a->status != 200 || !is_token(name))
        return wr_fail(e, a->status >= 500 ? WR_BUSY : WR_NOTFOUND,
            "the metadata service answers with status %d", a->status);
    *ret = wr_arena_fmt(c->scratch, ROLES WR_FMT, WR_ARG(name)).p;
    return *ret ? WR_OK : wr_fail(e, WR_NOMEM, "role of the instance: out of memory");
}

static enum wr_status ask_instance(
    struct wr_call *c, struct wr_aws_ask *a, struct wr_aws_role *ret, struct wr_err *e)
{
    struct wr_http_header token = {.name = WR_STR("x-aws-ec2-metadata-token")};
    const char *path = NULL;
    enum wr_status st = metadata_token(c, a, &token.value, e);

    if (st == WR_OK)
        st = role_name(c, a, &token, &path, e);
    if (st == WR_OK)
        st = ask_metadata(c, a, "GET", path, &token, e);
    if (st == WR_OK && a->status != 200)
        st = wr_fail(e, WR_BUSY, "the metadata service answers with status %d", a->status);
    return st == WR_OK ? take_json(a, "role of the instance", ret, e) : st;
}

enum wr_status wr_aws_role_instance(struct wr_call *c, struct wr_aws_role *ret, struct wr_err *e)
{
    struct wr_aws_ask a = {.connect_ms = NEAR_MS};
    struct wr_err why = {0};
    enum wr_status st;

    if (is_true("AWS_EC2_METADATA_DISABLED"))
        return wr_fail(e, WR_NOTFOUND, "AWS_EC2_METADATA_DISABLED is true");
    st = ask_instance(c, &a, ret, &why);
    wr_aws_ask_end(&a);
    if (st == WR_OK)
        return WR_OK;
    /* Who has not answered at all is no such service: most machines are no instances. */
    if (wr_status_transient(st) && a.answers == 0 && wr_call_check(c, "credentials", NULL) == WR_OK)
        st = WR_NOTFOUND;
    return wr_fail(e, st, "%s", why.text);
}
