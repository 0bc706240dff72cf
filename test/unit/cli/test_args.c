/*
 * Flags: their forms, every kind of value, errors, positionals in between, and random command lines
 * against the list they were made from.
 */
#include "base/rand.h"
#include "cli/args.h"
#include "harness/t.h"

#include <weir.h>

struct options {
    const char *text;
    struct wr_texts texts;
    bool yes;
    uint32_t count;
    int64_t wait_ms, time_ms;
    uint64_t txid, txnum;
    int64_t limit_ms;
    int32_t level;
};

static const struct wr_flag flags[] = {
    {"text", WR_FLAG_TEXT, offsetof(struct options, text), "T", "a text"},
    {"more", WR_FLAG_TEXTS, offsetof(struct options, texts), "T", "texts"},
    {"yes", WR_FLAG_BOOL, offsetof(struct options, yes), NULL, "a bool"},
    {"count", WR_FLAG_COUNT, offsetof(struct options, count), "N", "a count"},
    {"wait", WR_FLAG_DURATION, offsetof(struct options, wait_ms), "D", "a duration"},
    {"time", WR_FLAG_TIME, offsetof(struct options, time_ms), "T", "a time"},
    {"txid", WR_FLAG_TXID, offsetof(struct options, txid), "X", "a txid"},
    {"txnum", WR_FLAG_TXNUM, offsetof(struct options, txnum), "X", "a txid, or a number"},
    {"limit", WR_FLAG_SECONDS, offsetof(struct options, limit_ms), "S", "seconds"},
    {"level", WR_FLAG_LEVEL, offsetof(struct options, level), "L", "a level"},
    {0},
};

#define NOW_MS 1700000000000

static struct options o;
static struct wr_args args;
static const char *positional[64];

/* Parse a NULL-terminated list of arguments. */
static enum wr_status parse(const char *const *list, struct wr_err *e)
{
    static char copies[64][64], *argv[65]; /* as main gets them: not constant */
    size_t argc = 0;

    for (; list[argc]; argc++) {
        T((size_t)snprintf(copies[argc], sizeof(copies[argc]), "%s", list[argc]) < 64);
        argv[argc] = copies[argc];
    }
    argv[argc] = NULL;
    o = (struct options){.text = "default", .count = 8};
    args = (struct wr_args){.positional = positional};
    return wr_args_parse(flags, argc, argv, NOW_MS, &o, &args, e);
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL}, &e)

static void test_forms(void **state)
{
    struct wr_err e = {0};

    (void)state;
    T_OK(PARSE("-text", "v"));
    assert_string_equal(o.text, "v");
    T_OK(PARSE("-text=v"));
    assert_string_equal(o.text, "v");
    T_OK(PARSE("--text", "v"));
    assert_string_equal(o.text, "v");
    T_OK(PARSE("--text=a=b"));
    assert_string_equal(o.text, "a=b");
    T_OK(PARSE("-text="));
    assert_string_equal(o.text, "");
    T_OK(PARSE("-text", "-yes")); /* the next argument is the value, whatever it looks like */
    assert_string_equal(o.text, "-yes");
    T(!o.yes);
    T_OK(PARSE("-text", "1", "-text", "2")); /* the last one counts */
    assert_string_equal(o.text, "2");
    T_OK(PARSE("x")); /* defaults stay */
    assert_string_equal(o.text, "default");
    T(o.count == 8);
}

static void test_texts(void **state)
{
    const char *list[2 * WR_TEXTS_MAX + 3] = {NULL};
    struct wr_err e = {0};

    (void)state;
    T_OK(PARSE("x"));
    T(o.texts.n == 0);
    T_OK(PARSE("-more", "a", "-yes", "--more=b"));
    T(o.texts.n == 2);
    assert_string_equal(o.texts.p[0], "a");
    assert_string_equal(o.texts.p[1], "b");
    for (size_t i = 0; i < WR_TEXTS_MAX; i++) {
        list[2 * i] = "-more";
        list[2 * i + 1] = "x";
    }
    T_OK(parse(list, &e));
    T(o.texts.n == WR_TEXTS_MAX);
    list[2 * WR_TEXTS_MAX] = "-more=y";
    T_IS(WR_MISUSE, parse(list, &e));
    assert_string_equal(e.text, "flag -more is there more than 16 times");
}

static void test_bool(void **state)
{
    struct wr_err e = {0};

    (void)state;
    T_OK(PARSE("-yes"));
    T(o.yes);
    T_OK(PARSE("-yes=false"));
    T(!o.yes);
    T_OK(PARSE("-yes", "-yes=0"));
    T(!o.yes);
    T_OK(PARSE("-yes=T"));
    T(o.yes);
    T_OK(PARSE("-yes", "true")); /* a positional */
    T(o.yes && args.n == 1);
    T_IS(WR_MISUSE, PARSE("-yes=maybe"));
    assert_string_equal(e.text, "invalid boolean value \"maybe\" for -yes: must be true or false");
}

