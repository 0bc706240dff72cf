/*
 * view.c - see view.h. Reads; refuses to know what is done with the pages.
 */
#include "engine/view.h"

#include "base/mem.h"
#include "sqlite/wal.h"

void wr_view_init(struct wr_view *v, struct wr_conn *conn, uint32_t page_size, uint32_t lock_pgno)
{
    *v = (struct wr_view){.conn = conn, .page_size = page_size, .lock_pgno = lock_pgno};
    wr_pgmap_init(&v->frames, WR_VIEW_FRAMES_MAX);
}

void wr_view_release(struct wr_view *v)
{
    wr_pgmap_release(&v->frames);
    *v = (struct wr_view){0};
}

enum wr_status wr_view_copy(struct wr_view *to, const struct wr_view *from, struct wr_err *e)
{
    struct wr_pgmap_entry *all;
    enum wr_status st = WR_OK;

    wr_view_init(to, from->conn, from->page_size, from->lock_pgno);
    to->commit = from->commit;
    to->backfilled = from->backfilled;
    if (from->frames.n == 0)
        return WR_OK;
    all = wr_array(from->frames.n, sizeof(*all));
    if (!all)
        return wr_fail(e, WR_NOMEM, "copy the page map of the WAL");
    wr_pgmap_sorted(&from->frames, all);
    for (size_t i = 0; i < from->frames.n && st == WR_OK; i++)
        st = wr_pgmap_set(&to->frames, all[i].pgno, all[i].value);
    wr_free(all);
    if (st != WR_OK) {
        wr_view_release(to);
        return wr_fail(e, st, "copy the page map of the WAL");
    }
    return WR_OK;
}

/* The page's newest frame, if it is not in the database file. */
static bool newer_frame(const struct wr_view *v, uint32_t pgno, uint32_t *ret)
{
    return wr_pgmap_get(&v->frames, pgno, ret) && *ret > v->backfilled;
}

static enum wr_status frame_page(
    const struct wr_view *v, uint32_t frame, uint8_t *buf, struct wr_err *e)
{
    size_t got;
    enum wr_status st = wr_conn_read_wal(v->conn,
        wr_frame_offset(frame, v->page_size) + WR_FRAME_HEADER, buf, v->page_size, &got, e);

    if (st == WR_OK && got < v->page_size)
        st = wr_fail(e, WR_CORRUPT, "the WAL ends inside frame %u", frame);
    return st;
}

enum wr_status wr_view_page(const struct wr_view *v, uint32_t pgno, uint8_t *buf, struct wr_err *e)
{
    uint32_t frame;

    assert(pgno >= 1 && pgno != v->lock_pgno);
    if (newer_frame(v, pgno, &frame))
        return frame_page(v, frame, buf, e);
    return wr_conn_read_db(v->conn, (uint64_t)(pgno - 1) * v->page_size, buf, v->page_size, e);
}

enum wr_status wr_view_run(
    const struct wr_view *v, uint32_t first, uint32_t n, uint8_t *buf, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    for (uint32_t i = 0, many; i < n && st == WR_OK; i += many) {
        uint8_t *to = buf + (size_t)i * v->page_size;
        uint32_t frame, next;

        many = 1;
        if (newer_frame(v, first + i, &frame)) {
            st = frame_page(v, frame, to, e);
            continue;
        }
        while (i + many < n && !newer_frame(v, first + i + many, &next))
            many++;
        st = wr_conn_read_db(
            v->conn, (uint64_t)(first + i - 1) * v->page_size, to, (size_t)many * v->page_size, e);
    }
    return st;
}
