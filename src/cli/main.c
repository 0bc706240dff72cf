/*
 * main.c - find the command and run it.
 */
#include <features.h>
#ifdef __GLIBC__
#include <malloc.h> /* before base.h, which poisons what it declares */
#endif

#include "cli/command.h"

#include "base/mutant.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

/* The original's variables for keys, for configurations that rely on them. */
static bool copy_env(const char *from, const char *to)
{
    const char *value = getenv(from);

    return !value || getenv(to) || setenv(to, value, 1) == 0;
}

/* Whoever read our output has seen enough, as head(1): then we end as other programs do. */
static void end_of_pipe(void)
{
    const struct sigaction usual = {.sa_handler = SIG_DFL};

    if (sigaction(SIGPIPE, &usual, NULL) == 0)
        (void)raise(SIGPIPE); /* or what follows is an error like others */
}

/* A peer that is gone and a file at its size limit come back as errors of the write. */
static bool ignore_write_signals(void)
{
    const struct sigaction ignored = {.sa_handler = SIG_IGN};

    return sigaction(SIGPIPE, &ignored, NULL) == 0 && sigaction(SIGXFSZ, &ignored, NULL) == 0;
}

/* Each open database takes eight descriptors, and the usual limit is 1,024. What select() needed
 * that for is not used here; a child that uses it gets the limit that there was, which is returned.
 */
static uint64_t raise_descriptors(void)
{
    struct rlimit limit;
    rlim_t was;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    was = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* else fewer databases are held open */
    return (uint64_t)was;
}

#ifdef WR_MUTANTS
/* In a build whose tests must fail. */
static bool be_mutant(const char *name)
{
    return !name || wr_mutant_choose(name);
}
#endif

/* One heap for all threads, and freed memory back to the system: with glibc's defaults each thread
 * keeps a heap of its own, and a daemon that should be small is a fifth larger. */
static void tune_heap(void)
{
#ifdef __GLIBC__
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_MMAP_THRESHOLD, 64 * 1024);
    (void)mallopt(M_TRIM_THRESHOLD, 128 * 1024);
#endif
}

/* What we were called, without directories; "weir" if that is no name for a person. */
static const char *program_name(const char *argv0)
{
    const char *slash = argv0 ? strrchr(argv0, '/') : NULL;
    const char *base = slash ? slash + 1 : argv0;

    return base && base[0] ? base : "weir";
}

static int unknown_command(const struct wr_cli *cli, const char *name)
{
    char message[200];
    const char *best = wr_command_nearest(name);

    (void)snprintf(message, sizeof(message), "%s %.100s: unknown command%s%s%s", cli->program, name,
        best ? " (did you mean " : "", best ? best : "", best ? "?)" : "");
    return wr_cli_fail(message, NULL);
}

static int flag_first(const struct wr_cli *cli, const char *flag)
{
    char message[200], help[64];

    (void)snprintf(message, sizeof(message), "the command comes before its flags: %.100s", flag);
    (void)snprintf(help, sizeof(help), "%.50s help", cli->program);
    return wr_cli_fail(message, help);
}

static int run_help(const struct wr_cli *cli, const char *name)
{
    const struct wr_command *cmd;

    if (!name) {
        wr_help_program(cli);
        return WR_EXIT_OK;
    }
    cmd = wr_command_find(name);
    if (!cmd)
        return unknown_command(cli, name);
    wr_help_command(cli, cmd);
    return WR_EXIT_OK;
}

static bool is_help(const char *arg)
{
    struct wr_str s = wr_str(arg);

    return wr_str_eq(s, WR_STR("help")) || wr_str_eq(s, WR_STR("-h")) ||
           wr_str_eq(s, WR_STR("-help")) || wr_str_eq(s, WR_STR("--help"));
}

static int run(struct wr_cli *cli, size_t argc, char *const *argv)
{
    const struct wr_command *cmd;

    if (argc >= 2 && is_help(argv[1]))
        return run_help(cli, argc > 2 ? argv[2] : NULL);
    if (argc >= 2 && (wr_str_eq(wr_str(argv[1]), WR_STR("--version")) ||
                         wr_str_eq(wr_str(argv[1]), WR_STR("-version"))))
        return wr_command_version.run(cli, 0, argv);
    if (argc < 2) {
        wr_help_program(cli);
        return WR_EXIT_FAILED;
    }
    if (argv[1][0] == '-')
        return flag_first(cli, argv[1]);
    cmd = wr_command_find(argv[1]);
    if (!cmd)
        return unknown_command(cli, argv[1]);
    if (cmd->alias && wr_str_eq(wr_str(cmd->alias), wr_str(argv[1])))
        (void)fprintf(stderr, "Warning: '%s' command is deprecated, please use '%s' instead\n",
            cmd->alias, cmd->name);
    return cmd->run(cli, argc - 2, argv + 2);
}

int main(int argc, char **argv)
{
    struct wr_arena arena;
    struct wr_cli cli = {.arena = &arena, .program = program_name(argc ? argv[0] : NULL)};
    const char *level = getenv("LOG_LEVEL");
    int code;

    tune_heap();
#ifdef WR_MUTANTS
    if (!be_mutant(getenv("WEIR_MUTANT")))
        return wr_cli_fail("WEIR_MUTANT: no such bug, see src/base/mutant.h", NULL);
#endif
    cli.descriptors = raise_descriptors();
    if (!copy_env("LITESTREAM_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID") ||
        !copy_env("LITESTREAM_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY"))
        return wr_cli_fail("cannot set environment variables", NULL);
    if (getenv("LITESTREAM_S3_DEBUG"))
        (void)fprintf(stderr,
            "Warning: LITESTREAM_S3_DEBUG has no effect: with LOG_LEVEL=debug there is a record of "
            "each request\n");
    if (!ignore_write_signals())
        return wr_cli_fail("cannot set up signals", NULL);
    wr_arena_init(&arena, WR_ARENA_MAX);
    wr_logger_init(&cli.log, STDERR_FILENO, WR_LOG_FORMAT_TEXT,
        level && level[0] ? wr_config_log_level(level) : WEIR_LOG_INFO);
    code = run(&cli, (size_t)argc, argv);
    wr_logger_release(&cli.log);
    wr_arena_release(&arena);
    /* A full disk behind a redirected listing shows only here. */
    errno = 0;
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == WR_EXIT_OK) {
        if (errno == EPIPE)
            end_of_pipe();
        code = wr_cli_fail("cannot write to standard output", NULL);
    }
    return code;
}
