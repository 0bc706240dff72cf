/*
 * control_look.c - the endpoints of the control socket that only look.
 */
#include "daemon/control_int.h"
#include "daemon/standing.h"

#include <unistd.h>

/* Add a member unless it is NULL, which is out of memory and noted in *ok. */
static void put(json_t *object, const char *key, json_t *value, bool *ok)
{
    if (json_object_set_new(object, key, value) != 0)
        *ok = false;
}

static void put_time(json_t *object, const char *key, int64_t ms, bool *ok)
{
    char text[WR_TIME_TEXT_MAX];

    if (ms == 0)
        return;
    wr_format_time(text, ms);
    put(object, key, json_string(text), ok);
}

/* A text that may have bytes which are no UTF-8, as a path can: with '?' in place of all that are
 * no ASCII then. One such name must not hide the others. */
static json_t *text_of(const char *text)
{
    json_t *t = json_string(text);
    struct wr_buf b;

    if (t)
        return t;
    wr_buf_init(&b, WR_HTTPD_BODY_MAX);
    for (; *text; text++)
        wr_buf_byte(&b, (unsigned char)*text < 0x80 ? (uint8_t)*text : '?');
    if (wr_buf_status(&b) == WR_OK)
        t = json_stringn((const char *)b.p, b.n);
    wr_buf_release(&b);
    return t;
}

/* {"at", "error"}, if the configuration was refused when it was last read. */
static void put_refusal(struct wr_ask *q, json_t *object, bool *ok)
{
    char at[WR_TIME_TEXT_MAX];
    struct wr_refusal r;

    wr_refused_look(wr_fleet_refused(q->fleet), &r);
    if (!r.why[0])
        return;
    wr_format_time(at, r.refused_ms);
    put(object, "reload_refused", json_pack("{s:s, s:o}", "at", at, "error", text_of(r.why)), ok);
}

/* The object with that, or a failure if something could not be added. */
static void answer(struct wr_ask *q, json_t *object, bool ok)
{
    put_refusal(q, object, &ok);
    if (!ok) {
        json_decref(object);
        object = NULL;
    }
    wr_ask_answer(q, object);
}

void wr_control_info(struct wr_ask *q)
{
    int64_t now_ms = wr_wall_ms(wr_clock_system());
    char started[WR_TIME_TEXT_MAX];

    wr_format_time(started, q->started_ms);
    answer(q,
        json_pack("{s:s, s:i, s:I, s:s, s:I}", "version", weir_version(), "pid", (int)getpid(),
            "uptime_seconds", (json_int_t)(wr_max(now_ms - q->started_ms, (int64_t)0) / 1000),
            "started_at", started, "database_count", (json_int_t)wr_fleet_count(q->fleet)),
        true);
}

struct listing {
    struct wr_fleet *fleet;
    json_t *list;
    const char *only; /* NULL: all */
    bool found, ok;
};

static json_t *replica_entry(const weir_replica_info *r, bool *ok)
{
    json_t *o = json_pack("{s:o, s:I, s:f}", "url", text_of(r->url), "txid", (json_int_t)r->txid,
        "lag_seconds", (double)r->lag_ms / 1000);

    put_time(o, "last_sync_at", r->txid > 0 ? r->last_ok_ms : 0, ok);
    if (r->error_code != WEIR_OK)
        put(o, "error", text_of(r->error), ok);
    return o;
}

static void list_db(void *arg, const struct wr_config_db *config, weir_db *db)
{
    struct listing *l = arg;
    struct wr_standing s;
    json_t *o, *replicas;

    wr_standing(db, &s);
    o = json_pack("{s:o, s:s}", "path", text_of(config->path), "status", s.word);
    if (!db)
        s.last_sync_ms = wr_fleet_last_sync(l->fleet, config->path);
    put_time(o, "last_sync_at", s.last_sync_ms, &l->ok);
    if (db) {
        replicas = json_array();
        put(o, "txid", json_integer((json_int_t)s.db.txid), &l->ok);
        if (s.db.error_code != WEIR_OK)
            put(o, "error", text_of(s.db.error), &l->ok);
        for (uint32_t i = 0; i < s.db.replica_count; i++) {
            weir_replica_info r = {.struct_size = sizeof(r)};

            if (weir_replica_status(db, i, &r, NULL) == WEIR_OK &&
                json_array_append_new(replicas, replica_entry(&r, &l->ok)) != 0)
                l->ok = false;
        }
        put(o, "replicas", replicas, &l->ok);
    }
    if (json_array_append_new(l->list, o) != 0)
        l->ok = false;
}

