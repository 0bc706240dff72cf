/*
 * frozen.h - the image of a database at one moment, readable for as long as sending it takes.
 *
 * A view (view.h) stands still only until our next checkpoint, and a WAL that is not checkpointed
 * grows without end. So, before a checkpoint, the pages of the image that are yet to be read and
 * that it may touch go to a file of kept pages in the outbox (kept.h): at the most one copy of each
 * page that changes meanwhile, and none of a page that was read before it changed.
 *
 * shared by two threads: one reads, by ascending page number; the database's actor holds it while
 * it checkpoints. Neither has it while the other does.
 */
#ifndef WR_ENGINE_FROZEN_H
#define WR_ENGINE_FROZEN_H

#include "base/base.h"
#include "base/file.h"
#include "base/status.h"
#include "engine/view.h"

struct wr_frozen;

/* The image that `now`, just captured, shows; it is copied. `fs` and `outbox` are where pages are
 * kept, and outlive it. NOMEM. */
enum wr_status wr_frozen_new(const struct wr_fs *fs, const char *outbox, const struct wr_view *now,
    struct wr_frozen **ret, struct wr_err *e) WR_MUST_CHECK;
/* NULL-safe; nobody reads or holds it any more. The view's connection may be gone if the image was
 * stopped and held after that. */
void wr_frozen_free(struct wr_frozen *f);

/* Pages first .. first+n-1 into n * page_size bytes; the lock page is undefined. Those below
 * first+n cannot be read again. CANCELED once it was stopped; IO, CORRUPT as wr_view_run. */
enum wr_status wr_frozen_read(
    struct wr_frozen *f, uint32_t first, uint32_t n, uint8_t *buf, struct wr_err *e) WR_MUST_CHECK;
/* Readers give up, from any thread: the connection is about to be closed. It may be once the image
 * was held after this: then the last reader is out, and none gets in again. */
void wr_frozen_stop(struct wr_frozen *f);
bool wr_frozen_stopped(const struct wr_frozen *f);
/* What was read from it is not what it should be. Told by who reads, asked by the actor when that
 * one has ended. */
void wr_frozen_doubt(struct wr_frozen *f);
bool wr_frozen_doubted(const struct wr_frozen *f);

/* The actor's part: hold, keep and checkpoint as often as need be, let go. */

/* Keep readers out. BUSY (no text) if one was not done within `patience_ns`. */
enum wr_status wr_frozen_hold(struct wr_frozen *f, int64_t patience_ns) WR_MUST_CHECK;
void wr_frozen_let(struct wr_frozen *f);

/* Keep what a checkpoint of `now` could take, at most `max` pages; *ret_all is whether that was
 * all, so that it may run. `now` is captured at least up to where the checkpoint will stop. After a
 * failure (LIMIT: the disk is full) it must not run; the image is as good as before. */
enum wr_status wr_frozen_keep(struct wr_frozen *f, const struct wr_view *now, size_t max,
    bool *ret_all, struct wr_err *e) WR_MUST_CHECK;

uint64_t wr_frozen_kept(const struct wr_frozen *f); /* pages; while held or not in use */

#endif
