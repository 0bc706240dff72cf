/*
 * httpd.c - see httpd.h. Refuses to know a path or a method.
 *
 * libmicrohttpd, which is loaded with the first server, calls us for the head of a request, for
 * each piece of its body, and once more when it is complete. Only then may an answer be given, so a
 * body that is too long is read on, up to a point, and thrown away.
 */
#include "daemon/httpd.h"

#include "base/library.h"
#include "base/mem.h"
#include "daemon/patience.h"

#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#define CONNECTIONS_MAX  128
#define CONNECTION_BYTES ((size_t)32 << 10) /* of a request's head, and what is read at once */
#define SILENCE_S        10                 /* that ends a connection */
#define REQUEST_MS       20000              /* from its first byte, or before, to its last */
#define REPLY_MS         60000
#define THROWN_AWAY_MAX  ((size_t)1 << 20)  /* bytes beyond a body's limit; then it is cut off */
#define PIECE_BYTES      ((size_t)32 << 10) /* of a reply that goes on, sent at once */
#define STACK_BYTES      ((size_t)256 << 10)
#define VERSIONS         "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2" /* as GnuTLS has them */

#define FUNCTIONS(X)                                      \
    X(MHD_add_response_header)                            \
    X(MHD_create_response_from_buffer)                    \
    X(MHD_create_response_from_buffer_with_free_callback) \
    X(MHD_create_response_from_callback)                  \
    X(MHD_destroy_response)                               \
    X(MHD_get_connection_info)                            \
    X(MHD_is_feature_supported)                           \
    X(MHD_lookup_connection_value)                        \
    X(MHD_queue_response)                                 \
    X(MHD_start_daemon)                                   \
    X(MHD_stop_daemon)

WR_LIBRARY_TABLE(mhd, names, FUNCTIONS);

static const char *const sonames[] = {"libmicrohttpd.so.12", NULL};

static struct wr_library library = {.name = "libmicrohttpd",
    .sonames = sonames,
    .package = "libmicrohttpd12",
    .functions = names,
    .table = &mhd};

struct wr_httpd {
    struct MHD_Daemon *daemon;
    wr_httpd_fn *fn;
    void *arg;
    int64_t request_ms, reply_ms;
    unsigned connections_max;
    struct wr_patience *patience;
};

/* What a connection's current request has sent so far. */
struct incoming {
    struct wr_buf body;
    size_t thrown_away;
};

const char *wr_httpd_query(const struct wr_httpd_request *q, const char *name)
{
    return mhd.MHD_lookup_connection_value(q->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *wr_httpd_header(const struct wr_httpd_request *q, const char *name)
{
    return mhd.MHD_lookup_connection_value(q->connection, MHD_HEADER_KIND, name);
}

/* The reply's body goes to the response without a copy. */
static struct MHD_Response *respond(struct wr_buf *body)
{
    static char no_memory[] = "{\"error\":\"out of memory\"}\n";
    struct MHD_Response *r;

    if (wr_buf_status(body) != WR_OK)
        return mhd.MHD_create_response_from_buffer(
            sizeof(no_memory) - 1, no_memory, MHD_RESPMEM_PERSISTENT);
    if (body->n == 0)
        return mhd.MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    r = mhd.MHD_create_response_from_buffer_with_free_callback(body->n, body->p, wr_free);
    if (r)
        wr_buf_init(body, WR_HTTPD_REPLY_MAX); /* its memory is the response's now */
    return r;
}

/* A reply that goes on, as it is sent. */
struct outgoing {
    struct wr_httpd_flow *flow;
    struct wr_buf piece;
    size_t sent; /* of it */
};

/* Up to `n` bytes of what comes next. libmicrohttpd sends them before it asks again. */
static ssize_t go_on(void *arg, uint64_t pos, char *to, size_t n)
{
    struct outgoing *out = arg;

    (void)pos;
    while (out->sent == out->piece.n) {
        wr_buf_release(&out->piece); /* nothing is held while it waits */
        out->sent = 0;
        if (!out->flow->more(out->flow, &out->piece))
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (wr_buf_status(&out->piece) != WR_OK)
            return MHD_CONTENT_READER_END_WITH_ERROR; /* the connection is closed */
    }
    n = wr_min(n, out->piece.n - out->sent);
    memcpy(to, out->piece.p + out->sent, n);
    out->sent += n;
    return (ssize_t)n;
}

static void end_flow(void *arg)
{
    struct outgoing *out = arg;

    out->flow->end(out->flow);
    wr_buf_release(&out->piece);
    wr_free(out);
}

/* What is there, and then what comes. */
static struct MHD_Response *respond_and_go_on(struct wr_httpd_reply *r)
{
    struct outgoing *out = wr_alloc(sizeof(*out));
    struct MHD_Response *response = NULL;

    if (out) {
        *out = (struct outgoing){.flow = r->flow, .piece = r->body};
        response = mhd.MHD_create_response_from_callback(
            MHD_SIZE_UNKNOWN, PIECE_BYTES, go_on, out, end_flow);
    }
    if (response)
        wr_buf_init(&r->body, WR_HTTPD_REPLY_MAX);
    else
        wr_free(out);
    return response;
}

static enum MHD_Result send_reply(struct MHD_Connection *c, struct wr_httpd_reply *r)
{
    /* The header is for nginx, which would keep it until there is more, or all of it. */
    bool whole = wr_buf_status(&r->body) == WR_OK, flows = whole && r->flow;
    unsigned status = whole ? r->status : 500;
    struct MHD_Response *response = flows ? respond_and_go_on(r) : respond(&r->body);
    enum MHD_Result sent = MHD_NO;

    if (r->flow && !(flows && response))
        r->flow->end(r->flow);
    if (!response)
        return MHD_NO;
    if (mhd.MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, r->type) == MHD_YES &&
        (!r->allow ||
            mhd.MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, r->allow) == MHD_YES) &&
        (!flows || mhd.MHD_add_response_header(response, "X-Accel-Buffering", "no") == MHD_YES))
        sent = mhd.MHD_queue_response(c, status, response);
    mhd.MHD_destroy_response(response);
    return sent;
}

