/*
 * config_dir.c - a directory of databases in the configuration, and the entry of each in it:
 *
 *     - dir: /var/lib/tenants
 *       pattern: "*.db"                  of the file name: * ? [a-z] [^a], \ before any of these
 *       recursive: true                  also below its directories
 *       watch: true                      also those that appear later
 *       meta-path: /var/lib/weir         local state below it; or meta-dir
 *       replica: {url: s3://bucket/tenants}
 *
 * For acme/app.db in it:
 *
 *     replica            s3://bucket/tenants/acme/app.db
 *     local state        /var/lib/tenants/acme/.app.db-weir
 *     with meta-path     META-PATH/acme/.app.db-weir
 *     with meta-dir      META-DIR/acme/app.db-weir
 *
 * as Litestream has it, but for the name of the local state, which is ours (docs/adr/0003).
 */
#include "base/buf.h"
#include "base/file.h"
#include "base/url.h"
#include "daemon/config_int.h"

#include <fnmatch.h>

#define TAG_SIZE 16 /* hex digits in the name of a temporary file of a restore */

/* What is wrong with a pattern, or NULL. */
static const char *check_pattern(const char *p)
{
    for (; *p; p++) {
        if (*p == '/')
            return "is of the file name only, use 'recursive' for files below directories";
        if (*p == '\\' && !*++p)
            return "ends with a backslash";
        if (*p != '[')
            continue;
        if (p[1] == '^' || p[1] == '!')
            p++;
        if (p[1] == ']')
            return "has an empty [] in it";
        p = strchr(p, ']');
        if (!p)
            return "has a [ without ]";
    }
    return NULL;
}

static enum wr_status fail(
    struct wr_doc *d, const yaml_node_t *node, size_t index, const char *text, struct wr_err *e)
{
    return wr_doc_fail(d, node, e, "database config #%zu: %s", index + 1, text);
}

static enum wr_status read_pattern(struct wr_doc *d, const yaml_node_t *node, size_t index,
    const char *what, const char **ret, struct wr_err *e)
{
    const yaml_node_t *v = wr_doc_get(d, node, "pattern");
    const char *wrong;
    enum wr_status st = wr_config_text(d, node, what, "pattern", ret, e);

    if (st != WR_OK)
        return st;
    if (!v)
        return fail(d, node, index, "'pattern' is required when using 'dir'", e);
    wrong = check_pattern(*ret);
    if (wrong)
        return wr_doc_fail(d, v, e, "pattern \"%s\" %s", *ret, wrong);
    if (strchr(*ret, '{') || strstr(*ret, "**"))
        wr_doc_warn(d, v,
            "pattern \"%s\" knows * ? and [a-z] only: { stands for itself, ** is the same as *",
            *ret);
    return WR_OK;
}

enum wr_status wr_config_dir_keys(struct wr_doc *d, const yaml_node_t *node, size_t index,
    struct wr_config_dir *ret, struct wr_err *e)
{
    const yaml_node_t *restore = wr_doc_get(d, node, "restore-if-db-not-exists");
    bool yes = false;
    char what[32];
    enum wr_status st;

    (void)snprintf(what, sizeof(what), "dbs[%zu]", index); /* only for messages */
    st = read_pattern(d, node, index, what, &ret->pattern, e);
    if (st == WR_OK)
        st = wr_config_bool(d, node, what, "recursive", &ret->recursive, e);
    if (st == WR_OK)
        st = wr_config_bool(d, node, what, "watch", &ret->watch, e);
    if (st == WR_OK)
        st = wr_config_place_path(d, node, what, "meta-path", &ret->meta_path, e);
    if (st == WR_OK)
        st = wr_config_place_path(d, node, what, "meta-dir", &ret->meta_dir, e);
    if (st == WR_OK)
        st = wr_config_bool(d, node, what, "restore-if-db-not-exists", &yes, e);
    if (st != WR_OK)
        return st;
    if (wr_doc_get(d, node, "source"))
        return fail(d, node, index, "'source' is of one database, and not of a directory", e);
    if (ret->meta_path && ret->meta_dir)
        return fail(d, node, index, "cannot specify both 'meta-path' and 'meta-dir'", e);
    if (yes)
        wr_doc_warn(d, restore,
            "\"restore-if-db-not-exists\" has no effect for a directory: which of its databases "
            "are missing only its replicas know; \"restore -dir\" brings these back");
    return WR_OK;
}

