/*
 * test_awsprofile.c - profiles that lead elsewhere: to a program, to another profile, to a role.
 * STS is on loopback.
 */
#include "net/awsrole_int.h"

#include "fake/httpd.h"
#include "harness/t.h"
#include "net/awscreds.h"
#include "net/awsfile.h"

#include <stdlib.h>

#include <unistd.h>

#define SECOND INT64_C(1000000000)
#define NOW_MS INT64_C(1777636800000) /* 2026-05-01T12:00:00Z */

static struct httpd *server;
static struct wr_clock_manual hands;
static const char *dir; /* of the test */
static struct wr_awscreds *p;
static struct wr_aws_role role;
static struct wr_err e; /* of what was asked last */

/* What STS knows. */
static struct {
    int status;
    const char *error, *date;
    char form[500]; /* of the last request */
} sts;

static const char *value_in(const char *form, const char *name, char out[100])
{
    const char *at = strstr(form, name);
    size_t n = at ? strcspn(at + strlen(name), "&") : 0;

    (void)snprintf(out, 100, "%.*s", (int)wr_min(n, (size_t)99), at ? at + strlen(name) : "");
    return out;
}

static void answer(void *arg, const struct httpd_request *r, struct httpd_answer *a)
{
    char role_arn[100], action[100];

    (void)arg;
    a->status = sts.status;
    (void)snprintf(sts.form, sizeof(sts.form), "%.*s", (int)r->n_body, (const char *)r->body);
    if (sts.date)
        httpd_add_header(a, "Date: %s", sts.date);
    if (sts.date && strstr(httpd_header(r, "x-amz-date"), "20260501T13"))
        a->status = 200; /* signed by this clock */
    (void)value_in(sts.form, "RoleArn=", role_arn);
    (void)value_in(sts.form, "Action=", action);
    if (a->status == 200)
        httpd_add_text(a,
            "<%sResponse><%sResult><Credentials><AccessKeyId>ASIA-%s</AccessKeyId>"
            "<SecretAccessKey>SK</SecretAccessKey><SessionToken>TOK-%s</SessionToken>"
            "<Expiration>2026-05-01T13:00:00Z</Expiration></Credentials></%sResult></%sResponse>",
            action, action, role_arn, role_arn, action, action);
    else
        httpd_add_text(
            a, "<ErrorResponse><Error><Code>%s</Code></Error></ErrorResponse>", sts.error);
}

static void set(const char *name, const char *value)
{
    T(setenv(name, value, 1) == 0);
}

static int set_up(void **state)
{
    static const char *const names[] = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN", "LITESTREAM_ACCESS_KEY_ID", "LITESTREAM_SECRET_ACCESS_KEY",
        "AWS_PROFILE", "http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE", "AWS_CA_BUNDLE", "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_ENDPOINT_URL", "AWS_REGION",
        "AWS_DEFAULT_REGION", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_ENDPOINT_URL_STS"};

    (void)state;
    for (size_t i = 0; i < wr_countof(names); i++)
        T(unsetenv(names[i]) == 0);
    dir = t_tmpdir();
    server = httpd_start(answer, NULL);
    T(server);
    memset(&sts, 0, sizeof(sts));
    sts.status = 200;
    sts.error = "AccessDenied";
    wr_clock_manual_init(&hands, NOW_MS);
    set("HOME", "/nonexistent");
    set("AWS_EC2_METADATA_DISABLED", "true");
    set("AWS_ENDPOINT_URL_STS",
        wr_arena_fmt(t_call()->scratch, "http://127.0.0.1:%u/", httpd_port(server)).p);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    wr_awscreds_free(p);
    p = NULL;
    httpd_stop(server);
    return 0;
}

static const char *write_file(const char *name, const char *text)
{
    const char *path = t_path(dir, name);

    t_spew(path, text, strlen(text));
    return path;
}

static void configure(const char *text)
{
    set("AWS_CONFIG_FILE", write_file("config", text));
}

