/*
 * mutants.c - see mutants.h.
 */
#include "sim/mutants.h"

#include "base/mutant.h"
#include "sim/run.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

enum wr_mutant wr_mutant_now;

struct mutant {
    const char *name, *text;
};

static const struct mutant mutants[] = {
#define MUTANT(name, text) [WR_MUTANT_##name] = {#name, text},
    WR_MUTANT_LIST(MUTANT)
#undef MUTANT
};

bool mutant_choose(const char *name)
{
    for (size_t i = 1; i < WR_MUTANT_COUNT; i++) {
        if (strcmp(mutants[i].name, name) == 0) {
            wr_mutant_now = (enum wr_mutant)i;
            return true;
        }
    }
    return false;
}

/* How many seeds it takes; 0: more than that. */
static uint64_t hunt(uint64_t first, uint64_t max_seeds, struct run_result *ret)
{
    for (uint64_t n = 1; n <= max_seeds; n++) {
        run_one(&(struct run){.seed = first + n}, ret);
        if (ret->end != RUN_WELL)
            return n;
    }
    return 0;
}

static const char *what_of(const struct run_result *r)
{
    const char *what = strstr(r->text, "FAILED: ");

    return what ? what + strlen("FAILED: ") : r->text;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* A seed that found it once does so until the simulator changes. */
static bool found_again(enum wr_mutant which, uint64_t known)
{
    struct run_result r = {0};

    run_one(&(struct run){.seed = known}, &r);
    if (r.end != RUN_WELL)
        (void)printf("%-20s found by seed %llu: %s\n", mutants[which].name,
            (unsigned long long)known, what_of(&r));
    return r.end != RUN_WELL;
}

/* Whether it is always found. */
static bool kill_mutant(enum wr_mutant which, uint64_t known, uint64_t max_seeds, unsigned rounds)
{
    uint64_t took[MUTANT_ROUNDS_MAX];
    struct run_result first = {0}, other;

    wr_mutant_now = which;
    if (known > 0 && found_again(which, known))
        return true;
    for (unsigned i = 0; i < rounds; i++) {
        took[i] = hunt(i * 1000000, max_seeds, i == 0 ? &first : &other);
        if (took[i] == 0) {
            (void)printf("%-20s NOT FOUND in %llu seeds: %s\n", mutants[which].name,
                (unsigned long long)max_seeds, mutants[which].text);
            return false;
        }
    }
    qsort(took, rounds, sizeof(took[0]), by_size);
    (void)printf("%-20s found, median %llu seeds (%llu to %llu): %s\n", mutants[which].name,
        (unsigned long long)took[rounds / 2], (unsigned long long)took[0],
        (unsigned long long)took[rounds - 1], what_of(&first));
    return true;
}

static void work(unsigned job, unsigned jobs, uint64_t known, uint64_t max_seeds, unsigned rounds,
    enum wr_mutant only)
{
    bool all = true;

    for (unsigned i = 1; i < WR_MUTANT_COUNT; i++) {
        if (only ? i == (unsigned)only && job == 0 : i % jobs == job)
            all = kill_mutant((enum wr_mutant)i, known, max_seeds, rounds) && all;
    }
    (void)fflush(NULL);
    _exit(!all);
}

int mutants_run(uint64_t known, uint64_t max_seeds, unsigned rounds, unsigned jobs)
{
    const enum wr_mutant only = wr_mutant_now;
    bool all = true;
    int status = 0;

    (void)fflush(NULL);
    for (unsigned job = 0; job < jobs; job++) {
        pid_t pid = fork();

        if (pid < 0)
            abort();
        if (pid == 0)
            work(job, jobs, known, max_seeds, rounds, only);
    }
    while (wait(&status) > 0 || errno == EINTR)
        all = all && status == 0;
    (void)printf(
        "mutants=%d %s\n", only ? 1 : WR_MUTANT_COUNT - 1, all ? "all found" : "SOME NOT FOUND");
    return !all;
}
