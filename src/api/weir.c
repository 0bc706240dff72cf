/*
 * weir.c - the public API's runtime and databases: argument checks, handle lifetimes, no logic.
 */
#include "api/api_int.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/url.h"

#include <limits.h>
#include <sys/resource.h>
#include <unistd.h>

#define OPEN_MIN    4u
#define FDS_PER_DB  12u                /* eight, and what else there is */
#define PARCEL_ROOM ((size_t)16 << 20) /* bytes of files on their way, beside the small ones */

/* Longer is for ever, and does not overflow. */
#define TIMEOUT_MAX_MS ((int64_t)1000 * 3600 * 1000)
#define LAST_WORD_MS   ((int64_t)2000)

const char *weir_version(void)
{
    return WEIR_VERSION;
}

int weir_version_number(void)
{
    return WEIR_VERSION_NUMBER;
}

const char *weir_strerror(int code)
{
    return wr_status_text((enum wr_status)code);
}

int wr_api_return(weir_error *reterr, enum wr_status st, const struct wr_err *e)
{
    if (st != WR_OK && reterr) {
        reterr->code = (int)st;
        (void)snprintf(reterr->message, sizeof(reterr->message), "%s",
            e->text[0] ? e->text : wr_status_text(st));
    }
    return (int)st;
}

size_t wr_api_struct(size_t caller, size_t ours)
{
    return wr_min(caller, ours);
}

weir_cancel *weir_cancel_new(void)
{
    weir_cancel *c = wr_alloc(sizeof(*c));

    if (c)
        wr_cancel_init(&c->token);
    return c;
}

void weir_cancel_now(weir_cancel *c)
{
    if (c)
        wr_cancel_now(&c->token);
}

void weir_cancel_free(weir_cancel *c)
{
    if (!c)
        return;
    wr_cancel_release(&c->token);
    wr_free(c);
}

struct wr_call wr_api_call(weir *w, struct wr_arena *a, weir_cancel *cancel)
{
    wr_arena_init(a, WR_ARENA_MAX);
    return (struct wr_call){.scratch = a,
        .clock = wr_clock_system(),
        .deadline_ms = WR_NEVER,
        .cancel = cancel ? &cancel->token : NULL,
        .log = &w->engine_log};
}

/* Hand a record to the host in both forms. */
static void forward_log(void *arg, enum wr_log_level level, const char *msg,
    const struct wr_log_field *fields, size_t n)
{
    weir *w = arg;
    struct wr_buf json, text;

    wr_buf_init(&json, 16384);
    wr_buf_init(&text, 16384);
    wr_log_json(&json, fields, n);
    wr_log_text(&text, fields, n);
    w->log(w->log_arg, (int)level + WEIR_LOG_DEBUG, msg,
        wr_buf_status(&json) == WR_OK ? (const char *)json.p : "{}",
        wr_buf_status(&text) == WR_OK ? (const char *)text.p : "");
    wr_buf_release(&json);
    wr_buf_release(&text);
}

/* How many databases are held open at once: all, unless the host has a limit; then no more than
 * there are descriptors for. */
static unsigned seats_of(uint32_t asked)
{
    unsigned seats = asked;
    struct rlimit limit;

    if (asked == 0)
        return UINT_MAX;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        seats = wr_min(seats, (unsigned)wr_min(limit.rlim_cur / FDS_PER_DB, (rlim_t)UINT32_MAX));
    return wr_max(seats, OPEN_MIN);
}