/* Of a profile, or of the default one. What was said is of no use any more. */
static enum wr_status get(const char *profile)
{
    const struct wr_awscreds_opts o = {.profile = wr_str(profile)};
    struct wr_call *c = t_call();

    wr_awscreds_free(p);
    p = NULL;
    wr_clock_manual_advance(&hands, 11 * SECOND);
    e = (struct wr_err){.code = WR_OK};
    T_OK(wr_awscreds_new(&o, &p, &e));
    c->clock = &hands.clock;
    return wr_awscreds_get(p, c, role.text, &role.creds, &e);
}

static enum wr_status get_again(void)
{
    struct wr_call *c = t_call();

    c->clock = &hands.clock;
    return wr_awscreds_get(p, c, role.text, &role.creds, &e);
}

static void expect(enum wr_status st, const char *access, const char *token)
{
    T_IS(WR_OK, st);
    T(wr_str_eq(role.creds.access_key, wr_str(access)));
    T(wr_str_eq(role.creds.token, wr_str(token)));
}

static void fails(const char *profile, const char *text)
{
    T_IS(WR_AUTH, get(profile));
    if (!strstr(e.text, text))
        T_OK(WR_AUTH); /* which shows it */
}

/* ---- a program ---- */

static void put_helper(const char *key, const char *ends)
{
    char script[500];

    (void)snprintf(script, sizeof(script),
        "echo x >> '%s'; echo '{\"Version\":1,\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"S\","
        "\"SessionToken\":\"T\"%s%s%s}'\n",
        t_path(dir, "runs"), key, ends ? ",\"Expiration\":\"" : "", ends ? ends : "",
        ends ? "\"" : "");
    (void)write_file("helper", script);
}

static size_t runs(void)
{
    return t_slurp(t_path(dir, "runs")).n / 2;
}

static void the_keys_of_a_program(void **state)
{
    const char *env = "";

    (void)state;
    put_helper("ASIA1", "2026-05-01T13:00:00Z");
    configure(wr_arena_fmt(t_call()->scratch,
        "[default]\nregion = eu-west-1\ncredential_process = sh %s a \"b c\" ; a comment\n",
        t_path(dir, "helper"))
                  .p);
    expect(get(""), "ASIA1", "T");
    T(wr_awscreds_found(p, &env) && !env);
    expect(get_again(), "ASIA1", "T");
    T(runs() == 1);

    /* Renewed before they end. */
    put_helper("ASIA2", "2026-05-01T14:00:00Z");
    wr_clock_manual_advance(&hands, 56 * 60 * SECOND);
    expect(get_again(), "ASIA2", "T");
    T(runs() == 2);

    /* Asked anew when refused; but not by each that was refused in the same moment. */
    put_helper("ASIA3", NULL);
    T(wr_awscreds_forget(p, WR_STR("ASIA2")));
    expect(get_again(), "ASIA2", "T");
    T(wr_awscreds_forget(p, WR_STR("ASIA2")));
    wr_clock_manual_advance(&hands, 11 * SECOND);
    expect(get_again(), "ASIA3", "T");
    T(runs() == 3);

    /* What is not said to end does not. */
    wr_clock_manual_advance(&hands, 1000 * 3600 * SECOND);
    expect(get_again(), "ASIA3", "T");
    T(runs() == 3);

    /* It had some, and will again. */
    (void)write_file("helper", "echo no network >&2\nexit 1\n");
    T(wr_awscreds_forget(p, WR_STR("ASIA3")));
    T_IS(WR_BUSY, get_again());
    T(strstr(e.text, "exit code 1; it says: no network"));
}

static void a_doubt_threw_good_credentials_away(void **state)
{
    (void)state;
    put_helper("ASIA1", NULL);
    configure(wr_arena_fmt(
        t_call()->scratch, "[default]\ncredential_process = sh %s\n", t_path(dir, "helper"))
                  .p);
    expect(get(""), "ASIA1", "T");
    wr_clock_manual_advance(&hands, 11 * SECOND);
    (void)write_file("helper", "exit 1\n");
    T(wr_awscreds_doubt(p, WR_STR("ASIA0")));
    expect(get_again(), "ASIA1", "T");
    T(wr_awscreds_doubt(p, WR_STR("ASIA1")));
    expect(get_again(), "ASIA1", "T");
    put_helper("ASIA2", NULL);
    wr_clock_manual_advance(&hands, 11 * SECOND);
    T(wr_awscreds_doubt(p, WR_STR("ASIA1")));
    expect(get_again(), "ASIA2", "T");
}

