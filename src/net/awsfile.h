/*
 * awsfile.h - the files in which AWS tools keep the keys of a person or a service.
 */
#ifndef WR_NET_AWSFILE_H
#define WR_NET_AWSFILE_H

#include "base/base.h"
#include "base/buf.h"
#include "base/status.h"
#include "net/awscreds.h"

/* The keys of a profile: of AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials, else of
 * AWS_CONFIG_FILE or ~/.aws/config. They are views into `room`, which is empty at first, is filled
 * without a failure or not at all, and is wiped by the caller. NOTFOUND when neither has both keys;
 * `note` then says what was missing. */
enum wr_status wr_aws_file_find(const char *profile, struct wr_buf *room, struct wr_aws_creds *ret,
    struct wr_buf *note, struct wr_err *e) WR_MUST_CHECK;

/* The keys of a profile in the text of such a file, as views into it: of the credentials, or of the
 * configuration, which calls its sections otherwise. False: one of the two keys is not there. */
bool wr_aws_file_keys(
    struct wr_str text, bool is_config, struct wr_str profile, struct wr_aws_creds *ret);

#endif
