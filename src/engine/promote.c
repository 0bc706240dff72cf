/*
 * promote.c - see promote.h.
 */
#include "engine/promote.h"

#include "base/mem.h"
#include "base/mutant.h"
#include "engine/follow_int.h"
#include "engine/ledger.h"
#include "engine/machine.h"
#include "engine/promote_int.h"
#include "engine/remote.h"
#include "ltx/ltx.h"
#include "storage/storage.h"

#define REQUEST_MS  ((int64_t)120 * 1000)
#define PATIENCE_MS ((int64_t)30 * 1000)

static const char *beside(struct wr_promotion *p, const char *suffix)
{
    return wr_arena_fmt(p->c->scratch, "%s%s", p->copy, suffix).p;
}

static bool is_there(const struct wr_promotion *p, const char *path)
{
    struct wr_file_info info;

    return p->o.fs->stat(p->o.fs, path, &info, NULL) == WR_OK;
}

void wr_promotion_request(struct wr_promotion *p)
{
    p->c->deadline_ms = wr_mono_ms(p->c->clock) + REQUEST_MS;
}

int64_t wr_promotion_patience(const struct wr_promotion *p)
{
    return wr_mono_ms(p->c->clock) + p->o.patience_ms;
}

/* ---- who we are ---- */

static enum wr_status find_meta_dir(struct wr_promotion *p, struct wr_err *e)
{
    struct wr_str dir = wr_path_dir(p->o.path), base = wr_path_base(p->o.path);

    p->meta_dir =
        p->o.meta_dir
            ? p->o.meta_dir
            : wr_arena_fmt(p->c->scratch, WR_FMT "/." WR_FMT "-weir", WR_ARG(dir), WR_ARG(base)).p;
    return p->meta_dir ? WR_OK : wr_fail(e, WR_NOMEM, "%s: out of memory", p->o.path);
}

/* The number of the database that it will be, as a primary makes it (prove.c). It is not kept yet:
 * one that was found on the way to a failure would be taken for ours at the next try. */
static enum wr_status find_node(struct wr_promotion *p, struct wr_err *e)
{
    enum wr_status st = wr_node_find(p->o.fs, p->meta_dir, p->copy, &p->node, e);

    p->found = p->node.number;
    return st;
}

/* Before the lease names it: a primary that a power cut has taken its number from would be told
 * that another one was promoted, and a run after that would not know the fence that is there for
 * one. */
static enum wr_status make_durable(struct wr_promotion *p, struct wr_err *e)
{
    struct wr_str parent = wr_arena_str(p->c->scratch, wr_path_dir(p->meta_dir));
    const char *path = wr_arena_fmt(p->c->scratch, "%s/node", p->meta_dir).p;
    struct wr_file *f = NULL;
    enum wr_status st = path && parent.p ? wr_file_open(p->o.fs, path, WR_FILE_WRITE, 0, &f, e)
                                         : wr_fail(e, WR_NOMEM, "%s: out of memory", p->o.path);

    if (st == WR_OK)
        st = wr_file_sync(f, e);
    wr_file_close(f);
    if (st == WR_OK)
        st = p->o.fs->sync_dir(p->o.fs, p->meta_dir, e);
    return st == WR_OK ? p->o.fs->sync_dir(p->o.fs, parent.p, e) : st;
}

/* As it was looked at: an earlier run has it, or another machine of our image. */
static bool has_lease(const struct wr_promotion *p)
{
    return p->node.was == WR_NODE_KEPT && p->seen.lease.epoch > 0 &&
           p->seen.lease.node == p->node.number;
}

/* Two that had one number would not be told of each other by the lease. So one that was kept before
 * is that of the past: the same may be kept on another machine of the image that this one was made
 * from, and the primary be one of those, or have been, and sleep. Nothing that is kept beside the
 * number would tell them apart, as an image has it all. One that is made here may be that of a
 * machine with the same id; who is known to have it is in the newest file, or in the lease. */
