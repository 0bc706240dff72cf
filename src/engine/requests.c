/*
 * requests.c - what other threads ask of a database: sync it, tell how it is. Messages behind its
 * mutex, answered by its steps; nothing here touches what belongs to the actor.
 */
#include "engine/primary_replicas.h"

#define SYNC_POLL_NS  ((int64_t)20 * 1000000)
#define LEAVE_POLL_NS ((int64_t)1000000)

static void begin(struct wr_db *db, bool urgent, uint64_t *ret_ticket)
{
    wr_mutex_lock(&db->mutex);
    *ret_ticket = ++db->tickets;
    if (urgent)
        db->urgent_ticket = db->tickets;
    wr_mutex_unlock(&db->mutex);
    wr_sched_wake(&db->actor);
}

void wr_db_sync_begin(struct wr_db *db, uint64_t *ret_ticket)
{
    begin(db, true, ret_ticket);
}

void wr_db_sync_await(struct wr_db *db, uint64_t *ret_ticket)
{
    begin(db, false, ret_ticket);
}

/* Entries of `known` never change once they are there. */
static size_t replica_count(struct wr_db *db)
{
    size_t n;

    wr_mutex_lock(&db->mutex);
    n = db->n_known;
    wr_mutex_unlock(&db->mutex);
    return n;
}

/* How many of the first `n` replicas have not stopped for good. */
static size_t count_going(struct wr_db *db, size_t n)
{
    struct wr_replica_status now;
    size_t going = 0;

    for (size_t i = 0; i < n; i++) {
        wr_replica_status(db->known[i]->r, &now);
        going += now.state != WR_REPLICA_STOPPED;
    }
    return going;
}

/* What stopped each of those that have; the code is the first one's. */
static enum wr_status tell_stopped(struct wr_db *db, size_t n, size_t stopped, struct wr_err *e)
{
    struct wr_replica_status now;
    struct wr_replica_account is;
    enum wr_status st = WR_OK;
    char text[WR_ERR_MAX] = "";
    size_t share = sizeof(text) / stopped, off = 0; /* each is named, if not in full */

    for (size_t i = 0; i < n && off + share <= sizeof(text); i++) {
        struct wr_str name = wr_storage_name(wr_replica_storage(db->known[i]->r));
        int written;

        wr_replica_status(db->known[i]->r, &now);
        if (now.state != WR_REPLICA_STOPPED)
            continue;
        wr_replica_account(db->known[i]->r, &is);
        written = snprintf(text + off, share, "%s" WR_FMT ": %s", st == WR_OK ? "" : "; ",
            WR_ARG(name), is.error.text);
        off += wr_min((size_t)wr_max(written, 0), share - 1);
        if (st == WR_OK)
            st = now.error;
    }
    return wr_fail(e, st, "%s", text);
}

/* `acked`: those that can have what was asked for do. */
static enum wr_status in_replicas(struct wr_db *db, bool acked, struct wr_err *e)
{
    size_t n = replica_count(db), going = count_going(db, n);

    if (n == 0)
        return wr_fail(e, WR_NOTFOUND, "it has no replica");
    if (going > 0 && !acked)
        return WR_BUSY;
    return going == n ? WR_OK : tell_stopped(db, n, n - going, e);
}

enum wr_status wr_db_sync_poll(
    struct wr_db *db, uint64_t ticket, bool remote, uint64_t *ret_txid, struct wr_err *e)
{
    uint64_t txid, acked;
    bool captured, seen_missing;
    enum wr_status failed, st = WR_OK;

    /* Both numbers at once: between two looks a step may have given syncs another TXID. And not the
     * replicas' positions: a number counts only for a replica that has joined this history. */
    wr_mutex_lock(&db->mutex);
    captured = db->tickets_done >= ticket;
    seen_missing = db->tickets_void >= ticket;
    txid = db->sync_txid;
    acked = db->acked;
    failed = db->shared.error;
    /* What was missing before it was asked for may be there, and have its first commit. */
    if (!captured && ((failed == WR_NOTFOUND && seen_missing) || failed == WR_UNSUPPORTED))
        st = wr_fail(e, failed, "%s", wr_text(&db->shared_why));
    wr_mutex_unlock(&db->mutex);
    if (!captured)
        return st == WR_OK ? WR_BUSY : st;
    /* After that: a replica that still goes now did then. */
    if (remote)
        st = in_replicas(db, acked >= txid, e);
    /* In the replica the one asked for may lie within a file, and be another state by its name. */
    if (st == WR_OK)
        *ret_txid = remote ? acked : txid;
    return st;
}

/* What a caller whose patience ended wants to know. */
static enum wr_status timed_out(struct wr_db *db, struct wr_err *e)
{
    struct wr_replica_account is;
    struct wr_err own;

    wr_db_error(db, &own);
    if (own.code != WR_OK)
        return wr_fail(e, WR_TIMEOUT, "%s", own.text);
    for (size_t i = 0; i < replica_count(db); i++) {
        wr_replica_account(db->known[i]->r, &is);
        if (is.error.code != WR_OK)
            return wr_fail(e, WR_TIMEOUT, "replica %zu: %s", i + 1, is.error.text);
    }
    return wr_fail(e, WR_TIMEOUT, "the replica did not get there in time");
}

