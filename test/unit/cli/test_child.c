/*
 * The child: how its command line is split, what it inherits, how its end is reported.
 */
#include "base/rand.h"
#include "daemon/child.h"
#include "harness/t.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern long syscall(long number, ...);

static bool others_reap; /* the next one that is found, before who has found it does */

/* In place of the one in libc. */
int waitid(idtype_t which, id_t id, siginfo_t *info, int options)
{
    const int rc = (int)syscall(SYS_waitid, which, id, info, options, NULL);

    if (rc == 0 && which == P_ALL && others_reap) {
        others_reap = false;
        T(waitpid(info->si_pid, NULL, WNOHANG) == info->si_pid);
    }
    return rc;
}

/* `want` is the words, each in brackets. */
static void expect(const char *command, const char *want)
{
    struct wr_err e = {0};
    char **argv = NULL, got[512] = "";

    T_OK(wr_child_split(t_call()->scratch, wr_str(command), &argv, &e));
    for (size_t i = 0; argv[i]; i++) {
        size_t n = strlen(got);

        (void)snprintf(got + n, sizeof(got) - n, "[%s]", argv[i]);
    }
    assert_string_equal(got, want);
}

static void bad(const char *command, const char *want)
{
    struct wr_err e = {0};
    char **argv = NULL;

    T_IS(WR_MISUSE, wr_child_split(t_call()->scratch, wr_str(command), &argv, &e));
    assert_string_equal(e.text, want);
}

static void test_split(void **state)
{
    (void)state;
    expect("myapp", "[myapp]");
    expect("  myapp  -port\t8080 \n", "[myapp][-port][8080]");
    expect("a 'b c' d", "[a][b c][d]");
    expect("a \"b c\" d", "[a][b c][d]");
    expect("a b'c d'e\"f g\"", "[a][bc def g]");
    expect("a '' \"\"", "[a][][]");
    expect("a \\  b\\ c", "[a][ ][b c]");
    expect("a \\' \\\" \\\\ \\;", "[a]['][\"][\\][;]");
    expect("'a\\b' \"c\\d\" \"\\\"\\\\\\$\\`\"", "[a\\b][c\\d][\"\\$`]");
    expect("sh -c 'a; b && c | d > e'", "[sh][-c][a; b && c | d > e]");
    expect("a \"x;y\" $HOME *", "[a][x;y][$HOME][*]"); /* nothing is substituted */
}

static void test_split_refused(void **state)
{
    static const char chars[] = ";&|<>()";

    (void)state;
    for (size_t i = 0; chars[i]; i++) {
        char command[16], want[128];

        (void)snprintf(command, sizeof(command), "a b%c c", chars[i]);
        (void)snprintf(want, sizeof(want),
            "cannot parse exec command: unquoted '%c'; use sh -c '...' for shell syntax", chars[i]);
        bad(command, want);
    }
    bad("", "exec command is empty");
    bad(" \t ", "exec command is empty");
    bad("a 'b", "cannot parse exec command: no closing '");
    bad("a \"b\\\"", "cannot parse exec command: no closing \"");
    bad("a \\", "cannot parse exec command: ends with a backslash");
}

static void test_split_limits(void **state)
{
    static char big[(128 << 10) + 2], many[4097 * 2 + 1];
    struct wr_err e = {0};
    char **argv = NULL;

    (void)state;
    memset(big, 'a', sizeof(big) - 1);
    T_IS(WR_LIMIT, wr_child_split(t_call()->scratch, wr_str(big), &argv, &e));
    for (size_t i = 0; i < sizeof(many) - 1; i++)
        many[i] = i % 2 ? ' ' : 'a';
    T_IS(WR_LIMIT, wr_child_split(t_call()->scratch, wr_str(many), &argv, &e));
    T_OK(wr_child_split(t_call()->scratch, wr_str(many + 2), &argv, &e)); /* one less */
    T(argv[4095] && !argv[4096]);
}

