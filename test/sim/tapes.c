/*
 * tapes.c - see tapes.h.
 */
#include "sim/tapes.h"

#include "base/mem.h"
#include "sim/mutants.h"
#include "sim/shrink.h"
#include "sim/tape.h"
#include "sim/tapefile.h"

#include <errno.h>
#include <unistd.h>

#define SOON      50   /* seeds: who is found within them needs no tape */
#define PATIENCE  500  /* seeds, until it is said that one is needed */
#define LONG_TAPE 4000 /* decisions: of a longer one the seed is kept */
#define PATH_SIZE 1024

struct order {
    const char *dir;
    uint64_t max_seeds;
    unsigned seconds;
};

static void path_of(const struct order *o, char path[PATH_SIZE])
{
    int n = snprintf(path, PATH_SIZE, "%s/%s.tape", o->dir, mutant_name());

    if (n < 0 || n >= PATH_SIZE)
        abort();
}

enum verdict {
    NO_TAPE,
    GOOD,
    STALE,    /* it finds nothing */
    UNFOUNDED /* it finds something without the mutant, too */
};

static enum verdict play(const char *path, struct run_result *ret)
{
    struct run r = {0};
    struct run_result without;
    uint32_t *p = NULL;
    bool seeded;
    enum verdict v;

    if (access(path, F_OK) != 0 && errno == ENOENT)
        return NO_TAPE;
    p = tape_load(path, &r.n_tape, &seeded, &r.seed);
    if (!p)
        return STALE;
    r.tape = seeded ? NULL : p;
    run_one(&r, ret);
    v = ret->end == RUN_WELL ? STALE : GOOD;
    mutant_leave_out(&r, &without);
    if (without.end != RUN_WELL) {
        v = UNFOUNDED;
        *ret = without;
    }
    wr_free(p);
    return v;
}

/* ---- checking ---- */

static bool check_hunted(const struct order *o)
{
    struct hunt h;

    if (mutant_hunt(0, PATIENCE, &h)) {
        (void)printf("%-20s found by seed %llu: %s\n", mutant_name(), (unsigned long long)h.seed,
            mutant_found(&h.found));
        return true;
    }
    (void)printf("%-20s NOT FOUND within %d seeds; record a tape of it: weir-sim --record %s "
                 "--mutant %s\n",
        mutant_name(), PATIENCE, o->dir, mutant_name());
    return false;
}

static bool check(const void *arg)
{
    const struct order *o = arg;
    struct run_result r = {0};
    char path[PATH_SIZE];

    path_of(o, path);
    switch (play(path, &r)) {
    case NO_TAPE:
        return check_hunted(o);
    case GOOD:
        (void)printf("%-20s found by its tape: %s\n", mutant_name(), mutant_found(&r));
        return true;
    case STALE:
        (void)printf("%-20s NOT FOUND by its tape, as every change of the product or the simulator "
                     "may bring about; record it anew: weir-sim --record %s --mutant %s\n",
            mutant_name(), o->dir, mutant_name());
        return false;
    case UNFOUNDED:
        (void)printf("%-20s its tape finds without it: %s; look at weir-sim --replay %s --trace\n",
            mutant_name(), mutant_found(&r), path);
        return false;
    }
    return false;
}

int tapes_check(const char *dir, unsigned jobs)
{
    return mutants_each(jobs, check, &(struct order){.dir = dir});
}

/* ---- recording ---- */

/* An assertion names its file as the compiler was told, and begins with the program: both depend on
 * where this was built. */
static const char *without_path(const char *text)
{
    const char *file = strstr(text, ": Assertion `") ? strstr(text, "src/") : NULL;

    return file ? file : text;
}

/* What the last run has recorded, shrunk. Where the order of all steps matters, what is left out
 * anywhere changes all that follows, and nothing can be. A run without the bug goes on where the
 * recorded one has ended, with nothing but dull choices: where that finds something, the seed is
 * kept. */
static bool keep_tape(const struct order *o, const char *path, const struct hunt *h)
{
    size_t n;
    const uint32_t *recorded = tape_recorded(&n);
    uint32_t *p = wr_array(n ? n : 1, sizeof(*p));
    struct run_result r = {0};
    char remark[2 * RUN_TEXT];
    const size_t before = n;
    bool saved;

    if (!p)
        abort();
    memcpy(p, recorded, n * sizeof(*p));
    n = shrink(p, n, o->seconds, NULL);
    (void)snprintf(remark, sizeof(remark), "%s, seed %llu: %s", mutant_name(),
        (unsigned long long)h->seed, without_path(mutant_found(&h->found)));
    saved = n <= LONG_TAPE && tape_save(path, p, n, remark);
    if (!saved || play(path, &r) != GOOD)
        saved = tape_save_seed(path, h->seed, remark);
    wr_free(p);
    if (saved)
        (void)printf("%-20s recorded from seed %llu, %zu of %zu decisions: %s\n", mutant_name(),
            (unsigned long long)h->seed, n, before, mutant_found(&h->found));
    else
        (void)printf("%-20s cannot write %s: %s\n", mutant_name(), path, strerror(errno));
    return saved;
}

static bool record(const void *arg)
{
    const struct order *o = arg;
    struct run_result r = {0};
    char path[PATH_SIZE];
    struct hunt h;

    path_of(o, path);
    if (play(path, &r) == GOOD) {
        (void)printf("%-20s has a good tape\n", mutant_name());
        return true;
    }
    if (!mutant_hunt(0, o->max_seeds, &h)) {
        (void)printf("%-20s NOT FOUND in %llu seeds: %s\n", mutant_name(),
            (unsigned long long)o->max_seeds, mutant_text());
        return false;
    }
    if (h.seeds > SOON)
        return keep_tape(o, path, &h);
    (void)unlink(path);
    (void)printf("%-20s needs no tape, seed %llu finds it: %s\n", mutant_name(),
        (unsigned long long)h.seed, mutant_found(&h.found));
    return true;
}

int tapes_record(const char *dir, uint64_t max_seeds, unsigned seconds, unsigned jobs)
{
    return mutants_each(
        jobs, record, &(struct order){.dir = dir, .max_seeds = max_seeds, .seconds = seconds});
}
