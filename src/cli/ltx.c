/*
 * ltx.c - the LTX files that a replica holds.
 */
#include "base/str.h"
#include "cli/command.h"
#include "cli/table.h"

struct options {
    const char *config;
    bool no_expand_env, json;
    int32_t level;
};

static const struct wr_flag flags[] = {
    {"config", WR_FLAG_TEXT, offsetof(struct options, config), "PATH",
        "configuration file (default $WEIR_CONFIG, /etc/weir.yml or /etc/litestream.yml)"},
    {"no-expand-env", WR_FLAG_BOOL, offsetof(struct options, no_expand_env), NULL,
        "leave $VARIABLES in the configuration alone"},
    {"level", WR_FLAG_LEVEL, offsetof(struct options, level), "N",
        "0 (as captured, the default) to 9 (snapshots), or all"},
    {"json", WR_FLAG_BOOL, offsetof(struct options, json), NULL, "print JSON"},
    {0},
};

struct listing {
    struct wr_table table;
    json_t *json; /* NULL: a table is wanted */
    bool lost;    /* a file could not be added */
};

static int add_file(void *arg, const weir_file *f)
{
    struct listing *l = arg;
    char level[16], min[24], max[24], size[24], created[WR_TIME_TEXT_MAX];
    const char *const cells[] = {level, min, max, size, created};

    (void)snprintf(level, sizeof(level), "%d", (int)f->level); /* these all fit */
    (void)snprintf(min, sizeof(min), "%016llx", (unsigned long long)f->min_txid);
    (void)snprintf(max, sizeof(max), "%016llx", (unsigned long long)f->max_txid);
    (void)snprintf(size, sizeof(size), "%llu", (unsigned long long)f->size);
    wr_format_time_seconds(created, f->time_ms);
    if (!l->json)
        wr_table_add(&l->table, cells);
    else if (json_array_append_new(l->json,
                 json_pack("{s:i, s:s, s:s, s:I, s:s}", "level", (int)f->level, "min_txid", min,
                     "max_txid", max, "size", (json_int_t)f->size, "timestamp", created)) != 0)
        l->lost = true;
    return 0;
}

static int list(struct wr_cli *cli, const struct options *o, const struct wr_target *target)
{
    static const char *const header[] = {"level", "min_txid", "max_txid", "size", "created"};
    const struct wr_config_replica *r = &target->replicas[0];
    struct listing l = {.json = o->json ? json_array() : NULL};
    weir_error err = {0};
    weir *w = wr_cli_open(cli);
    bool printed;
    int rc;

    if (!w) {
        json_decref(l.json);
        return WR_EXIT_FAILED;
    }
    wr_table_init(&l.table, cli->arena, wr_countof(header));
    wr_table_add(&l.table, header);
    rc = weir_ltx_list(w, r->url, r->settings, o->level, NULL, add_file, &l, &err);
    (void)weir_close(w, 0, NULL); /* nothing is being replicated */
    if (rc != WEIR_OK) {
        json_decref(l.json);
        (void)wr_cli_fail(err.message, NULL);
        return wr_cli_exit_code(rc);
    }
    printed = o->json ? wr_json_print(l.json) : wr_table_print(&l.table);
    return printed && !l.lost ? WR_EXIT_OK : wr_cli_fail("out of memory", NULL);
}

static int run(struct wr_cli *cli, size_t argc, char *const *argv)
{
    struct options o = {0};
    struct wr_target target;
    struct wr_args args;
    int code;

    if (!wr_cli_parse(cli, &wr_command_ltx, argc, argv, &o, &args, &code))
        return code;
    if (!wr_cli_one(&wr_command_ltx, &args))
        return WR_EXIT_FAILED;
    if (!wr_cli_target(cli, args.positional[0], o.config, !o.no_expand_env, &target))
        return WR_EXIT_FAILED;
    return list(cli, &o, &target);
}

static const char *const synopsis[] = {"[flags] DB_PATH", "[flags] REPLICA_URL", NULL};
static const char *const examples[] = {"/var/lib/app.db", "-level all s3://bucket/app", NULL};

const struct wr_command wr_command_ltx = {
    .name = "ltx",
    .alias = "wal",
    .summary = "list the LTX files of a replica",
    .about =
        "List the LTX files of a replica: what can be restored is made of them. A database of\n"
        "the configuration file stands for its first replica.",
    .synopsis = synopsis,
    .examples = examples,
    .flags = flags,
    .run = run,
};
