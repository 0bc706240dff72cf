/*
 * promote_fence.c - the name that the old primary would create next is created by the new one.
 */
#include "base/mem.h"
#include "base/mutant.h"
#include "engine/fence.h"
#include "engine/follow_int.h"
#include "engine/layout.h"
#include "engine/promote_int.h"
#include "engine/remote.h"
#include "storage/storage.h"

/* Names that were lost in a row, until it is looked whether there are more by now. */
#define LOST_MAX 4u
/* Files that are read in a row; then to apply them is faster. */
#define READ_MAX 1024u

static enum wr_status fence_of(
    struct wr_promotion *p, uint64_t rolling, struct wr_fence *ret, struct wr_err *e)
{
    const struct wr_follow_pos *pos = &p->f->pos;
    uint8_t *page = wr_alloc(pos->page_size);
    enum wr_status st = page ? wr_follow_read_page(p->f, 1, page, e)
                             : wr_fail(e, WR_NOMEM, "page buffer: out of memory");

    *ret = (struct wr_fence){.node = p->node.number,
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

/* All that is there, to its end or for as long as it makes sense. NOTFOUND: the name behind *at may
 * be free. Else as read_on. */
static enum wr_status read_all(
    struct wr_promotion *p, struct wr_fence *f, int64_t end_ms, uint64_t *at, struct wr_err *e)
{
    for (unsigned i = 0; i < READ_MAX && wr_mono_ms(p->c->clock) < end_ms; i++) {
        enum wr_status st = read_on(p, f, at, e);

        if (st != WR_OK)
            return st;
    }
    return wr_fail(e, WR_CONFLICT, "there is more than txid %016llx", (unsigned long long)*at);
}

/* Create the name behind *at. One that sends without a pause is faster than its files can be
 * applied; to read where each one leads is enough. When it has just won a name, the next one is
 * tried for at once, as it begins to send that only now. CONFLICT: it has not come to that. */
static enum wr_status chase(
    struct wr_promotion *p, struct wr_fence *f, int64_t end_ms, uint64_t *at, struct wr_err *e)
{
    enum wr_status st;

    for (unsigned lost = 0;; lost++) {
        struct wr_err why = {0};

        if (lost % LOST_MAX == 0) {
            st = wr_promotion_still_ours(p, e);
            if (st != WR_OK)
                return st;
            st = read_all(p, f, end_ms, at, e);
            if (st != WR_NOTFOUND)
                return st;
        }
        wr_promotion_request(p);
        st = wr_fence_put(p->s, p->c, f, *at + 1, *at + 1, e);
        if (st != WR_CONFLICT)
            return st;
        if (read_on(p, f, at, &why) != WR_OK || wr_mono_ms(p->c->clock) >= end_ms)
            return st;
    }
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
    if (st == WR_OK)
        p->fence = at + 1;
    wr_free(f.page);
    return st;
}

/* The fence of an earlier run, which was killed behind it: the copy is at it. It has to be the one
 * right before what is left out, as only that one is known for a fence, and never deleted
 * (retain.c). If it is that of another machine of our image, it keeps the old primary out as well,
 * and that machine has lost the lease. */
static enum wr_status find_fence(struct wr_promotion *p, uint64_t rolling, struct wr_err *e)
{
    struct wr_fence f;
    bool stands = false;
    enum wr_status st;

    if (p->fence > 0 || p->before == 0)
        return WR_OK;
    st = fence_of(p, rolling, &f, e);
    f.node = p->before;
    wr_promotion_request(p);
    if (st == WR_OK)
        st = wr_fence_stands(p->s, p->c, p->f->pos.txid, &f, &stands, e);
    if (stands)
        p->fence = p->f->pos.txid;
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
    return st == WR_CONFLICT
               ? wr_fail(e, WR_BUSY,
                     "another promotion, or an earlier run, was faster with the file behind the "
                     "fence, txid %016llx: run this again",
                     (unsigned long long)from)
               : st;
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

/* The names of level 0 that the old primary had created may be gone, as what is merged is deleted
 * some time later: then the fence may have one of those. Whether there is a file of a level above
 * that has its TXID: who asks for that one would be given the state before it. Merged is what
 * counted. A snapshot that goes beyond it may be anybody's, and then the name is still to come: of
 * those only one that ends there tells, as who goes on from there would have to choose. */
static bool has_used(const struct wr_ltx_file *f, uint64_t txid)
{
    return f->level > 0 &&
           (f->max == txid || (f->level != WR_LEVEL_SNAPSHOT && f->min <= txid && f->max >= txid));
}

static enum wr_status was_used(struct wr_promotion *p, bool *ret, struct wr_err *e)
{
    struct wr_ltx_files all = {0};
    enum wr_status st;

    wr_promotion_request(p);
    st = wr_layout_list_all(p->s, p->c, &all, e);
    *ret = false;
    for (size_t i = 0; i < all.n; i++)
        *ret = *ret || has_used(&all.p[i], p->fence);
    wr_ltx_files_release(&all);
    return st;
}

/* It keeps nobody out: whoever had that name has counted it, and does not send it again. */
static enum wr_status take_back(struct wr_promotion *p, struct wr_err *e)
{
    struct wr_str key = wr_layout_ltx_key(p->c->scratch, p->s, 0, p->fence, p->fence);

    p->fence = 0;
    if (!key.p)
        return wr_fail(e, WR_NOMEM, "name of a fence: out of memory");
    wr_promotion_request(p);
    return wr_storage_remove(p->s, p->c, &key, 1, e);
}

/* Whether nothing leads beyond the fence. */
static bool stands(const struct wr_promotion *p)
{
    return p->fence > 0 && (p->f->pos.txid <= p->fence || WR_MUTANT(FENCE_TAKES_USED_NAME));
}

/* With the fence in place it is looked once more what leads beyond it, as the newest file of a
 * replica is never deleted. If there is such a one, the next name is tried for. */
enum wr_status wr_promotion_shut_out(struct wr_promotion *p, struct wr_err *e)
{
    uint64_t rolling = 0;
    int64_t end_ms = 0;
    enum wr_status st = WR_OK;

    for (;;) {
        struct wr_err why = {0};
        bool used = false;

        st = catch_up_and_sum(p, &rolling, e);
        if (st == WR_OK)
            st = wr_promotion_still_ours(p, e);
        if (st != WR_OK)
            return st;
        if (stands(p) || WR_MUTANT(PROMOTE_NO_FENCE))
            break;
        if (end_ms == 0) /* to apply what there was may have taken longer than that */
            end_ms = wr_promotion_patience(p);
        st = find_fence(p, rolling, &why);
        if (st == WR_OK && p->fence != p->f->pos.txid)
            st = put_fence(p, rolling, end_ms, &why);
        if (st == WR_CONFLICT && wr_mono_ms(p->c->clock) < end_ms)
            continue;
        if (st == WR_CONFLICT)
            return wr_fail(e, WR_BUSY,
                "the old primary is alive, and writes to the replica faster than its files can be "
                "read: stop it, and run this again: %s",
                why.text);
        if (st != WR_OK)
            return wr_fail(e, st, "%s", why.text);
        st = was_used(p, &used, e);
        if (st == WR_OK && used && !WR_MUTANT(FENCE_TAKES_USED_NAME))
            st = take_back(p, e);
        if (st != WR_OK)
            return st;
    }
    if (p->f->pos.txid < p->fence)
        return wr_fail(e, WR_BUSY,
            "files up to the fence, txid %016llx, are not to be had: run this again",
            (unsigned long long)p->fence);
    st = go_away(p, rolling, e);
    return st == WR_OK ? wr_promotion_still_ours(p, e) : st;
}
