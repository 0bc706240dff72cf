/*
 * test_url.c - replica URLs taken apart, put together, and shown without their secrets.
 */
#include "base/url.h"

#include "base/rand.h"
#include "harness/t.h"

static bool is(struct wr_str s, const char *want)
{
    return wr_str_eq(s, wr_str(want));
}

static struct wr_arena *scratch(void)
{
    return t_call()->scratch;
}

static bool contains(struct wr_str s, const char *part)
{
    size_t n = strlen(part);

    for (size_t i = 0; i + n <= s.n; i++) {
        if (memcmp(s.p + i, part, n) == 0)
            return true;
    }
    return false;
}

static void test_is(void **state)
{
    static const char *const yes[] = {"s3://b", "FILE://", "a_1://x", "0://"};
    static const char *const no[] = {"", "://b", "/a", "s3:/b", "s3:", "s-3://b", "a b://c", "s3",
        "/s3://b", "C:\\x", "file:rel"};

    (void)state;
    for (size_t i = 0; i < wr_countof(yes); i++)
        T(wr_url_is(wr_str(yes[i])));
    for (size_t i = 0; i < wr_countof(no); i++)
        T(!wr_url_is(wr_str(no[i])));
}

static void test_parse(void **state)
{
    /* URL, then scheme, user, password, host, port, path, query */
    static const char *const cases[][8] = {
        {"s3://bkt", "s3", "", "", "bkt", "", "", ""},
        {"s3://bkt/", "s3", "", "", "bkt", "", "/", ""},
        {"s3://bkt/a//b?x=1&y", "s3", "", "", "bkt", "", "/a//b", "x=1&y"},
        {"s3://bkt?x=/a?b", "s3", "", "", "bkt", "", "", "x=/a?b"},
        {"S3://Bkt/A", "s3", "", "", "Bkt", "", "/A", ""},
        {"FILE:///var/db%20x", "file", "", "", "", "", "/var/db%20x", ""},
        {"file://", "file", "", "", "", "", "", ""},
        {"file:///var/C#/#1?x=1", "file", "", "", "", "", "/var/C#/#1", "x=1"},
        {"s3://B.localhost:9000/k", "s3", "", "", "B.localhost", "9000", "/k", ""},
        {"s3://arn:aws:s3:us-east-1:123456789012:accesspoint/name/key", "s3", "", "",
            "arn:aws:s3:us-east-1:123456789012:accesspoint", "", "/name/key", ""},
        {"s3://arn:aws:s3:us-east-1:42/key", "s3", "", "", "arn:aws:s3:us-east-1:42", "", "/key",
            ""},
        {"sftp://u:p@h:22/abs", "sftp", "u", "p", "h", "22", "/abs", ""},
        {"sftp://u%40x:p%2Fw%3a@h/abs", "sftp", "u@x", "p/w:", "h", "", "/abs", ""},
        {"sftp://u:a:b@c@h/p@q", "sftp", "u", "a:b@c", "h", "", "/p@q", ""},
        {"abs://account@container/prefix", "abs", "account", "", "container", "", "/prefix", ""},
        {"webdav://:p@h/", "webdav", "", "p", "h", "", "/", ""},
        {"webdav://@h:/", "webdav", "", "", "h", "", "/", ""},
        {"nats://[::1]:4222/B", "nats", "", "", "[::1]", "4222", "/B", ""},
        {"nats://[fe80::1]/B", "nats", "", "", "[fe80::1]", "", "/B", ""},
        {"sftp://h:65535/a b", "sftp", "", "", "h", "65535", "/a b", ""},
        {"sftp://u:%zz%@h/", "sftp", "u", "%zz%", "h", "", "/", ""},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        struct wr_url u;
        struct wr_err e = {0};

        T_OK(wr_url_parse(scratch(), wr_str(cases[i][0]), &u, &e));
        T(is(u.scheme, cases[i][1]));
        T(is(u.user, cases[i][2]));
        T(is(u.password, cases[i][3]));
        T(is(u.host, cases[i][4]));
        T(is(u.port, cases[i][5]));
        T(is(u.path, cases[i][6]));
        T(is(u.query, cases[i][7]));
    }
}

