/*
 * child.h - the program that replication runs beside: its command line, its start, its end.
 */
#ifndef WR_DAEMON_CHILD_H
#define WR_DAEMON_CHILD_H

#include "base/arena.h"
#include "base/base.h"
#include "base/status.h"
#include "base/str.h"

#include <sys/types.h>

/* Split a command into words as a shell does for plain words, quotes and backslashes. Nothing is
 * substituted. MISUSE for an unquoted ; & | < > ( ) or newline, which would need a shell, for an
 * open quote, and for no word at all. *ret ends with NULL; in the arena. */
enum wr_status wr_child_split(
    struct wr_arena *a, struct wr_str command, char ***ret, struct wr_err *e) WR_MUST_CHECK;

/* Start argv[0], found along $PATH, with our environment, stdout and stderr, /dev/null as stdin, no
 * signal blocked and none ignored. NOTFOUND when there is no such program. */
enum wr_status wr_child_start(char *const *argv, pid_t *ret, struct wr_err *e) WR_MUST_CHECK;

/* How a child ended, if it did. `*ret_exit` is what a shell would report: the exit code, or 128 and
 * the signal. Does not wait. */
bool wr_child_ended(pid_t pid, int *ret_exit);

#endif
