/*
 * headers.c - see headers.h. The child of a process with threads may do little: it opens, reads,
 * closes and writes, and allocates nothing.
 */
#include "daemon/headers.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_MS ((int64_t)60 * 1000) /* for all of them; a disk may be slow */

bool wr_header_is(const void *p, size_t n)
{
    static const char header[WR_HEADER_BYTES] = "SQLite format 3"; /* with its NUL */

    return n >= sizeof(header) && memcmp(p, header, sizeof(header)) == 0;
}

static uint8_t look(const char *path)
{
    char start[WR_HEADER_BYTES];
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0)
        return errno == ENOENT ? WR_HEADER_OTHER : WR_HEADER_UNREAD;
    n = read(fd, start, sizeof(start)); /* fewer bytes than there are come of no regular file */
    (void)close(fd);
    if (n < 0)
        return WR_HEADER_UNREAD;
    return wr_header_is(start, (size_t)n) ? WR_HEADER_DATABASE : WR_HEADER_OTHER;
}

static void answer(int fd, const char *const *paths, size_t n)
{
    uint8_t answers[512];

    for (size_t i = 0; i < n;) {
        size_t k = 0;

        while (k < sizeof(answers) && i < n)
            answers[k++] = look(paths[i++]);
        if (write(fd, answers, k) != (ssize_t)k)
            _exit(1); /* nobody reads it any more */
    }
    _exit(0);
}

static enum wr_status take(int fd, uint8_t *ret, size_t n, struct wr_err *e)
{
    int64_t end = wr_mono_ns(wr_clock_system()) + ANSWER_MS * 1000000;
    size_t got = 0;

    while (got < n) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left_ms = (end - wr_mono_ns(wr_clock_system())) / 1000000;
        int ready = poll(&p, 1, (int)wr_max(left_ms, (int64_t)0));
        ssize_t r;

        if (ready < 0 && errno == EINTR)
            continue;
        if (ready == 0)
            return wr_fail(e, WR_BUSY, "reading the headers of %zu files takes more than %d s", n,
                (int)(ANSWER_MS / 1000));
        r = read(fd, ret + got, n - got);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            return wr_fail(e, WR_IO, "the process that reads headers has ended too soon");
        got += (size_t)r;
    }
    return WR_OK;
}

/* What the child is to do; it ends in it. */
typedef void child_fn(int fd, const void *arg);

/* Run `fn` in a child, which answers with `n` bytes. */
static enum wr_status in_child(
    child_fn *fn, const void *arg, uint8_t *ret, size_t n, struct wr_err *e)
{
    enum wr_status st;
    int fds[2];
    pid_t pid;

    if (pipe(fds) != 0)
        return wr_fail_errno(e, errno, "make a pipe");
    pid = fork();
    if (pid == 0)
        fn(fds[1], arg);
    (void)close(fds[1]); /* the parent's end: nothing was written */
    if (pid < 0) {
        st = wr_fail_errno(e, errno, "start a process to read headers");
    } else {
        st = take(fds[0], ret, n, e);
        (void)kill(pid, SIGKILL); /* it has answered, or never will */
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    (void)close(fds[0]);
    return st;
}

struct list {
    const char *const *paths;
    size_t n;
};

static void answer_all(int fd, const void *arg)
{
    const struct list *list = arg;

    answer(fd, list->paths, list->n);
}

enum wr_status wr_headers_read(const char *const *paths, size_t n, uint8_t *ret, struct wr_err *e)
{
    const struct list list = {paths, n};

    return n > 0 ? in_child(answer_all, &list, ret, n, e) : WR_OK;
}

/* What the child says of one file: errno or 0, how many bytes, and these. */
struct start {
    int32_t error;
    uint32_t n;
    uint8_t bytes[WR_HEADER_WHOLE];
};

static void answer_start(int out, const void *arg)
{
    const char *path = arg;
    struct start s = {0};
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0) {
        s.error = errno;
    } else {
        n = read(fd, s.bytes, sizeof(s.bytes));
        s.error = n < 0 ? errno : 0;
        s.n = n < 0 ? 0 : (uint32_t)n;
        (void)close(fd);
    }
    _exit(write(out, &s, sizeof(s)) == (ssize_t)sizeof(s) ? 0 : 1);
}

enum wr_status wr_header_fetch(
    const char *path, uint8_t *ret, size_t n, size_t *ret_n, struct wr_err *e)
{
    struct start s;
    enum wr_status st;

    assert(n <= sizeof(s.bytes));
    st = in_child(answer_start, path, (uint8_t *)&s, sizeof(s), e);
    if (st != WR_OK)
        return st;
    if (s.error)
        return wr_fail_errno(e, s.error, "open %s", path);
    *ret_n = wr_min(n, (size_t)s.n);
    memcpy(ret, s.bytes, *ret_n);
    return WR_OK;
}
