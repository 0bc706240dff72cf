/*
 * health.c - see health.h.
 */
#include "daemon/health.h"

#include "base/mem.h"

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

/* The first of those that are not ready. */
struct unready {
    struct wr_arena *arena;
    size_t n, more;
    struct {
        const char *path; /* NULL: out of memory */
        struct wr_verdict verdict;
    } first[LINES_MAX];
};

static bool note(void *arg, const char *path, const struct wr_verdict *v)
{
    struct unready *u = arg;

    if (u->n == LINES_MAX) {
        u->more++;
        return true;
    }
    u->first[u->n].path = wr_arena_str(u->arena, wr_str(path)).p;
    u->first[u->n++].verdict = *v;
    return true;
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
    /* A path may hold anything, and a line is a line. */
    for (const char *p = path; *p; p++)
        wr_buf_byte(out, (unsigned char)*p < ' ' || *p == 127 ? '?' : (uint8_t)*p);
    wr_buf_fmt(out, ": %s for %lld s: %s\n", late ? "behind" : "not in sync yet",
        (long long)(v->missing_ms / 1000), why);
}

static void put_unready(const struct wr_health *h, const struct wr_summary *sum, struct wr_buf *out)
{
    struct wr_arena arena;
    struct unready u = {.arena = &arena};

    wr_arena_init(&arena, (size_t)1 << 20);
    wr_sentinel_each_unready(h->sentinel, note, &u);
    wr_buf_fmt(out, "not ready: %zu of %zu databases\n", u.n + u.more,
        sum->waiting + sum->fresh + sum->fine + sum->behind);
    for (size_t i = 0; i < u.n; i++)
        if (u.first[i].path)
            put_reason(h, u.first[i].path, &u.first[i].verdict, out);
    if (u.more > 0)
        wr_buf_fmt(out, "and %zu more\n", u.more);
    wr_arena_release(&arena);
}

int wr_readyz(const struct wr_health *h, struct wr_buf *out)
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
    if (sum.fresh + sum.behind > 0) {
        put_unready(h, &sum, out);
        return 503;
    }
    wr_buf_fmt(out, "ready: %zu database%s", sum.fine, sum.fine == 1 ? "" : "s");
    if (sum.waiting > 0)
        wr_buf_fmt(out, ", %zu not there yet", sum.waiting);
    if (sum.stopped > 0)
        wr_buf_fmt(out, ", %zu stopped", sum.stopped);
    wr_buf_byte(out, '\n');
    return 200;
}

bool wr_all_well(struct wr_sentinel *s)
{
    struct wr_summary sum;

    wr_sentinel_summary(s, &sum);
    return !sum.silent && sum.age_ms != INT64_MAX && sum.fine > 0 && sum.fresh + sum.behind == 0;
}
