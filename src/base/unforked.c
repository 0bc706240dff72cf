/*
 * unforked.c - see unforked.h.
 *
 * The mutex is held while fork() runs, so that no child begins with half of it: neither with a
 * descriptor that was just taken off the list, and is not closed yet, nor with a mutex that nobody
 * will unlock.
 */
#include "base/unforked.h"

#include <pthread.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct wr_unforked *first; /* guarded by mutex */

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
    for (struct wr_unforked *u = first; u; u = u->next) {
        (void)close(*u->fd);
        *u->fd = -1;
    }
    first = NULL;
    unlock();
}

/* Without memory for that, a child has them as it would otherwise. */
static void begin(void)
{
    (void)pthread_atfork(lock, unlock, in_child);
}

void wr_unforked_add(struct wr_unforked *u, int *fd)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, begin);
    lock();
    *u = (struct wr_unforked){.fd = fd, .next = first};
    first = u;
    unlock();
}

void wr_unforked_close(struct wr_unforked *u)
{
    lock();
    for (struct wr_unforked **at = &first; *at; at = &(*at)->next) {
        if (*at == u) {
            *at = u->next;
            break;
        }
    }
    if (*u->fd >= 0)
        (void)close(*u->fd);
    unlock();
}
