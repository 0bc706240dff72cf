/*
 * lookout.c - see lookout.h. Asks the replica; refuses to decide what follows from the answer.
 */
#include "engine/lookout.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mutant.h"
#include "engine/herald.h"
#include "engine/layout.h"
#include "engine/learn.h"
#include "engine/writer.h"
#include "storage/storage.h"

#define SIGN_MS       ((int64_t)10 * 1000)  /* deadline of what is only a hint */
#define LIST_MS       ((int64_t)30 * 1000)  /* deadline of a listing that only tells how it is */
#define REQUEST_MS    ((int64_t)120 * 1000) /* deadline of a small request */
#define CHECK_MS      ((int64_t)30 * 60 * 1000)  /* between two looks at a replica that we write */
#define FULL_MS       ((int64_t)6 * 3600 * 1000) /* between two at all of it, which ... */
#define FULL_SHARE    200                        /* ... take one part in so many, or less */
#define CHECK_SOON_MS ((int64_t)60 * 1000)       /* after a file that may overlap another's */
#define LESS_MAX      5u                         /* listings, until what they lack is believed */
#define UNTOLD_MAX    5u                         /* signs refused, until it is done without */

static int64_t now_ms(const struct wr_call *c)
{
    return wr_mono_ms(c->clock);
}

void wr_lookout_pace(struct wr_lookout *l, struct wr_herald *h, int64_t pace_ms)
{
    l->herald = h;
    l->first = l->token;
    l->pace_ms = pace_ms > 0 ? pace_ms : CHECK_MS;
    wr_herald_pace(h, l->pace_ms);
}

void wr_lookout_anew(struct wr_lookout *l)
{
    l->listed = 0;
    l->seen = (struct wr_remote_seen){0};
}

/* It was listed, and had `txid`. What a slow sender began before the last listing shows behind the
 * one before it. */
static void note_listing(struct wr_lookout *l, uint64_t txid, int64_t at_ms)
{
    l->seen.since = l->listed;
    memcpy(l->seen.ends, l->ends, sizeof(l->ends));
    l->listed = txid;
    memcpy(l->ends, l->seen.newest, sizeof(l->ends));
    l->less = 0;
    l->doubtful = false;
    l->check_ms = at_ms + l->pace_ms;
}

/* Where a listing of all takes minutes, in which nothing is sent, it is made less often. */
static void plan_full(struct wr_lookout *l, int64_t began_ms, int64_t at_ms)
{
    l->full_ms = at_ms + wr_max(FULL_MS, (at_ms - began_ms) * FULL_SHARE);
}

/* Whether the sign is ours. Whoever reads his own there has signed behind all that he had sent
 * until now: nobody else has signed since, and so each of them finds it at his next look. */
static enum wr_status read_sign(
    struct wr_lookout *l, struct wr_call *c, bool *ret, struct wr_err *e)
{
    enum wr_status st = wr_writer_is(l->storage, c, l->token, ret, e);

    if (st != WR_OK)
        return st;
    l->signed_here = *ret;
    l->owes_sign = l->owes_sign && !*ret;
    l->refused = false;
    if (!*ret)
        wr_herald_shared(l->herald);
    return WR_OK;
}

/* Where that cannot be done each look lists, as if another one had signed. So does the next one in
 * any case, as nobody knows whose sign it goes over; what is said under that one (extent.h) is so
 * no more. */
static enum wr_status sign(struct wr_lookout *l, struct wr_call *c, struct wr_err *e)
{
    struct wr_err why = {0};
    enum wr_status st;

