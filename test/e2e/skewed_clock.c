/*
 * skewed_clock.c - LD_PRELOADed into weir: the wall clock is as many seconds off as the file says
 * that WEIR_TEST_CLOCK names, and jumps when the file changes. The machine's own clock stays as it
 * is.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

long syscall(long number, ...); /* not in POSIX */

static time_t skew(void)
{
    const char *name = getenv("WEIR_TEST_CLOCK");
    char text[32] = {0};
    int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;

    if (fd < 0)
        return 0;
    if (read(fd, text, sizeof(text) - 1) < 0)
        text[0] = '\0';
    (void)close(fd);
    return (time_t)strtol(text, NULL, 10);
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t id, struct timespec *t)
{
    int rc = (int)syscall(SYS_clock_gettime, id, t);

    if (rc == 0 && id == CLOCK_REALTIME)
        t->tv_sec += skew();
    return rc;
}
