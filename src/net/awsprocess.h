/*
 * awsprocess.h - credentials that a program prints: credential_process of a profile, as of IAM
 * Roles Anywhere, or of whoever keeps keys in a vault.
 */
#ifndef WR_NET_AWSPROCESS_H
#define WR_NET_AWSPROCESS_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "net/awsanswer.h"

/* Run `command` by the shell and take what it prints. `who` begins each text. AUTH: it cannot be
 * started, fails, or takes more than a minute; the text has the end of what it said on stderr, and
 * nothing of what it printed. CORRUPT, LIMIT: what it prints is not what it should be. TIMEOUT,
 * CANCELED: the call's. It is over when this returns, unless it put something aside that goes on;
 * it gets no input, and none of our descriptors. */
enum wr_status wr_aws_process(struct wr_call *c, const char *command, const char *who,
    struct wr_aws_role *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
