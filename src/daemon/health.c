/*
 * health.c - see health.h.
 */
#include "daemon/health.h"

#include "base/arena.h"

#define HELD_MAX_MS 10000 /* as long as applications may be kept waiting */
#define LINES_MAX   20

static const char silent_text[] = "the watcher over replication has not looked for long: it, or "
                                  "what it looks at, hangs\n";

int wr_healthz(const struct wr_health *h, struct wr_buf *out)
{
    int64_t held_ms = weir_held_ms(h->w);
    struct wr_summary sum;

    wr_sentinel_summary(h->sentinel, &sum);
    if (held_ms > HELD_MAX_MS)
        wr_buf_fmt(out,
            "the writer lock of a database has been held for %lld s, and its applications wait: a "
            "disk hangs\n",
            (long long)(held_ms / 1000));
    if (sum.silent)
        wr_buf_z(out, silent_text);
    if (held_ms > HELD_MAX_MS || sum.silent)
        return 503;
    wr_buf_z(out, "ok\n");
    return 200;
}

/* A path may hold anything, and a line is a line. */
static void put_path(const char *path, struct wr_buf *out)
{
    for (const char *p = path; *p; p++)
        wr_buf_byte(out, (unsigned char)*p < ' ' || *p == 127 ? '?' : (uint8_t)*p);
}

static void put_reason(
    const struct wr_health *h, const char *path, const struct wr_verdict *v, struct wr_buf *out)
{
    bool late = v->word == WR_VERDICT_BEHIND;
    char why[WR_REASON_MAX] = "it was stopped just now";
    struct wr_fleet_hold hold;
    weir_error err;

    if (wr_fleet_hold(h->fleet, path, &hold, &err) == WEIR_OK) {
        wr_reason(hold.db, v, why);
        wr_fleet_let_go(h->fleet, &hold);
    }
    put_path(path, out);
    wr_buf_fmt(out, ": %s for %lld s: %s\n", late ? "behind" : "not in sync yet",
        (long long)(v->missing_ms / 1000), why);
}

static void put_unready(const struct wr_health *h, const struct wr_summary *sum, struct wr_buf *out)
{
    struct wr_unready first[LINES_MAX];
    struct wr_arena arena;
    size_t n;

    wr_arena_init(&arena, (size_t)1 << 20);
    n = wr_sentinel_unready(h->sentinel, &arena, first, LINES_MAX);
    wr_buf_fmt(out, "not ready: %zu of %zu databases\n", n,
        sum->waiting + sum->fresh + sum->fine + sum->behind);
    for (size_t i = 0; i < wr_min(n, (size_t)LINES_MAX); i++)
        if (first[i].path)
            put_reason(h, first[i].path, &first[i].verdict, out);
    if (n > LINES_MAX)
        wr_buf_fmt(out, "and %zu more\n", n - LINES_MAX);
    wr_arena_release(&arena);
}

static void put_absent(const struct wr_health *h, const struct wr_summary *sum, struct wr_buf *out)
{
    struct wr_absentee *first;
    struct wr_arena arena;
    size_t n;

    wr_arena_init(&arena, (size_t)1 << 20);
    n = wr_absent_list(wr_fleet_absent(h->fleet), &arena, LINES_MAX, &first);
    wr_buf_fmt(out, "not ready: %zu database%s could not be begun with\n", sum->absent,
        sum->absent == 1 ? "" : "s");
    for (size_t i = 0; i < n; i++) {
        put_path(first[i].path, out);
        wr_buf_fmt(out, ": not replicated: %s\n", first[i].why);
    }
    if (sum->absent > n)
        wr_buf_fmt(out, "and %zu more\n", sum->absent - n);
    wr_arena_release(&arena);
}

static int put_ready(const struct wr_health *h, struct wr_buf *out)
{
    struct wr_summary sum;

    wr_sentinel_summary(h->sentinel, &sum);
    if (sum.silent) {
        wr_buf_z(out, silent_text);
        return 503;
    }
    if (sum.age_ms == INT64_MAX) {
        wr_buf_z(out, "not ready: just begun\n");
        return 503;
    }
    if (sum.fresh + sum.behind > 0)
        put_unready(h, &sum, out);
    if (sum.absent > 0)
        put_absent(h, &sum, out);
    if (sum.newcomers > 0)
        wr_buf_fmt(out, "not ready: %zu database%s begun with just now, and not yet looked at\n",
            sum.newcomers, sum.newcomers == 1 ? " was" : "s were");
    if (sum.fresh + sum.behind + sum.absent + sum.newcomers > 0)
        return 503;
    wr_buf_fmt(out, "ready: %zu database%s", sum.fine, sum.fine == 1 ? "" : "s");
    if (sum.waiting > 0)
        wr_buf_fmt(out, ", %zu not there yet", sum.waiting);
    if (sum.stopped > 0)
        wr_buf_fmt(out, ", %zu stopped", sum.stopped);
    wr_buf_byte(out, '\n');
    return 200;
}

/* It has no say in the status: all that was replicated still is, and who is taken out of service
 * for a typo would be worse off than with it. */
static void put_refusal(const struct wr_health *h, struct wr_buf *out)
{
    struct wr_refusal r;
    char at[WR_TIME_TEXT_MAX];

    wr_refused_look(wr_fleet_refused(h->fleet), &r);
    if (!r.why[0])
        return;
    wr_format_time_seconds(at, r.refused_ms);
    wr_buf_fmt(out,
        "the configuration was refused when it was read again at %s, what it said before goes on: "
        "%s\n",
        at, r.why);
}

int wr_readyz(const struct wr_health *h, struct wr_buf *out)
{
    int status = put_ready(h, out);

    put_refusal(h, out);
    return status;
}

bool wr_all_well(struct wr_sentinel *s)
{
    struct wr_summary sum;

    wr_sentinel_summary(s, &sum);
    return !sum.silent && sum.age_ms != INT64_MAX && sum.fine > 0 &&
           sum.fresh + sum.behind + sum.absent + sum.newcomers == 0;
}
