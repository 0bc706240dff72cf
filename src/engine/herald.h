/*
 * herald.h - says in a replica what it must have (extent.h), before that becomes less.
 *
 * One for each replica, for the two actors that write to it: the sender tells what it knows, and
 * writes the object when something was sent since, at its looks, behind so many files, when nothing
 * comes any more, and at the end; retention writes it before it deletes what the object had spoken
 * of. What was there is read once, at the first of these; a replica that is not written to is not
 * asked.
 *
 * What is said by another one is kept, if all since was by the rules: the sign (writer.h) is that
 * of the object, and the newest file is one of weir's. Else nothing is said of what is there by
 * now. docs/adr/0029.
 *
 * locked: any thread. It has one lock, of the last rank, and holds it for no request. Requests have
 * deadlines of their own; that of the call is left as it was.
 */
#ifndef WR_ENGINE_HERALD_H
#define WR_ENGINE_HERALD_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "base/sync.h"
#include "engine/extent.h"

struct wr_log;
struct wr_retention;
struct wr_storage;

struct wr_herald {
    struct wr_storage *storage;
    const struct wr_log *log;
    const char *label; /* of the database, for logs */
    int64_t often_ms;  /* for what was sent it is not written sooner */
    int64_t settle_ms; /* by then every listing shows what was sent: a minute */
    bool keeps_all;    /* nothing is ever deleted from here */

    struct wr_mutex mutex; /* guards the rest */
    bool busy;             /* somebody is at the object, and then the group below is his */
    bool known;            /* it was read, or written */
    bool behind;           /* it speaks of what is deleted, which was not known to be spoken of */
    bool fewer;            /* and its roll would be wrong, as files of it are to go */
    bool gone;             /* some went before it was read, so its roll is not gone on with */
    bool several;          /* others write or delete there, too: no roll is said */
    bool wrote;            /* this process has written it */
    bool refused;          /* it cannot be written: nothing is said */
    bool closed;           /* nothing is deleted any more */
    unsigned failures;     /* to write it, in a row */
    struct wr_extent said; /* what is in it; newest 0: nothing; `from` is kept all the same */
    struct wr_extent_version version;
    int64_t written_ms; /* monotonic; by us */

    bool joined, native;     /* where it stood was found; and its newest file was one of weir's */
    bool anew;               /* nothing is to be said of what is there now */
    uint64_t start;          /* newest TXID when it was first found */
    int64_t began_ms;        /* monotonic; and when that was */
    struct wr_ltx_file last; /* the newest that it has for sure; max 0: none */
    int64_t last_ms;         /* monotonic; since when */
    unsigned unsaid;         /* files that came since the object was written */
    bool sends;              /* any came at all */
    int64_t tried_ms;        /* monotonic; when they were to be said */
    struct wr_roll roll;     /* what is there for sure */
    uint64_t settled;        /* a TXID that it has, and that any listing shows by now */
    uint64_t candidate;      /* to be that, since ... */
    int64_t candidate_ms;    /* ... then, monotonic */
    uint64_t token, node;    /* of our sign; token 0: there is none yet */
    bool ruled;              /* retention has told which levels ... */
    bool lasts[WR_LEVEL_MAX + 1]; /* ... are worth it */
};

void wr_herald_init(struct wr_herald *h, struct wr_storage *s, const struct wr_log *log,
    const char *label); /* `s` and `label` outlive it */
/* Looks come so often; half an hour at first. Before the first use. */
void wr_herald_pace(struct wr_herald *h, int64_t look_ms);
/* Nothing is ever deleted from here, so somebody else may delete by rules of his own, as buckets
 * have: of levels nothing is said, nor which files there are. Before the first use. */
void wr_herald_keeps_all(struct wr_herald *h);
void wr_herald_release(struct wr_herald *h);

/* The replica was listed as if nothing were known, and this is its newest file; max 0: it has none.
 * `native`: the file has what weir's have. */
void wr_herald_found(struct wr_herald *h, const struct wr_clock *clock,
    const struct wr_ltx_file *newest, bool native);
/* A file of ours counts. */
void wr_herald_sent(struct wr_herald *h, const struct wr_clock *clock, const struct wr_ltx_file *f);
/* This file is there, of any level, the one that counts included. */
void wr_herald_there(struct wr_herald *h, const struct wr_ltx_file *f);
/* There are files of somebody else's. */
void wr_herald_shared(struct wr_herald *h);

/* A look is about to be made, which may sign: read what there is, if that was not done. It is no
 * trouble if that fails. */
void wr_herald_prepare(struct wr_herald *h, struct wr_call *c);
/* It was made, and the replica is as it was left; the sign there has `token`, 0: not ours. Write
 * the object if something was sent since. That it cannot be written is told once. */
void wr_herald_look(struct wr_herald *h, struct wr_call *c, uint64_t token, uint64_t node);
/* When the newest file is to be said without a look, if no other one comes before that: at once
 * behind 128 of them, behind 8 when a minute has passed since, else half an hour after the last
 * time, or the beginning; and never twice a minute. Monotonic ms; INT64_MAX: it is said. */
int64_t wr_herald_due(struct wr_herald *h);
/* Say it, as wr_herald_look. `ends`: and all else that is there, as nothing will be deleted from
 * here any more. */
void wr_herald_say_last(
    struct wr_herald *h, struct wr_call *c, uint64_t token, uint64_t node, bool ends);

/* This file is to be deleted; once for each, with the object read (wr_herald_prepare). False: it
 * must not be, any more. */
bool wr_herald_goes(struct wr_herald *h, const struct wr_ltx_file *f) WR_MUST_CHECK;
/* Files are to be deleted, so that of each level nothing leads to an end as great as need[level].
 * False: the object says nothing against it. */
bool wr_herald_must(
    struct wr_herald *h, const struct wr_retention *r, const uint64_t need[WR_LEVEL_MAX + 1]);
/* See to that. `ahead` is as `need`, for some time to come, and no less: what is said then. Only if
 * this is OK they may be deleted. BUSY: it is being written just now. Else as wr_storage_put, where
 * that may help another time; where the store does not let it be written over it is removed, and
 * all is OK. */
enum wr_status wr_herald_announce(struct wr_herald *h, struct wr_call *c,
    const struct wr_retention *r, const uint64_t need[WR_LEVEL_MAX + 1],
    const uint64_t ahead[WR_LEVEL_MAX + 1], struct wr_err *e) WR_MUST_CHECK;

#endif
