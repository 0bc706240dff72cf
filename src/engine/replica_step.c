/*
 * replica_step.c - what the actor of a replica does: list where it stands, look whether that is
 * still so, send one file, and come back later when that fails.
 */
#include "base/mem.h"
#include "engine/frozen.h"
#include "engine/keeper.h"
#include "engine/layout.h"
#include "engine/replica_int.h"
#include "engine/send.h"

#define BACKOFF_MIN_MS 500
#define BACKOFF_MAX_MS ((int64_t)60 * 1000)
#define REQUEST_MS     ((int64_t)120 * 1000) /* deadline of a small file, and of a key listed */
#define STREAM_MS      WR_STORAGE_UPLOAD_MS  /* deadline of a large or streamed file */
#define LOG_EVERY_MS   ((int64_t)30 * 1000)  /* of the same failure again */

static struct wr_replica *of_actor(struct wr_actor *a)
{
    return wr_container_of(a, struct wr_replica, actor);
}

/* When to try again after the n-th failure in a row: full jitter below a doubling bound. */
static struct wr_next backoff(struct wr_replica *r)
{
    int64_t bound = BACKOFF_MIN_MS << wr_min(r->failures, 10u);
    int64_t ms = wr_min(bound, BACKOFF_MAX_MS);

    ms = ms / 4 + (int64_t)wr_rand_below(&r->jitter, (uint64_t)(ms - ms / 4) + 1);
    return (struct wr_next){
        .when = WR_NEXT_AT, .at_ns = wr_mono_ns(wr_sched_clock(r->actor.sched)) + ms * 1000000};
}

static void failed(
    struct wr_replica *r, enum wr_status st, const struct wr_err *e, const char *what)
{
    int64_t now_ms = wr_mono_ms(wr_sched_clock(r->actor.sched));
    bool stopped;

    r->failures++;
    wr_mutex_lock(&r->mutex);
    r->now.errors++;
    stopped = r->now.state == WR_REPLICA_STOPPED;
    if (!stopped) { /* else it has its own error, for good */
        r->now.failing = true;
        r->now.error = st;
        wr_text_set(&r->why, e->text);
    }
    wr_mutex_unlock(&r->mutex);
    if (stopped || wr_cancel_is(&r->cancel)) /* by the end of it all: that is no news */
        return;
    if (r->failures == 1 || now_ms - r->logged_ms >= LOG_EVERY_MS) {
        r->logged_ms = now_ms;
        wr_log(wr_sched_log(r->actor.sched), r->failures == 1 ? WR_WARN : WR_ERROR, what,
            WR_F_Z("db", r->label), WR_F_STR("replica", wr_storage_name(r->storage)),
            WR_F_Z("error", e->text), WR_F_U64("attempts", r->failures));
    }
}

static void succeeded(struct wr_replica *r)
{
    const uint64_t failures = r->failures;
    bool stopped;

    r->failures = 0;
    wr_mutex_lock(&r->mutex);
    stopped = r->now.state == WR_REPLICA_STOPPED;
    if (!stopped) {
        r->now.failing = false;
        r->now.error = WR_OK;
        wr_text_release(&r->why);
    }
    r->now.last_ok_ms = wr_wall_ms(wr_sched_clock(r->actor.sched));
    wr_mutex_unlock(&r->mutex);
    if (failures > 0 && !stopped)
        wr_log(wr_sched_log(r->actor.sched), WR_INFO, "replica sync recovered",
            WR_F_Z("db", r->label), WR_F_STR("replica", wr_storage_name(r->storage)),
            WR_F_U64("previous_errors", failures));
}

static int64_t mono_ms(const struct wr_replica *r)
{
    return wr_mono_ms(wr_sched_clock(r->actor.sched));
}

/* What takes hours has a token of its own, so that it can be given up without the replica: one
 * file, or all when the replica has stopped, maybe just now. `p`: what is sent, or NULL. */
static void begin_request(
    struct wr_replica *r, struct wr_call *c, struct wr_cancel *request, const struct wr_parcel *p)
{
    wr_cancel_init(request);
    wr_mutex_lock(&r->mutex);
    r->sending = p;
    r->request = request;
    if (wr_cancel_is(&r->cancel) || r->now.state == WR_REPLICA_STOPPED)
        wr_cancel_now(request);
    wr_mutex_unlock(&r->mutex);
    c->cancel = request;
}

