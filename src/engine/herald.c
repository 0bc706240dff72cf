/*
 * herald.c - see herald.h. Knows when the object is written, and what is in it then; refuses to
 * know why files are deleted.
 */
#include "engine/herald.h"

#include "base/clock.h"
#include "base/log.h"
#include "engine/loose.h"
#include "engine/retain.h"
#include "engine/writer.h"
#include "storage/storage.h"

#define LOOK_MS      ((int64_t)10 * 1000)      /* deadline of what can wait */
#define REQUEST_MS   ((int64_t)120 * 1000)     /* deadline of what a deletion waits for */
#define FAILURES_MAX 5u                        /* in a row, each of which may be two attempts */
#define PACE_MS      ((int64_t)30 * 60 * 1000) /* between two looks */
#define UNSAID_MAX   128u /* files that are not said for want of a rest: one PUT in so many */
#define UNSAID_FEW   8u   /* ... that are worth one when there is a rest */

void wr_herald_init(
    struct wr_herald *h, struct wr_storage *s, const struct wr_log *log, const char *label)
{
    *h = (struct wr_herald){.storage = s, .log = log, .label = label};
    wr_mutex_init(&h->mutex);
    wr_herald_pace(h, PACE_MS);
}

void wr_herald_pace(struct wr_herald *h, int64_t look_ms)
{
    h->often_ms = look_ms - look_ms / 6;
    h->settle_ms = look_ms / 30;
}

void wr_herald_keeps_all(struct wr_herald *h)
{
    h->keeps_all = true;
}

void wr_herald_release(struct wr_herald *h)
{
    wr_mutex_release(&h->mutex);
}

/* ---- what the sender knows ---- */

/* mutex held. */
static void settle(struct wr_herald *h, int64_t now_ms)
{
    if (now_ms - h->candidate_ms < h->settle_ms)
        return;
    h->settled = h->candidate;
    h->candidate = h->last.max;
    h->candidate_ms = now_ms;
}

static void note(struct wr_herald *h, int64_t now_ms, const struct wr_ltx_file *f)
{
    settle(h, now_ms);
    h->last = (struct wr_ltx_file){.level = f->level, .min = f->min, .max = f->max};
    h->last_ms = now_ms;
    if (h->candidate == h->settled) {
        h->candidate = f->max;
        h->candidate_ms = now_ms;
    }
}

void wr_herald_found(struct wr_herald *h, const struct wr_clock *clock,
    const struct wr_ltx_file *newest, bool native)
{
    int64_t now_ms = wr_mono_ms(clock);

    wr_mutex_lock(&h->mutex);
    if (!h->joined) {
        h->start = newest->max;
        h->began_ms = now_ms;
        h->native = native;
    }
    h->roll = (struct wr_roll){.counted = newest->max == 0};
    h->joined = true;
    if (newest->max < h->last.max) { /* and what was to be said is not so */
        h->settled = h->candidate = 0;
        h->candidate_ms = now_ms;
    }
    note(h, now_ms, newest);
    wr_mutex_unlock(&h->mutex);
}

void wr_herald_sent(struct wr_herald *h, const struct wr_clock *clock, const struct wr_ltx_file *f)
{
    wr_mutex_lock(&h->mutex);
    note(h, wr_mono_ms(clock), f);
    h->unsaid++;
    h->sends = true;
    wr_mutex_unlock(&h->mutex);
}

void wr_herald_there(struct wr_herald *h, const struct wr_ltx_file *f)
{
    wr_mutex_lock(&h->mutex);
    wr_roll_add(&h->roll, f);
    wr_mutex_unlock(&h->mutex);
}

void wr_herald_shared(struct wr_herald *h)
{
    wr_mutex_lock(&h->mutex);
    h->anew = h->several = true;
    h->roll = (struct wr_roll){0};
    wr_mutex_unlock(&h->mutex);
}

/* ---- the object ---- */

static bool take(struct wr_herald *h)
{
    bool is;

    wr_mutex_lock(&h->mutex);
    is = !h->busy;
    h->busy = true;
    wr_mutex_unlock(&h->mutex);
    return is;
}

static void give(struct wr_herald *h)
{
    wr_mutex_lock(&h->mutex);
    h->busy = false;
    wr_mutex_unlock(&h->mutex);
}

/* mutex held. */
static void add_from(struct wr_herald *h, const uint64_t from[WR_LEVEL_MAX + 1])
{
    for (unsigned level = 0; level <= WR_LEVEL_MAX; level++)
        h->said.from[level] = wr_max(h->said.from[level], from[level]);
}

