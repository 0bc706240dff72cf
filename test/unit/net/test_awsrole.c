/*
 * test_awsrole.c - credentials that services hand out: what they are asked, in which order, and for
 * how long their answers are used. The services are on loopback.
 */
#include "net/awsrole_int.h"

#include "base/sync.h"
#include "fake/httpd.h"
#include "harness/t.h"
#include "net/awscreds.h"

#include <stdlib.h>

#include <sys/wait.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)
#define NOW_MS INT64_C(1777636800000) /* 2026-05-01T12:00:00Z */

static struct httpd *server;
static struct wr_clock_manual hands;

/* What the services know. */
static struct {
    int token_status, list_status, role_status, agent_status, sts_status;
    const char *role, *key, *ends, *sts;
} has;

static void put_keys(struct httpd_answer *a)
{
    httpd_add_text(a,
        "{\"Code\": \"Success\", \"AccessKeyId\": \"%s\", \"SecretAccessKey\": \"SK/+=\", "
        "\"Token\": \"TOK==\", \"Expiration\": \"%s\", \"Type\": \"AWS-HMAC\"}",
        has.key, has.ends);
}

static bool is(const struct httpd_request *r, const char *method, const char *target)
{
    return strcmp(r->method, method) == 0 && strcmp(r->target, target) == 0;
}

static void answer(void *arg, const struct httpd_request *r, struct httpd_answer *a)
{
    (void)arg;
    a->status = 400;
    if (is(r, "PUT", "/latest/api/token")) {
        a->status =
            httpd_header(r, "x-aws-ec2-metadata-token-ttl-seconds") ? has.token_status : 400;
        httpd_add_text(a, "the-session");
    } else if (is(r, "GET", "/latest/meta-data/iam/security-credentials/")) {
        a->status = has.list_status;
        httpd_add_text(a, "%s", has.role);
    } else if (is(r, "GET", "/latest/meta-data/iam/security-credentials/backup")) {
        a->status = has.role_status;
        put_keys(a);
    } else if (is(r, "GET", "/agent?a=b")) {
        a->status = has.agent_status;
        put_keys(a);
    } else if (is(r, "POST", "/sts")) {
        static const char form[] =
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3A"
            "role%2Fbackup&RoleSessionName=weir&WebIdentityToken=ey.J%2B%2F%3D";

        if (r->n_body == strlen(form) && memcmp(r->body, form, r->n_body) == 0)
            a->status = has.sts_status;
        httpd_add_text(a, "%s", has.sts);
    }
}

static void set(const char *name, const char *value)
{
    T(setenv(name, value, 1) == 0);
}

static const char *url(const char *path)
{
    return wr_arena_fmt(t_call()->scratch, "http://127.0.0.1:%u%s", httpd_port(server), path).p;
}

static int set_up(void **state)
{
    static const char *const names[] = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN", "LITESTREAM_ACCESS_KEY_ID", "LITESTREAM_SECRET_ACCESS_KEY",
        "AWS_PROFILE", "http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY",
        "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_CA_BUNDLE",
        "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME",
        "AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_EC2_METADATA_V1_DISABLED", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"};

    (void)state;
    for (size_t i = 0; i < wr_countof(names); i++)
        T(unsetenv(names[i]) == 0);
    server = httpd_start(answer, NULL);
    T(server);
    has.token_status = has.list_status = has.role_status = 200;
    has.agent_status = has.sts_status = 200;
    has.role = "backup\n";
    has.key = "ASIA1";
    has.ends = "2026-05-01T13:00:00Z";
    has.sts = "";
    wr_clock_manual_init(&hands, NOW_MS);
    set("HOME", "/nonexistent");
    set("AWS_EC2_METADATA_DISABLED", "false");
    set("AWS_EC2_METADATA_SERVICE_ENDPOINT", url("/"));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    set("AWS_EC2_METADATA_DISABLED", "true");
    httpd_stop(server);
    return 0;
}

static struct wr_call *call(void)
{
    struct wr_call *c = t_call();

    c->clock = &hands.clock;
    return c;
}

#define WEB "AssumeRoleWithWebIdentity"

static const struct wr_aws_asker nobody;
static struct wr_aws_role role;
static struct wr_err e; /* of what was asked last */

