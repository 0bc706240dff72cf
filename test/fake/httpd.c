/*
 * httpd.c - the server of httpd.h: a thread that accepts, a thread for each connection.
 *
 * Strict where clients go wrong: a request with a body must say how long it is, a header line must
 * have a colon, nothing is chunked. Anything else is answered with 400 and the connection closed.
 */
#define WR_MEM_IMPLEMENTATION
#include "fake/httpd.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX 65536
#define BODY_MAX ((size_t)256 << 20)

struct connection {
    struct httpd *d;
    int fd; /* guarded by the server's mutex once closed */
    pthread_t thread;
    struct connection *next;
};

struct logged {
    char *head;
    struct logged *next;
};

struct script {
    struct httpd_fault f;
    unsigned seen, used;
    struct script *next;
};

struct httpd {
    httpd_handler *handler;
    void *arg;
    int fd;
    unsigned port;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards all below, and the handler's own state */
    pthread_cond_t arrived;
    struct connection *connections;
    struct logged *log;
    struct script *script;
    size_t n_connections;
    bool stopping;
};

static void *must(void *p)
{
    if (p == NULL) {
        (void)fprintf(stderr, "httpd: out of memory\n");
        abort();
    }
    return p;
}

const char *httpd_header(const struct httpd_request *r, const char *name)
{
    for (size_t i = 0; i < r->n_headers; i++)
        if (strcasecmp(r->names[i], name) == 0)
            return r->values[i];
    return NULL;
}

void httpd_add_header(struct httpd_answer *a, const char *fmt, ...)
{
    size_t n = strlen(a->headers);
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(a->headers + n, sizeof(a->headers) - n, fmt, ap);
    va_end(ap);
    if (len < 0 || (size_t)len + 3 > sizeof(a->headers) - n)
        abort();
    memcpy(a->headers + n + len, "\r\n", 3);
}

void httpd_add_body(struct httpd_answer *a, const void *p, size_t n)
{
    if (n == 0)
        return;
    a->body = must(realloc(a->body, a->n_body + n));
    memcpy(a->body + a->n_body, p, n);
    a->n_body += n;
}

void *httpd_state(struct httpd_answer *a, size_t size)
{
    a->state = must(calloc(1, size));
    return a->state;
}

void httpd_add_text(struct httpd_answer *a, const char *fmt, ...)
{
    char small[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof(small), fmt, ap);
    va_end(ap);
    if (n < 0)
        abort();
    if ((size_t)n < sizeof(small)) {
        httpd_add_body(a, small, (size_t)n);
        return;
    }
    char *text = must(malloc((size_t)n + 1));
    va_start(ap, fmt);
    (void)vsnprintf(text, (size_t)n + 1, fmt, ap);
    va_end(ap);
    httpd_add_body(a, text, (size_t)n);
    free(text);
}

/* ---- one connection ---- */

static bool send_all(int fd, const void *p, size_t n)
{
    const uint8_t *at = p;
    while (n > 0) {
        ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
        n -= (size_t)sent;
    }
    return true;
}

static void reset(int fd)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

/* Until the client or httpd_stop ends it. */
static void stall(int fd)
{
    char drop[4096];
    while (recv(fd, drop, sizeof(drop), 0) > 0)
        ;
}

static void request_free(struct httpd_request *r)
{
    free(r->head);
    free(r->method);
    free(r->body);
    *r = (struct httpd_request){.n_body = 0};
}

/* Up to the empty line and not a byte more: what follows is peeked at and left. */
static char *read_head(int fd)
{
    char *head = must(malloc(HEAD_MAX));
    size_t n = 0;
    while (n + 1 < HEAD_MAX) {
        ssize_t more = recv(fd, head + n, HEAD_MAX - 1 - n, MSG_PEEK);
        if (more <= 0)
            break;
        head[n + (size_t)more] = '\0';
        char *end = strstr(head + (n > 3 ? n - 3 : 0), "\r\n\r\n");
        size_t take = end != NULL ? (size_t)(end + 4 - head) - n : (size_t)more;
        if (recv(fd, head + n, take, 0) != (ssize_t)take)
            break;
        n += take;
        head[n] = '\0';
        if (end != NULL)
            return head;
    }
    free(head);
    return NULL;
}

