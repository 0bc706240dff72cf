/*
 * change.c - see change.h: the request, and what is printed of the answer.
 *
 * Paths are made absolute here: the daemon has another working directory.
 */
#include "cli/change.h"
#include "base/clock.h"
#include "cli/table.h"
#include "daemon/expand.h"

/* The daemon's own time runs out first, so that its answer, which says what was done, arrives. */
#define GRACE_MS 5000

/* The text of a status, which register gives in words. */
static void print_field(const char *name, const json_t *value)
{
    const char *text = json_string_value(value);

    if (json_is_true(value))
        (void)printf("%s: true\n", name);
    else if (!text)
        (void)printf("%s: %lld\n", name, (long long)json_integer_value(value));
    else if (wr_str_eq(wr_str(text), WR_STR("already_registered")))
        (void)printf("%s: already registered\n", name);
    else
        (void)printf("%s: %s\n", name, text);
}

static json_t *field_value(struct wr_cli *cli, const struct wr_change_field *f,
    const struct wr_talk *o, json_t *answer, int64_t took_ms)
{
    switch (f->source) {
    case WR_FROM_ANSWER:
    case WR_FROM_WAITING:
    case WR_FROM_PERSIST:
    case WR_FROM_SNAPSHOT:
        return json_incref(json_object_get(answer, f->what));
    case WR_FROM_TABLE:
        return json_string(f->what);
    case WR_FROM_SOCKET:
        return json_string(o->socket);
    case WR_FROM_REPLICA:
        return json_string(wr_cli_url(cli, o->replica));
    case WR_FROM_CLOCK:
        return json_integer((json_int_t)took_ms);
    }
    return NULL;
}

/* The flag without which there would be no such field; NULL: it is always there. */
static const char *flag_of(const struct wr_change_field *f)
{
    return f->source == WR_FROM_SNAPSHOT  ? "snapshot"
           : f->source == WR_FROM_PERSIST ? "persist"
                                          : NULL;
}

/* A daemon that does not know of a flag leaves it out of account, and does the rest. Who waits for
 * what never comes wants to know which daemon that is. */
static void fail_unknown_flag(const struct wr_change *c, const struct wr_talk *o, const char *flag)
{
    const struct wr_client_request q = {
        .socket = o->socket, .target = "/info", .verb = "info", .timeout_ms = GRACE_MS};
    char which[128] = "", message[WR_ERR_MAX];
    struct wr_err none = {0};
    json_t *info = NULL;
    const char *version;

    if (wr_client_ask(&q, &info, &none) != WR_OK) /* it is said without that */
        info = NULL;
    version = json_string_value(json_object_get(info, "version"));
    if (version)
        (void)snprintf(which, sizeof(which), " (version %.40s, process %lld)", version,
            (long long)json_integer_value(json_object_get(info, "pid")));
    json_decref(info);
    (void)snprintf(message, sizeof(message),
        "%s failed: the daemon on %.110s%s does not know -%s, and did only the rest of what was "
        "asked: restart it with this version, %s",
        c->cmd->name, o->socket, which, flag, weir_version());
    (void)wr_cli_fail(message, NULL);
}

/* What is printed, in order; NULL after "Error: ...". */
static json_t *describe(struct wr_cli *cli, const struct wr_change *c, const struct wr_talk *o,
    json_t *answer, int64_t took_ms)
{
    json_t *out = json_object();
    char message[200];

    for (const struct wr_change_field *f = c->fields; f->name; f++) {
        json_t *value;

        if ((f->source == WR_FROM_WAITING && !o->wait) ||
            (f->source == WR_FROM_PERSIST && !o->persist) ||
            (f->source == WR_FROM_SNAPSHOT && !o->snapshot))
            continue;
        value = field_value(cli, f, o, answer, took_ms);
        if ((json_is_string(value) || json_is_integer(value) || json_is_true(value)) &&
            json_object_set(out, f->name, value) == 0) {
            json_decref(value);
            continue;
        }
        if (!value && flag_of(f)) {
            fail_unknown_flag(c, o, flag_of(f));
        } else {
            (void)snprintf(message, sizeof(message),
                "%s failed: the answer has no %s that can be printed", c->cmd->name,
                f->what ? f->what : f->name);
            (void)wr_cli_fail(message, NULL);
        }
        json_decref(value);
        json_decref(out);
        return NULL;
    }
    return out;
}

static int print(struct wr_cli *cli, const struct wr_change *c, const struct wr_talk *o,
    json_t *answer, int64_t took_ms)
{
    json_t *out = describe(cli, c, o, answer, took_ms), *value;
    const char *name;

    if (!out)
        return WR_EXIT_FAILED;
    if (o->json)
        return wr_json_print(out) ? WR_EXIT_OK : wr_cli_fail("cannot print as JSON", NULL);
    json_object_foreach(out, name, value) print_field(name, value);
    json_decref(out);
    return WR_EXIT_OK;
}

