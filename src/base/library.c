/*
 * library.c - see library.h.
 *
 * One mutex for all, which a fork() waits for: no child begins with half a table, with a loader
 * that was in the middle of something, or with a mutex that nobody will unlock. It does not wait
 * for ever: libraries register for fork() when they are loaded, for which older C libraries make
 * them wait until all who registered before have been called, that is, for us.
 */
#include "base/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

_Static_assert(sizeof(void *) == sizeof(void (*)(void)), "dlsym gives addresses of functions");

#define FORK_WAIT_S 1

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static _Atomic pthread_t forking; /* who holds the mutex for a fork(); 0: nobody */

static void lock(void)
{
    (void)pthread_mutex_lock(&mutex);
}

static void unlock(void)
{
    (void)pthread_mutex_unlock(&mutex);
}

static void before_fork(void)
{
    struct timespec until = {0};

    (void)clock_gettime(CLOCK_REALTIME, &until); /* which there is */
    until.tv_sec += FORK_WAIT_S;
    if (pthread_mutex_timedlock(&mutex, &until) == 0)
        atomic_store(&forking, pthread_self());
}

/* False: the mutex was not to be had before. */
static bool after_fork(void)
{
    if (!pthread_equal(atomic_load(&forking), pthread_self()))
        return false;
    atomic_store(&forking, 0);
    unlock();
    return true;
}

static void in_parent(void)
{
    (void)after_fork();
}

/* Whoever held the mutex instead, for a fork() of its own or to load something, is not there. */
static void in_child(void)
{
    if (after_fork())
        return;
    atomic_store(&forking, 0);
    mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

/* Without memory for that, a child of a fork() in the middle of loading cannot load anything. */
static void await_forks(void)
{
    (void)pthread_atfork(before_fork, in_parent, in_child);
}

/* Whether the loader says of this library that there is none: of one that it needs, of an old
 * version of one, or of rights, it says something else. There is no code for it. */
static bool is_missing(const char *soname, const char *why)
{
    const char *name = strstr(why, soname);
    size_t n = strlen(why);
    char none[128];

    if (!name || name[strlen(soname)] != ':' || strerror_r(ENOENT, none, sizeof(none)) != 0)
        return false;
    return n >= strlen(none) && strcmp(why + n - strlen(none), none) == 0;
}

/* The first reason counts, which is of the usual one, unless another one is there. Not RTLD_NOW: of
 * thousands of functions a run calls a few, as with what is linked. */
static enum wr_status open_one(const struct wr_library *l, void **ret, struct wr_err *e)
{
    bool there = false;

    for (size_t i = 0; l->sonames[i]; i++) {
        const char *why;

        *ret = dlopen(l->sonames[i], RTLD_LAZY | RTLD_LOCAL | (l->if_present ? RTLD_NOLOAD : 0));
        if (*ret)
            return WR_OK;
        why = dlerror();
        if (why && !is_missing(l->sonames[i], why) && !there) {
            there = true;
            (void)wr_fail(e, WR_IO,
                "%s cannot be loaded, though it is there: %s (if it was upgraded since this "
                "process began, start that again)",
                l->name, why);
        } else if (i == 0) {
            (void)wr_fail(e, WR_IO,
                "%s cannot be loaded: %s (install it: on Debian and Ubuntu it is in the package "
                "%s)",
                l->name, why ? why : l->sonames[i], l->package);
        }
    }
    return WR_IO;
}

static enum wr_status find_all(struct wr_library *l, void *handle, struct wr_err *e)
{
    for (size_t i = 0; l->functions[i]; i++) {
        void *at = dlsym(handle, l->functions[i]);

        if (!at)
            return wr_fail(e, WR_IO,
                "%s is too old, or not the one that this program was built for: it has no %s",
                l->name, l->functions[i]);
        memcpy((char *)l->table + i * sizeof(at), &at, sizeof(at));
    }
    return WR_OK;
}

static enum wr_status load(struct wr_library *l, struct wr_err *e)
{
    void *handle = NULL;
    enum wr_status st = open_one(l, &handle, e);

    if (st != WR_OK)
        return st;
    st = find_all(l, handle, e);
    if (st == WR_OK && l->begin)
        st = l->begin(e);
    if (st != WR_OK)
        (void)dlclose(handle); /* its functions are not used, and there may be another one soon */
    return st;
}

enum wr_status wr_library_load(struct wr_library *l, struct wr_err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    enum wr_status st = WR_OK;

    if (atomic_load_explicit(&l->loaded, memory_order_acquire))
        return WR_OK;
    (void)pthread_once(&once, await_forks);
    lock();
    if (!atomic_load(&l->loaded)) {
        st = load(l, e);
        if (st == WR_OK)
            atomic_store_explicit(&l->loaded, true, memory_order_release);
    }
    unlock();
    return st;
}
