/*
 * test_awscreds.c - net/awscreds.h: the chain in its order, the file, and what is said when there
 * is nothing.
 */
#include "harness/t.h"
#include "net/awscreds.h"

#include <unistd.h>

static void clean_environment(const char *home)
{
    static const char *const names[] = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN", "LITESTREAM_ACCESS_KEY_ID", "LITESTREAM_SECRET_ACCESS_KEY",
        "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE"};
    for (size_t i = 0; i < wr_countof(names); i++)
        T(unsetenv(names[i]) == 0);
    T(setenv("HOME", home, 1) == 0);
}

static void set(const char *name, const char *value)
{
    T(setenv(name, value, 1) == 0);
}

static void expect(struct wr_awscreds *p, const char *access, const char *secret, const char *token)
{
    struct wr_aws_creds got;
    char text[WR_AWS_CREDS_MAX];
    struct wr_err e = {0};
    T_OK(wr_awscreds_get(p, t_call(), text, &got, &e));
    T(wr_str_eq(got.access_key, wr_str(access)));
    T(wr_str_eq(got.secret_key, wr_str(secret)));
    T(wr_str_eq(got.token, wr_str(token)));
}

static struct wr_awscreds *chain(const char *profile)
{
    struct wr_awscreds *p = NULL;
    struct wr_err e = {0};
    const struct wr_awscreds_opts o = {.profile = wr_str(profile)};
    T_OK(wr_awscreds_new(&o, &p, &e));
    return p;
}

static const char ini[] = "; comment\n"
                          "[default]\r\n"
                          "aws_access_key_id = AKDEF\r\n"
                          "aws_secret_access_key=SK=DEF/+ \n"
                          "[ other ]\n"
                          "# aws_access_key_id = WRONG\n"
                          "  AWS_ACCESS_KEY_ID\t=\tAKOTHER\n"
                          "aws_secret_access_key = old\n"
                          "aws_secret_access_key = SKOTHER\n"
                          "aws_session_token = TOK==\n"
                          "region = eu-west-1\n"
                          "[half]\n"
                          "aws_access_key_id = AKHALF\n";

static const char *home_with(const char *text)
{
    const char *home = t_tmpdir();
    const char *path = t_path(home, "credentials");
    t_spew(path, text, strlen(text));
    clean_environment(home);
    set("AWS_SHARED_CREDENTIALS_FILE", path);
    return path;
}

static void explicit_wins(void **state)
{
    struct wr_awscreds *p = NULL;
    struct wr_err e = {0};
    const struct wr_awscreds_opts given = {
        .explicit = {WR_STR("AK"), WR_STR("SK"), WR_STR("T")}, .profile = WR_STR("other")};
    (void)state;
    home_with(ini);
    set("AWS_ACCESS_KEY_ID", "AKENV");
    set("AWS_SECRET_ACCESS_KEY", "SKENV");
    T_OK(wr_awscreds_new(&given, &p, &e));
    expect(p, "AK", "SK", "T");
    T(!wr_awscreds_forget(p, WR_STR("AK")));
    expect(p, "AK", "SK", "T");
    wr_awscreds_free(p);
}

static void half_a_pair_is_misuse(void **state)
{
    struct wr_awscreds *p = NULL;
    struct wr_err e = {0};
    const struct wr_awscreds_opts access = {.explicit.access_key = WR_STR("AK")};
    const struct wr_awscreds_opts secret = {.explicit.secret_key = WR_STR("TOPSECRET")};
    (void)state;
    T_IS(WR_MISUSE, wr_awscreds_new(&access, &p, &e));
    T(strstr(e.text, "secret-access-key is missing") != NULL);
    T_IS(WR_MISUSE, wr_awscreds_new(&secret, &p, &e));
    T(strstr(e.text, "access-key-id is missing") != NULL && strstr(e.text, "TOPSECRET") == NULL);
    wr_awscreds_free(NULL);
}

