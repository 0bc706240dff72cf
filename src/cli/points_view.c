/*
 * points_view.c - points as people read them: ranges of which every point, or one every so often,
 * can be restored; or all of them.
 */
#include "cli/points_int.h"

#include "base/str.h"

#define TXID_TEXT_MAX 24
#define STEP_TEXT_MAX 24

static void txid_text(char out[TXID_TEXT_MAX], weir_txid txid)
{
    (void)snprintf(out, TXID_TEXT_MAX, "%016llx", (unsigned long long)txid); /* it fits */
}

/* "0.8s", "12s", "5m", "3h", "2d": about. */
static void step_text(char out[STEP_TEXT_MAX], int64_t ms)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}};

    for (size_t i = 0; i < wr_countof(units); i++)
        if (ms >= 2 * units[i].ms) {
            (void)snprintf(out, STEP_TEXT_MAX, "%lld%s",
                (long long)((ms + units[i].ms / 2) / units[i].ms), units[i].unit);
            return;
        }
    if (ms < 10000)
        (void)snprintf(out, STEP_TEXT_MAX, "%.1fs", (double)ms / 1000);
    else
        (void)snprintf(out, STEP_TEXT_MAX, "%llds", (long long)((ms + 500) / 1000));
}

void wr_points_view_begin(struct wr_points_view *v)
{
    static const char *const ranges[] = {"from_txid", "to_txid", "from", "to", "points", "step"};
    static const char *const all[] = {"txid", "timestamp", "files", "size", "restore"};

    v->n = v->inexact = v->by_txid = 0;
    if (v->flags->json) {
        v->points = json_array();
        return;
    }
    wr_table_init(&v->table, v->cli->arena, v->flags->all ? wr_countof(all) : wr_countof(ranges));
    wr_table_add(&v->table, v->flags->all ? all : ranges);
}

/* A restore by the printed time leads to another state. */
static bool by_txid_only(const weir_point *p)
{
    return p->exact && p->by_time != 0 && p->by_time != p->txid;
}

static void add_json(struct wr_points_view *v, const weir_point *p)
{
    char txid[TXID_TEXT_MAX], by_time[TXID_TEXT_MAX] = "", time[WR_TIME_TEXT_MAX];

    txid_text(txid, p->txid);
    if (p->by_time)
        txid_text(by_time, p->by_time);
    wr_format_time(time, p->time_ms);
    if (json_array_append_new(v->points,
            json_pack("{s:s, s:s, s:i, s:I, s:i, s:s}", "txid", txid, "timestamp", time, "files",
                (int)p->files, "size", (json_int_t)wr_min(p->bytes, (uint64_t)INT64_MAX), "level",
                (int)p->level, "timestamp_txid", by_time)) != 0)
        v->lost = true;
}

static void add_line(struct wr_points_view *v, const weir_point *p)
{
    char txid[TXID_TEXT_MAX], time[WR_TIME_TEXT_MAX], files[16], size[24];
    const char *const cells[] = {
        txid, time, files, size, by_txid_only(p) ? "-txid" : "-txid, -timestamp"};

    txid_text(txid, p->txid);
    wr_format_time(time, p->time_ms);
    (void)snprintf(files, sizeof(files), "%u", (unsigned)p->files); /* these fit */
    (void)snprintf(size, sizeof(size), "%llu", (unsigned long long)p->bytes);
    wr_table_add(&v->table, cells);
}

static void end_range(struct wr_points_view *v)
{
    char from[TXID_TEXT_MAX], to[TXID_TEXT_MAX], step[STEP_TEXT_MAX] = "-", points[40];
    char from_time[WR_TIME_TEXT_MAX], to_time[WR_TIME_TEXT_MAX];
    const char *const cells[] = {from, to, from_time, to_time, points, step};
    bool every = v->n > 1 && v->last.txid - v->first.txid == v->n - 1;

    if (v->n == 0)
        return;
    v->inexact += !v->first.exact || !v->last.exact;
    txid_text(from, v->first.txid);
    txid_text(to, v->last.txid);
    wr_format_time(from_time, v->first.time_ms);
    wr_format_time(to_time, v->last.time_ms);
    (void)snprintf(points, sizeof(points), "%s%llu", every ? "all " : "", (unsigned long long)v->n);
    if (v->n > 1)
        step_text(step, v->step_ms);
    wr_table_add(&v->table, cells);
    v->n = 0;
}

