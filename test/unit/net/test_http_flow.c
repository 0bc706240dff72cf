/*
 * test_http_flow.c - answers that are read as they come: a server that sends what it is told, when
 * it is told.
 */
#include "base/cancel.h"
#include "base/mem.h"
#include "base/sync.h"
#include "fake/httpd.h"
#include "harness/t.h"
#include "net/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

struct bench {
    struct wr_http *h;
    struct wr_call c;
    struct wr_http_resp resp;
    struct wr_buf text;
    struct wr_http_flow *flow;
    int listener, fd; /* the connection; -1: none yet */
    char url[100];
    const char *first; /* what a request is answered with */
    struct wr_thread thread;
};

static struct bench set_up(void)
{
    const struct wr_http_opts o = {.stall_ms = 2000}; /* a busy machine takes its time */
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(a);
    struct bench b = {.c = *t_call(), .fd = -1, .listener = socket(AF_INET, SOCK_STREAM, 0)};
    struct wr_err e = {0};
    T(setenv("NO_PROXY", "*", 1) == 0);
    T(b.listener >= 0 && bind(b.listener, (struct sockaddr *)&a, size) == 0);
    T(listen(b.listener, 1) == 0 && getsockname(b.listener, (struct sockaddr *)&a, &size) == 0);
    (void)snprintf(b.url, sizeof(b.url), "http://127.0.0.1:%u/", ntohs(a.sin_port));
    T_OK(wr_http_new(&o, &b.h, &e));
    wr_buf_init(&b.text, 1000);
    return b;
}

static void tear_down(struct bench *b)
{
    wr_http_end(b->flow);
    wr_http_free(b->h);
    wr_buf_release(&b->text);
    T(b->fd < 0 || close(b->fd) == 0);
    T(close(b->listener) == 0);
}

