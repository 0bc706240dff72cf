/*
 * awsfile.c - see awsfile.h. Both are INI files:
 *
 *     [default]
 *     aws_access_key_id = AKIA...
 *     aws_secret_access_key = ...
 *     aws_session_token = ...        (temporary credentials only)
 *
 * In the configuration file the sections of other profiles are called [profile NAME]. '#' and ';'
 * begin comment lines; the later of two equal keys wins. Source: "Configuration and credential file
 * settings" in the AWS CLI User Guide.
 */
#include "net/awsfile.h"

#include "base/file.h"
#include "base/mem.h"

/* What differs between the two. */
struct kind {
    const char *env, *home; /* where it is: the variable's path, else below the home directory */
    const char *section;    /* before the name of a profile that is not the default one */
};

static const struct kind credentials = {"AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", ""};
static const struct kind config = {"AWS_CONFIG_FILE", ".aws/config", "profile "};

static bool is_section(const struct kind *kind, struct wr_str name, struct wr_str profile)
{
    if (kind->section[0] && !wr_str_eq(profile, WR_STR("default"))) {
        if (!wr_str_starts(name, wr_str(kind->section)))
            return false;
        name = wr_str_trim(wr_str_skip(name, strlen(kind->section)));
    }
    return wr_str_eq(name, profile);
}

static bool find_keys(
    const struct kind *kind, struct wr_str file, struct wr_str profile, struct wr_aws_creds *ret)
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
            inside = is_section(kind, wr_str_trim(key), profile);
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
    return ret->access_key.n > 0 && ret->secret_key.n > 0;
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

static enum wr_status find(const struct kind *kind, const char *profile, struct wr_buf *room,
    struct wr_aws_creds *ret, struct wr_buf *note, struct wr_err *e)
{
    struct wr_buf path;
    enum wr_status st;

    wr_buf_init(&path, 4096);
    put_path(kind, &path);
    st = wr_buf_status(&path);
    if (st != WR_OK)
        st = wr_fail(e, st, "AWS credentials file: %s", wr_status_text(st));
    else if (path.n == 0)
        st = WR_NOTFOUND;
    else
        st = read_file((const char *)path.p, room, e);
    if (path.n == 0)
        wr_buf_fmt(note, "no home directory to find %s in", kind->home);
    else if (st == WR_NOTFOUND)
        wr_buf_fmt(note, "profile %s in %s (no such file)", profile, (const char *)path.p);
    else if (st == WR_IO || st == WR_LIMIT) { /* as good as empty: other places may have keys */
        wr_buf_fmt(note, "profile %s in %s (cannot be read)", profile, (const char *)path.p);
        st = WR_NOTFOUND;
    }
    if (st == WR_OK && !find_keys(kind, wr_buf_view(room), wr_str(profile), ret)) {
        wr_buf_fmt(note, "profile %s in %s (not there, or without both keys)", profile,
            (const char *)path.p);
        st = WR_NOTFOUND;
    }
    wr_buf_release(&path);
    return st;
}

enum wr_status wr_aws_file_find(const char *profile, struct wr_buf *room, struct wr_aws_creds *ret,
    struct wr_buf *note, struct wr_err *e)
{
    struct wr_buf nobody;
    enum wr_status st = find(&credentials, profile, room, ret, note, e);

    if (st != WR_NOTFOUND)
        return st;
    if (room->n > 0)
        wr_wipe(room->p, room->n);
    wr_buf_clear(room);
    wr_buf_init(&nobody, 4096); /* who has no keys has them in the first one rather than here */
    st = find(&config, profile, room, ret, &nobody, e);
    wr_buf_release(&nobody);
    return st;
}

bool wr_aws_file_keys(
    struct wr_str text, bool is_config, struct wr_str profile, struct wr_aws_creds *ret)
{
    return find_keys(is_config ? &config : &credentials, text, profile, ret);
}
