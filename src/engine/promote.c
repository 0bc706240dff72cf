/*
 * promote.c - see promote.h.
 */
#include "engine/promote.h"

#include "base/mem.h"
#include "engine/fence.h"
#include "engine/follow_int.h"
#include "engine/ledger.h"
#include "engine/node.h"
#include "engine/remote.h"
#include "ltx/ltx.h"
#include "sqlite/patch.h"
#include "storage/probe.h"
#include "storage/storage.h"

#include <unistd.h>

#define REQUEST_MS  ((int64_t)120 * 1000)
#define PATIENCE_MS ((int64_t)30 * 1000)
#define PROBE_MS    ((int64_t)20 * 1000)
#define READERS_MS  ((int64_t)1000)
#define PAUSE_MS    ((int64_t)200) /* between steps that failed */
#define PARALLEL    8u
#define HOST_MAX    64u
#define CHASE_MAX   256u /* files that are read to be ahead of the old primary; then all is applied \
                          */

struct promotion {
    struct wr_storage *s;
    struct wr_call *c;
    struct wr_promote_opts o;
    const char *meta_dir;
    struct wr_follow *f;
    bool node_kept; /* the number is from an earlier run, of this or as a primary */
    uint64_t node;
    struct wr_lease_seen seen;
    struct wr_lease lease; /* ours, once its epoch is not 0 */
    uint64_t fence;        /* TXID of the name that was taken */
    uint64_t end;          /* the last one that is left out */
    int64_t end_ms;
};

static const char *beside(struct promotion *p, const char *suffix)
{
    return wr_arena_fmt(p->c->scratch, "%s%s", p->o.path, suffix).p;
}

static bool is_there(const struct promotion *p, const char *path)
{
    struct wr_file_info info;

    return p->o.fs->stat(p->o.fs, path, &info, NULL) == WR_OK;
}

static void request(struct promotion *p)
{
    p->c->deadline_ms = wr_mono_ms(p->c->clock) + REQUEST_MS;
}

/* ---- who we are ---- */

static enum wr_status find_meta_dir(struct promotion *p, struct wr_err *e)
{
    struct wr_str dir = wr_path_dir(p->o.path), base = wr_path_base(p->o.path);

    p->meta_dir =
        p->o.meta_dir
            ? p->o.meta_dir
            : wr_arena_fmt(p->c->scratch, WR_FMT "/." WR_FMT "-weir", WR_ARG(dir), WR_ARG(base)).p;
    return p->meta_dir ? WR_OK : wr_fail(e, WR_NOMEM, "%s: out of memory", p->o.path);
}

/* The number of the database that it will be, as a primary makes it (prove.c). */
static enum wr_status find_node(struct promotion *p, struct wr_err *e)
{
    const char *kept = wr_arena_fmt(p->c->scratch, "%s/node", p->meta_dir).p;
    char *real = NULL;
    enum wr_status st = kept ? WR_OK : wr_fail(e, WR_NOMEM, "%s: out of memory", p->o.path);

    if (st == WR_OK)
        st = wr_mkdirs(p->o.fs, p->meta_dir, 0700, e);
    if (st == WR_OK)
        st = p->o.fs->resolve(p->o.fs, p->o.path, &real, e);
    p->node_kept = st == WR_OK && is_there(p, kept);
    if (st == WR_OK)
        st = wr_node_id(p->o.fs, p->meta_dir, real, &p->node, e);
    wr_free(real);
    return st;
}

/* Machines of one image may have the same number for the same path: then a new one tells them
 * apart. One that was kept is ours. */
static enum wr_status settle_node(struct promotion *p, uint64_t newest, struct wr_err *e)
{
    char *real = NULL;
    enum wr_status st;

    if (p->node_kept || (p->node != newest && p->node != p->seen.lease.node))
        return WR_OK;
    st = p->o.fs->resolve(p->o.fs, p->o.path, &real, e);
    if (st == WR_OK)
        st = wr_node_renew(p->o.fs, p->meta_dir, real, &p->node, e);
    wr_free(real);
    return st;
}

