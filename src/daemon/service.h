/*
 * service.h - what a service manager is told, and how it learns that we hang: sd_notify(3).
 *
 * The manager names a datagram socket in $NOTIFY_SOCKET. With $WATCHDOG_USEC it wants a sign of
 * life that often, and kills us when there is none, which frees all locks. Without these variables
 * nothing is done, and no thread started.
 */
#ifndef WR_DAEMON_SERVICE_H
#define WR_DAEMON_SERVICE_H

#include "base/base.h"
#include "base/status.h"
#include "base/sync.h"

#include <sys/socket.h>
#include <sys/un.h>

struct wr_service {
    struct sockaddr_un to;
    socklen_t to_len; /* 0: nobody wants to know */
    int fd;
    int64_t watchdog_ms; /* 0: no sign of life is wanted */
    int64_t (*held_ms)(void *arg);
    void *arg;
    struct wr_thread thread;
    struct wr_mutex mutex;
    struct wr_cond cond;
    bool beating;
    bool stopping; /* guarded */
};

/* Read the environment. MISUSE: what it says cannot be meant. To be ended in every case. */
enum wr_status wr_service_begin(struct wr_service *s, struct wr_err *e) WR_MUST_CHECK;
/* No sign of life from here on: the end has a timeout of its own. */
void wr_service_end(struct wr_service *s);

/* All is begun that was asked for. From here on, signs of life from a thread of our own, but for
 * while `held_ms`, the time for which we have kept writers waiting, is long: who is given up has
 * done so for at least the watchdog's time, and for at most half of that longer. */
enum wr_status wr_service_ready(
    struct wr_service *s, int64_t (*held_ms)(void *arg), void *arg, struct wr_err *e) WR_MUST_CHECK;

/* A line for people (systemctl status), from any thread between begin and end: a wr_sentinel_opts'
 * `tell`, with a struct wr_service as its `arg`. Characters that are not printable become question
 * marks. */
void wr_service_status(void *service, const char *text);

#endif
