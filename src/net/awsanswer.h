/*
 * awsanswer.h - credentials out of the answers of services and programs: no I/O.
 *
 * Whoever answers may be anybody: what is at that address may be a captive portal, or the service
 * of another cloud. No text that is made here has a key in it.
 */
#ifndef WR_NET_AWSANSWER_H
#define WR_NET_AWSANSWER_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "net/awscreds.h"

struct wr_aws_role {
    struct wr_aws_creds creds;   /* views into `text` */
    int64_t expires_ms;          /* Unix ms; INT64_MAX: not said */
    char text[WR_AWS_CREDS_MAX]; /* the caller wipes it */
};

/* Of the agent of a container, or of the metadata service, with status 200. `who` begins each text.
 * CORRUPT: it is no JSON object, or a key is missing, or none that a header could have. AUTH: it
 * says that there are none, and why. LIMIT: they are too long. */
enum wr_status wr_aws_take_json(
    struct wr_str text, const char *who, struct wr_aws_role *ret, struct wr_err *e) WR_MUST_CHECK;

/* What a credential_process has printed. CORRUPT: as above, or its Version is not 1. LIMIT. */
enum wr_status wr_aws_take_process(
    struct wr_str text, const char *who, struct wr_aws_role *ret, struct wr_err *e) WR_MUST_CHECK;

/* Of STS, in XML, to this action ("AssumeRole"), with this status. AUTH: it refuses. BUSY: it
 * cannot just now. CORRUPT and LIMIT as above. What it takes apart stays in c->scratch; `ret` may
 * be what the request was signed by. */
enum wr_status wr_aws_take_xml(struct wr_call *c, struct wr_str text, const char *action,
    int status, struct wr_aws_role *ret, struct wr_err *e) WR_MUST_CHECK;

/* Keys that are somewhere else already; `from` is not in `ret`. They do not end. CORRUPT and LIMIT
 * as above. */
enum wr_status wr_aws_take_keys(
    const struct wr_aws_creds *from, struct wr_aws_role *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
