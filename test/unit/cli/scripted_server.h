/*
 * scripted_server.h - a server on a socket in the file system that answers as scripted.
 *
 * Included by one file of a test program.
 */
#ifndef WR_TEST_SCRIPTED_SERVER_H
#define WR_TEST_SCRIPTED_SERVER_H

#include "base/str.h"
#include "base/sync.h"
#include "harness/t.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* One connection after the other gets this, until the test is over. */
static struct {
    int fd;
    char path[104];
    struct wr_thread thread;
    atomic_bool running, over;
    atomic_int asked;    /* connections so far */
    int code;            /* 0: what `raw` says */
    const char *body;    /* of the reply */
    const char *raw;     /* the whole reply; "": closed without a word; NULL: it hangs */
    size_t flood;        /* that many bytes more */
    int drip_ms;         /* between two bytes */
    char request[16384]; /* what came last, head and body; for the test once it was answered */
} server;

/* Wait for input, or the end of the test: false. */
static bool readable(int fd)
{
    while (!atomic_load(&server.over)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};

        if (poll(&p, 1, 10) > 0)
            return true;
    }
    return false;
}

/* Read until the request is complete. */
static bool hear(int fd)
{
    size_t n = 0, want = 0;

    for (;;) {
        ssize_t r = readable(fd) ? read(fd, server.request + n, sizeof(server.request) - 1 - n) : 0;
        const char *end, *length;

        if (r <= 0)
            return false;
        n += (size_t)r;
        server.request[n] = '\0';
        end = strstr(server.request, "\r\n\r\n");
        length = strstr(server.request, "Content-Length: ");
        if (end && length && want == 0) {
            struct wr_str digits = wr_str(length + strlen("Content-Length: ")), rest;
            uint64_t u = 0;

            (void)wr_str_cut(digits, '\r', &digits, &rest);
            if (!wr_parse_u64(digits, &u))
                return false;
            want = (size_t)u;
        }
        if (end && n >= (size_t)(end + 4 - server.request) + want)
            return true;
    }
}

static bool say(int fd, const char *p, size_t n)
{
    while (n > 0 && !atomic_load(&server.over)) {
        ssize_t w = send(fd, p, server.drip_ms ? 1 : n, MSG_NOSIGNAL);

        if (w <= 0)
            return false;
        p += w;
        n -= (size_t)w;
        if (server.drip_ms)
            t_sleep_ms(server.drip_ms);
    }
    return n == 0;
}

static void reply(int fd)
{
    static const char line[] = "x: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n";
    char head[256];

    if (server.code) {
        (void)snprintf(head, sizeof(head),
            "HTTP/1.1 %d Whatever\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
            "Connection: close\r\n\r\n",
            server.code, strlen(server.body) + server.flood);
        if (!say(fd, head, strlen(head)) || !say(fd, server.body, strlen(server.body)))
            return;
    } else if (server.raw) {
        if (!say(fd, server.raw, strlen(server.raw)))
            return;
    } else {
        (void)readable(fd); /* until the client leaves */
    }
    for (size_t i = 0; i < server.flood; i += sizeof(line) - 1)
        if (!say(fd, line, sizeof(line) - 1))
            return;
}

static void serve(void *arg)
{
    (void)arg;
    atomic_store(&server.running, true);
    while (readable(server.fd)) {
        int fd = accept(server.fd, NULL, NULL);

        if (fd < 0)
            continue;
        (void)atomic_fetch_add(&server.asked, 1);
        if (hear(fd))
            reply(fd);
        (void)close(fd);
    }
}

/* Begin to answer at `path`, with 200 and {}. */
static void server_start(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct wr_err e = {0};

    memset(&server, 0, sizeof(server));
    (void)snprintf(server.path, sizeof(server.path), "%s", path);
    memcpy(a.sun_path, server.path, strlen(server.path) + 1);
    server.fd = socket(AF_UNIX, SOCK_STREAM, 0);
    T(server.fd >= 0 && bind(server.fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
        listen(server.fd, 8) == 0);
    server.code = 200;
    server.body = "{}\n";
    T_OK(wr_thread_start(&server.thread, "server", 0, serve, NULL, &e));
    while (!atomic_load(&server.running)) /* what its start allocated is gone again */
        t_sleep_ms(1);
}

static void server_stop(void)
{
    atomic_store(&server.over, true);
    wr_thread_join(&server.thread);
    T(close(server.fd) == 0);
}

#endif
