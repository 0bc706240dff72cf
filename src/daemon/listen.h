/*
 * listen.h - sockets to listen on: a file that few may open, a port.
 */
#ifndef WR_DAEMON_LISTEN_H
#define WR_DAEMON_LISTEN_H

#include "base/base.h"
#include "base/status.h"

#include <sys/types.h>

/* A socket in the file system. */
struct wr_unix_socket {
    int fd;
    char path[112];
    dev_t dev; /* of the file, to tell whether it is still ours */
    ino_t ino;
};

/* A new file with these permissions, which it has from its first moment on. One that nobody listens
 * on any more, as a process that was killed leaves it, is replaced. BUSY: a process answers there.
 * MISUSE: the path is too long, or something else than a socket is there. */
enum wr_status wr_listen_unix(
    const char *path, mode_t mode, struct wr_unix_socket *ret, struct wr_err *e) WR_MUST_CHECK;
/* Remove the file unless another process has put its own there. `fd` stays. */
void wr_unlisten_unix(const struct wr_unix_socket *s);

/* "host:port", ":port" (all addresses) or "port". BUSY: the port is taken. */
enum wr_status wr_listen_tcp(const char *addr, int *ret_fd, struct wr_err *e) WR_MUST_CHECK;

#endif