int weir_open(const weir_options *opt, weir **ret, weir_error *reterr)
{
    weir_options o = {0};
    struct wr_err e = {0};
    struct wr_sched_opts so;
    weir *w;
    enum wr_status st;

    if (!ret)
        return wr_api_return(reterr, wr_fail(&e, WR_MISUSE, "weir_open: ret is NULL"), &e);
    if (opt)
        memcpy(&o, opt, wr_api_struct(opt->struct_size, sizeof(o)));
    w = wr_alloc(sizeof(*w));
    if (!w)
        return wr_api_return(reterr, wr_fail(&e, WR_NOMEM, "open the runtime"), &e);
    w->log = o.log;
    w->log_arg = o.log_arg;
    w->engine_log = (struct wr_log){.sink = o.log ? forward_log : NULL,
        .arg = w,
        .min_level =
            (enum wr_log_level)((o.log_level ? o.log_level : WEIR_LOG_INFO) - WEIR_LOG_DEBUG)};
    so = (struct wr_sched_opts){.log = &w->engine_log,
        .threads_max = {o.local_threads_max, o.net_threads_max, o.bulk_threads_max}};
    w->http = wr_storage_share_new();
    st = w->http ? wr_sched_new(&so, &w->sched, &e) : wr_fail(&e, WR_NOMEM, "open the runtime");
    if (st != WR_OK) {
        wr_storage_share_free(w->http);
        wr_free(w);
        return wr_api_return(reterr, st, &e);
    }
    wr_mutex_init(&w->mutex);
    wr_seats_init(&w->seats, seats_of(o.open_max));
    wr_parcel_room_init(&w->parcel_room, WR_PARCEL_MEMORY_MAX, WR_PARCEL_ROOM_MAX, PARCEL_ROOM);
    if (wr_watch_new(false, &w->watch, &e) != WR_OK) {
        wr_log(&w->engine_log, WR_WARN, "no file notification, looking every second instead",
            WR_F_Z("error", e.text));
    }
    *ret = w;
    return WEIR_OK;
}

static void db_handle_free(weir_db *h)
{
    wr_db_free(h->db);
    for (size_t i = 0; i < h->n_urls; i++)
        wr_free(h->urls[i]);
    wr_free(h->path);
    wr_free(h);
}

static int64_t end_after(int64_t timeout_ms)
{
    return wr_mono_ns(wr_clock_system()) + wr_min(timeout_ms, TIMEOUT_MAX_MS) * 1000000;
}

/* The last sync of one database, within what is left of the time. */
static enum wr_status last_sync(weir_db *h, int64_t end_ns, struct wr_err *e)
{
    int64_t left_ms = (end_ns - wr_mono_ns(wr_clock_system())) / 1000000;
    uint64_t txid;
    enum wr_status st =
        wr_db_sync(h->db, WR_DB_SYNC_REMOTE, wr_max(left_ms, (int64_t)1), NULL, &txid, e);

    /* A database that never existed has nothing to lose. */
    if (st == WR_NOTFOUND)
        return WR_OK;
    return st == WR_OK ? WR_OK : wr_wrap(e, st, "last sync of %s", h->path);
}

/* How long replicas may take to say how far they reach, which is no more than useful. */
static int64_t last_word_end(int64_t end_ns)
{
    return wr_min(end_ns, end_after(LAST_WORD_MS));
}

int weir_close(weir *w, int64_t timeout_ms, weir_error *reterr)
{
    int64_t end = end_after(timeout_ms);
    struct wr_err first = {0};
    enum wr_status st = WR_OK;
    weir_db *h;

    if (!w)
        return WEIR_OK;
    /* Ask all before waiting for any: they sync at the same time. */
    for (h = w->dbs; h && timeout_ms > 0; h = h->next) {
        uint64_t ticket;

        wr_db_sync_begin(h->db, &ticket);
    }
    for (h = w->dbs; h && timeout_ms > 0; h = h->next) {
        struct wr_err e = {0};
        enum wr_status one = h->n_urls > 0 ? last_sync(h, end, &e) : WR_OK;

        if (st == WR_OK && one != WR_OK) {
            st = one;
            first = e;
        }
    }
    for (h = w->dbs; h && timeout_ms > 0; h = h->next)
        wr_db_leave_replicas(h->db);
    end = last_word_end(end);
    for (h = w->dbs; h && timeout_ms > 0; h = h->next)
        wr_db_leave_await(h->db, end);
    while ((h = w->dbs) != NULL) {
        w->dbs = h->next;
        db_handle_free(h);
    }
    wr_watch_free(w->watch);
    wr_sched_free(w->sched);
    wr_storage_share_free(w->http);
    wr_seats_release(&w->seats);
    wr_parcel_room_rest(&w->parcel_room);
    wr_mutex_release(&w->mutex);
    wr_free(w);
    return wr_api_return(reterr, st, &first);
}