static void end_request(struct wr_replica *r, struct wr_call *c, struct wr_cancel *request)
{
    wr_mutex_lock(&r->mutex);
    r->sending = NULL;
    r->request = NULL;
    wr_mutex_unlock(&r->mutex);
    c->cancel = &r->cancel;
    wr_cancel_release(request);
}

/* What was asked to be found again meanwhile is not what was found: the wake that came with it
 * leads here once more. */
static struct wr_next find_position(
    struct wr_replica *r, struct wr_call *c, const struct wr_wish *wish, unsigned epoch)
{
    struct wr_learnt learnt, was;
    struct wr_err e = {0};
    const struct wr_tenure_moment began = wr_tenure_moment(c->clock);
    struct wr_cancel request;
    enum wr_status st;

    c->deadline_ms = began.mono_ms + REQUEST_MS;
    wr_lookout_anew(&r->lookout);
    begin_request(r, c, &request, NULL);
    st = wr_learn(&r->learner, c, wish, &r->lookout.seen, &learnt, &e);
    end_request(r, c, &request);
    if (st == WR_OK)
        st = wr_lookout_believe(&r->lookout, c, wr_max(learnt.pos.txid, learnt.pos.damaged), &e);
    if (st == WR_OK && wish->sign && learnt.pos.txid > 0)
        st = wr_lookout_ask(&r->lookout, c, &e);
    if (st != WR_OK) {
        wr_learnt_release(&learnt);
        failed(r, st, &e, "cannot list the replica, retrying");
        r->notify(r->arg);
        return backoff(r);
    }
    if (!r->send_failed)
        succeeded(r);
    if (wish->node != 0 && !(learnt.lease && wr_lease_lost(learnt.lease, wish->node)))
        wr_tenure_shown(&r->tenure, began);
    wr_lookout_found(&r->lookout, c, &learnt.pos, wish->node, began.mono_ms);
    wr_keeper_forget(r->keeper);
    if (learnt.pos.txid > 0)
        wr_keeper_begin(r->keeper, learnt.pos.time_ms);
    wr_mutex_lock(&r->mutex);
    if (r->now.state == WR_REPLICA_UNKNOWN && r->epoch == epoch) {
        /* What was in the way is not there. */
        const struct wr_remote_pos *pos = &learnt.pos;

        if (pos->whole && pos->txid == r->left.txid && pos->rolling == r->left.rolling)
            r->now.contested = false;
        r->now.continues = r->now.contested && pos->has_rolling && pos->from == r->left.txid + 1 &&
                           pos->rolling_pre == r->left.rolling;
        r->asked = wish->sign || pos->txid == 0;
        r->taken = r->lookout.taken;
        r->now.state = WR_REPLICA_READY;
        r->now.pos = *pos;
        r->now.sampled = learnt.sample != NULL;
        r->now.unknowable = learnt.unknowable;
        r->now.counted = wish->census;
        was = r->learnt;
        r->learnt = learnt;
        learnt = was;
        r->now.found++;
        r->wish.sample = r->wish.census = false;
    }
    wr_mutex_unlock(&r->mutex);
    wr_learnt_release(&learnt);
    r->notify(r->arg);
    return (struct wr_next){.when = WR_NEXT_IDLE};
}

static void acknowledged(
    struct wr_replica *r, const struct wr_parcel *p, unsigned epoch, uint64_t size)
{
    wr_mutex_lock(&r->mutex);
    if (r->epoch == epoch) {
        struct wr_link *x = wr_list_first(&r->queue);
        struct queued *q = wr_container_of(x, struct queued, link);

        wr_list_remove(x);
        r->now.queued--;
        r->now.queued_bytes -= p->size;
        wr_parcel_unref(q->parcel);
        wr_free(q);
        r->now.pos = (struct wr_remote_pos){.txid = p->header.max_txid,
            .has_rolling = p->header.has_rolling,
            .whole = r->now.pos.whole || p->level == WR_LEVEL_SNAPSHOT,
            .rolling = p->header.rolling_post,
            .from = p->header.max_txid, /* it counts, whatever its name: that was asked */
            .node_id = p->header.node_id,
            .page_size = p->header.page_size,
            .commit = p->header.commit,
            .time_ms = p->header.time_ms};
        r->now.contested = false; /* what was in the way is behind us */
        r->wish.sign = false;     /* and what may come */
        r->lacks_ms = 0;          /* a queue begins with all that it lacks */
        if (wr_parcel_streamed(p))
            r->now.streamed_size = size;
    }
    if (r->now.state == WR_REPLICA_SENDING)
        r->now.state = WR_REPLICA_READY;
    wr_mutex_unlock(&r->mutex);
}

