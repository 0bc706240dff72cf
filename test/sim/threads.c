/*
 * threads.c - what the product asks of the system, answered by the simulated machine.
 *
 * The program is linked with --wrap (meson.build), so that the calls below, made by our own code,
 * come here: threads, mutexes and conditions are fibers and queues, time is virtual, randomness
 * comes from the tape. So engine, scheduler and lanes run as they are. Shared libraries keep the
 * real ones. Outside sim_run there is one thread, and nobody to wait for.
 */
#include "sim/threads.h"
#include "sim/disk.h"
#include "sim/fiber.h"
#include "sim/tape.h"

#include "base/mem.h"
#include "base/rand.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)
#define EPOCH_S  INT64_C(1790000000) /* when every simulation begins */
#define LOCK_NS  20
#define YIELD_NS 1000

/* In place of what pthread.h declares as opaque memory. */
struct sim_mutex {
    struct sim_fiber *owner; /* NULL: free */
    struct sim_queue queue;
};

struct sim_cond {
    struct sim_queue queue;
};

_Static_assert(sizeof(struct sim_mutex) <= sizeof(pthread_mutex_t), "a mutex has no room");
_Static_assert(sizeof(struct sim_cond) <= sizeof(pthread_cond_t), "a condition has no room");

static int64_t wall_jump_ms;
static struct wr_rand random_bytes;
static bool random_ready;

void threads_jump_wall(int64_t ms)
{
    wall_jump_ms += ms;
}

static struct sim_mutex *mutex_of(pthread_mutex_t *m)
{
    return (struct sim_mutex *)(void *)m;
}

static struct sim_cond *cond_of(pthread_cond_t *c)
{
    return (struct sim_cond *)(void *)c;
}

/* A stand-in for the one thread outside sim_run. */
static struct sim_fiber *me(void)
{
    static char outside;
    struct sim_fiber *f = sim_fiber_current();

    return f ? f : (struct sim_fiber *)(void *)&outside;
}

int __wrap_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr);
int __wrap_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr)
{
    (void)attr;
    *mutex_of(m) = (struct sim_mutex){0};
    return 0;
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *m);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *m)
{
    return mutex_of(m)->owner ? EBUSY : 0;
}

static void lock(struct sim_mutex *m)
{
    while (m->owner)
        (void)sim_wait(&m->queue, SIM_NEVER);
    m->owner = me();
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *m);
int __wrap_pthread_mutex_lock(pthread_mutex_t *m)
{
    if (mutex_of(m)->owner == me())
        return EDEADLK;
    if (sim_fiber_current())
        sim_yield(LOCK_NS);
    lock(mutex_of(m));
    return 0;
}

static void unlock(struct sim_mutex *m)
{
    m->owner = NULL;
    sim_rouse(&m->queue, false);
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *m);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m)
{
    if (mutex_of(m)->owner != me())
        return EPERM;
    unlock(mutex_of(m));
    return 0;
}

int __wrap_pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *attr);
int __wrap_pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *attr)
{
    (void)attr;
    *cond_of(c) = (struct sim_cond){0};
    return 0;
}

int __wrap_pthread_cond_destroy(pthread_cond_t *c);
int __wrap_pthread_cond_destroy(pthread_cond_t *c)
{
    return cond_of(c)->queue.first ? EBUSY : 0;
}

int __wrap_pthread_cond_signal(pthread_cond_t *c);
int __wrap_pthread_cond_signal(pthread_cond_t *c)
{
    sim_rouse(&cond_of(c)->queue, false);
    return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *c);
int __wrap_pthread_cond_broadcast(pthread_cond_t *c)
{
    sim_rouse(&cond_of(c)->queue, true);
    return 0;
}

static int wait_until(pthread_cond_t *c, pthread_mutex_t *m, int64_t deadline_ns)
{
    bool roused;

    if (mutex_of(m)->owner != me())
        return EPERM;
    unlock(mutex_of(m));
    roused = sim_wait(&cond_of(c)->queue, deadline_ns);
    lock(mutex_of(m));
    return roused ? 0 : ETIMEDOUT;
}

int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
    return wait_until(c, m, SIM_NEVER);
}

int __wrap_pthread_cond_timedwait(
    pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *until);
int __wrap_pthread_cond_timedwait(
    pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *until)
{
    return wait_until(c, m, (int64_t)until->tv_sec * NS_PER_S + until->tv_nsec);
}

/* Threads start with arguments of another shape than fibers. */
struct start {
    void *(*run)(void *arg);
    void *arg;
};

static void thread_main(void *arg)
{
    struct start s = *(struct start *)arg;

    wr_free(arg);
    (void)s.run(s.arg);
}

int __wrap_pthread_create(
    pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
int __wrap_pthread_create(
    pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
    struct start *s = wr_alloc(sizeof(*s));

    (void)attr;
    if (!s)
        return EAGAIN;
    *s = (struct start){.run = run, .arg = arg};
    *ret = (pthread_t)(uintptr_t)sim_spawn(sim_proc_current(), "thread", thread_main, s);
    return 0;
}

int __wrap_pthread_join(pthread_t t, void **ret);
int __wrap_pthread_join(pthread_t t, void **ret)
{
    (void)ret;
    sim_join((struct sim_fiber *)(uintptr_t)t);
    return 0;
}

pthread_t __wrap_pthread_self(void);
pthread_t __wrap_pthread_self(void)
{
    return (pthread_t)(uintptr_t)me();
}

/* All fibers share one thread of the real system, whose mask and name are nobody's business. */
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old);
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    (void)how;
    (void)set;
    (void)old;
    return 0;
}

int __wrap_prctl(int option, ...);
int __wrap_prctl(int option, ...)
{
    (void)option;
    return 0;
}

int __wrap_clock_gettime(clockid_t which, struct timespec *ret);
int __wrap_clock_gettime(clockid_t which, struct timespec *ret)
{
    int64_t ns = sim_now_ns();

    if (which == CLOCK_REALTIME)
        ns += EPOCH_S * NS_PER_S + wall_jump_ms * 1000000;
    else if (which == CLOCK_REALTIME_COARSE) /* of files: disk.c */
        ns += SIM_EPOCH_MS * 1000000;
    ret->tv_sec = (time_t)(ns / NS_PER_S);
    ret->tv_nsec = (long)(ns % NS_PER_S);
    return 0;
}

int __wrap_sched_yield(void);
int __wrap_sched_yield(void)
{
    sim_yield(YIELD_NS);
    return 0;
}

int __wrap_nanosleep(const struct timespec *t, struct timespec *rest);
int __wrap_nanosleep(const struct timespec *t, struct timespec *rest)
{
    (void)rest;
    sim_sleep((int64_t)t->tv_sec * NS_PER_S + t->tv_nsec);
    return 0;
}

/* Seeded from the tape once: the bytes themselves would be most of it. */
ssize_t __wrap_getrandom(void *p, size_t n, unsigned flags);
ssize_t __wrap_getrandom(void *p, size_t n, unsigned flags)
{
    (void)flags;
    if (!random_ready) {
        random_ready = true;
        wr_rand_init(&random_bytes, tape_below(UINT32_MAX));
    }
    wr_rand_fill(&random_bytes, p, n);
    return (ssize_t)n;
}

int __wrap_getpid(void);
int __wrap_getpid(void)
{
    struct sim_proc *p = sim_proc_current();

    return p ? 1000 + sim_proc_id(p) : 1;
}

/* All machines have one name, whichever it is that runs this. */
int __wrap_gethostname(char *name, size_t n);
int __wrap_gethostname(char *name, size_t n)
{
    (void)snprintf(name, n, "sim");
    return 0;
}
