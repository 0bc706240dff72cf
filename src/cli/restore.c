/*
 * restore.c - the command that restores: flags, the replicas one by one, the exit code.
 */
#include "base/file.h"
#include "cli/command.h"
#include "cli/restore_int.h"
#include "daemon/reach.h"

#include <unistd.h>

static const struct wr_flag flags[] = {
    {"o", WR_FLAG_TEXT, offsetof(struct wr_restore_flags, output), "PATH",
        "where to restore to (default: the path of the database in the configuration)"},
    {"config", WR_FLAG_TEXT, offsetof(struct wr_restore_flags, config), "PATH",
        "configuration file (default $WEIR_CONFIG, /etc/weir.yml or /etc/litestream.yml)"},
    {"no-expand-env", WR_FLAG_BOOL, offsetof(struct wr_restore_flags, no_expand_env), NULL,
        "leave $VARIABLES in the configuration alone"},
    {"txid", WR_FLAG_TXID, offsetof(struct wr_restore_flags, txid), "TXID",
        "restore the state as of this transaction, 16 hex digits"},
    {"timestamp", WR_FLAG_TIME, offsetof(struct wr_restore_flags, time_ms), "TIME",
        "restore the last state before this time: 2006-01-02T15:04:05Z, or -2h, or \"2h ago\""},
    {"if-db-not-exists", WR_FLAG_BOOL, offsetof(struct wr_restore_flags, if_db_not_exists), NULL,
        "succeed without doing anything when the output exists"},
    {"if-replica-exists", WR_FLAG_BOOL, offsetof(struct wr_restore_flags, if_replica_exists), NULL,
        "succeed without doing anything when there is no backup"},
    {"force", WR_FLAG_BOOL, offsetof(struct wr_restore_flags, force), NULL,
        "replace an existing database, once the new one is complete"},
    {"delta", WR_FLAG_BOOL, offsetof(struct wr_restore_flags, delta), NULL,
        "replace an older copy of the database, and fetch only the pages that differ"},
    {"dry-run", WR_FLAG_BOOL, offsetof(struct wr_restore_flags, dry_run), NULL,
        "list the files that would be read, write nothing"},
    {"integrity-check", WR_FLAG_TEXT, offsetof(struct wr_restore_flags, check), "MODE",
        "check the restored database: none (the default), quick or full"},
    {"parallelism", WR_FLAG_COUNT, offsetof(struct wr_restore_flags, parallel), "N",
        "files to read at once (default 8)"},
    {"json", WR_FLAG_BOOL, offsetof(struct wr_restore_flags, json), NULL,
        "print the result, or the plan, as JSON"},
    {"quiet", WR_FLAG_BOOL, offsetof(struct wr_restore_flags, quiet), NULL,
        "no progress, and only errors"},
    {"v", WR_FLAG_BOOL, offsetof(struct wr_restore_flags, verbose), NULL,
        "nothing more: for scripts made for Litestream 0.3"},
    {0},
};

/* -1 for a word that is none of them. */
static int32_t check_mode(const char *word)
{
    static const char *const words[] = {
        [WEIR_CHECK_NONE] = "none", [WEIR_CHECK_QUICK] = "quick", [WEIR_CHECK_FULL] = "full"};

    for (size_t i = 0; word && i < wr_countof(words); i++)
        if (wr_str_eq(wr_str(word), wr_str(words[i])))
            return (int32_t)i;
    return word ? -1 : WEIR_CHECK_NONE;
}

/* Whether a database, or what passes for one, is there. What else may be there is for the restore
 * to judge. */
static bool exists(const char *path)
{
    const struct wr_fs *fs = wr_fs_posix();
    struct wr_file_info info = {0};

    return fs->stat(fs, path, &info, NULL) == WR_OK && !info.is_dir;
}

