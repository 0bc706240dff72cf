/*
 * test_filemark.c - sqlite/filemark.h: which file it is, and whether it was written since.
 */
#include "sqlite/filemark.h"

#include "harness/t.h"

#include <unistd.h>

static void test_marks_of_files(void **state)
{
    const char *dir = t_tmpdir(), *a = t_path(dir, "a"), *b = t_path(dir, "b"),
               *link = t_path(dir, "link");
    const struct wr_file_mark unknown = {0};
    struct wr_file_mark first, second, other;

    (void)state;
    t_spew(a, "abc", 3);
    t_spew(b, "abc", 3);
    T(symlink(a, link) == 0);
    T(wr_file_mark_of(a, &first) && wr_file_mark_of(link, &second) && wr_file_mark_of(b, &other));
    T(first.size == 3 && first.ino != 0 && wr_file_mark_equal(&first, &second));
    T(!wr_file_mark_equal(&first, &other) && !wr_file_mark_equal(&unknown, &unknown));
    second.mtime_ns++;
    T(!wr_file_mark_equal(&first, &second));
    T(truncate(a, 2) == 0 && wr_file_mark_of(a, &second));
    T(!wr_file_mark_equal(&first, &second));
    T(!wr_file_mark_of(t_path(dir, "none"), &second));
    second.mtime_ns = 0;
    T(wr_file_time_is_old(&second));
    second.mtime_ns = INT64_MAX;
    T(!wr_file_time_is_old(&second));
}

/* A file that was written within a tick of its clock has the time of the write before. */
static void test_a_young_time_is_no_proof(void **state)
{
    const int64_t s = 1000000000, fine = 1790000000 * s + 500, whole = 1790000000 * s;

    (void)state;
    T(!wr_mtime_is_old(fine, fine - 1) && !wr_mtime_is_old(fine, fine));
    T(wr_mtime_is_old(fine, fine + 1));
    T(!wr_mtime_is_old(whole, whole + 1) && !wr_mtime_is_old(whole, whole + 2 * s - 1));
    T(wr_mtime_is_old(whole, whole + 2 * s));
    T(!wr_mtime_is_old(whole + 10000000, whole + 29999999)); /* steps of 10 ms */
    T(wr_mtime_is_old(whole + 10000000, whole + 30000000));
    T(!wr_mtime_is_old(fine, INT64_MIN / 2)); /* a clock that is wrong */
}

T_MAIN(T_TEST(test_marks_of_files), T_TEST(test_a_young_time_is_no_proof))
