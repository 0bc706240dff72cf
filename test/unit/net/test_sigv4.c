/*
 * test_sigv4.c - net/sigv4.h against the examples of the Amazon S3 API Reference and against
 * signatures that botocore made of the same requests.
 */
#include "base/rand.h"
#include "base/url.h"
#include "harness/t.h"
#include "net/sigv4.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define TIME  1369353600000 /* 2013-05-24T00:00:00Z */

struct vector {
    const char *method, *path, *query, *region, *hash, *secret, *access, *names, *signature;
    const char *headers[16]; /* name, value, ... */
};

#define AWS            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "AKIAIOSFODNN7EXAMPLE"
#define BOTO           "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "AKIDEXAMPLE"
#define COMMON(hash)   "x-amz-content-sha256", hash, "x-amz-date", "20130524T000000Z"
#define HOST_HASH_DATE "host;x-amz-content-sha256;x-amz-date"
#define WELCOME        "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
#define HELLO          "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define PART           "37a680133bd09342f934afb8dd2c7d9e1b624da5f35e3a38adb103e37c055ed1"

static const struct vector vectors[] = {
    /* "Examples: Signature Calculations" */
    {"GET", "/test.txt", "", "us-east-1", EMPTY, AWS, "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        {"Host", "examplebucket.s3.amazonaws.com", "Range", "bytes=0-9", COMMON(EMPTY)}},
    {"PUT", "/test%24file.text", "", "us-east-1", WELCOME, AWS,
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        {"Host", "examplebucket.s3.amazonaws.com", "Date", "Fri, 24 May 2013 00:00:00 GMT",
            "x-amz-storage-class", "REDUCED_REDUNDANCY", COMMON(WELCOME)}},
    {"GET", "/", "lifecycle=", "us-east-1", EMPTY, AWS, HOST_HASH_DATE,
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        {"Host", "examplebucket.s3.amazonaws.com", COMMON(EMPTY)}},
    {"GET", "/", "max-keys=2&prefix=J", "us-east-1", EMPTY, AWS, HOST_HASH_DATE,
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        {"Host", "examplebucket.s3.amazonaws.com", COMMON(EMPTY)}},
    /* botocore */
    {"GET", "/", "", "eu-west-1", EMPTY, BOTO, HOST_HASH_DATE,
        "b170259b39e82dd690a5a63259810e6251ae6ef1ce14a95866791e836e83f41e",
        {"host", "bkt.s3.eu-west-1.amazonaws.com", COMMON(EMPTY)}},
    {"GET", "/", "list-type=2&prefix=a%2Fb.db%2F0000%2F&start-after=x%20y", "eu-west-1", EMPTY,
        BOTO, HOST_HASH_DATE, "365544f8667253d0163a5958a6ee17522b81e647c31774069ee6e25540ccd3c6",
        {"host", "bkt.s3.eu-west-1.amazonaws.com", COMMON(EMPTY)}},
    {"PUT", "/a/b%20%2B%28%29%27%21%2A%3D%26%40%3A%2C%24%3B%C3%A9%E4%B8%96~-._", "", "us-east-1",
        HELLO, BOTO,
        "content-type;host;if-none-match;x-amz-content-sha256;x-amz-date;"
        "x-amz-meta-litestream-timestamp",
        "26d710d28fcc0a6bbf85ac61eff9a1e23c13434ff0c55f9173654598b354cdb4",
        {"X-Amz-Meta-Litestream-Timestamp", "2026-11-22T18:48:36.802Z", "Content-Type",
            "application/octet-stream", "If-None-Match", "*", "Host", "bkt.s3.amazonaws.com",
            COMMON(HELLO)}},
    {"POST", "/bkt/k", "uploads=", "us-east-1", EMPTY, BOTO,
        "host;x-amz-content-sha256;x-amz-date;x-amz-server-side-encryption;"
        "x-amz-server-side-encryption-aws-kms-key-id",
        "bade70d8f14f919e9cb221f7e323960574e545558100f6a9d79746e64069e58c",
        {"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "k1", "X-Amz-Server-Side-Encryption",
            "aws:kms", "Host", "127.0.0.1:9000", COMMON(EMPTY)}},
    {"PUT", "/bkt/k", "partNumber=3&uploadId=a%2Fb%2Bc%3D%3D", "us-east-1", PART, BOTO,
        "host;x-amz-content-sha256;x-amz-date;x-amz-security-token",
        "88d480cb1de41ff49b6fa1f1ec7159394ac3682a40985f3fcb360363b0c5aae3",
        {"X-Amz-Security-Token", "tok/EN+with=specials==", "Host", "127.0.0.1:9000", COMMON(PART)}},
    {"HEAD", "//a//b/../c", "", "us-east-1", EMPTY, BOTO, HOST_HASH_DATE,
        "a3e32b512f4d6d747109763b33af9929fecd393eee850828b09385a227447721",
        {"Host", "bkt.s3.amazonaws.com", COMMON(EMPTY)}},
};

static enum wr_status sign(
    struct wr_arena *a, const struct vector *v, struct wr_str *ret, struct wr_err *e)
{
    struct wr_http_header headers[8];
    size_t n = 0;
    for (; v->headers[2 * n] != NULL; n++)
        headers[n] =
            (struct wr_http_header){wr_str(v->headers[2 * n]), wr_str(v->headers[2 * n + 1])};
    const struct wr_sigv4 in = {.method = v->method,
        .path = wr_str(v->path),
        .query = wr_str(v->query),
        .headers = headers,
        .n_headers = n,
        .payload_hash = wr_str(v->hash),
        .access_key = wr_str(v->access),
        .secret_key = wr_str(v->secret),
        .region = wr_str(v->region),
        .service = WR_STR("s3"),
        .time_ms = TIME};
    return wr_sigv4_sign(a, &in, ret, e);
}

static void published_signatures(void **state)
{
    (void)state;
    for (size_t i = 0; i < wr_countof(vectors); i++) {
        const struct vector *v = &vectors[i];
        struct wr_call *c = t_call();
        struct wr_err e = {0};
        struct wr_str got;
        T_OK(sign(c->scratch, v, &got, &e));
        struct wr_str want = wr_arena_fmt(c->scratch,
            "AWS4-HMAC-SHA256 Credential=%s/20130524/%s/s3/aws4_request, SignedHeaders=%s, "
            "Signature=%s",
            v->access, v->region, v->names, v->signature);
        if (!wr_str_eq(got, want))
            fail_msg("vector %zu: " WR_FMT, i, WR_ARG(got));
    }
}

/* The order, case and outer white space of headers do not matter; inner runs count as one. */
static void headers_are_canonical(void **state)
{
    struct wr_call *c = t_call();
    struct wr_err e = {0};
    struct wr_str a, b;
    struct vector v = vectors[0];
    (void)state;
    T_OK(sign(c->scratch, &v, &a, &e));
    static const char *const other[] = {"X-AMZ-DATE", " 20130524T000000Z ", "rAnGe", "bytes=0-9",
        "X-Amz-Content-Sha256", EMPTY, "HOST", "examplebucket.s3.amazonaws.com", NULL};
    memcpy(v.headers, other, sizeof(other));
    T_OK(sign(c->scratch, &v, &b, &e));
    T(wr_str_eq(a, b));

    v.headers[3] = "a   b c";
    T_OK(sign(c->scratch, &v, &a, &e));
    v.headers[3] = "a b    c";
    T_OK(sign(c->scratch, &v, &b, &e));
    T(wr_str_eq(a, b));
    v.headers[3] = "ab c";
    T_OK(sign(c->scratch, &v, &b, &e));
    T(!wr_str_eq(a, b));
}

/* Headers of one name are one line, in the order in which they are sent. */
static void repeated_headers_join(void **state)
{
    struct wr_call *c = t_call();
    struct wr_err e = {0};
    struct wr_str joined, twice, swapped;
    struct vector v = vectors[0];
    (void)state;
    static const char *const one[] = {"host", "h", "x-amz-m", "2,1", NULL};
    static const char *const two[] = {"x-amz-m", "2", "host", "h", "X-Amz-M", "1", NULL};
    static const char *const swap[] = {"x-amz-m", "1", "host", "h", "X-Amz-M", "2", NULL};
    memcpy(v.headers, one, sizeof(one));
    T_OK(sign(c->scratch, &v, &joined, &e));
    memcpy(v.headers, two, sizeof(two));
    T_OK(sign(c->scratch, &v, &twice, &e));
    memcpy(v.headers, swap, sizeof(swap));
    T_OK(sign(c->scratch, &v, &swapped, &e));
    T(wr_str_eq(joined, twice));
    T(!wr_str_eq(joined, swapped));
}

static void dates(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } table[] = {{0, "19700101T000000Z"}, {TIME, "20130524T000000Z"},
        {TIME + 999, "20130524T000000Z"}, {1795892914428, "20261128T190834Z"},
        {951782400000, "20000229T000000Z"}};
    char text[WR_SIGV4_DATE_MAX];
    (void)state;
    for (size_t i = 0; i < wr_countof(table); i++) {
        wr_sigv4_date(text, table[i].ms);
        assert_string_equal(text, table[i].text);
    }
}

