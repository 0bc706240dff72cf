/*
 * check_procs.h - which processes have databases open, and with which SQLite.
 *
 * Reads /proc and the files of programs and libraries; opens no database, and needs no rights but
 * to look at these processes: those of others are counted.
 */
#ifndef WR_CLI_CHECK_PROCS_H
#define WR_CLI_CHECK_PROCS_H

#include "cli/command.h"

struct wr_proc {
    size_t db; /* the index of the database */
    uint64_t pid;
    char name[32];
    int version; /* check_version.h; 0: unknown */
    bool ours;   /* it runs the same program as this process */
};

/* frozen; in the arena. */
struct wr_procs {
    struct wr_proc *list; /* by ascending database */
    size_t n;
    unsigned unread; /* processes that could not be looked at */
    bool unknown;    /* there is no /proc here, or no memory */
};
/* At most WR_PROCS_MAX are found. */
#define WR_PROCS_MAX 4096
void wr_procs_find(
    struct wr_arena *a, const struct wr_config_db *const *dbs, size_t n, struct wr_procs *ret);

#endif