/* Those that could not be begun with come last. */
static void list_absent(struct wr_ask *q, struct listing *l, const char *key, const char *value)
{
    struct wr_absentee *all;
    struct wr_arena arena;
    size_t n;

    wr_arena_init(&arena, WR_ARENA_MAX);
    n = wr_absent_list(wr_fleet_absent(q->fleet), &arena, SIZE_MAX, &all);
    for (size_t i = 0; i < n; i++) {
        json_t *o;

        if (l->only && !wr_str_eq(wr_str(l->only), wr_str(all[i].path)))
            continue;
        l->found = true;
        o = json_pack("{s:o, s:o, s:o}", "path", text_of(all[i].path), key,
            value ? json_string(value) : json_false(), "error", text_of(all[i].why));
        if (json_array_append_new(l->list, o) != 0)
            l->ok = false;
    }
    wr_arena_release(&arena);
}

/* All that `fn` lists, as {"databases": [...]}. */
static void answer_list(struct wr_ask *q, wr_fleet_fn *fn, const char *only)
{
    struct listing l = {.fleet = q->fleet, .list = json_array(), .only = only, .ok = true};

    wr_fleet_each(q->fleet, fn, &l);
    if (fn == list_db)
        list_absent(q, &l, "status", "failed");
    else
        list_absent(q, &l, "active", NULL);
    if (only && !l.found) {
        json_decref(l.list);
        wr_ask_fail(q, 404, "database not found");
    } else {
        answer(q, json_pack("{s:o}", "databases", l.list), l.ok);
    }
}

void wr_control_list(struct wr_ask *q)
{
    answer_list(q, list_db, NULL);
}

static void status_db(void *arg, const struct wr_config_db *config, weir_db *db)
{
    struct listing *l = arg;
    struct wr_standing s;
    json_t *o;
    bool checkpoint;

    if (l->only && !wr_str_eq(wr_str(l->only), wr_str(config->path)))
        return;
    l->found = true;
    wr_standing(db, &s);
    checkpoint = db && wr_str_eq(wr_str(s.db.state), WR_STR("checkpoint"));
    o = json_pack("{s:o, s:b}", "path", text_of(config->path), "active", (int)(db && s.behind));
    if (db && s.behind)
        put(o, "operation", json_string(checkpoint ? "checkpoint" : "sync"), &l->ok);
    if (db) {
        put(o, "phase", json_string(s.db.state), &l->ok);
        put(o, "txid", json_integer((json_int_t)s.db.txid), &l->ok);
        if (s.db.error_code != WEIR_OK)
            put(o, "error", text_of(s.db.error), &l->ok);
    }
    if (json_array_append_new(l->list, o) != 0)
        l->ok = false;
}

void wr_control_sync_status(struct wr_ask *q)
{
    const char *path = wr_httpd_query(q->http, "path");

    if (path) {
        path = wr_ask_path(q);
        if (!path)
            return;
    }
    answer_list(q, status_db, path);
}

void wr_control_txid(struct wr_ask *q)
{
    const char *path = wr_ask_path(q);
    weir_txid txid = 0;
    weir_error err = {0};

    if (!path)
        return;
    if (wr_fleet_txid(q->fleet, path, &txid, &err) == WEIR_OK)
        wr_ask_answer(q, json_pack("{s:I}", "txid", (json_int_t)txid));
    else
        wr_ask_fail(q, 404, "database not found");
}