/* Read it, unless that was done. What some stores forbid is not there, until it is asked for again;
 * what was deleted is not spoken of, whatever is read. */
static enum wr_status load(struct wr_herald *h, struct wr_call *c, struct wr_err *e)
{
    struct wr_extent_version version = {0};
    struct wr_extent x = {0};
    bool ours = false;
    enum wr_status st = h->known ? WR_OK : wr_extent_look(h->storage, c, &x, &version, e);

    if (h->known || st != WR_OK)
        return wr_status_passing(st) ? st : WR_OK;
    if (x.newest > 0 && (st = wr_writer_is(h->storage, c, x.token, &ours, e)) != WR_OK)
        return st;
    wr_mutex_lock(&h->mutex);
    for (unsigned level = 0; level <= WR_LEVEL_MAX; level++) {
        h->behind = h->behind || (x.newest > 0 && h->said.from[level] > x.from[level]);
        x.from[level] = wr_max(x.newest == 0 ? h->start : x.from[level], h->said.from[level]);
    }
    h->said = x;
    h->version = version;
    h->anew = h->anew || (x.newest > 0 && !(ours && h->native));
    if (x.newest > 0 && !h->anew && !h->gone)
        wr_roll_join(&h->roll, &x.roll);
    h->known = true;
    wr_mutex_unlock(&h->mutex);
    return WR_OK;
}

/* What is to be said now; mutex held. */
static struct wr_extent compose(
    struct wr_herald *h, const struct wr_call *c, const uint64_t ahead[WR_LEVEL_MAX + 1])
{
    struct wr_extent x = h->said;

    settle(h, wr_mono_ms(c->clock));
    for (unsigned level = 0; level <= WR_LEVEL_MAX; level++) {
        uint64_t *from = &x.from[level];

        if (!h->known) /* and so it is as if it were not there */
            *from = wr_max(*from, h->start);
        if (h->anew || (*from == WR_EXTENT_NOTHING && h->ruled && h->lasts[level]))
            *from = h->last.max;
        if (ahead)
            *from = wr_max(*from, ahead[level]);
        if (h->keeps_all || (h->ruled && !h->lasts[level]))
            *from = WR_EXTENT_NOTHING;
    }
    x.last = h->last;
    x.newest = wr_max(h->settled, wr_min(h->said.newest, h->last.max));
    x.roll = h->roll;
    if (h->keeps_all || h->several)
        x.roll = (struct wr_roll){0};
    if (!h->closed) /* each deletion of a file of these would have to be said before */
        wr_roll_drop_runs(&x.roll);
    if (x.last.max > 0) /* a file that has arrived ends there or behind it */
        x.newest = wr_max(x.newest, (uint64_t)1);
    x.token = h->token ? h->token : h->anew ? 0 : h->said.token;
    x.node = h->node ? h->node : h->said.node;
    x.at_ms = wr_wall_ms(c->clock);
    return x;
}

/* Another one has written it: what both say. */
static enum wr_status merge(struct wr_herald *h, struct wr_call *c, struct wr_err *e)
{
    struct wr_extent_version version;
    struct wr_extent x;
    enum wr_status st = wr_extent_look(h->storage, c, &x, &version, e);

    if (st != WR_OK)
        return st;
    wr_mutex_lock(&h->mutex);
    h->version = version;
    h->roll = (struct wr_roll){0};
    h->several = true; /* who writes it may delete, too */
    if (x.newest > 0)
        add_from(h, x.from);
    wr_mutex_unlock(&h->mutex);
    return st;
}

/* It cannot be written over, and must not go on saying what is not so. */
static enum wr_status refuse(struct wr_herald *h, struct wr_call *c, const struct wr_err *why)
{
    struct wr_err e = {0};
    enum wr_status st = wr_extent_remove(h->storage, c, &e); /* one that was not seen, too */

    if (st != WR_OK && st != WR_NOTFOUND)
        return st;
    wr_mutex_lock(&h->mutex);
    h->version = (struct wr_extent_version){0};
    h->refused = true;
    wr_mutex_unlock(&h->mutex);
    wr_log(h->log, WR_WARN,
        "cannot write the object by which a verification tells that files are missing; it goes "
        "without",
        WR_F_Z("db", h->label), WR_F_STR("replica", wr_storage_name(h->storage)),
        WR_F_Z("object", WR_EXTENT_NAME), WR_F_Z("error", why->text));
    return WR_OK;
}

