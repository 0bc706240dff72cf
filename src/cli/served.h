/*
 * served.h - what the commands that replicate share: how they log, and what their end means.
 */
#ifndef WR_CLI_SERVED_H
#define WR_CLI_SERVED_H

#include "cli/command.h"
#include "daemon/serve.h"

/* One database and the replicas that the arguments name; NULL after "Error: ...". `sync_interval`
 * may be NULL. */
struct wr_config *wr_cli_adhoc(struct wr_cli *cli, const char *db_path, const char *const *urls,
    size_t n, const char *sync_interval);

/* From here on records go to `fd`, in the form that the configuration says and from the level on
 * that the flag (NULL: not given), the environment or the configuration says, in this order. A flag
 * is passed on to children. False after "Error: ...". */
bool wr_cli_log_to(
    struct wr_cli *cli, int fd, const struct wr_config *c, const char *level_flag) WR_MUST_CHECK;

/* Replicate, and print what went wrong. The exit code. */
int wr_cli_serve(struct wr_cli *cli, const struct wr_config *c, const struct wr_serve_options *o);

#endif