static bool may_be_the_disk(enum wr_status st)
{
    return st == WR_NOTFOUND || st == WR_IO || st == WR_CORRUPT;
}

static enum wr_status send_cancelable(struct wr_replica *r, struct wr_call *c,
    const struct wr_parcel *p, struct wr_sent *ret, struct wr_err *e)
{
    struct wr_cancel request;
    enum wr_status st;

    begin_request(r, c, &request, p);
    st = wr_send(r->storage, c, p, wr_sched_processors(r->actor.sched), ret, e);
    end_request(r, c, &request);
    return st;
}

static void stop_lost(struct wr_replica *r, const struct wr_lease *lease)
{
    char text[WR_ERR_MAX];

    wr_lease_lost_text(lease, text);
    wr_replica_stop(r, WR_CONFLICT, text);
}

enum wr_status wr_replica_may(void *arg, struct wr_call *c, bool now, struct wr_err *e)
{
    struct wr_replica *r = arg;
    struct wr_lease lease;
    uint64_t node;
    enum wr_status st;

    wr_mutex_lock(&r->mutex);
    node = r->wish.node;
    wr_mutex_unlock(&r->mutex);
    if (node == 0)
        return WR_OK;
    st = wr_tenure_holds(&r->tenure, c, node, now, &lease, e);
    if (st != WR_OK || lease.epoch == 0)
        return st;
    stop_lost(r, &lease);
    return wr_fail(e, WR_CONFLICT, "promoted elsewhere: %s", lease.owner);
}

/* It is there. Whether it counts; *ret_lost: it does not, as somebody else was promoted. */
static enum wr_status confirm(struct wr_replica *r, struct wr_call *c, const struct wr_parcel *p,
    struct wr_lease *ret_lease, bool *ret_lost, struct wr_err *e)
{
    struct wr_ltx_file f = wr_parcel_listed(p);
    bool first;
    enum wr_status st;

    if (wr_parcel_streamed(p))
        f.size = UINT64_MAX;
    wr_mutex_lock(&r->mutex);
    first = r->now.pos.txid == 0;
    wr_mutex_unlock(&r->mutex);
    st = wr_tenure_confirm(&r->tenure, c, &f, p->header.node_id, first, ret_lease, e);
    *ret_lost = st == WR_OK && ret_lease->epoch > 0;
    return st;
}

static struct wr_next send_next(
    struct wr_replica *r, struct wr_call *c, struct wr_parcel *p, unsigned epoch)
{
    struct wr_err e = {0};
    bool streamed = wr_parcel_streamed(p), stopped, lost = false;
    struct wr_sent sent;
    struct wr_ltx_file f = wr_parcel_listed(p);
    const struct wr_tenure_moment began = wr_tenure_moment(c->clock);
    struct wr_lease lease;
    uint64_t node;
    enum wr_status st;

