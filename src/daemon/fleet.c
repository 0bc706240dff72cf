/*
 * fleet.c - see fleet.h. The list is sorted by path. One call at a time changes a member; whoever
 * takes its handle away waits, outside the lock, until those who hold it have let go.
 */
#include "daemon/fleet.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/sync.h"
#include "daemon/config_copy.h"
#include "daemon/missing.h"

struct member {
    struct wr_config_db *config; /* owned; frozen */
    weir_db *db;                 /* NULL: stopped */
    weir_txid txid;              /* the newest when it was ended; 0: it never was */
    weir_cancel *cancel;         /* of those who hold it; NULL with it */
    struct wr_list own;          /* holds that have another one */
    bool canceled;               /* all of them, until it is begun with anew */
    unsigned holders;            /* of db, or of config in wr_fleet_each */
    bool changing;               /* somebody is about to add, start, stop or remove it */
};

struct wr_fleet {
    weir *w;
    struct wr_logger *log;
    weir_cancel *ending; /* of last syncs: the process ends; frozen once there is a member */
    weir_cancel *own;    /* that one, unless wr_fleet_ends_with has given another */
    struct wr_absent *absent;
    struct wr_refused refused;

    struct wr_mutex mutex; /* guards the rest */
    struct wr_cond idle;   /* somebody has let go */
    struct member **members;
    size_t n, cap;
    uint64_t begun; /* times that one was added or started */
    bool over;
};

static const struct wr_fleet_start as_it_says = {.adopt = false};

static int fail(weir_error *reterr, int code, const char *path, const char *text)
{
    char line[1024];

    reterr->code = code;
    /* A cut path is better than a cut reason. */
    (void)snprintf(line, sizeof(line), "%.200s: %s", path, text);
    (void)snprintf(
        reterr->message, sizeof(reterr->message), "%.*s", (int)sizeof(reterr->message) - 1, line);
    return code;
}

static int out_of_memory(weir_error *reterr, const char *path)
{
    return fail(reterr, WEIR_NOMEM, path, weir_strerror(WEIR_NOMEM));
}

struct wr_fleet *wr_fleet_new(weir *w, struct wr_logger *log)
{
    struct wr_fleet *f = wr_alloc(sizeof(*f));

    if (!f)
        return NULL;
    f->ending = f->own = weir_cancel_new();
    f->absent = wr_absent_new();
    if (!f->own || !f->absent) {
        weir_cancel_free(f->own);
        wr_absent_free(f->absent);
        wr_free(f);
        return NULL;
    }
    f->w = w;
    f->log = log;
    wr_refused_init(&f->refused, wr_wall_ms(wr_clock_system()));
    wr_mutex_init(&f->mutex);
    wr_cond_init(&f->idle);
    return f;
}

void wr_fleet_ends_with(struct wr_fleet *f, weir_cancel *c)
{
    f->ending = c;
}

struct wr_absent *wr_fleet_absent(struct wr_fleet *f)
{
    return f->absent;
}

struct wr_refused *wr_fleet_refused(struct wr_fleet *f)
{
    return &f->refused;
}

static void member_free(struct member *m)
{
    weir_cancel_free(m->cancel);
    wr_free(m->config);
    wr_free(m);
}

void wr_fleet_free(struct wr_fleet *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->n; i++) {
        assert(f->members[i]->holders == 0 && !f->members[i]->changing);
        member_free(f->members[i]);
    }
    weir_cancel_free(f->own);
    wr_absent_free(f->absent);
    wr_free(f->members);
    wr_cond_release(&f->idle);
    wr_mutex_release(&f->mutex);
    wr_refused_release(&f->refused);
    wr_free(f);
}

/* Whoever holds it is to let go. */
static void cancel_holders(struct wr_fleet *f, struct member *m)
{
    assert(wr_mutex_mine(&f->mutex));
    m->canceled = true;
    if (m->cancel)
        weir_cancel_now(m->cancel);
    for (struct wr_link *x = wr_list_first(&m->own); x; x = wr_list_next(&m->own, x))
        weir_cancel_now(wr_container_of(x, struct wr_fleet_hold, link)->cancel);
}

void wr_fleet_cancel(struct wr_fleet *f)
{
    wr_mutex_lock(&f->mutex);
    f->over = true;
    weir_cancel_now(f->ending);
    for (size_t i = 0; i < f->n; i++)
        cancel_holders(f, f->members[i]);
    wr_mutex_unlock(&f->mutex);
}

