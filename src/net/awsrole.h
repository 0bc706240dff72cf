/*
 * awsrole.h - credentials that a service hands out for a while to who has none of its own:
 *
 *   web identity   a token in a file is traded for them at STS     EKS (IRSA), GitHub, any OIDC
 *   container      an agent beside it knows them                   ECS, Fargate, EKS Pod Identity
 *   instance       the metadata service does, version 2 or 1       EC2
 *
 * Where they are is said by the variables that all AWS tools read. Sources: "AWS SDKs and Tools
 * Reference Guide", standardized credential providers; "AssumeRoleWithWebIdentity" in the AWS STS
 * API Reference; "Use IMDS" in the EC2 User Guide.
 *
 * Each asks anew, takes seconds at most, and keeps nothing; but what it is told is in c->scratch,
 * which the caller wipes. Any thread.
 */
#ifndef WR_NET_AWSROLE_H
#define WR_NET_AWSROLE_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "net/awsanswer.h"

/* The role of AWS_ROLE_ARN for the token in AWS_WEB_IDENTITY_TOKEN_FILE. NOTFOUND: there is no such
 * variable. AUTH: it is refused, or something is missing. */
enum wr_status wr_aws_role_web(
    struct wr_call *c, struct wr_aws_role *ret, struct wr_err *e) WR_MUST_CHECK;

/* Of the agent at AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI. NOTFOUND: there is no such
 * variable. MISUSE: it names a place that must not see the token. */
enum wr_status wr_aws_role_container(
    struct wr_call *c, struct wr_aws_role *ret, struct wr_err *e) WR_MUST_CHECK;

/* Of the instance's role, unless AWS_EC2_METADATA_DISABLED is true. NOTFOUND: this is no instance,
 * as far as can be told, or it has no role; the text says which. */
enum wr_status wr_aws_role_instance(
    struct wr_call *c, struct wr_aws_role *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
