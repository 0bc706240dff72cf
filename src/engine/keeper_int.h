/*
 * keeper_int.h - the keeper's actor and what it is at, shared by those who give it something to do
 * (keeper.c) and what it does then (keeper_work.c), and by nobody else.
 */
#ifndef WR_ENGINE_KEEPER_INT_H
#define WR_ENGINE_KEEPER_INT_H

#include "base/sync.h"
#include "engine/keeper.h"
#include "run/sched.h"

enum keeper_task {
    TASK_NONE,
    TASK_SEND,
    TASK_READ,
    TASK_CONFIRM,
    TASK_LOOK,
    TASK_RETAIN,
    TASK_ENDED, /* the report waits */
};

struct keeper_job {
    enum keeper_task task;
    struct wr_parcel *parcel;      /* of TASK_SEND; a reference */
    unsigned level;                /* of TASK_READ, TASK_CONFIRM, TASK_LOOK */
    struct wr_ltx_file file;       /* the same */
    uint64_t checksum;             /* of TASK_CONFIRM, TASK_LOOK */
    struct wr_retention retention; /* of TASK_RETAIN */
    bool anew;                     /* the same */
};

/* What came last, of a level. */
struct keeper_arrival {
    uint64_t min, max; /* 0: nothing did */
    int64_t at_ms;     /* monotonic */
};

struct wr_keeper {
    struct wr_actor actor;
    struct wr_storage *storage;
    struct wr_herald *herald;
    void (*notify)(void *arg);
    void *arg;
    enum wr_status (*may)(void *arg, struct wr_call *c, bool now, struct wr_err *e);
    void *may_arg;
    char *label;
    uint32_t lock_offset;

    struct wr_mutex mutex; /* guards the group below */
    struct keeper_job job;
    struct wr_keeper_report report; /* of TASK_ENDED */
    struct wr_ltx_files news;       /* what came since the catalogue was brought up to date */
    struct keeper_arrival last[WR_LEVEL_MAX + 1];
    bool follow;               /* news counts: the catalogue was listed, or is being */
    bool forget;               /* it cannot be brought up to date */
    bool over;                 /* nothing is begun any more */
    struct wr_l0_files l0;     /* of the catalogue */
    struct wr_latest latest;   /* the catalogue's is to begin so */
    struct wr_cancel *request; /* of what it is at, on its step's stack */

    /* only the actor's step */
    struct wr_catalogue catalogue;
    int64_t late_ms; /* when to look what came behind its first listing, monotonic; 0: there was
                        none; INT64_MAX: that was done */
};

/* keeper.c */
/* The next retention lists anew. The mutex is held. */
void wr_keeper_lose_track(struct wr_keeper *k);

/* keeper_work.c */
/* Do it, and say how it ended. Only the actor's step. */
void wr_keeper_work(
    struct wr_keeper *k, struct wr_call *c, const struct keeper_job *j, struct wr_keeper_report *r);

#endif
