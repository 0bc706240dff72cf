/*
 * feeds.c - see feeds.h. Knows who asks, and for which database; what it hands out is the
 * library's.
 */
#include "daemon/feeds_int.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/url.h"

#define FEED_PATH  "/feed/"
#define WAIT_MAX   8000              /* ms; less than a connection may be silent */
#define FLOW_BYTES ((size_t)1 << 20) /* of an answer that goes on, before its last piece */
#define URL_ROOM   8192
#define LISTED_MAX 100 /* names in a 404 */

/* ---- who asks ---- */

/* Without a token, whoever reaches the port may ask: a browser, too, on behalf of a page that has
 * its own name moved to this machine. No browser leaves the name out. */
static bool is_local(const struct wr_httpd_request *q)
{
    const char *host = wr_httpd_header(q, "Host");

    return !host || wr_url_host_is_here(wr_url_host(wr_str(host)));
}

/* In the same time whatever is sent, but for how long it is. */
static bool may_ask(const struct wr_listening *l, const struct wr_httpd_request *q)
{
    static const char scheme[] = "Bearer ";
    const char *sent = wr_httpd_header(q, "Authorization");
    const char *token = l->token;

    if (!token)
        return is_local(q);
    if (!sent || strncmp(sent, scheme, sizeof(scheme) - 1) != 0)
        return false;
    sent += sizeof(scheme) - 1;
    return strlen(sent) == strlen(token) && wr_equal_secret(sent, token, strlen(token));
}

static void say(struct wr_httpd_reply *r, unsigned status, const char *text)
{
    r->status = status;
    r->type = "text/plain; charset=utf-8";
    wr_buf_z(&r->body, text);
    wr_buf_byte(&r->body, '\n');
}

static void count_refused(struct wr_feeds *f)
{
    wr_mutex_lock(&f->mutex);
    f->totals.refused++;
    wr_mutex_unlock(&f->mutex);
}

/* The follower's place, or a free one; NULL: there are too many. Under the lock. */
static struct wr_follower *place_of(struct wr_listening *l, uint64_t id)
{
    int64_t now = wr_mono_ms(wr_clock_system());
    struct wr_follower *free_one = NULL;

    for (uint32_t i = 0; i < l->max; i++) {
        struct wr_follower *x = &l->followers[i];

        if (x->id == id)
            return x;
        if (!free_one && (x->id == 0 || now - x->seen_ms > WR_FOLLOWER_LEASE_MS))
            free_one = x;
    }
    if (free_one)
        *free_one = (struct wr_follower){.id = id};
    return free_one;
}

/* ---- which database ---- */

struct finding {
    struct wr_str name; /* as asked for */
    char path[WR_FOLLOWER_PATH];
    unsigned n;            /* that have it as the last part of their path */
    struct wr_buf *listed; /* where all names go */
    size_t n_listed;
};

static void look_at(void *arg, const struct wr_config_db *config, weir_db *db)
{
    struct finding *x = arg;
    struct wr_str path = wr_str(config->path);

    if (x->n_listed++ < LISTED_MAX)
        wr_buf_fmt(x->listed, "%s\n", config->path);
    if (!db || path.n >= sizeof(x->path) || !wr_str_eq(wr_path_base(config->path), x->name))
        return;
    x->n++;
    memcpy(x->path, path.p, path.n + 1);
}

/* Into `path`; false: answered. */
static bool find(
    struct wr_feeds *f, const char *name, char path[WR_FOLLOWER_PATH], struct wr_httpd_reply *r)
{
    struct wr_buf listed;
    struct finding x = {.name = wr_str(name), .listed = &listed};
    char full[WR_FOLLOWER_PATH];

    (void)snprintf(
        full, sizeof(full), "%s%.*s", name[0] == '/' ? "" : "/", WR_FOLLOWER_PATH - 2, name);
    if (wr_fleet_has(f->fleet, full)) {
        memcpy(path, full, sizeof(full));
        return true;
    }
    wr_buf_init(&listed, (size_t)64 << 10);
    wr_fleet_each(f->fleet, look_at, &x);
    if (x.n == 1) {
        memcpy(path, x.path, sizeof(x.path));
    } else {
        say(r, 404, x.n == 0 ? "there are (path, or its last part):" : "several have that name:");
        wr_buf_str(&r->body, wr_buf_view(&listed));
    }
    wr_buf_release(&listed);
    return x.n == 1;
}

/* Hold the database, with a cancel of one's own unless that is NULL; false: answered. */
static bool hold(struct wr_feeds *f, const char *path, weir_cancel *own, struct wr_fleet_hold *ret,
    struct wr_httpd_reply *r)
{
    weir_error err = {0};
    int rc = wr_fleet_hold_with(f->fleet, path, own, ret, &err);

    if (rc == WEIR_OK)
        return true;
    say(r, rc == WEIR_NOTFOUND ? 404 : 503, err.message);
    return false;
}

/* ---- answers ---- */

