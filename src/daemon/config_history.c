/*
 * config_history.c - what is kept of a database's past: levels, snapshots, retention.
 *
 *     levels:                            of all databases; an empty list: none
 *       - interval: 30s
 *     l0-retention: 5m
 *     retention: {enabled: true, grace: 5m}
 *     validation: {interval: 24h}        how often it is proven
 *     snapshot:                          here, or of one database
 *       interval: 24h
 *       retention: 24h
 *       keep: 3                          of the newest; and of the last so many periods one each:
 *       keep-hourly: 24                  and keep-daily, keep-weekly, keep-monthly, keep-yearly
 *
 * Litestream 0.3 had `snapshot-interval` and `retention` on each replica; they mean the database's
 * where that has no other.
 */
#include "base/buf.h"
#include "daemon/config_int.h"

static const struct wr_key snapshot_keys[] = {
    {.name = "interval", .use = WR_KEY_READ},
    {.name = "retention", .use = WR_KEY_READ},
    {.name = "keep", .use = WR_KEY_READ},
    {.name = "keep-hourly", .use = WR_KEY_READ},
    {.name = "keep-daily", .use = WR_KEY_READ},
    {.name = "keep-weekly", .use = WR_KEY_READ},
    {.name = "keep-monthly", .use = WR_KEY_READ},
    {.name = "keep-yearly", .use = WR_KEY_READ},
    {0},
};

/* Settings with a number, of which the keys are what follows "snapshot.". */
static const char *const keep_settings[] = {"snapshot.keep", "snapshot.keep-hourly",
    "snapshot.keep-daily", "snapshot.keep-weekly", "snapshot.keep-monthly", "snapshot.keep-yearly"};
#define KEEP_MAX 100000 /* as weir_db_add has it */

static const struct wr_key retention_keys[] = {
    {.name = "enabled", .use = WR_KEY_READ},
    {.name = "grace", .use = WR_KEY_READ},
    {0},
};

static const struct wr_key validation_keys[] = {
    {.name = "interval", .use = WR_KEY_READ},
    {0},
};

static const struct wr_key level_keys[] = {
    {.name = "interval", .use = WR_KEY_READ},
    /* Of Litestream's migration guide, and of no program. */
    {.name = "retention",
        .use = WR_KEY_IDLE,
        .why = "what a level keeps follows from snapshot.retention"},
    {0},
};

struct history {
    struct wr_doc *doc;
    struct wr_pairs *out;
};

/* `what`: where it stands, and what it is to be called. 0 is no interval, but an end of keeping. */
static enum wr_status check_duration(const struct history *h, const yaml_node_t *v,
    const char *what, const char *name, bool may_be_zero, struct wr_err *e)
{
    struct wr_str text = wr_doc_text(v);
    int64_t ns = 0;
    enum wr_status st = wr_config_duration(h->doc, v, what, "24h", &ns, e);

    if (st == WR_OK && (ns < 0 || (ns == 0 && !may_be_zero)))
        return wr_doc_fail(h->doc, v, e, "%s: %s must %s (got " WR_FMT ")", what, name,
            may_be_zero ? "not be negative" : "be greater than 0", WR_ARG(text));
    return st;
}

/* One duration as the setting `key`. */
static enum wr_status add_duration(const struct history *h, const yaml_node_t *v, const char *key,
    const char *name, bool may_be_zero, bool at_top, struct wr_err *e)
{
    enum wr_status st;

    if (!v)
        return WR_OK;
    st = check_duration(h, v, key, name, may_be_zero, e);
    if (st == WR_OK)
        st = wr_pairs_add(h->out, h->doc->arena, key, wr_doc_text(v), e);
    if (st == WR_OK)
        wr_pairs_said(h->out, v, at_top);
    return st;
}

/* The setting is a list with commas. */
static enum wr_status read_levels(const struct history *h, const yaml_node_t *top, struct wr_err *e)
{
    const yaml_node_t *list = wr_doc_get(h->doc, top, "levels"), *item;
    struct wr_buf text;
    enum wr_status st = WR_OK;

