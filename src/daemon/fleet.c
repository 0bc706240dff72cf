/*
 * fleet.c - see fleet.h. The list is sorted by path. One call at a time changes a member; whoever
 * takes its handle away waits, outside the lock, until those who hold it have let go.
 */
#include "daemon/fleet_int.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/sorted.h"
#include "daemon/config_copy.h"
#include "daemon/standing.h"

static const struct wr_fleet_start as_it_says = {.adopt = false};

int wr_fleet_fail(weir_error *reterr, int code, const char *path, const char *text)
{
    char line[1024];

    reterr->code = code;
    /* A cut path is better than a cut reason. */
    (void)snprintf(line, sizeof(line), "%.200s: %s", path, text);
    (void)snprintf(
        reterr->message, sizeof(reterr->message), "%.*s", (int)sizeof(reterr->message) - 1, line);
    return code;
}

int wr_fleet_no_memory(weir_error *reterr, const char *path)
{
    return wr_fleet_fail(reterr, WEIR_NOMEM, path, weir_strerror(WEIR_NOMEM));
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

static void member_free(struct wr_fleet_member *m)
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
static void cancel_holders(struct wr_fleet *f, struct wr_fleet_member *m)
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

static int by_path(const void *items, size_t i, const void *path)
{
    return strcmp(((struct wr_fleet_member *const *)items)[i]->config->path, path);
}

bool wr_fleet_find(const struct wr_fleet *f, const char *path, size_t *ret)
{
    assert(wr_mutex_mine(&f->mutex));
    return wr_sorted_find(f->members, f->n, by_path, path, ret);
}

/* Put `m` into the list, as being changed. */
static int enlist(struct wr_fleet *f, struct wr_fleet_member *m, weir_error *reterr)
{
    const char *path = m->config->path;
    int rc = WEIR_OK;
    size_t at = 0;

    wr_mutex_lock(&f->mutex);
    if (f->over) {
        rc = wr_fleet_fail(reterr, WEIR_CANCELED, path, "shutting down");
    } else if (wr_fleet_find(f, path, &at)) {
        rc = wr_fleet_fail(reterr, WEIR_CONFLICT, path, "is replicated already");
    } else {
        struct wr_fleet_member **all =
            wr_room(f->members, f->n, &f->cap, 16, sizeof(struct wr_fleet_member *));

        if (all)
            f->members = all;
        else
            rc = wr_fleet_no_memory(reterr, path);
    }
    if (rc == WEIR_OK) {
        memmove(
            f->members + at + 1, f->members + at, (f->n - at) * sizeof(struct wr_fleet_member *));
        f->members[at] = m;
        f->n++;
        m->changing = true;
    }
    wr_mutex_unlock(&f->mutex);
    return rc;
}

static void delist(struct wr_fleet *f, struct wr_fleet_member *m)
{
    size_t at;

    wr_mutex_lock(&f->mutex);
    if (wr_fleet_find(f, m->config->path, &at)) {
        f->n--;
        memmove(
            f->members + at, f->members + at + 1, (f->n - at) * sizeof(struct wr_fleet_member *));
    }
    while (m->holders > 0)
        wr_cond_wait(&f->idle, &f->mutex);
    wr_mutex_unlock(&f->mutex);
    member_free(m);
}

/* Begin `m`, which is being changed. */
static int begin_member(struct wr_fleet *f, struct wr_fleet_member *m,
    const struct wr_fleet_start *how, size_t from, weir_error *reterr)
{
    weir_cancel *cancel = weir_cancel_new();
    weir_db *db = NULL;
    int rc = cancel ? wr_fleet_begin(f, m->config, how, from, &db, reterr)
                    : wr_fleet_no_memory(reterr, m->config->path);

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

static void unclaim(struct wr_fleet *f, struct wr_fleet_member *m)
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
    struct wr_fleet_member *m = wr_alloc(sizeof(*m));
    int rc;

    if (!m || !(m->config = wr_config_db_copy(db))) {
        wr_free(m);
        return wr_fleet_no_memory(reterr, db->path);
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
static int claim(
    struct wr_fleet *f, const char *path, struct wr_fleet_member **ret, weir_error *reterr)
{
    int rc = WEIR_OK;
    size_t at;

    wr_mutex_lock(&f->mutex);
    if (f->over) {
        rc = wr_fleet_fail(reterr, WEIR_CANCELED, path, "shutting down");
    } else if (!wr_fleet_find(f, path, &at)) {
        rc = wr_fleet_fail(reterr, WEIR_NOTFOUND, path, "database not found");
    } else if (f->members[at]->changing) {
        rc = wr_fleet_fail(
            reterr, WEIR_BUSY, path, "is being started, stopped or removed, try again");
    } else {
        *ret = f->members[at];
        (*ret)->changing = true;
    }
    wr_mutex_unlock(&f->mutex);
    return rc;
}

/* Give the handle back that was taken from `m`: weir_close makes its last sync. */
static void leave(struct wr_fleet *f, struct wr_fleet_member *m, weir_db *db, weir_cancel *cancel)
{
    wr_mutex_lock(&f->mutex);
    m->db = db;
    m->cancel = cancel;
    wr_mutex_unlock(&f->mutex);
}

/* Take the handle of `m`, which is being changed, from all who hold it, and end it. CANCELED: the
 * whole process is about to end, and it goes on until then. */
static int end(
    struct wr_fleet *f, struct wr_fleet_member *m, int64_t timeout_ms, weir_error *reterr)
{
    struct wr_standing at_last;
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
        (void)wr_fleet_fail(reterr, rc, m->config->path, err.message);
    if (rc == WEIR_CANCELED) {
        leave(f, m, db, cancel);
        return rc;
    }
    wr_standing(db, &at_last);
    wr_mutex_lock(&f->mutex);
    m->txid = wr_max(m->txid, at_last.db.txid); /* it may not have been attached again */
    m->last_sync_ms = wr_max(m->last_sync_ms, at_last.last_sync_ms);
    wr_mutex_unlock(&f->mutex);
    (void)weir_db_remove(db, 0, NULL);
    weir_cancel_free(cancel);
    return rc;
}

int wr_fleet_remove(struct wr_fleet *f, const char *path, int64_t timeout_ms, weir_txid *ret_txid,
    weir_error *reterr)
{
    struct wr_fleet_member *m = NULL;
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
    struct wr_fleet_member *m = NULL;
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
    struct wr_fleet_member *m = NULL;
    int rc = claim(f, path, &m, reterr);

    if (rc != WEIR_OK)
        return rc;
    *ret_was = m->db != NULL;
    if (!m->db)
        rc = begin_member(f, m, &as_it_says, SIZE_MAX, reterr);
    unclaim(f, m);
    return rc;
}
