/*
 * test_log.c - what reaches the sink, and fields as text and JSON, the latter read back by jansson.
 */
#include "base/log.h"

#include "base/buf.h"
#include "base/rand.h"
#include "harness/t.h"

#include <inttypes.h>
#include <jansson.h>

struct seen {
    int n;
    enum wr_log_level level;
    const char *msg;
    struct wr_log_field fields[4];
    size_t fields_n;
};

static void sink(void *arg, enum wr_log_level level, const char *msg,
    const struct wr_log_field *fields, size_t n)
{
    struct seen *s = arg;

    T(n <= wr_countof(s->fields));
    s->n++;
    s->level = level;
    s->msg = msg;
    memcpy(s->fields, fields, n * sizeof(*fields));
    s->fields_n = n;
}

static void test_emit(void **state)
{
    struct seen seen = {0};
    struct wr_log log = {.sink = sink, .arg = &seen, .min_level = WR_INFO};
    struct wr_log silent = {0};

    (void)state;
    wr_log(&log, WR_WARN, "lagging", WR_F_Z("db", "/x"), WR_F_U64("files", 7));
    T(seen.n == 1 && seen.level == WR_WARN && seen.fields_n == 2);
    assert_string_equal(seen.msg, "lagging");
    assert_string_equal(seen.fields[0].key, "db");
    T(seen.fields[0].kind == WR_LOG_STR && wr_str_eq(seen.fields[0].v.s, WR_STR("/x")));
    T(seen.fields[1].kind == WR_LOG_U64 && seen.fields[1].v.u == 7);

    wr_log(&log, WR_DEBUG, "detail", WR_F_I64("n", -1));
    T(seen.n == 1);
    wr_log(&log, WR_INFO, "state", WR_F_TXID("txid", 42));
    T(seen.n == 2 && seen.fields[0].kind == WR_LOG_TXID);
    wr_log(&log, WR_ERROR, "stopped", WR_F_MS("after", 5));
    T(seen.n == 3 && seen.fields[0].kind == WR_LOG_MS);

    wr_log(NULL, WR_ERROR, "unheard", WR_F_I64("n", 1));
    wr_log(&silent, WR_ERROR, "unheard", WR_F_I64("n", 1));
    T(seen.n == 3);
}

static const struct wr_log_field examples[] = {
    {.key = "db", .kind = WR_LOG_STR, .v.s = {"/a b", 4}},
    {.key = "n", .kind = WR_LOG_U64, .v.u = UINT64_MAX},
    {.key = "d", .kind = WR_LOG_I64, .v.i = INT64_MIN},
    {.key = "took", .kind = WR_LOG_MS, .v.i = 61500},
    {.key = "txid", .kind = WR_LOG_TXID, .v.u = 0x2a},
    {.key = "key", .kind = WR_LOG_SECRET, .v.s = {"hunter2", 7}},
};

static void test_rendering(void **state)
{
    struct wr_buf b;

    (void)state;
    wr_buf_init(&b, 4096);
    wr_log_json(&b, examples, wr_countof(examples));
    assert_string_equal(wr_buf_view(&b).p,
        "{\"db\":\"/a b\",\"n\":18446744073709551615,\"d\":-9223372036854775808,\"took\":61500,"
        "\"txid\":\"000000000000002a\",\"key\":\"***\"}");
    wr_buf_clear(&b);
    wr_log_text(&b, examples, wr_countof(examples));
    assert_string_equal(wr_buf_view(&b).p,
        "db=\"/a b\" n=18446744073709551615 d=-9223372036854775808 took=1m1.5s "
        "txid=000000000000002a key=***");
    wr_buf_clear(&b);
    wr_log_json(&b, NULL, 0);
    assert_string_equal(wr_buf_view(&b).p, "{}");
    wr_buf_clear(&b);
    wr_log_text(&b, NULL, 0);
    T(b.n == 0);
    wr_buf_release(&b);
}

static void test_durations(void **state)
{
    static const struct {
        int64_t ms;
        const char *want;
    } cases[] = {
        {0, "d=0s"},
        {1, "d=1ms"},
        {999, "d=999ms"},
        {1000, "d=1s"},
        {1050, "d=1.05s"},
        {1001, "d=1.001s"},
        {59999, "d=59.999s"},
        {60000, "d=1m0s"},
        {3600000, "d=1h0m0s"},
        {3661100, "d=1h1m1.1s"},
        {90000000, "d=25h0m0s"},
        {-1500, "d=-1.5s"},
        {INT64_MIN, "d=-2562047788015h12m55.808s"},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        struct wr_log_field f = WR_F_MS("d", cases[i].ms);
        struct wr_buf b;

        wr_buf_init(&b, 100);
        wr_log_text(&b, &f, 1);
        assert_string_equal(wr_buf_view(&b).p, cases[i].want);
        wr_buf_release(&b);
    }
}

/* Short durations go through the parser and come back. */
static void test_durations_parse_back(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 5000; i++) {
        int64_t ms = (int64_t)(wr_rand_below(&r, 1000000000) >> wr_rand_below(&r, 30));
        struct wr_log_field f = WR_F_MS("d", ms);
        struct wr_buf b;
        int64_t back_ns = -1;

        wr_buf_init(&b, 100);
        wr_log_text(&b, &f, 1);
        T(wr_parse_duration(wr_str_skip(wr_buf_view(&b), 2), &back_ns));
        T((back_ns + 500000) / 1000000 == ms); /* fractions pass through double */
        wr_buf_release(&b);
    }
}