    if (!list)
        return WR_OK;
    st = wr_doc_is(h->doc, list, YAML_SEQUENCE_NODE, "levels", e);
    wr_buf_init(&text, 4096);
    for (size_t i = 0; st == WR_OK && (item = wr_doc_item(h->doc, list, i)) != NULL; i++) {
        const yaml_node_t *v;
        char what[64];

        if (i == WR_CONFIG_LEVELS_MAX) {
            st = wr_doc_fail(h->doc, item, e, "compaction level cannot exceed 8");
            break;
        }
        (void)snprintf(what, sizeof(what), "levels[%zu].interval", i);
        st = wr_doc_is(h->doc, item, YAML_MAPPING_NODE, "an entry of levels", e);
        if (st == WR_OK)
            st = wr_config_check_keys(h->doc, item, level_keys, NULL, e);
        if (st != WR_OK)
            break;
        v = wr_doc_get(h->doc, item, "interval");
        st = v ? check_duration(h, v, what, "compaction interval", false, e)
               : wr_doc_fail(h->doc, item, e, "%s is missing", what);
        if (st == WR_OK)
            wr_buf_fmt(&text, "%s" WR_FMT, i ? "," : "", WR_ARG(wr_doc_text(v)));
    }
    if (st == WR_OK && wr_buf_status(&text) != WR_OK)
        st = wr_fail(e, WR_NOMEM, "out of memory");
    if (st == WR_OK)
        st = wr_pairs_add(h->out, h->doc->arena, "levels", wr_buf_view(&text), e);
    if (st == WR_OK)
        wr_pairs_said(h->out, list, true);
    wr_buf_release(&text);
    return st;
}

/* Of the replicas of a database, the one that says so; two that say different things are no way to
 * keep one history. */
static enum wr_status of_replicas(const struct history *h, const yaml_node_t *db, const char *key,
    const char *instead, const yaml_node_t **ret, struct wr_err *e)
{
    const yaml_node_t *one = wr_doc_get(h->doc, db, "replica");
    const yaml_node_t *list = wr_doc_get(h->doc, db, "replicas");
    const yaml_node_t *r = one ? one : wr_doc_item(h->doc, list, 0);

    for (size_t i = 1; r; i++) {
        const yaml_node_t *v = r->type == YAML_MAPPING_NODE ? wr_doc_get(h->doc, r, key) : NULL;

        if (v && *ret && !wr_str_eq(wr_doc_text(v), wr_doc_text(*ret)))
            return wr_doc_fail(h->doc, v, e,
                "%s: the replicas of one database have one history, give all the same value or "
                "use %s",
                key, instead);
        *ret = v ? v : *ret;
        r = list && !one ? wr_doc_item(h->doc, list, i) : NULL;
    }
    return WR_OK;
}

/* A duration of snapshots, which has an older name as a key of replicas. */
struct snapshot_time {
    const char *key, *old, *setting, *name, *usual;
    bool may_be_zero;
    const yaml_node_t *v; /* NULL: as usual */
    int64_t ns;
};

/* Of the database, of its replicas, or of all: the nearest one counts. */
static enum wr_status read_snapshot(const struct history *h, const yaml_node_t *top,
    const yaml_node_t *db, struct snapshot_time *t, struct wr_err *e)
{
    const yaml_node_t *own;
    bool at_top;
    enum wr_status st = wr_config_map(h->doc, db, "snapshot", snapshot_keys, &own, e);

    t->v = wr_doc_get(h->doc, own, t->key);
    if (st == WR_OK && !t->v)
        st = of_replicas(h, db, t->old, "'snapshot' of the database", &t->v, e);
    if (st != WR_OK)
        return st;
    at_top = !t->v;
    if (!t->v)
        t->v = wr_doc_get(h->doc, wr_doc_get(h->doc, top, "snapshot"), t->key);
    if (!t->v && strcmp(t->old, "retention") != 0) /* at the top that is another key */
        t->v = wr_doc_get(h->doc, top, t->old);
    (void)wr_parse_duration(t->v ? wr_doc_text(t->v) : wr_str(t->usual), &t->ns);
    return add_duration(h, t->v, t->setting, t->name, t->may_be_zero, at_top, e);
}

static struct wr_str text_of(const struct snapshot_time *t)
{
    return t->v ? wr_doc_text(t->v) : wr_str(t->usual);
}

static enum wr_status read_snapshots(
    const struct history *h, const yaml_node_t *top, const yaml_node_t *db, struct wr_err *e)
{
    struct snapshot_time interval = {.key = "interval",
        .old = "snapshot-interval",
        .setting = "snapshot.interval",
        .name = "snapshot interval",
        .usual = "24h",
        .may_be_zero = true}; /* none but the first */
    struct snapshot_time retention = {.key = "retention",
        .old = "retention",
        .setting = "snapshot.retention",
        .name = "snapshot retention",
        .usual = "24h"};
    enum wr_status st = read_snapshot(h, top, db, &interval, e);

    if (st == WR_OK)
        st = read_snapshot(h, top, db, &retention, e);
    if (st == WR_OK && retention.ns < interval.ns)
        wr_doc_warn(h->doc, retention.v ? retention.v : interval.v,
            "snapshot.retention (" WR_FMT ") is less than snapshot.interval (" WR_FMT
            "): files stay until the next snapshot all the same",
            WR_ARG(text_of(&retention)), WR_ARG(text_of(&interval)));
    return st;
}

