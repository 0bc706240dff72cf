/*
 * loose.c - see loose.h: a walk over all files, and one over those that are left.
 */
#include "engine/loose.h"

#include "base/mem.h"
#include "base/sorted.h"
#include "engine/grace.h"
#include "engine/retain.h"
#include "engine/walk.h"

#define AHEAD 6 /* times the grace */

/* The TXIDs to which chains lead, ascending. */
static enum wr_status find_points(
    struct wr_ltx_file *files, size_t n, uint64_t *points, size_t *ret_n, struct wr_err *e)
{
    struct wr_walk w;
    enum wr_status st = wr_walk_init(&w, files, n, 0, e);

    *ret_n = 0;
    while (st == WR_OK) {
        st = wr_walk_open(&w, e);
        if (st != WR_OK || !wr_walk_next(&w))
            break;
        wr_walk_take(&w);
        points[(*ret_n)++] = w.cur;
        while (wr_walk_pass(&w))
            ;
    }
    wr_walk_release(&w);
    return st;
}

/* Whether one of them is from `from` to `to`. */
static bool has_point(const uint64_t *points, size_t n, uint64_t from, uint64_t to)
{
    size_t at = wr_sorted_u64(points, n, from);

    return at < n && points[at] <= to;
}

/* Whether nothing leads to where it ends, be it there or gone: on the way of a deletion it is there
 * when others are gone already. */
static bool is_loose(const struct wr_ltx_file *f, const uint64_t *points, size_t n)
{
    return f->min > 1 && !has_point(points, n, f->min - 1, f->max);
}

enum wr_status wr_loose(struct wr_ltx_file *files, size_t n, const bool *gone,
    uint64_t ret[WR_LEVEL_MAX + 1], struct wr_err *e)
{
    size_t room = n ? n : 1, n_left = 0, n_was = 0, n_is = 0;
    struct wr_ltx_file *left = wr_array(room, sizeof(*left));
    uint64_t *was = wr_array(room, sizeof(*was)), *is = wr_array(room, sizeof(*is));
    enum wr_status st = WR_OK;

    memset(ret, 0, (WR_LEVEL_MAX + 1) * sizeof(ret[0]));
    if (!left || !was || !is)
        st = wr_fail(e, WR_NOMEM, "ways through %zu files: out of memory", n);
    for (size_t i = 0; st == WR_OK && i < n; i++) {
        if (!gone[i])
            left[n_left++] = files[i];
    }
    if (st == WR_OK)
        st = find_points(files, n, was, &n_was, e);
    if (st == WR_OK)
        st = find_points(left, n_left, is, &n_is, e);
    for (size_t i = 0; st == WR_OK && i < n; i++) {
        const struct wr_ltx_file *f = &files[i];

        if (f->max > ret[f->level] && has_point(was, n_was, f->max, f->max) &&
            is_loose(f, is, n_is))
            ret[f->level] = f->max;
    }
    wr_free(left);
    wr_free(was);
    wr_free(is);
    return st;
}

static int64_t ahead_ms(const struct wr_retention *r)
{
    return AHEAD * wr_grace_ms(r);
}

/* What is deleted at once by then was at least so long. */
static int64_t sooner(int64_t ms, int64_t by_ms)
{
    return ms <= 0 ? ms : ms > by_ms ? ms - by_ms : 1;
}

enum wr_status wr_loose_ahead(const struct wr_ltx_file *files, size_t n,
    const struct wr_retention *r, bool *gone, struct wr_err *e)
{
    struct wr_retention then = *r;
    enum wr_kept *kept = wr_array(n ? n : 1, sizeof(*kept));
    enum wr_status st =
        kept ? WR_OK : wr_fail(e, WR_NOMEM, "retention of %zu files: out of memory", n);

    then.keep_ms = sooner(r->keep_ms, ahead_ms(r));
    then.l0_ms = sooner(r->l0_ms, ahead_ms(r));
    if (st == WR_OK)
        st = wr_retain(files, n, &then, kept, e);
    for (size_t i = 0; st == WR_OK && i < n; i++)
        gone[i] = gone[i] || kept[i] == WR_KEPT_NOT;
    wr_free(kept);
    return st;
}

bool wr_loose_lasts(const struct wr_retention *r, unsigned level)
{
    int64_t ms = level == 0 && r->l0_ms > 0 ? r->l0_ms : r->keep_ms;

    return ms <= 0 || ms >= 2 * ahead_ms(r);
}
