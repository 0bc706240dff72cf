/*
 * points.c - the command that lists what can be restored: flags, the replicas one by one, the exit
 * code.
 */
#include "base/str.h"
#include "cli/command.h"
#include "cli/points_int.h"

static const struct wr_flag flags[] = {
    {"config", WR_FLAG_TEXT, offsetof(struct wr_points_flags, config), "PATH",
        "configuration file (default $WEIR_CONFIG, /etc/weir.yml or /etc/litestream.yml)"},
    {"no-expand-env", WR_FLAG_BOOL, offsetof(struct wr_points_flags, no_expand_env), NULL,
        "leave $VARIABLES in the configuration alone"},
    {"all", WR_FLAG_BOOL, offsetof(struct wr_points_flags, all), NULL,
        "a line for each point; on S3 this asks for the time of each file, see -since"},
    {"since", WR_FLAG_TIME, offsetof(struct wr_points_flags, since_ms), "TIME",
        "leave out what is older: 2006-01-02T15:04:05Z, or -2h, or \"2h ago\""},
    {"until", WR_FLAG_TIME, offsetof(struct wr_points_flags, until_ms), "TIME",
        "leave out what is not from before this time"},
    {"json", WR_FLAG_BOOL, offsetof(struct wr_points_flags, json), NULL,
        "print all points as JSON"},
    {0},
};

/* "Error: ..." with the replica in front: there may be several. */
static int fail(
    struct wr_cli *cli, const struct wr_config_replica *r, int rc, const weir_error *err)
{
    const char *url = wr_cli_url(cli, r->url);
    char message[1200], list[600];

    (void)snprintf(message, sizeof(message), "%.500s: %.600s", url, err->message);
    (void)snprintf(list, sizeof(list), "%.50s ltx -level all %.500s", cli->program, url);
    (void)wr_cli_fail(message, rc == WEIR_NOTFOUND ? list : NULL);
    return rc == WEIR_NOTFOUND ? WR_EXIT_NO_BACKUP : wr_cli_exit_code(rc);
}

/* Files behind a gap: an error, also if there is much that can be restored. */
static int fail_gap(
    struct wr_cli *cli, const struct wr_config_replica *r, const weir_points_result *is)
{
    const char *url = wr_cli_url(cli, r->url);
    char message[800], try_this[700];

    (void)snprintf(message, sizeof(message),
        "%.500s: TXIDs from %016llx on lie behind a gap and cannot be restored; a snapshot closes "
        "it, which a running replicate sends when it finds the gap",
        url, (unsigned long long)is->gap);
    if (is->newest)
        (void)snprintf(try_this, sizeof(try_this),
            "%.50s restore -o /path/to/db -txid %016llx %.500s", cli->program,
            (unsigned long long)is->newest, url);
    else
        (void)snprintf(
            try_this, sizeof(try_this), "%.50s ltx -level all %.500s", cli->program, url);
    (void)wr_cli_fail(message, try_this);
    return WR_EXIT_CORRUPT;
}

static int show(
    struct wr_cli *cli, weir *w, const struct wr_points_flags *o, struct wr_points_view *v)
{
    const weir_points_options opt = {.struct_size = sizeof(opt),
        .since_ms = o->since_ms,
        .until_ms = o->until_ms,
        .exact = o->all || o->json,
        .settings = v->replica->settings};
    weir_points_result is = {.struct_size = sizeof(is)};
    weir_error err = {0};
    int rc;

    wr_points_view_begin(v);
    rc = weir_points(w, v->replica->url, &opt, wr_points_view_add, v, &is, &err);
    if (rc != WEIR_OK) {
        wr_points_view_fail(v, err.message);
        return fail(cli, v->replica, rc, &err);
    }
    if (!wr_points_view_end(v, &is))
        return wr_cli_fail("out of memory", NULL);
    return is.gap ? fail_gap(cli, v->replica, &is) : WR_EXIT_OK;
}

/* Show every replica, whatever becomes of the others; the exit code of the first failure. */
static int show_all(
    struct wr_cli *cli, const struct wr_points_flags *o, const struct wr_target *target)
{
    struct wr_points_view v = {.cli = cli, .flags = o, .several = target->n > 1};
    weir *w = wr_cli_open(cli);
    int code = WR_EXIT_OK, one;

    if (!w)
        return WR_EXIT_FAILED;
    v.json = o->json ? json_array() : NULL;
    for (size_t i = 0; i < target->n; i++) {
        v.replica = &target->replicas[i];
        one = show(cli, w, o, &v);
        code = code == WR_EXIT_OK ? one : code;
    }
    (void)weir_close(w, 0, NULL); /* nothing is being replicated */
    if (o->json && (!wr_json_print(v.json) || v.lost))
        return wr_cli_fail("out of memory", NULL);
    return code;
}

static int run(struct wr_cli *cli, size_t argc, char *const *argv)
{
    struct wr_points_flags o = {0};
    struct wr_target target;
    struct wr_args args;
    int code;

    if (!wr_cli_parse(cli, &wr_command_points, argc, argv, &o, &args, &code))
        return code;
    if (!wr_cli_one(&wr_command_points, &args))
        return WR_EXIT_FAILED;
    if (o.since_ms && o.until_ms && o.since_ms >= o.until_ms)
        return wr_cli_fail("-since must be before -until", NULL);
    if (!wr_cli_target(cli, args.positional[0], o.config, !o.no_expand_env, &target))
        return WR_EXIT_FAILED;
    return show_all(cli, &o, &target);
}

static const char *const synopsis[] = {"[flags] DB_PATH", "[flags] REPLICA_URL", NULL};
static const char *const examples[] = {"/var/lib/app.db", "-all -since -2h s3://bucket/app", NULL};

const struct wr_command wr_command_points = {
    .name = "points",
    .summary = "list the transactions and times that can be restored",
    .about =
        "List what restore can be asked for, with -txid, or with -timestamp and a time just after\n"
        "the one that is printed. Of a database of the configuration file: for each replica.",
    .synopsis = synopsis,
    .examples = examples,
    .flags = flags,
    .run = run,
};
