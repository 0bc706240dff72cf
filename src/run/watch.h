/*
 * watch.h - hints that a file was written, by inotify. Losing one is allowed: a slow scan is the
 * contract, this is what makes it fast.
 *
 * A watch is on the directory, filtered by name, so that a file that comes and goes stays watched.
 * An idle watch costs no wake-up. locked: any thread.
 */
#ifndef WR_RUN_WATCH_H
#define WR_RUN_WATCH_H

#include "base/base.h"
#include "base/status.h"
#include "run/sched.h"

struct wr_watch; /* one inotify instance and (unless manual) one thread that blocks in read */

/* Called for a change of a watched name: on the watch's thread, or inside wr_watch_poll. Must only
 * note it and wake an actor. */
typedef void wr_watch_fn(void *arg);

/* UNSUPPORTED or LIMIT where inotify is not to be had: go on with the slow scan. `manual`: no
 * thread; the host calls wr_watch_poll. */
enum wr_status wr_watch_new(bool manual, struct wr_watch **ret, struct wr_err *e) WR_MUST_CHECK;
void wr_watch_free(struct wr_watch *w); /* NULL-safe; no callback runs after it returned */

/* Call `fn` when `name` in directory `dir` is written, created, deleted or moved. *ret_id names the
 * watch for removal; several may share a directory. A change shortly before may be told, too. */
enum wr_status wr_watch_add(struct wr_watch *w, const char *dir, const char *name, wr_watch_fn *fn,
    void *arg, uint64_t *ret_id, struct wr_err *e) WR_MUST_CHECK;
void wr_watch_remove(struct wr_watch *w, uint64_t id); /* fn does not run after it returned */

/* Manual mode: deliver what has arrived, without waiting. */
void wr_watch_poll(struct wr_watch *w);

#endif