static void say(const struct bench *b, const char *text)
{
    T(send(b->fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

static void serve(void *arg)
{
    struct bench *b = arg;
    char head[4096];
    size_t n = 0;
    if (b->fd < 0)
        b->fd = accept(b->listener, NULL, NULL);
    T(b->fd >= 0);
    while (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0) {
        ssize_t got = recv(b->fd, head + n, sizeof(head) - n, 0);
        T(got > 0);
        n += (size_t)got;
    }
    say(b, b->first);
}

/* A request that is answered with `first` at once. */
static enum wr_status begin(struct bench *b, const char *first, struct wr_err *e)
{
    const struct wr_http_header header = {WR_STR("X-One"), WR_STR("1")};
    const struct wr_http_req r = {
        .method = "GET", .url = b->url, .headers = &header, .n_headers = 1, .text = &b->text};
    enum wr_status st;
    b->first = first;
    T(wr_thread_start(&b->thread, "server", 0, serve, b, e) == WR_OK);
    st = wr_http_begin(b->h, &b->c, &r, &b->resp, &b->flow, e);
    wr_thread_join(&b->thread);
    return st;
}

static bool has(const struct bench *b, const char *text)
{
    return wr_str_eq(wr_buf_view(&b->text), wr_str(text));
}

/* Who asked had to wait for all of it. */
static void each_piece_is_there_when_it_comes(void **state)
{
    struct bench b = set_up();
    struct wr_err e = {0};
    (void)state;
    for (int round = 0; round < 2; round++) {
        T_OK(begin(&b, CHUNKED "3\r\none\r\n", &e));
        T(b.flow != NULL && b.resp.status == 200 && has(&b, "one"));
        say(&b, "3\r\ntwo\r\n");
        T_OK(wr_http_more(&b.flow, &b.c, &e));
        T(b.flow != NULL && has(&b, "onetwo"));
        wr_arena_reset(b.c.scratch); /* it lives longer than a call */
        b.text.n = 0;                /* what was taken is the reader's business */
        say(&b, "5\r\nthree\r\n0\r\nX-Trailer: 1\r\n\r\n");
        T_OK(wr_http_more(&b.flow, &b.c, &e));
        T(b.flow == NULL && has(&b, "three"));
        T(wr_http_idle(b.h) == 1); /* and the next one has its connection */
    }
    tear_down(&b);
}

static void what_ends_at_once_is_no_flow(void **state)
{
    static const char *const ends[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        CHUNKED "2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 410 Gone\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
    };
    struct wr_err e = {0};
    (void)state;
    for (size_t i = 0; i < wr_countof(ends); i++) {
        struct bench b = set_up();
        T_OK(begin(&b, ends[i], &e));
        while (b.flow != NULL) /* the end may come in a packet of its own */
            T_OK(wr_http_more(&b.flow, &b.c, &e));
        T(has(&b, i == 3 ? "" : "ok"));
        T(b.resp.status == (i == 2 ? 410 : i == 3 ? 204 : 200));
        T(wr_http_idle(b.h) == 1);
        tear_down(&b);
    }
}

static void cancel_it(void *arg)
{
    t_sleep_ms(50);
    wr_cancel_now(arg);
}

/* What ends it otherwise: its connection is none for another request. */
static void a_flow_that_breaks_is_over(void **state)
{
    static const enum wr_status expect[] = {
        WR_BUSY, WR_TIMEOUT, WR_CANCELED, WR_LIMIT, WR_TIMEOUT, WR_OK};
    (void)state;
    for (size_t i = 0; i < wr_countof(expect); i++) {
        struct bench b = set_up();
        struct wr_cancel cancel;
        struct wr_thread canceler;
        struct wr_err e = {0};
        char byte;
        wr_cancel_init(&cancel);
        T_OK(begin(&b, CHUNKED "3\r\none\r\n", &e));
        T(b.flow != NULL);
        if (i == 0)
            T(shutdown(b.fd, SHUT_RDWR) == 0);
        if (i == 2) {
            b.c.cancel = &cancel;
            T_OK(wr_thread_start(&canceler, "cancel", 0, cancel_it, &cancel, &e));
        }
        if (i == 3) {
            b.text.max = 5;
            say(&b, "3\r\ntwo\r\n");
        }
        if (i == 4)
            b.c.deadline_ms = wr_mono_ms(b.c.clock) + 20;
        if (i == 5) {
            wr_http_end(b.flow); /* nobody wants it any more */
            b.flow = NULL;
            T(recv(b.fd, &byte, 1, 0) <= 0);
        } else {
            T_IS(expect[i], wr_http_more(&b.flow, &b.c, &e));
        }
        if (i == 2)
            wr_thread_join(&canceler);
        T(b.flow == NULL && wr_http_idle(b.h) == 0);
        wr_cancel_release(&cancel);
        tear_down(&b);
    }
}

/* What had come by then was lost with the connection, and nobody else might have it. */
static void what_came_before_it_broke_is_there(void **state)
{
    struct bench b = set_up();
    struct wr_err e = {0};
    (void)state;
    T_OK(begin(&b, CHUNKED "3\r\none\r\n", &e));
    say(&b, "3\r\ntwo\r\n5\r\nth");
    T(shutdown(b.fd, SHUT_RDWR) == 0);
    t_sleep_ms(20);
    T_OK(wr_http_more(&b.flow, &b.c, &e));
    T(b.flow != NULL && has(&b, "onetwoth"));
    T_IS(WR_BUSY, wr_http_more(&b.flow, &b.c, &e));
    T(b.flow == NULL && wr_http_idle(b.h) == 0 && has(&b, "onetwoth"));
    tear_down(&b);
}

static void answer(void *arg, const struct httpd_request *r, struct httpd_answer *a)
{
    (void)arg;
    (void)r;
    httpd_add_text(a, "0123456789");
}

static enum wr_status sweep_body(void *arg)
{
    struct wr_http *h = NULL;
    struct wr_http_flow *flow = NULL;
    struct wr_http_resp resp = {0};
    struct wr_err e = {0};
    struct wr_buf text;
    enum wr_status st = wr_http_new(NULL, &h, &e);
    if (st != WR_OK)
        return st;
    wr_buf_init(&text, 100);
    st = wr_http_begin(h, t_call(),
        &(const struct wr_http_req){.method = "GET", .url = arg, .text = &text}, &resp, &flow, &e);
    while (st == WR_OK && flow != NULL)
        st = wr_http_more(&flow, t_call(), &e);
    T(st != WR_OK || text.n == 10);
    wr_http_free(h);
    wr_buf_release(&text);
    return st;
}

static void out_of_memory(void **state)
{
    struct httpd *d = httpd_start(answer, NULL);
    char url[100];
    (void)state;
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/", httpd_port(d));
    t_sweep_nomem(sweep_body, url);
    httpd_stop(d);
}

T_MAIN(T_TEST(each_piece_is_there_when_it_comes), T_TEST(what_ends_at_once_is_no_flow),
    T_TEST(a_flow_that_breaks_is_over), T_TEST(what_came_before_it_broke_is_there),
    T_TEST(out_of_memory))
