/*
 * keeper.h - an actor beside a replica's (replica.h), for what is not urgent: it sends a file of a
 * level above 0, reads where such a file ends, or deletes what nobody will miss.
 *
 * A replica's newest state does not wait for it, nor does it need it. One thing at a time; nothing
 * is tried twice: whoever asked is told, and asks again when there may be more to send.
 *
 * locked: every function may be called from any thread, but free.
 */
#ifndef WR_ENGINE_KEEPER_H
#define WR_ENGINE_KEEPER_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "base/text.h"
#include "engine/catalogue.h"
#include "engine/layout.h"
#include "engine/retain.h"

struct wr_herald;
struct wr_keeper; /* owned */
struct wr_parcel;
struct wr_sched;
struct wr_storage;

struct wr_keeper_opts {
    struct wr_sched *sched;
    struct wr_storage *storage; /* the replica's; it outlives the keeper, ... */
    struct wr_herald *herald;   /* ... as this does, which says what is deleted; NULL: nobody */
    const char *label;          /* of the database, in logs */
    void (*notify)(void *arg);  /* something has ended; it must only wake an actor */
    void *arg;
    /* Asked before a file is sent, and before anything is deleted: OK, or why that must not be now;
     * it may make requests, with deadlines of their own. `now`: what it has learnt before this call
     * does not count, as there has been a listing since, by which files are to be deleted. */
    enum wr_status (*may)(void *arg, struct wr_call *c, bool now, struct wr_err *e);
    void *may_arg;
    uint32_t lock_offset; /* byte offset of SQLite's lock page */
};
enum wr_status wr_keeper_new(
    const struct wr_keeper_opts *o, struct wr_keeper **ret, struct wr_err *e) WR_MUST_CHECK;
/* Cancels what it is at, and waits for that. NULL-safe. */
void wr_keeper_free(struct wr_keeper *k);

bool wr_keeper_busy(struct wr_keeper *k); /* what was asked for has not ended, or was not taken */

/* One of these, and not while it is busy. */
void wr_keeper_send(struct wr_keeper *k, struct wr_parcel *p); /* takes a reference */
/* Where this file ends; `level` goes on from there. */
void wr_keeper_read(struct wr_keeper *k, unsigned level, const struct wr_ltx_file *f);
/* The same of one that was sent, and of which nobody knows whether it arrived: `f` and `checksum`
 * are of the report of that. */
void wr_keeper_confirm(struct wr_keeper *k, const struct wr_ltx_file *f, uint64_t checksum);
/* Whether this one, which is known to be there, still is: its end tells, in one request if its size
 * is known. `checksum` is the one in its trailer; 0: not known. The report says OK, or NOTFOUND, or
 * `damaged`: it is another one by now, or a piece of it, and retention does not count on it. */
void wr_keeper_look(struct wr_keeper *k, const struct wr_ltx_file *f, uint64_t checksum);
/* Delete what retain.h does not keep, and did not keep r->grace_ms ago. The replica is listed the
 * first time, after a failure and if `anew`, and looked through once more ten minutes after the
 * first time, for what a process before us had under way; else what was sent since is known. Just
 * after a listing also what was too old by then for a process before us goes (grace.h). */
void wr_keeper_retain(struct wr_keeper *k, const struct wr_retention *r, bool anew);

/* The newest file was of that time when the replica was first listed: what time it is since is not
 * the wall clock's word alone (latest.h). Only the first one counts. */
void wr_keeper_begin(struct wr_keeper *k, int64_t newest_ms);
/* A file is in the replica now. For ten minutes a listing that began behind that and lacks it is an
 * old one: by it nothing is deleted. */
void wr_keeper_note(struct wr_keeper *k, const struct wr_ltx_file *f);
/* Others may have written to the replica, or deleted something. */
void wr_keeper_forget(struct wr_keeper *k);

/* How it ended.
 *
 * What was sent is compared by its end. Where that is not as it was sent, or there was another file
 * of that name before, what is there is read to its end, as it may be as good: an earlier attempt
 * of ours, or Litestream's. If it is damaged, it counts for nothing from then on, and retention
 * keeps all that it covers. One that was sent from here goes with the next retention; others stay.
 */
struct wr_keeper_report {
    enum wr_status st;       /* OK: the file is in the replica, and ends as follows */
    unsigned level;          /* that it was for; 0: retention */
    uint64_t removed;        /* retention: files */
    struct wr_ltx_file file; /* else: sent, or read; max is 0: it was not begun with */
    uint64_t checksum;       /* of what was sent, in its trailer; 0: unknown */
    bool damaged;            /* CORRUPT: it is there, and no good */
    bool was_read;           /* it was not to be sent */
    bool sent;               /* it was, and is as it was to be */
    uint64_t txid;
    bool has_rolling;
    uint64_t rolling;    /* of the database at txid */
    struct wr_text text; /* of a failure; the taker's to release */
};
/* False: nothing has ended since the last one. */
bool wr_keeper_take(struct wr_keeper *k, struct wr_keeper_report *ret);

/* As the last retention found them. */
void wr_keeper_l0(struct wr_keeper *k, struct wr_l0_files *ret);

/* Give up what is being sent if it is `p`; and whatever it is, now and from now on: what it is
 * given then is CANCELED. */
void wr_keeper_interrupt(struct wr_keeper *k, const struct wr_parcel *p);
void wr_keeper_cancel(struct wr_keeper *k);

#endif
