/*
 * feed.c - see feed.h.
 */
#include "engine/feed.h"

#include "base/list.h"
#include "base/mem.h"
#include "base/sync.h"
#include "engine/feed_record.h"

#include <stdatomic.h>

#define WANTED_MS ((int64_t)30000)
#define KEPT_MS   ((int64_t)600000)
#define BATCH     64 /* records that one read returns at most */
#define AT_ONCE   2  /* readers that are woken; each wakes another one */

struct record {
    struct wr_link link; /* in the feed; guarded by its mutex */
    uint64_t txid, from; /* these and all below are frozen */
    uint32_t part;       /* of a part: its number; of a file: that it is the same state as, or 0 */
    uint64_t life;
    struct wr_buf wire;   /* what a reader gets; empty: the bucket has it */
    struct wr_buf closed; /* of a file with `part`: what who has that part gets */
    atomic_uint refs;
};

/* A reader that waits. When there is news all of them are due, and they come one after the other:
 * a hundred that are woken together only wait for the mutex. As long as one is due, one is told. */
struct waiter {
    struct wr_link link; /* in the feed; guarded by its mutex, as all below */
    struct wr_waker waker;
    struct wr_feed *feed;
    struct wr_cond cond;
    enum {
        RESTS,
        DUE,
        TOLD
    } is;
};

struct wr_feed {
    const struct wr_clock *clock;
    struct wr_feed_limits limits;
    struct wr_mutex mutex; /* guards all below */
    struct wr_list waiting;
    struct wr_list files, parts;
    size_t bytes, n; /* of both */
    uint64_t txid;   /* newest; 0: not known */
    uint64_t life;
    bool live;       /* parts may follow */
    bool more;       /* the database is ahead of the last part, and no part will say how */
    int64_t read_ms; /* when a reader was last here; INT64_MIN: never */
};

static void unref(struct record *r)
{
    if (!r || atomic_fetch_sub(&r->refs, 1) != 1)
        return;
    wr_buf_release(&r->wire);
    wr_buf_release(&r->closed);
    wr_free(r);
}

static size_t size_of(const struct record *r)
{
    return sizeof(*r) + r->wire.n + r->closed.n;
}

enum wr_status wr_feed_new(const struct wr_clock *clock, const struct wr_feed_limits *limits,
    uint64_t seed, struct wr_feed **ret, struct wr_err *e)
{
    struct wr_feed *f = wr_alloc(sizeof(*f));

    if (!f)
        return wr_fail(e, WR_NOMEM, "serve a database's stream");
    f->clock = clock;
    if (limits)
        f->limits = *limits;
    if (f->limits.bytes == 0)
        f->limits.bytes = WR_FEED_BYTES;
    if (f->limits.records == 0)
        f->limits.records = WR_FEED_RECORDS;
    if (f->limits.wanted_ms == 0)
        f->limits.wanted_ms = WANTED_MS;
    if (f->limits.kept_ms == 0)
        f->limits.kept_ms = KEPT_MS;
    f->life = seed;
    f->read_ms = INT64_MIN;
    wr_mutex_init(&f->mutex);
    wr_list_init(&f->waiting);
    wr_list_init(&f->files);
    wr_list_init(&f->parts);
    *ret = f;
    return WR_OK;
}

static struct waiter *waiter_of(struct wr_link *x)
{
    return wr_container_of(x, struct waiter, link);
}

/* Up to `n` of those that are due. */
static void tell(struct wr_feed *f, unsigned n)
{
    assert(wr_mutex_mine(&f->mutex));
    for (struct wr_link *x = wr_list_first(&f->waiting); x && n > 0;
         x = wr_list_next(&f->waiting, x)) {
        struct waiter *w = waiter_of(x);

        if (w->is != DUE)
            continue;
        w->is = TOLD;
        wr_cond_signal(&w->cond);
        n--;
    }
}

/* Something follows, or nothing ever will. */
static void tell_all(struct wr_feed *f)
{
    for (struct wr_link *x = wr_list_first(&f->waiting); x; x = wr_list_next(&f->waiting, x)) {
        struct waiter *w = waiter_of(x);

        if (w->is == RESTS)
            w->is = DUE;
    }
    tell(f, AT_ONCE);
}

static struct record *first(const struct wr_list *l)
{
    struct wr_link *x = wr_list_first(l);

