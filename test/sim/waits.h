/*
 * waits.h - law A2: for how long the application waits for us in one call.
 *
 * SQLite sleeps between two tries for a lock, the longer the more often it was refused. A sleep
 * after a lock was refused that we had counts as a whole, as the application feels it, also the
 * rest of it when the lock is free again. But if another application had a lock before in the same
 * call, it is that one which has made SQLite sleep long, and only the time counts for which the
 * lock was ours. While a process is stopped nothing counts that has to do with it.
 */
#ifndef SIM_WAITS_H
#define SIM_WAITS_H

#include "base/base.h"

#define WAITS_MAX_NS  INT64_C(100000000) /* whoever waits longer fails the run */
#define WAITS_RARE_NS INT64_C(10000000)  /* and one call of a thousand may wait longer than that */

/* Once, when the VFS is there. */
void waits_init(void);
/* The running process begins a call, which it waits for as a whole. */
void waits_begin(void);
/* The longest of all waits so far. */
int64_t waits_longest_ns(void);
/* How many calls there were, and how many of them have waited longer than WAITS_RARE_NS. */
uint64_t waits_calls(void);
uint64_t waits_rare(void);
/* Nobody has told our program what a writer that was killed has left, perhaps a wal-index that only
 * we can make good: until this time it need not have looked, and no wait is judged. */
void waits_excuse(int64_t until_ns);

#endif
