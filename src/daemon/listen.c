/*
 * listen.c - see listen.h.
 */
#include "daemon/listen.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64

static int new_socket(int family, struct wr_err *e)
{
    int fd = socket(family, SOCK_STREAM, 0);

    if (fd >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
        return fd;
    (void)wr_fail_errno(e, errno, "make a socket");
    if (fd >= 0)
        (void)close(fd); /* never used */
    return -1;
}

/* Whether a process listens at `a`. */
static bool answers(const struct sockaddr_un *a)
{
    struct wr_err e = {0};
    int fd = new_socket(AF_UNIX, &e);
    bool yes;

    if (fd < 0)
        return true; /* not known: rather leave it alone */
    /* Not to wait where its queue is full: whoever has a queue is alive. */
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
        yes = true;
    else
        yes = connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 || errno == EAGAIN;
    (void)close(fd); /* nothing was sent */
    return yes;
}

/* Make room at the path. */
static enum wr_status clear(const struct sockaddr_un *a, struct wr_err *e)
{
    struct stat s;

    if (lstat(a->sun_path, &s) != 0)
        return errno == ENOENT ? WR_OK : wr_fail_errno(e, errno, "look at %s", a->sun_path);
    if (!S_ISSOCK(s.st_mode))
        return wr_fail(e, WR_MISUSE, "socket path exists but is not a socket: %s", a->sun_path);
    if (answers(a))
        return wr_fail(e, WR_BUSY, "another process listens on %s: give each its own socket.path",
            a->sun_path);
    if (unlink(a->sun_path) != 0 && errno != ENOENT)
        return wr_fail_errno(e, errno, "remove the old socket %s", a->sun_path);
    return WR_OK;
}

static enum wr_status bind_unix(
    int fd, const struct sockaddr_un *a, mode_t mode, struct wr_unix_socket *ret, struct wr_err *e)
{
    struct stat s;

    /* Linux makes the file with the permissions of the socket, less the umask: it is never open to
     * more than it should be. What the umask has taken is given back. */
    if (fchmod(fd, mode) != 0)
        return wr_fail_errno(e, errno, "set the permissions of %s", a->sun_path);
    if (bind(fd, (const struct sockaddr *)a, sizeof(*a)) != 0)
        return wr_fail_errno(e, errno, "make the socket %s", a->sun_path);
    if (chmod(a->sun_path, mode) != 0 || lstat(a->sun_path, &s) != 0 || listen(fd, BACKLOG) != 0) {
        enum wr_status st = wr_fail_errno(e, errno, "listen on %s", a->sun_path);

        (void)unlink(a->sun_path); /* the next start finds it, and that nobody answers */
        return st;
    }
    ret->dev = s.st_dev;
    ret->ino = s.st_ino;
    return WR_OK;
}

enum wr_status wr_listen_unix(
    const char *path, mode_t mode, struct wr_unix_socket *ret, struct wr_err *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    enum wr_status st;

    *ret = (struct wr_unix_socket){.fd = -1};
    if (strlen(path) >= sizeof(a.sun_path) || strlen(path) >= sizeof(ret->path))
        return wr_fail(
            e, WR_MISUSE, "socket path is longer than %zu bytes: %s", sizeof(a.sun_path) - 1, path);
    memcpy(a.sun_path, path, strlen(path) + 1);
    memcpy(ret->path, path, strlen(path) + 1);
    st = clear(&a, e);
    if (st != WR_OK)
        return st;
    ret->fd = new_socket(AF_UNIX, e);
    if (ret->fd < 0)
        return WR_IO;
    st = bind_unix(ret->fd, &a, mode, ret, e);
    if (st != WR_OK) {
        (void)close(ret->fd); /* never used */
        ret->fd = -1;
    }
    return st;
}

void wr_unlisten_unix(const struct wr_unix_socket *s)
{
    struct stat now;

    if (lstat(s->path, &now) == 0 && now.st_dev == s->dev && now.st_ino == s->ino)
        (void)unlink(s->path); /* the next start finds it, and that nobody answers */
}

/* The two parts of an address; IPv6 hosts are in brackets. */
static bool split(const char *addr, char *host, size_t host_size, char *port, size_t port_size)
{
    struct wr_str s = wr_str(addr), h = {0}, p = s;
    const char *colon = strrchr(addr, ':');
    uint64_t number;

    if (colon) {
        h = (struct wr_str){.p = addr, .n = (size_t)(colon - addr)};
        p = wr_str(colon + 1);
    }
    if (h.n >= 2 && h.p[0] == '[' && h.p[h.n - 1] == ']')
        h = (struct wr_str){.p = h.p + 1, .n = h.n - 2};
    if (p.n == 0 || p.n >= port_size || h.n >= host_size)
        return false;
    if (!wr_parse_u64(p, &number) || number > 65535)
        return false;
    if (h.n)
        memcpy(host, h.p, h.n);
    host[h.n] = '\0';
    memcpy(port, p.p, p.n);
    port[p.n] = '\0';
    return true;
}

static enum wr_status listen_at(
    const struct addrinfo *a, const char *addr, int *ret_fd, struct wr_err *e)
{
    int fd = new_socket(a->ai_family, e), on = 1, off = 0;
    enum wr_status st;

    if (fd < 0)
        return WR_IO;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        (a->ai_family != AF_INET6 ||
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0) &&
        bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) {
        *ret_fd = fd;
        return WR_OK;
    }
    if (errno == EADDRINUSE)
        st = wr_fail(e, WR_BUSY, "cannot listen on %s: another process has the port", addr);
    else
        st = wr_fail_errno(e, errno, "cannot listen on %s", addr);
    (void)close(fd); /* never used */
    return st;
}

enum wr_status wr_listen_tcp(const char *addr, int *ret_fd, struct wr_err *e)
{
    struct addrinfo want = {.ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *all = NULL;
    char host[256], port[8];
    enum wr_status st;
    int rc;

    if (!split(addr, host, sizeof(host), port, sizeof(port)))
        return wr_fail(e, WR_MISUSE,
            "addr must be host:port, as in localhost:9090 or :9090, not \"%s\"", addr);
    rc = getaddrinfo(host[0] ? host : NULL, port, &want, &all);
    if (rc != 0)
        return wr_fail(e, WR_MISUSE, "cannot listen on %s: %s", addr, gai_strerror(rc));
    st = wr_fail(e, WR_MISUSE, "cannot listen on %s: it has no address", addr);
    /* Where all addresses are meant, IPv6 first, which takes IPv4 along; there may be none of it. A
     * name may have both, as localhost: IPv4 first, as Litestream has it, where who knows the name
     * finds it as well as who knows 127.0.0.1. */
    for (int i = 0; i < 2; i++)
        for (const struct addrinfo *a = all; a && st != WR_OK && st != WR_BUSY; a = a->ai_next)
            if (a->ai_family == ((i == 0) == !host[0] ? AF_INET6 : AF_INET))
                st = listen_at(a, addr, ret_fd, e);
    freeaddrinfo(all);
    return st;
}
