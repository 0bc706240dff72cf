/*
 * watch.c - when files appear in a directory.
 *
 *   watch DIR SUFFIX
 *
 * Prints a line for each new name that ends in SUFFIX and does not start with a dot: the
 * CLOCK_MONOTONIC nanoseconds at which it was seen, a blank, the name. The line "ready" comes
 * first. Ends when its standard input does.
 *
 * It refuses to know what is in the files: by the time a name is seen, the contents are whoever
 * made the name's promise.
 */
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail with this clock */
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool wanted(const char *name, const char *suffix)
{
    size_t n = strlen(name), k = strlen(suffix);

    return name[0] != '.' && n >= k && strcmp(name + n - k, suffix) == 0;
}

static bool print_events(int fd, const char *suffix)
{
    union {
        struct inotify_event align;
        char bytes[1 << 16];
    } buf;
    ssize_t n = read(fd, buf.bytes, sizeof(buf.bytes));
    uint64_t seen = now_ns();

    for (ssize_t at = 0; at < n;) {
        struct inotify_event *e = (struct inotify_event *)(void *)(buf.bytes + at);

        if (e->mask & IN_Q_OVERFLOW)
            return false;
        if (e->len && wanted(e->name, suffix))
            (void)printf("%llu %s\n", (unsigned long long)seen, e->name);
        at += (ssize_t)(sizeof(*e) + e->len);
    }
    return n > 0;
}

int main(int argc, char **argv)
{
    struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.events = POLLIN}};

    if (argc != 3) {
        (void)fputs("usage: watch DIR SUFFIX\n", stderr);
        return 2;
    }
    fds[1].fd = inotify_init1(IN_CLOEXEC);
    if (fds[1].fd < 0 || inotify_add_watch(fds[1].fd, argv[1], IN_CREATE | IN_MOVED_TO) < 0) {
        perror(argv[1]);
        return 1;
    }
    (void)puts("ready");
    (void)fflush(stdout);
    while (poll(fds, 2, -1) > 0 && !(fds[0].revents & (POLLIN | POLLHUP))) {
        if (fds[1].revents && !print_events(fds[1].fd, argv[2])) {
            (void)fputs("watch: events were lost\n", stderr);
            return 1;
        }
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
