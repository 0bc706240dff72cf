/*
 * run_command.h - one command in this process: what it prints, where, and its exit code.
 *
 * Included by one file of a test program.
 */
#ifndef WR_TEST_RUN_COMMAND_H
#define WR_TEST_RUN_COMMAND_H

#include "cli/command.h"
#include "harness/t.h"

#include <fcntl.h>
#include <unistd.h>

static char out[16384], err[16384]; /* what the last command printed */
static const char *dir;             /* to be set: where that may be caught */
static void (*before_run)(void);    /* NULL: nothing */

static void take(const char *path, char *text, size_t size)
{
    struct wr_bytes b = t_slurp(path);

    T(b.n < size);
    if (b.n)
        memcpy(text, b.p, b.n);
    text[b.n] = 0;
}

static int redirect(int fd, const char *path)
{
    int saved = dup(fd), file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

    T(saved >= 0 && file >= 0 && dup2(file, fd) == fd && close(file) == 0);
    return saved;
}

/* Run a command with a NULL-terminated list of arguments; its exit code. */
static int run(const struct wr_command *cmd, const char *const *list)
{
    const char *out_path = t_path(dir, "out"), *err_path = t_path(dir, "err");
    static char copies[16][1024], *argv[17];
    struct wr_arena arena;
    struct wr_cli cli = {.arena = &arena, .program = "weir"};
    int saved_out, saved_err, code;
    size_t argc = 0;

    for (; list[argc]; argc++) {
        (void)snprintf(copies[argc], sizeof(copies[argc]), "%s", list[argc]);
        argv[argc] = copies[argc];
    }
    argv[argc] = NULL;
    if (before_run)
        before_run();
    T(fflush(stdout) == 0);
    saved_out = redirect(STDOUT_FILENO, out_path);
    saved_err = redirect(STDERR_FILENO, err_path);
    wr_arena_init(&arena, WR_ARENA_MAX);
    wr_logger_init(&cli.log, STDERR_FILENO, WR_LOG_FORMAT_TEXT, WEIR_LOG_WARN);
    code = cmd->run(&cli, argc, argv);
    wr_logger_release(&cli.log);
    wr_arena_release(&arena);
    (void)fflush(stdout);
    (void)fflush(stderr);
    (void)dup2(saved_out, STDOUT_FILENO);
    (void)dup2(saved_err, STDERR_FILENO);
    (void)close(saved_out);
    (void)close(saved_err);
    take(out_path, out, sizeof(out));
    take(err_path, err, sizeof(err));
    return code;
}

#define RUN(cmd, ...) run(&wr_command_##cmd, (const char *const[]){__VA_ARGS__, NULL})

#define EXPECT(want_code, want_out, want_err, call) \
    do {                                            \
        int code_ = (call);                         \
        assert_string_equal(err, want_err);         \
        assert_string_equal(out, want_out);         \
        assert_int_equal(code_, want_code);         \
    } while (0)

#endif
