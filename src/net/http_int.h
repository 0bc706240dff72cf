/*
 * http_int.h - what http.c shares with http_trust.c and http_util.c.
 */
#ifndef WR_NET_HTTP_INT_H
#define WR_NET_HTTP_INT_H

#include "base/base.h"
#include "base/status.h"

#include <curl/curl.h>

/* Which certificates to trust; both NULL: libcurl's built-in choice. */
struct wr_trust {
    char *file;                  /* owned; frozen after wr_trust_find */
    char *dir;                   /* owned; frozen after wr_trust_find */
    struct x509_store_st *store; /* NULL until loaded, or when libcurl must load for itself */
};

/* `ca_file` may be NULL or empty; else it must be readable (MISUSE). */
enum wr_status wr_trust_find(
    struct wr_trust *t, const char *ca_file, struct wr_err *e) WR_MUST_CHECK;
void wr_trust_release(struct wr_trust *t);
/* Read the certificates if that has not been done. One thread at a time. IO when there are none. */
enum wr_status wr_trust_load(struct wr_trust *t, struct wr_err *e) WR_MUST_CHECK;
/* For CURLOPT_SSL_CTX_FUNCTION: make a new connection use the store. */
CURLcode wr_trust_use(CURL *easy, void *ssl_ctx, void *trust);

/* A failed transfer as a status and a text: `detail` is libcurl's words. */
enum wr_status wr_http_fail(
    struct wr_err *e, CURLcode code, const char *origin, const char *detail);

#endif
