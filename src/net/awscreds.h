/*
 * awscreds.h - where AWS credentials come from: settings, environment, shared credentials file.
 */
#ifndef WR_NET_AWSCREDS_H
#define WR_NET_AWSCREDS_H

#include "base/base.h"
#include "base/status.h"
#include "base/str.h"

struct wr_aws_creds {
    struct wr_str access_key, secret_key;
    struct wr_str token; /* empty for long-lived keys */
};

/* locked: any thread may ask. Keeps what it found until told to forget; wipes it on release. */
struct wr_awscreds;

/* `explicit` wins over everything when its access key is set. `profile` names the section of the
 * credentials file; empty: AWS_PROFILE, else "default". All strings are copied. Half a pair of
 * explicit keys is MISUSE. */
enum wr_status wr_awscreds_new(const struct wr_aws_creds *explicit, struct wr_str profile,
    struct wr_awscreds **ret, struct wr_err *e) WR_MUST_CHECK;
void wr_awscreds_free(struct wr_awscreds *p); /* NULL-safe */

#define WR_AWS_CREDS_MAX 4096 /* bytes of one set; tokens have a thousand or two */

/* The credentials to use now, in `text`, which the caller wipes after use: the explicit ones, else
 * AWS_ACCESS_KEY_ID and so on, else LITESTREAM_ACCESS_KEY_ID and so on, else the profile's in
 * AWS_SHARED_CREDENTIALS_FILE or
 * ~/.aws/credentials. AUTH with a text that lists where it looked when there are none. */
enum wr_status wr_awscreds_get(struct wr_awscreds *p, char text[WR_AWS_CREDS_MAX],
    struct wr_aws_creds *ret, struct wr_err *e) WR_MUST_CHECK;

/* Where credentials that were not explicit are found: true, and *ret_env the variable of the access
 * key, or NULL for the shared credentials file. False: they are explicit, or nowhere. */
bool wr_awscreds_found(struct wr_awscreds *p, const char **ret_env);

/* A server refused them: look again at the next get, somebody may have renewed the file. False for
 * explicit ones, which do not change. */
bool wr_awscreds_forget(struct wr_awscreds *p);

#endif
