/*
 * awsrole.c - see awsrole.h: what all of them need, the container's agent, the instance.
 *
 *   agent      GET URI                                                 authorization: TOKEN
 *   instance   PUT /latest/api/token                                   a token for what follows
 *              GET /latest/meta-data/iam/security-credentials/         the name of the role
 *              GET /latest/meta-data/iam/security-credentials/NAME
 */
#include "net/awsrole.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/url.h"
#include "net/awsrole_int.h"

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

const char *wr_aws_region(const struct wr_aws_asker *who)
{
    const char *region = who->region;

    if (!region)
        region = wr_aws_env("AWS_REGION");
    return region ? region : wr_aws_env("AWS_DEFAULT_REGION");
}

static bool is_true(const char *name)
{
    const char *value = wr_aws_env(name);

    return value && wr_str_eq_nocase(wr_str(value), WR_STR("true"));
}

enum wr_status wr_aws_ask(struct wr_call *c, struct wr_aws_ask *a, struct wr_err *e)
{
    int64_t until_ms = wr_mono_ms(c->clock) + a->ms;
    struct wr_call own = *c;
    struct wr_http_resp resp;
    struct wr_buf refusal;
    enum wr_status st = WR_OK;

    if (!a->opts.ca_file)
        a->opts.ca_file = wr_aws_env("AWS_CA_BUNDLE");
    if (!a->http)
        st = wr_http_new(&a->opts, &a->http, e);
    if (st != WR_OK)
        return st;
    wr_buf_init(&refusal, sizeof(a->answer));
    own.deadline_ms = wr_min(c->deadline_ms, until_ms);
    a->req.into = a->answer;
    a->req.into_size = sizeof(a->answer);
    a->req.text = &refusal;
    st = wr_http_do(a->http, &own, &a->req, &resp, e);
    a->status = resp.status;
    a->answers += resp.status != 0;
    if (!wr_http_date(wr_http_header(&resp, "date"), &a->date_ms))
        a->date_ms = 0;
    a->n = resp.into_n;
    if (st == WR_OK && refusal.n > 0) {
        a->n = wr_min(refusal.n, sizeof(a->answer));
        memcpy(a->answer, refusal.p, a->n);
    }
    if (refusal.n > 0)
        wr_wipe(refusal.p, refusal.n);
    wr_buf_release(&refusal);
    return st;
}

void wr_aws_ask_end(struct wr_aws_ask *a)
{
    wr_http_free(a->http);
    a->http = NULL;
    wr_wipe(a->answer, sizeof(a->answer));
}

struct wr_str wr_aws_answer(const struct wr_aws_ask *a)
{
    return wr_str_trim((struct wr_str){(const char *)a->answer, a->n});
}

enum wr_status wr_aws_read(
    struct wr_call *c, const char *path, struct wr_str *ret, struct wr_err *e)
{
    char *room = wr_arena_alloc(c->scratch, READ_MAX);
    size_t n = 0;
    enum wr_status st;

    if (!room)
        return wr_fail(e, WR_NOMEM, "%s: out of memory", path);
    st = wr_file_head(wr_fs_posix(), path, room, READ_MAX, &n, e);
    if (st == WR_OK && n == READ_MAX)
        st = wr_fail(e, WR_LIMIT, "%s: longer than a token", path);
    *ret = wr_str_trim((struct wr_str){room, n});
    return st;
}

/* ---- the agent of a container ---- */