static void payload_hash(void **state)
{
    char hex[2 * WR_SHA256_SIZE + 1];
    struct wr_err e = {0};
    (void)state;
    T_OK(wr_sigv4_hash((struct wr_bytes){NULL, 0}, hex, &e));
    assert_string_equal(hex, EMPTY);
    T_OK(wr_sigv4_hash((struct wr_bytes){(const uint8_t *)"hello", 5}, hex, &e));
    assert_string_equal(hex, HELLO);
}

static void queries_are_sorted_and_encoded(void **state)
{
    const struct wr_sigv4_param params[] = {{WR_STR("uploads"), WR_STR("")},
        {WR_STR("prefix"), WR_STR("a/b c+\xc3\xa9")}, {WR_STR("b"), WR_STR("2")},
        {WR_STR("b"), WR_STR("10")}, {WR_STR("b-"), WR_STR("x")}, {WR_STR("B"), WR_STR("~-._")},
        {WR_STR("\xe4"), WR_STR("=&")}};
    struct wr_call *c = t_call();
    struct wr_err e = {0};
    struct wr_str q;
    (void)state;
    T_OK(wr_sigv4_query(c->scratch, params, wr_countof(params), &q, &e));
    assert_string_equal(q.p, "%E4=%3D%26&B=~-._&b=10&b=2&b-=x&prefix=a%2Fb%20c%2B%C3%A9&uploads=");
    T_OK(wr_sigv4_query(c->scratch, params, 0, &q, &e));
    T(q.n == 0);
}