static void expect(enum wr_status st, const char *access, const char *token)
{
    T_IS(WR_OK, st);
    T(wr_str_eq(role.creds.access_key, wr_str(access)));
    T(wr_str_eq(role.creds.secret_key, WR_STR("SK/+=")));
    T(wr_str_eq(role.creds.token, wr_str(token)));
}

static void the_role_of_an_instance(void **state)
{
    (void)state;
    expect(wr_aws_role_instance(call(), &role, &e), "ASIA1", "TOK==");
    T(role.expires_ms == NOW_MS + 3600 * 1000);
    T(httpd_count(server, "x-aws-ec2-metadata-token: the-session\r\n") == 2);
    T(httpd_count(server, "") == 3);
}

static void an_instance_without_tokens(void **state)
{
    static const int statuses[] = {403, 404, 405};

    (void)state;
    for (size_t i = 0; i < wr_countof(statuses); i++) {
        has.token_status = statuses[i];
        expect(wr_aws_role_instance(call(), &role, &e), "ASIA1", "TOK==");
    }
    T(httpd_count(server, "the-session") == 0);
    set("AWS_EC2_METADATA_V1_DISABLED", "True");
    T_IS(WR_NOTFOUND, wr_aws_role_instance(call(), &role, &e));
    T(strstr(e.text, "status 405 and no token"));
    T(unsetenv("AWS_EC2_METADATA_V1_DISABLED") == 0);
    has.token_status = 500;
    T_IS(WR_BUSY, wr_aws_role_instance(call(), &role, &e));
    has.token_status = 403; /* it wants one all the same */
    has.list_status = 401;
    T_IS(WR_NOTFOUND, wr_aws_role_instance(call(), &role, &e));
    T(strstr(e.text, "HttpPutResponseHopLimit"));
    has.token_status = 400; /* of another cloud */
    has.list_status = 400;
    T_IS(WR_NOTFOUND, wr_aws_role_instance(call(), &role, &e));
}

/* Its answer to the first request goes one hop: a container is two away. */
static void a_token_that_does_not_arrive(void **state)
{
    (void)state;
    httpd_fault(server, &(struct httpd_fault){.kind = HTTPD_STALL, .match = "PUT "});
    t_call()->clock = wr_clock_system();
    expect(wr_aws_role_instance(t_call(), &role, &e), "ASIA1", "TOK==");
}

static void no_role_of_an_instance(void **state)
{
    (void)state;
    has.list_status = 404;
    T_IS(WR_NOTFOUND, wr_aws_role_instance(call(), &role, &e));
    T(strstr(e.text, "the instance has no role"));
    has.list_status = 200;
    has.role = "\n";
    T_IS(WR_NOTFOUND, wr_aws_role_instance(call(), &role, &e));
    has.role = "backup";
    has.role_status = 500;
    T_IS(WR_BUSY, wr_aws_role_instance(call(), &role, &e));
    httpd_fault(server, &(struct httpd_fault){.kind = HTTPD_REPLY,
                            .match = "/backup",
                            .reply = "HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n"
                                     "{\"Code\":\"Assume\", \"Message\":\"not trusted\"}"});
    T_IS(WR_AUTH, wr_aws_role_instance(call(), &role, &e));
    T(strstr(e.text, "role of the instance: Assume not trusted"));
    httpd_forget(server);
    set("AWS_EC2_METADATA_DISABLED", "TRUE");
    T_IS(WR_NOTFOUND, wr_aws_role_instance(call(), &role, &e));
    T(httpd_count(server, "") == 0);
}

/* Its last answer was lost, and it was no instance. */
static void an_instance_that_falls_silent(void **state)
{
    (void)state;
    httpd_fault(server, &(struct httpd_fault){.kind = HTTPD_LOST, .match = "/backup", .times = 9});
    T_IS(WR_BUSY, wr_aws_role_instance(call(), &role, &e));
}

static void no_instance(void **state)
{
    const char *gone = url("/");

    (void)state;
    httpd_stop(server);
    set("AWS_EC2_METADATA_SERVICE_ENDPOINT", gone);
    T_IS(WR_NOTFOUND, wr_aws_role_instance(call(), &role, &e));
    T(strstr(e.text, "cannot connect"));
    server = httpd_start(answer, NULL);
}