/* The connection's place in `patience`. */
static struct wr_patient *patient(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        mhd.MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

void wr_httpd_mind(const struct wr_httpd_request *q, weir_cancel *cancel)
{
    const struct wr_httpd *h = q->server;

    wr_patience_mind(h->patience, patient(q->connection), cancel);
}

static enum MHD_Result answer(struct wr_httpd *h, struct MHD_Connection *c, const char *method,
    const char *path, struct incoming *in)
{
    struct wr_httpd_request q = {.method = method, .path = path, .server = h, .connection = c};
    struct wr_httpd_reply r = {.status = 200, .type = "application/json"};
    enum MHD_Result sent;

    wr_patience_until(h->patience, patient(c), WR_PATIENCE_ENDLESS); /* what it asks takes long */
    wr_buf_init(&r.body, WR_HTTPD_REPLY_MAX);
    if (in->thrown_away > 0 || wr_buf_status(&in->body) == WR_LIMIT) {
        r.status = 413;
        wr_buf_fmt(
            &r.body, "{\"error\":\"request is larger than %zu bytes\"}\n", WR_HTTPD_BODY_MAX);
    } else if (wr_buf_status(&in->body) != WR_OK) {
        r.status = 500;
        wr_buf_z(&r.body, "{\"error\":\"out of memory\"}\n");
    } else {
        q.body = in->body.n > 0 ? wr_buf_view(&in->body) : WR_STR("");
        h->fn(h->arg, &q, &r);
    }
    wr_patience_until(h->patience, patient(c), h->reply_ms);
    sent = send_reply(c, &r);
    wr_buf_release(&r.body);
    return sent;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *path,
    const char *method, const char *version, const char *piece, size_t *piece_n, void **state)
{
    struct incoming *in = *state;

    (void)version;
    if (!in) {
        in = wr_alloc(sizeof(*in));
        if (!in)
            return MHD_NO; /* the connection is closed */
        wr_buf_init(&in->body, WR_HTTPD_BODY_MAX);
        *state = in;
        return MHD_YES;
    }
    if (*piece_n == 0)
        return answer(arg, c, method, path, in);
    if (wr_buf_status(&in->body) == WR_OK)
        wr_buf_put(&in->body, piece, *piece_n);
    else
        in->thrown_away += *piece_n;
    *piece_n = 0;
    return in->thrown_away <= THROWN_AWAY_MAX ? MHD_YES : MHD_NO;
}

static void on_end(
    void *arg, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode why)
{
    struct incoming *in = *state;
    struct wr_httpd *h = arg;

    (void)why;
    wr_patience_until(h->patience, patient(c), h->request_ms);
    if (!in)
        return;
    wr_buf_release(&in->body);
    wr_free(in);
    *state = NULL;
}

/* A connection begins or ends; its descriptor is closed after the latter. */
static void on_connection(void *arg, struct MHD_Connection *c, void **socket_context,
    enum MHD_ConnectionNotificationCode what)
{
    const union MHD_ConnectionInfo *info =
        mhd.MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct wr_httpd *h = arg;

    if (what == MHD_CONNECTION_NOTIFY_STARTED && info)
        *socket_context = wr_patience_begin(h->patience, info->connect_fd, h->request_ms);
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        wr_patience_end(h->patience, *socket_context);
        *socket_context = NULL;
    }
}

