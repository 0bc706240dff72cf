/*
 * known.h - a child process that a thread of this one waits for, while another part of the process
 * reaps whatever ends: the first process of a container has to, for those that others left behind.
 *
 * Who reaps one that is known here notes how it ended; and nobody sends a signal to a number that
 * was reaped, and may be another process by now. A host that reaps our children itself, or has told
 * the system to, costs the status, and nothing else.
 *
 * locked; known to the process through a global, as children are the process's.
 */
#ifndef WR_BASE_KNOWN_H
#define WR_BASE_KNOWN_H

#include "base/base.h"

#include <spawn.h>
#include <sys/types.h>

#define WR_KNOWN_LOST (-1) /* how it ended: nobody knows */

struct wr_known {
    pid_t pid;
    bool over;
    int status; /* once it is over: as waitpid gives it, or WR_KNOWN_LOST */
    struct wr_known *next;
};

/* posix_spawn with our environment, in a process group of its own: `attr` says so. 0, and `k` stays
 * where it is until it is over; or an error number. */
int wr_known_start(struct wr_known *k, const char *path, const posix_spawn_file_actions_t *files,
    const posix_spawnattr_t *attr, char *const *argv) WR_MUST_CHECK;

/* Whether it has ended; it is reaped by then. Does not wait. */
bool wr_known_over(struct wr_known *k);

/* End it and its group, unless it is over, and wait for that, but no more than some seconds; then
 * it is called over, and how it ends is lost. */
void wr_known_kill(struct wr_known *k);

/* For who reaps all: reap a child that has ended, whoever's it is. False: it is not there any more,
 * or has not ended. */
bool wr_known_reap(pid_t pid);

#endif
