/*
 * test_status.c - codes, texts, and what survives when a text does not fit.
 */
#include "base/status.h"

#include "base/rand.h"
#include "harness/t.h"

#include <errno.h>

static void test_texts(void **state)
{
    (void)state;
    assert_string_equal(wr_status_text(WR_OK), "ok");
    assert_string_equal(wr_status_text(WR_BUSY), "busy, try again");
    assert_string_equal(wr_status_text(WR_INTERNAL), "internal error");
    for (int i = WR_OK; i <= WR_INTERNAL; i++) {
        enum wr_status st = (enum wr_status)i;

        T(strcmp(wr_status_text(st), "unknown status") != 0);
        T(wr_status_transient(st) == (st == WR_BUSY || st == WR_TIMEOUT));
        T(wr_status_passing(st) ==
            (wr_status_transient(st) || st == WR_CANCELED || st == WR_NOMEM));
    }
    assert_string_equal(wr_status_text((enum wr_status)(WR_INTERNAL + 1)), "unknown status");
    assert_string_equal(wr_status_text((enum wr_status) - 1), "unknown status");
}

static void test_fail(void **state)
{
    struct wr_err e = {0};

    (void)state;
    T(wr_fail(&e, WR_LIMIT, "page size %d", 70000) == WR_LIMIT);
    T(e.code == WR_LIMIT);
    assert_string_equal(e.text, "page size 70000");

    /* A new failure replaces an old one, which may be an argument. */
    T(wr_fail(&e, WR_CORRUPT, "(%s)", e.text) == WR_CORRUPT);
    assert_string_equal(e.text, "(page size 70000)");

    T(wr_fail(NULL, WR_IO, "%s", "nobody listens") == WR_IO);
}

static void test_fail_errno(void **state)
{
    static const struct {
        int errnum;
        enum wr_status want;
    } cases[] = {
        {ENOENT, WR_NOTFOUND},
        {EEXIST, WR_CONFLICT},
        {ENOMEM, WR_NOMEM},
        {ENOSPC, WR_LIMIT},
        {EDQUOT, WR_LIMIT},
        {EFBIG, WR_LIMIT},
        {EAGAIN, WR_BUSY},
        {EINTR, WR_BUSY},
        {EIO, WR_IO},
        {EACCES, WR_IO},
        {0x7fff, WR_IO},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        struct wr_err e = {0};

        T(wr_fail_errno(&e, cases[i].errnum, "open %s", "/x") == cases[i].want);
        T(e.code == cases[i].want);
        T(strncmp(e.text, "open /x: ", 9) == 0);
        T(strlen(e.text) > 9);
        T(wr_fail_errno(NULL, cases[i].errnum, "open %s", "/x") == cases[i].want);
    }
}

