/*
 * test_http.c - net/http.h against a scripted server on loopback.
 */
#include "base/cancel.h"
#include "base/curl.h"
#include "base/mem.h"
#include "base/sync.h"
#include "fake/httpd.h"
#include "harness/t.h"
#include "net/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

/* "/size/N" answers N bytes; "/status/N" that status; "/echo" the request's body. */
static void handle(void *arg, const struct httpd_request *r, struct httpd_answer *a)
{
    (void)arg;
    if (strncmp(r->target, "/size/", 6) == 0) {
        unsigned long long n = strtoull(r->target + 6, NULL, 10);
        for (unsigned long long i = 0; i < n; i++)
            httpd_add_body(a, &"0123456789"[i % 10], 1);
    } else if (strncmp(r->target, "/status/", 8) == 0) {
        a->status = (int)strtoull(r->target + 8, NULL, 10);
        httpd_add_header(a, "Location: http://127.0.0.1:1/elsewhere");
        httpd_add_text(a, "an error of %d bytes and more", a->status);
    } else {
        httpd_add_header(a, "X-Method: %s", r->method);
        httpd_add_header(a, "ETag: \"abc\"");
        httpd_add_body(a, r->body, r->n_body);
    }
}

struct bench {
    struct httpd *d;
    struct wr_http *h;
    struct wr_call *c;
    struct wr_http_resp resp;
    struct wr_buf text;
};

static struct bench set_up(const struct wr_http_opts *o)
{
    struct bench b = {.d = httpd_start(handle, NULL), .c = t_call()};
    struct wr_err e = {0};
    T(setenv("NO_PROXY", "*", 1) == 0);
    T_OK(wr_http_new(o, &b.h, &e));
    wr_buf_init(&b.text, 1000);
    return b;
}

static void tear_down(struct bench *b)
{
    wr_buf_release(&b->text);
    wr_http_free(b->h);
    httpd_stop(b->d);
}

static const char *url_of(const struct bench *b, const char *path)
{
    return wr_arena_fmt(b->c->scratch, "http://127.0.0.1:%u%s", httpd_port(b->d), path).p;
}

static enum wr_status get(struct bench *b, const char *path, struct wr_err *e)
{
    const struct wr_http_req r = {.method = "GET", .url = url_of(b, path), .text = &b->text};
    return wr_http_do(b->h, b->c, &r, &b->resp, e);
}

static void methods_and_bodies(void **state)
{
    static const char *const methods[] = {"GET", "PUT", "POST", "DELETE", "HEAD"};
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    for (size_t i = 0; i < wr_countof(methods); i++) {
        for (int with = 0; with < 3; with++) {
            bool has_body = with > 0;
            if (has_body && i != 1 && i != 2)
                continue;
            if (!has_body && (i == 1 || i == 2))
                continue; /* the server demands a length of these */
            const struct wr_http_req r = {.method = methods[i],
                .url = url_of(&b, "/echo"),
                .text = &b.text,
                .body = {(const uint8_t *)"hello", with == 2 ? 5 : 0},
                .has_body = has_body};
            T_OK(wr_http_do(b.h, b.c, &r, &b.resp, &e));
            T(b.resp.status == 200);
            T(wr_str_eq(wr_http_header(&b.resp, "x-METHOD"), wr_str(methods[i])));
            T(wr_str_eq(wr_http_header(&b.resp, "etag"), WR_STR("\"abc\"")));
            T(wr_http_header(&b.resp, "absent").p == NULL);
            T(wr_str_eq(wr_buf_view(&b.text), with == 2 ? WR_STR("hello") : WR_STR("")));
        }
    }
    T(httpd_count(b.d, "Expect") == 0);
    T(httpd_count(b.d, "Transfer-Encoding") == 0);
    T(httpd_count(b.d, "User-Agent: weir/") == httpd_count(b.d, ""));
    tear_down(&b);
}

