/*
 * check_policy.c - see check_policy.h.
 *
 *   s3:ListBucket              of the bucket; not of the prefix alone: then S3 answers 403, and not
 *                              404, to who asks for an object that is not there
 *   s3:GetObject, PutObject    of what has the prefix; uploads in parts are a PutObject, too
 *   s3:AbortMultipartUpload    or what was cut off is paid for until a rule of the bucket ends it
 *   s3:DeleteObject            unless nothing is ever deleted
 *   kms:...                    of the key that objects are encrypted with
 *
 * Each replica has statements of its own, but for what is there already.
 */
#include "cli/check_policy.h"

#include <stdio.h>
#include <string.h>

#define ARN_MAX 2048

void wr_policy_begin(struct wr_policy *p)
{
    *p = (struct wr_policy){.statements = json_array()};
    p->lost = !p->statements;
}

static void add(struct wr_policy *p, const char *const *actions, const char *resource)
{
    json_t *list = json_array();
    json_t *s;

    for (; *actions; actions++)
        if (json_array_append_new(list, json_string(*actions)) != 0)
            p->lost = true;
    s = json_pack("{s:s, s:o, s:s}", "Effect", "Allow", "Action", list, "Resource", resource);
    for (size_t i = 0; i < json_array_size(p->statements); i++)
        if (s && json_equal(s, json_array_get(p->statements, i))) {
            json_decref(s);
            return;
        }
    if (json_array_append_new(p->statements, s) != 0)
        p->lost = true;
}

void wr_policy_add(
    struct wr_policy *p, const char *bucket, const char *prefix, bool deletes, const char *kms_key)
{
    static const char *const of_bucket[] = {"s3:ListBucket", NULL};
    static const char *const of_objects[] = {
        "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", NULL};
    static const char *const all_of_objects[] = {
        "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject", NULL};
    static const char *const of_key[] = {"kms:GenerateDataKey", "kms:Decrypt", NULL};
    bool point = strncmp(bucket, "arn:", 4) == 0;
    char arn[ARN_MAX], objects[2 * ARN_MAX];

    if (strlen(bucket) + strlen(prefix) > ARN_MAX - 64) {
        p->lost = true;
        return;
    }
    (void)snprintf(arn, sizeof(arn), "%s%s", point ? "" : "arn:aws:s3:::", bucket); /* it fits */
    (void)snprintf(
        objects, sizeof(objects), "%s/%s%s*", arn, point ? "object/" : "", prefix); /* likewise */
    add(p, of_bucket, arn);
    add(p, deletes ? all_of_objects : of_objects, objects);
    if (kms_key)
        add(p, of_key, kms_key);
}

void wr_policy_drop(struct wr_policy *p)
{
    json_decref(p->statements);
    p->statements = NULL;
}

json_t *wr_policy_end(struct wr_policy *p)
{
    json_t *o = json_pack("{s:s, s:o}", "Version", "2012-10-17", "Statement", p->statements);

    if (!p->lost)
        return o;
    json_decref(o);
    return NULL;
}
