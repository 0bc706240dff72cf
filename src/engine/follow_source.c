/*
 * follow_source.c - see follow_source.h.
 *
 * Records become files in a bucket in memory, under the names that a chain of them would have, and
 * then all is as with the real one (follow_fetch.h). A run of parts is such a chain, too: part k
 * behind TXID n is called n + k there, and leads from the state behind part k - 1.
 */
#include "engine/follow_source.h"

#include "engine/feed.h"
#include "engine/feed_record.h"
#include "engine/follow_fetch.h"
#include "engine/follow_int.h"
#include "storage/storage.h"
#include "storage/stream.h"

#define WAIT_MS   ((int64_t)5000) /* at the primary, for something new */
#define RETRY_MS  ((int64_t)1000) /* doubles ... */
#define RETRY_MAX ((int64_t)30000)
#define ANSWER_MS ((int64_t)30000) /* longer than it is given to read one */
#define RUN_MAX   64               /* records that are applied at once */

void wr_follow_source_init(struct wr_follow_source *s, struct wr_stream *primary)
{
    *s = (struct wr_follow_source){.primary = primary};
    wr_buf_init(&s->answer, WR_STREAM_REPLY_MAX);
}

void wr_follow_source_release(struct wr_follow_source *s)
{
    wr_storage_close(s->inbox);
    wr_buf_release(&s->answer);
}

static int64_t now_ms(const struct wr_call *c)
{
    return wr_mono_ms(c->clock);
}

/* The bucket it is, for a while. */
static void leave(struct wr_follow *f, const struct wr_call *c, const struct wr_err *why)
{
    struct wr_follow_source *s = &f->source;
    int64_t wait = wr_min(RETRY_MS << wr_min(s->failures, 5u), RETRY_MAX);

    s->failures++;
    s->again_ms = now_ms(c) + wait / 2 + (int64_t)wr_rand_below(&f->rng, (uint64_t)(wait / 2) + 1);
    s->rest.n = 0;
    s->with = s->back = s->flows = false;
    if (!s->told)
        wr_log(c->log, WR_WARN, "follow: without the primary; going on from the bucket",
            WR_F_Z("output", f->path), WR_F_Z("reason", why->text));
    s->told = true;
}

/* It is of use: nothing new, or something that was applied. That it answers is not enough. */
static void is_back(struct wr_follow *f, const struct wr_call *c)
{
    struct wr_follow_source *s = &f->source;

    if (!s->back)
        wr_log(c->log, WR_INFO, "follow: with the primary", WR_F_Z("output", f->path),
            WR_F_Z("primary", wr_stream_name(s->primary)), WR_F_TXID("txid", f->pos.txid));
    s->back = true;
    s->told = false;
    s->failures = 0;
}

/* Whether it goes on from what the copy is, or would be with the records before it: *cur. */
static bool follows(const struct wr_feed_record *r, const struct wr_feed_at *cur)
{
    uint32_t part = r->life == cur->life ? cur->part : 0;

    if (r->from != cur->txid)
        return false;
    switch (r->kind) {
    case WR_FEED_FILE:
        return true;
    case WR_FEED_PART:
        return r->part == part + 1;
    case WR_FEED_CLOSE:
        return part > 0 && r->part == part;
    case WR_FEED_MORE:
        return true;
    }
    return false;
}

/* The names of a record in the inbox. */
static struct wr_ltx_file name_of(const struct wr_feed_record *r)
{
    uint64_t part = r->kind == WR_FEED_PART ? r->from + r->part : 0;

    return (struct wr_ltx_file){
        .min = part ? part : r->from + 1, .max = part ? part : r->txid, .size = r->body.n};
}

static enum wr_status put(struct wr_follow_source *s, struct wr_call *c,
    const struct wr_feed_record *r, struct wr_ltx_files *chain, struct wr_err *e)
{
    struct wr_ltx_file file = name_of(r);
    const struct wr_put_opts how = {0};
    struct wr_str key = wr_layout_ltx_key(c->scratch, s->inbox, 0, file.min, file.max);
    enum wr_status st;

    if (!key.p)
        return wr_fail(e, WR_NOMEM, "a record of the primary: out of memory");
    st = wr_storage_put(s->inbox, c, key, r->body, &how, e);
    return st == WR_OK ? wr_ltx_files_add(chain, &file, e) : st;
}

/* The records of one kind that come first go to the inbox, and *cur behind them. */
static enum wr_status take_run(struct wr_follow_source *s, struct wr_call *c,
    struct wr_feed_at *cur, struct wr_ltx_files *chain, struct wr_err *e)
{
    enum wr_feed_kind kind = WR_FEED_CLOSE;
    enum wr_status st = WR_OK;

