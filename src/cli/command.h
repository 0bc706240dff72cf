/*
 * command.h - what a command is, and what all of them share.
 */
#ifndef WR_CLI_COMMAND_H
#define WR_CLI_COMMAND_H

#include "base/arena.h"
#include "base/base.h"
#include "base/status.h"
#include "cli/args.h"
#include "daemon/config.h"
#include "daemon/logfmt.h"

#include <weir.h>

/* Exit codes, for scripts. 1 is every failure that has no code of its own, wrong usage included. */
enum wr_exit {
    WR_EXIT_OK = 0,
    WR_EXIT_FAILED = 1,
    WR_EXIT_WARNINGS = 2, /* of check: nothing worse */
    WR_EXIT_NO_BACKUP = 3,
    WR_EXIT_AUTH = 4,
    WR_EXIT_CORRUPT = 5,
    WR_EXIT_BUSY = 6,
    WR_EXIT_CONFLICT = 7,
    WR_EXIT_NOT_SYNCED = 8,
    WR_EXIT_BAD_COMMAND = 126, /* these two as with a shell */
    WR_EXIT_NO_COMMAND = 127,
};

struct wr_cli {
    struct wr_arena *arena; /* lives as long as the process */
    const char *program;    /* "weir", or the name it was called by */
    struct wr_logger log;   /* to stderr, unless the command decides otherwise */
    uint64_t descriptors;   /* the limit that we began with, and raised; 0: it is not known */
};

struct wr_command {
    const char *name;
    const char *alias; /* an older name, or NULL */
    const char *summary;
    const char *about;           /* a sentence or two */
    const char *const *synopsis; /* what follows the name, one form each; NULL ends it */
    const char *const *examples; /* likewise */
    const struct wr_flag *flags;
    /* argv without the program and the command. Returns the exit code. */
    int (*run)(struct wr_cli *cli, size_t argc, char *const *argv);
};

extern const struct wr_command wr_command_replicate, wr_command_run, wr_command_restore,
    wr_command_databases, wr_command_ltx, wr_command_points, wr_command_retention,
    wr_command_verify, wr_command_version, wr_command_list, wr_command_info, wr_command_start,
    wr_command_stop, wr_command_sync, wr_command_wait, wr_command_register, wr_command_unregister,
    wr_command_generations, wr_command_status, wr_command_check, wr_command_reset,
    wr_command_completion, wr_command_snapshots, wr_command_reload, wr_command_promote;

/* The commands that people are told of, in the order of the help. */
struct wr_command_group {
    const char *heading;                   /* NULL ends the list of groups */
    const struct wr_command *commands[10]; /* NULL ends it */
};
extern const struct wr_command_group wr_command_groups[];

/* By name or alias; NULL when there is none. */
const struct wr_command *wr_command_find(const char *name);
const char *wr_command_nearest(const char *name); /* NULL when none is close */

/* Usage texts on stdout. */
void wr_help_program(const struct wr_cli *cli);
void wr_help_command(const struct wr_cli *cli, const struct wr_command *cmd);

/* Parse a command's flags. False when the command is over, its help or an error printed and
 * *ret_exit set. The positionals live in the arena. */
bool wr_cli_parse(struct wr_cli *cli, const struct wr_command *cmd, size_t argc, char *const *argv,
    void *options, struct wr_args *ret, int *ret_exit) WR_MUST_CHECK;

/* Print "Error: ..." on stderr and, unless NULL, "Try: ...". Returns WR_EXIT_FAILED. */
int wr_cli_fail(const char *message, const char *try_this);

/* AUTH and CORRUPT have exit codes with every command; all else is FAILED. */
int wr_cli_exit_code(int code);

/* What becomes of the directories of a configuration. */
enum wr_cli_dirs {
    WR_CLI_DIRS_UNSEEN, /* nobody looks into them: wr_config_find knows what may be there */
    WR_CLI_DIRS_SHOWN,  /* their databases are listed; one that has none is a warning */
    WR_CLI_DIRS_SERVED, /* the same, before any database is open; one that has none is an error */
};
/* Load `path` (NULL: the default) and print its warnings on stderr; or "Error: ..." and NULL. */
struct wr_config *wr_cli_config(
    struct wr_cli *cli, const char *path, bool expand_env, enum wr_cli_dirs dirs);

/* Open the library with its records going to cli->log; or "Error: ..." and NULL. */
weir *wr_cli_open(struct wr_cli *cli);
/* The same for work that may take long: a first signal cancels it, a second one ends the process.
 * Returns the exit code, which is that of `fn` if it came to that. */
typedef int wr_cli_work_fn(void *arg, weir *w, weir_cancel *cancel);
int wr_cli_run(struct wr_cli *cli, wr_cli_work_fn *fn, void *arg);

/* Where a restore or a look reads: the replicas of a database in the configuration, or a URL. */
struct wr_target {
    const char *db_path;         /* NULL for a URL */
    const char *const *settings; /* of the database, for weir_db_add; of a URL the defaults */
    const struct wr_config_replica *replicas;
    size_t n;
    const char *source; /* the URL of a primary's stream, as the configuration has it; NULL: none */
};
/* Whether there is exactly one argument, a DB_PATH or REPLICA_URL. False after "Error: ...". */
bool wr_cli_one(const struct wr_command *cmd, const struct wr_args *args) WR_MUST_CHECK;
/* `arg` is a DB_PATH or a REPLICA_URL. False after "Error: ...". */
bool wr_cli_target(struct wr_cli *cli, const char *arg, const char *config_path, bool expand_env,
    struct wr_target *ret) WR_MUST_CHECK;

/* A URL without its secrets, for people. */
const char *wr_cli_url(struct wr_cli *cli, const char *url);
/* A text that people or JSON get: with '?' in place of what is no UTF-8, as a path may be. NULL:
 * out of memory, or for NULL. */
const char *wr_cli_shown(struct wr_arena *a, const char *text);

#endif
