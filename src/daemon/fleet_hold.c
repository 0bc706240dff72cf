/*
 * fleet_hold.c - those who hold a database of the list, or look at it; refuses to change one.
 */
#include "daemon/fleet_int.h"

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
    if (!wr_fleet_find(f, path, &at)) {
        rc = wr_fleet_fail(reterr, WEIR_NOTFOUND, path, "database not found");
    } else if (!f->members[at]->db) {
        rc = wr_fleet_fail(reterr, WEIR_UNSUPPORTED, path, "is stopped");
    } else {
        struct wr_fleet_member *m = f->members[at];

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

/* Under the lock. */
static void let_go(struct wr_fleet *f, struct wr_fleet_member *m)
{
    assert(wr_mutex_mine(&f->mutex));
    assert(m->holders > 0);
    if (--m->holders == 0)
        wr_cond_broadcast(&f->idle);
}

void wr_fleet_let_go(struct wr_fleet *f, struct wr_fleet_hold *h)
{
    wr_mutex_lock(&f->mutex);
    if (h->link.next) /* which its neighbours change, too */
        wr_list_remove(&h->link);
    let_go(f, h->member);
    wr_mutex_unlock(&f->mutex);
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
    if (wr_fleet_find(f, path, &at))
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

int64_t wr_fleet_last_sync(struct wr_fleet *f, const char *path)
{
    int64_t ms = 0;
    size_t at;

    wr_mutex_lock(&f->mutex);
    if (wr_fleet_find(f, path, &at))
        ms = f->members[at]->last_sync_ms;
    wr_mutex_unlock(&f->mutex);
    return ms;
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
    has = wr_fleet_find(f, path, &at);
    wr_mutex_unlock(&f->mutex);
    return has;
}

/* The one behind `last`, which is held, if only by us, and may be out of the list by now; NULL: the
 * first. It is held then. */
static struct wr_fleet_member *hold_next(
    struct wr_fleet *f, const struct wr_fleet_member *last, weir_db **ret)
{
    struct wr_fleet_member *m = NULL;
    size_t at = 0;

    wr_mutex_lock(&f->mutex);
    if (last && wr_fleet_find(f, last->config->path, &at))
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
    struct wr_fleet_member *m = hold_next(f, NULL, &db);

    while (m) {
        struct wr_fleet_member *next;

        fn(arg, m->config, db);
        next = hold_next(f, m, &db);
        wr_mutex_lock(&f->mutex);
        let_go(f, m);
        wr_mutex_unlock(&f->mutex);
        m = next;
    }
}