/* A thousand databases started it a thousand times. */
static void a_program_was_run_by_each_replica(void **state)
{
    const struct wr_awscreds_opts o = {.profile = WR_STR("x")};

    (void)state;
    put_helper("ASIA1", "2026-05-01T13:00:00Z");
    configure(wr_arena_fmt(
        t_call()->scratch, "[profile x]\ncredential_process = sh %s\n", t_path(dir, "helper"))
                  .p);
    expect(get("x"), "ASIA1", "T");
    for (int i = 0; i < 20; i++) {
        wr_awscreds_free(p);
        T_OK(wr_awscreds_new(&o, &p, &e));
        expect(get_again(), "ASIA1", "T");
    }
    T(runs() == 1);
}

/* Of more profiles than answers are kept for, each has its own. */
static void many_profiles(void **state)
{
    struct wr_buf text;

    (void)state;
    wr_buf_init(&text, 1 << 16);
    for (int i = 0; i < 40; i++)
        wr_buf_fmt(&text,
            "[profile p%d]\ncredential_process = echo "
            "'{\"Version\":1,\"AccessKeyId\":\"A%d\",\"SecretAccessKey\":\"S\"}'\n",
            i, i);
    configure((const char *)text.p);
    wr_buf_release(&text);
    for (int i = 0; i < 80; i++) {
        char name[10], key[10];

        (void)snprintf(name, sizeof(name), "p%d", i % 40);
        (void)snprintf(key, sizeof(key), "A%d", i % 40);
        expect(get(name), key, "");
    }
}

/* ---- roles ---- */

static void the_role_of_a_source_profile(void **state)
{
    (void)state;
    configure("[profile backup]\nrole_arn = backup\nsource_profile = base\nregion = eu-west-1\n"
              "external_id = a b\nduration_seconds = 1800\nrole_session_name = me\n");
    set("AWS_SHARED_CREDENTIALS_FILE",
        write_file("credentials", "[base]\naws_access_key_id = AKBASE\n"
                                  "aws_secret_access_key = S\naws_session_token = TBASE\n"));
    expect(get("backup"), "ASIA-backup", "TOK-backup");
    T(strcmp(sts.form, "Action=AssumeRole&Version=2011-06-15&RoleArn=backup&RoleSessionName=me"
                       "&DurationSeconds=1800&ExternalId=a%20b") == 0);
    T(httpd_count(server, "AWS4-HMAC-SHA256 Credential=AKBASE/20260501/eu-west-1/sts/aws4_request, "
                          "SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;"
                          "x-amz-security-token, Signature=") == 1);
    T(httpd_count(server, "x-amz-security-token: TBASE\r\n") == 1);
    T(httpd_count(server, "") == 1);
    set("AWS_REGION", "us-west-2");
    expect(get("backup"), "ASIA-backup", "TOK-backup");
    T(httpd_count(server, "/us-west-2/sts/") == 1);

    sts.status = 403;
    fails("backup", "AWS credentials: profile backup: AssumeRole: status 403 AccessDenied");
    sts.error = "Throttling";
    T_IS(WR_BUSY, get("backup"));
    sts.status = 503;
    T_IS(WR_BUSY, get("backup"));
}