/* ---- the copy ---- */

static enum wr_status open_copy(struct promotion *p, struct wr_err *e)
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

/* Bring it to the newest state of a listing that begins from now on. */
static enum wr_status catch_up(struct promotion *p, struct wr_err *e)
{
    struct wr_follow *f = p->f;
    int64_t wait_ms = 0;
    enum wr_status st;

    for (;;) {
        p->c->deadline_ms = WR_NEVER;
        f->wide_ms = 0; /* all levels */
        st = wr_follow_step(f, p->c, &wait_ms, e);
        if (st != WR_OK)
            return st;
        if (f->phase == WR_FOLLOW_CURRENT && f->newest <= f->pos.txid)
            return WR_OK;
        if (f->phase >= WR_FOLLOW_WAITING && wr_mono_ms(p->c->clock) >= p->end_ms)
            return wr_fail(
                e, WR_BUSY, "cannot bring the copy to the newest state: %s", f->why.text);
        p->c->deadline_ms = WR_NEVER;
        if (f->phase >= WR_FOLLOW_WAITING)
            st = wr_call_sleep(p->c, wr_min(wait_ms, PAUSE_MS), e);
        if (st != WR_OK)
            return st;
    }
}

/* As the replica has page 1, and not the copy. */
static enum wr_status read_page(struct promotion *p, uint32_t pgno, uint8_t *page, struct wr_err *e)
{
    const struct wr_follow_pos *pos = &p->f->pos;
    enum wr_status st =
        wr_patch_read(p->f->copy, page, pos->page_size, (uint64_t)(pgno - 1) * pos->page_size, e);

    if (st == WR_OK && pgno == 1)
        memcpy(page, pos->header, WR_DB_HEADER);
    return st;
}

/* Its pages' checksums to `l`, unless that is NULL; what they add up to. Others may read meanwhile,
 * and not write. */
static enum wr_status sum_up(
    struct promotion *p, struct wr_ledger *l, uint64_t *ret_rolling, struct wr_err *e)
{
    const struct wr_follow_pos *pos = &p->f->pos;
    uint32_t lock = wr_ltx_lock_pgno(pos->page_size, p->o.lock_offset);
    uint64_t bytes = 0, sum = 0;
    uint8_t *page = wr_alloc(pos->page_size);
    enum wr_status st;

    if (!page)
        return wr_fail(e, WR_NOMEM, "page buffer: out of memory");
    st = wr_patch_begin(p->f->copy, &bytes, e);
    for (uint32_t pgno = 1; st == WR_OK && pgno <= pos->pages; pgno++) {
        uint64_t x;

        if (pgno == lock)
            continue;
        st = wr_call_check(p->c, "prove the copy", e);
        if (st == WR_OK)
            st = read_page(p, pgno, page, e);
        if (st != WR_OK)
            break;
        x = wr_ltx_page_checksum(pgno, page, pos->page_size);
        sum ^= x;
        if (l)
            wr_ledger_fill(l, pgno, x);
    }
    wr_patch_end(p->f->copy);
    wr_free(page);
    *ret_rolling = sum | WR_LTX_CHECKSUM_EMPTY;
    return st;
}

/* Where the replica records what the state must add up to, it does. *ret: what it adds up to. */
static enum wr_status prove(struct promotion *p, uint64_t *ret, struct wr_err *e)
{
    uint64_t want = p->f->pos.rolling;
    enum wr_status st;

    p->c->deadline_ms = WR_NEVER;
    st = sum_up(p, NULL, ret, e);
    if (st != WR_OK || want == 0 || want == *ret)
        return st;
    return wr_fail(e, WR_CORRUPT,
        "%s: pages of the copy are not what was written to it: its checksum is %016llx, and "
        "that of transaction %016llx is %016llx; nothing was changed. Follow the replica into a "
        "new file, and promote that",
        p->o.path, (unsigned long long)*ret, (unsigned long long)p->f->pos.txid,
        (unsigned long long)want);
}

/* ---- the lease ---- */