static char *absolute(const char *path)
{
    struct wr_buf b;
    char cwd[4096];
    char *z = NULL;

    if (path[0] == '/')
        return wr_strndup(path, strlen(path));
    if (!getcwd(cwd, sizeof(cwd)))
        return NULL;
    wr_buf_init(&b, 16384);
    wr_buf_fmt(&b, "%s/%s", cwd, path);
    if (wr_buf_status(&b) == WR_OK)
        z = wr_strndup((const char *)b.p, b.n);
    wr_buf_release(&b);
    return z;
}

/* Make it findable, unless the path is taken. */
static bool enlist(weir *w, weir_db *h)
{
    bool known = false;

    wr_mutex_lock(&w->mutex);
    for (weir_db *d = w->dbs; d; d = d->next)
        known = known || strcmp(d->path, h->path) == 0;
    if (!known) {
        h->next = w->dbs;
        w->dbs = h;
    }
    wr_mutex_unlock(&w->mutex);
    return !known;
}

int weir_db_add(
    weir *w, const char *path, const char *const *settings, weir_db **ret, weir_error *reterr)
{
    struct wr_db_opts o = {0};
    struct wr_err e = {0};
    weir_db *h = NULL;
    enum wr_status st;

    if (!w || !path || !path[0] || !ret)
        return wr_api_return(
            reterr, wr_fail(&e, WR_MISUSE, "weir_db_add: an argument is missing"), &e);
    st = wr_api_db_settings(settings, &o, &e);
    if (st != WR_OK)
        return wr_api_return(reterr, wr_wrap(&e, st, "%s", path), &e);
    h = wr_alloc(sizeof(*h));
    if (!h || !(h->path = absolute(path))) {
        wr_free(h);
        return wr_api_return(reterr, wr_fail(&e, WR_NOMEM, "add %s", path), &e);
    }
    h->w = w;
    o.path = h->path;
    o.fs = wr_fs_giving();
    o.watch = w->watch;
    o.seats = &w->seats;
    o.room = &w->parcel_room;
    st = wr_db_new(w->sched, &o, &h->db, &e);
    if (st == WR_OK && !enlist(w, h)) {
        wr_db_free(h->db);
        st = wr_fail(&e, WR_CONFLICT,
            "%s is listed twice: a database can be replicated only once, to several replicas",
            h->path);
    }
    if (st != WR_OK) {
        wr_free(h->path);
        wr_free(h);
        return wr_api_return(reterr, st, &e);
    }
    wr_db_start(h->db);
    *ret = h;
    return WEIR_OK;
}

/* Reserve the URL: two databases in one replica would destroy each other's history. */
static enum wr_status claim_url(weir_db *h, struct wr_str name, struct wr_err *e)
{
    weir *w = h->w;
    char *copy = wr_strndup(name.p, name.n);
    enum wr_status st = copy ? WR_OK : wr_fail(e, WR_NOMEM, "add a replica");

    wr_mutex_lock(&w->mutex);
    for (weir_db *d = w->dbs; d && st == WR_OK; d = d->next) {
        for (size_t i = 0; i < d->n_urls && st == WR_OK; i++) {
            if (wr_str_eq(wr_str(d->urls[i]), name)) {
                st = wr_fail(e, WR_CONFLICT,
                    WR_FMT " is already the replica of %s: give each "
                           "database its own URL",
                    WR_ARG(name), d->path);
            }
        }
    }
    if (st == WR_OK && h->n_urls == WR_REPLICAS_MAX)
        st = wr_fail(e, WR_LIMIT, "a database can have at most %d replicas", WR_REPLICAS_MAX);
    if (st == WR_OK) {
        h->urls[h->n_urls++] = copy;
        copy = NULL;
    }
    wr_mutex_unlock(&w->mutex);
    wr_free(copy);
    return st;
}

static void unclaim_url(weir_db *h, struct wr_str name)
{
    weir *w = h->w;

    wr_mutex_lock(&w->mutex);
    if (h->n_urls > 0 && wr_str_eq(wr_str(h->urls[h->n_urls - 1]), name))
        wr_free(h->urls[--h->n_urls]);
    wr_mutex_unlock(&w->mutex);
}

