/*
 * streams.c - images of the live database that are being read while it goes on: those of files that
 * are being sent, and the one that is being proven. How a checkpoint goes around them.
 */
#include "engine/primary_replicas.h"

#include "engine/frozen.h"

/* One read of a stream takes milliseconds; longer ones are waited out by coming back. */
#define HOLD_NS ((int64_t)50 * 1000000)

/* Of each replica its newest state and a file of each level above 0; and the image that is proven.
 */
#define IMAGES_EACH (WR_LEVEL_MAX + 1)
#define IMAGES(db)  (IMAGES_EACH * (db)->n_replicas + 1)

static struct wr_frozen *read_by(const struct wr_parcel *p)
{
    return p ? p->frozen : NULL;
}

/* The i-th; NULL: there is none. */
static struct wr_frozen *image_of(const struct wr_db *db, size_t i)
{
    const struct db_replica *dr = &db->replicas[i / IMAGES_EACH];
    size_t level = i % IMAGES_EACH;

    if (i == IMAGES_EACH * db->n_replicas)
        return db->proof.image;
    return read_by(level ? dr->history[level] : dr->stream);
}

bool wr_db_streaming(const struct wr_db *db)
{
    for (size_t i = 0; i < IMAGES(db) - 1; i++) {
        if (image_of(db, i))
            return true;
    }
    return false;
}

void wr_db_stream_drop(struct wr_db *db, struct wr_parcel **p)
{
    if (read_by(*p))
        db->status.kept_pages += wr_frozen_kept(read_by(*p));
    wr_parcel_unref(*p);
    *p = NULL;
}

void wr_db_streams_reap(struct wr_db *db)
{
    for (size_t i = 0; i < db->n_replicas; i++) {
        struct db_replica *dr = &db->replicas[i];

        if (dr->stream && wr_parcel_alone(dr->stream)) {
            if (wr_frozen_doubted(dr->stream->frozen))
                wr_db_doubt(db, dr);
            wr_db_stream_drop(db, &dr->stream);
        }
    }
}

void wr_db_streams_stop(struct wr_db *db)
{
    for (size_t i = 0; i < db->n_replicas; i++) {
        struct db_replica *dr = &db->replicas[i];

        if (dr->stream) {
            wr_frozen_stop(dr->stream->frozen);
            wr_replica_interrupt(dr->r, dr->stream);
        }
        for (unsigned level = 1; level <= WR_LEVEL_MAX; level++) {
            if (!read_by(dr->history[level]))
                continue;
            wr_frozen_stop(dr->history[level]->frozen);
            wr_keeper_interrupt(dr->keeper, dr->history[level]);
        }
    }
}

/* Nobody is in a read of it, and none gets in: it is stopped. */
static bool is_left(struct wr_frozen *f)
{
    if (wr_frozen_hold(f, HOLD_NS) != WR_OK)
        return false;
    wr_frozen_let(f);
    return true;
}

/* Nobody gets into a stopped image any more, so whoever holds it once has seen the last reader out:
 * what still sends the file has no way to the database, and frees the image when it ends. */
bool wr_db_streams_leave(struct wr_db *db)
{
    bool all = true;

    wr_db_streams_stop(db);
    for (size_t i = 0; i < db->n_replicas; i++) {
        struct db_replica *dr = &db->replicas[i];

        if (dr->stream && is_left(dr->stream->frozen))
            wr_db_stream_drop(db, &dr->stream);
        all = all && !dr->stream;
        for (unsigned level = 1; level <= WR_LEVEL_MAX; level++) {
            if (read_by(dr->history[level]) && is_left(dr->history[level]->frozen))
                wr_db_stream_drop(db, &dr->history[level]);
            all = all && !read_by(dr->history[level]);
        }
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
    for (size_t i = 0; i < IMAGES(db); i++) {
        if (image_of(db, i) && wr_frozen_hold(image_of(db, i), HOLD_NS) != WR_OK) {
            let(db, i);
            return false;
        }
    }
    return true;
}

void wr_db_streams_let(struct wr_db *db)
{
    let(db, IMAGES(db));
}

enum wr_status wr_db_streams_keep(struct wr_db *db, uint64_t bytes, bool *ret_all, struct wr_err *e)
{
    enum wr_status st = WR_OK;
    bool all = true;

    for (size_t i = 0; i < IMAGES(db) && st == WR_OK; i++) {
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
