/*
 * awscreds.c - the chain of places where AWS credentials are looked for; the first that has both
 * keys wins, and keys never mix across places. See awscreds.h.
 */
#include "net/awscreds.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sync.h"
#include "net/awsfile.h"
#include "net/awsgate.h"
#include "net/awsrole_int.h"

#define EARLY_MS ((int64_t)5 * 60 * 1000)
#define AGAIN_MS ((int64_t)60 * 1000) /* after renewing has failed; and the least time of use */

/* Three strings in one allocation that can be wiped as a whole. */
struct creds_text {
    struct wr_buf text;
    size_t access_n, secret_n, token_n;
};

struct found {
    struct creds_text text;       /* empty: look */
    const char *env;              /* the variable that they are in, or that led to them */
    int64_t renew_ms, expires_ms; /* Unix ms */
    bool is_role;                 /* it may have others at another time */
    bool is_instance;
};

struct wr_awscreds {
    struct creds_text explicit; /* frozen; empty: none given */
    char *profile;              /* frozen; NULL: as the environment says */
    char *region, *ca_file;     /* frozen; NULL: as struct wr_aws_asker says */

    struct wr_mutex mutex; /* guards the rest; not held while looking */
    struct found found;
    bool had_role;
};

static void text_release(struct creds_text *t)
{
    if (t->text.n > 0)
        wr_wipe(t->text.p, t->text.n);
    wr_buf_release(&t->text);
    *t = (struct creds_text){.access_n = 0};
}

static enum wr_status text_set(
    struct creds_text *t, const struct wr_aws_creds *from, struct wr_err *e)
{
    /* Room for all of it first: growing later would leave a copy behind that is never wiped. */
    size_t n = from->access_key.n + from->secret_key.n + from->token.n;
    wr_buf_init(&t->text, WR_AWS_CREDS_MAX);
    if (wr_buf_grow(&t->text, n) == NULL) {
        enum wr_status st = wr_buf_status(&t->text);
        text_release(t);
        return wr_fail(e, st, "AWS credentials: %s", wr_status_text(st));
    }
    t->text.n = 0;
    wr_buf_str(&t->text, from->access_key);
    wr_buf_str(&t->text, from->secret_key);
    wr_buf_str(&t->text, from->token);
    t->access_n = from->access_key.n;
    t->secret_n = from->secret_key.n;
    t->token_n = from->token.n;
    return WR_OK;
}

static void text_copy(
    const struct creds_text *t, char text[WR_AWS_CREDS_MAX], struct wr_aws_creds *ret)
{
    if (t->text.n > 0)
        memcpy(text, t->text.p, t->text.n);
    ret->access_key = (struct wr_str){text, t->access_n};
    ret->secret_key = (struct wr_str){text + t->access_n, t->secret_n};
    ret->token = (struct wr_str){text + t->access_n + t->secret_n, t->token_n};
}

static bool complete(const struct wr_aws_creds *c)
{
    return c->access_key.n > 0 && c->secret_key.n > 0;
}

/* One pair of variables and their token; a pair of which one is missing is no pair. */
static bool from_env(
    const char *access, const char *secret, const char *token, struct wr_aws_creds *ret)
{
    *ret = (struct wr_aws_creds){
        wr_str_trim(wr_str(getenv(access))),
        wr_str_trim(wr_str(getenv(secret))),
        token != NULL ? wr_str_trim(wr_str(getenv(token))) : (struct wr_str){NULL, 0},
    };
    return complete(ret);
}

static enum wr_status from_variables(struct found *ret, struct wr_err *e)
{
    static const char aws[] = "AWS_ACCESS_KEY_ID", litestream[] = "LITESTREAM_ACCESS_KEY_ID";
    struct wr_aws_creds c;

    if (from_env(aws, "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", &c))
        ret->env = aws;
    else if (from_env(litestream, "LITESTREAM_SECRET_ACCESS_KEY", NULL, &c))
        ret->env = litestream;
    return ret->env ? text_set(&ret->text, &c, e) : WR_NOTFOUND;
}

