/*
 * test_httpd.c - the HTTP server and clients that take their time.
 */
#include "daemon/httpd.h"

#include "base/clock.h"
#include "base/sync.h"
#include "daemon/listen.h"
#include "harness/t.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST_MS 600
#define REPLY_MS   900
#define LARGE      ((size_t)8 << 20)
#define CROWD      128 /* as many as there may be */
#define OVER       1000000u

static struct wr_unix_socket where;
static struct wr_httpd *server;

/* Of one that goes on. */
static struct {
    atomic_uint go; /* pieces that may be made; OVER: no more is */
    atomic_uint made, ended;
    size_t size; /* of each */
} flowing;

static bool make_more(struct wr_httpd_flow *w, struct wr_buf *body)
{
    unsigned n = atomic_load(&flowing.made) + 1;

    (void)w;
    T(body->n == 0);
    while (atomic_load(&flowing.go) < n)
        t_sleep_ms(1);
    if (atomic_load(&flowing.go) == OVER)
        return false;
    wr_buf_fmt(body, "piece %u", n);
    while (body->n < flowing.size)
        wr_buf_byte(body, '.');
    wr_buf_byte(body, '\n');
    atomic_store(&flowing.made, n);
    return true;
}

static void end_flow(struct wr_httpd_flow *w)
{
    (void)w;
    atomic_fetch_add(&flowing.ended, 1);
}

static void answer(void *arg, const struct wr_httpd_request *q, struct wr_httpd_reply *r)
{
    static const char line[] = "0123456789abcde\n";
    static struct wr_httpd_flow flow = {.more = make_more, .end = end_flow};

    (void)arg;
    if (wr_str_starts(wr_str(q->path), WR_STR("/flow")))
        r->flow = &flow;
    if (wr_str_eq(wr_str(q->path), WR_STR("/flow/fails")))
        (void)wr_buf_grow(&r->body, SIZE_MAX);
    if (wr_str_eq(wr_str(q->path), WR_STR("/slow")))
        t_sleep_ms(3 * REQUEST_MS);
    for (size_t i = 0; wr_str_eq(wr_str(q->path), WR_STR("/large")) && i < LARGE; i += 16)
        wr_buf_z(&r->body, line);
    wr_buf_z(&r->body, "done\n");
}

static void begin(bool parallel)
{
    struct wr_err e = {0};

    T_OK(wr_listen_unix(t_path(t_tmpdir(), "s"), 0600, &where, &e));
    T_OK(wr_httpd_new(&(struct wr_httpd_opts){.fd = where.fd,
                          .fn = answer,
                          .parallel = parallel,
                          .request_ms = REQUEST_MS,
                          .reply_ms = REPLY_MS},
        &server, &e));
}

static void end(void)
{
    wr_httpd_free(server);
    wr_unlisten_unix(&where);
}

