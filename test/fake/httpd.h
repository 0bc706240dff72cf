/*
 * httpd.h - a tiny strict HTTP/1.1 server on loopback, in threads of the test, with scripted
 * faults.
 *
 * One handler answers every request, one request at a time. Memory is the C library's: allocations
 * here do not count in fault sweeps. Nothing here may fail a cmocka test, as it runs elsewhere;
 * what should be checked is in the log.
 */
#ifndef WR_TEST_HTTPD_H
#define WR_TEST_HTTPD_H

#include "base/base.h"

#define HTTPD_HEADERS_MAX 64

struct httpd_request {
    char *head;   /* as received */
    char *method; /* the rest is parsed from a copy */
    char *target; /* raw: path and query */
    char *names[HTTPD_HEADERS_MAX], *values[HTTPD_HEADERS_MAX];
    size_t n_headers;
    uint8_t *body;
    size_t n_body;
};
/* The value of a header in any case, or NULL. */
const char *httpd_header(const struct httpd_request *r, const char *name);

struct httpd_answer {
    int status;
    char headers[4096]; /* lines ending in CR LF; Content-Length is added */
    uint8_t *body;      /* from the C library's heap; freed by the server */
    size_t n_body;
    /* NULL: that is all. Else the answer is chunked, and this is asked for another piece of the
     * body again and again, without the lock that handlers have; false: there is none. With a
     * status of 0 the connection is reset. */
    bool (*more)(void *arg, struct httpd_answer *a);
    void *state; /* for that: of httpd_state */
};
/* So many zeros, until the answer is over. */
void *httpd_state(struct httpd_answer *a, size_t size);
/* printf into the answer's headers, or its body. */
void httpd_add_header(struct httpd_answer *a, const char *fmt, ...) WR_PRINTF(2, 3);
void httpd_add_body(struct httpd_answer *a, const void *p, size_t n);
void httpd_add_text(struct httpd_answer *a, const char *fmt, ...) WR_PRINTF(2, 3);

typedef void httpd_handler(void *arg, const struct httpd_request *r, struct httpd_answer *a);

enum httpd_fault_kind {
    HTTPD_REPLY,   /* send `reply`, raw, instead of asking the handler */
    HTTPD_LOST,    /* handle it, then reset the connection without an answer */
    HTTPD_CUT,     /* handle it, send the head and `n` bytes of the body, then reset */
    HTTPD_STALL,   /* read the request and never answer */
    HTTPD_HANG,    /* handle it, send the head and `n` bytes of the body, and nothing more */
    HTTPD_GOODBYE, /* answer as usual, then close without having said so */
};

struct httpd_fault {
    enum httpd_fault_kind kind;
    const char *match; /* part of "METHOD target"; NULL: any request */
    unsigned skip;     /* matching requests to leave alone before */
    unsigned times;    /* 0: once */
    size_t n;
    const char *reply;
};

struct httpd;
struct httpd *httpd_start(httpd_handler *handler, void *arg);
void httpd_stop(struct httpd *d); /* NULL-safe; ends all connections */
unsigned httpd_port(const struct httpd *d);
void httpd_fault(
    struct httpd *d, const struct httpd_fault *f); /* strings must stay; first match wins */
void httpd_forget(struct httpd *d);                /* faults and log */

/* Requests so far whose head contains `needle` ("" counts all), and connections accepted. */
size_t httpd_count(struct httpd *d, const char *needle);
size_t httpd_connections(struct httpd *d);
/* Wait until a request whose head contains `needle` has arrived. */
void httpd_await(struct httpd *d, const char *needle);

#endif