/* Split "METHOD target HTTP/1.1" and the header lines in place. */
static bool parse_head(struct httpd_request *r)
{
    size_t size = strlen(r->head) + 1;
    r->method = must(malloc(size));
    memcpy(r->method, r->head, size);
    char *line_end = strstr(r->method, "\r\n");
    char *space = strchr(r->method, ' ');
    if (space == NULL || space > line_end)
        return false;
    *space = '\0';
    r->target = space + 1;
    char *version = strchr(r->target, ' ');
    if (version == NULL || version > line_end || strncmp(version, " HTTP/1.1\r\n", 11) != 0)
        return false;
    *version = '\0';
    for (char *line = line_end + 2; strncmp(line, "\r\n", 2) != 0; line = line_end + 2) {
        line_end = strstr(line, "\r\n");
        char *colon = strchr(line, ':');
        if (colon == NULL || colon > line_end || r->n_headers == HTTPD_HEADERS_MAX)
            return false;
        *line_end = '\0';
        *colon = '\0';
        char *value = colon + 1 + strspn(colon + 1, " ");
        r->names[r->n_headers] = line;
        r->values[r->n_headers++] = value;
    }
    return true;
}

static bool read_body(int fd, struct httpd_request *r)
{
    const char *length = httpd_header(r, "Content-Length");
    if (httpd_header(r, "Transfer-Encoding") != NULL || httpd_header(r, "Expect") != NULL)
        return false;
    if (length == NULL)
        return strcmp(r->method, "PUT") != 0 && strcmp(r->method, "POST") != 0;
    char *end;
    unsigned long long n = strtoull(length, &end, 10);
    if (*end != '\0' || n > BODY_MAX)
        return false;
    r->n_body = (size_t)n;
    r->body = must(malloc(r->n_body + 1));
    r->body[r->n_body] = 0;
    for (size_t got = 0; got < r->n_body;) {
        ssize_t k = recv(fd, r->body + got, r->n_body - got, 0);
        if (k <= 0)
            return false;
        got += (size_t)k;
    }
    return true;
}

/* The fault that strikes this request, taken from the script. Mutex held. */
static bool take_fault(struct httpd *d, const struct httpd_request *r, struct httpd_fault *ret)
{
    size_t n = strlen(r->method) + strlen(r->target) + 2;
    char *what = must(malloc(n));
    bool found = false;
    (void)snprintf(what, n, "%s %s", r->method, r->target);
    for (struct script *s = d->script; s != NULL && !found; s = s->next) {
        if (s->f.match != NULL && strstr(what, s->f.match) == NULL)
            continue;
        if (s->used == wr_max(s->f.times, 1U) || s->seen++ < s->f.skip)
            continue;
        s->used++;
        *ret = s->f;
        found = true;
    }
    free(what);
    return found;
}

static bool send_answer(
    int fd, const struct httpd_request *r, const struct httpd_answer *a, size_t body_max)
{
    char head[6000];
    bool no_body = strcmp(r->method, "HEAD") == 0;
    /* A HEAD answer's length is that of the body which GET would get. */
    int n = snprintf(head, sizeof(head), "HTTP/1.1 %d Status\r\n%sContent-Length: %zu\r\n\r\n",
        a->status, a->headers, a->n_body);
    if (n < 0 || (size_t)n >= sizeof(head))
        abort();
    return send_all(fd, head, (size_t)n) &&
           (no_body || send_all(fd, a->body, wr_min(a->n_body, body_max)));
}

