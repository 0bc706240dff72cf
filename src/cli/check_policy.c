/*
 * check_policy.c - see check_policy.h.
 *
 *   s3:ListBucket              of the bucket; not of the prefix alone: then S3 answers 403, and not
 *                              404, to who asks for an object that is not there
 *   s3:GetObject, PutObject    of what has the prefix; uploads in parts are a PutObject, too
 *   s3:AbortMultipartUpload    or what was cut off is paid for until a rule of the bucket ends it
 *   s3:DeleteObject            unless nothing is ever deleted
 *   kms:...                    of the key that objects are encrypted with: AWS takes no policy with
 *                              anything but an ARN in it, and an alias is none of a key
 *
 * Each replica has statements of its own, but for what is there already.
 */
#include "cli/check_policy.h"

#include "base/buf.h"

#include <stdio.h>

#define ARN_MAX 2048

void wr_policy_begin(struct wr_policy *p)
{
    *p = (struct wr_policy){.statements = json_array()};
    p->lost = !p->statements;
}

/* `alias`: for keys that have it, and no others; NULL: whatever the resource is. */
static void add(
    struct wr_policy *p, const char *const *actions, const char *resource, const char *alias)
{
    json_t *list = json_array();
    json_t *s;

    for (; *actions; actions++)
        if (json_array_append_new(list, json_string(*actions)) != 0)
            p->lost = true;
    s = json_pack("{s:s, s:o, s:s}", "Effect", "Allow", "Action", list, "Resource", resource);
    if (alias && s &&
        json_object_set_new(s, "Condition",
            json_pack("{s:{s:s}}", "ForAnyValue:StringEquals", "kms:ResourceAliases", alias)) != 0)
        p->lost = true;
    for (size_t i = 0; i < json_array_size(p->statements); i++)
        if (s && json_equal(s, json_array_get(p->statements, i))) {
            json_decref(s);
            return;
        }
    if (json_array_append_new(p->statements, s) != 0)
        p->lost = true;
}

/* Regions of AWS that have nothing in common with the others have ARNs of their own. */
static const char *partition_of(const char *region)
{
    static const struct {
        const char *start, *partition;
    } known[] = {{"cn-", "aws-cn"}, {"us-gov-", "aws-us-gov"}, {"us-iso-", "aws-iso"},
        {"us-isob-", "aws-iso-b"}, {"eu-isoe-", "aws-iso-e"}, {"us-isof-", "aws-iso-f"}};

    for (size_t i = 0; region && i < wr_countof(known); i++)
        if (wr_str_starts(wr_str(region), wr_str(known[i].start)))
            return known[i].partition;
    return "aws";
}

/* What means itself: in a policy * and ? stand for others, and ${...} for what AWS knows. */
static void put_plain(struct wr_buf *out, const char *text)
{
    for (; *text; text++)
        if (strchr("*?$", *text))
            wr_buf_fmt(out, "${%c}", *text);
        else
            wr_buf_byte(out, (uint8_t)*text);
}

static void add_objects(
    struct wr_policy *p, const char *arn, bool point, const char *prefix, bool deletes)
{
    static const char *const of_objects[] = {
        "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", NULL};
    static const char *const all_of_objects[] = {
        "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject", NULL};
    struct wr_buf objects;

    wr_buf_init(&objects, 6 * ARN_MAX);
    wr_buf_fmt(&objects, "%s/%s", arn, point ? "object/" : "");
    put_plain(&objects, prefix);
    wr_buf_put(&objects, "*", 2); /* with its end */
    if (wr_buf_status(&objects) == WR_OK)
        add(p, deletes ? all_of_objects : of_objects, (const char *)objects.p, NULL);
    else
        p->lost = true;
    wr_buf_release(&objects);
}

/* The key: its ARN, its ID, its alias, or the ARN of that. Only an ARN says whose it is. */
static void add_key(struct wr_policy *p, const char *partition, const char *key)
{
    static const char *const actions[] = {"kms:GenerateDataKey", "kms:Decrypt", NULL};
    bool is_arn = wr_str_starts(wr_str(key), WR_STR("arn:"));
    const char *alias = is_arn ? strstr(key, ":alias/") : NULL;
    char arn[ARN_MAX];

    if (is_arn && !alias) {
        add(p, actions, key, NULL);
        return;
    }
    alias = alias ? alias + 1 : wr_str_starts(wr_str(key), WR_STR("alias/")) ? key : NULL;
    (void)snprintf(arn, sizeof(arn), "arn:%s:kms:*:*:key/%s", partition, alias ? "*" : key);
    add(p, actions, arn, alias);
}

void wr_policy_add(struct wr_policy *p, const char *bucket, const char *prefix, bool deletes,
    const char *region, const char *kms_key)
{
    static const char *const of_bucket[] = {"s3:ListBucket", NULL};
    const char *partition = partition_of(region);
    bool point = wr_str_starts(wr_str(bucket), WR_STR("arn:"));
    char arn[ARN_MAX];

    if (strlen(bucket) + strlen(prefix) > ARN_MAX - 64 ||
        (kms_key && strlen(kms_key) > ARN_MAX - 64)) {
        p->lost = true;
        return;
    }
    if (point)
        (void)snprintf(arn, sizeof(arn), "%s", bucket); /* it fits */
    else
        (void)snprintf(arn, sizeof(arn), "arn:%s:s3:::%s", partition, bucket); /* likewise */
    add(p, of_bucket, arn, NULL);
    add_objects(p, arn, point, prefix, deletes);
    if (kms_key)
        add_key(p, partition, kms_key);
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
