/*
 * follow_confirm.c - whether what a copy has from the primary is in the bucket as well.
 */
#include "engine/follow_int.h"
#include "engine/inputs.h"

#define REQUEST_MS 60000

/* *ret: this file ends with the image of the copy. */
static enum wr_status ends_with_it(const struct wr_follow *f, struct wr_call *c,
    const struct wr_ltx_file *file, bool *ret, struct wr_err *e)
{
    struct wr_input in = {.file = file};
    enum wr_status st;

    c->deadline_ms = wr_mono_ms(c->clock) + REQUEST_MS;
    st = wr_input_open(f->storage, c, f->opts.restore.lock_offset, &in, e);
    *ret = st == WR_OK && in.header.has_rolling && in.header.rolling_post == f->pos.rolling;
    wr_input_release(&in);
    return st == WR_CORRUPT ? WR_OK : st; /* another one may tell */
}

enum wr_status wr_follow_confirm(
    struct wr_follow *f, struct wr_call *c, bool *ret, struct wr_err *e)
{
    struct wr_follow_pos now = f->pos;
    struct wr_ltx_files all = {0};
    enum wr_status st = WR_OK;

    *ret = !f->pos.fed;
    if (*ret || f->pos.part > 0)
        return WR_OK;
    c->deadline_ms = wr_mono_ms(c->clock) + REQUEST_MS;
    st = wr_layout_list_all(f->storage, c, &all, e);
    for (size_t i = 0; st == WR_OK && !*ret && i < all.n; i++)
        if (all.p[i].max == f->pos.txid)
            st = ends_with_it(f, c, &all.p[i], ret, e);
    wr_ltx_files_release(&all);
    now.fed = false;
    if (st == WR_OK && *ret)
        st = wr_follow_state_put(&f->state, &f->pos, &now, e);
    if (st == WR_OK && *ret)
        f->pos = now;
    return st;
}
