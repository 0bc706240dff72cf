/*
 * awsfile.c - see awsfile.h. Both are INI files:
 *
 *     [default]
 *     aws_access_key_id = AKIA...
 *     aws_secret_access_key = ...
 *     aws_session_token = ...        (temporary credentials only)
 *
 * In the configuration file the sections of other profiles are called [profile NAME]. '#' and ';'
 * begin comments, of a line, or behind a blank; the later of two equal keys wins. Source:
 * "Configuration and credential file settings" in the AWS CLI User Guide.
 */
#include "net/awsfile.h"

#include "base/file.h"
#include "base/mem.h"

#include <stddef.h>

#define FILE_MAX ((size_t)1 << 20) /* bytes */

/* What differs between the two. */
struct kind {
    const char *env, *home; /* where it is: the variable's path, else below the home directory */
    const char *section;    /* before the name of a profile that is not the default one */
};

static const struct kind credentials = {"AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", ""};
static const struct kind config = {"AWS_CONFIG_FILE", ".aws/config", "profile "};

static const struct {
    const char *name;
    size_t at;
} keys[] = {
    {"aws_access_key_id", offsetof(struct wr_aws_profile, creds.access_key)},
    {"aws_secret_access_key", offsetof(struct wr_aws_profile, creds.secret_key)},
    {"aws_session_token", offsetof(struct wr_aws_profile, creds.token)},
    {"role_arn", offsetof(struct wr_aws_profile, role_arn)},
    {"source_profile", offsetof(struct wr_aws_profile, source_profile)},
    {"credential_source", offsetof(struct wr_aws_profile, credential_source)},
    {"external_id", offsetof(struct wr_aws_profile, external_id)},
    {"role_session_name", offsetof(struct wr_aws_profile, role_session_name)},
    {"duration_seconds", offsetof(struct wr_aws_profile, duration_seconds)},
    {"mfa_serial", offsetof(struct wr_aws_profile, mfa_serial)},
    {"web_identity_token_file", offsetof(struct wr_aws_profile, web_identity_token_file)},
    {"credential_process", offsetof(struct wr_aws_profile, credential_process)},
    {"sso_session", offsetof(struct wr_aws_profile, sso_session)},
    {"sso_start_url", offsetof(struct wr_aws_profile, sso_start_url)},
    {"region", offsetof(struct wr_aws_profile, region)},
};

static struct wr_str *value_at(struct wr_aws_profile *p, size_t i)
{
    return (struct wr_str *)(void *)((char *)p + keys[i].at);
}

static bool has_both(const struct wr_aws_creds *c)
{
    return c->access_key.n > 0 && c->secret_key.n > 0;
}

static bool is_section(const struct kind *kind, struct wr_str name, struct wr_str profile)
{
    if (kind->section[0] && !wr_str_eq(profile, WR_STR("default"))) {
        if (!wr_str_starts(name, wr_str(kind->section)))
            return false;
        name = wr_str_trim(wr_str_skip(name, strlen(kind->section)));
    }
    return wr_str_eq(name, profile);
}

/* Without white space around it, and without a comment behind it. */
static struct wr_str clean_value(struct wr_str s)
{
    for (size_t i = 0; i + 1 < s.n; i++) {
        if ((s.p[i] == ' ' || s.p[i] == '\t') && (s.p[i + 1] == '#' || s.p[i + 1] == ';'))
            s.n = i;
    }
    return wr_str_trim(s);
}

static void take_line(struct wr_str line, struct wr_aws_profile *ret)
{
    struct wr_str key, value;

    if (!wr_str_cut(line, '=', &key, &value))
        return;
    key = wr_str_trim(key);
    for (size_t i = 0; i < wr_countof(keys); i++)
        if (wr_str_eq_nocase(key, wr_str(keys[i].name)))
            *value_at(ret, i) = clean_value(value);
}

static bool find_profile(
    const struct kind *kind, struct wr_str file, struct wr_str profile, struct wr_aws_profile *ret)
{
    bool inside = false, found = false;

    *ret = (struct wr_aws_profile){.region = {NULL, 0}};
    while (file.n > 0) {
        struct wr_str line, name, rest;

        (void)wr_str_cut(file, '\n', &line, &file);
        line = wr_str_trim(line);
        if (line.n == 0 || line.p[0] == '#' || line.p[0] == ';')
            continue;
        if (line.p[0] == '[') {
            (void)wr_str_cut(wr_str_skip(line, 1), ']', &name, &rest);
            inside = is_section(kind, wr_str_trim(name), profile);
            found = found || inside;
        } else if (inside) {
            take_line(line, ret);
        }
    }
    if (!has_both(&ret->creds)) /* one of them is of no use, and no pair with another file's */
        ret->creds = (struct wr_aws_creds){.token = {NULL, 0}};
    return found;
}

