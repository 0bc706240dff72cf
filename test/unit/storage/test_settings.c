/*
 * test_settings.c - option tables: precedence, spelling, types, what errors say and do not say.
 */
#include "storage/settings.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/url.h"
#include "harness/t.h"

static const struct wr_option table[] = {
    {"region", WR_OPT_STR, "WEIR_T_REGION", "us-east-1", "where"},
    {"secret-access-key", WR_OPT_SECRET, "WEIR_T_SECRET", NULL, "never shown"},
    {"sign-payload", WR_OPT_BOOL, NULL, "true", "whether"},
    {"require-content-md5", WR_OPT_BOOL, NULL, NULL, "whether"},
    {"concurrency", WR_OPT_U64, "WEIR_T_CONCURRENCY", "5", "how many"},
    {"part-size", WR_OPT_SIZE, NULL, "8MiB", "how large"},
    {"timeout", WR_OPT_DURATION, NULL, "30s", "how long"},
    {"endpoint", WR_OPT_STR, NULL, NULL, "who"},
    {NULL, WR_OPT_STR, NULL, NULL, NULL},
};

static enum wr_status parse(
    const char *query, const char *const *pairs, struct wr_settings **ret, struct wr_err *e)
{
    struct wr_url u = {.scheme = WR_STR("t"), .query = wr_str(query)};

    return wr_settings_parse(table, &u, pairs, ret, e);
}

static void defaults(void **state)
{
    struct wr_err e = {0};
    struct wr_settings *s = NULL;

    (void)state;
    T_OK(parse("", NULL, &s, &e));
    T(wr_str_eq(wr_settings_str(s, "region"), WR_STR("us-east-1")));
    T(wr_settings_str(s, "endpoint").n == 0 && wr_settings_str(s, "endpoint").p != NULL);
    T(wr_settings_bool(s, "sign-payload") && !wr_settings_bool(s, "require-content-md5"));
    T(wr_settings_u64(s, "concurrency") == 5);
    T(wr_settings_u64(s, "part-size") == (uint64_t)8 << 20);
    T(wr_settings_ns(s, "timeout") == INT64_C(30000000000));
    for (const struct wr_option *o = table; o->name; o++)
        T(!wr_settings_has(s, o->name));
    wr_settings_free(s);
    wr_settings_free(NULL);
}

/* Every subset of the four sources. */
static void precedence(void **state)
{
    static const char *const pairs[] = {"region", "pair", NULL};

    (void)state;
    for (unsigned set = 0; set < 8; set++) {
        struct wr_err e = {0};
        struct wr_settings *s = NULL;
        const char *want = set & 1 ? "query" : set & 2 ? "pair" : set & 4 ? "env" : "us-east-1";

        T(set & 4 ? setenv("WEIR_T_REGION", "env", 1) == 0 : unsetenv("WEIR_T_REGION") == 0);
        T_OK(parse(set & 1 ? "region=query" : "", set & 2 ? pairs : NULL, &s, &e));
        T(wr_str_eq(wr_settings_str(s, "region"), wr_str(want)));
        T(wr_settings_has(s, "region") == (set != 0));
        wr_settings_free(s);
    }
    T(unsetenv("WEIR_T_REGION") == 0);
}

static void an_empty_variable_is_unset(void **state)
{
    struct wr_err e = {0};
    struct wr_settings *s = NULL;

    (void)state;
    T(setenv("WEIR_T_CONCURRENCY", "", 1) == 0);
    T_OK(parse("", NULL, &s, &e));
    T(wr_settings_u64(s, "concurrency") == 5 && !wr_settings_has(s, "concurrency"));
    wr_settings_free(s);
    T(setenv("WEIR_T_CONCURRENCY", "many", 1) == 0);
    T_IS(WR_MISUSE, parse("", NULL, &s, &e));
    T(strstr(e.text, "WEIR_T_CONCURRENCY") && strstr(e.text, "many"));
    T(unsetenv("WEIR_T_CONCURRENCY") == 0);
}

