/*
 * s3_error.c - the error codes of S3 and its compatibles, as what a caller can do about them.
 *
 * Source: "List of error codes" in the Amazon S3 API Reference, and what other stores were seen to
 * send. A code decides before the HTTP status does. Knows no request.
 */
#include "storage/s3_int.h"

struct row {
    const char *code;
    enum wr_status st;
    const char *advice;
};

static const char permission[] = "the policy of this key or bucket does not allow it";
static const char bad_key[] = "check access-key-id, or AWS_ACCESS_KEY_ID";
static const char bad_secret[] =
    "check secret-access-key, or AWS_SECRET_ACCESS_KEY, and the region";
static const char bad_token[] = "the temporary credentials are over: renew them";
static const char bad_clock[] = "set this machine's clock";
static const char bad_place[] = "set region and endpoint to where the bucket is";
static const char bad_kms[] = "check sse-kms-key-id and the policy of that key";

static const struct row rows[] = {
    {"NoSuchKey", WR_NOTFOUND, NULL},
    {"NoSuchVersion", WR_NOTFOUND, NULL},
    {"NoSuchUpload", WR_NOTFOUND, NULL},
    {"NoSuchBucket", WR_MISUSE, "create it, or correct the replica's URL"},
    {"InvalidBucketName", WR_MISUSE, "correct the replica's URL"},
    {"NoSuchAccessPoint", WR_MISUSE, "correct the replica's URL"},
    {"PreconditionFailed", WR_CONFLICT, NULL},
    {"ConditionalRequestConflict", WR_BUSY, NULL}, /* another request was under way: nothing is said
                                                      about what is there */

    {"AccessDenied", WR_AUTH, permission},
    {"AllAccessDisabled", WR_AUTH, permission},
    {"AccountProblem", WR_AUTH, "ask the provider about the account"},
    {"NotSignedUp", WR_AUTH, "ask the provider about the account"},
    {"CrossLocationLoggingProhibited", WR_AUTH, permission},
    {"InvalidAccessKeyId", WR_AUTH, bad_key},
    {"InvalidSecurity", WR_AUTH, bad_key},
    {"SignatureDoesNotMatch", WR_AUTH, bad_secret},
    {"AuthorizationHeaderMalformed", WR_AUTH, bad_place},
    {"ExpiredToken", WR_AUTH, bad_token},
    {"InvalidToken", WR_AUTH, bad_token},
    {"TokenRefreshRequired", WR_AUTH, bad_token},
    {"RequestTimeTooSkewed", WR_AUTH, bad_clock},
    {"RequestExpired", WR_AUTH, bad_clock},
    {"KMS.DisabledException", WR_AUTH, bad_kms},
    {"KMS.KMSInvalidStateException", WR_AUTH, bad_kms},
    {"KMS.NotFoundException", WR_AUTH, bad_kms},
    {"KMS.InvalidKeyUsageException", WR_AUTH, bad_kms},

    {"SlowDown", WR_BUSY, NULL},
    {"ServiceUnavailable", WR_BUSY, NULL},
    {"InternalError", WR_BUSY, NULL},
    {"RequestTimeout", WR_BUSY, NULL},
    {"RequestCanceled", WR_BUSY, NULL},
    {"Throttling", WR_BUSY, NULL},
    {"ThrottlingException", WR_BUSY, NULL},
    {"RequestLimitExceeded", WR_BUSY, NULL},
    {"TooManyRequests", WR_BUSY, NULL},
    {"BandwidthLimitExceeded", WR_BUSY, NULL},
    {"OperationAborted", WR_BUSY, NULL},
    {"TemporaryRedirect", WR_BUSY, NULL},
    /* The body was damaged or cut on its way: sending it again is the cure. */
    {"BadDigest", WR_BUSY, NULL},
    {"XAmzContentSHA256Mismatch", WR_BUSY, NULL},
    {"IncompleteBody", WR_BUSY, NULL},

    {"EntityTooLarge", WR_LIMIT, NULL},
    {"MaxMessageLengthExceeded", WR_LIMIT, NULL},
    {"InvalidRange", WR_LIMIT, NULL},
    {"QuotaExceeded", WR_LIMIT, "the account's quota is used up"},
    {"QuotaExceededException", WR_LIMIT, "the account's quota is used up"},
    {"KeyTooLongError", WR_MISUSE, "shorten the path in the replica's URL"},
    {"EntityTooSmall", WR_MISUSE, "set part-size to 5MiB or more"},
    {"InvalidStorageClass", WR_MISUSE, "check storage-class"},
    {"PermanentRedirect", WR_MISUSE, bad_place},
    {"IllegalLocationConstraintException", WR_MISUSE, bad_place},
    {"NotImplemented", WR_UNSUPPORTED, NULL},
    {"MethodNotAllowed", WR_UNSUPPORTED, NULL},
    {"InvalidObjectState", WR_IO, "the object is archived: restore it at the provider first"},
};

static enum wr_status by_http_status(int http_status, const char **ret_advice)
{
    switch (http_status) {
    case 301:
        *ret_advice = bad_place;
        return WR_MISUSE;
    case 401:
    case 403:
        *ret_advice = permission;
        return WR_AUTH;
    case 404:
        return WR_NOTFOUND;
    case 412:
        return WR_CONFLICT;
    case 413:
    case 416:
        return WR_LIMIT;
    case 405:
    case 501:
        return WR_UNSUPPORTED;
    case 307:
    case 408:
    case 409:
    case 425:
    case 429:
        return WR_BUSY;
    default:
        return http_status >= 500 && http_status <= 599 ? WR_BUSY : WR_IO;
    }
}

enum wr_status wr_s3_classify(struct wr_str code, int http_status, const char **ret_advice)
{
    *ret_advice = NULL;
    for (size_t i = 0; i < wr_countof(rows); i++) {
        if (!wr_str_eq(code, wr_str(rows[i].code)))
            continue;
        *ret_advice = rows[i].advice;
        return rows[i].st;
    }
    return by_http_status(http_status, ret_advice);
}
