/*
 * reset.c - the command that throws away the local state of a database which nobody replicates.
 */
#include "cli/reset.h"
#include "cli/client.h"
#include "cli/command.h"
#include "daemon/expand.h"

#include <sys/stat.h>

#define DAEMON_MS 5000 /* for its answer */

struct options {
    const char *config, *socket;
    bool no_expand_env, dry_run;
};

static const struct wr_flag flags[] = {
    {"config", WR_FLAG_TEXT, offsetof(struct options, config), "PATH",
        "configuration file (default $WEIR_CONFIG, /etc/weir.yml or /etc/litestream.yml)"},
    {"no-expand-env", WR_FLAG_BOOL, offsetof(struct options, no_expand_env), NULL,
        "leave $VARIABLES in the configuration alone"},
    {"socket", WR_FLAG_TEXT, offsetof(struct options, socket), "PATH",
        "control socket of a daemon that may be running (default: of the configuration)"},
    {"dry-run", WR_FLAG_BOOL, offsetof(struct options, dry_run), NULL,
        "list the files, and remove none"},
    {0},
};

/* The directory of a database's local state: a configuration may have moved it. One that is not
 * there, and was not asked for, moves nothing. False after "Error: ...". */
static bool find_state(struct wr_cli *cli, struct options *o, const char *path, const char **ret)
{
    static const char *const none[] = {NULL};
    const struct wr_config_db plain = {.path = path, .settings = none}, *db = &plain;
    struct wr_config *c = NULL;
    struct wr_err e = {0};
    enum wr_status st = wr_config_load(cli->arena, o->config, !o->no_expand_env, &c, &e);

    if (st == WR_NOTFOUND && !o->config)
        st = WR_OK;
    if (st == WR_OK && c && wr_config_find(cli->arena, c, path, &db, NULL) != WR_OK)
        db = &plain; /* replicated without it, or by another one */
    if (st == WR_OK) {
        *ret = wr_config_state_dir(cli->arena, db);
        if (!*ret)
            st = wr_fail(&e, WR_NOMEM, "out of memory");
    }
    if (!o->socket)
        o->socket = c ? c->socket.path : WR_SOCKET_PATH_DEFAULT;
    if (st != WR_OK)
        (void)wr_cli_fail(e.text, NULL);
    return st == WR_OK;
}

/* Whether a daemon says that it replicates the database. It may at times have let go of the files
 * of one that nobody writes to, and their lock. Without an answer the lock must do. */
static bool daemon_has(const char *socket, const char *path)
{
    const struct wr_client_request q = {
        .socket = socket, .target = "/list", .verb = "list", .timeout_ms = DAEMON_MS};
    json_t *answer = NULL, *entry;
    bool has = false;
    size_t i;

    if (wr_client_ask(&q, &answer, NULL) != WR_OK)
        return false;
    json_array_foreach(json_object_get(answer, "databases"), i, entry)
    {
        const char *its = json_string_value(json_object_get(entry, "path"));
        const char *status = json_string_value(json_object_get(entry, "status"));

        if (its && status && wr_str_eq(wr_str(its), wr_str(path)))
            has = !wr_str_eq(wr_str(status), WR_STR("stopped"));
    }
    json_decref(answer);
    return has;
}

static int preview(const struct wr_reset *r, const char *path)
{
    (void)printf("Dry run: local state would be reset for: %s\n", path);
    if (r->n == 0) {
        (void)printf("No local files would be removed.\n");
        return WR_EXIT_OK;
    }
    (void)printf("Would remove: %s\nFiles that would be removed:\n", r->state);
    for (size_t i = 0; i < r->n; i++)
        (void)printf("  %s\n", r->files[i]);
    (void)printf("No files were removed.\n");
    return WR_EXIT_OK;
}

static int in_use(const char *path, const char *by, const char *what_to_do)
{
    char message[1024];

    (void)snprintf(message, sizeof(message), "%.400s is being replicated by %.300s: %.200s", path,
        by, what_to_do);
    (void)wr_cli_fail(message, NULL);
    return WR_EXIT_BUSY;
}

static int reset(struct wr_cli *cli, const struct options *o, const char *path, const char *state)
{
    const struct wr_fs *fs = wr_fs_posix();
    struct wr_err e = {0};
    struct wr_reset r;
    struct stat there;
    enum wr_status st;

    if (!wr_reset_name(&r, cli->arena, state))
        return wr_cli_fail("out of memory", NULL);
    if (wr_reset_list(&r, fs, &e) != WR_OK)
        return wr_cli_fail(e.text, NULL);
    if (o->dry_run)
        return preview(&r, path);
    if (r.n == 0 && r.ndirs == 0) {
        (void)printf("No local state to reset for %s\n", path);
        if (stat(state, &there) != 0)
            (void)printf("Meta directory does not exist: %s\n", state);
        return WR_EXIT_OK;
    }
    if (daemon_has(o->socket, path))
        return in_use(path, "the daemon that listens on its socket",
            "stop it there first, weir stop DB_PATH");
    st = wr_reset_remove(&r, fs, &e);
    if (st == WR_BUSY)
        return in_use(path, "another process", "end that first");
    if (st != WR_OK)
        return wr_cli_fail(e.text, NULL);
    (void)printf("Resetting local state for: %s\nRemoving: %s\n", path, state);
    if (r.ndirs > 0)
        (void)printf("Removing: %s\n", r.old);
    (void)printf(
        "Reset complete. The next replication reads the whole database, and sends what its "
        "replicas lack.\n");
    return WR_EXIT_OK;
}

static int run(struct wr_cli *cli, size_t argc, char *const *argv)
{
    const char *path, *state;
    struct options o = {0};
    struct wr_err e = {0};
    struct wr_args args;
    char message[600];
    struct stat s;
    int code;

    if (!wr_cli_parse(cli, &wr_command_reset, argc, argv, &o, &args, &code))
        return code;
    if (args.n == 0)
        return wr_cli_fail("database path required", "weir reset /path/to/db");
    if (args.n > 1)
        return wr_cli_fail("too many arguments", NULL);
    if (wr_expand_path(cli->arena, wr_str(args.positional[0]), &path, &e) != WR_OK)
        return wr_cli_fail(e.text, NULL);
    if (stat(path, &s) != 0) {
        (void)snprintf(message, sizeof(message), "database does not exist: %.500s", path);
        return wr_cli_fail(message, NULL);
    }
    if (!find_state(cli, &o, path, &state))
        return WR_EXIT_FAILED;
    return reset(cli, &o, path, state);
}

static const char *const synopsis[] = {"[flags] DB_PATH", NULL};
static const char *const examples[] = {"-dry-run /var/lib/app.db", "/var/lib/app.db", NULL};

const struct wr_command wr_command_reset = {
    .name = "reset",
    .summary = "throw away what replication keeps of a database on this machine",
    .about =
        "Throw away what replication keeps of a database on this machine, and what Litestream "
        "left\n"
        "there. The database and its replicas stay as they are. Refused while it is replicated.",
    .synopsis = synopsis,
    .examples = examples,
    .flags = flags,
    .run = run,
};
