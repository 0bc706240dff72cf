/*
 * known.c - see known.h.
 *
 * The mutex is held from the start of a child until it is on the list, so that it cannot be reaped
 * before; and while one is reaped, or a signal is sent; and while fork() runs, whose child begins
 * with an empty list.
 */
#include "base/known.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#define END_MS  5000 /* for one that was killed */
#define LOOK_MS 5

extern char **environ;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct wr_known *first; /* guarded by mutex; those that are not over */

static void lock(void)
{
    (void)pthread_mutex_lock(&mutex);
}

static void unlock(void)
{
    (void)pthread_mutex_unlock(&mutex);
}

static void in_child(void)
{
    first = NULL;
    unlock();
}

/* Without memory for that, a child of fork() may find the mutex held. */
static void begin(void)
{
    (void)pthread_atfork(lock, unlock, in_child);
}

/* mutex held. */
static void note(pid_t pid, int status)
{
    for (struct wr_known **at = &first; *at; at = &(*at)->next) {
        struct wr_known *k = *at;

        if (k->pid != pid)
            continue;
        *at = k->next;
        k->over = true;
        k->status = status;
        return;
    }
}

static pid_t look_for(pid_t pid, int *ret_status)
{
    pid_t got;

    do
        got = waitpid(pid, ret_status, WNOHANG);
    while (got < 0 && errno == EINTR);
    return got;
}

/* mutex held. */
static bool reap(pid_t pid)
{
    int status = 0;
    pid_t got = look_for(pid, &status);

    if (got == pid)
        note(pid, status);
    else if (got < 0)
        note(pid, WR_KNOWN_LOST);
    return got == pid;
}

int wr_known_start(struct wr_known *k, const char *path, const posix_spawn_file_actions_t *files,
    const posix_spawnattr_t *attr, char *const *argv)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int rc;

    (void)pthread_once(&once, begin);
    *k = (struct wr_known){.status = WR_KNOWN_LOST};
    lock();
    rc = posix_spawn(&k->pid, path, files, attr, argv, environ);
    if (rc == 0) {
        k->next = first;
        first = k;
    }
    unlock();
    return rc;
}

bool wr_known_over(struct wr_known *k)
{
    bool over;

    lock();
    if (!k->over)
        (void)reap(k->pid);
    over = k->over;
    unlock();
    return over;
}

/* Not under the mutex: one that hangs in the kernel, as on a network file system that is gone, does
 * not end, and who reaps all would wait for the mutex as long. */
static void await_end(struct wr_known *k)
{
    for (int i = 0; i < END_MS / LOOK_MS && !wr_known_over(k); i++)
        (void)poll(NULL, 0, LOOK_MS);
}

void wr_known_kill(struct wr_known *k)
{
    lock();
    if (!k->over)
        (void)reap(k->pid); /* a host may have, and the number be another's by now */
    if (!k->over)
        (void)kill(-k->pid, SIGKILL);
    unlock();
    await_end(k);
    lock();
    if (!k->over)
        note(k->pid, WR_KNOWN_LOST); /* whoever reaps it one day */
    unlock();
}

bool wr_known_reap(pid_t pid)
{
    bool ok;

    lock();
    ok = reap(pid);
    unlock();
    return ok;
}
