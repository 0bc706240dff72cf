/*
 * metrics.c - see metrics.h. First everything is collected, database by database, then written,
 * name by name.
 */
#include "daemon/metrics.h"

#include "base/arena.h"
#include "base/mem.h"
#include "daemon/exposition.h"
#include "daemon/process.h"
#include "daemon/traffic.h"

#define MS        UINT64_C(1000)
#define NS        UINT64_C(1000000000)
#define ARENA_MAX ((size_t)256 << 20)

enum scope {
    DB,
    REPLICA,
};

enum merge {
    NONE,
    SUM,
    MAX,
    MIN,
};

struct metric {
    enum scope scope;
    bool counter;
    enum merge merge;
    uint64_t parts;
    const char *name, *type, *labels, *help;
};

#define IS_counter true
#define IS_gauge   false
#define METRIC(scope_, type_, merge_, unit_, name_, labels_, help_, value_) \
    {.scope = scope_,                                                       \
        .counter = IS_##type_,                                              \
        .merge = merge_,                                                    \
        .parts = unit_,                                                     \
        .name = name_,                                                      \
        .type = #type_,                                                     \
        .labels = labels_,                                                  \
        .help = help_},
static const struct metric metrics[] = {
#include "daemon/metrics.def"
};
#undef METRIC

#define METRICS (sizeof(metrics) / sizeof(metrics[0]))

/* The values of a database, or a replica, at the places of its metrics. */
struct row {
    struct row *next;
    struct wr_str labels;
    uint64_t values[METRICS];
};

/* Only those of databases. */
#define IF_DB_DB(x)      x
#define IF_DB_REPLICA(x) p++;
#define METRIC(scope_, type_, merge_, unit_, name_, labels_, help_, value_) \
    IF_DB_##scope_(*p++ = (value_);)
static void db_values(const weir_db_info *db, const struct wr_verdict *v, uint64_t *p)
{
#include "daemon/metrics.def"
    (void)p;
}
#undef METRIC

#define IF_REPLICA_DB(x)      p++;
#define IF_REPLICA_REPLICA(x) x
#define METRIC(scope_, type_, merge_, unit_, name_, labels_, help_, value_) \
    IF_REPLICA_##scope_(*p++ = (value_);)
static void replica_values(
    const weir_replica_info *r, const struct wr_verdict *v, size_t i, uint64_t *p)
{
#include "daemon/metrics.def"
    (void)p;
}
#undef METRIC

struct wr_metrics {
    struct wr_fleet *fleet;
    struct wr_sentinel *sentinel;
    struct wr_feeds *feeds; /* NULL: nobody can follow */
    struct wr_total merged[METRICS];
    struct wr_traffic_totals traffic;
};

struct wr_metrics *wr_metrics_new(
    struct wr_fleet *fleet, struct wr_sentinel *sentinel, struct wr_feeds *feeds)
{
    struct wr_metrics *m = wr_alloc(sizeof(*m));

    if (!m)
        return NULL;
    m->fleet = fleet;
    m->sentinel = sentinel;
    m->feeds = feeds;
    return m;
}

void wr_metrics_free(struct wr_metrics *m)
{
    wr_free(m);
}

/* ---- collecting ---- */

struct page {
    struct wr_metrics *m;
    struct wr_arena arena;
    bool merged, failed;
    struct row *first[REPLICA + 1], **last[REPLICA + 1];
    struct wr_traffic traffic;
    size_t stopped, running;
};

static void merge(enum scope scope, uint64_t *into, const uint64_t *from)
{
    for (size_t k = 0; k < METRICS; k++) {
        if (metrics[k].scope != scope)
            continue;
        switch (metrics[k].merge) {
        case SUM:
            into[k] += from[k];
            break;
        case MAX:
            into[k] = wr_max(into[k], from[k]);
            break;
        case MIN:
            if (from[k] > 0 && (into[k] == 0 || from[k] < into[k]))
                into[k] = from[k];
            break;
        case NONE:
            break;
        }
    }
}

