/*
 * change_commands.c - start, stop, sync, wait, register, unregister: what is particular to each.
 */
#include "cli/change.h"

static const struct wr_flag start_flags[] = {
    WR_TALK_FLAGS("for the answer (default 30; 0: none)"),
    {0},
};
static int run_start(struct wr_cli *cli, size_t argc, char *const *argv)
{
    static const struct wr_change change = {
        .cmd = &wr_command_start,
        .target = "/start",
        .untimed = true,
        .fields = {{"status", WR_FROM_ANSWER, "status"}, {"db_path", WR_FROM_ANSWER, "path"},
            {"state", WR_FROM_TABLE, "running"}, {"txid", WR_FROM_ANSWER, "txid"},
            {"socket", WR_FROM_SOCKET, NULL}, {0}},
    };

    return wr_change_run(cli, &change, argc, argv);
}
static const char *const start_synopsis[] = {"[flags] DB_PATH", NULL};
static const char *const start_examples[] = {"/var/lib/app.db", NULL};
const struct wr_command wr_command_start = {
    .name = "start",
    .summary = "replicate a database of a running daemon again that was stopped",
    .about = "Have a running weir replicate go on with a database that was stopped.",
    .synopsis = start_synopsis,
    .examples = start_examples,
    .flags = start_flags,
    .run = run_start,
};

static const struct wr_flag stop_flags[] = {
    WR_TALK_FLAGS("for the last sync (default 30)"),
    {0},
};
static int run_stop(struct wr_cli *cli, size_t argc, char *const *argv)
{
    static const struct wr_change change = {
        .cmd = &wr_command_stop,
        .target = "/stop",
        .untimed = true,
        .fields = {{"status", WR_FROM_ANSWER, "status"}, {"db_path", WR_FROM_ANSWER, "path"},
            {"state", WR_FROM_TABLE, "stopped"}, {"txid", WR_FROM_ANSWER, "txid"},
            {"socket", WR_FROM_SOCKET, NULL}, {0}},
    };

    return wr_change_run(cli, &change, argc, argv);
}
static const char *const stop_synopsis[] = {"[flags] DB_PATH", NULL};
static const char *const stop_examples[] = {"/var/lib/app.db", NULL};
const struct wr_command wr_command_stop = {
    .name = "stop",
    .summary = "stop replicating a database, after a last sync",
    .about = "Have a running weir replicate stop with one database, after a last sync. The "
             "database stays in\n"
             "its list; start begins again.",
    .synopsis = stop_synopsis,
    .examples = stop_examples,
    .flags = stop_flags,
    .run = run_stop,
};

static const struct wr_flag sync_flags[] = {
    WR_TALK_FLAGS("for it (default 30)"),
    {"wait", WR_FLAG_BOOL, offsetof(struct wr_talk, wait), NULL, "until it is in every replica"},
    {"snapshot", WR_FLAG_BOOL, offsetof(struct wr_talk, snapshot), NULL,
        "and until a snapshot of it is"},
    {0},
};
static int run_sync(struct wr_cli *cli, size_t argc, char *const *argv)
{
    static const struct wr_change change = {
        .cmd = &wr_command_sync,
        .target = "/sync",
        .fields = {{"db_path", WR_FROM_ANSWER, "path"}, {"txid", WR_FROM_ANSWER, "txid"},
            {"replica_txid", WR_FROM_WAITING, "replicated_txid"},
            {"snapshot_txid", WR_FROM_SNAPSHOT, "snapshot_txid"},
            {"duration_ms", WR_FROM_CLOCK, NULL}, {0}},
    };

    return wr_change_run(cli, &change, argc, argv);
}
static const char *const sync_synopsis[] = {"[flags] DB_PATH", NULL};
static const char *const sync_examples[] = {"/var/lib/app.db", "-wait -timeout 1m /var/lib/app.db",
    "-snapshot -timeout 1h /var/lib/app.db", NULL};
const struct wr_command wr_command_sync = {
    .name = "sync",
    .summary = "capture and send a database now, and with -wait until it is there",
    .about =
        "Have a running weir replicate capture and send what was committed to a database, without\n"
        "waiting for its interval. With -wait until every replica has it, and with -snapshot "
        "until\n"
        "every replica has a snapshot of it.",
    .synopsis = sync_synopsis,
    .examples = sync_examples,
    .flags = sync_flags,
    .run = run_sync,
};