/* From the inside out; and one may be its own source. */
static void roles_by_way_of_roles(void **state)
{
    (void)state;
    configure("[default]\naws_access_key_id = AK\naws_secret_access_key = S\n"
              "[profile a]\nrole_arn = RA\nsource_profile = b\n"
              "[profile b]\nrole_arn = RB\nsource_profile = default\nregion = eu-west-1\n"
              "[profile self]\nrole_arn = RS\nsource_profile = self\n"
              "aws_access_key_id = AKS\naws_secret_access_key = S\n"
              "[profile own]\nrole_arn = RO\naws_access_key_id = AKO\naws_secret_access_key = S\n"
              "[profile process]\nrole_arn = RP\ncredential_process = echo "
              "'{\"Version\":1,\"AccessKeyId\":\"AKP\",\"SecretAccessKey\":\"S\"}'\n");
    expect(get("a"), "ASIA-RA", "TOK-RA");
    T(httpd_count(server, "") == 2);
    T(httpd_count(server, "Credential=AK/20260501/us-east-1/sts") == 1);
    T(httpd_count(server, "Credential=ASIA-RB/20260501/us-east-1/sts") == 1);
    T(httpd_count(server, "x-amz-security-token: TOK-RB\r\n") == 1);
    expect(get("self"), "ASIA-RS", "TOK-RS");
    T(httpd_count(server, "Credential=AKS/") == 1);
    expect(get("own"), "ASIA-RO", "TOK-RO");
    T(httpd_count(server, "Credential=AKO/") == 1);
    expect(get("process"), "ASIA-RP", "TOK-RP");
    T(httpd_count(server, "Credential=AKP/") == 1);
}

static void the_sources_of_credentials(void **state)
{
    const char *token = write_file("jwt", "ey.J+/=\n");

    (void)state;
    configure(wr_arena_fmt(t_call()->scratch,
        "[profile env]\nrole_arn = RE\ncredential_source = Environment\n"
        "[profile ecs]\nrole_arn = RC\ncredential_source = EcsContainer\n"
        "[profile ec2]\nrole_arn = RI\ncredential_source = Ec2InstanceMetadata\n"
        "[profile odd]\nrole_arn = RX\ncredential_source = Elsewhere\n"
        "[profile none]\nrole_arn = RN\n"
        "[profile web]\nrole_arn = RW\nweb_identity_token_file = %s\n"
        "[profile beyond]\nrole_arn = RB\nsource_profile = web\n",
        token)
                  .p);
    fails("env", "credential_source is Environment, and AWS_ACCESS_KEY_ID");
    fails("ecs", "profile ecs: no AWS_CONTAINER_CREDENTIALS_FULL_URI");
    fails("ec2", "profile ec2: AWS_EC2_METADATA_DISABLED is true");
    fails("odd", "none of Environment, EcsContainer and Ec2InstanceMetadata");
    fails("none", "profile none: it has neither keys nor a source");
    T(httpd_count(server, "") == 0);
    set("AWS_ACCESS_KEY_ID", "AKENV");
    set("AWS_SECRET_ACCESS_KEY", "S");
    expect(get("env"), "ASIA-RE", "TOK-RE");
    T(httpd_count(server, "Credential=AKENV/") == 1);
    expect(get("web"), "ASIA-RW", "TOK-RW");
    T(strcmp(sts.form, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=RW"
                       "&RoleSessionName=weir&WebIdentityToken=ey.J%2B%2F%3D") == 0);
    expect(get("beyond"), "ASIA-RB", "TOK-RB");
    T(httpd_count(server, "Credential=ASIA-RW/") == 1);
}