static void add_row(
    struct page *p, enum scope scope, const struct wr_buf *labels, const uint64_t *values)
{
    struct row *row = p->merged ? p->first[scope] : NULL;

    if (!row) {
        row = wr_arena_alloc(&p->arena, sizeof(*row));
        if (!row) {
            p->failed = true;
            return;
        }
        *p->last[scope] = row;
        p->last[scope] = &row->next;
        if (!p->merged) {
            row->labels = wr_arena_str(&p->arena, wr_buf_view(labels));
            p->failed = p->failed || !row->labels.p;
        }
    }
    merge(scope, row->values, values);
    for (size_t k = 0; k < METRICS && !p->merged; k++)
        if (metrics[k].scope == scope)
            row->values[k] = values[k];
}

static void add_replica(struct page *p, const struct wr_config_db *config,
    const weir_replica_info *r, const weir_replica_traffic_info *t, const struct wr_verdict *v,
    size_t i)
{
    uint64_t values[METRICS] = {0};
    struct wr_buf labels;

    wr_buf_init(&labels, (size_t)64 << 10);
    wr_expo_label(&labels, "db", config->path);
    wr_expo_label(&labels, "replica", r->url);
    p->failed = p->failed || wr_buf_status(&labels) != WR_OK;
    replica_values(r, v, i, values);
    if (!p->failed)
        add_row(p, REPLICA, &labels, values);
    wr_buf_release(&labels);
    wr_traffic_replica(
        &p->traffic, i < config->nreplicas ? config->replicas[i].type : "unknown", r, t);
}

static void add_db(void *arg, const struct wr_config_db *config, weir_db *db)
{
    struct page *p = arg;
    weir_db_info info = {.struct_size = sizeof(info)};
    weir_replica_info r = {.struct_size = sizeof(r)};
    weir_replica_traffic_info t = {.struct_size = sizeof(t)};
    struct wr_verdict v = {0};
    uint64_t values[METRICS] = {0};
    struct wr_buf labels;

    p->running += db != NULL;
    p->stopped += db == NULL;
    if (!db || p->failed || weir_db_status(db, &info, NULL) != WEIR_OK)
        return;
    if (p->m->sentinel)
        (void)wr_sentinel_verdict(
            p->m->sentinel, config->path, &v); /* new: nothing is missing yet */
    wr_buf_init(&labels, (size_t)64 << 10);
    wr_expo_label(&labels, "db", config->path);
    p->failed = wr_buf_status(&labels) != WR_OK;
    db_values(&info, &v, values);
    if (!p->failed)
        add_row(p, DB, &labels, values);
    wr_buf_release(&labels);
    wr_traffic_db(&p->traffic, &info);
    for (uint32_t i = 0;
         i < WR_VERDICT_REPLICAS && !p->failed && weir_replica_status(db, i, &r, NULL) == WEIR_OK &&
         weir_replica_traffic(db, i, &t, NULL) == WEIR_OK;
         i++)
        add_replica(p, config, &r, &t, &v, i);
}

/* ---- writing ---- */

static void put_rows(struct page *p, size_t k, struct wr_buf *out)
{
    const struct metric *x = &metrics[k];
    struct wr_buf labels;

    wr_buf_init(&labels, (size_t)128 << 10);
    for (const struct row *row = p->first[x->scope]; row; row = row->next) {
        uint64_t n = row->values[k];

        if (x->merge == MIN && n == 0)
            continue; /* it has not happened */
        if (p->merged && x->counter)
            n = wr_total(&p->m->merged[k], n);
        wr_buf_clear(&labels);
        wr_buf_str(&labels, row->labels);
        if (row->labels.n > 0 && x->labels[0])
            wr_buf_byte(&labels, ',');
        wr_buf_z(&labels, x->labels);
        p->failed = p->failed || wr_buf_status(&labels) != WR_OK;
        wr_expo_line(out, x->name, wr_buf_view(&labels), n, x->parts);
    }
    wr_buf_release(&labels);
}