static void test_parse_refuses(void **state)
{
    static const char *const cases[] = {
        "",
        "SECRET",
        "s3:/SECRET",
        "sftp://u:SECRET/SECRET@h/p",
        "sftp://u:SECRET?SECRET@h/p",
        "sftp://u:SECRET#SECRET@h/p",
        "s3://b/p#SECRET",
        "s3://b/p\n?k=SECRET",
        "s3://b/p\x7f?k=SECRET",
        "sftp://SECRET:SECRET@h:65536/p?k=SECRET",
        "sftp://SECRET:SECRET@h:1x/p?k=SECRET",
        "sftp://SECRET:SECRET@h:000022/p?k=SECRET",
        "sftp://SECRET:SECRET@[::1/p?k=SECRET",
        "sftp://SECRET:SECRET@[::1]22/p?k=SECRET",
        "sftp://SECRET:SECRET@[::1]:x/p?k=SECRET",
        "sftp://SECRET:SECRET@fe80::1:22/p?k=SECRET",
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        struct wr_url u = {.port = WR_STR("untouched")};
        struct wr_err e = {0};

        T_IS(WR_MISUSE, wr_url_parse(scratch(), wr_str(cases[i]), &u, &e));
        T(e.text[0] != '\0' && strstr(e.text, "SECRET") == NULL);
        T(is(u.port, "untouched"));
    }

    /* A NUL is a control character; views may hold one. */
    struct wr_url u;
    struct wr_err e = {0};
    T_IS(WR_MISUSE, wr_url_parse(scratch(), (struct wr_str){"s3://b\0c", 8}, &u, &e));
}

static void test_query(void **state)
{
    static const char *const want[][2] = {
        {"a", "1"}, {"b c", "2 3"}, {"d", ""}, {"", "e"}, {"f", "x=y"}, {"g%", "%4"}, {"h", "+"}};
    struct wr_str query = WR_STR("a=1&&b+c=2%203&d&=e&f=x=y&g%=%4&h=%2b&");
    struct wr_str key;
    struct wr_str value;
    struct wr_arena *a = scratch();

    (void)state;
    for (size_t i = 0; i < wr_countof(want); i++) {
        T(wr_url_query_next(a, &query, &key, &value));
        T(is(key, want[i][0]));
        T(is(value, want[i][1]));
    }
    T(!wr_url_query_next(a, &query, &key, &value));
    T(query.n == 0);
    T(!wr_url_query_next(a, &query, &key, &value));
}

static void test_key_is(void **state)
{
    static const char *const yes[][2] = {{"endpoint", "endpoint"}, {"part-size", "part-size"},
        {"partSize", "part-size"}, {"requireContentMD5", "require-content-md5"},
        {"requireContentMd5", "require-content-md5"}};
    static const char *const no[][2] = {{"Endpoint", "endpoint"}, {"partsize", "part-size"},
        {"part_size", "part-size"}, {"partSiz", "part-size"}, {"partSizes", "part-size"},
        {"PartSize", "part-size"}, {"", "endpoint"}};

    (void)state;
    for (size_t i = 0; i < wr_countof(yes); i++)
        T(wr_url_key_is(wr_str(yes[i][0]), yes[i][1]));
    for (size_t i = 0; i < wr_countof(no); i++)
        T(!wr_url_key_is(wr_str(no[i][0]), no[i][1]));
}

static void test_decode(void **state)
{
    struct wr_arena *a = scratch();

    (void)state;
    T(is(wr_url_decode(a, WR_STR("a%20b%2Fc%2fd+e")), "a b/c/d+e"));
    T(is(wr_url_decode(a, WR_STR("%")), "%"));
    T(is(wr_url_decode(a, WR_STR("%4")), "%4"));
    T(is(wr_url_decode(a, WR_STR("%4g%g4%%41")), "%4g%g4%A"));
    T(wr_str_eq(wr_url_decode(a, WR_STR("%00")), (struct wr_str){"", 1}));
    T(is(wr_url_decode(a, (struct wr_str){"%41", 2}), "%4")); /* no byte beyond the view */
    T(wr_url_decode(a, (struct wr_str){0}).p != NULL);
}