static void strange_answers(void **state)
{
    static const char *const replies[] = {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{\"AccessKeyId\":\"A\"}",
        "HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\n"
        "{\"AccessKeyId\": 1, \"SecretAccessKey\": \"SK\"}  "};

    (void)state;
    set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url("/agent?a=b"));
    for (size_t i = 0; i < wr_countof(replies); i++) {
        httpd_forget(server);
        httpd_fault(server, &(struct httpd_fault){.kind = HTTPD_REPLY, .reply = replies[i]});
        T_IS(WR_CORRUPT, wr_aws_role_container(call(), &role, &e));
        T(!strstr(e.text, "SK"));
    }
    has.ends = "tomorrow";
    expect(wr_aws_role_container(call(), &role, &e), "ASIA1", "TOK==");
    T(role.expires_ms == INT64_MAX);
}

static void the_role_of_a_container(void **state)
{
    const char *path = t_path(t_tmpdir(), "token");

    (void)state;
    T_IS(WR_NOTFOUND, wr_aws_role_container(call(), &role, &e));
    set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url("/agent?a=b"));
    expect(wr_aws_role_container(call(), &role, &e), "ASIA1", "TOK==");
    T(httpd_count(server, "uthorization") == 0);
    set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic abc");
    expect(wr_aws_role_container(call(), &role, &e), "ASIA1", "TOK==");
    T(httpd_count(server, "uthorization: Basic abc\r\n") == 1);
    t_spew(path, "Bearer file\n", 12);
    set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path);
    expect(wr_aws_role_container(call(), &role, &e), "ASIA1", "TOK==");
    T(httpd_count(server, "uthorization: Bearer file\r\n") == 1);
    has.agent_status = 403;
    T_IS(WR_AUTH, wr_aws_role_container(call(), &role, &e));
    T(strstr(e.text, "status 403") && !strstr(e.text, "Bearer"));
    has.agent_status = 503;
    T_IS(WR_BUSY, wr_aws_role_container(call(), &role, &e));
    set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/nonexistent/token");
    T_IS(WR_AUTH, wr_aws_role_container(call(), &role, &e));
}

/* The token must not go to whoever a variable names. */
static void an_agent_that_is_far_away(void **state)
{
    static const char *const urls[] = {"http://example.com/creds", "http://localhost.example.com/",
        "http://127.0.0.1.example.com", "http://127.example.com/", "http://x.localhost/",
        "ftp://localhost/", "http://169.254.170.22/", "localhost",
        "http://127.0.0.1:80@example.com/", "https://a@example.com/"};

    (void)state;
    set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic abc");
    for (size_t i = 0; i < wr_countof(urls); i++) {
        set("AWS_CONTAINER_CREDENTIALS_FULL_URI", urls[i]);
        T_IS(WR_MISUSE, wr_aws_role_container(call(), &role, &e));
    }
    T(unsetenv("AWS_CONTAINER_CREDENTIALS_FULL_URI") == 0);
    set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", ":80@example.com/");
    T_IS(WR_MISUSE, wr_aws_role_container(call(), &role, &e));
}

#define STS(body)                                                                               \
    "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"   \
    "<AssumeRoleWithWebIdentityResult><Audience>sts.amazonaws.com</Audience><Credentials>" body \
    "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"

static void identify(void)
{
    const char *path = t_path(t_tmpdir(), "jwt");

    t_spew(path, "ey.J+/=\n", 8);
    set("AWS_WEB_IDENTITY_TOKEN_FILE", path);
    set("AWS_ROLE_ARN", "arn:aws:iam::1:role/backup");
    set("AWS_ENDPOINT_URL_STS", url("/sts"));
    has.sts = STS("<AccessKeyId>ASIA2</AccessKeyId><SecretAccessKey>SK/+=</SecretAccessKey>"
                  "<SessionToken>WEB</SessionToken><Expiration>2026-05-01T12:30:00Z</Expiration>");
}

