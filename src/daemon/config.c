/*
 * config.c - the configuration document as a checked list of databases.
 *
 * YAML, in which environment variables have been expanded (config_load.c):
 *
 *     dbs:
 *       - path: /var/lib/app.db          the database
 *         replica:                       or `replicas:`, a list
 *           url: s3://bucket/app         or type, bucket, path
 *           sync-interval: 1s
 *       - dir: /var/lib/tenants          all databases of a directory: config_dir.c
 *         pattern: "*.db"
 *         replica: {url: s3://bucket/tenants}
 *     region: eu-west-1                  any replica key here is the default of all replicas
 *     addr: ":9090"                      and more of the process: config_process.c
 *     snapshot: {interval: 24h}          and more of that kind: config_history.c
 *
 * What cannot be meant stops the program, because a backup that silently does not happen is worse
 * than a start that fails; what does nothing gets one warning with its place. Which is which is
 * told by docs/adr/0013.
 */
#include "daemon/config_int.h"
#include "daemon/expand.h"

#define REPLICAS_MAX 8 /* of one database, as weir_db_add_replica has it */
#define DBS_MAX      100000

/* `replica:` or `replicas:` of one database. */
static enum wr_status read_replicas(struct wr_doc *d, const yaml_node_t *db, const yaml_node_t *top,
    size_t index, struct wr_config_db *ret, struct wr_err *e)
{
    const yaml_node_t *one = wr_doc_get(d, db, "replica"), *list = wr_doc_get(d, db, "replicas");
    const yaml_node_t *node;
    struct wr_config_replica *r;
    enum wr_status st = WR_OK;
    size_t n = 0;
    char what[64];

    if (one && list)
        return wr_doc_fail(d, list, e, "cannot specify 'replica' and 'replicas' on a database");
    (void)snprintf(what, sizeof(what), "dbs[%zu].replicas", index); /* only for the message */
    if (list)
        st = wr_doc_is(d, list, YAML_SEQUENCE_NODE, what, e);
    while (list && st == WR_OK && wr_doc_item(d, list, n))
        n++;
    if (one)
        n = 1;
    if (st != WR_OK)
        return st;
    if (n == 0)
        return wr_doc_fail(d, db, e, "must specify replica for database");
    if (n > REPLICAS_MAX)
        return wr_doc_fail(d, list, e, "more than %d replicas of one database", REPLICAS_MAX);

    r = wr_arena_array(d->arena, n, sizeof(*r));
    if (!r)
        return wr_fail(e, WR_NOMEM, "out of memory");
    for (size_t i = 0; st == WR_OK && i < n; i++) {
        if (list)
            (void)snprintf(what, sizeof(what), "dbs[%zu].replicas[%zu]", index, i);
        else
            (void)snprintf(what, sizeof(what), "dbs[%zu].replica", index);
        node = list ? wr_doc_item(d, list, i) : one;
        st = wr_config_replica(d, node, top, what, &r[i], e);
        if (st == WR_OK && wr_doc_get(d, db, "dir") && !wr_doc_get(d, node, "url"))
            st = wr_config_dir_base(d->arena, &r[i], e);
    }
    ret->replicas = r;
    ret->nreplicas = n;
    return st;
}

/* The settings of an entry that are the same for one database and for a directory of them. */
static enum wr_status read_settings(struct wr_doc *d, const yaml_node_t *node,
    const yaml_node_t *top, const char *what, struct wr_pairs *pairs, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    for (const struct wr_key *k = wr_config_db_keys; st == WR_OK && k->name; k++) {
        const yaml_node_t *v = k->use == WR_KEY_FOR_ALL ? wr_doc_get(d, node, k->name) : NULL;
        char name[64];

        if (!v)
            continue;
        (void)snprintf(name, sizeof(name), "%s.%s", what, k->name); /* only for the message */
        st = wr_config_check_value(d, v, k->kind, name, e);
        if (st == WR_OK && k->kind == WR_KEY_NUMBER &&
            (wr_doc_text(v).p[0] == '-' || wr_str_eq(wr_doc_text(v), WR_STR("0"))))
            st = wr_doc_fail(d, v, e, "%s must be greater than 0 (got " WR_FMT ")", name,
                WR_ARG(wr_doc_text(v)));
        if (st == WR_OK)
            st = wr_pairs_add_value(pairs, d->arena, k, wr_doc_text(v), e);
        if (st == WR_OK)
            wr_pairs_said(pairs, v, false);
    }
    return st == WR_OK ? wr_config_history(d, top, node, pairs, e) : st;
}

