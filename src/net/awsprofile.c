/*
 * awsprofile.c - see awsrole.h: from the name of a profile to credentials, as the SDK for Go goes.
 *
 *   [profile backup]                      role_arn: the role is asked for with the keys of
 *   role_arn = arn:aws:iam::1:role/b        source_profile      another profile, and so on
 *   source_profile = base                   credential_source   Environment, EcsContainer,
 *                                                               Ec2InstanceMetadata
 *   [profile base]                          the profile's own   aws_access_key_id,
 *   credential_process = /opt/helper                            credential_process
 *                                           nothing of these    the container's role, or the
 *                                                               instance's
 *                                         web_identity_token_file with role_arn: the role for it
 *
 * Profiles are followed down to the one that has keys, and the roles are then taken on the way up.
 * A profile that is met again has only its keys: it may be its own source. Source: "AWS SDKs and
 * Tools Reference Guide", shared config and credentials files.
 */
#include "net/awsrole.h"

#include "net/awsfile.h"
#include "net/awsgate.h"
#include "net/awsprocess.h"
#include "net/awsrole_int.h"

#define LINKS_MAX 5u

struct chain {
    const struct wr_aws_asker *who;
    const char *region; /* of who asks, of the environment, or of the profile that is asked for */
    const char *name[LINKS_MAX];
    struct wr_aws_profile link[LINKS_MAX];
    size_t n;
};

static bool has_keys(const struct wr_aws_profile *p)
{
    return p->creds.access_key.n > 0;
}

static enum wr_status no_memory(struct wr_err *e)
{
    return wr_fail(e, WR_NOMEM, "profile: out of memory");
}

/* ---- down ---- */

/* What one says must go together: half of it is another identity than was meant. */
static enum wr_status check_link(const char *name, const struct wr_aws_profile *p, struct wr_err *e)
{
    int ways = (p->source_profile.n > 0) + (p->credential_source.n > 0) +
               (p->credential_process.n > 0) + (p->web_identity_token_file.n > 0);
    const char *needs = p->source_profile.n > 0            ? "source_profile"
                        : p->credential_source.n > 0       ? "credential_source"
                        : p->web_identity_token_file.n > 0 ? "web_identity_token_file"
                                                           : NULL;

    if (ways > 1)
        return wr_fail(e, WR_AUTH,
            "profile %s: of source_profile, credential_source, credential_process and "
            "web_identity_token_file there can be one",
            name);
    if (needs && p->role_arn.n == 0)
        return wr_fail(e, WR_AUTH, "profile %s has %s, and no role_arn", name, needs);
    if (p->role_arn.n > 0 && p->mfa_serial.n > 0)
        return wr_fail(e, WR_AUTH,
            "profile %s has mfa_serial: there is nobody here to be asked for a code", name);
    return WR_OK;
}

static bool is_known(const struct chain *k, struct wr_str name)
{
    bool ret = false;

    for (size_t i = 0; i < k->n; i++)
        ret = ret || wr_str_eq(wr_str(k->name[i]), name);
    return ret;
}

/* One more, below those that are there. */
static enum wr_status add_link(struct wr_call *c, const struct wr_aws_files *files, struct chain *k,
    struct wr_str name, struct wr_err *e)
{
    struct wr_aws_profile *p = &k->link[k->n];
    const char *above = k->n > 0 ? k->name[k->n - 1] : "";
    bool again = is_known(k, name);

    if (!wr_aws_files_find(files, name, p))
        return wr_fail(e, WR_AUTH, "profile %s names source_profile " WR_FMT ", which is not there",
            above, WR_ARG(name));
    if (again && !has_keys(p))
        return wr_fail(e, WR_AUTH,
            "source_profile goes in a circle: profile %s names " WR_FMT ", which has no keys",
            above, WR_ARG(name));
    k->name[k->n] = wr_arena_str(c->scratch, name).p;
    if (!k->name[k->n])
        return no_memory(e);
    if (again)
        *p = (struct wr_aws_profile){.creds = p->creds};
    else if (k->n > 0 && has_keys(p)) /* a source that has keys looks no further */
        p->source_profile = p->credential_source = p->credential_process =
            p->web_identity_token_file = (struct wr_str){NULL, 0};
    return check_link(k->name[k->n++], p, e);
}

