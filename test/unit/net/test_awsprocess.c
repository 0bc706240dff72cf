/*
 * test_awsprocess.c - net/awsprocess.h: a program that prints credentials, and one that does
 * anything else.
 */
#include "net/awsprocess.h"

#include "base/cancel.h"
#include "base/known.h"
#include "base/sync.h"
#include "harness/t.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEYS                                                             \
    "{\"Version\": 1, \"AccessKeyId\": \"ASIA1\", \"SecretAccessKey\": " \
    "\"THE+SECRET/KEY=\", \"SessionToken\": \"TOK\", \"Expiration\": "   \
    "\"2026-05-01T13:00:00Z\"}"

static struct wr_aws_role role;
static struct wr_err e;

static enum wr_status run(const char *command)
{
    role = (struct wr_aws_role){.expires_ms = 7};
    e = (struct wr_err){.code = WR_OK};
    return wr_aws_process(t_call(), command, "the helper", &role, &e);
}

static const char *printing(const char *text)
{
    return wr_arena_fmt(t_call()->scratch, "echo '%s'", text).p;
}

static void what_it_prints(void **state)
{
    (void)state;
    T_OK(run(printing(KEYS)));
    T(wr_str_eq(role.creds.access_key, WR_STR("ASIA1")));
    T(wr_str_eq(role.creds.secret_key, WR_STR("THE+SECRET/KEY=")));
    T(wr_str_eq(role.creds.token, WR_STR("TOK")) && role.expires_ms == INT64_C(1777640400000));
    T_OK(run("echo '{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\"}'"));
    T(role.creds.token.n == 0 && role.expires_ms == INT64_MAX);
}

static void what_is_no_credentials(void **state)
{
    static const struct {
        enum wr_status st;
        const char *command, *text;
    } all[] = {
        {WR_AUTH, "true", "the helper: it prints nothing"},
        {WR_AUTH, "exit 7", "the helper: exit code 7"},
        {WR_AUTH, "kill -9 $$", "the helper: killed by signal 9"},
        {WR_AUTH, "/nonexistent/helper 2>/dev/null", "the helper: exit code 127"},
        {WR_CORRUPT, "echo hello", "no JSON object"},
        {WR_CORRUPT, "echo '{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\"}'", "version 1"},
        {WR_CORRUPT, "echo '{\"Version\":2,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\"}'",
            "version 1"},
        {WR_CORRUPT, "echo '{\"Version\":\"1\",\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\"}'",
            "version 1"},
        {WR_CORRUPT, "echo '{\"Version\":1,\"AccessKeyId\":\"A\"}'", "no secret key"},
        {WR_CORRUPT, "echo '{\"Version\":1,\"AccessKeyId\":\"A B\",\"SecretAccessKey\":\"S\"}'",
            "strange characters"},
        {WR_LIMIT, "yes", "it prints more than 16383 bytes"},
    };

    (void)state;
    for (size_t i = 0; i < wr_countof(all); i++) {
        T_IS(all[i].st, run(all[i].command));
        T(strstr(e.text, all[i].text));
    }
}

/* The reason of a failure was lost: it stands on stderr. */
static void what_it_says_when_it_fails(void **state)
{
    (void)state;
    T_IS(WR_AUTH, run("echo 'no certificate\tat hand' >&2; exit 1"));
    T(strcmp(e.text, "the helper: exit code 1; it says: no certificate at hand") == 0);
    T_IS(WR_AUTH,
        run("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done >&2; echo the end >&2; "
            "exit 1"));
    T(strstr(e.text, "line 19999 the end") && !strstr(e.text, "line 100 "));
}

/* As by "set -x". */
static void what_it_printed_was_said(void **state)
{
    const char *copies =
        wr_arena_fmt(t_call()->scratch, "echo '%s' | tee /dev/stderr; exit 1", KEYS).p;

    (void)state;
    T_IS(WR_AUTH, run(copies));
    T(strstr(e.text, "it says: ") && !strstr(e.text, "SECRET"));
    T_IS(WR_CORRUPT, run(printing("THE+SECRET/KEY=")));
    T(!strstr(e.text, "SECRET"));
}

/* In JSON a slash may have a backslash before it, and any letter may stand as its number: what was
 * said was compared with what was printed as it stands. */
static void what_it_printed_in_other_letters_was_said(void **state)
{
    static const char *const as[] = {"THE+SECRET\\/KEY=", "THE\\u002bSECRET/KEY\\u003D"};

    (void)state;
    for (size_t i = 0; i < 2 * wr_countof(as); i++) {
        const bool other = i % 2;
        const char *out = other ? "THE+SECRET/KEY=" : as[i / 2];
        const char *said = other ? as[i / 2] : "THE+SECRET/KEY=";
        const char *script = wr_arena_fmt(t_call()->scratch,
            "printf '%%s' '{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"%s\"}'; "
            "printf "
            "'%%s' 'key %s, u0 \\u00' >&2; exit 1",
            out, said)
                                 .p;

        T_IS(WR_AUTH, run(script));
        T(strstr(e.text, "it says: key ***") && !strstr(e.text, "SECRET") &&
            strstr(e.text, ", u0 "));
    }
}

/* It has nothing to do with what a database or a connection is read by. */
static void a_descriptor_was_inherited(void **state)
{
    const char *path = t_path(t_tmpdir(), "open");
    int fd = open(path, O_RDWR | O_CREAT, 0600), high = fcntl(fd, F_DUPFD, 200);
    char script[300];

    (void)state;
    T(fd > 2 && high >= 200);
    (void)snprintf(script, sizeof(script),
        "for i in %d %d; do if [ -e /proc/self/fd/$i ]; then exit 9; fi; done; "
        "if read x; then exit 8; fi; %s",
        fd, high, printing(KEYS));
    T_OK(run(script));
    T(close(fd) == 0 && close(high) == 0);
}

