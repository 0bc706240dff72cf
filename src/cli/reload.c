/*
 * reload.c - the command that has a running daemon read its configuration again, and says what came
 * of it: as SIGHUP, for who wants to know.
 */
#include "cli/talk.h"

#include "cli/table.h"

#define GRACE_MS 5000 /* for the daemon to say that the time is over */

static const struct wr_flag flags[] = {
    WR_TALK_FLAGS("for the reload, last syncs included (default 30)"),
    {0},
};

static size_t count(const json_t *answer, const char *name)
{
    return json_array_size(json_object_get(answer, name));
}

static const char *text_of(const json_t *text)
{
    return json_is_string(text) ? json_string_value(text) : "?";
}

/* "  added     /var/lib/app.db". */
static void print_list(const json_t *answer, const char *name, const char *label)
{
    const json_t *list = json_object_get(answer, name);

    for (size_t i = 0; i < json_array_size(list); i++)
        (void)printf("  %-9s %s\n", label, text_of(json_array_get(list, i)));
}

/* "  changed   /var/lib/app.db (replica.sync-interval)". */
static void print_changed(const json_t *answer)
{
    const json_t *list = json_object_get(answer, "changed");
    const json_t *keys = json_object_get(answer, "changed_keys");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *path = text_of(json_array_get(list, i));
        const char *what = json_string_value(json_object_get(keys, path));

        (void)printf("  %-9s %s%s%s%s\n", "changed", path, what ? " (" : "", what ? what : "",
            what ? ")" : "");
    }
}

static void print_failed(const json_t *answer)
{
    const json_t *list = json_object_get(answer, "failed");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);

        (void)printf("  %-9s %s: %s\n", "failed", text_of(json_object_get(one, "path")),
            text_of(json_object_get(one, "error")));
    }
}

static void print_text(const json_t *answer)
{
    const json_int_t dbs = json_integer_value(json_object_get(answer, "databases"));
    const json_int_t more = json_integer_value(json_object_get(answer, "more"));
    bool none = count(answer, "added") + count(answer, "removed") + count(answer, "changed") +
                    count(answer, "failed") ==
                0;

    (void)printf("reloaded: %lld database%s%s\n", (long long)dbs, dbs == 1 ? "" : "s",
        none ? ", none has changed" : "");
    print_list(answer, "removed", "removed");
    print_changed(answer);
    print_list(answer, "added", "added");
    print_failed(answer);
    if (more > 0)
        (void)printf("  and %lld more\n", (long long)more);
    print_list(answer, "needs_restart", "restart");
    for (size_t i = 0; i < count(answer, "warnings"); i++)
        (void)fprintf(stderr, "Warning: %s\n",
            text_of(json_array_get(json_object_get(answer, "warnings"), i)));
}

/* The answer's part in the exit code: what could not be begun with is tried again, but is not
 * replicated; what could not be synced for the last time is not in the replica. */
static int tell(const struct wr_talk *o, json_t *answer)
{
    size_t failed = count(answer, "failed");
    const json_t *last = json_array_get(json_object_get(answer, "failed"), failed ? failed - 1 : 0);
    bool serve = strcmp(text_of(json_object_get(last, "path")), "serve") == 0;
    char message[80];

    if (!json_is_array(json_object_get(answer, "failed")))
        return wr_cli_fail("reload failed: the answer does not say what has changed", NULL);
    if (o->json) {
        if (!wr_json_print(json_incref(answer)))
            return wr_cli_fail("cannot print as JSON", NULL);
    } else {
        print_text(answer);
    }
    if (failed == 0)
        return WR_EXIT_OK;
    failed -= serve;
    (void)snprintf(message, sizeof(message), "%zu database%s failed%s", failed,
        failed == 1 ? "" : "s", serve ? ", and serve" : "");
    return wr_cli_fail(failed ? message : "serve failed", NULL);
}

static int run(struct wr_cli *cli, size_t argc, char *const *argv)
{
    struct wr_talk o = {.timeout_ms = 30000};
    struct wr_client_request q = {.target = "/reload", .verb = "reload"};
    struct wr_err e = {0};
    struct wr_args args;
    json_t *answer = NULL;
    enum wr_status st;
    int code;

    if (!wr_cli_parse(cli, &wr_command_reload, argc, argv, &o, &args, &code))
        return code;
    if (args.n > 0)
        return wr_cli_fail("too many arguments: all that is in the daemon's file is read", NULL);
    if (!wr_talk_timed(&o) || !wr_talk_find(cli, &o))
        return WR_EXIT_FAILED;
    q.socket = o.socket;
    q.timeout_ms = o.timeout_ms + GRACE_MS;
    q.body = json_pack("{s:f}", "timeout", (double)o.timeout_ms / 1000);
    st = q.body ? wr_client_ask(&q, &answer, &e) : wr_fail(&e, WR_NOMEM, "out of memory");
    json_decref(q.body);
    if (st != WR_OK)
        return wr_cli_fail(e.text, NULL);
    code = tell(&o, answer);
    json_decref(answer);
    return code;
}

static const char *const synopsis[] = {"[flags]", NULL};
static const char *const examples[] = {
    "-config /etc/litestream.yml", "-socket /run/weir.sock", NULL};

const struct wr_command wr_command_reload = {
    .name = "reload",
    .summary = "have a running daemon read its configuration again, and say what has changed",
    .about = "Have a running weir replicate read its configuration file again, as SIGHUP does, and "
             "wait until\n"
             "that is done: what has changed is printed, or why the file was refused.",
    .synopsis = synopsis,
    .examples = examples,
    .flags = flags,
    .run = run,
};