static bool send_chunk(int fd, const struct httpd_answer *a)
{
    char size[20];
    int n = snprintf(size, sizeof(size), "%zx\r\n", a->n_body);
    return a->n_body == 0 || (send_all(fd, size, (size_t)n) && send_all(fd, a->body, a->n_body) &&
                                 send_all(fd, "\r\n", 2));
}

/* Piece by piece. False: end the connection. */
static bool send_pieces(struct httpd *d, int fd, struct httpd_answer *a)
{
    char head[6000];
    int n = snprintf(head, sizeof(head),
        "HTTP/1.1 %d Status\r\n%sTransfer-Encoding: chunked\r\n\r\n", a->status, a->headers);
    bool ok = n > 0 && (size_t)n < sizeof(head) && send_all(fd, head, (size_t)n);
    while (ok && (ok = send_chunk(fd, a))) {
        a->n_body = 0;
        if (!a->more(d->arg, a))
            break;
    }
    if (a->status == 0)
        reset(fd);
    return ok && a->status != 0 && send_all(fd, "0\r\n\r\n", 5);
}

static void remember(struct httpd *d, const struct httpd_request *r)
{
    struct logged *l = must(malloc(sizeof(*l)));
    l->head = must(strdup(r->head));
    l->next = d->log;
    d->log = l;
    (void)pthread_cond_broadcast(&d->arrived);
}

/* Answer one request. False: end the connection. */
static bool serve(struct httpd *d, int fd, const struct httpd_request *r)
{
    struct httpd_answer a = {.status = 200};
    struct httpd_fault f = {.n = 0};
    (void)pthread_mutex_lock(&d->mutex);
    remember(d, r);
    bool faulty = take_fault(d, r, &f);
    bool handle = !faulty || (f.kind != HTTPD_REPLY && f.kind != HTTPD_STALL);
    if (handle)
        d->handler(d->arg, r, &a);
    (void)pthread_mutex_unlock(&d->mutex);

    bool go_on = false;
    if (!faulty && a.more != NULL) {
        go_on = send_pieces(d, fd, &a);
    } else if (!faulty || f.kind == HTTPD_GOODBYE) {
        go_on = send_answer(fd, r, &a, SIZE_MAX) && !faulty;
    } else if (f.kind == HTTPD_REPLY) {
        go_on = send_all(fd, f.reply, strlen(f.reply));
    } else if (f.kind == HTTPD_STALL) {
        stall(fd);
    } else if (f.kind == HTTPD_HANG) {
        if (send_answer(fd, r, &a, f.n))
            stall(fd);
    } else {
        if (f.kind == HTTPD_CUT)
            (void)send_answer(fd, r, &a, f.n);
        reset(fd);
    }
    free(a.body);
    free(a.state);
    return go_on;
}

static void *run_connection(void *arg)
{
    struct connection *c = arg;
    bool go_on = true;
    while (go_on) {
        struct httpd_request r = {.head = read_head(c->fd)};
        if (r.head == NULL)
            break;
        if (parse_head(&r) && read_body(c->fd, &r)) {
            go_on = serve(c->d, c->fd, &r);
        } else {
            static const char bad[] = "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n";
            (void)send_all(c->fd, bad, sizeof(bad) - 1);
            go_on = false;
        }
        request_free(&r);
    }
    (void)pthread_mutex_lock(&c->d->mutex);
    (void)close(c->fd);
    c->fd = -1;
    (void)pthread_mutex_unlock(&c->d->mutex);
    return NULL;
}

/* ---- the server ---- */

static void *run_server(void *arg)
{
    struct httpd *d = arg;
    for (;;) {
        int fd = accept(d->fd, NULL, NULL);
        if (fd < 0)
            return NULL; /* httpd_stop has shut the socket down */
        const int one = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        struct connection *c = must(calloc(1, sizeof(*c)));
        c->d = d;
        c->fd = fd;
        (void)pthread_mutex_lock(&d->mutex);
        c->next = d->connections;
        d->connections = c;
        d->n_connections++;
        bool ok = !d->stopping && pthread_create(&c->thread, NULL, run_connection, c) == 0;
        if (!ok) {
            (void)close(fd);
            d->connections = c->next;
            free(c);
        }
        (void)pthread_mutex_unlock(&d->mutex);
    }
}