static void add_to_range(struct wr_points_view *v, const weir_point *p)
{
    bool end = v->n == 0 || v->last.run != p->run;

    if (end) {
        end_range(v);
        v->first = *p;
        v->step_ms = 0;
    } else {
        v->step_ms = wr_max(v->step_ms, p->time_ms - v->last.time_ms);
    }
    v->last = *p;
    v->n++;
}

int wr_points_view_add(void *view, const weir_point *p)
{
    struct wr_points_view *v = view;

    v->by_txid += by_txid_only(p);
    if (v->flags->json)
        add_json(v, p);
    else if (v->flags->all)
        add_line(v, p);
    else
        add_to_range(v, p);
    return 0;
}

/* A time as text, or null for none. */
static json_t *json_time(int64_t ms)
{
    char time[WR_TIME_TEXT_MAX];

    if (!ms)
        return json_null();
    wr_format_time(time, ms);
    return json_string(time);
}

static json_t *json_txid(weir_txid txid)
{
    char text[TXID_TEXT_MAX];

    txid_text(text, txid);
    return txid ? json_string(text) : json_null();
}

static void end_json(struct wr_points_view *v, const weir_points_result *is)
{
    json_t *replica = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "replica",
        v->replica->type, "url", wr_cli_url(v->cli, v->replica->url), "newest_txid",
        json_txid(is->newest), "newest_timestamp", json_time(is->newest ? is->newest_ms : 0),
        "gap_txid", json_txid(is->gap), "v0.3_from", json_time(is->legacy_from_ms), "v0.3_to",
        json_time(is->legacy_to_ms), "points", v->points);

    if (json_array_append_new(v->json, replica) != 0)
        v->lost = true;
}

/* What restore takes without a flag, and what else it might take. */
static void print_notes(const struct wr_points_view *v, const weir_points_result *is)
{
    char txid[TXID_TEXT_MAX], time[WR_TIME_TEXT_MAX], to[WR_TIME_TEXT_MAX];

    if (is->newest) {
        txid_text(txid, is->newest);
        wr_format_time(time, is->newest_ms);
        (void)printf("newest: %s, %s\n", txid, time);
    }
    if (v->by_txid)
        (void)printf("with -txid only: %llu of these points, as files of later states have times "
                     "that are no later\n",
            (unsigned long long)v->by_txid);
    if (v->inexact)
        (void)printf("times: of arrival in the store; -all has those that restore compares\n");
    if (is->legacy_to_ms) {
        wr_format_time(time, is->legacy_from_ms);
        wr_format_time(to, is->legacy_to_ms);
        (void)printf("Litestream 0.3: backups from %s to %s; restore takes them, unless by -txid, "
                     "where they are newer\n",
            time, to);
    }
}

bool wr_points_view_end(struct wr_points_view *v, const weir_points_result *is)
{
    if (v->flags->json) {
        end_json(v, is);
        return true; /* that something was lost is told at the end */
    }
    end_range(v);
    if (v->several)
        (void)printf(
            "%sreplica: %s\n", v->another ? "\n" : "", wr_cli_url(v->cli, v->replica->url));
    v->another = true;
    if (!wr_table_print(&v->table))
        return false;
    print_notes(v, is);
    return true;
}

void wr_points_view_fail(struct wr_points_view *v, const char *message)
{
    if (!v->flags->json)
        return;
    json_decref(v->points);
    if (json_array_append_new(
            v->json, json_pack("{s:s, s:s, s:s}", "replica", v->replica->type, "url",
                         wr_cli_url(v->cli, v->replica->url), "error", message)) != 0)
        v->lost = true;
}