static void test_values(void **state)
{
    struct wr_err e = {0};

    (void)state;
    T_OK(PARSE("-count", "1"));
    T(o.count == 1);
    T_IS(WR_MISUSE, PARSE("-count", "0"));
    T_IS(WR_MISUSE, PARSE("-count", "4294967296"));
    T_IS(WR_MISUSE, PARSE("-count", "x"));
    T_OK(PARSE("-wait", "1m30s"));
    T(o.wait_ms == 90000);
    T_OK(PARSE("-wait", "0"));
    T_IS(WR_MISUSE, PARSE("-wait", "30"));
    T_IS(WR_MISUSE, PARSE("-wait", "-1s"));
    T_OK(PARSE("-txid", "00000000000000fF"));
    T(o.txid == 255);
    T_IS(WR_MISUSE, PARSE("-txid", "ff"));
    assert_string_equal(
        e.text, "invalid value \"ff\" for flag -txid: a TXID is 16 hex digits, not all 0");
    T_IS(WR_MISUSE, PARSE("-txid", "0000000000000000"));
    T_IS(WR_MISUSE, PARSE("-txid", "000000000000000g"));
    T_OK(PARSE("-level", "9"));
    T(o.level == 9);
    T_OK(PARSE("-level", "all"));
    T(o.level == WEIR_LEVEL_ALL);
    T_IS(WR_MISUSE, PARSE("-level", "10"));
    assert_string_equal(
        e.text, "invalid value \"10\" for flag -level: level must be between 0 and 9");
    T_IS(WR_MISUSE, PARSE("-level", "x"));
    assert_string_equal(
        e.text, "invalid value \"x\" for flag -level: invalid level: must be 0-9 or \"all\"");
}

static void test_numbers_of_a_daemon(void **state)
{
    struct wr_err e = {0};

    (void)state;
    T_OK(PARSE("-limit", "30"));
    T(o.limit_ms == 30000);
    T_OK(PARSE("-limit", "1m30s"));
    T(o.limit_ms == 90000);
    T_OK(PARSE("-limit", "0"));
    T(o.limit_ms == 0);
    T_OK(PARSE("-limit", "-2"));
    T(o.limit_ms == -2000);
    T_OK(PARSE("-limit", "9223372036"));
    T_IS(WR_MISUSE, PARSE("-limit", "9223372037")); /* nanoseconds of these do not fit */
    T_IS(WR_MISUSE, PARSE("-limit", "-9223372037"));
    T_IS(WR_MISUSE, PARSE("-limit", ""));
    T_IS(WR_MISUSE, PARSE("-limit", "1.5"));
    assert_string_equal(e.text, "invalid value \"1.5\" for flag -limit: must be a number of "
                                "seconds, or a duration such as 1m30s");
    T_OK(PARSE("-txnum", "42"));
    T(o.txnum == 42);
    T_OK(PARSE("-txnum", "000000000000002A"));
    T(o.txnum == 42);
    T_OK(PARSE("-txnum", "0000000000000010")); /* 16 digits are hexadecimal ones */
    T(o.txnum == 16);
    T_IS(WR_MISUSE, PARSE("-txnum", "0"));
    T_IS(WR_MISUSE, PARSE("-txnum", "2a"));
    T_IS(WR_MISUSE, PARSE("-txnum", "9223372036854775808"));
    T_IS(WR_MISUSE, PARSE("-txnum", "8000000000000000"));
    assert_string_equal(e.text, "invalid value \"8000000000000000\" for flag -txnum: a TXID is a "
                                "number from 1, or 16 hex digits");
}

static void test_time(void **state)
{
    struct wr_err e = {0};

    (void)state;
    T_OK(PARSE("-time", "2023-11-14T22:13:20Z"));
    T(o.time_ms == NOW_MS);
    T_OK(PARSE("-time", "2023-11-14T23:13:20.5+01:00"));
    T(o.time_ms == NOW_MS + 500);
    T_OK(PARSE("-time", "-2h"));
    T(o.time_ms == NOW_MS - 7200000);
    T_OK(PARSE("-time=1970-01-01T00:00:05.5+00:00"));
    T(o.time_ms == 5500);
    T_OK(PARSE("-time=1970-01-01t00:00:06z")); /* RFC 3339 has small letters, too */
    T(o.time_ms == 6000);
    T_OK(PARSE("-time=1970-01-01 01:00:07+01:00")); /* as date --rfc-3339=seconds prints it */
    T(o.time_ms == 7000);
    T_IS(WR_MISUSE, PARSE("-time=1970-01-01_00:00:07Z"));
    T_OK(PARSE("-time=2h ago"));
    T(o.time_ms == NOW_MS - 7200000);
    T_OK(PARSE("-time", "1d ago"));
    T(o.time_ms == NOW_MS - 86400000);
    T_IS(WR_MISUSE, PARSE("-time", "2h"));
    T_IS(WR_MISUSE, PARSE("-time", "--2h"));
    T_IS(WR_MISUSE, PARSE("-time", "-2"));
    T_IS(WR_MISUSE, PARSE("-time", "yesterday"));
    T_IS(WR_MISUSE, PARSE("-time", "2023-11-14"));
    T_IS(WR_MISUSE, PARSE("-time", ""));
    T_IS(WR_MISUSE, PARSE("-time", "5000w ago")); /* before 1970: 0 would mean "no bound" */
    T(strstr(e.text, "invalid -time, must specify in ISO 8601 format"));
}

