/*
 * learn.c - see learn.h. Asks the replica; refuses to know the database it is a replica of.
 */
#include "engine/learn.h"

#include "base/log.h"
#include "base/mem.h"
#include "engine/census.h"
#include "engine/whole.h"
#include "storage/storage.h"

#define REQUEST_MS  ((int64_t)120 * 1000)       /* deadline of one of several small requests */
#define CENSUS_MS   ((int64_t)24 * 3600 * 1000) /* deadline of reading all of a replica */
#define DAMAGED_MAX 3u                  /* answers that are damaged, until that is believed */
#define PARTS_MIN   ((uint64_t)4 << 20) /* bytes; smaller files are one request anywhere */

void wr_learner_release(struct wr_learner *l)
{
    wr_free(l->heads);
    l->heads = NULL;
}

void wr_learnt_release(struct wr_learnt *l)
{
    wr_sums_release(&l->census);
    wr_free(l->sample);
    wr_free(l->tally);
    wr_free(l->lease);
    *l = (struct wr_learnt){0};
}

/* What the newest state is made of. Damaged or incomplete, it says nothing about whose it is, and
 * nothing could be restored that is built on it. One bad answer is no damage, though: a proxy may
 * have sent it. */
static enum wr_status take_sample(struct wr_learner *l, struct wr_call *c, uint32_t lock_offset,
    struct wr_learnt *ret, struct wr_err *e)
{
    enum wr_status st =
        wr_sample_take(l->storage, c, lock_offset, l->parallel, REQUEST_MS, ret->sample, e);
    bool damaged = st == WR_CORRUPT || st == WR_NOTFOUND;

    l->damaged = damaged ? l->damaged + 1 : 0;
    if (!damaged || l->damaged < DAMAGED_MAX)
        return st;
    wr_free(ret->sample);
    ret->sample = NULL;
    ret->pos.whole = false;
    ret->unknowable = true;
    return WR_OK;
}

/* What the newest state is, page by page. That it cannot be had is no reason not to go on without;
 * damaged it is no state to build on. */
static enum wr_status take_census(const struct wr_learner *l, struct wr_call *c,
    const struct wr_wish *wish, struct wr_learnt *ret, struct wr_err *e)
{
    enum wr_status st;

    c->deadline_ms = wr_mono_ms(c->clock) + CENSUS_MS;
    st = wr_census_take(
        l->storage, c, wish->lock_offset, ret->pos.txid, wish->census_max, &ret->census, e);
    if (st == WR_OK)
        return WR_OK;
    if (st != WR_CORRUPT && st != WR_NOTFOUND && st != WR_LIMIT && st != WR_NOMEM)
        return st;
    if (st == WR_CORRUPT || st == WR_NOTFOUND)
        ret->pos.whole = false;
    wr_log(l->log, WR_INFO, "the replica is not compared with the database", WR_F_Z("db", l->label),
        WR_F_STR("replica", wr_storage_name(l->storage)), WR_F_Z("why", e->text));
    return WR_OK;
}

enum wr_status wr_learn_lease(
    struct wr_storage *s, struct wr_call *c, struct wr_lease *ret, struct wr_err *e)
{
    enum wr_status st;

    *ret = (struct wr_lease){0};
    st = wr_lease_read(s, c, ret, e);
    return st == WR_NOTFOUND ? WR_OK : st;
}

/*
 * Whether somebody else may have been promoted without being in the way of this: a promotion takes
 * the lease, lists, and creates the name that follows the newest TXID. So a file of that name, one
 * TXID behind a position that holds, was there before, and was seen; else it could not have been
 * created. A file of any other name could, and so could one in parts: a store may honor a condition
 * on objects and not on uploads in parts (s3_upload.c), which then go over what is there.
 */
bool wr_learn_name_tells(unsigned level, uint64_t min, uint64_t max, uint64_t size)
{
    return level == 0 && min == max && size < PARTS_MIN;
}

/* Of a replica that had nothing before its one snapshot nobody can have a copy. What is damaged may
 * be of anybody. */
bool wr_learn_must_ask(const struct wr_remote_pos *pos, uint64_t node)
{
    if (node == 0 || pos->txid == 0)
        return false;
    if (pos->node_id != node || pos->damaged > 0)
        return true;
    return !wr_learn_name_tells(pos->level, pos->from, pos->txid, pos->size) &&
           !(pos->level == WR_LEVEL_SNAPSHOT && pos->alone);
}

/* Who holds the lease, if that must be known. */
static enum wr_status find_lease(const struct wr_learner *l, struct wr_call *c,
    const struct wr_wish *wish, struct wr_learnt *ret, struct wr_err *e)
{
    if (!wr_learn_must_ask(&ret->pos, wish->node))
        return WR_OK;
    ret->lease = wr_alloc(sizeof(*ret->lease));
    if (!ret->lease)
        return wr_fail(e, WR_NOMEM, "out of memory");
    c->deadline_ms = wr_mono_ms(c->clock) + REQUEST_MS;
    return wr_learn_lease(l->storage, c, ret->lease, e);
}

/* Every second look goes by what the one before it read, if there was one. */
static enum wr_status find(struct wr_learner *l, struct wr_call *c, struct wr_remote_seen *seen,
    struct wr_learnt *ret, struct wr_err *e)
{
    bool again = l->heads != NULL;
    enum wr_status st;

    if (!again)
        l->heads = wr_alloc(sizeof(*l->heads));
    if (!l->heads)
        return wr_fail(e, WR_NOMEM, "out of memory");
    seen->heads = l->heads;
    seen->past_damaged = true; /* what follows from that is decided by who knows the database */
    st = wr_remote_find(l->storage, c, seen, ret->tally, &ret->pos, e);
    seen->heads = NULL;
    seen->past_damaged = false;
    if (again || st != WR_OK)
        wr_learner_release(l);
    return st;
}

enum wr_status wr_learn(struct wr_learner *l, struct wr_call *c, const struct wr_wish *wish,
    struct wr_remote_seen *seen, struct wr_learnt *ret, struct wr_err *e)
{
    enum wr_status st;

    *ret = (struct wr_learnt){.tally = wr_alloc(sizeof(*ret->tally)),
        .sample = wish->sample ? wr_alloc(sizeof(*ret->sample)) : NULL};
    st = ret->tally && (ret->sample || !wish->sample) ? WR_OK
                                                      : wr_fail(e, WR_NOMEM, "out of memory");
    if (st == WR_OK)
        st = find(l, c, seen, ret, e);
    if (st == WR_OK)
        st = find_lease(l, c, wish, ret, e);
    if (st == WR_OK && wish->sample && ret->pos.txid > 0)
        st = take_sample(l, c, wish->lock_offset, ret, e);
    if (st == WR_OK && wish->census && ret->pos.txid > 0 && ret->pos.whole)
        st = take_census(l, c, wish, ret, e);
    if (st != WR_OK)
        wr_learnt_release(ret);
    return st;
}