/* Where the path is, or would be. */
static bool find(const struct wr_fleet *f, const char *path, size_t *ret)
{
    size_t low = 0, high = f->n;

    assert(wr_mutex_mine(&f->mutex));
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = strcmp(f->members[mid]->config->path, path);

        if (c == 0) {
            *ret = mid;
            return true;
        }
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *ret = low;
    return false;
}

/* Put `m` into the list, as being changed. */
static int enlist(struct wr_fleet *f, struct member *m, weir_error *reterr)
{
    const char *path = m->config->path;
    int rc = WEIR_OK;
    size_t at = 0;

    wr_mutex_lock(&f->mutex);
    if (f->over) {
        rc = fail(reterr, WEIR_CANCELED, path, "shutting down");
    } else if (find(f, path, &at)) {
        rc = fail(reterr, WEIR_CONFLICT, path, "is replicated already");
    } else if (f->n == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : 16;
        struct member **bigger = wr_resize(f->members, cap, sizeof(struct member *));

        if (bigger) {
            f->members = bigger;
            f->cap = cap;
        } else {
            rc = out_of_memory(reterr, path);
        }
    }
    if (rc == WEIR_OK) {
        memmove(f->members + at + 1, f->members + at, (f->n - at) * sizeof(struct member *));
        f->members[at] = m;
        f->n++;
        m->changing = true;
    }
    wr_mutex_unlock(&f->mutex);
    return rc;
}

static void delist(struct wr_fleet *f, struct member *m)
{
    size_t at;

    wr_mutex_lock(&f->mutex);
    if (find(f, m->config->path, &at)) {
        f->n--;
        memmove(f->members + at, f->members + at + 1, (f->n - at) * sizeof(struct member *));
    }
    while (m->holders > 0)
        wr_cond_wait(&f->idle, &f->mutex);
    wr_mutex_unlock(&f->mutex);
    member_free(m);
}

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
        return out_of_memory(reterr, path);
    rc = weir_db_add_replica(db, r->url, settings, &err);
    if (rc != WEIR_OK)
        return fail(reterr, rc, path, err.message);
    say_replica(f, path, r, a);
    return WEIR_OK;
}