static void spellings(void **state)
{
    static const struct {
        const char *query;
        bool ok;
    } cases[] = {
        {"sign-payload=false", true},
        {"signPayload=false", true},
        {"signpayload=0", false},
        {"SignPayload=0", false},
        {"sign_payload=0", false},
        {"sign-Payload=0", false},
        {"SIGNPAYLOAD=0", false},
        {"requireContentMD5=1", true},
        {"requireContentMd5=1", true},
        {"require-content-md5=1", true},
        {"requireContentmd5=1", false},
        {"signPayload2=1", false},
        {"signPayloa=1", false},
        {"Region=x", false},
        {"=x", false},
        {"region=a%20b", true},
        {"secretAccessKey=x&partSize=1MiB", true},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        struct wr_err e = {0};
        struct wr_settings *s = NULL;
        enum wr_status st = parse(cases[i].query, NULL, &s, &e);
        if (st != (cases[i].ok ? WR_OK : WR_MISUSE))
            fail_msg("%s: %s", cases[i].query, e.text);
        wr_settings_free(s);
    }
}

struct refusal {
    const char *query, *says;
};

static void all_refused(const struct refusal *cases, size_t n)
{
    struct wr_err e = {0};
    struct wr_settings *s = NULL;

    for (size_t i = 0; i < n; i++) {
        T_IS(WR_MISUSE, parse(cases[i].query, NULL, &s, &e));
        if (!strstr(e.text, cases[i].says))
            fail_msg("%s: %s", cases[i].query, e.text);
    }
}

static void suggestions(void **state)
{
    static const struct refusal cases[] = {
        {"regoin=x", "did you mean \"region\""},
        {"sign-paylod=x", "did you mean \"sign-payload\""},
        {"signpayload=x", "did you mean \"sign-payload\""},
        {"secret-acess-key=x", "did you mean \"secret-access-key\""},
        {"partsize=x", "did you mean \"part-size\""},
        {"timeot=x", "did you mean \"timeout\""},
    };
    struct wr_err e = {0};
    struct wr_settings *s = NULL;

    (void)state;
    all_refused(cases, wr_countof(cases));
    T_IS(WR_MISUSE, parse("zebra=x", NULL, &s, &e));
    T(strstr(e.text, "zebra") && !strstr(e.text, "did you mean"));
}

/* It was: the first of all options was, from 192 letters on. */
static void no_option_is_near_what_is_too_long_to_compare(void **state)
{
    char query[300];
    struct wr_err e = {0};
    struct wr_settings *s = NULL;

    (void)state;
    memset(query, 'z', sizeof(query));
    memcpy(query + sizeof(query) - 3, "=x", 3);
    T_IS(WR_MISUSE, parse(query, NULL, &s, &e));
    T(strstr(e.text, "zzz") && !strstr(e.text, "did you mean"));
}

static void bad_values(void **state)
{
    static const struct refusal cases[] = {
        {"sign-payload=maybe", "\"maybe\" is not true or false"},
        {"sign-payload=", "is not true or false"},
        {"concurrency=-1", "whole number"},
        {"concurrency=1.5", "whole number"},
        {"concurrency=99999999999999999999", "whole number"},
        {"part-size=big", "size"},
        {"timeout=30", "duration"},
        {"region=a&region=b", "\"region\" is given twice"},
        {"partSize=1&part-size=2", "\"part-size\" is given twice"},
        {"region=a%00b", "text"},
    };

    (void)state;
    all_refused(cases, wr_countof(cases));
}

