/*
 * Environment variables in text and abbreviated paths.
 */
#include "base/mem.h"
#include "base/rand.h"
#include "daemon/expand.h"
#include "harness/t.h"

#include <unistd.h>

static char unset_names[256];

static struct wr_buf out;

static void note_unset(void *arg, struct wr_str name, bool is_set, size_t off, size_t out_off)
{
    const char *text = arg;
    size_t n = strlen(unset_names);

    assert_int_equal(text[off], '$');
    assert_int_equal(out_off, out.n);
    (void)snprintf(unset_names + n, sizeof(unset_names) - n, "%s" WR_FMT "%s", n ? "," : "",
        WR_ARG(name), is_set ? "=" : "");
}

static void expect(const char *text, const char *want, const char *want_unset)
{
    char copy[256];

    unset_names[0] = 0;
    (void)snprintf(copy, sizeof(copy), "%s", text);
    wr_buf_init(&out, 1 << 16);
    wr_expand_env(&out, wr_str(copy), note_unset, copy);
    wr_buf_byte(&out, 0);
    T(wr_buf_status(&out) == WR_OK);
    assert_string_equal((const char *)out.p, want);
    assert_string_equal(unset_names, want_unset);
    wr_buf_release(&out);
}

static int set_up(void **state)
{
    (void)state;
    return setenv("T_A", "one", 1) || setenv("T_EMPTY", "", 1) || unsetenv("T_NO") ||
           unsetenv("1") || setenv("PID", "wrong", 1);
}

static void test_forms(void **state)
{
    char pid[32];

    (void)state;
    expect("", "", "");
    expect("plain text", "plain text", "");
    expect("$T_A", "one", "");
    expect("a${T_A}b", "aoneb", "");
    expect("$T_A$T_A", "oneone", "");
    expect("$T_A-x", "one-x", "");
    expect("$T_EMPTY.", ".", "T_EMPTY="); /* set, though empty */
    expect("[$T_NO]", "[]", "T_NO");
    expect("[${T_NO:-x}]", "[x]", "");
    expect("[${T_EMPTY:-a:-b}${T_A:-x}${T_NO:-}]", "[a:-bone]", ""); /* nothing was meant */
    expect("${T_NO:-$T_A}", "$T_A", "");                             /* expanded once */
    expect("[${T_NO:x}]", "[]", "T_NO:x");
    (void)snprintf(pid, sizeof(pid), "%lld %lld", (long long)getpid(), (long long)getpid());
    expect("$PID ${PID}", pid, "");
}

static void test_odd(void **state)
{
    (void)state;
    expect("$", "$", "");
    expect("5$ and $.", "5$ and $.", "");
    expect("$$", "", "$");
    expect("$1x", "x", "1");
    expect("${*}", "", "*");
    expect("a${}b", "ab", "");
    expect("a${T_A", "aT_A", ""); /* only the opening is swallowed */
    expect("a${", "a", "");
}

static void expect_path(const char *path, const char *want)
{
    struct wr_err e = {0};
    const char *got;

    T_OK(wr_expand_path(t_call()->scratch, wr_str(path), &got, &e));
    assert_string_equal(got, want);
}

static void test_path(void **state)
{
    struct wr_err e = {0};
    const char *dir = t_tmpdir(), *got;
    char cwd[4096];

    (void)state;
    T(setenv("HOME", "/home/me", 1) == 0);
    expect_path("/a//b/../c", "/a/c");
    expect_path("~", "/home/me");
    expect_path("~/x.db", "/home/me/x.db");
    expect_path("sqlite:///x.db", "/x.db");
    expect_path("sqlite3:///x.db", "/x.db");
    expect_path("sqlite://~/x.db", "/home/me/x.db");
    T(chdir(dir) == 0 && getcwd(cwd, sizeof(cwd)));
    expect_path("x.db", t_path(cwd, "x.db"));
    expect_path("./y/../x.db", t_path(cwd, "x.db"));
    expect_path("~user", t_path(cwd, "~user")); /* an ordinary name: not offered */
    T_IS(WR_MISUSE, wr_expand_path(t_call()->scratch, wr_str(""), &got, &e));
    T_IS(WR_MISUSE, wr_expand_path(t_call()->scratch, wr_str("sqlite://"), &got, &e));
    T(unsetenv("HOME") == 0);
    T_IS(WR_MISUSE, wr_expand_path(t_call()->scratch, wr_str("~/x"), &got, &e));
    assert_string_equal(e.text, "cannot expand ~/x: HOME is not set");
}

/* Any bytes: no crash, and text without a '$' stays as it is. */
static void test_random(void **state)
{
    static const char alphabet[] = "$${}ab_1* \n";
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 5000; round++) {
        struct wr_buf buf;
        char text[24];
        size_t n = wr_rand_below(&r, sizeof(text));
        char *exact;

        for (size_t i = 0; i < n; i++)
            text[i] = alphabet[wr_rand_below(&r, sizeof(alphabet) - 1)];
        exact = wr_strndup(text, n); /* so that the sanitizer sees a read past the end */
        T(exact);
        wr_buf_init(&buf, 1 << 12);
        wr_expand_env(&buf, (struct wr_str){exact, n}, NULL, NULL);
        T(wr_buf_status(&buf) == WR_OK);
        if (!memchr(text, '$', n))
            T(wr_str_eq(wr_buf_view(&buf), (struct wr_str){text, n}));
        wr_buf_release(&buf);
        wr_free(exact);
    }
}

static enum wr_status sweep_env(void *arg)
{
    struct wr_buf buf;
    enum wr_status st;

    (void)arg;
    wr_buf_init(&buf, 100);
    wr_expand_env(&buf, WR_STR("x $T_A y ${T_NO} $PID"), NULL, NULL);
    st = wr_buf_status(&buf);
    wr_buf_release(&buf);
    return st;
}

static enum wr_status sweep_path(void *arg)
{
    struct wr_arena a;
    const char *got;
    enum wr_status st;

    (void)arg;
    wr_arena_init(&a, WR_ARENA_MAX);
    st = wr_expand_path(&a, WR_STR("x/../y.db"), &got, NULL);
    wr_arena_release(&a);
    return st;
}

static void test_nomem(void **state)
{
    (void)state;
    t_sweep_nomem(sweep_env, NULL);
    t_sweep_nomem(sweep_path, NULL);
}

T_MAIN(cmocka_unit_test_setup(test_forms, set_up), cmocka_unit_test_setup(test_odd, set_up),
    T_TEST(test_path), T_TEST(test_random), cmocka_unit_test_setup(test_nomem, set_up))
