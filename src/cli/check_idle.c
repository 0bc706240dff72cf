/*
 * check_idle.c - keys that are good by themselves and do nothing beside the others. Pure.
 *
 * What never has an effect is a warning of whoever reads the configuration.
 */
#include "cli/check_int.h"

struct rule {
    const char *key;
    const char *other; /* the rule holds where this key ... */
    const char *is;    /* ... has this value; NULL: any; "" is: it is not given */
    const char *why;
};

static const struct rule db_rules[] = {
    {"snapshot.retention", "retention.enabled", "false", "retention.enabled is false"},
    {"snapshot.keep", "retention.enabled", "false", "retention.enabled is false"},
    {"snapshot.keep-hourly", "retention.enabled", "false", "retention.enabled is false"},
    {"snapshot.keep-daily", "retention.enabled", "false", "retention.enabled is false"},
    {"snapshot.keep-weekly", "retention.enabled", "false", "retention.enabled is false"},
    {"snapshot.keep-monthly", "retention.enabled", "false", "retention.enabled is false"},
    {"snapshot.keep-yearly", "retention.enabled", "false", "retention.enabled is false"},
    {"l0-retention", "retention.enabled", "false", "retention.enabled is false"},
    {"retention.grace", "retention.enabled", "false", "retention.enabled is false"},
};

static const struct rule s3_rules[] = {
    {"profile", "access-key-id", NULL, "access-key-id is given, no file is looked into"},
    {"session-token", "access-key-id", "", "it goes with an access-key-id, and there is none"},
    {"ca-file", "skip-verify", "true", "skip-verify accepts any certificate"},
    {"sse-customer-algorithm", "sse-customer-key", "", "there is no sse-customer-key"},
    {"sse-customer-key-md5", "sse-customer-key", "", "there is no sse-customer-key"},
};

static bool holds(const struct rule *r, wr_check_has_fn *has, const void *values)
{
    const char *other = has(values, r->other);

    if (r->is && r->is[0] == '\0')
        return !other;
    return other && (!r->is || wr_str_eq(wr_str(other), wr_str(r->is)));
}

static void apply(const struct rule *rules, size_t n, wr_check_has_fn *has, const void *values,
    wr_check_idle_fn *say, void *arg)
{
    for (size_t i = 0; i < n; i++)
        if (has(values, rules[i].key) && holds(&rules[i], has, values))
            say(arg, rules[i].key, rules[i].why);
}

void wr_check_idle_db(wr_check_has_fn *has, const void *values, wr_check_idle_fn *say, void *arg)
{
    apply(db_rules, wr_countof(db_rules), has, values, say, arg);
}

void wr_check_idle_replica(
    const char *type, wr_check_has_fn *has, const void *values, wr_check_idle_fn *say, void *arg)
{
    const char *endpoint = has(values, "endpoint");

    if (!wr_str_eq(wr_str(type), WR_STR("s3")))
        return;
    apply(s3_rules, wr_countof(s3_rules), has, values, say, arg);
    if (!endpoint || !wr_str_starts(wr_str(endpoint), WR_STR("http://")))
        return;
    if (has(values, "skip-verify"))
        say(arg, "skip-verify", "the endpoint is http:// and has no certificate");
    if (has(values, "ca-file"))
        say(arg, "ca-file", "the endpoint is http:// and has no certificate");
}
