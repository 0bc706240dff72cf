/*
 * view.h - the pages of a database at one position of its WAL.
 *
 * While the checkpoint lock is pinned, the database file changes only in our own checkpoints and
 * the WAL only grows, until all of it is in the database. The image at a captured position is
 * therefore: the newest frame of a page up to that position, if the database file does not have it
 * yet, else the page in the database file, else zeros. Nothing is copied to keep it.
 *
 * A frame that is in the database file must not be read from the WAL: once all of them are, a
 * writer may reset the WAL and overwrite them at any moment.
 *
 * "In the database file" is what SQLite counts as backfilled. It leaves out a frame that a writer
 * superseded before the checkpoint looked, so after a checkpoint the view is right only once it was
 * captured again: then it knows the newer frame.
 *
 * owned. A copy may be read on another thread as long as no checkpoint of ours runs.
 */
#ifndef WR_ENGINE_VIEW_H
#define WR_ENGINE_VIEW_H

#include "base/base.h"
#include "base/map.h"
#include "base/status.h"
#include "sqlite/conn.h"

/* Distinct pages in one generation of the WAL; at 4 KiB pages a WAL of 256 GiB. */
#define WR_VIEW_FRAMES_MAX ((size_t)1 << 26)

struct wr_view {
    struct wr_conn *conn;   /* not owned */
    uint32_t page_size;     /* bytes */
    uint32_t lock_pgno;     /* the page that is never stored */
    uint32_t commit;        /* database size in pages at the position */
    uint32_t backfilled;    /* frames up to here are in the database file */
    struct wr_pgmap frames; /* page -> its newest frame in the WAL */
};

void wr_view_init(struct wr_view *v, struct wr_conn *conn, uint32_t page_size, uint32_t lock_pgno);
void wr_view_release(struct wr_view *v);

/* `to` must be released or zero. NOMEM. */
enum wr_status wr_view_copy(
    struct wr_view *to, const struct wr_view *from, struct wr_err *e) WR_MUST_CHECK;

/* One page into page_size bytes. */
enum wr_status wr_view_page(
    const struct wr_view *v, uint32_t pgno, uint8_t *buf, struct wr_err *e) WR_MUST_CHECK;

/* Pages first .. first+n-1 into n * page_size bytes, the database file in one read. */
enum wr_status wr_view_run(const struct wr_view *v, uint32_t first, uint32_t n, uint8_t *buf,
    struct wr_err *e) WR_MUST_CHECK;

#endif
