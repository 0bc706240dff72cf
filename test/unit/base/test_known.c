/*
 * test_known.c - base/known.h: how a child ended, whoever reaped it; and no signal to who is gone.
 */
#include "base/known.h"

#include "harness/t.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void start(struct wr_known *k, const char *script)
{
    char name[] = "sh", option[] = "-c", copy[100], *argv[] = {name, option, copy, NULL};
    posix_spawnattr_t attr;

    (void)snprintf(copy, sizeof(copy), "%s", script);
    T(posix_spawnattr_init(&attr) == 0 && posix_spawnattr_setpgroup(&attr, 0) == 0);
    T(posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP) == 0);
    T(wr_known_start(k, "/bin/sh", NULL, &attr, argv) == 0);
    T(posix_spawnattr_destroy(&attr) == 0);
}

/* Until it has ended, and without reaping it. */
static void await_end(pid_t pid)
{
    siginfo_t info;

    T(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
}

static void test_how_it_ended(void **state)
{
    struct wr_known a, b;

    (void)state;
    start(&a, "exit 3");
    start(&b, "kill -9 $$");
    await_end(a.pid);
    await_end(b.pid);
    T(wr_known_over(&a) && WIFEXITED(a.status) && WEXITSTATUS(a.status) == 3);
    T(wr_known_over(&a) && wr_known_over(&b) && WIFSIGNALED(b.status));
}

/* As the first process of a container does, from another thread. */
static void test_reaped_by_another(void **state)
{
    struct wr_known a;

    (void)state;
    start(&a, "exit 4");
    await_end(a.pid);
    T(wr_known_reap(a.pid));
    T(!wr_known_reap(a.pid));
    wr_known_kill(&a); /* it is over */
    T(wr_known_over(&a) && WIFEXITED(a.status) && WEXITSTATUS(a.status) == 4);
}

static void test_reaped_by_a_host(void **state)
{
    struct wr_known a;
    int status;

    (void)state;
    start(&a, "exit 5");
    T(waitpid(a.pid, &status, 0) == a.pid);
    wr_known_kill(&a);
    T(wr_known_over(&a) && a.status == WR_KNOWN_LOST);
}

/* With all of its group. */
static void test_killed(void **state)
{
    struct wr_known a;
    int fds[2];
    char c;

    (void)state;
    T(pipe(fds) == 0);
    start(&a, "sleep 100 & wait");
    T(close(fds[1]) == 0 && !wr_known_over(&a));
    wr_known_kill(&a);
    T(wr_known_over(&a) && WIFSIGNALED(a.status) && WTERMSIG(a.status) == SIGKILL);
    T(read(fds[0], &c, 1) == 0); /* nobody has it open any more */
    T(close(fds[0]) == 0);
}

static void test_no_program(void **state)
{
    struct wr_known a;
    char name[] = "none", *argv[] = {name, NULL};

    (void)state;
    T(wr_known_start(&a, "/nonexistent/sh", NULL, NULL, argv) == ENOENT);
    T(!wr_known_reap(99999999));
}

T_MAIN(T_TEST(test_how_it_ended), T_TEST(test_reaped_by_another), T_TEST(test_reaped_by_a_host),
    T_TEST(test_killed), T_TEST(test_no_program))