/* Hand it to the library, with all its replicas or not at all. `from` is one of `c`'s, or NULL. */
static int begin(struct wr_fleet *f, const struct wr_config_db *c, const struct wr_fleet_start *how,
    size_t from, weir_db **ret, weir_error *reterr)
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
             ? out_of_memory(&err, c->path)
             : weir_db_add(f->w, c->path, settings, &db, &err);
    if (rc != WEIR_OK) {
        /* The library names the path itself when it is about the path. */
        (void)fail(reterr, rc, c->path, err.message);
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

/* Begin `m`, which is being changed. */
static int begin_member(struct wr_fleet *f, struct member *m, const struct wr_fleet_start *how,
    size_t from, weir_error *reterr)
{
    weir_cancel *cancel = weir_cancel_new();
    weir_db *db = NULL;
    int rc = cancel ? begin(f, m->config, how, from, &db, reterr)
                    : out_of_memory(reterr, m->config->path);

    if (rc != WEIR_OK) {
        weir_cancel_free(cancel);
        return rc;
    }
    wr_mutex_lock(&f->mutex);
    m->db = db;
    m->cancel = cancel;
    m->canceled = f->over;
    f->begun++;
    if (f->over)
        weir_cancel_now(cancel);
    wr_mutex_unlock(&f->mutex);
    return WEIR_OK;
}

static void unclaim(struct wr_fleet *f, struct member *m)
{
    wr_mutex_lock(&f->mutex);
    m->changing = false;
    wr_mutex_unlock(&f->mutex);
}

int wr_fleet_add(struct wr_fleet *f, const struct wr_config_db *db,
    const struct wr_fleet_start *how, weir_error *reterr)
{
    const struct wr_config_replica *source = how ? how->restored_from : NULL;
    size_t from = source ? (size_t)(source - db->replicas) : SIZE_MAX;
    struct member *m = wr_alloc(sizeof(*m));
    int rc;

    if (!m || !(m->config = wr_config_db_copy(db))) {
        wr_free(m);
        return out_of_memory(reterr, db->path);
    }
    wr_list_init(&m->own);
    rc = enlist(f, m, reterr);
    if (rc != WEIR_OK) {
        member_free(m);
        return rc;
    }
    rc = begin_member(f, m, how ? how : &as_it_says, from, reterr);
    if (rc == WEIR_OK) {
        wr_absent_drop(f->absent, db->path);
        unclaim(f, m);
    } else {
        delist(f, m);
    }
    return rc;
}

/* Find a member and be the one who changes it. */
static int claim(struct wr_fleet *f, const char *path, struct member **ret, weir_error *reterr)
{
    int rc = WEIR_OK;
    size_t at;

    wr_mutex_lock(&f->mutex);
    if (f->over) {
        rc = fail(reterr, WEIR_CANCELED, path, "shutting down");
    } else if (!find(f, path, &at)) {
        rc = fail(reterr, WEIR_NOTFOUND, path, "database not found");
    } else if (f->members[at]->changing) {
        rc = fail(reterr, WEIR_BUSY, path, "is being started, stopped or removed, try again");
    } else {
        *ret = f->members[at];
        (*ret)->changing = true;
    }
    wr_mutex_unlock(&f->mutex);
    return rc;
}

/* Give the handle back that was taken from `m`: weir_close makes its last sync. */
static void leave(struct wr_fleet *f, struct member *m, weir_db *db, weir_cancel *cancel)
{
    wr_mutex_lock(&f->mutex);
    m->db = db;
    m->cancel = cancel;
    wr_mutex_unlock(&f->mutex);
}

/* Take the handle of `m`, which is being changed, from all who hold it, and end it. CANCELED: the
 * whole process is about to end, and it goes on until then. */
static int end(struct wr_fleet *f, struct member *m, int64_t timeout_ms, weir_error *reterr)
{
    weir_db_info info = {.struct_size = sizeof(info)};
    weir_error err = {0};
    int rc = WEIR_OK;
    weir_cancel *cancel;
    weir_db *db;

    wr_mutex_lock(&f->mutex);
    cancel_holders(f, m);
    db = m->db;
    cancel = m->cancel;
    m->db = NULL;
    m->cancel = NULL;
    while (m->holders > 0)
        wr_cond_wait(&f->idle, &f->mutex);
    wr_mutex_unlock(&f->mutex);
    if (!db)
        return WEIR_OK;
    if (timeout_ms > 0)
        rc = weir_db_sync(db, WEIR_SYNC_REMOTE, timeout_ms, f->ending, NULL, &err);
    if (rc == WEIR_NOTFOUND) /* a database that never existed has nothing to lose */
        rc = WEIR_OK;
    if (rc != WEIR_OK)
        (void)fail(reterr, rc, m->config->path, err.message);
    if (rc == WEIR_CANCELED) {
        leave(f, m, db, cancel);
        return rc;
    }
    (void)weir_db_status(db, &info, NULL); /* cannot fail: the handle is good */
    wr_mutex_lock(&f->mutex);
    m->txid = wr_max(m->txid, info.txid); /* it may not have been attached again */
    wr_mutex_unlock(&f->mutex);
    (void)weir_db_remove(db, 0, NULL);
    weir_cancel_free(cancel);
    return rc;
}

int wr_fleet_remove(struct wr_fleet *f, const char *path, int64_t timeout_ms, weir_txid *ret_txid,
    weir_error *reterr)
{
    struct member *m = NULL;
    int rc = claim(f, path, &m, reterr);

    if (rc != WEIR_OK)
        return rc;
    rc = end(f, m, timeout_ms, reterr);
    if (rc == WEIR_CANCELED) {
        unclaim(f, m);
        return rc;
    }
    if (ret_txid)
        *ret_txid = m->txid;
    wr_say(f->log, WEIR_LOG_INFO, "removed database from replication",
        WR_F_Z("path", m->config->path));
    delist(f, m);
    return rc;
}

int wr_fleet_stop(struct wr_fleet *f, const char *path, int64_t timeout_ms, bool *ret_was,
    weir_txid *ret_txid, weir_error *reterr)
{
    struct member *m = NULL;
    int rc = claim(f, path, &m, reterr);

    if (rc != WEIR_OK)
        return rc;
    *ret_was = !m->db;
    if (m->db)
        rc = end(f, m, timeout_ms, reterr);
    if (ret_txid)
        *ret_txid = m->txid;
    if (!*ret_was && rc != WEIR_CANCELED)
        wr_say(f->log, WEIR_LOG_INFO, "stopped replication", WR_F_Z("path", m->config->path));
    unclaim(f, m);
    return rc;
}

int wr_fleet_start(struct wr_fleet *f, const char *path, bool *ret_was, weir_error *reterr)
{
    struct member *m = NULL;
    int rc = claim(f, path, &m, reterr);

    if (rc != WEIR_OK)
        return rc;
    *ret_was = m->db != NULL;
    if (!m->db)
        rc = begin_member(f, m, &as_it_says, SIZE_MAX, reterr);
    unclaim(f, m);
    return rc;
}

int wr_fleet_hold(
    struct wr_fleet *f, const char *path, struct wr_fleet_hold *ret, weir_error *reterr)
{
    return wr_fleet_hold_with(f, path, NULL, ret, reterr);
}

int wr_fleet_hold_with(struct wr_fleet *f, const char *path, weir_cancel *own,
    struct wr_fleet_hold *ret, weir_error *reterr)
{
    int rc = WEIR_OK;
    size_t at;

    wr_mutex_lock(&f->mutex);
    if (!find(f, path, &at)) {
        rc = fail(reterr, WEIR_NOTFOUND, path, "database not found");
    } else if (!f->members[at]->db) {
        rc = fail(reterr, WEIR_UNSUPPORTED, path, "is stopped");
    } else {
        struct member *m = f->members[at];

        m->holders++;
        *ret = (struct wr_fleet_hold){.db = m->db, .cancel = own ? own : m->cancel, .member = m};
        if (own)
            wr_list_push(&m->own, &ret->link);
        if (own && m->canceled)
            weir_cancel_now(own);
    }
    wr_mutex_unlock(&f->mutex);
    return rc;
}

static void let_go(struct wr_fleet *f, struct member *m)
{
    wr_mutex_lock(&f->mutex);
    assert(m->holders > 0);
    if (--m->holders == 0)
        wr_cond_broadcast(&f->idle);
    wr_mutex_unlock(&f->mutex);
}

void wr_fleet_let_go(struct wr_fleet *f, struct wr_fleet_hold *h)
{
    if (h->link.next) {
        wr_mutex_lock(&f->mutex);
        wr_list_remove(&h->link);
        wr_mutex_unlock(&f->mutex);
    }
    let_go(f, h->member);
    *h = (struct wr_fleet_hold){0};
}

size_t wr_fleet_count(struct wr_fleet *f)
{
    size_t n;

    wr_mutex_lock(&f->mutex);
    n = f->n;
    wr_mutex_unlock(&f->mutex);
    return n;
}

int wr_fleet_txid(struct wr_fleet *f, const char *path, weir_txid *ret, weir_error *reterr)
{
    weir_db_info info = {.struct_size = sizeof(info)};
    struct wr_fleet_hold hold;
    weir_txid last = 0;
    size_t at;
    int rc;

    wr_mutex_lock(&f->mutex);
    if (find(f, path, &at))
        last = f->members[at]->txid;
    wr_mutex_unlock(&f->mutex);
    rc = wr_fleet_hold(f, path, &hold, reterr);
    if (rc == WEIR_OK) {
        (void)weir_db_status(hold.db, &info, NULL); /* cannot fail: the handle is good */
        wr_fleet_let_go(f, &hold);
    } else if (rc != WEIR_UNSUPPORTED) {
        return rc;
    }
    *ret = wr_max(last, info.txid);
    return WEIR_OK;
}

uint64_t wr_fleet_begun(struct wr_fleet *f)
{
    uint64_t n;

    wr_mutex_lock(&f->mutex);
    n = f->begun;
    wr_mutex_unlock(&f->mutex);
    return n;
}

bool wr_fleet_has(struct wr_fleet *f, const char *path)
{
    size_t at;
    bool has;

    wr_mutex_lock(&f->mutex);
    has = find(f, path, &at);
    wr_mutex_unlock(&f->mutex);
    return has;
}

/* The one behind `last`, which is held, if only by us, and may be out of the list by now; NULL: the
 * first. It is held then. */
static struct member *hold_next(struct wr_fleet *f, const struct member *last, weir_db **ret)
{
    struct member *m = NULL;
    size_t at = 0;

    wr_mutex_lock(&f->mutex);
    if (last && find(f, last->config->path, &at))
        at++;
    if (at < f->n) {
        m = f->members[at];
        m->holders++;
        *ret = m->db; /* stays, as it is held */
    }
    wr_mutex_unlock(&f->mutex);
    return m;
}

void wr_fleet_each(struct wr_fleet *f, wr_fleet_fn *fn, void *arg)
{
    weir_db *db = NULL;
    struct member *m = hold_next(f, NULL, &db);

    while (m) {
        struct member *next;

        fn(arg, m->config, db);
        next = hold_next(f, m, &db);
        let_go(f, m);
        m = next;
    }
}
