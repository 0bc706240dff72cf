/*
 * test_s3_profile.c - from URL and settings to host, path, region and a provider's quirks; and what
 * error codes mean.
 */
#include "base/url.h"
#include "harness/t.h"
#include "storage/drivers.h"
#include "storage/s3_int.h"

static void clean_environment(void)
{
    T(unsetenv("AWS_REGION") == 0 && unsetenv("AWS_DEFAULT_REGION") == 0);
    T(unsetenv("LITESTREAM_S3_ENDPOINT") == 0 && unsetenv("AWS_CA_BUNDLE") == 0);
    T(unsetenv("AWS_ENDPOINT_URL_S3") == 0 && unsetenv("AWS_ENDPOINT_URL") == 0);
    T(unsetenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS") == 0);
}

static enum wr_status profile(
    struct wr_arena *a, const char *text, struct wr_s3_config *ret, struct wr_err *e)
{
    struct wr_url url = {0};
    struct wr_settings *set = NULL;
    enum wr_status st = wr_url_parse(a, wr_str(text), &url, e);
    if (st == WR_OK)
        st = wr_settings_parse(wr_storage_s3.options, &url, NULL, &set, e);
    if (st == WR_OK)
        st = wr_s3_profile(set, a, ret, e);
    /* Views may live in the settings: copy what the tests look at. */
    struct wr_str *const strings[] = {&ret->bucket, &ret->region, &ret->scheme, &ret->authority,
        &ret->base_path, &ret->ssec_md5, &ret->storage_class, &ret->ca_file};
    for (size_t i = 0; i < wr_countof(strings) && st == WR_OK; i++)
        *strings[i] = wr_arena_str(a, *strings[i]);
    wr_settings_free(set);
    return st;
}

static void hosts(void **state)
{
    static const struct {
        const char *url, *bucket, *region, *scheme, *authority;
        bool path_style;
    } table[] = {
        {"s3://bkt/a", "bkt", "us-east-1", "https", "", false},
        {"s3://b.with.dots/a", "b.with.dots", "us-east-1", "https", "", true},
        {"s3://bkt/a?region=eu-west-3", "bkt", "eu-west-3", "https", "", false},
        {"s3://bkt.s3.amazonaws.com/a", "bkt", "us-east-1", "https", "", false},
        {"s3://bkt.s3.eu-west-1.amazonaws.com/a", "bkt", "eu-west-1", "https", "", false},
        {"s3://a.b.s3.eu-west-1.amazonaws.com/", "a.b", "eu-west-1", "https", "", true},
        {"s3://bkt.nyc3.digitaloceanspaces.com/a", "bkt", "nyc3", "https",
            "nyc3.digitaloceanspaces.com", false},
        {"s3://bkt.s3.us-west-002.backblazeb2.com", "bkt", "us-west-002", "https",
            "s3.us-west-002.backblazeb2.com", true},
        {"s3://bkt.s3.filebase.com/a", "bkt", "us-east-1", "https", "s3.filebase.com", true},
        {"s3://bkt.s3.fr-par.scw.cloud/a", "bkt", "fr-par", "https", "s3.fr-par.scw.cloud", false},
        {"s3://s3.fr-par.scw.cloud/a?bucket=x", "x", "fr-par", "https", "s3.fr-par.scw.cloud",
            false},
        {"s3://bkt.localhost:9000/a", "bkt", "us-east-1", "http", "localhost:9000", true},
        {"s3://bkt.minio.lan:9000/a", "bkt", "us-east-1", "http", "minio.lan:9000", true},
        {"s3://notamazonaws.com/a", "notamazonaws.com", "us-east-1", "https", "", true},
        {"s3://bkt/a?endpoint=localhost:9000", "bkt", "us-east-1", "http", "localhost:9000", true},
        {"s3://bkt/a?endpoint=https://localhost:9000/", "bkt", "us-east-1", "https",
            "localhost:9000", true},
        {"s3://bkt/a?endpoint=s3.example.com", "bkt", "us-east-1", "https", "s3.example.com", true},
        {"s3://bkt/a?endpoint=s3.example.com&force-path-style=false", "bkt", "us-east-1", "https",
            "s3.example.com", false},
        /* No bucket's name can stand before an address; the original puts it in the path, too. */
        {"s3://bkt/a?endpoint=http://127.0.0.1:9000&force-path-style=false", "bkt", "us-east-1",
            "http", "127.0.0.1:9000", true},
        {"s3://bkt/a?endpoint=https://[2001:db8::1]&force-path-style=false", "bkt", "us-east-1",
            "https", "[2001:db8::1]", true},
        {"s3://bkt/a?endpoint=1.example.com&force-path-style=false", "bkt", "us-east-1", "https",
            "1.example.com", false},
        {"s3://bkt/a?forcePathStyle=true", "bkt", "us-east-1", "https", "", true},
        {"s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/ap/db", "ap-123456789012", "eu-west-1",
            "https", "s3-accesspoint.eu-west-1.amazonaws.com", false},
        {"s3://arn:aws-cn:s3:cn-north-1:1:accesspoint/ap/db", "ap-1", "cn-north-1", "https",
            "s3-accesspoint.cn-north-1.amazonaws.com.cn", false},
    };
    (void)state;
    clean_environment();
    for (size_t i = 0; i < wr_countof(table); i++) {
        struct wr_s3_config cfg = {.concurrency = 0};
        struct wr_err e = {0};
        T_OK(profile(t_call()->scratch, table[i].url, &cfg, &e));
        assert_string_equal(cfg.bucket.p, table[i].bucket);
        assert_string_equal(cfg.region.p, table[i].region);
        assert_string_equal(cfg.scheme.p, table[i].scheme);
        assert_string_equal(cfg.authority.p, table[i].authority);
        T(cfg.path_style == table[i].path_style);
    }
}

static void local_endpoints_are_plain(void **state)
{
    static const struct {
        const char *host;
        bool local;
    } table[] = {{"localhost", true}, {"127.0.0.1:9000", true}, {"10.1.2.3", true},
        {"172.16.0.1", true}, {"172.31.255.1:80", true}, {"172.15.0.1", false},
        {"172.32.0.1", false}, {"172.200.1.1", false}, {"172.2.1.1", false}, {"192.168.7.7", true},
        {"192.169.7.7", false}, {"nas.local", true}, {"x.localhost:1", true}, {"[::1]:9000", true},
        {"10.example.com", false}, {"10.1.example.com", false}, {"127.0.0.1.example.com:1", false},
        {"192.168.1", false}, {"LOCALHOST", true}, {"local", false}, {"mylocal.com", false},
        {"1010.1.1.1", false}};
    (void)state;
    clean_environment();
    for (size_t i = 0; i < wr_countof(table); i++) {
        struct wr_s3_config cfg = {.concurrency = 0};
        struct wr_err e = {0};
        struct wr_call *c = t_call();
        T_OK(profile(c->scratch, wr_arena_fmt(c->scratch, "s3://b/?endpoint=%s", table[i].host).p,
            &cfg, &e));
        if (wr_str_eq(cfg.scheme, WR_STR("http")) != table[i].local)
            fail_msg("%s is %s", table[i].host, cfg.scheme.p);
    }
}

static void addresses(void **state)
{
    static const struct {
        const char *url, *key, *host, *path;
    } table[] = {
        {"s3://bkt", "a/b", "bkt.s3.us-east-1.amazonaws.com", "/a/b"},
        {"s3://bkt?region=cn-north-1", "a", "bkt.s3.cn-north-1.amazonaws.com.cn", "/a"},
        {"s3://bkt", "", "bkt.s3.us-east-1.amazonaws.com", "/"},
        {"s3://bkt", "./0000/a", "bkt.s3.us-east-1.amazonaws.com", "/./0000/a"},
        {"s3://bkt", "/0000/a", "bkt.s3.us-east-1.amazonaws.com", "//0000/a"},
        {"s3://bkt?endpoint=h:1", "a b+c%", "h:1", "/bkt/a%20b%2Bc%25"},
        {"s3://bkt?endpoint=h:1", "", "h:1", "/bkt"},
        {"s3://bkt?endpoint=https://x.supabase.co/storage/v1/s3/", "k", "x.supabase.co",
            "/storage/v1/s3/bkt/k"},
        {"s3://b.x.y", "k", "s3.us-east-1.amazonaws.com", "/b.x.y/k"},
        {"s3://arn:aws:s3:eu-west-1:1:accesspoint/ap", "k",
            "ap-1.s3-accesspoint.eu-west-1.amazonaws.com", "/k"},
    };
    (void)state;
    clean_environment();
    for (size_t i = 0; i < wr_countof(table); i++) {
        struct wr_s3_config cfg = {.concurrency = 0};
        struct wr_err e = {0};
        struct wr_str host, path;
        struct wr_call *c = t_call();
        T_OK(profile(c->scratch, table[i].url, &cfg, &e));
        T_OK(wr_s3_address(c->scratch, &cfg, cfg.region, wr_str(table[i].key), &host, &path, &e));
        assert_string_equal(host.p, table[i].host);
        assert_string_equal(path.p, table[i].path);
    }
}

static void providers(void **state)
{
    static const struct {
        const char *url;
        unsigned concurrency;
        bool consistent, md5;
    } table[] = {{"s3://b", 4, false, true},
        {"s3://b?endpoint=https://acct.r2.cloudflarestorage.com", 2, false, true},
        {"s3://b?endpoint=https://acct.eu.r2.cloudflarestorage.com&concurrency=9", 9, false, true},
        {"s3://b?endpoint=fly.storage.tigris.dev", 4, true, false},
        {"s3://b?endpoint=https://t3.storage.dev:443", 4, true, false},
        {"s3://b?endpoint=t3.storage.dev&require-content-md5=true", 4, true, true},
        {"s3://b?endpoint=nott3.storage.dev", 4, false, true},
        {"s3://b?requireContentMD5=false", 4, false, false}};
    (void)state;
    clean_environment();
    for (size_t i = 0; i < wr_countof(table); i++) {
        struct wr_s3_config cfg = {.concurrency = 0};
        struct wr_err e = {0};
        T_OK(profile(t_call()->scratch, table[i].url, &cfg, &e));
        T(cfg.concurrency == table[i].concurrency);
        T(cfg.consistent == table[i].consistent && cfg.content_md5 == table[i].md5);
        T(cfg.sign_payload && !cfg.skip_verify);
    }
}

static void the_environment_is_asked_last(void **state)
{
    struct wr_s3_config cfg = {.concurrency = 0};
    struct wr_err e = {0};
    struct wr_arena *a = t_call()->scratch;
    (void)state;
    clean_environment();
    T(setenv("AWS_DEFAULT_REGION", "r-default", 1) == 0);
    T_OK(profile(a, "s3://b", &cfg, &e));
    assert_string_equal(cfg.region.p, "r-default");
    T(setenv("AWS_REGION", "r-env", 1) == 0);
    T(setenv("LITESTREAM_S3_ENDPOINT", "http://env.example:1", 1) == 0);
    T(setenv("AWS_CA_BUNDLE", "/bundle.pem", 1) == 0);
    T_OK(profile(a, "s3://b", &cfg, &e));
    assert_string_equal(cfg.region.p, "r-env");
    assert_string_equal(cfg.authority.p, "env.example:1");
    assert_string_equal(cfg.ca_file.p, "/bundle.pem");
    T_OK(profile(a, "s3://b.s3.fr-par.scw.cloud", &cfg, &e));
    assert_string_equal(cfg.region.p, "fr-par");
    assert_string_equal(cfg.authority.p, "s3.fr-par.scw.cloud");
    T_OK(profile(a, "s3://b?region=r-url&endpoint=h.example", &cfg, &e));
    assert_string_equal(cfg.region.p, "r-url");
    assert_string_equal(cfg.authority.p, "h.example");
    clean_environment();
}

/* As Fly.io has it for Tigris: nothing but these, and a URL of a bucket. They were not asked, and
 * all went to Amazon. */
static void endpoint_of_aws_tools(void **state)
{
    static const struct {
        const char *litestream, *s3, *all, *ignore, *url, *scheme, *authority;
        bool path_style;
    } table[] = {
        {"", "https://fly.storage.tigris.dev", "", "", "s3://b/a", "https",
            "fly.storage.tigris.dev", false},
        {"", "https://t.example", "http://all", "", "s3://b/a?force-path-style=true", "https",
            "t.example", true},
        {"", "", "http://all.example:9/", "", "s3://b/a", "http", "all.example:9", false},
        {"", "", "http://10.0.0.1:9", "", "s3://b/a", "http", "10.0.0.1:9", true},
        {"", "", "http://all", "", "s3://b.c/a", "http", "all", true},
        {"l.example", "https://t.example", "", "", "s3://b/a", "https", "l.example", true},
        {"", "https://t.example", "", "", "s3://b/a?endpoint=own", "https", "own", true},
        {"", "https://t.example", "", "", "s3://b.s3.filebase.com/a", "https", "s3.filebase.com",
            true},
        {"", "https://t.example", "http://all", "True", "s3://b/a", "https", "", false},
        {"l.example", "", "http://all", "true", "s3://b/a", "https", "l.example", true},
        {"", "https://t.example", "", "false", "s3://b/a", "https", "t.example", false},
    };
    (void)state;
    clean_environment();
    for (size_t i = 0; i < wr_countof(table); i++) {
        struct wr_s3_config cfg = {.concurrency = 0};
        struct wr_err e = {0};
        T(setenv("LITESTREAM_S3_ENDPOINT", table[i].litestream, 1) == 0);
        T(setenv("AWS_ENDPOINT_URL_S3", table[i].s3, 1) == 0);
        T(setenv("AWS_ENDPOINT_URL", table[i].all, 1) == 0);
        T(setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", table[i].ignore, 1) == 0);
        T_OK(profile(t_call()->scratch, table[i].url, &cfg, &e));
        assert_string_equal(cfg.scheme.p, table[i].scheme);
        assert_string_equal(cfg.authority.p, table[i].authority);
        T(cfg.path_style == table[i].path_style);
    }
    clean_environment();
}

#define KEY32     "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
#define KEY32_URL "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE%3D"

static void misuse(void **state)
{
    static const struct {
        const char *url, *text;
    } table[] = {
        {"s3://b?concurrency=0", "concurrency"},
        {"s3://b?concurrency=65", "concurrency"},
        {"s3://b?part-size=5MB", "at least 5242880"},
        {"s3://b?part-size=6GiB", "at most 5GiB"},
        {"s3://b?endpoint=ftp://h", "endpoint"},
        {"s3://b?endpoint=h%20x", "endpoint"},
        {"s3://b?endpoint=h/a%3Fb", "endpoint"},
        {"s3://b?endpoint=/", "endpoint"},
        {"s3://b?region=a/b", "region"},
        {"s3://b?region=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "region"},
        {"s3://b?bucket=a%2Fb", "bucket"},
        {"s3://s3.fr-par.scw.cloud", "bucket"},
        {"s3://nodots:9000/b", "bucket.host:port"},
        {"s3://arn:aws:s3:eu-west-1:1:bucket/ap", "access point arn"},
        {"s3://arn:aws:s3:eu-west-1:1:accesspoint", "access point arn"},
        {"s3://arn:aws:sqs:eu-west-1:1:accesspoint/x", "access point arn"},
        {"s3://b?sse-customer-key=abc", "32 bytes"},
        {"s3://b?sse-customer-key=" KEY32_URL "&sse-kms-key-id=k", "exclude"},
        {"s3://b?sse-customer-key=" KEY32_URL "&sse-customer-algorithm=DES", "AES256"},
        {"s3://b?sse-customer-key=" KEY32_URL "&sse-customer-key-md5=x", "md5"},
        {"s3://b?sse-customer-key=" KEY32_URL "&endpoint=http://far.example", "https"},
    };
    (void)state;
    clean_environment();
    for (size_t i = 0; i < wr_countof(table); i++) {
        struct wr_s3_config cfg = {.concurrency = 0};
        struct wr_err e = {0};
        enum wr_status st = profile(t_call()->scratch, table[i].url, &cfg, &e);
        if (st != WR_MISUSE || strstr(e.text, table[i].text) == NULL)
            fail_msg("%s: %s: %s", table[i].url, wr_status_text(st), e.text);
        T(strstr(e.text, KEY32) == NULL);
    }
}

static void customer_keys(void **state)
{
    struct wr_s3_config cfg = {.concurrency = 0};
    struct wr_err e = {0};
    (void)state;
    clean_environment();
    T_OK(profile(t_call()->scratch,
        "s3://b?sseCustomerKey=" KEY32_URL "&sseCustomerAlgorithm=AES256", &cfg, &e));
    assert_string_equal(cfg.ssec_md5.p, "KYvwGXoFFJ42a2u2GDWhwQ==");
    T_OK(profile(t_call()->scratch,
        "s3://b?endpoint=http://localhost:1&sse-customer-key=" KEY32_URL
        "&sse-customer-key-md5=KYvwGXoFFJ42a2u2GDWhwQ%3D%3D",
        &cfg, &e));
}

static void error_codes(void **state)
{
    static const struct {
        const char *code;
        int http_status;
        enum wr_status st;
        bool advised;
    } table[] = {{"NoSuchKey", 404, WR_NOTFOUND, false}, {"NoSuchBucket", 404, WR_MISUSE, true},
        {"SlowDown", 503, WR_BUSY, false}, {"SlowDown", 200, WR_BUSY, false},
        {"AccessDenied", 403, WR_AUTH, true}, {"ExpiredToken", 400, WR_AUTH, true},
        {"EntityTooSmall", 400, WR_MISUSE, true}, {"NotImplemented", 501, WR_UNSUPPORTED, false},
        {"SomethingNew", 404, WR_NOTFOUND, false}, {"SomethingNew", 503, WR_BUSY, false},
        {"SomethingNew", 400, WR_IO, false}, {"", 401, WR_AUTH, true}, {"", 408, WR_BUSY, false},
        {"", 412, WR_CONFLICT, false}, {"", 416, WR_LIMIT, false}, {"", 501, WR_UNSUPPORTED, false},
        {"", 599, WR_BUSY, false}, {"", 600, WR_IO, false}, {"nosuchkey", 400, WR_IO, false}};
    (void)state;
    for (size_t i = 0; i < wr_countof(table); i++) {
        const char *advice = "unset";
        enum wr_status st = wr_s3_classify(wr_str(table[i].code), table[i].http_status, &advice);
        T(st == table[i].st);
        T((advice != NULL) == table[i].advised);
    }
}

static enum wr_status sweep_body(void *arg)
{
    struct wr_arena a;
    struct wr_s3_config cfg = {.concurrency = 0};
    struct wr_str host, path;
    wr_arena_init(&a, WR_ARENA_MAX);
    enum wr_status st = profile(&a, arg, &cfg, NULL);
    if (st == WR_OK)
        st = wr_s3_address(&a, &cfg, cfg.region, WR_STR("a b"), &host, &path, NULL);
    wr_arena_release(&a);
    return st;
}

static void out_of_memory(void **state)
{
    static char arn[] = "s3://arn:aws:s3:eu-west-1:1:accesspoint/ap", port[] = "s3://b.localhost:1";
    (void)state;
    clean_environment();
    t_sweep_nomem(sweep_body, arn);
    t_sweep_nomem(sweep_body, port);
}

T_MAIN(T_TEST(endpoint_of_aws_tools), T_TEST(hosts), T_TEST(local_endpoints_are_plain),
    T_TEST(addresses), T_TEST(providers), T_TEST(the_environment_is_asked_last), T_TEST(misuse),
    T_TEST(customer_keys), T_TEST(error_codes), T_TEST(out_of_memory))
