/*
 * test_follow_crash.c - a follower that dies at any call to the disk: what others then
 * find is one state, whole, and the next follower knows which, and goes on.
 */
#include "unit/engine/follow_world.h"

static void die(void *arg)
{
    (void)arg;
    _exit(FW_DIED);
}

/* Follow to the end, transaction by transaction, with what was armed. */
static enum wr_status follow(struct fw *w, struct wr_err *e)
{
    struct wr_follow *f = NULL;
    enum wr_status st = fw_open(w, &f, e);

    if (st == WR_OK)
        st = fw_steps(w, f, e);
    fw_store(w);
    for (int i = 0; i < 3 && st == WR_OK; i++)
        st = fw_steps(w, f, e);
    wr_follow_close(f);
    return st;
}

static void sweep_kills(bool start)
{
    bool died = true;

    for (int nth = 1; died; nth++) {
        struct fw w;
        int status = 0;
        pid_t child;

        fw_prepare(&w, start);
        child = fork();
        if (child == 0) {
            struct wr_err e = {0};

            /* To die before a read is to die after the call before it. */
            bad_set(FW_CALLS & ~(BAD_READ | BAD_SIZE), nth, SQLITE_OK);
            bad.before = die;
            _exit(follow(&w, &e) == WR_OK ? 0 : 1);
        }
        T(waitpid(child, &status, 0) == child && WIFEXITED(status));
        died = WEXITSTATUS(status) == FW_DIED;
        T(died || WEXITSTATUS(status) == 0);
        fw_check_after(&w);
        fw_release(&w);
    }
}

static void test_killed_at_any_call(void **state)
{
    (void)state;
    sweep_kills(true);
}

static void test_killed_at_any_call_of_the_first_run(void **state)
{
    (void)state;
    sweep_kills(false);
}

T_MAIN(T_TEST(test_killed_at_any_call), T_TEST(test_killed_at_any_call_of_the_first_run))