/* Everything that can be told to be wrong before anything is opened. False after "Error: ...". */
static bool check_flags(const struct wr_restore_flags *o, const struct wr_args *args)
{
    char message[100];

    if (args->n == 0)
        (void)wr_cli_fail("database path or replica URL required",
            "weir restore -o /path/to/db s3://bucket/prefix");
    else if (args->n > 1)
        (void)wr_cli_fail("too many arguments", NULL);
    else if (o->txid && o->time_ms)
        (void)wr_cli_fail("cannot specify both -txid and -timestamp", NULL);
    else if (check_mode(o->check) < 0) {
        (void)snprintf(message, sizeof(message), "invalid -integrity-check value: %.50s", o->check);
        (void)wr_cli_fail(message, NULL);
    } else
        return true;
    return false;
}

/* "Error: ..." with the replica in front where the failure is the replica's. */
static int fail(struct wr_cli *cli, const struct wr_restore *r, int rc, const weir_error *err)
{
    const char *url = wr_cli_url(cli, r->replica->url);
    char message[1200], list[600];

    if (rc != WEIR_NOTFOUND && rc != WEIR_AUTH && rc != WEIR_CORRUPT) {
        (void)wr_cli_fail(err->message, NULL);
        return wr_cli_exit_code(rc);
    }
    (void)snprintf(message, sizeof(message), "%.500s: %.600s", url, err->message);
    (void)snprintf(list, sizeof(list), "%.50s ltx -level all %.500s", cli->program, url);
    (void)wr_cli_fail(message, rc == WEIR_NOTFOUND ? list : NULL);
    return rc == WEIR_NOTFOUND ? WR_EXIT_NO_BACKUP : wr_cli_exit_code(rc);
}

static int exit_code(struct wr_cli *cli, const struct wr_restore *r, int rc, const weir_error *err)
{
    if (rc == WEIR_NOTFOUND && r->flags->if_replica_exists) {
        wr_say(&cli->log, WEIR_LOG_INFO, "no matching backups found",
            WR_F_Z("replica", wr_cli_url(cli, r->target.replicas[0].url)));
        return wr_restore_print_skipped(r, "no matching backups found");
    }
    return fail(cli, r, rc, err);
}

static bool ends_the_search(int rc)
{
    return rc == WEIR_OK || rc == WEIR_CANCELED || rc == WEIR_CONFLICT;
}

bool wr_restore_tells(int told, int rc)
{
    return ends_the_search(rc) || (told == WEIR_NOTFOUND && rc != WEIR_NOTFOUND);
}

/* Of what is not in the restored database, but may be in replicas: `done` is where it is from. */
static void warn_of_newer(
    struct wr_cli *cli, const struct wr_reach *list, size_t n, const struct wr_reach *done)
{
    for (const struct wr_reach *x = list; x < list + n; x++) {
        const char *url = wr_cli_url(cli, x->replica->url);

        if (x->txid > done->txid)
            (void)fprintf(stderr,
                "Warning: %s: %s; it has transactions up to %016llx, of which those after %016llx "
                "are not in the restored database\n",
                url, x->err.message, (unsigned long long)x->txid, (unsigned long long)done->txid);
        else if (x->unreachable && x != done)
            (void)fprintf(stderr,
                "Warning: %s: %s; it may have newer transactions than the restored database\n", url,
                x->err.message);
    }
}

/* Try them in their order: with one of them lost, its backup is in the others. */
static int restore_first(struct wr_cli *cli, struct wr_restore *r, weir *w, struct wr_reach *list)
{
    const struct wr_config_replica *teller = list[0].replica;
    weir_error err = {0}, told = {0};
    int rc = WEIR_NOTFOUND, answer = WEIR_NOTFOUND;

    for (size_t i = 0; i < r->target.n && !ends_the_search(rc); i++) {
        if (i > 0 && !r->flags->quiet)
            (void)fprintf(stderr, "Warning: %s: %s; trying the next replica\n",
                wr_cli_url(cli, r->replica->url), err.message);
        r->replica = list[i].replica;
        r->opt.settings = r->replica->settings;
        rc = r->flags->dry_run ? wr_cli_restore_plan(r, w, &err) : wr_restore_run(r, w, &err);
        if (rc == WEIR_OK && !r->flags->dry_run)
            warn_of_newer(cli, list, r->target.n, &list[i]);
        list[i].err = err;
        if (i > 0 && !wr_restore_tells(answer, rc))
            continue;
        answer = rc;
        told = err;
        teller = r->replica;
    }
    r->replica = teller;
    return answer == WEIR_OK ? wr_restore_print(r) : exit_code(cli, r, answer, &told);
}

