/*
 * httpd.h - an HTTP/1.1 server for a few clients: the control socket, the metrics listener,
 * followers.
 *
 * With a certificate it speaks TLS alone, 1.2 or later.
 *
 * Over libmicrohttpd, which is loaded with the first. Whoever connects can neither stall nor bloat
 * the process: there are so many connections, each with so much memory, a body has a limit, silence
 * ends a connection, and so does a request, or the reading of a reply, that does not come to its
 * end.
 */
#ifndef WR_DAEMON_HTTPD_H
#define WR_DAEMON_HTTPD_H

#include "base/base.h"
#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

#include <weir.h>

#define WR_HTTPD_BODY_MAX  ((size_t)64 << 10) /* bytes of a request */
#define WR_HTTPD_REPLY_MAX ((size_t)64 << 20) /* bytes of a reply */

struct wr_httpd_request {
    const char *method, *path; /* the path decoded, without the query */
    struct wr_str body;        /* empty when there is none; a NUL follows */
    void *server, *connection; /* for the functions below */
};

/* The value of a parameter of the query, decoded, as long as the request; NULL: it is not there. */
const char *wr_httpd_query(const struct wr_httpd_request *q, const char *name);

/* The value of a header of the request, likewise. */
const char *wr_httpd_header(const struct wr_httpd_request *q, const char *name);

/* Until it is told NULL, which is before the request is answered, `cancel` is canceled within about
 * a second when the client closes its connection, so that what takes long is not done for nobody.
 */
void wr_httpd_mind(const struct wr_httpd_request *q, weir_cancel *cancel);

/* A body that goes on for a while: what is there of it is sent as it comes. On the thread of the
 * connection, so only with `parallel`. */
struct wr_httpd_flow {
    /* Append what comes next, and wait for it; false: that was all. */
    bool (*more)(struct wr_httpd_flow *w, struct wr_buf *body);
    /* It is over, or the client has gone: the last call. */
    void (*end)(struct wr_httpd_flow *w);
};

struct wr_httpd_reply {
    unsigned status;            /* 200 at first */
    const char *type;           /* static; application/json at first */
    const char *allow;          /* static: the method that is, with 405; else NULL */
    struct wr_buf body;         /* empty at first; one that failed becomes a 500 */
    struct wr_httpd_flow *flow; /* what follows it, within the time for a reply; NULL: nothing */
};

/* On a thread of the server; on several at once with `parallel`. */
typedef void wr_httpd_fn(void *arg, const struct wr_httpd_request *q, struct wr_httpd_reply *r);

struct wr_httpd_opts {
    int fd;            /* a listening socket; the server's, also when it cannot be started */
    const char *chain; /* PEM, as certificate.h has it, read by wr_httpd_new alone; NULL: no TLS */
    const char *key;   /* with `chain`, likewise */
    wr_httpd_fn *fn;
    void *arg;
    bool parallel; /* a thread for each connection: an answer may take long. Else one for all. */
    /* From the beginning of a connection, or the end of its last reply, a request has so long to
     * arrive, head and body, however it comes; 0: 20 s. A reply has so long to be read; 0: 60 s. */
    int64_t request_ms, reply_ms;
    unsigned connections_max; /* 0: 128 */
};

struct wr_httpd; /* locked */

/* IO when libmicrohttpd is not there, or was built without the TLS that is asked for. */
enum wr_status wr_httpd_new(
    const struct wr_httpd_opts *o, struct wr_httpd **ret, struct wr_err *e) WR_MUST_CHECK;
/* Waits for the answers in progress. NULL-safe. */
void wr_httpd_free(struct wr_httpd *h);

#endif
