/*
 * awsprocess.c - see awsprocess.h.
 *
 *   /bin/sh -c COMMAND      in a process group of its own; stdin /dev/null, stdout and stderr to us
 *   read both until both are closed, or it is over and nothing is left to read
 *   its exit code 0         then what it printed is JSON (awsanswer.c)
 *
 * Otherwise: a minute passes, the call ends, or it prints more than any credentials have. Then it
 * is killed with all that it started in its group.
 *
 * It must not have what is ours: a database or a lock that it kept open would outlive us. SQLite's
 * descriptors and our own close by themselves when another program starts; a host's, or those of a
 * library, may not, so that what does not is closed by name. To close them in a child takes no lock
 * from us: POSIX locks are of a process, and a lock of an open file lasts as long as we have it
 * open. Nothing is opened or closed here but pipes.
 *
 * Who reaps all children of this process may be faster than we are: see known.h.
 */
#include "net/awsprocess.h"

#include "base/known.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUN_MS    ((int64_t)60 * 1000) /* as the SDKs have it */
#define LOOK_MS   100                /* how often a cancel, or an end without a close, is noticed */
#define PRINT_MAX ((size_t)16 << 10) /* bytes */
#define SAID_MAX  300u               /* bytes of the end of stderr that are shown */
#define READS_MAX 256                /* all that a pipe holds */
#define WORD_MIN  12u                /* letters of a word that may be a secret */

enum {
    OUT,
    ERR,
    STREAMS
};

struct run {
    const char *who;
    int fd[STREAMS];          /* our ends; -1: closed */
    size_t n;                 /* bytes of what it printed */
    size_t said_n;            /* of what it said, those that are kept */
    char said[2 * SAID_MAX];  /* the end of it is shown */
    uint8_t print[PRINT_MAX]; /* wiped */
    struct wr_known child;
};

static void close_end(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* a pipe's */
    *fd = -1;
}

/* ---- the start ---- */

/* By the name under which all systems of ours list them. Between that and the start another thread
 * may open one more; what it opens without care is a socket of a library at the worst. */
static int close_ours(posix_spawn_file_actions_t *files)
{
    DIR *d = opendir("/dev/fd");
    int rc = 0;

    if (!d)
        return 0;
    for (struct dirent *i = readdir(d); i && rc == 0; i = readdir(d)) {
        uint64_t fd = 0;

        if (!wr_parse_u64(wr_str(i->d_name), &fd) || fd <= STDERR_FILENO || fd > INT32_MAX)
            continue;
        if ((fcntl((int)fd, F_GETFD) & FD_CLOEXEC) == 0)
            rc = posix_spawn_file_actions_addclose(files, (int)fd);
    }
    (void)closedir(d);
    return rc;
}

static int prepare(
    posix_spawn_file_actions_t *files, posix_spawnattr_t *attr, const int theirs[STREAMS])
{
    const int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP;
    sigset_t none, all;
    int rc;

    if (sigemptyset(&none) != 0 || sigfillset(&all) != 0)
        return errno;
    rc = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(files, theirs[OUT], STDOUT_FILENO);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2(files, theirs[ERR], STDERR_FILENO);
    if (rc == 0)
        rc = close_ours(files);
    if (rc == 0)
        rc = posix_spawnattr_setsigmask(attr, &none);
    if (rc == 0)
        rc = posix_spawnattr_setsigdefault(attr, &all);
    if (rc == 0)
        rc = posix_spawnattr_setpgroup(attr, 0);
    return rc ? rc : posix_spawnattr_setflags(attr, (short)flags);
}

