/*
 * replica_int.h - a replica, shared by what is asked of it (replica.c) and what its actor does
 * (replica_step.c).
 */
#ifndef WR_ENGINE_REPLICA_INT_H
#define WR_ENGINE_REPLICA_INT_H

#include "base/list.h"
#include "base/rand.h"
#include "base/sync.h"
#include "base/text.h"
#include "engine/herald.h"
#include "engine/learn.h"
#include "engine/lookout.h"
#include "engine/replica.h"
#include "engine/tenure.h"

struct queued {
    struct wr_link link;
    struct wr_parcel *parcel;
};

struct wr_replica {
    struct wr_actor actor;
    struct wr_storage *storage;
    void (*notify)(void *arg);
    void *arg;
    struct wr_keeper *keeper;
    struct wr_verifier *verifier; /* NULL: none */
    char *label;
    struct wr_cancel cancel;
    struct wr_herald herald;
    struct wr_tenure tenure;

    struct wr_mutex mutex;
    struct wr_replica_status now; /* guarded by mutex */
    struct wr_text why;           /* guarded by mutex; of now.error */
    struct wr_list queue;         /* guarded by mutex; of struct queued */
    struct wr_wish wish;          /* guarded by mutex; of the next listing */
    struct wr_learnt learnt;      /* guarded by mutex; by the last one, as long as it is needed */
    bool asked;                   /* guarded by mutex; ... */
    uint64_t taken;               /* guarded by mutex; ... as of wr_replica_taken */
    struct wr_remote_pos left;    /* guarded by mutex; where it was when it became contested */
    int64_t wait_ms;              /* guarded by mutex; not listing again before that */
    unsigned epoch;               /* guarded by mutex; changes when the queue is thrown away */
    int64_t lacks_ms;     /* guarded by mutex; Unix ms, of the oldest that is not queued; 0: none is
                             lacking */
    bool leaving, spoken; /* guarded by mutex; the last word was asked for, and is said */
    const struct wr_parcel *sending; /* guarded by mutex; NULL: nothing is */
    struct wr_cancel *request; /* guarded by mutex: of what is sent or read, on its step's stack */

    /* only the actor's step */
    struct wr_rand jitter;
    unsigned failures; /* in a row; a listing that works does not end a row of failed uploads */
    bool send_failed;
    int64_t logged_ms;
    struct wr_learner learner;
    struct wr_lookout lookout;
};

/* The file that is sent next; NULL: none waits. mutex held. */
static inline struct wr_parcel *wr_replica_first(const struct wr_replica *r)
{
    struct wr_link *x = wr_list_first(&r->queue);

    return x ? wr_container_of(x, struct queued, link)->parcel : NULL;
}

/* mutex held */
void wr_replica_queue_clear(struct wr_replica *r);
/* Of the keeper. `arg` is the replica. */
enum wr_status wr_replica_may(
    void *arg, struct wr_call *c, bool now, struct wr_err *e) WR_MUST_CHECK;
struct wr_next wr_replica_step(struct wr_actor *a, struct wr_call *c);

#endif
