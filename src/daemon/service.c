/*
 * service.c - datagrams to the service manager.
 *
 * A thread of its own beats, so that work which may take long (a restore, a last sync) needs not
 * think of it. It is not only that this thread runs: while an application's writer lock has been
 * ours for too long, it is silent.
 */
#include "daemon/service.h"

#include "base/clock.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BEATS 3 /* in the time after which we are given up: two may be late */

static void say(const struct wr_service *s, const char *what)
{
    /* The manager's socket may be full or gone: nobody waits for it. */
    if (s->to_len)
        (void)sendto(s->fd, what, strlen(what), MSG_NOSIGNAL | MSG_DONTWAIT,
            (const struct sockaddr *)&s->to, s->to_len);
}

/* An absolute path, or '@' and a name in the abstract namespace. */
static enum wr_status address(struct wr_service *s, const char *name, struct wr_err *e)
{
    size_t n = strlen(name);

    if ((name[0] != '/' && name[0] != '@') || n < 2 || n >= sizeof(s->to.sun_path))
        return wr_fail(
            e, WR_MISUSE, "NOTIFY_SOCKET is neither a path nor an abstract name: %.100s", name);
    s->to.sun_family = AF_UNIX;
    memcpy(s->to.sun_path, name, n + 1);
    if (name[0] == '@')
        s->to.sun_path[0] = 0;
    s->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (name[0] == '/'));
    return WR_OK;
}

static enum wr_status watchdog(struct wr_service *s, struct wr_err *e)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t us, meant;

    if (!usec || !usec[0])
        return WR_OK;
    /* It may mean a parent from which we have the environment. */
    if (pid && pid[0] && (!wr_parse_u64(wr_str(pid), &meant) || meant != (uint64_t)getpid()))
        return WR_OK;
    if (!wr_parse_u64(wr_str(usec), &us) || us < 1000 * BEATS || us > (uint64_t)INT64_MAX / 1000)
        return wr_fail(e, WR_MISUSE, "WATCHDOG_USEC is not a time in microseconds: %.100s", usec);
    s->watchdog_ms = (int64_t)(us / 1000);
    return WR_OK;
}

enum wr_status wr_service_begin(struct wr_service *s, struct wr_err *e)
{
    const char *name = getenv("NOTIFY_SOCKET");
    enum wr_status st;

    *s = (struct wr_service){.fd = -1};
    wr_mutex_init(&s->mutex);
    wr_cond_init(&s->cond);
    if (!name || !name[0])
        return WR_OK;
    st = address(s, name, e);
    if (st != WR_OK)
        return st;
    s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0) {
        s->to_len = 0;
        return wr_fail_errno(e, errno, "cannot make a socket for the service manager");
    }
    return watchdog(s, e);
}

static void beat(void *arg)
{
    struct wr_service *s = arg;
    const int64_t every_ms = s->watchdog_ms / BEATS;
    int64_t next_ns;

    wr_mutex_lock(&s->mutex);
    while (!s->stopping) {
        wr_mutex_unlock(&s->mutex);
        /* Thus the last beat came after the lock was taken, and who is given up had it all the
         * time that the manager waits. */
        if (s->held_ms(s->arg) < every_ms)
            say(s, "WATCHDOG=1");
        next_ns = wr_mono_ns(wr_clock_system()) + every_ms * 1000000;
        wr_mutex_lock(&s->mutex);
        while (!s->stopping && wr_cond_wait_until(&s->cond, &s->mutex, next_ns))
            ;
    }
    wr_mutex_unlock(&s->mutex);
}

enum wr_status wr_service_ready(
    struct wr_service *s, int64_t (*held_ms)(void *arg), void *arg, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    s->held_ms = held_ms;
    s->arg = arg;
    if (s->watchdog_ms) {
        st = wr_thread_start(&s->thread, "watchdog", 0, beat, s, e);
        s->beating = st == WR_OK;
    }
    if (st == WR_OK)
        say(s, "READY=1");
    return st;
}

void wr_service_status(void *service, const char *text)
{
    struct wr_service *s = service;
    char line[512];
    size_t n = (size_t)snprintf(line, sizeof(line), "STATUS=%.*s", 500, text);

    for (size_t i = 0; i < n; i++) /* a line feed would begin another assignment */
        if ((unsigned char)line[i] < ' ' || line[i] == 127)
            line[i] = '?';
    say(s, line);
}

void wr_service_end(struct wr_service *s)
{
    wr_mutex_lock(&s->mutex);
    s->stopping = true;
    wr_cond_signal(&s->cond);
    wr_mutex_unlock(&s->mutex);
    if (s->beating)
        wr_thread_join(&s->thread);
    s->beating = false;
    say(s, "STOPPING=1");
    if (s->fd >= 0)
        (void)close(s->fd);
    s->fd = -1;
    s->to_len = 0;
    wr_cond_release(&s->cond);
    wr_mutex_release(&s->mutex);
}