static void about(struct wr_feeds *f, const char *name, struct wr_httpd_reply *r)
{
    char url[URL_ROOM];
    weir_db_info info = {.struct_size = sizeof(info)};
    struct wr_fleet_hold h;
    char path[WR_FOLLOWER_PATH];

    if (!find(f, name, path, r) || !hold(f, path, NULL, &h, r))
        return;
    r->type = "text/plain; charset=utf-8";
    if (weir_db_status(h.db, &info, NULL) == WEIR_OK)
        wr_buf_fmt(&r->body, "txid %016llx\n", (unsigned long long)info.txid);
    for (uint32_t i = 0; weir_replica_address(h.db, i, url, sizeof(url), NULL) == WEIR_OK; i++)
        wr_buf_fmt(&r->body, "replica %s\n", url);
    wr_fleet_let_go(f->fleet, &h);
}

static void put(void *arg, const void *bytes, size_t n)
{
    wr_buf_put(arg, bytes, n);
}

static void answer_read(int rc, const weir_error *err, struct wr_httpd_reply *r)
{
    switch (rc) {
    case WEIR_OK:
        r->type = "application/x-weir-feed";
        break;
    case WEIR_TIMEOUT:
        r->status = 204;
        break;
    case WEIR_NOTFOUND:
        say(r, 410, err->message);
        break;
    case WEIR_CANCELED:
        say(r, 503, "the primary is being stopped");
        break;
    default:
        say(r, 500, err->message);
        break;
    }
}

struct asked {
    uint64_t id, after, life, part, wait_ms;
    bool more, flows;
};

static bool hex_of(const char *s, uint64_t *ret)
{
    return s && wr_parse_hex64(wr_str(s), ret);
}

static bool parse(const struct wr_httpd_request *q, struct asked *ret)
{
    const char *part = wr_httpd_query(q, "part"), *wait = wr_httpd_query(q, "wait");

    *ret = (struct asked){
        .more = wr_httpd_query(q, "more") != NULL, .flows = wr_httpd_query(q, "flow") != NULL};
    return hex_of(wr_httpd_query(q, "id"), &ret->id) && ret->id != 0 &&
           hex_of(wr_httpd_query(q, "after"), &ret->after) &&
           hex_of(wr_httpd_query(q, "life"), &ret->life) && part &&
           wr_parse_u64(wr_str(part), &ret->part) && ret->part <= UINT32_MAX && wait &&
           wr_parse_u64(wr_str(wait), &ret->wait_ms);
}

/* Whether what is sent arrives at once: a proxy, which has to name itself, may keep the beginning
 * of an answer until it has all of it. */
static bool passes_on(const struct wr_httpd_request *q)
{
    return !wr_httpd_header(q, "Via");
}

/* A place, and the path if it is known; false: answered. */
static bool admit(struct wr_listening *l, const struct asked *a, const char *name,
    char path[WR_FOLLOWER_PATH], struct wr_httpd_reply *r)
{
    struct wr_feeds *f = l->feeds;
    struct wr_follower *x;
    bool known = false;

    wr_mutex_lock(&f->mutex);
    x = place_of(l, a->id);
    if (x) {
        x->seen_ms = wr_mono_ms(wr_clock_system()) + WAIT_MAX;
        known = strcmp(x->name, name) == 0;
        if (known)
            memcpy(path, x->path, sizeof(x->path));
    } else {
        f->totals.refused++;
    }
    wr_mutex_unlock(&f->mutex);
    if (!x) {
        say(r, 503, "there are as many followers as max-followers allows");
        return false;
    }
    /* A name may be that of another one by now. */
    return (known && wr_fleet_has(f->fleet, path)) || find(f, name, path, r);
}

static void note(struct wr_feed_wait *w, int rc, size_t bytes)
{
    struct wr_listening *l = w->listening;
    struct wr_feeds *f = l->feeds;
    struct wr_follower *x = w->place;

    wr_mutex_lock(&f->mutex);
    w->over = l->ending;
    if (!x || x->id != w->id)
        x = place_of(l, w->id);
    f->totals.answers += rc == WEIR_OK;
    f->totals.bytes += rc == WEIR_OK ? bytes : 0;
    f->totals.dropped += rc == WEIR_NOTFOUND && x && x->served;
    if (x) {
        x->seen_ms = wr_mono_ms(wr_clock_system());
        x->served = rc == WEIR_OK || rc == WEIR_TIMEOUT;
    }
    if (x && x != w->place) {
        (void)snprintf(x->name, sizeof(x->name), "%s", w->name);
        (void)snprintf(x->path, sizeof(x->path), "%s", w->path);
    }
    w->place = x;
    wr_mutex_unlock(&f->mutex);
}

/* What follows, of a database that is let go when the wait is over, however it ends. */
static int read_held(
    struct wr_feed_wait *w, struct wr_fleet_hold *h, struct wr_buf *out, weir_error *err)
{
    int64_t left_ms = wr_max(w->end_ms - wr_mono_ms(wr_clock_system()), (int64_t)0);
    size_t had = out->n;
    int rc = weir_feed_read(h->db, &w->at, left_ms, w->cancel, put, out, err);

