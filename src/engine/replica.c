/*
 * replica.c - see replica.h. Knows one replica; refuses to know the database it is a replica of.
 */
#include "base/list.h"
#include "base/mem.h"
#include "base/text.h"
#include "engine/keeper.h"
#include "engine/replica_int.h"

#define PARALLEL 8u /* requests of a sample */

void wr_replica_queue_clear(struct wr_replica *r)
{
    const struct wr_parcel *p = wr_replica_first(r);
    struct wr_link *x;

    if (p && r->lacks_ms == 0)
        r->lacks_ms = p->header.time_ms;
    while ((x = wr_list_first(&r->queue)) != NULL) {
        struct queued *q = wr_container_of(x, struct queued, link);

        wr_list_remove(x);
        wr_parcel_unref(q->parcel);
        wr_free(q);
    }
    r->now.queued = 0;
    r->now.queued_bytes = 0;
    r->epoch++;
}

/* The newest TXID that it has for sure. */
static uint64_t acked_of(void *arg)
{
    struct wr_replica *r = arg;
    uint64_t txid;

    wr_mutex_lock(&r->mutex);
    txid = r->now.state == WR_REPLICA_READY || r->now.state == WR_REPLICA_SENDING ? r->now.pos.txid
                                                                                  : 0;
    txid = r->now.pos.whole ? txid : 0;
    wr_mutex_unlock(&r->mutex);
    return txid;
}

/* The actors beside it that were asked for. */
static enum wr_status add_others(struct wr_replica *r, struct wr_storage *storage,
    const struct wr_replica_opts *o, struct wr_err *e)
{
    const struct wr_verifier_opts vo = {.sched = o->sched,
        .storage = storage,
        .label = o->label,
        .notify = o->notify,
        .arg = o->arg,
        .acked = acked_of,
        .acked_arg = r,
        .interval_ns = o->verify_ns,
        .lock_offset = o->lock_offset};
    const struct wr_keeper_opts ko = {.sched = o->sched,
        .storage = storage,
        .label = o->label,
        .notify = o->notify,
        .arg = o->arg,
        .may = wr_replica_may,
        .may_arg = r,
        .herald = &r->herald,
        .lock_offset = o->lock_offset};

    enum wr_status st = wr_keeper_new(&ko, &r->keeper, e);

    return st == WR_OK && o->verify_ns > 0 ? wr_verifier_new(&vo, &r->verifier, e) : st;
}

enum wr_status wr_replica_new(struct wr_storage *storage, const struct wr_replica_opts *o,
    struct wr_replica **ret, struct wr_err *e)
{
    struct wr_replica *r = wr_alloc(sizeof(*r));
    enum wr_status st;

    if (!r || !(r->label = wr_strndup(o->label, strlen(o->label)))) {
        wr_free(r);
        return wr_fail(e, WR_NOMEM, "add a replica");
    }
    r->actor = (struct wr_actor){.step = wr_replica_step, .lane = WR_LANE_NET, .sched = o->sched};
    r->notify = o->notify;
    r->arg = o->arg;
    wr_rand_init(&r->jitter, o->seed);
    r->lookout = (struct wr_lookout){
        .storage = storage, .log = wr_sched_log(o->sched), .label = r->label, .token = o->seed};
    wr_herald_init(&r->herald, storage, wr_sched_log(o->sched), r->label);
    wr_lookout_pace(&r->lookout, &r->herald, o->look_ms);
    if (o->keeps_all)
        wr_herald_keeps_all(&r->herald);
    wr_tenure_init(&r->tenure, storage, wr_sched_log(o->sched), r->label, r->lookout.pace_ms);
    wr_list_init(&r->queue);
    st = add_others(r, storage, o, e);
    if (st == WR_OK)
        st = wr_sched_add(&r->actor, e);
    if (st != WR_OK) {
        wr_verifier_free(r->verifier);
        wr_keeper_free(r->keeper);
        wr_tenure_release(&r->tenure);
        wr_herald_release(&r->herald);
        wr_free(r->label);
        wr_free(r);
        return st;
    }
    wr_mutex_init(&r->mutex);
    wr_cancel_init(&r->cancel);
    r->storage = storage;
    r->learner = (struct wr_learner){.storage = storage,
        .label = r->label,
        .log = wr_sched_log(o->sched),
        .parallel = wr_sched_manual(o->sched) ? 1 : PARALLEL};
    *ret = r;
    return WR_OK;
}