    return x ? wr_container_of(x, struct record, link) : NULL;
}

static void take_out(struct wr_feed *f, struct record *r)
{
    assert(wr_mutex_mine(&f->mutex));
    wr_list_remove(&r->link);
    f->bytes -= size_of(r);
    f->n--;
    unref(r);
}

static void clear(struct wr_feed *f, struct wr_list *l)
{
    struct record *r;

    while ((r = first(l)) != NULL)
        take_out(f, r);
}

/* What was told behind TXID f->txid. */
static void forget_parts(struct wr_feed *f)
{
    clear(f, &f->parts);
    f->more = false;
}

void wr_feed_free(struct wr_feed *f)
{
    if (!f)
        return;
    assert(wr_list_empty(&f->waiting));
    wr_feed_drop(f);
    wr_mutex_release(&f->mutex);
    wr_free(f);
}

static bool read_within(struct wr_feed *f, int64_t ms)
{
    bool yes;

    wr_mutex_lock(&f->mutex);
    yes = !wr_list_empty(&f->waiting) ||
          (f->read_ms != INT64_MIN && wr_mono_ms(f->clock) - f->read_ms < ms);
    wr_mutex_unlock(&f->mutex);
    return yes;
}

void wr_feed_touch(struct wr_feed *f)
{
    wr_mutex_lock(&f->mutex);
    f->read_ms = wr_mono_ms(f->clock);
    wr_mutex_unlock(&f->mutex);
}

bool wr_feed_wanted(struct wr_feed *f)
{
    return read_within(f, f->limits.wanted_ms);
}

bool wr_feed_kept(struct wr_feed *f)
{
    return read_within(f, f->limits.kept_ms);
}

void wr_feed_begin(struct wr_feed *f, uint64_t txid)
{
    wr_mutex_lock(&f->mutex);
    forget_parts(f);
    if (f->txid != txid)
        clear(f, &f->files);
    f->txid = txid;
    f->life++;
    f->live = true;
    tell_all(f);
    wr_mutex_unlock(&f->mutex);
}

void wr_feed_end(struct wr_feed *f)
{
    wr_mutex_lock(&f->mutex);
    forget_parts(f);
    f->live = false;
    wr_mutex_unlock(&f->mutex);
}

void wr_feed_drop(struct wr_feed *f)
{
    wr_mutex_lock(&f->mutex);
    forget_parts(f);
    clear(f, &f->files);
    f->live = false;
    f->txid = 0;
    tell_all(f);
    wr_mutex_unlock(&f->mutex);
}

/* The files of long ago make room. Whether there is. */
static bool make_room(struct wr_feed *f, size_t bytes)
{
    while ((f->bytes + bytes > f->limits.bytes || f->n + 1 > f->limits.records) && first(&f->files))
        take_out(f, first(&f->files));
    return f->bytes + bytes <= f->limits.bytes && f->n + 1 <= f->limits.records;
}

static enum wr_status new_record(const struct wr_feed_record *is, uint64_t rolling, int64_t time_ms,
    struct record **ret, struct wr_err *e)
{
    struct record *r = wr_alloc(sizeof(*r));
    bool closes = is->kind == WR_FEED_FILE && is->part > 0;
    enum wr_status st;

    if (!r)
        return wr_fail(e, WR_NOMEM, "a record of the stream");
    *r = (struct record){.txid = is->txid, .from = is->from, .part = is->part, .life = is->life};
    atomic_init(&r->refs, 1);
    wr_buf_init(&r->wire, WR_FEED_HEADER + is->body.n);
    wr_buf_init(&r->closed, WR_FEED_HEADER + WR_FEED_CLOSED);
    if (is->kind != WR_FEED_FILE || is->body.n > 0)
        wr_feed_record_put(&r->wire, is);
    if (closes) {
        const struct wr_feed_record close = {.kind = WR_FEED_CLOSE,
            .txid = is->txid,
            .from = is->from,
            .life = is->life,
            .part = is->part,
            .time_ms = time_ms,
            .rolling = rolling};

        wr_feed_record_put(&r->closed, &close);
    }
    st = wr_buf_status(&r->wire) == WR_OK ? wr_buf_status(&r->closed) : WR_NOMEM;
    if (st != WR_OK) {
        unref(r);
        return wr_fail(e, WR_NOMEM, "a record of the stream");
    }
    *ret = r;
    return WR_OK;
}

