/*
 * served.c - see served.h.
 */
#include "cli/served.h"

static int exit_code(const struct wr_served *r, bool stands_for_child)
{
    if (r->child_exit)
        return r->child_exit;
    if (r->child_trouble == WR_CHILD_MISSING && stands_for_child)
        return WR_EXIT_NO_COMMAND;
    if (r->child_trouble == WR_CHILD_UNUSABLE && stands_for_child)
        return WR_EXIT_BAD_COMMAND;
    switch (r->code) {
    case WEIR_BUSY:
        return WR_EXIT_BUSY;
    case WEIR_CONFLICT:
        return WR_EXIT_CONFLICT;
    case WEIR_OK:
    case WEIR_AUTH:
    case WEIR_CORRUPT:
        return wr_cli_exit_code(r->code);
    default:
        return r->step == WR_SERVE_START || r->step == WR_SERVE_HISTORY ? WR_EXIT_FAILED
                                                                        : WR_EXIT_NOT_SYNCED;
    }
}

struct wr_config *wr_cli_adhoc(struct wr_cli *cli, const char *db_path, const char *const *urls,
    size_t n, const char *sync_interval)
{
    struct wr_config *c = NULL;
    struct wr_err e = {0};
    char message[256];
    int64_t ns;

    if (sync_interval && (!wr_parse_duration(wr_str(sync_interval), &ns) || ns < 0)) {
        (void)snprintf(message, sizeof(message),
            "-sync-interval must be a duration such as 1s, or 0 for at once: %.100s",
            sync_interval);
        (void)wr_cli_fail(message, NULL);
        return NULL;
    }
    if (wr_config_adhoc(cli->arena, db_path, urls, n, sync_interval, &c, &e) == WR_OK)
        return c;
    (void)wr_cli_fail(e.text, NULL);
    return NULL;
}

bool wr_cli_log_to(struct wr_cli *cli, int fd, const struct wr_config *c, const char *level_flag)
{
    const char *env = getenv("LOG_LEVEL");
    int level = WEIR_LOG_INFO;

    if (level_flag)
        level = wr_config_log_level(level_flag);
    else if (env && env[0])
        level = wr_config_log_level(env);
    else if (c->logging.level)
        level = wr_config_log_level(c->logging.level);
    /* The child inherits the level, as one that replicates itself may expect. */
    if (level_flag && setenv("LOG_LEVEL", level_flag, 1) != 0) {
        (void)wr_cli_fail("cannot set LOG_LEVEL", NULL);
        return false;
    }
    wr_logger_release(&cli->log);
    wr_logger_init(&cli->log, fd, c->logging.format, level);
    return true;
}

int wr_cli_serve(struct wr_cli *cli, const struct wr_config *c, const struct wr_serve_options *o)
{
    struct wr_serve_options own = *o;
    struct wr_served result;

    own.child_descriptors = cli->descriptors;
    wr_say(&cli->log, WEIR_LOG_INFO, cli->program, WR_F_Z("version", weir_version()),
        WR_F_U64("dbs", c->ndbs));
    wr_serve(c, &own, &cli->log, cli->arena, &result);
    if (result.code != WEIR_OK)
        (void)wr_cli_fail(result.message, NULL);
    return exit_code(&result, o->argv != NULL);
}