static void test_errors(void **state)
{
    struct wr_err e = {0};

    (void)state;
    T_IS(WR_MISUSE, PARSE("-tex", "v"));
    assert_string_equal(e.text, "flag provided but not defined: -tex (did you mean -text?)");
    T_IS(WR_MISUSE, PARSE("--bogus-flag=1"));
    assert_string_equal(e.text, "flag provided but not defined: -bogus-flag");
    T_IS(WR_MISUSE, PARSE("-text"));
    assert_string_equal(e.text, "flag needs an argument: -text");
    T_IS(WR_MISUSE, PARSE("-=x"));
    assert_string_equal(e.text, "bad flag syntax: -=x");
    T_IS(WR_MISUSE, PARSE("---text", "v"));
    assert_string_equal(e.text, "bad flag syntax: ---text");
}

static void test_positionals(void **state)
{
    struct wr_err e = {0};

    (void)state;
    T_OK(PARSE("a", "-yes", "b", "-text", "t", "c"));
    T(args.n == 3 && o.yes);
    assert_string_equal(positional[0], "a");
    assert_string_equal(positional[2], "c");
    T_OK(PARSE("-", "--", "-yes", "--", "-h"));
    T(args.n == 4 && !o.yes && !args.help);
    assert_string_equal(positional[0], "-");
    assert_string_equal(positional[1], "-yes");
    assert_string_equal(positional[2], "--");
    T_OK(parse((const char *const[]){NULL}, &e));
    T(args.n == 0);
}

static void test_help(void **state)
{
    struct wr_err e = {0};

    (void)state;
    T_OK(PARSE("a", "-h", "-bogus")); /* what follows is not looked at */
    T(args.help);
    T_OK(PARSE("--help"));
    T(args.help);
    T_OK(PARSE("-help"));
    T(args.help);
    T_OK(PARSE("-text", "-h")); /* a value */
    T(!args.help);
}

/* Random command lines: whatever their order and form, what went in comes out. */
static void test_random(void **state)
{
    static const char *const words[] = {"", "x", "a b", "s3://b/c", "v=w", "-5s"};
    struct wr_err e = {0};
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 10000; round++) {
        char store[32][64];
        const char *argv[64];
        const char *want_text = "default", *want[32];
        bool want_yes = false, ended = false;
        size_t argc = 0, nstore = 0, nwant = 0;

        for (size_t i = wr_rand_below(&r, 8); i > 0; i--) {
            const char *word = words[wr_rand_below(&r, wr_countof(words))];
            const char *dash = wr_rand_below(&r, 2) ? "--" : "-";
            uint64_t what = ended ? 3 : wr_rand_below(&r, 5);
            char *s = store[nstore++];

            if (what == 0) { /* -text v */
                (void)snprintf(s, 64, "%stext", dash);
                argv[argc++] = s;
                s = store[nstore++];
                (void)snprintf(s, 64, "%s", word);
                want_text = s;
            } else if (what == 1) { /* -text=v */
                (void)snprintf(s, 64, "%stext=%s", dash, word);
                want_text = strchr(s, '=') + 1;
            } else if (what == 2) {
                want_yes = wr_rand_below(&r, 2);
                (void)snprintf(s, 64, "%syes%s", dash, want_yes ? "" : "=f");
            } else if (what == 3) {
                (void)snprintf(s, 64, "%s", ended || word[0] != '-' ? word : "p");
                want[nwant++] = s;
            } else {
                (void)snprintf(s, 64, "--");
                ended = true;
            }
            argv[argc++] = s;
        }
        argv[argc] = NULL;
        T_OK(parse(argv, &e));
        assert_string_equal(o.text, want_text);
        T(o.yes == want_yes);
        T(args.n == nwant);
        for (size_t i = 0; i < nwant; i++)
            assert_string_equal(positional[i], want[i]);
    }
}

T_MAIN(T_TEST(test_forms), T_TEST(test_texts), T_TEST(test_bool), T_TEST(test_values),
    T_TEST(test_numbers_of_a_daemon), T_TEST(test_time), T_TEST(test_errors),
    T_TEST(test_positionals), T_TEST(test_help), T_TEST(test_random))
