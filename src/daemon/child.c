/*
 * child.c - split a command line, start it, see how it ended.
 *
 *     word        any characters but blanks and the ones below, joined to a neighbouring quote
 *     'text'      as it is
 *     "text"      as it is, but \" \\ \$ and \` lose the backslash
 *     \c          c, outside of single quotes
 *
 * There is no shell in between: what needs one (; | && >) is refused rather than cut off, because
 * half a command is worse than none. posix_spawn is used, since a forked copy of a process with
 * threads may do nothing but exec.
 */
#include "daemon/child.h"
#include "base/buf.h"
#include "base/known.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMAND_MAX ((size_t)128 << 10)
#define WORDS_MAX   4096

extern char **environ;

struct splitter {
    struct wr_str in;
    struct wr_buf word;
    bool in_word; /* also after '' */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The quoted text at the start of s->in; its closing quote is taken too. */
static enum wr_status take_quoted(struct splitter *s, char quote, struct wr_err *e)
{
    for (size_t i = 1; i < s->in.n; i++) {
        char c = s->in.p[i];

        if (c == quote) {
            s->in = wr_str_skip(s->in, i + 1);
            return WR_OK;
        }
        if (c == '\\' && quote == '"' && i + 1 < s->in.n && strchr("\"\\$`", s->in.p[i + 1]))
            c = s->in.p[++i];
        wr_buf_byte(&s->word, (uint8_t)c);
    }
    return wr_fail(e, WR_MISUSE, "cannot parse exec command: no closing %c", quote);
}

/* The next word into s->word; in_word is false at the end. */
static enum wr_status take_word(struct splitter *s, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    while (s->in.n && is_blank(s->in.p[0]))
        s->in = wr_str_skip(s->in, 1);
    wr_buf_clear(&s->word);
    s->in_word = s->in.n > 0;
    while (st == WR_OK && s->in.n && !is_blank(s->in.p[0])) {
        char c = s->in.p[0];

        if (c == '\'' || c == '"') {
            st = take_quoted(s, c, e);
            continue;
        }
        if (c && strchr(";&|<>()", c))
            return wr_fail(e, WR_MISUSE,
                "cannot parse exec command: unquoted '%c'; use sh -c '...' for shell syntax", c);
        if (c == '\\') {
            if (s->in.n == 1)
                return wr_fail(e, WR_MISUSE, "cannot parse exec command: ends with a backslash");
            s->in = wr_str_skip(s->in, 1);
            c = s->in.p[0];
        }
        wr_buf_byte(&s->word, (uint8_t)c);
        s->in = wr_str_skip(s->in, 1);
    }
    return st;
}

static enum wr_status split(
    struct wr_arena *a, struct splitter *s, char **argv, size_t max, struct wr_err *e)
{
    size_t n = 0;

    for (;;) {
        enum wr_status st = take_word(s, e);
        struct wr_str view;
        char *copy;

        if (st == WR_OK)
            st = wr_buf_status(&s->word);
        if (st == WR_NOMEM)
            return wr_fail(e, st, "out of memory");
        if (st != WR_OK)
            return st;
        if (!s->in_word)
            break;
        if (n == max)
            return wr_fail(e, WR_LIMIT, "exec command has more than %zu words", max);
        view = wr_buf_view(&s->word);
        copy = wr_arena_alloc(a, view.n + 1);
        if (!copy)
            return wr_fail(e, WR_NOMEM, "out of memory");
        if (view.n)
            memcpy(copy, view.p, view.n);
        argv[n++] = copy;
    }
    return n ? WR_OK : wr_fail(e, WR_MISUSE, "exec command is empty");
}

enum wr_status wr_child_split(
    struct wr_arena *a, struct wr_str command, char ***ret, struct wr_err *e)
{
    struct splitter s = {.in = command};
    size_t max = wr_min(command.n / 2 + 1, (size_t)WORDS_MAX);
    char **argv;
    enum wr_status st;

