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

enum wr_child_place {
    WR_CHILD_BESIDE, /* /dev/null as stdin, in our process group */
    /* What stands for us: our stdin; and unless that is a terminal, which has its own ideas of
     * groups, a process group of its own, so that what ends it can reach all that it has started.
     */
    WR_CHILD_WITHIN,
};
/* Start argv[0], found along $PATH, with our environment, stdout and stderr, no signal blocked and
 * none ignored; so many descriptors are its limit, where ours is higher and that is not 0.
 * *ret_target, for kill(2), is its group if it has one of its own, else its pid.
 * NOTFOUND when there is no such program. */
enum wr_status wr_child_start(char *const *argv, enum wr_child_place place, uint64_t descriptors,
    pid_t *ret, pid_t *ret_target, struct wr_err *e) WR_MUST_CHECK;

/* Reap all that has ended, but for `child` (0: none): what others left behind, and is our child as
 * we are the first process, of a container, or a subreaper. Does not wait. */
void wr_child_reap_others(pid_t child);

/* Whether a child has ended, and is still there to be asked how. Does not wait. */
bool wr_child_is_over(pid_t pid);

/* How a child ended, if it did. `*ret_exit` is what a shell would report: the exit code, or 128 and
 * the signal. Does not wait. */
bool wr_child_ended(pid_t pid, int *ret_exit);

#endif
