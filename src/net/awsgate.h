/*
 * awsgate.h - one asks for all: a role is the same for each replica of the process that asks for
 * the same one.
 *
 * Thousands that start together, or whose keys end in the same moment, would ask a service that is
 * made for a few. So what it has said counts for ten seconds, for whoever asks, also that it has
 * none, or does not answer; and while one asks, others wait for that answer.
 *
 * locked; the process's, as what it asks by is the environment.
 */
#ifndef WR_NET_AWSGATE_H
#define WR_NET_AWSGATE_H

#include "base/base.h"
#include "net/awsrole.h"

enum wr_aws_way {
    WR_AWS_WEB,
    WR_AWS_PROFILE,
    WR_AWS_CONTAINER,
    WR_AWS_INSTANCE
};

/* As wr_aws_role_web and so on, of now or of a moment ago. */
enum wr_status wr_aws_role(enum wr_aws_way way, const struct wr_aws_asker *who, struct wr_call *c,
    struct wr_aws_role *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