static void pairs_come_in_pairs(void **state)
{
    static const char *const odd[] = {"region", "x", "endpoint", NULL};
    static const char *const good[] = {"secretAccessKey", "s", "timeout", "1m30s", NULL};
    static const char *const twice[] = {"region", "x", "region", "y", NULL};
    struct wr_err e = {0};
    struct wr_settings *s = NULL;

    (void)state;
    T_IS(WR_MISUSE, parse("", odd, &s, &e));
    T(strstr(e.text, "endpoint"));
    T_IS(WR_MISUSE, parse("", twice, &s, &e));
    T_OK(parse("", good, &s, &e));
    T(wr_settings_ns(s, "timeout") == INT64_C(90000000000));
    T(wr_str_eq(wr_settings_str(s, "secret-access-key"), WR_STR("s")));
    wr_settings_free(s);
}

static void url_parts_are_copied(void **state)
{
    struct wr_err e = {0};
    struct wr_settings *s = NULL;
    char text[] = "schemeuserpwhost80/path";
    struct wr_url u = {.scheme = {text, 6},
        .user = {text + 6, 4},
        .password = {text + 10, 2},
        .host = {text + 12, 4},
        .port = {text + 16, 2},
        .path = {text + 18, 5},
        .query = WR_STR("region=x")};

    (void)state;
    T_OK(wr_settings_parse(table, &u, NULL, &s, &e));
    memset(text, '#', sizeof(text));
    const struct wr_url *copy = wr_settings_url(s);
    T(wr_str_eq(copy->scheme, WR_STR("scheme")) && wr_str_eq(copy->user, WR_STR("user")));
    T(wr_str_eq(copy->password, WR_STR("pw")) && wr_str_eq(copy->host, WR_STR("host")));
    T(wr_str_eq(copy->port, WR_STR("80")) && wr_str_eq(copy->path, WR_STR("/path")));
    T(copy->query.n == 0);
    wr_settings_free(s);
}

static void no_table_has_no_options(void **state)
{
    struct wr_err e = {0};
    struct wr_settings *s = NULL;
    struct wr_url u = {.query = WR_STR("a=b")};

    (void)state;
    T_IS(WR_MISUSE, wr_settings_parse(NULL, &u, NULL, &s, &e));
    u.query = WR_STR("");
    T_OK(wr_settings_parse(NULL, &u, NULL, &s, &e));
    wr_settings_free(s);
}

/* ---- secrets ---- */

/* A heap that never reuses, so that what a block held when it was released can be looked at. */
static struct {
    _Alignas(16) char bytes[1 << 20];
    size_t used;
    bool leaked; /* a block was released with the secret in it */
} pool;

#define SECRET "opensesame"

static void *pool_alloc(size_t size)
{
    size_t at = pool.used;

    assert(size < sizeof(pool.bytes) - at - 32);
    memcpy(pool.bytes + at, &size, sizeof(size));
    pool.used += 16 + (size + 15) / 16 * 16;
    return pool.bytes + at + 16;
}

static void *pool_resize(void *p, size_t size)
{
    size_t old;
    void *q = pool_alloc(size);

    memcpy(&old, (char *)p - 16, sizeof(old));
    return memcpy(q, p, wr_min(old, size));
}

static void pool_release(void *p)
{
    size_t size;
    const size_t n = sizeof(SECRET) - 1;

    memcpy(&size, (char *)p - 16, sizeof(size));
    for (size_t i = 0; i + n <= size; i++)
        pool.leaked |= memcmp((char *)p + i, SECRET, n) == 0;
}

static void secrets_are_wiped(void **state)
{
    static const char *const pairs[] = {"secret-access-key", SECRET, NULL};
    const struct wr_mem_hooks hooks = {pool_alloc, pool_resize, pool_release};
    struct wr_url u = {.password = WR_STR(SECRET)};
    struct wr_err e = {0};
    struct wr_settings *s = NULL;
    size_t live = wr_mem_live();

    (void)state;
    wr_mem_set_hooks(&hooks);
    T_OK(wr_settings_parse(table, &u, pairs, &s, &e));
    T(wr_str_eq(wr_settings_str(s, "secret-access-key"), WR_STR(SECRET)));
    wr_settings_free(s);
    bool leaked = pool.leaked;
    /* And the check can fail: an ordinary option is not wiped. */
    static const char *const plain[] = {"endpoint", SECRET, NULL};
    u.password = WR_STR("");
    T_OK(wr_settings_parse(table, &u, plain, &s, &e));
    wr_settings_free(s);
    T(wr_mem_live() == live);
    wr_mem_set_hooks(NULL);
    T(!leaked && pool.leaked);
}