struct probing {
    enum wr_status created;
    char text[WR_ERR_MAX];
};

static void probed(
    void *arg, enum wr_probe_step step, enum wr_status st, int64_t ns, const char *text)
{
    struct probing *x = arg;

    (void)ns;
    if (step != WR_PROBE_CREATE)
        return;
    x->created = st;
    (void)snprintf(x->text, sizeof(x->text), "%s", text ? text : "");
}

/* Without conditional writes nothing keeps the old primary's files out. Whether it has the other
 * rights that are tried along is not asked. */
static enum wr_status check_store(struct promotion *p, struct wr_err *e)
{
    struct wr_storage_learnt learnt = {0};
    struct probing x = {.created = WR_UNSUPPORTED};
    struct wr_err why = {0};
    unsigned left = 0;
    enum wr_status st;

    if (p->o.force)
        return WR_OK;
    p->c->deadline_ms = WR_NEVER;
    st = wr_storage_probe(p->s, p->c, PROBE_MS, probed, &x, &left, &why);
    if (st == WR_CANCELED)
        return wr_fail(e, st, "%s", why.text);
    wr_storage_learnt(p->s, &learnt);
    if (x.created == WR_OK && !learnt.no_condition)
        return WR_OK;
    if (x.created != WR_OK && x.created != WR_UNSUPPORTED)
        return wr_fail(e, x.created, "try conditional writes: %s", x.text);
    return wr_fail(e, WR_UNSUPPORTED,
        "the store does not honor conditional writes, so that nothing would keep the old primary "
        "from writing to the replica; nothing was changed. See to it that it does not run and "
        "cannot start, then promote with -force");
}

static bool is_ours(const struct promotion *p)
{
    return p->node_kept && p->seen.lease.epoch > 0 && p->seen.lease.node == p->node;
}

static enum wr_status look_at_lease(struct promotion *p, struct wr_err *e)
{
    enum wr_status st;

    request(p);
    st = wr_lease_look(p->s, p->c, &p->seen, e);
    return st == WR_CORRUPT && p->o.force ? WR_OK : st;
}

static enum wr_status take_lease(struct promotion *p, struct wr_err *e)
{
    char host[HOST_MAX + 1] = "";
    const char *owner;
    enum wr_status st;

    if (is_ours(p)) { /* an earlier run has taken it */
        p->lease = p->seen.lease;
        return WR_OK;
    }
    if (gethostname(host, HOST_MAX) != 0)
        host[0] = '\0';
    owner = wr_arena_fmt(p->c->scratch, "%s:%s", host, p->o.path).p;
    if (!owner)
        return wr_fail(e, WR_NOMEM, "%s: out of memory", p->o.path);
    request(p);
    st = wr_lease_take(p->s, p->c, &p->seen, p->node, owner, &p->lease, e);
    if (st == WR_OK)
        wr_log(p->c->log, WR_INFO, "took the lease", WR_F_Z("db", p->o.path),
            WR_F_STR("replica", wr_storage_name(p->s)), WR_F_U64("epoch", p->lease.epoch));
    return st;
}

/* Two promotions may have gone on beside each other: the one that took it later has it. */
static enum wr_status still_ours(struct promotion *p, struct wr_err *e)
{
    struct wr_lease now = {0};
    enum wr_status st;

    request(p);
    st = wr_lease_read(p->s, p->c, &now, e);
    if (st != WR_OK)
        return wr_wrap(e, st, "see that the lease is still ours");
    if (now.token == p->lease.token)
        return WR_OK;
    return wr_fail(e, WR_CONFLICT, "the lease was taken meanwhile by %s, as epoch %llu", now.owner,
        (unsigned long long)now.epoch);
}

/* ---- the fence ---- */

