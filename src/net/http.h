/*
 * http.h - one blocking, cancelable, bounded HTTP/1.1 request at a time per caller, over libcurl,
 * which is loaded for the first of them.
 *
 * Connections are kept in idle slots and reused. Nothing is followed, repeated or decoded: what was
 * signed is what is sent, and every answer is the caller's to judge.
 */
#ifndef WR_NET_HTTP_H
#define WR_NET_HTTP_H

#include "base/base.h"
#include "base/buf.h"
#include "base/call.h"
#include "base/status.h"
#include "base/str.h"

/* locked: a pool of idle connections; any number of threads may use it at once. An idle slot is
 * 24 KiB with its connection, over TLS 72 KiB (measured, OpenSSL 3.0). */
struct wr_http;

struct wr_http_opts {
    /* PEM certificates to trust instead of the system's; NULL: the file or directory that
     * SSL_CERT_FILE and SSL_CERT_DIR name, else the system's. */
    const char *ca_file;
    bool skip_verify;   /* trust anybody: only for tests in a closed network */
    bool direct;        /* not by way of a proxy, whatever the environment says */
    int64_t connect_ms; /* to connect and shake hands; 0: 10 s */
    int64_t stall_ms;   /* without a byte in either direction; 0: 60 s */
    /* Slots kept while unused, for each origin; 0: 16. Altogether, 16 times as many are kept; the
     * longest unused go first. */
    unsigned idle_max;
};

struct wr_http_header {
    struct wr_str name, value;
};

#define WR_HTTP_HEADERS_MAX 64                  /* lines of an answer */
#define WR_HTTP_HEAD_MAX    ((size_t)32 * 1024) /* bytes of them */

struct wr_http_req {
    const char *method;
    const char *url; /* sent exactly as it is; holds no user, password or fragment */
    const struct wr_http_header *headers;
    size_t n_headers;
    struct wr_bytes body;
    bool has_body;    /* false: none is announced either, other than by a length of 0 */
    int64_t stall_ms; /* instead of the client's, for requests that are known to be slow; 0: no */

    /* The body of a 2xx answer goes to `into` if that is not NULL, every other body to `text`,
     * which is cleared first and may be NULL to drop it. More than they hold is LIMIT for a 2xx
     * answer; of others the rest is dropped, their status says enough. */
    void *into;
    size_t into_size;
    struct wr_buf *text;
};

struct wr_http_resp {
    int status;
    size_t into_n; /* bytes written to req->into */
    size_t n;
    struct wr_http_header headers[WR_HTTP_HEADERS_MAX]; /* strings in call->scratch */
};

/* `o` may be NULL and is not kept. No I/O. MISUSE when its ca_file, or SSL_CERT_FILE without one,
 * cannot be read. */
enum wr_status wr_http_new(
    const struct wr_http_opts *o, struct wr_http **ret, struct wr_err *e) WR_MUST_CHECK;
void wr_http_free(struct wr_http *h); /* NULL-safe; no request may be running */

/* Send one request and read its whole answer, whatever its status. BUSY when the host could not be
 * found or reached or the connection broke, TIMEOUT, CANCELED, LIMIT, IO when TLS failed or libcurl
 * is not there (the text says what to do). After BUSY and TIMEOUT the request may have been carried
 * out or not: it is never sent twice. Texts name scheme, host and port, never path, query or
 * headers. */
enum wr_status wr_http_do(struct wr_http *h, struct wr_call *c, const struct wr_http_req *req,
    struct wr_http_resp *ret, struct wr_err *e) WR_MUST_CHECK;

/* An answer that is read as it comes. owned. */
struct wr_http_flow;

/* The same for a request without a body, whose answer goes to `text`, which stays until the flow
 * has ended: return when there is some of it, if it is a 2xx answer, and *ret_flow if there may be
 * more of it; NULL: that was all. Headers of *ret are not kept. */
enum wr_status wr_http_begin(struct wr_http *h, struct wr_call *c, const struct wr_http_req *req,
    struct wr_http_resp *ret, struct wr_http_flow **ret_flow, struct wr_err *e) WR_MUST_CHECK;
/* Wait for more, which is appended. *flow becomes NULL when that was all, and when it fails: what
 * came before that, an earlier call has returned. */
enum wr_status wr_http_more(
    struct wr_http_flow **flow, struct wr_call *c, struct wr_err *e) WR_MUST_CHECK;
/* Nothing more of it is wanted: its connection is closed. NULL-safe. */
void wr_http_end(struct wr_http_flow *flow);

/* The value of a header of the answer, in any case; {NULL, 0} when absent. */
struct wr_str wr_http_header(const struct wr_http_resp *r, const char *name);

/* "Sun, 06 Nov 1994 08:49:37 GMT" (any form RFC 9110 allows) in Unix milliseconds. */
bool wr_http_date(struct wr_str s, int64_t *ret_ms);

/* Idle slots at this moment. For tests. */
size_t wr_http_idle(struct wr_http *h);

#endif
