/*
 * command.c - what commands have in common: flags, errors, configuration, the library.
 */
#include "cli/command.h"
#include "base/url.h"
#include "daemon/dirs.h"
#include "daemon/doc.h"
#include "daemon/signals.h"

bool wr_cli_parse(struct wr_cli *cli, const struct wr_command *cmd, size_t argc, char *const *argv,
    void *options, struct wr_args *ret, int *ret_exit)
{
    struct wr_err e = {0};
    enum wr_status st;

    ret->positional = wr_arena_array(cli->arena, argc + 1, sizeof(char *));
    if (!ret->positional) {
        *ret_exit = wr_cli_fail("out of memory", NULL);
        return false;
    }
    st = wr_args_parse(cmd->flags, argc, argv, wr_wall_ms(wr_clock_system()), options, ret, &e);
    if (st != WR_OK) {
        *ret_exit = wr_cli_fail(e.text, NULL);
        (void)fprintf(stderr, "Try: %s %s -h\n", cli->program, cmd->name);
        return false;
    }
    if (ret->help) {
        wr_help_command(cli, cmd);
        *ret_exit = WR_EXIT_OK;
        return false;
    }
    return true;
}

int wr_cli_fail(const char *message, const char *try_this)
{
    (void)fprintf(stderr, "Error: %s\n", message);
    if (try_this)
        (void)fprintf(stderr, "Try: %s\n", try_this);
    return WR_EXIT_FAILED;
}

int wr_cli_exit_code(int code)
{
    switch (code) {
    case WEIR_OK:
        return WR_EXIT_OK;
    case WEIR_AUTH:
        return WR_EXIT_AUTH;
    case WEIR_CORRUPT:
        return WR_EXIT_CORRUPT;
    default:
        return WR_EXIT_FAILED;
    }
}

struct wr_config *wr_cli_config(
    struct wr_cli *cli, const char *path, bool expand_env, enum wr_cli_dirs dirs)
{
    struct wr_config *c = NULL;
    struct wr_err e = {0};
    enum wr_status st = wr_config_load(cli->arena, path, expand_env, &c, &e);

    if (st == WR_OK && dirs != WR_CLI_DIRS_UNSEEN)
        st = wr_dirs_expand(cli->arena, c, false,
            dirs == WR_CLI_DIRS_SHOWN ? WR_DIRS_LENIENT : WR_DIRS_STRICT, NULL, &e);
    for (const struct wr_warning *w = c ? c->warnings : NULL; w; w = w->next)
        (void)fprintf(stderr, "Warning: %s\n", w->text);
    if (st == WR_OK)
        return c;
    (void)wr_cli_fail(e.text, NULL);
    return NULL;
}

weir *wr_cli_open(struct wr_cli *cli)
{
    const weir_options opt = {
        .struct_size = sizeof(opt),
        .log_level = cli->log.level,
        .log = wr_logger_write,
        .log_arg = &cli->log,
    };
    weir_error err = {0};
    weir *w = NULL;

    if (weir_open(&opt, &w, &err) != WEIR_OK) {
        (void)wr_cli_fail(err.message, NULL);
        return NULL;
    }
    return w;
}

int wr_cli_run(struct wr_cli *cli, wr_cli_work_fn *fn, void *arg)
{
    struct wr_signals signals;
    struct wr_err e = {0};
    weir_cancel *cancel = weir_cancel_new();
    int code = WR_EXIT_FAILED;
    weir *w;

    if (!cancel)
        return wr_cli_fail("out of memory", NULL);
    if (wr_signals_start(&signals, cancel, WR_EXIT_FAILED, &e) != WR_OK) {
        weir_cancel_free(cancel);
        return wr_cli_fail(e.text, NULL);
    }
    w = wr_cli_open(cli);
    if (w)
        code = fn(arg, w, cancel);
    (void)weir_close(w, 0, NULL); /* nothing is being replicated */
    wr_signals_stop(&signals);
    weir_cancel_free(cancel);
    return code;
}

static bool target_url(struct wr_cli *cli, const char *url, struct wr_target *ret)
{
    struct wr_config *c = NULL;
    struct wr_err e = {0};

    /* The path is none that anybody uses: only the replica of this configuration is. */
    if (wr_config_adhoc(cli->arena, "/", &url, 1, NULL, &c, &e) != WR_OK) {
        (void)wr_cli_fail(e.text, NULL);
        return false;
    }
    *ret =
        (struct wr_target){.settings = c->dbs[0].settings, .replicas = c->dbs[0].replicas, .n = 1};
    return true;
}

bool wr_cli_one(const struct wr_command *cmd, const struct wr_args *args)
{
    char example[100];

    (void)snprintf(example, sizeof(example), "weir %.50s /path/to/db", cmd->name);
    if (args->n == 0)
        (void)wr_cli_fail("database path or replica URL required", example);
    else if (args->n > 1)
        (void)wr_cli_fail("too many arguments", NULL);
    return args->n == 1;
}

bool wr_cli_target(struct wr_cli *cli, const char *arg, const char *config_path, bool expand_env,
    struct wr_target *ret)
{
    const struct wr_config_db *db;
    struct wr_config *c;
    struct wr_err e = {0};
    struct wr_str s = wr_str(arg);
    bool is_db = wr_str_starts(s, WR_STR("sqlite://")) || wr_str_starts(s, WR_STR("sqlite3://"));

    if (wr_url_is(s) && !is_db) {
        if (config_path) {
            (void)wr_cli_fail("cannot specify a replica URL and the -config flag", NULL);
            return false;
        }
        return target_url(cli, arg, ret);
    }
    c = wr_cli_config(cli, config_path, expand_env, WR_CLI_DIRS_UNSEEN);
    if (!c)
        return false;
    if (wr_config_find(cli->arena, c, arg, &db, &e) != WR_OK) {
        (void)wr_cli_fail(e.text, NULL);
        return false;
    }
    *ret = (struct wr_target){.db_path = db->path,
        .settings = db->settings,
        .replicas = db->replicas,
        .n = db->nreplicas,
        .source = db->source};
    return true;
}

const char *wr_cli_url(struct wr_cli *cli, const char *url)
{
    struct wr_str r = wr_url_redact(cli->arena, wr_str(url));

    r = r.p ? wr_arena_str(cli->arena, r) : r;
    return r.p ? r.p : "?";
}

const char *wr_cli_shown(struct wr_arena *a, const char *text)
{
    size_t n = text ? strlen(text) : 0, length;
    char *copy = text ? wr_arena_alloc(a, n + 1) : NULL;

    for (size_t i = 0; copy && i < n; i += wr_max(length, (size_t)1)) {
        length = wr_utf8_length((const unsigned char *)text + i, n - i);
        copy[i] = '?';
        memcpy(copy + i, text + i, length);
    }
    if (copy)
        copy[n] = '\0';
    return copy;
}