/* Write what is to be said now. */
static enum wr_status write_once(struct wr_herald *h, struct wr_call *c,
    const uint64_t ahead[WR_LEVEL_MAX + 1], struct wr_err *e)
{
    struct wr_extent x;
    enum wr_status st;
    unsigned unsaid;
    bool anew, fewer;

    wr_mutex_lock(&h->mutex);
    x = compose(h, c, ahead);
    anew = h->anew;
    unsaid = h->unsaid;
    fewer = h->fewer;
    h->anew = h->fewer = false;
    wr_mutex_unlock(&h->mutex);
    st = wr_extent_write(h->storage, c, &x, &h->version, e);
    wr_mutex_lock(&h->mutex);
    h->anew = h->anew || (anew && st != WR_OK);
    h->fewer = h->fewer || (fewer && st != WR_OK);
    h->known = st == WR_OK || (h->known && h->version.there); /* a first one may be there by now */
    if (st == WR_OK) {
        h->said = x;
        h->unsaid -= wr_min(h->unsaid, unsaid);
        h->behind = false;
        h->wrote = true;
        h->written_ms = wr_mono_ms(c->clock);
        h->failures = 0;
    }
    wr_mutex_unlock(&h->mutex);
    return st;
}

/* Another one is there than was seen, or it was deleted; both are told by more than one code. */
static bool is_another(enum wr_status st)
{
    return st == WR_CONFLICT || st == WR_NOTFOUND;
}

/* Whether there is no use in another attempt. Stores that do not let it be written over say so in
 * many ways, and what is refused again and again would end retention. */
static bool is_for_good(const struct wr_herald *h, enum wr_status st)
{
    return st == WR_AUTH || st == WR_UNSUPPORTED || st == WR_LIMIT || h->failures >= FAILURES_MAX;
}

/* Say it anew. It is there, or may be made. */
static enum wr_status say(struct wr_herald *h, struct wr_call *c,
    const uint64_t ahead[WR_LEVEL_MAX + 1], struct wr_err *e)
{
    struct wr_err why = {0};
    enum wr_status st = write_once(h, c, ahead, &why);

    if (is_another(st)) {
        st = merge(h, c, &why);
        if (st == WR_OK)
            st = write_once(h, c, ahead, &why);
    }
    h->failures += st != WR_OK && st != WR_CANCELED;
    if (st == WR_OK || (is_for_good(h, st) && refuse(h, c, &why) == WR_OK))
        return WR_OK;
    return wr_fail(e, st == WR_CONFLICT ? WR_BUSY : st,
        "say what is deleted in " WR_EXTENT_NAME ": %s", why.text);
}

/* There is no object, and nothing that would be wrong. It is for when there is one. */
static void keep_in_mind(
    struct wr_herald *h, const struct wr_call *c, const uint64_t ahead[WR_LEVEL_MAX + 1])
{
    wr_mutex_lock(&h->mutex);
    h->said = compose(h, c, ahead);
    h->said.newest = h->said.token = 0;
    h->said.last = (struct wr_ltx_file){0};
    h->anew = false;
    wr_mutex_unlock(&h->mutex);
}

/* ---- when ---- */

void wr_herald_prepare(struct wr_herald *h, struct wr_call *c)
{
    int64_t deadline_ms = c->deadline_ms;
    struct wr_err why = {0};

    if (!take(h))
        return;
    c->deadline_ms = wr_mono_ms(c->clock) + LOOK_MS;
    (void)load(h, c, &why); /* it is tried again where it matters */
    c->deadline_ms = deadline_ms;
    give(h);
}

/* Whether it became less than was said, which was seen to; mutex held. */
static bool is_less(const struct wr_herald *h)
{
    return h->last.max < wr_max(h->said.newest, h->said.last.max);
}

/* Whether there is something new to say, or nothing was said; mutex held. */
static bool has_news(struct wr_herald *h, int64_t now_ms)
{
    settle(h, now_ms);
    if (h->settled == 0)
        return false;
    if (!h->version.there || h->anew || h->behind || h->said.token != h->token || is_less(h))
        return true;
    return h->settled > h->said.newest &&
           (h->written_ms == 0 || now_ms - h->written_ms >= h->often_ms);
}

/* Whether there is more to say of what was sent; mutex held. */
static bool owes_last(const struct wr_herald *h)
{
    return (h->unsaid > 0 || (h->closed && h->sends)) && !h->refused;
}