static void environment_goes_before_the_file(void **state)
{
    (void)state;
    home_with(ini);
    set("LITESTREAM_ACCESS_KEY_ID", "AKL");
    set("LITESTREAM_SECRET_ACCESS_KEY", "SKL");
    struct wr_awscreds *p = chain("");
    expect(p, "AKL", "SKL", "");
    set("AWS_ACCESS_KEY_ID", "AKENV");
    set("AWS_SECRET_ACCESS_KEY", " SKENV ");
    set("AWS_SESSION_TOKEN", "TENV");
    expect(p, "AKL", "SKL", ""); /* kept until it is refused */
    T(wr_awscreds_forget(p, WR_STR("AKL")));
    expect(p, "AKENV", "SKENV", "TENV");
    wr_awscreds_free(p);
}

/* Keys of two places must not become a pair. */
static void pairs_do_not_mix(void **state)
{
    (void)state;
    home_with(ini);
    set("AWS_ACCESS_KEY_ID", "AKENV");
    set("LITESTREAM_SECRET_ACCESS_KEY", "SKL");
    struct wr_awscreds *p = chain("");
    expect(p, "AKDEF", "SK=DEF/+", "");
    wr_awscreds_free(p);
}

static void profiles(void **state)
{
    (void)state;
    home_with(ini);
    struct wr_awscreds *p = chain("other");
    expect(p, "AKOTHER", "SKOTHER", "TOK==");
    wr_awscreds_free(p);
    set("AWS_PROFILE", "other");
    p = chain("");
    expect(p, "AKOTHER", "SKOTHER", "TOK==");
    wr_awscreds_free(p);
    p = chain("default");
    expect(p, "AKDEF", "SK=DEF/+", "");
    wr_awscreds_free(p);
}

static void the_file_is_read_again_after_forget(void **state)
{
    static const char newer[] = "[default]\naws_access_key_id=A2\naws_secret_access_key=S2\n";
    (void)state;
    const char *path = home_with(ini);
    struct wr_awscreds *p = chain("");
    expect(p, "AKDEF", "SK=DEF/+", "");
    t_spew(path, newer, sizeof(newer) - 1);
    expect(p, "AKDEF", "SK=DEF/+", "");
    T(wr_awscreds_forget(p, WR_STR("AKDEF")));
    expect(p, "A2", "S2", "");
    wr_awscreds_free(p);
}

static void expect_none(const char *profile, const char *said)
{
    struct wr_awscreds *p = chain(profile);
    struct wr_aws_creds got;
    char text[WR_AWS_CREDS_MAX];
    struct wr_err e = {0};
    T_IS(WR_AUTH, wr_awscreds_get(p, t_call(), text, &got, &e));
    T(strstr(e.text, "no AWS credentials found: looked at") != NULL);
    T(strstr(e.text, said) != NULL);
    T(strstr(e.text, "AKHALF") == NULL);
    wr_awscreds_free(p);
}

/* A request that was signed with the old key may be answered long after others got the new one. */
static void a_late_refusal_threw_newer_credentials_away(void **state)
{
    static const char newer[] = "[default]\naws_access_key_id=A2\naws_secret_access_key=S2\n",
                      newest[] = "[default]\naws_access_key_id=A3\naws_secret_access_key=S3\n";
    (void)state;
    const char *path = home_with(ini);
    struct wr_awscreds *p = chain("");
    expect(p, "AKDEF", "SK=DEF/+", "");
    t_spew(path, newer, sizeof(newer) - 1);
    T(wr_awscreds_forget(p, WR_STR("AKDEF")));
    expect(p, "A2", "S2", "");
    t_spew(path, newest, sizeof(newest) - 1);
    T(wr_awscreds_forget(p, WR_STR("AKDEF")));
    expect(p, "A2", "S2", "");
    T(wr_awscreds_forget(p, WR_STR("A2")));
    expect(p, "A3", "S3", "");
    wr_awscreds_free(p);
}

