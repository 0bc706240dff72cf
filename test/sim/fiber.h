/*
 * fiber.h - processes, threads and time of the simulated machine.
 *
 * Everything runs on one real thread. A simulated thread is a fiber with a stack of its own; it
 * goes on until it calls something below that lets others run. What runs next, and how long things
 * take, comes from the tape, so a run repeats exactly. A process owns fibers; killing it is as
 * abrupt as SIGKILL: none of its fibers ever runs again, nothing is unwound, its memory leaks (each
 * simulation is a real process of its own).
 */
#ifndef SIM_FIBER_H
#define SIM_FIBER_H

#include "base/base.h"

#define SIM_NEVER INT64_MAX

struct sim_proc;
struct sim_fiber;

/* Run `main` as the only fiber of a process called "world" until it returns. Once in a real
 * process. Fibers that are left by then are forgotten. */
void sim_run(void (*main)(void *arg), void *arg);

struct sim_proc *sim_proc_new(const char *name); /* `name` is copied; never freed */
struct sim_proc *sim_proc_current(void);
const char *sim_proc_name(const struct sim_proc *p);
int sim_proc_id(const struct sim_proc *p); /* 1, 2, ... in the order of sim_proc_new */
bool sim_proc_alive(const struct sim_proc *p);
/* Does not return when it is the caller's own. Runs what sim_at_exit noted. */
void sim_kill(struct sim_proc *p);
/* SIGSTOP and SIGCONT: its fibers are not run, its waits go on. */
void sim_proc_stop(struct sim_proc *p);
void sim_proc_cont(struct sim_proc *p);
/* When it was continued last; SIM_NEVER: it is stopped, 0: it never was. */
int64_t sim_proc_stopped_until(const struct sim_proc *p);
/* What the kernel does when any process ends: `fn` drops its locks and closes its files. It must
 * not let others run. At most 8 of them, for the whole run. */
void sim_at_exit(void (*fn)(struct sim_proc *p));

/* Something about each process, as much as a part wants to know. = {0} is empty. */
struct sim_notes {
    uint8_t *p; /* by process id */
    size_t n;
};
/* The `size` bytes about `p`, zeros at first, always the same size for the same notes. They stay
 * there until the next call. */
void *sim_note(struct sim_notes *notes, const struct sim_proc *p, size_t size);

/* A thread of `p`. The name is for traces. */
struct sim_fiber *sim_spawn(
    struct sim_proc *p, const char *name, void (*run)(void *arg), void *arg);
struct sim_fiber *sim_fiber_current(void);
/* Wait until it has returned or was killed. */
void sim_join(struct sim_fiber *f);

int64_t sim_now_ns(void);

/* Here others may run. `cost_ns` of time pass for the caller (and, as there is one clock, for all).
 * Every system call that is simulated begins with one, so a kill or a power cut may strike there.
 */
void sim_yield(int64_t cost_ns);
void sim_sleep_until(int64_t at_ns);
void sim_sleep(int64_t ns);

/* A place to wait in. = {0} is empty. */
struct sim_queue {
    struct sim_fiber *first, *last;
};
/* Wait to be roused; false when `deadline_ns` (or SIM_NEVER) came first. */
bool sim_wait(struct sim_queue *q, int64_t deadline_ns);
void sim_rouse(
    struct sim_queue *q, bool all); /* who waits longest first; killed ones are skipped */

/* The run has failed: say why, with the time and the process, and end the real process with exit
 * code SIM_FAILED. */
#define SIM_FAILED 77
void sim_fail(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* A line of the trace, if one was asked for. */
extern bool sim_tracing;
void sim_trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