/* How many to keep, each key by itself: of the database, or of all. */
static enum wr_status read_keep(
    const struct history *h, const yaml_node_t *top, const yaml_node_t *db, struct wr_err *e)
{
    const yaml_node_t *own = wr_doc_get(h->doc, db, "snapshot");
    const yaml_node_t *all = wr_doc_get(h->doc, top, "snapshot");
    enum wr_status st = WR_OK;

    for (size_t i = 0; i < wr_countof(keep_settings) && st == WR_OK; i++) {
        const char *setting = keep_settings[i], *key = setting + strlen("snapshot.");
        const yaml_node_t *v = wr_doc_get(h->doc, own, key);
        bool at_top = !v;
        uint64_t n;

        v = v ? v : wr_doc_get(h->doc, all, key);
        if (!v)
            continue;
        if (!wr_parse_u64(wr_doc_text(v), &n) || n > KEEP_MAX)
            return wr_doc_fail(h->doc, v, e,
                "%s: must be a number up to %d, 0 for none (got " WR_FMT ")", setting, KEEP_MAX,
                WR_ARG(wr_doc_text(v)));
        st = wr_pairs_add(h->out, h->doc->arena, setting, wr_doc_text(v), e);
        if (st == WR_OK)
            wr_pairs_said(h->out, v, at_top);
    }
    return st;
}

/* Of the replicas of the database, as Litestream 0.3 had it, or of all. */
static enum wr_status read_validation(
    const struct history *h, const yaml_node_t *top, const yaml_node_t *db, struct wr_err *e)
{
    const yaml_node_t *v = NULL;
    enum wr_status st = of_replicas(h, db, "validation-interval", "'validation'", &v, e);
    bool at_top = !v;

    if (st == WR_OK && !v)
        v = wr_doc_get(h->doc, wr_doc_get(h->doc, top, "validation"), "interval");
    if (st == WR_OK && !v)
        v = wr_doc_get(h->doc, top, "validation-interval");
    return st == WR_OK
               ? add_duration(h, v, "validation.interval", "validation interval", true, at_top, e)
               : st;
}

enum wr_status wr_config_history_top(struct wr_doc *d, const yaml_node_t *top, struct wr_err *e)
{
    const yaml_node_t *v = wr_doc_get(d, top, "retention");
    enum wr_status st;

    if (v && v->type == YAML_SCALAR_NODE) /* a key of each replica, to Litestream 0.3 */
        return wr_doc_fail(d, v, e,
            "retention must be a mapping, how long states are kept is snapshot.retention (write "
            "snapshot: {retention: " WR_FMT "})",
            WR_ARG(wr_doc_text(v)));
    st = wr_config_map(d, top, "snapshot", snapshot_keys, &v, e);
    if (st == WR_OK)
        st = wr_config_map(d, top, "retention", retention_keys, &v, e);
    return st == WR_OK ? wr_config_map(d, top, "validation", validation_keys, &v, e) : st;
}

enum wr_status wr_config_history(struct wr_doc *d, const yaml_node_t *top, const yaml_node_t *db,
    struct wr_pairs *out, struct wr_err *e)
{
    const struct history h = {.doc = d, .out = out};
    const yaml_node_t *retention = wr_doc_get(d, top, "retention");
    const yaml_node_t *enabled = wr_doc_get(d, retention, "enabled");
    bool retains = true;
    enum wr_status st = read_levels(&h, top, e);

    if (st == WR_OK)
        st = read_snapshots(&h, top, db, e);
    if (st == WR_OK)
        st = read_keep(&h, top, db, e);
    if (st == WR_OK)
        st = add_duration(
            &h, wr_doc_get(d, top, "l0-retention"), "l0-retention", "l0 retention", true, true, e);
    if (st == WR_OK)
        st = add_duration(&h, wr_doc_get(d, retention, "grace"), "retention.grace",
            "retention grace", false, true, e);
    if (st == WR_OK)
        st = read_validation(&h, top, db, e);
    if (st == WR_OK && enabled && !wr_config_parse_bool(wr_doc_text(enabled), &retains))
        return wr_doc_fail(d, enabled, e, "retention.enabled must be true or false");
    if (st == WR_OK && enabled)
        st = wr_pairs_add(
            out, d->arena, "retention.enabled", retains ? WR_STR("true") : WR_STR("false"), e);
    if (st == WR_OK && enabled)
        wr_pairs_said(out, enabled, true);
    return st;
}

bool wr_config_retains(const char *const *settings)
{
    const char *given = wr_config_setting(settings, "retention.enabled");
    bool enabled = true;

    if (given)
        (void)wr_parse_bool(wr_str(given), &enabled); /* checked when it was read */
    return enabled;
}
