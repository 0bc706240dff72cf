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
 *     region: eu-west-1                  any replica key here is the default of all replicas
 *     exec: "myapp -serve"
 *     logging: {level: info, type: text, stderr: false}
 *     shutdown-sync-timeout: 30s
 *     snapshot: {interval: 24h}          and more of that kind: config_history.c
 *
 * A key that does nothing gets one warning with its place and the nearest key that does something;
 * a value that cannot be meant stops the program, because a backup that silently does not happen
 * is worse than a start that fails.
 */
#include "daemon/config_int.h"
#include "daemon/expand.h"

#define REPLICAS_MAX 16 /* of one database */
#define DBS_MAX      100000

static const struct wr_key top_keys[] = {
    {"dbs", WR_KEY_READ},
    {"exec", WR_KEY_READ},
    {"logging", WR_KEY_READ},
    {"shutdown-sync-timeout", WR_KEY_READ},
    {"addr", WR_KEY_LATER},
    {"mcp-addr", WR_KEY_LATER},
    {"socket", WR_KEY_LATER},
    {"levels", WR_KEY_READ},
    {"snapshot", WR_KEY_READ},
    {"validation", WR_KEY_READ},
    {"retention", WR_KEY_READ},
    {"l0-retention", WR_KEY_READ},
    {"l0-retention-check-interval", WR_KEY_LATER},
    {"verify-compaction", WR_KEY_LATER},
    {"shutdown-sync-interval", WR_KEY_LATER},
    {"heartbeat-url", WR_KEY_LATER},
    {"heartbeat-interval", WR_KEY_LATER},
    {NULL, 0},
};

static const struct wr_key logging_keys[] = {
    {"level", WR_KEY_READ},
    {"type", WR_KEY_READ},
    {"stderr", WR_KEY_READ},
    {"source", WR_KEY_LATER},
    {NULL, 0},
};

static const struct wr_key db_keys[] = {
    {"path", WR_KEY_READ},
    {"replica", WR_KEY_READ},
    {"replicas", WR_KEY_READ},
    {"restore-if-db-not-exists", WR_KEY_READ},
    {"dir", WR_KEY_READ},
    {"pattern", WR_KEY_LATER},
    {"recursive", WR_KEY_LATER},
    {"watch", WR_KEY_LATER},
    {"meta-dir", WR_KEY_LATER},
    {"meta-path", WR_KEY_FOR_ALL},
    {"monitor-interval", WR_KEY_LATER},
    {"checkpoint-interval", WR_KEY_LATER},
    {"busy-timeout", WR_KEY_LATER},
    {"min-checkpoint-page-count", WR_KEY_FOR_ALL},
    {"adopt-replica", WR_KEY_FOR_ALL},
    {"truncate-page-n", WR_KEY_LATER},
    {"max-sync-wal-bytes", WR_KEY_LATER},
    {"max-checkpoint-page-count", WR_KEY_LATER},
    {"snapshot", WR_KEY_READ},
    {NULL, 0},
};

static enum wr_status get_bool(
    struct wr_doc *d, const yaml_node_t *map, const char *key, bool *ret, struct wr_err *e)
{
    const yaml_node_t *v = wr_doc_get(d, map, key);

    if (v && !wr_parse_bool(wr_doc_text(v), ret))
        return wr_doc_fail(d, v, e, "%s must be true or false", key);
    return WR_OK;
}

/* A text, kept in the arena; *ret stays when there is none. */
static enum wr_status get_text(
    struct wr_doc *d, const yaml_node_t *map, const char *key, const char **ret, struct wr_err *e)
{
    const yaml_node_t *v = wr_doc_get(d, map, key);
    struct wr_str copy;
    enum wr_status st;

    if (!v)
        return WR_OK;
    st = wr_doc_is(d, v, YAML_SCALAR_NODE, key, e);
    if (st != WR_OK)
        return st;
    copy = wr_arena_str(d->arena, wr_doc_text(v));
    if (!copy.p)
        return wr_fail(e, WR_NOMEM, "out of memory");
    *ret = copy.p;
    return WR_OK;
}

static enum wr_status read_logging(
    struct wr_doc *d, const yaml_node_t *top, struct wr_config_logging *ret, struct wr_err *e)
{
    const yaml_node_t *map = wr_doc_get(d, top, "logging");
    const char *type = "text";
    enum wr_status st;

    if (!map)
        return WR_OK;
    st = wr_doc_is(d, map, YAML_MAPPING_NODE, "logging", e);
    if (st != WR_OK)
        return st;
    wr_config_check_keys(d, map, logging_keys, NULL);
    st = get_text(d, map, "level", &ret->level, e);
    if (st == WR_OK)
        st = get_text(d, map, "type", &type, e);
    if (st == WR_OK)
        st = get_bool(d, map, "stderr", &ret->to_stderr, e);
    if (st != WR_OK)
        return st;
    if (wr_str_eq(wr_str(type), WR_STR("json")))
        ret->format = WR_LOG_FORMAT_JSON;
    else if (wr_str_eq(wr_str(type), WR_STR("pretty")))
        ret->format = WR_LOG_FORMAT_PRETTY;
    else if (!wr_str_eq(wr_str(type), WR_STR("text")))
        return wr_doc_fail(d, wr_doc_get(d, map, "type"), e,
            "logging.type must be text, json or pretty, not \"%s\"", type);
    return WR_OK;
}

static enum wr_status read_timeout(
    struct wr_doc *d, const yaml_node_t *top, int64_t *ret_ms, struct wr_err *e)
{
    const yaml_node_t *v = wr_doc_get(d, top, "shutdown-sync-timeout");
    int64_t ns;

