/*
 * streams.c - files that are read from the live database while they are sent, as the database's
 * actor sees them: which are under way, and how a checkpoint goes around them.
 */
#include "engine/primary_int.h"

#include "engine/frozen.h"

/* One read of a stream takes milliseconds; longer ones are waited out by coming back. */
#define HOLD_NS ((int64_t)50 * 1000000)

static struct wr_frozen *frozen_of(const struct wr_db *db, size_t i)
{
    return db->replicas[i].stream ? db->replicas[i].stream->frozen : NULL;
}

bool wr_db_streaming(struct wr_db *db)
{
    bool any = false;

    for (size_t i = 0; i < db->n_replicas; i++) {
        struct db_replica *dr = &db->replicas[i];

        if (dr->stream && wr_parcel_alone(dr->stream)) {
            db->status.kept_pages += wr_frozen_kept(dr->stream->frozen);
            wr_parcel_unref(dr->stream);
            dr->stream = NULL;
        }
        any = any || dr->stream;
    }
    return any;
}

void wr_db_streams_stop(struct wr_db *db)
{
    for (size_t i = 0; i < db->n_replicas; i++) {
        if (frozen_of(db, i))
            wr_frozen_stop(frozen_of(db, i));
    }
}

static void let(struct wr_db *db, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (frozen_of(db, i))
            wr_frozen_let(frozen_of(db, i));
    }
}

bool wr_db_streams_hold(struct wr_db *db)
{
    for (size_t i = 0; i < db->n_replicas; i++) {
        if (frozen_of(db, i) && wr_frozen_hold(frozen_of(db, i), HOLD_NS) != WR_OK) {
            let(db, i);
            return false;
        }
    }
    return true;
}

void wr_db_streams_let(struct wr_db *db)
{
    let(db, db->n_replicas);
}

enum wr_status wr_db_streams_keep(struct wr_db *db, uint64_t bytes, bool *ret_all, struct wr_err *e)
{
    enum wr_status st = WR_OK;
    bool all = true;

    for (size_t i = 0; i < db->n_replicas && st == WR_OK; i++) {
        bool this_one = true;

        if (frozen_of(db, i)) {
            st = wr_frozen_keep(
                frozen_of(db, i), &db->view, (size_t)(bytes / db->view.page_size), &this_one, e);
        }
        all = all && this_one;
    }
    *ret_all = all && st == WR_OK;
    return st;
}

void wr_db_streams_filled(struct wr_db *db)
{
    for (size_t i = 0; i < db->n_replicas; i++) {
        if (frozen_of(db, i))
            wr_frozen_filled(frozen_of(db, i), db->view.backfilled);
    }
}
