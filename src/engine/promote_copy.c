/*
 * promote_copy.c - the copy that is to be promoted: at the newest state, and proven page by page.
 */
#include "base/mem.h"
#include "engine/follow_int.h"
#include "engine/promote_int.h"
#include "sqlite/patch.h"

#define READERS_MS ((int64_t)1000)
#define PAUSE_MS   ((int64_t)200) /* between steps that failed */

enum wr_status wr_promotion_open_copy(struct wr_promotion *p, struct wr_err *e)
{
    const struct wr_follow_opts fo = {.restore = {.fs = p->o.fs,
                                          .path = p->o.path,
                                          .parallel = p->o.parallel,
                                          .lock_offset = p->o.lock_offset},
        .interval_ms = PAUSE_MS,
        .patience_ms = READERS_MS};
    struct wr_restore_result none;

    p->c->deadline_ms = WR_NEVER;
    return wr_follow_open(p->s, p->c, &fo, &p->f, &none, e);
}

/* Whether the copy is what the replica has. It may be ahead, by commits that the old primary has
 * pushed and never uploaded: what goes on behind them would go on from nothing in the replica. So
 * they are undone. */
static enum wr_status as_the_replica(struct wr_promotion *p, bool *ret, struct wr_err *e)
{
    struct wr_follow *f = p->f;
    enum wr_status st = wr_follow_confirm(f, p->c, ret, e);

    if (st != WR_OK || *ret)
        return st;
    if (!f->revert)
        wr_log(p->c->log, WR_WARN,
            "the copy has commits from the old primary that never reached the replica: they are "
            "undone",
            WR_F_Z("output", p->o.path), WR_F_TXID("txid", f->pos.txid));
    f->revert = true;
    return WR_OK;
}

enum wr_status wr_promotion_catch_up(struct wr_promotion *p, struct wr_err *e)
{
    struct wr_follow *f = p->f;
    int64_t wait_ms = 0, end_ms = wr_promotion_patience(p);
    uint64_t goal = 0; /* the newest of the first list; 0: there was none yet */
    bool done = false;
    enum wr_status st;

    for (;;) {
        uint64_t listed = f->listed;

        p->c->deadline_ms = WR_NEVER;
        f->wide_ms = 0; /* all levels */
        st = wr_follow_step(f, p->c, &wait_ms, e);
        if (st != WR_OK)
            return st;
        /* A step that has failed once is OK, and leaves all else as the one before it had it. */
        if (f->errors == 0 && f->phase <= WR_FOLLOW_BEHIND)
            end_ms = wr_promotion_patience(p);
        if (f->listed != listed && goal == 0)
            goal = f->newest;
        if (f->errors == 0 && f->phase <= WR_FOLLOW_BEHIND && goal > 0 &&
            wr_min(goal, f->newest) <= f->pos.txid) {
            st = as_the_replica(p, &done, e);
            if (st != WR_OK || done)
                return st;
            goal = 0; /* it was further than that, and goes back */
        }
        if (f->phase >= WR_FOLLOW_WAITING && wr_mono_ms(p->c->clock) >= end_ms)
            return wr_fail(
                e, WR_BUSY, "cannot bring the copy to the newest state: %s", f->why.text);
        p->c->deadline_ms = WR_NEVER;
        if (f->phase >= WR_FOLLOW_WAITING)
            st = wr_call_sleep(p->c, wr_min(wait_ms, PAUSE_MS), e);
        if (st != WR_OK)
            return st;
    }
}

/* As a state is applied, up to where the first page would be written: that undoes itself. */
static enum wr_status try_once(struct wr_promotion *p, uint8_t *page, struct wr_err *e)
{
    const struct wr_follow_pos *pos = &p->f->pos;
    struct wr_patch *copy = p->f->copy;
    uint64_t bytes = 0;
    enum wr_status st = wr_patch_begin(copy, &bytes, e);

    if (st == WR_OK)
        st = wr_patch_read(copy, page, pos->page_size, 0, e);
    if (st == WR_OK)
        st = wr_patch_journal(copy, pos->page_size, pos->pages, e);
    if (st == WR_OK)
        st = wr_patch_keep(copy, 1, page, e);
    if (st == WR_OK)
        st = wr_patch_sync(copy, e);
    if (st == WR_OK)
        st = wr_patch_lock(copy, p->c, READERS_MS, e);
    wr_patch_end(copy);
    return st;
}

enum wr_status wr_promotion_try_to_apply(struct wr_promotion *p, struct wr_err *e)
{
    int64_t end_ms = wr_promotion_patience(p);
    uint8_t *page = wr_alloc(p->f->pos.page_size);
    enum wr_status st = page ? WR_BUSY : wr_fail(e, WR_NOMEM, "page buffer: out of memory");

    p->c->deadline_ms = WR_NEVER;
    while (st == WR_BUSY) {
        struct wr_err why = {0};

        st = try_once(p, page, &why);
        if (st == WR_BUSY && wr_mono_ms(p->c->clock) >= end_ms)
            break;
        if (st == WR_BUSY)
            st = wr_call_sleep(p->c, PAUSE_MS, e) == WR_OK ? WR_BUSY : WR_CANCELED;
        else if (st != WR_OK)
            (void)wr_fail(e, st, "%s: the copy cannot be written to: %s; nothing was changed",
                p->o.path, why.text);
    }
    wr_free(page);
    return st != WR_BUSY ? st
                         : wr_fail(e, st,
                               "%s: somebody reads the copy, or writes to it, for longer than "
                               "%lld s, and what the old primary may still send could not be "
                               "applied; nothing was changed. End that, and run this again",
                               p->o.path, (long long)p->o.patience_ms / 1000);
}

/* Where the replica records what the state must add up to, it does. *ret: what it adds up to. */
enum wr_status wr_promotion_prove(struct wr_promotion *p, uint64_t *ret, struct wr_err *e)
{
    uint64_t want = p->f->pos.rolling;
    enum wr_status st;

    p->c->deadline_ms = WR_NEVER;
    st = wr_follow_sum_up(p->f, p->c, NULL, ret, e);
    if (st != WR_OK || want == 0 || want == *ret)
        return st;
    return wr_fail(e, WR_CORRUPT,
        "%s: pages of the copy are not what was written to it: its checksum is %016llx, and "
        "that of transaction %016llx is %016llx; nothing was changed. Follow the replica into a "
        "new file, and promote that",
        p->o.path, (unsigned long long)*ret, (unsigned long long)p->f->pos.txid,
        (unsigned long long)want);
}