enum wr_status wr_config_place_path(struct wr_doc *d, const yaml_node_t *node, const char *what,
    const char *key, const char **ret, struct wr_err *e)
{
    const yaml_node_t *v = wr_doc_find(d, node, key);
    const char *text = NULL;
    enum wr_status st;

    *ret = NULL;
    if (v && wr_doc_has_gap(d, v))
        return wr_doc_fail(d, v, e, "%s.%s is not complete", what, key);
    st = wr_config_text(d, node, what, key, &text, e);
    return st == WR_OK && text ? wr_expand_path(d->arena, wr_str(text), ret, e) : st;
}

/* A pattern, or what is left of another notation, is the name of a file that will never be. */
static enum wr_status check_path(
    struct wr_doc *d, const yaml_node_t *node, const char *path, struct wr_err *e)
{
    struct wr_str s = wr_str(path), dir, name;

    if (strchr(path, '*')) {
        (void)wr_str_cut_last(s, '/', &dir, &name);
        return wr_doc_fail(d, wr_doc_get(d, node, "path"), e,
            "path is one file and no pattern: for several write dir: " WR_FMT
            " and pattern: \"" WR_FMT "\"",
            WR_ARG(dir.n ? dir : WR_STR("/")), WR_ARG(name));
    }
    if (wr_str_ends(s, WR_STR(";")) || wr_str_ends(s, WR_STR(",")))
        wr_doc_warn(d, wr_doc_get(d, node, "path"),
            "path ends with \"%c\", which is taken for part "
            "of the name: %s",
            s.p[s.n - 1], path);
    return WR_OK;
}

static enum wr_status read_source(
    struct wr_doc *d, const yaml_node_t *node, const char *what, const char **ret, struct wr_err *e)
{
    enum wr_status st = wr_config_text(d, node, what, "source", ret, e);

    if (st == WR_OK && *ret && !wr_config_is_source(*ret))
        return wr_doc_fail(d, wr_doc_get(d, node, "source"), e,
            "source must be the URL of a primary, such as http://primary:9999/app.db");
    return st;
}

static enum wr_status read_file(struct wr_doc *d, const yaml_node_t *node, const yaml_node_t *top,
    size_t index, const char *path, struct wr_config_db *ret, struct wr_err *e)
{
    struct wr_pairs pairs = {0};
    const char *meta = NULL;
    enum wr_status st = check_path(d, node, path, e);
    char what[32];

    (void)snprintf(what, sizeof(what), "dbs[%zu]", index); /* only for messages */
    ret->path = path;
    ret->line = wr_config_line(node);
    if (st == WR_OK)
        st = wr_config_bool(d, node, what, "restore-if-db-not-exists", &ret->restore_if_missing, e);
    if (st == WR_OK)
        st = read_source(d, node, what, &ret->source, e);
    if (st == WR_OK)
        st = wr_config_place_path(d, node, what, "meta-path", &meta, e);
    if (st == WR_OK && meta)
        st = wr_pairs_add(&pairs, d->arena, "meta-path", wr_str(meta), e);
    if (st == WR_OK && meta)
        wr_pairs_said(&pairs, wr_doc_get(d, node, "meta-path"), false);
    if (st == WR_OK)
        st = read_settings(d, node, top, what, &pairs, e);
    if (st == WR_OK)
        st = wr_pairs_copy(&pairs, d->arena, &ret->settings, &ret->from, e);
    return st != WR_OK ? st : read_replicas(d, node, top, index, ret, e);
}

static enum wr_status read_dir(struct wr_doc *d, const yaml_node_t *node, const yaml_node_t *top,
    size_t index, const char *path, struct wr_config_dir *ret, struct wr_err *e)
{
    struct wr_pairs pairs = {0};
    enum wr_status st = wr_config_dir_keys(d, node, index, ret, e);
    char what[32];

    (void)snprintf(what, sizeof(what), "dbs[%zu]", index); /* only for messages */
    ret->path = path;
    ret->each.line = wr_config_line(node);
    if (st == WR_OK)
        st = read_settings(d, node, top, what, &pairs, e);
    if (st == WR_OK)
        st = wr_pairs_copy(&pairs, d->arena, &ret->each.settings, &ret->each.from, e);
    if (st == WR_OK)
        st = read_replicas(d, node, top, index, &ret->each, e);
    for (size_t i = 0; st == WR_OK && i < ret->each.nreplicas; i++)
        if (strcmp(ret->each.replicas[i].type, "nats") == 0)
            return wr_doc_fail(d, node, e,
                "a directory cannot go to NATS, where all databases of a bucket have the same "
                "names: "
                "give each 'path' a bucket of its own");
    return st;
}