    if (!v)
        return WR_OK;
    if (!wr_parse_duration(wr_doc_text(v), &ns) || ns < 0)
        return wr_doc_fail(d, v, e, "shutdown-sync-timeout must be a duration such as 30s");
    *ret_ms = ns / 1000000;
    return WR_OK;
}

/* `replica:` or `replicas:` of one database. */
static enum wr_status read_replicas(struct wr_doc *d, const yaml_node_t *db, const yaml_node_t *top,
    size_t index, struct wr_config_db *ret, struct wr_err *e)
{
    const yaml_node_t *one = wr_doc_get(d, db, "replica"), *list = wr_doc_get(d, db, "replicas");
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
        st = wr_config_replica(d, list ? wr_doc_item(d, list, i) : one, top, what, &r[i], e);
    }
    ret->replicas = r;
    ret->nreplicas = n;
    return st;
}

static enum wr_status read_db(struct wr_doc *d, const yaml_node_t *node, const yaml_node_t *top,
    size_t index, struct wr_config_db *ret, struct wr_err *e)
{
    const yaml_node_t *dir = wr_doc_get(d, node, "dir");
    struct wr_pairs pairs = {0};
    const char *path = NULL, *value;
    enum wr_status st;

    st = wr_doc_is(d, node, YAML_MAPPING_NODE, "an entry of dbs", e);
    if (st != WR_OK)
        return st;
    wr_config_check_keys(d, node, db_keys, NULL);
    if (dir) /* ignoring it would leave its databases without a replica */
        return wr_doc_fail(d, dir, e,
            "database config #%zu: 'dir' is not supported by this version, list each 'path'",
            index + 1);
    st = get_text(d, node, "path", &path, e);
    if (st == WR_OK && !path)
        return wr_doc_fail(d, node, e, "database config #%zu: must specify 'path'", index + 1);
    if (st == WR_OK)
        st = wr_expand_path(d->arena, wr_str(path), &ret->path, e);
    if (st == WR_OK)
        st = get_bool(d, node, "restore-if-db-not-exists", &ret->restore_if_missing, e);
    for (const struct wr_key *k = db_keys; st == WR_OK && k->name; k++) {
        if (k->use != WR_KEY_FOR_ALL)
            continue;
        value = NULL;
        st = get_text(d, node, k->name, &value, e);
        if (st == WR_OK && value)
            st = wr_pairs_add(&pairs, d->arena, k->name, wr_str(value), e);
    }
    if (st == WR_OK)
        st = wr_config_history(d, top, node, &pairs, e);
    if (st == WR_OK)
        st = wr_pairs_copy(&pairs, d->arena, &ret->settings, e);
    return st != WR_OK ? st : read_replicas(d, node, top, index, ret, e);
}

struct by_path {
    const struct wr_config_db *db;
    size_t i; /* in the file */
};

static int compare(const void *a, const void *b)
{
    const struct by_path *x = a, *y = b;
    int c = wr_str_cmp(wr_str(x->db->path), wr_str(y->db->path));

    return c ? c : (x->i > y->i) - (x->i < y->i);
}

/* Two engines on one database would fight over its checkpoint lock and its local files. */
static enum wr_status check_distinct(struct wr_doc *d, const yaml_node_t *list,
    const struct wr_config_db *dbs, size_t n, struct wr_err *e)
{
    struct by_path *sorted = wr_arena_array(d->arena, n, sizeof(*sorted));

    if (!sorted)
        return wr_fail(e, WR_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++)
        sorted[i] = (struct by_path){&dbs[i], i};
    if (n > 1)
        qsort(sorted, n, sizeof(*sorted), compare);
    for (size_t i = 1; i < n; i++)
        if (wr_str_eq(wr_str(sorted[i - 1].db->path), wr_str(sorted[i].db->path)))
            return wr_doc_fail(d, wr_doc_item(d, list, sorted[i].i), e,
                "%s is listed twice: put both replicas under one 'replicas'", sorted[i].db->path);
    return WR_OK;
}

static enum wr_status read_dbs(
    struct wr_doc *d, const yaml_node_t *top, struct wr_config *c, struct wr_err *e)
{
    const yaml_node_t *list = wr_doc_get(d, top, "dbs");
    struct wr_config_db *dbs;
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
    dbs = wr_arena_array(d->arena, n, sizeof(*dbs));
    if (!dbs)
        return wr_fail(e, WR_NOMEM, "out of memory");
    for (size_t i = 0; st == WR_OK && i < n; i++)
        st = read_db(d, wr_doc_item(d, list, i), top, i, &dbs[i], e);
    c->dbs = dbs;
    c->ndbs = n;
    return st != WR_OK ? st : check_distinct(d, list, dbs, n, e);
}

void wr_config_defaults(struct wr_config *c)
{
    *c = (struct wr_config){.shutdown_sync_timeout_ms = WR_SHUTDOWN_TIMEOUT_MS,
        .socket = {.path = WR_SOCKET_PATH_DEFAULT, .permissions = 0600},
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
    if (st != WR_OK)
        return st;
    wr_config_check_keys(d, top, top_keys, wr_config_replica_keys);
    st = read_logging(d, top, &c->logging, e);
    if (st == WR_OK)
        st = get_text(d, top, "exec", &c->exec, e);
    if (st == WR_OK)
        st = read_timeout(d, top, &c->shutdown_sync_timeout_ms, e);
    if (st == WR_OK)
        st = wr_config_history_top(d, top, e);
    return st != WR_OK ? st : read_dbs(d, top, c, e);
}
