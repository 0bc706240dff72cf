/*
 * http_int.h - what the parts of the HTTP client share: the slots, the transfer, whom to trust.
 */
#ifndef WR_NET_HTTP_INT_H
#define WR_NET_HTTP_INT_H

#include "base/cancel.h"
#include "base/curl.h"
#include "base/sync.h"
#include "net/http.h"

/* A handle of libcurl with at most one connection. owned: by one request, or by the pool. */
struct wr_http_slot {
    CURL *easy;
    CURLM *multi;
    char *origin; /* "https://host:port" */
    int64_t idle_since_ms;
    struct wr_http_slot *next;
    struct wr_waker waker; /* rouses a poll on `multi`, from any thread */
    bool plain;            /* `easy` has all that requests without a body, not HEAD, have alike */
    char error[CURL_ERROR_SIZE];
};

/* locked: the idle slots. */
struct wr_http_pool {
    struct wr_mutex mutex;
    struct wr_http_slot *idle; /* guarded by mutex; most recently used first */
    size_t n;                  /* guarded by mutex */
    size_t idle_max;           /* frozen; of one origin, and 16 times as many altogether */
};

void wr_http_pool_init(struct wr_http_pool *p, size_t idle_max);
void wr_http_pool_release(struct wr_http_pool *p); /* all slots are idle */
/* An idle slot of this origin, or a new one; NULL when out of memory. */
struct wr_http_slot *wr_http_slot_take(struct wr_http_pool *p, struct wr_str origin);
/* Keep it for the next request; its connection is between two answers. */
void wr_http_slot_give(struct wr_http_pool *p, struct wr_http_slot *s);
void wr_http_slot_free(struct wr_http_slot *s); /* with its connection; NULL-safe */
size_t wr_http_pool_idle(struct wr_http_pool *p);

/* One request in flight, as libcurl's callbacks see it. owned. */
struct wr_http_transfer {
    const struct wr_http_req *req;
    struct wr_http_resp *resp;
    struct wr_arena *scratch;
    size_t sent;           /* bytes of the body handed to libcurl */
    size_t head;           /* bytes of answer headers */
    uint64_t moved;        /* bytes in both directions, to notice a stall */
    enum wr_status failed; /* why a callback stopped the transfer */
    const char *why;
};

/* For CURLOPT_READFUNCTION, _WRITEFUNCTION and _HEADERFUNCTION; `arg` is a struct
 * wr_http_transfer. */
size_t wr_http_on_read(char *p, size_t size, size_t count, void *arg);
size_t wr_http_on_body(char *p, size_t size, size_t count, void *arg);
size_t wr_http_on_header(char *p, size_t size, size_t count, void *arg);

/* Its answer is of 2xx, as far as it is known. */
bool wr_http_is_good(const struct wr_http_transfer *t);

/* Which certificates to trust; both NULL: nobody has said, and it is the system's, or libcurl's
 * built-in choice. */
struct wr_trust {
    char *file;                  /* owned; frozen after wr_trust_load */
    char *dir;                   /* owned; frozen after wr_trust_load */
    struct x509_store_st *store; /* NULL until loaded, or when libcurl must load for itself */
};

/* What was said. `ca_file` may be NULL or empty; else it must be readable (MISUSE). */
enum wr_status wr_trust_find(
    struct wr_trust *t, const char *ca_file, struct wr_err *e) WR_MUST_CHECK;
void wr_trust_release(struct wr_trust *t);
/* Read the certificates if that has not been done; libcurl is loaded. One thread at a time. IO when
 * there are none. */
enum wr_status wr_trust_load(struct wr_trust *t, struct wr_err *e) WR_MUST_CHECK;
/* For CURLOPT_SSL_CTX_FUNCTION: make a new connection use the store. */
CURLcode wr_trust_use(CURL *easy, void *ssl_ctx, void *trust);

/* A failed transfer as a status and a text: `detail` is libcurl's words. */
enum wr_status wr_http_fail(
    struct wr_err *e, CURLcode code, const char *origin, const char *detail);

/* Whether an origin is this machine by its name or address, which no proxy can reach. */
bool wr_http_is_here(struct wr_str origin);

#endif
