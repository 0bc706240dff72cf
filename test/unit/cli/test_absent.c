/*
 * test_absent.c - databases that could not be begun with: noted, noted anew, forgotten.
 */
#include "harness/t.h"
#include "daemon/absent.h"

#include "base/buf.h"

static struct wr_absent *a;

/* "path=why path=why" */
static void check(size_t count, const char *want)
{
    struct wr_absentee *all;
    size_t n = wr_absent_list(a, t_call()->scratch, SIZE_MAX, &all);
    struct wr_buf text;

    wr_buf_init(&text, 4096);
    for (size_t i = 0; i < n; i++)
        wr_buf_fmt(&text, "%s%s=%s", i ? " " : "", all[i].path, all[i].why);
    wr_buf_byte(&text, 0);
    assert_string_equal((const char *)text.p, want);
    assert_int_equal(wr_absent_count(a), count);
    wr_buf_release(&text);
}

static void test_each_attempt_notes_anew(void **state)
{
    (void)state;
    a = wr_absent_new();
    check(0, "");
    wr_absent_begin(a, WR_ABSENT_DIRS);
    (void)wr_absent_put(a, WR_ABSENT_DIRS, "/b", "no");
    (void)wr_absent_put(a, WR_ABSENT_DIRS, "/a", "never");
    wr_absent_end(a, WR_ABSENT_DIRS);
    (void)wr_absent_put(a, WR_ABSENT_REGISTRY, "/c", "gone");
    check(3, "/a=never /b=no /c=gone");

    wr_absent_begin(a, WR_ABSENT_DIRS);
    check(3, "/a=never /b=no /c=gone"); /* nobody is ready for a moment */
    (void)wr_absent_put(a, WR_ABSENT_DIRS, "/b", "still\nnot");
    wr_absent_end(a, WR_ABSENT_DIRS);
    check(2, "/b=still?not /c=gone");

    wr_absent_begin(a, WR_ABSENT_RELOAD);
    (void)wr_absent_put(a, WR_ABSENT_RELOAD, "/c", "taken over");
    wr_absent_end(a, WR_ABSENT_RELOAD);
    check(2, "/b=still?not /c=taken over");
    wr_absent_drop(a, "/b");
    wr_absent_drop(a, "/nobody");
    check(1, "/c=taken over");
    wr_absent_free(a);
}

static void test_who_noted_it_and_whether_it_is_news(void **state)
{
    (void)state;
    a = wr_absent_new();
    T(wr_absent_put(a, WR_ABSENT_RELOAD, "/a", "no"));
    T(!wr_absent_put(a, WR_ABSENT_RELOAD, "/a", "no"));
    wr_absent_begin(a, WR_ABSENT_RELOAD);
    T(!wr_absent_put(a, WR_ABSENT_RELOAD, "/a", "no"));
    T(wr_absent_put(a, WR_ABSENT_RELOAD, "/a", "never"));
    wr_absent_end(a, WR_ABSENT_RELOAD);
    T(wr_absent_put(a, WR_ABSENT_DIRS, "/b", "never"));
    T(wr_absent_is(a, WR_ABSENT_RELOAD, "/a") && !wr_absent_is(a, WR_ABSENT_DIRS, "/a"));
    T(!wr_absent_is(a, WR_ABSENT_RELOAD, "/nobody"));
    assert_int_equal(wr_absent_count_by(a, WR_ABSENT_RELOAD), 1);
    assert_int_equal(wr_absent_count_by(a, WR_ABSENT_DIRS), 1);
    assert_int_equal(wr_absent_count_by(a, WR_ABSENT_REGISTRY), 0);
    wr_absent_free(a);
}

static void test_more_than_are_noted_are_counted(void **state)
{
    struct wr_absentee *all;
    char path[32];

    (void)state;
    a = wr_absent_new();
    wr_absent_begin(a, WR_ABSENT_DIRS);
    for (int i = 0; i < WR_ABSENT_MAX + 5; i++) {
        (void)snprintf(path, sizeof(path), "/%d", i * 7919 % 100003);
        wr_absent_put(a, WR_ABSENT_DIRS, path, "x");
    }
    wr_absent_end(a, WR_ABSENT_DIRS);
    assert_int_equal(wr_absent_count(a), WR_ABSENT_MAX + 5);
    assert_int_equal(wr_absent_list(a, t_call()->scratch, SIZE_MAX, &all), WR_ABSENT_MAX);
    for (size_t i = 1; i < WR_ABSENT_MAX; i++)
        T(strcmp(all[i - 1].path, all[i].path) < 0);
    assert_int_equal(wr_absent_list(a, t_call()->scratch, 3, &all), 3);
    wr_absent_begin(a, WR_ABSENT_DIRS);
    wr_absent_end(a, WR_ABSENT_DIRS);
    check(0, "");
    wr_absent_free(a);
}

T_MAIN(T_TEST(test_each_attempt_notes_anew), T_TEST(test_who_noted_it_and_whether_it_is_news),
    T_TEST(test_more_than_are_noted_are_counted))
