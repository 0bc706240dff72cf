/*
 * control_change.c - the endpoints of the control socket that change something, or wait for it.
 */
#include "daemon/control_int.h"
#include "daemon/standing.h"

#define DEFAULT_MS ((int64_t)30 * 1000)

/* {"status", "path", "txid"}. */
static void answer_status(struct wr_ask *q, const char *status, const char *path, weir_txid txid)
{
    wr_ask_answer(
        q, json_pack("{s:s, s:s, s:I}", "status", status, "path", path, "txid", (json_int_t)txid));
}

/* 0: it is gone, or nothing was captured yet. */
static weir_txid txid_of(struct wr_ask *q, const char *path)
{
    weir_txid txid = 0;
    weir_error err = {0};

    (void)wr_fleet_txid(q->fleet, path, &txid, &err);
    return txid;
}

void wr_control_start(struct wr_ask *q)
{
    const char *path = wr_ask_path(q);
    weir_error err = {0};
    int64_t timeout_ms;
    bool was;

    if (!path || !wr_ask_timeout(q, 0, &timeout_ms)) /* nothing here takes time */
        return;
    if (wr_fleet_start(q->fleet, path, &was, &err) == WEIR_OK)
        answer_status(q, was ? "already_running" : "started", path, txid_of(q, path));
    else if (err.code == WEIR_NOTFOUND)
        wr_ask_fail(q, 500, "database not found: %s", path); /* 500 as in Litestream */
    else
        wr_ask_fail(q, 500, "%s", err.message);
}

void wr_control_stop(struct wr_ask *q)
{
    const char *path = wr_ask_path(q);
    weir_error err = {0};
    weir_txid txid = 0;
    int64_t timeout_ms;
    bool was;

    if (!path || !wr_ask_timeout(q, DEFAULT_MS, &timeout_ms))
        return;
    if (wr_fleet_stop(q->fleet, path, timeout_ms, &was, &txid, &err) == WEIR_OK)
        answer_status(q, was ? "already_stopped" : "stopped", path, txid);
    else if (err.code == WEIR_NOTFOUND)
        wr_ask_fail(q, 500, "database not found: %s", path);
    else
        wr_ask_fail(q, 500, "close database: %s", err.message);
}

void wr_control_unregister(struct wr_ask *q)
{
    const char *path = wr_ask_path(q);
    weir_error err = {0};
    weir_txid txid = 0;
    int64_t timeout_ms;
    struct wr_err e = {0};

    if (!path || !wr_ask_timeout(q, DEFAULT_MS, &timeout_ms))
        return;
    /* First, so that a process that dies in between does not begin with it again. Of a file that
     * could not be read there is none in the fleet, and what is has to do without. */
    if (q->registry && wr_registry_forget(q->registry, path, &e) != WR_OK &&
        !(e.code == WR_MISUSE && wr_fleet_has(q->fleet, path))) {
        wr_ask_fail(q, 500, "failed to unregister database: %s", e.text);
        return;
    }
    wr_absent_drop(wr_fleet_absent(q->fleet), path);
    if (wr_fleet_remove(q->fleet, path, timeout_ms, &txid, &err) == WEIR_OK)
        answer_status(q, "unregistered", path, txid);
    else if (err.code == WEIR_NOTFOUND)
        answer_status(q, "already_unregistered", path, 0);
    else
        wr_ask_fail(q, 500, "failed to unregister database: %s", err.message);
}

struct search {
    const char *path, *url;
    bool path_is_there, url_is_its, stopped;
};

static void look_for(void *arg, const struct wr_config_db *config, weir_db *db)
{
    struct search *s = arg;

    if (!wr_str_eq(wr_str(s->path), wr_str(config->path)))
        return;
    s->path_is_there = true;
    s->stopped = !db;
    for (size_t i = 0; i < config->nreplicas; i++)
        if (wr_str_eq(wr_str(s->url), wr_str(config->replicas[i].url)))
            s->url_is_its = true;
}

/* It is replicated: keep it so where that was asked for, and answer. */
static void answer_registered(
    struct wr_ask *q, const char *status, const char *path, const char *url, bool persist)
{
    struct wr_err e = {0};

