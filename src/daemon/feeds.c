/*
 * feeds.c - see feeds.h. Knows who asks, and for which database; what it hands out is the
 * library's.
 */
#include "daemon/feeds.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/sync.h"
#include "daemon/httpd.h"
#include "daemon/listen.h"

#include <weir.h>

#define FEED_PATH  "/feed/"
#define WAIT_MAX   8000  /* ms; less than a connection may be silent */
#define LEASE_MS   30000 /* a follower that was not seen for so long has gone */
#define SPARE      16 /* connections beyond those of followers: of those who ask for the replica */
#define REPLY_MS   20000 /* an answer has so long to be read */
#define NAME_ROOM  512
#define PATH_ROOM  1024
#define URL_ROOM   8192
#define LISTED_MAX 100 /* names in a 404 */

struct follower {
    uint64_t id;     /* 0: nobody */
    int64_t seen_ms; /* monotonic */
    bool served;
    char name[NAME_ROOM], path[PATH_ROOM]; /* that it asked for, and what that is */
};

/* What listens now. Frozen while it does. */
struct listening {
    struct wr_httpd *httpd; /* NULL: nothing does */
    char *addr, *token;     /* NULL: none */
    uint32_t max;
};

struct wr_feeds {
    struct wr_fleet *fleet;
    struct wr_logger *log;
    struct listening at;
    struct wr_mutex mutex;      /* guards all below */
    struct follower *followers; /* at.max of them */
    struct wr_feeds_totals totals;
};

/* ---- who asks ---- */

