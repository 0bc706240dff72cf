/*
 * awscreds.c - the chain of places where AWS credentials are looked for; the first that has both
 * keys wins, and keys never mix across places.
 *
 * The shared credentials file is an INI file:
 *
 *     [default]
 *     aws_access_key_id = AKIA...
 *     aws_secret_access_key = ...
 *     aws_session_token = ...        (temporary credentials only)
 *
 * '#' and ';' begin comment lines; the later of two equal keys wins. Source: "Configuration and
 * credential file settings" in the AWS CLI User Guide. Credentials that a network service hands
 * out (instance metadata, containers, web identity) are not looked for.
 */
#include "net/awscreds.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/sync.h"

#define FILE_MAX ((size_t)1 << 20) /* bytes of a credentials file */

/* Three strings in one allocation that can be wiped as a whole. */
struct creds_text {
    struct wr_buf text;
    size_t access_n, secret_n, token_n;
};

struct wr_awscreds {
    struct wr_mutex mutex;
    struct creds_text explicit; /* frozen; empty: none given */
    struct creds_text found;    /* guarded by mutex; empty: look */
    const char *found_env;      /* guarded by mutex; the variable of `found`; NULL: a file */
    char *profile;              /* frozen; NULL: as the environment says */
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

/* The keys of one section of a credentials file; views into `file`. */
static bool from_ini(struct wr_str file, struct wr_str profile, struct wr_aws_creds *ret)
{
    bool inside = false;
    *ret = (struct wr_aws_creds){.token = {NULL, 0}};
    while (file.n > 0) {
        struct wr_str line, key, value;
        (void)wr_str_cut(file, '\n', &line, &file);
        line = wr_str_trim(line);
        if (line.n == 0 || line.p[0] == '#' || line.p[0] == ';')
            continue;
        if (line.p[0] == '[') {
            (void)wr_str_cut(wr_str_skip(line, 1), ']', &key, &value);
            inside = wr_str_eq(wr_str_trim(key), profile);
            continue;
        }
        if (!inside || !wr_str_cut(line, '=', &key, &value))
            continue;
        key = wr_str_trim(key);
        value = wr_str_trim(value);
        if (wr_str_eq_nocase(key, WR_STR("aws_access_key_id")))
            ret->access_key = value;
        else if (wr_str_eq_nocase(key, WR_STR("aws_secret_access_key")))
            ret->secret_key = value;
        else if (wr_str_eq_nocase(key, WR_STR("aws_session_token")))
            ret->token = value;
    }
    return complete(ret);
}

/* The path of the credentials file, in `out`; empty when there is no home directory. */
static void file_path(struct wr_buf *out)
{
    const char *path = getenv("AWS_SHARED_CREDENTIALS_FILE");
    const char *home = getenv("HOME");
    if (path != NULL && path[0] != '\0')
        wr_buf_z(out, path);
    else if (home != NULL && home[0] != '\0')
        wr_buf_fmt(out, "%s/.aws/credentials", home);
}

/* Read a whole small file into `out`. NOTFOUND when there is none. */
static enum wr_status read_file(const char *path, struct wr_buf *out, struct wr_err *e)
{
    struct wr_file *f = NULL;
    size_t got = 0;
    enum wr_status st = wr_file_open(wr_fs_posix(), path, WR_FILE_READ, 0, &f, e);
    if (st != WR_OK)
        return st;
    struct wr_file_info info;
    st = wr_file_info(f, &info, e);
    if (st != WR_OK)
        goto out;
    if (info.is_dir || info.size > FILE_MAX) {
        st = wr_fail(e, WR_LIMIT, "%s is no credentials file", path);
        goto out;
    }
    uint8_t *p = info.size > 0 ? wr_buf_grow(out, (size_t)info.size) : NULL;
    if (p != NULL)
        st = wr_file_pread(f, p, (size_t)info.size, 0, &got, e);
    else if (info.size > 0)
        st = wr_fail(e, WR_NOMEM, "out of memory for %s", path);
    if (st == WR_OK && p != NULL)
        out->n = got;
out:
    wr_file_close(f);
    return st;
}

/* Look into the shared credentials file. NOTFOUND when it or the profile in it is missing; `note`
 * then says what was missing. */
static enum wr_status find_in_file(
    const char *profile, struct creds_text *ret, struct wr_buf *note, struct wr_err *e)
{
    struct wr_buf path, text;
    struct wr_aws_creds c;
    wr_buf_init(&path, 4096);
    wr_buf_init(&text, FILE_MAX);
    file_path(&path);
    enum wr_status st = wr_buf_status(&path);
    if (st != WR_OK) {
        st = wr_fail(e, st, "AWS credentials file: %s", wr_status_text(st));
        goto out;
    }
    if (path.n == 0) {
        wr_buf_z(note, "no home directory to find .aws/credentials in");
        st = WR_NOTFOUND;
        goto out;
    }
    st = read_file((const char *)path.p, &text, e);
    if (st == WR_NOTFOUND)
        wr_buf_fmt(note, "profile %s in %s (no such file)", profile, (const char *)path.p);
    if (st != WR_OK)
        goto out;
    if (from_ini(wr_buf_view(&text), wr_str(profile), &c)) {
        st = text_set(ret, &c, e);
    } else {
        wr_buf_fmt(note, "profile %s in %s (not there, or without both keys)", profile,
            (const char *)path.p);
        st = WR_NOTFOUND;
    }
out:
    if (text.n > 0)
        wr_wipe(text.p, text.n);
    wr_buf_release(&text);
    wr_buf_release(&path);
    return st;
}

static enum wr_status look(struct wr_awscreds *p, struct wr_err *e)
{
    static const char aws[] = "AWS_ACCESS_KEY_ID", litestream[] = "LITESTREAM_ACCESS_KEY_ID";
    struct wr_aws_creds c;
    p->found_env = NULL;
    if (from_env(aws, "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", &c))
        p->found_env = aws;
    else if (from_env(litestream, "LITESTREAM_SECRET_ACCESS_KEY", NULL, &c))
        p->found_env = litestream;
    if (p->found_env)
        return text_set(&p->found, &c, e);