static int dial(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    memcpy(a.sun_path, where.path, strlen(where.path) + 1);
    T(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    return fd;
}

static bool put(int fd, const char *text)
{
    return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

/* Whether the other end is closed; what it sent before is thrown away. */
static bool is_cut(int fd)
{
    char b[256];
    ssize_t n;

    while ((n = recv(fd, b, sizeof(b), MSG_DONTWAIT)) > 0)
        ;
    return n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

/* An answer within the time, of which nothing is thrown away before it is all there. */
static bool answers(const char *target, int wait_ms)
{
    int fd = dial();
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char text[200], b[4096];
    size_t n = 0;
    ssize_t got = 1;

    (void)snprintf(
        text, sizeof(text), "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", target);
    T(put(fd, text));
    while (got > 0 && poll(&p, 1, wait_ms) == 1) {
        got = read(fd, b + n, sizeof(b) - 1 - n);
        n += got > 0 ? (size_t)got : 0;
    }
    T(close(fd) == 0);
    b[n] = '\0';
    return strstr(b, " 200 ") && strstr(b, "\r\n\r\ndone\n");
}

/* As many as there may be send a byte now and then, of a head or of a body, for as long as they
 * can, and the one who only asks has to get his answer. */
static void check_drips(bool parallel)
{
    static const char head[] = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n";
    int64_t start_ms = wr_mono_ms(wr_clock_system());
    int fds[CROWD];
    size_t left = CROWD;

    begin(parallel);
    for (size_t i = 0; i < CROWD; i++) {
        fds[i] = dial();
        T(put(fds[i], i % 2 ? head : "POST / HTTP/1.1\r\nX: "));
    }
    while (left > 0) {
        T(wr_mono_ms(wr_clock_system()) - start_ms < 20 * REQUEST_MS);
        left = 0;
        for (size_t i = 0; i < CROWD; i++)
            left += put(fds[i], "x");
        t_sleep_ms(REQUEST_MS / 10);
    }
    T(answers("/", 20 * REQUEST_MS));
    for (size_t i = 0; i < CROWD; i++)
        T(close(fds[i]) == 0);
    end();
}

static void test_drips_end(void **state)
{
    (void)state;
    check_drips(true);
    check_drips(false);
}

/* What is asked may take as long as it takes; so may a client with one request after another. */
static void test_who_is_served_is_not_cut_off(void **state)
{
    int fd;

    (void)state;
    begin(true);
    T(answers("/slow", 20 * REQUEST_MS));
    fd = dial();
    for (int i = 0; i < 6; i++) {
        T(put(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
        t_sleep_ms(REQUEST_MS / 2);
        T(!is_cut(fd));
    }
    T(close(fd) == 0);
    end();
}

/* Between two requests as well. */
static void test_an_idle_connection_ends(void **state)
{
    int64_t start_ms;
    int fd;

    (void)state;
    begin(true);
    fd = dial();
    T(put(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    start_ms = wr_mono_ms(wr_clock_system());
    while (!is_cut(fd)) {
        T(wr_mono_ms(wr_clock_system()) - start_ms < 8000); /* silence alone is 10 s */
        t_sleep_ms(20);
    }
    T(wr_mono_ms(wr_clock_system()) - start_ms >= REQUEST_MS / 2);
    T(close(fd) == 0);
    end();
}

/* A large reply that is taken a piece now and then. */
static void test_a_reply_that_is_not_read_ends(void **state)
{
    int64_t start_ms;
    char b[512];
    size_t all = 0;
    ssize_t n;
    int fd;

    (void)state;
    begin(true);
    fd = dial();
    T(put(fd, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n"));
    start_ms = wr_mono_ms(wr_clock_system());
    while ((n = read(fd, b, sizeof(b))) > 0) {
        all += (size_t)n;
        T(wr_mono_ms(wr_clock_system()) - start_ms < 20 * REPLY_MS);
        if (wr_mono_ms(wr_clock_system()) - start_ms < 2 * REPLY_MS)
            t_sleep_ms(20);
    }
    T(all < LARGE);
    T(close(fd) == 0);
    end();
}

/* Until `text` is there, which nothing may follow. */
static void await_text(int fd, const char *text)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    size_t n = 0, size = strlen(text);
    char b[8192];

    while (n < size || memcmp(b + n - size, text, size) != 0) {
        ssize_t got;

        T(n < sizeof(b) && poll(&p, 1, 20 * REQUEST_MS) == 1);
        got = read(fd, b + n, sizeof(b) - n);
        T(got > 0);
        n += (size_t)got;
    }
}

static void await_end(unsigned n)
{
    while (atomic_load(&flowing.ended) < n)
        t_sleep_ms(1);
    T(atomic_load(&flowing.ended) == n);
}

/* What there is of an answer arrives before the rest of it is made. */
static void test_an_answer_goes_on(void **state)
{
    int fd;

    (void)state;
    memset(&flowing, 0, sizeof(flowing));
    begin(true);
    fd = dial();
    T(put(fd, "GET /flow HTTP/1.1\r\nHost: x\r\n\r\n"));
    await_text(fd, "\r\n5\r\ndone\n\r\n");
    for (unsigned i = 1; i < 4; i++) {
        char text[40];

        T(atomic_load(&flowing.made) == i - 1);
        atomic_store(&flowing.go, i);
        (void)snprintf(text, sizeof(text), "8\r\npiece %u\n\r\n", i);
        await_text(fd, text);
    }
    T(atomic_load(&flowing.ended) == 0);
    atomic_store(&flowing.go, OVER);
    await_text(fd, "0\r\n\r\n");
    await_end(1);
    T(put(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")); /* on the same connection */
    await_text(fd, "\r\n\r\ndone\n");
    T(close(fd) == 0);
    T(answers("/flow/fails", 20 * REQUEST_MS) == false);
    await_end(2);
    end();
}

/* Who does not read holds it up until the time for a reply is over, and who goes, until then. */
static void test_an_answer_that_goes_on_ends(void **state)
{
    int64_t start_ms = wr_mono_ms(wr_clock_system());
    int fd;

    (void)state;
    for (unsigned way = 0; way < 2; way++) {
        memset(&flowing, 0, sizeof(flowing));
        flowing.size = (size_t)1 << 20;
        begin(true);
        fd = dial();
        T(put(fd, "GET /flow HTTP/1.1\r\nHost: x\r\n\r\n"));
        await_text(fd, "\r\n5\r\ndone\n\r\n");
        if (way == 1)
            T(close(fd) == 0);
        atomic_store(&flowing.go, 1000);
        await_end(1);
        T(atomic_load(&flowing.made) < 1000);
        if (way == 0) {
            T(wr_mono_ms(wr_clock_system()) - start_ms < 20 * REPLY_MS);
            T(close(fd) == 0);
        }
        end();
    }
}

T_MAIN(T_TEST(test_drips_end), T_TEST(test_who_is_served_is_not_cut_off),
    T_TEST(test_an_idle_connection_ends), T_TEST(test_a_reply_that_is_not_read_ends),
    T_TEST(test_an_answer_goes_on), T_TEST(test_an_answer_that_goes_on_ends))