int64_t wr_db_wait_end(int64_t timeout_ms)
{
    if (timeout_ms < 0 || timeout_ms > WR_NEVER / 4000000)
        return WR_NEVER;
    return wr_mono_ns(wr_clock_system()) + timeout_ms * 1000000;
}

enum wr_status wr_db_wait(
    struct wr_db *db, int64_t end_ns, struct wr_cancel *cancel, const char *what, struct wr_err *e)
{
    const struct wr_clock *clock = wr_clock_system();
    struct wr_db_status now;
    struct wr_err own;

    wr_db_status(db, &now);
    wr_db_error(db, &own);
    if (now.rival)
        return wr_fail(e, WR_BUSY, "%s", own.text);
    if (wr_cancel_is(cancel))
        return wr_fail(e, WR_CANCELED, "canceled while waiting for %s", what);
    if (wr_mono_ns(clock) >= end_ns)
        return timed_out(db, e);
    wr_mutex_lock(&db->mutex);
    /* A change between the poll and here, or a cancellation, is seen after a short wait. */
    (void)wr_cond_wait_until(
        &db->cond, &db->mutex, wr_min(end_ns, wr_mono_ns(clock) + SYNC_POLL_NS));
    wr_mutex_unlock(&db->mutex);
    return WR_OK;
}

enum wr_status wr_db_sync(struct wr_db *db, enum wr_db_sync_how how, int64_t timeout_ms,
    struct wr_cancel *cancel, uint64_t *ret_txid, struct wr_err *e)
{
    int64_t end = wr_db_wait_end(timeout_ms);
    uint64_t ticket;
    enum wr_status st;

    begin(db, how != WR_DB_SYNC_AWAIT, &ticket);
    while ((st = wr_db_sync_poll(db, ticket, how != WR_DB_SYNC_LOCAL, ret_txid, e)) == WR_BUSY) {
        st = wr_db_wait(db, end, cancel, "a sync", e);
        if (st != WR_OK)
            break;
    }
    return st;
}

void wr_db_leave_replicas(struct wr_db *db)
{
    for (size_t i = 0; i < replica_count(db); i++)
        wr_replica_leave(db->known[i]->r);
}

void wr_db_leave_await(struct wr_db *db, int64_t end_ns)
{
    const struct wr_clock *clock = wr_clock_system();

    for (size_t i = 0; i < replica_count(db); i++) {
        while (!wr_replica_has_left(db->known[i]->r) && wr_mono_ns(clock) < end_ns) {
            wr_mutex_lock(&db->mutex);
            (void)wr_cond_wait_until(
                &db->cond, &db->mutex, wr_min(end_ns, wr_mono_ns(clock) + LEAVE_POLL_NS));
            wr_mutex_unlock(&db->mutex);
        }
    }
}

void wr_db_status(struct wr_db *db, struct wr_db_status *ret)
{
    wr_mutex_lock(&db->mutex);
    *ret = db->shared;
    ret->n_replicas = db->n_known;
    wr_mutex_unlock(&db->mutex);
}

void wr_db_error(struct wr_db *db, struct wr_err *ret)
{
    wr_mutex_lock(&db->mutex);
    ret->code = db->shared.error;
    (void)snprintf(ret->text, sizeof(ret->text), "%s", wr_text(&db->shared_why));
    wr_mutex_unlock(&db->mutex);
}

void wr_db_glance(struct wr_db *db, struct wr_db_glance *ret)
{
    struct wr_file_mark file = {0};
    struct wr_walidx index;

    *ret = (struct wr_db_glance){0};
    /* First what was got, then what there is: what comes in between is a difference too many, which
     * the next look does not find. */
    wr_mutex_lock(&db->mutex);
    ret->proven = db->shared.proven;
    ret->closed_count = db->shared.closed_count;
    ret->txid = db->shared.txid;
    ret->scanned = db->shared.scanned;
    wr_mutex_unlock(&db->mutex);
    ret->seen = wr_peek(&db->peek, &index);
    if (ret->seen == WR_PEEK_OPEN)
        ret->count = index.change;
    ret->exists =
        ret->seen != WR_PEEK_CLOSED || (wr_file_mark_of(db->path, &file) && file.size > 1);
}

void wr_db_replica_status(
    struct wr_db *db, size_t i, struct wr_replica_status *ret, struct wr_str *ret_name)
{
    assert(i < replica_count(db));
    wr_replica_status(db->known[i]->r, ret);
    ret->interval_ns = db->known[i]->interval_ns;
    *ret_name = wr_storage_name(wr_replica_storage(db->known[i]->r));
}

enum wr_status wr_db_replica_address(
    struct wr_db *db, size_t i, struct wr_buf *out, struct wr_err *e)
{
    assert(i < replica_count(db));
    return wr_storage_address(wr_replica_storage(db->known[i]->r), out, e);
}

void wr_db_replica_account(struct wr_db *db, size_t i, struct wr_replica_account *ret)
{
    assert(i < replica_count(db));
    wr_replica_account(db->known[i]->r, ret);
}

void wr_db_replica_times(
    struct wr_db *db, size_t i, struct wr_storage_times ret[WR_STORAGE_CLASSES])
{
    assert(i < replica_count(db));
    for (size_t class = 0; class < WR_STORAGE_CLASSES; class ++)
        wr_storage_times(
            wr_replica_storage(db->known[i]->r), (enum wr_storage_class) class, &ret[class]);
}
