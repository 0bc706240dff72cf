/*
 * test_str.c - views against plain loops, and numbers against printf.
 */
#include "base/str.h"

#include "base/rand.h"
#include "harness/t.h"

#include <inttypes.h>

/* Short texts from few letters, so that equal ones, prefixes and separators are common. */
static struct wr_str random_text(struct wr_rand *r, char *out, size_t max)
{
    size_t n = wr_rand_below(r, max + 1);

    for (size_t i = 0; i < n; i++)
        out[i] = "aAbB/ \t\0\xff"[wr_rand_below(r, 9)];
    return (struct wr_str){n || wr_rand_below(r, 2) ? out : NULL, n};
}

static bool model_eq(struct wr_str a, struct wr_str b, bool nocase)
{
    for (size_t i = 0; i < a.n && i < b.n; i++) {
        char x = a.p[i];
        char y = b.p[i];

        if (nocase && x >= 'A' && x <= 'Z')
            x = (char)(x + 32);
        if (nocase && y >= 'A' && y <= 'Z')
            y = (char)(y + 32);
        if (x != y)
            return false;
    }
    return a.n == b.n;
}

static int model_cmp(struct wr_str a, struct wr_str b)
{
    for (size_t i = 0; i < a.n && i < b.n; i++) {
        if (a.p[i] != b.p[i])
            return (unsigned char)a.p[i] < (unsigned char)b.p[i] ? -1 : 1;
    }
    return a.n < b.n ? -1 : a.n > b.n;
}

static void check_cut(struct wr_str s, bool last)
{
    struct wr_str head;
    struct wr_str tail;
    size_t at = s.n;
    bool found;

    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '/' && (last || at == s.n))
            at = i;
    }
    found = last ? wr_str_cut_last(s, '/', &head, &tail) : wr_str_cut(s, '/', &head, &tail);
    T(found == (at < s.n));
    T(head.n == at && (at == 0 || head.p == s.p));
    T(tail.n == s.n - at - (found ? 1 : 0));
    T(tail.n == 0 || tail.p == s.p + at + 1);
}

static void check_trim(struct wr_str s)
{
    struct wr_str t = wr_str_trim(s);
    size_t first = 0;

    T(t.n == 0 || (!strchr(" \t\n\v\f\r", t.p[0]) || t.p[0] == '\0'));
    T(t.n == 0 || (!strchr(" \t\n\v\f\r", t.p[t.n - 1]) || t.p[t.n - 1] == '\0'));
    while (first < s.n && (s.p[first] == ' ' || s.p[first] == '\t'))
        first++;
    T(t.n == 0 ? first == s.n : t.p == s.p + first);
    for (size_t i = first + t.n; i < s.n; i++) /* nothing but blanks was dropped */
        T(s.p[i] == ' ' || s.p[i] == '\t');
}

static int sign(int x)
{
    return (x > 0) - (x < 0);
}

static void test_against_loops(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 50000; i++) {
        char x[8];
        char y[8];
        struct wr_str a = random_text(&r, x, 6);
        struct wr_str b = random_text(&r, y, wr_rand_below(&r, 2) ? 6 : 2);
        size_t n = wr_rand_below(&r, a.n + 1);
        struct wr_str rest = wr_str_skip(a, n);

        T(wr_str_eq(a, b) == model_eq(a, b, false));
        T(wr_str_eq_nocase(a, b) == model_eq(a, b, true));
        T(sign(wr_str_cmp(a, b)) == model_cmp(a, b));
        T(wr_str_starts(a, b) == (b.n <= a.n && model_eq((struct wr_str){a.p, b.n}, b, false)));
        T(wr_str_ends(a, b) == (b.n <= a.n && model_eq(wr_str_skip(a, a.n - b.n), b, false)));
        T(rest.n == a.n - n && (rest.n == 0 || rest.p == a.p + n));
        check_cut(a, false);
        check_cut(a, true);
        check_trim(a);
    }
}

