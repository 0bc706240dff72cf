/*
 * watch.h - hints that a file was written, by inotify. Losing one is allowed: a slow scan is the
 * contract, this is what makes it fast.
 *
 * That a file comes or goes is always told. That it was written is told once, for the next write
 * after it was armed: each event is paid for by the process that writes, microseconds of a
 * transaction of twenty, so whoever is busy looking anyway does not ask for them.
 *
 * An idle watch costs no wake-up. locked: any thread.
 */
#ifndef WR_RUN_WATCH_H
#define WR_RUN_WATCH_H

#include "base/base.h"
#include "base/status.h"
#include "run/sched.h"

struct wr_watch; /* one inotify instance and (unless manual) one thread that blocks in read */

/* Called for a change of a watched name: on the watch's thread, or inside wr_watch_poll. Must only
 * note it and wake an actor. `only_written`: it was written, and neither came nor went, as far as
 * this call tells. */
typedef void wr_watch_fn(void *arg, bool only_written);

/* UNSUPPORTED or LIMIT where inotify is not to be had: go on with the slow scan. `manual`: no
 * thread; the host calls wr_watch_poll. */
enum wr_status wr_watch_new(bool manual, struct wr_watch **ret, struct wr_err *e) WR_MUST_CHECK;
void wr_watch_free(struct wr_watch *w); /* NULL-safe; no callback runs after it returned */

/* Call `fn` when `name` in directory `dir` is created, deleted or moved, and for the first write to
 * it from now on, as if it had been armed. *ret_id names the watch; several may share a directory.
 * A change shortly before may be told, too. */
enum wr_status wr_watch_add(struct wr_watch *w, const char *dir, const char *name, wr_watch_fn *fn,
    void *arg, uint64_t *ret_id, struct wr_err *e) WR_MUST_CHECK;
/* Call it for the next write, once. What was written before raises nothing: look after arming. A
 * file that does not exist is fine, its creation will be told. Otherwise LIMIT or IO: scan. */
enum wr_status wr_watch_arm(struct wr_watch *w, uint64_t id, struct wr_err *e) WR_MUST_CHECK;
void wr_watch_remove(struct wr_watch *w, uint64_t id); /* fn does not run after it returned */

/* Call `fn` for every batch of events, before those that it is about. NULL: nobody, and it does not
 * run after this returned; not from within it. */
void wr_watch_tell(struct wr_watch *w, void (*fn)(void *arg), void *arg);

/* Manual mode: deliver what has arrived, without waiting. */
void wr_watch_poll(struct wr_watch *w);

#endif
