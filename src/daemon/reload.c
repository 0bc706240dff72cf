/*
 * reload.c - see reload.h. Refuses to know where a configuration comes from.
 */
#include "daemon/reload.h"

#include "daemon/difference.h"
#include "daemon/missing.h"

static bool same_text(const char *a, const char *b)
{
    return wr_str_eq(wr_str(a), wr_str(b)); /* NULL is the empty text, which no key may have */
}

static const struct wr_config_db *find(const struct wr_config *c, const char *path)
{
    for (size_t i = 0; i < c->ndbs; i++)
        if (same_text(c->dbs[i].path, path))
            return &c->dbs[i];
    return NULL;
}

static void say_failed(const struct wr_reload *r, const char *path, const weir_error *err)
{
    wr_say(r->log, WEIR_LOG_ERROR, "reload: a change has failed, the others go on",
        WR_F_Z("path", path), WR_F_Z("error", err->message));
}

/* It may stay, if somebody else is changing it just now, or all is about to end; or be gone without
 * its last commits being in the replica. False: so it is, and was told. */
static bool remove_db(const struct wr_reload *r, const char *path)
{
    weir_error err = {0};
    int rc = wr_fleet_remove(r->fleet, path, r->last_sync_ms, NULL, &err);

    if (rc == WEIR_OK || rc == WEIR_NOTFOUND) /* NOTFOUND: it was unregistered before */
        return true;
    say_failed(r, path, &err);
    wr_outcome_put(r->outcome, WR_OUTCOME_FAILED, path, err.message);
    return false;
}

/* Who comes to be replicated otherwise meanwhile is, and what is canceled is as it was. */
static int add_db(const struct wr_reload *r, const struct wr_config_db *db)
{
    struct wr_fleet_start how = {0};
    struct wr_arena arena;
    weir_error err = {0};
    int rc = WEIR_OK;

    wr_arena_init(&arena, WR_ARENA_MAX);
    if (db->restore_if_missing)
        rc = wr_restore_missing(r->w, db, r->log, &arena, r->cancel, &how.restored_from, &err);
    if (rc == WEIR_OK)
        rc = wr_fleet_add(r->fleet, db, &how, &err);
    if (rc != WEIR_OK && rc != WEIR_CANCELED && !wr_fleet_has(r->fleet, db->path) &&
        wr_absent_put(wr_fleet_absent(r->fleet), WR_ABSENT_RELOAD, db->path, err.message))
        say_failed(r, db->path, &err);
    if (rc != WEIR_OK && !wr_fleet_has(r->fleet, db->path))
        wr_outcome_put(r->outcome, WR_OUTCOME_FAILED, db->path, err.message);
    wr_arena_release(&arena);
    return rc;
}

/* Those that go are gone before any comes, which may have a URL of theirs. */
static void remove_old(
    const struct wr_reload *r, const struct wr_config *old, const struct wr_config *now)
{
    for (size_t i = 0; i < old->ndbs; i++) {
        const char *path = old->dbs[i].path;

        if (find(now, path))
            continue;
        wr_say(r->log, WEIR_LOG_INFO, "reload: database removed", WR_F_Z("path", path));
        if (remove_db(r, path))
            wr_outcome_put(r->outcome, WR_OUTCOME_REMOVED, path, "");
    }
}

/* Those that change as well: one may get a URL that another one leaves. */
static void remove_changed(
    const struct wr_reload *r, const struct wr_config *old, const struct wr_config *now)
{
    for (size_t i = 0; i < now->ndbs; i++) {
        const struct wr_config_db *before = find(old, now->dbs[i].path);
        char keys[WR_DIFFERENCE_MAX];

        if (!before || !wr_difference(before, &now->dbs[i], keys))
            continue;
        wr_say(r->log, WEIR_LOG_INFO, "reload: database changed, begins anew",
            WR_F_Z("path", before->path), WR_F_Z("keys", keys));
        (void)remove_db(r, before->path);
    }
}

/* New ones, changed ones, and those that could not be added the last time. */
static void add_missing(
    const struct wr_reload *r, const struct wr_config *old, const struct wr_config *now)
{
    for (size_t i = 0; i < now->ndbs; i++) {
        const char *path = now->dbs[i].path;
        const struct wr_config_db *before = find(old, path);
        char keys[WR_DIFFERENCE_MAX] = "";
        bool changed = before && wr_difference(before, &now->dbs[i], keys);

        if (wr_fleet_has(r->fleet, path))
            continue;
        if (!before)
            wr_say(r->log, WEIR_LOG_INFO, "reload: database added", WR_F_Z("path", path));
        if (add_db(r, &now->dbs[i]) == WEIR_OK) /* else it has said so */
            wr_outcome_put(r->outcome, changed ? WR_OUTCOME_CHANGED : WR_OUTCOME_ADDED, path, keys);
    }
}

void wr_reload_again(const struct wr_reload *r, const struct wr_config *now)
{
    int rc = WEIR_OK;

    for (size_t i = 0; i < now->ndbs && rc != WEIR_CANCELED; i++) {
        if (!wr_absent_is(wr_fleet_absent(r->fleet), WR_ABSENT_RELOAD, now->dbs[i].path))
            continue;
        rc = add_db(r, &now->dbs[i]);
        if (rc == WEIR_OK)
            wr_say(r->log, WEIR_LOG_INFO,
                "a database that could not be begun with is replicated from now on",
                WR_F_Z("path", now->dbs[i].path));
    }
}

/* What is read at the start alone. */
static void say_what_waits(
    const struct wr_reload *r, const struct wr_config *a, const struct wr_config *b)
{
    const struct {
        const char *key;
        bool same;
    } keys[] = {
        {"addr", same_text(a->addr, b->addr)},
        {"exec", same_text(a->exec, b->exec)},
        {"socket", a->socket.enabled == b->socket.enabled &&
                       same_text(a->socket.path, b->socket.path) &&
                       same_text(a->socket.registry, b->socket.registry) &&
                       a->socket.permissions == b->socket.permissions},
        {"heartbeat-url", same_text(a->heartbeat_url, b->heartbeat_url)},
        {"heartbeat-interval", a->heartbeat_interval_ms == b->heartbeat_interval_ms},
        {"logging", a->logging.format == b->logging.format &&
                        a->logging.to_stderr == b->logging.to_stderr &&
                        same_text(a->logging.level, b->logging.level)},
        {"open-max", a->open_max == b->open_max},
        {"shutdown-sync-timeout", a->shutdown_sync_timeout_ms == b->shutdown_sync_timeout_ms},
    };

    for (size_t i = 0; i < wr_countof(keys); i++) {
        if (keys[i].same)
            continue;
        wr_say(r->log, WEIR_LOG_WARN, "reload: a key has changed that needs a restart",
            WR_F_Z("key", keys[i].key));
        wr_outcome_put(r->outcome, WR_OUTCOME_RESTART, keys[i].key, "");
    }
}

void wr_reload_apply(
    const struct wr_reload *r, const struct wr_config *old, const struct wr_config *now)
{
    say_what_waits(r, old, now);
    remove_old(r, old, now);
    remove_changed(r, old, now);
    wr_absent_begin(wr_fleet_absent(r->fleet), WR_ABSENT_RELOAD);
    add_missing(r, old, now);
    wr_absent_end(wr_fleet_absent(r->fleet), WR_ABSENT_RELOAD);
}