/* Words quoted at random come back as they were. */
static void test_split_random(void **state)
{
    static const char alphabet[] = "ab '\"\\;|$\n";
    struct wr_rand r;

    (void)state;
    wr_rand_init(&r, t_seed());
    for (int round = 0; round < 3000; round++) {
        char command[1024], words[4][8];
        size_t nwords = 1 + wr_rand_below(&r, 4), at = 0;
        struct wr_arena a;
        struct wr_err e = {0};
        char **argv = NULL;

        for (size_t i = 0; i < nwords; i++) {
            size_t n = wr_rand_below(&r, sizeof(words[i]));

            for (size_t j = 0; j < n; j++) {
                char c = alphabet[wr_rand_below(&r, sizeof(alphabet) - 1)];
                uint64_t how = wr_rand_below(&r, 3);

                words[i][j] = c;
                if (how == 0 && c != '\'')
                    at += (size_t)snprintf(command + at, 8, "'%c'", c);
                else if (how == 1 && c != '"' && c != '\\')
                    at += (size_t)snprintf(command + at, 8, "\"%c\"", c);
                else
                    at += (size_t)snprintf(command + at, 8, "\\%c", c);
            }
            words[i][n] = 0;
            at += (size_t)snprintf(command + at, 8, "%s ", n ? "" : "''");
        }
        wr_arena_init(&a, WR_ARENA_MAX);
        T_OK(wr_child_split(&a, wr_str(command), &argv, &e));
        for (size_t i = 0; i < nwords; i++)
            assert_string_equal(argv[i], words[i]);
        T(!argv[nwords]);
        wr_arena_release(&a);
    }
}

/* Run a shell command as a child to its end. */
static int run_at(const char *script, enum wr_child_place place)
{
    char sh[] = "sh", c[] = "-c", copy[512], *argv[] = {sh, c, copy, NULL};
    struct wr_err e = {0};
    siginfo_t info;
    pid_t pid = 0, target = 0;
    int code = -1;

    (void)snprintf(copy, sizeof(copy), "%s", script);
    T_OK(wr_child_start(argv, place, 0, &pid, &target, &e));
    T(target == (place == WR_CHILD_WITHIN ? -pid : pid));
    T(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0); /* it stays to be asked about */
    T(wr_child_ended(pid, &code));
    return code;
}

static int run(const char *script)
{
    return run_at(script, WR_CHILD_BESIDE);
}

static void test_exit_codes(void **state)
{
    (void)state;
    T(run("exit 0") == 0);
    T(run("exit 7") == 7);
    T(run("kill -TERM $$") == 128 + SIGTERM);
    T(run("kill -KILL $$") == 128 + SIGKILL);
}

/* We have raised our limit for ourselves. An application that is given a million descriptors may
 * have a table of a million entries, or close them one by one. */