static void the_role_of_a_web_identity(void **state)
{
    (void)state;
    T_IS(WR_NOTFOUND, wr_aws_role_web(call(), &nobody, &role, &e));
    identify();
    expect(wr_aws_role_web(call(), &nobody, &role, &e), "ASIA2", "WEB");
    T(role.expires_ms == NOW_MS + 1800 * 1000);
    T(httpd_count(server, "application/x-www-form-urlencoded") == 1);
    T(httpd_count(server, "uthorization") == 0);
    has.sts_status = 400;
    has.sts = "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code>"
              "<Message>no provider</Message></Error></ErrorResponse>";
    T_IS(WR_AUTH, wr_aws_role_web(call(), &nobody, &role, &e));
    T(strstr(e.text, "status 400 InvalidIdentityToken no provider") && !strstr(e.text, "ey.J"));
    has.sts = "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>";
    T_IS(WR_BUSY, wr_aws_role_web(call(), &nobody, &role, &e));
    has.sts_status = 503;
    T_IS(WR_BUSY, wr_aws_role_web(call(), &nobody, &role, &e));
    has.sts_status = 200;
    T_IS(WR_CORRUPT, wr_aws_role_web(call(), &nobody, &role, &e));
    T(unsetenv("AWS_ROLE_ARN") == 0);
    T_IS(WR_AUTH, wr_aws_role_web(call(), &nobody, &role, &e));
    T(strstr(e.text, "AWS_ROLE_ARN is not"));
    set("AWS_ROLE_ARN", "r");
    set("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent/jwt");
    T_IS(WR_AUTH, wr_aws_role_web(call(), &nobody, &role, &e));
}

/* ---- the chain ---- */

static struct wr_awscreds *chain(void)
{
    const struct wr_awscreds_opts none = {.profile = {NULL, 0}};
    struct wr_awscreds *p = NULL;

    T_OK(wr_awscreds_new(&none, &p, &e));
    return p;
}

static enum wr_status get(struct wr_awscreds *p)
{
    return wr_awscreds_get(p, call(), role.text, &role.creds, &e);
}

static void the_order_of_places(void **state)
{
    static const char ini[] = "[default]\naws_access_key_id=AF\naws_secret_access_key=SK/+=\n";
    const char *file = t_path(t_tmpdir(), "credentials"), *env = NULL;
    struct wr_awscreds *p = chain();

    (void)state;
    expect(get(p), "ASIA1", "TOK=="); /* of the instance */
    T(!wr_awscreds_found(p, &env));
    set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url("/agent?a=b"));
    has.key = "ASIA3";
    T(wr_awscreds_forget(p, WR_STR("ASIA1")));
    httpd_forget(server);
    expect(get(p), "ASIA3", "TOK==");
    T(httpd_count(server, "/latest/") == 0);
    T(wr_awscreds_found(p, &env) && strcmp(env, "AWS_CONTAINER_CREDENTIALS_FULL_URI") == 0);
    t_spew(file, ini, strlen(ini));
    set("AWS_CONFIG_FILE", file);
    T(wr_awscreds_forget(p, WR_STR("ASIA3")));
    expect(get(p), "AF", "");
    T(wr_awscreds_found(p, &env) && !env);
    identify();
    T(wr_awscreds_forget(p, WR_STR("AF")));
    expect(get(p), "ASIA2", "WEB");
    set("AWS_ACCESS_KEY_ID", "AE");
    set("AWS_SECRET_ACCESS_KEY", "SK/+=");
    T(wr_awscreds_forget(p, WR_STR("ASIA2")));
    expect(get(p), "AE", "");
    T(wr_awscreds_found(p, &env) && strcmp(env, "AWS_ACCESS_KEY_ID") == 0);
    wr_awscreds_free(p);
}