static int spawn(struct run *r, char *command, const int theirs[STREAMS])
{
    char name[] = "sh", option[] = "-c", *argv[] = {name, option, command, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    int rc = posix_spawn_file_actions_init(&files);

    if (rc != 0)
        return rc;
    rc = posix_spawnattr_init(&attr);
    if (rc == 0) {
        rc = prepare(&files, &attr, theirs);
        if (rc == 0)
            rc = wr_known_start(&r->child, "/bin/sh", &files, &attr, argv);
        (void)posix_spawnattr_destroy(&attr); /* cannot fail for one that was initialised */
    }
    (void)posix_spawn_file_actions_destroy(&files);
    return rc;
}

/* A pipe whose ends no other child gets, and of which ours does not wait. Above stderr, as what is
 * below is replaced in the child, and is free in a host that has closed its own. */
static int open_pipe(int *ret_ours, int *ret_theirs)
{
    int fds[2], rc = pipe(fds) == 0 ? 0 : errno;

    if (rc != 0)
        return rc;
    *ret_ours = fcntl(fds[0], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    *ret_theirs = fcntl(fds[1], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (*ret_ours < 0 || *ret_theirs < 0 || fcntl(*ret_ours, F_SETFL, O_NONBLOCK) < 0)
        rc = errno;
    for (size_t i = 0; i < 2; i++)
        close_end(&fds[i]);
    return rc;
}

static enum wr_status start(
    struct run *r, struct wr_arena *a, const char *command, struct wr_err *e)
{
    int theirs[STREAMS] = {-1, -1}, rc = 0;
    size_t n = strlen(command);
    char *copy = wr_arena_alloc(a, n + 1);
    struct wr_err why = {.code = WR_OK};

    if (!copy)
        return wr_fail(e, WR_NOMEM, "%s: out of memory", r->who);
    memcpy(copy, command, n);
    for (size_t i = 0; i < STREAMS && rc == 0; i++)
        rc = open_pipe(&r->fd[i], &theirs[i]);
    if (rc == 0)
        rc = spawn(r, copy, theirs);
    for (size_t i = 0; i < STREAMS; i++)
        close_end(&theirs[i]);
    if (rc == 0)
        return WR_OK;
    (void)wr_fail_errno(&why, rc, "%s: cannot start /bin/sh", r->who);
    return wr_fail(e, rc == ENOENT || rc == EACCES ? WR_AUTH : WR_BUSY, "%s", why.text);
}

/* ---- what it prints and says ---- */

/* The end of it is what counts: the first half goes when there is no room. */
static void keep_said(struct run *r, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (r->said_n == sizeof(r->said)) {
            memmove(r->said, r->said + SAID_MAX, sizeof(r->said) - SAID_MAX);
            r->said_n -= SAID_MAX;
        }
        r->said[r->said_n++] = p[i] < ' ' || p[i] == 127 ? ' ' : p[i];
    }
}

/* What is there now, but not without end. */
static enum wr_status take(struct run *r, size_t which, struct wr_err *e)
{
    for (size_t i = 0; i < READS_MAX; i++) {
        char said[512];
        bool out = which == OUT;
        ssize_t n = out ? read(r->fd[OUT], r->print + r->n, sizeof(r->print) - r->n)
                        : read(r->fd[ERR], said, sizeof(said));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return WR_OK;
        if (n <= 0) {
            close_end(&r->fd[which]);
            return WR_OK;
        }
        if (out)
            r->n += (size_t)n;
        else
            keep_said(r, said, (size_t)n);
        if (r->n == sizeof(r->print))
            return wr_fail(
                e, WR_LIMIT, "%s: it prints more than %zu bytes", r->who, sizeof(r->print) - 1);
    }
    return WR_OK;
}

static enum wr_status take_all(struct run *r, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    for (size_t i = 0; i < STREAMS && st == WR_OK; i++)
        if (r->fd[i] >= 0)
            st = take(r, i, e);
    return st;
}

static enum wr_status check_time(
    const struct run *r, const struct wr_call *c, int64_t until_ms, struct wr_err *e)
{
    enum wr_status st = wr_call_check(c, r->who, e);

    if (st == WR_OK && wr_mono_ms(wr_clock_system()) >= until_ms)
        st = wr_fail(
            e, WR_AUTH, "%s: it is not done after %lld s", r->who, (long long)(RUN_MS / 1000));
    return st;
}

/* Until it is over. What it put aside may keep our pipes open for as long as it likes; what was
 * written before its end is there by then. */
static enum wr_status see_through(struct run *r, struct wr_call *c, struct wr_err *e)
{
    int64_t until_ms = wr_mono_ms(wr_clock_system()) + RUN_MS;
    int wait_ms = 1;

    for (;;) {
        struct pollfd p[STREAMS];
        bool closed = r->fd[OUT] < 0 && r->fd[ERR] < 0, over = wr_known_over(&r->child);
        enum wr_status st = take_all(r, e);

        if (st == WR_OK && over)
            return WR_OK;
        if (st == WR_OK)
            st = check_time(r, c, until_ms, e);
        if (st != WR_OK)
            return st;
        for (size_t i = 0; i < STREAMS; i++) /* poll passes over what is negative */
            p[i] = (struct pollfd){.fd = r->fd[i], .events = POLLIN};
        (void)poll(p, STREAMS, closed ? wait_ms : LOOK_MS); /* whatever it says, we look */
        wait_ms = closed ? wr_min(2 * wait_ms, LOOK_MS) : 1;
    }
}

/* ---- how it ended ---- */

static enum wr_status judge(struct run *r, struct wr_aws_role *ret, struct wr_err *e)
{
    const struct wr_str print = wr_str_trim((struct wr_str){(const char *)r->print, r->n});
    int status = r->child.status;
    bool lost = status == WR_KNOWN_LOST;

    if (!lost && WIFSIGNALED(status))
        return wr_fail(e, WR_AUTH, "%s: killed by signal %d", r->who, WTERMSIG(status));
    if (!lost && WEXITSTATUS(status) != 0)
        return wr_fail(e, WR_AUTH, "%s: exit code %d", r->who, WEXITSTATUS(status));
    if (print.n == 0)
        return wr_fail(e, WR_AUTH, "%s: it prints nothing", r->who);
    return wr_aws_take_process(print, r->who, ret, e);
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("+/=_-", c));
}

static bool was_printed(const struct run *r, struct wr_str word)
{
    for (size_t i = 0; i + word.n <= r->n; i++)
        if (memcmp(r->print + i, word.p, word.n) == 0)
            return true;
    return false;
}

/* What a string of JSON may have instead of a letter of a key: \/ or \u002f. The size of that at
 * the front of `p`; 0: it is none. */
static size_t escape(const char *p, size_t n, char *ret)
{
    uint64_t number = 0;

    if (n >= 2 && p[0] == '\\' && p[1] == '/') {
        *ret = '/';
        return 2;
    }
    if (n < 6 || p[0] != '\\' || p[1] != 'u' ||
        !wr_parse_hex64((struct wr_str){p + 2, 4}, &number) || number > 0x7f ||
        !is_letter((char)number))
        return 0;
    *ret = (char)number;
    return 6;
}

/* With the letters themselves, in place. The new size. */
static size_t unescape(char *p, size_t n)
{
    size_t to = 0;

    for (size_t i = 0; i < n; to++) {
        size_t size = escape(p + i, n - i, &p[to]);

        if (size == 0)
            p[to] = p[i];
        i += size ? size : 1;
    }
    return to;
}

/* A shell that shows what it does ("set -x") says the keys, too; in its own letters, or in those of
 * JSON. */
static void mask_printed(struct run *r)
{
    size_t n = 0;

    r->n = unescape((char *)r->print, r->n);
    r->said_n = unescape(r->said, r->said_n);
    for (size_t i = 0; i < r->said_n; i += n + 1) {
        for (n = 0; i + n < r->said_n && is_letter(r->said[i + n]);)
            n++;
        if (n >= WORD_MIN && was_printed(r, (struct wr_str){r->said + i, n}))
            memset(r->said + i, '*', n);
    }
}

/* With the end of what it said, which is where the reason stands. */
static enum wr_status tell(
    struct run *r, enum wr_status st, const struct wr_err *why, struct wr_err *e)
{
    struct wr_str said;

    mask_printed(r);
    said = (struct wr_str){r->said, r->said_n};
    if (said.n > SAID_MAX)
        said = wr_str_skip(said, said.n - SAID_MAX);
    said = wr_str_trim(said);
    return wr_fail(e, st, "%s%s" WR_FMT, why->text, said.n > 0 ? "; it says: " : "", WR_ARG(said));
}

enum wr_status wr_aws_process(struct wr_call *c, const char *command, const char *who,
    struct wr_aws_role *ret, struct wr_err *e)
{
    struct run r = {.who = who, .fd = {-1, -1}};
    struct wr_err why = {.code = WR_OK};
    enum wr_status st = wr_call_check(c, who, e);

    if (st != WR_OK)
        return st;
    st = start(&r, c->scratch, command, &why);
    if (st == WR_OK) {
        st = see_through(&r, c, &why);
        if (st == WR_OK)
            st = judge(&r, ret, &why);
        wr_known_kill(&r.child);
    }
    for (size_t i = 0; i < STREAMS; i++)
        close_end(&r.fd[i]);
    if (st != WR_OK)
        st = tell(&r, st, &why, e);
    wr_wipe(r.print, sizeof(r.print));
    wr_wipe(r.said, sizeof(r.said));
    return st;
}
