/*
 * traffic.c - see traffic.h.
 */
#include "daemon/traffic.h"

#include "daemon/exposition.h"

#include <stdarg.h>

#define NS UINT64_C(1000000000)

static const char *const operations[] = {"PUT", "LIST", "GET", "HEAD", "DELETE"};
static const char *const classes[] = {"put", "list", "get", "head", "delete"};
/* Of WEIR_* codes. */
static const char *const codes[] = {"ok", "not_found", "conflict", "busy", "timeout", "canceled",
    "auth", "limit", "corrupt", "io", "out_of_memory", "misuse", "unsupported", "internal"};
/* As weir.h says: of `took`, but for the last. */
static const char *const took_bounds[] = {"0.01", "0.05", "0.1", "0.5", "1", "5", "10", "30", "60"};
/* As weir.h says: of `holds`, but for the last. */
static const char *const bounds[] = {
    "0.0001", "0.0003", "0.001", "0.003", "0.01", "0.03", "0.1", "0.3", "1"};

uint64_t wr_total(struct wr_total *t, uint64_t now)
{
    if (now < t->last)
        t->lost += t->last - now;
    t->last = now;
    return now + t->lost;
}

void wr_traffic_db(struct wr_traffic *t, const weir_db_info *db)
{
    for (size_t i = 0; i < WEIR_HOLDS; i++)
        t->holds[i] += db->holds[i];
    t->holds_ns += (uint64_t)db->holds_ns;
}

static void add_times(weir_request_times *into, const weir_request_times *t)
{
    for (size_t i = 0; i < WEIR_REQUEST_TOOK; i++)
        into->took[i] += t->took[i];
    for (size_t i = 0; i < WEIR_CODES; i++)
        into->failed[i] += t->failed[i];
    into->ns += t->ns;
}

void wr_traffic_replica(struct wr_traffic *t, const char *type, const weir_replica_info *r,
    const weir_replica_traffic_info *times)
{
    size_t i = 0;

    while (i < WR_TRAFFIC_TYPES - 1 && t->types[i].type[0] &&
           strncmp(t->types[i].type, type, sizeof(t->types[i].type) - 1) != 0)
        i++;
    if (!t->types[i].type[0])
        (void)snprintf(t->types[i].type, sizeof(t->types[i].type), "%s", type);
    t->types[i].requests[WEIR_REQUEST_PUT] += r->put_requests;
    t->types[i].requests[WEIR_REQUEST_LIST] += r->list_requests;
    t->types[i].requests[WEIR_REQUEST_GET] += r->get_requests;
    t->types[i].requests[WEIR_REQUEST_HEAD] += r->head_requests;
    t->types[i].requests[WEIR_REQUEST_DELETE] += r->delete_requests;
    t->types[i].up += r->bytes_up;
    t->types[i].down += r->bytes_down;
    for (size_t c = 0; c < WEIR_REQUESTS; c++)
        add_times(&t->types[i].times[c], &times->requests[c]);
}

/* The totals become those with `now`, which is of the same types in the same places, but for those
 * that have nothing now. */
static void place_type(struct wr_traffic_totals *all, const char *type, size_t *ret)
{
    size_t i = 0;

    while (
        i < WR_TRAFFIC_TYPES - 1 && all->types[i].type[0] && strcmp(all->types[i].type, type) != 0)
        i++;
    if (!all->types[i].type[0])
        memcpy(all->types[i].type, type, sizeof(all->types[i].type));
    *ret = i;
}

static void total_times(struct wr_times_total *all, weir_request_times *t)
{
    for (size_t i = 0; i < WEIR_REQUEST_TOOK; i++)
        t->took[i] = wr_total(&all->took[i], t->took[i]);
    for (size_t i = 0; i < WEIR_CODES; i++)
        t->failed[i] = wr_total(&all->failed[i], t->failed[i]);
    t->ns = (int64_t)wr_total(&all->ns, (uint64_t)t->ns);
}