/* Under the lock. The record becomes the feed's, or goes. */
static enum wr_status add(struct wr_feed *f, struct wr_list *l, struct record *r, struct wr_err *e)
{
    if (!make_room(f, size_of(r))) {
        unref(r);
        return wr_fail(e, WR_LIMIT, "more than is kept in memory for followers");
    }
    wr_list_push(l, &r->link);
    f->bytes += size_of(r);
    f->n++;
    tell_all(f);
    return WR_OK;
}

enum wr_status wr_feed_part(
    struct wr_feed *f, uint32_t part, struct wr_bytes body, struct wr_err *e)
{
    struct wr_feed_record is = {.kind = WR_FEED_PART, .part = part, .body = body};
    struct record *r = NULL;
    enum wr_status st;

    wr_mutex_lock(&f->mutex);
    is.txid = is.from = f->txid;
    is.life = f->life;
    assert(f->live && f->txid > 0);
    wr_mutex_unlock(&f->mutex); /* only the step, which is in here, changes these */
    st = new_record(&is, 0, 0, &r, e);
    if (st != WR_OK)
        return st;
    wr_mutex_lock(&f->mutex);
    st = add(f, &f->parts, r, e);
    wr_mutex_unlock(&f->mutex);
    return st;
}

void wr_feed_more(struct wr_feed *f)
{
    wr_mutex_lock(&f->mutex);
    assert(f->live && f->txid > 0);
    f->more = true;
    tell_all(f);
    wr_mutex_unlock(&f->mutex);
}

void wr_feed_gap(struct wr_feed *f, uint64_t txid)
{
    wr_mutex_lock(&f->mutex);
    forget_parts(f);
    clear(f, &f->files);
    f->txid = txid;
    tell_all(f);
    wr_mutex_unlock(&f->mutex);
}

enum wr_status wr_feed_file(struct wr_feed *f, uint64_t txid, int64_t time_ms, uint64_t rolling,
    uint32_t part, struct wr_bytes body, struct wr_err *e)
{
    struct wr_feed_record is = {.kind = WR_FEED_FILE, .txid = txid, .part = part, .body = body};
    struct record *r = NULL;
    enum wr_status st;

    wr_mutex_lock(&f->mutex);
    is.from = f->txid;
    is.life = f->life;
    wr_mutex_unlock(&f->mutex);
    assert(is.from > 0 && txid > is.from);
    st = new_record(&is, rolling, time_ms, &r, e);
    if (st == WR_OK) {
        wr_mutex_lock(&f->mutex);
        forget_parts(f);
        st = add(f, &f->files, r, e);
        if (st == WR_OK)
            f->txid = txid;
        wr_mutex_unlock(&f->mutex);
    }
    if (st != WR_OK)
        wr_feed_gap(f, txid);
    return st;
}

/* ---- readers ---- */

struct batch {
    struct record *r[BATCH];
    size_t n, bytes;
    bool closes; /* the first one is a file of which the reader has all */
    bool more;   /* and behind them, that there is more */
    struct wr_feed_record is_more;
};

static bool take(struct batch *b, struct record *r, size_t size)
{
    if (b->n == BATCH || (b->n > 0 && b->bytes + size > WR_FEED_READ))
        return false;
    (void)atomic_fetch_add(&r->refs, 1);
    b->r[b->n++] = r;
    b->bytes += size;
    return true;
}

/* Under the lock: what follows. NOTFOUND: it is not here. */
static enum wr_status collect(struct wr_feed *f, const struct wr_feed_at *at, struct batch *b)
{
    uint64_t txid = at->txid;
    uint32_t part = at->life == f->life ? at->part : 0;