static const struct wr_flag wait_flags[] = {
    WR_TALK_FLAGS("to wait (default 30)"),
    {"txid", WR_FLAG_TXNUM, offsetof(struct wr_talk, txid), "TXID",
        "this transaction: a number, or 16 hex digits"},
    {0},
};
static int run_wait(struct wr_cli *cli, size_t argc, char *const *argv)
{
    static const struct wr_change change = {
        .cmd = &wr_command_wait,
        .target = "/wait",
        .waits = true,
        .fields = {{"db_path", WR_FROM_ANSWER, "path"}, {"txid", WR_FROM_ANSWER, "txid"},
            {"replica_txid", WR_FROM_ANSWER, "replicated_txid"},
            {"duration_ms", WR_FROM_CLOCK, NULL}, {0}},
    };

    return wr_change_run(cli, &change, argc, argv);
}
static const char *const wait_synopsis[] = {"[flags] DB_PATH", NULL};
static const char *const wait_examples[] = {
    "/var/lib/app.db", "-txid 42 -timeout 2m /var/lib/app.db", NULL};
const struct wr_command wr_command_wait = {
    .name = "wait",
    .summary = "wait until a transaction is in every replica",
    .about = "Wait until a transaction is in every replica of a database, without an upload of its "
             "own: it\n"
             "rides on the next one that is made anyway. Without -txid: all that is committed now.",
    .synopsis = wait_synopsis,
    .examples = wait_examples,
    .flags = wait_flags,
    .run = run_wait,
};

static const struct wr_flag register_flags[] = {
    WR_TALK_FLAGS("for the answer (default 30)"),
    {"replica", WR_FLAG_TEXT, offsetof(struct wr_talk, replica), "URL", "where it goes (required)"},
    {"persist", WR_FLAG_BOOL, offsetof(struct wr_talk, persist), NULL,
        "also after a restart of the daemon, which has a socket.registry"},
    {0},
};
static int run_register(struct wr_cli *cli, size_t argc, char *const *argv)
{
    static const struct wr_change change = {
        .cmd = &wr_command_register,
        .target = "/register",
        .fields = {{"status", WR_FROM_ANSWER, "status"}, {"db_path", WR_FROM_ANSWER, "path"},
            {"replica", WR_FROM_REPLICA, NULL}, {"persist", WR_FROM_PERSIST, "persist"},
            {"socket", WR_FROM_SOCKET, NULL}, {0}},
    };

    return wr_change_run(cli, &change, argc, argv);
}
static const char *const register_synopsis[] = {"[flags] -replica URL DB_PATH", NULL};
static const char *const register_examples[] = {"-replica s3://bucket/app /var/lib/app.db",
    "-persist -replica s3://bucket/app /var/lib/app.db", NULL};
const struct wr_command wr_command_register = {
    .name = "register",
    .summary = "have a running daemon replicate one more database",
    .about =
        "Have a running weir replicate take charge of one more database, until it ends, or with\n"
        "-persist until unregister. Its configuration file is not changed.",
    .synopsis = register_synopsis,
    .examples = register_examples,
    .flags = register_flags,
    .run = run_register,
};

static const struct wr_flag unregister_flags[] = {
    WR_TALK_FLAGS("for the last sync (default 30)"),
    {"dry-run", WR_FLAG_BOOL, offsetof(struct wr_talk, dry_run), NULL,
        "print what would be asked, and ask nothing"},
    {0},
};
static int run_unregister(struct wr_cli *cli, size_t argc, char *const *argv)
{
    static const struct wr_change change = {
        .cmd = &wr_command_unregister,
        .target = "/unregister",
        .fields = {{"status", WR_FROM_ANSWER, "status"}, {"db_path", WR_FROM_ANSWER, "path"},
            {"final_txid", WR_FROM_ANSWER, "txid"}, {"socket", WR_FROM_SOCKET, NULL}, {0}},
    };

    return wr_change_run(cli, &change, argc, argv);
}
static const char *const unregister_synopsis[] = {"[flags] DB_PATH", NULL};
static const char *const unregister_examples[] = {
    "/var/lib/app.db", "-dry-run /var/lib/app.db", NULL};
const struct wr_command wr_command_unregister = {
    .name = "unregister",
    .summary = "have a running daemon forget a database, after a last sync",
    .about =
        "Have a running weir replicate stop with one database, after a last sync, and forget it.",
    .synopsis = unregister_synopsis,
    .examples = unregister_examples,
    .flags = unregister_flags,
    .run = run_unregister,
};