enum wr_status wr_config_no_dir_keys(
    struct wr_doc *d, const yaml_node_t *node, size_t index, struct wr_err *e)
{
    static const char *const idle[] = {"pattern", "recursive"};
    bool watch = false;
    char what[32];
    enum wr_status st;

    (void)snprintf(what, sizeof(what), "dbs[%zu]", index); /* only for messages */
    st = wr_config_bool(d, node, what, "watch", &watch, e);
    if (st == WR_OK && watch)
        return fail(d, node, index, "'watch' can only be enabled with a directory", e);
    if (st == WR_OK && wr_doc_get(d, node, "meta-dir"))
        return fail(d, node, index, "'meta-dir' can only be used with a directory", e);
    for (size_t i = 0; st == WR_OK && i < wr_countof(idle); i++) {
        const yaml_node_t *v = wr_doc_get(d, node, idle[i]);

        if (v)
            wr_doc_warn(d, v, "\"%s\" has no effect without \"dir\"", idle[i]);
    }
    return st;
}

bool wr_config_beside(struct wr_str name)
{
    static const char *const ends[] = {"-wal", "-shm", "-journal", "-txid", "-follow"};
    struct wr_str head, tail;
    uint64_t tag;

    for (size_t i = 0; i < wr_countof(ends); i++)
        if (wr_str_ends(name, wr_str(ends[i])))
            return true;
    if (!wr_str_cut_last(name, '.', &head, &tail) || tail.n != 4 + TAG_SIZE ||
        (!wr_str_starts(tail, WR_STR("tmp-")) && !wr_str_starts(tail, WR_STR("old-"))))
        return false;
    return wr_parse_hex64(wr_str_skip(tail, 4), &tag);
}

bool wr_config_is_state(struct wr_str name)
{
    return wr_str_starts(name, WR_STR(".")) &&
           (wr_str_ends(name, WR_STR("-weir")) || wr_str_ends(name, WR_STR("-litestream")));
}

bool wr_config_dir_takes(const struct wr_config_dir *dir, const char *rel)
{
    const char *slash = strrchr(rel, '/'), *name = slash ? slash + 1 : rel;
    struct wr_str rest = wr_str(rel), part;
    bool more;

    do {
        more = wr_str_cut(rest, '/', &part, &rest);
        if (wr_config_is_state(part))
            return false;
    } while (more);
    if ((slash && !dir->recursive) || !name[0] || wr_config_beside(wr_str(name)))
        return false;
    return fnmatch(dir->pattern, name, 0) == 0;
}

const char *wr_config_dir_rel(const struct wr_config_dir *dir, const char *path)
{
    size_t n = strcmp(dir->path, "/") ? strlen(dir->path) : 0;
    bool below = strncmp(path, dir->path, n) == 0 && path[n] == '/';

    return below && wr_config_dir_takes(dir, path + n + 1) ? path + n + 1 : NULL;
}

/* `rel` behind the path of a URL with a bucket, as the original joins them. */
static void put_below(struct wr_arena *a, struct wr_buf *out, struct wr_str base, const char *rel)
{
    struct wr_str scheme, rest, host, path;

    (void)wr_str_cut(base, ':', &scheme, &rest);
    (void)wr_str_cut(wr_str_skip(rest, 2), '/', &host, &path);
    path = wr_url_decode(a, path);
    if (path.p)
        path = wr_arena_fmt(a, WR_FMT "%s%s", WR_ARG(path), path.n > 0 ? "/" : "", rel);
    if (path.p && path.n > 0)
        path = wr_path_clean(a, path);
    wr_buf_fmt(out, WR_FMT "://" WR_FMT "/", WR_ARG(scheme), WR_ARG(host));
    wr_config_put_path(a, out, path);
}

