/*
 * onward.c - see onward.h.
 */
#include "engine/onward.h"

#define BUDGET ((uint64_t)256 << 10)

const struct wr_ltx_file *wr_onward_next(
    const struct wr_ltx_files *all, uint64_t cur, uint64_t budget)
{
    const struct wr_ltx_file *far = NULL, *small = NULL;

    for (size_t i = 0; i < all->n; i++) {
        const struct wr_ltx_file *f = &all->p[i];

        if (f->level == WR_LEVEL_SNAPSHOT || f->min > cur + 1 || f->max <= cur)
            continue;
        if (f->size <= budget &&
            (!far || f->max > far->max || (f->max == far->max && f->size < far->size)))
            far = f;
        if (!small || f->size < small->size)
            small = f;
    }
    return far ? far : small;
}

enum wr_status wr_onward_chain(
    const struct wr_ltx_files *all, uint64_t cur, struct wr_ltx_files *out, struct wr_err *e)
{
    uint64_t bytes = 0;
    enum wr_status st = WR_OK;

    while (st == WR_OK && out->n < WR_ONWARD_FILES_MAX) {
        const struct wr_ltx_file *f = wr_onward_next(all, cur, wr_max(bytes, BUDGET));

        if (!f || (out->n > 0 && bytes + f->size > WR_ONWARD_BYTES_MAX))
            break;
        st = wr_ltx_files_add(out, f, e);
        bytes += f->size;
        cur = f->max;
    }
    return st;
}

enum wr_status wr_onward_probe(struct wr_storage *s, struct wr_call *c, int64_t request_ms,
    uint64_t cur, size_t max, struct wr_ltx_files *out, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    for (size_t i = 0; i < max && st == WR_OK; i++) {
        struct wr_ltx_file file;

        cur++;
        if (request_ms > 0)
            c->deadline_ms = wr_mono_ms(c->clock) + request_ms;
        st = wr_layout_find(s, c, 0, cur, cur, &file, e);
        if (st == WR_NOTFOUND)
            return WR_OK;
        if (st != WR_OK)
            return wr_wrap(e, st, "look for transaction %016llx", (unsigned long long)cur);
        st = wr_ltx_files_add(out, &file, e);
    }
    return st;
}