static void profiles_of_the_configuration(void **state)
{
    static const char config[] =
        "[default]\naws_access_key_id=AD\naws_secret_access_key=SD\n"
        "[x]\naws_access_key_id=AX\naws_secret_access_key=SX\n"
        "[profile x]\naws_access_key_id=APX\naws_secret_access_key=SPX\naws_session_token=TPX\n"
        "[ profile   half ]\naws_access_key_id=AH\n"
        "[other]\naws_access_key_id=AO\naws_secret_access_key=SO\n";
    const char *path = t_path(t_tmpdir(), "config");
    struct wr_awscreds *p;
    (void)state;
    home_with("[half]\naws_secret_access_key=SH\n");
    t_spew(path, config, sizeof(config) - 1);
    set("AWS_CONFIG_FILE", path);
    p = chain("x");
    expect(p, "APX", "SPX", "TPX");
    wr_awscreds_free(p);
    p = chain("default");
    expect(p, "AD", "SD", "");
    wr_awscreds_free(p);
    expect_none("half", "profile half in"); /* keys of two files are no pair */
    expect_none("other", "profile other in");
    T(unsetenv("AWS_CONFIG_FILE") == 0);
}

/* Who asks where they are from had the files read again, and might be told of others. */
static void what_is_kept_was_looked_for_again(void **state)
{
    const char *env = "";
    (void)state;
    const char *path = home_with(ini);
    struct wr_awscreds *p = chain("");
    expect(p, "AKDEF", "SK=DEF/+", "");
    T(unlink(path) == 0);
    T(wr_awscreds_found(p, &env) && !env);
    T(wr_awscreds_forget(p, WR_STR("AKDEF")));
    T(!wr_awscreds_found(p, &env));
    wr_awscreds_free(p);
}

static void nothing_found_says_where_it_looked(void **state)
{
    (void)state;
    home_with(ini);
    expect_none("half", "profile half in");
    expect_none("absent", "profile absent in");
    set("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/creds");
    expect_none("", "/nonexistent/creds (no such file)");
    clean_environment("/nonexistent/home");
    expect_none("", "/nonexistent/home/.aws/credentials");
    set("HOME", "");
    expect_none("", "no home directory");
    T(setenv("HOME", "/nonexistent", 1) == 0);
}

static void strange_files(void **state)
{
    struct wr_awscreds *p = chain("");
    struct wr_aws_creds got;
    char text[WR_AWS_CREDS_MAX];
    struct wr_err e = {0};
    (void)state;
    home_with("");
    expect_none("", "not there");
    home_with("[default\naws_access_key_id=A\naws_secret_access_key=S");
    expect(p, "A", "S", "");
    home_with("[]\n=\n==\n[\n]\n\n\naws_access_key_id\n[default]x=y\n");
    expect_none("", "not there");
    set("AWS_SHARED_CREDENTIALS_FILE", t_tmpdir());
    T(wr_awscreds_forget(p, WR_STR("A")));
    T(wr_awscreds_get(p, t_call(), text, &got, &e) != WR_OK);
    wr_awscreds_free(p);
}

static enum wr_status sweep_body(void *arg)
{
    struct wr_awscreds *p = NULL;
    struct wr_aws_creds got;
    char text[WR_AWS_CREDS_MAX];
    const struct wr_awscreds_opts given = {.explicit = {WR_STR("AK"), WR_STR("SK"), WR_STR("T")},
        .profile = WR_STR("other"),
        .region = WR_STR("eu-west-1"),
        .ca_file = WR_STR("/x")};
    const struct wr_awscreds_opts other = {.profile = WR_STR("other")};
    enum wr_status st = wr_awscreds_new(arg != NULL ? &given : &other, &p, NULL);
    if (st == WR_OK)
        st = wr_awscreds_get(p, t_call(), text, &got, NULL);
    wr_awscreds_free(p);
    return st;
}

static void out_of_memory(void **state)
{
    static int yes;
    (void)state;
    home_with(ini);
    t_sweep_nomem(sweep_body, NULL);
    t_sweep_nomem(sweep_body, &yes);
}

T_MAIN(T_TEST(explicit_wins), T_TEST(half_a_pair_is_misuse),
    T_TEST(environment_goes_before_the_file), T_TEST(pairs_do_not_mix), T_TEST(profiles),
    T_TEST(the_file_is_read_again_after_forget),
    T_TEST(a_late_refusal_threw_newer_credentials_away), T_TEST(profiles_of_the_configuration),
    T_TEST(what_is_kept_was_looked_for_again), T_TEST(nothing_found_says_where_it_looked),
    T_TEST(strange_files), T_TEST(out_of_memory))
