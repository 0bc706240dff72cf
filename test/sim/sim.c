/*
 * sim.c - weir-sim: many simulations, each in a process of its own, and what came of them.
 *
 *     weir-sim --seeds A..B [--jobs N]     seeds A to B-1; every failure is told
 *     weir-sim --doublecheck A..B          that a seed gives the same run twice
 *     weir-sim --seed N [--trace] [--save FILE]
 *     weir-sim --replay FILE... [--trace]
 *     weir-sim --shrink FILE [--seconds N] shorter, in place, while it fails alike
 *     weir-sim --mutants [--max-seeds N] [--rounds N]
 *                                          that each mutant is found (mutants.h)
 *     weir-sim --mutants --tapes DIR       that each is found by its tape, or soon
 *     weir-sim --record DIR [--max-seeds N] [--seconds N]
 *                                          tapes of those for whom neither holds (tapes.h)
 *     --mutant NAME                        with each of these: with that bug in the product
 *     --promotions                         and these: nothing but promotions (failover.h), of the
 *                                          seeds whose store can do it
 *
 * Of more than one run the line before the last says how often each kind of trouble was met; of
 * 10,000 or more each must have been.
 *
 * The last line counts: schedules=... crashes=... acked=... lost=...; cpu_ms is of a processor, for
 * each of them. Exit status 0: nothing found.
 */
#define WR_MEM_IMPLEMENTATION /* the C library's heap is made ready for all */
#if defined(__linux__)
/* For MAP_ANONYMOUS and MADV_HUGEPAGE. */
#define _DEFAULT_SOURCE 1 /* NOLINT(bugprone-reserved-identifier) */
#endif

#include "base/crypto.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "sim/fiber.h"
#include "sim/mutants.h"
#include "sim/run.h"
#include "sim/shrink.h"
#include "sim/tape.h"
#include "sim/tapefile.h"
#include "sim/tapes.h"
#include "sim/world.h"

#include <errno.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define FOUND_MAX 20    /* failures that are told of */
#define MANY      10000 /* runs, of which some meet each kind of trouble */

/* Kinds of trouble, by what counts them (store.h, disk.h): who has met none has not tested it. */
#define TROUBLE_LIST(X)     \
    X(store, lost_requests) \
    X(store, lost_acks)     \
    X(store, doubled)       \
    X(store, returned)      \
    X(store, reordered)     \
    X(store, busy)          \
    X(store, errors)        \
    X(store, denied)        \
    X(store, short_gets)    \
    X(store, cut_lists)     \
    X(store, key_errors)    \
    X(store, stale_lists)   \
    X(store, conflicts)     \
    X(store, unsent)        \
    X(store, after_death)   \
    X(store, rotten)        \
    X(disk, torn)           \
    X(disk, dropped)        \
    X(disk, kept)           \
    X(disk, lost_names)     \
    X(disk, failed_syncs)   \
    X(disk, full)           \
    X(disk, io_errors)      \
    X(disk, rotten)
#define TROUBLE_ENUM(of, what) TROUBLE_##of##_##what,
enum trouble {
    TROUBLE_LIST(TROUBLE_ENUM) TROUBLES
};
#undef TROUBLE_ENUM

struct options {
    enum {
        NOTHING,
        SEEDS,
        TWICE,
        REPLAY,
        SHRINK,
        MUTANTS,
        RECORD
    } what;
    uint64_t from, to; /* seeds */
    const char *save, *tapes;
    char **files;
    size_t n_files;
    unsigned jobs, seconds, rounds;
    uint64_t max_seeds;
    bool trace;
};

/* Shared by all workers. */
struct totals {
    _Atomic uint64_t next, schedules, crashes, cuts, commits, acked, txids, restores, followed,
        promoted, forks, lost, disk_errors, outboxed, outbox_runs, virtual_ms, cpu_us, calls,
        rare_waits;
    _Atomic uint64_t trouble[TROUBLES];
    struct longest {
        _Atomic int64_t ns;
        _Atomic uint64_t seed;
    } hold, wait;
};

static void raise_to(struct longest *to, int64_t x, uint64_t seed)
{
    int64_t was = atomic_load(&to->ns);

    while (x > was && !atomic_compare_exchange_weak(&to->ns, &was, x))
        ;
    if (x > was)
        atomic_store(&to->seed, seed);
}

