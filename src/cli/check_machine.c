/*
 * check_machine.c - what else runs here: the processes that have a database open, and whether so
 * many databases fit.
 */
#include "cli/check_int.h"
#include "cli/check_procs.h"
#include "cli/check_version.h"
#include "cli/progress.h"

#include <sys/resource.h>

#define FDS_PER_DB   8      /* see docs/adr/0014 */
#define FDS_BESIDE   64     /* connections, logs, sockets */
#define BYTES_PER_DB 150000 /* of memory, as the README has it */
#define SHOWN        5      /* processes of one database */

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
                      p->name, "sqlite", p->version ? version : NULL, "wal_reset_bug", (int)bug,
                      "is_weir", (int)p->ours)) != 0)
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

void wr_check_tell_limits(struct wr_check *k, const struct wr_procs *procs, size_t ndbs)
{
    json_t *outer = wr_check_enter(k, "limits");
    uint64_t need = (uint64_t)ndbs * FDS_PER_DB + FDS_BESIDE;
    char memory[WR_SIZE_TEXT_MAX];
    struct rlimit limit;
    bool known = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max != RLIM_INFINITY;

    wr_check_number(k, "databases", (double)ndbs);
    wr_check_number(k, "descriptors_needed", (double)need);
    if (known)
        wr_check_number(k, "descriptors", (double)limit.rlim_max);
    wr_check_number(k, "memory_estimate_bytes", (double)ndbs * BYTES_PER_DB);
    wr_check_number(k, "processes_unread", procs->unread);
    wr_check_leave(k, outer);
    wr_size_text(memory, (uint64_t)ndbs * BYTES_PER_DB);
    wr_check_line(k, "limits", "%llu descriptors are needed, %llu may be had; some %s of memory",
        (unsigned long long)need, known ? (unsigned long long)limit.rlim_max : need, memory);
    if (known && need > limit.rlim_max)
        wr_check_find(k, WR_CHECK_ERROR,
            "%zu databases need %llu descriptors, and a process may have %llu here: raise it "
            "(ulimit -Hn, LimitNOFILE=), or replicate fewer in one process",
            ndbs, (unsigned long long)need, (unsigned long long)limit.rlim_max);
    if (procs->unread > 0)
        wr_check_find(k, WR_CHECK_NOTE,
            "%u processes of other users could not be looked at: whether these have a database "
            "open, and with which SQLite, is not known",
            procs->unread);
}