/* What is there now, at the places of the totals; of a type that has gone, nothing. */
static void place(struct wr_traffic_totals *all, const struct wr_traffic *now, struct wr_traffic *r)
{
    for (size_t i = 0; i < WR_TRAFFIC_TYPES && now->types[i].type[0]; i++) {
        size_t at;

        place_type(all, now->types[i].type, &at);
        for (size_t c = 0; c < WEIR_REQUESTS; c++)
            r->types[at].requests[c] += now->types[i].requests[c];
        r->types[at].up += now->types[i].up;
        r->types[at].down += now->types[i].down;
        for (size_t c = 0; c < WEIR_REQUESTS; c++)
            add_times(&r->types[at].times[c], &now->types[i].times[c]);
    }
    for (size_t i = 0; i < WR_TRAFFIC_TYPES && all->types[i].type[0]; i++) {
        for (size_t c = 0; c < WEIR_REQUESTS; c++)
            r->types[i].requests[c] = wr_total(&all->types[i].requests[c], r->types[i].requests[c]);
        for (size_t c = 0; c < WEIR_REQUESTS; c++)
            total_times(&all->types[i].times[c], &r->types[i].times[c]);
        r->types[i].up = wr_total(&all->types[i].up, r->types[i].up);
        r->types[i].down = wr_total(&all->types[i].down, r->types[i].down);
        memcpy(r->types[i].type, all->types[i].type, sizeof(r->types[i].type));
    }
    for (size_t i = 0; i < WEIR_HOLDS; i++)
        r->holds[i] = wr_total(&all->holds[i], now->holds[i]);
    r->holds_ns = wr_total(&all->holds_ns, now->holds_ns);
}

static void line(struct wr_buf *out, const char *name, uint64_t n, const char *labels, ...)
    WR_PRINTF(4, 5);
static void line(struct wr_buf *out, const char *name, uint64_t n, const char *labels, ...)
{
    char text[128];
    va_list ap;
    int used;

    va_start(ap, labels);
    used = vsnprintf(text, sizeof(text), labels, ap);
    va_end(ap);
    assert(used >= 0 && (size_t)used < sizeof(text));
    wr_expo_line(out, name, (struct wr_str){text, (size_t)used}, n, 1);
}

static void put_operations(const struct wr_traffic *t, struct wr_buf *out)
{
    const char *total = "litestream_replica_operation_total";
    const char *bytes = "litestream_replica_operation_bytes";

    wr_expo_head(out, total, "counter", "The number of replica operations performed");
    for (size_t i = 0; i < WR_TRAFFIC_TYPES && t->types[i].type[0]; i++)
        for (size_t c = 0; c < WEIR_REQUESTS; c++)
            line(out, total, t->types[i].requests[c], "replica_type=\"%s\",operation=\"%s\"",
                t->types[i].type, operations[c]);
    wr_expo_head(out, bytes, "counter", "The number of bytes used by replica operations");
    for (size_t i = 0; i < WR_TRAFFIC_TYPES && t->types[i].type[0]; i++) {
        line(out, bytes, t->types[i].up, "replica_type=\"%s\",operation=\"PUT\"", t->types[i].type);
        line(out, bytes, t->types[i].down, "replica_type=\"%s\",operation=\"GET\"",
            t->types[i].type);
    }
}

static void put_duration(
    const char *type, const char *operation, const weir_request_times *t, struct wr_buf *out)
{
    const char *name = "litestream_replica_operation_duration_seconds";
    char series[96], labels[80];
    uint64_t n = 0;

    (void)snprintf(labels, sizeof(labels), "replica_type=\"%s\",operation=\"%s\"", type, operation);
    (void)snprintf(series, sizeof(series), "%s_bucket", name);
    for (size_t i = 0; i < WEIR_REQUEST_TOOK; i++) {
        n += t->took[i];
        line(out, series, n, "%s,le=\"%s\"", labels,
            i < wr_countof(took_bounds) ? took_bounds[i] : "+Inf");
    }
    (void)snprintf(series, sizeof(series), "%s_sum", name);
    wr_expo_line(out, series, wr_str(labels), (uint64_t)t->ns, NS);
    (void)snprintf(series, sizeof(series), "%s_count", name);
    line(out, series, n, "%s", labels);
}

