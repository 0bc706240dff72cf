/*
 * child.c - see child.h.
 */
#if defined(__linux__)
#define _DEFAULT_SOURCE 1 /* NOLINT(bugprone-reserved-identifier): for MAP_ANONYMOUS */
#endif

#include "sim/child.h"

#include "harness/t.h"
#include "sim/tape.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* The exit code of a child whose stderr is `err`. */
static int run_one(uint64_t seed, void (*run)(void *arg), void *arg, int err)
{
    int status = 0;
    pid_t pid;

    (void)fflush(NULL);
    pid = fork();
    T(pid >= 0);
    if (pid == 0) {
        if (dup2(err, STDERR_FILENO) < 0)
            _exit(1);
        tape_seed(seed);
        sim_run(run, arg);
        _exit(0);
    }
    T(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void child_run(uint64_t seed, void (*run)(void *arg), void *arg)
{
    int nowhere = open("/dev/null", O_WRONLY), code;

    T(nowhere >= 0);
    code = run_one(seed, run, arg, nowhere);
    T(close(nowhere) == 0);
    if (code == 0)
        return;
    (void)run_one(seed, run, arg, STDERR_FILENO); /* the same again, and one can read why */
    (void)fprintf(stderr, "seed %" PRIu64 ": exit code %d\n", seed, code);
    T(!"a simulation failed");
}

void child_fails(uint64_t seed, void (*run)(void *arg), void *arg, const char *why)
{
    FILE *output = tmpfile();
    char text[4096];
    ssize_t n;

    T(output != NULL);
    T(run_one(seed, run, arg, fileno(output)) == SIM_FAILED);
    n = pread(fileno(output), text, sizeof(text) - 1, 0);
    T(n >= 0 && fclose(output) == 0);
    text[n] = '\0';
    T(strstr(text, why) != NULL);
}

void *child_shared(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    T(p != MAP_FAILED);
    return p;
}
