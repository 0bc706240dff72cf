/*
 * restore_int.h - what the files of the restore command share.
 */
#ifndef WR_CLI_RESTORE_INT_H
#define WR_CLI_RESTORE_INT_H

#include "base/base.h"
#include "cli/command.h"
#include "cli/table.h"

#include <weir.h>

struct wr_restore_flags {
    const char *output, *config, *check, *dir, *replica, *token_file, *ca_file, *addr;
    uint64_t txid;
    int64_t time_ms, interval_ms;
    uint32_t parallel, parallel_dbs;
    bool all, no_expand_env, if_db_not_exists, if_replica_exists, force, delta, dry_run, json,
        quiet, follow;
    bool verbose; /* scripts made for Litestream 0.3 say so; nobody asks */
};

struct wr_standby;

struct wr_restore {
    struct wr_cli *cli;
    const struct wr_restore_flags *flags;
    struct wr_target target;
    const char *primary;                     /* the URL of its stream, to be followed; NULL: none */
    const char *bucket;                      /* the URL of its replica; NULL: as the primary says */
    const char *token;                       /* for it; NULL: none */
    const char *path;                        /* absolute once expanded */
    const struct wr_config_replica *replica; /* the one that is tried now */
    weir_restore_options opt;
    weir_restore_result result;
    struct wr_standby *standby; /* with -f */
    bool following;             /* the copy is there, and advances: no other replica is tried */
    int64_t took_ms;
    bool among_others; /* which are restored at the same time: its progress is not shown */

    /* The plan of a dry run. */
    struct wr_table table;
    json_t *files; /* NULL unless JSON is wanted */
    weir_txid min_txid, max_txid;
    uint64_t plan_bytes;
    bool lost; /* a file could not be added */
};

/* Make r->path absolute, and see that it can be printed. False after "Error: ...". */
bool wr_restore_expand(struct wr_restore *r) WR_MUST_CHECK;

/* Follow a primary's stream: r->primary, r->token and r->target. False after "Error: ...". */
bool wr_restore_from_primary(struct wr_restore *r, const char *arg) WR_MUST_CHECK;
/* The same, of the source of r->target, whose first replica is the bucket. */
bool wr_restore_from_source(struct wr_restore *r) WR_MUST_CHECK;

/* Restore from, or plan for, r->replica. WEIR_* and its message. */
int wr_restore_run(struct wr_restore *r, weir *w, weir_error *err);
/* The same until a signal ends it, which is WEIR_OK; r->opt tells what it begins with. */
int wr_restore_follow(struct wr_restore *r, weir *w, weir_error *err);
int wr_cli_restore_plan(struct wr_restore *r, weir *w, weir_error *err);

/* Try the replicas of r->target, the one that reaches furthest first; of what is done in another
 * one's place there are warnings. WEIR_* and its message; r->replica is the one that it is about.
 */
int wr_restore_search(struct wr_restore *r, weir *w, weir_error *reterr);

/* Whether, of the replicas tried so far, the one that said `rc` is to be told of instead of an
 * earlier one that said `told`, which did not end the search. That there is no backup is believed
 * only if every replica says so; else the first failure of another kind may hide one. */
bool wr_restore_tells(int told, int rc);

/* Print what came of it, or why there was nothing to do. The exit code. */
int wr_restore_print(struct wr_restore *r);
int wr_restore_print_skipped(const struct wr_restore *r, const char *why);

/* -all and -dir. `opt` is what each restore gets; `url` may be NULL. The exit code. */
int wr_restore_many(struct wr_cli *cli, const struct wr_restore_flags *flags,
    const weir_restore_options *opt, const char *url);

/* What became of one of many. */
enum wr_many_word {
    WR_MANY_CANCELED, /* it was not its turn yet */
    WR_MANY_RESTORED, /* or, in a dry run, would be */
    WR_MANY_PRESENT,
    WR_MANY_NO_BACKUP,
    WR_MANY_FAILED,
    WR_MANY_WORDS
};
struct wr_many_item {
    const char *path;
    const char *url; /* of the replica it is from, for people; NULL: none */
    struct wr_target target;
    enum wr_many_word word;
    int code; /* WEIR_*, of a failure */
    const char *why;
    weir_txid txid; /* restored, or planned */
    uint64_t bytes; /* of the database; in a dry run of the files to read */
    int64_t time_ms, took_ms;
};
/* A table, or JSON, and a line with the numbers. The exit code. */
int wr_restore_print_many(struct wr_cli *cli, const struct wr_restore_flags *flags,
    const struct wr_many_item *items, size_t n);

#endif
