/*
 * check_history.c - what may be lost, what can be restored, and what a month of that costs.
 */
#include "base/buf.h"
#include "cli/check_cost.h"
#include "cli/check_int.h"
#include "cli/progress.h"

#define SPAN_ROOM 32

/* "30s", "5m", "24h": in the largest unit that has no fraction. */
static const char *span(char out[SPAN_ROOM], int64_t ms)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
    size_t i = 0;

    while (ms % units[i].ms != 0)
        i++;
    (void)snprintf(out, SPAN_ROOM, "%lld%s", (long long)(ms / units[i].ms), units[i].unit);
    return out;
}

void wr_check_tell_history(struct wr_check *k, const struct wr_check_history *h)
{
    char a[SPAN_ROOM], b[SPAN_ROOM];

    if (!h->retains) {
        wr_check_line(k, "restores", "to every state ever sent: nothing is deleted");
        wr_check_find(k, WR_CHECK_NOTE,
            "retention.enabled is false: a rule of the store has to delete, or it grows for ever");
        return;
    }
    if (h->l0_ms > 0)
        wr_check_line(k, "restores", "to every state sent in the last %s", span(a, h->l0_ms));
    if (h->levels > 0)
        wr_check_line(k, h->l0_ms > 0 ? "" : "restores", "to one every %s of the last %s",
            span(a, h->level_ms[0]), span(b, h->keep_ms));
    else
        wr_check_line(k, h->l0_ms > 0 ? "" : "restores", "to each snapshot of the last %s",
            span(b, h->keep_ms));
    if (h->kept > 0)
        wr_check_line(k, "", "to up to %llu states from before that", (unsigned long long)h->kept);
}

static void put_cost(struct wr_check *k, const char *key, const struct wr_cost *c)
{
    json_t *outer = wr_check_enter(k, key);

    wr_check_number(k, "put", c->writes);
    wr_check_number(k, "get", c->reads);
    wr_check_number(k, "list", c->lists);
    wr_check_number(k, "usd", c->usd);
    wr_check_number(k, "snapshot_bytes_sent", c->snapshot_bytes);
    wr_check_number(k, "snapshot_bytes_stored", c->stored_bytes);
    wr_check_number(k, "usd_stored", c->usd_stored);
    wr_check_set(k, "unbounded", json_boolean(c->unbounded));
    wr_check_leave(k, outer);
}

/* "2.6 million PUT, 12 GET" */
static void put_requests(struct wr_buf *out, const struct wr_cost *c)
{
    const struct {
        const char *name;
        double n;
    } classes[] = {{"PUT", c->writes}, {"GET", c->reads}, {"LIST", c->lists}};

    for (size_t i = 0; i < wr_countof(classes); i++) {
        double n = classes[i].n;

        if (n < 0.5)
            continue;
        wr_buf_z(out, out->n ? ", " : "");
        if (n >= 1e6)
            wr_buf_fmt(out, "%.2f million %s", n / 1e6, classes[i].name);
        else
            wr_buf_fmt(out, "%.0f %s", n, classes[i].name);
    }
    if (out->n == 0)
        wr_buf_z(out, "no request");
}

static void tell_requests(struct wr_check *k, const char *label, const char *when,
    const struct wr_cost *c, const char *more)
{
    struct wr_buf text;

    wr_buf_init(&text, 512);
    put_requests(&text, c);
    if (wr_buf_status(&text) == WR_OK)
        wr_check_line(k, label, "%s: " WR_FMT "%s, $%.2f a month%s", when,
            WR_ARG(wr_buf_view(&text)), c->unbounded ? ", and one PUT for each transaction" : "",
            c->usd, more);
    else
        k->lost = true;
    wr_buf_release(&text);
}

void wr_check_tell_cost(struct wr_check *k, const struct wr_check_history *h,
    const struct wr_check_store *store, uint64_t db_bytes)
{
    struct wr_cost_of of = {.sync_ms = store->sync_ms,
        .levels = h->levels,
        .snapshot_ms = h->snapshot_ms,
        .keep_ms = h->retains ? h->keep_ms : 0,
        .l0_ms = h->retains ? h->l0_ms : 0,
        .verify_ms = h->verify_ms,
        .kept = h->kept,
        .db_bytes = db_bytes,
        .part_size = store->part_size};
    struct wr_cost idle, busy;
    char sent[WR_SIZE_TEXT_MAX], stored[WR_SIZE_TEXT_MAX], a[SPAN_ROOM];

    memcpy(of.level_ms, h->level_ms, sizeof(of.level_ms));
    wr_cost_idle(&of, &idle);
    wr_cost_busy(&of, &busy);
    wr_check_number(k, "loss_ms", (double)store->sync_ms);
    if (store->sync_ms > 0)
        wr_check_line(
            k, "may lose", "%s of commits, and what an upload takes", span(a, store->sync_ms));
    else
        wr_check_line(k, "may lose", "what an upload takes");
    wr_size_text(sent, (uint64_t)busy.snapshot_bytes);
    wr_size_text(stored, (uint64_t)busy.stored_bytes);
    if (db_bytes > 0)
        wr_check_line(k, "snapshots", "at most %s a month are sent and %s kept, before compression",
            sent, stored);
    if (!store->is_s3) {
        wr_check_number(k, "snapshot_bytes_sent", busy.snapshot_bytes);
        return;
    }
    json_t *outer = wr_check_enter(k, "month");
    wr_check_text(k, "prices", WR_PRICES_TEXT);
    put_cost(k, "idle", &idle);
    put_cost(k, "busy", &busy);
    wr_check_leave(k, outer);
    tell_requests(k, "requests", "idle", &idle, "");
    tell_requests(k, "", "written to all the time", &busy, " at most");
    wr_check_line(
        k, "", "by " WR_PRICES_TEXT "%s", store->elsewhere ? "; this store has its own" : "");
}
