/*
 * control.c - see control.h: which endpoint a request is for, and what its body says.
 */
#include "daemon/control_int.h"

#include "base/mem.h"
#include "daemon/expand.h"
#include "daemon/listen.h"

#include <stdarg.h>
#include <unistd.h>

#define ARENA_BYTES   ((size_t)4 << 20) /* of one request */
#define TIMEOUT_MAX_S ((double)1e9)
#define WAITING_MAX   64
#define DEPTH_MAX     16 /* brackets within brackets in a body; what is meant has one */

struct wr_control {
    struct wr_httpd *http;
    struct wr_unix_socket socket;
    struct wr_control_for what;
    int64_t started_ms;
    atomic_int waiting;
};

static const struct endpoint {
    const char *path, *method;
    void (*run)(struct wr_ask *q);
} endpoints[] = {
    {"/info", "GET", wr_control_info},
    {"/list", "GET", wr_control_list},
    {"/txid", "GET", wr_control_txid},
    {"/sync", "POST", wr_control_sync},
    {"/wait", "POST", wr_control_wait},
    {"/start", "POST", wr_control_start},
    {"/stop", "POST", wr_control_stop},
    {"/register", "POST", wr_control_register},
    {"/unregister", "POST", wr_control_unregister},
    {"/reload", "POST", wr_control_reload},
    {"/debug/sync-status", "GET", wr_control_sync_status},
};

static int append(const char *text, size_t n, void *arg)
{
    wr_buf_put(arg, text, n);
    return 0;
}

/* One line; false for NULL, or when memory ran out. Releases the object. */
static bool put_line(struct wr_ask *q, json_t *object)
{
    bool ok = object && json_dump_callback(object, append, &q->reply->body, JSON_COMPACT) == 0;

    json_decref(object);
    wr_buf_byte(&q->reply->body, '\n');
    return ok;
}

void wr_ask_answer(struct wr_ask *q, json_t *object)
{
    if (!put_line(q, object))
        wr_ask_fail(q, 500, "out of memory, or a name that is not UTF-8");
}

void wr_ask_fail_details(struct wr_ask *q, unsigned status, const char *text, const char *details)
{
    json_t *error = json_string(text), *o;

    if (!error) /* it quotes a path with such bytes */
        error = json_string("failed, for a reason with a name in it that is not UTF-8");
    o = json_pack("{s:o}", "error", error);
    if (o && details)
        (void)json_object_set_new(o, "details", json_string(details)); /* better than nothing */
    q->reply->status = status;
    wr_buf_clear(&q->reply->body);
    if (!put_line(q, o)) {
        wr_buf_clear(&q->reply->body);
        wr_buf_z(&q->reply->body, "{\"error\":\"out of memory\"}\n");
    }
}

void wr_ask_fail(struct wr_ask *q, unsigned status, const char *fmt, ...)
{
    char text[1024];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    wr_ask_fail_details(q, status, text, NULL);
}

const char *wr_ask_path(struct wr_ask *q)
{
    json_t *field = json_object_get(q->body, "path");
    const char *given = q->body ? json_string_value(field) : wr_httpd_query(q->http, "path");
    struct wr_err e = {0};
    const char *path;

    if (field && !json_is_string(field)) {
        wr_ask_fail_details(q, 400, "invalid request body", "path must be a string");
        return NULL;
    }
    if (!given || !given[0]) {
        wr_ask_fail(q, 400, "path required");
        return NULL;
    }
    if (wr_expand_path(q->arena, wr_str(given), &path, &e) != WR_OK) {
        wr_ask_fail(q, 400, "invalid path: %s", e.text);
        return NULL;
    }
    return path;
}

bool wr_ask_timeout(struct wr_ask *q, int64_t none_ms, int64_t *ret_ms)
{
    json_t *field = json_object_get(q->body, "timeout");
    double s = json_number_value(field);

    *ret_ms = none_ms;
    if (!field || json_is_null(field))
        return true;
    if (!json_is_number(field) || s > TIMEOUT_MAX_S) {
        wr_ask_fail_details(
            q, 400, "invalid request body", "timeout must be a number of seconds up to 1e9");
        return false;
    }
    if (s < 0)
        *ret_ms = 0;
    else if (s > 0)
        *ret_ms = (int64_t)(s * 1000);
    return true;
}

bool wr_ask_flag(struct wr_ask *q, const char *name, bool *ret)
{
    json_t *field = json_object_get(q->body, name);
    char details[64];

    *ret = json_is_true(field);
    if (!field || json_is_boolean(field) || json_is_null(field))
        return true;
    (void)snprintf(details, sizeof(details), "%.20s must be true or false", name);
    wr_ask_fail_details(q, 400, "invalid request body", details);
    return false;
}