    if (command.n > COMMAND_MAX)
        return wr_fail(e, WR_LIMIT, "exec command is longer than %zu bytes", COMMAND_MAX);
    argv = wr_arena_array(a, max + 1, sizeof(*argv));
    if (!argv)
        return wr_fail(e, WR_NOMEM, "out of memory");
    wr_buf_init(&s.word, COMMAND_MAX);
    st = split(a, &s, argv, max, e);
    wr_buf_release(&s.word);
    if (st == WR_OK)
        *ret = argv;
    return st;
}

/* Ours is the child's for a moment, since posix_spawn has no word for it: another thread that opens
 * something just then may be refused, where it had more than that already, and tries again. */
static int spawn_within(rlim_t descriptors, char *const *argv, posix_spawn_file_actions_t *files,
    posix_spawnattr_t *attr, pid_t *ret)
{
    struct rlimit ours, theirs;
    bool lower =
        descriptors > 0 && getrlimit(RLIMIT_NOFILE, &ours) == 0 && ours.rlim_cur > descriptors;
    int rc;

    if (lower) {
        theirs = ours;
        theirs.rlim_cur = descriptors;
        lower = setrlimit(RLIMIT_NOFILE, &theirs) == 0;
    }
    rc = posix_spawnp(ret, argv[0], files, attr, argv, environ);
    if (lower)
        (void)setrlimit(RLIMIT_NOFILE, &ours); /* it was so before, and may be */
    return rc;
}

/* 0 or an error number. */
static int spawn(char *const *argv, enum wr_child_place place, bool own_group, rlim_t descriptors,
    posix_spawn_file_actions_t *files, posix_spawnattr_t *attr, pid_t *ret)
{
    int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    sigset_t none, all;
    int rc = 0;

    if (sigemptyset(&none) != 0 || sigfillset(&all) != 0)
        return errno;
    if (place == WR_CHILD_BESIDE)
        rc = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (rc == 0)
        rc = posix_spawnattr_setsigmask(attr, &none);
    if (rc == 0)
        rc = posix_spawnattr_setsigdefault(attr, &all);
    if (rc == 0 && own_group)
        rc = posix_spawnattr_setpgroup(attr, 0);
    if (own_group)
        flags |= POSIX_SPAWN_SETPGROUP;
    if (rc == 0)
        rc = posix_spawnattr_setflags(attr, (short)flags);
    return rc ? rc : spawn_within(descriptors, argv, files, attr, ret);
}

enum wr_status wr_child_start(char *const *argv, enum wr_child_place place, uint64_t descriptors,
    pid_t *ret, pid_t *ret_target, struct wr_err *e)
{
    const bool own_group = place == WR_CHILD_WITHIN && !isatty(STDIN_FILENO);
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    int rc = posix_spawn_file_actions_init(&files);

    if (rc != 0)
        return wr_fail_errno(e, rc, "cannot start exec command: %s", argv[0]);
    rc = posix_spawnattr_init(&attr);
    if (rc == 0) {
        rc = spawn(argv, place, own_group, (rlim_t)descriptors, &files, &attr, ret);
        (void)posix_spawnattr_destroy(&attr); /* cannot fail for one that was initialised */
    }
    (void)posix_spawn_file_actions_destroy(&files);
    if (rc != 0)
        return wr_fail_errno(e, rc, "cannot start exec command: %s", argv[0]);
    *ret_target = own_group ? -*ret : *ret;
    return WR_OK;
}

/* The first child that has ended and was not reaped, or 0. */
static pid_t ended(idtype_t which, pid_t pid)
{
    siginfo_t info = {0};
    int rc;

    do
        rc = waitid(which, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
    while (rc < 0 && errno == EINTR);
    return rc == 0 ? info.si_pid : 0;
}

bool wr_child_is_over(pid_t pid)
{
    siginfo_t info;

    /* One that is gone altogether is over, too. */
    return ended(P_PID, pid) != 0 ||
           waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0;
}

/* If ours is the first of them the others wait for its turn, which is at once. Some thread may wait
 * for one of them, and be faster: there may be more behind it, of which no signal comes again. */
void wr_child_reap_others(pid_t child)
{
    pid_t pid, missed = 0;

    while ((pid = ended(P_ALL, 0)) > 0 && pid != child && pid != missed)
        missed = wr_known_reap(pid) ? 0 : pid;
}

bool wr_child_ended(pid_t pid, int *ret_exit)
{
    int status = 0;
    pid_t got;

    do
        got = waitpid(pid, &status, WNOHANG);
    while (got < 0 && errno == EINTR);
    if (got == 0)
        return false;
    if (got < 0) /* somebody else reaped it: its code is lost, and a lost code is no success */
        *ret_exit = 1;
    else if (WIFSIGNALED(status))
        *ret_exit = 128 + WTERMSIG(status);
    else
        *ret_exit = WEXITSTATUS(status);
    return true;
}