/* What a clock that is wrong takes for ended is used for a while all the same: the server knows. */
static enum wr_status take_role(
    struct found *ret, struct wr_aws_role *role, int64_t now_ms, struct wr_err *e)
{
    int64_t left_ms;
    enum wr_status st = text_set(&ret->text, &role->creds, e);

    ret->is_role = true;
    if (role->expires_ms == INT64_MAX)
        return st;
    left_ms = wr_max(role->expires_ms - now_ms, AGAIN_MS);
    ret->expires_ms = now_ms + left_ms;
    ret->renew_ms = ret->expires_ms - wr_min(EARLY_MS, left_ms / 2);
    return st;
}

static const char *role_variable(enum wr_aws_way way)
{
    static const char full[] = "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                      relative[] = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                      web[] = "AWS_WEB_IDENTITY_TOKEN_FILE";

    if (way == WR_AWS_WEB)
        return wr_aws_env(web) ? web : NULL;
    if (way != WR_AWS_CONTAINER)
        return NULL;
    return wr_aws_env(full) ? full : wr_aws_env(relative) ? relative : NULL;
}

/* `c` is NULL: whether there is anything to ask, which for an instance nobody knows. */
static enum wr_status from_role(struct wr_awscreds *p, enum wr_aws_way way, const char *profile,
    struct wr_call *c, struct found *ret, struct wr_err *e)
{
    const struct wr_aws_asker who = {profile, p->region, p->ca_file};
    struct wr_aws_role role = {.expires_ms = INT64_MAX};
    const char *env = role_variable(way);
    enum wr_status st;

    if (!c) {
        ret->env = env;
        return env || profile ? WR_OK : WR_NOTFOUND;
    }
    st = wr_aws_role(way, &who, c, &role, e);
    if (st == WR_OK)
        st = take_role(ret, &role, wr_wall_ms(c->clock), e);
    ret->env = st == WR_OK ? env : NULL;
    ret->is_instance = way == WR_AWS_INSTANCE;
    wr_wipe(role.text, sizeof(role.text));
    return st;
}

/* Keys in the files are at hand; where a profile leads elsewhere, one asks for all. */
static enum wr_status from_profile(struct wr_awscreds *p, const char *name, struct wr_call *c,
    struct found *ret, struct wr_buf *note, struct wr_err *e)
{
    struct wr_aws_profile profile;
    struct wr_aws_files files;
    bool leads = false;
    enum wr_status st = wr_aws_files_read(&files, e);

    if (st == WR_OK && wr_aws_files_find(&files, wr_str(name), &profile)) {
        leads = profile.role_arn.n > 0 || profile.source_profile.n > 0 ||
                profile.credential_source.n > 0 || profile.web_identity_token_file.n > 0;
        if (!leads && complete(&profile.creds))
            st = text_set(&ret->text, &profile.creds, e);
        else
            leads = leads || profile.credential_process.n > 0 || profile.sso_session.n > 0 ||
                    profile.sso_start_url.n > 0;
    }
    if (st == WR_OK && !leads && ret->text.access_n == 0) {
        wr_aws_files_note(&files, name, note);
        st = WR_NOTFOUND;
    }
    wr_aws_files_release(&files);
    return st == WR_OK && leads ? from_role(p, WR_AWS_PROFILE, name, c, ret, e) : st;
}

/* NOTFOUND; `note` then says what is missing of a profile. */
static enum wr_status from_files(struct wr_awscreds *p, struct wr_call *c, struct found *ret,
    struct wr_buf *note, struct wr_err *e)
{
    const char *env = wr_aws_env("AWS_PROFILE"), *name = p->profile ? p->profile
                                                         : env      ? env
                                                                    : "default";
    char *copy = wr_strndup(name, strlen(name)); /* a variable may change while files are read */
    enum wr_status st;

    if (!copy)
        return wr_fail(e, WR_NOMEM, "out of memory");
    st = from_profile(p, copy, c, ret, note, e);
    wr_free(copy);
    return st;
}