/* What it has cost, in the words of a bill. */
static void log_requests(const struct wr_replica *r)
{
    struct wr_storage_counts n;

    wr_storage_counts(r->storage, &n);
    wr_log(wr_sched_log(r->actor.sched), WR_INFO, "closed replica", WR_F_Z("db", r->label),
        WR_F_STR("replica", wr_storage_name(r->storage)), WR_F_U64("put", n.put),
        WR_F_U64("list", n.list), WR_F_U64("get", n.get), WR_F_U64("head", n.stat),
        WR_F_U64("delete", n.remove), WR_F_U64("bytes_up", n.bytes_up),
        WR_F_U64("bytes_down", n.bytes_down));
}

void wr_replica_free(struct wr_replica *r)
{
    if (!r)
        return;
    wr_replica_cancel(r);
    wr_sched_remove(&r->actor);
    wr_verifier_free(r->verifier);
    wr_keeper_free(r->keeper);
    wr_tenure_release(&r->tenure);
    wr_herald_release(&r->herald);
    log_requests(r);
    wr_replica_queue_clear(r);
    wr_learnt_release(&r->learnt);
    wr_learner_release(&r->learner);
    wr_text_release(&r->why);
    wr_storage_close(r->storage);
    wr_mutex_release(&r->mutex);
    wr_cancel_release(&r->cancel);
    wr_free(r->label);
    wr_free(r);
}

void wr_replica_start(struct wr_replica *r)
{
    wr_sched_wake(&r->actor);
    if (r->verifier)
        wr_verifier_start(r->verifier);
}

/* Whether the file begins where the replica will be when it has sent all that waits. */
static bool follows(struct wr_replica *r, const struct wr_parcel *p)
{
    uint64_t end = r->now.pos.txid;
    struct wr_link *last = r->queue.head.prev;

    if (!wr_list_empty(&r->queue))
        end = wr_container_of(last, struct queued, link)->parcel->header.max_txid;
    if (p->level == WR_LEVEL_SNAPSHOT)
        return p->header.min_txid == 1 && p->header.max_txid >= end;
    return p->header.min_txid == end + 1;
}

bool wr_replica_push(struct wr_replica *r, struct wr_parcel *p, unsigned found)
{
    struct queued *q = wr_alloc(sizeof(*q));
    bool pushed = false, wake = false;

    wr_mutex_lock(&r->mutex);
    if (q && (r->now.state == WR_REPLICA_READY || r->now.state == WR_REPLICA_SENDING) &&
        r->now.found == found && follows(r, p)) {
        q->parcel = wr_parcel_ref(p);
        wr_list_push(&r->queue, &q->link);
        r->now.queued++;
        r->now.queued_bytes += p->size;
        pushed = true;
        wake = !r->now.failing || r->now.queued == 1; /* else its backoff says when */
    }
    wr_mutex_unlock(&r->mutex);
    if (wake)
        wr_sched_wake(&r->actor);
    if (!pushed)
        wr_free(q);
    return pushed;
}

void wr_replica_lacks(struct wr_replica *r, int64_t time_ms)
{
    wr_mutex_lock(&r->mutex);
    if (r->lacks_ms == 0)
        r->lacks_ms = time_ms;
    wr_mutex_unlock(&r->mutex);
}

void wr_replica_lacks_nothing(struct wr_replica *r)
{
    wr_mutex_lock(&r->mutex);
    r->lacks_ms = 0;
    wr_mutex_unlock(&r->mutex);
}

void wr_replica_rejoin(struct wr_replica *r, const char *why)
{
    wr_mutex_lock(&r->mutex);
    if (r->now.state != WR_REPLICA_STOPPED) {
        r->now.state = WR_REPLICA_UNKNOWN;
        wr_replica_queue_clear(r);
    }
    wr_mutex_unlock(&r->mutex);
    wr_log(wr_sched_log(r->actor.sched), WR_DEBUG, "looking again where the replica stands",
        WR_F_Z("db", r->label), WR_F_STR("replica", wr_storage_name(r->storage)),
        WR_F_Z("why", why));
    wr_sched_wake(&r->actor);
}

