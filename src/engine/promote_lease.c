/*
 * promote_lease.c - whether the store can keep the old primary out, and the lease.
 */
#include "engine/promote_int.h"
#include "storage/probe.h"
#include "storage/storage.h"

#include <unistd.h>

#define PROBE_MS ((int64_t)20 * 1000)
#define HOST_MAX 64u

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
enum wr_status wr_promotion_check_store(struct wr_promotion *p, struct wr_err *e)
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

bool wr_promotion_is_ours(const struct wr_promotion *p)
{
    return p->node.was == WR_NODE_KEPT && p->seen.lease.epoch > 0 &&
           p->seen.lease.node == p->node.number;
}

enum wr_status wr_promotion_look_at_lease(struct wr_promotion *p, struct wr_err *e)
{
    enum wr_status st;

    wr_promotion_request(p);
    st = wr_lease_look(p->s, p->c, &p->seen, e);
    return st == WR_CORRUPT && p->o.force ? WR_OK : st;
}

enum wr_status wr_promotion_take_lease(struct wr_promotion *p, struct wr_err *e)
{
    char host[HOST_MAX + 1] = "";
    const char *owner;
    enum wr_status st;

    if (wr_promotion_is_ours(p)) { /* an earlier run has taken it */
        p->lease = p->seen.lease;
        return WR_OK;
    }
    if (gethostname(host, HOST_MAX) != 0)
        host[0] = '\0';
    owner = wr_arena_fmt(p->c->scratch, "%s:%s", host, p->o.path).p;
    if (!owner)
        return wr_fail(e, WR_NOMEM, "%s: out of memory", p->o.path);
    wr_promotion_request(p);
    st = wr_lease_take(p->s, p->c, &p->seen, p->node.number, owner, &p->lease, e);
    if (st == WR_OK)
        wr_log(p->c->log, WR_INFO, "took the lease", WR_F_Z("db", p->o.path),
            WR_F_STR("replica", wr_storage_name(p->s)), WR_F_U64("epoch", p->lease.epoch));
    return st;
}

/* Two promotions may have gone on beside each other: the one that took it later has it. */
enum wr_status wr_promotion_still_ours(struct wr_promotion *p, struct wr_err *e)
{
    struct wr_lease now = {0};
    enum wr_status st;

    wr_promotion_request(p);
    st = wr_lease_read(p->s, p->c, &now, e);
    if (st != WR_OK)
        return wr_wrap(e, st, "see that the lease is still ours");
    if (now.token == p->lease.token)
        return WR_OK;
    return wr_fail(e, WR_CONFLICT, "the lease was taken meanwhile by %s, as epoch %llu", now.owner,
        (unsigned long long)now.epoch);
}