    if (!persist)
        wr_ask_answer(q, json_pack("{s:s, s:s}", "status", status, "path", path));
    else if (wr_registry_put(q->registry, path, url, &e) == WR_OK)
        wr_ask_answer(
            q, json_pack("{s:s, s:s, s:b}", "status", status, "path", path, "persist", 1));
    else
        wr_ask_fail(q, 500, "%s is replicated, but only until this process ends: %s", path, e.text);
}

/* What is to be replicated is a CONFLICT: it may be the path that is taken, or the URL by another
 * database. */
static void answer_taken(
    struct wr_ask *q, const char *path, const char *url, bool persist, const weir_error *err)
{
    struct search known = {.path = path, .url = url};

    wr_fleet_each(q->fleet, look_for, &known);
    if (known.url_is_its && known.stopped) /* "already" would mean that it is replicated */
        wr_ask_fail(q, 409, "failed to register database: %s is stopped, start it", path);
    else if (known.url_is_its)
        answer_registered(q, "already_registered", path, url, persist);
    else if (known.path_is_there) /* to say yes would be a backup that does not happen */
        wr_ask_fail(q, 409,
            "failed to register database: %s is replicated to another URL, unregister it first",
            path);
    else
        wr_ask_fail(q, 500, "failed to register database: %s", err->message);
}

void wr_control_register(struct wr_ask *q)
{
    const char *path = wr_ask_path(q);
    const char *url = json_string_value(json_object_get(q->body, "replica_url"));
    struct wr_config *config = NULL;
    struct wr_err e = {0};
    weir_error err = {0};
    bool persist;
    int rc;

    if (!path || !wr_ask_flag(q, "persist", &persist))
        return;
    if (!url || !url[0]) {
        wr_ask_fail(q, 400, "replica_url required");
        return;
    }
    if (persist && !q->registry) {
        wr_ask_fail(q, 400,
            "persist needs socket.registry in the configuration, the file to remember it in");
        return;
    }
    if (wr_config_adhoc(q->arena, path, &url, 1, NULL, &config, &e) != WR_OK) {
        wr_ask_fail(q, 400, "invalid replica url: %s", e.text);
        return;
    }
    rc = wr_fleet_add(q->fleet, &config->dbs[0], NULL, &err);
    if (rc == WEIR_CONFLICT)
        answer_taken(q, path, url, persist, &err);
    else if (rc == WEIR_OK)
        answer_registered(q, "registered", path, url, persist);
    else
        wr_ask_fail(q, rc == WEIR_MISUSE ? 400 : 500, "%s: %s",
            rc == WEIR_MISUSE ? "invalid replica url" : "failed to register database", err.message);
}

/* Keep a database for a call that waits, which ends with the client: one that went away kept its
 * place until all was done. False: answered. */
static bool hold(struct wr_ask *q, const char *path, struct wr_fleet_hold *ret)
{
    weir_cancel *cancel;
    weir_error err = {0};
    int rc;

    if (!wr_ask_wait(q))
        return false;
    cancel = weir_cancel_new();
    rc = cancel ? wr_fleet_hold_with(q->fleet, path, cancel, ret, &err) : WEIR_NOMEM;
    if (rc == WEIR_OK) {
        wr_httpd_mind(q->http, cancel);
        return true;
    }
    weir_cancel_free(cancel);
    wr_ask_waited(q);
    if (rc == WEIR_NOTFOUND)
        wr_ask_fail(q, 404, "database not found: %s", path);
    else if (rc == WEIR_NOMEM)
        wr_ask_fail(q, 500, "out of memory");
    else
        wr_ask_fail(q, 409, "database not open: %s", path);
    return false;
}

static void let_go(struct wr_ask *q, struct wr_fleet_hold *h)
{
    weir_cancel *cancel = h->cancel;

    wr_httpd_mind(q->http, NULL);
    wr_fleet_let_go(q->fleet, h);
    weir_cancel_free(cancel);
    wr_ask_waited(q);
}

