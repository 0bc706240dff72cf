/*
 * info.c - what a running daemon says about itself.
 */
#include "base/str.h"
#include "cli/talk.h"

static const struct wr_flag flags[] = {
    WR_TALK_FLAGS("for the answer (default 10)"),
    {0},
};

static int print_text(const json_t *answer)
{
    const char *version = json_string_value(json_object_get(answer, "version"));
    const char *started = json_string_value(json_object_get(answer, "started_at"));
    char since[WR_TIME_TEXT_MAX], uptime[WR_SPAN_TEXT_MAX];
    int64_t ms;

    if (!version || !started)
        return wr_cli_fail("info failed: the answer has no version, or no started_at", NULL);
    if (wr_parse_time(wr_str(started), &ms)) {
        wr_format_time_seconds(since, ms);
        started = since;
    }
    wr_span_text(uptime, (double)json_integer_value(json_object_get(answer, "uptime_seconds")));
    (void)printf("weir %s\n  PID:        %lld\n  Uptime:     %s\n  Started at: %s\n"
                 "  Databases:  %lld\n",
        version, (long long)json_integer_value(json_object_get(answer, "pid")), uptime, started,
        (long long)json_integer_value(json_object_get(answer, "database_count")));
    wr_talk_warn_refused(answer);
    return WR_EXIT_OK;
}

static int run(struct wr_cli *cli, size_t argc, char *const *argv)
{
    return wr_talk_look(cli, &wr_command_info, "/info", print_text, argc, argv);
}

static const char *const synopsis[] = {"[flags]", NULL};
static const char *const examples[] = {"-config /etc/litestream.yml", "-json", NULL};

const struct wr_command wr_command_info = {
    .name = "info",
    .summary = "say which daemon is running, and since when",
    .about = "Ask a running weir replicate for its version, process and start.",
    .synopsis = synopsis,
    .examples = examples,
    .flags = flags,
    .run = run,
};