static enum wr_status nowhere(const struct wr_buf *note, const char *instance, struct wr_err *e)
{
    return wr_fail(e, WR_AUTH,
        "no AWS credentials found: looked at access-key-id in the settings, AWS_ACCESS_KEY_ID "
        "and LITESTREAM_ACCESS_KEY_ID with their secrets in the environment, " WR_FMT
        ", roles of a web identity and of a container, and of an instance (%.120s)",
        WR_ARG(wr_buf_view(note)), instance);
}

/* NOTFOUND: none of them has any. `c` is NULL: without asking a service. */
static enum wr_status chain(struct wr_awscreds *p, struct wr_call *c, struct found *ret,
    struct wr_buf *note, struct wr_err *e)
{
    enum wr_status st = from_variables(ret, e);

    if (st == WR_NOTFOUND)
        st = from_role(p, WR_AWS_WEB, NULL, c, ret, e);
    if (st == WR_NOTFOUND)
        st = from_files(p, c, ret, note, e);
    if (st == WR_NOTFOUND)
        st = from_role(p, WR_AWS_CONTAINER, NULL, c, ret, e);
    if (st == WR_NOTFOUND)
        st = from_role(p, WR_AWS_INSTANCE, NULL, c, ret, e);
    return st;
}

/* Who names a profile in the settings means that one, and nobody else. */
static enum wr_status look(
    struct wr_awscreds *p, struct wr_call *c, struct found *ret, struct wr_err *e)
{
    struct wr_err cause = {.code = WR_OK};
    struct wr_buf note;
    enum wr_status st;

    *ret = (struct found){.renew_ms = INT64_MAX, .expires_ms = INT64_MAX};
    wr_buf_init(&note, WR_ERR_MAX);
    st = p->profile ? from_files(p, c, ret, &note, &cause) : chain(p, c, ret, &note, &cause);
    if (st == WR_NOTFOUND && p->profile)
        st = wr_fail(
            e, WR_AUTH, "no AWS credentials found: looked at " WR_FMT, WR_ARG(wr_buf_view(&note)));
    else if (st == WR_NOTFOUND)
        st = nowhere(&note, cause.text, e);
    else if (st != WR_OK)
        st = wr_fail(e, st, "AWS credentials: %s", cause.text);
    wr_buf_release(&note);
    return st;
}

static enum wr_status keep(char **to, struct wr_str from, struct wr_err *e)
{
    if (from.n == 0)
        return WR_OK;
    *to = wr_strndup(from.p, from.n);
    return *to ? WR_OK : wr_fail(e, WR_NOMEM, "out of memory");
}

enum wr_status wr_awscreds_new(
    const struct wr_awscreds_opts *o, struct wr_awscreds **ret, struct wr_err *e)
{
    if ((o->explicit.access_key.n > 0) != (o->explicit.secret_key.n > 0))
        return wr_fail(e, WR_MISUSE,
            "access-key-id and secret-access-key go together: %s is missing",
            o->explicit.access_key.n > 0 ? "secret-access-key" : "access-key-id");
    struct wr_awscreds *p = wr_alloc(sizeof(*p));
    if (p == NULL)
        return wr_fail(e, WR_NOMEM, "out of memory");
    enum wr_status st = WR_OK;
    wr_mutex_init(&p->mutex);
    if (complete(&o->explicit))
        st = text_set(&p->explicit, &o->explicit, e);
    if (st == WR_OK)
        st = keep(&p->profile, o->profile, e);
    if (st == WR_OK)
        st = keep(&p->region, o->region, e);
    if (st == WR_OK)
        st = keep(&p->ca_file, o->ca_file, e);
    if (st != WR_OK) {
        wr_awscreds_free(p);
        return st;
    }
    *ret = p;
    return WR_OK;
}