static void secrets_are_not_shown(void **state)
{
    static const struct wr_option secrets[] = {
        {"pin", WR_OPT_SECRET, "WEIR_T_SECRET", NULL, "secret"},
        {NULL, WR_OPT_STR, NULL, NULL, NULL}};
    struct wr_url u = {.query = WR_STR("pin=open%00sesame")};
    struct wr_err e = {0};
    struct wr_settings *s = NULL;

    (void)state;
    T_IS(WR_MISUSE, wr_settings_parse(secrets, &u, NULL, &s, &e));
    T(strstr(e.text, "pin") && !strstr(e.text, "open") && !strstr(e.text, "sesame"));
    T_IS(WR_MISUSE, parse("secret-acess-key=opensesame", NULL, &s, &e));
    T(!strstr(e.text, "opensesame"));
}

static enum wr_status sweep(void *arg)
{
    static const char *const pairs[] = {"endpoint", "x", NULL};
    struct wr_settings *s = NULL;
    enum wr_status st = parse(arg, pairs, &s, NULL);

    wr_settings_free(s);
    return st;
}

static void note_setting(void *arg, const struct wr_setting *x)
{
    struct wr_buf *seen = arg;

    T((x->env != NULL) == (x->source == WR_SET_BY_ENV));
    wr_buf_z(seen, x->name);
    wr_buf_z(seen, x->value.p ? "=" : "!");
    wr_buf_put(seen, x->value.p, x->value.n);
    wr_buf_z(seen, x->env ? " by env\n" : x->source == WR_SET_BY_INIT ? " by init\n" : "\n");
}

/* What is not set has no line, a secret no value, and a default its text. */
static void each_that_has_a_value(void **state)
{
    static const char *const pairs[] = {"region", "here", NULL};
    static const char want[] = "region=here\nsecret-access-key!\nsign-payload=true by init\n"
                               "concurrency=7 by env\npart-size=1MiB\ntimeout=30s by init\n";
    struct wr_err e = {0};
    struct wr_settings *s = NULL;
    struct wr_buf seen;

    (void)state;
    wr_buf_init(&seen, 1000);
    T(setenv("WEIR_T_CONCURRENCY", "7", 1) == 0);
    T_OK(parse("secretAccessKey=x&part-size=1MiB", pairs, &s, &e));
    T(unsetenv("WEIR_T_CONCURRENCY") == 0);
    wr_settings_each(s, note_setting, &seen);
    T(seen.n == strlen(want) && memcmp(seen.p, want, seen.n) == 0);
    wr_buf_release(&seen);
    wr_settings_free(s);
}

static void survives_no_memory(void **state)
{
    char query[] = "region=a%20b&secretAccessKey=x&part-size=1MiB";

    (void)state;
    t_sweep_nomem(sweep, query);
}

T_MAIN(T_TEST(secrets_are_wiped), T_TEST(defaults), T_TEST(precedence),
    T_TEST(an_empty_variable_is_unset), T_TEST(spellings), T_TEST(suggestions),
    T_TEST(no_option_is_near_what_is_too_long_to_compare), T_TEST(bad_values),
    T_TEST(pairs_come_in_pairs), T_TEST(url_parts_are_copied), T_TEST(no_table_has_no_options),
    T_TEST(secrets_are_not_shown), T_TEST(each_that_has_a_value), T_TEST(survives_no_memory))