/* The call was canceled: by whom is clear to us alone. */
static void fail_sync(struct wr_ask *q, const weir_error *err)
{
    if (err->code == WEIR_CANCELED)
        wr_ask_fail(q, 500, "sync database: replication is being stopped");
    else
        wr_ask_fail(q, err->code == WEIR_TIMEOUT ? 504 : 500, "sync database: %s", err->message);
}

static void answer_synced(struct wr_ask *q, const char *path, const struct wr_standing *before,
    const struct wr_standing *after, bool waited, weir_txid snapshot)
{
    bool changed =
        after->db.txid != before->db.txid || (waited && after->replicated != before->replicated);
    json_t *said = json_pack("{s:s, s:s, s:I, s:I}", "status",
        !changed ? "no_change"
        : waited ? "synced"
                 : "synced_local",
        "path", path, "txid", (json_int_t)after->db.txid, "replicated_txid",
        (json_int_t)after->replicated);

    if (snapshot && said)
        (void)json_object_set_new(said, "snapshot_txid", json_integer((json_int_t)snapshot));
    wr_ask_answer(q, said);
}

/* With `snapshot` one of the newest state is sent, too, and waited for. */
void wr_control_sync(struct wr_ask *q)
{
    const char *path = wr_ask_path(q);
    bool wait, snapshot;
    weir_txid snapshot_txid = 0;
    struct wr_standing before, after;
    struct wr_fleet_hold h;
    weir_error err = {0};
    int64_t timeout_ms;
    int rc;

    if (!path || !wr_ask_timeout(q, DEFAULT_MS, &timeout_ms) || !wr_ask_flag(q, "wait", &wait) ||
        !wr_ask_flag(q, "snapshot", &snapshot))
        return;
    if (!hold(q, path, &h))
        return;
    wr_standing(h.db, &before);
    if (snapshot)
        rc = weir_db_snapshot(h.db, timeout_ms, h.cancel, &snapshot_txid, &err);
    else
        rc = weir_db_sync(
            h.db, wait ? WEIR_SYNC_REMOTE : WEIR_SYNC_LOCAL, timeout_ms, h.cancel, NULL, &err);
    wr_standing(h.db, &after);
    let_go(q, &h);
    if (rc != WEIR_OK) {
        fail_sync(q, &err);
        return;
    }
    answer_synced(q, path, &before, &after, wait || snapshot, snapshot_txid);
}

void wr_control_wait(struct wr_ask *q)
{
    const char *path = wr_ask_path(q);
    json_t *field = json_object_get(q->body, "txid");
    weir_txid txid = (weir_txid)json_integer_value(field), reached;
    struct wr_standing s;
    struct wr_fleet_hold h;
    weir_error err = {0};
    int64_t timeout_ms;
    int rc = WEIR_OK;

    if (!path || !wr_ask_timeout(q, DEFAULT_MS, &timeout_ms))
        return;
    if (field && !json_is_null(field) && (!json_is_integer(field) || txid > INT64_MAX)) {
        wr_ask_fail_details(q, 400, "invalid request body", "txid must be a number of 0 or more");
        return;
    }
    if (!hold(q, path, &h))
        return;
    wr_standing(h.db, &s);
    reached = s.replicated;
    if (txid > s.db.txid) {
        rc = err.code = WEIR_NOTFOUND;
        (void)snprintf(err.message, sizeof(err.message),
            "transaction %llu does not exist yet, the newest is %llu", (unsigned long long)txid,
            (unsigned long long)s.db.txid);
    } else if (txid == 0 || s.replicated < txid) {
        rc = weir_db_sync(h.db, WEIR_SYNC_AWAIT, timeout_ms, h.cancel, &reached, &err);
    }
    let_go(q, &h);
    if (rc == WEIR_NOTFOUND && txid > 0)
        wr_ask_fail(q, 400, "%s", err.message);
    else if (rc != WEIR_OK)
        fail_sync(q, &err);
    else
        wr_ask_answer(
            q, json_pack("{s:s, s:s, s:I, s:I}", "status", "reached", "path", path, "txid",
                   (json_int_t)(txid ? txid : reached), "replicated_txid", (json_int_t)reached));
}