static enum wr_status fence_of(
    struct promotion *p, uint64_t rolling, struct wr_fence *ret, struct wr_err *e)
{
    const struct wr_follow_pos *pos = &p->f->pos;
    uint8_t *page = wr_alloc(pos->page_size);
    enum wr_status st =
        page ? read_page(p, 1, page, e) : wr_fail(e, WR_NOMEM, "page buffer: out of memory");

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

/* Create the name behind *at. One that sends without a pause is faster than its files can be
 * applied; to read where each one leads is enough. CONFLICT: it has not come to that. */
static enum wr_status chase(struct promotion *p, struct wr_fence *f, uint64_t *at, struct wr_err *e)
{
    struct wr_err why = {0};
    enum wr_status st = WR_CONFLICT;

    for (unsigned i = 0; i < CHASE_MAX && st == WR_CONFLICT; i++) {
        request(p);
        st = wr_fence_put(p->s, p->c, f, *at + 1, *at + 1, e);
        if (st != WR_CONFLICT)
            return st;
        request(p);
        if (wr_fence_behind(p->s, p->c, *at + 1, f, &why) != WR_OK)
            return st; /* to apply it tells what is wrong */
        (*at)++;
    }
    return st;
}

/* The copy is at the newest state. */
static enum wr_status put_fence(struct promotion *p, uint64_t rolling, struct wr_err *e)
{
    struct wr_fence f;
    uint64_t at = p->f->pos.txid;
    enum wr_status st = fence_of(p, rolling, &f, e);

    if (st == WR_OK)
        st = chase(p, &f, &at, e);
    p->fence = at + 1;
    wr_free(f.page);
    return st;
}

/* The old primary sends nothing more that counts, and the copy has it all. */
static enum wr_status go_away(struct promotion *p, uint64_t rolling, struct wr_err *e)
{
    struct wr_fence f;
    uint64_t from = wr_max(p->f->pos.txid, p->fence);
    enum wr_status st = fence_of(p, rolling, &f, e);

    p->end = from + WR_PROMOTE_AWAY;
    request(p);
    if (st == WR_OK)
        st = wr_fence_put(p->s, p->c, &f, from + 1, p->end, e);
    wr_free(f.page);
    return st;
}

static enum wr_status catch_up_and_sum(struct promotion *p, uint64_t *ret_rolling, struct wr_err *e)
{
    enum wr_status st = catch_up(p, e);

    if (st == WR_OK && p->f->pos.txid >= WR_TXID_SANE - 2 * WR_PROMOTE_AWAY)
        return wr_fail(e, WR_LIMIT,
            "the replica's newest txid is so high that none is left to go on behind it");
    *ret_rolling = p->f->pos.rolling;
    return st == WR_OK && *ret_rolling == 0 ? prove(p, ret_rolling, e) : st; /* none is recorded */
}

static enum wr_status shut_out(struct promotion *p, struct wr_err *e)
{
    uint64_t rolling = 0;
    enum wr_status st;

    do {
        st = catch_up_and_sum(p, &rolling, e);
        if (st == WR_OK)
            st = put_fence(p, rolling, e);
    } while (st == WR_CONFLICT && wr_mono_ms(p->c->clock) < p->end_ms);
    if (st == WR_CONFLICT)
        return wr_wrap(e, WR_BUSY,
            "the old primary is alive, and writes to the replica faster than its files can be "
            "read: stop it, and run this again");
    if (st == WR_OK && p->f->pos.txid + 1 < p->fence) /* files that were read, and not applied */
        st = catch_up_and_sum(p, &rolling, e);
    if (st == WR_OK)
        st = go_away(p, rolling, e);
    return st == WR_OK ? still_ours(p, e) : st;
}

/* ---- the database that it is from now on ---- */

static enum wr_status keep_ledger(struct promotion *p, uint64_t txid, struct wr_err *e)
{
    const struct wr_follow_pos *pos = &p->f->pos;
    const struct wr_pos nowhere = {0};
    struct wr_ledger *l = NULL;
    uint64_t rolling = 0;
    enum wr_status st = wr_ledger_open(p->o.fs, p->meta_dir, pos->page_size,
        wr_ltx_lock_pgno(pos->page_size, p->o.lock_offset), &l, e);

