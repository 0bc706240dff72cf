/*
 * spent.c - what a command takes: spent COMMAND [ARGUMENT]...
 *
 * Runs it and prints one line of JSON on standard output: seconds, CPU seconds, megabytes of memory
 * at most. Its exit status is the command's.
 *
 * The kernel counts as a process's peak what its parent had when it was forked, so that a large
 * parent cannot measure a small child; this one is small.
 */
#define _DEFAULT_SOURCE /* wait4 */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail with this clock */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

int main(int argc, char **argv)
{
    struct rusage used;
    int status = 0;
    double start = now_s();
    pid_t pid;

    if (argc < 2) {
        (void)fputs("usage: spent COMMAND [ARGUMENT]...\n", stderr);
        return 2;
    }
    pid = fork();
    if (pid == 0) {
        /* Its output is nobody's business, and must not be taken for ours. */
        (void)dup2(STDERR_FILENO, STDOUT_FILENO);
        (void)execvp(argv[1], argv + 1);
        perror(argv[1]);
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &status, 0, &used) != pid) {
        perror("spent");
        return 1;
    }
    (void)printf("{\"seconds\": %.6f, \"cpu\": %.6f, \"peak_mb\": %.3f}\n", now_s() - start,
        seconds(used.ru_utime) + seconds(used.ru_stime), (double)used.ru_maxrss / 1024);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