    while (st == WR_OK && wr_feed_record_whole(s->rest) && chain->n < RUN_MAX) {
        struct wr_bytes rest = s->rest;
        struct wr_feed_record r;

        st = wr_feed_record_next(&rest, &r, e);
        if (st != WR_OK || (chain->n > 0 && r.kind != kind))
            break;
        if (!follows(&r, cur))
            return wr_fail(e, WR_CORRUPT, "the primary's answer does not go on from the copy");
        st = put(s, c, &r, chain, e);
        kind = r.kind;
        cur->txid = r.txid;
        cur->life = r.life;
        cur->part = r.kind == WR_FEED_PART ? r.part : 0;
        s->rest = rest;
    }
    return st;
}

static void forget(struct wr_follow_source *s, struct wr_call *c, const struct wr_ltx_files *chain)
{
    for (size_t i = 0; i < chain->n; i++) {
        struct wr_str key =
            wr_layout_ltx_key(c->scratch, s->inbox, 0, chain->p[i].min, chain->p[i].max);

        if (!key.p || wr_storage_remove(s->inbox, c, &key, 1, NULL) != WR_OK)
            return; /* they are overwritten some time, or go with the inbox */
    }
}

/* What they change, as f->next. */
static enum wr_status fetch(struct wr_follow *f, struct wr_call *c, const struct wr_feed_at *at,
    const struct wr_feed_at *to, const struct wr_ltx_files *chain, struct wr_err *e)
{
    struct wr_follow_source *s = &f->source;
    struct wr_follow_change x = {0};
    struct wr_follow_pos pos = f->pos;
    size_t bad;
    enum wr_status st;

    /* The first of them goes on from the part that the copy has, or from the TXID before it. */
    if (chain->p[0].min > at->txid + 1) {
        pos.txid = at->txid + at->part;
        pos.part = 0;
    }
    st = wr_follow_fetch(s->inbox, c, &f->opts.restore, &pos, chain, &x, &bad, e);
    if (st != WR_OK) {
        wr_follow_change_release(&x);
        return st;
    }
    x.txid = to->txid;
    x.part = to->part;
    x.base = to->part ? wr_follow_base(&f->pos) : 0;
    x.fed = true;
    f->next = x;
    return WR_OK;
}

/* The part that the copy has is TXID r->txid by now: nothing is to be written to it. */
static enum wr_status close_txid(
    struct wr_follow *f, const struct wr_feed_record *r, struct wr_err *e)
{
    struct wr_follow_pos now = f->pos;
    enum wr_status st;

    if (r->rolling != now.rolling)
        return wr_fail(e, WR_CORRUPT, "the primary's next transaction is not what the copy is");
    now.txid = r->txid;
    now.time_ms = r->time_ms;
    now.part = 0;
    now.base = 0;
    now.fed = true;
    st = wr_follow_state_put(&f->state, &f->pos, &now, e);
    if (st == WR_OK)
        f->pos = now;
    return st;
}

static enum wr_status take(
    struct wr_follow *f, struct wr_call *c, enum wr_follow_from *ret, struct wr_err *e)
{
    struct wr_follow_source *s = &f->source;
    struct wr_feed_at at = {.txid = f->pos.txid, .life = s->life, .part = f->pos.part};
    struct wr_ltx_files chain = {0};
    struct wr_bytes rest = s->rest;
    struct wr_feed_record r = {0};
    struct wr_feed_at cur;
    enum wr_status st = wr_feed_record_next(&rest, &r, e);

    if (at.life == 0)
        at.part = 0; /* parts of a life that is not known: all of them are read again */
    cur = at;
    if (st == WR_OK && !follows(&r, &cur))
        st = wr_fail(e, WR_CORRUPT, "the primary's answer does not go on from the copy");
    if (st == WR_OK && (r.kind == WR_FEED_CLOSE || r.kind == WR_FEED_MORE)) {
        s->rest = rest;
        s->ahead = r.txid;
        s->ahead_part = r.kind == WR_FEED_MORE ? f->pos.part : 0;
        *ret = WR_FROM_NOBODY;
        s->more = r.kind == WR_FEED_MORE;
        s->unsure = false;
        return s->more ? WR_OK : close_txid(f, &r, e);
    }
    if (st == WR_OK && r.life != at.life)
        at.part = 0;
    if (st == WR_OK)
        st = take_run(s, c, &cur, &chain, e);
    if (st == WR_OK)
        st = fetch(f, c, &at, &cur, &chain, e);
    if (st == WR_OK) {
        s->life = cur.life;
        s->ahead = cur.txid;
        s->ahead_part = cur.part;
        *ret = WR_FROM_PRIMARY;
    }
    forget(s, c, &chain);
    wr_ltx_files_release(&chain);
    return st;
}