    l->token++;
    l->doubtful = true;
    c->deadline_ms = now_ms(c) + SIGN_MS;
    st = wr_writer_sign(l->storage, c, l->token, l->node, l->given, &why);
    l->signed_here = st == WR_OK;
    l->owes_sign = l->owes_sign && !l->signed_here;
    l->refused = !l->signed_here;
    l->barred = st != WR_OK && !wr_status_passing(st);
    l->told = l->signed_here ? l->given : 0;
    if (st == WR_OK) {
        l->untold = 0;
        return st;
    }
    if (!l->said && !(c->cancel && wr_cancel_is(c->cancel))) {
        l->said = true;
        wr_log(l->log, WR_WARN,
            "cannot write the object by which those that write to a replica notice each other; the "
            "replica is listed instead, and its first file comes later",
            WR_F_Z("db", l->label), WR_F_STR("replica", wr_storage_name(l->storage)),
            WR_F_Z("object", WR_WRITER_NAME), WR_F_Z("error", why.text));
    }
    /* It was written on no condition, so that a conflict says nothing about what is there. */
    return wr_fail(e, st == WR_CONFLICT ? WR_BUSY : st, "%s", why.text);
}

static void note_newest(struct wr_lookout *l, const struct wr_remote_pos *pos)
{
    l->newest = (struct wr_ltx_file){
        .level = pos->level, .min = pos->from, .max = pos->txid, .size = pos->size};
    l->given = wr_max(l->given, pos->txid);
}

void wr_lookout_found(struct wr_lookout *l, struct wr_call *c, const struct wr_remote_pos *pos,
    uint64_t node, int64_t began_ms)
{
    int64_t at_ms = now_ms(c);

    note_listing(l, pos->txid, at_ms);
    plan_full(l, began_ms, at_ms);
    note_newest(l, pos);
    wr_herald_found(l->herald, c->clock, &l->newest, pos->has_rolling);
    l->node = node;
    l->refused = false;
    if (pos->txid == 0) { /* what is said under it is of what is gone */
        l->signed_here = false;
        l->told = 0;
    }
    wr_lookout_arrived(l, c);
}

/* A directory shows what is there; and who is dead has nothing under way to it. */
static bool shows_all(const struct wr_lookout *l)
{
    return (wr_storage_caps(l->storage) & WR_STORAGE_LIST_NOW) != 0;
}

/* Whether there is another one's sign. */
static enum wr_status ask(struct wr_lookout *l, struct wr_call *c, bool *ret, struct wr_err *e)
{
    c->deadline_ms = now_ms(c) + REQUEST_MS;
    return wr_writer_other(l->storage, c, l->first, l->token, ret, &l->taken, e);
}

enum wr_status wr_lookout_ask(struct wr_lookout *l, struct wr_call *c, struct wr_err *e)
{
    bool anothers;

    return shows_all(l) ? WR_OK : ask(l, c, &anothers, e);
}

/* No file was listed where none is known: there is none, or the listing is from before they came,
 * or the first one is under way. Whoever began anew then would do so over them. */
static enum wr_status believe_empty(struct wr_lookout *l, struct wr_call *c, struct wr_err *e)
{
    bool anothers;
    enum wr_status st;

    if (l->emptied || shows_all(l))
        return WR_OK;
    st = ask(l, c, &anothers, e);
    if (st != WR_OK || !anothers)
        return st;
    l->emptied = ++l->less >= LESS_MAX;
    return wr_fail(e, WR_BUSY,
        "no file is listed, and " WR_WRITER_NAME
        " tells of some: the first one is under way, the listing is out of date, or they were "
        "deleted; if it stays so for half a minute, all is sent anew");
}

enum wr_status wr_lookout_believe(
    struct wr_lookout *l, struct wr_call *c, uint64_t txid, struct wr_err *e)
{
    bool there;
    enum wr_status st;

    if (l->less >= LESS_MAX || WR_MUTANT(TRUST_LIST))
        return WR_OK;
    if (txid == 0 && l->newest.max == 0)
        return believe_empty(l, c, e);
    if (txid >= l->newest.max)
        return WR_OK;
    c->deadline_ms = now_ms(c) + REQUEST_MS;
    st = wr_remote_there(l->storage, c, &l->newest, &there, e);
    if (st != WR_OK || !there)
        return st;
    l->less++;
    return wr_fail(e, WR_BUSY,
        "the listing ends with txid %016llx, and a file of txid %016llx is there: it is out of "
        "date",
        (unsigned long long)txid, (unsigned long long)l->newest.max);
}