/* What a request sets in a handle that is kept, the next one on it must not have. */
static void nothing_is_left_of_the_request_before(void **state)
{
    static const char *const methods[] = {"GET", "PUT", "POST", "DELETE", "HEAD"};
    const struct wr_http_header header = {WR_STR("x-first"), WR_STR("1")};
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    for (size_t i = 0; i < wr_countof(methods) * wr_countof(methods) * 2; i++) {
        bool first = i % 2 == 0;
        size_t m = first ? i / 2 / wr_countof(methods) : i / 2 % wr_countof(methods);
        bool has_body = m == 1 || m == 2;
        const struct wr_http_req r = {.method = methods[m],
            .url = url_of(&b, first ? "/echo?first" : "/echo"),
            .headers = &header,
            .n_headers = first,
            .text = &b.text,
            .body = {(const uint8_t *)"hello", has_body ? 5 : 0},
            .has_body = has_body};
        T_OK(wr_http_do(b.h, b.c, &r, &b.resp, &e));
        T(b.resp.status == 200);
        T(wr_str_eq(wr_http_header(&b.resp, "x-METHOD"), wr_str(methods[m])));
        T(wr_str_eq(wr_buf_view(&b.text), has_body ? WR_STR("hello") : WR_STR("")));
    }
    T(httpd_count(b.d, "x-first: 1\r\n") == 25 && httpd_count(b.d, "/echo?first ") == 25);
    T(httpd_count(b.d, "Content-Length: 5\r\n") == 20);
    T(httpd_count(b.d, "User-Agent: weir/") == 50);
    tear_down(&b);
}

/* What was signed must be what is sent, byte for byte. */
static void the_url_is_sent_as_it_is(void **state)
{
    static const char *const paths[] = {"/a//b/../c/./d", "/%7Eu%2f?x=%20&y=&z", "/..", "/?a=b=c"};
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    for (size_t i = 0; i < wr_countof(paths); i++) {
        T_OK(get(&b, paths[i], &e));
        struct wr_str line = wr_arena_fmt(b.c->scratch, "GET %s HTTP/1.1\r\n", paths[i]);
        T(httpd_count(b.d, line.p) == 1);
    }
    tear_down(&b);
}

/* Which of these a proxy is asked for: nothing was lost where there is none, but a store on this
 * machine was not found where there is one; and one behind HTTP_PROXY was not either. */
static void proxies(void **state)
{
    static const struct {
        const char *name, *host;
        bool proxied;
    } cases[] = {
        {"http_proxy", "127.0.0.1", false},
        {"http_proxy", "localhost", false},
        {"http_proxy", "b.LocalHost", false},
        {"ALL_PROXY", "127.0.0.1", false},
        {"http_proxy", "127.0.0.1.invalid", true},
        {"http_proxy", "127.invalid.0.1", true},
        {"http_proxy", "localhost.invalid", true},
        {"HTTP_PROXY", "s3.invalid", true},
        {"ALL_PROXY", "s3.invalid", true},
    };
    (void)state;
    for (size_t i = 0; i < wr_countof(cases); i++) {
        struct bench b = set_up(NULL);
        struct wr_err e = {0};
        const char *url =
            wr_arena_fmt(b.c->scratch, "http://%s:%u/x", cases[i].host, httpd_port(b.d)).p;
        const struct wr_http_req r = {.method = "GET", .url = url, .text = &b.text};
        T(unsetenv("NO_PROXY") == 0);
        T(setenv(cases[i].name, cases[i].proxied ? url_of(&b, "") : "http://127.0.0.1:1", 1) == 0);
        T_OK(wr_http_do(b.h, b.c, &r, &b.resp, &e));
        T(httpd_count(b.d, cases[i].proxied ? "GET http://" : "GET /x ") == 1);
        T(unsetenv(cases[i].name) == 0);
        tear_down(&b);
    }
}