static void they_are_renewed_before_they_end(void **state)
{
    struct wr_awscreds *p = chain();

    (void)state;
    expect(get(p), "ASIA1", "TOK==");
    has.key = "ASIA9";
    has.ends = "2026-05-01T14:00:00Z";
    wr_clock_manual_advance(&hands, 54 * 60 * SECOND);
    httpd_forget(server);
    expect(get(p), "ASIA1", "TOK==");
    T(httpd_count(server, "") == 0);
    has.token_status = 500; /* the service is away for some minutes */
    wr_clock_manual_advance(&hands, 2 * 60 * SECOND);
    expect(get(p), "ASIA1", "TOK==");
    expect(get(p), "ASIA1", "TOK==");
    T(httpd_count(server, "") == 1);
    wr_clock_manual_advance(&hands, 61 * SECOND);
    expect(get(p), "ASIA1", "TOK==");
    T(httpd_count(server, "") == 2);
    has.token_status = 200;
    wr_clock_manual_advance(&hands, 61 * SECOND);
    expect(get(p), "ASIA9", "TOK==");

    /* At their end they are not used, and a role that was had is tried for again. */
    has.list_status = 404;
    wr_clock_manual_advance(&hands, 63 * 60 * SECOND);
    T_IS(WR_BUSY, get(p));
    T(strstr(e.text, "a role that was had before: no AWS credentials found: looked at"));
    wr_awscreds_free(p);
}

/* By a clock that is a day late all credentials look as if they ended long ago. */
static void a_clock_that_is_wrong_asked_for_each_request(void **state)
{
    struct wr_awscreds *p = chain();

    (void)state;
    wr_clock_manual_advance(&hands, 24 * 3600 * SECOND);
    for (int i = 0; i < 5; i++)
        expect(get(p), "ASIA1", "TOK==");
    T(httpd_count(server, "") == 3);
    wr_awscreds_free(p);
}

struct asker {
    struct wr_thread thread;
    struct wr_awscreds *p;
    enum wr_status st;
};

static void ask(void *arg)
{
    struct asker *a = arg;
    struct wr_arena scratch;
    struct wr_aws_creds creds;
    char text[WR_AWS_CREDS_MAX];
    struct wr_call c = {.scratch = &scratch, .clock = wr_clock_system(), .deadline_ms = WR_NEVER};

    wr_arena_init(&scratch, WR_ARENA_MAX);
    a->st = wr_awscreds_get(a->p, &c, text, &creds, NULL);
    wr_arena_release(&scratch);
}

/* A thousand databases asked the service three thousand times, and all that waited for one that
 * failed asked in their turn. */
static void a_service_was_asked_by_each_replica(void **state)
{
    struct asker all[8] = {0};

    (void)state;
    has.agent_status = 503;
    for (int away = 0; away < 2; away++) {
        if (away)
            set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url("/agent?a=b"));
        httpd_forget(server);
        for (size_t i = 0; i < wr_countof(all); i++) {
            all[i].p = chain();
            T_OK(wr_thread_start(&all[i].thread, "ask", 0, ask, &all[i], &e));
        }
        for (size_t i = 0; i < wr_countof(all); i++) {
            wr_thread_join(&all[i].thread);
            T_IS(away ? WR_BUSY : WR_OK, all[i].st);
            wr_awscreds_free(all[i].p);
        }
        T(httpd_count(server, "") == (away ? 1 : 3));
    }
}

