/*
 * follow_confirm.c - whether what a copy has from the primary is in the bucket as well, and whether
 * the bucket still is what the copy was once seen to be in step with.
 *
 * A file tells what the database was at two transactions: at the one it ends with, and at the one
 * it goes on from.
 */
#include "engine/follow_int.h"
#include "engine/inputs.h"

#define REQUEST_MS 60000

/* What files say of the database at a transaction. */
enum told {
    TOLD_NOTHING,
    TOLD_SAME,
    TOLD_OTHER,
};

static enum wr_status ask_file(const struct wr_follow *f, struct wr_call *c,
    const struct wr_ltx_file *file, const struct wr_follow_mark *of, enum told *ret,
    struct wr_err *e)
{
    struct wr_input in = {.file = file};
    enum wr_status st;

    c->deadline_ms = wr_mono_ms(c->clock) + REQUEST_MS;
    st = wr_input_open(f->storage, c, f->opts.restore.lock_offset, &in, e);
    if (st == WR_OK && in.header.has_rolling) {
        uint64_t is = file->max == of->txid ? in.header.rolling_post : in.header.rolling_pre;

        *ret = is == of->sum ? TOLD_SAME : TOLD_OTHER;
    }
    wr_input_release(&in);
    return st == WR_CORRUPT ? WR_OK : st; /* another one may tell */
}

static enum wr_status ask_files(const struct wr_follow *f, struct wr_call *c,
    const struct wr_ltx_files *files, const struct wr_follow_mark *of, enum told *ret,
    struct wr_err *e)
{
    enum wr_status st = WR_OK;

    *ret = TOLD_NOTHING;
    if (of->txid == 0 || of->sum == 0)
        return WR_OK;
    for (size_t i = 0; st == WR_OK && *ret != TOLD_SAME && i < files->n; i++)
        if (files->p[i].max == of->txid || files->p[i].min == of->txid + 1)
            st = ask_file(f, c, &files->p[i], of, ret, e);
    return st;
}

static enum wr_status list_all(
    struct wr_follow *f, struct wr_call *c, struct wr_ltx_files *all, struct wr_err *e)
{
    c->deadline_ms = wr_mono_ms(c->clock) + REQUEST_MS;
    return wr_layout_list_all(f->storage, c, all, e);
}

/* The state of the copy, which has no parts, if `files` have it as well, is no longer one that only
 * the primary had. */
static enum wr_status confirm_by(struct wr_follow *f, struct wr_call *c,
    const struct wr_ltx_files *files, bool *ret, struct wr_err *e)
{
    const struct wr_follow_mark is = wr_follow_here(f);
    struct wr_follow_pos now = f->pos;
    enum told told;
    enum wr_status st = ask_files(f, c, files, &is, &told, e);

    *ret = st == WR_OK && told == TOLD_SAME;
    now.fed = false;
    if (*ret)
        st = wr_follow_state_put(&f->state, &f->pos, &now, e);
    if (*ret && st == WR_OK) {
        f->pos = now;
        f->floor = is;
    }
    return st;
}

enum wr_status wr_follow_confirm(
    struct wr_follow *f, struct wr_call *c, bool *ret, struct wr_err *e)
{
    struct wr_ltx_files all = {0};
    enum wr_status st;

    *ret = !f->pos.fed;
    if (*ret || f->pos.part > 0)
        return WR_OK;
    st = list_all(f, c, &all, e);
    if (st == WR_OK)
        st = confirm_by(f, c, &all, ret, e);
    wr_ltx_files_release(&all);
    return st;
}

enum wr_status wr_follow_recognize(
    struct wr_follow *f, struct wr_call *c, const struct wr_ltx_files *files, struct wr_err *e)
{
    enum told told = TOLD_NOTHING;
    bool all = false;
    enum wr_status st = WR_OK;

    if (!f->pos.fed || f->lost || f->revert)
        return WR_OK;
    if (f->pos.part == 0)
        st = confirm_by(f, c, files, &all, e);
    if (st == WR_OK && !all && f->mark.txid < f->pos.txid)
        st = ask_files(f, c, files, &f->mark, &told, e);
    if (told == TOLD_SAME)
        f->floor = f->mark;
    if (st == WR_OK && (all || wr_ltx_files_newest(files) >= f->mark.txid))
        f->mark = wr_follow_here(f);
    return st;
}

enum wr_status wr_follow_parted(struct wr_follow *f, struct wr_call *c, bool *ret, struct wr_err *e)
{
    struct wr_ltx_files all = {0};
    enum told told;
    enum wr_status st;

    *ret = false;
    if (f->floor.txid == 0)
        return WR_OK;
    st = list_all(f, c, &all, e);
    if (st == WR_OK)
        st = ask_files(f, c, &all, &f->floor, &told, e);
    if (st == WR_OK)
        *ret = told == TOLD_OTHER || wr_ltx_files_newest(&all) < f->floor.txid;
    wr_ltx_files_release(&all);
    return st;
}