/* Wait for what else the answer has, up to a whole record, or its end. */
static enum wr_status go_on(struct wr_follow_source *s, struct wr_call *c, struct wr_err *e)
{
    enum wr_status st = WR_OK;

    while (st == WR_OK && s->flows && !wr_feed_record_whole(s->rest)) {
        size_t had = s->rest.n;

        if (had > 0 && s->rest.p != s->answer.p)
            memmove(s->answer.p, s->rest.p, had);
        s->answer.n = had;
        st = wr_stream_more(s->primary, c, e);
        s->flows = st == WR_OK && s->answer.n > had;
        s->rest = wr_buf_bytes(&s->answer);
    }
    return st;
}

static enum wr_status ask(struct wr_follow *f, struct wr_call *c, struct wr_err *e)
{
    struct wr_follow_source *s = &f->source;
    const struct wr_stream_at at = {.txid = f->pos.txid,
        .life = s->life,
        .part = s->life ? f->pos.part : 0,
        .more = s->more && !s->unsure};
    int64_t wait_ms = s->with ? WAIT_MS : 0, began_ms = now_ms(c);
    enum wr_status st = WR_OK;

    s->rest = (struct wr_bytes){0};
    if (!s->inbox)
        st = wr_storage_open(WR_STR("mem://stream"), NULL, &s->inbox, e);
    c->deadline_ms = began_ms + wait_ms + ANSWER_MS;
    if (st == WR_OK)
        st = wr_stream_next(s->primary, c, &at, wait_ms, &s->answer, e);
    s->flows = st == WR_OK && s->answer.n > 0;
    if (st == WR_OK) {
        s->rest = wr_buf_bytes(&s->answer);
        st = go_on(s, c, e);
    }
    s->hasty = s->rest.n == 0 && wait_ms > 0 && now_ms(c) - began_ms < wait_ms / 2;
    return st;
}

/* What the last answer still has, or what another one has. One whose connection broke has ended: if
 * the primary has, too, it will not have another one. */
static enum wr_status next_records(struct wr_follow *f, struct wr_call *c, struct wr_err *e)
{
    struct wr_follow_source *s = &f->source;
    struct wr_err why = {0};
    enum wr_status st;

    /* A copy that was moved by the bucket, or not at all, is none that it goes on from. */
    s->flows = s->flows && s->ahead == f->pos.txid && s->ahead_part == f->pos.part;
    c->deadline_ms = now_ms(c) + WAIT_MS + ANSWER_MS;
    st = go_on(s, c, &why);
    if (st != WR_OK && st != WR_BUSY)
        return wr_fail(e, st, "%s", why.text);
    return st == WR_OK && wr_feed_record_whole(s->rest) ? WR_OK : ask(f, c, e);
}

/* Asked by who does not say that it was told of more, the primary has nothing: it died with that.
 * Then the bucket tells whether the copy is behind. */
static bool forget_more(struct wr_follow *f)
{
    if (!f->source.unsure)
        return false;
    f->source.more = f->source.unsure = false;
    f->wide_ms = 0;
    return true;
}

enum wr_status wr_follow_source_next(
    struct wr_follow *f, struct wr_call *c, enum wr_follow_from *ret, struct wr_err *e)
{
    struct wr_follow_source *s = &f->source;
    struct wr_err why = {0};
    enum wr_status st = WR_OK;

    *ret = WR_FROM_BUCKET;
    if (!s->primary || f->pos.txid == 0 || f->lost || f->revert || now_ms(c) < s->again_ms)
        return WR_OK;
    if (!wr_feed_record_whole(s->rest))
        st = next_records(f, c, &why);
    if (st == WR_NOTFOUND) { /* it is there; the bucket has it, or will have it in a moment */
        s->with = false;
        s->unsure = s->more;
        return WR_OK;
    }
    s->with = st == WR_OK;
    if (st == WR_OK && s->rest.n > 0)
        st = take(f, c, ret, &why);
    else if (st == WR_OK)
        *ret = forget_more(f) ? WR_FROM_BUCKET : WR_FROM_NOBODY;
    if (st == WR_OK && *ret == WR_FROM_NOBODY)
        is_back(f, c);
    if (st == WR_CANCELED || st == WR_NOMEM)
        return wr_fail(e, st, "%s", why.text);
    if (st != WR_OK) {
        *ret = WR_FROM_BUCKET;
        leave(f, c, &why);
    }
    return WR_OK;
}

void wr_follow_source_done(
    struct wr_follow *f, struct wr_call *c, enum wr_status st, const struct wr_err *why)
{
    if (st == WR_OK)
        is_back(f, c);
    if (st == WR_OK || st == WR_BUSY)
        return;
    f->source.life = 0;
    leave(f, c, why);
}
