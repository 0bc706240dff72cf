/*
 * sync.h - mutexes that know their owner, conditions on the monotonic clock, threads.
 *
 * Never call a function pointer, SQLite or a storage driver while holding one of these.
 */
#ifndef WR_BASE_SYNC_H
#define WR_BASE_SYNC_H

#include "base/base.h"
#include "base/status.h"

#include <pthread.h>
#include <stdatomic.h>

struct wr_mutex {
    pthread_mutex_t m;
    _Atomic pthread_t owner; /* valid while held */
    atomic_bool held;        /* both are for wr_mutex_mine, which any thread may ask */
};

struct wr_cond {
    pthread_cond_t c;
};

void wr_mutex_init(struct wr_mutex *m);
void wr_mutex_release(struct wr_mutex *m);
void wr_mutex_lock(struct wr_mutex *m);       /* asserts that this thread does not hold it */
void wr_mutex_unlock(struct wr_mutex *m);     /* asserts that it does */
bool wr_mutex_mine(const struct wr_mutex *m); /* for assert() */

void wr_cond_init(struct wr_cond *c);
void wr_cond_release(struct wr_cond *c);
void wr_cond_signal(struct wr_cond *c);
void wr_cond_broadcast(struct wr_cond *c);
void wr_cond_wait(struct wr_cond *c, struct wr_mutex *m);
/* False when `deadline_ns` of CLOCK_MONOTONIC passed without a signal; INT64_MAX never passes. */
bool wr_cond_wait_until(struct wr_cond *c, struct wr_mutex *m, int64_t deadline_ns);

struct wr_thread {
    pthread_t t;
};
/* `name` shows in ps (15 characters). Signals are blocked in the new thread, but for those its own
 * faults raise. `stack` in bytes, 0 for 256 KiB. NOMEM, or BUSY when the system has no thread left.
 */
enum wr_status wr_thread_start(struct wr_thread *t, const char *name, size_t stack,
    void (*run)(void *), void *arg, struct wr_err *e) WR_MUST_CHECK;
void wr_thread_join(struct wr_thread *t);

/* Processors that threads run on at the moment, as far as the system tells; at least 1. */
unsigned wr_processors(void);

#endif