static void test_encode(void **state)
{
    struct wr_buf b;

    (void)state;
    wr_buf_init(&b, 1000);
    wr_url_encode(&b, WR_STR("AZaz09-._~ /+=\xc3\xa9%"), false);
    T(is(wr_buf_view(&b), "AZaz09-._~%20%2F%2B%3D%C3%A9%25"));
    wr_buf_clear(&b);
    wr_url_encode(&b, WR_STR("a/b c"), true);
    T(is(wr_buf_view(&b), "a/b%20c"));
    wr_buf_release(&b);
}

/* Random text of bytes that mean something somewhere; never NUL. */
static struct wr_str random_text(struct wr_rand *r, char *out, size_t max)
{
    static const char bytes[] = "aZ09-._~%/?#@:&=+ []\xff\x01";
    size_t n = (size_t)wr_rand_below(r, max + 1);

    for (size_t i = 0; i < n; i++)
        out[i] = bytes[wr_rand_below(r, sizeof(bytes) - 1)];
    return (struct wr_str){out, n};
}

/* What encode writes, decode and parse read back, whatever it was. */
static void test_random_round_trips(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 5000; round++) {
        char texts[5][20];
        struct wr_str part[5]; /* user, password, path, key, value */
        struct wr_arena arena;
        struct wr_url u;
        struct wr_buf b;
        struct wr_err e = {0};
        struct wr_str key;
        struct wr_str value;

        wr_arena_init(&arena, WR_ARENA_MAX);
        wr_buf_init(&b, 10000);
        for (size_t i = 0; i < wr_countof(part); i++)
            part[i] = random_text(&r, texts[i], sizeof(texts[i]));
        wr_buf_z(&b, "sftp://");
        wr_url_encode(&b, part[0], false);
        wr_buf_byte(&b, ':');
        wr_url_encode(&b, part[1], false);
        wr_buf_z(&b, "@host:22/");
        wr_url_encode(&b, part[2], true);
        wr_buf_byte(&b, '?');
        wr_url_encode(&b, part[3], false);
        wr_buf_byte(&b, '=');
        wr_url_encode(&b, part[4], false);
        T_OK(wr_url_parse(&arena, wr_buf_view(&b), &u, &e));
        T(wr_str_eq(u.user, part[0]) && wr_str_eq(u.password, part[1]));
        T(is(u.host, "host") && is(u.port, "22"));
        T(wr_str_eq(wr_str_skip(wr_url_decode(&arena, u.path), 1), part[2]));
        T(wr_url_query_next(&arena, &u.query, &key, &value));
        T(wr_str_eq(key, part[3]) && wr_str_eq(value, part[4]));
        wr_buf_release(&b);
        wr_arena_release(&arena);
    }
}

static void test_redact(void **state)
{
    static const char *const cases[][2] = {
        {"s3://bkt/a", "s3://bkt/a"},
        {"s3://bkt/a@b", "s3://bkt/a@b"},
        {"s3://bkt?region=x&sseCustomerKey=abc", "s3://bkt?region=***&sseCustomerKey=***"},
        {"s3://b.localhost:9000/k?a=", "s3://b.localhost:9000/k?a=***"},
        {"s3://bkt?bare", "s3://bkt?***"},
        {"s3://bkt?b%41d=1&&x=2", "s3://bkt?***&***&x=***"},
        {"sftp://u:p@h:22/x", "sftp://u:***@h:22/x"},
        {"sftp://u:@h/x", "sftp://u:***@h/x"},
        {"sftp://u@h/x", "sftp://u@h/x"},
        {"sftp://u:a@b@h/x", "sftp://u:***@h/x"},
        {"sftp://u:12/3@h/x", "sftp://***"},
        {"sftp://u:12?a=3@h/x", "sftp://***"},
        {"sftp://u:p/w@h/x", "sftp://***"},
        {"sftp://u:p@w/x@h/x", "sftp://***"},
        {"sftp://u:p#w@h/x", "sftp://***"},
        {"file:///a#b", "file:///a#b"},
        {"sftp://u:p/x", "sftp://***"},
        {"/var/lib/a@b.db", "/var/lib/a@b.db"},
        {"sftp:/u:p@h/x", "***"},
        {"s3:/b?key=v", "***"},
        {"", ""},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++)
        T(is(wr_url_redact(scratch(), wr_str(cases[i][0])), cases[i][1]));
}