static enum wr_status read_entry(struct wr_doc *d, const yaml_node_t *node, const yaml_node_t *top,
    size_t index, struct wr_config_entries *ret, struct wr_err *e)
{
    const char *path, *dir = NULL;
    char what[32];
    enum wr_status st = wr_doc_is(d, node, YAML_MAPPING_NODE, "an entry of dbs", e);

    (void)snprintf(what, sizeof(what), "dbs[%zu]", index); /* only for messages */
    if (st == WR_OK)
        st = wr_config_check_keys(d, node, wr_config_db_keys, NULL, e);
    if (st == WR_OK)
        st = wr_config_place_path(d, node, what, "path", &path, e);
    if (st == WR_OK)
        st = wr_config_place_path(d, node, what, "dir", &dir, e);
    if (st != WR_OK)
        return st;
    if (path && dir)
        return wr_doc_fail(
            d, node, e, "database config #%zu: cannot specify both 'path' and 'dir'", index + 1);
    if (!path && !dir)
        return wr_doc_fail(
            d, node, e, "database config #%zu: must specify either 'path' or 'dir'", index + 1);
    if (dir) {
        ret->dir_nodes[ret->ndirs] = node;
        return read_dir(d, node, top, index, dir, &ret->dirs[ret->ndirs++], e);
    }
    ret->db_nodes[ret->ndbs] = node;
    st = wr_config_no_dir_keys(d, node, index, e);
    return st == WR_OK ? read_file(d, node, top, index, path, &ret->dbs[ret->ndbs++], e) : st;
}

static enum wr_status read_dbs(
    struct wr_doc *d, const yaml_node_t *top, struct wr_config *c, struct wr_err *e)
{
    const yaml_node_t *list = wr_doc_get(d, top, "dbs");
    struct wr_config_entries all = {0};
    enum wr_status st;
    size_t n = 0;

    if (!list)
        return WR_OK;
    st = wr_doc_is(d, list, YAML_SEQUENCE_NODE, "dbs", e);
    if (st != WR_OK)
        return st;
    while (wr_doc_item(d, list, n))
        n++;
    if (n > DBS_MAX)
        return wr_doc_fail(d, list, e, "more than %d databases", DBS_MAX);
    all.dbs = wr_arena_array(d->arena, n, sizeof(*all.dbs));
    all.dirs = wr_arena_array(d->arena, n, sizeof(*all.dirs));
    all.db_nodes = wr_arena_array(d->arena, n, sizeof(const yaml_node_t *));
    all.dir_nodes = wr_arena_array(d->arena, n, sizeof(const yaml_node_t *));
    if (!all.dbs || !all.dirs || !all.db_nodes || !all.dir_nodes)
        return wr_fail(e, WR_NOMEM, "out of memory");
    for (size_t i = 0; st == WR_OK && i < n; i++)
        st = read_entry(d, wr_doc_item(d, list, i), top, i, &all, e);
    c->dbs = all.dbs;
    c->ndbs = c->nown = all.ndbs;
    c->dirs = all.dirs;
    c->ndirs = all.ndirs;
    return st == WR_OK ? wr_config_distinct(d, &all, e) : st;
}

void wr_config_defaults(struct wr_config *c)
{
    *c = (struct wr_config){.shutdown_sync_timeout_ms = WR_SHUTDOWN_TIMEOUT_MS,
        .socket = {.path = WR_SOCKET_PATH_DEFAULT, .permissions = 0600},
        .serve = {.max_followers = WR_FOLLOWERS_DEFAULT},
        .heartbeat_interval_ms = WR_HEARTBEAT_DEFAULT_MS};
}

enum wr_status wr_config_read(struct wr_doc *d, struct wr_config *c, struct wr_err *e)
{
    const yaml_node_t *top = wr_doc_root(d);
    enum wr_status st;

    wr_config_defaults(c);
    if (!top)
        return WR_OK;
    st = wr_doc_is(d, top, YAML_MAPPING_NODE, "the configuration", e);
    if (st == WR_OK)
        st = wr_config_check_keys(d, top, wr_config_top_keys, wr_config_replica_keys, e);
    if (st == WR_OK)
        st = wr_config_process(d, top, c, e);
    if (st == WR_OK)
        st = wr_config_history_top(d, top, e);
    if (st == WR_OK)
        st = read_dbs(d, top, c, e);
    if (st == WR_OK)
        wr_config_unused(d, top, c);
    return st;
}
