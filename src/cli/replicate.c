/*
 * replicate.c - the command that replicates: its flags, and where its configuration comes from.
 */
#include "cli/served.h"

#include <unistd.h>

struct options {
    const char *config, *exec, *log_level, *sync_interval;
    bool no_expand_env, restore_if_missing, once, adopt, force_snapshot, enforce_retention;
    int64_t shutdown_sync_timeout_ms; /* -1: not given */
};

static const struct wr_flag flags[] = {
    {"config", WR_FLAG_TEXT, offsetof(struct options, config), "PATH",
        "configuration file (default $WEIR_CONFIG, /etc/weir.yml or /etc/litestream.yml)"},
    {"no-expand-env", WR_FLAG_BOOL, offsetof(struct options, no_expand_env), NULL,
        "leave $VARIABLES in the configuration alone"},
    {"exec", WR_FLAG_TEXT, offsetof(struct options, exec), "CMD",
        "run CMD, end when it ends, with its exit code"},
    {"once", WR_FLAG_BOOL, offsetof(struct options, once), NULL,
        "sync everything once, bring levels up to date, then end"},
    {"force-snapshot", WR_FLAG_BOOL, offsetof(struct options, force_snapshot), NULL,
        "with -once: send a snapshot, unless there is one of this state"},
    {"enforce-retention", WR_FLAG_BOOL, offsetof(struct options, enforce_retention), NULL,
        "with -once: delete what is too old"},
    {"restore-if-db-not-exists", WR_FLAG_BOOL, offsetof(struct options, restore_if_missing), NULL,
        "restore databases that do not exist first"},
    {"adopt", WR_FLAG_BOOL, offsetof(struct options, adopt), NULL,
        "this is the replica's database, though it looks like another; not to be left on"},
    {"log-level", WR_FLAG_TEXT, offsetof(struct options, log_level), "LEVEL",
        "debug, info (the default), warn or error"},
    {"sync-interval", WR_FLAG_TEXT, offsetof(struct options, sync_interval), "DURATION",
        "how often to send changes of DB_PATH (default 1s; 0: at once)"},
    {"shutdown-sync-timeout", WR_FLAG_DURATION, offsetof(struct options, shutdown_sync_timeout_ms),
        "DURATION", "time for the last sync at the end (default 30s)"},
    {0},
};

/* The configuration, from the file or from the arguments; NULL after "Error: ...". */
static struct wr_config *configure(
    struct wr_cli *cli, const struct options *o, const struct wr_args *args)
{
    char message[256];

    if (args->n == 0) {
        if (o->sync_interval) {
            (void)wr_cli_fail("-sync-interval needs DB_PATH and REPLICA_URL; in a configuration "
                              "file it is a key of the replica",
                NULL);
            return NULL;
        }
        return wr_cli_config(cli, o->config, !o->no_expand_env, WR_CLI_DIRS_SERVED);
    }
    if (args->n == 1) {
        (void)snprintf(message, sizeof(message), "must specify at least one replica URL for %.200s",
            args->positional[0]);
        (void)wr_cli_fail(message, "weir replicate /path/to/db s3://bucket/prefix");
        return NULL;
    }
    if (o->config) {
        (void)wr_cli_fail("cannot specify a replica URL and the -config flag", NULL);
        return NULL;
    }
    return wr_cli_adhoc(
        cli, args->positional[0], args->positional + 1, args->n - 1, o->sync_interval);
}

static int run(struct wr_cli *cli, size_t argc, char *const *argv)
{
    struct options o = {.shutdown_sync_timeout_ms = -1};
    struct wr_serve_options serve;
    struct wr_config *c;
    struct wr_args args;
    int code;

    if (!wr_cli_parse(cli, &wr_command_replicate, argc, argv, &o, &args, &code))
        return code;
    c = configure(cli, &o, &args);
    if (!c)
        return WR_EXIT_FAILED;
    serve = (struct wr_serve_options){
        .program = cli->program,
        .exec = o.exec ? o.exec : c->exec,
        .once = o.once,
        .force_snapshot = o.force_snapshot,
        .enforce_retention = o.enforce_retention,
        .restore_if_missing = o.restore_if_missing,
        .adopt = o.adopt,
        .shutdown_sync_timeout_ms = o.shutdown_sync_timeout_ms >= 0 ? o.shutdown_sync_timeout_ms
                                                                    : c->shutdown_sync_timeout_ms,
        .reloads = args.n == 0,
        .config_path = o.config,
        .expand_env = !o.no_expand_env,
        .second_exit = WR_EXIT_NOT_SYNCED,
    };
    if (c->ndbs == 0 && c->ndirs == 0 && (o.once || !c->socket.enabled)) /* it may register some */
        return wr_cli_fail("no databases specified in configuration", NULL);
    if (o.adopt && c->ndbs > 1)
        return wr_cli_fail("-adopt is for one database; of several, set adopt-replica: true in the "
                           "configuration of those that are meant",
            NULL);
    if (o.once && serve.exec)
        return wr_cli_fail("cannot specify -once flag with -exec", NULL);
    if (o.force_snapshot && !o.once)
        return wr_cli_fail("cannot specify -force-snapshot flag without -once", NULL);
    if (o.enforce_retention && !o.once)
        return wr_cli_fail("cannot specify -enforce-retention flag without -once", NULL);
    if (!wr_cli_log_to(cli, c->logging.to_stderr ? STDERR_FILENO : STDOUT_FILENO, c, o.log_level))
        return WR_EXIT_FAILED;
    return wr_cli_serve(cli, c, &serve);
}

static const char *const synopsis[] = {
    "[flags] DB_PATH REPLICA_URL [REPLICA_URL...]", "[flags]", NULL};
static const char *const examples[] = {
    "/var/lib/app.db s3://bucket/app",
    "-config /etc/litestream.yml",
    "-exec 'myapp -port 8080' /var/lib/app.db s3://bucket/app",
    "-once /var/lib/app.db file:///mnt/backup/app",
    NULL,
};

const struct wr_command wr_command_replicate = {
    .name = "replicate",
    .summary = "replicate databases until stopped",
    .about =
        "Replicate one database to the given URLs, or all databases of the configuration file.\n"
        "SIGINT and SIGTERM stop it with a last sync; a second one ends it at once. SIGHUP reads\n"
        "the configuration file again.",
    .synopsis = synopsis,
    .examples = examples,
    .flags = flags,
    .run = run,
};