void wr_awscreds_free(struct wr_awscreds *p)
{
    if (p == NULL)
        return;
    text_release(&p->explicit);
    text_release(&p->found.text);
    wr_mutex_release(&p->mutex);
    wr_free(p->profile);
    wr_free(p->region);
    wr_free(p->ca_file);
    wr_free(p);
}

/* mutex held, and given up meanwhile: others may look, too, and get the same, as it is one thread
 * of the process that asks a service (awsgate.h). */
static enum wr_status look_anew(struct wr_awscreds *p, struct wr_call *c, struct wr_err *e)
{
    struct found found;
    enum wr_status st;

    wr_mutex_unlock(&p->mutex);
    st = look(p, c, &found, e);
    wr_mutex_lock(&p->mutex);
    if (st == WR_OK) {
        text_release(&p->found.text);
        p->found = found;
        p->had_role = p->had_role || found.is_role;
    } else {
        text_release(&found.text);
        if (st == WR_AUTH && p->had_role)
            st = wr_wrap(e, WR_BUSY, "a role that was had before");
    }
    return st;
}

/* mutex held, and given up meanwhile. */
static enum wr_status make_ready(struct wr_awscreds *p, struct wr_call *c, struct wr_err *e)
{
    for (;;) {
        int64_t now_ms = wr_wall_ms(c->clock);
        bool usable = p->found.text.access_n > 0 && now_ms < p->found.expires_ms;
        struct wr_err why = {0};
        enum wr_status st;

        if (usable && now_ms < p->found.renew_ms)
            return WR_OK;
        if (usable) /* others go on with these meanwhile, and so does everybody if it fails */
            p->found.renew_ms = now_ms + AGAIN_MS;
        st = look_anew(p, c, usable ? &why : e);
        if (st == WR_OK || !usable)
            return st;
        wr_log(c->log, WR_WARN, "cannot renew credentials, using them to their end",
            WR_F_Z("error", why.text));
        /* And round again: they may have been refused meanwhile, and forgotten. */
    }
}

enum wr_status wr_awscreds_get(struct wr_awscreds *p, struct wr_call *c,
    char text[WR_AWS_CREDS_MAX], struct wr_aws_creds *ret, struct wr_err *e)
{
    enum wr_status st;

    if (p->explicit.access_n > 0) {
        text_copy(&p->explicit, text, ret);
        return WR_OK;
    }
    wr_mutex_lock(&p->mutex);
    st = make_ready(p, c, e);
    if (st == WR_OK)
        text_copy(&p->found.text, text, ret);
    wr_mutex_unlock(&p->mutex);
    return st;
}

bool wr_awscreds_found(struct wr_awscreds *p, const char **ret_env)
{
    struct found now = {.env = NULL};
    bool kept, found;

    if (p->explicit.access_n > 0)
        return false;
    wr_mutex_lock(&p->mutex);
    kept = p->found.text.access_n > 0;
    *ret_env = p->found.env;
    found = kept && !p->found.is_instance;
    wr_mutex_unlock(&p->mutex);
    if (kept)
        return found;
    found = look(p, NULL, &now, NULL) == WR_OK;
    *ret_env = now.env;
    text_release(&now.text);
    return found;
}

/* mutex held. */
static bool is_kept(const struct wr_awscreds *p, struct wr_str access_key)
{
    const struct creds_text *t = &p->found.text;

    return wr_str_eq(access_key, (struct wr_str){(const char *)t->text.p, t->access_n});
}

bool wr_awscreds_forget(struct wr_awscreds *p, struct wr_str access_key)
{
    wr_mutex_lock(&p->mutex);
    if (is_kept(p, access_key))
        text_release(&p->found.text);
    wr_mutex_unlock(&p->mutex);
    return p->explicit.access_n == 0;
}

bool wr_awscreds_doubt(struct wr_awscreds *p, struct wr_str access_key)
{
    wr_mutex_lock(&p->mutex);
    if (is_kept(p, access_key))
        p->found.renew_ms = 0;
    wr_mutex_unlock(&p->mutex);
    return p->explicit.access_n == 0;
}