    st = wr_lookout_sends(&r->lookout, c, &f, &e);
    c->deadline_ms =
        wr_mono_ms(c->clock) + (streamed || wr_parcel_large(p) ? STREAM_MS : REQUEST_MS);
    if (st == WR_OK)
        st = send_cancelable(r, c, p, &sent, &e);
    if (st == WR_OK) {
        st = confirm(r, c, p, &lease, &lost, &e); /* at once: it may be promoted on from now on */
        wr_lookout_arrived(&r->lookout, c);       /* before anybody is told, who may end us */
    }
    if (lost) {
        stop_lost(r, &lease);
        wr_parcel_unref(p);
        return (struct wr_next){.when = WR_NEXT_IDLE};
    }
    if (st == WR_OK) {
        f.size = sent.size;
        wr_tenure_shown(&r->tenure, began);
        acknowledged(r, p, epoch, sent.size);
        wr_lookout_sent(&r->lookout, wr_sched_clock(r->actor.sched), &f);
        if (r->tenure.took)
            wr_lookout_took(&r->lookout, wr_sched_clock(r->actor.sched));
        r->tenure.took = false;
        wr_keeper_note(r->keeper, &f);
        r->send_failed = false;
        succeeded(r);
        wr_send_say(wr_sched_log(r->actor.sched), r->label, r->storage, p, sent.size);
        node = p->header.node_id;
        wr_parcel_unref(p);
        r->notify(r->arg);
        lost = !wr_tenure_lasts(&r->tenure, c, node, &lease);
        if (lost)
            stop_lost(r, &lease);
        return (struct wr_next){.when = lost ? WR_NEXT_IDLE : WR_NEXT_NOW};
    }
    stopped =
        streamed && wr_frozen_stopped(p->frozen); /* by the database: no fault of the replica */
    if (!stopped) {
        r->send_failed = true;
        failed(r, st, &e, "cannot send to the replica, retrying");
    }
    wr_mutex_lock(&r->mutex);
    if (r->now.state == WR_REPLICA_SENDING)
        r->now.state = WR_REPLICA_READY;
    /* What a streamed file contains depends on when it is read, and whether a half-made upload took
     * effect is not known: look again where the replica stands, after the backoff. So it is when
     * the file in the outbox may be what cannot be read: the ledger knows the way without it; and
     * when there is no bucket: the next one of that name is empty. */
    if (r->now.state == WR_REPLICA_READY &&
        (streamed || st == WR_CONFLICT || st == WR_MISUSE || st == WR_NOTFOUND ||
            (p->path && may_be_the_disk(st)))) {
        r->now.state = WR_REPLICA_UNKNOWN;
        r->now.contested = st == WR_CONFLICT;
        r->left = r->now.pos;
        wr_replica_queue_clear(r);
    }
    wr_mutex_unlock(&r->mutex);
    wr_parcel_unref(p);
    r->notify(r->arg);
    return stopped ? (struct wr_next){.when = WR_NEXT_NOW} : backoff(r);
}

/* Whether it is what waits to be sent first, from `pos` on: an earlier attempt whose answer got
 * lost. mutex held. */
static bool is_next(struct wr_replica *r, const struct wr_remote_pos *at)
{
    const struct wr_parcel *p = wr_replica_first(r);

    return p && at->has_rolling && p->header.has_rolling && at->from == p->header.min_txid &&
           at->txid == p->header.max_txid && at->rolling == p->header.rolling_post;
}

/* If it is not as we left it, it is UNKNOWN then. */
static enum wr_status look_again(struct wr_replica *r, struct wr_call *c)
{
    struct wr_lookout_view view;
    const struct wr_remote_pos *at = &view.at;
    struct wr_remote_pos pos;
    struct wr_err e = {0};
    bool same, gone, next;
    enum wr_status st;

    st = wr_lookout_look(&r->lookout, c, &view, &e);
    if (st != WR_OK)
        failed(r, st, &e, "cannot look at the replica, retrying");
    if (st == WR_CORRUPT) { /* what to do about it is found out as at a start */
        wr_mutex_lock(&r->mutex);
        r->left = r->now.pos;
        wr_mutex_unlock(&r->mutex);
        wr_replica_rejoin(r, e.text);
    }
    if (st != WR_OK || view.as_left)
        return st;
    wr_mutex_lock(&r->mutex);
    pos = r->now.pos;
    next = is_next(r, at);
    wr_mutex_unlock(&r->mutex);
    same = at->txid == pos.txid && at->rolling == pos.rolling;
    gone = at->txid < pos.txid || (same && !at->mixed);
    if ((same || next) && at->whole == pos.whole) {
        wr_lookout_settle(&r->lookout, c, &view);
        wr_mutex_lock(&r->mutex);
        r->now.cleared += view.all;
        wr_mutex_unlock(&r->mutex);
        return WR_OK;
    }
    wr_log(wr_sched_log(r->actor.sched), WR_WARN,
        gone ? "files that were sent are gone from the replica"
             : "the replica has files that were not sent from here",
        WR_F_Z("db", r->label), WR_F_STR("replica", wr_storage_name(r->storage)),
        WR_F_TXID("sent_txid", pos.txid), WR_F_TXID("found_txid", at->txid));
    wr_mutex_lock(&r->mutex);
    r->now.contested = !gone;
    r->left = pos;
    wr_mutex_unlock(&r->mutex);
    if (!gone)
        wr_herald_shared(&r->herald);
    wr_replica_rejoin(r, "it is not as we left it");
    return WR_OK;
}

