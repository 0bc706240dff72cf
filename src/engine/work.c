/*
 * work.c - work on the replicas that other threads ask for: messages, as those of requests.c. What
 * becomes of them is in wanted.c.
 */
#include "engine/primary_replicas.h"

#define PATIENCE_NS ((int64_t)60 * 1000000000) /* with a database that cannot be captured */

static const char *const names[WR_WORKS] = {
    [WR_WORK_SNAPSHOT] = "a snapshot",
    [WR_WORK_KEEP_UP] = "the levels",
    [WR_WORK_RETAIN] = "retention",
};

void wr_db_work_begin(struct wr_db *db, enum wr_work kind, struct wr_work_ticket *ret)
{
    assert(kind < WR_WORKS);
    wr_mutex_lock(&db->mutex);
    *ret = (struct wr_work_ticket){
        .kind = kind, .sync = ++db->tickets, .own = ++db->works_asked[kind]};
    wr_mutex_unlock(&db->mutex);
    wr_sched_wake(&db->actor);
}

enum wr_status wr_db_work_poll(
    struct wr_db *db, const struct wr_work_ticket *t, uint64_t *ret_value, struct wr_err *e)
{
    bool least = t->kind == WR_WORK_SNAPSHOT, busy = false;
    uint64_t value = least ? UINT64_MAX : 0, txid;
    char text[WR_ERR_MAX] = "";
    size_t n, failed = 0;
    enum wr_status st, worst = WR_OK;

    wr_mutex_lock(&db->mutex);
    n = db->n_known;
    wr_mutex_unlock(&db->mutex);
    if (n == 0) /* then nothing is ever closed */
        return wr_fail(e, WR_NOTFOUND, "it has no replica");
    st = wr_db_sync_poll(db, t->sync, false, &txid, e);
    if (st != WR_OK)
        return st;
    wr_mutex_lock(&db->mutex);
    for (size_t i = 0; i < n; i++) {
        const struct db_work_end *end = &db->known[i]->ends[t->kind];

        if (end->done < t->own) {
            busy = true;
        } else if (end->st == WR_OK) {
            value = least ? wr_min(value, end->value) : value + end->value;
        } else if (worst == WR_OK) {
            worst = end->st;
            failed = i;
            (void)snprintf(text, sizeof(text), "%s", wr_text(&db->known[i]->why));
        }
    }
    wr_mutex_unlock(&db->mutex);
    if (busy)
        return WR_BUSY;
    if (worst != WR_OK)
        return wr_fail(e, worst, WR_FMT ": %s",
            WR_ARG(wr_storage_name(wr_replica_storage(db->known[failed]->r))), text);
    *ret_value = value;
    return WR_OK;
}

enum wr_status wr_db_work(struct wr_db *db, enum wr_work kind, int64_t timeout_ms,
    struct wr_cancel *cancel, uint64_t *ret_value, struct wr_err *e)
{
    int64_t end = wr_db_wait_end(timeout_ms), well = wr_mono_ns(wr_clock_system());
    struct wr_work_ticket t;
    enum wr_status st;

    wr_db_work_begin(db, kind, &t);
    while ((st = wr_db_work_poll(db, &t, ret_value, e)) == WR_BUSY) {
        struct wr_err own;

        st = wr_db_wait(db, end, cancel, names[kind], e);
        if (st != WR_OK)
            break;
        wr_db_error(db, &own);
        if (own.code == WR_OK)
            well = wr_mono_ns(wr_clock_system());
        else if (wr_mono_ns(wr_clock_system()) - well >= PATIENCE_NS)
            return wr_fail(e, own.code, "%s", own.text);
    }
    return st;
}