/* A whole number where it is one: Litestream's daemon knows no other. */
static json_t *seconds(int64_t ms)
{
    return ms % 1000 ? json_real((double)ms / 1000) : json_integer((json_int_t)(ms / 1000));
}

/* NULL: a text is not UTF-8, or out of memory. */
static json_t *request(const struct wr_talk *o, const char *path)
{
    json_t *body = json_pack("{s:s}", "path", path);
    bool ok = body != NULL;

    if (o->replica)
        ok = ok && json_object_set_new(body, "replica_url", json_string(o->replica)) == 0;
    if (o->persist)
        ok = ok && json_object_set_new(body, "persist", json_true()) == 0;
    if (o->wait)
        ok = ok && json_object_set_new(body, "wait", json_true()) == 0;
    if (o->snapshot)
        ok = ok && json_object_set_new(body, "snapshot", json_true()) == 0;
    if (o->txid)
        ok = ok && json_object_set_new(body, "txid", json_integer((json_int_t)o->txid)) == 0;
    if (o->timeout_ms > 0)
        ok = ok && json_object_set_new(body, "timeout", seconds(o->timeout_ms)) == 0;
    if (ok)
        return body;
    json_decref(body);
    return NULL;
}

/* Ask, and print the answer. */
static int ask(
    struct wr_cli *cli, const struct wr_change *c, const struct wr_talk *o, const char *path)
{
    struct wr_client_request q = {
        .socket = o->socket, .target = c->target, .verb = c->cmd->name, .body = request(o, path)};
    int64_t start_ms = wr_mono_ms(wr_clock_system());
    struct wr_err e = {0};
    json_t *answer = NULL;
    enum wr_status st;
    int code;

    if (!q.body)
        return wr_cli_fail("cannot ask: the path or the URL is not UTF-8", NULL);
    if (o->timeout_ms > 0)
        q.timeout_ms = o->timeout_ms + GRACE_MS;
    st = wr_client_ask(&q, &answer, &e);
    json_decref(q.body);
    if (st != WR_OK) {
        (void)wr_cli_fail(e.text, NULL);
        return st == WR_TIMEOUT && (c->waits || o->wait || o->snapshot) ? WR_EXIT_NOT_SYNCED
                                                                        : WR_EXIT_FAILED;
    }
    code = print(cli, c, o, answer, wr_mono_ms(wr_clock_system()) - start_ms);
    json_decref(answer);
    return code;
}

/* Unregister is the one that can be tried: what it would ask, without asking. */
static int preview(const struct wr_talk *o, const char *path)
{
    char timeout[WR_SPAN_TEXT_MAX];

    wr_span_text(timeout, (double)o->timeout_ms / 1000);
    if (o->json)
        return wr_json_print(json_pack("{s:s, s:s, s:s, s:f}", "status", "dry_run", "db_path", path,
                   "socket", o->socket, "timeout_seconds", (double)o->timeout_ms / 1000))
                   ? WR_EXIT_OK
                   : wr_cli_fail("cannot print as JSON", NULL);
    (void)printf("Dry run: unregister request preview\n"
                 "  database: %s\n"
                 "  socket: %s\n"
                 "  replicas: daemon-managed replica for this database\n"
                 "  final sync: yes, before it is forgotten\n"
                 "  timeout: %s\n"
                 "No unregister request was sent.\n",
        path, o->socket, timeout);
    return WR_EXIT_OK;
}

int wr_change_run(struct wr_cli *cli, const struct wr_change *c, size_t argc, char *const *argv)
{
    bool registers = c->cmd == &wr_command_register;
    struct wr_talk o = {.timeout_ms = 30000};
    struct wr_err e = {0};
    struct wr_args args;
    char example[128];
    const char *path;
    int code;

    (void)snprintf(example, sizeof(example), "%.40s %s %s/path/to/db", cli->program, c->cmd->name,
        registers ? "-replica s3://bucket/prefix " : "");
    if (!wr_cli_parse(cli, c->cmd, argc, argv, &o, &args, &code))
        return code;
    if (args.n == 0)
        return wr_cli_fail("database path required", example);
    if (args.n > 1)
        return wr_cli_fail("too many arguments", NULL);
    if (registers && (!o.replica || !o.replica[0]))
        return wr_cli_fail("-replica is required", example);
    if (!(c->untimed && o.timeout_ms <= 0) && !wr_talk_timed(&o))
        return WR_EXIT_FAILED;
    if (wr_expand_path(cli->arena, wr_str(args.positional[0]), &path, &e) != WR_OK)
        return wr_cli_fail(e.text, NULL);
    if (!wr_talk_find(cli, &o))
        return WR_EXIT_FAILED;
    return o.dry_run ? preview(&o, path) : ask(cli, c, &o, path);
}