/* Its path; empty when there is no home directory. */
static void put_path(const struct kind *kind, struct wr_buf *out)
{
    const char *path = getenv(kind->env), *home = getenv("HOME");

    if (path && path[0])
        wr_buf_z(out, path);
    else if (home && home[0])
        wr_buf_fmt(out, "%s/%s", home, kind->home);
}

/* The whole of a small file into `out`. All of its room is taken first, most of which nothing
 * touches: growing would leave keys behind. NOTFOUND when there is none. */
static enum wr_status read_file(const char *path, struct wr_buf *out, struct wr_err *e)
{
    uint8_t *p = wr_buf_grow(out, out->max);
    size_t n = 0;
    enum wr_status st;

    if (!p)
        return wr_fail(e, WR_NOMEM, "out of memory for %s", path);
    st = wr_file_head(wr_fs_posix(), path, p, out->max, &n, e);
    if (st == WR_OK && n == out->max)
        st = wr_fail(e, WR_LIMIT, "%s is no credentials file", path);
    out->n = n;
    return st;
}

static enum wr_status read_text(const struct kind *kind, struct wr_aws_text *t, struct wr_err *e)
{
    enum wr_status st;

    put_path(kind, &t->path);
    st = wr_buf_status(&t->path);
    if (st != WR_OK)
        return wr_fail(e, st, "AWS credentials file: %s", wr_status_text(st));
    t->st = t->path.n > 0 ? read_file((const char *)t->path.p, &t->text, e) : WR_NOTFOUND;
    return t->st == WR_NOMEM ? t->st : WR_OK;
}

enum wr_status wr_aws_files_read(struct wr_aws_files *ret, struct wr_err *e)
{
    struct wr_aws_text *const all[] = {&ret->credentials, &ret->config};
    enum wr_status st;

    for (size_t i = 0; i < wr_countof(all); i++) {
        *all[i] = (struct wr_aws_text){.st = WR_NOTFOUND};
        wr_buf_init(&all[i]->path, 4096);
        wr_buf_init(&all[i]->text, FILE_MAX);
    }
    st = read_text(&credentials, &ret->credentials, e);
    return st == WR_OK ? read_text(&config, &ret->config, e) : st;
}

void wr_aws_files_release(struct wr_aws_files *f)
{
    struct wr_aws_text *const all[] = {&f->credentials, &f->config};

    for (size_t i = 0; i < wr_countof(all); i++) {
        if (all[i]->text.n > 0)
            wr_wipe(all[i]->text.p, all[i]->text.n);
        wr_buf_release(&all[i]->text);
        wr_buf_release(&all[i]->path);
    }
}

static bool find_in(const struct kind *kind, const struct wr_aws_text *t, struct wr_str profile,
    struct wr_aws_profile *ret)
{
    struct wr_str text = t->st == WR_OK ? wr_buf_view(&t->text) : (struct wr_str){NULL, 0};

    return find_profile(kind, text, profile, ret);
}

bool wr_aws_files_find(
    const struct wr_aws_files *f, struct wr_str profile, struct wr_aws_profile *ret)
{
    struct wr_aws_profile more;
    bool found = find_in(&credentials, &f->credentials, profile, ret);
    bool both = has_both(&ret->creds);

    found = find_in(&config, &f->config, profile, &more) || found;
    if (!both)
        ret->creds = more.creds;
    more.creds = ret->creds;
    for (size_t i = 0; i < wr_countof(keys); i++)
        if (value_at(ret, i)->n == 0)
            *value_at(ret, i) = *value_at(&more, i);
    return found;
}

/* Who has no keys has them in the first one rather than in the configuration. */
void wr_aws_files_note(const struct wr_aws_files *f, const char *profile, struct wr_buf *note)
{
    const char *path = (const char *)f->credentials.path.p,
               *why = f->credentials.st == WR_OK         ? "not there, or without both keys"
                      : f->credentials.st == WR_NOTFOUND ? "no such file"
                                                         : "cannot be read";

    if (f->credentials.path.n == 0)
        wr_buf_fmt(note, "no home directory to find %s in", credentials.home);
    else
        wr_buf_fmt(note, "profile %s in %s (%s)", profile, path, why);
}

bool wr_aws_file_profile(
    struct wr_str text, bool is_config, struct wr_str profile, struct wr_aws_profile *ret)
{
    return find_profile(is_config ? &config : &credentials, text, profile, ret);
}
