/*
 * doors.c - see doors.h.
 */
#include "daemon/doors.h"

static void missing(struct wr_logger *log, const char *what, const struct wr_err *e)
{
    wr_say(log, WEIR_LOG_ERROR, what,
        WR_F_Z("error", e->text[0] ? e->text : wr_status_text(WR_NOMEM)));
}

static bool watch(struct wr_doors *d, const struct wr_doors_for *what, struct wr_err *e)
{
    const struct wr_sentinel_opts o = {.fleet = what->fleet,
        .w = what->w,
        .log = what->log,
        .tell = wr_service_status,
        .arg = what->service};

    if (wr_sentinel_new(&o, &d->sentinel, e) != WR_OK)
        return false;
    if (wr_sentinel_start(d->sentinel, e) == WR_OK)
        return true;
    wr_sentinel_free(d->sentinel);
    d->sentinel = NULL;
    return false;
}

static bool all_well(void *sentinel)
{
    return wr_all_well(sentinel);
}

static void beat(struct wr_doors *d, const struct wr_config *c, struct wr_logger *log)
{
    const struct wr_heartbeat_opts o = {.url = c->heartbeat_url,
        .interval_ms = c->heartbeat_interval_ms,
        .well = all_well,
        .arg = d->sentinel,
        .log = log};
    struct wr_err e = {0};

    if (c->heartbeat_url && d->sentinel && wr_heartbeat_new(&o, &d->heartbeat, &e) != WR_OK)
        missing(log, "no heartbeat, replication goes on without", &e);
}

static int metrics(void *doors, struct wr_buf *out)
{
    return wr_metrics(((struct wr_doors *)doors)->metrics, out);
}

static int healthz(void *doors, struct wr_buf *out)
{
    return wr_healthz(&((struct wr_doors *)doors)->health, out);
}

static int readyz(void *doors, struct wr_buf *out)
{
    return wr_readyz(&((struct wr_doors *)doors)->health, out);
}

static enum wr_status show(
    struct wr_doors *d, const char *addr, struct wr_logger *log, struct wr_err *e)
{
    const struct wr_door_pages pages = {
        .metrics = metrics, .healthz = healthz, .readyz = readyz, .arg = d};

    return wr_door_new(addr, &pages, log, &d->door, e);
}

static enum wr_status serve(struct wr_doors *d, const struct wr_config *c, struct wr_err *e)
{
    if (d->feeds)
        return wr_feeds_serve(d->feeds, &c->serve, e);
    return c->serve.addr ? wr_fail(e, WR_NOMEM, "serve followers") : WR_OK;
}

void wr_doors_reload(
    struct wr_doors *d, const struct wr_config *c, struct wr_logger *log, struct wr_outcome *o)
{
    struct wr_err e = {0};

    if (serve(d, c, &e) == WR_OK)
        return;
    missing(log, "reload: followers are served as before, or not at all", &e);
    wr_outcome_put(o, WR_OUTCOME_FAILED, "serve", e.text);
}

void wr_doors_open(struct wr_doors *d, const struct wr_config *c, const struct wr_doors_for *what)
{
    const struct wr_control_for control = {
        .fleet = what->fleet, .registry = what->registry, .reloading = what->reloading};
    struct wr_fleet *fleet = what->fleet;
    struct wr_logger *log = what->log;
    struct wr_err e = {0};

    *d = (struct wr_doors){0};
    if (!watch(d, what, &e))
        missing(log, "no watcher: should replication stop, nothing but its own log tells", &e);
    d->health = (struct wr_health){.w = what->w, .fleet = fleet, .sentinel = d->sentinel};
    e = (struct wr_err){0};
    d->feeds = wr_feeds_new(fleet, log);
    if (serve(d, c, &e) != WR_OK)
        missing(log, "followers are not served, replication goes on without", &e);
    e = (struct wr_err){0};
    if (c->addr && d->sentinel) {
        d->metrics = wr_metrics_new(fleet, d->sentinel, d->feeds);
        if (!d->metrics || show(d, c->addr, log, &e) != WR_OK)
            missing(log, "no metrics, replication goes on without", &e);
    }
    e = (struct wr_err){0};
    if (c->socket.enabled && wr_control_new(&c->socket, &control, log, &d->control, &e) != WR_OK)
        missing(log, "no control socket, replication goes on without", &e);
    beat(d, c, log);
}

void wr_doors_close(struct wr_doors *d)
{
    wr_heartbeat_free(d->heartbeat);
    wr_control_free(d->control);
    wr_door_free(d->door);
    wr_metrics_free(d->metrics);
    wr_feeds_free(d->feeds);
    wr_sentinel_free(d->sentinel);
    *d = (struct wr_doors){0};
}
