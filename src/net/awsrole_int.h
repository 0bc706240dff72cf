/*
 * awsrole_int.h - what the files behind awsrole.h share.
 */
#ifndef WR_NET_AWSROLE_INT_H
#define WR_NET_AWSROLE_INT_H

#include "net/awsrole.h"
#include "net/http.h"

#define WR_AWS_ANSWER_MAX ((size_t)16 << 10)

/* One request after another, and all of the last one's answer. Zeroed at first, but for what is
 * known. */
struct wr_aws_ask {
    struct wr_http_opts opts; /* of all of them */
    struct wr_http *http;     /* made for the first */
    struct wr_http_req req;
    int64_t ms; /* so long one may take */
    int status;
    unsigned answers; /* that came so far */
    size_t n;
    uint8_t answer[WR_AWS_ANSWER_MAX];
};
/* What is no 2xx is an answer, too. As wr_http_do. */
enum wr_status wr_aws_ask(struct wr_call *c, struct wr_aws_ask *a, struct wr_err *e) WR_MUST_CHECK;
void wr_aws_ask_end(struct wr_aws_ask *a); /* wipes the answer */
struct wr_str wr_aws_answer(const struct wr_aws_ask *a);

/* Where the agent and the metadata service are, for the call; no I/O. As wr_aws_role_container
 * says, and NOMEM. */
enum wr_status wr_aws_agent_url(
    struct wr_call *c, const char **ret, struct wr_err *e) WR_MUST_CHECK;
enum wr_status wr_aws_metadata_url(
    struct wr_call *c, struct wr_str *ret, struct wr_err *e) WR_MUST_CHECK;

/* A small file, trimmed, for the call. NOTFOUND, IO, LIMIT. */
enum wr_status wr_aws_read(
    struct wr_call *c, const char *path, struct wr_str *ret, struct wr_err *e) WR_MUST_CHECK;

/* A variable, or NULL if it is empty, too. Not to be kept over a wait: somebody may set it. */
const char *wr_aws_env(const char *name);

#endif
