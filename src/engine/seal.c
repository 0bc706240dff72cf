/*
 * seal.c - the writer lock, and since when it is ours.
 *
 * While we have it no application can commit, and a process that is stopped then, or whose disk
 * hangs, keeps it for as long. Whoever is to notice that, and to kill us, asks from outside.
 */
#include "engine/primary_int.h"

#define US INT64_C(1000)
#define MS INT64_C(1000000)

static const int64_t bounds_ns[WR_DB_HOLDS - 1] = {
    100 * US, 300 * US, 1 * MS, 3 * MS, 10 * MS, 30 * MS, 100 * MS, 300 * MS, 1000 * MS};

void wr_db_count_hold(struct wr_db_status *s, int64_t held_ns)
{
    size_t i = 0;

    while (i < wr_countof(bounds_ns) && held_ns > bounds_ns[i])
        i++;
    s->counts.holds[i]++;
    s->counts.holds_ns += held_ns;
    s->barrier_max_ns = wr_max(s->barrier_max_ns, held_ns);
}

enum wr_status wr_db_seal(struct wr_db *db, int64_t budget_ns, struct wr_err *e)
{
    enum wr_status st = wr_conn_barrier_begin(db->conn, budget_ns, e);

    if (st == WR_OK)
        atomic_store(&db->sealed_since_ns, wr_db_now_ns(db));
    return st;
}

void wr_db_unseal(struct wr_db *db)
{
    int64_t held_ns = wr_db_now_ns(db) - atomic_load(&db->sealed_since_ns);

    wr_conn_barrier_end(db->conn);
    atomic_store(&db->sealed_since_ns, WR_NEVER);
    wr_db_count_hold(&db->status, held_ns);
}

int64_t wr_db_sealed_ns(const struct wr_db *db)
{
    int64_t since_ns = atomic_load(&db->sealed_since_ns);

    return since_ns == WR_NEVER ? 0 : wr_max(wr_db_now_ns(db) - since_ns, (int64_t)1);
}