static void put_metrics(struct page *p, struct wr_buf *out)
{
    const char *name = "";

    for (size_t k = 0; k < METRICS; k++) {
        const struct metric *x = &metrics[k];

        if (p->merged && x->merge == NONE)
            continue;
        if (strcmp(name, x->name) != 0)
            wr_expo_head(out, x->name, x->type, x->help);
        name = x->name;
        put_rows(p, k, out);
    }
}

static void put_feeds(const struct page *p, struct wr_buf *out)
{
    struct wr_feeds_totals t;

    if (!p->m->feeds)
        return;
    wr_feeds_look(p->m->feeds, &t);
    wr_expo_gauge(out, "weir_followers", "Followers that were served within the last half minute",
        "", t.followers, 1);
    wr_expo_counter(out, "weir_feed_bytes_total", "Bytes sent to followers", t.bytes);
    wr_expo_counter(out, "weir_feed_answers_total",
        "Answers, or pieces of one, with something new for a follower", t.answers);
    wr_expo_counter(out, "weir_feed_dropped_total",
        "Times that a follower was sent to the replica, being too far behind", t.dropped);
    wr_expo_counter(out, "weir_feed_refused_total",
        "Requests of followers refused, for their token or their number", t.refused);
}

static void put_whole(struct page *p, struct wr_buf *out)
{
    struct wr_summary sum = {0};
    struct wr_refusal refusal;
    char version[64];

    (void)snprintf(version, sizeof(version), "version=\"%.40s\"", weir_version());
    wr_expo_gauge(out, "weir_build_info", "Which program this is", version, 1, 1);
    wr_expo_head(out, "weir_databases", "gauge", "Databases that are configured or registered");
    wr_expo_line(out, "weir_databases", WR_STR("state=\"running\""), p->running, 1);
    wr_expo_line(out, "weir_databases", WR_STR("state=\"stopped\""), p->stopped, 1);
    wr_expo_gauge(out, "weir_metrics_aggregated",
        "Whether there are sums in place of series for each database", "", p->merged, 1);
    wr_refused_look(wr_fleet_refused(p->m->fleet), &refusal);
    wr_expo_gauge(out, "weir_config_last_reload_successful",
        "Whether the configuration was taken when it was last read", "", refusal.why[0] == '\0', 1);
    wr_expo_gauge(out, "weir_config_last_reload_success_timestamp_seconds",
        "When the configuration that counts was read", "", (uint64_t)refusal.taken_ms, MS);
    if (!p->m->sentinel)
        return;
    wr_sentinel_summary(p->m->sentinel, &sum);
    wr_expo_gauge(out, "weir_databases_behind",
        "Databases of which commits are missing from a replica for too long", "", sum.behind, 1);
    wr_expo_gauge(out, "weir_databases_ready", "Databases of which none are", "", sum.fine, 1);
    wr_expo_gauge(out, "weir_databases_absent",
        "Databases that are to be replicated and could not be begun with", "", sum.absent, 1);
    if (sum.age_ms != INT64_MAX)
        wr_expo_gauge(out, "weir_sentinel_age_seconds", "Time since replication was last checked",
            "", (uint64_t)sum.age_ms, MS);
}

static void collect(struct page *p)
{
    wr_arena_init(&p->arena, ARENA_MAX);
    for (size_t i = 0; i <= REPLICA; i++)
        p->last[i] = &p->first[i];
    p->merged = wr_fleet_count(p->m->fleet) > WR_METRICS_DBS;
    wr_fleet_each(p->m->fleet, add_db, p);
}

int wr_metrics(struct wr_metrics *m, struct wr_buf *out)
{
    struct page p = {.m = m};

    collect(&p);
    if (!p.failed) {
        put_whole(&p, out);
        put_feeds(&p, out);
        put_metrics(&p, out);
        wr_traffic_put(&m->traffic, &p.traffic, out);
        wr_process_metrics(out);
    }
    wr_arena_release(&p.arena);
    if (!p.failed && wr_buf_status(out) == WR_OK)
        return 200;
    wr_buf_clear(out);
    wr_buf_z(out, "out of memory, or there is more to tell than fits\n");
    return 500;
}
