/*
 * standby.c - see standby.h.
 */
#include "daemon/standby.h"

#include "base/mem.h"
#include "base/sync.h"
#include "daemon/door.h"
#include "daemon/exposition.h"
#include "daemon/process.h"
#include "daemon/service.h"

#define MS             UINT64_C(1000)
#define LATE_MS        30000
#define LATE_INTERVALS 5
#define RESTORING      (WEIR_FOLLOW_FAILING + 1) /* no weir_follow_status yet */
#define TEXT_MAX       256
#define LABELS_MAX     16384 /* a path, escaped */

static const char *const phases[] = {
    [WEIR_FOLLOW_CURRENT] = "current",
    [WEIR_FOLLOW_BEHIND] = "behind",
    [WEIR_FOLLOW_WAITING] = "waiting",
    [WEIR_FOLLOW_FAILING] = "failing",
    [RESTORING] = "restoring",
};

struct wr_standby {
    struct wr_standby_opts o;
    int64_t late_ms;
    struct wr_service service; /* of the thread that follows */
    struct wr_door *door;      /* NULL: nobody listens */

    struct wr_mutex mutex;
    weir_follow_status last; /* guarded, as the rest; without its text */
    int32_t phase;
    int64_t noted_ns;
    int64_t current_ns; /* when it was last seen to be current, or begun */
    char text[TEXT_MAX];
};

static void inform(struct wr_standby *s, enum wr_status st, const struct wr_err *e)
{
    if (st != WR_OK)
        wr_say(s->o.log, WEIR_LOG_WARN, "cannot keep the service manager informed",
            WR_F_Z("error", e->text));
}

struct wr_standby *wr_standby_new(const struct wr_standby_opts *o)
{
    struct wr_standby *s = wr_alloc(sizeof(*s));
    const struct wr_door_pages pages = {.metrics = wr_standby_metrics,
        .healthz = wr_standby_healthz,
        .readyz = wr_standby_readyz,
        .arg = s};
    struct wr_err e = {0};

    if (!s)
        return NULL;
    s->o = *o;
    if (!s->o.clock)
        s->o.clock = wr_clock_system();
    s->late_ms = wr_max(o->interval_ms * LATE_INTERVALS, (int64_t)LATE_MS);
    s->phase = RESTORING;
    s->noted_ns = s->current_ns = wr_mono_ns(s->o.clock);
    wr_mutex_init(&s->mutex);
    inform(s, wr_service_begin(&s->service, &e), &e);
    wr_service_status(&s->service, "the copy is being made");
    e = (struct wr_err){0};
    if (o->addr && wr_door_new(o->addr, &pages, o->log, &s->door, &e) != WR_OK)
        wr_say(o->log, WEIR_LOG_ERROR, "no metrics, following goes on without",
            WR_F_Z("error", e.text));
    return s;
}

void wr_standby_free(struct wr_standby *s)
{
    if (!s)
        return;
    wr_door_free(s->door);
    wr_service_end(&s->service);
    wr_mutex_release(&s->mutex);
    wr_free(s);
}

/* ---- what is told ---- */

/* Nobody's writer lock is held here. */
static int64_t never_held(void *arg)
{
    (void)arg;
    return 0;
}

static void tell_manager(struct wr_standby *s, int32_t was, const weir_follow_status *status)
{
    static const char *const lines[] = {
        [WEIR_FOLLOW_CURRENT] = "the copy is up to date",
        [WEIR_FOLLOW_BEHIND] = "the copy is catching up",
        [WEIR_FOLLOW_WAITING] = "the copy waits",
        [WEIR_FOLLOW_FAILING] = "following fails, and is tried again",
    };
    char line[TEXT_MAX + 64];
    struct wr_err e = {0};

    if (was == RESTORING)
        inform(s, wr_service_ready(&s->service, never_held, NULL, &e), &e);
    if (was == status->phase)
        return;
    (void)snprintf(line, sizeof(line), "%s%s%s", lines[status->phase], status->text ? ": " : "",
        status->text ? status->text : "");
    wr_service_status(&s->service, line);
}

void wr_standby_note(void *standby, const weir_follow_status *status)
{
    struct wr_standby *s = standby;
    int64_t now_ns = wr_mono_ns(s->o.clock);
    int32_t was;

    wr_mutex_lock(&s->mutex);
    was = s->phase;
    if (was == RESTORING || status->phase == WEIR_FOLLOW_CURRENT)
        s->current_ns = now_ns;
    s->last = *status;
    s->last.text = NULL;
    s->phase = status->phase;
    s->noted_ns = now_ns;
    (void)snprintf(s->text, sizeof(s->text), "%s", status->text ? status->text : "");
    wr_mutex_unlock(&s->mutex);
    tell_manager(s, was, status);
}

/* ---- what is answered ---- */

struct answer {
    weir_follow_status status; /* its times are of now */
    int32_t phase;
    int64_t step_ms; /* since the last step ended */
    int64_t late_ms; /* for so long the copy has not been the newest state */
    char text[TEXT_MAX];
};