bool wr_ask_wait(struct wr_ask *q)
{
    if (atomic_fetch_add(q->waiting, 1) < WAITING_MAX)
        return true;
    atomic_fetch_sub(q->waiting, 1);
    wr_ask_fail(q, 503, "%d requests are waiting already, try again", WAITING_MAX);
    return false;
}

void wr_ask_waited(struct wr_ask *q)
{
    atomic_fetch_sub(q->waiting, 1);
}

/* Whether brackets outside of strings are nested deeper than a body that is meant can be. The
 * parser recurses, 2048 levels deep, which needs most of this thread's stack. */
static bool is_deep(struct wr_str s)
{
    bool quoted = false;
    int depth = 0;

    for (size_t i = 0; i < s.n && depth <= DEPTH_MAX; i++) {
        if (quoted && s.p[i] == '\\')
            i++;
        else if (s.p[i] == '"')
            quoted = !quoted;
        else if (!quoted && (s.p[i] == '[' || s.p[i] == '{'))
            depth++;
        else if (!quoted && (s.p[i] == ']' || s.p[i] == '}'))
            depth--;
    }
    return depth > DEPTH_MAX;
}

/* The body as an object. False: answered. */
static bool read_body(struct wr_ask *q)
{
    json_error_t error;

    if (is_deep(q->http->body)) {
        wr_ask_fail_details(q, 400, "invalid request body", "it is nested too deeply");
        return false;
    }
    q->body = json_loadb(q->http->body.p, q->http->body.n, 0, &error);
    if (q->body && json_is_object(q->body))
        return true;
    wr_ask_fail_details(
        q, 400, "invalid request body", q->body ? "it must be a JSON object" : error.text);
    return false;
}

static void handle(void *arg, const struct wr_httpd_request *http, struct wr_httpd_reply *reply)
{
    struct wr_control *c = arg;
    struct wr_arena arena;
    struct wr_ask q = {.fleet = c->what.fleet,
        .registry = c->what.registry,
        .reloading = c->what.reloading,
        .started_ms = c->started_ms,
        .waiting = &c->waiting,
        .http = http,
        .reply = reply,
        .arena = &arena};
    const struct endpoint *e = NULL;

    for (size_t i = 0; i < wr_countof(endpoints) && !e; i++)
        if (wr_str_eq(wr_str(http->path), wr_str(endpoints[i].path)))
            e = &endpoints[i];
    if (!e) {
        reply->status = 404;
        reply->type = "text/plain; charset=utf-8";
        wr_buf_z(&reply->body, "404 page not found\n");
        return;
    }
    if (!wr_str_eq(wr_str(http->method), wr_str(e->method))) {
        reply->status = 405;
        reply->type = "text/plain; charset=utf-8";
        reply->allow = e->method;
        wr_buf_z(&reply->body, "Method Not Allowed\n");
        return;
    }
    wr_arena_init(&arena, ARENA_BYTES);
    if (wr_str_eq(wr_str(e->method), WR_STR("GET")) || read_body(&q))
        e->run(&q);
    json_decref(q.body);
    wr_arena_release(&arena);
}

enum wr_status wr_control_new(const struct wr_config_socket *config,
    const struct wr_control_for *what, struct wr_logger *log, struct wr_control **ret,
    struct wr_err *e)
{
    struct wr_control *c = wr_alloc(sizeof(*c));
    enum wr_status st;

    if (!c)
        return wr_fail(e, WR_NOMEM, "open the control socket");
    c->what = *what;
    c->started_ms = wr_wall_ms(wr_clock_system());
    st = wr_listen_unix(config->path, (mode_t)config->permissions, &c->socket, e);
    if (st != WR_OK) {
        wr_free(c);
        return st;
    }
    st = wr_httpd_new(
        &(struct wr_httpd_opts){.fd = c->socket.fd, .fn = handle, .arg = c, .parallel = true},
        &c->http, e);
    if (st != WR_OK) {
        wr_unlisten_unix(&c->socket);
        wr_free(c);
        return st;
    }
    wr_say(log, WEIR_LOG_INFO, "control socket listening", WR_F_Z("path", config->path));
    *ret = c;
    return WR_OK;
}

void wr_control_free(struct wr_control *c)
{
    if (!c)
        return;
    wr_unlisten_unix(&c->socket);
    wr_httpd_free(c->http);
    wr_free(c);
}