static void headers_are_sent(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    const struct wr_http_header headers[] = {{WR_STR("host"), WR_STR("bucket.example:99")},
        {WR_STR("x-a"), WR_STR("1 2")}, {WR_STR("x-empty"), WR_STR("")}};
    const struct wr_http_req r = {
        .method = "GET", .url = url_of(&b, "/"), .headers = headers, .n_headers = 3};
    (void)state;
    T_OK(wr_http_do(b.h, b.c, &r, &b.resp, &e));
    T(httpd_count(b.d, "Host: bucket.example:99\r\n") == 1);
    T(httpd_count(b.d, "Host: 127") == 0);
    T(httpd_count(b.d, "x-a: 1 2\r\n") == 1);
    T(httpd_count(b.d, "x-empty:\r\n") == 1);
    tear_down(&b);
}

static void line_breaks_are_refused(void **state)
{
    static const char *const bad[] = {"a\r\nx-forged: 1", "a\nb", "\r"};
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    for (size_t i = 0; i < wr_countof(bad); i++) {
        const struct wr_http_header h = {WR_STR("x-a"), wr_str(bad[i])};
        const struct wr_http_req r = {
            .method = "GET", .url = url_of(&b, "/"), .headers = &h, .n_headers = 1};
        T_IS(WR_MISUSE, wr_http_do(b.h, b.c, &r, &b.resp, &e));
    }
    T(httpd_count(b.d, "") == 0);
    tear_down(&b);
}

/* Every status is an answer; redirects are not followed. */
static void statuses_are_the_callers(void **state)
{
    static const int statuses[] = {200, 204, 206, 301, 304, 307, 400, 403, 404, 412, 416, 500, 503};
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    for (size_t i = 0; i < wr_countof(statuses); i++) {
        char path[32];
        if (statuses[i] == 204 || statuses[i] == 304)
            continue; /* have no body, which the server would send */
        (void)snprintf(path, sizeof(path), "/status/%d", statuses[i]);
        T_OK(get(&b, path, &e));
        T(b.resp.status == statuses[i]);
        T(wr_str_starts(wr_buf_view(&b.text), WR_STR("an error of ")));
    }
    T(httpd_connections(b.d) == 1);
    tear_down(&b);
}

static void connections_are_reused(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    T(wr_http_idle(b.h) == 0);
    for (int i = 0; i < 20; i++)
        T_OK(get(&b, "/size/100", &e));
    T(httpd_connections(b.d) == 1);
    T(wr_http_idle(b.h) == 1);
    tear_down(&b);
}

/* A server may hang up an idle connection at any time. */
static void closed_connections_are_replaced(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    for (int i = 0; i < 5; i++) {
        httpd_fault(b.d, &(struct httpd_fault){.kind = HTTPD_GOODBYE});
        T_OK(get(&b, "/size/10", &e));
    }
    T_OK(get(&b, "/size/10", &e));
    T(b.resp.status == 200 && b.text.n == 10);
    tear_down(&b);
}

struct worker {
    struct bench *b;
    struct wr_thread thread;
    bool ok;
};

static void work(void *arg)
{
    struct worker *w = arg;
    struct wr_arena scratch;
    struct wr_http_resp resp;
    uint8_t out[5000];
    wr_arena_init(&scratch, WR_ARENA_MAX);
    struct wr_call c = {.scratch = &scratch, .clock = wr_clock_system(), .deadline_ms = WR_NEVER};
    const struct wr_http_req r = {.method = "GET",
        .url = wr_arena_fmt(&scratch, "http://127.0.0.1:%u/size/5000", httpd_port(w->b->d)).p,
        .into = out,
        .into_size = sizeof(out)};
    w->ok = true;
    for (int i = 0; i < 20 && w->ok; i++)
        w->ok = wr_http_do(w->b->h, &c, &r, &resp, NULL) == WR_OK && resp.into_n == sizeof(out) &&
                out[4999] == '9';
    wr_arena_release(&scratch);
}

static void threads_share_a_bounded_pool(void **state)
{
    struct bench b = set_up(&(struct wr_http_opts){.idle_max = 3});
    struct worker w[8];
    struct wr_err e = {0};
    (void)state;
    for (int i = 0; i < 8; i++) {
        w[i] = (struct worker){.b = &b};
        T_OK(wr_thread_start(&w[i].thread, "worker", 0, work, &w[i], &e));
    }
    for (int i = 0; i < 8; i++) {
        wr_thread_join(&w[i].thread);
        T(w[i].ok);
    }
    T(wr_http_idle(b.h) <= 3 && wr_http_idle(b.h) >= 1);
    T(httpd_connections(b.d) < 160);
    tear_down(&b);
}