static void profiles_that_lead_nowhere(void **state)
{
    (void)state;
    configure("[profile a]\nrole_arn = R\nsource_profile = b\n"
              "[profile b]\nrole_arn = R\nsource_profile = a\n"
              "[profile c]\nrole_arn = R\nsource_profile = gone\n"
              "[profile d]\nrole_arn = R\nsource_profile = a\ncredential_process = true\n"
              "[profile e]\nsource_profile = a\n"
              "[profile f]\nrole_arn = R\nsource_profile = a\nmfa_serial = arn\n"
              "[profile g]\nweb_identity_token_file = /x\n"
              "[profile h]\nrole_arn = R\nsource_profile = own\nduration_seconds = 5\n"
              "[profile own]\naws_access_key_id = A\naws_secret_access_key = S\n"
              "[profile i]\nrole_arn = R\nsource_profile = own\nregion = x.example.com/\n"
              "[profile 1]\nrole_arn = R\nsource_profile = 2\n"
              "[profile 2]\nrole_arn = R\nsource_profile = 3\n"
              "[profile 3]\nrole_arn = R\nsource_profile = 4\n"
              "[profile 4]\nrole_arn = R\nsource_profile = 5\n"
              "[profile 5]\nrole_arn = R\nsource_profile = own\n");
    fails("a", "source_profile goes in a circle: profile b names a, which has no keys");
    fails("c", "profile c names source_profile gone, which is not there");
    fails("d", "there can be one");
    fails("e", "profile e has source_profile, and no role_arn");
    fails("f", "profile f has mfa_serial");
    fails("g", "profile g has web_identity_token_file, and no role_arn");
    fails("h", "duration_seconds is not a number from 900 to 43200");
    fails("i", "x.example.com/ is no region");
    fails("1", "profile 1: more than 5 profiles");
    T(httpd_count(server, "") == 0);
    expect(get("2"), "ASIA-R", "TOK-R");
    T(httpd_count(server, "") == 4);
}

/* What to do stands in the text. */
static void single_sign_on(void **state)
{
    (void)state;
    configure("[profile sso]\nsso_session = me\nsso_account_id = 1\n"
              "[profile old]\nsso_start_url = https://x\n"
              "[profile both]\nsso_session = me\ncredential_process = echo "
              "'{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\"}'\n"
              "[profile via]\nrole_arn = R\nsource_profile = sso\n");
    fails("sso", "profile sso: single sign-on is not done here");
    T(strstr(e.text, "\"credential_process = aws configure export-credentials --profile sso\""));
    fails("old", "--profile old");
    fails("via", "--profile sso");
    expect(get("both"), "A", "");
}

/* Who has an empty profile has said nothing, and goes on to the next place. */
static void a_profile_of_a_region_was_a_failure(void **state)
{
    (void)state;
    configure("[default]\nregion = eu-west-1\noutput = json\n");
    fails("", "no AWS credentials found: looked at access-key-id");
}

/* Its signatures were refused for ever; S3 is asked by the server's clock, too. */
static void a_clock_that_is_wrong(void **state)
{
    (void)state;
    configure("[profile a]\nrole_arn = R\naws_access_key_id = A\naws_secret_access_key = S\n");
    sts.status = 403;
    sts.error = "SignatureDoesNotMatch";
    sts.date = "Fri, 01 May 2026 13:05:00 GMT";
    expect(get("a"), "ASIA-R", "TOK-R");
    T(httpd_count(server, "") == 2);
    sts.date = "Fri, 01 May 2026 12:02:00 GMT";
    httpd_forget(server);
    fails("a", "SignatureDoesNotMatch");
    T(httpd_count(server, "") == 1);
}

static void where_sts_is(void **state)
{
    static const struct {
        const char *region, *url, *signed_for;
    } all[] = {
        {NULL, "https://sts.amazonaws.com/", "us-east-1"},
        {"eu-west-1", "https://sts.eu-west-1.amazonaws.com/", "eu-west-1"},
        {"cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn/", "cn-north-1"},
    };
    struct wr_aws_sts s = {.who = "who"};
    struct wr_str region;
    const char *url;

    (void)state;
    T(unsetenv("AWS_ENDPOINT_URL_STS") == 0);
    for (size_t i = 0; i < wr_countof(all); i++) {
        s.region = all[i].region;
        T_OK(wr_aws_sts_place(t_call(), &s, &url, &region, &e));
        T(strcmp(url, all[i].url) == 0 && wr_str_eq(region, wr_str(all[i].signed_for)));
    }
    set("AWS_ENDPOINT_URL", "http://all/");
    T_OK(wr_aws_sts_place(t_call(), &s, &url, &region, &e));
    T(strcmp(url, "http://all/") == 0);
    set("AWS_ENDPOINT_URL_STS", "http://sts/");
    T_OK(wr_aws_sts_place(t_call(), &s, &url, &region, &e));
    T(strcmp(url, "http://sts/") == 0);
}

