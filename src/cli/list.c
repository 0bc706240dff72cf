/*
 * list.c - the databases of a running daemon, and how far their replicas are.
 */
#include "base/str.h"
#include "cli/talk.h"

static const struct wr_flag flags[] = {
    WR_TALK_FLAGS("for the answer (default 10)"),
    {0},
};

/* One indented line: what follows the first one of a database is ours. */
static void print_replica(const json_t *r, json_int_t newest)
{
    const char *url = json_string_value(json_object_get(r, "url"));
    const char *error = json_string_value(json_object_get(r, "error"));
    json_int_t txid = json_integer_value(json_object_get(r, "txid"));
    char lag[WR_SPAN_TEXT_MAX];

    wr_span_text(lag, json_number_value(json_object_get(r, "lag_seconds")));
    (void)printf("  %s: ", url ? url : "?");
    if (newest > 0 && txid >= newest)
        (void)printf("has all, txid %lld", (long long)txid);
    else
        (void)printf("txid %lld of %lld, lag %s", (long long)txid, (long long)newest, lag);
    (void)printf("%s%s\n", error ? ", error: " : "", error ? error : "");
}

static void print_db(const json_t *db)
{
    const char *path = json_string_value(json_object_get(db, "path"));
    const char *status = json_string_value(json_object_get(db, "status"));
    const char *last = json_string_value(json_object_get(db, "last_sync_at"));
    const char *error = json_string_value(json_object_get(db, "error"));
    const json_t *replicas = json_object_get(db, "replicas");
    char text[WR_TIME_TEXT_MAX];
    int64_t ms;

    if (last && wr_parse_time(wr_str(last), &ms)) {
        wr_format_time_seconds(text, ms);
        last = text;
    }
    (void)printf("%s [%s] (last sync: %s)\n", path ? path : "?", status ? status : "?",
        last ? last : "never");
    if (error)
        (void)printf("  error: %s\n", error);
    for (size_t i = 0; i < json_array_size(replicas); i++)
        print_replica(json_array_get(replicas, i), json_integer_value(json_object_get(db, "txid")));
}

static int print_text(const json_t *answer)
{
    const json_t *dbs = json_object_get(answer, "databases");

    if (!json_is_array(dbs))
        return wr_cli_fail("list failed: the answer has no list of databases", NULL);
    wr_talk_warn_refused(answer);
    if (json_array_size(dbs) == 0)
        (void)printf("No databases configured\n");
    for (size_t i = 0; i < json_array_size(dbs); i++)
        print_db(json_array_get(dbs, i));
    return WR_EXIT_OK;
}

static int run(struct wr_cli *cli, size_t argc, char *const *argv)
{
    return wr_talk_look(cli, &wr_command_list, "/list", print_text, argc, argv);
}

static const char *const synopsis[] = {"[flags]", NULL};
static const char *const examples[] = {
    "-config /etc/litestream.yml", "-socket /run/weir.sock -json", NULL};

const struct wr_command wr_command_list = {
    .name = "list",
    .summary = "list the databases of a running daemon, and how far their replicas are",
    .about = "Ask a running weir replicate for its databases, and how far each replica is.",
    .synopsis = synopsis,
    .examples = examples,
    .flags = flags,
    .run = run,
};