struct httpd *httpd_start(httpd_handler *handler, void *arg)
{
    struct httpd *d = must(calloc(1, sizeof(*d)));
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(sa);
    d->handler = handler;
    d->arg = arg;
    (void)pthread_mutex_init(&d->mutex, NULL);
    (void)pthread_cond_init(&d->arrived, NULL);
    d->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (d->fd < 0 || bind(d->fd, (struct sockaddr *)&sa, n) != 0 || listen(d->fd, 128) != 0 ||
        getsockname(d->fd, (struct sockaddr *)&sa, &n) != 0 ||
        pthread_create(&d->thread, NULL, run_server, d) != 0) {
        (void)fprintf(stderr, "httpd: cannot start\n");
        abort();
    }
    d->port = ntohs(sa.sin_port);
    return d;
}

void httpd_stop(struct httpd *d)
{
    if (d == NULL)
        return;
    (void)pthread_mutex_lock(&d->mutex);
    d->stopping = true;
    for (struct connection *c = d->connections; c != NULL; c = c->next)
        if (c->fd >= 0)
            (void)shutdown(c->fd, SHUT_RDWR);
    (void)pthread_mutex_unlock(&d->mutex);
    (void)shutdown(d->fd, SHUT_RDWR);
    (void)pthread_join(d->thread, NULL);
    (void)close(d->fd);
    while (d->connections != NULL) {
        struct connection *c = d->connections;
        d->connections = c->next;
        (void)pthread_join(c->thread, NULL);
        free(c);
    }
    httpd_forget(d);
    (void)pthread_cond_destroy(&d->arrived);
    (void)pthread_mutex_destroy(&d->mutex);
    free(d);
}

unsigned httpd_port(const struct httpd *d)
{
    return d->port;
}

void httpd_fault(struct httpd *d, const struct httpd_fault *f)
{
    struct script *s = must(calloc(1, sizeof(*s)));
    s->f = *f;
    (void)pthread_mutex_lock(&d->mutex);
    struct script **at = &d->script;
    while (*at != NULL)
        at = &(*at)->next;
    *at = s;
    (void)pthread_mutex_unlock(&d->mutex);
}

void httpd_forget(struct httpd *d)
{
    (void)pthread_mutex_lock(&d->mutex);
    while (d->log != NULL) {
        struct logged *l = d->log;
        d->log = l->next;
        free(l->head);
        free(l);
    }
    while (d->script != NULL) {
        struct script *s = d->script;
        d->script = s->next;
        free(s);
    }
    (void)pthread_mutex_unlock(&d->mutex);
}

/* Mutex held. */
static size_t count(const struct httpd *d, const char *needle)
{
    size_t n = 0;
    for (const struct logged *l = d->log; l != NULL; l = l->next)
        n += strstr(l->head, needle) != NULL;
    return n;
}

size_t httpd_count(struct httpd *d, const char *needle)
{
    (void)pthread_mutex_lock(&d->mutex);
    size_t n = count(d, needle);
    (void)pthread_mutex_unlock(&d->mutex);
    return n;
}

void httpd_await(struct httpd *d, const char *needle)
{
    (void)pthread_mutex_lock(&d->mutex);
    while (count(d, needle) == 0)
        (void)pthread_cond_wait(&d->arrived, &d->mutex);
    (void)pthread_mutex_unlock(&d->mutex);
}

size_t httpd_connections(struct httpd *d)
{
    (void)pthread_mutex_lock(&d->mutex);
    size_t n = d->n_connections;
    (void)pthread_mutex_unlock(&d->mutex);
    return n;
}