/* Write the object if there is news, or the last file to say. */
static void speak(struct wr_herald *h, struct wr_call *c, uint64_t token, uint64_t node, bool last)
{
    int64_t deadline_ms = c->deadline_ms;
    struct wr_err why = {0};
    enum wr_status st;
    bool news;

    if (!take(h))
        return;
    c->deadline_ms = wr_mono_ms(c->clock) + LOOK_MS;
    st = load(h, c, &why);
    wr_mutex_lock(&h->mutex);
    h->token = token;
    h->node = node;
    news = st == WR_OK && token != 0 && !h->refused &&
           (has_news(h, wr_mono_ms(c->clock)) || (last && owes_last(h)));
    wr_mutex_unlock(&h->mutex);
    if (news)
        st = say(h, c, NULL, &why);
    if (st != WR_OK)
        wr_log(h->log, WR_DEBUG, "cannot say what the replica must have", WR_F_Z("db", h->label),
            WR_F_Z("error", why.text));
    c->deadline_ms = deadline_ms;
    give(h);
}

void wr_herald_look(struct wr_herald *h, struct wr_call *c, uint64_t token, uint64_t node)
{
    speak(h, c, token, node, false);
}

int64_t wr_herald_due(struct wr_herald *h)
{
    int64_t at_ms = INT64_MAX;

    wr_mutex_lock(&h->mutex);
    if (owes_last(h)) {
        at_ms = h->unsaid >= UNSAID_MAX ? h->last_ms : h->last_ms + h->settle_ms;
        if (h->unsaid < UNSAID_FEW)
            at_ms = wr_max(at_ms, wr_max(h->began_ms, h->written_ms) + h->often_ms);
        at_ms = wr_max(at_ms, h->tried_ms + h->settle_ms); /* which may have failed */
    }
    wr_mutex_unlock(&h->mutex);
    return at_ms;
}

void wr_herald_say_last(
    struct wr_herald *h, struct wr_call *c, uint64_t token, uint64_t node, bool ends)
{
    wr_mutex_lock(&h->mutex);
    h->tried_ms = wr_mono_ms(c->clock);
    h->closed = h->closed || ends;
    wr_mutex_unlock(&h->mutex);
    speak(h, c, token, node, true);
}

bool wr_herald_goes(struct wr_herald *h, const struct wr_ltx_file *f)
{
    bool may;

    wr_mutex_lock(&h->mutex);
    may = !h->closed;
    if (may) {
        /* Who has not written it yet does so now: only then one that ends at the same time, and
         * speaks of all files, finds that somebody else is there. */
        h->fewer =
            h->fewer || h->busy || !h->known || !h->wrote || wr_roll_speaks(&h->said.roll, f);
        h->gone = h->gone || !h->known;
        wr_roll_remove(&h->roll, f);
    }
    wr_mutex_unlock(&h->mutex);
    return may;
}

bool wr_herald_must(
    struct wr_herald *h, const struct wr_retention *r, const uint64_t need[WR_LEVEL_MAX + 1])
{
    bool must;

    wr_mutex_lock(&h->mutex);
    h->ruled = true;
    must = !h->known || h->behind;
    for (unsigned level = 0; level <= WR_LEVEL_MAX; level++) {
        uint64_t from = h->said.from[level];

        h->lasts[level] = wr_loose_lasts(r, level);
        must = must || need[level] > from || (from != WR_EXTENT_NOTHING && !h->lasts[level]);
    }
    must = (must || h->fewer) && !h->refused;
    wr_mutex_unlock(&h->mutex);
    return must;
}

/* Whether others can know that this process deletes. */
static bool is_said(struct wr_herald *h)
{
    bool is;

    wr_mutex_lock(&h->mutex);
    is = !h->fewer || h->refused;
    wr_mutex_unlock(&h->mutex);
    return is;
}

enum wr_status wr_herald_announce(struct wr_herald *h, struct wr_call *c,
    const struct wr_retention *r, const uint64_t need[WR_LEVEL_MAX + 1],
    const uint64_t ahead[WR_LEVEL_MAX + 1], struct wr_err *e)
{
    int64_t deadline_ms = c->deadline_ms;
    enum wr_status st;

    if (!take(h))
        return wr_fail(e, WR_BUSY, WR_EXTENT_NAME " is being written just now");
    c->deadline_ms = wr_mono_ms(c->clock) + REQUEST_MS;
    st = load(h, c, e);
    if (st == WR_OK && (!h->version.there || h->said.newest == 0) && is_said(h))
        keep_in_mind(h, c, ahead);
    else if (st == WR_OK && wr_herald_must(h, r, need))
        st = say(h, c, ahead, e);
    c->deadline_ms = deadline_ms;
    give(h);
    return st;
}