#define ORIGINS 17 /* one more than the slots that are kept of each */

/* Ask servers `from` and later once each, in turn. */
static void ask_in_turn(struct bench *b, struct httpd *const *d, size_t from)
{
    struct wr_err e = {0};
    for (size_t i = from; i < ORIGINS; i++) {
        const struct wr_http_req r = {.method = "GET",
            .url = wr_arena_fmt(b->c->scratch, "http://127.0.0.1:%u/size/1", httpd_port(d[i])).p,
            .text = &b->text};
        T_OK(wr_http_do(b->h, b->c, &r, &b->resp, &e));
    }
}

/* As when each bucket has a host of its own. */
static void test_many_origins_took_each_others_connections(void **state)
{
    struct bench b = set_up(NULL);
    struct httpd *d[ORIGINS];
    (void)state;
    for (size_t i = 0; i < ORIGINS; i++)
        d[i] = httpd_start(handle, NULL);
    for (int round = 0; round < 3; round++)
        ask_in_turn(&b, d, 0);
    for (size_t i = 0; i < ORIGINS; i++)
        T(httpd_connections(d[i]) == 1);
    T(wr_http_idle(b.h) == ORIGINS);
    for (size_t i = 0; i < ORIGINS; i++)
        httpd_stop(d[i]);
    tear_down(&b);
}

/* There are at most 16 times as many idle slots as one origin may have; the oldest goes. */
static void many_origins_share_a_bounded_pool(void **state)
{
    struct bench b = set_up(&(struct wr_http_opts){.idle_max = 1});
    struct httpd *d[ORIGINS];
    (void)state;
    for (size_t i = 0; i < ORIGINS; i++)
        d[i] = httpd_start(handle, NULL);
    ask_in_turn(&b, d, 0);
    T(wr_http_idle(b.h) == ORIGINS - 1);
    ask_in_turn(&b, d, 1);
    T(wr_http_idle(b.h) == ORIGINS - 1);
    for (size_t i = 0; i < ORIGINS; i++)
        T(httpd_connections(d[i]) == 1);
    ask_in_turn(&b, d, 0);
    T(httpd_connections(d[0]) == 2);
    for (size_t i = 0; i < ORIGINS; i++)
        httpd_stop(d[i]);
    tear_down(&b);
}

static void answers_are_bounded(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    uint8_t out[101];
    struct wr_http_req r = {
        .method = "GET", .url = url_of(&b, "/size/100"), .into = out, .into_size = 100};
    (void)state;
    out[100] = '#';
    T_OK(wr_http_do(b.h, b.c, &r, &b.resp, &e));
    T(b.resp.into_n == 100 && memcmp(out, "0123456789", 10) == 0);
    r.into_size = 99;
    T_IS(WR_LIMIT, wr_http_do(b.h, b.c, &r, &b.resp, &e));
    r.into_size = 0;
    T_IS(WR_LIMIT, wr_http_do(b.h, b.c, &r, &b.resp, &e));
    T(out[100] == '#');

    T_OK(get(&b, "/size/1000", &e));
    T(b.text.n == 1000);
    T_IS(WR_LIMIT, get(&b, "/size/1001", &e));
    /* The rest of an error is dropped, and its status kept. */
    wr_buf_release(&b.text);
    wr_buf_init(&b.text, 12);
    T_OK(get(&b, "/status/500", &e));
    T(b.resp.status == 500 && wr_str_eq(wr_buf_view(&b.text), WR_STR("an error of ")));
    /* `into` is for answers that succeed. */
    r = (struct wr_http_req){.method = "GET",
        .url = url_of(&b, "/status/404"),
        .into = out,
        .into_size = 100,
        .text = &b.text};
    T_OK(wr_http_do(b.h, b.c, &r, &b.resp, &e));
    T(b.resp.into_n == 0 && b.text.n == 12);
    tear_down(&b);
}