    if (f->txid == 0) /* nothing is known yet */
        return WR_OK;
    if (txid > f->txid)
        return WR_NOTFOUND;
    for (struct wr_link *x = wr_list_first(&f->files); x; x = wr_list_next(&f->files, x)) {
        struct record *r = wr_container_of(x, struct record, link);
        bool closes =
            r->part > 0 && r->from == at->txid && r->part == at->part && r->life == at->life;

        if (r->from < txid)
            continue;
        if (r->from > txid || (!closes && r->wire.n == 0))
            return b->n > 0 ? WR_OK : WR_NOTFOUND;
        if (!take(b, r, closes ? r->closed.n : r->wire.n))
            return WR_OK;
        b->closes = b->closes || closes;
        txid = r->txid;
        part = 0;
    }
    if (txid < f->txid)
        return WR_NOTFOUND;
    for (struct wr_link *x = wr_list_first(&f->parts); x; x = wr_list_next(&f->parts, x)) {
        struct record *r = wr_container_of(x, struct record, link);

        if (r->part > part && !take(b, r, r->wire.n))
            return WR_OK;
    }
    if (at->more && !f->more && at->txid == f->txid && b->n == 0)
        return WR_NOTFOUND; /* it was told of what a life that is over never sent */
    b->more = f->more && !(at->more && at->txid == f->txid);
    b->is_more = (struct wr_feed_record){
        .kind = WR_FEED_MORE, .txid = f->txid, .from = f->txid, .life = f->life};
    return WR_OK;
}

/* Where it leads who has *at. */
static void move(const struct batch *b, struct wr_feed_at *at)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct record *r = b->r[i];
        bool is_file = r->txid > r->from;

        *at = (struct wr_feed_at){.txid = r->txid, .life = r->life, .part = is_file ? 0 : r->part};
    }
    at->more = b->more;
}

static enum wr_status hand_out(
    struct batch *b, struct wr_feed_at *at, struct wr_buf *out, struct wr_err *e)
{
    struct wr_feed_at behind = *at;
    enum wr_status st;

    move(b, &behind);
    for (size_t i = 0; i < b->n; i++) {
        const struct wr_buf *is = i == 0 && b->closes ? &b->r[i]->closed : &b->r[i]->wire;

        wr_buf_put(out, is->p, is->n);
        unref(b->r[i]);
    }
    if (b->more)
        wr_feed_record_put(out, &b->is_more);
    st = wr_buf_status(out);
    if (st != WR_OK)
        return wr_fail(e, st, "an answer for a follower");
    *at = behind;
    return WR_OK;
}

static void rouse(struct wr_waker *waker)
{
    struct waiter *w = wr_container_of(waker, struct waiter, waker);

    wr_mutex_lock(&w->feed->mutex);
    wr_cond_signal(&w->cond);
    wr_mutex_unlock(&w->feed->mutex);
}

/* Whoever is told tells the next one. */
static void wait_until(struct wr_feed *f, struct waiter *w, int64_t end_ns)
{
    (void)wr_cond_wait_until(&w->cond, &f->mutex, end_ns);
    if (w->is == TOLD)
        tell(f, 1);
    w->is = RESTS;
}

enum wr_status wr_feed_read(struct wr_feed *f, struct wr_feed_at *at, int64_t end_ns,
    struct wr_cancel *cancel, struct wr_buf *out, struct wr_err *e)
{
    struct waiter w = {.waker = {.wake = rouse}, .feed = f};
    struct batch b = {0};
    enum wr_status st;

    wr_cond_init(&w.cond);
    wr_cancel_add(cancel, &w.waker);
    wr_mutex_lock(&f->mutex);
    wr_list_push(&f->waiting, &w.link);
    for (;;) {
        st = collect(f, at, &b);
        if (st != WR_OK || b.n > 0 || b.more)
            break;
        if (wr_cancel_is(cancel)) {
            st = WR_CANCELED;
            break;
        }
        if (wr_mono_ns(wr_clock_system()) >= end_ns) {
            st = f->live && f->txid > 0 ? WR_TIMEOUT : WR_NOTFOUND; /* nothing is known */
            break;
        }
        wait_until(f, &w, end_ns);
    }
    wr_list_remove(&w.link);
    f->read_ms = wr_mono_ms(f->clock);
    wr_mutex_unlock(&f->mutex);
    wr_cancel_remove(cancel, &w.waker);
    wr_cond_release(&w.cond);
    if (st == WR_OK)
        return hand_out(&b, at, out, e);
    for (size_t i = 0; i < b.n; i++)
        unref(b.r[i]);
    if (st == WR_NOTFOUND)
        return wr_fail(e, st, "what follows transaction %016llx is not kept here any more",
            (unsigned long long)at->txid);
    return wr_fail(e, st, "nothing follows transaction %016llx yet", (unsigned long long)at->txid);
}
