/*
 * awsrole.h - credentials that a service hands out for a while to who has none of its own:
 *
 *   web identity   a token in a file is traded for them at STS     EKS (IRSA), GitHub, any OIDC
 *   profile        what a profile of the files says (awsfile.h)    Roles Anywhere, other accounts
 *   container      an agent beside it knows them                   ECS, Fargate, EKS Pod Identity
 *   instance       the metadata service does, version 2 or 1       EC2
 *
 * Where they are is said by the variables that all AWS tools read. Sources: "AWS SDKs and Tools
 * Reference Guide", standardized credential providers; "AssumeRoleWithWebIdentity" in the AWS STS
 * API Reference; "Use IMDS" in the EC2 User Guide.
 *
 * Each asks anew, takes seconds at most if nothing else is said, and keeps nothing; but what it is
 * told is in c->scratch, which the caller wipes. Any thread.
 */
#ifndef WR_NET_AWSROLE_H
#define WR_NET_AWSROLE_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "net/awsanswer.h"

/* Who asks. Each may be NULL. */
struct wr_aws_asker {
    const char *profile; /* that is asked for */
    const char *region;  /* whose STS is asked; NULL: AWS_REGION, AWS_DEFAULT_REGION, the profile's;
                            without any of them the one for all */
    const char *ca_file; /* whom to trust at STS; NULL: AWS_CA_BUNDLE, else the system's */
};

/* The role of AWS_ROLE_ARN for the token in AWS_WEB_IDENTITY_TOKEN_FILE. NOTFOUND: there is no such
 * variable. AUTH: it is refused, or something is missing. */
enum wr_status wr_aws_role_web(struct wr_call *c, const struct wr_aws_asker *who,
    struct wr_aws_role *ret, struct wr_err *e) WR_MUST_CHECK;

/* What who->profile leads to, by a program or by roles (awsprofile.c). AUTH: it is refused, or the
 * text says what is wrong with the profile. May take a minute, as a program has that long. */
enum wr_status wr_aws_role_profile(struct wr_call *c, const struct wr_aws_asker *who,
    struct wr_aws_role *ret, struct wr_err *e) WR_MUST_CHECK;

/* Of the agent at AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI. NOTFOUND: there is no such
 * variable. MISUSE: it names a place that must not see the token. */
enum wr_status wr_aws_role_container(
    struct wr_call *c, struct wr_aws_role *ret, struct wr_err *e) WR_MUST_CHECK;

/* Of the instance's role, unless AWS_EC2_METADATA_DISABLED is true. NOTFOUND: this is no instance,
 * as far as can be told, or it has no role; the text says which. */
enum wr_status wr_aws_role_instance(
    struct wr_call *c, struct wr_aws_role *ret, struct wr_err *e) WR_MUST_CHECK;

#endif
