/*
 * check_rights.c - what a failed step of a probe means: how bad it is, and which right it needs.
 * Pure.
 */
#include "cli/check_int.h"

const char *wr_check_action(int step, bool kms)
{
    static const char *const actions[] = {
        [WEIR_PROBE_PUT] = "s3:PutObject",
        [WEIR_PROBE_GET] = "s3:GetObject",
        [WEIR_PROBE_LIST] = "s3:ListBucket, of the bucket",
        [WEIR_PROBE_CREATE] = "s3:PutObject",
        [WEIR_PROBE_UPLOAD] = "s3:PutObject and s3:AbortMultipartUpload",
        [WEIR_PROBE_DELETE] = "s3:DeleteObject",
    };
    static const char *const with_key[] = {
        [WEIR_PROBE_PUT] = "s3:PutObject, and kms:GenerateDataKey of the key",
        [WEIR_PROBE_GET] = "s3:GetObject, and kms:Decrypt of the key",
        [WEIR_PROBE_CREATE] = "s3:PutObject, and kms:GenerateDataKey of the key",
        [WEIR_PROBE_UPLOAD] = "s3:PutObject, and kms:GenerateDataKey and kms:Decrypt of the key",
        [WEIR_PROBE_DELETE] = NULL,
    };

    return kms && with_key[step] ? with_key[step] : actions[step];
}

enum wr_check_weight wr_check_step_weight(int step, int code, bool retains)
{
    /* It still works for one writer at a time: the driver looks before it writes. */
    if (step == WEIR_PROBE_CREATE && code == WEIR_UNSUPPORTED)
        return WR_CHECK_WARNING;
    /* Who has no right to delete has switched it off. */
    if (step == WEIR_PROBE_DELETE && code == WEIR_AUTH && !retains)
        return WR_CHECK_NOTE;
    return WR_CHECK_ERROR;
}