int weir_db_add_replica(
    weir_db *db, const char *url, const char *const *settings, weir_error *reterr)
{
    struct api_replica_settings own = {0};
    struct wr_storage *storage = NULL;
    struct wr_err e = {0};
    char *name = NULL;
    enum wr_status st;

    if (!db || !url)
        return wr_api_return(
            reterr, wr_fail(&e, WR_MISUSE, "weir_db_add_replica: an argument is missing"), &e);
    st = wr_api_replica_settings(settings, &own, &e);
    if (st == WR_OK)
        st = wr_api_open_storage(db->w, url, own.rest, &storage, &e);
    if (st == WR_OK) {
        /* A name of our own: the storage belongs to the database from here on. */
        struct wr_str its = wr_storage_name(storage);

        name = wr_strndup(its.p, its.n);
        st = name ? claim_url(db, wr_str(name), &e) : wr_fail(&e, WR_NOMEM, "add a replica");
        if (st != WR_OK) {
            wr_storage_close(storage);
        } else {
            st = own.adopt ? wr_db_adopt_replica(db->db, storage, own.sync_interval_ns, &e)
                           : wr_db_add_replica(db->db, storage, own.sync_interval_ns, &e);
            if (st != WR_OK)
                unclaim_url(db, wr_str(name));
        }
    }
    wr_free(name);
    wr_free(own.rest);
    return wr_api_return(reterr, st, &e);
}

int weir_db_remove(weir_db *db, int64_t timeout_ms, weir_error *reterr)
{
    int64_t end = end_after(timeout_ms);
    struct wr_err e = {0};
    enum wr_status st = WR_OK;
    weir *w;

    if (!db)
        return WEIR_OK;
    w = db->w;
    if (timeout_ms > 0 && db->n_urls > 0) {
        st = last_sync(db, end, &e);
        wr_db_leave_replicas(db->db);
        wr_db_leave_await(db->db, last_word_end(end));
    }
    wr_mutex_lock(&w->mutex);
    for (weir_db **p = &w->dbs; *p; p = &(*p)->next) {
        if (*p == db) {
            *p = db->next;
            break;
        }
    }
    wr_mutex_unlock(&w->mutex);
    db_handle_free(db);
    return wr_api_return(reterr, st, &e);
}

int weir_db_sync(weir_db *db, int how, int64_t timeout_ms, weir_cancel *cancel, weir_txid *ret_txid,
    weir_error *reterr)
{
    static const enum wr_db_sync_how hows[] = {
        [WEIR_SYNC_LOCAL] = WR_DB_SYNC_LOCAL,
        [WEIR_SYNC_REMOTE] = WR_DB_SYNC_REMOTE,
        [WEIR_SYNC_AWAIT] = WR_DB_SYNC_AWAIT,
    };
    struct wr_err e = {0};
    uint64_t txid = 0;
    enum wr_status st;

    if (!db || how < WEIR_SYNC_LOCAL || how > WEIR_SYNC_AWAIT)
        return wr_api_return(reterr, wr_fail(&e, WR_MISUSE, "weir_db_sync: bad argument"), &e);
    st = wr_db_sync(db->db, hows[how], timeout_ms, cancel ? &cancel->token : NULL, &txid, &e);
    if (st == WR_OK && ret_txid)
        *ret_txid = txid;
    return wr_api_return(reterr, st, &e);
}

int weir_on_change(weir *w, void (*changed)(void *arg), void *arg, weir_error *reterr)
{
    struct wr_err e = {0};

    if (!w)
        return wr_api_return(reterr, wr_fail(&e, WR_MISUSE, "weir_on_change: w is NULL"), &e);
    if (!w->watch)
        return wr_api_return(reterr, wr_fail(&e, WR_UNSUPPORTED, "inotify is not to be had"), &e);
    wr_watch_tell(w->watch, changed, arg);
    return wr_api_return(reterr, WR_OK, &e);
}

int64_t weir_held_ms(weir *w)
{
    int64_t longest_ns = 0;

    if (!w)
        return 0;
    wr_mutex_lock(&w->mutex);
    for (const weir_db *h = w->dbs; h; h = h->next)
        longest_ns = wr_max(longest_ns, wr_db_sealed_ns(h->db));
    wr_mutex_unlock(&w->mutex);
    return longest_ns / 1000000;
}