void wr_replica_wait(struct wr_replica *r, int64_t ms, const char *text)
{
    wr_mutex_lock(&r->mutex);
    if (r->now.state != WR_REPLICA_STOPPED) {
        r->wait_ms = wr_mono_ms(wr_sched_clock(r->actor.sched)) + ms;
        r->now.failing = true;
        r->now.error = WR_BUSY; /* not CONFLICT, which is for good */
        wr_text_set(&r->why, text);
    }
    wr_mutex_unlock(&r->mutex);
    wr_replica_rejoin(r, text);
}

void wr_replica_set_node(struct wr_replica *r, uint64_t node)
{
    wr_mutex_lock(&r->mutex);
    r->wish.node = node;
    wr_mutex_unlock(&r->mutex);
}

void wr_replica_want_sample(struct wr_replica *r, uint32_t lock_offset)
{
    wr_mutex_lock(&r->mutex);
    r->wish.sample = true;
    r->wish.lock_offset = lock_offset;
    wr_mutex_unlock(&r->mutex);
    wr_replica_rejoin(r, "its newest state is not known here");
}

void wr_replica_want_census(struct wr_replica *r, uint32_t lock_offset, uint64_t bytes_max)
{
    wr_mutex_lock(&r->mutex);
    r->wish.sample = r->wish.census = true;
    r->wish.lock_offset = lock_offset;
    r->wish.census_max = bytes_max;
    wr_mutex_unlock(&r->mutex);
    wr_replica_rejoin(r, "its newest state is to be compared with the database");
}

void wr_replica_want_sign(struct wr_replica *r)
{
    wr_mutex_lock(&r->mutex);
    r->wish.sign = true;
    r->wish.sample = r->now.sampled; /* once more, with that */
    wr_mutex_unlock(&r->mutex);
    wr_replica_rejoin(r, "which txids were taken is not known here");
}

bool wr_replica_take_census(struct wr_replica *r, unsigned found, struct wr_sums *ret)
{
    bool there;

    wr_mutex_lock(&r->mutex);
    there = r->now.found == found && r->learnt.census.page_size > 0;
    if (there) {
        *ret = r->learnt.census;
        r->learnt.census = (struct wr_sums){0};
    }
    wr_mutex_unlock(&r->mutex);
    return there;
}

bool wr_replica_sample(struct wr_replica *r, unsigned found, struct wr_sample *ret)
{
    bool there;

    wr_mutex_lock(&r->mutex);
    there = r->now.found == found && r->learnt.sample;
    if (there)
        *ret = *r->learnt.sample;
    wr_mutex_unlock(&r->mutex);
    return there;
}

bool wr_replica_lease(struct wr_replica *r, unsigned found, struct wr_lease *ret)
{
    bool there;

    wr_mutex_lock(&r->mutex);
    there = r->now.found == found && r->learnt.lease;
    if (there)
        *ret = *r->learnt.lease;
    wr_mutex_unlock(&r->mutex);
    return there;
}

bool wr_replica_taken(struct wr_replica *r, unsigned found, uint64_t *ret)
{
    bool asked;

    wr_mutex_lock(&r->mutex);
    asked = r->now.found == found && r->asked;
    *ret = asked ? r->taken : 0;
    wr_mutex_unlock(&r->mutex);
    return asked;
}

bool wr_replica_tally(struct wr_replica *r, unsigned found, struct wr_tally *ret)
{
    bool there;

    wr_mutex_lock(&r->mutex);
    there = r->now.found == found && r->learnt.tally;
    if (there)
        *ret = *r->learnt.tally;
    wr_mutex_unlock(&r->mutex);
    return there;
}

void wr_replica_tally_done(struct wr_replica *r, unsigned found)
{
    wr_mutex_lock(&r->mutex);
    if (r->now.found == found) {
        wr_free(r->learnt.tally);
        r->learnt.tally = NULL;
    }
    wr_mutex_unlock(&r->mutex);
}