static int restore_any(struct wr_cli *cli, struct wr_restore *r, weir *w)
{
    struct wr_reach *list = wr_arena_array(cli->arena, r->target.n, sizeof(*list));
    int rc = WEIR_OK;

    if (!list)
        return wr_cli_fail("out of memory", NULL);
    if (!r->flags->txid)
        rc = wr_reach_rank(
            w, r->target.replicas, r->target.n, r->flags->time_ms, r->opt.cancel, list);
    else
        for (size_t i = 0; i < r->target.n; i++)
            list[i].replica = &r->target.replicas[i];
    if (rc == WEIR_CANCELED) {
        (void)wr_cli_fail(weir_strerror(rc), NULL);
        return wr_cli_exit_code(rc);
    }
    return restore_first(cli, r, w, list);
}

static int restore(void *arg, weir *w, weir_cancel *cancel)
{
    struct wr_restore *r = arg;

    r->opt.cancel = cancel;
    return restore_any(r->cli, r, w);
}

static int run(struct wr_cli *cli, size_t argc, char *const *argv)
{
    struct wr_restore_flags o = {0};
    struct wr_restore r = {.cli = cli, .flags = &o};
    struct wr_args args;
    int code;

    if (!wr_cli_parse(cli, &wr_command_restore, argc, argv, &o, &args, &code))
        return code;
    if (!check_flags(&o, &args) ||
        !wr_cli_target(cli, args.positional[0], o.config, !o.no_expand_env, &r.target))
        return WR_EXIT_FAILED;
    r.path = o.output ? o.output : r.target.db_path;
    if (!r.path)
        return wr_cli_fail("-o is required when restoring from a replica URL",
            "weir restore -o /path/to/db s3://bucket/prefix");
    if (!wr_restore_expand(&r))
        return WR_EXIT_FAILED;
    if (o.quiet && cli->log.level < WEIR_LOG_ERROR)
        cli->log.level = WEIR_LOG_ERROR;
    if (o.if_db_not_exists && !o.dry_run && exists(r.path)) {
        wr_say(
            &cli->log, WEIR_LOG_INFO, "database already exists, skipping", WR_F_Z("path", r.path));
        return wr_restore_print_skipped(&r, "database already exists");
    }
    r.opt = (weir_restore_options){
        .struct_size = sizeof(r.opt),
        .txid = o.txid,
        .time_ms = o.time_ms,
        .parallel = o.parallel,
        .check = check_mode(o.check),
        .overwrite = o.force || o.delta,
        .delta = o.delta,
    };
    return wr_cli_run(cli, restore, &r);
}

static const char *const synopsis[] = {"[flags] DB_PATH", "[flags] -o PATH REPLICA_URL", NULL};
static const char *const examples[] = {
    "-o /var/lib/app.db s3://bucket/app",
    "-o /tmp/yesterday.db -timestamp -24h s3://bucket/app",
    "-if-db-not-exists -if-replica-exists /var/lib/app.db",
    "-dry-run -o /tmp/app.db s3://bucket/app",
    NULL,
};

const struct wr_command wr_command_restore = {
    .name = "restore",
    .summary = "restore a database from a replica",
    .about = "Restore a database of the configuration file, or from a replica URL. The database\n"
             "appears complete or not at all. Backups of Litestream 0.3 are read as well.",
    .synopsis = synopsis,
    .examples = examples,
    .flags = flags,
    .run = run,
};
