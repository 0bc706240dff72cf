/*
 * tenure.c - see tenure.h. Knows the lease; refuses to know what becomes of who has lost it.
 */
#include "engine/tenure.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mutant.h"
#include "engine/layout.h"
#include "engine/learn.h"
#include "storage/storage.h"

#define CONFIRM_MS ((int64_t)120 * 1000) /* deadline of what is to be known */
#define ASK_MS     ((int64_t)10 * 1000)  /* and of what may be */
#define ASK_FILES  256u                  /* between looks at the lease, ... */
#define ASK_AGAIN  16u                   /* ... and where one fails */

void wr_tenure_init(struct wr_tenure *t, struct wr_storage *s, const struct wr_log *log,
    const char *label, int64_t lasts_ms)
{
    *t = (struct wr_tenure){.storage = s, .log = log, .label = label, .lasts_ms = lasts_ms};
    wr_mutex_init(&t->mutex);
}

void wr_tenure_release(struct wr_tenure *t)
{
    wr_mutex_release(&t->mutex);
}

/* Whether the replica has nothing but this file, which was sent. */
static enum wr_status is_alone(const struct wr_tenure *t, struct wr_call *c,
    const struct wr_ltx_file *f, bool *ret, struct wr_err *e)
{
    struct wr_ltx_files all = {0};
    bool listed = false;
    enum wr_status st = wr_layout_list_all(t->storage, c, &all, e);

    for (size_t i = 0; i < all.n; i++)
        listed = listed ||
                 (all.p[i].level == f->level && all.p[i].min == f->min && all.p[i].max == f->max);
    *ret = all.n == 1;
    wr_ltx_files_release(&all);
    if (st == WR_OK && !listed)
        st = wr_fail(e, WR_BUSY, "a file that was sent is not listed yet");
    return st;
}

/* A replica that was emptied may have kept the lease of its past. Into that the first one writes,
 * and holds the lease from then on, as it will be asked for again; whoever was promoted meanwhile
 * has a file there, too, or takes the lease after us. *ret becomes who has it then. */
static enum wr_status take_it_over(struct wr_tenure *t, struct wr_call *c,
    const struct wr_ltx_file *f, uint64_t node, struct wr_lease *ret, struct wr_err *e)
{
    struct wr_lease_seen seen = {0};
    struct wr_lease ours = {0};
    bool alone = false;
    enum wr_status st = wr_lease_look(t->storage, c, &seen, e);

    *ret = seen.lease;
    if (st != WR_OK || !wr_lease_lost(&seen.lease, node))
        return st;
    st = is_alone(t, c, f, &alone, e);
    if (st != WR_OK || !alone)
        return st;
    t->took = true; /* whatever the answer: without one it may be ours all the same */
    st = wr_lease_take(t->storage, c, &seen, node, t->label, &ours, e);
    if (st != WR_OK)
        return st == WR_CONFLICT ? wr_fail(e, WR_BUSY, "the lease was taken just now") : st;
    wr_log(t->log, WR_INFO, "took the lease of a replica that was emptied", WR_F_Z("db", t->label),
        WR_F_STR("replica", wr_storage_name(t->storage)), WR_F_Z("from", seen.lease.owner),
        WR_F_U64("epoch", ours.epoch));
    *ret = ours;
    return WR_OK;
}

enum wr_status wr_tenure_confirm(struct wr_tenure *t, struct wr_call *c,
    const struct wr_ltx_file *f, uint64_t node, bool first, struct wr_lease *ret, struct wr_err *e)
{
    enum wr_status st;

    *ret = (struct wr_lease){0};
    if (wr_learn_name_tells(f->level, f->min, f->max, f->size))
        return WR_OK;
    c->deadline_ms = wr_mono_ms(c->clock) + CONFIRM_MS;
    if (first)
        st = take_it_over(t, c, f, node, ret, e);
    else
        st = wr_learn_lease(t->storage, c, ret, e);
    if (st == WR_OK && !wr_lease_lost(ret, node))
        *ret = (struct wr_lease){0};
    return st == WR_OK ? WR_OK : wr_wrap(e, st, "who holds the lease");
}

bool wr_tenure_lasts(struct wr_tenure *t, struct wr_call *c, uint64_t node, struct wr_lease *ret)
{
    struct wr_err e = {0};

    if (++t->unasked < ASK_FILES || WR_MUTANT(LEASE_UNREAD))
        return true;
    c->deadline_ms = wr_mono_ms(c->clock) + ASK_MS;
    if (wr_learn_lease(t->storage, c, ret, &e) != WR_OK) {
        wr_log(t->log, WR_DEBUG, "who holds the lease is not to be had", WR_F_Z("db", t->label),
            WR_F_Z("err", e.text));
        t->unasked = ASK_FILES - ASK_AGAIN;
        return true;
    }
    t->unasked = 0;
    return !wr_lease_lost(ret, node);
}

struct wr_tenure_moment wr_tenure_moment(const struct wr_clock *clock)
{
    return (struct wr_tenure_moment){.mono_ms = wr_mono_ms(clock), .wall_ms = wr_wall_ms(clock)};
}

void wr_tenure_shown(struct wr_tenure *t, struct wr_tenure_moment began)
{
    wr_mutex_lock(&t->mutex);
    if (began.mono_ms >= t->shown.mono_ms)
        t->shown = began;
    wr_mutex_unlock(&t->mutex);
}

/* Whether it was shown not long ago, by each of the clocks. A wall clock that is set costs a
 * request. */
static bool is_fresh(struct wr_tenure *t, struct wr_tenure_moment now)
{
    int64_t mono_ms, wall_ms;

    wr_mutex_lock(&t->mutex);
    mono_ms = now.mono_ms - t->shown.mono_ms;
    wall_ms = now.wall_ms - t->shown.wall_ms;
    wr_mutex_unlock(&t->mutex);
    return mono_ms < t->lasts_ms && wall_ms < t->lasts_ms;
}

enum wr_status wr_tenure_holds(struct wr_tenure *t, struct wr_call *c, uint64_t node, bool now,
    struct wr_lease *ret, struct wr_err *e)
{
    struct wr_tenure_moment began = wr_tenure_moment(c->clock);
    struct wr_err why = {0};
    enum wr_status st;

    *ret = (struct wr_lease){0};
    if (!now && is_fresh(t, began))
        return WR_OK;
    c->deadline_ms = began.mono_ms + CONFIRM_MS;
    st = wr_learn_lease(t->storage, c, ret, &why);
    if (wr_status_passing(st))
        return wr_fail(e, st, "who holds the lease: %s", why.text);
    if (st == WR_OK && wr_lease_lost(ret, node))
        return WR_OK;
    *ret = (struct wr_lease){0};
    /* Else nothing was shown: a machine that wakes may have credentials that have just expired. */
    if (st == WR_OK || st == WR_NOTFOUND)
        wr_tenure_shown(t, began);
    return WR_OK;
}
