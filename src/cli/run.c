/*
 * run.c - the command that stands for an application: restore what is missing, replicate, run it.
 */
#include "cli/served.h"

#include <unistd.h>

struct options {
    const char *config, *db, *log_level, *sync_interval;
    struct wr_texts replicas;
    bool no_expand_env;
    int64_t ready_timeout_ms, shutdown_sync_timeout_ms; /* -1: not given */
};

static const struct wr_flag flags[] = {
    {"config", WR_FLAG_TEXT, offsetof(struct options, config), "PATH",
        "configuration file (default $WEIR_CONFIG, /etc/weir.yml or /etc/litestream.yml)"},
    {"no-expand-env", WR_FLAG_BOOL, offsetof(struct options, no_expand_env), NULL,
        "leave $VARIABLES in the configuration alone"},
    {"db", WR_FLAG_TEXT, offsetof(struct options, db), "PATH",
        "the database, without a configuration file"},
    {"replica", WR_FLAG_TEXTS, offsetof(struct options, replicas), "URL",
        "where its replica is; with several, once for each"},
    {"ready-timeout", WR_FLAG_DURATION, offsetof(struct options, ready_timeout_ms), "DURATION",
        "how long the command may wait for the replication to be attached (default 30s)"},
    {"log-level", WR_FLAG_TEXT, offsetof(struct options, log_level), "LEVEL",
        "debug, info (the default), warn or error"},
    {"sync-interval", WR_FLAG_TEXT, offsetof(struct options, sync_interval), "DURATION",
        "how often to send changes of -db (default 1s; 0: at once)"},
    {"shutdown-sync-timeout", WR_FLAG_DURATION, offsetof(struct options, shutdown_sync_timeout_ms),
        "DURATION", "time for the last sync at the end (default 30s)"},
    {0},
};

#define READY_TIMEOUT_MS 30000
#define EXAMPLE          "weir run -db /data/app.db -replica s3://bucket/app -- myapp -port 8080"

/* The configuration, from the file or from the flags; NULL after "Error: ...". */
static struct wr_config *configure(struct wr_cli *cli, const struct options *o)
{
    if (!o->db && o->replicas.n == 0 && !o->sync_interval)
        return wr_cli_config(cli, o->config, !o->no_expand_env, WR_CLI_DIRS_SERVED);
    if (!o->db)
        (void)wr_cli_fail(
            o->replicas.n > 0 ? "-replica needs -db" : "-sync-interval needs -db", EXAMPLE);
    else if (o->config)
        (void)wr_cli_fail("cannot specify -db and the -config flag", NULL);
    else if (o->replicas.n == 0)
        (void)wr_cli_fail("-db needs at least one -replica", EXAMPLE);
    else
        return wr_cli_adhoc(cli, o->db, o->replicas.p, o->replicas.n, o->sync_interval);
    return NULL;
}

/* How many arguments come before the command; argc when none follows. */
static size_t flags_of(size_t argc, char *const *argv)
{
    size_t n = 0;

    while (n < argc && !wr_str_eq(wr_str(argv[n]), WR_STR("--")))
        n++;
    return n;
}

static int run(struct wr_cli *cli, size_t argc, char *const *argv)
{
    struct options o = {.ready_timeout_ms = READY_TIMEOUT_MS, .shutdown_sync_timeout_ms = -1};
    size_t n = flags_of(argc, argv);
    struct wr_config *c;
    struct wr_args args;
    int code;

    if (!wr_cli_parse(cli, &wr_command_run, n, argv, &o, &args, &code))
        return code;
    if (args.n > 0 || n + 1 >= argc)
        return wr_cli_fail("the command to run comes after --", EXAMPLE);
    c = configure(cli, &o);
    if (!c)
        return WR_EXIT_FAILED;
    if (c->ndbs == 0 && c->ndirs == 0 && !c->socket.enabled) /* it may register some */
        return wr_cli_fail("no databases specified in configuration", NULL);
    if (c->exec)
        return wr_cli_fail(
            "the configuration has a command of its own, exec, beside the one after --", NULL);
    if (!wr_cli_log_to(cli, STDERR_FILENO, c, o.log_level))
        return WR_EXIT_FAILED;
    return wr_cli_serve(cli, c,
        &(struct wr_serve_options){
            .program = cli->program,
            .argv = argv + n + 1,
            .ready_timeout_ms = o.ready_timeout_ms,
            .restore_if_missing = true,
            .shutdown_sync_timeout_ms = o.shutdown_sync_timeout_ms >= 0
                                            ? o.shutdown_sync_timeout_ms
                                            : c->shutdown_sync_timeout_ms,
            .config_path = o.config,
            .expand_env = !o.no_expand_env,
            .second_exit = WR_EXIT_NOT_SYNCED,
        });
}

static const char *const synopsis[] = {"[flags] -- COMMAND [ARGUMENTS...]",
    "[flags] -db PATH -replica URL [-replica URL...] -- COMMAND [ARGUMENTS...]", NULL};
static const char *const examples[] = {
    "-db /data/app.db -replica s3://bucket/app -- myapp -port 8080",
    "-config /etc/weir.yml -- node server.js",
    NULL,
};

const struct wr_command wr_command_run = {
    .name = "run",
    .summary = "restore what is missing, replicate, and run a command",
    .about =
        "Restore databases that do not exist, replicate them, and run a command when that is set "
        "up;\n"
        "end when it ends, with a last sync and with its exit code. Signals are passed on to it.\n"
        "Made to be the first process of a container.",
    .synopsis = synopsis,
    .examples = examples,
    .flags = flags,
    .run = run,
};
