/*
 * promote_fence.c - the name that the old primary would create next is created by the new one.
 */
#include "base/mem.h"
#include "engine/fence.h"
#include "engine/follow_int.h"
#include "engine/promote_int.h"
#include "engine/remote.h"

/* Names that were lost in a row, until it is looked whether there are more by now. */
#define LOST_MAX 4u

static enum wr_status fence_of(
    struct wr_promotion *p, uint64_t rolling, struct wr_fence *ret, struct wr_err *e)
{
    const struct wr_follow_pos *pos = &p->f->pos;
    uint8_t *page = wr_alloc(pos->page_size);
    enum wr_status st = page ? wr_promotion_read_page(p, 1, page, e)
                             : wr_fail(e, WR_NOMEM, "page buffer: out of memory");

    *ret = (struct wr_fence){.node = p->node,
        .rolling = rolling,
        .page_size = pos->page_size,
        .commit = pos->pages,
        .pgno = 1,
        .lock_offset = p->o.lock_offset,
        .time_ms = wr_max(wr_wall_ms(p->c->clock), pos->time_ms),
        .page = page};
    return st;
}

/* *at is the name behind it, if that is there. NOTFOUND: it is not. CONFLICT: where it leads is not
 * to be read; to apply it tells what is wrong. */
static enum wr_status read_on(
    struct wr_promotion *p, struct wr_fence *f, uint64_t *at, struct wr_err *e)
{
    enum wr_status st;

    wr_promotion_request(p);
    st = wr_fence_behind(p->s, p->c, *at + 1, f, e);
    *at += st == WR_OK;
    return st == WR_UNSUPPORTED
               ? wr_wrap(e, WR_CONFLICT, "txid %016llx", (unsigned long long)*at + 1)
               : st;
}

/* Create the name behind *at. One that sends without a pause is faster than its files can be
 * applied; to read where each one leads is enough. When it has just won a name, the next one is
 * tried for at once, as it begins to send that only now. CONFLICT: it has not come to that. */
static enum wr_status chase(
    struct wr_promotion *p, struct wr_fence *f, int64_t end_ms, uint64_t *at, struct wr_err *e)
{
    unsigned lost = 0;
    enum wr_status st;

    do {
        struct wr_err why = {0};

        st = WR_NOTFOUND;
        if (lost % LOST_MAX == 0) {
            while ((st = read_on(p, f, at, &why)) == WR_OK && wr_mono_ms(p->c->clock) < end_ms)
                ;
        }
        if (st == WR_CONFLICT)
            return wr_fail(e, st, "%s", why.text);
        wr_promotion_request(p);
        st = wr_fence_put(p->s, p->c, f, *at + 1, *at + 1, e);
        if (st != WR_CONFLICT)
            return st;
        if (read_on(p, f, at, &why) != WR_OK)
            return st;
        lost++;
    } while (wr_mono_ms(p->c->clock) < end_ms);
    return st;
}

/* The copy is at a state that is among the newest. */
static enum wr_status put_fence(
    struct wr_promotion *p, uint64_t rolling, int64_t end_ms, struct wr_err *e)
{
    struct wr_fence f;
    uint64_t at = p->f->pos.txid;
    enum wr_status st = fence_of(p, rolling, &f, e);

    if (st == WR_OK)
        st = chase(p, &f, end_ms, &at, e);
    p->fence = at + 1;
    wr_free(f.page);
    return st;
}

/* The old primary sends nothing more that counts, and the copy has it all. */
static enum wr_status go_away(struct wr_promotion *p, uint64_t rolling, struct wr_err *e)
{
    struct wr_fence f;
    uint64_t from = wr_max(p->f->pos.txid, p->fence);
    enum wr_status st = fence_of(p, rolling, &f, e);

    p->end = from + WR_PROMOTE_AWAY;
    wr_promotion_request(p);
    if (st == WR_OK)
        st = wr_fence_put(p->s, p->c, &f, from + 1, p->end, e);
    wr_free(f.page);
    return st;
}

static enum wr_status catch_up_and_sum(
    struct wr_promotion *p, uint64_t *ret_rolling, struct wr_err *e)
{
    enum wr_status st = wr_promotion_catch_up(p, e);

    if (st == WR_OK && p->f->pos.txid >= WR_TXID_SANE - 2 * WR_PROMOTE_AWAY)
        return wr_fail(e, WR_LIMIT,
            "the replica's newest txid is so high that none is left to go on behind it");
    *ret_rolling = p->f->pos.rolling;
    return st == WR_OK && *ret_rolling == 0 ? wr_promotion_prove(p, ret_rolling, e)
                                            : st; /* none is recorded */
}

enum wr_status wr_promotion_shut_out(struct wr_promotion *p, struct wr_err *e)
{
    uint64_t rolling = 0;
    int64_t end_ms = 0;
    enum wr_status st;

    do {
        st = catch_up_and_sum(p, &rolling, e);
        if (st == WR_OK)
            st = wr_promotion_still_ours(p, e);
        if (st != WR_OK)
            return st;
        if (end_ms == 0) /* to apply what there was may have taken longer than that */
            end_ms = wr_promotion_patience(p);
        st = put_fence(p, rolling, end_ms, e);
    } while (st == WR_CONFLICT && wr_mono_ms(p->c->clock) < end_ms);
    if (st == WR_CONFLICT)
        return wr_wrap(e, WR_BUSY,
            "the old primary is alive, and writes to the replica faster than its files can be "
            "read: stop it, and run this again");
    if (st == WR_OK && p->f->pos.txid + 1 < p->fence) /* files that were read, and not applied */
        st = catch_up_and_sum(p, &rolling, e);
    if (st == WR_OK && p->f->pos.txid + 1 < p->fence)
        return wr_fail(e, WR_BUSY,
            "files before the fence, txid %016llx, are not to be had: run this again",
            (unsigned long long)p->fence);
    if (st == WR_OK)
        st = wr_promotion_still_ours(p, e);
    if (st == WR_OK)
        st = go_away(p, rolling, e);
    return st == WR_OK ? wr_promotion_still_ours(p, e) : st;
}
