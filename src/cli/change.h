/*
 * change.h - the commands that have a running daemon do something about one database, or wait.
 *
 * They differ in the endpoint, in the flags, which go into the request, and in how the fields of
 * the answer are called, which is as in Litestream.
 */
#ifndef WR_CLI_CHANGE_H
#define WR_CLI_CHANGE_H

#include "cli/talk.h"

enum wr_change_source {
    WR_FROM_ANSWER,   /* a text or a number, by its name there */
    WR_FROM_WAITING,  /* likewise, but only with -wait */
    WR_FROM_PERSIST,  /* likewise, but only with -persist */
    WR_FROM_SNAPSHOT, /* likewise, but only with -snapshot */
    WR_FROM_TABLE,    /* the same text always */
    WR_FROM_SOCKET,
    WR_FROM_REPLICA, /* as given */
    WR_FROM_CLOCK,   /* milliseconds that it took */
};

/* What is printed: "name: value", or a field of the JSON. */
struct wr_change_field {
    const char *name; /* NULL ends a list */
    enum wr_change_source source;
    const char *what; /* of the answer or the table */
};

struct wr_change {
    const struct wr_command *cmd;
    const char *target;
    bool untimed; /* -timeout 0 means none */
    bool waits;   /* for a replica, as sync does with -wait: time that ran out is exit code 8 */
    struct wr_change_field fields[6];
};

/* All of such a command. Returns the exit code. */
int wr_change_run(
    struct wr_cli *cli, const struct wr_change *c, size_t argc, char *const *argv) WR_MUST_CHECK;

#endif