/* A password with anything in it, escaped or not, is never shown, nor put into an error. */
static void test_random_secrets_stay_secret(void **state)
{
    static const char *const pieces[] = {
        "SECRET", "12", "/", "?", "#", "@", ":", "&", "=", "%2F", "[", "]", "arn:", "SECRET"};
    static const char *const tails[] = {"@h/p", "@h:22/p@q", "@h", "@[::1]:22/p?k=SECRET&l=SECRET"};
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 20000; round++) {
        struct wr_arena arena;
        struct wr_buf b;
        struct wr_err e = {0};
        struct wr_url u;

        wr_arena_init(&arena, WR_ARENA_MAX);
        wr_buf_init(&b, 1000);
        wr_buf_z(&b, "sftp://user:");
        for (uint64_t n = wr_rand_below(&r, 6); n > 0; n--)
            wr_buf_z(&b, pieces[wr_rand_below(&r, wr_countof(pieces))]);
        wr_buf_z(&b, tails[wr_rand_below(&r, wr_countof(tails))]);
        T(!contains(wr_url_redact(&arena, wr_buf_view(&b)), "SECRET"));
        if (wr_url_parse(&arena, wr_buf_view(&b), &u, &e) != WR_OK)
            T(strstr(e.text, "SECRET") == NULL);
        wr_buf_release(&b);
        wr_arena_release(&arena);
    }
}

/* The obvious way: a list of names. */
static void model_clean(struct wr_str path, char *out)
{
    struct wr_str names[64];
    size_t count = 0;
    bool rooted = path.n > 0 && path.p[0] == '/';
    struct wr_str name;
    bool more = true;

    while (more) {
        more = wr_str_cut(path, '/', &name, &path);
        if (is(name, "..") && count > 0 && !is(names[count - 1], ".."))
            count--;
        else if (name.n > 0 && !is(name, ".") && !(rooted && is(name, "..")))
            names[count++] = name;
    }
    int n = snprintf(out, 200, "%s", rooted ? "/" : count == 0 ? "." : "");
    for (size_t i = 0; i < count; i++)
        n += snprintf(out + n, 200 - (size_t)n, "%s" WR_FMT, i > 0 ? "/" : "", WR_ARG(names[i]));
}

static void test_host(void **state)
{
    static const struct {
        const char *authority, *host;
    } cases[] = {{"h", "h"}, {"h:80", "h"}, {"", ""}, {":80", ""}, {"[::1]", "[::1]"},
        {"[::1]:80", "[::1]"}, {"[::1]x", "[::1]"}, {"[::1", "[::1"}, {"[", "["},
        {"1.2.3.4:5", "1.2.3.4"}};

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++)
        T(is(wr_url_host(wr_str(cases[i].authority)), cases[i].host));
}

static void test_ipv4(void **state)
{
    static const char *const no[] = {"", "1", "1.2.3", "1.2.3.4.5", "1.2.3.4.", ".1.2.3", "1..2.3",
        "1.2.3.256", "1.2.3.1000", "1.2.3.04", "00.1.2.3", "1.2.3.x", "1.2.3.4x", "+1.2.3.4",
        "0x1.2.3.4", "1.2.3. 4", "1.2.3.-4", "127.1", "2130706433"};
    uint8_t a[4];

    (void)state;
    T(wr_url_ipv4(WR_STR("1.0.255.44"), a) && a[0] == 1 && a[1] == 0 && a[2] == 255 && a[3] == 44);
    for (size_t i = 0; i < wr_countof(no); i++)
        T(!wr_url_ipv4(wr_str(no[i]), a));
}

/* Three places asked this, each in its own way: for one of them any name that began with "127." was
 * this machine, and who had its database served at 127.example.org needed no token. */
static void test_a_name_that_begins_like_an_address(void **state)
{
    static const char *const here[] = {
        "localhost", "LocalHost", "127.0.0.1", "127.0.0.0", "127.255.255.255", "[::1]"};
    static const char *const elsewhere[] = {"", "127.example.org", "127.0.0.1.example.org",
        "127.0.0.example", "127.", "127.1", "127.0.0.256", "127.0.0.01", "0127.0.0.1", "128.0.0.1",
        "27.0.0.1", "10.0.0.1", "0.0.0.0", "localhost.", "localhost.example.org", "x.localhost",
        "mylocalhost", "[::]", "[::1].example.org", "::1", "[::1", "[::2]", "localhost:80"};

    (void)state;
    for (size_t i = 0; i < wr_countof(here); i++)
        T(wr_url_host_is_here(wr_str(here[i])));
    for (size_t i = 0; i < wr_countof(elsewhere); i++)
        T(!wr_url_host_is_here(wr_str(elsewhere[i])));
}