    const char *profile = p->profile != NULL ? p->profile : getenv("AWS_PROFILE");
    if (profile == NULL || profile[0] == '\0')
        profile = "default";
    struct wr_buf note;
    struct wr_err cause = {.code = WR_OK};
    wr_buf_init(&note, WR_ERR_MAX);
    enum wr_status st = find_in_file(profile, &p->found, &note, &cause);
    if (st == WR_NOTFOUND)
        st = wr_fail(e, WR_AUTH,
            "no AWS credentials found: looked at access-key-id in the settings, AWS_ACCESS_KEY_ID "
            "and LITESTREAM_ACCESS_KEY_ID with their secrets in the environment, and " WR_FMT
            "; roles of instances and containers are not looked up",
            WR_ARG(wr_buf_view(&note)));
    else if (st != WR_OK)
        st = wr_fail(e, st, "AWS credentials: %s", cause.text);
    wr_buf_release(&note);
    return st;
}

enum wr_status wr_awscreds_new(const struct wr_aws_creds *explicit, struct wr_str profile,
    struct wr_awscreds **ret, struct wr_err *e)
{
    if ((explicit->access_key.n > 0) != (explicit->secret_key.n > 0))
        return wr_fail(e, WR_MISUSE,
            "access-key-id and secret-access-key go together: %s is missing",
            explicit->access_key.n > 0 ? "secret-access-key" : "access-key-id");
    struct wr_awscreds *p = wr_alloc(sizeof(*p));
    if (p == NULL)
        return wr_fail(e, WR_NOMEM, "out of memory");
    enum wr_status st = WR_OK;
    wr_mutex_init(&p->mutex);
    if (complete(explicit))
        st = text_set(&p->explicit, explicit, e);
    if (st == WR_OK && profile.n > 0) {
        p->profile = wr_strndup(profile.p, profile.n);
        if (p->profile == NULL)
            st = wr_fail(e, WR_NOMEM, "out of memory");
    }
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
    text_release(&p->found);
    wr_mutex_release(&p->mutex);
    wr_free(p->profile);
    wr_free(p);
}

enum wr_status wr_awscreds_get(
    struct wr_awscreds *p, char text[WR_AWS_CREDS_MAX], struct wr_aws_creds *ret, struct wr_err *e)
{
    enum wr_status st = WR_OK;
    if (p->explicit.access_n > 0) {
        text_copy(&p->explicit, text, ret);
        return WR_OK;
    }
    wr_mutex_lock(&p->mutex);
    if (p->found.access_n == 0)
        st = look(p, e);
    if (st == WR_OK)
        text_copy(&p->found, text, ret);
    wr_mutex_unlock(&p->mutex);
    return st;
}

bool wr_awscreds_found(struct wr_awscreds *p, const char **ret_env)
{
    bool found = false;
    if (p->explicit.access_n > 0)
        return false;
    wr_mutex_lock(&p->mutex);
    found = p->found.access_n > 0 || look(p, NULL) == WR_OK;
    if (found)
        *ret_env = p->found_env;
    wr_mutex_unlock(&p->mutex);
    return found;
}

bool wr_awscreds_forget(struct wr_awscreds *p)
{
    wr_mutex_lock(&p->mutex);
    text_release(&p->found);
    wr_mutex_unlock(&p->mutex);
    return p->explicit.access_n == 0;
}
