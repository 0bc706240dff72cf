/*
 * sync.c - pthreads with the mistakes made impossible or loud.
 *
 * A mutex is of the error-checking kind: locking twice and unlocking what another thread holds are
 * assertions, not deadlocks. Conditions wait on the monotonic clock, which no administrator moves.
 */
#include "base/sync.h"

#include "base/mem.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#define NS_PER_S INT64_C(1000000000)

#define STACK_DEFAULT ((size_t)256 << 10)
#define STACK_GRAIN   ((size_t)16 << 10) /* a multiple of every page size in use */
#define NAME_MAX_     16                 /* with its NUL: the kernel's limit */

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(SANITIZED)
#define STACK_SCALE 4 /* instrumented frames carry red zones */
#else
#define STACK_SCALE 1
#endif

/* What pthread calls return is zero unless the caller has a bug: no state of the world changes it.
 */
static void must(int rc)
{
    assert(rc == 0);
    (void)rc;
}

void wr_mutex_init(struct wr_mutex *m)
{
    pthread_mutexattr_t attr;

    must(pthread_mutexattr_init(&attr));
    must(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK));
    must(pthread_mutex_init(&m->m, &attr));
    must(pthread_mutexattr_destroy(&attr));
    atomic_init(&m->owner, pthread_self());
    atomic_init(&m->held, false);
}

void wr_mutex_release(struct wr_mutex *m)
{
    must(pthread_mutex_destroy(&m->m)); /* EBUSY while held */
}

/* Owner before held, released by the store of held: a thread that sees `held` and its own id in
 * `owner` wrote both itself. */
static void note_held(struct wr_mutex *m)
{
    atomic_store_explicit(&m->owner, pthread_self(), memory_order_relaxed);
    atomic_store_explicit(&m->held, true, memory_order_release);
}

static void note_dropped(struct wr_mutex *m)
{
    assert(wr_mutex_mine(m));
    atomic_store_explicit(&m->held, false, memory_order_relaxed);
}

void wr_mutex_lock(struct wr_mutex *m)
{
    must(pthread_mutex_lock(&m->m));
    note_held(m);
}

void wr_mutex_unlock(struct wr_mutex *m)
{
    note_dropped(m);
    must(pthread_mutex_unlock(&m->m));
}

bool wr_mutex_mine(const struct wr_mutex *m)
{
    return atomic_load_explicit(&m->held, memory_order_acquire) &&
           pthread_equal(atomic_load_explicit(&m->owner, memory_order_relaxed), pthread_self());
}

void wr_cond_init(struct wr_cond *c)
{
    pthread_condattr_t attr;

    must(pthread_condattr_init(&attr));
    must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
    must(pthread_cond_init(&c->c, &attr));
    must(pthread_condattr_destroy(&attr));
}

void wr_cond_release(struct wr_cond *c)
{
    must(pthread_cond_destroy(&c->c));
}

void wr_cond_signal(struct wr_cond *c)
{
    must(pthread_cond_signal(&c->c));
}

void wr_cond_broadcast(struct wr_cond *c)
{
    must(pthread_cond_broadcast(&c->c));
}

void wr_cond_wait(struct wr_cond *c, struct wr_mutex *m)
{
    note_dropped(m);
    must(pthread_cond_wait(&c->c, &m->m));
    note_held(m);
}

bool wr_cond_wait_until(struct wr_cond *c, struct wr_mutex *m, int64_t deadline_ns)
{
    struct timespec until;
    int rc;

    if (deadline_ns == INT64_MAX) {
        wr_cond_wait(c, m);
        return true;
    }
    deadline_ns = wr_max(deadline_ns, INT64_C(0));
    until.tv_sec = (time_t)(deadline_ns / NS_PER_S);
    until.tv_nsec = (long)(deadline_ns % NS_PER_S);
    note_dropped(m);
    rc = pthread_cond_timedwait(&c->c, &m->m, &until);
    note_held(m);
    if (rc == ETIMEDOUT)
        return false;
    must(rc);
    return true;
}

/* Handed to the new thread, which frees it before it runs anything. */
struct start {
    void (*run)(void *);
    void *arg;
    char name[NAME_MAX_];
};

static void *thread_main(void *p)
{
    struct start s = *(struct start *)p;

    wr_free(p);
#ifdef __linux__
    (void)prctl(PR_SET_NAME, s.name); /* for ps and debuggers only */
#endif
    s.run(s.arg);
    return NULL;
}

static size_t stack_size(size_t wanted)
{
    size_t size = (wanted ? wanted : STACK_DEFAULT) * STACK_SCALE;

    size = wr_max(size, (size_t)PTHREAD_STACK_MIN);
    return (size + STACK_GRAIN - 1) / STACK_GRAIN * STACK_GRAIN;
}

/* All signals except those a thread brings upon itself: blocked, they would kill without a trace.
 */
static void signals_to_block(sigset_t *set)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};

    (void)sigfillset(set);
    for (size_t i = 0; i < wr_countof(own); i++)
        (void)sigdelset(set, own[i]);
}

enum wr_status wr_thread_start(struct wr_thread *t, const char *name, size_t stack,
    void (*run)(void *), void *arg, struct wr_err *e)
{
    struct start *s = wr_alloc(sizeof(*s));
    pthread_attr_t attr;
    sigset_t block;
    sigset_t before;
    int rc;

    if (!s)
        return wr_fail(e, WR_NOMEM, "start thread %s", name);
    s->run = run;
    s->arg = arg;
    (void)snprintf(s->name, sizeof(s->name), "%s", name);

    rc = pthread_attr_init(&attr);
    if (rc != 0) {
        wr_free(s);
        return wr_fail_errno(e, rc, "start thread %s", name);
    }
    signals_to_block(&block);
    must(pthread_attr_setstacksize(&attr, stack_size(stack)));
    /* The mask is inherited: set around the call, no signal can reach the thread's first moments.
     */
    must(pthread_sigmask(SIG_BLOCK, &block, &before));
    rc = pthread_create(&t->t, &attr, thread_main, s);
    must(pthread_sigmask(SIG_SETMASK, &before, NULL));
    must(pthread_attr_destroy(&attr));
    if (rc != 0) {
        wr_free(s);
        return wr_fail_errno(e, rc, "start thread %s", name);
    }
    return WR_OK;
}

void wr_thread_join(struct wr_thread *t)
{
    must(pthread_join(t->t, NULL));
}

unsigned wr_processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n < 1 ? 1 : (unsigned)wr_min(n, 65536L);
}
