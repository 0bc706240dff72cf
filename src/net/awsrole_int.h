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
    int64_t date_ms;  /* of the last one, Unix; 0: it says none */
    size_t n;
    uint8_t answer[WR_AWS_ANSWER_MAX];
};
/* What is no 2xx is an answer, too. As wr_http_do. */
enum wr_status wr_aws_ask(struct wr_call *c, struct wr_aws_ask *a, struct wr_err *e) WR_MUST_CHECK;
void wr_aws_ask_end(struct wr_aws_ask *a); /* wipes the answer */
struct wr_str wr_aws_answer(const struct wr_aws_ask *a);

/* ---- awssts.c ---- */

/* A role, and where to ask for it. */
struct wr_aws_sts {
    const char *who;                                        /* begins each text */
    const char *action;                                     /* "AssumeRole" */
    const char *region, *ca_file;                           /* as in struct wr_aws_asker */
    struct wr_str role_arn, session, external_id, duration; /* empty: "weir", none, STS's own */
};
/* Its URL, and the region to sign for; in c->scratch. MISUSE: it is no region. */
enum wr_status wr_aws_sts_place(struct wr_call *c, const struct wr_aws_sts *s, const char **ret_url,
    struct wr_str *ret_region, struct wr_err *e) WR_MUST_CHECK;
/* Take room for the form, which is zeroed, and put in what is in `s`; wiped and released by
 * wr_aws_sts_end in any case. NOMEM, or AUTH for a duration that is none. */
enum wr_status wr_aws_sts_begin(
    const struct wr_aws_sts *s, struct wr_buf *form, struct wr_err *e) WR_MUST_CHECK;
void wr_aws_sts_end(struct wr_buf *form);
/* Send the form and take the answer. `a` is zeroed at first, and ended by the caller. */
enum wr_status wr_aws_sts_trade(struct wr_call *c, const struct wr_aws_sts *s, struct wr_aws_ask *a,
    const char *url, const struct wr_http_header *headers, size_t n_headers,
    const struct wr_buf *form, struct wr_aws_role *ret, struct wr_err *e) WR_MUST_CHECK;
/* The role for the token in a file, which is called `name` in texts. As wr_aws_role_web. */
enum wr_status wr_aws_sts_web(struct wr_call *c, const struct wr_aws_sts *s, const char *path,
    const char *name, struct wr_aws_role *ret, struct wr_err *e) WR_MUST_CHECK;

/* ---- awsassume.c ---- */

/* The role, for who has the keys that are in `io`: they are replaced. AUTH: STS refuses. BUSY,
 * TIMEOUT, CORRUPT, LIMIT. */
enum wr_status wr_aws_sts_assume(struct wr_call *c, const struct wr_aws_sts *s,
    struct wr_aws_role *io, struct wr_err *e) WR_MUST_CHECK;

/* ---- awsrole.c ---- */

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
/* The region of who asks, or the environment's; NULL: neither says one. */
const char *wr_aws_region(const struct wr_aws_asker *who);

#endif