/* The first file that waits is not sent before the replica was looked at. */
static struct wr_next check(struct wr_replica *r, struct wr_call *c)
{
    enum wr_status st = look_again(r, c);

    wr_mutex_lock(&r->mutex);
    if (r->now.state == WR_REPLICA_SENDING)
        r->now.state = WR_REPLICA_READY;
    wr_mutex_unlock(&r->mutex);
    r->notify(r->arg);
    return st == WR_OK ? (struct wr_next){.when = WR_NEXT_NOW} : backoff(r);
}

/* What was sent is said to be there when nothing comes any more, at the end, and behind many files.
 */
static struct wr_next say(struct wr_replica *r, struct wr_call *c, bool leaves)
{
    bool knows = wr_lookout_knows(&r->lookout), ready;

    if (!knows && r->lookout.sent)
        knows = look_again(r, c) == WR_OK && wr_lookout_knows(&r->lookout);
    wr_mutex_lock(&r->mutex);
    if (r->now.state == WR_REPLICA_SENDING)
        r->now.state = WR_REPLICA_READY;
    ready = r->now.state == WR_REPLICA_READY;
    wr_mutex_unlock(&r->mutex);
    if (knows && ready)
        wr_lookout_say(&r->lookout, c, leaves);
    wr_mutex_lock(&r->mutex);
    r->spoken = r->spoken || leaves;
    wr_mutex_unlock(&r->mutex);
    r->notify(r->arg);
    return knows || leaves || !ready ? (struct wr_next){.when = WR_NEXT_NOW} : backoff(r);
}

/* A database that is sent, or a replica that is read, whole takes hours: others' files of a second
 * do not wait behind that. mutex held. */
static enum wr_lane lane_of(const struct wr_replica *r)
{
    const struct wr_parcel *p = wr_replica_first(r);
    bool sends =
        r->now.state == WR_REPLICA_READY && p && (wr_parcel_streamed(p) || p->size >= WR_SEND_LONG);
    bool reads = r->now.state == WR_REPLICA_UNKNOWN && r->wish.census;

    return sends || reads ? WR_LANE_LONG : WR_LANE_NET;
}

struct wr_next wr_replica_step(struct wr_actor *a, struct wr_call *c)
{
    struct wr_replica *r = of_actor(a);
    struct wr_parcel *p = NULL;
    enum wr_replica_state state;
    enum wr_lane lane;
    int64_t wait_ms, says_ms;
    struct wr_wish wish;
    unsigned epoch;
    bool leaves;

    c->cancel = &r->cancel;
    if (wr_cancel_is(&r->cancel))
        return (struct wr_next){.when = WR_NEXT_IDLE};
    wr_mutex_lock(&r->mutex);
    lane = lane_of(r);
    if (lane == a->lane && r->now.state == WR_REPLICA_READY && wr_replica_first(r)) {
        r->now.state = WR_REPLICA_SENDING;
        p = wr_parcel_ref(wr_replica_first(r));
    }
    state = r->now.state;
    epoch = r->epoch;
    wish = r->wish;
    wait_ms = r->wait_ms;
    leaves = r->leaving && !r->spoken && !p && state == WR_REPLICA_READY;
    wr_mutex_unlock(&r->mutex);
    if (lane != a->lane)
        return (struct wr_next){.when = WR_NEXT_MOVE, .to = lane};
    if (state == WR_REPLICA_UNKNOWN && mono_ms(r) < wait_ms)
        return (struct wr_next){.when = WR_NEXT_AT, .at_ns = wait_ms * 1000000};
    if (state == WR_REPLICA_UNKNOWN)
        return find_position(r, c, &wish, epoch);
    if (state == WR_REPLICA_STOPPED)
        return (struct wr_next){.when = WR_NEXT_IDLE};
    says_ms = wr_lookout_says_ms(&r->lookout);
    if (leaves || mono_ms(r) >= says_ms) {
        wr_parcel_unref(p);
        return say(r, c, leaves);
    }
    if (!p)
        return says_ms == INT64_MAX
                   ? (struct wr_next){.when = WR_NEXT_IDLE}
                   : (struct wr_next){.when = WR_NEXT_AT, .at_ns = says_ms * 1000000};
    if (wr_lookout_due(&r->lookout, mono_ms(r))) {
        wr_parcel_unref(p);
        return check(r, c);
    }
    return send_next(r, c, p, epoch);
}