/* In the same time whatever is sent, but for how long it is. */
static bool may_ask(const struct wr_feeds *f, const struct wr_httpd_request *q)
{
    static const char scheme[] = "Bearer ";
    const char *sent = wr_httpd_header(q, "Authorization");
    const char *token = f->at.token;

    if (!token)
        return true;
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
static struct follower *place_of(struct wr_feeds *f, uint64_t id)
{
    int64_t now = wr_mono_ms(wr_clock_system());
    struct follower *free_one = NULL;

    for (uint32_t i = 0; i < f->at.max; i++) {
        struct follower *x = &f->followers[i];

        if (x->id == id)
            return x;
        if (!free_one && (x->id == 0 || now - x->seen_ms > LEASE_MS))
            free_one = x;
    }
    if (free_one)
        *free_one = (struct follower){.id = id};
    return free_one;
}

/* ---- which database ---- */

struct finding {
    struct wr_str name; /* as asked for */
    char path[PATH_ROOM];
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
    struct wr_feeds *f, const char *name, char path[PATH_ROOM], struct wr_httpd_reply *r)
{
    struct wr_buf listed;
    struct finding x = {.name = wr_str(name), .listed = &listed};
    char full[PATH_ROOM];

    (void)snprintf(full, sizeof(full), "%s%.*s", name[0] == '/' ? "" : "/", PATH_ROOM - 2, name);
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

/* Hold the database; false: answered. */
static bool hold(
    struct wr_feeds *f, const char *path, struct wr_fleet_hold *ret, struct wr_httpd_reply *r)
{
    weir_error err = {0};
    int rc = wr_fleet_hold(f->fleet, path, ret, &err);

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
    char path[PATH_ROOM];

    if (!find(f, name, path, r) || !hold(f, path, &h, r))
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
    bool more;
};

static bool hex_of(const char *s, uint64_t *ret)
{
    return s && wr_parse_hex64(wr_str(s), ret);
}

static bool parse(const struct wr_httpd_request *q, struct asked *ret)
{
    const char *part = wr_httpd_query(q, "part"), *wait = wr_httpd_query(q, "wait");

    *ret = (struct asked){.more = wr_httpd_query(q, "more") != NULL};
    return hex_of(wr_httpd_query(q, "id"), &ret->id) && ret->id != 0 &&
           hex_of(wr_httpd_query(q, "after"), &ret->after) &&
           hex_of(wr_httpd_query(q, "life"), &ret->life) && part &&
           wr_parse_u64(wr_str(part), &ret->part) && ret->part <= UINT32_MAX && wait &&
           wr_parse_u64(wr_str(wait), &ret->wait_ms);
}

/* A place, and the path if it is known; false: answered. */
static bool admit(struct wr_feeds *f, const struct asked *a, const char *name, char path[PATH_ROOM],
    struct wr_httpd_reply *r)
{
    struct follower *x;
    bool known = false;

    wr_mutex_lock(&f->mutex);
    x = place_of(f, a->id);
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

static void note(struct wr_feeds *f, const struct asked *a, const char *name, const char *path,
    int rc, size_t bytes)
{
    struct follower *x;

    wr_mutex_lock(&f->mutex);
    x = place_of(f, a->id);
    f->totals.answers += rc == WEIR_OK;
    f->totals.bytes += rc == WEIR_OK ? bytes : 0;
    f->totals.dropped += rc == WEIR_NOTFOUND && x && x->served;
    if (x) {
        x->seen_ms = wr_mono_ms(wr_clock_system());
        x->served = rc == WEIR_OK || rc == WEIR_TIMEOUT;
        (void)snprintf(x->name, sizeof(x->name), "%s", name); /* what is cut is found again */
        (void)snprintf(x->path, sizeof(x->path), "%s", path);
    }
    wr_mutex_unlock(&f->mutex);
}

static void feed(struct wr_feeds *f, const char *name, const struct wr_httpd_request *q,
    struct wr_httpd_reply *r)
{
    weir_feed_position at = {.struct_size = sizeof(at)};
    weir_error err = {0};
    struct wr_fleet_hold h;
    char path[PATH_ROOM];
    struct asked a;
    int rc;

    if (!parse(q, &a)) {
        say(r, 400, "id, after, life, part and wait are needed");
        return;
    }
    if (!admit(f, &a, name, path, r) || !hold(f, path, &h, r))
        return;
    at.txid = a.after;
    at.life = a.life;
    at.part = (uint32_t)a.part;
    at.more = a.more;
    rc = weir_feed_read(
        h.db, &at, (int64_t)wr_min(a.wait_ms, (uint64_t)WAIT_MAX), h.cancel, put, &r->body, &err);
    wr_fleet_let_go(f->fleet, &h);
    answer_read(rc, &err, r);
    note(f, &a, name, path, rc, r->body.n);
}

static void answer(void *arg, const struct wr_httpd_request *q, struct wr_httpd_reply *r)
{
    struct wr_feeds *f = arg;
    const size_t n = sizeof(FEED_PATH) - 1;
    const char *name = strncmp(q->path, FEED_PATH, n) == 0 ? q->path + n : "";

    if (!may_ask(f, q)) {
        count_refused(f);
        say(r, 401, "the token is missing, or another one");
    } else if (!wr_str_eq(wr_str(q->method), WR_STR("GET"))) {
        say(r, 405, "Method Not Allowed");
        r->allow = "GET";
    } else if (!name[0]) {
        say(r, 404, "404 page not found: there is /feed/<database>");
    } else if (wr_httpd_query(q, "after")) {
        feed(f, name, q, r);
    } else {
        about(f, name, r);
    }
}

/* ---- listening ---- */

struct wr_feeds *wr_feeds_new(struct wr_fleet *fleet, struct wr_logger *log)
{
    struct wr_feeds *f = wr_alloc(sizeof(*f));

    if (!f)
        return NULL;
    f->fleet = fleet;
    f->log = log;
    wr_mutex_init(&f->mutex);
    return f;
}

static void stop(struct wr_feeds *f)
{
    struct listening was = f->at;
    struct follower *followers;

    wr_httpd_free(was.httpd);
    wr_mutex_lock(&f->mutex);
    followers = f->followers;
    f->followers = NULL;
    f->at = (struct listening){0};
    wr_mutex_unlock(&f->mutex);
    if (was.token)
        wr_wipe(was.token, strlen(was.token));
    wr_free(was.token);
    wr_free(was.addr);
    wr_free(followers);
}

void wr_feeds_free(struct wr_feeds *f)
{
    if (!f)
        return;
    stop(f);
    wr_mutex_release(&f->mutex);
    wr_free(f);
}

static enum wr_status copy(const char *from, char **ret, struct wr_err *e)
{
    *ret = from ? wr_strndup(from, strlen(from)) : NULL;
    return *ret || !from ? WR_OK : wr_fail(e, WR_NOMEM, "serve followers");
}

enum wr_status wr_feeds_serve(struct wr_feeds *f, const struct wr_config_serve *c, struct wr_err *e)
{
    struct wr_httpd_opts o = {.fn = answer,
        .arg = f,
        .parallel = true,
        .reply_ms = REPLY_MS,
        .connections_max = c->max_followers + SPARE};
    struct follower *followers;
    enum wr_status st;

    if (wr_str_eq(wr_str(f->at.addr), wr_str(c->addr)) &&
        wr_str_eq(wr_str(f->at.token), wr_str(c->token)) && /* none is the empty one */
        (!c->addr || f->at.max == c->max_followers))
        return WR_OK;
    stop(f);
    if (!c->addr)
        return WR_OK;
    st = copy(c->addr, &f->at.addr, e);
    if (st == WR_OK)
        st = copy(c->token, &f->at.token, e);
    followers = wr_array(c->max_followers, sizeof(*followers));
    if (st == WR_OK && !followers)
        st = wr_fail(e, WR_NOMEM, "serve followers");
    wr_mutex_lock(&f->mutex);
    f->at.max = c->max_followers;
    f->followers = followers;
    wr_mutex_unlock(&f->mutex);
    if (st == WR_OK)
        st = wr_listen_tcp(c->addr, &o.fd, e);
    if (st == WR_OK)
        st = wr_httpd_new(&o, &f->at.httpd, e);
    if (st != WR_OK) {
        stop(f);
        return st;
    }
    wr_say(f->log, WEIR_LOG_INFO, "serving followers", WR_F_Z("addr", c->addr));
    return WR_OK;
}

void wr_feeds_look(struct wr_feeds *f, struct wr_feeds_totals *ret)
{
    int64_t now = wr_mono_ms(wr_clock_system());

    wr_mutex_lock(&f->mutex);
    *ret = f->totals;
    ret->followers = 0;
    for (uint32_t i = 0; f->followers && i < f->at.max; i++)
        ret->followers += f->followers[i].id != 0 && now - f->followers[i].seen_ms <= LEASE_MS;
    wr_mutex_unlock(&f->mutex);
}