static void test_errno_text(void **state)
{
    struct wr_err e = {0};
    char path[2000];

    (void)state;
    (void)wr_fail_errno(&e, ENOENT, "open /x");
    assert_string_equal(e.text, "open /x: No such file or directory");

    /* The cause is kept however long the context is. */
    memset(path, 'p', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    (void)wr_fail_errno(&e, ENOENT, "open %s", path);
    T(strlen(e.text) == WR_ERR_MAX - 1);
    T(strncmp(e.text, "...ppp", 6) == 0);
    T(strstr(e.text, "ppp: No such file or directory") != NULL);
}

static void test_wrap(void **state)
{
    struct wr_err e = {0};

    (void)state;
    (void)wr_fail(&e, WR_CORRUPT, "bad magic");
    T(wr_wrap(&e, WR_CORRUPT, "open ltx %04d", 42) == WR_CORRUPT);
    assert_string_equal(e.text, "open ltx 0042: bad magic");

    /* The code may change on the way up. */
    T(wr_wrap(&e, WR_IO, "restore") == WR_IO);
    T(e.code == WR_IO);
    assert_string_equal(e.text, "restore: open ltx 0042: bad magic");

    /* A callee that had nothing to say. */
    e = (struct wr_err){0};
    T(wr_wrap(&e, WR_NOTFOUND, "read %s", "key") == WR_NOTFOUND);
    assert_string_equal(e.text, "read key: not found");

    T(wr_wrap(NULL, WR_NOMEM, "%s", "context") == WR_NOMEM);
}

/* Random text of n letters; with a NUL. */
static void letters(struct wr_rand *r, char *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (char)('a' + wr_rand_below(r, 26));
    out[n] = '\0';
}

/* The model keeps the whole story and cuts only at the end; cutting at every level must give the
 * same last 508 bytes. */
static void test_wrap_cuts_context(void **state)
{
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 3000; round++) {
        struct wr_err e = {0};
        char full[8192];
        char word[1500];
        size_t n = wr_rand_below(&r, 700);

        letters(&r, word, n);
        (void)wr_fail(&e, WR_IO, "%s", word);
        memcpy(full, word, n + 1);
        for (uint64_t levels = wr_rand_below(&r, 4); levels; levels--) {
            size_t extra = wr_rand_below(&r, wr_rand_below(&r, 4) ? 100 : 1400);
            bool empty = e.text[0] == '\0';

            letters(&r, word, extra);
            (void)wr_wrap(&e, WR_IO, "%s", word);
            if (empty) {
                n = strlen(wr_status_text(WR_IO));
                memcpy(full, wr_status_text(WR_IO), n + 1);
            }
            memmove(full + extra + 2, full, n + 1);
            memcpy(full, word, extra);
            full[extra] = ':';
            full[extra + 1] = ' ';
            n += extra + 2;
        }
        if (n < WR_ERR_MAX) {
            assert_string_equal(e.text, full);
        } else {
            T(strlen(e.text) == WR_ERR_MAX - 1);
            T(strncmp(e.text, "...", 3) == 0);
            assert_string_equal(e.text + 3, full + n - (WR_ERR_MAX - 1 - 3));
        }
    }
}

static void test_cut_keeps_characters_whole(void **state)
{
    static const char *const characters[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\x8b"};

    (void)state;
    for (size_t c = 0; c < wr_countof(characters); c++) {
        for (size_t pad = 0; pad < 8; pad++) {
            struct wr_err e = {0};
            char text[1000] = "";
            size_t n = 0;

            while (n < 900) {
                memcpy(text + n, characters[c], strlen(characters[c]));
                n += strlen(characters[c]);
            }
            memcpy(text + n, "xxxxxxxx", pad);
            (void)wr_fail(&e, WR_IO, "%s", text);
            T(strlen(e.text) < WR_ERR_MAX && strlen(e.text) > WR_ERR_MAX - 5);
            T(strncmp(e.text, "...", 3) == 0);
            T(strncmp(e.text + 3, characters[c], strlen(characters[c])) == 0);
        }
    }
}

/* Another request each time, which was news each time. */
static void test_same_failure(void **state)
{
    (void)state;
    T(wr_same_failure("", "") && wr_same_failure("a", "a") && !wr_same_failure("a", "ab"));
    T(!wr_same_failure("ab", "a") && !wr_same_failure("a", "b"));
    T(wr_same_failure("s3 PUT: 503 [request 1]: slow", "s3 PUT: 503 [request 22]: slow"));
    T(wr_same_failure("s3 PUT: 503 [request 1]", "s3 PUT: 503 [request 22]"));
    T(!wr_same_failure("s3 PUT: 503 [request 1]: slow", "s3 PUT: 500 [request 1]: slow"));
    T(!wr_same_failure("s3 PUT: 503 [request 1]", "s3 PUT: 503"));
    T(!wr_same_failure("[request 1", "[request 2")); /* cut */
}

T_MAIN(T_TEST(test_texts), T_TEST(test_fail), T_TEST(test_fail_errno), T_TEST(test_errno_text),
    T_TEST(test_wrap), T_TEST(test_wrap_cuts_context), T_TEST(test_cut_keeps_characters_whole),
    T_TEST(test_same_failure))