static void test_path_clean(void **state)
{
    static const char *const cases[][2] = {{"", "."}, {".", "."}, {"/", "/"}, {"//", "/"},
        {"a//b/../c", "a/c"}, {"/a/", "/a"}, {"..", ".."}, {"/..", "/"}, {"../../a", "../../a"},
        {"a/../..", ".."}, {"/a/../../b", "/b"}, {"./a/./b/.", "a/b"}, {"...", "..."},
        {"a/..", "."}};
    static const char *const parts[] = {"a", "bc", ".", "..", "/", "/", "/", "..."};
    struct wr_arena *a = scratch();
    struct wr_rand r;

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++)
        T(is(wr_path_clean(a, wr_str(cases[i][0])), cases[i][1]));
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 20000; round++) {
        char path[64];
        char want[200];
        size_t n = 0;

        for (uint64_t left = wr_rand_below(&r, 12); left > 0; left--) {
            const char *part = parts[wr_rand_below(&r, wr_countof(parts))];

            while (*part != '\0')
                path[n++] = *part++;
        }
        model_clean((struct wr_str){path, n}, want);
        struct wr_str got = wr_path_clean(a, (struct wr_str){path, n});
        T(is(got, want));
        T(wr_str_eq(wr_path_clean(a, got), got));
    }
}

static enum wr_status all_body(void *arg)
{
    struct wr_str url = WR_STR("sftp://user:p%20w@host:22/a/../b?k=v%20w&l=m");
    struct wr_url u;
    struct wr_str key;
    struct wr_str value;
    struct wr_arena a;
    struct wr_err e = {0};
    enum wr_status st = WR_NOMEM;

    (void)arg;
    wr_arena_init(&a, WR_ARENA_MAX);
    if (wr_url_parse(&a, url, &u, &e) != WR_OK)
        goto out;
    while (wr_url_query_next(&a, &u.query, &key, &value))
        ;
    if (u.query.n > 0 || wr_url_redact(&a, url).p == NULL || wr_path_clean(&a, u.path).p == NULL ||
        wr_url_decode(&a, url).p == NULL)
        goto out;
    st = WR_OK;
out:
    wr_arena_release(&a);
    return st;
}

/* The same with an arena that ends after `arg` bytes: each function must notice. */
static void test_out_of_memory(void **state)
{
    struct wr_str url = WR_STR("sftp://a-rather-long-name:p%20w@host/?k=v%20w&l=m");

    (void)state;
    t_sweep_nomem(all_body, NULL);
    for (size_t max = 0; max < 400; max++) {
        struct wr_arena a;
        struct wr_url u = {.query = WR_STR("k=v%20w&l=m")};
        struct wr_str key;
        struct wr_str value;
        struct wr_err e = {0};

        wr_arena_init(&a, max);
        enum wr_status st = wr_url_parse(&a, url, &u, &e);
        T(st == WR_OK || st == WR_NOMEM);
        T(wr_str_eq(u.query, WR_STR("k=v%20w&l=m")));
        T(st != WR_OK ||
            (is(u.scheme, "sftp") && is(u.user, "a-rather-long-name") && is(u.password, "p w")));
        int pairs = 0;
        while (wr_url_query_next(&a, &u.query, &key, &value)) {
            T(key.n == 1 && value.n > 0);
            pairs++;
        }
        T(pairs == 2 ? u.query.n == 0 : u.query.n > 0);
        wr_arena_release(&a);
    }
}

T_MAIN(T_TEST(test_is), T_TEST(test_parse), T_TEST(test_parse_refuses), T_TEST(test_query),
    T_TEST(test_key_is), T_TEST(test_decode), T_TEST(test_encode), T_TEST(test_random_round_trips),
    T_TEST(test_redact), T_TEST(test_random_secrets_stay_secret), T_TEST(test_host),
    T_TEST(test_ipv4), T_TEST(test_a_name_that_begins_like_an_address), T_TEST(test_path_clean),
    T_TEST(test_out_of_memory))