    wr_fleet_let_go(w->listening->feeds->fleet, h);
    w->bytes += out->n - had;
    note(w, rc, out->n - had);
    return rc;
}

static void free_wait(struct wr_feed_wait *w)
{
    struct wr_mutex *mutex = &w->listening->feeds->mutex;

    wr_mutex_lock(mutex);
    if (w->link.next) /* which its neighbours change, too */
        wr_list_remove(&w->link);
    wr_mutex_unlock(mutex);
    weir_cancel_free(w->cancel);
    wr_free(w);
}

static struct wr_feed_wait *wait_of(struct wr_httpd_flow *flow)
{
    return wr_container_of(flow, struct wr_feed_wait, flow);
}

/* Whatever is wrong is told to whoever asks again. */
static bool flow_on(struct wr_httpd_flow *flow, struct wr_buf *body)
{
    struct wr_feed_wait *w = wait_of(flow);
    struct wr_feeds *f = w->listening->feeds;
    struct wr_fleet_hold h;
    weir_error err;

    return !w->over && w->bytes < FLOW_BYTES && wr_mono_ms(wr_clock_system()) < w->end_ms &&
           wr_fleet_hold_with(f->fleet, w->path, w->cancel, &h, &err) == WEIR_OK &&
           read_held(w, &h, body, &err) == WEIR_OK;
}

static void end_flow(struct wr_httpd_flow *flow)
{
    free_wait(wait_of(flow));
}

/* NULL: without memory. */
static struct wr_feed_wait *new_wait(
    struct wr_listening *l, const struct asked *a, const char *name, const char *path)
{
    struct wr_feed_wait *w = wr_alloc(sizeof(*w));

    if (!w)
        return NULL;
    w->listening = l;
    w->flow = (struct wr_httpd_flow){.more = flow_on, .end = end_flow};
    w->id = a->id;
    w->at = (weir_feed_position){.struct_size = sizeof(w->at),
        .txid = a->after,
        .life = a->life,
        .part = (uint32_t)a->part,
        .more = a->more};
    w->end_ms = wr_mono_ms(wr_clock_system()) + (int64_t)wr_min(a->wait_ms, (uint64_t)WAIT_MAX);
    (void)snprintf(w->name, sizeof(w->name), "%s", name); /* what is cut is found again */
    (void)snprintf(w->path, sizeof(w->path), "%s", path);
    w->cancel = weir_cancel_new();
    if (!w->cancel) {
        free_wait(w);
        return NULL;
    }
    wr_mutex_lock(&l->feeds->mutex);
    wr_list_push(&l->waiting, &w->link);
    if (l->ending)
        weir_cancel_now(w->cancel);
    wr_mutex_unlock(&l->feeds->mutex);
    return w;
}

static void feed(struct wr_listening *l, const char *name, const struct wr_httpd_request *q,
    struct wr_httpd_reply *r)
{
    char path[WR_FOLLOWER_PATH];
    weir_error err = {0};
    struct wr_fleet_hold h;
    struct wr_feed_wait *w;
    struct asked a;
    int rc = WEIR_BUSY;

    if (!parse(q, &a)) {
        say(r, 400, "id, after, life, part and wait are needed");
        return;
    }
    if (!admit(l, &a, name, path, r))
        return;
    w = new_wait(l, &a, name, path);
    if (!w) {
        say(r, 503, weir_strerror(WEIR_NOMEM));
        return;
    }
    if (hold(l->feeds, w->path, w->cancel, &h, r)) {
        rc = read_held(w, &h, &r->body, &err);
        answer_read(rc, &err, r);
    }
    if (rc == WEIR_OK && a.flows && passes_on(q))
        r->flow = &w->flow;
    else
        free_wait(w);
}

void wr_feeds_answer(void *arg, const struct wr_httpd_request *q, struct wr_httpd_reply *r)
{
    struct wr_listening *l = arg;
    const size_t n = sizeof(FEED_PATH) - 1;
    const char *name = strncmp(q->path, FEED_PATH, n) == 0 ? q->path + n : "";

    if (!may_ask(l, q)) {
        count_refused(l->feeds);
        if (l->token)
            say(r, 401, "the token is missing, or another one");
        else
            say(r, 403,
                "without a token only this machine is served, asked for as localhost, 127.0.0.1 or "
                "[::1]");
    } else if (!wr_str_eq(wr_str(q->method), WR_STR("GET"))) {
        say(r, 405, "Method Not Allowed");
        r->allow = "GET";
    } else if (!name[0]) {
        say(r, 404, "404 page not found: there is /feed/<database>");
    } else if (wr_httpd_query(q, "after")) {
        feed(l, name, q, r);
    } else {
        about(l->feeds, name, r);
    }
}