static void look_soon(struct wr_lookout *l, int64_t at_ms)
{
    l->check_ms = wr_min(l->check_ms, at_ms + CHECK_SOON_MS);
}

/* What another process has said goes by the sign that is there, so it is read before that is
 * written over; and is said anew at a look, which comes soon. */
static enum wr_status sign_first(struct wr_lookout *l, struct wr_call *c, struct wr_err *e)
{
    enum wr_status st;

    wr_herald_prepare(l->herald, c);
    st = sign(l, c, e);
    if (st == WR_OK && l->newest.max > 0)
        look_soon(l, now_ms(c));
    return st;
}

/* Whether it is the sign that is refused, and not all that is asked for, as with credentials that
 * have expired: that passes, and with it what speaks for sending a file of which nothing tells. */
static bool others_are_served(struct wr_lookout *l, struct wr_call *c)
{
    struct wr_ltx_files files = {0};
    struct wr_err why = {0};
    enum wr_status st;

    c->deadline_ms = now_ms(c) + LIST_MS;
    st = wr_layout_list(l->storage, c, WR_LEVEL_SNAPSHOT, 0, &files, &why);
    wr_ltx_files_release(&files);
    return st == WR_OK;
}

/* Tell of TXIDs that nobody else can know of, before a file of them is sent. */
static enum wr_status announce(struct wr_lookout *l, struct wr_call *c, struct wr_err *e)
{
    enum wr_status st = sign_first(l, c, e);

    if (st != WR_OK && l->untold < UNTOLD_MAX)
        l->untold += others_are_served(l, c);
    return l->untold < UNTOLD_MAX ? st : WR_OK;
}

enum wr_status wr_lookout_sends(
    struct wr_lookout *l, struct wr_call *c, const struct wr_ltx_file *f, struct wr_err *e)
{
    bool wide = f->min < f->max;
    uint64_t size = f->size > 0 ? f->size : UINT64_MAX;
    bool over = f->level == 0 && !wr_learn_name_tells(f->level, f->min, f->max, size);
    bool first = l->newest.max == 0;
    bool leaps = f->max >= l->newest.max + WR_TXID_LEAP && !WR_MUTANT(NO_LEAP) &&
                 !WR_MUTANT(NO_LEDGER_SYNC) && !WR_MUTANT(CUT_GIVES_AGAIN);
    enum wr_status st;

    l->owes_sign = l->owes_sign || wide || over || first;
    l->doubtful = l->doubtful || wide;
    l->given = wr_max(l->given, f->max);
    if (!(first || leaps) || l->told >= f->max || shows_all(l) || WR_MUTANT(UNSIGNED))
        return WR_OK;
    st = announce(l, c, e);
    l->owes_sign = true; /* somebody may sign over that while the file is under way */
    return st;
}

void wr_lookout_arrived(struct wr_lookout *l, struct wr_call *c)
{
    struct wr_err why = {0};
    bool ours = false;

    if (!l->owes_sign || l->refused || WR_MUTANT(UNSIGNED))
        return;
    if (!l->signed_here) {
        (void)sign_first(l, c, &why);
        return;
    }
    c->deadline_ms = now_ms(c) + SIGN_MS;
    if (read_sign(l, c, &ours, &why) != WR_OK)
        l->refused = true; /* the next look reads it first of all */
    else if (!ours) {
        (void)sign(l, c, &why);
        look_soon(l, now_ms(c)); /* whoever signed has begun just now */
    }
}

void wr_lookout_sent(
    struct wr_lookout *l, const struct wr_clock *clock, const struct wr_ltx_file *f)
{
    l->sent = true;
    wr_remote_sent(&l->seen, f);
    wr_herald_sent(l->herald, clock, f);
    l->newest = *f;
    if (f->min < f->max)
        look_soon(l, wr_mono_ms(clock));
}

