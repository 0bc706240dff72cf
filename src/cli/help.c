/*
 * help.c - the table of commands and what they print about themselves.
 */
#include "cli/command.h"

#include "base/nearest.h"

const struct wr_command_group wr_command_groups[] = {
    {"Commands", {&wr_command_replicate, &wr_command_run, &wr_command_restore, &wr_command_promote,
                     &wr_command_version}},
    {"What a replica holds",
        {&wr_command_points, &wr_command_ltx, &wr_command_verify, &wr_command_retention}},
    {"This machine",
        {&wr_command_check, &wr_command_databases, &wr_command_status, &wr_command_reset}},
    {"A running replicate",
        {&wr_command_list, &wr_command_info, &wr_command_reload, &wr_command_sync, &wr_command_wait,
            &wr_command_start, &wr_command_stop, &wr_command_register, &wr_command_unregister}},
    {0},
};

/* Nobody is told of these. */
static const struct wr_command *const hidden[] = {
    &wr_command_generations,
    &wr_command_snapshots,
    &wr_command_completion,
};

static bool is_called(const struct wr_command *cmd, struct wr_str name)
{
    return wr_str_eq(name, wr_str(cmd->name)) ||
           (cmd->alias && wr_str_eq(name, wr_str(cmd->alias)));
}

const struct wr_command *wr_command_find(const char *name)
{
    struct wr_str s = wr_str(name);

    for (const struct wr_command_group *g = wr_command_groups; g->heading; g++)
        for (size_t i = 0; g->commands[i]; i++)
            if (is_called(g->commands[i], s))
                return g->commands[i];
    for (size_t i = 0; i < wr_countof(hidden); i++)
        if (is_called(hidden[i], s))
            return hidden[i];
    return NULL;
}

const char *wr_command_nearest(const char *name)
{
    struct wr_nearest near;

    wr_nearest_init(&near, wr_str(name));
    for (const struct wr_command_group *g = wr_command_groups; g->heading; g++)
        for (size_t i = 0; g->commands[i]; i++)
            wr_nearest_offer(&near, g->commands[i]->name);
    wr_nearest_offer(&near, "help");
    return wr_nearest_get(&near);
}

void wr_help_program(const struct wr_cli *cli)
{
    (void)printf("%s replicates SQLite databases to object storage, and restores them.\n\n"
                 "Usage:\n\n  %s COMMAND [flags] [arguments]\n",
        cli->program, cli->program);
    for (const struct wr_command_group *g = wr_command_groups; g->heading; g++) {
        (void)printf("\n%s:\n\n", g->heading);
        for (size_t i = 0; g->commands[i]; i++)
            (void)printf("  %-11s  %s\n", g->commands[i]->name, g->commands[i]->summary);
        if (g == wr_command_groups)
            (void)printf("  %-11s  %s\n", "help", "explain a command: help COMMAND");
    }
    (void)printf("\nExample:\n\n"
                 "  %s replicate /var/lib/app.db s3://bucket/app\n"
                 "  %s restore -o /var/lib/app.db s3://bucket/app\n",
        cli->program, cli->program);
}

static const char *flag_value(const struct wr_flag *f)
{
    return f->value ? f->value : "";
}

void wr_help_command(const struct wr_cli *cli, const struct wr_command *cmd)
{
    size_t width = 0;

    for (const struct wr_flag *f = cmd->flags; f->name; f++)
        width = wr_max(width, strlen(f->name) + 1 + strlen(flag_value(f)));
    (void)printf("%s\n\nUsage:\n\n", cmd->about);
    for (size_t i = 0; cmd->synopsis[i]; i++)
        (void)printf("  %s %s %s\n", cli->program, cmd->name, cmd->synopsis[i]);
    if (cmd->flags->name)
        (void)printf("\nFlags:\n\n");
    for (const struct wr_flag *f = cmd->flags; f->name; f++) {
        const char *value = flag_value(f);

        (void)printf("  -%s %s%*s  %s\n", f->name, value,
            (int)(width - strlen(f->name) - 1 - strlen(value)), "", f->help);
    }
    if (cmd->examples[0])
        (void)printf("\nExample:\n\n");
    for (size_t i = 0; cmd->examples[i]; i++)
        (void)printf("  %s %s %s\n", cli->program, cmd->name, cmd->examples[i]);
}