/* In plain text, a token goes to nobody who is further away than the host. */
static bool is_near(const struct wr_url *url)
{
    static const char *const near[] = {"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};

    if (url->user.n > 0 || url->password.n > 0)
        return false;
    if (wr_str_eq(url->scheme, WR_STR("https")))
        return true;
    if (!wr_str_eq(url->scheme, WR_STR("http")))
        return false;
    for (size_t i = 0; i < wr_countof(near); i++)
        if (wr_str_eq(url->host, wr_str(near[i])))
            return true;
    return wr_url_host_is_here(url->host);
}

static enum wr_status agent_token(struct wr_call *c, struct wr_str *ret, struct wr_err *e)
{
    const char *path = wr_aws_env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
               *token = wr_aws_env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    enum wr_status st;

    if (!path) {
        *ret = wr_arena_str(c->scratch, wr_str_trim(wr_str(token)));
        return ret->p ? WR_OK : wr_fail(e, WR_NOMEM, "role of the container: out of memory");
    }
    st = wr_aws_read(c, path, ret, e);
    if (st != WR_OK && st != WR_NOMEM)
        st = WR_AUTH;
    return st == WR_OK ? WR_OK : wr_wrap(e, st, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
}

static enum wr_status ask_agent(
    struct wr_call *c, const char *url, struct wr_aws_role *ret, struct wr_err *e)
{
    struct wr_http_header authorization = {.name = WR_STR("authorization")};
    struct wr_aws_ask a = {.req = {.method = "GET", .url = url, .headers = &authorization},
        .opts = {.connect_ms = NEAR_MS, .direct = true},
        .ms = AGENT_MS};
    enum wr_status st = agent_token(c, &authorization.value, e);

    a.req.n_headers = authorization.value.n > 0;
    if (st == WR_OK && (st = wr_aws_ask(c, &a, e)) != WR_OK)
        st = wr_wrap(e, st, "role of the container");
    else if (st == WR_OK && a.status != 200)
        st = wr_fail(e, a.status >= 500 || a.status == 429 ? WR_BUSY : WR_AUTH,
            "role of the container: its agent answers with status %d", a.status);
    else if (st == WR_OK)
        st = wr_aws_take_json(wr_aws_answer(&a), "role of the container", ret, e);
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

enum wr_status wr_aws_agent_url(struct wr_call *c, const char **ret, struct wr_err *e)
{
    const char *full = wr_aws_env("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
               *path = wr_aws_env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");

    if (!full && !path)
        return wr_fail(e, WR_NOTFOUND, "no AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI");
    if (!full && path[0] != '/')
        return wr_fail(
            e, WR_MISUSE, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with a slash");
    *ret = wr_arena_fmt(c->scratch, "%s%s", full ? "" : AGENT, full ? full : path).p;
    if (!*ret)
        return wr_fail(e, WR_NOMEM, "role of the container: out of memory");
    return check_agent(c, *ret, e);
}

enum wr_status wr_aws_role_container(struct wr_call *c, struct wr_aws_role *ret, struct wr_err *e)
{
    const char *url = NULL;
    enum wr_status st = wr_aws_agent_url(c, &url, e);

    return st == WR_OK ? ask_agent(c, url, ret, e) : st;
}

/* ---- the instance ---- */

enum wr_status wr_aws_metadata_url(struct wr_call *c, struct wr_str *ret, struct wr_err *e)
{
    const char *url = wr_aws_env("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
               *mode = wr_aws_env("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    bool v6 = mode && wr_str_eq_nocase(wr_str(mode), WR_STR("IPv6"));
    struct wr_str base = wr_str(url ? url : v6 ? METADATA_IPV6 : METADATA);

    while (base.n > 0 && base.p[base.n - 1] == '/')
        base.n--;
    *ret = wr_arena_str(c->scratch, base);
    return ret->p ? WR_OK : wr_fail(e, WR_NOMEM, "role of the instance: out of memory");
}

/* What stays the same while an instance is asked. */
struct metadata {
    struct wr_aws_ask ask;
    struct wr_str base;          /* of its URLs */
    struct wr_http_header token; /* its value empty: there is none */
};

static enum wr_status ask_metadata(struct wr_call *c, struct metadata *m, const char *method,
    const char *path, const struct wr_http_header *header, struct wr_err *e)
{
    m->ask.req = (struct wr_http_req){.method = method,
        .url = wr_arena_fmt(c->scratch, WR_FMT "%s", WR_ARG(m->base), path).p,
        .headers = header,
        .n_headers = header->value.n > 0,
        .has_body = strcmp(method, "PUT") == 0}; /* an empty one, with its length */
    if (!m->ask.req.url)
        return wr_fail(e, WR_NOMEM, "role of the instance: out of memory");
    return wr_aws_ask(c, &m->ask, e);
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
static enum wr_status metadata_token(struct wr_call *c, struct metadata *m, struct wr_err *e)
{
    const struct wr_http_header ttl = {
        WR_STR("x-aws-ec2-metadata-token-ttl-seconds"), WR_STR("60")};
    const struct wr_aws_ask *a = &m->ask;
    int64_t began_ms = wr_mono_ms(wr_clock_system());
    enum wr_status st = ask_metadata(c, m, "PUT", "/latest/api/token", &ttl, e);
    int64_t took_ms = wr_mono_ms(wr_clock_system()) - began_ms; /* NEAR_MS: not even connected */
    bool silent = st == WR_TIMEOUT && took_ms > (NEAR_MS + METADATA_MS) / 2;
    bool unknown = st == WR_OK && a->status >= 400 && a->status < 500;

    if (st == WR_OK && a->status == 200 && is_token(wr_aws_answer(a))) {
        m->token.value = wr_arena_str(c->scratch, wr_aws_answer(a));
        return m->token.value.p ? WR_OK
                                : wr_fail(e, WR_NOMEM, "role of the instance: out of memory");
    }
    if ((silent || unknown) && !is_true("AWS_EC2_METADATA_V1_DISABLED"))
        return WR_OK;
    if (st != WR_OK)
        return st;
    return wr_fail(e, a->status >= 500 ? WR_BUSY : WR_NOTFOUND,
        "the metadata service answers with status %d and no token", a->status);
}

/* The first line of the list: there is never more than one. */
static enum wr_status role_name(
    struct wr_call *c, struct metadata *m, const char **ret, struct wr_err *e)
{
    enum wr_status st = ask_metadata(c, m, "GET", ROLES, &m->token, e);
    int status = m->ask.status;
    struct wr_str name, rest;

    if (st != WR_OK)
        return st;
    (void)wr_str_cut(wr_aws_answer(&m->ask), '\n', &name, &rest);
    name = wr_str_trim(name);
    if (status == 404 || (status == 200 && name.n == 0))
        return wr_fail(e, WR_NOTFOUND, "the instance has no role");
    if (status == 401 && m->token.value.n == 0)
        return wr_fail(e, WR_NOTFOUND,
            "its metadata service wants a token, which does not arrive here: set the instance's "
            "HttpPutResponseHopLimit to 2");
    if (status != 200 || !is_token(name))
        return wr_fail(e, status >= 500 ? WR_BUSY : WR_NOTFOUND,
            "the metadata service answers with status %d", status);
    *ret = wr_arena_fmt(c->scratch, ROLES WR_FMT, WR_ARG(name)).p;
    return *ret ? WR_OK : wr_fail(e, WR_NOMEM, "role of the instance: out of memory");
}

static enum wr_status ask_instance(
    struct wr_call *c, struct metadata *m, struct wr_aws_role *ret, struct wr_err *e)
{
    const char *path = NULL;
    enum wr_status st = wr_aws_metadata_url(c, &m->base, e);

    if (st == WR_OK)
        st = metadata_token(c, m, e);
    if (st == WR_OK)
        st = role_name(c, m, &path, e);
    if (st == WR_OK)
        st = ask_metadata(c, m, "GET", path, &m->token, e);
    if (st == WR_OK && m->ask.status != 200)
        st = wr_fail(e, WR_BUSY, "the metadata service answers with status %d", m->ask.status);
    return st == WR_OK ? wr_aws_take_json(wr_aws_answer(&m->ask), "role of the instance", ret, e)
                       : st;
}

enum wr_status wr_aws_role_instance(struct wr_call *c, struct wr_aws_role *ret, struct wr_err *e)
{
    struct metadata m = {
        .ask = {.opts = {.connect_ms = NEAR_MS, .direct = true}, .ms = METADATA_MS},
        .token = {.name = WR_STR("x-aws-ec2-metadata-token")}};
    struct wr_err why = {0};
    enum wr_status st;

    if (is_true("AWS_EC2_METADATA_DISABLED"))
        return wr_fail(e, WR_NOTFOUND, "AWS_EC2_METADATA_DISABLED is true");
    st = ask_instance(c, &m, ret, &why);
    wr_aws_ask_end(&m.ask);
    if (st == WR_OK)
        return WR_OK;
    /* Who has not answered at all is no such service: most machines are no instances. */
    if (wr_status_transient(st) && m.ask.answers == 0 &&
        wr_call_check(c, "credentials", NULL) == WR_OK)
        st = WR_NOTFOUND;
    return wr_fail(e, st, "%s", why.text);
}
