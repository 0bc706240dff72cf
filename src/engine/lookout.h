/*
 * lookout.h - whether a replica is still as its writer left it, from one look to the next.
 *
 * Somebody else may empty it, or write to it under other names than ours. The first look that will
 * do is the one taken:
 *
 *   each half hour          the sign (writer.h) is ours, and the files are there that any restore
 *                           begins with, and the newest one: no listing
 *   another one's sign, a   what is newer than the look before the last is listed (remote.h)
 *   file gone, or a minute
 *   after a file that may
 *   overlap another's
 *   each six hours          all is listed; less often where that takes minutes
 *
 * It is for when there is something to send: nothing here keeps time by itself. docs/adr/0024. What
 * was sent is said to be there (herald.h) at these looks, and without one when nothing comes.
 */
#ifndef WR_ENGINE_LOOKOUT_H
#define WR_ENGINE_LOOKOUT_H

#include "base/base.h"
#include "base/call.h"
#include "base/status.h"
#include "engine/remote.h"

struct wr_clock;
struct wr_herald;
struct wr_log;
struct wr_storage;

/* = {.storage, .log, .label, .token}, and wr_lookout_pace: nothing was seen yet. Times are
 * monotonic. */
struct wr_lookout {
    struct wr_storage *storage;
    const struct wr_log *log;
    const char *label;          /* of the database, for logs */
    struct wr_herald *herald;   /* is told, and writes at each look that finds all as it was left */
    uint64_t token;             /* our sign has this, and each time the next one, ... */
    uint64_t first;             /* ... from this on */
    uint64_t node;              /* it has this, as of the last listing that began anew */
    struct wr_remote_seen seen; /* as of the last listing; since and ends are of the one before */
    struct wr_ltx_file newest;  /* found, or sent since; max is 0: there was none */
    uint64_t listed;            /* TXID it had at the last listing; 0: not known */
    uint64_t ends[WR_LEVEL_MAX + 1]; /* and each level */
    bool sent;                       /* a file of ours counts */
    bool signed_here;                /* the last sign that was there is ours */
    bool owes_sign;   /* behind a file that is in nobody's way, over another's, or the first */
    bool refused;     /* it could not be read or written: not tried before a look, or a listing */
    bool barred;      /* and no second try may help to write it */
    bool said;        /* that it could not be written, in the log */
    bool doubtful;    /* the next look has to list */
    unsigned less;    /* listings in a row that showed less than there is */
    bool emptied;     /* and so many showed nothing that this is believed for good */
    uint64_t given;   /* TXIDs up to there have files of ours, or get them, or were found */
    uint64_t told;    /* up to there our last sign tells of */
    unsigned untold;  /* times in a row that only it could not be, before a file to be told of */
    uint64_t taken;   /* up to there the sign of another one told of when it was read; 0: of none */
    int64_t pace_ms;  /* between two looks */
    int64_t check_ms; /* when to look again */
    int64_t full_ms;  /* and when at all of it */
};

/* Before the first use: who is told, and how often to look; 0: each half hour. */
void wr_lookout_pace(struct wr_lookout *l, struct wr_herald *h, int64_t pace_ms);
/* It is about to be listed as if nothing were known: l->seen is for that listing. */
void wr_lookout_anew(struct wr_lookout *l);
/* It was, from `began_ms` on; `node` is whose files are ours, or 0. As wr_lookout_arrived, if a
 * sign is owed; in a replica that is empty no sign that is there will do. */
void wr_lookout_found(struct wr_lookout *l, struct wr_call *c, const struct wr_remote_pos *pos,
    uint64_t node, int64_t began_ms);

/* A listing has shown `txid` as the newest one; 0: none. BUSY: that is less than there is, as the
 * newest file that is known is there, or nothing was listed where nothing is known, and somebody
 * has signed; a store may take a while. When five in a row did that they are believed. Else as
 * wr_remote_there and wr_writer_other. */
enum wr_status wr_lookout_believe(
    struct wr_lookout *l, struct wr_call *c, uint64_t txid, struct wr_err *e) WR_MUST_CHECK;

/* Read the sign for l->taken. As wr_writer_other. */
enum wr_status wr_lookout_ask(
    struct wr_lookout *l, struct wr_call *c, struct wr_err *e) WR_MUST_CHECK;

/* This file of ours is about to be sent. Create-only keeps names apart: of what spans TXIDs parts
 * may be there under other names, so that a look will list, and whoever writes these is told. So is
 * the owner of what a file in parts may go over, and who goes by what was said of a replica before
 * it had no files.
 *
 * Where there is none yet, and where it is of a new history (WR_TXID_LEAP), signs before it is
 * sent: who begins meanwhile, and knows nothing of us, must not give the same TXIDs away. Where
 * that fails, as wr_storage_put but for CONFLICT, it is not to be sent yet; but after five times in
 * a row in which the store listed snapshots nonetheless it is, and so are others behind an attempt
 * each, until a sign could be written. Otherwise as wr_lookout_arrived. */
enum wr_status wr_lookout_sends(struct wr_lookout *l, struct wr_call *c,
    const struct wr_ltx_file *f, struct wr_err *e) WR_MUST_CHECK;
/* It is there, whether or not it counts. If a sign is owed for it our own will do, if it is still
 * there; else signs: a request or two of some seconds at most, and for the first sign those of
 * wr_herald_prepare. Where that fails it is owed until the next look or listing anew, and a warning
 * says once that it cannot be written. */
void wr_lookout_arrived(struct wr_lookout *l, struct wr_call *c);
/* It counts, and is the newest one. It shows at the next look, which is soon if it spans TXIDs. */
void wr_lookout_sent(
    struct wr_lookout *l, const struct wr_clock *clock, const struct wr_ltx_file *f);

/* The lease was taken from somebody who may yet have files under way: the next look lists, within a
 * minute. */
void wr_lookout_took(struct wr_lookout *l, const struct wr_clock *clock);

/* When it is time to say what was sent; monotonic ms, INT64_MAX: there is nothing to say, or the
 * sign cannot be written, whatever is done. Where it only failed, not before it is time to look. */
int64_t wr_lookout_says_ms(const struct wr_lookout *l);
/* Whether that can be done without a look: nobody else had signed at the last one, and no sign is
 * to be read yet. */
bool wr_lookout_knows(const struct wr_lookout *l);
/* Do it then: a request of some seconds at most. `ends`: and what there is of each level, as
 * nothing will be deleted from here any more. */
void wr_lookout_say(struct wr_lookout *l, struct wr_call *c, bool ends);

bool wr_lookout_due(const struct wr_lookout *l, int64_t now_ms);

/* What a look has come to. */
struct wr_lookout_view {
    bool as_left;            /* nothing speaks against it, and no listing was needed */
    struct wr_remote_pos at; /* else: what was listed */
    struct wr_remote_seen seen;
    bool all;
    int64_t began_ms;
};
/* As wr_remote_find and wr_lookout_believe. Signs before it lists, if the sign is not ours: whoever
 * had signed had sent before, and what he had sent is in this listing. */
enum wr_status wr_lookout_look(struct wr_lookout *l, struct wr_call *c, struct wr_lookout_view *ret,
    struct wr_err *e) WR_MUST_CHECK;
/* What was listed is as it was left. */
void wr_lookout_settle(struct wr_lookout *l, struct wr_call *c, const struct wr_lookout_view *view);

#endif
