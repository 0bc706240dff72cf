/*
 * talk.h - what the commands share that talk to a running daemon.
 */
#ifndef WR_CLI_TALK_H
#define WR_CLI_TALK_H

#include "cli/client.h"
#include "cli/command.h"

/* The options of all of them; each has flags for those that mean something to it. */
struct wr_talk {
    const char *socket, *config;
    int64_t timeout_ms;
    bool json, no_expand_env;
    bool wait, snapshot, dry_run, persist;
    const char *replica;
    uint64_t txid; /* 0: none */
};

/* Entries of a table of flags. */
#define WR_TALK_FLAGS(timeout_text)                                                         \
    {"socket", WR_FLAG_TEXT, offsetof(struct wr_talk, socket), "PATH",                      \
        "control socket of the daemon (default: of -config, or /var/run/litestream.sock)"}, \
        {"config", WR_FLAG_TEXT, offsetof(struct wr_talk, config), "PATH",                  \
            "configuration file of the daemon, for its socket.path"},                       \
        {"no-expand-env", WR_FLAG_BOOL, offsetof(struct wr_talk, no_expand_env), NULL,      \
            "leave $VARIABLES in the configuration alone"},                                 \
        {"timeout", WR_FLAG_SECONDS, offsetof(struct wr_talk, timeout_ms), "SECONDS",       \
            timeout_text},                                                                  \
    {                                                                                       \
        "json", WR_FLAG_BOOL, offsetof(struct wr_talk, json), NULL, "print JSON"            \
    }

/* Set o->socket to where the daemon is to be asked. False after "Error: ...". */
bool wr_talk_find(struct wr_cli *cli, struct wr_talk *o) WR_MUST_CHECK;

/* Whether o->timeout_ms is above 0. False after "Error: ...". */
bool wr_talk_timed(const struct wr_talk *o) WR_MUST_CHECK;

/* All of a command that asks `target` and prints the answer, as `print` does, which returns the
 * exit code, or as JSON. */
int wr_talk_look(struct wr_cli *cli, const struct wr_command *cmd, const char *target,
    int (*print)(const json_t *answer), size_t argc, char *const *argv);

/* "Warning: ..." when the answer says that the daemon has refused its configuration. */
void wr_talk_warn_refused(const json_t *answer);

/* "42s", "5m0s", "1h0m12s" as Go has them; below ten seconds with a tenth, "1.2s", if there is one.
 */
#define WR_SPAN_TEXT_MAX 40
void wr_span_text(char out[WR_SPAN_TEXT_MAX], double seconds);

#endif
