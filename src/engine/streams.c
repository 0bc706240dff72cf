/*
 * streams.c - images of the live database that are being read while it goes on: those of files that
 * are being sent, and the one that is being proven. How a checkpoint goes around them.
 */
#include "engine/primary_int.h"

#include "engine/frozen.h"

/* One read of a stream takes milliseconds; longer ones are waited out by coming back. */
#define HOLD_NS ((int64_t)50 * 1000000)

/* The i-th of as many as there are replicas, and one; NULL: there is none. */
static struct wr_frozen *image_of(const struct wr_db *db, size_t i)
{
    if (i == db->n_replicas)
        return db->proof.image;
    return db->replicas[i].stream ? db->replicas[i].stream->frozen : NULL;
}

bool wr_db_streaming(const struct wr_db *db)
{
    for (size_t i = 0; i < db->n_replicas; i++) {
        if (db->replicas[i].stream)
            return true;
    }
    return false;
}

static void drop(struct wr_db *db, struct db_replica *dr)
{
    db->status.kept_pages += wr_frozen_kept(dr->stream->frozen);
    wr_parcel_unref(dr->stream);
    dr->stream = NULL;
}

void wr_db_streams_reap(struct wr_db *db)
{
    for (size_t i = 0; i < db->n_replicas; i++) {
        struct db_replica *dr = &db->replicas[i];

        if (dr->stream && wr_parcel_alone(dr->stream)) {
            if (wr_frozen_doubted(dr->stream->frozen))
                wr_db_doubt(db, dr);
            drop(db, dr);
        }
    }
}

void wr_db_streams_stop(struct wr_db *db)
{
    for (size_t i = 0; i < db->n_replicas; i++) {
        struct db_replica *dr = &db->replicas[i];

        if (!dr->stream)
            continue;
        wr_frozen_stop(dr->stream->frozen);
        wr_replica_interrupt(dr->r, dr->stream);
    }
}

/* Nobody gets into a stopped image any more, so whoever holds it once has seen the last reader out:
 * what still sends the file has no way to the database, and frees the image when it ends. */
bool wr_db_streams_leave(struct wr_db *db)
{
    bool all = true;

    wr_db_streams_stop(db);
    for (size_t i = 0; i < db->n_replicas; i++) {
        struct db_replica *dr = &db->replicas[i];

        if (!dr->stream)
            continue;
        if (wr_frozen_hold(dr->stream->frozen, HOLD_NS) != WR_OK) {
            all = false;
            continue;
        }
        wr_frozen_let(dr->stream->frozen);
        drop(db, dr);
    }
    return all;
}

static void let(struct wr_db *db, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (image_of(db, i))
            wr_frozen_let(image_of(db, i));
    }
}

bool wr_db_streams_hold(struct wr_db *db)
{
    for (size_t i = 0; i <= db->n_replicas; i++) {
        if (image_of(db, i) && wr_frozen_hold(image_of(db, i), HOLD_NS) != WR_OK) {
            let(db, i);
            return false;
        }
    }
    return true;
}

void wr_db_streams_let(struct wr_db *db)
{
    let(db, db->n_replicas + 1);
}

enum wr_status wr_db_streams_keep(struct wr_db *db, uint64_t bytes, bool *ret_all, struct wr_err *e)
{
    enum wr_status st = WR_OK;
    bool all = true;

    for (size_t i = 0; i <= db->n_replicas && st == WR_OK; i++) {
        bool this_one = true;

        if (image_of(db, i)) {
            st = wr_frozen_keep(
                image_of(db, i), &db->view, (size_t)(bytes / db->view.page_size), &this_one, e);
        }
        all = all && this_one;
    }
    *ret_all = all && st == WR_OK;
    return st;
}