static enum wr_status settle_node(struct wr_promotion *p, uint64_t newest, struct wr_err *e)
{
    const bool kept = p->node.was == WR_NODE_KEPT && !WR_MUTANT(NUMBER_OF_IMAGE);
    const bool taken = p->node.number == newest || p->node.number == p->seen.lease.node;
    enum wr_status st = wr_mkdirs(p->state_fs, p->meta_dir, 0700, e);

    if (has_lease(p))
        p->before = p->node.number;
    if (st == WR_OK && (kept || taken))
        st = wr_node_renew(p->state_fs, p->meta_dir, p->copy, &p->node.number, e);
    else if (st == WR_OK)
        st = wr_node_keep(p->state_fs, p->meta_dir, p->copy, &p->node, e);
    return st == WR_OK ? make_durable(p, e) : st;
}

/* ---- the database that it is from now on ---- */

/* An empty one, with room on the disk for all pages. The caller closes it, also after a failure. */
static enum wr_status open_ledger(struct wr_promotion *p, struct wr_ledger **ret, struct wr_err *e)
{
    const struct wr_follow_pos *pos = &p->f->pos;
    enum wr_status st = wr_ledger_open(p->state_fs, p->meta_dir, pos->page_size,
        wr_ltx_lock_pgno(pos->page_size, p->o.lock_offset), wr_machine_run(p->o.fs), ret, e);

    return st == WR_OK ? wr_ledger_fill_begin(*ret, pos->pages, e) : st;
}

static enum wr_status try_ledger(struct wr_promotion *p, struct wr_err *e)
{
    struct wr_ledger *l = NULL;
    enum wr_status st = wr_mkdirs(p->state_fs, p->meta_dir, 0700, e);

    if (st == WR_OK)
        st = open_ledger(p, &l, e);
    wr_ledger_close(l);
    return st;
}

static enum wr_status keep_ledger(struct wr_promotion *p, uint64_t txid, struct wr_err *e)
{
    const struct wr_follow_pos *pos = &p->f->pos;
    const struct wr_pos nowhere = {0};
    struct wr_ledger *l = NULL;
    uint64_t rolling = 0;
    enum wr_status st = open_ledger(p, &l, e);

    p->c->deadline_ms = WR_NEVER;
    if (st == WR_OK)
        st = wr_follow_sum_up(p->f, p->c, l, &rolling, e);
    if (st == WR_OK && pos->rolling && rolling != pos->rolling)
        st = wr_fail(e, WR_CORRUPT, "%s: pages of it have changed meanwhile", p->o.path);
    if (st == WR_OK)
        st = wr_ledger_fill_end(l, txid, &nowhere, e);
    if (st == WR_OK)
        st = wr_ledger_sync(l, e);
    wr_ledger_close(l);
    return st;
}

static enum wr_status remove_file(struct wr_promotion *p, const char *path, struct wr_err *e)
{
    enum wr_status st = path ? p->o.fs->remove(p->o.fs, path, e)
                             : wr_fail(e, WR_NOMEM, "%s: out of memory", p->o.path);

    return st == WR_NOTFOUND ? WR_OK : st;
}

/* Under the lock that is in the last of them. Without that one, the other would make it look like a
 * copy of Litestream's. For good: a file that is there again after a power cut would keep the
 * primary from being replicated (attach.c). */
static enum wr_status let_go(struct wr_promotion *p, struct wr_err *e)
{
    struct wr_str dir = wr_arena_str(p->c->scratch, wr_path_dir(p->copy));
    enum wr_status st = remove_file(p, beside(p, WR_FOLLOW_TXID_SUFFIX), e);

    if (st == WR_OK)
        st = remove_file(p, beside(p, WR_FOLLOW_SUFFIX), e);
    if (st == WR_OK && !dir.p)
        st = wr_fail(e, WR_NOMEM, "%s: out of memory", p->o.path);
    return st == WR_OK ? p->o.fs->sync_dir(p->o.fs, dir.p, e) : st;
}

/* ---- all of it ---- */

/* A file that is no copy: of an earlier run, perhaps, that went to the end. */
static enum wr_status no_copy(struct wr_promotion *p, struct wr_promoted *ret, struct wr_err *e)
{
    const char *ledger = wr_arena_fmt(p->c->scratch, "%s/ledger", p->meta_dir).p;

