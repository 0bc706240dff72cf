/*
 * control_reload.c - the endpoint of the control socket that has the configuration read again:
 *
 *     {"status":"reloaded","databases":2,"added":["/a"],"removed":[],"changed":["/c"],
 *      "changed_keys":{"/c":"replica.url"},
 *      "failed":[{"path":"/b","error":"..."}],"needs_restart":["addr"],"warnings":["..."]}
 *
 * A path is that of a database, or "serve": that key of the file could not be followed.
 * A list may be cut; the numbers that are missing then are in "more".
 */
#include "daemon/control_int.h"

#define DEFAULT_MS ((int64_t)30 * 1000)

static const char *const names[WR_OUTCOME_KINDS] = {
    [WR_OUTCOME_ADDED] = "added",
    [WR_OUTCOME_REMOVED] = "removed",
    [WR_OUTCOME_CHANGED] = "changed",
    [WR_OUTCOME_FAILED] = "failed",
    [WR_OUTCOME_RESTART] = "needs_restart",
    [WR_OUTCOME_WARNING] = "warnings",
};

static json_t *item(const struct wr_outcome_item *i)
{
    return i->kind == WR_OUTCOME_FAILED ? json_pack("{s:s, s:s}", "path", i->name, "error", i->why)
                                        : json_string(i->name);
}

/* NULL: no memory, or a text that is not UTF-8. */
static json_t *describe(const struct wr_outcome *o)
{
    json_t *all = json_pack("{s:s, s:I}", "status", "reloaded", "databases", (json_int_t)o->dbs);
    static const char keys[] = "changed_keys";
    bool ok = all != NULL;
    size_t more = 0;

    for (size_t k = 0; k < WR_OUTCOME_KINDS; k++) {
        ok = ok && json_object_set_new(all, names[k], json_array()) == 0;
        more += o->counts[k];
    }
    more -= o->listed;
    ok = ok && json_object_set_new(all, keys, json_object()) == 0;
    for (const struct wr_outcome_item *i = o->first; i && ok; i = i->next) {
        ok = json_array_append_new(json_object_get(all, names[i->kind]), item(i)) == 0;
        if (i->kind == WR_OUTCOME_CHANGED)
            ok = ok &&
                 json_object_set_new(json_object_get(all, keys), i->name, json_string(i->why)) == 0;
    }
    if (more > 0)
        ok = ok && json_object_set_new(all, "more", json_integer((json_int_t)more)) == 0;
    if (ok)
        return all;
    json_decref(all);
    return NULL;
}

static void answer(struct wr_ask *q, const struct wr_outcome *o)
{
    if (o->refused)
        wr_ask_fail_details(
            q, 409, "the configuration was refused, nothing has changed", o->refused);
    else
        wr_ask_answer(q, describe(o));
}

void wr_control_reload(struct wr_ask *q)
{
    struct wr_outcome *o = NULL;
    int64_t timeout_ms;
    int rc = WEIR_UNSUPPORTED;

    if (!wr_ask_timeout(q, DEFAULT_MS, &timeout_ms) || !wr_ask_wait(q))
        return;
    if (q->reloading)
        rc = wr_reloading_ask(q->reloading, timeout_ms, &o);
    wr_ask_waited(q);
    switch (rc) {
    case WEIR_OK:
        answer(q, o);
        wr_reloading_put(q->reloading, o);
        return;
    case WEIR_TIMEOUT:
        wr_ask_fail(q, 504, "the reload is not done yet, and goes on");
        return;
    case WEIR_CANCELED:
        wr_ask_fail(q, 500, "shutting down");
        return;
    case WEIR_UNSUPPORTED:
        wr_ask_fail(q, 409,
            "there is no configuration file: what is replicated was given as "
            "arguments");
        return;
    default:
        wr_ask_fail(q, 500, "%s", weir_strerror(rc));
        return;
    }
}
