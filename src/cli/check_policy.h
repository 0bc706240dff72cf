/*
 * check_policy.h - the least that an AWS policy must allow for replicas in S3. Pure.
 */
#ifndef WR_CLI_CHECK_POLICY_H
#define WR_CLI_CHECK_POLICY_H

#include <jansson.h>
#include <stdbool.h>

/* A document under construction. */
struct wr_policy {
    json_t *statements;
    bool lost; /* no memory, or a name is not UTF-8 */
};
void wr_policy_begin(struct wr_policy *p);
/* `bucket`: a name, or the ARN of an access point. `prefix`: what all keys start with. `deletes`:
 * retention may. `region`: NULL: not known. `kms_key`: as S3 takes it, an ARN, an ID or an alias;
 * NULL: none. */
void wr_policy_add(struct wr_policy *p, const char *bucket, const char *prefix, bool deletes,
    const char *region, const char *kms_key);
void wr_policy_drop(struct wr_policy *p);   /* instead of: */
json_t *wr_policy_end(struct wr_policy *p); /* NULL: lost */

#endif