/* A replica's own goes before the environment's. */
static void the_region_of_a_replica(void **state)
{
    const struct wr_awscreds_opts o = {.profile = WR_STR("a"), .region = WR_STR("eu-central-1")};
    const struct wr_awscreds_opts bad = {
        .profile = WR_STR("a"), .ca_file = WR_STR("/nonexistent/ca.pem")};

    (void)state;
    set("AWS_REGION", "us-west-2");
    configure("[profile a]\nrole_arn = R\naws_access_key_id = A\naws_secret_access_key = S\n");
    T_OK(wr_awscreds_new(&o, &p, &e));
    expect(get_again(), "ASIA-R", "TOK-R");
    T(httpd_count(server, "/eu-central-1/sts/") == 1);
    wr_awscreds_free(p);
    T_OK(wr_awscreds_new(&bad, &p, &e));
    T(get_again() != WR_OK);
    T(strstr(e.text, "/nonexistent/ca.pem"));
}

/* ---- the files ---- */

static void what_a_profile_says(void **state)
{
    static const char text[] = "[profile a]\nrole_arn=R # not this\nexternal_id = a#b;c\t;d\n"
                               "credential_process = x -y \"# z\"\nregion =\n";
    struct wr_aws_profile is;

    (void)state;
    T(wr_aws_file_profile(wr_str(text), true, WR_STR("a"), &is));
    T(wr_str_eq(is.role_arn, WR_STR("R")) && wr_str_eq(is.external_id, WR_STR("a#b;c")));
    T(wr_str_eq(is.credential_process, WR_STR("x -y \"# z\"")) && is.region.n == 0);
    T(!wr_aws_file_profile(wr_str(text), false, WR_STR("a"), &is));
}

/* ---- without ---- */

static enum wr_status sweep(void *arg)
{
    const struct wr_aws_asker who = {.profile = arg};
    struct wr_arena scratch;
    struct wr_call c = *t_call();
    enum wr_status st;

    wr_arena_init(&scratch, WR_ARENA_MAX);
    c.scratch = &scratch;
    c.clock = &hands.clock;
    e = (struct wr_err){.code = WR_OK};
    st = wr_aws_role_profile(&c, &who, &role, &e);
    wr_arena_wipe(&scratch);
    return st;
}

static void without_memory(void **state)
{
    char a[] = "a", process[] = "process", web[] = "web";

    (void)state;
    configure(wr_arena_fmt(t_call()->scratch,
        "[default]\naws_access_key_id = AK\naws_secret_access_key = S\nregion = eu-west-1\n"
        "[profile a]\nrole_arn = RA\nsource_profile = default\nregion = eu-west-1\n"
        "[profile web]\nrole_arn = RW\nweb_identity_token_file = %s\n"
        "[profile process]\ncredential_process = echo "
        "'{\"Version\":1,\"AccessKeyId\":\"AKP\",\"SecretAccessKey\":\"S\"}'\n",
        write_file("jwt", "ey.J+/=\n"))
                  .p);
    t_sweep_nomem(sweep, a);
    t_sweep_nomem(sweep, process);
    t_sweep_nomem(sweep, web);
}

#define A_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

T_MAIN(A_TEST(the_keys_of_a_program), A_TEST(a_doubt_threw_good_credentials_away),
    A_TEST(a_program_was_run_by_each_replica), A_TEST(many_profiles),
    A_TEST(the_role_of_a_source_profile), A_TEST(roles_by_way_of_roles),
    A_TEST(the_sources_of_credentials), A_TEST(profiles_that_lead_nowhere), A_TEST(single_sign_on),
    A_TEST(a_profile_of_a_region_was_a_failure), A_TEST(a_clock_that_is_wrong),
    A_TEST(where_sts_is), A_TEST(the_region_of_a_replica), A_TEST(what_a_profile_says),
    A_TEST(without_memory))
