/*
 * gone.c - commands of Litestream 0.3 that have no counterpart, for scripts that still call them.
 *
 * They fail, since what they print can be had no more, and say what gives the same knowledge.
 */
#include "cli/command.h"

static int gone(const char *name, const char *now)
{
    char message[400];

    (void)snprintf(message, sizeof(message),
        "'%s' was a command of Litestream 0.3, whose replicas had generations; now %s", name, now);
    return wr_cli_fail(message, NULL);
}

static int run_generations(struct wr_cli *cli, size_t argc, char *const *argv)
{
    (void)argc; /* whatever the flags were */
    (void)argv;
    (void)cli;
    return gone("generations",
        "'weir points DB_PATH' lists what can be restored, and what is left of 0.3 as well");
}

static int run_snapshots(struct wr_cli *cli, size_t argc, char *const *argv)
{
    (void)argc;
    (void)argv;
    (void)cli;
    return gone("snapshots", "'weir ltx -level 9 DB_PATH' lists the snapshots, and 'weir points "
                             "DB_PATH' what can be restored");
}

static const struct wr_flag flags[] = {{0}};
static const char *const synopsis[] = {"", NULL};
static const char *const examples[] = {NULL};

const struct wr_command wr_command_generations = {
    .name = "generations",
    .summary = "a command of Litestream 0.3",
    .about = "A command of Litestream 0.3. Now weir points lists what can be restored.",
    .synopsis = synopsis,
    .examples = examples,
    .flags = flags,
    .run = run_generations,
};

const struct wr_command wr_command_snapshots = {
    .name = "snapshots",
    .summary = "a command of Litestream 0.3",
    .about = "A command of Litestream 0.3. Now weir ltx -level 9 lists the snapshots.",
    .synopsis = synopsis,
    .examples = examples,
    .flags = flags,
    .run = run_snapshots,
};
