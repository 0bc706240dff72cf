/*
 * databases.c - what the configuration lists.
 */
#include "cli/command.h"
#include "cli/table.h"

struct options {
    const char *config;
    bool no_expand_env, json;
};

static const struct wr_flag flags[] = {
    {"config", WR_FLAG_TEXT, offsetof(struct options, config), "PATH",
        "configuration file (default $WEIR_CONFIG, /etc/weir.yml or /etc/litestream.yml)"},
    {"no-expand-env", WR_FLAG_BOOL, offsetof(struct options, no_expand_env), NULL,
        "leave $VARIABLES in the configuration alone"},
    {"json", WR_FLAG_BOOL, offsetof(struct options, json), NULL, "print JSON"},
    {0},
};

/* Of Litestream's storage. This command is the first that looks at its configuration. */
static void warn_of_storage(struct wr_cli *cli, const struct wr_config *c)
{
    for (size_t i = 0; i < c->ndbs; i++)
        for (size_t j = 0; j < c->dbs[i].nreplicas; j++) {
            const struct wr_config_replica *r = &c->dbs[i].replicas[j];

            if (strcmp(r->type, "file") != 0 && strcmp(r->type, "s3") != 0)
                (void)fprintf(stderr,
                    "Warning: %s: %s cannot be replicated to yet, only directories (file) and S3, "
                    "or what "
                    "speaks its protocol (s3)\n",
                    c->dbs[i].path, wr_cli_url(cli, r->url));
        }
}

static int print_json(struct wr_cli *cli, const struct wr_config *c)
{
    json_t *list = json_array();

    for (size_t i = 0; i < c->ndbs; i++)
        for (size_t j = 0; j < c->dbs[i].nreplicas; j++) {
            const struct wr_config_replica *r = &c->dbs[i].replicas[j];

            if (json_array_append_new(
                    list, json_pack("{s:s, s:s, s:s}", "path",
                              wr_cli_shown(cli->arena, c->dbs[i].path), "replica", r->type, "url",
                              wr_cli_shown(cli->arena, wr_cli_url(cli, r->url)))) != 0)
                return wr_cli_fail("cannot print as JSON: out of memory", NULL);
        }
    return wr_json_print(list) ? WR_EXIT_OK : wr_cli_fail("cannot print as JSON", NULL);
}

static int print_table(struct wr_cli *cli, const struct wr_config *c)
{
    static const char *const header[] = {"path", "replica", "url"};
    struct wr_table t;

    wr_table_init(&t, cli->arena, wr_countof(header));
    wr_table_add(&t, header);
    for (size_t i = 0; i < c->ndbs; i++)
        for (size_t j = 0; j < c->dbs[i].nreplicas; j++) {
            const struct wr_config_replica *r = &c->dbs[i].replicas[j];
            const char *const cells[] = {c->dbs[i].path, r->type, wr_cli_url(cli, r->url)};

            wr_table_add(&t, cells);
        }
    return wr_table_print(&t) ? WR_EXIT_OK : wr_cli_fail("out of memory", NULL);
}

static int run(struct wr_cli *cli, size_t argc, char *const *argv)
{
    struct options o = {0};
    struct wr_args args;
    struct wr_config *c;
    int code;

    if (!wr_cli_parse(cli, &wr_command_databases, argc, argv, &o, &args, &code))
        return code;
    if (args.n > 0)
        return wr_cli_fail("too many arguments", NULL);
    c = wr_cli_config(cli, o.config, !o.no_expand_env, WR_CLI_DIRS_SHOWN);
    if (!c)
        return WR_EXIT_FAILED;
    warn_of_storage(cli, c);
    return o.json ? print_json(cli, c) : print_table(cli, c);
}

static const char *const synopsis[] = {"[flags]", NULL};
static const char *const examples[] = {"-config /etc/litestream.yml", NULL};

const struct wr_command wr_command_databases = {
    .name = "databases",
    .summary = "list the databases of the configuration file",
    .about =
        "List the databases of the configuration file and their replicas; of a directory those\n"
        "that are in it now.",
    .synopsis = synopsis,
    .examples = examples,
    .flags = flags,
    .run = run,
};
