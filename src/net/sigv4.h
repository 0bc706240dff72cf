/*
 * sigv4.h - AWS Signature Version 4 of one request, by its Authorization header.
 *
 * Pure: what goes in is exactly what will be sent, and nothing is added to it. The caller puts
 * host, x-amz-date, x-amz-content-sha256 and, with temporary credentials, x-amz-security-token
 * among the headers.
 */
#ifndef WR_NET_SIGV4_H
#define WR_NET_SIGV4_H

#include "base/arena.h"
#include "base/base.h"
#include "base/crypto.h"
#include "base/status.h"
#include "base/str.h"
#include "net/http.h"

#define WR_SIGV4_UNSIGNED "UNSIGNED-PAYLOAD" /* payload hash of a body that TLS alone protects */
#define WR_SIGV4_DATE_MAX 17                 /* "20130524T000000Z" and a NUL */

struct wr_sigv4 {
    const char *method;
    struct wr_str path;  /* as sent: encoded once, as S3 wants it; starts with '/' */
    struct wr_str query; /* as sent: from wr_sigv4_query; without '?' */
    const struct wr_http_header *headers; /* all are signed; any order, any case */
    size_t n_headers;
    struct wr_str payload_hash; /* 64 hex digits, or WR_SIGV4_UNSIGNED */
    struct wr_str access_key, secret_key;
    struct wr_str region, service; /* "eu-west-1", "s3" */
    int64_t time_ms;               /* Unix; the same that wr_sigv4_date put into x-amz-date */
};

/* The value of x-amz-date. */
void wr_sigv4_date(char out[WR_SIGV4_DATE_MAX], int64_t time_ms);

/* The value of x-amz-content-sha256 for a signed body. */
enum wr_status wr_sigv4_hash(
    struct wr_bytes body, char out[2 * WR_SHA256_SIZE + 1], struct wr_err *e) WR_MUST_CHECK;

/* Parameters as a query string that can be sent and signed: names and values encoded, sorted by
 * name, then value; a parameter without a value gets "name=". In `a`. */
struct wr_sigv4_param {
    struct wr_str name, value;
};
enum wr_status wr_sigv4_query(struct wr_arena *a, const struct wr_sigv4_param *params, size_t n,
    struct wr_str *ret, struct wr_err *e) WR_MUST_CHECK;

/* The value of the Authorization header, in `a`. Fails with NOMEM or INTERNAL only. */
enum wr_status wr_sigv4_sign(struct wr_arena *a, const struct wr_sigv4 *in, struct wr_str *ret,
    struct wr_err *e) WR_MUST_CHECK;

#endif
