/*
 * awsrole_int.h - what the files behind awsrole.h share.
 */
#ifndef WR_NET_AWSROLE_INT_H
#define WR_NET_AWSROLE_INT_H

#include "net/awsrole.h"
#include "net/http.h"

#define WR_AWS_ANSWER_MAX ((size_t)16 << 10)

/* One request, and all of its answer. */
struct wr_aws_ask {
    struct wr_http_req req;
    int64_t connect_ms, ms; /* so long it may take */
    bool direct;            /* not by way of a proxy */
    int status;
    unsigned answers; /* that came so far, of what the caller asks for in turn */
    size_t n;
    uint8_t answer[WR_AWS_ANSWER_MAX]; /* wiped by wr_aws_ask_end */
};
/* What is no 2xx is an answer, too. As wr_http_do. */
enum wr_status wr_aws_ask(struct wr_call *c, struct wr_aws_ask *a, struct wr_err *e) WR_MUST_CHECK;
void wr_aws_ask_end(struct wr_aws_ask *a);
struct wr_str wr_aws_answer(const struct wr_aws_ask *a);

/* ret->creds, in ret->text. CORRUPT: a key is missing. LIMIT: they are too long. */
enum wr_status wr_aws_role_set(struct wr_aws_role *ret, const struct wr_aws_creds *from,
    struct wr_str expiration, struct wr_err *e) WR_MUST_CHECK;

/* A small file, trimmed, for the call. NOTFOUND, IO, LIMIT. */
enum wr_status wr_aws_read(
    struct wr_call *c, const char *path, struct wr_str *ret, struct wr_err *e) WR_MUST_CHECK;

/* A variable, or NULL if it is empty, too. */
const char *wr_aws_env(const char *name);

#endif