static void test_literals(void **state)
{
    struct wr_str s = WR_STR("abc");
    char text[8];

    (void)state;
    T(s.n == 3);
    T(wr_str_eq(wr_str("abc"), s));
    T(wr_str(NULL).n == 0 && wr_str_eq(wr_str(NULL), WR_STR("")));
    (void)snprintf(text, sizeof(text), "<" WR_FMT ">", WR_ARG(wr_str_skip(s, 1)));
    assert_string_equal(text, "<bc>");
    T(wr_str_eq(wr_str_trim(WR_STR(" \t\r\n\v\fx y\n")), WR_STR("x y")));
    T(wr_str_trim(WR_STR(" \n ")).n == 0);
    T(wr_str_eq_nocase(WR_STR("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), WR_STR("abcdefghijklmnopqrstuvwxyz")));
    T(!wr_str_eq_nocase(WR_STR("\xc4"), WR_STR("\xe4"))); /* ASCII only */
    T(!wr_str_eq_nocase(WR_STR("@["), WR_STR("`{")));     /* and letters only */
}

static void test_u64(void **state)
{
    static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "0x1", "1.0", "a", "1a",
        "1:", "1/", "18446744073709551616", "18446744073709551620", "28446744073709551615",
        "99999999999999999999999"};
    struct wr_rand r;
    uint64_t v = 3;

    (void)state;
    for (size_t i = 0; i < wr_countof(bad); i++)
        T(!wr_parse_u64(wr_str(bad[i]), &v) && v == 3);
    T(!wr_parse_u64((struct wr_str){NULL, 0}, &v));
    T(!wr_parse_u64((struct wr_str){"1\0002", 3}, &v));
    T(wr_parse_u64(WR_STR("18446744073709551615"), &v) && v == UINT64_MAX);
    T(wr_parse_u64(WR_STR("000000000000000000000000000007"), &v) && v == 7);
    T(wr_parse_u64((struct wr_str){"123", 2}, &v) && v == 12);
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 20000; i++) {
        uint64_t want = wr_rand_u64(&r) >> wr_rand_below(&r, 64);
        char text[32];

        (void)snprintf(text, sizeof(text), "%" PRIu64, want);
        T(wr_parse_u64(wr_str(text), &v) && v == want);
        (void)snprintf(text, sizeof(text), "%" PRIx64, want);
        T(wr_parse_hex64(wr_str(text), &v) && v == want);
        (void)snprintf(text, sizeof(text), "%016" PRIX64, want);
        T(wr_parse_hex64(wr_str(text), &v) && v == want);
    }
}

static void test_i64(void **state)
{
    static const char *const bad[] = {"", "-", "--1", "+1", "-+1", "1-", "9223372036854775808",
        "-9223372036854775809", "-99999999999999999999"};
    struct wr_rand r;
    int64_t v = 3;

    (void)state;
    for (size_t i = 0; i < wr_countof(bad); i++)
        T(!wr_parse_i64(wr_str(bad[i]), &v) && v == 3);
    T(wr_parse_i64(WR_STR("9223372036854775807"), &v) && v == INT64_MAX);
    T(wr_parse_i64(WR_STR("-9223372036854775808"), &v) && v == INT64_MIN);
    T(wr_parse_i64(WR_STR("-0"), &v) && v == 0);
    wr_rand_init(&r, t_seed());
    for (int i = 0; i < 20000; i++) {
        int64_t want = (int64_t)(wr_rand_u64(&r) >> 1 >> wr_rand_below(&r, 63));
        char text[32];

        if (wr_rand_below(&r, 2))
            want = -want;
        (void)snprintf(text, sizeof(text), "%" PRId64, want);
        T(wr_parse_i64(wr_str(text), &v) && v == want);
    }
}

static void test_hex(void **state)
{
    static const char *const bad[] = {"", "g", "0x1", "-1", " 1", "00000000000000001", "a b", "@"};
    uint64_t v = 3;

    (void)state;
    for (size_t i = 0; i < wr_countof(bad); i++)
        T(!wr_parse_hex64(wr_str(bad[i]), &v) && v == 3);
    T(wr_parse_hex64(WR_STR("fFfFfFfFfFfFfFfF"), &v) && v == UINT64_MAX);
    T(wr_parse_hex64(WR_STR("0"), &v) && v == 0);
}

static void test_bool(void **state)
{
    static const char *const yes[] = {
        "true", "TRUE", "True", "1", "t", "T", "yes", "Yes", "on", "ON"};
    static const char *const no[] = {"false", "False", "0", "f", "F", "no", "NO", "off", "oFf"};
    static const char *const bad[] = {"", "tru", "truee", "2", "y", "n", " true", "o", "00"};
    bool v;

    (void)state;
    for (size_t i = 0; i < wr_countof(yes); i++) {
        v = false;
        T(wr_parse_bool(wr_str(yes[i]), &v) && v);
    }
    for (size_t i = 0; i < wr_countof(no); i++) {
        v = true;
        T(wr_parse_bool(wr_str(no[i]), &v) && !v);
    }
    for (size_t i = 0; i < wr_countof(bad); i++) {
        v = i % 2;
        T(!wr_parse_bool(wr_str(bad[i]), &v) && v == i % 2);
    }
}

T_MAIN(T_TEST(test_against_loops), T_TEST(test_literals), T_TEST(test_u64), T_TEST(test_i64),
    T_TEST(test_hex), T_TEST(test_bool))
