/*
 * version.c - which version this is.
 */
#include "cli/command.h"

#include <sys/utsname.h>

struct options {
    bool verbose;
};

static const struct wr_flag flags[] = {
    {"verbose", WR_FLAG_BOOL, offsetof(struct options, verbose), NULL,
        "system and library as well"},
    {0},
};

static int run(struct wr_cli *cli, size_t argc, char *const *argv)
{
    struct options o = {0};
    struct utsname u;
    struct wr_args args;
    int code;

    if (!wr_cli_parse(cli, &wr_command_version, argc, argv, &o, &args, &code))
        return code;
    if (!o.verbose) {
        (void)printf("%s\n", weir_version());
        return WR_EXIT_OK;
    }
    (void)printf("Version:  weir %s\nHeader:   %s\n", weir_version(), WEIR_VERSION);
    if (uname(&u) >= 0)
        (void)printf("OS/Arch:  %s/%s\n", u.sysname, u.machine);
    return WR_EXIT_OK;
}

static const char *const synopsis[] = {"[-verbose]", NULL};
static const char *const examples[] = {"-verbose", NULL};

const struct wr_command wr_command_version = {
    .name = "version",
    .summary = "print the version",
    .about = "Print the version.",
    .synopsis = synopsis,
    .examples = examples,
    .flags = flags,
    .run = run,
};
