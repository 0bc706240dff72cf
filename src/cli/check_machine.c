/*
 * check_machine.c - what else runs here: the processes that have a database open, and whether so
 * many databases fit.
 */
#include "cli/check_int.h"
#include "cli/check_procs.h"
#include "cli/check_version.h"
#include "cli/progress.h"

#include <sys/resource.h>

#define FDS_PER_DB   8     /* see docs/adr/0014 */
#define FDS_PER_SEAT 12    /* that weir_open leaves for each, where not all are held open */
#define FDS_BESIDE   64    /* connections, logs, sockets */
#define MAPS_PER_DB  3     /* of one that is held open; see docs/scale.md */
#define MAPS_BESIDE  1000  /* libraries, stacks, the heap */
#define BYTES_PER_DB 50000 /* of memory, as the README has it */
#define BYTES_LET_GO 13000 /* the same, of one that is not held open */
#define SHOWN        5     /* processes of one database */

static void version_text(char out[24], int version)
{
    if (version)
        (void)snprintf(out, 24, "%d.%d.%d", version / 1000000 % 100, version / 1000 % 1000,
            version % 1000); /* it fits */
    else
        (void)snprintf(out, 24, "unknown");
}

static void tell_one(
    struct wr_check *k, const struct wr_proc *p, json_t *list, const char *label, bool shown)
{
    char version[24];
    bool bug = wr_version_has_reset_bug(p->version);

    version_text(version, p->version);
    if (json_array_append_new(
            list, json_pack("{s:I, s:s, s:s?, s:b, s:b}", "pid", (json_int_t)p->pid, "name",
                      wr_cli_shown(k->cli->arena, p->name), "sqlite", p->version ? version : NULL,
                      "wal_reset_bug", (int)bug, "is_weir", (int)p->ours)) != 0)
        k->lost = true;
    if (shown)
        wr_check_line(
            k, label, "%s (pid %llu), SQLite %s", p->name, (unsigned long long)p->pid, version);
}

void wr_check_tell_procs(struct wr_check *k, const struct wr_procs *procs, size_t i)
{
    json_t *list = json_array();
    const struct wr_proc *worst = NULL;
    size_t n = 0;

    wr_check_set(k, "open_in", list);
    for (size_t j = 0; j < procs->n; j++) {
        const struct wr_proc *p = &procs->list[j];

        if (p->db != i)
            continue;
        tell_one(k, p, list, n ? "" : "open in", n < SHOWN);
        if (!p->ours && wr_version_has_reset_bug(p->version) &&
            (!worst || p->version < worst->version))
            worst = p;
        n++;
    }
    if (n > SHOWN)
        wr_check_line(k, "", "and %zu more", n - SHOWN);
    if (worst) {
        char version[24];

        version_text(version, worst->version);
        wr_check_find(k, WR_CHECK_WARNING,
            "%s (pid %llu) has SQLite %s, in which a checkpoint by another process can damage the "
            "database (fixed in 3.51.3, 3.50.7 and 3.44.6): while weir replicates it that cannot "
            "happen, at other times it can: update it",
            worst->name, (unsigned long long)worst->pid, version);
    }
}

/* What open-max is about: how many are held open, and what there is for more. */
static void judge_open(
    struct wr_check *k, size_t ndbs, uint32_t open_max, unsigned long long descriptors)
{
    unsigned long long all = (unsigned long long)ndbs * FDS_PER_DB + FDS_BESIDE;

    if (open_max == 0) {
        if (all > descriptors)
            wr_check_find(k, WR_CHECK_ERROR,
                "%zu databases need %llu descriptors, and a process may have %llu here: raise it "
                "(ulimit -Hn, LimitNOFILE=), have fewer of them held open at once (open-max), or "
                "replicate fewer in one process",
                ndbs, all, descriptors);
        return;
    }
    if (ndbs <= open_max)
        return;
    if ((unsigned long long)open_max * FDS_PER_SEAT > descriptors)
        wr_check_find(k, WR_CHECK_WARNING,
            "open-max is %u, and a process may have %llu descriptors here, which is enough for "
            "%llu: raise it (ulimit -Hn, LimitNOFILE=)",
            open_max, descriptors,
            wr_max(descriptors / FDS_PER_SEAT, (unsigned long long)WR_OPEN_MAX_LEAST));
    if (all > descriptors)
        wr_check_find(k, WR_CHECK_NOTE,
            "whoever is written to is opened, beyond open-max if it must be: %zu databases that "
            "are all written to at once need %llu descriptors",
            ndbs, all);
}

/* Who comes to this one is told that there is no memory. */
static void judge_mapped(struct wr_check *k, size_t open, uint32_t open_max, uint64_t mappings)
{
    uint64_t all = (uint64_t)open * MAPS_PER_DB + MAPS_BESIDE;

    if (all <= mappings)
        return;
    wr_check_find(k, open_max ? WR_CHECK_WARNING : WR_CHECK_ERROR,
        "%zu databases that are held open need %llu memory mappings, and a process may have %llu "
        "here: raise it (sysctl vm.max_map_count=%llu), or have fewer of them held open at once "
        "(open-max)",
        open, (unsigned long long)all, (unsigned long long)mappings, (unsigned long long)(2 * all));
}

void wr_check_limits(struct wr_check_limits *ret)
{
    struct rlimit limit;

    *ret = (struct wr_check_limits){0};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max != RLIM_INFINITY)
        ret->descriptors = limit.rlim_max;
    (void)wr_check_read_limit("/proc/sys/vm/max_map_count", &ret->mappings);
}

void wr_check_tell_limits(struct wr_check *k, const struct wr_procs *procs,
    const struct wr_check_limits *limits, size_t ndbs, uint32_t open_max)
{
    json_t *outer = wr_check_enter(k, "limits");
    size_t open = open_max ? wr_min(ndbs, (size_t)open_max) : ndbs;
    uint64_t need = (uint64_t)open * FDS_PER_DB + FDS_BESIDE;
    uint64_t bytes = (uint64_t)open * BYTES_PER_DB + (uint64_t)(ndbs - open) * BYTES_LET_GO;
    char memory[WR_SIZE_TEXT_MAX];

    wr_check_number(k, "databases", (double)ndbs);
    wr_check_number(k, "held_open", (double)open);
    wr_check_number(k, "descriptors_needed", (double)need);
    if (limits->descriptors)
        wr_check_number(k, "descriptors", (double)limits->descriptors);
    wr_check_number(k, "mappings_needed", (double)open * MAPS_PER_DB + MAPS_BESIDE);
    if (limits->mappings)
        wr_check_number(k, "mappings", (double)limits->mappings);
    wr_check_number(k, "memory_estimate_bytes", (double)bytes);
    wr_check_number(k, "processes_unread", procs->unread);
    wr_check_leave(k, outer);
    wr_size_text(memory, bytes);
    if (open < ndbs)
        wr_check_line(k, "open-max", "%zu of %zu databases are held open at a time", open, ndbs);
    wr_check_line(k, "limits", "%llu descriptors are needed, %llu may be had; some %s of memory",
        (unsigned long long)need,
        (unsigned long long)(limits->descriptors ? limits->descriptors : need), memory);
    if (limits->descriptors)
        judge_open(k, ndbs, open_max, limits->descriptors);
    if (limits->mappings)
        judge_mapped(k, open, open_max, limits->mappings);
    if (procs->unread > 0)
        wr_check_find(k, WR_CHECK_NOTE,
            "%u processes of other users could not be looked at: whether these have a database "
            "open, and with which SQLite, is not known",
            procs->unread);
}
