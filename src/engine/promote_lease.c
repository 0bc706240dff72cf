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

enum wr_status wr_promotion_look_at_lease(struct wr_promotion *p, struct wr_err *e)
{
    enum wr_status st;

    wr_promotion_request(p);
    st = wr_lease_look(p->s, p->c, &p->seen, e);
    return st == WR_CORRUPT && p->o.force ? WR_OK : st;
}

static enum wr_status find_owner(struct wr_promotion *p, struct wr_err *e)
{
    char host[HOST_MAX + 1] = "";

    if (gethostname(host, HOST_MAX) != 0)
        host[0] = '\0';
    p->owner = wr_arena_fmt(p->c->scratch, "%s:%s", host, p->o.path).p;
    return p->owner ? WR_OK : wr_fail(e, WR_NOMEM, "%s: out of memory", p->o.path);
}

/* An earlier run may have sent it, and was killed before it took effect. So may another machine of
 * the same image, with the same name, have been: which is why it is never gone on with, but taken
 * again, under a number that nobody else has. Where this run is the first to keep a number, no
 * earlier one has come that far. */
static bool may_be_of_earlier_run(const struct wr_promotion *p, const struct wr_lease *l)
{
    char owner[WR_LEASE_OWNER];

    wr_lease_owner(owner, p->owner);
    return p->node.was == WR_NODE_KEPT && l->node == p->found && strcmp(l->owner, owner) == 0;
}

static enum wr_status take(struct wr_promotion *p, struct wr_err *e)
{
    wr_promotion_request(p);
    return wr_lease_take(p->s, p->c, &p->seen, p->node.number, p->owner, &p->lease, e);
}

/* What has come since it was looked at. */
static bool came_late(struct wr_promotion *p)
{
    struct wr_err why = {0};

    return wr_promotion_look_at_lease(p, &why) == WR_OK && may_be_of_earlier_run(p, &p->seen.lease);
}

enum wr_status wr_promotion_take_lease(struct wr_promotion *p, struct wr_err *e)
{
    enum wr_status st = find_owner(p, e);

    if (st == WR_OK)
        st = take(p, e);
    if (st == WR_CONFLICT && came_late(p))
        st = take(p, e);
    if (st == WR_OK)
        wr_log(p->c->log, WR_INFO, "took the lease", WR_F_Z("db", p->o.path),
            WR_F_STR("replica", wr_storage_name(p->s)), WR_F_U64("epoch", p->lease.epoch));
    return st;
}

/* As far as is known by now: what its answers have told counts more than what is said of its kind.
 */
static bool overwrites_on_condition(const struct wr_promotion *p)
{
    struct wr_storage_learnt learnt = {0};

    wr_storage_learnt(p->s, &learnt);
    return (wr_storage_caps(p->s) & WR_STORAGE_COND_PUT) && !learnt.no_condition &&
           !learnt.no_match;
}

/* Two promotions may have gone on beside each other: the one that took it later has it. A store
 * without conditions lets what an earlier run had sent take effect over what this one has. */
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
    if (!overwrites_on_condition(p) && came_late(p))
        return take(p, e);
    return wr_fail(e, WR_CONFLICT, "the lease was taken meanwhile by %s, as epoch %llu", now.owner,
        (unsigned long long)now.epoch);
}
