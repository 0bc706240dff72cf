/*
 * due.c - which level of a replica is to get a file, and when: how many came below it, which
 * intervals are over, what failed just now. And how far back the journal must reach for that.
 */
#include "engine/primary_replicas.h"

#define JOURNAL_MAX ((uint64_t)32 << 20) /* bytes kept for levels; beyond, they begin anew */

bool wr_db_level_kept(const struct wr_db *db, unsigned level)
{
    if (level == WR_LEVEL_SNAPSHOT)
        return db->cadence.snapshot_ms > 0;
    return level >= 1 && level <= db->cadence.levels;
}

unsigned wr_db_level_after(const struct wr_db *db, unsigned level)
{
    return level < db->cadence.levels ? level + 1 : wr_max(level + 1, (unsigned)WR_LEVEL_SNAPSHOT);
}

struct db_level *wr_db_level(const struct db_replica *dr, unsigned level)
{
    size_t i = level == WR_LEVEL_SNAPSHOT ? 0 : level;

    assert(level > 0 && i < dr->known->n_levels);
    return &dr->known->levels[i];
}

static int64_t now_ms(const struct wr_db *db)
{
    return wr_wall_ms(wr_sched_clock(db->actor.sched));
}

void wr_db_level_count(const struct wr_db *db, struct db_level *lv, unsigned n)
{
    if (lv->below == 0)
        lv->since_ms = now_ms(db);
    lv->below = wr_min(lv->below + n, db->cadence.few);
}

void wr_db_levels_note(struct wr_db *db)
{
    if (!wr_db_level_kept(db, 1))
        return;
    for (size_t i = 0; i < db->n_replicas; i++)
        wr_db_level_count(db, wr_db_level(&db->replicas[i], 1), 1);
}

static bool may_retry(struct wr_db *db, const struct db_level *lv)
{
    if (wr_db_now_ns(db) >= lv->retry_ns)
        return true;
    wr_db_want(db, lv->retry_ns);
    return false;
}

/* When the level, one that is kept, is to get its next file. Times from the future are of a clock
 * that was set back since: nobody waits for them. */
static int64_t due_ms(const struct wr_db *db, struct db_level *lv, unsigned level)
{
    lv->made_ms = wr_min(lv->made_ms, now_ms(db));
    lv->since_ms = wr_min(lv->since_ms, now_ms(db));
    if (level == WR_LEVEL_SNAPSHOT)
        return wr_cadence_end(lv->made_ms, db->cadence.snapshot_ms);
    return wr_cadence_end(lv->since_ms, db->cadence.level_ms[level - 1]);
}

static bool in_time(struct wr_db *db, struct db_level *lv, unsigned level)
{
    bool enough = level == WR_LEVEL_SNAPSHOT || lv->below >= db->cadence.few;
    bool more = db->txid > lv->txid || lv->tried.max > 0;
    int64_t wait_ms;

    if (!wr_db_level_kept(db, level) || !enough || !more || !may_retry(db, lv))
        return false;
    wait_ms = due_ms(db, lv, level) - now_ms(db);
    if (wait_ms > 0)
        wr_db_want(db, wr_db_now_ns(db) + wait_ms * 1000000);
    return wait_ms <= 0;
}

unsigned wr_db_level_top(struct wr_db *db, struct db_replica *dr)
{
    unsigned top = 0;

    for (unsigned level = wr_db_level_after(db, 0); level <= WR_LEVEL_MAX;
         level = wr_db_level_after(db, level))
        top = in_time(db, wr_db_level(dr, level), level) ? level : top;
    if (wr_db_snapshot_wanted(db, dr) && may_retry(db, wr_db_level(dr, WR_LEVEL_SNAPSHOT)))
        top = WR_LEVEL_SNAPSHOT;
    return top;
}

/* Where its levels go on from is not known yet, but will be. */
static bool is_unseen(const struct wr_db *db, const struct db_replica *dr)
{
    return db->cadence.levels > 0 && dr->now->state != WR_REPLICA_STOPPED && dr->now->found > 0 &&
           dr->levels_found != dr->now->found;
}

/* The level that goes on from furthest back, below `floor`; NULL: none does. */
static struct db_level *furthest_back(struct wr_db *db, uint64_t floor)
{
    struct db_level *least = NULL;

    for (size_t i = 0; i < db->n_replicas; i++) {
        struct db_replica *dr = &db->replicas[i];
        bool counts = dr->levels_found > 0 && dr->now->state != WR_REPLICA_STOPPED;

        for (unsigned level = 1; counts && level <= db->cadence.levels; level++) {
            struct db_level *lv = wr_db_level(dr, level);

            if (lv->state != LEVEL_LOST && lv->txid < (least ? least->txid : floor))
                least = lv;
        }
    }
    return least;
}

uint64_t wr_db_levels_floor(struct wr_db *db, uint64_t floor)
{
    bool full = wr_ledger_history(db->ledger) > JOURNAL_MAX;
    struct db_level *lv;

    for (size_t i = 0; i < db->n_replicas && !full; i++) {
        if (is_unseen(db, &db->replicas[i]))
            return 0;
    }
    while ((lv = furthest_back(db, floor)) != NULL && full)
        lv->state = LEVEL_LOST;
    return lv ? lv->txid : floor;
}

static bool add_stand(struct wr_stands *x, uint64_t txid)
{
    if (x->n == WR_STANDS_MAX)
        return false;
    x->txid[x->n++] = txid;
    return true;
}

bool wr_db_replica_stands(const struct wr_db *db, const struct db_replica *dr, struct wr_stands *x)
{
    bool known = dr->now->found > 0 && !is_unseen(db, dr) && add_stand(x, dr->now->pos.txid);

    for (unsigned level = 1; known && dr->levels_found > 0 && level <= db->cadence.levels;
         level++) {
        const struct db_level *lv = wr_db_level(dr, level);

        known = lv->state == LEVEL_LOST || add_stand(x, lv->txid);
        if (known && dr->history[level]) /* it will, when that has arrived */
            known = add_stand(x, dr->history[level]->header.max_txid);
        if (known && lv->tried.max > 0)
            known = add_stand(x, lv->tried.max);
    }
    return known;
}