    if (!ledger)
        return wr_fail(e, WR_NOMEM, "%s: out of memory", p->o.path);
    if (!has_lease(p) || !is_there(p, ledger))
        return wr_fail(e, WR_CONFLICT,
            "%s is no copy that follows a replica: make one with weir restore -f, into a file of "
            "its own",
            p->o.path);
    *ret = (struct wr_promoted){.lease = p->seen.lease, .before = true};
    return WR_OK;
}

/* Up to the lease: what cannot be done fails before anything has changed. */
static enum wr_status prepare(struct wr_promotion *p, struct wr_err *e)
{
    struct wr_remote_seen seen = {0};
    struct wr_remote_pos newest = {0};
    uint64_t rolling;
    enum wr_status st = wr_promotion_check_store(p, e);

    if (st == WR_OK)
        st = wr_promotion_open_copy(p, e);
    if (st == WR_OK)
        st = wr_promotion_catch_up(p, e);
    if (st == WR_OK)
        st = wr_promotion_prove(p, &rolling, e);
    if (st == WR_OK)
        st = wr_promotion_try_to_apply(p, e);
    if (st == WR_OK)
        st = try_ledger(p, e);
    if (st == WR_OK) {
        wr_promotion_request(p);
        st = wr_remote_find(p->s, p->c, &seen, NULL, &newest, e);
    }
    return st == WR_OK ? settle_node(p, newest.node_id, e) : st;
}

static enum wr_status promote(struct wr_promotion *p, struct wr_promoted *ret, struct wr_err *e)
{
    const char *follow = beside(p, WR_FOLLOW_SUFFIX), *txid = beside(p, WR_FOLLOW_TXID_SUFFIX);
    enum wr_status st = find_meta_dir(p, e);

    if (!follow || !txid)
        return wr_fail(e, WR_NOMEM, "%s: out of memory", p->o.path);
    if (st == WR_OK && !is_there(p, p->o.path))
        st = wr_fail(e, WR_NOTFOUND, "no copy at %s", p->o.path);
    if (st == WR_OK)
        st = find_node(p, e);
    if (st == WR_OK)
        st = wr_promotion_look_at_lease(p, e);
    if (st == WR_OK && !is_there(p, follow) && !is_there(p, txid))
        return no_copy(p, ret, e);
    if (st == WR_OK)
        st = prepare(p, e);
    if (st == WR_OK)
        st = wr_promotion_take_lease(p, e);
    if (st == WR_OK)
        st = wr_promotion_shut_out(p, e);
    if (st != WR_OK)
        return st;
    st = keep_ledger(p, p->end, e);
    if (st == WR_OK)
        st = let_go(p, e);
    if (st == WR_OK)
        *ret = (struct wr_promoted){.lease = p->lease,
            .txid = p->f->pos.txid,
            .time_ms = p->f->pos.time_ms,
            .next = p->end};
    return st;
}

enum wr_status wr_promote(struct wr_storage *s, struct wr_call *c, const struct wr_promote_opts *o,
    struct wr_promoted *ret, struct wr_err *e)
{
    struct wr_call own = *c;
    struct wr_promotion p = {.s = s, .c = &own, .o = *o, .copy = o->path};
    char *real = NULL;
    enum wr_status st;

    p.state_fs = p.o.fs ? p.o.fs : wr_fs_giving();
    if (!p.o.fs)
        p.o.fs = wr_fs_posix();
    if (p.o.lock_offset == 0)
        p.o.lock_offset = WR_LTX_LOCK_OFFSET;
    if (p.o.patience_ms <= 0)
        p.o.patience_ms = PATIENCE_MS;
    st = p.o.fs->resolve(p.o.fs, o->path, &real, e);
    if (st != WR_OK && st != WR_NOTFOUND) /* that is told as "no copy" */
        return st;
    if (st == WR_OK)
        p.copy = real; /* as whoever follows names what is beside it, and a primary itself */
    st = promote(&p, ret, e);
    wr_follow_close(p.f);
    wr_free(real);
    return st;
}
