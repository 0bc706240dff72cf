/*
 * awsfile.h - the files in which AWS tools keep what a person or a service is to AWS: keys, or the
 * way to some.
 */
#ifndef WR_NET_AWSFILE_H
#define WR_NET_AWSFILE_H

#include "base/base.h"
#include "base/buf.h"
#include "base/status.h"
#include "net/awscreds.h"

/* What a profile says, of what is followed here; what it does not say is empty. Views into the
 * text. */
struct wr_aws_profile {
    struct wr_aws_creds creds; /* both keys, or none */
    struct wr_str role_arn, source_profile, credential_source, external_id, role_session_name,
        duration_seconds, mfa_serial, web_identity_token_file, credential_process, sso_session,
        sso_start_url, region;
};

struct wr_aws_text {
    struct wr_buf path, text;
    enum wr_status st; /* OK, or why it is as good as empty: NOTFOUND, IO, LIMIT */
};

/* AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials, and AWS_CONFIG_FILE or ~/.aws/config, as they
 * are now. A file that is not there or cannot be read is empty: other places may have keys. NOMEM.
 * Release it in any case, which wipes it. */
struct wr_aws_files {
    struct wr_aws_text credentials, config;
};
enum wr_status wr_aws_files_read(struct wr_aws_files *ret, struct wr_err *e) WR_MUST_CHECK;
void wr_aws_files_release(struct wr_aws_files *f);

/* What both say of a profile; what the credentials file says goes first, and keys are of one file.
 * False: neither has it. */
bool wr_aws_files_find(
    const struct wr_aws_files *f, struct wr_str profile, struct wr_aws_profile *ret);
/* For who found no keys: where they were looked for, and why there are none. */
void wr_aws_files_note(const struct wr_aws_files *f, const char *profile, struct wr_buf *note);

/* A profile in the text of such a file: of the credentials, or of the configuration, which calls
 * its sections otherwise. False: it is not there. */
bool wr_aws_file_profile(
    struct wr_str text, bool is_config, struct wr_str profile, struct wr_aws_profile *ret);

#endif