/* In a child of fork() nobody asks any more who asked in its parent. */
static void an_answer_to_the_parent_was_waited_for(void **state)
{
    struct asker parent = {.p = chain()};
    struct wr_awscreds *p = chain();
    int status = -1;
    pid_t pid;

    (void)state;
    identify();
    httpd_fault(server, &(struct httpd_fault){.kind = HTTPD_STALL, .match = "/sts"});
    T_OK(wr_thread_start(&parent.thread, "ask", 0, ask, &parent, &e));
    httpd_await(server, "/sts");
    pid = fork();
    T(pid >= 0);
    if (pid == 0) {
        struct wr_call *c = t_call();

        c->deadline_ms = wr_mono_ms(c->clock) + 3000; /* less than what the parent waits */
        _exit(wr_awscreds_get(p, c, role.text, &role.creds, &e) == WR_OK ? 0 : 1);
    }
    T(waitpid(pid, &status, 0) == pid);
    httpd_stop(server);
    wr_thread_join(&parent.thread);
    server = httpd_start(answer, NULL);
    wr_awscreds_free(parent.p);
    wr_awscreds_free(p);
    T(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A profile that is named is that one: not the role of whatever it runs on. */
static void a_profile_that_is_not_there_was_another_identity(void **state)
{
    const struct wr_awscreds_opts backup = {.profile = WR_STR("backup")};
    struct wr_awscreds *p = NULL;

    (void)state;
    set("AWS_ACCESS_KEY_ID", "AE");
    set("AWS_SECRET_ACCESS_KEY", "SE");
    T_OK(wr_awscreds_new(&backup, &p, &e));
    T_IS(WR_AUTH, get(p));
    T(strstr(e.text, "looked at profile backup in") && httpd_count(server, "") == 0);
    wr_awscreds_free(p);
}

/* As by ProtectHome, or for whom HOME is another user's. */
static void a_file_that_cannot_be_read_hid_the_role(void **state)
{
    struct wr_awscreds *p = chain();

    (void)state;
    set("AWS_SHARED_CREDENTIALS_FILE", t_tmpdir());
    set("AWS_CONFIG_FILE", "/dev/null/config");
    expect(get(p), "ASIA1", "TOK==");
    wr_awscreds_free(p);
}

/* ---- where they are ---- */

static void the_addresses_of_services(void **state)
{
    const char *agent = NULL;
    struct wr_str base;

    (void)state;
    T(unsetenv("AWS_EC2_METADATA_SERVICE_ENDPOINT") == 0);
    T_OK(wr_aws_metadata_url(call(), &base, &e));
    T(wr_str_eq(base, WR_STR("http://169.254.169.254")));
    set("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ipv6");
    T_OK(wr_aws_metadata_url(call(), &base, &e));
    T(wr_str_eq(base, WR_STR("http://[fd00:ec2::254]")));
    set("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv4");
    T_OK(wr_aws_metadata_url(call(), &base, &e));
    T(wr_str_eq(base, WR_STR("http://169.254.169.254")));
    set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://[::1]:1338//");
    set("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6");
    T_OK(wr_aws_metadata_url(call(), &base, &e));
    T(wr_str_eq(base, WR_STR("http://[::1]:1338")));

    T_IS(WR_NOTFOUND, wr_aws_agent_url(call(), &agent, &e));
    set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1-2-3");
    T_OK(wr_aws_agent_url(call(), &agent, &e));
    T(strcmp(agent, "http://169.254.170.2/v2/credentials/1-2-3") == 0);
    set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url("/agent?a=b"));
    T_OK(wr_aws_agent_url(call(), &agent, &e));
    T(strcmp(agent, url("/agent?a=b")) == 0);
}

/* What is at these addresses is something else for a proxy, or is the proxy's own role. */
static void a_proxy_is_not_asked_for_a_role(void **state)
{
    struct wr_call *c = call();

    (void)state;
    set("http_proxy", "http://127.0.0.1:1");
    expect(wr_aws_role_instance(c, &role, &e), "ASIA1", "TOK==");
    set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url("/agent?a=b"));
    expect(wr_aws_role_container(c, &role, &e), "ASIA1", "TOK==");
    identify();
    set("AWS_ENDPOINT_URL_STS", "http://sts.invalid"); /* on the network as any service is */
    T_IS(WR_BUSY, wr_aws_role_web(c, &nobody, &role, &e));
    T(strstr(e.text, "127.0.0.1 port 1"));
    T(unsetenv("http_proxy") == 0);
    identify();
    expect(wr_aws_role_web(c, &nobody, &role, &e), "ASIA2", "WEB");
}

/* ---- what they answer ---- */

static void keys_of_other_elements_were_taken(void **state)
{
    static const char *const docs[] = {"<AccessKeyId>ASIA</AccessKeyId>",
        "<R><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey>"
        "</Credentials></R>",
        STS("<Inner><AccessKeyId>A</AccessKeyId></Inner><SecretAccessKey>S</SecretAccessKey>"),
        STS("<AccessKeyId> </AccessKeyId><SecretAccessKey>SK/+=</SecretAccessKey>"), "<", ""};
    struct wr_aws_role r;

    (void)state;
    for (size_t i = 0; i < wr_countof(docs); i++)
        T_IS(WR_CORRUPT, wr_aws_take_xml(call(), wr_str(docs[i]), WEB, 200, &r, &e));
}

