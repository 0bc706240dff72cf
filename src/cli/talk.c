/*
 * talk.c - see talk.h.
 */
#include "cli/talk.h"
#include "cli/table.h"

bool wr_talk_find(struct wr_cli *cli, struct wr_talk *o)
{
    const struct wr_config *c;

    if (o->socket && o->socket[0])
        return true;
    o->socket = WR_SOCKET_PATH_DEFAULT;
    /* Without -config no file is read: whoever may use the socket need not be able to read that. */
    if (!o->config)
        return true;
    c = wr_cli_config(cli, o->config, !o->no_expand_env, WR_CLI_DIRS_UNSEEN);
    if (c)
        o->socket = c->socket.path;
    return c != NULL;
}

bool wr_talk_timed(const struct wr_talk *o)
{
    if (o->timeout_ms <= 0)
        (void)wr_cli_fail("timeout must be greater than 0", NULL);
    return o->timeout_ms > 0;
}

int wr_talk_look(struct wr_cli *cli, const struct wr_command *cmd, const char *target,
    int (*print)(const json_t *answer), size_t argc, char *const *argv)
{
    struct wr_talk o = {.timeout_ms = 10000};
    struct wr_client_request q = {.target = target, .verb = cmd->name};
    struct wr_err e = {0};
    struct wr_args args;
    json_t *answer;
    int code;

    if (!wr_cli_parse(cli, cmd, argc, argv, &o, &args, &code))
        return code;
    if (args.n > 0)
        return wr_cli_fail("too many arguments", NULL);
    if (!wr_talk_timed(&o) || !wr_talk_find(cli, &o))
        return WR_EXIT_FAILED;
    q.socket = o.socket;
    q.timeout_ms = o.timeout_ms;
    if (wr_client_ask(&q, &answer, &e) != WR_OK)
        return wr_cli_fail(e.text, NULL);
    if (o.json)
        return wr_json_print(answer) ? WR_EXIT_OK : wr_cli_fail("cannot print as JSON", NULL);
    code = print(answer);
    json_decref(answer);
    return code;
}

void wr_talk_warn_refused(const json_t *answer)
{
    const json_t *refused = json_object_get(answer, "reload_refused");
    const char *at = json_string_value(json_object_get(refused, "at"));
    const char *error = json_string_value(json_object_get(refused, "error"));
    char text[WR_TIME_TEXT_MAX];
    int64_t ms;

    if (!json_is_object(refused))
        return;
    if (at && wr_parse_time(wr_str(at), &ms)) {
        wr_format_time_seconds(text, ms);
        at = text;
    }
    (void)fprintf(stderr,
        "Warning: the daemon refused the configuration at %s and goes on with the one before: %s\n",
        at ? at : "?", error ? error : "?");
}

void wr_span_text(char out[WR_SPAN_TEXT_MAX], double seconds)
{
    double most = 1e12, tenths = wr_min(wr_max(seconds, 0.0), most) * 10;
    long long t = (long long)(tenths + 0.5), s = t / 10;

    if (t < 100 && t % 10)
        (void)snprintf(out, WR_SPAN_TEXT_MAX, "%lld.%llds", s, t % 10); /* these all fit */
    else if (s < 60)
        (void)snprintf(out, WR_SPAN_TEXT_MAX, "%llds", s);
    else if (s < 3600)
        (void)snprintf(out, WR_SPAN_TEXT_MAX, "%lldm%llds", s / 60, s % 60);
    else
        (void)snprintf(out, WR_SPAN_TEXT_MAX, "%lldh%lldm%llds", s / 3600, s / 60 % 60, s % 60);
}