static void test_the_limit_of_descriptors(void **state)
{
    char sh[] = "sh", c[] = "-c", script[] = "[ $(ulimit -Sn) = 100 ]",
         *argv[] = {sh, c, script, NULL};
    struct rlimit before, after;
    struct wr_err e = {0};
    siginfo_t info;
    pid_t pid = 0, target = 0;
    int code = -1;

    (void)state;
    T(getrlimit(RLIMIT_NOFILE, &before) == 0 && before.rlim_cur > 100);
    T_OK(wr_child_start(argv, WR_CHILD_BESIDE, 100, &pid, &target, &e));
    T(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
    T(wr_child_ended(pid, &code) && code == 0);
    T(getrlimit(RLIMIT_NOFILE, &after) == 0 && after.rlim_cur == before.rlim_cur);
    T(after.rlim_max == before.rlim_max);
}

static void test_still_running(void **state)
{
    char cat[] = "sleep", forever[] = "1000", *argv[] = {cat, forever, NULL};
    struct wr_err e = {0};
    siginfo_t info;
    pid_t pid = 0, target = 0;
    int code = -1;

    (void)state;
    T_OK(wr_child_start(argv, WR_CHILD_BESIDE, 0, &pid, &target, &e));
    T(!wr_child_ended(pid, &code) && code == -1 && !wr_child_is_over(pid));
    T(kill(pid, SIGINT) == 0);
    T(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
    T(wr_child_is_over(pid) && wr_child_is_over(pid)); /* to look is not to reap */
    T(wr_child_ended(pid, &code) && code == 128 + SIGINT);
    T(wr_child_is_over(pid));
    T(wr_child_ended(pid, &code) && code == 1); /* asked again, it is gone: no success */
}

/* Environment and output are ours; stdin is empty; our signal mask and ignored signals are not. */
static void test_inheritance(void **state)
{
    const char *path = t_path(t_tmpdir(), "out");
    struct sigaction old;
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t term, old_mask;
    char script[400];

    (void)state;
    T(setenv("T_CHILD", "from us", 1) == 0);
    (void)snprintf(
        script, sizeof(script), "echo \"$T_CHILD\" > '%s'; read x && exit 9; exit 3", path);
    T(run(script) == 3);
    T(t_slurp(path).n == 8);

    T(sigemptyset(&term) == 0 && sigaddset(&term, SIGTERM) == 0);
    T(pthread_sigmask(SIG_BLOCK, &term, &old_mask) == 0);
    T(sigaction(SIGPIPE, &ignore, &old) == 0);
    T(run("kill -TERM $$; exit 9") == 128 + SIGTERM);
    T(run("kill -PIPE $$; exit 9") == 128 + SIGPIPE);
    T(sigaction(SIGPIPE, &old, NULL) == 0);
    T(pthread_sigmask(SIG_SETMASK, &old_mask, NULL) == 0);
}

/* What stands for us reads what we would have read, and a signal reaches all that it started. */
static void test_within(void **state)
{
    const char *in = t_path(t_tmpdir(), "in"), *up = t_path(t_tmpdir(), "up");
    char sh[] = "sh", c[] = "-c", script[400], *argv[] = {sh, c, script, NULL};
    int saved = dup(STDIN_FILENO), file, code = -1;
    struct wr_err e = {0};
    siginfo_t info;
    pid_t pid = 0, target = 0;

    (void)state;
    t_spew(in, "yes\n", 4);
    file = open(in, O_RDONLY);
    T(saved >= 0 && file >= 0 && dup2(file, STDIN_FILENO) == STDIN_FILENO && close(file) == 0);
    T(run_at("read x && [ \"$x\" = yes ] && exit 4", WR_CHILD_WITHIN) == 4);
    (void)snprintf(script, sizeof(script),
        "trap : USR1; "
        "sh -c 'trap \"exit 6\" USR1; echo > \"%s\"; while :; do sleep 0.01; done' & "
        "while wait $!; c=$?; [ $c -gt 128 ]; do :; done; exit $c",
        up);
    T_OK(wr_child_start(argv, WR_CHILD_WITHIN, 0, &pid, &target, &e));
    while (access(up, F_OK) != 0)
        T(sched_yield() == 0);
    T(target == -pid && kill(target, SIGUSR1) == 0);
    T(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
    T(wr_child_ended(pid, &code) && code == 6);
    T(dup2(saved, STDIN_FILENO) == STDIN_FILENO && close(saved) == 0);
}

/* Others may be the first that are asked about, or ours. */
static void test_reaps_others(void **state)
{
    pid_t pids[3];
    siginfo_t info;
    int code = -1;

    (void)state;
    for (size_t i = 0; i < wr_countof(pids); i++) {
        pids[i] = fork();
        T(pids[i] >= 0);
        if (pids[i] == 0)
            _exit((int)i + 1);
        T(waitid(P_PID, (id_t)pids[i], &info, WEXITED | WNOWAIT) == 0);
    }
    wr_child_reap_others(pids[2]);
    T(wr_child_is_over(pids[2]) && wr_child_ended(pids[2], &code) && code == 3);
    wr_child_reap_others(0);
    T(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0); /* none is left */
    wr_child_reap_others(0);
}

/* A thread that waits for one of them, as for a program that tells keys, was faster. The others
 * stayed zombies until some other child ended. */
static void test_one_that_was_reaped_elsewhere_left_the_others(void **state)
{
    pid_t pids[2];
    siginfo_t info;

    (void)state;
    for (size_t i = 0; i < wr_countof(pids); i++) {
        pids[i] = fork();
        T(pids[i] >= 0);
        if (pids[i] == 0)
            _exit(0);
        T(waitid(P_PID, (id_t)pids[i], &info, WEXITED | WNOWAIT) == 0);
    }
    others_reap = true;
    wr_child_reap_others(0);
    T(!others_reap);
    T(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0); /* none is left */
}

static void test_no_program(void **state)
{
    char name[] = "no-such-program-anywhere", *argv[] = {name, NULL};
    struct wr_err e = {0};
    pid_t pid = 0, target = 0;

    (void)state;
    T_IS(WR_NOTFOUND, wr_child_start(argv, WR_CHILD_BESIDE, 0, &pid, &target, &e));
    T(strstr(e.text, "cannot start exec command: no-such-program-anywhere: "));
}

static enum wr_status sweep(void *arg)
{
    struct wr_arena a;
    char **argv = NULL;
    enum wr_status st;

    (void)arg;
    wr_arena_init(&a, WR_ARENA_MAX);
    st = wr_child_split(&a, WR_STR("a 'b c' \"\""), &argv, NULL);
    wr_arena_release(&a);
    return st;
}

static void test_nomem(void **state)
{
    (void)state;
    t_sweep_nomem(sweep, NULL);
}

T_MAIN(T_TEST(test_split), T_TEST(test_split_refused), T_TEST(test_split_limits),
    T_TEST(test_split_random), T_TEST(test_exit_codes), T_TEST(test_the_limit_of_descriptors),
    T_TEST(test_still_running), T_TEST(test_inheritance), T_TEST(test_within),
    T_TEST(test_reaps_others), T_TEST(test_one_that_was_reaped_elsewhere_left_the_others),
    T_TEST(test_no_program), T_TEST(test_nomem))