/* To start one is to fork, and a child that closes what it has. */
static void a_lock_of_ours_was_dropped(void **state)
{
    const char *path = t_path(t_tmpdir(), "locked");
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    (void)state;
    T(fd >= 0 && fcntl(fd, F_SETLK, &lock) == 0 && t_locked_for_others(path));
    T_OK(run(printing(KEYS)));
    T(t_locked_for_others(path));
    T(close(fd) == 0);
}

/* What it put aside keeps its output open for longer than anybody waits. */
static void what_stays_behind_was_waited_for(void **state)
{
    const char *path = t_path(t_tmpdir(), "pid");
    char script[500];
    struct wr_bytes pid;
    uint64_t number = 0;

    (void)state;
    (void)snprintf(script, sizeof(script), "sleep 100 & echo $! > '%s'; %s", path, printing(KEYS));
    T_OK(run(script));
    pid = t_slurp(path);
    T(wr_parse_u64(wr_str_trim((struct wr_str){(const char *)pid.p, pid.n}), &number));
    T(kill((pid_t)number, SIGKILL) == 0); /* it goes on */
}

struct canceler {
    struct wr_thread thread;
    struct wr_cancel *cancel;
};

static void cancel_soon(void *arg)
{
    struct canceler *x = arg;

    t_sleep_ms(50);
    wr_cancel_now(x->cancel);
}

/* And what it started is, too. */
static void one_that_hangs_is_killed(void **state)
{
    const char *path = t_path(t_tmpdir(), "fifo");
    struct wr_call *c = t_call();
    struct wr_cancel cancel;
    struct canceler x = {.cancel = &cancel};
    char script[300], byte;
    int fd;

    (void)state;
    T(mkfifo(path, 0600) == 0);
    fd = open(path, O_RDONLY | O_NONBLOCK);
    T(fd >= 0);
    (void)snprintf(script, sizeof(script), "sleep 100 3>'%s' & exec sleep 100 3>'%s'", path, path);
    wr_cancel_init(&cancel);
    c->cancel = &cancel;
    T_OK(wr_thread_start(&x.thread, "cancel", 0, cancel_soon, &x, &e));
    T_IS(WR_CANCELED, wr_aws_process(c, script, "the helper", &role, &e));
    wr_thread_join(&x.thread);
    wr_cancel_release(&cancel);
    T(fcntl(fd, F_SETFL, 0) == 0);
    T(read(fd, &byte, 1) == 0); /* nobody has it open */
    T(close(fd) == 0);
    c = t_call();
    c->deadline_ms = wr_mono_ms(c->clock) + 30;
    T_IS(WR_TIMEOUT, wr_aws_process(c, "sleep 100", "the helper", &role, &e));
    T_IS(WR_TIMEOUT, wr_aws_process(c, "exec >&- 2>&-; sleep 100", "the helper", &role, &e));
}

/* ---- others who reap ---- */

static atomic_bool done;

/* As the first process of a container does, which is woken by each child that ends. */
static void reap_all(void *arg)
{
    bool by_hand = arg != NULL;

    while (!atomic_load(&done)) {
        siginfo_t info = {0};

        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
            continue;
        if (by_hand)
            (void)waitpid(info.si_pid, NULL, WNOHANG);
        else
            (void)wr_known_reap(info.si_pid);
    }
}

/* Its exit code went to whoever was faster. A host may reap all itself, and costs just that. */
static void its_exit_code_was_reaped(void **state)
{
    static bool by_hand;

    (void)state;
    for (int hand = 0; hand < 2; hand++) {
        struct wr_thread thread;
        bool told = true;

        atomic_store(&done, false);
        T_OK(wr_thread_start(&thread, "reap", 0, reap_all, hand ? &by_hand : NULL, &e));
        for (int i = 0; i < 20 && told; i++) {
            enum wr_status st = run("echo why >&2; exit 7");

            told = st == WR_AUTH && strstr(e.text, "it says: why") &&
                   (hand || strstr(e.text, "exit code 7")) && run(printing(KEYS)) == WR_OK;
        }
        atomic_store(&done, true);
        wr_thread_join(&thread);
        T(told);
    }
}

/* ---- without ---- */

static enum wr_status sweep(void *arg)
{
    (void)arg;
    return run("echo '{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\"}'");
}

static void without_memory(void **state)
{
    (void)state;
    t_sweep_nomem(sweep, NULL);
}

/* A host may have closed its own. */
static void without_stdin_and_stderr(void **state)
{
    int in = dup(STDIN_FILENO), err = dup(STDERR_FILENO);
    enum wr_status st;

    (void)state;
    T(in > 2 && err > 2);
    (void)close(STDIN_FILENO);
    (void)close(STDERR_FILENO);
    st = run(printing(KEYS));
    T(dup2(in, STDIN_FILENO) == STDIN_FILENO && dup2(err, STDERR_FILENO) == STDERR_FILENO);
    T(close(in) == 0 && close(err) == 0);
    T_OK(st);
}

T_MAIN(T_TEST(what_it_prints), T_TEST(what_is_no_credentials), T_TEST(what_it_says_when_it_fails),
    T_TEST(what_it_printed_was_said), T_TEST(what_it_printed_in_other_letters_was_said),
    T_TEST(a_descriptor_was_inherited), T_TEST(a_lock_of_ours_was_dropped),
    T_TEST(what_stays_behind_was_waited_for), T_TEST(one_that_hangs_is_killed),
    T_TEST(its_exit_code_was_reaped), T_TEST(without_memory), T_TEST(without_stdin_and_stderr))
