/*
 * restore_int.h - what the two files of the restore command share.
 */
#ifndef WR_CLI_RESTORE_INT_H
#define WR_CLI_RESTORE_INT_H

#include "base/base.h"
#include "cli/command.h"
#include "cli/table.h"

#include <weir.h>

struct wr_restore_flags {
    const char *output, *config, *check;
    uint64_t txid;
    int64_t time_ms;
    uint32_t parallel;
    bool no_expand_env, if_db_not_exists, if_replica_exists, force, delta, dry_run, json, quiet;
    bool verbose; /* scripts made for Litestream 0.3 say so; nobody asks */
};

struct wr_restore {
    struct wr_cli *cli;
    const struct wr_restore_flags *flags;
    struct wr_target target;
    const char *path;                        /* absolute once expanded */
    const struct wr_config_replica *replica; /* the one that is tried now */
    weir_restore_options opt;
    weir_restore_result result;
    int64_t took_ms;

    /* The plan of a dry run. */
    struct wr_table table;
    json_t *files; /* NULL unless JSON is wanted */
    weir_txid min_txid, max_txid;
    bool lost; /* a file could not be added */
};

/* Make r->path absolute, and see that it can be printed. False after "Error: ...". */
bool wr_restore_expand(struct wr_restore *r) WR_MUST_CHECK;

/* Restore from, or plan for, r->replica. WEIR_* and its message. */
int wr_restore_run(struct wr_restore *r, weir *w, weir_error *err);
int wr_cli_restore_plan(struct wr_restore *r, weir *w, weir_error *err);

/* Whether, of the replicas tried so far, the one that said `rc` is to be told of instead of an
 * earlier one that said `told`, which did not end the search. That there is no backup is believed
 * only if every replica says so; else the first failure of another kind may hide one. */
bool wr_restore_tells(int told, int rc);

/* Print what came of it, or why there was nothing to do. The exit code. */
int wr_restore_print(struct wr_restore *r);
int wr_restore_print_skipped(const struct wr_restore *r, const char *why);

#endif