static void look(struct wr_standby *s, struct answer *ret)
{
    int64_t now_ns = wr_mono_ns(s->o.clock), since_ms;

    wr_mutex_lock(&s->mutex);
    since_ms = wr_max(now_ns - s->noted_ns, (int64_t)0) / 1000000;
    *ret = (struct answer){.status = s->last, .phase = s->phase, .step_ms = since_ms};
    ret->status.unseen_ms += since_ms;
    if (s->last.lag_ms > 0)
        ret->status.lag_ms += since_ms;
    /* After a long silence the copy is old at once, and not late. */
    if (s->phase != WEIR_FOLLOW_CURRENT)
        ret->late_ms = wr_min((now_ns - s->current_ns) / 1000000,
            s->last.lag_ms > 0 ? ret->status.lag_ms : INT64_MAX);
    memcpy(ret->text, s->text, sizeof(ret->text));
    wr_mutex_unlock(&s->mutex);
}

static bool is_ready(const struct wr_standby *s, const struct answer *a)
{
    return a->phase != RESTORING && a->late_ms <= s->late_ms && a->status.unseen_ms <= s->late_ms;
}

int wr_standby_healthz(void *standby, struct wr_buf *out)
{
    (void)standby;
    wr_buf_z(out, "ok\n");
    return 200;
}

int wr_standby_readyz(void *standby, struct wr_buf *out)
{
    struct wr_standby *s = standby;
    struct answer a;

    look(s, &a);
    if (is_ready(s, &a)) {
        wr_buf_fmt(out, "ready: at %016llx\n", (unsigned long long)a.status.txid);
        return 200;
    }
    if (a.phase == RESTORING)
        wr_buf_z(out, "not ready: the copy is being made");
    else if (a.step_ms > s->late_ms)
        wr_buf_fmt(out, "not ready: at one step for %lld s", (long long)(a.step_ms / 1000));
    else if (a.status.unseen_ms > s->late_ms)
        wr_buf_fmt(out, "not ready: nothing was heard of the replica for %lld s",
            (long long)(a.status.unseen_ms / 1000));
    else
        wr_buf_fmt(out, "not ready: behind for %lld s", (long long)(a.late_ms / 1000));
    wr_buf_fmt(out, "%s%s\n", a.text[0] ? ": " : "", a.text);
    return 503;
}

struct page {
    struct wr_buf *out;
    struct wr_buf db; /* the label */
};

static void put(const struct page *p, const char *name, const char *type, const char *help,
    uint64_t n, uint64_t parts)
{
    wr_expo_head(p->out, name, type, help);
    wr_expo_line(p->out, name, wr_buf_view(&p->db), n, parts);
}

static void put_phases(struct page *p, int32_t phase)
{
    const char *name = "weir_follow_phase";
    size_t n = p->db.n;

    wr_expo_head(p->out, name, "gauge", "1 for what the follower is doing");
    for (int32_t i = 0; i < (int32_t)wr_countof(phases); i++) {
        wr_expo_label(&p->db, "phase", phases[i]);
        wr_expo_line(p->out, name, wr_buf_view(&p->db), phase == i, 1);
        p->db.n = n;
    }
}

static void put_page(struct page *p, const struct wr_standby *s, const struct answer *a)
{
    const weir_follow_status *now = &a->status;
    char version[64];

    (void)snprintf(version, sizeof(version), "version=\"%.40s\"", weir_version());
    wr_expo_gauge(p->out, "weir_build_info", "Which program this is", version, 1, 1);
    put_phases(p, a->phase);
    put(p, "weir_follow_ready", "gauge", "Whether the copy is as new as it has to be",
        is_ready(s, a), 1);
    if (a->phase == RESTORING)
        return;
    put(p, "weir_follow_unseen_seconds", "gauge", "Time since the replica last answered",
        (uint64_t)now->unseen_ms, MS);
    put(p, "weir_follow_txid", "gauge", "The transaction that the copy is at", now->txid, 1);
    put(p, "weir_follow_newest_txid", "gauge", "The newest one that the replica was seen to have",
        now->newest, 1);
    put(p, "weir_follow_timestamp_seconds", "gauge", "When what the copy is was captured",
        (uint64_t)wr_max(now->time_ms, (int64_t)0), MS);
    put(p, "weir_follow_lag_seconds", "gauge",
        "The age of the copy while there is something newer, else 0", (uint64_t)now->lag_ms, MS);
    put(p, "weir_follow_applied_total", "counter", "Times that the copy has changed", now->applied,
        1);
    put(p, "weir_follow_errors", "gauge", "Steps in a row that failed", now->errors, 1);
}

int wr_standby_metrics(void *standby, struct wr_buf *out)
{
    struct wr_standby *s = standby;
    struct page p = {.out = out};
    struct answer a;
    bool whole;

    look(s, &a);
    wr_buf_init(&p.db, LABELS_MAX);
    wr_expo_label(&p.db, "db", s->o.path);
    put_page(&p, s, &a);
    wr_process_metrics(out);
    whole = wr_buf_status(&p.db) == WR_OK && wr_buf_status(out) == WR_OK;
    wr_buf_release(&p.db);
    if (whole)
        return 200;
    wr_buf_clear(out);
    wr_buf_z(out, "out of memory\n");
    return 500;
}
