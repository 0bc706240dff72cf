/*
 * restore.c - the command that restores: flags, the exit code.
 */
#include "base/file.h"
#include "base/url.h"
#include "cli/command.h"
#include "cli/restore_int.h"
#include "daemon/standby.h"

#include <unistd.h>

static const struct wr_flag flags[] = {
    {"o", WR_FLAG_TEXT, offsetof(struct wr_restore_flags, output), "PATH",
        "where to restore to (default: the path of the database in the configuration)"},
    {"all", WR_FLAG_BOOL, offsetof(struct wr_restore_flags, all), NULL,
        "every database of the configuration that is missing, its directories' too"},
    {"dir", WR_FLAG_TEXT, offsetof(struct wr_restore_flags, dir), "PATH",
        "every database of this directory that is missing, or every one below a REPLICA_URL"},
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
    {"f", WR_FLAG_BOOL, offsetof(struct wr_restore_flags, follow), NULL,
        "follow: go on, and keep the database at the replica's newest state until a signal"},
    {"follow-interval", WR_FLAG_DURATION, offsetof(struct wr_restore_flags, interval_ms),
        "DURATION", "with -f: how often to look for something new (default 1s)"},
    {"replica", WR_FLAG_TEXT, offsetof(struct wr_restore_flags, replica), "URL",
        "with -f and a primary's URL: its bucket (default: the one that the primary names)"},
    {"token-file", WR_FLAG_TEXT, offsetof(struct wr_restore_flags, token_file), "PATH",
        "with -f and a primary's URL: a file with the token it wants (default $WEIR_TOKEN)"},
    {"ca-file", WR_FLAG_TEXT, offsetof(struct wr_restore_flags, ca_file), "PATH",
        "with -f and a primary's https:// URL: whom to trust, in PEM (default $SSL_CERT_FILE)"},
    {"addr", WR_FLAG_TEXT, offsetof(struct wr_restore_flags, addr), "[HOST]:PORT",
        "with -f: serve /metrics, /healthz and /readyz there"},
    {"dry-run", WR_FLAG_BOOL, offsetof(struct wr_restore_flags, dry_run), NULL,
        "list the files that would be read, write nothing"},
    {"integrity-check", WR_FLAG_TEXT, offsetof(struct wr_restore_flags, check), "MODE",
        "check the restored database: none (the default), quick or full"},
    {"parallelism", WR_FLAG_COUNT, offsetof(struct wr_restore_flags, parallel), "N",
        "files to read at once (default 32, large ones 8)"},
    {"parallel-dbs", WR_FLAG_COUNT, offsetof(struct wr_restore_flags, parallel_dbs), "N",
        "databases to restore at once, with -all and -dir (default 4)"},
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

/* With -all or -dir, arguments are few. False after "Error: ...". */
static bool check_many(const struct wr_restore_flags *o, const struct wr_args *args)
{
    if (o->all && o->dir)
        (void)wr_cli_fail("cannot specify both -all and -dir", NULL);
    else if (args->n > (o->dir ? 1u : 0u))
        (void)wr_cli_fail("too many arguments", NULL);
    else if (o->follow)
        (void)wr_cli_fail("cannot follow several databases: each needs a process of its own", NULL);
    else if (o->output)
        (void)wr_cli_fail("cannot specify -o with several databases: each has its path", NULL);
    else if (o->txid)
        (void)wr_cli_fail(
            "cannot specify -txid with several databases: each counts its own, use -timestamp",
            NULL);
    else
        return true;
    return false;
}

static bool check_one(const struct wr_restore_flags *o, const struct wr_args *args)
{
    if (args->n == 0)
        (void)wr_cli_fail("database path or replica URL required",
            "weir restore -o /path/to/db s3://bucket/prefix");
    else if (args->n > 1)
        (void)wr_cli_fail("too many arguments", NULL);
    else if (o->parallel_dbs)
        (void)wr_cli_fail("-parallel-dbs is for -all and -dir", NULL);
    else
        return true;
    return false;
}

/* Everything that can be told to be wrong before anything is opened. False after "Error: ...". */
static bool check_flags(const struct wr_restore_flags *o, const struct wr_args *args)
{
    char message[100];

    if (!(o->all || o->dir ? check_many(o, args) : check_one(o, args)))
        return false;
    if (o->txid && o->time_ms)
        (void)wr_cli_fail("cannot specify both -txid and -timestamp", NULL);
    else if (o->addr && !o->follow)
        (void)wr_cli_fail("-addr goes with -f: what is restored is over before anybody asks", NULL);
    else if (o->follow && o->txid)
        (void)wr_cli_fail("cannot use follow mode with -txid", NULL);
    else if (o->follow && o->time_ms)
        (void)wr_cli_fail("cannot use follow mode with -timestamp", NULL);
    else if (o->follow && o->dry_run)
        (void)wr_cli_fail("cannot use -dry-run with -f", NULL);
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
    bool by = r->opt.txid || r->opt.time_ms; /* which of them there are, points lists */
    char message[1200], list[600];

    if (rc != WEIR_NOTFOUND && rc != WEIR_AUTH && rc != WEIR_CORRUPT) {
        (void)wr_cli_fail(err->message, NULL);
        return wr_cli_exit_code(rc);
    }
    (void)snprintf(message, sizeof(message), "%.500s: %.600s", url, err->message);
    (void)snprintf(
        list, sizeof(list), "%.50s %s %.500s", cli->program, by ? "points" : "ltx -level all", url);
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

/* One for all replicas that are tried: who was told that we stop does not hear of another start. */
static bool begin_standby(struct wr_restore *r)
{
    const struct wr_standby_opts o = {.path = r->path,
        .addr = r->flags->addr,
        .interval_ms = r->flags->interval_ms,
        .log = &r->cli->log};

    r->standby = wr_standby_new(&o);
    return r->standby || wr_cli_fail(weir_strerror(WEIR_NOMEM), NULL) == WR_EXIT_OK;
}

static int restore(void *arg, weir *w, weir_cancel *cancel)
{
    struct wr_restore *r = arg;

    weir_error err = {0};
    int rc;

    if (r->flags->follow && !begin_standby(r))
        return WR_EXIT_FAILED;
    r->opt.cancel = cancel;
    r->replica = r->target.replicas;
    rc = r->primary ? wr_restore_follow(r, w, &err) : wr_restore_search(r, w, &err);
    wr_standby_free(r->standby);
    return rc == WEIR_OK ? wr_restore_print(r) : exit_code(r->cli, r, rc, &err);
}

/* A flag of Litestream 0.3, which scripts still give, and what does the same now. False after
 * "Error: ...". */
static bool check_gone(const struct wr_cli *cli, size_t argc, char *const *argv)
{
    char message[240];

    for (size_t i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        struct wr_str name, value, text = wr_str(argv[i]);

        (void)wr_str_cut(text, '=', &name, &value);
        if (!wr_str_starts(name, WR_STR("-")))
            continue;
        name = wr_str_skip(name, wr_str_starts(name, WR_STR("--")) ? 2 : 1);
        if (!wr_str_eq(name, WR_STR("generation")) && !wr_str_eq(name, WR_STR("index")))
            continue;
        (void)snprintf(message, sizeof(message),
            "-" WR_FMT " was a flag of Litestream 0.3, whose replicas had generations; now -txid "
            "and -timestamp say which state, and '%.50s points' lists them",
            WR_ARG(name), cli->program);
        return wr_cli_fail(message, NULL) == WR_EXIT_OK;
    }
    return true;
}

static bool fail_without_primary(void)
{
    return wr_cli_fail("-replica, -token-file and -ca-file go with -f and the URL of a primary",
               "weir restore -f -o /var/lib/standby.db http://primary:9999/app.db") == WR_EXIT_OK;
}

/* Where it comes from. False after "Error: ...". */
static bool find_target(struct wr_restore *r, const char *arg)
{
    const struct wr_restore_flags *o = r->flags;

    if (wr_config_is_source(arg))
        return wr_restore_from_primary(r, arg);
    if (o->replica && !o->follow && !wr_url_is(wr_str(o->replica))) /* of 0.3, a name */
        return wr_cli_fail("-replica NAME was a flag of Litestream 0.3; now the URL of the replica "
                           "in place of the database's path has it read from there, and without "
                           "one the replica that reaches furthest is",
                   NULL) == WR_EXIT_OK;
    if (o->replica || ((o->token_file || o->ca_file) && !o->follow))
        return fail_without_primary();
    if (!wr_cli_target(r->cli, arg, o->config, !o->no_expand_env, &r->target))
        return false;
    if ((o->token_file || o->ca_file) && !r->target.source)
        return fail_without_primary();
    return !o->follow || !r->target.source || wr_restore_from_source(r);
}

static int run(struct wr_cli *cli, size_t argc, char *const *argv)
{
    struct wr_restore_flags o = {0};
    struct wr_restore r = {.cli = cli, .flags = &o};
    struct wr_args args;
    int code;

    if (!check_gone(cli, argc, argv))
        return WR_EXIT_FAILED;
    if (!wr_cli_parse(cli, &wr_command_restore, argc, argv, &o, &args, &code))
        return code;
    if (!check_flags(&o, &args))
        return WR_EXIT_FAILED;
    r.opt = (weir_restore_options){
        .struct_size = sizeof(r.opt),
        .txid = o.txid,
        .time_ms = o.time_ms,
        .parallel = o.parallel,
        .check = check_mode(o.check),
        .overwrite = o.force || o.delta,
        .delta = o.delta,
    };
    if (o.quiet && cli->log.level < WEIR_LOG_ERROR)
        cli->log.level = WEIR_LOG_ERROR;
    if (o.all || o.dir)
        return wr_restore_many(cli, &o, &r.opt, args.n ? args.positional[0] : NULL);
    if (!find_target(&r, args.positional[0]))
        return WR_EXIT_FAILED;
    r.path = o.output ? o.output : r.target.db_path;
    if (!r.path)
        return wr_cli_fail("-o is required when restoring from a replica URL",
            "weir restore -o /path/to/db s3://bucket/prefix");
    if (!wr_restore_expand(&r))
        return WR_EXIT_FAILED;
    if (o.if_db_not_exists && !o.dry_run && !o.follow && exists(r.path)) {
        wr_say(
            &cli->log, WEIR_LOG_INFO, "database already exists, skipping", WR_F_Z("path", r.path));
        return wr_restore_print_skipped(&r, "database already exists");
    }
    return wr_cli_run(cli, restore, &r);
}

static const char *const synopsis[] = {"[flags] DB_PATH", "[flags] -o PATH REPLICA_URL",
    "-f [flags] -o PATH http://PRIMARY:PORT/DB", "[flags] -all", "[flags] -dir PATH [REPLICA_URL]",
    NULL};
static const char *const examples[] = {
    "-o /var/lib/app.db s3://bucket/app",
    "-o /tmp/yesterday.db -timestamp -24h s3://bucket/app",
    "-if-db-not-exists -if-replica-exists /var/lib/app.db",
    "-f -o /var/lib/standby.db s3://bucket/app",
    "-f -o /var/lib/standby.db http://primary:9999/app.db",
    "-dry-run -o /tmp/app.db s3://bucket/app",
    "-all -config /etc/litestream.yml",
    "-dir /var/lib/tenants s3://bucket/tenants",
    NULL,
};

const struct wr_command wr_command_restore = {
    .name = "restore",
    .summary = "restore a database from a replica",
    .about =
        "Restore a database of the configuration file, or from a replica URL. The database\n"
        "appears complete or not at all. Backups of Litestream 0.3 are read as well. With -all or "
        "-dir\n"
        "every database that is missing, and is in a replica, comes back to its path; those that\n"
        "are there stay as they are, unless -force is given.",
    .synopsis = synopsis,
    .examples = examples,
    .flags = flags,
    .run = run,
};