/* What a stranger sends is none of the user's concern, and must not fill the log. */
static void discard_log(void *arg, const char *fmt, va_list ap) WR_PRINTF(2, 0);
static void discard_log(void *arg, const char *fmt, va_list ap)
{
    (void)arg;
    (void)fmt;
    (void)ap;
}

/* Its threads inherit a mask in which all is blocked: signals are for the thread that waits. */
static struct MHD_Daemon *start(struct wr_httpd *h, const struct wr_httpd_opts *o)
{
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ITC | MHD_USE_ERROR_LOG |
                     (o->parallel ? MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL : MHD_USE_EPOLL);
    /* The last one ends the list, and those of a plain server at once. */
    struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)o->chain},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)o->key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)VERSIONS}, {MHD_OPTION_END, 0, NULL}};
    sigset_t all, before;
    struct MHD_Daemon *d;

    if (o->chain)
        flags |= MHD_USE_TLS;
    (void)sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
        return NULL;
    d = mhd.MHD_start_daemon(flags, 0, NULL, NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER,
        discard_log, NULL, MHD_OPTION_LISTEN_SOCKET, o->fd, MHD_OPTION_CONNECTION_LIMIT,
        h->connections_max, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_BYTES,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)SILENCE_S, MHD_OPTION_THREAD_STACK_SIZE,
        STACK_BYTES, MHD_OPTION_NOTIFY_COMPLETED, on_end, h, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, h, MHD_OPTION_ARRAY, o->chain ? tls : tls + wr_countof(tls) - 1,
        MHD_OPTION_END);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL); /* it was a good one a moment ago */
    return d;
}

enum wr_status wr_httpd_new(const struct wr_httpd_opts *o, struct wr_httpd **ret, struct wr_err *e)
{
    enum wr_status st = wr_library_load(&library, e);
    struct wr_httpd *h = st == WR_OK ? wr_alloc(sizeof(*h)) : NULL;

    if (!h) {
        (void)close(o->fd); /* nothing was sent */
        return st == WR_OK ? wr_fail(e, WR_NOMEM, "start an HTTP server") : st;
    }
    h->fn = o->fn;
    h->arg = o->arg;
    h->request_ms = o->request_ms ? o->request_ms : REQUEST_MS;
    h->reply_ms = o->reply_ms ? o->reply_ms : REPLY_MS;
    h->connections_max = o->connections_max ? o->connections_max : CONNECTIONS_MAX;
    st = wr_patience_new(h->connections_max, &h->patience, e);
    if (st == WR_OK && o->chain && mhd.MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
        st = wr_fail(e, WR_IO,
            "libmicrohttpd was built without TLS here: serve without a certificate, behind a proxy "
            "with TLS, or install one that has it");
    if (st == WR_OK && !(h->daemon = start(h, o)))
        st = wr_fail(e, WR_BUSY, "start an HTTP server: no thread or no memory left%s",
            o->chain ? ", or GnuTLS cannot use the certificate or the key" : "");
    if (st != WR_OK) {
        wr_patience_free(h->patience);
        (void)close(o->fd);
        wr_free(h);
        return st;
    }
    *ret = h;
    return WR_OK;
}

void wr_httpd_free(struct wr_httpd *h)
{
    if (!h)
        return;
    mhd.MHD_stop_daemon(h->daemon); /* closes the socket */
    wr_patience_free(h->patience);
    wr_free(h);
}