static void check_text(struct wr_str value, const char *want)
{
    struct wr_log_field f = WR_F_STR("k", value);
    struct wr_buf b;

    wr_buf_init(&b, 1000);
    wr_log_text(&b, &f, 1);
    assert_string_equal(wr_buf_view(&b).p, want);
    wr_buf_release(&b);
}

static void test_quoting(void **state)
{
    (void)state;
    check_text(WR_STR("plain/path-1.db"), "k=plain/path-1.db");
    check_text(WR_STR(""), "k=\"\"");
    check_text((struct wr_str){NULL, 0}, "k=\"\"");
    check_text(WR_STR("a=b"), "k=\"a=b\"");
    check_text(WR_STR("say \"hi\""), "k=\"say \\\"hi\\\"\"");
    check_text(WR_STR("back\\slash"), "k=back\\slash");
    check_text(WR_STR("back\\slash and blank"), "k=\"back\\\\slash and blank\"");
    check_text(WR_STR("line\nfeed\r\t"), "k=\"line\\nfeed\\r\\t\"");
    check_text(WR_STR("esc\x1b[31m"), "k=\"esc\\u001b[31m\"");
    check_text(WR_STR("del\x7f"), "k=\"del\\u007f\"");
    check_text(WR_STR("nul\0!"), "k=\"nul\\u0000!\"");
    check_text(WR_STR("c1\xc2\x9b"), "k=\"c1\\u009b\"");
    check_text(WR_STR("gr\xc3\xbc\xc3\x9f"), "k=gr\xc3\xbc\xc3\x9f");
    check_text(WR_STR("\xf0\x9f\x90\x8b"), "k=\xf0\x9f\x90\x8b");
    check_text(WR_STR("bad\xff"), "k=\"bad\\ufffd\"");
    check_text(WR_STR("\xc3"), "k=\"\\ufffd\"");                       /* truncated */
    check_text(WR_STR("\xc0\xaf"), "k=\"\\ufffd\\ufffd\"");            /* overlong */
    check_text(WR_STR("\xe0\x80\xaf"), "k=\"\\ufffd\\ufffd\\ufffd\""); /* overlong */
    check_text(WR_STR("\xed\xa0\x80"), "k=\"\\ufffd\\ufffd\\ufffd\""); /* a surrogate */
    check_text(WR_STR("\xf4\x90\x80\x80"), "k=\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
    check_text(WR_STR("\xe2\x82x"), "k=\"\\ufffd\\ufffdx\"");
}

/* A character by its number, as UTF-8. */
static size_t put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

static size_t random_utf8(struct wr_rand *r, char *out, size_t characters)
{
    size_t n = 0;

    while (characters--) {
        uint32_t c = (uint32_t)wr_rand_below(r, UINT64_C(1) << (4 + wr_rand_below(r, 17)));

        if (c >= 0xd800 && c < 0xe000)
            c = 'x';
        n += put_utf8(out + n, wr_min(c, UINT32_C(0x10ffff)));
    }
    return n;
}

static void test_json_is_read_back(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 5000; i++) {
        char text[100];
        size_t n = random_utf8(&r, text, wr_rand_below(&r, 20));
        struct wr_log_field f[] = {
            WR_F_STR("text", ((struct wr_str){text, n})),
            WR_F_I64("n", (int64_t)wr_rand_u64(&r)),
        };
        struct wr_buf b;
        json_t *doc;
        json_t *value;

        wr_buf_init(&b, 4096);
        wr_log_json(&b, f, 2);
        doc = json_loadb((const char *)b.p, b.n, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
        T(doc != NULL);
        value = json_object_get(doc, "text");
        T(json_string_length(value) == n);
        T(memcmp(json_string_value(value), text, n) == 0);
        T(json_integer_value(json_object_get(doc, "n")) == f[1].v.i);
        json_decref(doc);
        wr_buf_release(&b);
    }
}

/* Whatever bytes come, the JSON is valid and neither form holds a control character. */
static void test_garbage(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 5000; i++) {
        char bytes[40];
        struct wr_str s = {bytes, wr_rand_below(&r, sizeof(bytes))};
        struct wr_log_field f = WR_F_STR("k", s);
        struct wr_buf b;
        json_t *doc;

        wr_rand_fill(&r, bytes, sizeof(bytes));
        wr_buf_init(&b, 4096);
        wr_log_json(&b, &f, 1);
        doc = json_loadb((const char *)b.p, b.n, JSON_ALLOW_NUL, NULL);
        T(doc != NULL);
        json_decref(doc);
        wr_log_text(&b, &f, 1);
        for (size_t j = 0; j < b.n; j++)
            T(b.p[j] >= 0x20 && b.p[j] != 0x7f);
        wr_buf_release(&b);
    }
}

static void test_limit_latches(void **state)
{
    struct wr_buf b;

    (void)state;
    wr_buf_init(&b, 10);
    wr_log_json(&b, examples, wr_countof(examples));
    T(wr_buf_status(&b) == WR_LIMIT && b.n <= 10);
    wr_buf_release(&b);
}

T_MAIN(T_TEST(test_emit), T_TEST(test_rendering), T_TEST(test_durations),
    T_TEST(test_durations_parse_back), T_TEST(test_quoting), T_TEST(test_json_is_read_back),
    T_TEST(test_garbage), T_TEST(test_limit_latches))