/* Whatever goes in comes out again when the query is taken apart, in order. */
static void random_queries(void **state)
{
    struct wr_rand r;
    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 2000; round++) {
        struct wr_arena a;
        struct wr_err e = {0};
        struct wr_sigv4_param params[8];
        char text[8][2][6];
        struct wr_str q, key, value, last_key = WR_STR(""), last_value = WR_STR("");
        bool used[8] = {false};
        size_t n = wr_rand_below(&r, 9);
        wr_arena_init(&a, WR_ARENA_MAX);
        for (size_t i = 0; i < n; i++) {
            for (int k = 0; k < 2; k++) {
                wr_rand_fill(&r, text[i][k], 6);
                for (int j = 0; j < 6; j++)
                    if (text[i][k][j] == '\0' || wr_rand_below(&r, 2))
                        text[i][k][j] = "ab/+= %&"[wr_rand_below(&r, 8)];
            }
            params[i].name = (struct wr_str){text[i][0], 1 + wr_rand_below(&r, 5)};
            params[i].value = (struct wr_str){text[i][1], wr_rand_below(&r, 6)};
        }
        T_OK(wr_sigv4_query(&a, params, n, &q, &e));
        struct wr_str raw = q;
        size_t seen = 0;
        while (raw.n > 0) {
            struct wr_str pair, raw_key, raw_value;
            (void)wr_str_cut(raw, '&', &pair, &raw);
            T(wr_str_cut(pair, '=', &raw_key, &raw_value));
            int order = wr_str_cmp(last_key, raw_key);
            T(order < 0 || (order == 0 && wr_str_cmp(last_value, raw_value) <= 0));
            last_key = raw_key;
            last_value = raw_value;
            key = wr_url_decode(&a, raw_key);
            value = wr_url_decode(&a, raw_value);
            size_t i = 0;
            while (i < n && (used[i] || !wr_str_eq(params[i].name, key) ||
                                !wr_str_eq(params[i].value, value)))
                i++;
            T(i < n);
            used[i] = true;
            seen++;
        }
        T(seen == n);
        wr_arena_release(&a);
    }
}

static void bounds(void **state)
{
    struct wr_call *c = t_call();
    struct wr_err e = {0};
    struct wr_str out;
    char *secret = wr_arena_alloc(c->scratch, 400);
    struct vector v = vectors[0];
    (void)state;
    memset(secret, 's', 300);
    v.secret = secret;
    T_IS(WR_MISUSE, sign(c->scratch, &v, &out, &e));
    T(strstr(e.text, "sss") == NULL);
}

static enum wr_status sweep_body(void *arg)
{
    const struct wr_sigv4_param params[] = {{WR_STR("b"), WR_STR("2")}, {WR_STR("a"), WR_STR("")}};
    struct wr_arena a;
    struct wr_str out;
    (void)arg;
    wr_arena_init(&a, WR_ARENA_MAX);
    enum wr_status st = wr_sigv4_query(&a, params, 2, &out, NULL);
    if (st == WR_OK)
        st = sign(&a, &vectors[6], &out, NULL);
    wr_arena_release(&a);
    return st;
}

static void out_of_memory(void **state)
{
    (void)state;
    t_sweep_nomem(sweep_body, NULL);
}

T_MAIN(T_TEST(published_signatures), T_TEST(headers_are_canonical), T_TEST(repeated_headers_join),
    T_TEST(dates), T_TEST(payload_hash), T_TEST(queries_are_sorted_and_encoded),
    T_TEST(random_queries), T_TEST(bounds), T_TEST(out_of_memory))