    p->c->deadline_ms = WR_NEVER;
    if (st == WR_OK)
        st = wr_ledger_fill_begin(l, pos->pages, e);
    if (st == WR_OK)
        st = sum_up(p, l, &rolling, e);
    if (st == WR_OK && pos->rolling && rolling != pos->rolling)
        st = wr_fail(e, WR_CORRUPT, "%s: pages of it have changed meanwhile", p->o.path);
    if (st == WR_OK)
        st = wr_ledger_fill_end(l, txid, &nowhere, e);
    if (st == WR_OK)
        st = wr_ledger_sync(l, e);
    wr_ledger_close(l);
    return st;
}

static enum wr_status remove_file(struct promotion *p, const char *path, struct wr_err *e)
{
    enum wr_status st = path ? p->o.fs->remove(p->o.fs, path, e)
                             : wr_fail(e, WR_NOMEM, "%s: out of memory", p->o.path);

    return st == WR_NOTFOUND ? WR_OK : st;
}

/* Under the lock that is in the last of them. Without that one, the other would make it look like a
 * copy of Litestream's. */
static enum wr_status let_go(struct promotion *p, struct wr_err *e)
{
    enum wr_status st = remove_file(p, beside(p, "-txid"), e);

    return st == WR_OK ? remove_file(p, beside(p, "-follow"), e) : st;
}

/* ---- all of it ---- */

/* A file that is no copy: of an earlier run, perhaps, that went to the end. */
static enum wr_status no_copy(struct promotion *p, struct wr_promoted *ret, struct wr_err *e)
{
    if (!is_ours(p))
        return wr_fail(e, WR_CONFLICT,
            "%s is no copy that follows a replica: make one with weir restore -f, into a file of "
            "its own",
            p->o.path);
    *ret = (struct wr_promoted){.lease = p->seen.lease, .before = true};
    return WR_OK;
}

/* Up to the lease: what cannot be done fails before anything has changed. */
static enum wr_status prepare(struct promotion *p, struct wr_err *e)
{
    struct wr_remote_seen seen = {0};
    struct wr_remote_pos newest = {0};
    uint64_t rolling;
    enum wr_status st = check_store(p, e);

    if (st == WR_OK)
        st = open_copy(p, e);
    if (st == WR_OK)
        st = catch_up(p, e);
    if (st == WR_OK)
        st = prove(p, &rolling, e);
    if (st == WR_OK) {
        request(p);
        st = wr_remote_find(p->s, p->c, &seen, &newest, e);
    }
    return st == WR_OK ? settle_node(p, newest.node_id, e) : st;
}

static enum wr_status promote(struct promotion *p, struct wr_promoted *ret, struct wr_err *e)
{
    const char *follow = beside(p, "-follow"), *txid = beside(p, "-txid");
    enum wr_status st = find_meta_dir(p, e);

    if (!follow || !txid)
        return wr_fail(e, WR_NOMEM, "%s: out of memory", p->o.path);
    if (st == WR_OK && !is_there(p, p->o.path))
        st = wr_fail(e, WR_NOTFOUND, "no copy at %s", p->o.path);
    if (st == WR_OK)
        st = find_node(p, e);
    if (st == WR_OK)
        st = look_at_lease(p, e);
    if (st == WR_OK && !is_there(p, follow) && !is_there(p, txid))
        return no_copy(p, ret, e);
    if (st == WR_OK)
        st = prepare(p, e);
    if (st == WR_OK)
        st = take_lease(p, e);
    if (st == WR_OK)
        st = shut_out(p, e);
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
    struct promotion p = {.s = s, .c = &own, .o = *o};
    enum wr_status st;

    if (!p.o.fs)
        p.o.fs = wr_fs_posix();
    if (p.o.lock_offset == 0)
        p.o.lock_offset = WR_LTX_LOCK_OFFSET;
    if (p.o.parallel == 0)
        p.o.parallel = PARALLEL;
    p.end_ms = wr_mono_ms(c->clock) + (o->patience_ms > 0 ? o->patience_ms : PATIENCE_MS);
    st = promote(&p, ret, e);
    wr_follow_close(p.f);
    return st;
}