static void an_answer_of_many_keys(void **state)
{
    struct wr_arena *a = t_call()->scratch;
    const char *json = wr_arena_fmt(
        a, "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"%04000d\",\"Token\":\"%0100d\"}", 1, 2)
                           .p;

    (void)state;
    T_IS(WR_LIMIT, wr_aws_take_json(wr_str(json), "who", &role, &e));
    T(strstr(e.text, "who: the credentials are longer than 4096 bytes"));
}

static enum wr_status sweep_answers(void *arg)
{
    struct wr_arena scratch;
    struct wr_call c = *call();
    struct wr_aws_role r;
    struct wr_err why = {0};
    enum wr_status st;

    (void)arg;
    wr_arena_init(&scratch, WR_ARENA_MAX);
    c.scratch = &scratch;
    st = wr_aws_take_xml(&c,
        wr_str(STS("<AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey>"
                   "<SessionToken>T</SessionToken>")),
        WEB, 200, &r, &why);
    if (st == WR_OK) {
        T(wr_str_eq(r.creds.token, WR_STR("T")));
        st = wr_aws_take_xml(&c,
            WR_STR("<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>"), WEB,
            400, &r, &why);
        T(st == WR_BUSY || st == WR_NOMEM); /* not AUTH, which nobody tries again */
        st = st == WR_BUSY ? WR_OK : st;
    }
    if (st == WR_OK)
        st = wr_aws_take_json(
            WR_STR("{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\"}"), "who", &r, &why);
    wr_arena_wipe(&scratch);
    return st;
}

static void answers_without_memory(void **state)
{
    (void)state;
    t_sweep_nomem(sweep_answers, NULL);
}

static enum wr_status web_of_nobody(struct wr_call *c, struct wr_aws_role *ret, struct wr_err *why)
{
    return wr_aws_role_web(c, &nobody, ret, why);
}

/* A look of all three ways, without waiting for what does not answer. */
static enum wr_status sweep_look(void *arg)
{
    enum wr_status (*const ways[])(struct wr_call *, struct wr_aws_role *, struct wr_err *) = {
        web_of_nobody, wr_aws_role_container, wr_aws_role_instance};
    enum wr_status st = WR_OK;

    (void)arg;
    for (size_t i = 0; i < wr_countof(ways) && st == WR_OK; i++) {
        struct wr_arena scratch;
        struct wr_call c = *call();
        struct wr_err why = {0};

        wr_arena_init(&scratch, WR_ARENA_MAX);
        c.scratch = &scratch;
        st = ways[i](&c, &role, &why);
        wr_arena_wipe(&scratch);
    }
    return st;
}

static void a_look_without_memory(void **state)
{
    (void)state;
    identify();
    set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url("/agent?a=b"));
    t_sweep_nomem(sweep_look, NULL);
}

/* It was made three times for an instance, and read certificates each time. */
static void a_client_was_made_for_each_request(void **state)
{
    (void)state;
    expect(wr_aws_role_instance(call(), &role, &e), "ASIA1", "TOK==");
    T(httpd_connections(server) == 1);
}

#define A_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

T_MAIN(A_TEST(the_addresses_of_services), A_TEST(a_proxy_is_not_asked_for_a_role),
    A_TEST(keys_of_other_elements_were_taken), A_TEST(an_answer_of_many_keys),
    A_TEST(answers_without_memory), A_TEST(a_look_without_memory),
    A_TEST(a_client_was_made_for_each_request), A_TEST(the_role_of_an_instance),
    A_TEST(an_instance_without_tokens), A_TEST(a_token_that_does_not_arrive),
    A_TEST(no_role_of_an_instance), A_TEST(no_instance), A_TEST(an_instance_that_falls_silent),
    A_TEST(a_service_was_asked_by_each_replica), A_TEST(an_answer_to_the_parent_was_waited_for),
    A_TEST(a_profile_that_is_not_there_was_another_identity),
    A_TEST(a_file_that_cannot_be_read_hid_the_role), A_TEST(strange_answers),
    A_TEST(the_role_of_a_container), A_TEST(an_agent_that_is_far_away),
    A_TEST(the_role_of_a_web_identity), A_TEST(the_order_of_places),
    A_TEST(they_are_renewed_before_they_end), A_TEST(a_clock_that_is_wrong_asked_for_each_request))