static enum wr_status follow(
    struct wr_call *c, const struct wr_aws_files *files, struct chain *k, struct wr_err *e)
{
    struct wr_str next = wr_str(k->who->profile);
    enum wr_status st = WR_OK;

    while (st == WR_OK && next.n > 0) {
        if (k->n == LINKS_MAX)
            return wr_fail(e, WR_AUTH,
                "profile %s: more than %u profiles, each with the next as "
                "its source_profile",
                k->who->profile, LINKS_MAX);
        st = add_link(c, files, k, next, e);
        next = st == WR_OK ? k->link[k->n - 1].source_profile : next;
    }
    if (st != WR_OK)
        return st;
    k->region = wr_aws_region(k->who);
    if (k->region || k->link[0].region.n > 0)
        k->region = wr_arena_str(c->scratch, k->region ? wr_str(k->region) : k->link[0].region).p;
    else
        return WR_OK;
    return k->region ? WR_OK : no_memory(e);
}

/* ---- at the bottom ---- */

static enum wr_status of_environment(struct wr_aws_role *ret, struct wr_err *e)
{
    const struct wr_aws_creds creds = {wr_str_trim(wr_str(getenv("AWS_ACCESS_KEY_ID"))),
        wr_str_trim(wr_str(getenv("AWS_SECRET_ACCESS_KEY"))),
        wr_str_trim(wr_str(getenv("AWS_SESSION_TOKEN")))};

    if (creds.access_key.n == 0 || creds.secret_key.n == 0)
        return wr_fail(e, WR_AUTH,
            "credential_source is Environment, and AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is "
            "not set");
    return wr_aws_take_keys(&creds, ret, e);
}

/* Absence is a failure here: the profile says that there is one. */
static enum wr_status of_service(
    enum wr_aws_way way, struct wr_call *c, struct wr_aws_role *ret, struct wr_err *e)
{
    static const struct wr_aws_asker nobody;
    struct wr_err why = {.code = WR_OK};
    enum wr_status st = wr_aws_role(way, &nobody, c, ret, &why);

    return st == WR_OK ? st : wr_fail(e, st == WR_NOTFOUND ? WR_AUTH : st, "%s", why.text);
}

static enum wr_status of_source(
    struct wr_call *c, struct wr_str source, struct wr_aws_role *ret, struct wr_err *e)
{
    if (wr_str_eq(source, WR_STR("Environment")))
        return of_environment(ret, e);
    if (wr_str_eq(source, WR_STR("EcsContainer")))
        return of_service(WR_AWS_CONTAINER, c, ret, e);
    if (wr_str_eq(source, WR_STR("Ec2InstanceMetadata")))
        return of_service(WR_AWS_INSTANCE, c, ret, e);
    return wr_fail(e, WR_AUTH,
        "credential_source is none of Environment, EcsContainer and Ec2InstanceMetadata");
}

static enum wr_status of_process(
    struct wr_call *c, const struct wr_aws_profile *p, struct wr_aws_role *ret, struct wr_err *e)
{
    const char *command = wr_arena_str(c->scratch, p->credential_process).p;

    return command ? wr_aws_process(c, command, "credential_process", ret, e) : no_memory(e);
}

static struct wr_aws_sts sts_of(
    const struct chain *k, const struct wr_aws_profile *p, const char *action)
{
    return (struct wr_aws_sts){.who = action,
        .action = action,
        .region = k->region,
        .ca_file = k->who->ca_file,
        .role_arn = p->role_arn,
        .session = p->role_session_name,
        .external_id = p->external_id,
        .duration = p->duration_seconds};
}

