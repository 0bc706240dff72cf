/*
 * fleet_begin.c - how a database begins: the library is given it, and each of its replicas. Refuses
 * to know who else is in the list.
 */
#include "daemon/fleet_int.h"

#include "daemon/missing.h"

/* With one more, which has the last word. NULL: out of memory. */
static const char *const *with(
    struct wr_arena *a, const char *const *settings, const char *key, const char *value)
{
    size_t n = 0;
    const char **r;

    while (settings && settings[n])
        n += 2;
    r = wr_arena_array(a, n + 3, sizeof(*r));
    if (!r)
        return NULL;
    for (size_t i = 0; i < n; i++)
        r[i] = settings[i];
    r[n] = key;
    r[n + 1] = value;
    return r;
}

/* What the replica holds is of the database. */
static const char *const *adopting(struct wr_arena *a, const char *const *settings)
{
    return with(a, settings, "adopt-replica", "true");
}

/* Where the configuration has an endpoint beside the URL, it is not in that. */
static void say_replica(
    struct wr_fleet *f, const char *path, const struct wr_config_replica *r, struct wr_arena *a)
{
    const char *endpoint = wr_config_setting(r->settings, "endpoint");
    const struct wr_log_field fields[] = {WR_F_Z("db", path), WR_F_Z("type", r->type),
        WR_F_Z("sync-interval", r->sync_interval), WR_F_STR("url", wr_safe_url(a, r->url)),
        WR_F_Z("endpoint", endpoint ? endpoint : "")};

    wr_logger_log(f->log, WEIR_LOG_INFO, "replicating to", fields,
        endpoint ? wr_countof(fields) : wr_countof(fields) - 1);
}

static int add_replica(struct wr_fleet *f, weir_db *db, const char *path,
    const struct wr_config_replica *r, bool adopt, struct wr_arena *a, weir_error *reterr)
{
    const char *const *settings = adopt ? adopting(a, r->settings) : r->settings;
    weir_error err = {0};
    int rc;

    if (adopt && !settings)
        return wr_fleet_no_memory(reterr, path);
    rc = weir_db_add_replica(db, r->url, settings, &err);
    if (rc != WEIR_OK)
        return wr_fleet_fail(reterr, rc, path, err.message);
    say_replica(f, path, r, a);
    return WEIR_OK;
}

int wr_fleet_begin(struct wr_fleet *f, const struct wr_config_db *c,
    const struct wr_fleet_start *how, size_t from, weir_db **ret, weir_error *reterr)
{
    const char *const *settings = c->settings;
    struct wr_arena a;
    weir_error err = {0};
    weir_db *db = NULL;
    int rc;

    wr_arena_init(&a, WR_ARENA_MAX);
    if (how->adopt)
        settings = adopting(&a, settings);
    if (how->keep_all && (settings || !how->adopt))
        settings = with(&a, settings, "retention.enabled", "false");
    rc = (how->adopt || how->keep_all) && !settings
             ? wr_fleet_no_memory(&err, c->path)
             : weir_db_add(f->w, c->path, settings, &db, &err);
    if (rc != WEIR_OK) {
        /* The library names the path itself when it is about the path. */
        (void)wr_fleet_fail(reterr, rc, c->path, err.message);
        if (strstr(err.message, c->path))
            *reterr = err;
        goto out;
    }
    wr_say(f->log, WEIR_LOG_INFO, "initialized db", WR_F_Z("path", c->path));
    wr_missing_warn(c, f->log);
    for (size_t i = 0; rc == WEIR_OK && i < c->nreplicas; i++)
        rc = add_replica(f, db, c->path, &c->replicas[i], i == from, &a, reterr);
    if (rc == WEIR_OK)
        *ret = db;
    else
        (void)weir_db_remove(db, 0, NULL);
out:
    wr_arena_release(&a);
    return rc;
}
