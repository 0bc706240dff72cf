/*
 * test_text.c - a text takes memory only while there is one, and none to be empty.
 */
#include "base/text.h"

#include "base/mem.h"
#include "base/status.h"
#include "harness/t.h"

static void test_comes_and_goes(void **state)
{
    struct wr_text t = {0};
    size_t live = wr_mem_live();

    (void)state;
    assert_string_equal(wr_text(&t), "");
    wr_text_set(&t, "");
    T(wr_mem_live() == live);
    wr_text_set(&t, "no such file");
    assert_string_equal(wr_text(&t), "no such file");
    wr_text_set(&t, wr_text(&t)); /* by itself */
    wr_text_set(&t, "a longer text than the one before");
    assert_string_equal(wr_text(&t), "a longer text than the one before");
    T(wr_mem_live() == live + 1);
    wr_text_set(&t, "");
    assert_string_equal(wr_text(&t), "");
    T(wr_mem_live() == live);
    wr_text_release(&t);
}

static void test_nomem(void **state)
{
    struct wr_text t = {0};

    (void)state;
    wr_text_set(&t, "before");
    wr_mem_fail_after(0);
    wr_text_set(&t, "after");
    T(wr_mem_fault_fired());
    assert_string_equal(wr_text(&t), wr_status_text(WR_NOMEM));
    wr_text_set(&t, "later");
    assert_string_equal(wr_text(&t), "later");
    wr_text_release(&t);
    assert_string_equal(wr_text(&t), "");
}

T_MAIN(T_TEST(test_comes_and_goes), T_TEST(test_nomem))