static enum wr_status of_web(struct wr_call *c, const struct chain *k,
    const struct wr_aws_profile *p, struct wr_aws_role *ret, struct wr_err *e)
{
    struct wr_aws_sts s = sts_of(k, p, "AssumeRoleWithWebIdentity");
    const char *path = wr_arena_str(c->scratch, p->web_identity_token_file).p;

    s.external_id = (struct wr_str){NULL, 0}; /* has none */
    return path ? wr_aws_sts_web(c, &s, path, "web_identity_token_file", ret, e) : no_memory(e);
}

/* What it runs on, where a profile does not say whose keys. */
static enum wr_status of_place(struct wr_call *c, const struct wr_aws_profile *p, const char *name,
    struct wr_aws_role *ret, struct wr_err *e)
{
    static const struct wr_aws_asker nobody;
    struct wr_err why = {.code = WR_OK};
    enum wr_status st;

    if (p->sso_session.n > 0 || p->sso_start_url.n > 0)
        return wr_fail(e, WR_AUTH,
            "single sign-on is not done here: give a profile of another name the line "
            "\"credential_process = aws configure export-credentials --profile %s\", and use that",
            name);
    st = wr_aws_role(WR_AWS_CONTAINER, &nobody, c, ret, &why);
    if (st == WR_NOTFOUND)
        st = wr_aws_role(WR_AWS_INSTANCE, &nobody, c, ret, &why);
    if (st == WR_NOTFOUND)
        return wr_fail(e, WR_AUTH,
            "it has neither keys nor a source of some, and there is no role of a container or an "
            "instance (%.120s)",
            why.text);
    return st == WR_OK ? WR_OK : wr_fail(e, st, "%s", why.text);
}

/* *ret_done: its role is what was got, and is not to be asked for once more. */
static enum wr_status at_bottom(struct wr_call *c, const struct chain *k, struct wr_aws_role *ret,
    bool *ret_done, struct wr_err *e)
{
    const struct wr_aws_profile *p = &k->link[k->n - 1];
    const char *name = k->name[k->n - 1];
    enum wr_status st;

    *ret_done = false;
    if (has_keys(p)) {
        st = wr_aws_take_keys(&p->creds, ret, e);
    } else if (p->credential_source.n > 0) {
        st = of_source(c, p->credential_source, ret, e);
    } else if (p->web_identity_token_file.n > 0) {
        st = of_web(c, k, p, ret, e);
        *ret_done = true;
    } else if (p->credential_process.n > 0) {
        st = of_process(c, p, ret, e);
    } else {
        st = of_place(c, p, name, ret, e);
    }
    return st == WR_OK || st == WR_NOMEM ? st : wr_wrap(e, st, "profile %s", name);
}

/* ---- and up ---- */

static enum wr_status climb(
    struct wr_call *c, const struct chain *k, struct wr_aws_role *ret, struct wr_err *e)
{
    bool done;
    enum wr_status st = at_bottom(c, k, ret, &done, e);

    for (size_t i = done ? k->n - 1 : k->n; st == WR_OK && i-- > 0;) {
        const struct wr_aws_sts s = sts_of(k, &k->link[i], "AssumeRole");

        if (s.role_arn.n == 0)
            continue;
        st = wr_aws_sts_assume(c, &s, ret, e);
        if (st != WR_OK && st != WR_NOMEM)
            st = wr_wrap(e, st, "profile %s", k->name[i]);
    }
    return st;
}

enum wr_status wr_aws_role_profile(
    struct wr_call *c, const struct wr_aws_asker *who, struct wr_aws_role *ret, struct wr_err *e)
{
    struct wr_aws_files files;
    struct chain k = {.who = who};
    enum wr_status st = wr_aws_files_read(&files, e);

    if (st == WR_OK)
        st = follow(c, &files, &k, e);
    if (st == WR_OK)
        st = climb(c, &k, ret, e);
    wr_aws_files_release(&files);
    return st;
}