void wr_replica_stop(struct wr_replica *r, enum wr_status st, const char *text)
{
    wr_mutex_lock(&r->mutex);
    if (r->now.state == WR_REPLICA_STOPPED) {
        wr_mutex_unlock(&r->mutex);
        return;
    }
    r->now.state = WR_REPLICA_STOPPED;
    r->now.failing = true;
    r->now.error = st;
    wr_text_set(&r->why, text);
    wr_replica_queue_clear(r);
    r->spoken = r->spoken || r->leaving; /* it has nothing more to say */
    if (r->request)
        wr_cancel_now(r->request); /* what is sent or read whole would go on for hours */
    wr_mutex_unlock(&r->mutex);
    wr_log(wr_sched_log(r->actor.sched), WR_ERROR, "replication to this replica has stopped",
        WR_F_Z("db", r->label), WR_F_STR("replica", wr_storage_name(r->storage)),
        WR_F_Z("error", text));
    wr_keeper_cancel(r->keeper); /* it may be about to try once more what got no answer */
    if (r->verifier)             /* what somebody else makes of it is not ours to judge */
        wr_verifier_cancel(r->verifier);
    r->notify(r->arg); /* it is not waited for any more */
}

void wr_replica_status(struct wr_replica *r, struct wr_replica_status *ret)
{
    const struct wr_parcel *p;
    int64_t since_ms;

    wr_mutex_lock(&r->mutex);
    *ret = r->now;
    p = wr_replica_first(r);
    since_ms = p ? p->header.time_ms : r->lacks_ms;
    if (r->lacks_ms > 0)
        since_ms = wr_min(since_ms, r->lacks_ms);
    wr_mutex_unlock(&r->mutex);
    if (since_ms > 0)
        ret->lag_ms = wr_max(wr_wall_ms(wr_sched_clock(r->actor.sched)) - since_ms, (int64_t)0);
    if (r->verifier)
        ret->unsound = wr_verifier_unsound(r->verifier);
}

void wr_replica_account(struct wr_replica *r, struct wr_replica_account *ret)
{
    *ret = (struct wr_replica_account){0};
    wr_mutex_lock(&r->mutex);
    ret->error.code = r->now.error;
    (void)snprintf(ret->error.text, sizeof(ret->error.text), "%s", wr_text(&r->why));
    wr_mutex_unlock(&r->mutex);
    wr_storage_counts(r->storage, &ret->requests);
    wr_keeper_l0(r->keeper, &ret->l0);
    if (r->verifier)
        wr_verifier_report(r->verifier, &ret->verified);
}

struct wr_storage *wr_replica_storage(struct wr_replica *r)
{
    return r->storage;
}

struct wr_keeper *wr_replica_keeper(struct wr_replica *r)
{
    return r->keeper;
}

void wr_replica_leave(struct wr_replica *r)
{
    wr_mutex_lock(&r->mutex);
    r->leaving = true;
    r->spoken = r->spoken || r->now.state != WR_REPLICA_READY || !wr_list_empty(&r->queue);
    wr_mutex_unlock(&r->mutex);
    wr_sched_wake(&r->actor);
}

bool wr_replica_has_left(struct wr_replica *r)
{
    bool spoken;

    wr_mutex_lock(&r->mutex);
    spoken = r->spoken;
    wr_mutex_unlock(&r->mutex);
    return spoken;
}

void wr_replica_interrupt(struct wr_replica *r, const struct wr_parcel *p)
{
    wr_mutex_lock(&r->mutex);
    if (r->sending == p && r->request)
        wr_cancel_now(r->request);
    wr_mutex_unlock(&r->mutex);
}

void wr_replica_cancel(struct wr_replica *r)
{
    wr_mutex_lock(&r->mutex);
    wr_cancel_now(&r->cancel);
    if (r->request)
        wr_cancel_now(r->request);
    wr_mutex_unlock(&r->mutex);
    if (r->verifier)
        wr_verifier_cancel(r->verifier);
    wr_keeper_cancel(r->keeper);
}