static void add(struct totals *t, const struct run_result *r, uint64_t seed)
{
    atomic_fetch_add(&t->schedules, 1);
    atomic_fetch_add(&t->crashes, r->report.crashes);
    atomic_fetch_add(&t->cuts, r->report.cuts);
    atomic_fetch_add(&t->commits, r->report.commits);
    atomic_fetch_add(&t->acked, r->report.acked);
    atomic_fetch_add(&t->txids, r->report.txids);
    atomic_fetch_add(&t->restores, r->report.restores);
    atomic_fetch_add(&t->followed, r->report.followed);
    atomic_fetch_add(&t->promoted, r->report.promoted);
    atomic_fetch_add(&t->forks, r->report.forks);
    atomic_fetch_add(&t->disk_errors, r->report.disk_errors);
    atomic_fetch_add(&t->outboxed, r->report.outboxed);
    atomic_fetch_add(&t->outbox_runs, r->report.outboxed > 0);
    atomic_fetch_add(&t->virtual_ms, r->report.virtual_ms);
    atomic_fetch_add(&t->cpu_us, r->cpu_us);
    atomic_fetch_add(&t->calls, r->report.calls);
    atomic_fetch_add(&t->rare_waits, r->report.rare_waits);
#define TROUBLE_ADD(of, what) \
    atomic_fetch_add(&t->trouble[TROUBLE_##of##_##what], r->report.of.what);
    TROUBLE_LIST(TROUBLE_ADD)
#undef TROUBLE_ADD
    raise_to(&t->hold, r->report.longest_hold_ns, seed);
    raise_to(&t->wait, r->report.longest_wait_ns, seed);
    if (r->end != RUN_WELL)
        atomic_fetch_add(&t->lost, 1);
}

static struct totals *totals_new(void)
{
    void *p = mmap(
        NULL, sizeof(struct totals), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        abort();
    return p;
}

static const char *end_text(const struct run_result *r)
{
    static const char *const texts[] = {
        [RUN_WELL] = "well", [RUN_FOUND] = "found", [RUN_CRASHED] = "crashed", [RUN_HUNG] = "hung"};

    return texts[r->end];
}

static void save(const char *path, const char *remark)
{
    size_t n;
    const uint32_t *p = tape_recorded(&n);

    if (!tape_save(path, p, n, remark)) {
        (void)fprintf(stderr, "weir-sim: cannot write %s\n", path);
        exit(2);
    }
}

/* The decisions, which are the caller's, and what to run by them. */
static uint32_t *load(const char *path, struct run *ret)
{
    bool seeded;
    uint32_t *p = tape_load(path, &ret->n_tape, &seeded, &ret->seed);

    if (!p) {
        (void)fprintf(stderr, "weir-sim: cannot read %s\n", path);
        exit(2);
    }
    ret->tape = seeded ? NULL : p;
    return p;
}

/* ---- seeds ---- */

static void work(const struct options *o, struct totals *t)
{
    for (;;) {
        const struct run r = {.seed = atomic_fetch_add(&t->next, 1), .trace = o->trace};
        struct run_result got;

        if (r.seed >= o->to)
            return;
        run_one(&r, &got);
        if (o->what == TWICE) {
            uint64_t first = got.hash;

            run_one(&r, &got);
            if (got.hash != first) {
                got.end = RUN_FOUND;
                (void)snprintf(got.text, sizeof(got.text), "the second run was another one");
            }
        }
        if (got.end != RUN_WELL && atomic_load(&t->lost) < FOUND_MAX) {
            (void)printf(
                "seed %llu %s: %s\n", (unsigned long long)r.seed, end_text(&got), got.text);
            if (o->save)
                save(o->save, got.text);
        }
        add(t, &got, r.seed);
    }
}

static void in_parallel(const struct options *o, struct totals *t)
{
    if (o->jobs == 1) {
        work(o, t);
        return;
    }
    (void)fflush(NULL);
    for (unsigned i = 0; i < o->jobs; i++) {
        pid_t pid = fork();

        if (pid < 0)
            abort();
        if (pid == 0) {
            work(o, t);
            (void)fflush(NULL);
            _exit(0);
        }
    }
    while (wait(NULL) > 0 || errno == EINTR)
        ;
}

/* How often each kind of trouble was met. False: one was not, in so many runs. */
static bool tell_trouble(struct totals *t)
{
#define TROUBLE_NAME(of, what) #of "." #what,
    static const char *const names[] = {TROUBLE_LIST(TROUBLE_NAME)};
#undef TROUBLE_NAME
    bool all = true;

    if (t->schedules <= 1)
        return true;
    (void)printf("met:");
    for (size_t i = 0; i < TROUBLES; i++)
        (void)printf(" %s=%llu", names[i], (unsigned long long)t->trouble[i]);
    (void)putchar('\n');
    for (size_t i = 0; i < TROUBLES && t->schedules >= MANY; i++) {
        if (t->trouble[i] > 0)
            continue;
        (void)printf("no run has met %s\n", names[i]);
        all = false;
    }
    return all;
}

/* A2 of all runs together. */
static bool waits_are_rare(const struct totals *t)
{
    if (t->schedules < MANY || t->rare_waits <= t->calls / 1000)
        return true;
    (void)printf("A2: more than one call of a thousand has waited for more than 10 ms\n");
    return false;
}

static int tell(struct totals *t)
{
    const bool all = tell_trouble(t), rare = waits_are_rare(t);

    (void)printf(
        "schedules=%llu crashes=%llu power_cuts=%llu commits=%llu txids=%llu restores=%llu "
        "followed=%llu promoted=%llu forks=%llu disk_errors=%llu outboxed=%llu outbox_runs=%llu "
        "virtual_hours=%.1f "
        "longest_hold_ms=%.1f hold_seed=%llu longest_wait_ms=%.1f wait_seed=%llu calls=%llu "
        "waits_over_10ms=%llu cpu_ms=%.1f "
        "acked=%llu lost=%llu\n",
        (unsigned long long)t->schedules, (unsigned long long)t->crashes,
        (unsigned long long)t->cuts, (unsigned long long)t->commits, (unsigned long long)t->txids,
        (unsigned long long)t->restores, (unsigned long long)t->followed,
        (unsigned long long)t->promoted, (unsigned long long)t->forks,
        (unsigned long long)t->disk_errors, (unsigned long long)t->outboxed,
        (unsigned long long)t->outbox_runs, (double)t->virtual_ms / 3600e3,
        (double)t->hold.ns / 1e6, (unsigned long long)t->hold.seed, (double)t->wait.ns / 1e6,
        (unsigned long long)t->wait.seed, (unsigned long long)t->calls,
        (unsigned long long)t->rare_waits,
        (double)t->cpu_us / 1e3 / (double)wr_max(t->schedules, UINT64_C(1)),
        (unsigned long long)t->acked, (unsigned long long)t->lost);
    return t->lost > 0 || t->schedules == 0 || !all || !rare;
}

static int seeds(const struct options *o)
{
    struct totals *t = totals_new();

    atomic_store(&t->next, o->from);
    in_parallel(o, t);
    return tell(t);
}

/* ---- tapes ---- */

static int replay(const struct options *o)
{
    struct totals *t = totals_new();

    for (size_t i = 0; i < o->n_files; i++) {
        struct run r = {.trace = o->trace};
        struct run_result got;
        uint32_t *p = load(o->files[i], &r);

        run_one(&r, &got);
        wr_free(p);
        if (got.end != RUN_WELL)
            (void)printf("%s %s: %s\n", o->files[i], end_text(&got), got.text);
        add(t, &got, r.seed);
    }
    return tell(t);
}

static void say_progress(size_t n)
{
    (void)fprintf(stderr, "\r%zu decisions ", n);
}

static int shrink_file(const struct options *o)
{
    struct run r = {0};
    uint32_t *p = load(o->files[0], &r);
    struct run_result got;

    if (!r.tape) {
        const uint32_t *drawn;

        run_one(&r, &got);
        drawn = tape_recorded(&r.n_tape);
        memcpy(p, drawn, r.n_tape * sizeof(*p));
        r.tape = p;
    }
    r.n_tape = shrink(p, r.n_tape, o->seconds, say_progress);
    (void)fputc('\n', stderr);
    run_one(&r, &got);
    save(o->files[0], got.text);
    (void)printf("%s %s: %s\n", o->files[0], end_text(&got), got.text);
    wr_free(p);
    return got.end == RUN_WELL;
}

/* ---- the command line ---- */

static int usage(void)
{
    (void)fprintf(stderr,
        "usage: weir-sim --seeds A..B | --seed N | --doublecheck A..B | --replay FILE... |\n"
        "                --shrink FILE | --mutants [--tapes DIR] | --record DIR\n"
        "       [--jobs N] [--trace] [--save FILE] [--seconds N] [--max-seeds N] [--rounds N] "
        "[--mutant NAME] [--promotions]\n");
    return 2;
}

static bool number(const char *text, uint64_t *ret)
{
    return text && wr_parse_u64(wr_str(text), ret);
}

static bool range(const char *text, struct options *o)
{
    struct wr_str from, to;

    return text && wr_str_cut(wr_str(text), '.', &from, &to) && wr_parse_u64(from, &o->from) &&
           to.n > 1 && to.p[0] == '.' && wr_parse_u64(wr_str_skip(to, 1), &o->to);
}

/* One option; how many words it took, 0 if it is none. */
static int option(struct options *o, const char *name, char **rest)
{
    const char *value = rest[0];
    uint64_t n = 0;

    if (strcmp(name, "--trace") == 0)
        return o->trace = true, 1;
    if (strcmp(name, "--promotions") == 0)
        return world_promotions = true, 1;
    if (strcmp(name, "--mutants") == 0)
        return o->what = MUTANTS, 1;
    if (strcmp(name, "--seeds") == 0 && range(value, o))
        return o->what = SEEDS, 2;
    if (strcmp(name, "--doublecheck") == 0 && range(value, o))
        return o->what = TWICE, 2;
    if (strcmp(name, "--save") == 0 && value)
        return o->save = value, 2;
    if (strcmp(name, "--tapes") == 0 && value)
        return o->tapes = value, 2;
    if (strcmp(name, "--record") == 0 && value)
        return o->what = RECORD, o->tapes = value, 2;
    if (strcmp(name, "--mutant") == 0 && value && wr_mutant_choose(value))
        return 2;
    if ((strcmp(name, "--replay") == 0 || strcmp(name, "--shrink") == 0) && value) {
        o->what = strcmp(name, "--replay") == 0 ? REPLAY : SHRINK;
        o->files = rest;
        while (rest[o->n_files] && strncmp(rest[o->n_files], "--", 2) != 0)
            o->n_files++;
        return 1 + (int)o->n_files;
    }
    if (!number(value, &n))
        return 0;
    if (strcmp(name, "--seed") == 0) {
        o->what = SEEDS;
        o->from = n;
        o->to = n + 1;
        o->jobs = 1;
    } else if (strcmp(name, "--jobs") == 0 && n >= 1) {
        o->jobs = (unsigned)n;
    } else if (strcmp(name, "--seconds") == 0) {
        o->seconds = (unsigned)n;
    } else if (strcmp(name, "--rounds") == 0 && n >= 1 && n <= MUTANT_ROUNDS_MAX) {
        o->rounds = (unsigned)n;
    } else if (strcmp(name, "--max-seeds") == 0) {
        o->max_seeds = n;
    } else {
        return 0;
    }
    return 2;
}

/* Each simulation is a new process that touches some ten megabytes, four kilobytes at a time if
 * nothing is done. A heap of huge pages, large enough for most of them, saves a tenth of a run. */
static void prepare_heap(void)
{
#if defined(__GLIBC__) && defined(MADV_HUGEPAGE)
    const size_t huge = (size_t)2 << 20, size = (size_t)64 << 20;
    char *p;

    (void)mallopt(M_MMAP_THRESHOLD, 1 << 30); /* all is in it ... */
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 30); /* ... and stays */
    p = malloc(size);
    if (p)
        (void)madvise(p + huge - (uintptr_t)p % huge, size - 2 * huge, MADV_HUGEPAGE);
    free(p);
#endif
}

/* What OpenSSL makes ready for the first use, each process would make anew. */
static void prepare_crypto(void)
{
    uint8_t sum[WR_SHA256_SIZE];
    struct wr_err e = {0};

    if (wr_sha256((struct wr_bytes){0}, sum, &e) != WR_OK)
        abort();
}

int main(int argc, char **argv)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct options o = {
        .jobs = cores > 1 ? (unsigned)cores : 1, .seconds = 60, .rounds = 5, .max_seeds = 20000};

    for (int i = 1; i < argc;) {
        int took = option(&o, argv[i], argv + i + 1);

        if (took == 0)
            return usage();
        i += took;
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    prepare_heap();
    prepare_crypto();
    /* All fibers are one thread: SQLite needs no mutexes, and must not tell them apart. */
    if (sqlite3_config(SQLITE_CONFIG_SINGLETHREAD) != SQLITE_OK)
        abort();
    switch (o.what) {
    case SEEDS:
    case TWICE:
        return seeds(&o);
    case REPLAY:
        return replay(&o);
    case SHRINK:
        return shrink_file(&o);
    case MUTANTS:
        return o.tapes ? tapes_check(o.tapes, o.jobs) : mutants_run(o.max_seeds, o.rounds, o.jobs);
    case RECORD:
        return tapes_record(o.tapes, o.max_seeds, o.seconds, o.jobs);
    case NOTHING:
        break;
    }
    return usage();
}
