/*
 * test_mark.c - a process is told from its children and theirs, with and without a page for it.
 */
#include "vfs/mark.h"

#include "harness/t.h"

#include <sys/wait.h>

/* What `in_child` says in a child of a child. */
static int beneath(int (*in_child)(struct wr_mark *m), struct wr_mark *m)
{
    pid_t pid = fork();
    int status = 0;

    T(pid >= 0);
    if (pid == 0) {
        pid_t second;

        if (wr_mark_mine(m))
            _exit(10);
        second = fork();
        if (second == 0)
            _exit(in_child(m));
        if (second < 0 || waitpid(second, &status, 0) != second)
            _exit(11);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 12);
    }
    T(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int own_one(struct wr_mark *inherited)
{
    struct wr_mark own;
    int said;

    wr_mark_init(&own);
    said = wr_mark_mine(inherited) ? 1 : wr_mark_mine(&own) ? 0 : 2;
    wr_mark_release(&own);
    return said;
}

static void test_a_child_is_told_from_its_parent(void **state)
{
    struct wr_mark m;

    (void)state;
    wr_mark_init(&m);
#ifdef __linux__
    T(m.word); /* or every query pays for it */
#endif
    T(wr_mark_mine(&m));
    assert_int_equal(beneath(own_one, &m), 0);
    T(wr_mark_mine(&m));
    wr_mark_release(&m);
}

static void test_the_same_without_a_page(void **state)
{
    struct wr_mark m;

    (void)state;
    wr_mark_init(&m);
    wr_mark_release(&m);
    T(!m.word && wr_mark_mine(&m));
    assert_int_equal(beneath(own_one, &m), 0);
    T(wr_mark_mine(&m));
}

T_MAIN(T_TEST(test_a_child_is_told_from_its_parent), T_TEST(test_the_same_without_a_page))