static char *long_head(size_t lines, size_t width)
{
    size_t size = 200 + lines * (width + 16);
    char *p = wr_alloc(size);
    T(p != NULL);
    size_t n = (size_t)snprintf(p, size, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
    for (size_t i = 0; i < lines; i++)
        n += (size_t)snprintf(p + n, size - n, "x-%zu: %0*d\r\n", i, (int)width, 7);
    (void)snprintf(p + n, size - n, "\r\n");
    return p;
}

static void heads_are_bounded(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    char *fits = long_head(WR_HTTP_HEADERS_MAX - 1, 10), *many = long_head(WR_HTTP_HEADERS_MAX, 10);
    char *wide = long_head(40, 1000);
    (void)state;
    httpd_fault(b.d, &(struct httpd_fault){.kind = HTTPD_REPLY, .match = "/1", .reply = fits});
    httpd_fault(b.d, &(struct httpd_fault){.kind = HTTPD_REPLY, .match = "/2", .reply = many});
    httpd_fault(b.d, &(struct httpd_fault){.kind = HTTPD_REPLY, .match = "/3", .reply = wide});
    T_OK(get(&b, "/1", &e));
    T(b.resp.n == WR_HTTP_HEADERS_MAX);
    T_IS(WR_LIMIT, get(&b, "/2", &e));
    T_IS(WR_LIMIT, get(&b, "/3", &e));
    tear_down(&b); /* the server reads the replies until it ends */
    wr_free(fits);
    wr_free(many);
    wr_free(wide);
}

static void interim_answers_are_skipped(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    httpd_fault(b.d, &(struct httpd_fault){.kind = HTTPD_REPLY,
                         .reply = "HTTP/1.1 102 Processing\r\nx-a: old\r\n\r\n"
                                  "HTTP/1.1 200 OK\r\nx-b: new\r\nContent-Length: 2\r\n\r\nok"});
    T_OK(get(&b, "/", &e));
    T(b.resp.status == 200 && b.text.n == 2);
    T(wr_http_header(&b.resp, "x-a").p == NULL);
    T(wr_str_eq(wr_http_header(&b.resp, "x-b"), WR_STR("new")));
    tear_down(&b);
}

static void garbage_is_no_answer(void **state)
{
    static const char *const replies[] = {"SSH-2.0-OpenSSH_9.2\r\n", "HTTP/0.9\r\n\r\n",
        "\r\n\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "HTTP/1.1 abc\r\n\r\n"};
    struct bench b = set_up(&(struct wr_http_opts){.stall_ms = 300});
    struct wr_err e = {0};
    (void)state;
    for (size_t i = 0; i < wr_countof(replies); i++) {
        httpd_forget(b.d);
        httpd_fault(b.d, &(struct httpd_fault){.kind = HTTPD_REPLY, .reply = replies[i]});
        enum wr_status st = get(&b, "/", &e);
        T(st != WR_OK || b.resp.status == 200); /* an absurd length is ignored */
    }
    tear_down(&b);
}

static void expect_text(const struct bench *b, const struct wr_err *e)
{
    struct wr_str origin = wr_arena_fmt(b->c->scratch, "http://127.0.0.1:%u", httpd_port(b->d));
    T(strstr(e->text, origin.p) != NULL);
    T(strstr(e->text, "SECRET") == NULL); /* part of every path and query below */
}

/* A body that ends early, an answer that never comes after the request was carried out. */
static void broken_connections_are_busy(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    for (size_t cut = 0; cut < 100; cut += 33) {
        httpd_fault(b.d, &(struct httpd_fault){.kind = HTTPD_CUT, .n = cut});
        T_IS(WR_BUSY, get(&b, "/size/100?SECRET", &e));
        expect_text(&b, &e);
    }
    httpd_fault(b.d, &(struct httpd_fault){.kind = HTTPD_LOST});
    T_IS(WR_BUSY, get(&b, "/size/100?SECRET", &e));
    expect_text(&b, &e);
    T(wr_http_idle(b.h) == 0); /* a slot in an unknown state is not kept */
    T_OK(get(&b, "/size/100", &e));
    tear_down(&b);
}

/* libcurl resends by itself on a reused connection that breaks; a request with a body must not be,
 * because only the caller knows whether that is harmless. */
static void bodies_are_sent_once(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    const struct wr_http_req r = {.method = "PUT",
        .url = url_of(&b, "/echo"),
        .body = {(const uint8_t *)"hello", 5},
        .has_body = true};
    (void)state;
    T_OK(get(&b, "/size/1", &e));
    httpd_fault(b.d, &(struct httpd_fault){.kind = HTTPD_LOST, .match = "PUT"});
    T_IS(WR_BUSY, wr_http_do(b.h, b.c, &r, &b.resp, &e));
    T(httpd_count(b.d, "PUT /echo") == 1);
    tear_down(&b);
}

static void nobody_there_is_busy(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(sa);
    (void)state;
    /* A port that is bound and does not listen refuses. */
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    T(fd >= 0 && bind(fd, (struct sockaddr *)&sa, n) == 0);
    T(getsockname(fd, (struct sockaddr *)&sa, &n) == 0);
    struct wr_str url =
        wr_arena_fmt(b.c->scratch, "http://127.0.0.1:%u/SECRET", (unsigned)ntohs(sa.sin_port));
    const struct wr_http_req r = {.method = "GET", .url = url.p};
    T_IS(WR_BUSY, wr_http_do(b.h, b.c, &r, &b.resp, &e));
    T(strstr(e.text, "cannot connect") != NULL && strstr(e.text, "SECRET") == NULL);
    (void)close(fd);
    tear_down(&b);
}

static void a_stall_is_a_timeout(void **state)
{
    struct bench b = set_up(&(struct wr_http_opts){.stall_ms = 50});
    struct wr_err e = {0};
    (void)state;
    httpd_fault(b.d, &(struct httpd_fault){.kind = HTTPD_STALL});
    T_IS(WR_TIMEOUT, get(&b, "/SECRET", &e));
    expect_text(&b, &e);
    T(strstr(e.text, "no data for 50 ms") != NULL);
    httpd_fault(b.d, &(struct httpd_fault){.kind = HTTPD_HANG, .n = 10});
    T_IS(WR_TIMEOUT, get(&b, "/size/100", &e));
    struct wr_http_req r = {.method = "GET", .url = url_of(&b, "/"), .stall_ms = 20};
    httpd_fault(b.d, &(struct httpd_fault){.kind = HTTPD_STALL});
    T_IS(WR_TIMEOUT, wr_http_do(b.h, b.c, &r, &b.resp, &e));
    T(strstr(e.text, "no data for 20 ms") != NULL);
    tear_down(&b);
}

static void the_deadline_ends_a_request(void **state)
{
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    httpd_fault(b.d, &(struct httpd_fault){.kind = HTTPD_STALL, .times = 2});
    b.c->deadline_ms = wr_mono_ms(b.c->clock) + 40;
    T_IS(WR_TIMEOUT, get(&b, "/SECRET", &e));
    T(wr_mono_ms(b.c->clock) >= b.c->deadline_ms);
    /* Past it, nothing is sent. */
    size_t sent = httpd_count(b.d, "");
    T_IS(WR_TIMEOUT, get(&b, "/SECRET", &e));
    T(httpd_count(b.d, "") == sent);
    tear_down(&b);
}

static void cancel_when_asked(void *arg)
{
    struct bench *b = arg;
    httpd_await(b->d, "/slow");
    wr_cancel_now(b->c->cancel);
}

static int64_t cancel_once(struct bench *b)
{
    struct wr_err e = {0};
    struct wr_cancel token;
    struct wr_thread t;
    wr_cancel_init(&token);
    b->c->cancel = &token;
    httpd_forget(b->d);
    httpd_fault(b->d, &(struct httpd_fault){.kind = HTTPD_STALL, .match = "/slow"});
    T_OK(wr_thread_start(&t, "cancel", 0, cancel_when_asked, b, &e));
    int64_t start = wr_mono_ms(b->c->clock);
    T_IS(WR_CANCELED, get(b, "/slow", &e));
    int64_t took = wr_mono_ms(b->c->clock) - start;
    wr_thread_join(&t);
    size_t sent = httpd_count(b->d, "");
    T_IS(WR_CANCELED, get(b, "/size/1", &e));
    T(httpd_count(b->d, "") == sent);
    b->c->cancel = NULL;
    wr_cancel_release(&token);
    return took;
}

/* At once and not when the poll ends by itself; the best of some, as the machine may be busy. */
static void cancel_ends_a_request(void **state)
{
    struct bench b = set_up(NULL);
    int64_t best = INT64_MAX;
    (void)state;
    for (int i = 0; i < 10 && best >= 50; i++)
        best = wr_min(best, cancel_once(&b));
    T(best < 50);
    tear_down(&b);
}

static void other_protocols_are_misuse(void **state)
{
    static const char *const urls[] = {
        "file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://h/", ":"};
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    for (size_t i = 0; i < wr_countof(urls); i++) {
        const struct wr_http_req r = {.method = "GET", .url = urls[i], .text = &b.text};
        T_IS(WR_MISUSE, wr_http_do(b.h, b.c, &r, &b.resp, &e));
        T(b.text.n == 0);
    }
    tear_down(&b);
}

/* Whatever the pieces in which they are sent, and with those of the request before. */
static void large_bodies(void **state)
{
    static const size_t sizes[] = {(size_t)3 << 20, ((size_t)256 << 10) - 1, (size_t)256 << 10,
        ((size_t)256 << 10) + 1, 1, (size_t)1 << 20};
    struct bench b = set_up(NULL);
    struct wr_err e = {0};
    size_t max = (size_t)3 << 20;
    uint8_t *p = wr_alloc(max), *back = wr_alloc(max);
    (void)state;
    T(p != NULL && back != NULL);
    for (size_t i = 0; i < max; i++)
        p[i] = (uint8_t)(i * 2654435761U >> 13);
    for (size_t i = 0; i < wr_countof(sizes); i++) {
        const struct wr_http_req r = {.method = "PUT",
            .url = url_of(&b, "/echo"),
            .body = {p, sizes[i]},
            .has_body = true,
            .into = back,
            .into_size = max};
        memset(back, 0, max);
        T_OK(wr_http_do(b.h, b.c, &r, &b.resp, &e));
        T(b.resp.into_n == sizes[i] && memcmp(p, back, sizes[i]) == 0);
    }
    T(httpd_connections(b.d) == 1);
    wr_free(p);
    wr_free(back);
    tear_down(&b);
}

static void unreadable_certificates_are_misuse(void **state)
{
    struct wr_http *h = NULL;
    struct wr_err e = {0};
    (void)state;
    T_IS(WR_MISUSE, wr_http_new(&(struct wr_http_opts){.ca_file = "/nonexistent.pem"}, &h, &e));
    T(strstr(e.text, "/nonexistent.pem") != NULL);
    wr_http_free(NULL);
}

static void dates(void **state)
{
    int64_t ms = -1;
    (void)state;
    T(wr_http_date(WR_STR("Sun, 06 Nov 1994 08:49:37 GMT"), &ms) && ms == 784111777000);
    T(wr_http_date(WR_STR("Sunday, 06-Nov-94 08:49:37 GMT"), &ms) && ms == 784111777000);
    T(wr_http_date(WR_STR("Sun Nov  6 08:49:37 1994"), &ms) && ms == 784111777000);
    T(wr_http_date(WR_STR("Sun, 22 Nov 2026 18:54:31 GMT"), &ms) && ms == 1795373671000);
    ms = 5;
    T(!wr_http_date(WR_STR(""), &ms));
    T(!wr_http_date(WR_STR("yesterday"), &ms));
    T(!wr_http_date(
        WR_STR("Sun, 06 Nov 1994 08:49:37 GMT, and much more than any date would need"), &ms));
    T(ms == 5);
}

static enum wr_status sweep_body(void *arg)
{
    struct bench *b = arg;
    struct wr_http *h = NULL;
    struct wr_http_resp resp;
    struct wr_call *c = t_call();
    struct wr_buf text;
    const struct wr_http_header header = {WR_STR("x-a"), WR_STR("1")};
    const struct wr_http_req r = {.method = "GET",
        .url = url_of(b, "/size/500"),
        .headers = &header,
        .n_headers = 1,
        .text = &text};
    if (r.url == NULL)
        return WR_NOMEM;
    wr_buf_init(&text, 1000);
    enum wr_status st = wr_http_new(NULL, &h, NULL);
    if (st == WR_OK)
        st = wr_http_do(h, c, &r, &resp, NULL);
    wr_http_free(h);
    wr_buf_release(&text);
    return st;
}

static void out_of_memory(void **state)
{
    struct bench b = set_up(NULL);
    (void)state;
    t_sweep_nomem(sweep_body, &b);
    tear_down(&b);
}

static __typeof__(curl_easy_setopt) *libcurls_setopt;
static CURLoption unknown;

static CURLcode setopt_of_another_version(CURL *easy, CURLoption option, ...)
{
    CURLcode code = CURLE_UNKNOWN_OPTION;
    va_list ap;
    va_start(ap, option);
    if (option != unknown && option < CURLOPTTYPE_OBJECTPOINT)
        code = libcurls_setopt(easy, option, va_arg(ap, long));
    else if (option != unknown && option / CURLOPTTYPE_OBJECTPOINT == 3)
        code = libcurls_setopt(easy, option, va_arg(ap, curl_off_t));
    else if (option != unknown)
        code = libcurls_setopt(easy, option, va_arg(ap, void *));
    va_end(ap);
    return code;
}

/* It was called want of memory whatever it was: for each request, with a libcurl that is older than
 * an option which no request needs. */
static void test_an_option_of_a_newer_libcurl_was_out_of_memory(void **state)
{
    struct bench b = set_up(NULL), anew = set_up(NULL);
    struct wr_err e = {0};
    (void)state;
    T_OK(wr_curl_load(&e));
    struct wr_curl *table = (struct wr_curl *)(uintptr_t)wr_curl();
    libcurls_setopt = table->easy_setopt;
    table->easy_setopt = setopt_of_another_version;
    unknown = WR_CURL_QUICK_EXIT;
    enum wr_status without = get(&b, "/size/10", &e);
    unknown = CURLOPT_HEADERFUNCTION;
    enum wr_status needed = get(&anew, "/size/10", &e);
    table->easy_setopt = libcurls_setopt;
    T(without == WR_OK);
    T(needed == WR_IO);
    T(strstr(e.text, "http://127.0.0.1:") == e.text && strstr(e.text, " refused an option: "));
    tear_down(&anew);
    tear_down(&b);
}

T_MAIN(T_TEST(methods_and_bodies), T_TEST(nothing_is_left_of_the_request_before),
    T_TEST(the_url_is_sent_as_it_is), T_TEST(proxies), T_TEST(headers_are_sent),
    T_TEST(line_breaks_are_refused), T_TEST(statuses_are_the_callers),
    T_TEST(connections_are_reused), T_TEST(closed_connections_are_replaced),
    T_TEST(threads_share_a_bounded_pool), T_TEST(test_many_origins_took_each_others_connections),
    T_TEST(many_origins_share_a_bounded_pool), T_TEST(answers_are_bounded),
    T_TEST(test_an_option_of_a_newer_libcurl_was_out_of_memory), T_TEST(heads_are_bounded),
    T_TEST(interim_answers_are_skipped), T_TEST(garbage_is_no_answer),
    T_TEST(broken_connections_are_busy), T_TEST(bodies_are_sent_once), T_TEST(nobody_there_is_busy),
    T_TEST(a_stall_is_a_timeout), T_TEST(the_deadline_ends_a_request),
    T_TEST(cancel_ends_a_request), T_TEST(other_protocols_are_misuse), T_TEST(large_bodies),
    T_TEST(unreadable_certificates_are_misuse), T_TEST(dates), T_TEST(out_of_memory))
