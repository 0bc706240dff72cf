/*
 * awscreds.h - where AWS credentials come from, and for how long they are good.
 */
#ifndef WR_NET_AWSCREDS_H
#define WR_NET_AWSCREDS_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "base/str.h"

struct wr_aws_creds {
    struct wr_str access_key, secret_key;
    struct wr_str token; /* empty for long-lived keys */
};

/* locked: any thread may ask. Keeps what it found until that is about to end, or it is told to
 * forget; wipes it on release. */
struct wr_awscreds;

struct wr_awscreds_opts {
    struct wr_aws_creds explicit; /* with an access key they win over everything */
    struct wr_str profile;        /* of the files of AWS tools, over all else; empty: AWS_PROFILE,
                                     or "default", in its turn */
    struct wr_str region;         /* where STS is asked for a role, whom to trust there; empty: */
    struct wr_str ca_file;        /* as awsrole.h says */
};

/* All strings are copied. Half a pair of explicit keys is MISUSE. */
enum wr_status wr_awscreds_new(
    const struct wr_awscreds_opts *o, struct wr_awscreds **ret, struct wr_err *e) WR_MUST_CHECK;
void wr_awscreds_free(struct wr_awscreds *p); /* NULL-safe */

#define WR_AWS_CREDS_MAX 4096 /* bytes of one set; tokens have a thousand or two */

/* The credentials to use now, in `text`, which the caller wipes after use. The first that there is:
 *
 *   - the explicit ones
 *   - AWS_ACCESS_KEY_ID and so on; LITESTREAM_ACCESS_KEY_ID and so on
 *   - a role for the token in AWS_WEB_IDENTITY_TOKEN_FILE
 *   - the profile's in the files of AWS tools (awsfile.h): its keys, or those that it leads to, by
 *     a program or by roles (awsprofile.c)
 *   - the role of the container, or of the instance (awsrole.h)
 *
 * Those of a role are renewed five minutes before they end, or half-way, if that is later; while
 * that fails they are used to their end, and the log says so. It may take some seconds, or a
 * minute where a program is asked, in which one thread of the process asks (awsgate.h); others use
 * what there is, or wait. AUTH with a text that lists where it looked when there are none; BUSY
 * when a role that was had before cannot be had just now. */
enum wr_status wr_awscreds_get(struct wr_awscreds *p, struct wr_call *c,
    char text[WR_AWS_CREDS_MAX], struct wr_aws_creds *ret, struct wr_err *e) WR_MUST_CHECK;

/* Where credentials that were not explicit come from, those that are kept, or else as far as can be
 * told without asking a service: true, and *ret_env the variable of the access key, or by which a
 * role is found, or NULL for a file of AWS tools. False: they are explicit, of the instance, or
 * nowhere. */
bool wr_awscreds_found(struct wr_awscreds *p, const char **ret_env);

/* A server refused those of `access_key`. If they are what is kept still, look again at the next
 * get: somebody may have renewed them. False for explicit ones, which do not change. */
bool wr_awscreds_forget(struct wr_awscreds *p, struct wr_str access_key);

/* A server may have refused those of `access_key`, which are temporary, but does not say so: look
 * again at the next get, and use them on if that finds nothing. False as above. */
bool wr_awscreds_doubt(struct wr_awscreds *p, struct wr_str access_key);

#endif