/* `base` with `rel` behind its path. All but file URLs have percent escapes. */
static enum wr_status extend_url(struct wr_arena *a, const char *base, const char *type,
    const char *rel, const char **ret, struct wr_err *e)
{
    struct wr_str head, query, all = wr_str(base), copy = {0};
    bool has_query = wr_str_cut(all, '?', &head, &query);
    struct wr_buf url;

    wr_buf_init(&url, WR_CONFIG_URL_MAX);
    if (strcmp(type, "file") == 0)
        wr_buf_fmt(
            &url, WR_FMT "%s%s", WR_ARG(head), wr_str_ends(head, WR_STR("/")) ? "" : "/", rel);
    else
        put_below(a, &url, head, rel);
    if (has_query) {
        wr_buf_byte(&url, '?');
        wr_buf_str(&url, query);
    }
    if (wr_buf_status(&url) == WR_OK)
        copy = wr_arena_str(a, wr_buf_view(&url));
    wr_buf_release(&url);
    if (!copy.p)
        return wr_fail(e, WR_NOMEM, "out of memory");
    *ret = copy.p;
    return WR_OK;
}

enum wr_status wr_config_dir_base(struct wr_arena *a, struct wr_config_replica *r, struct wr_err *e)
{
    return strcmp(r->type, "file") == 0 ? WR_OK : extend_url(a, r->url, r->type, "", &r->url, e);
}

static enum wr_status add_meta(struct wr_arena *a, const struct wr_config_dir *dir, const char *rel,
    struct wr_config_db *ret, struct wr_err *e)
{
    const struct wr_str name = wr_path_base(rel);
    const struct wr_str above = {rel, strlen(rel) - name.n}; /* with its slash */
    struct wr_str meta;
    const char **settings;
    struct wr_config_from *from;
    size_t n = 0;

    if (!dir->meta_path && !dir->meta_dir)
        return WR_OK;
    while (ret->settings[n])
        n++;
    meta = dir->meta_path ? wr_arena_fmt(a, "%s/" WR_FMT "." WR_FMT "-weir", dir->meta_path,
                                WR_ARG(above), WR_ARG(name))
                          : wr_arena_fmt(a, "%s/%s-weir", dir->meta_dir, rel);
    settings = wr_arena_array(a, n + 3, sizeof(*settings));
    from = wr_arena_array(a, n / 2 + 1, sizeof(*from));
    if (!meta.p || !settings || !from)
        return wr_fail(e, WR_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++)
        settings[i] = ret->settings[i];
    for (size_t i = 0; ret->from && i < n / 2; i++)
        from[i] = ret->from[i];
    settings[n] = "meta-path";
    settings[n + 1] = meta.p;
    from[n / 2].line = ret->line; /* the line of the entry will do */
    ret->settings = settings;
    ret->from = from;
    return WR_OK;
}

enum wr_status wr_config_dir_entry(struct wr_arena *a, const struct wr_config_dir *dir,
    const char *rel, struct wr_config_db *ret, struct wr_err *e)
{
    struct wr_config_db db = dir->each;
    struct wr_config_replica *r = wr_arena_array(a, db.nreplicas, sizeof(*r));
    struct wr_str path =
        wr_arena_fmt(a, "%s%s%s", dir->path, strcmp(dir->path, "/") ? "/" : "", rel);
    enum wr_status st = WR_OK;

    if (!r || !path.p)
        return wr_fail(e, WR_NOMEM, "out of memory");
    db.path = path.p;
    for (size_t i = 0; st == WR_OK && i < db.nreplicas; i++) {
        r[i] = dir->each.replicas[i];
        st = extend_url(a, dir->each.replicas[i].url, r[i].type, rel, &r[i].url, e);
    }
    db.replicas = r;
    if (st == WR_OK)
        st = add_meta(a, dir, rel, &db, e);
    for (size_t i = 0; st == WR_OK && i < db.nreplicas; i++)
        for (const char *p = rel; *p && strcmp(r[i].type, "file") == 0; p++)
            if (*p == '?' || (unsigned char)*p < 0x20 || *p == 0x7f)
                return wr_fail(e, WR_MISUSE,
                    "%s: a name with ? or a control character has no file:// URL, rename it",
                    db.path);
    if (st == WR_OK)
        *ret = db;
    return st;
}