void wr_lookout_took(struct wr_lookout *l, const struct wr_clock *clock)
{
    l->doubtful = true;
    look_soon(l, wr_mono_ms(clock));
}

/* All is as it was left. */
static void speak(struct wr_lookout *l, struct wr_call *c)
{
    wr_herald_look(l->herald, c, l->signed_here ? l->token : 0, l->node);
}

int64_t wr_lookout_says_ms(const struct wr_lookout *l)
{
    int64_t due_ms = wr_herald_due(l->herald);

    if ((l->refused && l->barred) || WR_MUTANT(UNSIGNED))
        return INT64_MAX;
    return l->refused ? wr_max(due_ms, l->check_ms) : due_ms; /* no file waits for it before */
}

bool wr_lookout_knows(const struct wr_lookout *l)
{
    return l->signed_here && !l->doubtful && !l->refused;
}

void wr_lookout_say(struct wr_lookout *l, struct wr_call *c, bool ends)
{
    if (wr_lookout_knows(l))
        wr_herald_say_last(l->herald, c, l->token, l->node, ends);
}

bool wr_lookout_due(const struct wr_lookout *l, int64_t now_ms)
{
    return now_ms >= l->check_ms;
}

/* Whether nothing speaks against it: the sign, and what any restore needs. */
static enum wr_status stands(struct wr_lookout *l, struct wr_call *c, bool *ret, struct wr_err *e)
{
    const struct wr_ltx_file *files[] = {&l->seen.base, &l->seen.next, &l->newest};
    enum wr_status st;

    c->deadline_ms = now_ms(c) + REQUEST_MS;
    st = read_sign(l, c, ret, e);
    for (size_t i = 0; st == WR_OK && *ret && i < wr_countof(files); i++) {
        bool again = files[i]->max == 0;

        for (size_t k = 0; k < i; k++)
            again = again || wr_ltx_file_cmp(files[i], files[k]) == 0;
        if (!again)
            st = wr_remote_there(l->storage, c, files[i], ret, e);
    }
    return st;
}

enum wr_status wr_lookout_look(
    struct wr_lookout *l, struct wr_call *c, struct wr_lookout_view *ret, struct wr_err *e)
{
    enum wr_status st = WR_OK;
    struct wr_err why = {0};
    bool ours;

    wr_herald_prepare(l->herald, c); /* what is there goes by the sign that is there */
    *ret = (struct wr_lookout_view){.seen = l->seen, .began_ms = now_ms(c)};
    ret->all = ret->began_ms >= l->full_ms;
    if (!ret->all && !l->doubtful && l->signed_here && l->seen.base.max > 0)
        st = stands(l, c, &ret->as_left, e);
    if (st == WR_OK && ret->as_left) {
        l->check_ms = now_ms(c) + l->pace_ms;
        speak(l, c);
    }
    if (st != WR_OK || ret->as_left)
        return st;
    l->doubtful = true; /* until a listing has settled it */
    c->deadline_ms = now_ms(c) + REQUEST_MS;
    if (l->signed_here && l->owes_sign)
        st = read_sign(l, c, &ours, e);
    if (st != WR_OK)
        return st;
    if (!l->signed_here)
        (void)sign(l, c, &why);
    if (ret->all)
        ret->seen.since = 0;
    c->deadline_ms = now_ms(c) + REQUEST_MS;
    st = wr_remote_find(l->storage, c, &ret->seen, NULL, &ret->at, e);
    return st == WR_OK ? wr_lookout_believe(l, c, ret->at.txid, e) : st;
}

void wr_lookout_settle(struct wr_lookout *l, struct wr_call *c, const struct wr_lookout_view *view)
{
    int64_t at_ms = now_ms(c);

    l->seen = view->seen;
    note_listing(l, view->at.txid, at_ms);
    note_newest(l, &view->at);
    if (view->all)
        plan_full(l, view->began_ms, at_ms);
    speak(l, c);
}
