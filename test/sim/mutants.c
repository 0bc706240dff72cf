/*
 * mutants.c - see mutants.h.
 */
#include "sim/mutants.h"

#include "base/mutant.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUND 1000000u /* seeds between the first ones of two rounds */

struct mutant {
    const char *name, *text;
};

static const struct mutant mutants[] = {[WR_MUTANT_NONE] = {"none", "nothing is wrong"},
#define MUTANT(name, text) [WR_MUTANT_##name] = {#name, text},
    WR_MUTANT_LIST(MUTANT)
#undef MUTANT
};

const char *mutant_name(void)
{
    return mutants[wr_mutant_now].name;
}

const char *mutant_text(void)
{
    return mutants[wr_mutant_now].text;
}

const char *mutant_found(const struct run_result *r)
{
    const char *what = strstr(r->text, "FAILED: ");

    return what ? what + strlen("FAILED: ") : r->text;
}

void mutant_leave_out(const struct run *r, struct run_result *ret)
{
    const enum wr_mutant which = wr_mutant_now;

    wr_mutant_now = WR_MUTANT_NONE;
    run_one(r, ret);
    wr_mutant_now = which;
}

/* Else it is nothing that the mutant has done. */
static bool well_without(uint64_t seed)
{
    struct run_result r;

    mutant_leave_out(&(struct run){.seed = seed}, &r);
    if (r.end != RUN_WELL)
        (void)printf(
            "seed %llu finds without a mutant: %s\n", (unsigned long long)seed, mutant_found(&r));
    return r.end == RUN_WELL;
}

bool mutant_hunt(uint64_t after, uint64_t max_seeds, struct hunt *ret)
{
    *ret = (struct hunt){.seed = after};
    while (ret->seeds < max_seeds) {
        const struct run r = {.seed = ++ret->seed};

        ret->seeds++;
        run_one(&r, &ret->found);
        ret->cpu_us += ret->found.cpu_us;
        if (ret->found.end == RUN_WELL || !well_without(r.seed))
            continue;
        run_one(&r, &ret->found); /* for its tape */
        return true;
    }
    return false;
}

/* ---- all of them ---- */

static void work(unsigned job, unsigned jobs, enum wr_mutant only, mutant_fn *fn, const void *arg)
{
    bool all = true;

    for (unsigned i = 1; i < WR_MUTANT_COUNT; i++) {
        if (only ? i != (unsigned)only || job != 0 : i % jobs != job)
            continue;
        wr_mutant_now = (enum wr_mutant)i;
        all = fn(arg) && all;
    }
    (void)fflush(NULL);
    _exit(!all);
}

int mutants_each(unsigned jobs, mutant_fn *fn, const void *arg)
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
            work(job, jobs, only, fn, arg);
    }
    while (wait(&status) > 0 || errno == EINTR)
        all = all && status == 0;
    return !all;
}

/* ---- how soon ---- */

struct rounds {
    uint64_t max_seeds;
    unsigned n;
};

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Whether it is always found. */
static bool measure(const void *arg)
{
    const struct rounds *o = arg;
    uint64_t seeds[MUTANT_ROUNDS_MAX], cpu_us[MUTANT_ROUNDS_MAX];
    struct hunt h = {0};

    for (unsigned i = 0; i < o->n; i++) {
        if (!mutant_hunt(i * (uint64_t)ROUND, o->max_seeds, &h)) {
            (void)printf("%-20s NOT FOUND in %llu seeds: %s\n", mutant_name(),
                (unsigned long long)o->max_seeds, mutant_text());
            return false;
        }
        seeds[i] = h.seeds;
        cpu_us[i] = h.cpu_us;
    }
    qsort(seeds, o->n, sizeof(seeds[0]), by_size);
    qsort(cpu_us, o->n, sizeof(cpu_us[0]), by_size);
    (void)printf("%-20s found, median %llu seeds (%llu to %llu), %.1f s: %s\n", mutant_name(),
        (unsigned long long)seeds[o->n / 2], (unsigned long long)seeds[0],
        (unsigned long long)seeds[o->n - 1], (double)cpu_us[o->n / 2] / 1e6,
        mutant_found(&h.found));
    return true;
}

int mutants_run(uint64_t max_seeds, unsigned rounds, unsigned jobs)
{
    return mutants_each(jobs, measure, &(struct rounds){.max_seeds = max_seeds, .n = rounds});
}
