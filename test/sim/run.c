/*
 * run.c - see run.h.
 */
#define WR_MEM_IMPLEMENTATION /* malloc.h names the C library's heap */
#if defined(__linux__)
/* For MAP_ANONYMOUS and wait4. */
#define _DEFAULT_SOURCE 1 /* NOLINT(bugprone-reserved-identifier) */
#endif

#include "sim/run.h"

#include "sim/fiber.h"
#include "sim/tape.h"

#include <errno.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif
#include <signal.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_S 60u  /* of a processor; what neighbours leave of it is not asked */
#define BLOCKED_S  900u /* in a real wait, which nobody ends */

#define FILLED_RUNS 20u
#define FILLED_WITH 0xa5

static struct world_report *shared_report(void)
{
    static struct world_report *r;

    if (!r) {
        void *p = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
            abort();
        r = p;
    }
    return r;
}

static void limit(void)
{
    const struct itimerval t = {.it_value.tv_sec = PATIENCE_S};

    (void)setitimer(ITIMER_PROF, &t, NULL);
    (void)alarm(BLOCKED_S);
}

/* In one run of so many whatever is allocated or freed is filled with something that is not zero,
 * so that nobody lives by luck. In all of them it would take a third of the time. */
static void fill_heap(bool filled)
{
#if defined(__GLIBC__)
    (void)mallopt(M_PERTURB, filled ? FILLED_WITH : 0); /* whatever MALLOC_PERTURB_ says */
#else
    (void)filled;
#endif
}

static void child(const struct run *r, struct world_report *report, int out)
{
    if (!r->trace && dup2(out, STDERR_FILENO) < 0)
        _exit(1);
    limit();
    fill_heap(r->seed % FILLED_RUNS == 0);
    sim_tracing = r->trace;
    if (r->tape)
        tape_play(r->tape, r->n_tape);
    else
        tape_seed(r->seed);
    world_live(report);
    (void)fflush(NULL);
    _exit(0);
}

/* What the child says last. Lines that are cut lose their beginning. */
static void listen_to(int in, char *text)
{
    char buf[4096];
    size_t n = 0;
    ssize_t got;

    while ((got = read(in, buf + n, sizeof(buf) - 1 - n)) > 0 || (got < 0 && errno == EINTR)) {
        n += got > 0 ? (size_t)got : 0;
        if (n > sizeof(buf) / 2) {
            memmove(buf, buf + n - sizeof(buf) / 4, sizeof(buf) / 4);
            n = sizeof(buf) / 4;
        }
    }
    while (n > 0 && buf[n - 1] == '\n')
        n--;
    buf[n] = '\0';

    const char *line = strrchr(buf, '\n');
    (void)snprintf(text, RUN_TEXT, "%.*s", RUN_TEXT - 1, line ? line + 1 : buf);
}

static uint64_t hash_of_tape(void)
{
    size_t n;
    const uint32_t *p = tape_recorded(&n);
    uint64_t h = 1469598103934665603u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 1099511628211u;
    return h;
}

static uint64_t micros(const struct timeval *t)
{
    return (uint64_t)t->tv_sec * 1000000 + (uint64_t)t->tv_usec;
}

void run_one(const struct run *r, struct run_result *ret)
{
    struct world_report *report = shared_report();
    struct rusage used = {0};
    int status = 0, fd[2];
    pid_t pid;

    (void)fflush(NULL);
    *ret = (struct run_result){0};
    tape_seed(0); /* shares its memory */
    if (pipe(fd) != 0)
        abort();
    pid = fork();
    if (pid < 0)
        abort();
    if (pid == 0) {
        (void)close(fd[0]);
        child(r, report, fd[1]);
    }
    (void)close(fd[1]);
    listen_to(fd[0], ret->text);
    (void)close(fd[0]);
    while (wait4(pid, &status, 0, &used) < 0) {
        if (errno != EINTR)
            abort();
    }
    ret->cpu_us = micros(&used.ru_utime) + micros(&used.ru_stime);
    ret->hash = hash_of_tape();
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        ret->report = *report;
        return;
    }
    if (WIFEXITED(status))
        ret->end = RUN_FOUND;
    else if (WTERMSIG(status) == SIGPROF || WTERMSIG(status) == SIGALRM)
        ret->end = RUN_HUNG;
    else
        ret->end = RUN_CRASHED;
}

/* Without the time and the process in front, and without numbers. */
static char next_mark(const char **p)
{
    while ((**p >= '0' && **p <= '9') || (**p >= 'a' && **p <= 'f'))
        (*p)++;
    return **p ? *(*p)++ : '\0';
}

bool run_alike(const struct run_result *a, const struct run_result *b)
{
    const char *x = strstr(a->text, "FAILED"), *y = strstr(b->text, "FAILED");

    if (a->end != b->end)
        return false;
    if (!x || !y) /* an assertion names its line */
        return a->end == RUN_HUNG || strcmp(a->text, b->text) == 0;
    for (char mark = 1; mark;) {
        mark = next_mark(&x);
        if (mark != next_mark(&y))
            return false;
    }
    return true;
}