static void put_durations(const struct wr_traffic *t, struct wr_buf *out)
{
    wr_expo_head(out, "litestream_replica_operation_duration_seconds", "histogram",
        "Duration of replica operations by type and operation");
    for (size_t i = 0; i < WR_TRAFFIC_TYPES && t->types[i].type[0]; i++)
        for (size_t c = 0; c < WEIR_REQUESTS; c++)
            put_duration(t->types[i].type, operations[c], &t->types[i].times[c], out);
}

/* Of each code from its first error on: most never come. */
static void put_errors(const struct wr_traffic *t, struct wr_buf *out)
{
    const char *name = "litestream_replica_operation_errors_total";

    wr_expo_head(out, name, "counter",
        "Number of replica operation errors by type, operation, and error code");
    for (size_t i = 0; i < WR_TRAFFIC_TYPES && t->types[i].type[0]; i++)
        for (size_t c = 0; c < WEIR_REQUESTS; c++)
            for (size_t k = 0; k < WEIR_CODES; k++)
                if (t->types[i].times[c].failed[k] > 0)
                    line(out, name, t->types[i].times[c].failed[k],
                        "replica_type=\"%s\",operation=\"%s\",code=\"%s\"", t->types[i].type,
                        operations[c], k < wr_countof(codes) ? codes[k] : "other");
}

static void put_requests(const struct wr_traffic *t, struct wr_buf *out)
{
    const char *name = "weir_requests_total";

    wr_expo_head(
        out, name, "counter", "Requests to storage as a bill has them, repeated ones included");
    for (size_t c = 0; c < WEIR_REQUESTS; c++) {
        uint64_t n = 0;

        for (size_t i = 0; i < WR_TRAFFIC_TYPES; i++)
            n += t->types[i].requests[c];
        line(out, name, n, "class=\"%s\"", classes[c]);
    }
}

static void put_holds(const struct wr_traffic *t, struct wr_buf *out)
{
    uint64_t n = 0;

    wr_expo_head(out, "weir_barrier_seconds", "histogram",
        "For how long applications' writer lock was held, of all databases");
    for (size_t i = 0; i < WEIR_HOLDS; i++) {
        n += t->holds[i];
        line(out, "weir_barrier_seconds_bucket", n, "le=\"%s\"",
            i < wr_countof(bounds) ? bounds[i] : "+Inf");
    }
    wr_expo_line(out, "weir_barrier_seconds_sum", WR_STR(""), t->holds_ns, NS);
    wr_expo_line(out, "weir_barrier_seconds_count", WR_STR(""), n, 1);
}

void wr_traffic_put(struct wr_traffic_totals *all, const struct wr_traffic *now, struct wr_buf *out)
{
    struct wr_traffic t = {0};

    _Static_assert(wr_countof(bounds) == WEIR_HOLDS - 1, "a bound for each but the last");
    _Static_assert(
        wr_countof(took_bounds) == WEIR_REQUEST_TOOK - 1, "a bound for each but the last");
    _Static_assert(wr_countof(codes) == WEIR_INTERNAL + 1, "a name for each");
    _Static_assert(wr_countof(classes) == WEIR_REQUESTS, "a name for each");
    _Static_assert(wr_countof(operations) == WEIR_REQUESTS, "a name for each");
    place(all, now, &t);
    put_operations(&t, out);
    put_durations(&t, out);
    put_errors(&t, out);
    put_requests(&t, out);
    put_holds(&t, out);
}
